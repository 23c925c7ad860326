//! Continuous deployment with real Git repositories: new commits become images, commits of the operations repository, and
//! runs, once each. A stand-in of buildah builds the images; a wrapper of git kills terrace at each of its calls.

mod descriptors;
mod statuses;

use crate::pipelines::runs::Pipelines;
use ring::hmac;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use terrace_tests::served::Served;
use terrace_tests::{Ran, until};

/// Builds an image whose digest is that of the files, and pushes it. Fails or waits if a certain file exists.
const BUILDAH: &str = r#"#!/bin/sh
echo "buildah $*" >> "$WORLD/calls"
case "$1" in
build)
    for context; do :; done
    [ -e "$WORLD/gate" ] && read -r line < "$WORLD/gate"
    [ -e "$WORLD/fail-build" ] && { echo 'no such base image' >&2; exit 1; }
    (cd "$context" && cat $(find . -type f | sort)) | sha256sum | cut -d' ' -f1 > "$WORLD/built"
    ;;
push)
    [ -e "$WORLD/fail-push" ] && { echo 'unauthorized' >&2; exit 125; }
    echo "sha256:$(cat "$WORLD/built")" > "$3"
    ;;
*) exit 64 ;;
esac
code=0
. "$WORLD/bin/after"
"#;

/// Runs git. Pushes another commit before the first push if the file `compete` exists.
const GIT: &str = r#"#!/bin/sh
PATH=${PATH#*:}
echo "git $*" >> "$WORLD/calls"
echo "$GIT_SSL_CAINFO $GIT_DIR" > "$WORLD/git-variables"
echo $PPID > "$WORLD/deployer"
case " $* " in
*' push '*)
    if [ -e "$WORLD/compete" ]; then
        rm "$WORLD/compete"
        cd "$WORLD/operations" && git pull -q && echo "$$" > other && git add other &&
            git -c user.name=x -c user.email=x@x commit -q -m Compete && git push -q || exit 70
        cd "$OLDPWD"
    fi
    ;;
esac
git "$@"
code=$?
. "$WORLD/bin/after"
"#;

/// Kills terrace after the call with the number in the file `kill`.
const AFTER: &str = r#"
if [ -e "$WORLD/kill" ]; then
    count=$(($(cat "$WORLD/count" 2>/dev/null || echo 0) + 1))
    echo "$count" > "$WORLD/count"
    if [ "$count" -ge "$(cat "$WORLD/kill")" ]; then
        rm -f "$WORLD/kill" "$WORLD/count"
        kill -9 $PPID
    fi
fi
exit $code
"#;

/// Records the image of its environment. Kills the deploying terrace and its apply, or fails, if a certain file exists.
const RECORD: &str = "\
import os, signal, subprocess, time
from datapackage_pipelines.wrapper import ingest, spew
world = os.environ['WORLD']
parameters, package, resources = ingest()
place = os.path.join(world, 'kill-in-step')
if os.path.exists(place):
    os.remove(place)
    os.kill(int(open(os.path.join(world, 'deployer')).read()), signal.SIGKILL)
    time.sleep(600)
place = os.path.join(world, 'kill-apply-in-step')
if os.path.exists(place):
    os.remove(place)
    os.kill(int(open(os.path.join(world, 'deployer')).read()), signal.SIGKILL)
    applying = os.getpid()
    while os.path.basename(os.readlink('/proc/%d/exe' % applying)) != 'terrace':
        applying = int(open('/proc/%d/stat' % applying).read().rsplit(')', 1)[1].split()[1])
    os.kill(applying, signal.SIGKILL)
    time.sleep(600)
while os.path.exists(os.path.join(world, 'wait-in-step')):
    open(os.path.join(world, 'waiting'), 'w').close()
    time.sleep(0.02)
if os.path.exists(os.path.join(world, 'cancel-in-step')):
    program = os.readlink('/proc/' + open(os.path.join(world, 'deployer')).read().strip() + '/exe')
    subprocess.Popen([program, '--env', 'staging', 'pipelines', 'cancel', './load'])
    time.sleep(600)
if os.path.exists(os.path.join(world, 'fail-step')):
    raise ValueError('the table is missing')
image = [line for line in open('terrace.yaml') if 'image:' in line]
open(os.path.join(world, 'ran'), 'a').write(image[0].split()[1] + '\\n')
spew(package, resources, {})
";

const CONFIGURATION: &str = "\
environments:
  staging:
    providers:
      pipelines:
        # written by deployments
        image: r.example.com/orders@sha256:0000
";

struct World {
    pipelines: Pipelines,
}

impl World {
    /// Repositories of a program and of its environment, and a project that deploys `actions`.
    fn new(actions: &str) -> Self {
        let pipelines = Pipelines::new("quick: {pipeline: [{run: noise}]}\n");
        let world = Self { pipelines };
        for (name, text) in [("buildah", BUILDAH), ("git", GIT), ("after", AFTER)] {
            world.write(&format!("bin/{name}"), text);
            fs::set_permissions(world.path(&format!("bin/{name}")), fs::Permissions::from_mode(0o755)).unwrap();
        }
        for name in ["app", "operations"] {
            world.git(".", &["init", "--quiet", "--bare", "--initial-branch=main", &format!("{name}.git")]);
            world.git(".", &["clone", "--quiet", &format!("{name}.git"), name]);
        }
        world.write("app/Dockerfile", "FROM r.example.com/pipelines:1\nCOPY . /app\n");
        world.push_app("one");
        world.write("operations/terrace.yaml", CONFIGURATION);
        world.write("operations/record.py", RECORD);
        world.write("operations/pipeline-spec.yaml", "load: {pipeline: [{run: record}]}\n");
        world.push("operations", "Begin");
        world.describe("", actions);
        world
    }

    /// Writes `.dppctl.yaml`.
    fn describe(&self, more: &str, actions: &str) {
        let url = |name: &str| format!("file://{}", self.path(name).display());
        let text = format!(
            "clusterProvider: local\ncontinuousDeployment:\n- appRepoPath: {}\n  opsRepoPath: {}\n  \
             image: r.example.com/orders\n{more}  actions:\n{actions}",
            url("app.git"),
            url("operations.git")
        );
        self.write(".dppctl.yaml", &text);
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.pipelines.project.path(name)
    }

    fn write(&self, name: &str, text: &str) {
        self.pipelines.project.write(name, text);
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    #[track_caller]
    fn git(&self, folder: &str, words: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "commit.gpgsign=false"]);
        command.args(words).current_dir(self.path(folder));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn push(&self, folder: &str, message: &str) {
        self.git(folder, &["add", "--all"]);
        self.git(folder, &["commit", "--quiet", "--message", message]);
        self.git(folder, &["push", "--quiet", "origin", "HEAD:main"]);
    }

    /// Commits another version of the program, and returns its digest.
    fn push_app(&self, version: &str) -> String {
        self.write("app/version", version);
        self.push("app", version);
        self.git("app", &["rev-parse", "HEAD"])
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.pipelines.command(arguments);
        let path = std::env::var_os("PATH").unwrap();
        let path = format!("{}:{}", self.path("bin").display(), path.to_str().unwrap());
        command.env("PATH", path).env("WORLD", self.path(".")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.pipelines.project.start(self.command(arguments)).finish()
    }

    fn deploy(&self) -> Ran {
        self.run(&["pipelines", "deploy"])
    }

    /// All deployments, the newest first.
    fn deployments(&self) -> Vec<Value> {
        let ran = self.run(&["pipelines", "deploy", "--list", "--json"]).done();
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        json["deployments"].as_array().unwrap().clone()
    }

    /// Subjects of the operations repository's commits, the oldest first.
    fn operations_log(&self) -> Vec<String> {
        let log = self.git("operations.git", &["log", "--reverse", "--format=%s", "main"]);
        log.lines().map(str::to_owned).collect()
    }

    fn calls(&self, begin: &str) -> usize {
        self.read("calls").lines().filter(|line| line.starts_with(begin)).count()
    }

    /// Images with which the pipeline ran.
    fn ran(&self) -> Vec<String> {
        self.read("ran").lines().map(str::to_owned).collect()
    }

    /// Checks that a deployment waits until its settings lead to the cluster of `.dppctl.yaml`.
    fn check_other_cluster_is_refused(&self) {
        let project = &self.pipelines.project;
        project.edit(".dppctl.yaml", "clusterProvider: local", "clusterProvider: kubernetes");
        let ran = self.deploy().with_code(1);
        ran.prints("requires the cluster `kubernetes`, and the provider `pipelines` runs pipelines on this machine");
        assert!(self.ran().is_empty());
        project.edit(".dppctl.yaml", "clusterProvider: kubernetes", "clusterProvider: local");
        self.deploy().done();
        self.check_all(1);
    }

    /// Checks that every deployment ended well, with one commit and one run each.
    #[track_caller]
    fn check_all(&self, count: usize) {
        let deployments = self.deployments();
        assert_eq!(deployments.len(), count, "{deployments:#?}");
        let mut images: Vec<&str> = deployments.iter().rev().map(|it| it["image"].as_str().unwrap()).collect();
        for it in &deployments {
            assert_eq!(it["state"], "deployed", "{it:#}");
            let commit = it["operations_commit"].as_str().unwrap();
            let text = self.git("operations.git", &["show", &format!("{commit}:terrace.yaml")]);
            let line = format!("image: {}", it["image"].as_str().unwrap());
            assert!(text.lines().any(|text| text.trim() == line), "{text}");
        }
        assert_eq!(self.ran(), images, "one run with each image");
        let log = self.operations_log();
        assert_eq!(log.iter().filter(|subject| subject.starts_with("Deploy app ")).count(), count, "{log:?}");
        images.sort_unstable();
        images.dedup();
        assert_eq!(images.len(), count, "each commit has its own image");
    }
}

const MAIN: &str = "  - {branch: main, environment: staging, pipeline: load}\n";
const TAGS: &str = "  - {tags: true, environment: staging, pipeline: ./load}\n";

#[test]
fn new_commit_of_branch_is_deployed_once() {
    let world = World::new(MAIN);
    let first = world.git("app", &["rev-parse", "HEAD"]);
    let ran = world.deploy().done();
    ran.prints(&format!("deployed  {} of main  ./load in staging  r.example.com/orders@sha256:", &first[..12]));
    world.check_all(1);
    let message = world.git("operations.git", &["log", "-1", "--format=%an %s%n%b", "main"]);
    assert!(message.starts_with(&format!("terrace Deploy app {} to staging", &first[..12])), "{message}");
    let calls = world.read("calls");
    let built = format!(":{first} --label org.opencontainers.image.revision={first}");
    assert!(calls.contains(&built) && calls.contains(&format!(" docker://r.example.com/orders:{first}")), "{calls}");
    // Comments and the rest of the file stay.
    let text = world.git("operations.git", &["show", "main:terrace.yaml"]);
    assert_eq!(text.lines().count(), CONFIGURATION.lines().count());
    assert!(text.contains("# written by deployments"));
    world.deploy().done().prints("no new commits");
    world.check_all(1);
    let second = world.push_app("two");
    world.deploy().done().prints(&second[..12]);
    world.check_all(2);
    // A branch that returns to an old commit deploys nothing.
    world.git("app", &["push", "--quiet", "--force", "origin", &format!("{first}:main")]);
    world.deploy().done().prints("no new commits");
    world.check_all(2);
}

#[test]
fn commit_is_built_once_for_all_its_actions() {
    let world = World::new(&format!("{MAIN}  - {{branch: main, environment: staging, pipeline: again}}\n"));
    world.write(
        "operations/pipeline-spec.yaml",
        "load: {pipeline: [{run: record}]}\nagain: {pipeline: [{run: record}]}\n",
    );
    world.push("operations", "Add a pipeline");
    world.deploy().done();
    let deployments = world.deployments();
    assert!(deployments.len() == 2 && deployments[0]["image"] == deployments[1]["image"], "{deployments:#?}");
    assert_eq!((world.ran().len(), world.calls("buildah build"), world.calls("buildah push")), (2, 1, 1));
}

#[test]
fn only_new_tags_are_deployed_in_order() {
    let world = World::new(TAGS);
    let tag = |name: &str, date: &str| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@x", "tag", "-a", "-m", name, name]);
        command.current_dir(world.path("app")).env("GIT_COMMITTER_DATE", date);
        assert!(command.status().unwrap().success());
        world.git("app", &["push", "--quiet", "origin", name]);
    };
    tag("v1", "2026-01-01T00:00:00Z");
    world.deploy().done().prints("1 tag existed before and will not be deployed");
    let third = world.push_app("three");
    tag("v3", "2026-01-03T00:00:00Z");
    let second = world.push_app("two");
    tag("v2", "2026-01-02T00:00:00Z");
    world.deploy().done();
    world.check_all(2);
    let order: Vec<Value> = world.deployments().iter().rev().map(|it| it["commit"].clone()).collect();
    assert_eq!(order, [second, third]);
    world.deploy().done().prints("no new commits");
}

#[test]
fn killed_at_every_call_it_deploys_each_commit_once() {
    let world = World::new(MAIN);
    let mut call = 1;
    loop {
        world.write("kill", &call.to_string());
        let ran = world.deploy();
        let was_killed = !world.path("kill").exists();
        if !was_killed {
            world.remove("kill");
            assert_eq!(ran.code, 0, "{ran}");
            break;
        }
        world.deploy().done();
        world.check_all(call);
        call += 1;
        world.push_app(&call.to_string());
    }
    assert!(call > 20, "the wrapper saw {call} calls only");
    world.check_all(call);
}

#[test]
fn git_trusts_authorities_of_the_user_and_reads_no_other_repository() {
    let world = World::new(MAIN);
    let mut command = world.command(&["pipelines", "deploy"]);
    command.env("GIT_SSL_CAINFO", "authority.pem").env("GIT_DIR", "elsewhere");
    world.pipelines.project.start(command).finish().done();
    assert_eq!(world.read("git-variables"), "authority.pem \n");
    world.check_all(1);
}

#[test]
fn killed_during_a_run_it_runs_the_pipeline_to_its_end() {
    let world = World::new(MAIN);
    world.write("kill-in-step", "");
    assert_ne!(world.deploy().code, 0);
    assert_eq!((world.ran().len(), world.deployments()[0]["state"].as_str()), (0, Some("running")));
    world.deploy().done();
    world.check_all(1);
    assert_eq!(world.calls("buildah build"), 1);
}

#[test]
fn all_pipelines_run_once_each_despite_a_kill_between_them() {
    const FIRST: &str = "\
import os
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
world = os.environ['WORLD']
open(os.path.join(world, 'first'), 'a').write('x')
open(os.path.join(world, 'kill-in-step'), 'w').close()
spew(package, resources, {})
";
    let world = World::new("  - {branch: main, environment: staging, pipeline: all}\n");
    // The document of dppctl names no repository of images: the environment has one.
    let text = world.read(".dppctl.yaml").replace("  image: r.example.com/orders\n", "");
    world.write(".dppctl.yaml", &text);
    world.write("operations/first.py", FIRST);
    let spec =
        "first: {pipeline: [{run: first}]}\nload: {dependencies: [{pipeline: ./first}], pipeline: [{run: record}]}\n";
    world.write("operations/pipeline-spec.yaml", spec);
    world.push("operations", "Add a pipeline");
    assert_ne!(world.deploy().code, 0);
    assert_eq!((world.read("first"), world.ran().len()), ("x".to_owned(), 0));
    world.deploy().done().prints("all pipelines in staging  r.example.com/orders@sha256:");
    assert_eq!((world.read("first"), world.ran().len()), ("x".to_owned(), 1), "the first one does not run again");
    // A failure is that of its pipeline.
    world.git("operations", &["pull", "--quiet", "origin", "main"]);
    world.write("operations/first.py", "raise ValueError('the file is missing')\n");
    world.push("operations", "Break the first pipeline");
    world.push_app("two");
    world.deploy().with_code(3).prints("./first: step `first` failed: ValueError: the file is missing");
}

#[test]
fn image_without_a_registry_is_refused_if_no_repository_is_named() {
    let world = World::new(MAIN);
    let text = world.read(".dppctl.yaml").replace("  image: r.example.com/orders\n", "");
    world.write(".dppctl.yaml", &text);
    world.write("operations/terrace.yaml", &CONFIGURATION.replace("r.example.com/", ""));
    world.push("operations", "Change the image");
    let refused = world.deploy().with_code(1);
    refused.prints("the repository for the image of `staging` is unknown: the environment has `orders@sha256:0000`");
    refused.prints("add `image: REGISTRY/NAME`");
    assert_eq!(world.calls("buildah build"), 0);
}

#[test]
fn init_names_the_deployments_of_its_folder() {
    let world = World::new(&format!("{MAIN}  - {{tags: true, environment: production, pipeline: all}}\n"));
    let text = world.read(".dppctl.yaml");
    let app = text.lines().find_map(|line| line.strip_prefix("- appRepoPath: ")).unwrap().to_owned();
    let operations = text.lines().find_map(|line| line.strip_prefix("  opsRepoPath: ")).unwrap().to_owned();
    world.write(".dppctl.yaml", &text.replace(&app, "acme/orders"));
    let lines = [
        "continuous deployment of './load' pipelines on commits to main branch of https://github.com/acme/orders to staging \
         environment of ops repo OPERATIONS",
        "continuous deployment of 'all' pipelines on published tags of https://github.com/acme/orders to production \
         environment of ops repo OPERATIONS",
        "it needs the token of a machine user of GitHub in GITHUB_TOKEN",
        "start it with `terrace pipelines deploy --watch`",
    ];
    for arguments in [&["pipelines", "init", "--workers", "0", "--databases", "0"][..], &["pipelines", "init"]] {
        let said = world.run(arguments).stderr;
        for line in lines {
            assert!(said.contains(&line.replace("OPERATIONS", &operations)), "{line}\n{said}");
        }
    }
}

#[test]
fn push_is_repeated_after_a_commit_of_others() {
    let world = World::new(MAIN);
    world.write("compete", "");
    world.deploy().done();
    world.check_all(1);
    let log = world.operations_log();
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log[1] == "Compete" && log[2].starts_with("Deploy app"), "{log:?}");
    assert!(!world.read("calls").contains("--force"));
}

#[test]
fn protected_branch_stops_the_deployment_until_the_push_is_allowed() {
    let world = World::new(MAIN);
    let hook = "#!/bin/sh\necho 'GH006: Protected branch update failed' >&2\nexit 1\n";
    world.write("operations.git/hooks/pre-receive", hook);
    fs::set_permissions(world.path("operations.git/hooks/pre-receive"), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = world.deploy().with_code(1);
    ran.prints("refuses the push to `main`: [remote rejected] (pre-receive hook declined); GH006: Protected branch");
    ran.prints("remove the protection of the branch");
    assert_eq!(world.deployments()[0]["state"], "committing");
    world.remove("operations.git/hooks/pre-receive");
    world.deploy().done();
    world.check_all(1);
    assert_eq!(world.calls("buildah build"), 1, "the image was in the registry");
}

#[test]
fn failed_build_is_tried_three_times_and_again_on_request() {
    let world = World::new(MAIN);
    let commit = world.git("app", &["rev-parse", "HEAD"]);
    world.write("fail-build", "");
    for _ in 0..2 {
        world.deploy().with_code(1).prints("cannot be built").prints("no such base image");
    }
    world.deploy().with_code(3).prints("failed  ");
    world.deploy().done().prints("no new commits");
    assert_eq!(world.calls("buildah build"), 3);
    world.remove("fail-build");
    world
        .run(&["pipelines", "deploy", "--retry", "ffff"])
        .with_code(1)
        .prints("no deployment of a commit `ffff` failed");
    world.run(&["pipelines", "deploy", "--retry", &commit[..12]]).done();
    world.check_all(1);
}

#[test]
fn interrupted_build_continues_with_the_next_call() {
    let world = World::new(MAIN);
    world.pipelines.project.make_gate("gate");
    let running = world.pipelines.project.start(world.command(&["pipelines", "deploy"]));
    until("the build waits at its gate", || world.calls("buildah build") == 1);
    running.interrupt();
    assert_eq!(running.finish().code, 130);
    assert_eq!(world.deployments()[0]["state"], "building");
    world.remove("gate");
    world.deploy().done();
    world.check_all(1);
}

#[test]
fn json_result_has_deployments_and_problems() {
    let world = World::new(MAIN);
    world.write("fail-build", "");
    let failed = world.run(&["pipelines", "deploy", "--json"]).with_code(1).json();
    assert_eq!(failed["deployments"], serde_json::json!([]));
    let message = failed["diagnostics"][0]["message"].as_str().unwrap();
    assert!(message.contains("no such base image"), "{message}");
    world.remove("fail-build");
    let done = world.run(&["pipelines", "deploy", "--json"]).done().json();
    let deployment = &done["deployments"][0];
    assert_eq!((&deployment["state"], &deployment["reference"]), (&"deployed".into(), &"refs/heads/main".into()));
    assert_eq!((&deployment["environment"], &deployment["pipeline_id"]), (&"staging".into(), &"./load".into()));
    world.check_all(1);
}

#[test]
fn newer_commit_supersedes_a_commit_without_an_image() {
    let world = World::new(MAIN);
    world.write("fail-push", "");
    world.deploy().with_code(1).prints("unauthorized").prints("buildah login r.example.com");
    world.remove("fail-push");
    let newer = world.push_app("two");
    world.deploy().done();
    let deployments = world.deployments();
    assert_eq!((&deployments[0]["state"], &deployments[0]["commit"]), (&"deployed".into(), &newer.into()));
    assert_eq!(deployments[1]["state"], "superseded");
    assert_eq!(world.ran().len(), 1);
}

#[test]
fn commit_that_was_removed_from_its_branch_is_not_deployed() {
    let world = World::new(MAIN);
    let first = world.git("app", &["rev-parse", "HEAD"]);
    world.deploy().done();
    let second = world.push_app("two");
    world.write("fail-push", "");
    world.deploy().with_code(1);
    let set = |commit: &str| world.git("app", &["push", "--quiet", "--force", "origin", &format!("{commit}:main")]);
    set(&first);
    world.remove("fail-push");
    world.deploy().done().prints("no new commits");
    assert_eq!((world.deployments()[0]["state"].as_str(), world.ran().len()), (Some("superseded"), 1));
    set(&second);
    world.deploy().done();
    world.check_all(2);
}

#[test]
fn cancelled_run_ends_its_deployment() {
    let world = World::new(MAIN);
    world.write("cancel-in-step", "");
    world.deploy().with_code(3).prints("failed  ").prints("was cancelled");
    world.remove("cancel-in-step");
    world.push_app("two");
    world.deploy().done();
    assert_eq!(world.deployments()[0]["state"], "deployed");
}

#[test]
fn failed_pipeline_is_reported_and_not_repeated() {
    let world = World::new(MAIN);
    world.write("fail-step", "");
    world.deploy().with_code(3).prints("failed  ").prints("ValueError: the table is missing");
    assert_eq!(world.deployments()[0]["state"], "failed");
    world.deploy().done().prints("no new commits");
    world.remove("fail-step");
    world.run(&["pipelines", "deploy", "--retry", world.deployments()[0]["commit"].as_str().unwrap()]).done();
    world.check_all(1);
}

#[test]
fn repeated_deployment_has_corrections_of_the_operations_repository() {
    let world = World::new(MAIN);
    let commit = world.git("app", &["rev-parse", "HEAD"]);
    world.write("fail-step", "");
    world.deploy().with_code(3);
    world.write("operations/record.py", &RECORD.replace("'fail-step'", "'corrected'"));
    world.git("operations", &["pull", "--quiet", "--rebase", "--autostash"]);
    world.push("operations", "Correct the step");
    world.run(&["pipelines", "deploy", "--retry", &commit]).done();
    world.check_all(1);
    // An environment with another image is not run: its corrections may belong to that image.
    let second = world.push_app("two");
    world.write("operations/record.py", RECORD);
    world.push("operations", "Break the step");
    world.deploy().with_code(3);
    world.git("operations", &["pull", "--quiet", "--rebase"]);
    world.write("operations/record.py", &RECORD.replace("'fail-step'", "'corrected'"));
    let text = world.read("operations/terrace.yaml");
    let image = text.lines().find(|line| line.trim().starts_with("image:")).unwrap();
    world.write("operations/terrace.yaml", &text.replace(image, "        image: r.example.com/orders@sha256:1111"));
    world.push("operations", "Choose another image");
    world.run(&["pipelines", "deploy", "--retry", &second]).with_code(3);
}

#[test]
fn missing_parts_are_named_with_remedies() {
    let world = World::new("  - {branch: man, environment: staging, pipeline: load}\n");
    world.deploy().with_code(1).prints("has no branch `man`").prints("correct `branch`");
    world.describe("", "  - {branch: main, environment: production, pipeline: load}\n");
    world
        .deploy()
        .with_code(1)
        .prints("has no `environments.production`")
        .prints("add `image: REGISTRY/NAME@sha256:DIGEST`");
    assert_eq!(world.calls("buildah"), 0, "nothing is built for an environment that cannot take it");
    world.describe("", "  - {branch: main, environment: staging, pipeline: laod}\n");
    world.deploy().with_code(1).prints("./laod cannot run").prints("there is no pipeline `./laod`");
    world.describe("", MAIN);
    world.git("app", &["rm", "--quiet", "Dockerfile"]);
    world.push("app", "Without");
    world.deploy().with_code(3).prints("has no `Dockerfile`");
    world.remove("bin/buildah");
    fs::rename(world.path("bin"), world.path("only")).unwrap();
    world.push_app("more");
    let mut command = world.command(&["pipelines", "deploy"]);
    fs::create_dir(world.path("git-only")).unwrap();
    let git = ["/usr/bin/git", "/usr/local/bin/git"].into_iter().find(|path| std::path::Path::new(path).exists());
    std::os::unix::fs::symlink(git.unwrap(), world.path("git-only/git")).unwrap();
    command.env("PATH", world.path("git-only"));
    let ran = world.pipelines.project.start(command).finish().with_code(1);
    ran.prints("neither `buildah` nor `docker` is in PATH").prints("apt-get install buildah");
    fs::rename(world.path("app.git"), world.path("gone.git")).unwrap();
    world.deploy().with_code(1).prints("the refs of file://").prints("app.git");
}

#[test]
fn deployment_runs_in_no_other_cluster_than_the_described_one() {
    World::new(MAIN).check_other_cluster_is_refused();
}

#[test]
fn only_one_process_deploys_a_project() {
    let world = World::new(MAIN);
    world.pipelines.project.make_gate("gate");
    let running = world.pipelines.project.start(world.command(&["pipelines", "deploy", "--watch", "--every", "1h"]));
    until("the build waits at its gate", || world.calls("buildah build") == 1);
    world.deploy().with_code(4).prints("another process deploys this project");
    world.pipelines.project.open_gate("gate");
    until("the pipeline ran", || world.ran().len() == 1);
    until("the deployment ended", || world.deployments()[0]["state"] == "deployed");
    running.terminate();
    assert_eq!(running.finish().code, 130);
    world.check_all(1);
}

#[test]
fn folder_with_a_description_uses_no_other_cluster() {
    let pipelines = Pipelines::new("quick: {pipeline: [{run: noise}]}\n");
    let project = &pipelines.project;
    project.write(".dppctl.yaml", "clusterProvider: gcloud\ngcloudZone: a\n");
    let ran = pipelines.run(&["pipelines", "run"]).with_code(1);
    ran.prints("requires the cluster `gcloud`, and the provider `pipelines` runs pipelines on this machine");
    pipelines.run(&["pipelines", "run", "--no-queue"]).done();
    project.write(".dppctl.yaml", "clusterProvider: local\n");
    pipelines.run(&["pipelines", "run"]).done();
    pipelines.run(&["pipelines", "init", "public"]).with_code(1).prints("requires the cluster `local`, not `public`");
    pipelines
        .run(&["pipelines", "run", "--queue", "--else-public"])
        .with_code(1)
        .prints("requires the cluster `local`");
    project.write(".dppctl.yaml", "clusterProvder: local\n");
    let ran = pipelines.run(&["pipelines", "run"]).with_code(1);
    ran.prints(".dppctl.yaml:1:1").prints("did you mean `clusterProvider`?");
    assert!(!project.has(".terrace/pipelines/queue.db"));
}

#[test]
fn server_deploys_at_signed_webhooks_only() {
    let world = World::new(MAIN);
    let settings = "server: {pipelines: {deployments: {every: 1h, secret: '${{ env.HOOK_SECRET }}'}}}\n";
    world.write("terrace.yaml", settings);
    let command = world.command(&["serve"]);
    let text = |value: &std::ffi::OsStr| value.to_str().unwrap().to_owned();
    let mut variables: Vec<(String, String)> =
        command.get_envs().filter_map(|(name, value)| Some((text(name), text(value?)))).collect();
    variables.push(("HOOK_SECRET".to_owned(), "a-secret".to_owned()));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Served::start_with(&world.pipelines.project, &[], &variables);
    let until_deployed = |count: usize| {
        until("the commits are deployed", || {
            let deployments = world.deployments();
            deployments.len() == count && deployments.iter().all(|it| it["state"] == "deployed")
        });
    };
    until_deployed(1);
    let url = format!("file://{}", world.path("app.git").display());
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a-secret");
    let github = |body: &str, signed: &str| {
        let tag = hmac::sign(&key, signed.as_bytes());
        let signature = format!("sha256={}", base16ct::lower::encode_string(tag.as_ref()));
        server.call_with("POST", "/hooks/github", body, &[("x-hub-signature-256", &signature)]).status
    };
    world.push_app("two");
    let push = format!(r#"{{"ref": "refs/heads/main", "repository": {{"clone_url": "{url}"}}}}"#);
    assert_eq!(github(&push, "another body"), 401);
    assert_eq!(server.call("POST", "/hooks/github", &push).status, 401);
    let other = push.replace("app.git", "other.git");
    assert_eq!(github(&other, &other), 404);
    assert_eq!(world.deployments().len(), 1, "nothing woke the poll");
    assert_eq!(github(&push, &push), 202);
    until_deployed(2);
    // A replayed call finds nothing new.
    assert_eq!(github(&push, &push), 202);
    world.push_app("three");
    let push = format!(r#"{{"object_kind": "push", "project": {{"git_http_url": "{url}"}}}}"#);
    let gitlab = |token: &str| server.call_with("POST", "/hooks/gitlab", &push, &[("x-gitlab-token", token)]).status;
    assert_eq!(gitlab("a-secre"), 401);
    assert_eq!(gitlab("a-secret"), 202);
    until_deployed(3);
    // A repeated call finds nothing new.
    let polls =
        world.calls("git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 ls-remote --quiet -- ");
    assert_eq!(gitlab("a-secret"), 202);
    until("the repeated call has polled", || {
        world.calls("git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 ls-remote --quiet -- ")
            > polls
    });
    // The usage log has each deployment once, and the calls. A repeated start adds nothing.
    server.kill();
    let server = Served::start_with(&world.pipelines.project, &[], &variables);
    let usage = || {
        let printed = world.pipelines.run(&["audit", "usage", "--verify"]).done().stdout;
        let all = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|record| record["action"] == "deploy").collect::<Vec<_>>()
    };
    until("the refused calls are logged", || usage().len() >= 11);
    let records = usage();
    let of = |user: &str, outcome: &str| {
        records.iter().filter(|it| it["user"] == user && it["outcome"] == outcome).collect::<Vec<_>>()
    };
    let counts = [("terrace", "done"), ("webhook", "accepted"), ("webhook", "failed"), ("unknown", "refused")]
        .map(|(user, outcome)| of(user, outcome).len());
    assert_eq!((counts, records.len()), ([3, 4, 1, 3], 11), "{records:?}");
    let last = of("terrace", "done").pop().unwrap();
    assert_eq!(last["source_sha"].as_str(), Some(world.git("app", &["rev-parse", "HEAD"]).as_str()), "{last}");
    assert_eq!((last["source_ref"].as_str(), last["pipeline_id"].as_str()), (Some("refs/heads/main"), Some("./load")));
    assert!(last["image"].as_str().unwrap().contains("@sha256:") && last["run_id"].is_string(), "{last}");
    let ran = server.stop();
    assert!(!ran.stderr.contains("a-secret"), "{ran}");
    world.check_all(3);
}

#[test]
fn server_without_a_description_does_not_deploy() {
    let pipelines = Pipelines::new("quick: {pipeline: [{run: noise}]}\n");
    pipelines.project.write("terrace.yaml", "server: {pipelines: {deployments: {every: 1h}}}\n");
    let ran = pipelines.run(&["serve", "--bind", "127.0.0.1:0"]).with_code(1);
    ran.prints("needs a `.dppctl.yaml` with `continuousDeployment`");
}
