//! `CREATE`.

use super::rows::Rows;
use crate::account::{Account, Column, CommonAttributes, Container, Kind, Relation, Table, Tag, View};
use crate::error::{Outcome, SqlError};
use crate::grammar::{CreateModifiers, CreateTable, CreateView, Options, Query};
use crate::name::shown;

/// Checks for an existing object. `Some` is the result of a statement with nothing to do.
fn existing(account: &Account, role: &str, kind: Kind, how: CreateModifiers, path: &[String]) -> Outcome<Option<Rows>> {
    let is_there = account.owner(&(kind, path.to_vec())).is_some();
    let name = path.last().cloned().unwrap_or_default();
    match (is_there, how.replaces, how.if_not_exists) {
        (false, ..) => Ok(None),
        (true, true, _) => account.owned(role, kind, path).map(|_| None),
        (true, false, true) => Ok(Some(Rows::status(&format!("{name} already exists, statement succeeded.")))),
        (true, false, false) => Err(SqlError::exists(&shown(path))),
    }
}

fn created(kind: Kind, name: &str) -> Rows {
    let kind = kind.word();
    let title = format!("{}{}", &kind[..1], kind[1..].to_lowercase());
    Rows::status(&format!("{title} {name} successfully created."))
}

/// Checks that the role may create objects of a kind in a schema, or a schema in a database.
fn check_may_create(account: &Account, role: &str, kind: Kind, path: &[String]) -> Outcome<()> {
    let (within, parent) = match path {
        [_, _] => (Kind::Database, &path[..1]),
        _ => (Kind::Schema, &path[..path.len() - 1]),
    };
    let key = account.find_visible(role, within, parent)?;
    if account.has_privilege(role, &key, &[&format!("CREATE {}", kind.word())]) && account.can_use_schema(role, path) {
        return Ok(());
    }
    Err(SqlError::privilege(&format!(
        "{} '{}'",
        within.word().to_lowercase(),
        parent.last().cloned().unwrap_or_default()
    )))
}

fn check_account_privilege(account: &Account, role: &str, privilege: &str) -> Outcome<()> {
    if account.has_privilege(role, &(Kind::Account, Vec::new()), &[privilege]) {
        Ok(())
    } else {
        Err(SqlError::privilege("account 'TEST'"))
    }
}

pub(super) fn container(
    account: &mut Account,
    role: &str,
    kind: Kind,
    how: CreateModifiers,
    path: Vec<String>,
    options: &Options,
) -> Outcome<Rows> {
    if let Some(done) = existing(account, role, kind, how, &path)? {
        return Ok(done);
    }
    match (kind, path.as_slice()) {
        (Kind::Database, [_]) => check_account_privilege(account, role, "CREATE DATABASE")?,
        (Kind::Schema, [_, _]) => check_may_create(account, role, kind, &path)?,
        _ => return Err(SqlError::syntax(&path.join("."))),
    }
    let attributes = account.attributes(role, options.comment.as_deref().unwrap_or_default());
    let container =
        Container { attributes, retention_days: options.retention_days.unwrap_or(1), is_transient: how.is_transient };
    let name = path.last().cloned().unwrap_or_default();
    if kind == Kind::Schema {
        account.schemas.insert(path, container);
    } else {
        for (schema, comment) in
            [("PUBLIC", ""), ("INFORMATION_SCHEMA", "Views describing the contents of schemas in this database")]
        {
            let attributes = account.attributes(role, comment);
            let inner = Container { attributes, ..container.clone() };
            account.schemas.insert(vec![name.clone(), schema.to_owned()], inner);
        }
        account.databases.insert(name.clone(), container);
    }
    Ok(created(kind, &name))
}

pub(super) fn table(
    account: &mut Account,
    role: &str,
    how: CreateModifiers,
    path: Vec<String>,
    wanted: CreateTable,
) -> Outcome<Rows> {
    let is_view = account.relations.get(&path).is_some_and(|(_, it)| it.kind() == Kind::View);
    if is_view {
        return Err(SqlError::exists(&shown(&path)));
    }
    if let Some(done) = existing(account, role, Kind::Table, how, &path)? {
        return Ok(done);
    }
    if path.len() != 3 {
        account.find_visible(role, Kind::Table, &path)?;
    }
    check_may_create(account, role, Kind::Table, &path)?;
    let mut table = Table { columns: wanted.columns, ..Table::default() };
    check_names(&table.columns)?;
    if let Some((name, columns)) = wanted.primary_key {
        add_key(&mut table, true, name, columns)?;
    }
    for (name, columns) in wanted.unique {
        add_key(&mut table, false, name, columns)?;
    }
    let name = path.last().cloned().unwrap_or_default();
    account.forget(&(Kind::Table, path.clone()));
    let attributes = account.attributes(role, &wanted.comment);
    account.relations.insert(path, (attributes, Relation::Table(table)));
    Ok(created(Kind::Table, &name))
}

fn check_names(columns: &[Column]) -> Outcome<()> {
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.name == column.name) {
            return Err(SqlError::invalid(&format!("duplicate column name '{}'", column.name)));
        }
    }
    if columns.is_empty() { Err(SqlError::syntax(")")) } else { Ok(()) }
}

/// Adds a key; columns of a primary key become not null.
pub(super) fn add_key(table: &mut Table, is_primary: bool, name: Option<String>, columns: Vec<String>) -> Outcome<()> {
    for name in &columns {
        let column = table.columns.iter_mut().find(|column| column.name == *name);
        let column = column.ok_or_else(|| SqlError::identifier(name))?;
        if is_primary {
            column.is_nullable = false;
        }
    }
    let name = name.unwrap_or_else(|| format!("SYS_CONSTRAINT_{}", uuid::Uuid::now_v7()));
    if is_primary {
        if table.primary_key.is_some() {
            return Err(SqlError::invalid("Primary key is already defined."));
        }
        table.primary_key = Some((name, columns));
    } else {
        if table.unique.iter().any(|(_, other)| *other == columns) {
            return Err(SqlError::invalid("Unique key is already defined."));
        }
        table.unique.push((name, columns));
    }
    Ok(())
}

pub(super) fn view(
    account: &mut Account,
    role: &str,
    how: CreateModifiers,
    path: Vec<String>,
    mut wanted: CreateView,
) -> Outcome<Rows> {
    // Missing parts of the source's name are those of the view.
    while wanted.query.source.len() < 3 && path.len() == 3 {
        let missing = path[2 - wanted.query.source.len()].clone();
        wanted.query.source.insert(0, missing);
    }
    if account.relations.get(&path).is_some_and(|(_, it)| it.kind() == Kind::Table) {
        return Err(SqlError::exists(&shown(&path)));
    }
    if let Some(done) = existing(account, role, Kind::View, how, &path)? {
        return Ok(done);
    }
    if path.len() != 3 {
        account.find_visible(role, Kind::View, &path)?;
    }
    check_may_create(account, role, Kind::View, &path)?;
    let (mut columns, reads) = read_source(account, role, &wanted.query)?;
    if !wanted.columns.is_empty() {
        if wanted.columns.len() != columns.len() {
            let message =
                format!("Invalid column definition list: {} names for {} columns", wanted.columns.len(), columns.len());
            return Err(SqlError::invalid(&message));
        }
        for (column, (name, comment)) in columns.iter_mut().zip(wanted.columns.clone()) {
            column.name = name;
            column.comment = comment;
        }
    }
    check_names(&columns)?;
    for (tag, _, _) in &wanted.tags {
        super::alter::check_may_apply(account, role, tag)?;
    }
    let name = path.last().cloned().unwrap_or_default();
    let kept: Vec<_> = account.grants.iter().filter(|grant| grant.on == (Kind::View, path.clone())).cloned().collect();
    account.forget(&(Kind::View, path.clone()));
    if wanted.copies_grants {
        account.grants.extend(kept);
    }
    let owner = match account.relations.get(&path) {
        Some((attributes, _)) if wanted.copies_grants => attributes.owner.clone(),
        _ => role.to_owned(),
    };
    let attributes = account.attributes(&owner, &wanted.comment);
    let view = View { columns, source: wanted.query.source, reads, is_secure: how.is_secure, text: wanted.text };
    for (tag, column, value) in wanted.tags {
        let object = (Kind::View, path.clone());
        account.references.push(crate::account::TagReference { tag, object, column, value });
    }
    account.relations.insert(path, (attributes, Relation::View(view)));
    Ok(created(Kind::View, &name))
}

/// The columns of a query, and their columns in the source.
pub(super) fn read_source(account: &Account, role: &str, query: &Query) -> Outcome<(Vec<Column>, Vec<String>)> {
    let key = account.find_visible(role, Kind::Table, &query.source)?;
    if !account.has_privilege(role, &key, &["SELECT"]) {
        return Err(SqlError::missing("Object", &shown(&query.source)));
    }
    let (_, relation) = &account.relations[&query.source];
    if query.columns.is_empty() {
        let columns = relation.columns().to_vec();
        let reads = columns.iter().map(|column| column.name.clone()).collect();
        return Ok((columns, reads));
    }
    let mut columns = Vec::new();
    for (name, shown) in &query.columns {
        let found = relation.columns().iter().find(|column| column.name == *name);
        let found = found.ok_or_else(|| SqlError::identifier(name))?;
        columns.push(Column { name: shown.clone(), comment: None, ..found.clone() });
    }
    Ok((columns, query.columns.iter().map(|(name, _)| name.clone()).collect()))
}

pub(super) fn role(
    account: &mut Account,
    role: &str,
    how: CreateModifiers,
    name: String,
    options: &Options,
) -> Outcome<Rows> {
    if let Some(done) = existing(account, role, Kind::Role, how, std::slice::from_ref(&name))? {
        return Ok(done);
    }
    check_account_privilege(account, role, "CREATE ROLE")?;
    let attributes: CommonAttributes = account.attributes(role, options.comment.as_deref().unwrap_or_default());
    account.roles.insert(name.clone(), attributes);
    Ok(created(Kind::Role, &name))
}

pub(super) fn tag(
    account: &mut Account,
    role: &str,
    how: CreateModifiers,
    path: Vec<String>,
    options: Options,
) -> Outcome<Rows> {
    if let Some(done) = existing(account, role, Kind::Tag, how, &path)? {
        return Ok(done);
    }
    if path.len() != 3 {
        account.find_visible(role, Kind::Tag, &path)?;
    }
    check_may_create(account, role, Kind::Tag, &path)?;
    let name = path.last().cloned().unwrap_or_default();
    let attributes = account.attributes(role, options.comment.as_deref().unwrap_or_default());
    account.tags.insert(path, Tag { attributes, allowed: options.allowed.unwrap_or_default() });
    Ok(created(Kind::Tag, &name))
}
