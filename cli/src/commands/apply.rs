//! `terrace apply`: plans, shows, asks and applies; or applies a saved plan.

use super::run::{Applied, Run, recover_first};
use crate::args::ApplyArguments;
use crate::context::{Context, IN_ITS_PROJECT, is_outside_project, unreadable_plan};
use crate::failure::{Exit, Failure};
use crate::input::{Named, PlanClaims, named};
use crate::planning::compile;
use crate::settings::EnvironmentRef;
use crate::signals::Signals;
use crate::wiring::{EnvironmentContext, is_missing, store, store_for_changes};
use std::path::PathBuf;
use std::sync::Arc;
use terrace_engine::apply::ApplyError;
use terrace_engine::plan::file;
use terrace_engine::seal::Seal;
use terrace_state::Access;

/// The question before any change.
const QUESTION: &str = "Do you want to perform these actions?\n  terrace will perform the actions described above.";

/// Plans and applies descriptors, or applies a saved plan.
///
/// # Errors
/// When nothing was changed, or the state could no longer be written.
pub(super) async fn run(context: &Context<'_>, arguments: &ApplyArguments, signals: &Signals) -> Result<Exit, Failure> {
    let files: Vec<PathBuf> = arguments.files.iter().map(PathBuf::from).collect();
    if let Named::Plan(text) = named(&files, context.ui)? {
        return apply_saved(context, arguments, signals, text).await;
    }
    let planning = &arguments.planning;
    let project = compile(context, &files, &planning.choice, planning.plaintext_secrets).await?;
    let run = Run {
        context,
        arguments,
        signals,
        settings: &project.settings,
        env_context: &project.env_context,
        is_saved: false,
    };
    // Without possible consent nothing may change, not even the rows that recovery would write. A missing state has
    // nothing to recover: it is created with the first row.
    let is_new = is_missing(&project.settings.state);
    let can_recover = run.can_proceed() && !is_new;
    let access = if can_recover { Access::ReadWrite } else { Access::ReadOnly };
    let mut state = store(&project.settings, access).await?;
    for plans in 1.. {
        // Recovers steps again that were interrupted since the previous plan.
        if can_recover {
            for selected in &project.stacks {
                recover_first(&run, &state, &selected.compiled.stack, &selected.chosen).await?;
            }
        }
        let computed = project.plan(state.as_ref(), planning).await?;
        run.show(&computed.plan, &project.sources, &computed.diagnostics)?;
        run.consent(&computed.plan, QUESTION)?;
        if is_new && run.has_work(&computed.plan) {
            state = store(&project.settings, Access::ReadWrite).await?;
        }
        match run.try_apply(Arc::clone(&state), &computed.plan, plans).await? {
            Applied::Ended(exit) => return Ok(exit),
            Applied::Stale(failure) => run.replan(failure, plans)?,
            Applied::Contended => run.report_contention(plans)?,
        }
    }
    Ok(Exit::Done)
}

/// Applies a saved plan. The user reviewed it when it was saved, so the command asks no question.
async fn apply_saved(
    context: &Context<'_>,
    arguments: &ApplyArguments,
    signals: &Signals,
    text: String,
) -> Result<Exit, Failure> {
    refuse_planning_options(context, arguments)?;
    let claims = PlanClaims::of(&text);
    let settings = context.settings_of_plan(&claims)?;
    // The environment that the plan names selects the key, and the key authenticates the plan.
    let is_allowed = arguments.planning.plaintext_secrets;
    let key = EnvironmentContext::seal(&settings, claims.environment.as_deref(), is_allowed, context.ui)?;
    let plan = file::read_to_apply(&text, &key, arguments.plan_digest.as_deref())
        .map_err(|error| unreadable_plan(error, &settings, &claims))?;
    // The key of an environment authenticates changes of that environment alone.
    if let Some(other) = plan.stacks.iter().map(|it| &it.stack).find(|stack| stack.environment != plan.environment) {
        return Err(Failure::refused(format!("this plan for the environment `{}` changes {other}", plan.environment))
            .hint("plan each environment by itself"));
    }
    // The text may be large, and is parsed now.
    drop(text);
    if let Some(asked) = settings.environment.as_ref().filter(|asked| **asked != plan.environment) {
        return Err(Failure::refused(format!(
            "this plan is for the environment `{}`, and the command names `{asked}`",
            plan.environment
        )));
    }
    let is_outside = is_outside_project(&settings, &claims);
    let environment = settings.environment(Some(EnvironmentRef::word(&plan.environment)), context.ui);
    let environment = environment.map_err(|failure| match is_outside {
        true => Failure { hints: vec![IN_ITS_PROJECT.to_owned()], ..failure },
        false => failure,
    })?;
    let env_context =
        EnvironmentContext::new(&settings, environment, arguments.planning.plaintext_secrets, context.ui)?;
    // Saving the plan needed consent to values in the clear. This consent covers values that the apply computes.
    let is_consented = key.has_opened_clear() && !key.has_key();
    let env_context = env_context.with_seal(if is_consented { Seal::without_key(true) } else { key });
    let run = Run { context, arguments, signals, settings: &settings, env_context: &env_context, is_saved: true };
    run.check_digest(&plan)?;
    let mut state = store_for_changes(&settings).await?;
    let is_new = is_missing(&settings.state);
    if is_new || is_outside {
        run.refuse(&state, &plan).await.map_err(|error| match error {
            ApplyError::StateMismatch { .. } | ApplyError::SettingsMismatch(_) | ApplyError::NoInstance(_)
                if is_outside =>
            {
                Failure::refused(error.to_string())
                    .hint(IN_ITS_PROJECT)
                    .hint("if the plan was made with `--state`, pass the same state again")
            }
            error => error.into(),
        })?;
    }
    if is_new {
        state = store(&settings, Access::ReadWrite).await?;
    }
    run.apply(state, &plan).await
}

/// Refuses planning options: they would have no effect on a saved plan.
fn refuse_planning_options(context: &Context<'_>, arguments: &ApplyArguments) -> Result<(), Failure> {
    let planning = &arguments.planning;
    let given = [
        ("--stack", context.global.stack.is_some()),
        ("--component", !planning.choice.components.is_empty()),
        ("--var", !planning.choice.variables.is_empty()),
        ("--var-file", !planning.choice.variable_files.is_empty()),
        ("--refresh", !planning.refresh),
        ("--refresh-only", planning.refresh_only),
        ("--target", !planning.targets.is_empty()),
        ("--exclude", !planning.excludes.is_empty()),
        ("--replace", !planning.replace.is_empty()),
        ("--acl", !planning.principals.is_empty()),
        ("--allow-deferral", planning.allow_deferral),
        ("--remove-data", planning.data.remove_data),
        ("--allow-data-loss", !planning.data.allow_data_loss.is_empty()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((option, _)) => Err(Failure::new(format!("`{option}` has no effect on a saved plan"))
            .hint(format!("pass `{option}` to `terrace plan`, and save that plan"))),
    }
}
