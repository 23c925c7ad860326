//! Deployments that apply a descriptor: each commit once, with the state of the deployment before.

use super::{CONFIGURATION, RECORD, World};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use terrace_state::contract::cluster::{Cluster, PASSWORD};
use terrace_tests::{Ran, until};
use tokio::runtime::Runtime;

const ACTION: &str = "  - {branch: main, environment: staging, descriptor: stack.yaml}\n";
const RUN: &str = "  - {type: pipelines_run, name: load, config: {name: ./load}}\n";
const NOTE: &str = "  - {type: local_file, name: note, config: {path: note.txt, content: kept}}\n";
/// A pipeline that runs again with each image.
const SPEC: &str = "load: {pipeline: [{run: record, parameters: {from: terrace.yaml}}]}\n";

fn stack(resources: &str) -> String {
    format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: shop}}\nresources:\n{resources}")
}

impl World {
    /// A world whose operations repository has a descriptor with these resources.
    fn with_descriptor(action: &str, resources: &str) -> Self {
        let world = Self::new(action);
        world.write("operations/pipeline-spec.yaml", SPEC);
        world.push_descriptor(resources);
        world
    }

    fn push_descriptor(&self, resources: &str) {
        self.write("operations/stack.yaml", &stack(resources));
        self.push_operations();
    }

    /// Pushes changed files of the operations repository on top of its commits by deployments.
    fn push_operations(&self) {
        self.git("operations", &["add", "--all"]);
        self.git("operations", &["commit", "--quiet", "--message", "Change"]);
        self.git("operations", &["pull", "--quiet", "--rebase"]);
        self.git("operations", &["push", "--quiet", "origin", "HEAD:main"]);
    }

    /// The folder of the environment.
    fn folder(&self) -> PathBuf {
        let folders = fs::read_dir(self.path(".terrace/pipelines/deployments/projects")).unwrap();
        let mut folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        let only = folders.next().unwrap();
        assert_eq!(folders.next(), None);
        only
    }

    /// Addresses of the changed objects of each apply, the oldest first.
    fn applied(&self) -> Vec<Vec<String>> {
        let folder = self.folder();
        let json = |words: &[&str]| -> Value {
            let all = ["--chdir", folder.to_str().unwrap(), "--env", "staging", "operations"];
            let all: Vec<&str> = all.into_iter().chain(words.iter().copied()).collect();
            serde_json::from_str(&self.run(&all).done().stdout).unwrap()
        };
        let operations = json(&["list", "--json"]);
        let ids = operations.as_array().unwrap().iter().rev().map(|it| it["operation"].as_str().unwrap().to_owned());
        let steps = ids.map(|id| json(&["show", &id, "--json"])["steps"].as_array().unwrap().clone());
        steps.map(|steps| steps.iter().map(|it| it["address"].as_str().unwrap().to_owned()).collect()).collect()
    }

    fn retry(&self) -> Ran {
        self.run(&["pipelines", "deploy", "--retry", self.deployments()[0]["commit"].as_str().unwrap()])
    }
}

#[test]
fn descriptor_is_applied_once_with_each_image() {
    let world = World::with_descriptor(ACTION, &format!("{NOTE}{RUN}"));
    let ran = world.deploy().done();
    ran.prints("applying stack.yaml in `staging`")
        .prints(" of main  stack.yaml in staging  r.example.com/orders@sha256:");
    world.check_all(1);
    world.deploy().done().prints("no new commits");
    world.push_app("two");
    world.deploy().done();
    world.check_all(2);
    // The state of the first apply survives: the second one changes only what depends on the image.
    let applied = world.applied();
    assert_eq!(applied.len(), 2, "{applied:?}");
    assert_eq!(applied[1], ["pipelines_run.load"]);
    let newest = &world.deployments()[0];
    assert_eq!((newest["descriptor"].as_str(), &newest["pipeline_id"]), (Some("stack.yaml"), &Value::Null));
}

#[test]
fn pipeline_runs_after_the_descriptor_is_applied() {
    let world = World::with_descriptor(&ACTION.replace("}", ", pipeline: load}"), NOTE);
    world.write("operations/record.py", &format!("open('note.txt')\n{RECORD}"));
    world.push_operations();
    let ran = world.deploy().done();
    ran.prints("applying stack.yaml in `staging`").prints("running ./load in `staging`");
    ran.prints("stack.yaml and ./load in staging");
    world.check_all(1);
    // A failed run is repeated together with the apply.
    world.write("fail-step", "");
    world.push_app("two");
    world.deploy().with_code(3);
    world.remove("fail-step");
    world.retry().done().prints("applying stack.yaml");
    world.check_all(2);
}

#[test]
fn failed_apply_has_its_reason_and_is_not_repeated() {
    let world = World::with_descriptor(ACTION, RUN);
    world.write("fail-step", "");
    let ran = world.deploy().with_code(3);
    ran.prints("stack.yaml is applied in part: pipelines_run.load: ").prints("the table is missing");
    ran.prints("`terrace pipelines deploy --retry COMMIT`");
    let deployment = &world.deployments()[0];
    assert_eq!(deployment["state"], "failed");
    assert!(deployment["error"].as_str().unwrap().contains("the table is missing"), "{deployment:#}");
    world.deploy().done().prints("no new commits");
    assert_eq!(world.applied().len(), 1);
    world.remove("fail-step");
    world.retry().done();
    world.check_all(1);
}

#[test]
fn invalid_descriptor_is_tried_three_times() {
    let world = World::with_descriptor(ACTION, "  - {type: local_fil, name: x, config: {}}\n");
    for _ in 0..2 {
        world
            .deploy()
            .with_code(1)
            .prints("stack.yaml cannot be applied: ")
            .prints("local_fil")
            .prints("correct it in");
    }
    world.deploy().with_code(3).prints("failed  ");
    world.deploy().done().prints("no new commits");
    world.push_descriptor(RUN);
    world.retry().done();
    world.check_all(1);
    assert_eq!(world.calls("buildah build"), 1);
}

#[test]
fn loss_of_data_ends_the_deployment_without_consent() {
    let table = |columns: &str| {
        format!("  - {{type: sqlite_table, name: t, config: {{path: shop.db, name: DEMO, columns: [{columns}]}}}}\n")
    };
    let (first, second) = ("{name: A, type: INTEGER}", ", {name: B, type: TEXT}");
    let both = format!("{RUN}{}", table(&format!("{first}{second}")));
    let world = World::with_descriptor(ACTION, &both);
    world.deploy().done();
    let open = || rusqlite::Connection::open(world.folder().join("shop.db")).unwrap();
    open().execute_batch("INSERT INTO DEMO VALUES (1, 'precious')").unwrap();
    world.push_descriptor(&format!("{RUN}{}", table(first)));
    world.push_app("two");
    let ran = world.deploy().with_code(3);
    ran.prints("stack.yaml is not applied: data would be lost").prints("column B is dropped");
    ran.prints("--allow-data-loss=ADDRESS");
    let kept: String = open().query_row("SELECT B FROM DEMO", [], |row| row.get(0)).unwrap();
    assert_eq!((kept.as_str(), world.ran().len()), ("precious", 1));
    world.deploy().done().prints("no new commits");
    world.push_descriptor(&both);
    world.retry().done();
    world.check_all(2);
}

#[test]
fn killed_apply_is_recovered_and_recorded_once() {
    for name in ["kill-in-step", "kill-apply-in-step"] {
        let world = World::with_descriptor(ACTION, &format!("{NOTE}{RUN}"));
        world.write(name, "");
        assert_ne!(world.deploy().code, 0);
        assert_eq!((world.ran().len(), world.deployments()[0]["state"].as_str()), (0, Some("applying")), "{name}");
        world.deploy().done();
        world.check_all(1);
        world.deploy().done().prints("no new commits");
        assert_eq!(world.calls("buildah build"), 1);
        world.push_app("two");
        world.deploy().done();
        world.check_all(2);
        assert_eq!(world.applied().last().unwrap(), &["pipelines_run.load"], "{name}");
    }
}

#[test]
fn interrupted_apply_continues_with_the_next_call() {
    let world = World::with_descriptor(ACTION, &format!("{NOTE}{RUN}"));
    world.write("wait-in-step", "");
    let running = world.pipelines.project.start(world.command(&["pipelines", "deploy"]));
    until("the step waits", || world.path("waiting").exists());
    running.interrupt();
    assert_eq!(running.finish().code, 130);
    assert_eq!(world.deployments()[0]["state"], "applying");
    world.remove("wait-in-step");
    world.deploy().done();
    world.check_all(1);
}

#[test]
fn killed_at_calls_of_git_it_applies_each_commit_once() {
    let world = World::with_descriptor(ACTION, &format!("{NOTE}{RUN}"));
    // The calls before are those of any deployment.
    let mut call = 16;
    let mut count = 1;
    loop {
        world.write("kill", &call.to_string());
        let ran = world.deploy();
        if world.path("kill").exists() {
            world.remove("kill");
            assert_eq!(ran.code, 0, "{ran}");
            break;
        }
        world.deploy().done();
        world.check_all(count);
        (call, count) = (call + 1, count + 1);
        world.push_app(&count.to_string());
    }
    assert!(count > 5, "the wrapper saw {call} calls only");
    world.check_all(count);
}

#[test]
fn environment_with_another_image_is_not_applied() {
    let world = World::with_descriptor(ACTION, RUN);
    world.write("fail-step", "");
    world.deploy().with_code(3);
    world.remove("fail-step");
    world.git("operations", &["pull", "--quiet", "--rebase"]);
    world.write("operations/terrace.yaml", &CONFIGURATION.replace("0000", "1111"));
    world.push_operations();
    world.retry().with_code(3).prints("has another image now").prints("restore the image of this one");
    world.deploy().done().prints("no new commits");
    assert!(world.ran().is_empty());
}

#[test]
fn unknown_descriptor_is_named_before_a_build() {
    let world = World::new(&ACTION.replace("stack", "stak"));
    let ran = world.deploy().with_code(1);
    ran.prints("operations.git has no file `stak.yaml`").prints("correct `descriptor` in `.dppctl.yaml`");
    world.describe("", "  - {branch: main, environment: staging}\n");
    let ran = world.deploy().with_code(1);
    ran.prints("an action needs `descriptor`, `pipeline`, or both").prints("add `descriptor: FILE`");
    assert_eq!(world.calls("buildah"), 0);
}

#[test]
fn descriptor_is_applied_in_no_other_cluster_than_the_described_one() {
    World::with_descriptor(ACTION, RUN).check_other_cluster_is_refused();
}

#[test]
fn apply_has_the_state_key_and_variables_and_no_other_state() {
    let note = "  - {type: local_file, name: note, config: {path: note.txt, content: '${{ vars.word }}'}}\n";
    let world = World::with_descriptor(ACTION, note);
    let text = world.read("operations/stack.yaml");
    let variables = "variables: {word: {type: string, sensitive: true}}\nresources:";
    world.write("operations/stack.yaml", &text.replace("resources:", variables));
    world.push_operations();
    let key = world.run(&["init", "--state-key"]).done().stdout.lines().next().unwrap().to_owned();
    let deploy = |variables: &[(&str, &str)]| {
        let mut command = world.command(&["pipelines", "deploy"]);
        command.envs(variables.iter().copied()).env("TERRACE_STATE", "sqlite:elsewhere.db");
        world.pipelines.project.start(command).finish()
    };
    deploy(&[("TERRACE_VAR_word", "hush")]).with_code(1).prints("state key");
    deploy(&[("TERRACE_VAR_word", "hush"), ("TERRACE_STATE_KEY", &key)]).done();
    assert_eq!(fs::read_to_string(world.folder().join("note.txt")).unwrap(), "hush");
    assert!(world.folder().join(".terrace/state.db").exists() && !world.folder().join("elsewhere.db").exists());
}

#[test]
fn state_in_postgresql_survives_a_lost_copy() {
    let world = World::with_descriptor(ACTION, RUN);
    world.write("operations/terrace.yaml", &format!("state: '${{{{ env.STATE_URL }}}}'\n{CONFIGURATION}"));
    world.push_operations();
    let url = Runtime::new().unwrap().block_on(Cluster::shared().database());
    let run = |words: &[&str]| {
        let mut command = world.command(words);
        command.env("STATE_URL", &url);
        let ran = world.pipelines.project.start(command).finish().done();
        assert!(!format!("{ran}").contains(PASSWORD), "{ran}");
        ran
    };
    run(&["pipelines", "deploy"]);
    assert!(!world.folder().join(".terrace/state.db").exists());
    fs::remove_dir_all(world.path(".terrace/pipelines/deployments/projects")).unwrap();
    world.push_app("two");
    run(&["pipelines", "deploy"]);
    world.check_all(2);
    let folder = world.folder();
    let listed = run(&["--chdir", folder.to_str().unwrap(), "--env", "staging", "operations", "list"]);
    assert_eq!(listed.stdout.lines().count(), 2, "{listed}");
}
