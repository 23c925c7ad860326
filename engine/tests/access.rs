//! Who has access to a component: what grants it is planned by what was asked for last, and alone when that changes.

use crate::rollback::rolled_back;
use crate::support::Story;
use crate::support::story::summary;
use crate::support::world::Fault;
use terrace_engine::access::{Access, Fields};
use terrace_engine::address::StackId;
use terrace_engine::plan::Plan;
use terrace_engine::plan::access::Grantees;
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
    Some(Grantees { component: "port".to_owned(), access: Access::new(principals, fields) })
}

async fn recorded_access(story: &Story) -> Option<Access> {
    let rows = story.store.components(&StackId::new("demo", "test")).await.unwrap();
    rows.into_iter().find(|row| row.key == "port").unwrap().access
}

async fn recorded(story: &Story) -> Option<Vec<String>> {
    recorded_access(story).await.map(|access| access.principals)
}

/// Grants access, and answers what was called.
async fn set(story: &mut Story, principals: &[&str]) -> Vec<String> {
    story.log();
    story.options.access = grantees(principals);
    story.options.components = ["port".to_owned()].into();
    // What is described is another value by now; it is not what is asked for.
    story.apply(&product(2)).await;
    story.options.access = None;
    story.options.components.clear();
    story.log()
}

#[tokio::test]
async fn the_whole_set_is_granted_and_who_is_not_in_it_any_more_goes_last() {
    let mut story = story();
    story.apply(&product(1)).await;
    assert_eq!(recorded(&story).await, None);
    assert_eq!(set(&mut story, &["user:b", "user:a", "user:a"]).await, ["create user:a", "create user:b"]);
    assert_eq!(recorded(&story).await.unwrap(), ["user:a", "user:b"]);
    assert_eq!(set(&mut story, &["user:c", "user:b"]).await, ["create user:c", "delete user:a"]);
    // Who is not to have access loses it, also where somebody else cannot be let in.
    story.options.access = grantees(&["user:b", "user:d"]);
    story.options.components = ["port".to_owned()].into();
    story.fault("create user:d", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&product(1)).await;
    assert_eq!((report.failed.len(), report.blocked.len()), (1, 0), "{report:?}");
    assert_eq!(story.log(), ["create user:d", "delete user:c"]);
    assert_eq!(set(&mut story, &["user:c", "user:b"]).await, ["create user:c"]);
    assert_eq!(story.remote_value("view", "val").to_json_text(), "1", "all else is left as it is");
    // A later provision keeps them.
    story.apply(&product(2)).await;
    assert_eq!(story.log(), ["update view"]);
    assert_eq!(recorded(&story).await.unwrap(), ["user:b", "user:c"]);
    assert_eq!(set(&mut story, &[]).await.len(), 2);
    assert_eq!(recorded(&story).await.unwrap(), [] as [&str; 0]);
}

/// Readers, or writers where `acl.fields.write` says so; each has a role, and then is a member of it.
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
async fn who_could_not_be_let_in_anew_keeps_what_he_had_and_nobody_else_does() {
    let port = [PORT.split("acl:").next().unwrap(), ROLES].concat();
    let mut story = Story { blueprints: vec![port.leak()], ..Story::new() };
    story.apply(&product(1)).await;
    set(&mut story, &["user:a", "user:b", "user:c"]).await;
    story.options.access = grantees_with(&["user:a", "user:b"], r#"{"write": true}"#);
    story.options.components = ["port".to_owned()].into();
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
async fn access_to_what_is_not_there_is_refused() {
    let mut story = story();
    story.options.access = grantees(&["user:a"]);
    story.options.components = ["port".to_owned()].into();
    let told = story.errors(&product(1)).await;
    assert!(told.contains("`view` of `port` is not recorded"), "{told}");
    assert!(told.contains("`schema` of `port` is not recorded"), "{told}");
    assert!(told.contains("provision `port` first"), "{told}");
    // Also where the grants need nothing of it.
    let alone = PORT.replace("'${{ resources.view.id + \" in \" + resources.schema.key }}'", "1");
    let mut story = Story { blueprints: vec![alone.leak()], ..Story::new() };
    story.options.access = grantees(&["user:a"]);
    story.options.components = ["port".to_owned()].into();
    let told = story.errors(&product(1)).await;
    assert!(told.contains("nobody can be let in to `port` before it is there"), "{told}");
    // What has no `acl` takes nobody.
    let without = PORT.split("acl:").next().unwrap();
    let mut story = Story { blueprints: vec![without.to_owned().leak()], ..Story::new() };
    story.apply(&product(1)).await;
    story.options.access = grantees(&["user:a"]);
    story.options.components = ["port".to_owned()].into();
    let told = story.errors(&product(1)).await;
    assert!(told.contains("its blueprint, port 1.0.0, has no `acl`"), "{told}");
}

#[tokio::test]
async fn what_could_not_be_granted_is_granted_by_the_next_provision() {
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
async fn grants_that_are_there_already_are_taken_over_when_they_are_first_asked_for() {
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
async fn who_has_access_goes_with_the_component() {
    let mut story = story();
    story.apply(&product(1)).await;
    set(&mut story, &["user:a"]).await;
    story.destroy().await;
    // What is shared stays, as it is told to when its last owner goes.
    assert_eq!(story.remote().objects.keys().collect::<Vec<_>>(), ["schema"]);
    story.apply(&product(1)).await;
    assert_eq!(recorded(&story).await, None);
}

/// A port whose grants say for how long, where that was said.
fn with_fields(grant: &str) -> Story {
    let port = PORT.replace("'${{ resources.view.id + \" in \" + resources.schema.key }}'", grant);
    Story { blueprints: vec![port.leak()], ..Story::new() }
}

#[tokio::test]
async fn what_is_said_beside_the_principals_reaches_the_grants_and_is_kept() {
    let mut story = with_fields("'${{ acl.fields.?days.orValue(0) }}'");
    story.apply(&product(1)).await;
    story.options.access = grantees_with(&["user:a"], r#"{"why": {"b": 1, "a": 2}, "days": 30}"#);
    story.apply(&product(1)).await;
    assert_eq!(story.remote_value("user:a", "val").to_json_text(), "30");
    // A later plan sees it without being told, also of somebody who has to be let in again.
    story.options.access = None;
    story.remote().objects.remove("user:a");
    story.apply(&product(2)).await;
    assert_eq!(story.remote_value("user:a", "val").to_json_text(), "30");
    // It is replaced as a whole, by itself as well.
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
async fn what_was_said_of_access_comes_back_with_what_was_recorded_then() {
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
async fn what_nothing_reads_is_recorded_all_the_same() {
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
    // The same in another order is the same.
    story.options.access = grantees_with(&["user:a"], r#"{"a": 2, "b": 1}"#);
    assert!(!story.plan(&product(1)).await.has_work());
    // Whoever planned before that was said does not take it back.
    story.options.access = grantees_with(&["user:a"], r#"{"a": 3}"#);
    let late = story.plan(&product(1)).await;
    story.options.access = grantees_with(&["user:a"], r#"{"a": 4}"#);
    story.apply(&product(1)).await;
    let refused = story.apply_plan(&late).await.unwrap_err().to_string();
    assert!(refused.contains("who has access to `port`"), "{refused}");
}

#[tokio::test]
async fn a_slip_in_what_is_read_of_access_is_told() {
    let mut story = with_fields("'${{ acl.field.days }}'");
    story.options.access = None;
    story.apply(&product(1)).await;
    story.options.access = grantees(&["user:a"]);
    let told = story.errors(&product(1)).await;
    assert!(told.contains("did you mean `fields`?"), "{told}");
}

/// A port that lets readers in to a role.
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

/// Lets somebody in behind terrace's back.
fn let_in(story: &Story, who: &str, role: &str) {
    let object = [("key", who), ("role", role), ("id", &format!("id of {who}"))];
    let object = object.map(|(name, value)| (name.to_owned(), terrace_provider::Value::from(value)));
    story.remote().objects.insert(who.to_owned(), object.into_iter().collect());
}

fn notes(plan: &Plan) -> Vec<&str> {
    plan.notes.iter().filter(|note| note.code == "foreign_access").map(|note| note.message.as_str()).collect()
}

/// A port with two readers of terrace, and three of others.
async fn with_strangers() -> Story {
    let mut story = Story { blueprints: vec![ROLE_PORT], ..Story::new() };
    story.apply(&product(1)).await;
    for who in ["user:x", "user:y", "user:z"] {
        let_in(&story, who, "role");
    }
    let_in(&story, "user:elsewhere", "another");
    assert_eq!(set(&mut story, &["user:a", "user:b"]).await, ["create user:a", "create user:b"]);
    story
}

fn readers(story: &Story) -> Vec<String> {
    let is_reader =
        |(_, object): &(&String, &Attributes)| object.get("role").is_some_and(|role| *role == "role".into());
    story.remote().objects.iter().filter(is_reader).map(|(key, _)| key.clone()).collect()
}

#[tokio::test]
async fn access_that_others_gave_is_told_and_left() {
    let mut story = with_strangers().await;
    let plan = story.plan(&product(1)).await;
    assert!(!plan.has_changes());
    assert_eq!(
        notes(&plan),
        ["others gave access to `port`: foreign: user:x READ, foreign: user:y READ, foreign: user:z READ"]
    );
    // Whoever is in the set from now on is taken over; the others stay as they are.
    assert_eq!(set(&mut story, &["user:b", "user:x"]).await, ["delete user:a"]);
    assert_eq!(readers(&story), ["user:b", "user:owner", "user:x", "user:y", "user:z"]);
    let told = ["others gave access to `port`: foreign: user:y READ, foreign: user:z READ"];
    assert_eq!(notes(&story.plan(&product(1)).await), told);
    // Nobody at all is a set, too.
    set(&mut story, &[]).await;
    assert_eq!(notes(&story.plan(&product(1)).await), told);
    assert_eq!(readers(&story), ["user:owner", "user:y", "user:z"]);
}

#[tokio::test]
async fn access_that_others_gave_is_taken_away_where_the_environment_says_so() {
    let mut story = with_strangers().await;
    story.settings = serde_json::json!({"access": {"foreign": "revoke"}}).into();
    let plan = story.plan(&product(1)).await;
    insta::assert_snapshot!(summary(&plan), @r#"
    - port/world_grant.reader["foreign user:x"] (foreign: others gave that access)
    - port/world_grant.reader["foreign user:y"] (foreign: others gave that access)
    - port/world_grant.reader["foreign user:z"] (foreign: others gave that access)
    "#);
    assert_eq!(notes(&plan), [] as [&str; 0]);
    // Whoever is to have access has it before anybody is sent away.
    let calls = set(&mut story, &["user:b", "user:c", "user:x"]).await;
    assert_eq!(calls.first().map(String::as_str), Some("create user:c"), "{calls:?}");
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert_eq!(readers(&story), ["user:b", "user:c", "user:owner", "user:x"]);
    assert!(!story.plan(&product(1)).await.has_changes());
    // Nobody may be let in as long as nobody is asked for.
    let_in(&story, "user:y", "role");
    assert_eq!(set(&mut story, &[]).await.len(), 4);
    assert_eq!(readers(&story), ["user:owner"]);
    let_in(&story, "user:y", "role");
    story.apply(&product(1)).await;
    assert_eq!(readers(&story), ["user:owner"]);
}

#[tokio::test]
async fn what_another_stack_granted_is_nobody_strange() {
    let mut story = with_strangers().await;
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
async fn whoever_is_gone_already_is_sent_away_without_a_failure() {
    let mut story = with_strangers().await;
    story.settings = serde_json::json!({"access": {"foreign": "revoke"}}).into();
    let plan = story.plan(&product(1)).await;
    story.remote().objects.remove("user:y");
    story.apply_plan(&plan).await.unwrap();
    assert_eq!(readers(&story), ["user:a", "user:b", "user:owner"]);
    story.check_second_plan(&product(1)).await;
}

#[tokio::test]
async fn who_has_access_is_not_asked_without_looking_and_a_failure_is_told() {
    let mut story = with_strangers().await;
    story.remote().asked.clear();
    story.options.refresh = false;
    story.plan(&product(1)).await;
    assert!(story.remote().asked.iter().all(|asked| !asked.starts_with("grantees")));
    story.options.refresh = true;
    story.plan(&product(1)).await;
    let asked: Vec<String> =
        story.remote().asked.iter().filter(|asked| asked.starts_with("grantees")).cloned().collect();
    assert_eq!(asked, ["grantees of role"], "once for all");
    story.fault("grantees", Fault::Before(ErrorKind::PermissionDenied));
    let plan = story.plan(&product(1)).await;
    let told: Vec<&str> = plan.notes.iter().map(|note| note.message.as_str()).collect();
    assert_eq!(told, ["who else has access cannot be told: `world_grant` of `world`: grantees of role: no"]);
    assert!(!plan.has_changes());
}

#[tokio::test]
async fn what_is_shared_under_a_condition_need_not_be_there_to_let_somebody_in() {
    let port = PORT.replace("  - {type: world_thing, name: view", "  - {type: world_thing, name: extra, shared: extra, when: '${{ component.specific.val == 2 }}', config: {key: extra}}\n  - {type: world_thing, name: view");
    let port = port.replace("resources.view.id", "resources.?extra.?key.orValue(\"none\")");
    let mut story = Story { blueprints: vec![Box::leak(port.into_boxed_str())], ..Story::new() };
    story.apply(&product(1)).await;
    assert_eq!(set(&mut story, &["user:a"]).await, ["create user:a"]);
    assert!(format!("{:?}", story.remote().objects["user:a"]).contains("none in schema"));
}

#[tokio::test]
async fn what_is_shared_for_who_has_access_goes_with_the_last_who_has() {
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
async fn a_plan_of_some_grants_sends_nobody_else_away() {
    let mut story = with_strangers().await;
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
async fn a_grant_that_is_not_wanted_asks_for_nobody() {
    let port = ROLE_PORT.replace("adopt: ifExists", "adopt: ifExists\n      when: ${{ component.specific.val == 1 }}");
    let mut story = Story { blueprints: vec![port.leak()], ..Story::new() };
    revoking(&mut story);
    story.apply(&product(1)).await;
    set(&mut story, &[]).await;
    let_in(&story, "user:x", "role");
    assert_eq!(summary(&story.plan(&product(2)).await), "");
    assert!(summary(&story.plan(&product(1)).await).contains("foreign user:x"));
}

#[tokio::test]
async fn whom_another_stack_let_in_since_the_plan_stays() {
    let mut story = with_strangers().await;
    revoking(&mut story);
    let plan = story.plan(&product(1)).await;
    let other = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: other}\nresources:\n  \
                 - {type: world_grant, name: g, adopt: ifExists, config: {key: 'user:y', role: role}}\n";
    story.apply(other).await;
    let report = story.apply_plan(&plan).await.unwrap();
    let failed: Vec<&str> = report.failed.iter().map(|failed| failed.error.as_str()).collect();
    assert_eq!(
        failed,
        ["other@test:world_grant.g came to give that access since the plan was made, so nothing was called"]
    );
    assert_eq!(readers(&story), ["user:a", "user:b", "user:owner", "user:y"]);
    assert!(!story.plan(&product(1)).await.has_changes());
}

#[tokio::test]
async fn what_another_instance_of_the_same_server_granted_is_nobody_strange() {
    let mut story = with_strangers().await;
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
async fn whom_two_ports_of_one_role_do_not_know_is_sent_away_once() {
    let twice = ROLE_PORT.to_owned()
        + "    - type: world_grant\n      name: again\n      forEach: ${{ [] }}\n      \
           config: {key: '${{ each.value }}', role: '${{ resources.role.key }}'}\n";
    let mut story = Story { blueprints: vec![twice.leak()], ..Story::new() };
    revoking(&mut story);
    story.apply(&product(1)).await;
    set(&mut story, &["user:a"]).await;
    let_in(&story, "user:x", "role");
    story.apply(&product(1)).await;
    assert_eq!(story.log(), ["delete user:x"]);
}
