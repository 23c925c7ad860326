//! Checks configured values against the schema of their resource type and reports each fault at its location.

use crate::diagnostic::{Diagnostic, did_you_mean, has_errors};
use crate::source::Span;
use crate::yaml::{WRITE_LIST, WRITE_MAP};
use terrace_provider::names::listed;
use terrace_provider::{Attribute, AttributeType, Attributes, Object, Path, Step, Value};

/// Checks a configuration. `place` returns the location of a path's value.
pub fn check(
    ty: &str,
    object: &Object,
    config: &Attributes,
    place: &dyn Fn(&Path) -> Span,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let checker = Checker { ty, place };
    checker.object(object, config, &Path::default(), diagnostics);
}

/// Reports a path that a type's attributes do not have.
pub fn check_path(ty: &str, attributes: &Object, path: &Path, span: Span, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let mut walked = Path::default();
    let object = AttributeType::Object(attributes.clone());
    let mut at = &object;
    for step in &path.0 {
        let next = match (at, step) {
            (AttributeType::Any, _) => return true,
            (AttributeType::List(item), Step::Index(_)) | (AttributeType::Map(item), Step::Key(_)) => Ok(&**item),
            (AttributeType::Object(object), Step::Key(name)) => match object.get(name) {
                Some(attribute) => Ok(&attribute.ty),
                None => {
                    let known: Vec<&str> = object.names().collect();
                    Err(did_you_mean(name, known.iter().copied()).unwrap_or_else(|| known_are(&known)))
                }
            },
            (other, _) => Err(format!("`{walked}` is {}", expectation(other))),
        };
        walked = walked.join(step.clone());
        match next {
            Ok(next) => at = next,
            Err(hint) => {
                let message = format!("`{ty}` has no attribute `{walked}`");
                diagnostics.push(Diagnostic::error("unknown_attribute", message).at(span).hint(hint));
                return false;
            }
        }
    }
    true
}

/// The hint with the valid names; a provider may have no settings.
fn known_are(names: &[&str]) -> String {
    match names {
        [] => "leave it out: no settings are supported".to_owned(),
        names => format!("known are: {}", listed(names)),
    }
}

struct Checker<'a> {
    ty: &'a str,
    place: &'a dyn Fn(&Path) -> Span,
}

impl Checker<'_> {
    fn object(&self, object: &Object, entries: &Attributes, path: &Path, diagnostics: &mut Vec<Diagnostic>) {
        for (name, value) in entries {
            let at = path.key(name);
            let Some(attribute) = object.get(name) else {
                let known: Vec<&str> = object.names().collect();
                let fits = |attribute: &&Attribute| {
                    let mut found = Vec::new();
                    self.value(&attribute.ty, value, &at, &mut found);
                    attribute.configurable && !entries.contains_key(attribute.name) && !has_errors(&found)
                };
                let candidates = object.0.iter().filter(fits).map(|attribute| attribute.name);
                let hint = did_you_mean(name, candidates).unwrap_or_else(|| known_are(&known));
                diagnostics.push(
                    Diagnostic::error("unknown_attribute", format!("`{}` has no attribute `{at}`", self.ty))
                        .at((self.place)(&at))
                        .hint(hint),
                );
                continue;
            };
            if !attribute.configurable && !value.is_null() {
                diagnostics.push(
                    Diagnostic::error("computed_attribute", format!("`{at}` is computed by the provider"))
                        .at((self.place)(&at))
                        .hint(format!("remove `{at}`")),
                );
                continue;
            }
            if !value.is_null() {
                let before = diagnostics.len();
                self.value(&attribute.ty, value, &at, diagnostics);
                if let (Some(example), Some(wrong)) = (attribute.example, diagnostics.get_mut(before)) {
                    wrong.hint = Some(format!("write it as in `{name}: {example}`"));
                }
            }
        }
        for attribute in object.0.iter().filter(|attribute| attribute.required) {
            let at = path.key(attribute.name);
            let fault = match entries.get(attribute.name) {
                Some(value) if value.is_null() => {
                    Diagnostic::error("missing_attribute", format!("`{at}` of `{}` is null", self.ty))
                        .at((self.place)(&at))
                        .hint(format!("give `{}` a value: {}", attribute.name, attribute.doc))
                }
                None => Diagnostic::error("missing_attribute", format!("`{}` needs `{at}`", self.ty))
                    .at((self.place)(path))
                    .hint(format!("add `{}`: {}", attribute.name, attribute.doc)),
                Some(_) => continue,
            };
            diagnostics.push(fault);
        }
    }

    fn value(&self, ty: &AttributeType, value: &Value, path: &Path, diagnostics: &mut Vec<Diagnostic>) {
        match (ty, value.exposed()) {
            (AttributeType::Any, _) | (_, Value::Unknown) => {}
            (AttributeType::String, Value::String(_))
            | (AttributeType::Int | AttributeType::Float, Value::Int(_))
            | (AttributeType::Float, Value::Number(_))
            | (AttributeType::Bool, Value::Bool(_)) => {}
            (AttributeType::List(item), Value::List(items)) => {
                for (position, value) in items.iter().enumerate() {
                    self.value(item, value, &path.index(position), diagnostics);
                }
            }
            (AttributeType::Map(item), Value::Map(entries)) => {
                for (key, value) in entries {
                    self.value(item, value, &path.key(key), diagnostics);
                }
            }
            (AttributeType::Object(object), Value::Map(entries)) => self.object(object, entries, path, diagnostics),
            (expected, found) => {
                diagnostics.push(
                    Diagnostic::error(
                        "wrong_type",
                        format!(
                            "`{path}` of `{}` has to be {}, and is {}",
                            self.ty,
                            expectation(expected),
                            found.kind()
                        ),
                    )
                    .at((self.place)(path))
                    .maybe_hint(conversion(expected, found)),
                );
            }
        }
    }
}

/// The type with its article.
fn expectation(ty: &AttributeType) -> String {
    match ty {
        AttributeType::Int
        | AttributeType::Float
        | AttributeType::List(_)
        | AttributeType::Map(_)
        | AttributeType::Object(_) => format!("a {}", ty.describe()),
        AttributeType::Bool => "true or false".to_owned(),
        AttributeType::String | AttributeType::Any => ty.describe(),
    }
}

fn conversion(expected: &AttributeType, found: &Value) -> Option<String> {
    match (expected, found) {
        (AttributeType::String, Value::Int(_) | Value::Number(_) | Value::Bool(_)) => {
            Some("put it in quotes, or use `string(…)`".to_owned())
        }
        (AttributeType::Int, Value::String(_)) => Some(
            "write a whole number without quotes, such as `5`; in an expression, `int(…)` converts text to a number"
                .to_owned(),
        ),
        (AttributeType::Int, Value::Number(_)) => Some(
            "write a whole number, such as `5`; in an expression, `int(…)` cuts a decimal number to a whole one"
                .to_owned(),
        ),
        (AttributeType::Float, Value::String(_)) => Some(
            "write a number without quotes, such as `0.5`; in an expression, `double(…)` converts text to a number"
                .to_owned(),
        ),
        (AttributeType::Bool, Value::String(_)) => Some("write `true` or `false` without quotes".to_owned()),
        (AttributeType::List(_), _) => Some(WRITE_LIST.to_owned()),
        (AttributeType::Map(_) | AttributeType::Object(_), _) => Some(WRITE_MAP.to_owned()),
        (AttributeType::String, Value::List(_) | Value::Map(_)) => Some("write text, or use `json(…)`".to_owned()),
        (AttributeType::Bool, _) => Some("write `true` or `false`".to_owned()),
        (AttributeType::Int | AttributeType::Float, _) => Some("write a number, without quotes".to_owned()),
        _ => None,
    }
}
