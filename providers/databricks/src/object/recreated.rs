//! Objects that were recreated outside terrace.

use super::interface::Object;
use crate::attributes::optional_text;
use crate::context::Context;
use crate::private::PrivateData;
use terrace_provider::{Attributes, PlannedChange, ProposedChange, Value};

/// Returns true if another object now has the recorded object's name. If that cannot be determined, returns false.
pub(crate) async fn is_recreated(
    object: &dyn Object,
    context: &Context<'_>,
    named: &Attributes,
    private: &PrivateData,
) -> bool {
    let Some(incarnation) = &private.incarnation else { return false };
    let current = object.read(context, named, &Attributes::default(), &PrivateData::default()).await;
    let current = current.ok().flatten().and_then(|observed| observed.private.incarnation);
    current.is_some_and(|current| current != *incarnation)
}

/// Plans an update if the recorded object was recreated outside terrace, so that the user sees it. `attribute` differs
/// between the old and the new object.
pub(crate) fn plan_recreated(change: &ProposedChange<'_>, planned: &mut PlannedChange, attribute: &str) {
    let Some(prior) = change.prior else { return };
    let recorded = PrivateData::of(&prior.private).incarnation;
    if recorded.is_some() && planned.replace_paths.is_empty() && recorded != optional_text(&prior.attributes, attribute)
    {
        planned.planned.insert(attribute.to_owned(), Value::Unknown);
    }
}
