//! A limit of the depth of templates, checked before minijinja parses them.
//!
//! minijinja's parser, code generator and destructor call themselves for each nested part. It limits brackets and
//! blocks, but no operators: `not not …` exceeds the stack and ends the process.
//!
//! The check reads the tokens of minijinja's own lexer, without recursion. It agrees with the parser up to the parser's
//! first error; the parser does not read the tokens after that. Each node of an expression has at least one token other
//! than a name, a text or a number. So the number of these tokens limits the depth.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use std::ops::Range;

/// Maximum number of nested operators in an expression: `a.b` has one, `not a.b` has two.
pub(super) const DEEPEST_EXPRESSION: usize = 250;
/// Maximum number of brackets around a value.
pub(super) const DEEPEST_BRACKETS: usize = 30;
/// Maximum number of blocks around a part of the template.
const DEEPEST_BLOCKS: usize = 30;
/// Maximum number of `elif` around a part of the template: each is nested in the one before.
const MOST_ALTERNATIVES: usize = 60;

/// The words that are operators.
const OPERATORS: [&str; 7] = ["and", "else", "if", "in", "is", "not", "or"];

/// A part of a template beyond a limit.
#[derive(Debug)]
pub(super) struct TooDeep {
    /// The message.
    pub(super) message: String,
    /// The place in the text.
    pub(super) at: Range<usize>,
}

/// Checks the depth of a template, or of an expression without delimiters.
///
/// # Errors
/// When the depth exceeds a limit. minijinja reports other errors.
pub(super) fn check(text: &str, is_expression: bool, syntax: SyntaxConfig) -> Result<(), TooDeep> {
    let mut brackets = Brackets::default();
    let mut blocks = Blocks::default();
    let mut is_keyword = false;
    for token in tokenize(text, is_expression, syntax) {
        let Ok((token, span)) = token else { return Ok(()) };
        let begins_statement = matches!(token, Token::BlockStart);
        let exceeded = match token {
            Token::Ident(keyword) if is_keyword => blocks.add(keyword),
            Token::VariableStart | Token::BlockStart => {
                brackets = Brackets::default();
                None
            }
            token => brackets.add(&token),
        };
        if let Some(message) = exceeded {
            return Err(TooDeep { message, at: span.start_offset as usize..span.end_offset as usize });
        }
        is_keyword = begins_statement;
    }
    Ok(())
}

/// The depth of an expression.
#[derive(Debug, Default)]
struct Brackets {
    /// The expression within the innermost bracket.
    inner: Level,
    /// The expressions around it, each up to its open bracket.
    outer: Vec<Level>,
}

/// The expression between two brackets. Commas separate its parts.
#[derive(Debug, Default)]
struct Level {
    /// Operators of the expressions around this one.
    above: usize,
    /// Operators of the current part.
    own: usize,
    /// Depth of the brackets in the current part.
    below: usize,
    /// Depth of the earlier parts.
    earlier: usize,
}

impl Level {
    fn depth(&self) -> usize {
        self.earlier.max(self.own + self.below)
    }
}

impl Brackets {
    /// Adds a token. Returns a message if a limit is exceeded.
    fn add(&mut self, token: &Token<'_>) -> Option<String> {
        match token {
            Token::Ident(name) if !OPERATORS.contains(name) => return None,
            Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => return None,
            Token::Comma | Token::Colon => {
                self.inner.earlier = self.inner.depth();
                (self.inner.own, self.inner.below) = (0, 0);
            }
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => {
                self.inner.own += 1;
                let above = self.inner.above + self.inner.own;
                self.outer.push(std::mem::replace(&mut self.inner, Level { above, ..Level::default() }));
            }
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                let depth = self.inner.depth();
                self.inner = self.outer.pop()?;
                self.inner.below = self.inner.below.max(depth);
            }
            _ => self.inner.own += 1,
        }
        if self.outer.len() > DEEPEST_BRACKETS {
            return Some(format!("the expression has more than {DEEPEST_BRACKETS} nested brackets"));
        }
        let is_deep = self.inner.above + self.inner.own + self.inner.below > DEEPEST_EXPRESSION;
        is_deep.then(|| format!("the expression has more than {DEEPEST_EXPRESSION} operators in a row"))
    }
}

/// The open blocks.
#[derive(Debug, Default)]
struct Blocks {
    /// The number of `elif` in each open block.
    open: Vec<usize>,
    /// The sum of these numbers.
    alternatives: usize,
}

impl Blocks {
    /// Adds the keyword of a statement. Returns a message if a limit is exceeded.
    fn add(&mut self, keyword: &str) -> Option<String> {
        match keyword {
            "autoescape" | "block" | "call" | "filter" | "for" | "if" | "macro" | "with" => self.open.push(0),
            "elif" => {
                *self.open.last_mut()? += 1;
                self.alternatives += 1;
            }
            // A `set` may have a block or none. minijinja limits the depth of those that have.
            "endset" => {}
            keyword if keyword.starts_with("end") => self.alternatives -= self.open.pop()?,
            _ => {}
        }
        if self.open.len() > DEEPEST_BLOCKS {
            return Some(format!("the template has more than {DEEPEST_BLOCKS} nested blocks"));
        }
        let is_long = self.alternatives > MOST_ALTERNATIVES;
        is_long.then(|| format!("a condition has more than {MOST_ALTERNATIVES} `elif`"))
    }
}
