//! Parts of syntax trees.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr};

/// The namespaces in names like `math.greatest`. Before a call they are not variables.
const NAMESPACES: [&str; 4] = ["lists", "math", "optional", "strings"];

/// True for a variable or its field: reading it twice costs nothing.
pub(super) fn is_variable(tree: &Expr) -> bool {
    match tree {
        Expr::Ident(_) => true,
        Expr::Select(select) => !select.test && is_variable(&select.operand.expr),
        _ => false,
    }
}

/// Wraps a node in a call.
pub(super) fn wrap(node: &mut IdedExpr, function: &str) {
    let inner = std::mem::take(node);
    let id = inner.id;
    let call = CallExpr { func_name: function.to_owned(), target: None, args: vec![inner] };
    *node = IdedExpr { id, expr: Expr::Call(call) };
}

/// The namespace of a call: `math` in `math.greatest(…)`.
pub(super) fn namespace(target: &IdedExpr) -> Option<&str> {
    match &target.expr {
        Expr::Ident(name) => NAMESPACES.contains(&name.as_str()).then_some(name),
        _ => None,
    }
}
