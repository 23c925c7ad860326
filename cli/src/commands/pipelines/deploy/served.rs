//! Deployments by `terrace serve`: polls at intervals, and when a webhook reports a push to a repository.

use super::super::dppctl_yaml::{DppctlYaml, FILE};
use super::{Described, LEAST_PERIOD, PERIOD, Terrace, credentials, list};
use crate::configuration::DeploymentsConfiguration;
use crate::context::Context;
use crate::failure::Failure;
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use terrace_engine::store::ServerStore;
use terrace_pipelines::deployment::deployer::Deployer;
use terrace_pipelines::deployment::git::Git;
use terrace_pipelines::deployment::store::{Deployments, Turn};
use terrace_provider::Settings;
use terrace_server::push_hooks::PushHooks;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The deployments of a server's project.
pub(in crate::commands) struct DeploymentServer {
    folder: PathBuf,
    described: Vec<Described>,
    store: Deployments,
    every: Duration,
    secret: Option<SecretString>,
    pushed: Arc<Pushed>,
}

/// Repositories with a push that no poll has seen.
#[derive(Default)]
struct Pushed {
    urls: Mutex<BTreeSet<String>>,
    notify: Notify,
}

impl DeploymentServer {
    /// The deployments of `.dppctl.yaml` in the project, if the server deploys.
    ///
    /// # Errors
    /// When the file is missing or invalid.
    pub(in crate::commands) fn prepare(
        context: &Context<'_>,
        instance: &Settings,
        configured: Option<&DeploymentsConfiguration>,
    ) -> Result<Option<Self>, Failure> {
        let Some(configured) = configured else { return Ok(None) };
        let found = DppctlYaml::find(context, &[instance.project_folder.as_path()])?;
        let described = found.map(|(_, file)| file.deployments).unwrap_or_default();
        if described.is_empty() {
            return Err(Failure::new(format!(
                "`server.pipelines.deployments` needs a `{FILE}` with `continuousDeployment`"
            ))
            .hint(format!("write `{FILE}` beside terrace.yaml, or remove `deployments`")));
        }
        Ok(Some(Self {
            folder: instance.project_folder.clone(),
            described,
            store: Deployments::new(&terrace_provider_pipelines::settings::records(instance)),
            every: configured.every.unwrap_or(PERIOD),
            secret: configured.secret.clone(),
            pushed: Arc::default(),
        }))
    }

    /// The webhooks that wake the deployments, if they have a secret.
    pub(in crate::commands) fn hooks(&self) -> Option<PushHooks> {
        let known: BTreeSet<String> = self.described.iter().map(|it| plain(&it.deployment.app.url)).collect();
        let pushed = Arc::clone(&self.pushed);
        let wake = move |url: &str| {
            let url = plain(url);
            let is_known = known.contains(&url);
            if is_known {
                pushed.urls.lock().unwrap_or_else(PoisonError::into_inner).insert(url);
                pushed.notify.notify_one();
            }
            is_known
        };
        Some(PushHooks { secret: self.secret.clone()?, wake: Arc::new(wake) })
    }

    /// Deploys for ever; after `cancel`, it does nothing more.
    pub(in crate::commands) async fn run(
        self,
        context: &Context<'_>,
        usage_log: Arc<dyn ServerStore>,
        cancel: CancellationToken,
    ) {
        let git = Git::new(credentials(context, &self.described), cancel.clone());
        let terrace = Terrace {
            context,
            folder: self.folder.clone(),
            described: &self.described,
            git: git.clone(),
            cancel: cancel.clone(),
            met: Mutex::default(),
            usage_log: Some(usage_log),
        };
        let builders = std::env::var_os("PATH");
        let deployer = Deployer::new(git, self.store.clone(), &terrace, builders, cancel.clone());
        let mut turn: Option<Turn> = None;
        let (mut pushed, mut due) = (None::<BTreeSet<String>>, Instant::now());
        while !cancel.is_cancelled() {
            if turn.is_none() {
                turn = self.store.acquire_turn().unwrap_or_else(|error| {
                    tracing::warn!(%error, "the records of deployments cannot be used");
                    None
                });
            }
            terrace.begin_round();
            // While another process deploys, this one waits.
            for Described { deployment, .. } in self.described.iter().filter(|_| turn.is_some()) {
                if pushed.as_ref().is_some_and(|pushed| !pushed.contains(&plain(&deployment.app.url))) {
                    continue;
                }
                let Ok((records, _)) = deployer.poll(deployment).await else { break };
                records.iter().for_each(|record| tracing::info!("{}", list::line(record).trim_end()));
            }
            if pushed.is_none() {
                due = Instant::now() + self.every;
            }
            pushed = tokio::select! {
                // Webhooks do not delay the poll of other repositories.
                () = tokio::time::sleep_until(due) => None,
                () = self.pushed.notify.notified() => {
                    // Pushes arrive in groups, and a repeated call must not cause a poll each time.
                    tokio::time::sleep(LEAST_PERIOD).await;
                    Some(std::mem::take(&mut *self.pushed.urls.lock().unwrap_or_else(PoisonError::into_inner)))
                }
                () = cancel.cancelled() => break,
            };
        }
        std::future::pending().await
    }
}

/// A URL in the form in which forges and users agree.
fn plain(url: &str) -> String {
    let url = url.trim_end_matches('/');
    url.strip_suffix(".git").unwrap_or(url).to_ascii_lowercase()
}
