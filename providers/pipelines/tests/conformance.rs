//! The behaviours of every provider, on all types, with the stand-in of dpp.

use crate::harness::Project;
use crate::put_server::{PutServer, TOKEN};
use crate::storage_fixtures;
use serde_json::json;
use std::fs;
use std::sync::Arc;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_provider::{Attributes, Recorded, Value};
use terrace_provider_pipelines::PipelinesProvider;

const SPEC: &str = "a:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data/a}\nb:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data/b}\n";

fn attributes(json: serde_json::Value) -> Attributes {
    match Value::from(json) {
        Value::Map(entries) => entries,
        other => panic!("attributes are a map, not {other:?}"),
    }
}

#[tokio::test]
async fn pipelines_and_runs_behave_as_all_resources_do() {
    let project = Project::new(SPEC);
    let (records, data) = (project.path(".terrace/pipelines/pipelines"), project.path("data"));
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
    let provider = PipelinesProvider::new();
    let server = Arc::new(PutServer::start());
    let mut settings = project.settings();
    settings.values.insert("webToken".to_owned(), TOKEN.into());
    let suite = Suite::new(&provider, settings).fixture(pipeline).fixture(run);
    let report = storage_fixtures::add(suite, &project, &server).run().await;
    server.assert_well_used();
    assert!(report.is_clean(), "{report}");
}
