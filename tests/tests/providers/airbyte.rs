//! An Airbyte workload with the built-in blueprint and the stand-in, from the first plan to its destruction.

mod faults; // every call fails once before and once after its effect
mod moving; // objects of an earlier provisioner are adopted without a write
mod products; // descriptors of other tools, products beyond Airbyte, imports
mod served; // on the server, with the variables of an earlier service, and the example
mod wrong; // hostile texts, refused credentials, missing objects

use serde_json::json;
use terrace_test_airbyte::{StandIn, WORKSPACE};
use terrace_tests::{Project, Ran};

const PRODUCT: &str = "data-product.yaml";
const KEY: (&str, &str) = ("TERRACE_STATE_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
const SECRETS: [(&str, &str); 3] = [KEY, ("AIRBYTE_SECRET", "client-secret"), ("SNOWFLAKE_SECRET", "hunter2hunter2")];

/// A descriptor of an earlier provisioner.
const DESCRIPTOR: &str = "dataProduct:
  id: urn:dmb:dp:finance:cashflow:0
  name: CashFlow
  domain: finance
  version: 0.2.0
  kind: dataproduct
  environment: development
  dataProductOwner: user:name.surname_example.com
  devGroup: group:dev
  components:
    - kind: workload
      id: urn:dmb:cmp:finance:cashflow:0:cashflows-calculation
      name: CashFlows Calculation
      version: 0.0.0
      useCaseTemplateId: urn:dmb:utm:dbt-standard:0.0.0
      infrastructureTemplateId: urn:dmb:itm:dbt-provisioner:1
      dependsOn: []
      specific:
        source:
          name: Public Places CSV
          connectionConfiguration:
            url: https://example.com/places.csv
            format: csv
            provider:
              storage: HTTPS
              user_agent: false
            dataset_name: public places
        destination:
          name: Snowflake
          connectionConfiguration:
            schema: myschema
            database: mydatabase
        connection:
          name: Public Places CSV <> Snowflake
componentIdToProvision: urn:dmb:cmp:finance:cashflow:0:cashflows-calculation
";

/// A project with the product, and its Airbyte server.
struct World {
    stand_in: StandIn,
    project: Project,
}

impl World {
    fn new() -> Self {
        let (stand_in, project) = (StandIn::start(), Project::new());
        project.write(PRODUCT, DESCRIPTOR);
        let configuration = format!(
            "environments:
  development:
    templates: {{\"urn:dmb:utm:dbt-standard\": airbyte-workload}}
    settings:
      airbyte:
        sourceDefinitionId: {}
        destinationDefinitionId: {}
        snowflake: {{host: a.snowflakecomputing.com, user: LOADER, role: LOADER_ROLE, warehouse: WH, password: {{secret: \"${{{{ env.SNOWFLAKE_SECRET }}}}\"}}}}
    providers:
      airbyte: {{url: '{}', workspaceId: {WORKSPACE}, clientId: terrace, clientSecret: {{secret: \"${{{{ env.AIRBYTE_SECRET }}}}\"}}}}
",
            terrace_test_airbyte::DEFINITION_FILE,
            terrace_test_airbyte::DEFINITION_SNOWFLAKE,
            stand_in.url()
        );
        project.write("terrace.yaml", configuration);
        project.run(["init", "--state-key"]).done();
        Self { stand_in, project }
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Ran {
        let ran = self.project.run_with(&SECRETS, words);
        assert!(!ran.to_string().contains("hunter2"), "a secret is shown:\n{ran}");
        ran
    }

    fn plan(&self) -> Ran {
        self.run(["plan", PRODUCT])
    }

    fn apply(&self) -> Ran {
        self.run(["apply", PRODUCT, "--auto-approve"])
    }

    /// Checks that the second plan is empty.
    #[track_caller]
    fn assert_settled(&self) {
        let plan = self.run(["plan", PRODUCT, "--detailed-exitcode"]);
        assert_eq!(plan.code, 0, "the second plan has changes:\n{plan}");
    }

    fn id(&self, name: &str) -> String {
        self.stand_in.id_of(name).unwrap()
    }
}

const MADE: [&str; 3] =
    ["connection Public Places CSV <> Snowflake", "destination Snowflake", "source Public Places CSV"];

#[test]
fn workload_is_created_updated_in_place_and_destroyed() {
    let world = World::new();
    world.plan().done().prints("3 to add").prints("MYDATABASE");
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0], "planning changed something");
    world.apply().done();
    assert_eq!(world.stand_in.inventory(), MADE);
    let lake = world.stand_in.configuration(&world.id("Snowflake"));
    assert_eq!(
        (&lake["database"], &lake["schema"], &lake["username"]),
        (&json!("MYDATABASE"), &json!("myschema"), &json!("LOADER"))
    );
    assert_eq!(lake["credentials"]["password"], "hunter2hunter2");
    let file = world.stand_in.configuration(&world.id("Public Places CSV"));
    assert!(file["reader_options"].as_str().unwrap().contains("keep_default_na"));
    world.assert_settled();
    let connection = world.id(MADE[0].trim_start_matches("connection "));
    let outputs = world.run(["output"]).done();
    outputs.prints(&format!("/workspaces/{WORKSPACE}/connections/{connection}/status")).prints("MYDATABASE.myschema");
    // Another file, name and schedule: the same connection.
    world.project.edit(PRODUCT, "places.csv", "towns.csv");
    world.project.edit(
        PRODUCT,
        "name: Public Places CSV <> Snowflake",
        "name: Towns\n          schedule: {type: cron, cron: \"0 0 3 * * ?\"}",
    );
    let _ = world.stand_in.take_writes();
    world.apply().done();
    let writes = world.stand_in.take_writes();
    assert!(writes.len() == 2 && writes.iter().all(|it| it.starts_with("PATCH ")), "{writes:?}");
    assert_eq!(world.id("Towns"), connection);
    world.assert_settled();
    // Drift of configured values is shown and corrected; a connector's defaults are not.
    world
        .stand_in
        .patch(&world.id("Snowflake"), &json!({"configuration": {"warehouse": "THEIRS", "raw_data_schema": "RAW"}}));
    world.plan().done().prints("THEIRS").prints("1 to change");
    world.apply().done();
    world.assert_settled();
    assert_eq!(world.stand_in.configuration(&world.id("Snowflake"))["raw_data_schema"], "RAW");
    world.run(["destroy", PRODUCT, "--auto-approve"]).done();
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0]);
}

#[test]
fn changed_secret_is_sent_and_unchanged_one_is_not() {
    let world = World::new();
    world.apply().done();
    let id = world.id("Snowflake");
    let other = [KEY, SECRETS[1], ("SNOWFLAKE_SECRET", "another-secret")];
    let plan = world.project.run_with(&other, ["plan", PRODUCT]).done();
    plan.prints("1 to change");
    assert!(!plan.to_string().contains("another-secret"), "{plan}");
    let _ = world.stand_in.take_writes();
    world.project.run_with(&other, ["apply", PRODUCT, "--auto-approve"]).done();
    assert_eq!(world.stand_in.take_writes(), [format!("PATCH /destinations/{id}")]);
    assert_eq!(world.stand_in.configuration(&id)["credentials"]["password"], "another-secret");
    let plan = world.project.run_with(&other, ["plan", PRODUCT, "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{plan}");
}

#[test]
fn objects_with_other_consumers_stay_and_the_consumers_are_named() {
    let world = World::new();
    world.apply().done();
    let (source, destination) = (world.id("Public Places CSV"), world.id("Snowflake"));
    world.stand_in.connect(&json!({"name": "theirs", "sourceId": source, "destinationId": destination}));
    let ran = world.run(["destroy", PRODUCT, "--auto-approve"]);
    assert_ne!(ran.code, 0, "{ran}");
    ran.prints("is still used by other connections: `theirs`");
    assert_eq!(world.stand_in.inventory(), ["connection theirs", "destination Snowflake", "source Public Places CSV"]);
    world.stand_in.remove(&world.id("theirs"));
    world.run(["destroy", PRODUCT, "--auto-approve"]).done();
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0]);
}

#[test]
fn connection_with_sync_state_is_not_replaced() {
    let world = World::new();
    world.apply().done();
    world.stand_in.sync(&world.id("Public Places CSV <> Snowflake"));
    world.project.edit(
        PRODUCT,
        "          name: Public Places CSV\n          connectionConfiguration:\n            url: https://example.com/places.csv\n            format: csv\n            provider:\n              storage: HTTPS\n              user_agent: false\n            dataset_name: public places\n",
        "          name: Public Places CSV\n          connector: postgres\n          connectionConfiguration: {host: h, port: 1, database: d, username: u}\n",
    );
    let refused = world.apply();
    assert_ne!(refused.code, 0, "{refused}");
    refused.prints("sync state");
    assert_eq!(world.stand_in.inventory(), MADE);
}

#[test]
fn error_is_reported_at_its_line_before_any_call() {
    let world = World::new();
    world.project.edit(PRODUCT, "format: csv", "format: text");
    world.plan().with_code(1).prints("format");
    world.project.edit(PRODUCT, "format: text", "format: csv");
    world.project.edit(
        PRODUCT,
        "name: Public Places CSV <> Snowflake",
        "name: Towns\n          schedule: {type: cron, cron: \"* * * * *\"}",
    );
    world.plan().with_code(1).prints("`* * * * *` is not a valid").prints("it has 5 fields, not six or seven");
    world.project.edit(PRODUCT, "{type: cron, cron: \"* * * * *\"}", "{type: manual}");
    world.stand_in.remove_workspace(WORKSPACE);
    let refused = world.plan().with_code(1);
    refused.prints(&format!("`{WORKSPACE}` not found, or the instance's principal may not see it"));
    assert!(world.stand_in.take_writes().is_empty());
}
