//! The schema of specs: YAML as PyYAML reads it, since dpp's specs are written for PyYAML. `yes` is true, `010` is eight
//! and `2014-01-01` is a date. Equal keys are allowed, and the last one counts.
//!
//! `scalar` resolves unquoted text; `number` passes numbers to Python that JSON cannot represent.

mod number;
mod scalar;

pub(crate) use number::python_json;

use crate::run::python::float_text;
use serde_json::{Map, Value, json};
use std::ops::Range;
use terrace_provider::Number;
use terrace_yaml::diagnostic::{Diagnostic, Location};
use terrace_yaml::source::{SourceId, Span};
use terrace_yaml::{Budget, DuplicateKeys, Entry, MISSING_COLON, Node, NodeKind, ParseOptions, Schema, parse_with};

/// Maximum length of the text in bytes.
pub(crate) const LONGEST: usize = 8 << 20;
/// Specs may come from untrusted folders.
const BUDGET: Budget = Budget { bytes: LONGEST, depth: 64, nodes: 200_000, alias_nodes: 200_000, raise: None };
/// Type of a date and of a time. As in dpp's JSON, the value is a map with this key.
const DATE: &str = "type{date}";
const TIME: &str = "type{datetime}";
/// Type of floating-point numbers that JSON does not have.
const FLOAT: &str = "float";

/// Syntax error, or a problem at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Parses a YAML document. An empty text is null. The second part lists duplicate keys: PyYAML silently takes the last
/// one.
///
/// # Errors
/// When the text is not a single YAML document, or exceeds a limit.
pub(crate) fn parse(text: &str) -> Result<(Node, Vec<Fault>), Vec<Fault>> {
    if text.len() > LONGEST {
        let hint = Some("split it into several files".to_owned());
        return Err(vec![Fault { at: 0..0, message: "the file is longer than 8 MiB".to_owned(), hint }]);
    }
    let schema = Schema { resolve: scalar::resolve, resolve_tagged: scalar::tagged };
    let options = ParseOptions { budget: BUDGET, duplicate_keys: DuplicateKeys::Warn, schema };
    let faults = |found: Vec<Diagnostic>| found.into_iter().map(|error| fault(error, text)).collect();
    match parse_with(SourceId::default(), text, &options) {
        Ok(parsed) => Ok((parsed.node, faults(parsed.warnings))),
        Err(errors) if errors.iter().any(|error| error.code == "empty_file") => {
            Ok((Node { span: Span::default(), kind: NodeKind::Null }, Vec::new()))
        }
        Err(errors) => Err(faults(errors)),
    }
}

fn fault(error: Diagnostic, text: &str) -> Fault {
    let at = match error.labels.first().map(|label| &label.at) {
        Some(Location::Span(span)) => Range::from(*span),
        _ => 0..0,
    };
    let before = text.get(..at.start).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let end = before.len() + text.get(before.len()..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    let start = before.len() - line.trim_start().len();
    match text.get(start..end).filter(|_| error.message == MISSING_COLON) {
        Some(words) => Fault { at: start..end, message: error.message, hint: Some(with_colon(words.trim_end())) },
        None => Fault { at, message: error.message, hint: error.hint },
    }
}

/// The hint for a line without its `:`.
fn with_colon(words: &str) -> String {
    let meant = match words.strip_prefix("- ").map(|item| item.trim().split_once(char::is_whitespace)) {
        Some(Some((key, value))) => format!("- {key}: {}", value.trim_start()),
        Some(None) => "- KEY: VALUE".to_owned(),
        None => format!("{words}:"),
    };
    format!("did you mean `{meant}`?")
}

/// Node of a JSON value, without a position.
pub(crate) fn of_json(value: &Value) -> Node {
    let kind = match value {
        Value::Null => NodeKind::Null,
        Value::Bool(value) => NodeKind::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => NodeKind::Int(value),
            None if number.is_f64() => float(number.as_f64().unwrap_or(f64::NAN)),
            None => whole(&number.to_string()),
        },
        Value::String(text) => NodeKind::Text(text.clone()),
        Value::Array(items) => NodeKind::List(items.iter().map(of_json).collect()),
        Value::Object(map) => match number::of_map(map) {
            Some(name @ ("NaN" | "Infinity" | "-Infinity")) => NodeKind::Typed { of: FLOAT, text: name.to_owned() },
            Some(digits) => whole(digits),
            None => {
                let entry = |(key, value): (&String, &Value)| Entry {
                    key: key.clone(),
                    key_span: Span::default(),
                    value: of_json(value),
                };
                NodeKind::Map(map.iter().map(entry).collect())
            }
        },
    };
    Node { span: Span::default(), kind }
}

/// Value of a floating-point number.
fn float(value: f64) -> NodeKind {
    let infinite = || NodeKind::Typed { of: FLOAT, text: number::name_of(value).to_owned() };
    Number::from_f64(value).map_or_else(infinite, NodeKind::Number)
}

/// Value of a whole number, from its decimal digits.
fn whole(digits: &str) -> NodeKind {
    let large = || Number::parse(digits).map_or_else(|| NodeKind::Text(digits.to_owned()), NodeKind::Number);
    digits.parse().map_or_else(|_| large(), NodeKind::Int)
}

/// Whether a number beyond 64 bits is a whole number, which Python reads without loss.
fn is_whole(number: &Number) -> bool {
    number.as_str().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Kind of a value, for messages.
pub(crate) fn kind_name(node: &Node) -> &'static str {
    match node.kind {
        NodeKind::Null => "nothing",
        NodeKind::Bool(_) => "true or false",
        NodeKind::Int(_) | NodeKind::Number(_) | NodeKind::Typed { of: FLOAT, .. } => "a number",
        NodeKind::Text(_) => "text",
        NodeKind::Typed { .. } => "a date",
        NodeKind::List(_) => "a list",
        NodeKind::Map(_) => "a map",
    }
}

/// The value in the form that dpp passes to a processor.
pub(crate) fn to_json(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Null => Value::Null,
        NodeKind::Bool(value) => Value::Bool(*value),
        NodeKind::Int(value) => Value::from(*value),
        NodeKind::Number(number) if is_whole(number) => number::value(number.as_str()),
        NodeKind::Number(number) => Value::from(number.to_f64()),
        NodeKind::Text(text) => Value::from(text.as_str()),
        NodeKind::Typed { of: FLOAT, text } => number::value(text),
        NodeKind::Typed { of, text } => json!({ *of: text }),
        NodeKind::List(items) => items.iter().map(to_json).collect(),
        NodeKind::Map(entries) => Value::Object(map_to_json(entries)),
    }
}

/// Entries of a map as JSON, in their order.
pub(crate) fn map_to_json(entries: &[Entry]) -> Map<String, Value> {
    entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value))).collect()
}

/// A scalar in the form of Python's `str`, as for environment variables. Nothing for lists and maps.
pub(crate) fn to_python_text(node: &Node) -> Option<String> {
    match &node.kind {
        NodeKind::Null => Some("None".to_owned()),
        NodeKind::Bool(value) => Some(if *value { "True" } else { "False" }.to_owned()),
        NodeKind::Int(value) => Some(value.to_string()),
        NodeKind::Number(number) if is_whole(number) => Some(number.to_string()),
        NodeKind::Number(number) => Some(float_text(number.to_f64())),
        NodeKind::Typed { of: FLOAT, text } => text.parse().ok().map(float_text),
        NodeKind::Text(text) | NodeKind::Typed { text, .. } => Some(text.clone()),
        NodeKind::List(_) | NodeKind::Map(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (String, String, String) {
        let [fault] = parse(text).unwrap_err().try_into().unwrap();
        (text.get(fault.at).unwrap_or_default().to_owned(), fault.message, fault.hint.unwrap_or_default())
    }

    #[test]
    fn missing_colon_is_reported_at_its_key() {
        let text = "dump:\n  pipeline:\n  - run: dump.to_sql\n    parameters:\n      tables:\n        gcs_list_files\n          resource-name: gcs\n";
        let (at, message, hint) = fault(text);
        assert_eq!((at.as_str(), hint.as_str()), ("gcs_list_files", "did you mean `gcs_list_files:`?"), "{message}");
        let text = "tables:\n  a:\n    resource-name: a\n  gcs_list_files\n  b:\n    resource-name: b\n";
        let (at, message, hint) = fault(text);
        assert_eq!((at.as_str(), hint.as_str()), ("gcs_list_files", "did you mean `gcs_list_files:`?"), "{message}");
    }

    #[test]
    fn missing_colon_in_item_is_reported_at_the_item() {
        let (at, _, hint) = fault("x:\n  pipeline:\n  - run noise\n    parameters: {a: 1}\n");
        assert_eq!((at.as_str(), hint.as_str()), ("- run noise", "did you mean `- run: noise`?"));
        let (at, _, hint) = fault("x:\n  pipeline:\n  - noise\n    parameters: {a: 1}\n");
        assert_eq!((at.as_str(), hint.as_str()), ("- noise", "did you mean `- KEY: VALUE`?"));
        let (_, message, _) = fault("x:\n  hooks:\n  - plain\n  title: a: b\n");
        assert_ne!(message, MISSING_COLON);
        let (at, ..) = fault("x:\n  pipeline\n  - run: noise\n");
        assert_eq!(at, "pipeline");
        let (at, ..) = fault("x\n  pipeline:\n  - run: noise\n");
        assert_eq!(at, "x");
    }

    #[test]
    fn aliases_and_merges_are_expanded() {
        let (node, duplicates) = parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\n").unwrap();
        assert_eq!(to_json(&node), json!({"a": {"x": 1, "y": 2}, "b": {"y": 3, "x": 1}, "c": {"x": 1, "y": 2}}));
        assert_eq!(duplicates, []);
    }

    #[test]
    fn bombs_are_refused() {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 0..8 {
            let (this, next) = (char::from(b'a' + level), char::from(b'b' + level));
            let aliases = vec![format!("*{this}"); 10].join(", ");
            text.push_str(&format!("{next}: &{next} [{aliases}]\n"));
        }
        assert!(fault(&text).1.contains("more than"), "{:?}", fault(&text));
        assert!(fault(&"[".repeat(1000)).1.contains("nested deeper"), "{:?}", fault(&"[".repeat(1000)));
        assert!(fault(&" ".repeat(LONGEST + 1)).1.contains("8 MiB"));
    }

    #[test]
    fn last_of_equal_keys_counts() {
        let (node, duplicates) = parse("a: 1\na: 2\n").unwrap();
        assert_eq!(to_json(&node), json!({"a": 2}));
        assert_eq!(duplicates.len(), 1);
        assert_eq!(duplicates[0].message, "the key `a` appears twice in one map");
    }

    #[test]
    fn numbers_and_dates_keep_their_forms() {
        let text = "[1.50, 1e+3, 123456789012345678901, .nan, -.inf, !!float 3, 2014-01-02, 1.5e+30, -0.0]";
        let (node, _) = parse(text).unwrap();
        let json = to_json(&node);
        let expected =
            r#"[1.5,"1e+3",123456789012345678901,NaN,-Infinity,3.0,{"type{date}":"2014-01-02"},1.5e+30,-0.0]"#;
        assert_eq!(python_json(&json), expected);
        assert_eq!(to_json(&of_json(&json)).to_string(), json.to_string());
        let texts: Vec<_> = node.as_list().unwrap().iter().map(|item| to_python_text(item).unwrap()).collect();
        let expected = "1.5 1e+3 123456789012345678901 nan -inf 3.0 2014-01-02 1.5e+30 -0.0";
        assert_eq!(texts.join(" "), expected);
    }
}
