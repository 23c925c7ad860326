//! External grants: reported, and revoked if the environment says so.

use super::*;

/// A port that grants a role to readers.
const ROLE_PORT: &str = "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: port, version: 1.0.0, description: A port}
specific: {type: object, properties: {val: {type: integer}}}
resources:
  - {type: world_thing, name: role, config: {key: role}}
  - {type: world_grant, name: owner, config: {key: 'user:owner', role: '${{ resources.role.key }}'}}
acl:
  resources:
    - type: world_grant
      name: reader
      adopt: ifExists
      forEach: ${{ acl.principals }}
      config: {key: '${{ each.value }}', role: '${{ resources.role.key }}'}
";

/// Grants access without terrace.
fn grant_externally(story: &Story, who: &str, role: &str) {
    let object = [("key", who), ("role", role), ("id", &format!("id of {who}"))];
    let object = object.map(|(name, value)| (name.to_owned(), terrace_provider::Value::from(value)));
    story.remote().objects.insert(who.to_owned(), object.into_iter().collect());
}

fn notes(plan: &Plan) -> Vec<&str> {
    plan.notes.iter().filter(|note| note.code == "foreign_access").map(|note| note.message.as_str()).collect()
}

/// A port with two readers that terrace granted and three external ones.
async fn with_external_grants() -> Story {
    let mut story = Story { blueprints: vec![ROLE_PORT], ..Story::new() };
    story.apply(&product(1)).await;
    for who in ["user:x", "user:y", "user:z"] {
        grant_externally(&story, who, "role");
    }
    grant_externally(&story, "user:elsewhere", "another");
    assert_eq!(set(&mut story, &["user:a", "user:b"]).await, ["create user:a", "create user:b"]);
    story
}

fn readers(story: &Story) -> Vec<String> {
    let is_reader =
        |(_, object): &(&String, &Attributes)| object.get("role").is_some_and(|role| *role == "role".into());
    story.remote().objects.iter().filter(is_reader).map(|(key, _)| key.clone()).collect()
}

#[tokio::test]
async fn external_grants_are_reported_and_stay() {
    let mut story = with_external_grants().await;
    let plan = story.plan(&product(1)).await;
    assert!(!plan.has_changes());
    assert_eq!(
        notes(&plan),
        ["external grants on `port`: foreign: user:x READ, foreign: user:y READ, foreign: user:z READ"]
    );
    // A principal that joins the list is adopted; the other external grants stay.
    assert_eq!(set(&mut story, &["user:b", "user:x"]).await, ["delete user:a"]);
    assert_eq!(readers(&story), ["user:b", "user:owner", "user:x", "user:y", "user:z"]);
    let output = ["external grants on `port`: foreign: user:y READ, foreign: user:z READ"];
    assert_eq!(notes(&story.plan(&product(1)).await), output);
    // An empty list is a list, too.
    set(&mut story, &[]).await;
    assert_eq!(notes(&story.plan(&product(1)).await), output);
    assert_eq!(readers(&story), ["user:owner", "user:y", "user:z"]);
}

#[tokio::test]
async fn external_grants_are_revoked_if_environment_says_so() {
    let mut story = with_external_grants().await;
    story.settings = serde_json::json!({"access": {"foreign": "revoke"}}).into();
    let plan = story.plan(&product(1)).await;
    insta::assert_snapshot!(summary(&plan), @r#"
    - port/world_grant.reader["foreign user:x"] (external grant: terrace did not give that access)
    - port/world_grant.reader["foreign user:y"] (external grant: terrace did not give that access)
    - port/world_grant.reader["foreign user:z"] (external grant: terrace did not give that access)
    "#);
    assert_eq!(notes(&plan), [] as [&str; 0]);
    // Listed principals get access before external grants are revoked.
    let calls = set(&mut story, &["user:b", "user:c", "user:x"]).await;
    assert_eq!(calls.first().map(String::as_str), Some("create user:c"), "{calls:?}");
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert_eq!(readers(&story), ["user:b", "user:c", "user:owner", "user:x"]);
    assert!(!story.plan(&product(1)).await.has_changes());
    // An empty list revokes all external grants.
    grant_externally(&story, "user:y", "role");
    assert_eq!(set(&mut story, &[]).await.len(), 4);
    assert_eq!(readers(&story), ["user:owner"]);
    grant_externally(&story, "user:y", "role");
    story.apply(&product(1)).await;
    assert_eq!(readers(&story), ["user:owner"]);
}

#[tokio::test]
async fn grants_of_another_stack_are_not_external() {
    let mut story = with_external_grants().await;
    story.settings = serde_json::json!({"access": {"foreign": "revoke"}}).into();
    for who in ["user:x", "user:y", "user:z"] {
        story.remote().objects.remove(who);
    }
    let other = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: other}\nresources:\n  \
                 - {type: world_grant, name: g, config: {key: 'user:o', role: role}}\n";
    story.apply(other).await;
    let plan = story.plan(&product(1)).await;
    assert!(!plan.has_changes(), "{}", summary(&plan));
}

#[tokio::test]
async fn revoking_a_missing_grant_succeeds() {
    let mut story = with_external_grants().await;
    story.settings = serde_json::json!({"access": {"foreign": "revoke"}}).into();
    let plan = story.plan(&product(1)).await;
    story.remote().objects.remove("user:y");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(readers(&story), ["user:a", "user:b", "user:owner"]);
    story.check_second_plan(&product(1)).await;
}

#[tokio::test]
async fn grantees_are_not_read_without_refresh_and_failure_is_reported() {
    let mut story = with_external_grants().await;
    story.remote().reads.clear();
    story.options.refresh = false;
    story.plan(&product(1)).await;
    assert!(story.remote().reads.iter().all(|call| !call.starts_with("grantees")));
    story.options.refresh = true;
    story.plan(&product(1)).await;
    let reads: Vec<String> = story.remote().reads.iter().filter(|call| call.starts_with("grantees")).cloned().collect();
    assert_eq!(reads, ["grantees of role"], "once for all");
    story.fault("grantees", Fault::Before(ErrorKind::PermissionDenied));
    let plan = story.plan(&product(1)).await;
    let notes: Vec<&str> = plan.notes.iter().map(|note| note.message.as_str()).collect();
    assert_eq!(notes, ["cannot read external grants: `world_grant` of `world`: grantees of role: no"]);
    assert!(!plan.has_changes());
}

#[tokio::test]
async fn conditional_shared_resource_may_be_missing_for_grants() {
    let port = PORT.replace("  - {type: world_thing, name: view", "  - {type: world_thing, name: extra, shared: extra, when: '${{ component.specific.val == 2 }}', config: {key: extra}}\n  - {type: world_thing, name: view");
    let port = port.replace("resources.view.id", "resources.?extra.?key.orValue(\"none\")");
    let mut story = Story { blueprints: vec![Box::leak(port.into_boxed_str())], ..Story::new() };
    story.apply(&product(1)).await;
    assert_eq!(set(&mut story, &["user:a"]).await, ["create user:a"]);
    assert!(format!("{:?}", story.remote().objects["user:a"]).contains("none in schema"));
}

#[tokio::test]
async fn shared_resource_of_grants_is_deleted_with_last_grant() {
    let port = "apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: port, version: 1.0.0, description: A port}
specific: {type: object, properties: {val: {type: integer}}}
resources:
  - {type: world_thing, name: role, shared: common, config: {key: role}}
acl:
  resources:
    - type: world_thing
      name: usage
      shared: ${{ \"use \" + each.value }}
      forEach: ${{ acl.principals }}
      lifecycle: {onLastRelease: delete}
      config: {key: '${{ \"use \" + each.value }}'}
    - type: world_thing
      name: reader
      forEach: ${{ acl.principals }}
      config: {key: '${{ each.value }}', val: '${{ resources.usage[each.key].key + resources.role.key }}'}
";
    let mut story = Story { blueprints: vec![port], ..Story::new() };
    story.apply(&product(1)).await;
    assert_eq!(set(&mut story, &["user:a", "user:b"]).await.len(), 4);
    assert_eq!(set(&mut story, &["user:b"]).await, ["delete user:a", "delete use user:a"]);
    assert_eq!(story.remote().objects.keys().collect::<Vec<_>>(), ["role", "use user:b", "user:b"]);
    set(&mut story, &[]).await;
    assert_eq!(story.remote().objects.keys().collect::<Vec<_>>(), ["role"]);
    story.check_second_plan(&product(1)).await;
}

fn revoking(story: &mut Story) {
    story.settings = serde_json::json!({"access": {"foreign": "revoke"}}).into();
}

#[tokio::test]
async fn targeted_plan_of_grants_revokes_no_external_ones() {
    let mut story = with_external_grants().await;
    revoking(&mut story);
    story.remote().objects.remove("user:a");
    for options in ["--target", "--exclude"] {
        let selector = Selector::Resource("port/world_grant.reader[\"user:b\"]".parse().unwrap());
        let chosen = vec![(None, selector)];
        story.options.targets = if options == "--target" { chosen.clone() } else { Vec::new() };
        story.options.excludes = if options == "--exclude" { chosen } else { Vec::new() };
        let plan = story.plan(&product(1)).await;
        assert!(!summary(&plan).contains("foreign"), "{options}: {}", summary(&plan));
    }
}

#[tokio::test]
async fn disabled_grant_resource_revokes_nothing() {
    let port = ROLE_PORT.replace("adopt: ifExists", "adopt: ifExists\n      when: ${{ component.specific.val == 1 }}");
    let mut story = Story { blueprints: vec![port.leak()], ..Story::new() };
    revoking(&mut story);
    story.apply(&product(1)).await;
    set(&mut story, &[]).await;
    grant_externally(&story, "user:x", "role");
    assert_eq!(summary(&story.plan(&product(2)).await), "");
    assert!(summary(&story.plan(&product(1)).await).contains("foreign user:x"));
}

#[tokio::test]
async fn grant_adopted_by_another_stack_since_plan_stays() {
    let mut story = with_external_grants().await;
    revoking(&mut story);
    let plan = story.plan(&product(1)).await;
    let other = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: other}\nresources:\n  \
                 - {type: world_grant, name: g, adopt: ifExists, config: {key: 'user:y', role: role}}\n";
    story.apply(other).await;
    let report = story.apply_plan(&plan).await.unwrap();
    let failed: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(
        failed,
        ["other@test:world_grant.g has managed that access since the plan was made, so the provider was not called"]
    );
    assert_eq!(readers(&story), ["user:a", "user:b", "user:owner", "user:y"]);
    assert!(!story.plan(&product(1)).await.has_changes());
}

#[tokio::test]
async fn grants_of_another_instance_of_same_server_are_not_external() {
    let mut story = with_external_grants().await;
    revoking(&mut story);
    for who in ["user:x", "user:y", "user:z"] {
        story.remote().objects.remove(who);
    }
    let other = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: other}\nresources:\n  \
                 - {type: world_grant, name: g, provider: world.eu, config: {key: 'user:o', role: role}}\n";
    story.apply(other).await;
    assert_eq!(summary(&story.plan(&product(1)).await), "");
}

#[tokio::test]
async fn external_grant_on_role_of_two_resources_is_revoked_once() {
    let twice = ROLE_PORT.to_owned()
        + "    - type: world_grant\n      name: again\n      forEach: ${{ [] }}\n      \
           config: {key: '${{ each.value }}', role: '${{ resources.role.key }}'}\n";
    let mut story = Story { blueprints: vec![twice.leak()], ..Story::new() };
    revoking(&mut story);
    story.apply(&product(1)).await;
    set(&mut story, &["user:a"]).await;
    grant_externally(&story, "user:x", "role");
    story.apply(&product(1)).await;
    assert_eq!(story.log(), ["delete user:x"]);
}
