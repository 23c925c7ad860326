//! The model of a table, from configured or observed attributes.

use crate::attributes::{list, maps, optional_text, put, text, texts};
use crate::data_type::DataType;
use crate::spelling;
use terrace_provider::renames::{self, Named};
use terrace_provider::{Attributes, Map, Value};

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) primary_key: Option<Key>,
    pub(crate) unique: Vec<Key>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    pub(crate) checks: Vec<Check>,
    pub(crate) partition_by: Option<Partitioning>,
    /// `None` if partitions are not managed.
    pub(crate) partitions: Option<Vec<Partition>>,
    pub(crate) comment: Option<String>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: String,
    pub(crate) is_nullable: bool,
    pub(crate) default: Option<String>,
    /// `always` or `byDefault`.
    pub(crate) identity: Option<String>,
    pub(crate) generated: Option<String>,
    pub(crate) comment: Option<String>,
    /// The previous name; only in the configuration.
    pub(crate) previous_name: Option<String>,
}

/// A primary key or a unique constraint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Key {
    pub(crate) name: Option<String>,
    pub(crate) columns: Vec<String>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ForeignKey {
    pub(crate) name: Option<String>,
    pub(crate) columns: Vec<String>,
    /// The schema of the other table; `None` for the table's own schema.
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
    pub(crate) references: Vec<String>,
    pub(crate) on_delete: String,
    pub(crate) on_update: String,
}

/// A check constraint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Check {
    pub(crate) name: Option<String>,
    pub(crate) expression: String,
}

/// The partitioning of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Partitioning {
    pub(crate) strategy: String,
    pub(crate) columns: Vec<String>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Partition {
    pub(crate) name: String,
    pub(crate) bounds: String,
}

impl Table {
    /// Reads attributes; they need not be checked.
    pub(crate) fn of(attributes: &Attributes) -> Self {
        let item = |name: &str| attributes.get(name).and_then(Value::as_map);
        Self {
            schema: text(attributes, "schema"),
            name: text(attributes, "name"),
            columns: columns_of(attributes),
            primary_key: item("primaryKey").map(Key::of),
            unique: maps(attributes, "unique").into_iter().map(Key::of).collect(),
            foreign_keys: maps(attributes, "foreignKeys").into_iter().map(ForeignKey::of).collect(),
            checks: maps(attributes, "checks").into_iter().map(Check::of).collect(),
            partition_by: item("partitionBy").map(Partitioning::of),
            partitions: attributes
                .get("partitions")
                .filter(|value| !value.is_null())
                .map(|_| maps(attributes, "partitions").into_iter().map(Partition::of).collect()),
            comment: optional_text(attributes, "comment"),
        }
    }

    /// The column of that name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The attributes in schema order, without those that derive from the table's name. Missing parts are null.
    pub(crate) fn to_attributes(&self) -> Attributes {
        fn items<T>(items: &[T], of: impl Fn(&T) -> Value) -> Value {
            items.iter().map(of).collect::<Vec<_>>().into()
        }
        let key = self.primary_key.as_ref().map(Key::to_value);
        let partitioning = self.partition_by.as_ref().map(Partitioning::to_value);
        let partitions = self.partitions.as_ref().map(|partitions| items(partitions, Partition::to_value));
        let attributes = [
            ("columns", items(&self.columns, Column::to_value)),
            ("primaryKey", key.unwrap_or_default()),
            ("unique", items(&self.unique, Key::to_value)),
            ("foreignKeys", items(&self.foreign_keys, ForeignKey::to_value)),
            ("checks", items(&self.checks, Check::to_value)),
            ("partitionBy", partitioning.unwrap_or_default()),
            ("partitions", partitions.unwrap_or_default()),
            ("comment", self.comment.as_deref().map_or(Value::Null, Value::from)),
        ];
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The former column of each new column.
pub(crate) fn former<'a>(new: &[Column], old: &'a [Column]) -> Vec<Option<&'a Column>> {
    let names = |columns: &'a [Column]| columns.iter().map(Column::named).collect::<Vec<_>>();
    let new: Vec<Named<'_>> = new.iter().map(Column::named).collect();
    let found = renames::former(&names(old), &new, str::eq);
    found.into_iter().map(|at| old.get(at?)).collect()
}

/// The columns, even if other attributes are unknown.
pub(crate) fn columns_of(attributes: &Attributes) -> Vec<Column> {
    maps(attributes, "columns").into_iter().map(Column::of).collect()
}

impl Column {
    fn of(entries: &Map) -> Self {
        let ty = text(entries, "type");
        let own = DataType::parse(&ty);
        let is_default = |default: &String| !own.as_ref().is_some_and(|own| spelling::is_no_default(own, default));
        Self {
            name: text(entries, "name"),
            ty,
            is_nullable: entries.get("nullable").and_then(Value::as_bool).unwrap_or(true),
            default: optional_text(entries, "default").filter(is_default),
            identity: optional_text(entries, "identity"),
            generated: optional_text(entries, "generated"),
            comment: optional_text(entries, "comment"),
            previous_name: optional_text(entries, "previousName"),
        }
    }

    /// Name and previous name.
    pub(crate) fn named(&self) -> Named<'_> {
        (&self.name, self.previous_name.as_deref())
    }

    fn to_value(&self) -> Value {
        let mut entries = Map::default();
        entries.insert("name".to_owned(), self.name.as_str().into());
        entries.insert("type".to_owned(), self.ty.as_str().into());
        entries.insert("nullable".to_owned(), self.is_nullable.into());
        for (key, text) in [
            ("default", &self.default),
            ("identity", &self.identity),
            ("generated", &self.generated),
            ("comment", &self.comment),
            ("previousName", &self.previous_name),
        ] {
            put(&mut entries, key, text.as_deref());
        }
        entries.into()
    }
}

impl Key {
    fn of(entries: &Map) -> Self {
        Self { name: optional_text(entries, "name"), columns: texts(entries, "columns") }
    }

    fn to_value(&self) -> Value {
        let mut entries = Map::default();
        put(&mut entries, "name", self.name.as_deref());
        entries.insert("columns".to_owned(), list(&self.columns));
        entries.into()
    }
}

impl ForeignKey {
    fn of(entries: &Map) -> Self {
        let empty = Map::default();
        let references = entries.get("references").and_then(Value::as_map).unwrap_or(&empty);
        let action = |name| optional_text(entries, name).unwrap_or_else(|| "noAction".to_owned());
        Self {
            name: optional_text(entries, "name"),
            columns: texts(entries, "columns"),
            schema: optional_text(references, "schema"),
            table: text(references, "table"),
            references: texts(references, "columns"),
            on_delete: action("onDelete"),
            on_update: action("onUpdate"),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let mut references = Map::default();
        put(&mut references, "schema", self.schema.as_deref());
        references.insert("table".to_owned(), self.table.as_str().into());
        references.insert("columns".to_owned(), list(&self.references));
        let mut entries = Map::default();
        put(&mut entries, "name", self.name.as_deref());
        entries.insert("columns".to_owned(), list(&self.columns));
        entries.insert("references".to_owned(), references.into());
        entries.insert("onDelete".to_owned(), self.on_delete.as_str().into());
        entries.insert("onUpdate".to_owned(), self.on_update.as_str().into());
        entries.into()
    }
}

impl Check {
    fn of(entries: &Map) -> Self {
        Self { name: optional_text(entries, "name"), expression: text(entries, "expression") }
    }

    fn to_value(&self) -> Value {
        let mut entries = Map::default();
        put(&mut entries, "name", self.name.as_deref());
        entries.insert("expression".to_owned(), self.expression.as_str().into());
        entries.into()
    }
}

impl Partitioning {
    fn of(entries: &Map) -> Self {
        Self { strategy: text(entries, "strategy"), columns: texts(entries, "columns") }
    }

    pub(super) fn to_value(&self) -> Value {
        let mut entries = Map::default();
        entries.insert("strategy".to_owned(), self.strategy.as_str().into());
        entries.insert("columns".to_owned(), list(&self.columns));
        entries.into()
    }
}

impl Partition {
    fn of(entries: &Map) -> Self {
        Self { name: text(entries, "name"), bounds: text(entries, "bounds") }
    }

    fn to_value(&self) -> Value {
        let mut entries = Map::default();
        entries.insert("name".to_owned(), self.name.as_str().into());
        entries.insert("bounds".to_owned(), self.bounds.as_str().into());
        entries.into()
    }
}
