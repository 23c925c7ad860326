//! Warnings and errors about objects that a rollback leaves as they are.

use crate::address::{Address, StackId};
use crate::diagnostic::Diagnostic;
use crate::plan::output_reads;
use crate::render::shell_word;

pub(super) fn was_pruned(stack: &StackId, address: &Address) -> Diagnostic {
    let about = format!("{stack}:{address}");
    let message = format!("what {about} was then was pruned, so it stays as it is");
    Diagnostic::warning("pruned", message)
        .hint(format!("`terrace state history {about}` lists the versions that are left"))
        .about(&about)
}

pub(super) fn would_replace_others(stack: &StackId, address: &Address) -> Diagnostic {
    let about = format!("{stack}:{address}");
    let message =
        format!("{about} is another object by now that terrace did not make: to roll it back is to delete that");
    Diagnostic::error("taken_over_since", message).hint(format!(
        "drop it from state, where it stays as it is: `terrace state rm {}`; then roll back again",
        shell_word(&about)
    ))
}

pub(super) fn is_elsewhere(stack: &StackId, address: &Address, now: &Address) -> Diagnostic {
    let (about, now) = (format!("{stack}:{address}"), format!("{stack}:{now}"));
    let message = format!("{about} is recorded as {now} by now");
    Diagnostic::error("moved_since", message)
        .hint(format!("move it back: `terrace state mv {} {}`", shell_word(&now), shell_word(&address.to_string())))
        .about(&about)
}

pub(super) fn has_no_maker(stack: &StackId, address: &Address) -> Diagnostic {
    let about = format!("{stack}:{address}");
    let message = format!("whether terrace made {about} or took it over was pruned, so it stays as it is");
    let drops = shell_word(&about);
    Diagnostic::warning("pruned", message)
        .hint(format!(
            "`terrace state rm {drops}` drops it and leaves the object; a plan that does not declare it deletes it"
        ))
        .about(&about)
}

pub(super) fn were_pruned(stack: &StackId, component: &str) -> Diagnostic {
    let outputs = output_reads::outputs_in_words(stack, component);
    Diagnostic::warning("pruned", format!("what {outputs} were then was pruned, so they stay as they are"))
}
