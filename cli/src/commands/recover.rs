//! `terrace recover`: resolves steps that a crash interrupted. The user decides about steps that stay in doubt: on a
//! terminal when asked, else with `--unchanged`, `--absent` and `--tainted`.

use super::execution::execution;
use crate::args::RecoverArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::check_words;
use crate::progress::Progress;
use crate::report::{harmless, harmless_line, remembered, with_failure};
use crate::settings::{EnvironmentRef, Settings};
use crate::signals::Signals;
use crate::stacks;
use crate::wiring::{EnvironmentContext, store_for_changes};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use terrace_engine::address::{Address, StackId};
use terrace_engine::event::{Event, Events};
use terrace_engine::recover::{InterruptedStep, Recovered, Recovery, Verdict, end_interrupted};
use terrace_engine::store::{LeaseInfo, OperationRow, Selection, StateStore};
use terrace_engine::text::shell_word;
use terrace_provider::names::listed;

/// Recovers stacks.
///
/// # Errors
/// When leases are held, the state fails, or a step stays in doubt.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &RecoverArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let answers = answers(arguments)?;
    let settings = context.settings(None)?;
    // Stack names in arguments and addresses select the environment: hints contain them, and must work without `--env`.
    let named = match &settings.environment {
        Some(name) => BTreeSet::from([name.clone()]),
        None => named_environments(arguments, settings.stack.as_ref(), &answers, settings.default_environment())?,
    };
    let store: Arc<dyn StateStore> = store_for_changes(&settings).await?;
    let wanted = stacks_to_recover(arguments, &settings, &named, &store).await?;
    // Opens all environments before it writes anything.
    let of_stacks = wanted.iter().map(|stack| stack.environment.as_str());
    let mut env_contexts = BTreeMap::new();
    for name in settings.environment.as_deref().into_iter().chain(of_stacks).collect::<BTreeSet<_>>() {
        let environment = settings.environment(Some(EnvironmentRef::word(name)), context.ui)?;
        env_contexts
            .insert(name, EnvironmentContext::new(&settings, environment, arguments.plaintext_secrets, context.ui)?);
    }
    signals.begin_changes();
    let has_results_in_view = context.ui.is_stdout_terminal() && !arguments.format.is_json();
    let progress = WithoutResults { progress: Progress::for_people(context.ui, true), has_results_in_view };
    let execution = execution(&settings, signals, 1);
    let recoveries: BTreeMap<&str, Recovery<'_>> = env_contexts
        .iter()
        .map(|(name, env_context)| (*name, env_context.engine.recovery(&store, &execution, &progress)))
        .collect();
    let recovery_of = |stack: &StackId| {
        let missing = || Failure::new(format!("the environment `{}` was not opened", stack.environment));
        recoveries.get(stack.environment.as_str()).ok_or_else(missing)
    };
    let mut recovered = Vec::new();
    for stack in &wanted {
        recovered.extend(recovery_of(stack)?.run(stack, &Selection::All, &Selection::All).await?);
        if signals.cancel.is_cancelled() {
            return Err(Failure::reported(Exit::Interrupted));
        }
    }
    let is_all = named.is_empty() && settings.stack.is_none() && arguments.stacks.is_empty();
    let is_about = |operation: &OperationRow| {
        // Recovery of each stack includes the shared resources of its environment.
        let is_wanted = |stack: &StackId| {
            wanted.iter().any(|wanted| wanted == stack || StackId::shared(&wanted.environment) == *stack)
        };
        is_all || operation.stacks.iter().any(is_wanted)
    };
    let ended = end_interrupted(store.as_ref(), is_about).await?;
    // Recovery of each stack includes the shared resources of its environment.
    let mut seen = BTreeSet::new();
    recovered.retain(|found| seen.insert(found.step.clone()));
    let is_json = arguments.format.is_json();
    if !is_json {
        let lines = recovered.iter().map(|step| format!("{}: {}\n", step.address, finding(step)));
        context.ui.print(&lines.collect::<String>())?;
        let line = |OperationRow { id, kind, .. }: &OperationRow| {
            format!("operation {id} ({kind}) was interrupted between two steps: it is ended now\n")
        };
        context.ui.print(&ended.iter().map(line).collect::<String>())?;
        if recovered.is_empty() && ended.is_empty() {
            context.ui.print(&nothing(&store).await?)?;
        }
    }
    // An address without a stack belongs to the usual environment, unless an option or argument names one.
    let is_named = settings.environment.is_some() || settings.stack.is_some() || !arguments.stacks.is_empty();
    let default_environment = settings.default_environment().filter(|_| !is_named);
    check_answers(&answers, &recovered, &named, default_environment)?;
    for found in recovered.iter().filter(|found| found.is_in_doubt) {
        check_one_answer(&answers, found, &recovered, default_environment)?;
    }
    let (mut left, mut decided) = (Vec::new(), BTreeMap::new());
    for doubt in recovered.iter().filter(|found| found.is_in_doubt) {
        let verdict = match answers.iter().find(|(text, _)| matches(text, doubt, &recovered, default_environment)) {
            Some((_, verdict)) => Some(*verdict),
            None if can_be_decided(doubt) => ask(context, doubt)?,
            None => None,
        };
        let Some(verdict) = verdict else {
            left.push(doubt);
            continue;
        };
        let is_decided = recovery_of(&doubt.step.stack)?.decide(&doubt.step, verdict).await?;
        let outcome = match (is_decided, verdict) {
            (false, _) => "is no longer in doubt",
            (true, Verdict::Unchanged) => "its row stays as it is",
            (true, Verdict::Absent) => "its row is dropped",
            (true, Verdict::Tainted) => "its row is tainted, the next apply replaces the object",
        };
        if !is_json {
            context.ui.print(&format!("{}: {outcome}\n", doubt.address))?;
        }
        decided.insert(&doubt.step, outcome);
    }
    let failure = (!left.is_empty()).then(|| still_in_doubt(&left));
    if is_json {
        let diagnostics = match &failure {
            Some(failure) => with_failure(context.ui, failure),
            None => remembered(context.ui),
        };
        let recovered: Vec<Json> = recovered.iter().map(|step| to_json(step, &decided)).collect();
        context.ui.print_json(&json!({ "recovered": recovered, "diagnostics": diagnostics }))?;
    }
    failure.map_or(Ok(Exit::Done), Err)
}

/// The message if nothing was recovered, with the lease of an operation that may need recovery later. A lease outlives
/// its holder for a while.
async fn nothing(store: &Arc<dyn StateStore>) -> Result<String, Failure> {
    let mut live_operations = BTreeSet::new();
    for stack in store.stacks().await? {
        let open = store.open_intents(&stack, &Selection::All).await?;
        live_operations.extend(open.iter().filter(|open| !open.is_orphaned).map(|open| open.intent.operation));
    }
    let (leases, now) = (store.leases().await?, store.now().await?);
    Ok(nothing_message(leases.iter().find(|lease| live_operations.contains(&lease.operation)), now))
}

/// The message if nothing was recovered, with the lease of an operation that has an open step.
fn nothing_message(lease: Option<&LeaseInfo>, now: Timestamp) -> String {
    match lease {
        None => "Nothing to recover.\n".to_owned(),
        // The holder may hang: only the user knows whether it will continue.
        Some(lease) if lease.expires <= now => format!(
            "Nothing to recover now: {} works on {}, without a sign of life since {}: if it is gone, \
             revoke its lease with `terrace unlock {}`.\n",
            harmless_line(&lease.holder),
            lease.stack,
            lease.expires,
            lease.id
        ),
        Some(lease) => format!(
            "Nothing to recover now: {} works on {} under a lease until {}: if it is gone, run this again after that.\n",
            harmless_line(&lease.holder),
            lease.stack,
            lease.expires
        ),
    }
}

/// Progress events without those that the result repeats in view of the user.
struct WithoutResults {
    progress: Arc<Progress>,
    has_results_in_view: bool,
}

impl Events for WithoutResults {
    fn take(&self, event: Event) {
        if !(self.has_results_in_view && matches!(event, Event::Recovered { .. })) {
            self.progress.take(event);
        }
    }
}

/// A recovered step as JSON: the finding, and the user's decision if it was in doubt.
fn to_json(recovered: &Recovered, decided: &BTreeMap<&InterruptedStep, &str>) -> Json {
    let InterruptedStep { stack, address, deposed, operation, step } = &recovered.step;
    let decision = decided.get(&recovered.step);
    json!({
        "address": format!("{stack}:{address}"), "deposed": deposed, "operation": operation, "step": step,
        "found": recovered.found, "in_doubt": recovered.is_in_doubt && decision.is_none(), "decision": decision,
    })
}

/// Environments named by stacks and addresses. An address without a stack belongs to the usual environment, so that the
/// user drops no row elsewhere by mistake.
///
/// # Errors
/// When there is no usual environment.
fn named_environments(
    arguments: &RecoverArguments,
    chosen: Option<&StackId>,
    answers: &[(String, Verdict)],
    usual: Option<&str>,
) -> Result<BTreeSet<String>, Failure> {
    let in_answers = answers.iter().filter_map(|(text, _)| Some(stacks::split(text)?.0));
    let words = arguments.stacks.iter().map(String::as_str).chain(in_answers);
    let named = words.filter_map(|word| word.parse().ok()).chain(chosen.cloned());
    let mut named: BTreeSet<String> = named.map(|stack: StackId| stack.environment).collect();
    let without_stack = answers.iter().find(|(text, _)| stacks::split(text).is_none());
    if let ([], None, Some((text, _))) = (arguments.stacks.as_slice(), chosen, without_stack) {
        let ambiguous = || {
            Failure::new(format!("`{text}` names no environment"))
                .hint("name it as `STACK@ENVIRONMENT:ADDRESS`, or pass `--env`")
        };
        named.insert(usual.ok_or_else(ambiguous)?.to_owned());
    }
    Ok(named)
}

/// The stacks to recover: those named, else all of the named environments, else all with an interrupted step.
async fn stacks_to_recover(
    arguments: &RecoverArguments,
    settings: &Settings,
    environments: &BTreeSet<String>,
    store: &Arc<dyn StateStore>,
) -> Result<BTreeSet<StackId>, Failure> {
    let mut wanted = BTreeSet::new();
    check_words(&arguments.stacks, settings)?;
    let mut words = arguments.stacks.clone();
    words.extend(settings.stack.as_ref().map(StackId::to_string));
    for word in &words {
        wanted.insert(stacks::named(word, settings, store.as_ref()).await?);
    }
    if !words.is_empty() {
        return Ok(wanted);
    }
    // Includes stacks with an open step whose first apply was interrupted before its first row.
    for stack in store.stacks().await? {
        let is_wanted = match environments.is_empty() {
            false => environments.contains(&stack.environment),
            // Skips other stacks: this process may lack the settings of their environments.
            true => store.open_intents(&stack, &Selection::All).await?.iter().any(|open| open.is_orphaned),
        };
        wanted.extend(is_wanted.then_some(stack));
    }
    Ok(wanted)
}

/// Advice for a decision about a step in doubt.
const DECISION_HINT: &str = "look at the object: pass `--unchanged` if it is as before the call, `--absent` if it does not exist, \
                    `--tainted` if it is incomplete";

/// Decisions of the options, by `ADDRESS` or `STACK:ADDRESS`.
fn answers(arguments: &RecoverArguments) -> Result<Vec<(String, Verdict)>, Failure> {
    let decisions = |texts: &[String], verdict: Verdict| -> Vec<(String, Verdict)> {
        texts.iter().map(|text| (text.clone(), verdict)).collect()
    };
    let options = [
        ("unchanged", &arguments.unchanged, Verdict::Unchanged),
        ("absent", &arguments.absent, Verdict::Absent),
        ("tainted", &arguments.tainted, Verdict::Tainted),
    ];
    for (at, (word, texts, _)) in options.iter().enumerate() {
        let conflict = options.iter().skip(at + 1).find_map(|(other, others, _)| {
            let both = texts.iter().find(|text| others.contains(text))?;
            Some(format!("`{both}` cannot be both {word} and {other}"))
        });
        if let Some(conflict) = conflict {
            return Err(Failure::new(conflict).hint(DECISION_HINT));
        }
    }
    for text in options.iter().flat_map(|(_, texts, _)| *texts) {
        let (resource, _) = split_deposed(text);
        let address = stacks::split(resource).map_or(resource, |(_, address)| address);
        address.parse::<Address>().map_err(|error| Failure::new(error.to_string()))?;
    }
    Ok(options.iter().flat_map(|(_, texts, verdict)| decisions(texts, *verdict)).collect())
}

/// Checks that all decisions about a step agree, in all spellings of its address.
///
/// # Errors
/// When they differ.
fn check_one_answer(
    answers: &[(String, Verdict)],
    found: &Recovered,
    all: &[Recovered],
    default_environment: Option<&str>,
) -> Result<(), Failure> {
    let mut matching = answers.iter().filter(|(text, _)| matches(text, found, all, default_environment));
    let Some((first, verdict)) = matching.next() else { return Ok(()) };
    match matching.find(|(_, other)| other != verdict) {
        None => Ok(()),
        Some((second, _)) => {
            let both = format!("`{first}` and `{second}` are the same resource, and have different decisions");
            Err(Failure::new(both).hint(DECISION_HINT))
        }
    }
}

/// Checks that each decision is about a step in doubt. A finding of this run takes precedence over a decision. Addresses
/// without a stack belong to the `default_environment`.
///
/// # Errors
/// About the first decision without such a step.
fn check_answers(
    answers: &[(String, Verdict)],
    recovered: &[Recovered],
    environments: &BTreeSet<String>,
    default_environment: Option<&str>,
) -> Result<(), Failure> {
    for (text, _) in answers {
        let matching: Vec<&Recovered> =
            recovered.iter().filter(|found| matches(text, found, recovered, default_environment)).collect();
        match matching.as_slice() {
            [step] if step.was_open => {
                return Err(Failure::refused(format!(
                    "the call of {} could still take effect when you decided",
                    step.address
                ))
                .hint("look at the object now, then run this again"));
            }
            [_] => {}
            [] => {
                let failure = Failure::new(format!("no step of `{text}` is in doubt"));
                let in_doubt: Vec<&str> =
                    recovered.iter().filter(|step| step.is_in_doubt).map(|step| step.address.as_str()).collect();
                let named: Vec<&String> = environments.iter().collect();
                return Err(failure.hint(match (in_doubt.as_slice(), named.as_slice()) {
                    ([], []) => "nothing is in doubt".to_owned(),
                    ([], named) => {
                        format!("nothing is in doubt in {}; choose another environment with `--env`", listed(named))
                    }
                    (in_doubt, _) => format!("name a step in doubt: {}", listed(in_doubt)),
                }));
            }
            several => {
                let names: Vec<&str> = several.iter().map(|step| step.address.as_str()).collect();
                let stacks: BTreeSet<&StackId> = several.iter().map(|found| &found.step.stack).collect();
                let what = if stacks.len() > 1 { "several stacks have a step" } else { "there are several steps" };
                return Err(
                    Failure::new(format!("{what} of `{text}`")).hint(format!("name one of them: {}", listed(&names)))
                );
            }
        }
    }
    Ok(())
}

/// True if a decision is about a step. Without the key of a deposed object it is about the present object, if that has
/// a step too.
fn matches(text: &str, found: &Recovered, all: &[Recovered], default_environment: Option<&str>) -> bool {
    let (resource, key) = split_deposed(text);
    let is_of = |step: &InterruptedStep| match stacks::split(resource) {
        Some((stack, address)) => step.stack.to_string() == stack && is_address(address, step),
        None => {
            default_environment.is_none_or(|environment| step.stack.environment == environment)
                && is_address(resource, step)
        }
    };
    let step = &found.step;
    let has_present_step = || {
        let of_stack = all.iter().map(|other| &other.step).filter(|other| other.stack == step.stack && is_of(other));
        of_stack.into_iter().any(|other| other.deposed.is_none())
    };
    is_of(step)
        && match key {
            Some(key) => step.deposed.as_deref() == Some(key),
            None => step.deposed.is_none() || !has_present_step(),
        }
}

/// The resource of a decision, and the key of its deposed object.
fn split_deposed(text: &str) -> (&str, Option<&str>) {
    let split = text.strip_suffix(')').and_then(|text| text.rsplit_once(" (deposed "));
    split.map_or((text, None), |(resource, key)| (resource, Some(key)))
}

fn is_address(text: &str, step: &InterruptedStep) -> bool {
    text.parse::<Address>().is_ok_and(|address| address == step.address)
}

/// Asks for a decision about a step; `None` without an answer.
fn ask(context: &Context<'_>, doubt: &Recovered) -> Result<Option<Verdict>, Failure> {
    if !context.ui.can_ask() {
        return Ok(None);
    }
    let question = format!(
        "{}: {}\n  what is the outcome of the call?\n    [u]nchanged  it had no effect: the row stays as before\n    [a]bsent     there is no \
         such object: its row is dropped\n    [t]ainted    the object is incomplete: the next apply replaces it\n    [s]kip       it \
         stays in doubt",
        doubt.address,
        finding(doubt)
    );
    Ok(match context.ui.choose(&question, &["unchanged", "absent", "tainted", "skip"])? {
        Some("unchanged") => Some(Verdict::Unchanged),
        Some("absent") => Some(Verdict::Absent),
        Some("tainted") => Some(Verdict::Tainted),
        _ => None,
    })
}

/// The finding about a step, in the words of a plan.
fn finding(step: &Recovered) -> String {
    format!("{}{}", if step.is_in_doubt { "in doubt: " } else { "" }, harmless(&step.found))
}

/// True if the user can decide about a call: not while it may still take effect.
const fn can_be_decided(doubt: &Recovered) -> bool {
    !doubt.is_open
}

fn still_in_doubt(left: &[&Recovered]) -> Failure {
    let message = match left {
        [_] => "1 step is still in doubt".to_owned(),
        several => format!("{} steps are still in doubt", several.len()),
    };
    let Some(address) = left.iter().find(|doubt| can_be_decided(doubt)).map(|doubt| shell_word(&doubt.address)) else {
        return Failure::new(message).hint("the call may still take effect: run `terrace recover` again later");
    };
    Failure::new(message)
        .hint("try again later, or look at the objects and decide with an option")
        .hint(format!("`terrace recover --unchanged {address}`: the call had no effect, the row stays as before"))
        .hint(format!("`terrace recover --absent {address}`: the object does not exist, its row is dropped"))
        .hint(format!("`terrace recover --tainted {address}`: the object is incomplete, the next apply replaces it"))
}

#[cfg(test)]
mod tests;
