//! Errors in the text of an expression, as messages for its author.

use super::split::{Scanner, Token};
use cel::ParseErrors;

/// The stack that each level of nesting needs in the parser, in units of [`UNIT`].
mod weight {
    pub(super) const BRACKET: usize = 20;
    pub(super) const OPERATOR: usize = 4;
    pub(super) const DOT: usize = 2;
    /// The maximum for an expression. Realistic expressions stay far below.
    pub(super) const LIMIT: usize = 2000;
}

/// Bytes of stack for a unit of weight.
const UNIT: usize = if cfg!(debug_assertions) { 16 * 1024 } else { 8 * 1024 };

/// An error in the text of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The byte of the expression where the error starts.
    pub(super) at: usize,
    /// The length of the error, in bytes.
    pub(super) length: usize,
    /// The message.
    pub(super) message: String,
    /// The remedy.
    pub(super) hint: Option<String>,
    /// True if the text may be right: the same text may compile later.
    pub(super) is_temporary: bool,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, length: 1, message: message.into(), hint: None, is_temporary: false }
    }

    /// Sets the length.
    pub(super) fn long(self, length: usize) -> Self {
        Self { length, ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Estimates the bytes of stack that parsing needs.
///
/// # Errors
/// When the estimate exceeds the limit.
pub(super) fn needed_stack(text: &str) -> Result<usize, Fault> {
    // The weight within each open bracket since its last comma, because all of it may nest.
    let mut levels = vec![0_usize];
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut scanner = Scanner::new(text);
    while let Some(token) = scanner.next_token() {
        let Token::Symbol(at, symbol) = token else { continue };
        let weight = match symbol {
            '(' | '[' | '{' => weight::BRACKET,
            '?' | '!' | '-' | '+' | '*' | '/' | '%' | '<' | '>' | '=' | '&' | '|' => weight::OPERATOR,
            'i' if is_in(text, at) => weight::OPERATOR,
            '.' => weight::DOT,
            _ => 0,
        };
        depth += weight;
        if let Some(top) = levels.last_mut() {
            *top += weight;
        }
        match symbol {
            '(' | '[' | '{' => levels.push(0),
            ')' | ']' | '}' if levels.len() > 1 => depth -= levels.pop().unwrap_or_default(),
            ',' => depth -= levels.last_mut().map_or(0, std::mem::take),
            _ => {}
        }
        deepest = deepest.max(depth);
        if depth > weight::LIMIT {
            return Err(too_deep(at));
        }
    }
    Ok(deepest * UNIT)
}

/// The error of an expression that nests too deeply.
pub(super) fn too_deep(at: usize) -> Fault {
    Fault::new(at, "the expression nests too deeply").hint("split it: put a part of it into `locals`")
}

/// The error of an expression for which no stack could be allocated.
pub(super) fn no_stack() -> Fault {
    let fault = Fault::new(0, "the expression cannot be read now: its depth needs more memory than the process has");
    Fault { is_temporary: true, ..fault.hint("try again, or give the process more memory") }
}

/// True when the operator `in` starts at that byte.
fn is_in(text: &str, at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.split_at_checked(at).is_some_and(|(before, after)| {
        !before.ends_with(is_word) && after.strip_prefix("in").is_some_and(|after| !after.starts_with(is_word))
    })
}

/// Converts the first error of CEL's parser to a message.
pub(super) fn fault_of(text: &str, errors: &ParseErrors) -> Fault {
    let Some(first) = errors.errors.first() else { return Fault::new(0, "the expression cannot be read") };
    let at = byte_of(text, first.pos.0, first.pos.1);
    readable(at, first.msg.trim())
}

/// Converts a line (from 1) and a column (from 1, in characters) to a byte.
fn byte_of(text: &str, line: isize, column: isize) -> usize {
    let line = usize::try_from(line).unwrap_or_default().saturating_sub(1);
    let column = usize::try_from(column).unwrap_or_default().saturating_sub(1);
    let line_start = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    let rest = text.get(line_start..).unwrap_or_default();
    line_start + rest.chars().take(column).map(char::len_utf8).sum::<usize>()
}

/// Rewrites the parser's message without its lists of tokens.
fn readable(at: usize, message: &str) -> Fault {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let quoted = || -> Option<&str> {
        let (_, rest) = message.split_once('\'')?;
        let end = rest.find("' expecting").or_else(|| rest.rfind('\''))?;
        rest.get(..end)
    };
    if message.starts_with("token recognition error") {
        let found = quoted().unwrap_or_default();
        return if found.starts_with(['\'', '"']) {
            Fault::new(at, "a text lacks its closing quote")
        } else {
            Fault::new(at, format!("`{found}` is not valid in an expression"))
        };
    }
    if message.contains("'<EOF>'") {
        return Fault::new(at, "the expression ends too early")
            .hint("an operator has no right side, or a bracket is not closed");
    }
    if message.starts_with("no viable alternative")
        || message.starts_with("mismatched input")
        || message.starts_with("extraneous input")
    {
        let found = quoted().unwrap_or_default();
        let fault = Fault::new(at, format!("unexpected `{found}`"));
        return match found {
            "=" => fault.hint("`==` compares"),
            "&" => fault.hint("`&&` is the logical and"),
            "|" => fault.hint("`||` is the logical or"),
            "." => fault.hint("write a name before and after the dot: `vars.NAME`"),
            _ => fault,
        };
    }
    if let Some((_, word)) = message.split_once("reserved identifier: ") {
        return Fault::new(at, format!("`{}` is a reserved word of CEL", word.trim_matches('\''))).hint(
            if word.trim() == "var" { "variables are read as `vars.NAME`" } else { "it is allowed only after a dot" },
        );
    }
    if message.contains("ecursion limit") {
        return too_deep(0);
    }
    if message.contains("_?_:_") {
        return Fault::new(at, "incomplete conditional: expected `condition ? a : b`")
            .hint("for a key that may be missing, write `has(value.key) ? value.key : other`");
    }
    Fault::new(at, format!("the expression cannot be read: {message}"))
}
