//! A descriptor of an earlier provisioner on the server, from validation to removal.

use super::{DESCRIPTOR, KEY, MADE, PRODUCT, SECRETS, World};
use serde_json::{Value as Json, json};
use terrace_tests::served::{Answer, Served};

const KIND: &str = "COMPONENT_DESCRIPTOR";

fn ended(server: &Served, answer: &Answer) -> Json {
    assert_eq!(answer.status, 202, "{answer:?}");
    server.wait_for_end(&answer.body)
}

#[test]
fn descriptor_passes_all_calls_of_the_coordinator() {
    let world = World::new();
    let server = Served::start_with(&world.project, &[], &SECRETS);
    // An error is reported with its place, without a call.
    let malformed = DESCRIPTOR.replace("format: csv", "format: text");
    let refused = server.send("/v1/validate", KIND, &malformed).json();
    assert_eq!(refused["valid"], false, "{refused}");
    assert!(
        refused["error"]["errors"].to_string().contains("specific.source.connectionConfiguration.format"),
        "{refused}"
    );
    assert_eq!(world.stand_in.count(), 0);
    let valid = server.send("/v1/validate", KIND, DESCRIPTOR).json();
    assert_eq!(valid["valid"], true, "{valid}");
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0]);

    let made = ended(&server, &server.send("/v1/provision", KIND, DESCRIPTOR));
    assert_eq!(made["status"], "COMPLETED", "{made}");
    assert_eq!(world.stand_in.inventory(), MADE);
    let output = made["info"].to_string();
    assert!(output.contains("MYDATABASE.myschema") && output.contains("/connections/"), "{made}");
    let connection = world.id("Public Places CSV <> Snowflake");
    // The same request again changes nothing.
    let _ = world.stand_in.take_calls();
    let again = ended(&server, &server.send("/v1/provision", KIND, DESCRIPTOR));
    assert_eq!(again["status"], "COMPLETED", "{again}");
    assert_eq!(world.stand_in.take_writes(), [] as [&str; 0]);

    // A change is an update in place.
    let changed = DESCRIPTOR.replace("places.csv", "towns.csv");
    let done = ended(&server, &server.send("/v1/provision", KIND, &changed));
    assert_eq!(done["status"], "COMPLETED", "{done}");
    let source = world.id("Public Places CSV");
    assert_eq!(world.stand_in.configuration(&source)["url"], "https://example.com/towns.csv");
    assert_eq!(world.id("Public Places CSV <> Snowflake"), connection);

    // Drift is reported, and corrected by the next provision.
    world.stand_in.patch(&world.id("Snowflake"), &json!({"configuration": {"schema": "THEIRS"}}));
    world.project.write(PRODUCT, &changed);
    world.run(["drift", PRODUCT]).prints("THEIRS");
    assert_eq!(ended(&server, &server.send("/v1/provision", KIND, &changed))["status"], "COMPLETED");
    assert_eq!(world.stand_in.configuration(&world.id("Snowflake"))["schema"], "myschema");

    // A workload has no access list.
    let access = json!({"refs": ["user:ada"], "provisionInfo": {"request": changed, "result": ""}}).to_string();
    let refused = server.call("POST", "/v1/updateacl", &access);
    let output = match refused.status {
        202 => server.wait_for_end(&refused.body).to_string(),
        _ => refused.body,
    };
    assert!(output.contains("cannot grant access to `cashflows-calculation`"), "{output}");

    let gone = ended(&server, &server.send("/v1/unprovision", KIND, &changed));
    assert_eq!(gone["status"], "COMPLETED", "{gone}");
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0]);
    assert_eq!(ended(&server, &server.send("/v1/unprovision", KIND, &changed))["status"], "COMPLETED");
    assert!(!server.stderr().contains("hunter2"), "{}", server.stderr());
}

#[test]
fn server_names_the_consumers_of_an_object() {
    let world = World::new();
    let server = Served::start_with(&world.project, &[], &SECRETS);
    assert_eq!(ended(&server, &server.send("/v1/provision", KIND, DESCRIPTOR))["status"], "COMPLETED");
    let (source, destination) = (world.id("Public Places CSV"), world.id("Snowflake"));
    world.stand_in.connect(&json!({"name": "theirs", "sourceId": source, "destinationId": destination}));
    let failed = ended(&server, &server.send("/v1/unprovision", KIND, DESCRIPTOR));
    assert_eq!(failed["status"], "FAILED", "{failed}");
    assert!(failed["result"].to_string().contains("`theirs`") || failed.to_string().contains("`theirs`"), "{failed}");
}

/// The variables of an earlier service are sufficient.
#[test]
fn variables_of_an_earlier_service_configure_the_provider() {
    let world = World::new();
    let url = format!("{}/api/v1", world.stand_in.url());
    world.project.write(
        "terrace.yaml",
        "environments: {development: {templates: {\"urn:dmb:utm:dbt-standard\": airbyte-workload}}}\n",
    );
    let account = [
        ("SNOWFLAKE_HOST", "a.snowflakecomputing.com"),
        ("SNOWFLAKE_USER", "LOADER"),
        ("SNOWFLAKE_PASSWORD", "hunter2hunter2"),
        ("SNOWFLAKE_ROLE", "LOADER_ROLE"),
        ("SNOWFLAKE_WAREHOUSE", "WH"),
    ];
    let airbyte = [
        KEY,
        ("AIRBYTE_BASE_URL", url.as_str()),
        ("AIRBYTE_WORKSPACE_ID", terrace_test_airbyte::WORKSPACE),
        ("AIRBYTE_SOURCE_ID", terrace_test_airbyte::DEFINITION_FILE),
        ("AIRBYTE_DESTINATION_ID", terrace_test_airbyte::DEFINITION_SNOWFLAKE),
        ("AIRBYTE_USERNAME", "airbyte"),
        ("AIRBYTE_PASSWORD", "password"),
        ("AIRBYTE_BASIC_AUTH_ENABLED", "'true'"),
    ];
    // Without a Snowflake account nothing is created.
    let bare = world.project.run_with(&airbyte, ["apply", PRODUCT, "--auto-approve"]);
    assert_ne!(bare.code, 0, "{bare}");
    bare.prints("the connection to Snowflake").prints("is incomplete: set `settings.airbyte.snowflake`");
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0]);
    let all = [airbyte.as_slice(), &account].concat();
    let run = |words: &[&str]| {
        let ran = world.project.run_with(&all, words.iter().copied());
        assert!(!ran.to_string().contains("hunter2"), "{ran}");
        ran
    };
    run(&["apply", PRODUCT, "--auto-approve"]).done();
    assert_eq!(world.stand_in.inventory(), MADE);
    let lake = world.stand_in.configuration(&world.id("Snowflake"));
    assert_eq!((lake["username"].as_str(), lake["role"].as_str()), (Some("LOADER"), Some("LOADER_ROLE")));
    assert_eq!(lake["credentials"]["password"], "hunter2hunter2");
    let plan = run(&["plan", PRODUCT, "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{plan}");
    // With authentication switched off terrace sends no credentials, and this Airbyte refuses it.
    let off: Vec<_> = all.iter().copied().filter(|(name, _)| *name != "AIRBYTE_BASIC_AUTH_ENABLED").collect();
    let off = [off.as_slice(), &[("AIRBYTE_BASIC_AUTH_ENABLED", "false")]].concat();
    let plan = world.project.run_with(&off, ["plan", PRODUCT]);
    assert_ne!(plan.code, 0, "{plan}");
}

/// Runs the commands of the example's README.
#[test]
fn example_works_as_its_readme_says() {
    let world = World::new();
    let folder = terrace_tests::repository().join("examples/airbyte");
    for file in [PRODUCT, "terrace.yaml"] {
        world.project.copy(&folder.join(file), file);
    }
    let variables = [
        KEY,
        ("AIRBYTE_URL", world.stand_in.url()),
        ("AIRBYTE_WORKSPACE_ID", terrace_test_airbyte::WORKSPACE),
        ("AIRBYTE_CLIENT_ID", "terrace"),
        ("AIRBYTE_CLIENT_SECRET", "client-secret"),
        ("SNOWFLAKE_HOST", "a.snowflakecomputing.com"),
        ("SNOWFLAKE_USER", "LOADER"),
        ("SNOWFLAKE_PASSWORD", "hunter2hunter2"),
        ("SNOWFLAKE_ROLE", "LOADER_ROLE"),
        ("SNOWFLAKE_WAREHOUSE", "WH"),
    ];
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let commands = readme.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let mut most = 0;
    for command in commands.lines() {
        let words = command.split('#').next().unwrap().split_whitespace().skip(1);
        world.project.run_with(&variables, words).done();
        most = most.max(world.stand_in.inventory().len());
    }
    assert_eq!((most, world.stand_in.inventory().len()), (3, 0));
}
