//! `ALTER`.

use super::Statement;
use super::create::{Options, column, texts};
use super::kind::kind;
use crate::account::{Column, Kind};
use crate::data_type::DataType;
use crate::error::{Outcome, SqlError};
use crate::token::Tokens;

#[derive(Debug)]
pub(crate) enum AlterTable {
    Rename(Vec<String>),
    Add(Vec<(Column, Option<Kind>)>),
    Drop(Vec<String>),
    RenameColumn(String, String),
    Column(String, ColumnChange),
    AddKey { is_primary: bool, name: Option<String>, columns: Vec<String> },
    DropPrimaryKey,
    DropUnique(Vec<String>),
    DropConstraint(String),
}

#[derive(Debug)]
pub(crate) enum ColumnChange {
    Type(DataType),
    NotNull(bool),
    Comment(String),
}

impl AlterTable {
    pub(super) fn is_known_elsewhere(&self) -> bool {
        !matches!(self, Self::Column(_, ColumnChange::Comment(_)) | Self::DropUnique(_) | Self::Drop(_))
    }
}

pub(super) fn alter(tokens: &mut Tokens) -> Outcome<Statement> {
    if tokens.take("USER") {
        let user = tokens.identifier()?;
        tokens.expect("SET DEFAULT_SECONDARY_ROLES")?;
        tokens.expect_symbol("=")?;
        tokens.expect_symbol("(")?;
        let roles = if tokens.take_symbol(")") { Vec::new() } else { texts(tokens)? };
        if !roles.is_empty() {
            tokens.expect_symbol(")")?;
        }
        return match roles.as_slice() {
            [] => Ok(Statement::SecondaryRoles(user, false)),
            [all] if all == "ALL" => Ok(Statement::SecondaryRoles(user, true)),
            _ => Err(SqlError::unsupported("some secondary roles")),
        };
    }
    let kind = kind(tokens)?;
    let if_exists = tokens.take("IF EXISTS");
    let path = tokens.path()?;
    if kind == Kind::Table && !tokens.take("ALTER") && !tokens.take("MODIFY") {
        if let Some(change) = table(tokens)? {
            return Ok(Statement::AlterTable(if_exists, path, change));
        }
    } else if kind == Kind::Table || kind == Kind::View && (tokens.take("ALTER") || tokens.take("MODIFY")) {
        let _ = tokens.take("COLUMN");
        let column = tokens.identifier()?;
        if let Some(tags) = tags(tokens)? {
            return Ok(Statement::AlterOptions(kind, if_exists, path, Options { column: Some(column), ..tags }));
        }
        let change = if tokens.take("SET DATA TYPE") || tokens.take("TYPE") {
            ColumnChange::Type(DataType::read(tokens)?)
        } else if tokens.take("SET NOT NULL") {
            ColumnChange::NotNull(true)
        } else if tokens.take("DROP NOT NULL") {
            ColumnChange::NotNull(false)
        } else if tokens.take("COMMENT") {
            ColumnChange::Comment(tokens.text()?)
        } else if tokens.take("UNSET COMMENT") {
            ColumnChange::Comment(String::new())
        } else {
            return Err(tokens.unexpected());
        };
        if kind == Kind::View {
            return Err(SqlError::syntax("ALTER"));
        }
        return Ok(Statement::AlterTable(if_exists, path, AlterTable::Column(column, change)));
    }
    options(tokens, kind).map(|options| Statement::AlterOptions(kind, if_exists, path, options))
}

fn table(tokens: &mut Tokens) -> Outcome<Option<AlterTable>> {
    if tokens.take("RENAME TO") {
        return Ok(Some(AlterTable::Rename(tokens.path()?)));
    }
    if tokens.take("RENAME COLUMN") {
        let from = tokens.identifier()?;
        tokens.expect("TO")?;
        return Ok(Some(AlterTable::RenameColumn(from, tokens.identifier()?)));
    }
    if tokens.take("ADD") {
        let name = if tokens.take("CONSTRAINT") { Some(tokens.identifier()?) } else { None };
        for (is_primary, words) in [(true, "PRIMARY KEY"), (false, "UNIQUE")] {
            if tokens.take(words) {
                return Ok(Some(AlterTable::AddKey { is_primary, name, columns: tokens.names()? }));
            }
        }
        let _ = tokens.take("COLUMN");
        let mut columns = vec![column(tokens)?];
        while tokens.take_symbol(",") {
            columns.push(column(tokens)?);
        }
        return Ok(Some(AlterTable::Add(columns)));
    }
    if tokens.take("DROP") {
        if tokens.take("PRIMARY KEY") {
            return Ok(Some(AlterTable::DropPrimaryKey));
        }
        if tokens.take("UNIQUE") {
            return Ok(Some(AlterTable::DropUnique(tokens.names()?)));
        }
        if tokens.take("CONSTRAINT") {
            return Ok(Some(AlterTable::DropConstraint(tokens.identifier()?)));
        }
        let _ = tokens.take("COLUMN");
        let mut names = vec![tokens.identifier()?];
        while tokens.take_symbol(",") {
            names.push(tokens.identifier()?);
        }
        return Ok(Some(AlterTable::Drop(names)));
    }
    Ok(None)
}

/// `SET TAG a = 'x', b = 'y'` and `UNSET TAG a, b`.
fn tags(tokens: &mut Tokens) -> Outcome<Option<Options>> {
    let mut options = Options::default();
    if tokens.take("SET TAG") {
        loop {
            let tag = tokens.path()?;
            tokens.expect_symbol("=")?;
            options.tags.push((tag, tokens.text()?));
            if !tokens.take_symbol(",") {
                return Ok(Some(options));
            }
        }
    }
    if tokens.take("UNSET TAG") {
        loop {
            options.tags_off.push(tokens.path()?);
            if !tokens.take_symbol(",") {
                return Ok(Some(options));
            }
        }
    }
    Ok(None)
}

fn options(tokens: &mut Tokens, kind: Kind) -> Outcome<Options> {
    if let Some(options) = tags(tokens)? {
        return Ok(options);
    }
    let mut options = Options::default();
    if kind == Kind::Tag && tokens.take("ADD ALLOWED_VALUES") {
        // The first item says whether the values are added or removed: see `execute`.
        options.allowed = Some([vec!["+".to_owned()], texts(tokens)?].concat());
        return Ok(options);
    }
    if kind == Kind::Tag && tokens.take("DROP ALLOWED_VALUES") {
        options.allowed = Some([vec!["-".to_owned()], texts(tokens)?].concat());
        return Ok(options);
    }
    if tokens.take("UNSET") {
        if tokens.take("COMMENT") {
            options.comment = Some(String::new());
        } else if tokens.take("SECURE") {
            options.is_secure = Some(false);
        } else if tokens.take("DATA_RETENTION_TIME_IN_DAYS") {
            options.retention_days = Some(1);
        } else if tokens.take("ALLOWED_VALUES") {
            options.allowed = Some(vec!["!".to_owned()]);
        } else {
            return Err(tokens.unexpected());
        }
        return Ok(options);
    }
    tokens.expect("SET")?;
    while !tokens.is_at_end() {
        if tokens.take("SECURE") {
            options.is_secure = Some(true);
        } else if tokens.take("COMMENT") {
            tokens.expect_symbol("=")?;
            options.comment = Some(tokens.text()?);
        } else if matches!(kind, Kind::Database | Kind::Schema | Kind::Table)
            && tokens.take("DATA_RETENTION_TIME_IN_DAYS")
        {
            tokens.expect_symbol("=")?;
            options.retention_days = Some(tokens.number()?);
        } else {
            return Err(tokens.unexpected());
        }
    }
    Ok(options)
}
