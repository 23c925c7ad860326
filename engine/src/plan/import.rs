//! Imports: an object that exists becomes a resource, because a descriptor says which object it is.

use super::Prior;
use super::compute::{PlanFailure, Planner};
use super::resource::found;
use crate::address::{Address, StackId};
use crate::compile::CompiledImport;
use crate::diagnostic::Diagnostic;
use crate::import::{self, ImportError};
use terrace_provider::{PlannedChange, ResourceType, Session};

/// Looks up the object of an import, which may be nobody's; `None` with a diagnostic when it cannot be imported.
pub(crate) async fn look_up(
    planner: &Planner<'_>,
    session: &dyn Session,
    ty: &ResourceType,
    (stack, address, instance): (&StackId, &Address, &str),
    import: &CompiledImport,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Prior>, PlanFailure> {
    let looked_up = match import::look_up(session, ty, &import.id).await {
        Ok(observed) => {
            let place = (stack.environment.as_str(), instance);
            let owner = import::recorded_as(planner.store, planner.seal, place, ty, &observed).await?;
            match owner.filter(|owner| *owner != (stack.clone(), address.clone())) {
                None => Ok(observed),
                Some((stack, address)) => Err(ImportError::Recorded { id: import.id.clone(), stack, address }),
            }
        }
        Err(error) => Err(error),
    };
    match looked_up {
        Ok(observed) => Ok(Some(found(ty, observed))),
        Err(error) => {
            diagnostics.push(
                Diagnostic::error(error.code(), error.to_string())
                    .at(import.id_span)
                    .about(format!("{stack}:{address}"))
                    .maybe_hint(error.hint()),
            );
            Ok(None)
        }
    }
}

/// An import that would delete what it takes over: another object is declared than the one that was named.
pub(crate) fn another_object(
    address: &str,
    import: &CompiledImport,
    prior: Option<&Prior>,
    planned: &PlannedChange,
) -> Diagnostic {
    let differing: Vec<String> = planned
        .replace_paths
        .iter()
        .take(3)
        .map(|path| match prior.and_then(|prior| path.get(&prior.attributes)) {
            Some(value) if !value.has_sensitive() => format!("`{path}` of it is {}", value.to_json()),
            _ => format!("`{path}` of it is another"),
        })
        .collect();
    Diagnostic::error(
        "import_differs",
        format!("`{}` would have to be replaced to become {address}: {}", import.id, differing.join(", ")),
    )
    .at(import.id_span)
    .about(address)
    .hint("declare the object as it is; what cannot be changed in place is changed once it is imported")
}
