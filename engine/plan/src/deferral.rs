//! Changes that a plan defers to a later apply, because they depend on values known after this one.

use terrace_language::action::Action;
use terrace_language::address::Address;
use terrace_language::source::Place;

/// A resource that is deferred, together with its rows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeferredChange {
    /// The resource; `[*]` stands for its instances. A single instance if only its removal is deferred.
    pub address: Address,
    /// The reason of the deferral.
    pub reason: DeferralReason,
    /// The likely action of a later plan.
    pub action: Action,
    /// The prerequisites: resources, lookups, components (`api/`), stacks.
    pub waits_for: Vec<String>,
    /// Its declaration in the descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// The reason of a deferral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeferralReason {
    /// The instances (`forEach`, `key`, `when`) depend on unknown values.
    InstanceCountUnknown,
    /// The provider instance depends on unknown values.
    ProviderConfigUnknown,
    /// The shared object depends on unknown values.
    ResourceConfigUnknown,
    /// It depends on a deferred resource, or a deferred resource may depend on it.
    DeferredPrereq,
}

impl DeferralReason {
    /// Terraform's name of the reason.
    #[must_use]
    pub const fn terraform(self) -> &'static str {
        match self {
            Self::InstanceCountUnknown => "instance_count_unknown",
            Self::ProviderConfigUnknown => "provider_config_unknown",
            Self::ResourceConfigUnknown => "resource_config_unknown",
            Self::DeferredPrereq => "deferred_prereq",
        }
    }
}

impl DeferredChange {
    /// The reason in words.
    #[must_use]
    pub fn text(&self) -> String {
        let first = self.waits_for.join(", ");
        match (self.reason, self.action) {
            (DeferralReason::InstanceCountUnknown, _) => format!("its instances are known after {first}"),
            (DeferralReason::ProviderConfigUnknown, _) => format!("its provider is known after {first}"),
            (DeferralReason::ResourceConfigUnknown, _) => format!("its `shared` key is known after {first}"),
            (DeferralReason::DeferredPrereq, Action::Delete | Action::Retain) => {
                format!("is not removed yet: {first} may depend on it")
            }
            (DeferralReason::DeferredPrereq, _) => format!("comes after {first}"),
        }
    }
}
