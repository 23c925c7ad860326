//! Owners' declarations of shared resources: the part that all owners have to agree on, and the rest.

use super::super::Deferred;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use terrace_language::descriptor::Lifecycle;
use terrace_language::source::Place;
use terrace_provider::normal::settled;
use terrace_provider::plan::with_defaults;
use terrace_provider::value::wire::{WireError, decode_map, encode_map};
use terrace_provider::{Attribute, Attributes, ResourceType, Value};
use terrace_store::marks;
use terrace_store::seal::{Place as SealedPlace, Seal};
use terrace_store::{Ownership, Sealed};
use uuid::Uuid;

/// A component's declaration of a shared resource.
#[derive(Debug, Clone)]
pub struct SharedDeclaration {
    /// The provider instance.
    pub provider: String,
    /// The evaluated configuration, limited to its recordable part. Values known after apply are unknown.
    pub config: Attributes,
    /// The configuration, to be evaluated once its unknown values are known.
    pub deferred: Option<Deferred>,
    /// Keyed digests of write-only attributes.
    pub write_only: BTreeMap<String, String>,
    /// The lifecycle settings.
    pub lifecycle: Lifecycle,
    /// The location of the declaration.
    pub place: Option<Place>,
}

/// The stored form of a declaration.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    provider: String,
    config: serde_json::Value,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    write_only: BTreeMap<String, String>,
    #[serde(default)]
    lifecycle: Lifecycle,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
}

impl SharedDeclaration {
    /// The properties in which two declarations differ; unknown values count as equal.
    #[must_use]
    pub fn differences(&self, other: &Self, ty: &ResourceType) -> Vec<String> {
        self.compare(other, ty, true)
    }

    /// True if the declaration differs from the recorded one; unknown values count as different.
    #[must_use]
    pub fn differs_from(&self, recorded: &Self, ty: &ResourceType) -> bool {
        !self.compare(recorded, ty, false).is_empty()
    }

    /// True if more of it is sensitive than of the recorded declaration.
    #[must_use]
    pub fn is_more_sensitive(&self, recorded: &Self) -> bool {
        !marks::newly_marked(&recorded.config, &self.config).is_empty()
    }

    fn compare(&self, other: &Self, ty: &ResourceType, is_lenient: bool) -> Vec<String> {
        // An explicit default equals an omitted one.
        let (own, other_config) = (settled(ty, &self.config, None), settled(ty, &other.config, None));
        let is_same = |name: &str| {
            let (own_value, other_value) = (own.get(name), other_config.get(name));
            let is_unknown = [own_value, other_value].into_iter().flatten().any(Value::has_unknown);
            let is_spelling =
                |attribute: &Attribute| own_value.zip(other_value).is_some_and(|(a, b)| attribute.is_same(a, b));
            (is_unknown && is_lenient)
                || terrace_store::diff::is_same(own_value, other_value)
                || ty.attributes.get(name).is_some_and(is_spelling)
        };
        // The access path to the object does not count as a difference.
        let is_access_path = |name: &str| ty.attributes.get(name).is_some_and(|attribute| attribute.access_path);
        let names = own.keys().chain(other_config.keys().filter(|name| !own.contains_key(*name)));
        let names = names.filter(|name| !is_access_path(name));
        let mut found: Vec<String> = names.filter(|name| !is_same(name)).cloned().collect();
        let detectors = self.write_only.keys().chain(other.write_only.keys());
        let mut secrets: Vec<String> =
            detectors.filter(|name| self.write_only.get(*name) != other.write_only.get(*name)).cloned().collect();
        secrets.sort();
        secrets.dedup();
        found.extend(secrets);
        if self.provider != other.provider {
            found.push("provider".to_owned());
        }
        if self.lifecycle != other.lifecycle {
            found.push("lifecycle".to_owned());
        }
        found
    }

    /// True if a stored value has to be sealed.
    pub(crate) fn has_sensitive(&self) -> bool {
        self.config.values().any(Value::has_sensitive)
    }

    /// Writes the declaration for an owner's row; sensitive values are sealed.
    ///
    /// # Errors
    /// If a sensitive value cannot be sealed.
    pub fn to_stored(&self, owner: &Ownership, seal: &Seal) -> Result<Sealed, WireError> {
        let stored = Stored {
            provider: self.provider.clone(),
            config: encode_map(&self.config, &seal.at(SealedPlace::Declaration { owner }))?,
            write_only: self.write_only.clone(),
            lifecycle: self.lifecycle.clone(),
            place: self.place.clone(),
        };
        let text = serde_json::to_string(&stored).map_err(|error| WireError::Damaged(error.to_string()))?;
        Ok(Sealed::from_stored(text))
    }

    /// Opens what [`SharedDeclaration::to_stored`] sealed; `None` for an empty text.
    ///
    /// # Errors
    /// If the text is damaged or a sealed part cannot be decrypted.
    pub fn from_stored(owner: &Ownership, sealed: &Sealed, seal: &Seal) -> Result<Option<Self>, WireError> {
        Self::from_stored_in(None, owner, sealed, seal)
    }

    /// As [`SharedDeclaration::from_stored`], for a certain store.
    pub(crate) fn from_stored_in(
        store: Option<Uuid>,
        owner: &Ownership,
        sealed: &Sealed,
        seal: &Seal,
    ) -> Result<Option<Self>, WireError> {
        if sealed.is_empty() {
            return Ok(None);
        }
        let stored: Stored =
            serde_json::from_str(sealed.as_str()).map_err(|error| WireError::Damaged(error.to_string()))?;
        let placed = seal.at(SealedPlace::Declaration { owner });
        let placed = store.map_or(placed, |store| placed.in_store(store));
        Ok(Some(Self {
            provider: stored.provider,
            config: decode_map(stored.config, &placed)?,
            deferred: None,
            write_only: stored.write_only,
            lifecycle: stored.lifecycle,
            place: stored.place,
        }))
    }
}

/// The part of a configuration that may be recorded: no write-only attributes, with the schema's sensitivity marks. Defaults are
/// left out, because they may change between provider versions.
pub fn comparable(config: &Attributes, ty: &ResourceType) -> Attributes {
    let is_kept = |name: &String| {
        config.contains_key(name) && ty.attributes.get(name).is_some_and(|attribute| !attribute.write_only)
    };
    with_defaults(&ty.attributes, config).into_iter().filter(|(name, _)| is_kept(name)).collect()
}
