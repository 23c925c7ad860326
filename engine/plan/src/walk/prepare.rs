//! Prepares an instance for planning: evaluates and checks its configuration, and connects to its provider instance.

use super::super::Deferred;
use super::expand::not_text;
use super::{ComponentPart, Prepared, Walk};
use std::borrow::Cow;
use std::sync::Arc;
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::{Missing, ReferenceStep, Scope, Template, size_of};
use terrace_language::graph::lookup_name;
use terrace_language::limits::additional_resources;
use terrace_language::registry::UNKNOWN_INSTANCE;
use terrace_language::scope::{KEPT_ROOTS, PlanScope};
use terrace_language::text::value::UNKNOWN;
use terrace_language::typecheck;
use terrace_provider::{Map, Object, Path, Session, Value};

impl Walk<'_, '_> {
    /// Evaluates and checks the configuration of an instance, or the arguments of a lookup.
    #[expect(clippy::too_many_arguments, reason = "each is a different property of an instance")]
    pub(super) fn prepare(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        ty: &str,
        attributes: &Object,
        template: &Arc<Template>,
        scope: &PlanScope<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Prepared> {
        let value = match template.evaluate(scope, self.planner.functions) {
            Ok(value) => value,
            Err(found) => {
                diagnostics.extend(found);
                return None;
            }
        };
        let config = match value {
            Value::Map(config) => config,
            Value::Null => Map::default(),
            other => {
                diagnostics.push(
                    Diagnostic::error("wrong_type", format!("`config` has to be a map, and is {}", other.kind()))
                        .at(template.span)
                        .hint("write `attribute: value` for each attribute, or an expression that returns a map"),
                );
                return None;
            }
        };
        let size = config.values().map(size_of).fold(0, usize::saturating_add);
        if let Err(too_many) = self.planner.functions.count_resources(additional_resources(size), template.span) {
            diagnostics.push(too_many);
            return None;
        }
        let before = diagnostics.len();
        let place = |path: &Path| template.span_at(path);
        typecheck::check(ty, attributes, &config, &place, diagnostics);
        if diagnostics.iter().skip(before).any(Diagnostic::is_error) {
            return None;
        }
        let deferred = if config.values().any(Value::has_unknown) {
            match template.capture(scope, KEPT_ROOTS) {
                Ok(captured) => Some(Deferred {
                    component: part.component.key.clone(),
                    template: Arc::clone(template),
                    captured: Arc::new(captured),
                }),
                Err(found) => {
                    diagnostics.extend(found);
                    return None;
                }
            }
        } else {
            None
        };
        Some(Prepared {
            config,
            deferred,
            depends_on: self.dependencies(part, declaration, scope),
            triggered_by: Vec::new(),
        })
    }

    /// The name of the provider instance of a resource.
    pub(super) fn instance_name(
        &self,
        declaration: &ResourceDeclaration,
        provider: &str,
        scope: &PlanScope<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        let (name, span) = match &declaration.provider {
            Some(template) => (self.text(template, scope, "provider", diagnostics)?, template.span),
            None => (provider.to_owned(), declaration.ty.span),
        };
        let registry = self.planner.registry;
        if registry.instance(&name).is_some_and(|schema| schema.name == provider) {
            return Some(name);
        }
        let error = registry.instance_of_other(&declaration.ty.value, provider, &name).unwrap_or_else(|| {
            Diagnostic::error(UNKNOWN_INSTANCE, format!("there is no `{provider}` instance `{name}`"))
                .hint(registry.instances_of(provider, &name, self.planner.environment))
        });
        diagnostics.push(error.at(span));
        None
    }

    pub(super) async fn session(
        &self,
        instance: &str,
        declaration: &ResourceDeclaration,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Arc<dyn Session>> {
        match self.planner.registry.session(instance).await {
            Ok(session) => Some(session),
            Err(error) => {
                diagnostics.push(self.planner.registry.no_session(instance, &error, Some(declaration.ty.span)));
                None
            }
        }
    }

    /// The share key of a resource. Offline, unknown parts appear as a placeholder word. If a lookup failed before, no further
    /// error is added.
    pub(super) fn share_key(
        &self,
        part: &ComponentPart<'_>,
        template: &Template,
        scope: &PlanScope<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        let names = || template.references().filter_map(lookup_name);
        // An instance that is only validated returns unknown values.
        let is_unanswered =
            |name| part.lookups.get(name).is_some_and(|lookup| lookup.reason.is_none() && lookup.result.has_unknown());
        if self.planner.options.offline || names().any(is_unanswered) {
            return self.text(template, &PlaceholderScope(scope), "shared", diagnostics);
        }
        let is_reported = names().any(|name| !part.lookups.contains_key(name));
        let before = diagnostics.len();
        let key = self.text(template, scope, "shared", diagnostics);
        if is_reported && key.is_none() {
            diagnostics.truncate(before);
        }
        key
    }

    pub(super) fn text(
        &self,
        template: &Template,
        scope: &dyn Scope,
        subject: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        match template.evaluate(scope, self.planner.functions) {
            Ok(Value::String(text)) => Some(text),
            Ok(other) => {
                diagnostics.push(not_text(subject, template, &other, &self.applied()));
                None
            }
            Err(found) => {
                diagnostics.extend(found);
                None
            }
        }
    }
}

/// A scope that replaces unknown values with a placeholder word.
struct PlaceholderScope<'a>(&'a PlanScope<'a>);

impl Scope for PlaceholderScope<'_> {
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        let value = self.0.resolve(root, steps)?;
        Ok(if value.is_unknown() { Cow::Owned(UNKNOWN.into()) } else { value })
    }
}
