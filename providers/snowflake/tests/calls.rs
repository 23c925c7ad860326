//! Requests: retries under the same id, polls, cancellation, throttling; and credentials.

use crate::harness::{Instance, attributes, provider, settings};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Found, Provider, Value};
use terrace_provider_snowflake::SnowflakeProvider;
use terrace_test_snowflake::{Fault, StandIn};

const ROLE: &str = "snowflake_role";

#[tokio::test]
async fn lost_answer_is_retried_under_the_same_id() {
    for fault in [Fault::LostAfter, Fault::LostBefore, Fault::Unavailable, Fault::TooMany(None), Fault::Later(3)] {
        let stand_in = StandIn::start();
        let instance = Instance::of(&stand_in).await;
        stand_in.faults().next.push_back(fault);
        instance.create(ROLE, json!({"name": "R"})).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        let requests = stand_in.take_calls();
        let first: Vec<_> = requests.iter().filter(|it| it.sql.starts_with("CREATE ROLE")).collect();
        assert!(first.iter().all(|it| it.request == first[0].request), "{first:?}");
        assert_eq!(first.len(), if matches!(fault, Fault::Later(_)) { 1 } else { 2 }, "{fault:?}");
    }
}

#[tokio::test]
async fn missing_answer_is_ambiguous_and_found() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    stand_in.faults().by_text.push(("CREATE ROLE".to_owned(), Fault::LostForGood));
    let config = json!({"name": "R"});
    let began = Instant::now();
    let error = instance.create(ROLE, config.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Ambiguous, "{error}");
    let found = instance.find(ROLE, &config, Some(began.elapsed())).await.unwrap();
    assert!(matches!(found, Found::Own(_)), "{found:?}");
    // A search for an object to adopt reports it as foreign.
    assert!(matches!(instance.find(ROLE, &config, None).await.unwrap(), Found::Foreign(_)));
}

/// Once a statement may have run, only its own answer proves its outcome.
#[tokio::test]
async fn status_after_a_loss_proves_nothing() {
    for status in [400, 401, 403, 404, 429, 500, 503, 504] {
        for fault in [Fault::LostThen(status), Fault::LaterThen(status), Fault::After(status)] {
            // A first status that refuses the request itself.
            if matches!(fault, Fault::After(400..=499)) {
                continue;
            }
            let stand_in = StandIn::start();
            let instance = Instance::of(&stand_in).await;
            stand_in.faults().by_text.push(("CREATE ROLE".to_owned(), fault));
            let config = json!({"name": "R"});
            let began = Instant::now();
            let error = within_seconds(&instance, 3, config.clone()).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Ambiguous, "{fault:?}: {error}");
            let found = instance.find(ROLE, &config, Some(began.elapsed())).await.unwrap();
            assert!(matches!(found, Found::Own(_)), "{fault:?}: {found:?}");
        }
    }
}

/// Creates a role in a call with this time limit in seconds.
async fn within_seconds(
    instance: &Instance,
    seconds: u64,
    config: serde_json::Value,
) -> Result<terrace_provider::Observed, terrace_provider::ProviderError> {
    let mut call = instance.call();
    call.timeout = Duration::from_secs(seconds);
    let planned = instance.plan(ROLE, None, &config).await.unwrap();
    let planned = terrace_provider::Planned { attributes: planned.planned, private: planned.private };
    instance.session.create(instance.ty(ROLE), &call, &planned).await
}

#[tokio::test]
async fn failed_read_after_a_change_is_ambiguous() {
    for fault in [Fault::Expired, Fault::Fails, Fault::TimesOut, Fault::TooMany(None), Fault::After(404)] {
        let stand_in = StandIn::start();
        let instance = Instance::of(&stand_in).await;
        for _ in 0..20 {
            stand_in.faults().by_text.push(("SHOW ROLES".to_owned(), fault));
        }
        let config = json!({"name": "R"});
        let began = Instant::now();
        let error = within_seconds(&instance, 2, config.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Ambiguous, "{fault:?}: {error}");
        stand_in.faults().by_text.clear();
        let found = instance.find(ROLE, &config, Some(began.elapsed())).await.unwrap();
        assert!(matches!(found, Found::Own(_)), "{fault:?}: {found:?}");
    }
}

#[tokio::test]
async fn huge_pause_does_not_overflow() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    stand_in.faults().next.push_back(Fault::TooMany(Some(Duration::MAX)));
    let error = instance.create(ROLE, json!({"name": "R"})).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Throttled { retry_after: Some(_) }), "{error:?}");
}

#[tokio::test]
async fn young_object_of_another_role_is_foreign() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    stand_in.sql("CREATE ROLE R");
    let found = instance.find(ROLE, &json!({"name": "R"}), Some(Duration::from_secs(60))).await.unwrap();
    assert!(matches!(found, Found::Foreign(_)), "{found:?}");
}

#[tokio::test]
async fn cancellation_stops_the_running_statement() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    stand_in.faults().by_text.push(("CREATE ROLE".to_owned(), Fault::Later(1_000_000)));
    let create = instance.create(ROLE, json!({"name": "R"}));
    let stop = async {
        while !stand_in.inventory().is_empty() && stand_in.count() == 0 {
            tokio::task::yield_now().await;
        }
        instance.cancel.cancel();
    };
    let (created, ()) = tokio::join!(create, stop);
    let error = created.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error}");
    assert!(!stand_in.inventory().contains(&"role R".to_owned()), "it had no effect");
}

#[tokio::test]
async fn throttled_requests_are_retried_after_the_requested_pause() {
    let stand_in = StandIn::start();
    let instance = Instance::with(&stand_in, json!({}), Limits { concurrency: 3, ..Limits::default() }).await;
    let pause = Duration::from_secs(1);
    for number in 1..=20 {
        stand_in.faults().by_number.insert(number, Fault::TooMany(Some(pause)));
    }
    stand_in.faults().takes = Some(Duration::from_millis(5));
    let creates = (0..20).map(|number| instance.create(ROLE, json!({"name": format!("R{number}")})));
    for created in futures_util::future::join_all(creates).await {
        created.unwrap();
    }
    let requests = stand_in.take_calls();
    let refused: BTreeMap<&str, Instant> =
        requests.iter().filter(|it| it.status == 429).map(|it| (it.request.as_str(), it.at)).collect();
    assert_eq!(refused.len(), 20);
    for again in requests.iter().filter(|it| it.is_retry) {
        assert!(again.at - refused[again.request.as_str()] >= pause, "it came early");
    }
    assert!(stand_in.max_concurrent() <= 3, "{} at once", stand_in.max_concurrent());
}

#[tokio::test]
async fn statements_have_the_query_tag_and_the_role() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    instance.create(ROLE, json!({"name": "R"})).await.unwrap();
    let requests = stand_in.take_calls();
    assert!(
        requests.iter().all(|it| it.role == "TERRACE_ROLE" && it.query_tag == "terrace:shop@test/area/operation"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn partitions_of_an_answer_are_joined() {
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    for name in ["a", "b", "c"] {
        stand_in.sql(&format!("CREATE ROLE \"roles {name}\""));
    }
    stand_in.faults().rows_of_partition = Some(1);
    // The pattern matches all of them, and the wanted one comes last.
    let found = instance.session.import(instance.ty(ROLE), "roles%20c").await.unwrap();
    assert_eq!(found.unwrap().identity["name"], "roles c".into());
}

/// A key pair, from `openssl genrsa 2048 | openssl pkcs8 -topk8 -nocrypt`.
fn key() -> (String, Vec<u8>) {
    let made = std::process::Command::new("openssl")
        .args(["genrsa", "2048"])
        .output()
        .unwrap_or_else(|error| panic!("openssl, which makes the keys of this test: {error}"));
    let pem = String::from_utf8(made.stdout).unwrap();
    let public = openssl(&["rsa", "-RSAPublicKey_out", "-outform", "DER"], pem.as_bytes());
    (pem, public)
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("openssl, which makes the keys of this test: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[tokio::test]
async fn key_pair_works_encrypted_or_not_and_its_token_is_renewed() {
    let stand_in = StandIn::start();
    let (pem, public) = key();
    stand_in.add_key("TERRACE", &public);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = write("plain.p8", &openssl(&["pkcs8", "-topk8", "-nocrypt"], pem.as_bytes()));
    let sealed = |cipher| openssl(&["pkcs8", "-topk8", "-v2", cipher, "-passout", "pass:secret words"], pem.as_bytes());
    let (aes, des) = (write("aes.p8", &sealed("aes-256-cbc")), write("des.p8", &sealed("des3")));
    let with = |file: &str, more: Value| {
        let mut settings = settings(
            &stand_in,
            json!({"token": null, "account": "test.eu-central-1", "user": "terrace", "privateKeyFile": file}),
        );
        settings.values.insert("privateKeyPassphrase".to_owned(), more);
        settings
    };
    for (file, passphrase) in [(&plain, Value::Null), (&aes, "secret words".into()), (&des, "secret words".into())] {
        let session = provider().connect(&with(file, passphrase)).await.unwrap();
        let role = session.lookup("snowflake_current_role", &attributes(json!({}))).await.unwrap();
        assert_eq!(role["name"], "TERRACE_ROLE".into(), "{file}");
        stand_in.faults().next.push_back(Fault::Expired);
        session.lookup("snowflake_current_role", &attributes(json!({}))).await.unwrap();
    }
    for (file, passphrase) in [(&aes, Value::Null), (&aes, "wrong words".into())] {
        let error = provider().connect(&with(file, passphrase)).await.err().unwrap();
        let text = format!("{error:?}");
        assert!(text.contains("privateKeyFile") && !text.contains("wrong words"), "{text}");
    }
    // A key of another user.
    let (other, _) = key();
    let other = write("other.p8", &openssl(&["pkcs8", "-topk8", "-nocrypt"], other.as_bytes()));
    let session = provider().connect(&with(&other, Value::Null)).await.unwrap();
    let error = session.lookup("snowflake_current_role", &attributes(json!({}))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert_eq!(error.vendor_code.as_deref(), Some("390144"));
    assert!(error.solutions[0].contains("RSA_PUBLIC_KEY_FP"), "{error:?}");
}

#[tokio::test]
async fn usual_variables_suffice_and_a_password_gets_a_hint() {
    let stand_in = StandIn::start();
    let connect = async |password: &str| {
        let variables = [
            ("SNOWFLAKE_HOST", stand_in.url()),
            ("SNOWFLAKE_ROLE", "TERRACE_ROLE"),
            ("SNOWFLAKE_WAREHOUSE", "WH"),
            ("SNOWFLAKE_PASSWORD", password),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut settings = terrace_provider::conformance::settings(std::path::Path::new("."));
        "snowflake".clone_into(&mut settings.instance);
        SnowflakeProvider::with_variables(variables).connect(&settings).await.unwrap()
    };
    let none = attributes(json!({}));
    connect("secret").await.lookup("snowflake_current_role", &none).await.unwrap();
    let error = connect("hunter2").await.lookup("snowflake_current_role", &none).await.unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("programmatic access token") && text.contains("privateKeyFile"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

/// Variables apply only to the instance named like the provider, and not to a configured account.
#[tokio::test]
async fn variables_do_not_apply_to_other_instances() {
    let stand_in = StandIn::start();
    let variables =
        [("SNOWFLAKE_HOST", stand_in.url()), ("SNOWFLAKE_ROLE", "PUBLIC"), ("SNOWFLAKE_PASSWORD", "secret")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let provider = SnowflakeProvider::with_variables(variables.into());
    assert!(!format!("{provider:?}").contains("\"secret\""), "the password is printed");
    let read_role = async |instance: &str, values: serde_json::Value| {
        let mut settings = terrace_provider::conformance::settings(std::path::Path::new("."));
        instance.clone_into(&mut settings.instance);
        settings.values = attributes(values);
        let session = provider.connect(&settings).await?;
        session.lookup("snowflake_current_role", &attributes(json!({}))).await
    };
    let role = read_role("snowflake", json!({})).await.unwrap();
    assert_eq!(role["name"], "PUBLIC".into());
    let _ = stand_in.take_calls();
    let error = read_role("snowflake.eu", json!({})).await.unwrap_err();
    assert!(error.to_string().contains("no Snowflake account is set"), "{error}");
    assert!(!error.solutions[0].contains("SNOWFLAKE_"), "{error:?}");
    let error = read_role("snowflake.eu", json!({"account": "cd67890"})).await.unwrap_err();
    assert!(error.to_string().contains("no credentials"), "{error}");
    let error = read_role("snowflake.eu", json!({"host": stand_in.url(), "token": "wrong"})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error}");
    assert_eq!(stand_in.take_calls().len(), 0);
}

/// A server may quote a part of the token in its answer.
#[tokio::test]
async fn secrets_of_variables_are_redacted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let body = r#"{"code": "390303", "message": "Invalid token: hunter2hunter2"}"#;
    let answer =
        format!("HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                stream.write_all(answer.as_bytes()).await
            });
        }
    });
    let variables = [("SNOWFLAKE_HOST", host.as_str()), ("SNOWFLAKE_TOKEN", "hunter2hunter2")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let provider = SnowflakeProvider::with_variables(variables.into());
    let mut settings = terrace_provider::conformance::settings(std::path::Path::new("."));
    "snowflake".clone_into(&mut settings.instance);
    let session = provider.connect(&settings).await.unwrap();
    let error = session.lookup("snowflake_current_role", &attributes(json!({}))).await.unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("Invalid token") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn invalid_settings_have_a_solution() {
    let settings = terrace_provider::conformance::settings(std::path::Path::new("."));
    let session = provider().connect(&settings).await.unwrap();
    let error = session.lookup("snowflake_current_role", &attributes(json!({}))).await.unwrap_err();
    assert!(error.to_string().contains("no Snowflake account is set"), "{error}");
    assert!(error.solutions[0].contains("providers.conformance"), "{error:?}");
    for (values, expected) in [
        (json!({"account": "a/b", "token": "x"}), "letters"),
        (json!({"host": "http://me:x@host", "token": "x"}), "the host is not valid"),
        (json!({"account": "a"}), "no credentials"),
        (json!({"account": "a", "token": "x", "oauthToken": "y"}), "both define the credentials"),
        (json!({"account": "a", "privateKeyFile": "none.p8"}), "`user`"),
        (json!({"account": "a", "user": "u", "privateKeyFile": "none.p8"}), "cannot be read"),
        (json!({"account": "a", "token": "x", "timeout": 0}), "not a valid time"),
    ] {
        let mut settings = settings.clone();
        settings.values = attributes(values.clone());
        let error = provider().connect(&settings).await.err().unwrap_or_else(|| panic!("{values}"));
        assert!(error.to_string().contains(expected), "{values}: {error}");
    }
}

#[tokio::test]
async fn unknown_host_wrong_token_and_lost_server_are_distinguished() {
    let stand_in = StandIn::start();
    let limits = || Limits { retries: 0, ..Limits::default() };
    let wrong = Instance::with(&stand_in, json!({"token": "wrong"}), limits()).await;
    let error = wrong.create(ROLE, json!({"name": "R"})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error}");
    let other_role = Instance::with(&stand_in, json!({"role": "NOBODY"}), limits()).await;
    let error = other_role.create(ROLE, json!({"name": "R"})).await.unwrap_err();
    assert!(error.solutions[0].contains("`role`"), "{error:?}");
    let instance = Instance::of(&stand_in).await;
    let address = stand_in.url().trim_start_matches("http://").to_owned();
    drop(stand_in);
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "the test server does not stop");
        tokio::task::yield_now().await;
    }
    let mut call = instance.call();
    call.timeout = Duration::from_millis(900);
    let planned = instance.plan(ROLE, None, &json!({"name": "R"})).await.unwrap();
    let planned = terrace_provider::Planned { attributes: planned.planned, private: planned.private };
    let error = instance.session.create(instance.ty(ROLE), &call, &planned).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
}

/// Another server at the address, with an unrelated answer.
#[tokio::test]
async fn other_server_is_reported_and_changes_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stand_in = StandIn::start();
    for (answer, kind) in [
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>", "ambiguous"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "invalid_input"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "ambiguous"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    stream.write_all(answer.as_bytes()).await
                });
            }
        });
        let limits = Limits { retries: 0, ..Limits::default() };
        let instance = Instance::with(&stand_in, json!({"host": host}), limits).await;
        let mut call = instance.call();
        call.timeout = Duration::from_millis(900);
        let planned = instance.plan(ROLE, None, &json!({"name": "R"})).await.unwrap();
        let planned = terrace_provider::Planned { attributes: planned.planned, private: planned.private };
        let error = instance.session.create(instance.ty(ROLE), &call, &planned).await.unwrap_err();
        assert_eq!(error.kind.code(), kind, "{answer}: {error:?}");
        assert!(!error.solutions.is_empty() || error.kind == ErrorKind::Ambiguous, "{answer}: {error:?}");
    }
}
