//! `terrace console`: expressions on the descriptor and the state.

use terrace_tests::{Project, snapshot};

const STACK: &str = r#"variables: {size: {type: int, default: 3}, token: {type: string, default: hunter2, sensitive: true}}
locals: {twice: "${{ vars.size * 2 }}"}
resources:
  - {type: local_value, name: a, config: {input: "${{ vars.size }}"}}
  - {type: local_file, name: part, forEach: '${{ {"x": 1, "y": 2} }}', config: {path: "${{ each.key }}.txt", content: "${{ string(resources.a.output) }}"}}
components:
  api: {resources: [{type: local_value, name: b, config: {input: of the api}}], outputs: {all: "${{ resources.b.output }}"}}
outputs: {path: "${{ resources.part['x'].path }}"}
"#;

fn ask(project: &Project, expressions: &[&str]) -> String {
    let flags = expressions.iter().flat_map(|expression| ["-e", *expression]);
    project.run(["console", "stack.yaml"].into_iter().chain(flags)).done().stdout
}

#[test]
fn expressions_see_the_descriptor_and_the_state() {
    let project = Project::with_stack(STACK);
    let expressions = [
        "vars.size + 1",
        "locals.twice",
        "environment",
        "resources.a.output",
        "resources.part['x'].path",
        "vars.token",
        "components['api'].outputs.all",
    ];
    insta::assert_snapshot!(ask(&project, &expressions), @r#"
    4
    6
    "local"
    (known after apply)
    "x.txt"
    (sensitive value)
    (known after apply)
    "#);
    assert!(!project.has(".terrace"), "asking made a state");
    project.apply().done();
    let recorded = project.recorded();
    insta::assert_snapshot!(ask(&project, &expressions), @r#"
    4
    6
    "local"
    3
    "x.txt"
    (sensitive value)
    "of the api"
    "#);
    assert_eq!(project.recorded(), recorded, "asking changed something");
}

#[test]
fn console_can_select_a_component() {
    let project = Project::with_stack(STACK);
    let ran = project.run(["console", "stack.yaml", "-c", "api", "-e", "resources.b.input"]).done();
    assert_eq!(ran.stdout, "\"of the api\"\n");
    project.run(["console", "stack.yaml", "-c", "apy", "-e", "1"]).with_code(1).prints("did you mean `api`?");
}

#[test]
fn errors_are_reported_with_their_places() {
    let project = Project::with_stack(STACK);
    snapshot!(project.run(["console", "stack.yaml", "-e", "resources.prt.id", "-e", "1 +", "-e", "'fine'"]), @r#"
    exit: 1
    --- stdout
    "fine"
    --- stderr
    expression_failed

      × `resources` has no `prt`
       ╭─[expression:1:5]
     1 │ ${{ resources.prt.id }}
       ·     ────────────────
       ╰────
      hint: did you mean `part`?

    expression_syntax

      × the expression ends too early
       ╭─[expression:1:8]
     1 │ ${{ 1 + }}
       ·        ─
       ╰────
      hint: an operator has no right side, or a bracket is not closed
    "#);
}

#[test]
fn standard_input_is_read_line_by_line() {
    let project = Project::with_stack(STACK);
    project.write("questions", "vars.size\n\n[1, 2].map(n, n * vars.size)\n");
    let mut command = project.command(["console", "stack.yaml"]);
    command.stdin(std::fs::File::open(project.path("questions")).unwrap());
    assert_eq!(project.start(command).finish().done().stdout, "3\n[\n  3,\n  6\n]\n");
    project.write("questions", "nothing\n");
    let mut command = project.command(["console", "stack.yaml"]);
    command.stdin(std::fs::File::open(project.path("questions")).unwrap());
    let _ = project.start(command).finish().with_code(1).prints("there is no variable `nothing` here");
}

#[test]
fn endless_line_is_refused() {
    let project = Project::with_stack(STACK);
    let mut command = project.command(["console", "stack.yaml"]);
    command.stdin(std::fs::File::open("/dev/zero").unwrap());
    let _ = project.start(command).finish().with_code(1).prints("a line is longer than 1 MiB");
    project.run(["fmt", "/dev/zero"]).with_code(1).prints("`/dev/zero` cannot be read");
}

#[test]
fn data_product_needs_a_selected_component() {
    let project = Project::with_network_status();
    let words = ["console", "data-product.yaml", "--env", "local"];
    let component =
        ["-c", "snowflake-storage-area", "-e", "resources.database.path", "-e", "component.specific.database"];
    let ran = project.run(words.into_iter().chain(component)).done();
    assert_eq!(ran.stdout, "\".terrace/local/DISTRIBUTION/NETWORKSTATUS_0.db\"\n\"DISTRIBUTION\"\n");
    let whole = ["-e", "environment", "-e", "product.name == '' ? 'none' : 'named'"];
    assert_eq!(project.run(words.into_iter().chain(whole)).done().stdout, "\"local\"\n\"named\"\n");
    for inside in ["component.specific", "resources.database.path"] {
        let ran = project.run(words.into_iter().chain(["-e", inside])).with_code(1);
        let _ = ran.prints("choose a component with `-c`: ").prints("snowflake-storage-area");
    }
}

#[test]
fn state_of_unselected_components_is_visible() {
    let project = Project::with_stack(
        r#"components:
  store: {resources: [{type: local_value, name: b, config: {input: here}}], outputs: {place: "${{ resources.b.output }}"}}
  reader:
    dependsOn: [store]
    resources: [{type: local_value, name: c, config: {input: "${{ components.store.outputs.place }}"}}]
"#,
    );
    project.apply().done();
    let expressions = ["-c", "reader", "-e", "components.store.outputs.place", "-e", "resources.c.output"];
    let ran = project.run(["console", "stack.yaml"].into_iter().chain(expressions)).done();
    assert_eq!(ran.stdout, "\"here\"\n\"here\"\n");
}

#[test]
fn stack_without_own_resources_can_be_inspected() {
    let project = Project::with_stack("variables: {x: {type: int, default: 3}}\n");
    assert_eq!(ask(&project, &["vars.x + 1", "stack"]), "4\n\"demo\"\n");
}

#[test]
fn outputs_of_other_stacks_are_the_recorded_ones() {
    let project = Project::with_stack("resources: [{type: local_value, name: a}]\n");
    let giver = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: giver}\n";
    project.write("giver.yaml", format!("{giver}outputs: {{o: {{one: [1, two]}}}}\n"));
    let evaluate = |expression: &str| project.run(["console", "stack.yaml", "-e", expression]);
    evaluate("stacks['giver'].outputs.o").with_code(1).prints("the stack `giver@local` was never applied");
    project.run(["apply", "giver.yaml", "--auto-approve"]).done();
    let text = evaluate("stacks['giver'].outputs.o").done().stdout;
    assert_eq!(text, "{\n  \"one\": [\n    1,\n    \"two\"\n  ]\n}\n");
    evaluate("stacks['giver'].outputs.p").with_code(1).prints("has no output `p`").prints("its outputs are: `o`");
    evaluate("stacks['givr'].outputs.o").with_code(1).prints("did you mean `giver`?");
    assert_eq!(evaluate("[resources.a.id, {}, []]").done().stdout, "[\n  (known after apply),\n  {},\n  []\n]\n");
}

#[test]
fn lookups_are_read_or_unknown() {
    let project = Project::with_stack(
        r#"data:
  - {type: local_file, name: there, config: {path: there.txt}}
  - {type: local_file, name: made, config: {path: made.txt}}
resources:
  - {type: local_value, name: a, config: {input: "${{ data.there.content }}"}}
  - {type: local_file, name: made, config: {path: made.txt, content: planned}}
outputs: {all: "${{ data.there.content }}"}
"#,
    );
    let expressions = ["data.there.content", "resources.a.input", "outputs.all", "data.made.content", "data.made.path"];
    let expressions = &expressions.map(|text| text.replace("outputs.all", "components[''].outputs.all"));
    let expressions: Vec<&str> = expressions.iter().map(String::as_str).collect();
    // A lookup without a result is unknown, with a reason.
    let ran = project.run(["console", "stack.yaml", "-e", "data.there.content"]).done();
    assert_eq!(ran.stdout, "(known after apply)\n");
    assert!(ran.stderr.contains("data.local_file.there has no answer"), "{}", ran.stderr);
    project.write("there.txt", "found");
    insta::assert_snapshot!(ask(&project, &expressions), @r#"
    "found"
    "found"
    "found"
    "planned"
    "made.txt"
    "#);
    assert!(!project.has(".terrace") && !project.has("made.txt"), "asking changed something");
    project.apply().done();
    let recorded = project.recorded();
    project.write("made.txt", "drifted");
    insta::assert_snapshot!(ask(&project, &["data.made.content"]), @r#""drifted""#);
    assert_eq!(project.recorded(), recorded, "asking changed something");
}
