//! Names of databases in the cluster that a plan creates or keeps. Another resource of the plan may need a database before it
//! exists.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest duration of a plan. A session of a server serves many plans, and does not see their ends: a database of an earlier plan
/// hides a warning for so long, and an apply still reports the missing database.
const PLAN: Duration = Duration::from_secs(10 * 60);

/// The names, with the times of their last plans.
#[derive(Clone, Default)]
pub(crate) struct PlannedDatabases(Arc<Mutex<BTreeMap<String, Instant>>>);

impl PlannedDatabases {
    /// Notes a database of a plan.
    pub(super) fn add(&self, name: &str) {
        let mut planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        planned.retain(|_, at| at.elapsed() < PLAN);
        planned.insert(name.to_owned(), Instant::now());
    }

    /// Returns true if a present plan has the database.
    pub(super) fn has(&self, name: &str) -> bool {
        let planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        planned.get(name).is_some_and(|at| at.elapsed() < PLAN)
    }
}
