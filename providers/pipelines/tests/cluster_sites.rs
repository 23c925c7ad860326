//! Sites in a cluster: their objects, content on this machine and on a claim, drift, interruptions, and servers that do not start.

use crate::cluster::settings;
use crate::cluster_stand_in::ClusterStandIn;
use crate::harness::Project;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use std::time::Duration;
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions};
use terrace_pipelines::site::kubernetes::{ClusterSites, SiteFiles, SiteSpec};
use terrace_pipelines::site::{Plan, SiteStore};
use terrace_provider::conformance::Instance;
use terrace_provider::wrap::Limits;
use terrace_provider::{Attempt, ErrorKind, Finding, Found, Private, ProviderError, Recorded, Settings, Value};
use terrace_provider_pipelines::PipelinesProvider;
use tokio_util::sync::CancellationToken;

const TYPE: &str = "pipelines_static_site";
const OBJECT: &str = "terrace-site-shop";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";
const KINDS: [&str; 5] = ["deployments", "secrets", "services", "ingresses", "httproutes"];

fn project(cluster: &ClusterStandIn) -> (Project, Settings) {
    let project = Project::new("load: {pipeline: [{run: noise}]}\n");
    project.write("data/index.html", "<h1>one</h1>");
    project.write("data/list/index.html", "<h1>list</h1>");
    project.write("public/404.html", "<h1>not here</h1>");
    let settings = settings(&project, cluster);
    (project, settings)
}

async fn instance(settings: &Settings) -> Instance<PipelinesProvider> {
    Instance::open(PipelinesProvider::new(), settings, Limits::default(), "s@test:x.shop").await.unwrap()
}

/// Sites of the cluster of these settings, whose servers have no time to start.
fn impatient(settings: &Settings) -> ClusterSites {
    let values = ["kubeconfig", "context"].iter().filter_map(|name| settings.values.get_key_value(*name));
    let values = values.map(|(name, value)| (name.clone(), value.clone())).collect();
    ClusterSites::open(&Settings { values, ..settings.clone() }, "shop").unwrap().with_start_time(Duration::ZERO)
}

/// A project whose site the call `o/1` has created.
async fn created(cluster: &ClusterStandIn) -> (Project, ClusterSites, CancellationToken) {
    let (project, settings) = project(cluster);
    let (sites, cancel) = (impatient(&settings), CancellationToken::new());
    sites.create(&spec(), &files(&project), "o/1", &cancel).await.unwrap();
    (project, sites, cancel)
}

fn spec() -> SiteSpec {
    let mut options = ExecutionOptions::default();
    options.set(ExecutionOption::Image, format!("r/i@sha256:{}", "0".repeat(64)));
    SiteSpec { plan: Plan::named("shop"), options, ..SiteSpec::default() }
}

fn files(project: &Project) -> SiteFiles {
    let store = SiteStore::new(project.folder.path().canonicalize().unwrap(), "http://127.0.0.1/");
    SiteFiles { tree: store.tree(&spec().plan).unwrap().unwrap(), claim_folder: None }
}

fn count(cluster: &ClusterStandIn) -> [usize; 5] {
    KINDS.map(|kind| cluster.names(kind).len())
}

fn secret_name(cluster: &ClusterStandIn) -> String {
    let deployment = cluster.object("deployments", OBJECT).unwrap();
    deployment["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"].as_str().unwrap().to_owned()
}

/// The record for the pod.
fn record(cluster: &ClusterStandIn) -> Json {
    let secret = cluster.object("secrets", &secret_name(cluster)).unwrap();
    serde_json::from_slice(&STANDARD.decode(secret["data"]["site.json"].as_str().unwrap()).unwrap()).unwrap()
}

async fn findings(instance: &Instance<PipelinesProvider>, config: Json) -> Vec<Finding> {
    let planned = instance.plan(TYPE, None, config).await.unwrap().planned;
    instance.session.validate_remote(instance.resource_type(TYPE).unwrap(), &planned).unwrap().await
}

async fn refused(instance: &Instance<PipelinesProvider>, config: Json) -> ProviderError {
    instance.plan(TYPE, None, config).await.unwrap_err()
}

#[tokio::test]
async fn site_in_a_cluster_is_a_deployment_with_a_service() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let config = json!({"name": "shop"});
    let row = instance.create(TYPE, config.clone()).await.unwrap();
    assert_eq!(count(&cluster), [1, 1, 1, 0, 0]);
    assert_eq!(row.attributes["url"].revealed(), Value::from("http://terrace-site-shop.shop.svc/"));
    assert_eq!((&row.attributes["files"], &row.attributes["status"]), (&Value::Int(3), &"running".into()));
    let before = secret_name(&cluster);
    let secret = cluster.object("secrets", &before).unwrap();
    assert_eq!(
        (&secret["immutable"], &secret["metadata"]["ownerReferences"][0]["kind"]),
        (&json!(true), &json!("Deployment"))
    );
    assert_eq!(record(&cluster)["files"].as_object().unwrap().len(), 3);
    assert_eq!(instance.plan(TYPE, Some(&row), config.clone()).await.unwrap().planned, row.attributes);
    assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes, row.attributes);
    let found = instance.session.import(instance.resource_type(TYPE).unwrap(), "shop").await.unwrap().unwrap();
    assert_eq!(found.attributes["contentHash"], row.attributes["contentHash"]);

    project.write("data/index.html", "<h1>two</h1>");
    let planned = instance.plan(TYPE, Some(&row), config.clone()).await.unwrap().planned;
    assert_ne!(planned["contentHash"], row.attributes["contentHash"]);
    let row = instance.update(TYPE, &row, config.clone()).await.unwrap();
    let after = secret_name(&cluster);
    assert_ne!(before, after, "another content is another Secret, so that the pods are replaced");
    assert_eq!(cluster.names("secrets"), [after], "the former Secret goes after the rollout");
    assert_eq!(instance.plan(TYPE, Some(&row), config).await.unwrap().planned, row.attributes);
    instance.delete(TYPE, &row).await.unwrap();
    assert_eq!(count(&cluster), [0; 5]);
    assert!(instance.read(TYPE, &row).await.unwrap().is_none());
}

#[tokio::test]
async fn host_is_led_to_the_site_by_an_ingress_or_a_gateway() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let config = json!({"name": "shop", "host": "shop.example.com", "ingressClass": "nginx", "tlsSecret": "shop-tls"});
    let row = instance.create(TYPE, config).await.unwrap();
    assert_eq!(
        (count(&cluster), &row.attributes["url"].revealed()),
        ([1, 1, 1, 1, 0], &"https://shop.example.com/".into())
    );
    let ingress = cluster.object("ingresses", OBJECT).unwrap();
    assert_eq!(
        (&ingress["spec"]["ingressClassName"], &ingress["spec"]["tls"][0]["secretName"]),
        (&json!("nginx"), &json!("shop-tls"))
    );
    let config = json!({"name": "shop", "host": "shop.example.com", "gateway": "infra/public"});
    let row = instance.update(TYPE, &row, config.clone()).await.unwrap();
    assert_eq!(count(&cluster), [1, 1, 1, 0, 1], "the Ingress goes");
    let route = cluster.object("httproutes", OBJECT).unwrap();
    assert_eq!(
        (&route["spec"]["parentRefs"][0]["namespace"], &route["spec"]["hostnames"][0]),
        (&json!("infra"), &json!("shop.example.com"))
    );
    assert_eq!(instance.plan(TYPE, Some(&row), config).await.unwrap().planned, row.attributes);
    let row = instance.update(TYPE, &row, json!({"name": "shop"})).await.unwrap();
    assert_eq!(count(&cluster), [1, 1, 1, 0, 0], "without a host, no route is left");
    instance.delete(TYPE, &row).await.unwrap();
    assert_eq!(count(&cluster), [0; 5]);
}

#[tokio::test]
async fn site_with_a_claim_shows_its_content_from_there() {
    let cluster = ClusterStandIn::start();
    let (project, mut settings) = project(&cluster);
    settings.values.insert("claim".to_owned(), "results/eu".into());
    settings.values.insert("cpu".to_owned(), "100m".into());
    let instance = instance(&settings).await;
    let config = json!({"name": "shop", "contentDir": "data/shop"});
    let row = instance.create(TYPE, config.clone()).await.unwrap();
    assert_eq!(
        (&row.attributes["claim"], &row.attributes["files"]),
        (&"results/eu".into(), &Value::Int(1)),
        "the overlay"
    );
    assert_eq!(record(&cluster)["claimFolder"], "eu/data/shop");
    let pod = &cluster.object("deployments", OBJECT).unwrap()["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][2]["persistentVolumeClaim"]["claimName"], "results");
    assert_eq!(pod["containers"][0]["volumeMounts"][2]["readOnly"], true);
    assert_eq!(pod["containers"][0]["resources"]["limits"]["cpu"], "100m");
    project.write("data/shop/index.html", "not shown");
    assert_eq!(instance.plan(TYPE, Some(&row), config.clone()).await.unwrap().planned, row.attributes);
    std::fs::remove_dir_all(project.path("public")).unwrap();
    let planned = instance.plan(TYPE, Some(&row), config.clone()).await.unwrap().planned;
    assert!(["files", "bytes", "contentHash"].iter().all(|name| !planned.contains_key(*name)), "{planned:?}");
    let row = instance.update(TYPE, &row, config.clone()).await.unwrap();
    assert_eq!(instance.plan(TYPE, Some(&row), config.clone()).await.unwrap().planned, row.attributes);
    let messages = |found: Vec<Finding>| found.into_iter().map(|found| found.message).collect::<Vec<_>>();
    assert_eq!(
        messages(findings(&instance, config).await),
        ["the claim `results` of the namespace `shop` does not exist"]
    );
}

#[tokio::test]
async fn changed_or_removed_object_is_drift() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let config = json!({"name": "shop", "host": "shop.example.com", "memory": "64Mi"});
    let mut row = instance.create(TYPE, config.clone()).await.unwrap();
    let changes: [&dyn Fn(&ClusterStandIn); 8] = [
        &|cluster| cluster.remove("secrets", &secret_name(cluster)),
        &|cluster| {
            cluster.change("secrets", &secret_name(cluster), |secret| secret["data"]["site.json"] = "e30=".into());
        },
        &|cluster| cluster.remove("services", OBJECT),
        &|cluster| cluster.remove("ingresses", OBJECT),
        &|cluster| cluster.change("services", OBJECT, |service| service["spec"]["ports"][0]["port"] = 1.into()),
        &|cluster| cluster.change("ingresses", OBJECT, |it| it["spec"]["rules"][0]["host"] = "other".into()),
        &|cluster| cluster.change("deployments", OBJECT, |it| it["spec"]["replicas"] = 0.into()),
        &|cluster| {
            cluster
                .change("services", OBJECT, |service| service["metadata"]["ownerReferences"][0]["uid"] = "old".into());
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        change(&cluster);
        let found = instance.read(TYPE, &row).await.unwrap().unwrap();
        assert_eq!(found.attributes["status"], Value::from("changed"), "{number}");
        row.attributes.insert("status".to_owned(), found.attributes["status"].clone());
        let planned = instance.plan(TYPE, Some(&row), config.clone()).await.unwrap();
        assert_eq!(planned.planned["status"], Value::from("running"), "{number}");
        assert!(planned.because[0].contains("changed or removed"), "{:?}", planned.because);
        row = instance.update(TYPE, &row, config.clone()).await.unwrap();
        assert_eq!(count(&cluster), [1, 1, 1, 1, 0], "{number}");
        assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes, row.attributes, "{number}");
    }
    // A field of another manager, and a quantity as a server writes it.
    cluster.change("deployments", OBJECT, |it| {
        it["metadata"]["annotations"]["note"] = "kept".into();
        it["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = "67108864".into();
    });
    assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes, row.attributes);
    cluster.remove("deployments", OBJECT);
    assert!(instance.read(TYPE, &row).await.unwrap().is_none(), "a new one is created");
}

#[tokio::test]
async fn interrupted_creation_goes_on() {
    for kind in ["/secrets", "/services/", "/ingresses/"] {
        let cluster = ClusterStandIn::start();
        let (project, settings) = project(&cluster);
        let sites = impatient(&settings);
        let spec = SiteSpec { host: Some("shop.example.com".to_owned()), ..spec() };
        // Nothing can be cleaned up, as after a kill.
        cluster.refuses(if kind == "/secrets" { "POST" } else { "PATCH" }, kind, 403, "no");
        cluster.refuses("DELETE", OBJECT, 403, "no");
        let create = async || {
            let cancel = CancellationToken::new();
            sites.create(&spec, &files(&project), "operation/step", &cancel).await
        };
        create().await.unwrap_err();
        let deployment = cluster.object("deployments", OBJECT).unwrap();
        assert_eq!(deployment["spec"]["replicas"], 0, "{kind}");
        assert!(!sites.find("shop").await.unwrap().unwrap().is_running);
        cluster.heal();
        assert!(create().await.unwrap().is_running);
        assert_eq!(
            (count(&cluster), sites.find("shop").await.unwrap().unwrap().is_running),
            ([1, 1, 1, 1, 0], true),
            "{kind}"
        );
        let other = sites.create(&spec, &files(&project), "another/step", &CancellationToken::new()).await.unwrap_err();
        assert!(matches!(other.kind, ErrorKind::AlreadyExists { import_id: Some(id) } if id == "shop"));
    }
}

#[tokio::test]
async fn interrupted_update_leaves_no_secret() {
    let cluster = ClusterStandIn::start();
    let (project, sites, cancel) = created(&cluster).await;
    // The next content is brought to the cluster, but its rollout does not end.
    project.write("data/index.html", "<h1>two</h1>");
    cluster.hold_servers();
    sites.change(&spec(), &files(&project), "o/2", None, &cancel).await.unwrap_err();
    assert!(!sites.find("shop").await.unwrap().unwrap().is_running, "the next plan repeats it");
    assert_eq!(count(&cluster), [1, 2, 1, 0, 0], "the old pods need the former Secret");
    cluster.release_servers();
    project.write("data/index.html", "<h1>three</h1>");
    sites.change(&spec(), &files(&project), "o/3", None, &cancel).await.unwrap();
    assert_eq!(cluster.names("secrets"), [secret_name(&cluster)]);
    assert!(sites.find("shop").await.unwrap().unwrap().is_running);
}

#[tokio::test]
async fn object_left_by_an_interrupted_update_is_drift() {
    let cluster = ClusterStandIn::start();
    let (project, sites, cancel) = created(&cluster).await;
    // The next content is announced, and nothing else of it happens.
    project.write("data/index.html", "<h1>two</h1>");
    cluster.refuses("POST", "/secrets", 403, "no");
    sites.change(&spec(), &files(&project), "o/2", None, &cancel).await.unwrap_err();
    cluster.heal();
    assert!(!sites.find("shop").await.unwrap().unwrap().is_running, "the next plan removes the Secret");
    sites.change(&spec(), &files(&project), "o/3", None, &cancel).await.unwrap();
    assert!(sites.find("shop").await.unwrap().unwrap().is_running);
}

#[tokio::test]
async fn successor_of_a_deployment_is_not_changed() {
    let cluster = ClusterStandIn::start();
    let (project, sites, cancel) = created(&cluster).await;
    let before = cluster.object("deployments", OBJECT).unwrap()["metadata"]["annotations"].clone();
    cluster.interfere("PATCH", "/deployments/", 0, |objects| {
        let found = objects.iter_mut().find(|(path, _)| path.contains("/deployments/"));
        found.unwrap().1["metadata"]["uid"] = "successor".into();
    });
    project.write("data/index.html", "<h1>two</h1>");
    sites.change(&spec(), &files(&project), "o/2", None, &cancel).await.unwrap_err();
    assert_eq!(cluster.object("deployments", OBJECT).unwrap()["metadata"]["annotations"], before);
}

#[tokio::test]
async fn site_of_another_project_with_the_same_name_is_left_alone() {
    let cluster = ClusterStandIn::start();
    let (_first, first_settings) = project(&cluster);
    let (second, second_settings) = project(&cluster);
    second.write("data/index.html", "<h1>theirs</h1>");
    let (first, second) = (instance(&first_settings).await, instance(&second_settings).await);
    let config = json!({"name": "shop"});
    let row = first.create(TYPE, config.clone()).await.unwrap();
    for kind in KINDS {
        cluster.names(kind).iter().for_each(|name| cluster.remove(kind, name));
    }
    let theirs = second.create(TYPE, config.clone()).await.unwrap();
    let before =
        KINDS.map(|kind| cluster.names(kind).iter().map(|name| cluster.object(kind, name)).collect::<Vec<_>>());
    assert!(first.read(TYPE, &row).await.unwrap().is_none(), "its own site is gone");
    let error = first.update(TYPE, &row, json!({"name": "shop", "cacheControl": "no-store"})).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::NotFound), "{error:?}");
    first.delete(TYPE, &row).await.unwrap();
    let attempt = Attempt {
        address: "s@test:x.shop".to_owned(),
        identity: row.identity.clone(),
        planned: row.attributes.clone(),
        private: row.private.clone(),
        prior: Some(row.clone()),
        lost_call: None,
    };
    let found = first.session.find(first.resource_type(TYPE).unwrap(), &attempt).await.unwrap();
    assert_eq!(found, Found::Absent);
    let after = KINDS.map(|kind| cluster.names(kind).iter().map(|name| cluster.object(kind, name)).collect::<Vec<_>>());
    assert_eq!(after, before);
    // A row of an older version has no uid.
    let old = Recorded { private: Private::default(), ..theirs };
    assert!(second.read(TYPE, &old).await.unwrap().is_some());
    second.delete(TYPE, &old).await.unwrap();
    assert_eq!(count(&cluster), [0; 5]);
}

#[tokio::test]
async fn access_mode_of_the_claim_decides_the_rollout() {
    for (mode, strategy, message) in [
        ("ReadWriteMany", "RollingUpdate", None),
        ("ReadWriteOnce", "RollingUpdate", Some("can be used on one node at a time")),
        ("ReadWriteOncePod", "Recreate", Some("can be used by one pod at a time")),
    ] {
        let cluster = ClusterStandIn::start();
        let (_project, mut settings) = project(&cluster);
        settings.values.insert("claim".to_owned(), "results/eu".into());
        let claim = json!({
            "metadata": {"name": "results"}, "spec": {"accessModes": [mode]}, "status": {"phase": "Bound"},
        });
        cluster.put("/api/v1/namespaces/shop/persistentvolumeclaims/results", claim);
        let instance = instance(&settings).await;
        let config = json!({"name": "shop"});
        let found = findings(&instance, config.clone()).await;
        assert_eq!(found.len(), usize::from(message.is_some()), "{found:?}");
        if let Some(message) = message {
            assert!(found[0].message.contains(message), "{found:?}");
            assert!(found[0].hint.as_ref().unwrap().contains("`ReadWriteMany`"), "{found:?}");
        }
        let row = instance.create(TYPE, config.clone()).await.unwrap();
        assert_eq!(cluster.object("deployments", OBJECT).unwrap()["spec"]["strategy"]["type"], strategy);
        assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes, row.attributes);
        assert_eq!(instance.plan(TYPE, Some(&row), config).await.unwrap().planned, row.attributes);
    }
}

#[tokio::test]
async fn lost_creation_is_found() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let config = json!({"name": "shop"});
    assert_eq!(instance.find(TYPE, config.clone(), Some(Duration::ZERO)).await.unwrap(), Found::Absent);
    instance.create(TYPE, config.clone()).await.unwrap();
    assert!(matches!(instance.find(TYPE, config.clone(), None).await.unwrap(), Found::Foreign(_)));
    match instance.find(TYPE, config, Some(Duration::ZERO)).await.unwrap() {
        Found::Own(found) => assert_eq!(found.attributes["status"], Value::from("running")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn objects_of_other_owners_are_refused() {
    for (kind, path, name) in [
        ("Deployment", DEPLOYMENTS, OBJECT),
        ("Service", "/api/v1/namespaces/shop/services", OBJECT),
        ("Ingress", "/apis/networking.k8s.io/v1/namespaces/shop/ingresses", OBJECT),
    ] {
        let cluster = ClusterStandIn::start();
        let (_project, settings) = project(&cluster);
        let instance = instance(&settings).await;
        cluster.put(&format!("{path}/{name}"), json!({"metadata": {"name": name, "uid": "other"}}));
        let error = instance.create(TYPE, json!({"name": "shop", "host": "shop.example.com"})).await.unwrap_err();
        let expected = format!("the {kind} `{name}` exists, and is not that of the site `shop`");
        assert!(error.message.contains(&expected), "{error:?}");
        assert_eq!(count(&cluster).iter().sum::<usize>(), 1, "{kind}");
    }
}

#[tokio::test]
async fn server_that_does_not_start_leaves_nothing_and_has_a_reason() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project(&cluster);
    cluster.hold_servers();
    let event = |kind: &str, name: &str, message: &str| json!({"involvedObject": {"kind": kind, "name": name}, "type": "Warning", "reason": "FailedCreate", "message": message});
    cluster.set_events(vec![
        event("ReplicaSet", "terrace-site-shop-other-7d4f", "of another site"),
        event("ReplicaSet", "terrace-site-shop-7d4f", "exceeded quota: pods"),
    ]);
    let sites = impatient(&settings);
    let error = sites.create(&spec(), &files(&project), "o/s", &CancellationToken::new()).await.unwrap_err();
    assert!(
        error.message.ends_with("the server of the site `shop` does not start: FailedCreate: exceeded quota: pods"),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("raise its quota"), "{error:?}");
    assert_eq!(count(&cluster), [0; 5]);
}

#[tokio::test]
async fn missing_rights_and_a_missing_gateway_are_named() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let config = json!({"name": "shop", "host": "shop.example.com", "gateway": "infra/public"});
    cluster.refuses("PATCH", "/httproutes/", 404, "the server could not find the requested resource");
    let found = findings(&instance, config.clone()).await;
    assert_eq!(found[0].message, "the cluster has no HTTPRoutes of the Gateway API");
    cluster.set_rights(false);
    let found = findings(&instance, config).await;
    assert!(found[0].message.contains("lacks rights in the namespace `shop` that sites need"), "{found:?}");
    let words = "create, get, patch, delete deployments.apps, httproutes.gateway.networking.k8s.io;";
    assert!(found[0].message.contains(words), "{found:?}");
    assert!(found[0].hint.as_deref().unwrap().contains("--serviceaccount=shop:runner`"), "{found:?}");
}

#[tokio::test]
async fn wrong_attributes_are_refused_with_a_hint() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    for (config, message, hint) in [
        (json!({"name": "Shop"}), "`name` is `Shop`", "small letters"),
        (
            json!({"name": "shop", "renderTo": "out", "executor": "kubernetes"}),
            "`renderTo` is a folder of this machine",
            "`executor: local`",
        ),
        (
            json!({"name": "shop", "executor": "local", "host": "a.b"}),
            "`host` belongs to sites in a cluster",
            "`executor: kubernetes`",
        ),
        (json!({"name": "shop", "executor": "cloud"}), "expected `local` or `kubernetes`", ""),
        (json!({"name": "shop", "gateway": "infra/public"}), "`gateway` needs `host`", "add `host`"),
        (json!({"name": "shop", "host": "http://a.b"}), "expected the name of a host", "without a scheme"),
        (json!({"name": "shop", "host": "10.0.0.1"}), "expected the name of a host", "without a scheme"),
        (
            json!({"name": "shop", "host": "a.b", "gateway": "public"}),
            "expected a namespace and a name",
            "`infra/public`",
        ),
        (
            json!({"name": "shop", "host": "a.b", "gateway": "i/p", "tlsSecret": "t"}),
            "`tlsSecret` belongs to an Ingress",
            "set `url: https://a.b/`",
        ),
        (
            json!({"name": "shop", "host": "a.b", "ingressClass": "N x"}),
            "expected the name of an object",
            "small letters",
        ),
        (json!({"name": "shop", "claim": "Results"}), "`claim` is `Results`", "`results/shop`"),
        (json!({"name": "shop", "memory": "1GB"}), "`memory` is `1GB`", "`1Gi`"),
    ] {
        let error = refused(&instance, config.clone()).await;
        assert!(error.message.contains(message), "{config}: {error:?}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{config}: {error:?}");
    }
    let here = instance.plan(TYPE, None, json!({"name": "shop", "renderTo": "out"})).await.unwrap();
    assert!(!here.planned.contains_key("executor"), "a folder of this machine means this machine");
    assert_eq!(cluster.count("P", DEPLOYMENTS), 0);
}

#[tokio::test]
async fn large_files_are_refused_by_the_plan() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let mut state: u32 = 1;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(2 << 20)
    .collect();
    std::fs::write(project.path("data/big.bin"), noise).unwrap();
    let error = refused(&instance, json!({"name": "shop"})).await;
    assert!(error.message.contains("`big.bin` with 2.0 MiB"), "{error:?}");
    assert!(error.hint().unwrap().contains("`claim`"), "{error:?}");
}
