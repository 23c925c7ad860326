//! Values of a stack's variables, from the caller or a default, checked by type and validation.

use super::facts::FactScope;
use super::{Compiler, GivenValue};
use crate::blueprint::path_under;
use crate::descriptor::{Descriptor, Variable, VariableType};
use crate::diagnostic::{Diagnostic, did_you_mean, first_of};
use terrace_provider::{Map, Number, Value};

/// Returns the values of all declared variables. Reports errors and leaves such variables out.
pub(super) fn resolve(compiler: &Compiler<'_>, descriptor: &Descriptor, diagnostics: &mut Vec<Diagnostic>) -> Map {
    let mut values = Map::default();
    for variable in &descriptor.variables {
        if let Some(value) = resolve_one(compiler, variable, diagnostics) {
            let value = if variable.is_sensitive { Value::sensitive(value) } else { value };
            values.insert(variable.name.value.clone(), value);
        }
    }
    for variable in &descriptor.variables {
        validate(compiler, variable, &values, diagnostics);
    }
    values
}

/// Returns an error for each given variable that no descriptor declares.
pub fn undeclared<'a>(given: impl Iterator<Item = &'a str>, descriptors: &[Descriptor]) -> Vec<Diagnostic> {
    let declared: Vec<&str> = descriptors
        .iter()
        .flat_map(|descriptor| &descriptor.variables)
        .map(|variable| variable.name.value.as_str())
        .collect();
    given
        .filter(|name| !declared.contains(name))
        .map(|name| {
            Diagnostic::error("unknown_variable", format!("there is no variable `{name}`")).hint(
                did_you_mean(name, declared.iter().copied()).unwrap_or_else(|| match declared.is_empty() {
                    true => "the descriptor declares no variables".to_owned(),
                    false => format!("declared: {}", first_of(&declared)),
                }),
            )
        })
        .collect()
}

fn resolve_one(compiler: &Compiler<'_>, variable: &Variable, diagnostics: &mut Vec<Diagnostic>) -> Option<Value> {
    let name = &variable.name.value;
    let value = match (compiler.variables.get(name).map(|given| &given.value), &variable.default) {
        (Some(GivenValue::Text(text)), _) => match from_text(&variable.ty, text) {
            Some(value) => value,
            None => {
                let found = match variable.is_sensitive {
                    true => "the given value is not".to_owned(),
                    false => format!("found `{}`", shortened(text)),
                };
                diagnostics.push(not_of_type(variable, &found).hint(origin(compiler, name)));
                return None;
            }
        },
        (Some(GivenValue::Value(value)), _) => value.clone(),
        (None, Some(default)) => default.clone(),
        (None, None) => {
            diagnostics.push(
                Diagnostic::error("missing_variable", format!("variable `{name}` has no value and no default"))
                    .at(variable.name.span)
                    .hint(format!("set it with `--var {name}=…` or `TERRACE_VAR_{name}`")),
            );
            return None;
        }
    };
    let faults = match &variable.ty {
        VariableType::Schema(schema) => schema_faults(variable, schema, &value),
        ty if is_of_type(ty, &value) => Vec::new(),
        _ => vec![format!("it is {}", value.kind())],
    };
    let to_diagnostic = |fault: &String| not_of_type(variable, fault).hint(origin(compiler, name));
    diagnostics.extend(faults.iter().map(to_diagnostic));
    faults.is_empty().then_some(value)
}

/// The origin of a variable's value, as a hint.
fn origin(compiler: &Compiler<'_>, name: &str) -> String {
    match compiler.variables.get(name) {
        Some(given) => format!("its value comes from {}", given.by),
        None => format!("correct its `default`, or give a value with `--var {name}=VALUE`"),
    }
}

/// Returns the violations of a variable's schema. For a sensitive variable the message omits even the place.
fn schema_faults(variable: &Variable, schema: &serde_json::Value, value: &Value) -> Vec<String> {
    const MAX_ERRORS: usize = 10;
    // A schema comes from an untrusted descriptor: `offline` keeps it from opening files or URLs.
    let validator = match jsonschema::options().offline().build(schema) {
        Ok(validator) => validator,
        Err(error) => return vec![format!("its schema is not a JSON Schema: {error}")],
    };
    let json = value.to_json();
    let mut errors = validator.iter_errors(&json).peekable();
    if variable.is_sensitive && errors.peek().is_some() {
        return vec!["the given value is not".to_owned()];
    }
    let to_message = |error: jsonschema::ValidationError<'_>| {
        let path = path_under(&variable.name.value, error.instance_path());
        match path.0.len() {
            1 => error.masked_with("it").to_string(),
            _ => error.masked_with(format!("`{path}`")).to_string(),
        }
    };
    errors.take(MAX_ERRORS).map(to_message).collect()
}

fn not_of_type(variable: &Variable, found: &str) -> Diagnostic {
    let expected = match &variable.ty {
        VariableType::String => "text",
        VariableType::Int => "a whole number",
        VariableType::Float => "a number",
        VariableType::Bool => "true or false",
        VariableType::Schema(_) => "valid under its schema",
        VariableType::Any => "a value",
    };
    Diagnostic::error("wrong_type", format!("variable `{}` has to be {expected}: {found}", variable.name.value))
        .at(variable.name.span)
}

/// Shortens a value for a message; it may be a whole file.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn from_text(ty: &VariableType, text: &str) -> Option<Value> {
    match ty {
        VariableType::String => Some(Value::from(text)),
        VariableType::Int => text.trim().parse().ok().map(Value::Int),
        VariableType::Float => match text.trim().parse() {
            Ok(whole) => Some(Value::Int(whole)),
            Err(_) => Number::parse(text.trim()).map(Value::Number),
        },
        VariableType::Bool => text.trim().parse().ok().map(Value::Bool),
        // Structured values are JSON; a value that is not JSON is a string.
        VariableType::Schema(_) | VariableType::Any => {
            Some(Value::from_json_text(text).unwrap_or_else(|| Value::from(text)))
        }
    }
}

/// True when a value is of a plain type.
fn is_of_type(ty: &VariableType, value: &Value) -> bool {
    matches!(
        (ty, value),
        (VariableType::Any, _)
            | (VariableType::String, Value::String(_))
            | (VariableType::Int | VariableType::Float, Value::Int(_))
            | (VariableType::Float, Value::Number(_))
            | (VariableType::Bool, Value::Bool(_))
    )
}

fn validate(compiler: &Compiler<'_>, variable: &Variable, values: &Map, diagnostics: &mut Vec<Diagnostic>) {
    if !values.contains_key(&variable.name.value) {
        return;
    }
    let scope = FactScope { roots: [("vars".to_owned(), Value::Map(values.clone()))].into_iter().collect() };
    for validation in &variable.validation {
        match validation.assert.evaluate(&scope, compiler.functions) {
            Ok(value) if value.as_bool() == Some(true) => {}
            Ok(_) => diagnostics.push(
                Diagnostic::error(
                    "invalid_variable",
                    format!("variable `{}`: {}", variable.name.value, validation.error),
                )
                .at(variable.name.span)
                .hint(origin(compiler, &variable.name.value)),
            ),
            Err(found) => diagnostics.extend(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::Given;
    use crate::descriptor;
    use crate::expression::Functions;
    use crate::source::Sources;
    use crate::yaml::Budget;
    use std::collections::BTreeMap;

    /// Returns the messages when both variables get a text that is not of their type.
    fn messages(given: &str) -> Vec<String> {
        messages_of(&["debug: {type: bool}", "pin: {type: int, sensitive: true}"], &[("debug", given), ("pin", given)])
    }

    fn messages_of(variables: &[&str], given: &[(&str, &str)]) -> Vec<String> {
        let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nvariables:\n";
        let text = variables.iter().fold(text.to_owned(), |text, variable| format!("{text}  {variable}\n"));
        let mut sources = Sources::default();
        let id = sources.add("stack.yaml", text);
        let (descriptors, found) = descriptor::read(&mut sources, &[id], &Budget::default());
        assert!(found.is_empty(), "{found:?}");
        let given = given.iter().map(|(name, text)| ((*name).to_owned(), Given::text(*text, "a test")));
        let compiler = Compiler {
            sources: &sources,
            functions: &Functions::default(),
            environment: &crate::environment::Environment::default(),
            library: &crate::blueprint::Library::default(),
            templates: &crate::blueprint::matching::Templates::default(),
            variables: &given.collect::<BTreeMap<_, _>>(),
            latest_enriched: None,
        };
        let mut diagnostics = Vec::new();
        resolve(&compiler, &descriptors[0], &mut diagnostics);
        diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect()
    }

    #[test]
    fn value_of_wrong_type_is_shown_unless_sensitive() {
        assert_eq!(
            messages("yes"),
            [
                "variable `debug` has to be true or false: found `yes`",
                "variable `pin` has to be a whole number: the given value is not",
            ]
        );
    }

    #[test]
    fn schema_violation_names_the_violated_rule() {
        let list = "l: {schema: {type: array, minItems: 2, items: {type: string}}}";
        assert_eq!(
            messages_of(&[list], &[("l", "[1]")]),
            [
                "variable `l` has to be valid under its schema: it has less than 2 items",
                "variable `l` has to be valid under its schema: `l[0]` is not of type \"string\"",
            ]
        );
        assert!(messages_of(&[list], &[("l", r#"["a", "b"]"#)]).is_empty());
        let secret = list.replace("{schema", "{sensitive: true, schema");
        assert_eq!(
            messages_of(&[&secret], &[("l", "[1]")]),
            ["variable `l` has to be valid under its schema: the given value is not"]
        );
        let messages = messages_of(&["l: {schema: {type: none}}"], &[("l", "1")]);
        assert!(
            messages[0].starts_with("variable `l` has to be valid under its schema: its schema is not a JSON Schema: "),
            "{messages:?}"
        );
    }

    #[test]
    fn long_value_is_shortened() {
        assert!(messages(&"é".repeat(100))[0].ends_with(&format!("found `{}…`", "é".repeat(60))));
    }
}
