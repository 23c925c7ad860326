//! Errors are reported at their place before any write: hostile texts, refused credentials, missing objects.

use super::{PRODUCT, World};
use terrace_tests::{first_error_at, hostile};

/// Switches retries off: an unreachable server stays unreachable.
fn once(world: &World) {
    let text = world.project.read("terrace.yaml");
    let once = "    providers: {hasura: {limits: {retries: 0}}}\n";
    world.project.write("terrace.yaml", format!("{text}{once}"));
}

/// The result of a port with a hostile text in one field.
fn result_of(field: &str) -> String {
    let world = World::new();
    world.project.write(PRODUCT, hostile(&world.project.read(PRODUCT), field));
    let plan = world.run(["plan", PRODUCT, "-c", "graph"]);
    if plan.code != 0 {
        assert!(world.stand_in.take_writes().is_empty(), "{field}: planning changed something");
        return format!("{field}\n    {}", first_error_at(&plan, PRODUCT));
    }
    let applied = world.run(["apply", PRODUCT, "-c", "graph", "--auto-approve"]);
    assert!(!applied.stderr.contains("panicked"), "{applied}");
    if applied.code != 0 {
        let error = applied.stderr.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
        return format!("{field}\n    nothing is called so: {error}");
    }
    assert_eq!(world.run(["plan", PRODUCT, "-c", "graph", "--detailed-exitcode"]).code, 0, "{field}");
    format!("{field}\n    is taken as it is")
}

#[test]
fn hostile_text_is_accepted_or_refused_at_its_place() {
    let fields = [
        "name: Orders",
        "domain: shop",
        "name: Graph",
        "database: SHOP_EXAMPLE",
        "schema: ORDERS_0",
        "viewName: OPEN_ORDERS",
        "customTableName: shop_orders_0_graph_orders",
        "select: shop_orders_0_graph_select",
        "selectAggregate: shop_orders_0_graph_aggregate",
    ];
    let verdicts: Vec<String> = fields.into_iter().map(result_of).collect();
    insta::assert_snapshot!(verdicts.join("\n"), @r#"
    name: Orders
        the names of the domain, the product and the port give no valid GraphQL name
    domain: shop
        the names of the domain, the product and the port give no valid GraphQL name
    name: Graph
        the names of the domain, the product and the port give no valid GraphQL name
    database: SHOP_EXAMPLE
        nothing is called so: shop.orders.0@development:graph/hasura_table.table: Hasura cannot track the table `OPEN_ORDERS` of the source `shop_orders_0`: Inconsistent object: no such table/view exists in source: "OPEN_ORDERS" (invalid-configuration, HTTP 400)
    schema: ORDERS_0
        nothing is called so: shop.orders.0@development:graph/hasura_table.table: Hasura cannot track the table `OPEN_ORDERS` of the source `shop_orders_0`: Inconsistent object: no such table/view exists in source: "OPEN_ORDERS" (invalid-configuration, HTTP 400)
    viewName: OPEN_ORDERS
        nothing is called so: shop.orders.0@development:graph/hasura_table.table: Hasura cannot track the table `X'; DROP TABLE MAIN.RAW.ORDERS; --"`\ } { __TYPENAME ${{ 1 + 1 }}` of the source `shop_orders_0`: Inconsistent object: no such table/view exists in source: "X'; DROP TABLE MAIN.RAW.ORDERS; --"`\ } { __TYPENAME ${{ 1 + 1 }}" (invalid-configuration, HTTP 400)
    customTableName: shop_orders_0_graph_orders
        `specific.customTableName` is `x'; DROP TABLE main.raw.orders; --"`\ } { __typename ${{ 1 + 1 }}`, which does not fit the pattern `^[_A-Za-z][_0-9A-Za-z]*$`
    select: shop_orders_0_graph_select
        `specific.select` is `x'; DROP TABLE main.raw.orders; --"`\ } { __typename ${{ 1 + 1 }}`, which does not fit the pattern `^[_A-Za-z][_0-9A-Za-z]*$`
    selectAggregate: shop_orders_0_graph_aggregate
        `specific.selectAggregate` is `x'; DROP TABLE main.raw.orders; --"`\ } { __typename ${{ 1 + 1 }}`, which does not fit the pattern `^[_A-Za-z][_0-9A-Za-z]*$`
    "#);
}

#[test]
fn refused_credentials_and_unreachable_host_are_reported() {
    let world = World::new();
    once(&world);
    let plan = ["plan", PRODUCT, "-c", "graph"];
    for (variable, value, expected) in [
        ("HASURA_ADMIN_SECRET", "wr0ng-secret", "does not let terrace in"),
        ("HASURA_URL", "http://127.0.0.1:1", "cannot be reached"),
    ] {
        let mut variables = world.variables();
        for entry in variables.iter_mut().filter(|entry| entry.0 == variable) {
            entry.1 = value;
        }
        let ran = world.project.run_with(&variables, plan);
        assert!(first_error_at(&ran, PRODUCT).contains(expected), "{ran}");
        assert!(!ran.to_string().contains("wr0ng-secret"), "{ran}");
    }
    assert!(world.stand_in.take_writes().is_empty());
}

#[test]
fn names_without_prefix_or_too_long_are_reported_at_their_place() {
    let long = format!("name: {}", "g".repeat(600));
    for (old, new, expected) in [
        ("select: shop_orders_0_graph_select", "select: orders", "does not begin with the names"),
        ("customTableName: shop_orders_0_graph_orders", "customTableName: Orders", "does not begin with the names"),
        (
            "selectAggregate: shop_orders_0_graph_aggregate",
            "selectAggregate: shop_orders_0_graph_select",
            "two root fields",
        ),
        ("name: Graph", "name: Gräph", "give no valid GraphQL name"),
        ("name: Graph", long.as_str(), "does not begin with the names"),
    ] {
        let world = World::new();
        world.project.edit(PRODUCT, old, new);
        let plan = world.run(["plan", PRODUCT, "-c", "graph"]);
        let output = first_error_at(&plan, PRODUCT);
        assert!(output.contains(expected), "{new}: {output}");
        assert!(world.stand_in.take_writes().is_empty(), "{new}");
    }
}
