//! The README's promises: two commands, a real table, a diff, drift, and data that stays.

use rusqlite::Connection;
use std::path::Path;
use terrace_tests::{Project, repository, shared, snapshot};

const DATABASE: &str = ".terrace/local/DISTRIBUTION/NETWORKSTATUS_0.db";
const FILES: &str = ".terrace/local/files/distribution.network-status.0";

fn apply(project: &Project) -> terrace_tests::Ran {
    project.run(["apply", "data-product.yaml", "--env", "local", "--auto-approve", "-q"])
}

fn columns(connection: &Connection, table: &str) -> Vec<(String, String)> {
    let mut statement = connection.prepare("SELECT name, type FROM pragma_table_info(?1) ORDER BY cid").unwrap();
    let rows = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Checks that the descriptor became a table with a view, a topic, a job and a streams definition.
fn check_is_there(project: &Project) {
    let connection = Connection::open(project.path(DATABASE)).unwrap();
    let expected = [
        ("ID", "NUMERIC(38,0)"),
        ("Timestamp", "DATE"),
        ("NetworkID", "TEXT"),
        ("Status", "TEXT"),
        ("SignalStrength", "NUMERIC(38,0)"),
        ("Latency", "NUMERIC(38,0)"),
        ("TrafficVolume", "NUMERIC(38,0)"),
        ("ErrorRate", "NUMERIC(38,0)"),
        ("Capacity", "NUMERIC(38,0)"),
        ("Utilization", "NUMERIC(38,0)"),
        ("LastMaintenance", "DATE"),
        ("Notes", "TEXT"),
    ]
    .map(|(name, ty)| (name.to_owned(), ty.to_owned()));
    assert_eq!(columns(&connection, "NETWORK_STATUS"), expected);

    connection.execute("INSERT INTO NETWORK_STATUS (ID, Status) VALUES (7, 'up')", []).unwrap();
    let read = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(read("SELECT Status FROM NETWORK_STATUS_VIEW WHERE ID = 7"), "up");
    assert_eq!(columns(&connection, "NETWORK_STATUS_VIEW").len(), 12);
    connection.execute("DELETE FROM NETWORK_STATUS", []).unwrap();

    let json =
        |name: &str| serde_json::from_str::<serde_json::Value>(&project.read(&format!("{FILES}/{name}"))).unwrap();
    let topic = json("input-kafka-topic/topic.json");
    assert_eq!((&topic["name"], &topic["partitions"]), (&"network-status-realtime-topic".into(), &3.into()));
    assert_eq!(json("databricks-workload/job.json")["name"], "network-status-databricks-01");
    let streams = json("confluent-kafka-streams-ingestion/streams.json");
    assert_eq!(streams["applicationId"], "network-status-kstreams-01");
    assert!(streams.to_string().contains("/${java.io.tmpdir}/kafka-streams"), "other text stays text");
}

/// Checks a data product from its first apply to its destruction.
fn check_life(descriptor: &Path) {
    let project = Project::new();
    project.copy(descriptor, "data-product.yaml");
    apply(&project).done().prints("Apply complete! Resources: 6 added, 0 changed, 0 destroyed.");
    check_is_there(&project);
    project.assert_settled("data-product.yaml", &["--env", "local"]);

    let files = project.files();
    let again = apply(&project).done();
    again.prints("No changes.");
    assert_eq!(project.files(), files, "a second apply touched something");

    let destroy = ["destroy", "data-product.yaml", "--env", "local", "--auto-approve"];
    project.run(destroy).done().prints("its data stays").prints("Retained, with their data");
    assert!(project.has(DATABASE));
    project.run(destroy.into_iter().chain(["--remove-data"])).done();
    assert_eq!(project.files().into_keys().collect::<Vec<_>>(), ["data-product.yaml"]);
    assert_eq!(project.run(["state", "list", "--all"]).done().stdout, "");
}

#[test]
fn first_command_creates_a_table_and_a_view() {
    check_life(&repository().join("examples/network-status/data-product.yaml"));
}

#[test]
fn descriptor_of_the_corpus_creates_the_same() {
    let Some(descriptor) = shared("data/network-status.yaml") else { return };
    check_life(&descriptor);
}

#[test]
fn plan_from_another_folder_uses_the_folder_of_the_descriptor() {
    let project = Project::new();
    project.copy(&repository().join("examples/network-status/data-product.yaml"), "products/data-product.yaml");
    project.run(["apply", "products/data-product.yaml", "--env", "local", "--auto-approve"]).done();
    assert!(project.has(&format!("products/{DATABASE}")), "the project folder is the descriptor's");
}

#[test]
fn edit_shows_only_the_changed_line() {
    let project = Project::with_network_status();
    apply(&project).done();
    project.edit("data-product.yaml", "numExecutors: 3", "numExecutors: 4");
    snapshot!(project.run(["plan", "data-product.yaml", "--env", "local"]), @r#"
    exit: 0
    --- stdout
    stack distribution.network-status.0@local  (embedded environment: SQLite and files under .terrace/local)

      databricks-workload
      ~ local_file.job   content, sha256 changed
          ~ content   @@ -19,3 +19,3 @@
                        "cluster_name": "databricks-cluster",
              -         "num_workers": 3,
              +         "num_workers": 4,
                        "spark_conf": {
          ~ sha256  = "b624972a74a70c71158fca84cfc116a9809b2af0ee75b3…" → "9ea9e8cf34526181494bf860a36a6906ce3f6bb3ad23563…"
          (6 unchanged attributes hidden)

    Plan: 0 to add, 1 to change, 0 to destroy.
    (in 1 of 5 components)
    "#);
    snapshot!(apply(&project), @r#"
    exit: 0
    --- stdout
    stack distribution.network-status.0@local  (embedded environment: SQLite and files under .terrace/local)

      databricks-workload
      ~ local_file.job   content, sha256 changed
          ~ content   @@ -19,3 +19,3 @@
                        "cluster_name": "databricks-cluster",
              -         "num_workers": 3,
              +         "num_workers": 4,
                        "spark_conf": {
          ~ sha256  = "b624972a74a70c71158fca84cfc116a9809b2af0ee75b3…" → "9ea9e8cf34526181494bf860a36a6906ce3f6bb3ad23563…"
          (6 unchanged attributes hidden)

    Plan: 0 to add, 1 to change, 0 to destroy.
    (in 1 of 5 components)

    Apply complete! Resources: 0 added, 1 changed, 0 destroyed.

    Outputs:
      confluent-kafka-streams-ingestion/application_id = "network-status-kstreams-01"
      confluent-kafka-streams-ingestion/definition = ".terrace/local/files/distribution.network-status.0/confluent-kafka-streams-ingestion/streams.json"
      databricks-workload/definition = ".terrace/local/files/distribution.network-status.0/databricks-workload/job.json"
      databricks-workload/job_name = "network-status-databricks-01"
      input-kafka-topic/definition = ".terrace/local/files/distribution.network-status.0/input-kafka-topic/topic.json"
      input-kafka-topic/num_partitions = "3"
      input-kafka-topic/replication_factor = "3"
      input-kafka-topic/topic_name = "network-status-realtime-topic"
      snowflake-output-port/database = "DISTRIBUTION"
      snowflake-output-port/file = ".terrace/local/DISTRIBUTION/NETWORKSTATUS_0.db"
      snowflake-output-port/schema = "NETWORKSTATUS_0"
      snowflake-output-port/view = "NETWORK_STATUS_VIEW"
      snowflake-storage-area/database = "DISTRIBUTION"
      snowflake-storage-area/file = ".terrace/local/DISTRIBUTION/NETWORKSTATUS_0.db"
      snowflake-storage-area/schema = "NETWORKSTATUS_0"
      snowflake-storage-area/tables = "NETWORK_STATUS"
    "#);
    assert!(project.read(&format!("{FILES}/databricks-workload/job.json")).contains("\"num_workers\": 4"));
}

#[test]
fn new_column_is_added_without_data_loss() {
    let project = Project::with_network_status();
    apply(&project).done();
    let connection = Connection::open(project.path(DATABASE)).unwrap();
    connection.execute("INSERT INTO NETWORK_STATUS (ID) VALUES (7)", []).unwrap();
    drop(connection);
    let text = project.read("data-product.yaml");
    let addition = "            - {name: Firmware, dataType: TEXT}\n";
    project.write("data-product.yaml", text.trim_end().to_owned() + "\n" + addition);
    apply(&project).done().prints("0 added, 1 changed, 0 destroyed");
    let connection = Connection::open(project.path(DATABASE)).unwrap();
    assert_eq!(columns(&connection, "NETWORK_STATUS").last().unwrap().0, "Firmware");
    assert_eq!(connection.query_row("SELECT count(*) FROM NETWORK_STATUS", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn external_change_is_drift_and_is_corrected() {
    let project = Project::with_network_status();
    apply(&project).done();
    let topic = format!("{FILES}/input-kafka-topic/topic.json");
    let right = project.read(&topic);
    project.write(&topic, "{}\n");
    let recorded = project.recorded();
    snapshot!(project.run(["drift", "data-product.yaml", "--env", "local"]), @r#"
    exit: 2
    --- stdout
    stack distribution.network-status.0@local  (recorded → found)

      ~ input-kafka-topic/local_file.topic   changed
          ~ content   @@ -1,47 +1 @@
              - {
              -   "name": "network-status-realtime-topic",
              -   "cluster": "confluent-cluster",
              -   "partitions": 3,
              -   "replicationFactor": 3,
              -   "config": {
              -     "compression.type": "producer",
              -     "delete.retention.ms": "86400000",
              -     "file.delete.delay.ms": "60000",
              -     "flush.messages": "9223372036854775807",
              -     "flush.ms": "9223372036854775807",
              -     "index.interval.bytes": "4096",
              -     "local.retention.bytes": "-2",
              -     "local.retention.ms": "-2",
              -     "max.compaction.lag.ms": "9223372036854775807",
              -     "max.message.bytes": "1048588",
              -     "message.format.version": "3.0-IV1",
              -     "message.timestamp.type": "CreateTime",
              -     "message.timestamp.after.max.ms": "9223372036854775807",
              -     "message.timestamp.before.max.ms": "9223372036854775807",
              -     "message.timestamp.difference.max.ms": "9223372036854775807",
              -     "min.cleanable.dirty.ratio": "0.5",
              -     "min.compaction.lag.ms": "0",
              -     "min.insync.replicas": "1",
              -     "preallocate": "false",
              -     "remote.storage.enable": "false",
              -     "retention.bytes": "-1",
              -     "retention.ms": "604800000",
              -     "segment.bytes": "1073741824",
              -     "segment.index.bytes": "10485760",
              -     "segment.jitter.ms": "0",
              -     "segment.ms": "604800000",
              -     "unclean.leader.election.enable": "false",
              -     "message.downconversion.enable": "true",
              -     "leader.replication.throttled.replicas": "",
              -     "follower.replication.throttled.replicas": "",
              -     "confluent.key.schema.validation": "false",
              -     "confluent.value.schema.validation": "false",
              -     "confluent.key.subject.name.strategy": "io.confluent.kafka.serializers.subject.TopicNameStrategy",
              -     "confluent.value.subject.name.strategy": "io.confluent.kafka.serializers.subject.TopicNameStrategy",
              -     "confluent.tier.enable": "false",
              -     "confluent.tier.local.hotset.bytes": "-1",
              -     "confluent.tier.local.hotset.ms": "86400000",
              -     "confluent.placement.constraints": "{}",
              -     "confluent.cluster.link.allow.legacy.message.format": "false"
              -   }
              - }
              + {}
          ~ sha256  = "52a53cddffb2bda9affa3b5ff1fc87b99358b042239c91…" → "ca3d163bab055381827226140568f3bef7eaac187cebd76…"
          ~ size    = 1918 → 3

    Drift: 1 resource differs from the state.
    "#);
    assert_eq!(project.recorded(), recorded, "looking for drift changed the state");
    let drift = project.run(["drift", "data-product.yaml", "--env", "local", "--json"]).with_code(2).json();
    assert_eq!(drift["drifted"][0]["address"], "input-kafka-topic/local_file.topic");
    assert_eq!(drift["drifted"][0]["kind"], "changed");
    apply(&project).done().prints("0 added, 1 changed, 0 destroyed");
    assert_eq!(project.read(&topic), right);
    project.run(["drift", "--all", "--env", "local"]).done();
}

#[test]
fn externally_dropped_table_is_recreated() {
    let project = Project::with_network_status();
    apply(&project).done();
    let connection = Connection::open(project.path(DATABASE)).unwrap();
    connection.execute_batch("DROP VIEW NETWORK_STATUS_VIEW; DROP TABLE NETWORK_STATUS").unwrap();
    drop(connection);
    project.run(["drift", "data-product.yaml", "--env", "local"]).with_code(2).prints("NETWORK_STATUS");
    apply(&project).done();
    check_is_there(&project);
    project.assert_settled("data-product.yaml", &["--env", "local"]);
}

#[test]
fn destroy_reports_retained_objects() {
    let project = Project::with_network_status();
    apply(&project).done();
    snapshot!(project.run(["destroy", "data-product.yaml", "--env", "local", "--auto-approve", "-q"]), @r#"
    exit: 0
    --- stdout
    stack distribution.network-status.0@local  (embedded environment: SQLite and files under .terrace/local)

      shared
      o sqlite_database["DISTRIBUTION.NETWORKSTATUS_0"]   its data stays: its last owner releases it

      confluent-kafka-streams-ingestion
      - local_file.streams

      databricks-workload
      - local_file.job

      input-kafka-topic
      - local_file.topic

      snowflake-output-port
      - sqlite_view.view

      snowflake-storage-area
      o sqlite_table.table["NETWORK_STATUS"]   its data stays

      outputs
      - confluent-kafka-streams-ingestion/application_id = "network-status-kstreams-01"
      - confluent-kafka-streams-ingestion/definition     = ".terrace/local/files/distribution.network-status.0/confluent-k…"
      - databricks-workload/definition                   = ".terrace/local/files/distribution.network-status.0/databricks-…"
      - databricks-workload/job_name                     = "network-status-databricks-01"
      - input-kafka-topic/definition                     = ".terrace/local/files/distribution.network-status.0/input-kafka…"
      - input-kafka-topic/num_partitions                 = "3"
      - input-kafka-topic/replication_factor             = "3"
      - input-kafka-topic/topic_name                     = "network-status-realtime-topic"
      - snowflake-output-port/database                   = "DISTRIBUTION"
      - snowflake-output-port/file                       = ".terrace/local/DISTRIBUTION/NETWORKSTATUS_0.db"
      - snowflake-output-port/schema                     = "NETWORKSTATUS_0"
      - snowflake-output-port/view                       = "NETWORK_STATUS_VIEW"
      - snowflake-storage-area/database                  = "DISTRIBUTION"
      - snowflake-storage-area/file                      = ".terrace/local/DISTRIBUTION/NETWORKSTATUS_0.db"
      - snowflake-storage-area/schema                    = "NETWORKSTATUS_0"
      - snowflake-storage-area/tables                    = "NETWORK_STATUS"

    Plan: 0 to add, 0 to change, 4 to destroy.
    (2 retained; changes in 5 of 5 components)

    Destroy complete! Resources: 4 destroyed.

    Retained, with their data (`--remove-data` removes them):
      o distribution.network-status.0@local:snowflake-storage-area/sqlite_table.table["NETWORK_STATUS"]
      o shared@local:shared/sqlite_database["DISTRIBUTION.NETWORKSTATUS_0"]
    "#);
    assert_eq!(columns(&Connection::open(project.path(DATABASE)).unwrap(), "NETWORK_STATUS").len(), 12);
}

#[test]
fn dropped_column_with_data_is_refused_without_consent() {
    let project = Project::with_network_status();
    apply(&project).done();
    let connection = Connection::open(project.path(DATABASE)).unwrap();
    connection.execute("INSERT INTO NETWORK_STATUS (ID, Notes) VALUES (7, 'precious')", []).unwrap();
    drop(connection);
    let text = project.read("data-product.yaml");
    let storage = text.rfind("            - name: Notes").unwrap();
    project.write("data-product.yaml", &text[..storage]);
    let port = project.read("data-product.yaml").find("        - name: Notes").unwrap();
    let text = project.read("data-product.yaml");
    let end = port + text[port..].find("      termsAndConditions").unwrap();
    project.write("data-product.yaml", format!("{}{}", &text[..port], &text[end..]));

    let recorded = project.recorded();
    snapshot!(apply(&project), @r#"
    exit: 4
    --- stdout
    stack distribution.network-status.0@local  (embedded environment: SQLite and files under .terrace/local)

      snowflake-output-port
      ~ sqlite_view.view   columns changed
          ~ columns
              - "Notes"
              (11 unchanged items hidden)
          (5 unchanged attributes hidden)

      snowflake-storage-area
      ~ sqlite_table.table["NETWORK_STATUS"]   columns changed   ! destroys data
          ! column Notes is dropped: 1 row
          ~ columns
              - Notes TEXT {nullable = true, comment = "Free text of the shift on duty"}
              (11 unchanged items hidden)
          (5 unchanged attributes hidden)

    Data would be lost: this plan is refused. To allow it, pass:
      --allow-data-loss='snowflake-storage-area/sqlite_table.table["NETWORK_STATUS"]'   (1 row)

    Plan: 0 to add, 2 to change, 0 to destroy.
    (in 2 of 5 components)
    --- stderr
    error: data would be lost
      distribution.network-status.0@local:snowflake-storage-area/sqlite_table.table["NETWORK_STATUS"] would lose 1 row: column Notes is dropped

    hint: consent with `--allow-data-loss='snowflake-storage-area/sqlite_table.table["NETWORK_STATUS"]'`, or everywhere with `--allow-data-loss`
    "#);
    assert_eq!(project.recorded(), recorded);
    let connection = Connection::open(project.path(DATABASE)).unwrap();
    let notes: String = connection.query_row("SELECT Notes FROM NETWORK_STATUS", [], |row| row.get(0)).unwrap();
    assert_eq!(notes, "precious");
    connection.execute_batch("CREATE VIEW by_hand AS SELECT Notes FROM NETWORK_STATUS").unwrap();
    drop(connection);
    let words = ["apply", "data-product.yaml", "--env", "local", "--auto-approve", "-q", "--allow-data-loss"];
    project.run(words).done();
    let operations = project.run(["operations", "list", "--json"]).done().json();
    let log = project.run(["operations", "logs", operations[0]["operation"].as_str().unwrap()]).done();
    log.prints("the view `by_hand` reads columns that the table `NETWORK_STATUS` no longer has");
    project.assert_settled("data-product.yaml", &["--env", "local"]);
}
