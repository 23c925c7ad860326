//! What is wrong with an expression's text, in words of its author.

use super::split::{Scanner, Token};
use cel::ParseErrors;

/// The most that expressions may nest, and operators follow one another. Beyond it the recursion of parser and
/// evaluator would endanger the stack; people's expressions stay far below.
const DEPTH_LIMIT: usize = 300;

/// A fault in an expression's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The byte of the expression where it is.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Refuses what nests too deeply to be parsed on any thread's stack.
pub(super) fn check_depth(text: &str) -> Result<(), Fault> {
    // One count for each open bracket: the operators since its last comma, each of which may nest the next.
    let mut levels = vec![0_usize];
    let mut depth = 0_usize;
    let mut scanner = Scanner::new(text);
    while let Some(token) = scanner.next_token() {
        let Token::Symbol(at, symbol) = token else { continue };
        match symbol {
            '(' | '[' | '{' => {
                depth += 1;
                if let Some(top) = levels.last_mut() {
                    *top += 1;
                }
                levels.push(0);
            }
            ')' | ']' | '}' if levels.len() > 1 => depth -= levels.pop().unwrap_or_default(),
            ',' => {
                if let Some(top) = levels.last_mut() {
                    depth -= std::mem::take(top);
                }
            }
            '.' | '?' | '!' | '-' | '+' | '*' | '/' | '%' | '<' | '>' | '=' | '&' | '|' => {
                depth += 1;
                if let Some(top) = levels.last_mut() {
                    *top += 1;
                }
            }
            _ => {}
        }
        if depth > DEPTH_LIMIT {
            return Err(Fault::new(at, "the expression nests too deeply")
                .hint("split it: put a part into `locals`, or into a list that is joined"));
        }
    }
    Ok(())
}

/// The first thing that CEL's parser complains of, as a sentence.
pub(super) fn fault_of(text: &str, errors: &ParseErrors) -> Fault {
    let Some(first) = errors.errors.first() else { return Fault::new(0, "the expression cannot be read") };
    let at = byte_of(text, first.pos.0, first.pos.1);
    readable(at, first.msg.trim())
}

/// The byte of a line (from 1) and a column (from 1, in characters).
fn byte_of(text: &str, line: isize, column: isize) -> usize {
    let line = usize::try_from(line).unwrap_or_default().saturating_sub(1);
    let column = usize::try_from(column).unwrap_or_default().saturating_sub(1);
    let line_start = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    let rest = text.get(line_start..).unwrap_or_default();
    line_start + rest.chars().take(column).map(char::len_utf8).sum::<usize>()
}

/// The parser's own sentence, without its lists of tokens.
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
            Fault::new(at, format!("`{found}` is no part of an expression"))
        };
    }
    if message.contains("<EOF>") {
        return Fault::new(at, "the expression ends too early")
            .hint("an operator lacks its right side, or a bracket is not closed");
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
            _ => fault,
        };
    }
    if let Some((_, word)) = message.split_once("reserved identifier: ") {
        return Fault::new(at, format!("`{}` is a word that CEL keeps for itself", word.trim_matches('\'')))
            .hint(if word.trim() == "var" { "variables are read as `vars.NAME`" } else { "it may stand after a dot" });
    }
    if message.contains("ecursion limit") {
        return Fault::new(at, "the expression nests too deeply");
    }
    Fault::new(at, format!("the expression cannot be read: {message}"))
}
