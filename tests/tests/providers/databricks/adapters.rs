//! `compatibility: adapters`: each default of the adapters for Databricks, with the switch and without.

use super::{PRODUCT, World};
use serde_json::json;

/// The product in an environment with the switch, optionally a development environment.
fn switched(settings: &str) -> World {
    let world = World::with(settings);
    world.project.edit("terrace.yaml", "  prod:\n", "  prod:\n    compatibility: adapters\n");
    world
}

const DEVELOPMENT: &str = "developmentEnvironments: [Prod]";

fn applied(world: World) -> World {
    world.run(["apply", PRODUCT, "-c", "port", "--auto-approve"]).done();
    world
}

#[test]
fn owner_and_developers_read_a_port_of_a_development_environment() {
    assert_eq!(applied(switched(DEVELOPMENT)).readers(), ["dev", "jane.roe@example.com"]);
    assert_eq!(applied(switched("")).readers(), [] as [&str; 0], "not in other environments");
    assert_eq!(applied(World::with(DEVELOPMENT)).readers(), [] as [&str; 0], "not without the switch");
    let own = format!("{DEVELOPMENT}, outputPort: {{developers: []}}");
    assert_eq!(applied(switched(&own)).readers(), ["jane.roe@example.com"], "a setting overrides the switch");
}

#[test]
fn external_grants_are_revoked_when_access_is_set() {
    for (world, left) in [(switched(""), &["Analysts"][..]), (World::with(""), &["Analysts", "users"])] {
        let world = applied(world);
        let change = json!({"changes": [{"principal": "users", "add": ["SELECT"]}]});
        world.stand_in.call("PATCH", "/api/2.1/unity-catalog/permissions/table/sales.shop_0.orders_view", change);
        world.run(["acl", "set", PRODUCT, "port", "group:Analysts", "--auto-approve"]).done();
        assert_eq!(world.readers(), left);
    }
}

/// Grants of the adapter are adopted, and revoked when the list omits them.
#[test]
fn adapter_grants_are_revoked_when_access_is_set_without_them() {
    let world = applied(switched(""));
    let change = json!({"changes": [{"principal": "users", "add": ["SELECT"]}]});
    world.stand_in.call("PATCH", "/api/2.1/unity-catalog/permissions/table/sales.shop_0.orders_view", change);
    world.run(["acl", "set", PRODUCT, "port", "group:users", "group:Analysts", "--auto-approve"]).done();
    assert_eq!(world.readers(), ["Analysts", "users"]);
    world.run(["acl", "set", PRODUCT, "port", "group:Analysts", "--auto-approve"]).done();
    assert_eq!(world.readers(), ["Analysts"]);
}

#[test]
fn changed_workflow_is_overwritten_outside_development() {
    for (world, code) in [(switched(""), 0), (switched(DEVELOPMENT), 1), (World::with(""), 1)] {
        world.run(["apply", PRODUCT, "-c", "steps", "--auto-approve"]).done();
        let job = world.job("sales_shop_0_steps_prod")["job_id"].clone();
        let theirs = json!({"job_id": job, "new_settings": {"timeout_seconds": 60}});
        world.stand_in.call("POST", "/api/2.2/jobs/update", theirs);
        let ran = world.run(["apply", PRODUCT, "-c", "steps", "--auto-approve"]);
        assert_eq!(ran.code, code, "{ran}");
    }
}
