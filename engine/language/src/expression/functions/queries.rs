//! The function `sqlReads`: tables and functions that a query reads.

use super::arguments::{technology, text, three};
use crate::diagnostic::did_you_mean;
use std::borrow::Cow;
use std::collections::BTreeMap;
use terrace_provider::names::listed;
use terrace_provider::{SqlReader, Value};

/// `sqlReads(provider, query, defaults)`: returns the reads of a query, and its refused parts.
pub(super) fn sql_reads(readers: &BTreeMap<String, SqlReader>, arguments: &[Cow<'_, Value>]) -> Result<Value, String> {
    let [provider, query, defaults] = three(arguments)?;
    let provider = text(provider)?;
    let Some(read) = readers.get(technology(provider)) else {
        let known = readers.keys().map(String::as_str).collect::<Vec<_>>();
        let hint = did_you_mean(provider, known.iter().copied())
            .unwrap_or_else(|| format!("providers that can: {}", listed(&known)));
        return Err(format!("the provider `{provider}` cannot read queries: {hint}"));
    };
    let Value::List(defaults) = defaults else {
        return Err(format!("expected a list of texts (database, schema), found {}", defaults.kind()));
    };
    let defaults = defaults.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(read(text(query)?, &defaults))
}
