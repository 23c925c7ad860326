//! `terrace apply`: plans, shows, asks and applies; or applies a saved plan.

use super::run::{Run, State, check_digest};
use crate::args::ApplyArguments;
use crate::context::{Context, IN_ITS_PROJECT, is_outside_project, unreadable_plan};
use crate::failure::{Exit, Failure};
use crate::input::{Named, PlanClaims, named};
use crate::planning::{Project, compile};
use crate::settings::EnvironmentRef;
use crate::signals::Signals;
use crate::wiring::{EnvironmentContext, is_missing, store_for_changes};
use std::collections::BTreeSet;
use std::path::PathBuf;
use terrace_engine::address::Address;
use terrace_engine::apply::ApplyError;
use terrace_engine::driver::{self, Approval, Planning};
use terrace_engine::plan::compute::Computed;
use terrace_engine::plan::file;
use terrace_engine::seal::Seal;

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
    if let Some(folder) = &arguments.cluster_of {
        super::pipelines::check_cluster_of(context, folder)?;
    }
    let planning = &arguments.planning;
    let project = compile(context, &files, &planning.choice, planning.plaintext_secrets).await?;
    let state = State::open(&project.settings, Run::can_proceed(context, arguments)).await?;
    let (settings, env_context) = (&project.settings, &project.env_context);
    let run = Run { context, arguments, signals, settings, env_context, is_saved: false, state };
    driver::change(&Apply { run: &run, project: &project }, &run).await
}

/// An apply of descriptors.
struct Apply<'a> {
    run: &'a Run<'a>,
    project: &'a Project,
}

impl Planning for Apply<'_> {
    type Error = Failure;

    async fn recover(&self, _: BTreeSet<Address>) -> Result<bool, Failure> {
        let stacks = self.project.stacks.iter();
        self.run.recover(stacks.map(|selected| (&selected.compiled.stack, &selected.chosen))).await
    }

    async fn plan(&self) -> Result<Computed, Failure> {
        self.project.plan(self.run.state.get().as_ref(), &self.run.arguments.planning).await
    }

    async fn approve(&self, computed: &Computed) -> Result<Approval, Failure> {
        self.run.show(computed, &self.project.sources)?;
        self.run.consent(&computed.plan, QUESTION)
    }
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
    check_digest(arguments, &env_context.engine.seal, &plan)?;
    let state = State::of(store_for_changes(&settings).await?, is_missing(&settings.state));
    let (settings, env_context) = (&settings, &env_context);
    let run = Run { context, arguments, signals, settings, env_context, is_saved: true, state };
    if is_outside {
        run.refuse(&plan).await.map_err(|error| match error {
            ApplyError::StateMismatch { .. } | ApplyError::SettingsMismatch(_) | ApplyError::NoInstance(_) => {
                Failure::refused(error.to_string())
                    .hint(IN_ITS_PROJECT)
                    .hint("if the plan was made with `--state`, pass the same state again")
            }
            error => error.into(),
        })?;
    }
    driver::apply_saved(&run, &plan).await
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
