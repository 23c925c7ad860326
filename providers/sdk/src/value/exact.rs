//! JSON with the exact text of numbers: `1.10`, and whole numbers of any length.

use super::{Number, Value};
use indexmap::IndexMap;
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

/// Serialises a value as JSON with the exact text of its numbers. Unknown and sensitive values are null. For serde_json
/// only.
#[derive(Debug)]
pub(super) struct Exact<'a>(pub(super) &'a Value);

impl Serialize for Exact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null | Value::Unknown | Value::Sensitive(_) => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Number(number) => {
                RawValue::from_string(number.as_str().to_owned()).map_err(S::Error::custom)?.serialize(serializer)
            }
            Value::String(text) => serializer.serialize_str(text),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(&Self(item)))?;
                list.end()
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, &Self(value)))?;
                map.end()
            }
        }
    }
}

/// The nesting limit of the reader; the same as serde_json's.
const DEEPEST: usize = 128;

/// Parses JSON; `None` if it is invalid or nests too deep.
pub(super) fn parse(text: &str) -> Option<Value> {
    parse_within(text, DEEPEST)
}

fn parse_within(text: &str, depth: usize) -> Option<Value> {
    match text.trim_start().bytes().next()? {
        b'{' => {
            let depth = depth.checked_sub(1)?;
            let entries: IndexMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            entries.into_iter().map(|(key, value)| Some((key, parse_within(value.get(), depth)?))).collect()
        }
        b'[' => {
            let depth = depth.checked_sub(1)?;
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            items.into_iter().map(|item| parse_within(item.get(), depth)).collect::<Option<_>>().map(Value::List)
        }
        b'-' | b'0'..=b'9' => {
            let text = text.trim();
            Number::parse(text).map(|number| text.parse().map_or(Value::Number(number), Value::Int))
        }
        _ => serde_json::from_str::<serde_json::Value>(text).ok().map(Value::from),
    }
}
