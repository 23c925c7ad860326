//! Recorded values of resources in a plan of access only: grants refer to objects that exist.

use super::expand::Instance;
use super::{Walk, attributes_value, block_address};
use crate::SharedName;
use crate::failure::PlanFailure;
use crate::loaded::LoadedRow;
use crate::targeting::GrantedShares;
use indexmap::IndexMap;
use std::collections::BTreeSet;
use terrace_language::address::Address;
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::graph::Block;
use terrace_language::scope::BlockValue;
use terrace_language::selector::is_same_block;
use terrace_provider::{ResourceType, Value};
use terrace_store::Read;

impl Walk<'_, '_> {
    /// Publishes the recorded values of a resource that the plan does not touch. A missing row is an error: the resource must exist
    /// before access to it is granted.
    pub(super) async fn publish_recorded(
        &mut self,
        block: Block,
        declaration: &ResourceDeclaration,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(), PlanFailure> {
        let Some((_, ty)) = self.planner.registry.resource_type(&declaration.ty.value) else { return Ok(()) };
        let value = match declaration.shared {
            Some(_) => self.recorded_shared_value(block, declaration, ty, diagnostics).await?,
            None => self.recorded_own_value(block, declaration, ty),
        };
        let Some(part) = self.parts.get_mut(block.component) else { return Ok(()) };
        let value = value.unwrap_or_else(|| {
            let (key, name) = (&part.component.key, &declaration.name.value);
            let message = format!("`{name}` of `{key}` is not in the state: cannot grant access before it exists");
            let hint = format!("provision `{key}` first");
            diagnostics.push(Diagnostic::error("not_provisioned", message).at(declaration.name.span).hint(hint));
            BlockValue::Single(Value::Unknown)
        });
        part.values.insert(declaration.name.value.clone(), value);
        Ok(())
    }

    /// The shared resources of the access list that chosen components may release. Other shared resources of a component keep their
    /// keys. If a key is unknown, no resource of that type is released.
    pub(super) fn granted_shares(&self) -> GrantedShares {
        let mut shares = GrantedShares::default();
        let is_shared = |declaration: &&ResourceDeclaration| declaration.shared.is_some();
        for (at, part) in self.parts.iter().enumerate() {
            let begin = part.component.granted.as_ref().map(|granted| granted.begin);
            let Some(begin) = begin.filter(|_| self.targeting.has_component(&part.component.key)) else { continue };
            let Some((unrelated, grants)) = part.component.declarations.resources.split_at_checked(begin) else {
                continue;
            };
            let mut types: BTreeSet<String> =
                grants.iter().filter(is_shared).map(|declaration| declaration.ty.value.clone()).collect();
            for (resource, declaration) in
                unrelated.iter().enumerate().filter(|(_, declaration)| is_shared(declaration))
            {
                let block = Block { component: at, resource };
                match self.shared_addresses(block, declaration).filter(|_| types.contains(&declaration.ty.value)) {
                    Some(addresses) => {
                        let key = &part.component.key;
                        shares.independent.extend(addresses.into_iter().map(|address| (key.clone(), address)));
                    }
                    None => drop(types.remove(&declaration.ty.value)),
                }
            }
            shares.types.insert(part.component.key.clone(), types);
        }
        shares
    }

    /// The addresses of a shared resource's instances; `None` if a key is unknown.
    fn shared_addresses(&self, block: Block, declaration: &ResourceDeclaration) -> Option<Vec<Address>> {
        let (template, part) = (declaration.shared.as_ref()?, self.parts.get(block.component)?);
        let instances = self.expand(block, declaration, &mut Vec::new())?;
        let address = |instance: Instance| {
            let scope = self.scope(part, instance.each.as_ref());
            let key = self.text(template, &scope, "shared", &mut Vec::new())?;
            Some(Address::shared(&declaration.ty.value, &key))
        };
        instances.into_iter().map(address).collect()
    }

    fn recorded_own_value(
        &mut self,
        block: Block,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
    ) -> Option<BlockValue> {
        let own = block_address(self.parts.get(block.component)?, declaration);
        let rows = self.loaded.left_out.iter().filter(|(address, _)| is_same_block(address, &own));
        let mut instances = IndexMap::new();
        let mut single = None;
        for (address, row) in rows {
            self.absent_reads.push(read(address, row));
            let value = attributes_value(ty, &row.opened.prior.attributes);
            match &address.key {
                Some(key) => drop(instances.insert(key.clone(), value)),
                None => single = Some(value),
            }
        }
        match (&declaration.for_each, &declaration.when, single) {
            (Some(_), ..) => Some(BlockValue::Instances(instances)),
            (None, _, Some(value)) => Some(BlockValue::Single(value)),
            (None, Some(_), None) => Some(BlockValue::Absent),
            (None, None, None) => None,
        }
    }

    async fn recorded_shared_value(
        &mut self,
        block: Block,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Option<BlockValue>, PlanFailure> {
        let Some(template) = &declaration.shared else { return Ok(None) };
        let Some(instances) = self.expand(block, declaration, diagnostics) else { return Ok(None) };
        let mut values = IndexMap::new();
        for instance in instances {
            let Some(part) = self.parts.get(block.component) else { return Ok(None) };
            let scope = self.scope(part, instance.each.as_ref());
            let Some(key) = self.share_key(part, template, &scope, diagnostics) else { return Ok(None) };
            let address = Address::shared(ty.name, &key);
            self.shared.ensure(self.planner, &address).await?;
            let Some(row) = self.shared.recorded(&address) else {
                match declaration.when {
                    Some(_) => continue,
                    None => return Ok(None),
                }
            };
            let value = attributes_value(ty, &row.opened.prior.attributes);
            self.absent_reads.push(read(&address, row));
            let name = declaration.name.value.clone();
            let named = SharedName { name: name.clone(), key: instance.key.clone(), address };
            let Some(part) = self.parts.get_mut(block.component) else { return Ok(None) };
            part.shared.entry(name).or_default().insert(named.key, named.address);
            match instance.key {
                Some(key) => drop(values.insert(key, value)),
                None => return Ok(Some(BlockValue::Single(value))),
            }
        }
        Ok(Some(match declaration.for_each {
            Some(_) => BlockValue::Instances(values),
            // `when` was false at the last apply.
            None => BlockValue::Absent,
        }))
    }
}

fn read(address: &Address, row: &LoadedRow) -> Read {
    let stack = row.opened.stack.clone();
    Read { stack, address: address.clone(), deposed: None, generation: row.opened.generation }
}
