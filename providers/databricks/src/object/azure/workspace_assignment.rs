//! Users and administrators of workspaces: <https://docs.databricks.com/api/account/workspaceassignment>.

use super::{account, shown, takes_existing};
use crate::attributes::{attributes, id_of, list, text, texts};
use crate::object::{Object, Place, Seen};
use crate::private::Kept;
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
const SETTLES: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(2);

pub(crate) struct WorkspaceAssignment;

/// Recognizes the account's error for a workspace without a metastore, which persists for a while after the assignment:
/// <https://github.com/databricks/terraform-provider-databricks/issues/2739>.
fn is_not_yet(error: &ProviderError) -> bool {
    let says = |text: &str| error.message.to_lowercase().contains(text);
    ["not available for this workspace", "not supported for current workspace", "not in workspace"]
        .into_iter()
        .any(says)
}

fn is_same_set(first: &[String], second: &[String]) -> bool {
    first.iter().all(|it| second.contains(it)) && second.iter().all(|it| first.contains(it))
}

impl WorkspaceAssignment {
    async fn give(place: &Place<'_>, named: &Attributes, permissions: &[String]) -> Result<(), ProviderError> {
        let (workspace, principal) = (text(named, "workspaceId"), text(named, "principalId"));
        let request = Request::put(ONE, &[account(place)?, &workspace, &principal]);
        let request = request.json(json!({"permissions": permissions})).idempotent();
        let purpose = Purpose::to(format!("assign the principal {principal} to the workspace {workspace}"))
            .at(Path::attribute("principalId"))
            .needs("make the service principal an administrator of the account");
        let patience = Instant::now() + SETTLES.min(place.within.left());
        loop {
            match place.send(&request, &purpose).await {
                Err(error) if is_not_yet(&error) && Instant::now() + PAUSE < patience => sleep(PAUSE).await,
                Err(error) if is_not_yet(&error) => {
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
        place: &Place<'_>,
        named: &Attributes,
        like: &Attributes,
        kept: &Kept,
    ) -> Result<Option<Seen>, ProviderError> {
        let (workspace, principal) = (text(named, "workspaceId"), text(named, "principalId"));
        let request = Request::get(ALL, &[account(place)?, &workspace]);
        let answer = place.ask(&request, &format!("read the assignments of the workspace {workspace}")).await;
        let rows = match answer {
            // The workspace has no principals of the account yet.
            Err(error) if is_not_yet(&error) => return Ok(None),
            answer => answer?.unwrap_or_default(),
        };
        let rows = rows.get("permission_assignments").and_then(Json::as_array).cloned().unwrap_or_default();
        let is_meant = |row: &&Json| {
            row.get("principal").and_then(|it| id_of(it, "principal_id")).is_some_and(|it| it == principal)
        };
        let Some(row) = rows.iter().find(is_meant) else { return Ok(None) };
        let held = row.get("permissions").and_then(Json::as_array).cloned().unwrap_or_default();
        let held: Vec<String> = held.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        if held.is_empty() {
            return Ok(None);
        }
        // The order is irrelevant.
        let wanted = texts(like, "permissions");
        let permissions = if is_same_set(&wanted, &held) { wanted } else { held.clone() };
        let seen = attributes([
            ("workspaceId", workspace.into()),
            ("principalId", principal.into()),
            ("permissions", list(&permissions)),
            shown(like),
        ]);
        Ok(Some(Seen { attributes: seen, kept: kept.clone(), held, ..Seen::default() }))
    }

    fn takes_what_is_there(&self, planned: &Attributes) -> bool {
        takes_existing(planned)
    }

    fn is_told_by_what_was_there(&self) -> bool {
        true
    }

    fn was_there_before(&self, seen: &Seen, planned: &Attributes) -> bool {
        !is_same_set(&seen.held, &texts(planned, "permissions"))
    }

    async fn create(&self, place: &Place<'_>, planned: &Attributes) -> Result<(Attributes, Kept), ProviderError> {
        let (before, wanted) = (self.held(place, planned).await?, texts(planned, "permissions"));
        if !is_same_set(&before, &wanted) {
            Self::give(place, planned, &wanted).await?;
        }
        Ok((Attributes::default(), Kept { preexisting: before, ..Kept::default() }))
    }

    async fn update(
        &self,
        place: &Place<'_>,
        prior: &Recorded,
        _present: &Seen,
        planned: &Attributes,
    ) -> Result<Kept, ProviderError> {
        Self::give(place, planned, &texts(planned, "permissions")).await?;
        Ok(Kept::of(&prior.private))
    }

    async fn delete(&self, place: &Place<'_>, prior: &Attributes, kept: &Kept, _: bool) -> Result<(), ProviderError> {
        if !kept.preexisting.is_empty() {
            // Restore the earlier permissions.
            return match self.read(place, prior, prior, kept).await? {
                Some(seen) if !is_same_set(&seen.held, &kept.preexisting) => {
                    Self::give(place, prior, &kept.preexisting).await
                }
                _ => Ok(()),
            };
        }
        let (workspace, principal) = (text(prior, "workspaceId"), text(prior, "principalId"));
        let request = Request::delete(ONE, &[account(place)?, &workspace, &principal]);
        let purpose = Purpose::to(format!("remove the principal {principal} from the workspace {workspace}"))
            .needs("make the service principal an administrator of the account");
        place.remove(request, &purpose).await
    }

    /// Assignments are idempotent, and there was no assignment before.
    async fn is_ours(
        &self,
        _: &Place<'_>,
        seen: &Seen,
        planned: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(is_same_set(&seen.held, &texts(planned, "permissions")))
    }
}
