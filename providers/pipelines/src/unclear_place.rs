//! Settings that may lead to another cluster than their author means.

use crate::cluster_settings::names_a_place;
use crate::schema;
use terrace_provider::{Attribute, AttributeType, Settings, Value};

/// Why the settings may lead to another place than their author means: an unknown setting, which may be a misspelt one, or a place
/// of a wrong type. The check of the configuration reports both, and tolerant commands go on.
#[must_use]
pub fn unclear_place(settings: &Settings) -> Option<String> {
    let known = schema::provider().settings;
    let is_right = |attribute: &Attribute, value: &Value| match attribute.ty {
        AttributeType::Bool => value.as_bool().is_some(),
        _ => value.as_str().is_some(),
    };
    settings.values.iter().find_map(|(name, value)| match known.get(name) {
        None => Some(format!("the setting `{name}` is unknown")),
        Some(_) if value.is_null() || !(names_a_place(name) || name == "executor") => None,
        Some(attribute) => (!is_right(attribute, value)).then(|| format!("the setting `{name}` has a wrong type")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::Sandbox;

    #[test]
    fn unknown_setting_or_wrong_type_makes_the_place_unclear() {
        let of = |name: &str, value: Value| {
            let values = [("executor", "kubernetes".into()), (name, value)];
            unclear_place(&Settings {
                instance: "pipelines".to_owned(),
                environment: "local".to_owned(),
                project_folder: "/project".into(),
                sandbox: Sandbox::default(),
                sources: Default::default(),
                values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            })
        };
        for (name, value) in [
            ("namespac", "shop".into()),
            ("contxt", "prod".into()),
            ("namespace", Value::Int(5)),
            ("context", Value::Int(7)),
            ("kubeconfig", Value::List(Vec::new())),
            ("inCluster", "yes".into()),
        ] {
            assert!(of(name, value).unwrap().contains(name), "{name}");
        }
        assert_eq!(of("memory", Value::Int(512)), None);
        assert_eq!(of("inCluster", Value::Bool(true)), None);
    }
}
