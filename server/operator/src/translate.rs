//! Descriptors of the kinds `Pipeline`, `Database` and `Worker`: each object is a plain stack.
//!
//! From here on, an object of any kind is a [`Stack`]: one plan, one approval, one removal. The definitions of the
//! kinds refuse `$` in texts, so that no text of an object is an expression.

use crate::kind::Kind;
use crate::server::PIPELINE;
use crate::stack::{ApprovalMode, Deletion, Received, Stack, StackSpec, StackStatus};
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
            let pipeline = resource(PIPELINE, "pipeline", with(Map::new(), "name", id));
            let schedule = spec.get("schedule").filter(|schedule| !schedule.is_null()).map(|schedule| {
                let named = ["cron", "timeZone", "enabled", "overlap", "catchUp", "jitterSeconds", "database"];
                let mut config = fields(schedule, &named);
                config.extend(fields(spec, &["image"]));
                config.extend(fields(spec.get("resources").unwrap_or(&Json::Null), &["cpu", "memory", "disk"]));
                config.extend(spec.get("env").map(|env| ("params".to_owned(), env.clone())));
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

/// The name of a descriptor in errors of the server, before line and column.
const DESCRIPTOR: &str = "descriptor:";

/// A status whose messages name no places in the descriptor: the user of an object of these kinds wrote none.
pub(crate) fn without_places(mut status: StackStatus) -> StackStatus {
    let plan = status.plan.as_mut().and_then(|plan| plan.problem.as_mut());
    let operation = status.operation.as_mut().and_then(|operation| operation.summary.as_mut());
    let retry = status.retry.as_mut().map(|retry| &mut retry.message);
    for message in [plan, operation, retry].into_iter().flatten() {
        *message = without_places_in(message);
    }
    status
}

fn without_places_in(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(DESCRIPTOR) {
        kept.push_str(before);
        // Not the end of another file's name.
        let is_whole = kept.chars().last().is_none_or(|last| last.is_whitespace() || last == '(');
        match after_place(after).filter(|_| is_whole) {
            Some(message) => rest = message,
            None => {
                kept.push_str(DESCRIPTOR);
                rest = after;
            }
        }
    }
    kept + rest
}

/// The text after `LINE:COLUMN: `.
fn after_place(text: &str) -> Option<&str> {
    let is_digit = |c: char| c.is_ascii_digit();
    text.trim_start_matches(is_digit).strip_prefix(':')?.trim_start_matches(is_digit).strip_prefix(": ")
}
