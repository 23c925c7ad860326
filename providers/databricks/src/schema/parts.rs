//! Parts that several types have.

use std::time::Duration;
use terrace_provider::{Attribute, AttributeType, ResourceType, Timeouts};

pub(super) fn text(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::String, doc)
}

pub(super) fn workspace_url() -> Attribute {
    text("workspaceUrl", "The URL of the workspace.").required()
}

pub(super) fn id() -> Attribute {
    text("id", "The id for `terrace import`.").stable()
}

pub(super) fn named(name: &'static str, doc: &'static str) -> Attribute {
    text(name, doc).required().replaces()
}

/// Adds timeouts, and the time for which a call with a lost answer may still take effect.
pub(super) fn remote(ty: ResourceType) -> ResourceType {
    let timeouts = Timeouts {
        create: Duration::from_secs(600),
        update: Duration::from_secs(600),
        delete: Duration::from_secs(600),
        read: Duration::from_secs(60),
    };
    ResourceType { settle: Duration::from_secs(30), timeouts, ..ty }
}
