//! Lives of runs: the decisions of the operator against a cluster and a server that stand in.

use super::{Calls, schema, server, stand_in};
use crate::kind::Kind;
use crate::objects::Objects;
use crate::pause::{Cause, Pause};
use crate::pipeline_run::{PipelineRun, RunStatus, STOP};
use crate::run_board::{Board, Watch};
use crate::run_decision::{Circumstances, RunFacts, RunNext, Target, next};
use crate::run_phase::RunPhase;
use crate::run_reconcile::{RunContext, reconcile};
use crate::run_record;
use crate::run_values::RunValues;
use crate::server::{LARGEST_ANSWER, RunAnswer, RunsAnswer, StartError};
use crate::stack::{Condition, Watched};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{reflector, watcher};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// An object with its circumstances.
struct Life {
    run: PipelineRun,
    here: Circumstances,
}

impl Life {
    fn new() -> Self {
        let object = object("a", 0, json!({"pipelineId": "./noise"}));
        let target = Target::Pipeline("./noise".to_owned());
        let here = Circumstances {
            target,
            owner: None,
            values: RunValues::default(),
            facts: None,
            may_start: Some(true),
            is_paused: false,
        };
        let mut life = Self { run: serde_json::from_value(object).unwrap(), here };
        life.run.metadata.finalizers = Some(vec![STOP.to_owned()]);
        life
    }

    fn next(&self) -> RunNext {
        next(&self.run, &self.here, NOW)
    }

    fn status(&self) -> RunStatus {
        self.run.status.clone().unwrap_or_default()
    }

    fn set(&mut self, status: RunStatus) {
        self.run.status = Some(run_record::summarized(status, &self.run, NOW));
    }

    fn begin(&mut self) {
        self.set(run_record::begun(self.status(), "./noise".to_owned(), self.here.values.clone()));
    }

    fn start(&mut self) {
        self.begin();
        self.set(run_record::started(self.status(), "r1".to_owned()));
    }

    /// The server shows the run in this state; the operator records it.
    fn is(&mut self, state: &str) {
        let is_over = !["queued", "assigned", "preparing", "running", "publishing"].contains(&state);
        let error = (state == "failed").then(|| "step 2 failed".to_owned());
        let finished_at = is_over.then_some(NOW);
        let answer = RunAnswer {
            state: state.to_owned(),
            rows: 7,
            database: Some("orders".to_owned()),
            started_at: Some(NOW),
            finished_at,
            error,
            ..RunAnswer::default()
        };
        self.here.facts = Some(RunFacts::Found(Box::new(answer)));
        if let RunNext::Follow(facts) = self.next() {
            self.set(run_record::followed(self.status(), &facts, NOW));
        }
    }

    fn delete(&mut self) {
        self.run.metadata.deletion_timestamp = Some(Time(NOW));
    }

    fn condition(&self, kind: &str) -> Condition {
        self.status().conditions.into_iter().find(|condition| condition.kind == kind).unwrap()
    }
}

fn object(name: &str, second: usize, spec: Json) -> Json {
    let created = NOW.checked_add(SignedDuration::from_secs(i64::try_from(second).unwrap())).unwrap();
    let metadata = json!({"name": name, "namespace": "n", "uid": name, "generation": 1, "creationTimestamp": created,
        "resourceVersion": "1"});
    json!({"metadata": metadata, "spec": spec})
}

#[test]
fn run_is_started_once_and_followed_to_its_end() {
    let mut life = Life::new();
    life.run.metadata.finalizers = None;
    assert_eq!(life.next(), RunNext::AddFinalizer);
    life.run.metadata.finalizers = Some(vec![STOP.to_owned()]);
    assert_eq!(life.next(), RunNext::Begin("./noise".to_owned()));
    life.begin();
    assert_eq!(life.next(), RunNext::Start("./noise".to_owned()), "also after a restart");
    life.start();
    assert_eq!((life.next(), life.status().phase), (RunNext::Nothing, RunPhase::Pending));
    assert_eq!(life.condition("Accepted").status, "True");
    for (state, phase) in
        [("assigned", RunPhase::Assigned), ("preparing", RunPhase::Running), ("running", RunPhase::Running)]
    {
        life.is(state);
        assert_eq!((life.status().phase, life.next()), (phase, RunNext::Nothing));
        assert_eq!(life.condition("Succeeded").status, "Unknown");
    }
    life.is("succeeded");
    assert_eq!((life.status().phase, life.status().rows), (RunPhase::Succeeded, Some(7)));
    assert_eq!(life.status().db.as_deref(), Some("orders"));
    assert_eq!(life.condition("Succeeded").status, "True");
    assert_eq!(life.next(), RunNext::RemoveFinalizer);
    life.run.metadata.finalizers = None;
    assert_eq!(life.next(), RunNext::Nothing);
}

#[test]
fn status_names_the_generation_that_it_is_about() {
    let observed = |life: &Life| {
        let of_conditions = life.status().conditions.into_iter().map(|condition| condition.observed_generation);
        let all: BTreeSet<_> = of_conditions.chain([life.status().observed_generation]).collect();
        all.into_iter().collect::<Vec<_>>()
    };
    let mut life = Life::new();
    life.run.metadata.generation = Some(2);
    life.start();
    assert_eq!(observed(&life), [Some(2)]);
    life.run.metadata.generation = Some(3);
    life.is("succeeded");
    assert_eq!(observed(&life), [Some(3)]);
    life.run.metadata.finalizers = None;
    // A change of an ended run needs no action.
    life.run.metadata.generation = Some(4);
    life.run.spec.ttl_seconds_after_finished = Some(60);
    assert_eq!(life.next(), RunNext::Observe);
    life.set(life.status());
    assert_eq!((observed(&life), life.next()), (vec![Some(4)], RunNext::Nothing));
}

#[test]
fn ends_have_phases_and_reasons() {
    for (state, phase, reason) in [
        ("failed", RunPhase::Failed, "Failed"),
        ("timedout", RunPhase::Failed, "TimedOut"),
        ("lost", RunPhase::Failed, "Lost"),
        ("held", RunPhase::Failed, "Held"),
        ("not_run", RunPhase::Failed, "NotRun"),
        ("clean", RunPhase::Succeeded, "Clean"),
        ("cancelled", RunPhase::Cancelled, "Cancelled"),
        ("vanished", RunPhase::Failed, "Failed"),
    ] {
        let mut life = Life::new();
        life.start();
        life.is(state);
        let status = life.status();
        assert_eq!((status.phase, status.reason.as_deref()), (phase, Some(reason)), "{state}");
        assert_eq!(status.finished_at, Some(NOW));
    }
    let mut life = Life::new();
    life.start();
    life.is("failed");
    assert_eq!(life.condition("Succeeded").message, "step 2 failed");
}

#[test]
fn statistics_are_recorded_at_the_end_of_a_run() {
    let stats = json!({"hash": "a1", "count_of_rows": 7, "sizes": {"orders": [1, 2.5]}});
    let answer = |state: &str, stats: &str| {
        let run = format!(r#"{{"run_id": "r1", "state": "{state}", "stats": {stats}}}"#);
        let answer: RunsAnswer = serde_json::from_str(&format!(r#"{{"items": [{run}]}}"#)).unwrap();
        RunFacts::Found(Box::new(answer.items.into_iter().next().unwrap()))
    };
    let recorded =
        |state: &str, stats: &str| run_record::followed(RunStatus::default(), &answer(state, stats), NOW).stats;
    assert_eq!(recorded("running", &stats.to_string()), None);
    for state in ["succeeded", "failed"] {
        assert_eq!(recorded(state, &stats.to_string()).map(Json::Object), Some(stats.clone()), "{state}");
    }
    assert_eq!(recorded("succeeded", "{}"), None);
    assert_eq!(recorded("succeeded", "null"), None);
    // The list stays readable, and so does the object, which the cluster sends with other fields around.
    let text = |length: usize| json!({"text": "x".repeat(length)}).to_string();
    let nested = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    assert!(recorded("succeeded", &text((16 << 10) - 20)).is_some() && recorded("succeeded", &nested(16)).is_some());
    for large in [text(16 << 10), nested(17), nested(300)] {
        assert_eq!(recorded("succeeded", &large), None, "{} bytes", large.len());
    }
}

#[test]
fn run_that_the_server_lost_fails() {
    let mut life = Life::new();
    life.start();
    life.here.facts = Some(RunFacts::Lost);
    let RunNext::Follow(facts) = life.next() else { panic!("{:?}", life.next()) };
    life.set(run_record::followed(life.status(), &facts, NOW));
    assert_eq!((life.status().phase, life.next()), (RunPhase::Failed, RunNext::RemoveFinalizer));
}

#[test]
fn cancelled_or_deleted_run_is_stopped_before_its_object_goes() {
    let unwanted: [fn(&mut Life); 2] = [Life::delete, |life| life.run.spec.cancel = true];
    for unwant in unwanted {
        let mut life = Life::new();
        life.start();
        life.is("running");
        unwant(&mut life);
        assert_eq!(life.next(), RunNext::Stop("r1".to_owned()));
        life.here.is_paused = true;
        assert_eq!(life.next(), RunNext::Nothing);
        life.here.is_paused = false;
        life.set(run_record::stopping(life.status()));
        assert_eq!(life.next(), RunNext::Nothing, "its steps still run");
        life.is("cancelled");
        assert_eq!((life.status().phase, life.next()), (RunPhase::Cancelled, RunNext::RemoveFinalizer));
    }
}

#[test]
fn start_that_may_have_been_sent_is_sent_again_before_its_stop() {
    let mut life = Life::new();
    life.begin();
    life.delete();
    assert_eq!(life.next(), RunNext::Start("./noise".to_owned()));
    let refused = |reason, is_proof| StartError::Refused { reason, message: String::new(), is_proof, after: None };
    let unknown = StartError::Unknown { message: "no route".to_owned(), after: None };
    let after = |error: &StartError, is_first| run_record::not_started(life.status(), error, true, is_first, NOW);
    assert!(after(&unknown, false).starting && after(&unknown, true).starting, "its fate is unknown");
    // The server answers a repeated start before it looks at limits, but after it checked the token.
    assert_eq!(after(&refused("LimitReached", true), false).phase, RunPhase::Cancelled);
    assert!(after(&refused("Refused", false), false).starting);
    assert_eq!(after(&refused("Refused", false), true).phase, RunPhase::Cancelled, "no earlier call started it");
}

#[test]
fn run_that_never_started_ends_without_a_call() {
    let mut life = Life::new();
    life.run.spec.cancel = true;
    assert_eq!(life.next(), RunNext::Withdraw);
    life.set(run_record::withdrawn(life.status(), NOW));
    assert_eq!((life.status().phase, life.next()), (RunPhase::Cancelled, RunNext::RemoveFinalizer));
    let mut life = Life::new();
    life.delete();
    assert_eq!(life.next(), RunNext::RemoveFinalizer);
}

#[test]
fn refused_start_waits_with_the_reason_of_the_server() {
    let mut life = Life::new();
    life.begin();
    let message = "10 are in use".to_owned();
    let refused = StartError::Refused { reason: "LimitReached", message, is_proof: true, after: None };
    life.set(run_record::not_started(life.status(), &refused, false, true, NOW));
    let status = life.status();
    assert_eq!(
        (status.phase, status.reason.as_deref(), status.starting),
        (RunPhase::Pending, Some("LimitReached"), false)
    );
    life.here.may_start = Some(false);
    assert_eq!(life.next(), RunNext::Nothing, "the reason stays");
    life.here.may_start = Some(true);
    assert_eq!(life.next(), RunNext::Begin("./noise".to_owned()));
    // A wrong pipeline is not tried again.
    life.begin();
    let invalid = StartError::Invalid("the pipeline `./noise` is unknown".to_owned());
    life.set(run_record::not_started(life.status(), &invalid, false, true, NOW));
    assert_eq!((life.status().phase, life.next()), (RunPhase::Failed, RunNext::RemoveFinalizer));
    assert_eq!(life.condition("Succeeded").message, "the pipeline `./noise` is unknown");
}

#[test]
fn run_waits_for_its_pipeline_and_its_turn() {
    let mut life = Life::new();
    life.here.target = Target::Missing("this namespace has no Pipeline `p`".to_owned());
    let RunNext::Hold { reason, message, pipeline } = life.next() else { panic!("{:?}", life.next()) };
    assert_eq!((reason, &pipeline), ("PipelineNotReady", &None));
    life.set(run_record::held(life.status(), reason, &message, pipeline));
    assert_eq!(life.next(), RunNext::Nothing);
    life.here.target = Target::Pipeline("./noise".to_owned());
    life.here.may_start = Some(false);
    let RunNext::Hold { reason, message, pipeline } = life.next() else { panic!("{:?}", life.next()) };
    assert_eq!((reason, pipeline.as_deref()), ("Waiting", Some("./noise")));
    life.set(run_record::held(life.status(), reason, &message, pipeline));
    assert_eq!(life.next(), RunNext::Nothing);
    life.here.may_start = Some(true);
    assert_eq!(life.next(), RunNext::Begin("./noise".to_owned()));
}

#[test]
fn suspended_run_waits_without_a_finalizer() {
    let mut life = Life::new();
    life.run.metadata.finalizers = None;
    life.run.spec.suspend = true;
    let RunNext::Hold { reason, message, pipeline } = life.next() else { panic!("{:?}", life.next()) };
    let expected = ("Suspended", "`spec.suspend` is true", Some("./noise"));
    assert_eq!((reason, message.as_str(), pipeline.as_deref()), expected);
    life.set(run_record::held(life.status(), reason, &message, pipeline));
    assert_eq!((life.next(), life.status().phase), (RunNext::Nothing, RunPhase::Pending));
    assert_eq!(life.condition("Accepted").reason, "Suspended");
    life.run.spec.cancel = true;
    assert_eq!(life.next(), RunNext::Withdraw);
    life.run.spec.cancel = false;
    life.run.spec.suspend = false;
    assert_eq!(life.next(), RunNext::AddFinalizer);
    life.run.spec.suspend = true;
    life.delete();
    assert_eq!(life.next(), RunNext::Nothing, "nothing holds the object");
    life.run.metadata.finalizers = Some(vec![STOP.to_owned()]);
    assert_eq!(life.next(), RunNext::RemoveFinalizer);
}

#[test]
fn run_that_is_suspended_after_its_start_goes_on() {
    let mut life = Life::new();
    life.begin();
    life.run.spec.suspend = true;
    assert_eq!(life.next(), RunNext::Start("./noise".to_owned()), "the server may have it");
    let refused = StartError::Refused { reason: "LimitReached", message: String::new(), is_proof: true, after: None };
    let mut other = Life { run: life.run.clone(), here: life.here.clone() };
    other.set(run_record::not_started(other.status(), &refused, false, true, NOW));
    assert!(matches!(other.next(), RunNext::Hold { reason: "Suspended", .. }), "{:?}", other.next());
    life.start();
    life.is("running");
    assert_eq!((life.status().phase, life.next()), (RunPhase::Running, RunNext::Nothing));
    life.run.spec.cancel = true;
    assert_eq!(life.next(), RunNext::Stop("r1".to_owned()));
}

#[test]
fn object_is_deleted_after_its_time() {
    let mut life = Life::new();
    life.run.spec.ttl_seconds_after_finished = Some(60);
    life.start();
    life.is("succeeded");
    life.run.metadata.finalizers = None;
    assert_eq!(next(&life.run, &life.here, NOW + SignedDuration::from_secs(59)), RunNext::Nothing);
    assert_eq!(next(&life.run, &life.here, NOW + SignedDuration::from_secs(60)), RunNext::Delete);
}

#[test]
fn pause_follows_the_server_and_grows_without_it() {
    let mut pause = Pause::default();
    let second = |seconds| NOW + SignedDuration::from_secs(seconds);
    assert_eq!((pause.is_on(NOW), pause.most(4)), (false, 4));
    pause.refused(Cause::Requested(Duration::from_secs(5)), NOW);
    assert!(pause.is_on(second(4)) && !pause.is_on(second(5)));
    assert_eq!(pause.most(4), 1, "one call tests the server");
    pause.refused(Cause::Refusal, second(5));
    assert!(pause.is_on(second(24)) && !pause.is_on(second(25)), "20 seconds after the second failure");
    // Calls that were under way together count once.
    pause.refused(Cause::Refusal, second(6));
    assert!(pause.is_on(second(25)) && !pause.is_on(second(26)));
    pause.accepted();
    assert!(!pause.is_on(second(6)));
}

#[test]
fn pause_stays_short_if_the_operator_cannot_see_its_end() {
    let refused = |reason| StartError::Refused { reason, message: String::new(), is_proof: true, after: None };
    let unknown = |after| StartError::Unknown { message: String::new(), after };
    let requested = Duration::from_secs(5);
    for (error, expected) in [
        (refused("NoWorkers"), [10, 15, 15, 15]),
        (unknown(None), [10, 15, 15, 15]),
        (unknown(Some(requested)), [5, 5, 5, 5]),
        (refused("Refused"), [10, 20, 40, 80]),
    ] {
        let (mut pause, mut now) = (Pause::default(), NOW);
        for seconds in expected {
            pause.refused(Cause::of(&error).unwrap(), now);
            let end = now + SignedDuration::from_secs(seconds);
            assert!(pause.is_on(end - SignedDuration::from_secs(1)) && !pause.is_on(end), "{error:?}: {seconds}");
            now = end;
        }
    }
    assert_eq!(Cause::of(&StartError::Invalid(String::new())), None);
}

/// A cluster with runs, and a server with a limit. Both stand in.
struct World {
    objects: Arc<Mutex<BTreeMap<String, Json>>>,
    store: Writer<PipelineRun>,
    pipelines: Writer<Watched>,
    context: Arc<RunContext>,
    watch: Watch,
    cluster_calls: Calls,
    server_calls: Calls,
}

/// The runs of the server, by key.
type Runs = Arc<Mutex<Vec<(String, String)>>>;

impl World {
    fn new(objects: Vec<Json>, answer: impl Fn(&str, &str) -> (u16, String) + Send + 'static) -> Self {
        let named = objects.into_iter().map(|object| (object["metadata"]["name"].as_str().unwrap().to_owned(), object));
        let objects: Arc<Mutex<BTreeMap<String, Json>>> = Arc::new(Mutex::new(named.collect()));
        let held = Arc::clone(&objects);
        let (cluster, cluster_calls) = stand_in(move |call, body| {
            let (method, path) = call.split_once(' ').unwrap();
            let name = path.trim_end_matches("/status").rsplit('/').next().unwrap();
            let mut objects = held.lock().unwrap();
            let Some(object) = objects.get_mut(name) else { return (404, "{}".to_owned()) };
            match method {
                "DELETE" => {
                    let object = objects.remove(name).unwrap();
                    return (200, object.to_string());
                }
                "PATCH" => merge(object, &serde_json::from_str(body).unwrap()),
                _ => {}
            }
            (200, object.to_string())
        });
        let client = kube::Client::try_from(kube::Config::new(cluster.parse().unwrap())).unwrap();
        let (url, server_calls) = stand_in(answer);
        let (pipelines, pipeline_writer) = {
            let writer = Writer::<Watched>::new(Kind::Pipeline);
            (writer.as_reader(), writer)
        };
        let (runs, store) = reflector::store();
        let server = server(&url);
        let objects_seen = Objects { described: vec![(Kind::Pipeline, pipelines)], runs };
        let board = Arc::new(Board::new(server.clone(), objects_seen));
        let events = Recorder::new(client.clone(), "terrace-operator".into());
        let context = Arc::new(RunContext { client, server, events, board });
        let pipelines = pipeline_writer;
        Self { objects, store, pipelines, context, watch: Watch::new(), cluster_calls, server_calls }
    }

    /// Shows the watch the present objects.
    fn see(&mut self) {
        self.store.apply_watcher_event(&watcher::Event::Init);
        for object in self.objects.lock().unwrap().values() {
            let run = serde_json::from_value(object.clone()).unwrap();
            self.store.apply_watcher_event(&watcher::Event::InitApply(run));
        }
        self.store.apply_watcher_event(&watcher::Event::InitDone);
    }

    /// Reconciles until all objects fulfil a condition.
    async fn until(&mut self, holds: impl Fn(&Json) -> bool) {
        for _ in 0..2_000 {
            self.see();
            for run in self.context.board.runs() {
                reconcile(run, Arc::clone(&self.context)).await.unwrap();
            }
            if self.objects.lock().unwrap().values().all(&holds) {
                return;
            }
            self.see();
            // The watch would trigger the reconciliation of each changed object, which wakes the board.
            self.context.board.wake();
            let due = self.context.board.until_due(&mut self.watch);
            let _ = tokio::time::timeout(Duration::from_secs(3), due).await;
        }
        panic!("{:?}", self.objects.lock().unwrap());
    }

    fn status(&self, name: &str) -> Json {
        self.objects.lock().unwrap()[name]["status"].clone()
    }
}

/// Applies a merge patch (RFC 7386).
fn merge(object: &mut Json, patch: &Json) {
    let Some(fields) = patch.as_object() else { return *object = patch.clone() };
    for (name, value) in fields {
        match value {
            Json::Null => {
                object.as_object_mut().map(|object| object.remove(name));
            }
            value => {
                if !object[name].is_object() {
                    object[name] = json!({});
                }
                merge(&mut object[name], value);
            }
        }
    }
}

/// A server whose runs end when they are listed. At most `most` run at once.
fn limited(most: usize) -> (Runs, impl Fn(&str, &str) -> (u16, String)) {
    let runs = Runs::default();
    let seen = Arc::clone(&runs);
    let ended = Mutex::new(0);
    let answer = move |call: &str, body: &str| {
        let mut runs = seen.lock().unwrap();
        let mut ended = ended.lock().unwrap();
        match call {
            "POST /api/v1/pipelines/runs" if runs.len() - *ended >= most => {
                let message = format!("the limit `concurrentRuns` is {most}");
                (429, json!({"detail": message, "limit": {"limit": "concurrentRuns"}}).to_string())
            }
            "POST /api/v1/pipelines/runs" => {
                let id = format!("r{:04}", runs.len());
                let pipeline = serde_json::from_str::<Json>(body).unwrap()["pipeline_id"].as_str().unwrap().to_owned();
                runs.push((id.clone(), pipeline));
                (202, json!({"run_id": id}).to_string())
            }
            "GET /api/v1/pipelines/runs" => {
                *ended = runs.len();
                let run = |(id, _): &(String, String)| json!({"run_id": id, "state": "succeeded", "rows": 1, "started_at": NOW, "finished_at": NOW});
                let items: Vec<_> = runs.iter().rev().take(100).map(run).collect();
                (200, json!({"items": items}).to_string())
            }
            _ => (404, "{}".to_owned()),
        }
    };
    (runs, answer)
}

#[tokio::test]
async fn runs_beyond_a_limit_start_once_each_in_order() {
    let name = |number: usize| format!("run-{number:03}");
    let objects = (0..25).map(|number| object(&name(number), number, json!({"pipelineId": format!("./{number}")})));
    let (runs, answer) = limited(10);
    let mut world = World::new(objects.collect(), answer);
    world
        .until(|object| object["status"]["phase"] == "Succeeded" && object["metadata"]["finalizers"] == json!([]))
        .await;
    let runs = runs.lock().unwrap();
    let started: Vec<usize> = runs.iter().map(|(_, pipeline)| pipeline[2..].parse().unwrap()).collect();
    assert_eq!(started.iter().collect::<BTreeSet<_>>().len(), 25, "{started:?}");
    assert_eq!(started.len(), 25, "once each");
    // Those that start together have no order, and a slow request arrives after later ones.
    let is_early = |(place, number): (usize, &usize)| number.abs_diff(place) < 10;
    assert!(started.iter().enumerate().all(is_early), "the oldest first: {started:?}");
    // The server is not asked about each object.
    let calls = world.server_calls.lock().unwrap();
    let starts = calls.iter().filter(|(call, _)| call.starts_with("POST")).count();
    assert!(starts < 25 + 12, "{starts} starts");
    assert!(calls.iter().all(|(call, _)| !call.starts_with("GET /api/v1/pipelines/runs/")), "{calls:?}");
    let writes = world.cluster_calls.lock().unwrap().iter().filter(|(call, _)| call.starts_with("PATCH")).count();
    assert!(writes < 25 * 8, "{writes} writes");
}

#[tokio::test]
async fn large_runs_of_others_delay_no_run() {
    let run = json!({"run_id": "r1", "state": "succeeded", "started_at": NOW, "finished_at": NOW});
    let page = json!({"items": [run]}).to_string();
    let large = format!(r#"{{"items": [{{"run_id": "r2", "error": "{}"}}, {run}]}}"#, "x".repeat(LARGEST_ANSWER));
    // The longest page that the operator can read.
    for longest in [5, 0] {
        let (run, page, large) = (run.to_string(), page.clone(), large.clone());
        let answer = move |call: &str, query: &str| {
            let limit = query.strip_prefix("limit=").and_then(|limit| limit.parse().ok()).unwrap_or(0);
            match call {
                "POST /api/v1/pipelines/runs" => (202, json!({"run_id": "r1"}).to_string()),
                "GET /api/v1/pipelines/runs" if limit > longest => (200, large.clone()),
                "GET /api/v1/pipelines/runs" => (200, page.clone()),
                "GET /api/v1/pipelines/runs/r1" => (200, run.clone()),
                _ => (404, "{}".to_owned()),
            }
        };
        let mut world = World::new(vec![object("a", 0, json!({"pipelineId": "./a"}))], answer);
        world.until(|object| object["status"]["runId"] == "r1").await;
        world.see();
        // The client repeats a call with an answer that is too large, after a pause.
        let due = world.context.board.until_due(&mut world.watch);
        tokio::time::timeout(Duration::from_secs(40), due).await.unwrap();
        world.until(|object| object["status"]["phase"] == "Succeeded").await;
        let calls = world.server_calls.lock().unwrap();
        let is_single = |(call, _): &&(String, String)| call == "GET /api/v1/pipelines/runs/r1";
        assert_eq!(calls.iter().filter(is_single).count(), usize::from(longest == 0), "{calls:?}");
    }
}

#[tokio::test]
async fn suspended_runs_take_no_turns_of_others() {
    let name = |number: usize| format!("held-{number}");
    let held = |number| object(&name(number), number, json!({"pipelineId": "./held", "suspend": true}));
    let younger = object("younger", 10, json!({"pipelineId": "./younger"}));
    let (runs, answer) = limited(10);
    let mut world = World::new((0..6).map(held).chain([younger]).collect(), answer);
    let is_held = |object: &Json| object["status"]["reason"] == "Suspended";
    world.until(|object| is_held(object) || object["status"]["phase"] == "Succeeded").await;
    let started = |runs: &Runs| runs.lock().unwrap().iter().map(|(_, id)| id.clone()).collect::<Vec<_>>();
    assert_eq!(
        (started(&runs), is_held(&world.objects.lock().unwrap()["younger"])),
        (vec!["./younger".to_owned()], false)
    );
    assert_eq!(world.objects.lock().unwrap()[&name(0)]["metadata"].get("finalizers"), None);
    world.objects.lock().unwrap().get_mut(&name(0)).unwrap()["spec"]["suspend"] = json!(false);
    world.until(|object| object["metadata"]["name"] != name(0) || object["status"]["phase"] == "Succeeded").await;
    assert_eq!(started(&runs), ["./younger", "./held"]);
}

#[tokio::test]
async fn run_of_a_pipeline_object_waits_for_it_and_belongs_to_it() {
    let (runs, answer) = limited(10);
    let mut world = World::new(vec![object("a", 0, json!({"pipelineRef": "orders"}))], answer);
    world.until(|object| object["status"]["reason"] == "PipelineNotReady").await;
    assert_eq!(world.status("a")["message"], "this namespace has no Pipeline `orders`");
    let pipeline = |phase: &str, namespace: &str| {
        let metadata = json!({"name": "orders", "namespace": namespace, "uid": "p"});
        let object = json!({"metadata": metadata, "spec": {"pipelineId": "./orders"}, "status": {"phase": phase}});
        watcher::Event::Apply(serde_json::from_value::<Watched>(object).unwrap())
    };
    world.pipelines.apply_watcher_event(&pipeline("Ready", "other"));
    world.pipelines.apply_watcher_event(&pipeline("AwaitingApproval", "n"));
    world
        .until(|object| object["status"]["message"] == "the Pipeline `orders` is not Ready: it is AwaitingApproval")
        .await;
    world.pipelines.apply_watcher_event(&pipeline("Ready", "n"));
    world.until(|object| object["status"]["phase"] == "Succeeded").await;
    assert_eq!(runs.lock().unwrap()[0].1, "./orders");
    let owners = &world.objects.lock().unwrap()["a"]["metadata"]["ownerReferences"];
    assert_eq!(
        owners[0],
        json!({"apiVersion": "terrace.dev/v1alpha1", "kind": "Pipeline", "name": "orders", "uid": "p"})
    );
}

#[tokio::test]
async fn waiting_run_belongs_to_its_pipeline_object() {
    let (_, answer) = limited(10);
    let spec = |is_suspended: bool| json!({"pipelineRef": "orders", "suspend": is_suspended});
    let objects = vec![object("held", 0, spec(true)), object("early", 1, spec(false))];
    let mut world = World::new(objects, answer);
    world
        .until(|object| ["Suspended", "PipelineNotReady"].contains(&object["status"]["reason"].as_str().unwrap_or("")))
        .await;
    let pipeline = |phase: &str| {
        let metadata = json!({"name": "orders", "namespace": "n", "uid": "p"});
        let object = json!({"metadata": metadata, "spec": {"pipelineId": "./orders"}, "status": {"phase": phase}});
        watcher::Event::Apply(serde_json::from_value::<Watched>(object).unwrap())
    };
    world.pipelines.apply_watcher_event(&pipeline("AwaitingApproval"));
    let owner = json!([{"apiVersion": "terrace.dev/v1alpha1", "kind": "Pipeline", "name": "orders", "uid": "p"}]);
    let is_owned = |object: &Json| object["metadata"]["ownerReferences"] == owner;
    let owned = world.until(|object| is_owned(object) && object["metadata"].get("finalizers").is_none());
    tokio::time::timeout(Duration::from_secs(20), owned).await.unwrap();
    world.pipelines.apply_watcher_event(&pipeline("Ready"));
    world.until(|object| object["metadata"]["name"] == "held" || object["status"]["phase"] == "Succeeded").await;
    assert_eq!(world.objects.lock().unwrap()["held"]["metadata"].get("finalizers"), None);
    assert!(world.objects.lock().unwrap().values().all(is_owned));
    let writes = world.cluster_calls.lock().unwrap();
    let writes_owner = |call: &&(String, String)| {
        call.0 == "PATCH /apis/terrace.dev/v1alpha1/namespaces/n/pipelineruns/held"
            && call.1.contains("ownerReferences")
    };
    assert_eq!(writes.iter().filter(writes_owner).count(), 1, "{writes:?}");
}

#[tokio::test]
async fn answers_of_the_server_become_reasons() {
    for (code, body, phase, reason) in [
        (400, json!({"detail": "the pipeline `./a` is unknown"}), "Failed", "Invalid"),
        (401, json!({"detail": "unknown token"}), "Pending", "Refused"),
        (403, json!({"detail": "the token has no scope `apply`"}), "Pending", "Refused"),
        (403, json!({"detail": "1 GB are in use", "limit": {"limit": "storedBytes"}}), "Pending", "LimitReached"),
        (409, json!({"detail": "no worker is up"}), "Pending", "NoWorkers"),
        (422, json!({"detail": "another call used the key"}), "Failed", "Invalid"),
        (503, json!({"detail": "the queue cannot be written"}), "Pending", "ServerUnavailable"),
    ] {
        let text = body.to_string();
        let mut world =
            World::new(vec![object("a", 0, json!({"pipelineId": "./a"}))], move |_, _| (code, text.clone()));
        world.until(|object| object["status"]["reason"] == reason).await;
        let status = world.status("a");
        assert_eq!(status["phase"], phase, "{code}: {status}");
        let detail = body["detail"].as_str().unwrap();
        assert!(status["message"].as_str().unwrap().contains(detail), "{status}");
        // Only a start with an unknown fate has to be sent under the same key.
        assert_eq!(status["starting"], json!(code == 503), "{code}");
        let is_about_token = status["message"].as_str().unwrap().contains("the token of the operator");
        assert_eq!(is_about_token, code == 401, "{status}");
    }
}

#[tokio::test]
async fn refusal_by_a_limit_keeps_the_pause_of_the_server() {
    let body = json!({"detail": "10 are in use", "limit": {"limit": "concurrentRuns"}});
    let (url, calls) = stand_in(move |_, _| (429, body.to_string()));
    let refused = StartError::Refused {
        reason: "LimitReached",
        message: "the server answers with 429: 10 are in use".to_owned(),
        is_proof: true,
        after: Some(Duration::from_secs(1)),
    };
    assert_eq!(server(&url).start_run("key", json!({})).await, Err(refused));
    assert_eq!(calls.lock().unwrap().len(), 1, "the operator decides when to call again");
}

#[tokio::test]
async fn calls_name_the_object_in_their_key_and_pass_its_options() {
    let spec = json!({"pipelineId": "./a", "pool": "big", "force": true, "useCache": false, "timeoutSeconds": 60, "retries": 0});
    let (_, answer) = limited(10);
    let mut world = World::new(vec![object("a", 0, spec)], answer);
    world.until(|object| object["status"]["phase"] == "Succeeded").await;
    let calls = world.server_calls.lock().unwrap();
    let (_, body) = calls.iter().find(|(call, _)| call.starts_with("POST")).unwrap();
    let expected = json!({"pipeline_id": "./a", "pool": "big", "dirty": false, "force": true, "use_cache": false,
        "timeout_seconds": 60, "retries": 0});
    assert_eq!(serde_json::from_str::<Json>(body).unwrap(), expected);
}

/// A `Pipeline` that is ready, with this image for its runs.
fn with_image(image: &str) -> watcher::Event<Watched> {
    let spec = json!({"pipelineId": "./orders", "env": {"SINCE": "1", "LABEL": "a"}, "image": image, "resources": {"memory": "2Gi"}});
    let metadata = json!({"name": "orders", "namespace": "n", "uid": "p"});
    let object = json!({"metadata": metadata, "spec": spec, "status": {"phase": "Ready"}});
    watcher::Event::Apply(serde_json::from_value(object).unwrap())
}

#[tokio::test]
async fn run_has_the_values_of_its_pipeline_and_its_own() {
    let spec = json!({"pipelineRef": "orders", "params": {"SINCE": "2"}});
    let (_, answer) = limited(10);
    let mut world = World::new(vec![object("a", 0, spec)], answer);
    world.pipelines.apply_watcher_event(&with_image("r/i@sha256:1"));
    world.until(|object| object["status"]["phase"] == "Succeeded").await;
    let calls = world.server_calls.lock().unwrap();
    let (_, body) = calls.iter().find(|(call, _)| call.starts_with("POST")).unwrap();
    let body: Json = serde_json::from_str(body).unwrap();
    assert_eq!(body["params"], json!({"SINCE": "2", "LABEL": "a"}));
    assert_eq!((&body["image"], &body["memory"], body.get("cpu")), (&json!("r/i@sha256:1"), &json!("2Gi"), None));
    let values =
        json!({"params": {"SINCE": "2", "LABEL": "a"}, "image": "r/i@sha256:1", "resources": {"memory": "2Gi"}});
    drop(calls);
    assert_eq!(world.status("a")["values"], values);
}

#[tokio::test]
async fn repeated_start_has_the_values_of_the_first_one() {
    let tries = Mutex::new(0);
    let answer = move |call: &str, _: &str| {
        let mut tries = tries.lock().unwrap();
        *tries += usize::from(call.starts_with("POST"));
        match (call, *tries) {
            // Its fate is unknown: the next start has the same key, and needs the same body.
            ("POST /api/v1/pipelines/runs", 1) => (503, "{}".to_owned()),
            ("POST /api/v1/pipelines/runs", _) => (202, json!({"run_id": "r1"}).to_string()),
            _ => (200, json!({"items": []}).to_string()),
        }
    };
    let mut world = World::new(vec![object("a", 0, json!({"pipelineRef": "orders"}))], answer);
    world.pipelines.apply_watcher_event(&with_image("r/i@sha256:1"));
    world.until(|object| object["status"]["reason"] == "ServerUnavailable").await;
    world.pipelines.apply_watcher_event(&with_image("r/i@sha256:2"));
    world.until(|object| object["status"]["runId"] == "r1").await;
    let calls = world.server_calls.lock().unwrap();
    let bodies: Vec<&str> =
        calls.iter().filter(|(call, _)| call.starts_with("POST")).map(|(_, body)| body.as_str()).collect();
    assert!(bodies.len() > 1 && bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test]
async fn start_after_a_refusal_has_the_present_values() {
    let answer = move |call: &str, body: &str| match call {
        "POST /api/v1/pipelines/runs" if body.contains("sha256:1") => (403, json!({"detail": "no"}).to_string()),
        "POST /api/v1/pipelines/runs" => (202, json!({"run_id": "r1"}).to_string()),
        _ => (200, json!({"items": []}).to_string()),
    };
    let mut world = World::new(vec![object("a", 0, json!({"pipelineRef": "orders"}))], answer);
    world.pipelines.apply_watcher_event(&with_image("r/i@sha256:1"));
    world.until(|object| object["status"]["reason"] == "Refused").await;
    world.pipelines.apply_watcher_event(&with_image("r/i@sha256:2"));
    world.until(|object| object["status"]["runId"] == "r1").await;
    assert_eq!(world.status("a")["values"]["image"], "r/i@sha256:2");
}

#[test]
fn definition_has_the_fields_of_runs() {
    let status = RunStatus { conditions: vec![Condition::default()], ..RunStatus::default() };
    let names = |json: &Json| json.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&schema("PipelineRun", "status/properties")), names(&json!(status)));
    let fields = schema("PipelineRun", "spec/properties");
    let sample = |(name, schema): (&String, &Json)| {
        let value = match schema["type"].as_str().unwrap() {
            "string" => json!("x"),
            "boolean" => json!(true),
            "object" => json!({"A": "1"}),
            _ => json!(3),
        };
        (name.clone(), value)
    };
    let spec: Json = fields.as_object().unwrap().iter().map(sample).collect();
    let run: PipelineRun = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
    let read = format!("{:?}", run.spec);
    for expected in [
        "pipeline_id: Some(\"x\")",
        "pipeline_ref: Some(\"x\")",
        "pool: Some(\"x\")",
        "dirty: true",
        "force: true",
        "use_cache: Some(true)",
        "timeout_seconds: Some(3)",
        "retries: Some(3)",
        "params: {\"A\": \"1\"}",
        "suspend: true",
        "cancel: true",
        "ttl_seconds_after_finished: Some(3)",
    ] {
        assert!(read.contains(expected), "{expected}: {read}");
    }
    assert_eq!(spec.as_object().unwrap().len(), 12);
}

#[test]
fn only_three_fields_of_a_run_can_change() {
    let rules = schema("PipelineRun", "spec/x-kubernetes-validations");
    let rule =
        rules.as_array().unwrap().iter().find(|it| it["message"].as_str().unwrap().contains("can change")).unwrap();
    let (text, message) = (rule["rule"].as_str().unwrap(), rule["message"].as_str().unwrap());
    let fields = schema("PipelineRun", "spec/properties");
    let fields: BTreeSet<&String> = fields.as_object().unwrap().keys().collect();
    let (fixed, mutable): (Vec<&str>, Vec<&str>) =
        fields.into_iter().map(String::as_str).partition(|name| text.contains(&format!("oldSelf.{name}")));
    assert_eq!(mutable, ["cancel", "suspend", "ttlSecondsAfterFinished"]);
    assert!(mutable.iter().all(|name| message.contains(&format!("`{name}`"))), "{message}");
    assert_eq!(fixed.len(), 9);
}
