//! Endless files: terrace reads a device or a pipe up to a limit and reports it, before memory runs out.

use terrace_tests::{Project, snapshot};

/// Address space in KiB. It is a little more than the largest allowed file, so an unlimited read fails.
const MEMORY: &str = "1500000";

/// Runs terrace with a limited address space.
fn limited(project: &Project, words: &[&str]) -> terrace_tests::Ran {
    let terrace = project.command([]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")]).arg(terrace.get_program()).args(words);
    if let Some(folder) = terrace.get_current_dir() {
        command.current_dir(folder);
    }
    for (name, value) in terrace.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(std::process::Stdio::null());
    project.start(command).finish().with_code(1)
}

#[test]
fn endless_descriptor_is_read_up_to_the_limit() {
    let project = Project::new();
    snapshot!(limited(&project, &["plan", "/dev/zero"]), @"
    exit: 1
    --- stderr
    too_long

      × `/dev/zero` is longer than 64 MiB
      hint: split it into several files
    ");
    let ran = limited(&project, &["validate", "/dev/zero", "--json"]);
    assert_eq!(ran.json()["diagnostics"][0]["code"], "too_long");
    limited(&project, &["apply", "/dev/zero"]).prints("is longer than 64 MiB");
    limited(&project, &["destroy", "/dev/zero"]).prints("is longer than 64 MiB");
}

#[test]
fn other_endless_files_are_read_up_to_their_limits() {
    let project = Project::with_stack("resources: []\n");
    let words = ["plan", "stack.yaml", "--var-file", "/dev/zero"];
    limited(&project, &words).prints("`/dev/zero` is longer than 64 MiB");
    let words = ["plan", "stack.yaml", "--config", "/dev/zero"];
    limited(&project, &words).prints("the configuration `/dev/zero` cannot be read: it is longer than 8 MiB");
    let words = ["blueprints", "check", "/dev/zero"];
    limited(&project, &words).prints("the blueprint `/dev/zero` cannot be read: it is longer than 8 MiB");
    project.write("terrace.yaml", "encryption: {keyFile: /dev/zero}\n");
    limited(&project, &["plan", "stack.yaml"]).prints("it is longer than 64 KiB");
}

#[test]
fn endless_exported_state_is_read_up_to_the_limit() {
    let ran = limited(&Project::new(), &["state", "import", "/dev/zero"]);
    ran.prints("`/dev/zero`: it is longer than 512 MiB");
}
