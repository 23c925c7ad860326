//! Access to components: plans the resources of a blueprint's `acl` once an access list is requested or recorded.

use super::failure::PlanFailure;
use super::planner::Planner;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::access::{Access, Grantees};
use terrace_language::address::ComponentKey;
use terrace_language::compile::{CompiledComponent, CompiledStack};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::{Functions, Template};
use terrace_language::graph::templates;
use terrace_language::registry::Registry;

impl Planner<'_> {
    /// Adds the resources of `acl` to each component whose access list is requested or recorded.
    pub(super) async fn with_access<'s>(
        &self,
        stacks: &'s [CompiledStack],
        refused: &mut Vec<Diagnostic>,
    ) -> Result<Cow<'s, [CompiledStack]>, PlanFailure> {
        let mut granted = Cow::Borrowed(stacks);
        for (at, stack) in stacks.iter().enumerate() {
            let requested = self.options.access.as_ref();
            let requested = requested
                .filter(|requested| stack.components.iter().any(|component| component.key == requested.component));
            if requested.is_none() && stack.components.iter().all(|component| component.acl.resources.is_empty()) {
                continue;
            }
            let recorded = self.store.components(&stack.stack).await?;
            if let Some(requested) = requested {
                let is_recorded = recorded.iter().any(|row| row.key == requested.component);
                let component = stack.components.iter().find(|component| component.key == requested.component);
                refused.extend(component.and_then(|component| access_error(component, is_recorded)));
            }
            let mut known: BTreeMap<ComponentKey, Access> =
                recorded.into_iter().filter_map(|row| Some((row.key, row.access?))).collect();
            if let Some(Grantees { component, access }) = requested.cloned() {
                let current = known.get(&component).map(|access| access.principals.as_slice()).unwrap_or_default();
                refused.extend(ambiguous_principals(&access, current));
                known.insert(component, access);
            }
            if known.is_empty() {
                continue;
            }
            let Some(stack) = granted.to_mut().get_mut(at) else { continue };
            for component in &mut stack.components {
                if let Some(access) = known.remove(&component.key).filter(|_| !component.acl.resources.is_empty()) {
                    refused.extend(self.unknown_principals(component, &access));
                    component.grant(access);
                }
            }
        }
        Ok(granted)
    }

    /// Warns about principals that a provider of the component's grants cannot name. They get no access; the other principals do.
    fn unknown_principals(&self, component: &CompiledComponent, access: &Access) -> Vec<Diagnostic> {
        let warn = |(principal, provider, reason): (&String, &str, String)| {
            let message = format!("`{principal}` gets no access to `{}`: {reason}", component.key);
            let hint =
                format!("map the principal to its name in {provider} with `identities.table` of the configuration");
            Diagnostic::warning("unknown_principal", message).at(component.span).hint(hint)
        };
        unnamed(component, access, self.registry, self.functions).into_iter().map(warn).collect()
    }
}

/// The providers that have to name a component's principals: those in a resource's expressions, or else the resource's provider.
fn grant_providers<'r>(component: &'r CompiledComponent, registry: &'r Registry) -> BTreeSet<&'r str> {
    let mut providers = BTreeSet::new();
    for declaration in &component.acl.resources {
        let mut named = templates(declaration).flat_map(Template::named_by).peekable();
        if named.peek().is_none() {
            providers.extend(registry.resource_type(&declaration.ty.value).map(|(schema, _)| schema.name));
        }
        providers.extend(named);
    }
    providers
}

/// The principals that a provider of a component's grants cannot name, with that provider and its reason.
fn unnamed<'a, 'p>(
    component: &'p CompiledComponent,
    access: &'a Access,
    registry: &'p Registry,
    functions: &Functions,
) -> Vec<(&'a String, &'p str, String)> {
    let providers = grant_providers(component, registry).into_iter();
    let pairs = providers.flat_map(|provider| access.principals.iter().map(move |principal| (principal, provider)));
    pairs
        .filter_map(|(principal, provider)| Some((principal, provider, functions.identity(principal, provider).err()?)))
        .collect()
}

/// The principals that get no access to a component because no provider of its grants can name them, with the reasons.
#[must_use]
pub fn principals_without_access<'a>(
    component: &CompiledComponent,
    access: &'a Access,
    registry: &Registry,
    functions: &Functions,
) -> BTreeMap<&'a str, String> {
    let providers = grant_providers(component, registry).len();
    let mut without_access: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (principal, _, reason) in unnamed(component, access, registry, functions) {
        without_access.entry(principal).or_default().push(reason);
    }
    let without_access = without_access.into_iter().filter(|(_, reasons)| reasons.len() == providers);
    without_access.map(|(principal, reasons)| (principal, reasons.join("; "))).collect()
}

/// Warns about principals without their kind if the same name with a kind would lose its access. A bare name is a group; Witboost sends
/// some principals so.
fn ambiguous_principals(requested: &Access, current: &[String]) -> Vec<Diagnostic> {
    let qualified = |bare: &String| {
        let names = |principal: &&String| principal.split_once(':').is_some_and(|(_, name)| name == bare.as_str());
        current.iter().find(|principal| names(principal) && !requested.principals.contains(principal))
    };
    let ambiguous = requested
        .principals
        .iter()
        .filter(|principal| !principal.contains(':'))
        .filter_map(|bare| Some((bare, qualified(bare)?)));
    let warnings = ambiguous.map(|(bare, qualified)| {
        let message =
            format!("`{bare}` is read as a group, and `{qualified}`, which has access now, is not in the request");
        Diagnostic::warning("principal_without_kind", message).hint(format!("did you mean `{qualified}`?"))
    });
    warnings.collect()
}

/// Returns an error if a component cannot have an access list.
fn access_error(component: &CompiledComponent, is_recorded: bool) -> Option<Diagnostic> {
    let (message, hint) = match (component.check_grants_access(), is_recorded) {
        (Ok(()), true) => return None,
        (Ok(()), false) => (
            format!("cannot grant access to `{}` before it exists", component.key),
            format!("provision `{}` first", component.key),
        ),
        (Err(message), _) => (message, "declare the resources that grant access in `acl` of the blueprint".to_owned()),
    };
    Some(Diagnostic::error("takes_no_access", message).at(component.span).hint(hint))
}
