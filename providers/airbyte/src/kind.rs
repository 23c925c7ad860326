//! The kinds of things there are in a workspace.

use terrace_provider::{ProviderError, ResourceType};

/// A kind of thing.
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
            other => Err(ProviderError::bug(format!("there is no resource type `{other}`"))),
        }
    }

    /// As messages call it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Connection => "connection",
        }
    }

    /// The path of all of them.
    pub(crate) fn all(self) -> &'static str {
        match self {
            Self::Source => "/sources",
            Self::Destination => "/destinations",
            Self::Connection => "/connections",
        }
    }

    /// The path of one.
    pub(crate) fn one(self) -> &'static str {
        match self {
            Self::Source => "/sources/{sourceId}",
            Self::Destination => "/destinations/{destinationId}",
            Self::Connection => "/connections/{connectionId}",
        }
    }

    /// The name of its id, both in the API and as an attribute.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Source => "sourceId",
            Self::Destination => "destinationId",
            Self::Connection => "connectionId",
        }
    }

    /// What says in a configuration which connector it is of.
    pub(crate) fn connector(self) -> &'static str {
        if self == Self::Destination { "destinationType" } else { "sourceType" }
    }
}
