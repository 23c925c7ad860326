//! Runs several pipelines in order, some in parallel. A failure stops only the pipelines that depend on it.

use super::observer::RunObserver;
pub use super::outcome::{BatchEnd, HoldReason, PipelineOutcome};
use super::overrides::Overrides;
use super::runner::{NotRun, RunRequest, Runner};
use crate::spec::Specs;
use crate::spec::model::Pipeline;
use crate::spec::order;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Options for the runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Run only pipelines with changed inputs.
    pub only_dirty: bool,
    /// Run even if dependencies have not been run.
    pub is_forced: bool,
    /// Reuse results that steps cached, while they are valid.
    pub uses_cache: bool,
    /// Maximum number of parallel runs.
    pub max_parallel: usize,
    /// Maximum time of a run.
    pub timeout: Option<Duration>,
    /// Time to wait for other runs of a pipeline.
    pub lock_timeout: Duration,
    /// Number of retries, if it differs from the runner's.
    pub retries: Option<u32>,
    /// Id of the caller, so that a run is found after a crash.
    pub mark: Option<String>,
    /// Reason of the runs, if they have no other.
    pub reason: String,
    /// Values in place of those of the specs.
    pub overrides: Overrides,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only_dirty: false,
            is_forced: false,
            uses_cache: true,
            max_parallel: 1,
            timeout: None,
            lock_timeout: Duration::ZERO,
            retries: None,
            mark: None,
            reason: "a user requested it".to_owned(),
            overrides: Overrides::default(),
        }
    }
}

/// Runs the chosen pipelines, by position in [`Specs::pipelines`]; returns their outcomes in the order of their ends.
///
/// # Errors
/// When records or files that decide about runs cannot be read.
pub async fn run(
    runner: &Runner,
    specs: &Specs,
    chosen: &[usize],
    options: &Options,
    observer: &dyn RunObserver,
    cancel: &CancellationToken,
) -> io::Result<Vec<PipelineOutcome>> {
    let order = order::sorted(specs, chosen);
    let mut waiting: Vec<&Pipeline> = order.iter().filter_map(|position| specs.pipelines.get(*position)).collect();
    let all: BTreeSet<&str> = waiting.iter().map(|pipeline| pipeline.id.as_str()).collect();
    let mut ended: BTreeMap<String, bool> = BTreeMap::new();
    let (mut done, mut running) = (Vec::new(), FuturesUnordered::new());
    loop {
        while running.len() < options.max_parallel.max(1) {
            let is_ready =
                |pipeline: &&Pipeline| pipeline.all_before().all(|id| !all.contains(id) || ended.contains_key(id));
            let Some(position) = waiting.iter().position(is_ready) else { break };
            let pipeline = waiting.remove(position);
            let held = failed_dependency(pipeline, |before| ended.get(before) == Some(&false));
            let all = &all;
            running.push(async move {
                let end = match held {
                    Some((by, why)) => BatchEnd::Held { by, why },
                    None if cancel.is_cancelled() => BatchEnd::NotRun(NotRun::Cancelled),
                    // A read error of one pipeline does not affect the others.
                    None => run_checked(runner, specs, pipeline, options, (all, None), observer, cancel)
                        .await
                        .unwrap_or_else(|error| BatchEnd::NotRun(NotRun::Io(error))),
                };
                PipelineOutcome { pipeline: pipeline.id.clone(), end }
            });
        }
        let Some(finished) = running.next().await else {
            // No pipeline waits for ever: declared cycles are errors, and detected dependencies close none.
            return Ok(done);
        };
        ended.insert(finished.pipeline.clone(), finished.end.is_good());
        observer.ended(&finished);
        done.push(finished);
    }
}

/// Returns the failed pipeline of this call that prevents a run, and the reason. Only declared dependencies prevent it.
/// A detected dependency does so only while its outputs are incomplete.
pub(crate) fn failed_dependency(
    pipeline: &Pipeline,
    has_failed: impl Fn(&str) -> bool,
) -> Option<(String, HoldReason)> {
    pipeline.pipelines_before().find(|before| has_failed(before)).map(|by| (by.to_owned(), HoldReason::Unsuccessful))
}

/// Runs a pipeline, by position in [`Specs::pipelines`], with this id, but not its dependencies.
///
/// # Errors
/// As [`run`].
pub async fn run_one(
    runner: &Runner,
    specs: &Specs,
    position: usize,
    options: &Options,
    run: Option<String>,
    observer: &dyn RunObserver,
    cancel: &CancellationToken,
) -> io::Result<BatchEnd> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "the pipeline does not exist");
    let pipeline = specs.pipelines.get(position).ok_or_else(missing)?;
    let all = BTreeSet::from([pipeline.id.as_str()]);
    run_checked(runner, specs, pipeline, options, (&all, run), observer, cancel).await
}

/// Runs a pipeline, unless that is not needed or not possible; with this id, if given, and as one of all those.
async fn run_checked(
    runner: &Runner,
    specs: &Specs,
    pipeline: &Pipeline,
    options: &Options,
    (all, run): (&BTreeSet<&str>, Option<String>),
    observer: &dyn RunObserver,
    cancel: &CancellationToken,
) -> io::Result<BatchEnd> {
    let pipeline = &*options.overrides.of(pipeline);
    for before in pipeline.pipelines_before().filter(|before| !options.is_forced && !all.contains(before)) {
        let why = match specs.pipeline(before) {
            Some(other) => runner.hold_reason(specs, other).await?,
            None => Some(HoldReason::Dirty),
        };
        if let Some(why) = why {
            return Ok(BatchEnd::Held { by: before.to_owned(), why });
        }
    }
    // A detected dependency prevents the run only while its files are of two runs, even if one of them is in this
    // batch.
    for before in pipeline.reads_from.iter().filter(|_| !options.is_forced) {
        if runner.store.partial_publish(&runner.folder_name(&specs.root), before)?.is_some() {
            return Ok(BatchEnd::Held { by: before.clone(), why: HoldReason::Dirty });
        }
    }
    let mut reasons = runner.check_reasons(specs, pipeline).await?;
    if reasons.is_empty() {
        if options.only_dirty {
            return Ok(BatchEnd::Clean);
        }
        reasons.push(options.reason.clone());
    }
    let request = RunRequest {
        run,
        reasons,
        uses_cache: options.uses_cache,
        timeout: options.timeout,
        lock_timeout: options.lock_timeout,
        retries: options.retries,
        mark: options.mark.clone(),
        overrides: options.overrides.clone(),
        ..RunRequest::default()
    };
    Ok(match runner.run(specs, pipeline, request, observer, cancel).await {
        Ok(record) => BatchEnd::Ran(Box::new(record)),
        Err(why) => BatchEnd::NotRun(why),
    })
}
