//! Sites: their files and versions, interruptions, and changes by other programs.

use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use terrace_provider::call::NoProgress;
use terrace_provider::{
    Attributes, Call, Observed, Planned, ProposedChange, Provider, ProviderError, Recorded, ResourceType, Session,
    Value, conformance,
};
use terrace_provider_pipelines::PipelinesProvider;
use terrace_provider_pipelines::settings::site_store;
use tokio_util::sync::CancellationToken;

struct SiteProject {
    folder: TempDir,
    session: Arc<dyn Session>,
    ty: ResourceType,
}

fn attributes(json: serde_json::Value) -> Attributes {
    match Value::from(json) {
        Value::Map(entries) => entries,
        other => panic!("attributes are a map, not {other:?}"),
    }
}

impl SiteProject {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = conformance::settings(folder.path());
        settings.values = attributes(json!({"cacheDir": "caches"}));
        let provider = PipelinesProvider::new();
        let session = provider.connect(&settings).await.unwrap();
        let ty = provider.schema().resource("pipelines_static_site").unwrap().clone();
        let project = Self { folder, session, ty };
        for (path, text) in [
            ("data/index.html", "<h1>written</h1>"),
            ("data/list/index.html", "<h1>list</h1>"),
            ("data/style.css", "h1 {}"),
            ("public/404.html", "<h1>not here</h1>"),
            ("public/style.css", "h1 { color: red }"),
            ("data/templates/page.jinja", "{{ page }}"),
            ("data/.env", "SECRET=1"),
        ] {
            project.write(path, text);
        }
        project
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    async fn plan(&self, prior: Option<&Recorded>, config: &Attributes) -> Result<Attributes, ProviderError> {
        let change = ProposedChange { address: "a", prior, config, must_replace: false, changed_write_only: &[] };
        Ok(self.session.plan(&self.ty, &change).await?.planned)
    }

    fn call() -> Call {
        Call {
            address: "a".to_owned(),
            operation: "o".to_owned(),
            step: "s".to_owned(),
            timeout: std::time::Duration::from_secs(60),
            removes_data: false,
            cancel: CancellationToken::new(),
            progress: Arc::new(NoProgress),
        }
    }

    async fn create(&self, config: &Attributes) -> Result<Recorded, ProviderError> {
        let planned = Planned { attributes: self.plan(None, config).await?, ..Planned::default() };
        self.session.create(&self.ty, &Self::call(), &planned).await.map(recorded)
    }

    async fn update(&self, prior: &Recorded, config: &Attributes) -> Result<Recorded, ProviderError> {
        let planned = Planned { attributes: self.plan(Some(prior), config).await?, ..Planned::default() };
        self.session.update(&self.ty, &Self::call(), prior, &planned).await.map(recorded)
    }

    async fn read(&self, prior: &Recorded) -> Option<Recorded> {
        self.session.read(&self.ty, prior).await.unwrap().map(recorded)
    }
}

fn recorded(observed: Observed) -> Recorded {
    Recorded {
        address: "a".to_owned(),
        identity: observed.identity,
        attributes: observed.attributes,
        ..Recorded::default()
    }
}

fn text<'a>(recorded: &'a Recorded, name: &str) -> &'a str {
    recorded.attributes[name].as_str().unwrap()
}

#[tokio::test]
async fn overlay_takes_precedence_and_templates_and_secrets_are_hidden() {
    let project = SiteProject::new().await;
    let config = attributes(json!({"name": "weekly"}));
    let site = project.create(&config).await.unwrap();
    let published = site_store(&conformance::settings(project.folder.path())).published("weekly").unwrap().unwrap();
    let files: Vec<&String> = published.site.files.keys().collect();
    assert_eq!(files, ["404.html", "index.html", "list/index.html", "style.css"]);
    assert_eq!(fs::read_to_string(published.folder.join("style.css")).unwrap(), "h1 { color: red }");
    assert_eq!(text(&site, "url"), "http://127.0.0.1:8093/sites/weekly/");
    assert_eq!(site.attributes["files"], Value::Int(4));
}

#[tokio::test]
async fn rendered_site_switches_atomically_and_keeps_last_version() {
    let project = SiteProject::new().await;
    let config = attributes(json!({"name": "weekly", "renderTo": "www"}));
    let first = project.create(&config).await.unwrap();
    assert_eq!(
        text(&first, "url"),
        format!("{}/", project.folder.path().canonicalize().unwrap().join("www/current").display())
    );
    let one = fs::read_link(project.path("www/current")).unwrap();
    project.write("www/robots.txt", "theirs");
    project.write("data/index.html", "<h1>second</h1>");
    let second = project.update(&first, &config).await.unwrap();
    assert_eq!(fs::read_to_string(project.path("www/current/index.html")).unwrap(), "<h1>second</h1>");
    assert!(project.path("www").join(&one).exists(), "a reader may still use it");
    project.write("data/index.html", "<h1>third</h1>");
    let third = project.update(&second, &config).await.unwrap();
    assert!(!project.path("www").join(&one).exists());
    assert_eq!(fs::read_dir(project.path("www/versions")).unwrap().count(), 2);
    project.session.delete(&project.ty, &SiteProject::call(), &third).await.unwrap();
    assert_eq!(fs::read_dir(project.path("www")).unwrap().count(), 1, "files of other programs stay");
}

#[tokio::test]
async fn altered_site_is_detected_and_repaired() {
    let project = SiteProject::new().await;
    let config = attributes(json!({"name": "weekly", "renderTo": "www"}));
    let site = project.create(&config).await.unwrap();
    project.write("www/current/index.html", "<h1>defaced</h1>");
    let read = project.read(&site).await.unwrap();
    assert_ne!(text(&read, "contentHash"), text(&site, "contentHash"));
    let repaired = project.update(&read, &config).await.unwrap();
    assert_eq!(fs::read_to_string(project.path("www/current/index.html")).unwrap(), "<h1>written</h1>");
    assert_eq!(project.read(&repaired).await.unwrap().attributes, repaired.attributes);
    fs::remove_file(project.path("www/current")).unwrap();
    assert!(project.read(&repaired).await.is_none());
    project.create(&config).await.unwrap();
}

#[tokio::test]
async fn next_version_removes_rest_of_interrupted_one() {
    let project = SiteProject::new().await;
    let config = attributes(json!({"name": "weekly", "renderTo": "www"}));
    let left = ".partial-0193a000-0000-7000-8000-000000000000";
    project.write(&format!("www/versions/{left}/index.html"), "half");
    project.create(&config).await.unwrap();
    assert!(!project.path("www/versions").join(left).exists());
}

#[tokio::test]
async fn existing_folder_is_not_replaced() {
    let project = SiteProject::new().await;
    project.write("www/current/index.html", "theirs");
    let config = attributes(json!({"name": "weekly", "renderTo": "www"}));
    let error = project.create(&config).await.unwrap_err();
    assert!(error.message.contains("is not the link of a site"), "{error}");
    assert_eq!(fs::read_to_string(project.path("www/current/index.html")).unwrap(), "theirs");
}

#[tokio::test]
async fn invalid_site_is_reported_by_attribute() {
    let project = SiteProject::new().await;
    for (config, attribute) in [
        (json!({"name": "../up"}), "name"),
        (json!({"name": "a", "contentDir": ".."}), "contentDir"),
        (json!({"name": "a", "overlayDir": "/etc"}), "overlayDir"),
        (json!({"name": "a", "errorDocument": "../404.html"}), "errorDocument"),
        (json!({"name": "a", "cacheControl": "no\ncache"}), "cacheControl"),
        (json!({"name": "a", "renderTo": "data/www"}), "renderTo"),
    ] {
        let error = project.plan(None, &attributes(config.clone())).await.unwrap_err();
        assert!(error.message.contains(&format!("`{attribute}`")), "{config}: {error}");
    }
}

#[tokio::test]
async fn missing_pages_are_known_after_apply() {
    let project = SiteProject::new().await;
    fs::remove_dir_all(project.path("data")).unwrap();
    let planned = project.plan(None, &attributes(json!({"name": "weekly"}))).await.unwrap();
    assert_eq!(planned["contentHash"], Value::Unknown);
    let error = project.create(&attributes(json!({"name": "weekly"}))).await.unwrap_err();
    assert!(error.message.contains("the folder `data`"), "{error}");
}
