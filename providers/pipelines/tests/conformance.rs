//! The behaviours of every provider, on all types, with the stand-in of dpp.

use crate::harness::Project;
use serde_json::json;
use std::fs;
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
    let provider = PipelinesProvider::new();
    let suite = Suite::new(&provider, project.settings()).fixture(pipeline).fixture(run).fixture(schedule);
    let report = suite.run().await;
    assert!(report.is_clean(), "{report}");
}
