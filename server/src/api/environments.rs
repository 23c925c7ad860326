//! Configuration: environments, their blueprints and their providers.

use super::page::{Page, PageQuery, Params};
use super::problem::Problem;
use crate::auth::Caller;
use crate::environments::EnvironmentContext;
use crate::shared::Shared;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use std::sync::Arc;
use terrace_engine::blueprint::Blueprint as Definition;
use utoipa::ToSchema;

/// An environment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Environment {
    pub(crate) name: String,
}

/// A blueprint of an environment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Blueprint {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: Option<String>,
    /// The template of its components.
    pub(crate) use_case_template_id: Option<String>,
    /// The kind of its components.
    pub(crate) kind: Option<String>,
    /// Whether a provider includes it.
    pub(crate) built_in: bool,
    /// Whether its components can grant access.
    pub(crate) takes_access: bool,
    /// Whether it answers reverse provisioning.
    pub(crate) reverses: bool,
}

/// A configured instance of a provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Provider {
    /// The name that resources use.
    pub(crate) instance: String,
    pub(crate) provider: String,
    pub(crate) version: String,
}

/// Lists the configured environments.
#[utoipa::path(get, path = "/environments", operation_id = "list_environments", tag = "configuration",
    params(PageQuery),
    responses((status = 200, body = Page<Environment>)))]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Environment>>, Problem> {
    let environments = names(&shared, &caller).into_iter().map(|name| Environment { name: name.to_owned() });
    Ok(Json(page.of(environments, |environment| environment.name.clone())?))
}

/// Lists the blueprints of an environment.
#[utoipa::path(get, path = "/environments/{environment}/blueprints", tag = "configuration",
    params(("environment" = String, Path), PageQuery),
    responses((status = 200, body = Page<Blueprint>), (status = 404, body = Problem)))]
pub(super) async fn blueprints(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(environment): Path<String>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Blueprint>>, Problem> {
    let blueprints = environment_context(&shared, &caller, &environment)?.library.iter().map(blueprint);
    Ok(Json(page.of(blueprints, |blueprint| blueprint.name.clone())?))
}

/// Lists the configured instances of providers in an environment.
#[utoipa::path(get, path = "/environments/{environment}/providers", tag = "configuration",
    params(("environment" = String, Path), PageQuery),
    responses((status = 200, body = Page<Provider>), (status = 404, body = Problem)))]
pub(super) async fn providers(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(environment): Path<String>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Provider>>, Problem> {
    let registry = &environment_context(&shared, &caller, &environment)?.engine.registry;
    let providers = registry.instance_names().filter_map(|instance| {
        let schema = registry.instance(instance)?;
        Some(Provider {
            instance: instance.to_owned(),
            provider: schema.name.to_owned(),
            version: schema.version.to_owned(),
        })
    });
    Ok(Json(page.of(providers, |provider| provider.instance.clone())?))
}

/// The configured environments that the caller sees.
fn names<'s>(shared: &'s Shared, caller: &Caller) -> Vec<&'s str> {
    caller.visible(shared.environments.names(), |caller, name| caller.sees_environment(name))
}

fn environment_context<'s>(shared: &'s Shared, caller: &Caller, name: &str) -> Result<&'s EnvironmentContext, Problem> {
    let unknown = || {
        let known = names(shared, caller).join(", ");
        Problem::not_found(format!("the environment `{name}` is not configured; configured environments: {known}"))
    };
    let env = shared.environments.get(name);
    caller.filter_visible(env, |caller, _| caller.sees_environment(name)).ok_or_else(unknown)
}

fn blueprint(definition: &Definition) -> Blueprint {
    Blueprint {
        name: definition.name.value.clone(),
        version: definition.version.clone(),
        description: definition.description.clone(),
        use_case_template_id: definition.matcher.use_case_template_id.clone(),
        kind: definition.matcher.kind.clone(),
        built_in: definition.origin.is_built_in,
        takes_access: !definition.acl.resources.is_empty(),
        reverses: definition.reverse.is_some(),
    }
}
