//! The objects that rows of a store manage.

use super::failure::PlanFailure;
use super::key::{ObjectName, compared_key};
use super::planner::Planner;
use std::collections::HashMap;
use std::fmt;
use terrace_language::address::{Address, StackId};
use terrace_language::registry::Registry;
use terrace_provider::Attributes;
use terrace_store::record;
use terrace_store::seal::Seal;
use terrace_store::{RowStatus, Rows, Selection};
use tokio::sync::OnceCell;

/// The objects that rows of this store manage, read on first use.
#[derive(Default)]
pub struct Managed(OnceCell<HashMap<ObjectName, Manager>>);

/// An object, as its provider returns it.
#[derive(Clone, Copy)]
pub struct ObjectOfInstance<'a> {
    /// The resource type.
    pub ty: &'a str,
    /// The provider instance.
    pub instance: &'a str,
    /// The identity.
    pub identity: &'a Attributes,
}

/// The resource that manages an object.
#[derive(Clone)]
pub struct Manager {
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
            ObjectOfInstance { ty, instance, identity },
        )
        .await
    }

    /// The same without a planner.
    pub async fn manager_in(
        &self,
        store: &dyn Rows,
        (registry, seal): (&Registry, &Seal),
        environment: &str,
        ObjectOfInstance { ty, instance, identity }: ObjectOfInstance<'_>,
    ) -> Result<Option<Manager>, PlanFailure> {
        // An object without an identity is known by its address alone and cannot be compared.
        if identity.is_empty() {
            return Ok(None);
        }
        let object = ObjectName {
            ty: ty.to_owned(),
            instance: instance.to_owned(),
            identity: compared_key(registry, ty, identity),
        };
        let gather = || async {
            let mut managed = HashMap::new();
            for stack in store.stacks().await?.into_iter().filter(|stack| stack.environment == *environment) {
                for row in store.rows(&stack, &Selection::All).await? {
                    let sealed = |error| PlanFailure::Sealed { address: format!("{stack}:{}", row.address), error };
                    let identity = record::open_identity(&row, seal).map_err(sealed)?;
                    let is_retained = row.status == RowStatus::Retained;
                    let identity = compared_key(registry, &row.address.ty, &identity);
                    let object = ObjectName { ty: row.address.ty.clone(), instance: row.provider, identity };
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
