//! What starts steps beside the environment's own Python: runners, and processors from elsewhere.

use crate::harness::{NOISE, Project, Seen};
use std::fs;
use terrace_provider_pipelines::run::{Asked, State};
use terrace_provider_pipelines::spec::{self, Surroundings};
use tokio_util::sync::CancellationToken;

const SPEC: &str = "x:\n  pipeline:\n  - run: noise\n    runner: quoted\n    parameters: {rows: 4, odd: '$(touch injected) \"q\" `id` ''s'''}\n  - run: dump_to_path\n    runner: bare\n    parameters: {out-path: data}\n";

const RUNNERS: &str = "\
quoted: {kind: wrapped-python, parameters: {wrapper: 'sh -c \"cd {abspath} && echo {path} > where && exec {cmd}\"'}}
bare: {kind: wrapped-python, parameters: {wrapper: 'env SEEN=1 {cmd}'}}
plain: {kind: local-python}
";

#[tokio::test]
async fn a_wrapped_step_runs_with_the_very_arguments() {
    let project = Project::new(SPEC);
    project.write("dpp-runners.yaml", RUNNERS);
    assert_eq!(project.specs().problems, []);
    let seen = NOISE.replace("stats = {", "stats = {'odd': parameters['odd'], ");
    project.write("noise.py", &seen);
    let record = project.run("./x").await;
    assert_eq!((record.state, record.rows), (State::Succeeded, 4), "{record:?}");
    assert_eq!(record.stats["odd"], serde_json::json!("$(touch injected) \"q\" `id` 's'"));
    assert!(!project.path("injected").exists());
    assert_eq!(fs::read_to_string(project.path("where")).unwrap(), ".\n");
    // What a step is started with is a part of what its result depends on.
    project.write("dpp-runners.yaml", &RUNNERS.replace("SEEN=1", "SEEN=2"));
    assert_eq!(project.reasons("./x"), ["the spec changed: step 2 (`dump_to_path`)"]);
}

#[test]
fn what_is_wrong_with_runners_is_told_with_its_place() {
    let told = |runners: Option<&str>| {
        let project = Project::new(SPEC);
        runners.inspect(|text| project.write("dpp-runners.yaml", text));
        let specs = project.specs();
        let told: Vec<String> = specs.problems.iter().map(|it| it.in_one_line(&specs).to_string()).collect();
        told.join("\n")
    };
    let files = [
        None,
        Some("quotet: {kind: local-python}\nbare: {kind: local-python}\n"),
        Some("quoted: {kind: wraped-python}\nbare: {kind: wrapped-python, parameters: {}}\n"),
        Some("quoted: {kind: wrapped-python, parameters: {wrapper: 'nice {comand}'}}\nbare: 7\n"),
        Some("quoted: [\n"),
    ];
    insta::assert_snapshot!(files.map(told).join("\n\n"), @r#"
    pipeline-spec.yaml:3:5: ./x, step 1 (`noise`): there is no runner `quoted` in `dpp-runners.yaml`; describe it in `dpp-runners.yaml` where terrace is started, or in the file that DPP_RUNNER_CONFIG names
    pipeline-spec.yaml:6:5: ./x, step 2 (`dump_to_path`): there is no runner `bare` in `dpp-runners.yaml`; describe it in `dpp-runners.yaml` where terrace is started, or in the file that DPP_RUNNER_CONFIG names

    pipeline-spec.yaml:3:5: ./x, step 1 (`noise`): there is no runner `quoted` in `dpp-runners.yaml`; did you mean `quotet`?

    pipeline-spec.yaml:3:5: ./x, step 1 (`noise`): what its runner `quoted` does cannot be told from `dpp-runners.yaml`; mend that file: nothing is run without its wrapper
    pipeline-spec.yaml:6:5: ./x, step 2 (`dump_to_path`): what its runner `bare` does cannot be told from `dpp-runners.yaml`; mend that file: nothing is run without its wrapper
    dpp-runners.yaml:1:16: the runner `quoted`: there is no kind `wraped-python`; did you mean `wrapped-python`?
    dpp-runners.yaml:2:1: the runner `bare`: there is no text `wrapper` in its `parameters`; write `parameters: {wrapper: "nice {cmd}"}`, or `kind: local-python`

    pipeline-spec.yaml:3:5: ./x, step 1 (`noise`): what its runner `quoted` does cannot be told from `dpp-runners.yaml`; mend that file: nothing is run without its wrapper
    pipeline-spec.yaml:6:5: ./x, step 2 (`dump_to_path`): what its runner `bare` does cannot be told from `dpp-runners.yaml`; mend that file: nothing is run without its wrapper
    dpp-runners.yaml:1:54: the runner `quoted`: its wrapper is none: `{comand}` in it means nothing: known are `{cmd}`, `{path}`, `{abspath}` and `{env[NAME]}`
    dpp-runners.yaml:2:1: the runner `bare`: it does not say its `kind`; write `local-python` or `wrapped-python`

    pipeline-spec.yaml:3:5: ./x, step 1 (`noise`): what its runner `quoted` does cannot be told from `dpp-runners.yaml`; mend that file: nothing is run without its wrapper
    pipeline-spec.yaml:6:5: ./x, step 2 (`dump_to_path`): what its runner `bare` does cannot be told from `dpp-runners.yaml`; mend that file: nothing is run without its wrapper
    dpp-runners.yaml:1:9: this is no YAML: unclosed bracket '['; check quotes, brackets and indentation around here
    "#);
}

#[tokio::test]
async fn processors_are_found_where_a_variable_says() {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(elsewhere.path().join("odd")).unwrap();
    fs::write(elsewhere.path().join("odd/noise.py"), NOISE).unwrap();
    fs::write(elsewhere.path().join("load_resource.py"), NOISE).unwrap();
    let project = Project::new("x:\n  pipeline:\n  - run: odd.noise\ny:\n  pipeline:\n  - run: load_resource\n");
    let variable = format!("nowhere;{}", elsewhere.path().display());
    let surroundings = Surroundings::of(|name| (name == "DPP_PROCESSOR_PATH").then(|| variable.clone()));
    assert!(project.specs().problems[0].message.contains("there is no processor `odd.noise`"));
    let specs = spec::read_with(&project.runner.project, &surroundings).unwrap();
    assert_eq!(specs.problems, []);
    for id in ["./x", "./y"] {
        // One that is called as one of dpp's own takes its place.
        let (seen, cancel) = (Seen::default(), CancellationToken::new());
        let run = project.runner.run(&specs, specs.pipeline(id).unwrap(), Asked::default(), &seen, &cancel).await;
        assert_eq!(run.unwrap().rows, 500, "{id}");
    }
    let reasons = || project.runner.reasons(&specs, specs.pipeline("./x").unwrap()).unwrap();
    assert_eq!(reasons(), Vec::<String>::new());
    fs::write(elsewhere.path().join("odd/noise.py"), NOISE.replace("500", "501")).unwrap();
    assert!(reasons()[0].contains("odd/noise.py"), "{:?}", reasons());
}
