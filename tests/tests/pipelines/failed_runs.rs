//! Failed and interrupted runs, and missing databases: their pipelines become dirty.

use crate::pipelines::runs::Pipelines;
use std::fs;
use terrace_tests::until;

/// Empties a table, as dpp's own step does, and fills it again unless the file `how` prevents it.
const TABLE: &str = "\
import os, sqlite3, time
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
database = sqlite3.connect(os.environ['DPP_DB_ENGINE'][len('sqlite:///'):])
database.execute('CREATE TABLE IF NOT EXISTS t (i integer)')
database.execute('DELETE FROM t')
database.commit()
open('begun', 'a').write('x')
how = open('how').read()
while how == 'slow':
    time.sleep(0.02)
if how == 'bad':
    raise SystemExit(7)
database.execute('INSERT INTO t VALUES (1)')
database.commit()
spew(package, resources, {})
";

const SPEC: &str = "\
a:
  pipeline:
  - run: noise
  - run: table
  - run: dump_to_path
    parameters: {out-path: data/a}
b:
  dependencies: [{pipeline: ./a}]
  pipeline: [{run: noise}]
";

const PLAN: [&str; 3] = ["plan", ".", "--detailed-exitcode"];

/// Creates a project in which every pipeline has run and been applied.
fn good() -> Pipelines {
    let pipelines = Pipelines::new(SPEC);
    pipelines.project.write("table.py", TABLE);
    pipelines.project.write("how", "good");
    pipelines.run(&["pipelines", "run"]).done();
    pipelines.run(&["apply", ".", "--auto-approve"]).done();
    pipelines.run(&PLAN).done().prints("No changes.");
    fs::remove_file(pipelines.project.path("begun")).unwrap();
    pipelines
}

#[test]
fn unsuccessful_run_makes_its_pipeline_dirty_until_a_run_succeeds() {
    for how in ["failed", "timed out", "was cancelled", "was interrupted"] {
        let pipelines = good();
        if how == "failed" {
            pipelines.project.write("how", "bad");
            pipelines.run(&["pipelines", "run", "./a"]).with_code(3);
        } else {
            pipelines.project.write("how", "slow");
            let limit: &[&str] = if how == "timed out" { &["--timeout", "4s"] } else { &[] };
            let running = pipelines.start(&[&["pipelines", "run", "./a"], limit].concat());
            until("the step begins", || pipelines.step_starts() == 1);
            // A running pipeline is not dirty.
            pipelines.run(&PLAN).done().prints("No changes.");
            match how {
                "timed out" => drop(running.finish().with_code(3)),
                "was cancelled" => {
                    running.interrupt();
                    let _ = running.finish().with_code(130);
                }
                _ => {
                    running.kill();
                    let _ = running.finish();
                }
            }
        }
        let plan = pipelines.run(&PLAN).with_code(2);
        plan.prints("because its last run did not succeed: run ").prints(how).prints("~ pipelines_run.run");
        plan.prints("`./a` may produce other data first");
        // Its dependents wait for a successful run.
        let refused = pipelines.run(&["pipelines", "run", "./b"]).with_code(3);
        refused.prints("Dependency unsuccessful: Cannot run until dependency \"./a\" is successfully executed");
        pipelines.run(&["pipelines", "run", "./b", "--dirty"]).with_code(3).prints("Dependency unsuccessful");
        if how == "failed" {
            pipelines.project.edit(
                "pipeline-spec.yaml",
                "pipeline: [{run: noise}]",
                "pipeline: [{run: noise}, {run: noise}]",
            );
            let refused = pipelines.run(&["apply", ".", "-c", "b", "--auto-approve"]).with_code(3);
            refused.prints("`./b` depends on `./a`, whose last run did not succeed: run ");
        }
        pipelines.project.write("how", "good");
        match how {
            "failed" | "was interrupted" => drop(pipelines.run(&["apply", ".", "--auto-approve"]).done()),
            _ => {
                let ran = pipelines.run(&["pipelines", "run", "--dirty"]).done();
                ran.prints("./a: SUCCESS");
                assert!(!ran.stdout.contains("./b"), "it made the same data: {ran}");
            }
        }
        pipelines.run(&PLAN).done().prints("No changes.");
        pipelines
            .run(&["pipelines", "run", "--dirty"])
            .done()
            .prints("nothing to run: the results of the pipelines are up to date");
        pipelines.run(&["pipelines", "run", "./b"]).done();
    }
}

#[test]
fn missing_project_database_is_created_again() {
    let pipelines = good();
    fs::remove_file(pipelines.project.path(".terrace/pipelines/database.db")).unwrap();
    pipelines.run(&PLAN).with_code(2).prints("because its database was removed: `");
    let ran = pipelines.run(&["pipelines", "run", "--dirty"]).done();
    ran.prints("./a: SUCCESS");
    pipelines.run(&PLAN).done().prints("No changes.");
    fs::remove_file(pipelines.project.path(".terrace/pipelines/database.db")).unwrap();
    pipelines.run(&["apply", ".", "--auto-approve"]).done();
    assert!(pipelines.project.has(".terrace/pipelines/database.db"));
    pipelines.run(&PLAN).done().prints("No changes.");
}

#[test]
fn dependents_of_a_run_interrupted_while_moving_files_are_held() {
    let pipelines = good();
    pipelines.project.edit("pipeline-spec.yaml", "- run: noise\n", "- run: noise\n    parameters: {rows: 7}\n");
    pipelines.project.edit("pipeline-spec.yaml", "pipeline: [{run: noise}]", "pipeline: [{run: noise}, {run: noise}]");
    // The run moves rows into place before the descriptor. A folder at the descriptor's path stops it there, as a kill
    // at that moment would.
    fs::remove_file(pipelines.project.path("data/a/datapackage.json")).unwrap();
    fs::create_dir_all(pipelines.project.path("data/a/datapackage.json/in-the-way")).unwrap();
    pipelines.run(&["pipelines", "run", "./a"]).with_code(1).prints("datapackage.json");
    let why = "was interrupted while it moved its outputs into place";
    pipelines.run(&PLAN).with_code(2).prints(why);
    pipelines.run(&["pipelines", "run", "./b"]).with_code(3).prints("Dirty dependency");
    let refused = pipelines.run(&["apply", ".", "-c", "b", "--auto-approve"]).with_code(3);
    refused.prints("`./b` depends on `./a`, of which run ").prints(why);
    refused.prints("apply `./a` too, or run it first: `terrace pipelines run ./a`");
    fs::remove_dir_all(pipelines.project.path("data/a/datapackage.json")).unwrap();
    pipelines.run(&["apply", ".", "-c", "a", "--auto-approve"]).done();
    pipelines.run(&["apply", ".", "-c", "b", "--auto-approve"]).done();
    pipelines.run(&PLAN).done().prints("No changes.");
}
