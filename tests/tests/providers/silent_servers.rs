//! Systems that accept connections and never answer: they delay a plan by one timeout in total, and commands print the
//! wait.

use serde_json::{Value as Json, json};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use terrace_tests::served::{Served, request};
use terrace_tests::{Project, Ran};

/// Longer than a plan with a timeout of one second takes on a busy machine, and shorter than any provider timeout.
const SOON: Duration = Duration::from_secs(12);

/// A server that accepts every connection and never sends a byte.
struct Silent {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let kept = Arc::clone(&connections);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                kept.lock().unwrap().push(connection);
            }
        });
        Self { address, connections }
    }

    fn was_called(&self) -> bool {
        !self.connections.lock().unwrap().is_empty()
    }
}

/// A provider instance with an address, and a resource or lookup that a plan reads from it.
struct Case {
    provider: &'static str,
    settings: fn(SocketAddr) -> Json,
    stack: fn() -> Json,
}

const CASES: [Case; 7] = [
    Case {
        provider: "airbyte",
        settings: |at| json!({"url": format!("http://{at}/api/public/v1"), "token": "t", "workspaceId": "w"}),
        stack: || json!({"data": [{"type": "airbyte_workspace", "name": "airbyte", "config": {}}]}),
    },
    Case {
        provider: "databricks",
        settings: |at| json!({"host": format!("http://{at}"), "token": "t"}),
        stack: || json!({"data": [{"type": "databricks_metastore", "name": "databricks", "config": {}}]}),
    },
    Case {
        provider: "hasura",
        settings: |at| json!({"url": format!("http://{at}"), "adminSecret": "t"}),
        stack: || {
            adopted("hasura_source", json!({"name": "s", "kind": "postgres", "configuration": {"connection_info": {}}}))
        },
    },
    Case {
        provider: "kafka",
        settings: |at| json!({"bootstrapServers": at.to_string()}),
        stack: || adopted("kafka_topic", json!({"name": "t", "partitions": 1, "replicationFactor": 1})),
    },
    Case {
        provider: "postgres",
        settings: |at| json!({"host": "127.0.0.1", "port": at.port(), "user": "u", "password": "p", "sslMode": "disable"}),
        stack: || adopted("postgres_schema", json!({"database": "d", "name": "s"})),
    },
    Case {
        provider: "snowflake",
        settings: |at| json!({"host": format!("http://{at}"), "user": "u", "token": "t"}),
        stack: || adopted("snowflake_database", json!({"name": "D"})),
    },
    Case {
        provider: "kubernetes",
        settings: |at| json!({"server": format!("http://{at}"), "token": "t"}),
        stack: || json!({"data": [{"type": "kubernetes_server", "name": "kubernetes", "config": {}}]}),
    },
];

fn adopted(ty: &str, config: Json) -> Json {
    json!({"resources": [{"type": ty, "name": ty, "adopt": "ifExists", "config": config}]})
}

/// Creates a project with an instance for each silent server, and a timeout of one second.
fn project(cases: &[&Case], silent: &[Silent]) -> Project {
    let project = Project::new();
    let providers: serde_json::Map<String, Json> =
        cases.iter().zip(silent).map(|(it, silent)| (it.provider.to_owned(), (it.settings)(silent.address))).collect();
    let environment = json!({"silenceTimeout": "1s", "providers": providers});
    project.write("terrace.yaml", json!({"environments": {"local": environment}}).to_string());
    let mut stack = json!({"apiVersion": "terrace.dev/v1", "kind": "Stack", "metadata": {"name": "demo"}});
    for (key, part) in cases.iter().flat_map(|it| (it.stack)().as_object().unwrap().clone()) {
        let all = stack[&key].as_array().cloned().unwrap_or_default();
        stack[&key] = all.into_iter().chain(part.as_array().unwrap().clone()).collect();
    }
    project.write("stack.yaml", stack.to_string());
    project
}

#[track_caller]
fn soon(project: &Project, words: &[&str]) -> Ran {
    let began = Instant::now();
    let ran = project.run(words.iter().copied());
    assert!(began.elapsed() < SOON, "it took {:?}: {ran}", began.elapsed());
    ran
}

#[track_caller]
fn assert_given_up(of: usize) {
    let (case, silent) = (&CASES[of], [Silent::start()]);
    let project = project(&[case], &silent);
    let ran = soon(&project, &["plan", "stack.yaml"]).with_code(1);
    assert!(silent[0].was_called(), "{ran}");
    ran.prints(&format!("waiting for `{}`, which gives no answer: at most 1 s", case.provider));
    ran.prints(&format!("`{}` gives no answer within 1 s", case.provider));
}

#[test]
fn silent_airbyte_is_given_up() {
    assert_given_up(0);
}

#[test]
fn silent_databricks_is_given_up() {
    assert_given_up(1);
}

#[test]
fn silent_hasura_is_given_up() {
    assert_given_up(2);
}

#[test]
fn silent_kafka_is_given_up() {
    assert_given_up(3);
}

#[test]
fn silent_postgresql_is_given_up() {
    assert_given_up(4);
}

#[test]
fn silent_snowflake_is_given_up() {
    assert_given_up(5);
}

#[test]
fn silent_kubernetes_is_given_up() {
    assert_given_up(6);
}

#[test]
fn all_silent_systems_of_a_plan_share_one_timeout() {
    let cases: Vec<&Case> = CASES.iter().collect();
    let silent: Vec<Silent> = cases.iter().map(|_| Silent::start()).collect();
    let project = project(&cases, &silent);
    let ran = soon(&project, &["plan", "stack.yaml"]).with_code(1);
    for it in cases {
        ran.prints(&format!("`{}` gives no answer within", it.provider));
    }
}

#[test]
fn silent_provisioner_is_given_up() {
    let silent = Silent::start();
    let project = Project::new();
    let url = format!("http://{}", silent.address);
    project.write(
        "terrace.yaml",
        format!(
            "environments:\n  test:\n    silenceTimeout: 1s\n    templates: {{'urn:dmb:utm:thing': witboost-component}}\n    \
             providers: {{witboost: {{templates: {{'urn:dmb:utm:thing': '{url}'}}}}}}\n"
        ),
    );
    project.write("product.yaml", PRODUCT);
    let ran = soon(&project, &["plan", "product.yaml", "--env", "test"]);
    assert!(silent.was_called(), "{ran}");
    ran.prints("gives no answer within 1 s");
}

const PRODUCT: &str = "id: urn:dmb:dp:finance:cash:0
name: Cash
kind: dataproduct
domain: finance
version: 0.1.0
environment: test
dataProductOwner: user:jane.doe_example.com
components:
  - id: urn:dmb:cmp:finance:cash:0:thing
    name: Thing
    kind: workload
    version: 0.1.0
    useCaseTemplateId: urn:dmb:utm:thing:0.0.0
    infrastructureTemplateId: urn:dmb:itm:thing:0
    dependsOn: []
    specific: {name: a}
";

#[test]
fn silent_system_delays_destroy_by_one_timeout() {
    let silent = [Silent::start()];
    let project = project(&[&CASES[4]], &silent);
    let destroy = soon(&project, &["destroy", "stack.yaml", "--auto-approve"]).with_code(1);
    destroy.prints("`postgres` gives no answer within 1 s");
}

/// The server logs its waits.
#[test]
fn silent_system_is_in_the_log_of_the_server() {
    let silent = Silent::start();
    let project = Project::new();
    let url = format!("http://{}", silent.address);
    project.write(
        "terrace.yaml",
        format!(
            "environments:\n  test:\n    silenceTimeout: 1s\n    providers: {{hasura: {{url: '{url}', adminSecret: s}}}}\n    \
             templates: {{'urn:dmb:utm:thing': thing}}\n"
        ),
    );
    project.write("blueprints/thing.yaml", "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: thing, version: 1.0.0}
match: {kind: workload}
resources:
  - {type: hasura_source, name: s, adopt: ifExists, config: {name: '${{ component.specific.name }}', kind: postgres, configuration: {connection_info: {}}}}
");
    let server = Served::start(&project, &[]);
    let began = Instant::now();
    let body = request("DATAPRODUCT_DESCRIPTOR", PRODUCT, false);
    let answer = server.call("POST", "/v1/provision", &body);
    assert_eq!(answer.status, 202, "{answer:?}");
    let status = server.wait_for_end(&answer.body);
    assert!(began.elapsed() < SOON, "it took {:?}: {status}", began.elapsed());
    assert_eq!(status["status"], "FAILED", "{status}");
    assert!(status.to_string().contains("`hasura` gives no answer within 1 s"), "{status}");
    let output = server.stderr();
    assert!(output.contains("waiting for `hasura`, which gives no answer"), "{output}");
}
