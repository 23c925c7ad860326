//! A product over four systems, `examples/customer-360`: one command plans and applies it, each component after
//! its dependencies, and the rest in parallel.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use terrace_test_airbyte::WORKSPACE;
use terrace_test_hasura::Mapper;
use terrace_tests::{Project, Ran};

const PRODUCT: &str = "data-product.yaml";
const PEM: &str = "-----BEGIN PRIVATE KEY-----\nbm8ga2V5IGF0IGFsbA==\n-----END PRIVATE KEY-----\n";
/// Duration of every call in measurements.
const TAKES: Duration = Duration::from_secs(2);

/// The example with all its servers.
struct World {
    project: Project,
    snowflake: terrace_test_snowflake::StandIn,
    airbyte: terrace_test_airbyte::StandIn,
    databricks: terrace_test_databricks::StandIn,
    hasura: terrace_test_hasura::StandIn,
}

/// A call to any of the servers, mapped to its component.
#[derive(Debug)]
struct Call {
    component: &'static str,
    line: String,
    is_write: bool,
    began: Instant,
}

impl World {
    fn new() -> Self {
        let (snowflake, hasura) =
            (terrace_test_snowflake::StandIn::start(), terrace_test_hasura::StandIn::start(Mapper::Extended));
        snowflake.add_user("ADA.LOVELACE@EXAMPLE.COM");
        hasura.add_table("CUSTOMERS", "CUSTOMER360_1", "CUSTOMERS_VIEW", &["ID", "NAME", "COUNTRY"], &[]);
        let project = Project::new();
        let folder = terrace_tests::repository().join("examples/customer-360");
        for file in [PRODUCT, "terrace.yaml"] {
            project.copy(&folder.join(file), file);
        }
        let (airbyte, databricks) = (terrace_test_airbyte::StandIn::start(), terrace_test_databricks::StandIn::start());
        Self { project, snowflake, airbyte, databricks, hasura }
    }

    fn variables(&self) -> [(&str, &str); 17] {
        [
            ("TERRACE_STATE_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            ("SNOWFLAKE_HOST", self.snowflake.url()),
            ("SNOWFLAKE_ROLE", "TERRACE_ROLE"),
            ("SNOWFLAKE_WAREHOUSE", "WH"),
            ("SNOWFLAKE_TOKEN", "secret"),
            ("AIRBYTE_URL", self.airbyte.url()),
            ("AIRBYTE_WORKSPACE_ID", WORKSPACE),
            ("AIRBYTE_CLIENT_ID", "terrace"),
            ("AIRBYTE_CLIENT_SECRET", "client-secret"),
            ("DATABRICKS_HOST", self.databricks.url()),
            ("DATABRICKS_TOKEN", "secret"),
            ("HASURA_URL", self.hasura.url()),
            ("HASURA_ADMIN_SECRET", "secret"),
            ("ROLE_MAPPER_URL", self.hasura.mapper_url()),
            ("LAKE_HOST", "account1.snowflakecomputing.com"),
            ("LOADER_PASSWORD", "hunter2hunter2"),
            ("READER_KEY", PEM),
        ]
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Ran {
        let ran = self.project.run_with(&self.variables(), words);
        for secret in ["hunter2", "bm8ga2V5", "client-secret"] {
            assert!(!ran.to_string().contains(secret), "a secret is shown:\n{ran}");
        }
        ran
    }

    /// Sets the duration of every call.
    fn slow_down(&self, takes: Option<Duration>) {
        self.snowflake.faults().takes = takes;
        self.airbyte.faults().takes = takes;
        self.databricks.faults().takes = takes;
        self.hasura.faults().takes = takes;
    }

    /// The calls to all servers since the last use, in order; `takes` is their duration.
    fn calls(&self, takes: Duration) -> Vec<Call> {
        let snowflake = self.snowflake.take_calls().into_iter().map(|it| Call {
            component: if it.query_tag.contains("/port/") { "port" } else { "area" },
            is_write: it.is_write(),
            line: it.sql,
            began: it.at,
        });
        let airbyte = self.airbyte.take_calls().into_iter().map(|it| Call {
            component: "load",
            is_write: it.is_write(),
            line: format!("{} {}", it.method, it.path),
            // This stand-in records a call at its end.
            began: it.at.checked_sub(takes).unwrap(),
        });
        let databricks = self.databricks.take_calls().into_iter().map(|it| Call {
            component: "segments",
            is_write: it.is_write(),
            line: format!("{} {}", it.method, it.path),
            began: it.at,
        });
        let hasura = self.hasura.take_calls().into_iter().map(|it| Call {
            component: "graph",
            is_write: it.is_write,
            line: it.line,
            began: it.at,
        });
        let mut all: Vec<Call> = snowflake.chain(airbyte).chain(databricks).chain(hasura).collect();
        all.sort_by_key(|call| call.began);
        all
    }
}

/// The longest sequence of calls of each component.
fn chains(calls: &[Call], takes: Duration) -> BTreeMap<&'static str, u32> {
    let mut chains: BTreeMap<&'static str, (u32, Option<Instant>)> = BTreeMap::new();
    for call in calls {
        let (length, until) = chains.entry(call.component).or_default();
        if until.is_none_or(|until| call.began >= until) {
            *length += 1;
            *until = Some(call.began + takes.mul_f64(0.9));
        }
    }
    chains.into_iter().map(|(component, (length, _))| (component, length)).collect()
}

fn first<'c>(calls: &'c [Call], component: &str, line: &str) -> &'c Call {
    let found = calls.iter().find(|call| call.component == component && call.is_write && call.line.contains(line));
    found.ok_or_else(|| format!("no write of `{component}` has `{line}`: {calls:#?}")).unwrap()
}

fn last<'c>(calls: &'c [Call], component: &str) -> &'c Call {
    calls.iter().rfind(|call| call.component == component && call.is_write).unwrap()
}

#[test]
fn one_command_creates_everything_in_order_and_in_parallel() {
    let world = World::new();
    let plan = world.run(["plan", PRODUCT, "--out", "plan"]).done();
    plan.prints("CUSTOMERS").prints("CUSTOMER360_1");
    let made = |calls: &[Call]| calls.iter().filter(|call| call.is_write).count();
    assert_eq!(made(&world.calls(Duration::ZERO)), 0, "planning changed something");
    world.slow_down(Some(TAKES));
    let began = Instant::now();
    // The apply takes longer than the tests' limit for a command.
    let applied = world.project.command(["apply", "plan"]).envs(world.variables()).output().unwrap();
    let took = began.elapsed();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    world.slow_down(None);
    let calls = world.calls(TAKES);

    // Independent components finish before the port.
    let port = last(&calls, "port").began;
    assert!(first(&calls, "segments", "jobs/create").began < port);
    assert!(first(&calls, "load", "POST /api/public/v1/sources").began < port);
    // Consumers start after their dependencies.
    let area = last(&calls, "area").began;
    assert!(first(&calls, "load", "").began > area);
    assert!(first(&calls, "port", "").began > area);
    assert!(first(&calls, "graph", "").began > port);

    let of = chains(&calls, TAKES);
    let [area, load, port, graph, segments] = ["area", "load", "port", "graph", "segments"].map(|name| of[name]);
    let longest = (area + load.max(port + graph)).max(segments);
    let border = (TAKES * longest).mul_f64(1.2);
    assert!(took <= border, "it took {took:?}, the longest path {:?}: {of:?}", TAKES * longest);
    assert!(calls.len() > longest as usize, "nothing ran at the same time: {of:?}");

    let lake = world.airbyte.configuration(&world.airbyte.id_of("Customers lake").unwrap());
    assert_eq!((lake["database"].as_str(), lake["schema"].as_str()), (Some("CUSTOMERS"), Some("CUSTOMER360_1")));
    assert_eq!(lake["credentials"]["password"], "hunter2hunter2");
    let source = world.hasura.inventory().into_iter().find(|line| line.starts_with("source")).unwrap();
    assert!(source.contains("private_key_base64=") && source.contains("db=CUSTOMERS&schema=CUSTOMER360_1"), "{source}");

    let plan = world.run(["plan", PRODUCT, "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "the second plan has changes:\n{plan}");
    world.run(["drift", PRODUCT]).done();
}

#[test]
fn access_is_granted_to_both_ports_and_destroy_reverses_the_order() {
    let world = World::new();
    world.run(["apply", PRODUCT, "--auto-approve"]).done();
    for port in ["port", "graph"] {
        world.run(["acl", "set", PRODUCT, port, "user:ada.lovelace_example.com", "--auto-approve"]).done();
    }
    let members = "members customers_customer360_1_graph_role {\"user:ada.lovelace_example.com\"} {}";
    assert!(world.hasura.inventory().contains(&members.to_owned()), "{:?}", world.hasura.inventory());
    let readers = |world: &World| {
        let lines = world.snowflake.inventory().into_iter();
        lines.filter(|line| line.contains("ADA.LOVELACE@EXAMPLE.COM") && line.contains("ACCESS")).count()
    };
    assert_eq!(readers(&world), 1, "{:#?}", world.snowflake.inventory());
    let plan = world.run(["plan", PRODUCT, "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{plan}");

    let _ = world.calls(Duration::ZERO);
    world.run(["destroy", PRODUCT, "--remove-data", "--auto-approve"]).done();
    let calls = world.calls(Duration::ZERO);
    assert!(last(&calls, "graph").began < first(&calls, "port", "").began);
    let of_table = first(&calls, "area", "DROP TABLE").began;
    assert!(last(&calls, "port").began < of_table && last(&calls, "load").began < of_table);
    let deleted: Vec<&str> =
        calls.iter().filter(|it| it.component == "load" && it.is_write).map(|it| it.line.as_str()).collect();
    assert!(deleted[0].contains("/connections/"), "{deleted:?}");
    assert_eq!(world.airbyte.inventory(), [] as [&str; 0]);
    assert_eq!(world.hasura.inventory(), [] as [&str; 0]);
    assert_eq!(readers(&world), 0);
    assert!(!world.databricks.inventory().iter().any(|line| line.contains("segments")));
}
