//! Values of the chart `deploy/helm/pipeline`, whose templates render the objects of [`super::manifest`] and
//! [`super::cron_job`] from them.

use super::super::{Elsewhere, Job, archive};
use super::crontab::crontab;
use super::{UNKNOWN_BYTES, manifest, too_large};
use crate::execution_options::{ExecutionOption, ExecutionOptions};
use crate::schedule::zone;
use crate::spec::cron::Cron;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use std::path::PathBuf;

/// Options of pods, with their names in the values of the worker.
const POD: [(ExecutionOption, &str); 4] = [
    (ExecutionOption::Image, "image"),
    (ExecutionOption::Cpu, "cpu"),
    (ExecutionOption::Memory, "memory"),
    (ExecutionOption::Disk, "disk"),
];

/// A pipeline as a chart installs it. It has no values of secrets.
#[derive(Debug, Clone)]
pub struct ChartPipeline {
    /// The job of each start, without the variables that the cluster adds.
    pub job: Job,
    /// Archive of its files.
    pub files: Vec<u8>,
    /// Digest of its inputs.
    pub inputs: String,
    /// Options of its pods.
    pub options: ExecutionOptions,
    /// Variables that the steps read, and whose values a Secret of the cluster has.
    pub variables: Vec<String>,
    /// Number of retries after a failure of the infrastructure.
    pub retries: u32,
    /// Failed steps are retried, too.
    pub retries_failed_steps: bool,
}

/// The files of a job.
pub(crate) struct PackedJob {
    /// Archive of the files.
    pub(crate) archive: Vec<u8>,
    /// Their paths.
    pub(crate) files: Vec<PathBuf>,
}

/// Packs the files of a job.
///
/// # Errors
/// When a file cannot be read, or a Secret or a pod has no place for them; for people.
pub(crate) fn pack(job: &Job) -> Result<PackedJob, String> {
    if let Some(message) = manifest::unusable_folder(&job.elsewhere) {
        return Err(message);
    }
    let packed = archive::pack(&job.elsewhere.inputs, &job.elsewhere.results);
    let packed = packed.map_err(|error| format!("its files cannot be read: {error}"))?;
    let job = serde_json::to_string(job).map_err(|error| format!("a path of the job is not text: {error}"))?;
    if let Some(message) = too_large(&packed, job.len().saturating_add(UNKNOWN_BYTES)) {
        return Err(message);
    }
    let files = packed.files.into_iter().map(|(path, _)| path).collect();
    Ok(PackedJob { archive: packed.archive.unwrap_or_default(), files })
}

/// The values of a schedule.
///
/// # Errors
/// When the crontab or the time zone is wrong, or a CronJob would run at other times: message and hint.
pub fn schedule(cron: &str, time_zone: &str) -> Result<Json, (String, Option<String>)> {
    Cron::parse(cron).map_err(|message| (format!("the crontab: {message}"), None))?;
    zone(time_zone).map_err(|message| (message, None))?;
    let cron = crontab(cron).map_err(|(message, hint)| (message, Some(hint)))?;
    Ok(json!({"cron": cron, "timeZone": time_zone}))
}

impl ChartPipeline {
    /// The values of the chart for this pipeline. Objects without a value are left to other files of values.
    ///
    /// # Errors
    /// When a path of the job is not text.
    pub fn values(&self) -> Result<Json, serde_json::Error> {
        let mut job = self.job.clone();
        // Pods do not read these, and they describe the machine.
        job.elsewhere = Elsewhere {
            home: None,
            options: ExecutionOptions::default(),
            inputs: Vec::new(),
            results: Vec::new(),
            secrets: Vec::new(),
            ..job.elsewhere
        };
        let mut worker: Map<String, Json> = POD
            .iter()
            .filter_map(|(option, name)| Some(((*name).to_owned(), self.options.get(*option)?.into())))
            .collect();
        worker.insert("retries".to_owned(), self.retries.into());
        worker.insert("retryFailedSteps".to_owned(), self.retries_failed_steps.into());
        let mut values = json!({
            "pipeline": {
                "inputs": self.inputs,
                "variables": self.variables,
                "job": serde_json::to_value(job)?,
                "files": STANDARD.encode(&self.files),
            },
            "worker": worker,
        });
        if let (Some((claim, _)), Some(values)) = (self.options.claim(), values.as_object_mut()) {
            values.insert("volume".to_owned(), json!({"claim": claim}));
        }
        Ok(values)
    }
}
