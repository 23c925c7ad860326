use crate::harness::{BINDING, Instance, PERMISSION, ROLE, SOURCE, TABLE, path_of, permission, role, settings, source};
use crate::harness::{stand_in, table};
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, Found, Severity};
use terrace_test_hasura::{Fault, Mapper, StandIn};

fn members(users: Json, groups: Json) -> Json {
    json!({"roleId": "r", "users": users, "groups": groups})
}

fn about(stand_in: &StandIn) -> Vec<String> {
    stand_in.inventory()
}

#[tokio::test]
async fn existing_role_mapper_is_written_but_not_read() {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(ROLE, &role("r")).await.unwrap();
    instance.assert_settled(ROLE, &made, &role("r")).await;
    // Changes of root fields there are not readable: there is no drift.
    let foreign = json!({"role_id": "r", "component_id": "urn:dmb:cmp:sales:r", "graphql_root_field_names": ["x"]});
    stand_in.mapper("PUT", &["v1", "roles"], &foreign);
    instance.assert_settled(ROLE, &made, &role("r")).await;
    let config = members(json!(["user:ada"]), json!(["group:dev"]));
    let findings = instance.findings(BINDING, &config).await;
    assert_eq!(findings[0].severity, Severity::Note);
    assert_eq!(findings[0].message, "the members of this role are not readable: this role mapper does not return them");
    // Other members lose the role: the write replaces the list.
    stand_in.mapper("PUT", &["v1", "user_roles"], &json!({"role_id": "r", "users": ["user:eve"]}));
    let bound = instance.create(BINDING, &config).await.unwrap();
    assert!(about(&stand_in).contains(&r#"members r {"user:ada"} {"group:dev"}"#.to_owned()), "{:?}", about(&stand_in));
    instance.assert_settled(BINDING, &bound, &config).await;
    let other = members(json!([]), json!(["group:ops", "group:dev"]));
    let changed = instance.update(BINDING, &bound, &other).await.unwrap();
    assert!(about(&stand_in).contains(&r#"members r {} {"group:dev", "group:ops"}"#.to_owned()));
    instance.assert_settled(BINDING, &changed, &other).await;
    instance.delete(BINDING, &changed).await.unwrap();
    assert!(about(&stand_in).contains(&"members r {} {}".to_owned()));
}

#[tokio::test]
async fn unremovable_role_is_emptied_and_can_be_recreated() {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(ROLE, &role("r")).await.unwrap();
    stand_in.mapper("PUT", &["v1", "user_roles"], &json!({"role_id": "r", "users": ["user:eve"]}));
    instance.delete(ROLE, &made).await.unwrap();
    let expected = ["members r {} {}", "role r urn:dmb:cmp:sales:r {}"];
    assert_eq!(about(&stand_in), expected);
    assert!(instance.reports.messages()[0].contains("the role mapper removes no roles"));
    // Its root fields are not readable: they are written even if the role is adopted.
    let found = instance.find(ROLE, &role("r"), None, false).await.unwrap();
    let Found::Foreign(observed) = found else { panic!("{found:?}") };
    let row = crate::harness::recorded(&crate::harness::attributes(json!({})), observed);
    assert_eq!(instance.changes(ROLE, &row, &role("r")).await, ["rootFields"]);
    let again = instance.create(ROLE, &role("r")).await.unwrap();
    assert!(about(&stand_in).contains(&r#"role r urn:dmb:cmp:sales:r {"r_select"}"#.to_owned()));
    instance.assert_settled(ROLE, &again, &role("r")).await;
}

#[tokio::test]
async fn role_in_permissions_is_adopted_unchanged() {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    instance.create(ROLE, &role("r")).await.unwrap();
    instance.create(SOURCE, &source("s")).await.unwrap();
    instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    instance.create(PERMISSION, &permission("s", "ORDERS", "r")).await.unwrap();
    let Found::Foreign(observed) = instance.find(ROLE, &role("r"), None, false).await.unwrap() else { panic!() };
    let row = crate::harness::recorded(&crate::harness::attributes(json!({})), observed);
    assert_eq!(instance.changes(ROLE, &row, &role("r")).await, [] as [String; 0]);
}

#[tokio::test]
async fn newer_role_mapper_is_read_and_removes_roles() {
    let stand_in = stand_in(Mapper::Extended);
    stand_in.set_token("for the mapper");
    let mut settings = settings(&stand_in);
    settings
        .values
        .insert("roleMapper".to_owned(), json!({"url": stand_in.mapper_url(), "token": "for the mapper"}).into());
    let instance = Instance::with(crate::harness::provider(), &settings).await;
    let made = instance.create(ROLE, &role("r")).await.unwrap();
    let config = members(json!(["user:b", "user:a"]), json!([]));
    assert!(instance.findings(BINDING, &config).await.is_empty());
    let bound = instance.create(BINDING, &config).await.unwrap();
    instance.assert_settled(BINDING, &bound, &config).await;
    stand_in.mapper("PUT", &["v1", "group_roles"], &json!({"role_id": "r", "groups": ["group:theirs"]}));
    let read = instance.read(BINDING, &bound).await.unwrap().unwrap();
    assert_eq!(instance.changes(BINDING, &read, &config).await, ["groups"]);
    instance.delete(ROLE, &made).await.unwrap();
    assert!(about(&stand_in).is_empty());
    assert!(instance.read(BINDING, &bound).await.unwrap().is_none());
    instance.delete(BINDING, &bound).await.unwrap();
    let wrong = Instance::of(&stand_in).await;
    let error = wrong.create(ROLE, &role("r")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert!(error.solutions.join(" ").contains("roleMapper.token"), "{error:?}");
}

#[tokio::test]
async fn role_of_another_component_stays() {
    for mapper in [Mapper::Old, Mapper::Extended] {
        let stand_in = stand_in(mapper);
        let instance = Instance::of(&stand_in).await;
        let foreign = json!({"role_id": "r", "component_id": "urn:theirs", "graphql_root_field_names": ["x"]});
        stand_in.mapper("PUT", &["v1", "roles"], &foreign);
        let before = about(&stand_in);
        let error = instance.create(ROLE, &role("r")).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }), "{error}");
        assert!(error.message.contains("`urn:theirs`"), "{error}");
        let second = json!({"roleId": "second", "componentId": "urn:theirs"});
        let error = instance.create(ROLE, &second).await.unwrap_err();
        assert_eq!(path_of(&error), "componentId");
        assert_eq!(about(&stand_in), before);
        let _ = stand_in.take_calls();
    }
}

#[tokio::test]
async fn partial_write_of_members_is_undone() {
    for mapper in [Mapper::Old, Mapper::Extended] {
        let stand_in = stand_in(mapper);
        let instance = Instance::of(&stand_in).await;
        instance.create(ROLE, &role("r")).await.unwrap();
        let before = about(&stand_in);
        stand_in.faults().by_text.push(("PUT /v1/group_roles".to_owned(), Fault::Fails));
        let config = members(json!(["user:a"]), json!(["group:b"]));
        let error = instance.create(BINDING, &config).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{error}");
        assert_eq!(about(&stand_in), before);
        let bound = instance.create(BINDING, &config).await.unwrap();
        let before = about(&stand_in);
        stand_in.faults().by_text.push(("PUT /v1/group_roles".to_owned(), Fault::Fails));
        instance.update(BINDING, &bound, &members(json!(["user:z"]), json!([]))).await.unwrap_err();
        assert_eq!(about(&stand_in), before);
    }
}

#[tokio::test]
async fn invalid_members_and_root_fields_are_refused_first() {
    let stand_in = stand_in(Mapper::Old);
    let instance = Instance::of(&stand_in).await;
    let cases = [
        (BINDING, members(json!(["ada"]), json!([])), "users[0]"),
        (BINDING, members(json!(["user:a", "group:b"]), json!([])), "users[1]"),
        (BINDING, members(json!([]), json!(["group:"])), "groups[0]"),
        (BINDING, members(json!(["user:a", "user:a"]), json!([])), "users[1]"),
        (ROLE, json!({"roleId": "r", "componentId": "c", "rootFields": ["ok", "not-ok"]}), "rootFields[1]"),
        (ROLE, json!({"roleId": "", "componentId": "c"}), "roleId"),
        // Members of Hasura's own role have all permissions.
        (ROLE, json!({"roleId": "admin", "componentId": "c"}), "roleId"),
        (ROLE, json!({"roleId": "Admin", "componentId": "c"}), "roleId"),
        (BINDING, json!({"roleId": "admin", "users": ["user:a"], "groups": []}), "roleId"),
    ];
    for (ty, config, path) in cases {
        let error = instance.plan(ty, None, &config).await.unwrap_err();
        assert_eq!(path_of(&error), path, "{error}");
    }
    assert!(stand_in.take_calls().is_empty());
    let error = instance.create(BINDING, &members(json!(["user:a"]), json!([]))).await.unwrap_err();
    assert_eq!((path_of(&error).as_str(), error.message.as_str()), ("roleId", "role `r` does not exist"));
    assert!(stand_in.take_writes().is_empty());
}
