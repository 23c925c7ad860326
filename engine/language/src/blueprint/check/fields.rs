//! The standard fields of components and data products, to detect misspelt references.

use crate::compile::names::{LATEST, REQUEST};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::expression::{Reference, ReferenceStep};
use crate::source::Span;
use terrace_provider::names;
use terrace_provider::names::listed;

/// Fields of both components and data products in Witboost.
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
    "info",
];

/// Further fields of components: Witboost's, the `key`, and the fields that the compiler adds for blueprints.
const COMPONENT: &[&str] = &[
    "key",
    "descriptor",
    "dependencies",
    "siblings",
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

/// Further fields of data products.
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

/// A further field of the last provisioned data product; `product` has no components.
const LATEST_PRODUCT: &[&str] = &["components"];

/// The error for a reference whose first field is misspelt.
pub(super) fn check_misspelt(reference: &Reference, span: Span) -> Option<Diagnostic> {
    let steps = reference.steps.as_slice();
    match (reference.root.as_str(), steps) {
        ("component", [ReferenceStep::Key(name), ..]) => misspelt_field("a component", name, &[COMPONENT], span),
        ("product", [ReferenceStep::Key(name), ..]) => misspelt_field("a data product", name, &[PRODUCT], span),
        (REQUEST, [ReferenceStep::Key(latest), ReferenceStep::Key(name), ..]) if latest == LATEST => {
            misspelt_field("a data product", name, &[PRODUCT, LATEST_PRODUCT], span)
        }
        (REQUEST, [ReferenceStep::Key(name), ..]) => unknown(REQUEST, name, &[LATEST], span),
        ("acl", [ReferenceStep::Key(name), ..]) => unknown("acl", name, &["principals", "fields"], span),
        _ => None,
    }
}

/// The error for a field that a variable with a fixed set of fields does not have.
fn unknown(variable: &str, name: &str, known: &[&str], span: Span) -> Option<Diagnostic> {
    if known.contains(&name) {
        return None;
    }
    let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| format!("it has: {}", listed(known)));
    Some(Diagnostic::error("unknown_field", format!("`{variable}` has no field `{name}`")).at(span).hint(hint))
}

/// The error for a field that differs from a known one in a single edit. Descriptors may have further fields, so others
/// are accepted.
fn misspelt_field(subject: &str, name: &str, known: &[&[&str]], span: Span) -> Option<Diagnostic> {
    let known = COMMON.iter().chain(known.iter().copied().flatten());
    if known.clone().any(|field| *field == name) {
        return None;
    }
    let best = names::candidates(name, known.copied()).find(|field| strsim::osa_distance(name, field) == 1)?;
    let message = format!("{subject} has no field `{name}`");
    Some(Diagnostic::error("unknown_field", message).at(span).hint(format!("did you mean `{best}`?")))
}
