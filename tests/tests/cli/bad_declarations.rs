//! Invalid declarations in readable descriptors: unknown, missing, circular and duplicate ones.

use crate::cli::bad_input::{refused, refused_stack};
use terrace_tests::{Project, snapshot};

#[test]
fn unknown_resource_type_gets_a_suggestion() {
    snapshot!(refused_stack("resources:\n  - {type: local_fiel, name: a, config: {path: a}}\n"), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    unknown_type

      × there is no resource type `local_fiel`
       ╭─[stack.yaml:5:12]
     5 │   - {type: local_fiel, name: a, config: {path: a}}
       ·            ──────────
       ╰────
      hint: did you mean `local_file`?
    ");
    let ran = refused_stack("resources:\n  - {type: cloud_bucket, name: a, config: {path: a}}\n");
    assert_eq!(ran.code, 1, "{ran}");
    ran.prints("there is no resource type `cloud_bucket`").prints("stack.yaml:5:12]");
    ran.prints("run `terrace providers schema NAME` to see the types of a provider: `airbyte`, `databricks`, `hasura`");
}

#[test]
fn hint_says_what_to_write() {
    let file = |more: &str, mode: &str| {
        format!("resources: [{{type: local_file, name: a, {more}config: {{path: a, content: x{mode}}}}}]\n")
    };
    for (text, expected) in [
        (file("", ", mode: '999'"), "write an octal mode in quotes, such as `\"0644\"`"),
        (
            file("provider: sqlite, ", ""),
            "`local_file` is a type of the provider `local`, and `sqlite` is another provider",
        ),
        (file("provider: sqlite, ", ""), "remove `provider: sqlite`, or name an instance of `local`: `local`"),
        ("outputs: [a]\n".to_owned(), "expected a map such as `{path: ${{ resources.NAME.path }}}`"),
        ("outputs: {a: {value: 1, type: int}}\n".to_owned(), "remove `type`: an output has the type of its value"),
    ] {
        refused_stack(&text).with_code(1).prints(expected);
    }
    let project = Project::with_stack("resources: []\n");
    project.write("terrace.yaml", "environments: {local: {providers: {sqlite: {busyTimeout: abc}}}}\n");
    project.run(["validate", "stack.yaml"]).with_code(1).prints("write a whole number without quotes, such as `5`");
    project.write("stack.yaml", "kind: Stack\nmetadata: {name: demo}\n");
    project.write("terrace.yaml", "");
    project.run(["validate", "stack.yaml"]).with_code(1).prints("write `apiVersion: terrace.dev/v1`");
}

#[test]
fn hint_for_an_instance_keeps_the_overlay_of_the_environment() {
    let project = Project::with_stack(
        "resources: [{type: sqlite_database, name: a, provider: sqlite.eu, config: {path: a.db}}]\n",
    );
    project.run(["plan", "stack.yaml"]).with_code(1).prints("beside `overlay: embedded`");
    project.write("terrace.yaml", "environments: {local: {overlay: embedded, providers: {sqlite.eu: {}}}}\n");
    project.run(["plan", "stack.yaml"]).done().prints("embedded environment").prints("1 to add");
}

#[test]
fn unknown_name_in_depends_on_hides_no_other_error() {
    let text = "resources:\n  - {type: local_file, name: a, dependsOn: [nope], config: {path: a, content: x}}\n  \
                - {type: local_file, name: b, config: {pth: b, content: x}}\n  \
                - {type: local_file, name: c, config: {path: c, content: '${{ vars.none }}'}}\n";
    snapshot!(refused_stack(text), @"
    exit: 1
    --- stderr
    unknown_resource

      × `dependsOn` names `nope`, which is not a resource here
       ╭─[stack.yaml:5:45]
     5 │   - {type: local_file, name: a, dependsOn: [nope], config: {path: a, content: x}}
       ·                                             ────
       ╰────
      hint: the resources are `a`, `b`, `c`

    unknown_attribute

      × `local_file` has no attribute `pth`
       ╭─[stack.yaml:6:42]
     6 │   - {type: local_file, name: b, config: {pth: b, content: x}}
       ·                                          ───
       ╰────
      hint: did you mean `path`?

    missing_attribute

      × `local_file` needs `path`
       ╭─[stack.yaml:6:41]
     6 │   - {type: local_file, name: b, config: {pth: b, content: x}}
       ·                                         ────────────────────
       ╰────
      hint: add `path`: Path, relative to the project folder.

    unknown_variable

      × there is no variable `none`
       ╭─[stack.yaml:7:65]
     7 │   - {type: local_file, name: c, config: {path: c, content: '${{ vars.none }}'}}
       ·                                                                 ─────────
       ╰────
      hint: the descriptor declares no variables
    ");
    let text = "components:\n  a: {dependsOn: [nope, c], resources: [{type: local_file, name: f, config: {pth: a}}]}\n  \
                b: {resources: []}\n  c: {resources: []}\n";
    let ran = refused_stack(text);
    ran.prints("`dependsOn` names `nope`").prints("the components are `a`, `b`, `c`").prints("no attribute `pth`");
}

#[test]
fn unknown_attribute_gets_a_suggestion() {
    snapshot!(refused_stack("resources:\n  - {type: local_file, name: a, config: {path: a, contnet: b}}\n"), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    unknown_attribute

      × `local_file` has no attribute `contnet`
       ╭─[stack.yaml:5:51]
     5 │   - {type: local_file, name: a, config: {path: a, contnet: b}}
       ·                                                   ───────
       ╰────
      hint: did you mean `content`?
    ");
}

#[test]
fn missing_attribute_and_wrong_type_are_shown_with_their_place() {
    snapshot!(refused_stack("resources:\n  - {type: local_file, name: a, config: {content: b}}\n"), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    missing_attribute

      × `local_file` needs `path`
       ╭─[stack.yaml:5:41]
     5 │   - {type: local_file, name: a, config: {content: b}}
       ·                                         ────────────
       ╰────
      hint: add `path`: Path, relative to the project folder.
    ");
    snapshot!(refused_stack("resources:\n  - {type: local_file, name: a, config: {path: [a], content: b}}\n"), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    wrong_type

      × `path` of `local_file` has to be text, and is a list
       ╭─[stack.yaml:5:42]
     5 │   - {type: local_file, name: a, config: {path: [a], content: b}}
       ·                                          ────
       ╰────
      hint: write text, or use `json(…)`
    ");
}

#[test]
fn unknown_field_gets_a_suggestion() {
    snapshot!(refused_stack("resuorces: []\n"), @"
    exit: 1
    --- stderr
    unknown_field

      × a stack has no field `resuorces`
       ╭─[stack.yaml:4:1]
     4 │ resuorces: []
       · ─────────
       ╰────
      hint: did you mean `resources`?
    ");
    snapshot!(refused_stack("resources:\n  - {type: local_value, name: a, dependOn: [b]}\n"), @"
    exit: 1
    --- stderr
    unknown_field

      × a resource has no field `dependOn`
       ╭─[stack.yaml:5:34]
     5 │   - {type: local_value, name: a, dependOn: [b]}
       ·                                  ────────
       ╰────
      hint: did you mean `dependsOn`?
    ");
}

#[test]
fn unknown_reference_lists_the_known_names() {
    let stack = |expression: &str| {
        format!(
            "resources:\n  - {{type: local_value, name: first}}\n  - {{type: local_value, name: second, config: {{input: '${{{{ {expression} }}}}'}}}}\n"
        )
    };
    snapshot!(refused_stack(&stack("resources.frist.output")), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    unknown_resource

      × there is no resource `frist` in this component
       ╭─[stack.yaml:6:60]
     6 │   - {type: local_value, name: second, config: {input: '${{ resources.frist.output }}'}}
       ·                                                            ──────────────────────
       ╰────
      hint: did you mean `first`?
    ");
    snapshot!(refused_stack(&stack("resources.first.outptu")), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      + local_value.first
          + id     = (known after apply)
          + output = (known after apply)

    Plan: 1 to add, 0 to change, 0 to destroy.
    This plan has errors and cannot be applied.
    --- stderr
    unknown_attribute

      × `local_value` has no attribute `outptu`
       ╭─[stack.yaml:6:60]
     6 │   - {type: local_value, name: second, config: {input: '${{ resources.first.outptu }}'}}
       ·                                                            ──────────────────────
       ╰────
      hint: did you mean `output`?
    ");
    snapshot!(refused_stack(&stack("vars.nothing")), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      + local_value.first
          + id     = (known after apply)
          + output = (known after apply)

    Plan: 1 to add, 0 to change, 0 to destroy.
    This plan has errors and cannot be applied.
    --- stderr
    unknown_variable

      × there is no variable `nothing`
       ╭─[stack.yaml:6:60]
     6 │   - {type: local_value, name: second, config: {input: '${{ vars.nothing }}'}}
       ·                                                            ────────────
       ╰────
      hint: the descriptor declares no variables
    ");
    snapshot!(refused_stack(&stack("1 +")), @"
    exit: 1
    --- stderr
    expression_syntax

      × the expression ends too early
       ╭─[stack.yaml:6:63]
     6 │   - {type: local_value, name: second, config: {input: '${{ 1 + }}'}}
       ·                                                               ─
       ╰────
      hint: an operator has no right side, or a bracket is not closed
    ");
}

#[test]
fn cycle_is_printed_with_the_place_of_each_edge() {
    snapshot!(refused_stack(
        "resources:\n  \
         - {type: local_value, name: a, config: {input: '${{ resources.c.output }}'}}\n  \
         - {type: local_value, name: b, config: {input: '${{ resources.a.output }}'}}\n  \
         - {type: local_value, name: c, dependsOn: [b]}\n",
    ), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    reference_cycle

      × a cycle: local_value.a → local_value.c → local_value.b → local_value.a
       ╭─[stack.yaml:5:55]
     5 │   - {type: local_value, name: a, config: {input: '${{ resources.c.output }}'}}
       ·                                                       ─────────┬────────
       ·                                                                ╰── local_value.a needs local_value.c
     6 │   - {type: local_value, name: b, config: {input: '${{ resources.a.output }}'}}
       ·                                                       ─────────┬────────
       ·                                                                ╰── local_value.b needs local_value.a
     7 │   - {type: local_value, name: c, dependsOn: [b]}
       ·                                              ┬
       ·                                              ╰── local_value.c needs local_value.b
       ╰────
      hint: remove one of these references, or split a resource in two
    ");
    snapshot!(refused_stack("resources:\n  - {type: local_value, name: a, config: {input: '${{ resources.a.id }}'}}\n"), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    reference_cycle

      × a cycle: local_value.a → local_value.a
       ╭─[stack.yaml:5:55]
     5 │   - {type: local_value, name: a, config: {input: '${{ resources.a.id }}'}}
       ·                                                       ───────┬──────
       ·                                                              ╰── local_value.a needs local_value.a
       ╰────
      hint: remove one of these references, or split a resource in two
    ");
}

#[test]
fn duplicate_address_is_shown_with_both_places() {
    snapshot!(refused_stack(
        "resources:\n  - {type: local_value, name: a}\n  - {type: local_value, name: a}\n",
    ), @"
    exit: 1
    --- stderr
    duplicate_name

      × the resource `a` is declared twice
       ╭─[stack.yaml:5:31]
     5 │   - {type: local_value, name: a}
       ·                               ┬
       ·                               ╰── first here
     6 │   - {type: local_value, name: a}
       ·                               ┬
       ·                               ╰── again here
       ╰────
      hint: rename or remove one of the two: names must be unique across types
    ");
    snapshot!(refused_stack(
        "resources:\n  - {type: local_value, name: a, forEach: '${{ [\"x\", \"x\"] }}', config: {input: 1}}\n",
    ), @r#"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    repeated_key

      × two items of `forEach` have the key ["x"]
       ╭─[stack.yaml:5:43]
     5 │   - {type: local_value, name: a, forEach: '${{ ["x", "x"] }}', config: {input: 1}}
       ·                                           ───────────────────
       ╰────
      hint: use a different key for each instance
    "#);
}

#[test]
fn path_out_of_the_project_is_refused() {
    snapshot!(refused_stack("resources:\n  - {type: local_file, name: a, config: {path: ../x, content: a}}\n"), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    cannot_plan

      × demo@local:local_file.a: `path` is `../x`, which leads out of the project folder
       ╭─[stack.yaml:5:42]
     5 │   - {type: local_file, name: a, config: {path: ../x, content: a}}
       ·                                          ────
       ╰────
      hint: use a path relative to the project folder, without a `..` that leaves it
    ");
    snapshot!(refused_stack("resources:\n  - {type: local_file, name: a, config: {path: /etc/x, content: a}}\n"), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    cannot_plan

      × demo@local:local_file.a: `path` is `/etc/x`, which leads out of the project folder
       ╭─[stack.yaml:5:42]
     5 │   - {type: local_file, name: a, config: {path: /etc/x, content: a}}
       ·                                          ────
       ╰────
      hint: use a path relative to the project folder, without a `..` that leaves it
    ");
}

#[test]
fn several_errors_are_reported_at_once() {
    let ran = refused_stack(
        "resources:\n  - {type: local_fiel, name: a}\n  - {type: local_file, name: b, config: {content: b}}\n  \
         - {type: local_file, name: c, config: {path: c, contnet: c}}\n",
    );
    for word in ["local_fiel", "path", "contnet"] {
        ran.prints(word);
    }
}

const BLUEPRINT: &str = "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: NAME, version: 1.0.0, description: A note}
match: {useCaseTemplateId: 'urn:dmb:utm:note'}
resources: []
";

#[test]
fn blueprints_that_match_equally_are_named_with_their_files() {
    let project = Project::with_network_status();
    project.edit("data-product.yaml", "urn:dmb:utm:databricks-workload-template.1", "urn:dmb:utm:note");
    project.write("blueprints/one.yaml", BLUEPRINT.replace("NAME", "one"));
    project.write("blueprints/two.yaml", BLUEPRINT.replace("NAME", "two"));
    let before = project.files();
    snapshot!(project.run(["plan", "data-product.yaml", "--env", "local", "-q"]).with_code(1), @"
    exit: 1
    --- stderr
    ambiguous_blueprint

      × two blueprints match the component `databricks-workload` equally well: `blueprints/one.yaml` and
      │ `blueprints/two.yaml`
        ╭─[data-product.yaml:62:9]
     62 │     id: urn:dmb:cmp:distribution:network-status:0:databricks-workload
        ·         ─────────────────────────────────────────────────────────────
        ╰────
      hint: make one `match` more specific, or name the blueprint under `templates` of the environment

      ☞ one
       ╭─[blueprints/one.yaml:3:18]
     3 │ metadata: {name: one, version: 1.0.0, description: A note}
       ·                  ───
       ╰────

      ☞ the other
       ╭─[blueprints/two.yaml:3:18]
     3 │ metadata: {name: two, version: 1.0.0, description: A note}
       ·                  ───
       ╰────
    ");
    assert_eq!(project.files(), before);
}

#[test]
fn invalid_configuration_is_shown_with_its_place() {
    let project = Project::with_stack("resources: []\n");
    project.write("terrace.yaml", "stat: sqlite:x.db\n");
    snapshot!(refused(&project, "stack.yaml"), @"
    exit: 1
    --- stderr
    unknown_field

      × terrace.yaml has no field `stat`
       ╭─[terrace.yaml:1:1]
     1 │ stat: sqlite:x.db
       · ────
       ╰────
      hint: did you mean `state`?
    ");
    project.write("terrace.yaml", "state: sqlite:${{ env.NO_SUCH_VARIABLE }}\n");
    snapshot!(refused(&project, "stack.yaml"), @r#"
    exit: 1
    --- stderr
    expression_failed

      × the environment variable `NO_SUCH_VARIABLE` is not set
       ╭─[terrace.yaml:1:19]
     1 │ state: sqlite:${{ env.NO_SUCH_VARIABLE }}
       ·                   ────────────────────
       ╰────
      hint: set `NO_SUCH_VARIABLE`, or give a default: `has(env.NO_SUCH_VARIABLE) ? env.NO_SUCH_VARIABLE : "…"`
    "#);
}

#[test]
fn state_of_a_failed_expression_gives_one_error() {
    let project = Project::with_stack("resources: []\n");
    project.write("terrace.yaml", "state: ${{ env.NO_SUCH_VARIABLE }}\n");
    let refused = project.run(["plan", "stack.yaml"]).with_code(1);
    refused.prints("the environment variable `NO_SUCH_VARIABLE` is not set");
    assert!(!refused.stderr.contains("is not a state"), "{}", refused.stderr);
}

#[test]
fn instance_of_another_provider_is_reported_even_if_it_is_not_configured() {
    let ran = refused_stack(
        "resources:\n  - {type: local_file, name: f, provider: sqlite.eu, config: {path: a, content: x}}\n",
    );
    ran.with_code(1)
        .prints("`local_file` is a type of the provider `local`, and `sqlite.eu` is an instance of another provider")
        .prints("remove `provider: sqlite.eu`, or name an instance of `local`: `local`");
}

#[test]
fn true_for_adopt_is_answered_with_the_words_of_adopt() {
    snapshot!(refused_stack("resources:\n  - {type: local_file, name: f, adopt: true, config: {path: a, content: x}}\n"), @"
    exit: 1
    --- stderr
    wrong_type

      × `adopt` is a true/false: expected `never`, `ifExists` or `ifOurs`
       ╭─[stack.yaml:5:40]
     5 │   - {type: local_file, name: f, adopt: true, config: {path: a, content: x}}
       ·                                        ────
       ╰────
      hint: write `never`, `ifExists` or `ifOurs`
    ");
}

#[test]
fn duration_beyond_a_year_is_refused() {
    snapshot!(refused_stack(
        "resources:\n  - {type: local_file, name: f, timeouts: {create: 9223372036854775807s, read: 0s}, config: {path: a, content: x}}\n"
    ), @"
    exit: 1
    --- stderr
    wrong_value

      × `create` is `9223372036854775807s`: expected a duration of at most a year (8760h)
       ╭─[stack.yaml:5:52]
     5 │   - {type: local_file, name: f, timeouts: {create: 9223372036854775807s, read: 0s}, config: {path: a, content: x}}
       ·                                                    ────────────────────
       ╰────
      hint: write a number with its unit: `30s`, `5m`, `1h30m`

    wrong_value

      × `read` is `0s`: expected a positive duration
       ╭─[stack.yaml:5:80]
     5 │   - {type: local_file, name: f, timeouts: {create: 9223372036854775807s, read: 0s}, config: {path: a, content: x}}
       ·                                                                                ──
       ╰────
      hint: write a number with its unit: `30s`, `5m`, `1h30m`
    ");
    let project = Project::with_stack("resources: []\n");
    snapshot!(project.run(["plan", "stack.yaml", "--lock-timeout", "2562047788015215h"]), @"
    exit: 1
    --- stderr
    error: invalid value '2562047788015215h' for '--lock-timeout <DURATION>': expected a duration of at most a year (8760h)

    For more information, try '--help'.
    ");
}

#[test]
fn objects_of_two_types_at_one_path_are_one_object() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: out, content: one}}\n  \
         - {type: local_directory, name: b, config: {path: ./out}}\n",
    );
    let ran = project.run(["plan", "stack.yaml"]).with_code(1);
    ran.prints("demo@local:local_directory.b and demo@local:local_file.a name one object: path \"out\"");
    project.write(
        "stack.yaml",
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresources:\n  \
         - {type: sqlite_database, name: d, config: {path: d.db}}\n  \
         - {type: sqlite_table, name: t, config: {path: d.db, name: same, columns: [{name: a, type: TEXT}]}}\n  \
         - {type: sqlite_view, name: v, config: {path: d.db, name: same, statement: SELECT 1}}\n",
    );
    project
        .run(["plan", "stack.yaml"])
        .with_code(1)
        .prints("demo@local:sqlite_table.t and demo@local:sqlite_view.v name one");
}

#[test]
fn object_of_another_type_is_created_after_the_old_one_is_deleted() {
    let project =
        Project::with_stack("resources:\n  - {type: local_file, name: a, config: {path: out, content: one}}\n");
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    project.edit(
        "stack.yaml",
        "{type: local_file, name: a, config: {path: out, content: one}}",
        "{type: local_directory, name: a, config: {path: out}}",
    );
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    assert!(project.path("out").is_dir());
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn two_spellings_of_a_path_are_one_object() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n  \
         - {type: local_file, name: b, config: {path: ./out//a, content: two}}\n",
    );
    let ran = project.run(["plan", "stack.yaml"]).with_code(1);
    ran.prints("demo@local:local_file.a and demo@local:local_file.b name one object: path \"./out//a\"");
}
