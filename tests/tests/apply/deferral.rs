//! Deferral with the built-in providers: changes that depend on a command's output are left for another apply.

use serde_json::Value as Json;
use terrace_tests::{Project, snapshot};

/// A command whose output lists files, and a note about them.
fn project(names: &str) -> Project {
    let project = Project::with_stack(
        r#"resources:
  - type: local_command
    name: list
    config: {create: [cat, names.json], update: [cat, names.json], input: '${{ vars.round }}'}
  - type: local_value
    name: known
    config: {input: '${{ vars.round }}'}
  - type: local_file
    name: each
    forEach: ${{ resources.list.output.names }}
    config: {path: '${{ "out/" + each.key + ".txt" }}', content: "${{ each.key }}\n"}
  - type: local_file
    name: note
    config: {path: out/note.txt, content: '${{ string(size(resources.each)) }}'}
outputs: {count: '${{ size(resources.each) }}', round: '${{ resources.known.input }}'}
variables: {round: {type: int, default: 1}}
"#,
    );
    project.write("names.json", names);
    project
}

#[test]
fn two_applies_create_what_depends_on_a_command() {
    let project = project(r#"{"names": ["a", "b"]}"#);
    let refused = project.run(["plan", "stack.yaml"]);
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("--allow-deferral`"), "{refused}");
    snapshot!(project.run(["plan", "--allow-deferral", "stack.yaml"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      + local_command.list
          + create = ["cat", "names.json"]
          + update = ["cat", "names.json"]
          + input  = 1
          + output = (known after apply)
          + id     = (known after apply)
      + local_value.known
          + input  = 1
          + id     = (known after apply)
          + output = (known after apply)

      outputs
      + round = 1

      left for another apply
        local_file.each[*]   its instances are known after local_command.list
        local_file.note      comes after local_file.each

    Plan: 2 to add, 0 to change, 0 to destroy.
    2 resources left for later: once this plan is applied, another `terrace apply stack.yaml --env local --allow-deferral`
    goes on from there.
    "#);
    let first = project.run(["apply", "--allow-deferral", "--auto-approve", "stack.yaml"]).done();
    let expected = "2 added, 0 changed, 0 destroyed.\n2 resources left: `terrace apply stack.yaml --env local --allow-deferral` goes on from here.";
    assert!(first.stdout.contains(expected), "{first}");
    assert!(!project.path("out").exists(), "deferred objects are not created");
    let second = project.run(["apply", "--allow-deferral", "--auto-approve", "stack.yaml"]).done();
    assert!(second.stdout.contains("3 added, 0 changed, 0 destroyed.\n\nOutputs:\n  count = 2\n"), "{second}");
    assert_eq!(project.read("out/note.txt"), "2");
    let plan = project.run(["plan", "--detailed-exitcode", "stack.yaml"]);
    assert_eq!(plan.code, 0, "{plan}");
}

#[test]
fn recorded_instances_stay_while_their_command_is_deferred() {
    let project = project(r#"{"names": ["a", "b"]}"#);
    let apply = ["apply", "--allow-deferral", "--auto-approve", "--var", "round=1", "stack.yaml"];
    project.run(apply).done();
    project.run(apply).done();
    project.write("names.json", r#"{"names": ["b", "c"]}"#);
    let apply = apply.map(|word| if word == "round=1" { "round=2" } else { word });
    let again = project.run(apply).done();
    assert!(again.stdout.contains("0 added, 2 changed, 0 destroyed.\n2 resources left"), "{again}");
    assert!(again.stdout.contains("Outputs:\n  count = 2\n  round = 2\n"), "outputs of deferred values stay: {again}");
    assert!(project.path("out/a.txt").exists() && !project.path("out/c.txt").exists());
    let last = project.run(apply).done();
    assert!(last.stdout.contains("1 added, 0 changed, 1 destroyed."), "{last}");
    assert!(!project.path("out/a.txt").exists() && project.path("out/c.txt").exists());
}

#[test]
fn saved_plan_reports_its_deferred_changes_to_users_and_programs() {
    let project = project(r#"{"names": ["a"]}"#);
    let plan = project.run([
        "plan",
        "--allow-deferral",
        "--out",
        "p",
        "--detailed-exitcode",
        "--format",
        "json",
        "stack.yaml",
    ]);
    assert_eq!(plan.code, 2, "{plan}");
    let output: Json = serde_json::from_str(&plan.stdout).unwrap();
    let left: Vec<&Json> =
        output["deferred_changes"].as_array().unwrap().iter().map(|it| &it["resource_change"]["address"]).collect();
    assert_eq!(
        (output["complete"].as_bool(), left),
        (Some(false), vec![&Json::from("local_file.each[*]"), &"local_file.note".into()])
    );
    let shown = project.run(["show", "p"]).done();
    assert!(shown.stdout.contains("left for another apply\n    local_file.each[*]"), "{shown}");
    let lines = project.run(["plan", "--allow-deferral", "--format", "json-stream", "stack.yaml"]).done();
    assert_eq!(lines.stdout.matches("\"type\":\"deferred_change\"").count(), 2, "{lines}");
    let applied = project.run(["apply", "p"]).done();
    assert!(
        applied
            .stdout
            .contains("2 resources left: `terrace apply stack.yaml --env local --allow-deferral` goes on from here."),
        "{applied}"
    );
    let flag = project.run(["apply", "--allow-deferral", "p"]);
    assert!(flag.code == 1 && flag.stderr.contains("`--allow-deferral` has no effect on a saved plan"), "{flag}");
    let destroy = project.run(["destroy", "--allow-deferral", "stack.yaml"]);
    assert!(
        destroy.code == 1 && destroy.stderr.contains("`terrace destroy` has no option `--allow-deferral`"),
        "{destroy}"
    );
}

#[test]
fn plan_with_errors_does_not_mention_its_apply() {
    let project = project(r#"{"names": ["a"]}"#);
    let secret = "  - {type: local_value, name: secret, config: {input: '${{ vars.token }}'}}\noutputs:";
    project.edit("stack.yaml", "outputs:", secret);
    project.edit("stack.yaml", "variables: {", "variables: {token: {type: string, sensitive: true, default: x}, ");
    let plan = project.run(["plan", "--allow-deferral", "stack.yaml"]).with_code(1);
    plan.prints("2 resources left for later.\n").prints("This plan has errors and cannot be applied.");
    assert!(!plan.stdout.contains("once this plan is applied"), "{plan}");
}

#[test]
fn hint_for_the_next_apply_names_the_environment() {
    let project = project(r#"{"names": ["a"]}"#);
    project.write("terrace.yaml", "environments: {staging: {overlay: embedded}, live: {overlay: embedded}}\n");
    let expected = "`terrace apply stack.yaml --env staging --allow-deferral`";
    let refused = project.run(["plan", "--env", "staging", "stack.yaml"]);
    assert_eq!(refused.code, 1, "{refused}");
    let unwrapped = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unwrapped.contains("`terrace apply stack.yaml --env staging --target"), "{refused}");
    let command = ["--allow-deferral", "--env", "staging", "stack.yaml"];
    project.run([&["plan"][..], &command].concat()).done().prints(expected);
    let first = project.run([&["apply", "--auto-approve"][..], &command].concat()).done();
    first.prints(expected);
    let second = project.run(["apply", "stack.yaml", "--env", "staging", "--allow-deferral", "--auto-approve"]).done();
    assert!(second.stdout.contains("added, 0 changed, 0 destroyed.\n\nOutputs:\n  count = 1\n"), "{second}");
}
