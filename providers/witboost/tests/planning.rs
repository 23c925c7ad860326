use crate::harness::{COMPONENT, Instance, attributes, component, create_component, descriptor, settings};
use crate::stand_in::{Behavior, StandIn};
use serde_json::{Value as Json, json};
use terrace_provider::{Attributes, ErrorKind, Path, Provider, ProviderError, Value};
use terrace_provider_witboost::WitboostProvider;

const ID: &str = "urn:dmb:cmp:d:p:0:a";

fn invalid(error: &ProviderError, attribute: &str, words: &str) {
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(Path::attribute(attribute)) }, "{error}");
    assert!(error.message.contains(words), "{error}");
}

fn without_endpoint(templates: Json) -> Attributes {
    attributes(json!({"componentId": ID, "templates": templates, "descriptor": descriptor(ID, 1)}))
}

#[tokio::test]
async fn settings_select_the_adapter() {
    let instance =
        Instance::of(COMPONENT, json!({"endpoint": "http://all", "templates": {"urn:dmb:utm:x": "http://x/base/"}}))
            .await;
    for (templates, endpoint) in [
        (json!(["urn:dmb:utm:x:1.0.0"]), "http://x/base/"),
        (json!(["urn:dmb:utm:y"]), "http://all"),
        (json!([]), "http://all"),
    ] {
        let planned = instance.plan(None, &without_endpoint(templates)).await.unwrap().planned;
        assert_eq!(planned["endpoint"], endpoint.into());
        assert!(planned["id"].as_str().unwrap().ends_with("/urn%3Admb%3Acmp%3Ad%3Ap%3A0%3Aa"));
    }
    let mut unknown = without_endpoint(json!([]));
    unknown.insert("templates".to_owned(), Value::Unknown);
    assert!(instance.plan(None, &unknown).await.unwrap().planned["endpoint"].is_unknown());
    let instance = Instance::of(COMPONENT, json!({})).await;
    let error = instance.plan(None, &without_endpoint(json!(["urn:dmb:utm:y"]))).await.unwrap_err();
    invalid(&error, "endpoint", "no adapter is configured for components of the template `urn:dmb:utm:y`");
    assert!(error.solutions[0].contains("providers.conformance"), "{error:?}");
}

#[tokio::test]
async fn plan_refuses_invalid_attributes() {
    let instance = Instance::of(COMPONENT, json!({})).await;
    let mut config = component("http://me:hunter2@host", ID, 1);
    let error = instance.plan(None, &config).await.unwrap_err();
    invalid(&error, "endpoint", "contains a user");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    config = component("http://host", ID, 1);
    config.insert("componentId".to_owned(), "urn:dmb:cmp:d:p:0:other".into());
    invalid(
        &instance.plan(None, &config).await.unwrap_err(),
        "descriptor",
        "the resource for `urn:dmb:cmp:d:p:0:other`",
    );
    config.insert("descriptor".to_owned(), Value::List(Vec::new()));
    invalid(&instance.plan(None, &config).await.unwrap_err(), "descriptor", "the descriptor is a list");
}

#[tokio::test]
async fn invalid_settings_are_refused_with_their_path() {
    for (values, place) in [
        (json!({"endpoint": "host"}), "endpoint"),
        (json!({"templates": {"a": "ftp://x"}}), "templates.a"),
        (json!({"timeout": 0}), "timeout"),
        (json!({"headers": {"a b": "x"}}), "headers[\"a b\"]"),
        (json!({"token": "a\nb"}), "token"),
        (json!({"caFile": "not-there.pem"}), "caFile"),
    ] {
        let Err(error) = WitboostProvider::new().connect(&settings(values)).await else {
            panic!("{place}: the settings are accepted")
        };
        let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
        assert_eq!(path.to_string(), place, "{error:?}");
    }
}

#[tokio::test]
async fn failed_call_is_planned_again() {
    let stand_in = StandIn::start(Behavior::default()).await;
    let instance = Instance::of(COMPONENT, json!({})).await;
    let mut prior = create_component(&instance, &stand_in, ID).await;
    let config = component(stand_in.url(), ID, 1);
    assert_eq!(instance.plan(Some(&prior), &config).await.unwrap().planned["status"], "COMPLETED".into());
    prior.attributes.insert("status".to_owned(), "FAILED".into());
    let planned = instance.plan(Some(&prior), &config).await.unwrap();
    assert!(planned.planned["status"].is_unknown() && planned.replace_paths.is_empty(), "{planned:?}");
}

#[tokio::test]
async fn import_is_refused_with_a_hint() {
    let instance = Instance::of(COMPONENT, json!({})).await;
    let provider = WitboostProvider::new();
    let ty = provider.schema().resource(COMPONENT).unwrap();
    let error = instance.session.import(ty, "x").await.unwrap_err();
    assert!(error.solutions[0].contains("apply it instead"), "{error:?}");
}
