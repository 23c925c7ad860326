//! Witboost's coordinator calls: each request runs once, even if the server is killed meanwhile.

use serde_json::Value as Json;
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

const PRODUCT: &str = "DATAPRODUCT_DESCRIPTOR";
const COMPONENT: &str = "COMPONENT_DESCRIPTOR";

/// Creates a project with a blueprint for objects that a program creates. The program waits at a gate if one exists.
pub(crate) fn project() -> Project {
    let project = Project::new();
    project.write("terrace.yaml", "environments: {test: {}}\n");
    project.write(
        "blueprints/thing.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: thing, version: 1.0.0}\n\
         match: {kind: workload}\nspecific:\n  type: object\n  required: [name]\n  additionalProperties: false\n  \
         properties: {name: {type: string}}\nresources:\n  - type: local_command\n    name: made\n    config:\n      \
         create: [sh, make.sh, '${{ component.specific.name }}']\n      \
         find: [sh, -c, 'cat made-$0 2>/dev/null || echo null', '${{ component.specific.name }}']\n      \
         delete: [sh, -c, 'rm made-$0', '${{ component.specific.name }}']\n\
         outputs:\n  public: {name: {label: Its name, value: '${{ resources.made.output.name }}'}}\n  \
         private: {kind: {value: thing}}\n",
    );
    project.write(
        "make.sh",
        "cat > /dev/null\ntouch started-$1\nif [ -p gate-$1 ]; then read line < gate-$1; [ ! -e in-vain ] || { rm in-vain gate-$1; exit 1; }; fi\n\
         echo $1 >> log\necho \"{\\\"name\\\": \\\"$1\\\"}\" > new-$1\nmv new-$1 made-$1\ncat made-$1\n",
    );
    project
}

pub(crate) fn product(components: &[&str]) -> String {
    let component = |name: &&str| {
        format!(
            "- {{id: 'urn:dmb:cmp:finance:cash:0:{name}', name: {name}, kind: workload, version: 0.0.0, \
             useCaseTemplateId: 'urn:dmb:utm:thing:0.0.0', dependsOn: [], specific: {{name: {name}}}}}\n"
        )
    };
    format!(
        "id: urn:dmb:dp:finance:cash:0\nname: Cash\nkind: dataproduct\ndomain: finance\nversion: 0.1.0\n\
         environment: test\ndataProductOwner: user:jane.doe_example.com\nspecific: {{}}\ncomponents:\n{}",
        components.iter().map(component).collect::<String>()
    )
}

/// Returns the same product with one component selected.
pub(crate) fn with_selected(component: &str, components: &[&str]) -> String {
    let product = product(components).lines().map(|line| format!("  {line}\n")).collect::<String>();
    format!("dataProduct:\n{product}componentIdToProvision: urn:dmb:cmp:finance:cash:0:{component}\n")
}

pub(crate) fn log(project: &Project) -> Vec<String> {
    let mut log: Vec<String> = project.read("log").lines().map(str::to_owned).collect();
    log.sort();
    log
}

pub(crate) fn messages(status: &Json) -> String {
    let lines = status["logs"].as_array().unwrap().iter();
    lines.map(|line| format!("{} {}\n", line["phase"].as_str().unwrap(), line["message"].as_str().unwrap())).collect()
}

#[test]
fn product_is_validated_provisioned_and_unprovisioned() {
    let project = project();
    let server = Served::start(&project, &[]);
    let text = product(&["a", "b"]);
    assert_eq!(server.send("/v1/validate", PRODUCT, &text).body, r#"{"valid":true}"#);
    assert!(!project.has("started-a") && project.run(["operations", "list"]).done().stdout.is_empty());
    let answer = server.send("/v1/provision", PRODUCT, &text);
    assert_eq!((answer.status, answer.content_type.as_str()), (202, "text/plain; charset=utf-8"));
    assert_eq!(answer.body.len(), 36, "a bare token: {answer:?}");
    let status = server.wait_for_end(&answer.body);
    assert_eq!((status["status"].as_str(), status["result"].as_str()), (Some("COMPLETED"), Some("")), "{status}");
    assert_eq!(log(&project), ["a", "b"]);
    let output = messages(&status);
    assert!(output.contains("plan Plan: 2 to add, 0 to change, 0 to destroy.\n"), "{output}");
    for name in ["a", "b"] {
        let address = format!("apply {name}/local_command.made: ");
        assert_eq!(output.matches(&address).count(), 2, "{output}");
        assert!(
            output.find(&format!("{address}creating...\n")) < output.find(&format!("{address}created after ")),
            "{output}"
        );
    }
    // The base path of the newer specification works too.
    let again = server.submit("/datamesh.specificprovisioner/v1/provision", &text);
    let status = server.wait_for_end(&again);
    assert_eq!(status["status"], "COMPLETED");
    assert!(messages(&status).contains("No changes."), "{status}");
    let gone = server.wait_for_end(&server.submit("/v1/unprovision", &text));
    assert_eq!(gone["status"], "COMPLETED", "{gone}");
    assert!(!project.has("made-a") && !project.has("made-b"));
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
    assert_eq!(
        server.wait_for_end(&server.submit("/v1/unprovision", &text))["status"],
        "COMPLETED",
        "nothing is left to do"
    );
    let listed = project.run(["operations", "list"]).done().stdout;
    assert_eq!(
        (listed.matches("  provision  completed").count(), listed.matches("  unprovision  completed").count()),
        (2, 2)
    );
    assert_eq!(server.stop().code, 0);
}

#[test]
fn created_object_is_described_as_its_blueprint_declares() {
    let project = project();
    let server = Served::start(&project, &[]);
    let status = server.wait_for_end(&server.submit("/v1/provision", &with_selected("a", &["a", "b"])));
    let entry = |label: &str, value: &str| serde_json::json!({"type": "string", "label": label, "value": value});
    assert_eq!(status["info"]["publicInfo"], serde_json::json!({"name": entry("Its name", "a")}), "{status}");
    assert_eq!(status["info"]["privateInfo"], serde_json::json!({"kind": entry("kind", "thing")}));
}

#[test]
fn text_of_the_descriptor_selects_the_provisioned_resources() {
    let project = project();
    let server = Served::start(&project, &[]);
    let refused = server.send("/v1/provision", COMPONENT, &product(&["a", "b"]));
    assert_eq!(
        (refused.status, refused.json()["inputErrorField"].as_str().unwrap()),
        (400, "descriptor.componentIdToProvision")
    );
    let one = server.send("/v1/provision", PRODUCT, &with_selected("b", &["a", "b"]));
    assert_eq!(server.wait_for_end(&one.body)["status"], "COMPLETED");
    assert_eq!(log(&project), ["b"]);
    let other = server.send("/v1/provision", COMPONENT, &with_selected("a", &["a", "b"]));
    assert_eq!(server.wait_for_end(&other.body)["status"], "COMPLETED");
    assert_eq!(log(&project), ["a", "b"]);
}

#[test]
fn invalid_request_is_refused_by_field_and_changes_nothing() {
    let project = project();
    let server = Served::start(&project, &[]);
    let elsewhere = product(&["a"]).replace("environment: test", "environment: moon");
    let answer = server.send("/v1/provision", PRODUCT, &elsewhere);
    let output = answer.json();
    assert_eq!(
        (answer.status, output["inputErrorField"].as_str()),
        (400, Some("descriptor.environment")),
        "{answer:?}"
    );
    assert_eq!(output["moreInfo"]["solutions"][0], "configured environments: test");
    // A plain stack could declare a command, or read any file.
    let stack = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: a}\nresources: []\n";
    for path in ["/v1/provision", "/v1/unprovision", "/v2/validate", "/api/v1/plans"] {
        let answer = server.call("POST", path, &serde_json::json!({"descriptor": stack}).to_string());
        assert!(
            answer.status == 400 && answer.body.contains("this server accepts data products only"),
            "{path}: {answer:?}"
        );
    }
    let misspelt = product(&["a"]).replace("specific: {name: a}", "specific: {nam: a}");
    let answer = server.send("/v1/provision", PRODUCT, &misspelt);
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.json()["moreInfo"]["problems"].as_array().unwrap().len() >= 2, "all at once: {answer:?}");
    let valid = server.send("/v1/validate", PRODUCT, &misspelt);
    assert_eq!((valid.status, &valid.json()["valid"]), (200, &Json::Bool(false)), "{valid:?}");
    for (path, body) in [
        ("/v1/provision", "no JSON"),
        ("/v1/provision", "{}"),
        ("/v1/provision", r#"{"descriptor": 1}"#),
        ("/v1/provision", r#"{"descriptor": ""}"#),
        ("/v1/provision", r#"{"descriptor": "a: [b"}"#),
        ("/v2/validate", r#"{"descriptor": "kind: Banana"}"#),
        ("/v1/unprovision", r#"{"descriptor": "- a"}"#),
    ] {
        let answer = server.call("POST", path, body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(!answer.json()["errors"].as_array().unwrap().is_empty(), "{answer:?}");
    }
    for token in ["x", "01a1fdad-ab09-71aa-a181-26f66a460be5"] {
        let answer = server.call("GET", &format!("/v1/provision/{token}/status"), "");
        assert_eq!((answer.status, answer.json()["inputErrorField"].as_str().unwrap()), (400, "token"));
    }
    assert_eq!(project.run(["operations", "list"]).done().stdout, "");
}

#[test]
fn same_request_has_one_token_while_it_runs() {
    let project = project();
    project.make_gate("gate-a");
    let server = Served::start(&project, &[]);
    let text = product(&["a"]);
    let first = server.submit("/v1/provision", &text);
    until("it runs", || project.has("started-a"));
    // Another spelling of the same descriptor is the same request.
    let spaced = text.replace("name: Cash", "name:   'Cash'");
    assert_eq!(server.submit("/v1/provision", &spaced), first);
    let id = "id: urn:dmb:dp:finance:cash:0\n";
    let in_other_order = text.replacen(id, "", 1).replacen("name: Cash\n", &format!("name: Cash\n{id}"), 1);
    assert_eq!(server.submit("/v1/provision", &in_other_order), first);
    let second = server.submit("/v1/provision", &text.replace("0.1.0", "0.2.0"));
    assert_ne!(second, first);
    assert_eq!(server.status(&first)["status"], "RUNNING");
    let waiting = server.status(&second);
    let line = (&waiting["status"], &waiting["logs"][0]["message"]);
    let message = format!("waits for operation {first} on the same component");
    assert_eq!(line, (&"RUNNING".into(), &message.into()), "{waiting}");
    project.open_gate("gate-a");
    assert_eq!(server.wait_for_end(&first)["status"], "COMPLETED");
    assert_ne!(server.submit("/v1/provision", &text), first, "it has ended");
}

#[test]
fn killed_server_continues_after_a_restart() {
    let project = project();
    project.make_gate("gate-a");
    let server = Served::start(&project, &[]);
    let token = server.submit("/v1/provision", &product(&["a", "b"]));
    until("both are being made", || project.has("started-a") && project.has("made-b"));
    let waiting = server.submit("/v1/provision", &product(&["a", "b", "c"]));
    server.kill();
    drop(server);
    project.open_gate("gate-a");
    until("the program that outlived it has ended", || project.has("made-a"));
    let server = Served::start(&project, &[]);
    let status = server.wait_for_end(&token);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert_eq!(server.wait_for_end(&waiting)["status"], "COMPLETED");
    assert_eq!(log(&project), ["a", "b", "c"], "each is made once");
    assert!(messages(&status).contains("recover "), "{status}");
}

#[test]
fn terminated_request_stops_and_reports_it() {
    let project = project();
    project.make_gate("gate-a");
    let server = Served::start(&project, &["--workers", "1"]);
    let running = server.submit("/v1/provision", &product(&["a"]));
    until("it runs", || project.has("started-a"));
    let waiting = server.submit("/v1/unprovision", &product(&["a"]));
    assert_eq!(server.call("DELETE", &format!("/v1/provision/{waiting}"), "").status, 202);
    // The terminated request had not begun, and leaves the queue.
    let status = server.status(&waiting);
    assert_eq!([&status["status"], &status["result"]], ["TERMINATED", "stopped before it began"]);
    assert!(messages(&status).ends_with("stop stopped before it began\n"), "{status}");
    let waiting = server.submit("/v1/unprovision", &product(&["a"]));
    let stopped = project.run(["operations", "cancel", &waiting]).done();
    stopped.prints(&format!("operation {waiting} is stopped: it had not started"));
    project.run(["operations", "logs", &waiting]).done().prints("stop: stopped before it began");
    assert_eq!(server.status(&waiting)["status"], "TERMINATED");
    let waiting = server.submit("/v1/unprovision", &product(&["a"]));
    let cancel = |operation: &str| server.call("POST", &format!("/api/v1/operations/{operation}/cancel"), "").status;
    assert_eq!([cancel(&waiting), cancel(&waiting)], [202, 409], "it has ended");
    assert_eq!(server.status(&running)["status"], "RUNNING");
    let ended = server.call("GET", "/metrics", "").body;
    let ended = ended.lines().find(|line| line.starts_with("terrace_operations_total{kind=\"unprovision\""));
    assert_eq!(ended, Some(r#"terrace_operations_total{kind="unprovision",status="interrupted"} 2"#), "by this server");
    project.open_gate("gate-a");
    assert_eq!(server.wait_for_end(&running)["status"], "COMPLETED");
    assert!(project.has("made-a"), "it was not removed");
    let answer = server.call("DELETE", &format!("/v1/provision/{running}"), "");
    assert_eq!((answer.status, answer.json()["status"].as_str().unwrap()), (200, "COMPLETED"), "it has ended");
}

#[test]
fn external_calls_need_an_explicit_setting() {
    let project = project();
    let ran = project.run(["serve", "--bind", "0.0.0.0:0"]).with_code(1);
    ran.prints("`0.0.0.0:0` is reachable from other machines").prints("bind to 127.0.0.1");
}

/// Creates a product with a port that grants access, and a workload that does not.
fn with_port() -> (Project, String) {
    let project = project();
    project.write(
        "blueprints/port.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: port, version: 1.0.0}\nmatch: {kind: outputport}\n\
         specific: {type: object}\nresources:\n  - {type: local_file, name: data, config: {path: port/data.txt, content: x}}\n\
         acl:\n  resources:\n    - type: local_file\n      name: grant\n      forEach: ${{ acl.principals }}\n      \
         config: {path: '${{ \"port/\" + normalize(each.value) }}', content: '${{ resources.data.path }}'}\n",
    );
    let product = product(&["a", "port"]).replace("name: port, kind: workload", "name: port, kind: outputport");
    (project, product)
}

fn access(component: &str, product: &str, refs: &[&str]) -> String {
    let product = product.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let request = format!("dataProduct:\n{product}componentIdToProvision: urn:dmb:cmp:finance:cash:0:{component}\n");
    serde_json::json!({"refs": refs, "provisionInfo": {"request": request, "result": ""}}).to_string()
}

fn granted(project: &Project) -> Vec<String> {
    let found = std::fs::read_dir(project.path("port")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = found.map(|name| name.into_string().unwrap()).filter(|it| it != "data.txt").collect();
    names.sort();
    names
}

#[test]
fn complete_set_of_principals_is_granted_and_kept() {
    let (project, product) = with_port();
    let served = Served::start(&project, &[]);
    let refused = served.call("POST", "/v1/updateacl", &access("a", &product, &["user:ada"]));
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(
        refused.body.contains("has no `acl`") && refused.body.contains("these blueprints have `acl`: "),
        "{refused:?}"
    );
    // Access to a missing object cannot be granted.
    let early = served.call("POST", "/v1/updateacl", &access("port", &product, &["user:ada"]));
    assert_eq!(served.wait_for_end(&early.body)["status"], "FAILED");
    assert_eq!(served.wait_for_end(&served.submit("/v1/provision", &product))["status"], "COMPLETED");
    for (refs, expected) in [
        (vec!["user:ada", "group:readers"], vec!["group_readers", "user_ada"]),
        (vec!["user:bob", "user:ada"], vec!["user_ada", "user_bob"]),
    ] {
        let answer = served.call("POST", "/v1/updateacl", &access("port", &product, &refs));
        assert_eq!(answer.status, 202, "{answer:?}");
        let status = served.wait_for_end(&answer.body);
        assert_eq!(status["status"], "COMPLETED", "{status}");
        assert_eq!(granted(&project), expected);
        let output: Vec<&str> =
            status["info"]["aclInfo"].as_array().unwrap().iter().map(|it| it["identity"].as_str().unwrap()).collect();
        let mut refs = refs.clone();
        refs.sort();
        assert_eq!(output, refs);
    }
    // A later provision keeps the grants.
    assert_eq!(served.wait_for_end(&served.submit("/v1/provision", &product))["status"], "COMPLETED");
    assert_eq!(granted(&project), ["user_ada", "user_bob"]);
    for wrong in ["{}", "{\"refs\": 1}", "{\"refs\": [], \"provisionInfo\": {\"request\": \"\"}}"] {
        assert_eq!(served.call("POST", "/v1/updateacl", wrong).status, 400, "{wrong}");
    }
    for (principal, expected) in [
        (" ", "a principal has no name"),
        ("user:", "the principal `user:` has no name"),
        ("user:a\nb", "the principal \"user:a\\nb\" has control characters"),
    ] {
        let answer = served.call("POST", "/v1/updateacl", &access("port", &product, &["user:ada", principal]));
        assert_eq!((answer.status, &answer.json()["errors"]), (400, &serde_json::json!([expected])), "{answer:?}");
        assert_eq!(answer.json()["inputErrorField"], "refs[1]", "{answer:?}");
    }
    assert_eq!(granted(&project), ["user_ada", "user_bob"]);
}

#[test]
fn first_of_two_access_updates_with_the_same_version_wins() {
    let (project, product) = with_port();
    project.make_gate("gate-a");
    let server = Served::start(&project, &["--workers", "1"]);
    let text = with_selected_port(&product);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &text))["status"], "COMPLETED");
    let path = "/api/v1/stacks/finance.cash.0@test/components/port/acl";
    let tag = server.etag(path);
    // The only worker is busy.
    let busy = server.submit("/v1/provision", &with_selected("a", &["a"]));
    until("it runs", || project.has("started-a"));
    let set = |name: &str| {
        let body = serde_json::json!({"principals": [name], "descriptor": text}).to_string();
        let answer = server.call_with("PUT", path, body, &[("if-match", &tag)]);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["operation"].as_str().unwrap().to_owned()
    };
    let (first, second) = (set("user:ada"), set("user:bob"));
    project.open_gate("gate-a");
    assert_eq!(server.wait_for_end(&busy)["status"], "COMPLETED");
    assert_eq!(server.wait_for_end(&first)["status"], "COMPLETED");
    let late = server.wait_for_end(&second);
    assert_eq!(late["status"], "FAILED");
    assert!(late["result"].as_str().unwrap().contains("the access list has changed since you read it"), "{late}");
    assert_eq!(granted(&project), ["user_ada"]);
}

#[test]
fn interrupted_access_update_is_completed_after_a_restart() {
    let (project, product) = with_port();
    let port = project.read("blueprints/port.yaml");
    let (before, _) = port.split_once("    - type: local_file\n").unwrap();
    let grant = "    - type: local_command\n      name: grant\n      forEach: ${{ acl.principals }}\n      config:\n        \
                 create: [sh, make.sh, '${{ normalize(each.value) }}']\n        \
                 find: [sh, -c, 'cat made-$0 2>/dev/null || echo null', '${{ normalize(each.value) }}']\n";
    project.write("blueprints/port.yaml", format!("{before}{grant}"));
    let server = Served::start(&project, &[]);
    let text = with_selected_port(&product);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &text))["status"], "COMPLETED");
    let path = "/api/v1/stacks/finance.cash.0@test/components/port/acl";
    let tag = server.etag(path);
    project.make_gate("gate-user_ada");
    let body = serde_json::json!({"principals": ["user:ada"], "descriptor": text}).to_string();
    for (matches, status) in [("\"another\"", 412), ("\"another\", *", 202)] {
        let answer = server.call_with("PUT", path, &body, &[("if-match", matches)]);
        assert_eq!(answer.status, status, "{answer:?}");
    }
    until("access is being granted", || project.has("started-user_ada"));
    server.kill();
    drop(server);
    project.open_gate("gate-user_ada");
    until("the program that outlived it has ended", || project.has("made-user_ada"));
    let server = Served::start(&project, &[]);
    let operations = server.call("GET", "/api/v1/operations?kind=updateacl", "").json();
    let operation = operations["items"][0]["id"].as_str().unwrap();
    assert_eq!(server.wait_for_end(operation)["status"], "COMPLETED");
    assert_ne!(server.etag(path), tag);
    assert_eq!(log(&project), ["user_ada"]);
}

#[test]
fn matching_external_change_is_recorded() {
    let (project, product) = with_port();
    let blueprint = project.read("blueprints/port.yaml");
    project.write("blueprints/port.yaml", blueprint.replace("content: x", "content: '${{ component.specific.name }}'"));
    let server = Served::start(&project, &[]);
    assert_eq!(
        server.wait_for_end(&server.submit("/v1/provision", &with_selected_port(&product)))["status"],
        "COMPLETED"
    );
    // The next described content already exists.
    project.write("port/data.txt", "gate");
    let changed = with_selected_port(&product).replace("specific: {name: port}", "specific: {name: gate}");
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &changed))["status"], "COMPLETED");
    project.run(["drift", "--all", "--env", "test"]).done();
}

/// Race: each plan assumes that the other component still needs the shared object.
#[test]
fn shared_object_is_removed_if_all_users_leave_at_once() {
    let project = project();
    project.write(
        "blueprints/port.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: port, version: 1.0.0}\nmatch: {kind: outputport}\n\
         specific: {type: object}\nresources:\n  - type: local_file\n    name: common\n    shared: common\n    \
         lifecycle: {onLastRelease: delete}\n    config: {path: common.txt, content: x}\n  - type: local_command\n    \
         name: own\n    config:\n      create: [sh, -c, 'cat > /dev/null; echo \"{}\"']\n      \
         delete: [sh, gone.sh, '${{ component.specific.name }}']\n",
    );
    project.write("gone.sh", "cat > /dev/null\ntouch leaving-$1\nread line < gate-$1\n");
    let server = Served::start(&project, &[]);
    let all = product(&["a", "b"]).replace("kind: workload", "kind: outputport");
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &all))["status"], "COMPLETED");
    assert!(project.has("common.txt"));
    let leave = |name: &str| {
        project.make_gate(&format!("gate-{name}"));
        let one = with_selected(name, &["a", "b"]).replace("kind: workload", "kind: outputport");
        let token = server.submit("/v1/unprovision", &one);
        until("it leaves", || project.has(&format!("leaving-{name}")));
        token
    };
    let tokens = [leave("a"), leave("b")];
    ["gate-a", "gate-b"].iter().for_each(|gate| project.open_gate(gate));
    let ended = tokens.map(|token| server.wait_for_end(&token));
    assert!(ended.iter().all(|status| status["status"] == "COMPLETED"), "{ended:?}");
    let reported: String = ended.iter().map(messages).collect();
    assert!(reported.contains("all owners of a shared object left: planning again"), "{reported}");
    assert!(!project.has("common.txt"), "{reported}");
}

/// Returns the same product with the port selected.
fn with_selected_port(product: &str) -> String {
    let product = product.lines().map(|line| format!("  {line}\n")).collect::<String>();
    format!("dataProduct:\n{product}componentIdToProvision: urn:dmb:cmp:finance:cash:0:port\n")
}
