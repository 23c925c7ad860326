//! Descriptors with mistakes: what a person is told.

use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::diagnostic::has_errors;

async fn told(resources: &str) -> String {
    Story::new().errors(&stack(resources)).await
}

#[tokio::test]
async fn an_unknown_type_gets_a_suggestion() {
    insta::assert_snapshot!(told("- {type: world_thin, name: a, config: {key: a}}").await);
}

#[tokio::test]
async fn unknown_missing_and_wrong_attributes_are_told_at_once() {
    let told = told(
        "- {type: world_thing, name: a, config: {kee: a}}
         - {type: world_thing, name: b, config: {key: 3}}
         - {type: world_thing, name: c, config: {key: c, id: mine}}",
    )
    .await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_reference_to_nothing_says_what_there_is() {
    let told = told(
        "- {type: world_thing, name: table, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b, val: '${{ resources.tabel.id }}'}}
         - {type: world_thing, name: c, config: {key: c, val: '${{ resources.table.idd }}'}}
         - {type: world_thing, name: d, config: {key: d, val: '${{ varz.x }}'}}",
    )
    .await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_reference_to_no_attribute_is_told() {
    let told = told(
        "- {type: world_thing, name: table, config: {key: a}}
         - {type: world_thing, name: c, config: {key: c, val: '${{ resources.table.idd }}'}}
         - {type: world_thing, name: d, config: {key: d, val: '${{ varz.x }}'}}",
    )
    .await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_loop_is_printed_with_its_places() {
    let told = told(
        "- {type: world_thing, name: a, config: {key: a, val: '${{ resources.b.id }}'}}
         - {type: world_thing, name: b, config: {key: b, val: '${{ resources.c.id }}'}}
         - {type: world_thing, name: c, config: {key: c}, dependsOn: [a]}",
    )
    .await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_resource_that_reads_itself_is_a_loop() {
    insta::assert_snapshot!(
        told("- {type: world_thing, name: a, config: {key: a, val: '${{ resources.a.id }}'}}").await
    );
}

#[tokio::test]
async fn for_each_over_the_unknown_is_refused() {
    let told = told(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_thing, name: b, forEach: '${{ [resources.a.id] }}', config: {key: b}}",
    )
    .await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn one_name_twice_is_refused() {
    let told = told(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_data, name: a, config: {key: b}}",
    )
    .await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn an_output_that_exposes_a_secret_is_refused() {
    let text = format!(
        "{}outputs: {{leak: '${{{{ resources.a.secret }}}}'}}\n",
        stack("- {type: world_thing, name: a, config: {key: a, secret: hunter2}}")
    );
    let told = Story::new().errors(&text).await;
    assert!(!told.contains("hunter2"));
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn two_resources_that_name_one_object_are_told() {
    let told = told(
        "- {type: world_thing, name: a, config: {key: same}}
         - {type: world_thing, name: b, config: {key: same}}",
    )
    .await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn what_cannot_be_planned_is_not_shown_as_to_be_removed() {
    let story = Story::new();
    let text = |path: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, config: {{key: a}}}}
             - {{type: world_thing, name: b, config: {{key: b, val: '${{{{ resources.a.{path} }}}}'}}}}"
        ))
    };
    story.apply(&text("id")).await;
    let (plan, diagnostics, _) = story.try_plan(&text("idd")).await;
    assert!(has_errors(&diagnostics));
    assert_eq!(summary(&plan.unwrap()), "");
}
