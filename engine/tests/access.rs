//! Access lists of components: a plan follows the last requested list, and has only grants when only that changes.

mod external_grants;

use crate::rollback::rolled_back;
use crate::support::Story;
use crate::support::story::summary;
use crate::support::world::Fault;
use terrace_engine::access::{Access, Fields, Grantees};
use terrace_engine::address::StackId;
use terrace_engine::plan::Plan;
use terrace_engine::selector::Selector;
use terrace_provider::{Attributes, ErrorKind};

const PORT: &str = "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: port, version: 1.0.0, description: A port}
specific: {type: object, properties: {val: {type: integer}}}
resources:
  - {type: world_thing, name: schema, shared: common, config: {key: schema}}
  - {type: world_thing, name: view, config: {key: view, val: '${{ component.specific.val }}'}}
acl:
  resources:
    - type: world_thing
      name: grant
      adopt: ifExists
      forEach: ${{ acl.principals }}
      config: {key: '${{ each.value }}', val: '${{ resources.view.id + \" in \" + resources.schema.key }}'}
";

fn product(val: u8) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  \
         port: {{blueprint: port, specific: {{val: {val}}}}}\n"
    )
}

fn story() -> Story {
    Story { blueprints: vec![PORT], ..Story::new() }
}

fn grantees(principals: &[&str]) -> Option<Grantees> {
    grantees_with(principals, "{}")
}

fn grantees_with(principals: &[&str], fields: &str) -> Option<Grantees> {
    let principals = principals.iter().map(|principal| (*principal).to_owned()).collect();
    let fields: Fields = serde_json::from_str(fields).unwrap();
    Some(Grantees { component: "port".into(), access: Access::new(principals, fields) })
}

async fn recorded_access(story: &Story) -> Option<Access> {
    let rows = story.store.components(&StackId::new("demo", "test")).await.unwrap();
    rows.into_iter().find(|row| row.key == "port").unwrap().access
}

async fn recorded(story: &Story) -> Option<Vec<String>> {
    recorded_access(story).await.map(|access| access.principals)
}

/// Sets the access list and returns the calls.
async fn set(story: &mut Story, principals: &[&str]) -> Vec<String> {
    story.log();
    story.options.access = grantees(principals);
    story.options.components = ["port".into()].into();
    // The descriptor has another value, but only access was requested.
    story.apply(&product(2)).await;
    story.options.access = None;
    story.options.components.clear();
    story.log()
}

#[tokio::test]
async fn access_list_is_replaced_and_removals_come_last() {
    let mut story = story();
    story.apply(&product(1)).await;
    assert_eq!(recorded(&story).await, None);
    assert_eq!(set(&mut story, &["user:b", "user:a", "user:a"]).await, ["create user:a", "create user:b"]);
    assert_eq!(recorded(&story).await.unwrap(), ["user:a", "user:b"]);
    assert_eq!(set(&mut story, &["user:c", "user:b"]).await, ["create user:c", "delete user:a"]);
    // A removed principal loses access even if a new one cannot be added.
    story.options.access = grantees(&["user:b", "user:d"]);
    story.options.components = ["port".into()].into();
    story.fault("create user:d", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&product(1)).await;
    assert_eq!((report.failed.len(), report.blocked.len()), (1, 0), "{report:?}");
    assert_eq!(story.log(), ["create user:d", "delete user:c"]);
    assert_eq!(set(&mut story, &["user:c", "user:b"]).await, ["create user:c"]);
    assert_eq!(story.remote_value("view", "val").to_json_text(), "1", "other objects stay unchanged");
    // A later provision keeps the list.
    story.apply(&product(2)).await;
    assert_eq!(story.log(), ["update view"]);
    assert_eq!(recorded(&story).await.unwrap(), ["user:b", "user:c"]);
    assert_eq!(set(&mut story, &[]).await.len(), 2);
    assert_eq!(recorded(&story).await.unwrap(), [] as [&str; 0]);
}

/// Readers, or writers if `acl.fields.write` is true; a writer has a role and a membership in it.
const ROLES: &str = "acl:
  resources:
    - type: world_thing
      name: reader
      forEach: ${{ acl.principals.filter(it, !acl.fields.?write.orValue(false)) }}
      config: {key: 'reader ${{ each.value }}'}
    - type: world_thing
      name: writer
      forEach: ${{ acl.principals.filter(it, acl.fields.?write.orValue(false)) }}
      config: {key: 'writer ${{ each.value }}'}
    - type: world_thing
      name: member
      forEach: ${{ acl.principals.filter(it, acl.fields.?write.orValue(false)) }}
      config: {key: 'member ${{ each.value }}', val: '${{ resources.writer[each.value].id }}'}
";

#[tokio::test]
async fn old_grant_stays_only_for_principals_whose_new_one_failed() {
    let port = [PORT.split("acl:").next().unwrap(), ROLES].concat();
    let mut story = Story { blueprints: vec![port.leak()], ..Story::new() };
    story.apply(&product(1)).await;
    set(&mut story, &["user:a", "user:b", "user:c"]).await;
    story.options.access = grantees_with(&["user:a", "user:b"], r#"{"write": true}"#);
    story.options.components = ["port".into()].into();
    story.fault("create writer user:a", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&product(1)).await;
    let blocked: Vec<_> = report.blocked.iter().map(|blocked| blocked.address.to_string()).collect();
    assert_eq!(blocked, [r#"port/world_thing.member["user:a"]"#, r#"port/world_thing.reader["user:a"]"#]);
    let mut log = story.log();
    assert_eq!(log.split_off(3), ["delete reader user:b", "delete reader user:c"], "{log:?}");
    log.sort();
    assert_eq!(log, ["create member user:b", "create writer user:a", "create writer user:b"]);
    story.apply(&product(1)).await;
    assert_eq!(story.log(), ["create writer user:a", "create member user:a", "delete reader user:a"]);
}

#[tokio::test]
async fn common_policy_stays_until_its_replacement_exists() {
    let policies = "acl:
  resources:
    - {type: world_thing, name: reading, when: '${{ !acl.fields.?write.orValue(false) }}', config: {key: reading}}
    - {type: world_thing, name: writing, when: '${{ acl.fields.?write.orValue(false) }}', config: {key: writing}}
";
    let port = [PORT.split("acl:").next().unwrap(), policies].concat();
    let mut story = Story { blueprints: vec![port.leak()], ..Story::new() };
    story.apply(&product(1)).await;
    set(&mut story, &["user:a"]).await;
    story.options.access = grantees_with(&["user:a"], r#"{"write": true}"#);
    story.options.components = ["port".into()].into();
    story.fault("create writing", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&product(1)).await;
    assert_eq!((report.failed.len(), report.blocked.len()), (1, 1), "{report:?}");
    assert_eq!(story.log(), ["create writing"]);
    story.apply(&product(1)).await;
    assert_eq!(story.log(), ["create writing", "delete reading"]);
}

#[tokio::test]
async fn removed_principal_goes_even_if_common_role_cannot_change() {
    let roles = "acl:
  resources:
    - {type: world_thing, name: role, config: {key: role, val: '${{ acl.fields.?comment.orValue(\"\") }}'}}
    - {type: world_thing, name: member, forEach: '${{ acl.principals }}', config: {key: 'member ${{ each.value }}'}}
";
    let port = [PORT.split("acl:").next().unwrap(), roles].concat();
    let mut story = Story { blueprints: vec![port.leak()], ..Story::new() };
    story.apply(&product(1)).await;
    set(&mut story, &["user:a", "user:b"]).await;
    story.options.access = grantees_with(&["user:a"], r#"{"comment": "new"}"#);
    story.options.components = ["port".into()].into();
    story.fault("update role", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&product(1)).await;
    assert_eq!((report.failed.len(), report.blocked.len()), (1, 0), "{report:?}");
    assert_eq!(story.log(), ["update role", "delete member user:b"]);
}

#[tokio::test]
async fn access_to_missing_component_is_refused() {
    let mut story = story();
    story.options.access = grantees(&["user:a"]);
    story.options.components = ["port".into()].into();
    let messages = story.errors(&product(1)).await;
    assert!(messages.contains("`view` of `port` is not in the state"), "{messages}");
    assert!(messages.contains("`schema` of `port` is not in the state"), "{messages}");
    assert!(messages.contains("provision `port` first"), "{messages}");
    // The same if the grants read nothing of the component.
    let alone = PORT.replace("'${{ resources.view.id + \" in \" + resources.schema.key }}'", "1");
    let mut story = Story { blueprints: vec![alone.leak()], ..Story::new() };
    story.options.access = grantees(&["user:a"]);
    story.options.components = ["port".into()].into();
    let messages = story.errors(&product(1)).await;
    assert!(messages.contains("cannot grant access to `port` before it exists"), "{messages}");
    // A blueprint without `acl` accepts no principals.
    let without = PORT.split("acl:").next().unwrap();
    let mut story = Story { blueprints: vec![without.to_owned().leak()], ..Story::new() };
    story.apply(&product(1)).await;
    story.options.access = grantees(&["user:a"]);
    story.options.components = ["port".into()].into();
    let messages = story.errors(&product(1)).await;
    assert!(messages.contains("its blueprint, port 1.0.0, has no `acl`"), "{messages}");
}

#[tokio::test]
async fn failed_grant_is_retried_by_next_provision() {
    let mut story = story();
    story.apply(&product(1)).await;
    story.options.access = grantees(&["user:a", "user:b"]);
    story.fault("create user:b", Fault::Before(ErrorKind::PermissionDenied));
    assert_eq!(story.apply_once(&product(1)).await.failed.len(), 1);
    story.options.access = None;
    assert_eq!(summary(&story.plan(&product(1)).await), "+ port/world_thing.grant[\"user:b\"]\n");
    story.apply(&product(1)).await;
}

#[tokio::test]
async fn existing_grants_are_adopted_on_first_request() {
    let mut story = story();
    story.apply(&product(1)).await;
    let grant = |key: &str| {
        [("key", key.into()), ("id", "id-9".into()), ("val", "view-1 in schema".into())]
            .map(|(name, value): (&str, terrace_provider::Value)| (name.to_owned(), value))
    };
    story.remote().objects.insert("user:a".to_owned(), grant("user:a").into_iter().collect());
    story.options.access = grantees(&["user:a"]);
    let plan = story.plan(&product(1)).await;
    assert!(summary(&plan).contains("port/world_thing.grant[\"user:a\"]"), "{}", summary(&plan));
    assert!(!summary(&plan).starts_with('+'), "{}", summary(&plan));
    story.apply_plan(&plan).await.unwrap();
}

#[tokio::test]
async fn access_list_is_deleted_with_its_component() {
    let mut story = story();
    story.apply(&product(1)).await;
    set(&mut story, &["user:a"]).await;
    story.destroy().await;
    // The shared object is retained, the default when its last owner releases it.
    assert_eq!(story.remote().objects.keys().collect::<Vec<_>>(), ["schema"]);
    story.apply(&product(1)).await;
    assert_eq!(recorded(&story).await, None);
}

/// A port whose grants have the given value.
fn with_fields(grant: &str) -> Story {
    let port = PORT.replace("'${{ resources.view.id + \" in \" + resources.schema.key }}'", grant);
    Story { blueprints: vec![port.leak()], ..Story::new() }
}

#[tokio::test]
async fn access_fields_reach_grants_and_are_recorded() {
    let mut story = with_fields("'${{ acl.fields.?days.orValue(0) }}'");
    story.apply(&product(1)).await;
    story.options.access = grantees_with(&["user:a"], r#"{"why": {"b": 1, "a": 2}, "days": 30}"#);
    story.apply(&product(1)).await;
    assert_eq!(story.remote_value("user:a", "val").to_json_text(), "30");
    // A later plan reads the recorded fields, also for a grant that must be recreated.
    story.options.access = None;
    story.remote().objects.remove("user:a");
    story.apply(&product(2)).await;
    assert_eq!(story.remote_value("user:a", "val").to_json_text(), "30");
    // The fields are replaced as a whole, also without a change of principals.
    story.log();
    story.options.access = grantees_with(&["user:a"], r#"{"days": 7}"#);
    story.apply(&product(2)).await;
    assert_eq!(story.log(), ["update user:a"]);
    assert_eq!(recorded_access(&story).await, grantees_with(&["user:a"], r#"{"days": 7}"#).map(|it| it.access));
    story.options.access = grantees(&["user:a"]);
    story.apply(&product(2)).await;
    assert_eq!(story.remote_value("user:a", "val").to_json_text(), "0");
}

#[tokio::test]
async fn rollback_restores_access_fields() {
    let mut story = with_fields("'${{ acl.fields.?days.orValue(0) }}'");
    story.apply(&product(1)).await;
    story.options.access = grantees_with(&["user:a"], r#"{"days": 30}"#);
    let then = story.apply(&product(1)).await.operation;
    story.options.access = grantees_with(&["user:b"], r#"{"days": 7}"#);
    story.apply(&product(1)).await;
    story.options.access = None;
    let plan = rolled_back(&story, then).await;
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(recorded_access(&story).await, grantees_with(&["user:a"], r#"{"days": 30}"#).map(|it| it.access));
    assert_eq!(story.remote_value("user:a", "val").to_json_text(), "30");
    story.check_second_plan(&product(1)).await;
}

#[tokio::test]
async fn unread_access_fields_are_recorded() {
    let mut story = story();
    story.apply(&product(1)).await;
    set(&mut story, &["user:a"]).await;
    story.options.access = grantees_with(&["user:a"], r#"{"b": 1, "a": 2}"#);
    let plan = story.plan(&product(1)).await;
    assert!(!plan.has_changes() && plan.has_work());
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(story.log(), [] as [&str; 0]);
    let said = serde_json::to_string(&recorded_access(&story).await.unwrap().fields).unwrap();
    assert_eq!(said, r#"{"a":2,"b":1}"#);
    // The order of keys makes no difference.
    story.options.access = grantees_with(&["user:a"], r#"{"a": 2, "b": 1}"#);
    assert!(!story.plan(&product(1)).await.has_work());
    // A plan from before the last change of the fields is stale.
    story.options.access = grantees_with(&["user:a"], r#"{"a": 3}"#);
    let late = story.plan(&product(1)).await;
    story.options.access = grantees_with(&["user:a"], r#"{"a": 4}"#);
    story.apply(&product(1)).await;
    let refused = story.apply_plan(&late).await.unwrap_err().to_string();
    assert!(refused.contains("the access list of `port` of demo@test changed"), "{refused}");
}

#[tokio::test]
async fn misspelled_acl_variable_is_reported() {
    let mut story = with_fields("'${{ acl.field.days }}'");
    story.options.access = None;
    story.apply(&product(1)).await;
    story.options.access = grantees(&["user:a"]);
    let messages = story.errors(&product(1)).await;
    assert!(messages.contains("did you mean `fields`?"), "{messages}");
}
