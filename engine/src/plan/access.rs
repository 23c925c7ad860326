//! Who has access to components: the resources of a blueprint's `acl` are planned beside the others once it is known who
//! has, by what is asked for now or by what was recorded when it was asked for last.

use super::compute::{PlanFailure, Planner};
use crate::access::Access;
use crate::compile::{CompiledComponent, CompiledStack};
use crate::diagnostic::Diagnostic;
use crate::expression::{Functions, Template};
use crate::graph::templates;
use crate::registry::Registry;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// All who are to have access to a component, in the place of all who have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grantees {
    /// The component.
    pub component: String,
    /// All of them, and what is said beside.
    pub access: Access,
}

impl Planner<'_> {
    /// The stacks with the resources of `acl` among those of each component of which it is known who has access.
    pub(super) async fn with_access<'s>(
        &self,
        stacks: &'s [CompiledStack],
        refused: &mut Vec<Diagnostic>,
    ) -> Result<Cow<'s, [CompiledStack]>, PlanFailure> {
        let mut granted = Cow::Borrowed(stacks);
        for (at, stack) in stacks.iter().enumerate() {
            let asked = self.options.access.as_ref();
            let asked = asked.filter(|asked| stack.components.iter().any(|component| component.key == asked.component));
            if asked.is_none() && stack.components.iter().all(|component| component.acl.resources.is_empty()) {
                continue;
            }
            let recorded = self.store.components(&stack.stack).await?;
            if let Some(asked) = asked {
                let is_recorded = recorded.iter().any(|row| row.key == asked.component);
                let component = stack.components.iter().find(|component| component.key == asked.component);
                refused.extend(component.and_then(|component| takes_nobody(component, is_recorded)));
            }
            let mut known: BTreeMap<String, Access> =
                recorded.into_iter().filter_map(|row| Some((row.key, row.access?))).collect();
            if let Some(Grantees { component, access }) = asked.cloned() {
                let has_now = known.get(&component).map(|access| access.principals.as_slice()).unwrap_or_default();
                refused.extend(misread(&access, has_now));
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

    /// Warnings of those that a provider of the component's grants cannot name: they get no access, the others do.
    fn unknown_principals(&self, component: &CompiledComponent, access: &Access) -> Vec<Diagnostic> {
        let warn = |(principal, provider, why): (&String, &str, String)| {
            let message = format!("`{principal}` gets no access to `{}`: {why}", component.key);
            let hint = format!("say by `identities.table` of the configuration who that is in {provider}");
            Diagnostic::warning("unknown_principal", message).at(component.span).hint(hint)
        };
        unnamed(component, access, self.registry, self.functions).into_iter().map(warn).collect()
    }
}

/// The providers that name whom a component lets in: those that a resource asks for names by what it says, else its own.
fn letting_in<'r>(component: &'r CompiledComponent, registry: &'r Registry) -> BTreeSet<&'r str> {
    let mut providers = BTreeSet::new();
    for declaration in &component.acl.resources {
        let mut asked = templates(declaration).flat_map(Template::named_by).peekable();
        if asked.peek().is_none() {
            providers.extend(registry.resource_type(&declaration.ty.value).map(|(schema, _)| schema.name));
        }
        providers.extend(asked);
    }
    providers
}

/// The principals that a provider of a component's grants cannot name, with the provider and why.
fn unnamed<'a, 'p>(
    component: &'p CompiledComponent,
    access: &'a Access,
    registry: &'p Registry,
    functions: &Functions,
) -> Vec<(&'a String, &'p str, String)> {
    let providers = letting_in(component, registry).into_iter();
    let pairs = providers.flat_map(|provider| access.principals.iter().map(move |one| (one, provider)));
    pairs.filter_map(|(one, provider)| Some((one, provider, functions.identity(one, provider).err()?))).collect()
}

/// The principals that get no access to a component, for none of the providers of its grants can name them, with why.
#[must_use]
pub fn let_in_nowhere<'a>(
    component: &CompiledComponent,
    access: &'a Access,
    registry: &Registry,
    functions: &Functions,
) -> BTreeMap<&'a str, String> {
    let providers = letting_in(component, registry).len();
    let mut nowhere: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (principal, _, why) in unnamed(component, access, registry, functions) {
        nowhere.entry(principal).or_default().push(why);
    }
    let nowhere = nowhere.into_iter().filter(|(_, reasons)| reasons.len() == providers);
    nowhere.map(|(principal, reasons)| (principal, reasons.join("; "))).collect()
}

/// Warnings of those that are asked for without their kind, where the same name with its kind would lose access by that: a
/// bare name is a group, as Witboost sends some.
fn misread(asked: &Access, has_now: &[String]) -> Vec<Diagnostic> {
    let meant = |bare: &String| {
        let names = |one: &&String| one.split_once(':').is_some_and(|(_, name)| name == bare.as_str());
        has_now.iter().find(|one| names(one) && !asked.principals.contains(one))
    };
    let misread =
        asked.principals.iter().filter(|one| !one.contains(':')).filter_map(|bare| Some((bare, meant(bare)?)));
    let told = misread.map(|(bare, meant)| {
        let message =
            format!("`{bare}` is read as a group, and `{meant}`, who has access now, is not among those asked for");
        Diagnostic::warning("principal_without_kind", message).hint(format!("did you mean `{meant}`?"))
    });
    told.collect()
}

/// Why nobody can be let in to a component.
fn takes_nobody(component: &CompiledComponent, is_recorded: bool) -> Option<Diagnostic> {
    let (message, hint) = match (component.takes_access(), is_recorded) {
        (Ok(()), true) => return None,
        (Ok(()), false) => (
            format!("nobody can be let in to `{}` before it is there", component.key),
            format!("provision `{}` first", component.key),
        ),
        (Err(message), _) => (message, "say with `acl` of the blueprint what grants access".to_owned()),
    };
    Some(Diagnostic::error("takes_no_access", message).at(component.span).hint(hint))
}
