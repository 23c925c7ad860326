//! Outputs of a plan that changes only access: outputs that do not read the access list stay as recorded.

use crate::support::Story;
use serde_json::{Value as Json, json};
use terrace_engine::access::{Access, Fields, Grantees};
use terrace_engine::address::StackId;

const PORT: &str = "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: port, version: 1.0.0, description: A port}
specific: {type: object, properties: {val: {type: integer}}}
resources:
  - {type: world_thing, name: view, config: {key: view, val: '${{ component.specific.val }}'}}
acl:
  resources:
    - {type: world_thing, name: grant, config: {key: grant, val: '${{ size(acl.principals) }}'}}
outputs:
  public:
    described: '${{ string(component.specific.val) }}'
    made: '${{ string(resources.view.val) }}'
";

fn product(val: u8) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  \
         port: {{blueprint: port, specific: {{val: {val}}}}}\n"
    )
}

async fn outputs(story: &Story) -> Json {
    let rows = story.store.components(&StackId::new("demo", "test")).await.unwrap();
    serde_json::from_str(rows.into_iter().find(|row| row.key == "port").unwrap().outputs.as_str()).unwrap()
}

#[tokio::test]
async fn outputs_of_unapplied_changes_are_not_recorded() {
    let mut story = Story { blueprints: vec![PORT], ..Story::new() };
    story.apply(&product(1)).await;
    let recorded = outputs(&story).await;
    assert!(recorded.to_string().contains("\"1\""), "{recorded}");
    let access = Access::new(vec!["user:a".to_owned()], Fields::default());
    story.options.access = Some(Grantees { component: "port".into(), access });
    story.options.components = ["port".into()].into();
    // The descriptor has another value, but only access was requested.
    story.apply(&product(2)).await;
    assert_eq!(story.remote_value("grant", "val").to_json_text(), json!(1).to_string());
    assert_eq!(outputs(&story).await, recorded);
    story.options.access = None;
    story.options.components.clear();
    story.apply(&product(2)).await;
    assert_ne!(outputs(&story).await, recorded);
}
