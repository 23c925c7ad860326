//! `CREATE`, and the queries of views.

use super::kind::kind;
use super::{CreateModifiers, Statement};
use crate::account::{Column, Kind};
use crate::data_type::DataType;
use crate::error::{Outcome, SqlError};
use crate::token::Tokens;

/// Options after a name; `None` if omitted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Empty removes the comment.
    pub(crate) comment: Option<String>,
    pub(crate) retention_days: Option<u64>,
    pub(crate) allowed: Option<Vec<String>>,
    pub(crate) is_secure: Option<bool>,
    /// Tags to set with their values, and tags to unset.
    pub(crate) tags: Vec<(Vec<String>, String)>,
    pub(crate) tags_off: Vec<Vec<String>>,
    /// The column that the options belong to.
    pub(crate) column: Option<String>,
}

#[derive(Debug)]
pub(crate) struct CreateTable {
    pub(crate) columns: Vec<Column>,
    pub(crate) primary_key: Option<(Option<String>, Vec<String>)>,
    pub(crate) unique: Vec<(Option<String>, Vec<String>)>,
    pub(crate) comment: String,
}

/// `SELECT` of columns of one source.
#[derive(Debug)]
pub(crate) struct Query {
    /// Columns of the source with their new names; empty means all.
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) source: Vec<String>,
    pub(crate) limit: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct CreateView {
    /// Names with comments; empty if the query names them.
    pub(crate) columns: Vec<(String, Option<String>)>,
    /// Tags with their column and their value.
    pub(crate) tags: Vec<(Vec<String>, Option<String>, String)>,
    pub(crate) copies_grants: bool,
    pub(crate) comment: String,
    pub(crate) query: Query,
    /// The text of the statement, as `SHOW` returns it.
    pub(crate) text: String,
}

impl CreateView {
    pub(crate) fn has_tags(&self) -> bool {
        !self.tags.is_empty()
    }
}

pub(super) fn create(tokens: &mut Tokens, sql: &str) -> Outcome<Statement> {
    let mut how = CreateModifiers { replaces: tokens.take("OR REPLACE"), ..CreateModifiers::default() };
    how.is_transient = tokens.take("TRANSIENT");
    how.is_secure = tokens.take("SECURE");
    let kind = kind(tokens)?;
    how.if_not_exists = tokens.take("IF NOT EXISTS");
    if how.replaces && how.if_not_exists {
        return Err(SqlError::syntax("IF"));
    }
    let path = tokens.path()?;
    match kind {
        Kind::Database | Kind::Schema => Ok(Statement::CreateContainer(kind, how, path, options(tokens)?)),
        Kind::Role if path.len() == 1 => Ok(Statement::CreateRole(how, path[0].clone(), options(tokens)?)),
        Kind::Tag => Ok(Statement::CreateTag(how, path, options(tokens)?)),
        Kind::Table => Ok(Statement::CreateTable(how, path, table(tokens)?)),
        Kind::View => Ok(Statement::CreateView(how, path, view(tokens, sql)?)),
        _ => Err(tokens.unexpected()),
    }
}

/// Parses options after a name, in any order.
fn options(tokens: &mut Tokens) -> Outcome<Options> {
    let mut options = Options::default();
    while !tokens.is_at_end() {
        if tokens.take("COMMENT") {
            tokens.expect_symbol("=")?;
            options.comment = Some(tokens.text()?);
        } else if tokens.take("DATA_RETENTION_TIME_IN_DAYS") {
            tokens.expect_symbol("=")?;
            options.retention_days = Some(tokens.number()?);
        } else if tokens.take("ALLOWED_VALUES") {
            options.allowed = Some(texts(tokens)?);
        } else {
            return Err(tokens.unexpected());
        }
    }
    Ok(options)
}

pub(super) fn texts(tokens: &mut Tokens) -> Outcome<Vec<String>> {
    let mut texts = vec![tokens.text()?];
    while tokens.take_symbol(",") {
        texts.push(tokens.text()?);
    }
    Ok(texts)
}

fn table(tokens: &mut Tokens) -> Outcome<CreateTable> {
    let mut table = CreateTable { columns: Vec::new(), primary_key: None, unique: Vec::new(), comment: String::new() };
    tokens.expect_symbol("(")?;
    loop {
        let name = if tokens.take("CONSTRAINT") { Some(tokens.identifier()?) } else { None };
        if tokens.take("PRIMARY KEY") {
            let names = tokens.names()?;
            if table.primary_key.replace((name, names)).is_some() {
                return Err(SqlError::invalid("Primary key is already defined."));
            }
        } else if tokens.take("UNIQUE") {
            let names = tokens.names()?;
            table.unique.push((name, names));
        } else if name.is_some() {
            return Err(tokens.unexpected());
        } else {
            let (column, key) = column(tokens)?;
            match key {
                Some(Kind::Table) => table.primary_key = Some((None, vec![column.name.clone()])),
                Some(_) => table.unique.push((None, vec![column.name.clone()])),
                None => {}
            }
            table.columns.push(column);
        }
        if !tokens.take_symbol(",") {
            break;
        }
    }
    tokens.expect_symbol(")")?;
    if tokens.take("COMMENT") {
        tokens.expect_symbol("=")?;
        table.comment = tokens.text()?;
    }
    Ok(table)
}

/// A column with its inline key: primary (`Table`) or unique (any other kind).
pub(super) fn column(tokens: &mut Tokens) -> Outcome<(Column, Option<Kind>)> {
    let name = tokens.identifier()?;
    let ty = DataType::read(tokens)?;
    let mut column = Column { name, ty, is_nullable: true, comment: None };
    let mut key = None;
    loop {
        if tokens.take("NOT NULL") {
            column.is_nullable = false;
        } else if tokens.take("NULL") {
            column.is_nullable = true;
        } else if tokens.take("PRIMARY KEY") {
            key = Some(Kind::Table);
        } else if tokens.take("UNIQUE") {
            key = Some(Kind::View);
        } else if tokens.take("COMMENT") {
            column.comment = Some(tokens.text()?).filter(|text| !text.is_empty());
        } else {
            return Ok((column, key));
        }
    }
}

/// Parses `WITH TAG (a = 'x', b = 'y')`, if present.
fn with_tags(
    tokens: &mut Tokens,
    column: Option<&String>,
    tags: &mut Vec<(Vec<String>, Option<String>, String)>,
) -> Outcome<()> {
    if !tokens.take("WITH TAG") {
        return Ok(());
    }
    tokens.expect_symbol("(")?;
    loop {
        let tag = tokens.path()?;
        tokens.expect_symbol("=")?;
        tags.push((tag, column.cloned(), tokens.text()?));
        if !tokens.take_symbol(",") {
            return tokens.expect_symbol(")");
        }
    }
}

fn view(tokens: &mut Tokens, sql: &str) -> Outcome<CreateView> {
    let (mut columns, mut tags) = (Vec::new(), Vec::new());
    if tokens.take_symbol("(") {
        loop {
            let name = tokens.identifier()?;
            with_tags(tokens, Some(&name), &mut tags)?;
            let comment = if tokens.take("COMMENT") { Some(tokens.text()?) } else { None };
            columns.push((name, comment.filter(|text| !text.is_empty())));
            if !tokens.take_symbol(",") {
                break;
            }
        }
        tokens.expect_symbol(")")?;
    }
    let mut copies_grants = tokens.take("COPY GRANTS");
    let mut comment = String::new();
    if tokens.take("COMMENT") {
        tokens.expect_symbol("=")?;
        comment = tokens.text()?;
    }
    copies_grants |= tokens.take("COPY GRANTS");
    with_tags(tokens, None, &mut tags)?;
    tokens.expect("AS")?;
    let is_within = tokens.take_symbol("(");
    tokens.expect("SELECT")?;
    let query = query(tokens)?;
    if is_within {
        tokens.expect_symbol(")")?;
    }
    Ok(CreateView { columns, tags, copies_grants, comment, query, text: sql.trim().to_owned() })
}

/// The rest of a `SELECT`: columns, or `*`, of one source. A condition is accepted and ignored.
fn query(tokens: &mut Tokens) -> Outcome<Query> {
    let mut columns = Vec::new();
    if !tokens.take_symbol("*") {
        loop {
            let column = tokens.identifier()?;
            let name = if tokens.take("AS") { tokens.identifier()? } else { column.clone() };
            columns.push((column, name));
            if !tokens.take_symbol(",") {
                break;
            }
        }
    }
    tokens.expect("FROM")?;
    if columns.is_empty() && tokens.take_symbol("(") {
        tokens.expect("SELECT")?;
        let inner = query(tokens)?;
        tokens.expect_symbol(")")?;
        let limit = if tokens.take("LIMIT") { Some(tokens.number()?) } else { None };
        return Ok(Query { limit, ..inner });
    }
    let source = tokens.path()?;
    if tokens.take("WHERE") {
        let mut depth = 0;
        while let Some(token) = tokens.peek() {
            let symbol = format!("{token:?}");
            if symbol.contains("\")\"") && depth == 0 {
                break;
            }
            depth += i32::from(symbol.contains("\"(\"")) - i32::from(symbol.contains("\")\""));
            tokens.next()?;
        }
    }
    let limit = if tokens.take("LIMIT") { Some(tokens.number()?) } else { None };
    Ok(Query { columns, source, limit })
}

/// The supported queries.
pub(super) fn select(tokens: &mut Tokens) -> Outcome<Statement> {
    for function in ["CURRENT_ROLE", "CURRENT_SECONDARY_ROLES", "CURRENT_USER", "CURRENT_WAREHOUSE"] {
        if tokens.take(function) {
            tokens.expect_symbol("(")?;
            tokens.expect_symbol(")")?;
            return Ok(Statement::CurrentRole(function));
        }
    }
    if tokens.take("COUNT") {
        tokens.expect_symbol("(")?;
        tokens.expect_symbol("*")?;
        tokens.expect_symbol(")")?;
        tokens.expect("FROM")?;
        return Ok(Statement::Count(tokens.path()?));
    }
    let before = tokens.clone();
    if let Some(statement) = tag_references(tokens)? {
        return Ok(statement);
    }
    *tokens = before;
    Ok(Statement::Query(query(tokens)?))
}

fn tag_references(tokens: &mut Tokens) -> Outcome<Option<Statement>> {
    if !tokens.take_symbol("*") || !tokens.take("FROM TABLE") {
        return Ok(None);
    }
    tokens.expect_symbol("(")?;
    let path = tokens.path()?;
    let is_about = |function: &str| path.len() == 3 && path[1] == "INFORMATION_SCHEMA" && path[2] == function;
    if is_about("POLICY_REFERENCES") {
        tokens.expect_symbol("(")?;
        tokens.expect("REF_ENTITY_NAME")?;
        tokens.expect_symbol("=>")?;
        let object = tokens.text()?;
        tokens.expect_symbol(",")?;
        tokens.expect("REF_ENTITY_DOMAIN")?;
        tokens.expect_symbol("=>")?;
        if !tokens.text()?.eq_ignore_ascii_case("view") {
            return Err(SqlError::unsupported("policies of an object that is not a view"));
        }
        tokens.expect_symbol(")")?;
        tokens.expect_symbol(")")?;
        return Ok(Some(Statement::PolicyReferences(object)));
    }
    if !is_about("TAG_REFERENCES") {
        return Err(SqlError::missing("Function", &path.join(".")));
    }
    tokens.expect_symbol("(")?;
    let object = tokens.text()?;
    tokens.expect_symbol(",")?;
    let domain = tokens.text()?;
    tokens.expect_symbol(")")?;
    tokens.expect_symbol(")")?;
    Ok(Some(Statement::TagReferences { object, domain }))
}
