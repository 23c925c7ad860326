//! The adapters to register: the infrastructure templates of each environment, with the server's URL.

use crate::configuration::{AdapterConfiguration, AdapterTemplate, name_and_version};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::report;
use crate::settings::{EnvironmentRef, Settings};
use crate::variables::Variables;
use crate::wiring::{EnvironmentContext, library};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use terrace_engine::blueprint::Library;
use terrace_engine::blueprint::matching::Templates;
use terrace_engine::diagnostic::{Diagnostic, has_errors};
use terrace_engine::source::Sources;

/// The prefix of the id of a use-case template.
const USE_CASE: &str = "urn:dmb:utm:";
/// The description of an adapter without one.
const DESCRIPTION: &str = "Deployed by terrace";

/// A registration: an infrastructure template in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registration {
    /// The id: `urn:dmb:itm:terrace:0`.
    pub(super) id: String,
    /// The name for people.
    pub(super) name: String,
    /// The description for people.
    pub(super) description: String,
    /// The version, which is the end of the id.
    pub(super) version: String,
    /// The URL of the server for the coordinator.
    pub(super) url: String,
    /// The environment.
    pub(super) environment: String,
}

impl Registration {
    /// The registration as JSON.
    pub(super) fn to_json(&self) -> Json {
        json!({
            "id": self.id, "name": self.name, "version": self.version, "environment": self.environment, "url": self.url,
        })
    }
}

/// The registrations of a configuration.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    /// The registrations, by environment and id.
    pub(super) all: Vec<Registration>,
    /// The use-case templates that blueprints answer. Their `template.yaml` registers them.
    pub(super) use_cases: BTreeSet<String>,
}

impl Registrations {
    /// The registrations of the configured environments, or of the one in flag or variable.
    ///
    /// # Errors
    /// When the configuration or a blueprint is invalid, which is reported, or there is nothing to register.
    pub(super) fn of(context: &Context<'_>, settings: &Settings) -> Result<Self, Failure> {
        let adapter = &settings.witboost(context.ui)?.adapter;
        // No provider is called, so the secrets of environments may be missing here.
        let isolated = Settings { variables: Variables::isolated(), ..settings.clone() };
        let chosen = environments(context, &isolated, adapter)?;
        // The registration of an environment does not depend on the environment of the command.
        let settings = &Settings { environment: None, ..isolated };
        let (mut found, mut unversioned) = (Self::default(), BTreeSet::new());
        for (name, url) in &chosen {
            let environment = settings.environment(Some(EnvironmentRef::word(name)), context.ui)?;
            let env_context = EnvironmentContext::new(settings, environment, false, context.ui)?;
            let mut sources = Sources::default();
            let (library, diagnostics) = library(
                &env_context.engine.registry,
                env_context.configuration(),
                &settings.project_folder,
                &mut sources,
            )?;
            report(context.ui, &sources, &diagnostics);
            if has_errors(&diagnostics) {
                return Err(Failure::reported(Exit::Error));
            }
            let ids = ids(&library, &env_context.templates);
            found.use_cases.extend(ids.iter().filter(|id| id.starts_with(USE_CASE)).cloned());
            let answered = ids.iter().filter(|id| !id.starts_with(USE_CASE)).map(|id| (id.as_str(), None));
            let configured = adapter.templates.iter().map(|template| (template.id.as_str(), Some(template)));
            let templates: BTreeMap<&str, Option<&AdapterTemplate>> = answered.chain(configured).collect();
            for (id, template) in templates {
                match registration(id, template, url, name) {
                    Some(registration) => found.all.push(registration),
                    None => drop(unversioned.insert(id.to_owned())),
                }
            }
        }
        let warnings: Vec<Diagnostic> = unversioned.iter().map(|id| without_version(id)).collect();
        report(context.ui, &Sources::default(), &warnings);
        match found.all.is_empty() {
            true => Err(Failure::new("no infrastructure template is known")
                .hint("list the ids that use-case templates name, in terrace.yaml: `witboost: {adapter: {templates: [urn:dmb:itm:terrace:0]}}`")),
            false => Ok(found),
        }
    }
}

/// The environments to register, each with the URL of its server.
fn environments(
    context: &Context<'_>,
    settings: &Settings,
    adapter: &AdapterConfiguration,
) -> Result<Vec<(String, String)>, Failure> {
    let known = settings.configuration.environment_names();
    let unknown = adapter.urls.iter().find(|(name, _)| !known.contains(&name.value.as_str()));
    if let Some((name, _)) = unknown {
        let diagnostic = Diagnostic::error("unknown_environment", format!("`{}` is not configured", name.value))
            .at(name.span)
            .hint("name an environment of `environments`");
        report(context.ui, &settings.configuration.sources, &[diagnostic]);
        return Err(Failure::reported(Exit::Error));
    }
    let no_url = |message: String| {
        Failure::new(message).hint(
            "set `witboost: {adapter: {url: http://…}}` in terrace.yaml: the address of `terrace serve` for Witboost's \
             coordinator",
        )
    };
    if let Some(only) = &settings.environment {
        // Reports an environment that is not configured.
        settings.environment(None, context.ui)?;
        return match url_of(adapter, only) {
            Some(url) => Ok(vec![(only.clone(), url.to_owned())]),
            None => Err(no_url(format!("no address of the server is configured for the environment `{only}`"))),
        };
    }
    let with_url = |name: &&str| Some(((*name).to_owned(), url_of(adapter, name)?.to_owned()));
    let all: Vec<(String, String)> = known.iter().filter_map(with_url).collect();
    if all.is_empty() { Err(no_url("no address of the server is configured".to_owned())) } else { Ok(all) }
}

/// The URL of the server of an environment.
fn url_of<'a>(adapter: &'a AdapterConfiguration, environment: &str) -> Option<&'a str> {
    let own = adapter.urls.iter().find(|(name, _)| name.value == environment);
    own.map(|(_, url)| url).or(adapter.url.as_ref()).map(String::as_str)
}

/// The ids of templates that an environment's blueprints answer.
fn ids(library: &Library, templates: &Templates) -> BTreeSet<String> {
    let of_blueprints = library.iter().flat_map(|blueprint| {
        let matcher = &blueprint.matcher;
        [&matcher.use_case_template_id, &matcher.infrastructure_template_id].into_iter().flatten()
    });
    let all = of_blueprints.chain(templates.keys()).cloned();
    // Other texts are not ids of the platform.
    all.filter(|id| id.starts_with(USE_CASE) || id.starts_with(crate::configuration::INFRASTRUCTURE)).collect()
}

/// The registration of a template; `None` if its id has no version.
fn registration(id: &str, template: Option<&AdapterTemplate>, url: &str, environment: &str) -> Option<Registration> {
    let (name, version) = name_and_version(id)?;
    let given = template.cloned();
    let (given_name, description) = given.map_or((None, None), |it| (it.name, it.description));
    Some(Registration {
        id: id.to_owned(),
        name: given_name.unwrap_or_else(|| name.to_owned()),
        description: description.unwrap_or_else(|| DESCRIPTION.to_owned()),
        version: version.to_owned(),
        url: url.to_owned(),
        environment: environment.to_owned(),
    })
}

/// The warning about an id that blueprints match in every version.
fn without_version(id: &str) -> Diagnostic {
    let message = format!("`{id}` has no version, and Witboost registers single versions");
    Diagnostic::warning("no_version", message)
        .hint(format!("list the versions to register under `witboost.adapter.templates`, such as `{id}:0`"))
}
