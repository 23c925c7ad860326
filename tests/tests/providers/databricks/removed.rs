//! Removal of unmanaged objects: by name, unless their mark belongs to another resource.

use super::{PRODUCT, World};
use serde_json::{Value as Json, json};

const WORKFLOW: &str = "sales_shop_0_steps_prod";
const VIEW: &str = "sales.shop_0.orders_view";

fn destroy(world: &World, component: &str) -> terrace_tests::Ran {
    world.run(["destroy", PRODUCT, "-c", component, "--auto-approve"])
}

/// Creates a view with the port's name and query, and these properties.
fn make_view(world: &World, properties: &str) {
    world.stand_in.call("POST", "/api/2.1/unity-catalog/catalogs", json!({"name": "sales"}));
    world.stand_in.call("POST", "/api/2.1/unity-catalog/schemas", json!({"name": "shop_0", "catalog_name": "sales"}));
    world.stand_in.sql(&format!("CREATE VIEW {VIEW} {properties} AS SELECT id, price FROM main.raw.orders"));
}

fn has_view(world: &World) -> bool {
    world.stand_in.inventory().iter().any(|line| *line == format!("table {VIEW}"))
}

#[test]
fn unmanaged_workflow_is_removed_despite_differences() {
    let world = World::new();
    let theirs = json!({"name": WORKFLOW, "timeout_seconds": 60, "tasks": []});
    world.stand_in.call("POST", "/api/2.2/jobs/create", theirs);
    let ran = destroy(&world, "steps").done();
    ran.prints("exists and differs from its description").prints("`timeout_seconds` is 60");
    assert!(world.job(WORKFLOW).is_null(), "{ran}");
    destroy(&world, "steps").done().prints("nothing to destroy");
}

#[test]
fn differing_workflow_stops_an_apply_with_both_values() {
    let world = World::new();
    world.stand_in.call("POST", "/api/2.2/jobs/create", json!({"name": WORKFLOW, "max_concurrent_runs": 3}));
    let plan = world.run(["plan", PRODUCT, "-c", "steps"]).with_code(1);
    plan.prints("`max_concurrent_runs` is 3, but 1 in the descriptor");
}

#[test]
fn job_with_the_mark_of_another_resource_is_not_removed() {
    let world = World::new();
    let theirs = json!({"name": WORKFLOW, "tags": {"terrace": "0123456789abcdef01234567"}});
    world.stand_in.call("POST", "/api/2.2/jobs/create", theirs);
    destroy(&world, "steps").done().prints("it carries the mark of").prints("another resource: it stays");
    assert!(!world.job(WORKFLOW).is_null());
}

#[test]
fn view_with_the_mark_of_another_resource_is_not_removed() {
    let world = World::new();
    make_view(&world, "TBLPROPERTIES ('terrace' = '0123456789abcdef01234567')");
    destroy(&world, "port").done().prints("it carries the mark of another");
    assert!(has_view(&world));
}

#[test]
fn view_without_a_mark_is_removed_by_its_name() {
    let world = World::new();
    make_view(&world, "");
    destroy(&world, "port").done();
    assert!(!has_view(&world));
}

#[test]
fn objects_of_a_lost_state_are_removed_by_their_mark() {
    let world = World::new();
    world.apply().done();
    let view = |world: &World| world.stand_in.call("GET", &format!("/api/2.1/unity-catalog/tables/{VIEW}"), Json::Null);
    let mark = view(&world)["properties"]["terrace"].clone();
    assert!(mark.is_string(), "{}", view(&world));
    // The mark stays after a change of the view.
    world.project.edit(PRODUCT, "          - {name: price, dataType: DECIMAL, precision: 10, scale: 2}\n", "");
    world.apply().done();
    assert_eq!(view(&world)["properties"]["terrace"], mark);
    std::fs::remove_dir_all(world.project.path(".terrace")).unwrap();
    for component in ["port", "steps", "flow"] {
        let ran = destroy(&world, component).done();
        assert!(!ran.to_string().contains("it stays"), "{ran}");
    }
    assert!(!has_view(&world));
    let left = world.stand_in.inventory();
    assert!(
        !left.iter().any(|line| line.contains("job sales_shop_0_steps") || line.starts_with("pipeline ")),
        "{left:?}"
    );
}
