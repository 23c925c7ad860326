//! More about data pipelines: schedules that a server starts, run history, plugins, and progress on a terminal.

use crate::pipelines::runs::Pipelines;
use serde_json::{Value, json};
use terrace_tests::served::Served;
use terrace_tests::{Terminal, snapshot, until};

const NOISE: &str = "\
import os, time
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
def rows():
    for i in range(500):
        yield {'i': i}
        if i == 400 and parameters.get('slow'):
            import sys; sys.stdout.flush()
            while not os.path.exists('go'):
                time.sleep(0.02)
package['resources'].append({'name': 'noise', 'path': 'noise.csv', 'dpp:streaming': True,
    'schema': {'fields': [{'name': 'i', 'type': 'integer'}]}})
spew(package, resources + [rows()], {'noise': 1})
";

const SPEC: &str = "first:\n  schedule: {crontab: '* * * * *'}\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data/first}\nsecond: {pipeline: [{run: noise}]}\n";

/// Creates a project with a step that waits in the middle of its rows.
fn scheduled_project(spec: &str) -> Pipelines {
    let pipelines = Pipelines::new(spec);
    pipelines.project.write("noise.py", NOISE);
    pipelines
}

impl Pipelines {
    fn serve(&self) -> Served {
        let caches = self.caches.path().display().to_string();
        Served::start_with(&self.project, &[], &[("XDG_CACHE_HOME", &caches)])
    }

    fn runs_of(&self, pipeline: &str) -> Vec<Value> {
        let json = self.run(&["pipelines", "runs", pipeline, "--json"]).done().json();
        crate::cli::schemas::assert_is("runs", &json);
        json["runs"].as_array().unwrap().clone()
    }
}

#[test]
fn runs_are_listed_newest_first() {
    let pipelines = scheduled_project(SPEC);
    pipelines.run(&["pipelines", "runs"]).done().prints("there are no runs here");
    pipelines.run(&["pipelines", "run"]).done();
    pipelines.project.write("noise.py", "raise SystemExit(3)");
    pipelines.run(&["pipelines", "run", "./second"]).with_code(3);
    let all = pipelines.run(&["pipelines", "runs", "--json"]).done().json();
    assert_eq!(all["runs"].as_array().unwrap().len(), 3);
    let second = pipelines.runs_of("./second");
    assert_eq!((&second[0]["state"], &second[1]["state"]), (&"failed".into(), &"succeeded".into()));
    assert_eq!(second[0]["error"], "it ended with exit code 3");
    assert_eq!(second[1]["rows"], 500);
    let lines = pipelines.run(&["pipelines", "runs", "second", "--limit", "1"]).done();
    assert_eq!(lines.stdout.lines().count(), 1, "{lines}");
    lines.prints("  failed  ").prints("./second  it ended with exit code 3");
    let run = second[0]["run_id"].as_str().unwrap();
    pipelines.run(&["pipelines", "logs", run]).done().prints("it ended with exit code 3");
}

#[test]
fn interrupted_run_is_listed_as_lost() {
    let pipelines = scheduled_project("first: {pipeline: [{run: noise}, {run: slow}]}\n");
    let running = pipelines.start(&["pipelines", "run", "./first"]);
    until("the step begins", || pipelines.step_starts() == 1);
    assert_eq!(pipelines.runs_of("./first")[0]["state"], "running");
    running.kill();
    assert_eq!(running.finish().code, -1);
    assert_eq!(pipelines.runs_of("./first")[0]["state"], "lost");
    pipelines.run(&["pipelines", "runs"]).done().prints("  lost  ");
    until("its processes are gone", || !pipelines.has_processes());
}

#[test]
fn unknown_run_ids_are_refused_with_a_suggestion() {
    let pipelines = scheduled_project(SPEC);
    pipelines.run(&["pipelines", "run", "./first"]).done();
    let run = pipelines.runs_of("./first")[0]["run_id"].as_str().unwrap().to_owned();
    for command in ["logs", "cancel"] {
        pipelines
            .run(&["pipelines", command, "./frist"])
            .with_code(1)
            .prints("no run `./frist`")
            .prints("did you mean `./first`?");
        pipelines
            .run(&["pipelines", command, "second"])
            .with_code(1)
            .prints("`second` has no runs here")
            .prints("run it with `terrace pipelines run second`");
        // Each id begins with this digit, so the prefix is too short.
        pipelines
            .run(&["pipelines", command, &run[..1]])
            .with_code(1)
            .prints("has no run")
            .prints("at least 8 and as many as make it unique");
    }
    pipelines.run(&["pipelines", "logs", &run[..8]]).done();
    // Another run has the same first eight digits.
    let other = format!("{}-0000-7000-8000-000000000000", &run[..8]);
    let record = pipelines.project.read(&format!(".terrace/pipelines/runs/{run}/run.json"));
    pipelines.project.write(&format!(".terrace/pipelines/runs/{other}/run.json"), record.replace(&run, &other));
    pipelines
        .run(&["pipelines", "logs", &run[..8]])
        .with_code(1)
        .prints("several runs begin")
        .prints(&run)
        .prints(&other);
    pipelines.run(&["pipelines", "runs", "./frist"]).with_code(1).prints("did you mean `./first`?");
    pipelines.run(&["pipelines", "runs", "./second"]).done().prints("`./second` has no runs here");
}

#[test]
fn error_in_an_unselected_pipeline_is_a_warning() {
    let pipelines = scheduled_project("good: {pipeline: [{run: noise}]}\nbroken: {pipeline: [{run: nosie}]}\n");
    let ran = pipelines.run(&["pipelines", "run", "./good"]).done();
    ran.prints("warning: `pipeline-spec.yaml`").prints("./good: SUCCESS");
    // A pattern that matches only the broken pipeline.
    pipelines.run(&["pipelines", "run", "bro%"]).with_code(1).prints("did you mean `noise`?");
}

const STACK: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: s}\nresources:\n  - {type: pipelines_schedule, name: n, config: {name: second, pipeline: ./second, cron: '0 5 * * *', timeZone: Europe/Rome}}\n";

#[test]
fn schedule_in_a_cluster_that_does_not_answer_is_not_forgotten() {
    let pipelines = scheduled_project(SPEC);
    pipelines.project.write("stack.yaml", STACK);
    pipelines.run(&["apply", "stack.yaml", "--auto-approve"]).done();
    let forget = |name: &str| pipelines.run(&["pipelines", "schedules", "--forget", name]);
    forget("first").with_code(1).prints("the schedule `first` cannot be forgotten: no stack declared it");
    forget("second").with_code(1).prints("the schedule `second` cannot be forgotten: it has no CronJob");
    let place = ".terrace/pipelines/schedules/second";
    let mut schedule: Value = serde_json::from_str(&pipelines.project.read(&format!("{place}/schedule.json"))).unwrap();
    // The cluster does not answer any more.
    let cluster = json!({"cluster": "https://c", "namespace": "p", "kubeconfig": "/dev/null/none"});
    schedule["cronJob"] = json!({"name": "terrace-second", "place": cluster, "uid": "u", "stored": ""});
    pipelines.project.write(&format!("{place}/schedule.json"), schedule.to_string());
    let unread = pipelines.run(&["plan", "stack.yaml"]).with_code(1);
    unread.prints("or use the recorded values: add `--refresh=false` to `plan`, `apply` or `destroy`");
    let refused = forget("second").with_code(1);
    refused.prints("the schedule `second` cannot be forgotten: its CronJob may exist: ");
    refused.prints("if the cluster is gone for ever, remove `");
    let progress = json!({"decided": "2026-01-01T00:00:00Z", "gone": "u"});
    pipelines.project.write(&format!("{place}/progress.json"), progress.to_string());
    let listed = pipelines.run(&["pipelines", "schedules"]).done();
    listed.prints("apply the stack again, or `terrace pipelines schedules --forget second` if no stack has it");
}

#[test]
fn plan_with_a_wrong_setting_suggests_no_plan_without_reads() {
    let pipelines = scheduled_project(SPEC);
    pipelines.project.write("stack.yaml", STACK);
    pipelines.run(&["apply", "stack.yaml", "--auto-approve"]).done();
    let wrong = "environments: {local: {overlay: embedded, providers: {pipelines: {maxParallel: 0}}}}\n";
    pipelines.project.write("terrace.yaml", wrong);
    let planned = pipelines.run(&["plan", "stack.yaml"]).with_code(1);
    planned.prints("pipelines_schedule.n cannot be read: `maxParallel` is 0");
    assert!(!planned.to_string().contains("--refresh=false"), "{planned}");
}

#[test]
fn server_starts_due_runs_and_its_successor_does_not_repeat_them() {
    // The schedule must not run each minute: a run is skipped while another schedule runs the same pipeline.
    let pipelines = scheduled_project(&SPEC.replace("* * * * *", "0 5 1 1 *"));
    pipelines
        .project
        .write("terrace.yaml", "server: {pipelines: {schedules: true}}\nenvironments: {local: {overlay: embedded}}\n");
    pipelines.project.write("stack.yaml", STACK);
    pipelines.run(&["apply", "stack.yaml", "--auto-approve"]).done();
    pipelines.run(&["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes");
    let listed = pipelines.run(&["pipelines", "schedules", "--json"]).done().json();
    crate::cli::schemas::assert_is("schedules", &listed);
    let names: Vec<&str> =
        listed["schedules"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["second", "spec:./first"]);
    assert!(listed["schedules"][0]["next_run"].as_str().unwrap().contains(":00:00Z"), "{listed}");
    pipelines
        .run(&["pipelines", "schedules"])
        .done()
        .prints("second  ./second  0 5 * * *  next ")
        .prints("not run yet");
    // The schedule was declared, and the server checked it last, some time ago.
    let place = ".terrace/pipelines/schedules/second/schedule.json";
    let mut schedule: Value = serde_json::from_str(&pipelines.project.read(place)).unwrap();
    schedule["since"] = "2026-01-01T00:00:00Z".into();
    pipelines.project.write(place, schedule.to_string());
    let server = pipelines.serve();
    until("the missed run has ended", || {
        pipelines.runs_of("./second").first().is_some_and(|run| run["state"] == "succeeded")
    });
    until("the run is recorded", || {
        let listed = pipelines.run(&["pipelines", "schedules", "--json"]).done().json();
        crate::cli::schemas::assert_is("schedules", &listed);
        listed["schedules"][0]["last_state"] == "succeeded"
    });
    let reasons = &pipelines.runs_of("./second")[0]["reasons"];
    assert!(
        reasons[0].as_str().unwrap().contains("never run") || reasons[0].as_str().unwrap().contains("its schedule"),
        "{reasons}"
    );
    drop(server);
    // A second missed schedule. Its run proves that the successor has checked the schedules.
    schedule["name"] = "third".into();
    schedule["pipeline"] = "./first".into();
    pipelines.project.write(".terrace/pipelines/schedules/third/schedule.json", schedule.to_string());
    let again = pipelines.serve();
    until("the successor starts the missed run", || {
        let listed = pipelines.run(&["pipelines", "schedules", "--json"]).done().json();
        crate::cli::schemas::assert_is("schedules", &listed);
        let schedules = listed["schedules"].as_array().unwrap();
        schedules.iter().any(|it| it["name"] == "third" && it["last_state"] == "succeeded")
    });
    drop(again);
    assert_eq!(pipelines.runs_of("./second").len(), 1);
    let printed = pipelines.run(&["audit", "usage", "--verify"]).done().stdout;
    let used = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut used: Vec<_> =
        used.map(|it| [&it["user"], &it["action"], &it["pipeline_id"]].map(Value::to_string)).collect();
    used.sort();
    let run = |pipeline: &str| ["schedule", "run", pipeline].map(|word| format!("{word:?}"));
    assert_eq!(used, [run("./first"), run("./second")], "each run once: {printed}");
    pipelines.run(&["destroy", "s@local", "--auto-approve"]).done();
    let listed = pipelines.run(&["pipelines", "schedules", "--json"]).done().json();
    crate::cli::schemas::assert_is("schedules", &listed);
    let names: Vec<&Value> = listed["schedules"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["third", "spec:./first"], "a destroyed schedule starts no run");
}

#[test]
fn server_without_a_local_environment_starts_due_runs() {
    let pipelines = scheduled_project(SPEC);
    pipelines.project.write("terrace.yaml", "environments: {prod: {overlay: embedded}}\n");
    let schedule = serde_json::json!({
        "name": "missed", "folder": ".", "pipeline": "./second", "cron": "0 5 * * *", "timeZone": "UTC", "enabled": true,
        "overlap": "forbid", "catchUp": "last", "jitterSeconds": 0, "since": "2026-01-01T00:00:00Z",
    });
    pipelines.project.write(".terrace/pipelines/schedules/missed/schedule.json", schedule.to_string());
    let server = pipelines.serve();
    let succeeded = |name: &str| {
        let place = format!(".terrace/pipelines/schedules/{name}/progress.json");
        pipelines.project.has(&place) && pipelines.project.read(&place).contains("\"succeeded\"")
    };
    until("the missed run has ended", || succeeded("missed"));
    drop(server);
    // Invalid pipeline settings stop the server at start instead of ignoring schedules.
    pipelines
        .project
        .write("terrace.yaml", "environments: {prod: {overlay: embedded, providers: {pipelines: {retries: 1000}}}}\n");
    pipelines
        .run(&["serve", "--bind", "127.0.0.1:0"])
        .with_code(1)
        .prints("`retries`: expected a number from 0 to 100");
}

#[test]
fn disabled_schedules_are_listed_with_how_to_enable_them() {
    let pipelines = scheduled_project(SPEC);
    snapshot!(pipelines.run(&["pipelines", "schedules"]), @"
    exit: 0
    --- stderr
    there are no schedules here
    schedules of specs that start nothing: 1; set `server: {pipelines: {schedules: true}}` in terrace.yaml to let `terrace serve` start them
    ");
    pipelines.project.write("terrace.yaml", "server: {pipelines: {schedules: true}}\n");
    let listed = pipelines.run(&["pipelines", "schedules"]).done();
    assert!(listed.stdout.contains("spec:./first") && listed.stderr.is_empty(), "{listed}");
}

#[test]
fn schedule_mistakes_are_reported_with_suggestions() {
    let pipelines = scheduled_project(SPEC);
    let output_of = |config: &str| {
        let stack = format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: s}}\nresources:\n  - {{type: pipelines_schedule, name: n, config: {{name: n, {config}}}}}\n"
        );
        pipelines.project.write("stack.yaml", stack);
        pipelines.run(&["plan", "stack.yaml"]).with_code(1)
    };
    output_of("pipeline: ./frist, cron: '0 5 * * *'").prints("did you mean `./first`?");
    output_of("pipeline: ./first, cron: '0 25 * * *'").prints("hour: `25`");
    output_of("pipeline: ./first, cron: '0 0 30 2 *'").prints("never occurs");
    output_of("pipeline: ./first, cron: '0 5 * * *', timeZone: Europe/Rom").prints("did you mean `Europe/Rome`?");
    output_of("pipeline: ./first, cron: '0 5 * * *', overlap: forbit").prints("did you mean `forbid`?");
    output_of("pipeline: ./first, cron: '0 5 * * *', jitterSeconds: -1").prints("expected 0 to 86400");
}

#[test]
fn terminal_shows_rows_rate_steps_and_a_progress_bar() {
    let slow = "slow:\n  pipeline:\n  - run: noise\n    parameters: {slow: true}\n  - run: dump_to_path\n    parameters: {out-path: data}\n";
    let pipelines = scheduled_project(slow);
    pipelines.project.write("go", "");
    pipelines.run(&["pipelines", "run"]).done();
    for columns in [160, 60, 40] {
        std::fs::remove_file(pipelines.project.path("go")).unwrap();
        let mut terminal = Terminal::start(pipelines.command(&["pipelines", "run"]), columns);
        terminal.wait_for(" % (");
        if columns > 40 {
            terminal.wait_for("./slow: RUNNING");
        }
        if columns > 60 {
            terminal.wait_for("1 noise: ");
        }
        pipelines.project.write("go", "");
        let screen = terminal.finish();
        assert!(screen.contains("INFO    :SUCCESS: ./slow"), "at {columns} columns:\n{screen}");
        assert!(!screen.contains("RUNNING") && !screen.contains(" % ("), "at {columns} columns:\n{screen}");
    }
}

#[test]
fn generated_pipelines_are_planned_after_their_plugins_ran() {
    let pipelines = scheduled_project("plain: {pipeline: [{run: noise}]}\n");
    pipelines.project.write(
        "datapackage_pipelines_made/__init__.py",
        "from datapackage_pipelines.generators import GeneratorBase\nclass Generator(GeneratorBase):\n    def generate_pipeline(self, source, base):\n        for name in source:\n            yield base + '/' + name, {'pipeline': [{'run': 'noise'}]}\n",
    );
    pipelines.project.write("made.source-spec.yaml", "one: {rows: 1}\n");
    let plan = pipelines.run(&["plan", "."]).done();
    plan.prints("the plugin `made` creates pipelines from this file, which are not planned yet")
        .prints("`terrace pipelines run` in this folder");
    snapshot!(pipelines.run(&["pipelines", "run", "./one"]), @r"
    exit: 0
    --- stdout
    ./one: SUCCESS, processed 500 rows
    --- stderr
    INFO    :RESULTS:
    INFO    :SUCCESS: ./one {'noise': 1, 'num rows': 500}
    ");
    let plan = pipelines.run(&["plan", "."]).done();
    assert!(plan.stdout.contains("\n  one\n") && !plan.stderr.contains("not planned"), "{plan}");
    pipelines.run(&["apply", ".", "--auto-approve"]).done();
    pipelines.run(&["plan", ".", "--detailed-exitcode"]).done();
    // A source that the plugin rejects is an error of its file.
    pipelines.project.write("made.source-spec.yaml", "one: {row: 1}\n");
    snapshot!(pipelines.run(&["pipelines", "run"]), @r"
    exit: 1
    --- stdout
    ./plain: SUCCESS, processed 500 rows
    --- stderr
    error: made.source-spec.yaml:1:1: the plugin rejects it: it does not say why
    INFO    :RESULTS:
    INFO    :SUCCESS: ./plain {'noise': 1, 'num rows': 500}
    ");
    pipelines.run(&["plan", "."]).with_code(1).prints("the plugin rejects it");
}

#[test]
fn source_specs_without_a_plugin_run_plan_nothing() {
    let pipelines = scheduled_project("plain: {pipeline: [{run: noise}]}\n");
    std::fs::remove_file(pipelines.project.path("pipeline-spec.yaml")).unwrap();
    for name in ["one", "two"] {
        pipelines.project.write(&format!("{name}.source-spec.yaml"), "x: {rows: 1}\n");
    }
    let plan = pipelines.run(&["plan", "."]).done();
    plan.prints("nothing planned: 2 source specs not expanded");
    assert!(!plan.stdout.contains("No changes"), "{plan}");
}

#[test]
fn runners_file_beside_specs_is_not_a_descriptor() {
    let pipelines = scheduled_project("x: {pipeline: [{run: noise, runner: gentle}]}\n");
    pipelines
        .project
        .write("dpp-runners.yaml", "gentle: {kind: wrapped-python, parameters: {wrapper: 'env GENTLE=1 {cmd}'}}\n");
    pipelines.run(&["apply", ".", "--auto-approve"]).done();
    pipelines.run(&["plan", ".", "--detailed-exitcode"]).done();
    pipelines.project.edit("dpp-runners.yaml", "GENTLE=1", "GENTLE=2");
    pipelines.run(&["plan", "."]).done().prints("the spec changed: step 1 (`noise`)");
    pipelines.project.edit("dpp-runners.yaml", "gentle", "gentel");
    pipelines
        .run(&["plan", "."])
        .with_code(1)
        .prints("the runner `gentle` does not exist")
        .prints("did you mean `gentel`?");
}

#[test]
fn doctor_shows_environment_and_settings_of_runs() {
    let pipelines = scheduled_project(SPEC);
    let mut command = pipelines.command(&["doctor"]);
    command.env("DPP_DB_ENGINE", "postgresql://ada:s3cr3t@db.example:5432/x?password=s3cr3t");
    let ran = pipelines.project.start(command).finish().done();
    assert!(!ran.stdout.contains("s3cr3t") && !ran.stdout.contains("ada"), "{ran}");
    let cache = pipelines.caches.path().display().to_string();
    let of_pipelines = ran.stdout.lines().filter(|line| line.contains("  pipelines of local:"));
    let lines: Vec<String> = of_pipelines
        .map(|line| match line.split_once(" runs on Python 3.") {
            Some((before, _)) => format!("{before} runs on Python 3.[…]"),
            None if line.contains("packages are installed by") => {
                "ok    pipelines of local: packages are installed by […]".to_owned()
            }
            None => line.replace(&cache, "[cache]"),
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    ok    pipelines of local: datapackage-pipelines 2.2.11 runs on Python 3.[…]
    ok    pipelines of local: datapackage-pipelines 1.7.1 runs on Python 3.[…]
    ok    pipelines of local: packages are installed by […]
    ok    pipelines of local: environments are stored in `[cache]/terrace/pipelines`: 4 so far
    ok    pipelines of local: DPP_DB_ENGINE points to postgresql on `db.example`
    ");
    pipelines.project.write("terrace.yaml", "environments: {local: {providers: {pipelines: {database: orders}}}}\n");
    pipelines.run(&["doctor"]).done().prints("tables go to the database `orders` of the settings\n");
    let mut command = pipelines.command(&["doctor"]);
    command.env("PATH", pipelines.project.path("nowhere"));
    let ran = pipelines.project.start(command).finish().done();
    ran.prints("found no Python for datapackage-pipelines 2.2.11: `python3.11` does not exist");
    ran.prints("apt-get install python3.11 python3.11-venv");
}
