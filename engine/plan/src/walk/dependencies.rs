//! Dependencies of an instance: the instances that its expressions read or that it names.

use super::super::triggers::instance_key as instance_key_of;
use super::{ComponentPart, Walk};
use std::collections::BTreeSet;
use terrace_language::address::{Address, InstanceKey};
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::expression::{ReferenceStep, Scope};
use terrace_language::graph::templates;
use terrace_language::scope::{BlockValue, PlanScope};
use terrace_provider::Value;

impl Walk<'_, '_> {
    /// The addresses that an instance depends on, from its expressions, lookups, `dependsOn` and triggers.
    pub(super) fn dependencies(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        scope: &PlanScope<'_>,
    ) -> Vec<Address> {
        let mut found = BTreeSet::new();
        for template in templates(declaration) {
            for reference in template.references().filter(|reference| reference.root == "resources") {
                let Some((ReferenceStep::Key(name), rest)) = reference.steps.split_first() else { continue };
                let key = rest.first().and_then(|step| instance_key(step, scope));
                self.add_instances(part, name, key.as_ref(), &mut found);
            }
        }
        self.lookup_dependencies(part, declaration, &mut found);
        for name in &declaration.depends_on {
            self.add_instances(part, &name.value, None, &mut found);
        }
        for trigger in &declaration.replace_triggered_by {
            let key = trigger.path.0.first().and_then(instance_key_of);
            self.add_instances(part, &trigger.name, key.as_ref(), &mut found);
        }
        found.into_iter().collect()
    }

    fn add_instances(
        &self,
        part: &ComponentPart<'_>,
        name: &str,
        key: Option<&InstanceKey>,
        found: &mut BTreeSet<Address>,
    ) {
        if let Some(shared) = part.shared.get(name) {
            // Shared resources have no block address: a dependency on all lists each of them.
            match key.and_then(|key| shared.get(&Some(key.clone()))) {
                Some(address) => drop(found.insert(address.clone())),
                None => found.extend(shared.values().cloned()),
            }
            return;
        }
        let declaration = part.names.get(name).and_then(|at| part.component.declarations.resources.get(*at));
        let Some(declaration) = declaration else { return };
        let address = |key: Option<&InstanceKey>| Address {
            component: part.component.key.clone(),
            ty: declaration.ty.value.clone(),
            name: name.to_owned(),
            key: key.cloned(),
        };
        match part.values.get(name) {
            Some(BlockValue::Single(_)) => {
                found.insert(address(None));
            }
            Some(BlockValue::Instances(instances)) => match key.filter(|key| instances.contains_key(*key)) {
                Some(key) => {
                    found.insert(address(Some(key)));
                }
                // One address stands for all instances. Otherwise a row of 100 instances would list 100 addresses each.
                None if instances.is_empty() => {}
                None => {
                    found.insert(address(Some(&InstanceKey::All)));
                }
            },
            Some(BlockValue::Absent) | None => {}
        }
    }
}

fn instance_key(step: &ReferenceStep, scope: &PlanScope<'_>) -> Option<InstanceKey> {
    match step {
        ReferenceStep::Key(key) => Some(InstanceKey::Text(key.clone())),
        ReferenceStep::Index(index) => Some(InstanceKey::Index(*index)),
        ReferenceStep::Path(path) => match scope.resolve(&path.root, &path.steps).ok()?.exposed() {
            Value::String(text) => Some(InstanceKey::Text(text.clone())),
            Value::Int(index) => Some(InstanceKey::Index(*index)),
            _ => None,
        },
    }
}
