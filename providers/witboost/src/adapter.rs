//! The API of specific provisioners, as its specification has it and as the adapters of the field speak it: the two
//! differ, so whatever can be understood is.

mod client;
mod problem;
mod status;

pub(crate) use client::{Client, Reply, Unanswered};
pub(crate) use problem::Problem;
pub(crate) use status::{Answer, State, Status, Validity, answer, status, validity};

use serde_json::{Value as Json, json};

/// The body of validations, of provisioning and of unprovisioning.
pub(crate) fn provisioning_request(descriptor: &str, removes_data: bool) -> Json {
    json!({"descriptorKind": "COMPONENT_DESCRIPTOR", "descriptor": descriptor, "removeData": removes_data})
}

/// The body that says who has access: all of them, and what is said beside.
pub(crate) fn access_request(descriptor: &str, result: &str, refs: &[String], fields: Json) -> Json {
    json!({
        "refs": refs,
        "provisionInfo": {"request": descriptor, "result": result},
        "accessControlFields": fields,
    })
}
