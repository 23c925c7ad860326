//! Errors are reported at their place before any write: hostile texts, refused credentials, missing objects.

use super::{KEY, PRODUCT, SECRETS, World};
use terrace_tests::{HOSTILE, first_error_at, hostile};

/// Switches retries off: an unreachable server stays unreachable.
fn once(world: &World) {
    world.project.edit("terrace.yaml", "airbyte: {url:", "airbyte: {limits: {retries: 0}, url:");
}

/// The plan's error for a hostile text in one field; `None` if the text is accepted.
fn refused(world: &World, field: &str) -> Option<String> {
    let product = world.project.read(PRODUCT);
    world.project.write(PRODUCT, hostile(&product, field));
    let plan = world.plan();
    world.project.write(PRODUCT, product);
    assert!(world.stand_in.take_writes().is_empty(), "{field}: planning changed something");
    (plan.code != 0).then(|| first_error_at(&plan, PRODUCT))
}

#[test]
fn hostile_text_is_accepted_or_refused_at_its_place() {
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
    // Accepted texts reach Airbyte character by character.
    world.project.write(PRODUCT, product);
    world.apply().done();
    world.assert_settled();
    let made = ["connection", "destination", "source"].map(|what| format!("{what} {HOSTILE}"));
    assert_eq!(world.stand_in.inventory(), made);
}

#[test]
fn refused_credentials_and_unreachable_host_are_reported() {
    let world = World::new();
    let wrong = [KEY, ("AIRBYTE_SECRET", "wr0ng-secret"), SECRETS[2]];
    let ran = world.project.run_with(&wrong, ["plan", PRODUCT]);
    assert!(first_error_at(&ran, PRODUCT).contains("does not let terrace in"), "{ran}");
    assert!(!ran.to_string().contains("wr0ng-secret"), "{ran}");
    assert!(world.stand_in.take_writes().is_empty());
    world.project.edit("terrace.yaml", world.stand_in.url(), "http://127.0.0.1:1");
    once(&world);
    let ran = world.plan();
    assert!(first_error_at(&ran, PRODUCT).contains("cannot be reached"), "{ran}");
}
