//! An existing specific provisioner as a provider: `terrace serve` is the one, and terrace plans and applies by it.

use crate::server::{log, product};
use serde_json::{Value as Json, json};
use terrace_tests::served::Served;
use terrace_tests::{Peer, Project, Ran, until};

/// A thing that a program makes and changes, and a file that says who has access.
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
/// It stands at a gate where there is one.
const MAKE: &str = r#"cat > /dev/null
touch started-$NAME
if [ -p gate-$NAME ]; then read line < gate-$NAME; fi
echo $NAME >> log
echo "{\"name\": \"$NAME\"}" > new
mv new made
cat made
"#;
const PLATFORM: &str = "data-product.yaml";

/// A provisioner, and the project of a platform that has one of its templates made by it.
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

    /// What the provisioner was told to do, oldest first; validations are none of it.
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

    /// How often the provisioner was asked for a token.
    fn questions(&self) -> u64 {
        let metrics = self.server.call("GET", "/metrics", "").body;
        let of_status = |line: &&str| {
            line.starts_with("terrace_http_request_seconds_count") && line.contains("/provision/{token}/status\"")
        };
        let counts = metrics.lines().filter(of_status).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum()
    }

    /// Applies, and is killed once the provisioner works on the component and its token is journalled.
    fn apply_killed(&self, name: &str) {
        self.provisioner.make_gate(&format!("gate-{name}"));
        let before = self.questions();
        let running = self.platform.start(self.platform.command(["apply", PLATFORM, "--auto-approve"]));
        until("the program of the provisioner stands at its gate", || self.provisioner.has(&format!("started-{name}")));
        // Nobody asks for a token that is not in the journal.
        until("the token is asked for", || self.questions() > before);
        running.kill();
        assert_eq!(running.finish().code, -1);
        self.provisioner.open_gate(&format!("gate-{name}"));
    }
}

#[test]
fn a_component_lives_by_an_existing_provisioner() {
    let both = Both::start();
    let plan = both.platform.run(["plan", PLATFORM]).done();
    plan.says("+ witboost_component.component").says("urn:dmb:cmp:finance:cash:0:a");
    assert_eq!(both.calls(), [] as [&str; 0], "planning changes nothing");
    let applied = both.apply().done();
    applied.says("Its name");
    assert!(both.provisioner.read("made").contains("\"a\""));
    assert_eq!(both.calls(), ["provision"]);
    both.platform.assert_settled(PLATFORM, &[]);
    assert_eq!(both.calls(), ["provision"], "what is settled is not told again");

    both.platform.edit(PLATFORM, "specific: {name: a}", "specific: {name: b}");
    both.platform.run(["plan", PLATFORM]).done().says("~ witboost_component.component");
    both.apply().done();
    assert!(both.provisioner.read("made").contains("\"b\""));
    both.platform.assert_settled(PLATFORM, &[]);

    both.platform.run(["acl", "set", PLATFORM, "a", "user:ada", "group:dev", "--auto-approve"]).done();
    assert_eq!(both.provisioner.read("acl.txt"), "group:dev user:ada");
    both.platform.assert_settled(PLATFORM, &[]);

    // Who was let in is let in again once the component was made again.
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
fn what_the_provisioner_refuses_is_told_while_planning() {
    let both = Both::start();
    both.platform.edit(PLATFORM, "specific: {name: a}", "specific: {nam: a}");
    let plan = both.platform.run(["plan", PLATFORM]).with_code(1);
    plan.says("specific").says("nam").says("the adapter says so");
    assert_eq!(both.calls(), [] as [&str; 0]);
}

#[test]
fn killed_in_the_middle_of_a_provision_it_asks_for_its_token_and_does_not_call_again() {
    let both = Both::start();
    both.apply_killed("a");
    both.apply().done().says("it took effect and is recorded now");
    assert_eq!(log(&both.provisioner), ["a"]);
    assert_eq!(both.calls(), ["provision"]);
    both.platform.assert_settled(PLATFORM, &[]);
    // An update is no other.
    both.platform.edit(PLATFORM, "specific: {name: a}", "specific: {name: b}");
    both.apply_killed("b");
    both.apply().done();
    assert_eq!(log(&both.provisioner), ["a", "b"]);
    assert_eq!(both.calls(), ["provision", "provision"]);
    both.platform.assert_settled(PLATFORM, &[]);
}

#[test]
fn without_a_key_what_is_private_says_what_helps() {
    let both = Both::start();
    both.platform.edit("terrace.yaml", "encryption: {keyFile: state.key}\n", "");
    both.apply().with_code(1).says("`privateInfo` is sensitive and there is no state key");
    assert_eq!(both.calls(), [] as [&str; 0]);
}

#[test]
fn a_template_without_an_adapter_says_where_to_write_it() {
    let both = Both::start();
    both.platform
        .write("terrace.yaml", "environments: {test: {templates: {'urn:dmb:utm:thing': witboost-component}}}\n");
    let plan = both.platform.run(["plan", PLATFORM]).with_code(1);
    plan.says("nothing says which adapter makes components of the template").says("urn:dmb:utm:thing:0.0.0");
    plan.says("providers.witboost");
}

/// A server whose component is made by a provisioner that answers so.
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
fn what_a_provisioner_warns_of_is_one_line_of_the_log_with_its_level_and_nothing_told_is_nothing() {
    let (_platform, _provisioner, server) = served_by(|| {
        let line = json!({"timestamp": "2026-01-01T00:00:00Z", "level": "WARNING", "message": "disk almost full"});
        (
            200,
            json!({"status": "COMPLETED", "result": "", "info": {"publicInfo": {}, "privateInfo": {}}, "logs": [line]}),
        )
    });
    let status = server.ended(&server.ask("/v1/provision", &product(&["a"])));
    assert_eq!(status["status"], "COMPLETED", "{status}");
    let lines: Vec<_> =
        status["logs"].as_array().unwrap().iter().filter(|it| it.to_string().contains("disk")).collect();
    let [line] = lines[..] else { panic!("{status}") };
    assert_eq!(line["level"], "WARNING", "{status}");
    assert!(line["message"].as_str().unwrap().ends_with("witboost_component.component: disk almost full"), "{line}");
    assert_eq!(status["info"]["publicInfo"], json!({}), "{status}");
}

#[test]
fn what_a_provisioner_says_would_help_is_told_to_who_asked() {
    let (_platform, _provisioner, server) = served_by(|| {
        let more = json!({"problems": ["no quota"], "solutions": ["ask for more quota"]});
        (400, json!({"errors": ["no quota"], "userMessage": "it is too large", "moreInfo": more}))
    });
    let status = server.ended(&server.ask("/v1/provision", &product(&["a"])));
    assert_eq!(status["status"], "FAILED", "{status}");
    let result = status["result"].as_str().unwrap();
    assert!(result.contains("it is too large") && result.ends_with("(ask for more quota)"), "{result}");
}
