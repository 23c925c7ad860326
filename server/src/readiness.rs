//! The result of the checks of readiness.

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The result of all checks.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Readiness {
    pub(crate) status: &'static str,
    pub(crate) checks: Vec<Check>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// The last result and its time.
pub(crate) type LastReadiness = Mutex<Option<(Instant, Readiness)>>;

impl Readiness {
    /// The result for callers that may not see the names of all environments.
    pub(crate) fn without_names(mut self) -> Self {
        for check in &mut self.checks {
            if check.name.contains(": ") {
                "provider".clone_into(&mut check.name);
            }
        }
        self
    }
}
