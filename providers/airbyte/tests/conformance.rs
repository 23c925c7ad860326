use crate::harness::{attributes, connected, destination, file_source, provider, settings};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::Recorded;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_test_airbyte::StandIn;

fn with(mut json: Json, changes: Json) -> Json {
    for (name, value) in changes.as_object().unwrap() {
        json[name] = value.clone();
    }
    json
}

fn id_of(recorded: &Recorded) -> String {
    let names = ["sourceId", "destinationId", "connectionId"];
    // A connection also has the ids of its source and destination.
    let own = names.iter().rev().find_map(|name| recorded.text(name).filter(|_| *name != "sourceId"));
    match recorded.text("connectionId").or(own) {
        Some(id) => id.to_owned(),
        None => recorded.text("sourceId").unwrap().to_owned(),
    }
}

fn hooked(stand_in: &Arc<StandIn>, fixture: Fixture, tampered: Json) -> Fixture {
    let (tampers, removes) = (Arc::clone(stand_in), Arc::clone(stand_in));
    let fixture = fixture.tamper(move |recorded| {
        tampers.patch(&id_of(&recorded), &tampered);
        async {}
    });
    fixture.remove(move |recorded| {
        removes.remove(&id_of(&recorded));
        async {}
    })
}

#[tokio::test]
async fn provider_passes_the_conformance_suite() {
    let stand_in = Arc::new(StandIn::start());
    let (source, sink) = connected(&stand_in);
    let other = stand_in.make(
        true,
        &json!({"name": "other", "workspaceId": terrace_test_airbyte::WORKSPACE, "configuration": {
        "sourceType": "postgres", "host": "h", "port": 1, "database": "d", "username": "u"}}),
    );
    let file = file_source("places");
    let moved = with(
        file.clone(),
        json!({"configuration": with(file["configuration"].clone(), json!({"url": "https://example.com/b.csv"}))}),
    );
    let csv = with(
        destination("lake"),
        json!({"connector": "csv", "configuration": {"destination_path": "/local"}, "secretConfiguration": null}),
    );
    let connection = json!({
        "workspaceId": terrace_test_airbyte::WORKSPACE, "name": "a to b", "sourceId": source, "destinationId": sink,
        "streams": [{"name": "orders", "syncMode": "incremental_append", "cursorField": ["updated_at"]}],
        "schedule": {"type": "cron", "cron": "0 0 3 * * ?"}, "prefix": "raw_",
    });
    let changed = with(
        connection.clone(),
        json!({"streams": [{"name": "orders", "selectedFields": ["id", "updated_at"]}, {"name": "customers"}], "status": "inactive", "schedule": {"type": "manual"}}),
    );
    let fills = Arc::clone(&stand_in);
    let connected = Fixture::new("airbyte_connection", "made", attributes(connection.clone()))
        .update(attributes(changed))
        .replace(attributes(with(connection.clone(), json!({"sourceId": other}))))
        .spelled(
            "/streams",
            [
                json!([{"name": "orders", "selectedFields": ["id", "updated_at"]}, {"name": "customers"}]),
                json!([{"name": "customers"}, {"name": "orders", "selectedFields": ["updated_at", "id"]}]),
            ],
        )
        .fill(move |recorded| {
            fills.sync(&id_of(&recorded));
            async {}
        });
    let fixtures = [
        hooked(
            &stand_in,
            Fixture::new("airbyte_source", "file", attributes(file.clone()))
                .update(attributes(moved))
                .replace(attributes(with(file, json!({"connector": "postgres", "configuration": {"host": "h", "port": 1, "database": "d", "username": "u"}})))),
            json!({"configuration": {"url": "https://example.com/tampered.csv"}}),
        ),
        hooked(
            &stand_in,
            Fixture::new("airbyte_destination", "snowflake", attributes(destination("lake")))
                .update(attributes(with(destination("lake"), json!({"configuration": with(destination("lake")["configuration"].clone(), json!({"schema": "OTHER"}))}))))
                .replace(attributes(csv)),
            json!({"configuration": {"schema": "TAMPERED"}}),
        ),
        hooked(&stand_in, connected, json!({"status": "inactive"})),
        hooked(
            &stand_in,
            Fixture::new("airbyte_connection", "bare", attributes(json!({
                "workspaceId": terrace_test_airbyte::WORKSPACE, "name": "bare", "sourceId": source, "destinationId": sink})))
            .update(attributes(json!({
                "workspaceId": terrace_test_airbyte::WORKSPACE, "name": "bare", "sourceId": source, "destinationId": sink, "prefix": "x_"}))),
            json!({"status": "inactive"}),
        ),
    ];
    let provider = provider();
    let suite = Suite::new(&provider, settings(&stand_in, json!({})));
    let report = fixtures.into_iter().fold(suite, Suite::fixture).run().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(stand_in.inventory(), ["destination sink", "source other", "source store"]);
}
