//! `terrace import`: imports an existing object as a resource, or prints its configuration.

use super::fmt;
use super::state::{Change, StateEdit, refuse_all_instances};
use crate::args::ImportArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::settings::{EnvironmentRef, Settings};
use crate::signals::Signals;
use crate::stacks;
use crate::wiring::{EnvironmentContext, is_missing, store, store_for_changes};
use std::sync::Arc;
use terrace_engine::address::{Address, StackId};
use terrace_engine::import::{self, ImportError};
use terrace_engine::record::{open_attributes, storable};
use terrace_engine::store::{Selection, StateStore, Write};
use terrace_engine::text::shell_word;
use terrace_provider::{Attributes, Observed, ResourceType, Session};
use terrace_state::Access;
use uuid::Uuid;

/// Imports an object, or prints its configuration.
///
/// # Errors
/// When the object does not exist, belongs to another resource, or the state cannot be written.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &ImportArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let mut settings = context.settings(None)?;
    let mut arguments = arguments.clone();
    // The first import of a stack runs before the store has the stack.
    if let Some(stack) = settings.stack.take()
        && stacks::split(&arguments.address).is_none()
    {
        arguments.address = format!("{stack}:{}", arguments.address);
    }
    let arguments = &arguments;
    let named = stacks::split(&arguments.address).and_then(|(stack, _)| stack.parse::<StackId>().ok());
    let asked = named.as_ref().map(|stack| EnvironmentRef::word(&stack.environment));
    let environment = settings.environment(asked, context.ui)?;
    let env_context = EnvironmentContext::new(&settings, environment, arguments.plaintext_secrets, context.ui)?;
    match arguments.generate {
        true => generate(context, arguments, &settings, &env_context).await,
        false => record(context, arguments, signals, &settings, &env_context).await,
    }
}

/// The resource type of an address, and its provider instance.
fn type_of<'w>(
    arguments: &ImportArguments,
    env_context: &'w EnvironmentContext,
    address: &Address,
) -> Result<(&'w ResourceType, String), Failure> {
    let Some((schema, ty)) = env_context.engine.registry.resource_type(&address.ty) else {
        let diagnostic = env_context.engine.registry.unknown_type(&address.ty);
        return Err(diagnostic.hint.iter().fold(Failure::new(diagnostic.message), Failure::hint));
    };
    refuse_all_instances(address)?;
    if address.is_shared() {
        return Err(Failure::new("shared resources are adopted by the component that declares them")
            .hint("set `adopt: ifExists` on the resource"));
    }
    let instance = arguments.provider.clone().unwrap_or_else(|| schema.name.to_owned());
    match env_context.engine.registry.instance(&instance) {
        Some(found) if found.name == schema.name => Ok((ty, instance)),
        _ => Err(Failure::new(format!("there is no `{}` instance `{instance}`", schema.name))
            .hint(env_context.engine.registry.instances_of(schema.name, &instance, &env_context.engine.environment))),
    }
}

async fn session(env_context: &EnvironmentContext, instance: &str) -> Result<Arc<dyn Session>, Failure> {
    env_context.engine.registry.session(instance).await.map_err(|error| {
        let found = env_context.engine.registry.no_session(instance, &error, None);
        found.hint.into_iter().fold(Failure::new(found.message), Failure::hint)
    })
}

async fn look_up(
    env_context: &EnvironmentContext,
    ty: &ResourceType,
    instance: &str,
    id: &str,
) -> Result<Observed, Failure> {
    import::look_up(&*session(env_context, instance).await?, ty, id).await.map_err(failure)
}

fn failure(error: ImportError) -> Failure {
    error.hint().into_iter().fold(Failure::new(error.to_string()), Failure::hint)
}

async fn record(
    context: &Context<'_>,
    arguments: &ImportArguments,
    signals: &Signals,
    settings: &Settings,
    env_context: &EnvironmentContext,
) -> Result<Exit, Failure> {
    let Some(id) = &arguments.id else {
        return Err(Failure::new("an import needs the id of an object")
            .hint("run `terrace import ADDRESS ID`; `terrace providers schema NAME` describes the id of a type"));
    };
    let existing = store_for_changes(settings).await?;
    let (stack, address) = stacks::locate(&arguments.address, settings, existing.as_ref()).await?;
    let (ty, instance) = type_of(arguments, env_context, &address)?;
    let observed = look_up(env_context, ty, &instance, id).await?;
    let store = if is_missing(&settings.state) { store(settings, Access::ReadWrite).await? } else { existing };
    let here = (stack.clone(), address.clone());
    let operation = Uuid::now_v7();
    let edit = StateEdit { context, signals, settings, store, operation, kind: "import" };
    let summary = format!("{address} is `{id}` now");
    let change = async || {
        let store = edit.store.as_ref();
        match import::find_recorded_resource(
            store,
            &env_context.engine.seal,
            (&stack.environment, &instance),
            ty,
            &observed,
        )
        .await?
        {
            Some(there) if there == here => return Ok(None),
            Some((stack, address)) => return Err(failure(ImportError::Recorded { id: id.clone(), stack, address })),
            None => {}
        }
        if !rows(store, &here).await?.is_empty() {
            return Err(Failure::new(format!("the state has another object at {stack}:{address}")).hint(format!(
                "drop its row and keep that object with `terrace state rm {}`",
                shell_word(&format!("{stack}:{address}"))
            )));
        }
        let schema = env_context
            .engine
            .registry
            .instance(&instance)
            .ok_or_else(|| Failure::new(format!("the provider instance `{instance}` is not configured")))?;
        let row =
            import::row((&stack, &address), (schema, ty), &instance, &observed, operation, &env_context.engine.seal)
                .map_err(|error| Failure::new(format!("{address} cannot be imported: {error}")))?;
        Ok(Some(Change {
            leases: [(stack.clone(), address.lease_key())].into(),
            writes: vec![Write::Put { row: Box::new(row), expected: 0 }],
            summary: summary.clone(),
        }))
    };
    if edit.perform(change).await?.is_none() {
        context.ui.print(&format!("{address} is `{id}` already\n"))?;
        return Ok(Exit::Done);
    }
    context.ui.print(&format!("{summary}\n"))?;
    context.ui.print_note(&format!(
        "if no descriptor declares it, do so before the next apply, which removes it otherwise: `terrace import --generate {}` prints \
         the declaration",
        shell_word(&format!("{stack}:{address}"))
    ));
    Ok(Exit::Done)
}

async fn rows(
    store: &dyn StateStore,
    (stack, address): &(StackId, Address),
) -> Result<Vec<terrace_engine::store::Row>, Failure> {
    Ok(store.rows(stack, &Selection::Addresses([address.clone()].into())).await?)
}

/// Prints the declaration of an object: the one with the id, else the one in the state.
async fn generate(
    context: &Context<'_>,
    arguments: &ImportArguments,
    settings: &Settings,
    env_context: &EnvironmentContext,
) -> Result<Exit, Failure> {
    let mut remarks = Vec::new();
    let (address, attributes): (Address, Attributes) = match &arguments.id {
        Some(id) => {
            let text = stacks::split(&arguments.address).map_or(arguments.address.as_str(), |(_, address)| address);
            let address: Address = text.parse().map_err(|error| Failure::new(format!("{error}")))?;
            let (ty, instance) = type_of(arguments, env_context, &address)?;
            let observed = look_up(env_context, ty, &instance, id).await?;
            let session = session(env_context, &instance).await?;
            remarks = import::remarks(&*session, ty, (id, &address), &observed).await.map_err(failure)?;
            (address, storable(ty, &Attributes::default(), &observed))
        }
        None => {
            let store = store(settings, Access::ReadOnly).await?;
            let here = stacks::locate(&arguments.address, settings, store.as_ref()).await?;
            let row = super::state::present(store.as_ref(), &here.0, &here.1).await?;
            env_context.engine.seal.bind_to(store.as_ref()).await?;
            let attributes = open_attributes(&row, &env_context.engine.seal)
                .map_err(|error| Failure::new(format!("{} cannot be opened: {error}", here.1)))?;
            (here.1, attributes)
        }
    };
    let (ty, _) = type_of(arguments, env_context, &address)?;
    // With a stack, prints a complete file.
    let named = stacks::split(&arguments.address).and_then(|(stack, _)| stack.parse::<StackId>().ok());
    let text = import::configuration(ty, &address, &attributes, arguments.id.as_deref(), named.as_ref());
    let text = text.map_err(|error| Failure::new(format!("the configuration cannot be written: {error}")))?;
    let comments: String = remarks.iter().flat_map(|remark| remark.lines()).map(|line| format!("# {line}\n")).collect();
    context.ui.print_raw(&format!("{comments}{}", fmt::format_generated(text)))?;
    remarks.iter().for_each(|remark| context.ui.print_note(remark));
    Ok(Exit::Done)
}
