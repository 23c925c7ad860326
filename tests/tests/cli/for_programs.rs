//! With `--json` even an early failure has the form of the result.

use serde_json::Value;
use terrace_tests::{Project, Ran};

const STACK: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n";

fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn errors(ran: &Ran) -> Vec<String> {
    let is_error = |line: &&Value| line["type"] == "diagnostic" && line["diagnostic"]["severity"] == "error";
    let summary = |line: &Value| line["diagnostic"]["summary"].as_str().unwrap().to_owned();
    lines(ran).iter().filter(is_error).map(summary).collect()
}

#[test]
fn early_failure_is_a_stream() {
    let project = Project::with_stack(STACK);
    for words in [
        &["apply", "nope.yaml", "--json"] as &[&str],
        &["plan", "nope.yaml", "--format", "json-stream"],
        &["destroy", "nope.yaml", "--json"],
    ] {
        let ran = project.run(words.iter().copied()).with_code(1);
        assert_eq!(lines(&ran)[0]["type"], "version", "{ran}");
        assert_eq!(errors(&ran), ["there is no file `nope.yaml`"], "{words:?}");
    }
    let ran = project.run(["apply", "stack.yaml", "--json", "--env", "prod"]).with_code(1);
    assert_eq!(errors(&ran), ["the environment `prod` is not configured"]);
    project.write("broken.yaml", "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresource: []\n");
    let ran = project.run(["apply", "broken.yaml", "--json"]).with_code(1);
    let diagnostics = lines(&ran).into_iter().find(|line| line["type"] == "diagnostic").unwrap();
    assert_eq!(diagnostics["diagnostic"]["range"]["start"]["line"], 4, "{ran}");
}

#[test]
fn failure_continues_a_started_stream() {
    let project = Project::with_stack(STACK);
    let ran = project.run(["apply", "stack.yaml", "--json"]).with_code(1);
    assert_eq!(lines(&ran).iter().filter(|line| line["type"] == "version").count(), 1, "{ran}");
    assert_eq!(errors(&ran), ["there is no terminal to ask on, so nothing was changed"]);
}

#[test]
fn early_failure_is_a_document() {
    let project = Project::with_stack(STACK);
    for (words, message) in [
        (&["state", "show", "local_file.x", "--json"] as &[&str], "the state has no stacks"),
        (&["output", "--json"], "the state has no stacks"),
        (&["drift", "nope.yaml", "--json"], "there is no file `nope.yaml`"),
        (&["operations", "show", "nope", "--json"], "`nope` is not an operation: expected an id or its beginning"),
        (
            &["blueprints", "check", "nope.yaml", "--json"],
            "the blueprint `nope.yaml` cannot be read: it does not exist",
        ),
        (&["recover", "--json", "--env", "prod"], "the environment `prod` is not configured"),
        (
            &["stacks", "--json", "--state", "nope:x"],
            "--state: `nope:x` is not a state: expected `sqlite:PATH` or `postgres://…`",
        ),
    ] {
        let json = project.run(words.iter().copied()).with_code(1).json();
        assert_eq!(json["diagnostics"][0]["message"], message, "{words:?}: {json}");
        assert_eq!(json["errored"], true, "{words:?}");
    }
}

#[test]
fn state_is_listed_as_json() {
    let project = Project::with_stack(STACK);
    assert_eq!(project.run(["state", "list", "--json"]).done().json(), serde_json::json!([]));
    project.apply().done();
    let listed = serde_json::json!([
        { "stack": "demo@local", "address": "local_file.a", "status": "ready", "deposed": null, "in_doubt": false },
    ]);
    assert_eq!(project.run(["state", "list", "--json"]).done().json(), listed);
    assert_eq!(project.run(["state", "list", "--all", "--json"]).done().json(), listed);
    let recovered = project.run(["recover", "--json"]).done().json();
    assert_eq!(recovered, serde_json::json!({ "recovered": [], "diagnostics": [] }));
}
