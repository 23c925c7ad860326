//! What a plan says of an object beyond its schema.

use super::{DatabricksSession, WAY, is_by_any_way};
use crate::object::{self, Object};
use crate::private::Kept;
use terrace_provider::http::Within;
use terrace_provider::{Attributes, PlannedChange, ProposedChange, ProviderError, Recorded, ResourceType, Value};

impl DatabricksSession {
    /// Keeps in the plan what is held before something is made that takes that over. Where nobody can be asked, whoever finds
    /// what a lost call made cannot tell the two apart, and says so.
    pub(super) async fn look_before(
        &self,
        ty: &ResourceType,
        object: &dyn Object,
        address: &str,
        planned: &mut PlannedChange,
    ) {
        let named = &planned.planned;
        let needed = ty.identity.iter().copied().chain(ty.attributes.get(WAY).map(|_| WAY));
        if needed.filter_map(|name| named.get(name)).any(Value::has_unknown) {
            return;
        }
        match self.held_before(ty, object, address, named).await {
            Ok(preexisting) => {
                planned.private = Kept { preexisting, is_looked_for: true, ..Kept::of(&planned.private) }.to_private();
            }
            Err(error) => tracing::debug!(address, %error, "what is held before cannot be looked at"),
        }
    }

    async fn held_before(
        &self,
        ty: &ResourceType,
        object: &dyn Object,
        address: &str,
        named: &Attributes,
    ) -> Result<Vec<String>, ProviderError> {
        let workspace = self.asked(ty, named)?;
        let place = self.place(&workspace, address, Within::reading());
        place.check_metastore(ty, named).await?;
        object.held(&place, named).await
    }

    /// Plans the workspace that is configured where the instance may not be sent to the one on record any more.
    pub(super) fn plan_way(&self, ty: &ResourceType, change: &ProposedChange<'_>, planned: &mut PlannedChange) {
        let is_left = is_by_any_way(ty)
            && planned.planned.get(WAY).is_some_and(|url| url.as_str().is_some())
            && self.workspaces.of(&planned.planned).is_err();
        if let Some(configured) = change.config.get(WAY).filter(|_| is_left) {
            planned.planned.insert(WAY.to_owned(), configured.clone());
        }
    }
}

/// The object on record with its names spelled as they are now where that is another spelling of the same: no reason to replace
/// it.
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
