//! Jobs, version 2.2: <https://docs.databricks.com/api/workspace/jobs>.

mod settings;

use crate::error::{ApiError, Outcome};
use crate::fields::{object, page};
use crate::request::{Request, no_such_call};
use crate::world::{Entry, Job, World};
use serde_json::{Value as Json, json};

/// Maximum number of tasks in a response of `jobs/get`.
const TASKS: usize = 100;

pub(super) fn call(world: &mut World, request: &Request, what: &str) -> Outcome {
    match (request.method.as_str(), what) {
        ("POST", "create") => create(world, request),
        ("GET", "get") => get(world, request),
        ("GET", "list") => list(world, request),
        ("POST", "reset") => change(world, request, "reset"),
        ("POST", "update") => change(world, request, "update"),
        ("POST", "delete") => delete(world, request),
        _ => Err(no_such_call(request)),
    }
}

/// Refuses clusters of a caller that may not create them, and a `run_as` that is not permitted.
fn check_rights(world: &World, request: &Request, settings: &Json) -> Result<(), ApiError> {
    if let Some(name) = settings["run_as"]["service_principal_name"].as_str()
        && world.denied_run_as.iter().any(|it| it == name)
    {
        return Err(ApiError::denied(format!("{} does not have the required role to use {name}", request.actor)));
    }
    let parts = ["tasks", "job_clusters"].iter().flat_map(|part| settings[part].as_array().into_iter().flatten());
    let mut clusters = parts.map(|part| &part["new_cluster"]).filter(|cluster| !cluster.is_null());
    if world.can_create_clusters(&request.actor) || clusters.all(|cluster| !cluster["policy_id"].is_null()) {
        return Ok(());
    }
    Err(ApiError::denied(format!("{} is not authorized to create clusters", request.actor)))
}

fn create(world: &mut World, request: &Request) -> Outcome {
    let mut given = request.body.clone();
    let list = given.as_object_mut().and_then(|it| it.remove("access_control_list")).unwrap_or_default();
    let mut settings = settings::checked(world, &given)?;
    check_rights(world, request, &settings)?;
    let run_as = settings::take_run_as(&mut settings).unwrap_or_else(|| request.actor.clone());
    let (id, created) = (world.id(), world.now());
    world.jobs.insert(id, Job { creator: request.actor.clone(), run_as, created, settings });
    world.acls.insert(("jobs".to_owned(), id.to_string()), vec![super::permissions::owner(world, &request.actor)]);
    if !list.is_null() {
        let merged = super::permissions::merged(world, "jobs", &id.to_string(), &list, true)?;
        world.acls.insert(("jobs".to_owned(), id.to_string()), merged);
    }
    Ok(json!({"job_id": id}))
}

fn id_of(text: Option<&str>) -> Result<i64, ApiError> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| ApiError::invalid("Missing required field: job_id"))
}

/// An unknown job is an invalid parameter, not a missing resource.
fn missing(id: i64) -> ApiError {
    ApiError::invalid(format!("Job {id} does not exist."))
}

fn get(world: &World, request: &Request) -> Outcome {
    let id = id_of(request.query.get("job_id").map(String::as_str))?;
    let job = world.jobs.get(&id).ok_or_else(|| missing(id))?;
    let mut shown = shown(id, job);
    shown["run_as_user_name"] = json!(job.run_as);
    let tasks = shown["settings"]["tasks"].as_array().cloned().unwrap_or_default();
    if tasks.len() > TASKS || request.query.contains_key("page_token") {
        let (tasks, next) = page(tasks, &request.query, "limit", TASKS, TASKS)?;
        shown["settings"]["tasks"] = json!(tasks);
        shown["has_more"] = json!(next.is_some());
        if let Some(next) = next {
            shown["next_page_token"] = json!(next);
        }
    }
    Ok(shown)
}

fn shown(id: i64, job: &Job) -> Json {
    json!({"job_id": id, "creator_user_name": job.creator, "created_time": job.created, "settings": job.settings})
}

fn list(world: &World, request: &Request) -> Outcome {
    let with_tasks = request.query.get("expand_tasks").is_some_and(|it| it == "true");
    let name = request.query.get("name").map(|name| name.to_lowercase());
    let is_meant = |job: &Job| match &name {
        Some(name) => job.settings["name"].as_str().is_some_and(|it| it.to_lowercase() == *name),
        None => true,
    };
    let jobs = world.jobs.iter().rev().filter(|(_, job)| is_meant(job)).map(|(id, job)| {
        let mut shown = shown(*id, job);
        if !with_tasks {
            for part in ["tasks", "job_clusters", "parameters"] {
                shown["settings"].as_object_mut().unwrap().remove(part);
            }
        }
        shown
    });
    let (jobs, next) = page(jobs.collect(), &request.query, "limit", 20, 100)?;
    let mut answer = json!({"has_more": next.is_some()});
    if !jobs.is_empty() {
        answer["jobs"] = json!(jobs);
    }
    if let Some(next) = next {
        answer["next_page_token"] = json!(next);
    }
    Ok(answer)
}

fn change(world: &mut World, request: &Request, what: &str) -> Outcome {
    let fields: &[&str] = match what {
        "reset" => &["job_id", "new_settings"],
        _ => &["job_id", "new_settings", "fields_to_remove"],
    };
    let body = &request.body;
    object(body, "the request", fields)?;
    let id = body["job_id"].as_i64().ok_or_else(|| ApiError::invalid("Missing required field: job_id"))?;
    let job = world.jobs.get(&id).cloned().ok_or_else(|| missing(id))?;
    let given = match what {
        "reset" if body["new_settings"].is_null() => {
            return Err(ApiError::invalid("Missing required field: new_settings"));
        }
        "reset" => body["new_settings"].clone(),
        _ => settings::updated(&job.settings, &body["new_settings"], &body["fields_to_remove"])?,
    };
    let mut settings = settings::checked(world, &given)?;
    check_rights(world, request, &settings)?;
    let run_as = settings::take_run_as(&mut settings);
    let creator = job.creator.clone();
    // A reset without `run_as` sets the creator again.
    let run_as = run_as.unwrap_or(if what == "reset" { creator } else { job.run_as.clone() });
    world.jobs.insert(id, Job { settings, run_as, ..job });
    Ok(json!({}))
}

fn delete(world: &mut World, request: &Request) -> Outcome {
    object(&request.body, "the request", &["job_id"])?;
    let id = request.body["job_id"].as_i64().ok_or_else(|| ApiError::invalid("Missing required field: job_id"))?;
    world.jobs.remove(&id).ok_or_else(|| missing(id))?;
    world.acls.remove(&("jobs".to_owned(), id.to_string())).map(|_: Vec<Entry>| ()).unwrap_or_default();
    Ok(json!({}))
}
