//! A temporary folder for a test, and commands in it.

use crate::{Ran, Running, binary, repository, until};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The beginning of a stack named `demo`.
const HEAD: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\n";

/// A project in a temporary folder.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

impl Project {
    /// An empty project.
    ///
    /// # Panics
    /// When no temporary folder is available.
    #[must_use]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A project with the stack `demo` in `stack.yaml`; `rest` follows the metadata.
    #[must_use]
    pub fn with_stack(rest: &str) -> Self {
        let project = Self::new();
        project.write_stack(rest);
        project
    }

    /// A project with the Network Status example in `data-product.yaml`.
    #[must_use]
    pub fn with_network_status() -> Self {
        let project = Self::new();
        project.copy(&repository().join("examples/network-status/data-product.yaml"), "data-product.yaml");
        project
    }

    /// Writes the stack `demo` to `stack.yaml`; `rest` follows the metadata.
    pub fn write_stack(&self, rest: &str) {
        self.write("stack.yaml", format!("{HEAD}{rest}"));
    }

    /// Writes the stack `name` to `NAME.yaml`; `rest` follows the metadata.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_named_stack(&self, name: &str, rest: &str) {
        self.write(&format!("{name}.yaml"), format!("{}{rest}", HEAD.replace("demo", name)));
    }

    /// The path of a file.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, with the folders above it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        let parent = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent).expect("the folder of a test");
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Copies a file into the project.
    ///
    /// # Panics
    /// When it cannot be read or written.
    pub fn copy(&self, from: &Path, name: &str) {
        self.write(name, fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())));
    }

    /// The text of a file.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Replaces text in a file.
    ///
    /// # Panics
    /// When the file does not contain the text.
    pub fn edit(&self, name: &str, old: &str, new: &str) {
        let text = self.read(name);
        assert!(text.contains(old), "`{old}` is not in `{name}`");
        self.write(name, text.replace(old, new));
    }

    /// True if the file or folder exists.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Every file of the project by its path, except the state's database.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let is_of_state = |name: &String| name.starts_with(".terrace/state.db");
        self.all_files().into_iter().filter(|(name, _)| !is_of_state(name)).collect()
    }

    /// Every file of the project by its path.
    #[must_use]
    pub fn all_files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(self.folder.path(), self.folder.path(), &mut found);
        found
    }

    /// The state as written by `state export`, without the time of export. `None` without a state.
    #[must_use]
    pub fn recorded(&self) -> Option<String> {
        self.has(".terrace/state.db").then(|| self.run(["state", "export", "--history"]).done().stdout)
    }

    /// A command line of terrace in this project, not started yet.
    #[must_use]
    pub fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TERRACE_") {
                command.env_remove(name);
            }
        }
        // Wide enough for one-line assertions.
        command.env("NO_COLOR", "1").env("USER", "tester").env("COLUMNS", "120");
        command
    }

    /// Runs terrace.
    #[must_use]
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        self.run_with(&[], arguments)
    }

    /// Runs terrace with environment variables. Adds the digest for a saved plan without a message authentication code,
    /// as a user copies it from `plan --out`.
    #[must_use]
    pub fn run_with<'a>(&self, variables: &[(&str, &str)], arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        let words: Vec<&str> = arguments.into_iter().collect();
        let digest = self.digest_for(variables, &words);
        let digest = digest.iter().flat_map(|digest| ["--plan-digest", digest]);
        self.run_as_given(variables, words.iter().copied().chain(digest))
    }

    /// Runs terrace with exactly these variables and words.
    #[must_use]
    pub fn run_as_given<'a>(&self, variables: &[(&str, &str)], arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        self.start(command).finish()
    }

    /// The digest for a saved plan without a message authentication code, unless the words have one.
    fn digest_for(&self, variables: &[(&str, &str)], words: &[&str]) -> Option<String> {
        if !words.contains(&"apply") || words.iter().any(|word| word.starts_with("--plan-digest")) {
            return None;
        }
        let is_plan_without_code = |word: &&&str| {
            let text = fs::read_to_string(self.path(word)).unwrap_or_default();
            text.starts_with("{\"terrace_plan\":") && !text.contains("\",\"mac\":\"")
        };
        let plan = words.iter().filter(|word| !word.starts_with('-')).find(is_plan_without_code)?;
        self.digest_of(variables, plan)
    }

    /// The digest of a saved plan; `None` if it cannot be shown.
    #[must_use]
    pub fn digest_of(&self, variables: &[(&str, &str)], plan: &str) -> Option<String> {
        let shown = self.run_as_given(variables, ["show", plan, "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown.stdout).ok()?;
        shown.pointer("/terrace/plan_digest")?.as_str().map(str::to_owned)
    }

    /// Starts a command line without waiting for it.
    #[must_use]
    pub fn start(&self, command: Command) -> Running {
        Running::start(command, self.folder.path())
    }

    /// Creates a gate (named pipe) that programs of the project wait at (`read line < gate`).
    ///
    /// # Panics
    /// When it cannot be created.
    pub fn make_gate(&self, name: &str) {
        let made = Command::new("mkfifo").arg(self.path(name)).status().expect("mkfifo runs");
        assert!(made.success(), "mkfifo {name}");
    }

    /// Opens a gate, and waits for a program at it.
    ///
    /// # Panics
    /// When no program arrives.
    pub fn open_gate(&self, name: &str) {
        // Opens without blocking: without a reader it fails, and is tried again.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        until(&format!("a program waits at `{name}`"), || {
            let gate = rustix::fs::open(self.path(name), flags, Mode::empty());
            gate.is_ok_and(|gate| fs::File::from(gate).write_all(b"open\n").is_ok())
        });
    }

    /// An apply of this stack, whose program has touched `started` and waits at its gate.
    ///
    /// # Panics
    /// When it does not arrive.
    #[must_use]
    pub fn waiting_at_gate(stack: &str) -> (Self, Running) {
        let project = Self::with_stack(stack);
        project.make_gate("gate");
        let running = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
        until("the program waits at its gate", || project.has("started"));
        (project, running)
    }

    /// Applies `stack.yaml` without a question.
    #[must_use]
    pub fn apply(&self) -> Ran {
        self.run(["apply", "stack.yaml", "--auto-approve", "-q"])
    }

    /// Applies `stack.yaml` by a saved plan: the output contains the result without the plan.
    ///
    /// # Panics
    /// When planning fails.
    #[must_use]
    pub fn apply_saved(&self) -> Ran {
        self.run(["plan", "stack.yaml", "--out", "plan"]).done();
        self.run(["apply", "plan", "-q"])
    }

    /// Checks that the second plan is empty and changes nothing.
    ///
    /// # Panics
    /// When it has changes.
    pub fn assert_settled(&self, descriptor: &str, more: &[&str]) {
        let recorded = self.recorded();
        let words = ["plan", descriptor, "--detailed-exitcode"];
        let plan = self.run(words.into_iter().chain(more.iter().copied()));
        assert_eq!(plan.code, 0, "the second plan has changes:\n{plan}");
        assert!(plan.stdout.contains("No changes."), "{plan}");
        assert_eq!(self.recorded(), recorded, "planning changed the state");
    }
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry of the project").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.is_file() {
            let name = path.strip_prefix(root).expect("a path within the project").display().to_string();
            found.insert(name, fs::read(&path).expect("a file of the project"));
        }
    }
}
