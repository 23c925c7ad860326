//! The inputs of a plan: the body of the call, and the digest that shows whether a plan is still the one to apply.

use crate::stack::{PLAN, Stack};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The body of the call that plans a stack, or its removal.
pub(crate) fn body(stack: &Stack, destroy: bool) -> Json {
    let spec = &stack.spec;
    let descriptor = match (&spec.text, &spec.descriptor) {
        (Some(text), _) => text.clone(),
        (None, Some(object)) => object.to_string(),
        // The definition of the resource refuses it. The server then reports an empty descriptor.
        (None, None) => String::new(),
    };
    json!({
        "descriptor": descriptor,
        "environment": spec.environment,
        "variables": spec.variables,
        "allow_data_loss": spec.allow_data_loss,
        "destroy": destroy,
        "remove_data": destroy && spec.remove_data,
    })
}

/// The digest of all inputs of a plan.
pub(crate) fn digest(stack: &Stack, destroy: bool) -> String {
    let request = stack.metadata.annotations.as_ref().and_then(|all| all.get(PLAN));
    let text = json!([body(stack, destroy), request]).to_string();
    let mut hex = String::new();
    for byte in Sha256::digest(text).iter().take(16) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
