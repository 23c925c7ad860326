//! The Network Status product in Snowflake, from its first plan to its removal: storage area and output port by the
//! built-in blueprints, in the stand-in.

mod faults; // every statement fails once before and once after its effect
mod foreign; // external grants
mod moving; // objects of an earlier provisioner are adopted without a changing statement
mod reversed; // a table created outside terrace becomes part of a descriptor

use terrace_test_snowflake::StandIn;
use terrace_tests::{Project, Ran};

const PRODUCT: &str = "data-product.yaml";
const STORAGE: &str = "snowflake-storage-area";
const PORT: &str = "snowflake-output-port";

/// A project with the product, and its account.
struct World {
    stand_in: StandIn,
    project: Project,
}

impl World {
    fn new() -> Self {
        Self::with("tags: {enabled: true}")
    }

    /// Creates them with these blueprint settings besides the warehouse.
    fn with(settings: &str) -> Self {
        let stand_in = StandIn::start();
        for user in ["NADIA.OKOYE@EXAMPLE.COM", "JANE.ROE@EXAMPLE.COM", "JOE@EXAMPLE.COM"] {
            stand_in.add_user(user);
        }
        stand_in.sql("CREATE ROLE ANALYSTS");
        let project = Project::with_network_status();
        project.write(
            "terrace.yaml",
            format!(
                "environments:\n  production:\n    settings: {{snowflake: {{warehouse: WH, {settings}}}}}\n    providers:\n      \
                 snowflake: {{host: '{}', role: TERRACE_ROLE, warehouse: WH, token: {{secret: \"${{{{ env.SF_TOKEN }}}}\"}}}}\n",
                stand_in.url()
            ),
        );
        Self { stand_in, project }
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Ran {
        self.project.run_with(&[("SF_TOKEN", "secret")], words)
    }

    fn plan(&self) -> Ran {
        self.run(["plan", PRODUCT, "-c", STORAGE, "-c", PORT])
    }

    fn apply(&self) -> Ran {
        self.run(["apply", PRODUCT, "-c", STORAGE, "-c", PORT, "--auto-approve"])
    }

    /// Checks that the second plan is empty.
    #[track_caller]
    fn assert_settled(&self) {
        let plan = self.run(["plan", PRODUCT, "-c", STORAGE, "-c", PORT, "--detailed-exitcode"]);
        assert_eq!(plan.code, 0, "the second plan has changes:\n{plan}");
    }

    /// Returns the inventory lines that contain this text.
    fn about(&self, what: &str) -> Vec<String> {
        self.stand_in.inventory().into_iter().filter(|line| line.contains(what)).collect()
    }

    fn columns(&self, relation: &str) -> Vec<String> {
        let what = if relation.ends_with("_VIEW") { "VIEW" } else { "TABLE" };
        let rows = self.stand_in.sql(&format!("DESCRIBE {what} DISTRIBUTION.NETWORKSTATUS_0.{relation}"));
        let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
        rows.iter().map(|row| format!("{} {} {}", text(&row[0]), text(&row[1]), text(&row[3]))).collect()
    }
}

#[test]
fn network_status_is_created_as_declared() {
    let world = World::new();
    let before = world.stand_in.inventory();
    let plan = world.plan().done();
    plan.prints("to add");
    assert_eq!(world.stand_in.inventory(), before, "planning changed something");
    world.apply().done();
    insta::assert_snapshot!("columns", world.columns("NETWORK_STATUS").join("\n"));
    let made: Vec<String> = world.stand_in.inventory().into_iter().filter(|line| !before.contains(line)).collect();
    insta::assert_snapshot!("made", made.join("\n"));
    world.assert_settled();
    // The view has the comments of the data contract.
    let view = world.stand_in.sql("DESCRIBE VIEW DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS_VIEW");
    assert_eq!(view.len(), 12);
    assert_eq!(view[5][9].as_deref(), Some("Round trip in milliseconds"));
}

#[test]
fn descriptor_tags_are_created_with_the_adapters_defaults() {
    let world = World::with("");
    world.apply().done();
    assert_eq!(world.about("tag "), [] as [&str; 0]);
    world.project.edit("terrace.yaml", "  production:\n", "  production:\n    compatibility: adapters\n");
    world.apply().done();
    let with_setting = World::new();
    with_setting.apply().done();
    assert_ne!(world.about("tag "), [] as [&str; 0]);
    assert_eq!(world.about("tag "), with_setting.about("tag "));
}

/// Runs the commands of the example's README in the account that its variables name.
#[test]
fn example_works_as_its_readme_says() {
    let stand_in = StandIn::start();
    stand_in.add_user("ADA.LOVELACE@EXAMPLE.COM");
    let before = stand_in.inventory();
    let project = Project::new();
    let folder = terrace_tests::repository().join("examples/snowflake");
    for file in ["data-product.yaml", "terrace.yaml"] {
        project.write(file, std::fs::read_to_string(folder.join(file)).unwrap());
    }
    let url = stand_in.url();
    let variables = [
        ("SNOWFLAKE_HOST", url),
        ("SNOWFLAKE_ROLE", "TERRACE_ROLE"),
        ("SNOWFLAKE_WAREHOUSE", "WH"),
        ("SNOWFLAKE_TOKEN", "secret"),
    ];
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let commands = readme.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let mut most = 0;
    for command in commands.lines() {
        let words = command.split('#').next().unwrap().split_whitespace().skip(1);
        project.run_with(&variables, words).done();
        most = most.max(stand_in.inventory().len());
    }
    // Schema and database are shared, so they stay.
    let left: Vec<String> = stand_in.inventory().into_iter().filter(|line| !before.contains(line)).collect();
    let expected = ["database SHOP_EXAMPLE", "schema SHOP_EXAMPLE.INFORMATION_SCHEMA"];
    assert_eq!(left[..2], expected);
    assert_eq!(left[2..], ["schema SHOP_EXAMPLE.ORDERS_0", "schema SHOP_EXAMPLE.PUBLIC"]);
    assert!(most > before.len() + left.len() + 4, "little was made");
}

#[test]
fn columns_are_added_widened_and_renamed_in_place() {
    let world = World::with("");
    world.project.edit(
        PRODUCT,
        "dataLength: 16777216\n              tags: []\n            - name: Status",
        "dataLength: 100\n              tags: []\n            - name: Status",
    );
    world.project.edit(
        PRODUCT,
        "dataLength: 16777216\n          tags:\n            - tagFQN: Network Identifier",
        "dataLength: 100\n          tags:\n            - tagFQN: Network Identifier",
    );
    world.apply().done();
    world.stand_in.sql("INSERT INTO DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS VALUES (1, '2026-01-01', 'a', 'up', 1, 2, 3, 4, 5, 6, '2026-01-02', 'n')");
    world.project.edit(
        PRODUCT,
        "dataLength: 100\n              tags: []\n            - name: Status",
        "dataLength: 200\n              tags: []\n            - name: Status",
    );
    world.project.edit(
        PRODUCT,
        "dataLength: 100\n          tags:\n            - tagFQN: Network Identifier",
        "dataLength: 200\n          tags:\n            - tagFQN: Network Identifier",
    );
    world.project.edit(PRODUCT, "            - name: Latency\n", "            - name: Firmware\n              dataType: TEXT\n              dataLength: 20\n            - name: RoundTrip\n              previousName: Latency\n");
    world.project.edit(PRODUCT, "        - name: Latency\n", "        - name: RoundTrip\n");
    let _ = world.stand_in.take_calls();
    world.apply().done();
    let writes = world.stand_in.take_writes();
    insta::assert_snapshot!("evolved", writes.join("\n"));
    world.assert_settled();
    let rows = world.stand_in.sql("SELECT ROUNDTRIP, FIRMWARE FROM DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS");
    assert_eq!(rows, [[Some("2".to_owned()), None]], "the values came along");
}

#[test]
fn dropped_column_is_refused_without_consent() {
    let world = World::with("");
    world.apply().done();
    world.stand_in.sql("INSERT INTO DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS VALUES (1, '2026-01-01', 'a', 'up', 1, 2, 3, 4, 5, 6, '2026-01-02', 'n')");
    let latency = "            - name: Latency\n              description: Round trip in milliseconds\n              dataType: NUMBER\n              precision: 38\n              scale: 0\n              tags: []\n";
    world.project.edit(PRODUCT, latency, "");
    world.project.edit(PRODUCT, "        - name: Latency\n          description: Round trip in milliseconds\n          dataType: NUMBER\n          precision: 38\n          scale: 0\n          tags: []\n", "");
    let refused = world.apply().with_code(4);
    refused.prints("destroys data").prints("column LATENCY is dropped");
    assert_eq!(world.columns("NETWORK_STATUS").len(), 12);
    world.run(["apply", PRODUCT, "-c", STORAGE, "-c", PORT, "--auto-approve", "--allow-data-loss"]).done();
    assert_eq!(world.columns("NETWORK_STATUS").len(), 11);
    world.assert_settled();
}

#[test]
fn drift_is_found_and_repaired() {
    let world = World::new();
    world.apply().done();
    for sql in [
        "ALTER TABLE DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS ALTER COLUMN STATUS COMMENT 'changed'",
        "CREATE OR REPLACE VIEW DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS_VIEW COPY GRANTS AS SELECT ID FROM DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS",
        "REVOKE SELECT ON VIEW DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS_VIEW FROM ROLE DISTRIBUTION_NETWORKSTATUS_0_NETWORK_STATUS_VIEW_ACCESS",
        "REVOKE ROLE DISTRIBUTION_NETWORKSTATUS_0_NETWORK_STATUS_VIEW_ACCESS FROM USER \"NADIA.OKOYE@EXAMPLE.COM\"",
    ] {
        world.stand_in.sql(sql);
    }
    let drift = world.run(["drift", PRODUCT]);
    assert_eq!(drift.code, 2, "{drift}");
    for address in
        ["snowflake_table.table", "snowflake_view.view", "snowflake_grant.select", "snowflake_role_grant.owner"]
    {
        drift.prints(address);
    }
    world.apply().done();
    world.assert_settled();
    assert_eq!(world.columns("NETWORK_STATUS_VIEW").len(), 12);
    assert_eq!(world.about("NETWORK_STATUS_VIEW_ACCESS has SELECT").len(), 1);
}

#[test]
fn access_is_granted_before_it_is_revoked_and_later_applies_keep_it() {
    let world = World::with("");
    world.apply().done();
    let set = |principals: &[&str]| {
        world.run(["acl", "set", PRODUCT, PORT].into_iter().chain(principals.iter().copied()).chain(["--auto-approve"]))
    };
    let role = "DISTRIBUTION_NETWORKSTATUS_0_NETWORK_STATUS_VIEW_ACCESS";
    let members = || -> Vec<String> {
        let of = |line: String| line.strip_suffix(&format!(" has role {role}")).map(str::to_owned);
        world.stand_in.inventory().into_iter().filter_map(of).collect()
    };
    // The port grants the owner's access. Naming the owner again changes nothing.
    set(&["user:jane.roe_example.com", "group:analysts", "user:nadia.okoye_example.com"]).done();
    assert_eq!(members(), ["ANALYSTS", "JANE.ROE@EXAMPLE.COM", "NADIA.OKOYE@EXAMPLE.COM"]);
    // terrace does not revoke external grants.
    world.stand_in.sql(&format!("GRANT ROLE {role} TO ROLE SYSADMIN"));
    let _ = world.stand_in.take_calls();
    set(&["user:joe_example.com", "group:analysts"]).done();
    let writes = world.stand_in.take_writes();
    assert_eq!(writes.len(), 2, "{writes:?}");
    assert!(writes[0].starts_with("GRANT ROLE") && writes[1].starts_with("REVOKE ROLE"), "{writes:?}");
    assert_eq!(members(), ["ANALYSTS", "JOE@EXAMPLE.COM", "NADIA.OKOYE@EXAMPLE.COM", "SYSADMIN"]);
    world.apply().done();
    assert_eq!(members().len(), 4);
    world.assert_settled();
    // A principal without a mapping is skipped, and the others are granted.
    let ran = set(&["urn:x:y", "user:joe_example.com"]).done();
    ran.prints("`urn:x:y` gets no access to").prints("identities.table");
    assert_eq!(members(), ["JOE@EXAMPLE.COM", "NADIA.OKOYE@EXAMPLE.COM", "SYSADMIN"]);
}

#[test]
fn destroy_keeps_data_by_default_and_a_later_apply_adopts_it() {
    let world = World::new();
    world.apply().done();
    world.stand_in.sql("INSERT INTO DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS VALUES (1, '2026-01-01', 'a', 'up', 1, 2, 3, 4, 5, 6, '2026-01-02', 'n')");
    world.run(["destroy", PRODUCT, "--auto-approve"]).done();
    assert_eq!(world.about("NETWORK_STATUS_VIEW"), [] as [&str; 0], "view, role and grants are gone");
    assert_eq!(world.about("table DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS").len(), 1);
    world.apply().done();
    world.assert_settled();
    assert_eq!(world.stand_in.sql("SELECT ID FROM DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS").len(), 1);
    world.run(["destroy", PRODUCT, "--auto-approve", "--remove-data"]).done();
    assert_eq!(world.about("NETWORK_STATUS"), [] as [&str; 0]);
}

#[test]
fn port_is_checked_against_its_table() {
    // The complete product is valid in an empty account. A column that the planned table lacks is an error.
    let world = World::with("");
    world.project.edit(PRODUCT, "\n        - name: Latency\n", "\n        - name: Latncy\n");
    let plan = world.plan().with_code(1);
    plan.prints("the table `NETWORK_STATUS` of the storage area has no column `Latncy`");
    plan.prints("- name: Latncy").prints("the table has").prints("the data contract has");
    world.project.edit(PRODUCT, "\n        - name: Latncy\n", "\n        - name: Latency\n");
    // Planned alone before its storage, the port gives a warning, and its step fails.
    let alone = world.run(["plan", PRODUCT, "-c", PORT]).done();
    alone.prints("not checked:").prints("DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS does not exist yet");
    let failed = world.run(["apply", PRODUCT, "-c", PORT, "--auto-approve"]).with_code(3);
    failed.prints("NETWORK_STATUS").prints("does not exist or not authorized").prints("GRANT SELECT ON TABLE");
    world.apply().done();
    world.assert_settled();
    // Without the storage area in the descriptor, the port is checked against the existing table. The error has both
    // column lists.
    world.project.edit(
        PRODUCT,
        "      - urn:dmb:cmp:distribution:network-status:0:snowflake-storage-area\n",
        "      []\n",
    );
    world.project.edit(PRODUCT, "\n        - name: Latency\n", "\n        - name: Latncy\n");
    let plan = world.run(["plan", PRODUCT, "-c", PORT]);
    plan.prints("LATNCY").prints("LATENCY").prints("did you mean `LATENCY`?");
    let failed = world.run(["apply", PRODUCT, "-c", PORT, "--auto-approve"]).with_code(3);
    failed.prints("invalid identifier 'LATNCY'");
    assert_eq!(world.columns("NETWORK_STATUS_VIEW").len(), 12, "the view is as it was");
}

#[test]
fn secrets_are_not_shown_and_wrong_credentials_change_nothing() {
    let world = World::with("");
    let ran = world.project.run_with(&[("SF_TOKEN", "hunter2")], ["apply", PRODUCT, "-c", STORAGE, "--auto-approve"]);
    assert_ne!(ran.code, 0);
    ran.prints("does not let terrace in");
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"));
    assert_eq!(world.about("DISTRIBUTION"), [] as [&str; 0]);
    world.apply().done();
    for (name, content) in world.project.all_files() {
        let text = String::from_utf8_lossy(&content);
        assert!(name == "terrace.yaml" || !text.contains("SF_TOKEN"), "{name}");
    }
}
