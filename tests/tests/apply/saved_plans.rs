//! Saved plans: a plan is applied once, and only to the state it was made from.

use sha2::{Digest, Sha256};
use terrace_tests::{Project, snapshot};

const FILE: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n";

fn planned(project: &Project) {
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
}

#[test]
fn saved_plan_is_applied_without_descriptor_and_question() {
    let project = Project::with_stack(FILE);
    planned(&project);
    assert!(!project.has("out/a"), "planning created something");
    project.run(["show", "plan"]).done().prints("+ local_file.a").prints("Plan: 1 to add");
    assert_eq!(project.run(["show", "plan", "--json"]).done().json()["resource_changes"][0]["address"], "local_file.a");
    project.write_stack("resources: [this is no descriptor any more\n");
    project.run(["apply", "plan", "-q"]).done().prints("1 added");
    assert_eq!(project.read("out/a"), "one");
}

#[test]
fn state_row_names_the_version_of_the_provider_that_wrote_it() {
    let project = Project::with_stack(FILE);
    project.apply().done();
    let row = project.run(["state", "show", "local_file.a", "--json"]).done().json();
    let version = row["provider_version"].as_str().unwrap();
    project.edit("stack.yaml", "content: one", "content: two");
    let plan = project.run(["plan", "stack.yaml", "--json"]).done().json();
    assert_eq!(plan["terrace"]["origin"]["providers"], serde_json::json!({"local": format!("local {version}")}));
}

/// Returns the plan digest of the descriptor.
fn digest(project: &Project) -> String {
    let plan = project.run(["plan", "stack.yaml", "--json"]).done().json();
    plan["terrace"]["plan_digest"].as_str().unwrap().to_owned()
}

#[test]
fn plan_with_the_reviewed_digest_is_applied_without_question() {
    let project = Project::with_stack(FILE);
    let reviewed = digest(&project);
    project.run(["apply", "stack.yaml", "--plan-digest", &reviewed]).done().prints("1 added");
    assert_eq!(project.read("out/a"), "one");
    project.edit("stack.yaml", "content: one", "content: two");
    planned(&project);
    project.run(["apply", "plan", "-q", "--plan-digest", &digest(&project)]).done().prints("1 changed");
}

#[test]
fn plan_with_another_digest_is_refused_and_changes_nothing() {
    let project = Project::with_stack(FILE);
    let reviewed = digest(&project);
    project.edit("stack.yaml", "content: one", "content: two");
    let now = digest(&project);
    let refused = project.run(["apply", "stack.yaml", "-q", "--auto-approve", "--plan-digest", &reviewed]).with_code(4);
    refused.prints(&format!("expected  {reviewed}")).prints(&format!("actual    {now}"));
    assert!(!project.has("out/a") && !project.has(".terrace"), "something was made");
    planned(&project);
    project.run(["apply", "plan", "--plan-digest", &reviewed]).with_code(4).prints(&now);
    // The digest depends on the existing objects too.
    project.run(["apply", "stack.yaml", "-q", "--plan-digest", &now]).done();
    project.edit("stack.yaml", "content: two", "content: three");
    let reviewed = digest(&project);
    project.write("out/a", "theirs");
    let refused = project.run(["apply", "stack.yaml", "-q", "--plan-digest", &reviewed]).with_code(4);
    refused.prints("the plan differs from the expected one");
    assert_eq!(project.read("out/a"), "theirs");
    project.run(["apply", "stack.yaml", "--plan-digest", "abc"]).with_code(1).prints("64 digits");
    let removal = project.run(["plan", "stack.yaml", "--destroy", "--json"]).done().json();
    let removal = removal["terrace"]["plan_digest"].as_str().unwrap();
    project.run(["destroy", "stack.yaml", "-q", "--plan-digest", &reviewed]).with_code(4);
    project.run(["destroy", "stack.yaml", "-q", "--plan-digest", removal]).done().prints("1 destroyed");
}

#[test]
fn saving_a_plan_does_not_change_the_state() {
    let project = Project::with_stack(FILE);
    planned(&project);
    assert!(!project.has(".terrace"), "planning created a state");
    project.run(["apply", "plan", "-q"]).done();
    let before = project.all_files();
    project.edit("stack.yaml", "content: one", "content: two");
    planned(&project);
    let state = |files: &std::collections::BTreeMap<String, Vec<u8>>| files.get(".terrace/state.db").cloned();
    assert_eq!(state(&project.all_files()), state(&before), "planning changed the state");
    project.run(["apply", "plan", "-q"]).done();
}

/// A first plan, before its state exists, and another project with the same descriptor.
fn first_plan_and_another_project() -> (Project, Project) {
    let (project, other) = (Project::with_stack(FILE), Project::with_stack(FILE));
    planned(&project);
    other.copy(&project.path("plan"), "plan");
    (project, other)
}

#[test]
fn first_plan_is_refused_for_another_state() {
    let (project, other) = first_plan_and_another_project();
    let expected = "this plan was made for another state";
    other.run(["apply", "plan"]).with_code(4).prints(expected).prints("hint: apply it in the folder where it was made");
    assert!(!other.has("out") && !other.has(".terrace"), "something was made");
    // Its state may have resources of other stacks.
    other.write_named_stack("beside", "resources: [{type: local_value, name: a}]\n");
    other.run(["apply", "beside.yaml", "--auto-approve"]).done();
    other.run(["apply", "plan"]).with_code(4).prints(expected).prints("(nothing is recorded there)");
    project.run(["--state", "sqlite:other.db", "apply", "plan"]).with_code(4).prints(expected);
    assert!(!other.has("out") && !project.has("out") && !project.has("other.db"), "something was made");
    project.run(["apply", "plan", "-q"]).done().prints("1 added");
}

#[test]
fn first_plan_is_applied_from_another_folder_to_the_same_state() {
    let (state, other) = (Project::new(), Project::with_stack(FILE));
    let url = format!("sqlite:{}", state.path("state.db").display());
    let state = [("TERRACE_STATE", url.as_str())];
    let project = Project::with_stack(FILE);
    project.run_with(&state, ["plan", "stack.yaml", "--out", "plan"]).done();
    project.write_named_stack("beside", "resources: [{type: local_value, name: a}]\n");
    project.run_with(&state, ["apply", "beside.yaml", "--auto-approve"]).done();
    other.copy(&project.path("plan"), "plan");
    other.run_with(&state, ["apply", "plan", "-q"]).done().prints("1 added");
    assert!(other.has("out/a"));
    project.run_with(&state, ["apply", "plan"]).with_code(4).prints("applied already");
}

#[test]
fn saved_plan_without_changes_does_not_claim_unchanged_objects() {
    let project = Project::with_stack(FILE);
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    planned(&project);
    project.write("out/a", "changed since");
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 0
    --- stdout
    Nothing to do: the saved plan has no changes.
    ");
    // Like any plan, it is applied only once.
    project.run(["apply", "plan"]).with_code(4).prints("this plan was applied already");
}

#[test]
fn saved_plan_without_changes_is_stale_after_another_apply() {
    let project = Project::with_stack(FILE);
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    planned(&project);
    project.edit("stack.yaml", "one", "two");
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    let recorded = project.recorded();
    project
        .run(["apply", "plan"])
        .with_code(4)
        .prints("demo@local:local_file.a (generation 1, now 2) changed since the plan was made");
    assert_eq!(project.recorded(), recorded);
}

#[test]
fn saved_destroy_of_an_empty_stack_is_applied_once() {
    let project = Project::with_stack(FILE);
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    project.run(["plan", "stack.yaml", "--destroy", "--out", "plan"]).done();
    project.run(["apply", "plan"]).done();
    project.run(["apply", "plan"]).with_code(4).prints("this plan was applied already");
}

#[test]
fn object_changed_since_the_plan_is_not_overwritten() {
    let project = Project::with_stack(FILE);
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    project.edit("stack.yaml", "content: one", "content: two");
    planned(&project);
    project.write("out/a", "theirs");
    snapshot!(project.run(["apply", "plan", "-q"]), @"
    exit: 3
    --- stdout

    Applied with failures. Resources: 0 added, 0 changed, 0 destroyed. (0 done, 1 failed)
    --- stderr

    error: demo@local:local_file.a: `content`, `sha256`, `size` of the object changed since the plan was made, so the provider was not called
      declared at stack.yaml:5:30

    hint: plan again: the new plan shows the present objects
    ");
    assert_eq!(project.read("out/a"), "theirs");
    project.run(["plan", "stack.yaml"]).done().prints("drifted").prints("1 to change");
}

#[test]
fn plan_is_applied_only_once() {
    let project = Project::with_stack(FILE);
    planned(&project);
    project.run(["apply", "plan"]).done();
    let recorded = project.recorded();
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 4
    --- stderr
    error: this plan was applied already

    hint: a plan is applied once: plan again
    ");
    assert_eq!(project.recorded(), recorded);
}

#[test]
fn shown_plan_has_its_digest_and_whether_it_was_applied() {
    let project = Project::with_stack(FILE);
    let planned = project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    let expected = format!("Plan digest `{}`", digest(&project));
    assert!(planned.stderr.contains(&expected), "{planned}");
    let shown = project.run(["show", "plan"]).done();
    assert!(shown.stdout.contains(&expected) && !shown.stdout.contains("applied already"), "{shown}");
    project.run(["apply", "plan"]).done();
    project.run(["show", "plan"]).done().prints("This plan was applied already: plan again.");
}

#[test]
fn digest_of_an_applied_plan_leaves_nothing_to_do() {
    let project = Project::with_stack(FILE);
    let reviewed = digest(&project);
    project.run(["apply", "stack.yaml", "--plan-digest", &reviewed]).done().prints("1 added");
    let recorded = project.recorded();
    project.run(["apply", "stack.yaml", "--plan-digest", &reviewed]).done().prints("No changes.");
    assert_eq!(project.recorded(), recorded);
}

#[test]
fn failed_plan_is_not_applied_again() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_command, name: bad, config: {create: [\"false\"], find: [echo, \"null\"]}}\n",
    );
    planned(&project);
    project.run(["apply", "plan"]).with_code(3);
    project.run(["apply", "plan"]).with_code(4).prints("applied already");
}

#[test]
fn stale_plan_names_the_changed_resource() {
    let project = Project::with_stack(FILE);
    project.apply().done();
    project.edit("stack.yaml", "one", "two");
    planned(&project);
    project.edit("stack.yaml", "two", "three");
    project.apply().done();
    let recorded = project.recorded();
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 4
    --- stderr
    error: demo@local:local_file.a (generation 1, now 2) changed since the plan was made

    hint: plan again, and review the new plan
    ");
    assert_eq!((project.read("out/a").as_str(), project.recorded()), ("three", recorded));
}

#[test]
fn plan_to_create_is_stale_after_the_resource_was_created() {
    let project = Project::with_stack(FILE);
    planned(&project);
    project.apply().done();
    project.run(["apply", "plan"]).with_code(4).prints("local_file.a");
}

#[test]
fn change_of_another_component_does_not_make_a_plan_stale() {
    let resource = |name: &str, content: &str| {
        format!(
            "  {name}:\n    resources:\n      - {{type: local_file, name: {name}, config: {{path: out/{name}, content: {content}}}}}\n"
        )
    };
    let project = Project::with_stack(&format!("components:\n{}{}", resource("a", "one"), resource("b", "b")));
    project.apply().done();
    project.edit("stack.yaml", "content: one", "content: two");
    project.run(["plan", "stack.yaml", "-c", "a", "--out", "plan"]).done();
    project.edit("stack.yaml", "content: b", "content: c");
    project.run(["apply", "stack.yaml", "-c", "b", "--auto-approve"]).done();
    project.run(["apply", "plan"]).done();
    assert_eq!((project.read("out/a"), project.read("out/b")), ("two".to_owned(), "c".to_owned()));
}

#[test]
fn plan_of_another_format_version_is_refused() {
    let project = Project::with_stack(FILE);
    planned(&project);
    let text = project.read("plan");
    let (before, after) = text.split_once("\"terrace_plan\":").unwrap();
    project.write("plan", format!("{before}\"terrace_plan\":9{after}"));
    project
        .run(["apply", "plan"])
        .with_code(4)
        .prints("the plan file has format 9")
        .prints("plan again with this terrace");
}

#[test]
fn plan_of_another_state_is_refused() {
    let project = Project::with_stack(FILE);
    project.apply().done();
    project.edit("stack.yaml", "one", "two");
    planned(&project);
    std::fs::remove_file(project.path("out/a")).unwrap();
    project.edit("stack.yaml", "two", "one");
    project.run(["--state", "sqlite:other.db", "apply", "stack.yaml", "--auto-approve"]).done();
    snapshot!(project.run(["--state", "sqlite:other.db", "apply", "plan"]), @"
    exit: 4
    --- stderr
    error: this plan was made for another state
      planned for  sqlite:[folder]/.terrace/state.db ([uuid])
      this one is  sqlite:[folder]/other.db ([uuid])

    hint: apply it in the folder where it was made, with the same `--state`, or plan again
    ");
    assert_eq!(project.read("out/a"), "one");
}

#[test]
fn damaged_plan_is_an_error_wherever_the_damage_is() {
    let project = Project::with_stack(FILE);
    planned(&project);
    let text = project.read("plan");
    project.write("plan", text.replace("out/a", "out/z"));
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 1
    --- stderr
    error: the plan file is damaged: its checksum does not match

    hint: plan again with this terrace
    ");
    project.write("plan", &text[..text.len() / 2]);
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 1
    --- stderr
    error: the plan file is damaged: it is truncated

    hint: plan again with this terrace
    ");
    for end in ["x", "}", "{}", "\0"] {
        project.write("plan", format!("{text}{end}"));
        project.run(["apply", "plan"]).with_code(1).prints("the plan file is damaged: there is text after its end");
    }
    // The file is truncated at each tenth: no panic and no change.
    for part in 0..10 {
        project.write("plan", &text[..text.len() * part / 10]);
        let ran = project.run(["apply", "plan"]).with_code(1);
        assert!(!ran.stderr.contains("panicked"), "{ran}");
    }
    assert!(!project.has("out"));
}

#[test]
fn plan_is_not_a_descriptor_and_descriptor_is_not_a_plan() {
    let project = Project::with_stack(FILE);
    planned(&project);
    snapshot!(project.run(["plan", "plan"]), @"
    exit: 1
    --- stderr
    error: a saved plan is not a descriptor

    hint: apply it with `terrace apply PLAN`, or show it with `terrace show PLAN`
    ");
    snapshot!(project.run(["show", "stack.yaml"]), @"
    exit: 1
    --- stderr
    error: `stack.yaml` is not a saved plan

    hint: save one with `terrace plan FILE --out PLAN`, or preview the changes with `terrace plan FILE`
    ");
}

#[test]
fn equal_plans_differ_only_in_id_and_time() {
    let project = Project::with_network_status();
    project.run(["apply", "data-product.yaml", "--env", "local", "-c", "input-kafka-topic", "--auto-approve"]).done();
    let plan = || {
        let mut plan = project.run(["plan", "data-product.yaml", "--env", "local", "--json"]).done().json();
        plan["timestamp"].take();
        plan["terrace"]["plan_id"].take();
        plan
    };
    assert_eq!(plan(), plan());
}

const OUTPUT: &str = "resources: []\nvariables: {v: {type: int, default: 1}}\noutputs: {o: '${{ vars.v }}'}\n";

#[test]
fn plan_is_stale_after_a_planned_output_changed() {
    let project = Project::with_stack(OUTPUT);
    project.apply().done();
    project.run(["plan", "stack.yaml", "--var", "v=2", "--out", "changes"]).done();
    project.run(["plan", "stack.yaml", "--out", "nothing"]).done();
    project.run(["apply", "stack.yaml", "--var", "v=3", "--auto-approve"]).done();
    for plan in ["changes", "nothing"] {
        let refused = project.run(["apply", plan]).with_code(4);
        refused.prints("the output `o` of demo@local changed since the plan was made");
    }
    assert_eq!(project.run(["output", "o", "--json"]).done().json(), 3);
}

#[test]
fn saved_rollback_is_stale_after_an_output_changed() {
    let project = Project::with_stack(OUTPUT);
    project.apply().done();
    let first =
        project.run(["operations", "list", "--json"]).done().json()[0]["operation"].as_str().unwrap().to_owned();
    project.run(["apply", "stack.yaml", "--var", "v=2", "--auto-approve"]).done();
    project.run(["state", "rollback", "demo@local", "--to", &first, "--out", "back"]).done();
    project.run(["apply", "stack.yaml", "--var", "v=3", "--auto-approve"]).done();
    project.run(["apply", "back"]).with_code(4).prints("the output `o` of demo@local changed since the plan was made");
}

#[test]
fn plan_is_refused_with_changed_settings_of_its_provider() {
    let project = Project::with_stack("resources: [{type: sqlite_database, name: a, config: {path: a.db}}]\n");
    let configure = |settings: &str| {
        project.write(
            "terrace.yaml",
            format!("environments: {{local: {{providers: {{sqlite: {settings}, sqlite.spare: {{folder: one}}}}}}}}\n"),
        );
    };
    configure("{folder: one, busyTimeout: 5}");
    project.run(["plan", "stack.yaml", "--out", "p"]).done();
    configure("{folder: two, busyTimeout: 5}");
    let refused = project.run(["apply", "p"]).with_code(4);
    refused.prints("this plan was made with other settings of the provider instance `sqlite`");
    assert!(!project.path("two/a.db").exists() && !project.path("one/a.db").exists());
    // The order of settings, limits, and unused provider instances do not matter.
    configure("{busyTimeout: 5, limits: {concurrency: 2}, folder: one}");
    project.run(["apply", "p"]).done();
    assert!(project.path("one/a.db").exists());
}

#[test]
fn plaintext_plan_digest_depends_on_secrets() {
    let project = Project::with_stack(
        "variables: {token: {type: string, sensitive: true}}\n\
         resources: [{type: local_value, name: a, config: {input: '${{ vars.token }}'}}]\n",
    );
    let plan = |token: &str, words: &[&str]| {
        let words = [&["plan", "stack.yaml", "--plaintext-secrets"], words].concat();
        project.run_with(&[("TERRACE_VAR_token", token)], words).done()
    };
    let digest = plan("one", &["--json"]).json()["terrace"]["plan_digest"].as_str().unwrap().to_owned();
    let words = ["apply", "stack.yaml", "--plaintext-secrets", "--plan-digest", &digest];
    project
        .run_with(&[("TERRACE_VAR_token", "two")], words)
        .with_code(4)
        .prints("the plan differs from the expected one");
    assert!(!project.recorded().is_some_and(|recorded| recorded.contains("local_value")));
    project.run_with(&[("TERRACE_VAR_token", "one")], words).done();
}

/// A state key for tests.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEYED: &[(&str, &str)] = &[("TERRACE_STATE_KEY", KEY)];

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the project's plan with changed content and a recomputed digest.
fn forged(project: &Project, old: &str, new: &str) -> String {
    let written = project.read("plan");
    let (head, body) = written.split_once("\"plan\":").unwrap();
    let body = body.strip_suffix("}\n").unwrap();
    let evil = body.replace(old, new);
    assert_ne!(evil, body);
    format!("{}\"plan\":{evil}}}\n", head.replace(&sha256(body), &sha256(&evil)))
}

#[test]
fn forged_plan_is_refused_with_a_key() {
    let project = Project::with_stack(FILE);
    project.run_with(KEYED, ["plan", "stack.yaml", "--out", "plan"]).done();
    project.write("forged", forged(&project, "\"one\"", "\"two\""));
    for command in ["apply", "show", "graph"] {
        project.run_with(KEYED, [command, "forged"]).with_code(4).prints("forged or changed");
    }
    // A plan that was made without a key, or with another key, is refused.
    project.run(["plan", "stack.yaml", "--out", "without"]).done();
    project.run_with(KEYED, ["apply", "without"]).with_code(4).prints("no authentication code");
    let other = "//////////////////////////////////////////8=";
    project.run_with(&[("TERRACE_STATE_KEY", other)], ["apply", "plan"]).with_code(4).prints("not configured");
    project.run(["apply", "plan"]).with_code(4).prints("not configured");
    assert!(!project.has("out/a") && !project.has(".terrace"), "something was made");
    project.write("terrace.yaml", format!("encryption: {{previous: [\"{KEY}\"]}}\n"));
    project.run_with(&[("TERRACE_STATE_KEY", other)], ["apply", "plan", "-q"]).done().prints("1 added");
}

#[test]
fn plan_without_a_key_needs_its_digest() {
    let project = Project::with_stack(FILE);
    let planned = project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    let digest = planned.stderr.split('`').find(|word| word.len() == 64).unwrap().to_owned();
    let refused = project.run_as_given(&[], ["apply", "plan"]).with_code(4);
    refused.prints("cannot be authenticated").prints("--plan-digest");
    project.write("forged", forged(&project, "\"one\"", "\"two\""));
    let refused = project.run_as_given(&[], ["apply", "forged", "--plan-digest", &digest]).with_code(4);
    refused.prints(&format!("expected  {digest}")).prints("actual    ");
    assert!(!project.has("out/a") && !project.has(".terrace"), "something was made");
    project.run_as_given(&[], ["apply", "plan", "-q", "--plan-digest", &digest]).done().prints("1 added");
}

#[test]
fn plan_does_not_choose_the_configuration() {
    let project = Project::with_stack(FILE);
    project.write("terrace.yaml", "environments: {local: {overlay: embedded}}\n");
    // The forger has a folder with another key, and the plan names its configuration.
    project.write("evil/terrace.yaml", format!("encryption: {{key: \"{KEY}\"}}\n"));
    project.copy(&project.path("stack.yaml"), "evil/stack.yaml");
    let config = ["--config", "evil/terrace.yaml"];
    project.run([&["plan", "evil/stack.yaml", "--out", "plan"], &config[..]].concat()).done();
    project.run(["apply", "plan"]).with_code(4).prints("the plan names another project").prints("--config");
    project.run([&["apply", "plan", "-q"], &config[..]].concat()).done();
}

#[test]
fn failed_plan_keeps_an_older_file_and_reports_it() {
    let project = Project::with_stack("resources: [{type: local_value, name: a}]\n");
    let words = ["plan", "stack.yaml", "--out", "plan", "-q"];
    project.run(words).done();
    let older = project.read("plan");
    project.write_stack("resources: [{type: local_value, name: a, config: {input: '${{ resources.none.id }}'}}]\n");
    let expected = "`plan` was not written: it still holds an older plan";
    let ran = project.run(words).with_code(1);
    assert!(ran.stderr.contains(expected), "{ran}");
    project.write("stack.yaml", "kind: [");
    let ran = project.run(words).with_code(1);
    assert!(ran.stderr.contains(expected), "{ran}");
    assert_eq!(project.read("plan"), older);
    let ran = project.run(["plan", "stack.yaml", "--out", "other"]).with_code(1);
    assert!(!ran.stderr.contains("was not written"), "{ran}");
}

#[test]
fn show_of_a_missing_plan_explains_what_it_can_show() {
    let project = Project::with_stack("resources: [{type: local_value, name: orders}]\n");
    let output_of = |what| format!("there is no file, operation or resource `{what}`");
    let hint = "hint: name a plan saved by `terrace plan FILE --out PLAN`, an address of `terrace state list` or an";
    project.run(["show", "nope.plan"]).with_code(1).prints(&output_of("nope.plan")).prints(hint);
    project.apply().done();
    for what in ["nope.plan", "./nope.plan", "nope"] {
        project.run(["show", what]).with_code(1).prints(&output_of(what)).prints(hint);
    }
    project
        .run(["show", "local_value.order"])
        .with_code(1)
        .prints(&output_of("local_value.order"))
        .prints("did you mean `local_value.orders`?");
}

#[test]
fn stale_plan_names_changed_resources_and_outputs() {
    let project = Project::with_stack(
        "variables: {v: {type: int, default: 1}}\nresources:\n  \
         - {type: local_file, name: a, config: {path: out/a, content: 'v${{ vars.v }}'}}\n  \
         - {type: local_file, name: gone, config: {path: out/gone, content: a}}\n\
         outputs: {o: '${{ vars.v }}'}\n",
    );
    project.apply().done();
    project.run(["plan", "stack.yaml", "--var", "v=2", "--out", "plan"]).done();
    project.run(["plan", "--destroy", "stack.yaml", "--out", "removal"]).done();
    project.run(["apply", "stack.yaml", "--var", "v=3", "--auto-approve"]).done();
    project.run(["destroy", "stack.yaml", "--target", "local_file.gone", "--auto-approve"]).done();
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 4
    --- stderr
    error: demo@local:local_file.a (generation 1, now 2), demo@local:local_file.gone (removed since), the output `o` of demo@local changed since the plan was made

    hint: plan again, and review the new plan
    ");
    snapshot!(project.run(["apply", "removal"]), @"
    exit: 4
    --- stderr
    error: demo@local:local_file.a (generation 1, now 2), demo@local:local_file.gone (removed since), the output `o` of demo@local changed since the plan was made

    hint: plan again, and review the new plan
    ");
}

/// Runs terrace in another folder than the project, with a plan of the project.
fn in_another_folder(project: &Project, words: &[&str]) -> terrace_tests::Ran {
    let elsewhere = Project::new();
    let ran = elsewhere.run(words.iter().copied());
    assert_eq!(elsewhere.all_files().len(), 0, "{ran}");
    assert!(!project.has("out/b"), "{ran}");
    ran
}

#[test]
fn hint_for_a_plan_in_another_folder_names_its_project() {
    let project = Project::with_stack(FILE);
    project.write("terrace.yaml", format!("encryption: {{key: \"{KEY}\"}}\nenvironments: {{local: {{}}}}\n"));
    planned(&project);
    let (plan, config) =
        (project.path("plan").display().to_string(), project.path("terrace.yaml").display().to_string());
    for command in ["apply", "show", "graph"] {
        let refused = in_another_folder(&project, &[command, &plan]).with_code(4);
        refused.prints("hint: run this in the folder of the plan's project, or name its configuration: `--config");
        assert!(!refused.stderr.contains("TERRACE_STATE_KEY"), "{refused}");
    }
    in_another_folder(&project, &["apply", &plan, "-q", "--config", &config]).done().prints("1 added");
    assert_eq!(project.read("out/a"), "one");
}

#[test]
fn hint_for_a_plan_of_another_state_in_another_folder_names_its_project() {
    let project = Project::with_stack(FILE);
    project.apply().done();
    project.write("stack.yaml", project.read("stack.yaml").replace("out/a", "out/b"));
    planned(&project);
    let (plan, digest) = (project.path("plan").display().to_string(), project.digest_of(&[], "plan").unwrap());
    let refused = in_another_folder(&project, &["apply", &plan, "--plan-digest", &digest]).with_code(4);
    refused.prints("this plan was made for another state").prints("hint: run this in the folder of the plan's project");
    assert!(!refused.stderr.contains("in the folder where it was made"), "{refused}");
}

#[test]
fn hint_for_a_plan_of_an_environment_in_another_folder_names_its_project() {
    let project = Project::with_stack(FILE);
    project.write("terrace.yaml", "environments: {production: {}}\n");
    project.run_with(KEYED, ["plan", "stack.yaml", "--env", "production", "--out", "plan"]).done();
    let plan = project.path("plan").display().to_string();
    let elsewhere = Project::new();
    let refused = elsewhere.run_with(KEYED, ["apply", &plan]).with_code(1);
    refused.prints("the environment `production` is not configured");
    refused.prints("hint: run this in the folder of the plan's project");
    assert!(!refused.stderr.contains("--env local"), "{refused}");
}
