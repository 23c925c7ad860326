//! Runners that wrap the environment's Python, and processors in other folders.

use crate::harness::{NOISE, Project, Recorder};
use std::fs;
use terrace_pipelines::run::{RunRequest, State};
use terrace_pipelines::spec::{self, SpecEnvironment};
use tokio_util::sync::CancellationToken;

const SPEC: &str = "x:\n  pipeline:\n  - run: noise\n    runner: quoted\n    parameters: {rows: 4, odd: '$(touch injected) \"q\" `id` ''s'''}\n  - run: dump_to_path\n    runner: bare\n    parameters: {out-path: data}\n";

const RUNNERS: &str = "\
quoted: {kind: wrapped-python, parameters: {wrapper: 'sh -c \"cd {abspath} && echo {path} > where && exec {cmd}\"'}}
bare: {kind: wrapped-python, parameters: {wrapper: 'env SEEN=1 {cmd}'}}
plain: {kind: local-python}
";

#[tokio::test]
async fn wrapped_step_gets_unchanged_arguments() {
    let project = Project::new(SPEC);
    project.write("dpp-runners.yaml", RUNNERS);
    assert_eq!(project.specs().problems, []);
    let noise = NOISE.replace("stats = {", "stats = {'odd': parameters['odd'], ");
    project.write("noise.py", &noise);
    let record = project.run("./x").await;
    assert_eq!((record.state, record.rows), (State::Succeeded, 4), "{record:?}");
    assert_eq!(record.stats["odd"], serde_json::json!("$(touch injected) \"q\" `id` 's'"));
    assert!(!project.path("injected").exists());
    assert_eq!(fs::read_to_string(project.path("where")).unwrap(), ".\n");
    // The wrapper is an input of the result.
    project.write("dpp-runners.yaml", &RUNNERS.replace("SEEN=1", "SEEN=2"));
    assert_eq!(project.reasons("./x"), ["the spec changed: step 2 (`dump_to_path`)"]);
}

#[test]
fn runner_errors_have_positions() {
    let problems_of = |runners: Option<&str>| {
        let project = Project::new(SPEC);
        runners.inspect(|text| project.write("dpp-runners.yaml", text));
        let specs = project.specs();
        let problems: Vec<String> = specs.problems.iter().map(|it| it.in_one_line(&specs).to_string()).collect();
        problems.join("\n")
    };
    let files = [
        None,
        Some("quotet: {kind: local-python}\nbare: {kind: local-python}\n"),
        Some("quoted: {kind: wraped-python}\nbare: {kind: wrapped-python, parameters: {}}\n"),
        Some("quoted: {kind: wrapped-python, parameters: {wrapper: 'nice {comand}'}}\nbare: 7\n"),
        Some("quoted: [\n"),
    ];
    insta::assert_snapshot!(files.map(problems_of).join("\n\n"), @r#"
    pipeline-spec.yaml:3:5: ./x, step 1 (`noise`): the runner `quoted` does not exist in `dpp-runners.yaml`; define it in `dpp-runners.yaml` in the folder of the call, or in the file that DPP_RUNNER_CONFIG names
    pipeline-spec.yaml:6:5: ./x, step 2 (`dump_to_path`): the runner `bare` does not exist in `dpp-runners.yaml`; define it in `dpp-runners.yaml` in the folder of the call, or in the file that DPP_RUNNER_CONFIG names

    pipeline-spec.yaml:3:5: ./x, step 1 (`noise`): the runner `quoted` does not exist in `dpp-runners.yaml`; did you mean `quotet`?

    pipeline-spec.yaml:3:5: ./x, step 1 (`noise`): its runner `quoted` has errors in `dpp-runners.yaml`; correct that file: steps do not run without their wrapper
    pipeline-spec.yaml:6:5: ./x, step 2 (`dump_to_path`): its runner `bare` has errors in `dpp-runners.yaml`; correct that file: steps do not run without their wrapper
    dpp-runners.yaml:1:16: the runner `quoted`: unknown kind `wraped-python`; did you mean `wrapped-python`?
    dpp-runners.yaml:2:1: the runner `bare`: its `parameters` have no text `wrapper`; write `parameters: {wrapper: "nice {cmd}"}`, or `kind: local-python`

    pipeline-spec.yaml:3:5: ./x, step 1 (`noise`): its runner `quoted` has errors in `dpp-runners.yaml`; correct that file: steps do not run without their wrapper
    pipeline-spec.yaml:6:5: ./x, step 2 (`dump_to_path`): its runner `bare` has errors in `dpp-runners.yaml`; correct that file: steps do not run without their wrapper
    dpp-runners.yaml:1:54: the runner `quoted`: its wrapper is not valid: it has the unknown placeholder `{comand}`: expected `{cmd}`, `{path}`, `{abspath}` or `{env[NAME]}`
    dpp-runners.yaml:2:1: the runner `bare`: the key `kind` is missing; write `local-python` or `wrapped-python`

    pipeline-spec.yaml:3:5: ./x, step 1 (`noise`): its runner `quoted` has errors in `dpp-runners.yaml`; correct that file: steps do not run without their wrapper
    pipeline-spec.yaml:6:5: ./x, step 2 (`dump_to_path`): its runner `bare` has errors in `dpp-runners.yaml`; correct that file: steps do not run without their wrapper
    dpp-runners.yaml:1:9: the bracket `[` is not closed; close the bracket, or put text that holds brackets in quotes
    "#);
}

#[tokio::test]
async fn variable_adds_folders_of_processors() {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(elsewhere.path().join("odd")).unwrap();
    fs::write(elsewhere.path().join("odd/noise.py"), NOISE).unwrap();
    fs::write(elsewhere.path().join("load_resource.py"), NOISE).unwrap();
    let project = Project::new("x:\n  pipeline:\n  - run: odd.noise\ny:\n  pipeline:\n  - run: load_resource\n");
    let variable = format!("nowhere;{}", elsewhere.path().display());
    let environment = SpecEnvironment::from_variables(|name| (name == "DPP_PROCESSOR_PATH").then(|| variable.clone()));
    assert!(project.specs().problems[0].message.contains("there is no processor `odd.noise`"));
    let specs = spec::read_with(&project.runner.project, &environment).unwrap();
    assert_eq!(specs.problems, []);
    for id in ["./x", "./y"] {
        // A processor in such a folder takes precedence over one of dpp with the same name.
        let (recorder, cancel) = (Recorder::default(), CancellationToken::new());
        let run =
            project.runner.run(&specs, specs.pipeline(id).unwrap(), RunRequest::default(), &recorder, &cancel).await;
        assert_eq!(run.unwrap().rows, 500, "{id}");
    }
    let reasons = || project.runner.reasons(&specs, specs.pipeline("./x").unwrap()).unwrap();
    assert_eq!(reasons(), Vec::<String>::new());
    fs::write(elsewhere.path().join("odd/noise.py"), NOISE.replace("500", "501")).unwrap();
    assert!(reasons()[0].contains("odd/noise.py"), "{:?}", reasons());
}
