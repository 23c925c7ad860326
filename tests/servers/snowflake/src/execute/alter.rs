//! `ALTER` and `COMMENT`.

use super::create;
use super::rows::Rows;
use crate::account::{Account, Column, CommonAttributes, Key, Kind, Relation, Table, TagReference};
use crate::error::{Outcome, SqlError};
use crate::grammar::{AlterTable, ColumnChange, Options};
use crate::name::shown;

const DONE: &str = "Statement executed successfully.";

/// An object that the role owns; `None` if it may be missing and is.
fn owned(account: &Account, role: &str, kind: Kind, if_exists: bool, path: &[String]) -> Outcome<Option<Key>> {
    match account.owned(role, kind, path) {
        Ok(key) => Ok(Some(key)),
        Err(error) if if_exists && error.code == "002003" => Ok(None),
        Err(error) => Err(error),
    }
}

fn attributes<'a>(account: &'a mut Account, (kind, path): &Key) -> Option<&'a mut CommonAttributes> {
    match kind {
        Kind::Database => account.databases.get_mut(&path[0]).map(|it| &mut it.attributes),
        Kind::Schema => account.schemas.get_mut(path).map(|it| &mut it.attributes),
        Kind::Table | Kind::View => account.relations.get_mut(path).map(|(attributes, _)| attributes),
        Kind::Tag => account.tags.get_mut(path).map(|it| &mut it.attributes),
        Kind::Role => account.roles.get_mut(&path[0]),
        Kind::Account | Kind::Warehouse | Kind::User => None,
    }
}

pub(super) fn options(
    account: &mut Account,
    role: &str,
    kind: Kind,
    if_exists: bool,
    path: &[String],
    options: Options,
) -> Outcome<Rows> {
    let has_tags = !options.tags.is_empty() || !options.tags_off.is_empty();
    let key = if has_tags {
        // A role that may apply the tag need not own the object.
        match account.find_visible(role, kind, path) {
            Err(error) if if_exists && error.code == "002003" => return Ok(Rows::status(DONE)),
            other => other?,
        }
    } else {
        let Some(key) = owned(account, role, kind, if_exists, path)? else { return Ok(Rows::status(DONE)) };
        key
    };
    if key.0 != kind && !has_tags {
        return Err(SqlError::invalid(&format!("'{}' is not a {}", shown(path), kind.word().to_lowercase())));
    }
    if has_tags {
        return tags(account, role, &key, options);
    }
    if let (Some(comment), Some(attributes)) = (&options.comment, attributes(account, &key)) {
        attributes.comment.clone_from(comment);
    }
    if let Some(days) = options.retention_days {
        if days > 90 {
            return Err(SqlError::invalid(&format!("Exceeds maximum allowable retention time (90): {days}")));
        }
        match kind {
            Kind::Database => account.databases.get_mut(&path[0]).unwrap().retention_days = days,
            Kind::Schema => account.schemas.get_mut(path).unwrap().retention_days = days,
            _ => {}
        }
    }
    if let (Some(secure), Some((_, Relation::View(view)))) = (options.is_secure, account.relations.get_mut(path)) {
        view.is_secure = secure;
    }
    if let (Some(allowed), Some(tag)) = (options.allowed, account.tags.get_mut(path)) {
        match allowed.split_first() {
            Some((sign, values)) if sign == "+" => tag.allowed.extend(values.iter().cloned()),
            Some((sign, values)) if sign == "-" => tag.allowed.retain(|value| !values.contains(value)),
            _ => tag.allowed.clear(),
        }
    }
    Ok(Rows::status(DONE))
}

/// Checks that the role may apply a tag.
pub(super) fn check_may_apply(account: &Account, role: &str, tag: &[String]) -> Outcome<()> {
    let key = account.find_visible(role, Kind::Tag, tag)?;
    let has_privilege = account.has_privilege(role, &key, &["APPLY"])
        || account.has_privilege(role, &(Kind::Account, Vec::new()), &["APPLY TAG"]);
    if has_privilege { Ok(()) } else { Err(SqlError::privilege(&format!("tag '{}'", shown(tag)))) }
}

fn tags(account: &mut Account, role: &str, key: &Key, options: Options) -> Outcome<Rows> {
    if let Some(column) = &options.column {
        let columns = account.relations.get(&key.1).map(|(_, it)| it.columns()).unwrap_or_default();
        if !columns.iter().any(|known| known.name == *column) {
            return Err(SqlError::identifier(column));
        }
    }
    let names = options.tags.iter().map(|(tag, _)| tag).chain(&options.tags_off);
    for tag in names {
        check_may_apply(account, role, tag)?;
    }
    for (tag, value) in options.tags {
        let allowed = &account.tags[&tag].allowed;
        if !allowed.is_empty() && !allowed.contains(&value) {
            return Err(SqlError::invalid(&format!("Tag value {value} is not in the list of allowed values")));
        }
        if value.chars().count() > 256 {
            return Err(SqlError::invalid("Tag value is too long"));
        }
        let (object, column) = (key.clone(), options.column.clone());
        account.references.retain(|it| !(it.tag == tag && it.object == object && it.column == column));
        account.references.push(TagReference { tag, object, column, value });
    }
    for tag in options.tags_off {
        account.references.retain(|it| !(it.tag == tag && it.object == *key && it.column == options.column));
    }
    Ok(Rows::status(DONE))
}

pub(super) fn comment(
    account: &mut Account,
    role: &str,
    kind: Kind,
    if_exists: bool,
    path: &[String],
    column: Option<String>,
    text: &str,
) -> Outcome<Rows> {
    let Some(key) = owned(account, role, kind, if_exists, path)? else { return Ok(Rows::status(DONE)) };
    match column {
        Some(name) => {
            let column = column_mut(account, &key.1, &name)?;
            column.comment = Some(text.to_owned()).filter(|text| !text.is_empty());
        }
        None => {
            if let Some(attributes) = attributes(account, &key) {
                text.clone_into(&mut attributes.comment);
            }
        }
    }
    Ok(Rows::status(DONE))
}

fn column_mut<'a>(account: &'a mut Account, path: &[String], name: &str) -> Outcome<&'a mut Column> {
    let found = account.relations.get_mut(path).and_then(|(_, relation)| match relation {
        Relation::Table(table) => table.columns.iter_mut().find(|column| column.name == *name),
        Relation::View(view) => view.columns.iter_mut().find(|column| column.name == *name),
    });
    found.ok_or_else(|| SqlError::identifier(name))
}

pub(super) fn table(
    account: &mut Account,
    role: &str,
    if_exists: bool,
    path: &[String],
    change: AlterTable,
) -> Outcome<Rows> {
    let Some(key) = owned(account, role, Kind::Table, if_exists, path)? else { return Ok(Rows::status(DONE)) };
    if key.0 != Kind::Table {
        return Err(SqlError::invalid(&format!("'{}' is not a table", shown(path))));
    }
    if let AlterTable::Rename(to) = change {
        return rename(account, path, to);
    }
    let mut references = std::mem::take(&mut account.references);
    let Some((_, Relation::Table(table))) = account.relations.get_mut(path) else {
        return Err(SqlError::missing("Table", &shown(path)));
    };
    // All changes of a statement, or none.
    let mut changed = table.clone();
    let outcome = alter(&mut changed, change, &mut |old, new| {
        let of_it = |it: &&mut TagReference| it.object.1 == path && it.column.as_deref() == Some(old);
        references.iter_mut().filter(of_it).for_each(|it| it.column = Some(new.to_owned()));
    });
    if outcome.is_ok() {
        *table = changed;
    }
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    references.retain(|it| it.object.1 != path || it.column.as_ref().is_none_or(|column| names.contains(column)));
    account.references = references;
    outcome.map(|()| Rows::status(DONE))
}

fn rename(account: &mut Account, path: &[String], to: Vec<String>) -> Outcome<Rows> {
    let to = if to.len() == 1 { [&path[..2], &to].concat() } else { to };
    if account.relations.contains_key(&to) {
        return Err(SqlError::exists(&shown(&to)));
    }
    if !account.schemas.contains_key(&to[..2]) {
        return Err(SqlError::missing("Schema", &shown(&to[..2])));
    }
    let relation = account.relations.remove(path).unwrap();
    account.relations.insert(to.clone(), relation);
    account.grants.iter_mut().filter(|grant| grant.on.1 == path).for_each(|grant| grant.on.1.clone_from(&to));
    account.references.iter_mut().filter(|it| it.object.1 == path).for_each(|it| it.object.1.clone_from(&to));
    Ok(Rows::status(DONE))
}

fn position(table: &Table, name: &str) -> Outcome<usize> {
    let found = table.columns.iter().position(|column| column.name == name);
    found.ok_or_else(|| SqlError::identifier(name))
}

/// Changes a table; `renamed` gets the renamed columns.
fn alter(table: &mut Table, change: AlterTable, renamed: &mut dyn FnMut(&str, &str)) -> Outcome<()> {
    match change {
        AlterTable::Rename(_) => {}
        AlterTable::Add(columns) => {
            for (column, key) in columns {
                if position(table, &column.name).is_ok() {
                    return Err(SqlError {
                        code: "001430",
                        state: "42601",
                        message: format!("SQL compilation error:\ncolumn '{}' already exists", column.name),
                    });
                }
                if !column.is_nullable && !table.rows.is_empty() {
                    let message = format!(
                        "Non-nullable column '{}' cannot be added to non-empty table unless it has a non-null default value.",
                        column.name
                    );
                    return Err(SqlError::invalid(&message));
                }
                let name = column.name.clone();
                table.columns.push(column);
                table.rows.iter_mut().for_each(|row| row.push(None));
                if let Some(kind) = key {
                    create::add_key(table, kind == Kind::Table, None, vec![name])?;
                }
            }
        }
        AlterTable::Drop(names) => {
            for name in names {
                let at = position(table, &name)?;
                if table.columns.len() == 1 {
                    return Err(SqlError::invalid("cannot drop the only column of a table"));
                }
                table.columns.remove(at);
                table.rows.iter_mut().for_each(|row| drop(row.remove(at)));
                // Keys of a dropped column are dropped too.
                table.primary_key = table.primary_key.take().filter(|(_, columns)| !columns.contains(&name));
                table.unique.retain(|(_, columns)| !columns.contains(&name));
            }
        }
        AlterTable::RenameColumn(from, to) => {
            let at = position(table, &from)?;
            if position(table, &to).is_ok() {
                return Err(SqlError::invalid(&format!("column '{to}' already exists")));
            }
            table.columns[at].name.clone_from(&to);
            let keys = table.primary_key.iter_mut().chain(&mut table.unique);
            keys.flat_map(|(_, columns)| columns).filter(|name| **name == from).for_each(|name| name.clone_from(&to));
            renamed(&from, &to);
        }
        AlterTable::Column(name, change) => {
            let at = position(table, &name)?;
            column(table, at, change)?;
        }
        AlterTable::AddKey { is_primary, name, columns } => create::add_key(table, is_primary, name, columns)?,
        AlterTable::DropPrimaryKey => {
            if table.primary_key.take().is_none() {
                return Err(SqlError::missing("Primary key", "PRIMARY KEY"));
            }
        }
        AlterTable::DropUnique(columns) => {
            let before = table.unique.len();
            table.unique.retain(|(_, other)| *other != columns);
            if table.unique.len() == before {
                return Err(SqlError::missing("Unique key", &columns.join(",")));
            }
        }
        AlterTable::DropConstraint(name) => {
            let before = table.unique.len() + usize::from(table.primary_key.is_some());
            table.primary_key = table.primary_key.take().filter(|(other, _)| *other != name);
            table.unique.retain(|(other, _)| *other != name);
            if table.unique.len() + usize::from(table.primary_key.is_some()) == before {
                return Err(SqlError::missing("Constraint", &name));
            }
        }
    }
    Ok(())
}

fn column(table: &mut Table, at: usize, change: ColumnChange) -> Outcome<()> {
    let name = table.columns[at].name.clone();
    match change {
        ColumnChange::Type(ty) => {
            let old = &table.columns[at].ty;
            if !old.can_change_to(&ty) {
                let message = format!("cannot change column {name} from type {old} to {ty}");
                return Err(SqlError {
                    code: "002108",
                    state: "22000",
                    message: format!("SQL compilation error:\n{message}"),
                });
            }
            if let crate::data_type::DataType::Number(precision, scale) = ty {
                let digits = |value: &str| value.trim_start_matches('-').split('.').next().map_or(0, str::len) as u64;
                let values = table.rows.iter().filter_map(|row| row.get(at)?.as_deref());
                if values.into_iter().any(|value| digits(value) > precision - scale) {
                    return Err(SqlError {
                        code: "100039",
                        state: "22003",
                        message: format!("Numeric value in column {name} is out of range for {ty}"),
                    });
                }
            }
            table.columns[at].ty = ty;
        }
        ColumnChange::NotNull(true) => {
            if table.rows.iter().any(|row| row[at].is_none()) {
                return Err(SqlError::not_null(&name));
            }
            table.columns[at].is_nullable = false;
        }
        ColumnChange::NotNull(false) => {
            if table.primary_key.as_ref().is_some_and(|(_, columns)| columns.contains(&name)) {
                return Err(SqlError::invalid(&format!("column '{name}' is part of the primary key")));
            }
            table.columns[at].is_nullable = true;
        }
        ColumnChange::Comment(text) => table.columns[at].comment = Some(text).filter(|text| !text.is_empty()),
    }
    Ok(())
}
