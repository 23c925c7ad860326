use crate::harness::{ACCESS, COMPONENT, Instance, Reports, access, call, component, create_component};
use crate::stand_in::{Behavior, StandIn};
use serde_json::json;
use std::sync::Arc;
use terrace_provider::{ErrorKind, Found};

const ID: &str = "urn:dmb:cmp:d:p:0:a";

/// Drops a call once its token is journalled, as a kill would.
async fn kill_after_token(reports: &Arc<Reports>, work: impl Future<Output = ()>) {
    let token = async {
        loop {
            if String::from_utf8_lossy(&reports.private().0).contains("token-") {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = work => panic!("the call ended before it was killed"),
        () = token => {}
    }
}

#[tokio::test]
async fn interrupted_create_is_found_by_its_token() {
    let stand_in = StandIn::start(Behavior { running_answers: 1, ..Behavior::default() }).await;
    let config = component(stand_in.url(), ID, 1);
    let reports = Arc::new(Reports::default());
    // The first status request comes much later than the end of this test.
    let first = Instance::of(COMPONENT, json!({"pollInterval": 1000, "pollMost": 1000})).await;
    let call = call(&reports);
    kill_after_token(&reports, async { drop(first.create(&call, &config).await) }).await;
    drop(first);
    let second = Instance::of(COMPONENT, json!({})).await;
    let found = second.find(&reports, &config, None).await.unwrap();
    assert!(matches!(found, Found::Pending(_)), "{found:?}");
    let Found::Own(found) = second.find(&reports, &config, None).await.unwrap() else { panic!("the component exists") };
    assert_eq!(found.attributes["status"], "COMPLETED".into());
    assert_eq!(stand_in.state().take_log(), [format!("provision {ID}")]);
}

#[tokio::test]
async fn interrupted_delete_is_found_by_its_token() {
    let stand_in = StandIn::start(Behavior { running_answers: 0, ..Behavior::default() }).await;
    let first = Instance::of(COMPONENT, json!({})).await;
    let prior = create_component(&first, &stand_in, ID).await;
    let reports = Arc::new(Reports::default());
    let call = call(&reports);
    let first = Instance::of(COMPONENT, json!({"pollInterval": 1000, "pollMost": 1000})).await;
    let config = component(stand_in.url(), ID, 1);
    let never = Reports::default();
    let found = first.find(&never, &config, Some(prior.clone())).await.unwrap();
    assert!(matches!(found, Found::Own(_)), "the delete was never sent: {found:?}");
    kill_after_token(&reports, async { drop(first.delete(&call, &prior).await) }).await;
    let second = Instance::of(COMPONENT, json!({})).await;
    assert_eq!(second.find(&reports, &config, Some(prior)).await.unwrap(), Found::Absent);
}

#[tokio::test]
async fn lost_answer_is_in_doubt_and_unsent_call_is_not() {
    let stand_in = StandIn::start(Behavior { loses_answer: true, ..Behavior::default() }).await;
    let config = component(stand_in.url(), ID, 1);
    let reports = Arc::new(Reports::default());
    let instance = Instance::of(COMPONENT, json!({})).await;
    assert_eq!(instance.find(&reports, &config, None).await.unwrap(), Found::Absent, "the call is not journalled");
    let error = instance.create(&call(&reports), &config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Ambiguous, "{error}");
    for of in [instance, Instance::of(COMPONENT, json!({})).await] {
        assert_eq!(of.find(&reports, &config, None).await.unwrap(), Found::Unknown);
    }
    assert_eq!(stand_in.state().take_log(), [format!("provision {ID}")]);
}

#[tokio::test]
async fn refused_create_is_absent_after_a_kill() {
    let stand_in = StandIn::start(Behavior::default()).await;
    stand_in.state().behavior.prepared_answers.push_back((503, Vec::new(), String::new()));
    let config = component(stand_in.url(), ID, 1);
    let reports = Arc::new(Reports::default());
    let first = Instance::of(COMPONENT, json!({})).await;
    let error = first.create(&call(&reports), &config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Throttled { retry_after: None });
    let second = Instance::of(COMPONENT, json!({})).await;
    assert_eq!(second.find(&reports, &config, None).await.unwrap(), Found::Absent);
}

#[tokio::test]
async fn forgotten_token_leaves_the_outcome_unknown() {
    let stand_in = StandIn::start(Behavior { running_answers: 1000, ..Behavior::default() }).await;
    let config = component(stand_in.url(), ID, 1);
    let reports = Arc::new(Reports::default());
    let instance = Instance::of(COMPONENT, json!({})).await;
    let call = call(&reports);
    let restart = async {
        while stand_in.state().reads.is_empty() {
            tokio::task::yield_now().await;
        }
        stand_in.state().restart();
    };
    let (created, ()) = tokio::join!(instance.create(&call, &config), restart);
    let error = created.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Ambiguous, "{error}");
    assert!(error.message.contains("it does not know the token of the call"), "{error}");
    assert_eq!(instance.find(&reports, &config, None).await.unwrap(), Found::Unknown);
}

#[tokio::test]
async fn cancelled_call_is_found_later() {
    let stand_in = StandIn::start(Behavior { running_answers: 1, ..Behavior::default() }).await;
    let config = access(stand_in.url(), ID, &["user:ada"]);
    let reports = Arc::new(Reports::default());
    let instance = Instance::of(ACCESS, json!({"pollInterval": 1000, "pollMost": 1000})).await;
    let call = call(&reports);
    let stop = async {
        while !String::from_utf8_lossy(&reports.private().0).contains("token-") {
            tokio::task::yield_now().await;
        }
        call.cancel.cancel();
    };
    let (created, ()) = tokio::join!(instance.create(&call, &config), stop);
    assert_eq!(created.unwrap_err().kind, ErrorKind::Ambiguous);
    assert!(matches!(instance.find(&reports, &config, None).await.unwrap(), Found::Pending(_)));
    assert!(matches!(instance.find(&reports, &config, None).await.unwrap(), Found::Own(_)));
    assert_eq!(stand_in.state().acl[ID], ["user:ada"]);
}

#[tokio::test]
async fn work_that_failed_after_a_kill_is_recorded() {
    let stand_in =
        StandIn::start(Behavior { running_answers: 0, fails_in: Some("result"), ..Behavior::default() }).await;
    let config = component(stand_in.url(), ID, 1);
    let reports = Arc::new(Reports::default());
    let first = Instance::of(COMPONENT, json!({"pollInterval": 1000, "pollMost": 1000})).await;
    let call = call(&reports);
    kill_after_token(&reports, async { drop(first.create(&call, &config).await) }).await;
    let second = Instance::of(COMPONENT, json!({})).await;
    let Found::Own(found) = second.find(&reports, &config, None).await.unwrap() else { panic!("the outcome is known") };
    assert_eq!(found.attributes["status"], "FAILED".into());
}

#[tokio::test]
async fn unavailable_status_is_requested_again() {
    let stand_in = StandIn::start(Behavior { running_answers: 0, ..Behavior::default() }).await;
    let config = component(stand_in.url(), ID, 1);
    let reports = Arc::new(Reports::default());
    let first = Instance::of(COMPONENT, json!({"pollInterval": 1000, "pollMost": 1000})).await;
    let call = call(&reports);
    kill_after_token(&reports, async { drop(first.create(&call, &config).await) }).await;
    stand_in.state().behavior.token_statuses.push_back(503);
    let error = first.find(&reports, &config, None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert!(matches!(first.find(&reports, &config, None).await.unwrap(), Found::Own(_)));
}
