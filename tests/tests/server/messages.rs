//! Status messages of the server: results, errors, and repeated requests.

use crate::server::requests::{log, messages, product, project, with_selected};
use serde_json::{Value as Json, json};
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

const PRODUCT: &str = "DATAPRODUCT_DESCRIPTOR";
const COMPONENT: &str = "COMPONENT_DESCRIPTOR";

/// Creates a product whose objects have a link, a computed label, and entries from a program.
fn with_pages() -> Project {
    let project = project();
    project.edit(
        "blueprints/thing.yaml",
        "name: {label: Its name, value: '${{ resources.made.output.name }}'}",
        "name: {label: '${{ \"The name of \" + component.name }}', value: '${{ resources.made.output.name }}', \
         href: '${{ \"https://things.example/\" + resources.made.output.name }}', type: link}, \
         more: {type: entries, value: '${{ {\"id\": {\"type\": \"date\", \"label\": \"Made\", \"value\": \"today\"}, \"plain\": 1} }}'}",
    );
    project
}

fn name(of: &str) -> Json {
    json!({"type": "link", "label": format!("The name of {of}"), "value": of, "href": format!("https://things.example/{of}")})
}

#[test]
fn outputs_have_links_and_labels_or_are_entries() {
    let project = with_pages();
    let server = Served::start(&project, &[]);
    let status = server.wait_for_end(&server.submit("/v1/provision", &with_selected("a", &["a", "b"])));
    let id = json!({"type": "date", "label": "Made", "value": "today"});
    let plain = json!({"type": "string", "label": "plain", "value": "1"});
    assert_eq!(status["info"]["publicInfo"], json!({"name": name("a"), "id": id, "plain": plain}), "{status}");
    // The entry is also a normal output.
    let outputs = project.run(["output", "--stack", "finance.cash.0@test", "--format", "json"]).done().stdout;
    assert!(outputs.contains("name.href") && outputs.contains("https://things.example/a"), "{outputs}");
}

#[test]
fn entries_of_several_components_do_not_overwrite_each_other() {
    let project = with_pages();
    let server = Served::start(&project, &[]);
    let status = server.wait_for_end(&server.submit("/v1/provision", &product(&["a", "b"])));
    let output = &status["info"]["publicInfo"];
    assert_eq!((&output["a.name"], &output["b.name"]), (&name("a"), &name("b")), "{status}");
    assert_eq!(output.as_object().unwrap().len(), 6, "{status}");
}

#[test]
fn provision_logs_each_phase() {
    let project = project();
    let server = Served::start(&project, &[]);
    let log = messages(&server.wait_for_end(&server.submit("/v1/provision", &with_selected("a", &["a", "b"]))));
    let phases: Vec<&str> = log.lines().filter_map(|line| line.split(' ').next()).collect();
    let first = |phase: &str| phases.iter().position(|it| *it == phase).unwrap();
    assert!(first("validate") < first("plan") && first("plan") < first("apply"), "{log}");
    assert!(log.contains("validate `a` is valid: the blueprint is thing 1.0.0\n") && !log.contains("`b`"), "{log}");
}

#[test]
fn validation_gives_a_hint_and_needs_its_component() {
    let project = project();
    let server = Served::start(&project, &[]);
    let elsewhere = product(&["a"]).replace("environment: test", "environment: moon");
    let response = server.send("/v1/validate", PRODUCT, &elsewhere).json();
    assert_eq!(
        response["error"]["errors"],
        json!(["descriptor:6:14: the environment `moon` is not configured (configured environments: test)"])
    );
    let misspelt = product(&["a"]).replace("specific: {name: a}", "specific: {nam: a}");
    let response = server.send("/v1/validate", PRODUCT, &misspelt).json().to_string();
    assert!(response.contains("(did you mean `name`?"), "{response}");
    for (kind, text, field) in [
        (COMPONENT, product(&["a"]), "descriptor.componentIdToProvision"),
        ("BANANA", product(&["a"]), "descriptorKind"),
        ("DATAPRODUCT_DESCRIPTOR_WITH_RESULTS", product(&["a"]), "descriptorKind"),
    ] {
        let answer = server.send("/v2/validate", kind, &text);
        assert_eq!((answer.status, &answer.json()["inputErrorField"]), (400, &json!(field)), "{kind}: {answer:?}");
    }
    let whole = server.send("/v2/validate", "DATAPRODUCT_DESCRIPTOR_WITH_RESULTS", &with_selected("a", &["a"]));
    assert_eq!(whole.status, 202, "{whole:?}");
    assert_eq!(project.run(["operations", "list"]).done().stdout.lines().count(), 1);
}

#[test]
fn component_is_removed_by_id_and_environment_if_known() {
    let project = project();
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &product(&["a", "b"])))["status"], "COMPLETED");
    let bare = |component: &str, components: &str| {
        format!(
            "dataProduct: {{id: 'urn:dmb:dp:finance:cash:0', environment: test{components}}}\n\
             componentIdToProvision: urn:dmb:cmp:finance:cash:0:{component}\n"
        )
    };
    for path in ["/v1/provision", "/v2/validate"] {
        assert_eq!(server.send(path, COMPONENT, &bare("a", ", components: []")).status, 400, "{path}");
    }
    // Unknown ids, and ids of other products, are refused.
    let listed = |id: &str| {
        let of = "componentIdToProvision: urn:dmb:cmp:finance:cash:0:a";
        with_selected("a", &["a", "b"]).replace(of, &format!("componentIdToProvision: '{id}'"))
    };
    let others = ["urn:dmb:cmp:finance:cash:1:a", "urn:dmb:cmp:sales:x:0:a", "foo:a", "urn:dmb:cmp:finance:cash:0:a "];
    let others = others.map(listed).into_iter().chain([bare("c", ", components: []"), bare("c", "")]);
    for text in others {
        let answer = server.send("/v1/unprovision", COMPONENT, &text);
        assert!(answer.status == 400, "{text}: {answer:?}");
    }
    assert!(project.has("made-a") && project.has("made-b"));
    for (component, components) in [("a", ""), ("b", ", components: []")] {
        let answer = server.send("/v1/unprovision", COMPONENT, &bare(component, components));
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(server.wait_for_end(&answer.body)["status"], "COMPLETED");
        assert!(!project.has(&format!("made-{component}")));
    }
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
}

#[test]
fn idempotency_key_is_for_one_call_of_one_kind() {
    let project = project();
    let server = Served::start(&project, &[]);
    let body = json!({"descriptor": product(&["a"])}).to_string();
    let key = |key: &'static str| [("idempotency-key", key)];
    let plan = server.call_with("POST", "/api/v1/plans", &body, &key("mine"));
    assert_eq!(plan.status, 200, "{plan:?}");
    let apply = format!("/api/v1/plans/{}/apply", plan.json()["id"].as_str().unwrap());
    assert_eq!(server.call_with("POST", &apply, "", &key("mine")).status, 422);
    let applied = server.call_with("POST", &apply, "", &key("other"));
    assert_eq!(applied.status, 202, "{applied:?}");
    assert_eq!(server.call_with("POST", "/api/v1/plans", &body, &key("other")).status, 422);
    assert_eq!(server.call_with("POST", &apply, "", &key("other")).body, applied.body);
}

#[test]
fn unknown_cursor_is_refused_and_drift_needs_no_body() {
    let project = project();
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &product(&["a"])))["status"], "COMPLETED");
    for after in ["zzz", "01a1fdad-ab09-71aa-a181-26f66a460be5"] {
        let answer = server.call("GET", &format!("/api/v1/operations?after={after}"), "");
        assert!(answer.status == 400 && answer.body.contains("start with the first page"), "{answer:?}");
    }
    let begun = server.call("POST", "/api/v1/drift", "");
    assert_eq!((begun.status, begun.json().as_array().map(Vec::len)), (202, Some(1)), "{begun:?}");
    assert_eq!(server.call("POST", "/api/v1/drift", "null").status, 202);
    // One key covers the scans of all stacks.
    let other = product(&["b"]).replace("finance:cash", "finance:other");
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &other))["status"], "COMPLETED");
    let keyed = || server.call_with("POST", "/api/v1/drift", "", &[("idempotency-key", "mine")]);
    let (first, again) = (keyed(), keyed());
    assert_eq!((first.status, first.json().as_array().map(Vec::len)), (202, Some(2)), "{first:?}");
    assert_eq!(again.body, first.body);
    assert_eq!(server.call("POST", "/api/v1/drift", "[]").status, 400);
}

#[test]
fn summary_includes_steps_done_before_a_crash() {
    let project = project();
    project.make_gate("gate-a");
    let server = Served::start(&project, &[]);
    let token = server.submit("/v1/provision", &product(&["a"]));
    until("the creation runs", || project.has("started-a"));
    server.kill();
    drop(server);
    project.open_gate("gate-a");
    until("the object exists", || project.has("made-a"));
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    assert_eq!(log(&project), ["a"]);
    let listed = project.run(["operations", "list"]).done().stdout;
    assert!(listed.contains(": 1 done"), "{listed}");
}

#[test]
fn request_waiting_for_a_command_does_not_block_others() {
    let project = project();
    project.make_gate("gate-a");
    project.write("a.yaml", with_selected("a", &["a", "b"]));
    let applying = project.start(project.command(["apply", "a.yaml", "--auto-approve"]));
    until("the creation runs", || project.has("started-a"));
    let server = Served::start(&project, &["--workers", "1"]);
    let waiting = server.submit("/v1/provision", &with_selected("a", &["a", "b"]));
    let other = server.submit("/v1/provision", &with_selected("b", &["a", "b"]));
    assert_eq!(server.wait_for_end(&other)["status"], "COMPLETED");
    let output = server.status(&waiting);
    assert_eq!(output["status"], "RUNNING", "{output}");
    assert!(messages(&output).contains("is held by"), "{output}");
    project.open_gate("gate-a");
    applying.finish().done();
    assert_eq!(server.wait_for_end(&waiting)["status"], "COMPLETED");
    assert_eq!(log(&project), ["a", "b"], "each is made once");
}

#[test]
fn step_in_doubt_is_an_error_that_names_its_remedy() {
    let project = project();
    project.write("make.sh", "cat > /dev/null\nexit 3\n");
    project.edit(
        "blueprints/thing.yaml",
        "find: [sh, -c, 'cat made-$0 2>/dev/null || echo null',",
        "find: [sh, -c, 'exit 1',",
    );
    let server = Served::start(&project, &[]);
    // First the step comes into doubt, then a request finds it in doubt.
    for _ in 0..2 {
        let status = server.wait_for_end(&server.submit("/v1/provision", &with_selected("a", &["a"])));
        assert_eq!(status["status"], "FAILED", "{status}");
        assert!(status["result"].as_str().unwrap().contains("`terrace recover`"), "{status}");
        assert!(status["logs"].as_array().unwrap().iter().any(|line| line["level"] == "ERROR"), "{status}");
    }
}
