//! Reverse provisioning: a catalog reads existing objects.

use serde_json::{Value as Json, json};
use terrace_tests::Project;
use terrace_tests::served::{Answer, Served};

const STORAGE: &str = "urn:dmb:utm:snowflake-storage-template:0.0.0";

/// Creates a project with a table that no component describes.
fn project() -> Project {
    let project = Project::new();
    project.write(
        "stack.yaml",
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: theirs}\nresources:\n\
         - {type: sqlite_database, name: file, config: {path: .terrace/local/SALES/ORDERS_1.db}}\n\
         - type: sqlite_table\n  name: orders\n  config:\n    path: ${{ resources.file.path }}\n    name: ORDERS\n    \
         comment: What was ordered\n    columns:\n    - {name: ID, type: 'NUMERIC(38,0)', nullable: false, comment: Its number}\n    \
         - {name: EMAIL, type: VARCHAR(320)}\n    - {name: PLACED, type: TIMESTAMP, nullable: false}\n    \
         primaryKey: [ID]\n    unique: [[EMAIL]]\n",
    );
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    project
}

fn ask(server: &Served, template: &str, params: Json) -> Answer {
    let body = json!({"useCaseTemplateId": template, "environment": "local", "params": params, "catalogInfo": {}});
    server.call("POST", "/v1/reverse-provisioning", &body.to_string())
}

fn ended(server: &Served, token: &str) -> Json {
    server.wait_for_end_at(&format!("/v1/reverse-provisioning/{token}/status"))
}

#[test]
fn table_columns_are_read_into_the_catalog() {
    let project = project();
    let server = Served::start(&project, &[]);
    let params = json!({"database": "SALES", "schema": "ORDERS_1", "tables": ["orders"]});
    let answer = ask(&server, STORAGE, params.clone());
    assert_eq!(answer.status, 202, "{answer:?}");
    let status = ended(&server, &answer.body);
    let column = |name: &str, ty: &str, length: Json, digits: [Json; 2], constraint: Json, description: Json| {
        let [precision, scale] = digits;
        json!({"name": name, "dataType": ty, "dataLength": length, "precision": precision, "scale": scale,
               "constraint": constraint, "description": description})
    };
    let none = || [Json::Null, Json::Null];
    let columns = json!([
        column("ID", "NUMERIC", Json::Null, [json!(38), json!(0)], json!("PRIMARY_KEY"), json!("Its number")),
        column("EMAIL", "VARCHAR", json!(320), none(), json!("UNIQUE"), Json::Null),
        column("PLACED", "TIMESTAMP", Json::Null, none(), json!("NOT_NULL"), Json::Null),
    ]);
    let table = json!({"tableName": "ORDERS", "description": "What was ordered", "schema": columns});
    assert_eq!(status["status"], "COMPLETED", "{status}");
    assert_eq!(status["updates"], json!({"spec.mesh.specific.tables": [table]}));
    // Only the operation is recorded.
    assert!(project.run(["stacks", "list"]).done().stdout.contains("theirs"));
    let listed = project.run(["operations", "list"]).done().stdout;
    assert!(listed.contains("reverse-provisioning"), "{listed}");

    // A component with the returned fields has nothing to change.
    let missing = ask(&server, STORAGE, json!({"database": "SALES", "schema": "ORDERS_1", "tables": ["nothing"]}));
    let status = ended(&server, &missing.body);
    assert_eq!((&status["status"], &status["updates"]), (&json!("FAILED"), &json!({})), "{status}");
    let log = status["logs"].to_string();
    assert!(log.contains("`data.table` has no answer"), "{log}");
}

#[test]
fn unsupported_template_is_refused_at_once() {
    let project = project();
    project.write(
        "terrace.yaml",
        "environments: {local: {overlay: embedded, templates: {'urn:dmb:utm:theirs': outputport}}}\n",
    );
    let server = Served::start(&project, &[]);
    for (template, params, field, expected) in [
        ("urn:dmb:utm:nothing:0.0.0", json!({}), "useCaseTemplateId", "no blueprint matches the template"),
        ("urn:dmb:utm:databricks-workload-job-template", json!({}), "useCaseTemplateId", "has no `reverse`"),
        ("hasura-outputport", json!({}), "useCaseTemplateId", "the blueprint `hasura-outputport` has no `reverse`"),
        (STORAGE, json!({"database": "SALES"}), "params", "\"schema\" is a required property"),
        (STORAGE, json!({"database": "../x", "schema": "A", "tables": ["a"]}), "params", "`params.database`"),
        (STORAGE, json!({"database": "A", "schema": "A", "tables": []}), "params", "`params.tables`"),
    ] {
        let answer = ask(&server, template, params);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.json()["inputErrorField"], field, "{answer:?}");
        assert!(answer.json()["errors"][0].as_str().unwrap().contains(expected), "{expected}: {answer:?}");
    }
    let answer = ask(&server, STORAGE, json!({"database": "SALES"}));
    assert_eq!(answer.json()["errors"].as_array().map(Vec::len), Some(2), "each on its own: {answer:?}");
    // The earlier Hasura provisioner did not support this template either. The error lists the supported ones.
    for template in ["urn:dmb:utm:nothing:0.0.0", "urn:dmb:utm:hasura-outputport-template:0.0.0", "hasura-outputport"] {
        let refused = ask(&server, template, json!({}));
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(
            refused.body.contains(
                "choose one of: `outputport`, `urn:dmb:utm:theirs`, `urn:dmb:utm:snowflake-storage-template`"
            ),
            "{refused:?}"
        );
    }
    let elsewhere = json!({"useCaseTemplateId": STORAGE, "environment": "production"}).to_string();
    let answer = server.call("POST", "/v1/reverse-provisioning", &elsewhere);
    assert_eq!((answer.status, &answer.json()["inputErrorField"]), (400, &json!("environment")), "{answer:?}");
    for wrong in ["", "[]", "{\"environment\": \"local\"}"] {
        assert_eq!(server.call("POST", "/v1/reverse-provisioning", wrong).status, 400, "{wrong}");
    }
    assert!(server.call("GET", "/v1/reverse-provisioning/x/status", "").status == 400);
}

#[test]
fn command_line_reads_by_template_blueprint_or_component() {
    let project = project();
    let params = ["--param", "database=SALES", "--param", "schema=ORDERS_1", "--param", "tables=[orders]"];
    let reverse = |word: &str, more: &[&str]| {
        project.run(["reverse", word].into_iter().chain(params).chain(more.iter().copied()))
    };
    let output = reverse(STORAGE, &["--json"]).done().stdout;
    let json: Json = serde_json::from_str(&output).unwrap();
    assert_eq!(json["spec.mesh.specific.tables"][0]["schema"][0]["name"], "ID", "{json}");
    let text = reverse("snowflake-storage", &[]).done().stdout;
    insta::assert_snapshot!("the_updates_of_a_catalog", text);
    // An applied component knows its blueprint.
    project.write(
        "product.yaml",
        "id: urn:dmb:dp:sales:shop:0\nname: Shop\ndomain: sales\nversion: 0.1.0\nkind: dataproduct\nenvironment: local\n\
         specific: {}\ncomponents:\n- {id: 'urn:dmb:cmp:sales:shop:0:store', name: Store, kind: storage, version: 0.0.0, \
         useCaseTemplateId: 'urn:dmb:utm:snowflake-storage-template:0.0.0', infrastructureTemplateId: 'urn:dmb:itm:a:0', \
         specific: {tables: [{tableName: T, schema: [{name: ID, dataType: NUMBER}]}]}}\n",
    );
    project.run(["apply", "product.yaml", "--auto-approve"]).done();
    let stack = ["--stack", "sales.shop.0@local"];
    let of_component = project.run(["reverse", "store"].into_iter().chain(params).chain(stack));
    assert_eq!(of_component.done().stdout, text);
    reverse(STORAGE, &["--write", "updates.yaml"]).done();
    assert_eq!(project.read("updates.yaml"), text);
}

#[test]
fn component_is_read_in_its_recorded_environment() {
    let project = Project::new();
    project.write("terrace.yaml", "environments: {local: {overlay: embedded}, production: {overlay: embedded}}\n");
    project.write(
        "blueprints/port.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: port, version: 1.0.0}\nmatch: {kind: port}\n\
         specific: {type: object}\nresources:\n  - {type: local_value, name: v, config: {input: 1}}\nreverse:\n  params: {type: object}\n  updates: {where: '${{ environment }}'}\n",
    );
    project.write(
        "product.yaml",
        "id: urn:dmb:dp:sales:shop:0\nname: Shop\ndomain: sales\nversion: 0.1.0\nkind: dataproduct\nenvironment: production\n\
         specific: {}\ncomponents:\n- {id: 'urn:dmb:cmp:sales:shop:0:a', name: A, kind: port, version: 0.0.0, specific: {}}\n",
    );
    project.run(["apply", "product.yaml", "--auto-approve"]).done();
    let reverse = |words: &[&str]| project.run(std::iter::once("reverse").chain(words.iter().copied())).done().stdout;
    let (production, stack) = ("where: production\n", ["--stack", "sales.shop.0@production"]);
    assert_eq!(reverse(&["a"]), production);
    assert_eq!(reverse(&["a", stack[0], stack[1]]), production);
    // A blueprint is read in the environment of the given stack, otherwise in the default environment.
    assert_eq!(reverse(&["port", stack[0], stack[1]]), production);
    assert_eq!(reverse(&["port"]), "where: local\n");
    assert_eq!(reverse(&["port", "--env", "production"]), production);
}

#[test]
fn unsupported_reverse_command_lists_the_supported_ones() {
    let project = project();
    let refused = |words: &[&str]| project.run(std::iter::once("reverse").chain(words.iter().copied())).with_code(1);
    refused(&["nothing"])
        .prints("`nothing` is neither a component in the state of theirs@local nor a blueprint")
        .prints("choose one of: ");
    refused(&["urn:dmb:utm:nothing"]).prints("no blueprint matches the template `urn:dmb:utm:nothing`");
    refused(&[STORAGE]).prints("is a required property").prints("--param NAME=VALUE");
    refused(&[STORAGE, "--param", "schema"]).prints("`--param schema` has no name or no `=`");
    refused(&[STORAGE, "--param", "schema=[a"]).prints("the value of `--param schema` is not YAML");
    refused(&[STORAGE, "--catalog-info", "none.yaml"])
        .prints("there is no file `none.yaml`")
        .prints("pass a YAML or JSON file with the component as the catalog has it to `--catalog-info`");
}
