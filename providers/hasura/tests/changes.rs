use crate::harness::role;
use crate::harness::{
    Instance, PERMISSION, ROLE, SOURCE, TABLE, permission, provider, settings, source, stand_in, table,
};
use serde_json::json;
use std::time::{Duration, Instant};
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Found};
use terrace_test_hasura::{Fault, Mapper, StandIn};

async fn prepared() -> (StandIn, Instance) {
    let stand_in = stand_in(Mapper::Extended);
    let instance = Instance::of(&stand_in).await;
    instance.create(SOURCE, &source("s")).await.unwrap();
    let _ = stand_in.take_calls();
    (stand_in, instance)
}

#[tokio::test]
async fn change_is_one_bulk_with_the_version_of_its_export() {
    let (stand_in, instance) = prepared().await;
    instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    let requests = stand_in.take_calls();
    let lines: Vec<&str> = requests.iter().map(|it| it.line.as_str()).collect();
    assert_eq!(
        lines,
        ["export_metadata", "bulk[snowflake_track_table]", "get_inconsistent_metadata", "export_metadata"]
    );
    assert!(requests[1].body.contains("\"resource_version\":1"), "{}", requests[1].body);
}

#[tokio::test]
async fn conflicting_change_is_replanned_five_times() {
    let (stand_in, instance) = prepared().await;
    stand_in.faults().by_text = (0..5).map(|_| ("bulk".to_owned(), Fault::Overtaken)).collect();
    let made = instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    assert_eq!(stand_in.take_writes().len(), 6);
    instance.assert_settled(TABLE, &made, &table("s", "ORDERS", "a_")).await;
    stand_in.faults().by_text = (0..6).map(|_| ("bulk".to_owned(), Fault::Overtaken)).collect();
    let error = instance.create(TABLE, &table("s", "ITEMS", "b_")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
    assert_eq!(error.vendor_code.as_deref(), Some("conflict, HTTP 409"));
    assert_eq!(stand_in.take_writes().len(), 6);
    assert!(!stand_in.inventory().join("\n").contains("ITEMS"));
}

#[tokio::test]
async fn decision_from_an_old_export_is_repeated() {
    let stand_in = stand_in(Mapper::Extended);
    // One export is valid for a minute, so changes by another client are not seen.
    let slow = provider().with_export_max_age(Duration::from_secs(60));
    let (slow, quick) = (Instance::with(slow, &settings(&stand_in)).await, Instance::of(&stand_in).await);
    let made = slow.create(SOURCE, &source("s")).await.unwrap();
    let tracked = quick.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    // Another client has created an object of that name; a dependent one can be created.
    let error = slow.create(TABLE, &table("s", "ORDERS", "b_")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }), "{error}");
    quick.delete(TABLE, &tracked).await.unwrap();
    slow.create(TABLE, &table("s", "ORDERS", "b_")).await.unwrap();
    let permitted = quick.create(PERMISSION, &permission("s", "ORDERS", "r")).await.unwrap();
    slow.delete(PERMISSION, &permitted).await.unwrap();
    assert!(!stand_in.inventory().join("\n").contains("select s.ORDERS"));
    let error = slow.delete(SOURCE, &made).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
}

#[tokio::test]
async fn lost_answer_is_retried_with_the_same_version() {
    for fault in [Fault::LostAfter, Fault::GatewayTimeout, Fault::LostBefore, Fault::Unavailable] {
        let (stand_in, instance) = prepared().await;
        stand_in.faults().by_text.push(("bulk".to_owned(), fault));
        let made = instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
        instance.assert_settled(TABLE, &made, &table("s", "ORDERS", "a_")).await;
        // The result was checked after either answer.
        assert!(stand_in.take_calls().iter().any(|it| it.line == "get_inconsistent_metadata"), "{fault:?}");
        let version =
            stand_in.metadata(&json!({"type": "export_metadata", "version": 2, "args": {}}))["resource_version"]
                .clone();
        assert_eq!(version, 2, "{fault:?}");
    }
}

#[tokio::test]
async fn change_with_lost_answers_is_found() {
    let (stand_in, instance) = prepared().await;
    stand_in.faults().by_text = (0..20).map(|_| ("bulk".to_owned(), Fault::LostAfter)).collect();
    let config = table("s", "ORDERS", "a_");
    let error = instance.create(TABLE, &config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Ambiguous, "{error}");
    stand_in.faults().by_text.clear();
    let found = instance.find(TABLE, &config, None, true).await.unwrap();
    assert!(matches!(found, Found::Own(_)), "{found:?}");
    // Another object of that name has another owner.
    let found = instance.find(TABLE, &table("s", "ORDERS", "other_"), None, true).await.unwrap();
    assert!(matches!(found, Found::Foreign(_)), "{found:?}");
    let found = instance.find(TABLE, &table("s", "ITEMS", "a_"), None, true).await.unwrap();
    assert_eq!(found, Found::Absent);
}

#[tokio::test]
async fn inconsistent_change_is_undone() {
    let (stand_in, instance) = prepared().await;
    let before = stand_in.inventory();
    stand_in.faults().by_text.push(("bulk".to_owned(), Fault::LeavesInconsistent));
    let error = instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap_err();
    assert!(error.message.contains("the agent does not answer"), "{error}");
    assert_eq!(error.problems, ["it was undone"]);
    assert_eq!(stand_in.inventory(), before);
    assert_eq!(stand_in.take_writes(), ["bulk[snowflake_track_table]", "bulk[snowflake_untrack_table]"]);
    stand_in.faults().by_text.push(("bulk".to_owned(), Fault::LeavesInconsistent));
    let error = instance.create(SOURCE, &source("t")).await.unwrap_err();
    assert_eq!((error.problems.as_slice(), stand_in.inventory()), (["it was undone".to_owned()].as_slice(), before));
    // An update is undone, too.
    let made = instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    let before = stand_in.inventory();
    stand_in.faults().by_text.push(("bulk".to_owned(), Fault::LeavesInconsistent));
    instance.update(TABLE, &made, &table("s", "ORDERS", "b_")).await.unwrap_err();
    assert_eq!(stand_in.inventory(), before);
}

#[tokio::test]
async fn other_inconsistent_objects_do_not_undo_a_change() {
    let (stand_in, instance) = prepared().await;
    instance.create(TABLE, &table("s", "ITEMS", "i_")).await.unwrap();
    stand_in.drop_table("SALES", "ORDERS_1", "ITEMS");
    instance.create(TABLE, &table("s", "ORDERS", "a_")).await.unwrap();
    assert_eq!(stand_in.inventory().iter().filter(|line| line.starts_with("table")).count(), 2);
}

#[tokio::test]
async fn export_of_a_lagging_instance_is_retried() {
    let (stand_in, instance) = prepared().await;
    instance.create(TABLE, &table("s", "ITEMS", "i_")).await.unwrap();
    let config = table("s", "ORDERS", "a_");
    let update = instance.create(TABLE, &config).await.unwrap();
    stand_in.faults().stale_exports = 2;
    // Two of its answers are older than the last change.
    let changed = instance.update(TABLE, &update, &table("s", "ORDERS", "b_")).await.unwrap();
    instance.assert_settled(TABLE, &changed, &table("s", "ORDERS", "b_")).await;
}

#[tokio::test]
async fn refused_requests_are_retried_after_the_requested_pause() {
    let (stand_in, instance) = prepared().await;
    let pause = Duration::from_secs(1);
    stand_in.faults().next = (0..20).map(|_| Fault::TooMany(Some(pause))).collect();
    let configs: Vec<_> = (0..6).map(|number| (ROLE, role(&format!("r{number}")))).collect();
    let made = configs.iter().map(|(ty, config)| instance.create(ty, config));
    for made in futures_util::future::join_all(made).await {
        made.unwrap();
    }
    let requests = stand_in.take_calls();
    assert_eq!(requests.iter().filter(|it| it.status == 429).count(), 20);
    // Each retry came after the requested pause.
    let mut by_request: std::collections::BTreeMap<(String, String), Vec<(Instant, u16)>> =
        std::collections::BTreeMap::new();
    for it in &requests {
        by_request.entry((it.line.clone(), it.body.clone())).or_default().push((it.at, it.status));
    }
    for times in by_request.values().filter(|times| times.len() > 1) {
        for pair in times.windows(2).filter(|pair| pair[0].1 == 429) {
            let waited = pair[1].0.duration_since(pair[0].0);
            assert!(waited >= pause - Duration::from_millis(20), "{waited:?}");
        }
    }
    assert_eq!(stand_in.inventory().iter().filter(|line| line.starts_with("role ")).count(), 6);
}

#[tokio::test]
async fn refused_credentials_have_a_solution() {
    let stand_in = stand_in(Mapper::Old);
    let mut wrong = settings(&stand_in);
    wrong.values.insert("adminSecret".to_owned(), "no such secret".into());
    let instance = Instance::with(provider(), &wrong).await;
    let error = instance.create(SOURCE, &source("s")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert_eq!(error.vendor_code.as_deref(), Some("access-denied, HTTP 401"));
    assert!(error.solutions[0].contains("HASURA_ADMIN_SECRET"), "{error:?}");
    assert!(!format!("{error:?}").contains("no such secret"));
    // A server without such an API is not Hasura v2.
    let mut other = settings(&stand_in);
    other.values.insert("url".to_owned(), format!("{}/elsewhere", stand_in.url()).into());
    let instance = Instance::with(provider(), &other).await;
    let error = instance.create(SOURCE, &source("s")).await.unwrap_err();
    assert_eq!(error.message, "there is no metadata API at `url`");
    assert!(error.solutions.join(" ").contains("supported: v2.x"), "{error:?}");
    let mut nowhere = settings(&stand_in);
    nowhere.values.clear();
    let instance = Instance::with(provider(), &nowhere).await;
    assert!(
        instance.create(SOURCE, &source("s")).await.unwrap_err().message.contains("no `url` is set for the Hasura")
    );
}

#[tokio::test]
async fn changes_of_an_instance_run_one_by_one() {
    let (stand_in, instance) = prepared().await;
    stand_in.faults().takes = Some(Duration::from_millis(20));
    stand_in.reset_count();
    let tables = [("ORDERS", "a_"), ("ITEMS", "b_"), ("RETURNS", "c_")].map(|(name, prefix)| table("s", name, prefix));
    let made = tables.iter().map(|config| instance.create(TABLE, config));
    for made in futures_util::future::join_all(made).await {
        made.unwrap();
    }
    let conflicts = stand_in.take_calls().iter().filter(|it| it.status == 409).count();
    assert_eq!(conflicts, 0);
}

#[tokio::test]
async fn anonymous_access_is_reported() {
    let (stand_in, instance) = prepared().await;
    assert_eq!(instance.session.missing_rights().await.unwrap(), Some(Vec::new()));
    stand_in.allow_all_queries();
    let missing = instance.session.missing_rights().await.unwrap().unwrap();
    assert_eq!(missing[0].operation, "refuse anonymous requests");
    assert!(stand_in.take_writes().is_empty());
}

#[tokio::test]
async fn concurrent_calls_are_limited() {
    let stand_in = stand_in(Mapper::Extended);
    stand_in.faults().takes = Some(Duration::from_millis(10));
    let limits = Limits { concurrency: 3, retries: 0, ..Limits::default() };
    let instance = Instance::limited(provider(), &settings(&stand_in), limits).await;
    let configs: Vec<_> = (0..12).map(|number| role(&format!("r{number}"))).collect();
    let made = configs.iter().map(|config| instance.create(ROLE, config));
    assert!(futures_util::future::join_all(made).await.iter().all(Result::is_ok));
    assert!((2..=3).contains(&stand_in.max_concurrent()), "{}", stand_in.max_concurrent());
}
