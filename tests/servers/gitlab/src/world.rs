//! The data of a project, and its forms in answers.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// The limit of a note in characters: <https://docs.gitlab.com/administration/instance_limits/>.
pub const NOTE_LIMIT: usize = 1_000_000;

/// A merge request.
#[derive(Debug, Clone)]
pub struct MergeRequest {
    /// Its number in the project.
    pub iid: u64,
    /// The name of its author.
    pub author: String,
    /// The digest of its last commit.
    pub head: String,
    /// The digest of the target branch's commit.
    pub base: String,
    /// The target branch.
    pub branch: String,
    /// True if its branch is in a fork.
    pub is_fork: bool,
    /// The digest of the commit that the merge put at the end of the target branch, once merged: the head itself for a
    /// fast-forward.
    pub merged: Option<String>,
    /// The digest of the squashed commit, if the merge made one. A merge commit may follow it.
    pub squash: Option<String>,
    /// Further commits for which GitLab lists it.
    pub commits: Vec<String>,
}

/// A note of a merge request.
#[derive(Debug, Clone)]
pub struct Note {
    /// Its number.
    pub id: u64,
    /// The number of the merge request.
    pub request: u64,
    /// The name of its author.
    pub author: String,
    /// Its text.
    pub text: String,
    /// True after a change.
    pub is_edited: bool,
    /// True for GitLab's own notes about events.
    pub is_system: bool,
}

/// An issue.
#[derive(Debug, Clone)]
pub struct Issue {
    /// Its number in the project.
    pub iid: u64,
    /// The name of its author.
    pub author: String,
    /// Its title.
    pub title: String,
    /// Its description.
    pub text: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// True until it is closed.
    pub is_open: bool,
}

/// A project.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// The access level of each member.
    pub(crate) members: BTreeMap<String, u64>,
    /// The access levels of the members of each group.
    pub(crate) groups: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) requests: BTreeMap<u64, MergeRequest>,
    pub(crate) notes: Vec<Note>,
    pub(crate) issues: BTreeMap<u64, Issue>,
    /// Commit statuses as they were posted, with the commit in `sha`.
    pub(crate) statuses: Vec<Json>,
    last: u64,
}

impl World {
    /// A new number.
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// The number of an account, which is stable for a name.
pub(crate) fn id_of(name: &str) -> u64 {
    name.bytes().fold(11, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003)
}

/// An account in an answer.
pub(crate) fn user(name: &str) -> Json {
    json!({"id": id_of(name), "username": name, "name": name, "state": "active"})
}

/// A time with milliseconds, as GitLab shows it. An edit may follow at once.
fn time(is_later: bool) -> String {
    format!("{:.3}", Timestamp::from_millisecond(1_700_000_000_120 + i64::from(is_later)).unwrap())
}

impl MergeRequest {
    pub(crate) fn to_json(&self, is_list: bool) -> Json {
        let is_merge = |commit: &&String| **commit != self.head && Some(*commit) != self.squash.as_ref();
        let merge = self.merged.as_ref().filter(is_merge);
        let mut json = json!({
            "iid": self.iid, "id": 1000 + self.iid, "project_id": 42, "author": user(&self.author), "title": "Change",
            "state": if self.merged.is_some() { "merged" } else { "opened" }, "sha": self.head, "target_branch": self.branch,
            "source_branch": "branch", "source_project_id": if self.is_fork { 43 } else { 42 }, "target_project_id": 42,
            "merge_commit_sha": merge, "squash_commit_sha": self.squash,
        });
        if !is_list {
            json["diff_refs"] = json!({"base_sha": self.base, "head_sha": self.head, "start_sha": self.base});
        }
        json
    }
}

impl Note {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.id, "author": user(&self.author), "body": self.text, "system": self.is_system, "noteable_iid": self.request,
            "noteable_type": "MergeRequest", "created_at": time(false), "updated_at": time(self.is_edited),
        })
    }
}

impl Issue {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "iid": self.iid, "id": 2000 + self.iid, "author": user(&self.author), "title": self.title, "description": self.text,
            "labels": self.labels, "state": if self.is_open { "opened" } else { "closed" },
        })
    }
}
