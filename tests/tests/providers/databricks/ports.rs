//! Sources of a port: existing and missing tables, views of the same plan, inherited columns.

use super::{PRODUCT, World};
use terrace_tests::Project;

const PORTS: &str = include_str!("../../../../examples/databricks-outputport/data-product.yaml");

fn world(settings: &str) -> World {
    let world = World::with(settings);
    world.stand_in.add_user("ada.lovelace@example.com");
    world.stand_in.add_group("shop-data");
    world.project.write(super::PRODUCT, PORTS.replace("environment: development", "environment: prod"));
    world
}

/// The same product under another name, with other views in the same schema.
fn another(product: &str) -> String {
    let more = product.replace("shop:sales:0", "shop:more:0").replace("name: Sales", "name: More");
    let more =
        more.replace("viewNameOP: orders", "viewNameOP: more").replace("tableName: orders\n", "tableName: more\n");
    more.replace("schemaName: raw\n      tableName: more", "schemaName: raw\n      tableName: orders")
}

fn columns(world: &World, view: &str) -> Vec<String> {
    let path = format!("/api/2.1/unity-catalog/tables/{view}");
    let view = world.stand_in.call("GET", &path, serde_json::Value::Null);
    view["columns"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn port_follows_the_port_it_inherits_columns_from() {
    let world = world("outputPort: {}");
    world.run(["plan", super::PRODUCT]).done();
    world.apply().done();
    world.assert_settled();
    assert_eq!(columns(&world, "shop_sales.ports_0.orders_copy"), ["id", "price"]);
    world.project.edit(
        super::PRODUCT,
        "        - {name: price,",
        "        - {name: name, dataType: STRING}\n        - {name: price,",
    );
    world.apply().done().prints("2 changed");
    world.assert_settled();
    assert_eq!(columns(&world, "shop_sales.ports_0.orders_copy"), ["id", "name", "price"]);
}

#[test]
fn port_without_a_contract_publishes_all_columns_of_its_source() {
    let world = world("outputPort: {}");
    world.project.edit(
        super::PRODUCT,
        "    dataContract: {schema: {inheritFrom: urn:dmb:cmp:shop:sales:0:port}}\n",
        "",
    );
    // The same plan creates the source: its columns are known before.
    let plan = world.run(["plan", super::PRODUCT]).done();
    plan.prints("orders_copy");
    world.apply().done();
    world.assert_settled();
    assert_eq!(columns(&world, "shop_sales.ports_0.orders_copy"), ["id", "price"]);
    let text = world.run(["output", "copy/columns", "--json", "--stack", "shop.sales.0@prod"]).done().stdout;
    assert!(text.contains("\"price\"") && text.contains("\"DECIMAL\""), "{text}");
    // It follows new columns of its source.
    world.project.edit(
        super::PRODUCT,
        "        - {name: price,",
        "        - {name: name, dataType: STRING}\n        - {name: price,",
    );
    world.apply().done();
    world.assert_settled();
    assert_eq!(columns(&world, "shop_sales.ports_0.orders_copy"), ["id", "name", "price"]);
}

#[test]
fn missing_table_is_reported_with_a_hint_for_the_environment() {
    for (settings, expected) in [
        ("outputPort: {}", "deploy the job or pipeline that creates it to prod"),
        ("developmentEnvironments: [PROD]", "run the job or pipeline that creates it, or correct `tableName`"),
    ] {
        let world = world(settings);
        world.project.edit(
            super::PRODUCT,
            "schemaName: raw\n      tableName: orders\n",
            "schemaName: raw\n      tableName: order\n",
        );
        let before = world.stand_in.inventory();
        let ran = world.apply();
        assert_ne!(ran.code, 0, "{ran}");
        ran.prints("table `main.raw.order` not found").prints(expected).prints("The schema `main.raw`");
        assert_eq!(world.stand_in.inventory(), before);
    }
}

#[test]
fn table_that_a_pipeline_will_create_is_waited_for() {
    let world = World::new();
    // The pipeline writes to `main.raw`.
    world.project.edit(super::PRODUCT, "      dependsOn: []\n", "      dependsOn: [urn:dmb:cmp:sales:shop:0:flow]\n");
    world.project.edit(super::PRODUCT, "        tableName: orders\n", "        tableName: made\n");
    world
        .run(["validate", super::PRODUCT, "--remote"])
        .done()
        .prints("not checked: `main.raw.made` does not exist yet");
    let ran = world.apply();
    assert_ne!(ran.code, 0, "{ran}");
    ran.prints("TABLE_OR_VIEW_NOT_FOUND").prints("port/databricks_view.view");
    world.stand_in.add_table("main.raw.made", &[("id", "int"), ("price", "decimal(10,2)")]);
    world.apply().done();
    world.assert_settled();
}

#[test]
fn columns_are_compared_by_name_and_type_with_both_lists() {
    let world = world("outputPort: {}");
    world.project.edit(
        super::PRODUCT,
        "{name: price, dataType: DECIMAL, precision: 10",
        "{name: price, dataType: DECIMAL, precision: 12",
    );
    let ran = world.apply();
    assert_ne!(ran.code, 0, "{ran}");
    ran.prints("the column `price` has the type DECIMAL(10,2) instead of").prints("DECIMAL(12,2) in `main.raw.orders`");
    ran.prints("it has `id` INT, `price` DECIMAL(10,2), `name` STRING; the view needs `id` INT, `price` DECIMAL(12,2)");
    let at = |text: &str| {
        let line = world.project.read(super::PRODUCT).lines().position(|line| line.contains(text)).unwrap();
        format!("{}:{}:", super::PRODUCT, line + 1)
    };
    ran.prints(&at("{name: price"));
    world.project.edit(
        super::PRODUCT,
        "{name: price, dataType: DECIMAL, precision: 12",
        "{name: prize, dataType: DECIMAL, precision: 10",
    );
    let ran = world.apply();
    ran.prints("`main.raw.orders` has no column `prize`").prints(&at("{name: prize"));
    // For a view of the same plan, the error is at the column of the contract.
    world.project.write(super::PRODUCT, PORTS.replace("environment: development", "environment: prod"));
    world.project.edit(
        super::PRODUCT,
        "{schema: {inheritFrom: urn:dmb:cmp:shop:sales:0:port}}",
        "{schema: [{name: id, dataType: INT}, {name: prize, dataType: DECIMAL}]}",
    );
    let ran = world.apply();
    assert_ne!(ran.code, 0, "{ran}");
    ran.prints("the view `shop_sales.ports_0.orders`, which the port reads, has no column `prize`");
    ran.prints("it has id, price; the data contract has id, prize").prints("data-product.yaml:");
}

/// Objects of the metastore exist once, through any of its workspaces.
#[test]
fn ports_in_two_workspaces_of_one_metastore_share_a_catalog() {
    let world = world("outputPort: {owner: [SELECT]}");
    let other = world.stand_in.start_second_listener();
    world.project.edit("terrace.yaml", "databricks: {host:", &format!("databricks: {{hosts: ['{other}'], host:"));
    let by = |way: &str| {
        format!(
            "workspaceOP: {way}\n      catalogNameOP: shop_sales\n      schemaNameOP: ports_0\n      viewNameOP: orders_copy"
        )
    };
    world.project.edit(super::PRODUCT, &by("shop"), &by(&other));
    world.apply().done();
    world.assert_settled();
    let shared = |world: &World| {
        let rows = world.run(["state", "list", "--stack", "shared@prod"]).done().stdout;
        rows.lines().map(|line| line.replace("0aa0aa00-0000-4000-8000-00000000a0a0", "METASTORE")).collect::<Vec<_>>()
    };
    let expected = [
        "shared/databricks_catalog[\"METASTORE shop_sales\"]",
        "shared/databricks_privilege[\"METASTORE shop_sales ada.lovelace@example.com USE_CATALOG\"]",
        "shared/databricks_privilege[\"METASTORE shop_sales.ports_0 ada.lovelace@example.com USE_SCHEMA\"]",
        "shared/databricks_schema[\"METASTORE shop_sales.ports_0\"]",
    ];
    assert_eq!(shared(&world), expected);
    // Another product, planned alone, through the other workspace.
    let more = another(&world.project.read(super::PRODUCT));
    world.project.write("more.yaml", more.replace("workspaceOP: shop", &format!("workspaceOP: {other}")));
    world.run(["apply", "more.yaml", "--auto-approve"]).done();
    world.run(["plan", "more.yaml", "--detailed-exitcode"]).done();
    world.assert_settled();
    assert_eq!(shared(&world), expected);
    world.run(["destroy", super::PRODUCT, "--auto-approve"]).done();
    let left = world.stand_in.inventory();
    assert!(
        left.iter().any(|it| it == "grant USE_CATALOG on catalog shop_sales to ada.lovelace@example.com"),
        "{left:?}"
    );
    world.run(["destroy", "more.yaml", "--auto-approve"]).done();
    assert!(!world.stand_in.inventory().iter().any(|it| it.contains("ada.lovelace")), "the last one gives it up");
}

#[test]
fn owner_of_one_port_may_read_another_port_of_the_catalog() {
    let world = world("catalog: {owner: [CREATE_SCHEMA]}, outputPort: {owner: [SELECT]}");
    world.apply().done();
    // It has another owner, and the first owner may read it.
    let more = another(&world.project.read(super::PRODUCT)).replace("ada.lovelace", "jane.roe");
    world.project.write("more.yaml", more);
    world.run(["apply", "more.yaml", "--auto-approve"]).done();
    world.run(["acl", "set", "more.yaml", "port", "user:ada.lovelace_example.com", "--auto-approve"]).done();
    world.run(["plan", "more.yaml", "--detailed-exitcode"]).done();
    world.assert_settled();
    let held = |privilege: &str| {
        let held = world.stand_in.inventory();
        held.iter().any(|it| it.starts_with(&format!("grant {privilege} on catalog")) && it.contains("ada.lovelace"))
    };
    assert!(held("USE_CATALOG") && held("CREATE_SCHEMA"), "{:?}", world.stand_in.inventory());
    world.run(["destroy", super::PRODUCT, "--auto-approve"]).done();
    assert!(held("USE_CATALOG") && !held("CREATE_SCHEMA"), "{:?}", world.stand_in.inventory());
}

/// The suite for real workspaces also works on the stand-in, and leaves no objects.
#[test]
fn live_account_suite_runs_and_cleans_up() {
    let world = world("outputPort: {}");
    let before = world.stand_in.inventory();
    for name in ["terrace_live_0_left", "theirs"] {
        world.stand_in.call("POST", "/api/2.2/jobs/create", serde_json::json!({"name": name}));
    }
    let live = format!("{}/live", env!("CARGO_MANIFEST_DIR"));
    let run = |script: &str, argument: &str, is_live: &str| {
        let mut command = std::process::Command::new(format!("{live}/{script}"));
        let variables = [
            ("DATABRICKS_HOST", world.stand_in.url()),
            ("DATABRICKS_TOKEN", "secret"),
            ("TERRACE_LIVE_DATABRICKS", is_live),
            ("TERRACE_LIVE_WAREHOUSE", "WH"),
            ("TERRACE_LIVE_TABLE", "main.raw.orders"),
        ];
        let ran = command.arg(argument).envs(variables).output().unwrap();
        let output = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{script}: {output}");
        output
    };
    let program = world.project.command(["--version"]).get_program().to_str().unwrap().to_owned();
    let output = run("databricks", &program, "1");
    assert!(output.contains("ok 3 scenarios"), "{output}");
    assert!(run("databricks", &program, "").starts_with("skipped: "));
    assert!(run("sweep", "databricks", "").contains("removed the job terrace_live_0_left"));
    let left: Vec<String> = world.stand_in.inventory().into_iter().filter(|it| !before.contains(it)).collect();
    assert_eq!(left, ["acl jobs theirs: admin@example.com IS_OWNER", "job theirs"]);
}

/// Runs the commands of a README.
fn run_readme(example: &str, world: &World, variables: &[(&str, &str)]) {
    let folder = format!("{}/../examples/{example}", env!("CARGO_MANIFEST_DIR"));
    let project = Project::new();
    for file in ["README.md", "terrace.yaml", "data-product.yaml"] {
        project.write(file, std::fs::read_to_string(format!("{folder}/{file}")).unwrap());
    }
    let readme = project.read("README.md");
    let commands = readme.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let program = project.command(["--version"]);
    let path = std::path::Path::new(program.get_program()).parent().unwrap().to_owned();
    let commands = format!("export PATH='{}':\"$PATH\"\n{commands}", path.display());
    let mut shell = std::process::Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &commands]).current_dir(project.path("."));
    let ran = shell.envs(variables.iter().copied()).env("DATABRICKS_HOST", world.stand_in.url()).output().unwrap();
    assert!(
        ran.status.success(),
        "{example}: {}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}

#[test]
fn examples_work_as_their_pages_say() {
    for example in ["databricks-workflow", "databricks-outputport"] {
        let world = world("outputPort: {}");
        let before = world.stand_in.inventory();
        run_readme(example, &world, &[("DATABRICKS_TOKEN", "secret"), ("GIT_TOKEN", "glpat")]);
        let left = world.stand_in.inventory().into_iter().filter(|it| !before.contains(it));
        let kept = |line: &String| {
            ["REPO ", "DIRECTORY ", "credential ", "catalog ", "schema ", "acl repos "]
                .iter()
                .any(|it| line.starts_with(it))
        };
        let left: Vec<String> = left.filter(|line| !kept(line)).collect();
        assert_eq!(left, [] as [&str; 0], "{example}");
    }
}

/// A view reads with terrace's rights: an environment may restrict the readable schemas.
#[test]
fn port_reads_only_schemas_that_the_environment_lists() {
    let world = World::with("readableSchemas: []");
    world.stand_in.add_table("secret.hr.salaries", &[("id", "int"), ("price", "decimal(10,2)")]);
    // The pipeline of the product writes there.
    world.run(["validate", PRODUCT]).done();
    world.project.edit(
        PRODUCT,
        "        catalogName: main\n        schemaName: raw\n        tableName: orders\n",
        "        catalogName: secret\n        schemaName: hr\n        tableName: salaries\n",
    );
    let refused = world.run(["validate", PRODUCT]).with_code(1);
    refused.prints("the table `secret.hr.salaries` is in no schema of this data product");
    refused.prints("list `secret.hr` in `settings.databricks.readableSchemas`");
    world.project.edit("terrace.yaml", "readableSchemas: []", "readableSchemas: [Secret.HR]");
    world.run(["validate", PRODUCT]).done();
    world.project.edit("terrace.yaml", ", readableSchemas: [Secret.HR]", "");
    world.run(["validate", PRODUCT]).done();
}
