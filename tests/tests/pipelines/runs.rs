//! Data pipelines end to end: runs with dpp's output, plans with reasons, and kills. Steps run in a stand-in of dpp
//! that needs no network. `tests/real/pipelines` tests the real dpp.

#[path = "../../../providers/pipelines/tests/stand_in.rs"]
pub(crate) mod stand_in;

use serde_json::Value;
use std::fs;
use std::process::Command;
use tempfile::TempDir;
use terrace_tests::{Project, Ran, Running, Terminal, snapshot, until};

const NOISE: &str = "\
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
def rows():
    for i in range(parameters.get('rows', 500)):
        yield {'i': i}
package['resources'].append({'name': 'noise', 'path': 'noise.csv', 'dpp:streaming': True,
    'schema': {'fields': [{'name': 'i', 'type': 'integer'}]}})
spew(package, resources + [rows()], {'noise': 1})
";

/// Records that it began, then waits for a file.
const SLOW: &str = "\
import os, time
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
open('begun', 'a').write('x')
while not os.path.exists('go'):
    time.sleep(0.02)
spew(package, resources, {})
";

/// A project with pipelines and environments of the stand-in.
pub(crate) struct Pipelines {
    pub(crate) project: Project,
    pub(crate) caches: TempDir,
}

impl Pipelines {
    pub(crate) fn new(spec: &str) -> Self {
        let caches = tempfile::tempdir().unwrap();
        stand_in::create(caches.path());
        let project = Project::new();
        project.write("noise.py", NOISE);
        project.write("slow.py", SLOW);
        project.write("pipeline-spec.yaml", spec);
        Self { project, caches }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments.iter().copied());
        command.env("XDG_CACHE_HOME", self.caches.path());
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.project.start(self.command(arguments))
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.start(arguments).finish()
    }

    fn apply(&self) -> Ran {
        self.run(&["apply", ".", "--auto-approve"])
    }

    /// Counts how often the slow step began.
    pub(crate) fn step_starts(&self) -> usize {
        fs::read(self.project.path("begun")).map_or(0, |text| text.len())
    }

    /// Returns the ids of all runs.
    fn runs(&self) -> Vec<String> {
        let runs = fs::read_dir(self.project.path(".terrace/pipelines/runs")).into_iter().flatten().flatten();
        runs.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Returns whether a process of any run is alive.
    pub(crate) fn has_processes(&self) -> bool {
        let marks: Vec<String> = self.runs().iter().map(|run| format!("TERRACE_RUN={run}")).collect();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let environments = processes.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
        let is_marked = |variable: &[u8]| marks.iter().any(|mark| mark.as_bytes() == variable);
        environments.into_iter().any(|it| it.split(|byte| *byte == 0).any(is_marked))
    }
}

const TWO: &str = "\
first:
  pipeline:
  - run: noise
  - run: dump_to_path
    parameters: {out-path: data/first}
second:
  dependencies:
  - pipeline: ./first
  pipeline:
  - run: load_resource
    parameters: {url: data/first/datapackage.json, resource: .*}
  - run: dump_to_path
    parameters: {out-path: data/second}
";

const SLOWLY: &str =
    "slow:\n  pipeline:\n  - run: noise\n  - run: slow\n  - run: dump_to_path\n    parameters: {out-path: data}\n";

#[test]
fn pipelines_run_in_order_with_the_output_of_dpp() {
    let pipelines = Pipelines::new(TWO);
    snapshot!(pipelines.run(&["pipelines", "run"]), @r"
    exit: 0
    --- stdout
    ./first: SUCCESS, processed 500 rows
    ./second: SUCCESS, processed 500 rows
    --- stderr
    INFO    :RESULTS:
    INFO    :SUCCESS: ./first {'count_of_rows': 500, 'hash': '6ddc587cd5538a4746fa126f90ad31c5', 'noise': 1, 'num rows': 500}
    INFO    :SUCCESS: ./second {'count_of_rows': 500, 'hash': '073884e0d3ee2117e4db882885a4ad30', 'num rows': 500}
    ");
    let json = pipelines.run(&["pipelines", "run", "./first", "--json"]).done().json();
    assert_eq!(json["results"][0]["pipeline_id"], "./first");
    assert_eq!(json["results"][0]["stats"]["count_of_rows"], 500);
    assert_eq!(json["results"][0]["steps"][1]["rows"], 500);
    snapshot!(pipelines.run(&["pipelines", "run", "--dirty"]), @r"
    exit: 0
    --- stderr
    nothing to run: the results of the pipelines are up to date
    ");
}

#[test]
fn failed_step_is_reported_with_its_processor_and_exit_code_3() {
    let pipelines = Pipelines::new(
        "ok: {pipeline: [{run: noise}]}\nboom: {pipeline: [{run: noise}, {run: boom}]}\nafter:\n  dependencies: [{pipeline: ./boom}]\n  pipeline: [{run: noise}]\n",
    );
    pipelines.project.write("boom.py", "import sys\nprint('ERROR bad row 2', file=sys.stderr)\nsys.exit(3)\n");
    snapshot!(pipelines.run(&["pipelines", "run", "--concurrency", "1"]), @r#"
    exit: 3
    --- stdout
    ./ok: SUCCESS, processed 500 rows
    ./boom: FAILURE, processed 0 rows
    ./after: FAILURE, processed 0 rows
    --- stderr
    INFO    :RESULTS:
    INFO    :SUCCESS: ./ok {'noise': 1, 'num rows': 500}
    INFO    :FAILURE: ./boom 
    ERROR log from processor boom:
    +--------
    | ERROR bad row 2
    +--------
    INFO    :FAILURE: ./after 
    ERROR log from processor init:
    +--------
    | Dependency unsuccessful: Cannot run until dependency "./boom" is successfully executed
    +--------
    error: pipeline-spec.yaml:2:33: ./boom, step 2 (`boom`): it ended with exit code 3
    "#);
    let quiet = pipelines.run(&["pipelines", "run", "./boom", "--quiet"]).with_code(3);
    quiet.prints("error: pipeline-spec.yaml:2:33: ./boom, step 2 (`boom`): it ended with exit code 3");
    let json = pipelines.run(&["pipelines", "run", "./boom", "--json"]).with_code(3).json();
    assert_eq!(
        json["results"][0]["errors"][0],
        serde_json::json!({"processor": "boom", "exit_code": 3, "log": ["ERROR bad row 2"]})
    );
    pipelines.run(&["pipelines", "logs", "./boom"]).done().prints("boom: ERROR bad row 2");
}

#[test]
fn invalid_specs_are_one_line_each_with_file_pipeline_and_step() {
    let wrong = [
        ("badkey", "x:\n  title: 7\n  pipeline:\n  - run: noise\n    bogus: 1\n"),
        ("badstep", "x:\n  pipeline:\n  - parameters: {a: 1}\n"),
        (
            "cyc",
            "x:\n  dependencies:\n  - pipeline: ./cyc/y\n  pipeline:\n  - run: noise\ny:\n  dependencies:\n  - pipeline: ./cyc/x\n  pipeline:\n  - run: noise\n",
        ),
        ("missdep", "x:\n  dependencies:\n  - pipeline: ./none/y\n  pipeline:\n  - run: noise\n"),
        ("nopipe", "x:\n  pipline:\n  - run: noise\n"),
        ("noproc", "x:\n  pipeline:\n  - run: no_such_proc\n"),
        ("noyaml", "x:\n  pipeline:\n  - run: noise\n  gcs_list_files\n    a: b\n"),
    ];
    let pipelines = Pipelines::new("good: {pipeline: [{run: noise}]}");
    for (folder, text) in wrong {
        pipelines.project.write(&format!("{folder}/noise.py"), NOISE);
        pipelines.project.write(&format!("{folder}/pipeline-spec.yaml"), text);
    }
    // The valid pipelines run nevertheless, and they succeed.
    snapshot!(pipelines.run(&["pipelines", "run"]), @r"
    exit: 1
    --- stdout
    ./good: SUCCESS, processed 500 rows
    --- stderr
    error: badkey/pipeline-spec.yaml:2:10: ./badkey/x: `title` is a number: expected text; put it in quotes
    warning: badkey/pipeline-spec.yaml:5:5: ./badkey/x, step 1 (`noise`): `bogus` means nothing here; known keys: `run`, `flow`, `parameters`, `cache`, `code`, `runner`, `validate`
    error: badstep/pipeline-spec.yaml:3:5: ./badstep/x, step 1: a step needs `run` or `flow`; add `run: PROCESSOR`, or `flow: MODULE`
    error: cyc/pipeline-spec.yaml:3:15: ./cyc/x: it depends on itself: ./cyc/x → ./cyc/y → ./cyc/x; remove one of these dependencies
    error: missdep/pipeline-spec.yaml:3:15: ./missdep/x: it depends on `./none/y`, which does not exist; available pipelines: `./good`, `./badkey/x`, `./badstep/x`, `./cyc/x`, `./cyc/y`, `./missdep/x`, `./nopipe/x`, `./noproc/x`
    error: nopipe/pipeline-spec.yaml:2:3: ./nopipe/x: `pipline` means nothing here; did you mean `pipeline`?
    error: noproc/pipeline-spec.yaml:3:5: ./noproc/x, step 1 (`no_such_proc`): there is no processor `no_such_proc`; put `no_such_proc.py` next to the spec, or use a processor of dpp
    error: noyaml/pipeline-spec.yaml:4:3: a `:` is missing after the key; did you mean `gcs_list_files:`?
    INFO    :RESULTS:
    INFO    :SUCCESS: ./good {'noise': 1, 'num rows': 500}
    ");
    pipelines.run(&["pipelines", "run", "./good"]).done();
    pipelines.run(&["pipelines", "run", "./nopipe/x"]).with_code(1).prints("did you mean `pipeline`?");
    // A plan of the valid pipelines still reports the invalid ones.
    pipelines
        .run(&["plan", "."])
        .with_code(1)
        .prints("nopipe/pipeline-spec.yaml:2:3")
        .prints("did you mean `pipeline`?");
}

#[test]
fn unknown_pipeline_id_is_an_error() {
    let pipelines = Pipelines::new(TWO);
    snapshot!(pipelines.run(&["pipelines", "run", "./frist"]), @r"
    exit: 1
    --- stderr
    error: there is no pipeline `./frist`

    hint: did you mean `./first`?
    ");
    pipelines.run(&["pipelines", "run", "./none/%"]).with_code(1).prints("there is no pipeline `./none/%`");
    pipelines.run(&["pipelines", "logs", "./none"]).with_code(1).prints("has no run `./none`");
    let empty = Project::new();
    empty.run(["pipelines", "run"]).with_code(1).prints("there are no pipelines here");
}

#[test]
fn plan_shows_pipelines_to_run_and_why() {
    let pipelines = Pipelines::new(TWO);
    let plan = pipelines.run(&["plan", "."]).done();
    plan.prints("because it was never run").prints("+ dependencies  = {./first = (known after apply)}");
    let (first, second) = (plan.stdout.find("\n  first\n"), plan.stdout.find("\n  second\n"));
    assert!(first < second, "{plan}");
    pipelines.apply().done();
    assert!(pipelines.project.has("data/second/datapackage.json"));
    let settled = pipelines.run(&["plan", ".", "--detailed-exitcode"]).done();
    settled.prints("No changes.");
    pipelines.project.edit("pipeline-spec.yaml", "out-path: data/second", "out-path: data/third");
    let plan = pipelines.run(&["plan", ".", "--detailed-exitcode"]).with_code(2);
    plan.prints("because the spec changed: step 2 (`dump_to_path`)")
        .prints("Plan: 0 to add, 2 to change, 0 to destroy.");
    pipelines.apply().done();
    pipelines.run(&["plan", ".", "--detailed-exitcode"]).done();
    // A value from an upstream pipeline is known only after that pipeline has run.
    pipelines.project.edit("noise.py", "{'i': i}", "{'i': i + 1}");
    let plan = pipelines.run(&["plan", ".", "--detailed-exitcode"]).with_code(2);
    plan.prints("the code changed: `noise.py`").prints("~ ./first = ").prints("(known after apply)");
    pipelines.apply().done();
    pipelines.run(&["plan", ".", "--detailed-exitcode"]).done();
    // Deleted results are created again.
    fs::remove_dir_all(pipelines.project.path("data/first")).unwrap();
    pipelines.run(&["plan", ".", "--detailed-exitcode"]).with_code(2);
    pipelines.apply().done();
    assert!(pipelines.project.has("data/first/datapackage.json"));
}

#[test]
fn other_yaml_files_beside_specs_are_ignored() {
    let pipelines = Pipelines::new(TWO);
    pipelines.project.write("docker-compose.yml", "services: {db: {image: postgres}}\n");
    pipelines.project.write(".travis.yml", "language: python\n");
    pipelines.run(&["plan", "."]).done().prints("Plan: 4 to add");
    // A file with a terrace `kind` is read as a descriptor.
    pipelines.project.write("stack.yaml", "kind: Stak\n");
    pipelines.run(&["plan", "."]).with_code(1).prints("`kind: Stak` is neither a stack nor a data product");
}

#[test]
fn runs_in_a_stack_are_applied_even_without_the_dependencies_of_their_spec() {
    let pipelines = Pipelines::new(TWO);
    let run = |name: &str, after: &str| {
        format!("- {{type: pipelines_run, name: {name}, {after}config: {{name: ./{name}}}}}\n")
    };
    let stack = format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: two}}\nresources:\n{}{}",
        run("first", ""),
        run("second", "dependsOn: [first], ")
    );
    pipelines.project.write("two.yaml", stack);
    pipelines.run(&["apply", "two.yaml", "--auto-approve"]).done();
    pipelines.run(&["plan", "two.yaml", "--detailed-exitcode"]).done().prints("No changes.");
}

#[test]
fn manual_run_is_adopted() {
    let pipelines = Pipelines::new(TWO);
    pipelines.run(&["pipelines", "run"]).done();
    let runs = pipelines.runs().len();
    pipelines.apply().done();
    assert_eq!(pipelines.runs().len(), runs, "nothing is run again");
    // Another manual run with the same results changes nothing.
    pipelines.run(&["pipelines", "run"]).done();
    pipelines.run(&["drift", "."]).done();
    pipelines.run(&["plan", ".", "--detailed-exitcode"]).done().prints("No changes.");
    // A manual run after an edit leaves nothing to plan.
    pipelines.project.edit("noise.py", "{'i': i}", "{'i': i + 1}");
    pipelines.run(&["pipelines", "run"]).done();
    let plan = pipelines.run(&["plan", "."]).done();
    plan.prints("changed outside terrace, nothing to mend").prints("Plan: 0 to add, 0 to change, 0 to destroy.");
    let runs = pipelines.runs().len();
    pipelines.apply().done();
    assert_eq!(pipelines.runs().len(), runs);
    pipelines.run(&["plan", ".", "--detailed-exitcode"]).done();
}

#[test]
fn manual_run_is_adopted_by_a_stack_without_a_folder() {
    let pipelines = Pipelines::new(TWO);
    let stack = |more: &str| {
        let text = format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: one}}\nresources:\n\
             - {{type: pipelines_run, name: first, {more}config: {{name: ./first}}}}\n"
        );
        pipelines.project.write("one.yaml", text);
    };
    pipelines.run(&["pipelines", "run", "./first"]).done();
    let runs = pipelines.runs().len();
    stack("adopt: ifExists, ");
    pipelines.run(&["plan", "one.yaml"]).done().prints("= pipelines_run.first").prints("is adopted");
    pipelines.run(&["apply", "one.yaml", "--auto-approve"]).done();
    assert_eq!(pipelines.runs().len(), runs, "nothing is run again");
}

#[test]
fn failed_pipeline_is_planned_again_and_blocks_its_dependents() {
    let pipelines = Pipelines::new(TWO);
    pipelines.project.write("noise.py", "raise SystemExit(3)");
    let failed = pipelines.apply().with_code(3);
    failed.prints("`./first` failed at step 1 (`noise`): it ended with exit code 3");
    pipelines.run(&["plan", "."]).done().prints("it never succeeded: run");
    pipelines.project.write("noise.py", NOISE);
    pipelines.apply().done();
    pipelines.run(&["plan", ".", "--detailed-exitcode"]).done();
}

#[test]
fn killed_terrace_leaves_no_process_and_no_lock() {
    for words in [&["pipelines", "run", "./slow"][..], &["apply", ".", "--auto-approve"]] {
        let pipelines = Pipelines::new(SLOWLY);
        let running = pipelines.start(words);
        until("the step begins", || pipelines.step_starts() == 1);
        assert!(pipelines.has_processes());
        running.kill();
        assert_eq!(running.finish().code, -1);
        until("its processes are gone", || !pipelines.has_processes());
        assert!(!pipelines.project.has("data"), "half of an output is there");
        pipelines.project.write("go", "");
        let again = pipelines.run(words).done();
        again.prints("slow");
        assert_eq!(pipelines.step_starts(), 2);
        assert!(pipelines.project.has("data/datapackage.json") && !pipelines.has_processes());
        let left: Vec<_> =
            fs::read_dir(pipelines.project.path(".")).unwrap().flatten().map(|it| it.file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".data.terrace")), "{left:?}");
        pipelines.run(&["apply", ".", "--auto-approve"]).done();
        pipelines.run(&["plan", ".", "--detailed-exitcode"]).done();
    }
}

#[test]
fn killed_step_is_reported_by_name_as_a_failure() {
    let pipelines = Pipelines::new(SLOWLY);
    let running = pipelines.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || pipelines.step_starts() == 1);
    let run = pipelines.runs().remove(0);
    let mark = format!("TERRACE_RUN={run}");
    let is_slow = |folder: &std::path::Path| {
        let holds = |name: &str, text: &str| {
            fs::read(folder.join(name)).is_ok_and(|it| String::from_utf8_lossy(&it).contains(text))
        };
        holds("environ", &mark) && holds("cmdline", "slow.py")
    };
    let process = fs::read_dir("/proc").unwrap().flatten().map(|it| it.path()).find(|it| is_slow(it)).unwrap();
    let pid = process.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let ran = running.finish().with_code(3);
    ran.prints("ERROR log from processor slow:").prints("it was killed (signal 9)");
    assert!(!pipelines.has_processes());
}

#[test]
fn pipeline_has_one_run_at_a_time() {
    let pipelines = Pipelines::new(SLOWLY);
    let first = pipelines.start(&["apply", ".", "--auto-approve"]);
    until("the step begins", || pipelines.step_starts() == 1);
    // A caller that does not wait gets an error. A caller that waits finds no work.
    let refused = pipelines.run(&["apply", ".", "--auto-approve", "--lock-timeout", "0s"]).with_code(4);
    refused.prints("lease");
    pipelines
        .run(&["pipelines", "run", "./slow", "--lock-timeout", "0s"])
        .with_code(4)
        .prints("is still running; wait longer");
    let second = pipelines.start(&["apply", ".", "--auto-approve"]);
    second.wait_for_stderr("waiting");
    let third = pipelines.start(&["pipelines", "run", "./slow", "--dirty"]);
    third.wait_for_stderr(&format!("./slow: waiting up to 60 s for the end of run {}", pipelines.runs()[0]));
    pipelines.project.write("go", "");
    first.finish().done();
    second.finish().done();
    third.finish().done();
    assert_eq!(pipelines.step_starts(), 2);
}

#[test]
fn result_is_printed_as_soon_as_it_is_known() {
    let pipelines = Pipelines::new(&format!("quick: {{pipeline: [{{run: noise}}]}}\n{SLOWLY}"));
    let mut terminal =
        Terminal::start_with_results(pipelines.command(&["pipelines", "run", "--concurrency", "1"]), 100);
    terminal.wait_for("./quick: SUCCESS, processed 500 rows");
    assert!(!pipelines.project.has("data"));
    pipelines.project.write("go", "");
    let screen = terminal.finish();
    assert!(screen.contains("./slow: SUCCESS, processed 500 rows"), "{screen}");
}

#[test]
fn another_process_follows_and_stops_a_run() {
    let pipelines = Pipelines::new(SLOWLY);
    let running = pipelines.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || pipelines.step_starts() == 1);
    let following = pipelines.start(&["pipelines", "logs", "-f", "./slow"]);
    let cancelled = pipelines.run(&["pipelines", "cancel", "./slow"]).done();
    cancelled.prints("./slow: CANCELLED, run ");
    running.finish().with_code(130).prints("./slow: CANCELLED");
    following.finish().done();
    assert!(!pipelines.has_processes() && !pipelines.project.has("data"));
    pipelines.run(&["pipelines", "cancel", "./slow"]).with_code(1).prints("has ended: it was cancelled");
    pipelines
        .run(&["pipelines", "logs", "./slow", "--step", "9"])
        .with_code(1)
        .prints("choose one of its steps: 1 (`noise`), 2 (`slow`)");
}

#[test]
fn interrupted_run_exits_with_130() {
    let pipelines = Pipelines::new(SLOWLY);
    let running = pipelines.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || pipelines.step_starts() == 1);
    running.interrupt();
    running.finish().with_code(130);
    assert!(!pipelines.has_processes());
}

#[test]
fn saved_plan_of_specs_is_applied_from_any_parent_folder() {
    let pipelines = Pipelines::new("good: {pipeline: [{run: noise}]}");
    pipelines.project.write("deep/er/noise.py", NOISE);
    pipelines.project.write("deep/er/pipeline-spec.yaml", TWO.replace("./first", "./er/first"));
    pipelines.run(&["plan", "deep", "--out", "plan"]).done();
    let shown = pipelines.run(&["show", "plan", "--json"]).done().stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let digest = shown["terrace"]["plan_digest"].as_str().unwrap();
    pipelines.run(&["apply", "plan", "--plan-digest", digest]).done();
    assert!(
        pipelines.project.has("deep/er/data/second/datapackage.json")
            && pipelines.project.has("deep/.terrace/pipelines")
    );
    let listed = pipelines.run(&["--chdir", "deep", "state", "list"]).done();
    assert!(listed.stdout.contains("er/first/pipelines_run.run"), "{listed}");
}

#[test]
fn destroy_forgets_runs_and_keeps_data() {
    let pipelines = Pipelines::new(TWO);
    pipelines.apply().done();
    pipelines.run(&["destroy", ".", "--auto-approve"]).done();
    assert!(pipelines.project.has("data/first/noise.csv"));
    assert_eq!(pipelines.runs(), Vec::<String>::new());
    let plan: Value = pipelines.run(&["plan", ".", "--format", "json"]).done().json();
    assert_eq!(plan["resource_changes"].as_array().unwrap().len(), 4);
}

#[test]
fn environment_installers_do_not_get_variables_of_terrace() {
    let pipelines = Pipelines::new("a: {pipeline: [{run: noise}]}\n");
    let (caches, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = |name: &str, script: &str| {
        let path = programs.path().join(name);
        fs::write(&path, format!("#!/bin/sh\nenv >> \"{}/seen\"\n{script}\n", programs.path().display())).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    program("python3.11", "echo 3.11; echo \"$0\"");
    program("uv", "if [ \"$1\" = --version ]; then echo uv 1; else exit 3; fi");
    let path = std::env::var_os("PATH").unwrap();
    let path =
        std::env::join_paths([programs.path().to_path_buf()].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut command = pipelines.command(&["pipelines", "run", "./a", "--retries", "0"]);
    command.env("XDG_CACHE_HOME", caches.path()).env("PATH", path).env("PIP_INDEX_URL", "https://index.example");
    command.env("TERRACE_STATE_KEY", "not for others").env("TERRACE_VAR_password", "not for others");
    pipelines.project.start(command).finish().with_code(1).prints("`uv venv --quiet --python ");
    let environment = fs::read_to_string(programs.path().join("seen")).unwrap();
    assert!(environment.matches("PIP_INDEX_URL=").count() >= 3, "{environment}");
    // Only the variables that identify processes after terrace exits are kept.
    let own =
        environment.lines().filter(|line| line.starts_with("TERRACE_") && !line.starts_with("TERRACE_ENVIRONMENT="));
    assert_eq!(own.collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(!environment.contains("not for others"), "{environment}");
}

#[test]
fn single_row_is_counted_in_the_singular() {
    let pipelines = Pipelines::new("one: {pipeline: [{run: noise, parameters: {rows: 1}}]}\n");
    pipelines.run(&["pipelines", "run"]).done();
    let listed = pipelines.run(&["pipelines", "runs"]).done();
    assert!(listed.stdout.contains(" 1 row   ./one"), "{listed}");
}

#[test]
fn parameter_with_two_values_is_refused() {
    let pipelines = Pipelines::new("one: {params: {ROWS: '1'}, pipeline: [{run: noise}]}\n");
    let run = |values: [&str; 2]| pipelines.run(&["pipelines", "run", "--param", values[0], "--param", values[1]]);
    let refused = run(["ROWS=1", "ROWS=2"]).with_code(1);
    refused.prints("`--param ROWS=…` has several values").prints("start a run for each value");
    assert!(!pipelines.project.has(".terrace/pipelines/runs"), "nothing ran");
    run(["ROW=1", "ROW=1"]).with_code(1).prints("did you mean `ROWS`?").prints("`params: {NAME: VALUE}`");
}
