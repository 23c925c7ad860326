//! Names that descriptors omit, and names that differ from the rule.

use super::{PRODUCT, World};
use serde_json::Value as Json;

/// The product without the names that the rule gives.
fn unnamed() -> World {
    let world = World::new();
    for name in ["jobName: sales_shop_0_nightly_prod", "pipelineName: sales_shop_0_flow_prod"] {
        world.project.edit(PRODUCT, &format!("        {name}\n"), "");
    }
    for folder in ["nightly", "flow", "steps"] {
        world.project.edit(PRODUCT, &format!("        repoPath: shop_0/{folder}\n"), "");
    }
    world.project.edit(PRODUCT, "            name: sales_shop_0_steps_prod\n", "");
    world.project.edit(PRODUCT, "        jobName: network-status-databricks-01\n", "");
    world
}

#[test]
fn omitted_names_follow_the_rule() {
    let named = World::new();
    named.project.edit(PRODUCT, "network-status-databricks-01", "sales_shop_0_databricks_workload_prod");
    named.apply().done();
    let world = unnamed();
    world.apply().done();
    assert_eq!(world.stand_in.inventory(), named.stand_in.inventory());
    world.assert_settled();
}

#[test]
fn null_and_ignored_names_follow_the_rule() {
    let world = unnamed();
    world.project.edit(
        PRODUCT,
        "        runAsPrincipalName: runner\n",
        "        runAsPrincipalName: runner\n        jobName: null\n        repoPath: null\n",
    );
    world.project.edit(
        PRODUCT,
        "            format: MULTI_TASK\n",
        "            format: MULTI_TASK\n            name: IGNORED\n",
    );
    world.apply().done();
    for name in ["sales_shop_0_nightly_prod", "sales_shop_0_steps_prod"] {
        assert_ne!(world.job(name), Json::Null, "{name}");
    }
}

#[test]
fn name_that_differs_from_the_rule_is_a_warning() {
    let world = World::new();
    let ran = world.run(["plan", PRODUCT]).done();
    ran.prints("the job is named `network-status-databricks-01`, but the naming rule");
    assert_eq!(ran.to_string().matches("naming rule").count(), 1, "{ran}");
    for (old, new, warning) in [
        ("jobName: sales_shop_0_nightly_prod", "jobName: mine", "the job is named `mine`, but the naming rule gives"),
        ("pipelineName: sales_shop_0_flow_prod", "pipelineName: mine", "the pipeline is named `mine`"),
        ("name: sales_shop_0_steps_prod", "name: mine", "the workflow is named `mine`"),
        (
            "repoPath: shop_0/flow",
            "repoPath: mine/flow",
            "the repository is checked out at `mine/flow`, but the naming rule",
        ),
        ("repoPath: shop_0/steps", "repoPath: mine/steps", "the repository is checked out at `mine/steps`"),
    ] {
        world.project.edit(PRODUCT, old, new);
        world.run(["plan", PRODUCT]).done().prints(warning);
    }
}

/// Templates write one name in several ways.
#[test]
fn names_that_differ_in_case_and_signs_follow_the_rule() {
    let world = World::new();
    for (old, new) in [
        ("jobName: network-status-databricks-01", "jobName: sales_shop_0_Databricks-Workload_prod"),
        ("pipelineName: sales_shop_0_flow_prod", "pipelineName: Sales_Shop_0_Flow-prod"),
        ("repoPath: shop_0/flow", "repoPath: Shop_0/flow"),
    ] {
        world.project.edit(PRODUCT, old, new);
    }
    let ran = world.run(["plan", PRODUCT]).done();
    assert!(!ran.to_string().contains("naming rule"), "{ran}");
}

#[test]
fn pipeline_gets_its_catalog_schema_and_grants_first() {
    let world = World::with("catalog: {owner: [CREATE_SCHEMA]}, schema: {developers: [CREATE_TABLE]}");
    world.project.edit(
        PRODUCT,
        "        catalog: main\n        target: raw\n",
        "        catalog: Lake\n        target: Orders\n",
    );
    let before = world.stand_in.inventory();
    world.run(["apply", PRODUCT, "-c", "flow", "--auto-approve"]).done();
    let made: Vec<String> = world.stand_in.inventory().into_iter().filter(|line| !before.contains(line)).collect();
    let of_catalog: Vec<&str> =
        made.iter().map(String::as_str).filter(|line| line.contains("lake") && !line.ends_with("_schema")).collect();
    assert_eq!(
        of_catalog,
        [
            "catalog lake",
            "grant CREATE_SCHEMA on catalog lake to jane.roe@example.com",
            "grant CREATE_TABLE on schema lake.orders to dev",
            "grant USE_CATALOG on catalog lake to dev",
            "grant USE_CATALOG on catalog lake to jane.roe@example.com",
            "grant USE_SCHEMA on schema lake.orders to dev",
            "grant USE_SCHEMA on schema lake.orders to jane.roe@example.com",
            "schema lake.default",
            "schema lake.orders",
        ]
    );
    let writes = world.stand_in.take_writes();
    let at =
        |part: &str| writes.iter().position(|it| it.contains(part)).unwrap_or_else(|| panic!("{part}: {writes:?}"));
    assert!(at("/permissions/schema/lake.orders") < at("/api/2.0/pipelines"), "{writes:?}");
    let plan = world.run(["plan", PRODUCT, "-c", "flow", "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{plan}");
    // They stay with their tables.
    world.run(["destroy", PRODUCT, "-c", "flow", "--auto-approve"]).done();
    let left = world.stand_in.inventory();
    assert!(left.contains(&"schema lake.orders".to_owned()), "{left:?}");
    assert!(!left.iter().any(|line| line.starts_with("grant ") && line.contains("lake")), "{left:?}");
}

#[test]
fn pipeline_and_port_share_a_schema_and_its_grants() {
    let world = World::with("catalog: {owner: [CREATE_SCHEMA]}, outputPort: {owner: [SELECT]}");
    world.project.edit(
        PRODUCT,
        "        catalog: main\n        target: raw\n",
        "        catalog: sales\n        target: shop_0\n",
    );
    world.apply().done();
    world.assert_settled();
    world.run(["destroy", PRODUCT, "-c", "port", "--auto-approve"]).done();
    let left = world.stand_in.inventory();
    assert!(left.contains(&"grant USE_SCHEMA on schema sales.shop_0 to jane.roe@example.com".to_owned()), "{left:?}");
}
