//! The lookup `databricks_workflow`: an existing job, with the names of the objects that its tasks refer to.

use super::by_name::ambiguous;
use super::fields::{string_attribute, workspace};
use crate::attributes::{attributes, id_of, of_json, optional_text, text, text_of};
use crate::object::{Context, job};
use crate::{json, mark};
use jiff::Timestamp;
use serde_json::Value as Json;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{Attribute, AttributeType, Attributes, ErrorKind, Lookup, Object, Path, ProviderError, Value};

/// Name of the lookup.
pub(super) const NAME: &str = "databricks_workflow";

/// Arguments and result of the lookup.
pub(super) fn schema() -> Lookup {
    let reference = Object(vec![
        string_attribute("taskKey", "The task."),
        string_attribute("referencedTaskType", "`pipeline`, `job`, `notebook_warehouse` or `notebook_compute`."),
        string_attribute("referencedTaskId", "The id of the pipeline or job."),
        string_attribute("referencedTaskName", "Its name."),
        string_attribute("referencedClusterId", "The id of the SQL warehouse or cluster."),
        string_attribute("referencedClusterName", "Its name."),
    ]);
    Lookup {
        name: NAME,
        doc: "The only job with a name, and the names of the objects that its tasks refer to by id.",
        arguments: Object(vec![
            workspace(),
            string_attribute("name", "Exact name.").required(),
            string_attribute(
                "runAs",
                "Display name of the service principal that the job must run as; case is ignored.",
            ),
        ]),
        result: Object(vec![
            string_attribute("name", "The requested name."),
            string_attribute("jobId", "Its id."),
            Attribute::new("createdTime", AttributeType::Int, "Creation time in milliseconds since 1970."),
            string_attribute("creatorUserName", "Creator's user name."),
            string_attribute("runAsUserName", "User name or application id that the job runs as."),
            Attribute::new("settings", AttributeType::Any, "Settings in the API's format."),
            Attribute::new(
                "references",
                AttributeType::list(AttributeType::Object(reference)),
                "Objects that the tasks refer to, in the order of the tasks.",
            ),
            string_attribute("readAt", "Time of the read."),
        ]),
        objects: &[],
    }
}

/// Answers the lookup.
///
/// # Errors
/// `NotFound` if the job does not exist; another error if there are several, or if it runs as another principal.
pub(super) async fn answer(context: &Context<'_>, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    let name = text(arguments, "name");
    let found = job::named(context, &name).await?;
    let ids: Vec<String> = found.iter().filter_map(|it| id_of(it, "job_id")).collect();
    let [own_id] = ids.as_slice() else {
        return Err(match ids.len() {
            0 => {
                let message = format!("job `{name}` not found, or the instance's principal may not see it");
                ProviderError::new(ErrorKind::NotFound, message)
            }
            _ => ambiguous("job", &name, &ids),
        });
    };
    let job = job::get(context, own_id).await?.ok_or_else(|| {
        ProviderError::new(ErrorKind::NotFound, format!("the job `{name}` was deleted during the read"))
    })?;
    let runs_as = text_of(&job, "run_as_user_name");
    if let Some(wanted) = optional_text(arguments, "runAs").filter(|wanted| !wanted.is_empty()) {
        check_run_as(context, &name, runs_as, &wanted).await?;
    }
    let mut settings = json::without_nulls(job.get("settings").unwrap_or(&Json::Null));
    mark::remove(&mut settings);
    let mut references = Vec::new();
    for task in settings.get("tasks").and_then(Json::as_array).into_iter().flatten() {
        references.extend(reference(context, task).await?);
    }
    Ok(attributes([
        ("name", name.into()),
        ("jobId", own_id.as_str().into()),
        ("createdTime", job.get("created_time").and_then(Json::as_i64).map_or(Value::Null, Value::Int)),
        ("creatorUserName", of_json(&job, "creator_user_name")),
        ("runAsUserName", of_json(&job, "run_as_user_name")),
        ("settings", Value::from(settings)),
        ("references", Value::List(references)),
        ("readAt", format!("{:.3}", Timestamp::now()).into()),
    ]))
}

/// Refuses a job that runs as an unexpected principal: its blueprint would change it back.
async fn check_run_as(context: &Context<'_>, name: &str, runs_as: &str, wanted: &str) -> Result<(), ProviderError> {
    let named = attributes([("name", wanted.into())]);
    let found = Box::pin(super::answer("databricks_service_principal", context, &named)).await?;
    if found.get("applicationId").and_then(Value::as_str).is_some_and(|id| id.eq_ignore_ascii_case(runs_as)) {
        return Ok(());
    }
    let message = format!("the job `{name}` runs as `{runs_as}` instead of the service principal `{wanted}`");
    Err(ProviderError::invalid(Some(Path::attribute("runAs")), message)
        .solution(format!("set the job to run as `{wanted}` again, or change `runAsPrincipalName`")))
}

/// The named object that a task refers to, if any.
async fn reference(context: &Context<'_>, task: &Json) -> Result<Option<Value>, ProviderError> {
    let at = |path: &str| match task.pointer(path) {
        Some(Json::Number(number)) => Some(number.to_string()),
        Some(Json::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    let is_notebook = task.get("notebook_task").is_some();
    let key = text_of(task, "task_key");
    let (kind, is_task, id, named) = if let Some(id) = at("/pipeline_task/pipeline_id") {
        let request = Request::get("/api/2.0/pipelines/{id}", &[&id]);
        ("pipeline", true, id, (request, "/name"))
    } else if let Some(id) = at("/run_job_task/job_id") {
        let request = Request::get("/api/2.2/jobs/get", &[]).query("job_id", &id);
        ("job", true, id, (request, "/settings/name"))
    } else if let Some(id) = at("/notebook_task/warehouse_id") {
        let request = Request::get("/api/2.0/sql/warehouses/{id}", &[&id]);
        ("notebook_warehouse", false, id, (request, "/name"))
    } else if let Some(id) = at("/existing_cluster_id").filter(|_| is_notebook) {
        let request = Request::get("/api/2.1/clusters/get", &[]).query("cluster_id", &id);
        ("notebook_compute", false, id, (request, "/cluster_name"))
    } else {
        return Ok(None);
    };
    let (request, path) = named;
    let purpose = Purpose::read(format!("read the object that the task `{key}` refers to"));
    let found = context.send(&request, &purpose).await?;
    let name = found.pointer(path).and_then(Json::as_str).map_or(Value::Null, Value::from);
    let (of_task, of_cluster) = match is_task {
        true => ((id.into(), name), (Value::Null, Value::Null)),
        false => ((Value::Null, Value::Null), (id.into(), name)),
    };
    Ok(Some(Value::Map(attributes([
        ("taskKey", key.into()),
        ("referencedTaskType", kind.into()),
        ("referencedTaskId", of_task.0),
        ("referencedTaskName", of_task.1),
        ("referencedClusterId", of_cluster.0),
        ("referencedClusterName", of_cluster.1),
    ]))))
}
