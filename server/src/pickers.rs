//! Witboost's API for custom URL pickers, version 0.1.0: forms let people choose among existing tables, topics,
//! warehouses and the like. The lists come from lookups of providers, which `server.pickers` names.
//!
//! Read in this order: [`Picker`] (the configuration and its check), `list` (from a lookup to a list), `cache`, `calls` and
//! `answers` (the calls and their bodies).

mod answers;
mod cache;
mod calls;
mod list;

pub(crate) use cache::Cache;

use crate::auth::{Action, guarded};
use crate::docs::{describe_answers, describe_tokens, require_scope};
use crate::environments::Environments;
use crate::shared::Shared;
use answers::Failed;
use axum::Router;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::source::Span;
use terrace_engine::typecheck;
use terrace_provider::names::listed;
use terrace_provider::{AttributeType, Attributes, Lookup, Path, Value};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The path before the name of a picker, if the path names it.
const NAMED: &str = "/pickers/{picker}";

/// A list of remote objects for forms.
#[derive(Debug, Clone)]
pub struct Picker {
    /// The environment whose providers list the objects.
    pub environment: String,
    /// The lookup: `databricks_sql_warehouses`.
    pub lookup: String,
    /// The instance of the provider; `None` for the one with the provider's name.
    pub provider: Option<String>,
    /// Fixed arguments of the lookup.
    pub arguments: Attributes,
    /// Arguments of the lookup that callers set by fields of that name.
    pub parameters: Vec<String>,
    /// The attribute with the list; `None` for the only list of the lookup.
    pub list: Option<String>,
    /// The attribute of an item that identifies it.
    pub id: String,
    /// The attribute of an item for people.
    pub value: String,
    /// How long an answer is reused.
    pub cache: Duration,
}

impl Picker {
    /// The default of [`Picker::id`].
    pub const ID: &str = "id";
    /// The default of [`Picker::value`].
    pub const VALUE: &str = "name";
    /// The default of [`Picker::cache`].
    pub const CACHE: Duration = Duration::from_secs(60);

    /// Checks that the environment can answer the picker. Accesses no remote system.
    ///
    /// # Errors
    /// The diagnostics, without places.
    pub fn check(&self, environments: &Environments) -> Result<(), Vec<Diagnostic>> {
        let one = |error: Diagnostic| vec![error];
        let Some(env) = environments.get(&self.environment) else {
            let error = Diagnostic::error("unknown_environment", format!("`{}` is not configured", self.environment));
            return Err(one(error.hint(format!("configured are: {}", listed(&environments.names())))));
        };
        let registry = &env.engine.registry;
        let Some((provider, lookup)) = registry.lookup(&self.lookup) else {
            return Err(one(registry.unknown_lookup(&self.lookup)));
        };
        let instance = self.instance(provider.name);
        if !registry.instance(instance).is_some_and(|of| of.name == provider.name) {
            let error = Diagnostic::error(
                "unknown_instance",
                format!("`{instance}` is not an instance of `{}`", provider.name),
            );
            return Err(one(error.hint(registry.instances_of(provider.name, instance, &env.engine.environment))));
        }
        let mut found = Vec::new();
        for name in &self.parameters {
            let attribute = lookup.arguments.get(name);
            if !attribute.is_some_and(|attribute| matches!(attribute.ty, AttributeType::String)) {
                let texts = lookup.arguments.0.iter().filter(|it| matches!(it.ty, AttributeType::String));
                let names: Vec<&str> = texts.map(|attribute| attribute.name).collect();
                let error =
                    Diagnostic::error("unknown_attribute", format!("`{}` has no text argument `{name}`", self.lookup));
                found.push(error.hint(format!("its text arguments are: {}", listed(&names))));
            }
        }
        let set = self.parameters.iter().map(|name| (name.clone(), Value::Unknown));
        let arguments: Attributes = self.arguments.clone().into_iter().chain(set).collect();
        let place = |_: &Path| Span::default();
        typecheck::check(lookup.name, &lookup.arguments, &arguments, &place, &mut found);
        found.iter_mut().for_each(|diagnostic| diagnostic.labels.clear());
        if let Err(error) = self.list_of(lookup) {
            found.push(error);
        }
        if found.iter().any(Diagnostic::is_error) { Err(found) } else { Ok(()) }
    }

    /// The name of the instance.
    fn instance<'a>(&'a self, provider: &'a str) -> &'a str {
        self.provider.as_deref().unwrap_or(provider)
    }

    /// The attribute of the result with the list.
    fn list_of<'a>(&'a self, lookup: &'a Lookup) -> Result<&'a str, Diagnostic> {
        let is_list = |ty: &AttributeType| matches!(ty, AttributeType::List(_) | AttributeType::Any);
        let lists = lookup.result.0.iter().filter(|attribute| is_list(&attribute.ty));
        let lists: Vec<&str> = lists.map(|attribute| attribute.name).collect();
        let error = |message: String, hint: String| Diagnostic::error("no_list", message).hint(hint);
        match (&self.list, lists.as_slice()) {
            (Some(name), lists) if lists.contains(&name.as_str()) => Ok(name),
            (Some(name), _) => Err(error(
                format!("the lookup `{}` has no list `{name}`", lookup.name),
                format!("its lists are: {}", listed(&lists)),
            )),
            (None, [only]) => Ok(only),
            (None, []) => Err(error(
                format!("the lookup `{}` returns no list", lookup.name),
                "choose another lookup: `terrace providers schema NAME` lists those of a provider".to_owned(),
            )),
            (None, several) => Err(error(
                format!("the lookup `{}` has several lists", lookup.name),
                format!("choose one with `list`: {}", listed(several)),
            )),
        }
    }
}

/// The head of the description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Custom URL picker",
        version = "0.1.0",
        description = "Lists of existing objects for Witboost's forms. The same paths exist under `/pickers/NAME`, which \
                       chooses the picker.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(answers::Errors))
)]
struct Head;

fn calls() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(calls::list)).routes(routes!(calls::validate))
}

/// The paths of the API, also below the name of a picker.
pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let (routes, _) = calls().split_for_parts();
    let routes = guarded(shared, Action::Pick, routes, |refusal| -> Response { Failed::from(refusal).into_response() });
    Router::new().nest(NAMED, routes.clone()).merge(routes)
}

/// The description of the API: OpenAPI 3.1.
pub(crate) fn description() -> Description {
    let calls = require_scope(Action::Pick.scope(), calls().into_openapi());
    let mut description = Head::openapi().merge_from(calls);
    let common_statuses = [
        ("400", "the request is invalid, or a selected object does not exist"),
        ("401", "the caller is unknown"),
        ("403", "the caller may not do that"),
        ("413", "the body is too long"),
        ("500", "the objects cannot be listed"),
        ("503", "unavailable: try again later"),
    ];
    describe_answers(&mut description, &common_statuses, "application/json", |_| "PickerErrors");
    describe_tokens(&mut description);
    description
}

#[cfg(test)]
mod tests;
