//! A store that fails at every point of the journal and recovers within one process, as a server sees it: the same
//! operation runs again at once and ends like an undisturbed one. No call is made twice, and no object is lost.

use crate::journal_points::{SCENES, Scene};
use crate::support::Story;
use crate::support::faulty_store::{Counted, FaultyStore, Outage};
use crate::support::story::summary;
use crate::support::world::Fault;
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_engine::address::{Address, StackId};
use terrace_engine::apply::{Applier, ApplyError, Attempt, Report};
use terrace_engine::driver::{self, Applying, Approval, Planning, Replan};
use terrace_engine::plan::Plan;
use terrace_engine::plan::compute::Computed;
use terrace_engine::store::{Body, NewOperation, NewRequest, OrderKey, RequestQueue, Selection, StateStore};
use terrace_state::{SystemClock, in_memory};
use uuid::Uuid;

/// Number of runs after which a request must be done.
const MOST_RUNS: usize = 12;

/// A server's request: one operation, which runs again after each failure of the store.
struct Request {
    scene: Scene,
    operation: Uuid,
    what: String,
}

impl Request {
    /// Queues the request: its operation may begin again until the request ends.
    async fn queue(&self, queue: &(impl RequestQueue + ?Sized)) {
        let operation = NewOperation {
            id: self.operation,
            kind: "apply".to_owned(),
            stacks: vec![StackId::new("demo", "test")],
            actor: "a test".to_owned(),
        };
        let request = NewRequest {
            operation,
            order: OrderKey::default(),
            digest: self.operation.to_string(),
            older_digests: Vec::new(),
            body: Body::default(),
            idempotency: None,
            can_wait: false,
            quota: None,
        };
        queue.enqueue(&request, 1).await.unwrap();
    }

    async fn work(&self, story: &Story) {
        let mut errors = Vec::new();
        for _ in 0..MOST_RUNS {
            match self.run(story).await {
                Ok(()) => return,
                Err(error) => {
                    self.expire_leases_of_recovery(story, &error).await;
                    errors.push(error);
                }
            }
        }
        panic!("{}: not done after {MOST_RUNS} runs: {errors:#?}", self.what);
    }

    /// Runs as a server does on a claimed request.
    async fn run(&self, story: &Story) -> Result<(), String> {
        let change = Change { request: self, story };
        driver::change(&change, &change).await.map_err(|Failure(message)| message)
    }

    async fn next_step(&self, story: &Story) -> u32 {
        let steps = story.store.operation(self.operation).await.unwrap().map(|(_, steps)| steps).unwrap_or_default();
        steps.iter().map(|step| step.step + 1).max().unwrap_or_default()
    }

    /// Ends the leases of a recovery that could not release them, as their expiry does. The leases of the request
    /// itself stay, since the request runs again sooner.
    async fn expire_leases_of_recovery(&self, story: &Story, error: &str) {
        let held = story.store.leases().await.unwrap();
        for lease in held.into_iter().filter(|lease| lease.operation != self.operation) {
            assert!(error.contains("is held by") || error.contains("is away"), "{}: {error}", self.what);
            // During the outage, breaking a lease fails too.
            let _ = story.administration.break_lease(&lease.id).await;
        }
    }
}

/// A run of a request.
struct Change<'a> {
    request: &'a Request,
    story: &'a Story,
}

/// Why a run failed.
struct Failure(String);

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        Self(error.to_string())
    }
}

impl Planning for Change<'_> {
    type Error = Failure;

    async fn recover(&self, _: BTreeSet<Address>) -> Result<bool, Failure> {
        let steps = self.story.try_recover().await.map_err(|error| Failure(error.to_string()))?;
        for step in &steps {
            assert!(!step.is_in_doubt, "{}: {step:?}", self.request.what);
        }
        Ok(!steps.is_empty())
    }

    async fn plan(&self) -> Result<Computed, Failure> {
        Ok(Computed { plan: self.request.scene.plan(self.story).await, diagnostics: Vec::new() })
    }

    async fn approve(&self, _: &Computed) -> Result<Approval, Failure> {
        Ok(Approval::Replaceable)
    }
}

impl Applying for Change<'_> {
    type Error = Failure;
    type End = ();
    type Progress = ();

    fn operation(&self) -> Uuid {
        self.request.operation
    }

    async fn begin(&self, _: &Plan, _: usize, attempt: Attempt) -> Result<(Applier, ()), Failure> {
        let first_step = self.request.next_step(self.story).await;
        Ok((self.story.applier_of(Attempt { first_step, ..attempt }), ()))
    }

    async fn finish(&self, (): (), _: &Plan, _: Option<&Report>) {}

    async fn report_replan(&self, _: Replan<'_>) {}

    fn gave_up(&self) -> Failure {
        Failure("the state kept changing".to_owned())
    }

    async fn unchanged(&self, _: &Plan) -> Result<(), Failure> {
        Ok(())
    }

    async fn applied(&self, plan: &Plan, report: &Report) -> Result<(), Failure> {
        let is_done = report.failed.is_empty() && report.blocked.is_empty();
        assert!(is_done, "{}: {report:?}\n{}", self.request.what, summary(plan));
        Ok(())
    }
}

/// Numbers of failing calls: one, a few, enough to fail the second run as well.
const LENGTHS: [usize; 3] = [1, 2, 5];

async fn fail_at_every_write(counted: Counted) {
    for scene in SCENES {
        for (calls, is_written) in LENGTHS.into_iter().flat_map(|calls| [(calls, false), (calls, true)]) {
            for first in 0.. {
                let what = format!("{scene:?}, {calls} calls fail from write {first} on, written: {is_written}");
                let store = in_memory(Arc::new(SystemClock)).unwrap();
                let mut story = scene.begin_on(store.clone()).await;
                let request = Request { scene, operation: Uuid::now_v7(), what };
                request.queue(&*store).await;
                let inner: Arc<dyn StateStore> = Arc::clone(&story.store);
                let failing = FaultyStore::failing(Arc::clone(&inner), Outage { first, counted, calls, is_written });
                story.store = failing.clone();
                request.work(&story).await;
                story.store = inner;
                scene.check(&mut story, &request.what).await;
                if !failing.has_failed() {
                    assert!(first > 2, "{}: the journal has more writes than that", request.what);
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn outage_at_any_write_doubles_nothing() {
    fail_at_every_write(Counted::All).await;
}

#[tokio::test]
async fn outage_at_any_outcome_doubles_nothing() {
    fail_at_every_write(Counted::Outcomes).await;
}

/// The first run fails at a write and records no step, so the second run takes the same step numbers.
#[tokio::test]
async fn running_call_of_the_next_run_does_not_count_as_ended() {
    let mut reused = 0;
    for first in 0..8 {
        let (store, scene, what) = (in_memory(Arc::new(SystemClock)).unwrap(), Scene::First, format!("write {first}"));
        let mut story = scene.begin_on(store.clone()).await;
        let request = Request { scene, operation: Uuid::now_v7(), what };
        request.queue(&*store).await;
        let inner: Arc<dyn StateStore> = Arc::clone(&story.store);
        let outage = Outage { first, counted: Counted::All, calls: 1, is_written: false };
        story.store = FaultyStore::failing(Arc::clone(&inner), outage);
        let failed = request.run(&story).await;
        story.store = inner;
        if failed.is_ok() || request.next_step(&story).await > 0 {
            continue;
        }
        reused += 1;
        story.fault("create ", Fault::HangBefore);
        let running = request.run(&story);
        tokio::pin!(running);
        let open = loop {
            tokio::select! {
                biased;
                ended = &mut running => panic!("{}: the call hangs, and the run ended with {ended:?}", request.what),
                () = tokio::task::yield_now() => {}
            }
            let open = story.store.open_intents(&StackId::new("demo", "test"), &Selection::All).await.unwrap();
            if !open.is_empty() {
                break open;
            }
        };
        for open in open {
            assert!(!open.is_holder_gone, "{}: the store knows that this process lives", request.what);
            let complete = open.after(&story.ended_calls);
            assert!(!complete.is_holder_gone, "{}: its call runs: {complete:?}", request.what);
        }
    }
    assert!(reused > 0, "no first run left its step numbers to the second run");
}
