//! A storage area and an output port in PostgreSQL, end to end: applied, changed, drifted, shared, reverse
//! provisioned, removed.

use terrace_state::contract::cluster::Cluster;
use terrace_tests::{Project, Ran};

/// A project whose environment uses a database of its own.
struct World {
    project: Project,
    url: String,
    database: String,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let cluster = Cluster::shared();
        let url = runtime.block_on(cluster.database());
        let database = url.split('/').nth(3).unwrap().split('?').next().unwrap().to_owned();
        let project = Project::new();
        project.write(
            "terrace.yaml",
            "environments:\n  production:\n    providers:\n      postgres: {url: {secret: '${{ env.TEST_URL }}'}, database: postgres}\n",
        );
        let world = Self { project, url, database, runtime };
        world.describe(
            &["{name: id, dataType: BIGINT, constraint: PRIMARY_KEY, description: Its number}", STATUS],
            "id, status",
        );
        world
    }

    fn describe(&self, columns: &[&str], port: &str) {
        let columns: String = columns.iter().map(|column| format!("          - {column}\n")).collect();
        let port: Vec<String> = port.split(", ").map(|name| format!("{{name: {name}, dataType: TEXT}}")).collect();
        let text = PRODUCT
            .replace("COLUMNS\n", &columns)
            .replace("PORT", &port.join(", "))
            .replace("DATABASE", &self.database);
        self.project.write("product.yaml", &text);
    }

    fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        let ran = self.project.run_with(&[("TEST_URL", &self.url), ("TERRACE_ENV", "production")], arguments);
        assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran}");
        ran
    }

    fn apply(&self) -> Ran {
        let ran = self.run(["apply", "product.yaml", "--auto-approve"]).done();
        self.is_settled();
        ran
    }

    /// Checks that the second plan is empty.
    fn is_settled(&self) {
        self.run(["plan", "product.yaml", "--detailed-exitcode"]).done().prints("No changes.");
    }

    fn execute(&self, sql: &str) {
        let sql = sql.replace("$db", &self.database);
        self.runtime
            .block_on(async { Cluster::shared().connect(&self.database).await.batch_execute(&sql).await })
            .unwrap();
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let sql = sql.replace("$db", &self.database);
        let rows =
            self.runtime.block_on(async { Cluster::shared().connect(&self.database).await.query(&sql, &[]).await });
        rows.unwrap().iter().map(|row| row.try_get::<_, String>(0).unwrap()).collect()
    }
}

const STATUS: &str = "{name: status, dataType: VARCHAR, dataLength: 20, constraint: NOT_NULL}";

const PRODUCT: &str = r#"id: urn:dmb:dp:sales:orders:1
name: Orders
domain: Sales
version: 1.2.0
kind: dataproduct
components:
  - id: urn:dmb:cmp:sales:orders:1:storage
    name: Storage
    kind: storage
    technology: PostgreSQL
    specific:
      database: DATABASE
      schema: orders_1
      tables:
        - tableName: Orders
          description: What was ordered
          schema:
COLUMNS
  - id: urn:dmb:cmp:sales:orders:1:port
    name: Port
    kind: outputport
    technology: PostgreSQL
    description: For everybody
    dependsOn: ["urn:dmb:cmp:sales:orders:1:storage"]
    dataContract: {schema: [PORT]}
    specific: {database: DATABASE, schema: orders_1, tableName: Orders, viewName: orders_view}
"#;

/// Selects the roles that may read.
const READERS: &str = "SELECT DISTINCT m.rolname::text FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid
     JOIN pg_roles m ON m.oid = a.member WHERE r.rolname = '$db_orders_1_orders_view_access' ORDER BY 1";

#[test]
fn storage_area_and_port_survive_grants_changes_drift_and_destroy() {
    let world = World::new();
    let planned = world.run(["plan", "product.yaml"]).done();
    planned.prints("postgres_table.table[\"Orders\"]").prints("postgres_view.view").prints("0 to change, 0 to destroy");
    world.apply();
    assert_eq!(world.query("SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '!' ELSE '' END, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'orders_1.\"Orders\"'::regclass AND attnum > 0"), ["id bigint!, status character varying(20)!"]);
    world.execute("INSERT INTO orders_1.\"Orders\" VALUES (1, 'open')");

    // Readers.
    world.execute("CREATE ROLE \"$db.ada@example.com\" LOGIN; CREATE ROLE \"$db_team\"; CREATE ROLE \"$db_stranger\"");
    let (ada, team) = (format!("user:{}.ada_example.com", world.database), format!("group:{}_team", world.database));
    world.run(["acl", "set", "product.yaml", "port", &ada, &team, "--auto-approve"]).done();
    assert_eq!(world.query(READERS).len(), 2);
    assert_eq!(world.query("SELECT has_table_privilege('$db_team', 'orders_1.orders_view', 'SELECT')::text"), ["true"]);
    assert_eq!(world.query("SELECT has_table_privilege('$db_team', 'orders_1.\"Orders\"', 'SELECT')::text"), ["false"]);
    // An external grant stays.
    world.execute("GRANT \"$db_orders_1_orders_view_access\" TO \"$db_stranger\"");
    world.run(["acl", "set", "product.yaml", "port", &team, "--auto-approve"]).done();
    assert_eq!(world.query(READERS), [format!("{}_stranger", world.database), format!("{}_team", world.database)]);
    world.is_settled();

    // New columns, a wider column under the view, and a renamed one.
    world.describe(
        &[
            "{name: id, dataType: BIGINT, constraint: PRIMARY_KEY, description: Its number}",
            "{name: state, previousName: status, dataType: TEXT, constraint: NOT_NULL}",
            "{name: price, dataType: NUMERIC, precision: 10, scale: 2, constraint: UNIQUE}",
        ],
        "id, state, price",
    );
    let planned = world.run(["plan", "product.yaml"]).done();
    assert!(!planned.stdout.contains("destroys data"), "{planned}");
    assert!(
        (planned.stdout.clone() + &planned.stderr).contains("orders_1.orders_view"),
        "the view is named: {planned}"
    );
    world.apply();
    assert_eq!(world.query("SELECT id || state || coalesce(price, 0) FROM orders_1.orders_view"), ["1open0"]);
    assert_eq!(world.query(READERS).len(), 2, "no access was revoked");
    assert_eq!(world.query("SELECT has_table_privilege('$db_team', 'orders_1.orders_view', 'SELECT')::text"), ["true"]);

    // Drift is found and repaired.
    world.execute("ALTER TABLE orders_1.\"Orders\" ADD COLUMN extra int, ALTER COLUMN price SET DEFAULT 0; COMMENT ON COLUMN orders_1.\"Orders\".id IS 'x'");
    world.execute("REVOKE SELECT ON orders_1.orders_view FROM \"$db_orders_1_orders_view_access\"");
    let drift = world.run(["drift", "product.yaml"]);
    drift.prints("postgres_table.table").prints("postgres_grant.select");
    // Removing an undeclared column needs consent.
    world.run(["apply", "product.yaml", "--auto-approve"]).with_code(4).prints("destroys data");
    world.run(["apply", "product.yaml", "--auto-approve", "--allow-data-loss"]).done();
    world.is_settled();

    // Removing a column is refused while it has data. With consent, terrace's view goes too.
    world.describe(
        &[
            "{name: id, dataType: BIGINT, constraint: PRIMARY_KEY}",
            "{name: state, dataType: TEXT, constraint: NOT_NULL}",
        ],
        "id, state",
    );
    world.run(["apply", "product.yaml", "--auto-approve"]).with_code(4).prints("column price is dropped");
    world.run(["apply", "product.yaml", "--auto-approve", "--allow-data-loss"]).done();
    world.is_settled();
    assert_eq!(world.query("SELECT id || state FROM orders_1.orders_view"), ["1open"]);

    // Destroyed without the data, adopted again, and destroyed with the data.
    world.run(["destroy", "product.yaml", "--auto-approve"]).done();
    assert_eq!(world.query("SELECT count(*)::text FROM orders_1.\"Orders\""), ["1"]);
    assert_eq!(world.query("SELECT coalesce(to_regclass('orders_1.orders_view')::text, 'gone')"), ["gone"]);
    world.apply();
    assert_eq!(world.query("SELECT id || state FROM orders_1.orders_view"), ["1open"]);
    world.run(["destroy", "product.yaml", "--auto-approve", "--remove-data"]).done();
    assert_eq!(world.query("SELECT coalesce(to_regclass('orders_1.\"Orders\"')::text, 'gone')"), ["gone"]);
}

#[test]
fn external_grants_are_reported_and_revoked_if_configured() {
    let world = World::new();
    world.apply();
    for who in ["a", "b", "c", "x", "y", "z"] {
        world.execute(&format!("CREATE ROLE \"$db_{who}\""));
    }
    let set = |who: &[&str]| {
        let who: Vec<String> = who.iter().map(|who| format!("group:{}_{who}", world.database)).collect();
        let words = ["acl", "set", "product.yaml", "port"].into_iter().chain(who.iter().map(String::as_str));
        world.run(words.chain(["--auto-approve"])).done()
    };
    let readers = || -> String {
        let prefix = format!("{}_", world.database);
        world.query(READERS).iter().map(|name| name.strip_prefix(&prefix).unwrap().to_owned()).collect()
    };
    set(&["a", "b"]);
    for who in ["x", "y", "z"] {
        world.execute(&format!("GRANT \"$db_orders_1_orders_view_access\" TO \"$db_{who}\""));
    }
    let plan = world.run(["plan", "product.yaml"]).done();
    for who in ["x", "y", "z"] {
        plan.prints(&format!("foreign: {}_{who}", world.database));
    }
    plan.prints("No changes.");
    world.run(["drift", "product.yaml"]).with_code(2).prints(&format!("foreign: {}_z role", world.database));
    set(&["b", "c"]);
    assert_eq!(readers(), "bcxyz");
    let settings = world
        .project
        .read("terrace.yaml")
        .replace("  production:\n", "  production:\n    settings: {access: {foreign: revoke}}\n");
    world.project.write("terrace.yaml", &settings);
    world.run(["plan", "product.yaml"]).done().prints("0 to add, 0 to change, 3 to destroy");
    set(&["c", "a", "x"]);
    assert_eq!(readers(), "acx");
    world.is_settled();
    world.run(["drift", "product.yaml"]).done();
    set(&[]);
    assert_eq!(readers(), "");
    world.execute("GRANT \"$db_orders_1_orders_view_access\" TO \"$db_y\"");
    world.apply();
    assert_eq!(readers(), "");
}

#[test]
fn existing_table_is_reverse_provisioned_and_adopted_without_a_change() {
    let world = World::new();
    world.execute(
        "CREATE SCHEMA orders_1;
         CREATE TABLE orders_1.\"Orders\" (a integer, b varchar(20), c numeric(10,2) NOT NULL, d timestamptz, e jsonb, f text,
           g double precision, h boolean UNIQUE NOT NULL, i uuid, j bytea, k date, l integer[], PRIMARY KEY (a, d));
         COMMENT ON TABLE orders_1.\"Orders\" IS 'made by hand'; COMMENT ON COLUMN orders_1.\"Orders\".b IS 'it''s b'",
    );
    let database = format!("database={}", world.database);
    let params = ["--param", &database, "--param", "schema=orders_1", "--param", "tables=[Orders]"];
    let ran = world.run(["reverse", "postgres-storage", "--json"].into_iter().chain(params)).done();
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let tables = json.pointer("/updates/spec.mesh.specific.tables").or_else(|| json.get("spec.mesh.specific.tables"));
    let tables = tables.unwrap_or_else(|| panic!("{json}"));
    assert_eq!(tables[0]["schema"].as_array().unwrap().len(), 12);
    let text = PRODUCT.split("      tables:").next().unwrap().replace("DATABASE", &world.database);
    world.project.write("product.yaml", format!("{text}      tables: {tables}\n"));
    let planned = world.run(["plan", "product.yaml"]).done();
    planned.prints("0 to add, 0 to change, 0 to destroy");
    assert!(planned.stdout.contains("= postgres_table.table[\"Orders\"]"), "{planned}");
    world.apply();
}

#[test]
fn invalid_input_is_reported_at_its_place() {
    let world = World::new();
    let long = "x".repeat(64);
    for (columns, expected, place) in [
        (format!("{{name: {long}, dataType: INT}}"), "maximum", "product.yaml"),
        ("{name: a, dataType: NONSENSE}".to_owned(), "`NONSENSE` is not a column type", "product.yaml"),
        (
            "{name: a, dataType: UNKNOWN, dataTypeDisplay: \"int; DROP TABLE x\"}".to_owned(),
            "is not a type of PostgreSQL",
            "product.yaml",
        ),
    ] {
        world.describe(&[&columns], "a");
        let ran = world.run(["plan", "product.yaml"]).with_code(1);
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(all.contains(expected) || all.contains("63"), "{ran}");
        assert!(all.contains(place), "{ran}");
    }
    world.describe(&["{name: id, dataType: BIGINT}"], "id, nowhere");
    let ran = world.run(["apply", "product.yaml", "--auto-approve"]).with_code(1);
    ran.prints("has no column `nowhere`")
        .prints("product.yaml:25:58")
        .prints("the table has id; the data contract has id, nowhere");
    // A wrong password is reported without the password.
    world.describe(&["{name: id, dataType: BIGINT}"], "id");
    let wrong = world.url.replace("hunter2-of-the-tests", "wr0ng-one");
    let ran = world.project.run_with(&[("TEST_URL", &wrong), ("TERRACE_ENV", "production")], ["plan", "product.yaml"]);
    assert_eq!(ran.code, 1, "{ran}");
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(all.contains("refuses the user or the password") && !all.contains("wr0ng-one"), "{ran}");
    assert_eq!(world.query("SELECT count(*)::text FROM pg_namespace WHERE nspname = 'orders_1'"), ["0"]);
}

#[test]
fn stack_of_every_type_is_created_and_removed_by_variables() {
    let world = World::new();
    let project = Project::new();
    let folder = world.url.split("host=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    project.write("stack.yaml", format!(r#"apiVersion: terrace.dev/v1
kind: Stack
metadata: {{name: everything}}
resources:
  - {{type: postgres_schema, name: s, config: {{database: {db}, name: s}}}}
  - type: postgres_table
    name: t
    config:
      database: {db}
      schema: ${{{{ resources.s.name }}}}
      name: t
      columns: [{{name: id, type: bigint, nullable: false, identity: always}}, {{name: label, type: varchar(20), default: "'new'"}}]
      primaryKey: {{columns: [id]}}
  - {{type: postgres_index, name: i, config: {{database: {db}, schema: s, name: i, table: "${{{{ resources.t.name }}}}", columns: [label], concurrently: true}}}}
  - {{type: postgres_materialized_view, name: m, config: {{database: {db}, schema: s, name: m, definition: "SELECT count(*) AS n FROM t"}}, dependsOn: [t]}}
  - {{type: postgres_role, name: r, config: {{name: {db}_reader}}}}
  - type: postgres_grant
    name: g
    config: {{database: {db}, objectType: table, object: "${{{{ resources.t.fullName }}}}", role: "${{{{ resources.r.name }}}}", privileges: [SELECT]}}
"#, db = world.database));
    let variables = [
        ("PGHOST", folder.as_str()),
        ("PGUSER", "terrace"),
        ("PGPASSWORD", terrace_state::contract::cluster::PASSWORD),
        ("PGDATABASE", "postgres"),
    ];
    let run = |arguments: &[&str]| project.run_with(&variables, arguments.iter().copied());
    run(&["apply", "stack.yaml", "--auto-approve"]).done();
    run(&["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
    world.execute("DROP TABLE s.t CASCADE; CREATE TABLE s.t (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, label varchar(20) DEFAULT 'new')");
    run(&["drift", "stack.yaml"]).prints("recreated");
    run(&["apply", "stack.yaml", "--auto-approve"]).done();
    run(&["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
    run(&["destroy", "stack.yaml", "--auto-approve", "--remove-data"]).done();
    assert_eq!(world.query("SELECT count(*)::text FROM pg_namespace WHERE nspname = 's'"), ["0"]);
}

#[test]
fn schema_is_retained_with_its_tables_and_destroy_succeeds() {
    let world = World::new();
    let stack = |resources: &str| {
        let head = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: shop}\nresources:\n";
        world.project.write("stack.yaml", format!("{head}{}", resources.replace("$db", &world.database)));
    };
    stack(
        "  - {type: postgres_schema, name: s, config: {database: $db, name: shop}}\n  - {type: postgres_table, name: t, config: \
         {database: $db, schema: '${{ resources.s.name }}', name: t, columns: [{name: a, type: int}]}}\n",
    );
    world.run(["apply", "stack.yaml", "--auto-approve"]).done();
    world.execute("INSERT INTO shop.t VALUES (1)");
    let destroyed = world.run(["destroy", "stack.yaml", "--auto-approve"]).done();
    destroyed.prints("o postgres_schema.s   stays: a retained object needs it").prints("(2 retained)");
    world.run(["destroy", "stack.yaml", "--auto-approve"]).done().prints("No changes.");
    assert_eq!(world.query("SELECT a::text FROM shop.t"), ["1"]);
    world.run(["apply", "stack.yaml", "--auto-approve"]).done();
    stack("  []\n");
    world.run(["apply", "stack.yaml", "--auto-approve"]).done();
    world.run(["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
    world.run(["destroy", "shop@production", "--auto-approve", "--remove-data"]).done();
    assert!(world.query("SELECT nspname::text FROM pg_namespace WHERE nspname = 'shop'").is_empty());
}

#[test]
fn owner_of_a_schema_is_removed_after_the_schema_has_another() {
    let world = World::new();
    let role = format!("owner_of_{}", world.database);
    let write = |owner: &str, roles: &str| {
        let text = format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: shop}}\nresources:\n{roles}  - {{type: postgres_schema, \
             name: s, config: {{database: {}, name: owned{owner}}}}}\n",
            world.database
        );
        world.project.write("stack.yaml", text);
    };
    let of = |name: &str| format!("  - {{type: postgres_role, name: {name}, config: {{name: {role}_{name}}}}}\n");
    write(", owner: '${{ resources.o.name }}'", &of("o"));
    world.run(["apply", "stack.yaml", "--auto-approve"]).done();
    write("", "");
    let refused = world.run(["plan", "stack.yaml"]).with_code(1);
    refused.prints("postgres_role.o would be deleted");
    write(", owner: '${{ resources.p.name }}'", &of("p"));
    world.run(["apply", "stack.yaml", "--auto-approve"]).done();
    world.run(["plan", "stack.yaml", "--detailed-exitcode"]).done().prints("No changes.");
    world.run(["destroy", "stack.yaml", "--auto-approve"]).done();
}
