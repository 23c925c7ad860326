//! A change: planned from an export, sent with its version, checked afterwards, and undone if it broke an object.

use super::Engine;
use crate::export::Export;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use terrace_provider::http::{Failure, Purpose, Within};
use terrace_provider::{Call, ErrorKind, Path, ProviderError};
use tokio::time::timeout;

/// Number of retries of a change after a concurrent change of the metadata.
const MAX_RETRIES: u32 = 5;
/// The planned commands of a change.
pub(crate) enum Decision {
    /// The change is already done.
    Done,
    /// Commands to run.
    Do {
        /// The commands, in order.
        commands: Vec<Json>,
        /// The commands that undo them if they leave an inconsistent object.
        inverse: Vec<Json>,
    },
}

/// The subject of a change.
pub(crate) struct Change<'a> {
    pub(crate) call: &'a Call,
    /// ``create the source `sales` ``.
    pub(crate) action: String,
    /// The import id of a created object, which may already exist.
    pub(crate) import_id: Option<String>,
    /// The attribute for errors.
    pub(crate) at: Option<Path>,
    /// The names of the object in Hasura's list of inconsistent objects; all must match.
    pub(crate) names: Vec<String>,
    /// The type of the object in that list.
    pub(crate) object: &'static str,
}

impl Change<'_> {
    fn purpose(&self) -> Purpose {
        let purpose = Purpose::to(self.action.as_str());
        let purpose = match &self.import_id {
            Some(id) => purpose.creates(id.as_str()),
            None => purpose,
        };
        match &self.at {
            Some(at) => purpose.at(at.clone()),
            None => purpose,
        }
    }

    /// True if an inconsistent object is the changed one.
    fn concerns(&self, object: &Json) -> bool {
        let text =
            |name: &str| object.get(name).map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
        let text_of_object = format!("{} {}", text("name").unwrap_or_default(), text("definition").unwrap_or_default());
        object.get("type").and_then(Json::as_str) == Some(self.object)
            && self.names.iter().all(|name| contains_word(&text_of_object, name))
    }
}

/// True if a text contains a name as a separate word.
fn contains_word(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(start, _)| {
        let before = text.get(..start).and_then(|part| part.chars().next_back());
        let after = text.get(start + name.len()..).and_then(|part| part.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

impl Engine {
    /// Makes a change. `decide` plans it from an export; its flag is true if an earlier attempt may have taken effect.
    ///
    /// # Errors
    /// The error of `decide` or of Hasura, or an unknown outcome.
    pub(crate) async fn change(
        &self,
        change: &Change<'_>,
        decide: impl Fn(&Export, bool) -> Result<Decision, ProviderError> + Send + Sync,
    ) -> Result<Arc<Export>, ProviderError> {
        let within = Within::of_call(change.call);
        // Changes run one by one, and the wait counts as time of the call.
        let turn = timeout(within.left(), self.changing.lock()).await;
        let Ok(_turn) = turn else {
            let message = format!("cannot {}: earlier changes took all of its time", change.action);
            return Err(ProviderError::new(ErrorKind::Transient, message)
                .solution("set longer `timeouts`, or run fewer changes on the same Hasura"));
        };
        let (mut max_age, mut may_be_done) = (self.max_age, false);
        let (mut attempt, mut pending_inverse) = (0, Vec::new());
        loop {
            let export =
                self.cached_export(max_age, &within).await.map_err(|error| as_ambiguous(error, may_be_done))?;
            let is_fresh = max_age.is_zero();
            max_age = Duration::ZERO;
            let (commands, inverse) = match decide(&export, may_be_done) {
                Ok(Decision::Do { commands, inverse }) => (commands, inverse),
                // A decision without a change needs a new export.
                Ok(Decision::Done) | Err(_) if !is_fresh => continue,
                // An earlier attempt took effect and was not checked yet.
                Ok(Decision::Done) if may_be_done => {
                    return self.verify(change, export.version.saturating_sub(1), pending_inverse, &within).await;
                }
                Ok(Decision::Done) => return Ok(export),
                Err(error) => return Err(error),
            };
            pending_inverse.clone_from(&inverse);
            let Err(failure) = self.send(commands, export.version, &within).await else {
                return self.verify(change, export.version, inverse, &within).await;
            };
            *self.latest.lock().await = None;
            attempt += 1;
            let answer = failure.answer();
            let has_conflict = answer.is_some_and(|reply| reply.status == 409);
            may_be_done |= answer.is_some_and(|reply| reply.may_have_run);
            // An error after a retry may result from the first attempt, and an error after an old export from its age.
            if answer.is_some() && attempt <= MAX_RETRIES && (has_conflict || may_be_done || !is_fresh) {
                if may_be_done && !has_conflict && attempt > 1 {
                    return Err(self.api.error(&failure, &change.purpose()));
                }
                continue;
            }
            let error = self.api.error(&failure, &change.purpose());
            return Err(match has_conflict {
                true => error.solution("the metadata changes all the time: try again later"),
                false => error,
            });
        }
    }

    async fn send(&self, commands: Vec<Json>, version: i64, within: &Within) -> Result<(), Failure> {
        let body = json!({"type": "bulk", "resource_version": version, "args": commands});
        // The version makes it idempotent.
        let request = Self::request(body).idempotent().timeout(within.left());
        self.api.send(&request, within).await.map(drop)
    }

    /// Checks that the changed object works, and returns the export after the change.
    async fn verify(
        &self,
        change: &Change<'_>,
        before: i64,
        inverse: Vec<Json>,
        within: &Within,
    ) -> Result<Arc<Export>, ProviderError> {
        let within = within.without_cancellation();
        let purpose = Purpose::read("list inconsistent objects");
        let request = Self::request(json!({"type": "get_inconsistent_metadata", "args": {}})).reads();
        let reply = self.api.send(&request, &within).await;
        let report = reply
            .and_then(|reply| reply.json())
            .map_err(|failure| as_ambiguous(self.api.error(&failure, &purpose), true))?;
        let objects = report.get("inconsistent_objects").and_then(Json::as_array);
        let broken = objects.into_iter().flatten().find(|object| change.concerns(object));
        let Some(broken) = broken.filter(|_| !inverse.is_empty()) else {
            return self.newer_than(before, &within).await;
        };
        let reason = broken.get("reason").and_then(Json::as_str).unwrap_or("it gives no reason");
        let action = &change.action;
        let kind = ErrorKind::InvalidInput { path: change.at.clone() };
        let error = ProviderError::new(kind, format!("Hasura did {action}, but the result is inconsistent: {reason}"));
        *self.latest.lock().await = None;
        let export = self.newer_than(before, &within).await?;
        let undone = self.send(inverse, export.version, &within).await;
        *self.latest.lock().await = None;
        let error = self.api.redact_error(error);
        Err(match undone {
            Ok(()) => error.problem("it was undone").solution("look at the source's database, and at Hasura's log"),
            Err(failure) => ProviderError { kind: ErrorKind::Failed, ..error }
                .problem(format!("it could not be undone: {}", failure.in_words()))
                .solution("remove it manually, or with `drop_inconsistent_metadata`"),
        })
    }

    /// The export after a change of this version.
    async fn newer_than(&self, version: i64, within: &Within) -> Result<Arc<Export>, ProviderError> {
        self.newest.fetch_max(version.saturating_add(1), Ordering::Relaxed);
        let export = self.cached_export(Duration::ZERO, within).await.map_err(|error| as_ambiguous(error, true))?;
        if export.version > version {
            return Ok(export);
        }
        let message = format!("Hasura does not export its new version {}", version.saturating_add(1));
        Err(ProviderError::new(ErrorKind::Ambiguous, message))
    }
}

/// Marks the error of a read as ambiguous if the outcome of a change is unknown: the change must not be repeated.
fn as_ambiguous(error: ProviderError, is_unknown: bool) -> ProviderError {
    if is_unknown { ProviderError { kind: ErrorKind::Ambiguous, ..error } } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_separate_words_only() {
        let text = "select permission for role a_role of table V in source sales_1";
        assert!(contains_word(text, "sales_1") && contains_word(text, "V") && contains_word(text, "a_role"));
        assert!(!contains_word(text, "sales") && !contains_word(text, "role_a") && !contains_word(text, "W"));
    }
}
