//! Values of the chart `deploy/helm/pipeline`, and its objects next to those that the executor applies.

use crate::cluster::settings;
use crate::cluster_stand_in::ClusterStandIn;
use crate::harness::{Project, Recorder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_pipelines::database::kubernetes::ClusterDatabases;
use terrace_pipelines::database::{DataClaim, DatabaseSpec};
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions};
use terrace_pipelines::executor::kubernetes::chart::{ChartPipeline, schedule};
use terrace_pipelines::run::timed::NotTimed;
use terrace_pipelines::run::{RunRequest, Runner};
use terrace_pipelines::site::Plan;
use terrace_pipelines::site::kubernetes::chart::values as site_values;
use terrace_pipelines::site::kubernetes::{ClusterSites, SiteFiles, SiteSpec};
use terrace_provider::conformance::Instance;
use terrace_provider::wrap::Limits;
use terrace_provider::{Settings, Value};
use terrace_provider_pipelines::PipelinesProvider;
use terrace_provider_pipelines::settings::{runner, site_store};
use tokio_util::sync::CancellationToken;

const LOAD: &str = "\
load:
  pipeline:
  - run: noise
  - {run: dump_to_path, parameters: {out-path: data/load}}
";
/// A pipeline without data packages.
const COUNT: &str = "load: {pipeline: [{run: noise}]}\n";
const SECRET: &str = "open-sesame";
const DATABASE_IMAGE: &str = "r/postgres@sha256:";

/// A project whose pipelines run in a cluster with these options.
fn project(cluster: &ClusterStandIn, spec: &str, options: &[(&str, &str)]) -> (Project, Settings) {
    let project = Project::new(spec);
    let mut settings = settings(&project, cluster);
    settings.values.extend(options.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
    settings.values.insert("databaseImage".to_owned(), format!("{DATABASE_IMAGE}{}", "0".repeat(64)).into());
    let path = "/api/v1/namespaces/shop/persistentvolumeclaims/results";
    cluster.put(path, json!({"metadata": {"name": "results"}, "spec": {}, "status": {"phase": "Bound"}}));
    (project, settings)
}

/// A runner with these variables.
fn runner_with(settings: &Settings, variables: &[(&str, &str)]) -> Runner {
    let mut runner = runner(settings).unwrap();
    runner.variables.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    runner
}

fn chart_of(project: &Project, runner: &Runner, id: &str) -> Result<ChartPipeline, NotTimed> {
    let specs = project.specs();
    let pipeline = specs.pipeline(id).unwrap_or_else(|| panic!("{:?}", specs.problems));
    runner.chart_pipeline(&specs, pipeline, false)
}

/// The message and the hint of a refusal.
fn refusal(project: &Project, runner: &Runner, id: &str) -> String {
    let why = chart_of(project, runner, id).unwrap_err();
    format!("{}; {}", why.message, why.hint.unwrap_or_default())
}

#[tokio::test]
async fn values_do_not_depend_on_variables_of_this_machine() {
    let cluster = ClusterStandIn::start();
    let parameters = "{token: 'env://API_TOKEN', zone: 'env://TZ', engine: 'env://WAREHOUSE'}";
    let spec = LOAD.replace("- run: noise", &format!("- {{run: noise, parameters: {parameters}}}"));
    let (project, settings) = project(&cluster, &spec, &[("claim", "results/shop")]);
    let visible = |runner: Runner| Runner { visible_credentials: vec!["PGPASSWORD".to_owned()], ..runner };
    let warehouse = format!("postgresql+psycopg2://u:{SECRET}@db/x");
    let here = [
        ("API_TOKEN", SECRET),
        ("DPP_DB_ENGINE", "mysql://u:open-sesame@db/x"),
        ("DPP_KEY", SECRET),
        ("OTHER", SECRET),
        ("PGPASSWORD", SECRET),
        ("PYTHONPATH", "/home/ada/lib"),
        ("TZ", "Asia/Tokyo"),
        ("WAREHOUSE", &warehouse),
    ];
    let values_of = |runner: Runner| chart_of(&project, &visible(runner), "./load").unwrap().values().unwrap();
    let values = values_of(runner_with(&settings, &here));
    assert!(!values.to_string().contains(SECRET), "{values}");
    assert_eq!(values["pipeline"]["variables"], json!(["API_TOKEN", "PGPASSWORD", "TZ", "WAREHOUSE"]));
    assert_eq!(values["volume"], json!({"claim": "results"}));
    assert_eq!(values["pipeline"]["job"]["elsewhere"]["is_timed"], true);
    // Records change nothing, either.
    project.write(".terrace/pipelines/other", "x");
    let mut without = runner_with(&settings, &[]);
    without.variables.clear();
    assert_eq!(values_of(without), values);
    assert_eq!(cluster.count("", ""), 0, "the cluster is not called");
}

#[tokio::test]
async fn secrets_in_specs_and_files_are_refused() {
    let cluster = ClusterStandIn::start();
    let spec = COUNT.replace("{run: noise}", "{run: noise, parameters: {password: hunter2}}");
    let (project, settings) = project(&cluster, &spec, &[]);
    let runner = runner_with(&settings, &[("API_TOKEN", SECRET)]);
    let said = refusal(&project, &runner, "./load");
    assert!(said.starts_with("step 1 (`noise`) of `./load` has a secret in its parameters; read it from"), "{said}");
    project.write("pipeline-spec.yaml", &COUNT.replace("load: {", "load: {environment: {API_KEY: hunter2}, "));
    let said = refusal(&project, &runner, "./load");
    assert!(said.contains("the secret `API_KEY` in `environment`; remove it there"), "{said}");
    project.write("pipeline-spec.yaml", &COUNT.replace("load: {", "load: {dependencies: [], "));
    project.write("requirements.txt", "--index-url https://ada:open-up@pypi.example.com/simple\nx==1\n");
    let said = refusal(&project, &runner, "./load");
    assert!(said.contains("requirements of `./load` has a password"), "{said}");
    std::fs::remove_file(project.path("requirements.txt")).unwrap();
    project.write(
        "pipeline-spec.yaml",
        &COUNT.replace("{run: noise}", "{run: noise, parameters: {a: 'env://API_TOKEN'}}"),
    );
    project.write("notes/todo.txt", &format!("use {SECRET} here"));
    let said = refusal(&project, &runner, "./load");
    assert!(said.contains("the file `notes/todo.txt` contains the value of the variable `API_TOKEN`"), "{said}");
    assert!(!said.contains(SECRET));
}

#[tokio::test]
async fn results_of_other_pipelines_need_the_same_claim() {
    let cluster = ClusterStandIn::start();
    let spec = format!("{LOAD}report:\n  dependencies: [{{pipeline: ./load}}]\n  pipeline: [{{run: noise}}]\n");
    let (project, settings) = project(&cluster, &spec, &[]);
    let said = refusal(&project, &runner_with(&settings, &[]), "./report");
    assert!(said.contains("`./report` reads the results of `./load`") && said.contains("the same `claim`"), "{said}");
    let said = refusal(&project, &runner_with(&settings, &[]), "./load");
    assert!(said.contains("`./load` writes into `data/load` of this machine"), "{said}");
    let mut settings = settings;
    settings.values.insert("claim".to_owned(), "results/shop".into());
    // Results of runs on this machine do not count.
    project.write("data/load/datapackage.json", "{}");
    let chart = chart_of(&project, &runner_with(&settings, &[]), "./report").unwrap();
    let place = project.runner.project.join("data/load");
    let job = serde_json::to_value(&chart.job).unwrap();
    assert_eq!(job["elsewhere"]["claim"]["links"], json!([[place, "shop/data/load"]]));
    assert_eq!(job["dependencies"]["./load"], json!(place.join("datapackage.json")));
}

#[tokio::test]
async fn database_of_the_chart_needs_no_variable() {
    let cluster = ClusterStandIn::start();
    let spec = "load: {pipeline: [{run: noise}, {run: dump_to_sql, parameters: {tables: {}}}]}\n";
    let (project, settings) = project(&cluster, spec, &[]);
    let specs = project.specs();
    let chart = |variables: &[(&str, &str)], has_database| {
        runner_with(&settings, variables).chart_pipeline(&specs, specs.pipeline("./load").unwrap(), has_database)
    };
    let with = chart(&[("DPP_DB_ENGINE", "sqlite:///x.db")], true).unwrap();
    assert_eq!((with.variables.len(), with.job.environment.contains_key("DPP_DB_ENGINE")), (0, false));
    let without = chart(&[], false).unwrap();
    assert_eq!(without.variables, ["DPP_DB_ENGINE"]);
    // The address decides about the driver.
    assert_eq!(json!(without.job.elsewhere.recipe), json!(with.job.elsewhere.recipe));
    let why = chart(&[("DPP_DB_ENGINE", "sqlite:///x.db")], false).unwrap_err();
    assert!(why.message.contains("an SQLite file that pods cannot reach"), "{}", why.message);
}

#[test]
fn schedule_of_a_chart_is_checked() {
    assert_eq!(schedule("30 2 * * 7", "Europe/Rome"), Ok(json!({"cron": "30 2 * * 0", "timeZone": "Europe/Rome"})));
    assert!(schedule("30 2 * *", "UTC").unwrap_err().0.contains("has 4 fields"));
    assert!(schedule("30 2 * * *", "Europe/Rom").unwrap_err().0.contains("did you mean `Europe/Rome`?"));
    assert!(schedule("0 0 */2 * mon", "UTC").unwrap_err().1.unwrap().contains("write `*` for the other"));
}

/// Fields in which objects of the chart differ from those of the executor, with the reason.
mod differences {
    /// Labels of Helm and of its releases, on each object and on pods.
    pub(super) const HELM: [&str; 4] =
        ["helm.sh/chart", "app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/version"];
    /// Labels and annotations that lead to the records of a project, and those of an apply.
    pub(super) const RECORDS: [&str; 4] =
        ["terrace.dev/home", "terrace.dev/run", "terrace.dev/mark", "terrace.dev/ready"];
    /// Fields of the job that pods do not read.
    pub(super) const UNREAD: [&str; 6] = ["home", "options", "inputs", "results", "secrets", "databases"];
    /// Fields of a run that no terrace follows: another pod retries it, it has no deadline by the clock of terrace, and it waits on
    /// its claim for the end of another run.
    pub(super) const FOLLOWED: [&str; 4] = ["deadline", "is_timed", "abandoned", "lock"];
}

/// Renders the chart, and returns its objects.
fn render(values: &[&Json], arguments: &[&str]) -> Vec<Json> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("helm");
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/helm/pipeline");
    command.args(["template", "nightly", chart, "--namespace", "shop", "--kube-version", "1.31.0"]).args(arguments);
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(name, folder.path());
    }
    for (number, values) in values.iter().enumerate() {
        let path = folder.path().join(format!("{number}.json"));
        std::fs::write(&path, values.to_string()).unwrap();
        command.arg("--values").arg(path);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = text.split("---\n").filter(|document| document.contains("apiVersion:"));
    documents
        .map(|document| terrace_yaml::parse(Default::default(), document, &Default::default()).unwrap().to_json())
        .collect()
}

fn object<'a>(objects: &'a [Json], kind: &str, end: &str) -> &'a Json {
    let is_it = |object: &&Json| {
        object["kind"] == kind && object["metadata"]["name"].as_str().is_some_and(|name| name.ends_with(end))
    };
    objects.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {end}: {objects:?}"))
}

/// Removes empty fields, and keys of labels and annotations, at all depths.
fn without(value: &Json, keys: &[&str]) -> Json {
    match value {
        Json::Object(map) => {
            let kept = map.iter().filter(|(key, value)| !value.is_null() && !keys.contains(&key.as_str()));
            kept.map(|(key, value)| (key.clone(), without(value, keys))).collect()
        }
        Json::Array(items) => items.iter().map(|item| without(item, keys)).collect(),
        other => other.clone(),
    }
}

/// Parts of an object that both have: labels, annotations and all fields, under the same names.
fn common(object: &Json, renamed: &[(&str, &str)]) -> Json {
    let text = renamed.iter().fold(object.to_string(), |text, (from, to)| text.replace(from, to));
    let mut object: Json = serde_json::from_str(&text).unwrap();
    let metadata = &object["metadata"];
    let mut labels = metadata["labels"].clone();
    // Helm writes its own name. Pods have that of the executor.
    labels.as_object_mut().unwrap().remove("app.kubernetes.io/managed-by");
    object["metadata"] = json!({"name": metadata["name"], "labels": labels, "annotations": metadata["annotations"]});
    object.as_object_mut().unwrap().remove("status");
    let keys: Vec<&str> = differences::HELM.into_iter().chain(differences::RECORDS).collect();
    without(&object, &keys)
}

/// The job in a Secret.
fn job_in(secret: &Json, run: &str, more: &[&str]) -> Json {
    let text = STANDARD.decode(secret["data"]["job.json"].as_str().unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap().replace(run, "RUN");
    let mut job = without(&serde_json::from_str(&text).unwrap(), more);
    let elsewhere = job["elsewhere"].as_object_mut().unwrap();
    differences::UNREAD.iter().for_each(|field| drop(elsewhere.remove(*field)));
    job
}

fn name_of(object: &Json) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// Options of pods: none, some, all.
const OPTIONS: [&[(&str, &str)]; 3] =
    [&[], &[("memory", "1Gi")], &[("cpu", "500m"), ("memory", "1Gi"), ("disk", "2Gi"), ("claim", "results/shop")]];

/// A spec for options with and without a claim.
fn spec_for(options: &[(&str, &str)]) -> &'static str {
    if options.iter().any(|(name, _)| *name == "claim") { LOAD } else { COUNT }
}

#[tokio::test]
#[ignore = "it needs helm: `tests/deploy` runs it"]
async fn rendered_schedule_is_the_cron_job_of_the_executor() {
    for (options, policies) in OPTIONS.into_iter().zip([
        json!({}),
        json!({"overlap": "replace", "catchUp": "none", "enabled": false}),
        json!({"overlap": "allow", "catchUp": "last"}),
    ]) {
        let cluster = ClusterStandIn::start();
        let (project, settings) = project(&cluster, spec_for(options), options);
        let instance =
            Instance::open(PipelinesProvider::new(), &settings, Limits::default(), "s@test:x.load").await.unwrap();
        let mut config =
            json!({"name": "nightly", "pipeline": "./load", "cron": "30 2 * * 7", "timeZone": "Europe/Rome"});
        config.as_object_mut().unwrap().extend(policies.as_object().unwrap().clone());
        instance.create("pipelines_schedule", config).await.unwrap();
        let applied = cluster.object("cronjobs", "terrace-nightly").unwrap();
        let mut times = schedule("30 2 * * 7", "Europe/Rome").unwrap();
        times.as_object_mut().unwrap().extend(policies.as_object().unwrap().clone());
        let values = chart_of(&project, &runner(&settings).unwrap(), "./load").unwrap().values().unwrap();
        let objects = render(&[&values, &json!({"schedule": times, "worker": {"run": "never"}})], &[]);
        let kinds: Vec<&Json> = objects.iter().map(|object| &object["kind"]).collect();
        assert_eq!(kinds, ["NetworkPolicy", "Secret", "Secret", "CronJob"]);
        let files = object(&objects, "Secret", "-files");
        let secret = name_of(files).trim_end_matches("-files");
        let applied_files = cluster.names("secrets").into_iter().find(|name| name.ends_with("-files")).unwrap();
        let applied_secret = applied_files.trim_end_matches("-files");
        let rendered = common(object(&objects, "CronJob", "terrace-nightly"), &[(secret, "SECRET")]);
        assert_eq!(rendered, common(&applied, &[(applied_secret, "SECRET")]), "{options:?}");
        let applied_files = cluster.object("secrets", &applied_files).unwrap();
        assert_eq!(common(files, &[(secret, "SECRET")]), common(&applied_files, &[(applied_secret, "SECRET")]));
        let run = |secret: &Json| {
            let text = STANDARD.decode(secret["data"]["job.json"].as_str().unwrap()).unwrap();
            serde_json::from_slice::<Json>(&text).unwrap()["run"].as_str().unwrap().to_owned()
        };
        let (rendered, applied) =
            (object(&objects, "Secret", secret), cluster.object("secrets", applied_secret).unwrap());
        assert_eq!(job_in(rendered, &run(rendered), &[]), job_in(&applied, &run(&applied), &[]), "{options:?}");
    }
}

#[tokio::test]
#[ignore = "it needs helm: `tests/deploy` runs it"]
async fn rendered_run_is_the_job_of_the_executor() {
    for (options, timeout) in OPTIONS.into_iter().zip([None, Some(900), Some(60)]) {
        let cluster = ClusterStandIn::start();
        let (project, settings) = project(&cluster, spec_for(options), options);
        let runner = runner(&settings).unwrap();
        let values = chart_of(&project, &runner, "./load").unwrap().values().unwrap();
        let captured = Arc::new(Mutex::new(Vec::new()));
        let (kept, cancel) = (Arc::clone(&captured), CancellationToken::new());
        let end = cancel.clone();
        // The Job is complete when it is resumed.
        cluster.interfere("PATCH", "/jobs/", 0, move |objects| {
            *kept.lock().unwrap() = objects.values().cloned().collect();
            end.cancel();
        });
        let specs = project.specs();
        let request = RunRequest { timeout: timeout.map(Duration::from_secs), ..RunRequest::default() };
        let record =
            runner.run(&specs, specs.pipeline("./load").unwrap(), request, &Recorder::default(), &cancel).await;
        let run = record.unwrap().run;
        let applied = captured.lock().unwrap().clone();
        let objects = render(&[&values, &json!({"worker": {"timeoutSeconds": timeout.unwrap_or(0)}})], &[]);
        let files = object(&objects, "Secret", "-files");
        let secret = name_of(files).trim_end_matches("-files");
        let job = object(&objects, "Job", "");
        let (name, applied_name) = (name_of(job), format!("terrace-{run}"));
        let mut rendered = common(job, &[(name, "JOB"), (secret, "SECRET")]);
        let mut expected = common(object(&applied, "Job", &run), &[(applied_name.as_str(), "SECRET")]);
        expected["metadata"]["name"] = "JOB".into();
        for object in [&mut rendered, &mut expected] {
            let spec = object["spec"].as_object_mut().unwrap();
            // terrace resumes, retries and removes its Job. Without terrace, the Job retries, and stays.
            for field in ["suspend", "backoffLimit", "ttlSecondsAfterFinished"] {
                spec.remove(field);
            }
            spec["podFailurePolicy"]["rules"].as_array_mut().unwrap().truncate(2);
            // terrace counts from the request.
            let deadline = spec.remove("activeDeadlineSeconds").and_then(|it| it.as_u64());
            let all = timeout.map(|timeout| timeout + 5 + 600 + 3600);
            assert!(deadline == all || deadline.map(|it| it + 1) == all, "{deadline:?} {all:?}");
            // The pod of a Job without terrace takes its id from the Job, and so do Jobs of schedules.
            let is_other = |item: &Json| item["name"] != "run";
            let pod = &mut spec["template"]["spec"];
            pod["volumes"].as_array_mut().unwrap().retain(is_other);
            pod["containers"][0]["volumeMounts"].as_array_mut().unwrap().retain(is_other);
            // Only the values have the digest: terrace has a record.
            for place in ["/metadata/annotations", "/spec/template/metadata/annotations"] {
                object.pointer_mut(place).unwrap().as_object_mut().unwrap().remove("terrace.dev/inputs");
            }
        }
        assert_eq!(rendered, expected, "{options:?}");
        let applied_files = object(&applied, "Secret", "-files");
        assert_eq!(files["data"], applied_files["data"]);
        let chart_run = values["pipeline"]["job"]["run"].as_str().unwrap();
        let compared = |secret: &Json, run: &str| {
            let mut job = job_in(secret, run, &differences::FOLLOWED);
            let limit = job.as_object_mut().unwrap().remove("timeout").and_then(|limit| limit["secs"].as_u64());
            assert!(limit == timeout || limit.map(|it| it + 1) == timeout, "{limit:?}");
            job
        };
        assert_eq!(
            compared(object(&objects, "Secret", secret), chart_run),
            compared(object(&applied, "Secret", &run), &run)
        );
    }
}

#[tokio::test]
#[ignore = "it needs helm: `tests/deploy` runs it"]
async fn rendered_database_is_that_of_the_executor() {
    let claim = |class: Option<&str>| DataClaim { size: "2Gi".to_owned(), storage_class: class.map(str::to_owned) };
    for claim in [None, Some(claim(None)), Some(claim(Some("fast")))] {
        let cluster = ClusterStandIn::start();
        let project = Project::new(COUNT);
        let settings = settings(&project, &cluster);
        let image = format!("{DATABASE_IMAGE}{}", "0".repeat(64));
        let access = ["kubeconfig", "context"].iter().filter_map(|name| settings.values.get_key_value(*name));
        let values = access.map(|(name, value)| (name.clone(), value.clone())).collect();
        let databases =
            ClusterDatabases::open(&Settings { values, ..settings.clone() }, "shop", Some(image.clone())).unwrap();
        let spec = DatabaseSpec { name: "nightly".to_owned(), claim: claim.clone(), ..DatabaseSpec::default() };
        databases.create(&spec, &CancellationToken::new()).await.unwrap();
        let class = claim.as_ref().and_then(|claim| claim.storage_class.clone()).unwrap_or_default();
        let database = json!({"enabled": true, "image": image, "persistent": claim.is_some(), "size": "2Gi", "storageClass": class});
        let objects = render(&[&json!({"database": database})], &[]);
        let kinds = [
            ("StatefulSet", "statefulsets"),
            ("Service", "services"),
            ("Secret", "secrets"),
            ("PersistentVolumeClaim", "persistentvolumeclaims"),
        ];
        for (kind, plural) in kinds {
            let name = "terrace-db-nightly";
            let Some(applied) = cluster.object(plural, name) else {
                assert!(kind == "PersistentVolumeClaim" && claim.is_none());
                continue;
            };
            let rendered = object(&objects, kind, name);
            let [rendered, applied] = [rendered, &applied].map(|object| {
                let mut object = common(object, &[]);
                // The record of the database, and Helm's order to keep an object.
                object["metadata"].as_object_mut().unwrap().remove("annotations");
                if kind == "StatefulSet" {
                    object["spec"]["template"]["metadata"].as_object_mut().unwrap().remove("annotations");
                    let variables = object["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap();
                    // Another value after a change of the password: the executor knows the uid of the Secret.
                    variables.iter_mut().filter(|it| it["name"] == "SECRET").for_each(|it| it["value"] = "".into());
                }
                if kind == "Secret" {
                    let value = |key: &str| {
                        String::from_utf8(STANDARD.decode(object["data"][key].as_str().unwrap()).unwrap()).unwrap()
                    };
                    let (password, url) = (value("password"), value("DPP_DB_ENGINE"));
                    assert!(password.len() >= 32 && url.contains(&format!(":{password}@")), "{url}");
                    object["data"] = json!({"DPP_DB_ENGINE": url.replace(&password, "PASSWORD")});
                    // The password of a release changes by an edit and another `passwordVersion`.
                    object.as_object_mut().unwrap().remove("immutable");
                }
                object
            });
            assert_eq!(rendered, applied, "{claim:?}");
        }
        assert_eq!(objects.len(), 4 + usize::from(claim.is_some()), "and a policy");
    }
}

#[tokio::test]
#[ignore = "it needs helm: `tests/deploy` runs it"]
async fn rendered_site_is_that_of_the_executor() {
    let host = json!({"host": "shop.example.com"});
    let ingress = json!({"host": "shop.example.com", "ingressClass": "nginx", "tlsSecret": "shop-tls"});
    let gateway = json!({"host": "shop.example.com", "gateway": "infra/public"});
    let limits = json!({"cpu": "500m", "memory": "1Gi", "disk": "2Gi", "errorDocument": "wrong.html", "cacheControl": "max-age=60"});
    for (number, values) in [json!({}), host, ingress, gateway, limits].into_iter().enumerate() {
        let cluster = ClusterStandIn::start();
        let (project, settings) = project(&cluster, LOAD, &[("claim", "results/shop")]);
        if number > 0 {
            project.write("public/index.html", "<h1>here</h1>");
            project.write("public/a & b/<c>.txt", "far down");
        }
        let text = |name: &str| values[name].as_str().map(str::to_owned);
        let mut options = ExecutionOptions::default();
        options.set(ExecutionOption::Image, format!("r/i@sha256:{}", "0".repeat(64)));
        options.set(ExecutionOption::Claim, "results/shop");
        for option in [ExecutionOption::Cpu, ExecutionOption::Memory, ExecutionOption::Disk] {
            text(option.name()).into_iter().for_each(|amount| options.set(option, amount));
        }
        let named = Plan::named("nightly");
        let plan = Plan {
            error_document: text("errorDocument").unwrap_or(named.error_document.clone()),
            cache_control: text("cacheControl").unwrap_or(named.cache_control.clone()),
            ..named
        };
        let spec = SiteSpec {
            plan,
            options,
            host: text("host"),
            ingress_class: text("ingressClass"),
            tls_secret: text("tlsSecret"),
            gateway: text("gateway"),
        };
        let (tree, within) = site_store(&settings).overlay(&spec.plan).unwrap();
        let files = SiteFiles { tree, claim_folder: Some(std::path::Path::new("shop").join(within)) };
        let access = ["kubeconfig", "context"].iter().filter_map(|name| settings.values.get_key_value(*name));
        let access = access.map(|(name, value)| (name.clone(), value.clone())).collect();
        let sites = ClusterSites::open(&Settings { values: access, ..settings.clone() }, "shop").unwrap();
        sites.create(&spec, &files, "operation/step", &CancellationToken::new()).await.unwrap();

        let mut site = site_values(&spec, &files).unwrap();
        if number == 0 {
            // Without static files, the defaults are enough.
            assert_eq!(site["overlay"]["pages"], json!({}));
            site.as_object_mut().unwrap().remove("overlay");
        }
        site.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
        site["image"] = spec.options.get(ExecutionOption::Image).into();
        let objects = render(&[&json!({"site": site, "volume": {"claim": "results"}})], &[]);
        let applied = cluster.object("deployments", "terrace-site-nightly").unwrap();
        let secret_of = |deployment: &Json| {
            let name = &deployment["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"];
            name.as_str().unwrap().to_owned()
        };
        let rendered_secret = secret_of(object(&objects, "Deployment", "terrace-site-nightly"));
        let applied_secret = secret_of(&applied);
        let mut kinds =
            vec![("Deployment", applied), ("Service", cluster.object("services", "terrace-site-nightly").unwrap())];
        kinds.push(("Secret", cluster.object("secrets", &applied_secret).unwrap()));
        let routes = [("Ingress", "ingresses"), ("HTTPRoute", "httproutes")];
        kinds.extend(
            routes.iter().filter_map(|(kind, plural)| Some((*kind, cluster.object(plural, "terrace-site-nightly")?))),
        );
        assert_eq!(kinds.len(), 3 + usize::from(spec.host.is_some()));
        for (kind, applied) in &kinds {
            let end = if *kind == "Secret" { rendered_secret.as_str() } else { "terrace-site-nightly" };
            let compared = |found: &Json, secret: &str| {
                let mut found = common(found, &[(secret, "SECRET")]);
                // The record of the site, and the digest for other pods: the chart replaces pods by the name of the Secret.
                found["metadata"].as_object_mut().unwrap().remove("annotations");
                if let Some(pod) = found.pointer_mut("/spec/template/metadata").and_then(Json::as_object_mut) {
                    pod.remove("annotations");
                }
                if let Some(record) = found.pointer_mut("/data/site.json") {
                    *record = serde_json::from_slice(&STANDARD.decode(record.as_str().unwrap()).unwrap()).unwrap();
                }
                found
            };
            assert_eq!(
                compared(object(&objects, kind, end), &rendered_secret),
                compared(applied, &applied_secret),
                "{kind} {values}"
            );
        }
        assert_eq!(objects.len(), kinds.len() + 1, "and a policy");
    }
}
