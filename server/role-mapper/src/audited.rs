//! Audit entries of calls that change roles, and of refused calls.

use crate::answer::Refusal;
use crate::shared::Shared;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use std::panic::resume_unwind;
use std::sync::Arc;
use terrace_engine::store::{AuditEntry, AuditOutcome, StoreError};
use terrace_server::audit::{Audit, Head};
use tracing::Instrument;

/// The caller and the head of a call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    head: Head,
    action: &'static str,
    actor: String,
}

impl Call {
    pub(crate) fn of(head: Head, action: &'static str, actor: String) -> Self {
        Self { head, action, actor }
    }

    fn entry(&self, outcome: AuditOutcome, status: StatusCode) -> AuditEntry {
        self.head.entry(&self.actor, self.action, outcome, status)
    }

    /// Records a call that failed.
    pub(crate) async fn failed(&self, audit: &Audit, status: StatusCode) {
        let outcome = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => AuditOutcome::Refused,
            _ => AuditOutcome::Failed,
        };
        audit.record(self.entry(outcome, status)).await;
    }

    /// Changes a role and records the change, even if the caller disconnects meanwhile.
    pub(crate) async fn change<T: Send + 'static>(
        self,
        shared: &Arc<Shared>,
        role: &str,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
        is_changed: fn(&T) -> bool,
    ) -> Result<T, Refusal> {
        let call = Self { head: self.head.about(role), ..self };
        let audit = Arc::clone(&shared.audit);
        let changing = async move {
            let changed = work.await?;
            if is_changed(&changed) {
                audit.record(call.entry(AuditOutcome::Done, StatusCode::OK)).await;
            }
            Ok::<T, StoreError>(changed)
        };
        let changed: Result<T, StoreError> =
            shared.changes.spawn(changing.in_current_span()).await.unwrap_or_else(|error| {
                match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(error) => Err(StoreError::Unavailable { action: "written", reason: error.to_string() }),
                }
            });
        Ok(changed?)
    }
}

/// The action of a call in the audit log.
pub(crate) fn action(request: &Request) -> &'static str {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    match (request.method(), route) {
        (&Method::PUT, "/v1/roles") => "role put",
        (&Method::PUT, "/v1/user_roles") => "role users",
        (&Method::PUT, "/v1/group_roles") => "role groups",
        (&Method::DELETE, _) => "role remove",
        _ => "read",
    }
}
