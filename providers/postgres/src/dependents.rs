//! Views over changing columns: drops them and recreates them unchanged, within the transaction of the change.
//!
//! A recreated view keeps its query, owner, options, privileges with their grantors, comments, triggers, rules and
//! defaults. A materialized view also keeps its indexes and tablespaces. This covers views of any origin. A view with
//! properties that cannot be recreated stops the change.

mod saved;

pub(crate) use saved::Saved;

use crate::error::Failure;
use crate::identifier::{qualified, quote_all};
use crate::script::Script;
use crate::server::{Client, Work, column, query};
use crate::view::source_of;
use saved::READ;
use terrace_provider::{Path, ProviderError};

async fn read(
    client: &Client,
    oid: i64,
    columns: &[i32],
    with_itself: bool,
    dropped: &[i32],
) -> Result<Vec<Saved>, Failure> {
    let rows = query(client, READ, &[&oid, &columns, &with_itself, &dropped]).await?;
    rows.iter()
        .map(|row| {
            serde_json::from_str(column(row, 0)?)
                .map_err(|error| Failure::bug(format!("the server's description of a view is not valid: {error}")))
        })
        .collect()
}

/// A view and its dependents.
pub(crate) async fn of_view(client: &Client, oid: i64) -> Result<Vec<Saved>, Failure> {
    read(client, oid, &[], true, &[]).await.map(|mut saved| {
        saved.iter_mut().for_each(|view| view.uses_dropped = false);
        saved
    })
}

/// The views over changed or dropped columns, and their dependents.
///
/// # Errors
/// `InvalidInput` if a view uses a dropped column and terrace did not create it, or its query is more than a list of
/// columns. Only its author can then adapt it.
pub(crate) async fn of_columns(
    client: &Client,
    oid: i64,
    altered: &[i16],
    dropped: &[(i16, String)],
) -> Result<Vec<Saved>, Failure> {
    let dropped_numbers: Vec<i32> = dropped.iter().map(|(number, _)| i32::from(*number)).collect();
    let numbers: Vec<i32> = altered.iter().map(|number| i32::from(*number)).chain(dropped_numbers.clone()).collect();
    let mut saved = read(client, oid, &numbers, false, &dropped_numbers).await?;
    let mut blocked = Vec::new();
    for view in saved.iter_mut().filter(|view| view.uses_dropped) {
        match without(view, dropped) {
            Some(definition) => view.definition = definition,
            None => blocked.push(view.shown()),
        }
    }
    if blocked.is_empty() {
        check_restorable(&saved, "columns")?;
        return Ok(saved);
    }
    let columns: Vec<&str> = dropped.iter().map(|(_, name)| name.as_str()).collect();
    let message = format!("a column of {} cannot be dropped: views read it", terrace_provider::names::listed(&columns));
    Err(ProviderError::invalid(Some(Path::attribute("columns")), message)
        .problem(format!("they are {}", blocked.join(", ")))
        .solution("change those views first, so that they do without it")
        .into())
}

/// Refuses views with properties that cannot be recreated.
///
/// # Errors
/// `InvalidInput` at the attribute whose change drops them.
pub(crate) fn check_restorable(saved: &[Saved], attribute: &str) -> Result<(), Failure> {
    let lost: Vec<String> = saved
        .iter()
        .filter(|view| !view.lost.is_empty())
        .map(|view| format!("{} has {}", view.shown(), view.lost.join(", ")))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let message = "recreated views would lose properties";
    let error = ProviderError::invalid(Some(Path::attribute(attribute)), message);
    let error = lost.into_iter().fold(error, ProviderError::problem);
    Err(error.solution("remove these first and add them again afterwards; nothing was changed").into())
}

/// The query of a view of terrace without the dropped columns.
fn without(view: &Saved, dropped: &[(i16, String)]) -> Option<String> {
    view.mark.as_ref().filter(|mark| mark.starts_with("terrace "))?;
    let source = source_of(&view.definition)?;
    let is_kept = |name: &&String| !dropped.iter().any(|(_, gone)| gone == *name);
    let kept: Vec<&String> = source.columns.iter().filter(is_kept).collect();
    (!kept.is_empty()).then(|| format!("SELECT {} FROM {}", quote_all(kept), qualified(&source.schema, &source.name)))
}

/// The names of views, for people.
pub(crate) fn names(saved: &[Saved]) -> String {
    saved.iter().map(Saved::shown).collect::<Vec<_>>().join(", ")
}

/// Drops views, dependents first.
pub(crate) async fn drop_all(work: &Work, saved: &[Saved]) -> Result<(), Failure> {
    for view in saved.iter().rev() {
        work.execute(&format!("DROP {} {}", view.word(), view.sql())).await?;
    }
    Ok(())
}

/// Recreates dropped views with all their properties. Their saved texts contain qualified names.
pub(crate) async fn restore(
    work: &Work,
    saved: &[Saved],
    report: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), Failure> {
    for view in saved {
        work.run(&Script::of(view.create())).await.map_err(|failure| view.restore_error(failure))?;
        let client = work.client().await?;
        let grantees = "SELECT DISTINCT CASE WHEN x.grantee = 0 THEN '' ELSE pg_get_userbyid(x.grantee)::text END
                        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) x
                        WHERE n.nspname = $1 AND c.relname = $2";
        let rows = query(client, grantees, &[&view.schema, &view.name]).await?;
        // Default privileges count as well as the saved grants.
        if view.has_grants || !rows.is_empty() {
            let present = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<String>, _>>()?;
            let granted = work.run(&Script::of(view.regrant(&present))).await;
            granted.map_err(|failure| view.restore_error(failure))?;
        }
        if view.uses_dropped {
            report(&format!("the view {} no longer shows the dropped columns", view.shown()));
        }
    }
    Ok(())
}
