//! External grants in Unity Catalog. They are read through a workspace of the metastore, because an access names no
//! workspace.

use crate::attributes::{attributes, list, optional_text, text_of};
use crate::object::{Context, grant};
use crate::principal::is_same;
use crate::rights::is_without_metastore;
use crate::workspaces::Workspace;
use std::sync::Arc;
use terrace_provider::http::Within;
use terrace_provider::{Attributes, ProviderError, Value};

/// A workspace with its metastore, and the principal of the instance there.
pub(crate) struct MetastoreWorkspace {
    pub(crate) workspace: Arc<Workspace>,
    metastore: String,
    me: String,
}

/// Returns one workspace for each metastore; skips workspaces without a metastore.
pub(crate) async fn metastore_workspaces(
    workspaces: &[Arc<Workspace>],
) -> Result<Vec<MetastoreWorkspace>, ProviderError> {
    let mut metastore_workspaces: Vec<MetastoreWorkspace> = Vec::new();
    for workspace in workspaces {
        let within = Within::reading();
        let metastore = match workspace.metastore(&within).await {
            Err(error) if is_without_metastore(&error) => continue,
            metastore => text_of(metastore?, "metastore_id").to_owned(),
        };
        // A second workspace of a metastore would return the same grants.
        if metastore_workspaces.iter().all(|it| it.metastore != metastore) {
            let me = workspace.me(&within).await?.to_owned();
            metastore_workspaces.push(MetastoreWorkspace { workspace: Arc::clone(workspace), metastore, me });
        }
    }
    Ok(metastore_workspaces)
}

impl MetastoreWorkspace {
    /// Returns true if an access belongs to this metastore. In another metastore, the name may mean another object.
    pub(crate) fn has(&self, access: &Attributes) -> bool {
        optional_text(access, "metastoreId").is_none_or(|id| id == self.metastore)
    }

    /// Returns all other principals with this access: principal, privileges, and the grant that holds them. If
    /// `is_single`, each privilege is a grant.
    pub(crate) async fn holders(
        &self,
        context: &Context<'_>,
        access: &Attributes,
        is_single: bool,
    ) -> Result<Vec<(String, String, Attributes)>, ProviderError> {
        let all = grant::holders(context, access, None).await?;
        let external = all.into_iter().filter(|(principal, held)| !is_same(principal, &self.me) && !held.is_empty());
        let named = |principal: &str, own: (&'static str, Value)| {
            let mut named = access.clone();
            let url = ("workspaceUrl", self.workspace.url.as_str().into());
            named.extend(attributes([url, ("principal", principal.into()), own]));
            named
        };
        let mut found = Vec::new();
        for (principal, held) in external {
            if is_single {
                for privilege in held {
                    let own = named(&principal, ("privilege", privilege.as_str().into()));
                    found.push((principal.clone(), privilege, own));
                }
            } else {
                let own = named(&principal, ("privileges", list(&held)));
                found.push((principal, held.join(", "), own));
            }
        }
        Ok(found)
    }
}
