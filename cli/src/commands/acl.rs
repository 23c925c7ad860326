//! `terrace acl`: shows and replaces the access list of a component.

use super::apply;
use crate::args::{AclCommand, AclShowArguments};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use crate::signals::Signals;
use crate::stacks;
use crate::wiring::store;
use serde_json::{Value as Json, json};
use terrace_engine::access::Fields;
use terrace_engine::diagnostic::closest;
use terrace_engine::store::ComponentRow;
use terrace_provider::names::listed;
use terrace_state::Access;

/// Shows or replaces an access list.
///
/// # Errors
/// When the component does not exist, or the change cannot be applied.
pub(super) async fn run(context: &Context<'_>, command: AclCommand, signals: &Signals) -> Result<Exit, Failure> {
    match command {
        AclCommand::Show(arguments) => show(context, &arguments).await,
        AclCommand::Set(arguments) => apply::run(context, &arguments.into_apply(), signals).await,
    }
}

async fn show(context: &Context<'_>, arguments: &AclShowArguments) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let stack = stacks::current(&settings, store.as_ref()).await?;
    let components = store.components(&stack).await?;
    let wanted = arguments.component.as_str();
    let Some(component) = components.iter().find(|component| component.key == wanted) else {
        return Err(unknown(wanted, &stack.to_string(), &components));
    };
    let fields = component.access.as_ref().map(|access| access.fields.clone()).unwrap_or_default();
    if arguments.format.is_json() {
        let principals = component.access.as_ref().map(|access| &access.principals);
        let result = json!({"stack": stack, "component": wanted, "principals": principals, "fields": fields});
        context.ui.print_json(&result)?;
        return Ok(Exit::Done);
    }
    let empty = match &component.access {
        Some(_) => format!("no principal has access to `{wanted}`"),
        None => format!("the access list of `{wanted}` was never set"),
    };
    let lines = component.access.iter().flat_map(|access| &access.principals).map(|principal| format!("{principal}\n"));
    context.ui.print_list(&lines.collect::<String>(), &empty)?;
    context.ui.print(&field_lines(fields))?;
    Ok(Exit::Done)
}

/// The extra fields of an access request, one a line.
fn field_lines(fields: Fields) -> String {
    let Json::Object(fields) = Json::from(fields) else { return String::new() };
    let lines: String = fields
        .iter()
        .map(|(name, value)| format!("  {} = {}\n", harmless(name), harmless(&value.to_string())))
        .collect();
    if lines.is_empty() { lines } else { format!("\nFields:\n{lines}") }
}

fn unknown(wanted: &str, stack: &str, components: &[ComponentRow]) -> Failure {
    let keys =
        || components.iter().map(|component| &component.key).filter(|key| !key.is_stack()).map(|key| key.as_str());
    let failure = Failure::new(format!("the state of {stack} has no component `{wanted}`"));
    match closest(wanted, keys()) {
        Some(best) => failure.hint(format!("did you mean `{best}`?")),
        None if keys().next().is_none() => {
            failure.hint("choose another stack with `--stack`; `terrace stacks` lists them")
        }
        None => failure.hint(format!("choose one of: {}", listed(&keys().collect::<Vec<_>>()))),
    }
}
