//! `local_command`: what programs are told, how they end, and recovery.

use crate::harness::{ADDRESS, Local, Reports, attributes, expect_invalid, recorded};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::{
    Attributes, Call, ErrorKind, Found, LostCall, Path, Planned, Private, ProviderError, Recorded, Value,
};

fn sh(script: &str) -> serde_json::Value {
    json!(["sh", "-c", script])
}

/// A program that writes down what it is told, and answers.
fn noting(name: &str, answer: &str) -> serde_json::Value {
    sh(&format!("cat > {name}.told; echo '{answer}'"))
}

fn told(local: &Local, name: &str) -> serde_json::Value {
    serde_json::from_str(&local.content(&format!("{name}.told"))).unwrap()
}

async fn commands() -> Local {
    Local::of("local_command").await
}

async fn failing(local: &Local, script: &str, call: &Call) -> ProviderError {
    local.create_values(&attributes(json!({"create": sh(script)})), call).await.unwrap_err()
}

#[tokio::test]
async fn programs_are_told_what_the_contract_says() {
    let local = commands().await;
    let config = |size: i64| {
        json!({
            "create": noting("create", r#"{"id": "x", "n": 1.50}"#), "read": noting("read", r#"{"id": "x", "n": 1.50}"#),
            "update": noting("update", r#"{"id": "y"}"#), "delete": noting("delete", "not JSON"),
            "find": noting("find", "null"), "input": {"size": size},
        })
    };
    let created = local.create(config(1)).await.unwrap();
    let address = ADDRESS;
    assert_eq!(
        told(&local, "create"),
        json!({"address": address, "input": {"size": 1}, "prior": null, "output": null})
    );
    assert_eq!(created.text("id"), Some("x"));

    let read = local.read(&created).await.unwrap().unwrap();
    let (output, prior) =
        (json!({"id": "x", "n": 1.5}), json!({"input": {"size": 1}, "output": {"id": "x", "n": 1.5}}));
    assert_eq!(
        told(&local, "read"),
        json!({"address": address, "input": {"size": 1}, "prior": prior, "output": output})
    );

    let updated = local.update(&read, config(2)).await.unwrap();
    assert_eq!(
        told(&local, "update"),
        json!({"address": address, "input": {"size": 2}, "prior": prior, "output": output})
    );
    assert_eq!(updated.text("id"), Some("y"));

    local.delete(&updated).await.unwrap();
    let prior = json!({"input": {"size": 2}, "output": {"id": "y"}});
    assert_eq!(
        told(&local, "delete"),
        json!({"address": address, "input": {"size": 2}, "prior": prior, "output": {"id": "y"}})
    );
}

#[tokio::test]
async fn a_sensitive_input_reaches_the_program_and_marks_its_output() {
    let local = commands().await;
    let mut config = attributes(json!({"create": noting("create", r#"{"id": 7}"#)}));
    config.insert("input".to_owned(), Value::sensitive("hunter2".into()));
    let plan = local.plan_values(None, &config, &[]).await.unwrap();
    assert_eq!(plan.planned.get("output"), Some(&Value::sensitive(Value::Unknown)));
    let created = local.create_values(&config, &local.call()).await.unwrap();
    assert_eq!(told(&local, "create")["input"], "hunter2");
    assert!(matches!(created.attributes.get("output"), Some(Value::Sensitive(_))));
    assert_eq!(created.text("id"), Some("7"));
}

#[tokio::test]
async fn variables_are_added_and_secret_ones_are_not_recorded() {
    let local = commands().await;
    let script = r#"printf '{"plain": "%s", "secret": "%s", "path": "%s", "attempt": "%s"}' "$PLAIN" "${SECRET:+set}" "${PATH:+set}" "$TERRACE_ATTEMPT""#;
    let config = json!({
        "create": sh(script), "environment": {"PLAIN": "a"}, "secretEnvironment": {"SECRET": "hunter2"},
    });
    let created = local.create(config).await.unwrap();
    let output = created.attributes.get("output").unwrap();
    let attempt = format!("{}/step-1", local.call().operation);
    let expected = json!({"plain": "a", "secret": "set", "path": "set", "attempt": attempt});
    assert_eq!(output.to_json(), expected);
    assert!(!created.attributes.contains_key("secretEnvironment"));
    assert!(!format!("{created:?}").contains("hunter2"));
}

#[tokio::test]
async fn the_working_directory_lies_in_the_project_folder() {
    let local = commands().await;
    std::fs::create_dir(local.path("sub")).unwrap();
    let config = |folder: &str| json!({"create": sh(r#"printf '{"id": "%s"}' "$PWD""#), "workingDirectory": folder});
    let created = local.create(config("sub")).await.unwrap();
    assert_eq!(created.text("id"), local.path("sub").canonicalize().unwrap().to_str());
    expect_invalid(
        &local.plan(None, config("../")).await.unwrap_err(),
        "workingDirectory",
        "out of the project folder",
    );
    expect_invalid(&local.create(config("later")).await.unwrap_err(), "workingDirectory", "there is no such folder");
}

#[tokio::test]
async fn argv_lists_must_name_a_program() {
    let local = commands().await;
    for argv in [json!([]), json!([""])] {
        let error = local.plan(None, json!({"create": argv})).await.unwrap_err();
        expect_invalid(&error, "create", "names no program");
    }
    let error = local.plan(None, json!({"create": ["x"], "environment": {"A=B": "c"}})).await.unwrap_err();
    expect_invalid(&error, "environment", "cannot be the name of a variable");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_said() {
    let local = commands().await;
    let error = local.create(json!({"create": ["no-such-program-at-all"]})).await.unwrap_err();
    expect_invalid(&error, "create", "there is no program `no-such-program-at-all`");
    local.write("plain", "");
    let error = local.create(json!({"create": ["./plain"]})).await.unwrap_err();
    expect_invalid(&error, "create", "`./plain` may not be executed");
}

#[tokio::test]
async fn a_failure_shows_the_last_lines_of_standard_error() {
    let local = commands().await;
    let error = failing(&local, "seq 1 30 >&2; echo the disk is full >&2; exit 3", &local.call()).await;
    assert_eq!(error.kind, ErrorKind::Failed);
    assert_eq!(error.message, "`create` failed with exit code 3: the disk is full");
    assert_eq!(error.problems.len(), 10);
    assert_eq!(error.problems[0], "22");
    let error = failing(&local, "kill -9 $$", &local.call()).await;
    assert!(error.message.contains("was ended by a signal"), "{error}");
}

#[tokio::test]
async fn exit_code_75_asks_for_another_attempt() {
    let local = commands().await;
    let error = failing(&local, "exit 75", &local.call()).await;
    assert_eq!(error.kind, ErrorKind::Transient);
}

#[tokio::test]
async fn a_create_that_does_not_answer_leaves_a_tainted_object() {
    let local = commands().await;
    let deep = format!("echo '{{\"a\": {}{}}}'", "[".repeat(64), "]".repeat(64));
    for (script, words) in [
        ("true", "printed nothing"),
        ("echo hello", "printed something that is not JSON"),
        ("echo '{} {}'", "printed something that is not JSON"),
        (deep.as_str(), "printed lists and maps that are nested deeper than 64 levels"),
        ("echo '[1]'", "printed a list"),
        ("echo null", "printed `null`"),
    ] {
        let error = failing(&local, script, &local.call()).await;
        expect_invalid(&error, "create", words);
        let object = recorded(*error.object.expect("it ran to its end, so there may be an object"));
        assert!(object.text("id").is_some() && !object.attributes.contains_key("output"));
    }
}

#[tokio::test]
async fn an_update_that_fails_keeps_what_is_recorded() {
    let local = commands().await;
    let config = |size: i64| json!({"create": ["echo", "{}"], "update": ["false"], "input": size});
    let created = local.create(config(1)).await.unwrap();
    let error = local.update(&created, config(2)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert_eq!(error.object.map(|object| recorded(*object).attributes), Some(created.attributes));
}

#[tokio::test]
async fn output_beyond_its_bound_stops_the_program() {
    let local = commands().await;
    let error = failing(&local, "exec yes", &local.call()).await;
    assert!(error.message.contains("printed more than 16 MiB and was stopped"), "{error}");
    // Standard error may be as long as it likes: only its end is kept.
    let script = "head -c 100000000 /dev/zero | tr '\\0' 'x' >&2; echo >&2; echo the end >&2; exit 1";
    let error = failing(&local, script, &local.call()).await;
    assert_eq!(error.problems, ["the end"], "{error}");
    // A part of a line may be a part of a secret.
    let error = failing(&local, "head -c 100000 /dev/zero | tr '\\0' 'x' >&2; exit 1", &local.call()).await;
    assert_eq!(error.problems, ["the last line of its errors is longer than 16 KiB, and left out"], "{error}");
}

#[tokio::test]
async fn a_program_that_does_not_end_in_time_is_stopped_with_its_group() {
    let local = commands().await;
    let call = Call { timeout: Duration::from_millis(300), ..local.call() };
    let error = failing(&local, "sleep 1000 & echo $! > child; wait", &call).await;
    assert_eq!(error.kind, ErrorKind::Failed);
    assert_eq!(error.message, "`create` did not end within 300 ms and was stopped");
    assert!(is_gone(local.content("child").trim()), "the child of the program still runs");
}

/// All of this runs in one thread, which stands still until the programs ended and their time is over.
#[tokio::test]
async fn a_program_that_ended_while_we_stood_still_is_not_late() {
    let local = commands().await;
    let call = Call { timeout: Duration::from_millis(600), ..local.call() };
    let config = attributes(json!({"create": sh("sleep 0.3; echo '{\"id\": \"up\"}'")}));
    let one = async || assert_eq!(local.create_values(&config, &call).await.unwrap().text("id"), Some("up"));
    let suspended = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        std::thread::sleep(Duration::from_millis(1_500));
    };
    tokio::join!(one(), one(), one(), one(), one(), one(), suspended);
}

#[tokio::test]
async fn a_time_beyond_all_clocks_is_no_limit() {
    let local = commands().await;
    let call = Call { timeout: Duration::MAX, ..local.call() };
    let error = failing(&local, "exit 1", &call).await;
    assert_eq!(error.message, "`create` failed with exit code 1");
}

/// True when no such process runs; one that was killed may stay as a zombie until init takes notice.
fn is_gone(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn a_process_left_in_the_background_holds_nobody_up() {
    let local = commands().await;
    let config = json!({"create": sh("sleep 1000 & echo $! > child; echo '{\"id\": \"up\"}'")});
    let created = local.create(config).await.unwrap();
    assert_eq!(created.text("id"), Some("up"));
    let pid = local.content("child");
    assert!(!is_gone(pid.trim()), "a service that was started was stopped");
    assert!(std::process::Command::new("kill").arg(pid.trim()).status().unwrap().success());
}

/// It prints now and then, or without a pause.
#[tokio::test]
async fn a_process_that_goes_on_printing_in_the_background_holds_nobody_up() {
    let local = commands().await;
    for service in ["while echo up; do sleep 0.05; done", "yes up"] {
        let script = format!("({service}) >&2 & echo $! > child; echo '{{\"id\": \"up\"}}'");
        let config = attributes(json!({"create": sh(&script)}));
        let call = local.call();
        let created = tokio::time::timeout(Duration::from_secs(20), local.create_values(&config, &call)).await;
        // It may have ended by itself: nobody reads any more what it prints.
        drop(std::process::Command::new("kill").arg(local.content("child").trim()).output());
        assert_eq!(created.expect("it is waited for").unwrap().text("id"), Some("up"));
    }
}

#[tokio::test]
async fn a_program_need_not_read_its_input() {
    let local = commands().await;
    let mut config = attributes(json!({"create": ["echo", "{}"]}));
    config.insert("input".to_owned(), "x".repeat(1 << 20).into());
    local.create_values(&config, &local.call()).await.unwrap();
}

#[tokio::test]
async fn a_read_that_prints_null_says_gone_and_one_that_prints_nothing_fails() {
    let local = commands().await;
    let created = local.create(json!({"create": ["echo", "{}"], "read": ["echo", "null"]})).await.unwrap();
    assert!(local.read(&created).await.unwrap().is_none());
    let created = local.create(json!({"create": ["echo", "{}"], "read": ["true"]})).await.unwrap();
    expect_invalid(&local.read(&created).await.unwrap_err(), "read", "expected one JSON object or `null`");
    let created = local.create(json!({"create": ["echo", "{}"]})).await.unwrap();
    assert_eq!(local.read(&created).await.unwrap().unwrap().attributes, created.attributes);
}

#[tokio::test]
async fn changes_of_argv_or_folder_alone_are_recorded_without_a_call() {
    let local = commands().await;
    let config = |program: &str, folder: &str| {
        json!({
            "create": ["echo", r#"{"id": "x"}"#], "update": sh("echo ran > updated; echo '{}'"),
            "delete": noting(program, ""), "workingDirectory": folder, "input": 1,
        })
    };
    std::fs::create_dir(local.path("sub")).unwrap();
    let created = local.create(config("one", ".")).await.unwrap();
    let plan = local.plan(Some(&created), config("two", "sub")).await.unwrap();
    assert_eq!(plan.planned.get("output"), created.attributes.get("output"));
    let updated = local.update(&created, config("two", "sub")).await.unwrap();
    assert!(!local.path("updated").exists() && !local.path("sub/updated").exists());
    local.delete(&updated).await.unwrap();
    assert!(local.path("sub/two.told").exists());

    // What is deleted is what is recorded, whatever the descriptor says by then.
    local.delete(&created).await.unwrap();
    assert!(local.path("one.told").exists());
}

#[tokio::test]
async fn changes_of_what_programs_are_told_update_or_replace() {
    let local = commands().await;
    let config = |input: i64, variable: &str, has_update: bool| {
        let mut config = json!({"create": ["echo", r#"{"id": "x"}"#], "input": input, "environment": {"A": variable}});
        if has_update {
            config["update"] = json!(["echo", "{}"]);
        }
        config
    };
    let created = local.create(config(1, "a", true)).await.unwrap();
    let plan = local.plan(Some(&created), config(1, "b", true)).await.unwrap();
    assert_eq!((plan.replace_paths.len(), plan.planned.get("output")), (0, Some(&Value::Unknown)));
    let plan = local.plan(Some(&created), config(2, "b", false)).await.unwrap();
    assert_eq!(plan.replace_paths, [Path::attribute("input"), Path::attribute("environment")]);
    let changed = ["secretEnvironment".to_owned()];
    let plan = local.plan_values(Some(&created), &attributes(config(1, "a", false)), &changed).await.unwrap();
    assert_eq!(plan.replace_paths, [Path::attribute("secretEnvironment")]);
    let plan = local.plan(Some(&created), config(1, "a", true)).await.unwrap();
    assert_eq!(plan.planned, created.attributes);
}

#[tokio::test]
async fn drift_is_the_difference_from_what_was_applied_whatever_was_recorded_since() {
    let local = commands().await;
    local.write("now", r#"{"id": "x", "size": 1, "more": [1]}"#);
    let config = json!({"create": sh("cat now"), "read": sh("cat now"), "update": sh("cat now"), "input": 1});
    let created = local.create(config.clone()).await.unwrap();
    // Another order of keys is no drift.
    local.write("now", r#"{"more": [1], "size": 1, "id": "x"}"#);
    let read = local.read(&created).await.unwrap().unwrap();
    let plan = local.plan(Some(&read), config.clone()).await.unwrap();
    assert_eq!(plan.planned.get("output"), created.attributes.get("output"));

    local.write("now", r#"{"id": "x", "size": 2}"#);
    let once = local.read(&created).await.unwrap().unwrap();
    let twice = local.read(&once).await.unwrap().unwrap();
    let plan = local.plan(Some(&twice), config).await.unwrap();
    assert_eq!(plan.planned.get("output"), Some(&Value::Unknown));
}

#[tokio::test]
async fn the_process_is_recorded_before_the_program_gets_its_input() {
    let local = commands().await;
    let reports = Arc::new(Reports::default());
    let call = Call { progress: reports.clone(), ..local.call() };
    local.create_values(&attributes(json!({"create": sh("cat > told; echo '{}'")})), &call).await.unwrap();
    let reports = reports.0.lock().unwrap();
    let private = reports[0].private.clone().unwrap();
    let process: serde_json::Value = serde_json::from_slice(&private.0).unwrap();
    assert!(process["process"]["pid"].is_i64() && process["process"]["start_time"].is_u64(), "{process}");
}

#[tokio::test]
async fn a_process_that_cannot_be_recorded_is_stopped_and_what_it_did_is_looked_for() {
    struct Broken;
    #[async_trait::async_trait]
    impl terrace_provider::Progress for Broken {
        fn message(&self, _text: &str) {}
        async fn partial(&self, _partial: terrace_provider::Partial) -> Result<(), ProviderError> {
            Err(ProviderError::new(ErrorKind::Transient, "the disk is full"))
        }
    }
    let local = commands().await;
    let call = Call { progress: Arc::new(Broken), ..local.call() };
    assert!(std::process::Command::new("mkfifo").arg(local.path("gate")).status().unwrap().success());
    let stopped = failing(&local, "read line < gate; echo '{}'", &call);
    let error = tokio::time::timeout(Duration::from_secs(60), stopped).await.expect("nobody opens the gate");
    assert_eq!(error.kind, ErrorKind::Ambiguous);
    assert!(error.message.contains("cannot be recorded: the disk is full"), "{error}");
}

/// A call whose outcome is lost: the program runs on, and we are gone.
struct Lost {
    planned: Attributes,
    private: Private,
    pid: String,
}

/// Starts a program that says through a fifo that it runs, and abandons the call.
async fn abandon(local: &Local, find: serde_json::Value) -> Lost {
    assert!(std::process::Command::new("mkfifo").arg(local.path("started")).status().unwrap().success());
    let config = attributes(json!({"create": sh("echo $$ > started; exec sleep 1000"), "find": find}));
    let planned = local.plan_values(None, &config, &[]).await.unwrap().planned;
    let reports = Arc::new(Reports::default());
    let call = Call { progress: reports.clone(), ..local.call() };
    let (session, ty) = (local.session.clone(), local.ty.clone());
    let going = Planned { attributes: planned.clone(), private: Private::default() };
    let running = tokio::spawn(async move { session.create(&ty, &call, &going).await });
    let fifo = local.path("started");
    let pid = tokio::task::spawn_blocking(move || std::fs::read_to_string(fifo).unwrap()).await.unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let private = reports.0.lock().unwrap()[0].private.clone().unwrap();
    Lost { planned, private, pid: pid.trim().to_owned() }
}

#[tokio::test]
async fn a_lost_call_that_still_runs_is_waited_for_and_then_stopped() {
    let local = commands().await;
    let lost = abandon(&local, sh("cat > find.told; echo null")).await;
    assert!(!is_gone(&lost.pid), "an abandoned write is left alone");

    assert!(matches!(local.find(&lost.planned, None, lost.private.clone(), 5).await, Found::Pending(_)));
    assert!(!is_gone(&lost.pid));
    assert!(!local.path("find.told").exists(), "find ran while the program did");

    assert_eq!(local.find(&lost.planned, None, lost.private, 61).await, Found::Absent);
    assert!(is_gone(&lost.pid));
    let told = told(&local, "find");
    assert_eq!(told, json!({"address": ADDRESS, "input": null, "prior": null, "output": null}));
}

#[tokio::test]
async fn a_lost_call_is_known_by_its_name_when_its_process_was_never_recorded() {
    let local = commands().await;
    let lost = abandon(&local, json!(["echo", r#"{"id": "made"}"#])).await;
    assert!(matches!(local.find(&lost.planned, None, Private::default(), 5).await, Found::Pending(_)));
    let Found::Ours(found) = local.find(&lost.planned, None, Private::default(), 61).await else {
        panic!("what find tells of counts as ours")
    };
    assert!(is_gone(&lost.pid));
    assert_eq!(recorded(found).text("id"), Some("made"));
}

#[tokio::test]
async fn without_find_a_lost_call_stays_in_doubt() {
    let local = commands().await;
    let planned = attributes(json!({"create": ["true"]}));
    assert_eq!(local.find(&planned, None, Private::default(), 61).await, Found::Unknown);
}

#[tokio::test]
async fn a_recorded_process_that_is_another_by_now_is_left_alone() {
    let local = commands().await;
    let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let state = json!({"process": {"pid": other.id(), "start_time": 1, "boot": null}}).to_string();
    let planned = attributes(json!({"create": ["true"], "find": ["echo", "null"]}));
    let found = local.find(&planned, None, Private(state.into_bytes()), 61).await;
    assert_eq!(found, Found::Absent);
    assert!(other.try_wait().unwrap().is_none(), "somebody else's process was stopped");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_find_that_fails_is_an_error() {
    let local = commands().await;
    let attempt = terrace_provider::Attempt {
        address: ADDRESS.to_owned(),
        identity: Attributes::default(),
        planned: attributes(json!({"create": ["true"], "find": sh("echo no network >&2; exit 1")})),
        private: Private::default(),
        prior: None,
        lost_call: Some(LostCall {
            operation: "operation-2".to_owned(),
            step: "step".to_owned(),
            timeout: Duration::from_secs(60),
            age: Duration::from_secs(61),
        }),
    };
    let error = local.session.find(&local.ty, &attempt).await.unwrap_err();
    assert_eq!(error.message, "`find` failed with exit code 1: no network");
}

#[tokio::test]
async fn a_read_that_is_no_longer_wanted_is_stopped() {
    let local = commands().await;
    assert!(std::process::Command::new("mkfifo").arg(local.path("started")).status().unwrap().success());
    let attributes = attributes(json!({"create": ["true"], "read": sh("echo $$ > started; exec sleep 1000")}));
    let prior = Recorded { attributes, ..Recorded::default() };
    let (session, ty) = (local.session.clone(), local.ty.clone());
    let reading = tokio::spawn(async move { session.read(&ty, &prior).await });
    let fifo = local.path("started");
    let pid = tokio::task::spawn_blocking(move || std::fs::read_to_string(fifo).unwrap()).await.unwrap();
    reading.abort();
    assert!(reading.await.is_err());
    // The signal is sent; the process is gone once its parent's runtime, or init, has taken notice.
    while !is_gone(pid.trim()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn program_gets_usual_and_named_variables_only() {
    // Cargo sets both for every test.
    assert!(["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR"].iter().all(|name| std::env::var_os(name).is_some()));
    let local = Local::with("local_command", json!({"variables": ["CARGO_PKG_NAME", "NOT_SET"]})).await;
    let script = r#"env > seen; echo '{}'"#;
    local.create(json!({"create": sh(script), "environment": {"ADDED": "1"}})).await.unwrap();
    let seen = local.content("seen");
    let has = |name: &str| seen.lines().any(|line| line.starts_with(&format!("{name}=")));
    assert!(["PATH", "CARGO_PKG_NAME", "ADDED", "TERRACE_ATTEMPT"].into_iter().all(has), "{seen}");
    assert!(!has("CARGO_MANIFEST_DIR"), "{seen}");
}
