//! `limits` of an instance: concurrency, rate and retries of calls.

use super::expand::value_of;
use std::num::NonZeroU32;
use terrace_engine::decode::{Fields, wrong_type};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::yaml::Node;
use terrace_provider::Value;
use terrace_provider::wrap::{Limits, Rate, TypeLimits};

/// The key with the limits of an instance.
pub(crate) const LIMITS: &str = "limits";

/// Upper limit of concurrency.
const MOST_AT_ONCE: i64 = 1_024;
/// Upper limit of retries.
const MOST_RETRIES: i64 = 100;

/// Reads the limits of an instance; missing fields have defaults.
pub(super) fn limits(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Limits {
    let mut limits = Limits::default();
    let Some(mut fields) = Fields::open(node, "`limits`", diagnostics) else { return limits };
    let own = of_one(&mut fields);
    for entry in fields.map("types") {
        let Some(mut fields) = Fields::open(&entry.value, "a type in `limits`", fields.diagnostics) else { continue };
        let of_type = of_one(&mut fields);
        fields.finish();
        limits.types.insert(entry.key.clone(), of_type);
    }
    fields.finish();
    limits.concurrency = own.concurrency.unwrap_or(limits.concurrency);
    limits.retries = own.retries.unwrap_or(limits.retries);
    limits.rate = own.rate;
    limits
}

/// Limits of an instance or of a type.
fn of_one(fields: &mut Fields<'_, '_>) -> TypeLimits {
    let concurrency =
        whole_number(fields, "concurrency", 1, MOST_AT_ONCE).and_then(|count| usize::try_from(count).ok());
    let retries = whole_number(fields, "retries", 0, MOST_RETRIES).and_then(|count| usize::try_from(count).ok());
    let burst = whole_number(fields, "burst", 1, i64::from(u32::MAX));
    let burst = burst.and_then(|count| NonZeroU32::new(u32::try_from(count).ok()?));
    let has_rate = fields.optional("requestsPerSecond").is_some();
    if let Some(entry) = fields.optional("burst").filter(|_| !has_rate) {
        let diagnostic = Diagnostic::error("missing_field", "`burst` without `requestsPerSecond` limits nothing")
            .at(entry.key_span)
            .hint("add `requestsPerSecond`, or leave `burst` out");
        fields.diagnostics.push(diagnostic);
    }
    TypeLimits { concurrency, rate: rate(fields, burst), retries }
}

fn rate(fields: &mut Fields<'_, '_>, burst: Option<NonZeroU32>) -> Option<Rate> {
    let entry = fields.optional("requestsPerSecond")?;
    let found = value_of(&entry.value);
    let calls: Option<f64> = match &found {
        Value::Int(calls) => calls.to_string().parse().ok(),
        Value::Number(calls) => calls.to_string().parse().ok(),
        _ => None,
    };
    let Some((calls, most)) = calls.and_then(|calls| Some((calls, Rate::max_burst(calls)?))) else {
        let (least, most) = (Rate::PER_SECOND.start(), Rate::PER_SECOND.end());
        let expected = format!("a number from {least} to {most}, such as 10 or 0.5");
        fields.diagnostics.push(unfit("requestsPerSecond", &expected, &found, &entry.value));
        return None;
    };
    let rate = Rate::per_second(calls, burst);
    if let Some(entry) = fields.optional("burst").filter(|_| rate.is_none()) {
        let expected = format!("a whole number from 1 to {most} with {calls} requests a second");
        fields.diagnostics.push(unfit("burst", &expected, &value_of(&entry.value), &entry.value));
    }
    rate
}

/// A whole number within bounds.
pub(super) fn whole_number(fields: &mut Fields<'_, '_>, name: &'static str, least: i64, most: i64) -> Option<i64> {
    let entry = fields.optional(name)?;
    match value_of(&entry.value) {
        Value::Int(number) if (least..=most).contains(&number) => Some(number),
        found => {
            let expected = format!("a whole number from {least} to {most}");
            fields.diagnostics.push(unfit(name, &expected, &found, &entry.value));
            None
        }
    }
}

/// The diagnostic for a number out of range or a value of another type.
fn unfit(name: &str, expected: &str, found: &Value, node: &Node) -> Diagnostic {
    if !matches!(found, Value::Int(_) | Value::Number(_)) {
        return wrong_type(&format!("`{name}`"), expected, node);
    }
    Diagnostic::error("out_of_range", format!("`{name}` is out of range: expected {expected}"))
        .at(node.span)
        .hint(format!("write {expected} here"))
}
