//! Tables: the common model of configuration, database schema and DDL text.

mod change;
mod ddl;
mod fold;
mod plan;
mod read;

pub(crate) use change::{LostUpdate, create, lost_update, update};
pub(crate) use ddl::{Comments, heading, read_comments};
pub(crate) use fold::fold;
pub(crate) use plan::{plan, renamed};
pub(crate) use read::{column_names, index_columns, observe, row_count, unexpressed};

use crate::declared_type::DeclaredType;
use crate::identifier;
use crate::tokenizer::tokens;
use terrace_provider::attributes::{optional_text, texts, texts_of};
use terrace_provider::renames::{self, Named};
use terrace_provider::sql_keys::check_key;
use terrace_provider::sql_reads::SqlDialect;
use terrace_provider::sql_tokens::{Token, TokenKind, is_expression};
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// SQLite's default limit of columns per table.
const MOST_COLUMNS: usize = 2000;

/// A planned or existing table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Table {
    pub(crate) name: String,
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
    /// The SQL of the default: a literal or an expression.
    pub(crate) default: Option<String>,
    pub(crate) comment: Option<String>,
    /// The previous name of the column; only the configuration has it.
    pub(crate) previous_name: Option<String>,
}

impl Table {
    /// Reads configured or planned attributes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` at an attribute that SQLite cannot store unchanged.
    pub(crate) fn from_attributes(attributes: &Attributes) -> Result<Self, ProviderError> {
        let columns = Self::columns_of(attributes)?;
        let unique = attributes.get("unique").and_then(Value::as_list).unwrap_or_default();
        let table = Self {
            name: optional_text(attributes, "name").unwrap_or_default(),
            columns,
            primary_key: texts(attributes, "primaryKey"),
            unique: unique.iter().map(|columns| texts_of(Some(columns))).collect(),
            comment: optional_text(attributes, "comment"),
        };
        table.check()?;
        Ok(table)
    }

    /// Reads only the columns; other attributes may be unknown.
    ///
    /// # Errors
    ///
    /// `InvalidInput` at a column that SQLite cannot store.
    pub(crate) fn columns_of(attributes: &Attributes) -> Result<Vec<Column>, ProviderError> {
        let path = Path::attribute("columns");
        let columns = attributes.get("columns").and_then(Value::as_list).unwrap_or_default();
        columns.iter().enumerate().map(|(index, column)| Column::from_value(column, &path.index(index))).collect()
    }

    /// Finds a column by its name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        Column::of_name(&self.columns, name)
    }

    /// Converts to attributes, in the order of the schema.
    pub(crate) fn to_attributes(&self) -> Attributes {
        let names = |names: &[String]| Value::List(names.iter().map(|name| name.as_str().into()).collect());
        let mut attributes = Map::default();
        attributes.insert("name".to_owned(), self.name.as_str().into());
        let columns = self.columns.iter().map(Column::to_value).collect::<Vec<_>>();
        attributes.insert("columns".to_owned(), columns.into());
        attributes.insert("primaryKey".to_owned(), names(&self.primary_key));
        let unique = self.unique.iter().map(|columns| names(columns)).collect::<Vec<_>>();
        attributes.insert("unique".to_owned(), unique.into());
        attributes.insert("comment".to_owned(), self.comment.as_deref().map_or(Value::Null, Value::from));
        attributes
    }

    fn check(&self) -> Result<(), ProviderError> {
        identifier::check_object(&self.name, &Path::attribute("name"))?;
        check_comment(self.comment.as_deref(), &Path::attribute("comment"))?;
        let columns = Path::attribute("columns");
        let refuse = |path: &Path, message: String| Err(ProviderError::invalid(Some(path.clone()), message));
        if self.columns.is_empty() {
            return refuse(&columns, format!("the table `{}` needs at least one column", self.name));
        }
        if self.columns.len() > MOST_COLUMNS {
            let message = format!("a table has at most {MOST_COLUMNS} columns, found {}", self.columns.len());
            return refuse(&columns, message);
        }
        for (index, column) in self.columns.iter().enumerate() {
            let place = columns.index(index);
            if self.columns.iter().take(index).any(|other| identifier::is_same(&other.name, &column.name)) {
                let message = format!("the table already has a column `{}`; case does not matter", column.name);
                return refuse(&place.key("name"), message);
            }
        }
        let names: Vec<_> = self.columns.iter().map(|it| (it.name.as_str(), it.previous_name.as_deref())).collect();
        if let Some((index, message)) = renames::invalid_previous_name(&names, identifier::is_same) {
            return refuse(&columns.index(index).key("previousName"), message);
        }
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        check_key(&columns, &self.primary_key, &Path::attribute("primaryKey"), identifier::is_same)?;
        for (index, key) in self.unique.iter().enumerate() {
            let place = Path::attribute("unique").index(index);
            if key.is_empty() {
                return refuse(&place, "a unique constraint needs at least one column".to_owned());
            }
            check_key(&columns, key, &place, identifier::is_same)?;
        }
        Ok(())
    }
}

impl Column {
    fn of_name<'a>(columns: &'a [Self], name: &str) -> Option<&'a Self> {
        columns.iter().find(|column| identifier::is_same(&column.name, name))
    }

    /// The name and previous name of the column.
    fn named(&self) -> Named<'_> {
        (&self.name, self.previous_name.as_deref())
    }

    fn from_value(value: &Value, path: &Path) -> Result<Self, ProviderError> {
        let empty = Map::default();
        let entries = value.as_map().unwrap_or(&empty);
        let column = Self {
            name: optional_text(entries, "name").unwrap_or_default(),
            ty: optional_text(entries, "type").unwrap_or_default(),
            is_nullable: entries.get("nullable").and_then(Value::as_bool).unwrap_or(true),
            default: optional_text(entries, "default"),
            comment: optional_text(entries, "comment"),
            previous_name: optional_text(entries, "previousName"),
        };
        identifier::check(&column.name, &path.key("name"))?;
        check_comment(column.comment.as_deref(), &path.key("comment"))?;
        if DeclaredType::parse(&column.ty).is_none() {
            let message = format!("`{}` is not a column type", column.ty.escape_default());
            return Err(ProviderError::invalid(Some(path.key("type")), message)
                .solution("write a type as `TEXT`, `VARCHAR(20)` or `NUMERIC(38,0)`; `nullable`, `default` and keys are separate attributes"));
        }
        if let Some(default) = &column.default {
            check_default(default, &path.key("default"))?;
        }
        Ok(column)
    }

    fn to_value(&self) -> Value {
        let mut entries = Map::default();
        entries.insert("name".to_owned(), self.name.as_str().into());
        entries.insert("type".to_owned(), self.ty.as_str().into());
        entries.insert("nullable".to_owned(), self.is_nullable.into());
        for (key, text) in
            [("default", &self.default), ("comment", &self.comment), ("previousName", &self.previous_name)]
        {
            if let Some(text) = text {
                entries.insert(key.to_owned(), text.as_str().into());
            }
        }
        Value::Map(entries)
    }

    /// True for a literal default: SQLite accepts it without parentheses and for existing rows.
    pub(crate) fn has_literal_default(&self) -> bool {
        let tokens = self.default.as_deref().map(tokens).unwrap_or_default();
        let literal = match tokens.as_slice() {
            [sign, number] if sign.is_symbol("-") || sign.is_symbol("+") => number,
            [literal] => literal,
            _ => return false,
        };
        let is_constant = |token: &Token<'_>| ["NULL", "TRUE", "FALSE"].iter().any(|word| token.is_word(word));
        matches!(literal.kind, TokenKind::Number | TokenKind::Text) || is_constant(literal)
    }
}

/// The previous column of each new column.
fn former<'a>(new: &[Column], old: &'a [Column]) -> Vec<Option<&'a Column>> {
    let old_names: Vec<_> = old.iter().map(Column::named).collect();
    let new_names: Vec<_> = new.iter().map(Column::named).collect();
    let found = renames::former(&old_names, &new_names, identifier::is_same);
    found.into_iter().map(|at| old.get(at?)).collect()
}

/// The renames from the old columns to the new columns.
fn renames_of(new: &[Column], old: &[Column]) -> Vec<(String, String)> {
    let pairs = former(new, old).into_iter().zip(new).filter_map(|(was, now)| Some((was?, now)));
    pairs.filter(|(was, now)| was.name != now.name).map(|(was, now)| (was.name.clone(), now.name.clone())).collect()
}

/// Refuses a NUL, which would truncate the definition that contains the comment.
pub(crate) fn check_comment(comment: Option<&str>, path: &Path) -> Result<(), ProviderError> {
    match comment {
        Some(comment) if comment.contains('\0') => {
            Err(ProviderError::invalid(Some(path.clone()), "a comment cannot contain a NUL character"))
        }
        _ => Ok(()),
    }
}

/// Refuses a default that is not a single expression with closed parentheses and quotes.
fn check_default(default: &str, path: &Path) -> Result<(), ProviderError> {
    if is_expression(SqlDialect::Sqlite, default) {
        return Ok(());
    }
    Err(ProviderError::invalid(Some(path.clone()), format!("`{}` is not a valid default", default.escape_default()))
        .solution("write the default as SQL: a literal as `0` or `'new'`, or one expression as `CURRENT_TIMESTAMP`"))
}

#[cfg(test)]
mod tests;
