//! Access that nobody asked terrace for: whoever others let in to what a component's `acl` lets somebody in to. It is
//! told in plans and in drift; where `settings.access.foreign` of the environment is `revoke`, plans take it away.

use super::compute::{Draft, PlanFailure, Planner};
use super::key::identity_key;
use super::ours::Managed;
use super::{Change, Prior, StackPlan};
use crate::action::{Action, Reason};
use crate::address::{Address, InstanceKey};
use crate::descriptor::Lifecycle;
use crate::diagnostic::Diagnostic;
use crate::source::Place;
use crate::store::{Read, RowStatus};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use terrace_provider::schema::Timeouts;
use terrace_provider::{Grantee, Value};

/// So many are told by name.
const TOLD: usize = 20;

/// What becomes of access that nobody asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForeignAccess {
    /// It is told.
    #[default]
    Report,
    /// It is told, and plans take it away.
    Revoke,
}

impl ForeignAccess {
    /// The words of the setting.
    pub const WORDS: [(&'static str, Self); 2] = [("report", Self::Report), ("revoke", Self::Revoke)];

    /// What the settings of an environment say, at `access.foreign`; as usual where it is none of the words.
    #[must_use]
    pub fn of_settings(settings: &Value) -> Self {
        let word = settings.get("access").and_then(|access| access.get("foreign")).and_then(Value::as_str);
        let meant = Self::WORDS.into_iter().find(|(known, _)| Some(*known) == word);
        meant.map(|(_, meaning)| meaning).unwrap_or_default()
    }
}

/// Somebody who is let in to what the `acl` of a component lets somebody in to.
#[derive(Debug, Clone)]
pub(crate) struct LetIn {
    /// The declaration.
    pub(crate) block: Address,
    /// The provider instance.
    pub(crate) provider: String,
    pub(crate) timeouts: Timeouts,
    pub(crate) place: Option<Place>,
    /// Who, and how.
    pub(crate) grantee: Grantee,
}

/// A type, a provider instance and an identity.
type Object = (String, String, String);

impl Planner<'_> {
    /// Tells who was let in by nobody of the plan or the state, or plans to keep them out. `let_in` are those found by the
    /// walk of each plan.
    pub(super) async fn settle_foreign(
        &self,
        plans: &mut [StackPlan],
        let_in: Vec<Vec<LetIn>>,
        draft: &mut Draft,
    ) -> Result<(), PlanFailure> {
        if let_in.iter().all(Vec::is_empty) {
            return Ok(());
        }
        let Draft { reads, diagnostics, .. } = draft;
        let (planned, let_go) = self.planned_objects(plans);
        let managed = Managed::default();
        let revokes = ForeignAccess::of_settings(&self.environment.settings) == ForeignAccess::Revoke;
        for (plan, let_in) in plans.iter_mut().zip(let_in) {
            let mut strangers: BTreeMap<Address, Vec<LetIn>> = BTreeMap::new();
            for one in let_in {
                let identity = &one.grantee.grant.identity;
                let object = (one.block.ty.clone(), one.provider.clone(), identity_key(identity));
                // What the plan lets go of is recorded only until then.
                let is_recorded = match planned.contains(&object) || let_go.contains(&object) {
                    true => planned.contains(&object),
                    false => managed.by(self, &one.block.ty, &one.provider, identity).await?.is_some(),
                };
                if !is_recorded {
                    strangers.entry(one.block.clone()).or_default().push(one);
                }
            }
            // What a step in doubt may have made is not known to be anybody else's.
            let in_doubt: HashSet<&str> =
                plan.changes.iter().filter(|it| it.is_doubted()).map(|it| it.address.component.as_str()).collect();
            strangers.retain(|block, _| !in_doubt.contains(block.component.as_str()));
            if !revokes {
                diagnostics.extend(strangers.iter().map(|(block, of)| told(plan, block, of)));
                continue;
            }
            let mut taken: BTreeSet<Address> = plan.changes.iter().map(|change| change.address.clone()).collect();
            let mut revocations = Vec::new();
            for stranger in strangers.into_values().flatten() {
                let address = free_address(&stranger, &taken);
                taken.insert(address.clone());
                reads.push(Read::absent(&plan.stack, &address));
                revocations.push(revocation(stranger, address));
            }
            if !revocations.is_empty() {
                plan.changes.extend(revocations);
                plan.sort();
            }
        }
        Ok(())
    }

    /// The objects that resources of the plan have or will have, and those that were there before and that it lets go of.
    fn planned_objects(&self, plans: &[StackPlan]) -> (HashSet<Object>, HashSet<Object>) {
        let (mut objects, mut let_go) = (HashSet::new(), HashSet::new());
        for change in plans.iter().flat_map(|plan| &plan.changes) {
            let Some((_, ty)) = self.registry.resource_type(&change.address.ty) else { continue };
            if ty.grantee.is_empty() {
                continue;
            }
            let before = change.prior.as_ref().map(|prior| prior.identity.clone());
            let after = change.after.as_ref().and_then(|after| ty.identity_of(&after.attributes));
            let object = |identity| (change.address.ty.clone(), change.provider.clone(), identity_key(&identity));
            match change.reason == Some(Reason::Borrowed) {
                true => let_go.extend(before.map(object)),
                false => objects.extend(before.into_iter().chain(after).map(object)),
            }
        }
        (objects, let_go)
    }
}

/// Who was let in by others, and to do what.
fn in_words(grantee: &Grantee) -> String {
    format!("foreign: {} {}", grantee.principal, grantee.privilege)
}

fn told(plan: &StackPlan, block: &Address, strangers: &[LetIn]) -> Diagnostic {
    let named: Vec<String> = strangers.iter().take(TOLD).map(|one| in_words(&one.grantee)).collect();
    let more = match strangers.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!("others gave access to `{}`: {}{more}", block.component, named.join(", "));
    Diagnostic::note("foreign_access", message).about(format!("{}:{block}", plan.stack)).hint(
        "`terrace acl set` with them records it; `settings.access.foreign: revoke` of the environment has plans take it away",
    )
}

/// The address of a removal that has no row: no resource has it.
fn free_address(stranger: &LetIn, taken: &BTreeSet<Address>) -> Address {
    let mut key = format!("foreign {}", stranger.grantee.principal);
    loop {
        let address = Address { key: Some(InstanceKey::Text(key.clone())), ..stranger.block.clone() };
        if !taken.contains(&address) {
            return address;
        }
        key.push('\'');
    }
}

fn revocation(stranger: LetIn, address: Address) -> Change {
    let LetIn { provider, timeouts, place, grantee, .. } = stranger;
    let prior = Prior {
        status: RowStatus::Ready,
        identity: grantee.grant.identity,
        attributes: grantee.grant.attributes,
        recorded: None,
        private: grantee.grant.private,
        dependencies: Vec::new(),
        write_only: BTreeMap::new(),
        lifecycle: Lifecycle::default(),
    };
    Change {
        address,
        deposed: None,
        moved_from: None,
        import_id: None,
        action: Action::Delete,
        reason: Some(Reason::Foreign),
        place,
        provider,
        generation: 0,
        prior: Some(Box::new(prior)),
        after: None,
        replace_paths: Vec::new(),
        triggered_by: Vec::new(),
        ignored: Vec::new(),
        drift: Vec::new(),
        depends_on: Vec::new(),
        lifecycle: Lifecycle::default(),
        timeouts,
        data_loss: None,
        checks: Vec::new(),
        in_doubt: None,
        is_held_back: false,
    }
}
