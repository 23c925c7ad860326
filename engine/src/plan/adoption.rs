//! The rule of `adopt: ifOurs`: which unmanaged objects terrace may adopt.
//!
//! The planner adopts an object under three conditions. Its name is computed from the component, so that two people cannot choose it by
//! chance. No other row manages it. Its differences can be aligned in place, without loss of data.

use super::failure::PlanFailure;
use super::key::compared_key;
use super::planner::Planner;
use super::resource::ResourceInput;
use crate::address::{Address, StackId};
use crate::diagnostic::Diagnostic;
use crate::expression::{Template, TemplateKind};
use crate::moves::as_written;
use crate::record;
use crate::record::Prior;
use crate::registry::Registry;
use crate::seal::Seal;
use crate::store::{RowStatus, Selection, StateStore};
use crate::text::shell_word;
use std::collections::HashMap;
use std::fmt;
use terrace_provider::{Attributes, ResourceType, Value};
use tokio::sync::OnceCell;

/// The objects that rows of this store manage, read on first use.
#[derive(Default)]
pub(crate) struct Managed(OnceCell<HashMap<Object, Manager>>);

/// The resource that manages an object.
#[derive(Clone)]
pub(crate) struct Manager {
    pub(crate) stack: StackId,
    pub(crate) address: Address,
    /// The row is retained: only its data remains.
    pub(super) is_retained: bool,
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.stack, self.address)
    }
}

/// A type, a provider instance and an identity.
type Object = (String, String, String);

impl Managed {
    /// The resource that manages an object.
    pub(crate) async fn manager_of(
        &self,
        planner: &Planner<'_>,
        ty: &str,
        instance: &str,
        identity: &Attributes,
    ) -> Result<Option<Manager>, PlanFailure> {
        self.manager_in(
            planner.store,
            (planner.registry, planner.seal),
            &planner.environment.name,
            (ty, instance, identity),
        )
        .await
    }

    /// The same without a planner.
    pub(crate) async fn manager_in(
        &self,
        store: &dyn StateStore,
        (registry, seal): (&Registry, &Seal),
        environment: &str,
        (ty, instance, identity): (&str, &str, &Attributes),
    ) -> Result<Option<Manager>, PlanFailure> {
        // An object without an identity is known by its address alone and cannot be compared.
        if identity.is_empty() {
            return Ok(None);
        }
        let object = (ty.to_owned(), instance.to_owned(), compared_key(registry, ty, identity));
        let gather = || async {
            let mut managed = HashMap::new();
            for stack in store.stacks().await?.into_iter().filter(|stack| stack.environment == *environment) {
                for row in store.rows(&stack, &Selection::All).await? {
                    let sealed = |error| PlanFailure::Sealed { address: format!("{stack}:{}", row.address), error };
                    let identity = record::open_identity(&row, seal).map_err(sealed)?;
                    let is_retained = row.status == RowStatus::Retained;
                    let key = compared_key(registry, &row.address.ty, &identity);
                    let object = (row.address.ty.clone(), row.provider, key);
                    let manager = Manager { stack: stack.clone(), address: row.address, is_retained };
                    // A retained row does not hide an active one.
                    if !is_retained || !managed.contains_key(&object) {
                        managed.insert(object, manager);
                    }
                }
            }
            Ok::<_, PlanFailure>(managed)
        };
        Ok(self.0.get_or_try_init(gather).await?.get(&object).cloned())
    }
}

/// Returns why an existing object cannot be adopted; `None` if it can.
pub(super) async fn find_obstacle(
    planner: &Planner<'_>,
    input: &ResourceInput<'_>,
    found: &Prior,
) -> Result<Option<NotAdoptable>, PlanFailure> {
    if !is_named_by_rule(input.template, input.ty) {
        return Ok(Some(NotAdoptable::NoRule));
    }
    let by = input.managed.manager_of(planner, input.ty.name, &input.provider, &found.identity).await?;
    Ok(by.map(NotAdoptable::Managed))
}

/// Why an object cannot be adopted.
pub(super) enum NotAdoptable {
    /// Its name is a literal.
    NoRule,
    /// Another resource manages it.
    Managed(Manager),
    /// Aligning it would destroy data.
    DataLoss,
    /// Aligning it would replace it.
    Replaced,
}

/// The error for an existing object that is not adopted. Its hint names other ways to adopt it.
pub(super) fn adoption_error(
    input: &ResourceInput<'_>,
    address: &str,
    found: &Prior,
    obstacle: &NotAdoptable,
) -> Diagnostic {
    let names = input.ty.identity.join("`, `");
    let reason = match obstacle {
        NotAdoptable::NoRule => format!("`{names}` is a literal, not computed"),
        NotAdoptable::Managed(by) if by.is_retained => format!("{by} retained its data"),
        NotAdoptable::Managed(by) => format!("{by} manages it"),
        NotAdoptable::DataLoss => "aligning it would destroy data".to_owned(),
        NotAdoptable::Replaced => "it would have to be replaced".to_owned(),
    };
    let error = Diagnostic::error("not_ours", format!("{address} exists already and cannot be adopted: {reason}"));
    let error = error.at(input.span);
    if let NotAdoptable::Managed(by) = obstacle {
        if by.is_retained && by.stack == *input.stack {
            return error
                .hint(format!("to continue with its data, write `{}`", as_written(&by.address, &input.address)));
        }
        return error.hint("give one of them another name, or let both own it with `shared`");
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_json().to_string(),
    };
    let id = match found.attributes.get("id").and_then(Value::as_str) {
        Some(id) => id.to_owned(),
        None => found.identity.values().map(text).collect::<Vec<_>>().join("/"),
    };
    error.hint(format!(
        "`terrace import {} {}` records it as it is; `adopt: ifExists` adopts any existing object",
        shell_word(address),
        shell_word(&id)
    ))
}

/// True if the object's name is computed.
pub(super) fn is_named_by_rule(template: &Template, ty: &ResourceType) -> bool {
    match &template.kind {
        TemplateKind::Map(entries) => {
            entries.iter().any(|entry| ty.identity.contains(&entry.key.as_str()) && !is_constant(&entry.value))
        }
        _ => !is_constant(template),
    }
}

fn is_constant(template: &Template) -> bool {
    template.expressions().next().is_none()
}
