//! An open instance: forwards each call to the session of its resource type.

use crate::project::Project;
use crate::resources::command::Commands;
use crate::resources::directory::Directories;
use crate::resources::file::Files;
use crate::resources::{command, directory, file, value};
use crate::schema::VARIABLES;
use async_trait::async_trait;
use terrace_provider::removed_paths::RemovedPaths;
use terrace_provider::{
    Attempt, Attributes, Batch, Call, DataAmount, Found, Observed, Planned, PlannedChange, ProposedChange,
    ProviderError, Recorded, ResourceType, Session, Settings, Value,
};

/// An open instance of the `local` provider for one project folder.
pub(crate) struct LocalSession {
    values: value::Values,
    files: Files,
    directories: Directories,
    commands: Commands,
}

impl LocalSession {
    /// Opens the project folder of the settings.
    ///
    /// # Errors
    ///
    /// If the project folder does not exist or cannot be opened.
    pub(crate) fn open(settings: &Settings) -> Result<Self, ProviderError> {
        let project = Project::open(&settings.project_folder, settings.sandbox.files.clone())?;
        let removed = RemovedPaths::default();
        Ok(Self {
            values: value::Values,
            files: Files::new(project.clone(), removed.clone()),
            directories: Directories::new(project.clone(), removed),
            commands: Commands::new(project, inherited(settings)),
        })
    }

    fn of(&self, ty: &ResourceType) -> Result<&dyn Session, ProviderError> {
        match ty.name {
            value::NAME => Ok(&self.values),
            file::NAME => Ok(&self.files),
            directory::NAME => Ok(&self.directories),
            command::NAME => Ok(&self.commands),
            other => Err(ProviderError::bug(format!("the local provider has no resource type `{other}`"))),
        }
    }
}

/// The names of the variables that commands get in addition to the usual ones.
fn inherited(settings: &Settings) -> Vec<String> {
    let names = settings.values.get(VARIABLES).and_then(Value::as_list).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[async_trait]
impl Session for LocalSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        self.of(ty)?.read(ty, prior).await
    }

    fn read_batch<'a>(&'a self, ty: &'a ResourceType, priors: &'a [Recorded]) -> Option<Batch<'a>> {
        self.of(ty).ok()?.read_batch(ty, priors)
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        self.of(ty)?.plan(ty, change).await
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        self.of(ty)?.create(ty, call, planned).await
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        self.of(ty)?.update(ty, call, prior, planned).await
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        self.of(ty)?.delete(ty, call, prior).await
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        self.of(ty)?.find(ty, attempt).await
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        self.of(ty)?.import(ty, id).await
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        match name {
            file::NAME => self.files.lookup(name, arguments).await,
            other => Err(ProviderError::bug(format!("the local provider has no lookup `{other}`"))),
        }
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        self.of(ty)?.count_data(ty, prior).await
    }
}
