//! The CI examples: `examples/ci/terrace-ci` from a real Git repository to a stand-in of the forge.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};
use terrace_tests::{Forge, Kind, Project, binary, repository};

const MARKER: &str = "<!-- terrace:ci -->\n";

/// A repository with a stack of one file, a runner's checkout of it, and a state outside the checkout.
struct Repository {
    project: Project,
    forge: Forge,
}

impl Repository {
    fn new(kind: Kind) -> Self {
        let repository = Self { project: Project::new(), forge: Forge::start(kind) };
        repository.write("one");
        repository.project.write("work/.gitignore", "/terrace-plan/\n/out/\n");
        repository.project.write("work/terrace.yaml", "environments: {local: {overlay: embedded}}\n");
        repository.git("init --quiet --initial-branch main");
        repository.commit("Begin");
        repository.terrace("apply stacks --auto-approve -q");
        // Other comments fill more than one page.
        for number in 0..100 {
            repository
                .forge
                .add_comment(&format!("a remark, the {number}th; <!-- terrace:ci --> is not at its beginning"));
        }
        repository
    }

    fn write(&self, content: &str) {
        let stack = format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nresources:\n  - type: local_file\n    \
             name: a\n    config: {{path: out/a.txt, content: {content}}}\n"
        );
        self.project.write("work/stacks/stack.yaml", stack);
    }

    fn work(&self) -> PathBuf {
        self.project.path("work")
    }

    #[track_caller]
    fn git(&self, words: &str) -> String {
        let mut command = Command::new("git");
        command.args(words.split_whitespace()).current_dir(self.work());
        for (name, value) in [("NAME", "Tester"), ("EMAIL", "tester@example.com")] {
            command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(variable);
        }
        output_of(&command.output().unwrap(), 0)
    }

    fn commit(&self, message: &str) {
        self.git("add --all");
        self.git(&format!("commit --quiet --message {message}"));
    }

    /// Commits new content to the branch `feature`, and checks out the merge result of its pull request.
    fn push(&self, content: &str) {
        self.git("checkout --quiet -B feature");
        self.write(content);
        self.commit("Change");
    }

    /// Merges the pull request and checks out the result, as the apply job does.
    fn merge(&self) {
        self.git("checkout --quiet main");
        self.git("merge --quiet --no-ff --message Merge feature");
    }

    #[track_caller]
    fn terrace(&self, words: &str) -> String {
        let mut command = self.project.command(words.split_whitespace());
        command.current_dir(self.work()).env("TERRACE_STATE", self.state());
        output_of(&command.output().unwrap(), 0)
    }

    fn state(&self) -> String {
        format!("sqlite:{}", self.project.path("state.db").display())
    }

    /// Runs the script and returns its output.
    #[track_caller]
    fn run(&self, code: i32, what: &str, more: &[(&str, &str)]) -> String {
        let mut path = binary().parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut command = Command::new(repository().join("examples/ci/terrace-ci"));
        command.arg(what).current_dir(self.work()).env("PATH", path).env("NO_COLOR", "1");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["TERRACE_", "GITHUB_", "GITLAB_", "CI_", "GIT_"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.env("TERRACE_STATE", self.state()).env("TERRACE_FILES", "stacks");
        command.envs(self.forge.variables()).envs(more.iter().copied());
        output_of(&command.output().unwrap(), code)
    }

    /// Returns the script's only comment.
    #[track_caller]
    fn comment(&self) -> String {
        let ours = self.forge.own_comments();
        assert!(ours.len() == 1 && ours[0].starts_with(MARKER), "{ours:?}");
        ours[0].clone()
    }

    /// Returns a GitHub run that planned a commit, with an artifact. `more` replaces fields of the run.
    fn github_run(&self, id: u64, commit: &str, more: &Value) -> Value {
        let name = format!("terrace-plan-{commit}");
        let artifact = json!({"id": id * 10, "name": name, "expired": false,
                              "workflow_run": {"id": id, "head_sha": commit}});
        let path = format!("/actions/runs/{id}/artifacts?name={name}&per_page=100");
        self.forge.answer(&path, json!({"artifacts": [artifact]}));
        let mut run = json!({"id": id, "event": "pull_request", "head_sha": commit, "conclusion": "success",
                             "path": ".github/workflows/terrace.yml", "head_repository": {"full_name": "acme/products"}});
        run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run
    }

    /// Makes GitHub list these runs for a commit.
    fn list_runs(&self, commit: &str, runs: &[Value]) {
        let query = format!("event=pull_request&head_sha={commit}&status=success&per_page=100");
        self.forge.answer(&format!("/actions/workflows/terrace.yml/runs?{query}"), json!({"workflow_runs": runs}));
    }

    fn file(&self) -> String {
        self.project.read("work/out/a.txt")
    }
}

#[track_caller]
fn output_of(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn pull_request_has_one_comment_and_its_merge_applies_that_plan() {
    let repository = Repository::new(Kind::GitHub);
    repository.push("two");
    repository.run(0, "plan", &[]);
    let comment = repository.comment();
    assert!(comment.contains("<!-- terrace:plan:demo@local -->") && comment.contains("1 to change"), "{comment}");
    assert!(comment.contains("two"), "{comment}");
    assert_eq!(
        repository.forge.requests(),
        ["GET /issues/1/comments", "GET /issues/1/comments", "POST /issues/1/comments"]
    );
    assert_eq!(repository.file(), "one", "planning changed something");

    // The second push updates the comment.
    repository.push("three");
    repository.run(0, "plan", &[]);
    let comment = repository.comment();
    assert!(comment.contains("three") && !comment.contains("two"), "{comment}");
    assert_eq!(
        repository.forge.requests(),
        ["GET /issues/1/comments", "GET /issues/1/comments", "PATCH /issues/comments/201"]
    );

    // The merge finds the run that planned the last commit, and applies its plan.
    let head = repository.git("rev-parse feature").trim().to_owned();
    let run = repository.github_run(4711, &head, &json!({}));
    repository.list_runs(&head, &[run]);
    repository.merge();
    let output = repository.project.path("output");
    let variables = [("PLAN_COMMIT", head.as_str()), ("GITHUB_OUTPUT", output.to_str().unwrap())];
    repository.run(0, "find-plan", &variables);
    assert_eq!(repository.project.read("output"), "run-id=4711\nartifact-id=47110\n");
    repository.run(0, "apply", &[]);
    assert_eq!(repository.file(), "three");
    assert!(repository.comment().contains("### terrace apply: applied\n"), "{}", repository.comment());
    // A saved plan can be applied only once.
    repository.run(4, "apply", &[]);
    assert!(repository.comment().contains("refused, nothing was changed (exit code 4)"), "{}", repository.comment());
    assert_eq!(repository.forge.faults(), [""; 0]);
}

#[test]
fn stale_plan_is_refused() {
    let repository = Repository::new(Kind::GitHub);
    repository.push("two");
    repository.run(0, "plan", &[]);
    repository.merge();
    // Another apply was earlier.
    repository.write("other");
    repository.terrace("apply stacks --auto-approve -q");
    repository.git("checkout --quiet .");
    repository.run(4, "apply", &[]);
    assert_eq!(repository.file(), "other");
    let comment = repository.comment();
    assert!(comment.contains("exit code 4") && comment.contains("local_file.a"), "{comment}");
    assert_eq!(repository.forge.faults(), [""; 0]);
}

#[test]
fn plan_of_unmerged_files_is_refused() {
    let repository = Repository::new(Kind::GitHub);
    repository.push("two");
    repository.run(0, "plan", &[]);
    repository.push("three");
    repository.merge();
    repository.run(4, "apply", &[]);
    assert!(repository.comment().contains("the merged files differ from the planned files"));
    assert_eq!(repository.file(), "one");
}

#[test]
fn failed_plan_is_in_the_comment_and_fails_the_run() {
    let repository = Repository::new(Kind::GitHub);
    repository.push("two");
    repository.project.edit("work/stacks/stack.yaml", "content:", "contnt:");
    repository.commit("Slip");
    repository.run(1, "plan", &[]);
    let comment = repository.comment();
    assert!(comment.contains("cannot be applied") && comment.contains("contnt"), "{comment}");
    // An unreadable descriptor has no plan at all.
    repository.project.edit("work/stacks/stack.yaml", "name: a", "name: [a");
    repository.commit("Worse");
    repository.run(1, "plan", &[]);
    let comment = repository.comment();
    assert!(comment.contains("### terrace plan: failed (exit code 1)"), "{comment}");
    assert!(comment.contains("stacks/stack.yaml:"), "{comment}");
    repository.push("two");
    repository.run(0, "plan", &[]);
    assert!(repository.comment().contains("1 to change"));
    assert_eq!(repository.forge.faults(), [""; 0]);
}

#[test]
fn wrong_token_ends_the_run_and_is_not_printed() {
    let repository = Repository::new(Kind::GitHub);
    repository.push("two");
    // curl exits with 22 if a server refuses a request.
    let output = repository.run(22, "plan", &[("GITHUB_TOKEN", "another")]);
    assert!(!output.contains("another\n") && repository.forge.comments().len() == 100, "{output}");
    assert_eq!(repository.forge.faults().len(), 1);
}

#[test]
fn drift_fails_the_nightly_run() {
    let repository = Repository::new(Kind::GitHub);
    repository.run(0, "drift", &[]);
    repository.project.write("work/out/a.txt", "changed by hand");
    let output = repository.run(2, "drift", &[]);
    assert!(output.contains("local_file.a"), "{output}");
}

#[test]
fn gitlab_merge_request_has_one_note_and_its_merge_applies_that_plan() {
    let repository = Repository::new(Kind::GitLab);
    let request = [("CI_MERGE_REQUEST_IID", "1")];
    repository.push("two");
    repository.run(0, "plan", &request);
    repository.push("three");
    repository.run(0, "plan", &request);
    assert!(repository.comment().contains("three"));
    let requests = repository.forge.requests();
    let (user, notes) = ("GET /user", "GET /merge_requests/1/notes");
    let change = "PUT /merge_requests/1/notes/201";
    assert_eq!(requests, [user, notes, notes, "POST /merge_requests/1/notes", user, notes, notes, change]);
    // The pipeline of the merge reads the artifacts of this job.
    let planned = repository.git("rev-parse feature").trim().to_owned();
    let plan = |file: &str| repository.project.read(&format!("work/terrace-plan/{file}"));
    for file in ["plan.json", "tree"] {
        repository.forge.add_file(&format!("/jobs/12/artifacts/terrace-plan/{file}"), &plan(file));
    }
    std::fs::remove_dir_all(repository.project.path("work/terrace-plan")).unwrap();
    repository.merge();
    let head = repository.git("rev-parse HEAD").trim().to_owned();
    let merged = |iid: u64, source: u64| {
        json!({"iid": iid, "state": "merged", "source_project_id": source, "target_project_id": 42, "sha": planned,
               "merge_commit_sha": head, "squash_commit_sha": null})
    };
    // A fork's merge request, a push pipeline and a job of another name are not trusted.
    let merges = format!("/repository/commits/{head}/merge_requests");
    repository.forge.answer(&merges, json!([merged(9, 43), merged(1, 42)]));
    let pipeline = |id: u64, source: &str, project: u64| json!({"id": id, "source": source, "sha": planned, "ref": "refs/merge-requests/1/head", "project_id": project});
    let found = json!([
        pipeline(99, "push", 42),
        pipeline(98, "merge_request_event", 43),
        pipeline(11, "merge_request_event", 42)
    ]);
    repository.forge.answer(&format!("/pipelines?source=merge_request_event&sha={planned}&per_page=100"), found);
    let job = |id: u64, name: &str| json!({"id": id, "name": name, "status": "success", "commit": {"id": planned}});
    repository
        .forge
        .answer("/pipelines/11/jobs?scope=success&per_page=100", json!([job(13, "other"), job(12, "plan")]));
    repository.run(0, "find-plan", &[("CI_COMMIT_SHA", head.as_str())]);
    repository.run(0, "apply", &[]);
    assert_eq!(repository.file(), "three");
    assert!(repository.comment().contains("### terrace apply: applied\n"));
    assert_eq!(repository.forge.faults(), [""; 0]);
}

#[test]
fn artifact_of_another_run_is_not_applied() {
    let repository = Repository::new(Kind::GitHub);
    let commit = "a".repeat(40);
    let others = [
        json!({"event": "workflow_dispatch"}),
        json!({"head_repository": {"full_name": "mallory/products"}}),
        json!({"path": ".github/workflows/other.yml"}),
        json!({"head_sha": "b".repeat(40)}),
        json!({"conclusion": "failure"}),
    ];
    let runs: Vec<Value> = (90..).zip(&others).map(|(id, more)| repository.github_run(id, &commit, more)).collect();
    repository.list_runs(&commit, &runs);
    let output = repository.project.path("output");
    let variables = [("PLAN_COMMIT", commit.as_str()), ("GITHUB_OUTPUT", output.to_str().unwrap())];
    let text = repository.run(1, "find-plan", &variables);
    assert!(text.contains("run the plan job of the pull request again") && !output.exists(), "{text}");
    let run = repository.github_run(80, &commit, &json!({}));
    repository.list_runs(&commit, &[runs, vec![run]].concat());
    repository.run(0, "find-plan", &variables);
    assert_eq!(repository.project.read("output"), "run-id=80\nartifact-id=800\n");
    assert_eq!(repository.forge.faults(), [""; 0]);
}

#[test]
fn comment_of_another_account_is_neither_changed_nor_trusted() {
    for kind in [Kind::GitHub, Kind::GitLab] {
        let repository = Repository::new(kind);
        let request = [("CI_MERGE_REQUEST_IID", "1")];
        repository.forge.add_comment(&format!("{MARKER}Plan digest `{}`.\n", "0".repeat(64)));
        repository.push("two");
        repository.run(0, "plan", &request);
        assert!(repository.comment().contains("1 to change"));
        repository.merge();
        repository.run(0, "apply", &request);
        assert_eq!(repository.file(), "two");
        assert_eq!(repository.forge.faults(), [""; 0]);
    }
}

#[test]
fn plan_unseen_by_reviewers_is_refused() {
    let repository = Repository::new(Kind::GitHub);
    repository.push("two");
    repository.run(0, "plan", &[]);
    // The artifact is replaced by another plan.
    repository.write("evil");
    repository.terrace("plan stacks --out terrace-plan/plan.json -q");
    repository.git("checkout --quiet .");
    repository.merge();
    repository.run(4, "apply", &[]);
    assert_eq!(repository.file(), "one");
    let comment = repository.comment();
    assert!(comment.contains("expected  ") && comment.contains("actual    "), "{comment}");
    // The digest stays in the comment, so the next try is refused too.
    repository.run(4, "apply", &[]);
    assert_eq!(repository.file(), "one");
}
