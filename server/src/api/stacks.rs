//! State: stacks, their components, their resources and the history of resources.

use super::page::{Page, PageQuery, Params};
use super::problem::Problem;
use crate::auth::Caller;
use crate::shared::Shared;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json_;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use terrace_engine::address::{Address, StackId};
use terrace_engine::record::{open_attributes, open_component};
use terrace_engine::store::{HistoryEntry, Row, RowStatus, Selection};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// A stack in the state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stack {
    /// `name@environment`.
    pub(crate) stack: String,
    pub(crate) name: String,
    pub(crate) environment: String,
}

/// A component in the state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Component {
    pub(crate) key: String,
    /// The components on which it depends.
    pub(crate) depends_on: Vec<String>,
    /// Its blueprint.
    pub(crate) blueprint: Option<String>,
    /// Its outputs; null for sensitive ones.
    #[schema(value_type = Object)]
    pub(crate) outputs: BTreeMap<String, Json_>,
    /// All principals with access; null if access was never set.
    pub(crate) principals: Option<Vec<String>>,
}

/// A resource in the state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Resource {
    pub(crate) address: String,
    #[serde(rename = "type")]
    pub(crate) ty: String,
    /// The key of a deposed object: the old object of a replacement that creates first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deposed: Option<String>,
    /// `ready`, `tainted` or `retained`.
    #[schema(value_type = String)]
    pub(crate) status: RowStatus,
    /// The configured instance of its provider.
    pub(crate) provider: String,
    /// The number of its version.
    pub(crate) generation: u64,
    /// Its attributes; null for sensitive ones; absent if its environment is not configured here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) attributes: Option<Json_>,
    pub(crate) depends_on: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
    /// The operation that wrote this version.
    pub(crate) operation: Uuid,
}

/// One version of a resource.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    pub(crate) generation: u64,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
    pub(crate) operation: Uuid,
    /// The resource in this version; absent in the version that removed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<Resource>,
}

/// The filter of a list of resources.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResourceFilter {
    /// Resources of one component.
    pub(crate) component: Option<String>,
    /// Resources of one type.
    #[serde(rename = "type")]
    pub(crate) ty: Option<String>,
    /// `ready`, `tainted` or `retained`.
    #[param(value_type = Option<String>)]
    pub(crate) status: Option<RowStatus>,
    /// The most items, up to 1000; 100 if absent.
    #[param(value_type = Option<usize>, minimum = 1)]
    pub(crate) limit: Option<NonZeroUsize>,
    /// `next` of the previous page.
    pub(crate) after: Option<String>,
}

/// Lists the stacks in the state.
#[utoipa::path(get, path = "/stacks", operation_id = "list_stacks", tag = "state", params(PageQuery),
    responses((status = 200, body = Page<Stack>)))]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Stack>>, Problem> {
    let stacks = caller.visible(shared.calls.stacks().await?, Caller::sees).into_iter().map(|stack| Stack {
        stack: stack.to_string(),
        name: stack.name.to_string(),
        environment: stack.environment.to_string(),
    });
    Ok(Json(page.of(stacks, |stack| stack.stack.clone())?))
}

/// Lists the components of a stack.
#[utoipa::path(get, path = "/stacks/{stack}/components", tag = "state", params(("stack" = String, Path), PageQuery),
    responses((status = 200, body = Page<Component>), (status = 404, body = Problem)))]
pub(super) async fn components(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(stack): Path<String>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Component>>, Problem> {
    let stack = known(&shared, &caller, &stack).await?;
    let seal = shared.environments.get(&stack.environment).map(|env| &env.engine.seal);
    let mut found = Vec::new();
    for row in shared.calls.components(&stack).await? {
        let outputs = match seal {
            Some(seal) => open_component(&stack, &row, seal).map_err(Problem::internal)?.values,
            None => Default::default(),
        };
        found.push(Component {
            key: row.key.into(),
            depends_on: row.depends_on.into_iter().map(String::from).collect(),
            blueprint: row.blueprint,
            outputs: outputs.iter().map(|(name, value)| (name.clone(), value.to_json())).collect(),
            principals: row.access.map(|access| access.principals),
        });
    }
    Ok(Json(page.of(found, |component| component.key.clone())?))
}

/// Lists the resources of a stack.
#[utoipa::path(get, path = "/stacks/{stack}/resources", tag = "state", params(("stack" = String, Path), ResourceFilter),
    responses((status = 200, body = Page<Resource>), (status = 404, body = Problem)))]
pub(super) async fn resources(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(stack): Path<String>,
    Params(filter): Params<ResourceFilter>,
) -> Result<Json<Page<Resource>>, Problem> {
    let stack = known(&shared, &caller, &stack).await?;
    let selection = match &filter.component {
        Some(component) => Selection::Components([component.as_str().into()].into()),
        None => Selection::All,
    };
    let rows = shared.calls.rows(&stack, &selection).await?.into_iter().filter(|row| {
        filter.ty.as_ref().is_none_or(|ty| *ty == row.address.ty)
            && filter.status.is_none_or(|status| status == row.status)
    });
    let page = PageQuery { limit: filter.limit, after: filter.after };
    let Page { items, next } = page.of(rows, name)?;
    let items = items.into_iter().map(|row| resource(&shared, row)).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next }))
}

/// Lists the versions of a resource, newest first.
#[utoipa::path(get, path = "/stacks/{stack}/history/{address}", tag = "state",
    params(("stack" = String, Path), ("address" = String, Path), PageQuery),
    responses((status = 200, body = Page<Version>), (status = 404, body = Problem)))]
pub(super) async fn history(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((stack, address)): Path<(String, String)>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Version>>, Problem> {
    let stack: StackId = stack.parse().map_err(|_| no_stack(&stack))?;
    // The answer for a hidden stack equals that for an unknown one.
    let is_seen = caller.filter_visible(Some(&stack), |caller, stack| caller.sees(stack)).is_some();
    let nothing = || Problem::not_found(format!("the state has never had `{address}` in `{stack}`"));
    let parsed: Address = address.parse().map_err(|_| nothing())?;
    let entries = if is_seen { shared.calls.history(&stack, &parsed).await? } else { Vec::new() };
    if entries.is_empty() {
        return Err(nothing());
    }
    let Page { items, next } = page.of(entries, |entry| entry.generation.to_string())?;
    let version = |entry: HistoryEntry| {
        let HistoryEntry { generation, at, operation, row } = entry;
        let resource = row.map(|row| resource(&shared, row)).transpose()?;
        Ok::<_, Problem>(Version { generation, at, operation, resource })
    };
    Ok(Json(Page { items: items.into_iter().map(version).collect::<Result<_, _>>()?, next }))
}

/// The stack of that name, if the state has it and the caller sees it.
pub(super) async fn known(shared: &Shared, caller: &Caller, name: &str) -> Result<StackId, Problem> {
    let stack: StackId = name.parse().map_err(|_| no_stack(name))?;
    let recorded = shared.calls.known_stacks().await?.contains(&stack).then_some(stack);
    caller.filter_visible(recorded, Caller::sees).ok_or_else(|| no_stack(name))
}

fn no_stack(name: &str) -> Problem {
    Problem::not_found(match name.parse::<StackId>() {
        Ok(_) => format!("the state has no stack `{name}`"),
        Err(_) => format!("`{name}` is not the name of a stack: expected the form `name@environment`"),
    })
}

/// The name of a row within its stack.
fn name(row: &Row) -> String {
    match &row.deposed {
        Some(key) => format!("{} {key}", row.address),
        None => row.address.to_string(),
    }
}

fn resource(shared: &Shared, row: Row) -> Result<Resource, Problem> {
    let attributes = match shared.environments.get(&row.stack.environment) {
        None => None,
        Some(env) => {
            let opened = open_attributes(&row, &env.engine.seal).map_err(Problem::internal)?;
            Some(opened.iter().map(|(name, value)| (name.clone(), value.to_json())).collect())
        }
    };
    Ok(Resource {
        ty: row.address.ty.to_string(),
        address: row.address.to_string(),
        deposed: row.deposed,
        status: row.status,
        provider: row.provider,
        generation: row.generation,
        attributes,
        depends_on: row.dependencies.iter().map(ToString::to_string).collect(),
        updated_at: row.updated_at,
        operation: row.operation,
    })
}
