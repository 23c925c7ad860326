//! Arguments of functions.

use std::borrow::Cow;
use terrace_provider::Value;

/// The provider of an instance: `snowflake` of `snowflake.eu`.
pub(super) fn technology(provider: &str) -> &str {
    provider.split_once('.').map_or(provider, |(technology, _)| technology)
}

pub(super) fn one<'a>(arguments: &'a [Cow<'_, Value>]) -> Result<&'a Value, String> {
    match arguments {
        [argument] => Ok(argument),
        _ => Err(format!("expected 1 argument, found {}", arguments.len())),
    }
}

pub(super) fn two<'a>(arguments: &'a [Cow<'_, Value>]) -> Result<[&'a Value; 2], String> {
    match arguments {
        [first, second] => Ok([first, second]),
        _ => Err(format!("expected 2 arguments, found {}", arguments.len())),
    }
}

pub(super) fn three<'a>(arguments: &'a [Cow<'_, Value>]) -> Result<[&'a Value; 3], String> {
    match arguments {
        [first, second, third] => Ok([first, second, third]),
        _ => Err(format!("expected 3 arguments, found {}", arguments.len())),
    }
}

pub(super) fn one_text<'a>(arguments: &'a [Cow<'_, Value>]) -> Result<&'a str, String> {
    one(arguments).and_then(text)
}

pub(super) fn text(argument: &Value) -> Result<&str, String> {
    argument.as_str().ok_or_else(|| format!("expected text, found {}", argument.kind()))
}
