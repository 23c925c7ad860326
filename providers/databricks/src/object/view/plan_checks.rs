//! Checks during the plan if the warehouse and the source of a view exist.

use super::column_check;
use crate::attributes::{text, text_of};
use crate::object::Context;
use terrace_provider::http::Request;
use terrace_provider::{Attributes, Finding, Path, ProviderError, Severity};

/// Returns missing objects and misfits.
///
/// # Errors
/// If the workspace does not answer.
pub(crate) async fn findings(context: &Context<'_>, planned: &Attributes) -> Result<Vec<Finding>, ProviderError> {
    let mut findings = Vec::new();
    let finding = |severity, path: Option<&str>, message: String, hint: &str| Finding {
        severity,
        path: path.map(Path::attribute),
        message,
        hint: Some(hint.to_owned()),
    };
    let id = text(planned, "warehouse");
    let request = Request::get("/api/2.0/sql/warehouses/{id}", &[&id]);
    match context.read_optional(&request, "read the warehouse").await? {
        None => findings.push(finding(
            Severity::Error,
            Some("warehouse"),
            format!("SQL warehouse `{id}` not found"),
            "use the lookup `databricks_sql_warehouse` to get the id by name",
        )),
        Some(it) if text_of(&it, "state") == "STOPPED" => findings.push(finding(
            Severity::Note,
            Some("warehouse"),
            format!("the SQL warehouse `{}` is stopped", text_of(&it, "name")),
            "expect the first statement to start it, which takes time and costs money",
        )),
        Some(_) => {}
    }
    let Some(source) = super::source(planned).map(|source| source.join(".").to_lowercase()) else {
        return Ok(findings);
    };
    let Some(table) = super::table(context, &source).await? else {
        let message = format!("not checked: `{source}` does not exist yet");
        let hint = "create it before this view: in the same apply, or with the component that declares it";
        findings.push(finding(Severity::Warning, None, message, hint));
        return Ok(findings);
    };
    // The same apply may change a view: the source is checked again before the statement.
    let is_view = text_of(&table, "table_type") == "VIEW";
    let mismatch = |it: column_check::Mismatch| Finding {
        severity: if is_view { Severity::Warning } else { Severity::Error },
        path: Some(it.path),
        message: it.message,
        hint: Some(it.hint),
    };
    findings.extend(column_check::mismatches(planned, &source, &table).into_iter().map(mismatch));
    Ok(findings)
}
