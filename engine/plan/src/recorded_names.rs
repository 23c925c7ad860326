//! Names by the rules of earlier versions: the engine keeps those of a state, because objects depend on them.

use std::collections::{BTreeMap, BTreeSet};
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::descriptor::{Descriptor, FormerNames};
use terrace_language::naming::NamesRule;
use terrace_store::{ComponentRow, OwnerRow, OwnersOf, Ownership, Row, Rows, Selection, StoreError};

/// Switches to the names and the rule that the store has for the stack. The descriptor alone does not show whether
/// the rule matters, because variables and settings may contain names too.
///
/// # Errors
/// When the store cannot be read.
pub async fn keep_recorded_names(
    descriptor: &mut Descriptor,
    environment: &str,
    store: &dyn Rows,
) -> Result<(), StoreError> {
    let Some(former) = &descriptor.former else { return Ok(()) };
    let recorded = store.components(&StackId::new(descriptor.stack.as_str(), environment)).await?;
    let is_same = former.stack == descriptor.stack;
    let mut own = recorded.iter().filter(|row| is_of_product(descriptor, former, row)).peekable();
    if own.peek().is_some() {
        match (own.all(is_ascii), is_same) {
            (true, true) => apply_former_names(descriptor, &recorded),
            (true, false) => descriptor.names = NamesRule::Ascii,
            (false, _) => {}
        }
        return Ok(());
    }
    if is_same {
        let shared = former_shared_rows(former, environment, store).await?;
        descriptor.former.iter_mut().for_each(|former| former.shared.clone_from(&shared));
        return Ok(());
    }
    let stack = StackId::new(former.stack.as_str(), environment);
    if let Some(folder) = &former.folder
        && !describes_all(descriptor, folder, &store.rows(&stack, &Selection::All).await?)
    {
        return Ok(());
    }
    let recorded = store.components(&stack).await?;
    if recorded.iter().any(|row| is_of_product(descriptor, former, row)) {
        apply_former_names(descriptor, &recorded);
        return Ok(());
    }
    let shared = former_shared_rows(former, environment, store).await?;
    descriptor.former.iter_mut().for_each(|former| former.shared.clone_from(&shared));
    Ok(())
}

/// True for a row of this data product. A stack without a product is identified by its name alone. So is a row
/// without an id under the new name. Under the former name, a row without an id must belong to a described
/// component.
fn is_of_product(descriptor: &Descriptor, former: &FormerNames, row: &ComponentRow) -> bool {
    if descriptor.product.is_null() {
        return true;
    }
    match row.ids.as_ref().map(|ids| ids.product.as_str()).filter(|id| !id.is_empty()) {
        Some(id) => former.product.as_deref() == Some(id),
        None if former.stack == descriptor.stack => true,
        None => {
            let has_id = descriptor.product.get("id").is_some_and(|id| !id.is_null());
            let now = former.keys.iter().find(|(_, key)| **key == row.key).map_or(&row.key, |(now, _)| now);
            !has_id && descriptor.components.iter().any(|component| component.key == *now)
        }
    }
}

/// True when every row names this folder and a component of this descriptor. Any other row belongs to another
/// folder, and the engine would delete its object as undeclared.
fn describes_all(descriptor: &Descriptor, (attribute, folder): &(&str, String), rows: &[Row]) -> bool {
    rows.iter().all(|row| {
        let attributes: serde_json::Value = serde_json::from_str(row.attributes.as_str()).unwrap_or_default();
        let has = |name: &str, value: &str| attributes.get(name).and_then(serde_json::Value::as_str) == Some(value);
        has(attribute, folder)
            && descriptor.transitions.identified.iter().any(|identified| has(identified.attribute, &identified.value))
    })
}

fn apply_former_names(descriptor: &mut Descriptor, recorded: &[ComponentRow]) {
    let Some(former) = descriptor.former.take() else { return };
    let is_recorded = |key: &ComponentKey, id: Option<&String>| {
        let row = recorded.iter().find(|row| row.key == *key);
        let component = |row: &ComponentRow| row.ids.as_ref().map(|ids| ids.component.clone()).unwrap_or_default();
        row.map(component).is_some_and(|component| component.is_empty() || Some(&component) == id)
    };
    // A new component keeps its new key.
    let ids: BTreeMap<&ComponentKey, Option<&String>> =
        descriptor.components.iter().map(|component| (&component.key, component.id.as_ref())).collect();
    let unlisted = descriptor.unlisted.iter().map(|unlisted| (&unlisted.key, Some(&unlisted.id)));
    let keys: BTreeMap<ComponentKey, ComponentKey> = ids
        .into_iter()
        .chain(unlisted)
        .filter_map(|(key, id)| Some((key, former.keys.get(key)?, id)))
        .filter(|(_, former, id)| is_recorded(former, *id))
        .map(|(key, former, _)| (key.clone(), former.clone()))
        .collect();
    let rename = |key: &mut ComponentKey| {
        if let Some(former) = keys.get(key) {
            former.clone_into(key);
        }
    };
    for component in &mut descriptor.components {
        rename(&mut component.key);
        component.depends_on.iter_mut().filter_map(|dependency| dependency.key.as_mut()).for_each(rename);
    }
    descriptor.target.iter_mut().for_each(rename);
    descriptor.unlisted.iter_mut().for_each(|unlisted| rename(&mut unlisted.key));
    descriptor.stack = former.stack;
    descriptor.names = NamesRule::Ascii;
}

/// The shared rows that other data products of the same domain own under [`NamesRule::Ascii`]. Under that rule two
/// domains may have the same name, so only the id of the domain counts.
async fn former_shared_rows(
    former: &FormerNames,
    environment: &str,
    store: &dyn Rows,
) -> Result<BTreeSet<Address>, StoreError> {
    let mut shared = BTreeSet::new();
    let Some(domain) = former.product.as_deref().and_then(domain_of) else { return Ok(shared) };
    let rows = store.rows(&StackId::shared(environment), &Selection::All).await?;
    let addresses: BTreeSet<Address> = rows.into_iter().map(|row| row.address).collect();
    if addresses.is_empty() {
        return Ok(shared);
    }
    let mut owned: BTreeMap<StackId, Vec<Ownership>> = BTreeMap::new();
    for OwnerRow { ownership, .. } in store.owners(environment, &OwnersOf::Addresses(addresses)).await? {
        owned.entry(ownership.stack.clone()).or_default().push(ownership);
    }
    // The name of a stack begins with the name of its domain.
    let first = |name: &str| name.split('.').next().map(str::to_owned);
    for (stack, owned) in owned.into_iter().filter(|(stack, _)| first(&stack.name) == first(&former.stack)) {
        let components = store.components(&stack).await?;
        let is_former = |row: &ComponentRow| {
            is_ascii(row) && row.ids.as_ref().and_then(|ids| domain_of(&ids.product)) == Some(domain)
        };
        let keys: BTreeSet<&str> = components.iter().filter(|row| is_former(row)).map(|row| row.key.as_str()).collect();
        let owned = owned.into_iter().filter(|ownership| keys.contains(ownership.component.as_str()));
        shared.extend(owned.map(|ownership| ownership.address));
    }
    Ok(shared)
}

/// The domain in the id of a data product.
fn domain_of(product: &str) -> Option<&str> {
    product.strip_prefix("urn:dmb:dp:")?.split(':').next()
}

/// True for a row under [`NamesRule::Ascii`], which rows do not record.
fn is_ascii(row: &ComponentRow) -> bool {
    row.ids.as_ref().is_none_or(|ids| ids.names.is_ascii())
}
