//! Conversion of values to CEL and back.
//!
//! An unknown value becomes a special CEL value. CEL may pass it on and put it into lists and maps; the value records
//! any other use. Each request for its type, content or capabilities *touches* it: comparing, testing, ordering,
//! indexing, iterating, calling a function, deciding a condition. CEL learns nothing about a value without a touch, so
//! a result without a touch does not depend on the unknown value.

use super::budget::{self, Exceeded, TooDeep, text_size};
use super::decimal::Decimal;
use super::failure::Failure;
use super::measure;
use super::needed::Needed;
use base64::Engine as _;
use cel::ExecutionError;
use cel::common::traits::{Adder, Comparer, Container, Indexer, Iterable, Sizer};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString, CelType,
    CelUInt, Kind, Type, UNKNOWN_TYPE,
};
use cel::common::value::{BuiltinRef, CowVal, StaticVal, Val};
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use terrace_provider::value::DEEPEST;
use terrace_provider::{Map, Number, Value};

/// Records whether an evaluation touched an unknown value.
#[derive(Debug, Clone, Default)]
pub(super) struct Touched(Arc<AtomicBool>);

impl Touched {
    /// True when an unknown value was touched.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Records that the result depends on an unknown value. Measuring a value does not count.
    pub(super) fn set(&self) {
        if !measure::is_measuring() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

static UNKNOWN: Type = UNKNOWN_TYPE;

/// An unknown value within CEL.
#[derive(Debug)]
struct UnknownVal(Touched);

impl Val for UnknownVal {
    fn get_type(&self) -> &Type {
        self.0.set();
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &UNKNOWN
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        self.0.set();
        None
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        self.0.set();
        None
    }

    fn as_container(&self) -> Option<&dyn Container> {
        self.0.set();
        None
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        self.0.set();
        None
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        self.0.set();
        None
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.0.set();
        None
    }

    fn equals(&self, _other: &dyn Val) -> bool {
        self.0.set();
        false
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(Self(self.0.clone()))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        self.0.set();
        Some(self)
    }

    // Not in the cel crate's documentation, but needed: texts, lists and maps use it in comparisons.
    fn as_builtin<'b, 'v>(&'b self) -> BuiltinRef<'b, 'v>
    where
        Self: 'v,
    {
        self.0.set();
        BuiltinRef::Other
    }
}

impl StaticVal for UnknownVal {}

/// Charges for items.
type Charge<'c> = &'c dyn Fn(usize) -> Result<(), Exceeded>;

/// Converts the needed parts of a value to CEL, borrowing its texts. Sensitivity marks are dropped; the caller marks
/// the result.
///
/// # Errors
/// When the value exceeds the budget that is charged.
pub(super) fn borrowed<'v>(
    value: &'v Value,
    needed: &Needed,
    touched: &Touched,
    charge: Charge<'_>,
) -> Result<Box<dyn Val + 'v>, Exceeded> {
    build(value, needed, touched, charge, &|text| CelString::from(text))
}

/// Converts like [`borrowed`], but copies texts.
///
/// # Errors
/// As [`borrowed`].
pub(super) fn owned(
    value: &Value,
    needed: &Needed,
    touched: &Touched,
    charge: Charge<'_>,
) -> Result<Box<dyn Val>, Exceeded> {
    build(value, needed, touched, charge, &|text| CelString::from(text.to_owned()))
}

fn build<'a, 'v>(
    value: &'a Value,
    needed: &Needed,
    touched: &Touched,
    charge: Charge<'_>,
    text_of: &impl Fn(&'a str) -> CelString<'v>,
) -> Result<Box<dyn Val + 'v>, Exceeded> {
    Ok(match value.exposed() {
        Value::Null | Value::Sensitive(_) => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Int(value) => Box::new(CelInt::from(*value)),
        Value::Number(number) => Box::new(Decimal::new(number)),
        Value::String(text) => {
            charge(text_size(text.len()))?;
            Box::new(text_of(text))
        }
        Value::List(items) => {
            charge(items.len())?;
            let items = items.iter().map(|item| match (needed, item.exposed()) {
                // With more fields than entries, searching them would take longer than converting the whole item.
                (Needed::Items(fields), Value::Map(entries)) if fields.len() < entries.len() => {
                    let entries = fields.iter().filter_map(|(field, needed)| {
                        entries.get_key_value(field).map(|(key, value)| (key, value, needed))
                    });
                    build_map(entries, touched, charge, text_of)
                }
                _ => build(item, &Needed::Whole, touched, charge, text_of),
            });
            let items = items.collect::<Result<Vec<_>, _>>()?;
            Box::new(CelList::from(items))
        }
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (key, value, &Needed::Whole));
            build_map(entries, touched, charge, text_of)?
        }
        Value::Unknown => Box::new(UnknownVal(touched.clone())),
    })
}

fn build_map<'a, 'n, 'v>(
    entries: impl Iterator<Item = (&'a String, &'a Value, &'n Needed)>,
    touched: &Touched,
    charge: Charge<'_>,
    text_of: &impl Fn(&'a str) -> CelString<'v>,
) -> Result<Box<dyn Val + 'v>, Exceeded> {
    let entries = entries.map(|(key, value, needed)| {
        charge(1 + text_size(key.len()))?;
        Ok((CelMapKey::String(text_of(key)), build(value, needed, touched, charge, text_of)?))
    });
    Ok(Box::new(CelMap::from(entries.collect::<Result<HashMap<_, _>, Exceeded>>()?)))
}

/// Converts a CEL value back. Sorts the entries of maps by key, because CEL's maps are unordered.
///
/// # Errors
/// When a descriptor cannot contain the value, or it is too deep, or it exceeds the budget that is charged.
pub(super) fn from_cel(value: &dyn Val, charge: Charge<'_>) -> Result<Value, Failure> {
    from_cel_within(value, charge, DEEPEST)
}

/// Converts a CEL value with at most that many levels of lists and maps.
fn from_cel_within(value: &dyn Val, charge: Charge<'_>, levels: usize) -> Result<Value, Failure> {
    // Read the type first: this touches an unknown value and identifies it.
    let ty = value.get_type();
    let answer = match ty.kind() {
        Kind::Unknown => Some(Value::Unknown),
        Kind::NullType => Some(Value::Null),
        Kind::Boolean => value.downcast_ref::<CelBool>().map(|value| Value::Bool(*value.inner())),
        Kind::Int => value.downcast_ref::<CelInt>().map(|value| Value::Int(*value.inner())),
        Kind::UInt => value.downcast_ref::<CelUInt>().and_then(|value| from_unsigned(*value.inner())),
        Kind::Double => {
            let number = value.downcast_ref::<CelDouble>().and_then(|value| Number::from_f64(*value.inner()));
            return number.map(Value::Number).ok_or_else(|| Failure::new("the result is not a finite number"));
        }
        Kind::String => match value.downcast_ref::<Decimal>() {
            Some(decimal) => decimal.number().map(Value::Number),
            None => match value.downcast_ref::<CelString>() {
                Some(text) => {
                    charge(text_size(text.inner().len()))?;
                    Some(Value::String(text.inner().to_owned()))
                }
                None => None,
            },
        },
        Kind::Bytes => {
            let encode = |bytes: &CelBytes| base64::engine::general_purpose::STANDARD.encode(bytes.inner());
            let bytes = value.downcast_ref::<CelBytes>();
            charge(bytes.map_or(0, |bytes| text_size(bytes.inner().len())))?;
            bytes.map(|bytes| Value::String(encode(bytes)))
        }
        Kind::Type => value.downcast_ref::<CelType>().map(|ty| Value::String(ty.name().to_owned())),
        Kind::List => match value.downcast_ref::<CelList>() {
            Some(list) => {
                charge(list.inner().len())?;
                let levels = levels.checked_sub(1).ok_or(TooDeep)?;
                let items = list.inner().iter().map(|item| from_cel_within(item.as_ref(), charge, levels));
                Some(items.collect::<Result<_, _>>().map(Value::List)?)
            }
            None => None,
        },
        Kind::Map => match value.downcast_ref::<CelMap>() {
            Some(map) => Some(Value::Map(from_map(map, charge, levels.checked_sub(1).ok_or(TooDeep)?)?)),
            None => None,
        },
        _ => match value.downcast_ref::<CelOptional>() {
            Some(optional) => {
                return optional.option().map_or(Ok(Value::Null), |value| from_cel_within(value, charge, levels));
            }
            None => None,
        },
    };
    answer.ok_or_else(|| Failure::new(format!("the result has the type {}, which a value cannot have", ty.name())))
}

fn from_unsigned(value: u64) -> Option<Value> {
    match i64::try_from(value) {
        Ok(value) => Some(Value::Int(value)),
        Err(_) => Number::parse(&value.to_string()).map(Value::Number),
    }
}

fn from_map(map: &CelMap<'_>, charge: Charge<'_>, levels: usize) -> Result<Map, Failure> {
    charge(map.inner().len())?;
    let mut entries = Map::with_capacity_and_hasher(map.inner().len(), Default::default());
    for (key, value) in map.inner() {
        let key = match key {
            CelMapKey::Bool(key) => key.inner().to_string(),
            CelMapKey::Int(key) => key.inner().to_string(),
            CelMapKey::UInt(key) => key.inner().to_string(),
            CelMapKey::String(key) => key.inner().to_owned(),
        };
        charge(text_size(key.len()))?;
        if entries.insert(key, from_cel_within(value.as_ref(), charge, levels)?).is_some() {
            return Err(Failure::new("two keys of the resulting map have the same text"));
        }
    }
    entries.sort_unstable_keys();
    Ok(entries)
}

/// Returns the items of a list, or the sorted keys of a map, so that iteration over a map is deterministic.
pub(super) fn in_order<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Some(range) = arguments.pop() else { return Err(ExecutionError::invalid_argument_count(1, 0)) };
    let Some(map) = range.downcast_ref::<CelMap>() else {
        budget::charge_loop(range.as_ref())?;
        return Ok(range);
    };
    budget::charge(map.inner().len())?;
    let mut keys: Vec<&CelMapKey<'v>> = map.inner().keys().collect();
    keys.sort_unstable();
    let keys = keys.into_iter().map(|key| -> Box<dyn Val + 'v> {
        match key {
            CelMapKey::Bool(key) => key.clone_as_boxed(),
            CelMapKey::Int(key) => key.clone_as_boxed(),
            CelMapKey::UInt(key) => key.clone_as_boxed(),
            CelMapKey::String(key) => key.clone_as_boxed(),
        }
    });
    Ok(CowVal::owned(CelList::from(keys.collect::<Vec<_>>())))
}

/// Converts an index for a look-up. Maps of descriptors have text keys, and instances are numbered, so a whole number
/// stands for its text, like in a path.
pub(super) fn key<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (Some(index), Some(value)) = (arguments.pop(), arguments.pop()) else {
        return Err(ExecutionError::invalid_argument_count(2, 0));
    };
    let number = value.downcast_ref::<CelMap>().and_then(|map| Some((map, index.downcast_ref::<CelInt>()?)));
    match number {
        Some((map, number)) if !map.inner().contains_key(&CelMapKey::Int(*number)) => {
            Ok(CowVal::owned(CelString::from(number.inner().to_string())))
        }
        _ => Ok(index),
    }
}
