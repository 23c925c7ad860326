//! Cancelled runs: while they wait in the queue, and while a worker runs them.

use super::id;
use super::queued::Queued;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::fs;
use terrace_tests::until;

#[test]
fn queued_and_running_runs_are_cancelled_by_id() {
    let queued = Queued::with_cluster("1");
    let slow = id(&queued.run(&["pipelines", "run", "./slow", "--detach"]).done());
    until("the step begins", || queued.step_starts() == 1);
    let detached = queued.run(&["pipelines", "run", "./quick", "--detach", "--json"]).done().json();
    assert_eq!(detached["queued"][0]["pipeline_id"], "./quick");
    crate::cli::schemas::assert_is("runDetached", &detached);
    let quick = detached["queued"][0]["run_id"].as_str().unwrap();
    queued.run(&["pipelines", "logs", quick]).with_code(1).prints("has not started: it is queued");
    queued.run(&["pipelines", "cancel", quick]).done().prints(&format!("./quick: CANCELLED, run {quick}"));
    queued.run(&["pipelines", "cancel", &slow]).done().prints("./slow: CANCELLED");
    assert_eq!(queued.states(quick), ["queued", "ended"]);
    assert_eq!(queued.states(&slow), ["queued", "assigned", "ended"]);
    until("its processes are gone", || !queued.has_processes());
    queued.run(&["pipelines", "cancel", &slow]).with_code(1).prints("has ended: it was cancelled");
}

#[test]
fn name_of_a_pipeline_means_its_newest_run() {
    let queued = Queued::new();
    // Its sub folders belong to the project.
    queued.project.write("terrace.yaml", "{}");
    queued.run(&["pipelines", "init", "local", "--workers", "1", "--databases", "0"]).done();
    queued.project.write("sub/pipeline-spec.yaml", "load: {pipeline: [{run: noise}]}\n");
    queued.project.write("sub/noise.py", queued.project.read("noise.py"));
    for pipeline in ["./quick", "./sub/load"] {
        queued.run(&["pipelines", "run", pipeline]).done();
    }
    let slow = id(&queued.run(&["pipelines", "run", "./slow", "--detach"]).done());
    until("the step begins", || queued.step_starts() == 1);
    for pipeline in ["./quick", "./sub/load"] {
        let run = id(&queued.run(&["pipelines", "run", pipeline, "--force", "--detach"]).done());
        let call = |arguments: &[&str]| {
            let mut command = queued.command(&[&["pipelines"], arguments].concat());
            // A folder has its own id for a pipeline.
            if pipeline == "./sub/load" {
                command.current_dir(queued.project.path("sub")).args(["./load"]);
            } else {
                command.arg(pipeline);
            }
            queued.project.start(command).finish()
        };
        call(&["logs"]).with_code(1).prints(&format!("run {run} of {pipeline} has not started: it is queued"));
        let following = queued.start(&["pipelines", "logs", &run, "--follow"]);
        following.wait_for_stderr(&format!("run {run} of {pipeline} waits for a worker"));
        call(&["cancel"]).done().prints(&format!("{pipeline}: CANCELLED, run {run}"));
        following.finish().with_code(1).prints("never started: it was cancelled");
        // Without an unfinished run, the name means the last run that started.
        call(&["logs"]).done();
    }
    queued.run(&["pipelines", "cancel", "./slow"]).done().prints(&format!("./slow: CANCELLED, run {slow}"));
}

#[test]
fn name_of_a_pipeline_means_its_run_in_progress_and_cancels_all() {
    let queued = Queued::with_cluster("1");
    let first = id(&queued.run(&["pipelines", "run", "./slow", "--detach"]).done());
    until("the step begins", || queued.step_starts() == 1);
    let second = id(&queued.run(&["pipelines", "run", "./slow", "--force", "--detach"]).done());
    queued.run(&["pipelines", "logs", &second]).with_code(1).prints("has not started: it is queued");
    queued.run(&["pipelines", "logs", "./slow"]).done();
    let cancelled = queued.run(&["pipelines", "cancel", "./slow"]).done();
    for run in [first, second] {
        cancelled.prints(&format!("./slow: CANCELLED, run {run}"));
    }
    assert_eq!(queued.step_starts(), 1);
}

#[test]
fn follower_of_a_log_waits_for_the_start_of_the_run() {
    let queued = Queued::with_cluster("1");
    let slow = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let reporting = format!("import sys\nprint('here', file=sys.stderr)\n{}", queued.project.read("noise.py"));
    queued.project.write("noise.py", reporting);
    let quick = id(&queued.run(&["pipelines", "run", "./quick", "--detach"]).done());
    let following = queued.start(&["pipelines", "logs", &quick, "--follow"]);
    following.wait_for_stderr("waits for a worker");
    queued.project.write("go", "");
    following.finish().done().prints("noise: here");
    slow.finish().done();
}

#[test]
fn second_run_of_a_pipeline_names_the_first_one() {
    let queued = Queued::with_cluster("2");
    let first = id(&queued.run(&["pipelines", "run", "./slow", "--detach"]).done());
    until("the step begins", || queued.step_starts() == 1);
    let reason = format!("./slow: waiting for the end of run {first}");
    let second = queued.start(&["pipelines", "run", "./slow"]);
    second.wait_for_stderr(&reason);
    second.interrupt();
    second.finish().with_code(130);
    queued.run(&["pipelines", "init", "local", "--workers", "1", "--databases", "0"]).done();
    let third = queued.run(&["pipelines", "run", "./slow", "--force", "--detach"]).done();
    third.prints(&reason);
    assert!(!third.stderr.contains("Waiting for available"), "{third}");
    let following = queued.start(&["pipelines", "logs", "--follow", &id(&third)]);
    following.wait_for_stderr(&format!("run {} of ./slow waits for the end of run {first}", id(&third)));
    let after = id(&queued.run(&["pipelines", "run", "./quick", "--detach"]).done());
    let waiting = queued.start(&["pipelines", "logs", "--follow", &after]);
    waiting.wait_for_stderr(&format!("run {after} of ./quick waits for a worker"));
    queued.project.write("go", "");
    following.finish().done();
    waiting.finish().done();
}

#[test]
fn queued_run_names_a_run_beside_the_queue() {
    let queued = Queued::with_cluster("1");
    let beside = queued.start(&["pipelines", "run", "./slow", "--no-queue"]);
    until("the step begins", || queued.step_starts() == 1);
    let listed = queued.run(&["pipelines", "runs", "--json"]).done().json();
    let run = listed["runs"][0]["run_id"].as_str().unwrap().to_owned();
    let waiting = queued.start(&["pipelines", "run", "./slow"]);
    waiting.wait_for_stderr(&format!("./slow: waiting for the end of run {run}"));
    queued.project.write("go", "");
    beside.finish().done();
    waiting.finish().done();
}

#[test]
fn end_of_a_run_that_the_queue_dropped_is_read_from_its_record() {
    let queued = Queued::with_cluster("1");
    let first = id(&queued.run(&["pipelines", "run", "./quick", "--detach"]).done());
    until("it ends", || queued.states(&first).last().is_some_and(|state| state == "ended"));
    let record = queued.project.read(&format!(".terrace/pipelines/runs/{first}/run.json"));
    let slow = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let queue = Connection::open(queued.project.path(".terrace/pipelines/queue.db")).unwrap();
    for (has_record, state, code) in [(true, "succeeded", 0), (false, "not_run", 1)] {
        let following = queued.start(&["pipelines", "run", "./quick", "--json"]);
        let mut run = None;
        until("it waits", || {
            let query = "SELECT id FROM run WHERE state = 'queued'";
            run = queue.query_row(query, [], |row| row.get::<_, String>(0)).ok();
            run.is_some()
        });
        let run = run.unwrap();
        if has_record {
            let path = format!(".terrace/pipelines/runs/{run}/run.json");
            queued.project.write(&path, record.replace(&first, &run));
        }
        queue.execute("DELETE FROM run WHERE id = ?1", [&run]).unwrap();
        let ended = following.finish().with_code(code).json();
        assert_eq!(ended["results"][0]["state"], state, "{ended}");
    }
    queued.project.write("go", "");
    slow.finish().done();
}

#[test]
fn run_that_could_not_start_is_listed_with_its_reason() {
    let queued = Queued::new();
    queued.run(&["pipelines", "run", "./quick"]).done();
    // The workers find no way to the cluster.
    queued.project.write("kubeconfig", "apiVersion: v1\nkind: Config\n");
    let image = format!("r.example.com/x@sha256:{}", "0a".repeat(32));
    let settings = format!("{{executor: kubernetes, context: b, kubeconfig: kubeconfig, image: '{image}'}}");
    let settings = format!("environments: {{local: {{overlay: embedded, providers: {{pipelines: {settings}}}}}}}\n");
    queued.project.write("terrace.yaml", settings);
    let pool = "resources:\n  - {type: pipelines_worker_pool, name: p, config: {name: nightly, size: 1}}\n";
    queued.project.write_stack(pool);
    queued.run(&["apply", "stack.yaml", "--auto-approve"]).done();
    let run = id(&queued.run(&["pipelines", "run", "./quick", "--force", "--detach"]).done());
    until("it ends", || queued.states(&run).last().is_some_and(|state| state == "ended"));
    let runs = queued.run(&["pipelines", "runs", "--json"]).done().json();
    crate::cli::schemas::assert_is("runs", &runs);
    let listed = &runs["runs"][0];
    assert_eq!((&listed["run_id"], &listed["state"]), (&json!(run), &json!("not_run")), "{runs}");
    let reason = "the kubeconfig file has no context `b`";
    assert!(listed["error"].as_str().unwrap().contains(reason), "{runs}");
    for words in [&["logs", "./quick"][..], &["logs", "-f", &run], &["cancel", "./quick"]] {
        let shown = queued.run(&[&["pipelines"], words].concat()).with_code(1);
        shown.prints(&format!("run {run} of ./quick never started: ")).prints(reason);
        assert!(!shown.stderr.contains("waits for"), "{shown}");
    }
}

#[test]
fn name_of_a_pipeline_cancels_a_run_beside_the_queue() {
    let queued = Queued::with_cluster("1");
    let beside = queued.start(&["pipelines", "run", "./slow", "--no-queue"]);
    until("the step begins", || queued.step_starts() == 1);
    let waiting = id(&queued.run(&["pipelines", "run", "./slow", "--detach"]).done());
    let cancelled = queued.run(&["pipelines", "cancel", "./slow"]).done();
    cancelled.prints(&format!("./slow: CANCELLED, run {waiting}"));
    assert_eq!(cancelled.stdout.matches("./slow: CANCELLED, run ").count(), 2, "{cancelled}");
    beside.finish().with_code(130);
}

#[test]
fn cancelled_queued_run_is_listed_as_cancelled() {
    let queued = Queued::with_cluster("1");
    let slow = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let quick = id(&queued.run(&["pipelines", "run", "./quick", "--detach"]).done());
    let waiting = queued.run(&["pipelines", "runs", "./quick", "--json"]).done().json();
    crate::cli::schemas::assert_is("runs", &waiting);
    assert_eq!((&waiting["runs"][0]["run_id"], &waiting["runs"][0]["state"]), (&json!(quick), &json!("queued")));
    let mut cancel = queued.command(&["pipelines", "cancel", &quick]);
    cancel.env("USER", "jane");
    queued.project.start(cancel).finish().done();
    let json = queued.run(&["pipelines", "runs", "./quick", "--json"]).done().json();
    crate::cli::schemas::assert_is("runs", &json);
    let run = &json["runs"][0];
    assert_eq!(
        (&run["run_id"], &run["state"], &run["pipeline_id"]),
        (&json!(quick), &json!("cancelled"), &json!("./quick"))
    );
    // The letter would sort behind the digits of a fraction.
    let at = |name: &str| run[name].as_str().unwrap().trim_end_matches('Z');
    assert!(run["started_at"].is_null() && at("queued_at") <= at("finished_at"), "{run}");
    assert!(run["cancelled_by"].as_str().unwrap().starts_with("jane@"), "{run}");
    let error = run["error"].as_str().unwrap();
    assert!(error.starts_with("it never started: it was cancelled at 2") && error.contains(" by jane@"), "{run}");
    let lines = queued.run(&["pipelines", "runs"]).done();
    assert_eq!(lines.stdout.lines().count(), 2, "{lines}");
    lines.prints(&format!("  {quick}  cancelled  ")).prints("./quick  it never started: it was cancelled at ");
    for command in ["logs", "cancel"] {
        let ran = queued.run(&["pipelines", command, &quick]).with_code(1);
        ran.prints(&format!("run {quick} of ./quick never started: it was cancelled at ")).prints(" by jane@");
    }
    // The cancelled run makes nothing dirty. The next run starts without it.
    queued.project.write("go", "");
    slow.finish().done();
    queued.run(&["pipelines", "run", "./quick"]).done();
    let json = queued.run(&["pipelines", "runs", "./quick", "--json"]).done().json();
    let states: Vec<&str> = json["runs"].as_array().unwrap().iter().map(|run| run["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["succeeded", "cancelled"]);
    assert_eq!(queued.run(&["pipelines", "runs", "./quick", "--limit", "1"]).done().stdout.lines().count(), 1);
}

#[test]
fn cancelled_queued_run_is_reported_to_its_followers() {
    let queued = Queued::with_cluster("1");
    let slow = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let waiting =
        [queued.start(&["pipelines", "run", "./quick"]), queued.start(&["pipelines", "run", "./after", "--json"])];
    for (waiting, pipeline) in waiting.into_iter().zip(["./quick", "./after"]) {
        until("it is in the queue", || queued.run(&["pipelines", "cancel", pipeline]).code == 0);
        let output = waiting.finish().with_code(130);
        if pipeline == "./quick" {
            output.prints("./quick: CANCELLED, processed 0 rows").prints("INFO    :CANCELLED: ./quick");
        } else {
            assert_eq!(output.json()["results"][0]["state"], "cancelled", "{output}");
        }
    }
    queued.project.write("go", "");
    slow.finish().done();
}

#[test]
fn ctrl_c_cancels_a_queued_run_even_with_a_broken_configuration() {
    let queued = Queued::with_cluster("1");
    let slow = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let waiting = queued.start(&["pipelines", "run", "./quick", "--json"]);
    let queue = Connection::open(queued.project.path(".terrace/pipelines/queue.db")).unwrap();
    let of_quick = |column: &str| -> Option<String> {
        let query = format!("SELECT {column} FROM run WHERE pipeline = './quick'");
        queue.query_row(&query, [], |row| row.get(0)).ok()
    };
    until("it is in the queue", || of_quick("state").as_deref() == Some("queued"));
    queued.project.write("terrace.yaml", "environments: {");
    waiting.interrupt();
    let output = waiting.finish().with_code(130);
    assert_eq!(output.json()["results"][0]["state"], "cancelled", "{output}");
    assert_eq!(of_quick("state").as_deref(), Some("ended"));
    let ending: Value = serde_json::from_str(&of_quick("ending").unwrap()).unwrap();
    assert!(ending["notrun"]["by"].as_str().unwrap().starts_with("tester@"), "{ending}");
    fs::remove_file(queued.project.path("terrace.yaml")).unwrap();
    queued.project.write("go", "");
    slow.finish().done();
}

#[test]
fn unreadable_record_is_reported_after_a_cancellation() {
    let queued = Queued::with_cluster("1");
    queued.run(&["pipelines", "run", "./quick"]).done();
    let slow = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let quick = id(&queued.run(&["pipelines", "run", "./quick", "--force", "--detach"]).done());
    let folders = fs::read_dir(queued.project.path(".terrace/pipelines/pipelines")).unwrap();
    let mut folders = folders.map(|folder| folder.unwrap().path());
    let of_quick = folders.find(|folder| folder.file_name().unwrap().to_str().unwrap().starts_with("quick")).unwrap();
    fs::write(of_quick.join("last.json"), "{").unwrap();
    let cancelled = queued.run(&["pipelines", "cancel", "./quick"]).with_code(1);
    cancelled.prints(&format!("./quick: CANCELLED, run {quick}")).prints("the records of runs cannot be read: ");
    queued.project.write("go", "");
    slow.finish().done();
}

/// Records in the queue a run of `./quick` that was cancelled after `attempt` attempts, the last one with another
/// record.
fn insert_cancelled_run(queued: &Queued, run: &str, attempt: u32, record: &str) {
    let queue = Connection::open(queued.project.path(".terrace/pipelines/queue.db")).unwrap();
    let ending = json!({"notrun": {"why": "cancelled", "what": ["cancelled before its start"]}}).to_string();
    let insert = "INSERT INTO run (id, root, folder, pipeline, options, state, attempt, record, is_good, ending, queued_at, ended_at)
                  VALUES (?1, '.', '.', './quick', ?2, 'ended', ?3, ?4, 0, ?5, 0, 1)";
    let options = json!({"only_dirty": false, "is_forced": false, "uses_cache": true, "timeout": null,
                         "patience": {"secs": 0, "nanos": 0}});
    queue.execute(insert, params![run, options.to_string(), attempt, record, ending]).unwrap();
}

#[test]
fn run_cancelled_after_a_requeue_is_shown_by_its_first_record() {
    let queued = Queued::with_cluster("1");
    queued.run(&["pipelines", "run", "./quick", "--no-queue"]).done();
    let ended =
        queued.run(&["pipelines", "runs", "--json"]).done().json()["runs"][0]["run_id"].as_str().unwrap().to_owned();
    // The second attempt was cancelled before it had a record. The first attempt has one.
    insert_cancelled_run(&queued, &ended, 2, "0a21107b-0000-7000-8000-000000000001");
    queued.run(&["pipelines", "logs", &ended]).done();
    queued.run(&["pipelines", "cancel", &ended]).with_code(1).prints("has ended: it succeeded");
    // The worker of this run died before it recorded anything.
    let nothing = "0a21107b-0000-7000-8000-000000000002";
    insert_cancelled_run(&queued, nothing, 1, nothing);
    queued.run(&["pipelines", "logs", nothing]).with_code(1).prints("never started: it was cancelled at ");
    let listed = queued.run(&["pipelines", "runs", "--json"]).done().json();
    let mut ids: Vec<&str> =
        listed["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let mut expected = [ended.as_str(), nothing];
    expected.sort_unstable();
    assert_eq!(ids, expected, "each once");
}

#[test]
fn full_id_of_an_earlier_attempt_means_that_attempt() {
    let queued = Queued::with_cluster("1");
    let attempts = [1, 2, 3].map(|_| {
        queued.run(&["pipelines", "run", "./quick", "--no-queue"]).done();
        let listed = queued.run(&["pipelines", "runs", "--limit", "1", "--json"]).done().json();
        listed["runs"][0]["run_id"].as_str().unwrap().to_owned()
    });
    let [run, earlier, last] = &attempts;
    insert_cancelled_run(&queued, run, 3, last);
    let queue = Connection::open(queued.project.path(".terrace/pipelines/queue.db")).unwrap();
    for (record, attempt) in attempts.iter().zip(1..) {
        let insert = "INSERT INTO transition (run, state, attempt, record, at) VALUES (?1, 'assigned', ?2, ?3, 0)";
        queue.execute(insert, params![run, attempt, record]).unwrap();
    }
    for (word, shown) in [(earlier, earlier), (last, last), (run, last)] {
        let ended = queued.run(&["pipelines", "cancel", word]).with_code(1);
        ended.prints(&format!("run {shown} of ./quick has ended: it succeeded"));
    }
}

#[test]
fn beginning_of_the_ids_of_several_runs_stops_none() {
    let queued = Queued::with_cluster("1");
    let slow = id(&queued.run(&["pipelines", "run", "./slow", "--detach"]).done());
    until("the step begins", || queued.step_starts() == 1);
    // A run without the queue has the same first eight digits.
    let other = format!("{}-0000-7000-8000-000000000000", &slow[..8]);
    let record = queued.project.read(&format!(".terrace/pipelines/runs/{slow}/run.json"));
    queued.project.write(&format!(".terrace/pipelines/runs/{other}/run.json"), record.replace(&slow, &other));
    for command in ["logs", "cancel"] {
        let refused = queued.run(&["pipelines", command, &slow[..8]]).with_code(1);
        refused.prints(&format!("the ids of several runs begin with `{}`", &slow[..8])).prints(&slow).prints(&other);
    }
    assert_eq!(queued.states(&slow), ["queued", "assigned"], "it goes on");
    queued.run(&["pipelines", "cancel", &slow]).done().prints(&format!("./slow: CANCELLED, run {slow}"));
}
