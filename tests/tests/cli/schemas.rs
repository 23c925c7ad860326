//! `--json` output matches `cli/schemas` to the last field.

use serde_json::{Value as Json, json};
use std::io::Write;
use terrace_tests::Project;

const SCHEMA: &str = include_str!("../../../cli/schemas/commands.schema.json");

/// Forbids fields that the schema does not name. Readers outside the tests must ignore such fields.
fn strict(schema: &mut Json) {
    match schema {
        Json::Object(entries) => {
            if entries.contains_key("properties") {
                entries.insert("additionalProperties".to_owned(), Json::Bool(false));
            }
            entries.values_mut().for_each(strict);
        }
        Json::Array(items) => items.iter_mut().for_each(strict),
        _ => {}
    }
}

pub(crate) fn assert_is(form: &str, output: &Json) {
    let mut schema: Json = serde_json::from_str(SCHEMA).unwrap();
    assert!(schema["$defs"].get(form).is_some(), "there is no `{form}`");
    strict(&mut schema);
    schema["$ref"] = json!(format!("#/$defs/{form}"));
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults: Vec<String> =
        validator.iter_errors(output).map(|fault| format!("{fault} at {}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{form}: {faults:#?}\n{output:#}");
}

#[test]
fn every_command_matches_its_schema() {
    let project = Project::with_stack(
        "variables: {v: {type: int, default: 1}}\nresources:\n  \
         - {type: local_file, name: a, config: {path: a.txt, content: '${{ string(vars.v) }}'}}\n  \
         - {type: local_command, name: c, config: {create: [sh, -c, 'exit 4'], find: [echo, 'null']}}\n\
         outputs: {v: '${{ vars.v }}'}\n",
    );
    project.apply().with_code(3);
    let json_of = |words: &[&str]| project.run(words.iter().copied().chain(["--json"])).json();
    let operation = json_of(&["operations", "list"])[0]["operation"].as_str().unwrap().to_owned();
    for (form, words) in [
        ("version", &["version"] as &[&str]),
        ("validate", &["validate", "stack.yaml"]),
        ("validate", &["blueprints", "check"]),
        ("stateList", &["state", "list"]),
        ("stateShow", &["state", "show", "local_file.a"]),
        ("show", &["show"]),
        ("stateHistory", &["state", "history", "local_file.a"]),
        ("stateMigrate", &["state", "migrate", "--to", "sqlite:new.db"]),
        ("stacks", &["stacks", "list"]),
        ("operations", &["operations", "list"]),
        ("operationShow", &["operations", "show", &operation]),
        ("leases", &["leases", "list"]),
        ("output", &["output"]),
        ("providers", &["providers", "list"]),
        ("providerSchema", &["providers", "schema", "local"]),
        ("providerSchema", &["providers", "schema", "sqlite"]),
        ("blueprints", &["blueprints", "list"]),
        ("doctor", &["doctor"]),
        ("recover", &["recover"]),
        ("failure", &["state", "show", "local_file.none"]),
        ("failure", &["output", "none"]),
    ] {
        assert_is(form, &json_of(words));
    }
    project.write_stack("resources: [{type: nothing}]\n");
    assert_is("validate", &json_of(&["validate", "stack.yaml"]));
}

#[test]
fn pipeline_results_match_their_schema() {
    let project = Project::new();
    project.write("pipeline-spec.yaml", "x: {pipeline: [{run: no_such}]}\ny: {pipeline: [{run: slow}]}\n");
    project.write("slow.py", "");
    // Without an interpreter no step runs, and no network is used.
    project.write(
        "terrace.yaml",
        "environments: {local: {overlay: embedded, providers: {pipelines: {python: /nowhere}}}}",
    );
    let result = project.run(["pipelines", "run", "--json"]).with_code(1).json();
    assert_eq!(result["results"][0]["errors"][0]["processor"], "environment");
    assert_is("run", &result);
    assert_is("pipelines", &project.run(["pipelines", "list", "--json"]).done().json());
    assert_is("failure", &project.run(["pipelines", "run", "./x", "--json"]).with_code(1).json());
}

#[test]
fn pipeline_databases_match_their_schema() {
    let project = Project::with_stack(
        "resources:\n  - {type: pipelines_database, name: d, config: {name: d, engine: sqlite, ttl: 10m}}\n",
    );
    let key = ("TERRACE_STATE_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let run = |words: &[&str]| project.run_with(&[key], words.iter().copied()).done();
    run(&["apply", "stack.yaml", "--auto-approve"]);
    assert_is("databases", &run(&["pipelines", "databases", "--json"]).json());
    assert_is("databaseShow", &run(&["pipelines", "databases", "show", "d", "--json"]).json());
    assert_is("databaseShow", &run(&["pipelines", "databases", "show", "d", "--json", "--reveal"]).json());
    run(&["destroy", "stack.yaml", "--auto-approve", "--remove-data"]);
}

#[test]
fn held_and_interrupted_resources_match_their_schema() {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: c\n    config:\n      \
         create: [sh, -c, 'echo $$ > pid; read line < gate; echo {}']\n      find: [echo, '{}']\n",
    );
    project.make_gate("gate");
    let apply = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    terrace_tests::until("it creates", || project.has("pid") && !project.read("pid").is_empty());
    let json_of = |words: &[&str]| project.run(words.iter().copied().chain(["--json"])).json();
    assert_is("leases", &json_of(&["leases", "list"]));
    assert_is("stateList", &json_of(&["state", "list"]));
    assert_is("operations", &json_of(&["operations", "list"]));
    apply.kill();
    apply.finish().with_code(-1);
    assert_is("operations", &json_of(&["operations", "list"]));
    assert_is("stateList", &json_of(&["state", "list"]));
    // The gate is opened for reading too, so the write does not block if the program is gone.
    let mut gate = std::fs::OpenOptions::new().read(true).write(true).open(project.path("gate")).unwrap();
    gate.write_all(b"open\n").unwrap();
    let recovered = json_of(&["recover"]);
    assert_eq!(recovered["recovered"].as_array().unwrap().len(), 1);
    assert_is("recover", &recovered);
}
