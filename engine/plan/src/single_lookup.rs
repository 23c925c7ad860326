//! A lookup outside of a plan: for reverse provisioning, and for lists that a server shows.

use crate::deadline;
use crate::walk::lookups::answer;
use terrace_language::registry::Registry;
use terrace_provider::plan::with_defaults;
use terrace_provider::schema::Timeouts;
use terrace_provider::{Attributes, Lookup, ProviderError, Value};

/// Runs a lookup on an instance. `given` are arguments that fit the schema; the rest has its defaults. The result has the
/// sensitive marks of the schema.
///
/// # Errors
/// When the instance is not configured, or the provider has no answer in time.
pub async fn run(
    registry: &Registry,
    schema: &Lookup,
    instance: &str,
    given: &Attributes,
) -> Result<Value, ProviderError> {
    let arguments = with_defaults(&schema.arguments, given);
    let session = registry.session(instance).await?;
    let result = deadline::call_reading(Timeouts::default().read, session.lookup(schema.name, &arguments)).await?;
    Ok(answer(schema, &arguments, &result))
}
