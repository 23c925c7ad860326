//! Waits until servers in a cluster accept connections, and until they have ended.

use super::super::error::{self, DatabaseError, DatabaseErrorKind};
use super::manifest::{CONTAINER, DATABASE, UID, object_name, pod_name};
use super::state;
use super::{
    CLAIMS, ClusterDatabases, DEFAULT_SIZE, ENDING, EVENTS, PODS, POLL, Resource, STATEFUL_SETS, is_going, refused,
    text,
};
use crate::executor::kubernetes::server_problem::{Problem, SHORT, last_lines, problem};
use jiff::Timestamp;
use serde_json::Value as Json;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time for the start of a server.
pub const START: Duration = Duration::from_secs(300);

impl ClusterDatabases {
    /// Waits until the server of a database accepts connections.
    ///
    /// # Errors
    /// With the reason, when it does not within its time, or cannot.
    pub(super) async fn wait_until_ready(&self, name: &str, cancel: &CancellationToken) -> Result<(), DatabaseError> {
        let begun = Instant::now();
        let mut problem_since: Option<Instant> = None;
        loop {
            let found = self.get(name).await;
            let is_outage = matches!(&found, Err(error) if error.kind == DatabaseErrorKind::Unreachable);
            let problem = match found {
                // The cluster may answer again.
                Err(error) if is_outage => Some(Problem { message: error.message, patience: None, is_in_log: false }),
                Err(error) => return Err(error),
                Ok(None) => return Err(error::missing(name, &[])),
                Ok(Some(found)) if state::is_ready(&found) => return Ok(()),
                Ok(Some(_)) => self.problem(name).await?,
            };
            let since = match &problem {
                Some(Problem { patience: Some(_), .. }) => *problem_since.get_or_insert_with(Instant::now),
                _ => {
                    problem_since = None;
                    Instant::now()
                }
            };
            let is_over = begun.elapsed() >= self.start_time;
            if is_over || problem.as_ref().and_then(|it| it.patience).is_some_and(|it| since.elapsed() >= it) {
                return Err(self.not_started(name, problem, begun.elapsed()).await);
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = cancel.cancelled() => {
                    let message = format!("cancelled while the database `{name}` starts");
                    return Err(DatabaseError::new(DatabaseErrorKind::Cancelled, message));
                }
            }
        }
    }

    /// Why the server of a database does not accept connections yet.
    async fn problem(&self, name: &str) -> Result<Option<Problem>, DatabaseError> {
        let object = object_name(name);
        let selector = ("labelSelector", format!("{DATABASE}={name}"));
        let pods = match self.client.list(PODS, &[selector]).await {
            Err(error) if error.is_transient() => return Ok(None),
            pods => pods.map_err(refused)?,
        };
        let pod = pods.iter().find(|pod| !is_going(pod));
        if let Ok(Some(claim)) = self.client.get(CLAIMS, &object).await
            && text(&claim, "/status/phase") == "Pending"
            && text(&claim, "/spec/storageClassName").is_empty()
        {
            let message =
                format!("the claim `{object}` is pending without a storage class: the cluster makes no volume for it");
            return Ok(Some(Problem { message, patience: Some(SHORT / 4), is_in_log: false }));
        }
        let mut events: Vec<Json> = Vec::new();
        let subjects = [("Pod", pod_name(name)), ("StatefulSet", object)];
        for (kind, subject) in subjects.into_iter().filter(|(kind, _)| (*kind == "Pod") == pod.is_some()) {
            let selector = ("fieldSelector", format!("involvedObject.kind={kind},involvedObject.name={subject}"));
            // They only explain a wait.
            events.extend(self.client.list(EVENTS, &[selector]).await.unwrap_or_default());
        }
        Ok(problem(CONTAINER, pod, &events))
    }

    /// The error of a server that does not start.
    async fn not_started(&self, name: &str, problem: Option<Problem>, waited: Duration) -> DatabaseError {
        let (message, is_in_log) = match problem {
            Some(problem) => (problem.message, problem.is_in_log),
            None => (format!("it does not accept connections after {} s", waited.as_secs()), false),
        };
        let failed = DatabaseError::new(
            DatabaseErrorKind::Failed,
            format!("the server of the database `{name}` does not start: {message}"),
        );
        let namespace = self.namespace();
        let pod = pod_name(name);
        if !is_in_log {
            let hint = match &message {
                it if it.contains("storage class") => self.volume_hint(name).await,
                it if it.contains("cannot be pulled") => {
                    "correct `databaseImage`, or have an administrator give the nodes access to its registry".to_owned()
                }
                it if it.contains("exceeded quota") => {
                    "remove objects of the namespace, or have an administrator raise its quota".to_owned()
                }
                _ => format!("see `kubectl describe pod {pod} -n {namespace}`"),
            };
            return failed.hint(hint);
        }
        let log = last_lines(&self.client, &pod, CONTAINER).await;
        let has = |text: &str| log.iter().any(|line| line.contains(text));
        let hint = if has("incompatible with server") {
            "set `databaseImage` to the release of PostgreSQL that wrote the data of the claim".to_owned()
        } else if has("Permission denied") || has("Operation not permitted") {
            format!(
                "have an administrator make its volume writable for the user {UID}, or use a storage class that honors `fsGroup`"
            )
        } else {
            format!("see `kubectl logs {pod} -n {namespace} --previous`")
        };
        failed.facts(log).hint(hint)
    }

    /// How a claim without a storage class gets a volume. Only a descriptor can name the class.
    async fn volume_hint(&self, name: &str) -> String {
        let found = self.get(name).await.ok().flatten();
        let record = found.and_then(|found| state::record(&found, self.namespace(), Timestamp::now()));
        let is_of_cluster = record.as_ref().is_some_and(|record| record.cluster_kind().is_some());
        let claim = record.and_then(|record| record.cluster?.claim);
        let size = claim.map_or_else(|| DEFAULT_SIZE.to_owned(), |claim| claim.size);
        let class = match is_of_cluster {
            true => {
                "if `kubectl get storageclass` lists one, make it the default with `kubectl patch storageclass NAME -p \
                 '{\"metadata\":{\"annotations\":{\"storageclass.kubernetes.io/is-default-class\":\"true\"}}}'`"
            }
            false => "set `storageClass`",
        };
        format!(
            "{class}, or have an administrator create a PersistentVolume of at least {size} with the access mode \
             `ReadWriteOnce` and without a storage class: one that is `Released` does not count"
        )
    }

    /// Waits until the server of a database has ended.
    ///
    /// # Errors
    /// When it does not end in time.
    pub(super) async fn wait_until_stopped(&self, name: &str) -> Result<(), DatabaseError> {
        let begun = Instant::now();
        while self.get(name).await?.is_some_and(|found| !state::is_stopped(&found)) {
            self.check_ending(begun, &format!("the server of the database `{name}`"), name)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// When it is not in time.
    pub(super) async fn wait_until_gone(&self, resource: Resource, object: &str) -> Result<(), DatabaseError> {
        let begun = Instant::now();
        let what = format!("`{object}` ({})", if resource == STATEFUL_SETS { "StatefulSet" } else { resource.plural });
        while self.client.get(resource, object).await.map_err(refused)?.is_some_and(|found| is_going(&found)) {
            self.check_ending(begun, &what, object)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn check_ending(&self, begun: Instant, what: &str, name: &str) -> Result<(), DatabaseError> {
        if begun.elapsed() < ENDING {
            return Ok(());
        }
        let failed = DatabaseError::new(
            DatabaseErrorKind::Failed,
            format!("the cluster has not ended {what} within {} s", ENDING.as_secs()),
        );
        let namespace = self.namespace();
        Err(failed
            .hint(format!("see `kubectl describe statefulset,pod,pvc -n {namespace}`, then repeat it for `{name}`")))
    }
}
