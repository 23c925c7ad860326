//! Databases in a cluster: their objects, their drift, interrupted creations, lifetimes, and servers that do not start.

use crate::cluster::settings;
use crate::cluster_stand_in::ClusterStandIn;
use crate::harness::Project;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::database::kubernetes::ClusterDatabases;
use terrace_pipelines::database::{DataClaim, DatabaseErrorKind, DatabaseSpec, Extension, ProjectDatabases, Status};
use terrace_pipelines::queue::cluster::Cluster;
use terrace_provider::conformance::{Instance, recorded};
use terrace_provider::wrap::Limits;
use terrace_provider::{DataAmount, ErrorKind, Finding, Found, Private, Recorded, Settings, Value};
use terrace_provider_pipelines::PipelinesProvider;
use terrace_provider_pipelines::settings::project_databases;
use tokio_util::sync::CancellationToken;

const TYPE: &str = "pipelines_database";
const OBJECT: &str = "terrace-db-orders";
const SPEC: &str = "load: {pipeline: [{run: noise}]}\n";
const KINDS: [&str; 4] = ["statefulsets", "secrets", "services", "persistentvolumeclaims"];

pub(crate) fn project(cluster: &ClusterStandIn) -> (Project, Settings) {
    let project = Project::new(SPEC);
    let mut settings = settings(&project, cluster);
    settings.values.insert("databaseImage".to_owned(), format!("r/postgres@sha256:{}", "0".repeat(64)).into());
    (project, settings)
}

async fn instance(settings: &Settings) -> Instance<PipelinesProvider> {
    Instance::open(PipelinesProvider::new(), settings, Limits::default(), "s@test:x.orders").await.unwrap()
}

/// The databases of the cluster of these settings.
pub(crate) fn databases(settings: &Settings) -> ClusterDatabases {
    let values = ["kubeconfig", "context"].iter().filter_map(|name| settings.values.get_key_value(*name));
    let values = values.map(|(name, value)| (name.clone(), value.clone())).collect();
    let image = Some("r/postgres@sha256:0".to_owned());
    ClusterDatabases::open(&Settings { values, ..settings.clone() }, "shop", image).unwrap()
}

pub(crate) fn orders(claim: Option<DataClaim>) -> DatabaseSpec {
    DatabaseSpec { name: "orders".to_owned(), ttl: Some("1h".to_owned()), claim, ..DatabaseSpec::default() }
}

fn claim() -> DataClaim {
    DataClaim { size: "1Gi".to_owned(), storage_class: None }
}

fn token() -> CancellationToken {
    CancellationToken::new()
}

fn count(cluster: &ClusterStandIn) -> [usize; 4] {
    KINDS.map(|kind| cluster.names(kind).len())
}

fn secret(cluster: &ClusterStandIn, key: &str) -> String {
    let secret = cluster.object("secrets", OBJECT).unwrap();
    String::from_utf8(STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap()).unwrap()
}

/// All objects of databases.
fn objects(cluster: &ClusterStandIn) -> Vec<Option<Json>> {
    KINDS.iter().flat_map(|kind| cluster.names(kind).into_iter().map(|name| cluster.object(kind, &name))).collect()
}

#[tokio::test]
async fn database_of_another_project_with_the_same_name_is_left_alone() {
    let cluster = ClusterStandIn::start();
    let (_first, first_settings) = project(&cluster);
    let (_second, second_settings) = project(&cluster);
    let (first, second) = (instance(&first_settings).await, instance(&second_settings).await);
    let row = first.create(TYPE, json!({"name": "orders"})).await.unwrap();
    // Each call of an apply has its own mark.
    cluster.change("statefulsets", OBJECT, |object| {
        object["metadata"]["annotations"]["terrace.dev/owner"] = "another/1".into();
    });
    let theirs = Recorded { private: Private(br#"{"owner": "another/1"}"#.to_vec()), ..row.clone() };
    let before = objects(&cluster);
    assert!(first.read(TYPE, &row).await.unwrap().is_none(), "its own database is gone");
    let error = first.update(TYPE, &row, json!({"name": "orders", "webUi": false})).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::NotFound), "{error:?}");
    first.delete(TYPE, &row).await.unwrap();
    assert_eq!(objects(&cluster), before);
    assert!(second.read(TYPE, &theirs).await.unwrap().is_some());
    // A row of an older version has no owner.
    let old = Recorded { private: Private::default(), ..row };
    assert!(second.read(TYPE, &old).await.unwrap().is_some());
    second.delete(TYPE, &theirs).await.unwrap();
    assert_eq!(cluster.names("statefulsets"), [] as [&str; 0]);
}

#[tokio::test]
async fn database_that_a_run_creates_again_stays_that_of_its_row() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, json!({"name": "orders", "ttl": "1h"})).await.unwrap();
    let uid = || cluster.object("statefulsets", OBJECT).unwrap()["metadata"]["uid"].clone();
    let before = uid();
    cluster.change("statefulsets", OBJECT, |object| {
        object["metadata"]["annotations"]["terrace.dev/expires-at"] = "2020-01-01T00:00:00Z".into();
    });
    let expired = instance.read(TYPE, &row).await.unwrap().unwrap();
    assert_eq!(expired.attributes["status"], Value::from("expired"));
    databases(&settings).ensure("orders", &token()).await.unwrap();
    assert_ne!(uid(), before, "it is another StatefulSet");
    let row = instance.read(TYPE, &row).await.unwrap().unwrap();
    assert_eq!(row.attributes["status"], Value::from("running"));
    instance.delete(TYPE, &row).await.unwrap();
    assert_eq!(cluster.names("statefulsets"), [] as [&str; 0]);
}

#[tokio::test]
async fn database_in_a_cluster_is_a_stateful_set() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let config = json!({"name": "orders", "ttl": "1h"});
    let row = instance.create(TYPE, config.clone()).await.unwrap();
    let password = secret(&cluster, "password");
    assert_eq!(row.attributes["host"], Value::from("terrace-db-orders.shop.svc"));
    assert_eq!(row.attributes["password"], Value::sensitive(password.as_str().into()));
    assert_eq!(row.attributes["persistent"], Value::Bool(false));
    let url = format!("postgresql+psycopg2://postgres:{password}@terrace-db-orders.shop.svc:5432/postgres");
    assert_eq!(secret(&cluster, "DPP_DB_ENGINE"), url);
    let object = cluster.object("statefulsets", OBJECT).unwrap();
    assert!(!object.to_string().contains(&password), "the password is in the Secret alone");
    assert_eq!((&object["spec"]["replicas"], count(&cluster)), (&json!(1), [1, 1, 1, 0]));
    for kind in ["secrets", "services"] {
        assert_eq!(cluster.object(kind, OBJECT).unwrap()["metadata"]["ownerReferences"][0]["kind"], "StatefulSet");
    }
    assert_eq!(instance.plan(TYPE, Some(&row), config).await.unwrap().planned, row.attributes);
    assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes, row.attributes);
    let found = instance.session.import(instance.resource_type(TYPE).unwrap(), "orders").await.unwrap().unwrap();
    assert_eq!(found.attributes["engineUrl"], row.attributes["engineUrl"]);
    instance.delete(TYPE, &row).await.unwrap();
    assert_eq!(count(&cluster), [0; 4]);
    assert!(instance.read(TYPE, &row).await.unwrap().is_none());
}

#[tokio::test]
async fn database_without_lifetime_has_a_claim_which_goes_with_it() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let row = instance.create(TYPE, json!({"name": "orders", "storageClass": "fast"})).await.unwrap();
    let claim = cluster.object("persistentvolumeclaims", OBJECT).unwrap();
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1Gi");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert!(claim["metadata"]["ownerReferences"].is_null(), "it outlives the StatefulSet");
    let databases = databases(&settings);
    let status = async || databases.existing("orders").await.unwrap().cluster.unwrap().status;
    databases.stop("orders").await.unwrap();
    assert_eq!((status().await, count(&cluster)), (Status::Stopped, [1; 4]));
    databases.start("orders", &token()).await.unwrap();
    assert_eq!(status().await, Status::Running);
    let config = json!({"name": "orders", "storageClass": "fast", "size": "2Gi"});
    let row = instance.update(TYPE, &row, config).await.unwrap();
    let claim = cluster.object("persistentvolumeclaims", OBJECT).unwrap();
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "2Gi");
    instance.delete(TYPE, &row).await.unwrap();
    assert_eq!(count(&cluster), [0; 4]);
}

#[tokio::test]
async fn temporary_database_is_not_stopped() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let databases = databases(&settings);
    databases.create(&orders(None), &token()).await.unwrap();
    let error = databases.stop("orders").await.unwrap_err();
    assert!(error.hint.unwrap().contains("persistent: true"));
    assert_eq!(cluster.object("statefulsets", OBJECT).unwrap()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn changed_or_removed_object_is_drift() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let config = json!({"name": "orders"});
    let mut row = instance.create(TYPE, config.clone()).await.unwrap();
    let changes: [&dyn Fn(&ClusterStandIn); 6] = [
        &|cluster| {
            cluster.change("secrets", OBJECT, |secret| {
                secret["data"].as_object_mut().unwrap().remove("DPP_DB_ENGINE");
            });
        },
        &|cluster| cluster.remove("secrets", OBJECT),
        &|cluster| cluster.remove("services", OBJECT),
        &|cluster| cluster.remove("persistentvolumeclaims", OBJECT),
        &|cluster| cluster.change("services", OBJECT, |service| service["spec"]["ports"][0]["port"] = 1.into()),
        &|cluster| {
            cluster.change("statefulsets", OBJECT, |object| {
                object["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["true"]);
            });
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        change(&cluster);
        let found = instance.read(TYPE, &row).await.unwrap().unwrap();
        assert_eq!(found.attributes["status"], Value::from("changed"), "{number}");
        // As the engine does: an attribute that was not read keeps its value.
        row.attributes.insert("status".to_owned(), found.attributes["status"].clone());
        let planned = instance.plan(TYPE, Some(&row), config.clone()).await.unwrap();
        assert_eq!(planned.planned["status"], Value::from("running"), "{number}");
        assert!(planned.because[0].contains("changed or removed"), "{:?}", planned.because);
        let former = row.attributes["password"].clone();
        row = instance.update(TYPE, &row, config.clone()).await.unwrap();
        assert_eq!(row.attributes["password"], former, "{number}");
        assert_eq!((row.attributes["status"].clone(), count(&cluster)), (Value::from("running"), [1; 4]), "{number}");
        assert_eq!(instance.plan(TYPE, Some(&row), config.clone()).await.unwrap().planned, row.attributes, "{number}");
    }
    // A field of another manager.
    cluster.change("statefulsets", OBJECT, |object| object["metadata"]["annotations"]["note"] = "kept".into());
    assert_eq!(instance.read(TYPE, &row).await.unwrap().unwrap().attributes, row.attributes);
}

#[tokio::test]
async fn interrupted_creation_goes_on() {
    for kind in ["/secrets/", "/services/", "/persistentvolumeclaims/"] {
        let cluster = ClusterStandIn::start();
        let (_project, settings) = project(&cluster);
        let databases = databases(&settings);
        // Nothing can be cleaned up, as after a kill.
        cluster.refuses("PATCH", kind, 403, "no");
        cluster.refuses("DELETE", OBJECT, 403, "no");
        let spec = DatabaseSpec { mark: Some("operation/step".to_owned()), ..orders(Some(claim())) };
        databases.create(&spec, &token()).await.unwrap_err();
        let unfinished = databases.existing("orders").await.unwrap();
        assert!(!unfinished.is_whole && cluster.object("statefulsets", OBJECT).unwrap()["spec"]["replicas"] == 0);
        cluster.heal();
        let whole = databases.create(&spec, &token()).await.unwrap();
        assert!(whole.is_whole && whole.id != unfinished.id);
        assert_eq!((count(&cluster), databases.list().await.unwrap().len()), ([1; 4], 1), "{kind}");
    }
}

#[tokio::test]
async fn expired_database_ends_with_its_data_and_is_created_again() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let databases = databases(&settings);
    let before = databases.create(&orders(Some(claim())), &token()).await.unwrap();
    let password = secret(&cluster, "password");
    assert!(databases.end_expired().await.unwrap().is_empty(), "its lifetime is not over");
    databases.extend("orders", Extension::To(Duration::ZERO)).await.unwrap();
    assert_eq!(databases.existing("orders").await.unwrap().cluster.unwrap().status, Status::Expired);
    assert!(databases.extend("orders", Extension::By(Duration::from_secs(60))).await.is_err(), "it is too late");
    // The operator may not read Secrets.
    cluster.refuses("GET", "/secrets/", 403, "no");
    assert_eq!(databases.end_expired().await.unwrap(), ["orders"]);
    cluster.heal();
    assert_eq!(count(&cluster), [1, 0, 1, 0]);
    assert_eq!(cluster.object("statefulsets", OBJECT).unwrap()["spec"]["replicas"], 0);
    assert!(databases.end_expired().await.unwrap().is_empty(), "it has ended");
    let (after, access) = databases.ensure("orders", &token()).await.unwrap();
    assert!(after.id != before.id && after.deadline.is_some() && after.cluster.unwrap().claim.is_some());
    assert_ne!(access.password.unwrap().expose_secret(), password);
    assert_eq!(count(&cluster), [1; 4]);
}

#[tokio::test]
async fn expired_database_of_a_run_leaves_nothing() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let databases = databases(&settings);
    databases.create(&DatabaseSpec { is_fresh: true, ..orders(None) }, &token()).await.unwrap();
    databases.extend("orders", Extension::To(Duration::ZERO)).await.unwrap();
    assert_eq!(databases.end_expired().await.unwrap(), ["orders"]);
    assert_eq!(count(&cluster), [0; 4]);
}

#[tokio::test]
async fn end_of_an_expired_database_spares_its_successor() {
    // Another process makes a successor right before each deletion of this one.
    for kind in ["/persistentvolumeclaims/", "/secrets/"] {
        let cluster = ClusterStandIn::start();
        let (_project, settings) = project(&cluster);
        let databases = databases(&settings);
        databases.create(&orders(Some(claim())), &token()).await.unwrap();
        databases.extend("orders", Extension::To(Duration::ZERO)).await.unwrap();
        cluster.interfere("DELETE", kind, 0, |objects| {
            for object in objects.values_mut() {
                object["metadata"]["uid"] = format!("{}-b", object["metadata"]["uid"].as_str().unwrap()).into();
                object["metadata"]["resourceVersion"] = "successor".into();
            }
            let (_, server) = objects.iter_mut().find(|(path, _)| path.contains("/statefulsets/")).unwrap();
            server["spec"]["replicas"] = 1.into();
            let expires_at = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
            server["metadata"]["annotations"]["terrace.dev/expires-at"] = expires_at.into();
        });
        databases.end_expired().await.unwrap();
        let server = cluster.object("statefulsets", OBJECT).unwrap();
        assert!(server["metadata"]["annotations"]["terrace.dev/expired"].is_null(), "{kind}");
        let claims = usize::from(kind != "/secrets/");
        assert_eq!((count(&cluster), &server["spec"]["replicas"]), ([1, 1, 1, claims], &json!(1)), "{kind}");
    }
}

#[tokio::test]
async fn extensions_at_the_same_time_add_up_and_leave_the_pod_alone() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let databases = databases(&settings);
    databases.create(&orders(None), &token()).await.unwrap();
    cluster.change("statefulsets", OBJECT, |server| server["spec"]["template"]["spec"]["hostname"] = "changed".into());
    cluster.change("statefulsets", OBJECT, |server| {
        server["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["true"]);
    });
    let other = Timestamp::now() + SignedDuration::from_hours(10);
    cluster.interfere("PATCH", "/statefulsets/", 0, move |objects| {
        let (_, server) = objects.iter_mut().find(|(path, _)| path.contains("/statefulsets/")).unwrap();
        server["metadata"]["annotations"]["terrace.dev/expires-at"] = other.to_string().into();
        server["metadata"]["resourceVersion"] = "other".into();
    });
    let record = databases.extend("orders", Extension::By(Duration::from_secs(3600))).await.unwrap();
    let gained = record.deadline.unwrap().expires_at.duration_since(other);
    assert!(gained > SignedDuration::from_mins(59), "{gained}");
    let server = cluster.object("statefulsets", OBJECT).unwrap();
    let pod = &server["spec"]["template"]["spec"];
    assert_eq!((&pod["hostname"], &pod["containers"][0]["command"]), (&json!("changed"), &json!(["true"])));
}

#[tokio::test]
async fn change_keeps_an_extension_and_a_stop_by_another_caller() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let databases = databases(&settings);
    let spec = orders(Some(claim()));
    let other: Timestamp = Timestamp::now() + SignedDuration::from_hours(10);
    databases.create(&spec, &token()).await.unwrap();
    cluster.interfere("PATCH", "/statefulsets/", 0, move |objects| {
        let (_, server) = objects.iter_mut().find(|(path, _)| path.contains("/statefulsets/")).unwrap();
        server["metadata"]["annotations"]["terrace.dev/expires-at"] = other.to_string().into();
        server["metadata"]["resourceVersion"] = "other".into();
    });
    let record = databases.change(&spec, None, &token()).await.unwrap();
    assert_eq!(record.deadline.unwrap().expires_at, other);
    // Before the last write, which begins the new lifetime.
    cluster.interfere("PATCH", "/statefulsets/", 1, |objects| {
        let (_, server) = objects.iter_mut().find(|(path, _)| path.contains("/statefulsets/")).unwrap();
        server["spec"]["replicas"] = 0.into();
        server["metadata"]["resourceVersion"] = "stopped".into();
    });
    let spec = DatabaseSpec { ttl: Some("2h".to_owned()), ..spec };
    databases.change(&spec, None, &token()).await.unwrap();
    assert_eq!(cluster.object("statefulsets", OBJECT).unwrap()["spec"]["replicas"], 0);
}

#[tokio::test]
async fn lifetime_ends_by_the_clock_of_the_cluster_alone() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let databases = databases(&settings);
    databases.create(&orders(None), &token()).await.unwrap();
    databases.extend("orders", Extension::To(Duration::ZERO)).await.unwrap();
    cluster.hide_date();
    assert!(databases.end_expired().await.unwrap().is_empty());
    assert_eq!(cluster.object("statefulsets", OBJECT).unwrap()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn second_creation_of_a_name_does_not_succeed() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let databases = databases(&settings);
    let with_mark = |mark: &str| DatabaseSpec { mark: Some(mark.to_owned()), ..orders(None) };
    // The creation of another caller is young, and not complete.
    cluster.refuses("PATCH", "/secrets/", 403, "no");
    cluster.refuses("DELETE", OBJECT, 403, "no");
    let error = databases.create(&with_mark("one"), &token()).await.unwrap_err();
    assert!(error.kind == DatabaseErrorKind::Failed && error.facts[0].contains("remain"), "{error:?}");
    cluster.heal();
    let error = databases.create(&with_mark("two"), &token()).await.unwrap_err();
    assert!(error.message.contains("another caller creates"), "{error:?}");
    let created = databases.create(&with_mark("one"), &token()).await.unwrap();
    // The answer to the creation was lost.
    assert_eq!(databases.create(&with_mark("one"), &token()).await.unwrap().id, created.id);
    let error = databases.create(&with_mark("two"), &token()).await.unwrap_err();
    assert_eq!(error.kind, DatabaseErrorKind::AlreadyExists);
    // Another caller is first between the look and the creation.
    databases.remove("orders").await.unwrap();
    let other = json!({"metadata": {"name": OBJECT, "uid": "uid-0"}});
    let path = format!("/apis/apps/v1/namespaces/shop/statefulsets/{OBJECT}");
    let stored = other.clone();
    cluster.interfere("POST", "/statefulsets", 0, move |objects| drop(objects.insert(path, stored)));
    assert!(databases.create(&with_mark("three"), &token()).await.is_err());
    assert_eq!(cluster.object("statefulsets", OBJECT), Some(other));
}

#[tokio::test]
async fn cluster_has_databases_which_all_callers_share() {
    let stand_in = ClusterStandIn::start();
    let (_project, settings) = project(&stand_in);
    let databases = project_databases(&settings, None).unwrap();
    let cluster =
        |databases| Cluster { kind: "kubernetes".to_owned(), workers: 2, databases, ttl: None, is_ready: true };
    let name = "dppctl-db-kubernetes-1";
    let ensure = async |creation| databases.ensure_for_cluster(&cluster(1), name, creation, &token()).await;
    // Nothing can be cleaned up, as after a kill.
    stand_in.refuses("PATCH", "/secrets/", 403, "no");
    stand_in.refuses("DELETE", name, 403, "no");
    ensure(Some("one")).await.unwrap_err();
    stand_in.heal();
    // Another caller waits for that creation; its owner continues it at once.
    let waiting = ensure(None);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut waiting).await.is_err(), "it waits");
    let (record, access) = ensure(Some("one")).await.unwrap();
    assert_eq!(waiting.await.unwrap().0.id, record.id);
    assert_eq!(record.cluster_kind(), Some("kubernetes"));
    assert_eq!(record.cluster.unwrap().claim, Some(claim()), "the data outlives its pod");
    assert!(access.engine_url.expose_secret().contains("@terrace-db-dppctl-db-kubernetes-1.shop.svc:5432/"));
    assert_eq!(databases.of_cluster(&cluster(1)).await.unwrap().0[0].id, record.id);
    // Other projects may use a database that this one no longer needs.
    assert_eq!(databases.stop_surplus(&cluster(0)).await.unwrap(), Vec::<String>::new());
    databases.stop(name).await.unwrap();
    assert_eq!(ensure(None).await.unwrap().0.id, record.id);
    // A database of a descriptor is not one of the cluster.
    let declared = DatabaseSpec { name: "dppctl-db-kubernetes-2".to_owned(), ..orders(None) };
    databases.create(&declared, true, &token()).await.unwrap();
    let error = databases.ensure_for_cluster(&cluster(2), &declared.name, None, &token()).await.unwrap_err();
    assert!(error.message.contains("and not of the cluster"), "{error:?}");
}

#[tokio::test]
async fn databases_of_a_cluster_need_an_image() {
    let stand_in = ClusterStandIn::start();
    let (_project, mut settings) = project(&stand_in);
    settings.values.shift_remove("databaseImage");
    let databases = project_databases(&settings, None).unwrap();
    let cluster = Cluster { kind: "minikube".to_owned(), workers: 2, databases: 1, ttl: None, is_ready: true };
    let error = databases.ensure_for_cluster(&cluster, "dppctl-db-minikube-1", None, &token()).await.unwrap_err();
    assert!(error.message.contains("need the setting `databaseImage`"), "{error:?}");
    assert!(error.hint.unwrap().contains("init minikube --workers 2 --databases 0"));
    let without = Cluster { databases: 0, ..cluster };
    assert_eq!(databases.of_cluster(&without).await.unwrap().0.len(), 0);
}

#[tokio::test]
async fn interrupted_creation_is_completed_by_an_update() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let config = json!({"name": "orders"});
    let lost = Some(Duration::from_secs(60));
    // Nothing can be cleaned up, as after a kill.
    cluster.refuses("PATCH", "/statefulsets/", 403, "no");
    cluster.refuses("DELETE", OBJECT, 403, "no");
    let error = instance.create(TYPE, config.clone()).await.unwrap_err();
    assert!(error.problems.iter().any(|it| it.contains("its objects remain")), "{error:?}");
    assert_eq!(count(&cluster), [1; 4]);
    cluster.heal();
    let writes = || ["POST", "PUT", "PATCH", "DELETE"].map(|method| cluster.count(method, "/namespaces/shop/"));
    let (before, found) = (writes(), instance.find(TYPE, config.clone(), lost).await.unwrap());
    let Found::Own(observed) = found else { panic!("{found:?}") };
    assert_eq!((observed.attributes["status"].clone(), writes()), ("creating".into(), before));
    let unfinished = recorded("s@test:x.orders", &observed.attributes.clone(), observed);
    cluster.change("statefulsets", OBJECT, |server| {
        server["metadata"]["annotations"]["terrace.dev/mark"] = "of another call".into();
    });
    assert_eq!(instance.find(TYPE, config.clone(), lost).await.unwrap(), Found::Absent);
    // The row of the call knows its database.
    let read = instance.read(TYPE, &unfinished).await.unwrap().unwrap();
    let plan = instance.plan(TYPE, Some(&read), config.clone()).await.unwrap();
    assert_eq!(
        (plan.planned["status"].clone(), plan.because),
        ("running".into(), vec!["its creation was interrupted".into()])
    );
    assert_eq!((count(&cluster), writes()), ([1; 4], before), "a plan changes nothing");
    let whole = instance.update(TYPE, &read, config.clone()).await.unwrap();
    assert_eq!((whole.attributes["status"].clone(), count(&cluster)), ("running".into(), [1; 4]));
    assert_eq!(instance.unsettled(TYPE, &whole, config).await.unwrap(), Vec::<String>::new());
    instance.delete(TYPE, &unfinished).await.unwrap();
    assert_eq!(count(&cluster), [0; 4]);
}

#[tokio::test]
async fn interrupted_creation_has_no_data_without_a_former_claim() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    let config = json!({"name": "orders"});
    // Nothing can be cleaned up, as after a kill.
    cluster.refuses("PATCH", "/statefulsets/", 403, "no");
    cluster.refuses("DELETE", OBJECT, 403, "no");
    instance.create(TYPE, config.clone()).await.unwrap_err();
    cluster.heal();
    let found = instance.find(TYPE, config, Some(Duration::from_secs(60))).await.unwrap();
    let Found::Own(observed) = found else { panic!("{found:?}") };
    let row = recorded("s@test:x.orders", &observed.attributes.clone(), observed);
    let count = async || instance.session.count_data(instance.resource_type(TYPE).unwrap(), &row).await.unwrap();
    assert_eq!(count().await, DataAmount::Empty);
    cluster.change("persistentvolumeclaims", OBJECT, |claim| {
        claim["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
    });
    assert_eq!(count().await, DataAmount::Unknown, "a former database may have written it");
    cluster.remove("persistentvolumeclaims", OBJECT);
    assert_eq!(count().await, DataAmount::Empty);
    cluster.change("statefulsets", OBJECT, |stateful_set| stateful_set["spec"]["replicas"] = 1.into());
    assert_eq!(count().await, DataAmount::Unknown, "its server may have accepted connections");
}

#[tokio::test]
async fn plan_reports_a_claim_that_is_being_deleted() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let databases = databases(&settings);
    databases.create(&orders(Some(claim())), &token()).await.unwrap();
    let going = |found: &Finding| found.message.contains("is being deleted");
    assert!(!databases.findings(&orders(Some(claim()))).await.iter().any(going));
    cluster.change("persistentvolumeclaims", OBJECT, |claim| {
        claim["metadata"]["deletionTimestamp"] = "2026-11-28T06:10:00Z".into();
    });
    let findings = databases.findings(&orders(Some(claim()))).await;
    assert!(findings.iter().any(going), "{findings:?}");
    assert!(findings[0].hint.as_ref().unwrap().contains("databases dump orders FILE"), "{findings:?}");
}

#[tokio::test]
async fn objects_of_other_owners_stay() {
    for (kind, title) in [("secrets", "Secret"), ("services", "Service"), ("persistentvolumeclaims", "claim")] {
        let cluster = ClusterStandIn::start();
        let (_project, settings) = project(&cluster);
        let other = json!({"metadata": {"name": OBJECT, "uid": "uid-0"}, "spec": {"other": true}});
        cluster.put(&format!("/api/v1/namespaces/shop/{kind}/{OBJECT}"), other.clone());
        let databases = databases(&settings);
        let error = databases.create(&orders(Some(claim())), &token()).await.unwrap_err();
        assert!(error.message.contains(title) && error.message.contains("is not that of"), "{error:?}");
        assert_eq!((cluster.object(kind, OBJECT), count(&cluster)[0]), (Some(other), 0), "{kind}");
    }
}

#[tokio::test]
async fn server_that_does_not_start_is_reported_and_removed() {
    let pod = |container: Json| {
        json!({
            "metadata": {"name": "terrace-db-orders-0", "labels": {"terrace.dev/database": "orders"}},
            "status": {"containerStatuses": [container]},
        })
    };
    let waiting = |reason: &str| json!({"name": "database", "image": "i", "state": {"waiting": {"reason": reason, "message": "m"}}});
    for (container, message, hint) in [
        (waiting("InvalidImageName"), "the image `i` cannot be pulled: m", Some("correct `databaseImage`")),
        // No hint shows a pod that is gone.
        (waiting("CreateContainerConfigError"), "the container cannot start", None),
        (json!({"name": "database", "state": {"running": {}}}), "does not accept connections yet", None),
        (json!({"name": "database", "restartCount": 2, "state": {"terminated": {}}}), "the server ended", None),
    ] {
        let cluster = ClusterStandIn::start();
        let (_project, settings) = project(&cluster);
        cluster.hold_servers();
        cluster.put("/api/v1/namespaces/shop/pods/terrace-db-orders-0", pod(container));
        let databases = databases(&settings).with_start_time(Duration::from_millis(500));
        let error = databases.create(&orders(None), &token()).await.unwrap_err();
        assert!(error.message.contains(message), "{error:?}");
        assert_eq!(error.hint.is_some(), hint.is_some(), "{error:?}");
        assert!(hint.is_none_or(|hint| error.hint.as_ref().unwrap().contains(hint)), "{error:?}");
        assert_eq!(count(&cluster), [0; 4]);
    }
}

#[tokio::test]
async fn volume_that_the_server_cannot_write_is_reported_with_a_hint() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    cluster.hold_servers();
    cluster.set_log(&[json!("initdb: error: could not create directory \"/x\": Permission denied")]);
    let pod = json!({
        "metadata": {"name": "terrace-db-orders-0", "labels": {"terrace.dev/database": "orders"}},
        "status": {"containerStatuses": [{"name": "database", "restartCount": 2, "state": {"terminated": {}}}]},
    });
    cluster.put("/api/v1/namespaces/shop/pods/terrace-db-orders-0", pod);
    let error = databases(&settings).create(&orders(Some(claim())), &token()).await.unwrap_err();
    let hint = error.hint.unwrap();
    assert!(hint.contains("writable for the user 999") && hint.contains("`fsGroup`"), "{hint}");
}

#[tokio::test]
async fn hint_for_a_claim_without_a_volume_fits_the_owner_of_its_database() {
    for (is_of_cluster, remedy) in [(true, "is-default-class"), (false, "set `storageClass`")] {
        let stand_in = ClusterStandIn::start();
        let (_project, settings) = project(&stand_in);
        stand_in.hold_servers();
        stand_in.interfere("GET", "/pods", 0, |objects| {
            let (_, claim) = objects.iter_mut().find(|(path, _)| path.contains("/persistentvolumeclaims/")).unwrap();
            claim["status"] = json!({"phase": "Pending"});
        });
        let kubernetes = databases(&settings).with_start_time(Duration::from_millis(500));
        let error = if is_of_cluster {
            let here = project_databases(&settings, None).unwrap();
            let databases = ProjectDatabases { cluster: Some(Arc::new(kubernetes)), ..here };
            let kind = "kubernetes".to_owned();
            let cluster = Cluster { kind, workers: 0, databases: 1, ttl: None, is_ready: true };
            let name = "dppctl-db-kubernetes-1";
            databases.ensure_for_cluster(&cluster, name, None, &token()).await.map(drop).unwrap_err()
        } else {
            kubernetes.create(&orders(Some(claim())), &token()).await.unwrap_err()
        };
        assert!(error.message.contains("is pending without a storage class"), "{error:?}");
        let hint = error.hint.unwrap();
        assert!(hint.contains(remedy) && hint.contains("at least 1Gi with the access mode `ReadWriteOnce`"), "{hint}");
        assert_eq!(hint.contains("`storageClass`"), !is_of_cluster, "{hint}");
    }
}

#[tokio::test]
async fn stateful_set_of_another_owner_stays() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let other = json!({"metadata": {"name": OBJECT, "uid": "uid-0"}, "spec": {"replicas": 1}});
    cluster.put(&format!("/apis/apps/v1/namespaces/shop/statefulsets/{OBJECT}"), other.clone());
    let databases = databases(&settings);
    let error = databases.create(&orders(None), &token()).await.unwrap_err();
    assert!(error.message.contains("is not that of a database"), "{error:?}");
    databases.remove("orders").await.unwrap();
    assert_eq!(cluster.object("statefulsets", OBJECT), Some(other));
}

#[tokio::test]
async fn existing_database_can_be_imported() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    databases(&settings).create(&orders(None), &token()).await.unwrap();
    let error = instance(&settings).await.create(TYPE, json!({"name": "orders", "ttl": "1h"})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some("orders".to_owned()) });
}

#[tokio::test]
async fn attributes_that_do_not_fit_the_place_are_refused() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    for (more, path, hint) in [
        (json!({"engine": "sqlite"}), "engine", "engine: postgres"),
        (json!({"port": 5433}), "port", "remove `port`"),
        (json!({"executor": "cloud"}), "executor", ""),
        (json!({"executor": "local", "persistent": true}), "persistent", "executor: kubernetes"),
        (json!({"persistent": false, "size": "1Gi"}), "size", "persistent: true"),
        (json!({"size": "0"}), "size", "10Gi"),
        (json!({"name": "a_b"}), "name", "small letters, digits and `-`"),
    ] {
        let mut config = json!({"name": "orders"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = instance.plan(TYPE, None, config).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(found) } = &error.kind else { panic!("{error:?}") };
        assert_eq!(found.to_string(), path);
        assert!(error.hint().unwrap_or_default().contains(hint), "{error:?}");
    }
    assert_eq!(count(&cluster), [0; 4]);
}

#[tokio::test]
async fn image_change_of_a_temporary_database_loses_data() {
    let cluster = ClusterStandIn::start();
    let (_project, mut settings) = project(&cluster);
    let config = json!({"name": "orders", "ttl": "1h"});
    let row = instance(&settings).await.create(TYPE, config.clone()).await.unwrap();
    settings.values.insert("databaseImage".to_owned(), format!("r/postgres@sha256:{}", "1".repeat(64)).into());
    let planned = instance(&settings).await.plan(TYPE, Some(&row), config).await.unwrap();
    assert!(planned.data_loss.is_some_and(|loss| loss.reasons[0].contains("its data ends with its pod")));
}

#[tokio::test]
async fn repair_of_a_temporary_database_loses_data() {
    let cluster = ClusterStandIn::start();
    let (_project, settings) = project(&cluster);
    let instance = instance(&settings).await;
    for (config, loses) in [(json!({"name": "orders", "ttl": "1h"}), true), (json!({"name": "kept"}), false)] {
        let mut row = instance.create(TYPE, config.clone()).await.unwrap();
        row.attributes.insert("status".to_owned(), "changed".into());
        let planned = instance.plan(TYPE, Some(&row), config).await.unwrap();
        assert_eq!(planned.data_loss.is_some(), loses, "{planned:?}");
    }
}

#[tokio::test]
async fn changes_without_an_image_are_refused_in_the_plan() {
    let cluster = ClusterStandIn::start();
    let (_project, mut settings) = project(&cluster);
    let config = json!({"name": "orders", "ttl": "1h"});
    let row = instance(&settings).await.create(TYPE, config.clone()).await.unwrap();
    settings.values.shift_remove("databaseImage");
    let instance = instance(&settings).await;
    assert_eq!(instance.plan(TYPE, Some(&row), config.clone()).await.unwrap().planned, row.attributes);
    for changed in [json!({"name": "orders", "ttl": "2h"}), json!({"name": "orders", "ttl": "1h", "persistent": true})]
    {
        let error = instance.plan(TYPE, Some(&row), changed).await.unwrap_err();
        assert!(error.hint().unwrap().contains("databaseImage"), "{error:?}");
    }
}
