//! Copies from a claim of a cluster: the objects of a Job, its work, drift, interruptions, and failures.

use crate::cluster::settings;
use crate::cluster_stand_in::ClusterStandIn;
use crate::harness::Project;
use crate::put_server::{Fault, PutServer, TOKEN};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions};
use terrace_pipelines::storage::kubernetes::ClusterCopies;
use terrace_pipelines::storage::place::Endpoints;
use terrace_pipelines::storage::pod::{PodCopyExit, PodCopyPaths, run};
use terrace_pipelines::storage::source::Filter;
use terrace_pipelines::storage::{Access, Storage, StorageError, StorageErrorKind, SyncRequest};
use terrace_provider::conformance::Instance;
use terrace_provider::sandbox::ProtectedFiles;
use terrace_provider::wrap::Limits;
use terrace_provider::{
    Attributes, Found, Observed, ProposedChange, ProviderError, Recorded, Redaction, Settings, Value,
};
use terrace_provider_pipelines::PipelinesProvider;
use tokio_util::sync::CancellationToken;

const TYPE: &str = "pipelines_volume_sync";
const SPEC: &str = "load:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data/load}\n";

/// A project whose results are on the claim `results`, in the folder `shop`, and the content of that claim.
struct OnClaim {
    cluster: ClusterStandIn,
    server: PutServer,
    claim: TempDir,
    project: Project,
    settings: Settings,
}

impl OnClaim {
    fn new() -> Self {
        let (cluster, server) = (ClusterStandIn::start(), PutServer::start());
        let project = Project::new(SPEC);
        let mut settings = settings(&project, &cluster);
        for (name, value) in [("claim", "results/shop"), ("webToken", TOKEN)] {
            settings.values.insert(name.to_owned(), value.into());
        }
        let on_claim = Self { cluster, server, claim: tempfile::tempdir().unwrap(), project, settings };
        on_claim.write("a.csv", "id\n1\n");
        on_claim.write("datapackage.json", r#"{"resources": [{"path": "a.csv"}]}"#);
        on_claim
    }

    /// Writes a file of the data package on the claim.
    fn write(&self, name: &str, text: &str) {
        let folder = self.claim.path().join("shop/data/load");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }

    async fn instance(&self) -> Instance<PipelinesProvider> {
        Instance::open(PipelinesProvider::new(), &self.settings, Limits::default(), "s@test:x.copy").await.unwrap()
    }

    fn config(&self) -> Json {
        json!({"name": "weekly", "destination": self.server.url, "pipeline": "./load"})
    }

    /// Waits for the Secret of a Job that starts, and does the work of its pod. Returns its events.
    async fn work(&self) -> Vec<Json> {
        self.cluster.until(|cluster| !cluster.names("pods").is_empty() && !cluster.names("secrets").is_empty()).await;
        let secret = self.cluster.object("secrets", &self.cluster.names("secrets")[0]).unwrap();
        let pod = tempfile::tempdir().unwrap();
        let paths = PodCopyPaths {
            mounted: pod.path().to_owned(),
            temporary: pod.path().join("tmp"),
            claim: self.claim.path().to_owned(),
        };
        for (key, value) in secret["data"].as_object().unwrap() {
            write(pod.path(), key, &STANDARD.decode(value.as_str().unwrap()).unwrap());
        }
        let mut out = Vec::new();
        run(&paths, &mut out, &CancellationToken::new()).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["event"].clone()).collect()
    }

    /// Creates or updates the copy, while its pod works.
    async fn copy(
        &self,
        instance: &Instance<PipelinesProvider>,
        prior: Option<&Recorded>,
    ) -> Result<Recorded, ProviderError> {
        self.cluster.set_log(&[]);
        let copying = async {
            match prior {
                Some(prior) => {
                    instance.update(TYPE, prior, with(self.config(), json!({"triggers": {"dataset": "2"}}))).await
                }
                None => instance.create(TYPE, self.config()).await,
            }
        };
        let working = async { self.cluster.set_log(&self.work().await) };
        tokio::join!(copying, working).0
    }

    /// Starts to create the copy, and ends as a killed process does as soon as a condition holds.
    async fn kill_when(&self, instance: &Instance<PipelinesProvider>, condition: impl Fn(&ClusterStandIn) -> bool) {
        tokio::select! {
            ended = instance.create(TYPE, self.config()) => panic!("the copy has ended: {ended:?}"),
            () = self.cluster.until(condition) => {}
        }
    }

    /// The row that a recovery writes after a kill.
    async fn recover(&self, instance: &Instance<PipelinesProvider>) -> Recorded {
        match instance.find(TYPE, self.config(), Some(Duration::from_secs(1))).await.unwrap() {
            Found::Own(found) => row(found),
            other => panic!("{other:?}"),
        }
    }

    /// Copies without a plan, with waits of at most a second, while the test changes the cluster.
    async fn copy_impatiently(&self, change: impl Future<Output = ()>) -> Result<(), StorageError> {
        let values = ["kubeconfig", "context"].iter().filter_map(|name| self.settings.values.get_key_value(*name));
        let values = values.map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut options = ExecutionOptions::default();
        options.set(ExecutionOption::Image, format!("r/i@sha256:{}", "0".repeat(64)));
        let copies = ClusterCopies::open(&Settings { values, ..self.settings.clone() }, "shop", options).unwrap();
        let copies = copies.with_patience(Duration::from_secs(1));
        let project = self.project.folder.path().canonicalize().unwrap();
        let access = Access {
            endpoints: Endpoints::default(),
            s3: None,
            gcs: None,
            web: Some(TOKEN.into()),
            authorities: None,
            redaction: Redaction::default(),
            protected: ProtectedFiles::default(),
        };
        let storage = Storage::new(access, project.clone(), self.claim.path().join("records"));
        let filter = Filter::new(&[], &[]).unwrap();
        let folders = vec![project.join("data/load")];
        let request = SyncRequest::new(self.server.url.clone(), "weekly".to_owned(), folders, filter);
        let cancel = CancellationToken::new();
        let copying = copies.copy(&storage, "results/shop", &request, &|_| {}, &cancel);
        let (copied, ()) = tokio::join!(copying, change);
        copied.map(drop)
    }

    /// Waits until the log of a pod is read.
    async fn followed(&self) {
        self.cluster.until(|cluster| cluster.count("GET", "/log") > 0).await;
    }

    fn job(&self) -> Json {
        self.cluster.object("jobs", &self.cluster.names("jobs")[0]).unwrap()
    }

    fn left(&self) -> usize {
        ["jobs", "secrets", "pods"].map(|kind| self.cluster.names(kind).len()).iter().sum()
    }
}

fn row(found: Observed) -> Recorded {
    let Observed { identity, attributes, private } = found;
    Recorded { address: "s@test:x.copy".to_owned(), identity, attributes, private }
}

fn write(folder: &Path, name: &str, content: &[u8]) {
    fs::write(folder.join(name), content).unwrap();
}

fn with(mut config: Json, more: Json) -> Json {
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

#[tokio::test]
async fn results_on_a_claim_are_copied_by_a_job() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    let planned = instance.plan(TYPE, None, on_claim.config()).await.unwrap();
    assert!(planned.planned["files"].is_unknown());
    assert_eq!(planned.because, ["the files to copy are on the claim `results/shop`, and known after apply"]);
    let row = on_claim.copy(&instance, None).await.unwrap();
    assert_eq!((&row.attributes["files"], on_claim.left()), (&Value::Int(2), 0));
    let Value::List(changes) = &row.attributes["changes"] else { panic!("{:?}", row.attributes["changes"]) };
    assert!(!changes.is_empty());
    assert_eq!(on_claim.server.put().last().unwrap(), "/weekly/.terrace-sync.json", "data goes first");
    assert!(on_claim.server.files().contains_key("/weekly/load/datapackage.json"), "{:?}", on_claim.server.files());
    assert_eq!(on_claim.cluster.count("POST", TOKEN), 0, "the token is in the Secret alone, encoded");
    assert_eq!(instance.plan(TYPE, Some(&row), on_claim.config()).await.unwrap().planned, row.attributes);
    assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes, row.attributes);

    on_claim.write("a.csv", "id\n1\n2\n");
    let row = on_claim.copy(&instance, Some(&row)).await.unwrap();
    assert_eq!(on_claim.server.files()["/weekly/load/a.csv"], "id\n1\n2\n");
    on_claim.server.tamper("/weekly/load/a.csv", Some("other"));
    let drift = instance.read(TYPE, &row).await.unwrap().unwrap();
    let config = with(on_claim.config(), json!({"triggers": {"dataset": "2"}}));
    let planned = instance.plan(TYPE, Some(&drift), config).await.unwrap().planned;
    assert!(planned["manifestHash"].is_unknown() && !planned.contains_key("damaged"), "{planned:?}");
    instance.delete(TYPE, &row).await.unwrap();
    assert!(instance.read(TYPE, &row).await.unwrap().is_none());
}

#[tokio::test]
async fn next_copy_waits_for_the_job_of_an_interrupted_one() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    // terrace is killed while the pod works.
    {
        let killed = instance.create(TYPE, on_claim.config());
        tokio::pin!(killed);
        let started = on_claim.cluster.until(|cluster| !cluster.names("pods").is_empty());
        tokio::select! {
            _ = &mut killed => panic!("the copy has ended"),
            () = started => {}
        }
    }
    let former = on_claim.cluster.object("jobs", &on_claim.cluster.names("jobs")[0]).unwrap();
    // All pods have one log: that of the next Job must not begin with the end of the former one.
    on_claim.cluster.set_container(json!({"state": {"waiting": {"reason": "ContainerCreating"}}}));
    let reads = on_claim.cluster.count("GET", "/log");
    let creating = instance.create(TYPE, on_claim.config());
    let working = async {
        // The former pod ends while the next copy follows it.
        on_claim.cluster.until(|cluster| cluster.count("GET", "/log") > reads).await;
        let events = on_claim.work().await;
        on_claim.cluster.set_log(&events);
        let is_new = |cluster: &ClusterStandIn| {
            let found = cluster.names("jobs").first().and_then(|name| cluster.object("jobs", name));
            found.is_some_and(|found| found["metadata"]["uid"] != former["metadata"]["uid"])
        };
        on_claim.cluster.until(is_new).await;
        let events = on_claim.work().await;
        on_claim.cluster.set_log(&events);
        on_claim.cluster.change_containers(&json!({"state": {"running": {}}}));
        events
    };
    let (created, events) = tokio::join!(creating, working);
    // The manifest of the interrupted copy is there, and its files need not be sent again.
    assert_eq!(events.last().unwrap()["copied"]["sent"], 0, "{events:?}");
    assert_eq!(created.unwrap().attributes["files"], Value::Int(2));
    assert_eq!((on_claim.left(), on_claim.cluster.overlaps()), (0, 0));
}

#[tokio::test]
async fn failure_of_the_pod_is_reported_and_its_job_removed() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    on_claim.server.fails("a.csv", Fault::Refused);
    let error = on_claim.copy(&instance, None).await.unwrap_err();
    assert!(error.message.contains("a.csv") && !error.message.contains(TOKEN), "{error:?}");
    assert_eq!(on_claim.left(), 0);
    assert!(instance.find(TYPE, on_claim.config(), None).await.unwrap() == terrace_provider::Found::Absent);
    on_claim.copy(&instance, None).await.unwrap();
}

#[tokio::test]
async fn pod_that_ends_without_a_report_is_an_error() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    for (state, message, hint) in [
        (json!({"exitCode": 137, "reason": "OOMKilled"}), "needs more memory", "`memory`"),
        (json!({"exitCode": 2}), "ended with code 2 and no report", ""),
    ] {
        on_claim.cluster.set_container(json!({"state": {"terminated": state}}));
        let error = instance.create(TYPE, on_claim.config()).await.unwrap_err();
        assert!(error.message.contains(message), "{error:?}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{error:?}");
        assert_eq!(on_claim.left(), 0);
    }
}

#[tokio::test]
async fn impossible_copies_are_refused_with_a_hint() {
    let mut on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    let source = |claim: &str| json!({"pipeline": null, "source": "data/load", "claim": claim});
    for (more, message, hint) in [
        (json!({"destination": "../copies"}), "is a folder of this machine", "`s3://BUCKET/PREFIX`"),
        (json!({"claim": "results"}), "a pipeline names its own claim", "remove `claim`"),
        (source("Results"), "`claim` is `Results`", "`results/shop`"),
        (with(source("results"), json!({"source": "../x"})), "expected a folder below the project folder", ""),
    ] {
        let error = instance.plan(TYPE, None, with(on_claim.config(), more.clone())).await.unwrap_err();
        assert!(error.message.contains(message), "{more}: {error:?}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{more}: {error:?}");
    }
    let ty = instance.resource_type(TYPE).unwrap();
    let findings = async || {
        let planned = instance.plan(TYPE, None, on_claim.config()).await.unwrap().planned;
        instance.session.validate_remote(ty, &planned).unwrap().await
    };
    assert_eq!(findings().await[0].message, "the claim `results` of the namespace `shop` does not exist");
    on_claim.cluster.set_rights(false);
    let found = findings().await;
    assert!(found[0].message.contains("that copies need"), "{found:?}");
    assert!(!found[0].message.contains("pods/exec"), "{found:?}");
    on_claim.settings.values.insert("executor".to_owned(), "local".into());
    on_claim.settings.values.insert("image".to_owned(), Value::Null);
    let without = on_claim.instance().await;
    let config = with(on_claim.config(), source("results"));
    let error = without.plan(TYPE, None, config).await.unwrap_err();
    assert!(error.message.contains("needs `image`"), "{error:?}");
}

#[tokio::test]
async fn terminated_pod_reports_no_end() {
    let on_claim = OnClaim::new();
    let pod = tempfile::tempdir().unwrap();
    let request = json!({
        "project": "shop", "folders": ["data/load"], "include": [], "exclude": [], "destination": on_claim.server.url,
        "name": "weekly", "removes": false, "public": false, "checksum": false, "publicUrl": null, "mark": "o/s",
        "access": {
            "s3Endpoint": null, "region": "", "gcsEndpoint": null, "s3": null, "gcs": null, "web": TOKEN,
            "hasAuthorities": false,
        },
    });
    write(pod.path(), "sync.json", request.to_string().as_bytes());
    let paths = PodCopyPaths {
        mounted: pod.path().to_owned(),
        temporary: pod.path().join("tmp"),
        claim: on_claim.claim.path().to_owned(),
    };
    let cancel = CancellationToken::new();
    cancel.cancel();
    let mut out = Vec::new();
    assert_eq!(run(&paths, &mut out, &cancel).await.unwrap(), PodCopyExit::Terminated);
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("failed") && !text.contains("copied"), "{text}");
}

#[tokio::test]
async fn destroy_after_a_kill_ends_the_job() {
    let conditions: [fn(&ClusterStandIn) -> bool; 3] = [
        |cluster| !cluster.names("jobs").is_empty(),
        |cluster| !cluster.names("secrets").is_empty(),
        |cluster| !cluster.names("pods").is_empty(),
    ];
    for (number, is_killed) in conditions.into_iter().enumerate() {
        let on_claim = OnClaim::new();
        let instance = on_claim.instance().await;
        on_claim.kill_when(&instance, is_killed).await;
        let row = on_claim.recover(&instance).await;
        let found = instance.read(TYPE, &row).await.unwrap().unwrap();
        assert_eq!((&found.attributes, &found.attributes["files"]), (&row.attributes, &Value::Int(0)), "{number}");
        assert_eq!(on_claim.cluster.count("DELETE", ""), 0, "a plan may search, so that changes nothing");
        instance.delete(TYPE, &row).await.unwrap();
        assert_eq!((on_claim.left(), on_claim.server.files().len()), (0, 0), "{number}");
        assert!(instance.read(TYPE, &row).await.unwrap().is_none());
        assert_eq!(instance.find(TYPE, on_claim.config(), Some(Duration::ZERO)).await.unwrap(), Found::Absent);
    }
}

#[tokio::test]
async fn interrupted_copy_that_leaves_its_claim_ends_its_job() {
    let on_claim = OnClaim::new();
    on_claim.project.write("data/load/a.csv", "id\n2\n");
    let instance = on_claim.instance().await;
    on_claim.kill_when(&instance, |cluster| !cluster.names("pods").is_empty()).await;
    let row = on_claim.recover(&instance).await;
    let config = json!({"name": "weekly", "destination": on_claim.server.url, "source": "data/load"});
    instance.update(TYPE, &row, config).await.unwrap();
    assert_eq!(on_claim.left(), 0, "its pod would write over the copy");
    assert_eq!(on_claim.server.files()["/weekly/load/a.csv"], "id\n2\n");
}

#[tokio::test]
async fn destroy_ends_the_job_of_a_pipeline_without_its_former_claim() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    on_claim.kill_when(&instance, |cluster| !cluster.names("pods").is_empty()).await;
    let row = on_claim.recover(&instance).await;
    let mut settings = on_claim.settings.clone();
    settings.values.shift_remove("claim");
    let later = Instance::open(PipelinesProvider::new(), &settings, Limits::default(), "s@test:x.copy").await.unwrap();
    later.delete(TYPE, &row).await.unwrap();
    assert_eq!(on_claim.left(), 0);
}

#[tokio::test]
async fn destroy_of_an_interrupted_update_ends_the_job_first() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    let row = on_claim.copy(&instance, None).await.unwrap();
    let config = with(on_claim.config(), json!({"triggers": {"dataset": "2"}}));
    tokio::select! {
        ended = instance.update(TYPE, &row, config) => panic!("the copy has ended: {ended:?}"),
        () = on_claim.cluster.until(|cluster| !cluster.names("pods").is_empty()) => {}
    }
    on_claim.cluster.refuses("DELETE", "/jobs/", 403, "no");
    instance.delete(TYPE, &row).await.unwrap_err();
    assert!(on_claim.server.files().contains_key("/weekly/.terrace-sync.json"), "the Job would write it again");
    on_claim.cluster.heal();
    instance.delete(TYPE, &row).await.unwrap();
    assert_eq!(on_claim.left(), 0);
    assert!(!on_claim.server.files().contains_key("/weekly/.terrace-sync.json"));
}

#[tokio::test]
async fn apply_after_a_kill_goes_on_with_its_own_copy() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    on_claim.kill_when(&instance, |cluster| !cluster.names("pods").is_empty()).await;
    let row = on_claim.recover(&instance).await;
    let config = with(on_claim.config(), json!({"delete": true}));
    let planned = instance.plan(TYPE, Some(&row), config).await.unwrap();
    assert!(planned.planned["files"].is_unknown() && planned.data_loss.is_none(), "{planned:?}");
    // The Job ends before the next apply.
    let events = on_claim.work().await;
    on_claim.cluster.set_log(&events);
    let row = on_claim.recover(&instance).await;
    assert_eq!(row.attributes["files"], Value::Int(2));
    assert_eq!(instance.plan(TYPE, Some(&row), on_claim.config()).await.unwrap().planned["files"], Value::Int(2));
    // The same call again, as after a lost answer.
    let row = on_claim.copy(&instance, None).await.unwrap();
    instance.delete(TYPE, &row).await.unwrap();
    assert_eq!(on_claim.left(), 0);
}

#[tokio::test]
async fn job_of_another_caller_is_neither_followed_nor_deleted() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    let creating = instance.create(TYPE, on_claim.config());
    let replacing = async {
        on_claim.cluster.until(|cluster| !cluster.names("pods").is_empty()).await;
        let name = on_claim.cluster.names("jobs")[0].clone();
        on_claim.cluster.change("jobs", &name, |job| job["metadata"]["uid"] = "successor".into());
    };
    let (created, ()) = tokio::join!(creating, replacing);
    let error = created.unwrap_err();
    assert!(error.message.contains("was removed while it copied"), "{error:?}");
    assert_eq!(on_claim.job()["metadata"]["uid"], "successor");
    assert_eq!(on_claim.job()["metadata"]["deletionTimestamp"], Json::Null);
}

#[tokio::test]
async fn new_job_of_another_copy_is_not_taken() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    // From then on, the killed call only reads: a change in transfer would follow the removal.
    on_claim.kill_when(&instance, |cluster| !cluster.names("pods").is_empty()).await;
    let mut job = on_claim.job();
    let name = job["metadata"]["name"].as_str().unwrap().to_owned();
    on_claim.cluster.remove_jobs();
    // Another caller creates its Job, which waits for its start, right before this one.
    job["spec"]["suspend"] = true.into();
    job["metadata"]["annotations"]["terrace.dev/mark"] = "another/1".into();
    let path = format!("/apis/batch/v1/namespaces/shop/jobs/{name}");
    let other = job.clone();
    on_claim.cluster.interfere("POST", "/jobs", 0, move |objects| drop(objects.insert(path, other)));
    let error = instance.create(TYPE, on_claim.config()).await.unwrap_err();
    assert!(error.message.contains("exist"), "{error:?}");
    assert_eq!((on_claim.cluster.count("DELETE", ""), on_claim.left()), (0, 1));

    // That Job has another content.
    on_claim
        .cluster
        .change("jobs", &name, |job| job["metadata"]["annotations"]["terrace.dev/content"] = "other".into());
    let creating = on_claim.copy(&instance, None);
    let other = async {
        let reads = on_claim.cluster.count("GET", "/jobs/");
        on_claim.cluster.until(|cluster| cluster.count("GET", "/jobs/") > reads + 2).await;
        assert_eq!((on_claim.cluster.count("DELETE", ""), on_claim.left()), (0, 1));
        on_claim.cluster.remove_jobs();
    };
    let (created, ()) = tokio::join!(creating, other);
    assert_eq!(created.unwrap().attributes["files"], Value::Int(2));
}

#[tokio::test]
async fn copy_succeeds_if_the_answer_with_its_job_is_lost() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    on_claim.cluster.loses_answers("POST", "/jobs", 1);
    let row = on_claim.copy(&instance, None).await.unwrap();
    assert_eq!((&row.attributes["files"], on_claim.left()), (&Value::Int(2), 0));
}

#[tokio::test]
async fn secret_of_a_former_job_is_replaced() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    on_claim.cluster.interfere("POST", "/secrets", 0, |objects| {
        let job = objects.iter().find(|(path, _)| path.contains("/jobs/")).unwrap().1;
        let volumes = job["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
        let name = volumes.iter().find_map(|volume| volume["secret"]["secretName"].as_str()).unwrap().to_owned();
        let secret = json!({"metadata": {"name": name, "ownerReferences": [{"uid": "former"}]}, "data": {}});
        objects.insert(format!("/api/v1/namespaces/shop/secrets/{name}"), secret);
    });
    on_claim.copy(&instance, None).await.unwrap();
    assert_eq!(on_claim.left(), 0);
}

#[tokio::test]
async fn failed_read_of_the_log_is_not_a_missing_report() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    on_claim.cluster.set_container(json!({"state": {"waiting": {"reason": "ContainerCreating"}}}));
    on_claim.cluster.fails("GET", "/log", 400, 1);
    let creating = instance.create(TYPE, on_claim.config());
    let ending = async {
        let events = on_claim.work().await;
        on_claim.cluster.set_log(&events);
        on_claim.cluster.change_containers(&json!({"state": {"terminated": {"exitCode": 0}}}));
    };
    let (created, ()) = tokio::join!(creating, ending);
    assert_eq!(created.unwrap().attributes["files"], Value::Int(2));
}

#[tokio::test]
async fn line_without_an_event_is_reported_once() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    on_claim.cluster.set_log(&["no room left".into()]);
    let ending = async {
        on_claim.cluster.until(|cluster| cluster.count("GET", "/log") > 2).await;
        on_claim.cluster.change_containers(&json!({"state": {"terminated": {"exitCode": 3}}}));
    };
    let (created, ()) = tokio::join!(instance.create(TYPE, on_claim.config()), ending);
    let error = created.unwrap_err();
    assert_eq!(error.message.matches("no room left").count(), 1, "{error:?}");
}

#[tokio::test]
async fn unknown_claim_leaves_the_files_unknown() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    let folder = on_claim.project.path("data/load");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("here.csv"), "1").unwrap();
    let texts = [("name", "weekly"), ("destination", on_claim.server.url.as_str()), ("source", "data/load")];
    let mut config: Attributes = texts.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    config.insert("claim".to_owned(), Value::Unknown);
    let change = ProposedChange {
        address: "s@test:x.copy",
        prior: None,
        config: &config,
        must_replace: false,
        changed_write_only: &[],
    };
    let planned = instance.session.plan(instance.resource_type(TYPE).unwrap(), &change).await.unwrap().planned;
    assert!(planned["files"].is_unknown(), "{planned:?}");
}

#[tokio::test]
async fn pod_of_a_lost_node_does_not_hold_the_copy() {
    let on_claim = OnClaim::new();
    let copied = on_claim.copy_impatiently(async {
        on_claim.followed().await;
        on_claim.cluster.add_condition("FailureTarget", "DeadlineExceeded");
    });
    let error = copied.await.unwrap_err().to_string();
    assert!(error.contains("took longer than 24 hours; the node `node1` may be lost"), "{error}");
}

#[tokio::test]
async fn server_that_does_not_answer_ends_the_copy() {
    let on_claim = OnClaim::new();
    let copied = on_claim.copy_impatiently(async {
        on_claim.followed().await;
        on_claim.cluster.set_down(true);
    });
    let error = copied.await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Temporary);
    let error = error.to_string();
    assert!(error.contains("cannot be followed") && error.contains("may still run"), "{error}");
}

#[tokio::test]
async fn log_that_cannot_be_read_ends_the_copy() {
    let on_claim = OnClaim::new();
    on_claim.cluster.refuses("GET", "/log", 403, "no rights");
    let error = on_claim.copy_impatiently(async {}).await.unwrap_err().to_string();
    assert!(error.contains("cannot be read") && error.contains("no rights"), "{error}");
    assert_eq!(on_claim.left(), 0);
}

#[tokio::test]
async fn copy_whose_pods_are_lost_again_and_again_ends() {
    let on_claim = OnClaim::new();
    let instance = on_claim.instance().await;
    on_claim.cluster.set_container(json!({"state": {"terminated": {"exitCode": 143}}}));
    on_claim.cluster.replace_pods();
    let error = instance.create(TYPE, on_claim.config()).await.unwrap_err();
    assert!(error.message.contains("more than 10 of its pods were lost"), "{error:?}");
    assert_eq!(on_claim.left(), 0);
}
