//! Stacks that declare resources directly.

use terrace_tests::{Project, snapshot};

const VARIABLES: &str = r#"variables:
  who: {type: string, default: world}
  count: {type: int, default: 1}
resources:
  - type: local_file
    name: greeting
    config: {path: out/greeting.txt, content: '${{ "hello " + vars.who + " " + string(vars.count) }}'}
"#;

#[test]
fn variable_precedence_is_flag_file_environment_default() {
    let project = Project::with_stack(VARIABLES);
    let greet = |variables: &[(&str, &str)], more: &[&str]| {
        let words = ["apply", "stack.yaml", "--auto-approve", "-q"].into_iter().chain(more.iter().copied());
        project.run_with(variables, words).done();
        project.read("out/greeting.txt")
    };
    project.write("values.yaml", "who: file\ncount: 3\n");
    assert_eq!(greet(&[], &[]), "hello world 1");
    assert_eq!(greet(&[("TERRACE_VAR_who", "environment")], &[]), "hello environment 1");
    assert_eq!(greet(&[("TERRACE_VAR_who", "environment")], &["--var-file", "values.yaml"]), "hello file 3");
    assert_eq!(greet(&[], &["--var-file", "values.yaml", "--var", "who=flag"]), "hello flag 3");
}

#[test]
fn value_of_a_wrong_type_and_unknown_variable_are_errors() {
    let project = Project::with_stack(VARIABLES);
    snapshot!(project.run(["plan", "stack.yaml", "--var", "count=many"]), @"
    exit: 1
    --- stderr
    wrong_type

      × variable `count` has to be a whole number: found `many`
       ╭─[stack.yaml:6:3]
     6 │   count: {type: int, default: 1}
       ·   ─────
       ╰────
      hint: its value comes from `--var count`
    ");
    snapshot!(project.run(["plan", "stack.yaml", "--var", "whom=me"]), @"
    exit: 1
    --- stderr
    unknown_variable

      × there is no variable `whom`
      hint: did you mean `who`?
    ");
}

#[test]
fn for_each_creates_one_resource_per_key_and_follows_the_map() {
    let stack = |map: &str| {
        format!(
            "resources:\n  - type: local_file\n    name: part\n    forEach: '${{{{ {map} }}}}'\n    \
             config: {{path: '${{{{ \"out/\" + each.key }}}}', content: '${{{{ string(each.value) }}}}'}}\n"
        )
    };
    let project = Project::with_stack(&stack(r#"{"x": 1, "y": 2}"#));
    project.apply().done();
    assert_eq!((project.read("out/x"), project.read("out/y")), ("1".to_owned(), "2".to_owned()));
    project.write_stack(&stack(r#"{"y": 3, "z": 4}"#));
    snapshot!(project.run(["plan", "stack.yaml", "--detail", "summary"]), @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      - local_file.part["x"]   its key is not in forEach any more

    Plan: 1 to add, 1 to change, 1 to destroy.
    "#);
    project.apply().done().prints("1 added, 1 changed, 1 destroyed");
    assert!(!project.has("out/x"));
    assert_eq!(project.run(["state", "list"]).done().stdout, "local_file.part[\"y\"]\nlocal_file.part[\"z\"]\n");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn resource_with_false_when_does_not_exist() {
    let project = Project::with_stack(
        "variables: {wanted: {type: bool, default: true}}\nresources:\n  - type: local_file\n    name: a\n    \
         when: ${{ vars.wanted }}\n    config: {path: out/a, content: a}\n",
    );
    project.apply().done();
    assert!(project.has("out/a"));
    let planned = project.run(["plan", "stack.yaml", "--var", "wanted=false"]).done();
    planned.prints("local_file.a   its `when` is false");
    project.run(["apply", "stack.yaml", "--auto-approve", "--var", "wanted=false"]).done().prints("1 destroyed");
    assert!(!project.has("out/a"));
    assert_eq!(project.run(["state", "list"]).done().stdout, "");
}

#[test]
fn instance_with_false_when_differs_from_a_removed_key() {
    let stack = |keys: &str| {
        format!(
            "resources:\n  - type: local_file\n    name: part\n    forEach: {keys}\n    when: '${{{{ each.value != \"b\" }}}}'\n    \
             config: {{path: '${{{{ \"out/\" + each.key }}}}', content: '${{{{ each.value }}}}'}}\n"
        )
    };
    let project = Project::with_stack(&stack("{x: a, y: a, z: a}"));
    project.apply().done();
    project.write_stack(&stack("{x: a, y: b}"));
    let planned = project.run(["plan", "stack.yaml", "--detail", "summary"]).done();
    planned.prints("local_file.part[\"y\"]   its `when` is false");
    planned.prints("local_file.part[\"z\"]   its key is not in forEach any more");
}

const COMPONENTS: &str = r#"components:
  web:
    dependsOn: [api]
    resources:
      - type: local_file
        name: page
        config: {path: out/page, content: '${{ "see " + components["api"].outputs.url }}'}
  api:
    resources:
      - {type: local_value, name: port, config: {input: 8080}}
    outputs: {url: '${{ "http://localhost:" + string(resources.port.output) }}'}
"#;

#[test]
fn component_reads_outputs_of_its_dependency() {
    let project = Project::with_stack(COMPONENTS);
    project.apply().done();
    assert_eq!(project.read("out/page"), "see http://localhost:8080");
    assert_eq!(project.run(["output", "api/url", "--format", "raw"]).done().stdout, "http://localhost:8080");
    project.edit("stack.yaml", "8080", "9090");
    project.apply().done().prints("0 added, 2 changed, 0 destroyed");
    assert_eq!(project.read("out/page"), "see http://localhost:9090");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn one_component_is_applied_alone() {
    let project = Project::with_stack(COMPONENTS);
    project.run(["apply", "stack.yaml", "-c", "api", "--auto-approve"]).done();
    assert_eq!(project.run(["state", "list"]).done().stdout, "api/local_value.port\n");
    assert!(!project.has("out/page"));
    project.run(["apply", "stack.yaml", "-c", "web", "--auto-approve"]).done();
    assert_eq!(project.read("out/page"), "see http://localhost:8080");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn unknown_component_is_an_error() {
    let project = Project::with_stack(COMPONENTS);
    snapshot!(project.run(["plan", "stack.yaml", "-c", "wep"]), @"
    exit: 1
    --- stderr
    unknown_component

      × `demo` has no component `wep`
      hint: did you mean `web`?
    ");
}

#[test]
fn several_stacks_are_planned_and_applied_together() {
    let project = Project::new();
    for name in ["one", "two"] {
        let text = format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\nresources:\n  - \
             {{type: local_file, name: a, config: {{path: out/{name}, content: {name}}}}}\n"
        );
        project.write(&format!("stacks/{name}.yaml"), text);
    }
    snapshot!(project.run(["plan", "stacks", "--detail", "summary"]), @"
    exit: 0
    --- stdout
    stack one@local  (embedded environment: SQLite and files under .terrace/local)

    stack two@local  (embedded environment: SQLite and files under .terrace/local)

    Plan: 2 to add, 0 to change, 0 to destroy.
      one@local: 1 to add, 0 to change, 0 to destroy
      two@local: 1 to add, 0 to change, 0 to destroy
    ");
    project.run(["apply", "stacks", "--auto-approve"]).done().prints("2 added");
    assert_eq!(project.run(["--chdir", "stacks", "stacks", "list"]).done().stdout, "one@local\ntwo@local\n");
    let all = project.run(["--chdir", "stacks", "state", "list", "--all"]).done().stdout;
    assert_eq!(all, "one@local:local_file.a\ntwo@local:local_file.a\n");
    // With several stacks, the command needs a stack.
    snapshot!(project.run(["--chdir", "stacks", "state", "list"]), @"
    exit: 1
    --- stderr
    error: the state has several stacks

    hint: choose one with `--stack`: `one@local`, `two@local`
    ");
    project.assert_settled("stacks", &[]);
}

#[test]
fn duplicate_declaration_in_two_files_of_a_stack_is_an_error() {
    let project = Project::with_stack("resources:\n  - {type: local_value, name: a, config: {input: 1}}\n");
    project.write("other.yaml", project.read("stack.yaml"));
    snapshot!(project.run(["plan", "stack.yaml", "other.yaml"]), @"
    exit: 1
    --- stderr
    duplicate_name

      × the resource `a` is declared twice
       ╭─[other.yaml:5:31]
     5 │   - {type: local_value, name: a, config: {input: 1}}
       ·                               ┬
       ·                               ╰── again here
       ╰────
      hint: rename or remove one of the two: names must be unique across types

      ☞ first here
       ╭─[stack.yaml:5:31]
     5 │   - {type: local_value, name: a, config: {input: 1}}
       ·                               ─
       ╰────
    ");
}

#[test]
fn existing_file_is_not_adopted_silently() {
    let project =
        Project::with_stack("resources:\n  - {type: local_file, name: a, config: {path: a.txt, content: mine}}\n");
    project.write("a.txt", "theirs");
    snapshot!(project.apply_saved(), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 0 added, 0 changed, 0 destroyed. (0 done, 1 failed)
    --- stderr

    error: demo@local:local_file.a: there is a file `a.txt` already
      declared at stack.yaml:5:30

    hint: to adopt it, set `adopt: ifExists` on the resource
    hint: to record it unchanged, run `terrace import demo@local:local_file.a a.txt`
    ");
    assert_eq!(project.read("a.txt"), "theirs");
}

const GIVER: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: giver}\ncomponents:\n  api:\n    resources:\n      \
                     - {type: local_value, name: url, config: {input: 'http://one'}}\n    outputs: {url: '${{ resources.url.output }}'}\n";
const TAKER: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: taker}\nresources:\n  \
                     - type: local_file\n    name: url\n    config:\n      path: url.txt\n      \
                     content: '${{ stacks[\"giver\"].components[\"api\"].outputs.url }}'\n";

#[test]
fn stack_reads_outputs_of_another_in_the_same_run_and_later() {
    let project = Project::new();
    project.write("giver.yaml", GIVER);
    project.write("taker.yaml", TAKER);
    project.run(["apply", "taker.yaml", "giver.yaml", "--auto-approve", "-q"]).done();
    assert_eq!(project.read("url.txt"), "http://one");
    project.edit("giver.yaml", "http://one", "http://two");
    project.run(["plan", "taker.yaml", "--detailed-exitcode"]).done();
    project.run(["plan", "taker.yaml", "--out", "plan"]).done();
    project.run(["apply", "giver.yaml", "--auto-approve", "-q"]).done();
    project.run(["apply", "taker.yaml", "--auto-approve", "-q"]).done();
    assert_eq!(project.read("url.txt"), "http://two");
}

#[test]
fn saved_plan_is_refused_after_the_read_stack_was_applied() {
    let project = Project::new();
    project.write("giver.yaml", GIVER);
    project.write("taker.yaml", TAKER);
    project.run(["apply", "giver.yaml", "--auto-approve", "-q"]).done();
    project.run(["plan", "taker.yaml", "--out", "plan"]).done();
    project.edit("giver.yaml", "http://one", "http://two");
    project.run(["apply", "giver.yaml", "--auto-approve", "-q"]).done();
    let refused = project.run(["apply", "plan"]).with_code(4);
    refused.prints("the output `api/url` of giver@local changed since the plan was made");
    assert!(!project.has("url.txt"));
}

#[test]
fn never_applied_stack_is_reported_with_the_applied_ones() {
    let project = Project::new();
    project.write("giver.yaml", GIVER);
    project.write("taker.yaml", TAKER.replace("\"giver\"", "\"givr\""));
    project.run(["apply", "giver.yaml", "--auto-approve", "-q"]).done();
    snapshot!(project.run(["plan", "taker.yaml", "-q"]), @r#"
    exit: 1
    --- stdout
    stack taker@local  (embedded environment: SQLite and files under .terrace/local)

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    expression_failed

      × the stack `givr@local` was never applied
       ╭─[taker.yaml:9:21]
     9 │       content: '${{ stacks["givr"].components["api"].outputs.url }}'
       ·                     ────────────────────────────────────────────
       ╰────
      hint: did you mean `giver`?
    "#);
}

#[test]
fn remote_validation_reports_errors_of_a_plan() {
    let project = Project::with_stack("data:\n  - {type: local_file, name: a, config: {path: missing.txt}}\n");
    project.run(["validate", "stack.yaml"]).done();
    let output = project.run(["validate", "stack.yaml", "--remote"]).with_code(1);
    output.prints("there is no such file");
    project.write("missing.txt", "there");
    project.run(["validate", "stack.yaml", "--remote"]).done();
    assert!(!project.has(".terrace"), "nothing is written");
}

#[test]
fn destroyed_stack_has_no_outputs() {
    let project = Project::new();
    project.write("terrace.yaml", "environments:\n  dev: {providers: {local: {}}}\n  prod: {providers: {local: {}}}\n");
    project.write("giver.yaml", GIVER);
    project.write("taker.yaml", TAKER);
    for environment in ["dev", "prod"] {
        project.run(["apply", "giver.yaml", "--env", environment, "--auto-approve", "-q"]).done();
    }
    project.run(["destroy", "giver.yaml", "--env", "dev", "--auto-approve", "-q"]).done();
    snapshot!(project.run(["plan", "taker.yaml", "--env", "dev", "-q"]), @r#"
    exit: 1
    --- stdout
    stack taker@dev

    Planning failed with errors; the resources that could be planned have no changes.
    --- stderr
    expression_failed

      × the stack `giver@dev` has no state any more
       ╭─[taker.yaml:9:21]
     9 │       content: '${{ stacks["giver"].components["api"].outputs.url }}'
       ·                     ─────────────────────────────────────────────
       ╰────
      hint: apply giver@dev first, or plan both in one run
    "#);
    project.edit("taker.yaml", "\"giver\"", "\"givre\"");
    project.run(["plan", "taker.yaml", "--env", "dev"]).with_code(1).prints("apply givre@dev first");
    project.run(["plan", "taker.yaml", "--env", "prod"]).with_code(1).prints("did you mean `giver`?");
}

#[test]
fn lines_of_an_apply_of_several_stacks_name_the_stack() {
    let project = Project::new();
    for name in ["one", "two"] {
        let file = format!("{{type: local_file, name: a, config: {{path: out/{name}, content: x}}}}");
        project.write_named_stack(name, &format!("resources: [{file}]\n"));
    }
    let output = project.run(["apply", "one.yaml", "two.yaml", "--auto-approve"]).done().stderr;
    for name in ["one", "two"] {
        assert!(output.contains(&format!("{name}@local:local_file.a: creating...")), "{output}");
    }
    let output = project.run(["destroy", "one.yaml", "--auto-approve"]).done().stderr;
    assert!(output.contains("\nlocal_file.a: deleted"), "{output}");
}

#[test]
fn objects_of_a_renamed_stack_are_reported_at_once() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: a.txt, content: x}}\n  \
         - {type: local_file, name: b, config: {path: b.txt, content: x}}\n",
    );
    project.apply().done();
    project.edit("stack.yaml", "name: demo", "name: renamed");
    let refused = project.run(["plan", "stack.yaml"]).with_code(1);
    refused.prints("renamed@local would create objects that demo@local has: `local_file.a`, `local_file.b`");
    refused.prints("keep the name `demo`").prints("stack.yaml:5");
    project.apply().with_code(1).prints("recorded_elsewhere");
    // A stack with other objects at the same addresses is not the renamed one.
    project.edit("stack.yaml", "a.txt", "c.txt");
    project.edit("stack.yaml", "b.txt", "d.txt");
    project.apply().done();
}
