//! Tables: a common model of configuration and Snowflake's answers.

mod batch;
mod change;
mod plan;
mod read;

pub(crate) use batch::Schema;
pub(crate) use change::{create, delete, update};
pub(crate) use plan::{plan, renamed};
pub(crate) use read::{count_rows, created_on, observe};

use crate::data_type::DataType;
use crate::identifier;
use std::collections::BTreeSet;
use terrace_provider::attributes::{list, optional_text, texts, texts_of};
use terrace_provider::renames::{self, Named};
use terrace_provider::sql_keys::check_key;
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// A configured or existing table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) primary_key: Vec<String>,
    pub(crate) unique: Vec<Vec<String>>,
    pub(crate) comment: Option<String>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: String,
    pub(crate) is_nullable: bool,
    pub(crate) comment: Option<String>,
    /// The previous name; only in the configuration.
    pub(crate) previous_name: Option<String>,
}

impl Table {
    /// Reads configured or planned attributes.
    ///
    /// # Errors
    /// `InvalidInput` at a value that Snowflake cannot store.
    pub(crate) fn from_attributes(attributes: &Attributes) -> Result<Self, ProviderError> {
        Self::columns_of(attributes)?;
        let table = Self::as_read(attributes);
        table.check()?;
        Ok(table)
    }

    /// Reads the columns, even if other attributes are unknown.
    ///
    /// # Errors
    /// `InvalidInput` at the column that Snowflake cannot store.
    pub(crate) fn columns_of(attributes: &Attributes) -> Result<Vec<Column>, ProviderError> {
        let path = Path::attribute("columns");
        let columns = attributes.get("columns").and_then(Value::as_list).unwrap_or_default();
        columns.iter().enumerate().map(|(index, column)| Column::from_value(column, &path.index(index))).collect()
    }

    /// A table as read or recorded, including unknown types.
    pub(crate) fn as_read(attributes: &Attributes) -> Self {
        let unique = attributes.get("unique").and_then(Value::as_list).unwrap_or_default();
        Self {
            columns: Self::columns_as_read(attributes),
            primary_key: texts(attributes, "primaryKey"),
            unique: unique.iter().map(|columns| texts_of(Some(columns))).collect(),
            comment: optional_text(attributes, "comment"),
        }
    }

    /// The columns of such a table.
    pub(crate) fn columns_as_read(attributes: &Attributes) -> Vec<Column> {
        let columns = attributes.get("columns").and_then(Value::as_list).unwrap_or_default();
        columns.iter().map(Column::as_read).collect()
    }

    /// The column of that name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The attributes, without the identity.
    pub(crate) fn to_attributes(&self) -> Attributes {
        let columns: Vec<Value> = self.columns.iter().map(Column::to_value).collect();
        let unique: Vec<Value> = self.unique.iter().map(|columns| list(columns)).collect();
        Map::from_iter([
            ("columns".to_owned(), columns.into()),
            ("primaryKey".to_owned(), list(&self.primary_key)),
            ("unique".to_owned(), unique.into()),
        ])
    }

    fn check(&self) -> Result<(), ProviderError> {
        let columns = Path::attribute("columns");
        let refuse = |path: &Path, message: String| Err(ProviderError::invalid(Some(path.clone()), message));
        if self.columns.is_empty() {
            return refuse(&columns, "a table needs at least one column".to_owned());
        }
        for (index, column) in self.columns.iter().enumerate() {
            let place = columns.index(index);
            if self.columns.iter().take(index).any(|other| other.name == column.name) {
                return refuse(&place.key("name"), format!("the table already has a column `{}`", column.name));
            }
        }
        let names: Vec<_> = self.columns.iter().map(|it| (it.name.as_str(), it.previous_name.as_deref())).collect();
        if let Some((index, message)) = renames::invalid_previous_name(&names, str::eq) {
            return refuse(&columns.index(index).key("previousName"), message);
        }
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        check_key(&columns, &self.primary_key, &Path::attribute("primaryKey"), str::eq)?;
        for (index, key) in self.unique.iter().enumerate() {
            let place = Path::attribute("unique").index(index);
            if key.is_empty() {
                return refuse(&place, "a unique constraint needs at least one column".to_owned());
            }
            check_key(&columns, key, &place, str::eq)?;
        }
        Ok(())
    }
}

/// The former column of each new column.
fn former<'a>(new: &[Column], old: &'a [Column]) -> Vec<Option<&'a Column>> {
    let old_names: Vec<_> = old.iter().map(Column::named).collect();
    let new_names: Vec<_> = new.iter().map(Column::named).collect();
    let found = renames::former(&old_names, &new_names, str::eq);
    found.into_iter().map(|at| old.get(at?)).collect()
}

/// Renames from the old columns to the new columns.
fn renames_of(new: &[Column], old: &[Column]) -> Vec<(String, String)> {
    let pairs = former(new, old).into_iter().zip(new).filter_map(|(was, now)| Some((was?, now)));
    pairs.filter(|(was, now)| was.name != now.name).map(|(was, now)| (was.name.clone(), now.name.clone())).collect()
}

/// True if the columns do not show whether a lost update took effect: it exchanged names, and no temporary name is left.
pub(crate) fn is_outcome_invisible(prior: &Attributes, planned: &Attributes, observed: &Attributes) -> bool {
    let columns = |attributes: &Attributes| Table::columns_as_read(attributes);
    let names = |columns: &[Column]| columns.iter().map(|column| column.name.clone()).collect::<BTreeSet<_>>();
    let (was, now) = (columns(prior), columns(observed));
    renames::has_circle(&renames_of(&columns(planned), &was)) && names(&was) == names(&now)
}

impl Column {
    /// Name and previous name.
    fn named(&self) -> Named<'_> {
        (&self.name, self.previous_name.as_deref())
    }

    fn as_read(value: &Value) -> Self {
        let empty = Map::default();
        let entries = value.as_map().unwrap_or(&empty);
        Self {
            name: optional_text(entries, "name").unwrap_or_default(),
            ty: optional_text(entries, "type").unwrap_or_default(),
            is_nullable: entries.get("nullable").and_then(Value::as_bool).unwrap_or(true),
            comment: optional_text(entries, "comment"),
            previous_name: optional_text(entries, "previousName"),
        }
    }

    fn from_value(value: &Value, path: &Path) -> Result<Self, ProviderError> {
        let column = Self::as_read(value);
        identifier::check(&column.name, &path.key("name"))?;
        DataType::parse(&column.ty).map_err(|why| {
            ProviderError::invalid(Some(path.key("type")), why)
                .solution("write a type such as `VARCHAR(20)`, `NUMBER(38,0)` or `TIMESTAMP_NTZ`; `nullable` and keys are separate attributes")
        })?;
        Ok(column)
    }

    fn to_value(&self) -> Value {
        let mut entries = Map::default();
        entries.insert("name".to_owned(), self.name.as_str().into());
        entries.insert("type".to_owned(), self.ty.as_str().into());
        entries.insert("nullable".to_owned(), self.is_nullable.into());
        for (key, text) in [("comment", &self.comment), ("previousName", &self.previous_name)] {
            if let Some(text) = text {
                entries.insert(key.to_owned(), text.as_str().into());
            }
        }
        Value::Map(entries)
    }

    /// The type in Snowflake's spelling: no other text reaches a statement.
    pub(crate) fn sql_type(&self) -> String {
        DataType::parse(&self.ty).map_or_else(|_| self.ty.clone(), |ty| ty.to_string())
    }
}
