//! A project folder with a session, and short forms of the engine's calls.

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::call::NoProgress;
use terrace_provider::sandbox::ProtectedFiles;
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, Found, LostCall, Observed, Planned, PlannedChange, ProposedChange, Provider,
    ProviderError, Recorded, ResourceType, Sandbox, Session, Settings, Value,
};
use terrace_provider_sqlite::SqliteProvider;

pub(crate) struct Harness {
    pub(crate) folder: PathBuf,
    _guard: Option<tempfile::TempDir>,
    provider: SqliteProvider,
    pub(crate) session: Arc<dyn Session>,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let harness = Self::at(guard.path()).await;
        Self { _guard: Some(guard), ..harness }
    }

    /// A session on a folder that the caller manages.
    pub(crate) async fn at(folder: &Path) -> Self {
        Self::protecting(folder, ProtectedFiles::default()).await
    }

    /// A session with these protected files.
    pub(crate) async fn protecting(folder: &Path, files: ProtectedFiles) -> Self {
        let provider = SqliteProvider::new();
        let settings = Settings {
            instance: "sqlite".to_owned(),
            environment: "local".to_owned(),
            project_folder: folder.to_owned(),
            sandbox: Sandbox { files },
            sources: Default::default(),
            values: Attributes::from_iter([("busyTimeout".to_owned(), Value::Int(2))]),
        };
        let session = provider.connect(&settings).await.unwrap();
        Self { folder: folder.to_owned(), _guard: None, provider, session }
    }

    pub(crate) fn ty(&self, name: &str) -> &ResourceType {
        self.provider.schema().resource(name).unwrap()
    }

    pub(crate) async fn plan(
        &self,
        ty: &str,
        prior: Option<&Observed>,
        config: &str,
    ) -> Result<PlannedChange, ProviderError> {
        let prior = prior.map(recorded);
        let config = attributes(config);
        let change = ProposedChange {
            address: "a",
            prior: prior.as_ref(),
            config: &config,
            must_replace: false,
            changed_write_only: &[],
        };
        self.session.plan(self.ty(ty), &change).await
    }

    pub(crate) async fn create(&self, ty: &str, config: &str) -> Result<Observed, ProviderError> {
        let plan = self.plan(ty, None, config).await?;
        let planned = Planned { attributes: plan.planned, private: plan.private };
        let observed = self.session.create(self.ty(ty), &call(), &planned).await?;
        agrees(&planned.attributes, &observed);
        Ok(observed)
    }

    pub(crate) async fn update(&self, ty: &str, prior: &Observed, config: &str) -> Result<Observed, ProviderError> {
        let plan = self.plan(ty, Some(prior), config).await?;
        assert!(plan.replace_paths.is_empty(), "{:?}", plan.replace_paths);
        let planned = Planned { attributes: plan.planned, private: plan.private };
        let observed = self.session.update(self.ty(ty), &call(), &recorded(prior), &planned).await?;
        agrees(&planned.attributes, &observed);
        Ok(observed)
    }

    /// Asserts that a second read and plan find no changes.
    pub(crate) async fn assert_settled(&self, ty: &str, prior: &Observed, config: &str) {
        let read = self.read(ty, prior).await.unwrap();
        assert_eq!(&read, prior, "drift right after the call");
        let plan = self.plan(ty, Some(&read), config).await.unwrap();
        assert_eq!(without_nulls(plan.planned), without_nulls(read.attributes), "the second plan is not empty");
        assert_eq!(plan.data_loss, None);
    }

    pub(crate) async fn read(&self, ty: &str, prior: &Observed) -> Option<Observed> {
        self.session.read(self.ty(ty), &recorded(prior)).await.unwrap()
    }

    pub(crate) async fn try_read(&self, ty: &str, prior: &Observed) -> Result<Option<Observed>, ProviderError> {
        self.session.read(self.ty(ty), &recorded(prior)).await
    }

    pub(crate) async fn delete(&self, ty: &str, prior: &Observed) -> Result<(), ProviderError> {
        self.session.delete(self.ty(ty), &call(), &recorded(prior)).await
    }

    pub(crate) async fn import(&self, ty: &str, id: &str) -> Option<Observed> {
        self.session.import(self.ty(ty), id).await.unwrap()
    }

    pub(crate) async fn count(&self, ty: &str, prior: &Observed) -> DataAmount {
        self.session.count_data(self.ty(ty), &recorded(prior)).await.unwrap()
    }

    /// Searches for the object that a lost create of the step would have left.
    pub(crate) async fn find(&self, ty: &str, config: &str, step: Option<&str>) -> Found {
        let planned = self.plan(ty, None, config).await.unwrap().planned;
        let attempt = Attempt {
            address: "a".to_owned(),
            identity: self.ty(ty).identity_of(&planned).unwrap(),
            planned,
            private: terrace_provider::Private::default(),
            prior: None,
            lost_call: step.map(|step| LostCall {
                operation: "operation".to_owned(),
                step: step.to_owned(),
                timeout: Duration::from_secs(1),
                age: Duration::from_secs(2),
            }),
        };
        self.session.find(self.ty(ty), &attempt).await.unwrap()
    }

    pub(crate) fn open(&self, path: &str) -> Connection {
        Connection::open(self.folder.join(path)).unwrap()
    }

    pub(crate) fn execute(&self, path: &str, sql: &str) {
        self.open(path).execute_batch(sql).unwrap();
    }

    pub(crate) fn query(&self, path: &str, sql: &str) -> Vec<String> {
        let connection = self.open(path);
        let mut statement = connection.prepare(sql).unwrap();
        let width = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells = (0..width).map(|cell| row.get::<_, rusqlite::types::Value>(cell));
            Ok(cells.map(|cell| format!("{:?}", cell.unwrap())).collect::<Vec<_>>().join(" "))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}

pub(crate) fn call() -> Call {
    Call {
        address: "demo@local:a".to_owned(),
        operation: "operation".to_owned(),
        step: "step-1".to_owned(),
        timeout: Duration::from_secs(60),
        removes_data: false,
        cancel: tokio_util::sync::CancellationToken::new(),
        progress: Arc::new(NoProgress),
    }
}

pub(crate) fn recorded(observed: &Observed) -> Recorded {
    Recorded {
        address: "a".to_owned(),
        identity: observed.identity.clone(),
        attributes: observed.attributes.clone(),
        private: observed.private.clone(),
    }
}

/// Parses attributes from JSON.
pub(crate) fn attributes(json: &str) -> Attributes {
    let value = Value::from(serde_json::from_str::<serde_json::Value>(json).unwrap());
    value.as_map().unwrap().clone()
}

/// The attributes that an object has.
pub(crate) fn without_nulls(mut attributes: Attributes) -> Attributes {
    attributes.retain(|_, value| !value.is_null());
    attributes
}

/// The engine refuses a provider whose result differs from its plan.
fn agrees(planned: &Attributes, observed: &Observed) {
    for (name, value) in planned {
        if !value.has_unknown() {
            assert_eq!(observed.attributes.get(name), Some(value), "`{name}` differs from the plan");
        }
    }
    let count = |attributes: &Attributes| attributes.values().filter(|value| !value.is_null()).count();
    assert_eq!(count(planned), count(&observed.attributes), "{planned:?} {observed:?}");
}
