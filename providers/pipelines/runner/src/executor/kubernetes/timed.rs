//! Schedules as CronJobs. Two Secrets with the job and its files belong to the CronJob: they exist before its first start,
//! and end with it.

use super::super::archive;
use super::super::timed::{StartedRun, TimedJob, TimedRuns, TimedState};
use super::cron_job::{self, CRON_JOB, secret_name};
use super::crontab::crontab;
use super::deletion::delete_read_and_wait;
use super::retry::{Budget, silent};
use super::{CLEANUP, JOBS, KubernetesExecutor, Resource, SECRETS, UNKNOWN_BYTES, copy_metadata, manifest, too_large};
use crate::cluster_check::rights::SCHEDULES;
use crate::cluster_check::{finding_of, refused, rights_problem};
use crate::execution_options::ExecutionOptions;
use crate::schedule::Schedule;
use async_trait::async_trait;
use serde_json::{Value as Json, json};
use std::io;
use terrace_provider::{ErrorKind, Finding, Path, ProviderError, Severity};
use terrace_provider_kubernetes::client::{ClientError, ClientErrorKind, Propagation};

const CRON_JOBS: Resource = Resource { api_version: "batch/v1", plural: "cronjobs" };

fn failed(message: String) -> ProviderError {
    ProviderError::new(ErrorKind::Failed, message)
}

/// The error of a CronJob that another caller has created or replaced.
fn taken(object: &str) -> ProviderError {
    let message = format!("the CronJob `{object}` exists already: another caller has created or replaced it meanwhile");
    ProviderError::new(ErrorKind::AlreadyExists { import_id: None }, message)
        .solution("plan again, and choose another `name` if it belongs to others")
}

/// The content of the Secrets of a CronJob.
struct Content {
    /// Name of the Secret with the job.
    name: String,
    job: String,
    archive: Vec<u8>,
}

impl Content {
    /// Reads the files of a job.
    async fn of(object: &str, timed: &TimedJob) -> Result<Self, ProviderError> {
        let job = &timed.job;
        let (inputs, results) = (job.elsewhere.inputs.clone(), job.elsewhere.results.clone());
        let packed = tokio::task::spawn_blocking(move || archive::pack(&inputs, &results)).await;
        let packed = packed.map_err(io::Error::other).and_then(|packed| packed);
        let packed = packed.map_err(|error| failed(format!("its files cannot be read: {error}")))?;
        let job = serde_json::to_string(job);
        let job = job.map_err(|error| failed(format!("a path of the job is not text: {error}")))?;
        if let Some(message) = too_large(&packed, job.len().saturating_add(UNKNOWN_BYTES)) {
            return Err(failed(message));
        }
        let archive = packed.archive.unwrap_or_default();
        Ok(Self { name: secret_name(object, &timed.salt, job.as_bytes(), &archive), job, archive })
    }
}

impl KubernetesExecutor {
    /// Refuses another cluster than the recorded one.
    async fn check_place(&self) -> Result<(), ProviderError> {
        self.check_recorded().await.map_err(|error| failed(error.to_string()))
    }

    /// The Jobs of a CronJob that the cluster still has.
    async fn jobs_of(&self, object: &str) -> Result<Vec<Json>, ProviderError> {
        let selector = ("labelSelector", format!("{CRON_JOB}={object}"));
        self.client.list(JOBS, std::slice::from_ref(&selector)).await.map_err(refused)
    }

    /// Deletes former Secrets of a CronJob, which its template does not name any more. Returns those that a run needs, which the
    /// cluster may have started from the former template until its change.
    async fn remove_unused(&self, object: &str, former: &[String]) -> Result<Vec<String>, ProviderError> {
        if former.is_empty() {
            return Ok(Vec::new());
        }
        let in_use = cron_job::secrets_in_use(&self.jobs_of(object).await?);
        let (used, unused): (Vec<&String>, Vec<&String>) = former.iter().partition(|secret| in_use.contains(secret));
        for secret in unused {
            self.client.delete(SECRETS, secret, Propagation::Background).await.map_err(refused)?;
        }
        Ok(used.into_iter().cloned().collect())
    }

    /// Creates the Secrets of a CronJob, which end with it.
    async fn put_secrets(&self, timed: &TimedJob, content: &Content, cron_job: &Json) -> Result<(), ProviderError> {
        let text = |at: &str| cron_job.pointer(at).and_then(Json::as_str).unwrap_or_default();
        let owner = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "name": text("/metadata/name"), "uid": text("/metadata/uid"),
        });
        let Content { name, job, archive } = content;
        for secret in manifest::secrets(&timed.job, name, job.as_bytes(), archive, &owner) {
            match self.client.create(SECRETS, &secret).await {
                // It may belong to a former CronJob, which takes it along.
                Err(error) if error.kind == ClientErrorKind::Exists => {
                    let name = secret.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default();
                    self.client.delete(SECRETS, name, Propagation::Background).await.map_err(refused)?;
                    self.client.create(SECRETS, &secret).await.map_err(refused)?;
                }
                created => drop(created.map_err(refused)?),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl TimedRuns for KubernetesExecutor {
    fn place_name(&self) -> &str {
        self.client.namespace()
    }

    fn crontab(&self, cron: &str) -> Result<String, (String, String)> {
        crontab(cron)
    }

    async fn state(&self, object: &str) -> Result<Option<TimedState>, ProviderError> {
        self.check_place().await?;
        let found = self.client.get(CRON_JOBS, object).await.map_err(refused)?;
        let is_present = |found: &Json| found.pointer("/metadata/deletionTimestamp").is_none();
        Ok(found.filter(is_present).as_ref().map(cron_job::state))
    }

    async fn put(&self, object: &str, timed: &TimedJob, uid: Option<&str>) -> Result<TimedState, ProviderError> {
        if let Some(message) = manifest::unusable_folder(&timed.job.elsewhere) {
            return Err(failed(message));
        }
        let content = Content::of(object, timed).await?;
        let mut wanted = cron_job::manifest(object, &content.name, timed);
        let before = self.client.get(CRON_JOBS, object).await.map_err(refused)?;
        if before.as_ref().is_some_and(|before| before.pointer("/metadata/deletionTimestamp").is_some()) {
            return Err(
                failed(format!("the CronJob `{object}` is being deleted")).solution("apply again when it is gone")
            );
        }
        let is_own = |found: &Json| {
            let found = cron_job::state(found);
            uid == Some(found.uid.as_str()) || (!found.mark.is_empty() && found.mark == timed.schedule.mark)
        };
        let owner = match &before {
            Some(before) if is_own(before) => before.clone(),
            Some(_) => return Err(taken(object)),
            // Its Secrets need its uid, and its first run needs them. Only one of several callers succeeds.
            None => match self.client.create(CRON_JOBS, &cron_job::unready(&wanted)).await {
                Err(error) if error.kind == ClientErrorKind::Exists => {
                    // The answer to the first request was lost, and the client repeated it.
                    let found = self.client.get(CRON_JOBS, object).await.map_err(refused)?;
                    found.filter(is_own).ok_or_else(|| taken(object))?
                }
                created => created.map_err(refused)?,
            },
        };
        // The server refuses a change of a successor.
        copy_metadata(&owner, "uid", &mut wanted);
        let names = cron_job::secrets(&wanted);
        // Without a change of its inputs, a run in progress may need its Secrets.
        if before.as_ref().map(cron_job::secrets).as_ref() != Some(&names)
            || !before.as_ref().is_some_and(cron_job::is_ready)
        {
            self.put_secrets(timed, &content, &owner).await?;
        }
        let former = before.as_ref().map(|before| cron_job::present_and_former_secrets(object, before));
        let mut former = former.unwrap_or_default();
        former.retain(|secret| !names.contains(secret));
        cron_job::set_former_secrets(&mut wanted, &former);
        let stored = self.client.apply(CRON_JOBS, &wanted).await.map_err(refused)?;
        match self.remove_unused(object, &former).await? {
            used if used == former => Ok(cron_job::state(&stored)),
            used => {
                cron_job::set_former_secrets(&mut wanted, &used);
                self.client.apply(CRON_JOBS, &wanted).await.map(|stored| cron_job::state(&stored)).map_err(refused)
            }
        }
    }

    async fn findings(&self, object: &str, schedule: &Schedule, options: &ExecutionOptions) -> Vec<Finding> {
        let finding = |severity, path: Option<&str>, message, hint| {
            vec![Finding { severity, path: path.map(Path::attribute), message, hint }]
        };
        let failed = |error: ClientError| vec![finding_of(&error)];
        match rights_problem(&self.client, &SCHEDULES, "schedules").await {
            Err(error) => return failed(error),
            Ok(Some(problem)) => return vec![problem],
            Ok(None) => {}
        }
        let mut findings = match self.claim_problem(options).await {
            Err(error) => return failed(error),
            // The plan may create the claim.
            Ok(Some((message, hint))) => finding(Severity::Warning, Some("pipeline"), message, Some(hint)),
            Ok(None) => Vec::new(),
        };
        match self.client.check_apply(CRON_JOBS, &cron_job::example(object, schedule, options)).await {
            Err(error) => return failed(error),
            Ok(owned) => findings.extend(owned.into_iter().map(|owned| Finding {
                severity: Severity::Warning,
                path: None,
                message: format!(
                    "`{}` has changed `{}` of the CronJob `{object}`: an apply takes it back",
                    owned.manager, owned.field
                ),
                hint: Some(format!("have `{}` leave the CronJob alone, or change the schedule", owned.manager)),
            })),
        }
        findings
    }

    async fn remove(&self, object: &str, uid: Option<&str>) -> Result<(), ProviderError> {
        self.check_place().await?;
        let Some(found) = self.client.get(CRON_JOBS, object).await.map_err(refused)? else { return Ok(()) };
        let is_meant = match uid {
            Some(uid) => cron_job::state(&found).uid == uid,
            None => found.pointer("/metadata/deletionTimestamp").is_some(),
        };
        if !is_meant {
            return Ok(());
        }
        let budget = Budget::of(CLEANUP.saturating_add(self.ending));
        let removed = delete_read_and_wait(&self.client, (CRON_JOBS, &found), &budget, self.ending, silent).await;
        removed.map_err(|why| failed(format!("the CronJob `{object}` is not removed: {why}")))
    }

    async fn started(&self, object: &str) -> Result<Vec<StartedRun>, ProviderError> {
        self.check_place().await?;
        let mut runs: Vec<StartedRun> = self.jobs_of(object).await?.iter().filter_map(cron_job::started).collect();
        runs.sort_by(|one, other| one.run.cmp(&other.run));
        Ok(runs)
    }
}
