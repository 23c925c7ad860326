//! Creates, changes and drops tables. A change is one transaction: renames, drops, columns, keys and comments. It drops
//! views over changed columns first and recreates them at the end.

use super::alter::{Changes, changes};
use super::check;
use super::ddl;
use super::detached;
use super::like::learn_words;
use super::model::{Column, Table, columns_of};
use super::present::{Present, column_names, read};
use crate::data_type::DataType;
use crate::dependents::{self, Saved};
use crate::error::Failure;
use crate::identifier::{qualified, quote};
use crate::kind::Target;
use crate::private::Memory;
use crate::script::Script;
use crate::server::{Client, Work, column, query};
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError, Value, renames};

/// Creates the planned table.
pub(crate) async fn create(work: &Work, planned: &Attributes, mark: &str) -> Result<(), Failure> {
    let table = Table::of(planned);
    check::table(&table)?;
    work.run_before_reads(ddl::create(&table, mark)).await
}

/// Whether a table shows that an update took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Updated {
    /// The table shows it.
    Visible,
    /// Columns exchanged their names: the table looks the same before and after.
    NamesExchanged,
}

/// Changes the table into the planned one, and renames it to `target`; `report` receives notes for people.
pub(crate) async fn update(
    work: &Work,
    (old, target): (&Target, &Target),
    (prior, planned): (&Attributes, &Attributes),
    memory: &mut Memory,
    report: &(dyn Fn(&str) + Send + Sync),
) -> Result<Updated, Failure> {
    let wanted = Table::of(planned);
    check::table(&wanted)?;
    let mut present = present(work, old).await?;
    check_same_table(present.oid, old, prior)?;
    let prior = Table::of(prior);
    if old != target {
        let text = format!("ALTER TABLE {} RENAME TO {}", old.sql(), quote(target.own_name()));
        work.run(&Script::about(&Path::attribute("name"), text)).await?;
    }
    let renames = renames_of(&present, &prior, &wanted);
    if !renames.is_empty() {
        rename_columns(work, &present, &wanted, &renames).await?;
        present = self::present(work, target).await?;
    }
    let changes = changes(&present, &wanted, &prior, memory)?;
    if !changes.is_empty() {
        apply(work, target, (&present, &wanted), &changes, report).await?;
    }
    Ok(if renames::has_circle(&renames) { Updated::NamesExchanged } else { Updated::Visible })
}

/// The attribute that names a missing object, if the server's error has no position.
pub(crate) async fn missing(client: &Client, target: &Target, planned: &Attributes) -> Result<Option<Path>, Failure> {
    let schema = "SELECT FROM pg_namespace WHERE nspname = $1";
    if query(client, schema, &[&target.name(1)]).await?.is_empty() {
        return Ok(Some(Path::attribute("schema")));
    }
    let table = Table::of(planned);
    for (index, key) in table.foreign_keys.iter().enumerate() {
        let other = (key.schema.as_deref().unwrap_or(&table.schema), key.table.as_str());
        let path = Path::attribute("foreignKeys").index(index).key("references");
        match column_names(client, other.0, other.1).await? {
            _ if other == (table.schema.as_str(), table.name.as_str()) => {}
            None => return Ok(Some(path.key("table"))),
            Some(columns) => {
                if let Some(at) = key.references.iter().position(|name| !columns.contains(name)) {
                    return Ok(Some(path.key("columns").index(at)));
                }
            }
        }
    }
    Ok(None)
}

/// Drops the table; a missing table is not an error.
///
/// # Errors
/// When another table has taken its name meanwhile.
pub(crate) async fn delete(work: &Work, target: &Target, prior: &Attributes) -> Result<(), Failure> {
    let found = read(work.reader().await?, std::slice::from_ref(target)).await?.into_iter().flatten().next();
    let Some(present) = found else { return Ok(()) };
    check_same_table(present.oid, target, prior)?;
    work.execute(&format!("DROP TABLE {}", target.sql())).await?;
    // Another transaction may have given the name to another table during the wait for the lock. The locked table is
    // the dropped one.
    let sql = "SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted
               AND mode = 'AccessExclusiveLock' AND relation = $1::int8::oid
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    match query(work.client().await?, sql, &[&present.oid]).await?.is_empty() {
        true => Err(another(target)),
        false => Ok(()),
    }
}

/// Refuses a table that is not the recorded one.
pub(crate) fn check_same_table(oid: i64, target: &Target, prior: &Attributes) -> Result<(), Failure> {
    match prior.get("oid").and_then(Value::as_int) {
        Some(recorded) if recorded != oid => Err(another(target)),
        _ => Ok(()),
    }
}

fn another(target: &Target) -> Failure {
    let message = format!("{} is not the table of the plan", target.shown());
    ProviderError::new(ErrorKind::Failed, message)
        .solution("it was recreated meanwhile: plan again and review the change")
        .into()
}

async fn present(work: &Work, target: &Target) -> Result<Present, Failure> {
    let client = work.reader().await?;
    let found = read(client, std::slice::from_ref(target)).await?.into_iter().flatten().next();
    work.use_configured_search_path().await?;
    found.ok_or_else(|| {
        ProviderError::new(ErrorKind::NotFound, format!("{} no longer exists", target.shown()))
            .solution("plan again: the plan will create it")
            .into()
    })
}

/// Learns the server's texts for a table that was created as planned.
pub(crate) async fn learn(
    client: &Client,
    target: &Target,
    planned: &Attributes,
    memory: &mut Memory,
) -> Result<(), Failure> {
    if let Some(present) = read(client, std::slice::from_ref(target)).await?.into_iter().flatten().next() {
        learn_words(&present, &Table::of(planned), memory);
    }
    Ok(())
}

/// The renames of columns for the wanted table, as pairs of old and new name.
fn renames_of(present: &Present, prior: &Table, wanted: &Table) -> Vec<(String, String)> {
    let recorded = |name: &str| prior.column(name).and_then(|column| column.previous_name.as_deref());
    let old: Vec<_> = present.columns.iter().map(|it| (it.name.as_str(), recorded(&it.name))).collect();
    let new: Vec<_> = wanted.columns.iter().map(Column::named).collect();
    renames::renames(&old, &new, &renames::former(&old, &new, str::eq))
}

async fn rename_columns(
    work: &Work,
    present: &Present,
    wanted: &Table,
    renames: &[(String, String)],
) -> Result<(), Failure> {
    let own = qualified(&wanted.schema, &wanted.name);
    let taken: Vec<&str> = present.columns.iter().map(|column| column.name.as_str()).collect();
    for step in renames::steps(renames, &taken, str::eq) {
        let name = renames.get(step.index).map(|(_, to)| to);
        let index = wanted.columns.iter().position(|column| Some(&column.name) == name).unwrap_or_default();
        let path = Path::attribute("columns").index(index).key("previousName");
        let text = format!("ALTER TABLE {own} RENAME COLUMN {} TO {}", quote(&step.from), quote(&step.to));
        work.run(&Script::about(&path, text)).await?;
    }
    Ok(())
}

async fn apply(
    work: &Work,
    target: &Target,
    (present, wanted): (&Present, &Table),
    changes: &Changes,
    report: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), Failure> {
    let client = work.reader().await?;
    let detached = detached::read(client, present.oid, changes, wanted, &[]).await?;
    let saved = conflicting_views(client, present.oid, changes).await?;
    work.use_configured_search_path().await?;
    detached.drop_all(work, wanted).await?;
    dependents::drop_all(work, &saved).await?;
    let columns = [&changes.drop_constraints, &changes.drops, &changes.columns, &changes.computed];
    for script in columns.into_iter().flatten() {
        work.run(script).await?;
    }
    detached.restore_constraints(work, wanted).await?;
    for script in &changes.rest {
        work.run(script).await?;
    }
    detached.restore(work, wanted).await?;
    dependents::restore(work, &saved, report).await?;
    if !saved.is_empty() {
        report(&format!("recreated over the new columns of {}: {}", target.full_name(), dependents::names(&saved)));
    }
    Ok(())
}

/// The views that must be dropped meanwhile, in the order in which they are recreated.
async fn conflicting_views(client: &Client, oid: i64, changes: &Changes) -> Result<Vec<Saved>, Failure> {
    let altered = [changes.altered.as_slice(), &changes.recreated].concat();
    if altered.is_empty() && changes.dropped.is_empty() {
        return Ok(Vec::new());
    }
    dependents::of_columns(client, oid, &altered, &changes.dropped).await
}

/// Objects that a change drops and restores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RestoredObjects {
    /// Names of views.
    pub(crate) views: Option<String>,
    /// Triggers, foreign keys, constraints and indexes.
    pub(crate) others: Vec<String>,
}

/// Finds the objects that a change to the planned table would drop and restore. Changes nothing.
///
/// # Errors
/// `InvalidInput` if the server would refuse the change.
pub(crate) async fn dependents_of_change(
    client: &Client,
    target: &Target,
    (prior, planned): (Option<&Attributes>, &Attributes),
    memory: &Memory,
) -> Result<RestoredObjects, Failure> {
    let Some(mut present) = read(client, std::slice::from_ref(target)).await?.into_iter().flatten().next() else {
        return Ok(RestoredObjects::default());
    };
    let wanted = Table::of(planned);
    let prior = prior.map(Table::of).unwrap_or_default();
    let renames = renames_of(&present, &prior, &wanted);
    present.rename_columns(&renames);
    let changes = changes(&present, &wanted, &wanted, &mut memory.clone())?;
    let detached = detached::read(client, present.oid, &changes, &wanted, &renames).await?;
    let saved = conflicting_views(client, present.oid, &changes).await?;
    let views = (!saved.is_empty()).then(|| dependents::names(&saved));
    Ok(RestoredObjects { views, others: detached.shown() })
}

/// Columns whose type does not exist on the server: position and type.
pub(crate) async fn unknown_types(client: &Client, planned: &Attributes) -> Result<Vec<(usize, String)>, Failure> {
    let table = Table::of(planned);
    let (mut places, mut names) = (Vec::new(), Vec::new());
    for (place, column) in (0_i32..).zip(&table.columns) {
        let Some(ty) = DataType::parse(&column.ty).filter(|ty| !ty.is_built_in()) else { continue };
        let name = ty.name();
        // The search path of a change.
        let places_of_it = match ty.is_qualified() {
            true => vec![name.to_owned()],
            false => vec![name.to_owned(), format!("{}.{name}", quote(&table.schema)), format!("public.{name}")],
        };
        places.extend(std::iter::repeat_n(place, places_of_it.len()));
        names.extend(places_of_it);
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT w.place FROM unnest($1::int4[], $2::text[]) AS w(place, name)
               GROUP BY w.place HAVING bool_and(to_regtype(w.name) IS NULL) ORDER BY w.place";
    let mut unknown = Vec::new();
    for row in query(client, sql, &[&places, &names]).await? {
        let place = usize::try_from(column::<i32>(&row, 0)?).unwrap_or_default();
        unknown.extend(table.columns.get(place).map(|column| (place, column.ty.clone())));
    }
    Ok(unknown)
}

/// True if a column has a type that is not built in.
pub(crate) fn has_other_types(planned: &Attributes) -> bool {
    let is_other = |ty: &str| DataType::parse(ty).is_some_and(|ty| !ty.is_built_in());
    columns_of(planned).iter().any(|column| is_other(&column.ty))
}
