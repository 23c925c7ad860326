//! `terrace providers`: providers of this build with their settings, resource types and lookups.

use super::run::format_value;
use crate::args::ProvidersCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use serde_json::{Value as Json, json};
use std::fmt::Write;
use terrace_engine::diagnostic::closest;
use terrace_provider::{Attribute, AttributeType, Object, ProviderSchema};

/// Lists providers, or shows a schema.
///
/// # Errors
/// When the provider does not exist.
pub(super) fn run(context: &Context<'_>, command: ProvidersCommand) -> Result<Exit, Failure> {
    let schemas: Vec<&ProviderSchema> = context.providers.schemas().collect();
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
    for lookup in &schema.lookups {
        let (arguments, answer) = (attributes(&lookup.arguments), attributes(&lookup.result));
        let _ = write!(text, "\nlookup {}: {}\n{arguments}  answers\n{answer}", lookup.name, lookup.doc);
    }
    text
}

fn attributes(object: &Object) -> String {
    let mut text = String::new();
    add_attributes(&mut text, object, 1);
    text
}

/// Fields of nested objects are indented below their attribute.
fn add_attributes(text: &mut String, object: &Object, depth: usize) {
    let indent = "  ".repeat(depth);
    for attribute in &object.0 {
        let marks: String = marks(attribute).iter().map(|mark| format!(", {mark}")).collect();
        let ty = attribute.ty.describe();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{indent}{}: {ty}{marks}\n{indent}    {}", attribute.name, attribute.doc);
        if let Some(fields) = fields(&attribute.ty) {
            add_attributes(text, fields, depth + 2);
        }
    }
}

/// The fields of an object, or of the objects in a list or map.
fn fields(ty: &AttributeType) -> Option<&Object> {
    match ty {
        AttributeType::Object(object) => Some(object),
        AttributeType::List(item) | AttributeType::Map(item) => fields(item),
        _ => None,
    }
}

/// Properties of an attribute, in words.
fn marks(attribute: &Attribute) -> Vec<String> {
    let marks = [
        (attribute.required, "required"),
        (!attribute.configurable, "computed"),
        (attribute.computed && attribute.configurable, "computed unless given"),
        (attribute.replaces, "a change replaces"),
        (attribute.write_only, "write-only"),
        (attribute.sensitive && !attribute.write_only, "sensitive"),
    ];
    let marks = marks.into_iter().filter(|(is_marked, _)| *is_marked).map(|(_, mark)| mark.to_owned());
    let default = attribute.default.as_ref().map(|default| format!("default {}", format_value(default)));
    marks.chain(default).collect()
}

fn to_json(schema: &ProviderSchema) -> Json {
    json!({
        "name": schema.name, "version": schema.version, "doc": schema.doc,
        "settings": object_to_json(&schema.settings),
        "resources": schema.resources.iter().map(|ty| json!({
            "type": ty.name, "doc": ty.doc, "schema_version": ty.schema_version, "identity": ty.identity,
            "holds_data": ty.holds_data, "spares_data": ty.keeps_data_on_delete, "attributes": object_to_json(&ty.attributes),
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
            "fields": fields(&attribute.ty).map(object_to_json),
        })
    };
    object.0.iter().map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_shows_defaults_and_nested_fields() {
        let column = Object(vec![Attribute::new("nullable", AttributeType::Bool, "May be empty.").default_value(true)]);
        let columns = AttributeType::list(AttributeType::Object(column));
        let object = Object(vec![Attribute::new("columns", columns, "The columns.")]);
        assert_eq!(
            attributes(&object),
            "  columns: list of object\n      The columns.\n      nullable: true/false, default true\n          May be empty.\n"
        );
        assert_eq!(object_to_json(&object)[0]["fields"][0]["default"], true);
    }
}
