//! Reads of the state: rows, components, owners, history.
//!
//! Every function with more than one query expects to run inside one transaction.

use super::columns::Columns;
use super::error::Failure;
use super::stacks;
use crate::columns::{ReadColumns, component, component_entry, current_row, history_entry, owner};
use crate::sql::{KNOWN_STACKS, NO_OUTPUTS, content_columns};
use crate::values;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeSet, HashMap};
use terrace_store::address::{Address, ComponentKey, StackId};
use terrace_store::{
    ComponentEntry, ComponentRead, ComponentRow, Generation, HistoryEntry, OwnerRow, OwnersOf, Read, Row, RowStatus,
    Selection, StackSnapshot, StaleRead,
};

macro_rules! current_rows {
    ($condition:literal) => {
        concat!(
            "SELECT resource.address, resource.deposed, resource.generation, version.written_at, version.operation, ",
            content_columns!("version"),
            " FROM resource JOIN version ON version.id = resource.version WHERE resource.stack = ?1",
            $condition
        )
    };
}

/// The stacks that have a row, an open step, a shared row or an output.
pub(super) fn stacks(connection: &Connection) -> Result<Vec<StackId>, Failure> {
    let sql = "SELECT name, environment FROM stack
               WHERE EXISTS (SELECT 1 FROM resource WHERE resource.stack = stack.id)
                  OR EXISTS (SELECT 1 FROM intent WHERE intent.stack = stack.id)
                  OR EXISTS (SELECT 1 FROM owner WHERE owner.stack = stack.id)
                  OR EXISTS (SELECT 1 FROM component WHERE component.stack = stack.id AND component.outputs <> ?1)
               ORDER BY name, environment";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([NO_OUTPUTS], |row| Columns::of(row).stack())?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The rows of a stack, sorted by address and deposed key.
pub(super) fn rows(connection: &Connection, of: &StackId, selection: &Selection) -> Result<Vec<Row>, Failure> {
    let Some(number) = stacks::find(connection, of)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let mut collect = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| -> Result<(), Failure> {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(parameters, |row| current_row(&mut Columns::of(row), of))?;
        for row in rows {
            found.push(row?);
        }
        Ok(())
    };
    match selection {
        Selection::All => {
            collect(current_rows!(" ORDER BY component, resource.address, resource.deposed"), &[&number])?
        }
        Selection::Components(components) => {
            for component in components {
                let sql = current_rows!(" AND component = ?2 ORDER BY resource.address, resource.deposed");
                collect(sql, &[&number, &component.as_str()])?;
            }
        }
        Selection::Addresses(addresses) => {
            for address in addresses {
                let sql = current_rows!(" AND component = ?2 AND resource.address = ?3 ORDER BY resource.deposed");
                collect(sql, &[&number, &address.component.as_str(), &address.to_string()])?;
            }
        }
    }
    // Printed addresses sort nearly like addresses, so this is cheap.
    found.sort_by(|a, b| (&a.address, &a.deposed).cmp(&(&b.address, &b.deposed)));
    Ok(found)
}

/// The retained rows of an environment, sorted by stack, address and deposed key.
pub(super) fn retained_rows(connection: &Connection, environment: &str) -> Result<Vec<Row>, Failure> {
    let retained = values::word(&RowStatus::Retained)?;
    let sql = "SELECT DISTINCT stack.name, stack.environment FROM stack JOIN resource ON resource.stack = stack.id
               JOIN version ON version.id = resource.version WHERE stack.environment = ?1 AND version.status = ?2 ORDER BY stack.name";
    let mut statement = connection.prepare_cached(sql)?;
    let with_retained = statement.query_map((environment, &retained), |row| Columns::of(row).stack())?;
    let mut found = Vec::new();
    for of in with_retained.collect::<Result<Vec<StackId>, _>>()? {
        let Some(number) = stacks::find(connection, &of)? else { continue };
        let mut statement = connection.prepare_cached(current_rows!(" AND version.status = ?2"))?;
        let rows = statement.query_map((number, &retained), |row| current_row(&mut Columns::of(row), &of))?;
        found.extend(rows.collect::<Result<Vec<Row>, _>>()?);
    }
    found.sort_by(|a, b| (&a.stack, &a.address, &a.deposed).cmp(&(&b.stack, &b.address, &b.deposed)));
    Ok(found)
}

/// The components of a stack, sorted by key.
pub(super) fn components(connection: &Connection, of: &StackId) -> Result<Vec<ComponentRow>, Failure> {
    let Some(number) = stacks::find(connection, of)? else { return Ok(Vec::new()) };
    let sql = "SELECT key, depends_on, outputs, blueprint, reads, principals, access_fields, ids
               FROM component WHERE stack = ?1 ORDER BY key";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([number], |row| {
        let mut columns = Columns::of(row);
        let key = columns.component()?;
        component(&mut columns, key)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The owners of shared rows of an environment, sorted.
pub(super) fn owners(connection: &Connection, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, Failure> {
    match of {
        OwnersOf::Addresses(addresses) => owners_of_rows(connection, environment, addresses),
        OwnersOf::Stack(stack) => owned_by_stack(connection, environment, stack),
    }
}

fn owners_of_rows(
    connection: &Connection,
    environment: &str,
    addresses: &BTreeSet<Address>,
) -> Result<Vec<OwnerRow>, Failure> {
    let sql = "SELECT address, name, stack.environment, component, declaration
               FROM owner JOIN stack ON stack.id = owner.stack WHERE owner.environment = ?1 AND address = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = Vec::new();
    for address in addresses {
        let rows = statement.query_map((environment, address.to_string()), |row| owner(&mut Columns::of(row)))?;
        for row in rows {
            found.push(row?);
        }
    }
    found.sort_by(|one, other| one.ownership.cmp(&other.ownership));
    Ok(found)
}

fn owned_by_stack(connection: &Connection, environment: &str, of: &StackId) -> Result<Vec<OwnerRow>, Failure> {
    let Some(number) = stacks::find(connection, of)? else { return Ok(Vec::new()) };
    let sql = "SELECT address, name, stack.environment, component, declaration
               FROM owner JOIN stack ON stack.id = owner.stack WHERE owner.stack = ?1 AND owner.environment = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((number, environment), |row| owner(&mut Columns::of(row)))?;
    let mut found: Vec<OwnerRow> = rows.collect::<Result<_, _>>()?;
    found.sort_by(|one, other| one.ownership.cmp(&other.ownership));
    Ok(found)
}

/// The versions of the current object of an address, newest first.
pub(super) fn history(connection: &Connection, of: &StackId, address: &Address) -> Result<Vec<HistoryEntry>, Failure> {
    let Some(number) = stacks::find(connection, of)? else { return Ok(Vec::new()) };
    let sql = concat!(
        "SELECT generation, written_at, operation, ",
        content_columns!("version"),
        " FROM version WHERE stack = ?1 AND address = ?2 AND deposed = '' ORDER BY generation DESC"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement
        .query_map(params![number, address.to_string()], |row| history_entry(&mut Columns::of(row), of, address))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The versions of the current objects of all addresses of a stack, oldest first.
fn whole_history(connection: &Connection, of: &StackId) -> Result<Vec<(Address, HistoryEntry)>, Failure> {
    let Some(number) = stacks::find(connection, of)? else { return Ok(Vec::new()) };
    let sql = concat!(
        "SELECT address, generation, written_at, operation, ",
        content_columns!("version"),
        " FROM version WHERE stack = ?1 AND deposed = '' ORDER BY id"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([number], |row| {
        let mut columns = Columns::of(row);
        let address = columns.address()?;
        let entry = history_entry(&mut columns, of, &address)?;
        Ok((address, entry))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The versions of the components of a stack, oldest first.
fn component_history(connection: &Connection, of: &StackId) -> Result<Vec<ComponentEntry>, Failure> {
    let Some(number) = stacks::find(connection, of)? else { return Ok(Vec::new()) };
    let sql = "SELECT id, key, generation, written_at, operation, depends_on, outputs, blueprint, reads, principals,
                      access_fields, ids
               FROM component_version WHERE stack = ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([number], |row| component_entry(&mut Columns::of(row)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest version of a component; 0 if it has never existed.
pub(super) fn component_generation(connection: &Connection, stack: i64, key: &str) -> Result<i64, Failure> {
    let sql = "SELECT coalesce(max(generation), 0) FROM component_version WHERE stack = ?1 AND key = ?2";
    Ok(connection.prepare_cached(sql)?.query_row((stack, key), |row| row.get(0))?)
}

/// A component with its newest version.
pub(super) fn component_read(
    connection: &Connection,
    of: &StackId,
    key: &ComponentKey,
) -> Result<ComponentRead, Failure> {
    let newest = match stacks::find(connection, of)? {
        Some(number) => component_generation(connection, number, key)?,
        None => 0,
    };
    let generation = Generation::try_from(newest).unwrap_or_default();
    Ok(ComponentRead { stack: of.clone(), component: key.clone(), generation })
}

/// The components that have another version now.
pub(super) fn changed(connection: &Connection, reads: &[ComponentRead]) -> Result<Vec<ComponentRead>, Failure> {
    let mut changed = Vec::new();
    for read in reads {
        if component_read(connection, &read.stack, &read.component)? != *read {
            changed.push(read.clone());
        }
    }
    Ok(changed)
}

/// The complete state of one stack, or of all.
pub(super) fn snapshot(
    connection: &Connection,
    of: Option<StackId>,
    with_history: bool,
) -> Result<Vec<StackSnapshot>, Failure> {
    let of = match of {
        Some(stack) => vec![stack],
        None => known_stacks(connection)?,
    };
    let mut snapshots = Vec::with_capacity(of.len());
    for stack in of {
        let snapshot = StackSnapshot {
            rows: rows(connection, &stack, &Selection::All)?,
            components: components(connection, &stack)?,
            owned: owned_by_stack(connection, &stack.environment, &stack)?,
            history: if with_history { whole_history(connection, &stack)? } else { Vec::new() },
            component_history: if with_history { component_history(connection, &stack)? } else { Vec::new() },
            stack,
        };
        snapshots.push(snapshot);
    }
    Ok(snapshots)
}

/// The stacks that the state has ever had.
pub(super) fn known_stacks(connection: &Connection) -> Result<Vec<StackId>, Failure> {
    let mut statement = connection.prepare_cached(KNOWN_STACKS)?;
    let rows = statement.query_map([], |row| Columns::of(row).stack())?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The rows that have another generation now.
pub(super) fn stale_rows(connection: &Connection, reads: &[Read]) -> Result<Vec<StaleRead>, Failure> {
    let sql = "SELECT generation FROM resource WHERE stack = ?1 AND component = ?2 AND address = ?3 AND deposed = ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut numbers: HashMap<&StackId, Option<i64>> = HashMap::new();
    let mut stale = Vec::new();
    for read in reads {
        let number = match numbers.get(&read.stack) {
            Some(number) => *number,
            None => *numbers.entry(&read.stack).or_insert(stacks::find(connection, &read.stack)?),
        };
        let key = (
            number,
            read.address.component.as_str(),
            read.address.to_string(),
            values::deposed(read.deposed.as_deref()),
        );
        let now = statement.query_row(key, |row| Columns::of(row).count()).optional()?.unwrap_or(0);
        if now != read.generation {
            stale.push(StaleRead { read: read.clone(), now });
        }
    }
    Ok(stale)
}
