//! Queries, and rows for tests.

use super::create;
use super::rows::{Rows, Session};
use crate::account::{Account, Kind, Relation};
use crate::error::{Outcome, SqlError};
use crate::grammar::Query;
use crate::name::shown;
use crate::token::Tokens;

/// Checks that the role may use a warehouse for queries.
fn needs_warehouse(account: &Account, session: &Session) -> Outcome<()> {
    let roles = account.secondary_roles(&session.user, &session.role);
    let may_use = |warehouse: &String| {
        let key = (Kind::Warehouse, vec![warehouse.clone()]);
        account.warehouses.contains_key(warehouse)
            && roles.iter().chain([&session.role]).any(|role| account.has_privilege(role, &key, &["USAGE"]))
    };
    if session.warehouse.as_ref().is_some_and(may_use) { Ok(()) } else { Err(SqlError::no_warehouse()) }
}

/// The rows of a table or of a view's source.
fn rows(account: &Account, path: &[String], columns: &[String]) -> Vec<Vec<Option<String>>> {
    match account.relations.get(path).map(|(_, relation)| relation) {
        Some(Relation::Table(table)) => {
            let at = |name: &String| table.columns.iter().position(|column| column.name == *name);
            let positions: Vec<Option<usize>> = columns.iter().map(at).collect();
            let pick =
                |row: &Vec<Option<String>>| positions.iter().map(|at| at.and_then(|at| row[at].clone())).collect();
            table.rows.iter().map(pick).collect()
        }
        Some(Relation::View(view)) => {
            let inner: Vec<String> = columns
                .iter()
                .filter_map(|name| {
                    view.reads.get(view.columns.iter().position(|column| column.name == *name)?).cloned()
                })
                .collect();
            rows(account, &view.source, &inner)
        }
        None => Vec::new(),
    }
}

pub(super) fn query(account: &Account, session: &Session, query: &Query) -> Outcome<Rows> {
    let (columns, reads) = create::read_source(account, &session.role, query)?;
    needs_warehouse(account, session)?;
    if let Some((_, Relation::View(view))) = account.relations.get(&query.source) {
        broken(account, view)?;
    }
    let mut rows = rows(account, &query.source, &reads);
    rows.truncate(query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap()));
    Ok(Rows { names: columns.into_iter().map(|column| column.name).collect(), rows, ..Rows::default() })
}

/// Refuses to read a view whose source has changed.
fn broken(account: &Account, view: &crate::account::View) -> Outcome<()> {
    let Some((_, source)) = account.relations.get(&view.source) else {
        return Err(SqlError::missing("Object", &shown(&view.source)));
    };
    match view.reads.iter().find(|name| !source.columns().iter().any(|column| column.name == **name)) {
        Some(name) => Err(SqlError::identifier(name)),
        None => Ok(()),
    }
}

pub(super) fn count(account: &Account, session: &Session, path: &[String]) -> Outcome<Rows> {
    let key = account.find_visible(&session.role, Kind::Table, path)?;
    if !account.has_privilege(&session.role, &key, &["SELECT"]) {
        return Err(SqlError::missing("Object", &shown(path)));
    }
    needs_warehouse(account, session)?;
    let names: Vec<String> = account.relations[path].1.columns().iter().map(|column| column.name.clone()).collect();
    let count = rows(account, path, &names).len().to_string();
    Ok(Rows { names: vec!["COUNT(*)".to_owned()], rows: vec![vec![Some(count)]], ..Rows::default() })
}

pub(super) fn current(account: &Account, session: &Session, function: &str) -> Rows {
    let value = match function {
        "CURRENT_ROLE" => Some(session.role.clone()),
        "CURRENT_USER" => Some(session.user.clone()),
        "CURRENT_SECONDARY_ROLES" => {
            let roles = account.secondary_roles(&session.user, &session.role).join(",");
            let value = if account.with_secondary_roles.contains(&session.user) { "ALL" } else { "" };
            Some(serde_json::json!({"roles": roles, "value": value}).to_string())
        }
        _ => session.warehouse.clone(),
    };
    Rows { names: vec![format!("{function}()")], rows: vec![vec![value]], ..Rows::default() }
}

pub(super) fn insert(
    account: &mut Account,
    session: &Session,
    path: &[String],
    rows: Vec<Vec<Option<String>>>,
) -> Outcome<Rows> {
    let key = account.find_visible(&session.role, Kind::Table, path)?;
    if !account.has_privilege(&session.role, &key, &["INSERT"]) {
        return Err(SqlError::privilege(&format!("table '{}'", shown(path))));
    }
    needs_warehouse(account, session)?;
    let Some((_, Relation::Table(table))) = account.relations.get_mut(path) else {
        return Err(SqlError::missing("Table", &shown(path)));
    };
    for row in &rows {
        if row.len() != table.columns.len() {
            return Err(SqlError::invalid("Insert value list does not match column list"));
        }
        let missing = table.columns.iter().zip(row).find(|(column, value)| !column.is_nullable && value.is_none());
        if let Some((column, _)) = missing {
            return Err(SqlError::not_null(&column.name));
        }
    }
    let count = rows.len().to_string();
    table.rows.extend(rows);
    Ok(Rows { columns: vec!["number of rows inserted"], names: Vec::new(), rows: vec![vec![Some(count)]] })
}

/// `INFORMATION_SCHEMA.POLICY_REFERENCES` of a view.
/// <https://docs.snowflake.com/en/sql-reference/functions/policy_references>
pub(super) fn policy_references(account: &Account, session: &Session, object: &str) -> Outcome<Rows> {
    needs_warehouse(account, session)?;
    let key = account.find_visible(&session.role, Kind::View, &Tokens::of(object)?.path()?)?;
    let row = |(name, on): &(String, crate::account::Key)| {
        let kind = Some("ROW_ACCESS_POLICY".to_owned());
        vec![Some(name.clone()), kind, on.1.last().cloned(), Some("VIEW".to_owned()), None, None]
    };
    let columns =
        ["POLICY_NAME", "POLICY_KIND", "REF_ENTITY_NAME", "REF_ENTITY_DOMAIN", "REF_COLUMN_NAME", "TAG_NAME"].to_vec();
    let rows = account.policies.iter().filter(|(_, on)| *on == key).map(row).collect();
    Ok(Rows { columns, names: Vec::new(), rows })
}

/// `INFORMATION_SCHEMA.TAG_REFERENCES`: the object's own and inherited tags, with the level of each.
/// <https://docs.snowflake.com/en/sql-reference/functions/tag_references>
pub(super) fn tag_references(account: &Account, session: &Session, object: &str, domain: &str) -> Outcome<Rows> {
    needs_warehouse(account, session)?;
    let mut path = Tokens::of(object)?.path()?;
    let (kind, column) = match domain.to_lowercase().as_str() {
        "database" => (Kind::Database, None),
        "schema" => (Kind::Schema, None),
        "table" => (Kind::Table, None),
        "column" => (Kind::Table, path.pop()),
        other => return Err(SqlError::invalid(&format!("Invalid object domain '{other}'"))),
    };
    let key = account.find_visible(&session.role, kind, &path)?;
    if let Some(column) = &column
        && !account.relations[&path].1.columns().iter().any(|known| known.name == *column)
    {
        return Err(SqlError::identifier(column));
    }
    let is_meant = |it: &&crate::account::TagReference| {
        let is_container = it.object.1.len() < path.len() && path.starts_with(&it.object.1);
        is_container || it.object == key && (it.column == column || it.column.is_none())
    };
    let row = |it: &crate::account::TagReference| {
        let level = if it.column.is_some() {
            "COLUMN"
        } else if it.object.0 == Kind::View {
            "TABLE"
        } else {
            it.object.0.word()
        };
        let part = |index: usize| path.get(index).cloned();
        let domain = if column.is_some() { "COLUMN" } else { key.0.word() };
        vec![
            Some(it.tag[0].clone()),
            Some(it.tag[1].clone()),
            Some(it.tag[2].clone()),
            Some(it.value.clone()),
            Some(level.to_owned()),
            part(0),
            part(1),
            part(2).or_else(|| path.last().cloned()),
            Some(domain.to_owned()),
            column.clone(),
        ]
    };
    let names = [
        "TAG_DATABASE",
        "TAG_SCHEMA",
        "TAG_NAME",
        "TAG_VALUE",
        "LEVEL",
        "OBJECT_DATABASE",
        "OBJECT_SCHEMA",
        "OBJECT_NAME",
        "DOMAIN",
        "COLUMN_NAME",
    ];
    let rows = account.references.iter().filter(is_meant).map(row).collect();
    Ok(Rows { columns: names.to_vec(), names: Vec::new(), rows })
}
