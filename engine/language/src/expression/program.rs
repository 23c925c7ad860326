//! Compiled expressions.

use super::call::Call;
use super::needed::Needed;
use super::reference::Reference;
use super::syntax::Fault;
use cel::IdedExpr;

/// The compiled form of an expression.
#[derive(Debug)]
pub(super) struct Compiled {
    /// The paths that it reads, as far as its text shows. Paths within `[…]` are listed separately, too.
    pub(super) references: Vec<Reference>,
    /// How it is evaluated.
    pub(super) program: Program,
}

/// How an expression is evaluated.
#[derive(Debug)]
pub(super) enum Program {
    /// A path: its value is returned as it is.
    Path(Reference),
    /// Any other expression, evaluated by CEL.
    Cel(Cel),
    /// An invalid expression of a built-in blueprint. Evaluation reports the fault.
    Invalid(Fault),
}

/// A syntax tree over numbered paths.
#[derive(Debug)]
pub(super) struct Cel {
    /// The tree; a path is the variable that [`Use::variable`](super::variable::Use::variable) names.
    pub(super) tree: IdedExpr,
    /// The paths.
    pub(super) paths: Vec<Reference>,
    /// The parts of each path that the tree uses.
    pub(super) needed: Vec<Needed>,
    /// The call, if the tree is a single call.
    pub(super) call: Option<Call>,
    /// The keys of the map literals, in the order written. Results have the same order.
    pub(super) keys: Vec<String>,
    /// The providers in calls of `identity` and `identities`, if they are literals.
    pub(super) named_by: Vec<String>,
    /// The bytes of stack that evaluation may need.
    pub(super) stack: usize,
}
