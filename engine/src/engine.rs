//! The engine of an environment: makes planners, appliers and recoveries. Callers build it once for each environment.

use jiff::Timestamp;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use terrace_apply::event::Events;
use terrace_apply::recover::Recovery;
use terrace_apply::{Applier, Attempt};
use terrace_language::environment::Environment;
use terrace_language::expression::Functions;
use terrace_language::registry::Registry;
use terrace_language::source::Sources;
use terrace_plan::options::Options;
use terrace_plan::planner::Planner;
use terrace_store::seal::Seal;
use terrace_store::{StateReader, StateStore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Everything that the engine needs of an environment.
#[derive(Clone)]
pub struct Engine {
    /// The configured instances of providers.
    pub registry: Arc<Registry>,
    /// Functions of expressions.
    pub functions: Arc<Functions>,
    /// Seals sensitive values in the state.
    pub seal: Arc<Seal>,
    /// The environment.
    pub environment: Environment,
    /// The version of terrace that plans record.
    pub version: &'static str,
}

/// How a process executes operations.
#[derive(Clone)]
pub struct Execution {
    /// The user or process that executes, for people.
    pub actor: String,
    /// The number of concurrent provider calls.
    pub parallelism: usize,
    /// How long to wait for leases of other operations, and for calls that may still take effect.
    pub lock_timeout: Duration,
    /// Cancelled when the user stops the operation.
    pub cancel: CancellationToken,
    /// The cause of the stop within this process, for people: a signal.
    pub stopped_by: Arc<OnceLock<&'static str>>,
}

impl Engine {
    /// Creates the planner of a plan. The caller provides the current time and the id of the plan.
    #[must_use]
    pub fn planner<'a>(
        &'a self,
        store: &'a dyn StateReader,
        sources: &'a Sources,
        options: &'a Options,
        (now, id): (Timestamp, Uuid),
    ) -> Planner<'a> {
        Planner {
            store,
            registry: &self.registry,
            functions: &self.functions,
            seal: &self.seal,
            sources,
            environment: &self.environment,
            options,
            now,
            id,
            version: self.version,
        }
    }

    /// Creates the applier of a new plan.
    #[must_use]
    pub fn applier(
        &self,
        store: Arc<dyn StateStore>,
        execution: &Execution,
        events: Arc<dyn Events>,
        attempt: Attempt,
    ) -> Applier {
        Applier {
            store,
            registry: Arc::clone(&self.registry),
            functions: Arc::clone(&self.functions),
            seal: Arc::clone(&self.seal),
            events,
            cancel: execution.cancel.clone(),
            stopped_by: Arc::clone(&execution.stopped_by),
            parallelism: execution.parallelism,
            lock_timeout: execution.lock_timeout,
            actor: execution.actor.clone(),
            attempt,
        }
    }

    /// Creates the recovery of interrupted steps.
    #[must_use]
    pub fn recovery<'a>(
        &'a self,
        store: &'a Arc<dyn StateStore>,
        execution: &'a Execution,
        events: &'a dyn Events,
    ) -> Recovery<'a> {
        Recovery {
            store,
            registry: &self.registry,
            seal: &self.seal,
            events,
            cancel: &execution.cancel,
            lock_timeout: execution.lock_timeout,
            actor: &execution.actor,
        }
    }
}
