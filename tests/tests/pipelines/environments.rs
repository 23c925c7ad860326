//! Python environments whose creation fails or is interrupted: no process continues, and no environment is mixed up. A
//! stand-in of `uv` copies the environment of the dpp stand-in.

use crate::pipelines::runs::Pipelines;
use std::fs;
use terrace_tests::{Running, until};

const SPEC: &str = "quick: {pipeline: [{run: noise}]}\n";

/// Hangs if the file `hang` exists, with a child process and one in another process group. Otherwise it creates an
/// environment.
const UV: &str = r#"#!/bin/sh
project=$(dirname "$0")/..
case "$1" in
--version) echo 'uv 0.0.0'; exit ;;
pip) exit ;;
esac
for folder; do :; done
if [ -e "$project/hang" ]; then
    sleep 600 &
    echo $! > "$project/beside"
    setsid sleep 600 &
    echo $! > "$project/apart"
    # It is apart once its group is its own.
    until [ "$(cut -d' ' -f5 "/proc/$!/stat")" = "$!" ]; do :; done
    echo $$ > "$project/maker"
    wait
fi
[ -e "$project/apart" ] && state=$(sed 's/.*) //' "/proc/$(cat "$project/apart")/stat")
case "$state" in '' | Z*) ;; *) touch "$project/mixed" ;; esac
set -- "$XDG_CACHE_HOME"/terrace/pipelines/2.2.11-*/terrace-environment.json
cp -a "$(dirname "$1")" "$folder"
[ -e "$folder/lib/python3.11" ] || ln -s "$(ls "$folder/lib")" "$folder/lib/python3.11"
"#;

/// Reports a supported interpreter version.
const PYTHON: &str = "#!/bin/sh\necho 3.11\necho \"$0\"\n";

/// A project whose pipeline needs a new environment.
fn project() -> Pipelines {
    use std::os::unix::fs::PermissionsExt;
    let pipelines = Pipelines::new(SPEC);
    let project = &pipelines.project;
    project.write("requirements.txt", "something==1\n");
    for (path, text) in [("bin/uv", UV), ("bin/python", PYTHON)] {
        project.write(path, text);
        fs::set_permissions(project.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let python = project.path("bin/python").display().to_string();
    project.write(
        "terrace.yaml",
        format!("environments: {{local: {{overlay: embedded, providers: {{pipelines: {{python: '{python}'}}}}}}}}\n"),
    );
    pipelines
}

fn start(pipelines: &Pipelines, arguments: &[&str]) -> Running {
    let mut command = pipelines.command(arguments);
    let path = std::env::var_os("PATH").unwrap();
    let folders = [pipelines.project.path("bin")].into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).unwrap());
    pipelines.project.start(command)
}

/// Starts a run whose environment never completes, and waits until its creation has begun.
fn hanging(pipelines: &Pipelines, arguments: &[&str]) -> Running {
    pipelines.project.write("hang", "");
    let running = start(pipelines, arguments);
    // The shell creates the file before it writes to it.
    let is_written = || pipelines.project.has("maker") && pipelines.project.read("maker").ends_with('\n');
    until("the environment is being made", is_written);
    running
}

/// Returns whether the process with the id in this file is alive.
fn is_alive(pipelines: &Pipelines, file: &str) -> bool {
    let pid = pipelines.project.read(file);
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    // A zombie process is dead.
    status.is_ok_and(|status| !status.rsplit(") ").next().unwrap().starts_with('Z'))
}

#[test]
fn installer_processes_end_with_terrace_and_never_run_twice() {
    let pipelines = project();
    let running = hanging(&pipelines, &["pipelines", "run"]);
    running.kill();
    assert_eq!(running.finish().code, -1);
    until("no installer is left", || !is_alive(&pipelines, "maker") && !is_alive(&pipelines, "beside"));
    // The next creation first ends the process that left the group.
    assert!(is_alive(&pipelines, "apart"));
    fs::remove_file(pipelines.project.path("hang")).unwrap();
    let ran = start(&pipelines, &["pipelines", "run"]).finish().done();
    ran.prints("./quick: SUCCESS, processed 500 rows");
    // The killed process disappears a moment later.
    until("the process outside the group is gone", || !is_alive(&pipelines, "apart"));
    assert!(!pipelines.project.has("mixed"));
}

#[test]
fn timeout_of_a_run_includes_creating_its_environment() {
    let pipelines = project();
    let ran = hanging(&pipelines, &["pipelines", "run", "--timeout", "1s"]).finish().with_code(3);
    ran.prints("./quick: FAILURE, processed 0 rows").prints("it took longer than its limit of 1 s");
    for process in ["maker", "beside", "apart"] {
        // The killed process disappears a moment later.
        until(&format!("{process} is gone"), || !is_alive(&pipelines, process));
    }
}

#[test]
fn interrupted_environment_creation_leaves_nothing() {
    let pipelines = project();
    let running = hanging(&pipelines, &["pipelines", "run"]);
    running.interrupt();
    running.finish().with_code(130).prints("./quick: CANCELLED");
    for process in ["maker", "beside", "apart"] {
        // The killed process disappears a moment later.
        until(&format!("{process} is gone"), || !is_alive(&pipelines, process));
    }
    let environments = fs::read_dir(pipelines.caches.path().join("terrace/pipelines")).unwrap().flatten();
    let folders = environments.filter(|entry| entry.path().is_dir());
    let halves = folders.filter(|entry| !entry.path().join("terrace-environment.json").exists());
    assert_eq!(halves.map(|entry| entry.file_name()).collect::<Vec<_>>(), Vec::<std::ffi::OsString>::new());
}

#[test]
fn installer_output_is_shown_without_passwords() {
    let pipelines = project();
    pipelines.project.write("requirements.txt", "--extra-index-url https://me:hunter2@host/simple\nsomething==1\n");
    let uv = UV.replace("pip) exit ;;", "pip) echo 'no answer from https://me:hunter2@host/simple' >&2; exit 1 ;;");
    pipelines.project.write("bin/uv", uv);
    let ran = start(&pipelines, &["pipelines", "run", "--retries", "0"]).finish().with_code(1);
    ran.prints("no answer from https://me:***@host/simple").prints("`uv pip install --python ").prints(" -r ");
    assert!(!ran.stderr.contains("hunter2"), "{ran}");
}
