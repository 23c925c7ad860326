//! The calls: a page of a list, and the check of chosen objects.

use super::answers::{Failed, Fault, Item, Selected, ValidationRequest};
use super::cache::{ListError, Listed};
use super::list::{parameters, read};
use super::picker::Picker;
use crate::answer::Refusal;
use crate::api::page::query_problem;
use crate::auth::{Action, Caller, Resource};
use crate::body::{self, escaped_name};
use crate::shared::Shared;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Map, Value as JsonValue};
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_engine::address::StackId;
use terrace_engine::diagnostic::did_you_mean;
use terrace_provider::names::listed;
use utoipa::IntoParams;

/// The name that replaces the stack of these calls.
const NO_STACK: &str = "pickers";
/// The least number of objects of a page, by the specification.
const LEAST_LIMIT: usize = 5;
/// The most objects of a page.
const MAX_LIMIT: usize = 1_000;
/// The objects of a page by default.
const DEFAULT_LIMIT: usize = 50;
/// The most objects of a validation.
const MOST_SELECTED: usize = 1_000;
/// The field of a body that chooses a picker.
const PICKER: &str = "picker";

/// The query of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Returns only objects with this text in their fields, in any case.
    filter: Option<String>,
    /// The objects before the page; 0 if absent.
    offset: Option<usize>,
    /// The most objects of the page, from 5 to 1000; 50 if absent.
    #[param(minimum = 5)]
    limit: Option<usize>,
    /// The picker, unless the path or the body names it, or there is only one.
    picker: Option<String>,
}

/// The query of a validation.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ValidationQuery {
    /// The picker, unless the path or `queryParameters` name it, or there is only one.
    picker: Option<String>,
}

/// The parameters of the path.
type InPath = Option<Path<BTreeMap<String, String>>>;

/// Lists existing objects.
///
/// The body is optional: its fields are parameters of the picker, and `picker` chooses one.
#[utoipa::path(post, path = "/v1/resources", tag = "custom URL picker", params(ListQuery),
    request_body(content = Option<Object>, description = "parameters of the picker"),
    responses((status = 200, body = Vec<Item>)))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    path: InPath,
    query: Result<Query<ListQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<Item>>, Failed> {
    let Query(query) = query.map_err(|error| Failed::bad_request(query_problem(&error)))?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(LEAST_LIMIT..=MAX_LIMIT).contains(&limit) {
        return Err(Failed::bad_request(format!("`limit` has to be from {LEAST_LIMIT} to {MAX_LIMIT}")));
    }
    let body = body.map_err(|error| Refusal::of_body(&error))?;
    let fields: Map<String, JsonValue> = match body.trim_ascii() {
        b"" | b"null" => Map::new(),
        bytes => body::read(bytes).map_err(|error| Failed::bad_request(error.problem))?,
    };
    let (name, picker) = choose(&shared, path.as_ref(), query.picker.as_deref(), &fields)?;
    let items = items(&shared, &caller, (name, picker), &fields).await?;
    let filter = query.filter.unwrap_or_default().trim().to_lowercase();
    let found = items.iter().filter(|item| filter.is_empty() || item.matches(&filter));
    Ok(Json(found.skip(query.offset.unwrap_or_default()).take(limit).cloned().collect()))
}

/// Checks that chosen objects still exist.
///
/// Only their ids count: other fields, such as a state, may have changed.
#[utoipa::path(post, path = "/v1/resources/validate", tag = "custom URL picker", params(ValidationQuery),
    request_body = ValidationRequest, responses((status = 200, body = String)))]
pub(crate) async fn validate(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    path: InPath,
    query: Result<Query<ValidationQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<&'static str>, Failed> {
    check(&shared, &caller, path.as_ref(), query, body).await.map_err(Failed::of_validation)
}

async fn check(
    shared: &Arc<Shared>,
    caller: &Caller,
    path: Option<&Path<BTreeMap<String, String>>>,
    query: Result<Query<ValidationQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<&'static str>, Failed> {
    let Query(query) = query.map_err(|error| Failed::bad_request(query_problem(&error)))?;
    let body = body.map_err(|error| Refusal::of_body(&error))?;
    let ValidationRequest { selected_objects, query_parameters } =
        body::read(&body).map_err(|error| Failed::bad_request(error.problem))?;
    if selected_objects.len() > MOST_SELECTED {
        return Err(Failed::bad_request(format!("`selectedObjects` has more than {MOST_SELECTED} objects")));
    }
    let fields = query_parameters.unwrap_or_default();
    let (name, picker) = choose(shared, path, query.picker.as_deref(), &fields)?;
    let items = items(shared, caller, (name, picker), &fields).await?;
    let fault = |Selected { id }: Selected| {
        let is_known = items.iter().any(|item| item.id == id);
        (!is_known).then(|| Fault {
            error: format!("`{}` does not exist, or no longer", escaped_name(&id)),
            suggestion: Some(
                did_you_mean(&id, items.iter().map(|item| item.id.as_str()))
                    .unwrap_or_else(|| "choose another object".to_owned()),
            ),
        })
    };
    let faults: Vec<Fault> = selected_objects.into_iter().filter_map(fault).collect();
    if faults.is_empty() { Ok(Json("valid")) } else { Err(Failed::of_objects(faults)) }
}

/// The picker of a call: as the path, the query or the body says, or the only one.
fn choose<'a>(
    shared: &'a Shared,
    path: Option<&'a Path<BTreeMap<String, String>>>,
    query: Option<&'a str>,
    fields: &'a Map<String, JsonValue>,
) -> Result<(&'a str, &'a Picker), Failed> {
    let pickers = &shared.settings.pickers;
    let names = || listed(&pickers.keys().map(String::as_str).collect::<Vec<_>>());
    let in_path = path.and_then(|Path(path)| path.get(PICKER)).map(String::as_str);
    let in_body = fields.get(PICKER).and_then(JsonValue::as_str);
    let Some(name) = in_path.or(query).or(in_body) else {
        let mut all = pickers.iter();
        return match (all.next(), all.next()) {
            (None, _) => Err(Failed::bad_request("this server has no pickers: configure `server.pickers`")),
            (Some((name, only)), None) => Ok((name, only)),
            _ => Err(Failed::bad_request(format!("choose a picker with `picker`: {}", names()))),
        };
    };
    pickers.get_key_value(name).map(|(name, picker)| (name.as_str(), picker)).ok_or_else(|| {
        Failed::bad_request(format!("the picker `{}` is unknown: choose one of {}", escaped_name(name), names()))
    })
}

/// The objects of a picker for a caller.
async fn items(
    shared: &Arc<Shared>,
    caller: &Caller,
    (name, picker): (&str, &Picker),
    fields: &Map<String, JsonValue>,
) -> Result<Arc<[Item]>, Failed> {
    // The provider lists with its own rights, so limits to stacks or domains rule the call out.
    let stack = StackId::new(NO_STACK, picker.environment.as_str());
    caller.check(Action::Pick, false, &[Resource::Stack(&stack)])?;
    let parameters = parameters(picker, fields)?;
    let Some(env) = shared.environments.get(&picker.environment) else {
        return Err(Refusal::Internal(format!("the picker `{name}` names no environment")).into());
    };
    let key = serde_json::json!([name, parameters]).to_string();
    let listed: Listed = shared.lists.get(key, picker.cache, || read(picker, env, &parameters)).await;
    listed.map_err(|error| match error {
        ListError::Input(problem) => Failed::bad_request(problem),
        ListError::Provider(why) => Refusal::Internal(format!("the picker `{name}` cannot list objects: {why}")).into(),
    })
}
