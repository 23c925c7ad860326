//! Values that become or stop being sensitive: no row, declaration or plan has them in the clear.

use crate::failure::crash_while;
use crate::support::Story;
use crate::support::story::{KEY, summary};
use crate::support::world::Fault;
use std::fmt::Write;
use std::sync::Arc;
use terrace_engine::plan::file;
use terrace_engine::seal::Seal;
use terrace_engine::store::{OwnersOf, Selection};
use terrace_provider::ErrorKind;
use terrace_provider::Value;
use uuid::Uuid;

const OTHER_KEY: &str = "//////////////////////////////////////////8=";

/// A stack with a variable `t`, sensitive or not.
fn stack(name: &str, is_sensitive: bool, resources: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\nvariables: {{t: {{type: string, default: \
         hunter2, sensitive: {is_sensitive}}}}}\ncomponents:\n  x:\n    resources:\n{resources}"
    )
}

/// A stack of one thing, with a sensitive variable `t`.
fn thing_a(val: &str) -> String {
    stack("demo", true, &format!("      - {{type: world_thing, name: a, config: {{key: a, val: {val}}}}}\n"))
}

/// The current content of a store as text.
async fn recorded(story: &Story) -> String {
    let mut text = String::new();
    for stack in story.store.stacks().await.unwrap() {
        for row in story.store.rows(&stack, &Selection::All).await.unwrap() {
            let _ = writeln!(text, "{} {} {}", row.address, row.identity.as_str(), row.attributes.as_str());
        }
    }
    let all = OwnersOf::Addresses(["shared/world_thing[\"common\"]".parse().unwrap()].into());
    for owner in story.store.owners("test", &all).await.unwrap() {
        let _ = writeln!(text, "{} {}", owner.ownership.stack, owner.declaration.as_str());
    }
    text
}

#[tokio::test]
async fn update_without_effect_leaves_the_old_secret_sealed() {
    let story = Story::new();
    story.apply(&thing_a("'${{ vars.t }}'")).await;
    story.fault("update a", Fault::Before(ErrorKind::Ambiguous));
    let report = story.apply_once(&thing_a("plain")).await;
    assert_eq!(report.failed.len(), 1);
    assert!(!recorded(&story).await.contains("hunter2"), "{}", recorded(&story).await);
    story.apply(&thing_a("plain")).await;
}

/// A thing with a write-only password.
fn with_password(ty: &str, val: u8, password: &str) -> String {
    let config = format!("{{key: a, val: {val}, password: {password}}}");
    stack("demo", true, &format!("      - {{type: {ty}, name: a, config: {config}}}\n"))
}

/// The password in the remote system.
fn password(story: &Story) -> Value {
    story.remote().objects["a"]["password"].clone()
}

#[tokio::test]
async fn password_with_uncertain_arrival_is_sent_again() {
    let faults = || {
        let ambiguous = ErrorKind::Ambiguous;
        [Fault::Before(ambiguous.clone()), Fault::After(ambiguous), Fault::Half(ErrorKind::Failed)]
    };
    for (val, fault) in faults().into_iter().flat_map(|fault| [(1, fault.clone()), (2, fault)]) {
        let what = format!("{fault:?}, val {val}");
        let story = Story::new();
        story.apply(&with_password("world_thing", 1, "old")).await;
        story.fault("update a", fault);
        let text = with_password("world_thing", val, "new");
        let report = story.apply_once(&text).await;
        assert_eq!(report.failed.len(), 1, "{what}: the outcome is unknown");
        story.remote().objects.get_mut("a").unwrap().insert("password".to_owned(), "old".into());
        story.apply(&text).await;
        assert_eq!(password(&story), Value::from("new"), "{what}");
        assert!(!story.plan(&text).await.has_changes(), "{what}");
    }
}

#[tokio::test]
async fn password_of_an_interrupted_step_is_sent_again() {
    for (val, is_recovered) in [(1, true), (1, false), (2, true), (2, false)] {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            let what = format!("{fault:?}, val {val}, recovered: {is_recovered}");
            let story = Story::new();
            story.apply(&with_password("world_thing", 1, "old")).await;
            let text = with_password("world_thing", val, "new");
            crash_while(&story, &text, "update a", fault).await;
            story.end_processes().await;
            // A part of the update may have arrived: all but the password.
            story.remote().objects.get_mut("a").unwrap().insert("password".to_owned(), "old".into());
            if is_recovered {
                story.recover().await;
            }
            assert!(story.plan(&text).await.has_changes(), "{what}: the plan shows it");
            story.recover().await;
            story.apply(&text).await;
            assert_eq!(password(&story), Value::from("new"), "{what}");
            assert!(!story.plan(&text).await.has_changes(), "{what}");
        }
    }
}

#[tokio::test]
async fn password_of_a_call_that_may_still_take_effect_is_in_doubt() {
    let story = Story::new();
    story.apply(&with_password("world_slow", 1, "old")).await;
    story.fault("update a", Fault::After(ErrorKind::Ambiguous));
    let report = story.apply_once(&with_password("world_slow", 1, "new")).await;
    assert_eq!(report.failed.len(), 1);
    let plan = story.plan(&with_password("world_slow", 1, "new")).await;
    let doubts: Vec<_> =
        plan.changes().filter_map(|(_, change)| Some(change.in_doubt.as_ref()?.text().to_owned())).collect();
    assert_eq!(doubts.len(), 1, "{}", summary(&plan));
}

#[tokio::test]
async fn template_with_one_secret_instance_is_sealed_for_all() {
    let story = Story::new();
    let text = stack(
        "demo",
        true,
        "      - {type: world_thing, name: a, config: {key: a}}\n      \
         - {type: world_thing, name: b, forEach: '${{ [\"t\", \"u\"] }}', config: {key: '${{ each.value }}', val: \
         '${{ each.value == \"t\" ? [vars.t, \"swordfish\" + resources.a.id] : [resources.a.id] }}'}}\n",
    );
    let plan = story.plan(&text).await;
    let written = file::write(&plan, &story.seal).unwrap();
    assert!(!written.contains("swordfish"), "{written}");
    story.apply_plan(&file::read(&written, &story.seal).unwrap()).await.unwrap();
}

#[tokio::test]
async fn secret_of_a_failed_update_is_sealed_if_the_object_returns_it() {
    let story = Story::new();
    story.apply(&thing_a("[plain]")).await;
    story.fault("update a", Fault::After(ErrorKind::Failed));
    assert_eq!(story.apply_once(&thing_a("['${{ vars.t }}']")).await.failed.len(), 1);
    let plan = story.plan(&thing_a("[plain, '${{ vars.t }}']")).await;
    assert!(!file::write(&plan, &story.seal).unwrap().contains("hunter2"));
    story.apply(&thing_a("[plain, '${{ vars.t }}']")).await;
    assert!(!recorded(&story).await.contains("hunter2"), "{}", recorded(&story).await);
}

#[tokio::test]
async fn secret_of_a_failed_update_is_sealed_by_a_refresh() {
    let mut story = Story::new();
    story.apply(&thing_a("[plain]")).await;
    story.fault("update a", Fault::After(ErrorKind::Failed));
    let report = story.apply_once(&thing_a("[plain, '${{ vars.t }}']")).await;
    assert_eq!(report.failed.len(), 1);
    story.options.refresh_only = true;
    let plan = story.plan(&thing_a("[plain]")).await;
    assert!(plan.changes().any(|(_, change)| change.has_refreshed()), "the object has changed");
    story.apply_plan(&plan).await.unwrap();
    assert!(!recorded(&story).await.contains("hunter2"), "{}", recorded(&story).await);
    story.options.refresh_only = false;
    story.apply(&thing_a("[plain]")).await;
    assert!(recorded(&story).await.contains("plain"), "the earlier value is no longer sealed once it is read again");
}

#[tokio::test]
async fn secret_of_a_lost_update_is_sealed_if_only_a_part_arrived() {
    for is_recovered in [true, false] {
        let story = Story::new();
        story.apply(&thing_a("[plain]")).await;
        crash_while(&story, &thing_a("['${{ vars.t }}', more]"), "update a", Fault::HangAfter).await;
        story.end_processes().await;
        let arrived = Value::List(vec!["hunter2".into()]);
        story.remote().objects.get_mut("a").unwrap().insert("val".to_owned(), arrived);
        if is_recovered {
            story.recover().await;
            assert!(!recorded(&story).await.contains("hunter2"), "{}", recorded(&story).await);
        }
        let plan = story.plan(&thing_a("[plain]")).await;
        assert!(!file::write(&plan, &story.seal).unwrap().contains("hunter2"));
        story.recover().await;
        story.apply(&thing_a("[plain]")).await;
        assert!(!recorded(&story).await.contains("hunter2"), "{}", recorded(&story).await);
    }
}

#[tokio::test]
async fn secret_of_a_failed_update_is_sealed_without_an_earlier_value() {
    let mut story = Story::new();
    let nothing = thing_a("[plain]").replace(", val: [plain]", "");
    story.apply(&nothing).await;
    story.fault("update a", Fault::After(ErrorKind::Failed));
    assert_eq!(story.apply_once(&thing_a("'${{ vars.t }}'")).await.failed.len(), 1);
    story.options.refresh_only = true;
    let plan = story.plan(&nothing).await;
    assert!(!file::write(&plan, &story.seal).unwrap().contains("hunter2"));
    story.apply_plan(&plan).await.unwrap();
    assert!(!recorded(&story).await.contains("hunter2"), "{}", recorded(&story).await);
    story.options.refresh_only = false;
    story.apply(&nothing).await;
}

#[tokio::test]
async fn identity_that_becomes_sensitive_is_sealed_without_a_call() {
    let story = Story::new();
    let text = |is_sensitive| {
        stack(
            "demo",
            is_sensitive,
            "      - {type: world_thing, name: a, config: {key: '${{ vars.t }}', val: '${{ [vars.t] }}'}}\n",
        )
    };
    story.apply(&text(false)).await;
    assert!(recorded(&story).await.contains("hunter2"));
    let plan = story.plan(&text(true)).await;
    assert!(plan.has_changes());
    assert!(!file::write(&plan, &story.seal).unwrap().contains("hunter2"));
    drop(story.log());
    story.apply(&text(true)).await;
    assert_eq!(story.log(), [] as [String; 0], "nothing was called");
    assert!(!recorded(&story).await.contains("hunter2"), "{}", recorded(&story).await);
}

#[tokio::test]
async fn secret_next_to_an_unknown_value_is_sealed_in_a_plan_file() {
    let story = Story::new();
    let text = stack(
        "demo",
        true,
        "      - {type: world_thing, name: a, config: {key: a}}\n\
         \x20     - {type: world_thing, name: whole, config: {key: '${{ resources.a.id }}-w', secret: swordfish-1}}\n\
         \x20     - {type: world_thing, name: part, config: {key: p, secret: 'swordfish-2-${{ resources.a.id }}'}}\n\
         \x20     - {type: world_thing, name: text, config: {key: t, secret: \"${{ 'swordfish-3' + resources.a.id }}\"}}\n\
         \x20     - {type: world_thing, name: local, config: {key: l, secret: '${{ locals.password + resources.a.id }}'}}\n\
         \x20   outputs:\n      told: {value: 'swordfish-5-${{ resources.a.id }}', sensitive: true}\n\
         locals: {password: swordfish-4}\n",
    );
    let plan = story.plan(&text).await;
    let written = file::write(&plan, &story.seal).unwrap();
    assert!(!written.contains("swordfish"), "{written}");
    story.apply_plan(&file::read(&written, &story.seal).unwrap()).await.unwrap();
    let made = |key: &str, name: &str| story.remote().objects[key][name].exposed().as_str().unwrap().to_owned();
    let id = made("a", "id");
    assert_eq!(made(&format!("{id}-w"), "secret"), "swordfish-1");
    let secrets = ["p", "t", "l"].map(|key| made(key, "secret"));
    assert_eq!(secrets, [format!("swordfish-2-{id}"), format!("swordfish-3{id}"), format!("swordfish-4{id}")]);
}

#[tokio::test]
async fn owner_declaration_is_recorded_again_when_it_becomes_sensitive() {
    let story = Story::new();
    let text = |name: &str, is_sensitive| {
        stack(
            name,
            is_sensitive,
            "      - {type: world_thing, name: base, shared: common, config: {key: base, val: '${{ vars.t }}'}}\n",
        )
    };
    for name in ["one", "two"] {
        story.apply(&text(name, false)).await;
    }
    story.apply(&text("one", true)).await;
    insta::assert_snapshot!(summary(&story.plan(&text("two", true)).await), @r#"owner ~ x of shared/world_thing["common"]"#);
    story.apply(&text("two", true)).await;
    assert!(!recorded(&story).await.contains("hunter2"), "{}", recorded(&story).await);
}

#[tokio::test]
async fn unchanged_secret_output_is_not_recorded_again() {
    let mut story = Story::new();
    let text = |val: &str, output: &str| {
        let resources = format!(
            "      - {{type: world_thing, name: a, config: {{key: a, val: {val}}}}}\n    outputs: {{o: {{value: '${{{{ {output} }}}}', sensitive: true}}}}\n"
        );
        stack("demo", true, &resources)
    };
    let versions = async |story: &Story| {
        let demo = story.store.stacks().await.unwrap().remove(0);
        story.store.component_reads(&demo, &["x".into()].into()).await.unwrap()
    };
    story.apply(&text("one", "vars.t")).await;
    let before = versions(&story).await;
    story.apply(&text("two", "vars.t")).await;
    assert_eq!(versions(&story).await, before);
    story.apply(&text("two", r#"vars.t + "!""#)).await;
    let before = {
        let now = versions(&story).await;
        assert_ne!(now, before);
        now
    };
    // A value sealed with an old key is sealed again with the next write.
    story.seal = Arc::new(Seal::with_key(OTHER_KEY, &[KEY]).unwrap());
    story.apply(&text("three", r#"vars.t + "!""#)).await;
    assert_ne!(versions(&story).await, before);
}

#[tokio::test]
async fn condition_must_not_read_sensitive_values() {
    let text = |when: &str| {
        let resources = format!(
            "      - {{type: world_thing, name: a, config: {{key: a}}}}\n      \
             - {{type: world_thing, name: b, when: '${{{{ {when} }}}}', config: {{key: b}}}}\n"
        );
        stack("demo", true, &resources)
    };
    let mut story = Story::new();
    insta::assert_snapshot!(story.errors(&text("vars.t == \"hunter2\"")).await, @"
    stack.yaml:9:44: `when` reads a sensitive value, but plans show its result
      hint: decide by a value that may be shown, and read the sensitive value where it is used
    ");
    // An unknown value is refused too, even if it could be deferred.
    for allow_deferral in [false, true] {
        story.options.allow_deferral = allow_deferral;
        for when in ["has(vars.t)", "vars.t == resources.a.id"] {
            let messages = story.errors(&text(when)).await;
            assert!(messages.contains("`when` reads a sensitive value"), "{messages}");
        }
    }
}

#[tokio::test]
async fn step_with_an_unstorable_secret_stays_open_until_it_can_be_stored() {
    let mut story = Story::new();
    let text = |val: &str| {
        let resources =
            format!("      - {{type: world_thing, name: a, config: {{key: a, secret: known, val: {val}}}}}\n");
        stack("demo", false, &resources)
    };
    story.seal = Arc::new(Seal::without_key(true));
    // Plan files have nothing in the clear: these plans are applied directly.
    let apply = async |story: &Story, val: &str| {
        let plan = story.plan(&text(val)).await;
        story.applier().apply(&plan, Uuid::now_v7()).await.unwrap()
    };
    apply(&story, "one").await;
    // A value in the clear may stay so; the provider's new value may not.
    story.seal = Arc::new(Seal::without_key(false));
    story.fault("update a", Fault::NewSecret);
    let report = apply(&story, "two").await;
    let output: Vec<String> =
        report.failed.iter().map(|it| format!("{}\n{}", it.error, it.solutions.join("\n"))).collect();
    insta::assert_snapshot!(output.join("\n\n"));
    assert_eq!(story.rows().await, ["x/world_thing.a"]);
    assert!(!recorded(&story).await.contains("two"), "{}", recorded(&story).await);
    story.seal = Arc::new(Seal::with_key(KEY, &[]).unwrap().accepting_clear(true));
    story.log();
    story.end_processes().await;
    story.recover().await;
    assert_eq!(story.log(), [] as [String; 0], "nothing was called again");
    assert!(recorded(&story).await.contains("two"), "{}", recorded(&story).await);
    assert!(!recorded(&story).await.contains("renewed"), "{}", recorded(&story).await);
    story.apply(&text("two")).await;
}

#[tokio::test]
async fn found_secret_that_may_not_be_stored_is_refused_before_a_write() {
    let mut story = Story::new();
    let thing = |name: &str| {
        format!(
            "      - {{type: world_thing, name: {name}, config: {{key: {name}, secret: known}}, lifecycle: {{ignoreChanges: \
             [secret]}}}}\n"
        )
    };
    let text = stack("demo", false, &thing("a"));
    story.seal = Arc::new(Seal::without_key(true));
    story.apply(&text).await;
    let before = recorded(&story).await;
    story.remote().objects.get_mut("a").unwrap().insert("secret".to_owned(), "found".into());
    // Drift is only recorded, or ignored and recorded with another change.
    for (refresh_only, text) in [(true, &text), (false, &stack("demo", false, &(thing("a") + &thing("b"))))] {
        story.seal = Arc::new(Seal::without_key(false));
        story.options.refresh_only = refresh_only;
        let errors = story.errors(text).await;
        assert!(errors.contains("`secret` is sensitive and there is no state key"), "{errors}");
        assert_eq!(recorded(&story).await, before);
    }
    story.seal = Arc::new(Seal::without_key(true));
    story.options.refresh_only = true;
    story.apply_once(&text).await;
    assert_ne!(recorded(&story).await, before);
}

#[tokio::test]
async fn computed_copy_of_a_secret_is_sealed_if_the_secret_reads_differently() {
    let story = Story::new();
    let text = thing_a("'${{ vars.t }}'");
    story.fault("create a", Fault::Lie);
    let report = story.apply_once(&text).await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(story.rows().await, ["x/world_thing.a"]);
    assert!(!recorded(&story).await.contains("hunter2"), "{}", recorded(&story).await);
    story.apply(&text).await;
}

#[tokio::test]
async fn plain_value_next_to_a_secret_in_a_computed_list_is_not_sealed() {
    let story = Story::new();
    // The last thing echoes `id-1` and the secret in one value, and its own id has the same prefix: `id-10`.
    let resources = "      - {type: world_thing, name: first, config: {key: first}}\n      \
        - {type: world_thing, name: more, forEach: '${{ range(8) }}', dependsOn: [first], config: {key: 'm${{ each.key }}'}}\n      \
        - {type: world_thing, name: last, dependsOn: [more], config: {key: last, val: ['${{ resources.first.id }}', '${{ vars.t }}']}}\n    \
        outputs: {id: '${{ resources.last.id }}'}\n";
    let text = stack("demo", true, resources);
    story.apply(&text).await;
    assert_eq!(story.remote_value("last", "id"), "id-10".into());
    assert!(!recorded(&story).await.contains("hunter2"), "{}", recorded(&story).await);
    story.apply(&text.replace("'${{ vars.t }}'", "'${{ vars.t }}', more")).await;
}

#[tokio::test]
async fn unstorable_secret_found_by_recovery_keeps_only_its_step_in_doubt() {
    let mut story = Story::new();
    let things = |val: &str| {
        let thing = |name: &str| {
            format!("      - {{type: world_thing, name: {name}, config: {{key: {name}, secret: known, val: {val}}}}}\n")
        };
        stack("demo", false, &(thing("a") + &thing("b")))
    };
    story.seal = Arc::new(Seal::without_key(true));
    story.apply(&things("one")).await;
    story.remote().objects.get_mut("a").unwrap().insert("secret".to_owned(), "found".into());
    story.seal = Arc::new(Seal::without_key(false));
    let plan = story.plan(&things("two")).await;
    // The outcome of both updates is unknown.
    story.fault("update a", Fault::Before(ErrorKind::Ambiguous));
    story.fault("update b", Fault::Before(ErrorKind::Ambiguous));
    story.fault("read b", Fault::Before(ErrorKind::Failed));
    assert_eq!(story.apply_plan(&plan).await.unwrap().failed.len(), 2);
    story.end_processes().await;
    story.seal = Arc::new(Seal::without_key(false));
    let output: Vec<String> = story.recover().await.iter().map(|it| format!("{} {}", it.address, it.found)).collect();
    insta::assert_snapshot!(output.join("\n"), @"
    demo@test:x/world_thing.a the object exists, but a sensitive value of it cannot be stored: provide a state key, or record it with `terrace apply --plaintext-secrets`
    demo@test:x/world_thing.b the step did not take effect
    ");
    assert!(!recorded(&story).await.contains("found"), "{}", recorded(&story).await);
    // A plan shows the step as in doubt if its apply could not store the secret either.
    let plan = story.plan(&things("two")).await;
    let in_doubt: Vec<&str> = plan.changes().filter_map(|(_, change)| Some(change.in_doubt.as_ref()?.text())).collect();
    assert!(in_doubt.iter().any(|why| why.contains("cannot be stored")), "{in_doubt:?}");
    story.seal = Arc::new(Seal::without_key(true));
    assert!(story.recover().await.iter().all(|step| !step.is_in_doubt));
    story.apply(&things("two")).await;
}
