//! Plans a file: validates the configuration and calculates the digest of the file.

use super::content::{Content, FORMS};
use super::{PUBLIC_MODE, REVEALING, default_mode, is_sensitive};
use crate::project::{Project, invalid};
use crate::resources::attributes::{given, id_of, text};
use crate::resources::mode;
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attributes, ErrorKind, PlannedChange, ProposedChange, ProviderError, Recorded, ResourceType, Value,
};

/// Plans from the schema and validates the configuration without reading any file.
///
/// # Errors
///
/// `InvalidInput` if the known attributes do not contain exactly one form of content, or if `mode` is invalid.
pub(super) fn plan(ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
    let is_known = |form: &&str| given(change.config, form).is_some_and(|value| !value.has_unknown());
    let (forms, unknown): (Vec<&str>, Vec<&str>) =
        FORMS.into_iter().filter(|form| given(change.config, form).is_some()).partition(is_known);
    match forms.as_slice() {
        // An unknown value may become null.
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

/// The prior state of the file, as far as the default mode depends on it.
pub(super) struct Prior {
    sha256: Option<Value>,
    mode: Option<String>,
}

impl Prior {
    pub(super) fn of(prior: Option<&Recorded>) -> Self {
        let found = |name: &str| prior.and_then(|prior| given(&prior.attributes, name)).map(Value::revealed);
        Self { sha256: found("sha256"), mode: found("mode").as_ref().and_then(Value::as_str).map(str::to_owned) }
    }

    /// The default mode of the planned file. A sensitive file that an earlier version made readable for all keeps its
    /// mode until it is written again, so an unchanged file has an empty plan.
    fn mode(&self, planned: &Attributes) -> Value {
        let is_known = |name: &str| !given(planned, name).is_some_and(Value::has_unknown);
        let is_sensitive = is_sensitive(planned);
        let is_certain = is_known("sensitive") && FORMS.iter().all(|form| is_known(form));
        if !(is_sensitive || is_certain) {
            return Value::Unknown;
        }
        let is_same = planned.get("sha256").map(Value::revealed) == self.sha256 && self.sha256.is_some();
        let older = self.mode.as_deref().filter(|mode| is_sensitive && is_same && *mode == PUBLIC_MODE);
        older.unwrap_or(default_mode(planned)).into()
    }
}

/// Adds the attributes that follow from the configuration: the normal path, the digest, the size and the default mode.
///
/// # Errors
///
/// `InvalidInput` if a path leads out of the project folder or the base64 is invalid.
pub(super) fn complete(
    project: &Project,
    mut plan: PlannedChange,
    mode: Option<Prior>,
) -> Result<PlannedChange, ProviderError> {
    let planned = &mut plan.planned;
    if let Some(path) = text(planned, "path") {
        let path = project.path("path", path)?;
        project.entry(&path)?;
        planned.insert("id".to_owned(), id_of(&path, planned));
    }
    let (sha256, size) = match digest(project, planned)? {
        Some(summary) => (summary.sha256.into(), summary.size.into()),
        None => (Value::Unknown, Value::Unknown),
    };
    planned.insert("sha256".to_owned(), sha256);
    planned.insert("size".to_owned(), size);
    if let Some(prior) = mode {
        let mode = prior.mode(planned);
        planned.insert("mode".to_owned(), mode);
    }
    // A value that may become sensitive is sensitive while this is unknown.
    if is_sensitive(planned) || given(planned, "sensitive").is_some_and(Value::has_unknown) {
        for name in REVEALING {
            if let Some(value) = planned.get_mut(name) {
                *value = Value::sensitive(std::mem::take(value));
            }
        }
    }
    Ok(plan)
}

/// The digest of the planned file; `None` while the content is unknown.
fn digest(project: &Project, planned: &Attributes) -> Result<Option<super::Summary>, ProviderError> {
    if FORMS.iter().any(|form| given(planned, form).is_some_and(Value::has_unknown)) {
        return Ok(None);
    }
    match Content::of(project, planned)?.digest() {
        Ok(summary) => Ok(Some(summary)),
        // Another resource of the same plan may create it.
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
