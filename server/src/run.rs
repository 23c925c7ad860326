//! One request from its claim to its end: recovery of interrupted steps, then planning and applying.

mod component_info;
mod failure;
mod lifetimes;
mod log_dedup;
mod progress;
mod recovery;
mod unfinished;

use crate::access::Expected;
use crate::answer::{Messages, OTHER_ACCESS, Refusal, errors, warnings};
use crate::approved::Approved;
use crate::claim_heartbeat::{TERM, must_stop};
use crate::environments::Environments;
use crate::operation_log::{BackgroundWriter, OperationLog};
use crate::outcome::{Outcome, RenderedPlan};
use crate::pipelines::PipelinesCaller;
use crate::request::{Request, VALIDATE};
use crate::request_context::{Purpose, RequestContext, Requester};
use crate::shared::Shared;
use crate::witboost::{ProvisioningRequest, ValidationResult};
use crate::{drift_scan, metrics, reverse_provisioning};
use failure::Failure;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::access::Grantees;
use terrace_engine::address::Address;
use terrace_engine::apply::{Applier, Attempt, Report};
use terrace_engine::driver::{self, Applying, Approval, MOST_PLANS, Planning, Replan};
use terrace_engine::engine::Execution;
use terrace_engine::plan::compute::Computed;
use terrace_engine::plan::options::Options;
use terrace_engine::plan::{Plan, file};
use terrace_engine::render::markdown::Markdown;
use terrace_engine::render::steps::Steps;
use terrace_engine::render::{self, human};
use terrace_engine::store::{OperationStatus, RequestClaim, RequestEnd, ServerStore, StateStore, StoreError};
use tokio_util::sync::CancellationToken;
use unfinished::{Unfinished, split_reasons};
use uuid::Uuid;

/// How long a worker waits for a lease before it releases the request.
const LEASE_WAIT: Duration = Duration::from_secs(5);

/// The back-off of a request after the first attempt.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest back-off.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause between attempts to release a claim while the store is unavailable.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// After this many dead servers, a request fails.
pub(crate) const MOST_DEATHS: usize = 3;

/// The most attempts at a request that this server cannot read, or whose end the store refuses.
const MOST_TRIES: u64 = 8;

/// The goal of a request.
enum Goal {
    /// Provision the descriptor.
    Provisioned,
    /// Remove its objects, and their data if requested.
    Removed { with_data: bool },
    /// Set the access to existing objects.
    AccessSet(Grantees),
}

impl Goal {
    /// The purpose for which the descriptor is read.
    const fn purpose(&self) -> Purpose {
        match self {
            Self::Removed { .. } => Purpose::Remove,
            Self::Provisioned | Self::AccessSet(_) => Purpose::Provision,
        }
    }
}

fn goal_of(request: &ProvisioningRequest, destroy: bool) -> Goal {
    if destroy { Goal::Removed { with_data: request.remove_data } } else { Goal::Provisioned }
}

/// A request in progress.
struct Run<'a> {
    shared: &'a Shared,
    /// The environments, within the limits of this request.
    environments: &'a Environments,
    claim: &'a RequestClaim,
    /// The caller, whose limits of pipelines hold.
    caller: &'a PipelinesCaller,
    /// Set when no new step may start.
    cancel: &'a CancellationToken,
    /// Set when the claim is lost: then no call at all may start.
    lost: &'a CancellationToken,
    log: OperationLog,
}

/// Signals that end the work on a request early.
#[derive(Clone, Copy)]
pub(crate) struct Stops<'a> {
    /// Set on a cancellation, and when the claim is lost.
    pub(crate) cancel: &'a CancellationToken,
    /// Set when the claim is lost.
    pub(crate) lost: &'a CancellationToken,
}

/// Runs a request. Returns its end, or `None` if it has to be claimed again.
pub(crate) async fn execute(
    shared: &Arc<Shared>,
    environments: &Environments,
    (claim, caller): (&RequestClaim, &PipelinesCaller),
    request: Result<Request, Refusal>,
    Stops { cancel, lost }: Stops<'_>,
) -> Option<RequestEnd> {
    let log = OperationLog { store: Arc::clone(&shared.store), operation: claim.operation };
    let run = Run { shared, environments, claim, caller, cancel, lost, log };
    if let Some(last) = claim.deaths.last() {
        let (count, most) = (claim.deaths.len(), MOST_DEATHS);
        let message = format!("`{last}` died while it worked on this request: attempt {} of {most}", count + 1);
        run.log_once("queue", vec![("WARNING", message)]).await;
    }
    if must_stop(shared, claim.operation).await {
        cancel.cancel();
        if claim.next_step == 0 {
            return Some(RequestEnd::cancelled());
        }
    }
    let performed = match request {
        // Another server may know its sealing key, or be new enough to read it.
        Err(refusal) => Err(Failure::Store(refusal.problems().join("\n"))),
        Ok(request) if request.is_read_only() => tokio::select! {
            performed = run.perform(request) => performed,
            () = cancel.cancelled() => return Some(stopped("stopped")),
        },
        Ok(request) => run.perform(request).await,
    };
    if shared.processing.exceeds_small_limits(environments.limits()) {
        return None;
    }
    let problems = match performed {
        Ok((status, summary, outcome)) => return Some(ended(status, summary, &outcome)),
        Err(Failure::Stopped) => return Some(stopped(&run.stop_summary().await)),
        // A cancelled request does not wait for a lease.
        Err(Failure::Held(_)) if cancel.is_cancelled() => return Some(stopped(&run.stop_summary().await)),
        Err(Failure::Store(problem)) if shared.failed_attempts.increment(claim.operation) < MOST_TRIES => {
            tracing::warn!(operation = %claim.operation, error = problem, "cannot run a request now");
            // The store may recover before the claim expires. Otherwise the claim expires.
            run.release_claim().await;
            return None;
        }
        // Waiting does not need a worker: any worker claims the request after the back-off.
        Err(Failure::Held(held)) if run.may_wait().await => {
            // The request was readable, and the store answered.
            shared.failed_attempts.forget(claim.operation);
            run.log_once("queue", vec![("INFO", format!("waiting: {held}"))]).await;
            run.release_claim().await;
            return None;
        }
        Err(Failure::Store(problem) | Failure::Held(problem)) => vec![problem],
        Err(Failure::Failed(problems)) => problems,
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
pub(crate) fn ended_by_deaths(claim: &RequestClaim) -> RequestEnd {
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
pub(crate) fn ended_by_panic(operation: Uuid) -> RequestEnd {
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
    async fn perform(&self, request: Request) -> Result<(OperationStatus, String, Outcome), Failure> {
        let from = (self.environments, self.shared.store.as_ref());
        match request {
            Request::Validate(request) => {
                match RequestContext::read(from, &request, Purpose::Provision, Requester::Worker).await {
                    Ok(context) => self.validate(&context).await,
                    Err(refusal @ Refusal::Invalid(_)) => Ok(invalid(refusal.messages())),
                    Err(refusal) => Err(refusal.into()),
                }
            }
            Request::Provision(request) => {
                let context = RequestContext::read(from, &request, Purpose::Provision, Requester::Worker).await?;
                self.log_valid(&context).await;
                self.apply(&context, &Goal::Provisioned).await
            }
            Request::Unprovision(request) => {
                let context = RequestContext::read(from, &request, Purpose::Remove, Requester::Worker).await?;
                self.apply(&context, &Goal::Removed { with_data: request.remove_data }).await
            }
            Request::Access { request, access, expected, .. } => {
                let context = RequestContext::read(from, &request, Purpose::Provision, Requester::Worker).await?;
                let component = context.components.first().cloned().unwrap_or_default();
                // A resumed operation may have written the access list itself.
                if let Some(expected) = expected.filter(|_| self.claim.next_step == 0) {
                    let rows = self.shared.store.components(&context.stack).await?;
                    let found = rows.into_iter().find(|row| row.key == component).and_then(|row| row.access);
                    let is_its_own = self.claim.fence > 1 && found.as_ref() == Some(&access);
                    if !is_its_own && expected != Expected::of(found) {
                        return Err(Failure::Failed(vec![OTHER_ACCESS.to_owned()]));
                    }
                }
                let grantees = Grantees { component, access };
                let (status, summary, outcome) = self.apply(&context, &Goal::AccessSet(grantees.clone())).await?;
                Ok(match context.why_no_access(&grantees).filter(|_| status == OperationStatus::Completed) {
                    Some(result) => {
                        (OperationStatus::Failed, "no principal got access".to_owned(), Outcome { result, ..outcome })
                    }
                    None => (status, summary, outcome),
                })
            }
            Request::Plan { request, destroy, options } => {
                let goal = goal_of(&request, destroy);
                let context =
                    RequestContext::read_with_options(from, &request, &options, goal.purpose(), Requester::Worker)
                        .await?;
                self.render_plan(&context, &goal).await
            }
            Request::Apply { request, destroy, approved, options, plan } => {
                let goal = goal_of(&request, destroy);
                let context =
                    RequestContext::read_with_options(from, &request, &options, goal.purpose(), Requester::Worker)
                        .await?;
                let (status, summary, outcome) = self.apply_approved(&context, &goal, Some(&approved)).await?;
                Ok((status, summary, Outcome { applied: plan, ..outcome }))
            }
            Request::Drift { stack, .. } => {
                let findings = drift_scan::scan_stack(self.shared, self.store().as_ref(), &stack).await?;
                if let (Some(webhook), false) = (&self.shared.settings.webhook, findings.drifted.is_empty()) {
                    tokio::spawn(webhook.clone().send_report(self.claim.operation, stack, findings.clone()));
                }
                let summary = match findings.drifted.len() {
                    0 => "no drift".to_owned(),
                    count => format!("{count} resources differ from the state"),
                };
                Ok((OperationStatus::Completed, summary, Outcome { drift: Some(findings), ..Outcome::default() }))
            }
            Request::Reverse(question) => {
                let updates = reverse_provisioning::updates(self.environments, question).await?;
                let outcome = Outcome { updates, ..Outcome::default() };
                Ok((OperationStatus::Completed, "looked up".to_owned(), outcome))
            }
        }
    }

    /// The errors of a descriptor, or its plan.
    async fn validate(&self, context: &RequestContext<'_>) -> Result<(OperationStatus, String, Outcome), Failure> {
        let found =
            context.validate(self.shared.empty_store.as_ref()).await.map_err(|it| Failure::Failed(it.problems()))?;
        let messages = Messages::of(&found, &context.sources);
        if !messages.errors.is_empty() {
            return Ok(invalid(messages));
        }
        // The planner assumes the planned outputs of siblings that are not deployed yet.
        let options = Options { assumes_siblings: true, ..context.options(false) };
        let computed = self.plan_with(context, &Goal::Provisioned, options).await?;
        let errors = errors(&computed.diagnostics, &context.sources);
        let messages = Messages { errors, warnings: warnings(&computed.plan.notes) };
        self.log.lines("validate", messages.warnings.iter().map(|warning| ("WARNING", warning.as_str()))).await;
        let validation = ValidationResult::of(messages, Some(summary_of(&computed.plan)));
        let outcome = Outcome { validation: Some(validation), ..Outcome::default() };
        Ok((OperationStatus::Completed, "validated".to_owned(), outcome))
    }

    async fn plan(&self, context: &RequestContext<'_>, goal: &Goal) -> Result<Computed, Failure> {
        let (access, removes_data) = match goal {
            Goal::AccessSet(grantees) => (Some(grantees.clone()), false),
            Goal::Removed { with_data } => (None, *with_data),
            Goal::Provisioned => (None, false),
        };
        let mut options = Options { access, ..context.options(removes_data) };
        if self.claim.next_step > 0 {
            options.allow_data_loss = options.allow_data_loss.remaining();
        }
        self.plan_with(context, goal, options).await
    }

    async fn plan_with(
        &self,
        context: &RequestContext<'_>,
        goal: &Goal,
        options: Options,
    ) -> Result<Computed, Failure> {
        let store = self.store();
        let planner = context.planner(store.as_ref(), &options);
        let (compiled, origin) = (context.compiled.as_slice(), context.origin());
        let mut computed = match goal {
            Goal::Removed { .. } => {
                planner.plan_destroy_described(std::slice::from_ref(&context.stack), compiled, origin).await?
            }
            Goal::Provisioned | Goal::AccessSet(_) => planner.plan(compiled, origin).await?,
        };
        computed.plan.note_before(&context.warnings, &context.sources);
        Ok(computed)
    }

    /// A plan in its representations for people and programs.
    async fn render_plan(
        &self,
        context: &RequestContext<'_>,
        goal: &Goal,
    ) -> Result<(OperationStatus, String, Outcome), Failure> {
        let computed = self.plan(context, goal).await?;
        let plan = &computed.plan;
        let digest = file::digest(plan, &context.env.engine.seal)?;
        let command = format!("GET /api/v1/plans/{}", self.claim.operation);
        let markdown = Markdown {
            max_chars: Markdown::DEFAULT_CHARS,
            max_bytes: Markdown::DEFAULT_BYTES,
            digest: &digest,
            command: &command,
            consent: Markdown::CONSENT,
        };
        let rendered = RenderedPlan {
            is_applicable: !plan.is_errored && plan.refused_data_loss().next().is_none(),
            losses: failure::losses(plan),
            json: render::json::plan(plan, &digest),
            markdown: render::markdown::plan(plan, &markdown),
            text: human::plan(plan, &view(human::Detail::default())),
            approved: Approved::new(digest, plan),
        };
        let result = errors(&computed.diagnostics, &context.sources).join("\n");
        let outcome = Outcome { plan: Some(rendered), result, ..Outcome::default() };
        Ok((OperationStatus::Completed, "planned".to_owned(), outcome))
    }

    async fn apply(
        &self,
        context: &RequestContext<'_>,
        goal: &Goal,
    ) -> Result<(OperationStatus, String, Outcome), Failure> {
        self.apply_approved(context, goal, None).await
    }

    /// Plans and applies. If a plan was approved, applies only that one, or the rest of it.
    async fn apply_approved(
        &self,
        context: &RequestContext<'_>,
        goal: &Goal,
        approved: Option<&Approved>,
    ) -> Result<(OperationStatus, String, Outcome), Failure> {
        let change = Change { run: self, context, goal, approved };
        driver::change(&change, &change).await
    }

    /// Releases the claim: the request is queued again after a back-off that grows with the number of attempts. While
    /// the store is unavailable, it retries until the claim expires.
    async fn release_claim(&self) {
        let tries = u32::try_from(self.claim.fence).unwrap_or(u32::MAX);
        let pause = PAUSE.saturating_mul(tries).min(LONGEST_PAUSE);
        let begun = tokio::time::Instant::now();
        while let Err(error) = self.shared.store.release_claim(self.claim, pause).await {
            let is_over = matches!(error, StoreError::ClaimLost(_)) || begun.elapsed() >= TERM;
            if is_over || self.lost.is_cancelled() || self.shared.stop.is_cancelled() {
                tracing::debug!(operation = %self.claim.operation, %error, "cannot release a claim: it will expire");
                return;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Whether the request may wait longer for leases of others.
    async fn may_wait(&self) -> bool {
        let Ok(Some((operation, _))) = self.store().operation(self.claim.operation).await else { return true };
        let Ok(now) = self.store().now().await else { return true };
        let waited = now.duration_since(operation.started_at);
        Duration::try_from(waited).unwrap_or_default() < self.shared.settings.lock_timeout
    }

    async fn conclude(
        &self,
        context: &RequestContext<'_>,
        plan: &Plan,
        report: &Report,
    ) -> Result<(OperationStatus, String, Outcome), Failure> {
        let Unfinished { why, in_doubt } = Unfinished::of(plan, report);
        // The log has the failures already.
        self.log.lines("apply", in_doubt.iter().map(|doubt| ("ERROR", doubt.as_str()))).await;
        let (result, rest) = split_reasons(why);
        self.log.lines("apply", rest.iter().map(|other| ("ERROR", other.as_str()))).await;
        let mut info = component_info::info(self.store().as_ref(), context).await?;
        if report.status() != OperationStatus::Completed {
            // The state has the requested principals; which of them got access is unknown.
            info.acl_info = None;
        }
        let done = self.total_done().await?.unwrap_or(report.done.len());
        Ok((report.status(), report.summary_with(done), Outcome { result, info: Some(info), ..Outcome::default() }))
    }

    /// How this server executes the request until the token is cancelled.
    fn execution(&self, cancel: CancellationToken) -> Execution {
        let settings = &self.shared.settings;
        Execution {
            actor: settings.actor.clone(),
            parallelism: settings.parallelism,
            lock_timeout: settings.lock_timeout.min(LEASE_WAIT),
            cancel,
            stopped_by: Arc::default(),
        }
    }

    fn store(&self) -> Arc<dyn StateStore> {
        Arc::<dyn ServerStore>::clone(&self.shared.store)
    }

    async fn log_valid(&self, context: &RequestContext<'_>) {
        let Some(compiled) = &context.compiled else { return };
        let chosen = compiled.components.iter().filter(|component| component.blueprint.is_some());
        let lines = chosen.map(|component| {
            let blueprint = component.blueprint.as_deref().unwrap_or_default();
            ("INFO", format!("`{}` is valid: the blueprint is {blueprint}", component.key))
        });
        self.log_once("validate", lines.collect()).await;
    }

    async fn log_plan(&self, plan: &Plan) {
        let text = human::plan(plan, &view(human::Detail::Compact));
        let shown = text.lines().filter(|line| !line.trim().is_empty()).map(|line| ("INFO", line.to_owned()));
        let warnings = warnings(&plan.notes).into_iter().map(|warning| ("WARNING", warning));
        self.log_once("plan", shown.chain(warnings).collect()).await;
    }
}

/// A request that changes objects.
struct Change<'a> {
    run: &'a Run<'a>,
    context: &'a RequestContext<'a>,
    goal: &'a Goal,
    /// The approved plan, if only that one, or the rest of it, may be applied.
    approved: Option<&'a Approved>,
}

impl Planning for Change<'_> {
    type Error = Failure;

    async fn recover(&self, shared: BTreeSet<Address>) -> Result<bool, Failure> {
        self.run.recover(self.context, shared).await
    }

    async fn plan(&self) -> Result<Computed, Failure> {
        self.run.plan(self.context, self.goal).await
    }

    async fn approve(&self, computed: &Computed) -> Result<Approval, Failure> {
        self.run.log_plan(&computed.plan).await;
        if computed.plan.is_errored {
            return Err(Failure::Failed(errors(&computed.diagnostics, &self.context.sources)));
        }
        let approval = match self.approved {
            None => Approval::Unattended,
            Some(approved)
                if file::has_digest(&computed.plan, &self.context.env.engine.seal, &approved.digest)?
                    || (self.run.claim.next_step > 0 && approved.is_remainder(&computed.plan)) =>
            {
                Approval::Replaceable
            }
            Some(approved) => return Err(Failure::Failed(vec![approved.stale_message(&computed.plan)])),
        };
        self.run.count_lifetimes(&computed.plan).await?;
        Ok(approval)
    }
}

impl Applying for Change<'_> {
    type Error = Failure;
    type End = (OperationStatus, String, Outcome);
    type Progress = BackgroundWriter;

    fn operation(&self) -> Uuid {
        self.run.claim.operation
    }

    async fn begin(
        &self,
        plan: &Plan,
        number: usize,
        attempt: Attempt,
    ) -> Result<(Applier, BackgroundWriter), Failure> {
        let Run { claim, cancel, log, .. } = self.run;
        if plan.has_work() && cancel.is_cancelled() {
            return Err(Failure::Stopped);
        }
        // Steps of an earlier plan of this run count, too.
        let first_step = match number {
            1 => claim.next_step,
            _ => self.run.steps().await?.iter().map(|step| step.step.saturating_add(1)).max().unwrap_or_default(),
        };
        let (events, writer) = log.start_writer(Steps::of_plan(plan));
        let execution = self.run.execution((*cancel).clone());
        let attempt = Attempt { first_step, ..attempt };
        Ok((self.context.env.engine.applier(self.run.store(), &execution, events, attempt), writer))
    }

    async fn finish(&self, writer: BackgroundWriter, _: &Plan, report: Option<&Report>) {
        writer.end().await;
        let Some(report) = report else { return };
        metrics::steps(report.done.len(), report.failed.len());
        for check in &report.failed_checks {
            self.run.log.line("WARNING", "apply", &check.to_string()).await;
        }
    }

    async fn report_replan(&self, why: Replan<'_>) {
        let (stage, message) = match why {
            Replan::Contended => ("plan", "another operation was running: planning again".to_owned()),
            Replan::StillOwned => ("plan", "all owners of a shared object left: planning again".to_owned()),
            Replan::Stale(error) => ("plan", format!("{error}: planning again")),
            Replan::NotRecovered(error) => ("recover", error.to_string()),
        };
        self.run.log.line("INFO", stage, &message).await;
    }

    fn gave_up(&self) -> Failure {
        Failure::Held(format!("other operations changed the same objects during each of {MOST_PLANS} plans"))
    }

    async fn unchanged(&self, _: &Plan) -> Result<Self::End, Failure> {
        let info = component_info::info(self.run.store().as_ref(), self.context).await?;
        let done = self.run.total_done().await?.map(|count| format!("{count} done"));
        let outcome = Outcome { info: Some(info), ..Outcome::default() };
        Ok((OperationStatus::Completed, done.unwrap_or_else(|| "nothing to do".to_owned()), outcome))
    }

    async fn applied(&self, plan: &Plan, report: &Report) -> Result<Self::End, Failure> {
        self.run.conclude(self.context, plan, report).await
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
