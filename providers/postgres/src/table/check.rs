//! Checks of a configured table without the server.

use super::model::{Column, ForeignKey, Partition, Table};
use crate::data_type::DataType;
use crate::expression;
use crate::identifier::{check, check_comment};
use terrace_provider::names::listed;
use terrace_provider::sql_keys::check_key;
use terrace_provider::{Path, ProviderError, renames};

/// The server's limit: <https://www.postgresql.org/docs/current/limits.html>.
const MOST_COLUMNS: usize = 1600;

/// Actions for rows that refer to a deleted row.
pub(super) const ACTIONS: [(&str, &str); 5] = [
    ("noAction", "NO ACTION"),
    ("restrict", "RESTRICT"),
    ("cascade", "CASCADE"),
    ("setNull", "SET NULL"),
    ("setDefault", "SET DEFAULT"),
];

type Checked = Result<(), ProviderError>;

fn refuse(path: &Path, message: impl Into<String>) -> Checked {
    Err(ProviderError::invalid(Some(path.clone()), message))
}

/// Refuses a table that the server would change or reject.
///
/// # Errors
/// `InvalidInput` at the attribute.
pub(super) fn table(table: &Table) -> Checked {
    columns(&table.columns)?;
    check_comment(table.comment.as_deref(), &Path::attribute("comment"))?;
    if let Some(key) = &table.primary_key {
        let path = Path::attribute("primaryKey");
        named(key.name.as_deref(), &path)?;
        columns_of(table, &key.columns, &path.key("columns"))?;
    }
    for (index, key) in table.unique.iter().enumerate() {
        let path = Path::attribute("unique").index(index);
        named(key.name.as_deref(), &path)?;
        columns_of(table, &key.columns, &path.key("columns"))?;
    }
    for (index, key) in table.foreign_keys.iter().enumerate() {
        foreign_key(table, key, &Path::attribute("foreignKeys").index(index))?;
    }
    for (index, condition) in table.checks.iter().enumerate() {
        let path = Path::attribute("checks").index(index);
        named(condition.name.as_deref(), &path)?;
        expression::check(&condition.expression, "condition", &path.key("expression"))?;
    }
    if let Some(partitioning) = &table.partition_by {
        let path = Path::attribute("partitionBy");
        if !["range", "list", "hash"].contains(&partitioning.strategy.as_str()) {
            let message = format!("`{}` is not a strategy: expected `range`, `list` or `hash`", partitioning.strategy);
            return refuse(&path.key("strategy"), message);
        }
        columns_of(table, &partitioning.columns, &path.key("columns"))?;
    }
    for (index, partition) in table.partitions.iter().flatten().enumerate() {
        partition_of(table, partition, &Path::attribute("partitions").index(index))?;
    }
    Ok(())
}

/// Checks the columns.
///
/// # Errors
/// `InvalidInput` at the column.
pub(super) fn columns(columns: &[Column]) -> Checked {
    let path = Path::attribute("columns");
    if columns.is_empty() {
        return refuse(&path, "a table needs at least one column");
    }
    if columns.len() > MOST_COLUMNS {
        return refuse(&path, format!("a table holds at most {MOST_COLUMNS} columns, these are {}", columns.len()));
    }
    for (index, column) in columns.iter().enumerate() {
        let place = path.index(index);
        self::column(column, &place)?;
        if columns.iter().take(index).any(|other| other.name == column.name) {
            return refuse(&place.key("name"), format!("the table already has a column `{}`", column.name));
        }
        if let Some(previous) = column.previous_name.as_deref() {
            check(previous, &place.key("previousName"))?;
        }
    }
    let names: Vec<_> = columns.iter().map(|it| (it.name.as_str(), it.previous_name.as_deref())).collect();
    if let Some((index, message)) = renames::invalid_previous_name(&names, str::eq) {
        return refuse(&path.index(index).key("previousName"), message);
    }
    Ok(())
}

fn column(column: &Column, place: &Path) -> Checked {
    check(&column.name, &place.key("name"))?;
    check_comment(column.comment.as_deref(), &place.key("comment"))?;
    let Some(ty) = DataType::parse(&column.ty) else {
        let message = format!("`{}` is not a column type", column.ty.escape_default());
        return Err(ProviderError::invalid(Some(place.key("type")), message).solution(
            "write a type such as `text`, `varchar(20)` or `numeric(10,2)`; `nullable`, `default` and keys are separate \
             attributes",
        ));
    };
    if let Some(default) = &column.default {
        expression::check(default, "default", &place.key("default"))?;
    }
    if let Some(generated) = &column.generated {
        expression::check(generated, "expression", &place.key("generated"))?;
    }
    if let Some(identity) = &column.identity
        && !["always", "byDefault"].contains(&identity.as_str())
    {
        return refuse(&place.key("identity"), format!("`{identity}` is neither `always` nor `byDefault`"));
    }
    let sources = [
        ("default", column.default.is_some()),
        ("identity", column.identity.is_some()),
        ("generated", column.generated.is_some()),
        ("type", ty.is_serial),
    ];
    let given: Vec<&str> = sources.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
    match given.as_slice() {
        [first, second, ..] => refuse(
            &place.key(first),
            format!("the column gets its values from `{first}` and from `{second}`: choose one"),
        ),
        _ => Ok(()),
    }
}

fn named(name: Option<&str>, path: &Path) -> Checked {
    name.map_or(Ok(()), |name| check(name, &path.key("name")))
}

fn columns_of(table: &Table, names: &[String], path: &Path) -> Checked {
    if names.is_empty() {
        return refuse(path, "at least one column is needed");
    }
    let known: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    check_key(&known, names, path, str::eq)
}

fn foreign_key(table: &Table, key: &ForeignKey, path: &Path) -> Checked {
    named(key.name.as_deref(), path)?;
    columns_of(table, &key.columns, &path.key("columns"))?;
    let references = path.key("references");
    check(&key.table, &references.key("table"))?;
    if let Some(schema) = &key.schema {
        check(schema, &references.key("schema"))?;
    }
    for (index, name) in key.references.iter().enumerate() {
        check(name, &references.key("columns").index(index))?;
    }
    if key.references.len() != key.columns.len() {
        let message = format!("{} columns refer to {}", key.columns.len(), key.references.len());
        return refuse(&references.key("columns"), message);
    }
    for (name, action) in [("onDelete", &key.on_delete), ("onUpdate", &key.on_update)] {
        if !ACTIONS.iter().any(|(known, _)| known == action) {
            let known: Vec<&str> = ACTIONS.iter().map(|(known, _)| *known).collect();
            return refuse(&path.key(name), format!("`{action}` is not one of {}", listed(&known)));
        }
    }
    Ok(())
}

fn partition_of(table: &Table, partition: &Partition, path: &Path) -> Checked {
    check(&partition.name, &path.key("name"))?;
    if table.partition_by.is_none() {
        return refuse(path, "a table without `partitionBy` has no partitions");
    }
    let bounds = path.key("bounds");
    let first = crate::lexer::tokens(&partition.bounds).first().copied();
    if !first.is_some_and(|first| ["DEFAULT", "FROM", "IN", "WITH"].iter().any(|word| first.is_word(word))) {
        return Err(ProviderError::invalid(
            Some(bounds),
            format!("`{}` are not bounds", partition.bounds.escape_default()),
        )
        .solution("write `DEFAULT`, `FROM (…) TO (…)`, `IN (…)` or `WITH (MODULUS 4, REMAINDER 0)`"));
    }
    expression::check(&partition.bounds, "bounds", &bounds)
}
