//! `witboost_access`: the access to a component. Each call sends all principals.

use super::attributes::{IDENTITY, call_attributes, descriptor, location_attributes};
use super::component::unreadable;
use super::endpoint_of;
use crate::adapter::access_request;
use crate::calls::Request;
use crate::mark::Action;
use serde_json::{Value as Json, json};
use terrace_provider::{Attribute, AttributeType, Attributes, Object, ProviderError, ResourceType, Value};

/// Name of the resource type.
pub(crate) const NAME: &str = "witboost_access";

/// The resource type.
pub(crate) fn resource_type() -> ResourceType {
    let mut attributes = location_attributes();
    attributes.extend([
        Attribute::new("descriptor", AttributeType::Any, "Descriptor of the last provision.").required().vendor_json(),
        Attribute::new(
            "refs",
            AttributeType::list(AttributeType::String),
            "All principals with access, such as `user:ada`.",
        )
        .required(),
        Attribute::new("fields", AttributeType::map(AttributeType::Any), "Additional fields of the call, by name.")
            .vendor_json(),
        Attribute::new("after", AttributeType::Any, "Any value; a change calls `updateacl` again."),
        Attribute::new("result", AttributeType::String, "Result of the provision, for adapters that need it.")
            .default_value("provisioned"),
    ]);
    attributes.extend(call_attributes());
    unreadable(ResourceType::new(NAME, "All principals with access to a component.", IDENTITY, Object(attributes)))
}

pub(super) fn apply_request(planned: &Attributes) -> Result<Request, ProviderError> {
    let refs = planned.get("refs").and_then(Value::as_list).unwrap_or_default();
    let refs: Vec<String> = refs.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let fields = match planned.get("fields").map(Value::exposed) {
        Some(fields @ Value::Map(_)) if !fields.has_unknown() => fields.revealed().to_json(),
        Some(Value::Null) | None => json!({}),
        Some(_) => return Err(ProviderError::bug("a call without known `fields`")),
    };
    request(planned, &refs, fields, Action::Apply)
}

pub(super) fn delete_request(recorded: &Attributes) -> Result<Request, ProviderError> {
    request(recorded, &[], json!({}), Action::Remove)
}

fn request(attributes: &Attributes, refs: &[String], fields: Json, action: Action) -> Result<Request, ProviderError> {
    let result = attributes.get("result").and_then(Value::as_str).unwrap_or_default();
    Ok(Request {
        endpoint: endpoint_of(attributes)?,
        path: &["v1", "updateacl"],
        body: access_request(&descriptor(attributes)?, result, refs, fields),
        action,
        task: "update the access",
    })
}
