//! Tables and functions that a query reads.
//!
//! A descriptor's author writes a query, and a server runs it with rights that the author does not have. Blueprints
//! compare the reads of the query with the allowed reads of the component (`sqlReads` in expressions).
//!
//! The crate `sqlparser` parses the query. A text that two parsers may take differently (invisible characters, nested
//! comments, computed names) is refused, so that the server finds no name that this check missed.

mod dialect;
mod text;
mod walk;

pub use dialect::SqlDialect;

use crate::{Map, Value};
use sqlparser::ast::Statement;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use std::thread;

/// The largest query that is checked, in bytes.
const MOST_BYTES: usize = 100_000;
/// The largest query that is checked, in tokens. The limit bounds the depth of the syntax tree, and so the stack.
const MOST_TOKENS: usize = 5_000;
/// Nesting depth of parentheses, as the parser counts it.
const DEPTH: usize = 50;
/// Stack size of the parser thread: twice the need of the deepest tree of this many tokens in a build without
/// optimization.
const STACK: usize = 256 << 20;

/// The reads of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlReads {
    /// The tables, views and functions, in the order of the text.
    pub reads: Vec<SqlRead>,
    /// Parts that have no name to compare, and statements that write.
    pub refused: Vec<SqlRefusal>,
}

/// A table, a view or a function that a query names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlRead {
    /// The complete name as the server resolves it, including defaults: database, schema, table.
    pub name: Vec<String>,
    /// The name as written in the query.
    pub written: String,
    /// True for a function.
    pub is_function: bool,
    /// The line within the query, from 1.
    pub line: u64,
}

/// A part of a query that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlRefusal {
    /// The part, in words.
    pub what: String,
    /// A hint, in the imperative.
    pub hint: String,
    /// True for a statement that writes, and for a second statement: no setting allows them.
    pub is_final: bool,
    /// The line within the query, from 1.
    pub line: u64,
}

impl SqlRefusal {
    fn unclear(what: impl Into<String>, hint: impl Into<String>, line: u64) -> Self {
        Self { what: what.into(), hint: hint.into(), is_final: false, line }
    }

    fn never(what: impl Into<String>, line: u64) -> Self {
        let hint = "write one query: `SELECT …` or `WITH … SELECT …`".to_owned();
        Self { what: what.into(), hint, is_final: true, line }
    }
}

impl SqlReads {
    /// Finds the reads of a query. `defaults` complete partial names: the current database and schema.
    #[must_use]
    pub fn of(dialect: SqlDialect, query: &str, defaults: &[&str]) -> Self {
        if query.len() > MOST_BYTES {
            return Self::refuse(SqlRefusal::unclear(
                format!("the query has {} bytes, and at most {MOST_BYTES} are checked", query.len()),
                "make views of its parts",
                1,
            ));
        }
        // A separate thread: the parser recurses, and its panic ends here.
        let work = || read(dialect, query, defaults);
        let found = thread::scope(|scope| {
            let parsing = thread::Builder::new().name("sql".to_owned()).stack_size(STACK).spawn_scoped(scope, work);
            parsing.ok().and_then(|parsing| parsing.join().ok())
        });
        found.unwrap_or_else(|| Self::refuse(unreadable("the parser gave up", 1)))
    }

    fn refuse(refusal: SqlRefusal) -> Self {
        Self { reads: Vec::new(), refused: vec![refusal] }
    }

    /// The reads for expressions: `{reads: [{name, written, isFunction, line}], refused: [{what, hint, isFinal,
    /// line}]}`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let reads = self.reads.iter().map(|read| {
            map([
                ("name", Value::List(read.name.iter().map(|part| Value::from(part.as_str())).collect())),
                ("written", read.written.as_str().into()),
                ("isFunction", Value::Bool(read.is_function)),
                ("line", line(read.line)),
            ])
        });
        let refused = self.refused.iter().map(|refusal| {
            map([
                ("what", refusal.what.as_str().into()),
                ("hint", refusal.hint.as_str().into()),
                ("isFinal", Value::Bool(refusal.is_final)),
                ("line", line(refusal.line)),
            ])
        });
        map([("reads", Value::List(reads.collect())), ("refused", Value::List(refused.collect()))])
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map>())
}

fn line(line: u64) -> Value {
    Value::Int(i64::try_from(line).unwrap_or(i64::MAX))
}

fn read(dialect: SqlDialect, query: &str, defaults: &[&str]) -> SqlReads {
    let tokens = match Tokenizer::new(dialect.parser(), query).tokenize_with_location() {
        Ok(tokens) => tokens,
        Err(error) => return SqlReads::refuse(unreadable(&error.message, error.location.line)),
    };
    let refused: Vec<SqlRefusal> =
        text::check_statements(&tokens).into_iter().chain(text::check(dialect, query, &tokens)).collect();
    if !refused.is_empty() {
        return SqlReads { reads: Vec::new(), refused };
    }
    let count = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).count();
    if count > MOST_TOKENS {
        return SqlReads::refuse(SqlRefusal::unclear(
            format!("the query has {count} words and signs, and at most {MOST_TOKENS} are checked"),
            "make views of its parts",
            1,
        ));
    }
    match parse(dialect, tokens) {
        Ok(query) => walk::walk(dialect, defaults, &query),
        Err(refusal) => SqlReads::refuse(refusal),
    }
}

/// The single query of a text.
fn parse(dialect: SqlDialect, tokens: Vec<TokenWithSpan>) -> Result<Statement, SqlRefusal> {
    let end = tokens.last().map_or(1, |token| token.span.end.line);
    let mut parser = Parser::new(dialect.parser()).with_recursion_limit(DEPTH).with_tokens_with_locations(tokens);
    let statements = match parser.parse_statements() {
        Ok(statements) => statements,
        Err(error) => {
            let place = parser.peek_token().span.start;
            let line = if place == Location::empty() { end } else { place.line };
            return Err(match error {
                ParserError::RecursionLimitExceeded => {
                    SqlRefusal::unclear("the query nests too deep to be checked", "make views of its parts", line)
                }
                ParserError::TokenizerError(message) | ParserError::ParserError(message) => unreadable(&message, line),
            });
        }
    };
    match <[Statement; 1]>::try_from(statements) {
        Ok([query @ Statement::Query(_)]) => Ok(query),
        _ => Err(SqlRefusal::never("the text is not one query", 1)),
    }
}

fn unreadable(why: &str, line: u64) -> SqlRefusal {
    // The parser appends the position to its message.
    let (why, place) = why.split_once(" at Line: ").unwrap_or((why, ""));
    let line = place.split(',').next().and_then(|line| line.parse().ok()).unwrap_or(line);
    SqlRefusal::unclear(
        format!("the query cannot be parsed: {why}"),
        "correct it, or write it in simpler words",
        line.max(1),
    )
}

#[cfg(test)]
mod tests;
