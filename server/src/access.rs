//! Access lists in calls: the expected list, and the fields beside the principals.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use terrace_engine::access::{Access, Fields};

/// The expected form of the fields.
pub(crate) const FIELDS: &str = "send a JSON object, or leave it out";

/// Reads the fields of an access list. A missing value means no fields.
///
/// # Errors
/// When the value is not an object, or nests deeper than the state allows. The error continues a sentence about the
/// field.
pub(crate) fn fields(value: Option<Json>) -> Result<Fields, &'static str> {
    let fields = match value {
        None | Some(Json::Null) => return Ok(Fields::default()),
        Some(Json::Object(fields)) => Fields::from(fields),
        Some(Json::Bool(_)) => return Err("is true or false: expected an object"),
        Some(Json::Number(_)) => return Err("is a number: expected an object"),
        Some(Json::String(_)) => return Err("is text: expected an object"),
        Some(Json::Array(_)) => return Err("is a list: expected an object"),
    };
    match fields.is_too_deep() {
        true => Err("nests lists and objects too deep: at most 64 levels are allowed"),
        false => Ok(fields),
    }
}

/// The access list that the caller expects to be in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expected {
    /// `None` if no caller ever set access.
    pub(crate) principals: Option<Vec<String>>,
    /// Fields that were set along with the principals.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub(crate) fields: Fields,
}

impl Expected {
    /// The list that the state records.
    pub(crate) fn of(access: Option<Access>) -> Self {
        match access {
            Some(Access { principals, fields }) => Self { principals: Some(principals), fields },
            None => Self { principals: None, fields: Fields::default() },
        }
    }
}
