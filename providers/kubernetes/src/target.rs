//! Names of objects: API, kind, namespace and name.

use serde_json::Value as Json;
use std::fmt;
use terrace_provider::{Attributes, Path, ProviderError, Value};

/// The name of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Group and version: `apps/v1`, `v1`.
    pub(crate) api_version: String,
    pub(crate) kind: String,
    /// Empty for an object of the whole cluster.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Target {
    /// The object of recorded or planned attributes; `None` while a part is unknown.
    pub(crate) fn of(attributes: &Attributes) -> Option<Self> {
        let part = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            api_version: part("apiVersion")?,
            kind: part("kind")?,
            namespace: part("namespace")?,
            name: part("name")?,
        })
    }

    /// The object of a server's answer.
    pub(crate) fn of_object(object: &Json) -> Option<Self> {
        let part = |at: &str| object.pointer(at).and_then(Json::as_str).map(str::to_owned);
        Some(Self {
            api_version: part("/apiVersion")?,
            kind: part("/kind")?,
            namespace: part("/metadata/namespace").unwrap_or_default(),
            name: part("/metadata/name")?,
        })
    }

    /// The object of an import id: `v1/ConfigMap/shop/settings`, `apps/v1/Deployment/shop/web`, `v1/Namespace//shop`.
    ///
    /// # Errors
    /// When the id has another form.
    pub(crate) fn of_id(id: &str) -> Result<Self, ProviderError> {
        let parts: Vec<&str> = id.split('/').collect();
        let (api_version, kind, namespace, name) = match parts.as_slice() {
            [version, kind, namespace, name] => ((*version).to_owned(), *kind, *namespace, *name),
            [group, version, kind, namespace, name] => (format!("{group}/{version}"), *kind, *namespace, *name),
            _ => return Err(wrong_id(id)),
        };
        let is_named = check_segment(name).is_ok() && (namespace.is_empty() || check_segment(namespace).is_ok());
        if !is_named || kind.is_empty() || api_version.split('/').any(str::is_empty) {
            return Err(wrong_id(id));
        }
        let [kind, namespace, name] = [kind, namespace, name].map(str::to_owned);
        Ok(Self { api_version, kind, namespace, name })
    }

    /// The id for `terrace import`.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}/{}/{}", self.api_version, self.kind, self.namespace, self.name)
    }

    /// The group of the API; empty for the core group.
    pub(crate) fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// True if both are the same object. The version of the API does not count.
    pub(crate) fn is_same_object(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.group().to_owned(), it.kind.clone(), it.namespace.clone(), it.name.clone());
        parts(self) == parts(other)
    }

    /// The same object in another version of its API.
    pub(crate) fn in_version(&self, version: &str) -> Self {
        let api_version = match self.group() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        };
        Self { api_version, ..self.clone() }
    }
}

/// ``Deployment `shop/web` ``, for messages.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} `{}`", self.kind, self.name),
            namespace => write!(f, "{} `{namespace}/{}`", self.kind, self.name),
        }
    }
}

fn wrong_id(id: &str) -> ProviderError {
    ProviderError::invalid(None, format!("`{id}` does not name an object"))
        .solution("write `apps/v1/Deployment/NAMESPACE/NAME`, `v1/ConfigMap/NAMESPACE/NAME`, or `v1/Namespace//NAME`")
}

/// Checks that a text can be a part of a path. <https://kubernetes.io/docs/concepts/overview/working-with-objects/names>
pub(crate) fn check_segment(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("it is empty"),
        "." | ".." => Err("it is a step of a path"),
        _ if text.len() > 253 => Err("it is longer than 253 characters"),
        _ if text.contains(['/', '%']) => Err("it contains `/` or `%`"),
        _ if text.chars().any(|c| c.is_whitespace() || c.is_control()) => Err("it contains white space"),
        _ => Ok(()),
    }
}

/// The path of a field within the attribute `manifest`, from the server's words: `spec.ports[0].port`,
/// `metadata.annotations[a/b]`. Ends at the last step that the manifest has.
pub(crate) fn path_of(field: &str, manifest: &Json) -> Path {
    let mut path = Path::attribute("manifest");
    let mut at = manifest;
    let cut = field.replace('[', ".[").replace(']', "");
    for step in cut.trim_start_matches('.').split('.').filter(|step| !step.is_empty()) {
        let (name, is_bracket) = step.strip_prefix('[').map_or((step, false), |name| (name, true));
        let index = name.parse::<usize>().ok().filter(|_| is_bracket && at.is_array());
        let next = match index {
            Some(index) => at.get(index),
            None => at.get(name),
        };
        let Some(next) = next else { break };
        path = index.map_or_else(|| path.key(name), |index| path.index(index));
        at = next;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn id_leads_back_to_its_object() {
        for id in ["v1/ConfigMap/shop/a.b", "apps/v1/Deployment/shop/web", "v1/Namespace//shop", "g.example/v1/K//n:x"]
        {
            assert_eq!(Target::of_id(id).unwrap().id(), id);
        }
        for id in
            ["", "v1/ConfigMap/a", "v1/ConfigMap/shop/", "a/b/c/d/e/f", "v1//shop/a", "v1/Namespace//a%2e", "/K/n/m"]
        {
            assert!(Target::of_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn versions_of_an_api_have_the_same_objects() {
        let one = Target::of_id("batch/v1beta1/CronJob/a/b").unwrap();
        assert!(one.is_same_object(&one.in_version("v1")));
        assert_eq!(one.in_version("v1").api_version, "batch/v1");
        assert!(!one.is_same_object(&Target::of_id("batch/v1/CronJob/a/c").unwrap()));
    }

    #[test]
    fn field_of_the_server_has_a_path_in_the_manifest() {
        let manifest = json!({"spec": {"ports": [{"port": 1}]}, "metadata": {"annotations": {"x": "y"}}});
        for (field, path) in [
            ("spec.ports[0].port", "manifest.spec.ports[0].port"),
            ("spec.ports[0].name", "manifest.spec.ports[0]"),
            ("spec.selector", "manifest.spec"),
            (".metadata.annotations[x]", "manifest.metadata.annotations.x"),
            ("<nil>", "manifest"),
        ] {
            assert_eq!(path_of(field, &manifest).to_string(), path, "{field}");
        }
    }
}
