//! Writes of the store in memory: rows with their versions, components, owners.

use super::State;
use super::refused;
use jiff::Timestamp;
use std::collections::BTreeSet;
use terrace_engine::address::{Address, InstanceKey, StackId};
use terrace_engine::selector::is_same_block;
use terrace_engine::store::{
    ComponentEntry, ComponentRow, Generation, HistoryEntry, Ownership, Read, Row, RowStatus, StackRead, StaleRead,
    StoreError, Write,
};
use uuid::Uuid;

impl State {
    pub(super) fn write(&mut self, write: &Write, operation: Uuid, now: Timestamp) -> Result<(), StoreError> {
        match write {
            Write::Put { row, expected } => {
                crate::values::address(&row.address).map_err(|misuse| refused(misuse.0))?;
                let key = (row.stack.clone(), row.address.clone(), row.deposed.clone());
                self.check_generation(&key, *expected)?;
                self.put(Row { updated_at: now, operation, ..(**row).clone() });
            }
            Write::Delete { stack, address, deposed, expected } => {
                let key = (stack.clone(), address.clone(), deposed.clone());
                self.check_present(&key, *expected)?;
                self.drop_row(&key, operation, now);
            }
            Write::Forget { stack, address, deposed, expected } => {
                let key = (stack.clone(), address.clone(), deposed.clone());
                self.check_present(&key, *expected)?;
                self.forget(&key, operation, now);
            }
            Write::Depose { stack, address, key, expected } => {
                let current = (stack.clone(), address.clone(), None);
                self.check_present(&current, *expected)?;
                if let Some(row) = self.rows.get(&current).cloned() {
                    self.rows.remove(&current);
                    let deposed = Some(key.clone());
                    self.rows.insert((stack.clone(), address.clone(), deposed.clone()), Row { deposed, ..row });
                }
            }
            Write::Move { stack, from, to, expected } => self.rename(stack, (from, to), *expected, operation, now)?,
            Write::Follow { stack, block, to } => self.follow(stack, block, to),
            Write::FollowReads { stack, from, to } => self.follow_reads(stack, from, to),
            Write::Reseal { row } => self.reseal(row),
            Write::ResealComponent { stack, version, outputs } => {
                let key = (stack.clone(), *version);
                if let Some(mut entry) = self.component_versions.get(&key).cloned() {
                    entry.component =
                        entry.component.map(|component| ComponentRow { outputs: outputs.clone(), ..component });
                    self.component_versions.insert(key, entry);
                }
            }
            Write::ResealRequest { request } => self.reseal_request(request),
            Write::Component { stack, component } => {
                let key = (stack.clone(), component.key.clone());
                if self.components.get(&key) != Some(component) {
                    self.components.insert(key, component.clone());
                    self.add_component_version(stack, &component.key, Some(component), operation, now);
                }
            }
            Write::DropComponent { stack, key } => {
                if self.of_component(stack, key).any(|row| row.status != RowStatus::Retained) {
                    return Err(refused(crate::still_in_use(stack, key)));
                }
                if self.components.remove(&(stack.clone(), key.clone())).is_some() {
                    self.add_component_version(stack, key, None, operation, now);
                }
            }
            Write::PutOwner(owner) => self.owners.insert(owner.ownership.clone(), owner.declaration.clone()),
            Write::DropOwner { ownership, may_be_last } => {
                let is_other = |owner: &Ownership| {
                    owner != ownership
                        && owner.address == ownership.address
                        && owner.stack.environment == ownership.stack.environment
                };
                if *may_be_last || self.owners.iter().any(|(owner, _)| is_other(owner)) {
                    self.owners.remove(ownership);
                }
            }
        }
        Ok(())
    }

    pub(super) fn generation(&self, key: &(StackId, Address, Option<String>)) -> Generation {
        self.rows.get(key).map_or(0, |row| row.generation)
    }

    fn check_generation(
        &self,
        key: &(StackId, Address, Option<String>),
        expected: Generation,
    ) -> Result<(), StoreError> {
        let now = self.generation(key);
        if now == expected { Ok(()) } else { Err(stale(key, expected, now)) }
    }

    /// As [`State::check_generation`], for a row that must exist.
    fn check_present(&self, key: &(StackId, Address, Option<String>), expected: Generation) -> Result<(), StoreError> {
        match self.generation(key) {
            0 => Err(stale(key, expected, 0)),
            _ => self.check_generation(key, expected),
        }
    }

    fn next_generation(&self, stack: &StackId, address: &Address) -> Generation {
        let (first, last) = ((stack.clone(), address.clone(), 0), (stack.clone(), address.clone(), Generation::MAX));
        self.versions.range(first..=last).next_back().map_or(1, |((_, _, generation), _)| generation + 1)
    }

    fn put(&mut self, row: Row) {
        let generation = self.next_generation(&row.stack, &row.address);
        let row = Row { generation, ..row };
        let entry = HistoryEntry { generation, at: row.updated_at, operation: row.operation, row: Some(row.clone()) };
        let version = (row.deposed.clone(), entry);
        self.versions.insert((row.stack.clone(), row.address.clone(), generation), version);
        self.rows.insert((row.stack.clone(), row.address.clone(), row.deposed.clone()), row);
    }

    fn drop_row(&mut self, key: &(StackId, Address, Option<String>), operation: Uuid, now: Timestamp) {
        let (stack, address, deposed) = key;
        let generation = self.next_generation(stack, address);
        let entry = HistoryEntry { generation, row: None, at: now, operation };
        self.versions.insert((stack.clone(), address.clone(), generation), (deposed.clone(), entry));
        self.rows.remove(key);
    }

    fn add_component_version(
        &mut self,
        stack: &StackId,
        key: &str,
        component: Option<&ComponentRow>,
        operation: Uuid,
        at: Timestamp,
    ) {
        let versions = || self.component_versions.range((stack.clone(), 0)..=(stack.clone(), u64::MAX));
        let version = versions().map(|((_, version), _)| version + 1).next_back().unwrap_or(1);
        let is_first = !versions().any(|(_, entry)| entry.key == key);
        let component = component.cloned();
        let entry = ComponentEntry { key: key.to_owned(), version, is_first, component, at, operation };
        self.component_versions.insert((stack.clone(), version), entry);
    }

    fn rename(
        &mut self,
        stack: &StackId,
        (from, to): (&Address, &Address),
        expected: Generation,
        operation: Uuid,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = (stack.clone(), from.clone(), None);
        self.check_present(&key, expected)?;
        if self.rows.has(&(stack.clone(), to.clone(), None)) {
            return Err(StoreError::Occupied { stack: stack.clone(), address: to.clone() });
        }
        let Some(row) = self.rows.get(&key).cloned() else { return Ok(()) };
        self.drop_row(&key, operation, now);
        self.put(Row { address: to.clone(), updated_at: now, operation, ..row });
        let deposed: Vec<Row> = self.of_stack(stack).filter(|row| row.address == *from).cloned().collect();
        for row in deposed {
            self.drop_row(&(stack.clone(), from.clone(), row.deposed.clone()), operation, now);
            self.put(Row { address: to.clone(), updated_at: now, operation, ..row });
        }
        for dependent in self.dependent_stacks(stack) {
            self.redirect_dependents(&dependent, from, |_| vec![to.clone()]);
        }
        if *stack == StackId::shared(&stack.environment) {
            let is_moved =
                |ownership: &Ownership| ownership.address == *from && ownership.stack.environment == stack.environment;
            let owners: Vec<(Ownership, String)> = self
                .owners
                .iter()
                .filter(|(owner, _)| is_moved(owner))
                .map(|(owner, declaration)| (owner.clone(), declaration.clone()))
                .collect();
            for (mut owner, declaration) in owners {
                self.owners.remove(&owner);
                owner.address = to.clone();
                self.owners.insert(owner, declaration);
            }
        }
        Ok(())
    }

    fn reseal(&mut self, row: &Row) {
        let resealed = |old: &Row| Row {
            identity: row.identity.clone(),
            attributes: row.attributes.clone(),
            private: row.private.clone(),
            ..old.clone()
        };
        let key = (row.stack.clone(), row.address.clone(), row.deposed.clone());
        let generation = match row.generation {
            0 => self.rows.get(&key).map_or(0, |current| current.generation),
            generation => generation,
        };
        let version = (row.stack.clone(), row.address.clone(), generation);
        if let Some((deposed, entry)) = self.versions.get(&version).cloned()
            && let Some(old) = &entry.row
        {
            let row = Some(resealed(old));
            self.versions.insert(version, (deposed, HistoryEntry { row, ..entry }));
        }
        if let Some(current) = self.rows.get(&key).filter(|current| current.generation == generation).cloned() {
            self.rows.insert(key, resealed(&current));
        }
    }

    fn forget(&mut self, key: &(StackId, Address, Option<String>), operation: Uuid, now: Timestamp) {
        let (stack, address, _) = key;
        let needed = self.rows.get(key).map(|row| row.dependencies.clone()).unwrap_or_default();
        self.drop_row(key, operation, now);
        let is_shared = *stack == StackId::shared(&stack.environment);
        let stacks = self.dependent_stacks(stack);
        let needed: Vec<Address> = needed.into_iter().filter(|needed| !is_shared || needed.is_shared()).collect();
        let block = Address { key: Some(InstanceKey::All), ..address.clone() };
        let is_left = self.of_stack(stack).any(|row| row.address == *address);
        // A shared object is not an instance of a block.
        let are_left = is_shared || address.key.is_none() || self.has_instances(stack, &block);
        let removed = [(address, is_left), (&block, are_left)].into_iter().filter(|(_, is_left)| !is_left);
        for (removed, _) in removed {
            for stack in &stacks {
                self.redirect_dependents(stack, removed, |_| needed.clone());
            }
        }
    }

    /// The stacks whose rows may depend on rows of this one. Rows of all stacks of an environment may depend on its
    /// shared rows.
    fn dependent_stacks(&self, stack: &StackId) -> BTreeSet<StackId> {
        if *stack != StackId::shared(&stack.environment) {
            return [stack.clone()].into();
        }
        let stacks = self.rows.iter().map(|((stack, ..), _)| stack);
        stacks.filter(|other| other.environment == stack.environment).cloned().collect()
    }

    fn has_instances(&self, stack: &StackId, block: &Address) -> bool {
        self.of_stack(stack).any(|row| row.address.key.is_some() && is_same_block(&row.address, block))
    }

    fn follow(&mut self, stack: &StackId, block: &Address, to: &Address) {
        let is_left = self.has_instances(stack, block);
        self.redirect_dependents(stack, block, |block| match is_left {
            true => vec![block.clone(), to.clone()],
            false => vec![to.clone()],
        });
    }

    fn follow_reads(&mut self, stack: &StackId, from: &str, to: &str) {
        let read = |component: &str| StackRead { stack: stack.clone(), component: component.to_owned() };
        let (from, to) = (read(from), read(to));
        let is_reader = |it: &ComponentRow| it.reads.contains(&from) && !it.reads.contains(&to);
        let readers = self.components.iter().filter(|(_, component)| is_reader(component));
        let readers: Vec<_> = readers.map(|(key, component)| (key.clone(), component.clone())).collect();
        for ((stack, key), mut component) in readers {
            component.reads.push(to.clone());
            component.reads.sort();
            let mut versions = self.component_versions.range((stack.clone(), 0)..=(stack.clone(), u64::MAX));
            let last = versions.rfind(|(_, entry)| entry.key == key);
            let last = last.map(|(version, entry)| (version.clone(), entry.clone()));
            drop(versions);
            if let Some((version, entry)) = last {
                let entry = ComponentEntry { component: Some(component.clone()), ..entry };
                self.component_versions.insert(version, entry);
            }
            self.components.insert((stack, key), component);
        }
    }

    /// Replaces a dependency of all rows that have it. The rows keep their generations.
    fn redirect_dependents(&mut self, stack: &StackId, from: &Address, replacement: impl Fn(&Address) -> Vec<Address>) {
        let dependents: Vec<Row> =
            self.of_stack(stack).filter(|row| row.dependencies.contains(from)).cloned().collect();
        for mut row in dependents {
            let replaced = |target: &Address| if target == from { replacement(target) } else { vec![target.clone()] };
            row.dependencies = row.dependencies.iter().flat_map(replaced).collect();
            row.dependencies.sort();
            row.dependencies.dedup();
            row.dependencies.retain(|target| *target != row.address);
            let version = (row.stack.clone(), row.address.clone(), row.generation);
            if let Some((deposed, entry)) = self.versions.get(&version).cloned() {
                self.versions.insert(version, (deposed, HistoryEntry { row: Some(row.clone()), ..entry }));
            }
            self.rows.insert((row.stack.clone(), row.address.clone(), row.deposed.clone()), row);
        }
    }
}

fn stale(
    (stack, address, deposed): &(StackId, Address, Option<String>),
    expected: Generation,
    now: Generation,
) -> StoreError {
    let read = Read { stack: stack.clone(), address: address.clone(), deposed: deposed.clone(), generation: expected };
    StoreError::Stale(vec![StaleRead { read, now }])
}
