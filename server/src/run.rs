//! One request from its claim to its end: recovery of interrupted steps, then planning and applying.

mod component_info;
mod contention;
mod failure;
mod log_dedup;
mod progress;
mod unfinished;

use crate::access::Expected;
use crate::answer::{Messages, OTHER_ACCESS, Refusal, errors, warnings};
use crate::approved::Approved;
use crate::claim_heartbeat::{TERM, is_to_stop};
use crate::drifting;
use crate::environments::Environments;
use crate::logbook::Logbook;
use crate::metrics;
use crate::outcome::{Outcome, PlanMade};
use crate::queue::{MOST_DEATHS, Request, VALIDATE};
use crate::request_context::{By, Purpose, RequestContext};
use crate::reverse_provisioning;
use crate::serve::Shared;
use crate::witboost::{ProvisioningRequest, ValidationResult};
use contention::shared_in;
use failure::Failure;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::apply::{Applier, ApplyError, Report};
use terrace_engine::event::Events;
use terrace_engine::plan::access::Grantees;
use terrace_engine::plan::compute::{Computed, Options};
use terrace_engine::plan::{Plan, file};
use terrace_engine::render::markdown::Markdown;
use terrace_engine::render::steps::Steps;
use terrace_engine::render::{self, human};
use terrace_engine::store::{OperationStatus, RequestClaim, RequestEnd, ServerStore, StateStore, StoreError};
use tokio_util::sync::CancellationToken;
use unfinished::{Unfinished, first_of};
use uuid::Uuid;

/// The most plans of one request while other operations change the state.
const MOST_PLANS: usize = 4;

/// How long a worker waits for a lease before it releases the request.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The back-off of a request after the first attempt.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest back-off.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause between attempts to release a claim while the store is unavailable.
const AGAIN: Duration = Duration::from_secs(1);

/// The most attempts at a request that this server cannot read, or whose end the store refuses.
const MOST_TRIES: u64 = 8;

/// The goal of a request.
enum Goal {
    /// Provision the descriptor.
    Made,
    /// Remove its objects, and their data if requested.
    Gone { with_data: bool },
    /// Set the access to existing objects.
    Granted(Grantees),
}

impl Goal {
    /// The purpose for which the descriptor is read.
    const fn purpose(&self) -> Purpose {
        match self {
            Self::Gone { .. } => Purpose::Remove,
            Self::Made | Self::Granted(_) => Purpose::Make,
        }
    }
}

fn goal_of(request: &ProvisioningRequest, destroy: bool) -> Goal {
    if destroy { Goal::Gone { with_data: request.remove_data } } else { Goal::Made }
}

/// A request in progress.
struct Run<'a> {
    shared: &'a Shared,
    /// The environments, within the limits of this request.
    worlds: &'a Environments,
    claim: &'a RequestClaim,
    /// Set when no new step may start.
    cancel: &'a CancellationToken,
    /// Set when the claim is lost: then no call at all may start.
    lost: &'a CancellationToken,
    log: Logbook,
}

/// Signals that end the work on a request early.
#[derive(Clone, Copy)]
pub(crate) struct Stops<'a> {
    /// Set on a cancellation, and when the claim is lost.
    pub(crate) asked: &'a CancellationToken,
    /// Set when the claim is lost.
    pub(crate) lost: &'a CancellationToken,
}

/// Runs a request. Returns its end, or `None` if it has to be claimed again.
pub(crate) async fn carry_out(
    shared: &Arc<Shared>,
    worlds: &Environments,
    claim: &RequestClaim,
    asked: Result<Request, Refusal>,
    Stops { asked: cancel, lost }: Stops<'_>,
) -> Option<RequestEnd> {
    let log = Logbook { store: Arc::clone(&shared.store), operation: claim.operation };
    let run = Run { shared, worlds, claim, cancel, lost, log };
    if let Some(last) = claim.deaths.last() {
        let (count, most) = (claim.deaths.len(), MOST_DEATHS);
        let message = format!("`{last}` died while it worked on this request: attempt {} of {most}", count + 1);
        run.tell_once("queue", vec![("WARNING", message)]).await;
    }
    if is_to_stop(shared, claim.operation).await {
        cancel.cancel();
        if claim.next_step == 0 {
            return Some(RequestEnd::called_off());
        }
    }
    let performed = match asked {
        // Another server may know its sealing key, or be new enough to read it.
        Err(refusal) => Err(Failure::Store(refusal.problems().join("\n"))),
        Ok(asked) if asked.only_looks() => tokio::select! {
            performed = run.perform(asked) => performed,
            () = cancel.cancelled() => return Some(stopped("stopped")),
        },
        Ok(asked) => run.perform(asked).await,
    };
    if shared.judging.has_grown(worlds.limits()) {
        return None;
    }
    let problems = match performed {
        Ok((status, summary, outcome)) => return Some(ended(status, summary, &outcome)),
        Err(Failure::Stopped) => return Some(stopped(&run.stopped_before_the_end().await)),
        // A cancelled request does not wait for a lease.
        Err(Failure::Held(_)) if cancel.is_cancelled() => return Some(stopped(&run.stopped_before_the_end().await)),
        Err(Failure::Store(problem)) if shared.unworkable.once_more(claim.operation) < MOST_TRIES => {
            tracing::warn!(operation = %claim.operation, error = problem, "cannot run a request now");
            // The store may recover before the claim expires. Otherwise the claim expires.
            run.give_back().await;
            return None;
        }
        // Waiting does not need a worker: any worker claims the request after the back-off.
        Err(Failure::Held(held)) if run.may_wait().await => {
            // The request was readable, and the store answered.
            shared.unworkable.forget(claim.operation);
            run.tell_once("queue", vec![("INFO", format!("waiting: {held}"))]).await;
            run.give_back().await;
            return None;
        }
        Err(Failure::Store(problem) | Failure::Held(problem)) => vec![problem],
        Err(Failure::Told(problems)) => problems,
    };
    for problem in &problems {
        run.log.line("ERROR", "plan", problem).await;
    }
    let result = problems.join("\n");
    let summary = problems.into_iter().next().unwrap_or_default();
    Some(ended(OperationStatus::Failed, summary, &Outcome { result, ..Outcome::default() }))
}

fn stopped(summary: &str) -> RequestEnd {
    ended(OperationStatus::Interrupted, summary.to_owned(), &Outcome::default())
}

/// The hint for a request that servers died of.
pub(crate) const AFTER_DEATHS: &str = "find out why those processes ended (a memory limit, a kill, a crash), then send a smaller \
         request, or the same one to a server with more memory";

/// The end of a request that servers died of.
pub(crate) fn deadly(claim: &RequestClaim) -> RequestEnd {
    let names = claim.deaths.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let count = claim.deaths.len();
    let summary = format!("gave up: {count} server processes died while they worked on this request ({names})");
    tracing::error!(operation = %claim.operation, deaths = count, "giving up a request: servers died of it");
    let result = format!("{summary}\n{AFTER_DEATHS}");
    let of_validation = || ValidationResult::of(Messages { errors: vec![result.clone()], warnings: Vec::new() }, None);
    let validation = (claim.kind == VALIDATE).then(of_validation);
    ended(OperationStatus::Failed, summary, &Outcome { validation, result, ..Outcome::default() })
}

/// The end of a request that panicked. A retry would panic again.
pub(crate) fn broke_off(operation: Uuid) -> RequestEnd {
    tracing::error!(%operation, "a request panicked: this is a bug in terrace");
    let summary = format!("this is a bug in terrace: search its log for {operation}");
    ended(OperationStatus::Failed, summary.clone(), &Outcome { result: summary, ..Outcome::default() })
}

fn ended(status: OperationStatus, summary: String, outcome: &Outcome) -> RequestEnd {
    // Texts, and maps with text keys, always serialise.
    let result = serde_json::to_string(outcome).unwrap_or_else(|_| "{}".to_owned());
    // An applicable plan is applied later, from the stored request.
    let keeps_body = outcome.plan.as_ref().is_some_and(|plan| plan.is_applicable);
    RequestEnd { status, summary, result, keeps_body }
}

impl Run<'_> {
    async fn perform(&self, asked: Request) -> Result<(OperationStatus, String, Outcome), Failure> {
        let from = (self.worlds, self.shared.store.as_ref());
        match asked {
            Request::Validate(request) => match RequestContext::read(from, &request, Purpose::Make, By::Worker).await {
                Ok(described) => self.validate(&described).await,
                Err(refusal @ Refusal::Invalid(_)) => Ok(invalid(refusal.told())),
                Err(refusal) => Err(refusal.into()),
            },
            Request::Provision(request) => {
                let described = RequestContext::read(from, &request, Purpose::Make, By::Worker).await?;
                self.log_valid(&described).await;
                self.apply(&described, &Goal::Made).await
            }
            Request::Unprovision(request) => {
                let described = RequestContext::read(from, &request, Purpose::Remove, By::Worker).await?;
                self.apply(&described, &Goal::Gone { with_data: request.remove_data }).await
            }
            Request::Access { request, access, expected, .. } => {
                let described = RequestContext::read(from, &request, Purpose::Make, By::Worker).await?;
                let component = described.components.first().cloned().unwrap_or_default();
                // A resumed operation may have written the access list itself.
                if let Some(expected) = expected.filter(|_| self.claim.next_step == 0) {
                    let rows = self.shared.store.components(&described.stack).await?;
                    let found = rows.into_iter().find(|row| row.key == component).and_then(|row| row.access);
                    let is_its_own = self.claim.fence > 1 && found.as_ref() == Some(&access);
                    if !is_its_own && expected != Expected::of(found) {
                        return Err(Failure::Told(vec![OTHER_ACCESS.to_owned()]));
                    }
                }
                let grantees = Grantees { component, access };
                let (status, summary, outcome) = self.apply(&described, &Goal::Granted(grantees.clone())).await?;
                Ok(match described.nobody_is_let_in(&grantees).filter(|_| status == OperationStatus::Completed) {
                    Some(result) => {
                        (OperationStatus::Failed, "no principal got access".to_owned(), Outcome { result, ..outcome })
                    }
                    None => (status, summary, outcome),
                })
            }
            Request::Plan { request, destroy, beside } => {
                let goal = goal_of(&request, destroy);
                let described =
                    RequestContext::read_beside(from, &request, &beside, goal.purpose(), By::Worker).await?;
                self.show(&described, &goal).await
            }
            Request::Apply { request, destroy, approved, beside, plan } => {
                let goal = goal_of(&request, destroy);
                let described =
                    RequestContext::read_beside(from, &request, &beside, goal.purpose(), By::Worker).await?;
                let (status, summary, outcome) = self.apply_only(&described, &goal, Some(&approved)).await?;
                Ok((status, summary, Outcome { applied: plan, ..outcome }))
            }
            Request::Drift { stack, .. } => {
                let found = drifting::look(self.shared, self.store().as_ref(), &stack).await?;
                if let (Some(webhook), false) = (&self.shared.settings.webhook, found.drifted.is_empty()) {
                    tokio::spawn(webhook.clone().tell(self.claim.operation, stack, found.clone()));
                }
                let summary = match found.drifted.len() {
                    0 => "no drift".to_owned(),
                    count => format!("{count} resources differ from the state"),
                };
                Ok((OperationStatus::Completed, summary, Outcome { drift: Some(found), ..Outcome::default() }))
            }
            Request::Reverse(question) => {
                let updates = reverse_provisioning::updates(self.worlds, question).await?;
                let outcome = Outcome { updates, ..Outcome::default() };
                Ok((OperationStatus::Completed, "looked up".to_owned(), outcome))
            }
        }
    }

    /// The errors of a descriptor, or its plan.
    async fn validate(&self, described: &RequestContext<'_>) -> Result<(OperationStatus, String, Outcome), Failure> {
        let found =
            described.validate(self.shared.nothing.as_ref()).await.map_err(|it| Failure::Told(it.problems()))?;
        let messages = Messages::of(&found, &described.sources);
        if !messages.errors.is_empty() {
            return Ok(invalid(messages));
        }
        // The planner assumes the planned outputs of siblings that are not deployed yet.
        let options = Options { assumes_siblings: true, ..described.options(false) };
        let computed = self.plan_by(described, &Goal::Made, options).await?;
        let errors = errors(&computed.diagnostics, &described.sources);
        let messages = Messages { errors, warnings: warnings(&computed.plan.notes) };
        self.log.lines("validate", messages.warnings.iter().map(|warning| ("WARNING", warning.as_str()))).await;
        let validation = ValidationResult::of(messages, Some(summary_of(&computed.plan)));
        let outcome = Outcome { validation: Some(validation), ..Outcome::default() };
        Ok((OperationStatus::Completed, "validated".to_owned(), outcome))
    }

    async fn plan(&self, described: &RequestContext<'_>, goal: &Goal) -> Result<Computed, Failure> {
        let (access, removes_data) = match goal {
            Goal::Granted(grantees) => (Some(grantees.clone()), false),
            Goal::Gone { with_data } => (None, *with_data),
            Goal::Made => (None, false),
        };
        let mut options = Options { access, ..described.options(removes_data) };
        if self.claim.next_step > 0 {
            options.allow_data_loss = options.allow_data_loss.of_what_is_left();
        }
        self.plan_by(described, goal, options).await
    }

    async fn plan_by(
        &self,
        described: &RequestContext<'_>,
        goal: &Goal,
        options: Options,
    ) -> Result<Computed, Failure> {
        let store = self.store();
        let planner = described.planner(store.as_ref(), &options);
        let (compiled, origin) = (described.compiled.as_slice(), described.origin());
        let mut computed = match goal {
            Goal::Gone { .. } => {
                planner.plan_destroy_described(std::slice::from_ref(&described.stack), compiled, origin).await?
            }
            Goal::Made | Goal::Granted(_) => planner.plan(compiled, origin).await?,
        };
        computed.plan.note_before(&described.warnings, &described.sources);
        Ok(computed)
    }

    /// A plan in its representations for people and programs.
    async fn show(
        &self,
        described: &RequestContext<'_>,
        goal: &Goal,
    ) -> Result<(OperationStatus, String, Outcome), Failure> {
        let computed = self.plan(described, goal).await?;
        let plan = &computed.plan;
        let digest = file::digest(plan, &described.world.seal)?;
        let command = format!("GET /api/v1/plans/{}", self.claim.operation);
        let markdown = Markdown {
            max_chars: Markdown::DEFAULT_CHARS,
            max_bytes: Markdown::DEFAULT_BYTES,
            digest: &digest,
            command: &command,
        };
        let made = PlanMade {
            is_applicable: !plan.is_errored && plan.refused_data_loss().next().is_none(),
            losses: failure::losses(plan),
            json: render::json::plan(plan, &digest),
            markdown: render::markdown::plan(plan, &markdown),
            text: human::plan(plan, &view(human::Detail::default())),
            approved: Approved::new(digest, plan),
        };
        let result = errors(&computed.diagnostics, &described.sources).join("\n");
        let outcome = Outcome { plan: Some(made), result, ..Outcome::default() };
        Ok((OperationStatus::Completed, "planned".to_owned(), outcome))
    }

    async fn apply(
        &self,
        described: &RequestContext<'_>,
        goal: &Goal,
    ) -> Result<(OperationStatus, String, Outcome), Failure> {
        self.apply_only(described, goal, None).await
    }

    /// Plans and applies. If a plan was approved, applies only that one, or the rest of it.
    async fn apply_only(
        &self,
        described: &RequestContext<'_>,
        goal: &Goal,
        approved: Option<&Approved>,
    ) -> Result<(OperationStatus, String, Outcome), Failure> {
        self.recover(described, BTreeSet::new()).await?;
        for plans in 1.. {
            let computed = self.plan(described, goal).await?;
            self.log_plan(&computed.plan).await;
            if computed.plan.is_errored {
                return Err(Failure::Told(errors(&computed.diagnostics, &described.sources)));
            }
            if let Some(approved) = approved
                && !file::has_digest(&computed.plan, &described.world.seal, &approved.digest)?
                && !(self.claim.next_step > 0 && approved.leaves(&computed.plan))
            {
                return Err(Failure::Told(vec![approved.outdated(&computed.plan)]));
            }
            if !computed.plan.has_work() {
                if self.others_changed(described, &computed.plan, plans).await? {
                    self.log.line("INFO", "plan", "another operation was running: planning again").await;
                    continue;
                }
                let outcome = Outcome {
                    info: Some(component_info::info(self.store().as_ref(), described).await?),
                    ..Outcome::default()
                };
                let done = self.done_in_all().await?.map(|count| format!("{count} done"));
                return Ok((OperationStatus::Completed, done.unwrap_or_else(|| "nothing to do".to_owned()), outcome));
            }
            let can_plan_again = plans < MOST_PLANS;
            if self.cancel.is_cancelled() {
                return Err(Failure::Stopped);
            }
            let (events, following) = self.log.follow(Steps::of_plan(&computed.plan));
            let applier = self.applier(described, plans, can_plan_again, events).await?;
            let applied = applier.apply(&computed.plan, self.claim.operation).await;
            following.end().await;
            match applied {
                Ok(report) => {
                    metrics::steps(report.done.len(), report.failed.len());
                    for check in &report.failed_checks {
                        self.log.line("WARNING", "apply", &check.to_string()).await;
                    }
                    // All owners left at the same moment: planning again determines the last one.
                    if can_plan_again && !report.still_owned.is_empty() && approved.is_none() {
                        self.log.line("INFO", "plan", "all owners of a shared object left: planning again").await;
                        continue;
                    }
                    return self.conclude(described, &computed.plan, &report).await;
                }
                Err(error) if can_plan_again && error.is_outdated() => {
                    self.log.line("INFO", "plan", &format!("{error}: planning again")).await;
                }
                // The operation that started the step held its lease a moment ago, and is gone.
                Err(error @ ApplyError::NotRecovered { .. }) if can_plan_again => {
                    self.log.line("INFO", "recover", &error.to_string()).await;
                    self.recover(described, shared_in(&computed.plan)).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Told(vec!["the state kept changing: gave up after 4 plans".to_owned()]))
    }

    /// Releases the claim: the request is queued again after a back-off that grows with the number of attempts. While
    /// the store is unavailable, it retries until the claim expires.
    async fn give_back(&self) {
        let tries = u32::try_from(self.claim.fence).unwrap_or(u32::MAX);
        let pause = PAUSE.saturating_mul(tries).min(LONGEST_PAUSE);
        let begun = tokio::time::Instant::now();
        while let Err(error) = self.shared.store.give_back(self.claim, pause).await {
            let is_over = matches!(error, StoreError::ClaimLost(_)) || begun.elapsed() >= TERM;
            if is_over || self.lost.is_cancelled() || self.shared.stop.is_cancelled() {
                tracing::debug!(operation = %self.claim.operation, %error, "cannot release a claim: it will expire");
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Whether the request may wait longer for leases of others.
    async fn may_wait(&self) -> bool {
        let Ok(Some((operation, _))) = self.store().operation(self.claim.operation).await else { return true };
        let Ok(now) = self.store().now().await else { return true };
        let waited = now.duration_since(operation.started_at);
        Duration::try_from(waited).unwrap_or_default() < self.shared.settings.patience
    }

    async fn applier(
        &self,
        described: &RequestContext<'_>,
        plans: usize,
        plans_again: bool,
        events: Arc<dyn Events>,
    ) -> Result<Applier, Failure> {
        // Steps of an earlier plan of this run count, too.
        let first_step = match plans {
            1 => self.claim.next_step,
            _ => self.steps().await?.iter().map(|step| step.step.saturating_add(1)).max().unwrap_or_default(),
        };
        let world = described.world;
        Ok(Applier {
            store: self.store(),
            registry: Arc::clone(&world.registry),
            functions: Arc::clone(&world.functions),
            seal: Arc::clone(&world.seal),
            events,
            cancel: self.cancel.clone(),
            stopped_by: Arc::default(),
            plans_again,
            parallelism: self.shared.settings.parallelism,
            patience: self.shared.settings.patience.min(AT_ONCE),
            actor: self.shared.settings.actor.clone(),
            first_step,
            looks_again: false,
        })
    }

    async fn conclude(
        &self,
        described: &RequestContext<'_>,
        plan: &Plan,
        report: &Report,
    ) -> Result<(OperationStatus, String, Outcome), Failure> {
        let Unfinished { why, doubts } = Unfinished::of(plan, report);
        // The log has the failures already.
        self.log.lines("apply", doubts.iter().map(|doubt| ("ERROR", doubt.as_str()))).await;
        let (result, others) = first_of(why);
        self.log.lines("apply", others.iter().map(|other| ("ERROR", other.as_str()))).await;
        let mut info = component_info::info(self.store().as_ref(), described).await?;
        if report.status() != OperationStatus::Completed {
            // The state has the requested principals; which of them got access is unknown.
            info.acl_info = None;
        }
        let done = self.done_in_all().await?.unwrap_or(report.done.len());
        Ok((report.status(), report.summary_with(done), Outcome { result, info: Some(info), ..Outcome::default() }))
    }

    fn store(&self) -> Arc<dyn StateStore> {
        Arc::<dyn ServerStore>::clone(&self.shared.store)
    }

    async fn log_valid(&self, described: &RequestContext<'_>) {
        let Some(compiled) = &described.compiled else { return };
        let chosen = compiled.components.iter().filter(|component| component.blueprint.is_some());
        let lines = chosen.map(|component| {
            let blueprint = component.blueprint.as_deref().unwrap_or_default();
            ("INFO", format!("`{}` is valid: the blueprint is {blueprint}", component.key))
        });
        self.tell_once("validate", lines.collect()).await;
    }

    async fn log_plan(&self, plan: &Plan) {
        let text = human::plan(plan, &view(human::Detail::Compact));
        let shown = text.lines().filter(|line| !line.trim().is_empty()).map(|line| ("INFO", line.to_owned()));
        let warnings = warnings(&plan.notes).into_iter().map(|warning| ("WARNING", warning));
        self.tell_once("plan", shown.chain(warnings).collect()).await;
    }
}

fn invalid(messages: Messages) -> (OperationStatus, String, Outcome) {
    let validation = Some(ValidationResult::of(messages, None));
    (OperationStatus::Completed, "not valid".to_owned(), Outcome { validation, ..Outcome::default() })
}

/// A summary of the plan for people.
fn summary_of(plan: &Plan) -> Json {
    let view = view(human::Detail::Compact);
    json!({"text": human::plan(plan, &view), "has_changes": plan.has_changes(), "counts": plan.counts()})
}

fn view(detail: human::Detail) -> human::Human {
    human::Human { color: false, width: 0, detail }
}
