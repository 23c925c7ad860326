use crate::harness::{Local, attributes};
use serde_json::json;
use terrace_provider::{Planned, Value};

fn sh(script: &str) -> serde_json::Value {
    json!(["sh", "-c", script])
}

#[tokio::test]
async fn secret_in_any_argv_list_marks_the_output_and_the_id() {
    let local = Local::of("local_command").await;
    for program in ["create", "read", "update", "delete", "find"] {
        let echo = || json!(["echo", r#"{"id": "hunter2"}"#]);
        let mut config = attributes(json!({"create": echo()}));
        let secret = vec!["echo".into(), Value::sensitive(r#"{"id": "hunter2"}"#.into())];
        config.insert(program.to_owned(), Value::List(secret));
        let plan = local.plan_values(None, &config, &[]).await.unwrap();
        let created = local.create_values(&config, &local.call()).await.unwrap();
        let read = local.read(&created).await.unwrap().unwrap();
        for attributes in [&plan.planned, &created.attributes, &read.attributes] {
            for name in ["output", "id"] {
                let value = attributes.get(name);
                assert!(matches!(value, Some(Value::Sensitive(_))), "{program}: {name} is {value:?}");
            }
        }
    }
}

#[tokio::test]
async fn secrets_in_standard_error_are_redacted() {
    let local = Local::of("local_command").await;
    let script = r#"echo "no access with $SECRET" >&2; cat >&2; echo "$SECRET" | tail -n 1 >&2; exit 1"#;
    let mut config =
        attributes(json!({"create": sh(script), "secretEnvironment": {"SECRET": "line one\nline \"two\""}}));
    config.insert("input".to_owned(), Value::sensitive("hunter2".into()));
    let error = local.create_values(&config, &local.call()).await.unwrap_err();
    let text = format!("{error} {:?}", error.problems);
    for secret in ["line one", "two", "hunter2"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("(sensitive value)"), "{text}");
}

#[tokio::test]
async fn failed_update_reveals_no_secret() {
    let local = Local::of("local_command").await;
    let config = |input: &str| {
        let mut config = attributes(json!({
            "create": ["echo", r#"{"key": "made-hunter1"}"#], "update": sh("cat >&2; exit 1"),
        }));
        config.insert("input".to_owned(), Value::sensitive(input.into()));
        config
    };
    let created = local.create_values(&config("old-hunter2"), &local.call()).await.unwrap();
    let plan = local.plan_values(Some(&created), &config("new-hunter3"), &[]).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let error = local.session.update(&local.ty, &local.call(), &created, &planned).await.unwrap_err();
    let text = format!("{error} {:?}", error.problems);
    assert!(text.contains("(sensitive value)") && !text.contains("hunter"), "{text}");
}
