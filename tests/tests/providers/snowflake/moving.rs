//! Adopts the objects of an earlier provisioner: the test first runs that provisioner's statements, then terrace
//! plans.

use super::{PORT, PRODUCT, STORAGE, World};

/// Runs that provisioner's statements for the product, in its order:
/// <https://github.com/agile-lab-dev/witboost-snowflake-specific-provisioner>. It writes no comments and does not
/// quote columns.
fn replay(world: &World) {
    let role = "DISTRIBUTION_NETWORKSTATUS_0_NETWORK_STATUS_VIEW_ACCESS";
    let columns = "ID NUMBER, Timestamp DATE, NetworkID TEXT, Status TEXT, SignalStrength NUMBER, Latency NUMBER, TrafficVolume NUMBER, ErrorRate NUMBER, Capacity NUMBER, Utilization NUMBER, LastMaintenance DATE, Notes TEXT";
    let names = "ID,\nTimestamp,\nNetworkID,\nStatus,\nSignalStrength,\nLatency,\nTrafficVolume,\nErrorRate,\nCapacity,\nUtilization,\nLastMaintenance,\nNotes";
    let (table, view) = (
        "\"DISTRIBUTION\".\"NETWORKSTATUS_0\".\"NETWORK_STATUS\"",
        "\"DISTRIBUTION\".\"NETWORKSTATUS_0\".\"NETWORK_STATUS_VIEW\"",
    );
    let mut statements = vec![
        "CREATE DATABASE IF NOT EXISTS \"DISTRIBUTION\";".to_owned(),
        "CREATE SCHEMA IF NOT EXISTS \"DISTRIBUTION\".\"NETWORKSTATUS_0\";".to_owned(),
        format!("CREATE TABLE IF NOT EXISTS {table} ( {columns} );"),
        format!("CREATE VIEW IF NOT EXISTS {view} AS (SELECT {names} FROM {table});"),
    ];
    for (column, tag) in [
        ("NETWORKID", "NETWORK IDENTIFIER"),
        ("STATUS", "NETWORK STATUS"),
        ("TRAFFICVOLUME", "ROAMING"),
        ("TRAFFICVOLUME", "ARPU"),
        ("ERRORRATE", "QOS"),
        ("CAPACITY", "NETWORK CAPACITY"),
        ("UTILIZATION", "PII"),
        ("LASTMAINTENANCE", "PII"),
    ] {
        statements.push(format!("CREATE TAG IF NOT EXISTS DISTRIBUTION.NETWORKSTATUS_0.\"{tag}\";"));
        statements.push(format!(
            "ALTER VIEW IF EXISTS {view} MODIFY COLUMN {column} SET TAG DISTRIBUTION.NETWORKSTATUS_0.\"{tag}\" = '';"
        ));
    }
    statements.extend([
        format!("CREATE ROLE IF NOT EXISTS {role};"),
        format!("GRANT USAGE ON WAREHOUSE \"WH\" TO ROLE {role};"),
        format!("GRANT USAGE ON DATABASE \"DISTRIBUTION\" TO ROLE {role};"),
        format!("GRANT USAGE ON SCHEMA \"DISTRIBUTION\".\"NETWORKSTATUS_0\" TO ROLE {role};"),
        format!("GRANT SELECT ON VIEW {view} TO ROLE {role};"),
        format!("GRANT ROLE {role} TO USER \"NADIA.OKOYE@EXAMPLE.COM\";"),
    ]);
    for sql in statements {
        let done = world.stand_in.sql_as("TERRACE_ROLE", &sql);
        assert_eq!(done.err(), None, "{sql}");
    }
}

/// Removes the descriptions, which the earlier provisioner did not write.
fn without_descriptions(world: &World) {
    let text = world.project.read(PRODUCT);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("description: "));
    world.project.write(PRODUCT, lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn existing_objects_are_adopted_without_a_change() {
    let world = World::new();
    without_descriptions(&world);
    replay(&world);
    let before = world.stand_in.inventory();
    let plan = world.plan().done();
    for sign in ["0 to add", "0 to change", "0 to destroy"] {
        plan.prints(sign);
    }
    plan.prints("25 adopted");
    let _ = world.stand_in.take_calls();
    world.apply().done();
    assert_eq!(world.stand_in.take_writes(), [] as [&str; 0], "nothing was written");
    world.assert_settled();
    assert_eq!(world.stand_in.inventory(), before);
    // Earlier grants stay when the port is removed. The view and its role are removed.
    world.run(["destroy", PRODUCT, "-c", PORT, "--auto-approve"]).done();
    assert!(!world.stand_in.take_writes().iter().any(|sql| sql.starts_with("REVOKE")));
    world.run(["destroy", PRODUCT, "-c", STORAGE, "--auto-approve"]).done();
    assert_eq!(world.about("table DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS").len(), 1, "the data stays");
}

#[test]
fn adoption_writes_only_descriptions() {
    let world = World::new();
    replay(&world);
    let before = world.stand_in.inventory();
    world.plan().done().prints("0 to add").prints("0 to destroy");
    let _ = world.stand_in.take_calls();
    world.apply().done();
    let writes = world.stand_in.take_writes();
    let is_comment =
        |sql: &String| sql.contains(" COMMENT ") || sql.starts_with("COMMENT ON") || sql.contains(" SET TAG ");
    assert!(!writes.is_empty() && writes.iter().all(is_comment), "{writes:#?}");
    world.assert_settled();
    assert_eq!(world.stand_in.inventory(), before);
}

#[test]
fn object_whose_adoption_would_destroy_data_is_not_adopted() {
    let world = World::new();
    without_descriptions(&world);
    replay(&world);
    world.stand_in.sql("ALTER TABLE DISTRIBUTION.NETWORKSTATUS_0.NETWORK_STATUS ADD COLUMN MORE TEXT");
    let plan = world.plan().with_code(1);
    plan.prints("aligning it would destroy data").prints("terrace import");
}
