//! Creates and changes tables. A change is one transaction: first the renames, then the columns that SQLite can add in
//! place, then a rebuild for the rest. SQLite's documentation describes the rebuild under "Making Other Kinds Of Table
//! Schema Changes": create a new table, copy the rows, drop the old table, rename the new one, recreate indexes and
//! triggers.

use super::read::{has_same_keys, is_same_key, is_same_sql, read};
use super::{Column, Comments, Table, ddl, renames_of};
use crate::declared_type;
use crate::error::Failure;
use crate::identifier::{is_same, quote, quote_all};
use crate::mark::Mark;
use crate::object::{definition, exists, is_readable};
use rusqlite::{Connection, ErrorCode};
use terrace_provider::attributes::text;
use terrace_provider::names::listed;
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError, renames};

/// Creates the planned table.
pub(crate) fn create(connection: &Connection, planned: &Attributes, mark: &Mark) -> Result<(), Failure> {
    let table = Table::from_attributes(planned)?;
    connection.execute_batch(&ddl::create(&table, Some(mark)))?;
    Ok(())
}

/// Changes the table to the planned one; `report` receives notes for the user.
pub(crate) fn update(
    connection: &Connection,
    prior: &Attributes,
    planned: &Attributes,
    report: &dyn Fn(&str),
) -> Result<(), Failure> {
    let wanted = Table::from_attributes(planned)?;
    let views = readable_views(connection)?;
    rename(connection, &text(prior, "name"), &wanted.name)?;
    rename_columns(connection, &columns_of(prior), &wanted)?;
    let (present, comments) = present(connection, &wanted.name)?;
    if let Some(added) = columns_to_append(&present, &wanted) {
        for column in added {
            let definition = ddl::column_definition(column);
            connection.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {definition}", quote(&wanted.name)))?;
        }
    } else if !is_same_table(&present, &wanted) {
        rebuild(connection, &present, &wanted, &comments, report)?;
    }
    for view in views {
        if !is_readable(connection, &view) {
            report(&format!("the view `{view}` reads columns that the table `{}` no longer has", wanted.name));
        }
    }
    Ok(())
}

fn present(connection: &Connection, name: &str) -> Result<(Table, Comments), Failure> {
    Ok(read(connection, name)?.ok_or_else(|| {
        ProviderError::new(ErrorKind::NotFound, format!("the table `{name}` does not exist any more"))
            .solution("plan again: it will be created")
    })?)
}

/// The outcome of a lost update, from the columns of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LostUpdate {
    /// The table is unchanged.
    Unchanged,
    /// The columns show the outcome.
    Visible,
    /// The update exchanged names, and the order of the names is the same before and after.
    Unknown,
}

/// Returns the outcome of a lost update. A transaction takes effect completely or not at all.
pub(crate) fn lost_update(prior: &Attributes, planned: &Attributes, observed: &Attributes) -> LostUpdate {
    let (was, wanted) = (columns_of(prior), columns_of(planned));
    if !renames::has_circle(&renames_of(&wanted, &was)) {
        return LostUpdate::Visible;
    }
    let names = |columns: &[Column]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let now = names(&columns_of(observed));
    match (now == names(&was), now == names(&wanted)) {
        (true, false) => LostUpdate::Unchanged,
        (false, true) => LostUpdate::Visible,
        _ => LostUpdate::Unknown,
    }
}

fn columns_of(attributes: &Attributes) -> Vec<Column> {
    Table::columns_of(attributes).unwrap_or_default()
}

/// Renames the table unless it already has the new name.
fn rename(connection: &Connection, from: &str, to: &str) -> Result<(), Failure> {
    if from != to && !from.is_empty() && definition(connection, "table", from)?.is_some() {
        connection.execute_batch(&format!("ALTER TABLE {} RENAME TO {}", quote(from), quote(to)))?;
    }
    Ok(())
}

fn rename_columns(connection: &Connection, prior: &[Column], wanted: &Table) -> Result<(), Failure> {
    let (mut present, _) = present(connection, &wanted.name)?;
    for column in &mut present.columns {
        let recorded = prior.iter().find(|recorded| is_same(&recorded.name, &column.name));
        column.previous_name = recorded.and_then(|recorded| recorded.previous_name.clone());
    }
    let taken: Vec<&str> = present.columns.iter().map(|column| column.name.as_str()).collect();
    for step in renames::steps(&renames_of(&wanted.columns, &present.columns), &taken, is_same) {
        let (table, from, to) = (quote(&wanted.name), quote(&step.from), quote(&step.to));
        connection.execute_batch(&format!("ALTER TABLE {table} RENAME COLUMN {from} TO {to}"))?;
    }
    Ok(())
}

/// The missing columns at the end, if nothing else differs and SQLite can add them in place.
fn columns_to_append<'a>(present: &Table, wanted: &'a Table) -> Option<&'a [Column]> {
    let (kept, added) = wanted.columns.split_at_checked(present.columns.len())?;
    let kept = Table { columns: kept.to_vec(), ..wanted.clone() };
    let can_be_added =
        |column: &Column| column.is_nullable && (column.default.is_none() || column.has_literal_default());
    (!added.is_empty() && is_same_table(present, &kept) && added.iter().all(can_be_added)).then_some(added)
}

fn is_same_table(present: &Table, wanted: &Table) -> bool {
    let is_same_column = |one: &Column, other: &Column| {
        one.name == other.name
            && declared_type::is_same(&one.ty, &other.ty)
            && one.is_nullable == other.is_nullable
            && is_same_sql(one.default.as_deref(), other.default.as_deref())
            && one.comment == other.comment
    };
    present.columns.len() == wanted.columns.len()
        && present.columns.iter().zip(&wanted.columns).all(|(one, other)| is_same_column(one, other))
        && is_same_key(&present.primary_key, &wanted.primary_key)
        && has_same_keys(&present.unique, &wanted.unique)
        && present.comment == wanted.comment
}

fn rebuild(
    connection: &Connection,
    present: &Table,
    wanted: &Table,
    comments: &Comments,
    report: &dyn Fn(&str),
) -> Result<(), Failure> {
    if !comments.unmanaged.is_empty() {
        let message = format!("the table `{}` cannot be changed without losing unmanaged parts", present.name);
        return Err(ProviderError::invalid(None, message)
            .problem(format!("its definition has {}", comments.unmanaged.join(", ")))
            .solution("make the change by hand, then plan again")
            .into());
    }
    let violations = foreign_key_violations(connection);
    let dependents = dependents(connection, &present.name)?;
    let interim = Table { name: free_name(connection, &wanted.name)?, ..wanted.clone() };
    connection.execute_batch(&ddl::create(&interim, comments.mark.as_ref()))?;
    copy_rows(connection, present, &interim)?;
    connection.execute_batch(&format!("DROP TABLE {}", quote(&present.name)))?;
    // Otherwise the rename fails because of views that refer to the dropped table.
    connection.pragma_update(None, "legacy_alter_table", true)?;
    let renamed =
        connection.execute_batch(&format!("ALTER TABLE {} RENAME TO {}", quote(&interim.name), quote(&wanted.name)));
    connection.pragma_update(None, "legacy_alter_table", false)?;
    renamed?;
    for dependent in dependents {
        if let Err(error) = connection.execute_batch(&dependent.sql) {
            if !dependent.uses_lost_columns(connection, wanted)? {
                return Err(error.into());
            }
            report(&format!("{} was removed with its columns", dependent.name));
        }
    }
    if foreign_key_violations(connection) > violations {
        let message = format!("rows of other tables refer to data that the change of `{}` would remove", wanted.name);
        return Err(ProviderError::invalid(None, message).solution("change or delete these rows first").into());
    }
    Ok(())
}

fn copy_rows(connection: &Connection, present: &Table, interim: &Table) -> Result<(), Failure> {
    let kept: Vec<(&str, &str)> = interim
        .columns
        .iter()
        .filter_map(|column| Some((column.name.as_str(), present.column(&column.name)?.name.as_str())))
        .collect();
    if kept.is_empty() {
        return Ok(());
    }
    let statement = format!(
        "INSERT INTO {} ({}) SELECT {} FROM {}",
        quote(&interim.name),
        quote_all(kept.iter().map(|(to, _)| *to)),
        quote_all(kept.iter().map(|(_, from)| *from)),
        quote(&present.name)
    );
    match connection.execute(&statement, []) {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(violated(connection, &error, present, interim)?.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Finds the rows that violate a new constraint and suggests a solution.
fn violated(
    connection: &Connection,
    error: &rusqlite::Error,
    present: &Table,
    interim: &Table,
) -> rusqlite::Result<ProviderError> {
    for (index, column) in interim.columns.iter().enumerate().filter(|(_, column)| !column.is_nullable) {
        let place = Path::attribute("columns").index(index);
        let Some(old) = present.column(&column.name) else {
            if column.default.is_none() {
                let message = format!("existing rows have no value for the new column `{}`", column.name);
                return Ok(ProviderError::invalid(Some(place), message)
                    .solution("set a `default` for the column, or make it nullable"));
            }
            continue;
        };
        let count = format!("SELECT count(*) FROM {} WHERE {} IS NULL", quote(&present.name), quote(&old.name));
        let rows: i64 = connection.query_row(&count, [], |row| row.get(0))?;
        if rows > 0 {
            let message = match rows {
                1 => format!("`{}` cannot become not null: 1 row has no value in it", column.name),
                rows => format!("`{}` cannot become not null: {rows} rows have no value in it", column.name),
            };
            return Ok(ProviderError::invalid(Some(place.key("nullable")), message).solution("fill these rows first"));
        }
    }
    let message = format!("rows of `{}` violate a planned key", present.name);
    let keys: Vec<String> = std::iter::once(&interim.primary_key)
        .chain(&interim.unique)
        .filter(|key| !key.is_empty())
        .map(|key| quote_all(key.iter().map(String::as_str)))
        .collect();
    Ok(ProviderError::invalid(Some(Path::attribute("primaryKey")), message)
        .problem(error.to_string().replace(&interim.name, &present.name))
        .problem(format!("the planned keys are {}", listed(&keys)))
        .solution("remove the duplicate rows first"))
}

/// An index or trigger that is dropped with its table and must be recreated.
struct Dependent {
    is_index: bool,
    name: String,
    sql: String,
}

impl Dependent {
    /// True for an index on a column that the table no longer has: it cannot be recreated.
    fn uses_lost_columns(&self, connection: &Connection, table: &Table) -> rusqlite::Result<bool> {
        let names = crate::tokenizer::tokens(&self.sql);
        let open = names.iter().position(|token| token.is_symbol("(")).unwrap_or(names.len());
        let columns =
            names.get(open..).unwrap_or_default().iter().filter_map(terrace_provider::sql_tokens::Token::name);
        let has_lost = columns.into_iter().any(|name| table.column(&name).is_none());
        Ok(self.is_index && has_lost && !exists(connection, &self.name)?)
    }
}

fn dependents(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Dependent>> {
    let mut statement = connection.prepare(
        "SELECT type = 'index', name, sql FROM sqlite_schema
         WHERE tbl_name = ?1 COLLATE NOCASE AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid",
    )?;
    statement
        .query_map([table], |row| Ok(Dependent { is_index: row.get(0)?, name: row.get(1)?, sql: row.get(2)? }))?
        .collect()
}

fn readable_views(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'view'")?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(names.into_iter().filter(|name| is_readable(connection, name)).collect())
}

/// A free name for the new table while both tables exist.
fn free_name(connection: &Connection, table: &str) -> rusqlite::Result<String> {
    let mut name = format!("new {table}");
    while exists(connection, &name)? || is_same(&name, table) {
        name.insert_str(0, "new ");
    }
    Ok(name)
}

/// The number of rows with dangling references. If the check fails, the number is the maximum.
fn foreign_key_violations(connection: &Connection) -> i64 {
    let count = "SELECT count(*) FROM pragma_foreign_key_check";
    connection.query_row(count, [], |row| row.get(0)).unwrap_or(i64::MAX)
}
