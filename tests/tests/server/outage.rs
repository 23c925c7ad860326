//! A database outage while servers and a command line use it: nothing is lost or done twice.

use crate::server::requests::{log, product, project, with_selected};
use serde_json::Value as Json;
use std::time::Instant;
use terrace_state::contract::cluster::{Cluster, connect};
use terrace_tests::served::Served;
use terrace_tests::{Project, Running, until};
use tokio::runtime::Runtime;

/// Components whose programs wait at a gate when the database stops.
const GATED: [&str; 3] = ["c00", "c07", "c13"];

/// Two servers and a command line that are working.
struct BusyServers {
    project: Project,
    servers: [Served; 2],
    names: Vec<String>,
    tokens: Vec<String>,
    apply: Running,
    runtime: Runtime,
    url: String,
}

/// A stack beside the product, applied on the command line.
const STACK: &str = "resources:\n  - type: local_command\n    name: c\n    config:\n      \
                     create: [sh, make.sh, byhand]\n      \
                     find: [sh, -c, 'cat made-byhand 2>/dev/null || echo null']\n  \
                     - {type: local_value, name: after, config: {input: '${{ resources.c.output.name }}'}}\n";

impl BusyServers {
    fn on(cluster: &Cluster) -> Self {
        let (project, runtime) = (project(), Runtime::new().unwrap());
        let url = runtime.block_on(cluster.database());
        project.write("terrace.yaml", format!("state: '{url}'\nenvironments: {{test: {{}}}}\n"));
        project.write_stack(STACK);
        for name in GATED.iter().chain(&["byhand"]) {
            project.make_gate(&format!("gate-{name}"));
        }
        let servers = [(); 2].map(|()| Served::start(&project, &["--workers", "4"]));
        let names: Vec<String> = (0..20).map(|number| format!("c{number:02}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let requests = all.iter().zip(servers.iter().cycle());
        let tokens =
            requests.map(|(name, server)| server.submit("/v1/provision", &with_selected(name, &all))).collect();
        let apply = project.start(project.command(["apply", "stack.yaml", "--env", "test", "--auto-approve"]));
        until("those with a gate are being made", || {
            GATED.iter().chain(&["byhand"]).all(|name| project.has(&format!("started-{name}")))
        });
        Self { project, servers, names, tokens, apply, runtime, url }
    }

    fn open_gates(&self) {
        for name in GATED.iter().chain(&["byhand"]) {
            self.project.open_gate(&format!("gate-{name}"));
        }
    }

    /// Checks that every request completed, with each object created once.
    fn finish(self) {
        let Self { project, servers, names, tokens, apply, .. } = self;
        for (token, server) in tokens.iter().zip(servers.iter().rev().cycle()) {
            let status: Json = server.wait_for_end(token);
            assert_eq!(status["status"], "COMPLETED", "{status}");
        }
        apply.finish().done();
        let mut expected = vec!["byhand"];
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        expected.extend(&all);
        assert_eq!(log(&project), expected, "each is made once");
        project.write("product.yaml", product(&all));
        for words in [
            &["plan", "product.yaml", "--detailed-exitcode"][..],
            &["plan", "stack.yaml", "--env", "test", "--detailed-exitcode"],
        ] {
            project.run(words.iter().copied()).done().prints("No changes.");
        }
        project.run(["recover", "--env", "test"]).done().prints("Nothing to recover.");
        for server in servers {
            assert_eq!(server.stop().code, 0);
        }
    }
}

#[test]
fn database_restart_loses_and_duplicates_nothing() {
    let cluster = Cluster::alone();
    let work = BusyServers::on(&cluster);
    cluster.order("stop");
    // The programs end while their results cannot be recorded.
    work.open_gates();
    until("the objects exist", || {
        GATED.iter().chain(&["byhand"]).all(|name| work.project.has(&format!("made-{name}")))
    });
    cluster.order("start");
    work.finish();
}

#[test]
fn repeated_disconnects_lose_and_duplicate_nothing() {
    const CUTS: usize = 12;
    let cluster = Cluster::alone();
    let work = BusyServers::on(&cluster);
    work.open_gates();
    let (url, runtime) = (work.url.clone(), &work.runtime);
    runtime.block_on(async {
        let watcher = connect(&url).await;
        let others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let (mut cuts, begun) = (0, Instant::now());
        while cuts < CUTS {
            assert!(begun.elapsed().as_secs() < 60, "no transaction is open");
            let sql = format!("SELECT count(*) FILTER (WHERE state <> 'idle') {others}");
            // Disconnects during a transaction.
            if watcher.query_one(&sql, &[]).await.unwrap().try_get::<_, i64>(0).unwrap() > 0 {
                let sql = format!("SELECT count(pg_terminate_backend(pid)) {others}");
                watcher.query_one(&sql, &[]).await.unwrap();
                cuts += 1;
            }
        }
    });
    work.finish();
}

/// Provisions one component. Its program ends during an outage that is longer than the server waits.
fn request_that_meets_an_outage(project: &Project, cluster: &Cluster) -> Json {
    let url = Runtime::new().unwrap().block_on(cluster.database());
    project.write("terrace.yaml", format!("state: '{url}'\nenvironments: {{test: {{}}}}\n"));
    project.make_gate("gate-c00");
    let server = Served::start(project, &["--workers", "2"]);
    let token = server.submit("/v1/provision", &with_selected("c00", &["c00"]));
    until("the program has started", || project.has("started-c00"));
    cluster.order("stop");
    project.open_gate("gate-c00");
    until("the program has ended", || project.has("made-c00"));
    until("the server gives up recording it", || server.stderr().contains("cannot run a request now"));
    cluster.order("start");
    let status = server.wait_for_end(&token);
    assert_eq!(log(project), ["c00"], "the program ran once: {status}");
    assert_eq!(server.stop().code, 0);
    status
}

#[test]
fn step_whose_result_meets_an_outage_is_found_and_not_repeated() {
    let (cluster, project) = (Cluster::alone(), project());
    let status = request_that_meets_an_outage(&project, &cluster);
    assert_eq!(status["status"], "COMPLETED", "{status}");
}

#[test]
fn step_not_found_after_an_outage_stays_in_doubt() {
    let (cluster, project) = (Cluster::alone(), project());
    let blueprint = project.read("blueprints/thing.yaml");
    let is_kept = |line: &&str| !line.trim_start().starts_with("find:");
    project.write("blueprints/thing.yaml", blueprint.lines().filter(is_kept).collect::<Vec<_>>().join("\n"));
    let status = request_that_meets_an_outage(&project, &cluster);
    assert_eq!(status["status"], "FAILED", "{status}");
    project.run(["recover", "--env", "test"]).prints("terrace sent the call; its effect is unknown");
}

#[test]
fn server_continues_after_half_open_connections() {
    let (project, runtime, cluster) = (project(), Runtime::new().unwrap(), Cluster::alone());
    let direct = runtime.block_on(cluster.database());
    let proxy = cluster.proxy();
    let url = cluster.through(&proxy, &direct);
    project.write("terrace.yaml", format!("state: '{url}'\nenvironments: {{test: {{}}}}\n"));
    project.make_gate("gate-a");
    let server = Served::start(&project, &[]);
    let all = ["a", "b", "c"];
    let made = server.submit("/v1/provision", &with_selected("a", &all));
    until("the creation runs", || project.has("started-a"));
    proxy.silence();
    project.open_gate("gate-a");
    let begun = Instant::now();
    let answer = server.send("/v1/provision", "DATAPRODUCT_DESCRIPTOR", &with_selected("b", &all));
    assert!([202, 503].contains(&answer.status), "{answer:?}");
    let status = server.wait_for_end(&made);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    let after = server.submit("/v1/provision", &with_selected("c", &all));
    assert_eq!(server.wait_for_end(&after)["status"], "COMPLETED");
    assert!(begun.elapsed().as_secs() < 120, "{:?}", begun.elapsed());
    assert_eq!(log(&project).iter().filter(|name| *name == "a").count(), 1, "it is made once");
    assert_eq!(server.call("GET", "/live", "").status, 200);
    until("it is ready", || server.call("GET", "/ready", "").status == 200);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn server_recovers_when_a_silent_database_answers_again() {
    let (project, runtime, cluster) = (project(), Runtime::new().unwrap(), Cluster::alone());
    let direct = runtime.block_on(cluster.database());
    let proxy = cluster.proxy();
    let url = cluster.through(&proxy, &direct);
    project
        .write("terrace.yaml", format!("state: '{url}'\nenvironments: {{test: {{}}}}\nserver: {{stateTimeout: 1m}}\n"));
    let server = Served::start(&project, &[]);
    assert_eq!(server.call("GET", "/live", "").status, 200);
    proxy.close();
    let answer = server.send("/v1/provision", "DATAPRODUCT_DESCRIPTOR", &with_selected("a", &["a"]));
    assert_eq!(answer.status, 503, "{answer:?}");
    until("it is not ready", || server.call("GET", "/ready", "").status == 503);
    until("it is not live", || server.call("GET", "/live", "").status == 503);
    assert!(server.call("GET", "/live", "").body.contains("the state has not answered for "));
    proxy.open();
    until("it is live", || server.call("GET", "/live", "").status == 200);
    until("it is ready", || server.call("GET", "/ready", "").status == 200);
    let token = server.submit("/v1/provision", &with_selected("a", &["a"]));
    assert_eq!(server.wait_for_end(&token)["status"], "COMPLETED");
}
