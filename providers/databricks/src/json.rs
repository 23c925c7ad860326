//! Settings as a vendor's JSON: compares remote with configured settings, and merges them.
//!
//! A setting is managed if it is configured now or was configured last. Other remote settings stay unchanged and are
//! not drift. Items of some lists are matched by key (`tasks` by `task_key`); any other configured list is managed as a
//! whole.

use serde_json::{Map, Value as Json};
use terrace_provider::Value;
use terrace_provider::secret_half::Lists;

/// How lists are matched. A cluster without a label has the label `default`.
pub(crate) const LISTS: Lists = Lists { key_of, default_key: |key| (key == "label").then_some("default") };

/// The field that identifies the items of a list.
fn key_of(list: &str) -> Option<&'static str> {
    match list {
        "tasks" | "depends_on" => Some("task_key"),
        "job_clusters" => Some("job_cluster_key"),
        "parameters" => Some("name"),
        "environments" => Some("environment_key"),
        "clusters" => Some("label"),
        _ => None,
    }
}

/// Groups of mutually exclusive fields: setting one removes the others.
const EXCLUSIVE: [&[&str]; 7] = [
    &["user_name", "service_principal_name", "group_name"],
    &["num_workers", "autoscale"],
    &["git_branch", "git_tag", "git_commit"],
    &["existing_cluster_id", "new_cluster", "job_cluster_key", "environment_key"],
    &["schedule", "trigger", "continuous"],
    &["schema", "target"],
    &[
        "notebook_task",
        "pipeline_task",
        "run_job_task",
        "sql_task",
        "spark_python_task",
        "python_wheel_task",
        "spark_jar_task",
        "condition_task",
        "dbt_task",
        "for_each_task",
    ],
];

/// Fields whose case the server does not preserve.
const CASELESS: [&str; 4] = ["edition", "channel", "user_name", "service_principal_name"];

/// Returns true for an absent, null or empty value.
fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Object(entries) => entries.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Returns the remote values of the fields in `wanted`, in its order.
pub(crate) fn projected(wanted: &Json, remote: &Json) -> Json {
    within("", wanted, remote)
}

fn within(field: &str, wanted: &Json, remote: &Json) -> Json {
    match (wanted, remote) {
        (Json::Object(wanted), Json::Object(remote)) => {
            let one = |(name, wanted): (&String, &Json)| match remote.get(name) {
                Some(remote) => Some((name.clone(), within(name, wanted, remote))),
                None => is_empty(wanted).then(|| (name.clone(), wanted.clone())),
            };
            Json::Object(wanted.iter().filter_map(one).collect())
        }
        (Json::Array(wanted), Json::Array(remote)) => Json::Array(items_within(field, wanted, remote)),
        (Json::String(given), Json::String(current))
            if CASELESS.contains(&field) && given.eq_ignore_ascii_case(current) =>
        {
            wanted.clone()
        }
        (Json::Number(one), Json::Number(other)) if one.as_f64().is_some() && one.as_f64() == other.as_f64() => {
            wanted.clone()
        }
        _ if is_empty(wanted) && is_empty(remote) => wanted.clone(),
        _ => remote.clone(),
    }
}

fn items_within(field: &str, wanted: &[Json], remote: &[Json]) -> Vec<Json> {
    let Some(key) = key_of(field) else {
        return match wanted.len() == remote.len() {
            true => wanted.iter().zip(remote).map(|(wanted, remote)| within("", wanted, remote)).collect(),
            false => remote.to_vec(),
        };
    };
    let known = wanted.iter().filter_map(|it| LISTS.item(remote, key, it).map(|remote| within("", it, remote)));
    let more = remote.iter().filter(|it| LISTS.item(wanted, key, it).is_none()).cloned();
    known.chain(more).collect()
}

/// Returns the remote values without server defaults for fields that `wanted` does not set.
pub(crate) fn without_defaults(wanted: &Json, remote: &Json) -> Json {
    stripped("", wanted, remote)
}

fn stripped(field: &str, wanted: &Json, remote: &Json) -> Json {
    match remote {
        Json::Object(entries) => {
            let of_wanted = |name: &str| wanted.get(name).unwrap_or(&Json::Null);
            let is_shown = |name: &String, value: &Json| !of_wanted(name).is_null() || !is_default(name, value);
            let shown = entries.iter().filter(|(name, value)| is_shown(name, value));
            let mut shown: Map<String, Json> =
                shown.map(|(name, value)| (name.clone(), stripped(name, of_wanted(name), value))).collect();
            // Fields that are configured as empty, and are empty remotely.
            for (name, value) in wanted.as_object().into_iter().flatten() {
                if is_empty(value) && entries.get(name).is_none_or(Json::is_null) {
                    shown.insert(name.clone(), value.clone());
                }
            }
            Json::Object(shown)
        }
        Json::Array(items) => {
            let wanted = wanted.as_array().map(Vec::as_slice).unwrap_or_default();
            let like = |at: usize, it: &Json| match key_of(field) {
                Some(key) => LISTS.item(wanted, key, it).cloned().unwrap_or_default(),
                None => wanted.get(at).cloned().unwrap_or_default(),
            };
            let mut shown: Vec<Json> =
                items.iter().enumerate().map(|(at, it)| stripped("", &like(at, it), it)).collect();
            if let Some(key) = key_of(field) {
                let position = |it: &Json| wanted.iter().position(|like| LISTS.own(like, key) == LISTS.own(it, key));
                shown.sort_by_key(|it| position(it).unwrap_or(usize::MAX));
            }
            Json::Array(shown)
        }
        other => within(field, wanted, other),
    }
}

/// Returns true if the value is the server's default or empty.
pub(crate) fn is_default(name: &str, value: &Json) -> bool {
    let known = match name {
        "format" => return true,
        "max_concurrent_runs" => Json::from(1),
        "pause_status" => "UNPAUSED".into(),
        "run_if" => "ALL_SUCCESS".into(),
        "enable_elastic_disk" => true.into(),
        "availability" => "ON_DEMAND_AZURE".into(),
        "source" => return matches!(value.as_str(), Some("GIT" | "WORKSPACE")),
        _ => return is_empty(value) || value.as_i64() == Some(0) || value.as_bool() == Some(false),
    };
    *value == known
}

/// Returns the settings to send: the remote settings, without fields of `last` that are not configured now,
/// updated with `given`.
pub(crate) fn aligned(remote: &Json, last: &Json, given: &Json) -> Json {
    merged("", remote, last, given)
}

fn merged(field: &str, remote: &Json, last: &Json, given: &Json) -> Json {
    match (remote, given) {
        (Json::Object(remote), Json::Object(given)) => {
            let mut result = remote.clone();
            for name in last.as_object().into_iter().flatten().map(|(name, _)| name) {
                if !given.contains_key(name) {
                    result.shift_remove(name);
                }
            }
            for group in EXCLUSIVE.iter().filter(|group| group.iter().any(|name| given.contains_key(*name))) {
                result.retain(|name, _| !group.contains(&name.as_str()) || given.contains_key(name));
            }
            for (name, value) in given {
                let (current, before) =
                    (remote.get(name).unwrap_or(&Json::Null), last.get(name).unwrap_or(&Json::Null));
                match value {
                    Json::Null => drop(result.shift_remove(name)),
                    value => drop(result.insert(name.clone(), merged(name, current, before, value))),
                }
            }
            Json::Object(result)
        }
        (Json::Array(remote), Json::Array(given)) => match key_of(field) {
            Some(key) => {
                let last = last.as_array().map(Vec::as_slice).unwrap_or_default();
                let one = |it: &Json| {
                    let current = LISTS.item(remote, key, it).unwrap_or(&Json::Null);
                    merged("", current, LISTS.item(last, key, it).unwrap_or(&Json::Null), it)
                };
                Json::Array(given.iter().map(one).collect())
            }
            None => Json::Array(given.clone()),
        },
        _ => without_nulls(given),
    }
}

/// Removes nulls: a null is not sent.
pub(crate) fn without_nulls(given: &Json) -> Json {
    match given {
        Json::Object(entries) => {
            let present = entries.iter().filter(|(_, value)| !value.is_null());
            Json::Object(present.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// Splits observed settings back into one of several layers, which are merged in order. A field that a later layer
/// overrides keeps this layer's own value. `merged` holds all layers together, `observed` its observed values. Observed
/// fields that no layer sets belong to the first layer.
pub(crate) fn layer(own: &Json, merged: &Json, observed: &Json, is_first: bool) -> Json {
    layer_within("", own, merged, observed, is_first)
}

fn layer_within(field: &str, own_layer: &Json, merged: &Json, observed: &Json, is_first: bool) -> Json {
    match (own_layer, merged, observed) {
        (Json::Object(layer), Json::Object(merged), Json::Object(observed)) => {
            let mut shown = Map::new();
            for (name, value) in layer {
                match (merged.get(name), observed.get(name)) {
                    (Some(merged), Some(observed)) => {
                        shown.insert(name.clone(), layer_within(name, value, merged, observed, is_first));
                    }
                    // This layer configures the value, but it is missing remotely.
                    (Some(merged), None) if merged == value => {}
                    _ => drop(shown.insert(name.clone(), value.clone())),
                }
            }
            if is_first {
                let more = observed.iter().filter(|(name, _)| !merged.contains_key(*name));
                shown.extend(more.map(|(name, value)| (name.clone(), value.clone())));
            }
            Json::Object(shown)
        }
        (Json::Array(layer), Json::Array(merged), Json::Array(observed)) if key_of(field).is_some() => {
            let key = key_of(field).unwrap_or_default();
            let one = |it: &Json| {
                Some(layer_within("", it, LISTS.item(merged, key, it)?, LISTS.item(observed, key, it)?, is_first))
            };
            let more = observed.iter().filter(|it| is_first && LISTS.item(merged, key, it).is_none()).cloned();
            Json::Array(layer.iter().filter_map(one).chain(more).collect())
        }
        _ if own_layer == merged => observed.clone(),
        _ => own_layer.clone(),
    }
}

/// Merges values in order: maps by key, items of lists by their keys. Unknown values stay unknown.
pub(crate) fn merged_layers(layers: &[Value]) -> Value {
    let empty = Value::Map(terrace_provider::Map::default());
    layers.iter().fold(empty, |base, layer| value_within("", &base, layer))
}

fn value_within(field: &str, base: &Value, more: &Value) -> Value {
    match (base.exposed(), more.exposed()) {
        (Value::Map(base), Value::Map(more)) => {
            let mut result = base.clone();
            for (name, value) in more {
                let current = base.get(name).cloned().unwrap_or_default();
                result.insert(name.clone(), value_within(name, &current, value));
            }
            Value::Map(result)
        }
        (Value::List(base), Value::List(more)) if key_of(field).is_some() => {
            let key = key_of(field).unwrap_or_default();
            let own = |it: &Value| it.get(key).and_then(Value::as_str).or((LISTS.default_key)(key)).map(str::to_owned);
            let mut result = base.clone();
            for value in more {
                match result.iter_mut().find(|it| own(it).is_some() && own(it) == own(value)) {
                    Some(current) => *current = value_within("", current, value),
                    None => result.push(value.clone()),
                }
            }
            Value::List(result)
        }
        _ => more.clone(),
    }
}

#[cfg(test)]
mod tests;
