//! Errors of descriptors with mistakes.

use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::diagnostic::has_errors;

async fn errors_of(resources: &str) -> String {
    Story::new().errors(&stack(resources)).await
}

#[tokio::test]
async fn unknown_type_gets_a_suggestion() {
    insta::assert_snapshot!(errors_of("- {type: world_thin, name: a, config: {key: a}}").await);
}

#[tokio::test]
async fn unknown_missing_and_wrong_attributes_are_reported_at_once() {
    let errors = errors_of(
        "- {type: world_thing, name: a, config: {kee: a}}
         - {type: world_thing, name: b, config: {key: 3}}
         - {type: world_thing, name: c, config: {key: c, id: mine}}",
    )
    .await;
    insta::assert_snapshot!(errors);
}

#[tokio::test]
async fn unknown_references_list_the_known_names() {
    let errors = errors_of(
        "- {type: world_thing, name: table, config: {key: a}}
         - {type: world_thing, name: b, config: {key: b, val: '${{ resources.tabel.id }}'}}
         - {type: world_thing, name: c, config: {key: c, val: '${{ resources.table.idd }}'}}
         - {type: world_thing, name: d, config: {key: d, val: '${{ varz.x }}'}}",
    )
    .await;
    insta::assert_snapshot!(errors);
}

#[tokio::test]
async fn reference_to_an_unknown_attribute_is_reported() {
    let errors = errors_of(
        "- {type: world_thing, name: table, config: {key: a}}
         - {type: world_thing, name: c, config: {key: c, val: '${{ resources.table.idd }}'}}
         - {type: world_thing, name: d, config: {key: d, val: '${{ varz.x }}'}}",
    )
    .await;
    insta::assert_snapshot!(errors);
}

#[tokio::test]
async fn cycle_is_printed_with_its_places() {
    let errors = errors_of(
        "- {type: world_thing, name: a, config: {key: a, val: '${{ resources.b.id }}'}}
         - {type: world_thing, name: b, config: {key: b, val: '${{ resources.c.id }}'}}
         - {type: world_thing, name: c, config: {key: c}, dependsOn: [a]}",
    )
    .await;
    insta::assert_snapshot!(errors);
}

#[tokio::test]
async fn resource_that_reads_itself_is_a_cycle() {
    insta::assert_snapshot!(
        errors_of("- {type: world_thing, name: a, config: {key: a, val: '${{ resources.a.id }}'}}").await
    );
}

#[tokio::test]
async fn for_each_over_an_unknown_value_is_refused() {
    let errors = errors_of(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_thing, name: b, forEach: '${{ [resources.a.id] }}', config: {key: b}}",
    )
    .await;
    insta::assert_snapshot!(errors);
}

#[tokio::test]
async fn duplicate_name_is_refused() {
    let errors = errors_of(
        "- {type: world_thing, name: a, config: {key: a}}
         - {type: world_data, name: a, config: {key: b}}",
    )
    .await;
    insta::assert_snapshot!(errors);
}

#[tokio::test]
async fn output_that_exposes_a_secret_is_refused() {
    let text = format!(
        "{}outputs: {{leak: '${{{{ resources.a.secret }}}}'}}\n",
        stack("- {type: world_thing, name: a, config: {key: a, secret: hunter2}}")
    );
    let errors = Story::new().errors(&text).await;
    assert!(!errors.contains("hunter2"));
    insta::assert_snapshot!(errors);
}

#[tokio::test]
async fn two_resources_of_one_object_are_reported() {
    let errors = errors_of(
        "- {type: world_thing, name: a, config: {key: same}}
         - {type: world_thing, name: b, config: {key: same}}",
    )
    .await;
    insta::assert_snapshot!(errors);
}

#[tokio::test]
async fn unplannable_resource_is_not_shown_as_deleted() {
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
