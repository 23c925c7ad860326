//! Refuses changes in an instance without the settings that they need, such as the address of its system.

use super::planner::Planner;
use super::{Change, StackPlan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use terrace_language::action::Action;
use terrace_language::diagnostic::Diagnostic;
use terrace_provider::{ErrorKind, ProviderError, Session};

/// Reports each instance with missing settings once, at the first resource that needs them and in the configuration.
pub(super) async fn check(planner: &Planner<'_>, stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    if planner.options.offline {
        return;
    }
    let mut reported = BTreeSet::new();
    // An instance that cannot be connected would be tried again for each of its changes.
    let mut sessions = Sessions::new();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        let Some(error) = missing_setting(planner, &mut sessions, change).await else { continue };
        // The read of a recorded object fails with the same error.
        let is_known = diagnostics.iter().any(|it| it.is_error() && it.message.contains(&error.message));
        if is_known || !reported.insert((change.how.provider.clone(), error.message.clone())) {
            continue;
        }
        let message = format!("the environment `{}` lacks a setting: {error}", planner.environment.name);
        let mut diagnostic = Diagnostic::error(error.kind.code(), message).maybe_hint(error.hint());
        diagnostic = stack.at_places(diagnostic, &change.address);
        if let Some(place) = planner.registry.place_of(&change.how.provider) {
            diagnostic = diagnostic.at_place(place.clone());
        }
        diagnostics.push(diagnostic.about(format_args!("{}:{}", stack.stack, change.address)));
    }
}

/// The sessions by instance; `None` for an instance that cannot be connected.
type Sessions = BTreeMap<String, Option<Arc<dyn Session>>>;

/// The error for a missing setting that the calls of a change need.
async fn missing_setting(planner: &Planner<'_>, sessions: &mut Sessions, change: &Change) -> Option<ProviderError> {
    if matches!(change.action, Action::NoOp | Action::Read | Action::Forget | Action::Retain) {
        return None;
    }
    let (_, ty) = planner.registry.resource_type(&change.address.ty)?;
    if !sessions.contains_key(&change.how.provider) {
        // A failure to connect is reported where the planner needs the session.
        sessions.insert(change.how.provider.clone(), planner.registry.session(&change.how.provider).await.ok());
    }
    let session = sessions.get(&change.how.provider)?.as_ref()?;
    let after = change.after.as_ref().map(|after| &after.attributes);
    let attributes = after.or_else(|| change.basis.prior.as_ref().map(|prior| &prior.attributes))?;
    session.check_configured(ty, attributes).err().filter(|error| error.kind == ErrorKind::NotConfigured)
}
