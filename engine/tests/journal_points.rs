//! A failure or a crash at every write of the journal and at every call of a provider: the next run loses nothing,
//! creates nothing twice, and ends like an undisturbed one.

use crate::support::Story;
use crate::support::faulty_store::{BREAKS, Break, FaultyStore, duplicate_effects};
use crate::support::story::summary;
use crate::support::world::Fault;
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_engine::apply::{ApplyError, Report};
use terrace_engine::plan::Plan;
use terrace_engine::plan::options::Consent;
use terrace_engine::store::{OwnersOf, Selection, ServerStore, StateStore};
use terrace_provider::ErrorKind;
use terrace_state::{SystemClock, in_memory};
use uuid::Uuid;

const BEFORE: &str = "
apiVersion: terrace.dev/v1
kind: Stack
metadata: {name: demo}
components:
  x:
    resources:
      - {type: world_data, name: base, shared: common, lifecycle: {onLastRelease: delete}, config: {key: base, val: 1}}
      - {type: world_thing, name: keep, config: {key: keep, val: 1}}
      - {type: world_thing, name: swap, config: {key: swap-1, val: '${{ resources.keep.id }}'}}
      - {type: world_thing, name: gone, config: {key: gone, val: '${{ resources.swap.id }}'}}
      - {type: world_note, name: note, config: {key: note, val: '${{ resources.swap.id }}'}}
      - {type: world_thing, name: old, config: {key: old, val: 1}}
      - {type: world_thing, name: still, config: {key: still, val: '${{ resources.old.id }}'}}
  z:
    resources:
      - {type: world_thing, name: last, config: {key: last}}
";

/// An update, a replacement, a deletion, a creation, notes, an update of a shared resource, an added and a removed
/// component, and resources that moved with and without a change.
const AFTER: &str = "
apiVersion: terrace.dev/v1
kind: Stack
metadata: {name: demo}
moved:
  - {from: x/world_thing.old, to: x/world_thing.renamed}
  - {from: x/world_thing.still, to: y/world_thing.still}
components:
  x:
    resources:
      - {type: world_data, name: base, shared: common, lifecycle: {onLastRelease: delete}, config: {key: base, val: 2}}
      - {type: world_thing, name: keep, config: {key: keep, val: 2}}
      - {type: world_thing, name: swap, config: {key: swap-2, val: '${{ resources.keep.id }}'}}
      - {type: world_note, name: note, config: {key: note, val: '${{ resources.swap.id }}'}}
      - {type: world_thing, name: fresh, config: {key: fresh, val: '${{ resources.note.val }}'}}
      - {type: world_thing, name: renamed, config: {key: old, val: 2}}
    outputs: {renamed: '${{ resources.renamed.id }}'}
  y:
    dependsOn: [x]
    resources:
      - {type: world_data, name: base, shared: common, lifecycle: {onLastRelease: delete}, config: {key: base, val: 2}}
      - {type: world_thing, name: more, config: {key: more, val: '${{ resources.base.id }}'}}
      - {type: world_thing, name: still, config: {key: still, val: '${{ components.x.outputs.renamed }}'}}
";

/// The operation and the state it starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    First,
    Change,
    /// The same, with replacements that create first.
    ChangeCreateFirst,
    Destroy,
}

pub(crate) const SCENES: [Scene; 4] = [Scene::First, Scene::Change, Scene::ChangeCreateFirst, Scene::Destroy];

fn create_first(text: &str) -> String {
    text.replace("name: swap,", "name: swap, lifecycle: {createBeforeDestroy: true},")
}

impl Scene {
    /// The story at the start of the scene.
    async fn begin(self) -> Story {
        self.begin_on(in_memory(Arc::new(SystemClock)).unwrap()).await
    }

    pub(crate) async fn begin_on(self, store: Arc<dyn ServerStore>) -> Story {
        let mut story = Story::on(store);
        story.options.remove_data = true;
        story.options.allow_data_loss = Consent::All;
        match self {
            Self::First => {}
            Self::Change => drop(story.apply(BEFORE).await),
            Self::ChangeCreateFirst => drop(story.apply(&create_first(BEFORE)).await),
            Self::Destroy => drop(story.apply(AFTER).await),
        }
        story.log();
        story
    }

    pub(crate) async fn plan(self, story: &Story) -> Plan {
        match self {
            Self::First => story.plan(BEFORE).await,
            Self::Change => story.plan(AFTER).await,
            Self::ChangeCreateFirst => story.plan(&create_first(AFTER)).await,
            Self::Destroy => story.plan_destroy().await,
        }
    }

    /// Recovers, repeats the scene, and checks the result.
    async fn recover_and_check(self, story: &mut Story, store: Arc<dyn StateStore>, what: &str) {
        story.store = store;
        story.remote().faults.clear();
        story.end_processes().await;
        for step in story.recover().await {
            assert!(!step.is_in_doubt, "{what}: {step:?}");
        }
        let plan = self.plan(story).await;
        let report = story.apply_plan(&plan).await;
        let report = report.unwrap_or_else(|error| panic!("{what}: {error}\n{}", summary(&plan)));
        assert!(report.failed.is_empty() && report.blocked.is_empty(), "{what}: {report:?}");
        self.check(story, what).await;
    }

    /// Checks that a second plan is empty, that no object was created twice, and that every object has a row.
    pub(crate) async fn check(self, story: &mut Story, what: &str) {
        let plan = self.plan(story).await;
        assert!(!plan.has_changes(), "{what}: {}", summary(&plan));
        let effects = story.remote().effects.clone();
        assert!(duplicate_effects(&effects).is_empty(), "{what}: {effects:?}");
        self.check_records(story, what).await;
    }

    async fn check_records(self, story: &Story, what: &str) {
        let mut recorded = BTreeSet::new();
        for stack in story.store.stacks().await.unwrap() {
            assert!(story.store.open_intents(&stack, &Selection::All).await.unwrap().is_empty(), "{what}");
            for row in story.store.rows(&stack, &Selection::All).await.unwrap() {
                let opened = terrace_engine::record::open(row, &story.seal).unwrap();
                if opened.address.ty != "world_note" {
                    recorded.insert(opened.prior.identity["key"].as_str().unwrap().to_owned());
                }
            }
        }
        let objects: BTreeSet<String> = story.remote().objects.keys().cloned().collect();
        assert_eq!(recorded, objects, "{what}: rows and objects");
        let expected: &[&str] = match self {
            Self::First => &["base", "gone", "keep", "last", "old", "still", "swap-1"],
            Self::Change | Self::ChangeCreateFirst => &["base", "fresh", "keep", "more", "old", "still", "swap-2"],
            Self::Destroy => &[],
        };
        assert_eq!(objects.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{what}");
        let demo = terrace_engine::address::StackId::new("demo", "test");
        let components: Vec<String> =
            story.store.components(&demo).await.unwrap().into_iter().map(|component| component.key.into()).collect();
        let owners = story.store.owners("test", &OwnersOf::Stack(demo)).await.unwrap().len();
        let expected: (&[&str], usize) = match self {
            Self::First => (&["x", "z"], 1),
            Self::Change | Self::ChangeCreateFirst => (&["x", "y"], 2),
            Self::Destroy => (&[], 0),
        };
        assert_eq!((components.as_slice(), owners), (expected.0.map_owned().as_slice(), expected.1), "{what}");
    }
}

/// A list of owned strings.
trait Owned {
    fn map_owned(&self) -> Vec<String>;
}

impl Owned for &[&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

/// Applies on a failing store; `None` when the process died.
async fn apply_on(story: &mut Story, plan: &Plan, store: &Arc<FaultyStore>) -> Option<Result<Report, ApplyError>> {
    story.store = store.clone();
    let applier = story.applier();
    let apply = applier.apply(plan, Uuid::now_v7());
    tokio::select! {
        biased;
        () = store.dead.cancelled() => None,
        result = apply => Some(result),
    }
}

#[tokio::test]
async fn no_loss_if_any_write_fails() {
    for scene in SCENES {
        for how in BREAKS {
            for at in 0.. {
                let what = format!("{scene:?}, {how:?} at write {at}");
                let mut story = scene.begin().await;
                let plan = scene.plan(&story).await;
                let inner = Arc::clone(&story.store);
                let breaking = FaultyStore::breaking(Arc::clone(&inner), at, how);
                let result = apply_on(&mut story, &plan, &breaking).await;
                if !breaking.is_reached() {
                    assert!(at > 3, "{what}: the journal has more writes than that");
                    break;
                }
                match how {
                    Break::DiesBefore | Break::DiesAfter => assert!(result.is_none(), "{what}"),
                    Break::FailsBefore | Break::FailsAfter => {
                        let error = result.unwrap().unwrap_err().to_string();
                        assert_eq!(error, "state cannot be written: the disk is full", "{what}");
                    }
                }
                scene.recover_and_check(&mut story, inner, &what).await;
            }
        }
    }
}

/// The calls of an undisturbed scene.
async fn calls_of(scene: Scene) -> Vec<String> {
    let story = scene.begin().await;
    story.apply_plan(&scene.plan(&story).await).await.unwrap();
    let calls = story.log();
    assert!(calls.len() > 3, "{calls:?}");
    calls
}

#[tokio::test]
async fn no_loss_if_any_call_fails() {
    tokio::time::pause();
    let ends = [
        Fault::Before(ErrorKind::Failed),
        Fault::After(ErrorKind::Failed),
        Fault::Before(ErrorKind::Ambiguous),
        Fault::After(ErrorKind::Ambiguous),
        Fault::Before(ErrorKind::PermissionDenied),
        Fault::HangBefore,
        Fault::HangAfter,
    ];
    for scene in SCENES {
        for call in calls_of(scene).await {
            for fault in &ends {
                let what = format!("{scene:?}, {fault:?} at {call}");
                let mut story = scene.begin().await;
                let plan = scene.plan(&story).await;
                story.fault(&call, fault.clone());
                let report = story.apply_plan(&plan).await.unwrap();
                let is_searched_for = matches!(fault, Fault::After(ErrorKind::Ambiguous) | Fault::HangAfter);
                assert_eq!(report.failed.is_empty(), is_searched_for, "{what}: {report:?}");
                let store = Arc::clone(&story.store);
                scene.recover_and_check(&mut story, store, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn no_loss_if_the_process_dies_in_any_call() {
    for scene in SCENES {
        for call in calls_of(scene).await {
            for fault in [Fault::HangBefore, Fault::HangAfter] {
                let what = format!("{scene:?}, death with {fault:?} at {call}");
                let mut story = scene.begin().await;
                let plan = scene.plan(&story).await;
                story.fault(&call, fault);
                let inner = Arc::clone(&story.store);
                let breaking = FaultyStore::breaking(Arc::clone(&inner), usize::MAX, Break::DiesBefore);
                let hung = story.remote().hung.clone();
                tokio::select! {
                    biased;
                    () = hung.cancelled() => breaking.dead.cancel(),
                    result = apply_on(&mut story, &plan, &breaking) => panic!("{what}: {result:?}"),
                }
                scene.recover_and_check(&mut story, inner, &what).await;
            }
        }
    }
}
