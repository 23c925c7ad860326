//! Missing or unusable files, folders and programs: the error says what was expected and where, and is not only an OS
//! error.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use terrace_tests::{Project, Ran, print_note, snapshot};

fn run_refused(words: &[&str]) -> Ran {
    let project = Project::with_stack("resources: []\n");
    project.write("folder/x", "x");
    project.write("latin", b"caf\xe9\n");
    let ran = project.run(words.iter().copied()).with_code(1);
    assert!(!ran.stderr.contains("os error"), "{ran}");
    assert!(ran.stderr.contains("hint: "), "{ran}");
    ran
}

#[test]
fn unreadable_configuration_error_says_what_was_expected() {
    snapshot!(run_refused(&["plan", "stack.yaml", "--config", "nope.yaml"]), @"
    exit: 1
    --- stderr
    error: the configuration `[folder]/nope.yaml` cannot be read: it does not exist

    hint: pass the path of a terrace.yaml to `--config`, or write one with `terrace init`; without `--config`, terrace reads the one in the nearest folder upwards
    ");
    run_refused(&["plan", "stack.yaml", "--config", "folder"])
        .prints("folder` cannot be read: it is a folder, and not a file\n");
    run_refused(&["plan", "stack.yaml", "--config", "latin/x"])
        .prints("a part of its path is a file, and not a folder\n");
    run_refused(&["plan", "stack.yaml", "--config", "latin"]).prints("it is not UTF-8: see line 1, character 4\n");
    let project = Project::with_stack("resources: []\n");
    std::fs::create_dir(project.path("terrace.yaml")).unwrap();
    project
        .run(["plan", "stack.yaml"])
        .with_code(1)
        .prints("terrace.yaml` cannot be read: it is a folder, and not a file\n");
}

#[test]
fn invalid_state_url_is_reported_with_its_place_and_without_password() {
    let project = Project::with_stack("resources: []\n");
    let (wrong, why) =
        ("postgres://me:hunter2@h/d?colour=blue", "postgres://me@h/d is invalid: unknown option `colour`");
    let check = |ran: Ran, place: &str| {
        assert!(!ran.stderr.contains("hunter2"), "{ran}");
        ran.with_code(1).prints(&format!("{place}: {why}"));
    };
    check(project.run(["plan", "stack.yaml", "--state", wrong]), "--state");
    let mut by_variable = project.command(["plan", "stack.yaml"]);
    by_variable.env("TERRACE_STATE", wrong);
    check(project.start(by_variable).finish(), "TERRACE_STATE");
    project.write("terrace.yaml", format!("state: '{wrong}'\n"));
    check(project.run(["plan", "stack.yaml"]), "`state` of terrace.yaml");
}

#[test]
fn missing_working_folder_error_says_what_was_expected() {
    snapshot!(run_refused(&["plan", "stack.yaml", "--chdir", "nope"]), @"
    exit: 1
    --- stderr
    error: `--chdir nope`: there is no such folder

    hint: pass a folder to `--chdir`; all other paths of the command line are relative to it
    ");
    run_refused(&["plan", "stack.yaml", "--chdir", "latin"])
        .prints("`--chdir latin`: it is a file, and not a folder\n");
}

/// Every command answers alike, whether it takes words or paths, and whether the file is named or found in its folder.
#[test]
fn name_that_is_not_utf8_is_refused() {
    let project = Project::new();
    let folder = project.path("stacks");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join(OsStr::from_bytes(b"caf\xe9.yaml"));
    std::fs::write(&file, "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresources: []\n").unwrap();
    for command in ["validate", "plan", "apply", "destroy", "graph"] {
        for path in [&file, &folder] {
            let mut run = project.command([command]);
            run.arg(path.strip_prefix(project.path(".")).unwrap());
            let ran = project.start(run).finish().with_code(1);
            ran.prints("the name `stacks/caf\u{fffd}.yaml` is not UTF-8").prints("hint: rename the file or its folder");
        }
    }
}

/// Runs terrace without the permission to read a file or folder. `None` for root, which has every permission.
fn run_without_permission(words: &[&str], path: &str) -> Option<Ran> {
    let project = Project::with_stack("resources: [{type: local_value, name: a, config: {input: 1}}]\n");
    project.write("terrace.yaml", "environments: {local: {overlay: embedded}}\n");
    project.write("inner/raw/catalog-info.yaml", "kind: Component\n");
    project.apply().done();
    let closed = project.path(path);
    let mode = std::fs::metadata(&closed).unwrap().permissions();
    std::fs::set_permissions(&closed, Permissions::from_mode(0o0)).unwrap();
    let is_open = std::fs::read_dir(&closed).is_ok() || std::fs::File::open(&closed).is_ok();
    let ran = project.run(words.iter().copied());
    std::fs::set_permissions(&closed, mode).unwrap();
    if is_open {
        print_note("skipped: permissions do not bind this user (root)");
        return None;
    }
    assert!(!ran.stderr.contains("os error"), "{ran}");
    Some(ran.with_code(1))
}

#[test]
fn missing_permission_is_named_with_its_path_and_user() {
    let plan: &[&str] = &["plan", "stack.yaml"];
    for (words, path, permission) in [
        (plan, "terrace.yaml", "to read the file `"),
        (plan, "stack.yaml", "to read the file `stack.yaml`"),
        (&["plan", "inner"], "inner/raw", "to read and enter the folder `inner/raw`"),
        (
            &["plan", "inner", "--env", "local"],
            "inner/raw/catalog-info.yaml",
            "to read the file `inner/raw/catalog-info.yaml`",
        ),
        (plan, ".terrace/state.db", "to read the file `"),
        (plan, ".terrace", "to enter the folder `"),
    ] {
        let Some(ran) = run_without_permission(words, path) else { continue };
        let log = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let hint = format!("give the user of this process (uid {})", rustix::process::getuid().as_raw());
        assert!(log.contains(&hint) && log.contains(permission), "{path}: {ran}");
        assert!(log.contains(&format!("{path}`")), "{path} is not named: {ran}");
    }
}

#[test]
fn unreadable_state_import_error_says_what_was_expected() {
    snapshot!(run_refused(&["state", "import", "folder"]), @"
    exit: 1
    --- stderr
    error: `folder`: it is a folder, and not a file

    hint: name a file that `terrace state export --out FILE` wrote
    ");
    run_refused(&["state", "import", "latin"]).prints("`latin`: it is not UTF-8: see line 1, character 4\n");
}

#[test]
fn unusable_state_key_is_reported_where_it_is_configured() {
    let project = Project::with_stack("resources: []\n");
    project.write("folder/x", "x");
    project.write("latin", b"caf\xe9\n");
    let output_of = |key: &str| {
        project.write("terrace.yaml", format!("encryption:\n  {key}\n"));
        let ran = project.run(["plan", "stack.yaml"]).with_code(1);
        assert!(!ran.stderr.contains("os error"), "{ran}");
        assert!(ran.stderr.contains("hint: ") && ran.stderr.contains("terrace.yaml:2:"), "{ran}");
        ran
    };
    snapshot!(output_of("keyFile: nope"), @"
    exit: 1
    --- stderr
    unusable_state_key

      × the state key `[folder]/nope` cannot be read: it does not exist
       ╭─[terrace.yaml:2:12]
     2 │   keyFile: nope
       ·            ────
       ╰────
      hint: set `keyFile` to a file with a key, relative to terrace.yaml; create a key with `terrace init --state-key`
    ");
    output_of("keyFile: folder").prints("it is a folder, and not a file");
    output_of("keyFile: latin").prints("it is not UTF-8: see line 1, character 4");
    snapshot!(output_of("keyCommand: [nope, --key]"), @"
    exit: 1
    --- stderr
    unusable_state_key

      × the state key is not available: `nope` cannot be run: there is no such program
       ╭─[terrace.yaml:2:15]
     2 │   keyCommand: [nope, --key]
       ·               ─────────────
       ╰────
      hint: set `keyCommand` to a program and its arguments, `[program, argument]`: it runs without a shell
    ");
    output_of("keyCommand: [sh, -c, 'exit 3']").prints("ended with exit status: 3");
    output_of("keyCommand: folder").prints("there is no such program");
    project.write("terrace.yaml", "encryption:\n  keyFile: ${{ file(\"nope\") }}\n");
    project.run(["plan", "stack.yaml"]).with_code(1).prints("nope`: it does not exist\n");
    project.write("terrace.yaml", "encryption:\n  keyFile: nope\n");
    let doctor = project.run(["doctor"]).with_code(1);
    assert!(doctor.stdout.contains("state key: terrace.yaml:2:12: the state key `"), "{doctor}");
}

#[test]
fn slow_key_command_is_named() {
    let project = Project::with_stack("resources: []\n");
    project.make_gate("gate");
    project.write("terrace.yaml", "encryption: {keyCommand: [sh, -c, 'cat; read line < gate; echo $line']}\n");
    let running = project.start(project.command(["plan", "stack.yaml"]));
    running.wait_for_stderr("waiting for `sh`, the `keyCommand` of terrace.yaml");
    project.open_gate("gate");
    let ran = running.finish().with_code(1);
    assert!(ran.stderr.contains("a state key is the base64 of 32 bytes"), "{ran}");
}
