//! Hostile texts for the fields of a descriptor, and the errors that they cause.

use crate::Ran;

/// Ends a literal, a statement, an identifier and a selection, if it is inserted unescaped.
pub const HOSTILE: &str = "x'; DROP TABLE main.raw.orders; --\"`\\ } { __typename ${{ 1 + 1 }}";

/// The descriptor with the hostile text as the value of a field, such as `jobName: nightly`.
///
/// # Panics
/// When the field does not exist.
#[must_use]
pub fn hostile(descriptor: &str, field: &str) -> String {
    let (key, _) = field.split_once(": ").expect("a field with its value");
    assert!(descriptor.contains(field), "`{field}` is not in the descriptor");
    descriptor.replacen(field, &format!("{key}: {}", serde_json::Value::from(HOSTILE)), 1)
}

/// The first error of a refused plan. It must have a place in the file.
///
/// # Panics
/// When the plan has no error, or the program panicked.
#[must_use]
pub fn first_error_at(plan: &Ran, file: &str) -> String {
    assert_eq!(plan.code, 1, "{plan}");
    assert!(!plan.stderr.contains("panicked"), "{plan}");
    let (_, error) = plan.stderr.split_once("× ").unwrap_or_else(|| panic!("no error is reported:\n{plan}"));
    let (message, rest) = error.split_once("╭─[").unwrap_or_else(|| panic!("the error has no place:\n{plan}"));
    assert!(rest.starts_with(file), "the place of the error is not in {file}:\n{plan}");
    message.lines().map(|line| line.trim().trim_start_matches("│ ")).collect::<Vec<_>>().join(" ").trim().to_owned()
}
