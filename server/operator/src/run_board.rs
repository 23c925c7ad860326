//! What all runs share: the newest look at the server's runs, the order of starts, and pauses.
//!
//! One list of the server's runs serves all objects, and the decisions need no call. So objects that wait cost nothing,
//! and a restart reads all again.

use crate::decide::POLL;
use crate::kind::Kind;
use crate::objects::Objects;
use crate::outage::Outage;
use crate::pause::Pause;
use crate::pipeline_run::{PipelineRun, RunStatus};
use crate::run_decision::{Circumstances, RunFacts, RunNext, Target, next};
use crate::run_values::RunValues;
use crate::server::{CallError, RunAnswer, Server};
use crate::stack::{Phase, Watched};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long changes are collected before a look.
const BURST: Duration = Duration::from_millis(50);
/// Starts that are sent at once.
const STARTS: usize = 4;
/// Fewest and most runs of a page of the server's list.
const PAGE: (usize, usize) = (20, 500);
/// Most runs that are read one by one after a look at the list.
const SINGLE_READS: usize = 10;

/// The pause before a look, after so many looks in a row that found nothing new. It grows from 2 to 10 seconds: the
/// server records each look in its audit log.
fn pause_after(idle: u32) -> Duration {
    POLL * (1 + idle / 15).min(5)
}

/// The id of a run that has not ended.
fn active(status: &RunStatus) -> Option<&String> {
    status.run_id.as_ref().filter(|_| !status.phase.is_over())
}

/// The calls that pause together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Calls {
    /// Starts of runs in a worker pool; `None` for the pool of the server.
    Start(Option<String>),
    /// Ends of runs.
    Stop,
}

impl Calls {
    /// The next call about a run.
    fn of(run: &PipelineRun) -> Self {
        match run.status.as_ref().is_some_and(|status| status.run_id.is_some()) {
            true => Self::Stop,
            false => Self::Start(run.spec.pool.clone()),
        }
    }
}

/// The memory of the loop that triggers reconciliations.
pub(crate) struct Watch {
    outage: Outage,
    /// The last look at the server.
    looked: Option<Instant>,
    /// Looks in a row that found nothing new.
    idle: u32,
    /// The actions that were due, by the uids of their objects.
    due: HashMap<String, RunNext>,
    /// The last trigger of all actions that were due.
    triggered: Option<Instant>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let outage = Outage::new("the runs of the server cannot be read now", "the runs of the server can be read");
        Self { outage, looked: None, idle: 0, due: HashMap::new(), triggered: None }
    }
}

/// The shared part of all reconciliations of runs.
pub(crate) struct Board {
    server: Server,
    objects: Objects,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// The newest look at the runs that have not ended.
    facts: HashMap<String, RunFacts>,
    /// Whether it is their turn, by the uids of the objects that have not started.
    turns: HashMap<String, bool>,
    pauses: BTreeMap<Calls, Pause>,
    /// The uids of the objects whose start this process began, and did not send yet.
    begun: HashSet<String>,
}

impl Board {
    pub(crate) fn new(server: Server, objects: Objects) -> Self {
        Self { server, objects, state: Mutex::default(), wake: Notify::new() }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The objects, as the watch saw them last.
    pub(crate) fn runs(&self) -> Vec<Arc<PipelineRun>> {
        self.objects.runs.state()
    }

    /// The circumstances of a run.
    pub(crate) fn circumstances(&self, run: &PipelineRun, now: Timestamp) -> Circumstances {
        let (target, owner) = self.target(run);
        let values = self.values(run);
        let id = run.status.as_ref().and_then(|status| status.run_id.as_ref());
        self.change(|state| Circumstances {
            target,
            owner,
            values,
            facts: id.and_then(|id| state.facts.get(id)).cloned(),
            may_start: run.metadata.uid.as_ref().and_then(|uid| state.turns.get(uid)).copied(),
            is_paused: state.pauses.get(&Calls::of(run)).is_some_and(|pause| pause.is_on(now)),
        })
    }

    /// The pipeline that a run names, and name and uid of its object.
    fn target(&self, run: &PipelineRun) -> (Target, Option<(String, String)>) {
        let Some(name) = &run.spec.pipeline_ref else {
            return (Target::Pipeline(run.spec.pipeline_id.clone().unwrap_or_default()), None);
        };
        let Some(pipeline) = self.pipeline_of(run) else {
            return (Target::Missing(format!("this namespace has no Pipeline `{name}`")), None);
        };
        let target = match (&pipeline.pipeline_id, pipeline.phase) {
            (Some(id), Phase::Ready) => Target::Pipeline(id.clone()),
            (_, phase) => Target::Missing(format!("the Pipeline `{name}` is not Ready: it is {phase:?}")),
        };
        (target, pipeline.metadata.uid.clone().map(|uid| (name.clone(), uid)))
    }

    /// The object of the pipeline that a run names.
    fn pipeline_of(&self, run: &PipelineRun) -> Option<Arc<Watched>> {
        let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
        self.objects.find(Kind::Pipeline, namespace, run.spec.pipeline_ref.as_deref()?)
    }

    /// The values of a run in place of those of the spec: those of its pipeline's object, and its own.
    fn values(&self, run: &PipelineRun) -> RunValues {
        let of_pipeline = self.pipeline_of(run).map(|pipeline| pipeline.values.clone()).unwrap_or_default();
        of_pipeline.with_params(&run.spec.params)
    }

    /// After a call about a run: calls of its kind go on, or pause.
    pub(crate) fn answered(&self, calls: &Calls, pause: impl FnOnce(&mut Pause)) {
        self.change(|state| pause(state.pauses.entry(calls.clone()).or_default()));
        self.wake.notify_one();
    }

    /// Before the begin of a start is recorded.
    pub(crate) fn begins(&self, uid: String) {
        self.change(|state| state.begun.insert(uid));
    }

    /// Before a start is sent. Returns whether no earlier call may have sent it.
    pub(crate) fn sends(&self, uid: &str) -> bool {
        self.change(|state| state.begun.remove(uid))
    }

    /// After a change of an object: the next one may have its turn.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Looks at runs and objects until some have something to do, and returns these.
    pub(crate) async fn until_due(&self, watch: &mut Watch) -> Vec<ObjectRef<PipelineRun>> {
        loop {
            // A burst of changes leads to one look.
            let _ = tokio::time::timeout(POLL, self.wake.notified()).await;
            tokio::time::sleep(BURST).await;
            let runs = self.runs();
            let pause = if self.is_urgent(&runs) { POLL } else { pause_after(watch.idle) };
            if watch.looked.is_none_or(|looked| looked.elapsed() >= pause) {
                let is_new = self.look(&runs, &mut watch.outage).await;
                watch.idle = if is_new { 0 } else { watch.idle.saturating_add(1) };
                watch.looked = Some(Instant::now());
            }
            let now = Timestamp::now();
            self.set_turns(&runs, now);
            // An action that was triggered already may be under way, or fail and be repeated by the controller.
            let is_time = watch.triggered.is_none_or(|triggered| triggered.elapsed() >= POLL);
            let (mut due, mut new) = (HashMap::new(), Vec::new());
            for run in &runs {
                let next = next(run, &self.circumstances(run, now), now);
                let Some(uid) = run.uid().filter(|_| next != RunNext::Nothing) else { continue };
                if is_time || watch.due.get(&uid) != Some(&next) {
                    new.push(ObjectRef::from_obj(&**run));
                }
                due.insert(uid, next);
            }
            watch.due = due;
            if is_time {
                watch.triggered = Some(Instant::now());
            }
            if !new.is_empty() {
                return new;
            }
        }
    }

    /// Gives the oldest objects their turn.
    fn set_turns(&self, runs: &[Arc<PipelineRun>], now: Timestamp) {
        let is_waiting = |run: &PipelineRun| {
            let status = run.status.as_ref();
            let has_begun = status.is_some_and(|status| status.phase.is_over() || status.run_id.is_some());
            !has_begun && !run.spec.cancel && !run.is_suspended() && run.metadata.deletion_timestamp.is_none()
        };
        let mut waiting: Vec<&Arc<PipelineRun>> = runs.iter().filter(|run| is_waiting(run)).collect();
        waiting.sort_by_key(|run| {
            let metadata = &run.metadata;
            (metadata.creation_timestamp.as_ref().map(|time| time.0), metadata.uid.clone())
        });
        let mut started: BTreeMap<Calls, usize> = BTreeMap::new();
        let mut turns = HashMap::new();
        for run in waiting {
            let calls = Calls::of(run);
            let pause = self.change(|state| state.pauses.get(&calls).cloned()).unwrap_or_default();
            let count = started.entry(calls).or_default();
            let is_free = !pause.is_on(now) && *count < pause.most(STARTS);
            let may_start = is_free && matches!(self.target(run).0, Target::Pipeline(_));
            if may_start {
                *count += 1;
            }
            turns.extend(run.uid().map(|uid| (uid, may_start)));
        }
        self.change(|state| state.turns = turns);
    }

    /// Whether a run started or is stopping, so that its next change is near.
    fn is_urgent(&self, runs: &[Arc<PipelineRun>]) -> bool {
        let is_urgent = |status: &RunStatus| {
            active(status).is_some_and(|id| status.stopping || self.change(|state| !state.facts.contains_key(id)))
        };
        runs.iter().any(|run| run.status.as_ref().is_some_and(is_urgent))
    }

    /// Reads the runs of all objects, in as few calls as possible. Returns whether it found something new. Runs that were
    /// not read keep their facts.
    async fn look(&self, runs: &[Arc<PipelineRun>], outage: &mut Outage) -> bool {
        let mut missing: HashSet<String> =
            runs.iter().filter_map(|run| active(run.status.as_ref()?).cloned()).collect();
        let before = self.change(|state| {
            state.facts.retain(|id, _| missing.contains(id));
            state.facts.clone()
        });
        match self.read(&mut missing).await {
            Ok(()) => outage.ended(),
            Err(error) => outage.began(&error.message()),
        };
        self.change(|state| state.facts != before)
    }

    async fn read(&self, missing: &mut HashSet<String>) -> Result<(), CallError> {
        // Ids sort by time: older pages have none of the rest.
        let Some(oldest) = missing.iter().min().cloned() else { return Ok(()) };
        let mut limit = (missing.len() * 2).clamp(PAGE.0, PAGE.1);
        let mut after: Option<String> = None;
        loop {
            let page = match self.server.runs(limit, after.as_deref()).await {
                Err(CallError::TooLarge) if limit > 1 => {
                    limit /= 2;
                    continue;
                }
                Err(CallError::TooLarge) => break,
                page => page?,
            };
            for run in page.items {
                if missing.remove(&run.run_id) {
                    self.note(run);
                }
            }
            match page.next {
                Some(next) if !missing.is_empty() && next > oldest => after = Some(next),
                _ => break,
            }
        }
        // The list leaves out runs that it cannot read at the moment.
        for id in missing.iter().take(SINGLE_READS) {
            match self.server.run(id).await {
                Ok(run) => self.note(run),
                Err(CallError::Refused { status: 404, .. }) => {
                    self.change(|state| state.facts.insert(id.clone(), RunFacts::Lost));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note(&self, run: RunAnswer) {
        self.change(|state| state.facts.insert(run.run_id.clone(), RunFacts::Found(Box::new(run))));
    }
}

#[cfg(test)]
mod tests {
    use super::pause_after;

    #[test]
    fn looks_become_rare_while_nothing_changes() {
        assert_eq!([0, 14, 15, 60, 1_000].map(|idle| pause_after(idle).as_secs()), [2, 2, 4, 10, 10]);
    }
}
