//! What a view needs to be there, as far as it can be told before anything is made.

use super::fit;
use crate::attributes::{text, text_of};
use crate::object::Place;
use terrace_provider::http::Request;
use terrace_provider::{Attributes, Finding, Path, ProviderError, Severity};

/// What is missing, or will not fit.
///
/// # Errors
/// When the workspace cannot be asked.
pub(crate) async fn findings(place: &Place<'_>, planned: &Attributes) -> Result<Vec<Finding>, ProviderError> {
    let mut findings = Vec::new();
    let note = |severity, path: Option<&str>, message: String, hint: &str| Finding {
        severity,
        path: path.map(Path::attribute),
        message,
        hint: Some(hint.to_owned()),
    };
    let id = text(planned, "warehouse");
    let request = Request::get("/api/2.0/sql/warehouses/{id}", &[&id]);
    match place.ask(&request, "look at the warehouse").await? {
        None => findings.push(note(
            Severity::Error,
            Some("warehouse"),
            format!("there is no SQL warehouse of the id `{id}`"),
            "the lookup `databricks_sql_warehouse` answers with the id of a name",
        )),
        Some(it) if text_of(&it, "state") == "STOPPED" => findings.push(note(
            Severity::Note,
            Some("warehouse"),
            format!("the SQL warehouse `{}` is stopped", text_of(&it, "name")),
            "the first statement starts it, which takes a while and costs what it costs",
        )),
        Some(_) => {}
    }
    let Some(source) = super::source(planned).map(|source| source.join(".").to_lowercase()) else {
        return Ok(findings);
    };
    let Some(table) = super::table(place, &source).await? else {
        let message = format!("not checked: `{source}` is not there yet");
        let hint = "it has to be made before this view: by the same apply, or by the component that declares it";
        findings.push(note(Severity::Warning, None, message, hint));
        return Ok(findings);
    };
    // A view may be changed by the same apply: it is looked at again before a statement is sent.
    let is_view = text_of(&table, "table_type") == "VIEW";
    let misfit = |it: fit::Misfit| Finding {
        severity: if is_view { Severity::Warning } else { Severity::Error },
        path: Some(it.path),
        message: it.message,
        hint: Some(it.hint),
    };
    findings.extend(fit::misfits(planned, &source, &table).into_iter().map(misfit));
    Ok(findings)
}
