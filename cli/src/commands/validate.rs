//! `terrace validate`: checks descriptors without state or network; with `--remote` plans against the state too.

use crate::args::{PlanningArguments, ValidateArguments};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::{Project, compile, compile_offline};
use crate::report::{remembered, report, with_failure};
use crate::wiring::store;
use serde_json::json;
use terrace_engine::diagnostic::{Diagnostic, has_errors, remove_repeated};
use terrace_engine::{graph, lookup};
use terrace_state::Access;

/// Validates descriptors.
///
/// # Errors
/// When they have errors, which are reported.
pub(super) async fn run(context: &Context<'_>, arguments: &ValidateArguments) -> Result<Exit, Failure> {
    let is_json = arguments.format.is_json();
    let input = &arguments.input;
    let compiled = match arguments.remote {
        true => compile(context, &input.files, &input.choice, true).await,
        false => compile_offline(context, &input.files, &input.choice, true),
    };
    let project = match compiled {
        Ok(project) => project,
        Err(failure) => {
            if is_json {
                context.ui.print_json(&json!({
                    "valid": false, "stacks": [], "diagnostics": with_failure(context.ui, &failure),
                }))?;
            }
            return Err(failure);
        }
    };
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for selected in &project.stacks {
        diagnostics.extend(
            lookup::check(&selected.compiled, &selected.chosen, &project.env_context.engine.registry).diagnostics,
        );
        diagnostics.extend(graph::order(&selected.compiled.components).err().unwrap_or_default());
        for component in &selected.compiled.components {
            let lookups = component.declarations.data.iter();
            let unknown =
                lookups.filter(|lookup| project.env_context.engine.registry.lookup(&lookup.ty.value).is_none());
            diagnostics.extend(
                unknown.map(|lookup| {
                    project.env_context.engine.registry.unknown_lookup(&lookup.ty.value).at(lookup.ty.span)
                }),
            );
            let is_chosen = |key: &str| selected.chosen.is_empty() || selected.chosen.contains(key);
            let left_out = component.depends_on.iter().filter(|_| is_chosen(&component.key));
            let left_out = left_out.filter(|needed| needed.key.as_ref().is_some_and(|key| !is_chosen(key)));
            diagnostics.extend(left_out.map(|needed| {
                let message = format!("`{}` depends on `{}`, which `-c` leaves out", component.key, needed.text);
                Diagnostic::note("depends_on_left_out", message).at(needed.span).hint("deploy it before this component")
            }));
        }
    }
    let (planned, failure) = match planned(&project, arguments).await {
        Ok(planned) => (planned, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    // Planning repeats most diagnostics of compilation, in the same words.
    diagnostics.extend(planned);
    remove_repeated(&mut diagnostics);
    report(context.ui, &project.sources, &diagnostics);
    if let Some(failure) = failure {
        return Err(failure);
    }
    let is_valid = !has_errors(&diagnostics);
    let names: Vec<String> = project.stacks.iter().map(|selected| selected.compiled.stack.to_string()).collect();
    if is_json {
        context.ui.print_json(&json!({
            "valid": is_valid, "stacks": names, "diagnostics": remembered(context.ui),
        }))?;
    } else if is_valid {
        context.ui.print(&format!("valid: {}\n", names.join(", ")))?;
    }
    if is_valid { Ok(Exit::Done) } else { Err(Failure::reported(Exit::Error)) }
}

/// Diagnostics of a plan.
async fn planned(project: &Project, arguments: &ValidateArguments) -> Result<Vec<Diagnostic>, Failure> {
    let planning = PlanningArguments { choice: arguments.input.choice.clone(), ..PlanningArguments::default() };
    if !arguments.remote {
        return project.plan_offline(&planning).await;
    }
    let state = store(&project.settings, Access::ReadOnly).await?;
    Ok(project.plan(state.as_ref(), &planning).await?.diagnostics)
}
