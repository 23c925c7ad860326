//! Syncs and sites for the SDK's conformance tests.

use crate::harness::Project;
use crate::put_server::PutServer;
use serde_json::json;
use std::fs;
use std::sync::Arc;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_provider::{Attributes, Value};

fn attributes(json: serde_json::Value, more: serde_json::Value) -> Attributes {
    let (Value::Map(mut entries), Value::Map(more)) = (Value::from(json), Value::from(more)) else {
        panic!("attributes are maps")
    };
    entries.extend(more);
    entries
}

/// Adds a sync to a folder, one to a server, and a site.
pub(crate) fn add<'a>(suite: Suite<'a>, project: &Project, server: &Arc<PutServer>) -> Suite<'a> {
    for (path, text) in [
        ("source/out/a.csv", "id\n1\n"),
        ("source/out/datapackage.json", r#"{"resources": [{"path": "a.csv"}]}"#),
        ("pages/index.html", "<h1>Hello</h1>"),
    ] {
        project.write(path, text);
    }
    suite.fixture(folder(project)).fixture(web(server)).fixture(site(project))
}

fn sync(label: &'static str, destination: &str, other: &str) -> Fixture {
    let config = |destination: &str, more| {
        attributes(json!({"destination": destination, "name": "weekly", "source": "source/out"}), more)
    };
    Fixture::new("pipelines_volume_sync", label, config(destination, json!({})))
        .update(config(destination, json!({"exclude": ["datapackage.json"]})))
        .replace(config(other, json!({})))
}

fn folder(project: &Project) -> Fixture {
    let target = project.path("there");
    let (tampered, removed) = (target.clone(), target.clone());
    sync("folder", &target.display().to_string(), &project.path("elsewhere").display().to_string())
        .tamper(move |_| {
            let path = tampered.join("weekly/out/a.csv");
            async move { fs::write(path, "other").unwrap() }
        })
        .remove(move |_| {
            let path = removed.clone();
            async move { drop(fs::remove_dir_all(path)) }
        })
}

fn web(server: &Arc<PutServer>) -> Fixture {
    let (tampered, removed) = (Arc::clone(server), Arc::clone(server));
    sync("web", &format!("{}/store", server.url), &format!("{}/other", server.url))
        .tamper(move |_| {
            let server = Arc::clone(&tampered);
            async move { server.tamper("/store/weekly/out/a.csv", Some("other")) }
        })
        .remove(move |_| {
            let server = Arc::clone(&removed);
            async move { server.tamper_all() }
        })
}

fn site(project: &Project) -> Fixture {
    let config = |more| attributes(json!({"name": "weekly", "contentDir": "pages"}), more);
    let sites = project.path(".terrace/pipelines/sites");
    let (tampered, removed) = (sites.clone(), sites);
    Fixture::new("pipelines_static_site", "shown", config(json!({})))
        .update(config(json!({"cacheControl": "max-age=60"})))
        .replace(config(json!({"name": "daily"})))
        .tamper(move |_| {
            let path = tampered.join("weekly/current/index.html");
            async move { fs::write(path, "other").unwrap() }
        })
        .remove(move |_| {
            let path = removed.clone();
            async move { drop(fs::remove_dir_all(path)) }
        })
}
