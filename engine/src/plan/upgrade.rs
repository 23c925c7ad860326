//! Rows that an older terrace wrote are brought to the present form as they are loaded. They are written so by the next
//! apply that touches them.

use super::compute::Planner;
use crate::diagnostic::Diagnostic;
use crate::record::Opened;
use crate::upgrade::Outdated;

/// Brings a row to the schema version of this build; one that cannot be is an error.
pub(super) async fn upgrade(planner: &Planner<'_>, opened: &mut Opened, diagnostics: &mut Vec<Diagnostic>) {
    let Err(outdated) = crate::upgrade::upgrade(planner.registry, opened).await else { return };
    let code = match outdated {
        Outdated::Newer { .. } => "newer_row",
        Outdated::Refused { .. } | Outdated::Closed(_) => "cannot_upgrade",
    };
    let address = format!("{}:{}", opened.stack, opened.address);
    let diagnostic = Diagnostic::error(code, format!("{address} was {outdated}")).about(&address);
    diagnostics.push(diagnostic.maybe_hint(outdated.hint()));
}
