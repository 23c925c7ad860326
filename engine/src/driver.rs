//! The driver of a change: recover → plan → approve → apply, and plan again while other operations change the state.
//!
//! The command line and the server differ only in their implementations of [`Planning`] (where plans come from, who
//! approves them) and [`Applying`] (how the work is reported).

use std::collections::BTreeSet;
use terrace_apply::{Applier, ApplyError, Attempt, Report};
use terrace_language::address::Address;
use terrace_plan::Plan;
use terrace_plan::compute::Computed;
use uuid::Uuid;

/// Limit of plans for a change, while other operations change the state.
pub const MOST_PLANS: usize = 4;

/// The extent of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// No consent is possible: not even refreshed values are recorded. Only a plan without changes gets this approval.
    None,
    /// A person reviewed this plan. Another plan needs another review.
    ThisPlan,
    /// This plan. A new plan may replace it when it is stale, with its own approval.
    Replaceable,
    /// The same; a new plan may also follow an apply that left a shared object without owners. The caller reads only the
    /// result of the whole change.
    Unattended,
}

/// Why the driver plans again.
#[derive(Debug)]
pub enum Replan<'e> {
    /// The plan became stale before its first step.
    Stale(&'e ApplyError),
    /// A step was interrupted after planning.
    NotRecovered(&'e ApplyError),
    /// Another operation worked on the same resources.
    Contended,
    /// All owners of a shared object left at the same moment: the next plan determines the last one.
    StillOwned,
}

/// How a change is planned and approved: the part of a command, or of a request of the server, before an apply.
#[expect(
    async_fn_in_trait,
    reason = "the callers are in this workspace, and their futures are `Send` where they are spawned"
)]
pub trait Planning: Sync {
    /// The failure of the change.
    type Error: From<ApplyError> + Send;

    /// Recovers interrupted steps of the change's stacks, and of these shared objects. Returns true if it resolved any.
    ///
    /// # Errors
    /// When steps cannot be recovered now, the state fails, or the change was cancelled.
    async fn recover(&self, shared: BTreeSet<Address>) -> Result<bool, Self::Error>;

    /// Computes the plan.
    ///
    /// # Errors
    /// When there can be no plan.
    async fn plan(&self) -> Result<Computed, Self::Error>;

    /// Shows the plan and asks for approval.
    ///
    /// # Errors
    /// When the plan has errors, or is refused.
    async fn approve(&self, computed: &Computed) -> Result<Approval, Self::Error>;
}

/// How a plan is applied and reported.
#[expect(
    async_fn_in_trait,
    reason = "the callers are in this workspace, and their futures are `Send` where they are spawned"
)]
pub trait Applying: Sync {
    /// The failure of the change.
    type Error: From<ApplyError> + Send;
    /// The result of the change.
    type End: Send;
    /// The display of a running apply.
    type Progress: Send;

    /// The id of the operation that applies a plan: a new one for each plan, or that of a durable request.
    fn operation(&self) -> Uuid;

    /// Begins to apply a plan, or to wait for other operations if the plan has no work. `number` counts the plans from
    /// 1; `attempt` is that of the applier.
    ///
    /// # Errors
    /// When the state cannot be opened, or the change was cancelled.
    async fn begin(
        &self,
        plan: &Plan,
        number: usize,
        attempt: Attempt,
    ) -> Result<(Applier, Self::Progress), Self::Error>;

    /// Ends the display of a running apply. There is a report if the plan was applied.
    async fn finish(&self, progress: Self::Progress, plan: &Plan, report: Option<&Report>);

    /// Reports that the driver plans again.
    async fn report_replan(&self, why: Replan<'_>);

    /// The failure of a change without work whose state kept changing during [`MOST_PLANS`] plans.
    fn gave_up(&self) -> Self::Error;

    /// The end of a change whose plan has no work, or whose work may not be recorded.
    ///
    /// # Errors
    /// When the end cannot be reported.
    async fn unchanged(&self, plan: &Plan) -> Result<Self::End, Self::Error>;

    /// The end of a change that was applied, possibly in part.
    ///
    /// # Errors
    /// When the end cannot be reported.
    async fn applied(&self, plan: &Plan, report: &Report) -> Result<Self::End, Self::Error>;
}

/// Recovers, plans, asks for approval and applies, until a plan is applied or has no work.
///
/// # Errors
/// When the change is refused, or nothing could be applied.
pub async fn change<P, A>(planning: &P, applying: &A) -> Result<A::End, P::Error>
where
    P: Planning,
    A: Applying<Error = P::Error>,
{
    let mut shared = BTreeSet::new();
    for number in 1..=MOST_PLANS {
        planning.recover(std::mem::take(&mut shared)).await?;
        let computed = planning.plan().await?;
        let plan = &computed.plan;
        let approval = planning.approve(&computed).await?;
        if approval == Approval::None {
            return applying.unchanged(plan).await;
        }
        let is_last = number == MOST_PLANS;
        if !plan.has_work() {
            if !has_changed_meanwhile(planning, applying, plan, number).await? {
                return applying.unchanged(plan).await;
            }
            shared = shared_in(plan);
            if !is_last {
                applying.report_replan(Replan::Contended).await;
            }
            continue;
        }
        let can_replan = !is_last && matches!(approval, Approval::Replaceable | Approval::Unattended);
        match apply(applying, plan, number, Attempt { replans_if_stale: can_replan, ..Attempt::default() }).await? {
            Ok(report) if can_replan && approval == Approval::Unattended && !report.still_owned.is_empty() => {
                applying.report_replan(Replan::StillOwned).await;
            }
            Ok(report) => return applying.applied(plan, &report).await,
            Err(error) if can_replan && error.is_stale() => applying.report_replan(Replan::Stale(&error)).await,
            // The operation that began the step held its lease a moment ago, and is gone.
            Err(error @ ApplyError::NotRecovered { .. }) if can_replan => {
                shared = shared_in(plan);
                applying.report_replan(Replan::NotRecovered(&error)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(applying.gave_up())
}

/// Applies a plan that was saved and approved earlier.
///
/// # Errors
/// When the plan is refused, or nothing could be applied.
pub async fn apply_saved<A: Applying>(applying: &A, plan: &Plan) -> Result<A::End, A::Error> {
    let attempt = Attempt { rereads_objects: true, ..Attempt::default() };
    // Refreshed values of a saved plan may be out of date, so they alone are not recorded.
    if plan.has_changes() || plan.changes_order() {
        let report = apply(applying, plan, 1, attempt).await??;
        return applying.applied(plan, &report).await;
    }
    let (applier, progress) = applying.begin(plan, 1, attempt).await?;
    let spent = applier.spend(plan).await;
    applying.finish(progress, plan, None).await;
    spent?;
    applying.unchanged(plan).await
}

async fn apply<A: Applying>(
    applying: &A,
    plan: &Plan,
    number: usize,
    attempt: Attempt,
) -> Result<Result<Report, ApplyError>, A::Error> {
    let (applier, progress) = applying.begin(plan, number, attempt).await?;
    let applied = applier.apply(plan, applying.operation()).await;
    applying.finish(progress, plan, applied.as_ref().ok()).await;
    Ok(applied)
}

/// True if the rows of a plan without work may be stale: another operation was interrupted after the recovery, or was
/// running until now.
async fn has_changed_meanwhile<P, A>(planning: &P, applying: &A, plan: &Plan, number: usize) -> Result<bool, P::Error>
where
    P: Planning,
    A: Applying<Error = P::Error>,
{
    // If nothing gets resolved, the steps stay in doubt, or belong to an operation that is left alone.
    let is_interrupted = number < MOST_PLANS && plan.has_interrupted_steps();
    if is_interrupted && planning.recover(shared_in(plan)).await? {
        return Ok(true);
    }
    let attempt = Attempt { replans_if_stale: true, ..Attempt::default() };
    let (applier, progress) = applying.begin(plan, number, attempt).await?;
    let waited = applier.wait_for_contenders(plan, applying.operation()).await;
    applying.finish(progress, plan, None).await;
    Ok(waited?)
}

/// The shared objects in a plan.
fn shared_in(plan: &Plan) -> BTreeSet<Address> {
    plan.changes().map(|(_, change)| &change.address).filter(|address| address.is_shared()).cloned().collect()
}
