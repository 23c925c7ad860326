//! Types of unquoted text: the core schema of YAML 1.2, except where it would lose a written digit.
//!
//! `0123`, `1_000`, `.inf` and dates stay text. A decimal keeps its text (`1.10`), so that nothing is rounded between
//! the descriptor and its provider.

use super::NodeKind;
use terrace_provider::Number;

/// The value of unquoted text.
pub(super) fn resolve(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeKind::Null,
        "true" | "True" | "TRUE" => return NodeKind::Bool(true),
        "false" | "False" | "FALSE" => return NodeKind::Bool(false),
        _ => {}
    }
    // Most scalars are words: try to parse a number only if the text starts like one.
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '-' || first == '+')
        && let Some(number) = resolve_number(text)
    {
        return number;
    }
    NodeKind::Text(text.to_owned())
}

/// The value of text with an explicit tag of the core schema; `None` when the text does not match the tag.
pub(super) fn resolve_tagged(suffix: &str, text: &str) -> Option<NodeKind> {
    let resolved = resolve(text);
    let is_fitting = match suffix {
        "null" => resolved == NodeKind::Null,
        "bool" => matches!(resolved, NodeKind::Bool(_)),
        "int" => matches!(resolved, NodeKind::Int(_)) || is_whole(&resolved),
        "float" => matches!(resolved, NodeKind::Int(_) | NodeKind::Number(_)),
        _ => return Some(NodeKind::Text(text.to_owned())),
    };
    is_fitting.then_some(resolved)
}

fn is_whole(kind: &NodeKind) -> bool {
    matches!(kind, NodeKind::Number(number) if number.as_str().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
}

fn resolve_number(text: &str) -> Option<NodeKind> {
    if let Some(digits) = text.strip_prefix("0x") {
        return from_radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return from_radix(digits, 8);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = digits.len() > 1 && digits.starts_with('0');
    // `-0` is not a whole number, because its sign would be lost.
    if is_integer
        && !has_leading_zero
        && text != "-0"
        && let Ok(value) = text.parse()
    {
        return Some(NodeKind::Int(value));
    }
    Number::parse(text).map(NodeKind::Number)
}

fn from_radix(digits: &str, radix: u32) -> Option<NodeKind> {
    // `from_str_radix` would accept a sign.
    digits.chars().all(|digit| digit.is_digit(radix)).then_some(())?;
    i64::from_str_radix(digits, radix).ok().map(NodeKind::Int)
}
