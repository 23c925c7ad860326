//! `terrace providers`: providers of this build with their settings, resource types and lookups.

use super::run::format_value;
use crate::args::ProvidersCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::presentation::narrowed;
use crate::ui::Ui;
use owo_colors::OwoColorize;
use serde_json::{Value as Json, json};
use terrace_engine::diagnostic::closest;
use terrace_provider::names::listed;
use terrace_provider::{Attribute, AttributeType, Object, ProviderSchema};
use textwrap::{WordSeparator, WordSplitter};

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
            let lines = schemas
                .iter()
                .map(|schema| format!("{} {}  {}\n", schema.name, schema.version, without_links(schema.doc)));
            context.ui.print(&narrowed(context.ui, &lines.collect::<String>()))?;
        }
        ProvidersCommand::Schema { name, format } => {
            let schema = schemas.iter().find(|schema| schema.name == name).ok_or_else(|| unknown(&name, &schemas))?;
            if format.is_json() {
                context.ui.print_json(&to_json(schema))?;
            } else {
                let mut page = Page::of(context.ui);
                page.schema(schema);
                context.ui.print(&page.text)?;
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
            failure.hint(format!("this build has: {}", listed(&known)))
        }
    }
}

/// A schema for people.
struct Page {
    /// True to mark names and code by colour; without it code keeps its backticks.
    is_colored: bool,
    /// The width of lines; `None` for no limit.
    width: Option<usize>,
    text: String,
}

impl Page {
    fn of(ui: &Ui) -> Self {
        Self { is_colored: ui.is_result_colored(), width: ui.result_width(), text: String::new() }
    }

    fn schema(&mut self, schema: &ProviderSchema) {
        self.heading(&format!("{} {}", schema.name, schema.version), schema.doc);
        if !schema.settings.0.is_empty() {
            self.text.push_str("\nsettings\n");
            self.attributes(&schema.settings, 1);
        }
        for ty in &schema.resources {
            self.text.push('\n');
            self.heading(ty.name, ty.doc);
            self.attributes(&ty.attributes, 1);
        }
        for lookup in &schema.lookups {
            self.text.push_str("\nlookup ");
            self.heading(lookup.name, lookup.doc);
            self.attributes(&lookup.arguments, 1);
            self.text.push_str("  answers\n");
            self.attributes(&lookup.result, 1);
        }
    }

    fn heading(&mut self, name: &str, doc: &str) {
        let name = self.name(name);
        self.paragraph(&format!("{name}: {doc}"), 0);
    }

    /// Fields of nested maps are indented below their attribute.
    fn attributes(&mut self, object: &Object, depth: usize) {
        for attribute in &object.0 {
            let marks: String = marks(attribute).iter().map(|mark| format!(", {mark}")).collect();
            let (name, ty) = (self.name(attribute.name), attribute.ty.describe());
            self.paragraph(&format!("{name}: {ty}{marks}"), 2 * depth);
            self.paragraph(attribute.doc, 2 * depth + 4);
            if let Some(fields) = fields(&attribute.ty) {
                self.attributes(fields, depth + 2);
            }
        }
    }

    /// Adds Markdown as lines of the terminal.
    fn paragraph(&mut self, markdown: &str, indent: usize) {
        let indent = " ".repeat(indent);
        let options = textwrap::Options::new(self.width.unwrap_or(usize::MAX))
            .initial_indent(&indent)
            .subsequent_indent(&indent)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .break_words(false);
        self.text.push_str(&textwrap::fill(&self.code(&without_links(markdown)), options));
        self.text.push('\n');
    }

    fn name(&self, name: &str) -> String {
        if self.is_colored { name.bold().to_string() } else { name.to_owned() }
    }

    /// Marks code by colour instead of backticks.
    fn code(&self, markdown: &str) -> String {
        let parts = markdown.split('`').enumerate();
        match self.is_colored {
            true => {
                parts.map(|(at, part)| if at % 2 == 1 { part.cyan().to_string() } else { part.to_owned() }).collect()
            }
            false => markdown.to_owned(),
        }
    }
}

/// Markdown with the text of each link instead of the link.
fn without_links(markdown: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(markdown.len()), markdown);
    while let Some((before, after)) = rest.split_once('[') {
        text.push_str(before);
        let link = after.split_once("](").and_then(|(label, target)| Some((label, target.split_once(')')?.1)));
        match link.filter(|(label, _)| !label.contains(['[', ']'])) {
            Some((label, after)) => {
                text.push_str(label);
                rest = after;
            }
            None => {
                text.push('[');
                rest = after;
            }
        }
    }
    text + rest
}

/// The fields of a map, or of the maps in a list or map.
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
        let mut page = Page { is_colored: false, width: None, text: String::new() };
        page.attributes(&object, 1);
        assert_eq!(
            page.text,
            "  columns: list of maps\n      The columns.\n      nullable: true/false, default true\n          May be empty.\n"
        );
        assert_eq!(object_to_json(&object)[0]["fields"][0]["default"], true);
    }

    #[test]
    fn markdown_becomes_lines_of_the_terminal() {
        let shown = |is_colored, width| {
            let mut page = Page { is_colored, width, text: String::new() };
            page.paragraph("Default `[]`: all [variables](#variables) that `env` has.", 2);
            page.text
        };
        assert_eq!(shown(false, None), "  Default `[]`: all variables that `env` has.\n");
        assert_eq!(shown(false, Some(30)), "  Default `[]`: all variables\n  that `env` has.\n");
        let colored = "  Default \u{1b}[36m[]\u{1b}[39m: all variables\n  that \u{1b}[36menv\u{1b}[39m has.\n";
        assert_eq!(shown(true, Some(30)), colored);
    }
}
