//! Settings of jobs: known fields and the server's defaults.

use crate::error::ApiError;
use crate::fields::{default, object, optional, text};
use crate::world::World;
use serde_json::{Value as Json, json};

const SETTINGS: [&str; 29] = [
    "budget_policy_id",
    "continuous",
    "deployment",
    "description",
    "duration_target",
    "edit_mode",
    "email_notifications",
    "environment_variables",
    "environments",
    "format",
    "git_source",
    "health",
    "job_clusters",
    "max_concurrent_runs",
    "name",
    "notification_settings",
    "parameters",
    "parent_path",
    "performance_target",
    "queue",
    "run_as",
    "schedule",
    "tags",
    "tasks",
    "timeout_seconds",
    "trigger",
    "triggers",
    "usage_policy_id",
    "webhook_notifications",
];
/// Fields with the kind of a task.
const KINDS: [&str; 10] = [
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
];
const TASK: [&str; 18] = [
    "task_key",
    "depends_on",
    "description",
    "disable_auto_optimization",
    "email_notifications",
    "environment_key",
    "existing_cluster_id",
    "health",
    "job_cluster_key",
    "libraries",
    "max_retries",
    "min_retry_interval_millis",
    "new_cluster",
    "notification_settings",
    "retry_on_timeout",
    "run_if",
    "timeout_seconds",
    "webhook_notifications",
];
const CLUSTER: [&str; 23] = [
    "apply_policy_default_values",
    "autoscale",
    "aws_attributes",
    "azure_attributes",
    "cluster_log_conf",
    "cluster_name",
    "custom_tags",
    "data_security_mode",
    "driver_instance_pool_id",
    "driver_node_type_id",
    "enable_elastic_disk",
    "gcp_attributes",
    "init_scripts",
    "instance_pool_id",
    "is_single_node",
    "kind",
    "node_type_id",
    "num_workers",
    "policy_id",
    "runtime_engine",
    "single_user_name",
    "spark_conf",
    "spark_env_vars",
];
const PROVIDERS: [&str; 8] = [
    "gitHub",
    "gitHubEnterprise",
    "gitLab",
    "gitLabEnterpriseEdition",
    "bitbucketCloud",
    "bitbucketServer",
    "azureDevOpsServices",
    "awsCodeCommit",
];

/// The settings with the server's defaults, or their error.
pub(super) fn checked(world: &World, given: &Json) -> Result<Json, ApiError> {
    object(given, "settings", &SETTINGS)?;
    let mut settings = given.clone();
    default(&mut settings, "name", json!("Untitled"));
    default(&mut settings, "email_notifications", json!({}));
    default(&mut settings, "webhook_notifications", json!({}));
    default(&mut settings, "timeout_seconds", json!(0));
    default(&mut settings, "max_concurrent_runs", json!(1));
    default(&mut settings, "format", json!("MULTI_TASK"));
    text(&settings, "name")?;
    if let Some(tags) = settings["tags"].as_object()
        && (tags.len() > 25 || tags.values().any(|it| !it.is_string()))
    {
        return Err(ApiError::invalid("A maximum of 25 tags can be added to the job, and each is a text"));
    }
    let has_git = git_source(&settings)?;
    schedule(&mut settings)?;
    run_as(world, &settings)?;
    let keys: Vec<String> =
        list(&settings, "job_clusters")?.iter().map(|it| text(it, "job_cluster_key")).collect::<Result<_, _>>()?;
    for item in settings["job_clusters"].as_array_mut().into_iter().flatten() {
        object(item, "job_clusters", &["job_cluster_key", "new_cluster"])?;
        cluster(&mut item["new_cluster"])?;
    }
    for parameter in list(&settings, "parameters")? {
        object(&parameter, "parameters", &["name", "default"])?;
        text(&parameter, "name")?;
        optional(&parameter, "default")?.ok_or_else(|| ApiError::invalid("Missing required field: default"))?;
    }
    tasks(world, &mut settings, &keys, has_git)?;
    // Null fields are not returned.
    settings.as_object_mut().expect("settings are an object").retain(|_, value| !value.is_null());
    Ok(settings)
}

fn list(object: &Json, name: &str) -> Result<Vec<Json>, ApiError> {
    match &object[name] {
        Json::Null => Ok(Vec::new()),
        Json::Array(items) => Ok(items.clone()),
        _ => Err(ApiError::malformed(format!("Field '{name}' is not a list"))),
    }
}

fn git_source(settings: &Json) -> Result<bool, ApiError> {
    let source = &settings["git_source"];
    if source.is_null() {
        return Ok(false);
    }
    object(source, "git_source", &["git_url", "git_provider", "git_branch", "git_tag", "git_commit"])?;
    text(source, "git_url")?;
    let provider = text(source, "git_provider")?;
    if !PROVIDERS.contains(&provider.as_str()) {
        return Err(ApiError::invalid(format!(
            "Git provider {provider} is not supported. Supported: {}",
            PROVIDERS.join(", ")
        )));
    }
    let references = ["git_branch", "git_tag", "git_commit"].iter().filter(|name| source[**name].is_string()).count();
    if references != 1 {
        return Err(ApiError::invalid("Exactly one of git_branch, git_tag, git_commit must be set"));
    }
    Ok(true)
}

fn schedule(settings: &mut Json) -> Result<(), ApiError> {
    if settings["schedule"].is_null() {
        return Ok(());
    }
    object(&settings["schedule"], "schedule", &["quartz_cron_expression", "timezone_id", "pause_status"])?;
    let cron = text(&settings["schedule"], "quartz_cron_expression")?;
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let is_right = matches!(fields.len(), 6 | 7) && ((fields[3] == "?") != (fields[5] == "?"));
    if !is_right {
        return Err(ApiError::invalid(format!(
            "Invalid quartz cron expression: '{cron}'. See https://www.quartz-scheduler.org for the format."
        )));
    }
    let zone = text(&settings["schedule"], "timezone_id")?;
    if zone != "UTC" && !zone.contains('/') {
        return Err(ApiError::invalid(format!("Invalid timezone id: {zone}")));
    }
    default(&mut settings["schedule"], "pause_status", json!("UNPAUSED"));
    Ok(())
}

fn run_as(world: &World, settings: &Json) -> Result<(), ApiError> {
    let run_as = &settings["run_as"];
    if run_as.is_null() {
        return Ok(());
    }
    let given = object(run_as, "run_as", &["user_name", "service_principal_name"])?;
    let Some((kind, Json::String(name))) = given.iter().next().filter(|_| given.len() == 1) else {
        return Err(ApiError::invalid("run_as: exactly one of user_name or service_principal_name must be set"));
    };
    match world.has_principal(kind, name) {
        true => Ok(()),
        false => Err(ApiError::invalid(format!("Principal {name} does not exist."))),
    }
}

fn cluster(cluster: &mut Json) -> Result<(), ApiError> {
    object(cluster, "new_cluster", &[&CLUSTER[..], &["spark_version", "workload_type"]].concat())?;
    text(cluster, "spark_version")?;
    if cluster["instance_pool_id"].is_null() {
        text(cluster, "node_type_id")?;
    }
    let (fixed, scaled) = (!cluster["num_workers"].is_null(), !cluster["autoscale"].is_null());
    if fixed == scaled {
        return Err(ApiError::invalid("Exactly one of num_workers or autoscale must be specified"));
    }
    for name in ["spark_conf", "spark_env_vars", "custom_tags"] {
        if cluster[name].as_object().is_some_and(|it| it.values().any(|it| !it.is_string())) {
            return Err(ApiError::malformed(format!("Values of {name} are texts")));
        }
    }
    if cluster["azure_attributes"].is_object() {
        object(
            &cluster["azure_attributes"],
            "azure_attributes",
            &["availability", "first_on_demand", "spot_bid_max_price"],
        )?;
        default(&mut cluster["azure_attributes"], "availability", json!("ON_DEMAND_AZURE"));
    }
    default(cluster, "enable_elastic_disk", json!(true));
    Ok(())
}

fn tasks(world: &World, settings: &mut Json, clusters: &[String], has_git: bool) -> Result<(), ApiError> {
    let keys: Vec<String> = list(settings, "tasks")?.iter().map(|it| text(it, "task_key")).collect::<Result<_, _>>()?;
    for (at, key) in keys.iter().enumerate() {
        if keys[..at].contains(key) {
            return Err(ApiError::invalid(format!("Duplicate task key: {key}")));
        }
    }
    for task in settings["tasks"].as_array_mut().into_iter().flatten() {
        object(task, "a task", &[&TASK[..], &KINDS].concat())?;
        if KINDS.iter().filter(|kind| !task[**kind].is_null()).count() != 1 {
            return Err(ApiError::invalid(format!("Task {} must have exactly one task type", task["task_key"])));
        }
        for other in list(task, "depends_on")? {
            let other = text(&other, "task_key")?;
            if !keys.contains(&other) {
                return Err(ApiError::invalid(format!("Task depends on {other}, which does not exist")));
            }
        }
        if let Some(key) = optional(task, "job_cluster_key")?
            && !clusters.contains(&key)
        {
            return Err(ApiError::invalid(format!("Job cluster '{key}' is not defined in field 'job_clusters'.")));
        }
        if let Some(id) = optional(task, "existing_cluster_id")?
            && !world.clusters.iter().any(|it| it["cluster_id"] == id.as_str())
        {
            return Err(ApiError::invalid(format!("Cluster {id} does not exist")));
        }
        if !task["new_cluster"].is_null() {
            cluster(&mut task["new_cluster"])?;
        }
        if !task["notebook_task"].is_null() {
            notebook(&mut task["notebook_task"], has_git)?;
        }
        default(task, "run_if", json!("ALL_SUCCESS"));
        default(task, "timeout_seconds", json!(0));
        default(task, "email_notifications", json!({}));
        default(task, "webhook_notifications", json!({}));
    }
    Ok(())
}

fn notebook(task: &mut Json, has_git: bool) -> Result<(), ApiError> {
    object(task, "notebook_task", &["notebook_path", "source", "base_parameters", "warehouse_id"])?;
    let path = text(task, "notebook_path")?;
    default(task, "source", json!(if has_git { "GIT" } else { "WORKSPACE" }));
    match (task["source"].as_str(), path.starts_with('/')) {
        (Some("GIT"), false) if has_git => Ok(()),
        (Some("WORKSPACE"), true) => Ok(()),
        (Some("GIT"), _) => {
            Err(ApiError::invalid("Notebook path with git source must be relative, and git_source must be set"))
        }
        _ => Err(ApiError::invalid(format!("Notebook path must be absolute: {path}"))),
    }
}

/// Takes `run_as` out of the settings, where it is never returned.
pub(super) fn take_run_as(settings: &mut Json) -> Option<String> {
    let run_as = settings.as_object_mut()?.remove("run_as")?;
    run_as.as_object()?.values().next()?.as_str().map(str::to_owned)
}

/// The settings after `jobs/update`: top-level fields are replaced, tasks and clusters merged by key.
pub(super) fn updated(old: &Json, new: &Json, removed: &Json) -> Result<Json, ApiError> {
    let mut settings = old.clone();
    let entries = settings.as_object_mut().expect("settings are an object");
    for name in removed.as_array().into_iter().flatten().filter_map(Json::as_str) {
        match name.split_once('/') {
            None => drop(entries.shift_remove(name)),
            Some((list, key)) => {
                let field = if list == "tasks" { "task_key" } else { "job_cluster_key" };
                entries
                    .get_mut(list)
                    .and_then(Json::as_array_mut)
                    .into_iter()
                    .for_each(|it| it.retain(|it| it[field] != key));
            }
        }
    }
    for (name, value) in new.as_object().into_iter().flatten() {
        let key = match name.as_str() {
            "tasks" => "task_key",
            "job_clusters" => "job_cluster_key",
            _ => {
                entries.insert(name.clone(), value.clone());
                continue;
            }
        };
        let items = entries.entry(name.clone()).or_insert_with(|| json!([]));
        let items = items.as_array_mut().expect("a list");
        for item in value.as_array().into_iter().flatten() {
            match items.iter_mut().find(|it| it[key] == item[key]) {
                Some(there) => *there = item.clone(),
                None => items.push(item.clone()),
            }
        }
    }
    Ok(settings)
}
