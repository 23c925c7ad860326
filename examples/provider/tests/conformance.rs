use std::path::Path;
use terrace_provider::conformance::{Fixture, Suite, settings};
use terrace_provider::{Attributes, Provider, Recorded, Value};
use terrace_provider_kv::KvProvider;

fn entry(key: &str, value: &str, labels: &[(&str, &str)]) -> Attributes {
    let mut attributes: Attributes = [("key", key), ("value", value)]
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .into_iter()
        .collect();
    let labels: Value = labels.iter().map(|(name, label)| ((*name).to_owned(), Value::from(*label))).collect();
    attributes.insert("labels".to_owned(), labels);
    attributes
}

fn file(folder: &Path, recorded: &Recorded) -> std::path::PathBuf {
    folder.join("kv").join(format!("{}.json", recorded.text("key").unwrap()))
}

#[tokio::test]
async fn provider_passes_the_conformance_suite() {
    let folder = tempfile::tempdir().unwrap();
    let provider = KvProvider::new();
    let mut settings = settings(folder.path());
    settings.values.insert("folder".to_owned(), "kv".into());
    let (tampered, removed) = (folder.path().to_owned(), folder.path().to_owned());
    let fixture = Fixture::new("kv_entry", "labelled", entry("shop.a", "one", &[("team", "web")]))
        .update(entry("shop.a", "two", &[("team", "web"), ("more", "yes")]))
        .replace(entry("shop.b", "one", &[("team", "web")]))
        .tamper(move |recorded| {
            let path = file(&tampered, &recorded);
            async move { std::fs::write(path, r#"{"value": "changed by hand", "revision": 7}"#).unwrap() }
        })
        .remove(move |recorded| {
            let path = file(&removed, &recorded);
            async move { drop(std::fs::remove_file(path)) }
        });
    let report = Suite::new(&provider, settings).fixture(fixture).run().await;
    assert!(report.is_clean(), "{report}");
    assert!(report.shown() > 15, "{report}");
}

#[tokio::test]
async fn connect_fails_if_the_path_is_not_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kv"), "").unwrap();
    let mut settings = settings(folder.path());
    settings.values.insert("folder".to_owned(), "kv".into());
    let Err(error) = KvProvider::new().connect(&settings).await else { panic!("it connects") };
    assert!(error.message.contains("is not a folder") && !error.solutions.is_empty());
}
