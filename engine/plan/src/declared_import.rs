//! Imports: a descriptor names an existing object, which becomes a resource.

use super::failure::PlanFailure;
use super::planner::Planner;
use crate::import::{self, ImportError};
use terrace_language::address::{Address, StackId};
use terrace_language::compile::CompiledImport;
use terrace_language::diagnostic::Diagnostic;
use terrace_provider::{PlannedChange, ResourceType, Session};
use terrace_store::record::{Prior, found};

/// Reads the object of an import. Returns `None` with a diagnostic if it cannot be imported, for instance because another row
/// records it.
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
            let owner = import::find_recorded_resource(planner.store, planner.seal, place, ty, &observed).await?;
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

/// The error for an import that would replace its object: the declaration describes another object.
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
            Some(value) if !value.has_sensitive() => format!("its `{path}` is {}", value.to_json()),
            _ => format!("its `{path}` differs"),
        })
        .collect();
    Diagnostic::error(
        "import_differs",
        format!("`{}` would have to be replaced to become {address}: {}", import.id, differing.join(", ")),
    )
    .at(import.id_span)
    .about(address)
    .hint("declare the object as it is, import it, and then change the attributes that need a replacement")
}
