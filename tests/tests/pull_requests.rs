//! What the examples of pipelines do: `examples/ci/terrace-ci` from a real Git repository, against a stand-in of the forge.

use std::path::PathBuf;
use std::process::{Command, Output};
use terrace_tests::{Forge, Kind, Project, binary, repository};

const MARKER: &str = "<!-- terrace:ci -->\n";

/// A repository with a stack that writes one file, a runner's checkout of it, and a state beside it.
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
        // Others talk, too: more than fit on one page.
        for number in 0..100 {
            repository.forge.say(&format!("a remark, the {number}th; <!-- terrace:ci --> is not at its beginning"));
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
        said(&command.output().unwrap(), 0)
    }

    fn commit(&self, message: &str) {
        self.git("add --all");
        self.git(&format!("commit --quiet --message {message}"));
    }

    /// Commits another content to the branch `feature`, and checks out what its pull request would merge.
    fn push(&self, content: &str) {
        self.git("checkout --quiet -B feature");
        self.write(content);
        self.commit("Change");
    }

    /// Merges the pull request and checks out the result, as the job that applies does.
    fn merge(&self) {
        self.git("checkout --quiet main");
        self.git("merge --quiet --no-ff --message Merge feature");
    }

    #[track_caller]
    fn terrace(&self, words: &str) -> String {
        let mut command = self.project.command(words.split_whitespace());
        command.current_dir(self.work()).env("TERRACE_STATE", self.state());
        said(&command.output().unwrap(), 0)
    }

    fn state(&self) -> String {
        format!("sqlite:{}", self.project.path("state.db").display())
    }

    /// Runs the script; answers what it says.
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
        said(&command.output().unwrap(), code)
    }

    /// The one comment of the script.
    #[track_caller]
    fn comment(&self) -> String {
        let comments = self.forge.comments();
        let ours: Vec<&String> = comments.iter().filter(|text| text.starts_with(MARKER)).collect();
        assert_eq!((comments.len(), ours.len()), (101, 1), "{ours:?}");
        ours[0].clone()
    }

    fn file(&self) -> String {
        self.project.read("work/out/a.txt")
    }
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn a_pull_request_has_one_comment_and_its_merge_applies_that_very_plan() {
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
    repository.forge.keep(&format!("terrace-plan-{head}"), "4711");
    repository.merge();
    let output = repository.project.path("output");
    let variables = [("PLAN_COMMIT", head.as_str()), ("GITHUB_OUTPUT", output.to_str().unwrap())];
    repository.run(0, "find-plan", &variables);
    assert_eq!(repository.project.read("output"), "run-id=4711\n");
    repository.run(0, "apply", &[]);
    assert_eq!(repository.file(), "three");
    assert!(repository.comment().contains("### terrace apply: applied\n"), "{}", repository.comment());
    // It was that very plan: it is spent.
    repository.run(4, "apply", &[]);
    assert!(repository.comment().contains("refused, nothing was changed (exit code 4)"), "{}", repository.comment());
    assert_eq!(repository.forge.faults(), [""; 0]);
}

#[test]
fn a_plan_that_is_stale_is_refused() {
    let repository = Repository::new(Kind::GitHub);
    repository.push("two");
    repository.run(0, "plan", &[]);
    repository.merge();
    // Somebody was quicker.
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
fn a_plan_of_other_files_than_were_merged_is_refused() {
    let repository = Repository::new(Kind::GitHub);
    repository.push("two");
    repository.run(0, "plan", &[]);
    repository.push("three");
    repository.merge();
    repository.run(4, "apply", &[]);
    assert!(repository.comment().contains("other files were merged than were planned"));
    assert_eq!(repository.file(), "one");
}

#[test]
fn a_plan_that_fails_is_told_in_the_comment_and_the_run_is_red() {
    let repository = Repository::new(Kind::GitHub);
    repository.push("two");
    repository.project.edit("work/stacks/stack.yaml", "content:", "contnt:");
    repository.commit("Slip");
    repository.run(1, "plan", &[]);
    let comment = repository.comment();
    assert!(comment.contains("cannot be applied") && comment.contains("contnt"), "{comment}");
    // What cannot even be read has no plan at all.
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
fn a_wrong_token_ends_the_run_and_is_not_told() {
    let repository = Repository::new(Kind::GitHub);
    repository.push("two");
    // What curl ends with when a server refuses.
    let said = repository.run(22, "plan", &[("GITHUB_TOKEN", "another")]);
    assert!(!said.contains("another\n") && repository.forge.comments().len() == 100, "{said}");
    assert_eq!(repository.forge.faults().len(), 1);
}

#[test]
fn drift_turns_the_nightly_run_red() {
    let repository = Repository::new(Kind::GitHub);
    repository.run(0, "drift", &[]);
    repository.project.write("work/out/a.txt", "changed by hand");
    let said = repository.run(2, "drift", &[]);
    assert!(said.contains("local_file.a"), "{said}");
}

#[test]
fn a_merge_request_of_gitlab_has_one_note_and_its_merge_applies_that_very_plan() {
    let repository = Repository::new(Kind::GitLab);
    let request = [("CI_MERGE_REQUEST_IID", "1")];
    repository.push("two");
    repository.run(0, "plan", &request);
    repository.push("three");
    repository.run(0, "plan", &request);
    assert!(repository.comment().contains("three"));
    let requests = repository.forge.requests();
    let notes = "GET /merge_requests/1/notes";
    assert_eq!(
        requests,
        [notes, notes, "POST /merge_requests/1/notes", notes, notes, "PUT /merge_requests/1/notes/201"]
    );
    // The files of the job are what the pipeline of the merge finds.
    for file in ["plan.json", "tree"] {
        let name = format!("terrace-plan/{file}");
        repository.forge.keep(&name, &repository.project.read(&format!("work/{name}")));
    }
    std::fs::remove_dir_all(repository.project.path("work/terrace-plan")).unwrap();
    repository.merge();
    let head = repository.git("rev-parse HEAD").trim().to_owned();
    repository.run(0, "find-plan", &[("CI_COMMIT_SHA", head.as_str())]);
    repository.run(0, "apply", &[]);
    assert_eq!(repository.file(), "three");
    assert!(repository.comment().contains("### terrace apply: applied\n"));
    assert_eq!(repository.forge.faults(), [""; 0]);
}
