//! The lossless JSON form of values, for plan files and state rows.
//!
//! Everything JSON can say is written as itself. What it cannot say is a map with the one key `$terrace`:
//! `{"$terrace": ["unknown"]}`, `["number", "1.10"]`, `["sealed", "<sealed text>"]`, and `["map", {…}]` for a map that
//! happens to have a key `$terrace` itself.

use super::{Map, Number, Sensitive, Value};

const MARK: &str = "$terrace";

/// Seals sensitive values for rest, and opens them again. Implementations know the key; values never do.
pub trait Sealing: Send + Sync {
    /// Turns clear bytes into text that is safe to store.
    ///
    /// # Errors
    /// When there is no key, and storing in the clear was not asked for.
    fn seal(&self, clear: &[u8]) -> Result<String, WireError>;

    /// Turns what [`Sealing::seal`] wrote back into the clear bytes.
    ///
    /// # Errors
    /// When the key is missing or another, or the text was damaged.
    fn open(&self, sealed: &str) -> Result<Vec<u8>, WireError>;
}

/// A value could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WireError {
    /// A sensitive value is to be stored and there is no key to seal it with.
    #[error("a sensitive value cannot be stored without a state key")]
    NoKey,
    /// A sealed value cannot be opened.
    #[error("a sealed value cannot be opened: {0}")]
    CannotOpen(String),
    /// The JSON is not what `encode` writes.
    #[error("damaged value: {0}")]
    Damaged(String),
}

/// So many levels of JSON a map takes up itself.
pub(super) fn levels_of(entries: &Map) -> usize {
    if entries.contains_key(MARK) { 3 } else { 1 }
}

/// Writes a value in its lossless form.
///
/// # Errors
/// When a sensitive value cannot be sealed.
pub fn encode(value: &Value, sealing: &dyn Sealing) -> Result<serde_json::Value, WireError> {
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::List(items) => {
            serde_json::Value::Array(items.iter().map(|item| encode(item, sealing)).collect::<Result<_, _>>()?)
        }
        Value::Map(entries) => {
            let json = encode_map(entries, sealing)?;
            if entries.contains_key(MARK) { marked("map", Some(json)) } else { json }
        }
        Value::Number(number) => marked("number", Some(number.as_str().into())),
        Value::Unknown => marked("unknown", None),
        Value::Sensitive(inner) => {
            let clear = serde_json::to_vec(&encode(inner.expose(), sealing)?)
                .map_err(|error| WireError::Damaged(error.to_string()))?;
            marked("sealed", Some(sealing.seal(&clear)?.into()))
        }
    })
}

/// Writes a map in its lossless form, without looking for the mark among its own keys.
///
/// # Errors
/// As [`encode`].
pub fn encode_map(entries: &Map, sealing: &dyn Sealing) -> Result<serde_json::Value, WireError> {
    let object = entries.iter().map(|(key, value)| Ok((key.clone(), encode(value, sealing)?)));
    Ok(serde_json::Value::Object(object.collect::<Result<_, WireError>>()?))
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// When the JSON is not such a value, or a sealed part cannot be opened.
pub fn decode(json: serde_json::Value, sealing: &dyn Sealing) -> Result<Value, WireError> {
    Ok(match json {
        serde_json::Value::Array(items) => {
            Value::List(items.into_iter().map(|item| decode(item, sealing)).collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(mut entries) => match entries.get_mut(MARK) {
            Some(mark) => decode_marked(mark.take(), sealing)?,
            None => Value::Map(decode_entries(entries, sealing)?),
        },
        plain => Value::from(plain),
    })
}

/// Reads what [`encode_map`] wrote.
///
/// # Errors
/// As [`decode`], and when the JSON is no object.
pub fn decode_map(json: serde_json::Value, sealing: &dyn Sealing) -> Result<Map, WireError> {
    match json {
        serde_json::Value::Object(entries) => decode_entries(entries, sealing),
        _ => Err(WireError::Damaged("expected an object".to_owned())),
    }
}

fn decode_entries(
    entries: serde_json::Map<String, serde_json::Value>,
    sealing: &dyn Sealing,
) -> Result<Map, WireError> {
    entries.into_iter().map(|(key, value)| Ok((key, decode(value, sealing)?))).collect()
}

fn marked(word: &str, payload: Option<serde_json::Value>) -> serde_json::Value {
    let mut parts = vec![serde_json::Value::from(word)];
    parts.extend(payload);
    serde_json::Value::Object([(MARK.to_owned(), parts.into())].into_iter().collect())
}

fn decode_marked(mark: serde_json::Value, sealing: &dyn Sealing) -> Result<Value, WireError> {
    let damaged = || WireError::Damaged("unknown mark".to_owned());
    let serde_json::Value::Array(parts) = mark else { return Err(damaged()) };
    let mut parts = parts.into_iter();
    let word = parts.next().ok_or_else(damaged)?;
    match (word.as_str().ok_or_else(damaged)?, parts.next()) {
        ("unknown", None) => Ok(Value::Unknown),
        ("number", Some(text)) => text.as_str().and_then(Number::parse).map(Value::Number).ok_or_else(damaged),
        ("map", Some(json)) => Ok(Value::Map(decode_map(json, sealing)?)),
        ("sealed", Some(text)) => {
            let clear = sealing.open(text.as_str().ok_or_else(damaged)?)?;
            let json = serde_json::from_slice(&clear).map_err(|error| WireError::Damaged(error.to_string()))?;
            Ok(Value::Sensitive(Sensitive::new(decode(json, sealing)?)))
        }
        _ => Err(damaged()),
    }
}
