//! Dispatches each call of an instance to the session of its resource type.

use crate::resource::{
    Folders, PlannedDatabases, database, pipeline, run, schedule, static_site, volume_sync, worker_pool,
};
use crate::{cluster_settings, settings};
use async_trait::async_trait;
use std::sync::Arc;
use terrace_pipelines::database::ProjectDatabases;
use terrace_pipelines::worker::Launch;
use terrace_provider::{
    Attempt, Attributes, Call, DataAmount, DryRun, Found, Observed, Planned, PlannedChange, Probe, ProposedChange,
    ProviderError, ProviderSchema, Recorded, ResourceType, Session, Settings,
};

/// An instance of the `pipelines` provider.
pub(crate) struct PipelinesSession {
    pipelines: pipeline::Pipelines,
    runs: run::Runs,
    worker_pools: worker_pool::WorkerPools,
    databases: database::DatabaseResources,
    sites: static_site::Sites,
    syncs: volume_sync::Syncs,
    schedules: schedule::ScheduleSession,
    /// The settings, if pipelines run in a cluster.
    in_cluster: Option<Settings>,
}

impl PipelinesSession {
    /// Opens an instance.
    ///
    /// # Errors
    /// When a setting cannot work.
    pub(crate) fn open(
        settings: &Settings,
        launch: Arc<dyn Launch>,
        databases: ProjectDatabases,
    ) -> Result<Self, ProviderError> {
        let runner = settings::runner(settings)?;
        let storage = settings::storage(settings)?;
        let (folders, planned) = (Arc::new(Folders::default()), PlannedDatabases::default());
        Ok(Self {
            in_cluster: settings::runs_in_cluster(settings).then(|| settings.clone()),
            schedules: schedule::ScheduleSession::new(runner.clone(), databases.clone(), planned.clone()),
            sites: static_site::Sites::new(
                settings::site_store(settings),
                static_site::SiteCluster::new(
                    cluster_settings::sites(settings),
                    cluster_settings::options_or_none(settings),
                ),
            ),
            syncs: volume_sync::Syncs::new(runner.clone(), storage, cluster_settings::copies(settings)),
            pipelines: pipeline::Pipelines::new(runner.clone(), folders.clone()),
            worker_pools: worker_pool::WorkerPools::new(runner.clone(), settings::to_stored(settings), launch),
            runs: run::Runs::new(runner, folders, databases.clone()),
            databases: database::DatabaseResources::new(
                databases.here,
                cluster_settings::databases(settings),
                settings::runs_in_cluster(settings),
                planned,
            ),
        })
    }

    fn of(&self, ty: &ResourceType) -> Result<&dyn Session, ProviderError> {
        match ty.name {
            pipeline::NAME => Ok(&self.pipelines),
            run::NAME => Ok(&self.runs),
            worker_pool::NAME => Ok(&self.worker_pools),
            database::NAME => Ok(&self.databases),
            static_site::NAME => Ok(&self.sites),
            volume_sync::NAME => Ok(&self.syncs),
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

    fn probe<'a>(&'a self, _schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        Some(Box::pin(cluster_settings::probe(self.in_cluster.as_ref()?)))
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        self.of(ty).ok()?.validate_remote(ty, planned)
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        self.of(ty)?.count_data(ty, prior).await
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        self.of(ty)?.import(ty, id).await
    }
}
