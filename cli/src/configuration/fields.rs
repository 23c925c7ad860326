//! Fields that several parts have: texts with a form, and secrets.

use super::expand::revealed;
use terrace_engine::decode::{Fields, wrong_type};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::yaml::Entry;

/// Reads a field from its text. A diagnostic names the expected value and an example.
pub(super) fn read<T>(
    fields: &mut Fields<'_, '_>,
    name: &'static str,
    (expected, example): (&str, &str),
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let entry = fields.optional(name)?;
    let Some(text) = entry.value.as_text() else {
        fields.diagnostics.push(wrong_type(
            &format!("`{name}`"),
            &format!("{expected}, such as `{example}`"),
            &entry.value,
        ));
        return None;
    };
    let value = parse(text);
    if value.is_none() {
        // Does not quote the value: it may come from an environment variable.
        fields.diagnostics.push(
            Diagnostic::error("wrong_value", format!("`{name}` is invalid: expected {expected}"))
                .at(entry.value.span)
                .hint(format!("write `{name}: {example}`, for example")),
        );
    }
    value
}

/// The text of a secret. The hint names an environment variable for it.
pub(super) fn secret(entry: &Entry, variable: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    match revealed(&entry.value).as_text() {
        Some(secret) if !secret.is_empty() => Some(secret.to_owned()),
        _ => {
            // The value may be the secret itself.
            let name = &entry.key;
            diagnostics.push(
                Diagnostic::error("wrong_type", format!("`{name}` is not text"))
                    .at(entry.value.span)
                    .hint(format!("write `{name}: \"${{{{ env.{variable} }}}}\"`")),
            );
            None
        }
    }
}
