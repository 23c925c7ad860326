//! The data of the tenant, the subscription and the account.

use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use terrace_test_databricks::StandIn;

/// The tenant.
pub const TENANT: &str = "11111111-aaaa-4000-8000-000000000001";
/// The application id of terrace's service principal.
pub const CLIENT: &str = "22222222-bbbb-4000-8000-000000000002";
/// Its secret.
pub const SECRET: &str = "azure~s3cret";
/// The subscription.
pub const SUBSCRIPTION: &str = "33333333-cccc-4000-8000-000000000003";
/// The existing resource group.
pub const GROUP: &str = "data";
/// The Databricks account.
pub const ACCOUNT: &str = "44444444-dddd-4000-8000-000000000004";
/// The id of the metastore `main`, the same in every workspace stand-in.
pub const METASTORE: &str = "0aa0aa00-0000-4000-8000-00000000a0a0";

/// The API that a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Management,
    Graph,
    Databricks,
}

/// An application that may get tokens.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) secrets: Vec<String>,
    /// Keys by the thumbprints of their certificates.
    pub(crate) keys: BTreeMap<String, Vec<u8>>,
    /// Trusted external tokens.
    pub(crate) federated: Vec<String>,
}

/// A workspace in Azure.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) resource: Json,
    /// Number of polls until its operation ends.
    pub(crate) left: usize,
    pub(crate) running_operation: Option<RunningOperation>,
    /// Its stand-in, once it is created.
    pub(crate) served: Option<Arc<StandIn>>,
    /// Applications with access.
    pub(crate) members: BTreeSet<String>,
}

/// A running operation of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunningOperation {
    Creating { fails: Option<(String, String)> },
    Updating,
    Deleting,
}

/// Deviations from a fast and consistent Azure.
#[derive(Debug, Default)]
pub(crate) struct Deviations {
    /// Number of reads of workspaces that are answered with "not found".
    pub(crate) not_found_reads: usize,
    /// Lists of the subscription have no new workspaces.
    pub(crate) has_stale_lists: bool,
    /// Number of polls by which an operation ends before its workspace is ready.
    pub(crate) ends_early: usize,
    /// The next workspace ends as `Canceled`.
    pub(crate) cancels: bool,
    /// Number of assignments that are refused after a workspace got a metastore.
    pub(crate) federates_after: usize,
    /// A repeated role assignment with the same id is a conflict.
    pub(crate) repeats_conflict: bool,
    /// Another base URL for the links of pages.
    pub(crate) next_link_base: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    ids: u64,
    pub(crate) clients: BTreeMap<String, Client>,
    /// Tokens with their client and API.
    pub(crate) tokens: BTreeMap<String, (String, Audience)>,
    /// Names of resource groups in lower case.
    pub(crate) groups: BTreeSet<String>,
    /// By their id in lower case.
    pub(crate) workspaces: BTreeMap<String, Workspace>,
    /// Operations: the workspace, and the outcome once it is known.
    pub(crate) operations: BTreeMap<String, (String, Option<Json>)>,
    /// Names of roles by id.
    pub(crate) roles: BTreeMap<String, String>,
    /// The caller's permissions in the resource group: actions and excluded actions.
    pub(crate) allowed_actions: Vec<(Vec<String>, Vec<String>)>,
    /// By scope and name in lower case.
    pub(crate) assignments: BTreeMap<(String, String), Json>,
    /// Principals of the tenant by kind: `users`, `groups`, `servicePrincipals`.
    pub(crate) directory: BTreeMap<&'static str, Vec<Json>>,
    /// Principals of the account by kind: `Users`, `Groups`, `ServicePrincipals`.
    pub(crate) account: BTreeMap<&'static str, Vec<Json>>,
    pub(crate) administrators: BTreeSet<String>,
    pub(crate) metastores: Vec<Json>,
    /// The metastores of workspaces by their number.
    pub(crate) workspace_metastores: BTreeMap<String, Json>,
    /// Permissions of principals in workspaces.
    pub(crate) workspace_permissions: BTreeMap<(String, String), Vec<String>>,
    /// Stand-ins for the next workspaces.
    pub(crate) next_stand_ins: VecDeque<Arc<StandIn>>,
    /// Number of polls until a workspace is created, changed or deleted.
    pub(crate) polls_until_done: usize,
    /// The creation of the next workspace fails with this code and message.
    pub(crate) fails: Option<(String, String)>,
    /// The metastore of new workspaces.
    pub(crate) default_metastore: Option<String>,
    /// Deviations and delays.
    pub(crate) deviations: Deviations,
}

impl World {
    pub(crate) fn number(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// A new id in the form of a UUID.
    pub(crate) fn uuid(&mut self) -> String {
        format!("00000000-0000-4000-9000-{:012x}", self.number())
    }

    /// The workspace with a number.
    pub(crate) fn numbered(&mut self, number: &str) -> Option<&mut Workspace> {
        self.workspaces.values_mut().find(|it| it.resource["properties"]["workspaceId"] == number)
    }

    /// One line for each object, for checks of leftovers.
    pub(crate) fn inventory(&self) -> Vec<String> {
        let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
        let mut lines: Vec<String> = self
            .workspaces
            .values()
            .map(|it| {
                let (name, properties) = (text(&it.resource["name"]), &it.resource["properties"]);
                let sku = text(&it.resource["sku"]["name"]);
                format!(
                    "workspace {name} {sku} {} {}",
                    text(&it.resource["location"]),
                    text(&properties["provisioningState"])
                )
            })
            .collect();
        for it in self.assignments.values() {
            let properties = &it["properties"];
            let role = text(&properties["roleDefinitionId"]);
            let role = self.roles.get(role.rsplit('/').next().unwrap_or_default()).cloned().unwrap_or(role);
            let who = self.directory.values().flatten().find(|who| who["id"] == properties["principalId"]);
            let who = who.map_or_else(|| text(&properties["principalId"]), |who| text(&who["displayName"]));
            let scope = text(&properties["scope"]);
            lines.push(format!("role {role} of {who} on {}", scope.rsplit('/').next().unwrap_or_default()));
        }
        for (workspace, it) in &self.workspace_metastores {
            lines.push(format!("metastore {} of {}", text(&it["metastore_id"]), self.name_of(workspace)));
        }
        for ((workspace, principal), permissions) in &self.workspace_permissions {
            let who = self.account.values().flatten().find(|who| who["id"] == principal.as_str());
            let who = who.map_or_else(|| principal.clone(), |who| text(&who["displayName"]));
            lines.push(format!("{who} is {} in {}", permissions.join(" "), self.name_of(workspace)));
        }
        lines.sort();
        lines
    }

    fn name_of(&self, number: &str) -> String {
        let found = self.workspaces.values().find(|it| it.resource["properties"]["workspaceId"] == number);
        found.and_then(|it| it.resource["name"].as_str()).unwrap_or(number).to_owned()
    }
}
