//! The common part of `apply`, `destroy` and `state rollback`: recovers, shows, asks, and reports for the driver.

mod conclusion;

pub(super) use conclusion::format_value;

use super::execution::execution;
use crate::args::{ApplyArguments, PlanFormat};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::presentation;
use crate::progress::Progress;
use crate::report::{self, harmless};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::wiring::{EnvironmentContext, is_missing, store};
use conclusion::{Retained, append, exit, kept_in_any_case, public_outputs, retained, summary};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use terrace_engine::action::Action;
use terrace_engine::address::{ComponentKey, StackId};
use terrace_engine::apply::{Applier, ApplyError, Attempt, Report};
use terrace_engine::diagnostic::{Diagnostic, first_of};
use terrace_engine::driver::{Applying, Approval, Replan};
use terrace_engine::engine::Execution;
use terrace_engine::event::Events;
use terrace_engine::plan::compute::Computed;
use terrace_engine::plan::{Change, Mode, Note, Plan, file, removed_data, row_stack};
use terrace_engine::recover::end_interrupted;
use terrace_engine::render::{remaining_deferred, stream};
use terrace_engine::seal::Seal;
use terrace_engine::source::Sources;
use terrace_engine::store::{Ownership, Selection, ServerStore, StateStore};
use terrace_engine::text::shell_word;
use terrace_state::Access;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Interval of progress events about running steps, for programs.
const TICK: Duration = Duration::from_secs(1);

/// The beginning of a refusal for want of consent to the loss of data.
pub(super) const DATA_LOSS: &str = "data would be lost";

/// The note about a plan without changes if the user cannot be asked.
const NOT_RECORDED: &str = "the refreshed state and order were not recorded; pass `--auto-approve` to record them";

/// One run of a command that applies a plan.
pub(super) struct Run<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) arguments: &'a ApplyArguments,
    pub(super) signals: &'a Signals,
    pub(super) settings: &'a Settings,
    pub(super) env_context: &'a EnvironmentContext,
    /// True for a plan from a file.
    pub(super) is_saved: bool,
    /// The state. A missing one is created with the first row.
    pub(super) state: State,
}

/// The state of a command that may change it.
pub(super) struct State(Mutex<Opened>);

#[derive(Clone)]
struct Opened {
    store: Arc<dyn ServerStore>,
    is_missing: bool,
}

impl State {
    /// Opens the state, for changes if it exists and `may_change`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) async fn open(settings: &Settings, may_change: bool) -> Result<Self, Failure> {
        let is_missing = is_missing(&settings.state);
        let access = if may_change && !is_missing { Access::ReadWrite } else { Access::ReadOnly };
        Ok(Self::of(store(settings, access).await?, is_missing))
    }

    pub(super) fn of(store: Arc<dyn ServerStore>, is_missing: bool) -> Self {
        Self(Mutex::new(Opened { store, is_missing }))
    }

    pub(super) fn get(&self) -> Arc<dyn ServerStore> {
        self.opened().store
    }

    fn opened(&self) -> Opened {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Creates a missing state.
    async fn create(&self, settings: &Settings) -> Result<(), Failure> {
        let store = store(settings, Access::ReadWrite).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Opened { store, is_missing: false };
        Ok(())
    }
}

/// The display of a running apply.
pub(super) struct Display {
    progress: Arc<Progress>,
    /// Sends progress events about running steps to programs.
    ticks: Option<JoinHandle<()>>,
}

impl<'a> Run<'a> {
    /// True with consent, or if the user can be asked.
    pub(super) fn can_proceed(context: &Context<'_>, arguments: &ApplyArguments) -> bool {
        is_consented(arguments) || context.ui.can_ask()
    }

    /// Recovers interrupted steps of stacks, each with its chosen components (empty for all), and ends operations of
    /// these stacks that were interrupted between two steps. Returns true if any step was resolved. Without possible consent nothing may change, not even the rows that recovery would write. A missing
    /// state has nothing to recover.
    ///
    /// # Errors
    /// When leases are held, or the state fails.
    pub(super) async fn recover<'s>(
        &self,
        stacks: impl IntoIterator<Item = (&'s StackId, &'s BTreeSet<ComponentKey>)> + Send,
    ) -> Result<bool, Failure> {
        if self.state.opened().is_missing || !Run::can_proceed(self.context, self.arguments) {
            return Ok(false);
        }
        self.signals.begin_changes();
        let progress = Progress::for_people(self.context.ui, true);
        let store: Arc<dyn StateStore> = self.state.get();
        let execution = self.execution();
        let recovery = self.env_context.engine.recovery(&store, &execution, progress.as_ref());
        let mut has_resolved = false;
        let stacks: Vec<_> = stacks.into_iter().collect();
        for (stack, components) in &stacks {
            let selection = match components.is_empty() {
                true => Selection::All,
                false => Selection::Components((*components).clone()),
            };
            let steps = recovery.run(stack, &selection, &Selection::All).await?;
            has_resolved |= steps.iter().any(|step| !step.is_in_doubt);
            if self.signals.cancel.is_cancelled() {
                return Err(Failure::reported(Exit::Interrupted));
            }
        }
        let is_about = |stack: &StackId| stacks.iter().any(|(selected, _)| *selected == stack);
        end_interrupted(store.as_ref(), |operation| operation.stacks.iter().any(is_about)).await?;
        self.signals.end_changes();
        Ok(has_resolved)
    }

    fn is_json(&self) -> bool {
        self.arguments.run.format.is_json()
    }

    /// Shows a plan and its diagnostics.
    ///
    /// # Errors
    /// When the plan has errors.
    pub(super) fn show(&self, Computed { plan, diagnostics, .. }: &Computed, sources: &Sources) -> Result<(), Failure> {
        if self.is_json() {
            presentation::print_plan_lines(self.context.ui, plan)?;
        } else {
            let view = presentation::PlanView::new(PlanFormat::Human, self.arguments.run.detail);
            presentation::print_plan(self.context.ui, plan, &view, &self.env_context.engine.seal)?;
        }
        report::report(self.context.ui, sources, diagnostics);
        if plan.is_errored { Err(Failure::reported(Exit::Error)) } else { Ok(()) }
    }

    /// Asks for consent if the plan has changes. Refuses first, so that the user answers no question in vain.
    ///
    /// # Errors
    /// When the digest differs, data would be lost without consent, or the answer is no.
    pub(super) fn consent(&self, plan: &Plan, question: &str) -> Result<Approval, Failure> {
        // The reviewed plan may have been applied since: then nothing is left to do or to refuse.
        if plan.has_changes() {
            check_digest(self.arguments, &self.env_context.engine.seal, plan)?;
        }
        let lost: Vec<String> = plan
            .refused_data_loss()
            .map(|(stack, change, loss)| {
                let amount = loss.amount.as_deref().unwrap_or("data");
                format!("{}:{} would lose {amount}: {}", stack.stack, change.address, loss.reasons.join(", "))
            })
            .collect();
        if let Some(options) = consent_options(plan) {
            let refused = Failure::refused(format!("{DATA_LOSS}\n  {}", lost.join("\n  ")))
                .hint(format!("consent with `{options}`, or everywhere with `--allow-data-loss`"));
            let kept =
                plan.refused_data_loss().filter_map(|(_, change, loss)| Some((change, loss.only_empty.as_ref()?)));
            return Err(kept.fold(refused, |refused, (change, why)| {
                refused.hint(format!("consent is not enough for `{}`: {why}", change.address))
            }));
        }
        if is_consented(self.arguments) {
            return Ok(Approval::Replaceable);
        }
        if plan.has_actions() {
            self.context.ui.confirm(question, "review the plan, then pass `--auto-approve`")?;
        } else if plan.has_changes() && !self.context.ui.can_ask() {
            // Without possible consent no operation begins that would report the steps.
            return Err(only_in_doubt(plan));
        }
        Ok(if self.context.ui.can_ask() { Approval::ThisPlan } else { Approval::None })
    }

    /// Prints that a saved plan changes nothing. Remote objects were read when the plan was saved, not now.
    ///
    /// # Errors
    /// When standard output cannot be written.
    fn print_nothing_to_do(&self, plan: &Plan) -> Result<(), Failure> {
        if self.is_json() {
            return presentation::print_plan_lines(self.context.ui, plan);
        }
        self.context.ui.print("Nothing to do: the saved plan has no changes.\n")
    }

    fn execution(&self) -> Execution {
        execution(self.settings, self.signals, usize::from(self.arguments.run.parallelism))
    }

    fn applier(&self, events: Arc<dyn Events>, attempt: Attempt) -> Applier {
        self.env_context.engine.applier(self.state.get(), &self.execution(), events, attempt)
    }

    /// Refuses a plan that cannot be applied. Only reads the state.
    ///
    /// # Errors
    /// With the reason of the refusal.
    pub(super) async fn refuse(&self, plan: &Plan) -> Result<(), ApplyError> {
        let events = Progress::for_people(self.context.ui, true);
        self.applier(events, Attempt::default()).refuse(plan).await
    }

    /// Reasons why `--remove-data` alone does not remove some retained objects.
    fn kept_unless_empty<'p>(&self, plan: &'p Plan) -> HashMap<Retained<'p>, String> {
        let registry = &self.env_context.engine.registry;
        let mut kept = HashMap::new();
        for stack in &plan.stacks {
            let retained = || stack.changes.iter().filter(|change| change.action == Action::Retain);
            // Objects inside these are removed before or with them.
            let going = stack.changes.iter();
            let going = going.filter(|change| change.action == Action::Retain || change.action.removes_object());
            let emptied = removed_data::emptied(registry, going);
            let why = |change: &Change| {
                let (_, ty) = registry.resource_type(&change.address.ty)?;
                ty.kept_unless_empty(&change.basis.prior.as_ref()?.attributes)
            };
            let not_emptied = retained().filter(|change| !change.address.is_among(&emptied));
            kept.extend(not_emptied.filter_map(|change| {
                Some(((row_stack(&stack.stack, &change.address), &change.address), why(change)?))
            }));
        }
        kept
    }

    /// Reports outputs that were not stored: `terrace output` does not show the reason.
    fn report_unstored_outputs(&self, report: &Report) -> Result<(), Failure> {
        let notes: Vec<Diagnostic> = report
            .outputs
            .iter()
            .flat_map(|((_, component), values)| values.iter().map(move |(name, value)| (component, name, value)))
            .filter(|(_, _, value)| !self.env_context.engine.seal.can_store(value))
            .map(|(component, name, _)| {
                let name = component.qualified(name).to_string();
                let message = format!("the output `{name}` is sensitive and was not stored: there is no state key");
                Diagnostic::note("output_not_stored", message).hint(super::output::UNSTORED_HINT)
            })
            .collect();
        let sources = Sources::default();
        if !self.is_json() {
            report::report(self.context.ui, &sources, &notes);
            return Ok(());
        }
        let at = Timestamp::now();
        let mut lines = notes.iter().map(|note| stream::diagnostic(&Note::of(note, &sources), at));
        lines.try_for_each(|line| self.context.ui.print(&format!("{line}\n")))
    }

    fn print_failures(&self, report: &Report, plan: &Plan) {
        for failed in &report.failed {
            let mut text = format!("{}:{}: {}", failed.stack, failed.address, failed.error);
            // Drops a problem that the error message ends with.
            let problems = match failed.problems.as_slice() {
                [only] if failed.error.ends_with(only.as_str()) => &[],
                problems => problems,
            };
            problems.iter().for_each(|problem| append(&mut text, &format!("\n  {problem}")));
            if let Some(place) = plan.place_of(&failed.stack, &failed.address) {
                append(&mut text, &format!("\n  declared at {place}"));
            }
            let failure = failed
                .solutions
                .iter()
                .fold(Failure::new(harmless(&text)), |failure, solution| failure.hint(harmless(solution)));
            self.context.ui.print_message("");
            self.context.ui.fail(&failure);
        }
        let blocked = report.blocked.iter().map(|it| format!("  {}:{}: {}", it.stack, it.address, it.reason));
        let not_begun = report.not_started.iter().map(|(stack, address)| format!("  {stack}:{address}: not begun"));
        let left: Vec<String> = blocked.chain(not_begun).collect();
        if !left.is_empty() {
            self.context.ui.print_message(&format!("\nnot done:\n{}", left.join("\n")));
        }
        if plan.changes().any(|(_, change)| change.is_in_doubt()) {
            self.context.ui.print_hints(&Failure::reported(Exit::PartlyApplied).hint(RESOLVE));
        }
        let left: Vec<String> =
            report.leftovers.iter().map(|left| format!("  {}", harmless(&left.to_string()))).collect();
        if !left.is_empty() {
            self.context.ui.print_message(&format!("\nleft behind:\n{}", left.join("\n")));
        }
    }
}

impl Applying for Run<'_> {
    type Error = Failure;
    type End = Exit;
    type Progress = Display;

    fn operation(&self) -> Uuid {
        Uuid::now_v7()
    }

    async fn begin(&self, plan: &Plan, _: usize, attempt: Attempt) -> Result<(Applier, Display), Failure> {
        let ui = self.context.ui;
        if self.state.opened().is_missing && (self.is_saved || plan.has_work()) {
            self.refuse(plan).await?;
            self.state.create(self.settings).await?;
        }
        let progress = match (plan.has_work(), self.is_json()) {
            (false, _) => Progress::for_people(ui, true),
            (true, true) => Progress::for_programs(ui, plan.stacks.len() > 1),
            (true, false) => Progress::of_plan(ui, plan),
        };
        if plan.has_work() || self.is_saved {
            self.signals.begin_changes();
        }
        let events = Arc::clone(&progress) as Arc<dyn Events>;
        let ticks = (self.is_json() && plan.has_work()).then(|| tokio::spawn(tick(Arc::clone(&progress))));
        Ok((self.applier(events, attempt), Display { progress, ticks }))
    }

    async fn finish(&self, Display { progress, ticks }: Display, plan: &Plan, report: Option<&Report>) {
        if let Some(ticks) = ticks {
            ticks.abort();
            // Waits until no event can follow the end. The error is the abort.
            let _ = ticks.await;
        }
        let Some(report) = report else { return progress.clear() };
        let ui = self.context.ui;
        for check in report.failed_checks.iter().filter(|_| !self.is_json()) {
            let place = check.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
            ui.print_message(&format!("warning: {}{}", harmless(&check.to_string()), harmless(&place)));
        }
        progress.finish(report, plan.mode == Mode::Destroy, Timestamp::now());
    }

    async fn report_replan(&self, why: Replan<'_>) {
        // A signal during planning ends the command at once.
        self.signals.end_changes();
        let why = match why {
            Replan::Stale(error) | Replan::NotRecovered(error) => error.to_string(),
            Replan::Contended | Replan::StillOwned => "another operation worked on the same resources".to_owned(),
        };
        self.context.ui.print_message(&format!("{why}: planning again"));
    }

    fn gave_up(&self) -> Failure {
        Failure::refused("other operations changed the same resources during each plan").hint("try again later")
    }

    async fn unchanged(&self, plan: &Plan) -> Result<Exit, Failure> {
        if self.is_saved {
            self.print_nothing_to_do(plan)?;
        } else if plan.has_work() {
            self.context.ui.print_note(NOT_RECORDED);
        }
        Ok(Exit::Done)
    }

    async fn applied(&self, plan: &Plan, report: &Report) -> Result<Exit, Failure> {
        let ui = self.context.ui;
        for Ownership { address, stack, .. } in &report.still_owned {
            ui.print_message(&format!(
                "warning: {address} still exists and {stack} still owns it, because all other owners left at the same time; \
                 run this again"
            ));
        }
        if !plan.has_changes() {
            // Refreshed values and order are recorded, but the user did not request them.
            if self.is_saved {
                self.print_nothing_to_do(plan)?;
            }
            return Ok(exit(report));
        }
        if !self.is_json() {
            self.print_failures(report, plan);
            let summary = format!("\n{}\n", summary(report, plan.mode == Mode::Destroy));
            ui.print(&presentation::narrowed_sentence(ui, &summary))?;
            let retained = retained(report, &kept_in_any_case(plan), &self.kept_unless_empty(plan));
            ui.print(&presentation::narrowed(ui, &retained))?;
            if let Some(left) = remaining_deferred(plan) {
                ui.print(&presentation::narrowed_sentence(ui, &format!("{left}\n")))?;
            }
            ui.print(&presentation::narrowed(ui, &public_outputs(plan, report)))?;
        }
        self.report_unstored_outputs(report)?;
        Ok(exit(report))
    }
}

/// Refuses a plan with another digest than `--plan-digest`.
///
/// # Errors
/// When the digests differ.
pub(super) fn check_digest(arguments: &ApplyArguments, seal: &Seal, plan: &Plan) -> Result<(), Failure> {
    let Some(asked) = &arguments.plan_digest else { return Ok(()) };
    // Without a key the digest cannot distinguish secrets.
    if !seal.can_store_new() && file::write(plan, &Seal::without_key(false)).is_err() {
        return Err(Failure::refused("this plan has sensitive values, and a digest needs a state key to cover them")
            .hint("create a key with `terrace init --state-key`, or plan and apply with `--plaintext-secrets`"));
    }
    let digest = file::digest(plan, seal)?;
    if digest == *asked {
        return Ok(());
    }
    Err(Failure::refused(format!("the plan differs from the expected one\n  expected  {asked}\n  actual    {digest}"))
        .hint("review this plan, then pass its digest"))
}

/// The options that consent to each loss of data in a plan; `None` if nothing would be lost without consent.
pub(super) fn consent_options(plan: &Plan) -> Option<String> {
    let named = plan.refused_data_loss().map(|(stack, change, _)| plan.consent_name(stack, change));
    let options: BTreeSet<String> = named.map(|name| format!("--allow-data-loss={}", shell_word(&name))).collect();
    (!options.is_empty()).then(|| options.into_iter().collect::<Vec<_>>().join(" "))
}

/// The remedy for steps in doubt.
const RESOLVE: &str = "resolve the steps in doubt with `terrace recover`";

/// The end of a run whose plan has only steps in doubt, and changes that wait for them.
fn only_in_doubt(plan: &Plan) -> Failure {
    let in_doubt = plan.changes().filter(|(_, change)| change.is_in_doubt());
    let names: Vec<String> = in_doubt
        .map(|(stack, change)| format!("{}:{}", row_stack(&stack.stack, &change.address), change.address))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = format!("nothing was changed: the last step of {} is in doubt", first_of(&names));
    Failure { exit: Exit::PartlyApplied, ..Failure::new(message) }.hint(RESOLVE)
}

/// True if no question is necessary.
fn is_consented(arguments: &ApplyArguments) -> bool {
    arguments.run.auto_approve || arguments.plan_digest.is_some()
}

/// Sends progress events about running steps.
async fn tick(progress: Arc<Progress>) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        progress.tick(Timestamp::now());
    }
}
