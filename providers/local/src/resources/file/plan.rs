//! Planning a file: checks what can be checked, and works out the digest that the file will have.

use super::content::{Content, FORMS};
use super::{PUBLIC_MODE, TELLING, default_mode, is_sensitive};
use crate::project::{Project, invalid};
use crate::resources::attributes::{given, id_of, text};
use crate::resources::mode;
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attributes, ErrorKind, PlannedChange, ProposedChange, ProviderError, Recorded, ResourceType, Value,
};

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

/// The file before a change, as far as a mode depends on it that the configuration does not name.
pub(super) struct Prior {
    sha256: Option<Value>,
    mode: Option<String>,
}

impl Prior {
    pub(super) fn of(prior: Option<&Recorded>) -> Self {
        let found = |name: &str| prior.and_then(|prior| given(&prior.attributes, name)).map(Value::revealed);
        Self { sha256: found("sha256"), mode: found("mode").as_ref().and_then(Value::as_str).map(str::to_owned) }
    }

    /// The mode of the planned file. A sensitive file that earlier versions made readable for all stays as it is until it
    /// is written again: a plan that changes nothing else is empty.
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

/// Fills in what follows from the configuration: the normal path, the digest, the size, and the mode where none is given.
///
/// # Errors
/// `InvalidInput` when a path leads out of the project folder, or the base64 is none.
pub(super) fn complete(
    project: &Project,
    mut plan: PlannedChange,
    mode: Option<Prior>,
) -> Result<PlannedChange, ProviderError> {
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
    if let Some(prior) = mode {
        let mode = prior.mode(planned);
        planned.insert("mode".to_owned(), mode);
    }
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
