//! Access that others gave, without any descriptor: to what recorded grants let somebody in to.
//!
//! What a component's `acl` made is known by its keys, which are the principals that have access. Where nobody has, no
//! grant is on record to look with: a plan, which knows the blueprint, tells of that.

use super::{DriftItem, DriftKind, DriftedAttribute};
use crate::address::{Address, InstanceKey, StackId};
use crate::diagnostic::Diagnostic;
use crate::plan::compute::{PlanFailure, Planner};
use crate::plan::key::identity_key;
use crate::plan::ours::Managed;
use crate::plan::refresh::{Loaded, LoadedRow};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use terrace_provider::{Attributes, Grantee, Path, Value};

/// Who has access to which components of a stack.
pub(super) type Accessible = HashMap<String, BTreeSet<String>>;

/// Grants of one type and provider instance: what they let somebody in to, and which resource of which component does.
type Grants = BTreeMap<(String, String), Vec<(Attributes, Address)>>;

/// The components of a stack of which it is known who has access.
pub(super) async fn accessible(planner: &Planner<'_>, stack: &StackId) -> Result<Accessible, PlanFailure> {
    let rows = planner.store.components(stack).await?;
    let known = rows.into_iter().filter_map(|row| Some((row.key, row.access?.principals.into_iter().collect())));
    Ok(known.collect())
}

/// Who is let in by others to what these rows let somebody in to.
pub(super) async fn let_in(
    planner: &Planner<'_>,
    stack: &StackId,
    loaded: &Loaded,
    accessible: &Accessible,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<DriftItem>, PlanFailure> {
    let mut items = Vec::new();
    let managed = Managed::default();
    let of_row = |(address, row): (&Address, &LoadedRow)| {
        let opened = &row.opened;
        (address.ty.clone(), opened.provider.clone(), identity_key(&opened.prior.identity))
    };
    let grants = grants(planner, loaded, accessible);
    let own: HashSet<_> = if grants.is_empty() { HashSet::new() } else { loaded.rows.iter().map(of_row).collect() };
    for ((ty, provider), grants) in grants {
        let Some((_, schema)) = planner.registry.resource_type(&ty) else { continue };
        let accesses: Vec<Attributes> = grants.iter().map(|(access, _)| access.clone()).collect();
        let asked = match planner.registry.session(&provider).await {
            Ok(session) => session.grantees(schema, &accesses).await,
            Err(error) => Err(error),
        };
        let grantees = match asked {
            Ok(grantees) => grantees,
            Err(error) => {
                let message = format!("who else has access by `{ty}` of `{provider}` cannot be told: {error}");
                let told = Diagnostic::error("access_not_read", message).about(stack);
                diagnostics.push(told.maybe_hint(error.solutions.first().cloned()));
                continue;
            }
        };
        for grantee in grantees {
            let access = schema.access_of(&grantee.grant.identity);
            let grant = grants.iter().find(|(known, _)| access.as_ref() == Some(known));
            let identity = &grantee.grant.identity;
            let is_own = own.contains(&(ty.clone(), provider.clone(), identity_key(identity)));
            let Some((_, block)) = grant.filter(|_| !is_own) else { continue };
            if managed.by(planner, &ty, &provider, identity).await?.is_none() {
                items.push(item(stack, block, &grantee));
            }
        }
    }
    items.sort_by(|one, other| one.address.cmp(&other.address));
    Ok(items)
}

/// The recorded grants that the `acl` of a component made, once for each thing that they let somebody in to.
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
        if !of_type.iter().any(|(known, _)| *known == access) {
            of_type.push((access, Address { key: None, ..address.clone() }));
        }
    }
    grants
}

fn item(stack: &StackId, block: &Address, grantee: &Grantee) -> DriftItem {
    let attribute = |name: &str, value: &str| DriftedAttribute {
        path: Path::attribute(name),
        recorded: None,
        observed: Some(Value::from(value)),
    };
    DriftItem {
        stack: stack.clone(),
        address: Address { key: Some(InstanceKey::Text(format!("foreign {}", grantee.principal))), ..block.clone() },
        deposed: None,
        kind: DriftKind::Foreign,
        attributes: vec![attribute("principal", &grantee.principal), attribute("privilege", &grantee.privilege)],
    }
}
