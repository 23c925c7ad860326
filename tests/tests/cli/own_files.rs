//! Descriptors cannot use terrace's own files, and files with secrets are private.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use terrace_tests::Project;

const KEY: &str = "q83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80=";

/// A project with a state and a key file.
fn project() -> Project {
    let project = Project::new();
    project
        .write("terrace.yaml", "encryption: {keyFile: keys/state.key}\nenvironments: {local: {overlay: embedded}}\n");
    project.write("keys/state.key", KEY);
    set_permissions(project.path("keys/state.key"), Permissions::from_mode(0o600)).unwrap();
    project.write_stack("resources:\n  - {type: local_file, name: page, config: {path: page.txt, content: one}}\n");
    project.apply().done();
    project.run(["plan", "stack.yaml", "--out", "saved.plan", "--destroy"]).with_code(0);
    project.run(["state", "export", "--out", "export.json"]).done();
    project
}

#[test]
fn lookup_and_resource_of_own_file_are_refused() {
    let project = project();
    symlink("keys", project.path("linked")).unwrap();
    std::fs::hard_link(project.path(".terrace/state.db"), project.path("hard.db")).unwrap();
    let files = [
        "keys/state.key",
        "linked/state.key",
        "terrace.yaml",
        ".dppctl.yaml",
        ".terrace/state.db",
        "hard.db",
        "saved.plan",
        "export.json",
    ];
    for file in files {
        for rest in [
            format!(
                "data:\n  - {{type: local_file, name: k, config: {{path: {file}}}}}\noutputs: {{k: '${{{{ data.k.content }}}}'}}\n"
            ),
            format!(
                "resources:\n  - {{type: local_file, name: k, adopt: ifExists, config: {{path: {file}, content: x}}}}\n"
            ),
            format!("resources:\n  - {{type: local_file, name: k, config: {{path: copy, source: {file}}}}}\n"),
            format!(
                "data:\n  - {{type: sqlite_table, name: k, config: {{path: {file}, name: version}}}}\noutputs: {{k: '${{{{ json(data.k) }}}}'}}\n"
            ),
            format!("resources:\n  - {{type: sqlite_database, name: k, adopt: ifExists, config: {{path: {file}}}}}\n"),
        ] {
            project.write_named_stack("thief", &rest);
            let ran = project.run(["plan", "thief.yaml"]).with_code(1);
            let words: Vec<&str> = ran.stderr.split_whitespace().filter(|word| *word != "│").collect();
            let printed = format!("{} {}", ran.stdout, words.join(" "));
            assert!(printed.contains("which no descriptor may use"), "{file}: {rest}: {printed}");
            assert!(!printed.contains(KEY), "{printed}");
        }
    }
}

#[test]
fn descriptors_and_blueprints_are_not_overwritten() {
    let project = Project::new();
    project.write("terrace.yaml", "environments: {local: {blueprints: [own]}}\n");
    project.write("own/readme.txt", "about these blueprints");
    for file in ["stack.yaml", "./own/../stack.yaml", "own/readme.txt", "own/new.yaml", "blueprints/new.yaml"] {
        project.write_stack(&format!(
            "resources:\n  - {{type: local_file, name: k, adopt: ifExists, config: {{path: {file}, content: x}}}}\n"
        ));
        let ran = project.run(["apply", "stack.yaml", "--auto-approve"]).with_code(1);
        assert!(ran.stderr.contains("which no descriptor may"), "{file}: {}", ran.stderr);
        assert!(project.read("stack.yaml").contains("local_file"), "{file}");
    }
}

#[test]
fn key_file_writable_by_others_is_refused_and_readable_is_a_warning() {
    let project = project();
    set_permissions(project.path("keys/state.key"), Permissions::from_mode(0o644)).unwrap();
    project.run(["plan", "stack.yaml"]).with_code(0);
    let output = project.run(["doctor"]).stdout;
    assert!(output.contains("warn  key file: ") && output.contains("`chmod 600 "), "{output}");
    set_permissions(project.path("keys/state.key"), Permissions::from_mode(0o666)).unwrap();
    let output = project.run(["plan", "stack.yaml"]).with_code(1).stderr;
    assert!(output.contains("can be changed by other users") && output.contains("chmod 600"), "{output}");
    let output = project.run(["doctor"]).with_code(1).stdout;
    assert_eq!(output.matches("can be changed by other users").count(), 1, "{output}");
}

#[test]
fn log_file_is_private_and_refused_if_others_can_write_it() {
    let project = project();
    let log = project.path("run.log");
    let plan =
        || project.run_with(&[("TERRACE_LOG", "debug"), ("TERRACE_LOG_FILE", "run.log")], ["plan", "stack.yaml"]);
    plan().with_code(0);
    assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    set_permissions(&log, Permissions::from_mode(0o666)).unwrap();
    let output = plan().with_code(1).stderr;
    assert!(output.contains("can be changed by other users") && output.contains("chmod 600"), "{output}");
}

#[test]
fn shown_values_escape_invisible_characters() {
    let project = Project::new();
    project.write_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: a, content: \"x\\u202ey\\u3164z\\u2066\"}}\noutputs: {o: \"x\\u202ey\"}\n",
    );
    project.apply().done();
    for arguments in [&["show"][..], &["show", "local_file.a"], &["show", "--json"], &["output"], &["output", "--json"]]
    {
        let ran = project.run(arguments.iter().copied()).done();
        assert!(!ran.stdout.contains(['\u{202e}', '\u{3164}', '\u{2066}']), "{arguments:?}: {}", ran.stdout);
        assert!(ran.stdout.contains("\\u202e"), "{arguments:?}: {}", ran.stdout);
    }
    assert_eq!(project.run(["output", "o", "--format", "raw"]).done().stdout, "x\u{202e}y");
}

#[test]
fn principal_with_mixed_scripts_is_refused() {
    let project = Project::with_stack("resources: []\n");
    let text = "identities: {table: {\"user:\u{430}da\": {postgres: ada}}}\n";
    project.write("terrace.yaml", text);
    let output = project.run(["plan", "stack.yaml"]).with_code(1).stderr;
    assert!(output.contains("mixes letters of several scripts") && output.contains("U+0430"), "{output}");
}
