//! An existing specific provisioner as a provider: one `terrace serve` is the provisioner, and another terrace plans
//! and applies through it.

use crate::server::requests::{log, product};
use serde_json::{Value as Json, json};
use terrace_tests::served::Served;
use terrace_tests::{Peer, Project, Ran, until};

/// An object that a program creates and updates, and a file with its access list.
const THING: &str = r#"apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: thing, version: 1.0.0}
match: {kind: workload}
specific:
  type: object
  required: [name]
  additionalProperties: false
  properties: {name: {type: string}}
resources:
  - type: local_command
    name: made
    config:
      create: [sh, make.sh]
      update: [sh, make.sh]
      read: [sh, -c, "cat made 2>/dev/null || echo null"]
      find: [sh, -c, "cat made 2>/dev/null || echo null"]
      delete: [rm, made]
      environment: {NAME: "${{ component.specific.name }}"}
outputs:
  public: {name: {label: Its name, value: "${{ component.specific.name }}"}}
  private: {kind: {value: thing}}
acl:
  resources:
    - {type: local_file, name: acl, config: {path: acl.txt, content: "${{ acl.principals.join(' ') }}"}}
"#;
/// It waits at a gate if one exists.
const MAKE: &str = r#"cat > /dev/null
touch started-$NAME
if [ -p gate-$NAME ]; then read line < gate-$NAME; fi
echo $NAME >> log
echo "{\"name\": \"$NAME\"}" > new
mv new made
cat made
"#;
const PLATFORM: &str = "data-product.yaml";

/// A provisioner, and the project of a platform that uses it for one template.
struct Both {
    provisioner: Project,
    server: Served,
    platform: Project,
}

impl Both {
    fn start() -> Self {
        let provisioner = Project::new();
        provisioner.write("terrace.yaml", "environments: {test: {}}\n");
        provisioner.write("blueprints/thing.yaml", THING);
        provisioner.write("make.sh", MAKE);
        let server = Served::start(&provisioner, &[]);
        let platform = Project::new();
        platform.write("state.key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
        platform.write(
            "terrace.yaml",
            format!(
                "encryption: {{keyFile: state.key}}\nenvironments:\n  test:\n    templates: {{'urn:dmb:utm:thing': \
                 witboost-component}}\n    providers:\n      witboost:\n        templates: {{'urn:dmb:utm:thing': \
                 '{}/datamesh.specificprovisioner'}}\n        pollInterval: 0.02\n        pollMost: 0.1\n",
                server.url()
            ),
        );
        platform.write(PLATFORM, product(&["a"]));
        Self { provisioner, server, platform }
    }

    fn apply(&self) -> Ran {
        self.platform.run(["apply", PLATFORM, "--auto-approve"])
    }

    /// Returns the provisioner's operations without validations, oldest first.
    fn calls(&self) -> Vec<String> {
        let listed = self.server.call("GET", "/api/v1/operations", "").json();
        let mut kinds: Vec<String> = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|operation| operation["kind"].as_str().unwrap().to_owned())
            .filter(|kind| kind != "validate")
            .collect();
        kinds.reverse();
        kinds
    }

    /// Counts the status requests that the provisioner answered.
    fn questions(&self) -> u64 {
        let metrics = self.server.call("GET", "/metrics", "").body;
        let of_status = |line: &&str| {
            line.starts_with("terrace_http_request_seconds_count") && line.contains("/provision/{token}/status\"")
        };
        let counts = metrics.lines().filter(of_status).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum()
    }

    /// Applies, and kills terrace when the provisioner works on the component and its token is in the journal.
    fn apply_killed(&self, name: &str) {
        self.provisioner.make_gate(&format!("gate-{name}"));
        let before = self.questions();
        let running = self.platform.start(self.platform.command(["apply", PLATFORM, "--auto-approve"]));
        until("the program of the provisioner waits at its gate", || self.provisioner.has(&format!("started-{name}")));
        // terrace polls a token only after it is in the journal.
        until("the token is polled", || self.questions() > before);
        running.kill();
        assert_eq!(running.finish().code, -1);
        self.provisioner.open_gate(&format!("gate-{name}"));
    }
}

#[test]
fn component_is_created_updated_and_removed_by_an_existing_provisioner() {
    let both = Both::start();
    let plan = both.platform.run(["plan", PLATFORM]).done();
    plan.prints("+ witboost_component.component").prints("urn:dmb:cmp:finance:cash:0:a");
    assert_eq!(both.calls(), [] as [&str; 0], "planning changes nothing");
    let applied = both.apply().done();
    applied.prints("Its name");
    assert!(both.provisioner.read("made").contains("\"a\""));
    assert_eq!(both.calls(), ["provision"]);
    both.platform.assert_settled(PLATFORM, &[]);
    assert_eq!(both.calls(), ["provision"], "an unchanged component is not provisioned again");

    both.platform.edit(PLATFORM, "specific: {name: a}", "specific: {name: b}");
    both.platform.run(["plan", PLATFORM]).done().prints("~ witboost_component.component");
    both.apply().done();
    assert!(both.provisioner.read("made").contains("\"b\""));
    both.platform.assert_settled(PLATFORM, &[]);

    both.platform.run(["acl", "set", PLATFORM, "a", "user:ada", "group:dev", "--auto-approve"]).done();
    assert_eq!(both.provisioner.read("acl.txt"), "group:dev user:ada");
    both.platform.assert_settled(PLATFORM, &[]);

    // Grants are repeated after the component was created again.
    both.platform.edit(PLATFORM, "specific: {name: b}", "specific: {name: c}");
    both.apply().done();
    both.platform.assert_settled(PLATFORM, &[]);

    both.platform.run(["destroy", PLATFORM, "--auto-approve"]).done();
    assert!(!both.provisioner.has("made") && !both.provisioner.has("acl.txt"));
    assert_eq!(
        both.calls(),
        ["provision", "provision", "updateacl", "provision", "updateacl", "updateacl", "unprovision"]
    );
    assert_eq!(both.platform.run(["state", "list"]).done().stdout, "");
}

#[test]
fn provisioners_rejection_is_reported_in_the_plan() {
    let both = Both::start();
    both.platform.edit(PLATFORM, "specific: {name: a}", "specific: {nam: a}");
    let plan = both.platform.run(["plan", PLATFORM]).with_code(1);
    plan.prints("specific").prints("nam").prints("the adapter reported this problem");
    assert_eq!(both.calls(), [] as [&str; 0]);
}

#[test]
fn killed_provision_is_resumed_by_its_token_without_another_call() {
    let both = Both::start();
    both.apply_killed("a");
    both.apply().done().prints("the step took effect and is recorded now");
    assert_eq!(log(&both.provisioner), ["a"]);
    assert_eq!(both.calls(), ["provision"]);
    both.platform.assert_settled(PLATFORM, &[]);
    // The same holds for an update.
    both.platform.edit(PLATFORM, "specific: {name: a}", "specific: {name: b}");
    both.apply_killed("b");
    both.apply().done();
    assert_eq!(log(&both.provisioner), ["a", "b"]);
    assert_eq!(both.calls(), ["provision", "provision"]);
    both.platform.assert_settled(PLATFORM, &[]);
}

#[test]
fn private_info_without_a_key_is_an_error_with_a_hint() {
    let both = Both::start();
    both.platform.edit("terrace.yaml", "encryption: {keyFile: state.key}\n", "");
    both.apply().with_code(1).prints("`privateInfo` is sensitive and there is no state key");
    assert_eq!(both.calls(), [] as [&str; 0]);
}

#[test]
fn template_without_an_adapter_reports_where_to_declare_it() {
    let both = Both::start();
    both.platform
        .write("terrace.yaml", "environments: {test: {templates: {'urn:dmb:utm:thing': witboost-component}}}\n");
    let plan = both.platform.run(["plan", PLATFORM]).with_code(1);
    plan.prints("no adapter is configured for components of the template").prints("urn:dmb:utm:thing:0.0.0");
    plan.prints("providers.witboost");
}

/// Starts a server whose component is created by a provisioner that gives this answer.
fn served_by(answer: fn() -> (u16, Json)) -> (Project, Peer, Served) {
    let provisioner = Peer::start(move |path, _| match path {
        "/v1/provision" => {
            let (status, body) = answer();
            (status, body.to_string())
        }
        "/v1/validate" => (200, json!({"valid": true}).to_string()),
        _ => (404, json!({"error": "no such call"}).to_string()),
    });
    let platform = Project::new();
    platform.write("state.key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    let configured = format!(
        "encryption: {{keyFile: state.key}}\nenvironments:\n  test:\n    templates: {{'urn:dmb:utm:thing': \
         witboost-component}}\n    providers:\n      witboost: {{templates: {{'urn:dmb:utm:thing': '{}'}}}}\n",
        provisioner.url
    );
    platform.write("terrace.yaml", configured);
    let server = Served::start(&platform, &[]);
    (platform, provisioner, server)
}

#[test]
fn provisioner_warning_is_one_log_line_with_its_level() {
    let (_platform, _provisioner, server) = served_by(|| {
        let line = json!({"timestamp": "2026-01-01T00:00:00Z", "level": "WARNING", "message": "disk almost full"});
        (
            200,
            json!({"status": "COMPLETED", "result": "", "info": {"publicInfo": {}, "privateInfo": {}}, "logs": [line]}),
        )
    });
    let status = server.wait_for_end(&server.submit("/v1/provision", &product(&["a"])));
    assert_eq!(status["status"], "COMPLETED", "{status}");
    let lines: Vec<_> =
        status["logs"].as_array().unwrap().iter().filter(|it| it.to_string().contains("disk")).collect();
    let [line] = lines[..] else { panic!("{status}") };
    assert_eq!(line["level"], "WARNING", "{status}");
    assert!(line["message"].as_str().unwrap().ends_with("witboost_component.component: disk almost full"), "{line}");
    assert_eq!(status["info"]["publicInfo"], json!({}), "{status}");
}

#[test]
fn provisioner_solutions_are_passed_to_the_caller() {
    let (_platform, _provisioner, server) = served_by(|| {
        let more = json!({"problems": ["no quota"], "solutions": ["ask for more quota"]});
        (400, json!({"errors": ["no quota"], "userMessage": "it is too large", "moreInfo": more}))
    });
    let status = server.wait_for_end(&server.submit("/v1/provision", &product(&["a"])));
    assert_eq!(status["status"], "FAILED", "{status}");
    let result = status["result"].as_str().unwrap();
    assert!(result.contains("it is too large") && result.ends_with("(ask for more quota)"), "{result}");
}
