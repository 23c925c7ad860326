//! What there is in the workspace and its metastore.

use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// The id of the one metastore.
pub(crate) const METASTORE: &str = "0aa0aa00-0000-4000-8000-00000000a0a0";
/// The id of the workspace.
pub(crate) const WORKSPACE: i64 = 1_234_567_890_123;

/// A job with the settings as they are read.
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

/// Something in the tree of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) id: i64,
    pub(crate) kind: &'static str,
    /// Of a repo.
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

/// One direct entry of an access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `user_name`, `group_name` or `service_principal_name`.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) level: String,
}

/// A statement that came in.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) actor: String,
    /// How often it is asked for before it runs.
    pub(crate) polls: usize,
    pub(crate) outcome: Option<Result<(), String>>,
}

/// Everything.
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
    /// The metastore that the workspace says it is of, instead of the usual one.
    pub(crate) other_metastore: Option<String>,
    pub(crate) metastore_owner: String,
    pub(crate) catalogs: BTreeMap<String, Json>,
    pub(crate) schemas: BTreeMap<String, Json>,
    pub(crate) tables: BTreeMap<String, Json>,
    /// What else schemas hold, by kind (`volumes`, `functions`, `models`) and full name.
    pub(crate) others: BTreeMap<(String, String), Json>,
    /// Privileges by kind of securable and full name, then by principal.
    pub(crate) grants: BTreeMap<(String, String), BTreeMap<String, BTreeSet<String>>>,
    pub(crate) warehouses: Vec<Json>,
    pub(crate) clusters: Vec<Json>,
    pub(crate) users: Vec<Json>,
    pub(crate) groups: Vec<Json>,
    /// Names of groups, each with somebody who is in it.
    pub(crate) members: BTreeSet<(String, String)>,
    pub(crate) service_principals: Vec<Json>,
    pub(crate) statements: BTreeMap<String, Statement>,
    /// Statements with one of these texts are not permitted.
    pub(crate) denied_sql: Vec<String>,
    /// Whom nobody may run a job as.
    pub(crate) denied_run_as: Vec<String>,
    /// What repositories have: branches and tags with their heads, by URL.
    pub(crate) remotes: BTreeMap<String, BTreeMap<String, String>>,
}

impl World {
    /// A number that nothing had before.
    pub(crate) fn id(&mut self) -> i64 {
        self.ids += 1;
        1_000 + self.ids
    }

    /// An id in the form of a UUID that nothing had before.
    pub(crate) fn uuid(&mut self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.id())
    }

    /// The time in milliseconds.
    pub(crate) fn now(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    /// What somebody is called who is known by a name: a user, a group, the application id of a service principal.
    pub(crate) fn known(&self, name: &str) -> Option<String> {
        ["user_name", "group_name", "service_principal_name"].iter().find_map(|kind| self.known_as(kind, name))
    }

    pub(crate) fn knows_as(&self, kind: &str, name: &str) -> bool {
        self.known_as(kind, name).is_some()
    }

    /// The same of one kind: users and service principals are the same in any case, groups are not.
    pub(crate) fn known_as(&self, kind: &str, name: &str) -> Option<String> {
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

    /// Whether somebody is in a group: of `users` is everybody, of others who was put there.
    pub(crate) fn is_in(&self, who: &str, group: &str) -> bool {
        group == "users" || self.members.contains(&(group.to_owned(), who.to_owned()))
    }

    /// Whether somebody may make clusters, by what they or their groups are entitled to.
    pub(crate) fn may_make_clusters(&self, who: &str) -> bool {
        let is_entitled = |it: &Json| {
            it["entitlements"].as_array().into_iter().flatten().any(|it| it["value"] == "allow-cluster-create")
        };
        let own = self.users.iter().chain(&self.service_principals);
        let mut own = own.filter(|it| it["userName"] == who || it["applicationId"] == who);
        let mut groups =
            self.groups.iter().filter(|it| self.is_in(who, it["displayName"].as_str().unwrap_or_default()));
        self.is_in(who, "admins") || own.any(is_entitled) || groups.any(is_entitled)
    }

    /// Whether somebody has a privilege on the metastore.
    pub(crate) fn may_in_metastore(&self, who: &str, privilege: &str) -> bool {
        let grants = self.grants.get(&("metastore".to_owned(), METASTORE.to_owned()));
        let mut held =
            grants.into_iter().flatten().filter(|(principal, _)| *principal == who || self.is_in(who, principal));
        self.metastore_owner == who || held.any(|(_, held)| held.contains(privilege))
    }

    /// One line for each thing that is there, so that tests see what is left.
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
            // Lists go with their objects.
            let Some(shown) = shown else { continue };
            let shown = shown.as_str().unwrap_or_default();
            lines.extend(entries.iter().map(|it| format!("acl {kind} {shown}: {} {}", it.name, it.level)));
        }
        lines.sort();
        lines
    }
}
