//! The common part of `apply` and `destroy`: recover, show, ask, apply, report.

mod conclusion;

pub(super) use conclusion::format_value;

use crate::args::{ApplyArguments, PlanFormat};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::presentation;
use crate::progress::Progress;
use crate::report::{self, harmless};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::wiring::EnvironmentContext;
use conclusion::{Retained, append, exit, kept_in_any_case, public_outputs, retained, summary};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::action::Action;
use terrace_engine::address::StackId;
use terrace_engine::apply::{Applier, ApplyError, Report};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::event::Events;
use terrace_engine::plan::{Change, Mode, Note, Plan, file, removed_data, row_stack};
use terrace_engine::recover::Recovery;
use terrace_engine::render::{remaining_deferred, stream};
use terrace_engine::seal::Seal;
use terrace_engine::source::Sources;
use terrace_engine::store::{Ownership, Selection, StateStore};
use uuid::Uuid;

/// Limit of plans in a command with consent, while other operations change the state.
pub(super) const MOST_PLANS: usize = 4;

/// Interval of progress events about running steps, for programs.
const TICK: Duration = Duration::from_secs(1);

/// The note about a plan without changes if the user cannot be asked.
const NOT_RECORDED: &str = "the refreshed state and order were not recorded; pass `--auto-approve` to record them";

/// One run of `apply` or `destroy`.
pub(super) struct Run<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) arguments: &'a ApplyArguments,
    pub(super) signals: &'a Signals,
    pub(super) settings: &'a Settings,
    pub(super) env_context: &'a EnvironmentContext,
    /// True for a plan from a file.
    pub(super) is_saved: bool,
}

/// Recovers interrupted steps before the engine plans.
///
/// # Errors
/// When leases are held, or the state fails.
pub(super) async fn recover_first(
    run: &Run<'_>,
    store: &Arc<dyn StateStore>,
    stack: &StackId,
    components: &BTreeSet<String>,
) -> Result<(), Failure> {
    let selection = if components.is_empty() { Selection::All } else { Selection::Components(components.clone()) };
    run.signals.begin_changes();
    let progress = Progress::for_people(run.context.ui, true);
    let recovery = Recovery {
        store,
        registry: &run.env_context.registry,
        seal: &run.env_context.seal,
        events: progress.as_ref(),
        cancel: &run.signals.cancel,
        lock_timeout: run.settings.lock_timeout,
        actor: &run.settings.actor,
    };
    recovery.run(stack, &selection, &Selection::All).await?;
    if run.signals.cancel.is_cancelled() {
        return Err(Failure::reported(Exit::Interrupted));
    }
    run.signals.end_changes();
    Ok(())
}

/// Outcome of applying a plan.
pub(super) enum Applied {
    /// Applied, with this exit code.
    Ended(Exit),
    /// Stale before the first step.
    Stale(Failure),
    /// Without changes, but another operation worked on its resources: the state may differ now.
    Contended,
}

impl Run<'_> {
    /// True with consent, or if the user can be asked.
    pub(super) fn can_proceed(&self) -> bool {
        self.is_consented() || self.context.ui.can_ask()
    }

    /// True if applying a plan changes an object or the state. Without possible consent nothing is recorded.
    pub(super) fn has_work(&self, plan: &Plan) -> bool {
        match self.is_saved {
            // The refreshed values of a saved plan may be out of date.
            true => plan.has_changes() || plan.changes_order(),
            false => self.can_proceed() && plan.has_work(),
        }
    }

    /// True if no question is necessary.
    fn is_consented(&self) -> bool {
        self.arguments.run.auto_approve || self.arguments.plan_digest.is_some()
    }

    /// Refuses a plan with another digest than `--plan-digest`.
    ///
    /// # Errors
    /// When the digests differ.
    pub(super) fn check_digest(&self, plan: &Plan) -> Result<(), Failure> {
        let Some(asked) = &self.arguments.plan_digest else { return Ok(()) };
        // The reviewed plan may have been applied since: then nothing is left to do or to refuse.
        if !plan.has_changes() && !self.is_saved {
            return Ok(());
        }
        // Without a key the digest cannot distinguish secrets.
        let seal = &self.env_context.seal;
        if !seal.can_store_new() && file::write(plan, &Seal::without_key(false)).is_err() {
            return Err(Failure::refused(
                "this plan has sensitive values, and a digest needs a state key to cover them",
            )
            .hint("create a key with `terrace init --state-key`, or plan and apply with `--plaintext-secrets`"));
        }
        let digest = file::digest(plan, &self.env_context.seal)?;
        if digest == *asked {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "the plan differs from the expected one\n  expected  {asked}\n  actual    {digest}"
        ))
        .hint("review this plan, then pass its digest"))
    }

    fn is_json(&self) -> bool {
        self.arguments.run.format.is_json()
    }

    /// Shows a plan and its diagnostics.
    ///
    /// # Errors
    /// When the plan has errors.
    pub(super) fn show(&self, plan: &Plan, sources: &Sources, diagnostics: &[Diagnostic]) -> Result<(), Failure> {
        if self.is_json() {
            presentation::print_plan_lines(self.context.ui, plan)?;
        } else {
            let view = presentation::PlanView::new(PlanFormat::Human, self.arguments.run.detail);
            presentation::print_plan(self.context.ui, plan, &view, &self.env_context.seal)?;
        }
        report::report(self.context.ui, sources, diagnostics);
        if plan.is_errored { Err(Failure::reported(Exit::Error)) } else { Ok(()) }
    }

    /// Asks for consent if the plan has changes. Refuses first, so that the user answers no question in vain.
    ///
    /// # Errors
    /// When the digest differs, data would be lost without consent, or the answer is no.
    pub(super) fn consent(&self, plan: &Plan, question: &str) -> Result<(), Failure> {
        self.check_digest(plan)?;
        let lost: Vec<String> = plan
            .refused_data_loss()
            .map(|(stack, change, loss)| {
                let amount = loss.amount.as_deref().unwrap_or("data");
                format!("{}:{} would lose {amount}: {}", stack.stack, change.address, loss.reasons.join(", "))
            })
            .collect();
        if let Some((stack, change, _)) = plan.refused_data_loss().next() {
            let refused = Failure::refused(format!("data would be lost\n  {}", lost.join("\n  "))).hint(format!(
                "consent with `--allow-data-loss='{}'`, or everywhere with `--allow-data-loss`",
                plan.consent_name(stack, change)
            ));
            let kept =
                plan.refused_data_loss().filter_map(|(_, change, loss)| Some((change, loss.only_empty.as_ref()?)));
            return Err(kept.fold(refused, |refused, (change, why)| {
                refused.hint(format!("consent is not enough for `{}`: {why}", change.address))
            }));
        }
        if !plan.has_changes() || self.is_consented() {
            return Ok(());
        }
        self.context.ui.confirm(question, "review the plan, then pass `--auto-approve`")
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

    fn applier(&self, store: Arc<dyn StateStore>, events: Arc<dyn Events>, replans_if_stale: bool) -> Applier {
        Applier {
            store,
            registry: Arc::clone(&self.env_context.registry),
            functions: Arc::clone(&self.env_context.functions),
            seal: Arc::clone(&self.env_context.seal),
            events,
            cancel: self.signals.cancel.clone(),
            stopped_by: Arc::clone(&self.signals.stopped_by),
            replans_if_stale,
            parallelism: usize::from(self.arguments.run.parallelism),
            lock_timeout: self.settings.lock_timeout,
            actor: self.settings.actor.clone(),
            first_step: 0,
            rereads_objects: self.is_saved,
        }
    }

    /// Refuses a plan that cannot be applied. Only reads the state.
    ///
    /// # Errors
    /// With the reason of the refusal.
    pub(super) async fn refuse(&self, store: &Arc<dyn StateStore>, plan: &Plan) -> Result<(), ApplyError> {
        let events = Progress::for_people(self.context.ui, true);
        self.applier(Arc::clone(store), events, false).refuse(plan).await
    }

    /// Applies a plan and reports its outcome.
    ///
    /// # Errors
    /// When no step could start, or the state could no longer be written.
    pub(super) async fn apply(&self, store: Arc<dyn StateStore>, plan: &Plan) -> Result<Exit, Failure> {
        match self.try_apply(store, plan, MOST_PLANS).await? {
            Applied::Ended(exit) => Ok(exit),
            Applied::Stale(failure) => Err(failure),
            Applied::Contended => {
                Err(Failure::refused("another operation changed the same resources during planning").hint("plan again"))
            }
        }
    }

    /// Reports that the command plans again, if it has consent; otherwise refuses.
    ///
    /// # Errors
    /// With the reason why the plan is stale.
    pub(super) fn replan(&self, stale: Failure, plans: usize) -> Result<(), Failure> {
        if !self.can_replan(plans) {
            return Err(stale);
        }
        self.context.ui.print_message(&format!("{}: planning again", stale.message.unwrap_or_default()));
        Ok(())
    }

    /// Reports that a plan without changes is computed again. If the next plan has changes, the command asks again.
    ///
    /// # Errors
    /// When other operations interfered each time.
    pub(super) fn report_contention(&self, plans: usize) -> Result<(), Failure> {
        if plans >= MOST_PLANS {
            return Err(Failure::refused("other operations changed the same resources during each plan")
                .hint("try again later"));
        }
        self.context.ui.print_message("another operation worked on the same resources: planning again");
        Ok(())
    }

    /// True if the command may plan again without a review.
    pub(super) fn can_replan(&self, plans: usize) -> bool {
        self.is_consented() && plans < MOST_PLANS
    }

    /// Applies the plan of that number and reports its outcome. A stale plan does not fail if the command plans again.
    ///
    /// # Errors
    /// As [`Run::apply`].
    pub(super) async fn try_apply(
        &self,
        store: Arc<dyn StateStore>,
        plan: &Plan,
        plans: usize,
    ) -> Result<Applied, Failure> {
        let has_nothing = !self.has_work(plan);
        if has_nothing && !self.is_saved {
            if plan.has_work() {
                self.context.ui.print_note(NOT_RECORDED);
            }
            // A step may have been interrupted since recovery. From the second plan on, such steps are left to another
            // command.
            let has_interrupted_step = plans == 1 && plan.has_interrupted_steps();
            let is_contended =
                self.can_proceed() && (has_interrupted_step || self.wait_for_contenders(store, plan).await?);
            return Ok(if is_contended { Applied::Contended } else { Applied::Ended(Exit::Done) });
        }
        let ui = self.context.ui;
        self.signals.begin_changes();
        let progress = match self.is_json() {
            true => Progress::for_programs(ui, plan.stacks.len() > 1),
            false => Progress::of_plan(ui, plan),
        };
        let replans_if_stale = self.can_replan(plans);
        let applier = self.applier(store, Arc::clone(&progress) as Arc<dyn Events>, replans_if_stale);
        if has_nothing {
            applier.spend(plan).await?;
            self.print_nothing_to_do(plan)?;
            return Ok(Applied::Ended(Exit::Done));
        }
        let applied = ticking(&progress, applier.apply(plan, Uuid::now_v7())).await;
        let report = match applied {
            Ok(report) => report,
            Err(error) => {
                progress.clear();
                // The operation of an unrecovered step held its lease a moment ago, and is gone: recover its step
                // first.
                let is_stale = error.is_stale() || matches!(error, ApplyError::NotRecovered { .. });
                return if is_stale { Ok(Applied::Stale(error.into())) } else { Err(error.into()) };
            }
        };
        for Ownership { address, stack, .. } in &report.still_owned {
            ui.print_message(&format!(
                "warning: {address} still exists and {stack} still owns it, because all other owners left at the same time; \
                 run this again"
            ));
        }
        for check in report.failed_checks.iter().filter(|_| !self.is_json()) {
            let place = check.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
            ui.print_message(&format!("warning: {}{}", harmless(&check.to_string()), harmless(&place)));
        }
        let is_destroy = plan.mode == Mode::Destroy;
        progress.finish(&report, is_destroy, Timestamp::now());
        if !plan.has_changes() {
            // Refreshed values and order are recorded, but the user did not request them.
            if self.is_saved {
                self.print_nothing_to_do(plan)?;
            }
            return Ok(Applied::Ended(exit(&report)));
        }
        if !self.is_json() {
            self.print_failures(&report, plan);
            ui.print(&format!("\n{}\n", summary(&report, is_destroy)))?;
            let retained = retained(&report, &kept_in_any_case(plan), &self.kept_unless_empty(plan));
            ui.print(&presentation::narrowed(ui, &retained))?;
            if let Some(left) = remaining_deferred(plan) {
                ui.print(&format!("{left}\n"))?;
            }
            ui.print(&presentation::narrowed(ui, &public_outputs(plan, &report)))?;
        }
        self.report_unstored_outputs(&report)?;
        Ok(Applied::Ended(exit(&report)))
    }

    /// Waits for other operations on the resources of a plan without changes. True if there were any, and they ended.
    async fn wait_for_contenders(&self, store: Arc<dyn StateStore>, plan: &Plan) -> Result<bool, Failure> {
        let progress = Progress::for_people(self.context.ui, true);
        let applier = self.applier(store, Arc::clone(&progress) as Arc<dyn Events>, false);
        let waited = applier.wait_for_contenders(plan, Uuid::now_v7()).await;
        progress.clear();
        Ok(waited?)
    }

    /// Reasons why `--remove-data` alone does not remove some retained objects.
    fn kept_unless_empty<'p>(&self, plan: &'p Plan) -> HashMap<Retained<'p>, String> {
        let registry = &self.env_context.registry;
        let mut kept = HashMap::new();
        for stack in &plan.stacks {
            let retained = || stack.changes.iter().filter(|change| change.action == Action::Retain);
            // Objects inside these are removed before or with them.
            let going = stack.changes.iter();
            let going = going.filter(|change| change.action == Action::Retain || change.action.removes_object());
            let emptied = removed_data::emptied(registry, going);
            let why = |change: &Change| {
                let (_, ty) = registry.resource_type(&change.address.ty)?;
                ty.kept_unless_empty(&change.prior.as_ref()?.attributes)
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
            .filter(|(_, _, value)| !self.env_context.seal.can_store(value))
            .map(|(component, name, _)| {
                let name = super::output::qualified(component, name);
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
        let left: Vec<String> =
            report.leftovers.iter().map(|left| format!("  {}", harmless(&left.to_string()))).collect();
        if !left.is_empty() {
            self.context.ui.print_message(&format!("\nleft behind:\n{}", left.join("\n")));
        }
    }
}

/// Runs a future, and sends progress events about running steps meanwhile.
async fn ticking<T>(progress: &Progress, future: impl Future<Output = T>) -> T {
    tokio::pin!(future);
    let mut interval = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            biased;
            output = &mut future => return output,
            _ = interval.tick() => progress.tick(Timestamp::now()),
        }
    }
}
