//! Plans as text: nothing is shown twice, and nothing important is cut.

use terrace_tests::{Project, snapshot};

const KEY: &str = "q83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80=";
const COMMAND: &str = r#"resources:
  - type: local_command
    name: login
    config:
      create: [sh, -c, 'cat > /dev/null; echo "{}"']
      update: [sh, -c, 'cat > /dev/null; echo "{}"']
      input: 1
      secretEnvironment: {TOKEN: one}
"#;

#[test]
fn change_of_a_write_only_value_is_shown_once() {
    let project = Project::with_stack(COMMAND);
    let run = |words: &[&str]| project.run_with(&[("TERRACE_STATE_KEY", KEY)], words.iter().copied()).done();
    run(&["apply", "stack.yaml", "--auto-approve", "-q"]);
    project.edit("stack.yaml", "TOKEN: one", "TOKEN: two");
    snapshot!(run(&["plan", "stack.yaml"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      ~ local_command.login   secretEnvironment changed
          ~ output = (sensitive value) → (known after apply)
          ~ id     = (sensitive value) → (known after apply)
          (3 unchanged attributes hidden)
          ~ secretEnvironment = (sensitive, changed)

    Plan: 0 to add, 1 to change, 0 to destroy.
    ");
}

#[test]
fn unchanged_write_only_value_is_not_shown_with_other_changes() {
    let project = Project::with_stack(COMMAND);
    let run = |words: &[&str]| project.run(words.iter().copied().chain(["--plaintext-secrets"])).done();
    run(&["apply", "stack.yaml", "--auto-approve", "-q"]);
    project.assert_settled("stack.yaml", &["--plaintext-secrets"]);
    project.edit("stack.yaml", "input: 1", "input: 2");
    snapshot!(run(&["plan", "stack.yaml"]), @"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      ~ local_command.login   input changed
          ~ input  = 1 → 2
          ~ output = (sensitive value) → (known after apply)
          ~ id     = (sensitive value) → (known after apply)
          (2 unchanged attributes hidden)

    Plan: 0 to add, 1 to change, 0 to destroy.
    ");
}

#[test]
fn replacement_is_listed_in_the_order_of_its_steps() {
    let project =
        Project::with_stack("resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n");
    project.apply().done();
    project.edit("stack.yaml", "out/a", "out/b");
    project.apply().done();
    let operations = project.run(["operations", "list", "--json"]).done().json();
    let replaced = project.run(["operations", "show", operations[0]["operation"].as_str().unwrap()]).done();
    let (deleted, created) = (replaced.stdout.find("delete"), replaced.stdout.find("create"));
    assert!(deleted.is_some() && deleted < created, "{replaced}");
}

/// Creates a resource whose path is longer than the width of any terminal.
fn long() -> (Project, String) {
    let path = format!("out/{}/end-of-the-path", "folder/".repeat(20));
    let name = "a_name_that_is_longer_than_a_narrow_terminal_is_wide";
    let project = Project::with_stack(&format!(
        "resources:\n  - {{type: local_file, name: {name}, config: {{path: {path}, content: one}}}}\n"
    ));
    (project, path)
}

#[test]
fn output_without_a_terminal_is_not_cut() {
    let (project, path) = long();
    let mut command = project.command(["plan", "stack.yaml", "--detail", "full"]);
    command.env_remove("COLUMNS");
    let ran = project.start(command).finish().done();
    assert!(ran.stdout.contains(&path), "{ran}");
    let short = Project::with_stack(&format!(
        "resources:\n  - {{type: local_value, name: a, config: {{input: {{first: {0}, second: {0}, third: {0}}}}}}}\n",
        "x".repeat(60)
    ));
    let mut command = short.command(["plan", "stack.yaml"]);
    command.env_remove("COLUMNS");
    assert!(!short.start(command).finish().done().stdout.contains('…'));
}

#[test]
fn address_is_never_cut() {
    let (project, _) = long();
    snapshot!(project.run_with(&[("COLUMNS", "40")], ["plan", "stack.yaml"]), @r#"
    exit: 0
    --- stdout
    stack demo@local
      (embedded environment: SQLite and
      files under .terrace/local)

      + local_file.a_name_that_is_longer_than_a_narrow_terminal_is_wide
          + path        = "out/folder/fold…"
          + content     = "one"
          + mode        = "0644"
          + sensitive   = false
          + makeParents = true
          + sha256      = "7692c3ad3540bb8…"
          + size        = 3
          + id          = "out/folder/fold…"

    Plan: 1 to add, 0 to change, 0 to
    destroy.
    "#);
}

#[test]
fn removal_with_dependents_is_shown() {
    let project = Project::with_stack(
        "components:\n  base: {resources: [{type: local_file, name: a, config: {path: out/a, content: one}}], outputs: {path: '${{ resources.a.path }}'}}\n  \
         top: {dependsOn: [base], resources: [{type: local_file, name: b, config: {path: out/b, content: '${{ components.base.outputs.path }}'}}]}\n",
    );
    project.apply().done();
    snapshot!(project.run(["plan", "--destroy", "stack.yaml", "-c", "base"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      base
      - local_file.a

      outputs
      - base/path = "out/a"

    Plan: 0 to add, 0 to change, 1 to destroy.
    (in 1 of 2 components)
    This is a plan of `base` only.
    --- stderr
    dependents_stay

      ⚠ `top` depends on `base`, which is removed, and will stay
      hint: remove what depends on it, too: add `-c top`
    "#);
    let both = project.run(["plan", "--destroy", "stack.yaml", "-c", "base", "-c", "top"]).done();
    assert!(!both.stderr.contains("depend"), "{both}");
    let whole = project.run(["plan", "--destroy", "stack.yaml"]).done();
    assert!(!whole.stderr.contains("depend"), "{whole}");
}

#[test]
fn removal_of_retained_data_with_dependents_is_shown() {
    let project = Project::with_stack(
        "components:\n  base: {resources: [{type: sqlite_table, name: t, config: {path: shop.db, name: T, columns: [{name: A, type: TEXT}]}}]}\n  \
         top: {dependsOn: [base], resources: [{type: local_file, name: b, config: {path: out/b, content: one}}]}\n",
    );
    project.apply().done();
    let first = project.run(["destroy", "stack.yaml", "-c", "base", "--auto-approve"]).done();
    first.prints("`top` depends on `base`, which is removed, and will stay");
    assert_eq!(project.run(["state", "list"]).done().stdout.lines().count(), 2, "the data was not retained");
    let later = project.run(["plan", "--destroy", "stack.yaml", "-c", "base", "--remove-data"]).done();
    later.prints("- sqlite_table.t").prints("`top` depends on `base`, which is removed, and will stay");
}

#[test]
fn descriptor_warnings_are_in_every_format_of_the_plan() {
    let project = crate::server::requests::project();
    let product = crate::server::requests::product(&["a"]);
    project.write("product.yaml", product.replace("dependsOn: []", "dependsOn: ['urn:dmb:cmp:sales:x:0:y']"));
    let warning = "is outside this data product";
    let human = project.run(["plan", "product.yaml"]).done();
    assert_eq!(human.stderr.matches(warning).count(), 1, "{human}");
    let json = project.run(["plan", "product.yaml", "--format", "json"]).done().json();
    assert_eq!(json["terrace"]["diagnostics"][0]["code"], "outside_dependency", "{json}");
    let markdown = project.run(["plan", "product.yaml", "--format", "markdown"]).done();
    assert!(markdown.stdout.contains(warning), "{markdown}");
}

#[test]
fn long_texts_are_shown_from_their_first_difference() {
    let project = Project::with_stack(&format!(
        "variables: {{tail: {{type: string, default: one}}}}\n\
         resources: [{{type: local_value, name: a, config: {{input: '{}-${{{{ vars.tail }}}}'}}}}]\n",
        "long ".repeat(30)
    ));
    project.apply().done();
    let plan = project.run(["plan", "stack.yaml", "--var", "tail=two"]).done();
    plan.prints("\"…ong long long long -one\" → \"…ong long long long -two\"");
}

#[test]
fn narrow_terminal_breaks_lines_between_words() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: page, config: {path: out/page.txt, content: 'a text of several words'}}\n\
         outputs: {told: 'another text, of more words than there is room for'}\n",
    );
    let plan = project.run_with(&[("COLUMNS", "40")], ["plan", "stack.yaml"]).done().stdout;
    assert!(plan.contains("page.txt") && plan.contains("several"), "{plan}");
    let wide = |line: &&str| line.chars().count() > 40 && line.split_whitespace().count() > 1;
    for command in [&["doctor"] as &[&str], &["apply", "stack.yaml", "--auto-approve"]] {
        let lines = project.run_with(&[("COLUMNS", "40")], command.iter().copied()).done().stdout;
        assert_eq!(lines.lines().find(wide), None, "{lines}");
    }
    assert_eq!(plan.lines().find(wide), None, "{plan}");
    // Programs parse the summary: where there is room, it is one line.
    let plan = project
        .run_with(&[("COLUMNS", "60")], ["plan", "stack.yaml", "--refresh=false", "--replace", "local_file.page"]);
    assert!(plan.stdout.contains("\nPlan: 1 to add, 0 to change, 1 to destroy.\n"), "{plan}");
}
