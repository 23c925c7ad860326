//! Adjustments of a plan that go beyond the schema.

use super::{DatabricksSession, WORKSPACE_URL, is_reached_by_any_workspace};
use crate::object;
use terrace_provider::{Attributes, PlannedChange, ProposedChange, Recorded, ResourceType};

impl DatabricksSession {
    /// Plans the configured workspace if the instance may no longer use the recorded one.
    pub(super) fn plan_workspace_url(
        &self,
        ty: &ResourceType,
        change: &ProposedChange<'_>,
        planned: &mut PlannedChange,
    ) {
        let is_recorded_disallowed = is_reached_by_any_workspace(ty)
            && planned.planned.get(WORKSPACE_URL).is_some_and(|url| url.as_str().is_some())
            && self.workspaces.of(&planned.planned).is_err();
        if let Some(configured) = change.config.get(WORKSPACE_URL).filter(|_| is_recorded_disallowed) {
            planned.planned.insert(WORKSPACE_URL.to_owned(), configured.clone());
        }
    }
}

/// The recorded object with its names in their configured spelling. Another spelling of the same name does not
/// need a replacement.
pub(super) fn respelled(ty: &ResourceType, prior: &Recorded, config: &Attributes) -> Recorded {
    let mut prior = prior.clone();
    let mut now = prior.attributes.clone();
    now.extend(
        config
            .iter()
            .filter(|(name, value)| ty.identity.contains(&name.as_str()) && value.as_str().is_some())
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    let (before, after) = (object::id_parts(ty, &prior.attributes), object::id_parts(ty, &now));
    for (name, (before, after)) in ty.identity.iter().zip(before.into_iter().zip(after)) {
        if let Some(value) = now.get(*name).filter(|_| before == after) {
            prior.attributes.insert((*name).to_owned(), value.clone());
        }
    }
    prior
}
