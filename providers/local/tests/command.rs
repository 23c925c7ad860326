//! `local_command`: the input of programs, their end, and recovery.

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

/// A program that saves its input and prints an answer.
fn saving(name: &str, answer: &str) -> serde_json::Value {
    sh(&format!("cat > {name}.input_of; echo '{answer}'"))
}

fn input_of(local: &Local, name: &str) -> serde_json::Value {
    serde_json::from_str(&local.content(&format!("{name}.input_of"))).unwrap()
}

async fn commands() -> Local {
    Local::of("local_command").await
}

async fn failing(local: &Local, script: &str, call: &Call) -> ProviderError {
    local.create_values(&attributes(json!({"create": sh(script)})), call).await.unwrap_err()
}

#[tokio::test]
async fn programs_get_the_documented_input() {
    let local = commands().await;
    let config = |size: i64| {
        json!({
            "create": saving("create", r#"{"id": "x", "n": 1.50}"#), "read": saving("read", r#"{"id": "x", "n": 1.50}"#),
            "update": saving("update", r#"{"id": "y"}"#), "delete": saving("delete", "not JSON"),
            "find": saving("find", "null"), "input": {"size": size},
        })
    };
    let created = local.create(config(1)).await.unwrap();
    let address = ADDRESS;
    assert_eq!(
        input_of(&local, "create"),
        json!({"address": address, "input": {"size": 1}, "prior": null, "output": null})
    );
    assert_eq!(created.text("id"), Some("x"));

    let read = local.read(&created).await.unwrap().unwrap();
    let (output, prior) =
        (json!({"id": "x", "n": 1.5}), json!({"input": {"size": 1}, "output": {"id": "x", "n": 1.5}}));
    assert_eq!(
        input_of(&local, "read"),
        json!({"address": address, "input": {"size": 1}, "prior": prior, "output": output})
    );

    let updated = local.update(&read, config(2)).await.unwrap();
    assert_eq!(
        input_of(&local, "update"),
        json!({"address": address, "input": {"size": 2}, "prior": prior, "output": output})
    );
    assert_eq!(updated.text("id"), Some("y"));

    local.delete(&updated).await.unwrap();
    let prior = json!({"input": {"size": 2}, "output": {"id": "y"}});
    assert_eq!(
        input_of(&local, "delete"),
        json!({"address": address, "input": {"size": 2}, "prior": prior, "output": {"id": "y"}})
    );
}

#[tokio::test]
async fn sensitive_input_reaches_the_program_and_marks_its_output() {
    let local = commands().await;
    let mut config = attributes(json!({"create": saving("create", r#"{"id": 7}"#)}));
    config.insert("input".to_owned(), Value::sensitive("hunter2".into()));
    let plan = local.plan_values(None, &config, &[]).await.unwrap();
    assert_eq!(plan.planned.get("output"), Some(&Value::sensitive(Value::Unknown)));
    let created = local.create_values(&config, &local.call()).await.unwrap();
    assert_eq!(input_of(&local, "create")["input"], "hunter2");
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
async fn working_directory_must_be_in_the_project_folder() {
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
    expect_invalid(&local.create(config("later")).await.unwrap_err(), "workingDirectory", "this folder does not exist");
}

#[tokio::test]
async fn argv_list_must_contain_a_program() {
    let local = commands().await;
    for argv in [json!([]), json!([""])] {
        let error = local.plan(None, json!({"create": argv})).await.unwrap_err();
        expect_invalid(&error, "create", "contains no program");
    }
    let error = local.plan(None, json!({"create": ["x"], "environment": {"A=B": "c"}})).await.unwrap_err();
    expect_invalid(&error, "environment", "is not a valid name of a variable");
}

#[tokio::test]
async fn program_that_cannot_start_is_an_error() {
    let local = commands().await;
    let error = local.create(json!({"create": ["no-such-program-at-all"]})).await.unwrap_err();
    expect_invalid(&error, "create", "there is no program `no-such-program-at-all`");
    local.write("plain", "");
    let error = local.create(json!({"create": ["./plain"]})).await.unwrap_err();
    expect_invalid(&error, "create", "`./plain` is not executable");
}

#[tokio::test]
async fn failure_shows_the_last_lines_of_standard_error() {
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
async fn exit_code_75_is_transient() {
    let local = commands().await;
    let error = failing(&local, "exit 75", &local.call()).await;
    assert_eq!(error.kind, ErrorKind::Transient);
}

#[tokio::test]
async fn create_without_an_answer_leaves_a_tainted_object() {
    let local = commands().await;
    let deep = format!("echo '{{\"a\": {}{}}}'", "[".repeat(64), "]".repeat(64));
    for (script, words) in [
        ("true", "printed nothing"),
        ("echo hello", "printed invalid JSON"),
        ("echo '{} {}'", "printed invalid JSON"),
        (deep.as_str(), "printed lists and maps nested more than 64 levels deep"),
        ("echo '[1]'", "printed a list"),
        ("echo null", "printed `null`"),
    ] {
        let error = failing(&local, script, &local.call()).await;
        expect_invalid(&error, "create", words);
        let object = recorded(*error.object.expect("it ended successfully, so there may be an object"));
        assert!(object.text("id").is_some() && !object.attributes.contains_key("output"));
    }
}

#[tokio::test]
async fn failed_update_keeps_the_recorded_object() {
    let local = commands().await;
    let config = |size: i64| json!({"create": ["echo", "{}"], "update": ["false"], "input": size});
    let created = local.create(config(1)).await.unwrap();
    let error = local.update(&created, config(2)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert_eq!(error.object.map(|object| recorded(*object).attributes), Some(created.attributes));
}

#[tokio::test]
async fn output_beyond_its_limit_stops_the_program() {
    let local = commands().await;
    let error = failing(&local, "exec yes", &local.call()).await;
    assert!(error.message.contains("printed more than 16 MiB and was stopped"), "{error}");
    // Standard error has no limit; only its end is kept.
    let script = "head -c 100000000 /dev/zero | tr '\\0' 'x' >&2; echo >&2; echo the end >&2; exit 1";
    let error = failing(&local, script, &local.call()).await;
    assert_eq!(error.problems, ["the end"], "{error}");
    // A part of a line may be a part of a secret.
    let error = failing(&local, "head -c 100000 /dev/zero | tr '\\0' 'x' >&2; exit 1", &local.call()).await;
    assert_eq!(error.problems, ["the last line of standard error is longer than 16 KiB and is omitted"], "{error}");
}

#[tokio::test]
async fn timeout_stops_the_program_and_its_group() {
    let local = commands().await;
    let call = Call { timeout: Duration::from_millis(300), ..local.call() };
    let error = failing(&local, "sleep 1000 & echo $! > child; wait", &call).await;
    assert_eq!(error.kind, ErrorKind::Failed);
    assert_eq!(error.message, "`create` did not end within 300 ms and was stopped");
    assert!(is_gone(local.content("child").trim()), "the child of the program still runs");
}

/// The test runs in one thread, which is blocked until the programs ended and their time is over.
#[tokio::test]
async fn program_that_ended_in_time_is_not_late_after_a_pause() {
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
async fn huge_time_limit_does_not_overflow() {
    let local = commands().await;
    let call = Call { timeout: Duration::MAX, ..local.call() };
    let error = failing(&local, "exit 1", &call).await;
    assert_eq!(error.message, "`create` failed with exit code 1");
}

/// True if the process does not run; a killed process may be a zombie until init reaps it.
fn is_gone(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn background_process_does_not_block_the_call() {
    let local = commands().await;
    let config = json!({"create": sh("sleep 1000 & echo $! > child; echo '{\"id\": \"up\"}'")});
    let created = local.create(config).await.unwrap();
    assert_eq!(created.text("id"), Some("up"));
    let pid = local.content("child");
    assert!(!is_gone(pid.trim()), "the started service was stopped");
    assert!(std::process::Command::new("kill").arg(pid.trim()).status().unwrap().success());
}

/// It prints with pauses, or without any.
#[tokio::test]
async fn printing_background_process_does_not_block_the_call() {
    let local = commands().await;
    for service in ["while echo up; do sleep 0.05; done", "yes up"] {
        let script = format!("({service}) >&2 & echo $! > child; echo '{{\"id\": \"up\"}}'");
        let config = attributes(json!({"create": sh(&script)}));
        let call = local.call();
        let created = tokio::time::timeout(Duration::from_secs(20), local.create_values(&config, &call)).await;
        // It may have ended already, because its output has no reader.
        drop(std::process::Command::new("kill").arg(local.content("child").trim()).output());
        assert_eq!(created.expect("the call ends").unwrap().text("id"), Some("up"));
    }
}

#[tokio::test]
async fn program_may_ignore_its_input() {
    let local = commands().await;
    let mut config = attributes(json!({"create": ["echo", "{}"]}));
    config.insert("input".to_owned(), "x".repeat(1 << 20).into());
    local.create_values(&config, &local.call()).await.unwrap();
}

#[tokio::test]
async fn read_that_prints_null_means_deleted_and_no_output_fails() {
    let local = commands().await;
    let created = local.create(json!({"create": ["echo", "{}"], "read": ["echo", "null"]})).await.unwrap();
    assert!(local.read(&created).await.unwrap().is_none());
    let created = local.create(json!({"create": ["echo", "{}"], "read": ["true"]})).await.unwrap();
    expect_invalid(&local.read(&created).await.unwrap_err(), "read", "expected one JSON object or `null`");
    let created = local.create(json!({"create": ["echo", "{}"]})).await.unwrap();
    assert_eq!(local.read(&created).await.unwrap().unwrap().attributes, created.attributes);
}

#[tokio::test]
async fn change_of_only_argv_or_folder_runs_no_program() {
    let local = commands().await;
    let config = |program: &str, folder: &str| {
        json!({
            "create": ["echo", r#"{"id": "x"}"#], "update": sh("echo ran > updated; echo '{}'"),
            "delete": saving(program, ""), "workingDirectory": folder, "input": 1,
        })
    };
    std::fs::create_dir(local.path("sub")).unwrap();
    let created = local.create(config("one", ".")).await.unwrap();
    let plan = local.plan(Some(&created), config("two", "sub")).await.unwrap();
    assert_eq!(plan.planned.get("output"), created.attributes.get("output"));
    let updated = local.update(&created, config("two", "sub")).await.unwrap();
    assert!(!local.path("updated").exists() && !local.path("sub/updated").exists());
    local.delete(&updated).await.unwrap();
    assert!(local.path("sub/two.input_of").exists());

    // Deletes the recorded object, even if the descriptor has changed.
    local.delete(&created).await.unwrap();
    assert!(local.path("one.input_of").exists());
}

#[tokio::test]
async fn change_of_the_program_input_updates_or_replaces() {
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
async fn drift_is_the_difference_from_the_applied_output() {
    let local = commands().await;
    local.write("now", r#"{"id": "x", "size": 1, "more": [1]}"#);
    let config = json!({"create": sh("cat now"), "read": sh("cat now"), "update": sh("cat now"), "input": 1});
    let created = local.create(config.clone()).await.unwrap();
    // A different order of keys is not drift.
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
async fn process_of_a_create_is_recorded() {
    let local = commands().await;
    let reports = Arc::new(Reports::default());
    let call = Call { progress: reports.clone(), ..local.call() };
    local.create_values(&attributes(json!({"create": sh("cat > input_of; echo '{}'")})), &call).await.unwrap();
    let reports = reports.partials();
    let private = reports[0].private.clone().unwrap();
    let process: serde_json::Value = serde_json::from_slice(&private.0).unwrap();
    assert!(process["process"]["pid"].is_i64() && process["process"]["start_time"].is_u64(), "{process}");
}

#[tokio::test]
async fn unrecordable_process_is_stopped_with_unknown_outcome() {
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

/// A lost call: the program still runs, but terrace does not.
struct Lost {
    planned: Attributes,
    private: Private,
    pid: String,
}

/// Starts a program that reports through a fifo that it runs, and abandons the call.
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
    let private = reports.partials()[0].private.clone().unwrap();
    Lost { planned, private, pid: pid.trim().to_owned() }
}

#[tokio::test]
async fn running_lost_call_is_awaited_until_its_timeout() {
    let local = commands().await;
    let lost = abandon(&local, sh("cat > find.input_of; echo null")).await;
    assert!(!is_gone(&lost.pid), "an abandoned write continues");

    assert!(matches!(local.find(&lost.planned, None, lost.private.clone(), 5).await, Found::Pending(_)));
    assert!(!is_gone(&lost.pid));
    assert!(!local.path("find.input_of").exists(), "find ran while the program did");

    assert_eq!(local.find(&lost.planned, None, lost.private, 61).await, Found::Absent);
    assert!(is_gone(&lost.pid));
    let input_of = input_of(&local, "find");
    assert_eq!(input_of, json!({"address": ADDRESS, "input": null, "prior": null, "output": null}));
}

#[tokio::test]
async fn lost_call_without_recorded_process_is_found_by_its_name() {
    let local = commands().await;
    let lost = abandon(&local, json!(["echo", r#"{"id": "made"}"#])).await;
    assert!(matches!(local.find(&lost.planned, None, Private::default(), 5).await, Found::Pending(_)));
    let Found::Own(found) = local.find(&lost.planned, None, Private::default(), 61).await else {
        panic!("an object found after a lost call is its own")
    };
    assert!(is_gone(&lost.pid));
    assert_eq!(recorded(found).text("id"), Some("made"));
}

#[tokio::test]
async fn lost_call_without_find_stays_unknown() {
    let local = commands().await;
    let planned = attributes(json!({"create": ["true"]}));
    assert_eq!(local.find(&planned, None, Private::default(), 61).await, Found::Unknown);
}

#[tokio::test]
async fn reused_process_id_is_not_stopped() {
    let local = commands().await;
    let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let state = json!({"process": {"pid": other.id(), "start_time": 1, "boot": null}}).to_string();
    let planned = attributes(json!({"create": ["true"], "find": ["echo", "null"]}));
    let found = local.find(&planned, None, Private(state.into_bytes()), 61).await;
    assert_eq!(found, Found::Absent);
    assert!(other.try_wait().unwrap().is_none(), "an unrelated process was stopped");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn failed_find_is_an_error() {
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
async fn cancelled_read_is_stopped() {
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
    // The signal is sent; the process disappears when the runtime of its parent, or init, reaps it.
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
