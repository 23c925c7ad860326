//! The parser. Unknown statements are syntax errors. Known ones must be valid for sqlparser too, unless sqlparser
//! lacks their kind (tags, `SHOW`, `DESCRIBE`, comments on columns).

mod alter;
mod create;
mod kind;
mod show;

pub(crate) use alter::{AlterTable, ColumnChange};
pub(crate) use create::{CreateTable, CreateView, Options, Query};
pub(crate) use show::{Scope, Show, ShowTarget};

use crate::account::Kind;
use crate::error::{Outcome, SqlError};
use crate::token::Tokens;
use kind::kind;
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::Parser;

/// Modifiers of `CREATE`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CreateModifiers {
    pub(crate) replaces: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) is_transient: bool,
    pub(crate) is_secure: bool,
}

#[derive(Debug)]
pub(crate) enum Statement {
    CreateContainer(Kind, CreateModifiers, Vec<String>, Options),
    CreateTable(CreateModifiers, Vec<String>, CreateTable),
    CreateView(CreateModifiers, Vec<String>, CreateView),
    CreateRole(CreateModifiers, String, Options),
    CreateTag(CreateModifiers, Vec<String>, Options),
    /// `SET` and `UNSET` of options that every object has.
    AlterOptions(Kind, bool, Vec<String>, Options),
    AlterTable(bool, Vec<String>, AlterTable),
    Comment(Kind, bool, Vec<String>, Option<String>, String),
    Drop(Kind, bool, Vec<String>),
    Grant {
        privileges: Vec<String>,
        kind: Kind,
        path: Vec<String>,
        role: String,
        has_option: bool,
        is_revoke: bool,
        only_option: bool,
    },
    GrantRole {
        role: String,
        to: (Kind, String),
        is_revoke: bool,
    },
    Show(Show),
    Describe(Kind, Vec<String>),
    Query(Query),
    TagReferences {
        object: String,
        domain: String,
    },
    PolicyReferences(String),
    Count(Vec<String>),
    CurrentRole(&'static str),
    /// True if all roles of a user are secondary roles.
    SecondaryRoles(String, bool),
    Insert(Vec<String>, Vec<Vec<Option<String>>>),
    Use,
}

/// Parses one statement.
pub(crate) fn parse(sql: &str) -> Outcome<Statement> {
    let mut tokens = Tokens::of(sql)?;
    let statement = statement(&mut tokens, sql)?;
    tokens.end()?;
    if is_known_elsewhere(&statement) {
        Parser::parse_sql(&SnowflakeDialect {}, sql).map_err(|error| SqlError::syntax(&error.to_string()))?;
    }
    Ok(statement)
}

/// True if sqlparser knows the kind of a statement.
fn is_known_elsewhere(statement: &Statement) -> bool {
    match statement {
        Statement::CreateView(_, _, view) if view.has_tags() => false,
        Statement::CreateContainer(_, how, _, options) => {
            !how.is_transient && options.retention_days.is_none() && options.comment.is_none()
        }
        Statement::CreateTable(..)
        | Statement::CreateView(..)
        | Statement::Drop(Kind::Table | Kind::View | Kind::Role | Kind::Schema | Kind::Database, ..)
        | Statement::Query(_)
        | Statement::Count(_)
        | Statement::Insert(..) => true,
        // sqlparser knows SQL's privileges, and those on accounts.
        Statement::Grant { privileges, kind, .. } => {
            *kind == Kind::Account || privileges.iter().all(|it| !it.contains(' ') && it != "APPLY")
        }
        Statement::GrantRole { to: (kind, _), .. } => *kind == Kind::Role,
        Statement::AlterTable(_, _, change) => change.is_known_elsewhere(),
        _ => false,
    }
}

fn statement(tokens: &mut Tokens, sql: &str) -> Outcome<Statement> {
    if tokens.take("CREATE") {
        return create::create(tokens, sql);
    }
    if tokens.take("ALTER") {
        return alter::alter(tokens);
    }
    if tokens.take("COMMENT") {
        return comment(tokens);
    }
    if tokens.take("DROP") {
        let kind = kind(tokens)?;
        let if_exists = tokens.take("IF EXISTS");
        let path = tokens.path()?;
        let _ = tokens.take("CASCADE") || tokens.take("RESTRICT");
        return Ok(Statement::Drop(kind, if_exists, path));
    }
    if tokens.take("GRANT") {
        return grant(tokens, false);
    }
    if tokens.take("REVOKE") {
        return grant(tokens, true);
    }
    if tokens.take("SHOW") {
        return show::show(tokens).map(Statement::Show);
    }
    if tokens.take("DESCRIBE") || tokens.take("DESC") {
        let kind = kind(tokens)?;
        return Ok(Statement::Describe(kind, tokens.path()?));
    }
    if tokens.take("INSERT INTO") {
        return insert(tokens);
    }
    if tokens.take("USE") {
        let _ = kind(tokens);
        tokens.path()?;
        return Ok(Statement::Use);
    }
    if tokens.take("SELECT") {
        return create::select(tokens);
    }
    Err(tokens.unexpected())
}

fn comment(tokens: &mut Tokens) -> Outcome<Statement> {
    let if_exists = tokens.take("IF EXISTS");
    tokens.expect("ON")?;
    if tokens.take("COLUMN") {
        let mut path = tokens.path()?;
        let column = path.pop();
        tokens.expect("IS")?;
        return Ok(Statement::Comment(Kind::Table, if_exists, path, column, tokens.text()?));
    }
    let kind = kind(tokens)?;
    let path = tokens.path()?;
    tokens.expect("IS")?;
    Ok(Statement::Comment(kind, if_exists, path, None, tokens.text()?))
}

fn grant(tokens: &mut Tokens, is_revoke: bool) -> Outcome<Statement> {
    let joining = if is_revoke { "FROM" } else { "TO" };
    if tokens.take("ROLE") {
        let role = tokens.identifier()?;
        tokens.expect(joining)?;
        let to = kind(tokens)?;
        if !matches!(to, Kind::Role | Kind::User) {
            return Err(tokens.unexpected());
        }
        return Ok(Statement::GrantRole { role, to: (to, tokens.identifier()?), is_revoke });
    }
    let only_option = is_revoke && tokens.take("GRANT OPTION FOR");
    // A privilege may have several words.
    let (mut privileges, mut words) = (Vec::new(), vec![tokens.identifier()?]);
    while !tokens.take("ON") {
        if tokens.take_symbol(",") {
            privileges.push(std::mem::take(&mut words).join(" "));
        }
        words.push(tokens.identifier()?);
    }
    privileges.push(words.join(" "));
    let kind = kind(tokens)?;
    let path = if kind == Kind::Account { Vec::new() } else { tokens.path()? };
    tokens.expect(joining)?;
    let _ = tokens.take("ROLE");
    let role = tokens.identifier()?;
    let has_option = !is_revoke && tokens.take("WITH GRANT OPTION");
    // `ALL` is stored and shown as the privileges it stands for.
    if privileges == ["ALL"] || privileges == ["ALL PRIVILEGES"] {
        privileges = privileges_of(kind).iter().map(|it| (*it).to_owned()).collect();
    }
    for privilege in &privileges {
        if !privileges_of(kind).contains(&privilege.as_str()) {
            return Err(SqlError::syntax(privilege));
        }
    }
    Ok(Statement::Grant { privileges, kind, path, role, has_option, is_revoke, only_option })
}

/// <https://docs.snowflake.com/en/user-guide/security-access-control-privileges>, as far as tests need it.
pub(crate) fn privileges_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Account => &["CREATE DATABASE", "CREATE ROLE", "MANAGE GRANTS", "APPLY TAG", "CREATE WAREHOUSE"],
        Kind::Warehouse => &["USAGE", "OPERATE", "MONITOR", "MODIFY"],
        Kind::Database => &["USAGE", "CREATE SCHEMA", "MONITOR", "MODIFY"],
        Kind::Schema => &["USAGE", "CREATE TABLE", "CREATE VIEW", "CREATE TAG", "MONITOR", "MODIFY"],
        Kind::Table => &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES"],
        Kind::View => &["SELECT", "REFERENCES"],
        Kind::Tag => &["APPLY"],
        Kind::Role | Kind::User => &[],
    }
}

fn insert(tokens: &mut Tokens) -> Outcome<Statement> {
    let path = tokens.path()?;
    tokens.expect("VALUES")?;
    let mut rows = Vec::new();
    loop {
        tokens.expect_symbol("(")?;
        let mut row = Vec::new();
        loop {
            row.push(if tokens.take("NULL") {
                None
            } else if let Ok(number) = tokens.number() {
                Some(number.to_string())
            } else {
                Some(tokens.text()?)
            });
            if !tokens.take_symbol(",") {
                break;
            }
        }
        tokens.expect_symbol(")")?;
        rows.push(row);
        if !tokens.take_symbol(",") {
            return Ok(Statement::Insert(path, rows));
        }
    }
}
