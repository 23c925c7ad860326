//! The kinds of objects in a workspace.

use terrace_provider::{ProviderError, ResourceType};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Source,
    Destination,
    Connection,
}

impl Kind {
    pub(crate) fn of(ty: &ResourceType) -> Result<Self, ProviderError> {
        match ty.name {
            "airbyte_source" => Ok(Self::Source),
            "airbyte_destination" => Ok(Self::Destination),
            "airbyte_connection" => Ok(Self::Connection),
            other => Err(ProviderError::bug(format!("unknown resource type `{other}`"))),
        }
    }

    /// The word in messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Connection => "connection",
        }
    }

    /// The path of the list.
    pub(crate) fn list_path(self) -> &'static str {
        match self {
            Self::Source => "/sources",
            Self::Destination => "/destinations",
            Self::Connection => "/connections",
        }
    }

    /// The path of an object.
    pub(crate) fn object_path(self) -> &'static str {
        match self {
            Self::Source => "/sources/{sourceId}",
            Self::Destination => "/destinations/{destinationId}",
            Self::Connection => "/connections/{connectionId}",
        }
    }

    /// The name of its id, in the API and as an attribute.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Source => "sourceId",
            Self::Destination => "destinationId",
            Self::Connection => "connectionId",
        }
    }

    /// The key in a configuration that names the connector.
    pub(crate) fn connector(self) -> &'static str {
        if self == Self::Destination { "destinationType" } else { "sourceType" }
    }
}
