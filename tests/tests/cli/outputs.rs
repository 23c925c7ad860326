//! `terrace output` and `state show` mark sensitive values with a key, without a key and with a wrong key.

use terrace_tests::{Project, snapshot};

const KEY: &str = "q83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80=";
const OTHER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const STACK: &str = r#"variables: {token: {type: string, sensitive: true, default: hunter2}}
resources:
  - {type: local_value, name: mixed, config: {input: {t: '${{ vars.token }}', n: 1, nothing: null}}}
outputs:
  token: {value: '${{ vars.token }}', sensitive: true}
  open: plain
"#;
/// The same outputs without a sensitive attribute of a resource.
const OUTPUT_ONLY: &str = r#"variables: {token: {type: string, sensitive: true, default: hunter2}}
resources:
  - {type: local_value, name: a, config: {input: 1}}
outputs:
  token: {value: '${{ vars.token }}', sensitive: true}
  open: plain
"#;

fn applied() -> Project {
    let project = Project::with_stack(STACK);
    project.run_with(&[("TERRACE_STATE_KEY", KEY)], ["apply", "stack.yaml", "--auto-approve", "-q"]).done();
    project
}

#[test]
fn revealed_output_is_still_marked_sensitive() {
    let project = applied();
    let run = |words: &[&str]| project.run_with(&[("TERRACE_STATE_KEY", KEY)], words.iter().copied()).done();
    let json = run(&["output", "--json", "--reveal"]).json();
    let sensitive = serde_json::json!({ "value": "hunter2", "sensitive": true, "stored": true });
    assert_eq!(json["token"], sensitive);
    assert_eq!(json["open"], serde_json::json!({ "value": "plain", "sensitive": false, "stored": true }));
    let hidden = run(&["output", "--json"]).json();
    assert_eq!(hidden["token"], serde_json::json!({ "value": null, "sensitive": true, "stored": true }));
}

#[test]
fn secret_inside_a_value_differs_from_null() {
    let project = applied();
    let shown = project.run(["state", "show", "local_value.mixed"]).done();
    shown.prints(r#"input = {"t":(sensitive value),"n":1,"nothing":null}"#);
    let json = project.run(["state", "show", "local_value.mixed", "--json"]).done().json();
    assert_eq!(json["attributes"]["input"], serde_json::json!({ "n": 1, "nothing": null }));
    assert_eq!(json["sensitive"]["input"], serde_json::json!({ "t": true }));
    let plan = project.run_with(&[("TERRACE_STATE_KEY", KEY)], ["plan", "stack.yaml", "--json"]).done().json();
    let change = &plan["resource_changes"][0]["change"];
    assert_eq!(change["before"]["input"], json["attributes"]["input"], "state and plan say it alike");
    assert_eq!(change["before_sensitive"], json["sensitive"]);
}

#[test]
fn output_without_reveal_needs_no_key() {
    let project = applied();
    for keys in [&[][..], &[("TERRACE_STATE_KEY", OTHER_KEY)], &[("TERRACE_STATE_KEY", "no key")]] {
        let run = |words: &[&str]| project.run_with(keys, words.iter().copied());
        assert_eq!(run(&["output"]).done().stdout, "open = \"plain\"\ntoken = (sensitive value)\n");
        assert_eq!(run(&["output", "open", "--format", "raw"]).done().stdout, "plain");
        run(&["show"]).done().prints("(sensitive value)");
        run(&["output", "token", "--reveal"]).with_code(1).prints("state key");
    }
}

#[test]
fn sensitive_output_without_a_key_reports_that_it_is_not_stored() {
    let project = Project::with_stack(OUTPUT_ONLY);
    let applied = project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    snapshot!(applied, @r#"
    exit: 0
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

      + local_value.a
          + input  = 1
          + id     = (known after apply)
          + output = (known after apply)

      outputs
      + open = "plain"

    Plan: 1 to add, 0 to change, 0 to destroy.

    Apply complete! Resources: 1 added, 0 changed, 0 destroyed.

    Outputs:
      open = "plain"
      token = (sensitive value)
    --- stderr
    local_value.a: created after [duration]
    output_not_stored

      ☞ the output `token` is sensitive and was not stored: there is no state key
      hint: create a key with `terrace init --state-key` and apply again; or pass `--plaintext-secrets` to
            `terrace apply`, which stores it in the clear
    "#);
    snapshot!(project.run(["output"]), @r#"
    exit: 0
    --- stdout
    open = "plain"
    token = (sensitive value, not stored)
    "#);
    snapshot!(project.run(["output", "token"]), @"
    exit: 1
    --- stderr
    error: the output `token` is sensitive and was not stored: there was no state key to seal it with

    hint: create a key with `terrace init --state-key` and apply again; or pass `--plaintext-secrets` to `terrace apply`, which stores it in the clear
    ");
    let json = project.run(["output", "--json"]).done().json();
    assert_eq!(json["token"], serde_json::json!({ "value": null, "sensitive": true, "stored": false }));
    project.assert_settled("stack.yaml", &[]);
    // With a key terrace stores the output, and the plan shows a change.
    let keyed = |words: &[&str]| project.run_with(&[("TERRACE_STATE_KEY", KEY)], words.iter().copied());
    keyed(&["apply", "stack.yaml", "--auto-approve", "-q"]).done();
    assert_eq!(keyed(&["output", "token", "--reveal"]).done().stdout, "\"hunter2\"\n");
}

#[test]
fn json_reports_an_output_that_is_not_stored() {
    let project = Project::with_stack(OUTPUT_ONLY);
    let ran = project.run(["apply", "stack.yaml", "--auto-approve", "--json"]).done();
    assert!(
        ran.stdout.lines().any(|line| line.contains("the output `token` is sensitive and was not stored")),
        "{ran}"
    );
}

#[test]
fn missing_key_is_reported_once_per_attribute_with_its_places() {
    let project = Project::with_stack(
        "variables: {token: {type: string, sensitive: true, default: hunter2}}\nresources:\n  \
         - {type: local_value, name: many, forEach: '${{ range(20) }}', config: {input: '${{ vars.token }}'}}\n  \
         - {type: local_value, name: one, config: {input: '${{ vars.token }}'}}\n",
    );
    snapshot!(project.run(["plan", "stack.yaml", "-q", "--detail", "summary"]), @"
    exit: 1
    --- stdout
    stack demo@local  (embedded environment: SQLite and files under .terrace/local)

    Plan: 21 to add, 0 to change, 0 to destroy.
    This plan has errors and cannot be applied.
    --- stderr
    no_state_key

      × `input` of 21 resources is sensitive and there is no state key to seal it with
      │ at stack.yaml:6:31
      │ at stack.yaml:7:31
      hint: create a key with `terrace init --state-key`, or store the value in plain text with `--plaintext-secrets`
    ");
}

#[test]
fn numbers_keep_their_spelling() {
    let project = Project::with_stack(
        "variables: {any: {default: 1}, schema: {schema: {type: number}, default: 1}}\n\
         outputs:\n  id: 18446744073709551617\n  price: 1.10\n  any: '${{ vars.any }}'\n  list: '${{ [vars.schema] }}'\n",
    );
    let ran =
        project.run(["apply", "stack.yaml", "--auto-approve", "--var", "any=2.50", "--var", "schema=0.10"]).done();
    for value in ["= 2.50\n", "= 18446744073709551617\n", "= [0.10]\n", "= 1.10\n"] {
        assert_eq!(ran.stdout.matches(value).count(), 2, "{value} in the plan and at the end\n{}", ran.stdout);
    }
    assert_eq!(project.run(["output", "id", "--format", "raw"]).done().stdout.trim_end(), "18446744073709551617");
    assert_eq!(project.run(["output", "list", "--json"]).done().stdout, "[\n  0.10\n]\n");
    project.run(["plan", "stack.yaml", "--var", "any=2.50", "--var", "schema=0.10"]).done().prints("No changes.");
}

#[test]
fn numbers_in_command_output_keep_their_spelling() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_command, name: c, config: {create: [echo, '{\"id\": \"x\", \"rate\": 1.10}'], \
         find: [echo, 'null']}}\noutputs: {rate: '${{ resources.c.output.rate }}'}\n",
    );
    project.apply().done();
    assert_eq!(project.run(["output", "rate", "--format", "raw"]).done().stdout.trim_end(), "1.10");
}

#[test]
fn outputs_of_several_stacks_name_their_stack() {
    let project = Project::new();
    for name in ["one", "two"] {
        project.write_named_stack(name, &format!("resources: []\noutputs: {{t: {name}}}\n"));
    }
    let ran = project.run(["apply", "one.yaml", "two.yaml", "--auto-approve"]).done();
    ran.prints("Outputs:\n  one@local:t = \"one\"\n  two@local:t = \"two\"\n");
}
