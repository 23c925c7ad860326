//! `terrace providers`: the technologies of this build, their settings and resource types.

use super::Context;
use crate::args::ProvidersCommand;
use crate::failure::{Exit, Failure};
use crate::wiring::providers;
use serde_json::{Value as Json, json};
use std::fmt::Write;
use terrace_engine::diagnostic::closest;
use terrace_provider::{Attribute, Object, ProviderSchema};

/// Lists providers, or shows what one declares.
///
/// # Errors
/// When there is no such provider.
pub(super) fn run(context: &Context<'_>, command: ProvidersCommand) -> Result<Exit, Failure> {
    let providers = providers();
    let schemas: Vec<&ProviderSchema> = providers.iter().map(|provider| provider.schema()).collect();
    match command {
        ProvidersCommand::List(format) if format.is_json() => {
            let json = schemas.iter().map(|schema| {
                json!({ "name": schema.name, "version": schema.version, "doc": schema.doc,
                        "types": schema.resources.iter().map(|ty| ty.name).collect::<Vec<_>>() })
            });
            context.ui.print_json(&json.collect())?;
        }
        ProvidersCommand::List(_) => {
            let lines = schemas.iter().map(|schema| format!("{} {}  {}\n", schema.name, schema.version, schema.doc));
            context.ui.print(&lines.collect::<String>())?;
        }
        ProvidersCommand::Schema { name, format } => {
            let schema = schemas.iter().find(|schema| schema.name == name).ok_or_else(|| unknown(&name, &schemas))?;
            if format.is_json() {
                context.ui.print_json(&to_json(schema))?;
            } else {
                context.ui.print(&text(schema))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn unknown(name: &str, schemas: &[&ProviderSchema]) -> Failure {
    let failure = Failure::new(format!("there is no provider `{name}`"));
    match closest(name, schemas.iter().map(|schema| schema.name)) {
        Some(best) => failure.hint(format!("did you mean `{best}`?")),
        None => {
            let known: Vec<&str> = schemas.iter().map(|schema| schema.name).collect();
            failure.hint(format!("this build has: {}", known.join(", ")))
        }
    }
}

fn text(schema: &ProviderSchema) -> String {
    let mut text = format!("{} {}: {}\n", schema.name, schema.version, schema.doc);
    if !schema.settings.0.is_empty() {
        text.push_str("\nsettings\n");
        text.push_str(&attributes(&schema.settings));
    }
    for ty in &schema.resources {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}: {}\n{}", ty.name, ty.doc, attributes(&ty.attributes));
    }
    text
}

fn attributes(object: &Object) -> String {
    let line = |attribute: &Attribute| {
        let marks: String = marks(attribute).iter().map(|mark| format!(", {mark}")).collect();
        format!("  {}: {}{marks}\n      {}\n", attribute.name, attribute.ty.describe(), attribute.doc)
    };
    object.0.iter().map(line).collect()
}

/// What is special about an attribute, in words.
fn marks(attribute: &Attribute) -> Vec<&'static str> {
    [
        (attribute.required, "required"),
        (!attribute.configurable, "computed"),
        (attribute.computed && attribute.configurable, "computed unless given"),
        (attribute.replaces, "a change replaces"),
        (attribute.write_only, "write-only"),
        (attribute.sensitive && !attribute.write_only, "sensitive"),
    ]
    .into_iter()
    .filter(|(is_marked, _)| *is_marked)
    .map(|(_, mark)| mark)
    .collect()
}

fn to_json(schema: &ProviderSchema) -> Json {
    json!({
        "name": schema.name, "version": schema.version, "doc": schema.doc,
        "settings": object_to_json(&schema.settings),
        "resources": schema.resources.iter().map(|ty| json!({
            "type": ty.name, "doc": ty.doc, "schema_version": ty.schema_version, "identity": ty.identity,
            "holds_data": ty.holds_data, "attributes": object_to_json(&ty.attributes),
        })).collect::<Vec<_>>(),
        "lookups": schema.lookups.iter().map(|lookup| json!({
            "name": lookup.name, "doc": lookup.doc, "arguments": object_to_json(&lookup.arguments),
            "result": object_to_json(&lookup.result),
        })).collect::<Vec<_>>(),
    })
}

fn object_to_json(object: &Object) -> Json {
    let attribute = |attribute: &Attribute| {
        json!({
            "name": attribute.name, "type": attribute.ty.describe(), "doc": attribute.doc,
            "required": attribute.required, "computed": attribute.computed, "configurable": attribute.configurable,
            "default": attribute.default.as_ref().map(terrace_provider::Value::to_json),
            "sensitive": attribute.sensitive, "write_only": attribute.write_only, "replaces": attribute.replaces,
        })
    };
    object.0.iter().map(attribute).collect()
}
