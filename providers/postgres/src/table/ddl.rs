//! Statements that create a table, with the attribute of each part.

use super::check::ACTIONS;
use super::model::{Check, Column, ForeignKey, Key, Partition, Table};
use crate::identifier::{literal, literal_or_null, qualified, quote, quote_all};
use crate::script::Script;
use terrace_provider::Path;

/// Creates a table with all its parts.
pub(super) fn create(table: &Table, mark: &str) -> Script {
    let own = qualified(&table.schema, &table.name);
    let mut script = Script::of(format!("CREATE TABLE {own} (\n"));
    for (index, column) in table.columns.iter().enumerate() {
        if index > 0 {
            script.push(",\n");
        }
        column_definition(&mut script, column, &Path::attribute("columns").index(index));
    }
    if let Some(key) = &table.primary_key {
        script.push(",\n");
        script.push_at(&Path::attribute("primaryKey"), &primary_key(key));
    }
    for (index, key) in table.unique.iter().enumerate() {
        script.push(",\n");
        script.push_at(&Path::attribute("unique").index(index), &unique(key));
    }
    for (index, key) in table.foreign_keys.iter().enumerate() {
        script.push(",\n");
        script.push_at(&Path::attribute("foreignKeys").index(index), &foreign_key(key, &table.schema));
    }
    for (index, condition) in table.checks.iter().enumerate() {
        script.push(",\n");
        script.push_at(&Path::attribute("checks").index(index).key("expression"), &check(condition));
    }
    script.push("\n)");
    if let Some(partitioning) = &table.partition_by {
        let text =
            format!(" PARTITION BY {} ({})", partitioning.strategy.to_uppercase(), quote_all(&partitioning.columns));
        script.push_at(&Path::attribute("partitionBy"), &text);
    }
    script.push(";\n");
    for (index, wanted) in table.partitions.iter().flatten().enumerate() {
        script.push_at(&Path::attribute("partitions").index(index).key("bounds"), &partition(table, wanted));
        script.push(";\n");
    }
    if let Some(comment) = &table.comment {
        script.push(&format!("COMMENT ON TABLE {own} IS {};\n", literal(comment)));
    }
    for column in table.columns.iter().filter(|column| column.comment.is_some()) {
        script.push(&comment_on_column(table, column));
        script.push(";\n");
    }
    script.push(&format!("COMMENT ON TYPE {own} IS {};\n", literal(mark)));
    script
}

/// A column in `CREATE TABLE` and `ADD COLUMN`.
pub(super) fn column_definition(script: &mut Script, column: &Column, path: &Path) {
    script.push_at(&path.key("name"), &quote(&column.name));
    script.push(" ");
    script.push_at(&path.key("type"), &column.ty);
    if !column.is_nullable {
        script.push(" NOT NULL");
    }
    if let Some(default) = &column.default {
        script.push_at(&path.key("default"), &format!(" DEFAULT ({default})"));
    }
    if let Some(identity) = &column.identity {
        script.push_at(&path.key("identity"), &format!(" GENERATED {} AS IDENTITY", identity_word(identity)));
    }
    if let Some(generated) = &column.generated {
        script.push_at(&path.key("generated"), &format!(" GENERATED ALWAYS AS ({generated}) STORED"));
    }
}

/// `ALWAYS` or `BY DEFAULT`.
pub(super) fn identity_word(identity: &str) -> &'static str {
    if identity == "always" { "ALWAYS" } else { "BY DEFAULT" }
}

fn constraint(name: Option<&str>) -> String {
    name.map(|name| format!("CONSTRAINT {} ", quote(name))).unwrap_or_default()
}

/// A primary key as a table constraint.
pub(super) fn primary_key(key: &Key) -> String {
    format!("{}PRIMARY KEY ({})", constraint(key.name.as_deref()), quote_all(&key.columns))
}

/// A unique constraint.
pub(super) fn unique(key: &Key) -> String {
    format!("{}UNIQUE ({})", constraint(key.name.as_deref()), quote_all(&key.columns))
}

/// A foreign key.
pub(super) fn foreign_key(key: &ForeignKey, own_schema: &str) -> String {
    let action = |word: &str| ACTIONS.iter().find(|(known, _)| *known == word).map_or("NO ACTION", |(_, sql)| sql);
    format!(
        "{}FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {} ON UPDATE {}",
        constraint(key.name.as_deref()),
        quote_all(&key.columns),
        qualified(key.schema.as_deref().unwrap_or(own_schema), &key.table),
        quote_all(&key.references),
        action(&key.on_delete),
        action(&key.on_update),
    )
}

/// A check constraint.
pub(super) fn check(check: &Check) -> String {
    format!("{}CHECK ({})", constraint(check.name.as_deref()), check.expression)
}

/// Creates a partition.
pub(super) fn partition(table: &Table, partition: &Partition) -> String {
    format!(
        "CREATE TABLE {} PARTITION OF {} {}",
        qualified(&table.schema, &partition.name),
        qualified(&table.schema, &table.name),
        bounds(partition)
    )
}

/// `DEFAULT`, or the values of a partition.
pub(super) fn bounds(partition: &Partition) -> String {
    match partition.bounds.trim().eq_ignore_ascii_case("default") {
        true => "DEFAULT".to_owned(),
        false => format!("FOR VALUES {}", partition.bounds),
    }
}

/// Sets the comment of a column.
pub(super) fn comment_on_column(table: &Table, column: &Column) -> String {
    let own = qualified(&table.schema, &table.name);
    format!("COMMENT ON COLUMN {own}.{} IS {}", quote(&column.name), literal_or_null(column.comment.as_deref()))
}
