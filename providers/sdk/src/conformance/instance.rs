//! An open instance for a provider's own tests: plans, calls and records like the engine, without a state.

use crate::wrap::{Limits, guarded};
use crate::{
    Attempt, Attributes, Call, Found, LostCall, Observed, Partial, Planned, PlannedChange, Private, Progress,
    ProposedChange, Provider, ProviderError, Recorded, ResourceType, Session, Settings, Value,
};
use serde_json::Value as Json;
use std::borrow::Borrow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Operation and step of all calls of an instance.
const OPERATION: &str = "operation";
const STEP: &str = "1";

/// An open instance, and the reports of its calls.
pub struct Instance<P> {
    /// The provider of the instance.
    pub provider: P,
    /// The session, guarded like the engine's.
    pub session: Arc<dyn Session>,
    /// The reports of the calls.
    pub reports: Arc<Reports>,
    /// Cancels all calls.
    pub cancel: CancellationToken,
    /// The address of all created objects: `shop@test:area/snowflake.a`.
    pub address: &'static str,
}

/// Collects the reports of calls.
#[derive(Debug, Default)]
pub struct Reports {
    messages: Mutex<Vec<String>>,
    partials: Mutex<Vec<Partial>>,
}

impl Reports {
    /// The lines for people, in order.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The partial reports of objects under construction.
    #[must_use]
    pub fn partials(&self) -> Vec<Partial> {
        self.partials.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The private bytes of an interrupted create, as last reported.
    #[must_use]
    pub fn private(&self) -> Private {
        self.partials().into_iter().rev().find_map(|partial| partial.private).unwrap_or_default()
    }

    /// Identity and private bytes of an interrupted create: as last reported, otherwise as planned.
    #[must_use]
    pub fn attempted(&self, ty: &ResourceType, planned: &Attributes, private: &Private) -> (Attributes, Private) {
        self.partials().into_iter().fold(Partial::default(), Partial::then).attempted(ty, planned, private)
    }
}

#[async_trait::async_trait]
impl Progress for Reports {
    fn message(&self, text: &str) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    }

    async fn partial(&self, partial: Partial) -> Result<(), ProviderError> {
        self.partials.lock().unwrap_or_else(PoisonError::into_inner).push(partial);
        Ok(())
    }
}

impl<P: Provider> Instance<P> {
    /// Opens an instance.
    ///
    /// # Errors
    /// When the provider refuses the settings.
    pub async fn open(
        provider: P,
        settings: &Settings,
        limits: Limits,
        address: &'static str,
    ) -> Result<Self, ProviderError> {
        let session = guarded(&provider, settings, limits).await?;
        Ok(Self { provider, session, reports: Arc::default(), cancel: CancellationToken::new(), address })
    }

    /// The resource type with this name.
    ///
    /// # Errors
    /// When the provider has no such type.
    pub fn resource_type(&self, name: &str) -> Result<&ResourceType, ProviderError> {
        self.provider.schema().resource(name).ok_or_else(|| ProviderError::bug(format!("unknown type `{name}`")))
    }

    /// The context of a call: a limit of one minute, and no permission to remove data.
    #[must_use]
    pub fn call(&self) -> Call {
        Call {
            address: self.address.to_owned(),
            operation: OPERATION.to_owned(),
            step: STEP.to_owned(),
            timeout: Duration::from_secs(60),
            removes_data: false,
            cancel: self.cancel.clone(),
            progress: Arc::clone(&self.reports) as Arc<dyn Progress>,
        }
    }

    /// Plans a configuration.
    ///
    /// # Errors
    /// The error of the provider.
    pub async fn plan(
        &self,
        ty: &str,
        prior: Option<&Recorded>,
        config: impl Borrow<Json>,
    ) -> Result<PlannedChange, ProviderError> {
        let config = attributes(config.borrow())?;
        let change = ProposedChange {
            address: self.address,
            prior,
            config: &config,
            must_replace: false,
            changed_write_only: &[],
        };
        self.session.plan(self.resource_type(ty)?, &change).await
    }

    /// Plans and creates an object, and returns its row.
    ///
    /// # Errors
    /// The error of the provider.
    pub async fn create(&self, ty: &str, config: impl Borrow<Json>) -> Result<Recorded, ProviderError> {
        let PlannedChange { planned, private, .. } = self.plan(ty, None, config.borrow()).await?;
        let planned = Planned { attributes: planned, private };
        let observed = self.session.create(self.resource_type(ty)?, &self.call(), &planned).await?;
        Ok(recorded(self.address, &planned.attributes, observed))
    }

    /// Plans and makes a change in place, and returns the new row.
    ///
    /// # Errors
    /// The error of the provider, or a plan that replaces.
    pub async fn update(
        &self,
        ty: &str,
        prior: &Recorded,
        config: impl Borrow<Json>,
    ) -> Result<Recorded, ProviderError> {
        let PlannedChange { planned, private, replace_paths, .. } = self.plan(ty, Some(prior), config.borrow()).await?;
        if !replace_paths.is_empty() {
            return Err(ProviderError::bug(format!("planned a replacement because of {replace_paths:?}")));
        }
        let planned = Planned { attributes: planned, private };
        let observed = self.session.update(self.resource_type(ty)?, &self.call(), prior, &planned).await?;
        Ok(recorded(self.address, &planned.attributes, observed))
    }

    /// Reads an object again, and returns its row if it exists.
    ///
    /// # Errors
    /// The error of the provider.
    pub async fn read(&self, ty: &str, prior: &Recorded) -> Result<Option<Recorded>, ProviderError> {
        let observed = self.session.read(self.resource_type(ty)?, prior).await?;
        Ok(observed.map(|observed| recorded(self.address, &prior.attributes, observed)))
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// The error of the provider.
    pub async fn delete(&self, ty: &str, prior: &Recorded) -> Result<(), ProviderError> {
        self.session.delete(self.resource_type(ty)?, &self.call(), prior).await
    }

    /// Searches for the object of a configuration: after a call that was lost this long ago, or to adopt an object
    /// (`None`).
    ///
    /// # Errors
    /// The error of the provider.
    pub async fn find(
        &self,
        ty: &str,
        config: impl Borrow<Json>,
        lost: Option<Duration>,
    ) -> Result<Found, ProviderError> {
        let PlannedChange { planned, private, .. } = self.plan(ty, None, config.borrow()).await?;
        let lost_call = lost.map(|age| LostCall {
            operation: OPERATION.to_owned(),
            step: STEP.to_owned(),
            timeout: age.max(Duration::from_secs(1)),
            age,
        });
        let ty = self.resource_type(ty)?;
        let (identity, private) = match lost_call {
            Some(_) => self.reports.attempted(ty, &planned, &private),
            None => (ty.identity_of(&planned).unwrap_or_default(), private),
        };
        let attempt = Attempt { address: self.address.to_owned(), identity, planned, private, prior: None, lost_call };
        self.session.find(ty, &attempt).await
    }

    /// The names of the attributes that a plan for an object would change.
    ///
    /// # Errors
    /// The error of the provider.
    pub async fn changes(
        &self,
        ty: &str,
        prior: &Recorded,
        config: impl Borrow<Json>,
    ) -> Result<Vec<String>, ProviderError> {
        let plan = self.plan(ty, Some(prior), config).await?;
        let replaced = plan.replace_paths.iter().map(|path| format!("{path} (replaces)"));
        let is_changed = |(name, value): &(&String, &Value)| {
            let before = prior.attributes.get(*name).cloned().unwrap_or_default();
            !(value.is_same_as(&before) || value.is_null() && before.is_null())
        };
        Ok(replaced.chain(plan.planned.iter().filter(is_changed).map(|change| change.0.clone())).collect())
    }

    /// The changes of a second plan, before and after a read of the object. Empty if the second plan is empty.
    ///
    /// # Errors
    /// The error of the provider, or a missing object.
    pub async fn unsettled(
        &self,
        ty: &str,
        prior: &Recorded,
        config: impl Borrow<Json>,
    ) -> Result<Vec<String>, ProviderError> {
        let gone = || ProviderError::bug("the object does not exist");
        let read = self.read(ty, prior).await?.ok_or_else(gone)?;
        let mut names = self.changes(ty, prior, config.borrow()).await?;
        names.extend(self.changes(ty, &read, config.borrow()).await?);
        Ok(names)
    }
}

/// The row of an object with this plan and this result.
#[must_use]
pub fn recorded(address: &str, planned: &Attributes, observed: Observed) -> Recorded {
    let known = planned.iter().filter(|(_, value)| !value.has_unknown());
    let mut attributes: Attributes = known.map(|(name, value)| (name.clone(), value.clone())).collect();
    attributes.extend(observed.attributes);
    attributes.retain(|_, value| !value.is_null());
    Recorded { address: address.to_owned(), identity: observed.identity, attributes, private: observed.private }
}

/// Attributes from a JSON object.
///
/// # Errors
/// When the JSON is not an object.
pub fn attributes(config: &Json) -> Result<Attributes, ProviderError> {
    match Value::from(config.clone()) {
        Value::Map(entries) => Ok(entries),
        other => Err(ProviderError::bug(format!("a configuration is a map, not {}", other.kind()))),
    }
}
