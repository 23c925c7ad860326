//! The resource types: their requests and recorded attributes.

pub(crate) mod access;
pub(crate) mod attributes;
pub(crate) mod component;

use crate::calls::Request;
use crate::endpoint::Endpoint;
use attributes::text;
use terrace_provider::{Attributes, ProviderError, ResourceType};

/// The resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Component,
    Access,
}

impl Kind {
    pub(crate) fn of(ty: &ResourceType) -> Result<Self, ProviderError> {
        match ty.name {
            component::NAME => Ok(Self::Component),
            access::NAME => Ok(Self::Access),
            other => Err(ProviderError::bug(format!("the witboost provider has no resource type `{other}`"))),
        }
    }

    /// The request that creates or updates an object.
    pub(crate) fn apply_request(self, planned: &Attributes) -> Result<Request, ProviderError> {
        match self {
            Self::Component => component::apply_request(planned),
            Self::Access => access::apply_request(planned),
        }
    }

    /// The request that deletes an object.
    pub(crate) fn delete_request(self, recorded: &Attributes, removes_data: bool) -> Result<Request, ProviderError> {
        match self {
            Self::Component => component::delete_request(recorded, removes_data),
            Self::Access => access::delete_request(recorded),
        }
    }

    /// The attribute whose null value marks an object as unfinished.
    pub(crate) fn content(self) -> &'static str {
        match self {
            Self::Component => "descriptor",
            Self::Access => "refs",
        }
    }
}

/// The adapter of an object.
pub(crate) fn endpoint_of(attributes: &Attributes) -> Result<Endpoint, ProviderError> {
    let endpoint = text(attributes, "endpoint")?;
    Endpoint::parse(endpoint)
        .map_err(|why| ProviderError::invalid(Some(terrace_provider::Path::attribute("endpoint")), why))
}
