//! The API of specific provisioners. Existing adapters differ from the specification, so this module accepts both
//! variants.

mod client;
mod problem;
mod status;

pub(crate) use client::{Client, NoAnswer, Reply};
pub(crate) use problem::Problem;
pub(crate) use status::{Answer, State, Status, Validity, answer, status, validity};

use serde_json::{Value as Json, json};

/// The body of a validation, provision or unprovision.
pub(crate) fn provisioning_request(descriptor: &str, removes_data: bool) -> Json {
    json!({"descriptorKind": "COMPONENT_DESCRIPTOR", "descriptor": descriptor, "removeData": removes_data})
}

/// The body of an access update: all principals, and additional fields.
pub(crate) fn access_request(descriptor: &str, result: &str, refs: &[String], fields: Json) -> Json {
    json!({
        "refs": refs,
        "provisionInfo": {"request": descriptor, "result": result},
        "accessControlFields": fields,
    })
}
