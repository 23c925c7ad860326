//! One change: decided by what there is, sent under that version, looked at afterwards, and undone where it broke something.

use super::Engine;
use crate::export::Export;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use terrace_provider::http::{Failure, Purpose, Within};
use terrace_provider::{Call, ErrorKind, Path, ProviderError};
use tokio::time::timeout;

/// How often a change is decided anew because somebody else changed the metadata first.
const AGAIN: u32 = 5;
/// What there is to be done, on what there is.
pub(crate) enum Decision {
    /// Nothing: it is so already.
    Done,
    /// These commands; the others undo them.
    Do {
        /// Carried out in this order.
        commands: Vec<Json>,
        /// What undoes them, where they leave something inconsistent.
        inverse: Vec<Json>,
    },
}

/// What a change is about.
pub(crate) struct Change<'a> {
    pub(crate) call: &'a Call,
    /// ``create the source `sales` ``.
    pub(crate) doing: String,
    /// The id of what is made, where it may be there already.
    pub(crate) import_id: Option<String>,
    /// The attribute that errors are about.
    pub(crate) at: Option<Path>,
    /// What the object is called where Hasura lists what is inconsistent; all have to be in the name.
    pub(crate) names: Vec<String>,
    /// What kind of object it is there.
    pub(crate) object: &'static str,
}

impl Change<'_> {
    fn purpose(&self) -> Purpose {
        let purpose = Purpose::to(self.doing.as_str());
        let purpose = match &self.import_id {
            Some(id) => purpose.makes(id.as_str()),
            None => purpose,
        };
        match &self.at {
            Some(at) => purpose.at(at.clone()),
            None => purpose,
        }
    }

    /// Whether an inconsistent object is the one that was changed.
    fn is_about(&self, object: &Json) -> bool {
        let text = |name: &str| object.get(name).map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned));
        let told = format!("{} {}", text("name").unwrap_or_default(), text("definition").unwrap_or_default());
        object.get("type").and_then(Json::as_str) == Some(self.object)
            && self.names.iter().all(|name| holds(&told, name))
    }
}

/// Whether a text holds a name, and not only as a part of another.
fn holds(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(start, _)| {
        let before = text.get(..start).and_then(|it| it.chars().next_back());
        let after = text.get(start + name.len()..).and_then(|it| it.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

impl Engine {
    /// Carries a change out. `decide` is asked with what there is, and whether it may be there because an answer was lost.
    ///
    /// # Errors
    /// What `decide` says, or Hasura; or that nobody knows what became of it.
    pub(crate) async fn change(
        &self,
        change: &Change<'_>,
        decide: impl Fn(&Export, bool) -> Result<Decision, ProviderError> + Send + Sync,
    ) -> Result<Arc<Export>, ProviderError> {
        let within = Within::of_call(change.call);
        // Changes go one by one, and waiting is a part of the call's time.
        let turn = timeout(within.left(), self.changing.lock()).await;
        let Ok(_turn) = turn else {
            let message = format!("cannot {}: the changes before it take all of its time", change.doing);
            return Err(ProviderError::new(ErrorKind::Transient, message)
                .solution("give it longer by `timeouts`, or let fewer work on the same Hasura"));
        };
        let (mut answers, mut may_be_done) = (self.answers, false);
        let (mut attempt, mut undoing) = (0, Vec::new());
        loop {
            let export = self.exported(answers, &within).await.map_err(|error| open(error, may_be_done))?;
            let is_fresh = answers.is_zero();
            answers = Duration::ZERO;
            let (commands, inverse) = match decide(&export, may_be_done) {
                Ok(Decision::Do { commands, inverse }) => (commands, inverse),
                // What is decided without a change has to be so now.
                Ok(Decision::Done) | Err(_) if !is_fresh => continue,
                // It came about by what was sent, and nobody has looked at it.
                Ok(Decision::Done) if may_be_done => {
                    return self.look_after(change, export.version.saturating_sub(1), undoing, &within).await;
                }
                Ok(Decision::Done) => return Ok(export),
                Err(error) => return Err(error),
            };
            undoing.clone_from(&inverse);
            let Err(failure) = self.send(commands, export.version, &within).await else {
                return self.look_after(change, export.version, inverse, &within).await;
            };
            *self.latest.lock().await = None;
            attempt += 1;
            let answer = failure.answer();
            let is_overtaken = answer.is_some_and(|reply| reply.status == 409);
            may_be_done |= answer.is_some_and(|reply| reply.may_have_run);
            // An answer to what was sent again may tell of what the first one did; one to what was decided by metadata of
            // before may tell of that.
            if answer.is_some() && attempt <= AGAIN && (is_overtaken || may_be_done || !is_fresh) {
                if may_be_done && !is_overtaken && attempt > 1 {
                    return Err(self.api.error(&failure, &change.purpose()));
                }
                continue;
            }
            let error = self.api.error(&failure, &change.purpose());
            return Err(match is_overtaken {
                true => error.solution("somebody changes the metadata all the time: try again when they are done"),
                false => error,
            });
        }
    }

    async fn send(&self, commands: Vec<Json>, version: i64, within: &Within) -> Result<(), Failure> {
        let body = json!({"type": "bulk", "resource_version": version, "args": commands});
        // Under its version it does nothing twice.
        let request = Self::request(body).idempotent().timeout(within.left());
        self.api.send(&request, within).await.map(drop)
    }

    /// Looks whether what was changed works, and at what there is then.
    async fn look_after(
        &self,
        change: &Change<'_>,
        before: i64,
        inverse: Vec<Json>,
        within: &Within,
    ) -> Result<Arc<Export>, ProviderError> {
        let within = within.to_the_end();
        let purpose = Purpose::look("tell what is inconsistent");
        let request = Self::request(json!({"type": "get_inconsistent_metadata", "args": {}})).reads();
        let reply = self.api.send(&request, &within).await;
        let told =
            reply.and_then(|reply| reply.json()).map_err(|failure| open(self.api.error(&failure, &purpose), true))?;
        let objects = told.get("inconsistent_objects").and_then(Json::as_array);
        let broken = objects.into_iter().flatten().find(|object| change.is_about(object));
        let Some(broken) = broken.filter(|_| !inverse.is_empty()) else {
            return self.newer_than(before, &within).await;
        };
        let reason = broken.get("reason").and_then(Json::as_str).unwrap_or("it does not say why");
        let doing = &change.doing;
        let kind = ErrorKind::InvalidInput { path: change.at.clone() };
        let error = ProviderError::new(kind, format!("Hasura did {doing}, and it does not work: {reason}"));
        *self.latest.lock().await = None;
        let export = self.newer_than(before, &within).await?;
        let undone = self.send(inverse, export.version, &within).await;
        *self.latest.lock().await = None;
        let error = self.api.hide(error);
        Err(match undone {
            Ok(()) => error.problem("it was undone").solution("look at what is behind the source, and at Hasura's log"),
            Err(failure) => ProviderError { kind: ErrorKind::Failed, ..error }
                .problem(format!("it could not be undone: {}", failure.in_words()))
                .solution("remove it by hand, or by `drop_inconsistent_metadata`"),
        })
    }

    /// What there is after a change of a version.
    async fn newer_than(&self, version: i64, within: &Within) -> Result<Arc<Export>, ProviderError> {
        self.newest.fetch_max(version.saturating_add(1), Ordering::Relaxed);
        let export = self.exported(Duration::ZERO, within).await.map_err(|error| open(error, true))?;
        if export.version > version {
            return Ok(export);
        }
        let message = format!("Hasura does not tell of its version {}, which it made", version.saturating_add(1));
        Err(ProviderError::new(ErrorKind::Ambiguous, message))
    }
}

/// An error of a question when it is open what became of a change: it is no reason to make the change once more.
fn open(error: ProviderError, is_open: bool) -> ProviderError {
    if is_open { ProviderError { kind: ErrorKind::Ambiguous, ..error } } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_part_of_another() {
        let text = "select permission for role a_role of table V in source sales_1";
        assert!(holds(text, "sales_1") && holds(text, "V") && holds(text, "a_role"));
        assert!(!holds(text, "sales") && !holds(text, "role_a") && !holds(text, "W"));
    }
}
