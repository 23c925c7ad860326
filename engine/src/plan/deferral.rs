//! What a plan leaves for another apply, because what decides about it is known only once this plan is applied.

use crate::action::Action;
use crate::address::Address;
use crate::source::Place;

/// A resource that is left for another apply, with all that is recorded of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeferredChange {
    /// The resource: `[*]` stands for its instances. One of them, where only the removal of that one waits.
    pub address: Address,
    /// Why it has to wait.
    pub reason: DeferralReason,
    /// What another plan may do about it, as far as that can be told.
    pub action: Action,
    /// What has to be applied before: resources, lookups, components (`api/`), stacks.
    pub waits_for: Vec<String>,
    /// Where it is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// Why a resource has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeferralReason {
    /// Which instances there are (`forEach`, `key`, `when`) is not known yet.
    InstanceCountUnknown,
    /// Which provider instance it lives in is not known yet.
    ProviderConfigUnknown,
    /// Which shared object it is is not known yet.
    ResourceConfigUnknown,
    /// It comes after something that is deferred, or something that is deferred may stand on it.
    DeferredPrereq,
}

impl DeferralReason {
    /// Terraform's word.
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
    /// Why it has to wait, in words.
    #[must_use]
    pub fn text(&self) -> String {
        let first = self.waits_for.join(", ");
        match (self.reason, self.action) {
            (DeferralReason::InstanceCountUnknown, _) => format!("which instances there are is known after {first}"),
            (DeferralReason::ProviderConfigUnknown, _) => format!("its provider is known after {first}"),
            (DeferralReason::ResourceConfigUnknown, _) => format!("its `shared` key is known after {first}"),
            (DeferralReason::DeferredPrereq, Action::Delete | Action::Retain) => {
                format!("is not removed yet: {first} may stand on it")
            }
            (DeferralReason::DeferredPrereq, _) => format!("comes after {first}"),
        }
    }
}
