//! External grants: reported, and revoked if the environment says so.

use super::{PORT, PRODUCT, World};
use terrace_tests::Ran;

const ROLE: &str = "DISTRIBUTION_NETWORKSTATUS_0_NETWORK_STATUS_VIEW_ACCESS";

fn members(world: &World) -> Vec<String> {
    let of = |line: String| line.strip_suffix(&format!(" has role {ROLE}")).map(str::to_owned);
    world.stand_in.inventory().into_iter().filter_map(of).collect()
}

fn set(world: &World, principals: &[&str]) -> String {
    let words = ["acl", "set", PRODUCT, PORT].into_iter().chain(principals.iter().copied());
    let ran = world.run(words.chain(["--auto-approve"])).done();
    ran.stdout + &ran.stderr
}

/// Returns the output without line breaks.
fn without_line_breaks(ran: &Ran) -> String {
    let text = format!("{}{}", ran.stdout, ran.stderr).replace('│', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Creates a port with two grants of terrace and three external grants.
fn world() -> World {
    let world = World::with("");
    world.apply().done();
    set(&world, &["user:jane.roe_example.com", "group:analysts"]);
    world.stand_in.sql("CREATE ROLE X");
    world.stand_in.sql("CREATE ROLE Y");
    world.stand_in.add_user("Z");
    for who in ["ROLE X", "ROLE Y", "USER Z"] {
        world.stand_in.sql(&format!("GRANT ROLE {ROLE} TO {who}"));
    }
    world
}

#[test]
fn external_grants_are_reported_in_plans_and_drift_and_kept() {
    let world = world();
    let plan = world.plan().done();
    for who in ["role X", "role Y", "user Z"] {
        assert!(without_line_breaks(&plan).contains(&format!("foreign: {who} role {ROLE}")), "{plan}");
    }
    plan.prints("No changes.");
    let drift = world.run(["drift", PRODUCT, "--format", "json"]).with_code(2).json();
    let kinds: Vec<&str> = drift["drifted"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["foreign"; 3], "{drift}");
    assert_eq!(drift["drifted"][0]["attributes"][0]["observed"], "role X", "{drift}");
    world.run(["drift", PRODUCT]).with_code(2).prints("foreign: user Z");
    set(&world, &["user:joe_example.com", "group:analysts"]);
    assert_eq!(members(&world), ["ANALYSTS", "JOE@EXAMPLE.COM", "NADIA.OKOYE@EXAMPLE.COM", "X", "Y", "Z"]);
    // A grant that is declared later is no longer external.
    set(&world, &["group:x", "group:analysts"]);
    let output = world.plan().done();
    assert!(!without_line_breaks(&output).contains("foreign: role X"), "{output}");
    assert!(without_line_breaks(&output).contains("foreign: role Y"), "{output}");
    assert_eq!(members(&world), ["ANALYSTS", "NADIA.OKOYE@EXAMPLE.COM", "X", "Y", "Z"]);
}

#[test]
fn external_grants_are_revoked_if_configured() {
    let world = world();
    let settings =
        world.project.read("terrace.yaml").replace("warehouse: WH, }", "warehouse: WH}, access: {foreign: revoke}");
    world.project.write("terrace.yaml", &settings);
    let _ = world.stand_in.take_calls();
    set(&world, &["user:joe_example.com", "group:analysts", "group:x"]);
    let writes = world.stand_in.take_writes();
    let granted = writes.iter().position(|sql| sql.starts_with("GRANT ROLE")).unwrap();
    let revoked = writes.iter().position(|sql| sql.starts_with("REVOKE ROLE")).unwrap();
    assert!(granted < revoked && writes.len() == 4, "{writes:?}");
    assert_eq!(members(&world), ["ANALYSTS", "JOE@EXAMPLE.COM", "NADIA.OKOYE@EXAMPLE.COM", "X"]);
    world.assert_settled();
    // A later apply revokes them too, and drift shows them until then.
    world.stand_in.sql(&format!("GRANT ROLE {ROLE} TO USER Z"));
    world.run(["drift", PRODUCT]).with_code(2).prints("foreign: user Z");
    let plan = world.plan().done();
    plan.prints("0 to add, 0 to change, 1 to destroy").prints("external grant: terrace did not give that access");
    world.apply().done();
    world.assert_settled();
    world.run(["drift", PRODUCT]).done();
    assert_eq!(members(&world), ["ANALYSTS", "JOE@EXAMPLE.COM", "NADIA.OKOYE@EXAMPLE.COM", "X"]);
}
