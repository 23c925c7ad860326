//! Tokens of a statement, by sqlparser's tokenizer.

use crate::error::{Outcome, SqlError};
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::tokenizer::{Token as Raw, Tokenizer};

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A word as written; a quoted one is exact.
    Word {
        text: String,
        is_quoted: bool,
    },
    /// A string in single quotes, unescaped.
    Text(String),
    Number(String),
    Symbol(String),
}

/// The tokens of a statement, read from the front.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    tokens: Vec<Token>,
    position: usize,
}

impl Tokens {
    pub(crate) fn of(sql: &str) -> Outcome<Self> {
        let dialect = SnowflakeDialect {};
        let raw = Tokenizer::new(&dialect, sql).tokenize();
        let raw = raw.map_err(|error| SqlError::syntax(&error.to_string()))?;
        let mut tokens: Vec<Token> = raw.into_iter().filter_map(token).collect();
        while tokens.last() == Some(&Token::Symbol(";".to_owned())) {
            tokens.pop();
        }
        if tokens.iter().any(|token| *token == Token::Symbol(";".to_owned())) {
            let message = "Actual statement count 2 did not match the desired statement count 1.";
            return Err(SqlError { code: "000008", state: "0A000", message: message.to_owned() });
        }
        Ok(Self { tokens, position: 0 })
    }

    pub(crate) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    pub(crate) fn next(&mut self) -> Outcome<Token> {
        let token = self.peek().cloned().ok_or_else(|| SqlError::syntax("<EOF>"))?;
        self.position += 1;
        Ok(token)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.peek().is_none()
    }

    /// The error of an unexpected token.
    pub(crate) fn unexpected(&self) -> SqlError {
        SqlError::syntax(&match self.peek() {
            None => "<EOF>".to_owned(),
            Some(Token::Word { text, .. } | Token::Text(text) | Token::Number(text) | Token::Symbol(text)) => {
                text.clone()
            }
        })
    }

    pub(crate) fn end(&self) -> Outcome<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Skips the words if they come next; true if they did.
    pub(crate) fn take(&mut self, words: &str) -> bool {
        let words: Vec<&str> = words.split(' ').collect();
        let here = self.tokens.get(self.position..self.position + words.len()).unwrap_or_default();
        let is_here = here.len() == words.len() && here.iter().zip(&words).all(|(token, word)| is_word(token, word));
        if is_here {
            self.position += words.len();
        }
        is_here
    }

    pub(crate) fn expect(&mut self, words: &str) -> Outcome<()> {
        if self.take(words) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(crate) fn take_symbol(&mut self, symbol: &str) -> bool {
        let is_here = matches!(self.peek(), Some(Token::Symbol(text)) if text == symbol);
        self.position += usize::from(is_here);
        is_here
    }

    pub(crate) fn expect_symbol(&mut self, symbol: &str) -> Outcome<()> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// One identifier: folded to upper case unless it is quoted.
    pub(crate) fn identifier(&mut self) -> Outcome<String> {
        match self.peek().cloned() {
            Some(Token::Word { text, is_quoted }) => {
                if text.is_empty() || text.chars().count() > 255 {
                    return Err(SqlError::identifier(&text));
                }
                self.position += 1;
                Ok(if is_quoted { text } else { text.to_uppercase() })
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Identifiers joined by dots.
    pub(crate) fn path(&mut self) -> Outcome<Vec<String>> {
        let mut parts = vec![self.identifier()?];
        while self.take_symbol(".") {
            parts.push(self.identifier()?);
        }
        Ok(parts)
    }

    pub(crate) fn text(&mut self) -> Outcome<String> {
        match self.peek().cloned() {
            Some(Token::Text(text)) => {
                self.position += 1;
                Ok(text)
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(crate) fn number(&mut self) -> Outcome<u64> {
        match self.peek().cloned() {
            Some(Token::Number(text)) => {
                self.position += 1;
                text.parse().map_err(|_| SqlError::syntax(&text))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// The names in parentheses.
    pub(crate) fn names(&mut self) -> Outcome<Vec<String>> {
        self.expect_symbol("(")?;
        let mut names = vec![self.identifier()?];
        while self.take_symbol(",") {
            names.push(self.identifier()?);
        }
        self.expect_symbol(")")?;
        Ok(names)
    }
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word { text, is_quoted: false } if text.eq_ignore_ascii_case(word))
}

fn token(raw: Raw) -> Option<Token> {
    Some(match raw {
        Raw::Whitespace(_) | Raw::EOF => return None,
        Raw::Word(word) => Token::Word { text: word.value, is_quoted: word.quote_style.is_some() },
        Raw::SingleQuotedString(text) => Token::Text(text),
        Raw::Number(text, _) => Token::Number(text),
        other => Token::Symbol(other.to_string()),
    })
}
