//! Health, readiness and metrics of a server.

use terrace_state::contract::cluster::{Cluster, PASSWORD};
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

#[test]
fn server_reports_health_readiness_and_metrics() {
    let project = Project::new();
    let server = Served::start(&project, &[]);
    assert_eq!(server.call("GET", "/health", "").json()["status"], "ok");
    let ready = server.call("GET", "/ready", "");
    assert_eq!((ready.status, &ready.json()["status"]), (200, &"ready".into()), "{ready:?}");
    let names: Vec<String> =
        ready.json()["checks"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    let instances = [
        "airbyte",
        "databricks",
        "hasura",
        "kubernetes",
        "local",
        "pipelines",
        "postgres",
        "snowflake",
        "sqlite",
        "witboost",
    ];
    let checks: Vec<String> = instances.iter().map(|instance| format!("local: {instance}")).collect();
    assert_eq!(names, [vec!["state".to_owned()], checks].concat());
    let text = "id: urn:dmb:dp:a:b:0\nname: B\ndomain: a\nversion: 0.1.0\nkind: dataproduct\nenvironment: local\n\
                specific: {}\ncomponents:\n- {id: 'urn:dmb:cmp:a:b:0:s', name: S, kind: storage, version: 0.0.0, \
                specific: {}, dataContract: {schema: [{name: ID, dataType: INT}]}}\n";
    let token = server.submit("/v1/provision", text);
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
    assert_eq!(server.call("GET", "/metrics", "").content_type, "text/plain; version=0.0.4");
    for line in [
        "terrace_operations_total{kind=\"provision\",status=\"completed\"} 1",
        "terrace_steps_total{result=\"done\"} 2",
        "terrace_queue_requests 0",
        "terrace_leases 0",
        "terrace_http_request_seconds_count{path=\"/v1/provision\",method=\"POST\",status=\"202\"} 1",
        "terrace_provider_call_seconds_count{instance=\"sqlite\",type=\"sqlite_table\",call=\"create\",result=\"ok\"} 1",
    ] {
        // The server counts an operation after its end is visible.
        until(line, || server.call("GET", "/metrics", "").body.contains(line));
    }
}

#[test]
fn caller_cannot_add_metrics() {
    let server = Served::start(&Project::new(), &[]);
    for method in ["A1", "A2"] {
        assert_eq!(server.call(method, "/health", "").status, 405);
    }
    let figures = server.call("GET", "/metrics", "").body;
    let line = "terrace_http_request_seconds_count{path=\"/health\",method=\"other\",status=\"405\"} 2";
    assert!(figures.contains(line) && !figures.contains("A1"), "{figures}");
}

#[test]
fn endless_call_does_not_prevent_shutdown() {
    let server = Served::start(&Project::new(), &["--drain", "1s"]);
    let half = server.begin("POST /v1/validate HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{");
    let ran = server.stop();
    assert_eq!(ran.code, 0, "{ran:?}");
    drop(half);
}

#[test]
fn server_without_its_state_is_not_ready() {
    let project = Project::new();
    let server = Served::start(&project, &[]);
    assert_eq!(server.call("GET", "/ready", "").status, 200);
    std::fs::remove_file(project.path(".terrace/state.db")).unwrap();
    until("it is not ready", || server.call("GET", "/ready", "").status == 503);
}

#[test]
fn server_is_ready_while_its_state_accepts_writes() {
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
    until("the end of the outage is logged", || server.stderr().contains("claiming requests again"));
    // Each message is logged once, however long the outage was.
    for once in ["cannot claim requests", "cannot listen for requests"] {
        assert_eq!(server.stderr().matches(once).count(), 1, "{}", server.stderr());
    }
}

#[test]
fn server_with_a_read_only_state_is_not_ready() {
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
    // An administrator sets this if the disk is nearly full. Every standby server has it too.
    set("ALTER SYSTEM SET default_transaction_read_only = on");
    until("a read-only state is not ready", || server.call("GET", "/ready", "").status == 503);
    set("ALTER SYSTEM RESET default_transaction_read_only");
    until("a writable state is ready", || server.call("GET", "/ready", "").status == 200);
}

#[test]
fn health_and_metrics_have_their_own_address_if_configured() {
    let project = Project::new();
    project.write("terrace.yaml", "server: {operations: {bind: '127.0.0.1:0'}}\n");
    let server = Served::start(&project, &[]);
    let output = server.stderr();
    let (_, rest) = output.split_once("health and metrics on http://").unwrap();
    let address = rest.lines().next().unwrap().to_owned();
    let status = |address: &str, path: &str, host: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let call = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, call.as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap().get(9..12).unwrap().to_owned()
    };
    let main = server.url().trim_start_matches("http://");
    for path in ["/health", "/ready", "/metrics", "/docs/", "/api/v1/openapi.json"] {
        assert_eq!(
            (status(&address, path, "localhost").as_str(), status(main, path, "localhost").as_str()),
            ("200", "404"),
            "{path}"
        );
        assert_eq!(status(&address, path, "rebound.example.com"), "403", "{path}");
    }
    assert_eq!(
        (status(&address, "/api/v1/stacks", "localhost"), status(main, "/api/v1/stacks", "localhost")),
        ("404".into(), "200".into())
    );
    assert_eq!(server.stop().code, 0);
}

#[test]
fn page_under_another_host_name_cannot_read_a_local_server() {
    let server = Served::start(&Project::new(), &[]);
    for path in ["/health", "/ready", "/metrics", "/docs/", "/docs/swagger-ui.css", "/api/v1/openapi.json", "/"] {
        let answer = server.call_with("GET", path, "", &[("host", "rebound.example.com:8091")]);
        assert_eq!(answer.status, 403, "{path} {answer:?}");
        for host in ["localhost:1", "127.0.0.1", "[::1]:8091"] {
            assert_ne!(server.call_with("GET", path, "", &[("host", host)]).status, 403, "{path}");
        }
    }
}

#[test]
fn responses_forbid_caching_and_type_sniffing() {
    let server = Served::start(&Project::new(), &[]);
    for path in ["/api/v1/stacks", "/api/v1/nothing", "/v1/provision/x/status", "/health", "/metrics"] {
        let answer = server.call("GET", path, "");
        let headers = ["x-content-type-options", "cache-control"].map(|name| answer.header(name));
        assert_eq!(headers, ["nosniff", "no-store"], "{path} {answer:?}");
    }
    assert_eq!(server.call("GET", "/docs/swagger-ui.css", "").header("x-content-type-options"), "nosniff");
}
