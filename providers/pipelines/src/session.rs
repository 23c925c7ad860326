//! One opened instance: hands each call to the session of its resource type.

use crate::resource::{pipeline, run, schedule};
use crate::settings;
use async_trait::async_trait;
use terrace_provider::{
    Attempt, Call, Found, Observed, Planned, PlannedChange, ProposedChange, ProviderError, Recorded, ResourceType,
    Session, Settings,
};

/// An instance of the `pipelines` provider.
pub(crate) struct PipelinesSession {
    pipelines: pipeline::Pipelines,
    runs: run::Runs,
    schedules: schedule::ScheduleSession,
}

impl PipelinesSession {
    /// Opens an instance.
    ///
    /// # Errors
    /// When a setting cannot work.
    pub(crate) fn open(settings: &Settings) -> Result<Self, ProviderError> {
        let runner = settings::runner(settings)?;
        Ok(Self {
            pipelines: pipeline::Pipelines::new(runner.clone()),
            schedules: schedule::ScheduleSession::new(runner.clone()),
            runs: run::Runs::new(runner),
        })
    }

    fn of(&self, ty: &ResourceType) -> Result<&dyn Session, ProviderError> {
        match ty.name {
            pipeline::NAME => Ok(&self.pipelines),
            run::NAME => Ok(&self.runs),
            schedule::NAME => Ok(&self.schedules),
            other => Err(ProviderError::bug(format!("the pipelines provider has no resource type `{other}`"))),
        }
    }
}

#[async_trait]
impl Session for PipelinesSession {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        self.of(ty)?.read(ty, prior).await
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
}
