//! Special characters in names: a supported name round-trips, an unsupported one is refused by the plan.

use crate::harness::{ACL, Brokers, Instance, Reports, SUBJECT, TOPIC, attributes, call, recorded, unique};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{ErrorKind, Found};

/// 256 names, equal in every run except for their prefix.
fn names(begin: &str) -> Vec<String> {
    let pieces = [
        "a", "B", "7", "-", "_", ".", " ", "\"", "'", "`", "%", "/", "\\", "$1", "--", "/*", ";", "ä", "名", "🦀",
        "\t", "{}", "?", "#", "&", ":", ",", "=", "*", "@", "..", "%2F", "+", "select",
    ];
    let mut found: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    found.extend([1, 63, 64, 128, 200, 249, 250, 255].map(|length| "x".repeat(length)));
    found.extend(["pg_x", "a.b.c", "Robert'); DROP TABLE students;--", "../../config", "__x"].map(str::to_owned));
    let mut seed = 17_usize;
    while found.len() < 256 {
        let mut name = String::new();
        for _ in 0..=seed % 7 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Every other name uses only legal characters of topic names.
            let of = if found.len().is_multiple_of(2) { 6 } else { pieces.len() };
            name.push_str(pieces[(seed >> 33) % of]);
        }
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found.into_iter().map(|name| format!("{begin}{name}")).collect()
}

/// Creates an object, finds it as the next run would, imports it, and deletes it.
async fn round_trip(instance: &Instance, ty: &str, config: Json) {
    let config = attributes(config);
    let reports = Arc::new(Reports::default());
    let lost = call(&reports);
    let created = instance.try_create(ty, &lost, &config).await.unwrap_or_else(|error| panic!("{config:?}: {error:?}"));
    let found = instance.find(ty, &lost, reports.private(), &config).await;
    let Found::Own(found) = found else { panic!("{config:?}: {found:?}") };
    assert_eq!(found.identity, created.identity, "{config:?}");
    let created = recorded(&config, created);
    let imported = instance.session.import(&instance.ty(ty), created.text("id").unwrap()).await.unwrap();
    assert_eq!(imported.unwrap_or_else(|| panic!("{created:?} cannot be imported")).identity, created.identity);
    instance.delete(ty, &created).await;
    let found = instance.find(ty, &lost, reports.private(), &config).await;
    assert!(matches!(found, Found::Absent), "{config:?}: {found:?}");
}

#[tokio::test]
async fn topics_accept_only_legal_names() {
    let brokers = Brokers::start().await;
    let instance = brokers.instance().await;
    let (mut accepted, mut refused) = (0, 0);
    for name in names(&unique("n")) {
        let is_legal = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
        if is_legal && name.len() <= 249 {
            round_trip(&instance, TOPIC, json!({"name": name, "partitions": 1})).await;
            accepted += 1;
            continue;
        }
        let config = attributes(json!({"name": name, "partitions": 1}));
        let error = instance.plan(TOPIC, None, &config).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{name:?}: {error}") };
        assert_eq!(path.to_string(), "name");
        let expected = if is_legal { "at most 249" } else { "use only `a-z`" };
        assert!(error.solutions[0].contains(expected), "{name:?}: {error:?}");
        refused += 1;
    }
    assert!(accepted >= 110 && refused >= 100 && accepted + refused == 256, "{accepted} and {refused}");
}

#[tokio::test]
async fn subjects_have_any_name() {
    let brokers = Brokers::start().await;
    let instance = brokers.instance().await;
    for name in names(&unique("n")) {
        round_trip(&instance, SUBJECT, json!({"subject": name, "schema": "\"string\""})).await;
    }
}

#[tokio::test]
async fn groups_and_principals_have_any_name() {
    let brokers = Brokers::start().await;
    let instance = brokers.instance().await;
    for name in names(&unique("n")) {
        let group =
            json!({"resourceType": "GROUP", "resourceName": name, "principal": "User:ada", "operation": "READ"});
        round_trip(&instance, ACL, group).await;
        let principal = format!("User:{name}");
        let own = json!({"resourceType": "TOPIC", "resourceName": "t", "principal": principal, "operation": "READ"});
        round_trip(&instance, ACL, own).await;
    }
}
