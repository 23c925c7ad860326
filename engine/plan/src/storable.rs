//! Checks whether the state can store the plan: addresses that are too long, and new sensitive values without a state key. Each
//! attribute that needs a key is reported once.

use super::planner::Planner;
use super::{Change, StackPlan};
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::action::Action;
use terrace_language::address::{Address, BlockName, MAX_LENGTH, StackId};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::source::Place;
use terrace_language::text::counted;
use terrace_provider::Value;

/// Reports resources whose addresses are too long for the state.
pub(crate) fn check_addresses(stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    let is_too_long =
        |change: &&Change| change.action != Action::NoOp && change.after.is_some() && change.address.is_too_long();
    let mut blocks: BTreeMap<BlockName<&str>, (&Change, usize)> = BTreeMap::new();
    for change in stacks.iter().flat_map(|stack| stack.changes.iter().filter(is_too_long)) {
        blocks.entry(BlockName::of(&change.address)).or_insert((change, 0)).1 += 1;
    }
    for (change, count) in blocks.into_values() {
        let block = Address { key: None, ..change.address.clone() };
        let instances = counted(count, "instances");
        let message = format!("{instances} of {block}: an address is longer than {MAX_LENGTH} bytes");
        let hint = "choose shorter keys with `key:`, or a shorter share key";
        let diagnostic = Diagnostic::error("address_too_long", message).hint(hint);
        diagnostics.push(match &change.basis.place {
            Some(place) => diagnostic.at_place(place.clone()),
            None => diagnostic,
        });
    }
}

/// Reports sensitive attributes that cannot be stored.
pub(crate) fn check(planner: &Planner<'_>, stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    if planner.seal.can_store_new() {
        return;
    }
    let mut found: BTreeMap<&str, Unstorable<'_>> = BTreeMap::new();
    for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
        let is_rewritten = change.in_doubt.is_none() && change.is_rewritten();
        let is_recorded = change.action != Action::NoOp || is_rewritten;
        if !is_recorded || !change.action.leaves_object() {
            continue;
        }
        let Some(after) = &change.after else { continue };
        let write_only = |name: &str| {
            let ty = planner.registry.resource_type(&change.address.ty);
            ty.and_then(|(_, ty)| ty.attributes.get(name)).is_some_and(|attribute| attribute.write_only)
        };
        let is_unstorable = |(name, value): &(&String, &Value)| !planner.seal.can_store(value) && !write_only(name);
        for (name, _) in after.attributes.iter().filter(is_unstorable).take(1) {
            let unstorable = found.entry(name).or_insert_with(|| Unstorable::new(&stack.stack, &change.address));
            unstorable.resources += 1;
            unstorable.places.extend(change.basis.place.as_ref());
        }
    }
    diagnostics.extend(found.iter().map(|(name, unstorable)| unstorable.diagnostic(name)));
}

/// A sensitive attribute that cannot be stored.
struct Unstorable<'p> {
    stack: &'p StackId,
    /// The first resource with the attribute, and the number of such resources.
    address: &'p Address,
    resources: usize,
    /// The declarations of these resources.
    places: BTreeSet<&'p Place>,
}

impl<'p> Unstorable<'p> {
    fn new(stack: &'p StackId, address: &'p Address) -> Self {
        Self { stack, address, resources: 0, places: BTreeSet::new() }
    }

    fn diagnostic(&self, name: &str) -> Diagnostic {
        // The diagnostic's address names a single resource.
        let (whose, address) = match self.resources {
            0 | 1 => (String::new(), Some(format!("{}:{}", self.stack, self.address))),
            many => (format!(" of {many} resources"), None),
        };
        let message = format!("`{name}`{whose} is sensitive and there is no state key to seal it with");
        let diagnostic = Diagnostic::error("no_state_key", message).hint(
            "create a key with `terrace init --state-key`, or store the value in plain text with `--plaintext-secrets`",
        );
        let diagnostic = Diagnostic { address, ..diagnostic };
        self.places.iter().fold(diagnostic, |diagnostic, place| diagnostic.at_place((*place).clone()))
    }
}
