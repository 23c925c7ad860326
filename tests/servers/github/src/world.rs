//! The data of a repository, and its forms in answers.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// The limit of a comment or issue in characters.
pub const ISSUE_LIMIT: usize = 65_536;

/// A pull request.
#[derive(Debug, Clone)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// The login of its author.
    pub author: String,
    /// The digest of its last commit.
    pub head: String,
    /// The digest of the base branch's commit.
    pub base: String,
    /// The base branch.
    pub branch: String,
    /// True if its branch is in a fork.
    pub is_fork: bool,
    /// The digest of the commit that the merge put at the end of the base branch, once merged.
    pub merged: Option<String>,
    /// Its commits, oldest first.
    pub commits: Vec<Commit>,
}

/// A commit of a pull request.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its digest.
    pub sha: String,
    /// The login of its author; `None` for an address of no account.
    pub author: Option<String>,
}

/// A comment of a pull request.
#[derive(Debug, Clone)]
pub struct Comment {
    /// Its number.
    pub id: u64,
    /// The number of the pull request.
    pub pull: u64,
    /// The login of its author.
    pub author: String,
    /// Its text.
    pub text: String,
    /// The seconds from its creation to its last edit; `None` without an edit.
    pub edited: Option<i64>,
}

/// An issue.
#[derive(Debug, Clone)]
pub struct Issue {
    /// Its number.
    pub number: u64,
    /// The login of its author.
    pub author: String,
    /// Its title.
    pub title: String,
    /// Its text.
    pub text: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// True until it is closed.
    pub is_open: bool,
}

/// A review of a pull request.
#[derive(Debug, Clone)]
pub(crate) struct Review {
    pub(crate) pull: u64,
    pub(crate) author: String,
    pub(crate) state: &'static str,
    pub(crate) text: String,
    /// As of a comment. The REST API does not show it.
    pub(crate) edited: Option<i64>,
}

/// A repository.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// The permission of each account.
    pub(crate) users: BTreeMap<String, &'static str>,
    /// The members of each team.
    pub(crate) teams: BTreeMap<String, BTreeSet<String>>,
    pub(crate) pulls: BTreeMap<u64, Pull>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) reviews: Vec<Review>,
    pub(crate) issues: BTreeMap<u64, Issue>,
    /// Check runs as they were posted.
    pub(crate) checks: Vec<Json>,
    /// Commit statuses as they were posted, with the commit in `sha`.
    pub(crate) statuses: Vec<Json>,
    last: u64,
}

impl World {
    /// A new number of a pull request, an issue or a comment.
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// An account in an answer. Its number is stable for a login.
pub(crate) fn user(login: &str) -> Json {
    let id: u64 = login.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003);
    let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
    json!({"login": login, "id": id, "type": kind, "site_admin": false})
}

/// A time in whole seconds, as both APIs show it.
fn time(seconds: i64) -> String {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap().to_string()
}

impl Pull {
    pub(crate) fn to_json(&self) -> Json {
        let head_repository =
            if self.is_fork { json!({"id": 2, "full_name": "mallory/products"}) } else { repository() };
        json!({
            "number": self.number, "state": if self.merged.is_some() { "closed" } else { "open" }, "user": user(&self.author),
            "title": "Change", "draft": false, "merged": self.merged.is_some(),
            "merged_at": self.merged.as_ref().map(|_| time(60)), "merge_commit_sha": self.merged,
            "head": {"sha": self.head, "ref": "branch", "repo": head_repository},
            "base": {"sha": self.base, "ref": self.branch, "repo": repository()},
        })
    }
}

impl Commit {
    pub(crate) fn to_json(&self) -> Json {
        let author = self.author.as_deref().map(user);
        json!({"sha": self.sha, "author": author, "committer": null, "parents": [], "commit": {"message": "Change"}})
    }
}

fn repository() -> Json {
    json!({"id": 1, "full_name": "acme/products", "default_branch": "main"})
}

impl Comment {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.id, "node_id": format!("{COMMENT_NODE}{}", self.id), "user": user(&self.author), "body": self.text,
            "author_association": "NONE", "created_at": time(0), "updated_at": time(self.edited.unwrap_or_default()),
        })
    }
}

impl Review {
    pub(crate) fn to_json(&self, id: usize) -> Json {
        json!({
            "id": id, "node_id": format!("{REVIEW_NODE}{id}"), "user": user(&self.author), "body": self.text,
            "author_association": "NONE", "state": self.state, "submitted_at": time(0), "commit_id": null,
        })
    }
}

/// Beginnings of node numbers.
const COMMENT_NODE: &str = "IC_";
const REVIEW_NODE: &str = "PRR_";

impl World {
    /// The fields `fullDatabaseId` and `lastEditedAt` of a comment or review; null for an unknown node.
    pub(crate) fn edits(&self, node: &str) -> Json {
        let shown = |id: &str, edited: Option<i64>| json!({"fullDatabaseId": id, "lastEditedAt": edited.map(time)});
        let comment = node.strip_prefix(COMMENT_NODE).and_then(|id| {
            let comment = self.comments.iter().find(|comment| comment.id.to_string() == id)?;
            Some(shown(id, comment.edited))
        });
        let review = node.strip_prefix(REVIEW_NODE).and_then(|id| {
            let review = self.reviews.get(id.parse::<usize>().ok()?.checked_sub(1)?)?;
            Some(shown(id, review.edited))
        });
        comment.or(review).unwrap_or_default()
    }
}

impl Issue {
    pub(crate) fn to_json(&self) -> Json {
        let labels: Vec<Json> = self.labels.iter().map(|name| json!({"name": name})).collect();
        json!({
            "number": self.number, "user": user(&self.author), "title": self.title, "body": self.text, "labels": labels,
            "state": if self.is_open { "open" } else { "closed" },
        })
    }
}
