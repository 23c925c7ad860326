use crate::harness::{ACCESS, COMPONENT, Instance, Reports, access, call, component, create_component, recorded};
use crate::stand_in::{Behavior, StandIn};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::{Call, ErrorKind, Path, ProviderError, Value};

const ID: &str = "urn:dmb:cmp:d:p:0:a";

fn call_with_reports() -> (Arc<Reports>, Call) {
    let reports = Arc::new(Reports::default());
    let call = call(&reports);
    (reports, call)
}

/// The error of a create with this prepared answer.
async fn refused(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> ProviderError {
    let stand_in = StandIn::start(Behavior::default()).await;
    stand_in.state().behavior.prepared_answers.push_back((status, headers.to_vec(), body.to_owned()));
    let instance = Instance::of(COMPONENT, json!({"token": "hunter2"})).await;
    let (_, call) = call_with_reports();
    instance.create(&call, &component(stand_in.url(), ID, 1)).await.unwrap_err()
}

#[tokio::test]
async fn component_is_created_once_by_adapters_of_all_kinds() {
    let default = Behavior::default;
    for (behavior, has_token) in [
        (default(), true),
        (Behavior { quoted: true, ..default() }, true),
        (Behavior { sync: true, ..default() }, false),
        (Behavior { running_answers: 5, token_statuses: [500, 503].into(), ..default() }, true),
    ] {
        let stand_in = StandIn::start(behavior).await;
        let instance = Instance::of(COMPONENT, json!({})).await;
        let (reports, call) = call_with_reports();
        let observed = instance.create(&call, &component(stand_in.url(), ID, 1)).await.unwrap();
        assert_eq!(stand_in.state().take_log(), [format!("provision {ID}")]);
        assert_eq!(stand_in.state().components[ID]["dataProduct"]["components"][0]["version"], "1.10");
        assert_eq!(observed.attributes["status"], "COMPLETED".into());
        assert_eq!(!observed.attributes["token"].is_null(), has_token);
        assert_eq!(observed.attributes["publicInfo"].get("bucket").unwrap().get("value"), Some(&"b".into()));
        assert!(matches!(observed.attributes["privateInfo"], Value::Sensitive(_)));
        assert!(reports.messages().contains(&"warning: the bucket is old".to_owned()));
    }
}

#[tokio::test]
async fn data_is_removed_only_on_request() {
    let stand_in = StandIn::start(Behavior::default()).await;
    let instance = Instance::of(COMPONENT, json!({})).await;
    for removes_data in [false, true] {
        let recorded = create_component(&instance, &stand_in, ID).await;
        let (_, call) = call_with_reports();
        instance.delete(&Call { removes_data, ..call }, &recorded).await.unwrap();
        assert_eq!(stand_in.state().take_log(), [format!("unprovision {ID} {removes_data}")]);
    }
}

#[tokio::test]
async fn access_update_sends_all_principals() {
    let stand_in = StandIn::start(Behavior::default()).await;
    let instance = Instance::of(ACCESS, json!({})).await;
    let config = access(stand_in.url(), ID, &["user:ada", "group:dev"]);
    let (_, call) = call_with_reports();
    let prior = recorded(&config, instance.create(&call, &config).await.unwrap());
    let mut fewer = access(stand_in.url(), ID, &["group:dev"]);
    fewer.insert("fields".to_owned(), [("until".to_owned(), Value::from("2027"))].into_iter().collect());
    instance.update(&call, &prior, &fewer).await.unwrap();
    assert_eq!(stand_in.state().acl[ID], ["group:dev"]);
    instance.delete(&call, &prior).await.unwrap();
    let log = stand_in.state().take_log();
    assert_eq!(
        log,
        [
            format!("updateacl {ID} user:ada group:dev"),
            format!("updateacl {ID} group:dev {{\"until\":\"2027\"}}"),
            format!("updateacl {ID} ")
        ]
    );
}

#[tokio::test]
async fn failed_work_is_recorded_with_status_and_reason() {
    for (place, sync) in [("result", false), ("logs", false), ("result", true)] {
        let stand_in = StandIn::start(Behavior { fails_in: Some(place), sync, ..Behavior::default() }).await;
        let instance = Instance::of(COMPONENT, json!({})).await;
        let (_, call) = call_with_reports();
        let error = instance.create(&call, &component(stand_in.url(), ID, 1)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed);
        assert!(error.message.contains("failed to provision the component: no quota is left"), "{error}");
        assert_eq!(error.object.unwrap().attributes["status"], "FAILED".into());
        let instance = Instance::of(ACCESS, json!({})).await;
        let error = instance.create(&call, &access(stand_in.url(), ID, &["user:ada"])).await.unwrap_err();
        assert_eq!(
            (error.kind, error.object.is_some()),
            (ErrorKind::Failed, false),
            "failed access of a new object is not recorded"
        );
    }
}

#[tokio::test]
async fn refusal_reports_problems_without_the_input() {
    let body = json!({
        "errors": ["`size` is 0"], "userMessage": "the descriptor is not valid", "input": "secret: xyzzy",
        "inputErrorField": "specific.size", "moreInfo": {"problems": ["`size` is 0", "no name"], "solutions": ["give a size"]},
    });
    let error = refused(400, &[], &body.to_string()).await;
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(Path::attribute("descriptor")) });
    assert!(error.message.contains("the descriptor is not valid (at `specific.size`)"), "{error}");
    assert_eq!((error.problems.len(), error.solutions.as_slice()), (2, ["give a size".to_owned()].as_slice()));
    assert!(!format!("{error:?}").contains("xyzzy"), "{error:?}");
}

#[tokio::test]
async fn error_kind_follows_from_http_status() {
    let kind = async |status| refused(status, &[], "").await.kind;
    assert_eq!(kind(401).await, ErrorKind::PermissionDenied);
    assert_eq!(kind(404).await, ErrorKind::InvalidInput { path: Some(Path::attribute("endpoint")) });
    assert_eq!(kind(409).await, ErrorKind::Transient);
    assert_eq!(kind(500).await, ErrorKind::Failed);
    assert_eq!(kind(502).await, ErrorKind::Ambiguous);
    assert_eq!(kind(504).await, ErrorKind::Ambiguous);
    // An answer without token and status is ambiguous.
    assert_eq!(kind(202).await, ErrorKind::Ambiguous);
    assert_eq!(refused(200, &[], r#"{"status": "RUNNING"}"#).await.kind, ErrorKind::Ambiguous);
    for status in [429, 503] {
        let error = refused(status, &[("retry-after", "7")], "").await;
        assert_eq!(error.kind, ErrorKind::Throttled { retry_after: Some(Duration::from_secs(7)) });
    }
}

#[tokio::test]
async fn failed_connection_is_transient() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let instance = Instance::of(COMPONENT, json!({})).await;
    let (_, call) = call_with_reports();
    let error = instance.create(&call, &component(&format!("http://{unused}"), ID, 1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let other = StandIn::start(Behavior::default()).await;
    let url: &'static str = format!("{}/v1/provision", other.url()).leak();
    let error = refused(307, &[("location", url)], "").await;
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(Path::attribute("endpoint")) });
    assert!(other.state().log.is_empty());
}

#[tokio::test]
async fn secrets_are_sent_and_never_reported() {
    let stand_in = StandIn::start(Behavior { bearer: Some("hunter2"), ..Behavior::default() }).await;
    let config = component(stand_in.url(), ID, 1);
    let (_, call) = call_with_reports();
    let instance = Instance::of(COMPONENT, json!({"token": "hunter2", "headers": {"x-key": "xyzzy"}})).await;
    instance.create(&call, &config).await.unwrap();
    let instance = Instance::of(COMPONENT, json!({"token": "hunter3"})).await;
    let error = instance.create(&call, &config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
    // The adapter repeats the request.
    let error = refused(400, &[], r#"{"errors": ["`Bearer hunter2` is not known"]}"#).await;
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}
