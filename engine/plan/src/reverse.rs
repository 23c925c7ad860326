//! Reverse provisioning: reads existing objects with lookups, and converts them to values for a catalog's component.
//!
//! It plans and records nothing: it runs the lookups in order, and the blueprint converts their results.

use crate::single_lookup;
use terrace_language::blueprint::matching::Templates;
use terrace_language::blueprint::reverse::Reverse;
use terrace_language::blueprint::{Blueprint, Library};
use terrace_language::compile::facts::FactScope;
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::diagnostic::{Diagnostic, has_errors};
use terrace_language::environment::Environment;
use terrace_language::expression::Functions;
use terrace_language::naming::NamesRule;
use terrace_language::registry::Registry;
use terrace_language::source::Span;
use terrace_language::typecheck;
use terrace_language::yaml::Node;
use terrace_provider::names::listed;
use terrace_provider::wrap::silence::with_silence_limit;
use terrace_provider::{ErrorKind, Map, Path, Value};

/// The input of a reverse provisioning.
#[derive(Debug, Clone, Default)]
pub struct ReverseInput {
    /// The parameters of the search: `params`.
    pub params: Value,
    /// The component in the catalog: `catalogInfo`.
    pub catalog_info: Value,
}

/// The dependencies of reverse provisioning.
#[derive(Clone, Copy)]
pub struct ReverseProvisioner<'a> {
    /// The providers.
    pub registry: &'a Registry,
    /// Functions of expressions.
    pub functions: &'a Functions,
    /// The environment of the objects.
    pub environment: &'a Environment,
}

/// Finds the blueprint of a template, or the blueprint with that name, and its `reverse`.
///
/// # Errors
/// When there is no such blueprint, or it has no `reverse`: a message, and a hint with the supported templates.
pub fn choose<'l>(
    library: &'l Library,
    template: &str,
    templates: &Templates,
) -> Result<(&'l Blueprint, &'l Reverse), (String, String)> {
    // List the names that callers may use, including the templates that the environment maps.
    let names = library.iter().filter(|blueprint| blueprint.reverse.is_some()).flat_map(|blueprint| {
        let name = blueprint.name.value.as_str();
        let mapped = templates.iter().filter(move |(_, to)| *to == name).map(|(template, _)| template.as_str());
        std::iter::once(blueprint.matcher.use_case_template_id.as_deref().unwrap_or(name)).chain(mapped)
    });
    let supported: Vec<&str> = names.collect();
    let hint = match supported.is_empty() {
        true => "no blueprint has `reverse`".to_owned(),
        false => format!("choose one of: {}", listed(&supported)),
    };
    match library.for_template(template, templates).or_else(|| library.get(template)) {
        None => Err((format!("no blueprint matches the template `{template}`"), hint)),
        Some(blueprint) => match &blueprint.reverse {
            Some(reverse) => Ok((blueprint, reverse)),
            None => Err((format!("the blueprint `{}` has no `reverse`", blueprint.name.value), hint)),
        },
    }
}

/// Returns the parameters with the blueprint's defaults.
///
/// # Errors
/// Messages, when the parameters are not valid under the blueprint's schema.
pub fn params(reverse: &Reverse, given: Value) -> Result<Value, Vec<String>> {
    let Some(schema) = &reverse.params else { return Ok(given) };
    let given = Node::of(&given, Span::default());
    let given = schema.without_refused_nulls(&given).to_value();
    let params = schema.with_defaults(given).map_err(|endless| vec![endless.to_string()])?;
    let errors = schema.errors_of(&params);
    if errors.is_empty() { Ok(params) } else { Err(errors) }
}

impl ReverseProvisioner<'_> {
    /// Returns the values for the catalog, by dotted path.
    ///
    /// # Errors
    /// When the parameters are invalid, a lookup fails, or a value cannot be computed.
    pub async fn updates(&self, reverse: &Reverse, input: ReverseInput) -> Result<Map, Vec<Diagnostic>> {
        with_silence_limit(&self.environment.silence_limit, self.compute_updates(reverse, input)).await
    }

    async fn compute_updates(&self, reverse: &Reverse, input: ReverseInput) -> Result<Map, Vec<Diagnostic>> {
        let params = params(reverse, input.params).map_err(|errors| {
            let wrong = |error| Diagnostic::error("wrong_params", error);
            errors.into_iter().map(wrong).collect::<Vec<_>>()
        })?;
        let roots = [
            ("params", params),
            ("catalogInfo", input.catalog_info),
            ("environment", Value::from(self.environment.name.as_str())),
            ("settings", self.environment.settings.clone()),
            ("data", Value::Map(Map::default())),
        ];
        let mut scope = FactScope { roots: roots.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() };
        let functions = self.functions.of_stack(NamesRule::Latin);
        for lookup in &reverse.data {
            let found = self.run_lookups(lookup, &mut scope, &functions).await?;
            if let Some(Value::Map(data)) = scope.roots.get_mut("data") {
                data.insert(lookup.name.value.clone(), found);
            }
        }
        let (mut updates, mut diagnostics) = (Map::default(), Vec::new());
        for update in &reverse.updates {
            match update.value.evaluate(&scope, &functions) {
                Ok(value) if value.has_sensitive() => diagnostics.push(
                    Diagnostic::error(
                        "sensitive_output",
                        format!("`{}` would expose a sensitive value", update.path.value),
                    )
                    .at(update.path.span)
                    .hint("remove it: everyone can read the catalog"),
                ),
                // The catalog keeps its current value.
                Ok(Value::Null) => {}
                Ok(value) => drop(updates.insert(update.path.value.clone(), value)),
                Err(found) => diagnostics.extend(found),
            }
        }
        if diagnostics.is_empty() { Ok(updates) } else { Err(diagnostics) }
    }

    /// Runs a lookup, or for `forEach` one lookup for each item, with a list as result.
    async fn run_lookups(
        &self,
        lookup: &ResourceDeclaration,
        scope: &mut FactScope,
        functions: &Functions,
    ) -> Result<Value, Vec<Diagnostic>> {
        let Some(items) = &lookup.for_each else { return self.run_lookup(lookup, scope, functions).await };
        let Value::List(values) = items.evaluate(scope, functions)? else {
            let error = Diagnostic::error("wrong_type", "`forEach` of a lookup must be a list");
            return Err(vec![error.at(items.span).hint("write a list, or an expression that returns one")]);
        };
        let mut answers = Vec::with_capacity(values.len());
        for value in values {
            let each = [("value".to_owned(), value)].into_iter().collect();
            scope.roots.insert("each".to_owned(), each);
            answers.push(self.run_lookup(lookup, scope, functions).await?);
        }
        scope.roots.shift_remove("each");
        Ok(Value::List(answers))
    }

    /// Runs a lookup.
    async fn run_lookup(
        &self,
        lookup: &ResourceDeclaration,
        scope: &FactScope,
        functions: &Functions,
    ) -> Result<Value, Vec<Diagnostic>> {
        let (provider, schema) = self
            .registry
            .lookup(&lookup.ty.value)
            .ok_or_else(|| vec![self.registry.unknown_lookup(&lookup.ty.value).at(lookup.ty.span)])?;
        let instance = match &lookup.provider {
            None => provider.name.to_owned(),
            Some(template) => match template.evaluate(scope, functions)? {
                Value::String(name) => name,
                other => {
                    let message = format!("`provider` must be the name of an instance, found {}", other.kind());
                    let error = Diagnostic::error("wrong_type", message).at(template.span);
                    return Err(vec![error.hint("write the name of an instance under `providers` of the environment")]);
                }
            },
        };
        let given = match lookup.config.evaluate(scope, functions)? {
            Value::Map(given) => given,
            Value::Null => Map::default(),
            other => {
                let message = format!("`config` must be a map, found {}", other.kind());
                let error = Diagnostic::error("wrong_type", message).at(lookup.config.span);
                return Err(vec![error.hint("write `argument: value` for each argument of the lookup")]);
            }
        };
        let mut found = Vec::new();
        let place = |path: &Path| lookup.config.span_at(path);
        typecheck::check(schema.name, &schema.arguments, &given, &place, &mut found);
        if has_errors(&found) {
            return Err(found);
        }
        match single_lookup::run(self.registry, schema, &instance, &given).await {
            Ok(result) => Ok(result),
            Err(error) => {
                let at = match &error.kind {
                    ErrorKind::InvalidInput { path: Some(path) } => lookup.config.span_at(path),
                    _ => lookup.name.span,
                };
                let message = format!("`data.{}` has no answer: {}", lookup.name.value, error.with_problems());
                let hint = error.hint();
                Err(vec![Diagnostic::error("lookup_failed", message).at(at).maybe_hint(hint)])
            }
        }
    }
}
