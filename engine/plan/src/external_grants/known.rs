//! Grants that terrace manages: those in the rows of an environment, of any stack, and those that open steps may create.

use super::super::key::identity_key;
use crate::failure::PlanFailure;
use std::collections::HashMap;
use terrace_language::address::StackId;
use terrace_language::registry::Registry;
use terrace_provider::Attributes;
use terrace_store::record;
use terrace_store::seal::Seal;
use terrace_store::{Row, Rows, Selection, StepAction};
use tokio::sync::OnceCell;

/// A type and an identity, for any instance: two instances may belong to the same server.
pub(crate) type Object = (String, String);

/// The object of that type and identity.
pub fn object(ty: &str, identity: &Attributes) -> Object {
    (ty.to_owned(), identity_key(identity))
}

/// The grants of an environment; read on first use.
#[derive(Default)]
pub struct Known(OnceCell<HashMap<Object, String>>);

impl Known {
    /// The resource that manages this grant, in words.
    pub async fn manager_of(
        &self,
        store: &dyn Rows,
        (registry, seal): (&Registry, &Seal),
        environment: &str,
        object: &Object,
    ) -> Result<Option<&str>, PlanFailure> {
        let gather = || async {
            let mut known = HashMap::new();
            let mut add = |row: &Row| -> Result<(), PlanFailure> {
                let is_grant = registry.resource_type(&row.address.ty).is_some_and(|(_, ty)| !ty.grantee.is_empty());
                if is_grant {
                    let by = format!("{}:{}", row.stack, row.address);
                    let sealed = |error| PlanFailure::Sealed { address: by.clone(), error };
                    let identity = record::open_identity(row, seal).map_err(sealed)?;
                    known.insert(self::object(&row.address.ty, &identity), by);
                }
                Ok(())
            };
            let of_environment = |stack: &StackId| stack.environment == environment;
            for stack in store.stacks().await?.into_iter().filter(of_environment) {
                store.rows(&stack, &Selection::All).await?.iter().try_for_each(&mut add)?;
                let open = store.open_intents(&stack, &Selection::All).await?;
                let creating =
                    open.iter().map(|open| &open.intent).filter(|intent| intent.action != StepAction::Delete);
                creating.map(|intent| &intent.row).try_for_each(&mut add)?;
            }
            Ok::<_, PlanFailure>(known)
        };
        Ok(self.0.get_or_try_init(gather).await?.get(object).map(String::as_str))
    }
}
