//! A topic's configuration: how values are written, which of them mean the same, and which keys brokers know.

use crate::admin::Setting;
use crate::config::Flavor;
use std::collections::BTreeMap;
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// The largest number of 64 bits, and what JavaScript makes of it.
const LONG_MAX: &str = "9223372036854775807";
const ROUNDED_LONG_MAX: &str = "9223372036854776000";

/// Keys that only some brokers know, with the values that mean the same as not to have them: those of Confluent
/// (<https://docs.confluent.io/platform/current/installation/configuration/topic-configs.html>), and those that Apache
/// Kafka 4.0 retired (<https://kafka.apache.org/documentation/#upgrade_4_0_0>).
const NOT_EVERYWHERE: &[(&str, &[&str])] = &[
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

/// The prefix of keys that only Confluent's brokers know.
const CONFLUENT: &str = "confluent.";

/// The configured keys with their values as Kafka is sent them; null counts as not configured.
///
/// # Errors
/// When a value is none that a key can have.
pub(super) fn wanted(attributes: &Attributes) -> Result<BTreeMap<String, String>, ProviderError> {
    let configured = attributes.get("config").and_then(Value::as_map).into_iter().flatten();
    let entry = |(key, value): (&String, &Value)| match sent(value) {
        Some(text) => Ok((key.clone(), text)),
        None => {
            let path = Path::attribute("config").key(key);
            let message = format!("`config` has {} for `{key}`", value.kind());
            Err(ProviderError::invalid(Some(path), message).solution("write a text, a number, or true or false"))
        }
    };
    configured.filter(|(_, value)| !value.is_null() && !value.is_unknown()).map(entry).collect()
}

/// A value as it is sent.
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

/// True when brokers make the same of both texts: they parse what they are sent, and write it anew.
fn means_same(one: &str, other: &str) -> bool {
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

/// What becomes of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Brokers are sent it.
    Sent,
    /// Brokers do not know it, and do without it what it says.
    LeftOut,
    /// Brokers do not know it.
    Unknown,
}

/// What becomes of a key, by what is known of the brokers.
pub(super) fn fate(key: &str, value: &str, known: Option<&dyn Fn(&str) -> bool>, flavor: Option<Flavor>) -> Fate {
    let listed = NOT_EVERYWHERE.iter().find(|(name, _)| *name == key);
    let is_known = match (flavor, known) {
        (Some(Flavor::Apache), _) if key.starts_with(CONFLUENT) => false,
        (_, Some(known)) => known(key),
        (Some(Flavor::Confluent), None) => true,
        // Whoever may not ask which keys there are sends what every broker knows.
        (_, None) => listed.is_none(),
    };
    match (is_known, listed) {
        (true, _) => Fate::Sent,
        (false, Some((_, defaults))) if defaults.iter().any(|default| means_same(default, value)) => Fate::LeftOut,
        (false, _) => Fate::Unknown,
    }
}

/// The configuration of a topic in the spelling of what was configured, with only the keys of that: a key that the topic
/// does not have of its own any more is missing.
pub(super) fn observed(configured: &Map, settings: &BTreeMap<String, Setting>, flavor: Option<Flavor>) -> Map {
    let knows = |key: &str| settings.contains_key(key);
    let mut observed = Map::default();
    for (key, value) in configured {
        let Some(wanted) = sent(value) else { continue };
        let now = match (fate(key, &wanted, Some(&knows), flavor), settings.get(key)) {
            (Fate::LeftOut, _) => value.clone(),
            (_, Some(Setting { value: None, is_own: true })) => value.clone(),
            (_, Some(Setting { value: Some(text), is_own: true })) => match means_same(text, &wanted) {
                true => value.clone(),
                false => Value::from(text.as_str()),
            },
            (_, Some(Setting { is_own: false, .. }) | None) => continue,
        };
        observed.insert(key.clone(), now);
    }
    observed
}

/// All that a topic has of its own.
pub(super) fn own_settings(settings: &BTreeMap<String, Setting>) -> Map {
    let own = settings.iter().filter(|(_, setting)| setting.is_own);
    own.filter_map(|(key, setting)| Some((key.clone(), Value::from(setting.value.as_deref()?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_brokers_write_anew_mean_the_same() {
        for (one, other) in
            [("0.50", "0.5"), ("TRUE", "true"), (" 3 ", "3"), ("compact, delete", "compact,delete"), ("a", "a")]
        {
            assert!(means_same(one, other), "{one} {other}");
        }
        for (one, other) in [("0.5", "0.6"), ("true", "false"), ("compact", "delete"), ("a,b", "b,a"), ("", "0")] {
            assert!(!means_same(one, other), "{one} {other}");
        }
        // Beyond what a double can tell apart.
        assert!(!means_same("9223372036854775807", "9223372036854775806"));
        assert_eq!(sent(&Value::from("9223372036854776000")).as_deref(), Some(LONG_MAX));
    }

    #[test]
    fn keys_of_other_brokers_are_left_out_where_they_say_nothing() {
        let known = |key: &str| key == "retention.ms";
        let of = |key, value| fate(key, value, Some(&known), None);
        assert_eq!(of("retention.ms", "1"), Fate::Sent);
        assert_eq!(of("confluent.tier.enable", "false"), Fate::LeftOut);
        assert_eq!(of("confluent.tier.enable", "true"), Fate::Unknown);
        assert_eq!(of("message.timestamp.difference.max.ms", LONG_MAX), Fate::LeftOut);
        assert_eq!(of("message.format.version", "2.8"), Fate::Unknown);
        assert_eq!(of("retention.msx", "1"), Fate::Unknown);
        let knows_all = |_: &str| true;
        assert_eq!(fate("confluent.tier.enable", "true", Some(&knows_all), None), Fate::Sent);
        assert_eq!(fate("confluent.tier.enable", "true", Some(&knows_all), Some(Flavor::Apache)), Fate::Unknown);
        assert_eq!(fate("confluent.tier.enable", "true", None, Some(Flavor::Confluent)), Fate::Sent);
        assert_eq!(fate("confluent.tier.enable", "false", None, None), Fate::LeftOut);
        assert_eq!(fate("any.key", "x", None, None), Fate::Sent);
    }
}
