//! A picker of the configuration, and its check against the providers.

use crate::environments::Environments;
use std::time::Duration;
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::source::Span;
use terrace_engine::typecheck;
use terrace_provider::names::listed;
use terrace_provider::{AttributeType, Attributes, Lookup, Path, Value};

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
        if registry.instance(instance).is_none_or(|of| of.name != provider.name) {
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
            if self.arguments.contains_key(name) {
                let error =
                    Diagnostic::error("duplicate_name", format!("`{name}` is in `arguments` and in `parameters`"));
                found.push(error.hint("fix its value in `arguments`, or let callers set it in `parameters`"));
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
    pub(super) fn instance<'a>(&'a self, provider: &'a str) -> &'a str {
        self.provider.as_deref().unwrap_or(provider)
    }

    /// The attribute of the result with the list.
    pub(super) fn list_of<'a>(&'a self, lookup: &'a Lookup) -> Result<&'a str, Diagnostic> {
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
