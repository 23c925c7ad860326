//! Errors are reported at their place before any write: refused credentials, missing objects, missing fields.

use super::{PRODUCT, World};
use terrace_tests::first_error_at;

/// Switches retries off: an unreachable server stays unreachable.
fn once(world: &World) {
    world.project.edit("terrace.yaml", "databricks: {host:", "databricks: {limits: {retries: 0}, host:");
}

#[test]
fn refused_credentials_and_unreachable_host_are_reported() {
    let world = World::new();
    let before = world.stand_in.inventory();
    let plan = ["plan", PRODUCT, "-c", "nightly"];
    let variables = [("DATABRICKS_TOKEN", "dapi-wr0ng"), ("GIT_TOKEN", "glpat-s3cr3t")];
    let ran = world.project.run_with(&variables, plan);
    assert!(first_error_at(&ran, PRODUCT).contains("does not let terrace in"), "{ran}");
    assert!(!ran.to_string().contains("dapi-wr0ng"), "{ran}");
    assert_eq!(world.stand_in.inventory(), before);
    world.project.edit("terrace.yaml", world.stand_in.url(), "http://127.0.0.1:1");
    once(&world);
    let ran = world.run(plan);
    assert!(first_error_at(&ran, PRODUCT).contains("cannot be reached"), "{ran}");
}

#[test]
fn missing_and_too_long_values_are_reported_at_their_place() {
    let long = format!("viewNameOP: {}", "v".repeat(256));
    for (component, old, new, expected) in [
        ("nightly", ", gitPath: notebooks/main", "", "gitPath"),
        ("nightly", "gitPath: notebooks/main", "gitPath: ''", "gitPath"),
        ("flow", "notebooks: [shop_0/flow/main]", "notebooks: []", "notebooks"),
        ("flow", "notebooks: [shop_0/flow/main]", "notebooks: ['']", "notebooks"),
        ("databricks-workload", "notebook: ./notebook/main.py", "notebook: ''", "notebook"),
        ("flow", "minWorkers: 1", "numWorkers: 1", "minWorkers"),
        ("flow", "mode: ENHANCED\n          minWorkers: 1\n", "mode: ENHANCED\n", "minWorkers"),
        ("port", "viewNameOP: orders_view", long.as_str(), "255"),
        ("port", "viewNameOP: orders_view", "viewNameOP: 'orders.view'", "orders.view"),
    ] {
        let world = World::new();
        world.project.edit(PRODUCT, old, new);
        let before = world.stand_in.inventory();
        let plan = world.run(["plan", PRODUCT, "-c", component]);
        let output = first_error_at(&plan, PRODUCT);
        assert!(output.contains(expected), "{component}, {new}: {output}");
        assert_eq!(world.stand_in.inventory(), before, "{new}");
    }
}
