//! A Git repository with products, its checkout in a job, and a forge.

use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Command;
use std::sync::MutexGuard;
use terrace_test_github::{self as github, Faults};
use terrace_test_gitlab as gitlab;
use terrace_tests::{Project, Ran, Running};

/// The author of requests, who may write.
pub(super) const AUTHOR: &str = "jane";
/// Another account that may write.
pub(super) const REVIEWER: &str = "rita";
/// An account without access.
pub(super) const STRANGER: &str = "mallory";
/// The state key of all jobs.
const KEY: &str = "c3RhdGUta2V5LW9mLXRoZS10ZXN0cy1vZi1wdWxsLXI=";

/// The ways to merge a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merge {
    Commit,
    Squash,
    /// A squash, and a merge commit after it.
    SquashAndCommit,
    Rebase,
    FastForward,
}

/// The forge of a repository.
pub(super) enum Forge {
    GitHub(github::StandIn),
    GitLab(gitlab::StandIn),
}

/// A comment of a request.
#[derive(Debug, Clone)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) author: String,
    pub(super) text: String,
}

/// A repository in the folder `work`, with its state outside of it.
pub(super) struct Repository {
    pub(super) project: Project,
    pub(super) forge: Forge,
    /// The head of `main` before a push of several merges; without it, a push has one.
    pub(super) before: RefCell<Option<String>>,
    /// The heads of `main` after and before the last merge.
    merged: RefCell<(String, String)>,
}

impl Forge {
    /// Both forges, with the same accounts.
    pub(super) fn both() -> [Self; 2] {
        [Self::github(), Self::gitlab()]
    }

    pub(super) fn github() -> Self {
        let forge = github::StandIn::start();
        forge.add_user(AUTHOR, "write");
        forge.add_user(REVIEWER, "write");
        forge.add_user(STRANGER, "read");
        Self::GitHub(forge)
    }

    pub(super) fn gitlab() -> Self {
        let forge = gitlab::StandIn::start();
        forge.add_member(AUTHOR, 30);
        forge.add_member(REVIEWER, 30);
        forge.add_member(STRANGER, 20);
        Self::GitLab(forge)
    }

    pub(super) fn open(&self, author: &str, head: &str, base: &str, is_fork: bool) -> u64 {
        match self {
            Self::GitHub(forge) => forge.open(author, head, base, is_fork),
            Self::GitLab(forge) => forge.open(author, head, base, is_fork),
        }
    }

    fn move_head(&self, number: u64, head: &str) {
        match self {
            Self::GitHub(forge) => forge.change(number, |pull| pull.head = head.to_owned()),
            Self::GitLab(forge) => forge.change(number, |request| request.head = head.to_owned()),
        }
    }

    pub(super) fn merge(&self, number: u64, commit: &str) {
        match self {
            Self::GitHub(forge) => forge.change(number, |pull| pull.merged = Some(commit.to_owned())),
            Self::GitLab(forge) => forge.change(number, |request| request.merged = Some(commit.to_owned())),
        }
    }

    pub(super) fn comment(&self, author: &str, number: u64, text: &str) -> u64 {
        match self {
            Self::GitHub(forge) => forge.comment(author, number, text),
            Self::GitLab(forge) => forge.comment(author, number, text),
        }
    }

    pub(super) fn edit_comment(&self, id: u64, text: &str) {
        match self {
            // In the second of its creation.
            Self::GitHub(forge) => forge.edit_comment(id, text, 0),
            Self::GitLab(forge) => forge.edit_comment(id, text),
        }
    }

    pub(super) fn delete_comments(&self) {
        match self {
            Self::GitHub(forge) => forge.delete_comments(),
            Self::GitLab(forge) => forge.delete_comments(),
        }
    }

    pub(super) fn comments(&self, number: u64) -> Vec<Comment> {
        match self {
            Self::GitHub(forge) => {
                let comments = forge.comments(number).into_iter();
                comments.map(|it| Comment { id: it.id, author: it.author, text: it.text }).collect()
            }
            Self::GitLab(forge) => {
                let notes = forge.comments(number).into_iter();
                notes.map(|it| Comment { id: it.id, author: it.author, text: it.text }).collect()
            }
        }
    }

    /// The result and the title of each check or status: `success`, `neutral`, `failure`.
    pub(super) fn checks(&self) -> Vec<(String, String)> {
        let text = |json: &Value, path: &str| json.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        match self {
            Self::GitHub(forge) => {
                let checks = forge.checks();
                checks.iter().map(|check| (text(check, "/conclusion"), text(check, "/output/title"))).collect()
            }
            Self::GitLab(forge) => {
                let statuses = forge.statuses();
                statuses.iter().map(|status| (text(status, "/state"), text(status, "/description"))).collect()
            }
        }
    }

    /// The author, the text and the openness of each issue.
    pub(super) fn issues(&self) -> Vec<(String, String, bool)> {
        match self {
            Self::GitHub(forge) => forge.issues().into_iter().map(|it| (it.author, it.text, it.is_open)).collect(),
            Self::GitLab(forge) => forge.issues().into_iter().map(|it| (it.author, it.text, it.is_open)).collect(),
        }
    }

    /// The account of the job's token.
    pub(super) fn account(&self) -> &'static str {
        match self {
            Self::GitHub(_) => github::StandIn::ACCOUNT,
            Self::GitLab(_) => gitlab::StandIn::ACCOUNT,
        }
    }

    pub(super) fn token(&self) -> &'static str {
        match self {
            Self::GitHub(_) => github::StandIn::TOKEN,
            Self::GitLab(_) => gitlab::StandIn::TOKEN,
        }
    }

    /// The faults of the next calls.
    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        match self {
            Self::GitHub(forge) => forge.faults(),
            Self::GitLab(forge) => forge.faults(),
        }
    }

    /// Calls that a correct client does not make.
    pub(super) fn complaints(&self) -> Vec<String> {
        match self {
            Self::GitHub(forge) => forge.complaints(),
            Self::GitLab(forge) => forge.complaints(),
        }
    }
}

impl Repository {
    /// A repository whose branch `main` has these files, a `.gitignore` and no commit after it.
    pub(super) fn new(forge: Forge, files: &[(&str, &str)]) -> Self {
        let repository =
            Self { project: Project::new(), forge, before: RefCell::default(), merged: RefCell::default() };
        repository.write(".gitignore", "/terrace-plan/\n/out/\n/.terrace/\n");
        repository.write("terrace.yaml", "environments: {local: {overlay: embedded}}\n");
        for (path, text) in files {
            repository.write(path, text);
        }
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit("Begin");
        repository
    }

    /// A repository with the stack `demo`, whose file has the content `one`, applied.
    pub(super) fn with_stack(forge: Forge) -> Self {
        let repository = Self::new(forge, &[("stacks/demo.yaml", &stack("demo", "one"))]);
        repository.terrace(&["apply", "stacks/demo.yaml", "--auto-approve", "-q"]).done();
        repository
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.project.path("work").join(name)
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        self.project.write(&format!("work/{path}"), text);
    }

    pub(super) fn read(&self, path: &str) -> String {
        self.project.read(&format!("work/{path}"))
    }

    #[track_caller]
    pub(super) fn git(&self, words: &[&str]) -> String {
        self.git_as("Tester", words)
    }

    /// Runs Git with this name of the committer.
    #[track_caller]
    fn git_as(&self, committer: &str, words: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "commit.gpgsign=false"]).args(words).current_dir(self.project.path("work"));
        for (name, value) in [("AUTHOR", "Tester"), ("COMMITTER", committer)] {
            command.env(format!("GIT_{name}_NAME"), value).env(format!("GIT_{name}_EMAIL"), "tester@example.com");
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(variable);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(super) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    pub(super) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
    }

    /// Commits to a branch of `main`, and opens a request.
    pub(super) fn request(&self, branch: &str, author: &str, is_fork: bool, change: impl FnOnce(&Self)) -> u64 {
        let base = self.git(&["rev-parse", "main"]);
        self.git(&["checkout", "--quiet", "-b", branch, "main"]);
        change(self);
        self.commit("Change");
        let number = self.forge.open(author, &self.head(), &base, is_fork);
        self.list_commits(number);
        number
    }

    /// Gives the forge the commits of the branch of a request, which is checked out.
    fn list_commits(&self, number: u64) {
        let Forge::GitHub(forge) = &self.forge else { return };
        let log = self.git(&["rev-list", "--reverse", "main.."]);
        let commits = log.lines().map(|sha| github::Commit { sha: sha.to_owned(), author: None });
        forge.change(number, |pull| pull.commits = commits.collect());
    }

    /// Commits once more to the branch of a request.
    pub(super) fn push(&self, number: u64, change: impl FnOnce(&Self)) {
        change(self);
        self.commit("Change again");
        self.forge.move_head(number, &self.head());
        self.list_commits(number);
    }

    /// Merges the branch of a request into `main`, which is checked out then.
    pub(super) fn merge(&self, branch: &str, number: u64) {
        self.merge_by(Merge::Commit, branch, number);
    }

    /// Merges as [`Repository::merge`], in this way.
    pub(super) fn merge_by(&self, way: Merge, branch: &str, number: u64) {
        let before = self.git(&["rev-parse", "main"]);
        if way == Merge::Rebase {
            // A forge makes new commits even if the branch is up to date.
            self.git(&["checkout", "--quiet", "-B", "rebased", branch]);
            self.git_as("Forge", &["rebase", "--quiet", "--force-rebase", "main"]);
        }
        if way == Merge::SquashAndCommit {
            self.git(&["checkout", "--quiet", "-B", "squashed", "main"]);
            self.git(&["merge", "--quiet", "--squash", branch]);
            self.commit("Squash");
        }
        self.git(&["checkout", "--quiet", "main"]);
        match way {
            Merge::Commit => drop(self.git(&["merge", "--quiet", "--no-ff", "--message", "Merge", branch])),
            Merge::Squash => {
                self.git(&["merge", "--quiet", "--squash", branch]);
                self.commit("Squash");
            }
            Merge::SquashAndCommit => {
                drop(self.git(&["merge", "--quiet", "--no-ff", "--message", "Merge", "squashed"]))
            }
            Merge::Rebase => drop(self.git(&["merge", "--quiet", "--ff-only", "rebased"])),
            Merge::FastForward => drop(self.git(&["merge", "--quiet", "--ff-only", branch])),
        }
        *self.merged.borrow_mut() = (self.head(), before);
        self.forge.merge(number, &self.head());
        if let Forge::GitLab(forge) = &self.forge {
            let squash = match way {
                Merge::Squash => Some(self.head()),
                Merge::SquashAndCommit => Some(self.git(&["rev-parse", "squashed"])),
                Merge::Commit | Merge::Rebase | Merge::FastForward => None,
            };
            forge.change(number, |request| request.squash = squash);
        }
    }

    /// Runs terrace outside of a job, with the same state.
    pub(super) fn terrace(&self, words: &[&str]) -> Ran {
        let mut command = self.project.command(words.iter().copied());
        command.current_dir(self.project.path("work")).env("TERRACE_STATE", self.state()).env("TERRACE_STATE_KEY", KEY);
        self.project.start(command).finish()
    }

    pub(super) fn state(&self) -> String {
        format!("sqlite:{}", self.project.path("state.db").display())
    }

    /// Runs terrace in a job for the event of a request.
    pub(super) fn plan(&self, number: u64) -> Ran {
        self.job(&["pr", "plan"], "pull_request", number, &[])
    }

    /// Runs terrace in the job after the push to `main`.
    pub(super) fn apply(&self) -> Ran {
        self.job(&["pr", "apply"], "push", 0, &[])
    }

    pub(super) fn drift(&self) -> Ran {
        self.job(&["pr", "drift"], "schedule", 0, &[])
    }

    /// Runs terrace in a job with an event of GitHub, or its counterpart of GitLab.
    pub(super) fn job(&self, words: &[&str], event: &str, number: u64, more: &[(&str, &str)]) -> Ran {
        self.start_job(words, event, number, more).finish()
    }

    /// Starts a job as [`Repository::job`].
    pub(super) fn start_job(&self, words: &[&str], event: &str, number: u64, more: &[(&str, &str)]) -> Running {
        let mut command = self.project.command(words.iter().copied());
        command.current_dir(self.project.path("work")).env("TERRACE_STATE", self.state()).env("TERRACE_STATE_KEY", KEY);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["GITHUB_", "GITLAB_", "CI", "GIT_"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        // The checkout of a job fetches the target branch.
        self.git(&["update-ref", "refs/remotes/origin/main", "main"]);
        command.envs(self.variables(event, number));
        command.envs(more.iter().copied());
        self.project.start(command)
    }

    fn variables(&self, event: &str, number: u64) -> Vec<(&'static str, String)> {
        let text = |text: &str| text.to_owned();
        match &self.forge {
            Forge::GitHub(forge) => {
                let pull = json!({
                    "number": number, "merged": false, "head": {"sha": self.head_of(number)}, "base": {"sha": self.base_of(number)},
                });
                let mut payload = match event {
                    "push" => json!({"after": self.head(), "before": self.before_push()}),
                    "merge_group" => json!({"merge_group": {
                        "head_sha": self.head(), "base_sha": self.git(&["rev-parse", "HEAD^"]),
                        "head_ref": format!("refs/heads/gh-readonly-queue/main/pr-{number}-0"),
                    }}),
                    _ => json!({"action": "synchronize", "pull_request": pull}),
                };
                payload["repository"] = json!({"full_name": "acme/products", "default_branch": "main"});
                self.project.write("event.json", payload.to_string());
                vec![
                    ("GITHUB_ACTIONS", text("true")),
                    ("GITHUB_API_URL", forge.url().to_owned()),
                    ("GITHUB_REPOSITORY", text("acme/products")),
                    ("GITHUB_TOKEN", self.forge.token().to_owned()),
                    ("GITHUB_EVENT_NAME", event.to_owned()),
                    ("GITHUB_EVENT_PATH", self.project.path("event.json").display().to_string()),
                    ("GITHUB_STEP_SUMMARY", self.project.path("summary.md").display().to_string()),
                ]
            }
            Forge::GitLab(forge) => {
                let mut variables = vec![
                    ("GITLAB_CI", text("true")),
                    ("CI_API_V4_URL", forge.url()),
                    ("CI_PROJECT_ID", text("42")),
                    ("CI_COMMIT_SHA", self.head()),
                    ("CI_DEFAULT_BRANCH", text("main")),
                    ("GITLAB_TOKEN", self.forge.token().to_owned()),
                    ("CI_JOB_TOKEN", gitlab::StandIn::JOB_TOKEN.to_owned()),
                ];
                match event {
                    "push" => {
                        variables.push(("CI_PIPELINE_SOURCE", text("push")));
                        variables.push(("CI_COMMIT_BEFORE_SHA", self.before_push()));
                    }
                    "schedule" => variables.push(("CI_PIPELINE_SOURCE", text("schedule"))),
                    event => {
                        variables.push(("CI_PIPELINE_SOURCE", text("merge_request_event")));
                        variables.push(("CI_MERGE_REQUEST_IID", number.to_string()));
                        variables.push(("CI_MERGE_REQUEST_DIFF_BASE_SHA", self.base_of(number)));
                        if event == "merge_group" {
                            variables.push(("CI_MERGE_REQUEST_EVENT_TYPE", text("merge_train")));
                        } else {
                            variables.push(("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", self.head_of(number)));
                        }
                    }
                }
                variables
            }
        }
    }

    fn before_push(&self) -> String {
        let (after, before) = self.merged.borrow().clone();
        let of_merge = || if after == self.head() { before } else { self.git(&["rev-parse", "HEAD^"]) };
        self.before.borrow().clone().unwrap_or_else(of_merge)
    }

    fn head_of(&self, number: u64) -> String {
        self.commits_of(number).0
    }

    fn base_of(&self, number: u64) -> String {
        self.commits_of(number).1
    }

    fn commits_of(&self, number: u64) -> (String, String) {
        let mut commits = (self.head(), self.git(&["rev-parse", "main"]));
        match &self.forge {
            Forge::GitHub(forge) if number > 0 => {
                forge.change(number, |pull| commits = (pull.head.clone(), pull.base.clone()));
            }
            Forge::GitLab(forge) if number > 0 => {
                forge.change(number, |request| commits = (request.head.clone(), request.base.clone()));
            }
            _ => {}
        }
        commits
    }

    /// The only comment of terrace with plans.
    #[track_caller]
    pub(super) fn plan_comment(&self, number: u64) -> String {
        self.own_comment(number, "plan")
    }

    /// The only comment of terrace about the apply.
    #[track_caller]
    pub(super) fn apply_comment(&self, number: u64) -> String {
        self.own_comment(number, "apply")
    }

    #[track_caller]
    fn own_comment(&self, number: u64, kind: &str) -> String {
        let begin = format!("<!-- terrace:pr:{kind}:");
        let all = self.forge.comments(number);
        let ours: Vec<&Comment> =
            all.iter().filter(|it| it.author == self.forge.account() && it.text.starts_with(&begin)).collect();
        assert!(ours.len() == 1, "{all:#?}");
        ours[0].text.clone()
    }

    /// The digests in the comment with plans, by stack.
    #[track_caller]
    pub(super) fn digest(&self, number: u64, stack: &str) -> String {
        digest_in(&self.plan_comment(number), stack)
    }

    #[track_caller]
    pub(super) fn check_calls(&self) {
        assert_eq!(self.forge.complaints(), [""; 0]);
    }
}

/// The digest in the row of a stack.
#[track_caller]
pub(super) fn digest_in(comment: &str, stack: &str) -> String {
    let row = comment.lines().find(|line| line.starts_with(&format!("| `{stack}` |")));
    let row = row.unwrap_or_else(|| panic!("no row of {stack}: {comment}"));
    row.split('`').nth(3).unwrap_or_else(|| panic!("no digest: {row}")).to_owned()
}

/// The text of a stack with a single file.
pub(super) fn stack(name: &str, content: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\nresources:\n  - type: local_file\n    name: a\n    \
         config: {{path: out/{name}.txt, content: {content}}}\n"
    )
}
