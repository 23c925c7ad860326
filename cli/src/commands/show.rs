//! `terrace show`: a saved plan, a resource or an operation, whole.

use super::Context;
use super::plan::digest;
use super::{operations, state};
use crate::args::{Detail, PlanFormat, ShowArguments};
use crate::failure::{Exit, Failure};
use crate::input::{Named, PlanClaims, named};
use crate::presentation;
use crate::settings::Settings;
use crate::stacks;
use crate::wiring::{World, store};
use std::path::PathBuf;
use terrace_engine::address::Address;
use terrace_engine::plan::file;
use terrace_engine::seal::Seal;
use terrace_engine::store::{Selection, StateStore};
use terrace_state::Access;
use uuid::Uuid;

/// What to say of a word that means nothing.
const SHOWN: &str = "give a plan that `terrace plan FILE --out PLAN` saved, an address of `terrace state list` or an \
                     operation of `terrace operations list`";

/// Shows one thing.
///
/// # Errors
/// When there is no such thing.
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
            // A slip is answered with what is like it.
            let hints = match failure.hints.iter().any(|hint| hint.starts_with("did you mean")) {
                true => failure.hints,
                false => vec![SHOWN.to_owned()],
            };
            Err(Failure { message, hints, ..failure })
        }
        shown => shown,
    }
}

/// True when a name that could be that of several things is that of none. A name with a stack is a resource's alone, and
/// what is in doubt is there, perhaps.
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
        return Err(Failure::new(format!("`{shown}` is no saved plan"))
            .hint("`terrace plan FILE --out PLAN` saves one; `terrace plan FILE` shows what applying would do"));
    };
    let claims = PlanClaims::of(&text);
    let settings = context.settings_of_plan(&claims)?;
    let key = World::seal(&settings, claims.environment.as_deref(), false, context.ui)?;
    let plan = file::read(&text, &key)?;
    // The digest covers values in the clear.
    let seal = if key.has_key() { key } else { Seal::without_key(true) };
    let format = if is_json { PlanFormat::Json } else { PlanFormat::Human };
    presentation::plan(context.ui, &plan, &presentation::PlanView::new(format, Detail::Full), &seal)?;
    if !is_json {
        context.ui.print(&format!("{}\n", digest(&plan, &seal)?))?;
        // A plan can be looked at where its state is not.
        let is_spent = match store(&settings, Access::ReadOnly).await {
            Ok(store) => store.is_spent(plan.id).await.unwrap_or_default(),
            Err(_) => false,
        };
        if is_spent {
            context.ui.print("This plan was applied already: it is spent, plan again.\n")?;
        }
    }
    Ok(Exit::Done)
}
