//! Kinds of objects.

use crate::account::Kind;
use crate::error::Outcome;
use crate::token::Tokens;

/// Parses a kind of object.
pub(crate) fn kind(tokens: &mut Tokens) -> Outcome<Kind> {
    let kinds = [
        Kind::Account,
        Kind::Warehouse,
        Kind::Database,
        Kind::Schema,
        Kind::Table,
        Kind::View,
        Kind::Tag,
        Kind::Role,
        Kind::User,
    ];
    kinds.into_iter().find(|kind| tokens.take(kind.word())).ok_or_else(|| tokens.unexpected())
}
