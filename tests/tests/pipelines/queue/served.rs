//! Pipelines in the API of `terrace serve`: runs, logs, pods and databases.

use super::queued::Queued;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use terrace_tests::served::{Answer, Served};
use terrace_tests::until;

const RUNS: &str = "/api/v1/pipelines/runs";

/// A step that prints lines before and after it waits for a file.
const SLOW: &str = "\
import os, sys, time
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
print('INFO waits', file=sys.stderr, flush=True)
open('begun', 'a').write('x')
while not os.path.exists('go'):
    time.sleep(0.02)
print('INFO goes on', file=sys.stderr, flush=True)
spew(package, resources, {})
";

/// A project with workers whose slow step prints lines.
fn with_cluster(workers: &str) -> Queued {
    let queued = Queued::with_cluster(workers);
    queued.project.write("slow.py", SLOW);
    queued
}

/// Serves the project of these pipelines.
pub(super) fn serve(queued: &Queued) -> Served {
    let caches = queued.caches.path().display().to_string();
    Served::start_with(&queued.project, &[], &[("XDG_CACHE_HOME", caches.as_str())])
}

fn get(server: &Served, path: &str) -> Value {
    let answer = server.call("GET", path, "");
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

fn start(server: &Served, pipeline: &str) -> String {
    let answer = server.call("POST", RUNS, &json!({"pipeline_id": pipeline}).to_string());
    assert_eq!(answer.status, 202, "{answer:?}");
    let run = answer.json()["run_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("{RUNS}/{run}"));
    run
}

pub(super) fn wait_for_state(server: &Served, run: &str, state: &str) -> Value {
    let mut shown = Value::Null;
    until(&format!("the run is {state}"), || {
        shown = get(server, &format!("{RUNS}/{run}"));
        shown["state"] == state
    });
    shown
}

/// Returns the whole log of a run, read in pages.
fn lines(server: &Served, run: &str, limit: usize) -> Vec<Value> {
    let (mut lines, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(server, &format!("{RUNS}/{run}/logs?limit={limit}{after}"));
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit, "{page}");
        lines.extend(items.iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return lines,
        }
    }
}

fn problem(answer: &Answer, status: u16) -> String {
    assert_eq!((answer.status, answer.content_type.as_str()), (status, "application/problem+json"), "{answer:?}");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[test]
fn run_is_started_followed_and_ended() {
    let queued = with_cluster("1");
    let server = serve(&queued);
    let listed = get(&server, "/api/v1/pipelines");
    let ids: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|it| &it["pipeline_id"]).collect();
    assert_eq!(ids, ["./after", "./quick", "./slow"], "{listed}");
    assert_eq!(listed["items"][0]["dependencies"], json!([{"pipeline": "./quick"}]));
    assert_eq!(listed["items"][0]["steps"][0]["name"], "noise");
    assert_eq!(get(&server, "/api/v1/pipelines?limit=1")["next"], "./after");

    let run = start(&server, "slow");
    let running = wait_for_state(&server, &run, "running");
    assert!(running["worker"].is_string() && running["queued_at"].is_string(), "{running}");
    until("the step begins", || queued.step_starts() == 1);
    let pods = get(&server, "/api/v1/pipelines/pods");
    let fields = |mut pods: Value| {
        for pod in pods.as_array_mut().unwrap() {
            // The age may grow between the two calls.
            pod.as_object_mut().unwrap().remove("age");
        }
        pods
    };
    assert_eq!(fields(pods.clone()), fields(Value::Array(queued.pods())), "the document's JSON");
    assert_eq!((&pods[0]["status"], &pods[0]["run"]), (&json!("assigned"), &json!(run)));
    let page = get(&server, &format!("{RUNS}/{run}/logs"));
    assert!(page["next"].is_string(), "the run goes on: {page}");

    // A stream ends with the run.
    let events = format!("{RUNS}/{run}/events");
    let stream = std::thread::scope(|scope| {
        let stream = scope.spawn(|| server.call("GET", &events, ""));
        until("the stream is open", || {
            server.call("GET", "/metrics", "").body.contains("terrace_http_event_streams 1")
        });
        queued.project.write("go", "");
        stream.join().unwrap()
    });
    assert_eq!(stream.content_type, "text/event-stream", "{stream:?}");
    let (log, end) = stream.body.split_once("event: end\ndata: ").unwrap();
    let end: Value = serde_json::from_str(end.lines().next().unwrap()).unwrap();
    assert_eq!((&end["run_id"], &end["state"]), (&json!(run), &json!("succeeded")), "{end}");
    let shown = get(&server, &format!("{RUNS}/{run}"));
    assert_eq!(shown, end);
    assert_eq!(shown["rows"], 500, "{shown}");
    // Stream, pages of every size and the command have the same lines.
    let all = lines(&server, &run, 1000);
    let printed = queued.run(&["pipelines", "logs", &run, "--json"]).done().stdout;
    let printed: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!all.is_empty() && all == printed, "{all:?}\n{printed:?}");
    assert_eq!(lines(&server, &run, 1), all);
    assert_eq!(log.matches("event: log\n").count(), all.len(), "{log}");
    // An interrupted reader continues after its last event.
    let last = log.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap();
    let rest = server.call_with("GET", &events, "", &[("last-event-id", last)]);
    assert!(rest.body.starts_with("event: end\n"), "{rest:?}");
    // The command lists the run.
    assert!(queued.run(&["pipelines", "runs"]).done().stdout.contains(&run));
    let cancelled = server.call("POST", &format!("{RUNS}/{run}/cancel"), "");
    assert_eq!(problem(&cancelled, 409), format!("run `{run}` has ended"));
}

#[test]
fn repeated_start_has_one_run() {
    let queued = Queued::with_cluster("1");
    let server = serve(&queued);
    let ask = |pipeline: &str, key: &str| {
        let body = json!({"pipeline_id": pipeline}).to_string();
        server.call_with("POST", RUNS, body, &[("idempotency-key", key)])
    };
    let first = ask("./quick", "mine");
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(ask("./quick", "mine").json(), first.json());
    assert_eq!(ask("./slow", "mine").status, 422);
    let run = first.json()["run_id"].as_str().unwrap().to_owned();
    wait_for_state(&server, &run, "succeeded");
    // The answer stays the same after the end, a restart and a change of the specs.
    queued.project.write("pipeline-spec.yaml", "slow: {pipeline: [{run: slow}]}\n");
    server.kill();
    let server = serve(&queued);
    let body = json!({"pipeline_id": "./quick"}).to_string();
    let again = server.call_with("POST", RUNS, body, &[("idempotency-key", "mine")]);
    assert_eq!(again.json(), first.json());
    assert_eq!(get(&server, RUNS)["items"].as_array().unwrap().len(), 1);
}

#[test]
fn repeated_start_is_answered_although_a_limit_is_reached() {
    let queued = Queued::with_cluster("1");
    queued.project.write("terrace.yaml", "server: {pipelines: {limits: {concurrentRuns: 1}}}\n");
    let server = serve(&queued);
    let body = json!({"pipeline_id": "./slow"}).to_string();
    let ask = |key: &str| server.call_with("POST", RUNS, body.clone(), &[("idempotency-key", key)]);
    let first = ask("one");
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(ask("two").status, 429);
    assert_eq!(ask("one").json(), first.json());
}

#[test]
fn waiting_and_running_runs_are_cancelled() {
    let queued = Queued::with_cluster("1");
    let server = serve(&queued);
    let running = start(&server, "./slow");
    until("the step begins", || queued.step_starts() == 1);
    let waiting = start(&server, "./quick");
    assert_eq!(get(&server, &format!("{RUNS}/{waiting}"))["state"], "queued");
    let cancel = |run: &str| server.call("POST", &format!("{RUNS}/{run}/cancel"), "").status;
    assert_eq!((cancel(&waiting), cancel(&waiting)), (202, 409));
    let shown = get(&server, &format!("{RUNS}/{waiting}"));
    assert_eq!((&shown["state"], &shown["cancelled_by"]), (&json!("cancelled"), &json!("anonymous")), "{shown}");
    assert!(lines(&server, &waiting, 10).is_empty());
    assert_eq!(cancel(&running), 202);
    wait_for_state(&server, &running, "cancelled");
    until("its processes are gone", || !queued.has_processes());
    let listed = get(&server, &format!("{RUNS}?state=cancelled"));
    let ids: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|it| &it["run_id"]).collect();
    assert_eq!(ids, [&json!(waiting), &json!(running)], "newest first");
    let page = get(&server, &format!("{RUNS}?limit=1"));
    assert_eq!(page["next"], json!(waiting));
    let page = get(&server, &format!("{RUNS}?limit=1&after={waiting}"));
    assert!(page["items"][0]["run_id"] == json!(running) && page["next"].is_null(), "{page}");
    assert_eq!(get(&server, &format!("{RUNS}?pipeline=slow"))["items"][0]["run_id"], json!(running));
}

#[test]
fn run_without_queue_is_shown_and_cancelled() {
    let queued = Queued::new();
    let server = serve(&queued);
    let following = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let run = get(&server, RUNS)["items"][0].clone();
    assert_eq!((&run["pipeline_id"], &run["state"]), (&json!("./slow"), &json!("running")), "{run}");
    let path = format!("{RUNS}/{}", run["run_id"].as_str().unwrap());
    assert_eq!(server.call("POST", &format!("{path}/cancel"), "").status, 202);
    following.finish().with_code(130);
    assert_eq!(get(&server, &path)["state"], "cancelled");
    // A run whose process was killed is lost.
    let following = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 2);
    following.kill();
    assert_eq!(following.finish().code, -1);
    assert_eq!(get(&server, RUNS)["items"][0]["state"], "lost");
}

#[test]
fn retried_run_has_the_logs_of_all_attempts() {
    let queued = with_cluster("1");
    let server = serve(&queued);
    let run = start(&server, "./slow");
    until("the step begins", || queued.step_starts() == 1);
    let mut before = Vec::new();
    until("the log has a line", || {
        before = lines_so_far(&server, &run);
        !before.is_empty()
    });
    queued.kill(|_| true);
    until("it begins again", || queued.step_starts() == 2);
    queued.project.write("go", "");
    wait_for_state(&server, &run, "succeeded");
    let all = lines(&server, &run, 2);
    assert!(all.len() > before.len() && all.starts_with(&before), "{before:?}\n{all:?}");
    assert_eq!(get(&server, RUNS)["items"].as_array().unwrap().len(), 1, "the list has a run once");
}

fn lines_so_far(server: &Served, run: &str) -> Vec<Value> {
    get(server, &format!("{RUNS}/{run}/logs"))["items"].as_array().unwrap().clone()
}

#[test]
fn wrong_calls_are_refused_with_a_reason() {
    let queued = Queued::new();
    queued.project.write("broken/pipeline-spec.yaml", "bad: {pipeline: [{runn: noise}]}\n");
    let server = serve(&queued);
    let ask = |body: Value| server.call("POST", RUNS, &body.to_string());
    assert_eq!(
        problem(&ask(json!({"pipeline_id": "./quik"})), 400),
        "there is no pipeline `./quik` (did you mean `./quick`?)"
    );
    let broken = problem(&ask(json!({"pipeline_id": "./broken/bad"})), 400);
    assert!(broken.starts_with("the pipeline `./broken/bad` cannot be run: broken/pipeline-spec.yaml:"), "{broken}");
    let idle = problem(&ask(json!({"pipeline_id": "./quick"})), 409);
    assert!(idle.starts_with("no worker pool is open ("), "{idle}");
    let misspelt = problem(&ask(json!({"pipeline_id": "./quick", "pol": "x"})), 400);
    assert!(misspelt.contains("unknown field `pol`"), "{misspelt}");
    assert_eq!(ask(json!({"pipeline_id": "./quick", "retries": 101})).status, 400);
    assert_eq!(ask(json!({"pipeline_id": "./quick", "timeout_seconds": 0})).status, 400);
    let many: serde_json::Map<String, Value> = (0..65).map(|number| (format!("P{number}"), json!("1"))).collect();
    let params = problem(&ask(json!({"pipeline_id": "./quick", "params": many})), 400);
    assert_eq!(params, "`params` has 65 values: at most 64");
    let params = problem(&ask(json!({"pipeline_id": "./quick", "params": {"A": "x".repeat(4097)}})), 400);
    assert_eq!(params, "`params`: `A` has more than 4096 bytes");
    queued.run(&["pipelines", "init", "local", "--workers", "1", "--databases", "0"]).done();
    let pool = problem(&ask(json!({"pipeline_id": "./quick", "pool": "locall"})), 400);
    assert_eq!(pool, "there is no worker pool `locall` (did you mean `local`?)");
    let params = problem(&ask(json!({"pipeline_id": "./quick", "params": {"SINCE": "1"}})), 400);
    assert_eq!(params, "`params`: `SINCE` is not a parameter of `./quick`: its spec has no `params`");
    let memory = problem(&ask(json!({"pipeline_id": "./quick", "memory": "1Gi"})), 400);
    assert_eq!(
        memory,
        "`memory` is an option of pods, and `./quick` runs on the machine of its project; leave `memory` out, or write \
         `executor: kubernetes` into its spec"
    );
    let never = "01890000-0000-7000-8000-000000000000";
    for (method, path, status) in [
        ("GET", format!("{RUNS}/{never}"), 404),
        ("GET", format!("{RUNS}/x"), 404),
        ("GET", format!("{RUNS}/..%2F..%2Fstate.db/logs"), 404),
        ("GET", format!("{RUNS}/{never}/logs"), 404),
        ("GET", format!("{RUNS}/{never}/events"), 404),
        ("POST", format!("{RUNS}/{never}/cancel"), 404),
        ("GET", format!("{RUNS}?state=runing"), 400),
        ("GET", format!("{RUNS}?after=x"), 400),
        ("GET", "/api/v1/pipelines?after=x".to_owned(), 400),
        ("GET", "/api/v1/pipelines/databases/x".to_owned(), 404),
        ("GET", "/api/v1/pipelines/databases/..%2Fx".to_owned(), 404),
        ("POST", "/api/v1/pipelines/databases/x/stop".to_owned(), 404),
    ] {
        problem(&server.call(method, &path, ""), status);
    }
    let run = start(&server, "./quick");
    for position in ["x", "0.x", "0.99999999999999999999", "-1.0"] {
        problem(&server.call("GET", &format!("{RUNS}/{run}/logs?after={position}"), ""), 400);
    }
    for position in ["0.18446744073709551615", "18446744073709551615.0"] {
        let page = get(&server, &format!("{RUNS}/{run}/logs?after={position}"));
        assert!(page["items"].as_array().unwrap().is_empty(), "a position after the end: {page}");
    }
    problem(&server.call_with("GET", &format!("{RUNS}/{run}/events"), "", &[("last-event-id", "x")]), 400);
}

#[test]
fn database_is_listed_extended_and_stopped() {
    let queued = Queued::new();
    queued.project.write("stack.yaml", DATABASES);
    queued.run(&["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
    let server = serve(&queued);
    let databases = "/api/v1/pipelines/databases";
    let listed = get(&server, databases);
    let names: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["kept", "orders"], "{listed}");
    let orders = get(&server, &format!("{databases}/orders"));
    assert_eq!((&orders["engine"], &orders["status"]), (&json!("sqlite"), &json!("running")), "{orders}");
    assert!(orders["seconds_left"].as_u64().unwrap() <= 3600 && !listed.to_string().contains("password"), "{orders}");
    let extend = |name: &str, by: &str| {
        server.call("POST", &format!("{databases}/{name}/extend"), &json!({"by": by}).to_string())
    };
    let extended = extend("orders", "2h").json();
    assert!(extended["seconds_left"].as_u64().unwrap() > 7200, "{extended}");
    let wrong = problem(&extend("orders", "soon"), 400);
    assert_eq!(wrong, "`by`: expected numbers with their units, such as `90s`, `5m` or `1h30m`");
    assert_eq!(problem(&extend("kept", "1h"), 409), "the database `kept` does not expire");
    assert_eq!(problem(&extend("missing", "1h"), 404), "there is no database `missing`");
    let stopped = server.call("POST", &format!("{databases}/orders/stop"), "").json();
    assert_eq!(stopped["status"], "stopped", "{stopped}");
    assert!(queued.run(&["pipelines", "databases", "list"]).done().stdout.contains("stopped"));
}

/// A server that requires tokens, which are the names of callers.
pub(super) fn serve_with_tokens(queued: &Queued) -> Served {
    let token = |name: &str, rights: &str| {
        let digest = base16ct::lower::encode_string(&Sha256::digest(name));
        format!("{{name: {name}, sha256: '{digest}', {rights}}}")
    };
    let runs_only = "scopes: [apply], limits: {actions: [run]}";
    let tokens = [token("ada", "scopes: [apply]"), token("reader", "scopes: [read]"), token("runner", runs_only)];
    let tokens = tokens.join(", ");
    queued.project.write(
        "terrace.yaml",
        format!("server: {{auth: {{mode: token, minimumTokenLength: 1, tokens: [{tokens}]}}}}\n"),
    );
    serve(queued)
}

fn call(server: &Served, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    server.call_with(method, path, body, &[("authorization", bearer.as_str()), ("user-agent", "test/1")])
}

fn start_as(server: &Served, token: &str, pipeline: &str) -> Answer {
    call(server, token, "POST", RUNS, &json!({"pipeline_id": pipeline}).to_string())
}

/// The usage records of a project: its audit log has no damage.
fn usage(queued: &Queued) -> Vec<Value> {
    let printed = queued.run(&["audit", "usage", "--verify"]).done().stdout;
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records of the ends of runs.
fn ends(queued: &Queued) -> Vec<Value> {
    usage(queued).into_iter().filter(|record| record["finished_at"].is_string()).collect()
}

#[test]
fn usage_log_has_calls_refusals_and_ends() {
    let queued = Queued::with_cluster("1");
    let server = serve_with_tokens(&queued);
    assert_eq!(call(&server, "ada", "GET", "/api/v1/pipelines", "").status, 200);
    assert_eq!(start_as(&server, "reader", "./quick").status, 403);
    assert_eq!(start_as(&server, "stranger", "./quick").status, 401);
    let started = start_as(&server, "ada", "./quick");
    let run = started.json()["run_id"].as_str().unwrap().to_owned();
    assert_eq!(call(&server, "ada", "GET", &format!("{RUNS}/{run}/logs"), "").status, 200);
    until("the end is logged", || !ends(&queued).is_empty());
    let all = usage(&queued);
    let shown: Vec<String> = all
        .iter()
        .map(|record| {
            let text = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
            [text("user"), text("auth_provider"), text("action"), text("outcome")].join(" ")
        })
        .collect();
    for expected in [
        "ada token list done",
        "reader token run refused",
        "unknown - run refused",
        "ada token run accepted",
        "ada token logs done",
        "ada - run done",
    ] {
        assert_eq!(shown.iter().filter(|record| *record == expected).count(), 1, "{expected}: {shown:?}");
    }
    assert_eq!(all.len(), 6);
    let end = &ends(&queued)[0];
    assert_eq!((&end["run_id"], &end["pipeline_id"], &end["rows"]), (&json!(run), &json!("./quick"), &json!(500)));
    assert_eq!(end["cluster"], "local");
    for known in ["worker", "queued_at", "started_at"] {
        assert!(end[known].is_string(), "{known}: {end}");
    }
    assert!(end["duration_ms"].is_u64() && end["image"].is_null(), "{end}");
    // The system counts processor time in steps of ten milliseconds. A program may end before the first look at its memory.
    let (processor, memory) = (end["cpu_seconds"].as_f64(), end["mem_peak_bytes"].as_u64());
    let is_plausible = processor.is_some_and(|it| (0.0..60.0).contains(&it)) && memory.is_none_or(|it| it > 1_000_000);
    assert!(is_plausible, "{end}");
    let call = all.iter().find(|record| record["action"] == "logs").unwrap();
    assert_eq!((&call["client_version"], &call["ip"]), (&json!("test/1"), &json!("127.0.0.1")));
    let csv = queued.run(&["audit", "usage", "--format", "csv"]).done().stdout;
    assert!(csv.starts_with("id,ts,user,") && csv.lines().count() == 7, "{csv}");
    assert_eq!(queued.run(&["audit", "usage", "--until", "2020-01-01"]).done().stdout, "");
    assert_eq!(queued.run(&["audit", "usage", "--since", "1h"]).done().stdout.lines().count(), 6);
    for line in [
        "terrace_pipelines_actions_total{action=\"run\",outcome=\"refused\"} 2",
        "terrace_pipelines_runs_total{outcome=\"done\"} 1",
        "terrace_pipelines_rows_total 500",
        "terrace_pipelines_run_seconds_count{outcome=\"done\"} 1",
    ] {
        // The server counts the end of a run after it is in the audit log.
        until(line, || server.call("GET", "/metrics", "").body.contains(line));
    }
}

#[test]
fn image_of_a_run_needs_the_right_to_apply() {
    let queued = Queued::with_cluster("1");
    let server = serve_with_tokens(&queued);
    let image = format!("r/i@sha256:{}", "0".repeat(64));
    let body = json!({"pipeline_id": "./quick", "image": image}).to_string();
    let refused = problem(&call(&server, "runner", "POST", RUNS, &body), 403);
    assert_eq!(refused, "`image` needs the action `apply`: this call is outside the limits of the token of `runner`");
    assert_eq!(start_as(&server, "runner", "./quick").status, 202);
    let local = problem(&call(&server, "ada", "POST", RUNS, &body), 400);
    assert_eq!(
        local,
        "`image` is an option of pods, and `./quick` runs on the machine of its project; leave `image` out, or write \
         `executor: kubernetes` into its spec"
    );
}

#[test]
fn acknowledged_use_survives_kills_of_the_server() {
    let queued = Queued::with_cluster("2");
    let mut acknowledged = Vec::new();
    for _ in 0..5 {
        let server = serve_with_tokens(&queued);
        // The kill hits while further calls are in progress.
        let (ids, listed) = std::thread::scope(|scope| {
            let starts = scope.spawn(|| {
                let mut ids = Vec::new();
                // Most of these runs have nothing to do, and end soon.
                let body = json!({"pipeline_id": "./quick", "dirty": true}).to_string();
                let url = format!("{}{RUNS}", server.url());
                while let Ok(answer) =
                    terrace_tests::served::answer(&url, "POST", body.as_bytes(), &[("authorization", "Bearer ada")])
                {
                    assert_eq!(answer.status, 202, "{answer:?}");
                    ids.push(answer.json()["run_id"].as_str().unwrap().to_owned());
                }
                ids
            });
            let mut listed = 0;
            while listed < 5 {
                assert_eq!(call(&server, "ada", "GET", RUNS, "").status, 200);
                listed += 1;
            }
            server.kill();
            (starts.join().unwrap(), listed)
        });
        acknowledged.push((ids, listed));
        drop(server);
    }
    let all = usage(&queued);
    let lists = all.iter().filter(|record| record["action"] == "list").count();
    assert!(lists >= acknowledged.iter().map(|(_, listed)| listed).sum(), "{lists} {acknowledged:?}");
    for id in acknowledged.iter().flat_map(|(ids, _)| ids) {
        let starts = all.iter().filter(|record| record["run_id"] == json!(id) && record["outcome"] == "accepted");
        assert_eq!(starts.count(), 1, "the start of {id}");
    }
    // The next server logs each end once, also of runs without an answer to their start.
    let server = serve_with_tokens(&queued);
    let runs =
        || call(&server, "ada", "GET", &format!("{RUNS}?limit=1000"), "").json()["items"].as_array().unwrap().len();
    let requested = runs();
    until("all ends are logged", || ends(&queued).len() >= requested);
    let mut ids: Vec<String> =
        ends(&queued).iter().map(|record| record["run_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), ends(&queued).len()), (requested, requested));
}

#[test]
fn tampering_with_the_usage_log_is_reported_with_its_place() {
    let queued = Queued::new();
    let server = serve_with_tokens(&queued);
    for _ in 0..5 {
        assert_eq!(call(&server, "ada", "GET", "/api/v1/pipelines", "").status, 200);
    }
    assert_eq!(server.stop().code, 0);
    queued.run(&["audit", "verify"]).done().prints("the audit log is complete: its last entry is 5");
    let state = queued.project.path(".terrace/state.db");
    let untouched = std::fs::read(&state).unwrap();
    for (tampering, place) in [
        ("UPDATE audit SET entry = replace(entry, 'ada', 'eve') WHERE number = 2", "entry 2: its text was changed"),
        ("DELETE FROM audit WHERE number = 3", "entry 3: it is missing"),
        ("DELETE FROM audit WHERE number = 5", "entry 5: entries at the end are missing"),
        ("DELETE FROM audit WHERE number = 1", "entry 1: it is missing"),
        (
            "UPDATE audit SET number = 9 WHERE number = 2; UPDATE audit SET number = 2 WHERE number = 4;
             UPDATE audit SET number = 4 WHERE number = 9",
            "entry 2: its number was changed",
        ),
        ("UPDATE audit SET entry = substr(entry, 1, 40) WHERE number = 4", "entry 4: its text was changed"),
    ] {
        let _ = std::fs::remove_file(state.with_extension("db-wal"));
        let _ = std::fs::remove_file(state.with_extension("db-shm"));
        std::fs::write(&state, &untouched).unwrap();
        rusqlite::Connection::open(&state).unwrap().execute_batch(tampering).unwrap();
        for words in [["audit", "verify"].as_slice(), &["audit", "usage", "--verify"]] {
            queued.run(words).with_code(1).prints(&format!("the audit log is broken at {place}"));
        }
    }
}

pub(super) const DATABASES: &str = "\
apiVersion: terrace.dev/v1
kind: Stack
metadata: {name: data}
resources:
- {type: pipelines_database, name: a, config: {name: orders, engine: sqlite, ttl: 1h}}
- {type: pipelines_database, name: b, config: {name: kept, engine: sqlite}}
";

#[test]
fn extension_beyond_the_hours_of_a_day_is_refused() {
    let queued = Queued::new();
    queued.project.write("stack.yaml", DATABASES);
    queued.run(&["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
    let server = serve_with_limits(&queued, "databaseHoursPerDay: 3", "runSecondsPerDay: 60");
    let extend = |token: &str, name: &str, by: &str| {
        let path = format!("/api/v1/pipelines/databases/{name}/extend");
        call(&server, token, "POST", &path, &json!({"by": by}).to_string())
    };
    // A refused extension does not count.
    assert_eq!(extend("ada", "kept", "3h").status, 409);
    assert_eq!(extend("ada", "orders", "2h").status, 200);
    let refused = extend("ada", "orders", "61m");
    let words = problem(&refused, 429);
    assert!(
        words.starts_with("the limit `databaseHoursPerDay` is 3, and 60 minutes are left today: it resets at "),
        "{words}"
    );
    assert_eq!(extend("ada", "orders", "1h").status, 200);
    assert_eq!(extend("bob", "orders", "90h").status, 200, "another caller of the organisation has no such limit");
}

/// A server with a limited token, and a second token of the same organisation.
pub(super) fn serve_with_limits(queued: &Queued, limits: &str, of_organisation: &str) -> Served {
    let digest = |name: &str| base16ct::lower::encode_string(&Sha256::digest(name));
    queued.project.write(
        "terrace.yaml",
        format!(
            "server:\n  organisations: {{acme: {{{of_organisation}}}}}\n  auth:\n    mode: token\n    minimumTokenLength: 1\n    tokens:\n\
             \x20     - {{name: ada, organisation: acme, sha256: '{}', scopes: [apply], limits: {{pipelines: {{{limits}}}}}}}\n\
             \x20     - {{name: bob, organisation: acme, sha256: '{}', scopes: [apply]}}\n",
            digest("ada"),
            digest("bob")
        ),
    );
    serve(queued)
}

#[test]
fn callers_without_limits_have_the_default_of_the_server() {
    let queued = Queued::with_cluster("1");
    queued.project.write("terrace.yaml", "server: {pipelines: {limits: {concurrentRuns: 1}}}\n");
    let server = serve(&queued);
    start(&server, "./slow");
    // Callers without names share the limit.
    let refused = server.call("POST", RUNS, &json!({"pipeline_id": "./quick"}).to_string());
    assert_eq!(
        problem(&refused, 429),
        "the limit `concurrentRuns` is 1, and 1 are in the queue or running: wait until one ends"
    );
    server.kill();
    // A limit of the token has priority over the default.
    let server = serve_with_limits(&queued, "concurrentRuns: 2", "");
    assert_eq!(start_as(&server, "ada", "./quick").status, 202);
    assert_eq!(start_as(&server, "ada", "./quick").status, 202);
    assert_eq!(start_as(&server, "ada", "./quick").status, 429);
}

#[test]
fn long_names_of_callers_are_bounded_in_the_usage_log() {
    let queued = Queued::new();
    let server = serve(&queued);
    let long = "x".repeat(100_000);
    assert_eq!(server.call("POST", RUNS, &json!({"pipeline_id": long}).to_string()).status, 400);
    let record = &usage(&queued)[0];
    assert_eq!(record["pipeline_id"].as_str().unwrap().chars().count(), 257, "256 and an ellipsis");
}

#[test]
fn end_of_a_run_is_counted_once_after_a_kill_before_its_note() {
    let queued = Queued::with_cluster("1");
    let server = serve_with_tokens(&queued);
    assert_eq!(start_as(&server, "ada", "./quick").status, 202);
    until("the end is logged", || !ends(&queued).is_empty());
    let counted = |server: &Served| {
        let metrics = server.call("GET", "/metrics", "").body;
        metrics.lines().any(|line| line == "terrace_pipelines_runs_total{outcome=\"done\"} 1")
    };
    until("the end is counted", || counted(&server));
    server.kill();
    // As if the server had been killed between the entry and the note of it.
    let queue = queued.project.path(".terrace/pipelines/queue.db");
    let is_noted = || -> bool {
        let queue = rusqlite::Connection::open(&queue).unwrap();
        queue.query_row("SELECT is_logged FROM request", [], |row| row.get(0)).unwrap()
    };
    rusqlite::Connection::open(&queue).unwrap().execute("UPDATE request SET is_logged = 0", []).unwrap();
    let server = serve_with_tokens(&queued);
    until("the end is noted again", is_noted);
    assert!(!counted(&server) && ends(&queued).len() == 1);
}

#[test]
fn start_beyond_a_limit_is_refused_with_use_and_reset() {
    let queued = Queued::with_cluster("1");
    let server =
        serve_with_limits(&queued, "concurrentRuns: 1, rowsPerDay: 500, storedBytes: 1GB", "concurrentRuns: 2");
    let slow = start_as(&server, "ada", "./slow");
    assert_eq!(slow.status, 202, "{slow:?}");
    let refused = start_as(&server, "ada", "./quick");
    assert_eq!(
        problem(&refused, 429),
        "the limit `concurrentRuns` is 1, and 1 are in the queue or running: wait until one ends"
    );
    assert_eq!(refused.json()["limit"], json!({"limit": "concurrentRuns", "allowed": 1, "used": 1}));
    assert_eq!(refused.header("retry-after"), "5");
    let waiting = start_as(&server, "bob", "./quick").json()["run_id"].as_str().unwrap().to_owned();
    let shared = problem(&start_as(&server, "bob", "./quick"), 429);
    assert_eq!(
        shared,
        "the limit `concurrentRuns` of the organisation `acme` is 2, and 2 are in the queue or running: wait until one ends"
    );
    let cancel = format!("{RUNS}/{waiting}/cancel");
    assert_eq!(call(&server, "bob", "POST", &cancel, "").status, 202);
    let run = slow.json()["run_id"].as_str().unwrap().to_owned();
    queued.project.write("go", "");
    until("it ends", || call(&server, "ada", "GET", &format!("{RUNS}/{run}"), "").json()["state"] == "succeeded");
    let refused = start_as(&server, "ada", "./quick");
    let words = problem(&refused, 429);
    assert!(
        words.starts_with("the limit `rowsPerDay` is 500, and 500 rows are written today: it resets at "),
        "{words}"
    );
    let limit = &refused.json()["limit"];
    assert!(limit["resets_at"].as_str().unwrap().ends_with("T00:00:00Z"), "{limit}");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=86_400).contains(&seconds), "{seconds}");
    // The limits hold after a kill, and the usage log has the refusals.
    server.kill();
    let server = serve_with_limits(&queued, "rowsPerDay: 499", "");
    assert_eq!(start_as(&server, "ada", "./quick").status, 429);
    server.kill();
    let refusals: Vec<Value> = usage(&queued).into_iter().filter(|record| record["outcome"] == "refused").collect();
    let shown: Vec<(&Value, &Value, &Value)> =
        refusals.iter().map(|it| (&it["user"], &it["quota_limit"], &it["quota_remaining"])).collect();
    let expected =
        [("ada", 1), ("bob", 2), ("ada", 500), ("ada", 499)].map(|(user, limit)| (json!(user), json!(limit)));
    let zero = json!(0);
    assert_eq!(shown, expected.iter().map(|(user, limit)| (user, limit, &zero)).collect::<Vec<_>>());
    assert!(refusals.iter().all(|record| record["org"] == "acme" && record["error"].is_string()), "{refusals:?}");
}
