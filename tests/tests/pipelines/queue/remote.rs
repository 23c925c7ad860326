//! The commands of pipelines with `--server`: same lines, same JSON and same exit codes as without.

use super::queued::Queued;
use super::served::{DATABASES, serve, serve_with_limits, serve_with_tokens, wait_for_state};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;
use terrace_tests::served::Served;
use terrace_tests::{Ran, Running, until};

/// A user of a server, on another machine: without the project.
struct User<'q> {
    queued: &'q Queued,
    folder: TempDir,
    url: String,
    token: Option<&'static str>,
}

impl<'q> User<'q> {
    fn of(queued: &'q Queued, server: &Served, token: Option<&'static str>) -> Self {
        Self { queued, folder: tempfile::tempdir().unwrap(), url: server.url().to_owned(), token }
    }

    fn start(&self, words: &[&str]) -> Running {
        let mut command = self.queued.command(words);
        command.current_dir(self.folder.path()).env("TERRACE_SERVER", &self.url);
        command.env("XDG_CONFIG_HOME", self.folder.path());
        if let Some(token) = self.token {
            command.env("TERRACE_TOKEN", token);
        }
        self.queued.project.start(command)
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.start(words).finish()
    }
}

/// Standard error without the lines about the cluster, which a server does not print.
fn results(ran: &Ran) -> String {
    let is_of_cluster = |line: &&str| line.starts_with("Using ") || line.contains("Worker Pod");
    ran.stderr.lines().filter(|line| !is_of_cluster(line)).map(|line| format!("{line}\n")).collect()
}

const LIST_JSON: [&str; 3] = ["pipelines", "list", "--json"];

/// The lines of a list. A server lists pipelines in the order of their ids.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// The pipelines of a list in the order of their ids.
fn by_id(list: &Value) -> Vec<Value> {
    let mut pipelines = list["pipelines"].as_array().unwrap().clone();
    pipelines.sort_by_key(|pipeline| pipeline["pipeline_id"].as_str().unwrap().to_owned());
    pipelines
}

/// JSON without ids and times.
fn timeless(mut json: Value) -> Value {
    for result in json["results"].as_array_mut().unwrap() {
        for name in ["run_id", "started_at", "finished_at", "reasons"] {
            assert!(!result[name].is_null(), "{name}: {result}");
            result[name] = Value::Null;
        }
    }
    json
}

#[test]
fn run_prints_the_same_results_as_without_a_server() {
    let queued = Queued::with_cluster("2");
    let server = serve(&queued);
    let user = User::of(&queued, &server, None);
    let words = ["pipelines", "run", "./quick,./after"];
    let (here, there) = (queued.run(&words).done(), user.run(&words).done());
    assert_eq!(there.stdout, here.stdout, "in order of the dependencies");
    assert_eq!(results(&there), results(&here));
    assert!(there.stdout.starts_with("./quick: SUCCESS, processed 500 rows\n./after: SUCCESS"), "{there}");
    let json = |ran: Ran| timeless(ran.done().json());
    let words = ["pipelines", "run", "./quick", "--json"];
    assert_eq!(json(user.run(&words)), json(queued.run(&words)));
    // Nothing to do.
    let clean = user.run(&["pipelines", "run", "./quick", "--dirty"]).done();
    clean.prints("nothing to run: the results of the pipelines are up to date");
    // A failed pipeline and its dependent.
    queued.project.write("noise.py", "raise SystemExit(3)");
    let words = ["pipelines", "run", "./quick,./after"];
    let (here, there) = (queued.run(&words).with_code(3), user.run(&words).with_code(3));
    assert_eq!(there.stdout, here.stdout);
    there.prints("Dependency unsuccessful: Cannot run until dependency \"./quick\"");
    let errors = |ran: &Ran| results(ran).lines().filter(|line| !line.starts_with("error: ")).collect::<String>();
    assert_eq!(errors(&there), errors(&here), "only a project knows the place of the step");
    assert!(!user.folder.path().join(".terrace").exists(), "the user's folder stays as it is");
    // Wrong calls.
    user.run(&["pipelines", "run", "./quik"])
        .with_code(1)
        .prints("the server has no pipeline `./quik`")
        .prints("did you mean `./quick`?");
    user.run(&["pipelines", "run", "--sync", "x"]).with_code(1).prints("a server has no `--sync` for its runs");
    user.run(&["pipelines", "run", "./quick", "--pool", "x"]).with_code(1).prints("no worker pool `x`");
}

#[test]
fn runs_logs_pods_and_specs_of_a_server_are_listed() {
    let queued = Queued::with_cluster("1");
    let server = serve(&queued);
    let user = User::of(&queued, &server, None);
    let (there, here) = (user.run(&["pipelines", "list"]).done(), queued.run(&["pipelines", "list"]).done());
    assert_eq!(sorted(&there.stdout), sorted(&here.stdout));
    let (there, here) = (user.run(&LIST_JSON).done().json(), queued.run(&LIST_JSON).done().json());
    assert_eq!(by_id(&there), by_id(&here));
    crate::cli::schemas::assert_is("pipelines", &there);
    let run = user.run(&["pipelines", "run", "./quick", "--detach"]).done();
    let run = run.stdout.trim_end().strip_prefix("./quick ").unwrap().to_owned();
    wait_for_state(&server, &run, "succeeded");
    let words = ["pipelines", "runs"];
    assert_eq!(user.run(&words).done().stdout, queued.run(&words).done().stdout);
    let listed = user.run(&["pipelines", "runs", "quick", "--json"]).done().json();
    assert_eq!((&listed["runs"][0]["run_id"], &listed["runs"][0]["rows"]), (&json!(run), &json!(500)), "{listed}");
    user.run(&["pipelines", "runs", "./none"]).done().prints("`./none` has no runs on the server");
    for words in
        [["pipelines", "logs", &run].as_slice(), &["pipelines", "logs", &run[..20]], &["pipelines", "logs", "quick"]]
    {
        let (there, here) = (user.run(words).done(), queued.run(words).done());
        assert_eq!(there.stdout, here.stdout, "{words:?}");
    }
    let words = ["pipelines", "logs", &run, "--json", "--step", "noise"];
    assert_eq!(user.run(&words).done().stdout, queued.run(&words).done().stdout);
    user.run(&["pipelines", "logs", &run, "--step", "9"]).with_code(1).prints("has no step `9`");
    user.run(&["pipelines", "logs", "01890000-0000-7000-8000-000000000000"]).with_code(1).prints("no run `0189");
    let mut pods = user.run(&["pipelines", "pods"]).done().json();
    let mut expected = Value::Array(queued.pods());
    for pod in pods.as_array_mut().unwrap().iter_mut().chain(expected.as_array_mut().unwrap()) {
        pod["age"] = Value::Null;
    }
    assert_eq!(pods, expected);
    user.run(&["pipelines", "list", "."]).with_code(1).prints("a server lists pipelines of its project only");
    // The flag does the same as the variable.
    let flag = queued.run(&["pipelines", "runs", "--server", server.url()]).done();
    assert!(flag.stdout.contains(&run), "{flag}");
    // A spec that cannot be read has the exit code of an error.
    queued.project.write("broken/pipeline-spec.yaml", "bad: {pipeline: [{runn: noise}]}\n");
    let (there, here) = (user.run(&LIST_JSON).with_code(1).json(), queued.run(&LIST_JSON).with_code(1).json());
    assert_eq!(by_id(&there), by_id(&here));
    crate::cli::schemas::assert_is("pipelines", &there);
    queued.project.write("go", "");
    user.run(&["pipelines", "run", "all"]).with_code(1).prints("broken/pipeline-spec.yaml").prints("./quick: SUCCESS");
}

#[test]
fn databases_of_a_server_are_listed_extended_and_stopped() {
    let queued = Queued::new();
    queued.project.write("stack.yaml", DATABASES);
    queued.run(&["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
    let server = serve(&queued);
    let user = User::of(&queued, &server, None);
    let run = |words: &[&str]| user.run(&[&["pipelines", "databases"], words].concat());
    let listed = run(&[]).done();
    assert_eq!(listed.stdout.lines().count(), 2, "{listed}");
    listed.prints("kept  SQLite  running  kept until it is removed\norders  SQLite  running  kept for ");
    let json = run(&["list", "--json"]).done().json();
    assert_eq!((&json[1]["name"], &json[1]["status"]), (&json!("orders"), &json!("running")), "{json}");
    run(&["show", "orders"]).done().prints("Status:   running\nKept:     for ");
    run(&["show", "orders", "--reveal"]).with_code(4).prints("a server shows no passwords");
    run(&["extend", "orders", "1h30m"]).done().prints("orders: kept for ");
    let left = run(&["show", "orders", "--json"]).done().json()["seconds_left"].as_u64().unwrap();
    assert!((7_200..=9_000).contains(&left), "{left}");
    run(&["extend", "kept", "1h"]).with_code(1).prints("the database `kept` does not expire");
    run(&["stop", "missing"]).with_code(1).prints("there is no database `missing`");
    run(&["stop", "orders"]).done().prints("orders: stopped, kept for ");
    assert!(queued.run(&["pipelines", "databases", "list"]).done().stdout.contains("stopped"));
    // These work in the project here, where a database may have the same name.
    let local = [&["start", "orders"][..], &["remove", "orders", "--remove-data"], &["dump", "orders", "orders.db"]];
    for words in local {
        run(words).with_code(4).prints("TERRACE_SERVER names a server").prints("unset TERRACE_SERVER");
    }
    queued.run(&["pipelines", "databases", "show", "orders"]).done().prints("Status:   stopped");
}

#[test]
fn rows_of_a_run_are_shown_before_its_end() {
    const COUNTING: &str = "\
import os, time
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
def rows():
    for i in range(20000):
        yield {'i': i}
    while not os.path.exists('go'):
        time.sleep(0.02)
package['resources'].append({'name': 'numbers', 'path': 'numbers.csv', 'dpp:streaming': True,
    'schema': {'fields': [{'name': 'i', 'type': 'integer'}]}})
spew(package, resources + [rows()], {})
";
    let queued = Queued::with_cluster("1");
    queued.project.write("counting.py", COUNTING);
    queued.project.write("pipeline-spec.yaml", "numbers: {pipeline: [{run: counting}]}\n");
    let server = serve(&queued);
    let user = User::of(&queued, &server, None);
    let following = user.start(&["pipelines", "run", "./numbers"]);
    until("the rows are listed", || {
        let run = &user.run(&["pipelines", "runs", "--json"]).done().json()["runs"][0];
        run["state"] == "running" && run["rows"].as_u64().is_some_and(|rows| rows > 0)
    });
    let run =
        user.run(&["pipelines", "runs", "--json"]).done().json()["runs"][0]["run_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/pipelines/runs/{run}/events");
    // The run ends after the event.
    let address = server.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "event: progress"), "the stream ended without rows");
    assert!(lines.next().unwrap().starts_with("data: {\"rows\":"));
    queued.project.write("go", "");
    following.finish().done().prints("./numbers: SUCCESS, processed 20000 rows");
}

#[test]
fn followed_run_survives_a_restart_of_the_server_and_is_cancelled() {
    let queued = Queued::with_cluster("1");
    let server = serve(&queued);
    let user = User::of(&queued, &server, None);
    let following = user.start(&["pipelines", "run", "./slow", "-v"]);
    until("the step begins", || queued.step_starts() == 1);
    let run =
        user.run(&["pipelines", "runs", "--json"]).done().json()["runs"][0]["run_id"].as_str().unwrap().to_owned();
    let log = user.start(&["pipelines", "logs", "-f", &run]);
    until("both streams are open", || server.call("GET", "/metrics", "").body.contains("terrace_http_event_streams 2"));
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    server.kill();
    drop(server);
    following.wait_for_stderr("the server does not answer: waiting for it for up to 5 minutes");
    let mut command = queued.command(&["serve", "--bind", &address]);
    command.env_remove("TERRACE_SERVER");
    let again = queued.project.start(command);
    again.wait_for_stderr("serving on ");
    queued.project.write("go", "");
    let followed = following.finish().done();
    followed.prints("./slow: SUCCESS, processed 500 rows").prints("the server answers again");
    let log = log.finish().done();
    assert_eq!(log.stdout, user.run(&["pipelines", "logs", &run]).done().stdout, "each line once");
    // A signal to the follower stops the run.
    std::fs::remove_file(queued.project.path("go")).unwrap();
    let following = user.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 2);
    following.interrupt();
    let interrupted = following.finish().with_code(130);
    interrupted.prints("./slow: CANCELLED").prints("interrupted: cancelling the runs of this command; repeat to leave");
    until("its processes are gone", || !queued.has_processes());
    // The command for it does, too.
    let detached = user.run(&["pipelines", "run", "./slow", "--detach"]).done();
    let run = detached.stdout.trim_end().strip_prefix("./slow ").unwrap().to_owned();
    until("the step begins", || queued.step_starts() == 3);
    let cancelled = user.run(&["pipelines", "cancel", "./slow"]).done();
    assert_eq!(cancelled.stdout, format!("./slow: CANCELLED, run {run}\n"));
    user.run(&["pipelines", "cancel", &run]).with_code(1).prints("has ended");
}

#[test]
fn missing_token_scope_and_limit_have_the_exit_code_4() {
    let queued = Queued::with_cluster("1");
    let server = serve_with_tokens(&queued);
    let login = format!("sign in with `terrace pipelines login --server {}`, or set TERRACE_TOKEN", server.url());
    let user = |token| User::of(&queued, &server, token);
    for words in
        [&["list"][..], &["run", "./quick"], &["runs"], &["logs", "./quick"], &["cancel", "./quick"], &["pods"]]
    {
        let words: Vec<&str> = ["pipelines"].iter().chain(words).copied().collect();
        user(None).run(&words).with_code(4).prints("the server needs a token").prints(&login);
        let wrong = user(Some("hunter2-stranger")).run(&words).with_code(4);
        assert!(wrong.stderr.contains("the server does not accept the token: ") && !wrong.stderr.contains("hunter2"));
    }
    user(Some("reader")).run(&["pipelines", "list"]).done();
    user(Some("reader"))
        .run(&["pipelines", "run", "./quick"])
        .with_code(4)
        .prints("has the scope `read`, and this call needs `apply`");
    user(Some("not a token")).run(&["pipelines", "list"]).with_code(1).prints("TERRACE_TOKEN is not a token");
    user(Some("ada")).run(&["pipelines", "run", "./quick"]).done();
    server.kill();
    let server = serve_with_limits(&queued, "rowsPerDay: 500, concurrentRuns: 1", "");
    let user = User::of(&queued, &server, Some("ada"));
    let refused = user.run(&["pipelines", "run", "./quick", "--json"]).with_code(4);
    refused.prints("the limit `rowsPerDay` is 500, and 500 rows are written today: it resets at ");
    assert!(refused.json()["diagnostics"][0]["message"].as_str().unwrap().contains("`rowsPerDay`"), "{refused}");
    server.kill();
    let server = serve_with_limits(&queued, "concurrentRuns: 2", "");
    let user = User::of(&queued, &server, Some("ada"));
    // The only worker is busy, so that the first run of the next command waits.
    user.run(&["pipelines", "run", "./slow", "--detach"]).done();
    until("the step begins", || queued.step_starts() > 0);
    let refused = user.run(&["pipelines", "run", "./slow,./quick"]).with_code(4);
    refused.prints("the limit `concurrentRuns` is 2, and 2 are in the queue or running: wait until one ends");
    refused.prints("the runs of this command that were queued before are cancelled");
    let listed = user.run(&["pipelines", "runs", "--json"]).done().json();
    let states: Vec<&Value> = listed["runs"].as_array().unwrap().iter().map(|run| &run["state"]).collect();
    assert_eq!(states, ["cancelled", "running", "succeeded"], "{listed}");
    user.run(&["pipelines", "cancel", "./slow"]).done();
    server.kill();
    user.run(&["pipelines", "list"]).with_code(1).prints("the server cannot be reached at ");
}

#[test]
fn token_is_not_sent_without_encryption_to_another_machine() {
    let queued = Queued::new();
    let ask = |url: &str, token: &str, words: &[&str]| {
        let mut command = queued.command(words);
        command.env("TERRACE_SERVER", url).env("TERRACE_TOKEN", token);
        queued.project.start(command).finish()
    };
    let refused = ask("http://terrace.example.com", "hunter2-token", &["pipelines", "list"]).with_code(1);
    refused.prints("`TERRACE_SERVER` is `http://` to another machine: the network could read the token");
    ask("http://terrace.example.com", "", &["pipelines", "login"]).with_code(1).prints("`http://` to another machine");
    ask("ftp://x", "", &["pipelines", "list"]).with_code(1).prints("`TERRACE_SERVER` is not an `http` or `https` URL");
    ask("", "", &["pipelines", "login"]).with_code(1).prints("a sign-in needs a server");
}

#[test]
fn token_of_the_variable_goes_to_no_other_server() {
    let queued = Queued::new();
    let server = serve_with_tokens(&queued);
    let list = |variable: Option<&str>| {
        let mut command = queued.command(&["pipelines", "list", "--server", server.url()]);
        command
            .env("TERRACE_TOKEN", "reader")
            .env_remove("TERRACE_SERVER")
            .envs(variable.map(|it| ("TERRACE_SERVER", it)));
        queued.project.start(command).finish()
    };
    list(None).done();
    list(Some(server.url())).done();
    list(Some("https://terrace.example.com")).with_code(4).prints("the server needs a token");
}
