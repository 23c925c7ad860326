//! What callers say of access: who is thought to have it, and what they say beside the principals.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use terrace_engine::access::{Access, Fields};

/// What it looks like.
pub(crate) const FIELDS: &str = "send a JSON object, or leave it out";

/// Reads it; nothing was said where it was left out.
///
/// # Errors
/// When it is no object, or nests deeper than what is recorded may: what is wrong, to be said of the field.
pub(crate) fn fields(sent: Option<Json>) -> Result<Fields, &'static str> {
    let fields = match sent {
        None | Some(Json::Null) => return Ok(Fields::default()),
        Some(Json::Object(fields)) => Fields::from(fields),
        Some(Json::Bool(_)) => return Err("is true or false: expected an object"),
        Some(Json::Number(_)) => return Err("is a number: expected an object"),
        Some(Json::String(_)) => return Err("is text: expected an object"),
        Some(Json::Array(_)) => return Err("is a list: expected an object"),
    };
    match fields.is_too_deep() {
        true => Err("nests lists and objects too deep: 64 levels are the most"),
        false => Ok(fields),
    }
}

/// Who is thought to have access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expected {
    /// `None` where nobody ever said.
    pub(crate) principals: Option<Vec<String>>,
    /// What was said beside.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub(crate) fields: Fields,
}

impl Expected {
    /// As it is recorded.
    pub(crate) fn of(access: Option<Access>) -> Self {
        match access {
            Some(Access { principals, fields }) => Self { principals: Some(principals), fields },
            None => Self { principals: None, fields: Fields::default() },
        }
    }
}
