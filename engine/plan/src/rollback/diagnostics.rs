//! Warnings and errors about objects that a rollback leaves as they are.

use terrace_language::address;
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::text::shell_word;

pub(super) fn was_pruned(stack: &StackId, address: &Address) -> Diagnostic {
    let about = format!("{stack}:{address}");
    let message = format!("the earlier version of {about} was pruned, so it stays as it is");
    Diagnostic::warning("pruned", message)
        .hint(format!("list the remaining versions with `terrace state history {about}`"))
        .about(&about)
}

pub(super) fn would_replace_adopted(stack: &StackId, address: &Address) -> Diagnostic {
    let about = format!("{stack}:{address}");
    let message = format!("{about} is another object now, which terrace did not create: a rollback would delete it");
    Diagnostic::error("taken_over_since", message).hint(format!(
        "forget it with `terrace state rm {}`, which keeps the object; then roll back again",
        shell_word(&about)
    ))
}

pub(super) fn recorded_elsewhere(stack: &StackId, address: &Address, now: &Address) -> Diagnostic {
    let (about, now) = (format!("{stack}:{address}"), format!("{stack}:{now}"));
    let message = format!("{about} is recorded as {now} now");
    Diagnostic::error("moved_since", message)
        .hint(format!("move it back: `terrace state mv {} {}`", shell_word(&now), shell_word(&address.to_string())))
        .about(&about)
}

pub(super) fn unknown_provenance(stack: &StackId, address: &Address) -> Diagnostic {
    let about = format!("{stack}:{address}");
    let message = format!(
        "the history does not show any more whether terrace created {about} or adopted it, so it stays as it is"
    );
    let quoted = shell_word(&about);
    Diagnostic::warning("pruned", message)
        .hint(format!(
            "to keep the object, forget it with `terrace state rm {quoted}`; to delete it, apply a descriptor without it"
        ))
        .about(&about)
}

pub(super) fn were_pruned(stack: &StackId, component: &ComponentKey) -> Diagnostic {
    let outputs = address::outputs_in_words(stack, component);
    Diagnostic::warning("pruned", format!("the earlier values of {outputs} were pruned, so they stay as they are"))
}
