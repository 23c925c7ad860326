//! Pages for newcomers: their commands run in an empty folder, and print the output of the pages.

use std::path::{Path, PathBuf};
use std::process::Command;
use terrace_tests::{Project, binary, repository};

/// A block of a page.
struct Block<'p> {
    language: &'p str,
    text: &'p str,
}

/// The blocks of a page, in order.
fn blocks(page: &str) -> Vec<Block<'_>> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).map(|(language, text)| Block { language, text }).collect()
}

/// The commands of a `console` block, each with its output.
fn commands(block: &str) -> Vec<(&str, &str)> {
    let commands = block.strip_prefix("$ ").map(|block| block.split("\n$ ")).into_iter().flatten();
    commands.map(|command| command.split_once('\n').unwrap_or((command, ""))).collect()
}

/// A shell in a folder of a project.
struct Shell {
    project: Project,
    folder: PathBuf,
}

impl Shell {
    fn new() -> Self {
        let project = Project::new();
        let folder = project.path("");
        Self { project, folder }
    }

    /// Runs a command as typed, with exit code 0, or 2 for drift. Follows a change of the folder.
    fn run(&mut self, typed: &str) -> String {
        // The test cannot type `yes`.
        let asks = typed.starts_with("terrace apply") && !typed.contains("--auto-approve");
        let line = if asks { format!("{typed} --auto-approve") } else { typed.to_owned() };
        let at = self.project.path(".folder");
        let code = if typed.starts_with("terrace drift") { 2 } else { 0 };
        let folders = [binary().parent().unwrap().to_owned()].into_iter();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{line}\ncode=$?\npwd >'{}'\nexit $code", at.display())]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TERRACE_")) {
            command.env_remove(name);
        }
        command.current_dir(&self.folder).env("PATH", path).env("NO_COLOR", "1").env("COLUMNS", "250");
        let ran = command.output().unwrap();
        let output = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert_eq!(ran.status.code(), Some(code), "`{typed}`:\n{output}");
        self.folder = PathBuf::from(std::fs::read_to_string(at).unwrap().trim_end());
        output
    }
}

/// Checks that the output has each line that the page shows, and no further note.
fn check_output(typed: &str, shown: &str, output: &str) {
    assert_eq!(
        output.contains('☞'),
        shown.contains('☞'),
        "`{typed}` prints a note that the page does not show:\n{output}"
    );
    for line in shown.lines().filter(|line| !line.is_empty()) {
        // A busy machine takes longer.
        let timeless = |line: &str| line.split(" after ").next().unwrap_or_default().to_owned();
        let is_printed = output.lines().any(|printed| timeless(printed) == timeless(line));
        assert!(is_printed, "`{typed}` does not print `{line}`:\n{output}");
    }
}

/// Adds a line of the page below the line with the same text.
fn insert_below(stack: &Path, anchor: &str, added: &str) {
    let text = std::fs::read_to_string(stack).unwrap();
    let at =
        text.find(anchor).and_then(|at| Some(at + text.get(at..)?.find('\n')? + 1)).expect("the line to add below");
    std::fs::write(stack, format!("{}{added}{}", &text[..at], &text[at..])).unwrap();
}

#[test]
fn tutorial_works_as_written() {
    let page = std::fs::read_to_string(repository().join("docs/tutorial.md")).unwrap();
    let mut shell = Shell::new();
    let mut commands_run = 0;
    for block in blocks(&page) {
        let stack = shell.folder.join("stack.yaml");
        match block.language {
            "yaml" if block.text.starts_with("apiVersion") => std::fs::write(stack, block.text).unwrap(),
            "yaml" => insert_below(&stack, "{name: AMOUNT", block.text),
            "console" => {
                for (typed, shown) in commands(block.text) {
                    let output = shell.run(typed);
                    check_output(typed, shown, &output);
                    commands_run += 1;
                }
            }
            // The dialog of an apply, which runs without its question here.
            "text" => {}
            other => panic!("a block of the language `{other}`"),
        }
    }
    assert!(commands_run > 10, "{commands_run} commands");
}

#[test]
fn example_of_the_sqlite_provider_works_as_written() {
    let page = std::fs::read_to_string(repository().join("providers/sqlite/README.md")).unwrap();
    let blocks = blocks(&page);
    let stack = blocks.iter().find(|block| block.text.starts_with("apiVersion")).expect("a stack");
    let console = blocks.iter().find(|block| block.language == "console").expect("a command");
    let mut shell = Shell::new();
    shell.project.write("stack.yaml", stack.text);
    for (typed, shown) in commands(console.text) {
        let output = shell.run(typed);
        check_output(typed, shown, &output);
    }
    assert!(shell.project.has("data/shop.db"));
    shell.project.assert_settled("stack.yaml", &[]);
}
