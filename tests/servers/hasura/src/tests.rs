//! Accepted and refused requests, with graphql-engine's errors.

use crate::{Mapper, StandIn};
use serde_json::{Value as Json, json};

const URL: &str = "jdbc:snowflake://h/?user=u&password=p&role=r&warehouse=w&db=D&schema=S";

fn started() -> StandIn {
    let stand_in = StandIn::start(Mapper::Old);
    stand_in.add_table("D", "S", "V", &["ID"], &[]);
    stand_in
}

fn add() -> Json {
    let configuration = json!({"fully_qualify_all_names": false, "jdbc_url": URL});
    json!({"type": "snowflake_add_source", "args": {"name": "s", "configuration": configuration}})
}

fn track(name: &str, select: &str) -> Json {
    let configuration = json!({"custom_name": select, "custom_root_fields": {"select": select}});
    json!({"type": "snowflake_track_table", "args": {"source": "s", "table": [name], "configuration": configuration}})
}

fn permit(role: &str) -> Json {
    let permission = json!({"columns": "*", "filter": {}, "set": [], "allow_aggregations": false});
    json!({"type": "snowflake_create_select_permission", "args": {"source": "s", "table": ["V"], "role": role, "permission": permission}})
}

fn refused(stand_in: &StandIn, request: &Json) -> String {
    let why = stand_in.state().carry_out(request).unwrap_err();
    format!("{} {} {} {}", why.status, why.code, why.path, why.error)
}

#[test]
fn repeated_creation_and_removal_are_refused() {
    let stand_in = started();
    stand_in.metadata(&add());
    assert_eq!(refused(&stand_in, &add()), "400 already-exists $.args source with name \"s\" already exists");
    stand_in.metadata(&track("V", "v"));
    assert_eq!(refused(&stand_in, &track("V", "v")), "400 already-tracked $.args view/table already tracked: \"V\"");
    stand_in.metadata(&permit("r"));
    assert!(refused(&stand_in, &permit("r")).starts_with("400 already-exists"));
    let drop =
        json!({"type": "snowflake_drop_select_permission", "args": {"source": "s", "table": ["V"], "role": "r"}});
    stand_in.metadata(&drop);
    assert!(refused(&stand_in, &drop).starts_with("400 permission-denied"));
    let untrack = json!({"type": "snowflake_untrack_table", "args": {"source": "s", "table": ["V"]}});
    stand_in.metadata(&untrack);
    assert!(refused(&stand_in, &untrack).starts_with("400 already-untracked"));
}

#[test]
fn bulk_is_all_or_nothing_and_counts_as_one_change() {
    let stand_in = started();
    let version =
        || stand_in.metadata(&json!({"type": "export_metadata", "version": 2, "args": {}}))["resource_version"].clone();
    stand_in.metadata(&json!({"type": "bulk", "args": [add(), track("V", "v")]}));
    assert_eq!(version(), 1);
    let before = stand_in.inventory();
    let bulk = json!({"type": "bulk", "args": [permit("r"), track("V", "v")]});
    assert_eq!(refused(&stand_in, &bulk), "400 already-tracked $.args[1].args view/table already tracked: \"V\"");
    assert_eq!((stand_in.inventory(), version()), (before, json!(1)));
    let atomic = json!({"type": "bulk_atomic", "args": [permit("r")]});
    assert_eq!(refused(&stand_in, &atomic), "500 unexpected $.args Bulk atomic does not support this command");
}

#[test]
fn change_of_another_version_is_a_conflict() {
    let stand_in = started();
    stand_in.metadata(&add());
    let late = json!({"type": "bulk", "resource_version": 0, "args": [track("V", "v")]});
    let expected = "409 conflict $ metadata resource version referenced (0) did not match current version";
    assert_eq!(refused(&stand_in, &late), expected);
    let right = json!({"type": "bulk", "resource_version": 1, "args": [track("V", "v")]});
    stand_in.metadata(&right);
}

#[test]
fn inconsistent_change_is_refused() {
    let stand_in = started();
    stand_in.metadata(&add());
    let missing = refused(&stand_in, &track("GONE", "v"));
    assert_eq!(
        missing,
        "400 invalid-configuration $.args Inconsistent object: no such table/view exists in source: \"GONE\""
    );
    assert!(refused(&stand_in, &track("V", "1v")).contains("is not valid GraphQL name"));
    stand_in.metadata(&track("V", "v"));
    stand_in.add_table("D", "S", "W", &["ID"], &[]);
    let twice = refused(&stand_in, &track("W", "v"));
    assert!(twice.starts_with("500 unexpected $.args Encountered conflicting definitions"), "{twice}");
    let unknown = json!({"type": "snowflake_track_table", "args": {"source": "s", "table": ["W"], "tabel": 1}});
    assert!(refused(&stand_in, &unknown).starts_with("400 parse-failed"));
    // A table that is dropped behind a source makes it inconsistent.
    stand_in.drop_table("D", "S", "V");
    let output = stand_in.metadata(&json!({"type": "get_inconsistent_metadata", "args": {}}));
    assert_eq!(
        (output["is_consistent"].clone(), output["inconsistent_objects"][0]["type"].clone()),
        (json!(false), json!("table"))
    );
}

#[test]
fn old_role_mapper_neither_returns_nor_removes() {
    let stand_in = started();
    let role = json!({"role_id": "r", "component_id": "c", "graphql_root_field_names": ["v"]});
    assert_eq!(stand_in.mapper("PUT", &["v1", "roles"], &role).0, 200);
    let output = stand_in.mapper("GET", &["v1", "roles", "r"], &Json::Null);
    assert_eq!(output, (200, json!({"role_id": "r", "component_id": "c"})));
    assert_eq!(stand_in.mapper("DELETE", &["v1", "roles", "r"], &Json::Null).0, 405);
    assert_eq!(stand_in.mapper("GET", &["v1", "user_roles", "r"], &Json::Null).0, 404);
    let stolen = json!({"role_id": "r", "component_id": "d", "graphql_root_field_names": []});
    assert_eq!(stand_in.mapper("PUT", &["v1", "roles"], &stolen).0, 400);
    let second = json!({"role_id": "s", "component_id": "c", "graphql_root_field_names": []});
    assert_eq!(stand_in.mapper("PUT", &["v1", "roles"], &second).0, 500);
    let without_users = json!({"role_id": "x", "users": []});
    assert_eq!(stand_in.mapper("PUT", &["v1", "user_roles"], &without_users).0, 400);
}
