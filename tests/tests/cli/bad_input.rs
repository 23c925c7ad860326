//! Descriptors with mistakes: exit code 1, a place, a hint, and no change on disk or in the state.

use std::fmt::Write;
use terrace_tests::{Project, Ran, snapshot};

/// Plans and applies an invalid descriptor: both report the same error and change nothing.
pub(crate) fn refused(project: &Project, descriptor: &str) -> Ran {
    let before = project.all_files();
    let plan = project.run(["plan", descriptor, "-q"]).with_code(1);
    let apply = project.run(["apply", descriptor, "-q", "--auto-approve"]).with_code(1);
    assert_eq!(plan.stderr, apply.stderr, "plan and apply differ");
    assert_eq!(project.all_files(), before, "something was changed");
    plan
}

pub(crate) fn refused_stack(rest: &str) -> Ran {
    refused(&Project::with_stack(rest), "stack.yaml")
}

#[test]
fn missing_file_is_named() {
    snapshot!(refused(&Project::new(), "stack.yaml"), @"
    exit: 1
    --- stderr
    missing_file

      × there is no file `stack.yaml`
      hint: check the path: it names a descriptor or a folder of descriptors; for `terrace apply` also a saved plan
    ");
}

#[test]
fn folder_without_yaml_explains_its_meaning() {
    let project = Project::new();
    project.write("stacks/notes.txt", "none");
    snapshot!(refused(&project, "stacks"), @"
    exit: 1
    --- stderr
    empty_folder

      × the folder `stacks` has no descriptor in it
      hint: terrace reads *.yaml and *.yml of the folder, not of folders within
    ");
}

#[test]
fn file_that_is_not_utf8_is_named_with_the_line() {
    let project = Project::new();
    project.write("stack.yaml", b"kind: Stack\nname: caf\xe9\n");
    snapshot!(refused(&project, "stack.yaml"), @"
    exit: 1
    --- stderr
    not_utf8

      × `stack.yaml` is not UTF-8: see line 2, character 10
      hint: save it as UTF-8
    ");
}

#[test]
fn unreadable_file_does_not_hide_errors_of_other_files() {
    let project = Project::new();
    project.write("stacks/one.yaml", b"\xff");
    project.write("stacks/two.yaml", "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {nme: two}\n");
    snapshot!(refused(&project, "stacks"), @"
    exit: 1
    --- stderr
    not_utf8

      × `stacks/one.yaml` is not UTF-8: see line 1, character 1
      hint: save it as UTF-8

    missing_field

      × `metadata` needs `name`
       ╭─[stacks/two.yaml:3:12]
     3 │ metadata: {nme: two}
       ·            ───
       ╰────
      hint: add `name:`

    unknown_field

      × `metadata` has no field `nme`
       ╭─[stacks/two.yaml:3:12]
     3 │ metadata: {nme: two}
       ·            ───
       ╰────
      hint: did you mean `name`?
    ");
    let output = project.run(["plan", "stacks", "stacks/one.yaml", "./stacks/one.yaml"]).with_code(1).stderr;
    assert_eq!(output.matches("not_utf8").count(), 1, "{output}");
    project.write("plan", "{\"terrace_plan\":3,");
    project.write("good.yaml", "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: good}\nresources: []\n");
    for words in [["apply", "plan"], ["apply", "good.yaml"], ["destroy", "good.yaml"], ["drift", "good.yaml"]] {
        let ran = project.run(words.into_iter().chain(["nowhere.yaml"])).with_code(1);
        assert!(ran.stderr.starts_with("missing_file\n\n  × there is no file `nowhere.yaml`\n"), "{ran}");
    }
}

#[test]
fn empty_file_is_not_a_descriptor() {
    let project = Project::new();
    project.write("stack.yaml", "\n  \n");
    snapshot!(refused(&project, "stack.yaml"), @"
    exit: 1
    --- stderr
    empty_file

      × `stack.yaml` is empty
      hint: write a descriptor into it, or leave the file out
    ");
    project.write("stack.yaml", "# only a comment\n");
    snapshot!(refused(&project, "stack.yaml"), @"
    exit: 1
    --- stderr
    empty_file

      × the file contains only comments: expected a YAML map
       ╭─[stack.yaml:1:1]
     1 │ # only a comment
       · ────────────────
       ╰────
      hint: a stack begins with `apiVersion: terrace.dev/v1` and `kind: Stack`, a data product with `kind: dataproduct` or
            `dataProduct:`; `terrace init` writes a first stack into a new folder
    ");
}

#[test]
fn file_of_another_kind_lists_the_known_kinds() {
    let project = Project::new();
    project.write("stack.yaml", "apiVersion: v1\nkind: Deployment\nmetadata: {name: demo}\n");
    snapshot!(refused(&project, "stack.yaml"), @"
    exit: 1
    --- stderr
    unknown_descriptor

      × `kind: Deployment` is neither a stack nor a data product
       ╭─[stack.yaml:2:7]
     2 │ kind: Deployment
       ·       ──────────
       ╰────
      hint: a stack begins with `apiVersion: terrace.dev/v1` and `kind: Stack`, a data product with `kind: dataproduct` or
            `dataProduct:`; `terrace init` writes a first stack into a new folder
    ");
    project.write("stack.yaml", "- a\n- list\n");
    snapshot!(refused(&project, "stack.yaml"), @"
    exit: 1
    --- stderr
    unknown_descriptor

      × expected a map, but this is a list
       ╭─[stack.yaml:1:1]
     1 │ - a
       · ───
       ╰────
      hint: a stack begins with `apiVersion: terrace.dev/v1` and `kind: Stack`, a data product with `kind: dataproduct` or
            `dataProduct:`; `terrace init` writes a first stack into a new folder
    ");
}

#[test]
fn duplicate_key_is_shown_with_both_places() {
    snapshot!(refused_stack("resources: []\nresources: []\n"), @"
    exit: 1
    --- stderr
    duplicate_key

      × the key `resources` appears twice in one map
       ╭─[stack.yaml:4:1]
     4 │ resources: []
       · ────┬────
       ·     ╰── first here
     5 │ resources: []
       · ────┬────
       ·     ╰── again here
       ╰────
      hint: the values are equal; remove one of the two
    ");
}

#[test]
fn tab_as_indentation_is_shown_with_its_place() {
    snapshot!(refused_stack("resources:\n\t- {type: local_value, name: a}\n"), @"
    exit: 1
    --- stderr
    yaml_syntax

      × a tab where YAML allows only spaces
       ╭─[stack.yaml:5:1]
     5 │     - {type: local_value, name: a}
       · ────
       ╰────
      hint: indent with spaces: YAML does not allow tabs there
    ");
}

#[test]
fn unclosed_yaml_is_shown_with_its_place() {
    snapshot!(refused_stack("resources: [{type: local_value, name: a\n"), @"
    exit: 1
    --- stderr
    yaml_syntax

      × the bracket `{` is not closed
       ╭─[stack.yaml:4:13]
     4 │ resources: [{type: local_value, name: a
       ·             ─
       ╰────
      hint: close the bracket, or put text that holds brackets in quotes
    ");
}

#[test]
fn deep_nesting_is_refused() {
    let ran = refused_stack(&format!("resources: {}\n", "[".repeat(100_000)));
    snapshot!(ran, @"
    exit: 1
    --- stderr
    budget

      × lists and maps are nested deeper than 64 levels
      │ at stack.yaml:4:77
      hint: split the text into smaller files, or flatten it
    ");
}

#[test]
fn alias_bomb_is_refused() {
    let mut text = "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
    for level in 1..12 {
        let inner = vec![format!("*x{}", level - 1); 10].join(", ");
        writeln!(text, "x{level}: &x{level} [{inner}]").unwrap();
    }
    snapshot!(refused_stack(&text), @"
    exit: 1
    --- stderr
    budget

      × anchors and aliases copy more than 200000 values
       ╭─[stack.yaml:8:9]
     8 │ x4: &x4 [*x3, *x3, *x3, *x3, *x3, *x3, *x3, *x3, *x3, *x3]
       ·         ──────────────────────────────────────────────────
       ╰────
      hint: split the text into smaller files, or flatten it
    ");
}

#[test]
fn oversized_file_is_not_read() {
    let ran = refused_stack(&"# a comment of some length\n".repeat(4_000_000));
    snapshot!(ran, @"
    exit: 1
    --- stderr
    too_long

      × `stack.yaml` is longer than 64 MiB
      hint: split it into several files
    ");
}

#[test]
fn wrong_value_of_a_variable_names_its_source() {
    let project = Project::with_stack(
        "variables:\n  n: {type: int, validation: [{assert: '${{ vars.n > 3 }}', error: too small}]}\n  \
         pin: {type: int, sensitive: true, default: 1}\nresources: []\n",
    );
    project.write("vars.yaml", "n: many\n");
    let validate = |variables: &[(&str, &str)], more: &[&str]| {
        let words = ["validate", "stack.yaml"].into_iter().chain(more.iter().copied());
        project.run_with(variables, words).with_code(1)
    };
    let from = "its value comes from the environment variable `TERRACE_VAR_n`";
    validate(&[("TERRACE_VAR_n", "many")], &[]).prints("found `many`").prints(from);
    validate(&[("TERRACE_VAR_n", "2")], &[]).prints("too small").prints(from);
    let pin = validate(&[("TERRACE_VAR_pin", "s3cr3t")], &["--var", "n=4"]);
    assert!(!pin.prints("`TERRACE_VAR_pin`").stderr.contains("s3cr3t"), "{pin}");
    validate(&[("TERRACE_VAR_n", "9")], &["--var", "n=many"]).prints("its value comes from `--var n`");
    validate(&[("TERRACE_VAR_n", "9")], &["--var-file", "vars.yaml"]).prints("its value comes from `vars.yaml`");
}

#[test]
fn validate_reports_the_same_errors_as_plan() {
    let project = Project::with_stack(
        "
variables:
  n: {type: int, default: 2}
data:
  - {type: sqlite_colums, name: x, config: {path: shop.db}}
resources:
  - {type: local_fil, name: a, config: {path: a.txt}}
  - {type: local_file, name: b, config: {pth: b.txt, content: '${{ vars.m }}'}}
  - {type: local_file, name: c, forEach: '${{ range(vars.n) }}', config: {path: 'c${{ each.value }}', content: '${{ vars.n }}'}}
",
    );
    let errors = |command: &str| {
        let stderr = project.run([command, "stack.yaml"]).with_code(1).stderr;
        let mut errors: Vec<String> = stderr.lines().filter(|line| line.contains(" × ")).map(str::to_owned).collect();
        errors.sort();
        errors
    };
    let plan = errors("plan");
    assert_eq!(errors("validate"), plan);
    assert!(plan.len() > 3, "{plan:?}");
}

#[test]
fn too_long_addresses_are_reported_once_with_their_declaration() {
    let key = |last: char| format!("{}{last}", "k".repeat(1100));
    let project = Project::with_stack(&format!(
        "resources:\n  - {{type: local_value, name: a, forEach: [{}, {}, short], config: {{input: 1}}}}\n",
        key('1'),
        key('2')
    ));
    for command in [&["plan", "stack.yaml"][..], &["apply", "stack.yaml", "--auto-approve"]] {
        let ran = project.run(command.iter().copied()).with_code(1);
        ran.prints("2 instances of local_value.a: an address is longer than 1024 bytes").prints("stack.yaml:5:31");
        ran.prints("choose shorter keys with `key:`");
        assert_eq!(ran.stderr.matches("1024 bytes").count(), 1, "{}", ran.stderr);
    }
    assert!(!project.has(".terrace"));
}
