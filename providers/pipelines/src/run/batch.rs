//! Several pipelines in their order, some at once. One that fails stops those that depend on it, and no others.

use super::record::{Record, State};
use super::single::{Asked, NotRun, Runner, Watching};
use crate::spec::Specs;
use crate::spec::model::Pipeline;
use crate::spec::order;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How pipelines are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only those that have to be run.
    pub only_dirty: bool,
    /// Pipelines that others depend on need not have been run.
    pub is_forced: bool,
    /// Results that steps keep are taken where they are still good.
    pub uses_cache: bool,
    /// So many at once.
    pub most: usize,
    /// How long one may take.
    pub timeout: Option<Duration>,
    /// How long to wait for other runs of a pipeline.
    pub patience: Duration,
    /// How often a run is tried again, where that is another number than the runner has.
    pub retries: Option<u32>,
    /// Who asks, so that a run is found after a crash.
    pub mark: Option<String>,
    /// Why they are run, where nothing else is the reason.
    pub reason: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only_dirty: false,
            is_forced: false,
            uses_cache: true,
            most: 1,
            timeout: None,
            patience: Duration::ZERO,
            retries: None,
            mark: None,
            reason: "somebody asked for it".to_owned(),
        }
    }
}

/// What became of a pipeline.
#[derive(Debug)]
pub struct Done {
    /// Its id.
    pub pipeline: String,
    /// What became of it.
    pub end: BatchEnd,
}

/// What became of a pipeline of several.
#[derive(Debug)]
pub enum BatchEnd {
    /// It was run: the record says how that went.
    Ran(Box<Record>),
    /// What it made is still good.
    Clean,
    /// One that it depends on keeps it from being run: which, and why.
    Held {
        /// That pipeline.
        by: String,
        /// Why.
        why: Why,
    },
    /// It was not run.
    NotRun(NotRun),
}

/// Why a pipeline keeps others from being run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// It has to be run first.
    Dirty,
    /// It was run, and did not succeed.
    Unsuccessful,
}

impl BatchEnd {
    /// True when the pipeline's result is there and good.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match self {
            Self::Ran(record) => record.state == State::Succeeded,
            Self::Clean => true,
            Self::Held { .. } | Self::NotRun(_) => false,
        }
    }
}

/// Runs the chosen pipelines, by position in [`Specs::pipelines`]; answers what became of each, as they ended.
///
/// # Errors
/// When records or files cannot be read that say what has to be run.
pub async fn run(
    runner: &Runner,
    specs: &Specs,
    chosen: &[usize],
    options: &Options,
    watching: &dyn Watching,
    cancel: &CancellationToken,
) -> io::Result<Vec<Done>> {
    let order = order::sorted(specs, chosen);
    let mut waiting: Vec<&Pipeline> = order.iter().filter_map(|position| specs.pipelines.get(*position)).collect();
    let all: BTreeSet<&str> = waiting.iter().map(|pipeline| pipeline.id.as_str()).collect();
    let mut ended: BTreeMap<String, bool> = BTreeMap::new();
    let (mut done, mut running) = (Vec::new(), FuturesUnordered::new());
    loop {
        while running.len() < options.most.max(1) {
            let is_ready =
                |pipeline: &&Pipeline| pipeline.all_before().all(|id| !all.contains(id) || ended.contains_key(id));
            let Some(position) = waiting.iter().position(is_ready) else { break };
            let pipeline = waiting.remove(position);
            let held = held_by_failed(pipeline, |before| ended.get(before) == Some(&false));
            let all = &all;
            running.push(async move {
                let end = match held {
                    Some((by, why)) => BatchEnd::Held { by, why },
                    None if cancel.is_cancelled() => BatchEnd::NotRun(NotRun::Cancelled),
                    // What cannot be read of one says nothing of the others.
                    None => go(runner, specs, pipeline, options, (all, None), watching, cancel)
                        .await
                        .unwrap_or_else(|error| BatchEnd::NotRun(NotRun::Io(error))),
                };
                Done { pipeline: pipeline.id.clone(), end }
            });
        }
        let Some(one) = running.next().await else {
            // Nobody waits for ever: loops of what is said are told as wrong, and what is found out closes none.
            return Ok(done);
        };
        ended.insert(one.pipeline.clone(), one.end.is_good());
        watching.ended(&one);
        done.push(one);
    }
}

/// Which of those that were asked for together with a pipeline holds it, for it did not end well, and why. Only what a pipeline
/// depends on does: what it merely comes after, for it reads its files, holds it where these are half put in place.
pub(crate) fn held_by_failed(pipeline: &Pipeline, has_failed: impl Fn(&str) -> bool) -> Option<(String, Why)> {
    pipeline.pipelines_before().find(|before| has_failed(before)).map(|by| (by.to_owned(), Why::Unsuccessful))
}

/// Runs one pipeline, by position in [`Specs::pipelines`], under this id; those that it depends on are not run.
///
/// # Errors
/// As [`run`].
pub async fn one(
    runner: &Runner,
    specs: &Specs,
    position: usize,
    options: &Options,
    run: Option<String>,
    watching: &dyn Watching,
    cancel: &CancellationToken,
) -> io::Result<BatchEnd> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no such pipeline");
    let pipeline = specs.pipelines.get(position).ok_or_else(missing)?;
    let all = BTreeSet::from([pipeline.id.as_str()]);
    go(runner, specs, pipeline, options, (&all, run), watching, cancel).await
}

/// Runs a pipeline, unless it need not or cannot be run: under this id, if one is given, and among all those.
async fn go(
    runner: &Runner,
    specs: &Specs,
    pipeline: &Pipeline,
    options: &Options,
    (all, run): (&BTreeSet<&str>, Option<String>),
    watching: &dyn Watching,
    cancel: &CancellationToken,
) -> io::Result<BatchEnd> {
    for before in pipeline.pipelines_before().filter(|before| !options.is_forced && !all.contains(before)) {
        let why = match specs.pipeline(before) {
            Some(other) => runner.keeps_others(specs, other).await?,
            None => Some(Why::Dirty),
        };
        if let Some(why) = why {
            return Ok(BatchEnd::Held { by: before.to_owned(), why });
        }
    }
    // What reads files without saying so is held only where these are of two runs, be that what one of these left just now.
    for before in pipeline.reads_from.iter().filter(|_| !options.is_forced) {
        if runner.store.half_in_place(&runner.folder_name(&specs.root), before)?.is_some() {
            return Ok(BatchEnd::Held { by: before.clone(), why: Why::Dirty });
        }
    }
    let mut reasons = runner.reasons_now(specs, pipeline).await?;
    if reasons.is_empty() {
        if options.only_dirty {
            return Ok(BatchEnd::Clean);
        }
        reasons.push(options.reason.clone());
    }
    let asked = Asked {
        run,
        reasons,
        uses_cache: options.uses_cache,
        timeout: options.timeout,
        patience: options.patience,
        retries: options.retries,
        mark: options.mark.clone(),
        ..Asked::default()
    };
    Ok(match runner.run(specs, pipeline, asked, watching, cancel).await {
        Ok(record) => BatchEnd::Ran(Box::new(record)),
        Err(why) => BatchEnd::NotRun(why),
    })
}
