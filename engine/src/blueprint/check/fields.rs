//! The fields that every component and every data product may have, whatever their descriptor says beside.

use crate::compile::{LATEST, REQUEST};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::expression::{Reference, ReferenceStep};
use crate::source::Span;
use terrace_provider::names;

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
    "info",
];

/// Those of components besides, the `key`, and what is put together of the descriptor for who reads it.
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

/// What is there of a data product as it was provisioned last, besides: `product` has no components.
const LATEST_PRODUCT: &[&str] = &["components"];

/// What is wrong with a path into what is described or sent beside it: a slip in its first field.
pub(super) fn misspelt(reference: &Reference, span: Span) -> Option<Diagnostic> {
    let steps = reference.steps.as_slice();
    match (reference.root.as_str(), steps) {
        ("component", [ReferenceStep::Key(name), ..]) => slip("a component", name, &[COMPONENT], span),
        ("product", [ReferenceStep::Key(name), ..]) => slip("a data product", name, &[PRODUCT], span),
        (REQUEST, [ReferenceStep::Key(latest), ReferenceStep::Key(name), ..]) if latest == LATEST => {
            slip("a data product", name, &[PRODUCT, LATEST_PRODUCT], span)
        }
        (REQUEST, [ReferenceStep::Key(name), ..]) => unknown(REQUEST, name, &[LATEST], span),
        ("acl", [ReferenceStep::Key(name), ..]) => unknown("acl", name, &["principals", "fields"], span),
        _ => None,
    }
}

/// A field of a variable that has those fields and no others.
fn unknown(variable: &str, name: &str, known: &[&str], span: Span) -> Option<Diagnostic> {
    if known.contains(&name) {
        return None;
    }
    let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| format!("it has: {}", known.join(", ")));
    Some(Diagnostic::error("unknown_field", format!("`{variable}` has no field `{name}`")).at(span).hint(hint))
}

/// Descriptors may have fields of their own, so only what is one slip of a finger from a known one is taken for that.
fn slip(what: &str, name: &str, known: &[&[&str]], span: Span) -> Option<Diagnostic> {
    let known = COMMON.iter().chain(known.iter().copied().flatten());
    if known.clone().any(|field| *field == name) {
        return None;
    }
    let best = names::candidates(name, known.copied()).find(|field| strsim::osa_distance(name, field) == 1)?;
    let message = format!("{what} has no field `{name}`");
    Some(Diagnostic::error("unknown_field", message).at(span).hint(format!("did you mean `{best}`?")))
}
