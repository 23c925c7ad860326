//! `local_directory`: modes and deletion.

use crate::harness::{Local, attributes, expect_invalid, recorded};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use terrace_provider::{DataAmount, ErrorKind, Found, Observed, Private};

#[tokio::test]
async fn folder_is_created_with_its_parents_and_its_mode() {
    let local = Local::of("local_directory").await;
    let created = local.create(json!({"path": "a/b", "mode": "0750"})).await.unwrap();
    assert_eq!(created.text("id"), Some("a/b"));
    let mode = |local: &Local| local.path("a/b").metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&local), 0o750);
    local.update(&created, json!({"path": "a/b", "mode": "0700"})).await.unwrap();
    assert_eq!(mode(&local), 0o700);
}

#[tokio::test]
async fn folder_with_content_is_not_deleted() {
    let local = Local::of("local_directory").await;
    let created = local.create(json!({"path": "a"})).await.unwrap();
    local.write("a/one", "");
    local.write("a/two", "");
    let amount = local.session.count_data(&local.ty, &created).await.unwrap();
    assert_eq!(amount, DataAmount::Some { count: 2, text: "2 entries".to_owned() });
    let error = local.delete(&created).await.unwrap_err();
    expect_invalid(&error, "onDelete", "it contains 2 entries");
    assert_eq!(local.names(), ["a"]);
}

#[tokio::test]
async fn recursive_deletion_does_not_follow_links() {
    let local = Local::of("local_directory").await;
    let created = local.create(json!({"path": "a", "onDelete": "recursive"})).await.unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("kept"), "").unwrap();
    std::os::unix::fs::symlink(outside.path(), local.path("a/link")).unwrap();
    std::fs::create_dir(local.path("a/inner")).unwrap();
    local.write("a/inner/file", "");
    local.delete(&created).await.unwrap();
    assert!(local.names().is_empty());
    assert!(outside.path().join("kept").exists());
}

#[tokio::test]
async fn existing_folder_is_not_taken_over() {
    let local = Local::of("local_directory").await;
    std::fs::create_dir(local.path("a")).unwrap();
    let error = local.create(json!({"path": "a"})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some("a".to_owned()) });
}

#[tokio::test]
async fn folder_older_than_the_lost_call_is_foreign() {
    let local = Local::of("local_directory").await;
    let plan = local.plan(None, json!({"path": "a"})).await.unwrap();
    std::fs::create_dir(local.path("a")).unwrap();
    // The call was recorded a minute ago: the folder is newer.
    let found = local.find(&plan.planned, None, Private::default(), 60).await;
    assert!(matches!(found, Found::Own(_)), "{found:?}");

    // No folder of a test is older than a call; a folder of the system is.
    let old = std::path::Path::new("/usr").canonicalize().unwrap();
    let local = Local::over(&old, "local_directory").await;
    let plan = local.plan(None, json!({"path": "bin"})).await.unwrap();
    let found = local.find(&plan.planned, None, Private::default(), 1).await;
    assert!(matches!(found, Found::Foreign(_)), "{found:?}");
}

#[tokio::test]
async fn invalid_values_are_refused_in_the_plan() {
    let local = Local::of("local_directory").await;
    let error = local.plan(None, json!({"path": "a", "onDelete": "always"})).await.unwrap_err();
    expect_invalid(&error, "onDelete", "expected `ifEmpty` or `recursive`");
    let error = local.plan(None, json!({"path": "a", "mode": "rwx"})).await.unwrap_err();
    expect_invalid(&error, "mode", "octal digits");
    let error = local.plan(None, json!({"path": "../a"})).await.unwrap_err();
    expect_invalid(&error, "path", "out of the project folder");
    let error = local.plan(None, json!({"path": "."})).await.unwrap_err();
    expect_invalid(&error, "path", "below the project folder");
}

#[tokio::test]
async fn folder_with_a_protected_file_is_refused() {
    let local = Local::protecting("local_directory", &["data/keys.txt"]).await;
    for path in ["data", "data/keys.txt"] {
        let error = local.plan(None, json!({"path": path, "onDelete": "recursive"})).await.unwrap_err();
        expect_invalid(&error, "path", "a key file");
    }
    local.plan(None, json!({"path": "data/other"})).await.unwrap();
    let attributes = attributes(json!({"path": "data", "onDelete": "recursive"}));
    let prior = recorded(Observed { attributes, ..Observed::default() });
    expect_invalid(&local.delete(&prior).await.unwrap_err(), "path", "a key file");
    assert_eq!(local.content("data/keys.txt"), "secret");
}

#[tokio::test]
async fn folder_replaced_by_a_file_counts_as_deleted() {
    let local = Local::of("local_directory").await;
    let created = local.create(json!({"path": "a"})).await.unwrap();
    std::fs::remove_dir(local.path("a")).unwrap();
    local.write("a", "");
    assert!(local.read(&created).await.unwrap().is_none());
    local.delete(&created).await.unwrap();
    assert!(local.path("a").is_file(), "the file stays");
}
