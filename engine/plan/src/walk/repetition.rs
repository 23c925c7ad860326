//! Moves between a single resource and a `forEach`. If the recorded object clearly belongs to one instance, its row moves there,
//! and no object is created or deleted.

use super::expand::Instance;
use super::{ComponentPart, Walk};
use std::sync::Arc;
use terrace_language::address::{Address, InstanceKey};
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::Template;
use terrace_language::graph::Block;
use terrace_language::selector::is_same_block;
use terrace_provider::{Attributes, ResourceType};
use terrace_store::Read;

impl Walk<'_, '_> {
    /// Moves the recorded object of a resource to its address with or without `forEach`.
    pub(super) fn follow_repetition_change(
        &mut self,
        block: Block,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
        instances: &[Instance],
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let Some(part) = self.parts.get(block.component) else { return };
        let single = Address {
            component: part.component.key.clone(),
            ty: ty.name.to_owned(),
            name: declaration.name.value.clone(),
            key: None,
        };
        let is_repeated = declaration.for_each.is_some();
        if !if is_repeated { self.loaded.rows.contains_key(&single) } else { self.has_instances } {
            return;
        }
        // A single resource sorts before its instances.
        let recorded: Vec<&Address> = self
            .loaded
            .rows
            .range(single.clone()..)
            .map(|(address, _)| address)
            .take_while(|address| is_same_block(address, &single))
            .collect();
        let moving = match recorded.as_slice() {
            [only] if is_repeated && only.key.is_none() => {
                self.becomes_instance(part, declaration, ty, instances, &single, diagnostics)
            }
            [first, ..] if !is_repeated && first.key.is_some() => {
                let identity = self.identity(part, declaration, ty, instances.first(), diagnostics);
                let chosen = self.instance_of(ty, &recorded, identity);
                if chosen.is_none() && ty.identity.is_empty() {
                    diagnostics.push(ambiguous(declaration, &single));
                }
                chosen.map(|from| (from, single.clone()))
            }
            _ => None,
        };
        if let Some((from, to)) = moving {
            self.loaded.reads.push(Read::absent(&self.compiled.stack, &to));
            self.loaded.relocate(from, to);
        }
    }

    /// The instance that the single object becomes: the first one, if it has the same identity.
    fn becomes_instance(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
        instances: &[Instance],
        single: &Address,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<(Address, Address)> {
        let recorded = &self.loaded.rows.get(single)?.opened.prior.identity;
        let address = |instance: &Instance| Address { key: instance.key.clone(), ..single.clone() };
        let mut rest = instances.iter();
        let first = rest.next()?;
        if ty.identity.is_empty() || self.identity(part, declaration, ty, Some(first), diagnostics)? == *recorded {
            return Some((single.clone(), address(first)));
        }
        let has_object = |instance: &&Instance| {
            self.identity(part, declaration, ty, Some(instance), &mut Vec::new()).as_ref() == Some(recorded)
        };
        if let Some(other) = rest.find(has_object) {
            let to = address(other);
            diagnostics.push(
                Diagnostic::error("needs_moved", format!("`{single}` has a row, and its object is `{to}` now"))
                    .at(declaration.name.span)
                    .hint(format!("declare the move: `moved: [{{from: '{single}', to: '{to}'}}]`")),
            );
        }
        None
    }

    /// The instance whose object the single resource continues.
    fn instance_of(&self, ty: &ResourceType, recorded: &[&Address], identity: Option<Attributes>) -> Option<Address> {
        let has_object = |address: &&&Address| {
            self.loaded.rows.get(**address).is_some_and(|row| Some(&row.opened.prior.identity) == identity.as_ref())
        };
        let found = match recorded {
            _ if !ty.identity.is_empty() => recorded.iter().find(has_object),
            [only] => Some(only),
            several => several.iter().find(|address| address.key == Some(InstanceKey::Index(0))),
        };
        found.map(|address| (*address).clone())
    }

    /// The identity of an instance's object, if it is known.
    fn identity(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
        instance: Option<&Instance>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Attributes> {
        let scope = self.scope(part, instance?.each.as_ref());
        let config: Arc<Template> = Arc::new(declaration.config.clone());
        let prepared = self.prepare(part, declaration, ty.name, &ty.attributes, &config, &scope, diagnostics)?;
        ty.identity_of(&ty.with_identity(&prepared.config))
    }
}

fn ambiguous(declaration: &ResourceDeclaration, single: &Address) -> Diagnostic {
    let message = format!("`{single}` had instances, and it is unclear which of them it continues: all are deleted");
    Diagnostic::warning("ambiguous_repetition", message)
        .at(declaration.name.span)
        .hint(format!("to keep one instance, declare `moved: [{{from: '{single}[\"key\"]', to: '{single}'}}]`"))
}
