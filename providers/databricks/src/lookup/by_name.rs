//! Searches by name.

use crate::attributes::{id_of, text_of};
use crate::context::Context;
use serde_json::Value as Json;
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::names::listed;
use terrace_provider::{ErrorKind, Path, ProviderError};

pub(super) fn ambiguous(noun: &str, name: &str, ids: &[String]) -> ProviderError {
    let message = format!("there are {} {noun}s `{name}`: {}", ids.len(), listed(ids));
    ProviderError::invalid(Some(Path::attribute("name")), message).solution("rename or remove all but one")
}

pub(super) fn not_found(noun: &str, name: &str, known: &[String]) -> ProviderError {
    let error = ProviderError::new(
        ErrorKind::NotFound,
        format!("{noun} `{name}` not found, or the instance's principal may not see it"),
    );
    match terrace_provider::names::closest(name, known.iter().map(String::as_str)) {
        Some(close) => error.solution(format!("did you mean `{close}`?")),
        None if known.is_empty() => error,
        None => error.solution(format!("existing names: {}", listed(known))),
    }
}

/// Returns the only item with a name, ignoring case. If several differ only by case, an exact match wins.
pub(super) async fn find_by_name(
    context: &Context<'_>,
    request: Request,
    (list, field, id): (&str, &str, &str),
    noun: &str,
    name: &str,
) -> Result<Json, ProviderError> {
    let next = |page: &Json| Next::token(page, "next_page_token", "page_token");
    let all = context.workspace.api.items(request, &context.within, list, next).await;
    let purpose = Purpose::read(format!("find the {noun} `{name}`"));
    let all = all.map_err(|failure| context.workspace.api.error(&failure, &purpose))?;
    let mut found: Vec<&Json> = all.iter().filter(|it| text_of(it, field).eq_ignore_ascii_case(name)).collect();
    if found.len() > 1 && found.iter().filter(|it| text_of(it, field) == name).count() == 1 {
        found.retain(|it| text_of(it, field) == name);
    }
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let known: Vec<String> = all.iter().map(|it| text_of(it, field).to_owned()).collect();
            Err(not_found(noun, name, &known))
        }
        several => {
            let ids: Vec<String> = several.iter().filter_map(|it| id_of(it, id)).collect();
            Err(ambiguous(noun, name, &ids))
        }
    }
}

/// Returns the only user, group or service principal with a name, through SCIM.
pub(super) async fn find_by_scim(
    context: &Context<'_>,
    request: Request,
    field: &str,
    noun: &str,
    name: &str,
) -> Result<Json, ProviderError> {
    let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
    let request = request.query("filter", format!("{field} eq \"{quoted}\"")).query("count", 100);
    let answer = context.send(&request, &Purpose::read(format!("find the {noun} `{name}`"))).await?;
    let found = answer.get("Resources").and_then(Json::as_array).cloned().unwrap_or_default();
    let found: Vec<Json> = found.into_iter().filter(|it| text_of(it, field).eq_ignore_ascii_case(name)).collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(not_found(noun, name, &[]).solution(format!(
            "use the name of the {noun} in Databricks, map it in `identities.table`, or ask an administrator to add it"
        ))),
        several => {
            let ids: Vec<String> = several.iter().filter_map(|it| id_of(it, "id")).collect();
            Err(ambiguous(noun, name, &ids))
        }
    }
}
