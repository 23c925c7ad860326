//! Invalid specs: the valid pipelines are planned, applied and listed nevertheless. Invalid settings are reported at their place.

use crate::pipelines::runs::Pipelines;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use terrace_tests::{Project, shared, snapshot};

const SPEC: &str = "\
good: {title: Rows, schedule: {crontab: '0 1 2 * *'}, pipeline: [{run: noise}]}
other: {dependencies: [{pipeline: ./good}], pipeline: [{run: noise}]}
after: {dependencies: [{pipeline: ./bad/x}, {datapackage: data/datapackage.json}], pipeline: [{run: noise}]}
";

/// Creates valid pipelines beside one without its processor, one with a typing mistake, and a file with invalid YAML.
fn wrong() -> Pipelines {
    let pipelines = Pipelines::new(SPEC);
    pipelines.project.write("bad/pipeline-spec.yaml", "x:\n  pipeline:\n  - run: no_such_proc\n");
    pipelines.project.write("nopipe/pipeline-spec.yaml", "x:\n  pipline:\n  - run: noise\n");
    pipelines
        .project
        .write("noyaml/pipeline-spec.yaml", "x:\n  pipeline:\n  - run: noise\n  gcs_list_files\n    a: b\n");
    pipelines
}

#[test]
fn wrong_setting_is_reported_at_its_line() {
    let pipelines = Pipelines::new("good: {pipeline: [{run: noise}]}\n");
    let settings = "environments:\n  local:\n    providers:\n      pipelines:\n        maxParallel: 0\n";
    pipelines.project.write("terrace.yaml", settings);
    for command in [["pipelines", "run", "all"].as_slice(), &["pipelines", "init"], &["plan", "."]] {
        let refused = pipelines.run(command).with_code(1);
        refused.prints("`maxParallel` is 0: expected 1 or more").prints("terrace.yaml:5:9");
    }
}

#[test]
fn invalid_pipeline_does_not_stop_selected_valid_ones() {
    let pipelines = wrong();
    let plan = pipelines.run(&["plan", ".", "-c", "good"]).done();
    plan.prints("Plan: 2 to add").prints("other pipelines have errors in `bad/pipeline-spec.yaml`");
    pipelines.run(&["apply", ".", "-c", "good", "--auto-approve"]).done();
    pipelines.run(&["apply", ".", "-c", "other", "--auto-approve"]).done();
    // The selected pipeline and its dependencies must be valid.
    pipelines.run(&["plan", ".", "-c", "after"]).with_code(1).prints("there is no processor `no_such_proc`");
    pipelines.run(&["plan", ".", "-c", "bad/x"]).with_code(1).prints("there is no processor `no_such_proc`");
    let slip = pipelines.run(&["apply", ".", "-c", "nopipe/x", "--auto-approve"]).with_code(1);
    slip.prints("did you mean `pipeline`?");
    assert!(!slip.stderr.contains("no_such_proc"), "{slip}");
    // The selected pipeline may be in the unreadable file.
    let unknown = pipelines.run(&["plan", ".", "-c", "noyaml/x"]).with_code(1);
    unknown.prints("did you mean `gcs_list_files:`?");
    pipelines.run(&["validate", ".", "-c", "good"]).done();
    pipelines.run(&["validate", "."]).with_code(1);
}

#[test]
fn plan_shows_valid_pipelines_and_reports_invalid_ones() {
    let pipelines = wrong();
    let messages =
        ["there is no processor `no_such_proc`", "did you mean `pipeline`?", "did you mean `gcs_list_files:`?"];
    let plan = pipelines.run(&["plan", ".", "--out", "saved"]).with_code(1);
    plan.prints("\n  good\n").prints("\n  other\n").prints("Plan: 4 to add, 0 to change, 0 to destroy.");
    plan.prints("This plan has errors and cannot be applied.");
    for message in messages {
        plan.prints(message);
    }
    assert!(!plan.stdout.contains("\n  after\n") && !pipelines.project.has("saved"), "{plan}");
    let json = pipelines.run(&["plan", ".", "--format", "json"]).with_code(1).json();
    assert_eq!((&json["errored"], &json["applyable"]), (&Value::from(true), &Value::from(false)));
    assert_eq!(json["resource_changes"].as_array().unwrap().len(), 4, "{json}");
    messages.iter().for_each(|message| assert!(json.to_string().contains(message), "{message}: {json}"));
    // An apply does nothing.
    let refused = pipelines.run(&["apply", ".", "--auto-approve"]).with_code(1);
    for message in messages {
        refused.prints(message);
    }
    assert!(!pipelines.project.has(".terrace/pipelines/runs"));
    // An applied pipeline that is invalid now is kept in state and at its provider.
    pipelines.run(&["apply", ".", "-c", "good", "--auto-approve"]).done();
    pipelines.project.edit("pipeline-spec.yaml", "title: Rows", "title: 7");
    let none = pipelines.run(&["plan", "."]).with_code(1);
    none.prints("`title` is a number");
    assert!(!none.stdout.contains("destroy"), "{none}");
}

#[test]
fn pipelines_are_listed_with_their_errors() {
    let pipelines = wrong();
    snapshot!(pipelines.run(&["pipelines", "list"]), @r"
    exit: 1
    --- stdout
    ./good  (Rows)
      steps     noise
      schedule  0 1 2 * *
    ./other
      steps     noise
      after     ./good
    ./after  cannot be run
      steps     noise
      after     ./bad/x, the data package data/datapackage.json
    ./bad/x  cannot be run
      steps     no_such_proc
      error     bad/pipeline-spec.yaml:3:5: ./bad/x, step 1 (`no_such_proc`): there is no processor `no_such_proc`; put `no_such_proc.py` next to the spec, or use a processor of dpp
    ./nopipe/x  cannot be run
      error     nopipe/pipeline-spec.yaml:2:3: ./nopipe/x: `pipline` means nothing here; did you mean `pipeline`?
    noyaml/pipeline-spec.yaml
      error     noyaml/pipeline-spec.yaml:4:3: a `:` is missing after the key; did you mean `gcs_list_files:`?
    ");
    let ran = pipelines.run(&["pipelines", "list", "bad", "--format", "json"]).done();
    let json = ran.json();
    assert_eq!(json["pipelines"][0]["pipeline_id"], "./x");
    assert_eq!(json["pipelines"][0]["runnable"], false);
    let problem = &json["pipelines"][0]["problems"][0];
    assert_eq!(
        (&problem["code"], &problem["file"], &problem["line"]),
        (&Value::from("no_processor"), &Value::from("bad/pipeline-spec.yaml"), &Value::from(3))
    );
    assert!(!pipelines.project.has(".terrace"), "it was only looked at");
    pipelines.run(&["pipelines", "list", "nowhere"]).with_code(1).prints("`nowhere`");
    pipelines.run(&["pipelines", "list", "noyaml", "--json"]).with_code(1).prints("gcs_list_files");
}

#[test]
fn corpus_pipelines_are_listed_without_their_processors() {
    let Some(corpus) = shared("pipelines/corpus") else { return };
    let project = Project::new();
    let index = fs::read_to_string(corpus.join("INDEX.tsv")).unwrap();
    let mut expected = BTreeMap::new();
    for (position, line) in index.lines().skip(1).enumerate() {
        let columns: Vec<&str> = line.split('\t').collect();
        let name = Path::new(columns[2]).file_name().unwrap().to_str().unwrap();
        let Ok(text) = fs::read_to_string(corpus.join(columns[0])) else { continue };
        project.write(&format!("all/f{position}/{name}"), &text);
        if !name.ends_with(".source-spec.yaml") {
            let counts: (usize, usize) = (columns[5].parse().unwrap(), columns[6].parse().unwrap());
            expected.insert(format!("all/f{position}/{name}"), counts);
        }
    }
    let listed = project.run(["pipelines", "list", "all", "--format", "json"]).done().json();
    let mut found: BTreeMap<String, (usize, usize)> = expected.keys().map(|file| (file.clone(), (0, 0))).collect();
    let (mut schedules, mut dependencies, mut missing) = (0, 0, 0);
    for pipeline in listed["pipelines"].as_array().unwrap() {
        let of_file = found.get_mut(pipeline["file"].as_str().unwrap()).unwrap();
        *of_file = (of_file.0 + 1, of_file.1 + pipeline["steps"].as_array().unwrap().len());
        schedules += usize::from(pipeline["schedule"].is_string());
        dependencies += usize::from(pipeline["dependencies"].as_array().is_some_and(|it| !it.is_empty()));
        missing += usize::from(pipeline["runnable"] == false);
    }
    assert_eq!(found, expected);
    assert!(schedules >= 5 && dependencies >= 4 && missing > 0, "{schedules} {dependencies} {missing}");
    assert!(!listed["sources"].as_array().unwrap().is_empty());
    // Pipelines whose processors exist are planned.
    project.write("all/own/pipeline-spec.yaml", "x: {pipeline: [{run: load_metadata, parameters: {url: x.json}}]}\n");
    project.run(["plan", "all", "-c", "own/x"]).done().prints("Plan: 2 to add");
    project.run(["plan", "all"]).with_code(1).prints("pipelines_run.run");
}
