//! Decimals within CEL. A decimal behaves as text, so that `1.10` stays `1.10`. It becomes a number again if it was
//! only passed on, possibly in a list or a map.

use cel::ExecutionError;
use cel::common::traits::{Adder, Comparer, Sizer, Zeroer};
use cel::common::types::{CelString, Type};
use cel::common::value::{Builtin, BuiltinRef, CowVal, StaticVal, Val};
use std::any::Any;
use terrace_provider::Number;

/// A decimal, stored as text.
#[derive(Debug)]
pub(super) struct Decimal(CelString<'static>);

impl Decimal {
    /// Converts a number.
    pub(super) fn new(number: &Number) -> Self {
        Self(CelString::from(number.as_str().to_owned()))
    }

    /// Converts back to a number; `None` when the text is not a number any more.
    pub(super) fn number(&self) -> Option<Number> {
        Number::parse(self.0.inner())
    }
}

impl Val for Decimal {
    fn get_type(&self) -> &Type {
        self.0.get_type()
    }

    fn cel_type() -> &'static Type {
        <CelString<'static> as Val>::cel_type()
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        self.0.as_adder()
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        self.0.as_comparer()
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.0.as_sizer()
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        self.0.as_zeroer()
    }

    fn equals(&self, other: &dyn Val) -> bool {
        self.0.equals(other)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(Self(self.0.clone()))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    // Not in the cel crate's documentation, but needed: functions receive texts this way.
    fn as_builtin<'b, 'v>(&'b self) -> BuiltinRef<'b, 'v>
    where
        Self: 'v,
    {
        self.0.as_builtin()
    }

    fn into_builtin<'v>(self: Box<Self>) -> Option<Builtin<'v>>
    where
        Self: 'v,
    {
        Some(Builtin::String(self.0))
    }
}

impl StaticVal for Decimal {}

/// Converts a decimal to its text, and returns any other value unchanged.
pub(super) fn as_text<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Some(value) = arguments.pop() else { return Err(ExecutionError::invalid_argument_count(1, 0)) };
    let text = value.downcast_ref::<Decimal>().map(|decimal| decimal.0.clone());
    Ok(text.map_or(value, CowVal::owned))
}
