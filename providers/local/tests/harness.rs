//! An open instance over a temporary project folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use terrace_provider::conformance::Reports;
use terrace_provider::wrap::{Limits, guarded};
use terrace_provider::{
    Attempt, Attributes, Call, ErrorKind, Found, LostCall, Observed, Path, Planned, PlannedChange, Private,
    ProposedChange, Provider, ProviderError, Recorded, ResourceType, Session, Settings, conformance,
};
use terrace_provider_local::LocalProvider;

pub(crate) struct Local {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) ty: ResourceType,
}

pub(crate) fn attributes(json: serde_json::Value) -> Attributes {
    conformance::attributes(&json).unwrap()
}

/// The address of the only resource of the tests.
pub(crate) const ADDRESS: &str = "demo@local:test.a";

pub(crate) fn recorded(observed: Observed) -> Recorded {
    let Observed { identity, attributes, private } = observed;
    Recorded { address: ADDRESS.to_owned(), identity, attributes, private }
}

#[track_caller]
pub(crate) fn expect_invalid(error: &ProviderError, attribute: &str, words: &str) {
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(Path::attribute(attribute)) }, "{error}");
    assert!(error.message.contains(words), "{error}");
}

impl Local {
    pub(crate) async fn of(type_name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().to_path_buf();
        Self::open(folder, &project, type_name).await
    }

    /// Opens an instance over a folder of the machine; it must only read.
    pub(crate) async fn over(project: &std::path::Path, type_name: &str) -> Self {
        Self::open(tempfile::tempdir().unwrap(), project, type_name).await
    }

    /// Opens an instance with these protected files, which contain `secret`.
    pub(crate) async fn protecting(type_name: &str, files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = conformance::settings(folder.path());
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "secret").unwrap();
            settings.sandbox.files = settings.sandbox.files.file(&path, "a key file");
        }
        Self::opened(folder, settings, type_name).await
    }

    /// Opens an instance with these settings.
    pub(crate) async fn with(type_name: &str, values: serde_json::Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { values: attributes(values), ..conformance::settings(folder.path()) };
        Self::opened(folder, settings, type_name).await
    }

    async fn open(folder: tempfile::TempDir, project: &std::path::Path, type_name: &str) -> Self {
        Self::opened(folder, conformance::settings(project), type_name).await
    }

    async fn opened(folder: tempfile::TempDir, settings: Settings, type_name: &str) -> Self {
        let provider = LocalProvider::new();
        // As in the engine: the provider is wrapped, so texts are redacted.
        let session = guarded(&provider, &settings, Limits::default()).await.unwrap();
        let ty = provider.schema().resource(type_name).unwrap().clone();
        Self { folder, session, ty }
    }

    /// A call of a unique operation, because processes are found by its name.
    pub(crate) fn call(&self) -> Call {
        Call {
            address: ADDRESS.to_owned(),
            operation: self.folder.path().display().to_string(),
            step: "step-1".to_owned(),
            timeout: Duration::from_secs(60),
            removes_data: false,
            cancel: Default::default(),
            progress: Arc::new(Reports::default()),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn content(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) async fn plan(
        &self,
        prior: Option<&Recorded>,
        config: serde_json::Value,
    ) -> Result<PlannedChange, ProviderError> {
        self.plan_values(prior, &attributes(config), &[]).await
    }

    pub(crate) async fn plan_values(
        &self,
        prior: Option<&Recorded>,
        config: &Attributes,
        changed_write_only: &[String],
    ) -> Result<PlannedChange, ProviderError> {
        let change = ProposedChange { address: ADDRESS, prior, config, must_replace: false, changed_write_only };
        self.session.plan(&self.ty, &change).await
    }

    pub(crate) async fn create(&self, config: serde_json::Value) -> Result<Recorded, ProviderError> {
        self.create_values(&attributes(config), &self.call()).await
    }

    pub(crate) async fn create_values(&self, config: &Attributes, call: &Call) -> Result<Recorded, ProviderError> {
        let plan = self.plan_values(None, config, &[]).await?;
        let planned = Planned { attributes: plan.planned, private: plan.private };
        self.session.create(&self.ty, call, &planned).await.map(recorded)
    }

    pub(crate) async fn update(&self, prior: &Recorded, config: serde_json::Value) -> Result<Recorded, ProviderError> {
        let plan = self.plan(Some(prior), config).await?;
        assert_eq!(plan.replace_paths, [], "an update was expected");
        let planned = Planned { attributes: plan.planned, private: plan.private };
        self.session.update(&self.ty, &self.call(), prior, &planned).await.map(recorded)
    }

    pub(crate) async fn read(&self, prior: &Recorded) -> Result<Option<Recorded>, ProviderError> {
        Ok(self.session.read(&self.ty, prior).await?.map(recorded))
    }

    pub(crate) async fn delete(&self, prior: &Recorded) -> Result<(), ProviderError> {
        self.session.delete(&self.ty, &self.call(), prior).await
    }

    pub(crate) async fn find(
        &self,
        planned: &Attributes,
        prior: Option<&Recorded>,
        private: Private,
        age: u64,
    ) -> Found {
        let lost_call = LostCall {
            operation: self.call().operation,
            step: self.call().step,
            timeout: Duration::from_secs(60),
            age: Duration::from_secs(age),
        };
        let attempt = Attempt {
            address: ADDRESS.to_owned(),
            identity: Attributes::default(),
            planned: planned.clone(),
            private,
            prior: prior.cloned(),
            lost_call: Some(lost_call),
        };
        self.session.find(&self.ty, &attempt).await.unwrap()
    }
}
