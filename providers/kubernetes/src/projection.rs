//! The fields of an object that a manifest describes, and their drift.

use crate::fields::{ListKind, below, list_kind, of_item};
use serde_json::{Map as JsonMap, Value as Json};

/// The part of an object that a manifest describes, in the order of the manifest. `fields` are the fields of all
/// managers: items of lists with keys are compared by key, all other lists by position.
pub(crate) fn described(object: &Json, manifest: &Json, fields: &Json) -> Json {
    match (object, manifest) {
        (Json::Object(entries), Json::Object(described_entries)) => {
            let part = |(name, value): (&String, &Json)| {
                Some((name.clone(), described(entries.get(name)?, value, below(fields, name))))
            };
            Json::Object(described_entries.iter().filter_map(part).collect())
        }
        (Json::Array(items), Json::Array(described_items)) => match list_kind(fields) {
            ListKind::Keyed(keys) => {
                let part = |wanted: &Json| {
                    let is_same = |item: &&Json| {
                        keys.iter().all(|key| wanted.get(key).is_none_or(|it| item.get(key) == Some(it)))
                    };
                    let item = items.iter().find(is_same)?;
                    Some(described(item, wanted, of_item(fields, item, &keys)))
                };
                Json::Array(described_items.iter().filter_map(part).collect())
            }
            ListKind::Set => Json::Array(described_items.iter().filter(|item| items.contains(item)).cloned().collect()),
            ListKind::Atomic if items.len() == described_items.len() => {
                let parts = items.iter().zip(described_items);
                Json::Array(parts.map(|(item, wanted)| described(item, wanted, &Json::Null)).collect())
            }
            ListKind::Atomic => object.clone(),
        },
        _ => object.clone(),
    }
}

/// The manifest with the present values where they differ from the applied ones. Both are described by the manifest;
/// where they agree, the spelling of the manifest stays.
pub(crate) fn drifted(manifest: &Json, applied: &Json, present: &Json) -> Json {
    if applied == present {
        return manifest.clone();
    }
    match (manifest, applied, present) {
        (Json::Object(manifest), Json::Object(applied), Json::Object(present)) => {
            let mut result = JsonMap::new();
            for (name, value) in manifest {
                match (applied.get(name), present.get(name)) {
                    (Some(applied), Some(present)) => {
                        result.insert(name.clone(), drifted(value, applied, present));
                    }
                    (None, Some(present)) => drop(result.insert(name.clone(), present.clone())),
                    // The server never stored it.
                    (None, None) => drop(result.insert(name.clone(), value.clone())),
                    (Some(_), None) => {}
                }
            }
            Json::Object(result)
        }
        (Json::Array(manifest), Json::Array(applied), Json::Array(present))
            if manifest.len() == applied.len() && applied.len() == present.len() =>
        {
            let items = manifest.iter().zip(applied).zip(present);
            Json::Array(items.map(|((manifest, applied), present)| drifted(manifest, applied, present)).collect())
        }
        _ => present.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields() -> Json {
        json!({"f:ports": {
            "k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:port": {}},
            "k:{\"port\":53,\"protocol\":\"UDP\"}": {"f:port": {}},
        }, "f:names": {"v:\"a\"": {}}})
    }

    #[test]
    fn defaults_and_items_of_others_are_not_described() {
        let object = json!({"ports": [{"port": 53, "protocol": "UDP", "x": 1}, {"port": 80, "protocol": "TCP"}, {"port": 9}],
            "names": ["b", "a"], "rules": [{"a": 1, "b": 2}], "replicas": 1});
        let manifest = json!({"ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}], "names": ["a"], "rules": [{"a": 0}], "gone": 1});
        let expected =
            json!({"ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}], "names": ["a"], "rules": [{"a": 1}]});
        assert_eq!(described(&object, &manifest, &fields()), expected);
    }

    #[test]
    fn whole_list_is_described_if_its_length_differs() {
        assert_eq!(described(&json!([1, 2]), &json!([1]), &Json::Null), json!([1, 2]));
    }

    #[test]
    fn spelling_of_the_manifest_stays_where_nothing_drifted() {
        let manifest =
            json!({"cpu": 0.5, "memory": "1024Mi", "image": "a", "list": [{"x": "1000m"}, {"y": 1}], "null": 1});
        let applied = json!({"cpu": "500m", "memory": "1Gi", "image": "a", "list": [{"x": "1"}, {"y": 1}]});
        assert_eq!(drifted(&manifest, &applied, &applied), manifest);
        let present = json!({"cpu": "500m", "memory": "2Gi", "list": [{"x": "1"}, {"y": 2}]});
        let expected = json!({"cpu": 0.5, "memory": "2Gi", "list": [{"x": "1000m"}, {"y": 2}], "null": 1});
        assert_eq!(drifted(&manifest, &applied, &present), expected);
    }

    #[test]
    fn list_of_another_length_is_drift_as_a_whole() {
        assert_eq!(drifted(&json!(["a", "b"]), &json!(["a", "b"]), &json!(["b"])), json!(["b"]));
    }
}
