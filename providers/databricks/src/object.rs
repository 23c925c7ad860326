//! The types in terms of requests.

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
use crate::private::Kept;
use crate::workspaces::{Interface, Workspace, Workspaces};
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::ops::RangeInclusive;
use terrace_provider::http::{Purpose, Request, Within};
use terrace_provider::{
    Attributes, DataAmount, ErrorKind, PlannedChange, ProposedChange, ProviderError, Recorded, ResourceType, Value,
};

/// How texts call whoever works in an instance, before anybody asked who that is.
pub(crate) const SOMEBODY: &str = "<who works in the instance>";

/// Where, and until when, a call works.
pub(crate) struct Place<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) config: &'a Config,
    pub(crate) within: Within,
    /// The resource's address with its stack.
    pub(crate) address: &'a str,
}

impl Place<'_> {
    /// Sends a request and reads the answer.
    pub(crate) async fn send(&self, request: &Request, purpose: &Purpose) -> Result<Json, ProviderError> {
        match self.workspace.send(request, &self.within, purpose).await {
            Err(error) => Err(self.naming(error).await),
            answer => answer,
        }
    }

    /// An error with the name of whom a right is missing, so that what gives it can be run as it is written.
    pub(crate) async fn naming(&self, mut error: ProviderError) -> ProviderError {
        let names_somebody = error.solutions.iter().any(|it| it.contains(SOMEBODY));
        if error.kind == ErrorKind::PermissionDenied
            && names_somebody
            && let Ok(me) = self.workspace.me(&self.within).await
        {
            for solution in &mut error.solutions {
                *solution = solution.replace(SOMEBODY, me);
            }
        }
        error
    }

    /// Makes sure that the workspace is of the metastore that attributes name: what has the same name in another one is
    /// something else.
    pub(crate) async fn check_metastore(&self, ty: &ResourceType, named: &Attributes) -> Result<(), ProviderError> {
        match optional_text(named, "metastoreId").filter(|_| ty.identity.contains(&"metastoreId")) {
            Some(id) => self.workspace.check_metastore(&id, &self.within).await,
            None => Ok(()),
        }
    }

    /// Asks for something that may not be there.
    pub(crate) async fn ask(&self, request: &Request, doing: &str) -> Result<Option<Json>, ProviderError> {
        match self.send(request, &Purpose::look(doing)).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Removes something that may be gone already.
    pub(crate) async fn remove(&self, request: Request, purpose: &Purpose) -> Result<(), ProviderError> {
        match self.send(&request.idempotent(), purpose).await {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// An object as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// All attributes but the id.
    pub(crate) attributes: Attributes,
    pub(crate) kept: Kept,
    /// Who made it, where that is told.
    pub(crate) made_by: Option<String>,
    /// When it was made, where that is told.
    pub(crate) made_at: Option<Timestamp>,
    /// The privileges, or the level, that somebody has.
    pub(crate) held: Vec<String>,
    /// The mark of the resource that made it.
    pub(crate) mark: Option<String>,
}

/// An object that may be what an attempt made.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The attributes that name it.
    pub(crate) identity: Attributes,
    /// It carries the mark of the resource.
    pub(crate) is_marked: bool,
}

/// One type. `named` always has the attributes that name the object, and `workspaceUrl`.
#[async_trait]
pub(crate) trait Object: Send + Sync {
    /// Refuses what cannot work, without asking anybody.
    fn check(&self, _planned: &Attributes) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Changes what the schema says of a change.
    fn plan(&self, _change: &ProposedChange<'_>, _planned: &mut PlannedChange) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Reads the object; of what is managed as far as somebody says so, what `like` says.
    async fn read(
        &self,
        place: &Place<'_>,
        named: &Attributes,
        like: &Attributes,
        kept: &Kept,
    ) -> Result<Option<Seen>, ProviderError>;

    /// Objects whose identity only they know that may be meant by attributes.
    async fn search(&self, _place: &Place<'_>, _planned: &Attributes) -> Result<Vec<Candidate>, ProviderError> {
        Ok(Vec::new())
    }

    /// What is there already is what making it would come to: [`Object::create`] looks by itself.
    fn takes_what_is_there(&self, _planned: &Attributes) -> bool {
        false
    }

    /// Only what was there before a lost call tells what that call made: nothing of it says who did.
    fn is_told_by_what_was_there(&self) -> bool {
        false
    }

    /// What somebody has now of what attributes give.
    async fn held(&self, place: &Place<'_>, planned: &Attributes) -> Result<Vec<String>, ProviderError> {
        let seen = self.read(place, planned, planned, &Kept::default()).await?;
        Ok(seen.map(|seen| seen.held).unwrap_or_default())
    }

    /// Of what takes over what is there: whether what is seen, and is not ours, is so for certain. Then making it takes it over.
    fn was_there_before(&self, _seen: &Seen, _planned: &Attributes) -> bool {
        true
    }

    /// Waits until nobody works at the object any more, where making it takes long.
    async fn settle(&self, _place: &Place<'_>, _named: &Attributes) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Makes the object; answers with what names it beyond what was planned.
    async fn create(&self, place: &Place<'_>, planned: &Attributes) -> Result<(Attributes, Kept), ProviderError>;

    /// Changes the object.
    async fn update(
        &self,
        place: &Place<'_>,
        prior: &Recorded,
        present: &Seen,
        planned: &Attributes,
    ) -> Result<Kept, ProviderError>;

    /// Deletes the object; gone already is a success.
    async fn delete(
        &self,
        place: &Place<'_>,
        prior: &Attributes,
        kept: &Kept,
        removes_data: bool,
    ) -> Result<(), ProviderError>;

    /// Whether what is seen after a deletion is what was to go, and not what somebody else has there.
    fn was_to_go(&self, _prior: &Attributes, _seen: &Seen) -> bool {
        true
    }

    /// How much data it holds.
    async fn count(&self, _place: &Place<'_>, _named: &Attributes) -> Result<DataAmount, ProviderError> {
        Ok(DataAmount::Empty)
    }

    /// Whether an object that is there comes from an attempt that made something then, if it did.
    async fn is_ours(
        &self,
        place: &Place<'_>,
        seen: &Seen,
        _planned: &Attributes,
        made: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        let is_own = match &seen.made_by {
            Some(by) if !by.is_empty() => by == place.workspace.me(&place.within).await?,
            _ => false,
        };
        Ok(is_own && seen.made_at.is_some_and(|at| made.contains(&at)))
    }
}

/// Whether what has the name of the object on record now is another one. Where it cannot be told it is taken for the same.
pub(crate) async fn is_made_anew(object: &dyn Object, place: &Place<'_>, named: &Attributes, kept: &Kept) -> bool {
    let Some(made) = &kept.made else { return false };
    let now = object.read(place, named, &Attributes::default(), &Kept::default()).await;
    let now = now.ok().flatten().and_then(|seen| seen.kept.made);
    now.is_some_and(|now| now != *made)
}

/// Has somebody made the object anew, under the name of the one on record, that is recorded by a call of its own, so that it
/// is seen. The attribute tells the two apart.
pub(crate) fn notice_another(change: &ProposedChange<'_>, planned: &mut PlannedChange, attribute: &str) {
    let Some(prior) = change.prior else { return };
    let kept = Kept::of(&prior.private).made;
    if kept.is_some() && planned.replace_paths.is_empty() && kept != optional_text(&prior.attributes, attribute) {
        planned.planned.insert(attribute.to_owned(), Value::Unknown);
    }
}

/// What does the work of a type.
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
        other => return Err(ProviderError::bug(format!("there is no type {other}"))),
    })
}

/// The parts of an id in the one form that objects are told apart by: hosts, users and names of Unity Catalog and of Azure
/// know no case.
pub(crate) fn id_parts(ty: &ResourceType, identity: &Attributes) -> Vec<String> {
    let is_in_catalog = ty.identity.contains(&"metastoreId");
    let is_of_azure = azure::interface(ty.name) == Some(Interface::Management);
    let part = |name: &&str| {
        let value = text(identity, name);
        match *name {
            "workspaceUrl" => Workspaces::url(&value).map_or(value, |base| base.shown().to_owned()),
            "path" => directory::normalised(&value),
            "principal" => match optional_text(identity, "principalKind") {
                Some(kind) => principal::told_apart_as(&kind, &value),
                None => principal::told_apart(&value),
            },
            "metastoreId" | "privilege" => value,
            _ if is_in_catalog || is_of_azure => value.to_lowercase(),
            _ => value,
        }
    };
    ty.identity.iter().map(part).collect()
}

/// When something was made, of milliseconds of an answer.
pub(crate) fn time_of(json: &Json, name: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(json.get(name)?.as_i64()?).ok()
}
