//! `terrace show`: prints a saved plan, a resource or an operation in full.

use super::plan::digest;
use super::{operations, state};
use crate::args::{Detail, PlanFormat, ShowArguments};
use crate::context::{Context, unreadable_plan};
use crate::failure::{Exit, Failure};
use crate::input::{Named, PlanClaims, named};
use crate::settings::Settings;
use crate::wiring::{EnvironmentContext, store};
use crate::{presentation, stacks};
use std::path::PathBuf;
use terrace_engine::address::Address;
use terrace_engine::plan::file;
use terrace_engine::seal::Seal;
use terrace_engine::store::{Selection, StateStore};
use terrace_state::Access;
use uuid::Uuid;

/// Hint for a word that matches nothing.
const SHOWN: &str = "name a plan saved by `terrace plan FILE --out PLAN`, an address of `terrace state list` or an \
                     operation of `terrace operations list`";

/// Shows a plan, a resource or an operation.
///
/// # Errors
/// When it does not exist.
pub(super) async fn run(context: &Context<'_>, arguments: &ShowArguments) -> Result<Exit, Failure> {
    let is_json = arguments.format.is_json();
    let Some(what) = arguments.what.as_deref() else {
        return state::show_all(context, is_json).await;
    };
    let path = PathBuf::from(what);
    if path.is_file() {
        return show_plan(context, path, is_json).await;
    }
    if what.parse::<Uuid>().is_ok() {
        return operations::show(context, what, is_json).await;
    }
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let shown = state::show(context, &settings, store.as_ref(), what, is_json).await;
    match shown {
        Err(failure) if is_nothing(&settings, store.as_ref(), what).await? => {
            let message = Some(format!("there is no file, operation or resource `{what}`"));
            // Keeps suggestions for a typing error.
            let hints = match failure.hints.iter().any(|hint| hint.starts_with("did you mean")) {
                true => failure.hints,
                false => vec![SHOWN.to_owned()],
            };
            Err(Failure { message, hints, ..failure })
        }
        shown => shown,
    }
}

/// True if a name matches no file, operation or resource. A name with a stack can only be a resource; an object in
/// doubt may exist.
async fn is_nothing(settings: &Settings, store: &dyn StateStore, what: &str) -> Result<bool, Failure> {
    if stacks::split(what).is_some() {
        return Ok(false);
    }
    if what.parse::<Address>().is_err() || store.stacks().await?.is_empty() {
        return Ok(true);
    }
    let Ok((stack, address)) = stacks::locate(what, settings, store).await else { return Ok(false) };
    let only = Selection::Addresses([address].into());
    Ok(store.rows(&stack, &only).await?.is_empty() && store.open_intents(&stack, &only).await?.is_empty())
}

async fn show_plan(context: &Context<'_>, path: PathBuf, is_json: bool) -> Result<Exit, Failure> {
    let shown = path.display().to_string();
    let Named::Plan(text) = named(&[path], context.ui)? else {
        return Err(Failure::new(format!("`{shown}` is not a saved plan"))
            .hint("save one with `terrace plan FILE --out PLAN`, or preview the changes with `terrace plan FILE`"));
    };
    let claims = PlanClaims::of(&text);
    let settings = context.settings_of_plan(&claims)?;
    let key = EnvironmentContext::seal(&settings, claims.environment.as_deref(), false, context.ui)?;
    let plan = file::read(&text, &key).map_err(|error| unreadable_plan(error, &settings, &claims))?;
    // The digest covers values in the clear.
    let seal = if key.has_key() { key } else { Seal::without_key(true) };
    let format = if is_json { PlanFormat::Json } else { PlanFormat::Human };
    presentation::print_plan(context.ui, &plan, &presentation::PlanView::new(format, Detail::Full), &seal)?;
    if !is_json {
        context.ui.print(&format!("{}\n", digest(&plan, &seal)?))?;
        // A plan can be shown without access to its state.
        let is_spent = match store(&settings, Access::ReadOnly).await {
            Ok(store) => store.is_spent(plan.id).await.unwrap_or_default(),
            Err(_) => false,
        };
        if is_spent {
            context.ui.print("This plan was applied already: plan again.\n")?;
        }
    }
    Ok(Exit::Done)
}
