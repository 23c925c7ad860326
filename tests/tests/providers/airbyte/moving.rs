//! Adoption of an earlier provisioner's objects: its calls run first, then terrace plans.

use super::{MADE, PRODUCT, World};
use serde_json::{Value as Json, json};
use terrace_test_airbyte::{DEFINITION_FILE, DEFINITION_SNOWFLAKE, WORKSPACE};

/// Makes that provisioner's calls for the product, in its order:
/// <https://github.com/agile-lab-dev/witboost-airbyte-specific-provisioner>. Each deploy creates one more operation.
fn replay(world: &World) {
    let call = |path: &[&str], body: Json| world.stand_in.config_api(path, &body);
    call(&["sources", "list"], json!({"workspaceId": WORKSPACE}));
    let options = r##"{"keep_default_na": false, "na_values": ["-1.#IND", "1.#QNAN", "1.#IND", "-1.#QNAN", "#N/A N/A", "#N/A", "N/A", "n/a", "", "#NA", "NULL", "null", "NaN", "-NaN", "nan", "-nan"]}"##;
    let source = call(
        &["sources", "create"],
        json!({"name": "Public Places CSV", "workspaceId": WORKSPACE, "sourceDefinitionId": DEFINITION_FILE, "connectionConfiguration": {
            "url": "https://example.com/places.csv", "format": "csv", "provider": {"storage": "HTTPS", "user_agent": false},
            "dataset_name": "public places", "reader_options": options}}),
    );
    call(&["destinations", "list"], json!({"workspaceId": WORKSPACE}));
    let destination = call(
        &["destinations", "create"],
        json!({"name": "Snowflake", "workspaceId": WORKSPACE, "destinationDefinitionId": DEFINITION_SNOWFLAKE, "connectionConfiguration": {
            "host": "a.snowflakecomputing.com", "role": "LOADER_ROLE", "username": "LOADER", "warehouse": "WH",
            "database": "MYDATABASE", "schema": "myschema", "credentials": {"password": "hunter2hunter2"},
            "loading_method": {"method": "Internal Staging"}}}),
    );
    let operation = call(
        &["operations", "create"],
        json!({"workspaceId": WORKSPACE, "name": "Basic normalization", "operatorConfiguration": {"operatorType": "normalization", "normalization": {"option": "basic"}}}),
    );
    let discovered =
        call(&["sources", "discover_schema"], json!({"sourceId": source["sourceId"], "disable_cache": false}));
    call(&["connections", "list"], json!({"workspaceId": WORKSPACE}));
    let mut stream = discovered["catalog"]["streams"][0].clone();
    stream["config"]["destinationSyncMode"] = "overwrite".into();
    call(
        &["connections", "create"],
        json!({"syncCatalog": {"streams": [stream]}, "sourceId": source["sourceId"], "destinationId": destination["destinationId"],
            "operationIds": [operation["operationId"]], "scheduleType": "manual", "status": "active", "name": "Public Places CSV <> Snowflake"}),
    );
}

#[test]
fn existing_objects_are_adopted_without_a_change() {
    let world = World::new();
    replay(&world);
    let ids = ["Public Places CSV", "Snowflake", "Public Places CSV <> Snowflake"].map(|name| world.id(name));
    let plan = world.plan().done();
    for sign in ["0 to add", "0 to change", "0 to destroy", "3 adopted"] {
        plan.prints(sign);
    }
    let _ = world.stand_in.take_calls();
    world.apply().done();
    assert_eq!(world.stand_in.take_writes(), [] as [&str; 0], "nothing was written");
    world.assert_settled();
    assert_eq!(world.stand_in.inventory(), MADE);
    let now = ["Public Places CSV", "Snowflake", "Public Places CSV <> Snowflake"].map(|name| world.id(name));
    assert_eq!(now, ids);
    world.run(["destroy", PRODUCT, "--auto-approve"]).done();
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0]);
}

#[test]
fn duplicate_names_are_reported_with_their_ids() {
    let world = World::new();
    replay(&world);
    let more = json!({"name": "Snowflake", "workspaceId": WORKSPACE, "configuration": {"destinationType": "csv", "destination_path": "/local"}});
    let other = world.stand_in.make(false, &more);
    let plan = world.plan().with_code(1);
    plan.prints(": there are 2").prints("destinations `Snowflake` in the workspace: `").prints(&other);
}
