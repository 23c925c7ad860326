//! The lossless JSON form of values, for plan files and state rows.
//!
//! JSON values stay as they are. Other values are a map with the single key `$terrace`: `{"$terrace": ["unknown"]}`,
//! `["number", "1.10"]`, `["sealed", "<sealed text>"]`, and `["map", {…}]` for a map that itself has a key `$terrace`.

use super::{Map, Number, Sensitive, Value};
use std::fmt;

const MARK: &str = "$terrace";

/// The position of a value within the whole written value. Prints as a JSON pointer.
#[derive(Debug, Clone, Copy)]
pub enum Spot<'a> {
    /// The whole value.
    Root,
    /// An entry of a map.
    Key(&'a Spot<'a>, &'a str),
    /// An item of a list.
    Item(&'a Spot<'a>, usize),
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(within, key) => write!(f, "{within}/{}", key.replace('~', "~0").replace('/', "~1")),
            Self::Item(within, number) => write!(f, "{within}/{number}"),
        }
    }
}

/// Seals sensitive values for storage, and opens them again. Implementations hold the key; values never do.
pub trait Sealing: Send + Sync {
    /// Seals clear bytes for a spot. The text need not open at other spots.
    ///
    /// # Errors
    /// When there is no key, and the user did not allow clear text.
    fn seal(&self, spot: &Spot<'_>, clear: &[u8]) -> Result<String, WireError>;

    /// Opens a text that [`Sealing::seal`] wrote for this spot.
    ///
    /// # Errors
    /// When the key is missing or different, or the text is damaged or belongs to another spot.
    fn open(&self, spot: &Spot<'_>, sealed: &str) -> Result<Vec<u8>, WireError>;
}

/// A value that could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WireError {
    /// A sensitive value has no key to seal it with.
    #[error("a sensitive value cannot be stored without a state key")]
    NoKey,
    /// A sealed value cannot be opened.
    #[error("a sealed value cannot be opened: {0}")]
    CannotOpen(String),
    /// A stored sensitive value is in clear text although there is a state key.
    #[error("{0} holds a sensitive value in clear text although there is a state key")]
    InClear(String),
    /// A value that an older version of terrace sealed without its place.
    #[error("{0} holds a sealed value that is not bound to its place")]
    Unbound(String),
    /// The JSON was not written by `encode`.
    #[error("damaged value: {0}")]
    Damaged(String),
}

/// Nesting levels of the JSON of a map itself.
pub(super) fn levels_of(entries: &Map) -> usize {
    if entries.contains_key(MARK) { 3 } else { 1 }
}

/// Writes a value in its lossless form.
///
/// # Errors
/// When a sensitive value cannot be sealed.
pub fn encode(value: &Value, sealing: &dyn Sealing) -> Result<serde_json::Value, WireError> {
    encode_at(&Spot::Root, value, sealing)
}

fn encode_at(spot: &Spot<'_>, value: &Value, sealing: &dyn Sealing) -> Result<serde_json::Value, WireError> {
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::List(items) => {
            let items = items.iter().enumerate();
            let items = items.map(|(number, item)| encode_at(&Spot::Item(spot, number), item, sealing));
            serde_json::Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Map(entries) => {
            let json = encode_entries(spot, entries, sealing)?;
            if entries.contains_key(MARK) { marked("map", Some(json)) } else { json }
        }
        Value::Number(number) => marked("number", Some(number.as_str().into())),
        Value::Unknown => marked("unknown", None),
        Value::Sensitive(inner) => {
            let clear = serde_json::to_vec(&encode_at(spot, inner.expose(), sealing)?)
                .map_err(|error| WireError::Damaged(error.to_string()))?;
            marked("sealed", Some(sealing.seal(spot, &clear)?.into()))
        }
    })
}

/// Writes a map in its lossless form; its own keys may include the mark.
///
/// # Errors
/// As [`encode`].
pub fn encode_map(entries: &Map, sealing: &dyn Sealing) -> Result<serde_json::Value, WireError> {
    encode_entries(&Spot::Root, entries, sealing)
}

fn encode_entries(spot: &Spot<'_>, entries: &Map, sealing: &dyn Sealing) -> Result<serde_json::Value, WireError> {
    let object =
        entries.iter().map(|(key, value)| Ok((key.clone(), encode_at(&Spot::Key(spot, key), value, sealing)?)));
    Ok(serde_json::Value::Object(object.collect::<Result<_, WireError>>()?))
}

/// Reads the output of [`encode`].
///
/// # Errors
/// When the JSON is invalid, or a sealed part cannot be opened.
pub fn decode(json: serde_json::Value, sealing: &dyn Sealing) -> Result<Value, WireError> {
    decode_at(&Spot::Root, json, sealing)
}

/// Reads one value of a larger output of [`encode`] or [`encode_map`].
///
/// # Errors
/// As [`decode`].
pub fn decode_at(spot: &Spot<'_>, json: serde_json::Value, sealing: &dyn Sealing) -> Result<Value, WireError> {
    Ok(match json {
        serde_json::Value::Array(items) => {
            let items = items.into_iter().enumerate();
            let items = items.map(|(number, item)| decode_at(&Spot::Item(spot, number), item, sealing));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(mut entries) => match entries.get_mut(MARK) {
            Some(mark) => decode_marked(spot, mark.take(), sealing)?,
            None => Value::Map(decode_entries(spot, entries, sealing)?),
        },
        plain => Value::from(plain),
    })
}

/// Reads the output of [`encode_map`].
///
/// # Errors
/// As [`decode`], and when the JSON is not an object.
pub fn decode_map(json: serde_json::Value, sealing: &dyn Sealing) -> Result<Map, WireError> {
    decode_object(&Spot::Root, json, sealing)
}

fn decode_object(spot: &Spot<'_>, json: serde_json::Value, sealing: &dyn Sealing) -> Result<Map, WireError> {
    match json {
        serde_json::Value::Object(entries) => decode_entries(spot, entries, sealing),
        _ => Err(WireError::Damaged("expected an object".to_owned())),
    }
}

fn decode_entries(
    spot: &Spot<'_>,
    entries: serde_json::Map<String, serde_json::Value>,
    sealing: &dyn Sealing,
) -> Result<Map, WireError> {
    let entries = entries.into_iter().map(|(key, value)| {
        let value = decode_at(&Spot::Key(spot, &key), value, sealing)?;
        Ok((key, value))
    });
    entries.collect()
}

fn marked(word: &str, payload: Option<serde_json::Value>) -> serde_json::Value {
    let mut parts = vec![serde_json::Value::from(word)];
    parts.extend(payload);
    serde_json::Value::Object([(MARK.to_owned(), parts.into())].into_iter().collect())
}

fn decode_marked(spot: &Spot<'_>, mark: serde_json::Value, sealing: &dyn Sealing) -> Result<Value, WireError> {
    let damaged = || WireError::Damaged("unknown mark".to_owned());
    let serde_json::Value::Array(parts) = mark else { return Err(damaged()) };
    let mut parts = parts.into_iter();
    let word = parts.next().ok_or_else(damaged)?;
    match (word.as_str().ok_or_else(damaged)?, parts.next()) {
        ("unknown", None) => Ok(Value::Unknown),
        ("number", Some(text)) => text.as_str().and_then(Number::parse).map(Value::Number).ok_or_else(damaged),
        ("map", Some(json)) => Ok(Value::Map(decode_object(spot, json, sealing)?)),
        ("sealed", Some(text)) => {
            let clear = sealing.open(spot, text.as_str().ok_or_else(damaged)?)?;
            let json = serde_json::from_slice(&clear).map_err(|error| WireError::Damaged(error.to_string()))?;
            Ok(Value::Sensitive(Sensitive::new(decode_at(spot, json, sealing)?)))
        }
        _ => Err(damaged()),
    }
}
