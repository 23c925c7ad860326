//! Locals of blueprints: values that are computed once for each component and read by name.

use crate::support::Story;

const BLUEPRINT: &str = "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: port, version: 1.0.0}
match: {kind: outputport}
specific: {type: object, properties: {size: {type: integer}}}
locals:
  label: ${{ locals.prefix + string(component.specific.size) }}
  prefix: ${{ lower(product.name) }}
checks:
  - {assert: '${{ locals.label != \"cash0\" }}', error: 'a port is not called ${{ locals.label }}', at: specific.size}
resources:
  - {type: world_thing, name: view, config: {key: '${{ locals.label }}', val: '${{ resources.other.key }}'}}
  - {type: world_thing, name: other, forEach: '${{ [locals.prefix] }}', key: '${{ \"only\" }}', config: {key: '${{ each.value }}'}}
outputs:
  public: {label: '${{ locals.label }}'}
";

fn product(size: i64) -> String {
    format!(
        "dataProduct:
  id: urn:dmb:dp:finance:cash:0
  name: Cash
  kind: dataproduct
  environment: test
  components:
    - {{id: 'urn:dmb:cmp:finance:cash:0:port', name: Port, kind: outputport, specific: {{size: {size}}}}}
"
    )
}

fn with(blueprint: String) -> Story {
    Story { blueprints: vec![blueprint.leak()], ..Story::new() }
}

#[tokio::test]
async fn locals_are_read_in_checks_resources_and_outputs_in_any_order() {
    let story = with(BLUEPRINT.replace("resources.other.key", "resources.other.only.key"));
    story.apply(&product(3)).await;
    assert_eq!(story.remote_value("cash3", "val"), "cash".into());
    insta::assert_snapshot!(story.errors(&product(0)).await);
}

#[tokio::test]
async fn saved_plan_holds_locals() {
    let story = with(BLUEPRINT.replace("resources.other.key", "resources.other.only.id + locals.label"));
    let plan = story.plan(&product(3)).await;
    story.apply_plan(&plan).await.unwrap();
    assert!(story.remote_value("cash3", "val").as_str().unwrap().ends_with("cash3"));
}

#[tokio::test]
async fn typos_and_cycles_of_locals_are_reported() {
    let story = with(BLUEPRINT.replace("locals.prefix]", "locals.prefx]"));
    insta::assert_snapshot!(story.errors(&product(3)).await);
    let story = with(BLUEPRINT.replace("lower(product.name)", "locals.label"));
    insta::assert_snapshot!(story.errors(&product(3)).await);
}
