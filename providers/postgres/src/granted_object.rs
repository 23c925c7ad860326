//! Objects that privileges are granted on.

use crate::attributes::text;
use crate::identifier::{check, parts};
use terrace_provider::names::listed;
use terrace_provider::{Attributes, Path, ProviderError};

/// Privileges by object type: <https://www.postgresql.org/docs/current/ddl-priv.html>.
pub(crate) const PRIVILEGES: [(&str, &[&str]); 4] = [
    ("database", &["CREATE", "CONNECT", "TEMPORARY"]),
    ("schema", &["CREATE", "USAGE"]),
    ("table", &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"]),
    ("sequence", &["USAGE", "SELECT", "UPDATE"]),
];

/// The parts of `object`, as many as its type requires.
///
/// # Errors
/// `InvalidInput` at `objectType` or `object`.
pub(crate) fn object_names(attributes: &Attributes) -> Result<Vec<String>, ProviderError> {
    let ty = text(attributes, "objectType");
    if !PRIVILEGES.iter().any(|(known, _)| *known == ty) {
        let known: Vec<&str> = PRIVILEGES.iter().map(|(known, _)| *known).collect();
        let message = format!("`{ty}` is not an object type with privileges");
        return Err(ProviderError::invalid(Some(Path::attribute("objectType")), message)
            .solution(format!("it is one of {}", listed(&known))));
    }
    let path = Path::attribute("object");
    let object = text(attributes, "object");
    let count = if matches!(ty.as_str(), "database" | "schema") { 1 } else { 2 };
    let Some(names) = parts(&object).filter(|names| names.len() == count) else {
        let form = if count == 1 { "its name" } else { "`schema.name`" };
        return Err(ProviderError::invalid(Some(path), format!("`{object}` is not the name of a {ty}"))
            .solution(format!("write {form}; put a name with a dot or a double quote in double quotes: `\"a.b\"`")));
    };
    for name in &names {
        check(name, &path)?;
    }
    Ok(names)
}
