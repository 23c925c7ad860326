//! Budgets of an evaluation: a line of text must not occupy a server for minutes or take all its memory.
//!
//! The budgets cover the items that loops visit, the items and texts that functions and `+` create, the values that are
//! read or copied into lists and maps, and the result. Each is charged before anything is copied. Otherwise a few lines
//! that each contain the previous one ten times would exhaust any memory.

pub(super) mod result;

use super::measure;
use crate::limits::Limits;
use cel::ExecutionError;
use cel::common::ast::operators;
use cel::common::types::{CelInt, CelList, CelMap, CelString};
use cel::common::value::{CowVal, Val};
use std::cell::Cell;
use std::thread::LocalKey;
use terrace_provider::Value;
use terrace_provider::value::DEEPEST;

/// Maximum number of items that an evaluation visits, reads, copies, or returns. [`Limits::items`] may set a lower
/// limit.
///
/// [`Limits::items`]: crate::limits::Limits::items
pub(super) const ITEMS: u64 = 2_000_000;

/// Maximum number of items in all large values of a stack together.
const TOTAL: u64 = 20_000_000;

/// Values up to this size do not count towards [`TOTAL`]: their number is limited by the size of the descriptor.
pub(super) const SMALL: u64 = 1_000;

/// Number of copied items that cost as much as a step of a loop.
const COPIES: usize = 8;

/// Number of bytes of text that cost as much as an item.
const BYTES: usize = 16;

/// The function name in budget errors. Users cannot write it.
pub(super) const NAME: &str = "@budget";
/// The function name in errors of a stack's budget.
pub(super) const TOTAL_NAME: &str = "@budgets";

/// Replacement of `replace`, which checks the size of the result first.
pub(super) const REPLACE: &str = "@replace";
/// Replacement of `join`, like [`REPLACE`].
pub(super) const JOIN: &str = "@join";

/// Replacement of `+`.
pub(super) const ADD: &str = "@add";
/// Wrapper of a value in a list or map literal, which charges for the copy. A second argument is the size of the
/// literals next to it.
pub(super) const CHARGE_ELEMENT: &str = "@held";
/// Wrapper of a key, or of a call whose result contains items of another list.
pub(super) const CHARGE_COPY: &str = "@made";
/// Wrapper of a text before it is split; a second argument is the separator.
pub(super) const CHARGE_PARTS: &str = "@parts";

/// The limits of an evaluation and of its stack.
#[derive(Clone, Copy)]
pub(super) struct ItemLimits {
    /// Maximum number of items of an evaluation.
    pub(super) evaluation: u64,
    /// Maximum number of items of all large values together.
    pub(super) stack: u64,
    /// How to raise the limits, if memory determines them.
    raise: Option<&'static str>,
}

impl ItemLimits {
    const DEFAULT: Self = Self { evaluation: ITEMS, stack: TOTAL, raise: None };

    /// The budgets under these limits.
    pub(super) fn of(limits: &Limits) -> Self {
        let count = |items: usize| u64::try_from(items).unwrap_or(u64::MAX);
        let evaluation = count(limits.items).min(ITEMS);
        let stack = evaluation.saturating_mul(10).min(count(limits.values).saturating_mul(4));
        Self { evaluation, stack, raise: (evaluation < ITEMS).then_some(limits.raise) }
    }
}

/// Error of an exceeded budget.
#[derive(Debug)]
pub(super) enum Exceeded {
    /// The budget of an evaluation.
    Evaluation,
    /// The budget of a stack.
    Stack,
}

impl Exceeded {
    /// The exceeded budget: the stack's, if it allowed at most `limit` items.
    fn of(limit: u64) -> Self {
        if RESULT_LIMIT.get() <= limit { Self::Stack } else { Self::Evaluation }
    }

    /// The remedy.
    pub(super) fn hint(&self) -> String {
        let less = match self {
            Self::Evaluation => "visit fewer items, and copy smaller values",
            Self::Stack => "embed less of other values: read the needed part, not the whole",
        };
        LIMITS.get().raise.map_or_else(|| less.to_owned(), |raise| format!("{less}, or {raise}"))
    }
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let megabytes = |items: u64| items.saturating_mul(BYTES as u64) / 1_000_000;
        let ItemLimits { evaluation, stack, .. } = LIMITS.get();
        match self {
            Self::Evaluation => write!(
                f,
                "the computation is too large: it visits or creates more than {evaluation} items, or {} MB of text",
                megabytes(evaluation)
            ),
            Self::Stack => write!(
                f,
                "the values of the stack are too large: together they hold more than {stack} items, or {} MB of text",
                megabytes(stack)
            ),
        }
    }
}

impl std::error::Error for Exceeded {}

impl From<Exceeded> for ExecutionError {
    fn from(exceeded: Exceeded) -> Self {
        let name = match exceeded {
            Exceeded::Evaluation => NAME,
            Exceeded::Stack => TOTAL_NAME,
        };
        Self::function_error(name, exceeded)
    }
}

/// Error of a value that nests deeper than the state allows.
#[derive(Debug, thiserror::Error)]
#[error("the value nests lists and maps deeper than {DEEPEST} levels")]
pub(super) struct TooDeep;

impl TooDeep {
    /// The remedy.
    pub(super) fn hint(&self) -> &'static str {
        "embed less of other values: read the needed part, not the whole"
    }
}

type Counter = LocalKey<Cell<u64>>;

thread_local! {
    /// Items that loops may still visit, and functions create.
    static VISITS_LEFT: Cell<u64> = const { Cell::new(ITEMS) };
    /// Items that may still be read.
    static READS_LEFT: Cell<u64> = const { Cell::new(ITEMS) };
    /// Items that may still be copied into lists, maps and sums.
    static COPIES_LEFT: Cell<u64> = const { Cell::new(ITEMS) };
    /// Items that the result of a template may still contain.
    static RESULT_LEFT: Cell<u64> = const { Cell::new(ITEMS) };
    /// Items that the stack allows the result to contain.
    static RESULT_LIMIT: Cell<u64> = const { Cell::new(ITEMS) };
    /// The limits of the stack.
    static LIMITS: Cell<ItemLimits> = const { Cell::new(ItemLimits::DEFAULT) };
    /// Whether a budget was exceeded.
    static IS_SPENT: Cell<bool> = const { Cell::new(false) };
}

/// The budgets of a template, to be transferred between threads.
#[derive(Clone, Copy)]
pub(super) struct Budgets {
    result_left: u64,
    result_limit: u64,
    limits: ItemLimits,
    is_spent: bool,
}

impl Budgets {
    /// The budgets of this thread.
    pub(super) fn of_thread() -> Self {
        Self {
            result_left: RESULT_LEFT.get(),
            result_limit: RESULT_LIMIT.get(),
            limits: LIMITS.get(),
            is_spent: IS_SPENT.get(),
        }
    }

    /// Sets the budgets of this thread.
    pub(super) fn resume(self) {
        RESULT_LEFT.set(self.result_left);
        RESULT_LIMIT.set(self.result_limit);
        LIMITS.set(self.limits);
        IS_SPENT.set(self.is_spent);
    }
}

/// Evaluates with new budgets.
pub(super) fn with_budget<T>(work: impl FnOnce() -> T) -> T {
    // Do not compute more than the result may contain, in case the stack's budget is exhausted.
    let limit = RESULT_LIMIT.get();
    let previous =
        [&VISITS_LEFT, &READS_LEFT, &COPIES_LEFT].map(|counter| (counter, counter.replace(LIMITS.get().evaluation)));
    if limit <= SMALL {
        previous.iter().for_each(|(counter, _)| counter.set(limit));
    }
    let answer = work();
    previous.into_iter().for_each(|(counter, left)| counter.set(left));
    answer
}

/// Charges for visited or created items.
///
/// # Errors
/// When the budget is exceeded.
pub(super) fn charge(items: usize) -> Result<(), Exceeded> {
    take(&VISITS_LEFT, items).map_err(|Spent| Exceeded::of(SMALL))
}

/// Marker of an exhausted counter.
struct Spent;

fn take(counter: &'static Counter, items: usize) -> Result<(), Spent> {
    let items = u64::try_from(items).unwrap_or(u64::MAX);
    let left = counter.get().checked_sub(items);
    counter.set(left.unwrap_or_default());
    IS_SPENT.set(IS_SPENT.get() || left.is_none());
    left.map(|_| ()).ok_or(Spent)
}

/// Charges for items that are read.
pub(super) fn charge_read(items: usize) -> Result<(), Exceeded> {
    take(&READS_LEFT, items).map_err(|Spent| Exceeded::of(SMALL))
}

/// Charges for items of the result.
pub(super) fn charge_result(items: usize) -> Result<(), Exceeded> {
    take(&RESULT_LEFT, items).map_err(|Spent| Exceeded::of(LIMITS.get().evaluation.saturating_sub(1)))
}

/// Charges for copied items.
pub(super) fn charge_copy(items: usize) -> Result<(), Exceeded> {
    take(&COPIES_LEFT, items).map_err(|Spent| Exceeded::of(SMALL))
}

/// Charges for a value that is returned as it is.
pub(super) fn charge_result_value(value: &Value) -> Result<(), Exceeded> {
    charge_result(measure::of_value(value))
}

/// The cost of a text, in items.
pub(super) fn text_size(bytes: usize) -> usize {
    bytes / BYTES
}

/// Charges for a text.
///
/// # Errors
/// As [`charge`].
pub(super) fn charge_text(bytes: usize) -> Result<(), Exceeded> {
    charge(text_size(bytes))
}

/// Charges for iterating over a list, whose items are copied.
///
/// # Errors
/// As [`charge`].
pub(super) fn charge_loop(list: &dyn Val) -> Result<(), Exceeded> {
    let items = list.downcast_ref::<CelList>().map_or(0, |list| list.inner().len());
    charge(items.max(measure::of_cel(list) / COPIES))
}

/// Charges for a function that visits a whole value.
///
/// # Errors
/// As [`charge`].
pub(super) fn charge_argument(value: &dyn Val) -> Result<(), Exceeded> {
    charge_size(measure::of_cel(value))
}

/// Charges for a function that visits a value of that size.
///
/// # Errors
/// As [`charge`].
pub(super) fn charge_size(size: usize) -> Result<(), Exceeded> {
    charge(size / COPIES)
}

/// Charges for a value that is put into a list or a map. A new list is moved instead of copied, and its items were
/// charged when it was created.
pub(super) fn charge_element<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mut arguments = arguments.into_iter();
    let Some(value) = arguments.next() else { return Err(ExecutionError::invalid_argument_count(1, 0)) };
    let literals = arguments.next();
    let literals = literals.as_ref().and_then(|count| count.downcast_ref::<CelInt>()).map(|count| *count.inner());
    let is_moved = matches!(value, CowVal::Owned(_)) && measure::has_items(value.as_ref());
    let size = if is_moved { 0 } else { measure::of_cel(value.as_ref()) };
    charge_copy(
        size.saturating_add(1).saturating_add(literals.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)),
    )?;
    Ok(value)
}

/// Charges for a value that is copied, or was just created by copying.
pub(super) fn charge_copied<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Some(value) = arguments.pop() else { return Err(ExecutionError::invalid_argument_count(1, 0)) };
    charge_copy_of(value.as_ref())?;
    Ok(value)
}

/// Charges for a copy of a value.
pub(super) fn charge_copy_of(value: &dyn Val) -> Result<(), Exceeded> {
    charge_copy(measure::of_cel(value))
}

/// Charges for a text before it is split.
pub(super) fn charge_parts<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mut arguments = arguments.into_iter();
    let Some(value) = arguments.next() else { return Err(ExecutionError::invalid_argument_count(1, 0)) };
    if let Some(text) = value.downcast_ref::<CelString>().map(CelString::inner) {
        let separator = arguments.next();
        let separator = separator.as_ref().and_then(|separator| separator.downcast_ref::<CelString>());
        let parts = match separator.map(CelString::inner) {
            Some(separator) if !separator.is_empty() => text.matches(separator).count() + 1,
            _ => text.len(),
        };
        charge_copy(parts.saturating_add(text_size(text.len())))?;
    }
    Ok(value)
}

/// Evaluates `a + b` and charges for both copies. Refuses `list + map`, for which CEL would append the map's keys in
/// any order.
pub(super) fn add<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right] = arguments.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, arguments.len()));
    };
    if right.downcast_ref::<CelMap>().is_some() {
        return Err(ExecutionError::no_such_overload(operators::ADD, vec!["map".to_owned()]));
    }
    let size = measure::of_cel(left.as_ref()).saturating_add(measure::of_cel(right.as_ref()));
    if size > 0 {
        charge_copy(size)?;
    }
    let adder = left.as_adder().ok_or_else(|| no_overload(operators::ADD, &arguments))?;
    Ok(CowVal::Owned(adder.add(right.as_ref())?.into_owned()))
}

/// Evaluates `text.replace(from, to)`, or `text.replace(from, to, n)` for the first `n` occurrences; a negative `n`
/// means all.
pub(super) fn replace<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (text, from, to, most) = match arguments.as_slice() {
        [text, from, to] => (text, from, to, None),
        [text, from, to, most] => (text, from, to, Some(most)),
        arguments => return Err(ExecutionError::invalid_argument_count(3, arguments.len())),
    };
    let mismatch = || no_overload("replace", &arguments);
    let [text, from, to] = [text, from, to].map(|argument| argument.downcast_ref::<CelString>().map(CelString::inner));
    let (Some(text), Some(from), Some(to)) = (text, from, to) else { return Err(mismatch()) };
    let most = most.map(|most| most.downcast_ref::<CelInt>().map(|most| *most.inner()).ok_or_else(mismatch));
    let most = most.transpose()?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let added = text.matches(from).take(most).count().saturating_mul(to.len());
    charge_text(text.len().saturating_add(added))?;
    Ok(CowVal::owned(CelString::from(text.replacen(from, to, most))))
}

/// Evaluates `list.join()` and `list.join(separator)`.
pub(super) fn join<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mismatch = || no_overload("join", &arguments);
    let (list, separator) = match arguments.as_slice() {
        [list] => (list, ""),
        [list, separator] => (list, separator.downcast_ref::<CelString>().ok_or_else(mismatch)?.inner()),
        arguments => return Err(ExecutionError::invalid_argument_count(2, arguments.len())),
    };
    let list = list.downcast_ref::<CelList>().ok_or_else(mismatch)?.inner();
    let texts: Option<Vec<&str>> =
        list.iter().map(|item| item.downcast_ref::<CelString>().map(CelString::inner)).collect();
    let texts = texts.ok_or_else(|| ExecutionError::function_error("join", "an item of the list is not text"))?;
    let bytes = texts.iter().map(|text| text.len() + separator.len()).fold(0, usize::saturating_add);
    charge(texts.len())?;
    charge_text(bytes)?;
    Ok(CowVal::owned(CelString::from(texts.join(separator))))
}

/// The error of a function that does not support these types.
pub(super) fn no_overload(function: &str, arguments: &[CowVal<'_, '_>]) -> ExecutionError {
    let types = arguments.iter().map(|argument| argument.get_type().name().to_owned()).collect();
    ExecutionError::no_such_overload(function, types)
}
