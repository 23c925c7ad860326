//! Lives of objects: the decisions of the operator against answers of a server.

mod runs;

use crate::api_server::ApiServer;
use crate::decide::{Next, next};
use crate::definitions::{Comparison, DEFINITIONS, compare_with};
use crate::event;
use crate::health::Health;
use crate::inputs;
use crate::kind::Kind;
use crate::leader::Candidate;
use crate::objects::Objects;
use crate::reconcile::{Context, reconcile, rival};
use crate::record::{self, NewPlan};
use crate::server::{DriftAnswer, DriftedAnswer, LARGEST_ANSWER, OperationAnswer, PlanAnswer, Server, ServerSettings};
use crate::stack::{
    ApprovalMode, Condition, Counts, Deletion, DriftRecord, FINALIZER, LastRun, OperationRecord, OperationState, Phase,
    PlanRecord, PlanState, Received, Retry, Stack, StackStatus, Watched,
};
use crate::translate;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectList;
use kube::runtime::controller::Action;
use kube::runtime::events::{EventType, Recorder};
use kube::runtime::reflector;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// An object with the answers that its server gives.
struct Life {
    stack: Stack,
    now: Timestamp,
    /// The digest of the next plan.
    digest: &'static str,
    /// The objects that the next plan deletes.
    deleted: i64,
    /// The answer to the next looks at an operation.
    operation: &'static str,
    /// The stack that the descriptor names.
    name: &'static str,
    rival: Option<&'static str>,
    /// The plans that were sent to be applied.
    applied: Vec<String>,
}

impl Life {
    fn new() -> Self {
        let spec = json!({"environment": "local", "text": "one"});
        let metadata = json!({"name": "a", "namespace": "n", "uid": "u", "generation": 1, "finalizers": [FINALIZER]});
        let stack = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
        Self {
            stack,
            now: NOW,
            digest: "d1",
            deleted: 0,
            operation: "completed",
            name: "a@local",
            rival: None,
            applied: Vec::new(),
        }
    }

    fn next(&self) -> Next {
        next(&self.stack, self.rival, self.now)
    }

    fn status(&self) -> &StackStatus {
        self.stack.status.as_ref().unwrap()
    }

    fn plan(&self) -> &PlanRecord {
        self.status().plan.as_ref().unwrap()
    }

    fn approve(&mut self, digest: &str) {
        self.stack
            .metadata
            .annotations
            .get_or_insert_default()
            .insert("terrace.dev/approve".to_owned(), digest.to_owned());
    }

    fn delete(&mut self) {
        self.stack.metadata.deletion_timestamp = Some(Time(NOW));
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    /// Returns to the moment before the operation was sent.
    fn forget_sending(&mut self) {
        let operation = self.stack.status.as_mut().unwrap().operation.as_mut().unwrap();
        (operation.state, operation.id) = (OperationState::Starting, None);
    }

    /// Carries out actions until one waits for something else than the server.
    fn run(&mut self) -> Next {
        for _ in 0..20 {
            let status = self.stack.status.clone().unwrap_or_default();
            let status = match self.next() {
                Next::Plan { destroy, inputs } => {
                    let answer = self.answer(format!("p{}", status.plans));
                    let new = NewPlan { inputs: &inputs, destroy };
                    record::planned(status, &new, &answer, Some("text"), self.now)
                }
                Next::ReadPlan(id) => record::read(status, &self.answer(id), Some("text"), self.now),
                Next::Begin => record::begun(status),
                Next::Apply(plan) => {
                    self.applied.push(plan);
                    record::sent(status, "o".to_owned())
                }
                Next::ReadOperation(_) if self.operation != "running" => {
                    let answer = OperationAnswer {
                        status: self.operation.to_owned(),
                        summary: "1 done".to_owned(),
                        ended_at: Some(self.now),
                        steps: serde_json::from_value(json!([
                            {"address": "x.one", "status": "done"},
                            {"address": "x.two", "status": "failed", "message": "no access"},
                        ]))
                        .unwrap(),
                    };
                    record::operated(status, &answer, self.now)
                }
                other => {
                    self.stack.status = Some(record::summarized(status, &self.stack, self.rival, self.now));
                    return other;
                }
            };
            self.stack.status = Some(record::summarized(status, &self.stack, self.rival, self.now));
        }
        panic!("the actions do not end: {:?}", self.status());
    }

    fn answer(&self, id: String) -> PlanAnswer {
        let facts = json!({
            "has_changes": !self.digest.is_empty(),
            "counts": {"add": 1, "change": 0, "destroy": self.deleted},
            "stacks": [{"stack": "shared@local"}, {"stack": self.name}],
        });
        let plan = json!({"errored": false, "terrace": facts});
        serde_json::from_value(json!({"id": id, "status": "made", "digest": self.digest, "plan": plan})).unwrap()
    }

    fn condition(&self, kind: &str) -> &Condition {
        self.status().conditions.iter().find(|condition| condition.kind == kind).unwrap()
    }
}

#[test]
fn finalizer_comes_before_the_first_plan() {
    let mut life = Life::new();
    life.stack.metadata.finalizers = None;
    assert_eq!(life.next(), Next::AddFinalizer);
}

#[test]
fn plan_is_applied_only_under_its_own_digest() {
    let mut life = Life::new();
    assert_eq!(life.run(), Next::Nothing);
    assert_eq!(life.status().phase, Phase::AwaitingApproval);
    for condition in ["Approved", "Ready"] {
        let message = &life.condition(condition).message;
        assert_eq!(message, "set the annotation `terrace.dev/approve` to `d1` to apply this plan");
    }
    life.approve("d0");
    assert_eq!(life.run(), Next::Nothing);
    assert!(life.applied.is_empty());
    life.approve(" d1\n");
    assert_eq!(life.run(), Next::ReadDrift("a@local".to_owned()));
    assert_eq!(life.applied, ["p0"]);
    assert_eq!(life.status().phase, Phase::Ready);
    assert_eq!(life.condition("Ready").status, "True");
}

#[test]
fn changed_descriptor_needs_a_new_approval() {
    let mut life = Life::new();
    life.approve("d1");
    life.run();
    life.stack.spec.text = Some("two".to_owned());
    life.digest = "d2";
    assert_eq!(life.run(), Next::Nothing);
    assert_eq!((life.status().phase, life.applied.len()), (Phase::AwaitingApproval, 1));
    life.approve("d2");
    life.run();
    assert_eq!(life.applied, ["p0", "p1"]);
}

#[test]
fn status_names_the_generation_that_its_plan_is_for() {
    let mut life = Life::new();
    let observed = |life: &Life| {
        let of_conditions = life.status().conditions.iter().map(|condition| condition.observed_generation);
        let all: BTreeSet<_> = of_conditions.chain([life.status().observed_generation]).collect();
        all.into_iter().collect::<Vec<_>>()
    };
    life.stack.metadata.generation = Some(3);
    life.run();
    assert_eq!(observed(&life), [Some(3)]);
    // The plan of a change has to be made first.
    life.stack.metadata.generation = Some(4);
    life.stack.spec.text = Some("two".to_owned());
    let status = record::unavailable(life.status().clone(), "i", "no route", NOW);
    life.stack.status = Some(record::summarized(status, &life.stack, None, NOW));
    assert_eq!(observed(&life), [Some(3)]);
    life.run();
    assert_eq!(observed(&life), [Some(4)]);
    // This change needs no plan.
    life.stack.metadata.generation = Some(5);
    life.stack.spec.deletion = Deletion::Orphan;
    life.run();
    assert_eq!((observed(&life), life.status().plans), (vec![Some(5)], 2));
}

#[test]
fn annotation_requests_a_new_plan() {
    let mut life = Life::new();
    life.approve("d1");
    life.run();
    life.stack.metadata.annotations.get_or_insert_default().insert("terrace.dev/plan".to_owned(), "1".to_owned());
    life.digest = "";
    assert_eq!(life.run(), Next::ReadDrift("a@local".to_owned()));
    assert_eq!((life.plan().state, life.status().phase), (PlanState::Empty, Phase::Ready));
}

#[test]
fn automatic_approval_never_covers_a_removal() {
    let mut life = Life::new();
    life.stack.spec.approval = ApprovalMode::Automatic;
    life.run();
    assert_eq!(life.applied, ["p0"]);
    life.delete();
    life.digest = "d2";
    assert_eq!(life.run(), Next::Nothing);
    assert!(life.plan().destroy);
    assert_eq!(life.status().phase, Phase::AwaitingApproval);
    let command = "kubectl annotate --overwrite stacks.terrace.dev a --namespace n terrace.dev/approve=d2";
    for condition in ["Approved", "Ready"] {
        let message = &life.condition(condition).message;
        assert!(message.contains("removal") && message.contains(command), "{message}");
    }
    life.approve("d2");
    assert_eq!(life.run(), Next::RemoveFinalizer);
    assert_eq!(life.applied, ["p0", "p1"]);
}

#[test]
fn automatic_approval_covers_no_plan_that_deletes() {
    let mut life = Life::new();
    life.stack.spec.approval = ApprovalMode::Automatic;
    life.deleted = 1;
    assert_eq!(life.run(), Next::Nothing);
    assert_eq!(life.status().phase, Phase::AwaitingApproval);
    life.approve("d1");
    life.run();
    assert_eq!(life.applied, ["p0"]);
    assert!(life.condition("Approved").message.contains("annotation"));
}

#[test]
fn automatic_approval_needs_all_counts() {
    for missing in ["add", "change", "destroy"] {
        let mut life = Life::new();
        life.stack.spec.approval = ApprovalMode::Automatic;
        let mut answer = life.answer("p".to_owned());
        let counts = &mut answer.plan.as_mut().unwrap().terrace.counts;
        *match missing {
            "add" => &mut counts.add,
            "change" => &mut counts.change,
            _ => &mut counts.destroy,
        } = None;
        let inputs = inputs::digest(&life.stack, false);
        let new = NewPlan { inputs: &inputs, destroy: false };
        let status = record::planned(StackStatus::default(), &new, &answer, None, NOW);
        life.stack.status = Some(record::summarized(status, &life.stack, None, NOW));
        assert_eq!(life.run(), Next::Nothing, "{missing}");
        assert_eq!(life.status().phase, Phase::AwaitingApproval);
        life.approve("d1");
        assert!(matches!(life.run(), Next::ReadDrift(_)));
    }
}

#[test]
fn plan_that_would_lose_data_is_not_applied() {
    let mut life = Life::new();
    life.stack.spec.approval = ApprovalMode::Automatic;
    let inputs = inputs::digest(&life.stack, false);
    let answer = PlanAnswer { problem: "loses 3 rows".to_owned(), ..life.answer("p".to_owned()) };
    let new = NewPlan { inputs: &inputs, destroy: false };
    let status = record::planned(StackStatus::default(), &new, &answer, None, NOW);
    life.stack.status = Some(record::summarized(status, &life.stack, None, NOW));
    assert_eq!(life.next(), Next::Nothing);
    assert_eq!(life.condition("Planned").message, "loses 3 rows");
    // Consent is another input.
    life.stack.spec.allow_data_loss.push("a/sqlite_table.b".to_owned());
    assert!(matches!(life.next(), Next::Plan { .. }));
}

#[test]
fn deletion_before_the_first_plan_destroys_nothing() {
    let mut life = Life::new();
    life.delete();
    assert_eq!(life.run(), Next::RemoveFinalizer);
    assert_eq!(life.stack.status.as_ref().unwrap().plans, 0);
}

#[test]
fn deletion_destroys_objects_that_a_plan_without_changes_took_over() {
    let mut life = Life::new();
    life.digest = "";
    assert!(matches!(life.run(), Next::ReadDrift(_)));
    life.delete();
    life.digest = "d1";
    assert_eq!(life.run(), Next::Nothing);
    assert!(life.plan().destroy);
    life.approve("d1");
    assert_eq!(life.run(), Next::RemoveFinalizer);
    assert_eq!(life.applied, ["p1"]);
}

#[test]
fn orphaned_objects_stay() {
    let mut life = Life::new();
    life.approve("d1");
    life.run();
    life.stack.spec.deletion = Deletion::Orphan;
    life.delete();
    assert_eq!(life.run(), Next::RemoveFinalizer);
    assert_eq!(life.applied.len(), 1);
}

#[test]
fn deletion_waits_for_the_running_operation() {
    let mut life = Life::new();
    life.approve("d1");
    life.operation = "running";
    assert_eq!(life.run(), Next::ReadOperation("o".to_owned()));
    life.stack.spec.deletion = Deletion::Orphan;
    life.delete();
    assert_eq!(life.next(), Next::ReadOperation("o".to_owned()));
    life.operation = "completed";
    assert_eq!(life.run(), Next::RemoveFinalizer);
}

#[test]
fn empty_removal_ends_the_object() {
    let mut life = Life::new();
    life.approve("d1");
    life.run();
    life.delete();
    life.digest = "";
    assert_eq!(life.run(), Next::RemoveFinalizer);
    assert_eq!(life.applied.len(), 1);
}

#[test]
fn restart_sends_a_begun_operation_again() {
    let mut life = Life::new();
    life.approve("d1");
    life.run();
    life.forget_sending();
    assert_eq!(life.next(), Next::Apply("p0".to_owned()));
}

#[test]
fn begun_operation_is_not_sent_after_a_change() {
    let changes: [fn(&mut Life); 5] = [
        |life| life.approve(""),
        |life| life.stack.spec.text = Some("two".to_owned()),
        |life| life.delete(),
        |life| {
            life.stack.spec.deletion = Deletion::Orphan;
            life.delete();
        },
        |life| life.rival = Some("n/older"),
    ];
    for change in changes {
        let mut life = Life::new();
        life.approve("d1");
        life.run();
        life.forget_sending();
        change(&mut life);
        life.applied.clear();
        assert_eq!(life.next(), Next::FindOperation("p0".to_owned()));
        // The server has it: it ends first.
        let found = record::sent(life.status().clone(), "o".to_owned());
        let other = Life { stack: Stack { status: Some(found), ..life.stack.clone() }, ..Life::new() };
        assert_eq!(other.next(), Next::ReadOperation("o".to_owned()));
        // The server does not have it.
        life.stack.status = Some(record::withdrawn(life.status().clone()));
        life.digest = "d2";
        life.run();
        assert!(life.applied.is_empty());
    }
}

#[test]
fn unknown_states_are_read_from_the_server_again() {
    let mut life = Life::new();
    life.approve("d1");
    life.run();
    let mut json = serde_json::to_value(life.status()).unwrap();
    json["phase"] = json!("Resting");
    json["operation"]["state"] = json!("Paused");
    life.stack.status = Some(serde_json::from_value(json.clone()).unwrap());
    assert_eq!(life.next(), Next::ReadOperation("o".to_owned()));
    json["operation"] = Json::Null;
    json["plan"]["state"] = json!("Queued");
    life.stack.status = Some(serde_json::from_value(json).unwrap());
    assert!(matches!(life.next(), Next::Plan { .. }));
}

#[test]
fn failed_operation_is_planned_again_after_growing_pauses() {
    let mut life = Life::new();
    life.approve("d1");
    life.operation = "failed";
    for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
        let Next::Wait(pause) = life.run() else { panic!("{:?}", life.next()) };
        assert_eq!(pause.as_secs(), seconds);
        assert_eq!(life.status().phase, Phase::ApplyFailed);
        assert_eq!(life.status().retry.as_ref().unwrap().message, "1 done; x.two: no access");
        life.wait(i64::try_from(seconds).unwrap());
    }
    life.operation = "completed";
    assert_eq!(life.run(), Next::ReadDrift("a@local".to_owned()));
    assert_eq!(life.status().operation.as_ref().unwrap().failures, 0);
    assert_eq!(life.status().retry, None);
}

#[test]
fn rest_of_a_failed_operation_needs_its_own_approval() {
    let mut life = Life::new();
    life.approve("d1");
    life.operation = "failed";
    life.run();
    life.wait(10);
    life.digest = "d2";
    assert_eq!(life.run(), Next::Nothing);
    assert_eq!(life.status().phase, Phase::AwaitingApproval);
}

#[test]
fn unreachable_server_is_called_again_after_a_pause_or_a_change() {
    let mut life = Life::new();
    let inputs = inputs::digest(&life.stack, false);
    let status = record::unavailable(StackStatus::default(), &inputs, "no route", NOW);
    life.stack.status = Some(record::summarized(status, &life.stack, None, NOW));
    assert!(matches!(life.next(), Next::Wait(_)));
    assert_eq!(life.condition("Ready").message, "no route");
    life.stack.spec.text = Some("two".to_owned());
    assert!(matches!(life.next(), Next::Plan { .. }));
    life.stack.spec.text = Some("one".to_owned());
    life.wait(10);
    assert!(matches!(life.next(), Next::Plan { .. }));
}

#[test]
fn refused_descriptor_is_planned_again_after_a_pause() {
    let mut life = Life::new();
    let inputs = inputs::digest(&life.stack, false);
    let new = NewPlan { inputs: &inputs, destroy: false };
    let status = record::not_planned(StackStatus::default(), &new, "line 3: no such type", NOW);
    life.stack.status = Some(record::summarized(status, &life.stack, None, NOW));
    assert_eq!(life.status().phase, Phase::PlanFailed);
    assert_eq!(life.condition("Planned").message, "line 3: no such type");
    assert!(matches!(life.next(), Next::Wait(_)));
    // The number of plans is part of the key, so the next call is a new one.
    assert_eq!(life.status().plans, 1);
}

#[test]
fn renamed_stack_is_refused() {
    let mut life = Life::new();
    life.approve("d1");
    life.run();
    life.stack.spec.text = Some("two".to_owned());
    life.name = "b@local";
    assert_eq!(life.run(), Next::Nothing);
    assert_eq!(life.plan().state, PlanState::Refused);
    assert!(life.plan().problem.as_ref().unwrap().contains("`b@local`"));
    assert_eq!(life.status().stack.as_deref(), Some("a@local"));
}

#[test]
fn younger_object_of_the_same_stack_waits_for_the_end_of_the_older_one() {
    let mut life = Life::new();
    life.rival = Some("n/older");
    life.approve("d1");
    assert!(matches!(life.run(), Next::Blocked(_)));
    assert!(life.applied.is_empty());
    assert_eq!(life.status().phase, Phase::PlanFailed);
    assert!(life.condition("Ready").message.contains("`n/older`"));
    life.rival = None;
    assert_eq!(life.run(), Next::ReadDrift("a@local".to_owned()));
    assert_eq!((life.applied.len(), life.status().phase), (1, Phase::Ready));
    // The removal would concern the objects of the older one.
    life.rival = Some("n/older");
    life.delete();
    assert!(matches!(life.run(), Next::Blocked(_)));
    assert!(life.condition("Ready").message.contains("`deletion: Orphan`"));
    life.stack.spec.deletion = Deletion::Orphan;
    assert_eq!(life.run(), Next::RemoveFinalizer);
}

#[test]
fn younger_object_without_an_operation_goes_without_a_plan() {
    let mut life = Life::new();
    life.rival = Some("n/older");
    life.run();
    life.delete();
    assert_eq!(life.run(), Next::RemoveFinalizer);
    assert_eq!(life.status().plans, 1);
}

#[test]
fn lost_plan_is_made_again_after_a_pause() {
    let mut life = Life::new();
    life.run();
    life.stack.status = Some(record::lost(life.status().clone(), NOW));
    assert!(matches!(life.next(), Next::Wait(_)));
    life.wait(10);
    assert!(matches!(life.next(), Next::Plan { .. }));
}

#[test]
fn message_of_the_approval_follows_the_annotation() {
    let mut life = Life::new();
    life.approve("d1");
    life.run();
    assert!(life.condition("Approved").message.contains("annotation"));
    life.approve("");
    life.run();
    assert!(!life.condition("Approved").message.contains("annotation"));
}

#[test]
fn drift_counts_only_if_it_was_scanned_after_the_operation() {
    let mut life = Life::new();
    life.wait(100);
    life.approve("d1");
    life.run();
    let scan = |at| {
        Some(DriftAnswer {
            operation: "s".to_owned(),
            at: Some(at),
            drifted: Some(vec![DriftedAnswer { address: "local_file.a".to_owned() }]),
            unread: Vec::new(),
        })
    };
    assert_eq!(record::scanned(life.status().clone(), scan(NOW)).drift, None);
    assert_eq!(record::scanned(life.status().clone(), None).drift, None);
    let status = record::scanned(life.status().clone(), scan(life.now));
    life.stack.status = Some(record::summarized(status, &life.stack, None, life.now));
    let drifted = life.condition("Drifted");
    assert_eq!((drifted.status.as_str(), drifted.message.as_str()), ("True", "local_file.a"));
    // Drift changes nothing by itself.
    assert_eq!(life.next(), Next::ReadDrift("a@local".to_owned()));
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let mut life = Life::new();
    let inputs = inputs::digest(&life.stack, false);
    let new = NewPlan { inputs: &inputs, destroy: false };
    let answer = life.answer("p".to_owned());
    let status = record::planned(StackStatus::default(), &new, &answer, Some(&"é".repeat(20_000)), NOW);
    life.stack.status = Some(status);
    let text = life.plan().text.as_ref().unwrap();
    assert!(text.len() < (16 << 10) + 100 && text.ends_with("… the rest is on the server"), "{}", text.len());
}

#[test]
fn transition_time_changes_with_the_status_only() {
    let mut life = Life::new();
    life.run();
    let first = life.condition("Planned").last_transition_time;
    life.wait(60);
    life.approve("d1");
    life.run();
    assert_eq!(life.condition("Planned").last_transition_time, first);
    assert_ne!(life.condition("Applied").last_transition_time, first);
}

/// Calls of a stand-in: method and path, and the body or the query.
type Calls = Arc<Mutex<Vec<(String, String)>>>;

/// Answers calls over HTTP, one a connection. Returns its URL.
fn stand_in(answer: impl Fn(&str, &str) -> (u16, String) + Send + 'static) -> (String, Calls) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let calls = Calls::default();
    let recorded = Arc::clone(&calls);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            let (head, body) = loop {
                let count = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let length = |head: &str| head.split("content-length: ").nth(1)?.lines().next()?.parse().ok();
                match text.split_once("\r\n\r\n") {
                    Some((head, body)) if body.len() >= length(&head.to_lowercase()).unwrap_or(0) => {
                        break (head.to_owned(), body.to_owned());
                    }
                    _ => assert_ne!(count, 0, "an incomplete request: {text}"),
                }
            };
            let call = head.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
            let target = head.split(' ').nth(1).unwrap_or_default();
            let query = target.split_once('?').map_or("", |(_, query)| query).to_owned();
            let body = if body.is_empty() { query } else { body };
            let (status, text) = answer(&call, &body);
            recorded.lock().unwrap().push((call, body));
            let pause = if status == 429 { "\r\nretry-after: 1" } else { "" };
            let length = text.len();
            let head =
                format!("content-type: application/json\r\ncontent-length: {length}\r\nconnection: close{pause}");
            // A caller may leave in the middle of a long answer.
            let _ = stream.write_all(format!("HTTP/1.1 {status} X\r\n{head}\r\n\r\n{text}").as_bytes());
        }
    });
    (url, calls)
}

fn server(url: &str) -> Server {
    let settings = ServerSettings { url: url.to_owned(), token: None, ca_file: None, allow_plain_http: true };
    Server::new(&settings).unwrap()
}

/// Reconciles an object `Stack` once. Returns the status that was written.
async fn reconciled(object: String, server: Server) -> (Action, Json) {
    reconciled_as(Kind::Stack, object, server).await
}

/// Reconciles an object of a kind once. Returns the status that was written.
async fn reconciled_as(kind: Kind, object: String, server: Server) -> (Action, Json) {
    let (action, written) = reconciled_once(kind, object, server).await;
    (action, written.unwrap())
}

/// Reconciles an object of a kind once. Returns the status, if one was written.
async fn reconciled_once(kind: Kind, object: String, server: Server) -> (Action, Option<Json>) {
    let watched: Watched = serde_json::from_str(&object).unwrap();
    let path = format!("/apis/terrace.dev/v1alpha1/namespaces/n/{}/a", kind.plural());
    let (get, patch) = (format!("GET {path}"), format!("PATCH {path}/status"));
    let write = patch.clone();
    let (url, calls) = stand_in(move |call, _| match call == get || call == write {
        true => (200, object.clone()),
        false => (404, "{}".to_owned()),
    });
    let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
    let objects = Objects { described: Vec::new(), runs: reflector::store().0 };
    let events = Recorder::new(client.clone(), "terrace-operator".into());
    let context = Context { kind, client, server, events, objects };
    let action = reconcile(Arc::new(watched), Arc::new(context)).await.unwrap();
    // Events follow the status; the cluster of this test refuses them.
    let calls = calls.lock().unwrap().clone();
    let written = calls.iter().rfind(|(call, _)| *call == patch);
    (action, written.map(|(_, body)| serde_json::from_str::<Json>(body).unwrap()["status"].take()))
}

/// An object `a` of a kind whose plan has no changes, with the former newest run of its pipeline.
fn resting(kind: Kind, spec: Json, last_run: Option<LastRun>) -> Json {
    let metadata = json!({"name": "a", "namespace": "n", "uid": "u", "generation": 1, "finalizers": [FINALIZER]});
    let mut object = json!({"metadata": metadata, "spec": spec});
    let stack = translate::stack(kind, serde_json::from_value(object.clone()).unwrap()).unwrap();
    let inputs = inputs::digest(&stack, false);
    let plan = PlanRecord { id: Some("p".to_owned()), inputs, state: PlanState::Empty, ..PlanRecord::default() };
    let status = StackStatus {
        observed_generation: Some(1),
        stack: Some("s@local".to_owned()),
        plan: Some(plan),
        last_run,
        ..StackStatus::default()
    };
    object["status"] = json!(record::summarized(status, &stack, None, NOW));
    object
}

fn resting_pipeline(last_run: Option<LastRun>) -> Json {
    resting(Kind::Pipeline, json!({"environment": "local", "pipelineId": "./a"}), last_run)
}

/// A server with a scan that found drift, and with this answer to the list of runs.
fn scanned(code: u16, runs: Json) -> (Server, Calls) {
    let drift = json!({"operation": "o", "at": NOW, "drifted": [{"address": "x.one"}]}).to_string();
    let runs = runs.to_string();
    let (url, calls) = stand_in(move |call, _| match call {
        "GET /api/v1/stacks/s@local/drift" | "GET /api/v1/stacks/s%40local/drift" => (200, drift.clone()),
        "GET /api/v1/pipelines/runs" => (code, runs.clone()),
        _ => (500, "{}".to_owned()),
    });
    (server(&url), calls)
}

fn earlier_run() -> Option<LastRun> {
    Some(LastRun { run_id: "r0".to_owned(), reason: "Queued".to_owned(), ..LastRun::default() })
}

#[tokio::test]
async fn pipeline_shows_its_newest_run() {
    let run = json!({"run_id": "r1", "pipeline_id": "./a", "state": "succeeded", "rows": 7, "started_at": NOW, "finished_at": NOW});
    let (server, calls) = scanned(200, json!({"items": [run], "next": "r1"}));
    let mut object = resting_pipeline(earlier_run());
    let (action, status) = reconciled_as(Kind::Pipeline, object.to_string(), server.clone()).await;
    let expected = json!({"runId": "r1", "phase": "Succeeded", "reason": "Succeeded", "rows": 7,
        "startedAt": NOW, "finishedAt": NOW});
    assert_eq!((&status["lastRun"], &status["drift"]["count"]), (&expected, &json!(1)));
    assert_eq!(action, Action::requeue(Duration::from_secs(60)));
    let looks = |calls: &Calls| -> Vec<String> {
        let calls = calls.lock().unwrap();
        calls.iter().filter(|(call, _)| call.ends_with("/pipelines/runs")).map(|(_, query)| query.clone()).collect()
    };
    assert_eq!(looks(&calls), ["pipeline=.%2Fa&limit=1"]);
    // The write triggers another look, and that finds nothing new.
    object["status"] = status;
    assert_eq!(reconciled_once(Kind::Pipeline, object.to_string(), server).await.1, None);
    assert_eq!(looks(&calls).len(), 2, "one call for each look at drift");
}

#[tokio::test]
async fn pipeline_shows_the_hash_of_its_spec() {
    let nested = format!("{}1{}", r#"{"a":"#.repeat(300), "}".repeat(300));
    let change = |ty: &str, after: &str| format!(r#"{{"type": "{ty}", "change": {{"after": {after}}}}}"#);
    let changes = |hash: &str| [change("other", &nested), change("pipelines_pipeline", hash)].join(", ");
    let terrace = r#""terrace": {"has_changes": true, "stacks": [{"stack": "s@local"}]}"#;
    let answer = move |hash: &str| {
        let plan = format!(r#"{{"errored": false, "resource_changes": [{}], {terrace}}}"#, changes(hash));
        format!(r#"{{"id": "p", "status": "made", "digest": "d", "plan": {plan}}}"#)
    };
    let spec = json!({"environment": "local", "pipelineId": "./a", "text": "one"});
    let metadata = json!({"name": "a", "namespace": "n", "uid": "u", "generation": 7, "finalizers": [FINALIZER]});
    let mut object = json!({"metadata": metadata, "spec": spec});
    let planned = async |kind: Kind, object: &Json, hash: &str| {
        let answer = answer(hash);
        let (url, _) = stand_in(move |_, _| (200, answer.clone()));
        reconciled_as(kind, object.to_string(), server(&url)).await.1
    };
    let status = planned(Kind::Pipeline, &object, r#"{"specHash": "h1"}"#).await;
    assert_eq!((&status["specHash"], &status["plan"]["state"]), (&json!("h1"), &json!("Made")), "{status}");
    assert_eq!(status["observedGeneration"], json!(7));
    assert_eq!(planned(Kind::Stack, &object, r#"{"specHash": "h1"}"#).await["specHash"], Json::Null);
    // A plan without the pipeline keeps the hash, and another spec replaces it.
    object["status"] = json!({"specHash": "h1"});
    for (after, expected) in [("null", "h1"), (r#"{"specHash": "h2"}"#, "h2")] {
        assert_eq!(planned(Kind::Pipeline, &object, after).await["specHash"], json!(expected));
    }
}

#[tokio::test]
async fn rows_of_a_run_in_progress_change_no_status() {
    let run = |rows: u64| json!({"run_id": "r1", "state": "running", "rows": rows, "started_at": NOW});
    let mut object = resting_pipeline(None);
    let (server, _) = scanned(200, json!({"items": [run(1)]}));
    let (_, status) = reconciled_as(Kind::Pipeline, object.to_string(), server).await;
    assert_eq!((&status["lastRun"]["phase"], &status["lastRun"]["rows"]), (&json!("Running"), &Json::Null));
    object["status"] = status;
    let (server, _) = scanned(200, json!({"items": [run(2)]}));
    assert_eq!(reconciled_once(Kind::Pipeline, object.to_string(), server).await.1, None);
}

#[tokio::test]
async fn look_at_runs_that_fails_hides_no_drift() {
    let absent = json!({"items": []});
    // A page ends after many runs of other pipelines.
    let unfinished = json!({"items": [], "next": "r9"});
    for (code, answer, is_kept) in [
        (503, json!({"detail": "the queue cannot be read"}), true),
        (200, json!(["no list"]), true),
        (200, unfinished, true),
        (200, absent, false),
        (404, json!({}), false),
        (403, json!({"detail": "no right to `read`"}), false),
    ] {
        let (server, _) = scanned(code, answer.clone());
        let (_, status) = reconciled_as(Kind::Pipeline, resting_pipeline(earlier_run()).to_string(), server).await;
        let expected = if is_kept { json!(earlier_run()) } else { Json::Null };
        assert_eq!(status["lastRun"], expected, "{code} {answer}");
        let rest = [&status["phase"], &status["drift"]["count"], &status["retry"]];
        assert_eq!(rest, [&json!("Ready"), &json!(1), &Json::Null], "{code} {answer}");
    }
}

#[tokio::test]
async fn only_pipelines_have_runs() {
    for (kind, spec) in [
        (Kind::Stack, json!({"environment": "local", "text": "one"})),
        (Kind::Database, json!({"environment": "local"})),
        (Kind::Worker, json!({"environment": "local"})),
    ] {
        let (server, calls) = scanned(200, json!({"items": [{"run_id": "r1"}]}));
        let (_, status) = reconciled_as(kind, resting(kind, spec, None).to_string(), server).await;
        assert_eq!((&status["lastRun"], &status["drift"]["count"]), (&Json::Null, &json!(1)), "{kind:?}");
        assert_eq!(calls.lock().unwrap().len(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn errors_name_places_only_in_descriptors_of_users() {
    let spec = json!({"environment": "local", "pipelineId": "./a", "text": "one", "schedule": {"cron": "61 * * * *"}});
    let metadata = json!({"name": "a", "namespace": "n", "uid": "u", "finalizers": [FINALIZER]});
    let object = json!({"metadata": metadata, "spec": spec}).to_string();
    let errors = ["descriptor:1:239: `cron`: minute: '61'", "blueprint-descriptor:7:1: `x` (descriptor:1:2: `y`)"];
    let without_places = "`cron`: minute: '61'\nblueprint-descriptor:7:1: `x` (`y`)";
    let failed = json!({"id": "p", "status": "failed", "problem": errors.join("\n")});
    for (code, answer) in [(200, failed), (400, json!({"errors": errors}))] {
        let answer = answer.to_string();
        let (url, _) = stand_in(move |_, _| (code, answer.clone()));
        for (kind, expected) in [(Kind::Stack, errors.join("\n")), (Kind::Pipeline, without_places.to_owned())] {
            let (_, status) = reconciled_as(kind, object.clone(), server(&url)).await;
            let ready = status["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Ready").unwrap();
            let messages = [&status["plan"]["problem"], &status["retry"]["message"], &ready["message"]];
            assert_eq!(messages, [&json!(expected); 3], "{code} {kind:?}");
        }
    }
}

/// An object whose operation is recorded, but perhaps not sent.
fn begun() -> String {
    let mut life = Life::new();
    life.approve("d1");
    life.run();
    life.forget_sending();
    let status = life.status();
    let (metadata, spec) = (&life.stack.metadata, json!({"environment": "local", "text": "one"}));
    json!({"metadata": metadata, "spec": spec, "status": status}).to_string()
}

#[tokio::test]
async fn refused_operation_ends_unless_the_server_has_it() {
    for code in [401, 403, 409, 422] {
        for operation in [None, Some("o1")] {
            let (url, _) = stand_in(move |call, _| match call {
                "POST /api/v1/plans/p0/apply" => (code, json!({"detail": "no right to `unprovision`"}).to_string()),
                "GET /api/v1/plans/p0" => {
                    (200, json!({"id": "p0", "status": "made", "operation": operation}).to_string())
                }
                _ => (500, "{}".to_owned()),
            });
            let (_, status) = reconciled(begun(), server(&url)).await;
            let (state, id) = (&status["operation"]["state"], &status["operation"]["id"]);
            match operation {
                Some(operation) => assert_eq!((state, id), (&json!("Running"), &json!(operation)), "{code}"),
                None => {
                    assert_eq!((state, id), (&json!("Failed"), &Json::Null), "{code}");
                    let summary = status["operation"]["summary"].as_str().unwrap();
                    assert_eq!(summary.contains("the token of the operator"), code == 401, "{summary}");
                    assert!(summary.contains("no right to `unprovision`"), "{summary}");
                }
            }
        }
    }
}

#[tokio::test]
async fn operation_stays_begun_while_its_fate_is_unknown() {
    let (url, _) = stand_in(|call, _| match call {
        "POST /api/v1/plans/p0/apply" => (403, "{}".to_owned()),
        _ => (401, json!({"detail": "unknown token"}).to_string()),
    });
    let (_, status) = reconciled(begun(), server(&url)).await;
    assert_eq!(status["operation"]["state"], "Starting");
    let message = status["retry"]["message"].as_str().unwrap();
    assert!(message.starts_with("the server does not accept the token of the operator: unknown token; "), "{message}");
}

#[tokio::test]
async fn refused_token_is_that_of_the_operator() {
    // The words of the server are for callers that send their own token.
    let hint = "the caller is unknown: send `Authorization: Bearer TOKEN` with a token of this server";
    let short = "the caller is unknown: the token has fewer than 16 characters";
    let object = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u", "finalizers": [FINALIZER]},
        "spec": {"environment": "local", "text": "one"}});
    for (detail, cause) in [(hint, ""), (short, "the token has fewer than 16 characters; ")] {
        let (url, _) = stand_in(move |_, _| (401, json!({"detail": detail}).to_string()));
        let (_, status) = reconciled(object.to_string(), server(&url)).await;
        let message = status["plan"]["problem"].as_str().unwrap();
        let expected = format!("the server does not accept the token of the operator: {cause}put a token of");
        assert!(message.starts_with(&expected), "{message}");
        assert!(message.contains("TERRACE_OPERATOR_TOKEN") && message.contains("`server.tokenSecret`"), "{message}");
        assert!(!message.contains("Authorization"), "{message}");
        assert_eq!(status["retry"]["message"], message);
    }
}

#[tokio::test]
async fn plan_that_is_too_large_is_reported() {
    let large = json!({"id": "p", "status": "made", "plan": {"text": "x".repeat(LARGEST_ANSWER)}}).to_string();
    let (url, _) = stand_in(move |_, _| (200, large.clone()));
    let metadata = json!({"name": "a", "namespace": "n", "uid": "u", "finalizers": [FINALIZER]});
    let object = json!({"metadata": metadata, "spec": {"environment": "local", "text": "one"}}).to_string();
    let (_, status) = reconciled(object, server(&url)).await;
    assert_eq!((&status["phase"], &status["plan"]["state"]), (&json!("PlanFailed"), &json!("Refused")));
    let problem = status["plan"]["problem"].as_str().unwrap();
    assert!(problem.contains("too large") && problem.contains("at the server"), "{problem}");
    // The next plan follows a change, not a pause.
    assert_eq!((&status["retry"], &status["plans"]), (&Json::Null, &json!(1)));
}

/// An object that is nested more deeply than the client can parse.
fn deep() -> String {
    let nested = format!("{}1{}", r#"{"a":"#.repeat(300), "}".repeat(300));
    let names = r#""name": "a", "namespace": "n", "uid": "a", "resourceVersion": "7""#;
    let metadata = format!(r#"{{{names}, "managedFields": [{{"fieldsV1": {nested}}}]}}"#);
    let spec = format!(r#"{{"environment": "local", "descriptor": {nested}}}"#);
    format!(r#"{{"metadata": {metadata}, "spec": {spec}, "status": {{"stack": "s@local", "x": {nested}}}}}"#)
}

#[test]
fn object_that_cannot_be_parsed_hides_no_others() {
    let good = json!({"metadata": {"name": "b", "uid": "b"}, "spec": {}}).to_string();
    let head = r#""kind": "StackList", "apiVersion": "terrace.dev/v1alpha1", "metadata": {}"#;
    let list = format!(r#"{{{head}, "items": [{}, {good}]}}"#, deep());
    assert!(serde_json::from_str::<Stack>(&deep()).is_err());
    let watched: ObjectList<Watched> = serde_json::from_str(&list).unwrap();
    let names: Vec<_> = watched.items.iter().map(|item| item.metadata.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(watched.items[0].stack.as_deref(), Some("s@local"));
    let event = format!(r#"{{"type": "MODIFIED", "object": {}}}"#, deep());
    let event: kube::core::WatchEvent<Watched> = serde_json::from_str(&event).unwrap();
    assert!(matches!(event, kube::core::WatchEvent::Modified(_)));
}

#[tokio::test]
async fn object_that_cannot_be_parsed_gets_a_condition() {
    let (action, status) = reconciled(deep(), server("http://127.0.0.1:1")).await;
    let condition = &status["conditions"][0];
    assert_eq!((&condition["type"], &condition["reason"]), (&json!("Ready"), &json!("Unreadable")));
    assert!(condition["message"].as_str().unwrap().contains("recursion limit"), "{condition}");
    assert_eq!(action, Action::await_change());
    // The cluster ignores a write without a change, so a look at another place of the text must write the same.
    let moved = format!("\n{}", deep());
    assert_eq!(reconciled(moved, server("http://127.0.0.1:1")).await.1, status);
}

#[tokio::test]
async fn forbidden_lease_is_an_error_at_the_start() {
    let (url, _) = stand_in(|_, _| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "leases is forbidden"});
        (403, status.to_string())
    });
    let config = kube::Config::new(url.parse().unwrap());
    let server = ApiServer::of(&config);
    let client = kube::Client::try_from(config).unwrap();
    let leases = kube::Api::namespaced(client, "n");
    let candidate = Candidate::new(leases, "l".to_owned(), "me".to_owned(), Health::new(), server);
    let stop = CancellationToken::new();
    let acquired = tokio::time::timeout(Duration::from_secs(30), candidate.acquire(&stop)).await.unwrap();
    assert_eq!(acquired.unwrap_err(), "leases is forbidden");
}

#[test]
fn new_phase_and_new_drift_are_events() {
    let events = |before: Option<&StackStatus>, after: &StackStatus| {
        let events = event::of(before, after).into_iter();
        events.map(|it| (it.type_, it.reason, it.note.unwrap_or_default())).collect::<Vec<_>>()
    };
    let mut life = Life::new();
    life.run();
    let waiting = life.status().clone();
    let (kind, reason, note) = events(None, &waiting).remove(0);
    assert_eq!((kind, reason.as_str()), (EventType::Normal, "AwaitingApproval"));
    assert!(note.contains("terrace.dev/approve") && note.contains("d1"), "{note}");
    assert_eq!(events(Some(&waiting), &waiting), []);
    life.approve("d1");
    life.operation = "failed";
    life.run();
    let failed = life.status().clone();
    assert_eq!(failed.phase, Phase::ApplyFailed);
    assert_eq!(events(Some(&waiting), &failed)[0].0, EventType::Warning);
    let mut life = Life::new();
    life.approve("d1");
    life.run();
    let ready = life.status().clone();
    assert_eq!(events(Some(&waiting), &ready)[0].1, "Applied");
    let drift = DriftRecord { count: 1, resources: vec!["local_file.a".to_owned()], ..DriftRecord::default() };
    let drifted = StackStatus { drift: Some(drift), ..ready.clone() };
    let drifted = record::summarized(drifted, &life.stack, None, NOW);
    let expected = (EventType::Warning, "Drift".to_owned(), "local_file.a".to_owned());
    assert_eq!(events(Some(&ready), &drifted), [expected]);
    assert_eq!(events(Some(&drifted), &drifted), []);
}

#[test]
fn rival_is_the_oldest_other_object_with_the_stack() {
    let watched = |name: &str, second: u32, stack: &str| {
        let metadata = json!({"name": name, "namespace": "n", "uid": name,
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")});
        json!({"metadata": metadata, "spec": {"environment": "local"}, "status": {"stack": stack}})
    };
    let objects = [
        watched("c", 3, "s@local"),
        watched("a", 1, "s@local"),
        watched("b", 2, "s@local"),
        watched("o", 0, "o@local"),
    ];
    let all: Vec<(Kind, Arc<Watched>)> =
        objects.iter().map(|object| (Kind::Stack, Arc::new(serde_json::from_value(object.clone()).unwrap()))).collect();
    let of = |object: &Json| rival(&serde_json::from_value(object.clone()).unwrap(), &all);
    let expected = [Some("n/a".to_owned()), None, Some("n/a".to_owned()), None];
    assert_eq!(objects.each_ref().map(of), expected);
    // Objects of other kinds name stacks, too.
    let mut younger: Stack = serde_json::from_value(objects[2].clone()).unwrap();
    younger.kind = Kind::Pipeline;
    assert_eq!(rival(&younger, &all).as_deref(), Some("Stack n/a"));
}

/// The resources of an object of a kind, and the stack.
fn translated(kind: Kind, spec: Json) -> (Stack, Json) {
    let object = json!({"metadata": {"name": "orders", "namespace": "shop"}, "spec": spec});
    let stack = translate::stack(kind, serde_json::from_value::<Received>(object).unwrap()).unwrap();
    let descriptor = stack.spec.descriptor.clone().unwrap();
    (stack, descriptor["resources"].clone())
}

#[test]
fn objects_of_other_kinds_are_stacks() {
    let schedule = json!({"cron": "0 5 * * *", "enabled": true, "overlap": "forbid", "database": "orders"});
    let spec = json!({"environment": "local", "pipelineId": "./orders", "schedule": schedule});
    let (stack, resources) = translated(Kind::Pipeline, spec);
    assert_eq!(stack.spec.descriptor.unwrap()["metadata"]["name"], "pipeline.shop.orders");
    assert_eq!((stack.spec.environment.as_str(), stack.spec.approval), ("local", ApprovalMode::Automatic));
    let config = json!({"name": "shop-orders", "pipeline": "./orders", "cron": "0 5 * * *", "enabled": true,
        "overlap": "forbid", "database": "orders"});
    let expected = json!([
        {"type": "pipelines_pipeline", "name": "pipeline", "config": {"name": "./orders"}},
        {"type": "pipelines_schedule", "name": "schedule", "config": config},
    ]);
    assert_eq!(resources, expected);

    let spec =
        json!({"environment": "local", "ttl": "1h", "engine": "sqlite", "deletion": "Orphan", "removeData": true});
    let (stack, resources) = translated(Kind::Database, spec);
    assert_eq!((stack.spec.deletion, stack.spec.remove_data), (Deletion::Orphan, true));
    let config = json!({"name": "orders", "ttl": "1h", "engine": "sqlite"});
    assert_eq!(resources, json!([{"type": "pipelines_database", "name": "database", "config": config}]));

    let in_cluster = json!({"executor": "kubernetes", "persistent": true, "size": "10Gi", "storageClass": "fast"});
    let spec =
        in_cluster.as_object().cloned().into_iter().flatten().chain([("environment".to_owned(), json!("local"))]);
    let (_, resources) = translated(Kind::Database, spec.collect());
    let mut config = in_cluster;
    config["name"] = json!("orders");
    assert_eq!(resources[0]["config"], config);

    let spec = json!({"environment": "local", "name": "big", "size": 3, "approval": "Manual"});
    let (stack, resources) = translated(Kind::Worker, spec);
    assert_eq!(stack.spec.approval, ApprovalMode::Manual);
    let config = json!({"name": "big", "size": 3});
    assert_eq!(resources, json!([{"type": "pipelines_worker_pool", "name": "pool", "config": config}]));
}

/// The cluster drops fields that the definition lacks, and the server those that the operator leaves out.
#[test]
fn each_field_of_a_schedule_reaches_the_server() {
    let fields = schema("Pipeline", "spec/properties/schedule/properties");
    let mut schedule = json!({});
    for (name, field) in fields.as_object().unwrap() {
        schedule[name] = match (field.get("enum"), field["type"].as_str().unwrap()) {
            (Some(words), _) => words[0].clone(),
            (None, "boolean") => json!(false),
            (None, "integer") => json!(7),
            (None, _) => json!("x"),
        };
    }
    let spec = json!({"environment": "local", "pipelineId": "./orders", "schedule": schedule, "env": {"SINCE": "1"},
        "image": "r/i", "resources": {"cpu": "1", "memory": "1Gi", "disk": "2Gi"}});
    let (_, resources) = translated(Kind::Pipeline, spec);
    for (name, value) in [("pipeline", "./orders"), ("image", "r/i"), ("cpu", "1"), ("memory", "1Gi"), ("disk", "2Gi")]
    {
        schedule[name] = json!(value);
    }
    schedule["params"] = json!({"SINCE": "1"});
    assert_eq!(resources[1]["config"], schedule);
    assert!(fields.get("database").is_some());
}

#[test]
fn texts_of_other_kinds_cannot_be_expressions() {
    for kind in [Kind::Pipeline, Kind::Database, Kind::Worker] {
        texts(&schema(kind.name(), "spec"), &mut |schema| {
            let pattern = schema["pattern"].as_str().unwrap_or_default();
            let excludes_dollar = ["^[^$]+$", "^[^$]*$"].contains(&pattern)
                || pattern.starts_with("^[") && !pattern[1..pattern.len() - 1].contains('$');
            assert!(schema.get("enum").is_some() || excludes_dollar, "{}: {schema}", kind.name());
        });
    }
}

/// Calls a function with each schema of a text.
fn texts(schema: &Json, check: &mut impl FnMut(&Json)) {
    if schema["type"] == "string" {
        check(schema);
    }
    schema["properties"].as_object().into_iter().flatten().for_each(|(_, inner)| texts(inner, check));
    schema.get("additionalProperties").into_iter().for_each(|inner| texts(inner, check));
}

/// All property names below a schema, or all keys below a value, as paths.
fn paths(json: &Json, of: fn(&Json) -> Option<&Json>, at: &str, found: &mut BTreeSet<String>) {
    if let Some(items) = json.get("items").or_else(|| json.as_array().and_then(|items| items.first())) {
        return paths(items, of, at, found);
    }
    for (name, inner) in of(json).and_then(Json::as_object).into_iter().flatten() {
        let at = format!("{at}/{name}");
        found.insert(at.clone());
        paths(inner, of, &at, found);
    }
}

/// A part of the schema of a kind.
fn schema(kind: &str, part: &str) -> Json {
    let all = DEFINITIONS.split("\n---\n").map(|text| serde_saphyr::from_str::<Json>(text).unwrap());
    let definition = all.into_iter().find(|it| it["spec"]["names"]["kind"] == kind).unwrap();
    let path = format!("/spec/versions/0/schema/openAPIV3Schema/properties/{part}");
    definition.pointer(&path).unwrap().clone()
}

/// The paths of all fields of a value.
fn all_fields(value: &Json, path: &str, all: &mut BTreeSet<String>) {
    let items: Vec<(String, &Json)> = match value {
        Json::Object(fields) => fields.iter().map(|(name, value)| (format!("{path}/{name}"), value)).collect(),
        Json::Array(items) => {
            items.iter().enumerate().map(|(place, value)| (format!("{path}/{place}"), value)).collect()
        }
        _ => Vec::new(),
    };
    for (path, value) in items {
        all_fields(value, &path, all);
        all.insert(path);
    }
}

/// The definitions as the API server publishes them.
fn published() -> Json {
    let schemas = DEFINITIONS.split("\n---\n").map(|text| {
        let definition: Json = serde_saphyr::from_str(text).unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        let mut schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        schema["x-kubernetes-group-version-kind"] =
            json!([{"group": "terrace.dev", "kind": kind, "version": "v1alpha1"}]);
        (format!("dev.terrace.v1alpha1.{kind}"), schema)
    });
    json!({"components": {"schemas": schemas.collect::<serde_json::Map<_, _>>()}})
}

/// The fields of a part of a published kind.
fn fields<'a>(published: &'a mut Json, kind: &str, part: &str) -> &'a mut serde_json::Map<String, Json> {
    let path = format!("/components/schemas/dev.terrace.v1alpha1.{kind}/properties/{part}/properties");
    published.pointer_mut(&path).and_then(Json::as_object_mut).unwrap()
}

#[test]
fn definitions_of_another_version_are_found() {
    let mut published = published();
    assert_eq!(compare_with(&published), Comparison::default());
    assert_eq!(compare_with(&json!({})), Comparison::default(), "nothing is published yet");
    fields(&mut published, "Database", "spec").remove("executor").unwrap();
    fields(&mut published, "Database", "spec").insert("colour".to_owned(), json!({"type": "string"}));
    fields(&mut published, "Stack", "status").remove("plan").unwrap();
    let found = compare_with(&published);
    // Fields within `status.plan` are not listed.
    assert_eq!(found.missing, ["Stack: status.plan", "Database: spec.executor"]);
    assert_eq!(found.unknown, ["Database: spec.colour"]);
}

/// The API server refuses a definition with another field, such as a description that YAML reads as two fields.
#[test]
fn definitions_have_the_fields_of_kubernetes() {
    for text in DEFINITIONS.split("\n---\n") {
        let written: Json = serde_saphyr::from_str(text).unwrap();
        let known: CustomResourceDefinition = serde_json::from_value(written.clone()).unwrap();
        let (mut found, mut expected) = (BTreeSet::new(), BTreeSet::new());
        all_fields(&written, "", &mut found);
        all_fields(&serde_json::to_value(known).unwrap(), "", &mut expected);
        let unknown: Vec<&String> = found.difference(&expected).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

#[test]
fn definition_has_the_fields_of_the_status() {
    let schemas = Kind::ALL.map(|kind| {
        let mut schema = schema(kind.name(), "status");
        for name in ["specHash", "lastRun"] {
            let field = schema["properties"].as_object_mut().unwrap().remove(name);
            assert_eq!(field.is_some(), kind == Kind::Pipeline, "{kind:?} {name}");
        }
        schema
    });
    assert!(schemas.iter().all(|schema| *schema == schemas[0]), "the rest of the status of all kinds is the same");
    let schema = &schema("Pipeline", "status");
    let status = StackStatus {
        plan: Some(PlanRecord { counts: Some(Counts::default()), ..PlanRecord::default() }),
        operation: Some(OperationRecord::default()),
        drift: Some(DriftRecord::default()),
        last_run: Some(LastRun::default()),
        retry: Some(Retry::default()),
        conditions: vec![Condition::default()],
        ..StackStatus::default()
    };
    let (mut described, mut written) = (BTreeSet::new(), BTreeSet::new());
    paths(schema, |schema| schema.get("properties"), "", &mut described);
    paths(&serde_json::to_value(status).unwrap(), |json| Some(json), "", &mut written);
    assert_eq!(described, written);
    assert!(described.contains("/plan/counts/add") && described.contains("/conditions/type"), "{described:?}");
}

#[test]
fn wide_table_of_each_kind_has_the_reason_of_the_phase() {
    for text in DEFINITIONS.split("\n---\n") {
        let definition: Json = serde_saphyr::from_str(text).unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        let columns = definition["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
        let message = columns.iter().find(|column| column["name"] == "Message").unwrap();
        let expected = match kind {
            "PipelineRun" => ".status.message",
            _ => ".status.conditions[?(@.type==\"Ready\")].message",
        };
        assert_eq!((&message["jsonPath"], &message["priority"]), (&json!(expected), &json!(1)), "{kind}");
    }
}

#[test]
fn table_of_pipelines_has_the_newest_run() {
    let all = DEFINITIONS.split("\n---\n").map(|text| serde_saphyr::from_str::<Json>(text).unwrap());
    let definition = all.into_iter().find(|it| it["spec"]["names"]["kind"] == "Pipeline").unwrap();
    let columns = definition["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
    let column = |name: &str| columns.iter().find(|column| column["name"] == name).unwrap();
    let (phase, start) = (column("Last run"), column("Last start"));
    let parts = |column: &Json| (column["type"].clone(), column["jsonPath"].clone(), column["priority"].clone());
    assert_eq!(parts(phase), (json!("string"), json!(".status.lastRun.phase"), Json::Null));
    assert_eq!(parts(start), (json!("date"), json!(".status.lastRun.startedAt"), json!(1)));
}

#[test]
fn definition_has_the_fields_of_the_spec() {
    let schema = schema("Stack", "spec/properties");
    let sample = |(name, schema): (&String, &Json)| {
        let value = match (schema.get("enum"), schema["type"].as_str().unwrap()) {
            (Some(words), _) => words[1].clone(),
            (None, "string") => json!("x"),
            (None, "boolean") => json!(true),
            (None, "array") => json!(["x"]),
            (None, _) => json!({"x": 1}),
        };
        (name.clone(), value)
    };
    let spec: Json = schema.as_object().unwrap().iter().map(sample).collect();
    let stack: Stack = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
    // Each field of the definition differs from the default, so it was read.
    let read = format!("{:?}", stack.spec);
    for expected in [
        "environment: \"x\"",
        "descriptor: Some",
        "text: Some(\"x\")",
        "variables: {\"x\"",
        "allow_data_loss: [\"x\"]",
        "approval: Automatic",
        "deletion: Orphan",
        "remove_data: true",
    ] {
        assert!(read.contains(expected), "{expected}: {read}");
    }
    assert_eq!(spec.as_object().unwrap().len(), 8);
}
