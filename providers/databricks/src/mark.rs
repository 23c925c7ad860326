//! The mark of a resource on its object: a tag of a job or pipeline, or a property of a view. It identifies the object
//! if an answer or the row is lost.

use crate::fingerprint::hex;
use crate::private::PrivateData;
use ring::digest::{SHA256, digest};
use serde_json::{Value as Json, json};
use terrace_provider::Private;

/// The key of the tag.
pub(crate) const TAG: &str = "terrace";

/// The value of the tag: a digest of the resource's address with its stack, equal in every run.
pub(crate) fn of(address: &str) -> String {
    let mut text = hex(digest(&SHA256, address.as_bytes()).as_ref());
    text.truncate(24);
    text
}

/// Returns true if an object carries the mark of a resource with another address.
pub(crate) fn is_marked_by_another(address: &str, private: &Private) -> bool {
    PrivateData::of(private).mark.is_some_and(|mark| mark != of(address))
}

/// The mark on settings or a specification, if any.
pub(crate) fn on(settings: &Json) -> Option<String> {
    settings.get("tags")?.get(TAG)?.as_str().map(str::to_owned)
}

/// Returns true if settings or a specification carry the mark.
pub(crate) fn is_on(settings: &Json, mark: &str) -> bool {
    settings.get("tags").and_then(|tags| tags.get(TAG)).and_then(Json::as_str) == Some(mark)
}

/// Adds the mark.
pub(crate) fn put(settings: &mut Json, mark: &str) {
    let Some(settings) = settings.as_object_mut() else { return };
    let tags = settings.entry("tags").or_insert_with(|| json!({}));
    if let Some(tags) = tags.as_object_mut() {
        tags.insert(TAG.to_owned(), mark.into());
    }
}

/// Removes the mark, and the map of tags if it is empty then.
pub(crate) fn remove(settings: &mut Json) {
    let Some(settings) = settings.as_object_mut() else { return };
    let Some(tags) = settings.get_mut("tags").and_then(Json::as_object_mut) else { return };
    tags.shift_remove(TAG);
    if tags.is_empty() {
        settings.shift_remove("tags");
    }
}
