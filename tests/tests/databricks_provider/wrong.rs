//! What is wrong is told at its place before anything is made: hostile texts, who is not let in, what is not there.

use super::{PRODUCT, World};
use terrace_tests::{hostile, told_at};

/// What fails is not tried again: a server that is not there stays away.
fn once(world: &World) {
    world.project.edit("terrace.yaml", "databricks: {host:", "databricks: {limits: {retries: 0}, host:");
}

/// What the plan of a component says of a hostile text in one of its fields; nothing where it is a text like others.
fn refused(world: &World, component: &str, field: &str) -> Option<String> {
    let product = world.project.read(PRODUCT);
    world.project.write(PRODUCT, hostile(&product, field));
    let plan = world.run(["plan", PRODUCT, "-c", component]);
    world.project.write(PRODUCT, product);
    assert!(world.stand_in.take_writes().is_empty(), "{component}, {field}: planning changed something");
    (plan.code != 0).then(|| told_at(&plan, PRODUCT))
}

#[test]
fn hostile_texts_are_texts_or_refused_at_their_place() {
    let fields = [
        ("nightly", "description: Runs every night"),
        ("nightly", "workspace: shop"),
        ("nightly", "repoPath: shop_0/nightly"),
        ("nightly", "jobName: sales_shop_0_nightly_prod"),
        ("nightly", "runAsPrincipalName: runner"),
        ("nightly", "gitRepoUrl: \"https://gitlab.com/sales/nightly.git\""),
        ("nightly", "gitReference: develop"),
        ("nightly", "gitReferenceType: branch"),
        ("nightly", "gitPath: notebooks/main"),
        ("nightly", "cronExpression: \"0 0 6 * * ?\""),
        ("nightly", "javaTimezoneId: Europe/Rome"),
        ("nightly", "clusterSparkVersion: 13.3.x-scala2.12"),
        ("nightly", "nodeTypeId: Standard_D4ds_v5"),
        ("nightly", "availability: SPOT_AZURE"),
        ("nightly", "name: spark.a"),
        ("nightly", "value: \"two\""),
        ("nightly", "name: MODE"),
        ("nightly", "value: fast"),
        ("flow", "repoPath: shop_0/flow"),
        ("flow", "pipelineName: sales_shop_0_flow_prod"),
        ("flow", "mail: a@example.com"),
        ("flow", "catalog: main"),
        ("flow", "target: raw"),
        ("flow", "productEdition: ADVANCED"),
        ("flow", "channel: PREVIEW"),
        ("flow", "mode: ENHANCED"),
        ("flow", "workerType: Standard_D4ds_v5"),
        ("flow", "team: a"),
        ("steps", "name: sales_shop_0_steps_prod"),
        ("steps", "notebook_path: /Shared/q"),
        ("steps", "referencedTaskType: notebook_warehouse"),
        ("steps", "referencedClusterName: WH"),
        ("port", "description: Orders for everybody"),
        ("port", "description: \"it's the \\\\ number\""),
        ("port", "name: price"),
        ("port", "dataType: DECIMAL"),
        ("port", "catalogName: main"),
        ("port", "schemaName: raw"),
        ("port", "tableName: orders"),
        ("port", "sqlWarehouseName: wh"),
        ("port", "workspaceOP: shop"),
        ("port", "catalogNameOP: Sales"),
        ("port", "schemaNameOP: shop_0"),
        ("port", "viewNameOP: orders_view"),
        ("databricks-workload", "cluster: databricks-cluster"),
        ("databricks-workload", "jobName: network-status-databricks-01"),
        ("databricks-workload", "notebook: ./notebook/main.py"),
        ("databricks-workload", "logLevel: INFO"),
        ("databricks-workload", "cronExpression: 0 0 0 * *"),
        ("port", "dataProductOwner: user:jane.roe_example.com"),
        ("port", "devGroup: group:dev"),
    ];
    let world = World::new();
    let before = world.stand_in.inventory();
    let (mut verdicts, mut product) = (Vec::new(), world.project.read(PRODUCT));
    for (component, field) in fields {
        let refused = refused(&world, component, field);
        if refused.is_none() {
            product = hostile(&product, field);
        }
        let verdict = refused.unwrap_or_else(|| "is a text".to_owned());
        verdicts.push(format!("{component}, {}: {verdict}", field.split(": ").next().unwrap_or_default()));
    }
    insta::assert_snapshot!(verdicts.join("\n"), @"");
    // All that are taken together: what was there before is there afterwards, and nothing is made of them but texts.
    world.project.write(PRODUCT, product);
    world.apply().done();
    world.assert_settled();
    let kept = world.stand_in.inventory();
    assert!(before.iter().all(|line| kept.contains(line)), "something is gone: {kept:#?}");
}

#[test]
fn who_is_not_let_in_and_a_host_that_is_not_there_are_told_at_the_component() {
    let world = World::new();
    let before = world.stand_in.inventory();
    let plan = ["plan", PRODUCT, "-c", "nightly"];
    let variables = [("DATABRICKS_TOKEN", "dapi-wr0ng"), ("GIT_TOKEN", "glpat-s3cr3t")];
    let told = world.project.run_with(&variables, plan);
    assert!(told_at(&told, PRODUCT).contains("does not let terrace in"), "{told}");
    assert!(!told.to_string().contains("dapi-wr0ng"), "{told}");
    assert_eq!(world.stand_in.inventory(), before);
    world.project.edit("terrace.yaml", world.stand_in.url(), "http://127.0.0.1:1");
    once(&world);
    let told = world.run(plan);
    assert!(told_at(&told, PRODUCT).contains("cannot be reached"), "{told}");
}

#[test]
fn what_is_missing_or_too_long_is_told_where_it_stands() {
    let long = format!("viewNameOP: {}", "v".repeat(256));
    for (component, old, new, says) in [
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
        let told = told_at(&plan, PRODUCT);
        assert!(told.contains(says), "{component}, {new}: {told}");
        assert_eq!(world.stand_in.inventory(), before, "{new}");
    }
}
