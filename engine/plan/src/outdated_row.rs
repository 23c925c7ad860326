//! Upgrades rows of an older terrace while they are loaded. The next apply that touches a row writes its new form.

use super::planner::Planner;
use crate::upgrade::UpgradeError;
use terrace_language::diagnostic::Diagnostic;
use terrace_store::record::Opened;

/// Upgrades a row to the schema version of this build; a failure is an error.
pub(super) async fn upgrade(planner: &Planner<'_>, opened: &mut Opened, diagnostics: &mut Vec<Diagnostic>) {
    let Err(outdated) = crate::upgrade::upgrade(planner.registry, opened).await else { return };
    let code = match outdated {
        UpgradeError::Newer { .. } => "newer_row",
        UpgradeError::Refused { .. } | UpgradeError::Unreadable(_) => "cannot_upgrade",
    };
    let address = format!("{}:{}", opened.stack, opened.address);
    let diagnostic = Diagnostic::error(code, format!("{address} was {outdated}")).about(&address);
    diagnostics.push(diagnostic.maybe_hint(outdated.hint()));
}
