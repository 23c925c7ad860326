//! `terrace pr drift`: one issue for each stack, opened, updated and closed with its drift.

use super::job_state;
use super::planned::{errors_of, in_environment};
use super::publish::{Publisher, inert, job};
use super::scope::environments;
use crate::args::PrDriftArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::planner;
use crate::stacks::without_shared;
use crate::wiring::{EnvironmentContext, store};
use std::collections::BTreeSet;
use terrace_engine::address::StackId;
use terrace_engine::drift::{Detector, uncertainty};
use terrace_engine::plan::Note;
use terrace_engine::plan::options::Options;
use terrace_engine::render::markdown::{Drift, code, drift};
use terrace_engine::source::Sources;
use terrace_engine::store::Selection;
use terrace_engine::text::shell_word;
use terrace_forge::record::{Kind, is_marked, marked_name, marker};
use terrace_forge::{Account, Forge, Issue};
use terrace_state::Access;

/// The limit of an issue in characters; both forges accept it.
const LARGEST: usize = 60_000;

/// The longest name of a stack in an issue, in characters.
const WIDEST: usize = 120;

/// The drift of a stack.
struct Found {
    stack: StackId,
    text: String,
    has_drift: bool,
    /// Why there may be unknown drift.
    uncertainty: Option<&'static str>,
    /// The errors with the objects, and their remedies.
    errors: Vec<String>,
}

/// Reports the drift of all stacks.
///
/// # Errors
/// When the state or the forge cannot be read. An object that cannot be read is an error after the report.
pub(super) async fn run(context: &Context<'_>, arguments: &PrDriftArguments) -> Result<Exit, Failure> {
    let job = job(context.variables)?;
    let publisher = Publisher::new(&job, context.ui);
    job_state::check_existing(context)?;
    let (mut found, mut failures, mut read) = (Vec::new(), Vec::new(), BTreeSet::new());
    for environment in environments(context, &[])? {
        match in_environment(context, &environment, async |context| detect(context).await).await {
            Ok(stacks) => {
                found.extend(stacks);
                read.insert(environment);
            }
            Err(messages) => {
                failures.push(format!("the environment {environment} cannot be read: {}", messages.join("; ")))
            }
        }
    }
    let mut is_unread = false;
    let issues = match publisher.forge() {
        None => None,
        Some(forge) => match issues(forge, &arguments.label).await {
            Ok(issues) => Some((forge, issues)),
            Err(error) => {
                is_unread = true;
                publisher.tolerate(Err(error)).map(|()| None)?
            }
        },
    };
    for stack in &found {
        let words = match (stack.has_drift, stack.uncertainty) {
            (true, None) => "drift".to_owned(),
            (true, Some(why)) => format!("drift, and perhaps more, because {why}"),
            (false, Some(why)) => format!("unknown, because {why}"),
            (false, None) => "no drift".to_owned(),
        };
        context.ui.print(&format!("drift {}: {words}\n", stack.stack))?;
        for error in &stack.errors {
            context.ui.print(&format!("  error: {}\n", inert(error)))?;
        }
        if let Some((forge, (own, issues))) = &issues {
            let reported = report(*forge, own, issues, stack, &arguments.label).await;
            publisher.tolerate(reported)?;
        }
    }
    if let Some((forge, (own, issues))) = &issues {
        let is_known =
            |stack: &StackId| !read.contains(&stack.environment) || found.iter().any(|it| it.stack == *stack);
        publisher.tolerate(close_destroyed(*forge, own, issues, is_known).await)?;
    }
    let texts: String = found
        .iter()
        .filter(|stack| stack.has_drift || stack.uncertainty.is_some())
        .map(|stack| stack.text.as_str())
        .collect();
    let is_any = found.iter().any(|stack| stack.has_drift);
    failures.iter().for_each(|failure| publisher.note(failure));
    publisher.summary(if texts.is_empty() { "No drift.\n" } else { &texts })?;
    if !failures.is_empty() || found.iter().any(|stack| stack.uncertainty.is_some()) {
        return Err(Failure::reported(Exit::Error));
    }
    match is_any {
        true => Ok(Exit::Changes),
        // An issue may stay open, although its drift is gone.
        false if is_unread => Err(Failure::reported(Exit::Error)),
        false => Ok(Exit::Done),
    }
}

/// The account of the token, and all issues with the label.
async fn issues(forge: &dyn Forge, label: &str) -> Result<(Account, Vec<Issue>), terrace_forge::ForgeError> {
    Ok((forge.own_account().await?, forge.issues(label).await?))
}

/// Opens, updates or closes the issue of a stack. Only issues of the token's own account count: any account may open one.
async fn report(
    forge: &dyn Forge,
    own: &Account,
    issues: &[Issue],
    found: &Found,
    label: &str,
) -> Result<(), terrace_forge::ForgeError> {
    let marker = marker(Kind::Drift, &found.stack.to_string());
    let mut ours = issues.iter().filter(|issue| issue.author.is_same(own) && is_marked(&issue.text, &marker));
    let text = format!("{marker}\n\n{}", found.text);
    match ours.next() {
        None if found.has_drift => forge.open_issue(&format!("Drift of {}", found.stack), &text, label).await.map(drop),
        Some(issue) if found.has_drift && (!issue.is_open || issue.text != text) => {
            forge.update_issue(issue.number, &text, true).await
        }
        // Without all objects, the drift may still be there.
        Some(issue) if !found.has_drift && found.uncertainty.is_none() && issue.is_open => {
            forge.update_issue(issue.number, &text, false).await
        }
        _ => Ok(()),
    }
}

/// Closes the issues of stacks that have no objects any more: no later drift of them would.
async fn close_destroyed(
    forge: &dyn Forge,
    own: &Account,
    issues: &[Issue],
    is_known: impl Fn(&StackId) -> bool,
) -> Result<(), terrace_forge::ForgeError> {
    for issue in issues.iter().filter(|issue| issue.is_open && issue.author.is_same(own)) {
        let Some(name) = marked_name(Kind::Drift, &issue.text) else { continue };
        if name.parse::<StackId>().is_ok_and(|stack| !is_known(&stack)) {
            let text = format!(
                "{}\n\nThe stack {} has no objects in the state any more.\n",
                marker(Kind::Drift, &name),
                code(&name, WIDEST)
            );
            forge.update_issue(issue.number, &text, false).await?;
        }
    }
    Ok(())
}

/// The drift of the stacks of an environment.
async fn detect(context: &Context<'_>) -> Result<Vec<Found>, Failure> {
    let settings = context.settings(None)?;
    let env_context = EnvironmentContext::of_settings(&settings, context.ui)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let environment = &env_context.engine.environment.name;
    let stacks = without_shared(store.stacks().await?).into_iter().filter(|stack| stack.environment == *environment);
    let (options, sources) = (Options::default(), Sources::default());
    let planner = planner(store.as_ref(), &env_context, &sources, &options);
    let detector = Detector::of(&planner);
    let mut all = Vec::new();
    for stack in stacks {
        let (found, diagnostics) = detector.detect(&stack, &Selection::All).await?;
        let mut seen = BTreeSet::new();
        let is_own = |item: &terrace_engine::drift::DriftItem| item.stack == stack || item.stack.name == "shared";
        let items: Vec<_> = found
            .into_iter()
            .filter(|item| {
                is_own(item) && seen.insert((item.stack.clone(), item.address.clone(), item.deposed.clone()))
            })
            .collect();
        let notes: Vec<Note> = diagnostics.iter().map(|diagnostic| Note::of(diagnostic, &sources)).collect();
        let uncertainty = uncertainty(&diagnostics);
        let text = drift(&Drift {
            stacks: std::slice::from_ref(&stack),
            items: &items,
            notes: &notes,
            uncertainty,
            max_chars: LARGEST,
            command: &format!("terrace drift --env {} {}", shell_word(environment), shell_word(&stack.to_string())),
        });
        let errors = errors_of(&notes);
        all.push(Found { stack, text, has_drift: !items.is_empty(), uncertainty, errors });
    }
    Ok(all)
}
