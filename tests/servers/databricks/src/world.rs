//! The data of the workspace and its metastore.

use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// The id of the one metastore.
pub(crate) const METASTORE: &str = "0aa0aa00-0000-4000-8000-00000000a0a0";
/// The id of the workspace.
pub(crate) const WORKSPACE: i64 = 1_234_567_890_123;

/// A job, with settings in the API's form.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) creator: String,
    pub(crate) run_as: String,
    pub(crate) created: i64,
    pub(crate) settings: Json,
}

/// A pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) creator: String,
    pub(crate) modified: i64,
    pub(crate) spec: Json,
    /// The tables that it owns.
    pub(crate) tables: BTreeSet<String>,
}

/// An object in the tree of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) id: i64,
    pub(crate) kind: &'static str,
    /// The repository of a repo.
    pub(crate) repo: Option<Repo>,
}

/// A checked-out repository.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    pub(crate) url: String,
    pub(crate) provider: String,
    pub(crate) branch: Option<String>,
    pub(crate) head: String,
}

/// A direct entry of an access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `user_name`, `group_name` or `service_principal_name`.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) level: String,
}

/// A received statement.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) actor: String,
    /// Number of polls before it runs.
    pub(crate) polls: usize,
    pub(crate) outcome: Option<Result<(), String>>,
}

/// The data of a stand-in.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    ids: i64,
    pub(crate) jobs: BTreeMap<i64, Job>,
    pub(crate) pipelines: BTreeMap<String, Pipeline>,
    pub(crate) objects: BTreeMap<String, Object>,
    pub(crate) credentials: BTreeMap<i64, Json>,
    /// Direct entries by kind of object and id.
    pub(crate) acls: BTreeMap<(String, String), Vec<Entry>>,
    pub(crate) has_metastore: bool,
    /// The metastore that the workspace reports instead of the usual one.
    pub(crate) other_metastore: Option<String>,
    pub(crate) metastore_owner: String,
    pub(crate) catalogs: BTreeMap<String, Json>,
    pub(crate) schemas: BTreeMap<String, Json>,
    pub(crate) tables: BTreeMap<String, Json>,
    /// Other objects in schemas, by kind (`volumes`, `functions`, `models`) and full name.
    pub(crate) others: BTreeMap<(String, String), Json>,
    /// Privileges by kind of securable and full name, then by principal.
    pub(crate) grants: BTreeMap<(String, String), BTreeMap<String, BTreeSet<String>>>,
    pub(crate) warehouses: Vec<Json>,
    pub(crate) clusters: Vec<Json>,
    pub(crate) users: Vec<Json>,
    pub(crate) groups: Vec<Json>,
    /// Members: group and principal.
    pub(crate) members: BTreeSet<(String, String)>,
    pub(crate) service_principals: Vec<Json>,
    pub(crate) statements: BTreeMap<String, Statement>,
    /// Statements that contain one of these texts are not permitted.
    pub(crate) denied_sql: Vec<String>,
    /// Service principals that no job may run as.
    pub(crate) denied_run_as: Vec<String>,
    /// Repositories: branches and tags with their commits, by URL.
    pub(crate) remotes: BTreeMap<String, BTreeMap<String, String>>,
}

impl World {
    /// A new number.
    pub(crate) fn id(&mut self) -> i64 {
        self.ids += 1;
        1_000 + self.ids
    }

    /// A new id in the form of a UUID.
    pub(crate) fn uuid(&mut self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.id())
    }

    /// The time in milliseconds.
    pub(crate) fn now(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    /// The exact name of a user, a group or the application id of a service principal.
    pub(crate) fn known(&self, name: &str) -> Option<String> {
        ["user_name", "group_name", "service_principal_name"].iter().find_map(|kind| self.find_principal(kind, name))
    }

    pub(crate) fn has_principal(&self, kind: &str, name: &str) -> bool {
        self.find_principal(kind, name).is_some()
    }

    /// The same for one kind. Users and service principals ignore case; groups don't.
    pub(crate) fn find_principal(&self, kind: &str, name: &str) -> Option<String> {
        let known = |items: &[Json], field: &str| {
            let mut names = items.iter().filter_map(|it| it[field].as_str());
            names.find(|it| *it == name || (kind != "group_name" && it.eq_ignore_ascii_case(name))).map(str::to_owned)
        };
        match kind {
            "user_name" => known(&self.users, "userName"),
            "group_name" => known(&self.groups, "displayName"),
            _ => known(&self.service_principals, "applicationId"),
        }
    }

    /// True if a principal is in a group. Everyone is in `users`.
    pub(crate) fn is_in(&self, who: &str, group: &str) -> bool {
        group == "users" || self.members.contains(&(group.to_owned(), who.to_owned()))
    }

    /// True if a principal may create clusters by its own entitlements or those of its groups.
    pub(crate) fn can_create_clusters(&self, who: &str) -> bool {
        let is_entitled = |it: &Json| {
            it["entitlements"].as_array().into_iter().flatten().any(|it| it["value"] == "allow-cluster-create")
        };
        let own = self.users.iter().chain(&self.service_principals);
        let mut own = own.filter(|it| it["userName"] == who || it["applicationId"] == who);
        let mut groups =
            self.groups.iter().filter(|it| self.is_in(who, it["displayName"].as_str().unwrap_or_default()));
        self.is_in(who, "admins") || own.any(is_entitled) || groups.any(is_entitled)
    }

    /// True if a principal has a privilege on the metastore.
    pub(crate) fn has_metastore_privilege(&self, who: &str, privilege: &str) -> bool {
        let grants = self.grants.get(&("metastore".to_owned(), METASTORE.to_owned()));
        let mut held =
            grants.into_iter().flatten().filter(|(principal, _)| *principal == who || self.is_in(who, principal));
        self.metastore_owner == who || held.any(|(_, held)| held.contains(privilege))
    }

    /// One line for each object, for checks of leftovers.
    pub(crate) fn inventory(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines
            .extend(self.jobs.values().map(|job| format!("job {}", job.settings["name"].as_str().unwrap_or_default())));
        lines.extend(
            self.pipelines.values().map(|it| format!("pipeline {}", it.spec["name"].as_str().unwrap_or_default())),
        );
        lines.extend(self.objects.iter().map(|(path, it)| format!("{} {path}", it.kind)));
        lines.extend(
            self.credentials
                .values()
                .map(|it| format!("credential {}", it["git_provider"].as_str().unwrap_or_default())),
        );
        lines.extend(self.catalogs.keys().map(|name| format!("catalog {name}")));
        lines.extend(self.schemas.keys().map(|name| format!("schema {name}")));
        lines.extend(self.tables.keys().map(|name| format!("table {name}")));
        for ((kind, name), grants) in &self.grants {
            for (principal, privileges) in grants {
                lines.extend(privileges.iter().map(|it| format!("grant {it} on {kind} {name} to {principal}")));
            }
        }
        for ((kind, id), entries) in &self.acls {
            let shown = match kind.as_str() {
                "jobs" => id.parse().ok().and_then(|id: i64| self.jobs.get(&id)).map(|it| it.settings["name"].clone()),
                "pipelines" => self.pipelines.get(id).map(|it| it.spec["name"].clone()),
                _ => self.objects.iter().find(|(_, it)| it.id.to_string() == *id).map(|(path, _)| json!(path)),
            };
            // The list of a deleted object is ignored.
            let Some(shown) = shown else { continue };
            let shown = shown.as_str().unwrap_or_default();
            lines.extend(entries.iter().map(|it| format!("acl {kind} {shown}: {} {}", it.name, it.level)));
        }
        lines.sort();
        lines
    }
}
