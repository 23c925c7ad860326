//! Annotations that show the origin of an object: the call of its last apply, and its resource.

use serde_json::{Map as JsonMap, Value as Json};
use terrace_provider::{Call, LostCall};

/// Annotation with operation and step of the last apply.
pub(crate) const CALL: &str = "terrace.dev/call";
/// Annotation with the address of the resource, with its stack.
pub(crate) const RESOURCE: &str = "terrace.dev/resource";

/// The mark of a call.
pub(crate) fn of_call(call: &Call) -> String {
    format!("{}/{}", call.operation, call.step)
}

/// The mark of a lost call.
pub(crate) fn of_lost(lost: &LostCall) -> String {
    format!("{}/{}", lost.operation, lost.step)
}

/// Adds the annotations of a call to a manifest.
pub(crate) fn put(manifest: &mut Json, call: &Call) {
    let Some(metadata) = manifest.get_mut("metadata").and_then(Json::as_object_mut) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| Json::Object(JsonMap::new()));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(CALL.to_owned(), of_call(call).into());
        annotations.insert(RESOURCE.to_owned(), call.address.clone().into());
    }
}

/// Removes the annotations of terrace from an object.
pub(crate) fn remove(object: &mut Json) {
    let Some(metadata) = object.get_mut("metadata").and_then(Json::as_object_mut) else { return };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Json::as_object_mut) else { return };
    [CALL, RESOURCE].iter().for_each(|name| drop(annotations.shift_remove(*name)));
    if annotations.is_empty() {
        metadata.shift_remove("annotations");
    }
}

/// The value of an annotation.
pub(crate) fn of_object<'j>(object: &'j Json, annotation: &str) -> Option<&'j str> {
    object.get("metadata")?.get("annotations")?.get(annotation)?.as_str()
}
