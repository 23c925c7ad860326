//! A topic's configuration: encodes values, compares them, and knows which keys brokers support.

use crate::admin::Setting;
use crate::config::Flavor;
use std::collections::BTreeMap;
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// The largest signed 64-bit number, and the number that JavaScript rounds it to.
const LONG_MAX: &str = "9223372036854775807";
const ROUNDED_LONG_MAX: &str = "9223372036854776000";

/// Keys that only some brokers support, with the values that equal the default behavior: keys of Confluent
/// (<https://docs.confluent.io/platform/current/installation/configuration/topic-configs.html>), and keys that Apache
/// Kafka 4.0 removed (<https://kafka.apache.org/documentation/#upgrade_4_0_0>).
const OPTIONAL_KEYS: &[(&str, &[&str])] = &[
    ("confluent.cluster.link.allow.legacy.message.format", &["false"]),
    ("confluent.key.schema.validation", &["false"]),
    ("confluent.key.subject.name.strategy", &["io.confluent.kafka.serializers.subject.TopicNameStrategy"]),
    ("confluent.placement.constraints", &["", "{}"]),
    ("confluent.tier.enable", &["false"]),
    ("confluent.tier.local.hotset.bytes", &["-1"]),
    ("confluent.tier.local.hotset.ms", &["86400000"]),
    ("confluent.value.schema.validation", &["false"]),
    ("confluent.value.subject.name.strategy", &["io.confluent.kafka.serializers.subject.TopicNameStrategy"]),
    ("message.downconversion.enable", &["true"]),
    ("message.format.version", &["3.0-IV1"]),
    ("message.timestamp.difference.max.ms", &[LONG_MAX]),
];

/// The prefix of keys that only Confluent's brokers support.
const CONFLUENT: &str = "confluent.";

/// Returns the configured keys with their values as sent to Kafka. Null counts as not configured.
///
/// # Errors
/// If a value is neither text, number nor boolean.
pub(super) fn wanted(attributes: &Attributes) -> Result<BTreeMap<String, String>, ProviderError> {
    let configured = attributes.get("config").and_then(Value::as_map).into_iter().flatten();
    let entry = |(key, value): (&String, &Value)| match sent(value) {
        Some(text) => Ok((key.clone(), text)),
        None => {
            let path = Path::attribute("config").key(key);
            let message = format!("`config` has {} for `{key}`", value.kind());
            Err(ProviderError::invalid(Some(path), message).solution("write a string, a number, `true` or `false`"))
        }
    };
    configured.filter(|(_, value)| !value.is_null() && !value.is_unknown()).map(entry).collect()
}

/// Encodes a value for Kafka; `None` for lists and maps.
fn sent(value: &Value) -> Option<String> {
    let text = match value.exposed() {
        Value::String(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Number(number) => number.as_str().to_owned(),
        Value::Bool(value) => value.to_string(),
        _ => return None,
    };
    Some(if text.trim() == ROUNDED_LONG_MAX { LONG_MAX.to_owned() } else { text })
}

/// Returns true if brokers treat both texts as the same value: they parse texts, and return them in their own spelling.
fn is_equivalent(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim(), other.trim());
    if one == other {
        return true;
    }
    if let (Ok(one), Ok(other)) = (one.parse::<i128>(), other.parse::<i128>()) {
        return one == other;
    }
    if let (Ok(one), Ok(other)) = (one.parse::<f64>(), other.parse::<f64>()) {
        return one.total_cmp(&other).is_eq();
    }
    let is_bool = |text: &str| text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
    if is_bool(one) && is_bool(other) {
        return one.eq_ignore_ascii_case(other);
    }
    one.contains(',') && one.split(',').map(str::trim).eq(other.split(',').map(str::trim))
}

/// How a key is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeySupport {
    /// The key is sent to the brokers.
    Sent,
    /// The brokers do not support the key, but its value equals their default behavior.
    LeftOut,
    /// The brokers do not support the key.
    Unknown,
}

/// Decides how a key is sent, by the keys or the flavor of the brokers.
pub(super) fn key_support(
    key: &str,
    value: &str,
    known: Option<&dyn Fn(&str) -> bool>,
    flavor: Option<Flavor>,
) -> KeySupport {
    let listed = OPTIONAL_KEYS.iter().find(|(name, _)| *name == key);
    let is_known = match (flavor, known) {
        (Some(Flavor::Apache), _) if key.starts_with(CONFLUENT) => false,
        (_, Some(known)) => known(key),
        (Some(Flavor::Confluent), None) => true,
        // Without the right to list keys, assume the keys that every broker supports.
        (_, None) => listed.is_none(),
    };
    match (is_known, listed) {
        (true, _) => KeySupport::Sent,
        (false, Some((_, defaults))) if defaults.iter().any(|default| is_equivalent(default, value)) => {
            KeySupport::LeftOut
        }
        (false, _) => KeySupport::Unknown,
    }
}

/// The configuration of a topic, limited to the configured keys and in their spelling. Keys that the topic no longer
/// sets itself are missing.
pub(super) fn observed(configured: &Map, settings: &BTreeMap<String, Setting>, flavor: Option<Flavor>) -> Map {
    let knows = |key: &str| settings.contains_key(key);
    let mut observed = Map::default();
    for (key, value) in configured {
        let Some(expected) = sent(value) else { continue };
        let now = match (key_support(key, &expected, Some(&knows), flavor), settings.get(key)) {
            (KeySupport::LeftOut, _) => value.clone(),
            (_, Some(Setting { value: None, is_own: true })) => value.clone(),
            (_, Some(Setting { value: Some(text), is_own: true })) => match is_equivalent(text, &expected) {
                true => value.clone(),
                false => Value::from(text.as_str()),
            },
            (_, Some(Setting { is_own: false, .. }) | None) => continue,
        };
        observed.insert(key.clone(), now);
    }
    observed
}

/// All settings of the topic itself.
pub(super) fn own_settings(settings: &BTreeMap<String, Setting>) -> Map {
    let own = settings.iter().filter(|(_, setting)| setting.is_own);
    own.filter_map(|(key, setting)| Some((key.clone(), Value::from(setting.value.as_deref()?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_brokers_spelling_are_the_same() {
        for (one, other) in
            [("0.50", "0.5"), ("TRUE", "true"), (" 3 ", "3"), ("compact, delete", "compact,delete"), ("a", "a")]
        {
            assert!(is_equivalent(one, other), "{one} {other}");
        }
        for (one, other) in [("0.5", "0.6"), ("true", "false"), ("compact", "delete"), ("a,b", "b,a"), ("", "0")] {
            assert!(!is_equivalent(one, other), "{one} {other}");
        }
        // A double cannot represent the difference.
        assert!(!is_equivalent("9223372036854775807", "9223372036854775806"));
        assert_eq!(sent(&Value::from("9223372036854776000")).as_deref(), Some(LONG_MAX));
    }

    #[test]
    fn unsupported_keys_with_default_values_are_left_out() {
        let known = |key: &str| key == "retention.ms";
        let of = |key, value| key_support(key, value, Some(&known), None);
        assert_eq!(of("retention.ms", "1"), KeySupport::Sent);
        assert_eq!(of("confluent.tier.enable", "false"), KeySupport::LeftOut);
        assert_eq!(of("confluent.tier.enable", "true"), KeySupport::Unknown);
        assert_eq!(of("message.timestamp.difference.max.ms", LONG_MAX), KeySupport::LeftOut);
        assert_eq!(of("message.format.version", "2.8"), KeySupport::Unknown);
        assert_eq!(of("retention.msx", "1"), KeySupport::Unknown);
        let knows_all = |_: &str| true;
        assert_eq!(key_support("confluent.tier.enable", "true", Some(&knows_all), None), KeySupport::Sent);
        assert_eq!(
            key_support("confluent.tier.enable", "true", Some(&knows_all), Some(Flavor::Apache)),
            KeySupport::Unknown
        );
        assert_eq!(key_support("confluent.tier.enable", "true", None, Some(Flavor::Confluent)), KeySupport::Sent);
        assert_eq!(key_support("confluent.tier.enable", "false", None, None), KeySupport::LeftOut);
        assert_eq!(key_support("any.key", "x", None, None), KeySupport::Sent);
    }
}
