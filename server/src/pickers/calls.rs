//! The calls: a page of a list, and the check of chosen objects.

use super::answers::{Failed, Fault, Item, Selected, ValidationRequest};
use super::cache::ListError;
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
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::diagnostic::did_you_mean;
use terrace_provider::names::listed;
use tokio::task::block_in_place;
use utoipa::IntoParams;

/// The least number of objects of a page, by the specification.
const LEAST_LIMIT: usize = 5;
/// The most objects of a page.
const MAX_LIMIT: usize = 1_000;
/// The objects of a page by default.
const DEFAULT_LIMIT: usize = 50;
/// The most objects of a validation.
const MOST_SELECTED: usize = 1_000;
/// The most errors of a validation that search a similar id.
const MOST_SUGGESTIONS: usize = 10;
/// The age up to which a kept list shows that an object does not exist.
const FRESH: Duration = Duration::from_secs(5);
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
    let (name, picker) = choose(&shared, &caller, path.as_ref(), query.picker.as_deref(), &fields)?;
    let items = items(&shared, (name, picker), &fields, picker.cache).await?;
    let filter = query.filter.unwrap_or_default().trim().to_lowercase();
    let found = items.iter().filter(|item| filter.is_empty() || item.matches(&filter));
    let page = found.skip(query.offset.unwrap_or_default()).take(limit).cloned();
    Ok(Json(block_in_place(|| page.collect())))
}

/// Checks that chosen objects still exist.
///
/// Only their ids count: other fields, such as a state, may have changed. An object that was removed within the `cache` of
/// the picker may still be valid; an object counts as missing only by a list of the last 5 seconds.
#[utoipa::path(post, path = "/v1/resources/validate", tag = "custom URL picker", params(ValidationQuery),
    request_body = ValidationRequest, responses((status = 200, body = String, content_type = "application/json")))]
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
    let (name, picker) = choose(shared, caller, path, query.picker.as_deref(), &fields)?;
    let kept = items(shared, (name, picker), &fields, picker.cache).await?;
    if block_in_place(|| missing(&kept, &selected_objects)).is_empty() {
        return Ok(Json("valid"));
    }
    // The list may be older than the object.
    let items = items(shared, (name, picker), &fields, FRESH.min(picker.cache)).await?;
    let faults = block_in_place(|| faults(&items, &missing(&items, &selected_objects)));
    if faults.is_empty() { Ok(Json("valid")) } else { Err(Failed::of_objects(faults)) }
}

/// The ids of chosen objects that are not in a list.
fn missing<'s>(items: &[Item], selected: &'s [Selected]) -> Vec<&'s str> {
    let known: HashSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
    selected.iter().map(|object| object.id.as_str()).filter(|id| !known.contains(id)).collect()
}

/// The errors of missing objects. The search for similar ids is slow, so only the first errors suggest one.
pub(super) fn faults(items: &[Item], missing: &[&str]) -> Vec<Fault> {
    let similar = |id: &str| did_you_mean(id, items.iter().map(|item| item.id.as_str()));
    let fault = |(position, id): (usize, &&str)| {
        let suggestion = (position < MOST_SUGGESTIONS).then(|| similar(id)).flatten();
        Fault {
            error: format!("`{}` does not exist, or no longer", escaped_name(id)),
            suggestion: Some(suggestion.unwrap_or_else(|| "choose another object".to_owned())),
        }
    };
    missing.iter().enumerate().map(fault).collect()
}

/// The picker of a call: as the path, the query or the body says, or the only one. A picker that the caller may not use
/// does not exist for it.
///
/// # Errors
/// When the caller may use no picker, or the call chooses none.
fn choose<'a>(
    shared: &'a Shared,
    caller: &Caller,
    path: Option<&'a Path<BTreeMap<String, String>>>,
    query: Option<&'a str>,
    fields: &'a Map<String, JsonValue>,
) -> Result<(&'a str, &'a Picker), Failed> {
    let all = &shared.settings.pickers;
    // A provider lists with its own rights, so limits to stacks or domains rule a call out.
    let may_use = |picker: &Picker| caller.may_everywhere(Action::Pick, &picker.environment);
    let usable: Vec<(&str, &Picker)> =
        all.iter().filter(|(_, picker)| may_use(picker)).map(|(name, picker)| (name.as_str(), picker)).collect();
    if let (Some(picker), []) = (all.values().next(), usable.as_slice()) {
        caller.check(Action::Pick, false, &[Resource::WholeEnvironment(&picker.environment)])?;
    }
    let names = || listed(&usable.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let in_path = path.and_then(|Path(path)| path.get(PICKER)).map(String::as_str);
    let in_body = fields.get(PICKER).and_then(JsonValue::as_str);
    let Some(name) = in_path.or(query).or(in_body) else {
        return match usable.as_slice() {
            [] => Err(Failed::bad_request("this server has no pickers: configure `server.pickers`")),
            [only] => Ok(*only),
            _ => Err(Failed::bad_request(format!("choose a picker with `picker`: {}", names()))),
        };
    };
    let found = caller.filter_visible(all.get_key_value(name), |_, (_, picker)| may_use(picker));
    found.map(|(name, picker)| (name.as_str(), picker)).ok_or_else(|| {
        Failed::bad_request(format!("the picker `{}` is unknown: choose one of {}", escaped_name(name), names()))
    })
}

/// The objects of a picker, by a list of at most this age.
async fn items(
    shared: &Arc<Shared>,
    (name, picker): (&str, &Picker),
    fields: &Map<String, JsonValue>,
    age: Duration,
) -> Result<Arc<[Item]>, Failed> {
    let parameters = parameters(picker, fields)?;
    let key = serde_json::json!([name, parameters]).to_string();
    let reading = {
        let (shared, picker) = (Arc::clone(shared), picker.clone());
        async move {
            match shared.environments.get(&picker.environment) {
                Some(env) => read(&picker, env, &parameters).await,
                None => Err(ListError::Provider(format!("there is no environment `{}`", picker.environment))),
            }
        }
    };
    let listed = shared.lists.get(key, &picker.environment, age, reading).await;
    listed.map_err(|error| match error {
        ListError::Input(problem) => Failed::bad_request(problem),
        ListError::Provider(why) => Refusal::Internal(format!("the picker `{name}` cannot list objects: {why}")).into(),
        ListError::Busy => Refusal::Unavailable("other lists are being read: try again later".to_owned()).into(),
    })
}
