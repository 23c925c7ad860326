//! The conformance suite for all four types.

use crate::harness::attributes;
use serde_json::json;
use std::path::{Path, PathBuf};
use terrace_provider::conformance::{Fixture, Suite, settings};
use terrace_provider::{Recorded, Value};
use terrace_provider_local::LocalProvider;

fn place(folder: &Path, recorded: &Recorded) -> PathBuf {
    folder.join(recorded.text("path").unwrap())
}

/// Adds the hooks of a type whose objects are entries of the project folder.
fn on_disk(folder: &Path, fixture: Fixture) -> Fixture {
    let (tampered, removed) = (folder.to_path_buf(), folder.to_path_buf());
    fixture
        .tamper(move |recorded| {
            let path = place(&tampered, &recorded);
            async move {
                if path.is_file() {
                    std::fs::write(path, "changed by hand").unwrap();
                } else {
                    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
                }
            }
        })
        .remove(move |recorded| {
            let path = place(&removed, &recorded);
            async move {
                if path.is_dir() {
                    std::fs::remove_dir_all(path).unwrap();
                } else if path.exists() {
                    std::fs::remove_file(path).unwrap();
                }
            }
        })
}

/// A typical program of a user: it keeps its object in a file.
const SCRIPT: &str = r#"
read -r question
case "$1" in
    create | update) printf '{"id": "%s", "seen": %s}' "$2" "$question" | tee "$2" ;;
    read | find) cat "$2" 2>/dev/null || echo null ;;
    delete) rm -f "$2" ;;
esac
"#;

fn command(name: &str, input: serde_json::Value, has_update: bool) -> terrace_provider::Attributes {
    let argv = |action: &str| json!(["sh", "object.sh", action, name]);
    let mut config = json!({
        "create": argv("create"), "read": argv("read"), "delete": argv("delete"), "find": argv("find"), "input": input,
    });
    if has_update {
        config["update"] = argv("update");
    }
    attributes(config)
}

fn on_command(folder: &Path, fixture: Fixture) -> Fixture {
    let (tampered, removed) = (folder.to_path_buf(), folder.to_path_buf());
    let path = |folder: &Path, recorded: &Recorded| folder.join(recorded.text("id").unwrap());
    fixture
        .tamper(move |recorded| {
            let path = path(&tampered, &recorded);
            async move { std::fs::write(path, r#"{"id": "tampered", "seen": 17}"#).unwrap() }
        })
        .remove(move |recorded| {
            let path = path(&removed, &recorded);
            async move { drop(std::fs::remove_file(path)) }
        })
        .not_importable()
}

#[tokio::test]
async fn provider_passes_the_conformance_suite() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("object.sh"), SCRIPT).unwrap();
    std::fs::write(folder.join("source.txt"), "from a source").unwrap();
    let provider = LocalProvider::new();
    let mut secret = attributes(json!({"path": "secret.txt", "content": "hunter2", "sensitive": true}));
    secret.insert("content".to_owned(), Value::sensitive("hunter2".into()));
    let directory = json!({"path": "made/folder"});
    let filled = folder.to_path_buf();

    let suite = Suite::new(&provider, settings(folder))
        .fixture(
            Fixture::new("local_value", "value", attributes(json!({"input": {"a": [1, 2]}, "triggersReplace": "x"})))
                .update(attributes(json!({"input": "b", "triggersReplace": "x"})))
                .replace(attributes(json!({"input": {"a": [1, 2]}, "triggersReplace": "y"})))
                .not_importable(),
        )
        .fixture(on_disk(
            folder,
            Fixture::new("local_file", "text", attributes(json!({"path": "deep/a.txt", "content": "one\n"})))
                .update(attributes(json!({"path": "deep/a.txt", "content": "two\n", "mode": "0600"})))
                .replace(attributes(json!({"path": "deep/b.txt", "content": "one\n"}))),
        ))
        .fixture(on_disk(
            folder,
            Fixture::new("local_file", "bytes", attributes(json!({"path": "a.bin", "contentBase64": "/wD+\nAA=="})))
                .update(attributes(json!({"path": "a.bin", "contentBase64": "AAAA"}))),
        ))
        .fixture(on_disk(
            folder,
            Fixture::new("local_file", "copy", attributes(json!({"path": "copy.txt", "source": "source.txt"})))
                .update(attributes(json!({"path": "copy.txt", "content": "inline"}))),
        ))
        .fixture(on_disk(folder, Fixture::new("local_file", "secret", secret).conceals(&["content", "sha256", "size"])))
        .fixture(
            on_disk(
                folder,
                Fixture::new("local_directory", "folder", attributes(directory))
                    .update(attributes(json!({"path": "made/folder", "mode": "0700", "onDelete": "recursive"})))
                    .replace(attributes(json!({"path": "made/other"}))),
            )
            .fill(move |recorded| {
                let path = place(&filled, &recorded);
                async move { std::fs::write(path.join("entry"), "").unwrap() }
            }),
        )
        .fixture(on_command(
            folder,
            Fixture::new("local_command", "full", command("full.json", json!({"size": 1}), true))
                .verbatim(&["create", "read", "update", "delete"])
                .update(command("full.json", json!({"size": 2}), true)),
        ))
        .fixture(on_command(
            folder,
            Fixture::new("local_command", "without-update", command("plain.json", json!("a"), false))
                .verbatim(&["create", "read", "update", "delete"])
                .replace(command("plain.json", json!("b"), false)),
        ))
        .fixture(
            Fixture::new("local_command", "bare", attributes(json!({"create": ["echo", "{}"]})))
                .verbatim(&["create", "read", "update", "delete"])
                .not_importable()
                .not_findable()
                .not_readable(),
        );
    let report = suite.run().await;
    assert!(report.is_clean(), "{report}");
    assert!(report.shown() > 80, "{report}");
}
