//! `SHOW`.

use super::kind::kind;
use crate::account::Kind;
use crate::error::Outcome;
use crate::token::Tokens;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShowTarget {
    Databases,
    Schemas,
    Tables,
    Views,
    Roles,
    Warehouses,
    Tags,
    Columns,
    PrimaryKeys,
    UniqueKeys,
    GrantsTo,
    GrantsOf,
    GrantsOn(Kind),
}

/// The scope of a `SHOW`.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    Account,
    In(Kind, Vec<String>),
}

#[derive(Debug)]
pub(crate) struct Show {
    pub(crate) what: ShowTarget,
    pub(crate) like: Option<String>,
    pub(crate) scope: Scope,
}

pub(super) fn show(tokens: &mut Tokens) -> Outcome<Show> {
    if tokens.take("GRANTS TO ROLE") {
        return Ok(Show { what: ShowTarget::GrantsTo, like: None, scope: Scope::In(Kind::Role, tokens.path()?) });
    }
    if tokens.take("GRANTS OF ROLE") {
        return Ok(Show { what: ShowTarget::GrantsOf, like: None, scope: Scope::In(Kind::Role, tokens.path()?) });
    }
    if tokens.take("GRANTS ON") {
        let kind = kind(tokens)?;
        return Ok(Show { what: ShowTarget::GrantsOn(kind), like: None, scope: Scope::In(kind, tokens.path()?) });
    }
    let all = [
        ("DATABASES", ShowTarget::Databases),
        ("SCHEMAS", ShowTarget::Schemas),
        ("TABLES", ShowTarget::Tables),
        ("VIEWS", ShowTarget::Views),
        ("ROLES", ShowTarget::Roles),
        ("WAREHOUSES", ShowTarget::Warehouses),
        ("TAGS", ShowTarget::Tags),
        ("COLUMNS", ShowTarget::Columns),
        ("PRIMARY KEYS", ShowTarget::PrimaryKeys),
        ("UNIQUE KEYS", ShowTarget::UniqueKeys),
    ];
    let found = all.into_iter().find(|(words, _)| tokens.take(words));
    let (_, what) = found.ok_or_else(|| tokens.unexpected())?;
    let like = if tokens.take("LIKE") { Some(tokens.text()?) } else { None };
    let scope = if tokens.take("IN") {
        if tokens.take("ACCOUNT") {
            Scope::Account
        } else {
            let kind = kind(tokens)?;
            Scope::In(kind, tokens.path()?)
        }
    } else {
        Scope::Account
    };
    Ok(Show { what, like, scope })
}
