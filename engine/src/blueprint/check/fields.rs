//! The fields that every component and every data product may have, whatever their descriptor says beside.

use crate::diagnostic::Diagnostic;
use crate::expression::{Reference, ReferenceStep};
use crate::source::Span;

/// Fields of components, as Witboost knows them, and the `key`.
const COMPONENT: &[&str] = &[
    "id",
    "key",
    "name",
    "fullyQualifiedName",
    "displayName",
    "description",
    "kind",
    "version",
    "domain",
    "infrastructureTemplateId",
    "useCaseTemplateId",
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
    "tags",
    "sampleData",
    "semanticLinking",
    "consumable",
    "shoppable",
    "specific",
    "components",
];

/// Fields of data products.
const PRODUCT: &[&str] = &[
    "id",
    "name",
    "fullyQualifiedName",
    "displayName",
    "description",
    "kind",
    "version",
    "domain",
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
    "tags",
    "specific",
    "infrastructureTemplateId",
    "useCaseTemplateId",
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
    if known.contains(&name.as_str()) {
        return None;
    }
    let is_slip = |field: &&&str| strsim::osa_distance(name, field) == 1;
    let best = known.iter().find(is_slip)?;
    let message = format!("{what} has no field `{name}`");
    Some(Diagnostic::error("unknown_field", message).at(span).hint(format!("did you mean `{best}`?")))
}
