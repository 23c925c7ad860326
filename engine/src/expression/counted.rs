//! What of a tree is going to be counted: its calls and literals are compiled to what takes their cost from the budget.

use super::budget;
use super::compile::{is_looked_up, namespace, wrap};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue};

/// Calls that may make much become those that tell how much beforehand.
pub(super) fn charged(call: &mut CallExpr) {
    match (call.target.as_deref().map(namespace), call.func_name.as_str()) {
        (Some(None), "replace") => call.func_name = budget::REPLACE.to_owned(),
        (Some(None), "join") => call.func_name = budget::JOIN.to_owned(),
        (Some(None), "split") => {
            // Of a separator that is looked up, the parts can be counted; else there are as many as bytes at the most.
            let separator =
                call.args.first().filter(|it| matches!(it.expr, Expr::Literal(_)) || is_looked_up(&it.expr));
            let separator = separator.cloned();
            if let Some(text) = call.target.as_deref_mut() {
                wrap(text, budget::PARTS);
                if let (Expr::Call(parts), Some(separator)) = (&mut text.expr, separator) {
                    parts.args.push(separator);
                }
            }
            return;
        }
        (Some(Some("lists")), "range") => (call.target, call.func_name) = (None, "range".to_owned()),
        _ => return,
    }
    // As a plain function: the crate looks a method up by the type of its target.
    call.args.splice(0..0, call.target.take().map(|target| *target));
}

/// Puts what counts them around the values that a list or a map is to hold. What is literal was counted here: the first
/// value tells it along with its own. `keys` is what the literal keys cost.
pub(super) fn hold(values: Vec<&mut IdedExpr>, keys: usize) {
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
        wrap(value, budget::HELD);
        if let (Expr::Call(call), true) = (&mut value.expr, literals > 0) {
            let count = i64::try_from(std::mem::take(&mut literals)).unwrap_or(i64::MAX);
            call.args.push(IdedExpr { id: value.id, expr: Expr::Literal(LiteralValue::Int(count.into())) });
        }
    }
}

/// What a literal costs beside its place; `None` for what has to be computed.
pub(super) fn literal_size(node: &IdedExpr) -> Option<usize> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(budget::text_size(text.inner().len())),
        Expr::Literal(LiteralValue::Bytes(bytes)) => Some(budget::text_size(bytes.inner().len())),
        Expr::Literal(_) => Some(0),
        _ => None,
    }
}
