use crate::harness::{ACCESS, COMPONENT, Instance, access, component};
use crate::stand_in::{Behavior, StandIn};
use serde_json::json;
use terrace_provider::{Path, Severity, Value};

const ID: &str = "urn:dmb:cmp:d:p:0:a";

#[tokio::test]
async fn errors_of_either_validation_version_are_reported() {
    for (has_v2, running_answers, reads) in
        [(true, 2, vec!["v2/validate", "status", "status", "status"]), (false, 0, vec!["v2/validate", "v1/validate"])]
    {
        let errors = vec!["`size` is 0", "no name"];
        let stand_in = StandIn::start(Behavior { has_v2, running_answers, errors, ..Behavior::default() }).await;
        let instance = Instance::of(COMPONENT, json!({})).await;
        let findings = instance.findings(&component(stand_in.url(), ID, 1)).await.unwrap();
        let reported: Vec<_> = findings.iter().map(|it| (it.severity, it.message.as_str(), it.path.clone())).collect();
        let at = Some(Path::attribute("descriptor"));
        assert_eq!(reported, [(Severity::Error, "`size` is 0", at.clone()), (Severity::Error, "no name", at)]);
        assert_eq!(stand_in.state().reads, reads);
        stand_in.state().behavior.errors.clear();
        assert_eq!(instance.findings(&component(stand_in.url(), ID, 1)).await, Some(Vec::new()));
        assert!(stand_in.state().log.is_empty(), "a validation must not change anything");
    }
}

#[tokio::test]
async fn unavailable_adapter_is_a_warning() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let instance = Instance::of(COMPONENT, json!({})).await;
    let findings = instance.findings(&component(&format!("http://{unused}"), ID, 1)).await.unwrap();
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0].severity == Severity::Warning && findings[0].message.contains("did not validate"),
        "{findings:?}"
    );
    let stand_in = StandIn::start(Behavior { has_v2: false, bearer: Some("x"), ..Behavior::default() }).await;
    let findings = instance.findings(&component(stand_in.url(), ID, 1)).await.unwrap();
    assert!(findings[0].message.contains("its validation answers HTTP 401"), "{findings:?}");
}

#[tokio::test]
async fn unknown_descriptor_is_not_validated() {
    let stand_in = StandIn::start(Behavior::default()).await;
    let instance = Instance::of(COMPONENT, json!({})).await;
    let mut config = component(stand_in.url(), ID, 1);
    let Some(Value::Map(descriptor)) = config.get_mut("descriptor") else { panic!("a map") };
    descriptor.insert("later".to_owned(), Value::Unknown);
    assert_eq!(instance.findings(&config).await, None);
    let instance = Instance::of(ACCESS, json!({})).await;
    assert_eq!(instance.findings(&access(stand_in.url(), ID, &["user:ada"])).await, None);
    assert!(stand_in.state().reads.is_empty());
}
