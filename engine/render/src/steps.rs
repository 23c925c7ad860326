//! Renders the events of an apply as lines, for terminals and the logs of operations.

use std::collections::HashSet;
use std::time::Duration;
use terrace_apply::event::Event;
use terrace_language::action::Action;
use terrace_language::address::{Address, StackId};
use terrace_language::text::counted;
use terrace_plan::Plan;

/// Converts events to lines.
#[derive(Debug, Clone, Default)]
pub struct Steps {
    /// True to print addresses with their stacks.
    has_several_stacks: bool,
    /// Resources that an import adopts.
    imported: HashSet<(StackId, Address)>,
}

impl Steps {
    /// For an operation without a plan.
    #[must_use]
    pub fn new(has_several_stacks: bool) -> Self {
        Self { has_several_stacks, imported: HashSet::new() }
    }

    /// For the operation that applies a plan.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        let imported = plan.changes().filter(|(_, change)| change.import_id.is_some());
        let imported = imported.map(|(stack, change)| (stack.stack.clone(), change.address.clone())).collect();
        Self { has_several_stacks: plan.stacks.len() > 1, imported }
    }

    /// The line of an event; `None` for an event that is only counted.
    #[must_use]
    pub fn line(&self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Started { .. } => return None,
            Event::WaitingForLease { holders, left } => {
                format!("waiting up to {} s: {holders}", left.as_millis().div_ceil(1000))
            }
            Event::Recovering { message } | Event::Recovered { message } => format!("recovering {message}"),
            Event::StepStarted { stack, address, action } => {
                format!("{}...", self.running_line(stack, address, *action))
            }
            Event::StepWaiting { address, message } | Event::StepProgress { address, message } => {
                format!("{address}: {message}")
            }
            Event::StepDone { stack, address, action, took } => {
                let (named, done) = (self.named(stack, address), self.words(stack, address, *action).done);
                format!("{named}: {done} after {}", seconds(*took))
            }
            // No action was planned: a check failed.
            Event::StepFailed { stack, address, action: Action::NoOp, error, .. } => {
                format!("{}: {error}", self.named(stack, address))
            }
            Event::StepFailed { stack, address, action, error, .. } => {
                let (named, plain) = (self.named(stack, address), self.words(stack, address, *action).plain);
                format!("{named}: failed to {plain}: {error}")
            }
            Event::CheckFailed { stack, address, action, error, .. } => {
                let (named, done) = (self.named(stack, address), self.words(stack, address, *action).done);
                format!("{named}: {done}, but a check failed: {error}")
            }
            // Without running calls there is nothing to wait for.
            Event::Stopping { running: 0 } => return None,
            Event::Stopping { running } => format!("waiting for {}", counted(*running, "running calls")),
        })
    }

    /// The line of a running step: `local_file.a: creating`.
    #[must_use]
    pub fn running_line(&self, stack: &StackId, address: &Address, action: Action) -> String {
        format!("{}: {}", self.named(stack, address), self.words(stack, address, action).doing)
    }

    fn named(&self, stack: &StackId, address: &Address) -> String {
        if self.has_several_stacks { format!("{stack}:{address}") } else { address.to_string() }
    }

    /// The words for an action on a resource.
    fn words(&self, stack: &StackId, address: &Address, action: Action) -> Words {
        let is_import = action == Action::Adopt
            && !self.imported.is_empty()
            && self.imported.contains(&(stack.clone(), address.clone()));
        if is_import { Words { plain: "import", doing: "importing", done: "imported" } } else { words(action) }
    }
}

fn seconds(took: Duration) -> String {
    match took.as_secs() {
        0 => format!("{:.1}s", took.as_secs_f64()),
        seconds @ 1..60 => format!("{seconds}s"),
        seconds => format!("{}m{}s", seconds / 60, seconds % 60),
    }
}

/// The words for an action.
#[derive(Debug, Clone, Copy)]
struct Words {
    plain: &'static str,
    doing: &'static str,
    done: &'static str,
}

const fn words(action: Action) -> Words {
    let (doing, done) = match action {
        Action::NoOp => ("recording", "recorded"),
        Action::Create => ("creating", "created"),
        Action::Update => ("updating", "updated"),
        Action::Replace | Action::ReplaceCreateFirst => ("replacing", "replaced"),
        Action::Delete => ("deleting", "deleted"),
        Action::Read => ("reading", "read"),
        Action::Adopt => ("adopting", "adopted"),
        Action::Forget => ("forgetting", "forgotten"),
        Action::Retain => ("retaining", "retained"),
    };
    Words { plain: action.word(), doing, done }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_without_running_calls_prints_no_line() {
        let line = |running| Steps::new(false).line(&Event::Stopping { running });
        assert_eq!((line(0), line(1).as_deref()), (None, Some("waiting for 1 running call")));
    }

    #[test]
    fn durations_are_rounded() {
        assert_eq!(seconds(Duration::from_millis(240)), "0.2s");
        assert_eq!(seconds(Duration::from_secs(59)), "59s");
        assert_eq!(seconds(Duration::from_secs(61)), "1m1s");
    }
}
