//! Servers that go away in the middle of an apply: what was made is recorded, what was not is not, and the next apply ends where
//! one that nobody disturbed does. Those of Kafka go in `tests/real/kafka`.

use terrace_state::contract::cluster::Cluster;
use terrace_test_snowflake::{Fault, StandIn};
use terrace_tests::{Project, until};

/// How many resources are recorded, and of how many it is not known whether they are there.
fn recorded(project: &Project) -> (usize, usize) {
    let all = project.run(["state", "list"]).done().stdout;
    let (doubted, sure): (Vec<&str>, Vec<&str>) =
        all.lines().filter(|line| !line.is_empty()).partition(|line| line.ends_with("(in doubt)"));
    (sure.len(), doubted.len())
}

#[test]
fn a_postgresql_that_goes_in_the_middle_leaves_nothing_that_is_not_recorded() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = Cluster::alone();
    let url = cluster.url("postgres");
    let connect = || runtime.block_on(cluster.connect("postgres"));
    let count = |sql: &str| runtime.block_on(connect().query_one(sql, &[])).unwrap().try_get::<_, i64>(0).unwrap();
    let tables = || count("SELECT count(*) FROM pg_tables WHERE schemaname = 's' AND tablename <> 'parent'");
    let waiting = || count("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    let holder = connect();
    let prepared = "CREATE SCHEMA s; CREATE TABLE s.parent (id int PRIMARY KEY); BEGIN; LOCK TABLE s.parent";
    runtime.block_on(holder.batch_execute(prepared)).unwrap();
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
    // Two cannot be made while somebody holds the table that they refer to.
    let refers = "      foreignKeys: [{columns: [id], references: {schema: s, table: parent, columns: [id]}}]\n";
    project.write_stack(&format!("resources:\n{}{}", table("free", 20, ""), table("held", 2, refers)));
    let apply = project.start(project.command(["apply", "stack.yaml", "--auto-approve"]));
    until("all but those that wait are made", || tables() == 20 && waiting() == 2);
    cluster.order("stop");
    let ran = apply.finish().with_code(3);
    ran.says("held0").says("held1").says("was lost").says("declared at stack.yaml");
    // One may be made whose answer never came: it is in doubt then.
    let (sure, doubted) = recorded(&project);
    assert!(sure <= 20 && sure + doubted >= 20, "{sure} recorded, {doubted} in doubt: {ran}");
    // Nobody is there who could be asked what became of anything.
    project.run(["apply", "stack.yaml", "--auto-approve"]).with_code(1);
    assert_eq!(recorded(&project), (sure, doubted));
    cluster.order("start");
    assert_eq!(tables(), 20, "what was cut off was never there");
    project.run(["apply", "stack.yaml", "--auto-approve"]).done();
    project.assert_settled("stack.yaml", &[]);
    assert_eq!((tables(), recorded(&project)), (22, (22, 0)));
}

#[test]
fn a_snowflake_that_fails_from_the_middle_on_leaves_nothing_that_is_not_found_out() {
    let stack = "resources:\n  - {type: snowflake_database, name: d, config: {name: D}}\n  \
                 - {type: snowflake_schema, name: s, config: {database: '${{ resources.d.name }}', name: S}}\n  \
                 - type: snowflake_table\n    name: t\n    forEach: '${{ range(6) }}'\n    config:\n      \
                 database: D\n      schema: '${{ resources.s.name }}'\n      name: T${{ each.value }}\n      \
                 columns: [{name: ID, type: INT}]\n  \
                 - {type: snowflake_role, name: r, config: {name: R}}\n";
    let world = || {
        let (stand_in, project) = (StandIn::start(), Project::with_stack(stack));
        let url = stand_in.url();
        project.write(
            "terrace.yaml",
            format!(
                "environments:\n  local:\n    providers: {{snowflake: {{host: '{url}', role: TERRACE_ROLE, token: {{secret: secret}}, \
                 limits: {{retries: 0, concurrency: 1}}}}}}\n"
            ),
        );
        (stand_in, project)
    };
    let apply = |project: &Project| project.run(["apply", "stack.yaml", "--auto-approve"]);
    let (calm, project) = world();
    apply(&project).done();
    let (expected, all) = (calm.inventory(), calm.count());
    let (stand_in, project) = world();
    // One has its effect and no answer, and from then on every statement fails.
    let half = all / 2;
    stand_in.faults().by_number.insert(half, Fault::LostForGood);
    stand_in.faults().by_number.extend((half + 1..10 * all).map(|number| (number, Fault::Fails)));
    let ran = apply(&project).with_code(3);
    ran.says("declared at stack.yaml");
    let made = stand_in.inventory().iter().filter(|line| line.starts_with("table D.S.T")).count();
    assert!(made < 6, "it went too late: {ran}");
    let (sure, doubted) = recorded(&project);
    assert!(sure + doubted >= stand_in.inventory().len(), "{sure} recorded, {doubted} in doubt: {ran}");
    stand_in.faults().by_number.clear();
    apply(&project).done();
    project.assert_settled("stack.yaml", &[]);
    assert_eq!(stand_in.inventory(), expected);
    assert_eq!(recorded(&project), (9, 0));
}
