//! How an owner declares a shared resource: what all owners have to say alike, and what is kept with each of them.

use super::super::Deferred;
use crate::descriptor::Lifecycle;
use crate::marks;
use crate::record::open_text;
use crate::seal::{Place as SealedPlace, Seal};
use crate::source::Place;
use crate::store::Ownership;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use terrace_provider::normal::settled;
use terrace_provider::plan::with_defaults;
use terrace_provider::value::wire::{WireError, encode_map};
use terrace_provider::{Attribute, Attributes, ResourceType, Value};
use uuid::Uuid;

/// How a component declares a shared resource.
#[derive(Debug, Clone)]
pub struct SharedDeclaration {
    /// The provider instance.
    pub provider: String,
    /// The configuration as evaluated, as far as it may be recorded. What waits for others is unknown.
    pub config: Attributes,
    /// The configuration, to be evaluated when what it waits for is known.
    pub deferred: Option<Deferred>,
    /// Keyed digests of write-only attributes.
    pub write_only: BTreeMap<String, String>,
    /// How it is to behave.
    pub lifecycle: Lifecycle,
    /// Where it is declared.
    pub place: Option<Place>,
}

/// A declaration as it is recorded with its owner.
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
    /// What two declarations say differently, in words; nothing where one of them does not know yet.
    #[must_use]
    pub fn differences(&self, other: &Self, ty: &ResourceType) -> Vec<String> {
        self.compare(other, ty, true)
    }

    /// True when this is not what is recorded, be it that something was unknown then.
    #[must_use]
    pub fn is_news(&self, recorded: &Self, ty: &ResourceType) -> bool {
        !self.compare(recorded, ty, false).is_empty()
    }

    /// True when more of it is sensitive than of what is recorded.
    #[must_use]
    pub fn hides_more(&self, recorded: &Self) -> bool {
        !marks::added(&recorded.config, &self.config).is_empty()
    }

    fn compare(&self, other: &Self, ty: &ResourceType, is_lenient: bool) -> Vec<String> {
        // A default that is written out is the same as one that is not.
        let (own, others) = (settled(ty, &self.config, None), settled(ty, &other.config, None));
        let is_same = |name: &str| {
            let (one, other) = (own.get(name), others.get(name));
            let is_unknown = [one, other].into_iter().flatten().any(Value::has_unknown);
            let is_spelling = |attribute: &Attribute| one.zip(other).is_some_and(|(a, b)| attribute.is_same(a, b));
            (is_unknown && is_lenient)
                || crate::diff::is_same(one, other)
                || ty.attributes.get(name).is_some_and(is_spelling)
        };
        // By which way each of them reaches the object is no difference.
        let is_way = |name: &str| ty.attributes.get(name).is_some_and(|attribute| attribute.way);
        let names = own.keys().chain(others.keys().filter(|name| !own.contains_key(*name)));
        let names = names.filter(|name| !is_way(name));
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

    /// True when a value of it is sealed where it is stored.
    pub(crate) fn has_sensitive(&self) -> bool {
        self.config.values().any(Value::has_sensitive)
    }

    /// Writes the declaration for an owner's row; sensitive values are sealed.
    ///
    /// # Errors
    /// When a sensitive value cannot be sealed.
    pub fn to_stored(&self, owner: &Ownership, seal: &Seal) -> Result<String, WireError> {
        let stored = Stored {
            provider: self.provider.clone(),
            config: encode_map(&self.config, &seal.at(SealedPlace::Declaration { owner }))?,
            write_only: self.write_only.clone(),
            lifecycle: self.lifecycle.clone(),
            place: self.place.clone(),
        };
        serde_json::to_string(&stored).map_err(|error| WireError::Damaged(error.to_string()))
    }

    /// Reads what [`SharedDeclaration::to_stored`] wrote; `None` where nothing is recorded.
    ///
    /// # Errors
    /// When the text is damaged or a sealed part cannot be opened.
    pub fn from_stored(owner: &Ownership, text: &str, seal: &Seal) -> Result<Option<Self>, WireError> {
        Self::from_stored_in(None, owner, text, seal)
    }

    /// As [`SharedDeclaration::from_stored`], of a certain store.
    pub(crate) fn from_stored_in(
        store: Option<Uuid>,
        owner: &Ownership,
        text: &str,
        seal: &Seal,
    ) -> Result<Option<Self>, WireError> {
        if text.is_empty() {
            return Ok(None);
        }
        let stored: Stored = serde_json::from_str(text).map_err(|error| WireError::Damaged(error.to_string()))?;
        let placed = seal.at(SealedPlace::Declaration { owner });
        let placed = store.map_or(placed, |store| placed.in_store(store));
        Ok(Some(Self {
            provider: stored.provider,
            config: open_text(&stored.config.to_string(), &placed)?,
            deferred: None,
            write_only: stored.write_only,
            lifecycle: stored.lifecycle,
            place: stored.place,
        }))
    }
}

/// What of a configuration may be recorded: nothing write-only, and marked sensitive where the schema says so. Defaults
/// are left out, for another version may have others.
pub(crate) fn comparable(config: &Attributes, ty: &ResourceType) -> Attributes {
    let is_kept = |name: &String| {
        config.contains_key(name) && ty.attributes.get(name).is_some_and(|attribute| !attribute.write_only)
    };
    with_defaults(&ty.attributes, config).into_iter().filter(|(name, _)| is_kept(name)).collect()
}
