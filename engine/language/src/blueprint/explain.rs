//! Converts JSON Schema errors to diagnostics with path, place, expectation and hint.

use super::check_misspelt_keys::may_have_type;
use super::schema_errors::{MAX_ERRORS, component_path};
use crate::decode::alternatives;
use crate::diagnostic::{Diagnostic, closest, did_you_mean};
use crate::source::Span;
use crate::yaml::{Entry, Node, typing_hint_for_key, typing_hint_for_value};
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value as Json;
use terrace_provider::Path;
use terrace_provider::names::listed;

/// The diagnostics of an error: one, or one for each unknown property.
pub(super) fn explain(error: &ValidationError<'_>, component: &Node, schema: &Json) -> Vec<Diagnostic> {
    let path = component_path(error.instance_path());
    let at = Site { path: &path, component };
    let siblings = |keyword: &str| {
        let pointer = error.schema_path().as_str();
        schema.pointer(pointer.strip_suffix(keyword)?)?.get("properties")?.as_object()
    };
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let known = siblings("/required");
            let expected = known.and_then(|known| known.get(name));
            let may_be = |entry: &Entry| {
                known.is_none_or(|known| !known.contains_key(&entry.key))
                    && expected.is_none_or(|expected| may_have_type(&entry.value, expected, schema))
            };
            vec![at.missing(name, may_be)]
        }
        Kind::AdditionalProperties { unexpected } => {
            let known = siblings("/additionalProperties");
            let known: Vec<(&str, &Json)> =
                known.into_iter().flatten().map(|(name, property_schema)| (name.as_str(), property_schema)).collect();
            unexpected.iter().take(MAX_ERRORS).map(|name| at.unknown(name, &known, schema)).collect()
        }
        Kind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().take(MAX_ERRORS).map(|name| at.unknown(name, &[], schema)).collect()
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => match likeliest_branch(context, error) {
            Some(branch) => branch.iter().flat_map(|error| explain(error, component, schema)).collect(),
            None => vec![at.none_of(context)],
        },
        Kind::PropertyNames { error } => vec![at.wrong(format!("has an invalid key: {}", error.masked()))],
        kind => vec![at.simple(kind, error)],
    }
}

/// A path in a component.
struct Site<'a> {
    path: &'a Path,
    component: &'a Node,
}

impl Site<'_> {
    fn node(&self) -> Option<&Node> {
        self.component.find(self.path)
    }

    /// The place of the value, or of its key for a block, because a whole block is hard to read.
    fn span(&self) -> Span {
        match self.node() {
            Some(node) if node.as_map().is_none() && node.as_list().is_none() => node.span,
            _ => self.heading(),
        }
    }

    /// The place of the value's key, or of the first key for an item of a list.
    fn heading(&self) -> Span {
        let entry = self.component.find_entry(self.path).map(|entry| entry.key_span);
        let first = || self.node()?.as_map()?.first().map(|entry| entry.key_span);
        entry.or_else(first).or_else(|| Some(self.node()?.span)).unwrap_or(self.component.span)
    }

    fn wrong(&self, message: impl std::fmt::Display) -> Diagnostic {
        Diagnostic::error("invalid_specific", format!("`{}` {message}", self.path)).at(self.span())
    }

    /// `may_be` decides whether an entry may be the missing one with a misspelt name.
    fn missing(&self, name: &str, may_be: impl Fn(&Entry) -> bool) -> Diagnostic {
        let entries = self.node().and_then(Node::as_map).unwrap_or_default().iter();
        let misspelt = closest(name, entries.filter(|entry| may_be(entry)).map(|entry| entry.key.as_str()));
        let hint =
            misspelt.map_or(format!("add `{name}:`"), |key| format!("rename `{key}` to `{name}`, or add `{name}:`"));
        Diagnostic::error("missing_field", format!("`{}` needs `{name}`", self.path)).at(self.heading()).hint(hint)
    }

    fn unknown(&self, name: &str, known: &[(&str, &Json)], schema: &Json) -> Diagnostic {
        let path = self.path.key(name);
        let entry = self.component.find_entry(&path);
        let hint = if known.is_empty() {
            format!("remove `{name}`")
        } else {
            format!("the fields are {}", listed(&known.iter().map(|(name, _)| *name).collect::<Vec<_>>()))
        };
        let has = |name: &str| self.node().is_some_and(|node| node.get(name).is_some());
        let fits = |field_schema: &Json| entry.is_none_or(|entry| may_have_type(&entry.value, field_schema, schema));
        let candidates =
            known.iter().filter(|(name, field_schema)| !has(name) && fits(field_schema)).map(|(name, _)| *name);
        Diagnostic::error("unknown_field", format!("`{}` has no field `{name}`", self.path))
            .at(entry.map_or_else(|| self.span(), |entry| entry.key_span))
            .hint(hint)
            .maybe_hint(did_you_mean(name, candidates))
            .maybe_hint(entry.and_then(|entry| typing_hint_for_key(&entry.key, known.iter().map(|(name, _)| *name))))
    }

    fn none_of(&self, context: &[Vec<ValidationError<'_>>]) -> Diagnostic {
        let mut expected: Vec<&str> = Vec::new();
        for error in context.iter().flatten().filter(|error| component_path(error.instance_path()) == *self.path) {
            if let Kind::Type { kind } = error.kind() {
                expected.extend(type_names(kind));
            }
        }
        expected.dedup();
        let expectation = match expected.as_slice() {
            [] => format!("one of {} forms", context.len()),
            names => names.join(" or "),
        };
        self.wrong(format!("is {}: expected {expectation}", self.found()))
            .hint("see the blueprint's `specific` for what is allowed here")
    }

    fn found(&self) -> String {
        match self.node().map(Node::kind_name) {
            Some("null") => "empty".to_owned(),
            Some("text") => "text".to_owned(),
            Some("true/false") => "`true` or `false`".to_owned(),
            Some(kind) => format!("a {kind}"),
            None => "not there".to_owned(),
        }
    }

    fn simple(&self, kind: &Kind, error: &ValidationError<'_>) -> Diagnostic {
        let number = |limit: &Json| limit.to_string();
        match kind {
            Kind::Type { kind } => self.wrong_type(kind),
            Kind::Enum { options } => self.wrong_word(options),
            Kind::Constant { expected_value } => self
                .wrong(format!("can only be `{}`", plain(expected_value)))
                .hint(format!("write `{}`", plain(expected_value))),
            Kind::Minimum { limit } => self.limit("less than", &number(limit), "at least"),
            Kind::Maximum { limit } => self.limit("more than", &number(limit), "at most"),
            Kind::ExclusiveMinimum { limit } => self.limit("not more than", &number(limit), "more than"),
            Kind::ExclusiveMaximum { limit } => self.limit("not less than", &number(limit), "less than"),
            Kind::MinLength { limit } => self.count("shorter", *limit, "character", "at least"),
            Kind::MaxLength { limit } => self.count("longer", *limit, "character", "at most"),
            Kind::MinItems { limit } => self.count("shorter", *limit, "item", "at least"),
            Kind::MaxItems { limit } => self.count("longer", *limit, "item", "at most"),
            Kind::AdditionalItems { limit } => self.count("longer", *limit as u64, "item", "at most"),
            Kind::MinProperties { limit } => self.count("smaller", *limit, "entry", "at least"),
            Kind::MaxProperties { limit } => self.count("larger", *limit, "entry", "at most"),
            Kind::Pattern { pattern } => {
                let found = self.node().and_then(Node::as_text).unwrap_or_default();
                self.wrong(format!("is `{found}`, which does not fit the pattern `{pattern}`"))
                    .hint(format!("write text that matches `{pattern}`"))
            }
            Kind::Format { format } => {
                self.wrong(format!("is not a valid `{format}`")).hint(format!("write it in the form of `{format}`"))
            }
            Kind::UniqueItems => self.wrong("has an item twice").hint("remove the repeated item"),
            Kind::Contains => self.wrong("lacks a required item").hint("see the blueprint's `specific`"),
            Kind::FalseSchema | Kind::Not { .. } => {
                self.wrong("is not allowed here").hint("remove it, or see the blueprint's `specific`")
            }
            Kind::OneOfMultipleValid { .. } => self
                .wrong("matches several forms, but must match exactly one")
                .hint("remove the fields of the other forms"),
            _ => self
                .wrong(format!("is not valid under the blueprint's schema: {}", error.masked_with("the value")))
                .hint("see the blueprint's `specific` for what is allowed here"),
        }
    }

    fn wrong_type(&self, kind: &TypeKind) -> Diagnostic {
        let expected = type_names(kind).join(" or ");
        if let Some(hint) = self.node().and_then(|node| typing_hint_for_value(node, &expected)) {
            return self.wrong(format!("is {}: expected {expected}", self.found())).hint(hint);
        }
        let is_plain = self.node().is_some_and(|node| !matches!(node.kind_name(), "list" | "map" | "null"));
        let hint = if expected == "text" && is_plain {
            "put the value in quotes".to_owned()
        } else {
            format!("write {expected} here")
        };
        self.wrong(format!("is {}: expected {expected}", self.found())).hint(hint)
    }

    fn wrong_word(&self, options: &Json) -> Diagnostic {
        let words: Vec<String> = options.as_array().into_iter().flatten().map(plain).collect();
        let expected = alternatives(words.iter().map(String::as_str));
        let found = self.node().map(Node::to_json).map(|json| plain(&json)).unwrap_or_default();
        self.wrong(format!("cannot be `{found}`: expected {expected}"))
            .hint(format!("write {expected}"))
            .maybe_hint(did_you_mean(&found, words.iter().map(String::as_str)))
    }

    fn limit(&self, fault: &str, limit: &str, expectation: &str) -> Diagnostic {
        self.wrong(format!("is {fault} {limit}")).hint(format!("write a number of {expectation} {limit}"))
    }

    fn count(&self, fault: &str, limit: u64, unit: &str, expectation: &str) -> Diagnostic {
        let units = match (limit, unit) {
            (1, unit) => unit.to_owned(),
            (_, "entry") => "entries".to_owned(),
            (_, unit) => format!("{unit}s"),
        };
        self.wrong(format!("is {fault} than {limit} {units}")).hint(format!("give it {expectation} {limit} {units}"))
    }
}

/// The branch that the author most likely meant: the one with the fewest errors among branches with the value's type.
fn likeliest_branch<'c, 'e>(
    context: &'c [Vec<ValidationError<'e>>],
    error: &ValidationError<'_>,
) -> Option<&'c [ValidationError<'e>]> {
    let own = error.instance_path().as_str();
    let distance = |branch: &[ValidationError<'_>]| -> Option<usize> {
        branch.iter().try_fold(0, |sum, error| match error.kind() {
            Kind::Type { .. } | Kind::Enum { .. } | Kind::Constant { .. } if error.instance_path().as_str() == own => {
                None
            }
            // An error in a field that selects the branch (`type: kafka`) counts more than a missing field.
            Kind::Enum { .. } | Kind::Constant { .. } => Some(sum + 10),
            _ => Some(sum + 1),
        })
    };
    let mut ranked: Vec<_> = context.iter().filter_map(|branch| Some((distance(branch)?, branch.as_slice()))).collect();
    ranked.sort_by_key(|(distance, _)| *distance);
    match ranked.as_slice() {
        [(_, only)] => Some(only),
        [(best, branch), (next, _), ..] if best < next => Some(branch),
        _ => None,
    }
}

fn type_names(kind: &TypeKind) -> Vec<&'static str> {
    let name = |ty: JsonType| match ty {
        JsonType::Array => "a list",
        JsonType::Boolean => "`true` or `false`",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "a map",
        JsonType::String => "text",
    };
    match kind {
        TypeKind::Single(ty) => vec![name(*ty)],
        TypeKind::Multiple(types) => types.iter().map(name).collect(),
    }
}

fn plain(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), ToOwned::to_owned)
}
