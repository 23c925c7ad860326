//! A story: plans and applies descriptors one after the other, on one store and one remote system.

use super::faulty_store::FaultyStore;
use super::world::{Fault, Remote, World};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use terrace_engine::action::Action;
use terrace_engine::address::{Address, ComponentKey, StackId};
use terrace_engine::apply::lease::LeaseError;
use terrace_engine::apply::{Applier, ApplyError, Attempt, Report};
use terrace_engine::blueprint::{self, Library};
use terrace_engine::compile::{CompiledStack, Compiler, Given};
use terrace_engine::descriptor::transitions::Identified;
use terrace_engine::descriptor::{self, Descriptor, FormerNames};
use terrace_engine::diagnostic::{Diagnostic, has_errors};
use terrace_engine::engine::{Engine, Execution};
use terrace_engine::environment::Environment;
use terrace_engine::event::NoEvents;
use terrace_engine::expression::Functions;
use terrace_engine::naming::NamesRule;
use terrace_engine::plan::compute::Computed;
use terrace_engine::plan::failure::PlanFailure;
use terrace_engine::plan::options::Options;
use terrace_engine::plan::planner::Planner;
use terrace_engine::plan::rollback::RollbackTarget;
use terrace_engine::plan::{Origin, Plan, file};
use terrace_engine::recorded_names::keep_recorded_names;
use terrace_engine::recover::{InterruptedStep, Recovered, Verdict};
use terrace_engine::registry::{EndedCalls, Registry};
use terrace_engine::seal::Seal;
use terrace_engine::source::Sources;
use terrace_engine::store::{Administration, Intent, Selection, ServerStore, StateStore};
use terrace_engine::yaml::Budget;
use terrace_provider::wrap::Limits;
use terrace_provider::{Attributes, Provider, Settings};
use terrace_state::{SystemClock, in_memory};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Values that a planner borrows for one plan.
struct Setting {
    engine: Engine,
    sources: Sources,
}

/// Environment of one test: store, remote system and options.
pub struct Story {
    pub store: Arc<dyn StateStore>,
    /// The same store, for a user.
    pub administration: Arc<dyn Administration>,
    /// The same store, with control over dead processes.
    pub faulty_store: Arc<FaultyStore>,
    pub remote: Arc<Mutex<Remote>>,
    pub options: Options,
    pub variables: BTreeMap<String, Given>,
    pub seal: Arc<Seal>,
    pub parallelism: usize,
    /// Limits by provider instance.
    pub limits: BTreeMap<String, Limits>,
    pub cancel: CancellationToken,
    /// Calls of this process that have ended.
    pub ended_calls: Arc<EndedCalls>,
    /// Settings of the environment.
    pub settings: terrace_provider::Value,
    /// Sources of blueprints.
    pub blueprints: Vec<&'static str>,
    /// The data product as it was last provisioned, sent along with a descriptor.
    pub latest: Option<&'static str>,
    /// Naming rule of a state without one; [`NamesRule::Ascii`] plans as earlier versions did.
    pub names: NamesRule,
    /// The stack's name by the rule of earlier versions.
    pub former: Option<FormerNames>,
    /// Pipelines that are identified by an attribute of their objects.
    pub identified: Vec<Identified>,
}

/// A key that seals for real.
pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

impl Story {
    pub fn new() -> Self {
        Self::on(in_memory(Arc::new(SystemClock)).unwrap())
    }

    pub fn on(store: Arc<dyn ServerStore>) -> Self {
        Self::over(store.clone(), store)
    }

    /// Another story in the same store.
    pub fn beside(&self) -> Self {
        Self::over(self.store.clone(), self.administration.clone())
    }

    fn over(store: Arc<dyn StateStore>, administration: Arc<dyn Administration>) -> Self {
        let faulty_store = FaultyStore::new(store);
        Self {
            store: faulty_store.clone(),
            administration,
            faulty_store,
            remote: Arc::default(),
            options: Options::default(),
            variables: BTreeMap::new(),
            seal: Arc::new(Seal::with_key(KEY, &[]).unwrap()),
            parallelism: 4,
            limits: BTreeMap::new(),
            cancel: CancellationToken::new(),
            ended_calls: Arc::default(),
            settings: terrace_provider::Value::Map(terrace_provider::Map::default()),
            blueprints: Vec::new(),
            latest: None,
            names: NamesRule::Latin,
            former: None,
            identified: Vec::new(),
        }
    }

    fn environment(&self) -> Environment {
        Environment { name: "test".to_owned(), settings: self.settings.clone(), ..Environment::default() }
    }

    pub fn remote(&self) -> MutexGuard<'_, Remote> {
        self.remote.lock().unwrap()
    }

    /// Takes the leases from their holders, which may still be running.
    pub async fn break_leases(&self) {
        for lease in self.store.leases().await.unwrap() {
            self.administration.break_lease(&lease.id).await.unwrap();
        }
    }

    /// Ends all processes, as a kill does: their leases become free, and hanging calls never take effect.
    pub async fn end_processes(&self) {
        self.break_leases().await;
        self.faulty_store.declare_dead().await;
    }

    /// An attribute of a remote object.
    pub fn remote_value(&self, object: &str, attribute: &str) -> terrace_provider::Value {
        self.remote().objects[object][attribute].clone()
    }

    /// Takes the calls since the last use of this function.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.remote().log)
    }

    pub fn fault(&self, begin: &str, fault: Fault) {
        self.remote().faults.insert(begin.to_owned(), fault);
    }

    pub fn registry(&self) -> Registry {
        let settings = |instance: &str| Settings {
            instance: instance.to_owned(),
            environment: "test".to_owned(),
            project_folder: "/nowhere".into(),
            sandbox: Default::default(),
            sources: Default::default(),
            values: Attributes::default(),
        };
        let world: Arc<dyn Provider> = Arc::new(World::new(Arc::clone(&self.remote)));
        let instances = ["world", "world.eu"].map(|name| ("world".to_owned(), settings(name)));
        Registry::new(vec![world], instances.to_vec())
            .with_limits(self.limits.clone())
            .with_ended_calls(Arc::clone(&self.ended_calls))
    }

    fn planner<'a>(&'a self, setting: &'a Setting) -> Planner<'a> {
        let now = (jiff::Timestamp::UNIX_EPOCH, Uuid::now_v7());
        setting.engine.planner(self.store.as_ref(), &setting.sources, &self.options, now)
    }

    /// Another process on the same store and the same remote system.
    pub fn other_process(&self) -> Self {
        Self { remote: Arc::clone(&self.remote), ..self.beside() }
    }

    /// Compiles descriptors; `---` separates files.
    async fn compile(&self, text: &str) -> (Option<Vec<CompiledStack>>, Vec<Diagnostic>, Sources) {
        let mut sources = Sources::default();
        let files: Vec<&str> = text.split("\n---\n").collect();
        let name = |at: usize| if at == 0 { "stack.yaml".to_owned() } else { format!("stack-{}.yaml", at + 1) };
        let ids: Vec<_> = files.iter().enumerate().map(|(at, text)| sources.add(name(at), *text)).collect();
        let (mut descriptors, mut diagnostics) = descriptor::read(&mut sources, &ids, &Budget::default());
        if has_errors(&diagnostics) {
            return (None, diagnostics, sources);
        }
        let functions = Functions::default();
        let environment = self.environment();
        let (library, found) = self.library(&mut sources);
        diagnostics.extend(found);
        let latest_enriched = self.latest.map(|text| sources.add("latest.yaml", text));
        let compiler = Compiler {
            sources: &sources,
            functions: &functions,
            environment: &environment,
            library: &library,
            templates: &Default::default(),
            variables: &self.variables,
            latest_enriched,
        };
        let mut stacks = Vec::new();
        for descriptor in &mut descriptors {
            self.keep_names(descriptor).await;
            let (compiled, found) = compiler.compile(descriptor, &self.options.components);
            diagnostics.extend(found);
            stacks.extend(compiled);
        }
        let stacks = (!has_errors(&diagnostics)).then_some(stacks);
        (stacks, diagnostics, sources)
    }

    /// Applies the naming rule of the store, unless the story plays an earlier version.
    async fn keep_names(&self, descriptor: &mut Descriptor) {
        descriptor.transitions.identified.extend(self.identified.iter().cloned());
        if let Some(former) = &self.former {
            descriptor.former = Some(Box::new(former.clone()));
        }
        match self.names {
            NamesRule::Latin => keep_recorded_names(descriptor, "test", self.store.as_ref()).await.unwrap_or_default(),
            NamesRule::Ascii => descriptor.names = NamesRule::Ascii,
        }
    }

    fn library(&self, sources: &mut Sources) -> (Library, Vec<Diagnostic>) {
        let (mut all, mut diagnostics) = (Vec::new(), Vec::new());
        for (at, text) in self.blueprints.iter().enumerate() {
            let file = format!("blueprint-{at}.yaml");
            let id = sources.add(file.clone(), *text);
            let origin = blueprint::Origin { file, is_built_in: false };
            let (read, found) = blueprint::read(id, sources, origin, &|_| None, &Budget::default());
            all.extend(read);
            diagnostics.extend(found);
        }
        let (library, found) = Library::new(all, None);
        diagnostics.extend(found);
        (library, diagnostics)
    }

    fn setting(&self, sources: Sources) -> Setting {
        Setting { engine: self.engine(), sources }
    }

    /// Plans a descriptor, errors included.
    pub async fn try_plan(&self, text: &str) -> (Option<Plan>, Vec<Diagnostic>, Sources) {
        let (stacks, mut diagnostics, sources) = self.compile(text).await;
        let Some(stacks) = stacks else { return (None, diagnostics, sources) };
        let setting = self.setting(sources);
        let planning = self.planner(&setting).plan(&stacks, Origin::default()).await;
        let Computed { plan, diagnostics: found } = planning.unwrap();
        diagnostics.extend(found);
        (Some(plan), diagnostics, setting.sources)
    }

    /// The error of a descriptor that cannot be planned at all.
    pub async fn failing_plan(&self, text: &str) -> PlanFailure {
        let (stacks, _, sources) = self.compile(text).await;
        let setting = self.setting(sources);
        self.planner(&setting).plan(&stacks.unwrap(), Origin::default()).await.unwrap_err()
    }

    /// Plans a descriptor that must have no errors.
    pub async fn plan(&self, text: &str) -> Plan {
        let (plan, diagnostics, sources) = self.try_plan(text).await;
        assert!(!has_errors(&diagnostics), "{}", render_diagnostics(&diagnostics, &sources));
        plan.unwrap()
    }

    /// The errors of a descriptor, as printed.
    pub async fn errors(&self, text: &str) -> String {
        let before = self.remote().log.len();
        let (_, diagnostics, sources) = self.try_plan(text).await;
        assert!(has_errors(&diagnostics), "expected errors");
        assert_eq!(self.remote().log.len(), before, "nothing was called");
        render_diagnostics(&diagnostics, &sources)
    }

    pub async fn plan_destroy(&self) -> Plan {
        let setting = self.setting(Sources::default());
        let stacks = self.store.stacks().await.unwrap();
        let stacks: Vec<StackId> = stacks.into_iter().filter(|stack| stack.name != "shared").collect();
        let planning = self.planner(&setting).plan_destroy(&stacks, Origin::default()).await;
        let Computed { plan, diagnostics } = planning.unwrap();
        assert!(!has_errors(&diagnostics), "{diagnostics:?}");
        plan
    }

    /// Plans a rollback to an earlier state.
    pub async fn plan_rollback(&self, stack: &StackId, target: RollbackTarget) -> Plan {
        let Computed { plan, diagnostics } = self.try_plan_rollback(stack, target).await;
        assert!(!has_errors(&diagnostics), "{diagnostics:?}");
        plan
    }

    /// The same, with its diagnostics.
    pub async fn try_plan_rollback(&self, stack: &StackId, target: RollbackTarget) -> Computed {
        let setting = self.setting(Sources::default());
        self.planner(&setting).plan_rollback(stack, target).await.unwrap()
    }

    /// Plans the destruction of a descriptor's objects, with or without rows.
    pub async fn plan_destroy_of(&self, text: &str) -> Plan {
        let (Computed { plan, diagnostics }, _) = self.try_destroy_of(text).await;
        assert!(!has_errors(&diagnostics), "{diagnostics:?}");
        plan
    }

    /// The errors of a destruction that is refused, as printed.
    pub async fn destroy_errors(&self, text: &str) -> String {
        let (computed, sources) = self.try_destroy_of(text).await;
        assert!(has_errors(&computed.diagnostics), "expected errors");
        assert!(!computed.plan.has_changes());
        render_diagnostics(&computed.diagnostics, &sources)
    }

    async fn try_destroy_of(&self, text: &str) -> (Computed, Sources) {
        let (stacks, _, sources) = self.compile(text).await;
        let stacks = stacks.unwrap();
        let setting = self.setting(sources);
        let names: Vec<StackId> = stacks.iter().map(|compiled| compiled.stack.clone()).collect();
        let planning = self.planner(&setting).plan_destroy_described(&names, &stacks, Origin::default()).await;
        (planning.unwrap(), setting.sources)
    }

    /// Applies a plan after a round trip through a plan file, which must hold everything. Without a key there is no
    /// file.
    pub async fn apply_plan(&self, plan: &Plan) -> Result<Report, ApplyError> {
        if !self.seal.has_key() {
            return self.applier().apply(plan, Uuid::now_v7()).await;
        }
        let text = file::write(plan, &self.seal).unwrap();
        let plan = file::read(&text, &self.seal).unwrap();
        self.applier().apply(&plan, Uuid::now_v7()).await
    }

    pub fn engine(&self) -> Engine {
        Engine {
            registry: Arc::new(self.registry()),
            functions: Arc::default(),
            seal: Arc::clone(&self.seal),
            environment: self.environment(),
            version: "0.0.0",
        }
    }

    fn execution(&self, lock_timeout: Duration) -> Execution {
        Execution {
            actor: "a test".to_owned(),
            parallelism: self.parallelism,
            lock_timeout,
            cancel: self.cancel.clone(),
            stopped_by: Arc::default(),
        }
    }

    pub fn applier(&self) -> Applier {
        self.applier_of(Attempt::default())
    }

    /// The applier of an attempt.
    pub fn applier_of(&self, attempt: Attempt) -> Applier {
        self.engine().applier(self.store.clone(), &self.execution(Duration::ZERO), Arc::new(NoEvents), attempt)
    }

    pub async fn recover(&self) -> Vec<Recovered> {
        self.recover_within(Duration::ZERO).await
    }

    /// The same; waits that long for calls that may still take effect.
    pub async fn recover_within(&self, lock_timeout: Duration) -> Vec<Recovered> {
        self.try_recover_within(lock_timeout).await.unwrap()
    }

    /// Recovers on a store that may fail.
    pub async fn try_recover(&self) -> Result<Vec<Recovered>, LeaseError> {
        self.try_recover_within(Duration::ZERO).await
    }

    async fn try_recover_within(&self, lock_timeout: Duration) -> Result<Vec<Recovered>, LeaseError> {
        let (engine, execution) = (self.engine(), self.execution(lock_timeout));
        let store: Arc<dyn StateStore> = self.store.clone();
        let recovery = engine.recovery(&store, &execution, &NoEvents);
        let mut recovered = Vec::new();
        for stack in &self.store.stacks().await.unwrap() {
            recovered.extend(recovery.run(stack, &Selection::All, &Selection::All).await?);
        }
        Ok(recovered)
    }

    /// Resolves the step in doubt of a current object with a verdict of the user.
    pub async fn decide(&self, address: &str, verdict: Verdict) -> bool {
        let (stack, address) = (StackId::new("demo", "test"), address.parse::<Address>().unwrap());
        let selection = Selection::Addresses([address.clone()].into());
        let open = self.store.open_intents(&stack, &selection).await.unwrap();
        let Some(open) = open.into_iter().find(|open| open.intent.row.deposed.is_none()) else { return false };
        let Intent { operation, step, .. } = open.intent;
        self.decide_step(&InterruptedStep { stack, address, deposed: None, operation, step }, verdict).await
    }

    /// Resolves a step in doubt with a verdict of the user.
    pub async fn decide_step(&self, step: &InterruptedStep, verdict: Verdict) -> bool {
        let (engine, execution) = (self.engine(), self.execution(Duration::ZERO));
        let store: Arc<dyn StateStore> = self.store.clone();
        let recovery = engine.recovery(&store, &execution, &NoEvents);
        recovery.decide(step, verdict).await.unwrap()
    }

    /// Plans and applies a descriptor; no step may fail, and a second plan must be empty.
    pub async fn apply(&self, text: &str) -> Report {
        let report = self.apply_once(text).await;
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        self.check_second_plan(text).await;
        report
    }

    /// Plans and applies a descriptor; steps may fail.
    pub async fn apply_once(&self, text: &str) -> Report {
        let plan = self.plan(text).await;
        self.apply_plan(&plan).await.unwrap()
    }

    pub async fn check_second_plan(&self, text: &str) {
        let before = self.remote().log.len();
        let plan = self.plan(text).await;
        assert!(!plan.has_changes(), "a second plan is empty:\n{}", summary(&plan));
        let reordered = plan.changes().find(|(_, change)| change.changes_dependencies());
        assert!(reordered.is_none(), "a second plan records no other order: {reordered:?}");
        assert_eq!(self.remote().log.len(), before, "planning changes nothing");
    }

    pub async fn destroy(&self) -> Report {
        let plan = self.plan_destroy().await;
        self.apply_plan(&plan).await.unwrap()
    }

    /// Addresses of the rows, each with its status unless that is `Ready`.
    pub async fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for stack in self.store.stacks().await.unwrap() {
            for row in self.store.rows(&stack, &Selection::All).await.unwrap() {
                let suffix = match (row.deposed, row.status) {
                    (Some(_), _) => " (deposed)".to_owned(),
                    (None, terrace_engine::store::RowStatus::Ready) => String::new(),
                    (None, status) => format!(" ({status:?})"),
                };
                rows.push(format!("{}{suffix}", row.address));
            }
        }
        rows
    }
}

/// Diagnostics as lines: place, message, hint.
pub fn render_diagnostics(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        let place = diagnostic.place(sources).map_or("-".to_owned(), |place| place.to_string());
        let _ = writeln!(text, "{place}: {}", diagnostic.message);
        if let Some(hint) = &diagnostic.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    text
}

/// A plan as lines: sign, address, reason.
pub fn summary(plan: &Plan) -> String {
    let mut text = String::new();
    for (_, change) in plan.changes() {
        if change.action == Action::NoOp && change.in_doubt.is_none() && change.moved_from.is_none() {
            continue;
        }
        let reason = change.why.reason.as_ref().map_or(String::new(), |reason| format!(" ({})", reason.text()));
        let is_only_moved = change.action == Action::NoOp && change.moved_from.is_some();
        let sign = if is_only_moved { ">" } else { change.action.sign() };
        let moved = change.moved_from.as_ref().map_or(String::new(), |from| format!(" from {from}"));
        let _ = writeln!(text, "{sign} {}{moved}{reason}", change.address);
    }
    for stack in &plan.stacks {
        for output in stack.outputs.iter().filter(|output| output.is_change()) {
            let _ = writeln!(text, "output {}: {:?} -> {:?}", output.name, output.before, output.after);
        }
        for owner in stack.owners.iter().filter(|owner| owner.is_change()) {
            let sign = owner.action.sign();
            let _ = writeln!(text, "owner {sign} {} of {}", owner.ownership.component, owner.ownership.address);
        }
    }
    text
}

/// Component keys.
pub fn keys(names: &[&str]) -> BTreeSet<ComponentKey> {
    names.iter().map(|name| (*name).into()).collect()
}

/// A descriptor of things, one line each: `name: key=… val=…`, with raw YAML for anything else.
pub fn stack(resources: &str) -> String {
    let mut text = String::from("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nresources:\n");
    for line in resources.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let _ = writeln!(text, "  {line}");
    }
    text
}
