//! Schedules of pipelines in a cluster: their CronJobs, and the records of runs that these start.

use crate::cluster::settings;
use crate::cluster_stand_in::ClusterStandIn;
use crate::harness::{Project, Recorder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use terrace_pipelines::queue::Queue;
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::run::store::PipelineLock;
use terrace_pipelines::run::{NotRun, Record, RunRequest, Runner, State};
use terrace_provider::conformance::{Instance, attributes};
use terrace_provider::wrap::Limits;
use terrace_provider::{
    Attempt, Attributes, ErrorKind, Found, LostCall, PlannedChange, Private, ProposedChange, ProviderError, Recorded,
    Settings, Severity, Value,
};
use terrace_provider_pipelines::PipelinesProvider;
use tokio_util::sync::CancellationToken;

pub(crate) const TYPE: &str = "pipelines_schedule";
pub(crate) const CRON_JOB: &str = "terrace-nightly";
const PATH: &str = "/apis/batch/v1/namespaces/shop/cronjobs/terrace-nightly";
pub(crate) const SPEC: &str = "\
load:
  pipeline:
  - run: noise
  - {run: dump_to_path, parameters: {out-path: data/load}}
";

/// A project whose results are on a claim.
pub(crate) fn project(cluster: &ClusterStandIn, spec: &str) -> (Project, Settings) {
    let project = Project::new(spec);
    let mut settings = settings(&project, cluster);
    settings.values.insert("claim".to_owned(), "results/shop".into());
    let path = "/api/v1/namespaces/shop/persistentvolumeclaims/results";
    cluster.put(path, json!({"metadata": {"name": "results"}, "spec": {}, "status": {"phase": "Bound"}}));
    (project, settings)
}

pub(crate) async fn instance(settings: &Settings) -> Instance<PipelinesProvider> {
    Instance::open(PipelinesProvider::new(), settings, Limits::default(), "s@test:x.load").await.unwrap()
}

fn runner(settings: &Settings) -> Runner {
    terrace_provider_pipelines::settings::runner(settings).unwrap()
}

/// A cluster and a project whose schedule `nightly` has a CronJob.
async fn scheduled() -> (ClusterStandIn, Project, Runner) {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project(&cluster, SPEC);
    instance(&settings).await.create(TYPE, nightly()).await.unwrap();
    (cluster, project, runner(&settings))
}

pub(crate) fn nightly() -> Json {
    json!({"name": "nightly", "pipeline": "./load", "cron": "30 2 * * 7", "timeZone": "Europe/Rome"})
}

fn with(name: &str, value: impl Into<Json>) -> Json {
    let mut config = nightly();
    config[name] = value.into();
    config
}

/// Log of a run that has stored a data package on the claim.
pub(crate) fn report(project: &Project) -> Json {
    let place = project.runner.project.join("data/load");
    let in_place = json!([{"partial": place.join(".terrace-r"), "place": place, "files": {"datapackage.json": 2}}]);
    let steps = json!([{"rows": 3, "bytes": 9, "exit_code": 0, "signal": null}, {"rows": 3, "bytes": 9, "exit_code": 0, "signal": null}]);
    json!({"end": {
        "outcome": {"end": "succeeded", "stats": {"hash": "a"}, "rows": 3, "steps": steps, "failure": null, "in_place": in_place},
        "results": {"files": 0, "bytes": 0, "digest": ""},
    }})
}

fn ended(code: u8) -> Json {
    json!({"state": {"terminated": {"exitCode": code, "reason": "x"}}})
}

/// The job in a Secret of the CronJob.
fn job(cluster: &ClusterStandIn) -> Json {
    let name = cluster.names("secrets").into_iter().find(|name| !name.ends_with("-files")).unwrap();
    let secret = cluster.object("secrets", &name).unwrap();
    let text = STANDARD.decode(secret["data"]["job.json"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test]
async fn schedule_of_a_pipeline_in_a_cluster_is_a_cron_job() {
    let cluster = ClusterStandIn::start();
    let spec = SPEC.replace("- run: noise", "- {run: noise, parameters: {password: hunter2}}");
    let (project, settings) = project(&cluster, &spec);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, nightly()).await.unwrap();
    assert_eq!(row.attributes["cronJob"], Value::from("shop/terrace-nightly"));
    let object = cluster.object("cronjobs", CRON_JOB).unwrap();
    let spec = &object["spec"];
    assert_eq!((&spec["schedule"], &spec["timeZone"]), (&json!("30 2 * * 0"), &json!("Europe/Rome")));
    assert_eq!((&spec["concurrencyPolicy"], &spec["suspend"]), (&json!("Forbid"), &json!(false)));
    assert_eq!(spec["startingDeadlineSeconds"], Json::Null);
    let image = &spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"];
    assert!(image.as_str().unwrap().starts_with("r/i@sha256:"), "{image}");
    assert!(!object.to_string().contains("hunter2"), "secrets are in Secrets");
    let secrets = cluster.names("secrets");
    assert_eq!(secrets.len(), 2, "{secrets:?}");
    for secret in secrets {
        assert_eq!(cluster.object("secrets", &secret).unwrap()["metadata"]["ownerReferences"][0]["kind"], "CronJob");
    }
    let job = job(&cluster);
    assert_eq!(job["elsewhere"]["is_timed"], true);
    let place = project.runner.project.join("data/load");
    assert_eq!(job["elsewhere"]["claim"]["links"], json!([(place, PathBuf::from("shop/data/load"))]));
    let second = instance.plan(TYPE, Some(&row), nightly()).await.unwrap();
    assert_eq!(second.planned, row.attributes);
    // Without a terrace, a server starts nothing.
    assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes, row.attributes);
    instance.delete(TYPE, &row).await.unwrap();
    assert_eq!(["cronjobs", "secrets"].map(|kind| cluster.names(kind).len()), [0, 0]);
    assert!(instance.read(TYPE, &row).await.unwrap().is_none());
}

#[tokio::test]
async fn policies_of_a_schedule_are_those_of_its_cron_job() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, nightly()).await.unwrap();
    let config = json!({
        "name": "nightly", "pipeline": "./load", "cron": "0 5 * * *", "enabled": false, "overlap": "replace", "catchUp": "none",
    });
    let row = instance.update(TYPE, &row, config.clone()).await.unwrap();
    let spec = cluster.object("cronjobs", CRON_JOB).unwrap()["spec"].clone();
    let fields = ["schedule", "timeZone", "suspend", "concurrencyPolicy", "startingDeadlineSeconds"];
    let expected = [json!("0 5 * * *"), json!("UTC"), json!(true), json!("Replace"), json!(120)];
    assert_eq!(fields.map(|field| spec[field].clone()), expected);
    assert_eq!(instance.plan(TYPE, Some(&row), config).await.unwrap().planned, row.attributes);
}

#[tokio::test]
async fn runs_of_a_schedule_that_allows_overlaps_wait_for_each_other() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let config = with("overlap", "allow");
    let row = instance.create(TYPE, config.clone()).await.unwrap();
    assert_eq!(cluster.object("cronjobs", CRON_JOB).unwrap()["spec"]["concurrencyPolicy"], "Allow");
    let lock = job(&cluster)["elsewhere"]["claim"]["lock"].as_str().unwrap().to_owned();
    assert!(lock.starts_with("shop/.lock-"), "{lock}");
    assert_eq!(instance.plan(TYPE, Some(&row), config).await.unwrap().planned, row.attributes);
    let runner = runner(&settings);
    let running = json!({"state": {"running": {}}});
    let first = cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &running);
    cluster.start_job(CRON_JOB, "2026-11-30T01:30:00Z", &running);
    assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
    let ids = runner.store.ids().unwrap();
    assert_eq!(locked(&runner, &ids[0]).await.unfinished_run().as_ref(), Some(&ids[0]));
    // The second one has the turn after the end of the first one.
    cluster.remove("jobs", &first);
    assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
    assert_eq!(locked(&runner, &ids[0]).await.unfinished_run().as_ref(), Some(&ids[1]));
    let refused = run(&project, &runner, &Recorder::default(), Duration::ZERO).await.unwrap_err();
    assert!(matches!(&refused, NotRun::InProgress { run: Some(run) } if *run == ids[1]), "{refused:?}");
}

#[tokio::test]
async fn manual_run_waits_for_all_runs_of_a_schedule_that_allows_overlaps() {
    let (cluster, project, runner) = scheduled().await;
    let running = json!({"state": {"running": {}}});
    for day in ["2026-11-29", "2026-11-30"] {
        cluster.start_job(CRON_JOB, &format!("{day}T01:30:00Z"), &running);
    }
    assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
    let ids = runner.store.ids().unwrap();
    let failure = json!({"step": 0, "what": "bad row 2", "said": []});
    let outcome = json!({"end": "failed", "stats": {}, "rows": 0, "steps": [], "failure": failure});
    cluster.set_log(&[json!({"end": {"outcome": outcome, "results": {"files": 0, "bytes": 0, "digest": ""}}})]);
    let own = run(&project, &runner, &Recorder::default(), Duration::from_secs(60)).await.unwrap();
    assert!(own.scheduled_job.is_none(), "{own:?}");
    let states = [&ids[0], &ids[1]].map(|id| runner.store.run(id).unwrap().unwrap().state);
    assert_eq!(states, [State::Failed, State::Failed], "it has waited for both");
}

#[tokio::test]
async fn image_of_a_schedule_may_be_unknown_in_a_plan() {
    let cluster = ClusterStandIn::start();
    let (_project, mut settings) = project(&cluster, &SPEC.replace("load:\n", "load:\n  executor: kubernetes\n"));
    for setting in ["image", "executor"] {
        settings.values.shift_remove(setting).unwrap();
    }
    let instance = instance(&settings).await;
    let without = instance.plan(TYPE, None, nightly()).await.unwrap_err();
    assert!(without.message.contains("image"), "{without:?}");
    let mut config: Attributes = [("image".to_owned(), Value::Unknown)].into_iter().collect();
    config.extend(attributes(&nightly()).unwrap());
    let change = ProposedChange {
        address: "s@test:x.load",
        prior: None,
        config: &config,
        must_replace: false,
        changed_write_only: &[],
    };
    let planned = instance.session.plan(instance.resource_type(TYPE).unwrap(), &change).await.unwrap().planned;
    assert!(planned["image"].is_unknown() && planned["inputs"].is_unknown(), "{planned:?}");
    assert!(planned["cronJob"].as_str().is_some(), "{planned:?}");
}

#[tokio::test]
async fn values_of_a_schedule_replace_those_of_the_spec() {
    let cluster = ClusterStandIn::start();
    let spec = SPEC.replace("load:\n", "load:\n  params: {SINCE: '2026-01-01'}\n  memory: 1Gi\n");
    let (_project, settings) = project(&cluster, &spec);
    let instance = instance(&settings).await;
    let image = format!("r/other@sha256:{}", "7".repeat(64));
    let mut config = with("params", json!({"SINCE": "2026-11-01"}));
    config["image"] = image.as_str().into();
    config["memory"] = "2Gi".into();
    let row = instance.create(TYPE, config.clone()).await.unwrap();
    let container = "/spec/jobTemplate/spec/template/spec/containers/0";
    let object = cluster.object("cronjobs", CRON_JOB).unwrap();
    let at = |path: &str| object.pointer(&format!("{container}{path}")).and_then(Json::as_str).unwrap().to_owned();
    assert_eq!((at("/image"), at("/resources/limits/memory")), (image, "2Gi".to_owned()));
    assert_eq!(job(&cluster)["environment"]["SINCE"], "2026-11-01");
    assert_eq!(instance.plan(TYPE, Some(&row), config).await.unwrap().planned, row.attributes);
    instance.update(TYPE, &row, nightly()).await.unwrap();
    let now = job(&cluster)["environment"]["SINCE"].clone();
    assert_eq!(now, "2026-01-01");
}

#[tokio::test]
async fn changed_or_removed_cron_job_is_drift() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, nightly()).await.unwrap();
    cluster.change("cronjobs", CRON_JOB, |object| {
        object["spec"]["suspend"] = true.into();
        object["spec"]["schedule"] = "1 1 * * *".into();
    });
    let found = instance.read(TYPE, &row).await.unwrap().unwrap();
    assert_eq!(found.attributes["enabled"], Value::Bool(false));
    assert_eq!(found.attributes["cron"], Value::from("1 1 * * *"));
    assert_eq!(found.attributes["inputs"], row.attributes["inputs"]);
    let row = instance.update(TYPE, &found, nightly()).await.unwrap();
    cluster.change("cronjobs", CRON_JOB, |object| {
        object["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
    });
    let found = instance.read(TYPE, &row).await.unwrap().unwrap();
    assert_eq!(found.attributes["inputs"], Value::from("changed in the cluster"));
    let plan = instance.plan(TYPE, Some(&found), nightly()).await.unwrap();
    assert_eq!(plan.because, ["the CronJob was changed in the cluster"]);
    instance.update(TYPE, &found, nightly()).await.unwrap();
    assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes["inputs"], row.attributes["inputs"]);
    cluster.remove("cronjobs", CRON_JOB);
    assert!(instance.read(TYPE, &row).await.unwrap().is_none());
    instance.create(TYPE, nightly()).await.unwrap();
    assert_eq!(cluster.names("cronjobs"), [CRON_JOB]);
}

#[tokio::test]
async fn changed_code_updates_the_cron_job() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, nightly()).await.unwrap();
    let before = cluster.names("secrets");
    project.write("noise.py", &format!("# another\n{}", crate::harness::NOISE));
    let plan = instance.plan(TYPE, Some(&row), nightly()).await.unwrap();
    assert_ne!(plan.planned["inputs"], row.attributes["inputs"]);
    assert!(plan.because[0].contains("the code"), "{:?}", plan.because);
    instance.update(TYPE, &row, nightly()).await.unwrap();
    let after = cluster.names("secrets");
    assert!(after.len() == 2 && after != before, "{before:?} {after:?}");
    let volumes = cluster.object("cronjobs", CRON_JOB).unwrap()["spec"]["jobTemplate"].to_string();
    assert!(after.iter().all(|secret| volumes.contains(secret)), "{volumes}");
}

#[tokio::test]
async fn apply_keeps_the_secrets_of_a_run_that_starts_meanwhile() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, nightly()).await.unwrap();
    let former = cluster.names("secrets");
    project.write("noise.py", &format!("# another\n{}", crate::harness::NOISE));
    cluster.interfere("PATCH", "/cronjobs/", 0, |objects| {
        let template = objects[PATH]["spec"]["jobTemplate"].clone();
        let path = "/apis/batch/v1/namespaces/shop/jobs/terrace-nightly-1";
        objects.insert(path.to_owned(), json!({"metadata": template["metadata"], "spec": template["spec"]}));
    });
    let row = instance.update(TYPE, &row, nightly()).await.unwrap();
    let secrets = cluster.names("secrets");
    assert!(secrets.len() == 4 && former.iter().all(|secret| secrets.contains(secret)), "{former:?} {secrets:?}");
    assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes, row.attributes);
    cluster.change("jobs", "terrace-nightly-1", |job| {
        job["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    });
    instance.update(TYPE, &row, with("cron", "0 5 * * *")).await.unwrap();
    let secrets = cluster.names("secrets");
    assert!(secrets.len() == 2 && !former.iter().any(|secret| secrets.contains(secret)), "{former:?} {secrets:?}");
}

#[tokio::test]
async fn secrets_of_a_run_in_progress_are_deleted_by_an_apply_after_its_end() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let mut row = instance.create(TYPE, nightly()).await.unwrap();
    let job = cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &json!({"state": {"running": {}}}));
    cluster.change("cronjobs", CRON_JOB, |object| object["status"] = json!({"active": [{"name": job}]}));
    for version in 1..3 {
        project.write("noise.py", &format!("# version {version}\n{}", crate::harness::NOISE));
        row = instance.update(TYPE, &row, nightly()).await.unwrap();
        assert_eq!(cluster.names("secrets").len(), 4, "those of the run and those of the next one");
    }
    cluster.remove("jobs", &job);
    instance.update(TYPE, &row, with("cron", "0 5 * * *")).await.unwrap();
    assert_eq!(cluster.names("secrets").len(), 2);
    let annotations = cluster.object("cronjobs", CRON_JOB).unwrap()["metadata"]["annotations"].clone();
    assert_eq!(annotations.get("terrace.dev/former-secrets"), None, "{annotations}");
}

#[tokio::test]
async fn apply_leaves_a_secret_of_another_owner_in_the_template_alone() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, nightly()).await.unwrap();
    cluster.put("/api/v1/namespaces/shop/secrets/tls", json!({"metadata": {"name": "tls"}}));
    cluster.change("cronjobs", CRON_JOB, |object| {
        let volumes = &mut object["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"];
        volumes.as_array_mut().unwrap().push(json!({"name": "tls", "secret": {"secretName": "tls"}}));
    });
    instance.update(TYPE, &row, nightly()).await.unwrap();
    assert!(cluster.names("secrets").contains(&"tls".to_owned()), "{:?}", cluster.names("secrets"));
}

#[tokio::test]
async fn interrupted_creation_starts_nothing_and_is_completed() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    cluster.fails("POST", "/secrets", 403, 1);
    instance.create(TYPE, nightly()).await.unwrap_err();
    assert_eq!(cluster.object("cronjobs", CRON_JOB).unwrap()["spec"]["suspend"], true, "it has no Secrets");
    let row = terrace_provider::Recorded {
        identity: [("name".to_owned(), "nightly".into())].into_iter().collect(),
        ..terrace_provider::Recorded::default()
    };
    let found = instance.read(TYPE, &row).await.unwrap().unwrap();
    assert_eq!(found.attributes["enabled"], Value::Bool(false));
    instance.update(TYPE, &found, nightly()).await.unwrap();
    assert_eq!(cluster.object("cronjobs", CRON_JOB).unwrap()["spec"]["suspend"], false);
    assert_eq!(cluster.names("secrets").len(), 2);
}

#[tokio::test]
async fn run_of_a_cron_job_is_recorded_once() {
    let (cluster, project, runner) = scheduled().await;
    cluster.set_log(&[json!({"line": {"step": 0, "line": "500 rows"}}), report(&project)]);
    let name = cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &ended(0));
    assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
    let ids = runner.store.ids().unwrap();
    assert_eq!(ids.len(), 1);
    let record = runner.store.run(&ids[0]).unwrap().unwrap();
    assert_eq!((record.state, record.rows), (State::Succeeded, 3), "{:?}", record.failure);
    assert_eq!(record.scheduled_job.as_deref(), Some(name.as_str()));
    assert_eq!(record.finished_at, Some("2026-11-29T01:30:00Z".parse().unwrap()));
    assert_eq!(record.outputs[0].files.len(), 1);
    assert!(record.reasons[0].contains("its schedule `nightly`"), "{:?}", record.reasons);
    let last = runner.schedules().progress("nightly").unwrap().unwrap().last.unwrap();
    assert_eq!((last.state.as_str(), last.run.as_deref()), ("succeeded", Some(ids[0].as_str())));
    let specs = project.specs();
    assert_eq!(runner.reasons(&specs, specs.pipeline("./load").unwrap()).unwrap(), [] as [&str; 0]);
    let reads = cluster.count("GET", "/log");
    runner.record_started_runs().await;
    assert_eq!((runner.store.ids().unwrap().len(), cluster.count("GET", "/log")), (1, reads));
    assert_eq!(cluster.names("jobs"), [name], "the cluster keeps it");
}

#[tokio::test]
async fn failed_and_lost_runs_of_a_cron_job_are_recorded() {
    let (cluster, _project, runner) = scheduled().await;
    let failure = json!({"step": 0, "what": "bad row 2", "said": []});
    let outcome = json!({"end": "failed", "stats": {}, "rows": 0, "steps": [], "failure": failure});
    cluster.set_log(&[json!({"end": {"outcome": outcome, "results": {"files": 0, "bytes": 0, "digest": ""}}})]);
    cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &ended(3));
    runner.record_started_runs().await;
    // The second one has no log.
    cluster.set_log(&[]);
    cluster.start_job(CRON_JOB, "2026-11-30T01:30:00Z", &ended(1));
    runner.record_started_runs().await;
    let ids = runner.store.ids().unwrap();
    let messages: Vec<(State, String)> = ids
        .iter()
        .map(|id| runner.store.run(id).unwrap().unwrap())
        .map(|record| (record.state, record.failure.unwrap().message))
        .collect();
    assert_eq!(messages[0], (State::Failed, "bad row 2".to_owned()));
    assert!(messages[1].0 == State::Failed && messages[1].1.contains("exit code 1"), "{messages:?}");
}

/// Runs the pipeline by a call.
async fn run(project: &Project, runner: &Runner, recorder: &Recorder, wait: Duration) -> Result<Record, NotRun> {
    let specs = project.specs();
    let request = RunRequest { lock_timeout: wait, ..RunRequest::default() };
    runner.run(&specs, specs.pipeline("./load").unwrap(), request, recorder, &CancellationToken::new()).await
}

/// A cluster with a run of the CronJob in progress, which is recorded; and the name of its Job, and the id of the run.
async fn with_run_in_progress() -> (ClusterStandIn, Project, Runner, String, String) {
    let (cluster, project, runner) = scheduled().await;
    let name = cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &json!({"state": {"running": {}}}));
    assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
    let run = runner.store.ids().unwrap().remove(0);
    assert_eq!(runner.store.run(&run).unwrap().unwrap().state, State::Running);
    (cluster, project, runner, name, run)
}

/// The lock of the pipeline of a run, as another process holds it.
async fn locked(runner: &Runner, run: &str) -> PipelineLock {
    let record = runner.store.run(run).unwrap().unwrap();
    let cancel = CancellationToken::new();
    runner.store.lock_pipeline(&record.folder, &record.pipeline, Duration::ZERO, &cancel).await.unwrap()
}

/// State of the last run in the list of schedules.
fn last_state(runner: &Runner) -> String {
    let known = runner.known_schedules(None, "2026-11-29T02:00:00Z".parse().unwrap()).unwrap();
    known[0].progress.as_ref().unwrap().last.as_ref().unwrap().state.clone()
}

#[tokio::test]
async fn schedule_whose_cron_job_is_gone_has_no_next_run_until_an_apply() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    instance.create(TYPE, nightly()).await.unwrap();
    let runner = runner(&settings);
    let status = async || {
        assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
        let known = runner.known_schedules(None, "2026-11-29T02:00:00Z".parse().unwrap()).unwrap();
        (known[0].is_cron_job_gone(), known[0].next.is_some())
    };
    assert_eq!(status().await, (false, true));
    cluster.remove("cronjobs", CRON_JOB);
    assert_eq!(status().await, (true, false));
    instance.create(TYPE, nightly()).await.unwrap();
    assert_eq!(status().await, (false, true));
}

#[tokio::test]
async fn only_a_schedule_without_its_cron_job_can_be_forgotten() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    instance.create(TYPE, nightly()).await.unwrap();
    let runner = runner(&settings);
    let name = runner.schedules().all().unwrap().0.remove(0).name;
    assert_eq!(runner.forget_schedule(&name).await.unwrap_err().message, "its CronJob exists");
    cluster.remove("cronjobs", CRON_JOB);
    runner.forget_schedule(&name).await.unwrap();
    assert_eq!(runner.schedules().all().unwrap().0, []);
}

#[tokio::test]
async fn list_of_schedules_has_the_end_of_a_cancelled_run() {
    let (_cluster, _project, runner, _name, run) = with_run_in_progress().await;
    assert_eq!(last_state(&runner), "running");
    let record = runner.store.run(&run).unwrap().unwrap();
    runner.store.request_stop(&run, Some("ada")).unwrap();
    runner.follow_cluster_run(&record, None, &CancellationToken::new()).await.unwrap();
    assert_eq!(runner.store.run(&run).unwrap().unwrap().state, State::Cancelled);
    assert_eq!(last_state(&runner), "cancelled");
    runner.record_started_runs().await;
    let last = runner.schedules().progress("nightly").unwrap().unwrap().last.unwrap();
    assert_eq!(last.state, "cancelled", "it outlives the record");
}

#[tokio::test]
async fn manual_run_follows_a_failed_run_of_a_cron_job_by_a_new_run() {
    let (cluster, project, runner, _name, run_of_schedule) = with_run_in_progress().await;
    let failure = json!({"step": 0, "what": "bad row 2", "said": []});
    let outcome = json!({"end": "failed", "stats": {}, "rows": 0, "steps": [], "failure": failure});
    cluster.set_log(&[json!({"end": {"outcome": outcome, "results": {"files": 0, "bytes": 0, "digest": ""}}})]);
    let own = run(&project, &runner, &Recorder::default(), Duration::from_secs(60)).await.unwrap();
    assert!(own.run != run_of_schedule && own.scheduled_job.is_none(), "{own:?}");
    assert_eq!(runner.store.run(&run_of_schedule).unwrap().unwrap().state, State::Failed);
}

#[tokio::test]
async fn wait_for_the_run_of_a_cron_job_ends_with_its_limit_or_its_caller() {
    let (cluster, project, runner, name, run_of_schedule) = with_run_in_progress().await;
    for wait in [Duration::ZERO, Duration::from_millis(300)] {
        let refused = run(&project, &runner, &Recorder::default(), wait).await.unwrap_err();
        assert!(matches!(&refused, NotRun::InProgress { run: Some(run) } if *run == run_of_schedule), "{refused:?}");
    }
    let (specs, recorder, cancel) = (project.specs(), Recorder::default(), CancellationToken::new());
    let request = RunRequest { lock_timeout: Duration::from_secs(60), ..RunRequest::default() };
    let waiting = runner.run(&specs, specs.pipeline("./load").unwrap(), request, &recorder, &cancel);
    let cancelling = cluster.until(|_| {
        let waits = !recorder.waits.lock().unwrap().is_empty();
        waits.then(|| cancel.cancel()).is_some()
    });
    let (cancelled, ()) = tokio::join!(waiting, cancelling);
    assert!(matches!(cancelled, Err(NotRun::Cancelled)), "{cancelled:?}");
    assert_eq!(cluster.lasting_names("jobs"), [name], "it goes on");
    assert_eq!(runner.store.run(&run_of_schedule).unwrap().unwrap().state, State::Running);
}

#[tokio::test]
async fn waits_for_the_lock_and_for_the_run_of_a_cron_job_have_one_limit() {
    let (cluster, project, runner, _name, run) = with_run_in_progress().await;
    let other = locked(&runner, &run).await;
    let (specs, recorder, cancel) = (project.specs(), Recorder::default(), CancellationToken::new());
    let limit = Duration::from_secs(60);
    let request = RunRequest { lock_timeout: limit, ..RunRequest::default() };
    let waiting = runner.run(&specs, specs.pipeline("./load").unwrap(), request, &recorder, &cancel);
    let waits = || recorder.limits.lock().unwrap().len();
    let others = async {
        cluster.until(|_| waits() == 1).await;
        drop(other);
        cluster.until(|_| waits() == 2).await;
        cancel.cancel();
    };
    let (cancelled, ()) = tokio::join!(waiting, others);
    assert!(matches!(cancelled, Err(NotRun::Cancelled)), "{cancelled:?}");
    let limits = recorder.limits.lock().unwrap().clone();
    assert!(limits[0] == limit && limits[1] < limit, "{limits:?}");
}

#[tokio::test]
async fn jobs_are_listed_under_the_lock_of_their_pipeline() {
    let (cluster, _project, runner, _name, run) = with_run_in_progress().await;
    let other = locked(&runner, &run).await;
    let lists = || cluster.count("GET", "/jobs?");
    let before = lists();
    assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
    assert_eq!(lists(), before, "the other process may record a later Job, which is not in an earlier list");
    drop(other);
    runner.record_started_runs().await;
    assert_eq!(lists(), before + 1);
}

#[tokio::test]
async fn manual_run_waits_for_the_run_of_a_cron_job_after_the_kill_of_an_earlier_follower() {
    let (cluster, project, runner, name, former) = with_run_in_progress().await;
    cluster.remove("jobs", &name);
    assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
    // As if the follower had been killed after it recorded the end.
    locked(&runner, &former).await.set_current_run(Some(&former)).unwrap();
    cluster.start_job(CRON_JOB, "2026-11-30T01:30:00Z", &json!({"state": {"running": {}}}));
    assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
    let present = runner.store.ids().unwrap().pop().unwrap();
    assert_ne!(present, former);
    assert_eq!(locked(&runner, &former).await.unfinished_run(), Some(present.clone()));
    let refused = run(&project, &runner, &Recorder::default(), Duration::ZERO).await.unwrap_err();
    assert!(matches!(&refused, NotRun::InProgress { run: Some(run) } if *run == present), "{refused:?}");
}

#[tokio::test]
async fn run_whose_job_left_the_history_was_not_cancelled() {
    let (cluster, project, runner, name, run) = with_run_in_progress().await;
    cluster.remove("jobs", &name);
    cluster.set_log(&[report(&project)]);
    for day in 1..=8 {
        cluster.start_job(CRON_JOB, &format!("2026-12-0{day}T01:30:00Z"), &ended(0));
    }
    assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
    let record = runner.store.run(&run).unwrap().unwrap();
    let message = record.failure.unwrap().message;
    assert_eq!((record.state, message.contains("removed its Job after its end")), (State::Failed, true), "{message}");
}

#[tokio::test]
async fn run_that_went_with_a_removed_schedule_is_cancelled_by_any_command() {
    let (cluster, _project, runner, name, run) = with_run_in_progress().await;
    // Another process held the lock of the pipeline while the schedule was removed.
    runner.schedules().remove("nightly").unwrap();
    runner.record_started_runs().await;
    assert_eq!(runner.store.run(&run).unwrap().unwrap().state, State::Running, "its Job is there");
    cluster.remove("jobs", &name);
    runner.record_started_runs().await;
    let record = runner.store.run(&run).unwrap().unwrap();
    assert_eq!(
        (record.state, record.failure.unwrap().message.as_str()),
        (State::Cancelled, "its Job was deleted in the cluster")
    );
}

#[tokio::test]
async fn manual_run_waits_for_the_run_of_a_cron_job() {
    let (cluster, project, runner) = scheduled().await;
    cluster.set_log(&[report(&project)]);
    let name = cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &json!({"state": {"running": {}}}));
    let recorder = Recorder::default();
    let record = run(&project, &runner, &recorder, Duration::from_secs(60)).await.unwrap();
    assert_eq!(*recorder.waits.lock().unwrap(), [record.run.as_str()]);
    assert_eq!((record.state, record.scheduled_job), (State::Succeeded, Some(name.clone())));
    assert_eq!(cluster.names("jobs"), [name], "no other Job was started");
    assert_eq!(cluster.overlaps(), 0);
}

#[tokio::test]
async fn reader_goes_on_after_the_reader_that_copied_the_log_has_gone() {
    let (cluster, project, runner) = scheduled().await;
    cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &json!({"state": {"running": {}}}));
    runner.record_started_runs().await;
    let record = runner.store.run(&runner.store.ids().unwrap()[0]).unwrap().unwrap();
    let cancel = CancellationToken::new();
    let other = runner.store.lock_pipeline(&record.folder, &record.pipeline, Duration::ZERO, &cancel).await.unwrap();
    cluster.set_log(&[report(&project)]);
    let (followed, ()) = tokio::join!(runner.follow_cluster_run(&record, None, &cancel), async { drop(other) });
    followed.unwrap();
    assert_eq!(runner.store.run(&record.run).unwrap().unwrap().state, State::Succeeded);
}

#[tokio::test]
async fn run_is_listed_once_after_a_crash_before_its_record() {
    let (cluster, project, runner) = scheduled().await;
    cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &json!({"state": {"running": {}}}));
    runner.record_started_runs().await;
    let run = runner.store.ids().unwrap().remove(0);
    fs::remove_dir_all(runner.store.run_folder(&run)).unwrap();
    runner.record_started_runs().await;
    assert_eq!(runner.store.ids().unwrap(), std::slice::from_ref(&run));
    let lists = fs::read_dir(project.path(".terrace/pipelines/pipelines")).unwrap();
    let lists: Vec<String> = lists.filter_map(|it| fs::read_to_string(it.unwrap().path().join("runs")).ok()).collect();
    assert_eq!(lists, [format!("{run}\n")]);
}

#[tokio::test]
async fn run_whose_job_was_replaced_is_cancelled() {
    let (cluster, _project, runner) = scheduled().await;
    let name = cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &json!({"state": {"running": {}}}));
    runner.record_started_runs().await;
    let run = runner.store.ids().unwrap().remove(0);
    let record = runner.store.run(&run).unwrap().unwrap();
    assert_eq!(record.state, State::Running);
    // As if a follower had been killed while it copied files.
    let partial = &record.outputs[0].partial;
    fs::create_dir_all(partial).unwrap();
    cluster.remove("jobs", &name);
    runner.record_started_runs().await;
    assert!(!partial.exists());
    let record = runner.store.run(&run).unwrap().unwrap();
    assert_eq!(
        (record.state, record.failure.unwrap().message.as_str()),
        (State::Cancelled, "its Job was deleted in the cluster")
    );
}

#[tokio::test]
async fn silent_cluster_costs_one_request_for_all_its_schedules() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    for name in ["first", "second", "third"] {
        instance.create(TYPE, with("name", name)).await.unwrap();
    }
    cluster.set_down(true);
    let lists = || cluster.count("GET", "/jobs?");
    let before = lists();
    let problems = runner(&settings).record_started_runs().await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("runs of the schedules `first`, `second`, `third` are not"), "{problems:?}");
    let first = lists() - before;
    runner(&settings).record_runs_of(&runner(&settings).schedules().get("first").unwrap().unwrap()).await.unwrap_err();
    assert_eq!(lists() - before, 2 * first, "as many requests as for one schedule");
}

#[tokio::test]
async fn schedule_for_an_unreachable_cluster_is_not_in_doubt() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    cluster.set_down(true);
    let error = instance.create(TYPE, nightly()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::InvalidInput { path: None }), "{error:?}");
}

#[tokio::test]
async fn schedule_for_a_missing_database_is_not_in_doubt() {
    let cluster = ClusterStandIn::start();
    let (_project, mut settings) = project(&cluster, SPEC);
    // Without an image, the cluster is not asked, and a list of its databases is not the remedy.
    for remedy in ["write `databaseImage: ", "declare a `pipelines_database` with `name: orders`"] {
        let error = instance(&settings).await.create(TYPE, with("database", "orders")).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
        assert!(path.to_string() == "database" && error.message.contains("no database `orders`"), "{error:?}");
        let hint = error.hint().unwrap();
        assert!(hint.starts_with(remedy), "{hint}");
        settings.values.insert("databaseImage".to_owned(), format!("r/postgres@sha256:{}", "0".repeat(64)).into());
    }
}

#[tokio::test]
async fn lost_creation_is_found_by_another_machine() {
    let cluster = ClusterStandIn::start();
    let (_first, first_settings) = project(&cluster, SPEC);
    let (_second, second_settings) = project(&cluster, SPEC);
    let (first, second) = (instance(&first_settings).await, instance(&second_settings).await);
    let lost = Some(Duration::ZERO);
    for machine in [&first, &second] {
        assert_eq!(machine.find(TYPE, nightly(), lost).await.unwrap(), Found::Absent, "it was never created");
    }
    first.create(TYPE, nightly()).await.unwrap();
    let found = second.find(TYPE, nightly(), lost).await.unwrap();
    assert!(matches!(found, Found::Own(_)), "{found:?}");
    let found = second.find(TYPE, nightly(), None).await.unwrap();
    assert!(matches!(found, Found::Foreign(_)), "{found:?}");
}

/// The engine's question after a call with this plan whose outcome was lost.
fn lost_call(planned: PlannedChange, prior: Option<&Recorded>) -> Attempt {
    let (mut planned, private) = (planned.planned, planned.private);
    planned.retain(|_, value| !value.has_unknown());
    let identity: Attributes = [("name".to_owned(), "nightly".into())].into_iter().collect();
    let prior = prior.map(|prior| Recorded { attributes: planned.clone(), private: private.clone(), ..prior.clone() });
    let (operation, step) = ("operation".to_owned(), "1".to_owned());
    let lost_call = Some(LostCall { operation, step, timeout: Duration::from_secs(1), age: Duration::from_secs(1) });
    Attempt { address: "s@test:x.load".to_owned(), identity, planned, private, prior, lost_call }
}

/// Searches for the CronJob of a lost call with these settings.
async fn find(settings: &Settings, attempt: &Attempt) -> Result<Found, ProviderError> {
    let instance = instance(settings).await;
    instance.session.find(instance.resource_type(TYPE).unwrap(), attempt).await
}

#[tokio::test]
async fn lost_creation_is_in_doubt_on_a_machine_that_reaches_another_cluster() {
    let (cluster, other) = (ClusterStandIn::start(), ClusterStandIn::start());
    let (_first, first_settings) = project(&cluster, SPEC);
    let first = instance(&first_settings).await;
    let attempt = lost_call(first.plan(TYPE, None, nightly()).await.unwrap(), None);
    first.create(TYPE, nightly()).await.unwrap();
    let (_second, settings) = project(&other, SPEC);
    let error = find(&settings, &attempt).await.unwrap_err();
    assert!(error.message.contains(&format!("may be in the cluster `{}", cluster.url)), "{error:?}");
    assert!(error.hint().unwrap().contains("correct `context`"), "{error:?}");
    let (_third, settings) = project(&cluster, SPEC);
    assert!(matches!(find(&settings, &attempt).await.unwrap(), Found::Own(_)));
    let unplaced = Attempt { private: Private::default(), ..attempt };
    let (_fourth, settings) = project(&other, SPEC);
    let error = find(&settings, &unplaced).await.unwrap_err();
    assert!(error.message.contains("is unknown"), "{error:?}");
}

#[tokio::test]
async fn lost_move_to_another_cluster_is_in_doubt_where_the_former_one_is_not_reached() {
    let (cluster, other) = (ClusterStandIn::start(), ClusterStandIn::start());
    let (first, first_settings) = project(&cluster, SPEC);
    let row = instance(&first_settings).await.create(TYPE, nightly()).await.unwrap();
    let mut moved = settings(&first, &other);
    moved.values.insert("claim".to_owned(), "results/shop".into());
    let planned = instance(&moved).await.plan(TYPE, Some(&row), with("cron", "0 5 * * *")).await.unwrap();
    let attempt = lost_call(planned, Some(&row));
    let (_second, settings) = project(&other, SPEC);
    let error = find(&settings, &attempt).await.unwrap_err();
    assert!(error.message.contains(&format!("may be in the cluster `{}", cluster.url)), "{error:?}");
    let (_third, settings) = project(&cluster, SPEC);
    let Found::Own(found) = find(&settings, &attempt).await.unwrap() else { panic!("it is not found") };
    assert_eq!(found.attributes["cron"], Value::from("30 2 * * 0"), "it is the former one");
    cluster.remove("cronjobs", CRON_JOB);
    let error = find(&settings, &attempt).await.unwrap_err();
    assert!(error.message.contains(&format!("may be in the cluster `{}", other.url)), "{error:?}");
}

#[tokio::test]
async fn machine_that_ran_a_lost_move_knows_that_the_former_one_is_gone() {
    let (cluster, other) = (ClusterStandIn::start(), ClusterStandIn::start());
    let (project, mut settings) = project(&cluster, SPEC);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": cluster.url}}, {"name": "b", "cluster": {"server": other.url}}],
        "contexts": [
            {"name": "a", "context": {"cluster": "a", "user": "a"}}, {"name": "b", "context": {"cluster": "b", "user": "a"}},
        ],
        "users": [{"name": "a", "user": {}}],
    });
    project.write("kubeconfig", &config.to_string());
    let row = instance(&settings).await.create(TYPE, nightly()).await.unwrap();
    settings.values.insert("context".to_owned(), "b".into());
    let planned = instance(&settings).await.plan(TYPE, Some(&row), nightly()).await.unwrap();
    let mut attempt = lost_call(planned, Some(&row));
    attempt.lost_call.as_mut().unwrap().step = "2".to_owned();
    assert!(matches!(find(&settings, &attempt).await.unwrap(), Found::Own(_)), "the former one");
    cluster.remove("cronjobs", CRON_JOB);
    assert_eq!(find(&settings, &attempt).await.unwrap(), Found::Absent);
}

#[tokio::test]
async fn lost_move_to_another_namespace_is_found_at_the_former_and_at_the_new_place() {
    let cluster = ClusterStandIn::start();
    let (_first, first_settings) = project(&cluster, SPEC);
    let row = instance(&first_settings).await.create(TYPE, nightly()).await.unwrap();
    let moved = |mut settings: Settings| {
        settings.values.insert("namespace".to_owned(), "sales".into());
        settings
    };
    let path = "/api/v1/namespaces/sales/persistentvolumeclaims/results";
    cluster.put(path, json!({"metadata": {"name": "results"}, "spec": {}, "status": {"phase": "Bound"}}));
    let machine = instance(&moved(first_settings)).await;
    let attempt = lost_call(machine.plan(TYPE, Some(&row), nightly()).await.unwrap(), Some(&row));
    let (_second, settings) = project(&cluster, SPEC);
    let settings = moved(settings);
    let found = async || match find(&settings, &attempt).await.unwrap() {
        Found::Own(found) => Some(found.attributes["cronJob"].clone()),
        _ => None,
    };
    assert_eq!(found().await, Some("shop/terrace-nightly".into()));
    machine.update(TYPE, &row, nightly()).await.unwrap();
    assert_eq!(found().await, Some("sales/terrace-nightly".into()));
    cluster.remove("cronjobs", CRON_JOB);
    assert_eq!(found().await, None);
}

#[tokio::test]
async fn cluster_that_does_not_answer_is_named() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, nightly()).await.unwrap();
    cluster.refuses("GET", "/cronjobs/", 403, "the user cannot get resource");
    cluster.refuses("GET", "/jobs", 403, "the user cannot list resource");
    let error = instance.read(TYPE, &row).await.unwrap_err();
    assert!(error.message.contains("may not get cronjobs.batch in the namespace `shop`"), "{error:?}");
    assert!(error.hint().unwrap().contains("--role=terrace-pipelines --serviceaccount=shop:runner`"), "{error:?}");
    let problems = runner(&settings).record_started_runs().await;
    assert!(problems[0].starts_with("runs of the schedule `nightly` are not recorded now: "), "{problems:?}");
}

#[tokio::test]
async fn plan_names_problems_of_the_cluster() {
    let cluster = ClusterStandIn::start();
    let (_project, mut settings) = project(&cluster, SPEC);
    settings.sources.insert("namespace".to_owned(), "`namespace` at terrace.yaml:9:9".to_owned());
    let instance = instance(&settings).await;
    let planned = instance.plan(TYPE, None, nightly()).await.unwrap().planned;
    let ty = instance.resource_type(TYPE).unwrap();
    let findings = async || instance.session.validate_remote(ty, &planned).unwrap().await;
    assert!(findings().await.is_empty());
    assert_eq!(cluster.names("cronjobs"), [] as [&str; 0]);
    cluster.let_manager_own_suspend("kubectl-edit");
    let found = findings().await.remove(0);
    assert_eq!(found.severity, Severity::Warning);
    assert!(
        found.message.contains("`kubectl-edit` has changed `spec.suspend` of the CronJob `terrace-nightly`"),
        "{found:?}"
    );
    cluster.set_rights(false);
    let found = findings().await.remove(0);
    assert!(found.severity == Severity::Warning && found.message.contains("that schedules need"), "{found:?}");
    assert!(found.message.ends_with(": create, get, patch, delete cronjobs.batch"), "{found:?}");
    assert!(found.hint.unwrap().contains("--role=terrace-pipelines --serviceaccount=shop:runner`"));
    cluster.remove_namespaces();
    let found = findings().await.remove(0);
    assert_eq!(found.message, "the namespace `shop` (`namespace` at terrace.yaml:9:9) does not exist");
}

#[tokio::test]
async fn plan_warns_of_a_database_that_neither_exists_nor_is_planned() {
    const DATABASE: &str = "pipelines_database";
    let cluster = ClusterStandIn::start();
    let (_project, mut settings) = project(&cluster, SPEC);
    let without_databases = instance(&settings).await;
    settings.values.insert("databaseImage".to_owned(), format!("r/postgres@sha256:{}", "0".repeat(64)).into());
    let findings = async |instance: &Instance<PipelinesProvider>| {
        let planned = instance.plan(TYPE, None, with("database", "orders")).await.unwrap().planned;
        let ty = instance.resource_type(TYPE).unwrap();
        instance.session.validate_remote(ty, &planned).unwrap().await
    };
    let (one, other) = (instance(&settings).await, instance(&settings).await);
    let lists = || cluster.count("GET", "/statefulsets?label");
    let before = lists();
    let found = findings(&one).await;
    assert_eq!((found.len(), found[0].severity), (1, Severity::Warning), "{found:?}");
    assert_eq!(found[0].path.as_ref().unwrap().to_string(), "database");
    assert!(found[0].hint.as_ref().unwrap().contains("a `pipelines_database` with `name: orders`"), "{found:?}");
    let found = findings(&without_databases).await;
    assert!(found[0].message.contains("cannot be looked up without the setting `databaseImage`"), "{found:?}");
    let orders = json!({"name": "orders", "executor": "kubernetes"});
    one.plan(DATABASE, None, orders.clone()).await.unwrap();
    assert_eq!(findings(&one).await, [], "the same plan creates it");
    assert_eq!(findings(&other).await.len(), 1, "another plan does not");
    assert_eq!(lists(), before, "a plan asks for no list");
    one.create(DATABASE, orders).await.unwrap();
    assert_eq!(findings(&other).await, [], "it exists");
}

const TABLES: &str = "load:\n  pipeline:\n  - {run: dump_to_sql, parameters: {tables: {}}}\n";

/// A project whose pipeline writes into a database.
fn project_with_tables(cluster: &ClusterStandIn) -> (Project, Settings) {
    let (project, mut settings) = project(cluster, TABLES);
    settings.values.insert("databaseImage".to_owned(), format!("r/postgres@sha256:{}", "0".repeat(64)).into());
    (project, settings)
}

#[tokio::test]
async fn hints_name_the_databases_of_the_active_cluster() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project_with_tables(&cluster);
    let active =
        |kind: &str, databases| Cluster { kind: kind.to_owned(), workers: 0, databases, ttl: None, is_ready: true };
    let queue = Queue::open(runner(&settings).store.folder()).unwrap();
    queue.begin_cluster(&active("local", 1)).unwrap();
    let refusal = async || instance(&settings).await.plan(TYPE, None, nightly()).await.unwrap_err();
    let error = refusal().await;
    assert!(error.message.contains("an SQLite file that pods cannot reach"), "{error:?}");
    assert!(error.hint().unwrap().ends_with("or set DPP_DB_ENGINE to the address of another server"), "{error:?}");
    queue.begin_cluster(&active("kubernetes", 3)).unwrap();
    let chosen = active("kubernetes", 3).database_of(".").unwrap();
    let hint = format!("or write `database: {chosen}` into the schedule: it is a database of the active cluster");
    assert!(refusal().await.hint().unwrap().ends_with(&hint));
    let instance = instance(&settings).await;
    let planned = instance.plan(TYPE, None, with("database", chosen.as_str())).await.unwrap().planned;
    let found =
        instance.session.validate_remote(instance.resource_type(TYPE).unwrap(), &planned).unwrap().await.remove(0);
    assert!(found.message.starts_with(&format!("the database `{chosen}` neither exists")), "{found:?}");
    let hint = "create it with `terrace pipelines init --databases 3`; or use a name that";
    assert!(found.hint.as_ref().unwrap().starts_with(hint), "{found:?}");
}

#[tokio::test]
async fn plan_of_a_run_without_tables_needs_no_answer_of_the_cluster() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project_with_tables(&cluster);
    let active = Cluster { kind: "kubernetes".to_owned(), workers: 0, databases: 1, ttl: None, is_ready: true };
    Queue::open(runner(&settings).store.folder()).unwrap().begin_cluster(&active).unwrap();
    cluster.set_down(true);
    let plan = async || instance(&settings).await.plan("pipelines_run", None, json!({"name": "./load"})).await;
    let error = plan().await.unwrap_err();
    assert!(error.message.contains("the server is down"), "the identity of the database is unknown: {error:?}");
    project.write("pipeline-spec.yaml", SPEC);
    plan().await.unwrap();
}

#[tokio::test]
async fn plan_in_another_namespace_names_that_as_the_reason() {
    let cluster = ClusterStandIn::start();
    let (_project, mut settings) = project_with_tables(&cluster);
    let here = instance(&settings).await;
    here.create("pipelines_database", json!({"name": "orders", "executor": "kubernetes"})).await.unwrap();
    let row = here.create(TYPE, with("database", "orders")).await.unwrap();
    settings.values.insert("namespace".to_owned(), "sales".into());
    let because = instance(&settings).await.plan(TYPE, Some(&row), with("database", "orders")).await.unwrap().because;
    assert_eq!(because.len(), 1, "{because:?}");
    assert!(because[0].starts_with("the settings lead to the namespace `sales` of "), "{because:?}");
    assert!(because[0].contains(", and its CronJob is in the namespace `shop` of "), "{because:?}");
}

#[tokio::test]
async fn results_of_a_schedule_must_stay_in_the_cluster() {
    let cluster = ClusterStandIn::start();
    let (project, mut settings) = project(&cluster, SPEC);
    settings.values.insert("claim".to_owned(), Value::Null);
    let refused = async |settings: &Settings, config: Json| -> (String, ProviderError) {
        let error = instance(settings).await.plan(TYPE, None, config).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
        (path.to_string(), error)
    };
    let (path, error) = refused(&settings, nightly()).await;
    assert_eq!(path, "pipeline");
    assert!(error.message.contains("writes into `data/load` of this machine"), "{error:?}");
    assert!(error.hint().unwrap().contains("set `claim`"), "{error:?}");
    project.write(
        "pipeline-spec.yaml",
        "load:\n  pipeline:\n  - {run: dump_to_sql, parameters: {engine: 'sqlite:////x.db', tables: {}}}\n",
    );
    let (path, error) = refused(&settings, nightly()).await;
    assert!(path == "pipeline" && error.message.contains("an SQLite file that pods cannot reach"), "{error:?}");
    let (path, _) = refused(&settings, with("timeZone", "Europe/Rom")).await;
    assert_eq!(path, "timeZone");
}

/// A CronJob of another owner with the name.
fn theirs() -> Json {
    json!({"metadata": {"name": CRON_JOB, "uid": "theirs"}, "spec": {"schedule": "1 1 * * *"}})
}

#[tokio::test]
async fn cron_job_of_another_owner_is_left_alone() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    cluster.put(PATH, theirs());
    let error = instance(&settings).await.create(TYPE, nightly()).await.unwrap_err();
    assert!(error.message.contains("`shop/terrace-nightly` exists already"), "{error:?}");
    assert_eq!(cluster.object("cronjobs", CRON_JOB), Some(theirs()));
}

#[tokio::test]
async fn another_cron_job_of_the_same_name_is_neither_changed_nor_removed() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, nightly()).await.unwrap();
    cluster.remove("cronjobs", CRON_JOB);
    cluster.put(PATH, theirs());
    assert!(instance.read(TYPE, &row).await.unwrap().is_none(), "its own CronJob is gone");
    let error = instance.update(TYPE, &row, with("cron", "0 5 * * *")).await.unwrap_err();
    assert!(error.message.contains("`shop/terrace-nightly` exists already"), "{error:?}");
    instance.delete(TYPE, &row).await.unwrap();
    assert_eq!(cluster.object("cronjobs", CRON_JOB), Some(theirs()));
}

/// Another project makes a CronJob of the name right before the call with this method and number.
fn theirs_before(cluster: &ClusterStandIn, method: &'static str, number: usize) {
    cluster.interfere(method, "/cronjobs/", number, |objects| {
        objects.insert(PATH.to_owned(), theirs());
    });
}

#[tokio::test]
async fn cron_job_that_another_project_creates_meanwhile_is_left_alone() {
    for number in 0..4 {
        let cluster = ClusterStandIn::start();
        let (_project, settings) = project(&cluster, SPEC);
        let instance = instance(&settings).await;
        let before = cluster.count("GET", "/cronjobs/");
        theirs_before(&cluster, "GET", number);
        let created = instance.create(TYPE, nightly()).await;
        if cluster.count("GET", "/cronjobs/") - before <= number {
            created.unwrap();
            assert!(number > 1, "it is read twice");
            return;
        }
        assert!(created.unwrap_err().message.contains("exists already"), "read {number}");
        assert_eq!(cluster.object("cronjobs", CRON_JOB), Some(theirs()), "read {number}");
    }
}

#[tokio::test]
async fn successor_of_a_cron_job_is_neither_changed_nor_removed() {
    for number in 0..2 {
        let cluster = ClusterStandIn::start();
        let (_project, settings) = project(&cluster, SPEC);
        let instance = instance(&settings).await;
        let row = instance.create(TYPE, nightly()).await.unwrap();
        theirs_before(&cluster, "GET", number);
        instance.delete(TYPE, &row).await.unwrap();
        assert_eq!(cluster.object("cronjobs", CRON_JOB), Some(theirs()), "read {number}");
    }
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, nightly()).await.unwrap();
    theirs_before(&cluster, "PATCH", 0);
    instance.update(TYPE, &row, with("cron", "0 5 * * *")).await.unwrap_err();
    assert_eq!(cluster.object("cronjobs", CRON_JOB), Some(theirs()));
}

#[tokio::test]
async fn run_in_progress_ends_with_its_removed_schedule() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, nightly()).await.unwrap();
    let name = cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &json!({"state": {"running": {}}}));
    let runner = runner(&settings);
    runner.record_started_runs().await;
    let run = runner.store.ids().unwrap().remove(0);
    instance.delete(TYPE, &row).await.unwrap();
    assert!(!cluster.names("jobs").contains(&name), "the Jobs of a CronJob go with it");
    assert_eq!(runner.store.run(&run).unwrap().unwrap().state, State::Cancelled);
}

#[tokio::test]
async fn schedule_that_moves_to_the_cluster_leaves_a_cron_job_of_another_owner_alone() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project(&cluster, SPEC);
    let row = instance(&project.settings()).await.create(TYPE, nightly()).await.unwrap();
    cluster.put(PATH, theirs());
    let error = instance(&settings).await.update(TYPE, &row, nightly()).await.unwrap_err();
    assert!(error.message.contains("`shop/terrace-nightly` exists already"), "{error:?}");
    assert_eq!(cluster.object("cronjobs", CRON_JOB), Some(theirs()));
}

#[tokio::test]
async fn another_machine_changes_and_removes_the_cron_job_of_a_row() {
    let cluster = ClusterStandIn::start();
    let (first_project, first_settings) = project(&cluster, SPEC);
    let row = instance(&first_settings).await.create(TYPE, nightly()).await.unwrap();
    drop(first_project);
    let (_project, settings) = project(&cluster, SPEC);
    let instance = instance(&settings).await;
    assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes, row.attributes);
    cluster.change("cronjobs", CRON_JOB, |object| object["spec"]["successfulJobsHistoryLimit"] = 1.into());
    let found = instance.read(TYPE, &row).await.unwrap().unwrap();
    assert_eq!(found.attributes["inputs"], Value::from("changed in the cluster"));
    let row = instance.update(TYPE, &found, with("cron", "0 5 * * *")).await.unwrap();
    assert_eq!(cluster.object("cronjobs", CRON_JOB).unwrap()["spec"]["schedule"], "0 5 * * *");
    instance.delete(TYPE, &row).await.unwrap();
    assert_eq!(cluster.names("cronjobs"), [] as [&str; 0]);
}

#[tokio::test]
async fn schedule_moves_to_the_cluster_and_back() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project(&cluster, SPEC);
    let here = instance(&project.settings()).await;
    let row = here.create(TYPE, nightly()).await.unwrap();
    assert!(row.attributes.get("cronJob").is_none(), "{:?}", row.attributes);
    let row = instance(&settings).await.update(TYPE, &row, nightly()).await.unwrap();
    assert_eq!(cluster.names("cronjobs"), [CRON_JOB]);
    let row = here.update(TYPE, &row, nightly()).await.unwrap();
    assert_eq!(cluster.names("cronjobs"), [] as [&str; 0]);
    assert!(row.attributes.get("cronJob").is_none_or(Value::is_null), "{:?}", row.attributes);
}
