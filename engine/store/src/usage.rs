//! Facts about the use of data pipelines, in entries of the audit log.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// The use of data pipelines by one call, or by one run. Unknown facts are absent. Caller, time, outcome and address are
/// in the entry itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// The action: `list`, `run`, `logs`, `cancel`, `db.create`, `db.extend`, `db.stop`, `db.expire`, `publish`, `sync` or
    /// `deploy`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// The issuer of the token: `token`, or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_provider: Option<String>,
    /// The organisation of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// The cluster or worker pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The namespace of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The id of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline_id: Option<String>,
    /// The id of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The worker of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The name of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db: Option<String>,
    /// The branch or tag of a deployment: `refs/heads/main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<String>,
    /// The commit of a deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_sha: Option<String>,
    /// The image with its digest, of a run or a database in a cluster, or of a deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The exit code of the step that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When the run was queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Timestamp>,
    /// When the run started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The duration of the run, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Processor time of the steps, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<Number>,
    /// The sum of the peaks of the steps' memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_peak_bytes: Option<u64>,
    /// The rows of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The size of the result, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The size of a copy at its destination, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_synced: Option<u64>,
    /// The limit that refused the call: `rowsPerDay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The value of this limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_limit: Option<u64>,
    /// Its rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_remaining: Option<u64>,
    /// The program of the caller, as it names itself (`User-Agent`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    /// Why the run failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The longest name of an object in a record, in characters.
const LONGEST_NAME: usize = 256;
/// The longest error in a record, in characters.
const LONGEST_ERROR: usize = 1_024;

impl Usage {
    /// The same facts with bounded texts: callers and steps choose some of them.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let names = [&mut self.org, &mut self.cluster, &mut self.pipeline_id, &mut self.run_id, &mut self.worker];
        let sources = [&mut self.db, &mut self.source_ref, &mut self.source_sha, &mut self.image];
        names.into_iter().chain(sources).for_each(|name| shorten(name, LONGEST_NAME));
        shorten(&mut self.error, LONGEST_ERROR);
        self
    }
}

fn shorten(text: &mut Option<String>, most: usize) {
    if let Some(text) = text
        && let Some((end, _)) = text.char_indices().nth(most)
    {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_callers_are_bounded() {
        let long = Some("ä".repeat(5_000));
        let usage = Usage { pipeline_id: long.clone(), error: long, db: Some("orders".to_owned()), ..Usage::default() };
        let bounded = usage.bounded();
        let length = |text: Option<String>| text.map_or(0, |text| text.chars().count());
        assert_eq!((length(bounded.pipeline_id), length(bounded.error)), (LONGEST_NAME + 1, LONGEST_ERROR + 1));
        assert_eq!(bounded.db.as_deref(), Some("orders"));
    }
}
