//! Changes of the state: rows with their versions, components, owners.
//!
//! Every function runs inside the transaction of a commit; a refusal rolls the whole commit back.

use super::columns::{self, Columns};
use super::error::Failure;
use super::{read, request, stacks};
use crate::columns::{ReadColumns, fill_content};
use crate::sql::content_columns;
use crate::{misuse, rules, values};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use terrace_store::address::{Address, ComponentKey, StackId};
use terrace_store::{ComponentRow, Generation, OwnerRow, Ownership, Row, RowStatus, StackRead, StoreError, Write};
use uuid::Uuid;

/// A current row.
struct Current {
    generation: Generation,
    version: i64,
    dependencies: Vec<Address>,
}

/// The key of a row.
struct RowKey<'a> {
    stack: &'a StackId,
    number: i64,
    address: &'a Address,
    text: String,
    deposed: Option<&'a str>,
}

impl RowKey<'_> {
    fn deposed(&self) -> &str {
        values::deposed(self.deposed)
    }

    fn stale(&self, expected: Generation, now: Generation) -> Failure {
        rules::stale((self.stack, self.address, self.deposed), expected, now).into()
    }
}

/// Applies one write.
pub(super) fn apply(
    transaction: &Transaction<'_>,
    write: &Write,
    operation: Uuid,
    now: Timestamp,
) -> Result<(), Failure> {
    let writer = Writer { transaction, operation, now };
    match write {
        Write::Put { row, expected } => writer.put(row, *expected),
        Write::Delete { stack, address, deposed, expected } => {
            writer.delete(&writer.name(stack, address, deposed.as_deref())?, *expected)
        }
        Write::Forget { stack, address, deposed, expected } => {
            writer.forget(&writer.name(stack, address, deposed.as_deref())?, *expected)
        }
        Write::Depose { stack, address, key, expected } => writer.depose(stack, address, key, *expected),
        Write::Move { stack, from, to, expected } => writer.rename(stack, from, to, *expected),
        Write::Follow { stack, block, to } => writer.follow(stack, block, to),
        Write::FollowReads { stack, from, to } => writer.follow_reads(stack, from, to),
        Write::Reseal { row } => writer.reseal(row),
        Write::ResealComponent { stack: of, version, outputs } => {
            let sql = "UPDATE component_version SET outputs = ?3 WHERE stack = ?1 AND id = ?2 AND outputs IS NOT NULL";
            let parameters = (stacks::get_or_create(transaction, of)?, columns::integer(*version), outputs.as_str());
            transaction.prepare_cached(sql)?.execute(parameters)?;
            Ok(())
        }
        Write::ResealRequest { request: resealed } => request::reseal(transaction, resealed),
        Write::Component { stack, component } => writer.component(stack, component),
        Write::DropComponent { stack, key } => writer.drop_component(stack, key),
        Write::PutOwner(owner) => writer.put_owner(owner),
        Write::DropOwner { ownership, may_be_last } => writer.drop_owner(ownership, *may_be_last),
    }
}

struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    operation: Uuid,
    now: Timestamp,
}

impl Writer<'_> {
    fn name<'a>(&self, of: &'a StackId, address: &'a Address, deposed: Option<&'a str>) -> Result<RowKey<'a>, Failure> {
        let (number, text) = (stacks::get_or_create(self.transaction, of)?, values::address(address)?);
        Ok(RowKey { stack: of, number, address, text, deposed })
    }

    fn put(&self, row: &Row, expected: Generation) -> Result<(), Failure> {
        let name = self.name(&row.stack, &row.address, row.deposed.as_deref())?;
        let current = self.current(&name)?;
        let now = current.as_ref().map_or(0, |current| current.generation);
        if now != expected {
            return Err(name.stale(expected, now));
        }
        self.insert(&name, row)?;
        let before = current.map(|current| current.dependencies).unwrap_or_default();
        self.update_dependents(&name, &before, &row.dependencies)
    }

    fn reseal(&self, row: &Row) -> Result<(), Failure> {
        let sql = "UPDATE version SET identity = ?4, attributes = ?5, private = ?6
                   WHERE stack = ?1 AND address = ?2 AND generation = ?3 AND status IS NOT NULL";
        let name = self.name(&row.stack, &row.address, row.deposed.as_deref())?;
        let generation = match row.generation {
            0 => self.current(&name)?.map_or(0, |current| current.generation),
            generation => generation,
        };
        let generation = columns::integer(generation);
        let (identity, attributes) = (row.identity.as_str(), row.attributes.as_str());
        let parameters = (name.number, &name.text, generation, identity, attributes, &row.private);
        self.transaction.prepare_cached(sql)?.execute(parameters)?;
        Ok(())
    }

    fn delete(&self, name: &RowKey<'_>, expected: Generation) -> Result<(), Failure> {
        let current = self.expected(name, expected)?;
        self.remove(name)?;
        self.update_dependents(name, &current.dependencies, &[])
    }

    fn forget(&self, name: &RowKey<'_>, expected: Generation) -> Result<(), Failure> {
        let inherited = rules::inherited(self.expected(name, expected)?.dependencies, name.stack);
        self.delete(name, expected)?;
        let block = rules::all_instances(name.address);
        let is_left =
            self.current(&self.name(name.stack, name.address, None)?)?.is_some() || !self.deposed(name)?.is_empty();
        // A shared object is not an instance of a block.
        let is_single = rules::is_shared(name.stack) || name.address.key.is_none();
        let are_left = is_single || self.has_instances(&self.name(name.stack, &block, None)?)?;
        for (gone, _) in [(name.address, is_left), (&block, are_left)].into_iter().filter(|(_, is_left)| !is_left) {
            for stack in &self.dependent_stacks(name.stack)? {
                self.redirect_dependents(&self.name(stack, gone, None)?, &inherited)?;
            }
        }
        Ok(())
    }

    /// The stacks whose rows may depend on rows of this one. Rows of all stacks of an environment may depend on its
    /// shared rows.
    fn dependent_stacks(&self, stack: &StackId) -> Result<Vec<StackId>, Failure> {
        if !rules::is_shared(stack) {
            return Ok(vec![stack.clone()]);
        }
        let mut statement = self.transaction.prepare_cached("SELECT name FROM stack WHERE environment = ?1")?;
        let names = statement.query_map([&stack.environment], |row| row.get::<_, String>(0))?;
        let stacks = names.map(|name| Ok(StackId::new(name?, &stack.environment)));
        Ok(stacks.collect::<Result<_, rusqlite::Error>>()?)
    }

    /// The version stays in the history of the address. Only the current row gets another key.
    fn depose(&self, of: &StackId, address: &Address, key: &str, expected: Generation) -> Result<(), Failure> {
        let (before, after) = (self.name(of, address, None)?, self.name(of, address, Some(key))?);
        let current = self.expected(&before, expected)?;
        let sql =
            "UPDATE resource SET deposed = ?5 WHERE stack = ?1 AND component = ?2 AND address = ?3 AND deposed = ?4";
        let parameters = (before.number, address.component.as_str(), &before.text, before.deposed(), after.deposed());
        self.transaction.prepare_cached(sql)?.execute(parameters)?;
        self.update_dependents(&before, &current.dependencies, &[])?;
        self.update_dependents(&after, &[], &current.dependencies)
    }

    fn rename(&self, of: &StackId, from: &Address, to: &Address, expected: Generation) -> Result<(), Failure> {
        let (source, target) = (self.name(of, from, None)?, self.name(of, to, None)?);
        let current = self.expected(&source, expected)?;
        if self.current(&target)?.is_some() {
            return Err(StoreError::Occupied { stack: of.clone(), address: to.clone() }.into());
        }
        let row = self.version(current.version, &target)?;
        self.remove(&source)?;
        self.update_dependents(&source, &current.dependencies, &[])?;
        self.insert(&target, &row)?;
        self.update_dependents(&target, &[], &row.dependencies)?;
        for stack in self.dependent_stacks(of)? {
            self.redirect_dependents(&self.name(&stack, from, None)?, std::slice::from_ref(to))?;
        }
        for deposed in self.deposed(&source)? {
            let (source, target) = (self.name(of, from, Some(&deposed))?, self.name(of, to, Some(&deposed))?);
            let Some(current) = self.current(&source)? else { continue };
            let row = self.version(current.version, &target)?;
            self.remove(&source)?;
            self.update_dependents(&source, &current.dependencies, &[])?;
            self.insert(&target, &row)?;
            self.update_dependents(&target, &[], &row.dependencies)?;
        }
        if rules::is_shared(of) {
            self.transaction
                .prepare_cached("UPDATE OR REPLACE owner SET address = ?3 WHERE environment = ?1 AND address = ?2")?
                .execute((&of.environment, &source.text, &target.text))?;
        }
        Ok(())
    }

    /// The deposed objects of an address.
    fn deposed(&self, name: &RowKey<'_>) -> Result<Vec<String>, Failure> {
        let sql = "SELECT deposed FROM resource WHERE stack = ?1 AND component = ?2 AND address = ?3 AND deposed <> ''";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let found =
            statement.query_map((name.number, name.address.component.as_str(), &name.text), |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    fn follow(&self, of: &StackId, block: &Address, to: &Address) -> Result<(), Failure> {
        let name = self.name(of, block, None)?;
        let is_left = self.has_instances(&name)?;
        self.redirect_dependents(&name, &rules::after_move(block, to, is_left))
    }

    /// The readers are otherwise unchanged, so that no new version is written.
    fn follow_reads(&self, of: &StackId, from: &ComponentKey, to: &ComponentKey) -> Result<(), Failure> {
        let read = |component: &ComponentKey| StackRead { stack: of.clone(), component: component.clone() };
        let (from, to) = (read(from), read(to));
        let sql = "SELECT stack, key, reads FROM component WHERE reads <> '[]'";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            let mut columns = Columns::of(row);
            Ok((columns.take()?, columns.take()?, columns.list()?))
        })?;
        let readers: Vec<(i64, String, Vec<StackRead>)> = rows.collect::<Result<_, _>>()?;
        for (stack, key, reads) in readers {
            let Some(reads) = rules::reads_after_move(reads, &from, &to) else { continue };
            let reads = values::list(&reads)?;
            let sql = "UPDATE component SET reads = ?3 WHERE stack = ?1 AND key = ?2";
            self.transaction.prepare_cached(sql)?.execute((stack, &key, &reads))?;
            let sql = "UPDATE component_version SET reads = ?3
                       WHERE id = (SELECT max(id) FROM component_version WHERE stack = ?1 AND key = ?2)";
            self.transaction.prepare_cached(sql)?.execute((stack, &key, &reads))?;
        }
        Ok(())
    }

    /// True if a resource has instances, which its address with any key represents.
    fn has_instances(&self, name: &RowKey<'_>) -> Result<bool, Failure> {
        let (first, end) = rules::instance_bounds(name.address)?;
        let sql = "SELECT 1 FROM resource WHERE stack = ?1 AND component = ?2 AND address >= ?3 AND address < ?4";
        Ok(self.transaction.prepare_cached(sql)?.exists((name.number, name.address.component.as_str(), first, end))?)
    }

    /// Replaces a dependency of all rows that have it. The rows keep their generations: no plan depends on this change.
    fn redirect_dependents(&self, from: &RowKey<'_>, replacement: &[Address]) -> Result<(), Failure> {
        let sql = "SELECT address, deposed FROM dependent WHERE stack = ?1 AND target = ?2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let rows = statement.query_map((from.number, &from.text), |row| {
            let mut columns = Columns::of(row);
            Ok((columns.address()?, columns.deposed()?))
        })?;
        let dependents: Vec<(Address, Option<String>)> = rows.collect::<Result<_, _>>()?;
        let mut update = self.transaction.prepare_cached("UPDATE version SET dependencies = ?2 WHERE id = ?1")?;
        for (address, deposed) in &dependents {
            let name = self.name(from.stack, address, deposed.as_deref())?;
            let Some(dependent) = self.current(&name)? else { continue };
            let followed = rules::redirected(&dependent.dependencies, address, from.address, replacement);
            update.execute((dependent.version, values::list(&followed)?))?;
            self.update_dependents(&name, &dependent.dependencies, &followed)?;
        }
        Ok(())
    }

    fn current(&self, name: &RowKey<'_>) -> Result<Option<Current>, Failure> {
        let sql = "SELECT resource.generation, resource.version, version.dependencies
                   FROM resource JOIN version ON version.id = resource.version
                   WHERE resource.stack = ?1 AND component = ?2 AND resource.address = ?3 AND resource.deposed = ?4";
        Ok(self
            .transaction
            .prepare_cached(sql)?
            .query_row((name.number, name.address.component.as_str(), &name.text, name.deposed()), |row| {
                let mut columns = Columns::of(row);
                Ok(Current { generation: columns.count()?, version: columns.take()?, dependencies: columns.list()? })
            })
            .optional()?)
    }

    /// The current row, which must have that generation.
    fn expected(&self, name: &RowKey<'_>, expected: Generation) -> Result<Current, Failure> {
        match self.current(name)? {
            Some(current) if current.generation == expected => Ok(current),
            other => Err(name.stale(expected, other.map_or(0, |current| current.generation))),
        }
    }

    /// The content of a version, as a row with that name.
    fn version(&self, version: i64, name: &RowKey<'_>) -> Result<Row, Failure> {
        let sql = concat!("SELECT ", content_columns!("version"), " FROM version WHERE id = ?1");
        let mut row = Row { stack: name.stack.clone(), address: name.address.clone(), ..values::blank() };
        self.transaction
            .prepare_cached(sql)?
            .query_row([version], |found| fill_content(&mut Columns::of(found), &mut row))?;
        Ok(row)
    }

    fn next_generation(&self, name: &RowKey<'_>) -> Result<i64, Failure> {
        let sql = "SELECT coalesce(max(generation), 0) + 1 FROM version WHERE stack = ?1 AND address = ?2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        Ok(statement.query_row((name.number, &name.text), |row| row.get(0))?)
    }

    fn insert(&self, name: &RowKey<'_>, row: &Row) -> Result<(), Failure> {
        let generation = self.next_generation(name)?;
        let sql = "INSERT INTO version (stack, address, deposed, generation, written_at, operation, status, provider,
                                        provider_version, schema_version, identity, attributes, private, dependencies,
                                        lifecycle)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
        self.transaction.prepare_cached(sql)?.execute(params![
            name.number,
            name.text,
            name.deposed(),
            generation,
            self.now.as_microsecond(),
            self.operation.as_bytes(),
            values::word(&row.status)?,
            row.provider,
            row.provider_version,
            row.schema_version,
            row.identity.as_str(),
            row.attributes.as_str(),
            row.private,
            values::list(&row.dependencies)?,
            row.lifecycle,
        ])?;
        let version = self.transaction.last_insert_rowid();
        let sql = "INSERT INTO resource (stack, component, address, deposed, generation, version)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT DO UPDATE SET generation = excluded.generation, version = excluded.version";
        let parameters =
            (name.number, name.address.component.as_str(), &name.text, name.deposed(), generation, version);
        self.transaction.prepare_cached(sql)?.execute(parameters)?;
        Ok(())
    }

    fn remove(&self, name: &RowKey<'_>) -> Result<(), Failure> {
        let generation = self.next_generation(name)?;
        let sql = "INSERT INTO version (stack, address, deposed, generation, written_at, operation)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (at, operation) = (self.now.as_microsecond(), self.operation.as_bytes());
        let parameters = (name.number, &name.text, name.deposed(), generation, at, operation);
        self.transaction.prepare_cached(sql)?.execute(parameters)?;
        let sql = "DELETE FROM resource WHERE stack = ?1 AND component = ?2 AND address = ?3 AND deposed = ?4";
        let parameters = (name.number, name.address.component.as_str(), &name.text, name.deposed());
        self.transaction.prepare_cached(sql)?.execute(parameters)?;
        Ok(())
    }

    /// Updates the table `dependent` for the dependencies of a row.
    fn update_dependents(&self, name: &RowKey<'_>, before: &[Address], after: &[Address]) -> Result<(), Failure> {
        if before == after {
            return Ok(());
        }
        let component = name.address.component.as_str();
        let mut delete = self.transaction.prepare_cached(
            "DELETE FROM dependent
             WHERE stack = ?1 AND target = ?2 AND component = ?3 AND address = ?4 AND deposed = ?5",
        )?;
        for target in before {
            delete.execute((name.number, values::address(target)?, component, &name.text, name.deposed()))?;
        }
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO dependent (stack, target, component, address, deposed) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?;
        for target in after {
            insert.execute((name.number, values::address(target)?, component, &name.text, name.deposed()))?;
        }
        Ok(())
    }

    fn component(&self, of: &StackId, component: &ComponentRow) -> Result<(), Failure> {
        // An unchanged component gets no new version.
        let sql = "INSERT INTO component (stack, key, depends_on, outputs, blueprint, reads, principals, access_fields,
                                          ids)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                   ON CONFLICT DO UPDATE SET depends_on = excluded.depends_on, outputs = excluded.outputs,
                                             blueprint = excluded.blueprint, reads = excluded.reads,
                                             principals = excluded.principals,
                                             access_fields = excluded.access_fields, ids = excluded.ids
                   WHERE (depends_on, outputs, blueprint, reads, principals, access_fields, ids)
                      IS NOT (excluded.depends_on, excluded.outputs, excluded.blueprint, excluded.reads,
                              excluded.principals, excluded.access_fields, excluded.ids)";
        let ComponentRow { key, depends_on, outputs, blueprint, reads, access, ids } = component;
        let (depends_on, reads) = (values::list(depends_on)?, values::list(reads)?);
        let (principals, fields) = values::access(access.as_ref())?;
        let (outputs, ids) = (outputs.as_str(), values::ids(ids.as_ref())?);
        let stack = stacks::get_or_create(self.transaction, of)?;
        let parameters = (stack, key.as_str(), &depends_on, outputs, blueprint, &reads, &principals, &fields, &ids);
        if self.transaction.prepare_cached(sql)?.execute(parameters)? == 0 {
            return Ok(());
        }
        let sql = "INSERT INTO component_version (stack, key, generation, written_at, operation, depends_on, outputs,
                                                  blueprint, reads, principals, access_fields, ids)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let generation = read::component_generation(self.transaction, stack, key)? + 1;
        let (at, operation) = (self.now.as_microsecond(), self.operation.as_bytes());
        let parameters = (
            stack,
            key.as_str(),
            generation,
            at,
            operation,
            depends_on,
            outputs,
            blueprint,
            reads,
            principals,
            fields,
            ids,
        );
        self.transaction.prepare_cached(sql)?.execute(parameters)?;
        Ok(())
    }

    fn drop_component(&self, of: &StackId, key: &str) -> Result<(), Failure> {
        let stack = stacks::get_or_create(self.transaction, of)?;
        let sql = "SELECT 1 FROM resource JOIN version ON version.id = resource.version
                   WHERE resource.stack = ?1 AND component = ?2 AND status <> ?3";
        let retained = values::word(&RowStatus::Retained)?;
        if self.transaction.prepare_cached(sql)?.exists((stack, key, retained))? {
            return Err(Failure::misuse(misuse::still_in_use(of, key)));
        }
        let sql = "DELETE FROM component WHERE stack = ?1 AND key = ?2";
        if self.transaction.prepare_cached(sql)?.execute((stack, key))? > 0 {
            let sql = "INSERT INTO component_version (stack, key, generation, written_at, operation)
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            let generation = read::component_generation(self.transaction, stack, key)? + 1;
            let parameters = (stack, key, generation, self.now.as_microsecond(), self.operation.as_bytes());
            self.transaction.prepare_cached(sql)?.execute(parameters)?;
        }
        Ok(())
    }

    fn put_owner(&self, OwnerRow { ownership, declaration }: &OwnerRow) -> Result<(), Failure> {
        let sql = "INSERT INTO owner (environment, address, stack, component, declaration) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO UPDATE SET declaration = excluded.declaration";
        let address = values::address(&ownership.address)?;
        let stack = stacks::get_or_create(self.transaction, &ownership.stack)?;
        let parameters =
            (&ownership.stack.environment, address, stack, ownership.component.as_str(), declaration.as_str());
        self.transaction.prepare_cached(sql)?.execute(parameters)?;
        Ok(())
    }

    fn drop_owner(&self, ownership: &Ownership, may_be_last: bool) -> Result<(), Failure> {
        let sql = "DELETE FROM owner
                   WHERE environment = ?1 AND address = ?2 AND stack = ?3 AND component = ?4
                     AND (?5 OR EXISTS (SELECT 1 FROM owner AS other
                                        WHERE other.environment = ?1 AND other.address = ?2
                                          AND (other.stack, other.component) <> (?3, ?4)))";
        let address = values::address(&ownership.address)?;
        let stack = stacks::get_or_create(self.transaction, &ownership.stack)?;
        let parameters = (&ownership.stack.environment, address, stack, ownership.component.as_str(), may_be_last);
        self.transaction.prepare_cached(sql)?.execute(parameters)?;
        Ok(())
    }
}

/// Checks that the store accepts writes: rewrites a page with its own content, and checks for free space. The log may
/// have room for a page while the disk is full.
pub(super) fn check_writable(transaction: &Transaction<'_>) -> Result<(), Failure> {
    const FORMAT: &str = "user_version";
    let format: i64 = transaction.pragma_query_value(None, FORMAT, |row| row.get(0))?;
    transaction.pragma_update(None, FORMAT, format)?;
    match transaction.path().filter(|path| !path.is_empty()) {
        Some(path) => check_free_space(path),
        None => Ok(()),
    }
}

/// The free space that a commit may need.
const ROOM: usize = 256 << 10;

/// Fails if the disk of a file has no room for a commit. Writes an unnamed file into the same folder, so that a kill
/// leaves nothing behind.
fn check_free_space(path: &str) -> Result<(), Failure> {
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::tempfile_in(folder).and_then(|mut file| file.write_all(&vec![0; ROOM]));
    written.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full: free some space and try again",
            _ => "its folder is not writable",
        };
        StoreError::Unavailable { action: "written", reason: format!("{advice} ({error})") }.into()
    })
}
