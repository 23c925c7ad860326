//! Manifests: their checks, their names, the encoding of a Secret's texts, and the marks of secret values.

use crate::target::{Target, check_segment};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map as JsonMap, Value as Json};
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// Fields of `metadata` that only the server sets.
const SERVER_FIELDS: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Annotation in which `kubectl apply` without `--server-side` keeps the manifest.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn at(steps: &[&str]) -> Path {
    steps.iter().fold(Path::attribute("manifest"), |path, step| path.key(step))
}

/// A field of the manifest, and whether it is sensitive itself.
fn field<'v>(attributes: &'v Attributes, steps: &[&str]) -> (Option<&'v Value>, bool) {
    let mut value = attributes.get("manifest");
    let mut is_sensitive = matches!(value, Some(Value::Sensitive(_)));
    for step in steps {
        value = value.and_then(|value| value.exposed().as_map()?.get(*step));
        is_sensitive |= matches!(value, Some(Value::Sensitive(_)));
    }
    (value.filter(|value| !value.is_null()), is_sensitive)
}

/// Sets the attributes that name the object; unknown where the manifest is.
pub(crate) fn put_names(attributes: &mut Attributes) {
    if attributes.get("manifest").is_none_or(Value::is_unknown) {
        return;
    }
    let (metadata, _) = field(attributes, &["metadata"]);
    let is_unknown = metadata.is_some_and(Value::is_unknown);
    let mut names: Vec<(&str, Value)> = Vec::new();
    let mut is_sensitive = false;
    for (name, steps) in [
        ("apiVersion", ["apiVersion"].as_slice()),
        ("kind", &["kind"]),
        ("namespace", &["metadata", "namespace"]),
        ("name", &["metadata", "name"]),
    ] {
        let (value, is_marked) = field(attributes, steps);
        let value = match value {
            _ if is_unknown && steps.len() > 1 => Value::Unknown,
            Some(value) => value.exposed().clone(),
            None => "".into(),
        };
        is_sensitive |= is_marked;
        names.push((name, if is_marked { Value::sensitive(value) } else { value }));
    }
    if let Some((_, version)) = names.iter().find(|(name, _)| *name == "apiVersion") {
        let group = match version.as_str() {
            Some(version) => version.split_once('/').map_or("", |(group, _)| group).into(),
            None => Value::Unknown,
        };
        let is_marked = matches!(version, Value::Sensitive(_));
        names.push(("group", if is_marked { Value::sensitive(group) } else { group }));
    }
    for (name, value) in names {
        attributes.insert(name.to_owned(), value);
    }
    let id = Target::of(attributes).map_or(Value::Unknown, |target| target.id().into());
    attributes.insert("id".to_owned(), if is_sensitive { Value::sensitive(id) } else { id });
}

/// Checks the known parts of a manifest without the server.
///
/// # Errors
/// With the path of the first wrong part.
pub(crate) fn check(attributes: &Attributes, namespaces: &[String]) -> Result<(), ProviderError> {
    let Some(manifest) = attributes.get("manifest").filter(|manifest| !manifest.is_unknown()) else { return Ok(()) };
    if manifest.as_map().is_none() {
        let message = format!("the manifest is {}, not a map", manifest.kind());
        return Err(ProviderError::invalid(Some(at(&[])), message)
            .solution("write `apiVersion`, `kind` and `metadata` as in a manifest of kubectl"));
    }
    for (steps, example) in [
        (["apiVersion"].as_slice(), "`apiVersion: apps/v1`"),
        (&["kind"], "`kind: Deployment`"),
        (&["metadata", "name"], "`metadata: {name: web}`"),
    ] {
        check_text(attributes, steps, true, example)?;
    }
    check_text(attributes, &["metadata", "namespace"], false, "`metadata: {namespace: shop}`")?;
    let known = |steps: &[&str]| field(attributes, steps).0.and_then(Value::as_str);
    if known(&["kind"]).is_some_and(|kind| kind == "List") {
        return Err(ProviderError::invalid(Some(at(&["kind"])), "a List is not an object")
            .solution("declare one resource for each of its items, for example with `forEach`"));
    }
    let is_version =
        |text: &str| text.split('/').all(|part| check_segment(part).is_ok()) && text.matches('/').count() < 2;
    if let Some(text) = known(&["apiVersion"]).filter(|text| !is_version(text)) {
        return Err(ProviderError::invalid(
            Some(at(&["apiVersion"])),
            format!("`{text}` is not the version of an API"),
        )
        .solution("write `v1` or `GROUP/VERSION`, such as `apps/v1`"));
    }
    for name in ["name", "namespace"] {
        let path = ["metadata", name];
        if let Some(text) = known(&path)
            && let Err(why) = check_segment(text)
        {
            return Err(ProviderError::invalid(Some(at(&path)), format!("`{text}` is not a name: {why}"))
                .solution("write lower-case letters, digits and `-`"));
        }
    }
    if let Some(namespace) = known(&["metadata", "namespace"])
        && !namespaces.is_empty()
        && !namespaces.iter().any(|allowed| allowed == namespace)
    {
        let message = format!("this instance may not use the namespace `{namespace}`");
        let solution = format!("use one of its `namespaces` ({}), or add it there", namespaces.join(", "));
        return Err(ProviderError::invalid(Some(at(&["metadata", "namespace"])), message).solution(solution));
    }
    if field(attributes, &["status"]).0.is_some() {
        return Err(ProviderError::invalid(Some(at(&["status"])), "the status belongs to the cluster")
            .solution("remove `status` from the manifest"));
    }
    if let Some(name) = SERVER_FIELDS.into_iter().find(|name| field(attributes, &["metadata", name]).0.is_some()) {
        return Err(ProviderError::invalid(
            Some(at(&["metadata", name])),
            format!("only the server sets `metadata.{name}`"),
        )
        .solution("remove it from the manifest"));
    }
    Ok(())
}

/// Checks that a field is a text.
fn check_text(attributes: &Attributes, steps: &[&str], is_required: bool, example: &str) -> Result<(), ProviderError> {
    let wrong = |steps: &[&str], value: &Value, expected: &str| {
        let message = format!("`{}` is {}, not a {expected}", steps.join("."), value.kind());
        Err(ProviderError::invalid(Some(at(steps)), message).solution(format!("write {example}")))
    };
    if let (["metadata", _], Some(metadata)) = (steps, field(attributes, &["metadata"]).0) {
        if metadata.is_unknown() {
            return Ok(());
        }
        if metadata.as_map().is_none() {
            return wrong(&["metadata"], metadata, "map");
        }
    }
    match field(attributes, steps).0 {
        Some(value) if value.is_unknown() => Ok(()),
        Some(value) if value.as_str().is_none() => wrong(steps, value, "text"),
        Some(value) if !is_required || value.as_str() != Some("") => Ok(()),
        None if !is_required => Ok(()),
        _ => {
            let is_generated =
                steps == ["metadata", "name"] && field(attributes, &["metadata", "generateName"]).0.is_some();
            let solution = match is_generated {
                true => "write `metadata.name` instead of `generateName`: terrace finds objects by name".to_owned(),
                false => format!("write {example}"),
            };
            let message = format!("the manifest has no `{}`", steps.join("."));
            Err(ProviderError::invalid(Some(at(&[])), message).solution(solution))
        }
    }
}

/// True if an object with these attributes holds user data, or contains objects that do.
pub(crate) fn is_data_holder(attributes: &Map) -> bool {
    let text = |name: &str| attributes.get(name).and_then(Value::as_str).unwrap_or_default();
    match (text("group"), text("kind")) {
        ("", "PersistentVolumeClaim" | "PersistentVolume" | "Namespace")
        | ("apiextensions.k8s.io", "CustomResourceDefinition") => true,
        ("apps", "StatefulSet") => {
            let (templates, _) = field(attributes, &["spec", "volumeClaimTemplates"]);
            templates.is_some_and(|templates| templates.as_list().is_none_or(|items| !items.is_empty()))
        }
        _ => false,
    }
}

/// True for a Secret, whose `data` and `stringData` are sensitive.
pub(crate) fn is_secret(manifest: &Json) -> bool {
    let text = |name: &str| manifest.get(name).and_then(Json::as_str);
    (text("apiVersion"), text("kind")) == (Some("v1"), Some("Secret"))
}

/// Marks the secret values of a manifest: those of a Secret, and those that are marked in another version of it.
pub(crate) fn marked(manifest: Value, like: Option<&Value>) -> Value {
    let manifest = like.map_or_else(|| manifest.clone(), |like| marked_as(manifest.clone(), like));
    if matches!(manifest, Value::Sensitive(_)) {
        return manifest;
    }
    let text = |name: &str| manifest.get(name).and_then(Value::as_str).map(str::to_owned);
    if (text("apiVersion").as_deref(), text("kind").as_deref()) != (Some("v1"), Some("Secret")) {
        return manifest;
    }
    let Value::Map(mut entries) = manifest else { return manifest };
    for name in ["data", "stringData"] {
        if let Some(value) = entries.get_mut(name) {
            let inner = std::mem::take(value);
            *value = match inner {
                Value::Map(values) => {
                    Value::Map(values.into_iter().map(|(key, value)| (key, Value::sensitive(value))).collect())
                }
                Value::Null => Value::Null,
                other => Value::sensitive(other),
            };
        }
    }
    Value::Map(entries)
}

fn marked_as(value: Value, like: &Value) -> Value {
    match (value, like) {
        (value @ Value::Sensitive(_), _) => value,
        (value, Value::Sensitive(_)) => Value::sensitive(value),
        (Value::Map(entries), Value::Map(like)) => {
            let mark = |(key, value): (String, Value)| {
                let value = like.get(&key).map_or_else(|| value.clone(), |like| marked_as(value.clone(), like));
                (key, value)
            };
            Value::Map(entries.into_iter().map(mark).collect())
        }
        (Value::List(items), Value::List(like)) => {
            // Items have no identity here: one secret item makes all of them secret.
            let secret = like.iter().find(|item| item.has_sensitive());
            let mark = |value: Value| match secret {
                Some(_) => Value::sensitive(value),
                None => value,
            };
            Value::List(items.into_iter().map(mark).collect())
        }
        (value, _) => value,
    }
}

/// The manifest in the form for the server: the texts of a Secret as `data`, because the server stores no
/// `stringData`.
pub(crate) fn encoded(manifest: &Json) -> Json {
    let mut manifest = manifest.clone();
    if !is_secret(&manifest) {
        return manifest;
    }
    let Some(entries) = manifest.as_object_mut() else { return manifest };
    let Some(Json::Object(texts)) = entries.shift_remove("stringData") else { return manifest };
    let data = entries.entry("data").or_insert_with(|| Json::Object(JsonMap::new()));
    if let Some(data) = data.as_object_mut() {
        for (key, text) in texts {
            let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
            data.insert(key, BASE64.encode(text).into());
        }
    }
    manifest
}

/// An encoded manifest in the form of the described one: values of `stringData` as texts again.
pub(crate) fn decoded(mut encoded: Json, like: &Json) -> Json {
    let texts = like.get("stringData").and_then(Json::as_object).filter(|_| is_secret(like));
    let (Some(texts), Some(entries)) = (texts, encoded.as_object_mut()) else { return encoded };
    let mut decoded = JsonMap::new();
    if let Some(data) = entries.get_mut("data").and_then(Json::as_object_mut) {
        for key in texts.keys() {
            let bytes = data.get(key).and_then(Json::as_str).and_then(|value| BASE64.decode(value).ok());
            // Binary data stays in `data`.
            if let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
                decoded.insert(key.clone(), text.into());
                data.shift_remove(key);
            }
        }
        if data.is_empty() && like.get("data").is_none() {
            entries.shift_remove("data");
        }
    }
    entries.insert("stringData".to_owned(), Json::Object(decoded));
    encoded
}

/// The manifest of an object that terrace has not applied: as `kubectl apply` has recorded it, otherwise the fields that
/// managers own, without those of the control plane.
pub(crate) fn imported(object: &Json) -> Json {
    let recorded =
        crate::mark::of_object(object, LAST_APPLIED).and_then(|text| serde_json::from_str::<Json>(text).ok());
    let mut manifest = match recorded.filter(Json::is_object) {
        Some(recorded) => recorded,
        None => {
            let mut fields = Json::Object(JsonMap::new());
            let owners = crate::fields::owners(object);
            let is_user = |manager: &str| !manager.starts_with("kube-") && !manager.ends_with("-controller");
            let applied: Vec<_> = owners.iter().filter(|owner| owner.applies).collect();
            let chosen: Vec<_> = match applied.is_empty() {
                true => owners.iter().filter(|owner| is_user(owner.manager)).collect(),
                false => applied,
            };
            let is_unknown = chosen.is_empty();
            for owner in chosen {
                crate::fields::add(&mut fields, owner.fields);
            }
            if is_unknown { object.clone() } else { crate::fields::covered(object, &fields) }
        }
    };
    crate::mark::remove(&mut manifest);
    let named = crate::target::Target::of_object(object);
    let Some(entries) = manifest.as_object_mut() else { return object.clone() };
    entries.shift_remove("status");
    let mut metadata = match entries.shift_remove("metadata") {
        Some(Json::Object(metadata)) => metadata,
        _ => JsonMap::new(),
    };
    SERVER_FIELDS.iter().for_each(|name| drop(metadata.shift_remove(*name)));
    if let Some(Json::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.shift_remove(LAST_APPLIED);
        if annotations.is_empty() {
            metadata.shift_remove("annotations");
        }
    }
    let mut result = JsonMap::new();
    if let Some(target) = named {
        result.insert("apiVersion".to_owned(), target.api_version.into());
        result.insert("kind".to_owned(), target.kind.into());
        metadata.shift_remove("name");
        metadata.shift_remove("namespace");
        let mut names = JsonMap::new();
        names.insert("name".to_owned(), target.name.into());
        if !target.namespace.is_empty() {
            names.insert("namespace".to_owned(), target.namespace.into());
        }
        names.extend(metadata);
        metadata = names;
    }
    result.insert("metadata".to_owned(), Json::Object(metadata));
    let rest = std::mem::take(entries).into_iter().filter(|(name, _)| name != "apiVersion" && name != "kind");
    result.extend(rest);
    Json::Object(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attributes(manifest: Value) -> Attributes {
        [("manifest".to_owned(), manifest)].into_iter().collect()
    }

    #[track_caller]
    fn refused(manifest: Json, path: &str, message: &str) {
        let error = check(&attributes(manifest.into()), &["shop".to_owned()]).unwrap_err();
        assert!(error.message.contains(message) && error.hint().is_some(), "{error:?}");
        let terrace_provider::ErrorKind::InvalidInput { path: Some(found) } = error.kind else { panic!("{error:?}") };
        assert_eq!(found.to_string(), path);
    }

    fn config_map() -> Json {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}})
    }

    fn with(steps: &str, value: Json) -> Json {
        let mut manifest = config_map();
        let (parent, name) = steps.rsplit_once('/').unwrap();
        manifest.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
        manifest
    }

    #[test]
    fn wrong_manifests_are_refused_with_their_place() {
        assert!(check(&attributes(config_map().into()), &["shop".to_owned()]).is_ok());
        refused(json!("text"), "manifest", "is text, not a map");
        refused(json!({}), "manifest", "no `apiVersion`");
        refused(json!({"apiVersion": "v1", "kind": "ConfigMap"}), "manifest", "no `metadata");
        refused(with("/kind", json!(3)), "manifest.kind", "not a text");
        refused(with("/kind", json!("List")), "manifest.kind", "not an object");
        refused(with("/apiVersion", json!("a/b/c")), "manifest.apiVersion", "not the version of an API");
        refused(with("/metadata", json!("a")), "manifest.metadata", "not a map");
        refused(with("/metadata/name", json!("a/b")), "manifest.metadata.name", "not a name");
        refused(with("/metadata/namespace", json!("other")), "manifest.metadata.namespace", "may not use");
        refused(with("/metadata/uid", json!("1")), "manifest.metadata.uid", "only the server sets");
        refused(with("/status", json!({})), "manifest.status", "belongs to the cluster");
    }

    #[test]
    fn generated_name_has_its_own_hint() {
        let manifest = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}});
        let error = check(&attributes(manifest.into()), &[]).unwrap_err();
        assert!(error.hint().unwrap().contains("instead of `generateName`"), "{error:?}");
    }

    #[test]
    fn names_are_unknown_and_sensitive_as_in_the_manifest() {
        let names = |manifest: Value| {
            let mut attributes = attributes(manifest);
            put_names(&mut attributes);
            attributes
        };
        let known = names(config_map().into());
        assert_eq!((&known["group"], &known["namespace"]), (&"".into(), &"shop".into()));
        assert_eq!(known["id"], "v1/ConfigMap/shop/a".into());
        let Value::Map(mut manifest) = Value::from(config_map()) else { panic!() };
        let metadata = [("name".to_owned(), Value::Unknown), ("namespace".to_owned(), Value::sensitive("shop".into()))];
        manifest.insert("metadata".to_owned(), Value::Map(metadata.into_iter().collect()));
        let partly = names(Value::Map(manifest));
        assert_eq!((&partly["name"], &partly["kind"]), (&Value::Unknown, &"ConfigMap".into()));
        assert!(matches!(partly["namespace"], Value::Sensitive(_)) && matches!(partly["id"], Value::Sensitive(_)));
        assert!(!names(Value::Unknown).contains_key("name"));
    }

    #[test]
    fn values_of_a_secret_are_marked() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "eA=="}, "stringData": {"b": "hunter2"}});
        let marked = marked(secret.into(), None);
        assert!(!format!("{marked:?}").contains("hunter2") && !format!("{marked:?}").contains("eA=="), "{marked:?}");
        assert!(marked.get("metadata").unwrap().get("name").unwrap().as_str().is_some());
        assert!(!super::marked(config_map().into(), None).has_sensitive());
    }

    #[test]
    fn marks_of_an_earlier_version_stay() {
        let like = Value::Map([("data".to_owned(), Value::sensitive("x".into()))].into_iter().collect());
        let value = marked(json!({"data": "y", "other": 1}).into(), Some(&like));
        assert!(matches!(value.get("data"), Some(Value::Sensitive(_))), "{value:?}");
        assert!(!value.get("other").unwrap().has_sensitive());
    }

    #[test]
    fn texts_of_a_secret_are_sent_as_data_and_read_as_texts() {
        let manifest =
            json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "x", "b": "y"}, "data": {"c": "eg=="}});
        let sent = encoded(&manifest);
        assert_eq!(
            sent,
            json!({"apiVersion": "v1", "kind": "Secret", "data": {"c": "eg==", "a": "eA==", "b": "eQ=="}})
        );
        assert_eq!(decoded(sent, &manifest), manifest);
        let drifted = json!({"apiVersion": "v1", "kind": "Secret", "data": {"c": "eg==", "a": "ww=="}});
        let expected =
            json!({"apiVersion": "v1", "kind": "Secret", "data": {"c": "eg==", "a": "ww=="}, "stringData": {}});
        assert_eq!(decoded(drifted, &manifest), expected);
    }

    #[test]
    fn import_omits_fields_of_the_server_and_the_control_plane() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": "n", "uid": "1",
            "labels": {"a": "b"}, "annotations": {"deployment.kubernetes.io/revision": "1"}, "managedFields": [
                {"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:replicas": {}}}},
                {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:metadata": {"f:annotations": {"f:deployment.kubernetes.io/revision": {}}}}},
            ]}, "spec": {"replicas": 1, "paused": false}, "status": {"replicas": 1}});
        let expected = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": "n", "labels": {"a": "b"}}, "spec": {"replicas": 1}});
        assert_eq!(imported(&object), expected);
    }

    #[test]
    fn import_prefers_the_manifest_of_kubectl_apply() {
        let last = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "annotations": {}}, "data": {"x": "1"}});
        let mut object = config_map();
        object["metadata"]["annotations"] = json!({LAST_APPLIED: last.to_string()});
        object["data"] = json!({"x": "1", "y": "2"});
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": {"x": "1"}});
        assert_eq!(imported(&object), expected);
    }
}
