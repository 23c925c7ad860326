//! Checks a job's settings without any request. Each error has its path.

use super::super::credential::check_provider;
use std::collections::HashSet;
use terrace_provider::cron::quartz;
use terrace_provider::{Attributes, Path, ProviderError, Value};

fn refused(at: &Path, message: impl Into<String>) -> ProviderError {
    ProviderError::invalid(Some(at.clone()), message)
}

fn non_null<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    value.get(name).filter(|it| !it.is_null())
}

/// Checks the known settings.
pub(super) fn settings(planned: &Attributes) -> Result<(), ProviderError> {
    let at = Path::attribute("settings");
    let Some(settings) = super::super::settings::value_of(planned) else { return Ok(()) };
    let settings = &settings;
    if settings.as_map().is_none() {
        return Err(refused(&at, "the settings of a job must be a map"));
    }
    match settings.get("name") {
        Some(name) if name.is_unknown() => {}
        Some(name) if name.as_str().is_some_and(|it| !it.trim().is_empty()) => {}
        _ => {
            return Err(refused(&at.key("name"), "a job needs a name")
                .solution("add a name: terrace finds the job by it if the answer of a create is lost"));
        }
    }
    if let Some(tags) = non_null(settings, "tags").and_then(Value::as_map) {
        let is_text = |value: &Value| value.is_unknown() || value.is_null() || value.as_str().is_some();
        if let Some((name, _)) = tags.iter().find(|(_, value)| !is_text(value)) {
            return Err(refused(&at.key("tags").key(name), "the value of a tag must be a string"));
        }
        if tags.len() > 24 {
            return Err(refused(&at.key("tags"), "a job can have at most 24 tags besides the tag of terrace"));
        }
    }
    schedule(settings, &at)?;
    git(settings, &at.key("git_source"))?;
    for (index, cluster) in items(settings, "job_clusters").iter().enumerate() {
        cluster_of(cluster, &at.key("job_clusters").index(index))?;
    }
    tasks(settings, &at.key("tasks"))
}

fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_list).unwrap_or_default()
}

fn schedule(settings: &Value, at: &Path) -> Result<(), ProviderError> {
    let Some(schedule) = non_null(settings, "schedule") else { return Ok(()) };
    let at = at.key("schedule");
    if let Some(cron) = schedule.get("quartz_cron_expression").and_then(Value::as_str) {
        if let Err(why) = quartz::check(cron) {
            let error =
                refused(&at.key("quartz_cron_expression"), format!("`{cron}` is not a Quartz expression: {why}"));
            return Err(error.solution(
                "write seconds, minutes, hours, day of month, month and day of week, such as `0 30 6 * * ?`",
            ));
        }
    } else if schedule.get("quartz_cron_expression").is_none_or(|it| !it.is_unknown()) {
        return Err(refused(&at.key("quartz_cron_expression"), "a schedule needs a Quartz expression"));
    }
    match schedule.get("timezone_id") {
        Some(zone) if zone.is_unknown() => Ok(()),
        Some(zone) if zone.as_str().is_some_and(|it| it == "UTC" || it == "GMT" || it.contains('/')) => Ok(()),
        Some(zone) if zone.as_str().is_some() => {
            let message = format!("`{}` is not a time zone", zone.as_str().unwrap_or_default());
            Err(refused(&at.key("timezone_id"), message).solution("write such as `Europe/Rome` or `UTC`"))
        }
        _ => Err(refused(&at.key("timezone_id"), "a schedule needs a time zone")),
    }
}

fn git(settings: &Value, at: &Path) -> Result<(), ProviderError> {
    let Some(source) = non_null(settings, "git_source") else { return Ok(()) };
    if let Some(provider) = source.get("git_provider").and_then(Value::as_str) {
        check_provider(provider, at.key("git_provider"))?;
    }
    let given = ["git_branch", "git_tag", "git_commit"].iter().filter(|name| non_null(source, name).is_some()).count();
    if given == 1 { Ok(()) } else { Err(refused(at, "set exactly one of `git_branch`, `git_tag` and `git_commit`")) }
}

fn tasks(settings: &Value, at: &Path) -> Result<(), ProviderError> {
    let tasks = items(settings, "tasks");
    let mut keys = HashSet::new();
    for (index, task) in tasks.iter().enumerate() {
        let at = at.index(index).key("task_key");
        match task.get("task_key").map(Value::exposed) {
            Some(Value::String(key)) if keys.insert(key.clone()) => {}
            Some(Value::String(key)) => return Err(refused(&at, format!("there are two tasks `{key}`"))),
            Some(Value::Unknown) => return Ok(()),
            _ => return Err(refused(&at, "a task needs a key")),
        }
    }
    let clusters: Vec<&str> =
        items(settings, "job_clusters").iter().filter_map(|it| it.get("job_cluster_key")?.as_str()).collect();
    for (index, task) in tasks.iter().enumerate() {
        let at = at.index(index);
        for (number, other) in items(task, "depends_on").iter().enumerate() {
            let Some(key) = other.get("task_key").and_then(Value::as_str) else { continue };
            if !keys.contains(key) {
                let at = at.key("depends_on").index(number).key("task_key");
                return Err(refused(&at, format!("unknown task `{key}`")));
            }
        }
        let cluster_settings = ["new_cluster", "existing_cluster_id", "job_cluster_key"];
        let given: Vec<&&str> = cluster_settings.iter().filter(|name| non_null(task, name).is_some()).collect();
        if let [one, other, ..] = given.as_slice() {
            return Err(refused(&at.key(other), format!("`{one}` and `{other}` exclude each other")));
        }
        if let Some(key) = task.get("job_cluster_key").and_then(Value::as_str).filter(|key| !clusters.contains(key)) {
            let names = terrace_provider::names::listed(&clusters);
            let error =
                refused(&at.key("job_cluster_key"), format!("unknown cluster `{key}`: it is not in `job_clusters`"));
            return Err(error.solution(format!("the job has {names}")));
        }
        cluster_of(task, &at)?;
        notebook(task, non_null(settings, "git_source").is_some(), &at.key("notebook_task"))?;
    }
    Ok(())
}

fn notebook(task: &Value, has_git: bool, at: &Path) -> Result<(), ProviderError> {
    let Some(notebook) = non_null(task, "notebook_task") else { return Ok(()) };
    let at = at.key("notebook_path");
    let path = match notebook.get("notebook_path").map(Value::exposed) {
        Some(Value::String(path)) if !path.is_empty() => path,
        Some(Value::Unknown) => return Ok(()),
        _ => return Err(refused(&at, "a notebook task needs `notebook_path`")),
    };
    let is_git = match notebook.get("source").and_then(Value::as_str) {
        Some(source) => source == "GIT",
        None => has_git,
    };
    match (is_git, path.starts_with('/')) {
        (true, true) => Err(refused(&at, format!("`{path}` must not begin with `/`: it is a path in a repository"))),
        (false, false) => Err(refused(&at, format!("`{path}` must begin with `/`: it is a path in the workspace"))),
        _ => Ok(()),
    }
}

fn cluster_of(holder: &Value, at: &Path) -> Result<(), ProviderError> {
    let Some(cluster) = non_null(holder, "new_cluster") else { return Ok(()) };
    let at = at.key("new_cluster");
    if cluster.is_unknown() {
        return Ok(());
    }
    if non_null(cluster, "spark_version").is_none() {
        return Err(refused(&at.key("spark_version"), "a new cluster needs the runtime version `spark_version`"));
    }
    match (non_null(cluster, "num_workers"), non_null(cluster, "autoscale")) {
        (Some(_), Some(_)) => {
            Err(refused(&at.key("autoscale"), "`num_workers` and `autoscale` both set the number of workers")
                .solution("remove one of them"))
        }
        (None, None) => Err(refused(&at.key("num_workers"), "a new cluster needs `num_workers` or `autoscale`")),
        (_, Some(scale)) => bounds(scale, &at.key("autoscale")),
        _ => Ok(()),
    }
}

fn bounds(scale: &Value, at: &Path) -> Result<(), ProviderError> {
    let number = |name: &str| scale.get(name).and_then(Value::as_int);
    match (number("min_workers"), number("max_workers")) {
        (Some(least), Some(most)) if least > most => Err(refused(
            &at.key("min_workers"),
            format!("the minimum of {least} workers exceeds the maximum of {most}"),
        )),
        _ => Ok(()),
    }
}
