//! The budget of a template's result.

use super::{IS_SPENT, LIMITS, RESULT_LEFT, RESULT_LIMIT};
use crate::expression::functions::Functions;

/// Evaluates a template within the stack's budget. Also returns the size of the result.
pub(in crate::expression) fn with_result_budget<T>(functions: &Functions, work: impl FnOnce() -> T) -> (T, u64) {
    let limit = functions.allowed();
    let previous = (
        RESULT_LEFT.replace(limit),
        RESULT_LIMIT.replace(limit),
        LIMITS.replace(functions.item_limits()),
        IS_SPENT.take(),
    );
    let answer = work();
    let size = limit.saturating_sub(RESULT_LEFT.replace(previous.0));
    RESULT_LIMIT.set(previous.1);
    LIMITS.set(previous.2);
    if IS_SPENT.replace(previous.3) {
        functions.limits().exceed();
    }
    (answer, size)
}
