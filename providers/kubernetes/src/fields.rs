//! Owners of fields, from `metadata.managedFields`.
//!
//! A set of fields is a tree in the form `FieldsV1`: `f:NAME` is a field, `k:{…}` the item of a list with these keys,
//! `v:…` a value of a set, and `.` the container itself.
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>

use serde_json::{Map as JsonMap, Value as Json};

/// The field manager of terrace.
pub(crate) const MANAGER: &str = "terrace";

/// A manager and its fields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Owner<'j> {
    pub(crate) manager: &'j str,
    /// True for server-side apply; otherwise the manager writes whole objects.
    pub(crate) applies: bool,
    pub(crate) fields: &'j Json,
}

/// The managers of an object, without those of its subresources such as the status.
pub(crate) fn owners(object: &Json) -> Vec<Owner<'_>> {
    let entries = object.pointer("/metadata/managedFields").and_then(Json::as_array);
    entries.into_iter().flatten().filter_map(owner).collect()
}

fn owner(entry: &Json) -> Option<Owner<'_>> {
    if entry.get("subresource").and_then(Json::as_str).is_some_and(|name| !name.is_empty()) {
        return None;
    }
    Some(Owner {
        manager: entry.get("manager")?.as_str()?,
        applies: entry.get("operation").and_then(Json::as_str) == Some("Apply"),
        fields: entry.get("fieldsV1")?,
    })
}

/// The fields of all managers: shows which lists have keys.
pub(crate) fn all(object: &Json) -> Json {
    let mut union = Json::Object(JsonMap::new());
    for owner in owners(object) {
        add(&mut union, owner.fields);
    }
    union
}

/// Adds fields to a set.
pub(crate) fn add(into: &mut Json, fields: &Json) {
    let (Some(into), Some(fields)) = (into.as_object_mut(), fields.as_object()) else { return };
    for (key, inner) in fields {
        add(into.entry(key.clone()).or_insert_with(|| Json::Object(JsonMap::new())), inner);
    }
}

/// The fields below a field.
pub(crate) fn below<'j>(fields: &'j Json, name: &str) -> &'j Json {
    fields.get(format!("f:{name}")).unwrap_or(&Json::Null)
}

/// How the server merges a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListKind {
    /// Items have keys, such as `name`.
    Keyed(Vec<String>),
    /// Each value occurs once.
    Set,
    /// One value as a whole.
    Atomic,
}

/// The kind of the list with these fields.
pub(crate) fn list_kind(fields: &Json) -> ListKind {
    let mut names = fields.as_object().into_iter().flat_map(JsonMap::keys);
    let first = names.find_map(|name| match name.split_once(':')? {
        ("k", keys) => {
            let keys: JsonMap<String, Json> = serde_json::from_str(keys).ok()?;
            Some(ListKind::Keyed(keys.keys().cloned().collect()))
        }
        ("v", _) => Some(ListKind::Set),
        _ => None,
    });
    first.unwrap_or(ListKind::Atomic)
}

/// The fields of the item of a list.
pub(crate) fn of_item<'j>(fields: &'j Json, item: &Json, keys: &[String]) -> &'j Json {
    let is_item = |name: &str| {
        let Some(("k", text)) = name.split_once(':') else { return false };
        let Ok(values) = serde_json::from_str::<JsonMap<String, Json>>(text) else { return false };
        keys.iter().all(|key| item.get(key).is_none_or(|value| values.get(key) == Some(value)))
    };
    let found = fields.as_object().into_iter().flatten().find(|(name, _)| is_item(name));
    found.map_or(&Json::Null, |(_, fields)| fields)
}

/// The part of an object that some fields cover: whole values at the leaves.
pub(crate) fn covered(object: &Json, fields: &Json) -> Json {
    let Some(names) = fields.as_object().filter(|names| names.keys().any(|name| name != ".")) else {
        return object.clone();
    };
    match object {
        Json::Object(entries) => {
            let kept = entries.iter().filter_map(|(name, value)| {
                let inner = names.get(&format!("f:{name}"))?;
                Some((name.clone(), covered(value, inner)))
            });
            Json::Object(kept.collect())
        }
        Json::Array(items) => match list_kind(fields) {
            ListKind::Keyed(keys) => {
                let kept = items.iter().filter_map(|item| {
                    let inner = of_item(fields, item, &keys);
                    (!inner.is_null()).then(|| covered(item, inner))
                });
                Json::Array(kept.collect())
            }
            ListKind::Set | ListKind::Atomic => object.clone(),
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object() -> Json {
        json!({
            "metadata": {"managedFields": [
                {"manager": "terrace", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1":
                    {"f:spec": {"f:replicas": {}, "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}}}}},
                {"manager": "kubectl-edit", "operation": "Update", "fieldsV1":
                    {"f:spec": {"f:containers": {"k:{\"name\":\"proxy\"}": {".": {}, "f:name": {}}}}, "f:metadata": {"f:finalizers": {"v:\"x\"": {}}}}},
                {"manager": "controller", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
                {"manager": "broken"},
            ]},
            "spec": {"replicas": 2, "paused": false, "containers": [
                {"name": "proxy", "image": "p"}, {"name": "web", "image": "w", "tty": true}]},
        })
    }

    #[test]
    fn owners_exclude_status_and_broken_entries() {
        let object = object();
        let names: Vec<_> = owners(&object).into_iter().map(|owner| (owner.manager, owner.applies)).collect();
        assert_eq!(names, [("terrace", true), ("kubectl-edit", false)]);
    }

    #[test]
    fn lists_have_the_kind_that_any_manager_shows() {
        let all = all(&object());
        assert_eq!(list_kind(below(below(&all, "spec"), "containers")), ListKind::Keyed(vec!["name".to_owned()]));
        assert_eq!(list_kind(below(below(&all, "metadata"), "finalizers")), ListKind::Set);
        assert_eq!(list_kind(below(&all, "nothing")), ListKind::Atomic);
    }

    #[test]
    fn fields_of_a_manager_cover_a_part_of_the_object() {
        let object = object();
        let owners = owners(&object);
        let expected = json!({"spec": {"replicas": 2, "containers": [{"name": "web", "image": "w"}]}});
        assert_eq!(covered(&object, owners[0].fields), expected);
    }
}
