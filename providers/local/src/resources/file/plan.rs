//! Planning a file: checks what can be checked, and works out the digest that the file will have.

use super::content::{Content, FORMS};
use super::{TELLING, is_sensitive};
use crate::project::{Project, invalid};
use crate::resources::attributes::{given, id_of, text};
use crate::resources::mode;
use terrace_provider::plan::from_schema;
use terrace_provider::{Attributes, ErrorKind, PlannedChange, ProposedChange, ProviderError, ResourceType, Value};

/// Plans from the schema, after the configuration was checked without looking at any file.
///
/// # Errors
/// `InvalidInput` when not exactly one form of content is given as far as is known, or `mode` is none.
pub(super) fn plan(ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
    let is_known = |form: &&str| given(change.config, form).is_some_and(|value| !value.has_unknown());
    let (forms, unknown): (Vec<&str>, Vec<&str>) =
        FORMS.into_iter().filter(|form| given(change.config, form).is_some()).partition(is_known);
    match forms.as_slice() {
        // What is not known yet may come to nothing.
        [] if !unknown.is_empty() => {}
        [_] => {}
        [] => {
            return Err(ProviderError::invalid(
                None,
                "expected one of `content`, `contentBase64` and `source`, found none",
            )
            .solution("an empty file is `content: \"\"`"));
        }
        [_, second, ..] => {
            let found = forms.iter().map(|form| format!("`{form}`")).collect::<Vec<_>>().join(" and ");
            let message = format!("expected one of `content`, `contentBase64` and `source`, found {found}");
            return Err(invalid(second, message));
        }
    }
    if let Some(bits) = text(change.config, "mode") {
        mode::parse(bits)?;
    }
    Ok(from_schema(ty, change))
}

/// Fills in what follows from the configuration: the normal path, the digest and the size.
///
/// # Errors
/// `InvalidInput` when a path leads out of the project folder, or the base64 is none.
pub(super) fn complete(project: &Project, mut plan: PlannedChange) -> Result<PlannedChange, ProviderError> {
    let planned = &mut plan.planned;
    if let Some(path) = text(planned, "path") {
        let path = project.path("path", path)?;
        project.place(&path)?;
        planned.insert("id".to_owned(), id_of(&path, planned));
    }
    let (sha256, size) = match digest(project, planned)? {
        Some(summary) => (summary.sha256.into(), summary.size.into()),
        None => (Value::Unknown, Value::Unknown),
    };
    planned.insert("sha256".to_owned(), sha256);
    planned.insert("size".to_owned(), size);
    // What may turn out to be sensitive is so until then.
    if is_sensitive(planned) || given(planned, "sensitive").is_some_and(Value::has_unknown) {
        for name in TELLING {
            if let Some(value) = planned.get_mut(name) {
                *value = Value::sensitive(std::mem::take(value));
            }
        }
    }
    Ok(plan)
}

/// What the planned file will hold; `None` while that is unknown.
fn digest(project: &Project, planned: &Attributes) -> Result<Option<super::Summary>, ProviderError> {
    if FORMS.iter().any(|form| given(planned, form).is_some_and(Value::has_unknown)) {
        return Ok(None);
    }
    match Content::of(project, planned)?.digest() {
        Ok(summary) => Ok(Some(summary)),
        // Another resource of the same plan may be about to write it.
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
