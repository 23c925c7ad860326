//! What one evaluation may cost: a line of text must not keep a server busy for minutes, or take all its memory.
//!
//! Charged is what grows: the items that a loop walks over, the items and the text that functions and `+` make.

use cel::ExecutionError;
use cel::common::types::{CelInt, CelList, CelString};
use cel::common::value::{CowVal, Val};
use std::cell::Cell;

/// The most items that one evaluation walks over and makes.
const ITEMS: u64 = 2_000_000;

/// So many bytes of text cost as much as one item.
const BYTES: usize = 16;

/// The function that failures of the budget are told as; no person can write its name.
pub(super) const NAME: &str = "@budget";

/// What `replace` and `join` are compiled to: they tell how much they make before they make it.
pub(super) const REPLACE: &str = "@replace";
/// As [`REPLACE`].
pub(super) const JOIN: &str = "@join";

/// The budget is used up.
#[derive(Debug, thiserror::Error)]
#[error("the computation is too large: it walks over or makes more than {ITEMS} items")]
pub(super) struct Exceeded;

impl From<Exceeded> for ExecutionError {
    fn from(exceeded: Exceeded) -> Self {
        Self::function_error(NAME, exceeded)
    }
}

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(ITEMS) };
}

/// Evaluates with a budget of its own.
pub(super) fn with_budget<T>(work: impl FnOnce() -> T) -> T {
    let around = LEFT.replace(ITEMS);
    let answer = work();
    LEFT.set(around);
    answer
}

/// Takes the cost of so many items.
///
/// # Errors
/// When the budget is used up.
pub(super) fn charge(items: usize) -> Result<(), Exceeded> {
    let items = u64::try_from(items).unwrap_or(u64::MAX);
    let left = LEFT.get().checked_sub(items);
    LEFT.set(left.unwrap_or_default());
    left.map(|_| ()).ok_or(Exceeded)
}

/// Takes the cost of so many bytes of text.
///
/// # Errors
/// As [`charge`].
pub(super) fn charge_text(bytes: usize) -> Result<(), Exceeded> {
    charge(bytes / BYTES)
}

/// Takes the cost of one more value like this.
///
/// # Errors
/// As [`charge`].
pub(super) fn charge_value(value: &dyn Val) -> Result<(), Exceeded> {
    if let Some(list) = value.downcast_ref::<CelList>() {
        return charge(list.inner().len());
    }
    match value.downcast_ref::<CelString>() {
        Some(text) => charge_text(text.inner().len()),
        None => Ok(()),
    }
}

/// `text.replace(from, to)`, and `text.replace(from, to, n)` for the first `n`; all where `n` is negative.
pub(super) fn replace<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (text, from, to, most) = match arguments.as_slice() {
        [text, from, to] => (text, from, to, None),
        [text, from, to, most] => (text, from, to, Some(most)),
        others => return Err(ExecutionError::invalid_argument_count(3, others.len())),
    };
    let mismatch = || no_overload("replace", &arguments);
    let [text, from, to] = [text, from, to].map(|argument| argument.downcast_ref::<CelString>().map(CelString::inner));
    let (Some(text), Some(from), Some(to)) = (text, from, to) else { return Err(mismatch()) };
    let most = most.map(|most| most.downcast_ref::<CelInt>().map(|most| *most.inner()).ok_or_else(mismatch));
    let most = most.transpose()?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let made = text.matches(from).take(most).count().saturating_mul(to.len());
    charge_text(text.len().saturating_add(made))?;
    Ok(CowVal::owned(CelString::from(text.replacen(from, to, most))))
}

/// `list.join()` and `list.join(separator)`.
pub(super) fn join<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mismatch = || no_overload("join", &arguments);
    let (list, separator) = match arguments.as_slice() {
        [list] => (list, ""),
        [list, separator] => (list, separator.downcast_ref::<CelString>().ok_or_else(mismatch)?.inner()),
        others => return Err(ExecutionError::invalid_argument_count(2, others.len())),
    };
    let list = list.downcast_ref::<CelList>().ok_or_else(mismatch)?.inner();
    let texts: Option<Vec<&str>> =
        list.iter().map(|item| item.downcast_ref::<CelString>().map(CelString::inner)).collect();
    let texts = texts.ok_or_else(|| ExecutionError::function_error("join", "an item of the list is no text"))?;
    let bytes = texts.iter().map(|text| text.len() + separator.len()).fold(0, usize::saturating_add);
    charge(texts.len())?;
    charge_text(bytes)?;
    Ok(CowVal::owned(CelString::from(texts.join(separator))))
}

fn no_overload(function: &str, arguments: &[CowVal<'_, '_>]) -> ExecutionError {
    let types = arguments.iter().map(|argument| argument.get_type().name().to_owned()).collect();
    ExecutionError::no_such_overload(function, types)
}
