//! Texts that nobody means well, in the fields of a descriptor, and what becomes of them.

use crate::Ran;

/// Ends a literal, a statement, an identifier and a selection wherever it is put in as it is.
pub const HOSTILE: &str = "x'; DROP TABLE main.raw.orders; --\"`\\ } { __typename ${{ 1 + 1 }}";

/// The descriptor with that in place of the value of a field, such as `jobName: nightly`.
///
/// # Panics
/// When there is no such field.
#[must_use]
pub fn hostile(descriptor: &str, field: &str) -> String {
    let (key, _) = field.split_once(": ").expect("a field with its value");
    assert!(descriptor.contains(field), "`{field}` is not in the descriptor");
    descriptor.replacen(field, &format!("{key}: {}", serde_json::Value::from(HOSTILE)), 1)
}

/// What a plan says that is refused: its first error, which has to have its place in the file.
///
/// # Panics
/// When it has none, or the program broke off.
#[must_use]
pub fn told_at(plan: &Ran, file: &str) -> String {
    assert_eq!(plan.code, 1, "{plan}");
    assert!(!plan.stderr.contains("panicked"), "{plan}");
    let (_, error) = plan.stderr.split_once("× ").unwrap_or_else(|| panic!("no error is told:\n{plan}"));
    let (message, rest) = error.split_once("╭─[").unwrap_or_else(|| panic!("it has no place:\n{plan}"));
    assert!(rest.starts_with(file), "its place is not in {file}:\n{plan}");
    message.lines().map(|line| line.trim().trim_start_matches("│ ")).collect::<Vec<_>>().join(" ").trim().to_owned()
}
