//! What is wrong is told at its place before anything is made: hostile texts, who is not let in, what is not there.

use super::{KEY, PRODUCT, SECRETS, World};
use terrace_tests::{HOSTILE, hostile, told_at};

/// What fails is not tried again: a server that is not there stays away.
fn once(world: &World) {
    world.project.edit("terrace.yaml", "airbyte: {url:", "airbyte: {limits: {retries: 0}, url:");
}

/// What the plan says of a hostile text in one field; nothing where it is a text like others.
fn refused(world: &World, field: &str) -> Option<String> {
    let product = world.project.read(PRODUCT);
    world.project.write(PRODUCT, hostile(&product, field));
    let plan = world.plan();
    world.project.write(PRODUCT, product);
    assert!(world.stand_in.take_writes().is_empty(), "{field}: planning changed something");
    (plan.code != 0).then(|| told_at(&plan, PRODUCT))
}

#[test]
fn hostile_texts_are_texts_or_refused_at_their_place() {
    let fields = [
        "name: CashFlow",
        "domain: finance",
        "name: Public Places CSV",
        "url: https://example.com/places.csv",
        "format: csv",
        "storage: HTTPS",
        "dataset_name: public places",
        "name: Snowflake",
        "schema: myschema",
        "database: mydatabase",
        "name: Public Places CSV <> Snowflake",
    ];
    let world = World::new();
    let (mut verdicts, mut product) = (Vec::new(), world.project.read(PRODUCT));
    for field in fields {
        let refused = refused(&world, field);
        if refused.is_none() {
            product = hostile(&product, field);
        }
        verdicts.push(format!("{field}: {}", refused.unwrap_or_else(|| "is a text".to_owned())));
    }
    insta::assert_snapshot!(verdicts.join("\n"), @r#"
    name: CashFlow: is a text
    domain: finance: is a text
    name: Public Places CSV: is a text
    url: https://example.com/places.csv: is a text
    format: csv: `specific.source.connectionConfiguration.format` cannot be `x'; DROP TABLE main.raw.orders; --"`\ } { __typename ${{ 1 + 1 }}`: expected `csv`, `json`, `jsonl`, `excel`, `excel_binary`, `fwf`, `feather`, `parquet` or `yaml`
    storage: HTTPS: `specific.source.connectionConfiguration.provider.storage` cannot be `x'; DROP TABLE main.raw.orders; --"`\ } { __typename ${{ 1 + 1 }}`: expected `HTTPS`
    dataset_name: public places: is a text
    name: Snowflake: is a text
    schema: myschema: is a text
    database: mydatabase: is a text
    name: Public Places CSV <> Snowflake: is a text
    "#);
    // All that are taken together come to Airbyte letter by letter.
    world.project.write(PRODUCT, product);
    world.apply().done();
    world.assert_settled();
    let made = ["connection", "destination", "source"].map(|what| format!("{what} {HOSTILE}"));
    assert_eq!(world.stand_in.inventory(), made);
}

#[test]
fn who_is_not_let_in_and_a_host_that_is_not_there_are_told_at_the_component() {
    let world = World::new();
    let wrong = [KEY, ("AIRBYTE_SECRET", "wr0ng-secret"), SECRETS[2]];
    let told = world.project.run_with(&wrong, ["plan", PRODUCT]);
    assert!(told_at(&told, PRODUCT).contains("does not let terrace in"), "{told}");
    assert!(!told.to_string().contains("wr0ng-secret"), "{told}");
    assert!(world.stand_in.take_writes().is_empty());
    world.project.edit("terrace.yaml", world.stand_in.url(), "http://127.0.0.1:1");
    once(&world);
    let told = world.plan();
    assert!(told_at(&told, PRODUCT).contains("cannot be reached"), "{told}");
}
