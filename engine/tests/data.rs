//! Resources with data, retained resources, shared resources.

use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_engine::apply::{ApplyError, Attempt};
use terrace_engine::plan::options::Consent;
use terrace_provider::ErrorKind;
use uuid::Uuid;

const EMPTY: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresources: []\n";

fn table(key: &str, val: &str) -> String {
    stack(&format!("- {{type: world_data, name: t, config: {{key: {key}, val: {val}}}}}"))
}

#[tokio::test]
async fn data_is_retained_and_restored_by_next_apply() {
    let story = Story::new();
    story.apply(&table("t", "full")).await;
    story.log();
    let plan = story.plan_destroy().await;
    assert_eq!(summary(&plan), "o world_data.t (destroy)\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_data.t (Retained)"]);
    assert!(!story.plan_destroy().await.has_changes(), "a second destroy has nothing to do");
    let plan = story.plan(&table("t", "full")).await;
    assert_eq!(summary(&plan), "= world_data.t (was retained, is adopted again)\n");
    story.apply(&table("t", "full")).await;
    assert!(story.log().is_empty(), "the object was left alone all the time");
    assert_eq!(story.rows().await, ["world_data.t"]);
}

#[tokio::test]
async fn consent_removes_data_that_was_retained_before() {
    let mut story = Story::new();
    story.apply(&table("t", "full")).await;
    story.destroy().await;
    story.options.remove_data = true;
    let plan = story.plan_destroy().await;
    assert_eq!(summary(&plan), "- world_data.t (its retained data is removed)\n");
    story.apply_plan(&plan).await.unwrap();
    assert!(story.rows().await.is_empty());
    assert!(story.remote().objects.is_empty());
}

#[tokio::test]
async fn removal_of_data_shows_its_amount_and_removes_no_more() {
    let mut story = Story::new();
    story.apply(&table("t", "2 rows")).await;
    story.options.remove_data = true;
    for plan in [story.plan_destroy().await, story.plan(EMPTY).await] {
        let loss = plan.changes().next().unwrap().1.data_loss.clone().unwrap();
        assert_eq!((loss.amount.as_deref(), loss.is_allowed), (Some("2 rows"), true));
    }
    let plan = story.plan_destroy().await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), "12 rows".into());
    story.log();
    let report = story
        .applier_of(Attempt { rereads_objects: true, ..Attempt::default() })
        .apply(&plan, Uuid::now_v7())
        .await
        .unwrap();
    let output: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(
        output,
        ["the object grew to 12 rows (the plan showed 2 rows) since the plan was made, so the \
             provider was not called"]
    );
    assert!(story.log().is_empty());
    let plan = story.plan_destroy().await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), "1 rows".into());
    story
        .applier_of(Attempt { rereads_objects: true, ..Attempt::default() })
        .apply(&plan, Uuid::now_v7())
        .await
        .unwrap();
    assert_eq!(story.log(), ["delete t"]);
}

/// Deletes a table by a saved plan that showed `shown`, when it holds `then`. Returns the errors and the calls.
async fn removed_later(shown: &str, then: &str) -> (Vec<String>, Vec<String>) {
    let mut story = Story::new();
    story.apply(&table("t", shown)).await;
    story.options.remove_data = true;
    let plan = story.plan_destroy().await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), then.into());
    story.log();
    let report = story
        .applier_of(Attempt { rereads_objects: true, ..Attempt::default() })
        .apply(&plan, Uuid::now_v7())
        .await
        .unwrap();
    (report.failed.into_iter().map(|failed| failed.error).collect(), story.log())
}

#[tokio::test]
async fn consent_covers_the_amount_shown_in_any_wording() {
    let (failed, called) = removed_later("2 tables with 5 rows", "2 tables with 500 rows").await;
    assert_eq!(
        failed,
        [
            "the object grew to 2 tables with 500 rows (the plan showed 2 tables with 5 rows) since the plan was made, so the \
             provider was not called"
        ]
    );
    assert!(called.is_empty());
    let (failed, called) = removed_later("2 tables with 5 rows", "3 tables with 4 rows").await;
    assert_eq!((failed.len(), called), (0, vec!["delete t".to_owned()]));
    let (failed, called) = removed_later("empty", "1 rows").await;
    assert_eq!((failed.len(), called.len()), (1, 0));
}

#[tokio::test]
async fn uncountable_data_exceeds_consent_for_a_known_amount() {
    let (failed, called) = removed_later("2 rows", "uncountable").await;
    assert_eq!(
        failed,
        ["the amount of data in the object became unknown (the plan showed 2 rows) since the plan was made, so the \
             provider was not called"]
    );
    assert!(called.is_empty());
    // Consent to an unknown amount covers any amount.
    for then in ["uncountable", "2 rows"] {
        let (failed, called) = removed_later("uncountable", then).await;
        assert_eq!((failed.len(), called), (0, vec!["delete t".to_owned()]));
    }
}

#[tokio::test]
async fn type_that_spares_its_data_is_deleted_with_data_only_if_asked() {
    let mut story = Story::new();
    let output_of = |key: &str| stack(&format!("- {{type: world_told, name: t, config: {{key: {key}}}}}"));
    story.apply(&output_of("t")).await;
    story.log();
    let plan = story.plan_destroy().await;
    assert_eq!(summary(&plan), "- world_told.t (destroy)\n");
    assert!(plan.changes().all(|(_, change)| change.data_loss.is_none()));
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["delete t"]);
    story.apply(&output_of("t")).await;
    story.options.remove_data = true;
    story.log();
    // A replacement spares the data, even if the plan removes data.
    story.apply(&output_of("u")).await;
    assert_eq!(story.log(), ["delete t", "create u"]);
    let plan = story.plan_destroy().await;
    let loss = plan.changes().next().unwrap().1.data_loss.clone().unwrap();
    assert_eq!((loss.amount.as_deref(), loss.is_allowed), (Some("3 rows"), true));
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["delete u with data"]);
}

#[tokio::test]
async fn undeclared_data_is_retained() {
    let story = Story::new();
    story.apply(&table("t", "full")).await;
    let plan = story.plan(EMPTY).await;
    assert_eq!(summary(&plan), "o world_data.t (is not declared any more)\n");
    story.apply(EMPTY).await;
}

#[tokio::test]
async fn only_objects_with_data_are_retained() {
    let mut story = Story::new();
    let mixed = |val: &str, key: &str| {
        stack(&format!(
            "- {{type: world_mixed, name: a, config: {{key: {key}, val: {val}}}}}\n- {{type: world_mixed, name: b, config: {{key: b, val: none}}}}"
        ))
    };
    story.apply(&mixed("full", "a")).await;
    let plan = story.plan(EMPTY).await;
    assert_eq!(
        summary(&plan),
        "o world_mixed.a (is not declared any more)\n- world_mixed.b (is not declared any more)\n"
    );
    let loses_data =
        async |story: &Story, text: &str| story.plan(text).await.changes().any(|change| change.1.data_loss.is_some());
    assert!(loses_data(&story, &mixed("full", "c")).await, "a replacement destroys data");
    story.options.remove_data = true;
    assert_eq!(summary(&story.plan_destroy().await), "- world_mixed.a (destroy)\n- world_mixed.b (destroy)\n");
    story.options.remove_data = false;
    story.apply(&mixed("none", "a")).await;
    assert!(!loses_data(&story, &mixed("none", "c")).await, "a replacement destroys no data");
    story.destroy().await;
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn dependent_of_retained_data_is_deleted_before_its_dependency() {
    let mut story = Story::new();
    let base = "- {type: world_thing, name: base, config: {key: base}}";
    story
        .apply(&stack(&format!(
            "{base}\n\
             - {{type: world_data, name: t, config: {{key: t, val: '${{{{ resources.base.id }}}}'}}}}\n\
             - {{type: world_thing, name: user, dependsOn: [t], config: {{key: one}}}}"
        )))
        .await;
    story.log();
    story.options.replace = [(None, "world_thing.base".parse().unwrap())].into();
    let without = stack(&format!(
        "{base}\n\
         - {{type: world_thing, name: user, lifecycle: {{createBeforeDestroy: true}}, dependsOn: [base], config: {{key: two}}}}"
    ));
    let plan = story.plan(&without).await;
    assert_eq!(
        summary(&plan),
        "o world_data.t (is not declared any more)\n-/+ world_thing.base (will be replaced, as requested)\n\
         -/+ world_thing.user (must be replaced)\n"
    );
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["delete one", "delete base", "create base", "create two"]);
    assert_eq!(story.rows().await, ["world_data.t (Retained)", "world_thing.base", "world_thing.user"]);
}

#[tokio::test]
async fn replacement_of_data_is_refused_unless_empty_or_allowed() {
    let mut story = Story::new();
    story.apply(&table("t", "full")).await;
    let plan = story.plan(&table("u", "full")).await;
    let refused = story.apply_plan(&plan).await.unwrap_err();
    assert!(matches!(refused, ApplyError::DataLoss { .. }), "{refused}");
    assert_eq!(
        refused.to_string(),
        "demo@test:world_data.t would lose data: the object is deleted and created again (3 rows)"
    );
    story.options.allow_data_loss = Consent::All;
    story.apply(&table("u", "empty")).await;
    story.options.allow_data_loss = Consent::None;
    story.apply(&table("v", "full")).await;
    assert_eq!(story.rows().await, ["world_data.t"]);
}

#[tokio::test]
async fn table_filled_since_the_plan_is_not_replaced() {
    let story = Story::new();
    story.apply(&table("t", "empty")).await;
    let plan = story.plan(&table("u", "empty")).await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), "full".into());
    story.log();
    let report = story.apply_plan(&plan).await.unwrap();
    let output: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(
        output,
        ["the object grew to 3 rows since the plan was made, so the \
             provider was not called"]
    );
    assert!(story.log().is_empty(), "neither half of the replacement was begun");
    assert_eq!(story.rows().await, ["world_data.t"]);
}

#[tokio::test]
async fn update_of_data_changed_since_the_plan_does_not_start() {
    let story = Story::new();
    story.apply(&table("t", "one")).await;
    let plan = story.plan(&table("t", "two")).await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), "precious".into());
    story.log();
    let report = story.apply_plan(&plan).await.unwrap();
    let output: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(
        output,
        ["`val` of the object changed since the plan was made, so the \
             provider was not called"]
    );
    assert!(story.log().is_empty());
    story.apply(&table("t", "two")).await;
}

/// A thing, and a table that depends on it.
fn table_after_thing(val: &str, table: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: b, config: {{key: b, val: {val}}}}}\n- {{type: world_data, name: t, config: {{key: t, {table}}}, \
         dependsOn: [b]}}"
    ))
}

#[tokio::test]
async fn update_goes_on_after_a_step_before_it_changed_its_object() {
    // A server may apply a dependent change as planned, or half of it.
    for carried in ["two", "half"] {
        let story = Story::new();
        story.apply(&table_after_thing("one", "val: one")).await;
        story.remote().side_effects.insert("update b", ("t", carried.into()));
        let report = story.apply(&table_after_thing("two", "val: two")).await;
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        assert_eq!(story.remote_value("t", "val"), "two".into());
    }
}

#[tokio::test]
async fn update_stops_if_an_earlier_step_changed_more_than_planned() {
    let story = Story::new();
    story.apply(&table_after_thing("one", "val: one")).await;
    story.remote().side_effects.insert("update b", ("t", "other".into()));
    let plan = story.plan(&table_after_thing("two", "val: one, secret: new")).await;
    let report = story.apply_plan(&plan).await.unwrap();
    let output: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(
        output,
        ["`val` of the object changed since the plan was made, so the \
             provider was not called"]
    );
}

#[tokio::test]
async fn update_stops_if_its_object_changed_externally() {
    let story = Story::new();
    story.apply(&table_after_thing("one", "val: one")).await;
    let plan = story.plan(&table_after_thing("one", "val: two")).await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), "half".into());
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!(report.failed.len(), 1, "its dependency has no step that explains the change");
}

fn product(name: &str, components: &[&str], val: &str) -> String {
    let mut text = format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\ncomponents:\n");
    for component in components {
        text.push_str(&format!(
            "  {component}:\n    resources:\n      - {{type: world_data, name: base, shared: common, adopt: ifExists, \
             lifecycle: {{onLastRelease: delete}}, config: {{key: base, val: {val}}}}}\n      - {{type: world_thing, \
             name: own, config: {{key: {name}-{component}, val: '${{{{ resources.base.id }}}}'}}}}\n"
        ));
    }
    text
}

#[tokio::test]
async fn shared_resource_is_created_once_and_goes_with_its_last_owner() {
    let mut story = Story::new();
    story.apply(&product("one", &["x", "y"], "1")).await;
    assert_eq!(story.log().iter().filter(|call| *call == "create base").count(), 1);
    story.apply(&product("two", &["z"], "1")).await;
    assert_eq!(story.log(), ["create two-z"]);
    story.options.remove_data = true;
    let stacks = story.store.stacks().await.unwrap();
    assert_eq!(stacks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["one@test", "shared@test", "two@test"]);
    story.apply(&product("one", &[], "1").replace("components:\n", "components: {}\n")).await;
    assert!(!story.log().contains(&"delete base".to_owned()), "another stack still owns it");
    story.destroy().await;
    assert_eq!(story.log(), ["delete two-z", "delete base"]);
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn shared_resource_with_data_is_retained_and_removed_later() {
    let mut story = Story::new();
    story.apply(&product("one", &["x"], "1")).await;
    story.destroy().await;
    assert_eq!(story.rows().await, ["shared/world_data[\"common\"] (Retained)"]);
    assert!(!story.plan_destroy().await.has_changes());
    story.apply(&product("one", &["x"], "1")).await;
    story.options.remove_data = true;
    story.destroy().await;
    assert!(story.rows().await.is_empty());
    assert!(story.remote().objects.is_empty());
}

#[tokio::test]
async fn removal_is_refused_once_another_stack_owns_the_shared_resource() {
    let mut story = Story::new();
    story.apply(&product("one", &["x"], "1")).await;
    story.options.remove_data = true;
    let destroy = story.plan_destroy().await;
    story.apply(&product("two", &["z"], "1")).await;
    let refused = story.apply_plan(&destroy).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "shared@test:shared/world_data[\"common\"] would be removed, and `z` of two@test owns it since the plan was made"
    );
    let calls = ["create base", "create one-x", "create two-z"];
    assert_eq!(story.log(), calls, "the refused plan called nothing");
    assert!(story.remote().objects.contains_key("base"));
}

#[tokio::test]
async fn stacks_destroyed_together_take_their_shared_resource() {
    let mut story = Story::new();
    story.apply(&product("one", &["x"], "1")).await;
    story.apply(&product("two", &["z"], "1")).await;
    story.log();
    story.options.remove_data = true;
    story.destroy().await;
    let log = story.log();
    assert_eq!(log.len(), 3, "{log:?}");
    assert_eq!(log[2], "delete base", "dependents of both stacks are deleted first: {log:?}");
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn shared_resource_stays_if_a_dependent_could_not_be_deleted() {
    let mut story = Story::new();
    story.apply(&product("one", &["x"], "1")).await;
    story.apply(&product("two", &["z"], "1")).await;
    story.options.remove_data = true;
    story.fault("delete one-x", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.destroy().await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(
        report.blocked.iter().map(|it| it.address.to_string()).collect::<Vec<_>>(),
        ["shared/world_data[\"common\"]"]
    );
    story.destroy().await;
    assert!(story.rows().await.is_empty());
    assert!(story.remote().objects.is_empty());
}

#[tokio::test]
async fn conflicting_declarations_of_a_shared_resource_are_reported() {
    let story = Story::new();
    let text = product("one", &["x", "y"], "1").replacen("val: 1", "val: 2", 1);
    insta::assert_snapshot!(story.errors(&text).await);
}

#[tokio::test]
async fn retained_data_under_another_name_is_moved_not_imported() {
    let story = Story::new();
    let named = |name: &str| stack(&format!("- {{type: world_data, name: {name}, config: {{key: a, val: 1}}}}"));
    story.apply(&named("old")).await;
    story.apply(&stack("- {type: world_thing, name: other, config: {key: other}}")).await;
    assert_eq!(story.rows().await, ["world_data.old (Retained)", "world_thing.other"]);
    let report = story.apply_once(&named("new")).await;
    insta::assert_snapshot!(report.failed[0].solutions.join("\n"), @"world_data.old retained its data: to continue with it, write `moved: [{from: world_data.old, to: world_data.new}]`");
    story.apply(&(named("new") + "moved: [{from: world_data.old, to: world_data.new}]\n")).await;
    assert_eq!(story.rows().await, ["world_data.new"]);
    // An object of another stack stays there.
    let report = story.apply_once(&named("mine").replace("name: demo", "name: another")).await;
    insta::assert_snapshot!(report.failed[0].solutions.join("\n"), @"demo@test:world_data.new has it: give one of them another name, or let both own it with `shared`");
    // An unmanaged object can be imported.
    story.remote().objects.insert("b".to_owned(), Default::default());
    let report = story.apply_once(&named("b").replace("key: a", "key: b").replace("name: demo", "name: another")).await;
    assert!(report.failed[0].solutions[1].contains("`terrace import another@test:world_data.b b`"), "{report:?}");
}
