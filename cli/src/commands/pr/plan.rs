//! `terrace pr plan`: plans the changed products of a request, and shows them to its reviewers.

use super::commits::Checkout;
use super::job_state;
use super::page::{self, Facts, Page};
use super::planned::{self, Outcome, Target, messages};
use super::publish::{self, Output, Publisher, failure, inert};
use super::scope::{self, Scope};
use super::untrusted;
use crate::args::PrPlanArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::Base;
use serde_json::{Map, Value as Json, json};
use std::path::PathBuf;
use terrace_engine::plan::file;
use terrace_forge::record::{Kind, Record, marker};
use terrace_forge::{Access, Check, Forge, Request, RequestState, Verdict, comment, job};

/// The most attempts to write a comment that other jobs replace.
const MOST_WRITES: usize = 3;

/// The commits of a request in the clone.
struct Commits {
    /// The commit whose files are planned: the merge result, or the head.
    tip: String,
    /// The commit without its changes.
    base: String,
}

/// The request of a job.
struct Event {
    number: Option<u64>,
    head: String,
    base: Option<String>,
    is_queue: bool,
}

/// The result of a job, before anything is published.
struct Planned {
    number: u64,
    page: Page,
    /// The commit of the check.
    commit: String,
    /// True if the page becomes the comment of the request.
    is_comment: bool,
}

/// Plans a request.
///
/// # Errors
/// When the job has no request, a plan has errors, or the forge fails.
pub(super) async fn run(context: &Context<'_>, arguments: &PrPlanArguments) -> Result<Exit, Failure> {
    let job = publish::job(context.variables)?;
    let publisher = Publisher::new(&job, context.ui);
    let event = match &job.event {
        job::Event::Request { number, head, base } => {
            Event { number: Some(*number), head: head.clone(), base: base.clone(), is_queue: false }
        }
        job::Event::Queue { number, head, base } => {
            Event { number: *number, head: head.clone(), base: base.clone(), is_queue: true }
        }
        job::Event::Mention { .. } | job::Event::Push { .. } | job::Event::Other => {
            return Err(Failure::new(format!("this job has no open {}", job.vendor.request()))
                .hint("run `terrace pr plan` in the jobs of requests: `on: pull_request`, or `merge_request_event`"));
        }
    };
    let name = &arguments.scope.name;
    let ui = context.ui.separate();
    let planned = match planned(&Context { ui: &ui, ..*context }, arguments, &publisher, &event).await {
        Ok(Some(planned)) => planned,
        Ok(None) => {
            publisher.finish()?;
            return Ok(Exit::Done);
        }
        Err(failure) => {
            // The job fails because of this failure, even if the forge fails, too.
            if let Err(other) = publish_failure(&publisher, name, &event, &messages(&ui, &failure)).await {
                if other.message != failure.message {
                    publisher.fail(&other);
                }
                publisher.finish()?;
            }
            return Err(failure);
        }
    };
    let Planned { number, mut page, commit, is_comment } = planned;
    if is_comment && !publish(&publisher, name, (number, &event.head), &page.text).await? {
        page = page::without_comment(page);
    }
    let Page { text, verdict, title } = page;
    publisher.check(&check(&publisher, name, &commit, (verdict, title.clone()), text.clone())).await?;
    publisher.summary(&text)?;
    context.ui.print(&format!("result: {title}\n"))?;
    match verdict {
        Verdict::Failure => Err(Failure::reported(Exit::Error)),
        Verdict::Success | Verdict::Waiting => Ok(Exit::Done),
    }
}

/// Publishes a failure before the end of the plans. Its comment replaces the plans of an older commit: the merge must not
/// apply these as if they were those of the newest commit.
///
/// # Errors
/// When the forge fails.
async fn publish_failure(
    publisher: &Publisher<'_>,
    name: &str,
    event: &Event,
    messages: &[String],
) -> Result<(), Failure> {
    let text = page::failure(publisher.job.vendor, name, &event.head, messages);
    publisher.summary(&text)?;
    let title = "the request cannot be planned".to_owned();
    if let Some(number) = event.number.filter(|_| !event.is_queue) {
        publish(publisher, name, (number, &event.head), &text).await?;
    }
    publisher.check(&check(publisher, name, &event.head, (Verdict::Failure, title), text)).await
}

/// Plans a request, and writes the files of its plans. The result is `None` for a request that is not open: the merge applies
/// what reviewers saw before it, and no later job may renew the digests.
///
/// # Errors
/// When the checkout has other commits, a file cannot be read or written, or the forge fails.
async fn planned(
    context: &Context<'_>,
    arguments: &PrPlanArguments,
    publisher: &Publisher<'_>,
    event: &Event,
) -> Result<Option<Planned>, Failure> {
    let Event { number, head, base, is_queue } = event;
    let (job, name) = (publisher.job, &arguments.scope.name);
    let checkout = Checkout::here()?;
    let output = Output::create(&arguments.out)?;
    let request = request(publisher, *number).await?;
    if let Some(request) = request.as_ref().filter(|request| request.state != RequestState::Open) {
        let state = if request.state == RequestState::Merged { "merged" } else { "closed" };
        let (sign, word) = (job.vendor.sign(), job.vendor.request());
        let number = request.number;
        context.ui.print(&format!("result: {sign}{number} is {state}, and terrace plans an open {word} only\n"))?;
        return Ok(None);
    }
    let base = base.clone().or_else(|| request.as_ref().map(|request| request.base.clone()));
    let distrust = distrust(publisher.forge(), request.as_ref()).await?;
    let number = number.or_else(|| request.as_ref().map(|request| request.number)).unwrap_or_default();
    if let Some(reason) = &distrust {
        context.ui.print_message(&inert(&format!("note: the request is untrusted: {reason}")));
        if *is_queue {
            let text = "The request is untrusted: terrace plans it after its merge.\n".to_owned();
            let title = "an untrusted request is planned after its merge".to_owned();
            let page = Page { text, verdict: Verdict::Waiting, title };
            return Ok(Some(Planned { number, page, commit: head.clone(), is_comment: false }));
        }
        let page =
            untrusted::page(context, arguments, &checkout, (head, base.as_deref()), (job, number, reason)).await?;
        output.write("comment.md", &page.text)?;
        return Ok(Some(Planned { number, page, commit: head.clone(), is_comment: true }));
    }
    let commits = commits(&checkout, head, base.as_deref())?;
    let folders = scope::folders(&checkout, &arguments.scope.paths, &[&commits.base, &commits.tip])?;
    job_state::check(context, &folders)?;
    let (mut scope, plans) = plans(context, &checkout, &folders, &commits).await?;
    scope.notes.extend(request.and_then(|request| behind(&checkout, &request, &commits.tip).transpose()).transpose()?);
    let facts = Facts {
        vendor: job.vendor,
        writer: publisher.writer(name),
        request: number,
        commit: head,
        removed: &scope.removed,
        failures: &scope.failures,
        notes: &scope.notes,
        folder: arguments.out.display().to_string(),
    };
    let page = page::plans(&facts, &plans);
    log(context, &scope, &plans)?;
    write(&output, &plans, &page)?;
    Ok(Some(match is_queue {
        true => {
            let page = queued(publisher, name, number, &plans, page).await?;
            Planned { number, page, commit: commits.tip, is_comment: false }
        }
        false => Planned { number, page, commit: head.clone(), is_comment: true },
    }))
}

/// A remark about commits of the target branch that the planned commit lacks.
///
/// # Errors
/// When `git` cannot be run.
fn behind(checkout: &Checkout, request: &Request, tip: &str) -> Result<Option<String>, Failure> {
    let target = &request.target;
    let newest = checkout.find(&format!("refs/remotes/origin/{target}"))?;
    let Some(newest) = newest.map_or_else(|| checkout.find(&request.base), |newest| Ok(Some(newest)))? else {
        return Ok(None);
    };
    Ok(match checkout.missing(tip, &newest)? {
        0 => None,
        count => Some(format!(
            "The branch lacks {count} commit{} of {target}. Plans may undo their changes, and the merge makes such plans stale: \
             merge or rebase {target}.",
            if count == 1 { "" } else { "s" }
        )),
    })
}

/// Prints the outcome of each plan, its errors, and remarks.
///
/// # Errors
/// When standard output cannot be written.
fn log(context: &Context<'_>, scope: &Scope, plans: &[(Target, Outcome)]) -> Result<(), Failure> {
    for (target, outcome) in plans {
        let (result, errors) = match outcome {
            Ok(ready) => match ready.errors() {
                // A plan with errors cannot be approved.
                Some(errors) => (ready.counts(), errors),
                None => (format!("{}, digest {}", ready.counts(), ready.digest), Vec::new()),
            },
            Err(messages) => ("failed".to_owned(), messages.clone()),
        };
        context.ui.print(&format!("{}\n", inert(&format!("plan {}: {result}", target.stack()))))?;
        // Both on standard output: a job shows each stream in its own order.
        for error in errors {
            let severity = if planned::is_warning(&error) { "" } else { "error: " };
            context.ui.print(&format!("  {severity}{}\n", inert(&error)))?;
        }
    }
    for (environment, messages) in &scope.failures {
        let message = format!("error: the products of {environment} cannot be read: {}", messages.join("; "));
        context.ui.print(&format!("{}\n", inert(&message)))?;
    }
    for note in &scope.notes {
        context.ui.print(&format!("note: {}\n", inert(note)))?;
    }
    Ok(())
}

/// Writes the comment, unless the request has another head by now: the job of an older commit may end after that of the
/// newest one. Forges have no conditional update, so two jobs may write at the same time. Each job reads the comment again
/// after its write: the job of the newest commit repeats a lost write, and the job of an older commit reverts its own. Returns
/// false if the token may not write it.
///
/// # Errors
/// When the forge fails.
async fn publish(
    publisher: &Publisher<'_>,
    name: &str,
    (number, head): (u64, &str),
    text: &str,
) -> Result<bool, Failure> {
    let Some(forge) = publisher.forge() else { return Ok(false) };
    let marker = marker(Kind::Plan, name);
    for _ in 0..MOST_WRITES {
        let word = publisher.job.vendor.request();
        match standing(forge, number, head).await? {
            Standing::Current => {}
            Standing::Newer(newer) => {
                publisher.note(&format!("the {word} is at {newer} by now: the job of that commit writes the comment"));
                return Ok(true);
            }
            Standing::Ended => {
                publisher.note(&format!("the {word} is merged or closed by now: its comment stays as it was"));
                return Ok(true);
            }
        }
        let replaced = match comment::upsert(forge, number, &marker, text).await {
            Ok(replaced) => replaced,
            Err(error) => return publisher.tolerate(Err(error)).map(|()| false),
        };
        let newer = match standing(forge, number, head).await? {
            Standing::Newer(newer) => Some(newer),
            Standing::Current | Standing::Ended => None,
        };
        let found = comment::find(forge, number, &marker).await.map_err(failure)?;
        let is_own = found.as_ref().is_none_or(|(_, text)| page::is_of(text, head));
        match (found, newer) {
            (Some((id, _)), Some(newer)) if is_own => {
                let text = replaced.filter(|text| page::is_of(text, &newer));
                let text = text.unwrap_or_else(|| page::outdated(name, &newer));
                return publisher.tolerate(forge.update_comment(number, id, &text).await).map(|()| true);
            }
            (_, None) if !is_own => {}
            _ => return Ok(true),
        }
    }
    publisher.note("jobs of older commits replaced the comment again and again: run this job again");
    Ok(true)
}

/// The present state of a request.
enum Standing {
    /// The job's commit is its newest one.
    Current,
    /// This is its newest commit.
    Newer(String),
    /// It is merged or closed.
    Ended,
}

/// Reads the present state of a request.
///
/// # Errors
/// When the forge fails. Without the permission to read requests, the commit counts as the newest: the write reports the
/// permission.
async fn standing(forge: &dyn Forge, number: u64, head: &str) -> Result<Standing, Failure> {
    match forge.request(number).await {
        Ok(now) if now.state != RequestState::Open => Ok(Standing::Ended),
        Ok(now) if now.head != head => Ok(Standing::Newer(now.head)),
        Ok(_) => Ok(Standing::Current),
        Err(error) if error.is_denied() => Ok(Standing::Current),
        Err(error) => Err(failure(error)),
    }
}

/// A check of the job.
fn check(
    publisher: &Publisher<'_>,
    name: &str,
    commit: &str,
    (verdict, title): (Verdict, String),
    summary: String,
) -> Check {
    let run = publisher.job.run.clone();
    Check { commit: commit.to_owned(), name: format!("{name} plan"), verdict, title, summary, run }
}

/// Reads the request. `None` without a token or a permission.
///
/// # Errors
/// When the forge fails.
async fn request(publisher: &Publisher<'_>, number: Option<u64>) -> Result<Option<Request>, Failure> {
    let (Some(forge), Some(number)) = (publisher.forge(), number) else { return Ok(None) };
    match forge.request(number).await {
        Ok(request) => Ok(Some(request)),
        Err(error) if error.is_denied() => publisher.tolerate(Err(error)).map(|()| None),
        Err(error) => Err(failure(error)),
    }
}

/// The reason why a request is untrusted; `None` for a branch of this repository by an account that may write.
///
/// # Errors
/// When the forge fails. A denied call counts as a reason.
async fn distrust(forge: Option<&dyn Forge>, request: Option<&Request>) -> Result<Option<String>, Failure> {
    let (Some(forge), Some(request)) = (forge, request) else {
        return Ok(Some(
            "its author is unknown, because the job has no token or no permission to read the request".to_owned(),
        ));
    };
    if request.is_fork {
        return Ok(Some("it comes from a fork".to_owned()));
    }
    match forge.access(&request.author).await {
        Ok(Access::Write | Access::Maintain) => Ok(None),
        Ok(Access::Read) => Ok(Some(format!("its author {} may not write to the repository", request.author.name))),
        Err(error) if error.is_denied() => {
            Ok(Some(format!("the access of its author {} cannot be read: {error}", request.author.name)))
        }
        Err(error) => Err(failure(error)),
    }
}

/// The commits of a trusted request, whose files are checked out.
///
/// # Errors
/// When another commit is checked out, or the clone lacks a commit.
fn commits(checkout: &Checkout, head: &str, base: Option<&str>) -> Result<Commits, Failure> {
    let tip = checkout.commit("HEAD")?;
    let parents = checkout.parents(&tip)?;
    match parents.as_slice() {
        [first, second] if *second == head => return Ok(Commits { base: first.clone(), tip }),
        _ if tip == head => {}
        _ => {
            return Err(Failure::new(format!("the checkout has the commit {tip}, and the request is at {head}"))
                .hint("check out the request: the default of actions/checkout and of GitLab")
                .hint("the job of an older commit may end so: the job of the newer commit reports"));
        }
    }
    let base = base.ok_or_else(|| Failure::new("the job does not name the commit of the target branch"))?;
    let base = checkout.merge_base(&checkout.commit(base)?, &tip)?;
    Ok(Commits { tip, base })
}

/// Plans the products that a request changes.
///
/// # Errors
/// When the configuration is invalid or a commit cannot be read.
async fn plans(
    context: &Context<'_>,
    checkout: &Checkout,
    folders: &[PathBuf],
    commits: &Commits,
) -> Result<(Scope, Vec<(Target, Outcome)>), Failure> {
    let changed = checkout.changed(&commits.base, &commits.tip)?;
    scope::check_submodules(folders, &changed)?;
    let environments = scope::environments(context, folders)?;
    let common = scope::Common::new(context, folders, &changed)?;
    let is_all = !common.of_all.is_empty();
    let existing: Vec<PathBuf> = folders.iter().filter(|folder| folder.exists()).cloned().collect();
    let base = Base::read(&existing, &commits.base)?;
    let (before, notes) = scope::before(context, base, &environments, folders).await;
    let is_touched = |unit: &super::units::Unit, environment: &str| common.touches(unit, environment);
    let mut scope = scope::find(context, &environments, folders, &before.units, is_touched).await;
    scope.notes.extend(notes);
    scope.notes.extend(scope::unread_values(context, folders, &changed)?);
    scope.notes.extend(job_state::remark(context, folders)?);
    if is_all {
        scope
            .notes
            .push("The request changes the configuration or blueprints, so all products are planned.".to_owned());
    }
    let mut plans = Vec::new();
    for target in &scope.targets {
        let outcome = planned::plan(context, target, Some(&before)).await;
        plans.push((target.clone(), outcome));
    }
    let remarks: Vec<String> = plans.iter().flat_map(|plan| about_reads(plan, &plans)).collect();
    scope.notes.extend(remarks);
    Ok((scope, plans))
}

/// What to do about a stack that reads outputs of another stack of the request: each is planned from the applied outputs.
fn about_reads((target, outcome): &(Target, Outcome), plans: &[(Target, Outcome)]) -> Vec<String> {
    let needed = |(other, outcome): &&(Target, Outcome)| {
        let changes = outcome.as_ref().map_or(true, |ready| ready.plan.has_changes());
        target.unit.reads.contains(&other.unit.stack) && other.environment == target.environment && changes
    };
    let is_failed = outcome.as_ref().map_or(true, |ready| ready.plan.is_errored);
    let reader = target.stack();
    let remark = |(other, _): &(Target, Outcome)| {
        let other = other.stack();
        match is_failed {
            true => format!(
                "{reader} reads outputs of {other}, which this request changes, too. If they are missing: move {reader} to another request, \
                 and plan that one after the merge of this one."
            ),
            false => format!(
                "{reader} reads outputs of {other}, which this request changes, too. If these outputs change, the plan of {reader} is stale \
                 after the merge: approve its new plan then, and run the job again."
            ),
        }
    };
    plans.iter().filter(needed).map(remark).collect()
}

/// Writes the plan files, their digests and the comment.
///
/// # Errors
/// When a file cannot be written.
fn write(output: &Output, plans: &[(Target, Outcome)], page: &Page) -> Result<(), Failure> {
    let mut listed = Vec::new();
    let add_messages = |entry: &mut Map<String, Json>, messages: Vec<String>| {
        let (warnings, errors): (Vec<String>, Vec<String>) =
            messages.into_iter().partition(|message| planned::is_warning(message));
        entry.insert("errors".to_owned(), errors.into());
        entry.insert("warnings".to_owned(), warnings.into());
    };
    for (number, (target, outcome)) in plans.iter().enumerate() {
        let mut entry = Map::new();
        entry.insert("stack".to_owned(), target.stack().into());
        entry.insert("environment".to_owned(), target.environment.as_str().into());
        entry.insert("files".to_owned(), target.files().into());
        match outcome {
            Ok(ready) => {
                match ready.errors() {
                    Some(errors) => add_messages(&mut entry, errors),
                    None => drop(entry.insert("digest".to_owned(), ready.digest.as_str().into())),
                }
                entry.insert("summary".to_owned(), ready.counts().into());
                entry.insert("destructive".to_owned(), ready.is_destructive().into());
                // Without a state key, a plan with sensitive values cannot be saved.
                if let Ok(text) = file::write(&ready.plan, &ready.seal).map_err(drop)
                    && !ready.plan.is_errored
                {
                    let name = format!("{:03}.plan.json", number + 1);
                    output.write(&name, &text)?;
                    entry.insert("plan".to_owned(), name.into());
                }
            }
            Err(messages) => add_messages(&mut entry, messages.clone()),
        }
        listed.push(entry);
    }
    output.write("plans.json", &format!("{:#}\n", json!({ "plans": listed })))?;
    output.write("comment.md", &page.text)
}

/// The result of a merge queue: every plan must be the reviewed one.
///
/// # Errors
/// When the forge fails.
async fn queued(
    publisher: &Publisher<'_>,
    name: &str,
    number: u64,
    plans: &[(Target, Outcome)],
    page: Page,
) -> Result<Page, Failure> {
    if page.verdict == Verdict::Failure {
        return Ok(page);
    }
    let Some(forge) = publisher.forge() else { return Ok(page) };
    let found = comment::find(forge, number, &marker(Kind::Plan, name)).await.map_err(failure)?;
    let record = found.and_then(|(_, text)| Record::of_comment(&text));
    let writer = publisher.writer(name);
    let is_reviewed = |(target, outcome): &&(Target, Outcome)| {
        let (Ok(ready), Some(record)) = (outcome, &record) else { return false };
        let entry = record.plans.iter().find(|plan| plan.stack == target.stack());
        // Without a key, the merge applies nothing without an approval.
        let is_proven = |entry| !ready.has_key() || ready.authenticates(entry, record, writer);
        !ready.plan.has_changes() || entry.is_some_and(|entry| ready.has_digest(&entry.digest) && is_proven(entry))
    };
    let stale = plans.len() - plans.iter().filter(is_reviewed).count();
    Ok(match stale {
        0 => Page { title: format!("{} as reviewed", page::counted(plans.len(), "plan", ("is", "are"))), ..page },
        stale => Page {
            title: format!("{stale} of {} plans are stale: the target branch changed after the review", plans.len()),
            verdict: Verdict::Failure,
            ..page
        },
    })
}
