//! External grants on the objects of recorded grants, found without a descriptor.
//!
//! The keys of grants from a component's `acl` are the principals that have access. If no principal has access, no recorded grant
//! names the object. Its external grants are reported by plans, which know the blueprint.

use super::{DriftItem, DriftKind, DriftedAttribute};
use crate::external_grants::known::{Known, object};
use crate::external_grants::{free_address, grantees};
use crate::failure::PlanFailure;
use crate::key::identity_key;
use crate::loaded::Loaded;
use crate::planner::Planner;
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use terrace_language::address::{Address, ComponentKey, InstanceKey, StackId};
use terrace_language::diagnostic::Diagnostic;
use terrace_provider::{Attributes, Grantee, Path, Value};

/// The principals with access, by component.
pub(super) type Accessible = HashMap<ComponentKey, BTreeSet<String>>;

/// The recorded grants by type and provider instance. Each has the object (by the text of its identity) and the address of the
/// grant's resource.
type Grants = BTreeMap<(String, String), BTreeMap<String, (Attributes, Address)>>;

/// Reads the access lists of a stack's components.
pub(super) async fn accessible(planner: &Planner<'_>, stack: &StackId) -> Result<Accessible, PlanFailure> {
    let rows = planner.store.components(stack).await?;
    let known = rows.into_iter().filter_map(|row| Some((row.key, row.access?.principals.into_iter().collect())));
    Ok(known.collect())
}

/// The external grants on the objects of recorded grants. `known` has the managed grants of the environment.
pub(super) async fn find_external_grants(
    planner: &Planner<'_>,
    stack: &StackId,
    loaded: &Loaded,
    (accessible, known): (&Accessible, &Known),
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<DriftItem>, PlanFailure> {
    let grants = grants(planner, loaded, accessible);
    let answers = grants.iter().map(|((ty, provider), grants)| {
        grantees(planner.registry, ty, provider, grants.values().map(|(access, _)| access))
    });
    let answers = join_all(answers).await;
    let own: BTreeSet<_> = match grants.is_empty() {
        true => BTreeSet::new(),
        false => loaded.rows.iter().map(|(at, row)| object(&at.ty, &row.opened.prior.identity)).collect(),
    };
    let (mut items, mut taken) = (Vec::new(), BTreeSet::new());
    for (((ty, provider), grants), answer) in grants.iter().zip(answers) {
        let mut grantees = match answer {
            Ok(grantees) => grantees,
            Err(error) => {
                let message = format!("cannot read external grants: `{ty}` of `{provider}`: {error}");
                let diagnostic = Diagnostic::error("access_not_read", message).about(stack);
                diagnostics.push(diagnostic.maybe_hint(error.hint()));
                continue;
            }
        };
        for (access, (_, block)) in grants {
            for grantee in grantees.remove(access).unwrap_or_default() {
                let object = object(ty, &grantee.grant.identity);
                let opening = (planner.registry, planner.seal);
                let is_known = own.contains(&object)
                    || known.manager_of(planner.store, opening, &stack.environment, &object).await?.is_some();
                if !is_known {
                    items.push(item(stack, free_address(block, &grantee, &mut taken), &grantee));
                }
            }
        }
    }
    items.sort_by(|left, right| left.address.cmp(&right.address));
    Ok(items)
}

/// The recorded grants that the `acl` of a component created, one for each object.
fn grants(planner: &Planner<'_>, loaded: &Loaded, accessible: &Accessible) -> Grants {
    let mut grants = Grants::new();
    for (address, row) in &loaded.rows {
        let Some((_, ty)) = planner.registry.resource_type(&address.ty).filter(|(_, ty)| !ty.grantee.is_empty()) else {
            continue;
        };
        let is_of_acl = match &address.key {
            Some(InstanceKey::Text(key)) => accessible.get(&address.component).is_some_and(|of| of.contains(key)),
            _ => false,
        };
        let access = ty.access_of(&row.opened.prior.attributes).filter(|_| is_of_acl);
        let Some(access) = access else { continue };
        let of_type = grants.entry((address.ty.clone(), row.opened.provider.clone())).or_default();
        let block = || Address { key: None, ..address.clone() };
        of_type.entry(identity_key(&access)).or_insert_with(|| (access, block()));
    }
    grants
}

fn item(stack: &StackId, address: Address, grantee: &Grantee) -> DriftItem {
    let attribute = |name: &str, value: &str| DriftedAttribute {
        path: Path::attribute(name),
        recorded: None,
        observed: Some(Value::from(value)),
    };
    DriftItem {
        stack: stack.clone(),
        address,
        deposed: None,
        kind: DriftKind::Foreign,
        attributes: vec![attribute("principal", &grantee.principal), attribute("privilege", &grantee.privilege)],
    }
}
