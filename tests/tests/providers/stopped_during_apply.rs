//! Servers that stop during an apply: created objects are recorded, and the next apply ends as an undisturbed one.
//! Kafka is tested in `tests/real/kafka`, and Snowflake in the fault tests of its provider.

use terrace_state::contract::cluster::Cluster;
use terrace_tests::{Project, until};

/// Counts the recorded resources, and those in doubt.
fn recorded(project: &Project) -> (usize, usize) {
    let all = project.run(["state", "list"]).done().stdout;
    let (doubted, sure): (Vec<&str>, Vec<&str>) =
        all.lines().filter(|line| !line.is_empty()).partition(|line| line.ends_with("(in doubt)"));
    (sure.len(), doubted.len())
}

#[test]
fn postgresql_that_stops_during_an_apply_leaves_no_unrecorded_object() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = Cluster::alone();
    let url = cluster.url("postgres");
    let connect = || runtime.block_on(cluster.connect("postgres"));
    let count = |sql: &str| runtime.block_on(connect().query_one(sql, &[])).unwrap().try_get::<_, i64>(0).unwrap();
    let tables = || count("SELECT count(*) FROM pg_tables WHERE schemaname = 's' AND tablename <> 'parent'");
    let waiting = || count("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    let holder = connect();
    let prepare = |sql: &str| runtime.block_on(holder.batch_execute(sql)).unwrap();
    prepare("CREATE SCHEMA s; CREATE TABLE s.parent (id int PRIMARY KEY)");
    // Readers do not wait for this lock.
    prepare("BEGIN; LOCK TABLE s.parent IN ROW EXCLUSIVE MODE");
    let project = Project::new();
    project.write(
        "terrace.yaml",
        format!(
            "environments:\n  local:\n    providers: {{postgres: {{url: '{url}', lockTimeout: 300, limits: {{retries: 0}}}}}}\n"
        ),
    );
    let table = |name: &str, count: usize, more: &str| {
        format!(
            "  - type: postgres_table\n    name: {name}\n    forEach: '${{{{ range({count}) }}}}'\n    config:\n      \
             database: postgres\n      schema: s\n      name: {name}${{{{ each.value }}}}\n      \
             columns: [{{name: id, type: int}}]\n{more}"
        )
    };
    // Two tables cannot be created while the lock on their referenced table is held.
    let refers = "      foreignKeys: [{columns: [id], references: {schema: s, table: parent, columns: [id]}}]\n";
    project.write_stack(&format!("resources:\n{}{}", table("free", 20, ""), table("held", 2, refers)));
    let apply = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    until("all tables but the blocked ones exist", || tables() == 20 && waiting() == 2);
    cluster.order("stop");
    let ran = apply.finish().with_code(3);
    ran.prints("held0").prints("held1").prints("was lost").prints("declared at stack.yaml");
    // An object whose response was lost is in doubt.
    let (sure, doubted) = recorded(&project);
    assert!(sure <= 20 && sure + doubted >= 20, "{sure} recorded, {doubted} in doubt: {ran}");
    // No server is running that could answer recovery.
    project.run(["apply", "stack.yaml", "--auto-approve"]).with_code(1);
    assert_eq!(recorded(&project), (sure, doubted));
    cluster.order("start");
    assert_eq!(tables(), 20, "the interrupted table was not created");
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    project.assert_settled("stack.yaml", &[]);
    assert_eq!((tables(), recorded(&project)), (22, (22, 0)));
}
