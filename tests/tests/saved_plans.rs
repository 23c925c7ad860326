//! A plan in a file is applied once, and only to what it was made from.

use sha2::{Digest, Sha256};
use terrace_tests::{Project, snapshot};

const FILE: &str = "resources:\n  - {type: local_file, name: a, config: {path: out/a, content: one}}\n";

fn planned(project: &Project) {
    project.run(["plan", "stack.yaml", "--out", "plan"]).done();
}

#[test]
fn a_saved_plan_is_applied_without_the_descriptor_and_without_a_question() {
    let project = Project::with_stack(FILE);
    planned(&project);
    assert!(!project.has("out/a"), "planning made something");
    project.run(["show", "plan"]).done().says("+ local_file.a").says("Plan: 1 to add");
    assert_eq!(project.run(["show", "plan", "--json"]).done().json()["resource_changes"][0]["address"], "local_file.a");
    project.write_stack("resources: [this is no descriptor any more\n");
    project.run(["apply", "plan", "-q"]).done().says("1 added");
    assert_eq!(project.read("out/a"), "one");
}

#[test]
fn a_row_names_the_version_of_the_provider_that_wrote_it() {
    let project = Project::with_stack(FILE);
    project.apply().done();
    let row = project.run(["state", "show", "local_file.a", "--json"]).done().json();
    let version = row["provider_version"].as_str().unwrap();
    project.edit("stack.yaml", "content: one", "content: two");
    let plan = project.run(["plan", "stack.yaml", "--json"]).done().json();
    assert_eq!(plan["terrace"]["origin"]["providers"], serde_json::json!({"local": format!("local {version}")}));
}

/// The digest of what a descriptor would be planned as.
fn digest(project: &Project) -> String {
    let plan = project.run(["plan", "stack.yaml", "--json"]).done().json();
    plan["terrace"]["plan_digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_plan_of_the_digest_that_was_looked_at_is_applied_without_a_question() {
    let project = Project::with_stack(FILE);
    let looked_at = digest(&project);
    project.run(["apply", "stack.yaml", "--plan-digest", &looked_at]).done().says("1 added");
    assert_eq!(project.read("out/a"), "one");
    project.edit("stack.yaml", "content: one", "content: two");
    planned(&project);
    project.run(["apply", "plan", "-q", "--plan-digest", &digest(&project)]).done().says("1 changed");
}

#[test]
fn a_plan_of_another_digest_is_refused_and_nothing_is_changed() {
    let project = Project::with_stack(FILE);
    let looked_at = digest(&project);
    project.edit("stack.yaml", "content: one", "content: two");
    let now = digest(&project);
    let refused =
        project.run(["apply", "stack.yaml", "-q", "--auto-approve", "--plan-digest", &looked_at]).with_code(4);
    refused.says(&format!("expected  {looked_at}")).says(&format!("actual    {now}"));
    assert!(!project.has("out/a") && !project.has(".terrace"), "something was made");
    planned(&project);
    project.run(["apply", "plan", "--plan-digest", &looked_at]).with_code(4).says(&now);
    // What is there counts, too.
    project.run(["apply", "stack.yaml", "-q", "--plan-digest", &now]).done();
    project.edit("stack.yaml", "content: two", "content: three");
    let looked_at = digest(&project);
    project.write("out/a", "theirs");
    project.run(["apply", "stack.yaml", "-q", "--plan-digest", &looked_at]).with_code(4).says("another plan");
    assert_eq!(project.read("out/a"), "theirs");
    project.run(["apply", "stack.yaml", "--plan-digest", "abc"]).with_code(1).says("64 digits");
    let removal = project.run(["plan", "stack.yaml", "--destroy", "--json"]).done().json();
    let removal = removal["terrace"]["plan_digest"].as_str().unwrap();
    project.run(["destroy", "stack.yaml", "-q", "--plan-digest", &looked_at]).with_code(4);
    project.run(["destroy", "stack.yaml", "-q", "--plan-digest", removal]).done().says("1 destroyed");
}

#[test]
fn saving_a_plan_leaves_the_state_alone() {
    let project = Project::with_stack(FILE);
    planned(&project);
    assert!(!project.has(".terrace"), "planning made a state");
    project.run(["apply", "plan", "-q"]).done();
    let before = project.all_files();
    project.edit("stack.yaml", "content: one", "content: two");
    planned(&project);
    let state = |files: &std::collections::BTreeMap<String, Vec<u8>>| files.get(".terrace/state.db").cloned();
    assert_eq!(state(&project.all_files()), state(&before), "planning changed the state");
    project.run(["apply", "plan", "-q"]).done();
    // A plan that was made where nothing was recorded is not for a state that has something.
    project.run(["--state", "sqlite:other.db", "plan", "stack.yaml", "--out", "plan"]).done();
    project.run(["apply", "plan"]).with_code(4).says("changed since the plan was made");
}

#[test]
fn a_saved_plan_without_changes_does_not_claim_that_all_is_as_it_was() {
    let project = Project::with_stack(FILE);
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    planned(&project);
    project.write("out/a", "changed since");
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 0
    --- stdout
    Nothing to do: the saved plan has no changes.
    ");
    // It is applied once, as any plan.
    project.run(["apply", "plan"]).with_code(4).says("this plan was applied already");
}

#[test]
fn a_saved_plan_without_changes_is_stale_once_something_was_applied() {
    let project = Project::with_stack(FILE);
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    planned(&project);
    project.edit("stack.yaml", "one", "two");
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    let recorded = project.recorded();
    project
        .run(["apply", "plan"])
        .with_code(4)
        .says("demo@local:local_file.a (generation 1, now 2) changed since the plan was made");
    assert_eq!(project.recorded(), recorded);
}

#[test]
fn a_saved_destruction_of_nothing_is_applied_once() {
    let project = Project::with_stack(FILE);
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    project.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    project.run(["plan", "stack.yaml", "--destroy", "--out", "plan"]).done();
    project.run(["apply", "plan"]).done();
    project.run(["apply", "plan"]).with_code(4).says("this plan was applied already");
}

#[test]
fn what_somebody_changed_since_the_plan_is_not_overwritten() {
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

    error: demo@local:local_file.a: `content`, `sha256`, `size` of the object changed since the plan was made, so nothing was called
      declared at stack.yaml:5:30

    hint: plan again: the new plan shows what is there now
    ");
    assert_eq!(project.read("out/a"), "theirs");
    project.run(["plan", "stack.yaml"]).done().says("drifted").says("1 to change");
}

#[test]
fn a_plan_is_spent_by_its_application() {
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
fn a_plan_that_is_shown_says_its_digest_and_that_it_is_spent() {
    let project = Project::with_stack(FILE);
    let planned = project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    let told = format!("Plan digest `{}`", digest(&project));
    assert!(planned.stderr.contains(&told), "{planned}");
    let shown = project.run(["show", "plan"]).done();
    assert!(shown.stdout.contains(&told) && !shown.stdout.contains("spent"), "{shown}");
    project.run(["apply", "plan"]).done();
    project.run(["show", "plan"]).done().says("This plan was applied already: it is spent");
}

#[test]
fn a_digest_of_what_was_applied_already_leaves_nothing_to_do() {
    let project = Project::with_stack(FILE);
    let looked_at = digest(&project);
    project.run(["apply", "stack.yaml", "--plan-digest", &looked_at]).done().says("1 added");
    let recorded = project.recorded();
    project.run(["apply", "stack.yaml", "--plan-digest", &looked_at]).done().says("No changes.");
    assert_eq!(project.recorded(), recorded);
}

#[test]
fn a_plan_that_failed_halfway_is_spent_too() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_command, name: bad, config: {create: [\"false\"], find: [echo, \"null\"]}}\n",
    );
    planned(&project);
    project.run(["apply", "plan"]).with_code(3);
    project.run(["apply", "plan"]).with_code(4).says("applied already");
}

#[test]
fn a_stale_plan_names_the_row_that_moved() {
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

    hint: plan again, and look at what the new plan says
    ");
    assert_eq!((project.read("out/a").as_str(), project.recorded()), ("three", recorded));
}

#[test]
fn a_plan_of_what_was_not_there_is_stale_once_it_is() {
    let project = Project::with_stack(FILE);
    planned(&project);
    project.apply().done();
    project.run(["apply", "plan"]).with_code(4).says("local_file.a");
}

#[test]
fn a_change_elsewhere_does_not_make_a_plan_stale() {
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
fn a_plan_of_another_format_is_refused() {
    let project = Project::with_stack(FILE);
    planned(&project);
    let text = project.read("plan");
    let (before, after) = text.split_once("\"terrace_plan\":").unwrap();
    project.write("plan", format!("{before}\"terrace_plan\":9{after}"));
    project.run(["apply", "plan"]).with_code(4).says("the plan file has format 9").says("plan again with this terrace");
}

#[test]
fn a_plan_of_another_state_is_refused() {
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

    hint: name the state that the plan was made for with `--state`, or plan again
    ");
    assert_eq!(project.read("out/a"), "one");
}

#[test]
fn a_damaged_plan_is_an_error_wherever_the_damage_is() {
    let project = Project::with_stack(FILE);
    planned(&project);
    let text = project.read("plan");
    project.write("plan", text.replace("out/a", "out/z"));
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 1
    --- stderr
    error: the plan file is damaged: its digest does not fit

    hint: plan again with this terrace
    ");
    project.write("plan", &text[..text.len() / 2]);
    snapshot!(project.run(["apply", "plan"]), @"
    exit: 1
    --- stderr
    error: the plan file is damaged: it is cut off

    hint: plan again with this terrace
    ");
    for end in ["x", "}", "{}", "\0"] {
        project.write("plan", format!("{text}{end}"));
        project.run(["apply", "plan"]).with_code(1).says("the plan file is damaged: something stands after its end");
    }
    // Every tenth part cut off: never a panic, never a change.
    for part in 0..10 {
        project.write("plan", &text[..text.len() * part / 10]);
        let ran = project.run(["apply", "plan"]).with_code(1);
        assert!(!ran.stderr.contains("panicked"), "{ran}");
    }
    assert!(!project.has("out"));
}

#[test]
fn a_plan_is_no_descriptor_and_a_descriptor_is_no_plan() {
    let project = Project::with_stack(FILE);
    planned(&project);
    snapshot!(project.run(["plan", "plan"]), @"
    exit: 1
    --- stderr
    error: a saved plan is no descriptor

    hint: `terrace apply PLAN` applies it, `terrace show PLAN` shows it
    ");
    snapshot!(project.run(["show", "stack.yaml"]), @"
    exit: 1
    --- stderr
    error: `stack.yaml` is no saved plan

    hint: `terrace plan FILE --out PLAN` saves one; `terrace plan FILE` shows what applying would do
    ");
}

#[test]
fn two_equal_plans_differ_in_their_id_and_time_only() {
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
fn a_plan_is_stale_once_an_output_that_it_changes_is_another_one() {
    let project = Project::with_stack(OUTPUT);
    project.apply().done();
    project.run(["plan", "stack.yaml", "--var", "v=2", "--out", "changes"]).done();
    project.run(["plan", "stack.yaml", "--out", "nothing"]).done();
    project.run(["apply", "stack.yaml", "--var", "v=3", "--auto-approve"]).done();
    for plan in ["changes", "nothing"] {
        let refused = project.run(["apply", plan]).with_code(4);
        refused.says("the output `o` of demo@local changed since the plan was made");
    }
    assert_eq!(project.run(["output", "o", "--json"]).done().json(), 3);
}

#[test]
fn a_saved_rollback_is_stale_once_an_output_is_another_one() {
    let project = Project::with_stack(OUTPUT);
    project.apply().done();
    let first =
        project.run(["operations", "list", "--json"]).done().json()[0]["operation"].as_str().unwrap().to_owned();
    project.run(["apply", "stack.yaml", "--var", "v=2", "--auto-approve"]).done();
    project.run(["state", "rollback", "demo@local", "--to", &first, "--out", "back"]).done();
    project.run(["apply", "stack.yaml", "--var", "v=3", "--auto-approve"]).done();
    project.run(["apply", "back"]).with_code(4).says("the output `o` of demo@local changed since the plan was made");
}

#[test]
fn a_plan_is_not_applied_with_other_settings_of_an_instance_that_has_a_part_in_it() {
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
    refused.says("this plan was made with other settings of the provider instance `sqlite`");
    assert!(!project.path("two/a.db").exists() && !project.path("one/a.db").exists());
    // The order of settings, limits, and instances that have no part in it change nothing.
    configure("{busyTimeout: 5, limits: {concurrency: 2}, folder: one}");
    project.run(["apply", "p"]).done();
    assert!(project.path("one/a.db").exists());
}

#[test]
fn digest_tells_secrets_apart_where_they_may_be_in_the_clear() {
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
    project.run_with(&[("TERRACE_VAR_token", "two")], words).with_code(4).says("another plan than the expected one");
    assert!(!project.recorded().is_some_and(|recorded| recorded.contains("local_value")));
    project.run_with(&[("TERRACE_VAR_token", "one")], words).done();
}

/// A state key for tests.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEYED: &[(&str, &str)] = &[("TERRACE_STATE_KEY", KEY)];

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The plan of the project with another content, and the digest of that text.
fn forged(project: &Project, old: &str, new: &str) -> String {
    let written = project.read("plan");
    let (head, body) = written.split_once("\"plan\":").unwrap();
    let body = body.strip_suffix("}\n").unwrap();
    let evil = body.replace(old, new);
    assert_ne!(evil, body);
    format!("{}\"plan\":{evil}}}\n", head.replace(&sha256(body), &sha256(&evil)))
}

#[test]
fn forged_plan_is_refused_under_a_key() {
    let project = Project::with_stack(FILE);
    project.run_with(KEYED, ["plan", "stack.yaml", "--out", "plan"]).done();
    project.write("forged", forged(&project, "\"one\"", "\"two\""));
    for command in ["apply", "show", "graph"] {
        project.run_with(KEYED, [command, "forged"]).with_code(4).says("forged or changed");
    }
    // A plan that was made without the key, or with another one.
    project.run(["plan", "stack.yaml", "--out", "without"]).done();
    project.run_with(KEYED, ["apply", "without"]).with_code(4).says("no authentication code");
    let other = "//////////////////////////////////////////8=";
    project.run_with(&[("TERRACE_STATE_KEY", other)], ["apply", "plan"]).with_code(4).says("not configured");
    project.run(["apply", "plan"]).with_code(4).says("not configured");
    assert!(!project.has("out/a") && !project.has(".terrace"), "something was made");
    project.write("terrace.yaml", format!("encryption: {{previous: [\"{KEY}\"]}}\n"));
    project.run_with(&[("TERRACE_STATE_KEY", other)], ["apply", "plan", "-q"]).done().says("1 added");
}

#[test]
fn plan_without_a_key_needs_its_digest() {
    let project = Project::with_stack(FILE);
    let told = project.run(["plan", "stack.yaml", "--out", "plan"]).done();
    let digest = told.stderr.split('`').find(|word| word.len() == 64).unwrap().to_owned();
    let refused = project.run_as_given(&[], ["apply", "plan"]).with_code(4);
    refused.says("cannot be authenticated").says("--plan-digest");
    project.write("forged", forged(&project, "\"one\"", "\"two\""));
    let refused = project.run_as_given(&[], ["apply", "forged", "--plan-digest", &digest]).with_code(4);
    refused.says(&format!("expected  {digest}")).says("actual    ");
    assert!(!project.has("out/a") && !project.has(".terrace"), "something was made");
    project.run_as_given(&[], ["apply", "plan", "-q", "--plan-digest", &digest]).done().says("1 added");
}

#[test]
fn plan_does_not_choose_the_configuration() {
    let project = Project::with_stack(FILE);
    project.write("terrace.yaml", "environments: {local: {overlay: embedded}}\n");
    // A forger has a folder with a key of its own, and names it in the plan.
    project.write("evil/terrace.yaml", format!("encryption: {{key: \"{KEY}\"}}\n"));
    project.copy(&project.path("stack.yaml"), "evil/stack.yaml");
    let config = ["--config", "evil/terrace.yaml"];
    project.run([&["plan", "evil/stack.yaml", "--out", "plan"], &config[..]].concat()).done();
    project.run(["apply", "plan"]).with_code(4).says("a project elsewhere").says("--config");
    project.run([&["apply", "plan", "-q"], &config[..]].concat()).done();
}

#[test]
fn a_plan_that_fails_says_that_an_older_one_stays_where_it_was_to_be_saved() {
    let project = Project::with_stack("resources: [{type: local_value, name: a}]\n");
    let words = ["plan", "stack.yaml", "--out", "plan", "-q"];
    project.run(words).done();
    let older = project.read("plan");
    project.write_stack("resources: [{type: local_value, name: a, config: {input: '${{ resources.none.id }}'}}]\n");
    let told = "`plan` was not written: it still is the older plan that was saved there";
    let ran = project.run(words).with_code(1);
    assert!(ran.stderr.contains(told), "{ran}");
    project.write("stack.yaml", "kind: [");
    let ran = project.run(words).with_code(1);
    assert!(ran.stderr.contains(told), "{ran}");
    assert_eq!(project.read("plan"), older);
    let ran = project.run(["plan", "stack.yaml", "--out", "other"]).with_code(1);
    assert!(!ran.stderr.contains("was not written"), "{ran}");
}

#[test]
fn a_plan_that_is_not_there_is_none_of_what_show_shows() {
    let project = Project::with_stack("resources: [{type: local_value, name: orders}]\n");
    let told = |what| format!("there is no file, operation or resource `{what}`");
    let hint = "hint: give a plan that `terrace plan FILE --out PLAN` saved, an address of `terrace state list` or an";
    project.run(["show", "nope.plan"]).with_code(1).says(&told("nope.plan")).says(hint);
    project.apply().done();
    for what in ["nope.plan", "./nope.plan", "nope"] {
        project.run(["show", what]).with_code(1).says(&told(what)).says(hint);
    }
    project
        .run(["show", "local_value.order"])
        .with_code(1)
        .says(&told("local_value.order"))
        .says("did you mean `local_value.orders`?");
}

#[test]
fn a_stale_plan_names_the_rows_that_moved_beside_the_outputs() {
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

    hint: plan again, and look at what the new plan says
    ");
    snapshot!(project.run(["apply", "removal"]), @"
    exit: 4
    --- stderr
    error: demo@local:local_file.a (generation 1, now 2), demo@local:local_file.gone (removed since), the output `o` of demo@local changed since the plan was made

    hint: plan again, and look at what the new plan says
    ");
}
