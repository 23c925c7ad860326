//! Users and administrators of workspaces: <https://docs.databricks.com/api/account/workspaceassignment>.

use super::{account, shown, takes_existing};
use crate::attributes::{attributes, id_of, list, text, texts};
use crate::object::{Context, Object, Observation};
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use std::time::Duration;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{Attributes, Path, ProviderError, Recorded, Value};
use tokio::time::{Instant, sleep};

const ALL: &str = "/api/2.0/accounts/{account}/workspaces/{workspace}/permissionassignments";
const ONE: &str = "/api/2.0/accounts/{account}/workspaces/{workspace}/permissionassignments/principals/{principal}";
const PERMISSIONS: [&str; 2] = ["USER", "ADMIN"];

/// How long a workspace may need to see the account's principals after it gets a metastore.
const PROPAGATION_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(2);

pub(crate) struct WorkspaceAssignment;

/// Recognizes the account's error for a workspace without a metastore, which persists for a while after the assignment:
/// <https://github.com/databricks/terraform-provider-databricks/issues/2739>.
fn is_not_propagated(error: &ProviderError) -> bool {
    let contains = |text: &str| error.message.to_lowercase().contains(text);
    ["not available for this workspace", "not supported for current workspace", "not in workspace"]
        .into_iter()
        .any(contains)
}

fn is_same_set(first: &[String], second: &[String]) -> bool {
    first.iter().all(|it| second.contains(it)) && second.iter().all(|it| first.contains(it))
}

impl WorkspaceAssignment {
    async fn assign(context: &Context<'_>, named: &Attributes, permissions: &[String]) -> Result<(), ProviderError> {
        let (workspace, principal) = (text(named, "workspaceId"), text(named, "principalId"));
        let request = Request::put(ONE, &[account(context)?, &workspace, &principal]);
        let request = request.json(json!({"permissions": permissions})).idempotent();
        let purpose = Purpose::to(format!("assign the principal {principal} to the workspace {workspace}"))
            .at(Path::attribute("principalId"))
            .needs("make the service principal an administrator of the account");
        let deadline = Instant::now() + PROPAGATION_TIMEOUT.min(context.within.left());
        loop {
            match context.send(&request, &purpose).await {
                Err(error) if is_not_propagated(&error) && Instant::now() + PAUSE < deadline => sleep(PAUSE).await,
                Err(error) if is_not_propagated(&error) => {
                    return Err(
                        error.solution("assign a metastore to the workspace: without one it does not use the principals of the account")
                    );
                }
                done => return done.map(drop),
            }
        }
    }
}

#[async_trait]
impl Object for WorkspaceAssignment {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        let Some(permissions) = planned.get("permissions").and_then(Value::as_list) else { return Ok(()) };
        let path = Path::attribute("permissions");
        if permissions.is_empty() {
            return Err(ProviderError::invalid(Some(path), "the list of permissions is empty")
                .solution("write `USER` or `ADMIN`"));
        }
        if let [_, second, ..] = permissions {
            let given = second.as_str().unwrap_or_default();
            let message = format!("`{given}` is a second permission, but only one is allowed: `ADMIN` includes `USER`");
            return Err(ProviderError::invalid(Some(path.index(1)), message).solution("keep one of the two"));
        }
        let is_unknown = |it: &&Value| it.as_str().is_some_and(|text| !PERMISSIONS.contains(&text));
        match permissions.iter().position(|it| is_unknown(&it)) {
            Some(index) => {
                let given = permissions.get(index).and_then(Value::as_str).unwrap_or_default();
                let message = format!("`{given}` is not a permission on a workspace: expected `USER` or `ADMIN`");
                Err(ProviderError::invalid(Some(path.index(index)), message))
            }
            None => Ok(()),
        }
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let (workspace, principal) = (text(named, "workspaceId"), text(named, "principalId"));
        let request = Request::get(ALL, &[account(context)?, &workspace]);
        let answer =
            context.read_optional(&request, &format!("read the assignments of the workspace {workspace}")).await;
        let rows = match answer {
            // The workspace has no principals of the account yet.
            Err(error) if is_not_propagated(&error) => return Ok(None),
            answer => answer?.unwrap_or_default(),
        };
        let rows = rows.get("permission_assignments").and_then(Json::as_array).cloned().unwrap_or_default();
        let is_match = |row: &&Json| {
            row.get("principal").and_then(|it| id_of(it, "principal_id")).is_some_and(|it| it == principal)
        };
        let Some(row) = rows.iter().find(is_match) else { return Ok(None) };
        let held = row.get("permissions").and_then(Json::as_array).cloned().unwrap_or_default();
        let held: Vec<String> = held.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        if held.is_empty() {
            return Ok(None);
        }
        // The order is irrelevant.
        let wanted = texts(like, "permissions");
        let permissions = if is_same_set(&wanted, &held) { wanted } else { held.clone() };
        let observed = attributes([
            ("workspaceId", workspace.into()),
            ("principalId", principal.into()),
            ("permissions", list(&permissions)),
            shown(like),
        ]);
        Ok(Some(Observation { attributes: observed, private: private.clone(), held, ..Observation::default() }))
    }

    fn adopts_existing(&self, planned: &Attributes) -> bool {
        takes_existing(planned)
    }

    fn needs_prior_content(&self) -> bool {
        true
    }

    fn existed_before(&self, observed: &Observation, planned: &Attributes) -> bool {
        !is_same_set(&observed.held, &texts(planned, "permissions"))
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        let (before, wanted) = (self.held(context, planned).await?, texts(planned, "permissions"));
        if !is_same_set(&before, &wanted) {
            Self::assign(context, planned, &wanted).await?;
        }
        Ok((Attributes::default(), PrivateData { preexisting: before, ..PrivateData::default() }))
    }

    async fn update(
        &self,
        context: &Context<'_>,
        prior: &Recorded,
        _present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        Self::assign(context, planned, &texts(planned, "permissions")).await?;
        Ok(PrivateData::of(&prior.private))
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        private: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        if !private.preexisting.is_empty() {
            // Restore the earlier permissions.
            return match self.read(context, prior, prior, private).await? {
                Some(observed) if !is_same_set(&observed.held, &private.preexisting) => {
                    Self::assign(context, prior, &private.preexisting).await
                }
                _ => Ok(()),
            };
        }
        let (workspace, principal) = (text(prior, "workspaceId"), text(prior, "principalId"));
        let request = Request::delete(ONE, &[account(context)?, &workspace, &principal]);
        let purpose = Purpose::to(format!("remove the principal {principal} from the workspace {workspace}"))
            .needs("make the service principal an administrator of the account");
        context.remove(request, &purpose).await
    }

    /// Assignments are idempotent, and there was no assignment before.
    async fn is_from_attempt(
        &self,
        _: &Context<'_>,
        observed: &Observation,
        planned: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(is_same_set(&observed.held, &texts(planned, "permissions")))
    }
}
