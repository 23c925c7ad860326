//! Sizes of values: the number of items in all lists and maps, plus the length of texts.
//!
//! Measuring is cheap compared with copying, and stops once a value exceeds every budget.

use super::budget::{ITEMS, text_size};
use cel::common::types::{CelBytes, CelList, CelMap, CelMapKey, CelOptional, CelString};
use cel::common::value::Val;
use std::cell::Cell;
use terrace_provider::Value;

/// Larger than any budget: measuring stops here.
const MAX_SIZE: usize = 64 * ITEMS as usize;

thread_local! {
    static IS_MEASURING: Cell<bool> = const { Cell::new(false) };
}

/// True while a value is measured. Unknown values are not touched then, because the result does not depend on them.
pub(super) fn is_measuring() -> bool {
    IS_MEASURING.get()
}

/// The size of a value.
pub fn of_value(value: &Value) -> usize {
    let mut size = 0;
    add_value(value, &mut size);
    size
}

fn add_value(value: &Value, size: &mut usize) {
    match value.exposed() {
        Value::String(text) => *size += text_size(text.len()),
        Value::Number(number) => *size += text_size(number.as_str().len()),
        Value::List(items) => {
            *size += items.len();
            for item in items {
                if *size > MAX_SIZE {
                    return;
                }
                add_value(item, size);
            }
        }
        Value::Map(entries) => {
            *size += entries.len();
            for (key, value) in entries {
                if *size > MAX_SIZE {
                    return;
                }
                *size += text_size(key.len());
                add_value(value, size);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Unknown | Value::Sensitive(_) => {}
    }
}

/// The size of a CEL value.
pub(super) fn of_cel(value: &dyn Val) -> usize {
    while_measuring(|| {
        let mut size = 0;
        add_cel(value, &mut size);
        size
    })
}

/// True for a list or a map of CEL.
pub(super) fn has_items(value: &dyn Val) -> bool {
    while_measuring(|| value.downcast_ref::<CelList>().is_some() || value.downcast_ref::<CelMap>().is_some())
}

fn while_measuring<T>(work: impl FnOnce() -> T) -> T {
    let previous = IS_MEASURING.replace(true);
    let answer = work();
    IS_MEASURING.set(previous);
    answer
}

fn add_cel(value: &dyn Val, size: &mut usize) {
    if let Some(text) = value.downcast_ref::<CelString>() {
        *size += text_size(text.inner().len());
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        *size += list.inner().len();
        for item in list.inner() {
            if *size > MAX_SIZE {
                return;
            }
            add_cel(item.as_ref(), size);
        }
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        *size += map.inner().len();
        for (key, value) in map.inner() {
            if *size > MAX_SIZE {
                return;
            }
            if let CelMapKey::String(key) = key {
                *size += text_size(key.inner().len());
            }
            add_cel(value.as_ref(), size);
        }
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        *size += text_size(bytes.inner().len());
    } else if let Some(inner) = value.downcast_ref::<CelOptional>().and_then(CelOptional::option) {
        add_cel(inner, size);
    }
}
