//! Conformance tests of the SDK for all resource types, with the stand-in of dpp.

use crate::databases::connect;
use crate::harness::{NOISE, Project};
use crate::put_server::{PutServer, TOKEN};
use crate::storage_fixtures;
use crate::workers::Tasks;
use serde_json::json;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::database::{Databases, Engine, Record};
use terrace_pipelines::queue::Queue;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_provider::{Attributes, Recorded, Value};
use terrace_provider_pipelines::PipelinesProvider;

const SPEC: &str = "a:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: results/a}\nb:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: results/b}\n";

fn attributes(json: serde_json::Value) -> Attributes {
    match Value::from(json) {
        Value::Map(entries) => entries,
        other => panic!("attributes are a map, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_resource_types_pass_conformance() {
    let project = Project::new(SPEC);
    project.write("sub/pipeline-spec.yaml", SPEC);
    project.write("sub/noise.py", NOISE);
    let (records, data) = (project.path(".terrace/pipelines/pipelines"), project.path("results"));
    let forget = move |recorded: Recorded| {
        let records = records.clone();
        async move {
            let name = recorded.identity["name"].as_str().unwrap().replace("./", "");
            for entry in fs::read_dir(&records).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{name}%40")) {
                    let _ = fs::remove_file(path.join("pipeline.json"));
                }
            }
        }
    };
    let remove = move |recorded: Recorded| {
        let data = data.clone();
        async move {
            let name = recorded.identity["name"].as_str().unwrap().replace("./", "");
            let _ = fs::remove_dir_all(data.join(name));
        }
    };
    let pipeline = Fixture::new("pipelines_pipeline", "plain", attributes(json!({"name": "./a"})))
        .replace(attributes(json!({"name": "./b"})))
        .remove(forget);
    let run = Fixture::new("pipelines_run", "plain", attributes(json!({"name": "./a"})))
        .update(attributes(json!({"name": "./a", "triggers": {"day": "1"}})))
        .replace(attributes(json!({"name": "./b"})))
        .remove(remove);
    let below = project.path("sub/results");
    let remove_below = move |_| {
        let below = below.clone();
        async move { drop(fs::remove_dir_all(below)) }
    };
    let elsewhere =
        Fixture::new("pipelines_run", "in a folder", attributes(json!({"folder": "./sub/", "name": "./a"})))
            .update(attributes(json!({"folder": "./sub/", "name": "./a", "triggers": {"day": "1"}})))
            .remove(remove_below);
    let queue = project.runner.store.folder().to_owned();
    let destroy = move |recorded: Recorded| {
        let queue = Queue::open(&queue).unwrap();
        async move {
            let name = recorded.identity["name"].as_str().unwrap();
            queue.close_pool(name).unwrap();
            while queue.pool(name).unwrap().is_some() {
                queue.remove_closed().unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let pool = Fixture::new("pipelines_worker_pool", "plain", attributes(json!({"name": "etl", "size": 1})))
        .update(attributes(json!({"name": "etl", "size": 2})))
        .replace(attributes(json!({"name": "other", "size": 1})))
        .remove(destroy.clone());
    let ephemeral = Fixture::new("pipelines_worker_pool", "ttl", attributes(json!({"name": "brief", "ttl": "1h"})))
        .update(attributes(json!({"name": "brief", "ttl": "2h"})))
        .remove(destroy);
    let sqlite = database(&project, json!({"name": "file", "engine": "sqlite"}))
        .update(attributes(json!({"name": "file", "engine": "sqlite", "ttl": "2h"})));
    let postgres = database(&project, json!({"name": "server", "engine": "postgres", "ttl": "1h"}))
        .update(attributes(json!({"name": "server", "engine": "postgres", "ttl": "2h", "webUi": false})));
    let provider = PipelinesProvider::new().with_launch(Arc::new(Tasks));
    let server = Arc::new(PutServer::start());
    let mut settings = project.settings();
    settings.values.insert("webToken".to_owned(), TOKEN.into());
    let suite = Suite::new(&provider, settings).fixture(pipeline).fixture(run).fixture(elsewhere);
    let suite = suite.fixture(pool).fixture(ephemeral).fixture(sqlite).fixture(postgres);
    let schedules = project.path(".terrace/pipelines/schedules");
    let unschedule = move |recorded: Recorded| {
        let place = schedules.join(recorded.identity["name"].as_str().unwrap()).join("schedule.json");
        async move {
            let _ = fs::remove_file(place);
        }
    };
    let nightly = |name: &str, cron: &str| attributes(json!({"name": name, "pipeline": "./a", "cron": cron}));
    let schedule = Fixture::new("pipelines_schedule", "plain", nightly("every-night", "30 2 * * *"))
        .update(nightly("every-night", "0 5 * * *"))
        .replace(nightly("other", "30 2 * * *"))
        .remove(unschedule);
    let suite = suite.fixture(schedule);
    let report = storage_fixtures::add(suite, &project, &server).all_types_at_once().run().await;
    server.assert_well_used();
    assert!(report.is_clean(), "{report}");
}

/// A database that is stopped, removed and filled without the provider.
fn database(project: &Project, config: serde_json::Value) -> Fixture {
    let (stopped, removed, filled) = (project.databases(), project.databases(), project.databases());
    let name = |recorded: &Recorded| recorded.identity["name"].as_str().unwrap().to_owned();
    let is_server = config["engine"] == "postgres";
    let other = json!({"name": config["name"], "engine": if is_server { "sqlite" } else { "postgres" }});
    let label = if is_server { "server" } else { "file" };
    Fixture::new("pipelines_database", label, attributes(config))
        .replace(attributes(other))
        .tamper(move |recorded| {
            let databases = stopped.clone();
            async move {
                databases.stop(&name(&recorded)).await.unwrap();
            }
        })
        .remove(move |recorded| {
            let databases = removed.clone();
            async move { databases.remove(&name(&recorded)).await.unwrap() }
        })
        .fill(move |recorded| {
            let databases = filled.clone();
            async move {
                let record = databases.existing(&name(&recorded)).unwrap();
                match record.engine {
                    Engine::Sqlite => fill_file(&record.data),
                    Engine::Postgres => fill_server(&databases, &record).await,
                }
            }
        })
}

const FILL: &str = "CREATE TABLE t (a integer); INSERT INTO t VALUES (1), (2)";

fn fill_file(path: &std::path::Path) {
    rusqlite::Connection::open(path).unwrap().execute_batch(FILL).unwrap();
}

async fn fill_server(databases: &Databases, record: &Record) {
    connect(databases, record).await.batch_execute(FILL).await.unwrap();
}
