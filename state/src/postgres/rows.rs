//! Rows, written many at a time: versions, current rows, dependents.
//!
//! One statement writes any number of rows, with one array for each column: a commit of thousands of rows costs as many
//! round trips as one of a single row. The rows of one statement must have different addresses.

use super::columns;
use super::error::Failure;
use super::lock::Stacks;
use super::session::Session;
use crate::columns::{ReadColumns, fill_content};
use crate::rules;
use crate::sql::content_columns;
use crate::values::{self, blank};
use jiff::Timestamp;
use std::borrow::Cow;
use terrace_store::address::{Address, StackId};
use terrace_store::{Generation, Row};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// The key of a row.
#[derive(Clone)]
pub(super) struct RowKey {
    pub(super) stack: StackId,
    pub(super) number: i64,
    pub(super) address: Address,
    pub(super) text: String,
    pub(super) deposed: Option<String>,
}

impl RowKey {
    pub(super) fn new(
        stacks: &Stacks,
        stack: &StackId,
        address: &Address,
        deposed: Option<&str>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            number: stacks.number(stack)?,
            text: values::address(address)?,
            stack: stack.clone(),
            address: address.clone(),
            deposed: deposed.map(str::to_owned),
        })
    }

    fn deposed(&self) -> &str {
        values::deposed(self.deposed.as_deref())
    }

    fn stale(&self, expected: Generation, now: Generation) -> Failure {
        rules::stale((&self.stack, &self.address, self.deposed.as_deref()), expected, now).into()
    }
}

/// The columns of keys, as arrays.
struct Keys<'a> {
    stacks: Vec<i64>,
    components: Vec<Cow<'a, str>>,
    addresses: Vec<Cow<'a, str>>,
    deposed: Vec<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn of(names: impl Iterator<Item = &'a RowKey> + Clone) -> Self {
        Self {
            stacks: names.clone().map(|name| name.number).collect(),
            components: names.clone().map(|name| columns::text(&name.address.component)).collect(),
            addresses: names.clone().map(|name| columns::text(&name.text)).collect(),
            deposed: names.map(|name| columns::text(name.deposed())).collect(),
        }
    }
}

/// A current row.
pub(super) struct Current {
    pub(super) generation: Generation,
    pub(super) version: i64,
    pub(super) dependencies: Vec<Address>,
}

/// The known versions of a key.
pub(super) struct Found {
    /// The current row, if any.
    pub(super) current: Option<Current>,
    /// The newest version of the address so far.
    newest: i64,
}

impl Found {
    fn generation(&self) -> Generation {
        self.current.as_ref().map_or(0, |current| current.generation)
    }
}

/// The change of a row.
pub(super) enum Change<'a> {
    /// Record this row.
    Put(&'a Row),
    /// Remove the row.
    Remove,
}

/// A change that expects a generation.
pub(super) struct ExpectedChange<'a> {
    pub(super) name: RowKey,
    pub(super) change: Change<'a>,
    pub(super) expected: Generation,
    pub(super) operation: Uuid,
}

/// Reads the rows with these keys.
pub(super) async fn find(session: &Session, names: &[&RowKey]) -> Result<Vec<Found>, Failure> {
    let Keys { stacks, components, addresses, deposed } = Keys::of(names.iter().copied());
    let sql = "SELECT coalesce((SELECT max(generation) FROM version AS newest
                                WHERE newest.stack = wanted.stack AND newest.address = wanted.address), 0),
                      resource.version, resource.generation, version.dependencies
               FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
                    AS wanted (stack, component, address, deposed, position)
               LEFT JOIN resource ON resource.stack = wanted.stack AND resource.component = wanted.component
                                 AND resource.address = wanted.address AND resource.deposed = wanted.deposed
               LEFT JOIN version ON version.id = resource.version
               ORDER BY position";
    session
        .list(sql, &[&stacks, &components, &addresses, &deposed], |columns| {
            let newest = columns.take()?;
            let current = match columns.take::<Option<i64>>()? {
                Some(version) => Some(Current { version, generation: columns.count()?, dependencies: columns.list()? }),
                None => None,
            };
            Ok(Found { current, newest })
        })
        .await
}

/// The current row with a key.
pub(super) async fn current(session: &Session, name: &RowKey) -> Result<Option<Current>, Failure> {
    Ok(find(session, &[name]).await?.into_iter().next().and_then(|found| found.current))
}

/// The current row, which must have that generation.
pub(super) async fn expected(session: &Session, name: &RowKey, expected: Generation) -> Result<Current, Failure> {
    match current(session, name).await? {
        Some(current) if current.generation == expected => Ok(current),
        other => Err(name.stale(expected, other.map_or(0, |current| current.generation))),
    }
}

/// Applies the changes, or fails at the first row with another generation.
pub(super) async fn change(session: &Session, changes: &[ExpectedChange<'_>], now: Timestamp) -> Result<(), Failure> {
    if changes.is_empty() {
        return Ok(());
    }
    let found = find(session, &changes.iter().map(|change| &change.name).collect::<Vec<_>>()).await?;
    for (change, found) in changes.iter().zip(&found) {
        let is_there = found.current.is_some() || matches!(change.change, Change::Put(_));
        if found.generation() != change.expected || !is_there {
            return Err(change.name.stale(change.expected, found.generation()));
        }
    }
    let ids = ids(session, changes.len()).await?;
    let (mut versions, mut updates) = (Vec::with_capacity(changes.len()), Vec::with_capacity(changes.len()));
    for ((change, found), id) in changes.iter().zip(found).zip(ids) {
        let (row, after) = match change.change {
            Change::Put(row) => (Some(row), row.dependencies.as_slice()),
            Change::Remove => (None, [].as_slice()),
        };
        let generation = found.newest.saturating_add(1);
        versions.push(Version { id, name: &change.name, generation, operation: change.operation, row });
        let before = found.current.map(|current| current.dependencies).unwrap_or_default();
        updates.push((&change.name, before, after.to_vec()));
    }
    insert(session, &versions, now).await?;
    set_current(session, &versions).await?;
    update_dependents(session, &updates).await
}

/// Reserves numbers for new versions.
async fn ids(session: &Session, count: usize) -> Result<Vec<i64>, Failure> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let sql = "SELECT nextval('version_id') FROM generate_series(1, $1::bigint)";
    session.list(sql, &[&count], |columns| columns.take()).await
}

/// A new version.
struct Version<'a> {
    id: i64,
    name: &'a RowKey,
    generation: i64,
    operation: Uuid,
    /// `None` for the removal of a row.
    row: Option<&'a Row>,
}

async fn insert(session: &Session, versions: &[Version<'_>], now: Timestamp) -> Result<(), Failure> {
    let ids: Vec<_> = versions.iter().map(|version| version.id).collect();
    let keys = Keys::of(versions.iter().map(|version| version.name));
    let generations: Vec<_> = versions.iter().map(|version| version.generation).collect();
    let operations: Vec<_> = versions.iter().map(|version| version.operation).collect();
    let rows = || versions.iter().map(|version| version.row);
    let statuses = rows().map(|row| row.map(|row| values::word(&row.status)).transpose());
    let statuses = statuses.collect::<Result<Vec<_>, _>>()?;
    let text = |of: fn(&Row) -> &str| rows().map(|row| row.map(|row| columns::text(of(row)))).collect::<Vec<_>>();
    let providers = text(|row| &row.provider);
    let provider_versions: Vec<_> =
        rows().map(|row| row.and_then(|row| row.provider_version.as_deref()).map(columns::text)).collect();
    let schema_versions: Vec<_> = rows().map(|row| row.map(|row| i64::from(row.schema_version))).collect();
    let (identities, attributes) = (text(|row| row.identity.as_str()), text(|row| row.attributes.as_str()));
    let private: Vec<_> = rows().map(|row| row.map(|row| row.private.as_slice())).collect();
    let dependencies = rows().map(|row| row.map(|row| values::list(&row.dependencies)).transpose());
    let dependencies = dependencies.collect::<Result<Vec<_>, _>>()?;
    let dependencies: Vec<_> = dependencies.iter().map(|list| list.as_deref().map(columns::text)).collect();
    let lifecycles = text(|row| &row.lifecycle);
    let sql = "INSERT INTO version (written_at, id, stack, address, deposed, generation, operation, status, provider,
                                    provider_version, schema_version, identity, attributes, private, dependencies,
                                    lifecycle)
               SELECT $1::timestamptz, *
               FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::uuid[],
                                        $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[],
                                        $14::bytea[], $15::text[], $16::text[])";
    session
        .execute(
            sql,
            &[
                &columns::time(now),
                &ids,
                &keys.stacks,
                &keys.addresses,
                &keys.deposed,
                &generations,
                &operations,
                &statuses,
                &providers,
                &provider_versions,
                &schema_versions,
                &identities,
                &attributes,
                &private,
                &dependencies,
                &lifecycles,
            ],
        )
        .await?;
    Ok(())
}

/// Makes the new versions current.
async fn set_current(session: &Session, versions: &[Version<'_>]) -> Result<(), Failure> {
    let (put, gone): (Vec<_>, Vec<_>) = versions.iter().partition(|version| version.row.is_some());
    if !put.is_empty() {
        let keys = Keys::of(put.iter().map(|version| version.name));
        let generations: Vec<_> = put.iter().map(|version| version.generation).collect();
        let ids: Vec<_> = put.iter().map(|version| version.id).collect();
        let sql = "INSERT INTO resource (stack, component, address, deposed, generation, version)
                   SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
                   ON CONFLICT (stack, component, address, deposed)
                   DO UPDATE SET generation = excluded.generation, version = excluded.version";
        let Keys { stacks, components, addresses, deposed } = keys;
        session.execute(sql, &[&stacks, &components, &addresses, &deposed, &generations, &ids]).await?;
    }
    if !gone.is_empty() {
        let Keys { stacks, components, addresses, deposed } = Keys::of(gone.iter().map(|version| version.name));
        let sql = "DELETE FROM resource
                   USING unnest($1::bigint[], $2::text[], $3::text[], $4::text[])
                         AS gone (stack, component, address, deposed)
                   WHERE resource.stack = gone.stack AND resource.component = gone.component
                     AND resource.address = gone.address AND resource.deposed = gone.deposed";
        session.execute(sql, &[&stacks, &components, &addresses, &deposed]).await?;
    }
    Ok(())
}

/// Updates the table `dependent` for the old and new dependencies of rows.
pub(super) async fn update_dependents(
    session: &Session,
    updates: &[(&RowKey, Vec<Address>, Vec<Address>)],
) -> Result<(), Failure> {
    let (mut gone, mut made) = (Vec::new(), Vec::new());
    for (name, before, after) in updates.iter().filter(|(_, before, after)| before != after) {
        for target in before {
            gone.push((*name, values::address(target)?));
        }
        for target in after {
            made.push((*name, values::address(target)?));
        }
    }
    if !gone.is_empty() {
        let (keys, targets) = of_targets(&gone);
        let sql = "DELETE FROM dependent
                   USING unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
                         AS gone (stack, target, component, address, deposed)
                   WHERE dependent.stack = gone.stack AND dependent.target = gone.target
                     AND dependent.component = gone.component AND dependent.address = gone.address
                     AND dependent.deposed = gone.deposed";
        session.execute(sql, &[&keys.stacks, &targets, &keys.components, &keys.addresses, &keys.deposed]).await?;
    }
    if !made.is_empty() {
        let (keys, targets) = of_targets(&made);
        let sql = "INSERT INTO dependent (stack, target, component, address, deposed)
                   SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
                   ON CONFLICT DO NOTHING";
        session.execute(sql, &[&keys.stacks, &targets, &keys.components, &keys.addresses, &keys.deposed]).await?;
    }
    Ok(())
}

fn of_targets<'a>(edges: &'a [(&'a RowKey, String)]) -> (Keys<'a>, Vec<Cow<'a, str>>) {
    let targets = edges.iter().map(|(_, target)| columns::text(target)).collect();
    (Keys::of(edges.iter().map(|(name, _)| *name)), targets)
}

/// The content of a version, as a row with that key.
pub(super) async fn content(session: &Session, version: i64, name: &RowKey) -> Result<Row, Failure> {
    let sql = concat!("SELECT ", content_columns!("version"), " FROM version WHERE id = $1");
    let blank =
        || Row { stack: name.stack.clone(), address: name.address.clone(), deposed: name.deposed.clone(), ..blank() };
    let found = session
        .first(sql, &[&version], |columns| {
            let mut row = blank();
            fill_content(columns, &mut row)?;
            Ok(row)
        })
        .await?;
    found.ok_or_else(|| Failure::Unreadable(format!("{}:{} has lost its content", name.stack, name.text)))
}

/// The deposed objects of an address.
pub(super) async fn deposed(session: &Session, name: &RowKey) -> Result<Vec<String>, Failure> {
    let sql = "SELECT deposed FROM resource
               WHERE stack = $1 AND component = $2 AND address = $3 AND deposed <> '' ORDER BY deposed";
    let (component, address) = (columns::text(&name.address.component), columns::text(&name.text));
    session.list(sql, &[&name.number, &component, &address], |columns| columns.text()).await
}

/// Gives the current row of an address a deposed key.
pub(super) async fn depose(session: &Session, before: &RowKey, after: &RowKey) -> Result<(), Failure> {
    let sql = "UPDATE resource SET deposed = $5
               WHERE stack = $1 AND component = $2 AND address = $3 AND deposed = $4";
    let (component, address) = (columns::text(&before.address.component), columns::text(&before.text));
    let (from, to) = (columns::text(before.deposed()), columns::text(after.deposed()));
    session.execute(sql, &[&before.number, &component, &address, &from, &to]).await?;
    Ok(())
}

/// True if a resource has instances, which its address with any key represents.
pub(super) async fn has_instances(session: &Session, block: &RowKey) -> Result<bool, Failure> {
    let (first, end) = rules::instance_bounds(&block.address)?;
    let sql = "SELECT 1 FROM resource WHERE stack = $1 AND component = $2 AND address >= $3 AND address < $4 LIMIT 1";
    let component = columns::text(&block.address.component);
    session.exists(sql, &[&block.number, &component, &columns::text(&first), &columns::text(&end)]).await
}

/// Replaces a dependency of all rows that have it. The rows keep their generations: no plan depends on this change.
pub(super) async fn redirect_dependents(
    session: &Session,
    stacks: &Stacks,
    from: &RowKey,
    replacement: &[Address],
) -> Result<(), Failure> {
    let sql = "SELECT address, deposed FROM dependent WHERE stack = $1 AND target = $2
               ORDER BY component, address, deposed";
    let dependents: Vec<(Address, Option<String>)> = session
        .list(sql, &[&from.number, &columns::text(&from.text)], |columns| Ok((columns.address()?, columns.deposed()?)))
        .await?;
    let mut names = Vec::with_capacity(dependents.len());
    for (address, deposed) in &dependents {
        names.push(RowKey::new(stacks, &from.stack, address, deposed.as_deref())?);
    }
    if names.is_empty() {
        return Ok(());
    }
    let found = find(session, &names.iter().collect::<Vec<_>>()).await?;
    let (mut versions, mut lists, mut updates) = (Vec::new(), Vec::new(), Vec::new());
    for (name, dependent) in names.iter().zip(found) {
        let Some(dependent) = dependent.current else { continue };
        let followed = rules::redirected(&dependent.dependencies, &name.address, &from.address, replacement);
        versions.push(dependent.version);
        lists.push(values::list(&followed)?);
        updates.push((name, dependent.dependencies, followed));
    }
    let lists: Vec<_> = lists.iter().map(|list| columns::text(list)).collect();
    let sql = "UPDATE version SET dependencies = given.dependencies
               FROM unnest($1::bigint[], $2::text[]) AS given (id, dependencies) WHERE version.id = given.id";
    session.execute(sql, &[&versions, &lists]).await?;
    update_dependents(session, &updates).await
}

/// Replaces the sealed texts of versions.
pub(super) async fn reseal(session: &Session, rows: &[(RowKey, &Row)]) -> Result<(), Failure> {
    let (current, versions): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, row)| row.generation == 0);
    if !versions.is_empty() {
        let Keys { stacks, addresses, .. } = Keys::of(versions.iter().map(|(name, _)| name));
        let generations: Vec<_> = versions.iter().map(|(_, row)| columns::integer(row.generation)).collect();
        let (identities, attributes, private) = sealed_texts(&versions);
        let sql = "UPDATE version SET identity = given.identity, attributes = given.attributes, private = given.private
                   FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bytea[])
                        AS given (stack, address, generation, identity, attributes, private)
                   WHERE version.stack = given.stack AND version.address = given.address
                     AND version.generation = given.generation AND version.status IS NOT NULL";
        session.execute(sql, &[&stacks, &addresses, &generations, &identities, &attributes, &private]).await?;
    }
    if !current.is_empty() {
        let Keys { stacks, components, addresses, deposed } = Keys::of(current.iter().map(|(name, _)| name));
        let (identities, attributes, private) = sealed_texts(&current);
        let sql = "UPDATE version SET identity = given.identity, attributes = given.attributes, private = given.private
                   FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[])
                        AS given (stack, component, address, deposed, identity, attributes, private)
                   JOIN resource ON resource.stack = given.stack AND resource.component = given.component
                    AND resource.address = given.address AND resource.deposed = given.deposed
                   WHERE version.id = resource.version";
        let given: [&(dyn ToSql + Sync); 7] =
            [&stacks, &components, &addresses, &deposed, &identities, &attributes, &private];
        session.execute(sql, &given).await?;
    }
    Ok(())
}

/// Columns of sealed texts: identities, attributes, private bytes.
type SealedTexts<'a> = (Vec<Cow<'a, str>>, Vec<Cow<'a, str>>, Vec<&'a [u8]>);

/// The sealed texts of rows, by column.
fn sealed_texts<'a>(rows: &[&'a (RowKey, &'a Row)]) -> SealedTexts<'a> {
    let identities = rows.iter().map(|(_, row)| columns::text(row.identity.as_str())).collect();
    let attributes = rows.iter().map(|(_, row)| columns::text(row.attributes.as_str())).collect();
    (identities, attributes, rows.iter().map(|(_, row)| row.private.as_slice()).collect())
}
