//! Mistakes in PostgreSQL and Snowflake stacks: each is an error at its place, with nothing created and nothing
//! recorded. `tests/real/kafka-wrong` has the Kafka mistakes, which need a real broker.

use terrace_state::contract::cluster::{Cluster, PASSWORD};
use terrace_test_snowflake::StandIn;
use terrace_tests::Project;

/// A stack of one resource with a mistake: its exit code, its message and its place.
struct Mistake {
    settings: String,
    ty: &'static str,
    config: String,
    code: i32,
    message: &'static str,
    place: &'static str,
}

impl Mistake {
    fn check(&self, variables: &[(&str, &str)]) {
        let project = Project::new();
        let Self { settings, ty, config, code, message, place } = self;
        let provider = ty.split_once('_').map_or("postgres", |(provider, _)| provider);
        project
            .write("terrace.yaml", format!("environments:\n  local: {{providers: {{{provider}: {{{settings}}}}}}}\n"));
        let config: String = config.lines().map(|line| format!("      {line}\n")).collect();
        project.write(
            "stack.yaml",
            format!(
                "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: wrong}}\nresources:\n  - type: {ty}\n    name: it\n    config:\n{config}"
            ),
        );
        let ran = project.run_with(variables, ["apply", "stack.yaml", "--auto-approve"]);
        let output = format!("{}{}", ran.stdout, ran.stderr);
        // Messages are broken at the width of the terminal.
        let output = output.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(ran.code, *code, "{message}: {ran}");
        assert!(output.contains(message), "the output lacks `{message}`: {ran}");
        assert!(output.contains(place), "`{message}` is not reported at {place}: {ran}");
        assert!(!output.contains("hunter2"), "{ran}");
        // A resource whose call has an unknown result is recorded in doubt, not as created.
        let recorded = project.run_with(variables, ["state", "list"]);
        let made: Vec<&str> =
            recorded.stdout.lines().filter(|line| !line.is_empty() && !line.ends_with("(in doubt)")).collect();
        assert_eq!(made, Vec::<&str>::new(), "`{message}`: something is recorded: {recorded}");
        assert!(*code == 3 || recorded.stdout.trim().is_empty(), "`{message}`: something is in doubt: {recorded}");
    }
}

#[test]
fn postgresql_mistakes_are_reported_at_their_place() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = Cluster::shared();
    let (url, client) = runtime.block_on(async {
        let url = cluster.database().await;
        let database = url.split('/').nth(3).unwrap().split('?').next().unwrap().to_owned();
        (url, cluster.connect(&database).await)
    });
    let database = url.split('/').nth(3).unwrap().split('?').next().unwrap().to_owned();
    let limited = format!("{database}_limited");
    runtime
        .block_on(client.batch_execute(&format!("CREATE SCHEMA s; CREATE ROLE \"{limited}\" LOGIN PASSWORD 'x'")))
        .unwrap();
    let there = || {
        let sql = "SELECT count(*) FROM pg_class WHERE relnamespace = 's'::regnamespace";
        runtime.block_on(client.query_one(sql, &[])).unwrap().try_get::<_, i64>(0).unwrap()
    };
    let right = format!("url: '{url}'");
    let table = |name: &str, column: &str, more: &str| {
        format!("database: {database}\nschema: s\nname: {name}\ncolumns:\n  - {{name: a, {column}}}\n{more}")
    };
    let fine = || table("wrong", "type: int", "");
    let of = |settings: &str, ty, config, code, message, place| Mistake {
        settings: settings.to_owned(),
        ty,
        config,
        code,
        message,
        place,
    };
    let long = "x".repeat(64);
    let quoted = "checks: [{expression: \"a > 0); DROP SCHEMA s; --\"}]";
    let mistakes = [
        of(
            &format!("url: '{}'", url.replace(PASSWORD, "hunter2")),
            "postgres_table",
            fine(),
            3,
            "refuses the user or the password",
            "declared at stack.yaml:6",
        ),
        of(
            "url: 'postgres://ada:hunter2@no-such-host.invalid/x'",
            "postgres_table",
            fine(),
            3,
            "no-such-host.invalid",
            "declared at stack.yaml:6",
        ),
        of(
            "host: 127.0.0.1, port: 1, user: ada, password: {secret: hunter2}",
            "postgres_table",
            fine(),
            3,
            "cannot be reached",
            "declared at stack.yaml:6",
        ),
        of(
            &format!("url: '{}'", url.replace(&format!("terrace:{PASSWORD}"), &format!("{limited}:x"))),
            "postgres_table",
            fine(),
            3,
            "GRANT USAGE",
            "declared at stack.yaml:6",
        ),
        of(&right, "postgres_table", table(&long, "type: int", ""), 1, "at most 63", "stack.yaml:10"),
        of(
            &right,
            "postgres_table",
            table("wrong", "type: strnig", ""),
            1,
            "the database has no type `strnig`",
            "stack.yaml:12",
        ),
        of(&right, "postgres_table", table("wrong", "typ: int", ""), 1, "did you mean `type`", "stack.yaml:12"),
        of(&right, "postgres_tabel", fine(), 1, "did you mean `postgres_table`", "stack.yaml:5"),
        of(
            &right,
            "postgres_table",
            table("wrong", "type: int, default: nothing()", ""),
            3,
            "nothing()",
            "at `columns[0].default` declared at stack.yaml:6",
        ),
        of(&right, "postgres_table", table("wrong", "type: int", quoted), 1, "expression", "stack.yaml:13"),
        of(
            &right,
            "postgres_table",
            table("wrong", "type: int", "primaryKey: {columns: [b]}"),
            1,
            "`b`",
            "stack.yaml:13",
        ),
        of(
            &right,
            "postgres_view",
            format!("database: {database}\nschema: s\nname: v\ndefinition: SELECT 1; DROP SCHEMA s"),
            1,
            "a view's definition must be a single query",
            "stack.yaml:11",
        ),
    ];
    for mistake in mistakes {
        mistake.check(&[]);
        assert_eq!(there(), 0, "`{}`: something was made", mistake.message);
    }
}

#[test]
fn snowflake_mistakes_are_reported_at_their_place() {
    let stand_in = StandIn::start();
    for sql in ["CREATE DATABASE D", "CREATE SCHEMA D.S", "CREATE ROLE LIMITED", "GRANT ROLE LIMITED TO USER TERRACE"] {
        stand_in.sql(sql);
    }
    for sql in [
        "GRANT USAGE ON DATABASE D TO ROLE TERRACE_ROLE",
        "GRANT USAGE, CREATE TABLE ON SCHEMA D.S TO ROLE TERRACE_ROLE",
    ] {
        stand_in.sql(sql);
    }
    let before = stand_in.inventory();
    let url = stand_in.url();
    let settings =
        |role: &str, token: &str| format!("host: '{url}', role: {role}, warehouse: WH, token: {{secret: {token}}}");
    let right = settings("TERRACE_ROLE", "secret");
    let table = |name: &str, column: &str, more: &str| {
        format!("database: D\nschema: S\nname: {name}\ncolumns:\n  - {{name: A, {column}}}\n{more}")
    };
    let fine = || table("WRONG", "type: INT", "");
    let of = |settings: &str, ty, config, code, message, place| Mistake {
        settings: settings.to_owned(),
        ty,
        config,
        code,
        message,
        place,
    };
    let long = "x".repeat(256);
    let mistakes = [
        of(&settings("TERRACE_ROLE", "hunter2"), "snowflake_table", fine(), 3, "token", "declared at stack.yaml:6"),
        of(
            "host: no-such-host.invalid, token: {secret: hunter2}",
            "snowflake_table",
            fine(),
            3,
            "no-such-host.invalid",
            "declared at stack.yaml:6",
        ),
        of(
            &settings("LIMITED", "secret"),
            "snowflake_role",
            "name: X".to_owned(),
            3,
            "GRANT CREATE ROLE ON ACCOUNT",
            "declared at stack.yaml:6",
        ),
        of(&right, "snowflake_table", table(&long, "type: INT", ""), 1, "255", "stack.yaml:10"),
        of(
            &right,
            "snowflake_table",
            table("WRONG", "type: VARCHRA(3)", ""),
            1,
            "did you mean `VARCHAR`",
            "stack.yaml:12",
        ),
        of(&right, "snowflake_table", table("WRONG", "typ: INT", ""), 1, "did you mean `type`", "stack.yaml:12"),
        of(&right, "snowflake_tabel", fine(), 1, "did you mean `snowflake_table`", "stack.yaml:5"),
        of(&right, "snowflake_table", table("WRONG", "type: INT", "primaryKey: [B]"), 1, "`B`", "stack.yaml:13"),
        of(
            &right,
            "snowflake_table",
            fine().replace("schema: S", "schema: NOWHERE"),
            3,
            "NOWHERE",
            "declared at stack.yaml:6",
        ),
        of(
            &right,
            "snowflake_view",
            "database: D\nschema: S\nname: V\nstatement: SELECT 1; DROP SCHEMA D.S".to_owned(),
            1,
            "a view's statement must be a single query, but text follows a `;`",
            "stack.yaml:11",
        ),
        of(
            &right,
            "snowflake_grant",
            "role: R\nobjectType: table\nobject: D.S.T\nprivileges: [\"SELECT ON TABLE D.S.T TO ROLE R; --\"]"
                .to_owned(),
            1,
            "is not a privilege that can be granted here",
            "stack.yaml:11",
        ),
    ];
    for mistake in mistakes {
        mistake.check(&[]);
        assert_eq!(stand_in.inventory(), before, "`{}`: something was made", mistake.message);
    }
}

#[test]
fn unknown_setting_is_refused_with_the_known_ones() {
    let project = Project::with_stack("resources: []\n");
    project.write("terrace.yaml", "environments: {local: {providers: {local: {foo: 1}}}}\n");
    let ran = project.run(["plan", "stack.yaml"]).with_code(1);
    ran.prints("`providers.local` has no attribute `foo`").prints("hint: known are: `variables`");
}
