//! A Hasura port on the server, from validation to removal, on the stand-ins of Hasura and its role mapper. Stories
//! with commands are in `tests/real/hasura_stories.py`.

mod wrong; // hostile texts, refused credentials, missing objects

use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use terrace_test_hasura::{Mapper, StandIn};
use terrace_tests::served::{Answer, Served};
use terrace_tests::{Project, Ran};

const PRODUCT: &str = "data-product.yaml";
const COMPONENT: &str = "urn:dmb:cmp:shop:orders:0:graph";
const ROLE: &str = "shop_orders_0_graph_role";
const PEM: &str = "-----BEGIN PRIVATE KEY-----\nbm8ga2V5IGF0IGFsbA==\n-----END PRIVATE KEY-----\n";

/// The product of the example, and the servers of its port.
struct World {
    stand_in: StandIn,
    project: Project,
}

impl World {
    fn new() -> Self {
        Self::with(Mapper::Extended)
    }

    fn with(mapper: Mapper) -> Self {
        let (stand_in, project) = (StandIn::start(mapper), Project::new());
        stand_in.add_table("SHOP_EXAMPLE", "ORDERS_0", "OPEN_ORDERS", &["ID", "STATUS"], &[]);
        let folder = terrace_tests::repository().join("examples/hasura");
        for file in [PRODUCT, "terrace.yaml"] {
            project.copy(&folder.join(file), file);
        }
        Self { stand_in, project }
    }

    fn variables(&self) -> [(&str, &str); 8] {
        [
            ("HASURA_URL", self.stand_in.url()),
            ("HASURA_ADMIN_SECRET", "secret"),
            ("ROLE_MAPPER_URL", self.stand_in.mapper_url()),
            ("SNOWFLAKE_HOST", "ab12345.snowflakecomputing.com"),
            ("SNOWFLAKE_USER", "HASURA"),
            ("SNOWFLAKE_PASSWORD", "hunter2&w"),
            ("SNOWFLAKE_ROLE", "HASURA_ROLE"),
            ("SNOWFLAKE_WAREHOUSE", "WH"),
        ]
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Ran {
        let ran = self.project.run_with(&self.variables(), words);
        assert!(!ran.to_string().contains("hunter2"), "a secret is shown:\n{ran}");
        ran
    }

    /// The descriptor of the port in a coordinator's form.
    fn descriptor(&self) -> String {
        let product = self.project.read(PRODUCT);
        let product: String = product.lines().map(|line| format!("  {line}\n")).collect();
        format!("dataProduct:\n{product}componentIdToProvision: {COMPONENT}\n")
    }

    fn has(&self, what: &str) -> bool {
        self.stand_in.inventory().iter().any(|line| line.starts_with(what))
    }
}

fn send(server: &Served, path: &str, descriptor: &str) -> Json {
    ended(server, &server.send(path, "COMPONENT_DESCRIPTOR", descriptor))
}

fn ended(server: &Served, answer: &Answer) -> Json {
    assert_eq!(answer.status, 202, "{answer:?}");
    let status = server.wait_for_end(&answer.body);
    assert_eq!(status["status"], "COMPLETED", "{status}");
    status
}

/// Existing descriptors name all four root fields.
#[test]
fn unservable_root_fields_are_omitted_with_adapter_defaults() {
    let world = World::new();
    let more = "      selectByPk: shop_orders_0_graph_pk\n      selectStream: shop_orders_0_graph_stream\n";
    world.project.edit(PRODUCT, "      allowAggregations:", &format!("{more}      allowAggregations:"));
    world.run(["validate", PRODUCT]).with_code(1).prints("cannot be served");
    world.project.edit("terrace.yaml", "  development:\n", "  development:\n    compatibility: adapters\n");
    world.run(["validate", PRODUCT]).done();
    world.project.edit("terrace.yaml", "      hasura:\n", "      hasura:\n        unserved: error\n");
    world.run(["validate", PRODUCT]).with_code(1).prints("cannot be served");
}

#[test]
fn port_passes_all_calls_of_the_coordinator() {
    let world = World::new();
    let server = Served::start_with(&world.project, &[], &world.variables());
    let descriptor = world.descriptor();
    let wrong = descriptor.replace("select: shop_orders_0_graph_select", "select: orders");
    let refused = server.send("/v1/validate", "COMPONENT_DESCRIPTOR", &wrong).json();
    assert_eq!(refused["valid"], false, "{refused}");
    assert!(refused["error"]["errors"].to_string().contains("does not begin with the names"), "{refused}");
    for (field, why) in [("selectByPk", "a view has no primary key"), ("selectStream", "Snowflake streams no rows")] {
        let more = format!("      {field}: shop_orders_0_graph_more\n        allowAggregations:");
        let wrong = descriptor.replace("      allowAggregations:", &more);
        let refused = server.send("/v1/validate", "COMPONENT_DESCRIPTOR", &wrong).json();
        assert_eq!(refused["valid"], false, "{refused}");
        let output = refused["error"]["errors"].to_string();
        assert!(output.contains(&format!("`shop_orders_0_graph_more` cannot be served: {why}")), "{refused}");
    }
    assert_eq!(server.send("/v1/validate", "COMPONENT_DESCRIPTOR", &descriptor).json()["valid"], true);
    assert_eq!(world.stand_in.count(), 0, "validation called the server");

    let made = send(&server, "/v1/provision", &descriptor);
    let output = made["info"]["publicInfo"].to_string();
    assert!(output.contains("https://graphql.example.com/v1/graphql") && output.contains(ROLE), "{made}");
    for what in
        ["source shop_orders_0 snowflake", "table shop_orders_0.OPEN_ORDERS", "select shop_orders_0.OPEN_ORDERS"]
    {
        assert!(world.has(what), "{what}: {:#?}", world.stand_in.inventory());
    }
    // The same request again changes nothing.
    let _ = world.stand_in.take_calls();
    send(&server, "/v1/provision", &descriptor);
    assert_eq!(world.stand_in.take_writes(), [] as [&str; 0]);

    let changed = descriptor.replace("shop_orders_0_graph_select\n", "shop_orders_0_graph_all\n");
    assert_ne!(changed, descriptor);
    send(&server, "/v1/provision", &changed);
    let table = |world: &World| world.stand_in.inventory().into_iter().find(|line| line.starts_with("table")).unwrap();
    assert!(table(&world).contains("shop_orders_0_graph_all"), "{}", table(&world));

    // Drift is reported, and corrected by the next provision.
    world.project.edit(PRODUCT, "select: shop_orders_0_graph_select", "select: shop_orders_0_graph_all");
    world.stand_in.metadata(&json!({"type": "snowflake_set_table_customization", "args": {"source": "shop_orders_0",
        "table": ["OPEN_ORDERS"], "configuration": {"custom_name": "theirs"}}}));
    world.run(["drift", PRODUCT]).prints("theirs");
    // The server reads an object again only after some seconds.
    std::thread::sleep(std::time::Duration::from_secs(3));
    send(&server, "/v1/provision", &changed);
    assert!(!table(&world).contains("theirs"), "{}", table(&world));

    let access = |refs: &[&str]| json!({"refs": refs, "provisionInfo": {"request": changed, "result": ""}}).to_string();
    for refs in [&["user:ada_example.com", "group:analysts"][..], &["group:analysts"]] {
        ended(&server, &server.call("POST", "/v1/updateacl", &access(refs)));
        let users: BTreeSet<&str> = refs.iter().copied().filter(|it| it.starts_with("user:")).collect();
        let members = format!("members {ROLE} {users:?} {{\"group:analysts\"}}");
        assert!(world.has(&members), "{:#?}", world.stand_in.inventory());
    }
    // An invalid principal gets no access, and the result says so.
    for (refs, status, has_access) in [
        (
            &["user:ada_example.com", "robot:x"][..],
            "COMPLETED",
            json!([{"identity": "user:ada_example.com", "locked": false}]),
        ),
        (&["robot:x"], "FAILED", json!([])),
    ] {
        let output = server.wait_for_end(&server.call("POST", "/v1/updateacl", &access(refs)).body);
        assert_eq!((&output["status"], &output["info"]["aclInfo"]), (&json!(status), &has_access), "{output}");
        let is_listed = output["result"].as_str().unwrap().contains("`robot:x` gets no access: ");
        assert_eq!(is_listed, status == "FAILED", "{output}");
        assert!(output["logs"].to_string().contains("`robot:x` gets no access to `graph`"), "{output}");
    }
    assert!(
        world.has(&format!("members {ROLE} {{}} {{}}")),
        "who had access lost it: {:#?}",
        world.stand_in.inventory()
    );
    // Reverse provisioning is not supported for a port.
    let reverse = json!({"useCaseTemplateId": "urn:dmb:utm:hasura-outputport-template", "environment": "development", "params": {}, "catalogInfo": {}});
    let answer = server.call("POST", "/v1/reverse-provisioning", &reverse.to_string());
    assert_eq!(answer.status, 400, "{answer:?}");

    // Table, permission, role and members are removed: no member regains access with the next port of that name.
    send(&server, "/v1/unprovision", &changed);
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0]);
    send(&server, "/v1/unprovision", &changed);
    send(&server, "/v1/provision", &changed);
    assert!(world.has(&format!("members {ROLE} {{}} {{}}")), "{:#?}", world.stand_in.inventory());
    assert!(!server.stderr().contains("hunter2"), "{}", server.stderr());
}

#[test]
fn former_members_lose_the_role_with_an_empty_access_list() {
    for mapper in [Mapper::Old, Mapper::Extended] {
        let world = World::with(mapper);
        world.run(["apply", PRODUCT, "-c", "graph", "--auto-approve"]).done();
        for (path, members) in
            [("user_roles", json!({"users": ["user:eve"]})), ("group_roles", json!({"groups": ["group:x"]}))]
        {
            let mut body = members;
            body["role_id"] = json!(ROLE);
            let url = format!("{}/v1/{path}", world.stand_in.mapper_url());
            ureq::put(url).send_json(&body).unwrap();
        }
        assert!(world.has(&format!("members {ROLE} {{\"user:eve\"}} {{\"group:x\"}}")));
        // Without a list, an earlier provisioner's members stay.
        world.run(["plan", PRODUCT, "-c", "graph", "--detailed-exitcode"]).done();
        world.run(["acl", "set", PRODUCT, "graph", "--auto-approve"]).done();
        assert!(world.has(&format!("members {ROLE} {{}} {{}}")), "{:#?}", world.stand_in.inventory());
        world.run(["plan", PRODUCT, "-c", "graph", "--detailed-exitcode"]).done();
        world.run(["destroy", PRODUCT, "-c", "graph", "--auto-approve"]).done();
    }
}

#[test]
fn hasura_reads_snowflake_with_a_key_and_notices_a_new_key() {
    let world = World::new();
    world.project.write(
        "terrace.yaml",
        "environments:\n  development:\n    settings:\n      hasura:\n        snowflake: {privateKey: {secret: \"${{ env.READER_KEY }}\"}, privateKeyPassphrase: {secret: \"${{ env.READER_WORD }}\"}}\n",
    );
    let other = PEM.replace("bm8g", "YW5v");
    let key = "TERRACE_STATE_KEY";
    let run = |pem: &str, words: &[&str]| {
        let more = [
            ("READER_KEY", pem),
            ("READER_WORD", "open sesame"),
            (key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ];
        let ran = world.project.run_with(&[world.variables().as_slice(), &more].concat(), words.iter().copied());
        for secret in ["bm8g", "YW5v", "LS0tLS1CRUdJTi", "sesame", "hunter2"] {
            assert!(!ran.to_string().contains(secret), "a secret is shown:\n{ran}");
        }
        ran
    };
    run(PEM, &["apply", PRODUCT, "-c", "graph", "--auto-approve"]).done();
    let source = || world.stand_in.inventory().into_iter().find(|line| line.starts_with("source")).unwrap();
    // The whole file in Base64, without a password.
    assert!(source().contains("private_key_base64=LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t"), "{}", source());
    assert!(source().contains("private_key_pwd=open%20sesame") && !source().contains("password="), "{}", source());
    assert_eq!(run(PEM, &["plan", PRODUCT, "-c", "graph", "--detailed-exitcode"]).code, 0);
    let before = source();
    run(&other, &["plan", PRODUCT, "-c", "graph"]).done().prints("1 to change");
    run(&other, &["apply", PRODUCT, "-c", "graph", "--auto-approve"]).done();
    assert_ne!(source(), before);
    assert_eq!(run(&other, &["plan", PRODUCT, "-c", "graph", "--detailed-exitcode"]).code, 0);
    let wrong = run("nothing-of-the-kind", &["plan", PRODUCT, "-c", "graph"]);
    assert_ne!(wrong.code, 0, "{wrong}");
    wrong.prints("is not a PEM key");
}

#[test]
fn postgres_view_is_served_with_its_stream() {
    let world = World::new();
    world.stand_in.add_table("shop_example", "orders_0", "open_orders", &["id", "status"], &[]);
    world.stand_in.set_password("hunter2&w");
    world.project.edit(
        PRODUCT,
        "    platform: Snowflake\n    technology: Snowflake\n",
        "    platform: PostgreSQL\n    technology: PostgreSQL\n",
    );
    world.project.edit(
        PRODUCT,
        "{database: SHOP_EXAMPLE, schema: ORDERS_0, tableName: ORDERS, viewName: OPEN_ORDERS}",
        "{database: shop_example, schema: orders_0, tableName: orders, viewName: open_orders}",
    );
    world.project.edit(
        PRODUCT,
        "allowAggregations:",
        "selectStream: shop_orders_0_graph_stream\n      allowAggregations:",
    );
    world.project.write(
        "terrace.yaml",
        "encryption: {key: BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=}\nenvironments:\n  development:\n    settings:\n      hasura:\n        postgres: {host: db.example.com, user: hasura, password: {secret: \"${{ env.SNOWFLAKE_PASSWORD }}\"}}\n",
    );
    world.run(["apply", PRODUCT, "-c", "graph", "--auto-approve"]).done();
    let table = world.stand_in.inventory().into_iter().find(|line| line.starts_with("table")).unwrap();
    assert!(
        table.contains("shop_orders_0_postgres.") && table.contains("\"select_stream\":\"shop_orders_0_graph_stream\""),
        "{table}"
    );
    let plan = world.run(["plan", PRODUCT, "-c", "graph", "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{plan}");
    world
        .run(["output"])
        .done()
        .prints("shop_orders_0_graph_select, shop_orders_0_graph_aggregate, shop_orders_0_graph_stream");
    world.run(["destroy", PRODUCT, "-c", "graph", "--auto-approve"]).done();
    assert_eq!(world.stand_in.inventory(), [] as [&str; 0]);
}

#[test]
fn root_field_of_another_product_is_reported_by_the_plan() {
    let world = World::new();
    world.run(["apply", PRODUCT, "-c", "graph", "--auto-approve"]).done();
    // An external table uses the name.
    world.stand_in.add_table("OTHER", "S", "V", &["ID"], &[]);
    let url = "jdbc:snowflake://h/?user=U&password=P&db=OTHER&schema=S";
    world.stand_in.metadata(
        &json!({"type": "snowflake_add_source", "args": {"name": "theirs", "configuration": {"jdbc_url": url}}}),
    );
    world.stand_in.metadata(&json!({"type": "snowflake_track_table", "args": {"source": "theirs", "table": ["V"],
        "configuration": {"custom_name": "shop_orders_0_graph_many"}}}));
    world.project.edit(PRODUCT, "select: shop_orders_0_graph_select", "select: shop_orders_0_graph_many");
    let _ = world.stand_in.take_calls();
    let plan = world.run(["plan", PRODUCT, "-c", "graph"]);
    assert_ne!(plan.code, 0, "{plan}");
    plan.prints("Hasura already has a root field `shop_orders_0_graph_many`").prints("`theirs`");
    assert!(world.stand_in.take_writes().is_empty());
}
