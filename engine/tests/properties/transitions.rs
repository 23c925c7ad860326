//! Transitions of resources from one stack to the next: moved, already existing, or deleted outside terrace.

use super::Edit;
use super::stack::{Part, RESOURCES, Stack, Thing};
use crate::support::Story;
use std::collections::BTreeMap;

/// The last address of each resource, by position, type and whether it has instances.
pub(super) type Names = BTreeMap<(usize, usize, &'static str, bool), String>;

/// Statements of a stack about the previous one.
#[derive(Default)]
pub(super) struct Transitions {
    moved: Vec<String>,
    /// The addresses that occur in `moved`.
    pub(super) moving: Vec<String>,
    imports: Vec<String>,
    forget: Vec<String>,
    /// The keys of existing objects, and of objects deleted outside terrace.
    created_externally: Vec<String>,
    deleted_externally: Vec<String>,
}

impl Transitions {
    pub(super) fn between(before: Option<&Stack>, edit: &Edit, names: &mut Names) -> Self {
        let mut transitions = Self::default();
        for (number, part) in edit.stack.parts.iter().enumerate() {
            let Some(part) = part else { continue };
            let before = before.and_then(|before| before.parts[number].as_ref());
            for at in 0..RESOURCES {
                let thing_before = before.and_then(|before| before.things[at].as_ref());
                transitions.rename(names, (number, at), part);
                transitions.thing(edit, (number, at), (before, thing_before), part);
            }
        }
        transitions
    }

    /// Moves a resource whose name differs from the last time, even if only its data was retained since.
    fn rename(&mut self, names: &mut Names, (component, at): (usize, usize), part: &Part) {
        let Some(thing) = &part.things[at] else { return };
        let to = part.address(component, at).unwrap();
        // A resource that becomes several is another resource.
        let name = (component, at, thing.ty, thing.instances.is_some());
        if let Some(from) = names.insert(name, to.clone()).filter(|from| *from != to) {
            self.moved.push(format!("{{from: {from}, to: {to}}}"));
            self.moving.extend([from, to]);
        }
    }

    fn thing(
        &mut self,
        edit: &Edit,
        (component, at): (usize, usize),
        (part_before, before): (Option<&Part>, Option<&Thing>),
        part: &Part,
    ) {
        let address_before = part_before.and_then(|before| before.address(component, at));
        match (before, &part.things[at]) {
            (None, Some(now)) if edit.is_importing && now.ty == "world_thing" && now.instances.is_none() => {
                let key = now.key(component, at);
                self.imports.push(format!("{{to: {}, id: {key}}}", part.address(component, at).unwrap()));
                self.created_externally.push(key);
            }
            (Some(before), None) if edit.is_forgetting && before.ty == "world_thing" && before.instances.is_none() => {
                self.forget.push(address_before.unwrap());
                self.deleted_externally.push(before.key(component, at));
            }
            _ => {}
        }
    }

    pub(super) fn text(&self) -> String {
        let list = |items: &[String]| items.join(", ");
        format!(
            "moved: [{}]\nimports: [{}]\nforget: [{}]\n",
            list(&self.moved),
            list(&self.imports),
            list(&self.forget)
        )
    }

    pub(super) fn create_objects(&self, story: &Story) {
        let mut remote = story.remote();
        for key in &self.created_externally {
            let object = [("key", key.as_str()), ("val", "by hand"), ("id", key.as_str())];
            let object = object.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            if remote.objects.insert(key.clone(), object).is_none() {
                remote.effects.push(format!("create {key}"));
            }
        }
    }

    pub(super) fn delete_objects(&self, story: &Story) {
        let mut remote = story.remote();
        for key in &self.deleted_externally {
            if remote.objects.remove(key).is_some() {
                remote.effects.push(format!("delete {key}"));
            }
        }
    }
}
