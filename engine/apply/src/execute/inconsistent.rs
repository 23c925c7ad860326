//! Results that differ from the plan: digests for the row, and the details of the error.

use std::collections::BTreeMap;
use terrace_language::text::value::{Limits, brief_change};
use terrace_plan::contract::differing_attributes;
use terrace_plan::inconsistent::detector;
use terrace_provider::{Attributes, Observed, ResourceType, Value};
use terrace_store::seal::Seal;

/// The digests of planned values that the system returned differently, by attribute.
pub(super) fn detectors(
    seal: &Seal,
    ty: &ResourceType,
    planned: &Attributes,
    observed: &Observed,
) -> BTreeMap<String, String> {
    let differing = differing_attributes(ty, planned, observed);
    let detectors = differing.filter_map(|(name, _)| Some((name.to_owned(), detector(seal, planned.get(name)?)?)));
    detectors.collect()
}

/// The planned and the read value of each differing attribute; sensitive values are hidden.
pub(super) fn in_words(
    ty: &ResourceType,
    planned: &Attributes,
    observed: &Observed,
    recorded: &Attributes,
) -> Vec<String> {
    let words = |name: &str| {
        let (planned, read) = (planned.get(name)?, recorded.get(name).unwrap_or(&Value::Null));
        let is_sensitive = ty.attributes.get(name).is_none_or(|attribute| attribute.sensitive);
        if is_sensitive || planned.has_sensitive() || read.has_sensitive() {
            return Some(format!("`{name}`: both values are sensitive"));
        }
        let (planned, read) = brief_change(planned, read, Limits::SHORT);
        Some(format!("`{name}`: planned {planned}, read {read}"))
    };
    differing_attributes(ty, planned, observed).filter_map(|(name, _)| words(name)).collect()
}
