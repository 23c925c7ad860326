//! Reads of the state: rows, components, owners, history.
//!
//! Every function sees one snapshot: it is one statement, or runs inside one transaction.

use super::columns::{self, Columns};
use super::error::Failure;
use super::lock::Stacks;
use super::session::Session;
use crate::columns::{ReadColumns, component, component_entry, current_row, history_entry, owner};
use crate::sql::{KNOWN_STACKS, NO_OUTPUTS, content_columns};
use crate::values;
use std::collections::BTreeSet;
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
            " FROM resource JOIN version ON version.id = resource.version
              WHERE resource.stack = (SELECT id FROM stack WHERE name = $1 AND environment = $2)",
            $condition
        )
    };
}

/// The number of a stack; `None` if the state has never had it.
pub(super) async fn stack(session: &Session, stack: &StackId) -> Result<Option<i64>, Failure> {
    let sql = "SELECT id FROM stack WHERE name = $1 AND environment = $2";
    session.first(sql, &[&columns::text(&stack.name), &columns::text(&stack.environment)], |found| found.take()).await
}

/// The stacks that have a row, an open step, a shared row or an output.
pub(super) async fn stacks(session: &Session) -> Result<Vec<StackId>, Failure> {
    let sql = "SELECT name, environment FROM stack
               WHERE EXISTS (SELECT 1 FROM resource WHERE resource.stack = stack.id)
                  OR EXISTS (SELECT 1 FROM intent WHERE intent.stack = stack.id)
                  OR EXISTS (SELECT 1 FROM owner WHERE owner.stack = stack.id)
                  OR EXISTS (SELECT 1 FROM component WHERE component.stack = stack.id AND component.outputs <> $1)
               ORDER BY name, environment";
    session.list(sql, &[&NO_OUTPUTS], |columns| columns.stack()).await
}

/// The stacks that the state has ever had.
pub(super) async fn known_stacks(session: &Session) -> Result<Vec<StackId>, Failure> {
    session.list(KNOWN_STACKS, &[], |columns| columns.stack()).await
}

/// The rows of a stack, sorted by address and deposed key, in one statement.
pub(super) async fn rows(session: &Session, of: &StackId, selection: &Selection) -> Result<Vec<Row>, Failure> {
    let (name, environment) = (columns::text(&of.name), columns::text(&of.environment));
    let read = |columns: &mut Columns<'_>| current_row(columns, of);
    let mut found = match selection {
        Selection::All => session.list(current_rows!(""), &[&name, &environment], read).await?,
        Selection::Components(components) => {
            let keys: Vec<_> = components.iter().map(|key| columns::text(key)).collect();
            session.list(current_rows!(" AND component = ANY($3)"), &[&name, &environment, &keys], read).await?
        }
        Selection::Addresses(addresses) => {
            let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let (keys, texts): (Vec<_>, Vec<_>) = addresses
                .iter()
                .zip(&texts)
                .map(|(address, text)| (columns::text(&address.component), columns::text(text)))
                .unzip();
            let sql =
                current_rows!(" AND (component, resource.address) IN (SELECT * FROM unnest($3::text[], $4::text[]))");
            session.list(sql, &[&name, &environment, &keys, &texts], read).await?
        }
    };
    found.sort_by(|a, b| (&a.address, &a.deposed).cmp(&(&b.address, &b.deposed)));
    Ok(found)
}

/// The retained rows of an environment, sorted by stack, address and deposed key, in one statement.
pub(super) async fn retained_rows(session: &Session, environment: &str) -> Result<Vec<Row>, Failure> {
    let retained = values::word(&RowStatus::Retained)?;
    let sql = concat!(
        "SELECT stack.name, stack.environment, resource.address, resource.deposed, resource.generation, version.written_at, \
         version.operation, ",
        content_columns!("version"),
        " FROM resource JOIN version ON version.id = resource.version JOIN stack ON stack.id = resource.stack
          WHERE stack.environment = $1 AND version.status = $2"
    );
    let read = |columns: &mut Columns<'_>| {
        let stack = columns.stack()?;
        current_row(columns, &stack)
    };
    let mut found = session.list(sql, &[&columns::text(environment), &retained], read).await?;
    found.sort_by(|a, b| (&a.stack, &a.address, &a.deposed).cmp(&(&b.stack, &b.address, &b.deposed)));
    Ok(found)
}

/// The components of a stack, sorted by key, in one statement.
pub(super) async fn components(session: &Session, of: &StackId) -> Result<Vec<ComponentRow>, Failure> {
    let sql = "SELECT key, depends_on, outputs, blueprint, reads, principals, access_fields, ids FROM component
               WHERE stack = (SELECT id FROM stack WHERE name = $1 AND environment = $2) ORDER BY key";
    session
        .list(sql, &[&columns::text(&of.name), &columns::text(&of.environment)], |columns| {
            let key = columns.component()?;
            component(columns, key)
        })
        .await
}

/// The owners of shared rows of an environment, sorted, in one statement.
pub(super) async fn owners(session: &Session, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, Failure> {
    let select = "SELECT address, name, stack.environment, component, declaration
                  FROM owner JOIN stack ON stack.id = owner.stack WHERE owner.environment = $1";
    let read = |columns: &mut Columns<'_>| owner(columns);
    let here = columns::text(environment);
    let mut found = match of {
        OwnersOf::Addresses(addresses) => {
            let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let texts: Vec<_> = texts.iter().map(|text| columns::text(text)).collect();
            session.list(&format!("{select} AND address = ANY($2)"), &[&here, &texts], read).await?
        }
        OwnersOf::Stack(of) => {
            let (name, environment) = (columns::text(&of.name), columns::text(&of.environment));
            let sql = format!("{select} AND stack.name = $2 AND stack.environment = $3");
            session.list(&sql, &[&here, &name, &environment], read).await?
        }
    };
    found.sort_by(|one, other| one.ownership.cmp(&other.ownership));
    Ok(found)
}

/// The versions of the current object of an address, newest first.
pub(super) async fn history(session: &Session, of: &StackId, address: &Address) -> Result<Vec<HistoryEntry>, Failure> {
    let Some(number) = stack(session, of).await? else { return Ok(Vec::new()) };
    let sql = concat!(
        "SELECT generation, written_at, operation, ",
        content_columns!("version"),
        " FROM version WHERE stack = $1 AND address = $2 AND deposed = '' ORDER BY generation DESC"
    );
    let text = address.to_string();
    session.list(sql, &[&number, &columns::text(&text)], |columns| history_entry(columns, of, address)).await
}

/// The versions of the current objects of all addresses of a stack, oldest first.
async fn whole_history(session: &Session, of: &StackId) -> Result<Vec<(Address, HistoryEntry)>, Failure> {
    let Some(number) = stack(session, of).await? else { return Ok(Vec::new()) };
    let sql = concat!(
        "SELECT address, generation, written_at, operation, ",
        content_columns!("version"),
        " FROM version WHERE stack = $1 AND deposed = '' ORDER BY id"
    );
    session
        .list(sql, &[&number], |columns| {
            let address = columns.address()?;
            let entry = history_entry(columns, of, &address)?;
            Ok((address, entry))
        })
        .await
}

/// The versions of the components of a stack, oldest first.
async fn component_history(session: &Session, of: &StackId) -> Result<Vec<ComponentEntry>, Failure> {
    let Some(number) = stack(session, of).await? else { return Ok(Vec::new()) };
    let sql = "SELECT id, key, generation, written_at, operation, depends_on, outputs, blueprint, reads, principals,
                      access_fields, ids
               FROM component_version WHERE stack = $1 ORDER BY id";
    session.list(sql, &[&number], |columns| component_entry(columns)).await
}

/// Components with their newest versions.
pub(super) async fn component_reads(
    session: &Session,
    of: &StackId,
    keys: &BTreeSet<ComponentKey>,
) -> Result<Vec<ComponentRead>, Failure> {
    let newest = match stack(session, of).await? {
        Some(number) => newest(session, &keys.iter().map(|key| (number, key.as_str())).collect::<Vec<_>>()).await?,
        None => vec![0; keys.len()],
    };
    let read = |(key, generation): (&ComponentKey, Generation)| ComponentRead {
        stack: of.clone(),
        component: key.clone(),
        generation,
    };
    Ok(keys.iter().zip(newest).map(read).collect())
}

/// The newest version of each component; 0 if it has never existed.
async fn newest(session: &Session, components: &[(i64, &str)]) -> Result<Vec<Generation>, Failure> {
    let (stacks, keys): (Vec<_>, Vec<_>) = components.iter().map(|(stack, key)| (*stack, columns::text(key))).unzip();
    let sql = "SELECT coalesce((SELECT max(generation) FROM component_version AS known
                                WHERE known.stack = wanted.stack AND known.key = wanted.key), 0)
               FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS wanted (stack, key, position)
               ORDER BY position";
    session.list(sql, &[&stacks, &keys], |columns| columns.count()).await
}

/// The components that have another version now.
pub(super) async fn changed_components(
    session: &Session,
    stacks: &Stacks,
    reads: &[ComponentRead],
) -> Result<Vec<ComponentRead>, Failure> {
    // No stack has the number 0, so that its components have no version.
    let keys: Vec<_> =
        reads.iter().map(|read| (stacks.get(&read.stack).unwrap_or(0), read.component.as_str())).collect();
    let now = newest(session, &keys).await?;
    Ok(reads.iter().zip(now).filter(|(read, now)| read.generation != *now).map(|(read, _)| read.clone()).collect())
}

/// The rows that have another generation now.
pub(super) async fn stale_rows(session: &Session, stacks: &Stacks, reads: &[Read]) -> Result<Vec<StaleRead>, Failure> {
    let texts: Vec<String> = reads.iter().map(|read| read.address.to_string()).collect();
    let numbers: Vec<i64> = reads.iter().map(|read| stacks.get(&read.stack).unwrap_or(0)).collect();
    let components: Vec<_> = reads.iter().map(|read| columns::text(&read.address.component)).collect();
    let addresses: Vec<_> = texts.iter().map(|text| columns::text(text)).collect();
    let deposed: Vec<_> = reads.iter().map(|read| columns::text(values::deposed(read.deposed.as_deref()))).collect();
    let sql = "SELECT coalesce(resource.generation, 0)
               FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
                    AS wanted (stack, component, address, deposed, position)
               LEFT JOIN resource ON resource.stack = wanted.stack AND resource.component = wanted.component
                                 AND resource.address = wanted.address AND resource.deposed = wanted.deposed
               ORDER BY position";
    let generations: Vec<Generation> =
        session.list(sql, &[&numbers, &components, &addresses, &deposed], |columns| columns.count()).await?;
    let stale = reads.iter().zip(generations).filter(|(read, now)| read.generation != *now);
    Ok(stale.map(|(read, now)| StaleRead { read: read.clone(), now }).collect())
}

/// The complete state of one stack, or of all.
pub(super) async fn snapshot(
    session: &Session,
    of: Option<StackId>,
    with_history: bool,
) -> Result<Vec<StackSnapshot>, Failure> {
    let stacks = match of {
        Some(stack) => vec![stack],
        None => known_stacks(session).await?,
    };
    let mut snapshots = Vec::with_capacity(stacks.len());
    for stack in stacks {
        let owned = OwnersOf::Stack(stack.clone());
        let snapshot = StackSnapshot {
            rows: rows(session, &stack, &Selection::All).await?,
            components: components(session, &stack).await?,
            owned: owners(session, &stack.environment, &owned).await?,
            history: if with_history { whole_history(session, &stack).await? } else { Vec::new() },
            component_history: if with_history { component_history(session, &stack).await? } else { Vec::new() },
            stack,
        };
        snapshots.push(snapshot);
    }
    Ok(snapshots)
}

/// A dangling reference, if there is any.
pub(super) async fn damage(session: &Session) -> Result<Option<String>, Failure> {
    let sql = "SELECT name, environment, resource.address
               FROM resource LEFT JOIN stack ON stack.id = resource.stack
                             LEFT JOIN version ON version.id = resource.version AND version.status IS NOT NULL
               WHERE version.id IS NULL ORDER BY resource.address LIMIT 1";
    let lost = session.first(sql, &[], |columns| Ok((columns.stack()?, columns.text()?))).await;
    match lost {
        Ok(Some((stack, address))) => Ok(Some(format!("{stack}:{address} has lost its content"))),
        Ok(None) => Ok(None),
        Err(failure) => failure.into_damage().map(Some),
    }
}
