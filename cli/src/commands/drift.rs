//! `terrace drift`: shows where remote objects differ from the state. Changes nothing.

use crate::args::{ChoiceArguments, DriftArguments};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::{Removal, drift_command, planner};
use crate::report::report;
use crate::settings::Settings;
use crate::wiring::{EnvironmentContext, store};
use crate::{presentation, stacks};
use std::collections::BTreeSet;
use terrace_engine::address::StackId;
use terrace_engine::diagnostic::{did_you_mean, first_of};
use terrace_engine::drift::{Detector, ignoring, uncertainty};
use terrace_engine::plan::Note;
use terrace_engine::plan::options::Options;
use terrace_engine::render::markdown::Drift;
use terrace_engine::source::Sources;
use terrace_engine::store::{Selection, StateStore};
use terrace_provider::Path;
use terrace_provider::names::listed;
use terrace_state::Access;

/// Detects and prints drift.
///
/// # Errors
/// When the state or an object cannot be read.
pub(super) async fn run(context: &Context<'_>, arguments: &DriftArguments) -> Result<Exit, Failure> {
    let (settings, env_context, store, stacks) = if arguments.all {
        let settings = context.settings(None)?;
        if let Some(stack) = &settings.stack {
            return Err(Failure::new(format!("`--stack {stack}` has no effect with `--all`"))
                .hint(format!("name only the stack: `terrace drift {stack}`")));
        }
        let env_context = EnvironmentContext::of_settings(&settings, context.ui)?;
        let store = store(&settings, Access::ReadOnly).await?;
        // Other environments have other providers.
        let name = &env_context.engine.environment.name;
        let stacks = stacks::without_shared(store.stacks().await?);
        let (stacks, others): (Vec<StackId>, Vec<StackId>) =
            stacks.into_iter().partition(|stack| stack.environment == *name);
        if stacks.is_empty() && !others.is_empty() {
            let others: BTreeSet<&str> = others.iter().map(|stack| stack.environment.as_str()).collect();
            let others: Vec<&str> = others.into_iter().collect();
            context.ui.print_note(&format!(
                "the environment `{name}` has no resources in {}; choose another with `--env`: {}",
                settings.state,
                first_of(&others)
            ));
        }
        (settings, env_context, store, stacks)
    } else {
        let targets = match arguments.targets.as_slice() {
            [] => vec![only(context).await?],
            named => named.to_vec(),
        };
        let named = Removal::read(context, &targets, &ChoiceArguments::default(), false).await?;
        let store = store(&named.settings, Access::ReadOnly).await?;
        let stacks = named.stacks(store.as_ref()).await?;
        check_recorded(&stacks, &named.settings, store.as_ref()).await?;
        (named.settings, named.env_context, store, stacks)
    };
    check_ignored(&arguments.ignore, &env_context)?;
    tracing::debug!(state = %settings.state, stacks = stacks.len(), "looking for drift");
    let (options, sources) = (Options::default(), Sources::default());
    let planner = planner(store.as_ref(), &env_context, &sources, &options);
    let (mut items, mut diagnostics) = (Vec::new(), Vec::new());
    let detector = Detector::of(&planner);
    for stack in &stacks {
        let (found, reported) = detector.detect(stack, &Selection::All).await?;
        // A shared object is found in each stack that owns it.
        items.extend(found.into_iter().filter(|item| item.stack == *stack || item.stack.name == "shared"));
        diagnostics.extend(reported);
    }
    let mut seen = std::collections::BTreeSet::new();
    items.retain(|item| seen.insert((item.stack.clone(), item.address.clone(), item.deposed.clone())));
    let items = ignoring(items, &arguments.ignore);
    report(context.ui, &sources, &diagnostics);
    let uncertainty = uncertainty(&diagnostics);
    let notes: Vec<Note> = diagnostics.iter().map(|diagnostic| Note::of(diagnostic, &sources)).collect();
    let drift = Drift {
        stacks: &stacks,
        items: &items,
        notes: &notes,
        uncertainty,
        max_chars: arguments.max_chars as usize,
        command: &drift_command(context.global, &settings, arguments),
    };
    presentation::print_drift(context.ui, &drift, arguments.form())?;
    if let Some(why) = uncertainty {
        let what = if items.is_empty() { "whether there is drift" } else { "whether there is more drift" };
        return Err(Failure::new(format!("{what} is unknown: {why}")));
    }
    Ok(if items.is_empty() { Exit::Done } else { Exit::Changes })
}

/// The default stack: the only one of the state.
async fn only(context: &Context<'_>) -> Result<String, Failure> {
    let settings = context.settings(None)?;
    if let Some(stack) = &settings.stack {
        return Err(Failure::new(format!("`--stack {stack}` has no effect without a descriptor"))
            .hint(format!("name only the stack: `terrace drift {stack}`")));
    }
    let store = store(&settings, Access::ReadOnly).await?;
    let only = stacks::only(&settings, store.as_ref()).await?.map_err(|several| {
        let names: Vec<String> = several.iter().map(StackId::to_string).collect();
        Failure::new("the state has several stacks")
            .hint(format!("name one or more of: {}", listed(&names)))
            .hint("or pass `--all`")
    })?;
    Ok(only.to_string())
}

/// Refuses a stack without any row: state, environment or folder are probably wrong, and the command would report "no
/// drift" forever.
async fn check_recorded(stacks: &[StackId], settings: &Settings, store: &dyn StateStore) -> Result<(), Failure> {
    let known = store.known_stacks().await?;
    let Some(stack) = stacks.iter().find(|stack| !known.contains(stack)) else { return Ok(()) };
    Err(Failure::new(format!("`{}` has no state of the stack `{stack}`", settings.state))
        .hint("create it with `terrace apply FILE`, or choose another state with `--state` or `--env`"))
}

/// Refuses an ignored path whose first attribute no resource type has: it would have no effect.
fn check_ignored(ignored: &[Path], env_context: &EnvironmentContext) -> Result<(), Failure> {
    let types = env_context.engine.registry.schemas().flat_map(|schema| &schema.resources);
    let known: BTreeSet<&str> = types.flat_map(|ty| &ty.attributes.0).map(|attribute| attribute.name).collect();
    let unknown = |path: &&Path| path.first_key().is_none_or(|name| !known.contains(name));
    let Some(path) = ignored.iter().find(unknown) else { return Ok(()) };
    let failure = Failure::new(format!("--ignore: no resource type has the attribute `{path}`"));
    let first = path.first_key().unwrap_or_default();
    Err(did_you_mean(first, known).into_iter().fold(failure, Failure::hint))
}
