//! Creates and changes tables. Snowflake's DDL statements take effect one by one: after an interruption, the next plan
//! continues from the present state.

use super::{Column, Table, former, read, renames_of};
use crate::data_type::is_same;
use crate::failure::Purpose;
use crate::identifier::{literal, quote, quote_all};
use crate::object::{comment_change, qualified, schema_of, shown};
use crate::statements::Statements;
use terrace_provider::attributes::optional_text;
use terrace_provider::{Attributes, ErrorKind, Path, ProviderError, renames};

/// Creates the planned table with one statement.
pub(crate) async fn create(statements: &Statements<'_>, planned: &Attributes, id: &str) -> Result<(), ProviderError> {
    let table = Table::from_attributes(planned)?;
    let mut parts: Vec<String> = table.columns.iter().map(definition).collect();
    if !table.primary_key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", names(&table.primary_key)));
    }
    parts.extend(table.unique.iter().map(|key| format!("UNIQUE ({})", names(key))));
    let comment = table.comment.as_deref().map(|comment| format!(" COMMENT = {}", literal(comment)));
    let sql = format!("CREATE TABLE {} ({}){}", qualified(planned), parts.join(", "), comment.unwrap_or_default());
    let database = quote(&optional_text(planned, "database").unwrap_or_default());
    let purpose = Purpose::to(format!("create the table {}", shown(planned)))
        .right(format!("USAGE ON DATABASE {database}"))
        .right(format!("USAGE ON SCHEMA {}", schema_of(planned)))
        .right(format!("CREATE TABLE ON SCHEMA {}", schema_of(planned)))
        .creates(id);
    statements.change(&sql, &purpose).await
}

fn names(key: &[String]) -> String {
    quote_all(key.iter().map(String::as_str))
}

fn definition(column: &Column) -> String {
    let null = if column.is_nullable { "" } else { " NOT NULL" };
    let comment = column.comment.as_deref().map(|comment| format!(" COMMENT {}", literal(comment)));
    format!("{} {}{null}{}", quote(&column.name), column.sql_type(), comment.unwrap_or_default())
}

/// A change of a table, with its attribute.
struct Step {
    sql: String,
    path: Path,
}

/// Changes the existing table to the planned one; `prior` is the recorded one.
pub(crate) async fn update(
    statements: &Statements<'_>,
    prior: &Attributes,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let wanted = Table::from_attributes(planned)?;
    let observation = read::observe(statements, prior, None).await?.ok_or_else(|| {
        ProviderError::new(ErrorKind::NotFound, format!("the table {} no longer exists", shown(prior)))
            .solution("plan again: the plan will create it")
    })?;
    let present = Table::as_read(&observation.attributes);
    let (name, new_name) = (qualified(prior), qualified(planned));
    let mut steps = steps(&present, &Table::as_read(prior), &wanted, &name);
    if name != new_name {
        // The rename comes last: an interrupted change resumes under the old name.
        let sql = format!("ALTER TABLE {name} RENAME TO {new_name}");
        steps.push(Step { sql, path: Path::attribute("name") });
    }
    for step in steps {
        let purpose = Purpose::to(format!("change the table {}", shown(prior)))
            .right(format!("OWNERSHIP ON TABLE {name}"))
            .at(step.path);
        statements.change(&step.sql, &purpose).await?;
    }
    Ok(())
}

/// The statements of a change, in order. Renames come first, so that all others use the new names. Keys are dropped
/// before their columns and added after them. Columns are added before others are dropped, because a table needs at
/// least one.
fn steps(present: &Table, prior: &Table, wanted: &Table, name: &str) -> Vec<Step> {
    let (mut present, mut steps) = (present.clone(), Vec::new());
    let mut step = |sql: String, path: Path| steps.push(Step { sql: format!("ALTER TABLE {name} {sql}"), path });
    let columns = Path::attribute("columns");
    for column in &mut present.columns {
        column.previous_name = prior.column(&column.name).and_then(|recorded| recorded.previous_name.clone());
    }
    let renames = renames_of(&wanted.columns, &present.columns);
    let taken: Vec<&str> = present.columns.iter().map(|column| column.name.as_str()).collect();
    for renames::Step { from, to, index } in renames::steps(&renames, &taken, str::eq) {
        let name = renames.get(index).map(|(_, to)| to);
        let index = wanted.columns.iter().position(|column| Some(&column.name) == name).unwrap_or_default();
        step(format!("RENAME COLUMN {} TO {}", quote(&from), quote(&to)), columns.index(index));
    }
    rename(&mut present, &renames);
    let commented: Vec<&str> = former(&wanted.columns, &prior.columns)
        .into_iter()
        .zip(&wanted.columns)
        .filter(|(was, _)| was.is_some_and(|was| was.comment.is_some()))
        .map(|(_, column)| column.name.as_str())
        .collect();
    let key = Path::attribute("primaryKey");
    let sorted = |key: &[String]| {
        let mut key = key.to_vec();
        key.sort();
        key
    };
    let is_other_key = sorted(&present.primary_key) != sorted(&wanted.primary_key);
    if is_other_key && !present.primary_key.is_empty() {
        step("DROP PRIMARY KEY".to_owned(), key.clone());
    }
    let unique = Path::attribute("unique");
    for gone in present.unique.iter().filter(|key| !wanted.unique.contains(key)) {
        step(format!("DROP UNIQUE ({})", names(gone)), unique.clone());
    }
    for (index, column) in
        wanted.columns.iter().enumerate().filter(|(_, column)| present.column(&column.name).is_none())
    {
        step(format!("ADD COLUMN {}", definition(column)), columns.index(index));
    }
    for gone in present.columns.iter().filter(|column| wanted.column(&column.name).is_none()) {
        step(format!("DROP COLUMN {}", quote(&gone.name)), columns.clone());
    }
    for (index, column) in wanted.columns.iter().enumerate() {
        let Some(old) = present.column(&column.name) else { continue };
        let (quoted, place) = (quote(&column.name), columns.index(index));
        if !is_same(&old.ty, &column.ty) {
            step(format!("ALTER COLUMN {quoted} SET DATA TYPE {}", column.sql_type()), place.key("type"));
        }
        // Columns of a key are never null by themselves.
        let is_of_key = wanted.primary_key.contains(&column.name);
        if old.is_nullable && !column.is_nullable && !is_of_key {
            step(format!("ALTER COLUMN {quoted} SET NOT NULL"), place.key("nullable"));
        }
        if !old.is_nullable && column.is_nullable && !is_of_key {
            step(format!("ALTER COLUMN {quoted} DROP NOT NULL"), place.key("nullable"));
        }
        let was_managed = commented.contains(&column.name.as_str());
        if let Some(comment) = comment_change(old.comment.as_deref(), was_managed, column.comment.as_deref()) {
            step(format!("ALTER COLUMN {quoted} COMMENT {}", literal(comment)), place.key("comment"));
        }
    }
    if is_other_key && !wanted.primary_key.is_empty() {
        step(format!("ADD PRIMARY KEY ({})", names(&wanted.primary_key)), key);
    }
    for (index, added) in wanted.unique.iter().enumerate().filter(|(_, key)| !present.unique.contains(key)) {
        step(format!("ADD UNIQUE ({})", names(added)), unique.index(index));
    }
    let comment = comment_change(present.comment.as_deref(), prior.comment.is_some(), wanted.comment.as_deref());
    if let Some(comment) = comment {
        let sql = format!("COMMENT ON TABLE {name} IS {}", literal(comment));
        steps.push(Step { sql, path: Path::attribute("comment") });
    }
    steps
}

/// Renames columns, also in keys.
fn rename(table: &mut Table, renames: &[(String, String)]) {
    let columns = table.columns.iter_mut().map(|column| &mut column.name);
    let keys = table.primary_key.iter_mut().chain(table.unique.iter_mut().flatten());
    for name in columns.chain(keys) {
        if let Some((_, to)) = renames.iter().find(|(from, _)| from == name) {
            name.clone_from(to);
        }
    }
}

/// Drops a table.
pub(crate) async fn delete(statements: &Statements<'_>, identity: &Attributes) -> Result<(), ProviderError> {
    let name = qualified(identity);
    let purpose =
        Purpose::to(format!("drop the table {}", shown(identity))).right(format!("OWNERSHIP ON TABLE {name}"));
    statements.change(&format!("DROP TABLE IF EXISTS {name}"), &purpose).await
}
