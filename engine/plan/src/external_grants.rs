//! External grants: access to the objects of a component's `acl` that was not granted by terrace.
//!
//! Plans and drift report them; with `settings.access.foreign: revoke` of the environment, plans revoke them.

pub mod known;

use super::draft::Draft;
use super::failure::PlanFailure;
use super::key::identity_key;
use super::planner::Planner;
use super::{Basis, Change, How, StackPlan, Why};
use crate::deadline;
use futures_util::future::join_all;
use known::{Known, Object, object};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, InstanceKey};
use terrace_language::descriptor::Lifecycle;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::registry::Registry;
use terrace_language::source::Place;
use terrace_provider::schema::Timeouts;
use terrace_provider::{Attributes, Grantee, ProviderError, Value};
use terrace_store::record::Prior;
use terrace_store::{Read, RowStatus};

/// Number of grants that a note lists.
const LISTED: usize = 20;

/// The treatment of external grants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExternalGrantsPolicy {
    /// Plans report them.
    #[default]
    Report,
    /// Plans revoke them.
    Revoke,
}

impl ExternalGrantsPolicy {
    /// The values of the setting.
    pub const WORDS: [(&'static str, Self); 2] = [("report", Self::Report), ("revoke", Self::Revoke)];

    /// Reads the policy from an environment's settings, at `access.foreign`; the default for any other value.
    #[must_use]
    pub fn of_settings(settings: &Value) -> Self {
        let word = settings.get("access").and_then(|access| access.get("foreign")).and_then(Value::as_str);
        let policy = Self::WORDS.into_iter().find(|(known, _)| Some(*known) == word);
        policy.map(|(_, meaning)| meaning).unwrap_or_default()
    }
}

/// An object to which a component's `acl` grants access.
#[derive(Debug, Clone)]
pub(crate) struct GrantTarget {
    /// The declaration.
    pub(crate) block: Address,
    /// The provider instance.
    pub(crate) provider: String,
    pub(crate) timeouts: Timeouts,
    pub(crate) place: Option<Place>,
    /// The attributes that identify the object: [`terrace_provider::ResourceType::access_of`].
    pub(crate) access: Attributes,
}

/// A grant on such an object that has no row.
struct ExternalGrant {
    target: GrantTarget,
    grantee: Grantee,
}

impl Planner<'_> {
    /// Reports grants that neither the plan nor the state contains, or plans to revoke them. `grant_targets` has the objects that each
    /// stack's plan gathered.
    pub(super) async fn settle_external_grants(
        &self,
        plans: &mut [StackPlan],
        grant_targets: Vec<Vec<GrantTarget>>,
        draft: &mut Draft,
    ) -> Result<(), PlanFailure> {
        let Draft { reads, diagnostics, .. } = draft;
        let external_grants = self.read_external_grants(grant_targets, diagnostics).await;
        if external_grants.iter().all(Vec::is_empty) {
            return Ok(());
        }
        let (planned, forgotten) = self.planned_objects(plans);
        let known = Known::default();
        // Two resources may grant access to the same object.
        let mut reported: HashSet<Object> = HashSet::new();
        let revokes = ExternalGrantsPolicy::of_settings(&self.environment.settings) == ExternalGrantsPolicy::Revoke;
        for (plan, external_grants) in plans.iter_mut().zip(external_grants) {
            let mut unrecorded: BTreeMap<Address, Vec<ExternalGrant>> = BTreeMap::new();
            for grant in external_grants {
                let object = object(&grant.target.block.ty, &grant.grantee.grant.identity);
                // The row of a forgotten grant does not count.
                let is_recorded = match planned.contains(&object) || forgotten.contains(&object) {
                    true => planned.contains(&object),
                    false => match self.is_known_grant(&known, &object).await {
                        Ok(is_known) => is_known,
                        Err(PlanFailure::Sealed { address, error }) => {
                            diagnostics.push(unreadable(&format!("{address}: {error}")));
                            return Ok(());
                        }
                        Err(failure) => return Err(failure),
                    },
                };
                if !is_recorded && reported.insert(object) {
                    unrecorded.entry(grant.target.block.clone()).or_default().push(grant);
                }
            }
            // A step in doubt may have created the grant.
            let in_doubt: HashSet<&str> = plan
                .changes
                .iter()
                .filter(|change| change.is_in_doubt())
                .map(|change| change.address.component.as_str())
                .collect();
            unrecorded.retain(|block, _| !in_doubt.contains(block.component.as_str()));
            if !revokes {
                diagnostics.extend(unrecorded.iter().map(|(block, of)| external_access(plan, block, of)));
                continue;
            }
            let mut taken: BTreeSet<Address> = plan.changes.iter().map(|change| change.address.clone()).collect();
            let mut revocations = Vec::new();
            for grant in unrecorded.into_values().flatten() {
                let address = free_address(&grant.target.block, &grant.grantee, &mut taken);
                reads.push(Read::absent(&plan.stack, &address));
                revocations.push(revocation(grant, address));
            }
            if !revocations.is_empty() {
                plan.changes.extend(revocations);
                plan.sort();
            }
        }
        Ok(())
    }

    async fn is_known_grant(&self, known: &Known, object: &Object) -> Result<bool, PlanFailure> {
        let by = known.manager_of(self.store, (self.registry, self.seal), &self.environment.name, object).await?;
        Ok(by.is_some())
    }

    /// Reads the grants: one call for each instance and type, all calls concurrently.
    async fn read_external_grants(
        &self,
        grant_targets: Vec<Vec<GrantTarget>>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<Vec<ExternalGrant>> {
        let mut external_grants: Vec<Vec<ExternalGrant>> = grant_targets.iter().map(|_| Vec::new()).collect();
        let mut by_instance: BTreeMap<(String, String), Vec<(usize, GrantTarget)>> = BTreeMap::new();
        for (plan, target) in
            grant_targets.into_iter().enumerate().flat_map(|(at, of)| of.into_iter().map(move |target| (at, target)))
        {
            by_instance.entry((target.block.ty.clone(), target.provider.clone())).or_default().push((plan, target));
        }
        let answers = by_instance.iter().map(|((ty, provider), grant_targets)| {
            let accesses = grant_targets.iter().map(|(_, target)| &target.access);
            grantees(self.registry, ty, provider, accesses)
        });
        let answers = join_all(answers).await;
        for (((ty, provider), grant_targets), answer) in by_instance.into_iter().zip(answers) {
            let grantees = match answer {
                Ok(grantees) => grantees,
                Err(error) => {
                    let warning = unreadable(&format!("`{ty}` of `{provider}`: {error}"));
                    diagnostics.push(warning.maybe_hint(error.hint()));
                    continue;
                }
            };
            for (plan, target) in grant_targets {
                let of_plan = external_grants.get_mut(plan).into_iter();
                let found = grantees.get(&identity_key(&target.access)).cloned().unwrap_or_default();
                of_plan.for_each(|of| {
                    of.extend(
                        found.iter().map(|grantee| ExternalGrant { target: target.clone(), grantee: grantee.clone() }),
                    )
                });
            }
        }
        external_grants
    }

    /// The objects of the plan's resources, and those that the plan forgets.
    fn planned_objects(&self, plans: &[StackPlan]) -> (HashSet<Object>, HashSet<Object>) {
        let (mut objects, mut forgotten) = (HashSet::new(), HashSet::new());
        for change in plans.iter().flat_map(|plan| &plan.changes) {
            let Some((_, ty)) = self.registry.resource_type(&change.address.ty) else { continue };
            if ty.grantee.is_empty() {
                continue;
            }
            let before = change.basis.prior.as_ref().map(|prior| prior.identity.clone());
            let after = change.after.as_ref().and_then(|after| ty.identity_of(&after.attributes));
            let object = |identity| object(&change.address.ty, &identity);
            match change.action == Action::Forget && change.why.reason != Some(Reason::Gone) {
                true => forgotten.extend(before.map(object)),
                false => objects.extend(before.into_iter().chain(after).map(object)),
            }
        }
        (objects, forgotten)
    }
}

/// The grants on each object, by the text of the object's identity.
pub(crate) async fn grantees(
    registry: &Registry,
    ty: &str,
    provider: &str,
    accesses: impl Iterator<Item = &Attributes>,
) -> Result<HashMap<String, Vec<Grantee>>, ProviderError> {
    let Some((_, ty)) = registry.resource_type(ty) else { return Ok(HashMap::new()) };
    let objects: Vec<Attributes> = accesses.cloned().collect();
    let call = async { registry.session(provider).await?.grantees(ty, &objects).await };
    let answer = deadline::call_reading(ty.timeouts.read, call).await?;
    let mut by_access: HashMap<String, Vec<Grantee>> = HashMap::new();
    for grantee in answer {
        let access = ty.access_of(&grantee.grant.identity).unwrap_or_default();
        by_access.entry(identity_key(&access)).or_default().push(grantee);
    }
    Ok(by_access)
}

fn unreadable(reason: &str) -> Diagnostic {
    Diagnostic::warning("access_not_read", format!("cannot read external grants: {reason}"))
}

/// The grant in words: principal and privilege.
fn in_words(grantee: &Grantee) -> String {
    format!("foreign: {} {}", grantee.principal, grantee.privilege)
}

fn external_access(plan: &StackPlan, block: &Address, unrecorded: &[ExternalGrant]) -> Diagnostic {
    let named: Vec<String> = unrecorded.iter().take(LISTED).map(|grant| in_words(&grant.grantee)).collect();
    let more = match unrecorded.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!("external grants on `{}`: {}{more}", block.component, named.join(", "));
    Diagnostic::note("foreign_access", message).about(format!("{}:{block}", plan.stack)).hint(
        "record them with `terrace acl set`, or let plans revoke them with `settings.access.foreign: revoke` of the environment",
    )
}

/// An unused address for a grant without a row.
pub(crate) fn free_address(block: &Address, grantee: &Grantee, taken: &mut BTreeSet<Address>) -> Address {
    let mut key = format!("foreign {}", grantee.principal);
    loop {
        let address = Address { key: Some(InstanceKey::Text(key.clone())), ..block.clone() };
        if taken.insert(address.clone()) {
            return address;
        }
        key.push('\'');
    }
}

fn revocation(grant: ExternalGrant, address: Address) -> Change {
    let ExternalGrant { target: GrantTarget { provider, timeouts, place, .. }, grantee } = grant;
    let prior = Prior {
        status: RowStatus::Ready,
        identity: grantee.grant.identity,
        attributes: grantee.grant.attributes,
        recorded: None,
        private: grantee.grant.private,
        dependencies: Vec::new(),
        write_only: BTreeMap::new(),
        inconsistent: BTreeMap::new(),
        lifecycle: Lifecycle::default(),
    };
    Change {
        address,
        deposed: None,
        moved_from: None,
        import_id: None,
        action: Action::Delete,
        after: None,
        data_loss: None,
        in_doubt: None,
        why: Why { reason: Some(Reason::Foreign), ..Why::default() },
        basis: Basis { place, prior: Some(Box::new(prior)), ..Basis::default() },
        how: How { provider, timeouts, ..How::default() },
    }
}
