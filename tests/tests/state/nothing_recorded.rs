//! Empty states: commands report that nothing is recorded, and do not create a state.

use terrace_tests::{Project, snapshot};

const FILE: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n";

#[test]
fn drift_of_a_never_applied_stack_is_an_error() {
    let project = Project::with_stack(FILE);
    snapshot!(project.run(["drift", "stack.yaml"]), @"
    exit: 1
    --- stderr
    error: `sqlite:[folder]/.terrace/state.db` has no state of the stack `demo@local`

    hint: create it with `terrace apply FILE`, or choose another state with `--state` or `--env`
    ");
    for form in ["markdown", "json"] {
        let ran = project.run(["drift", "stack.yaml", "--format", form]).with_code(1);
        assert!(!ran.stdout.contains("No drift"), "{ran}");
        ran.prints("has no state of the stack `demo@local`");
    }
    project.apply().done();
    project.run(["drift", "stack.yaml"]).done().prints("No drift");
    project.run(["--state", "sqlite:other.db", "drift", "stack.yaml"]).with_code(1).prints("other.db");
    assert!(!project.has("other.db"), "a state was made");
    project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    project.run(["drift", "stack.yaml"]).done().prints("No drift");
}

#[test]
fn drift_of_all_stacks_reports_that_there_are_none() {
    let project = Project::with_stack(FILE);
    snapshot!(project.run(["drift", "--all"]), @"
    exit: 0
    --- stdout
    The state has no resources of this environment, so nothing drifted.
    ");
    snapshot!(project.run(["drift", "--all", "--format", "markdown"]), @"
    exit: 0
    --- stdout
    ### terrace drift

    The state has no resources of this environment, so nothing drifted.

    Checked with `terrace drift --all`
    ");
    assert_eq!(project.run(["drift", "--all", "--json"]).done().json()["drifted"], serde_json::json!([]));
    project.apply().done();
    project.write("terrace.yaml", "environments:\n  local: {overlay: embedded}\n  other: {overlay: embedded}\n");
    snapshot!(project.run(["drift", "--all", "--env", "other"]), @"
    exit: 0
    --- stdout
    The state has no resources of this environment, so nothing drifted.
    --- stderr
    the environment `other` has no resources in sqlite:[folder]/.terrace/state.db; choose another with `--env`: `local`
    ");
}

#[test]
fn refused_command_or_one_without_work_creates_no_state() {
    let project = Project::with_stack(FILE);
    for (words, code) in [
        (&["recover"] as &[&str], 0),
        (&["recover", "--json"], 0),
        (&["state", "prune", "--keep", "30d"], 0),
        (&["state", "rm", "local_file.a"], 1),
        (&["state", "mv", "local_file.a", "local_file.b"], 1),
        (&["state", "rekey"], 1),
        (&["state", "upgrade"], 0),
        (&["state", "rollback", "demo@local", "--to", "1"], 1),
        (&["taint", "local_file.a"], 1),
        (&["unlock", "x", "--auto-approve"], 1),
        (&["operations", "cancel", "x"], 1),
        (&["import", "demo@local:local_file.a", "out/a"], 1),
        (&["destroy", "stack.yaml", "--auto-approve"], 0),
    ] {
        project.run(words.iter().copied()).with_code(code);
        assert!(!project.has(".terrace"), "{words:?} made a state");
    }
    let key =
        project.run_with(&[("TERRACE_STATE_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")], ["state", "rekey"]);
    key.done().prints("the state has no values to seal");
    assert!(!project.has(".terrace"), "a state was made");
}

#[test]
fn refused_saved_plan_creates_no_state_and_names_both_states() {
    let project = Project::with_stack(FILE);
    project.apply().done();
    project.edit("stack.yaml", "one", "two");
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    std::fs::create_dir(project.path("elsewhere")).unwrap();
    snapshot!(project.run(["--state", "sqlite:elsewhere/other.db", "apply", "plan"]), @"
    exit: 4
    --- stderr
    error: this plan was made for another state
      planned for  sqlite:[folder]/.terrace/state.db ([uuid])
      this one is  sqlite:[folder]/elsewhere/other.db (nothing is recorded there)

    hint: apply it in the folder where it was made, with the same `--state`, or plan again
    ");
    assert_eq!(std::fs::read_dir(project.path("elsewhere")).unwrap().count(), 0, "a state was made");
    let other = Project::new();
    other.copy(&project.path("plan"), "plan");
    let refused = other.run(["apply", "plan"]).with_code(4);
    refused.prints(&format!("{}/.terrace/state.db", other.path("").canonicalize().unwrap().display()));
    assert!(!other.has(".terrace"), "a state was made");
}

#[test]
fn saved_plan_with_another_digest_creates_no_state() {
    let project = Project::with_stack(FILE);
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    project.run(["apply", "plan", "--plan-digest", &"0".repeat(64)]).with_code(4);
    assert!(!project.has(".terrace"), "a state was created");
}

#[test]
fn empty_list_names_what_is_missing() {
    let project = Project::with_stack("resources: []\n");
    for (words, expected) in [
        (&["state", "list"] as &[&str], "the state has no resources"),
        (&["state", "list", "--all"], "the state has no resources"),
        (&["stacks", "list"], "there are no stacks in this state"),
        (&["operations", "list"], "there are no operations in this state"),
        (&["leases", "list"], "no leases are held"),
    ] {
        let ran = project.run(words.iter().copied()).done();
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", format!("{expected}\n").as_str()), "{words:?}");
        let quiet = project.run(words.iter().copied().chain(["-q"])).done();
        assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""), "{words:?}");
        let json = project.run(words.iter().copied().chain(["--json"])).done();
        assert_eq!((json.json(), json.stderr.as_str()), (serde_json::json!([]), ""), "{words:?}");
    }
    project.run(["graph", "stack.yaml"]).done().prints("there are no resources to draw");
}
