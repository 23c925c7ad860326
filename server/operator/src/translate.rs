//! Descriptors of the kinds `Pipeline`, `Database` and `Worker`: each object is a plain stack.
//!
//! From here on, an object of any kind is a [`Stack`]: one plan, one approval, one removal. The definitions of the
//! kinds refuse `$` in texts, so that no text of an object is an expression.

use crate::kind::Kind;
use crate::stack::{ApprovalMode, Deletion, Received, Stack, StackSpec};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

/// The fields that the three kinds share.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Common {
    environment: String,
    /// The name in the project of the server; that of the object if absent.
    #[serde(default)]
    name: Option<String>,
    #[serde(default = "automatic")]
    approval: ApprovalMode,
    #[serde(default)]
    deletion: Deletion,
    #[serde(default)]
    remove_data: bool,
}

const fn automatic() -> ApprovalMode {
    ApprovalMode::Automatic
}

/// The object as a stack.
///
/// # Errors
/// When its `spec` cannot be read.
pub(crate) fn stack(kind: Kind, received: Received) -> Result<Stack, serde_json::Error> {
    let Received { metadata, spec, status } = received;
    let spec = match kind {
        Kind::Stack => serde_json::from_value(spec)?,
        Kind::Pipeline | Kind::Database | Kind::Worker => {
            let common: Common = serde_json::from_value(spec.clone())?;
            let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
            let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
            let in_project = common.name.as_deref().unwrap_or(name);
            let stack = format!("{}.{namespace}.{name}", kind.name().to_lowercase());
            let descriptor = json!({
                "apiVersion": "terrace.dev/v1",
                "kind": "Stack",
                "metadata": {"name": stack},
                "resources": resources(kind, &spec, in_project, &format!("{namespace}-{name}")),
            });
            StackSpec {
                environment: common.environment,
                descriptor: Some(descriptor),
                approval: common.approval,
                deletion: common.deletion,
                remove_data: common.remove_data,
                ..StackSpec::default()
            }
        }
    };
    Ok(Stack { kind, metadata, spec, status })
}

/// The resources of an object. `schedule_name` is the usual name of its schedule, which may become that of a CronJob.
fn resources(kind: Kind, spec: &Json, name: &str, schedule_name: &str) -> Vec<Json> {
    let resource =
        |ty: &str, name: &str, config: Map<String, Json>| json!({"type": ty, "name": name, "config": config});
    let fields = |of: &Json, names: &[&str]| -> Map<String, Json> {
        let named = names.iter().filter_map(|name| Some(((*name).to_owned(), of.get(*name)?.clone())));
        named.filter(|(_, value)| !value.is_null()).collect()
    };
    let with = |mut config: Map<String, Json>, key: &str, value: &Json| {
        config.insert(key.to_owned(), value.clone());
        config
    };
    match kind {
        Kind::Stack => Vec::new(),
        Kind::Pipeline => {
            let id = spec.get("pipelineId").unwrap_or(&Json::Null);
            let pipeline = resource("pipelines_pipeline", "pipeline", with(Map::new(), "name", id));
            let schedule = spec.get("schedule").filter(|schedule| !schedule.is_null()).map(|schedule| {
                let config = fields(schedule, &["cron", "timeZone", "enabled", "overlap", "catchUp", "jitterSeconds"]);
                let name = schedule.get("name").cloned().unwrap_or_else(|| json!(schedule_name));
                let config = with(with(config, "pipeline", id), "name", &name);
                resource("pipelines_schedule", "schedule", config)
            });
            std::iter::once(pipeline).chain(schedule).collect()
        }
        Kind::Database => {
            let config =
                fields(spec, &["engine", "ttl", "executor", "persistent", "size", "storageClass", "port", "webUi"]);
            vec![resource("pipelines_database", "database", with(config, "name", &json!(name)))]
        }
        Kind::Worker => {
            let config = fields(spec, &["size", "ttl"]);
            vec![resource("pipelines_worker_pool", "pool", with(config, "name", &json!(name)))]
        }
    }
}
