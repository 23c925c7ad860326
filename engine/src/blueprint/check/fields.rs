//! The fields that every component and every data product may have, whatever their descriptor says beside.

use crate::diagnostic::Diagnostic;
use crate::expression::{Reference, ReferenceStep};
use crate::source::Span;

/// Fields of both, as Witboost knows them.
const COMMON: &[&str] = &[
    "id",
    "name",
    "fullyQualifiedName",
    "displayName",
    "description",
    "kind",
    "version",
    "domain",
    "infrastructureTemplateId",
    "useCaseTemplateId",
    "tags",
    "specific",
];

/// Those of components besides, the `key`, and the descriptor that is put together for who reads it.
const COMPONENT: &[&str] = &[
    "key",
    "descriptor",
    "dependsOn",
    "readsFrom",
    "platform",
    "technology",
    "storageType",
    "workloadType",
    "connectionType",
    "outputPortType",
    "creationDate",
    "startDate",
    "retentionTime",
    "processDescription",
    "dataContract",
    "dataSharingAgreement",
    "sampleData",
    "semanticLinking",
    "consumable",
    "shoppable",
    "components",
];

/// Those of data products besides.
const PRODUCT: &[&str] = &[
    "domainId",
    "environment",
    "status",
    "maturity",
    "dataProductOwner",
    "dataProductOwnerDisplayName",
    "devGroup",
    "ownerGroup",
    "email",
    "informationSLA",
    "billing",
];

/// What is wrong with a path into `component` or `product`: a slip in its first field. Descriptors may have fields of
/// their own, so only what is one slip of a finger from a known one is taken for that.
pub(super) fn misspelt(reference: &Reference, span: Span) -> Option<Diagnostic> {
    let (what, known) = match reference.root.as_str() {
        "component" => ("a component", COMPONENT),
        "product" => ("a data product", PRODUCT),
        _ => return None,
    };
    let Some(ReferenceStep::Key(name)) = reference.steps.first() else { return None };
    let mut known = COMMON.iter().chain(known);
    if known.clone().any(|field| field == name) {
        return None;
    }
    let is_slip = |field: &&&str| strsim::osa_distance(name, field) == 1;
    let best = known.find(is_slip)?;
    let message = format!("{what} has no field `{name}`");
    Some(Diagnostic::error("unknown_field", message).at(span).hint(format!("did you mean `{best}`?")))
}
