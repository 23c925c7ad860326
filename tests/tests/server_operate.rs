//! What those ask who operate a server: whether it lives, whether it can work, its figures.

use terrace_state::contract::cluster::{Cluster, PASSWORD};
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

#[test]
fn a_server_says_that_it_lives_whether_it_can_work_and_what_it_did() {
    let project = Project::new();
    let server = Served::start(&project, &[]);
    assert_eq!(server.call("GET", "/health", "").json()["status"], "ok");
    let ready = server.call("GET", "/ready", "");
    assert_eq!((ready.status, &ready.json()["status"]), (200, &"ready".into()), "{ready:?}");
    let names: Vec<String> =
        ready.json()["checks"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    let instances =
        ["airbyte", "databricks", "hasura", "local", "pipelines", "postgres", "snowflake", "sqlite", "witboost"];
    let asked: Vec<String> = instances.iter().map(|instance| format!("local: {instance}")).collect();
    assert_eq!(names, [vec!["state".to_owned()], asked].concat());
    let text = "id: urn:dmb:dp:a:b:0\nname: B\ndomain: a\nversion: 0.1.0\nkind: dataproduct\nenvironment: local\n\
                specific: {}\ncomponents:\n- {id: 'urn:dmb:cmp:a:b:0:s', name: S, kind: storage, version: 0.0.0, \
                specific: {}, dataContract: {schema: [{name: ID, dataType: INT}]}}\n";
    let token = server.ask("/v1/provision", text);
    assert_eq!(server.ended(&token)["status"], "COMPLETED");
    let figures = server.call("GET", "/metrics", "");
    assert_eq!(figures.content_type, "text/plain; version=0.0.4");
    for line in [
        "terrace_operations_total{kind=\"provision\",status=\"completed\"} 1",
        "terrace_steps_total{result=\"done\"} 2",
        "terrace_queue_requests 0",
        "terrace_leases 0",
        "terrace_http_request_seconds_count{path=\"/v1/provision\",method=\"POST\",status=\"202\"} 1",
        "terrace_provider_call_seconds_count{instance=\"sqlite\",type=\"sqlite_table\",call=\"create\",result=\"ok\"} 1",
    ] {
        assert!(figures.body.contains(line), "{line}: {}", figures.body);
    }
}

#[test]
fn callers_make_up_no_figures_of_their_own() {
    let server = Served::start(&Project::new(), &[]);
    for method in ["A1", "A2"] {
        assert_eq!(server.call(method, "/health", "").status, 405);
    }
    let figures = server.call("GET", "/metrics", "").body;
    let line = "terrace_http_request_seconds_count{path=\"/health\",method=\"other\",status=\"405\"} 2";
    assert!(figures.contains(line) && !figures.contains("A1"), "{figures}");
}

#[test]
fn a_caller_who_never_comes_to_an_end_keeps_no_server_from_ending() {
    let server = Served::start(&Project::new(), &["--drain", "1s"]);
    let half = server.begin("POST /v1/validate HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{");
    let ran = server.stop();
    assert_eq!(ran.code, 0, "{ran:?}");
    drop(half);
}

#[test]
fn a_server_whose_state_is_gone_is_not_ready() {
    let project = Project::new();
    let server = Served::start(&project, &[]);
    assert_eq!(server.call("GET", "/ready", "").status, 200);
    std::fs::remove_file(project.path(".terrace/state.db")).unwrap();
    until("it is not ready", || server.call("GET", "/ready", "").status == 503);
}

#[test]
fn a_server_is_ready_as_long_as_its_state_takes_writes() {
    let cluster = Cluster::alone();
    let url = tokio::runtime::Runtime::new().unwrap().block_on(cluster.database());
    let project = Project::new();
    project.write("terrace.yaml", format!("state: '{url}'\n"));
    let server = Served::start(&project, &[]);
    assert_eq!(server.call("GET", "/ready", "").status, 200);
    cluster.order("stop");
    until("it is not ready", || server.call("GET", "/ready", "").status == 503);
    let ready = server.call("GET", "/ready", "");
    assert_eq!(ready.json()["status"], "not ready");
    assert!(!ready.body.contains(PASSWORD), "{ready:?}");
    assert_eq!(server.call("GET", "/health", "").status, 200);
    cluster.order("start");
    until("it is ready again", || server.call("GET", "/ready", "").status == 200);
    until("it is told that it is over", || server.told().contains("requests can be claimed again"));
    // However long it took.
    for once in ["no request can be claimed", "it is not heard now"] {
        assert_eq!(server.told().matches(once).count(), 1, "{}", server.told());
    }
}

#[test]
fn a_server_is_not_ready_while_its_state_can_only_be_read() {
    let cluster = Cluster::alone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = runtime.block_on(cluster.database());
    let set = |statement: &str| {
        runtime.block_on(async {
            let client = cluster.connect("postgres").await;
            client.execute(statement, &[]).await.unwrap();
            client.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
        });
    };
    let project = Project::new();
    project.write("terrace.yaml", format!("state: '{url}'\n"));
    let server = Served::start(&project, &[]);
    assert_eq!(server.call("GET", "/ready", "").status, 200);
    // As an administrator does whose disk is nearly full, and as every standby is.
    set("ALTER SYSTEM SET default_transaction_read_only = on");
    until("what cannot be written is not ready", || server.call("GET", "/ready", "").status == 503);
    set("ALTER SYSTEM RESET default_transaction_read_only");
    until("what can be is", || server.call("GET", "/ready", "").status == 200);
}
