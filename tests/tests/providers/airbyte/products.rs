//! Descriptors of other tools, a product beyond Airbyte, and imported objects.

use super::{DESCRIPTOR, KEY, MADE, PRODUCT, World};
use serde_json::json;
use terrace_test_airbyte::WORKSPACE;

const CORPUS: &str = "witboost/descriptors/witboost-airbyte-specific-provisioner--pr_descriptor_";

#[test]
fn descriptors_of_an_earlier_provisioner_are_accepted_unchanged() {
    for name in ["1.yaml", "2_dbt.yaml"] {
        let Some(descriptor) = terrace_tests::shared(&format!("{CORPUS}{name}")) else { return };
        let world = World::new();
        world.project.write(PRODUCT, std::fs::read(descriptor).unwrap());
        world.run(["validate", PRODUCT]).done();
        world.apply().done();
        assert_eq!(
            world.stand_in.inventory(),
            [
                "connection Public Places Assaults CSV <> Snowflake",
                "destination Snowflake",
                "source Public Places Assaults CSV"
            ]
        );
        world.assert_settled();
        world.stand_in.patch(&world.id("Snowflake"), &json!({"configuration": {"schema": "THEIRS"}}));
        let drift = world.run(["drift", PRODUCT]);
        drift.prints("THEIRS");
        world.apply().done();
        world.assert_settled();
        world.run(["destroy", PRODUCT, "--auto-approve"]).done();
        assert_eq!(world.stand_in.inventory(), [] as [&str; 0]);
    }
}

#[test]
fn malformed_descriptor_is_reported_at_its_place_without_a_call() {
    for (name, expected) in [
        ("1_empty_specific.yaml", "source"),
        ("1_missing_specific.yaml", "specific"),
        ("1_missing_components.yaml", "component"),
    ] {
        let Some(descriptor) = terrace_tests::shared(&format!("{CORPUS}{name}")) else { return };
        let world = World::new();
        world.project.write(PRODUCT, std::fs::read(descriptor).unwrap());
        let plan = world.plan();
        assert_ne!(plan.code, 0, "{name}: {plan}");
        plan.prints(expected).prints(PRODUCT);
        assert_eq!(world.stand_in.count(), 0, "{name}");
    }
}

#[test]
fn product_with_a_storage_area_is_created_in_order() {
    let world = World::new();
    let snowflake = terrace_test_snowflake::StandIn::start();
    let area = "    - kind: storage
      id: urn:dmb:cmp:finance:cashflow:0:area
      name: Area
      version: 0.0.0
      useCaseTemplateId: urn:dmb:utm:snowflake-storage-template:0.0.0
      infrastructureTemplateId: urn:dmb:itm:snowflake:1
      specific:
        tables:
          - {tableName: places, schema: [{name: id, dataType: INT}]}
";
    let both = DESCRIPTOR
        .replace("      dependsOn: []\n", "      dependsOn: [urn:dmb:cmp:finance:cashflow:0:area]\n")
        .replace(
            "            schema: myschema\n            database: mydatabase\n",
            "            raw_data_schema: RAW\n",
        )
        .replace("componentIdToProvision: ", &format!("{area}componentIdToProvision: "));
    let product = both.lines().filter(|line| !line.starts_with("componentIdToProvision"));
    world.project.write(PRODUCT, product.collect::<Vec<_>>().join("\n"));
    // Not marked as secret: an expression that reads settings with `.?` would make all of them sensitive.
    world.project.edit(
        "terrace.yaml",
        "password: {secret: \"${{ env.SNOWFLAKE_SECRET }}\"}",
        "password: \"${{ env.SNOWFLAKE_SECRET }}\"",
    );
    world.project.edit(
        "terrace.yaml",
        "    providers:\n",
        &format!("    providers:\n      snowflake: {{host: '{}', role: TERRACE_ROLE, warehouse: WH, token: {{secret: \"${{{{ env.SNOWFLAKE_TOKEN_OF_TEST }}}}\"}}}}\n", snowflake.url()),
    );
    let secrets = [super::SECRETS.as_slice(), &[("SNOWFLAKE_TOKEN_OF_TEST", "secret")]].concat();
    let run = |words: &[&str]| world.project.run_with(&secrets, words.iter().copied());
    run(&["plan", PRODUCT]).done().prints("FINANCE");
    run(&["apply", PRODUCT, "--auto-approve"]).done();
    let lake = world.stand_in.configuration(&world.id("Snowflake"));
    assert_eq!((&lake["database"], &lake["schema"]), (&json!("FINANCE"), &json!("CASHFLOW_0")));
    assert!(snowflake.inventory().iter().any(|line| line == "table FINANCE.CASHFLOW_0.PLACES"));
    // The area is complete before the first write to Airbyte.
    let area_done = snowflake.take_calls().into_iter().filter(|it| it.is_write()).map(|it| it.at).max().unwrap();
    let airbyte = world.stand_in.take_calls();
    let first = airbyte.iter().find(|it| it.is_write()).unwrap();
    assert!(first.at > area_done);
    let plan = run(&["plan", PRODUCT, "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{plan}");
}

#[test]
fn imported_source_is_like_a_created_one() {
    let world = World::new();
    let source = world.stand_in.make(true, &json!({"name": "Public Places CSV", "workspaceId": WORKSPACE, "configuration": {
        "sourceType": "file", "dataset_name": "public places", "format": "csv", "url": "https://example.com/old.csv", "provider": {"storage": "HTTPS"}}}));
    let address = "finance.cashflow.0@development:cashflows-calculation/airbyte_source.source";
    world.run(["import", address, &format!("{WORKSPACE}/{source}")]).done();
    world.apply().done();
    assert_eq!(world.id("Public Places CSV"), source);
    assert_eq!(world.stand_in.inventory(), MADE);
    assert_eq!(world.stand_in.configuration(&source)["url"], "https://example.com/places.csv");
    world.assert_settled();
}

#[test]
fn read_only_and_unknown_credentials_are_reported() {
    let world = World::new();
    let wrong = [KEY, ("AIRBYTE_SECRET", "wrong-secret"), super::SECRETS[2]];
    let plan = world.project.run_with(&wrong, ["plan", PRODUCT]);
    assert_ne!(plan.code, 0, "{plan}");
    plan.prints("does not let terrace in").prints("clientSecret");
    assert!(!plan.to_string().contains("wrong-secret"), "{plan}");
    let text = world.project.read("terrace.yaml");
    let (before, _) = text.split_once("clientId: terrace").unwrap();
    world.project.write("terrace.yaml", format!("{before}token: reader}}\n"));
    world.plan().done();
    let applied = world.apply();
    assert_ne!(applied.code, 0, "{applied}");
    applied.prints("WORKSPACE_EDITOR");
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0]);
}
