//! The session: dispatches calls to the resource types.

use crate::admin::Admin;
use crate::config::Config;
use crate::mark::Marks;
use crate::registry::Registry;
use crate::resources::{Instance, acl, lookup, streams, subject, topic};
use crate::rights;
use async_trait::async_trait;
use terrace_provider::provider::{Batch, DryRun};
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, Found, Grantee, MissingRight, Observed, Planned, PlannedChange, Probe,
    ProposedChange, ProviderError, ProviderSchema, Recorded, ResourceType, Session, Settings,
};
use tokio::sync::OnceCell;

/// An open instance.
pub(crate) struct KafkaSession {
    instance: Instance,
}

/// The resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Topic,
    Acl,
    Subject,
    Streams,
}

impl Kind {
    fn of(ty: &ResourceType) -> Result<Self, ProviderError> {
        match ty.name {
            topic::NAME => Ok(Self::Topic),
            acl::NAME => Ok(Self::Acl),
            subject::NAME => Ok(Self::Subject),
            streams::NAME => Ok(Self::Streams),
            other => Err(ProviderError::bug(format!("unknown resource type `{other}`"))),
        }
    }
}

impl KafkaSession {
    /// Opens an instance without connecting.
    ///
    /// # Errors
    /// If settings are invalid or contradict each other.
    pub(crate) fn open(settings: &Settings) -> Result<Self, ProviderError> {
        let Config { access, flavor, registry } = Config::read(settings)?;
        let registry = registry.map(Registry::new).transpose()?;
        let admin = Admin::new(access);
        let principal = admin.principal();
        let (marks, known_keys) = (Marks::default(), OnceCell::new());
        Ok(Self { instance: Instance { admin, registry, flavor, marks, known_keys, principal } })
    }
}

#[async_trait]
impl Session for KafkaSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        match Kind::of(ty)? {
            Kind::Topic => topic::read(&self.instance, prior).await,
            Kind::Acl => acl::read(&self.instance, prior).await,
            Kind::Subject => subject::read(&self.instance, prior).await,
            Kind::Streams => Ok(Some(streams::observed(&prior.attributes))),
        }
    }

    fn read_batch<'a>(&'a self, ty: &'a ResourceType, priors: &'a [Recorded]) -> Option<Batch<'a>> {
        match Kind::of(ty).ok()? {
            Kind::Topic => Some(Box::pin(topic::read_all(&self.instance, priors))),
            Kind::Acl => Some(Box::pin(acl::read_all(&self.instance, priors))),
            Kind::Subject | Kind::Streams => None,
        }
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        match Kind::of(ty)? {
            Kind::Topic => topic::plan(ty, change),
            Kind::Acl => acl::plan(ty, change),
            Kind::Subject => subject::plan(&self.instance, ty, change),
            Kind::Streams => streams::plan(ty, change),
        }
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let created = match Kind::of(ty)? {
            Kind::Topic => topic::create(&self.instance, call, planned).await,
            Kind::Acl => acl::create(&self.instance, call, planned).await,
            Kind::Subject => subject::create(&self.instance, call, planned).await,
            Kind::Streams => Ok(streams::create(planned)),
        };
        created.map_err(|error| self.instance.marks.mark_ambiguous(call, error))
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        match Kind::of(ty)? {
            Kind::Topic => topic::update(&self.instance, call, prior, planned).await,
            Kind::Acl => Err(ProviderError::bug("an entry of an access control list cannot be updated")),
            Kind::Subject => subject::update(&self.instance, call, prior, planned).await,
            Kind::Streams => Ok(streams::create(planned)),
        }
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        match Kind::of(ty)? {
            Kind::Topic => topic::delete(&self.instance, call, prior).await,
            Kind::Acl => acl::delete(&self.instance, call, prior).await,
            Kind::Subject => subject::delete(&self.instance, prior).await,
            Kind::Streams => streams::delete(&self.instance, call, prior).await,
        }
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        match Kind::of(ty)? {
            Kind::Topic => topic::find(&self.instance, attempt).await,
            Kind::Acl => acl::find(&self.instance, attempt).await,
            Kind::Subject => subject::find(&self.instance, attempt).await,
            Kind::Streams => streams::find(&self.instance, attempt).await,
        }
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        match Kind::of(ty)? {
            Kind::Topic => topic::import(&self.instance, id).await,
            Kind::Acl => acl::import(&self.instance, id).await,
            Kind::Subject => subject::import(&self.instance, id).await,
            Kind::Streams => {
                let message = format!("a `{}` cannot be imported: the cluster has no such object", ty.name);
                Err(ProviderError::invalid(None, message).solution("apply it instead: the create makes no request"))
            }
        }
    }

    async fn grantees(&self, ty: &ResourceType, accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        match Kind::of(ty)? {
            Kind::Acl => acl::grantees(&self.instance, accesses).await,
            other => Err(ProviderError::bug(format!("{other:?} is not a grant"))),
        }
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        match Kind::of(ty).ok()? {
            Kind::Topic => Some(Box::pin(topic::validate(&self.instance, planned))),
            Kind::Subject => Some(Box::pin(subject::validate(&self.instance, planned))),
            Kind::Acl | Kind::Streams => None,
        }
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        lookup::answer(&self.instance, name, arguments).await
    }

    fn probe<'a>(&'a self, _schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        Some(Box::pin(rights::probe(&self.instance)))
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        rights::missing(&self.instance).await
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        match Kind::of(ty)? {
            Kind::Topic => topic::count(&self.instance, prior).await,
            Kind::Subject => subject::count(&self.instance, prior).await,
            Kind::Streams => streams::count(&self.instance, prior).await,
            Kind::Acl => Ok(DataAmount::Unknown),
        }
    }
}
