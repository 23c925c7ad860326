//! `terrace pr apply`: applies the reviewed plans of a merged request, and reports on it.

use super::commits::Checkout;
use super::merge::Merge;
use super::page::{self, Applied};
use super::planned::{self, Ready, Target, messages};
use super::publish::{Publisher, failure, inert, job};
use super::scope;
use super::units::Unit;
use crate::args::{ApplyArguments, Detail, FormatArguments, Global, PrApplyArguments, RunArguments};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::Base;
use crate::signals::Signals;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use terrace_engine::render::markdown::{code, prose};
use terrace_forge::approval::{Approval, COMMAND, Candidate, Decision, OwnersApproval};
use terrace_forge::code_owners::{self, CodeOwners};
use terrace_forge::job::Event;
use terrace_forge::record::{Kind, Record, Reviewed, marker};
use terrace_forge::{Forge, ForgeError, Job, Request, RequestState, comment};

/// Most commits of a push whose requests are looked for: each needs a call of the forge.
const MOST_COMMITS: usize = 100;
/// The longest reason in a table, in characters.
const LONGEST: usize = 400;
/// The longest new plan in a report, in characters.
const LARGEST_PLAN: usize = 20_000;

/// Applies the plans of the requests that the job's commits merge.
///
/// # Errors
/// When a plan is not applied, or the forge fails.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &PrApplyArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let job = job(context.variables)?;
    let publisher = Publisher::new(&job, context.ui);
    let forge = publisher.forge().ok_or_else(|| {
        Failure::new("without a token, terrace cannot read which plans were reviewed")
            .hint("pass the token of the job: `GITHUB_TOKEN: ${{ github.token }}`, or GITLAB_TOKEN")
    })?;
    let checkout = Checkout::here()?;
    let (requests, skipped) = match (arguments.request, &job.event) {
        (Some(number), _) => (vec![forge.request(number).await.map_err(failure)?], 0),
        (None, Event::Mention { number }) => (vec![forge.request(*number).await.map_err(failure)?], 0),
        (None, Event::Push { commit, before }) => merged(forge, &checkout, commit, before.as_deref()).await?,
        (None, Event::Request { .. } | Event::Queue { .. } | Event::Other) => {
            return Err(Failure::new(format!("this job does not follow the merge of a {}", job.vendor.request()))
                .hint(
                    "run `terrace pr apply` in jobs of the default branch, or name the request with `--request NUMBER`",
                ));
        }
    };
    if requests.is_empty() {
        context
            .ui
            .print(&format!("result: the commit merges no {}, so there is nothing to apply\n", job.vendor.request()))?;
    }
    let mut exit = Exit::Done;
    for request in &requests {
        if request.state != RequestState::Merged {
            context.ui.print(&format!("result: {}{} is not merged\n", job.vendor.sign(), request.number))?;
            continue;
        }
        if signals.cancel.is_cancelled() {
            publisher.note(&format!("interrupted: {}{} is not applied", job.vendor.sign(), request.number));
            exit = worse(exit, Exit::Interrupted);
            continue;
        }
        let work = Work { context, signals, publisher: &publisher, forge, checkout: &checkout, arguments, request };
        let ended = match check_branch(request, arguments, &job) {
            Ok(()) => work.run().await,
            Err(failure) => Err(failure),
        };
        // A failure about one request must not hide the others.
        let ended = ended.unwrap_or_else(|failure| {
            let message = failure.message.as_deref().map(inert);
            context.ui.fail(&Failure { message, ..failure.clone() });
            failure.exit
        });
        exit = worse(exit, ended);
    }
    if skipped > 0 {
        publisher.note(&format!(
            "the push has {skipped} older commits, whose {}s are not applied: run `terrace pr apply --request NUMBER` for each",
            job.vendor.request()
        ));
        publisher.summary("")?;
        exit = worse(exit, Exit::PartlyApplied);
    }
    Ok(exit)
}

/// The requests that the newest commits of a push merge, oldest first, and the number of the older commits.
async fn merged(
    forge: &dyn Forge,
    checkout: &Checkout,
    commit: &str,
    before: Option<&str>,
) -> Result<(Vec<Request>, usize), Failure> {
    let known = match before {
        Some(before) => checkout.find(before)?,
        None => None,
    };
    let commits = match known {
        Some(before) => checkout.between(&before, commit)?,
        None => vec![commit.to_owned()],
    };
    let skipped = commits.len().saturating_sub(MOST_COMMITS);
    let mut requests: Vec<Request> = Vec::new();
    for commit in commits.iter().skip(skipped) {
        let found = forge.merged_by(commit).await.map_err(failure)?;
        requests.extend(found.filter(|found| requests.iter().all(|known| known.number != found.number)));
    }
    Ok((requests, skipped))
}

/// Refuses a request that was merged into another branch: its owners may be others there.
fn check_branch(request: &Request, arguments: &PrApplyArguments, job: &Job) -> Result<(), Failure> {
    let Some(branch) = arguments.branch.as_ref().or(job.default_branch.as_ref()) else {
        return Err(Failure::new("the job does not name the default branch").hint("name the branch with `--branch`"));
    };
    if *branch == request.target {
        return Ok(());
    }
    Err(Failure::refused(format!("the request was merged into `{}`, and this job applies `{branch}`", request.target))
        .hint("run the job for the branch of the request, or name the branch with `--branch`"))
}

/// The more serious of two exit codes.
fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::Changes => 1,
        Exit::Refused => 2,
        Exit::PartlyApplied => 3,
        Exit::Error => 4,
        Exit::Interrupted => 5,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// Applies a single request.
struct Work<'a> {
    context: &'a Context<'a>,
    signals: &'a Signals,
    publisher: &'a Publisher<'a>,
    forge: &'a dyn Forge,
    checkout: &'a Checkout,
    arguments: &'a PrApplyArguments,
    request: &'a Request,
}

/// Comments that cannot be read: nothing is approved.
struct Unreadable(ForgeError);

#[async_trait]
impl Approval for Unreadable {
    async fn decide(&self, _: Candidate<'_>) -> Result<Decision, ForgeError> {
        Err(self.0.clone())
    }
}

/// The answer about one plan.
enum Step {
    /// Nothing is left to do.
    Done(&'static str),
    /// It may be applied.
    Apply,
    /// It may not be applied: the reason in Markdown, and the plan to approve.
    Refuse(String),
}

impl Work<'_> {
    async fn run(&self) -> Result<Exit, Failure> {
        let name = &self.arguments.scope.name;
        let found = comment::find(self.forge, self.request.number, &marker(Kind::Plan, name)).await.map_err(failure)?;
        let record = found.and_then(|(_, text)| Record::of_comment(&text));
        let record = record.filter(|record| record.request == self.request.number);
        let merge = Merge::find(self.forge, self.checkout, self.request).await?;
        let (targets, others, mut notes) = self.targets(record.as_ref(), &merge).await?;
        let owners = self.owners(&merge.before)?;
        let approval: Box<dyn Approval + '_> = match OwnersApproval::read(self.forge, self.request, owners).await {
            Ok(approval) => Box::new(approval),
            // Plans that need no approval are applied.
            Err(error) => Box::new(Unreadable(error)),
        };
        let mut outcomes: Vec<Applied> = Vec::new();
        let mut undone: BTreeSet<String> = BTreeSet::new();
        for target in &targets {
            let stack = target.stack();
            let needed = |name: &String| format!("{name}@{}", target.environment);
            let waits = target.unit.depends_on.iter().map(needed).find(|name| undone.contains(name));
            let reviewed = record
                .as_ref()
                .and_then(|record| Some((record, record.plans.iter().find(|plan| plan.stack == stack)?)));
            let refused =
                |outcome: String| Applied { stack: stack.clone(), outcome, is_done: false, details: String::new() };
            let applied = match waits {
                _ if self.signals.cancel.is_cancelled() => refused("not applied: interrupted".to_owned()),
                Some(other) => {
                    refused(format!("not applied: it depends on {}, which is not applied", code(&other, 120)))
                }
                // A failure about one plan must not lose the report of the others.
                None => match self.apply(target, reviewed, approval.as_ref(), others.get(&stack)).await {
                    Ok(applied) => applied,
                    Err(failure) => {
                        let why = failure.message.iter().chain(&failure.hints).cloned().collect::<Vec<_>>().join("; ");
                        refused(format!("not applied: {}", prose(&why, LONGEST)))
                    }
                },
            };
            if !applied.is_done {
                undone.insert(stack);
            }
            let line = format!("apply {}: {}", applied.stack, applied.outcome);
            self.context.ui.print(&format!("{}\n", inert(&line)))?;
            outcomes.push(applied);
        }
        let lost = record
            .iter()
            .flat_map(|record| &record.plans)
            .filter(|plan| targets.iter().all(|it| it.stack() != plan.stack));
        notes.extend(lost.map(|plan| format!("{} is not applied: the merged files do not describe it", plan.stack)));
        if record.is_none() && outcomes.is_empty() {
            self.context.ui.print("result: the request changes no product\n")?;
            return Ok(Exit::Done);
        }
        let text = page::applied(self.forge.vendor(), name, self.request, &outcomes, &notes);
        self.publisher.comment(self.request.number, &marker(Kind::Apply, name), &text).await?;
        self.publisher.summary(&text)?;
        let (done, left) =
            (outcomes.iter().filter(|it| it.is_done).count(), outcomes.iter().filter(|it| !it.is_done).count());
        self.context.ui.print(&format!("result: {done} plans are done, {left} are not applied\n"))?;
        Ok(match (done, left) {
            _ if self.signals.cancel.is_cancelled() => Exit::Interrupted,
            (_, 0) => Exit::Done,
            (0, _) => Exit::Refused,
            _ => Exit::PartlyApplied,
        })
    }

    /// The products to apply: those with a reviewed plan, and those that the merge touches. Also more files of each stack,
    /// whose owners must approve, too: those before the merge, values of environments, and changed files that all products
    /// read.
    async fn targets(
        &self,
        record: Option<&Record>,
        merge: &Merge,
    ) -> Result<(Vec<Target>, BTreeMap<String, Vec<String>>, Vec<String>), Failure> {
        let (context, folders) = (self.context, &self.arguments.scope.paths);
        let changed = self.checkout.changed(&merge.before, &merge.commit)?;
        let environments = scope::environments(context, folders)?;
        let common = scope::Common::new(context, folders, &changed)?;
        let existing: Vec<PathBuf> = folders.iter().filter(|folder| folder.exists()).cloned().collect();
        let base = Base::read(&existing, &merge.before)?;
        let (before, mut notes) = scope::before(context, base, &environments, folders).await;
        let is_reviewed = |unit: &Unit, environment: &str| {
            let environment = unit.environment.as_deref().unwrap_or(environment);
            let stack = format!("{}@{environment}", unit.stack);
            record.is_some_and(|record| record.plans.iter().any(|plan| plan.stack == stack))
        };
        let is_touched = |unit: &Unit, environment: &str| {
            is_reviewed(unit, environment)
                || !common.of_all.is_empty()
                || unit.is_touched_by(&changed, environment)
                || !common.of(unit).is_empty()
        };
        let scope = scope::find(context, &environments, folders, &before.units, is_touched).await;
        for (environment, messages) in &scope.failures {
            notes.push(format!(
                "nothing is applied in {environment}, whose products cannot be read: {}",
                messages.join("; ")
            ));
        }
        let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (environment, units) in &before.units {
            for unit in units {
                let environment = unit.environment.as_deref().unwrap_or(environment);
                let paths: Vec<String> = unit.paths.iter().map(|path| path.display().to_string()).collect();
                others.insert(format!("{}@{environment}", unit.stack), paths);
            }
        }
        for target in &scope.targets {
            let files = others.entry(target.stack()).or_default();
            let existing = target.unit.files(&target.environment).into_iter().filter(|path| path.is_file());
            files.extend(existing.map(|path| path.display().to_string()));
            files.extend(target.unit.touching(&changed, &target.environment));
            files.extend(common.of_all.iter().cloned().chain(common.of(&target.unit)));
        }
        Ok((scope.targets, others, notes))
    }

    /// The owners before the merge: the request's own changes of CODEOWNERS do not count.
    fn owners(&self, before: &str) -> Result<CodeOwners, Failure> {
        let vendor = self.forge.vendor();
        for place in code_owners::places(vendor) {
            if let Some(text) = self.checkout.file(before, place, code_owners::LARGEST)? {
                return Ok(CodeOwners::parse(vendor, &text));
            }
        }
        Ok(CodeOwners::default())
    }

    async fn apply(
        &self,
        target: &Target,
        reviewed: Option<(&Record, &Reviewed)>,
        approval: &dyn Approval,
        others: Option<&Vec<String>>,
    ) -> Result<Applied, Failure> {
        let stack = target.stack();
        let refused =
            |outcome: String, details: String| Applied { stack: stack.clone(), outcome, is_done: false, details };
        let ready = match planned::plan(self.context, target, None).await {
            Ok(ready) if !ready.plan.is_errored => ready,
            Ok(ready) => {
                return Ok(refused(
                    "not applied: the plan has errors".to_owned(),
                    ready.markdown(target, LARGEST_PLAN),
                ));
            }
            Err(messages) => {
                return Ok(refused("not applied: it cannot be planned".to_owned(), planned::failed(&stack, &messages)));
            }
        };
        let paths: Vec<String> = target.files().into_iter().chain(others.into_iter().flatten().cloned()).collect();
        match self.step(&ready, reviewed, approval, &paths).await? {
            Step::Done(outcome) => {
                Ok(Applied { stack, outcome: outcome.to_owned(), is_done: true, details: String::new() })
            }
            Step::Refuse(reason) => {
                let details = format!(
                    "\nTo approve this plan of {}, an owner of its files writes as a comment:\n\n```text\n{COMMAND} {}\n```\n\n{}",
                    code(&stack, 120),
                    ready.digest,
                    ready.markdown(target, LARGEST_PLAN)
                );
                Ok(refused(reason, details))
            }
            Step::Apply => {
                let (exit, messages) = self.carry_out(target, &ready.digest).await;
                Ok(match exit {
                    Exit::Done => {
                        Applied { stack, outcome: "applied".to_owned(), is_done: true, details: String::new() }
                    }
                    Exit::PartlyApplied => {
                        refused("applied with failures".to_owned(), planned::failed(&stack, &messages))
                    }
                    Exit::Interrupted => refused("interrupted".to_owned(), planned::failed(&stack, &messages)),
                    _ => refused("not applied".to_owned(), planned::failed(&stack, &messages)),
                })
            }
        }
    }

    /// Decides whether a plan may be applied.
    async fn step(
        &self,
        ready: &Ready,
        reviewed: Option<(&Record, &Reviewed)>,
        approval: &dyn Approval,
        paths: &[String],
    ) -> Result<Step, Failure> {
        if !ready.plan.has_changes() {
            return Ok(Step::Done("nothing to do"));
        }
        if !ready.is_covered() {
            return Ok(Step::Refuse(
                "not applied: its digest covers no sensitive values without a state key".to_owned(),
            ));
        }
        let writer = self.publisher.writer(&self.arguments.scope.name);
        let why = match reviewed {
            None => Some("it was not reviewed".to_owned()),
            Some((record, plan)) if ready.has_key() && !ready.authenticates(plan, record, writer) => {
                Some("its reviewed digest was not written with the state key by this job".to_owned())
            }
            Some((_, plan)) if !ready.has_digest(&plan.digest) => Some(format!(
                "**stale: the plan changed after the review**, from {} to {}",
                code(&plan.digest, 12),
                code(&ready.digest, 12)
            )),
            Some(_) => ready.needs_approval().map(str::to_owned),
        };
        let Some(why) = why else { return Ok(Step::Apply) };
        let candidate = Candidate { digest: &ready.digest, paths };
        Ok(match approval.decide(candidate).await.map_err(failure)? {
            Decision::Approved(by) => {
                self.context.ui.print(&format!("approved by {}: {}\n", by.join(", "), ready.digest))?;
                Step::Apply
            }
            Decision::Missing(missing) => {
                Step::Refuse(format!("not applied: {why}, and an approval is missing: {}", prose(&missing, LONGEST)))
            }
        })
    }

    /// Applies the plan with a digest. terrace plans again under the leases, and refuses another plan.
    async fn carry_out(&self, target: &Target, digest: &str) -> (Exit, Vec<String>) {
        let global = Global { env: Some(target.environment.clone()), input: false, ..self.context.global.clone() };
        let ui = self.context.ui.separate();
        let context = Context { global: &global, ui: &ui, ..*self.context };
        let run = RunArguments {
            auto_approve: false,
            parallelism: RunArguments::PARALLELISM,
            format: FormatArguments::default(),
            detail: Detail::Compact,
        };
        let arguments = ApplyArguments {
            files: target.files(),
            planning: planned::planning(),
            plan_digest: Some(digest.to_owned()),
            run,
        };
        match crate::commands::apply::run(&context, &arguments, self.signals).await {
            Ok(Exit::Done) => (Exit::Done, Vec::new()),
            Ok(exit) => (exit, vec!["some steps failed; the log of the job names them".to_owned()]),
            Err(failure) => {
                ui.fail(&failure);
                (failure.exit, messages(&ui, &failure))
            }
        }
    }
}
