//! Pods of runs: their list, and a shell in one of them.

use async_trait::async_trait;
use jiff::Timestamp;
pub use terrace_provider_kubernetes::client::Attached;

/// A pod of terrace in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its work: `worker` for runs.
    pub role: String,
    /// State.
    pub state: ClusterPodState,
    /// The run and the id of its pipeline; nothing for pods without a run.
    pub run: Option<(String, String)>,
    /// Time of its creation.
    pub created_at: Timestamp,
    /// Its node; nothing until it is scheduled.
    pub node: Option<String>,
}

/// State of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterPodState {
    /// It waits for a node, its image, or its volumes, or is not ready.
    Pending,
    /// Its programs run.
    Running,
    /// Its programs have ended.
    Ended,
}

/// The pods of a place of runs.
#[async_trait]
pub trait ClusterPods: Send + Sync {
    /// The pods that terrace made in the namespace, the oldest first.
    ///
    /// # Errors
    /// A message for people, when the cluster does not answer or refuses the list.
    async fn list(&self) -> Result<Vec<ClusterPod>, String>;

    /// Starts a shell in a pod of a run, in the folder and with the variables of its steps: for these words as a command,
    /// or an interactive one without words. With a terminal, the shell has one, too.
    ///
    /// # Errors
    /// A message for people, when the shell cannot be started.
    async fn shell(&self, pod: &str, name: &str, words: &[String], has_terminal: bool) -> Result<Attached, String>;
}
