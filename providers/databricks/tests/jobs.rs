//! Settings of jobs and pipelines: managed fields, secrets, and the guard against overwriting changes.

use crate::conformance::{job, pipeline, prepared, task};
use crate::harness::{Instance, attributes, recorded};
use serde_json::{Value as Json, json};
use std::time::Duration;
use terrace_provider::wrap::Limits;
use terrace_provider::{Call, ErrorKind, Found, Path, Planned, ProposedChange, Recorded, Value};
use terrace_test_databricks::{Fault, StandIn};

const JOB: &str = "databricks_job";
const PIPELINE: &str = "databricks_pipeline";

fn get(stand_in: &StandIn, job: &Recorded) -> Json {
    stand_in.call("GET", &format!("/api/2.2/jobs/get?job_id={}", job.text("jobId").unwrap()), Json::Null)
}

fn change(stand_in: &StandIn, job: &Recorded, settings: Json) {
    let id: i64 = job.text("jobId").unwrap().parse().unwrap();
    stand_in.call("POST", "/api/2.2/jobs/update", json!({"job_id": id, "new_settings": settings}));
}

#[tokio::test]
async fn unmanaged_settings_survive_and_removed_settings_go() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = job(&stand_in, "a", 2);
    config["settings"]["description"] = "old".into();
    let created = instance.create(JOB, config.clone()).await.unwrap();
    change(
        &stand_in,
        &created,
        json!({"timeout_seconds": 60, "tags": {"team": "a", "cost": "7"}, "description": "old"}),
    );
    instance.assert_settled(JOB, &instance.read(JOB, &created).await.unwrap().unwrap(), &config).await;
    config["settings"].as_object_mut().unwrap().remove("description");
    config["settings"]["tasks"] = json!([task(5)]);
    let changed = instance.update(JOB, &created, config.clone()).await.unwrap();
    let settings = get(&stand_in, &changed)["settings"].clone();
    assert_eq!(settings["timeout_seconds"], 60);
    assert_eq!(settings["tags"]["cost"], "7");
    assert_eq!(settings["tasks"][0]["new_cluster"]["num_workers"], 5);
    assert!(settings["description"].is_null());
    instance.assert_settled(JOB, &changed, &config).await;
}

#[tokio::test]
async fn change_of_any_managed_setting_is_drift() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = job(&stand_in, "a", 2);
    config["settings"]["schedule"] = json!({"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "UTC"});
    config["settings"]["run_as"] = json!({"service_principal_name": "11111111-2222-4333-8444-555555555555"});
    config["settings"]["parameters"] = json!([{"name": "p", "default": "1"}]);
    let created = instance.create(JOB, config.clone()).await.unwrap();
    instance.assert_settled(JOB, &created, &config).await;
    let mut autoscaled = task(2);
    autoscaled["new_cluster"].as_object_mut().unwrap().remove("num_workers");
    autoscaled["new_cluster"]["autoscale"] = json!({"min_workers": 1, "max_workers": 9});
    for changed in [
        json!({"name": "b"}),
        json!({"tags": {"team": "b"}}),
        json!({"schedule": {"quartz_cron_expression": "0 0 7 * * ?", "timezone_id": "UTC"}}),
        json!({"run_as": {"user_name": "jane.roe@example.com"}}),
        json!({"parameters": []}),
        json!({"tasks": [autoscaled]}),
        json!({"tasks": [{"task_key": "more", "notebook_task": {"notebook_path": "/x"}}]}),
    ] {
        change(&stand_in, &created, changed.clone());
        let read = instance.read(JOB, &created).await.unwrap().unwrap();
        assert!(!read.attributes["settings"].is_same_as(&created.attributes["settings"]), "{changed}");
        let repaired = instance.update(JOB, &read, config.clone()).await.unwrap();
        instance.assert_settled(JOB, &repaired, &config).await;
        assert_eq!(get(&stand_in, &created)["run_as_user_name"], "11111111-2222-4333-8444-555555555555");
    }
}

/// A replaced job gets a new id, although a lookup still finds the id of the old job.
#[tokio::test]
async fn replaced_job_gets_a_new_id_despite_lookup() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = job(&stand_in, "a", 2);
    let created = instance.create(JOB, config.clone()).await.unwrap();
    config["jobId"] = created.text("jobId").unwrap().into();
    let config = attributes(config);
    let change = ProposedChange {
        address: crate::harness::ADDRESS,
        prior: Some(&created),
        config: &config,
        must_replace: true,
        changed_write_only: &[],
    };
    let planned = instance.session.plan(instance.ty(JOB), &change).await.unwrap().planned;
    for name in ["jobId", "id", "url"] {
        assert!(planned[name].has_unknown(), "{name}: {:?}", planned[name]);
    }
    // While the lookup's result is unknown, the recorded id is kept.
    let mut config_with_unknown_id = config.clone();
    config_with_unknown_id.insert("jobId".to_owned(), Value::Unknown);
    let change = ProposedChange { config: &config_with_unknown_id, must_replace: false, ..change };
    let plan = instance.session.plan(instance.ty(JOB), &change).await.unwrap();
    assert_eq!(plan.replace_paths, []);
    for name in ["jobId", "id", "url"] {
        assert_eq!(plan.planned[name], created.attributes[name]);
    }
}

/// A new name that belongs to another job is refused: the recorded id never changes.
#[tokio::test]
async fn job_cannot_take_the_name_of_another_job() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = job(&stand_in, "a", 2);
    config["jobId"] = Json::Null;
    let created = instance.create(JOB, config.clone()).await.unwrap();
    let other = instance.create(JOB, job(&stand_in, "b", 2)).await.unwrap();
    config["settings"]["name"] = "b".into();
    config["jobId"] = other.text("jobId").unwrap().into();
    let error = instance.plan(JOB, Some(&created), &config).await.unwrap_err();
    assert!(error.message.contains("another job has the name `b`"), "{error}");
    let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
    assert_eq!(path.to_string(), "settings.name");
}

#[tokio::test]
async fn manage_all_repairs_every_setting() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = job(&stand_in, "a", 2);
    config["manage"] = "all".into();
    let created = instance.create(JOB, config.clone()).await.unwrap();
    instance.assert_settled(JOB, &created, &config).await;
    change(&stand_in, &created, json!({"timeout_seconds": 60, "max_concurrent_runs": 3}));
    let read = instance.read(JOB, &created).await.unwrap().unwrap();
    assert_eq!(read.attributes["settings"].get("timeout_seconds"), Some(&Value::Int(60)));
    let repaired = instance.update(JOB, &read, config.clone()).await.unwrap();
    assert_eq!(get(&stand_in, &repaired)["settings"]["timeout_seconds"], 0);
    instance.assert_settled(JOB, &repaired, &config).await;
}

#[tokio::test]
async fn list_of_settings_is_merged_and_read_back_by_layer() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let conf = |name: &str, value: &str| json!({"tasks": [{"task_key": "main", "new_cluster": {"spark_conf": {name: value}}}]});
    let mut base = job(&stand_in, "a", 2)["settings"].clone();
    base["run_as"] = json!({"user_name": "nobody@example.com"});
    let mut config = json!({
        "workspaceUrl": stand_in.url(), "manage": "all",
        "settings": [base, {"run_as": null}, conf("spark.a", "1"), conf("spark.b", "2")],
    });
    let created = instance.create(JOB, config.clone()).await.unwrap();
    instance.assert_settled(JOB, &created, &config).await;
    let settings = get(&stand_in, &created)["settings"].clone();
    assert_eq!(settings["tasks"][0]["new_cluster"]["spark_conf"], json!({"spark.a": "1", "spark.b": "2"}));
    let mut changed = settings["tasks"].clone();
    changed[0]["new_cluster"]["spark_conf"] = json!({"spark.a": "1", "spark.b": "9"});
    change(&stand_in, &created, json!({"tasks": changed, "timeout_seconds": 7}));
    let read = instance.read(JOB, &created).await.unwrap().unwrap();
    let layers = read.attributes["settings"].as_list().unwrap();
    assert_eq!(layers[0].get("timeout_seconds"), Some(&Value::Int(7)));
    assert!(layers[3].to_json_text().contains('9'), "{layers:?}");
    config["settings"].as_array_mut().unwrap().pop();
    let repaired = instance.update(JOB, &read, config.clone()).await.unwrap();
    instance.assert_settled(JOB, &repaired, &config).await;
}

#[tokio::test]
async fn external_change_is_not_overwritten_without_override() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = job(&stand_in, "a", 2);
    config["override"] = false.into();
    let created = instance.create(JOB, config.clone()).await.unwrap();
    let edited = job(&stand_in, "a", 3);
    let with = |r#override: bool, config: &Json| {
        let mut config = config.clone();
        config["override"] = r#override.into();
        config
    };
    // Without an external change, the descriptor may be edited.
    instance.plan(JOB, Some(&created), &with(false, &edited)).await.unwrap();
    change(&stand_in, &created, json!({"tasks": [task(9)]}));
    let read = instance.read(JOB, &created).await.unwrap().unwrap();
    let error = instance.plan(JOB, Some(&read), &config).await.unwrap_err();
    assert_eq!(error.message, "the job was changed outside terrace, and `override` is false");
    assert_eq!(error.problems, ["`tasks[0].new_cluster.num_workers` is 9, but 2 in the descriptor"]);
    instance.plan(JOB, Some(&read), &with(true, &config)).await.unwrap();
    // The change was copied into the descriptor.
    instance.plan(JOB, Some(&read), &with(false, &job(&stand_in, "a", 9))).await.unwrap();
    // An adopted job may be equal or different.
    let Found::Foreign(found) = instance.find(JOB, &config, None).await.unwrap() else { panic!("the job exists") };
    let found = recorded(&attributes(config.clone()), found);
    instance.plan(JOB, Some(&found), &with(false, &job(&stand_in, "a", 9))).await.unwrap();
    instance.plan(JOB, Some(&found), &with(false, &config)).await.unwrap_err();
}

#[tokio::test]
async fn secret_setting_is_only_sent() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = job(&stand_in, "a", 2);
    config["secretSettings"] =
        json!({"tasks": [{"task_key": "main", "new_cluster": {"spark_env_vars": {"KEY": "s3cr3t-value"}}}]});
    let created = instance.create(JOB, config.clone()).await.unwrap();
    let contains_secret = |created: &Recorded| get(&stand_in, created).to_string().contains("s3cr3t-value");
    assert!(contains_secret(&created));
    let mut shown = created.clone();
    shown.attributes.shift_remove("secretSettings");
    assert!(!format!("{shown:?}").contains("s3cr3t"), "{shown:?}");
    assert!(!String::from_utf8_lossy(&created.private.0).contains("s3cr3t"));
    let read = instance.read(JOB, &shown).await.unwrap().unwrap();
    assert!(read.attributes["settings"].is_same_as(&shown.attributes["settings"]));
    // The error of the refusal does not contain it.
    let mut wrong = config.clone();
    wrong["secretSettings"]["tasks"][0]["new_cluster"]["s3cr3t-value"] = json!("s3cr3t-value");
    wrong["settings"]["name"] = "b".into();
    let error = instance.create(JOB, wrong).await.unwrap_err();
    assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
    // A removed secret is removed remotely.
    config.as_object_mut().unwrap().remove("secretSettings");
    let changed = instance.update(JOB, &shown, config).await.unwrap();
    assert!(!contains_secret(&changed));
}

#[tokio::test]
async fn value_in_both_settings_and_secrets_is_refused() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = job(&stand_in, "a", 2);
    config["secretSettings"] = json!({"tags": {"team": "x"}});
    let error = instance.plan(JOB, None, &config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("secretSettings.tags.team".parse().unwrap()) });
}

#[tokio::test]
async fn plan_refuses_invalid_settings_without_a_request() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let cluster = |more: Json| {
        let mut task = task(2);
        task["new_cluster"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"name": "a", "tasks": [task]})
    };
    let schedule = |cron: &str, zone: &str| json!({"name": "a", "schedule": {"quartz_cron_expression": cron, "timezone_id": zone}});
    let cases = [
        (json!({"tasks": []}), "settings.name"),
        (json!({"name": " "}), "settings.name"),
        (schedule("0 0 0 * *", "UTC"), "settings.schedule.quartz_cron_expression"),
        (schedule("0 0 25 * * ?", "UTC"), "settings.schedule.quartz_cron_expression"),
        (schedule("0 0 0 * * ?", "Nowhere"), "settings.schedule.timezone_id"),
        (
            cluster(json!({"autoscale": {"min_workers": 1, "max_workers": 2}})),
            "settings.tasks[0].new_cluster.autoscale",
        ),
        (
            cluster(json!({"num_workers": null, "autoscale": {"min_workers": 3, "max_workers": 2}})),
            "settings.tasks[0].new_cluster.autoscale.min_workers",
        ),
        (cluster(json!({"num_workers": null})), "settings.tasks[0].new_cluster.num_workers"),
        (cluster(json!({"spark_version": null})), "settings.tasks[0].new_cluster.spark_version"),
        (
            json!({"name": "a", "tasks": [{"task_key": "x", "existing_cluster_id": "1", "job_cluster_key": "2"}]}),
            "settings.tasks[0].job_cluster_key",
        ),
        (json!({"name": "a", "tasks": [{"task_key": "x"}, {"task_key": "x"}]}), "settings.tasks[1].task_key"),
        (
            json!({"name": "a", "tasks": [{"task_key": "x", "depends_on": [{"task_key": "y"}]}]}),
            "settings.tasks[0].depends_on[0].task_key",
        ),
        (
            json!({"name": "a", "tasks": [{"task_key": "x", "notebook_task": {"notebook_path": "main"}}]}),
            "settings.tasks[0].notebook_task.notebook_path",
        ),
        (
            json!({"name": "a", "tasks": [{"task_key": "x", "notebook_task": {}}]}),
            "settings.tasks[0].notebook_task.notebook_path",
        ),
        (
            json!({"name": "a", "git_source": {"git_url": "https://x", "git_provider": "gitlab", "git_tag": "1"}}),
            "settings.git_source.git_provider",
        ),
        (json!({"name": "a", "git_source": {"git_url": "https://x", "git_provider": "gitLab"}}), "settings.git_source"),
        (json!({"name": "a", "tags": {"x": 1}}), "settings.tags.x"),
    ];
    for (settings, path) in cases {
        let config = json!({"workspaceUrl": stand_in.url(), "settings": settings});
        let error = instance.plan(JOB, None, &config).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(path.parse().unwrap()) }, "{settings}: {error}");
    }
    assert_eq!(stand_in.count(), 0);
}

#[tokio::test]
async fn job_of_lost_answer_is_found_by_its_mark() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = job(&stand_in, "a", 2);
    stand_in.faults().by_text.push(("jobs/create".to_owned(), Fault::LostAfter));
    let error = instance.create(JOB, config.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Ambiguous, "{error}");
    // Another job with the same name appears meanwhile: the mark distinguishes them.
    stand_in.call("POST", "/api/2.2/jobs/create", json!({"name": "a"}));
    let Found::Own(found) = instance.find(JOB, &config, Some(Duration::from_secs(5))).await.unwrap() else {
        panic!("the job exists");
    };
    instance.assert_settled(JOB, &recorded(&attributes(config.clone()), found), &config).await;
    let creates = stand_in.take_writes().into_iter().filter(|it| it.ends_with("jobs/create")).count();
    assert_eq!(creates, 1);
    // For an adoption, several jobs with the name are ambiguous.
    assert_eq!(instance.find(JOB, &config, None).await.unwrap(), Found::Unknown);
}

/// The paths of secrets are known after a crash too, so that secrets are never read as plain settings.
#[tokio::test]
async fn job_of_lost_answer_is_found_with_its_secret_paths() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = job(&stand_in, "a", 2);
    config["settings"]["tags"]["spare"] = "x".into();
    let plain = config.clone();
    config["secretSettings"] = json!({"tags": {"hidden": "hunter2"}, "tasks": [{"task_key": "main", "new_cluster": {"spark_env_vars": {"T": "hunter3"}}}]});
    stand_in.faults().by_text.push(("jobs/create".to_owned(), Fault::LostAfter));
    instance.create(JOB, config.clone()).await.unwrap_err();
    let Found::Own(found) = instance.find(JOB, &config, Some(Duration::from_secs(5))).await.unwrap() else {
        panic!("the job exists");
    };
    assert!(!format!("{found:?}").contains("hunter"), "{found:?}");
    let row = recorded(&attributes(config.clone()), found);
    let read = instance.read(JOB, &row).await.unwrap().unwrap();
    assert!(!format!("{:?}", read.attributes["settings"]).contains("hunter"), "{:?}", read.attributes["settings"]);
    // Removed secrets are removed remotely, by the same paths.
    let bare = instance.update(JOB, &read, plain.clone()).await.unwrap();
    let settings = get(&stand_in, &bare)["settings"].clone();
    assert!(!settings.to_string().contains("hunter") && settings["tags"]["spare"] == "x", "{settings}");
    instance.assert_settled(JOB, &bare, &plain).await;
}

/// Settings that were made outside terrace may contain secrets: an import masks them.
#[tokio::test]
async fn probable_secrets_of_imported_job_are_sensitive() {
    let (stand_in, _) = prepared();
    let mut settings = json!({"name": "theirs", "tasks": [task(1)]});
    settings["tasks"][0]["new_cluster"]["spark_env_vars"] =
        json!({"API_TOKEN": "hunter2", "NEXT_TOKEN": "{{secrets/a/b}}", "MODE": "fast"});
    let id = stand_in.call("POST", "/api/2.2/jobs/create", settings)["job_id"].clone();
    let instance = Instance::of(&stand_in).await;
    let found = instance.session.import(instance.ty(JOB), &format!("-/{id}")).await.unwrap().unwrap();
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    let shown = found.attributes["settings"].to_json()["tasks"][0]["new_cluster"]["spark_env_vars"].clone();
    assert_eq!((&shown["MODE"], &shown["NEXT_TOKEN"]), (&json!("fast"), &json!("{{secrets/a/b}}")));
}

#[tokio::test]
async fn endless_pages_are_an_error_and_small_pages_are_joined() {
    let (stand_in, _) = prepared();
    for _ in 0..2 {
        stand_in.call("POST", "/api/2.2/jobs/create", json!({"name": "kept"}));
    }
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(JOB, job(&stand_in, "a", 2)).await.unwrap();
    stand_in.faults().page = Some(1);
    let named = attributes(json!({"workspaceUrl": stand_in.url(), "name": "kept"}));
    let error = instance.session.lookup("databricks_job_id", &named).await.unwrap_err();
    assert!(error.message.starts_with("there are 3 jobs `kept`"), "{error}");
    stand_in.faults().is_endless = true;
    let error = instance.session.lookup("databricks_job_id", &named).await.unwrap_err();
    assert!(error.message.contains("pages repeat"), "{error}");
    let error = instance.read(JOB, &created).await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("do not end")), (ErrorKind::Failed, true), "{}", error.message);
}

#[tokio::test]
async fn existing_job_with_the_name_is_not_ours() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = job(&stand_in, "kept", 2);
    let error = instance.create(JOB, config.clone()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { import_id: Some(_) }), "{error}");
    let found = instance.find(JOB, &config, Some(Duration::from_secs(5))).await.unwrap();
    assert!(matches!(found, Found::Foreign(_)), "{found:?}");
    // Names are case-sensitive.
    assert_eq!(instance.find(JOB, &job(&stand_in, "Kept", 2), None).await.unwrap(), Found::Absent);
}

#[tokio::test]
async fn jobs_with_more_than_a_hundred_tasks_are_read_completely() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let tasks: Vec<Json> = (0..250)
        .map(|number| {
            let mut task = task(1);
            task["task_key"] = format!("t{number}").into();
            task
        })
        .collect();
    let config = json!({"workspaceUrl": stand_in.url(), "settings": {"name": "wide", "tasks": tasks}});
    let created = instance.create(JOB, config.clone()).await.unwrap();
    instance.assert_settled(JOB, &created, &config).await;
}

#[tokio::test]
async fn deleted_pipeline_keeps_its_tables_without_remove_data() {
    let (stand_in, _) = prepared();
    for (removes_data, left) in [(false, true), (true, false)] {
        let instance = Instance::with(&stand_in, json!({}), Limits { retries: 0, ..Limits::default() }).await;
        let created = instance.create(PIPELINE, pipeline(&stand_in, false)).await.unwrap();
        let table = format!("main.raw.live_{removes_data}");
        stand_in.add_pipeline_table(created.text("pipelineId").unwrap(), &table);
        let call = Call { removes_data, ..instance.call() };
        instance.session.delete(instance.ty(PIPELINE), &call, &created).await.unwrap();
        assert_eq!(stand_in.inventory().contains(&format!("table {table}")), left);
    }
}

#[tokio::test]
async fn change_of_pipeline_storage_is_refused() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(PIPELINE, pipeline(&stand_in, false)).await.unwrap();
    for (name, value) in [("catalog", "other"), ("target", "other")] {
        let mut config = pipeline(&stand_in, false);
        config["settings"][name] = value.into();
        let error = instance.plan(PIPELINE, Some(&created), &config).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(format!("settings.{name}").parse().unwrap()) });
        assert_eq!(error.solutions.len(), 2, "{error:?}");
    }
}

/// Fixed settings are compared by meaning: `schema` equals `target`. A setting that was removed remotely may be
/// restored, and
/// `storage` is fixed too.
#[tokio::test]
async fn fixed_pipeline_settings_are_compared_by_meaning() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut config = pipeline(&stand_in, false);
    let created = instance.create(PIPELINE, config.clone()).await.unwrap();
    let settings = config["settings"].as_object_mut().unwrap();
    let schema = settings.remove("target").unwrap();
    settings.insert("schema".to_owned(), schema);
    let renamed = instance.update(PIPELINE, &created, config.clone()).await.unwrap();
    instance.assert_settled(PIPELINE, &renamed, &config).await;
    config["settings"]["schema"] = "other".into();
    let error = instance.plan(PIPELINE, Some(&renamed), &config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("settings.schema".parse().unwrap()) });
    // The first storage is not a move; a second one is.
    let mut stored = pipeline(&stand_in, false);
    for name in ["catalog", "target"] {
        stored["settings"].as_object_mut().unwrap().remove(name);
    }
    stored["settings"]["name"] = "flow_2".into();
    let bare = instance.create(PIPELINE, stored.clone()).await.unwrap();
    stored["settings"]["storage"] = "dbfs:/one".into();
    let placed = instance.update(PIPELINE, &bare, stored.clone()).await.unwrap();
    stored["settings"]["storage"] = "dbfs:/two".into();
    let error = instance.plan(PIPELINE, Some(&placed), &stored).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("settings.storage".parse().unwrap()) });
    stored["settings"].as_object_mut().unwrap().remove("storage");
    let error = instance.plan(PIPELINE, Some(&placed), &stored).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("settings.storage".parse().unwrap()) });
}

#[tokio::test]
async fn pipeline_names_are_not_matched_as_patterns() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    // In the API's filter, `_` stands for any character.
    let like = json!({"name": "flowx1", "libraries": [{"notebook": {"path": "/Shared/x"}}]});
    stand_in.call("POST", "/api/2.0/pipelines", like);
    let config = pipeline(&stand_in, false);
    assert_eq!(instance.find(PIPELINE, &config, None).await.unwrap(), Found::Absent);
    let planned = instance.plan(PIPELINE, None, &config).await.unwrap();
    let planned = Planned { attributes: planned.planned, private: planned.private };
    instance.session.create(instance.ty(PIPELINE), &instance.call(), &planned).await.unwrap();
}

/// Databricks chooses ids: a configured id without an object is a mistake, and creates nothing.
#[tokio::test]
async fn unknown_configured_id_is_refused() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let before = stand_in.inventory();
    let configs = [("jobId", JOB, job(&stand_in, "new", 1)), ("pipelineId", PIPELINE, pipeline(&stand_in, false))];
    for (attribute, ty, mut config) in configs {
        config[attribute] = "4711".into();
        let error = instance.create(ty, config).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(Path::attribute(attribute)) });
        assert!(error.message.contains("the id 4711"), "{error:?}");
    }
    assert_eq!(stand_in.inventory(), before);
}
