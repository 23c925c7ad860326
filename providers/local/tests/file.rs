//! `local_file`: forms of content, atomic writes, the limits of the project folder.

use crate::harness::{Local, attributes, expect_invalid, recorded};
use serde_json::json;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use terrace_provider::{Call, ErrorKind, Found, Observed, Planned, Private, Value};

const SHA256_OF_ONE: &str = "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806";

#[tokio::test]
async fn digest_and_size_are_known_if_the_content_is() {
    let local = Local::of("local_file").await;
    let plan = local.plan(None, json!({"path": "./a//b.txt", "content": "one\n"})).await.unwrap();
    assert_eq!(plan.planned.get("sha256"), Some(&SHA256_OF_ONE.into()));
    assert_eq!(plan.planned.get("size"), Some(&Value::Int(4)));
    assert_eq!(plan.planned.get("id"), Some(&"a/b.txt".into()));
    let mut unknown = attributes(json!({"path": "a"}));
    unknown.insert("content".to_owned(), Value::Unknown);
    let plan = local.plan_values(None, &unknown, &[]).await.unwrap();
    assert_eq!(plan.planned.get("sha256"), Some(&Value::Unknown));
}

#[tokio::test]
async fn file_is_written_with_its_mode_and_without_leftovers() {
    let local = Local::of("local_file").await;
    let created = local.create(json!({"path": "a.txt", "content": "one\n", "mode": "0640"})).await.unwrap();
    assert_eq!(local.content("a.txt"), "one\n");
    assert_eq!(local.path("a.txt").metadata().unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(created.text("sha256"), Some(SHA256_OF_ONE));
    local.update(&created, json!({"path": "a.txt", "content": "two", "mode": "0444"})).await.unwrap();
    assert_eq!(local.content("a.txt"), "two");
    assert_eq!(local.names(), ["a.txt"]);
}

#[tokio::test]
async fn update_replaces_the_whole_file() {
    let local = Local::of("local_file").await;
    let created = local.create(json!({"path": "a.txt", "content": "one"})).await.unwrap();
    let reader = std::fs::File::open(local.path("a.txt")).unwrap();
    local.update(&created, json!({"path": "a.txt", "content": "two and more"})).await.unwrap();
    assert_eq!(std::io::read_to_string(reader).unwrap(), "one");
}

#[tokio::test]
async fn next_write_removes_the_leftover_of_a_crash() {
    let local = Local::of("local_file").await;
    let created = local.create(json!({"path": "a.txt", "content": "one"})).await.unwrap();
    let leftover = leave_a_temporary_file(&local);
    assert_eq!(local.names().len(), 2);
    let updated = local.update(&created, json!({"path": "a.txt", "content": "two"})).await.unwrap();
    assert_eq!(local.names(), ["a.txt"]);
    assert_eq!(local.content("a.txt"), "two");

    std::fs::write(&leftover, "half of something longer").unwrap();
    local.delete(&updated).await.unwrap();
    assert!(local.names().is_empty());
}

#[tokio::test]
async fn two_writers_of_one_path_do_not_mix() {
    let local = Local::of("local_file").await;
    let created = local.create(json!({"path": "a.txt", "content": "one"})).await.unwrap();
    let leftover = leave_a_temporary_file(&local);
    let other = std::fs::File::open(&leftover).unwrap();
    other.lock().unwrap();
    let plan = local.plan(Some(&created), json!({"path": "a.txt", "content": "two"})).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let error = local.session.update(&local.ty, &local.call(), &created, &planned).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
    assert_eq!(local.content("a.txt"), "one");
    assert_eq!(std::fs::read_to_string(leftover).unwrap(), "half of something longer");
}

/// Creates the leftover of a crashed write of `a.txt`.
fn leave_a_temporary_file(local: &Local) -> std::path::PathBuf {
    // The first digits of the digest of its name.
    let path = local.path(".terrace-18b7cb099a9ea3f5.tmp");
    std::fs::write(&path, "half of something longer").unwrap();
    path
}

#[tokio::test]
async fn exactly_one_form_of_content_is_allowed() {
    let local = Local::of("local_file").await;
    let error = local.plan(None, json!({"path": "a"})).await.unwrap_err();
    assert!(error.message.contains("found none"), "{error}");
    let error = local.plan(None, json!({"path": "a", "content": "x", "source": "y"})).await.unwrap_err();
    expect_invalid(&error, "source", "found `content` and `source`");
    let error = local.plan(None, json!({"path": "a", "contentBase64": "hunter2!"})).await.unwrap_err();
    expect_invalid(&error, "contentBase64", "is not base64");
    assert!(!error.message.contains("hunter2"));
}

#[tokio::test]
async fn unknown_form_of_content_may_become_null() {
    let local = Local::of("local_file").await;
    let unknown = |known: serde_json::Value, names: &[&str]| {
        let mut config = attributes(known);
        config.extend(names.iter().map(|name| ((*name).to_owned(), Value::Unknown)));
        config
    };
    for config in [
        unknown(json!({"path": "./a"}), &["content", "contentBase64", "source"]),
        unknown(json!({"path": "./a", "content": "x"}), &["source"]),
    ] {
        let planned = local.plan_values(None, &config, &[]).await.unwrap().planned;
        assert_eq!(planned.get("id"), Some(&"a".into()));
    }
    let config = unknown(json!({"path": "a", "content": "x", "source": "y"}), &["contentBase64"]);
    let error = local.plan_values(None, &config, &[]).await.unwrap_err();
    expect_invalid(&error, "source", "found `content` and `source`");
}

#[tokio::test]
async fn drift_of_text_is_shown_as_text() {
    let local = Local::of("local_file").await;
    let config = json!({"path": "a.txt", "content": "one\ntwo\n"});
    let created = local.create(config.clone()).await.unwrap();
    local.write("a.txt", "one\n2\n");
    let read = local.read(&created).await.unwrap().unwrap();
    assert_eq!(read.text("content"), Some("one\n2\n"));
    local.update(&read, config).await.unwrap();
    assert_eq!(local.content("a.txt"), "one\ntwo\n");
}

#[tokio::test]
async fn invalid_utf8_is_drift_even_if_it_prints_the_same() {
    let local = Local::of("local_file").await;
    let config = json!({"path": "a.txt", "content": "\u{fffd}"});
    let created = local.create(config.clone()).await.unwrap();
    local.write("a.txt", [0xff]);
    let read = local.read(&created).await.unwrap().unwrap();
    let plan = local.plan(Some(&read), config.clone()).await.unwrap();
    assert_ne!(plan.planned.get("sha256"), read.attributes.get("sha256"));
    local.update(&read, config).await.unwrap();
    assert_eq!(local.content("a.txt"), "\u{fffd}");
}

#[tokio::test]
async fn base64_keeps_its_spelling_until_the_bytes_change() {
    let local = Local::of("local_file").await;
    let created = local.create(json!({"path": "a", "contentBase64": "AAAA\nAAAA\n"})).await.unwrap();
    let read = local.read(&created).await.unwrap().unwrap();
    assert_eq!(read.text("contentBase64"), Some("AAAA\nAAAA\n"));
    local.write("a", [1, 2, 3]);
    let read = local.read(&created).await.unwrap().unwrap();
    assert_eq!(read.text("contentBase64"), Some("AQID"));
}

#[tokio::test]
async fn changed_source_is_an_update_and_refused_after_the_plan() {
    let local = Local::of("local_file").await;
    local.write("source", "one\n");
    let config = json!({"path": "a", "source": "source"});
    let created = local.create(config.clone()).await.unwrap();
    assert_eq!(created.text("sha256"), Some(SHA256_OF_ONE));

    local.write("source", "two");
    let plan = local.plan(Some(&created), config.clone()).await.unwrap();
    assert_ne!(plan.planned.get("sha256"), created.attributes.get("sha256"));

    local.write("source", "three");
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let error = local.session.update(&local.ty, &local.call(), &created, &planned).await.unwrap_err();
    expect_invalid(&error, "source", "changed since the plan was made");
    assert_eq!(local.content("a"), "one\n");
    assert_eq!(local.names(), ["a", "source"]);

    local.update(&created, config).await.unwrap();
    assert_eq!(local.content("a"), "three");
}

#[tokio::test]
async fn same_plan_may_create_the_source() {
    let local = Local::of("local_file").await;
    let plan = local.plan(None, json!({"path": "a", "source": "later"})).await.unwrap();
    assert_eq!(plan.planned.get("sha256"), Some(&Value::Unknown));
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let error = local.session.create(&local.ty, &local.call(), &planned).await.unwrap_err();
    expect_invalid(&error, "source", "there is no such file");
    assert!(local.names().is_empty());
    local.write("later", "now");
    local.session.create(&local.ty, &local.call(), &planned).await.unwrap();
    assert_eq!(local.content("a"), "now");
}

#[tokio::test]
async fn missing_parents_are_created_unless_disabled() {
    let local = Local::of("local_file").await;
    let error = local.create(json!({"path": "x/y/a", "content": "", "makeParents": false})).await.unwrap_err();
    expect_invalid(&error, "path", "its folder does not exist");
    local.create(json!({"path": "x/y/a", "content": ""})).await.unwrap();
    assert_eq!(local.content("x/y/a"), "");
}

#[tokio::test]
async fn existing_file_is_not_taken_over() {
    let local = Local::of("local_file").await;
    local.write("a", "theirs");
    let error = local.create(json!({"path": "a", "content": "ours"})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some("a".to_owned()) });
    assert_eq!(local.content("a"), "theirs");
    assert_eq!(local.names(), ["a"]);
}

#[tokio::test]
async fn links_are_not_followed_to_read_write_or_delete() {
    let local = Local::of("local_file").await;
    let created = local.create(json!({"path": "a", "content": "ours"})).await.unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), "theirs").unwrap();
    std::fs::remove_file(local.path("a")).unwrap();
    symlink(outside.path(), local.path("a")).unwrap();

    expect_invalid(&local.read(&created).await.unwrap_err(), "path", "found a symbolic link");
    expect_invalid(&local.delete(&created).await.unwrap_err(), "path", "found a symbolic link");
    let error = local.create(json!({"path": "a", "content": "ours"})).await.unwrap_err();
    expect_invalid(&error, "path", "found a symbolic link");
    symlink(outside.path(), local.path("source")).unwrap();
    let error = local.plan(None, json!({"path": "b", "source": "source"})).await.unwrap_err();
    expect_invalid(&error, "source", "a symbolic link leads out");
    assert_eq!(std::fs::read_to_string(outside.path()).unwrap(), "theirs");
}

#[tokio::test]
async fn pipe_or_folder_in_place_of_the_file_is_an_error() {
    let local = Local::of("local_file").await;
    let created = local.create(json!({"path": "a", "content": "ours"})).await.unwrap();
    std::fs::remove_file(local.path("a")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(local.path("a")).status().unwrap().success());
    expect_invalid(&local.read(&created).await.unwrap_err(), "path", "a device, pipe or socket");
    std::fs::remove_file(local.path("a")).unwrap();
    std::fs::create_dir(local.path("a")).unwrap();
    expect_invalid(&local.delete(&created).await.unwrap_err(), "path", "found a folder");
}

#[tokio::test]
async fn sensitive_file_hides_content_digest_and_size() {
    let local = Local::of("local_file").await;
    let config = json!({"path": "a", "content": "hunter2", "sensitive": true});
    let plan = local.plan(None, config.clone()).await.unwrap();
    let created = local.create(config).await.unwrap();
    let read = local.read(&created).await.unwrap().unwrap();
    for attributes in [&plan.planned, &created.attributes, &read.attributes] {
        for name in ["content", "sha256", "size"] {
            assert!(matches!(attributes.get(name), Some(Value::Sensitive(_))), "{name} of {attributes:?}");
        }
    }
    // A mark on the content has the same effect.
    let mut config = attributes(json!({"path": "b"}));
    config.insert("content".to_owned(), Value::sensitive("hunter2".into()));
    let created = local.create_values(&config, &local.call()).await.unwrap();
    assert!(matches!(created.attributes.get("sha256"), Some(Value::Sensitive(_))));
    let source = json!({"path": "c", "source": "a", "sensitive": true});
    let created = local.create(source).await.unwrap();
    assert!(matches!(created.attributes.get("size"), Some(Value::Sensitive(_))));
}

#[tokio::test]
async fn changed_file_is_deleted() {
    let local = Local::of("local_file").await;
    let created = local.create(json!({"path": "a", "content": "ours"})).await.unwrap();
    local.write("a", "changed");
    local.delete(&created).await.unwrap();
    assert!(local.names().is_empty());
}

#[tokio::test]
async fn lost_create_is_recognised_by_bytes_mode_and_age() {
    let local = Local::of("local_file").await;
    let plan = local.plan(None, json!({"path": "a", "content": "ours"})).await.unwrap();
    let find = async || local.find(&plan.planned, None, Private::default(), 60).await;
    assert_eq!(find().await, Found::Absent);
    local.write("a", "theirs");
    assert!(matches!(find().await, Found::Foreign(_)));
    local.write("a", "ours");
    std::fs::set_permissions(local.path("a"), PermissionsExt::from_mode(0o600)).unwrap();
    assert!(matches!(find().await, Found::Foreign(_)));
    std::fs::set_permissions(local.path("a"), PermissionsExt::from_mode(0o644)).unwrap();
    assert!(matches!(find().await, Found::Own(_)));
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(local.path("a")).unwrap().set_modified(long_ago).unwrap();
    assert!(matches!(find().await, Found::Foreign(_)));
}

#[tokio::test]
async fn lost_update_returns_the_current_content() {
    let local = Local::of("local_file").await;
    let created = local.create(json!({"path": "a", "content": "one"})).await.unwrap();
    let plan = local.plan(Some(&created), json!({"path": "a", "content": "two"})).await.unwrap();
    let Found::Own(found) = local.find(&plan.planned, Some(&created), Private::default(), 60).await else {
        panic!("the object of an update is the own one")
    };
    assert_eq!(recorded(found).text("content"), Some("one"));
}

#[tokio::test]
async fn import_reads_text_as_text_and_bytes_as_base64() {
    let local = Local::of("local_file").await;
    local.write("text", "grüß");
    local.write("bytes", [0xff, 0]);
    std::fs::set_permissions(local.path("text"), PermissionsExt::from_mode(0o600)).unwrap();
    let text = recorded(local.session.import(&local.ty, "text").await.unwrap().unwrap());
    assert_eq!((text.text("content"), text.text("mode")), (Some("grüß"), Some("0600")));
    let bytes = recorded(local.session.import(&local.ty, "bytes").await.unwrap().unwrap());
    assert_eq!(bytes.text("contentBase64"), Some("/wA="));
    let plan = local.plan(Some(&text), json!({"path": "text", "content": "grüß", "mode": "0600"})).await.unwrap();
    assert_eq!(plan.planned, text.attributes);
    assert!(local.session.import(&local.ty, "none").await.unwrap().is_none());
}

#[tokio::test]
async fn names_of_every_valid_length_can_be_written() {
    let local = Local::of("local_file").await;
    let longest = "n".repeat(255);
    local.create(json!({"path": longest, "content": "x"})).await.unwrap();
    let error = local.create(json!({"path": "n".repeat(256), "content": "x"})).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::InvalidInput { .. }), "{error}");
    assert_eq!(local.path(&longest).metadata().unwrap().nlink(), 1);
}

#[tokio::test]
async fn protected_file_is_neither_read_nor_written() {
    let local = Local::protecting("local_file", &["state/key.txt"]).await;
    symlink("state/key.txt", local.path("link")).unwrap();
    symlink("state", local.path("folder")).unwrap();
    std::fs::hard_link(local.path("state/key.txt"), local.path("hard")).unwrap();
    for path in ["state/key.txt", "state/./x/../key.txt", "STATE/KEY.txt", "link", "folder/key.txt", "hard"] {
        let arguments = attributes(json!({"path": path}));
        let error = local.session.lookup("local_file", &arguments).await.unwrap_err();
        expect_invalid(&error, "path", "a key file");
        let error = local.plan(None, json!({"path": path, "content": "x"})).await.unwrap_err();
        expect_invalid(&error, "path", "a key file");
        let error = local.plan(None, json!({"path": "copy", "source": path})).await.unwrap_err();
        expect_invalid(&error, "source", "a key file");
        let error = local.session.import(&local.ty, path).await.unwrap_err();
        expect_invalid(&error, "path", "a key file");
        let prior = recorded(Observed { attributes: attributes(json!({"path": path})), ..Observed::default() });
        expect_invalid(&local.read(&prior).await.unwrap_err(), "path", "a key file");
        expect_invalid(&local.delete(&prior).await.unwrap_err(), "path", "a key file");
    }
    assert_eq!(local.content("state/key.txt"), "secret");
    local.create(json!({"path": "state/other.txt", "content": "x"})).await.unwrap();
}

fn mode(local: &Local, name: &str) -> u32 {
    local.path(name).metadata().unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn sensitive_file_without_mode_is_private() {
    let local = Local::of("local_file").await;
    let mut marked = attributes(json!({"path": "marked"}));
    marked.insert("content".to_owned(), Value::sensitive("s".into()));
    let plan = local.plan_values(None, &marked, &[]).await.unwrap();
    assert_eq!(plan.planned.get("mode"), Some(&"0600".into()));
    local.create_values(&marked, &local.call()).await.unwrap();
    local.create(json!({"path": "said", "content": "s", "sensitive": true})).await.unwrap();
    local.create(json!({"path": "open", "content": "s"})).await.unwrap();
    local.create(json!({"path": "chosen", "content": "s", "sensitive": true, "mode": "0640"})).await.unwrap();
    let modes = ["marked", "said", "open", "chosen"].map(|name| mode(&local, name));
    assert_eq!(modes, [0o600, 0o600, 0o644, 0o640]);
}

#[tokio::test]
async fn mode_of_unknown_content_is_unknown_until_its_sensitivity_is_known() {
    let local = Local::of("local_file").await;
    let mut config = attributes(json!({"path": "a"}));
    config.insert("content".to_owned(), Value::Unknown);
    let plan = local.plan_values(None, &config, &[]).await.unwrap();
    assert_eq!(plan.planned.get("mode"), Some(&Value::Unknown));
    config.insert("content".to_owned(), Value::sensitive(Value::Unknown));
    let plan = local.plan_values(None, &config, &[]).await.unwrap();
    assert_eq!(plan.planned.get("mode"), Some(&"0600".into()));
}

#[tokio::test]
async fn older_sensitive_file_keeps_its_mode_until_it_is_written_again() {
    let local = Local::of("local_file").await;
    // As an earlier version created and recorded it.
    let older = local.create(json!({"path": "a", "content": "s", "sensitive": true, "mode": "0644"})).await.unwrap();
    let config = json!({"path": "a", "content": "s", "sensitive": true});
    let plan = local.plan(Some(&older), config.clone()).await.unwrap();
    assert_eq!(plan.planned.get("mode"), Some(&"0644".into()));
    let read = local.read(&older).await.unwrap().unwrap();
    assert_eq!(local.plan(Some(&read), config.clone()).await.unwrap().planned, read.attributes);
    let written = local.update(&older, json!({"path": "a", "content": "t", "sensitive": true})).await.unwrap();
    assert_eq!((mode(&local, "a"), written.text("mode")), (0o600, Some("0600")));
    // A different mode is drift.
    std::fs::set_permissions(local.path("a"), std::fs::Permissions::from_mode(0o666)).unwrap();
    let read = local.read(&written).await.unwrap().unwrap();
    assert_eq!(read.text("mode"), Some("0666"));
    assert_eq!(local.plan(Some(&read), config).await.unwrap().planned.get("mode"), Some(&"0600".into()));
}

#[tokio::test]
async fn file_replaces_only_folders_that_its_operation_emptied() {
    let local = Local::of("local_file").await;
    for path in ["a/b/c/one", "a/d/two"] {
        let inner = local.create(json!({"path": path, "content": "ours"})).await.unwrap();
        local.delete(&inner).await.unwrap();
    }
    let other = Call { operation: "another operation".to_owned(), ..local.call() };
    let config = attributes(json!({"path": "a", "content": "ours"}));
    let error = local.create_values(&config, &other).await.unwrap_err();
    expect_invalid(&error, "path", "found a folder");
    let by_hand = local.path("a/mine");
    std::fs::create_dir(&by_hand).unwrap();
    let error = local.create(json!({"path": "a", "content": "ours"})).await.unwrap_err();
    expect_invalid(&error, "path", "found a folder");
    assert!(local.path("a/b/c").is_dir() && by_hand.is_dir(), "nothing was removed");
    std::fs::remove_dir(by_hand).unwrap();
    let made = local.create(json!({"path": "a", "content": "ours"})).await.unwrap();
    assert_eq!(local.content("a"), "ours");
    local.delete(&made).await.unwrap();
    std::fs::create_dir_all(local.path("a/b")).unwrap();
    local.write("a/b/theirs", "theirs");
    std::fs::create_dir(local.path("a/c")).unwrap();
    let error = local.create(json!({"path": "a", "content": "ours"})).await.unwrap_err();
    expect_invalid(&error, "path", "found a folder");
    assert_eq!(local.content("a/b/theirs"), "theirs");
    assert!(local.path("a/c").is_dir(), "nothing was removed");
}

#[tokio::test]
async fn file_is_gone_if_a_folder_replaces_it_or_a_file_its_parent() {
    let local = Local::of("local_file").await;
    let deep = local.create(json!({"path": "a/b", "content": "x"})).await.unwrap();
    std::fs::remove_dir_all(local.path("a")).unwrap();
    let file = local.create(json!({"path": "a", "content": "x"})).await.unwrap();
    assert!(local.read(&deep).await.unwrap().is_none());
    local.delete(&deep).await.unwrap();
    // A plan may remove this file; as long as it exists a create fails.
    local.plan(None, json!({"path": "a/b", "content": "x"})).await.unwrap();
    let error = local.create(json!({"path": "a/b", "content": "x"})).await.unwrap_err();
    expect_invalid(&error, "path", "a part of this path is not a folder");
    local.delete(&file).await.unwrap();
    std::fs::create_dir(local.path("a")).unwrap();
    assert!(local.read(&file).await.unwrap().is_none());
}

#[tokio::test]
async fn other_spelling_of_a_path_plans_nothing() {
    for ty in ["local_file", "local_directory"] {
        let local = Local::of(ty).await;
        let config = |path: &str| match ty {
            "local_file" => json!({"path": path, "content": "x"}),
            _ => json!({"path": path}),
        };
        let made = local.create(config("a.txt")).await.unwrap();
        for path in ["./a.txt", "b/../a.txt", ".//a.txt"] {
            let plan = local.plan(Some(&made), config(path)).await.unwrap();
            assert_eq!(plan.replace_paths, [], "{ty} {path}");
            assert_eq!(plan.planned, made.attributes, "{ty} {path}");
        }
    }
}
