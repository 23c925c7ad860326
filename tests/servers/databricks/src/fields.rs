//! Strict reading of bodies: unknown fields are refused.

use crate::error::ApiError;
use serde_json::{Map, Value as Json};

/// The object of a body, with only known fields.
pub(crate) fn object<'a>(body: &'a Json, what: &str, known: &[&str]) -> Result<&'a Map<String, Json>, ApiError> {
    let Some(entries) = body.as_object() else {
        return Err(ApiError::malformed(format!("{what} is not a JSON object")));
    };
    match entries.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            Err(ApiError::malformed(format!("Could not parse request object: unknown field '{name}' of {what}")))
        }
        None => Ok(entries),
    }
}

/// A required string.
pub(crate) fn text(body: &Json, name: &str) -> Result<String, ApiError> {
    match &body[name] {
        Json::String(text) if !text.is_empty() => Ok(text.clone()),
        Json::Null | Json::String(_) => Err(ApiError::invalid(format!("Missing required field: {name}"))),
        _ => Err(ApiError::malformed(format!("Field '{name}' is not a string"))),
    }
}

/// An optional string.
pub(crate) fn optional(body: &Json, name: &str) -> Result<Option<String>, ApiError> {
    match &body[name] {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(text.clone())),
        _ => Err(ApiError::malformed(format!("Field '{name}' is not a string"))),
    }
}

/// Sets a field that is null.
pub(crate) fn default(object: &mut Json, name: &str, value: Json) {
    if object[name].is_null() {
        object[name] = value;
    }
}

/// One page of items, and the token of the next page.
pub(crate) fn page<T>(
    items: Vec<T>,
    query: &std::collections::BTreeMap<String, String>,
    size_name: &str,
    usual: usize,
    most: usize,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = match query.get(size_name).map(|text| text.parse::<usize>()) {
        None | Some(Ok(0)) => usual,
        Some(Ok(size)) if size <= most => size,
        _ => return Err(ApiError::invalid(format!("{size_name} must be between 1 and {most}"))),
    };
    let begin = match query.get("page_token").filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => token
            .strip_prefix("from-")
            .and_then(|at| at.parse().ok())
            .ok_or_else(|| ApiError::invalid("Invalid page token"))?,
    };
    let count = items.len();
    let next = (begin + size < count).then(|| format!("from-{}", begin + size));
    Ok((items.into_iter().skip(begin).take(size).collect(), next))
}
