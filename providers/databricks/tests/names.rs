//! Special characters in names: a supported name round-trips, an unsupported one is refused by the plan.

use crate::conformance::{METASTORE, prepared, view};
use crate::harness::Instance;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use terrace_provider::{ErrorKind, Recorded};

/// 256 names: all critical lengths, and special characters at the beginning, in the middle and at the end.
fn names() -> Vec<String> {
    let parts = [
        "a", "'", "\"", "`", "``", ".", "%", "_", "\\", ";", "--", "/*", "ü", "日本", "🦀", " ", "/", "$", "{x}", "\t",
        "select", "*", "?", "#", "&", "+", "=", "@", "(", ")", "|", "~",
    ];
    let mut names: BTreeSet<String> = BTreeSet::new();
    for part in parts {
        names.extend([part.to_owned(), format!("{part}x"), format!("x{part}"), format!("x{part}y")]);
        names.extend([format!("{part}{part}"), format!("x{part}y{part}z"), format!("_{part}_"), format!("0{part}")]);
    }
    for length in [1, 2, 62, 63, 64, 65, 127, 128, 129, 254, 255, 256, 257] {
        names.insert("n".repeat(length));
        names.insert("ü".repeat(length));
    }
    let mut number = 0;
    while names.len() < 256 {
        names.insert(format!("n{number}"));
        number += 1;
    }
    names.into_iter().take(256).collect()
}

/// Returns true for names that Unity Catalog accepts:
/// <https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-names>.
fn is_accepted(name: &str) -> bool {
    let is_wrong = |c: char| matches!(c, '.' | ' ' | '/') || c.is_control();
    !name.is_empty() && name.chars().count() <= 255 && !name.chars().any(is_wrong)
}

async fn create(instance: &Instance, ty: &str, config: &Json, name: &str) -> Recorded {
    let created = instance.create(ty, config.clone()).await.unwrap_or_else(|error| panic!("{ty} {name:?}: {error}"));
    instance.assert_settled(ty, &created, config).await;
    let read = instance.read(ty, &created).await.unwrap().unwrap_or_else(|| panic!("{ty} {name:?} is not found"));
    assert!(read.attributes["name"].is_same_as(&created.attributes["name"]), "{ty} {name:?}");
    created
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_in_unity_catalog_round_trip_or_are_refused() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let names = names();
    assert_eq!(names.len(), 256);
    let before = stand_in.inventory();
    for name in &names {
        let schema = json!({"workspaceUrl": stand_in.url(), "metastoreId": METASTORE, "catalog": "main", "name": name});
        let mut shown = view(&stand_in, json!([{"name": "id", "comment": name}]));
        shown["name"] = json!(name);
        let cases = [("databricks_schema", schema), ("databricks_view", shown)];
        for (ty, config) in cases {
            if is_accepted(name) {
                let created = create(&instance, ty, &config, name).await;
                instance.delete(ty, &created).await.unwrap();
                assert!(instance.read(ty, &created).await.unwrap().is_none(), "{ty} {name:?}");
            } else {
                stand_in.reset_count();
                let error = instance.plan(ty, None, &config).await.unwrap_err();
                let path = Some("name".parse().unwrap());
                assert_eq!(error.kind, ErrorKind::InvalidInput { path }, "{ty} {name:?}: {error}");
                assert_eq!(stand_in.count(), 0, "{ty} {name:?}");
            }
        }
    }
    assert_eq!(stand_in.inventory(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_have_any_name() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let before = stand_in.inventory();
    for name in names().iter().filter(|name| !name.trim().is_empty()) {
        let mut config = crate::conformance::job(&stand_in, name, 1);
        let created = instance.create("databricks_job", config.clone()).await.unwrap();
        instance.assert_settled("databricks_job", &created, &config).await;
        let arguments = crate::harness::attributes(json!({"workspaceUrl": stand_in.url(), "name": name}));
        let found = instance.session.lookup("databricks_job_id", &arguments).await.unwrap();
        assert_eq!(found["jobId"].as_str(), created.text("jobId"), "{name:?}");
        config["settings"]["name"] = json!(format!("{name}-renamed"));
        let renamed = instance.update("databricks_job", &created, config.clone()).await.unwrap();
        instance.assert_settled("databricks_job", &renamed, &config).await;
        assert_eq!(renamed.text("jobId"), created.text("jobId"), "{name:?}");
        instance.delete("databricks_job", &renamed).await.unwrap();
    }
    assert_eq!(stand_in.inventory(), before);
}
