//! The server: headers and tokens; and its control by tests.

use crate::api::{Caller, answer};
use crate::world::{Comment, Issue, Pull, Review, World};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Mutex;
use terrace_test_listening::strict::{Api, Call, Incoming, Outcome, Server, fault, refused};
use terrace_test_listening::{decode, lock, pairs};

/// The data and the tokens.
#[derive(Debug, Default)]
pub struct GitHub {
    world: Mutex<World>,
    tokens: Mutex<BTreeMap<String, Caller>>,
}

/// A stand-in with the repository `acme/products`, running until it is dropped. The token `job-token` is that of a job: the
/// account `github-actions[bot]` with all permissions that a job may have.
#[derive(Debug, Clone)]
pub struct StandIn(Server<GitHub>);

impl Deref for StandIn {
    type Target = Server<GitHub>;

    fn deref(&self) -> &Server<GitHub> {
        &self.0
    }
}

impl StandIn {
    /// The token of a job.
    pub const TOKEN: &str = "job-token-of-the-test";
    /// The account of this token.
    pub const ACCOUNT: &str = "github-actions[bot]";
    /// The permissions of this token.
    pub const PERMISSIONS: [&str; 5] =
        ["contents: read", "pull-requests: write", "issues: write", "checks: write", "statuses: write"];

    /// Starts a stand-in.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Self {
        let stand_in = Self(Server::start());
        stand_in.permit(&Self::PERMISSIONS);
        stand_in
    }

    /// Replaces the permissions of the job's token.
    pub fn permit(&self, permissions: &[&str]) {
        let permissions: BTreeSet<String> = permissions.iter().map(|text| (*text).to_owned()).collect();
        let caller = Caller { login: Self::ACCOUNT.to_owned(), permissions, is_app: true };
        lock(&self.api().tokens).insert(Self::TOKEN.to_owned(), caller);
    }

    /// Makes the job's token one of an app with this account, such as `plans[bot]`.
    pub fn install(&self, login: &str) {
        lock(&self.api().tokens).get_mut(Self::TOKEN).expect("the token of the job").login = login.to_owned();
    }

    /// Revokes the job's token.
    pub fn revoke(&self) {
        lock(&self.api().tokens).clear();
    }

    /// Gives an account a role: `read`, `triage`, `write`, `maintain` or `admin`.
    pub fn add_user(&self, login: &str, role: &'static str) {
        lock(&self.api().world).users.insert(login.to_owned(), role);
    }

    /// Adds an account to a team of the organization.
    pub fn add_member(&self, team: &str, login: &str) {
        lock(&self.api().world).teams.entry(team.to_owned()).or_default().insert(login.to_owned());
    }

    /// Opens a pull request, and returns its number.
    #[must_use]
    pub fn open(&self, author: &str, head: &str, base: &str, is_fork: bool) -> u64 {
        let mut world = lock(&self.api().world);
        let number = world.next();
        let pull = Pull {
            number,
            author: author.to_owned(),
            head: head.to_owned(),
            base: base.to_owned(),
            branch: "main".to_owned(),
            is_fork,
            merged: None,
            commits: Vec::new(),
        };
        world.pulls.insert(number, pull);
        number
    }

    /// Changes a pull request.
    ///
    /// # Panics
    /// When the pull request does not exist.
    pub fn change(&self, number: u64, change: impl FnOnce(&mut Pull)) {
        change(lock(&self.api().world).pulls.get_mut(&number).expect("a pull request"));
    }

    /// Adds a comment, and returns its number.
    pub fn comment(&self, author: &str, pull: u64, text: &str) -> u64 {
        let mut world = lock(&self.api().world);
        let id = world.next();
        world.comments.push(Comment { id, pull, author: author.to_owned(), text: text.to_owned(), edited: None });
        id
    }

    /// Changes a comment some seconds after its creation, as a person may.
    ///
    /// # Panics
    /// When the comment does not exist.
    pub fn edit_comment(&self, id: u64, text: &str, seconds: i64) {
        let mut world = lock(&self.api().world);
        let comment = world.comments.iter_mut().find(|comment| comment.id == id).expect("a comment");
        (comment.text, comment.edited) = (text.to_owned(), Some(seconds));
    }

    /// Changes the text of the last review, as a person may.
    ///
    /// # Panics
    /// Without a review.
    pub fn edit_review(&self, text: &str) {
        let mut world = lock(&self.api().world);
        let review = world.reviews.last_mut().expect("a review");
        (review.text, review.edited) = (text.to_owned(), Some(60));
    }

    /// Deletes all comments.
    pub fn delete_comments(&self) {
        lock(&self.api().world).comments.clear();
    }

    /// Adds a review with the state `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED` or `DISMISSED`.
    pub fn review(&self, author: &str, pull: u64, state: &'static str, text: &str) {
        let review = Review { pull, author: author.to_owned(), state, text: text.to_owned(), edited: None };
        lock(&self.api().world).reviews.push(review);
    }

    /// The comments of a pull request.
    #[must_use]
    pub fn comments(&self, pull: u64) -> Vec<Comment> {
        lock(&self.api().world).comments.iter().filter(|comment| comment.pull == pull).cloned().collect()
    }

    /// All check runs, as they were posted.
    #[must_use]
    pub fn checks(&self) -> Vec<Json> {
        lock(&self.api().world).checks.clone()
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

    /// Opens an issue as an account.
    pub fn open_issue(&self, author: &str, title: &str, text: &str, label: &str) {
        let mut world = lock(&self.api().world);
        let number = world.next();
        let (author, title, text) = (author.to_owned(), title.to_owned(), text.to_owned());
        world
            .issues
            .insert(number, Issue { number, author, title, text, labels: vec![label.to_owned()], is_open: true });
    }
}

impl Api for GitHub {
    const CONTENT_TYPE: &'static str = "application/json; charset=utf-8";
    const HEADERS: &'static [(&'static str, &'static str)] = &[("x-ratelimit-remaining", "4000")];
    const LIMITED: (u16, &'static str) = (403, "API rate limit exceeded for installation ID 1");

    fn carry_out(&self, incoming: &Incoming) -> Outcome {
        // https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api
        if incoming.header("user-agent").is_empty() {
            return Err(fault(403, "Request forbidden by administrative rules: no User-Agent"));
        }
        let is_right = incoming.header("accept") == "application/vnd.github+json"
            && incoming.header("x-github-api-version") == "2022-11-28";
        if !is_right {
            return Err(fault(415, "Accept or X-GitHub-Api-Version"));
        }
        let token = incoming.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let caller = lock(&self.tokens).get(token).cloned().ok_or_else(|| refused(401, "Bad credentials"))?;
        let Incoming { method, uri, body, .. } = incoming;
        let body = match body.is_empty() {
            true => Json::Null,
            false => serde_json::from_slice(body).map_err(|_| fault(400, "Problems parsing JSON"))?,
        };
        let path: Vec<String> = uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let query = pairs(uri.query().unwrap_or_default()).collect();
        let call = Call { method: method.as_str(), path: &path, query, body, page_size: 30, invalid: 422 };
        answer(&mut lock(&self.world), &caller, &call)
    }

    fn refusal(message: &str) -> Json {
        json!({"message": message, "documentation_url": "https://docs.github.com/rest"})
    }
}
