//! Order of calls, and second plans.

use crate::support::Story;
use crate::support::story::{keys, stack, summary};
use crate::support::world::Fault;
use terrace_provider::ErrorKind;
use uuid::Uuid;

fn pair(val: &str, key: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: b, config: {{key: b, val: '${{{{ resources.a.id }}}}'}}}}\n\
         - {{type: world_thing, name: a, config: {{key: {key}, val: {val}}}}}\n"
    ))
}

#[tokio::test]
async fn new_stack_is_created_in_order_with_values_of_dependencies() {
    let story = Story::new();
    story.apply(&pair("1", "a")).await;
    assert_eq!(story.log(), ["create a", "create b"]);
    assert_eq!(story.remote_value("b", "val"), story.remote_value("a", "id"));
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.b"]);
}

#[tokio::test]
async fn update_in_place_changes_only_its_resource() {
    let story = Story::new();
    story.apply(&pair("1", "a")).await;
    story.log();
    let plan = story.plan(&pair("2", "a")).await;
    assert_eq!(summary(&plan), "~ world_thing.a\n");
    story.apply(&pair("2", "a")).await;
    assert_eq!(story.log(), ["update a"]);
}

#[tokio::test]
async fn replacement_deletes_first_and_its_consumer_is_updated_after() {
    let story = Story::new();
    story.apply(&pair("1", "a")).await;
    story.log();
    let plan = story.plan(&pair("1", "c")).await;
    assert_eq!(summary(&plan), "-/+ world_thing.a (must be replaced)\n~ world_thing.b\n");
    story.apply(&pair("1", "c")).await;
    assert_eq!(story.log(), ["delete a", "create c", "update b"]);
}

#[tokio::test]
async fn replacement_replaces_its_consumer_if_required() {
    let story = Story::new();
    let text = |key: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, config: {{key: {key}}}}}\n\
             - {{type: world_thing, name: b, config: {{key: '${{{{ resources.a.id }}}}'}}}}\n"
        ))
    };
    story.apply(&text("a")).await;
    story.log();
    story.apply(&text("c")).await;
    assert_eq!(story.log(), ["delete id-1", "delete a", "create c", "create id-3"]);
}

#[tokio::test]
async fn undeclared_resources_are_deleted_in_reverse_order() {
    let story = Story::new();
    story.apply(&pair("1", "a")).await;
    story.log();
    story.apply("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresources: []\n").await;
    assert_eq!(story.log(), ["delete b", "delete a"]);
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn consumer_is_updated_before_its_old_dependency_is_deleted() {
    let story = Story::new();
    story.apply(&pair("1", "a")).await;
    story.log();
    story.apply(&stack("- {type: world_thing, name: b, config: {key: b, val: free}}")).await;
    assert_eq!(story.log(), ["update b", "delete a"]);
}

#[tokio::test]
async fn dependency_alone_makes_no_change() {
    let story = Story::new();
    let text = |val: &str| {
        stack(&format!(
            "- {{type: world_thing, name: b, config: {{key: b}}, dependsOn: [a]}}\n\
             - {{type: world_thing, name: a, config: {{key: a, val: {val}}}}}\n"
        ))
    };
    story.apply(&text("1")).await;
    assert_eq!(story.log(), ["create a", "create b"]);
    story.apply(&text("2")).await;
    assert_eq!(story.log(), ["update a"]);
    story.destroy().await;
    assert_eq!(story.log(), ["delete b", "delete a"]);
}

const COMPONENTS: &str = "
apiVersion: terrace.dev/v1
kind: Stack
metadata: {name: demo}
components:
  y:
    dependsOn: [x]
    resources:
      - {type: world_thing, name: one, config: {key: y1, val: '${{ components[\"x\"].outputs.id }}'}}
      - {type: world_thing, name: two, config: {key: y2}}
  x:
    resources:
      - {type: world_thing, name: one, config: {key: x1}}
      - {type: world_thing, name: two, config: {key: x2}}
    outputs: {id: '${{ resources.one.id }}'}
";

const AREA: &str = "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: area, version: 1.0.0}
match: {kind: storage}
specific: {type: object}
resources:
  - {type: world_thing, name: area, config: {key: area}}
outputs:
  public: {id: '${{ resources.area.id }}'}
";

const PORT: &str = "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: port, version: 1.0.0}
match: {kind: outputport}
specific: {type: object}
resources:
  - {type: world_thing, name: by_urn, config: {key: by_urn, val: '${{ components[\"urn:dmb:cmp:finance:cash:0:area\"].outputs.id }}'}}
  - {type: world_thing, name: by_key, config: {key: by_key, val: '${{ components[\"area\"].outputs.id }}'}}
outputs:
  public: {area: '${{ components[\"urn:dmb:cmp:finance:cash:0:area\"].outputs.id }}'}
";

const BY_URN: &str = "dataProduct:
  id: urn:dmb:dp:finance:cash:0
  name: Cash
  kind: dataproduct
  environment: test
  components:
    - {id: 'urn:dmb:cmp:finance:cash:0:area', name: Area, kind: storage, specific: {}}
    - {id: 'urn:dmb:cmp:finance:cash:0:port', name: Port, kind: outputport, dependsOn: ['urn:dmb:cmp:finance:cash:0:area'], specific: {}}
";

#[tokio::test]
async fn output_is_read_by_urn_during_planning_and_apply() {
    let mut story = Story { blueprints: vec![AREA, PORT], ..Story::new() };
    // The id of the area is known only after apply.
    let report = story.apply(BY_URN).await;
    let area = story.remote_value("area", "id");
    assert_eq!(
        (story.remote_value("by_urn", "val"), story.remote_value("by_key", "val")),
        (area.clone(), area.clone())
    );
    assert!(report.outputs.values().any(|outputs| outputs.get("area") == Some(&area)), "{:?}", report.outputs);
    // The output is recorded, and only the port is recreated.
    story.remote().objects.remove("by_urn");
    story.options.components = keys(&["port"]);
    story.apply(BY_URN).await;
    assert_eq!(story.remote_value("by_urn", "val"), area);
}

#[tokio::test]
async fn component_starts_after_its_dependencies_and_is_deleted_first() {
    let story = Story::new();
    let report = story.apply(COMPONENTS).await;
    let log = story.log();
    assert_eq!(log.len(), 4);
    assert!(log[..2].iter().all(|call| call.starts_with("create x")), "{log:?}");
    assert!(log[2..].iter().all(|call| call.starts_with("create y")), "{log:?}");
    assert_eq!(story.remote_value("y1", "val"), story.remote_value("x1", "id"));
    assert_eq!(report.outputs.values().filter(|outputs| outputs.contains_key("id")).count(), 1);
    story.destroy().await;
    let log = story.log();
    assert!(log[..2].iter().all(|call| call.starts_with("delete y")), "{log:?}");
    assert!(log[2..].iter().all(|call| call.starts_with("delete x")), "{log:?}");
}

#[tokio::test]
async fn component_planned_alone_reads_recorded_outputs() {
    let mut story = Story::new();
    story.apply(COMPONENTS).await;
    story.remote().objects.get_mut("y1").unwrap().insert("val".to_owned(), "drifted".into());
    story.log();
    story.options.components = crate::support::story::keys(&["y"]);
    let plan = story.plan(COMPONENTS).await;
    assert_eq!(summary(&plan), "~ y/world_thing.one (drifted)\n");
    story.apply(COMPONENTS).await;
    assert_eq!(story.log(), ["update y1"]);
}

#[tokio::test]
async fn diamond_is_destroyed_from_its_tip() {
    let story = Story::new();
    story
        .apply(&stack(
            "- {type: world_thing, name: d, config: {key: d}, dependsOn: [b, c]}
             - {type: world_thing, name: b, config: {key: b}, dependsOn: [a]}
             - {type: world_thing, name: c, config: {key: c}, dependsOn: [a]}
             - {type: world_thing, name: a, config: {key: a}}",
        ))
        .await;
    story.log();
    story.destroy().await;
    let log = story.log();
    assert_eq!((log[0].as_str(), log[3].as_str()), ("delete d", "delete a"));
    assert!(story.rows().await.is_empty());
    let again = story.plan_destroy().await;
    assert!(!again.has_changes());
}

#[tokio::test]
async fn instances_are_created_and_deleted_by_key() {
    let story = Story::new();
    let text = |keys: &str| {
        stack(&format!(
            "- {{type: world_thing, name: part, forEach: '${{{{ {keys} }}}}', config: {{key: '${{{{ each.key }}}}', val: '${{{{ each.value }}}}'}}}}\n\
             - {{type: world_thing, name: user, forEach: '${{{{ {keys} }}}}', config: {{key: '${{{{ \"u\" + each.key }}}}', val: '${{{{ resources.part[each.key].id }}}}'}}}}\n"
        ))
    };
    story.apply(&text("{\"x\": 1, \"y\": 2}")).await;
    assert_eq!(story.rows().await.len(), 4);
    story.log();
    let plan = story.plan(&text("{\"y\": 2}")).await;
    assert_eq!(
        summary(&plan),
        "- world_thing.part[\"x\"] (its key is not in forEach any more)\n\
         - world_thing.user[\"x\"] (its key is not in forEach any more)\n"
    );
    let user = plan.changes().find(|(_, change)| change.address.to_string() == "world_thing.user[\"y\"]").unwrap();
    assert_eq!(user.1.how.depends_on.len(), 1, "one edge, to the instance of the same key");
    story.apply(&text("{\"y\": 2}")).await;
    assert_eq!(story.log(), ["delete ux", "delete x"]);
}

#[tokio::test]
async fn resource_with_false_condition_is_absent() {
    let story = Story::new();
    let text =
        |when: &str| stack(&format!("- {{type: world_thing, name: a, when: '${{{{ {when} }}}}', config: {{key: a}}}}"));
    story.apply(&text("true")).await;
    story.apply(&text("false")).await;
    assert_eq!(story.log(), ["create a", "delete a"]);
}

#[tokio::test]
async fn unknown_values_propagate_and_known_parts_stay_known() {
    let story = Story::new();
    let plan = story
        .plan(&stack(
            "- {type: world_thing, name: a, config: {key: a}}
             - {type: world_thing, name: b, config: {key: b, val: {known: 1, waits: '${{ resources.a.id + \"!\" }}'}}}",
        ))
        .await;
    let b = plan.changes().find(|(_, change)| change.address.name == "b").unwrap().1;
    let val = &b.after.as_ref().unwrap().attributes["val"];
    assert_eq!(format!("{val:?}"), r#"{"known": 1, "waits": (known after apply)}"#);
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(format!("{:?}", story.remote_value("b", "val")), r#"{"known": 1, "waits": "id-1!"}"#);
}

#[tokio::test]
async fn calls_never_exceed_the_parallelism() {
    let mut story = Story::new();
    story.parallelism = 3;
    story
        .apply(&stack(
            "- {type: world_thing, name: a, forEach: '${{ range(20) }}', config: {key: '${{ string(each.key) }}'}}",
        ))
        .await;
    assert_eq!(story.remote().running, (0, 3));
}

#[tokio::test]
async fn drift_is_corrected_and_missing_objects_are_recreated() {
    let story = Story::new();
    story.apply(&pair("1", "a")).await;
    story.remote().objects.get_mut("a").unwrap().insert("val".to_owned(), 9_i64.into());
    story.remote().objects.remove("b");
    story.log();
    let plan = story.plan(&pair("1", "a")).await;
    assert_eq!(summary(&plan), "~ world_thing.a (drifted)\n+ world_thing.b (was deleted outside terrace)\n");
    story.apply(&pair("1", "a")).await;
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["create b", "update a"]);
}

#[tokio::test]
async fn two_plans_of_the_same_input_have_the_same_digest() {
    let story = Story::new();
    let text = pair("1", "a");
    let (one, two) = (story.plan(&text).await, story.plan(&text).await);
    let digest = |plan| terrace_engine::plan::file::digest(plan, &story.seal).unwrap();
    assert_ne!(one.id, two.id);
    assert_eq!(digest(&one), digest(&two));
    let other = story.plan(&pair("2", "a")).await;
    assert_ne!(digest(&one), digest(&other));
}

#[tokio::test]
async fn old_dependent_is_deleted_before_its_replaced_dependency() {
    let story = Story::new();
    let text = |swap: &str, gone: &str, used: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  x:\n    resources:\n\
             \x20     - {{type: world_thing, name: swap, config: {{key: {swap}}}}}\n{gone}\
             \x20     - {{type: world_thing, name: user, config: {{key: user, val: '${{{{ resources.{used}.id }}}}'}}}}\n\
             \x20 y:\n    dependsOn: [x]\n    resources:\n\
             \x20     - {{type: world_thing, name: more, config: {{key: more}}}}\n"
        )
    };
    let gone = "      - {type: world_thing, name: gone, config: {key: gone, val: '${{ resources.swap.id }}'}}\n";
    story.apply(&text("one", gone, "gone")).await;
    story.log();
    story.apply(&text("two", "", "swap")).await;
    assert_eq!(story.log(), ["delete gone", "delete one", "create two", "update user"]);
}

#[tokio::test]
async fn state_only_resource_is_replaced_without_a_call() {
    let story = Story::new();
    let text = |key: &str| stack(&format!("- {{type: world_note, name: a, config: {{key: {key}}}}}"));
    story.apply(&text("one")).await;
    assert_eq!(summary(&story.plan(&text("two")).await), "-/+ world_note.a (must be replaced)\n");
    story.apply(&text("two")).await;
    assert!(story.log().is_empty());
}

#[tokio::test]
async fn reversed_dependency_leaves_no_cycle_in_state() {
    let story = Story::new();
    let text = |a: &str, b: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, dependsOn: [{a}], config: {{key: a, val: {a}}}}}\n\
             - {{type: world_thing, name: b, dependsOn: [{b}], config: {{key: b}}}}\n"
        ))
    };
    story.apply(&text("", "a").replace("val: }", "val: 1}")).await;
    story.apply(&text("b", "")).await;
    story.log();
    story.destroy().await;
    assert_eq!(story.log(), ["delete a", "delete b"]);
}

#[tokio::test]
async fn protection_is_recorded_and_lifted_without_another_change() {
    let story = Story::new();
    let text = |lifecycle: &str| {
        stack(&format!("- {{type: world_thing, name: a, lifecycle: {{{lifecycle}}}, config: {{key: a}}}}"))
    };
    story.apply(&text("")).await;
    story.apply(&text("preventDestroy: true")).await;
    let empty = stack("").replace("resources:", "resources: []");
    let messages = story.errors(&empty).await;
    assert!(messages.contains("world_thing.a is protected and would be deleted"), "{messages}");
    story.apply(&text("")).await;
    story.apply(&empty).await;
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn own_resources_of_a_stack_follow_the_components_they_read() {
    let story = Story::new();
    let text = "
apiVersion: terrace.dev/v1
kind: Stack
metadata: {name: demo}
resources:
  - {type: world_thing, name: own, config: {key: own, val: '${{ components.x.outputs.id }}'}}
outputs: {id: '${{ components.x.outputs.id }}'}
components:
  x:
    resources: [{type: world_thing, name: a, config: {key: a}}]
    outputs: {id: '${{ resources.a.id }}'}
";
    story.apply(text).await;
    assert_eq!(story.log(), ["create a", "create own"]);
    assert_eq!(story.remote_value("own", "val"), "id-1".into());
    story.destroy().await;
    assert_eq!(story.log(), ["delete own", "delete a"]);
}

#[tokio::test]
async fn component_planned_alone_creates_first_only_its_own_resources() {
    let mut story = Story::new();
    let text = |key: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  x:\n    resources:\n      - \
             {{type: world_thing, name: base, config: {{key: base-{key}}}}}\n    outputs: {{id: '${{{{ resources.base.id \
             }}}}'}}\n  y:\n    dependsOn: [x]\n    resources:\n      - {{type: world_thing, name: a, config: {{key: \
             a-{key}}}}}\n      - {{type: world_thing, name: b, lifecycle: {{createBeforeDestroy: true}}, dependsOn: [a], config: {{key: b, val: '${{{{ \
             components.x.outputs.id }}}}'}}}}\n"
        )
    };
    story.apply(&text("one")).await;
    story.log();
    story.options.components = keys(&["y"]);
    let plan = story.plan(&text("two")).await;
    assert_eq!(summary(&plan), "+/- y/world_thing.a (must be replaced)\n");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), ["create a-two", "delete a-one"], "only planned resources are replaced");
}

#[tokio::test]
async fn leftovers_of_an_older_object_do_not_block_its_successor() {
    let story = Story::new();
    let text = |resources: &str| {
        format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nresources:\n{resources}")
    };
    let before = text(
        "  - {type: world_thing, name: base, config: {key: base-1, val: 1}}\n  \
         - {type: world_thing, name: user, dependsOn: [between], config: {key: user-1}}\n  \
         - {type: world_thing, name: between, config: {key: between-1, val: '${{ resources.base.id }}'}}\n",
    );
    story.apply(&before).await;
    // The new base is created first and deviates from the plan, so consumers of the old base are left over.
    let now = text(
        "  - {type: world_thing, name: base, config: {key: base-0, val: 1}}\n  \
         - {type: world_thing, name: user, lifecycle: {createBeforeDestroy: true}, config: {key: user-0, val: '${{ resources.made.id }}'}}\n  \
         - {type: world_thing, name: made, config: {key: made, val: '${{ resources.base.id }}'}}\n  \
         - {type: world_thing, name: between, config: {key: between-0}}\n",
    );
    story.fault("create base-0", Fault::Lie);
    let report = story.apply_once(&now).await;
    assert_eq!(report.failed.len(), 1, "{report:?}");
    story.apply(&now).await;
}

/// A state with a dependency cycle: an instance whose deletion failed precedes a resource that now depends on all
/// instances.
async fn dependency_cycle() -> (Story, Uuid, String) {
    let story = Story::new();
    story
        .apply(&stack(
            "- {type: world_thing, name: a, config: {key: a}}\n\
             - {type: world_thing, name: b, forEach: '${{ [\"y\"] }}', config: {key: '${{ each.key }}', val: '${{ resources.a.id }}'}}",
        ))
        .await;
    let now = stack(
        "- {type: world_thing, name: a, dependsOn: [b], config: {key: a}}\n\
         - {type: world_thing, name: b, forEach: '${{ [\"x\"] }}', config: {key: '${{ each.key }}'}}",
    );
    story.fault("delete y", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&now).await;
    assert_eq!(report.failed.len(), 1, "{report:?}");
    (story, report.operation, now)
}

#[tokio::test]
async fn dependency_cycle_in_state_can_be_refreshed() {
    let (mut story, _, now) = dependency_cycle().await;
    story.remote().objects.get_mut("y").unwrap().insert("val".to_owned(), "drifted".into());
    story.options.refresh_only = true;
    story.apply_plan(&story.plan(&now).await).await.unwrap();
    assert!(!story.plan(&now).await.has_changes());
    story.options.refresh_only = false;
    story.apply(&now).await;
}

#[tokio::test]
async fn rollback_to_a_state_with_a_dependency_cycle_recreates_it() {
    let (story, operation, now) = dependency_cycle().await;
    story.apply(&now.replace("{key: a}", "{key: a, val: 2}")).await;
    story.log();
    let plan = crate::rollback::rolled_back(&story, operation).await;
    assert_eq!(summary(&plan), "~ world_thing.a\n+ world_thing.b[\"y\"]\n");
    story.apply_plan(&plan).await.unwrap();
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["create y", "update a"]);
}

#[tokio::test]
async fn changed_dependency_alone_is_work_until_it_is_recorded() {
    let text = |after: &str| {
        stack(&format!(
            "- {{type: world_thing, name: a, config: {{key: a}}}}\n\
             - {{type: world_thing, name: b, dependsOn: [{after}], config: {{key: b}}}}"
        ))
    };
    let story = Story::new();
    story.apply(&text("")).await;
    for after in ["a", ""] {
        let plan = story.plan(&text(after)).await;
        assert!(!plan.has_changes() && plan.has_work(), "{}", summary(&plan));
        story.apply_plan(&plan).await.unwrap();
        assert!(!story.plan(&text(after)).await.has_work());
    }
}
