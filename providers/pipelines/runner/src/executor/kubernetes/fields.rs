//! Comparison of objects with manifests, for drift.

use crate::execution_options::is_same_quantity;
use serde_json::Value as Json;

/// Fields whose values are quantities, which the server writes in another form: `1000m` as `1`.
const QUANTITIES: [&str; 2] = ["limits", "requests"];

/// Returns true if an object has all fields of a manifest with their values. Fields of others do not count, but list items
/// do: each of them is a container, a variable or a volume.
pub(crate) fn has_fields(object: &Json, manifest: &Json) -> bool {
    match (object, manifest) {
        (Json::Object(object), Json::Object(manifest)) => {
            manifest.iter().all(|(field, value)| match (object.get(field), value) {
                (Some(found), value) if QUANTITIES.contains(&field.as_str()) => has_quantities(found, value),
                (Some(found), value) => has_fields(found, value),
                // The server leaves empty objects out.
                (None, Json::Object(value)) => value.is_empty(),
                (None, _) => false,
            })
        }
        (Json::Array(object), Json::Array(manifest)) => {
            object.len() == manifest.len()
                && object.iter().zip(manifest).all(|(found, wanted)| has_fields(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}

fn has_quantities(object: &Json, manifest: &Json) -> bool {
    let is_same = |(name, wanted): (&String, &Json)| match (object.get(name).and_then(Json::as_str), wanted.as_str()) {
        (Some(found), Some(wanted)) => is_same_quantity(found, wanted),
        _ => false,
    };
    manifest.as_object().is_some_and(|manifest| manifest.iter().all(is_same))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changed_field_differs_and_added_field_does_not() {
        let manifest =
            json!({"spec": {"containers": [{"name": "a", "command": ["true"]}], "volume": {"emptyDir": {}}}});
        let mut object = manifest.clone();
        object["spec"]["podManagementPolicy"] = "OrderedReady".into();
        object["spec"]["volume"].as_object_mut().unwrap().remove("emptyDir");
        assert!(has_fields(&object, &manifest));
        let mut changed = object.clone();
        changed["spec"]["containers"][0]["command"] = json!(["/bin/true"]);
        assert!(!has_fields(&changed, &manifest));
        object["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "other"}));
        assert!(!has_fields(&object, &manifest));
    }

    #[test]
    fn quantity_in_another_form_is_the_same() {
        let limits = |cpu: &str, memory: &str| json!({"limits": {"cpu": cpu, "memory": memory}});
        assert!(has_fields(&limits("1", "1Gi"), &limits("1000m", "1024Mi")));
        assert!(has_fields(&limits("500m", "1Gi"), &limits("0.5", "1Gi")));
        assert!(!has_fields(&limits("1", "2Gi"), &limits("1", "1Gi")));
        assert!(!has_fields(&json!({"limits": {"cpu": "1"}}), &limits("1", "1Gi")));
        assert!(has_fields(&json!({}), &json!({"limits": {}})));
    }
}
