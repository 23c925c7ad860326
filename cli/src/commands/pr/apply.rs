//! `terrace pr apply`: applies the reviewed plans of a merged request, and reports on it.

use super::commits::Checkout;
use super::job_state;
use super::merge::{Merge, is_own};
use super::page::{self, Applied, End};
use super::planned::{self, Ready, Target, messages};
use super::publish::{Publisher, failure, inert, job};
use super::scope;
use super::units::Unit;
use crate::args::{ApplyArguments, Detail, FormatArguments, Global, PrApplyArguments, RecoverArguments, RunArguments};
use crate::commands::execution::execution;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::Base;
use crate::progress::Progress;
use crate::settings::chosen_environment;
use crate::signals::Signals;
use crate::wiring::{EnvironmentContext, is_missing, store};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use terrace_engine::apply::Attempt;
use terrace_engine::engine::Execution;
use terrace_engine::plan::Plan;
use terrace_engine::render::markdown::{code, prose};
use terrace_engine::text::shell_word;
use terrace_forge::approval::{Approval, COMMAND, Candidate, Decision, OwnersApproval};
use terrace_forge::code_owners::{self, CodeOwners};
use terrace_forge::job::Event;
use terrace_forge::record::{Kind, Record, Reviewed, marker};
use terrace_forge::{Forge, ForgeError, Request, RequestState, comment};
use terrace_state::Access;
use uuid::Uuid;

/// The maximum number of commits of a push to look up: each needs a call of the forge.
const MOST_COMMITS: usize = 100;
/// The maximum number of plans of a product, while other operations change it.
const MOST_PLANS: usize = 4;
/// The longest wait for other operations on a product. An operation that was killed loses its lease much earlier.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);
/// The longest reason in a table, in characters.
const LONGEST: usize = 1_000;
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
    let ended = requests(context, arguments, signals, &publisher).await;
    // The summary of the job has the failure, too.
    let exit = ended.unwrap_or_else(|failure| {
        publisher.fail(&failure);
        failure.exit
    });
    publisher.finish()?;
    Ok(exit)
}

/// Applies the plans, each request after the other.
///
/// # Errors
/// When the requests cannot be found. A failure about a single request is reported, and is part of the exit code.
async fn requests(
    context: &Context<'_>,
    arguments: &PrApplyArguments,
    signals: &Signals,
    publisher: &Publisher<'_>,
) -> Result<Exit, Failure> {
    let job = publisher.job;
    let forge = publisher.forge().ok_or_else(|| {
        Failure::new("without a token, terrace cannot read which plans were reviewed")
            .hint("pass the token of the job: `GITHUB_TOKEN: ${{ github.token }}`, or GITLAB_TOKEN")
    })?;
    let checkout = Checkout::here()?;
    job_state::check(context, &arguments.scope.paths)?;
    let branch = arguments.branch.as_deref().or(job.default_branch.as_deref());
    let pushed = match (arguments.request, &job.event) {
        (Some(number), _) | (None, &Event::Mention { number }) => {
            let request = forge.request(number).await.map_err(|error| unknown_request(forge, number, error))?;
            Pushed { requests: vec![(request, None)], ..Pushed::default() }
        }
        (None, Event::Push { commit, before }) => {
            pushed(publisher, forge, &checkout, branch, (commit, before.as_deref())).await?
        }
        (None, Event::Request { .. } | Event::Queue { .. } | Event::Other) => {
            return Err(Failure::new(format!("this job does not follow the merge of a {}", job.vendor.request()))
                .hint(
                    "run `terrace pr apply` in jobs of the default branch, or name the request with `--request NUMBER`",
                ));
        }
    };
    let Pushed { requests, skipped, direct, mut exit } = pushed;
    if requests.is_empty() && direct.is_none() && exit == Exit::Done {
        context
            .ui
            .print(&format!("result: the commit merges no {}, so there is nothing to apply\n", job.vendor.request()))?;
    }
    let mut done = 0;
    for (request, end) in &requests {
        if request.state != RequestState::Merged {
            context.ui.print(&format!("result: {}{} is not merged\n", job.vendor.sign(), request.number))?;
            // A comment on an open request starts a job, too.
            if arguments.request.is_some() {
                exit = worse(exit, Exit::Refused);
            }
            continue;
        }
        if signals.cancel.is_cancelled() {
            publisher.note(&format!("interrupted: {}{} is not applied", job.vendor.sign(), request.number));
            exit = worse(exit, Exit::Interrupted);
            continue;
        }
        let work = Work { context, signals, publisher, forge, checkout: &checkout, arguments, request };
        let ended = match check_branch(request, branch) {
            Ok(()) => work.run(end.as_deref()).await,
            Err(failure) => Err(failure),
        };
        // A failure about one request must not hide the others.
        let (ended, count) = ended.unwrap_or_else(|failure| {
            publisher.fail(&failure);
            (failure.exit, 0)
        });
        exit = worse(exit, ended);
        done += count;
    }
    if let Some(commits) = &direct {
        let ended = report_direct(context, publisher, &checkout, arguments, commits).await;
        let ended = ended.unwrap_or_else(|failure| {
            publisher.fail(&failure);
            failure.exit
        });
        exit = worse(exit, ended);
    }
    if skipped > 0 {
        let request = job.vendor.request();
        let commits = match skipped {
            1 => format!("1 older commit, whose {request} is not applied"),
            _ => format!("{skipped} older commits, whose {request}s are not applied"),
        };
        publisher.note(&format!("the push has {commits}: run `terrace pr apply --request NUMBER` for each"));
        exit = worse(exit, Exit::Refused);
    }
    Ok(if exit == Exit::Refused && done > 0 { Exit::PartlyApplied } else { exit })
}

/// The requests that a push merges.
#[derive(Debug)]
struct Pushed {
    /// The requests, oldest first, each with the commit of the branch before its merge, if the push shows it.
    requests: Vec<(Request, Option<String>)>,
    /// The number of older commits whose requests are unknown.
    skipped: usize,
    /// The last commits, which no request has: the commit before them, and the last one.
    direct: Option<(String, String)>,
    /// [`Exit::Error`] if the requests of some commits are unknown.
    exit: Exit,
}

impl Default for Pushed {
    fn default() -> Self {
        Self { requests: Vec::new(), skipped: 0, direct: None, exit: Exit::Done }
    }
}

/// Finds the requests that the newest commits of a push merge.
///
/// # Errors
/// When the forge fails, or the clone does not have a commit.
async fn pushed(
    publisher: &Publisher<'_>,
    forge: &dyn Forge,
    checkout: &Checkout,
    branch: Option<&str>,
    (commit, before): (&str, Option<&str>),
) -> Result<Pushed, Failure> {
    let before = match before {
        Some(before) => checkout.find(before)?,
        None => None,
    };
    let commits = match &before {
        Some(before) => checkout.between(before, commit)?,
        None => vec![commit.to_owned()],
    };
    let skipped = commits.len().saturating_sub(MOST_COMMITS);
    // A forced push does not continue the branch.
    let mut end = match before.filter(|_| skipped == 0) {
        Some(before) => checkout.is_ancestor(&before, commit)?.then_some(before),
        None => None,
    };
    let mut found = Pushed { skipped, ..Pushed::default() };
    let (mut merged, mut unexplained) = (BTreeSet::new(), Vec::new());
    // The first and the last commit that belong to no request.
    let mut direct: Option<(&String, &String)> = None;
    for commit in commits.iter().skip(skipped) {
        let listed = forge.merged_with(commit).await.map_err(failure)?;
        let (named, others): (Vec<Request>, Vec<Request>) =
            listed.into_iter().partition(|request| request.merge.as_ref() == Some(commit));
        if named.is_empty() {
            if others.is_empty() {
                direct = Some((direct.map_or(commit, |(first, _)| first), commit));
            }
            unexplained.push((commit, others));
            continue;
        }
        let parents = checkout.parents(commit)?;
        // A merge has the commits before it, but for those of the branch that it merges into.
        let is_before = match (direct, parents.as_slice()) {
            (Some((_, last)), [into, _, ..]) => checkout.is_ancestor(last, into)?,
            _ => false,
        };
        direct = direct.filter(|_| is_before);
        end = direct.map(|(_, last)| last.clone()).or(end);
        // Without a request of this merge, each one is refused.
        let only = named.len() == 1;
        let is_any_own = named.iter().any(|request| is_own(request, &parents));
        for request in named {
            let number = request.number;
            if !merged.insert(number) {
                continue;
            }
            if is_any_own && !is_own(&request, &parents) {
                let sign = forge.vendor().sign();
                publisher.note(&format!("{sign}{number} was merged with another request, which has its changes"));
                continue;
            }
            found.requests.push((forge.request(number).await.map_err(failure)?, end.clone().filter(|_| only)));
        }
        end = Some(commit.clone());
    }
    if let Some((first, last)) = direct {
        found.direct = checkout.parents(first)?.into_iter().next().map(|before| (before, last.clone()));
    }
    // The last commit of a fast-forward or a rebase explains the commits before it.
    for (commit, requests) in unexplained {
        let is_lost = |request: &&Request| branch.is_none_or(|branch| branch == request.target);
        let is_explained = requests.iter().any(|request| merged.contains(&request.number));
        if let Some(request) = requests.iter().find(is_lost).filter(|_| !is_explained) {
            let (vendor, number) = (forge.vendor(), request.number);
            let (name, sign) = (vendor.name(), vendor.sign());
            let message = format!("{commit} belongs to {sign}{number}, but {name} names another commit as its merge");
            publisher.fail(
                &Failure::new(format!("{message}: {sign}{number} is not applied"))
                    .hint("terrace supports neither fast-forward merge trains nor automatic rebases of GitLab")
                    .hint("apply the changed products with `terrace apply`"),
            );
            found.exit = Exit::Error;
        }
    }
    if found.exit == Exit::Error {
        found.direct = None;
        // The commits of a lost request must not count as those of the next one.
        found.requests.iter_mut().for_each(|(_, end)| *end = None);
    }
    Ok(found)
}

/// The failure for a request that cannot be read.
fn unknown_request(forge: &dyn Forge, number: u64, error: ForgeError) -> Failure {
    let (vendor, is_unknown) = (forge.vendor(), error.status == Some(404));
    let failed = failure(error);
    match is_unknown {
        true => {
            let (name, word, sign) = (vendor.name(), vendor.request(), vendor.sign());
            let message = format!("{name} has no {word} {sign}{number}, or does not show it to the token");
            let hints = std::iter::once(format!("correct the number of the {word}")).chain(failed.hints).collect();
            Failure { message: Some(message), hints, ..Failure::reported(failed.exit) }
        }
        false => failed,
    }
}

/// Reports the products that commits without a request change: no reviewer saw their plans. Returns
/// [`Exit::Refused`] if there are any.
///
/// # Errors
/// When the configuration is invalid, or the clone does not have a commit.
async fn report_direct(
    context: &Context<'_>,
    publisher: &Publisher<'_>,
    checkout: &Checkout,
    arguments: &PrApplyArguments,
    (before, last): &(String, String),
) -> Result<Exit, Failure> {
    let folders = &scope::folders(checkout, &arguments.scope.paths, &[before, last])?;
    let changed = checkout.changed(before, last)?;
    let environments = scope::environments(context, folders)?;
    let common = scope::Common::new(context, folders, &changed)?;
    let is_touched = |unit: &Unit, environment: &str| common.touches(unit, environment);
    let found = scope::find(context, &environments, folders, &BTreeMap::new(), is_touched).await;
    let mut exit = Exit::Done;
    for target in &found.targets {
        let planned = planned::plan(context, target, None).await;
        if planned.is_ok_and(|ready| !ready.plan.is_errored && !ready.plan.has_changes()) {
            continue;
        }
        let (stack, command, word) = (target.stack(), target.command_of("apply"), publisher.job.vendor.request());
        publisher.note(&format!(
            "{stack} is not applied: its change belongs to no {word}. Run `{command}`, or change the product in a new {word}"
        ));
        exit = Exit::Refused;
    }
    let end = if exit == Exit::Done { "so there is nothing to apply" } else { "so its changes are not applied" };
    context.ui.print(&format!("result: the last commit merges no {}, {end}\n", publisher.job.vendor.request()))?;
    Ok(exit)
}

/// Refuses a request that was merged into another branch: its owners may be others there.
fn check_branch(request: &Request, branch: Option<&str>) -> Result<(), Failure> {
    let Some(branch) = branch else {
        return Err(Failure::new("the job does not name the default branch").hint("name the branch with `--branch`"));
    };
    if branch == request.target {
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
        Exit::Error | Exit::Program(_) => 4,
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

/// The products of a request.
struct Targets {
    targets: Vec<Target>,
    /// More files of each stack, whose owners must approve, too: those before the merge, values of environments, and changed
    /// files that all products read.
    others: BTreeMap<String, Vec<String>>,
    /// The stacks that commits after the merge change, too, each with the request of its newest change.
    superseded: BTreeMap<String, Later>,
    /// True if the clone has a newer commit of the target branch than its checkout.
    is_outdated: bool,
    /// The environments of this job.
    environments: Vec<String>,
    /// Environments whose products cannot be read, with the messages.
    failures: Vec<(String, Vec<String>)>,
    notes: Vec<String>,
}

/// The request of the newest change of a product after a merge.
enum Later {
    /// This one.
    Request(u64),
    /// None: the commit was pushed to the branch.
    Direct(String),
    /// The forge did not name it.
    Unknown,
}

/// The reason why a changed plan is not approved on a request.
struct Excluded {
    reason: String,
    /// True if a reviewed plan is not applied, either: its files are older than those of the branch.
    is_outdated: bool,
}

/// The review of a plan.
#[derive(Clone, Copy)]
struct Review<'a> {
    /// The entry of the plan, with its record.
    entry: Option<(&'a Record, &'a Reviewed)>,
    /// False if the request has no comment of terrace with plans.
    has_comment: bool,
}

impl Review<'_> {
    /// True if the plan has the reviewed digest.
    fn is_of(&self, ready: &Ready) -> bool {
        self.entry.is_some_and(|(_, plan)| ready.has_digest(&plan.digest))
    }
}

/// The end of an attempt to apply a plan.
enum Attempted {
    Ended(Applied),
    /// The plan is not the reviewed one, or changed before the apply. If a new plan is the same, this is the end.
    Differs(Applied),
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
    /// It may not be applied without an approval: the reason in Markdown.
    Refuse(String),
    /// It may not be applied by this job, even with an approval: the reason in Markdown.
    Exclude(String),
}

impl Work<'_> {
    /// Applies the plans. Returns the exit code and the number of applied plans.
    async fn run(&self, end: Option<&str>) -> Result<(Exit, usize), Failure> {
        let name = &self.arguments.scope.name;
        let found = comment::find(self.forge, self.request.number, &marker(Kind::Plan, name)).await.map_err(failure)?;
        let has_comment = found.is_some();
        let record = found.and_then(|(_, text)| Record::of_comment(&text));
        let record = record.filter(|record| record.request == self.request.number);
        let merge = Merge::find(self.forge.vendor(), self.checkout, self.request, end)?;
        let Targets { targets, others, superseded, is_outdated, environments, failures, mut notes } =
            self.targets(record.as_ref(), &merge).await?;
        let older = self.older()?;
        notes.extend(older.clone());
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
            let entry = record
                .as_ref()
                .and_then(|record| Some((record, record.plans.iter().find(|plan| plan.stack == stack)?)));
            let review = Review { entry, has_comment };
            let refused =
                |outcome: String| Applied { stack: stack.clone(), outcome, end: End::Left, details: String::new() };
            let excluded = self.excluded(target, (older.as_deref(), is_outdated), superseded.get(&stack));
            let applied = match waits {
                _ if self.signals.cancel.is_cancelled() => refused("not applied: interrupted".to_owned()),
                Some(other) => {
                    refused(format!("not applied: it depends on {}, which is not applied", code(&other, 120)))
                }
                // A failure about one plan must not lose the report of the others.
                None => {
                    match self.apply(target, review, approval.as_ref(), others.get(&stack), excluded.as_ref()).await {
                        Ok(applied) => applied,
                        Err(failure) => {
                            let why =
                                failure.message.iter().chain(&failure.hints).cloned().collect::<Vec<_>>().join("; ");
                            refused(format!("not applied: {}", prose(&why, LONGEST)))
                        }
                    }
                }
            };
            if applied.end.is_open() {
                undone.insert(stack);
            }
            self.log(&applied)?;
            outcomes.push(applied);
        }
        // A reviewed plan without a product must not look as if it were applied.
        let reviewed = record.iter().flat_map(|record| &record.plans);
        for plan in reviewed.filter(|plan| targets.iter().all(|target| target.stack() != plan.stack)) {
            let outcome = format!("not applied: {}", self.missing(&plan.stack, &environments, &failures));
            let applied = Applied { stack: plan.stack.clone(), outcome, end: End::Left, details: String::new() };
            self.log(&applied)?;
            outcomes.push(applied);
        }
        for (environment, messages) in &failures {
            let message = format!("the products of {environment} cannot be read: {}", messages.join("; "));
            self.context.ui.print(&format!("{}\n", inert(&format!("error: {message}"))))?;
        }
        if record.is_none() && outcomes.is_empty() && failures.is_empty() {
            self.context.ui.print("result: the request changes no product\n")?;
            return Ok((Exit::Done, 0));
        }
        let marker = marker(Kind::Apply, name);
        if let Ok(Some((_, report))) = comment::find(self.forge, self.request.number, &marker).await {
            outcomes.iter_mut().for_each(|outcome| outcome.keep(&report));
        }
        let text = page::applied(self.forge.vendor(), name, self.request, &outcomes, (&failures, &notes));
        self.publisher.comment(self.request.number, &marker, &text).await?;
        self.publisher.summary(&text)?;
        self.context.ui.print(&format!("result: {}\n", page::ends(&outcomes)))?;
        let applied = outcomes.iter().filter(|it| matches!(it.end, End::Applied | End::Partly)).count();
        let exit = match outcomes.iter().any(|it| it.end.is_open()) {
            _ if self.signals.cancel.is_cancelled() => Exit::Interrupted,
            _ if applied == 0 && !failures.is_empty() => Exit::Error,
            false if failures.is_empty() => Exit::Done,
            _ if applied == 0 => Exit::Refused,
            _ => Exit::PartlyApplied,
        };
        Ok((exit, applied))
    }

    /// The reason why the checkout has no product for a reviewed plan, in Markdown.
    fn missing(&self, stack: &str, environments: &[String], failures: &[(String, Vec<String>)]) -> String {
        let environment = stack.rsplit_once('@').map_or("", |(_, environment)| environment);
        let name = code(environment, 120);
        if failures.iter().any(|(failed, _)| failed == environment) {
            return format!("the products of {name} cannot be read");
        }
        match chosen_environment(self.context.global, self.context.variables) {
            Some(chosen) if chosen != environment => format!("this job applies {} only", code(&chosen, 120)),
            None if environments.iter().all(|known| known != environment) => {
                format!("terrace.yaml has no environment {name}")
            }
            _ => "no file of the checkout describes it, so its objects stay as they are".to_owned(),
        }
    }

    /// Prints the outcome of a plan.
    fn log(&self, applied: &Applied) -> Result<(), Failure> {
        let line = format!("apply {}: {}", applied.stack, page::without_markup(&applied.outcome));
        self.context.ui.print(&format!("{}\n", inert(&line)))
    }

    /// The reason why a changed plan of a product is not approved on this request.
    fn excluded(
        &self,
        target: &Target,
        (older, is_outdated): (Option<&str>, bool),
        later: Option<&Later>,
    ) -> Option<Excluded> {
        let (sign, word) = (self.forge.vendor().sign(), self.forge.vendor().request());
        let change = "later commits of the branch change the product, too";
        let number = self.request.number;
        match (older, later) {
            (None, None) => None,
            (Some(_), Some(_)) if is_outdated => {
                let branch = &self.request.target;
                let reason = format!(
                    "the checkout is not the newest commit of {branch} at origin, and {change}: run terrace pr apply --request \
                     {number} in a new checkout of the branch"
                );
                Some(Excluded { reason, is_outdated: true })
            }
            (Some(older), _) => Some(Excluded { reason: older.to_owned(), is_outdated: false }),
            (None, Some(later)) => {
                let reason = match later {
                    Later::Request(newest) => {
                        format!("{change}: approve its plan on {sign}{newest}, which has the newest one")
                    }
                    Later::Unknown => format!("{change}: approve its plan on the newest {word} of the product"),
                    Later::Direct(commit) => format!(
                        "{change}, and the newest one, {commit}, belongs to no {word}: run {}, or change the product in a new {word}",
                        target.command_of("apply")
                    ),
                };
                Some(Excluded { reason, is_outdated: false })
            }
        }
    }

    /// The request of the newest change of a product after the merge.
    async fn later(&self, folders: &[PathBuf], target: &Target, commits: &[String]) -> Result<Later, Failure> {
        for commit in commits.iter().rev().take(MOST_COMMITS) {
            let parents = self.checkout.parents(commit)?;
            let Some(parent) = parents.first() else { break };
            let changed = self.checkout.changed(parent, commit)?;
            if !scope::Common::new(self.context, folders, &changed)?.touches(&target.unit, &target.environment) {
                continue;
            }
            return Ok(match self.forge.merged_with(commit).await {
                Err(_) => Later::Unknown,
                Ok(requests) => match requests.iter().find(|request| request.number != self.request.number) {
                    Some(request) => Later::Request(request.number),
                    None if requests.is_empty() => Later::Direct(commit.clone()),
                    None => Later::Unknown,
                },
            });
        }
        Ok(Later::Unknown)
    }

    /// The newest commit of the target branch that the clone has.
    fn newest(&self) -> Result<String, Failure> {
        let head = self.checkout.commit("HEAD")?;
        let newest = self.checkout.find(&format!("refs/remotes/origin/{}", self.request.target))?;
        Ok(match newest {
            Some(newest) if self.checkout.is_ancestor(&head, &newest)? => newest,
            _ => head,
        })
    }

    /// The reason why no plan is approved in this checkout: it is older than the target branch, so that its plans may undo
    /// later requests.
    fn older(&self) -> Result<Option<String>, Failure> {
        let (branch, number) = (&self.request.target, self.request.number);
        let newest = self.checkout.find(&format!("refs/remotes/origin/{branch}"))?;
        Ok(match newest == Some(self.checkout.commit("HEAD")?) {
            true => None,
            false => Some(format!(
                "the checkout is not the newest commit of {branch} at origin, so no changed plan is approved here: run terrace pr apply --request {number} in a new checkout of the branch"
            )),
        })
    }

    /// The products to apply: those with a reviewed plan, and those that the merge touches.
    async fn targets(&self, record: Option<&Record>, merge: &Merge) -> Result<Targets, Failure> {
        let context = self.context;
        let folders = &scope::folders(self.checkout, &self.arguments.scope.paths, &[&merge.before, &merge.commit])?;
        let changed = self.checkout.changed(&merge.before, &merge.commit)?;
        scope::check_submodules(folders, &changed)?;
        let environments = scope::environments(context, folders)?;
        let common = scope::Common::new(context, folders, &changed)?;
        let newest = self.newest()?;
        let later = self.checkout.changed(&merge.commit, &newest)?;
        let later_common = scope::Common::new(context, folders, &later)?;
        let existing: Vec<PathBuf> = folders.iter().filter(|folder| folder.exists()).cloned().collect();
        let base = Base::read(&existing, &merge.before)?;
        let (before, mut notes) = scope::before(context, base, &environments, folders).await;
        notes.extend(job_state::remark(context, folders)?);
        let is_reviewed = |unit: &Unit, environment: &str| {
            let environment = unit.environment.as_deref().unwrap_or(environment);
            let stack = format!("{}@{environment}", unit.stack);
            record.is_some_and(|record| record.plans.iter().any(|plan| plan.stack == stack))
        };
        let is_touched =
            |unit: &Unit, environment: &str| is_reviewed(unit, environment) || common.touches(unit, environment);
        let scope = scope::find(context, &environments, folders, &before.units, is_touched).await;
        let commits = match later.is_empty() {
            true => Vec::new(),
            false => self.checkout.between(&merge.commit, &newest)?,
        };
        let mut superseded = BTreeMap::new();
        for target in &scope.targets {
            if later_common.touches(&target.unit, &target.environment) {
                superseded.insert(target.stack(), self.later(folders, target, &commits).await?);
            }
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
        let is_outdated = newest != self.checkout.commit("HEAD")?;
        Ok(Targets {
            targets: scope.targets,
            others,
            superseded,
            is_outdated,
            environments,
            failures: scope.failures,
            notes,
        })
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

    /// Applies a product. Other jobs may change it meanwhile: only a plan that two readings agree on is refused.
    async fn apply(
        &self,
        target: &Target,
        review: Review<'_>,
        approval: &dyn Approval,
        others: Option<&Vec<String>>,
        excluded: Option<&Excluded>,
    ) -> Result<Applied, Failure> {
        let paths: Vec<String> = target.files().into_iter().chain(others.into_iter().flatten().cloned()).collect();
        let mut last: Option<(String, Applied)> = None;
        let until = Instant::now() + self.context.global.lock_timeout.unwrap_or(LONGEST_WAIT);
        for _ in 1..MOST_PLANS {
            let ready = match self.ready(target, until).await {
                Ok(ready) => ready,
                Err(refused) => return Ok(refused),
            };
            match last {
                Some((digest, applied)) if digest == ready.digest => return Ok(applied),
                _ => {}
            }
            match self.attempt(target, &ready, review, approval, (&paths, excluded)).await? {
                Attempted::Ended(applied) => return Ok(applied),
                Attempted::Differs(applied) => last = Some((ready.digest, applied)),
            }
        }
        Ok(last.map_or_else(
            || Applied {
                stack: target.stack(),
                outcome: "not applied: other operations kept changing it".to_owned(),
                end: End::Left,
                details: String::new(),
            },
            |(_, applied)| applied,
        ))
    }

    /// Plans a product after all operations that work on it. An operation that was interrupted is recovered first.
    ///
    /// # Errors
    /// With the outcome of a product that cannot be planned.
    async fn ready(&self, target: &Target, until: Instant) -> Result<Ready, Applied> {
        let stack = target.stack();
        let refused = |outcome: &str, details: String| Applied {
            stack: stack.clone(),
            outcome: outcome.to_owned(),
            end: End::Left,
            details,
        };
        let mut planned = planned::plan(self.context, target, None).await;
        for _ in 1..MOST_PLANS {
            let waited = match &planned {
                Ok(ready) => self.wait(target, &ready.plan, until).await,
                Err(_) => Ok(false),
            };
            match waited {
                Ok(false) => break,
                Ok(true) => planned = planned::plan(self.context, target, None).await,
                Err(messages) => {
                    return Err(refused(
                        "not applied: terrace could not wait for other operations on it",
                        planned::failed(&stack, &messages),
                    ));
                }
            }
        }
        if planned.as_ref().is_ok_and(|ready| ready.plan.has_interrupted_steps()) {
            // The digest of the review knows nothing of the interrupted run.
            if let Err((_, messages)) = self.recover(target).await {
                let outcome = "not applied: an interrupted run left a step that terrace cannot resolve";
                return Err(refused(outcome, planned::failed(&stack, &messages)));
            }
            planned = planned::plan(self.context, target, None).await;
            if let Ok(ready) = &mut planned {
                ready.is_recovered = true;
            }
        }
        match planned {
            Ok(ready) if ready.is_in_doubt() => {
                let outcome =
                    format!("not applied: a step is in doubt; resolve it with {}", code(&recovery(&stack), LONGEST));
                Err(refused(&outcome, ready.markdown(target, LARGEST_PLAN)))
            }
            Ok(ready) => match ready.errors() {
                None => Ok(ready),
                Some(errors) => {
                    errors.iter().for_each(|error| self.publisher.note(&format!("{stack}: {error}")));
                    Err(refused("not applied: the plan has errors", ready.markdown(target, LARGEST_PLAN)))
                }
            },
            Err(messages) => {
                messages.iter().for_each(|message| self.publisher.note(&format!("{stack}: {message}")));
                Err(refused("not applied: it cannot be planned", planned::failed(&stack, &messages)))
            }
        }
    }

    /// Waits until no other operation works on the objects of a plan. Returns true if there was one: the plan may have the
    /// state in the middle of it.
    ///
    /// # Errors
    /// With the messages, if an operation runs longer than the patience allows.
    async fn wait(&self, target: &Target, plan: &Plan, until: Instant) -> Result<bool, Vec<String>> {
        planned::in_environment(self.context, &target.environment, async |context| {
            let settings = context.settings(target.unit.paths.first().map(PathBuf::as_path))?;
            if is_missing(&settings.state) {
                return Ok(false);
            }
            let env_context = EnvironmentContext::of_settings(&settings, context.ui)?;
            let store = store(&settings, Access::ReadWrite).await?;
            let patience = until.saturating_duration_since(Instant::now());
            let execution = execution(&settings, self.signals, usize::from(RunArguments::PARALLELISM));
            let execution = Execution { lock_timeout: patience, ..execution };
            let progress = Progress::for_people(self.context.ui, true);
            let applier = env_context.engine.applier(store, &execution, progress, Attempt::default());
            Ok(applier.wait_for_contenders(plan, Uuid::now_v7()).await?)
        })
        .await
    }

    /// Applies a plan if it may be applied.
    async fn attempt(
        &self,
        target: &Target,
        ready: &Ready,
        review: Review<'_>,
        approval: &dyn Approval,
        (paths, excluded): (&[String], Option<&Excluded>),
    ) -> Result<Attempted, Failure> {
        let stack = target.stack();
        let is_reviewed = review.is_of(ready);
        let refused = |outcome: String, details: String| {
            let applied = Applied { stack: stack.clone(), outcome, end: End::Left, details };
            if is_reviewed { Attempted::Ended(applied) } else { Attempted::Differs(applied) }
        };
        let done = |outcome: &str, end: End| {
            let outcome = outcome.to_owned();
            Attempted::Ended(Applied { stack: stack.clone(), outcome, end, details: String::new() })
        };
        Ok(match self.step(ready, review, approval, paths, excluded).await? {
            Step::Done(outcome) => done(outcome, End::Unchanged),
            Step::Exclude(reason) => refused(reason, ready.markdown(target, LARGEST_PLAN)),
            Step::Refuse(reason) => {
                let details = format!(
                    "\nTo approve this plan of {}, an owner of its files writes as a comment:\n\n```text\n{COMMAND} {}\n```\n\n{}",
                    code(&stack, 120),
                    ready.digest,
                    ready.markdown(target, LARGEST_PLAN)
                );
                refused(reason, details)
            }
            Step::Apply => {
                let Err((exit, messages)) = self.carry_out(target, &ready.digest).await else {
                    return Ok(done("applied", End::Applied));
                };
                let (outcome, end) = match exit {
                    Exit::PartlyApplied => ("applied with failures", End::Partly),
                    Exit::Interrupted => ("interrupted", End::Partly),
                    _ => ("not applied", End::Left),
                };
                let details = planned::failed(&stack, &messages);
                let applied = Applied { stack: stack.clone(), outcome: outcome.to_owned(), end, details };
                // Another operation may have changed the product since the plan.
                if exit == Exit::Refused { Attempted::Differs(applied) } else { Attempted::Ended(applied) }
            }
        })
    }

    /// Decides whether a plan may be applied.
    async fn step(
        &self,
        ready: &Ready,
        review: Review<'_>,
        approval: &dyn Approval,
        paths: &[String],
        excluded: Option<&Excluded>,
    ) -> Result<Step, Failure> {
        if !ready.plan.has_changes() {
            return Ok(Step::Done("nothing to do"));
        }
        if !ready.is_covered() {
            return Ok(Step::Exclude(
                "not applied: its digest covers no sensitive values without a state key".to_owned(),
            ));
        }
        if let Some(Excluded { reason, .. }) = excluded.filter(|excluded| excluded.is_outdated) {
            return Ok(Step::Exclude(format!("not applied: {}", prose(reason, LONGEST))));
        }
        let writer = self.publisher.writer(&self.arguments.scope.name);
        let why = match review.entry {
            None if !review.has_comment => Some(
                "it was not reviewed, because the comment of terrace with its digest is missing (it was deleted, or no job wrote it)"
                    .to_owned(),
            ),
            None => Some("it was not reviewed".to_owned()),
            Some((record, plan)) if ready.has_key() && !ready.authenticates(plan, record, writer) => {
                Some("its reviewed digest was not written with the state key by this job".to_owned())
            }
            Some((_, plan)) if !ready.has_digest(&plan.digest) => {
                let cause = match ready.is_recovered {
                    true => "an interrupted run applied a part of the reviewed plan",
                    false => "the plan changed after the review",
                };
                Some(format!("**stale: {cause}**, from {} to {}", code(&plan.digest, 12), code(&ready.digest, 12)))
            }
            Some(_) => ready.needs_approval().map(str::to_owned),
        };
        let Some(why) = why else { return Ok(Step::Apply) };
        // Other plans may have changes of other requests, whose authors would approve them here.
        let is_reviewed = review.entry.is_some_and(|(record, plan)| {
            ready.has_key() && ready.authenticates(plan, record, writer) && ready.has_digest(&plan.digest)
        });
        if let Some(Excluded { reason, .. }) = excluded.filter(|_| !is_reviewed) {
            return Ok(Step::Exclude(format!("not applied: {why}, and {}", prose(reason, LONGEST))));
        }
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
    ///
    /// # Errors
    /// With the exit code and the messages, unless all steps succeeded.
    async fn carry_out(&self, target: &Target, digest: &str) -> Result<(), (Exit, Vec<String>)> {
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
            cluster_of: None,
            run,
        };
        self.in_log(target, async |context| crate::commands::apply::run(context, &arguments, self.signals).await).await
    }

    /// Resolves the steps of a stack that a run left open when it was killed.
    ///
    /// # Errors
    /// With the messages, if a step stays in doubt or the run has not ended.
    async fn recover(&self, target: &Target) -> Result<(), (Exit, Vec<String>)> {
        let arguments = RecoverArguments { stacks: vec![target.stack()], ..RecoverArguments::default() };
        self.in_log(target, async |context| crate::commands::recover::run(context, &arguments, self.signals).await)
            .await
    }

    /// Runs a command in the environment of a target, with its messages in the log of the job.
    ///
    /// # Errors
    /// With the exit code and the messages of a command that failed.
    async fn in_log(
        &self,
        target: &Target,
        command: impl AsyncFnOnce(&Context<'_>) -> Result<Exit, Failure>,
    ) -> Result<(), (Exit, Vec<String>)> {
        let global = Global { env: Some(target.environment.clone()), input: false, ..self.context.global.clone() };
        let ui = self.context.ui.separate();
        match command(&Context { global: &global, ui: &ui, ..*self.context }).await {
            Ok(Exit::Done) => Ok(()),
            Ok(exit) => Err((exit, vec!["some steps failed; the log of the job names them".to_owned()])),
            Err(failure) => {
                ui.fail(&failure);
                Err((failure.exit, messages(&ui, &failure)))
            }
        }
    }
}

/// The command that resolves the steps of a stack.
fn recovery(stack: &str) -> String {
    format!("terrace recover {}", shell_word(stack))
}
