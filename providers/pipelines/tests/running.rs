//! Single runs: results, failures with their step, outputs, caches, cancellation.

use crate::harness::{Project, Recorder, runs};
use serde_json::json;
use std::fs;
use std::time::Duration;
use terrace_pipelines::run::NotRun;
use terrace_pipelines::run::batch::{self, BatchEnd, HoldReason, Options};
use terrace_pipelines::run::log::Reader;
use terrace_pipelines::run::{RunRequest, State};
use tokio_util::sync::CancellationToken;

const NOISE: &str =
    "noise:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data/noise}\n";

fn spec_with_code(code: &str) -> String {
    let lines: String = code.lines().map(|line| format!("      {line}\n")).collect();
    format!(
        "x:\n  pipeline:\n  - run: noise\n  - run: odd\n    code: |\n{lines}  - run: dump_to_path\n    parameters: {{out-path: data}}\n"
    )
}

#[tokio::test]
async fn run_counts_rows_and_leaves_package_record_and_log() {
    let project = Project::new(NOISE);
    let record = project.run("./noise").await;
    assert_eq!((record.state, record.rows), (State::Succeeded, 500), "{record:?}");
    assert_eq!(record.public_stats()["noise"], json!(500));
    assert_eq!(
        record.steps.iter().map(|(_, step)| (step.rows, step.exit_code)).collect::<Vec<_>>(),
        [(500, Some(0)); 2]
    );
    assert!(project.path("data/noise/noise.csv").exists() && project.path("data/noise/datapackage.json").exists());
    assert_eq!(record.datapackage, Some(project.runner.project.join("data/noise/datapackage.json")));
    assert_eq!(fs::read_dir(project.path("data")).unwrap().count(), 1, "no temporary output remains");
    assert_eq!(project.runner.store.run(&record.run[..13]).unwrap(), Some(record.clone()));
    assert_eq!(record.dataset(), record.stats["hash"]);
    assert!(!runs(&record.run));
}

#[tokio::test]
async fn failure_names_the_step_that_failed_first() {
    let code = "import sys\nfrom datapackage_pipelines.wrapper import ingest\ningest()\nprint('ERROR it is broken', file=sys.stderr)\nsys.exit(3)";
    let project = Project::new(&spec_with_code(code));
    let record = project.run("./x").await;
    assert_eq!(record.state, State::Failed);
    let failure = record.failure.unwrap();
    assert_eq!((failure.step, failure.message.as_str()), (Some(1), "it ended with exit code 3"));
    assert_eq!(failure.log, ["ERROR it is broken"]);
    assert!(!project.path("data").exists(), "incomplete outputs do not appear");
    let lines = Reader::new(&project.runner.store.run_folder(&record.run)).lines().unwrap();
    let odd: Vec<&str> = lines.iter().filter(|line| line.step == 2).map(|line| line.line.as_str()).collect();
    assert_eq!(odd, ["ERROR it is broken", "it ended with exit code 3"]);
}

#[tokio::test]
async fn step_without_data_package_is_named() {
    const HINT: &str = "`flow: NAME` in place of `run: NAME`";
    let project = Project::new(&spec_with_code("def flow(parameters):\n    return None"));
    let failure = project.run("./x").await.failure.unwrap();
    assert_eq!(failure.step, Some(1), "{failure:?}");
    assert!(failure.message.starts_with("it ended without a data package; step 3 needs one: "), "{failure:?}");
    assert!(failure.log.last().unwrap().contains(HINT), "{failure:?}");
    let project = Project::new("x:\n  pipeline:\n  - run: odd\n    code: pass\n");
    let failure = project.run("./x").await.failure.unwrap();
    assert_eq!((failure.step, failure.message.as_str()), (Some(0), "it ended without a data package"));
    assert!(failure.log.last().unwrap().contains(HINT), "{failure:?}");
    // A step that needs no input is not failed.
    let code = "from datapackage_pipelines.wrapper import spew\nspew({'name': '_', 'resources': []}, [], {})";
    let project = Project::new(&format!(
        "x:\n  pipeline:\n  - run: odd\n    code: pass\n  - run: odd\n    code: |\n      {}\n",
        code.replace('\n', "\n      ")
    ));
    let record = project.run("./x").await;
    assert_eq!(record.state, State::Succeeded, "{record:?}");
}

#[tokio::test]
async fn failed_run_keeps_outputs_of_last_good_run() {
    let project = Project::new(NOISE);
    let good = project.run("./noise").await;
    let before = fs::read(project.path("data/noise/datapackage.json")).unwrap();
    project.write("noise.py", "raise SystemExit(1)");
    let failed = project.run("./noise").await;
    assert_eq!(failed.state, State::Failed);
    assert_eq!(fs::read(project.path("data/noise/datapackage.json")).unwrap(), before);
    assert_eq!(project.runner.store.succeeded(".", "./noise").unwrap().unwrap().run, good.run);
    let failure = format!("its last run did not succeed: run {} failed", failed.run);
    assert_eq!(project.reasons("./noise"), [failure.as_str(), "the code changed: `noise.py`"]);
}

#[tokio::test]
async fn killed_step_is_reported() {
    let project = Project::new(&spec_with_code("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"));
    let failure = project.run("./x").await.failure.unwrap();
    assert_eq!((failure.step, failure.message.as_str()), (Some(1), "it was killed (signal 9)"));
}

#[tokio::test]
async fn cached_result_is_used_until_data_changes() {
    let spec = "x:\n  pipeline:\n  - run: load_resource\n    cache: true\n    parameters: {url: in/datapackage.json, resource: .*}\n  - run: dump_to_path\n    parameters: {out-path: data}\n";
    let project = Project::new(spec);
    project.write("in/datapackage.json", r#"{"resources": [{"name": "a", "path": "a.csv"}]}"#);
    project.write("in/a.csv", "id\n1\n2\n");
    let request = || RunRequest { uses_cache: true, ..RunRequest::default() };
    let cancel = CancellationToken::new();
    assert_eq!(project.run_as("./x", request(), &cancel).await.rows, 2);
    let again = project.run_as("./x", request(), &cancel).await;
    assert_eq!((again.state, again.rows), (State::Succeeded, 2), "{again:?}");
    let lines = Reader::new(&project.runner.store.run_folder(&again.run)).lines().unwrap();
    assert!(lines.iter().any(|line| line.line.contains("the cached result of step 1 is used")), "{lines:?}");
    project.write("in/a.csv", "id\n1\n2\n3\n");
    assert_eq!(project.run_as("./x", request(), &cancel).await.rows, 3);
}

#[tokio::test]
async fn cancelled_run_leaves_no_process_and_no_lock() {
    let code = "import signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\nopen('started', 'w')\ntime.sleep(600)";
    let project = Project::new(&spec_with_code(code));
    let cancel = CancellationToken::new();
    let waiting = async {
        while !project.path("started").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cancel.cancel();
    };
    let (record, ()) = tokio::join!(project.run_as("./x", RunRequest::default(), &cancel), waiting);
    assert_eq!(record.state, State::Cancelled, "{record:?}");
    assert!(!runs(&record.run), "a process remains");
    assert!(!project.runner.store.is_held(&record).unwrap());
}

#[tokio::test]
async fn step_outside_of_process_group_is_ended() {
    let project = Project::new(&spec_with_code("import os, time\nos.setsid()\ntime.sleep(600)"));
    let request = RunRequest { timeout: Some(Duration::from_millis(500)), ..RunRequest::default() };
    let record = project.run_as("./x", request, &CancellationToken::new()).await;
    assert_eq!(record.state, State::TimedOut);
    assert!(!runs(&record.run));
    // Another step fails without a cancellation; the steps between wait for this one.
    let spec = spec_with_code("import os, sys, time\nos.setsid()\nsys.stdin.read()\ntime.sleep(600)")
        + "  - run: odd\n    code: raise SystemExit(3)\n";
    let project = Project::new(&spec);
    let record = project.run("./x").await;
    assert_eq!(record.failure.as_ref().and_then(|failure| failure.step), Some(3), "{record:?}");
    assert!(!runs(&record.run));
}

#[tokio::test]
async fn output_counts_while_a_process_holds_the_pipe_open() {
    let code = "import subprocess\nfrom datapackage_pipelines.wrapper import ingest, spew\nparameters, package, resources = ingest()\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\nspew(package, resources, {'mean': float('nan')})";
    let spec = format!(
        "{}\n  - run: last\n    code: |\n{}\n",
        NOISE.trim_end(),
        code.lines().map(|line| format!("      {line}\n")).collect::<String>()
    );
    let project = Project::new(&spec);
    let record = project.run("./noise").await;
    assert_eq!((record.state, record.rows), (State::Succeeded, 500), "{record:?}");
    assert_eq!(record.stats["mean"], json!(null));
    assert!(record.datapackage.is_some() && record.stats.contains_key("hash"));
    assert!(!runs(&record.run));
}

#[tokio::test]
async fn last_step_without_statistics_has_failed() {
    let code = "print('{}'); print('{\"name\": \"_\", \"resources\": []}')";
    let project = Project::new(&format!("x:\n  pipeline:\n  - run: noise\n  - run: odd\n    code: |\n      {code}\n"));
    let record = project.run("./x").await;
    assert_eq!(record.state, State::Failed);
    assert_eq!(record.failure.unwrap().message, "it ended without statistics");
}

#[tokio::test]
async fn run_is_ended_after_its_timeout() {
    let project = Project::new(&spec_with_code("import time\ntime.sleep(600)"));
    let request = RunRequest { timeout: Some(Duration::from_millis(500)), ..RunRequest::default() };
    let record = project.run_as("./x", request, &CancellationToken::new()).await;
    assert_eq!(record.state, State::TimedOut);
    assert!(!runs(&record.run));
}

#[tokio::test]
async fn another_process_may_request_a_stop() {
    let project = Project::new(&spec_with_code("open('started', 'w')\nimport time\ntime.sleep(600)"));
    let requesting = async {
        while !project.path("started").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let last = project.runner.store.last(".", "./x").unwrap().unwrap();
        assert!(project.runner.store.is_held(&last).unwrap());
        project.runner.store.request_stop(&last.run, None).unwrap();
    };
    let (record, ()) = tokio::join!(project.run("./x"), requesting);
    assert_eq!(record.state, State::Cancelled);
}

#[tokio::test]
async fn steps_see_spec_folder_variables_and_database() {
    let code = "import os, beside\nfrom datapackage_pipelines.wrapper import ingest, spew\np, d, r = ingest()\nspew(d, r, {'beside': beside.word, 'foo': os.environ['FOO'], 'engine': os.environ['DPP_DB_ENGINE'], 'own': [n for n in os.environ if n.startswith('TERRACE_')]})";
    let spec = spec_with_code(code).replace("x:\n", "x:\n  environment: {FOO: 3, A_PASSWORD: verysecret}\n");
    let project = Project::new(&spec);
    project.write("beside.py", "word = 'here verysecret'");
    let stats = project.run("./x").await.public_stats();
    assert_eq!((&stats["beside"], &stats["foo"]), (&json!("here ***"), &json!("3")));
    let engine = format!("sqlite:///{}/.terrace/pipelines/database.db", project.runner.project.display());
    assert_eq!(stats["engine"], json!(engine));
    assert_eq!(stats["own"], json!(["TERRACE_RUN"]));
}

#[tokio::test]
async fn pipelines_run_after_dependencies_and_not_after_failures() {
    let dump = |out: &str| format!("[{{run: noise}}, {{run: dump_to_path, parameters: {{out-path: {out}}}}}]");
    let spec = format!(
        "b:\n  dependencies: [{{pipeline: ./a}}]\n  pipeline: {}\na:\n  pipeline: {}\nbad:\n  pipeline: [{{run: bad}}]\nd:\n  dependencies: [{{pipeline: ./bad}}]\n  pipeline: {}\n",
        dump("data/b"),
        dump("data/a"),
        dump("data/d")
    );
    let project = Project::new(&spec);
    project.write("bad.py", "raise SystemExit(1)");
    let done = project.run_all(false).await;
    let position_of = |id: &str| done.iter().position(|done| done.pipeline == id).unwrap();
    assert!(position_of("./a") < position_of("./b") && position_of("./bad") < position_of("./d"));
    let held = &done[position_of("./d")].end;
    assert!(matches!(held, BatchEnd::Held { by, why: HoldReason::Unsuccessful } if by == "./bad"), "{held:?}");
    assert!(done[position_of("./b")].end.is_good());
    // Valid results are not computed again, but failures are.
    let again = project.run_all(true).await;
    let clean: Vec<&str> =
        again.iter().filter(|done| matches!(done.end, BatchEnd::Clean)).map(|it| it.pipeline.as_str()).collect();
    assert_eq!(clean, ["./a", "./b"]);
    project.write("noise.py", &crate::harness::NOISE.replace("'noise': 0", "'noise': 1"));
    assert_eq!(project.reasons("./a"), ["the code changed: `noise.py`"]);
}

#[tokio::test]
async fn run_that_never_started_has_nothing_to_end() {
    let project = Project::new(NOISE);
    assert_eq!(project.runner.executor.end_leftover_processes("no-such-run", Duration::ZERO).await.unwrap(), 0);
    assert_eq!(project.runner.settle("no-such-run").await.unwrap(), None);
}

#[tokio::test]
async fn no_pipeline_starts_after_cancellation() {
    let spec = "a: {pipeline: [{run: slow}]}\nb: {pipeline: [{run: noise}]}\nc: {dependencies: [{pipeline: ./b}], pipeline: [{run: noise}]}\n";
    let project = Project::new(spec);
    project.write("slow.py", "import time\nopen('started', 'w')\ntime.sleep(600)\n");
    let (specs, cancel) = (project.specs(), CancellationToken::new());
    let options = Options { max_parallel: 1, ..Options::default() };
    let recorder = Recorder::default();
    let running = batch::run(&project.runner, &specs, &[0, 1, 2], &options, &recorder, &cancel);
    let waiting = async {
        while !project.path("started").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cancel.cancel();
    };
    let (done, ()) = tokio::join!(running, waiting);
    let done = done.unwrap();
    assert!(matches!(&done[0].end, BatchEnd::Ran(record) if record.state == State::Cancelled), "{done:?}");
    assert!(matches!(done[1].end, BatchEnd::NotRun(NotRun::Cancelled)), "{done:?}");
    assert_eq!(project.runner.store.last(".", "./b").unwrap(), None);
    assert_eq!(done.len(), 3);
}
