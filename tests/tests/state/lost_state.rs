//! The state file disappears while terrace works. terrace saves the records, and the next run continues from the saved
//! file.

use crate::server::requests::{product, project as served};
use terrace_tests::served::Served;
use terrace_tests::{Project, until};

/// Creates a project with a resource whose `create` first runs `to_the_state`, a command that damages the state.
fn project(to_the_state: &str) -> Project {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: first, config: {path: first.txt, content: x}}\n  \
         - type: local_command\n    name: thing\n    dependsOn: [first]\n    config:\n      create: [sh, make.sh]\n      \
         find: [sh, -c, 'cat object 2>/dev/null || echo null']\n      delete: [rm, object]\n  \
         - {type: local_file, name: last, dependsOn: [thing], config: {path: last.txt, content: x}}\n",
    );
    project.write(
        "make.sh",
        format!("cat > request\nread line < gate\n{to_the_state}\necho made >> log\necho '{{\"id\": \"thing\"}}' | tee object\n"),
    );
    project.make_gate("gate");
    project
}

/// Waits until the state has recorded `programs` processes. terrace stops a process that it cannot record.
fn until_recorded(project: &Project, programs: i64) {
    let recorded = || {
        // The check must not create the file: an empty file is an emptied state.
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let state = rusqlite::Connection::open_with_flags(project.path(".terrace/state.db"), flags);
        let sql = "SELECT count(*) FROM intent WHERE length(private) > 0";
        state
            .and_then(|state| state.query_row(sql, [], |row| row.get::<_, i64>(0)))
            .is_ok_and(|count| count == programs)
    };
    until("the processes are recorded", recorded);
}

/// Applies until terrace notices the missing state, restores the saved file and applies again.
fn check_apply_continues_from_saved_state(project: &Project) {
    let running = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    until_recorded(project, 1);
    project.open_gate("gate");
    let ran = running.finish().with_code(1);
    ran.prints("was deleted or replaced while it was in use").prints("then `terrace recover`");
    assert!(!project.has("last.txt"), "nothing new begins");
    let named = ran.stderr.split('`').find(|word| word.contains(".saved-")).unwrap();
    if !project.has(".terrace/state.db") {
        project.run(["state", "list"]).done().prints("is a copy of a lost state: move the copy to the path of");
        let again = project.run(["apply", "stack.yaml", "--auto-approve"]).with_code(4);
        again.prints("is a copy of it").prints("or move the copy elsewhere, to start with an empty state");
    }
    project.run(["doctor"]).prints("is a copy of a state file that was lost while in use");
    std::fs::rename(named, project.path(".terrace/state.db")).unwrap();
    project.run(["recover"]).done();
    project.apply().done();
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.read("log"), "made\n", "it is made once");
    assert_eq!(project.run(["state", "list"]).done().stdout.lines().count(), 3);
    project.run(["doctor"]).done();
}

#[test]
fn state_deleted_during_an_apply_is_saved() {
    check_apply_continues_from_saved_state(&project("rm .terrace/state.db"));
}

#[test]
fn state_replaced_during_an_apply_is_saved() {
    let project = project("mv backup.db .terrace/state.db");
    let other = Project::with_stack("resources:\n  - {type: local_value, name: a, config: {input: 1}}\n");
    other.apply().done();
    project.copy(&other.path(".terrace/state.db"), "backup.db");
    check_apply_continues_from_saved_state(&project);
}

#[test]
fn state_whose_folder_moves_during_an_apply_is_saved() {
    check_apply_continues_from_saved_state(&project("mv .terrace elsewhere"));
}

#[test]
fn step_that_ends_after_the_state_is_lost_is_saved() {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: gone\n    config: {create: [sh, gone.sh]}\n  \
         - type: local_command\n    name: late\n    config: {create: [sh, late.sh]}\n",
    );
    // `late` ends after terrace has noticed the lost state.
    project.make_gate("gate");
    project.write("gone.sh", "read line < gate\nrm .terrace/state.db\necho '{}'\n");
    let wait = "until ls .terrace/state.db.saved-*Z-*[0-9]; do sleep 0.05; done >&2";
    project.write("late.sh", format!("{wait}\necho made >> log\necho '{{}}'\n"));
    let running = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    until_recorded(&project, 2);
    project.open_gate("gate");
    let ran = running.finish().with_code(1);
    ran.prints("was deleted or replaced while it was in use");
    let named = ran.stderr.split('`').find(|word| word.contains(".saved-")).unwrap();
    std::fs::rename(named, project.path(".terrace/state.db")).unwrap();
    assert_eq!(project.run(["state", "list"]).done().stdout.lines().count(), 2);
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(project.read("log"), "made\n");
}

#[test]
fn destroy_without_a_state_finds_objects_known_to_a_program_only() {
    let project = Project::with_stack(
        "resources:\n  - type: local_command\n    name: thing\n    config:\n      \
         create: [sh, -c, 'cat > request; echo \"{\\\"id\\\": \\\"thing\\\"}\" | tee object']\n      \
         find: [sh, -c, 'cat object 2>/dev/null || echo null']\n      delete: [rm, object]\n",
    );
    project.apply().done();
    std::fs::remove_dir_all(project.path(".terrace")).unwrap();
    let destroy = ["destroy", "stack.yaml", "--auto-approve"];
    project.run(destroy).done().prints("- local_command.thing   exists, and is not in the state").prints("1 destroyed");
    assert!(!project.has("object"));
    project.run(destroy).done().prints("No changes.");
}

#[test]
fn request_refused_while_the_state_is_gone_is_not_run_after_restore() {
    let project = served();
    let text = product(&["a"]);
    let server = Served::start(&project, &[]);
    assert_eq!(server.wait_for_end(&server.submit("/v1/provision", &text))["status"], "COMPLETED");
    std::fs::remove_file(project.path(".terrace/state.db")).unwrap();
    let body = serde_json::json!({"descriptorKind": "DATAPRODUCT_DESCRIPTOR", "descriptor": text}).to_string();
    let refused = server.call("POST", "/v1/unprovision", &body);
    assert_eq!(refused.status, 503, "{refused:?}");
    let saved = || {
        let copies = std::fs::read_dir(project.path(".terrace")).unwrap().map(|entry| entry.unwrap().path());
        copies.into_iter().find(|path| path.to_string_lossy().contains(".saved-"))
    };
    let put = "move it to the original path, restart all processes";
    until("the loss is logged", || server.stderr().contains(put));
    // The saved file is deleted too: the server saves it again.
    std::fs::remove_file(saved().unwrap()).unwrap();
    assert_eq!(server.call("POST", "/v1/unprovision", &body).status, 503);
    std::fs::rename(saved().unwrap(), project.path(".terrace/state.db")).unwrap();
    // The server does not save again over newer records.
    let back = server.call("POST", "/v1/unprovision", &body);
    assert_eq!((back.status, saved()), (503, None), "{back:?}");
    until("the loss is logged", || server.stderr().contains("the file is back: restart all processes"));
    drop(server);
    let listed = project.run(["operations", "list", "--json"]).done();
    assert!(!listed.stdout.contains("unprovision"), "{listed}");
    assert!(project.has("made-a"));
}
