//! Partial plans, replacement on request, and plans that only record drift.

use terrace_tests::{Project, snapshot};

const THREE: &str = r#"resources:
  - {type: local_file, name: a, config: {path: out/a, content: one}}
  - {type: local_file, name: b, config: {path: out/b, content: '${{ "after " + resources.a.sha256 }}'}}
  - {type: local_file, name: c, forEach: [x, y], config: {path: '${{ "out/" + each.key }}', content: c}}
"#;

#[test]
fn target_includes_its_dependencies() {
    let project = Project::with_stack(THREE);
    snapshot!(project.run(["apply", "stack.yaml", "--auto-approve", "--target", "local_file.b"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      + local_file.a
          + path        = "out/a"
          + content     = "one"
          + mode        = "0644"
          + sensitive   = false
          + makeParents = true
          + sha256      = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
          + size        = 3
          + id          = "out/a"
      + local_file.b
          + path        = "out/b"
          + content     = "after 7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
          + mode        = "0644"
          + sensitive   = false
          + makeParents = true
          + sha256      = "8f01bfe7c0375fb522810a805a19b4dff4be752706d5537a9434715f673ab12b"
          + size        = 70
          + id          = "out/b"

    Plan: 2 to add, 0 to change, 0 to destroy.

    Apply complete! Resources: 2 added, 0 changed, 0 destroyed.
    --- stderr
    partial_plan

      ⚠ the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes

    local_file.a: creating...
    local_file.a: created after [duration]
    local_file.b: creating...
    local_file.b: created after [duration]
    "#);
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\nlocal_file.b\n");
    let json = project.run(["plan", "stack.yaml", "--json", "--target=local_file.b"]).done().json();
    assert_eq!(json["complete"], false);
    project.run(["apply", "stack.yaml", "--auto-approve", "--exclude", "local_file.c[\"x\"]"]).done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.a\nlocal_file.b\nlocal_file.c[\"y\"]\n");
    snapshot!(project.run(["destroy", "demo@local", "--auto-approve", "--target", "demo@local:local_file.a"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      - local_file.a
      - local_file.b

    Plan: 0 to add, 0 to change, 2 to destroy.

    Destroy complete! Resources: 2 destroyed.
    --- stderr
    partial_plan

      ⚠ the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes

    local_file.b: deleting...
    local_file.b: deleted after [duration]
    local_file.a: deleting...
    local_file.a: deleted after [duration]
    ");
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.c[\"y\"]\n");
}

#[test]
fn mistyped_target_changes_nothing() {
    let project = Project::with_stack(THREE);
    project.apply().done();
    let recorded = project.recorded();
    snapshot!(project.run(["apply", "stack.yaml", "--auto-approve", "--target", "local_file.bb"]), @r#"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    partial_plan

      ⚠ the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes

    unknown_resource

      × `--target local_file.bb` names no resource
      hint: there are: `local_file.a`, `local_file.b`, `local_file.c`, `local_file.c["x"]`, `local_file.c["y"]`
    "#);
    snapshot!(project.run(["plan", "stack.yaml", "--target", "b"]), @r#"
    exit: 1
    --- stderr
    error: --target: `b` is not an address: expected `[component/]type.name` or `[component/]type.name["key"]`

    hint: the plan without this option shows the addresses
    "#);
    snapshot!(project.run(["plan", "stack.yaml", "--replace", "local_file.c"]), @r#"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    replace_without_key

      × `--replace local_file.c` names all instances of a resource
      hint: name instances: `local_file.c["x"]`, `local_file.c["y"]`
    "#);
    snapshot!(project.run(["destroy", "demo@local", "--replace", "local_file.a"]), @"
    exit: 1
    --- stderr
    error: `terrace destroy` has no option `--replace`

    hint: it has no effect on a removal: leave it out
    ");
    snapshot!(project.run(["plan", "stack.yaml", "-replace=local_file.a"]), @"
    exit: 1
    --- stderr
    error: `-replace=local_file.a` begins with one dash: long options begin with two

    hint: write `--replace=local_file.a`
    ");
    assert_eq!(project.recorded(), recorded);
}

#[test]
fn object_is_replaced_on_request() {
    let project = Project::with_stack(THREE);
    project.apply().done();
    snapshot!(project.run(["apply", "stack.yaml", "--auto-approve", "--replace", "local_file.c[\"x\"]"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      -/+ local_file.c["x"]   will be replaced, as requested
          (8 unchanged attributes hidden)

    Plan: 1 to add, 0 to change, 1 to destroy.
    (1 replaced)

    Apply complete! Resources: 1 added, 0 changed, 1 destroyed.
    --- stderr
    local_file.c["x"]: deleting...
    local_file.c["x"]: deleted after [duration]
    local_file.c["x"]: creating...
    local_file.c["x"]: created after [duration]
    "#);
    let json = project.run(["plan", "stack.yaml", "--json", "--replace=local_file.a"]).done().json();
    assert_eq!(json["resource_changes"][0]["action_reason"], "replace_by_request");
}

#[test]
fn refresh_only_records_drift_and_changes_no_object() {
    let project = Project::with_stack(THREE);
    project.apply().done();
    project.write("out/a", "edited");
    std::fs::remove_file(project.path("out/x")).unwrap();
    snapshot!(project.run(["plan", "stack.yaml", "--refresh-only", "--detailed-exitcode"]), @r#"
    exit: 2
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

        local_file.a        changed outside terrace, is recorded
          drifted: recorded → found
              ~ content = "one" → "edited"
              ~ sha256  = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c…" → "1fb9f4097256db2d7b1e13aff79cee44339891a31c556…"
              ~ size    = 3 → 6
      . local_file.c["x"]   dropped from state: was deleted outside terrace

    Plan: 0 to add, 0 to change, 0 to destroy.
    (1 forgotten, 1 drifted)
    This is a refresh-only plan: apply records the objects as they are, and changes nothing else.
    "#);
    snapshot!(project.run(["apply", "stack.yaml", "--refresh-only", "--auto-approve"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

        local_file.a        changed outside terrace, is recorded
          drifted: recorded → found
              ~ content = "one" → "edited"
              ~ sha256  = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c…" → "1fb9f4097256db2d7b1e13aff79cee44339891a31c556…"
              ~ size    = 3 → 6
      . local_file.c["x"]   dropped from state: was deleted outside terrace

    Plan: 0 to add, 0 to change, 0 to destroy.
    (1 forgotten, 1 drifted)
    This is a refresh-only plan: apply records the objects as they are, and changes nothing else.

    Apply complete! Resources: 0 added, 0 changed, 0 destroyed.
    --- stderr
    local_file.c["x"]: forgotten after [duration]
    "#);
    assert_eq!(project.read("out/a"), "edited");
    project.run(["drift", "stack.yaml"]).done();
    snapshot!(project.run(["plan", "stack.yaml", "--refresh-only"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    No changes. Your infrastructure matches the configuration.
    ");
    project.apply().done();
    assert_eq!(project.read("out/a"), "one");
}

#[test]
fn outputs_and_checks_outside_a_target_are_unchanged() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: ta.txt, content: A}}\n  \
         - {type: local_file, name: b, config: {path: tb.txt, content: B}}\n\
         data: [{type: local_file, name: d, config: {path: ta.txt}, dependsOn: [a]}]\n\
         outputs: {d: '${{ data.d.content }}'}\n\
         checks: [{assert: '${{ resources.a.sha256 != \"none\" }}', error: no digest}]\n",
    );
    project.apply().done();
    project.edit("stack.yaml", "content: B", "content: C");
    let ran = project.run(["apply", "stack.yaml", "--target", "local_file.b", "--auto-approve"]).done();
    assert!(!ran.stderr.contains("check"), "{ran:?}");
    assert_eq!(project.run(["output", "d", "--format", "raw"]).done().stdout.trim_end(), "A");
}

#[test]
fn partial_plan_is_labelled_even_without_changes() {
    let project = Project::with_stack(
        "components:\n  one: {resources: [{type: local_value, name: a, config: {input: 1}}]}\n  \
         two: {resources: [{type: local_value, name: a, config: {input: 2}}]}\n",
    );
    project.run(["plan", "stack.yaml", "-c", "one"]).done().prints("\nThis is a plan of `one` only.\n");
    project.apply().done();
    snapshot!(project.run(["plan", "stack.yaml", "-c", "one"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    No changes. Your infrastructure matches the configuration.
    Checked only `one`: the rest may differ.
    ");
    let comment = project.run(["plan", "stack.yaml", "-c", "one", "--format", "markdown"]).done().stdout;
    assert!(comment.contains("\nChecked only `one`: the rest may differ.\n"), "{comment}");
    snapshot!(project.run(["plan", "stack.yaml", "--target", "two/local_value.a"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    No changes. Your infrastructure matches the configuration.
    Only the named resources were checked: the others may differ.
    --- stderr
    partial_plan

      ⚠ the plan is partial: all other resources stay as they are
      hint: plan without `--target` and `--exclude` to see all changes
    ");
    let whole = project.run(["plan", "stack.yaml"]).done();
    assert!(!whole.stdout.contains("may differ") && !whole.stdout.contains("only"), "{whole}");
    project.write_stack(
        "resources:\n  - {type: local_value, name: a, config: {input: 1}}\n  \
         - {type: local_value, name: b, config: {input: 1}}\n",
    );
    project.apply().done();
    let target = project.run(["plan", "stack.yaml", "--target", "local_value.a"]).done();
    assert!(target.stdout.contains("\nOnly the named resources were checked: the others may differ.\n"), "{target}");
}

#[test]
fn single_component_reports_undeployed_dependencies() {
    let project = Project::with_stack(
        "components:\n  base: {resources: [{type: local_value, name: v, config: {input: one}}]}\n  \
         top: {dependsOn: [base], resources: [{type: local_value, name: w, config: {input: two}}]}\n",
    );
    let expected = "`top` depends on `base`, which is not deployed";
    let alone = project.run(["plan", "stack.yaml", "-c", "top"]).done();
    alone.prints(expected).prints("add `-c base`");
    let both = project.run(["plan", "stack.yaml", "-c", "top", "-c", "base"]).done();
    assert!(!both.stderr.contains("not deployed"), "{both}");
    project.run(["apply", "stack.yaml", "-c", "base", "--auto-approve"]).done();
    let after = project.run(["plan", "stack.yaml", "-c", "top"]).done();
    assert!(!after.stderr.contains("not deployed"), "{after}");
    project.run(["apply", "stack.yaml", "-c", "top", "--auto-approve"]).done();
    project.assert_settled("stack.yaml", &["-c", "top"]);
}

#[test]
fn misplaced_component_options_and_addresses_are_explained() {
    let project =
        Project::with_stack("components: {api: {resources: [{type: local_value, name: v, config: {input: one}}]}}\n");
    project.apply().done();
    project
        .run(["drift", "-c", "api"])
        .with_code(1)
        .prints("`terrace drift` has no option `-c`")
        .prints("--refresh-only");
    for component in ["api", "api/"] {
        let refused = project.run(["state", "mv", component, "other/"]).with_code(1);
        refused.prints("`api` is a component").prints("`moved: [{from: api/, to: OTHER/}]`");
    }
}
