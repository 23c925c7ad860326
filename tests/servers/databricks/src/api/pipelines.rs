//! Pipelines: <https://docs.databricks.com/api/workspace/pipelines>.

use crate::error::{ApiError, Outcome};
use crate::fields::{default, object, page, text};
use crate::request::{Request, no_such_call};
use crate::world::{Pipeline, World};
use serde_json::{Value as Json, json};

const SPEC: [&str; 23] = [
    "budget_policy_id",
    "catalog",
    "channel",
    "clusters",
    "configuration",
    "continuous",
    "deployment",
    "development",
    "edition",
    "event_log",
    "filters",
    "gateway_definition",
    "id",
    "libraries",
    "name",
    "notifications",
    "photon",
    "root_path",
    "schema",
    "serverless",
    "storage",
    "tags",
    "target",
];
const CLUSTER: [&str; 13] = [
    "apply_policy_default_values",
    "autoscale",
    "aws_attributes",
    "azure_attributes",
    "custom_tags",
    "driver_instance_pool_id",
    "driver_node_type_id",
    "instance_pool_id",
    "label",
    "node_type_id",
    "num_workers",
    "policy_id",
    "spark_conf",
];

pub(super) fn all(world: &mut World, request: &Request) -> Outcome {
    match request.method.as_str() {
        "POST" => create(world, request),
        "GET" => list(world, request),
        _ => Err(no_such_call(request)),
    }
}

pub(super) fn one(world: &mut World, request: &Request, id: &str) -> Outcome {
    let missing = || ApiError::missing(format!("The specified pipeline {id} was not found."));
    let pipeline = world.pipelines.get(id).cloned().ok_or_else(missing)?;
    match request.method.as_str() {
        "GET" => Ok(json!({
            "pipeline_id": id, "name": pipeline.spec["name"], "spec": pipeline.spec, "state": "IDLE",
            "creator_user_name": pipeline.creator, "run_as_user_name": pipeline.creator,
            "last_modified": pipeline.modified, "health": "HEALTHY",
        })),
        "PUT" => {
            let mut spec = checked(world, &request.body, Some(id))?;
            if spec["catalog"] != pipeline.spec["catalog"] {
                return Err(ApiError::invalid("Modifying the catalog of an existing pipeline is not allowed."));
            }
            spec["id"] = json!(id);
            let modified = world.now();
            world.pipelines.insert(id.to_owned(), Pipeline { spec, modified, ..pipeline });
            Ok(json!({}))
        }
        "DELETE" => {
            // The tables are deleted too unless `cascade` is false.
            if request.query.get("cascade").is_none_or(|it| it != "false") {
                for table in &pipeline.tables {
                    world.tables.remove(table);
                }
            }
            world.pipelines.remove(id);
            world.acls.remove(&("pipelines".to_owned(), id.to_owned()));
            Ok(json!({}))
        }
        _ => Err(no_such_call(request)),
    }
}

fn create(world: &mut World, request: &Request) -> Outcome {
    let mut spec = checked(world, &request.body, None)?;
    let (id, modified) = (world.uuid(), world.now());
    spec["id"] = json!(id);
    let pipeline = Pipeline { creator: request.actor.clone(), modified, spec, tables: Default::default() };
    world.pipelines.insert(id.clone(), pipeline);
    world.acls.insert(("pipelines".to_owned(), id.clone()), vec![super::permissions::owner(world, &request.actor)]);
    Ok(json!({"pipeline_id": id}))
}

fn checked(world: &World, given: &Json, own: Option<&str>) -> Result<Json, ApiError> {
    object(
        given,
        "the pipeline",
        &[&SPEC[..], &["allow_duplicate_names", "expected_last_modified", "dry_run", "run_as"]].concat(),
    )?;
    let mut spec = given.clone();
    let entries = spec.as_object_mut().expect("an object");
    let may_repeat = entries.remove("allow_duplicate_names") == Some(json!(true));
    for name in ["expected_last_modified", "dry_run", "run_as"] {
        entries.remove(name);
    }
    let name = text(&spec, "name")?;
    let is_taken = world.pipelines.iter().any(|(id, it)| Some(id.as_str()) != own && it.spec["name"] == name.as_str());
    if is_taken && !may_repeat {
        let message = format!(
            "The pipeline name '{name}' is already used by another pipeline. This check can be skipped by setting `allow_duplicate_names = true` in the request."
        );
        return Err(ApiError::new(409, "RESOURCE_CONFLICT", message));
    }
    if spec["libraries"].as_array().is_none_or(Vec::is_empty) {
        return Err(ApiError::invalid("libraries must contain at least one element"));
    }
    for library in spec["libraries"].as_array().into_iter().flatten() {
        object(library, "a library", &["notebook", "file", "glob"])?;
        let path = library["notebook"]["path"]
            .as_str()
            .or(library["file"]["path"].as_str())
            .or(library["glob"]["include"].as_str());
        if !path.is_some_and(|path| path.starts_with('/')) {
            return Err(ApiError::invalid("The path of a library must be absolute"));
        }
    }
    let one_of = |name: &str, known: &[&str]| match spec[name].as_str() {
        Some(given) if !known.contains(&given.to_uppercase().as_str()) => {
            Err(ApiError::invalid(format!("Unknown {name}: {given}")))
        }
        _ => Ok(()),
    };
    one_of("edition", &["CORE", "PRO", "ADVANCED"])?;
    one_of("channel", &["CURRENT", "PREVIEW"])?;
    for cluster in spec["clusters"].as_array().into_iter().flatten() {
        object(cluster, "a cluster", &CLUSTER)?;
        if !cluster["num_workers"].is_null() && !cluster["autoscale"].is_null() {
            return Err(ApiError::invalid("Only one of num_workers and autoscale can be set"));
        }
    }
    for notification in spec["notifications"].as_array().into_iter().flatten() {
        object(notification, "a notification", &["email_recipients", "alerts"])?;
    }
    for cluster in spec["clusters"].as_array_mut().into_iter().flatten() {
        default(cluster, "label", json!("default"));
    }
    default(&mut spec, "continuous", json!(false));
    default(&mut spec, "development", json!(false));
    default(&mut spec, "photon", json!(false));
    default(&mut spec, "channel", json!("CURRENT"));
    default(&mut spec, "edition", json!("ADVANCED"));
    Ok(spec)
}

fn list(world: &World, request: &Request) -> Outcome {
    let pattern = match request.query.get("filter") {
        None => None,
        Some(filter) => {
            let quoted = filter.trim().strip_prefix("name LIKE '").and_then(|it| it.strip_suffix('\''));
            Some(quoted.ok_or_else(|| ApiError::invalid(format!("Could not parse filter: {filter}")))?.to_owned())
        }
    };
    let is_meant = |name: &str| pattern.as_ref().is_none_or(|pattern| is_like(name, pattern));
    let found = world.pipelines.iter().filter(|(_, it)| is_meant(it.spec["name"].as_str().unwrap_or_default()));
    let rows = found.map(|(id, it)| {
        json!({
            "pipeline_id": id, "name": it.spec["name"], "state": "IDLE", "creator_user_name": it.creator,
            "run_as_user_name": it.creator,
        })
    });
    let (rows, next) = page(rows.collect(), &request.query, "max_results", 25, 100)?;
    let mut answer = json!({});
    if !rows.is_empty() {
        answer["statuses"] = json!(rows);
    }
    if let Some(next) = next {
        answer["next_page_token"] = json!(next);
    }
    Ok(answer)
}

/// `%` matches any text, `_` any character.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = rest.as_str();
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| is_like(&text[at..], rest))
        }
        Some(wanted) => {
            let mut given = text.chars();
            given.next().is_some_and(|it| wanted == '_' || it == wanted) && is_like(given.as_str(), rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn underscores_and_percent_signs_are_wildcards() {
        assert!(is_like("a_b", "a_b") && is_like("axb", "a_b") && is_like("shop", "s%p") && is_like("", "%"));
        assert!(!is_like("ab", "a_b") && !is_like("shop", "shop_") && !is_like("Shop", "shop"));
    }
}
