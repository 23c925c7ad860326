//! The resource types in terms of requests.

pub(crate) mod azure;
pub(crate) mod container;
mod contents;
pub(crate) mod credential;
pub(crate) mod directory;
pub(crate) mod grant;
pub(crate) mod job;
pub(crate) mod permission;
pub(crate) mod pipeline;
mod privilege;
pub(crate) mod repo;
pub(crate) mod settings;
pub(crate) mod view;

use crate::attributes::{optional_text, text};
use crate::config::Config;
use crate::principal;
use crate::private::PrivateData;
use crate::workspaces::{Interface, Workspace, Workspaces};
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::ops::RangeInclusive;
use terrace_provider::http::{Purpose, Request, Within};
use terrace_provider::{
    Attributes, DataAmount, ErrorKind, PlannedChange, ProposedChange, ProviderError, Recorded, ResourceType, Value,
};

/// Placeholder for the instance's principal in texts, until its name is known.
pub(crate) const PRINCIPAL_PLACEHOLDER: &str = "<principal of the instance>";

/// The context of a call: workspace, settings, deadline and address.
pub(crate) struct Context<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) config: &'a Config,
    pub(crate) within: Within,
    /// The resource's address with its stack.
    pub(crate) address: &'a str,
}

impl Context<'_> {
    /// Sends a request, and returns the answer.
    pub(crate) async fn send(&self, request: &Request, purpose: &Purpose) -> Result<Json, ProviderError> {
        match self.workspace.send(request, &self.within, purpose).await {
            Err(error) => Err(self.with_principal_name(error).await),
            answer => answer,
        }
    }

    /// Inserts the principal's name into the hints of a permission error, so that its commands can be run unchanged.
    pub(crate) async fn with_principal_name(&self, mut error: ProviderError) -> ProviderError {
        let has_placeholder = error.solutions.iter().any(|it| it.contains(PRINCIPAL_PLACEHOLDER));
        if error.kind == ErrorKind::PermissionDenied
            && has_placeholder
            && let Ok(me) = self.workspace.me(&self.within).await
        {
            for solution in &mut error.solutions {
                *solution = solution.replace(PRINCIPAL_PLACEHOLDER, me);
            }
        }
        error
    }

    /// Checks that the workspace belongs to the metastore of the attributes: in another metastore, the same name is
    /// another object.
    pub(crate) async fn check_metastore(&self, ty: &ResourceType, named: &Attributes) -> Result<(), ProviderError> {
        match optional_text(named, "metastoreId").filter(|_| ty.identity.contains(&"metastoreId")) {
            Some(id) => self.workspace.check_metastore(&id, &self.within).await,
            None => Ok(()),
        }
    }

    /// Requests an object that may be missing.
    pub(crate) async fn read_optional(&self, request: &Request, action: &str) -> Result<Option<Json>, ProviderError> {
        match self.send(request, &Purpose::read(action)).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Deletes an object that may be missing already.
    pub(crate) async fn remove(&self, request: Request, purpose: &Purpose) -> Result<(), ProviderError> {
        match self.send(&request.idempotent(), purpose).await {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// An observed object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observation {
    /// All attributes except the id.
    pub(crate) attributes: Attributes,
    pub(crate) private: PrivateData,
    /// The creator, if known.
    pub(crate) created_by: Option<String>,
    /// Creation time, if known.
    pub(crate) created_at: Option<Timestamp>,
    /// The privileges or the permission level of the principal.
    pub(crate) held: Vec<String>,
    /// The mark of the resource that created it.
    pub(crate) mark: Option<String>,
}

/// An object that an attempt may have created.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The identifying attributes.
    pub(crate) identity: Attributes,
    /// True if it carries the mark of the resource.
    pub(crate) is_marked: bool,
}

/// The operations of a resource type. `named` always has the identifying attributes and `workspaceUrl`.
#[async_trait]
pub(crate) trait Object: Send + Sync {
    /// Refuses an invalid plan without any request.
    fn check(&self, _planned: &Attributes) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Adjusts the plan that follows from the schema.
    fn plan(&self, _change: &ProposedChange<'_>, _planned: &mut PlannedChange) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Reads the object. `like` selects the managed attributes of types that manage only configured ones.
    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError>;

    /// Finds objects that attributes may mean, for types whose objects get their identity from the server.
    async fn search(&self, _context: &Context<'_>, _planned: &Attributes) -> Result<Vec<Candidate>, ProviderError> {
        Ok(Vec::new())
    }

    /// Returns true if [`Object::create`] checks for an existing object itself, and adopts it.
    fn adopts_existing(&self, _planned: &Attributes) -> bool {
        false
    }

    /// Returns true if only the prior content reveals the effect of a lost call: the object has no creator or time.
    fn needs_prior_content(&self) -> bool {
        false
    }

    /// The privileges or level that the planned grantee holds now.
    async fn held(&self, context: &Context<'_>, planned: &Attributes) -> Result<Vec<String>, ProviderError> {
        let observed = self.read(context, planned, planned, &PrivateData::default()).await?;
        Ok(observed.map(|observed| observed.held).unwrap_or_default())
    }

    /// For types that adopt existing objects: returns true if the observed object surely existed before.
    fn existed_before(&self, _observed: &Observation, _planned: &Attributes) -> bool {
        true
    }

    /// Waits until no operation runs on the object, for types whose creation takes long.
    async fn settle(&self, _context: &Context<'_>, _named: &Attributes) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Creates the object. Returns the identifying attributes that the server chose.
    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError>;

    /// Updates the object. By default nothing but `takeExisting` can change, which has no effect on the remote object.
    async fn update(
        &self,
        _context: &Context<'_>,
        prior: &Recorded,
        _present: &Observation,
        _planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        Ok(PrivateData::of(&prior.private))
    }

    /// Deletes the object. A missing object is a success.
    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        private: &PrivateData,
        removes_data: bool,
    ) -> Result<(), ProviderError>;

    /// Returns true if an object that is present after a deletion is the deleted one, and not another owner's.
    fn is_deleted_object(&self, _prior: &Attributes, _observed: &Observation) -> bool {
        true
    }

    /// Counts the data of the object.
    async fn count(&self, _context: &Context<'_>, _named: &Attributes) -> Result<DataAmount, ProviderError> {
        Ok(DataAmount::Empty)
    }

    /// Returns true if an existing object comes from an attempt in the given time range.
    async fn is_from_attempt(
        &self,
        context: &Context<'_>,
        observed: &Observation,
        _planned: &Attributes,
        window: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        let is_own = match &observed.created_by {
            Some(by) if !by.is_empty() => by == context.workspace.me(&context.within).await?,
            _ => false,
        };
        Ok(is_own && observed.created_at.is_some_and(|at| window.contains(&at)))
    }
}

/// Returns true if another object now has the recorded object's name. If that cannot be determined, returns false.
pub(crate) async fn is_recreated(
    object: &dyn Object,
    context: &Context<'_>,
    named: &Attributes,
    private: &PrivateData,
) -> bool {
    let Some(incarnation) = &private.incarnation else { return false };
    let current = object.read(context, named, &Attributes::default(), &PrivateData::default()).await;
    let current = current.ok().flatten().and_then(|observed| observed.private.incarnation);
    current.is_some_and(|current| current != *incarnation)
}

/// Plans an update if the recorded object was recreated outside terrace, so that the user sees it. `attribute` differs
/// between the old and the new object.
pub(crate) fn plan_recreated(change: &ProposedChange<'_>, planned: &mut PlannedChange, attribute: &str) {
    let Some(prior) = change.prior else { return };
    let recorded = PrivateData::of(&prior.private).incarnation;
    if recorded.is_some() && planned.replace_paths.is_empty() && recorded != optional_text(&prior.attributes, attribute)
    {
        planned.planned.insert(attribute.to_owned(), Value::Unknown);
    }
}

/// Returns the implementation of a resource type.
pub(crate) fn of(ty: &ResourceType) -> Result<&'static dyn Object, ProviderError> {
    Ok(match ty.name {
        "databricks_git_credential" => &credential::Credential,
        "databricks_directory" => &directory::Directory,
        "databricks_repo" => &repo::Repo,
        "databricks_job" => &job::Job,
        "databricks_pipeline" => &pipeline::Pipeline,
        "databricks_permission" => &permission::Permission,
        "databricks_catalog" => &container::CATALOG,
        "databricks_schema" => &container::SCHEMA,
        "databricks_view" => &view::View,
        "databricks_grant" => &grant::Grant,
        "databricks_privilege" => &privilege::Privilege,
        "databricks_workspace" => &azure::workspace::AzureWorkspace,
        "databricks_azure_role_assignment" => &azure::role_assignment::RoleAssignment,
        "databricks_metastore_assignment" => &azure::metastore_assignment::MetastoreAssignment,
        "databricks_workspace_assignment" => &azure::workspace_assignment::WorkspaceAssignment,
        other => return Err(ProviderError::bug(format!("unknown resource type {other}"))),
    })
}

/// The parts of an id in normal form: hosts, users, and names in Unity Catalog and Azure ignore case.
pub(crate) fn id_parts(ty: &ResourceType, identity: &Attributes) -> Vec<String> {
    let is_in_catalog = ty.identity.contains(&"metastoreId");
    let is_of_azure = azure::interface(ty.name) == Some(Interface::Management);
    let part = |name: &&str| {
        let value = text(identity, name);
        match *name {
            "workspaceUrl" => Workspaces::url(&value).map_or(value, |base| base.shown().to_owned()),
            "path" => directory::normalized_path(&value),
            "principal" => match optional_text(identity, "principalKind") {
                Some(kind) => principal::normalized_as(&kind, &value),
                None => principal::normalized(&value),
            },
            "metastoreId" | "privilege" => value,
            _ if is_in_catalog || is_of_azure => value.to_lowercase(),
            _ => value,
        }
    };
    ty.identity.iter().map(part).collect()
}

/// A time field of an answer, in milliseconds.
pub(crate) fn time_of(json: &Json, name: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(json.get(name)?.as_i64()?).ok()
}
