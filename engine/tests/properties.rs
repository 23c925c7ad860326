//! Random stacks, edited at random, among random drift, failures and deaths: what the engine promises of every one.

mod checks;
mod stack;
mod storing;
mod transitions;

use crate::support::Story;
use crate::support::story::{summary, told};
use crate::support::troubled::{Break, TroubledStore};
use crate::support::world::Fault;
use checks::{check_dependencies, check_digest, check_order, check_records};
use proptest::prelude::*;
use stack::{SECRET, Stack, stack};
use std::sync::Arc;
use storing::{Storing, UNSTORABLE, is_refusing, recorded, storing};
use terrace_engine::diagnostic::{Severity, has_errors};
use terrace_engine::plan::Plan;
use terrace_engine::plan::compute::Consent;
use terrace_engine::store::{NewOperation, OperationStatus, Record, Row, RowStatus, Selection, Write};
use terrace_provider::ErrorKind;
use transitions::{Names, Transitions};
use uuid::Uuid;

/// What goes wrong before an edit arrives.
#[derive(Debug, Clone)]
enum Trouble {
    None,
    Call { verb: &'static str, fault: Fault },
    Write { at: usize, how: Break },
}

#[derive(Clone)]
struct Edit {
    stack: Stack,
    trouble: Trouble,
    /// Which object was changed or removed behind terrace's back.
    drift: Option<(prop::sample::Index, bool)>,
    /// Which row is tainted.
    tainted: Option<prop::sample::Index>,
    /// Which row is dropped by hand at the end, and its object removed.
    dropped: Option<prop::sample::Index>,
    /// What is found is recorded before anything is done about it.
    is_recorded_first: bool,
    /// Which of the things is worked on before the others.
    first: Option<prop::sample::Index>,
    /// New things are there already, and are imported.
    is_importing: bool,
    /// Things that are not declared any more are forgotten, and removed by somebody else.
    is_forgetting: bool,
    /// Which instances there are is known only once what they read is there.
    is_waiting: bool,
    /// Secrets may be stored in the clear: while there is trouble, and afterwards.
    is_agreed: [bool; 2],
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stack, trouble, drift, tainted, dropped, first, is_agreed, .. } = self;
        let flags = [
            ("recorded first", self.is_recorded_first),
            ("imports", self.is_importing),
            ("forgets", self.is_forgetting),
            ("waits", self.is_waiting),
        ];
        let flags: Vec<&str> = flags.into_iter().filter_map(|(name, is_set)| is_set.then_some(name)).collect();
        write!(
            f,
            "{trouble:?}, drift of {drift:?}, taint of {tainted:?}, drop of {dropped:?}, {flags:?}, agreed {is_agreed:?}, {:?} before the \
             others, then\n{}",
            stack.address_of(*first),
            stack.text()
        )
    }
}

fn trouble() -> impl Strategy<Value = Trouble> {
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
        Just(Trouble::None),
        (verb, fault).prop_map(|(verb, fault)| Trouble::Call { verb, fault }),
        (0..12_usize, how).prop_map(|(at, how)| Trouble::Write { at, how }),
    ]
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let drift = prop::option::weighted(0.4, (any::<prop::sample::Index>(), any::<bool>()));
    let rarely = || prop::option::weighted(0.2, any::<prop::sample::Index>());
    let flags = prop::array::uniform4(prop::bool::weighted(0.2));
    let edit = (stack(), trouble(), drift, rarely(), rarely(), rarely(), flags, any::<[bool; 2]>()).prop_map(
        |(stack, trouble, drift, tainted, first, dropped, flags, is_agreed)| {
            let [is_recorded_first, is_importing, is_forgetting, is_waiting] = flags;
            Edit {
                stack,
                trouble,
                drift,
                tainted,
                dropped,
                is_recorded_first,
                first,
                is_importing,
                is_forgetting,
                is_waiting,
                is_agreed,
            }
        },
    );
    prop::collection::vec(edit, 2..4)
}

/// Everything that is true of every edit.
async fn live_through(edits: Vec<Edit>, removes_data: bool, storing: Storing) {
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
        transitions.make(&story);
        if let Some(index) = edit.tainted {
            taint(&story, index).await;
        }
        let [is_agreed_first, is_agreed] = edit.is_agreed;
        storing.begin(&mut story, is_agreed_first);
        meet(&mut story, &text, &edit.trouble).await;
        story.remote().faults.clear();
        recover(&mut story, storing, is_agreed).await;
        if edit.is_recorded_first {
            storing.begin(&mut story, is_agreed);
            story.options.refresh_only = true;
            apply_part(&mut story, &text).await;
            story.options.refresh_only = false;
        }
        if let Some(first) = edit.stack.address_of(edit.first) {
            storing.begin(&mut story, is_agreed);
            // What moves has to be among them with both its names.
            let targets = transitions.moving.iter().chain([&first]);
            story.options.targets = targets.map(|target| (None, target.parse().unwrap())).collect();
            apply_part(&mut story, &text).await;
            story.options.targets.clear();
        }
        if edit.is_waiting {
            storing.begin(&mut story, is_agreed);
            story.options.allow_deferral = true;
            apply_in_rounds(&mut story, &(edit.stack.waiting_text() + &transitions.text())).await;
            story.options.allow_deferral = false;
        }
        storing.begin(&mut story, is_agreed);
        if is_refused(&story, &text).await {
            storing.begin(&mut story, true);
        }
        if !carry_out(&mut story, &text).await {
            assert!(carry_out(&mut story, &text).await, "it may be stored now:\n{text}");
        }
        // What is stored in the clear may stay so without being asked for again.
        storing.begin(&mut story, false);
        story.check_second_plan(&text).await;
        transitions.remove(&story);
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

/// Finds out what became of what was cut off. A new secret that may not be stored stays in doubt until it may.
async fn recover(story: &mut Story, storing: Storing, is_agreed: bool) {
    storing.begin(story, is_agreed);
    let steps = story.recover().await;
    let mut doubted = steps.iter().filter(|step| step.is_in_doubt).peekable();
    if is_refusing(story) && doubted.peek().is_some() {
        assert!(doubted.all(|step| step.found.contains("a sensitive value of it cannot be stored")), "{steps:?}");
        recover_agreed(story, storing).await;
    } else {
        assert!(doubted.peek().is_none(), "{steps:?}");
    }
}

/// The same, when everything may be stored.
async fn recover_agreed(story: &mut Story, storing: Storing) {
    storing.begin(story, true);
    for step in story.recover().await {
        assert!(!step.is_in_doubt, "{step:?}");
    }
}

/// Plans and applies a descriptor, and nothing fails. False when something could not be recorded: what a provider makes of
/// a secret is known too late, and may not be stored. Nothing of it is lost once it may.
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
        recover_agreed(story, Storing::InClearAtTimes).await;
        return false;
    }
    assert!(report.failed.is_empty() && report.blocked.is_empty(), "{report:?}\n{}\n{text}", summary(plan));
    check_order(plan, &story.log());
    true
}

/// True when all that is wrong is a secret that may not be stored. Nothing comes of such a plan.
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
    assert!(errors.all(|error| error.code == "no_state_key"), "{}\n{text}", told(&diagnostics, &sources));
    assert_eq!((before, calls), (recorded(story).await, story.remote().log.len()), "nothing changes");
    true
}

/// Applies a plan that is not about everything; what it is about succeeds.
async fn apply_part(story: &mut Story, text: &str) {
    let (plan, diagnostics, sources) = story.try_plan(text).await;
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    // Whoever declares the shared object otherwise has to be planned, too.
    let is_expected = |code: &str| code == "shared_conflict" || (code == "no_state_key" && is_refusing(story));
    if errors.clone().next().is_some() && errors.all(|error| is_expected(error.code)) {
        return;
    }
    assert!(!has_errors(&diagnostics), "{}\n{text}", told(&diagnostics, &sources));
    carry_out_plan(story, &plan.unwrap(), text).await;
}

/// Applies what is known until nothing is left for another apply. What is refused because of what is left is made by
/// whoever comes next and knows it all.
async fn apply_in_rounds(story: &mut Story, text: &str) {
    for _ in 0..20 {
        let (plan, diagnostics, sources) = story.try_plan(text).await;
        let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        let is_left = |code: &str| ["deferred_stands_on", "deferred_object", "shared_conflict"].contains(&code);
        let is_refused = |code: &str| is_left(code) || (code == "no_state_key" && is_refusing(story));
        if errors.clone().next().is_some() && errors.all(|error| is_refused(error.code)) {
            return;
        }
        assert!(!has_errors(&diagnostics), "{}\n{text}", told(&diagnostics, &sources));
        let plan = plan.unwrap();
        check_digest(story, &plan, text).await;
        if !carry_out_plan(story, &plan, text).await {
            return;
        }
        if plan.is_complete {
            return story.check_second_plan(text).await;
        }
        assert!(plan.has_changes(), "nothing brings nearer what is left:\n{text}");
    }
    panic!("there is always something left:\n{text}");
}

/// Marks one of the rows as one that has to be made anew.
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

/// Drops one of the rows, as `state rm` does; somebody else removes its object.
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

/// Applies among trouble; however it ends.
async fn meet(story: &mut Story, text: &str, trouble: &Trouble) {
    if is_refused(story, text).await {
        return;
    }
    let plan = story.plan(text).await;
    match trouble {
        Trouble::None => {}
        Trouble::Call { verb, fault } => {
            story.fault(verb, fault.clone());
            let applied = story.apply_plan(&plan).await;
            applied.unwrap_or_else(|error| panic!("{error}\n{}\n{text}", summary(&plan)));
        }
        Trouble::Write { at, how } => {
            let inner = Arc::clone(&story.store);
            let breaking = TroubledStore::breaking(Arc::clone(&inner), *at, *how);
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

/// 64 cases, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if default.cases == 256 { 64 } else { default.cases };
    ProptestConfig { cases, max_shrink_iters: 2_000, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_to_a_stack_the_next_run_makes_it_as_described(
        edits in edits(),
        removes_data in any::<bool>(),
        storing in storing(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(live_through(edits, removes_data, storing));
    }
}
