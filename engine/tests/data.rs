//! What holds data, what is retained, what is shared.

use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_engine::apply::{Applier, ApplyError};
use terrace_engine::plan::compute::Consent;
use terrace_provider::ErrorKind;
use uuid::Uuid;

const EMPTY: &str = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresources: []\n";

fn table(key: &str, val: &str) -> String {
    stack(&format!("- {{type: world_data, name: t, config: {{key: {key}, val: {val}}}}}"))
}

#[tokio::test]
async fn data_is_retained_and_taken_up_again() {
    let story = Story::new();
    story.apply(&table("t", "full")).await;
    story.log();
    let plan = story.plan_destroy().await;
    assert_eq!(summary(&plan), "o world_data.t (destroy)\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.rows().await, ["world_data.t (Retained)"]);
    assert!(!story.plan_destroy().await.has_changes(), "a second destroy has nothing to do");
    let plan = story.plan(&table("t", "full")).await;
    assert_eq!(summary(&plan), "= world_data.t (was retained, is taken up again)\n");
    story.apply(&table("t", "full")).await;
    assert!(story.log().is_empty(), "the object was left alone all the time");
    assert_eq!(story.rows().await, ["world_data.t"]);
}

#[tokio::test]
async fn with_consent_data_goes_also_when_it_was_retained_before() {
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
async fn a_removal_of_data_says_how_much_goes_and_removes_no_more() {
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
    let report = Applier { looks_again: true, ..story.applier() }.apply(&plan, Uuid::now_v7()).await.unwrap();
    let told: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(
        told,
        ["the object came to hold 12 rows (the plan showed 2 rows) since the plan was made, so nothing was called"]
    );
    assert!(story.log().is_empty());
    let plan = story.plan_destroy().await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), "1 rows".into());
    Applier { looks_again: true, ..story.applier() }.apply(&plan, Uuid::now_v7()).await.unwrap();
    assert_eq!(story.log(), ["delete t"]);
}

/// Removes a table by a saved plan that showed `shown`, once it holds `then`: what failed, and what was called.
async fn removed_later(shown: &str, then: &str) -> (Vec<String>, Vec<String>) {
    let mut story = Story::new();
    story.apply(&table("t", shown)).await;
    story.options.remove_data = true;
    let plan = story.plan_destroy().await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), then.into());
    story.log();
    let report = Applier { looks_again: true, ..story.applier() }.apply(&plan, Uuid::now_v7()).await.unwrap();
    (report.failed.into_iter().map(|failed| failed.error).collect(), story.log())
}

#[tokio::test]
async fn consent_is_for_as_much_data_as_was_shown_however_it_is_said() {
    let (failed, called) = removed_later("2 tables with 5 rows", "2 tables with 500 rows").await;
    assert_eq!(
        failed,
        [
            "the object came to hold 2 tables with 500 rows (the plan showed 2 tables with 5 rows) since the plan was made, so \
          nothing was called"
        ]
    );
    assert!(called.is_empty());
    let (failed, called) = removed_later("2 tables with 5 rows", "3 tables with 4 rows").await;
    assert_eq!((failed.len(), called), (0, vec!["delete t".to_owned()]));
    let (failed, called) = removed_later("empty", "1 rows").await;
    assert_eq!((failed.len(), called.len()), (1, 0));
}

#[tokio::test]
async fn what_cannot_be_counted_any_more_may_be_more_than_was_consented_to() {
    let (failed, called) = removed_later("2 rows", "uncountable").await;
    assert_eq!(
        failed,
        [
            "it cannot be told any more how much the object holds (the plan showed 2 rows) since the plan was made, so nothing \
          was called"
        ]
    );
    assert!(called.is_empty());
    // Who saw that nobody knows how much it is has consented to all of it.
    for then in ["uncountable", "2 rows"] {
        let (failed, called) = removed_later("uncountable", then).await;
        assert_eq!((failed.len(), called), (0, vec!["delete t".to_owned()]));
    }
}

#[tokio::test]
async fn what_spares_its_data_is_removed_and_told_whether_that_goes_too() {
    let mut story = Story::new();
    let told = |key: &str| stack(&format!("- {{type: world_told, name: t, config: {{key: {key}}}}}"));
    story.apply(&told("t")).await;
    story.log();
    let plan = story.plan_destroy().await;
    assert_eq!(summary(&plan), "- world_told.t (destroy)\n");
    assert!(plan.changes().all(|(_, change)| change.data_loss.is_none()));
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["delete t"]);
    story.apply(&told("t")).await;
    story.options.remove_data = true;
    story.log();
    // The data of what is made anew stays, whatever else is removed.
    story.apply(&told("u")).await;
    assert_eq!(story.log(), ["delete t", "create u"]);
    let plan = story.plan_destroy().await;
    let loss = plan.changes().next().unwrap().1.data_loss.clone().unwrap();
    assert_eq!((loss.amount.as_deref(), loss.is_allowed), (Some("3 rows"), true));
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["delete u with data"]);
}

#[tokio::test]
async fn a_removal_by_edit_retains_too() {
    let story = Story::new();
    story.apply(&table("t", "full")).await;
    let plan = story.plan(EMPTY).await;
    assert_eq!(summary(&plan), "o world_data.t (is not declared any more)\n");
    story.apply(EMPTY).await;
}

#[tokio::test]
async fn what_was_made_after_retained_data_is_deleted_before_what_that_stands_on() {
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
async fn a_replacement_of_what_holds_data_is_refused_unless_it_is_empty_or_allowed() {
    let mut story = Story::new();
    story.apply(&table("t", "full")).await;
    let plan = story.plan(&table("u", "full")).await;
    let refused = story.apply_plan(&plan).await.unwrap_err();
    assert!(matches!(refused, ApplyError::DataLoss { .. }), "{refused}");
    assert_eq!(
        refused.to_string(),
        "demo@test:world_data.t would lose data: the object is deleted and made anew (3 rows)"
    );
    story.options.allow_data_loss = Consent::All;
    story.apply(&table("u", "empty")).await;
    story.options.allow_data_loss = Consent::None;
    story.apply(&table("v", "full")).await;
    assert_eq!(story.rows().await, ["world_data.t"]);
}

#[tokio::test]
async fn what_was_empty_when_the_plan_was_made_and_is_not_any_more_is_left_alone() {
    let story = Story::new();
    story.apply(&table("t", "empty")).await;
    let plan = story.plan(&table("u", "empty")).await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), "full".into());
    story.log();
    let report = story.apply_plan(&plan).await.unwrap();
    let told: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(told, ["the object came to hold 3 rows since the plan was made, so nothing was called"]);
    assert!(story.log().is_empty(), "neither half of the replacement was begun");
    assert_eq!(story.rows().await, ["world_data.t"]);
}

#[tokio::test]
async fn an_update_of_what_holds_data_and_was_changed_since_the_plan_is_not_begun() {
    let story = Story::new();
    story.apply(&table("t", "one")).await;
    let plan = story.plan(&table("t", "two")).await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), "precious".into());
    story.log();
    let report = story.apply_plan(&plan).await.unwrap();
    let told: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(told, ["`val` of the object changed since the plan was made, so nothing was called"]);
    assert!(story.log().is_empty());
    story.apply(&table("t", "two")).await;
}

/// A thing, and a table that is made after it.
fn under(val: &str, table: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: b, config: {{key: b, val: {val}}}}}\n- {{type: world_data, name: t, config: {{key: t, {table}}}, \
         dependsOn: [b]}}"
    ))
}

#[tokio::test]
async fn update_goes_on_after_a_step_before_it_changed_its_object() {
    // A server may carry a change on as it is planned, or half of it.
    for carried in ["two", "half"] {
        let story = Story::new();
        story.apply(&under("one", "val: one")).await;
        story.remote().carried.insert("update b", ("t", carried.into()));
        let report = story.apply(&under("two", "val: two")).await;
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        assert_eq!(story.remote_value("t", "val"), "two".into());
    }
}

#[tokio::test]
async fn update_stops_where_a_step_before_it_changed_more_than_the_plan_shows() {
    let story = Story::new();
    story.apply(&under("one", "val: one")).await;
    story.remote().carried.insert("update b", ("t", "other".into()));
    let plan = story.plan(&under("two", "val: one, secret: new")).await;
    let report = story.apply_plan(&plan).await.unwrap();
    let told: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(told, ["`val` of the object changed since the plan was made, so nothing was called"]);
}

#[tokio::test]
async fn update_stops_where_a_stranger_changed_its_object() {
    let story = Story::new();
    story.apply(&under("one", "val: one")).await;
    let plan = story.plan(&under("one", "val: two")).await;
    story.remote().objects.get_mut("t").unwrap().insert("val".to_owned(), "half".into());
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!(report.failed.len(), 1, "the thing before it is left alone, so nothing explains the change");
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
async fn a_shared_resource_is_made_once_and_goes_with_its_last_owner() {
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
async fn a_shared_resource_with_data_is_retained_and_removed_later() {
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
async fn a_removal_is_refused_once_another_stack_owns_the_shared_resource_too() {
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
async fn stacks_that_are_destroyed_together_take_their_shared_resource_with_them() {
    let mut story = Story::new();
    story.apply(&product("one", &["x"], "1")).await;
    story.apply(&product("two", &["z"], "1")).await;
    story.log();
    story.options.remove_data = true;
    story.destroy().await;
    let log = story.log();
    assert_eq!(log.len(), 3, "{log:?}");
    assert_eq!(log[2], "delete base", "what was made after it goes before it, in whichever stack: {log:?}");
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn a_shared_resource_stays_when_something_of_another_stack_could_not_be_removed() {
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
async fn two_components_that_declare_a_shared_resource_differently_are_told_so() {
    let story = Story::new();
    let text = product("one", &["x", "y"], "1").replacen("val: 1", "val: 2", 1);
    insta::assert_snapshot!(story.errors(&text).await);
}

#[tokio::test]
async fn data_that_stayed_under_another_name_is_moved_not_imported() {
    let story = Story::new();
    let named = |name: &str| stack(&format!("- {{type: world_data, name: {name}, config: {{key: a, val: 1}}}}"));
    story.apply(&named("old")).await;
    story.apply(&stack("- {type: world_thing, name: other, config: {key: other}}")).await;
    assert_eq!(story.rows().await, ["world_data.old (Retained)", "world_thing.other"]);
    let report = story.apply_once(&named("new")).await;
    insta::assert_snapshot!(report.failed[0].solutions.join("\n"), @"world_data.old is its data, which stayed: to go on with it, write `moved: [{from: world_data.old, to: world_data.new}]`");
    story.apply(&(named("new") + "moved: [{from: world_data.old, to: world_data.new}]\n")).await;
    assert_eq!(story.rows().await, ["world_data.new"]);
    // What another stack has stays that stack's.
    let report = story.apply_once(&named("mine").replace("name: demo", "name: another")).await;
    insta::assert_snapshot!(report.failed[0].solutions.join("\n"), @"demo@test:world_data.new has it: give one of them another name, or let both own it with `shared`");
    // What is recorded nowhere can be imported.
    story.remote().objects.insert("b".to_owned(), Default::default());
    let report = story.apply_once(&named("b").replace("key: a", "key: b").replace("name: demo", "name: another")).await;
    assert!(report.failed[0].solutions[1].contains("`terrace import another@test:world_data.b b`"), "{report:?}");
}
