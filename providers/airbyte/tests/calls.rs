use crate::harness::{Instance, attributes, connected, destination, file_source, settings};
use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use terrace_provider::wrap::Limits;
use terrace_provider::{DataAmount, ErrorKind, Found, Provider, Session};
use terrace_provider_airbyte::AirbyteProvider;
use terrace_test_airbyte::{CLIENT, Fault, StandIn, WORKSPACE};

const SOURCE: &str = "airbyte_source";

#[tokio::test]
async fn create_with_lost_answer_is_sent_once_and_found() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let config = file_source("places");
    for (fault, is_made) in [
        (Fault::LostBefore, false),
        (Fault::LostAfter, true),
        (Fault::Status(502), false),
        (Fault::StatusAfter(504), true),
        (Fault::Status(503), false),
    ] {
        stand_in.faults().by_call.push(("POST", "/sources", fault));
        let _ = stand_in.take_calls();
        let error = instance.create(SOURCE, config.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Ambiguous, "{fault:?}: {error}");
        assert_eq!(stand_in.take_writes(), ["POST /sources"], "{fault:?}");
        let found = instance.find(SOURCE, &config, Some(Duration::from_secs(60))).await.unwrap();
        assert_eq!(matches!(found, Found::Own(_)), is_made, "{fault:?}: {found:?}");
        if let Some(id) = stand_in.id_of("places") {
            stand_in.remove(&id);
        }
    }
    // Airbyte itself reports that nothing happened.
    stand_in.faults().by_call.push(("POST", "/sources", Fault::TryAgain));
    instance.create(SOURCE, config).await.unwrap();
}

#[tokio::test]
async fn updates_and_deletions_are_retried() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let made = instance.create(SOURCE, file_source("places")).await.unwrap();
    for (fault, name) in [(Fault::LostBefore, "b"), (Fault::LostAfter, "c"), (Fault::StatusAfter(502), "d")] {
        stand_in.faults().by_call.push(("PATCH", "/sources/", fault));
        let read = instance.read(SOURCE, &made).await.unwrap().unwrap();
        let renamed = instance.update(SOURCE, &read, file_source(name)).await.unwrap();
        assert_eq!(renamed.identity["name"], name.into(), "{fault:?}");
    }
    stand_in.faults().by_call.push(("DELETE", "/sources/", Fault::LostAfter));
    instance.delete(SOURCE, &made).await.unwrap();
    assert_eq!(stand_in.inventory(), [] as [&str; 0]);
}

#[tokio::test]
async fn throttled_requests_wait_and_stay_within_the_limit() {
    let stand_in = StandIn::start();
    let instance = Instance::with(&stand_in, json!({}), Limits { concurrency: 3, ..Limits::default() }).await;
    let pause = Duration::from_secs(1);
    for number in 1..=20 {
        stand_in.faults().by_number.insert(number, Fault::TooMany(Some(pause)));
    }
    stand_in.faults().takes = Some(Duration::from_millis(5));
    let creates = (0..20).map(|number| instance.create(SOURCE, file_source(&format!("places {number}"))));
    for created in join_all(creates).await {
        created.unwrap();
    }
    let requests = stand_in.take_calls();
    let refused: Vec<Instant> = requests.iter().filter(|it| it.status == 429).map(|it| it.at).collect();
    assert_eq!(refused.len(), 20);
    assert_eq!(requests.iter().filter(|it| it.method == "POST" && it.status == 200).count(), 20);
    // With a limit of three, a throttled request keeps its slot: no other request starts in that second.
    let mut at_once = BTreeMap::new();
    for call in &requests {
        *at_once.entry((call.at - requests[0].at).as_secs()).or_insert(0) += 1;
    }
    assert!(at_once[&0] <= 3, "{at_once:?}");
    assert!(stand_in.max_concurrent() <= 3, "{} at once", stand_in.max_concurrent());
    assert_eq!(stand_in.inventory().len(), 20);
}

async fn connect(stand_in: &StandIn, more: Json) -> std::sync::Arc<dyn Session> {
    AirbyteProvider::new().connect(&settings(stand_in, more)).await.unwrap()
}

#[tokio::test]
async fn client_token_is_renewed_when_refused() {
    let stand_in = StandIn::start();
    let session = connect(&stand_in, json!({"token": null, "clientId": CLIENT.0, "clientSecret": CLIENT.1})).await;
    let none = attributes(json!({}));
    for answer in join_all((0..5).map(|_| session.lookup("airbyte_workspace", &none))).await {
        answer.unwrap();
    }
    assert_eq!(stand_in.tokens_given(), 1);
    stand_in.forget_tokens();
    session.lookup("airbyte_workspace", &none).await.unwrap();
    assert_eq!(stand_in.tokens_given(), 2);
    let basic = connect(&stand_in, json!({"token": null, "username": "airbyte", "password": "password"})).await;
    basic.lookup("airbyte_workspace", &none).await.unwrap();
    for wrong in [
        json!({"token": "wrong"}),
        json!({"token": null}),
        json!({"token": null, "clientId": CLIENT.0, "clientSecret": "hunter2hunter2"}),
        json!({"token": null, "username": "airbyte", "password": "hunter2hunter2"}),
    ] {
        let error = connect(&stand_in, wrong.clone()).await.lookup("airbyte_workspace", &none).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{wrong}: {error}");
        assert!(error.solutions[0].contains("`clientSecret`"), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

/// A token with an endless lifetime is used until it is refused.
#[tokio::test]
async fn token_with_endless_lifetime_is_renewed_on_refusal() {
    let stand_in = StandIn::start();
    stand_in.faults().life = Some(u64::MAX);
    let session = connect(&stand_in, json!({"token": null, "clientId": CLIENT.0, "clientSecret": CLIENT.1})).await;
    for _ in 0..2 {
        session.lookup("airbyte_workspace", &attributes(json!({}))).await.unwrap();
        stand_in.forget_tokens();
    }
}

/// Servers choose the page size: an object may be on any page.
#[tokio::test]
async fn lists_are_read_over_all_pages() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    for number in 0..5 {
        instance.create(SOURCE, file_source(&format!("places {number}"))).await.unwrap();
    }
    stand_in.faults().page = Some(2);
    for number in 0..5 {
        let found = instance.find(SOURCE, file_source(&format!("places {number}")), None).await.unwrap();
        assert!(matches!(found, Found::Foreign(_)), "{number}: {found:?}");
    }
    assert_eq!(instance.find(SOURCE, file_source("places 5"), None).await.unwrap(), Found::Absent);
}

/// Other versions may omit the connector or the jobs: a missing field proves nothing.
#[tokio::test]
async fn missing_fields_of_answers_are_not_drift() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    let config = file_source("places");
    let made = instance.create(SOURCE, config.clone()).await.unwrap();
    let (source, destination) = connected(&stand_in);
    let connection =
        json!({"workspaceId": WORKSPACE, "name": "sync", "sourceId": source, "destinationId": destination});
    let sync = instance.create("airbyte_connection", connection).await.unwrap();
    let ty = instance.resource_type("airbyte_connection").unwrap();
    assert_eq!(instance.session.count_data(ty, &sync).await.unwrap(), DataAmount::Empty);
    stand_in.faults().omitted = vec!["definitionId", "sourceType", "data"];
    instance.assert_settled(SOURCE, &made, &config).await;
    assert_eq!(instance.session.count_data(ty, &sync).await.unwrap(), DataAmount::Unknown);
}

#[tokio::test]
async fn reader_gets_an_error_with_the_missing_permission() {
    let stand_in = StandIn::start();
    let instance =
        Instance::with(&stand_in, json!({"token": "reader"}), Limits { retries: 0, ..Limits::default() }).await;
    let error = instance.create(SOURCE, file_source("places")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert_eq!(error.vendor_code.as_deref(), Some("forbidden, HTTP 403"));
    assert!(error.message.contains("WORKSPACE_EDITOR"), "{error}");
    assert_eq!(error.solutions, ["make the instance's principal an editor of the workspace"]);
    assert_eq!(stand_in.inventory(), [] as [&str; 0]);
}

/// Each request of a whole life cycle fails once, before or after its effect. After a retry, the result is the same.
#[tokio::test]
async fn single_failure_of_any_request_creates_no_duplicates() {
    let calm = run_life_cycle(None).await;
    assert!(calm.1 >= 10, "{}", calm.1);
    for number in 1..=calm.1 {
        for fault in [Fault::LostBefore, Fault::LostAfter, Fault::TooMany(None)] {
            let (left, _) = run_life_cycle(Some((number, fault))).await;
            assert_eq!(left, calm.0, "call {number}, {fault:?}");
        }
    }
}

/// Creates, connects and renames objects. Retries failures as the engine does: a create with a lost answer is searched
/// first. Returns the remaining objects and the number of requests.
async fn run_life_cycle(fault: Option<(usize, Fault)>) -> (Vec<String>, usize) {
    let stand_in = StandIn::start();
    let (from, to) = connected(&stand_in);
    let instance = Instance::of(&stand_in).await;
    if let Some((number, fault)) = fault {
        stand_in.faults().by_number.insert(number, fault);
    }
    let connection = json!({"workspaceId": WORKSPACE, "name": "a to b", "sourceId": from, "destinationId": to});
    for (ty, config) in [
        (SOURCE, file_source("places")),
        ("airbyte_destination", destination("lake")),
        ("airbyte_connection", connection),
    ] {
        for _ in 0..4 {
            match instance.create(ty, config.clone()).await {
                Ok(_) => break,
                Err(error) if error.kind == ErrorKind::Ambiguous => {
                    match instance.find(ty, &config, Some(Duration::from_secs(60))).await {
                        Ok(Found::Own(_)) => break,
                        Ok(Found::Absent) => {}
                        other => panic!("{ty}: {other:?}"),
                    }
                }
                Err(error) => assert!(error.kind.is_temporary(), "{ty}: {error:?}"),
            }
        }
        let found = instance.find(ty, &config, None).await;
        let found = if found.is_err() { instance.find(ty, &config, None).await } else { found };
        let Found::Foreign(object) = found.unwrap() else { panic!("{ty} is missing") };
        let recorded = crate::harness::recorded(&attributes(config.clone()), object);
        let mut renamed = config.clone();
        renamed["name"] = format!("{} renamed", config["name"].as_str().unwrap()).into();
        let mut done = instance.update(ty, &recorded, renamed.clone()).await;
        if done.is_err() {
            done = instance.update(ty, &recorded, renamed).await;
        }
        done.unwrap();
    }
    (stand_in.inventory(), stand_in.count())
}
