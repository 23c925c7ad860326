//! What `apply` and `destroy` share: recover, show, ask, apply, tell what came of it.

mod conclusion;

pub(super) use conclusion::shown;

use super::Context;
use crate::args::{ApplyArguments, PlanFormat};
use crate::failure::{Exit, Failure};
use crate::presentation;
use crate::progress::Progress;
use crate::report::{self, harmless};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::wiring::World;
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
use terrace_engine::render::{still_left, stream};
use terrace_engine::seal::Seal;
use terrace_engine::source::Sources;
use terrace_engine::store::{Ownership, Selection, StateStore};
use uuid::Uuid;

/// How often a plan that nobody has to look at is made anew when others were quicker.
pub(super) const MOST_PLANS: usize = 4;

/// How often programs are told that a step still runs.
const TICK: Duration = Duration::from_secs(1);

/// What is said where nobody can say yes and there is nothing to ask, and something to record all the same.
const NOT_RECORDED: &str =
    "not recorded: what was found, and what comes after what; pass `--auto-approve` to record it";

/// One run of `apply` or `destroy`.
pub(super) struct Run<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) arguments: &'a ApplyArguments,
    pub(super) signals: &'a Signals,
    pub(super) settings: &'a Settings,
    pub(super) world: &'a World,
    /// The plan comes from a file.
    pub(super) is_saved: bool,
}

/// Looks into what a crash cut off, before anything is planned on top of it.
///
/// # Errors
/// When leases cannot be had or the state fails.
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
        registry: &run.world.registry,
        seal: &run.world.seal,
        events: progress.as_ref(),
        cancel: &run.signals.cancel,
        patience: run.settings.patience,
        actor: &run.settings.actor,
    };
    recovery.run(stack, &selection, &Selection::All).await?;
    if run.signals.cancel.is_cancelled() {
        return Err(Failure::told(Exit::Interrupted));
    }
    run.signals.end_changes();
    Ok(())
}

/// What came of applying a plan.
pub(super) enum Applied {
    /// It was applied, with this exit code.
    Ended(Exit),
    /// What it was made from changed before anything was begun.
    Outdated(Failure),
    /// It changes nothing, and somebody was at work on what it is about: what is recorded may be another thing by now.
    Overtaken,
}

impl Run<'_> {
    /// True when consent is there or can be asked for.
    pub(super) fn can_proceed(&self) -> bool {
        self.is_consented() || self.context.ui.can_ask()
    }

    /// True when applying a plan does or records anything. Where nobody can say yes nothing is recorded, not even what
    /// nobody is asked about.
    pub(super) fn has_work(&self, plan: &Plan) -> bool {
        match self.is_saved {
            // What a saved plan only found may be another thing by now.
            true => plan.has_changes() || plan.has_other_order(),
            false => self.can_proceed() && plan.has_work(),
        }
    }

    /// True when nobody has to be asked any more.
    fn is_consented(&self) -> bool {
        self.arguments.run.auto_approve || self.arguments.plan_digest.is_some()
    }

    /// Refuses a plan that is not the one somebody looked at.
    ///
    /// # Errors
    /// When it has another digest than the one that was asked for.
    pub(super) fn check_digest(&self, plan: &Plan) -> Result<(), Failure> {
        let Some(asked) = &self.arguments.plan_digest else { return Ok(()) };
        // What was looked at may have been applied since: nothing is left to do then, and nothing to refuse.
        if !plan.has_changes() && !self.is_saved {
            return Ok(());
        }
        // Without a key there is nothing that tells one secret from another.
        let seal = &self.world.seal;
        if !seal.can_store_new() && file::write(plan, &Seal::without_key(false)).is_err() {
            return Err(Failure::refused(
                "this plan has sensitive values, and without a state key no digest tells them",
            )
            .hint("make a key with `terrace init --state-key`, or plan and apply with `--plaintext-secrets`"));
        }
        let digest = file::digest(plan, &self.world.seal)?;
        if digest == *asked {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "this is another plan than the expected one\n  expected  {asked}\n  actual    {digest}"
        ))
        .hint("look at this plan, and pass its digest"))
    }

    fn is_json(&self) -> bool {
        self.arguments.run.format.is_json()
    }

    /// Shows a plan and what is to be said of it.
    ///
    /// # Errors
    /// When the plan has errors.
    pub(super) fn show(&self, plan: &Plan, sources: &Sources, diagnostics: &[Diagnostic]) -> Result<(), Failure> {
        if self.is_json() {
            presentation::plan_lines(self.context.ui, plan)?;
        } else {
            let view = presentation::PlanView::new(PlanFormat::Human, self.arguments.run.detail);
            presentation::plan(self.context.ui, plan, &view, &self.world.seal)?;
        }
        report::report(self.context.ui, sources, diagnostics);
        if plan.is_errored { Err(Failure::told(Exit::Error)) } else { Ok(()) }
    }

    /// Asks for consent when there is anything to consent to. What is refused anyway is refused before the question.
    ///
    /// # Errors
    /// When it is another plan than the one that was asked for, data would be lost without consent, or the answer is not
    /// yes.
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
        self.context.ui.confirm(question, "look at the plan, then pass `--auto-approve`")
    }

    /// Says that a saved plan changes nothing. What is there was looked at when it was made, not now.
    ///
    /// # Errors
    /// When standard output cannot be written.
    fn say_nothing_to_do(&self, plan: &Plan) -> Result<(), Failure> {
        if self.is_json() {
            return presentation::plan_lines(self.context.ui, plan);
        }
        self.context.ui.print("Nothing to do: the saved plan has no changes.\n")
    }

    fn applier(&self, store: Arc<dyn StateStore>, events: Arc<dyn Events>, plans_again: bool) -> Applier {
        Applier {
            store,
            registry: Arc::clone(&self.world.registry),
            functions: Arc::clone(&self.world.functions),
            seal: Arc::clone(&self.world.seal),
            events,
            cancel: self.signals.cancel.clone(),
            stopped_by: Arc::clone(&self.signals.stopped_by),
            plans_again,
            parallelism: usize::from(self.arguments.run.parallelism),
            patience: self.settings.patience,
            actor: self.settings.actor.clone(),
            first_step: 0,
            looks_again: self.is_saved,
        }
    }

    /// Refuses a plan that cannot be applied to a state, which is only read.
    ///
    /// # Errors
    /// With why it is refused.
    pub(super) async fn refuse(&self, store: &Arc<dyn StateStore>, plan: &Plan) -> Result<(), Failure> {
        let events = Progress::for_people(self.context.ui, true);
        Ok(self.applier(Arc::clone(store), events, false).refuse(plan).await?)
    }

    /// Applies a plan and tells what came of it.
    ///
    /// # Errors
    /// When nothing could be begun, or the state could not be written any more.
    pub(super) async fn apply(&self, store: Arc<dyn StateStore>, plan: &Plan) -> Result<Exit, Failure> {
        match self.try_apply(store, plan, MOST_PLANS).await? {
            Applied::Ended(exit) => Ok(exit),
            Applied::Outdated(failure) => Err(failure),
            Applied::Overtaken => {
                Err(Failure::refused("somebody was at work on this while it was planned").hint("plan again"))
            }
        }
    }

    /// Says that a plan is made anew, where nobody wants to look at it; otherwise it is refused.
    ///
    /// # Errors
    /// With what made the plan outdated.
    pub(super) fn plan_again(&self, outdated: Failure, plans: usize) -> Result<(), Failure> {
        if !self.can_plan_again(plans) {
            return Err(outdated);
        }
        self.context.ui.tell(&format!("{}: planning again", outdated.message.unwrap_or_default()));
        Ok(())
    }

    /// Says that a plan that changes nothing is made anew, which asks again where it comes to changes.
    ///
    /// # Errors
    /// When others were at work each time.
    pub(super) fn say_overtaken(&self, plans: usize) -> Result<(), Failure> {
        if plans >= MOST_PLANS {
            return Err(
                Failure::refused("others were at work on this each time it was planned").hint("try again later")
            );
        }
        self.context.ui.tell("somebody was at work on this: planning again");
        Ok(())
    }

    /// True when the plan of that number may be followed by another one that nobody looks at.
    pub(super) fn can_plan_again(&self, plans: usize) -> bool {
        self.is_consented() && plans < MOST_PLANS
    }

    /// Applies the plan of that number and tells what came of it. Where it is planned again when it is outdated, that is no
    /// failure.
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
                self.context.ui.say(NOT_RECORDED);
            }
            // Somebody may have been cut off since recovery looked. What it leaves the second time is not this command's.
            let is_cut_off = plans == 1 && plan.has_cut_off();
            let is_overtaken = self.can_proceed() && (is_cut_off || self.wait_for_others(store, plan).await?);
            return Ok(if is_overtaken { Applied::Overtaken } else { Applied::Ended(Exit::Done) });
        }
        let ui = self.context.ui;
        self.signals.begin_changes();
        let progress = match self.is_json() {
            true => Progress::for_programs(ui, plan.stacks.len() > 1),
            false => Progress::of_plan(ui, plan),
        };
        let plans_again = self.can_plan_again(plans);
        let applier = self.applier(store, Arc::clone(&progress) as Arc<dyn Events>, plans_again);
        if has_nothing {
            applier.spend(plan).await?;
            self.say_nothing_to_do(plan)?;
            return Ok(Applied::Ended(Exit::Done));
        }
        let applied = ticking(&progress, applier.apply(plan, Uuid::now_v7())).await;
        let report = match applied {
            Ok(report) => report,
            Err(error) => {
                progress.clear();
                // Whoever began a step that was cut off held its lease a moment ago, and is gone: it is recovered first.
                let is_outdated = error.is_outdated() || matches!(error, ApplyError::NotRecovered { .. });
                return if is_outdated { Ok(Applied::Outdated(error.into())) } else { Err(error.into()) };
            }
        };
        for Ownership { address, stack, .. } in &report.still_owned {
            ui.tell(&format!(
                "warning: {address} is still there and {stack} still owns it: all its other owners left at the same time; \
                 run this again"
            ));
        }
        for check in report.failed_checks.iter().filter(|_| !self.is_json()) {
            let place = check.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
            ui.tell(&format!("warning: {}{}", harmless(&check.to_string()), harmless(&place)));
        }
        let is_destroy = plan.mode == Mode::Destroy;
        progress.finish(&report, is_destroy, Timestamp::now());
        if !plan.has_changes() {
            // What was refreshed, and what comes after what, is recorded, and that is nothing that anybody asked for.
            if self.is_saved {
                self.say_nothing_to_do(plan)?;
            }
            return Ok(Applied::Ended(exit(&report)));
        }
        if !self.is_json() {
            self.tell_failures(&report, plan);
            ui.print(&format!("\n{}\n", summary(&report, is_destroy)))?;
            let retained = retained(&report, &kept_in_any_case(plan), &self.kept_unless_empty(plan));
            ui.print(&presentation::narrowed(ui, &retained))?;
            if let Some(left) = still_left(plan) {
                ui.print(&format!("{left}\n"))?;
            }
            ui.print(&presentation::narrowed(ui, &public_outputs(plan, &report)))?;
        }
        self.tell_unstored(&report)?;
        Ok(Applied::Ended(exit(&report)))
    }

    /// True when somebody was at work on what a plan is about that changes nothing, and is not any more.
    async fn wait_for_others(&self, store: Arc<dyn StateStore>, plan: &Plan) -> Result<bool, Failure> {
        let progress = Progress::for_people(self.context.ui, true);
        let applier = self.applier(store, Arc::clone(&progress) as Arc<dyn Events>, false);
        let waited = applier.wait_for_others(plan, Uuid::now_v7()).await;
        progress.clear();
        Ok(waited?)
    }

    /// Why `--remove-data` alone does not remove some of what a plan retains.
    fn kept_unless_empty<'p>(&self, plan: &'p Plan) -> HashMap<Retained<'p>, String> {
        let registry = &self.world.registry;
        let mut kept = HashMap::new();
        for stack in &plan.stacks {
            let retained = || stack.changes.iter().filter(|change| change.action == Action::Retain);
            // What was made within is removed by now, or would be removed before it.
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

    /// Says which outputs were not stored: nobody could tell from what `terrace output` shows.
    fn tell_unstored(&self, report: &Report) -> Result<(), Failure> {
        let notes: Vec<Diagnostic> = report
            .outputs
            .iter()
            .flat_map(|((_, component), values)| values.iter().map(move |(name, value)| (component, name, value)))
            .filter(|(_, _, value)| !self.world.seal.can_store(value))
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

    fn tell_failures(&self, report: &Report, plan: &Plan) {
        for failed in &report.failed {
            let mut text = format!("{}:{}: {}", failed.stack, failed.address, failed.error);
            // A problem that the error ends with is told once.
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
            self.context.ui.tell("");
            self.context.ui.fail(&failure);
        }
        let blocked = report.blocked.iter().map(|it| format!("  {}:{}: {}", it.stack, it.address, it.because));
        let not_begun = report.not_begun.iter().map(|(stack, address)| format!("  {stack}:{address}: not begun"));
        let left: Vec<String> = blocked.chain(not_begun).collect();
        if !left.is_empty() {
            self.context.ui.tell(&format!("\nnot done:\n{}", left.join("\n")));
        }
        let left: Vec<String> = report.left.iter().map(|left| format!("  {}", harmless(&left.to_string()))).collect();
        if !left.is_empty() {
            self.context.ui.tell(&format!("\nleft behind:\n{}", left.join("\n")));
        }
    }
}

/// Runs a future; programs are told meanwhile what still runs.
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
