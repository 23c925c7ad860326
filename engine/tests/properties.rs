//! Random stacks with random edits, drift, failures and crashes: properties of the engine that hold for all of them.

mod checks;
mod stack;
mod storing;
mod transitions;

use crate::support::Story;
use crate::support::faulty_store::{Break, FaultyStore};
use crate::support::story::{render_diagnostics, summary};
use crate::support::world::Fault;
use checks::{check_dependencies, check_digest, check_order, check_records};
use proptest::prelude::*;
use stack::{SECRET, Stack, stack};
use std::sync::Arc;
use storing::{Storing, UNSTORABLE, is_refusing, recorded, storing};
use terrace_engine::diagnostic::{Severity, has_errors};
use terrace_engine::plan::Plan;
use terrace_engine::plan::options::Consent;
use terrace_engine::store::{NewOperation, OperationStatus, Record, Row, RowStatus, Selection, Write};
use terrace_provider::ErrorKind;
use transitions::{Names, Transitions};
use uuid::Uuid;

/// Failure before an edit is applied.
#[derive(Debug, Clone)]
enum Disturbance {
    None,
    Call { verb: &'static str, fault: Fault },
    Write { at: usize, how: Break },
}

#[derive(Clone)]
struct Edit {
    stack: Stack,
    disturbance: Disturbance,
    /// The object that changed outside terrace; true if it was deleted.
    drift: Option<(prop::sample::Index, bool)>,
    /// The row to taint.
    tainted: Option<prop::sample::Index>,
    /// The row that is dropped at the end, together with its object.
    dropped: Option<prop::sample::Index>,
    /// Drift is recorded by a refresh-only plan first.
    is_recorded_first: bool,
    /// The resource that is applied before the others.
    first: Option<prop::sample::Index>,
    /// New resources exist already and are imported.
    is_importing: bool,
    /// Undeclared resources are forgotten, and their objects are deleted outside terrace.
    is_forgetting: bool,
    /// The instances depend on values that are unknown until apply.
    is_waiting: bool,
    /// Whether secrets may be stored in the clear: during the trouble, and afterwards.
    allows_plaintext: [bool; 2],
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stack, disturbance, drift, tainted, dropped, first, allows_plaintext, .. } = self;
        let flags = [
            ("recorded first", self.is_recorded_first),
            ("imports", self.is_importing),
            ("forgets", self.is_forgetting),
            ("waits", self.is_waiting),
        ];
        let flags: Vec<&str> = flags.into_iter().filter_map(|(name, is_set)| is_set.then_some(name)).collect();
        write!(
            f,
            "{disturbance:?}, drift of {drift:?}, taint of {tainted:?}, drop of {dropped:?}, {flags:?}, agreed {allows_plaintext:?}, {:?} before the \
             others, then\n{}",
            stack.address_of(*first),
            stack.text()
        )
    }
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    let fault = prop_oneof![
        Just(Fault::Before(ErrorKind::Failed)),
        Just(Fault::After(ErrorKind::Failed)),
        Just(Fault::Before(ErrorKind::Ambiguous)),
        Just(Fault::After(ErrorKind::Ambiguous)),
        Just(Fault::Before(ErrorKind::Transient)),
        Just(Fault::Lie),
        Just(Fault::NewSecret),
        Just(Fault::HangBefore),
        Just(Fault::HangAfter),
    ];
    let verb = prop_oneof![Just("create "), Just("update "), Just("delete ")];
    let how =
        prop_oneof![Just(Break::FailsBefore), Just(Break::FailsAfter), Just(Break::DiesBefore), Just(Break::DiesAfter)];
    prop_oneof![
        Just(Disturbance::None),
        (verb, fault).prop_map(|(verb, fault)| Disturbance::Call { verb, fault }),
        (0..12_usize, how).prop_map(|(at, how)| Disturbance::Write { at, how }),
    ]
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let drift = prop::option::weighted(0.4, (any::<prop::sample::Index>(), any::<bool>()));
    let rarely = || prop::option::weighted(0.2, any::<prop::sample::Index>());
    let flags = prop::array::uniform4(prop::bool::weighted(0.2));
    let edit = (stack(), disturbance(), drift, rarely(), rarely(), rarely(), flags, any::<[bool; 2]>()).prop_map(
        |(stack, disturbance, drift, tainted, first, dropped, flags, allows_plaintext)| {
            let [is_recorded_first, is_importing, is_forgetting, is_waiting] = flags;
            Edit {
                stack,
                disturbance,
                drift,
                tainted,
                dropped,
                is_recorded_first,
                first,
                is_importing,
                is_forgetting,
                is_waiting,
                allows_plaintext,
            }
        },
    );
    prop::collection::vec(edit, 2..4)
}

/// Checks the properties that hold for every edit.
async fn check_history(edits: Vec<Edit>, removes_data: bool, storing: Storing) {
    let mut story = Story::new();
    story.options.remove_data = removes_data;
    story.options.allow_data_loss = Consent::All;
    let mut before: Option<Stack> = None;
    let mut names = Names::new();
    for edit in edits {
        let transitions = Transitions::between(before.as_ref(), &edit, &mut names);
        let text = edit.stack.text() + &transitions.text();
        if let Some((index, is_removed)) = edit.drift {
            drift(&story, index, is_removed);
        }
        transitions.create_objects(&story);
        if let Some(index) = edit.tainted {
            taint(&story, index).await;
        }
        let [is_agreed_first, allows_plaintext] = edit.allows_plaintext;
        storing.begin(&mut story, is_agreed_first);
        apply_with_disturbance(&mut story, &text, &edit.disturbance).await;
        story.remote().faults.clear();
        recover(&mut story, storing, allows_plaintext).await;
        if edit.is_recorded_first {
            storing.begin(&mut story, allows_plaintext);
            story.options.refresh_only = true;
            apply_part(&mut story, &text).await;
            story.options.refresh_only = false;
        }
        if let Some(first) = edit.stack.address_of(edit.first) {
            storing.begin(&mut story, allows_plaintext);
            // A resource that moves must be targeted by both addresses.
            let targets = transitions.moving.iter().chain([&first]);
            story.options.targets = targets.map(|target| (None, target.parse().unwrap())).collect();
            apply_part(&mut story, &text).await;
            story.options.targets.clear();
        }
        if edit.is_waiting {
            storing.begin(&mut story, allows_plaintext);
            story.options.allow_deferral = true;
            apply_in_rounds(&mut story, &(edit.stack.waiting_text() + &transitions.text())).await;
            story.options.allow_deferral = false;
        }
        storing.begin(&mut story, allows_plaintext);
        if is_refused(&story, &text).await {
            storing.begin(&mut story, true);
        }
        if !carry_out(&mut story, &text).await {
            assert!(carry_out(&mut story, &text).await, "secrets may be stored now:\n{text}");
        }
        // A value stored in the clear may stay so without consent.
        storing.begin(&mut story, false);
        story.check_second_plan(&text).await;
        transitions.delete_objects(&story);
        check_records(&story).await;
        check_dependencies(&story).await;
        storing.check(&story).await;
        if let Some(index) = edit.dropped {
            drop_row(&story, index).await;
            check_dependencies(&story).await;
        }
        before = Some(edit.stack);
    }
    story.options.remove_data = true;
    storing.begin(&mut story, false);
    let report = story.destroy().await;
    assert!(report.failed.is_empty(), "{report:?}");
    assert!(story.rows().await.is_empty() && story.remote().objects.is_empty());
    assert!(story.store.stacks().await.unwrap().is_empty());
}

/// Recovers interrupted steps. A step with a new secret that may not be stored stays in doubt until consent.
async fn recover(story: &mut Story, storing: Storing, allows_plaintext: bool) {
    storing.begin(story, allows_plaintext);
    let steps = story.recover().await;
    let mut doubted = steps.iter().filter(|step| step.is_in_doubt).peekable();
    if is_refusing(story) && doubted.peek().is_some() {
        assert!(doubted.all(|step| step.found.contains("a sensitive value of it cannot be stored")), "{steps:?}");
        recover_with_consent(story, storing).await;
    } else {
        assert!(doubted.peek().is_none(), "{steps:?}");
    }
}

/// The same, with consent to store everything.
async fn recover_with_consent(story: &mut Story, storing: Storing) {
    storing.begin(story, true);
    for step in story.recover().await {
        assert!(!step.is_in_doubt, "{step:?}");
    }
}

/// Plans and applies a descriptor; no step may fail. False if a secret could not be stored: one that a provider
/// creates is known too late to refuse it. Nothing is lost once it may be stored.
async fn carry_out(story: &mut Story, text: &str) -> bool {
    let plan = story.plan(text).await;
    check_digest(story, &plan, text).await;
    carry_out_plan(story, &plan, text).await
}

async fn carry_out_plan(story: &mut Story, plan: &Plan, text: &str) -> bool {
    story.log();
    let report = story.apply_plan(plan).await.unwrap_or_else(|error| panic!("{error}\n{}\n{text}", summary(plan)));
    let mut failed = report.failed.iter();
    if is_refusing(story) && !report.failed.is_empty() && failed.all(|failed| failed.error == UNSTORABLE) {
        story.end_processes().await;
        recover_with_consent(story, Storing::InClearAtTimes).await;
        return false;
    }
    assert!(report.failed.is_empty() && report.blocked.is_empty(), "{report:?}\n{}\n{text}", summary(plan));
    check_order(plan, &story.log());
    true
}

/// True if the only errors are secrets that may not be stored. Such a plan changes nothing.
async fn is_refused(story: &Story, text: &str) -> bool {
    if !is_refusing(story) {
        return false;
    }
    let before = recorded(story).await;
    let calls = story.remote().log.len();
    let (_, diagnostics, sources) = story.try_plan(text).await;
    if !has_errors(&diagnostics) {
        return false;
    }
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    assert!(errors.all(|error| error.code == "no_state_key"), "{}\n{text}", render_diagnostics(&diagnostics, &sources));
    assert_eq!((before, calls), (recorded(story).await, story.remote().log.len()), "nothing changes");
    true
}

/// Applies a targeted plan; its steps succeed.
async fn apply_part(story: &mut Story, text: &str) {
    let (plan, diagnostics, sources) = story.try_plan(text).await;
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    // Components that declare the shared object differently must be planned, too.
    let is_expected = |code: &str| code == "shared_conflict" || (code == "no_state_key" && is_refusing(story));
    if errors.clone().next().is_some() && errors.all(|error| is_expected(error.code)) {
        return;
    }
    assert!(!has_errors(&diagnostics), "{}\n{text}", render_diagnostics(&diagnostics, &sources));
    carry_out_plan(story, &plan.unwrap(), text).await;
}

/// Applies known changes until no deferred ones are left. Stops at an error caused by deferral: the next complete plan
/// applies the rest.
async fn apply_in_rounds(story: &mut Story, text: &str) {
    for _ in 0..20 {
        let (plan, diagnostics, sources) = story.try_plan(text).await;
        let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        let is_left = |code: &str| ["deferred_stands_on", "deferred_object", "shared_conflict"].contains(&code);
        let is_refused = |code: &str| is_left(code) || (code == "no_state_key" && is_refusing(story));
        if errors.clone().next().is_some() && errors.all(|error| is_refused(error.code)) {
            return;
        }
        assert!(!has_errors(&diagnostics), "{}\n{text}", render_diagnostics(&diagnostics, &sources));
        let plan = plan.unwrap();
        check_digest(story, &plan, text).await;
        if !carry_out_plan(story, &plan, text).await {
            return;
        }
        if plan.is_complete {
            return story.check_second_plan(text).await;
        }
        assert!(plan.has_changes(), "the plan makes no progress:\n{text}");
    }
    panic!("deferred changes never end:\n{text}");
}

/// Taints a row.
async fn taint(story: &Story, index: prop::sample::Index) {
    let mut rows = Vec::new();
    for stack in story.store.stacks().await.unwrap() {
        rows.extend(story.store.rows(&stack, &Selection::All).await.unwrap());
    }
    rows.retain(|row| row.status == RowStatus::Ready && row.deposed.is_none());
    if rows.is_empty() {
        return;
    }
    let row = rows.swap_remove(index.index(rows.len()));
    let operation = Uuid::now_v7();
    let stacks = vec![row.stack.clone()];
    let new = NewOperation { id: operation, kind: "taint".to_owned(), stacks, actor: "a test".to_owned() };
    story.store.begin(&new).await.unwrap();
    let expected = row.generation;
    let write = Write::Put { row: Box::new(Row { status: RowStatus::Tainted, ..row }), expected };
    let end = Record::End { operation, status: OperationStatus::Completed, summary: String::new() };
    story.store.commit(&[], vec![Record::Write { operation, write }, end]).await.unwrap();
}

/// Drops a row, as `state rm` does, and deletes its object outside terrace.
async fn drop_row(story: &Story, index: prop::sample::Index) {
    let mut rows = Vec::new();
    for stack in story.store.stacks().await.unwrap() {
        rows.extend(story.store.rows(&stack, &Selection::All).await.unwrap());
    }
    if rows.is_empty() {
        return;
    }
    let Row { stack, address, .. } = rows.swap_remove(index.index(rows.len()));
    let dropped = story.store.rows(&stack, &Selection::Addresses([address].into())).await.unwrap();
    let records = dropped.iter().rev().cloned().map(|row| {
        let Row { stack, address, deposed, generation: expected, operation, .. } = row;
        Record::Write { operation, write: Write::Forget { stack, address, deposed, expected } }
    });
    story.store.commit(&[], records.collect::<Vec<_>>()).await.unwrap();
    for row in dropped.into_iter().filter(|row| row.address.ty != "world_note") {
        let opened = terrace_engine::record::open(row, &story.seal).unwrap();
        let key = opened.prior.identity["key"].as_str().unwrap().to_owned();
        let mut remote = story.remote();
        if remote.objects.remove(&key).is_some() {
            remote.effects.push(format!("delete {key}"));
        }
    }
}

fn drift(story: &Story, index: prop::sample::Index, is_removed: bool) {
    let mut remote = story.remote();
    let keys: Vec<String> = remote.objects.keys().cloned().collect();
    if keys.is_empty() {
        return;
    }
    let key = index.get(&keys);
    if is_removed {
        remote.objects.remove(key);
        remote.effects.push(format!("delete {key}"));
    } else {
        let object = remote.objects.get_mut(key).unwrap();
        object.insert("val".to_owned(), "drifted".into());
        if object.contains_key("secret") {
            object.insert("secret".to_owned(), format!("{SECRET}-drifted").into());
        }
    }
}

/// Applies with a failure; the outcome does not matter.
async fn apply_with_disturbance(story: &mut Story, text: &str, disturbance: &Disturbance) {
    if is_refused(story, text).await {
        return;
    }
    let plan = story.plan(text).await;
    match disturbance {
        Disturbance::None => {}
        Disturbance::Call { verb, fault } => {
            story.fault(verb, fault.clone());
            let applied = story.apply_plan(&plan).await;
            applied.unwrap_or_else(|error| panic!("{error}\n{}\n{text}", summary(&plan)));
        }
        Disturbance::Write { at, how } => {
            let inner = Arc::clone(&story.store);
            let breaking = FaultyStore::breaking(Arc::clone(&inner), *at, *how);
            story.store = breaking.clone();
            let applier = story.applier();
            tokio::select! {
                biased;
                () = breaking.dead.cancelled() => {}
                _ = applier.apply(&plan, Uuid::now_v7()) => {}
            }
            story.store = inner;
        }
    }
    story.end_processes().await;
}

/// 64 cases, or the number in `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if default.cases == 256 { 64 } else { default.cases };
    ProptestConfig { cases, max_shrink_iters: 2_000, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn next_run_reaches_the_descriptor_after_any_disturbance(
        edits in edits(),
        removes_data in any::<bool>(),
        storing in storing(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(check_history(edits, removes_data, storing));
    }
}
