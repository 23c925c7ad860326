//! Makes, changes and drops tables. A change is one transaction: renames first, then what cannot stay, then columns, under
//! views that are dropped for a while where they are in the way, then keys and comments.

use super::alter::{Changes, changes};
use super::check;
use super::ddl;
use super::like::learn_words;
use super::model::Table;
use super::present::{Present, column_names, read};
use crate::dependents::{self, Saved};
use crate::error::Failure;
use crate::identifier::{qualified, quote};
use crate::kind::Target;
use crate::private::Memory;
use crate::script::Script;
use crate::server::{Client, Work, query};
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError, Value};

/// Makes the planned table.
pub(crate) async fn create(work: &Work, planned: &Attributes, mark: &str) -> Result<(), Failure> {
    let table = Table::of(planned);
    check::table(&table)?;
    work.run_and_look(ddl::create(&table, mark)).await
}

/// Turns the table that is there into the planned one; `report` hears what a person should know of.
pub(crate) async fn update(
    work: &Work,
    target: &Target,
    (prior, planned): (&Attributes, &Attributes),
    memory: &mut Memory,
    report: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), Failure> {
    let wanted = Table::of(planned);
    check::table(&wanted)?;
    let mut present = present(work, target).await?;
    is_the_one(present.oid, target, prior)?;
    let prior = Table::of(prior);
    if rename_columns(work, &present, &wanted).await? {
        present = self::present(work, target).await?;
    }
    let changes = changes(&present, &wanted, &prior, memory)?;
    if !changes.is_empty() {
        apply(work, target, &present, &changes, report).await?;
    }
    Ok(())
}

/// Which attribute names something that is not there, where the server does not say it.
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

/// Drops the table; one that is gone already is no error.
///
/// # Errors
/// When another table has taken its name since it was looked at.
pub(crate) async fn delete(work: &Work, target: &Target, prior: &Attributes) -> Result<(), Failure> {
    let found = read(work.look().await?, std::slice::from_ref(target)).await?.into_iter().flatten().next();
    let Some(present) = found else { return Ok(()) };
    is_the_one(present.oid, target, prior)?;
    work.execute(&format!("DROP TABLE {}", target.sql())).await?;
    // Whoever was waited for may have given the name to another one: what was dropped is what is locked now.
    let sql = "SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted
               AND mode = 'AccessExclusiveLock' AND relation = $1::int8::oid
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    match query(work.client().await?, sql, &[&present.oid]).await?.is_empty() {
        true => Err(another(target)),
        false => Ok(()),
    }
}

/// Refuses a table that is not the recorded one.
pub(crate) fn is_the_one(oid: i64, target: &Target, prior: &Attributes) -> Result<(), Failure> {
    match prior.get("oid").and_then(Value::as_int) {
        Some(recorded) if recorded != oid => Err(another(target)),
        _ => Ok(()),
    }
}

fn another(target: &Target) -> Failure {
    let message = format!("{} is another one than the one that was planned for", target.shown());
    ProviderError::new(ErrorKind::Failed, message)
        .solution("somebody made it anew meanwhile: plan again, and see whether it is to go or to change")
        .into()
}

async fn present(work: &Work, target: &Target) -> Result<Present, Failure> {
    let client = work.look().await?;
    let found = read(client, std::slice::from_ref(target)).await?.into_iter().flatten().next();
    work.speak().await?;
    found.ok_or_else(|| {
        ProviderError::new(ErrorKind::NotFound, format!("{} is not there any more", target.shown()))
            .solution("plan again: it will be created")
            .into()
    })
}

/// Remembers the server's words for a table that was made as it was planned.
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

async fn rename_columns(work: &Work, present: &Present, wanted: &Table) -> Result<bool, Failure> {
    let mut is_renamed = false;
    for (index, column) in wanted.columns.iter().enumerate().filter(|(_, it)| present.column(&it.name).is_none()) {
        let former = column.previous_name.as_deref().and_then(|name| present.column(name));
        let Some(former) = former else { continue };
        let path = Path::attribute("columns").index(index).key("previousName");
        let own = qualified(&wanted.schema, &wanted.name);
        let text = format!("ALTER TABLE {own} RENAME COLUMN {} TO {}", quote(&former.name), quote(&column.name));
        work.run(&Script::about(&path, text)).await?;
        is_renamed = true;
    }
    Ok(is_renamed)
}

async fn apply(
    work: &Work,
    target: &Target,
    present: &Present,
    changes: &Changes,
    report: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), Failure> {
    for script in &changes.drop_constraints {
        work.run(script).await?;
    }
    let saved = in_the_way(work.look().await?, present.oid, changes).await?;
    work.speak().await?;
    dependents::drop_all(work, &saved).await?;
    for script in &changes.columns {
        work.run(script).await?;
    }
    for script in &changes.rest {
        work.run(script).await?;
    }
    dependents::restore(work, &saved, report).await?;
    if !saved.is_empty() {
        report(&format!("made again over the new columns of {}: {}", target.full_name(), dependents::names(&saved)));
    }
    Ok(())
}

/// The views that have to be dropped for a while, in the order in which they are made again.
async fn in_the_way(client: &Client, oid: i64, changes: &Changes) -> Result<Vec<Saved>, Failure> {
    if changes.altered.is_empty() && changes.dropped.is_empty() {
        return Ok(Vec::new());
    }
    dependents::of_columns(client, oid, &changes.altered, &changes.dropped).await
}

/// The views that a change to the planned table would drop and make again, by their names; nothing is changed.
pub(crate) async fn dependents_of_change(
    client: &Client,
    target: &Target,
    planned: &Attributes,
    memory: &Memory,
) -> Result<Option<String>, Failure> {
    let Some(mut present) = read(client, std::slice::from_ref(target)).await?.into_iter().flatten().next() else {
        return Ok(None);
    };
    let wanted = Table::of(planned);
    for column in &wanted.columns {
        let previous = column.previous_name.as_deref().filter(|_| present.column(&column.name).is_none());
        if let Some(former) = previous.and_then(|name| present.columns.iter_mut().find(|it| it.name == name)) {
            former.name.clone_from(&column.name);
        }
    }
    let changes = changes(&present, &wanted, &wanted, &mut memory.clone())?;
    let saved = in_the_way(client, present.oid, &changes).await?;
    Ok((!saved.is_empty()).then(|| dependents::names(&saved)))
}
