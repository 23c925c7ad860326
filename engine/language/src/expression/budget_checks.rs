//! Inserts budget checks into a syntax tree, around calls and literals that create items.

use super::budget;
use super::tree::{is_variable, namespace, wrap};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue};

/// Replaces calls that may create many items by versions that check the budget first.
pub(super) fn add_call_check(call: &mut CallExpr) {
    match (call.target.as_deref().map(namespace), call.func_name.as_str()) {
        (Some(None), "replace") => call.func_name = budget::REPLACE.to_owned(),
        (Some(None), "join") => call.func_name = budget::JOIN.to_owned(),
        (Some(None), "split") => {
            // The parts can be counted for a separator that is a literal or a variable. Otherwise assume one part for
            // each byte.
            let separator = call
                .args
                .first()
                .filter(|argument| matches!(argument.expr, Expr::Literal(_)) || is_variable(&argument.expr));
            let separator = separator.cloned();
            if let Some(text) = call.target.as_deref_mut() {
                wrap(text, budget::CHARGE_PARTS);
                if let (Expr::Call(parts), Some(separator)) = (&mut text.expr, separator) {
                    parts.args.push(separator);
                }
            }
            return;
        }
        (Some(Some("lists")), "range") => (call.target, call.func_name) = (None, "range".to_owned()),
        _ => return,
    }
    // As a plain function, because CEL looks up a method by the type of its target.
    call.args.splice(0..0, call.target.take().map(|target| *target));
}

/// Inserts checks around the values of a list or map literal. The size of its literals is known here, and the first
/// value accounts for it. `keys` is the size of the literal keys.
pub(super) fn add_element_checks(values: Vec<&mut IdedExpr>, keys: usize) {
    let mut literals = keys;
    let mut computed = Vec::new();
    let mut first_literal = None;
    for value in values {
        match literal_size(value) {
            Some(size) => {
                literals += size + 1;
                first_literal = first_literal.or(Some(value));
            }
            None => computed.push(value),
        }
    }
    if computed.is_empty()
        && let Some(value) = first_literal
    {
        literals -= literal_size(value).unwrap_or_default() + 1;
        computed.push(value);
    }
    for value in computed {
        wrap(value, budget::CHARGE_ELEMENT);
        if let (Expr::Call(call), true) = (&mut value.expr, literals > 0) {
            let count = i64::try_from(std::mem::take(&mut literals)).unwrap_or(i64::MAX);
            call.args.push(IdedExpr { id: value.id, expr: Expr::Literal(LiteralValue::Int(count.into())) });
        }
    }
}

/// The size of a literal in addition to its item; `None` for a computed value.
pub(super) fn literal_size(node: &IdedExpr) -> Option<usize> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(budget::text_size(text.inner().len())),
        Expr::Literal(LiteralValue::Bytes(bytes)) => Some(budget::text_size(bytes.inner().len())),
        Expr::Literal(_) => Some(0),
        _ => None,
    }
}
