//! Merging of maps.

use super::super::budget;
use cel::ExecutionError;
use cel::common::types::CelMap;
use cel::common::value::CowVal;
use std::collections::HashMap;

/// `merge(first, second)`: returns the entries of both maps; the second wins. Unknown values are passed on.
pub(super) fn merge<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let maps = match arguments.as_slice() {
        [first, second] => first.downcast_ref::<CelMap>().zip(second.downcast_ref::<CelMap>()),
        arguments => return Err(ExecutionError::invalid_argument_count(2, arguments.len())),
    };
    let (first, second) = maps.ok_or_else(|| budget::no_overload("merge", &arguments))?;
    for argument in &arguments {
        budget::charge_copy_of(argument.as_ref())?;
    }
    let entries = first.inner().iter().chain(second.inner());
    let merged: HashMap<_, _> = entries.map(|(key, value)| (key.clone(), value.clone_as_boxed())).collect();
    Ok(CowVal::owned(CelMap::from(merged)))
}
