//! `terrace stacks`: a stack is known if its state has, or had, a resource.

use terrace_tests::{Project, snapshot};

fn grown() -> Project {
    let project =
        Project::with_stack("resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n");
    project.apply().done();
    project
}

#[test]
fn destroyed_stack_is_not_listed_and_can_be_destroyed_again() {
    let project = grown();
    project.run(["destroy", "demo@local", "--auto-approve"]).done();
    assert_eq!(project.run(["stacks", "list"]).done().stdout, "");
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
    for stack in ["demo@local", "demo", "stack.yaml"] {
        project.run(["destroy", stack, "--auto-approve"]).done().prints("No changes. There is nothing to destroy.");
        assert_eq!(project.run(["--stack", "demo@local", "state", "list"]).done().stdout, "");
    }
}

#[test]
fn unknown_stack_is_an_error_and_empty_stack_is_not() {
    let project = grown();
    snapshot!(project.run(["--stack", "dmo@local", "state", "list"]), @"
    exit: 1
    --- stderr
    error: there is no stack `dmo@local`

    hint: did you mean `demo@local`?
    ");
    for words in [&["output"] as &[&str], &["show"], &["state", "show", "local_file.a"]] {
        let ran = project.run(["--stack", "dmo@local"].into_iter().chain(words.iter().copied()));
        ran.with_code(1).prints("there is no stack `dmo@local`");
    }
}

#[test]
fn rollback_restores_destroyed_and_removed_resources() {
    let project = grown();
    let first = project.run(["operations", "list"]).done().stdout;
    let first = first.split_whitespace().next().unwrap().to_owned();
    let back = ["state", "rollback", "demo@local", "--to", &first, "--auto-approve"];
    project.run(["state", "rm", "local_file.a"]).done();
    project.run(back).done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\n");
    project.run(["destroy", "demo@local", "--auto-approve"]).done();
    project.run(back).done();
    assert_eq!(project.read("out/a"), "one");
    project.run(["state", "rm", "local_file.a"]).done();
    project.run(["state", "rollback", "local_file.a", "--to", "1", "--auto-approve"]).done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\n");
}

#[test]
fn first_object_of_a_stack_can_be_imported() {
    let project = Project::new();
    project.write("out/a.txt", "x");
    project.run(["--stack", "new@local", "import", "local_file.a", "out/a.txt"]).done();
    assert_eq!(project.run(["stacks", "list"]).done().stdout, "new@local\n");
}

#[test]
fn stack_flag_selects_one_of_the_declared_stacks() {
    let project = Project::new();
    for name in ["one", "two"] {
        let file = format!("path: out/{name}, content: a");
        let stack = format!("resources:\n  - {{type: local_file, name: a, config: {{{file}}}}}\n");
        project.write_named_stack(name, &stack);
    }
    let both = ["one.yaml", "two.yaml"];
    let run = |words: &[&'static str]| project.run(words.iter().copied().chain(both));
    for word in ["plan", "validate", "graph"] {
        let ran = run(&[word, "--stack", "two@local"]).done();
        assert!(!ran.stdout.contains("one"), "{ran}");
    }
    let commented = run(&["plan", "--stack", "two@local", "--format", "markdown"]).done();
    assert!(commented.stdout.contains("terrace plan --stack two@local one.yaml two.yaml"), "{commented}");
    run(&["apply", "--stack", "two@local", "--auto-approve"]).done();
    assert!(project.has("out/two") && !project.has("out/one"));
    run(&["drift", "--stack", "two@local"]).done();
    run(&["apply", "--auto-approve"]).done();
    let removal = run(&["plan", "--destroy", "--stack", "one@local"]).done();
    assert!(!removal.stdout.contains("two@local"), "{removal}");
    run(&["destroy", "--stack", "one@local", "--auto-approve"]).done();
    assert!(project.has("out/two") && !project.has("out/one"));
    for word in ["plan", "apply", "destroy", "drift", "validate"] {
        let ran = run(&[word, "--stack", "tow@local"]).with_code(1);
        assert_eq!(
            ran.stderr,
            "error: --stack: no descriptor declares the stack `tow@local`\n\nhint: did you mean `two@local`?\n\
             hint: choose one of: `one@local`, `two@local`\n",
            "{word}"
        );
    }
    run(&["plan", "--stack", "two@prod"]).with_code(1).prints("the stack `two@prod` is not in the environment `local`");
}

#[test]
fn stack_flag_without_effect_is_refused() {
    let project = Project::with_stack("resources:\n  - {type: local_value, name: a, config: {input: 1}}\n");
    project.apply().done();
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    snapshot!(project.run(["apply", "plan", "--stack", "other@local"]), @"
    exit: 1
    --- stderr
    error: `--stack` has no effect on a saved plan

    hint: pass `--stack` to `terrace plan`, and save that plan
    ");
    snapshot!(project.run(["destroy", "demo@local", "--stack", "other@local"]), @"
    exit: 1
    --- stderr
    error: `--stack other@local` has no effect with `demo@local`

    hint: name the stacks without `--stack`; use `--stack` only with descriptors
    ");
    project.run(["drift", "--all", "--stack", "demo@local"]).with_code(1).prints("has no effect with `--all`");
}

#[test]
fn recovery_checks_the_stack_given_by_flag() {
    let project = Project::with_stack("resources: [{type: local_value, name: a, config: {input: 1}}]\n");
    project.apply().done();
    project.run(["recover", "--stack", "demo@local"]).done();
    project.run(["recover", "--stack", "demmo@local"]).with_code(1).prints("did you mean `demo@local`?");
}
