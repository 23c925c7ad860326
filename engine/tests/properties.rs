//! Random stacks, edited at random, among random drift, failures and deaths: what the engine promises of every one.

use crate::support::Story;
use crate::support::journal::{Break, BreakingStore, doubles};
use crate::support::story::{summary, told};
use crate::support::world::Fault;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use terrace_engine::action::Action;
use terrace_engine::diagnostic::{Severity, has_errors};
use terrace_engine::plan::compute::Consent;
use terrace_engine::plan::{Change, Plan, file};
use terrace_engine::store::{NewOperation, OperationStatus, Record, Row, RowStatus, Selection, Write};
use terrace_provider::{Attributes, ErrorKind, Value};
use uuid::Uuid;

const COMPONENTS: usize = 3;
const RESOURCES: usize = 4;

/// One declaration.
#[derive(Debug, Clone)]
struct Thing {
    ty: &'static str,
    /// A new one replaces the object.
    version: u8,
    val: u8,
    creates_first: bool,
    /// Its name is another one: where that changes, it moves.
    is_renamed: bool,
    /// Changes of its value are ignored.
    is_ignoring: bool,
    /// It is replaced with the first of those that it reads.
    is_triggered: bool,
    /// The keys of its instances; none for a single one.
    instances: Option<BTreeSet<char>>,
    /// Which of the things before it, in the order of the stack, it reads and comes after.
    reads: [bool; RESOURCES],
    after: [bool; RESOURCES],
}

#[derive(Debug, Clone)]
struct Part {
    things: Vec<Option<Thing>>,
    /// Reads go from later to earlier ones, either way round.
    is_reversed: bool,
    /// Which of the components before it, in the order of the stack, it depends on.
    depends_on: [bool; COMPONENTS],
    /// It owns the shared object, whose value is this.
    is_sharing: bool,
}

#[derive(Debug, Clone)]
struct Stack {
    parts: Vec<Option<Part>>,
    is_reversed: bool,
    shared: u8,
}

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
    /// What is found is recorded before anything is done about it.
    is_recorded_first: bool,
    /// Which of the things is worked on before the others.
    first: Option<prop::sample::Index>,
    /// New things are there already, and are imported.
    is_importing: bool,
    /// Things that are not declared any more are forgotten, and removed by somebody else.
    is_forgetting: bool,
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stack, trouble, drift, tainted, is_recorded_first, first, is_importing, is_forgetting } = self;
        write!(
            f,
            "{trouble:?}, drift of {drift:?}, taint of {tainted:?}, recorded first: {is_recorded_first}, \
             imports: {is_importing}, forgets: {is_forgetting}, {:?} before the others, then\n{}",
            stack.address_of(*first),
            stack.text()
        )
    }
}

fn thing() -> impl Strategy<Value = Thing> {
    (
        prop_oneof![4 => Just("world_thing"), 1 => Just("world_data"), 2 => Just("world_note")],
        0..2_u8,
        0..3_u8,
        prop::array::uniform4(prop::bool::weighted(0.3)),
        prop::option::weighted(0.3, prop::collection::btree_set(prop::char::range('x', 'z'), 0..3)),
        prop::array::uniform4(prop::bool::weighted(0.4)),
        prop::array::uniform4(prop::bool::weighted(0.2)),
    )
        .prop_map(
            |(ty, version, val, [creates_first, is_renamed, is_ignoring, is_triggered], instances, reads, after)| {
                Thing {
                    ty,
                    version,
                    val,
                    creates_first,
                    is_renamed,
                    is_ignoring,
                    is_triggered,
                    instances,
                    reads,
                    after,
                }
            },
        )
}

fn stack() -> impl Strategy<Value = Stack> {
    let part = (
        prop::collection::vec(prop::option::weighted(0.7, thing()), RESOURCES),
        any::<bool>(),
        prop::array::uniform3(prop::bool::weighted(0.5)),
        prop::bool::weighted(0.4),
    )
        .prop_map(|(things, is_reversed, depends_on, is_sharing)| Part {
            things,
            is_reversed,
            depends_on,
            is_sharing,
        });
    (prop::collection::vec(prop::option::weighted(0.8, part), COMPONENTS), any::<bool>(), 0..2_u8)
        .prop_map(|(parts, is_reversed, shared)| Stack { parts, is_reversed, shared })
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let fault = prop_oneof![
        Just(Fault::Before(ErrorKind::Failed)),
        Just(Fault::After(ErrorKind::Failed)),
        Just(Fault::Before(ErrorKind::Ambiguous)),
        Just(Fault::After(ErrorKind::Ambiguous)),
        Just(Fault::Before(ErrorKind::Transient)),
        Just(Fault::Lie),
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
    let flags = prop::array::uniform3(prop::bool::weighted(0.2));
    let edit = (stack(), trouble(), drift, rarely(), rarely(), flags).prop_map(
        |(stack, trouble, drift, tainted, first, [is_recorded_first, is_importing, is_forgetting])| Edit {
            stack,
            trouble,
            drift,
            tainted,
            is_recorded_first,
            first,
            is_importing,
            is_forgetting,
        },
    );
    prop::collection::vec(edit, 2..4)
}

/// The positions before one, in an order or its reverse.
fn before(position: usize, of: usize, is_reversed: bool) -> Vec<usize> {
    if is_reversed { (position + 1..of).collect() } else { (0..position).collect() }
}

impl Stack {
    /// The address of one of the things.
    fn address_of(&self, index: Option<prop::sample::Index>) -> Option<String> {
        let parts = self.parts.iter().enumerate().filter_map(|(number, part)| Some((number, part.as_ref()?)));
        let addresses: Vec<String> =
            parts.flat_map(|(number, part)| (0..RESOURCES).filter_map(move |at| part.address(number, at))).collect();
        (!addresses.is_empty()).then(|| index.map(|index| index.get(&addresses).clone()))?
    }

    fn text(&self) -> String {
        let mut text = String::from("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n");
        for (number, part) in self.parts.iter().enumerate() {
            let Some(part) = part else { continue };
            let needed: Vec<String> = before(number, COMPONENTS, self.is_reversed)
                .into_iter()
                .filter(|other| part.depends_on[*other] && self.parts[*other].is_some())
                .map(|other| format!("c{other}"))
                .collect();
            let _ = writeln!(text, "  c{number}:\n    dependsOn: [{}]\n    resources:", needed.join(", "));
            if part.is_sharing {
                let _ = writeln!(
                    text,
                    "      - {{type: world_thing, name: base, shared: common, lifecycle: {{onLastRelease: delete}}, \
                     config: {{key: base-{}, val: 1}}}}",
                    self.shared
                );
            }
            for (at, thing) in part.things.iter().enumerate() {
                if let Some(thing) = thing {
                    text.push_str(&part.declaration(number, at, thing));
                }
            }
            if !part.is_sharing && part.things.iter().all(Option::is_none) {
                text.truncate(text.trim_end().len());
                text.push_str(" []\n");
            }
        }
        if self.parts.iter().all(Option::is_none) {
            text.truncate(text.trim_end().len());
            text.push_str(" {}\n");
        }
        text
    }
}

impl Thing {
    /// What names its object; with instances, a part of that.
    fn key(&self, component: usize, at: usize) -> String {
        format!("{}-c{component}-r{at}-{}", self.ty, self.version)
    }
}

impl Part {
    /// The name of the thing at a position.
    fn name(&self, at: usize) -> String {
        let is_renamed = self.things[at].as_ref().is_some_and(|thing| thing.is_renamed);
        format!("{}{at}", if is_renamed { "s" } else { "r" })
    }

    fn address(&self, component: usize, at: usize) -> Option<String> {
        Some(format!("c{component}/{}.{}", self.things[at].as_ref()?.ty, self.name(at)))
    }

    fn declaration(&self, component: usize, at: usize, thing: &Thing) -> String {
        let others = before(at, RESOURCES, self.is_reversed);
        let there = |other: &usize| self.things[*other].is_some();
        let mut read: Vec<String> = Vec::new();
        let triggers: Vec<usize> = others.iter().copied().filter(there).filter(|other| thing.reads[*other]).collect();
        for other in triggers.iter().copied() {
            match &self.things[other].as_ref().unwrap().instances {
                None => read.push(format!("resources.{}.id", self.name(other))),
                Some(keys) => {
                    read.extend(keys.iter().map(|key| format!("resources.{}[\"{key}\"].id", self.name(other))));
                }
            }
        }
        if self.is_sharing && thing.val == 2 {
            read.push("resources.base.id".to_owned());
        }
        let after: Vec<String> = others
            .into_iter()
            .filter(there)
            .filter(|other| thing.after[*other])
            .map(|other| self.name(other))
            .collect();
        let mut values = vec![format!("{}", thing.val)];
        values.extend(read.iter().map(|path| format!("${{{{ {path} }}}}")));
        let values: Vec<String> = values.into_iter().map(|value| format!("'{value}'")).collect();
        let key = thing.key(component, at);
        let (repeat, key) = match &thing.instances {
            None => (String::new(), key),
            Some(keys) => {
                let keys: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
                (format!(", forEach: '${{{{ [{}] }}}}'", keys.join(", ")), format!("${{{{ each.key }}}}-{key}"))
            }
        };
        let mut lifecycle = Vec::new();
        if thing.creates_first {
            lifecycle.push("createBeforeDestroy: true".to_owned());
        }
        if thing.is_ignoring {
            lifecycle.push("ignoreChanges: [val]".to_owned());
        }
        if let Some(other) = triggers.first().filter(|_| thing.is_triggered) {
            lifecycle.push(format!("replaceTriggeredBy: [{}]", self.name(*other)));
        }
        let lifecycle = lifecycle.join(", ");
        format!(
            "      - {{type: {}, name: {}{repeat}, lifecycle: {{{lifecycle}}}, dependsOn: [{}], config: {{key: '{key}', val: [{}]}}}}\n",
            thing.ty,
            self.name(at),
            after.join(", "),
            values.join(", ")
        )
    }
}

/// What a stack says of the one before it.
#[derive(Default)]
struct Transitions {
    moved: Vec<String>,
    /// The addresses that occur in those.
    moving: Vec<String>,
    imports: Vec<String>,
    forget: Vec<String>,
    /// The keys of what is there already, and of what somebody else removes.
    made_by_hand: Vec<String>,
    removed_by_hand: Vec<String>,
}

impl Transitions {
    fn between(before: Option<&Stack>, edit: &Edit) -> Self {
        let mut transitions = Self::default();
        for (number, part) in edit.stack.parts.iter().enumerate() {
            let Some(part) = part else { continue };
            let before = before.and_then(|before| before.parts[number].as_ref());
            for at in 0..RESOURCES {
                let thing_before = before.and_then(|before| before.things[at].as_ref());
                transitions.thing(edit, (number, at), (before, thing_before), part);
            }
        }
        transitions
    }

    fn thing(
        &mut self,
        edit: &Edit,
        (component, at): (usize, usize),
        (part_before, before): (Option<&Part>, Option<&Thing>),
        part: &Part,
    ) {
        let address_before = part_before.and_then(|before| before.address(component, at));
        match (before, &part.things[at]) {
            // Where it becomes several as well it is another thing.
            (Some(before), Some(now))
                if before.ty == now.ty
                    && before.is_renamed != now.is_renamed
                    && before.instances.is_some() == now.instances.is_some() =>
            {
                let (from, to) = (address_before.unwrap(), part.address(component, at).unwrap());
                self.moved.push(format!("{{from: {from}, to: {to}}}"));
                self.moving.extend([from, to]);
            }
            (None, Some(now)) if edit.is_importing && now.ty == "world_thing" && now.instances.is_none() => {
                let key = now.key(component, at);
                self.imports.push(format!("{{to: {}, id: {key}}}", part.address(component, at).unwrap()));
                self.made_by_hand.push(key);
            }
            (Some(before), None) if edit.is_forgetting && before.ty == "world_thing" && before.instances.is_none() => {
                self.forget.push(address_before.unwrap());
                self.removed_by_hand.push(before.key(component, at));
            }
            _ => {}
        }
    }

    fn text(&self) -> String {
        let list = |items: &[String]| items.join(", ");
        format!(
            "moved: [{}]\nimports: [{}]\nforget: [{}]\n",
            list(&self.moved),
            list(&self.imports),
            list(&self.forget)
        )
    }

    fn make(&self, story: &Story) {
        let mut remote = story.remote();
        for key in &self.made_by_hand {
            let object = [("key", key.as_str()), ("val", "by hand"), ("id", "by hand")];
            let object = object.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            if remote.objects.insert(key.clone(), object).is_none() {
                remote.effects.push(format!("create {key}"));
            }
        }
    }

    fn remove(&self, story: &Story) {
        let mut remote = story.remote();
        for key in &self.removed_by_hand {
            if remote.objects.remove(key).is_some() {
                remote.effects.push(format!("delete {key}"));
            }
        }
    }
}

/// Everything that is true of every edit.
async fn live_through(edits: Vec<Edit>, removes_data: bool) {
    let mut story = Story::new();
    story.options.remove_data = removes_data;
    story.options.allow_data_loss = Consent::All;
    let mut before: Option<Stack> = None;
    for edit in edits {
        let transitions = Transitions::between(before.as_ref(), &edit);
        let text = edit.stack.text() + &transitions.text();
        if let Some((index, is_removed)) = edit.drift {
            drift(&story, index, is_removed);
        }
        transitions.make(&story);
        if let Some(index) = edit.tainted {
            taint(&story, index).await;
        }
        meet(&mut story, &text, &edit.trouble).await;
        story.remote().faults.clear();
        for step in story.recover().await {
            assert!(!step.is_in_doubt, "{step:?}");
        }
        if edit.is_recorded_first {
            story.options.refresh_only = true;
            apply_part(&story, &text).await;
            story.options.refresh_only = false;
        }
        if let Some(first) = edit.stack.address_of(edit.first) {
            // What moves has to be among them with both its names.
            let targets = transitions.moving.iter().chain([&first]);
            story.options.targets = targets.map(|target| (None, target.parse().unwrap())).collect();
            apply_part(&story, &text).await;
            story.options.targets.clear();
        }
        let plan = story.plan(&text).await;
        check_digest(&story, &plan, &text).await;
        story.log();
        let report = story.apply_plan(&plan).await;
        let report = report.unwrap_or_else(|error| panic!("{error}\n{}\n{text}", summary(&plan)));
        assert!(report.failed.is_empty() && report.blocked.is_empty(), "{report:?}\n{}\n{text}", summary(&plan));
        check_order(&plan, &story.log());
        story.check_second_plan(&text).await;
        transitions.remove(&story);
        check_records(&story).await;
        before = Some(edit.stack);
    }
    story.options.remove_data = true;
    let report = story.destroy().await;
    assert!(report.failed.is_empty(), "{report:?}");
    assert!(story.rows().await.is_empty() && story.remote().objects.is_empty());
    assert!(story.store.stacks().await.unwrap().is_empty());
}

/// Applies a plan that is not about everything; what it is about succeeds.
async fn apply_part(story: &Story, text: &str) {
    let (plan, diagnostics, sources) = story.try_plan(text).await;
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    // Whoever declares the shared object otherwise has to be planned, too.
    if errors.clone().next().is_some() && errors.all(|error| error.code == "shared_conflict") {
        return;
    }
    assert!(!has_errors(&diagnostics), "{}\n{text}", told(&diagnostics, &sources));
    let plan = plan.unwrap();
    let report = story.apply_plan(&plan).await.unwrap_or_else(|error| panic!("{error}\n{}\n{text}", summary(&plan)));
    assert!(report.failed.is_empty() && report.blocked.is_empty(), "{report:?}\n{}\n{text}", summary(&plan));
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
    story.store.commit(&[], &[Record::Write { operation, write }, end]).await.unwrap();
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
        remote.objects.get_mut(key).unwrap().insert("val".to_owned(), "drifted".into());
    }
}

/// Applies among trouble; however it ends.
async fn meet(story: &mut Story, text: &str, trouble: &Trouble) {
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
            let breaking = BreakingStore::new(Arc::clone(&inner), *at, *how);
            story.store = breaking.clone();
            let applier = story.applier();
            tokio::select! {
                biased;
                () = breaking.dead.cancelled() => {}
                _ = applier.apply(&plan, Uuid::now_v7()) => {}
            }
            story.store = inner;
            for lease in story.store.leases().await.unwrap() {
                story.store.break_lease(&lease.id).await.unwrap();
            }
        }
    }
}

async fn check_digest(story: &Story, plan: &Plan, text: &str) {
    let again = story.plan(text).await;
    assert_ne!(plan.id, again.id);
    assert_eq!(file::digest(plan, &story.seal).unwrap(), file::digest(&again, &story.seal).unwrap());
}

fn key_of(attributes: Option<&Attributes>) -> Option<&str> {
    attributes?.get("key").and_then(Value::as_str)
}

/// Calls are in an order that the dependencies allow.
fn check_order(plan: &Plan, log: &[String]) {
    let made = |change: &Change| {
        let key = key_of(change.after.as_ref().map(|after| &after.attributes))?;
        log.iter().position(|call| *call == format!("create {key}") || *call == format!("update {key}"))
    };
    let removed = |change: &Change| {
        let key = key_of(change.prior.as_ref().map(|prior| &prior.attributes))?;
        log.iter().position(|call| *call == format!("delete {key}"))
    };
    let current = || plan.changes().map(|(_, change)| change).filter(|change| change.deposed.is_none());
    let changes: BTreeMap<String, &Change> = current().map(|change| (change.address.to_string(), change)).collect();
    let by_address = |address: &terrace_engine::address::Address| changes.get(&address.to_string()).copied();
    for change in current() {
        if let (Some(made), Some(removed)) = (made(change), removed(change)) {
            let is_create_first = change.action == Action::ReplaceCreateFirst;
            assert_eq!(made < removed, is_create_first, "{}: {log:?}", change.address);
        }
        for needed in change.depends_on.iter().filter_map(by_address) {
            if let (Some(first), Some(then)) = (made(needed), made(change)) {
                assert!(first < then, "{} before {}: {log:?}", needed.address, change.address);
            }
        }
        let recorded = change.prior.iter().flat_map(|prior| &prior.dependencies);
        for needed in recorded.filter_map(by_address) {
            if let (Some(first), Some(then)) = (removed(change), removed(needed)) {
                assert!(first < then, "{} goes before {}: {log:?}", change.address, needed.address);
            }
            // What is deleted first uses nothing any more while it is made anew.
            let moves_on = change.action != Action::Replace && needed.action == Action::ReplaceCreateFirst;
            if let (Some(first), Some(then), true) = (made(change), removed(needed), moves_on) {
                assert!(first < then, "{} moves on before {} goes: {log:?}", change.address, needed.address);
            }
        }
    }
}

/// Every object has its row and every row its object; nothing was made twice; nothing is open.
async fn check_records(story: &Story) {
    let effects = story.remote().effects.clone();
    assert!(doubles(&effects).is_empty(), "{effects:?}");
    let mut recorded = BTreeSet::new();
    for stack in story.store.stacks().await.unwrap() {
        assert!(story.store.open_intents(&stack, &Selection::All).await.unwrap().is_empty());
        for row in story.store.rows(&stack, &Selection::All).await.unwrap() {
            if row.address.ty != "world_note" {
                let opened = terrace_engine::record::open(row, &story.seal).unwrap();
                recorded.insert(opened.prior.identity["key"].as_str().unwrap().to_owned());
            }
        }
    }
    let objects: BTreeSet<String> = story.remote().objects.keys().cloned().collect();
    assert_eq!(recorded, objects, "rows and objects");
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
    fn whatever_happens_to_a_stack_the_next_run_makes_it_as_described(edits in edits(), removes_data in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(live_through(edits, removes_data));
    }
}
