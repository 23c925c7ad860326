//! What there is in the tenant, the subscription and the account.

use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use terrace_test_databricks::StandIn;

/// Whom a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Management,
    Graph,
    Databricks,
}

/// An application that may ask for tokens.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) secrets: Vec<String>,
    /// Keys by the thumbprints of their certificates.
    pub(crate) keys: BTreeMap<String, Vec<u8>>,
    /// Tokens of somebody else that are trusted.
    pub(crate) federated: Vec<String>,
}

/// A workspace as Azure has it.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) resource: Json,
    /// So many questions until what goes on with it is done.
    pub(crate) left: usize,
    pub(crate) moves: Option<Moves>,
    /// Once it is there.
    pub(crate) served: Option<Arc<StandIn>>,
    /// Applications that it knows.
    pub(crate) members: BTreeSet<String>,
}

/// What goes on with a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moves {
    Creating { fails: Option<(String, String)> },
    Updating,
    Deleting,
}

/// How it differs from one that is quick and of one mind.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    /// So many questions for a new workspace, or for all of them, are answered as if there was none.
    pub(crate) unseen: usize,
    /// Lists of the subscription never have new workspaces.
    pub(crate) lists_are_old: bool,
    /// An operation ends so many questions before its workspace.
    pub(crate) ends_early: usize,
    /// The next workspace ends as `Canceled`.
    pub(crate) cancels: bool,
    /// So many calls about who may enter a workspace are refused after it was given a metastore.
    pub(crate) federates_after: usize,
    /// To give the same role once more by the same id is a conflict.
    pub(crate) repeats_conflict: bool,
    /// Where pages go on instead of here.
    pub(crate) astray: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    ids: u64,
    pub(crate) clients: BTreeMap<String, Client>,
    /// Whose tokens there are, and for whom.
    pub(crate) tokens: BTreeMap<String, (String, Audience)>,
    /// Names of resource groups in lower case.
    pub(crate) groups: BTreeSet<String>,
    /// By their id in lower case.
    pub(crate) workspaces: BTreeMap<String, Workspace>,
    /// What came of operations: the workspace, and the outcome once there is one.
    pub(crate) operations: BTreeMap<String, (String, Option<Json>)>,
    /// Names of roles by id.
    pub(crate) roles: BTreeMap<String, String>,
    /// What whoever asks may do in the resource group: actions, and those that are none of them.
    pub(crate) may: Vec<(Vec<String>, Vec<String>)>,
    /// By scope and name in lower case.
    pub(crate) assignments: BTreeMap<(String, String), Json>,
    /// Who is in the tenant, by kind: `users`, `groups`, `servicePrincipals`.
    pub(crate) directory: BTreeMap<&'static str, Vec<Json>>,
    /// Who is in the account, by kind: `Users`, `Groups`, `ServicePrincipals`.
    pub(crate) account: BTreeMap<&'static str, Vec<Json>>,
    pub(crate) administrators: BTreeSet<String>,
    pub(crate) metastores: Vec<Json>,
    /// The metastores of workspaces by their number.
    pub(crate) assigned: BTreeMap<String, Json>,
    /// What principals are in workspaces.
    pub(crate) entered: BTreeMap<(String, String), Vec<String>>,
    /// Workspaces that are waiting to be made.
    pub(crate) spare: VecDeque<Arc<StandIn>>,
    /// So many questions until a workspace is made, changed or gone.
    pub(crate) takes: usize,
    /// The next workspace is not made: code and message.
    pub(crate) fails: Option<(String, String)>,
    /// New workspaces get this metastore by themselves.
    pub(crate) assigns: Option<String>,
    /// How it keeps people waiting, and what it does that is seldom seen.
    pub(crate) ways: Ways,
}

impl World {
    pub(crate) fn number(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// An id in the form of a UUID that nothing had before.
    pub(crate) fn uuid(&mut self) -> String {
        format!("00000000-0000-4000-9000-{:012x}", self.number())
    }

    /// The workspace of a number.
    pub(crate) fn numbered(&mut self, number: &str) -> Option<&mut Workspace> {
        self.workspaces.values_mut().find(|it| it.resource["properties"]["workspaceId"] == number)
    }

    /// One line for each thing that is there, so that tests see what is left.
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
            let said = &it["properties"];
            let role = text(&said["roleDefinitionId"]);
            let role = self.roles.get(role.rsplit('/').next().unwrap_or_default()).cloned().unwrap_or(role);
            let who = self.directory.values().flatten().find(|who| who["id"] == said["principalId"]);
            let who = who.map_or_else(|| text(&said["principalId"]), |who| text(&who["displayName"]));
            let scope = text(&said["scope"]);
            lines.push(format!("role {role} of {who} on {}", scope.rsplit('/').next().unwrap_or_default()));
        }
        for (workspace, it) in &self.assigned {
            lines.push(format!("metastore {} of {}", text(&it["metastore_id"]), self.name_of(workspace)));
        }
        for ((workspace, principal), permissions) in &self.entered {
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
