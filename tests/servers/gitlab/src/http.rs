//! The server: headers and tokens; and its control by tests.

use crate::api::{Caller, answer};
use crate::world::{Issue, MergeRequest, Note, World};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Mutex;
use terrace_test_listening::strict::{Api, Call, Incoming, Outcome, Server, fault, refused};
use terrace_test_listening::{decode, lock, pairs};

/// The data and the tokens.
#[derive(Debug, Default)]
pub struct GitLab {
    world: Mutex<World>,
    tokens: Mutex<BTreeMap<String, Caller>>,
}

/// A stand-in with the project 42, running until it is dropped. The token `project-token` is an access token of the account
/// `project_42_bot` with the scope `api`; the token `job-token` of a job may call nothing that terrace needs.
#[derive(Debug, Clone)]
pub struct StandIn(Server<GitLab>);

impl Deref for StandIn {
    type Target = Server<GitLab>;

    fn deref(&self) -> &Server<GitLab> {
        &self.0
    }
}

impl StandIn {
    /// The access token of the project.
    pub const TOKEN: &str = "project-token-of-the-test";
    /// The token of a job.
    pub const JOB_TOKEN: &str = "job-token-of-the-test";
    /// The account of the access token.
    pub const ACCOUNT: &str = "project_42_bot";

    /// Starts a stand-in.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Self {
        let stand_in = Self(Server::start());
        stand_in.permit(true);
        stand_in
    }

    /// The URL of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/api/v4", self.0.url())
    }

    /// Lets the access token write (scope `api`), or only read (scope `read_api`).
    pub fn permit(&self, may_write: bool) {
        let caller = Caller { name: Self::ACCOUNT.to_owned(), may_write };
        lock(&self.api().tokens).insert(Self::TOKEN.to_owned(), caller);
    }

    /// Revokes the access token.
    pub fn revoke(&self) {
        lock(&self.api().tokens).clear();
    }

    /// Gives an account an access level: 20 for a reporter, 30 for a developer, 40 for a maintainer.
    pub fn add_member(&self, name: &str, level: u64) {
        lock(&self.api().world).members.insert(name.to_owned(), level);
    }

    /// Gives an account an access level in a group.
    pub fn add_group_member(&self, group: &str, name: &str, level: u64) {
        lock(&self.api().world).groups.entry(group.to_owned()).or_default().insert(name.to_owned(), level);
    }

    /// Opens a merge request, and returns its number.
    #[must_use]
    pub fn open(&self, author: &str, head: &str, base: &str, is_fork: bool) -> u64 {
        let mut world = lock(&self.api().world);
        let iid = world.next();
        let request = MergeRequest {
            iid,
            author: author.to_owned(),
            head: head.to_owned(),
            base: base.to_owned(),
            branch: "main".to_owned(),
            is_fork,
            merged: None,
            squash: None,
            commits: Vec::new(),
        };
        world.requests.insert(iid, request);
        iid
    }

    /// Changes a merge request.
    ///
    /// # Panics
    /// When the merge request does not exist.
    pub fn change(&self, iid: u64, change: impl FnOnce(&mut MergeRequest)) {
        change(lock(&self.api().world).requests.get_mut(&iid).expect("a merge request"));
    }

    /// Adds a note, and returns its number.
    pub fn comment(&self, author: &str, request: u64, text: &str) -> u64 {
        let mut world = lock(&self.api().world);
        let id = world.next();
        let (author, text) = (author.to_owned(), text.to_owned());
        world.notes.push(Note { id, request, author, text, is_edited: false, is_system: false });
        id
    }

    /// Adds a note that GitLab writes for an account about an event.
    pub fn system_note(&self, author: &str, request: u64, text: &str) {
        let id = self.comment(author, request, text);
        let mut world = lock(&self.api().world);
        world.notes.iter_mut().filter(|note| note.id == id).for_each(|note| note.is_system = true);
    }

    /// Changes a note as its author may.
    ///
    /// # Panics
    /// When the note does not exist.
    pub fn edit_comment(&self, id: u64, text: &str) {
        let mut world = lock(&self.api().world);
        let note = world.notes.iter_mut().find(|note| note.id == id).expect("a note");
        (note.text, note.is_edited) = (text.to_owned(), true);
    }

    /// Deletes all notes.
    pub fn delete_comments(&self) {
        lock(&self.api().world).notes.clear();
    }

    /// The notes of a merge request.
    #[must_use]
    pub fn comments(&self, request: u64) -> Vec<Note> {
        lock(&self.api().world).notes.iter().filter(|note| note.request == request).cloned().collect()
    }

    /// All commit statuses, as they were posted.
    #[must_use]
    pub fn statuses(&self) -> Vec<Json> {
        lock(&self.api().world).statuses.clone()
    }

    /// All issues.
    #[must_use]
    pub fn issues(&self) -> Vec<Issue> {
        lock(&self.api().world).issues.values().cloned().collect()
    }
}

impl Api for GitLab {
    const LIMITED: (u16, &'static str) = (429, "Retry later");

    fn carry_out(&self, incoming: &Incoming) -> Outcome {
        // https://docs.gitlab.com/api/rest/authentication/
        let token = incoming.header("private-token");
        if token.is_empty() && incoming.header("job-token") == StandIn::JOB_TOKEN {
            // https://docs.gitlab.com/ci/jobs/ci_job_token/#job-token-access
            return Err(refused(403, "403 Forbidden: a job token cannot call this endpoint"));
        }
        let caller = lock(&self.tokens).get(token).cloned().ok_or_else(|| refused(401, "401 Unauthorized"))?;
        let Incoming { method, uri, body, .. } = incoming;
        let body = match body.is_empty() {
            true => Json::Null,
            false => serde_json::from_slice(body).map_err(|_| fault(400, "400 Bad request: JSON"))?,
        };
        let path = uri.path().strip_prefix("/api/v4").unwrap_or("/");
        let path: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let query = pairs(uri.query().unwrap_or_default()).collect();
        let call = Call { method: method.as_str(), path: &path, query, body, page_size: 20, invalid: 400 };
        answer(&mut lock(&self.world), &caller, &call)
    }

    fn refusal(message: &str) -> Json {
        json!({ "message": message })
    }
}
