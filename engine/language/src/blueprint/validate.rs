//! Validation of a component's `specific` with the blueprint's JSON Schema.
//!
//! The schema is compiled once for each blueprint, on first use. Every error has a path from the component's root and
//! the place of the text that caused it.

use super::check::sample;
use super::defaults::{self, EndlessDefaults};
use super::explain::explain;
use super::schema_errors::MAX_ERRORS;
use super::{check_misspelt_keys, nulls};
use crate::diagnostic::{Diagnostic, closest};
use crate::source::Span;
use crate::yaml::Node;
use jsonschema::Validator;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::OnceLock;
use terrace_provider::Value;

/// A JSON Schema of `component.specific`, or of `params` of reverse provisioning.
#[derive(Debug)]
pub struct SpecificSchema {
    /// The name of the validated field, for messages.
    field: &'static str,
    json: serde_json::Value,
    span: Span,
    validator: OnceLock<Result<Validator, String>>,
}

impl SpecificSchema {
    /// A schema with its place in the blueprint.
    #[must_use]
    pub fn new(field: &'static str, json: serde_json::Value, span: Span) -> Self {
        Self { field, json, span, validator: OnceLock::new() }
    }

    /// The schema itself.
    #[must_use]
    pub fn json(&self) -> &serde_json::Value {
        &self.json
    }

    /// A simple value that matches the schema as far as possible.
    #[must_use]
    pub fn sample(&self) -> Value {
        sample::of(&self.json)
    }

    /// The error of the schema itself, if any.
    #[must_use]
    pub fn check(&self) -> Option<Diagnostic> {
        let error = self.validator().as_ref().err()?;
        Some(
            Diagnostic::error("bad_schema", format!("`{}` of the blueprint is not a JSON Schema: {error}", self.field))
                .at(self.span)
                .hint("see https://json-schema.org for the keywords of JSON Schema"),
        )
    }

    /// Returns the errors of a component's `specific`.
    #[must_use]
    pub fn validate(&self, component: &Node, span: Span) -> Vec<Diagnostic> {
        let validator = match self.validator() {
            Ok(validator) => validator,
            Err(_) => return self.check().into_iter().collect(),
        };
        let Some(specific) = component.get("specific").filter(|node| !node.is_null()) else {
            return self.missing(validator, component, span);
        };
        let json = specific.to_json();
        // Several keywords may report the same error; report it once.
        let mut messages = HashSet::new();
        let found = validator.iter_errors(&json).flat_map(|error| explain(&error, component, &self.json));
        let mut diagnostics: Vec<Diagnostic> =
            found.filter(|diagnostic| messages.insert(diagnostic.message.clone())).take(MAX_ERRORS).collect();
        if diagnostics.len() == MAX_ERRORS {
            diagnostics.push(
                Diagnostic::note("too_many_mistakes", format!("only the first {MAX_ERRORS} errors are reported"))
                    .at(component.entry("specific").map_or(span, |entry| entry.key_span))
                    .hint("correct these errors first"),
            );
        }
        if diagnostics.is_empty() {
            diagnostics = check_misspelt_keys::check(specific, &self.json);
        }
        diagnostics
    }

    /// Returns the errors of a value that has no source text.
    #[must_use]
    pub fn errors_of(&self, value: &Value) -> Vec<String> {
        let validator = match self.validator() {
            Ok(validator) => validator,
            Err(error) => return vec![format!("`{}` of the blueprint is not a JSON Schema: {error}", self.field)],
        };
        let json = value.to_json();
        let to_message = |error: jsonschema::ValidationError<'_>| {
            let path = error.instance_path().as_str().replace('/', ".");
            format!("`{}{path}`: {error}", self.field)
        };
        validator.iter_errors(&json).map(to_message).take(MAX_ERRORS).collect()
    }

    /// Returns the value with the schema's defaults for absent properties.
    ///
    /// # Errors
    /// When the defaults contain each other endlessly.
    pub fn with_defaults(&self, specific: Value) -> Result<Value, EndlessDefaults> {
        defaults::fill(specific, &self.json, &self.json)
    }

    /// Returns the value without nulls in optional fields that refuse them.
    #[must_use]
    pub fn without_refused_nulls<'n>(&self, value: &'n Node) -> Cow<'n, Node> {
        match self.validator() {
            Ok(validator) => nulls::without_refused(value, validator),
            Err(_) => Cow::Borrowed(value),
        }
    }

    /// Validates a component without `specific` like one with an empty `specific`.
    fn missing(&self, validator: &Validator, component: &Node, span: Span) -> Vec<Diagnostic> {
        if validator.is_valid(&serde_json::json!({})) {
            return Vec::new();
        }
        let required: Vec<String> = self
            .json
            .get("required")
            .and_then(serde_json::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|name| Some(format!("`{}`", name.as_str()?)))
            .collect();
        let needed = if required.is_empty() { String::new() } else { format!(" with {}", required.join(", ")) };
        let entries = component.as_map().unwrap_or_default();
        let misspelt = closest("specific", entries.iter().map(|entry| entry.key.as_str()));
        let hint = match misspelt.filter(|key| *key != "specific") {
            Some(key) => format!("rename `{key}` to `specific`"),
            None => format!("add `specific:`{needed}"),
        };
        let place = component.entry(misspelt.unwrap_or("specific")).map_or(span, |entry| entry.key_span);
        vec![Diagnostic::error("missing_field", "the component needs `specific`").at(place).hint(hint)]
    }

    fn validator(&self) -> &Result<Validator, String> {
        self.validator.get_or_init(|| {
            // A schema comes from an untrusted blueprint: `offline` keeps it from opening files or URLs.
            jsonschema::options().offline().build(&self.json).map_err(|error| error.to_string())
        })
    }
}
