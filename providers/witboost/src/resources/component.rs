//! `witboost_component`: a component that an adapter creates from a descriptor.

use super::attributes::{EACH_CALL, IDENTITY, call_attributes, descriptor, location_attributes};
use super::endpoint_of;
use crate::adapter::provisioning_request;
use crate::calls::Request;
use crate::mark::Action;
use std::time::Duration;
use terrace_provider::schema::Timeouts;
use terrace_provider::{Attribute, AttributeType, Attributes, Object, ProviderError, ResourceType};

/// Name of the resource type.
pub(crate) const NAME: &str = "witboost_component";

/// The resource type.
pub(crate) fn resource_type() -> ResourceType {
    let mut attributes = location_attributes();
    attributes.push(
        Attribute::new("descriptor", AttributeType::Any, "Descriptor to send: a map, or YAML text.")
            .required()
            .vendor_json(),
    );
    attributes.extend(call_attributes());
    attributes.extend([
        Attribute::new("publicInfo", AttributeType::Any, "Public information of the adapter.")
            .computed()
            .volatile(EACH_CALL),
        // Each value is marked as sensitive, not the schema: otherwise equal words of the public information (`type:
        // string`) would count as secrets.
        Attribute::new("privateInfo", AttributeType::Any, "Private information of the adapter: sensitive.")
            .computed()
            .volatile(EACH_CALL),
    ]);
    ResourceType {
        keeps_data_on_delete: true,
        ..unreadable(ResourceType::new(NAME, "A component of an adapter.", IDENTITY, Object(attributes)))
    }
}

/// Adds the common properties of types whose objects cannot be read.
pub(super) fn unreadable(ty: ResourceType) -> ResourceType {
    let long = Duration::from_secs(3600);
    ResourceType {
        // Adapters cannot list their objects.
        readable: false,
        timeouts: Timeouts { create: long, update: long, delete: long, ..Timeouts::default() },
        // No settling time: the token shows if a call may still take effect, and without a token `find` reports the
        // doubt.
        settle: Duration::ZERO,
        ..ty
    }
}

pub(super) fn apply_request(planned: &Attributes) -> Result<Request, ProviderError> {
    Ok(Request {
        endpoint: endpoint_of(planned)?,
        path: &["v1", "provision"],
        body: provisioning_request(&descriptor(planned)?, false),
        action: Action::Apply,
        task: "provision the component",
    })
}

pub(super) fn delete_request(recorded: &Attributes, removes_data: bool) -> Result<Request, ProviderError> {
    Ok(Request {
        endpoint: endpoint_of(recorded)?,
        path: &["v1", "unprovision"],
        body: provisioning_request(&descriptor(recorded)?, removes_data),
        action: Action::Remove,
        task: "unprovision the component",
    })
}
