//! Texts of a new blueprint: a sample, or a copy of a resource type or another blueprint.

use serde_json::{Map as JsonMap, Value as Json, json};
use std::fmt::Write as _;
use terrace_engine::blueprint::expectation::yaml as yaml_of;
use terrace_engine::blueprint::{Blueprint, SpecificSchema};
use terrace_engine::source::{Sources, Span};
use terrace_engine::yaml::{self, Budget, Entry, Node};
use terrace_provider::{Attribute, AttributeType, Object, ResourceType};

/// The sample blueprint.
const PLAIN: &str = include_str!("plain.yaml");
/// Its schema.
const PLAIN_SCHEMA: &str = include_str!("plain.json");

/// The dialect of generated schemas.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The texts of a new blueprint.
pub(super) struct Draft {
    pub(super) blueprint: String,
    /// The JSON Schema in its own file; `None` if the blueprint contains it.
    pub(super) schema: Option<String>,
    pub(super) test: String,
}

impl Draft {
    /// A small sample with an example of each part.
    pub(super) fn plain(name: &str) -> Self {
        let specific = json!({"title": "Hello"});
        Self {
            blueprint: PLAIN.replace("NAME", name),
            schema: Some(PLAIN_SCHEMA.to_owned()),
            test: test(name, None, &specific),
        }
    }

    /// A blueprint with one object of a resource type for each component.
    pub(super) fn of_type(name: &str, ty: &ResourceType) -> Self {
        let schema = with_head(&format!("Fields of a component of {name}"), object(&ty.attributes));
        Self {
            blueprint: blueprint_of(name, ty),
            test: test(name, None, &smallest(&schema)),
            schema: Some(pretty(&schema)),
        }
    }

    /// A copy of another blueprint, with another name and template.
    pub(super) fn of_blueprint(name: &str, blueprint: &Blueprint, sources: &Sources) -> Self {
        let schema = blueprint.specific.as_ref().map(|schema| schema.json().clone());
        let source = sources.get(blueprint.span.source);
        let text = source.map(|source| source.text.to_string()).unwrap_or_default();
        let node = yaml::parse(blueprint.span.source, &text, &Budget::default()).ok();
        let has_schema_file = node
            .as_ref()
            .is_some_and(|node| node.get("specific").is_some_and(|it| it.as_text().is_some()) || is_extension(node));
        let changed = node.map(|node| renamed(name, &text, &node, blueprint)).unwrap_or_default();
        Self {
            blueprint: changed,
            test: test(name, blueprint.matcher.kind.as_deref(), &schema.as_ref().map_or(json!({}), smallest)),
            schema: schema.filter(|_| has_schema_file).map(|schema| pretty(&schema)),
        }
    }
}

/// True if a blueprint inherits its match and its schema.
fn is_extension(node: &Node) -> bool {
    node.get("extends").is_some() && node.get("match").is_none() && node.get("specific").is_none()
}

/// The text of a blueprint with another name, version, template and schema file. If the original extends a blueprint,
/// the copy extends the same one, because it needs its locals and checks. It gets its own match and no overlay: an
/// overlay would replace that blueprint.
fn renamed(name: &str, text: &str, node: &Node, blueprint: &Blueprint) -> String {
    let matcher = match &blueprint.matcher.kind {
        Some(kind) => format!("{{useCaseTemplateId: {}, kind: {kind}}}", template(name)),
        None => format!("{{useCaseTemplateId: {}}}", template(name)),
    };
    let metadata = node.get("metadata");
    let version = metadata.and_then(|metadata| metadata.get("version")).map(|version| version.span);
    let schema = node.get("specific").filter(|specific| specific.as_text().is_some()).map(|specific| specific.span);
    let mut changes: Vec<(Span, String)> = vec![(blueprint.name.span, name.to_owned())];
    changes.extend(version.map(|span| (span, "0.1.0".to_owned())));
    changes.extend(schema.map(|span| (span, format!("specific/{name}.json"))));
    changes.extend(node.get("match").map(|matched| (matched.span, format!("{matcher}\n"))));
    let is_extension = is_extension(node);
    let overlay = metadata.and_then(|metadata| metadata.entry("overlay")).filter(|_| is_extension);
    changes.extend(overlay.map(|overlay| (entry_span(text, overlay), String::new())));
    changes.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut text = text.to_owned();
    for (span, new) in changes {
        let (start, mut end) = (span.start as usize, span.end as usize);
        // A block begins on the line after its key, and ends with a line end.
        let is_block =
            !new.is_empty() && text.get(start..end).is_some_and(|old| old.contains('\n') || new.ends_with('\n'));
        let start = if is_block { text.get(..start).map_or(start, |before| before.trim_end().len()) } else { start };
        let new = if is_block { format!(" {new}") } else { new };
        if is_block {
            let trimmed = text.get(..end).map_or(end, |before| before.trim_end().len());
            end = text.get(trimmed..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| trimmed + at + 1);
        }
        text.replace_range(start..end, &new);
    }
    if !is_extension {
        return text;
    }
    let line = |line: &str| match line.starts_with("extends:") {
        true => format!("{line}\nmatch: {matcher}\nspecific: specific/{name}.json\n"),
        false => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The span of an entry of a map: its line, or the text between commas.
fn entry_span(text: &str, entry: &Entry) -> Span {
    let (start, end) = (entry.key_span.start as usize, entry.value.span.end as usize);
    let before = text.get(..start).unwrap_or_default().trim_end_matches(' ');
    let begin = before.strip_suffix(['\n', ',']).map_or(start, str::len);
    // The first entry of `{…}` ends with its comma.
    let comma = text.get(end..).filter(|_| begin == start).map_or(0, |rest| rest.find(',').map_or(0, |at| at + 1));
    Span::new(entry.key_span.source, begin, end + comma)
}

fn template(name: &str) -> String {
    format!("urn:dmb:utm:{name}-template")
}

/// A blueprint with one object whose attributes come from the component.
fn blueprint_of(name: &str, ty: &ResourceType) -> String {
    let noun = ty.name.split_once('_').map_or(ty.name, |(_, noun)| noun);
    let mut text = format!(
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata:\n  name: {name}\n  version: 0.1.0\n  description: {}\n",
        quoted(&format!("One {} for each component", ty.name))
    );
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "# The blueprint applies to components that match. A stack may also name it: `blueprint: {name}`.\n\
         match:\n  useCaseTemplateId: {}\n\
         # The fields of a component. Errors name their place in the descriptor.\n\
         specific: specific/{name}.json\n\
         resources:\n  # {}\n  - type: {}\n    name: {noun}\n    config:\n",
        template(name),
        ty.doc,
        ty.name
    );
    for attribute in ty.attributes.0.iter().filter(|attribute| attribute.configurable) {
        let (name, doc) = (attribute.name, attribute.doc.replace('\n', " "));
        let _ = writeln!(text, "      # {doc}");
        let value = if attribute.required || attribute.default.is_some() {
            format!("${{{{ component.specific.{name} }}}}")
        } else {
            format!("${{{{ component.specific.?{name}.orValue(null) }}}}")
        };
        // Descriptors have many readers.
        let hidden = if attribute.sensitive { "# sensitive, so not from a descriptor: " } else { "" };
        let value = if attribute.sensitive { format!("${{{{ settings.{name} }}}}") } else { value };
        let _ = writeln!(text, "      {hidden}{name}: {value}");
    }
    let names: Vec<&str> = match ty.identity {
        [] => ty.attributes.0.iter().filter(|attribute| attribute.stable).map(|attribute| attribute.name).collect(),
        identity => identity.to_vec(),
    };
    if !names.is_empty() {
        text.push_str("# Values for other components. An apply prints the public ones.\noutputs:\n  public:\n");
    }
    for name in names {
        let _ = writeln!(text, "    {name}: {{label: {name}, value: \"${{{{ resources.{noun}.{name} }}}}\"}}");
    }
    text
}

/// A test with one case. `terrace blueprints new` writes its expectation from the actual result.
fn test(name: &str, kind: Option<&str>, specific: &Json) -> String {
    let kind = kind.unwrap_or("workload");
    let specific: String = match specific.as_object().is_some_and(JsonMap::is_empty) {
        true => " {}\n".to_owned(),
        false => yaml_of(specific).lines().fold("\n".to_owned(), |text, line| text + "        " + line + "\n"),
    };
    format!(
        "# `terrace blueprints test` compares the result of each component with `expect`;\n\
         # `terrace blueprints test --accept` writes it. Add a case for an invalid component too.\n\
         apiVersion: terrace.dev/v1\nkind: BlueprintTest\ncases:\n  - name: a component with its required fields\n    \
         component:\n      useCaseTemplateId: {}\n      kind: {kind}\n      specific:{specific}",
        template(name)
    )
}

/// A value with only the required fields of a schema.
fn smallest(schema: &Json) -> Json {
    let mut schema = schema.clone();
    drop_optional(&mut schema);
    SpecificSchema::new("specific", schema, Span::default()).sample().to_json()
}

fn drop_optional(schema: &mut Json) {
    match schema {
        Json::Object(fields) => {
            let required: Vec<Json> = fields.get("required").and_then(Json::as_array).cloned().unwrap_or_default();
            if let Some(properties) = fields.get_mut("properties").and_then(Json::as_object_mut) {
                properties.retain(|name, _| required.iter().any(|required| required == name));
            }
            fields.values_mut().for_each(drop_optional);
        }
        Json::Array(items) => items.iter_mut().for_each(drop_optional),
        _ => {}
    }
}

fn with_head(title: &str, object: Json) -> Json {
    let mut schema: JsonMap<String, Json> = JsonMap::new();
    schema.insert("$schema".to_owned(), DIALECT.into());
    schema.insert("title".to_owned(), title.into());
    schema.extend(object.as_object().cloned().unwrap_or_default());
    Json::Object(schema)
}

/// The JSON Schema of configurable attributes. Sensitive values do not belong in descriptors.
fn object(object: &Object) -> Json {
    let shown = || object.0.iter().filter(|attribute| attribute.configurable && !attribute.sensitive);
    let required: Vec<&str> = shown().filter(|it| it.required).map(|attribute| attribute.name).collect();
    let properties: JsonMap<String, Json> =
        shown().map(|attribute| (attribute.name.to_owned(), property(attribute))).collect();
    json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
}

fn property(attribute: &Attribute) -> Json {
    let mut schema = json!({"description": attribute.doc});
    // Vendor JSON may be anything; larger values are maps.
    let ty = match (&attribute.ty, attribute.vendor_json) {
        (AttributeType::Any, true) => json!({"type": "object"}),
        (ty, _) => type_of(ty),
    };
    if let (Json::Object(schema), Json::Object(ty)) = (&mut schema, ty) {
        schema.extend(ty);
        if let Some(default) = &attribute.default {
            schema.insert("default".to_owned(), default.to_json());
        }
    }
    schema
}

fn type_of(ty: &AttributeType) -> Json {
    match ty {
        AttributeType::String => json!({"type": "string"}),
        AttributeType::Int => json!({"type": "integer"}),
        AttributeType::Float => json!({"type": "number"}),
        AttributeType::Bool => json!({"type": "boolean"}),
        AttributeType::Any => json!({}),
        AttributeType::List(item) => json!({"type": "array", "items": type_of(item)}),
        AttributeType::Map(item) => json!({"type": "object", "additionalProperties": type_of(item)}),
        AttributeType::Object(fields) => object(fields),
    }
}

fn pretty(schema: &Json) -> String {
    format!("{schema:#}\n")
}

fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}
