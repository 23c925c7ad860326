//! The driver: recovers, plans, asks for approval and applies, while another process changes the state.

use crate::failure::crash_while;
use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use terrace_engine::address::Address;
use terrace_engine::apply::{Applier, ApplyError, Attempt, Report};
use terrace_engine::driver::{self, Applying, Approval, MOST_PLANS, Planning, Replan};
use terrace_engine::plan::Plan;
use terrace_engine::plan::compute::Computed;
use terrace_provider::{ErrorKind, Value};
use uuid::Uuid;

/// A front end that records the calls of the driver.
struct FrontEnd<'s> {
    story: &'s Story,
    text: String,
    approval: Approval,
    /// Descriptors that another process applies after each plan.
    meanwhile: Mutex<VecDeque<String>>,
    calls: Mutex<Vec<String>>,
}

impl<'s> FrontEnd<'s> {
    fn new(story: &'s Story, text: String, approval: Approval, meanwhile: &[String]) -> Self {
        Self { story, text, approval, meanwhile: Mutex::new(meanwhile.to_vec().into()), calls: Mutex::default() }
    }

    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }

    /// Changes, and returns the end with the recorded calls.
    async fn change(&self) -> (Result<String, ApplyError>, Vec<String>) {
        let end = driver::change(self, self).await;
        (end, std::mem::take(&mut self.calls.lock().unwrap()))
    }
}

impl Planning for FrontEnd<'_> {
    type Error = ApplyError;

    async fn recover(&self, shared: BTreeSet<Address>) -> Result<bool, ApplyError> {
        let found = self.story.recover().await;
        self.note(format!("recover {} with {} shared", found.len(), shared.len()));
        Ok(found.iter().any(|step| !step.is_in_doubt))
    }

    async fn plan(&self) -> Result<Computed, ApplyError> {
        let plan = self.story.plan(&self.text).await;
        self.note(format!("plan {}", summary(&plan).replace('\n', ";")));
        Ok(Computed { plan, diagnostics: Vec::new() })
    }

    async fn approve(&self, _: &Computed) -> Result<Approval, ApplyError> {
        let other = self.meanwhile.lock().unwrap().pop_front();
        if let Some(text) = other {
            self.story.other_process().apply_once(&text).await;
        }
        Ok(self.approval)
    }
}

impl Applying for FrontEnd<'_> {
    type Error = ApplyError;
    type End = String;
    type Progress = ();

    fn operation(&self) -> Uuid {
        Uuid::now_v7()
    }

    async fn begin(&self, _: &Plan, _: usize, attempt: Attempt) -> Result<(Applier, ()), ApplyError> {
        Ok((self.story.applier_of(attempt), ()))
    }

    async fn finish(&self, (): (), _: &Plan, _: Option<&Report>) {}

    async fn report_replan(&self, why: Replan<'_>) {
        self.note(match why {
            Replan::Stale(_) => "stale",
            Replan::NotRecovered(_) => "not recovered",
            Replan::Contended => "contended",
            Replan::StillOwned => "still owned",
        });
    }

    fn gave_up(&self) -> ApplyError {
        ApplyError::Cycle
    }

    async fn unchanged(&self, _: &Plan) -> Result<String, ApplyError> {
        Ok("unchanged".to_owned())
    }

    async fn applied(&self, _: &Plan, report: &Report) -> Result<String, ApplyError> {
        Ok(report.summary())
    }
}

fn thing(val: &str) -> String {
    stack(&format!("- {{type: world_thing, name: a, config: {{key: a, val: {val}}}}}"))
}

#[tokio::test]
async fn stale_plan_is_replaced_if_the_approval_covers_it() {
    let story = Story::new();
    story.apply(&thing("1")).await;
    let front_end = FrontEnd::new(&story, thing("3"), Approval::Replaceable, &[thing("2")]);
    let (end, calls) = front_end.change().await;
    assert_eq!(end.unwrap(), "1 done");
    let plan = "plan ~ world_thing.a;";
    assert_eq!(calls, ["recover 0 with 0 shared", plan, "stale", "recover 0 with 0 shared", plan]);
    assert_eq!(story.remote_value("a", "val"), Value::Int(3));
}

#[tokio::test]
async fn stale_plan_ends_a_change_whose_plan_was_reviewed() {
    let story = Story::new();
    story.apply(&thing("1")).await;
    let front_end = FrontEnd::new(&story, thing("3"), Approval::ThisPlan, &[thing("2")]);
    let (end, calls) = front_end.change().await;
    assert!(end.unwrap_err().is_stale());
    assert_eq!(calls, ["recover 0 with 0 shared", "plan ~ world_thing.a;"]);
    assert_eq!(story.remote_value("a", "val"), Value::Int(2));
}

#[tokio::test]
async fn change_ends_after_the_last_plan() {
    let story = Story::new();
    story.apply(&thing("0")).await;
    let others: Vec<String> = (1..=MOST_PLANS).map(|val| thing(&val.to_string())).collect();
    let front_end = FrontEnd::new(&story, thing("9"), Approval::Unattended, &others);
    let (end, calls) = front_end.change().await;
    assert!(end.unwrap_err().is_stale());
    assert_eq!(calls.iter().filter(|call| call.starts_with("plan")).count(), MOST_PLANS);
    assert_eq!(story.remote_value("a", "val"), Value::Int(4));
}

#[tokio::test]
async fn nothing_is_recorded_without_an_approval() {
    let story = Story::new();
    story.apply(&thing("1")).await;
    story.remote().objects.get_mut("a").unwrap().insert("echo".into(), "other".into());
    let before = story.rows().await;
    let front_end = FrontEnd::new(&story, thing("1"), Approval::None, &[]);
    assert_eq!(front_end.change().await.0.unwrap(), "unchanged");
    assert_eq!(story.rows().await, before);
}

#[tokio::test]
async fn interrupted_step_is_recovered_before_planning() {
    let story = Story::new();
    story.apply(&thing("1")).await;
    crash_while(&story, &thing("2"), "update a", Fault::HangAfter).await;
    story.end_processes().await;
    let front_end = FrontEnd::new(&story, thing("3"), Approval::Replaceable, &[]);
    let (end, calls) = front_end.change().await;
    assert_eq!(end.unwrap(), "1 done");
    assert_eq!(calls, ["recover 1 with 0 shared", "plan ~ world_thing.a;"]);
    assert_eq!(story.remote_value("a", "val"), Value::Int(3));
}

fn owner(name: &str, is_owner: bool) -> String {
    let shared = "resources:\n  - {type: world_thing, name: base, shared: common, config: {key: base}}\n";
    let resources = if is_owner { shared } else { "resources: []\n" };
    format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\n{resources}")
}

#[tokio::test]
async fn owners_that_leave_concurrently_plan_again_only_if_unattended() {
    for (approval, removed) in [(Approval::Unattended, true), (Approval::Replaceable, false)] {
        let story = Story::new();
        story.apply(&owner("one", true)).await;
        story.apply(&owner("two", true)).await;
        let front_end = FrontEnd::new(&story, owner("two", false), approval, &[owner("one", false)]);
        let (end, calls) = front_end.change().await;
        assert!(end.is_ok(), "{end:?}");
        assert_eq!(calls.contains(&"still owned".to_owned()), removed, "{calls:?}");
    }
}

#[tokio::test]
async fn failed_step_is_reported_and_not_tried_again() {
    let story = Story::new();
    story.fault("create a", Fault::Always(ErrorKind::PermissionDenied));
    let front_end = FrontEnd::new(&story, thing("1"), Approval::Unattended, &[]);
    assert_eq!(front_end.change().await.0.unwrap(), "0 done, 1 failed");
    assert_eq!(story.log().iter().filter(|call| call.starts_with("create")).count(), 1);
}
