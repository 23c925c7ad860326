//! Expected results of blueprint tests: the resources of a component as a tree that users can read and write.

use super::case::Case;
use crate::decode::wrong_type;
use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Span};
use crate::yaml::{self, Budget, Entry};
use serde_json::{Map as JsonMap, Value as Json};
use terrace_provider::value::OtherFormat;

/// The expected result of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The tree.
    pub tree: Json,
    /// The place of its key.
    pub key_span: Span,
}

impl Expected {
    /// Reads `expect`.
    pub(super) fn read(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) -> Option<Self> {
        if entry.value.as_map().is_none() {
            let hint = "remove `expect` and let `terrace blueprints test --accept` write it";
            diagnostics.push(wrong_type("`expect`", "a map", &entry.value).hint(hint));
            return None;
        }
        Some(Self { tree: entry.value.to_json(), key_span: entry.key_span })
    }
}

/// Prints a tree as YAML.
#[must_use]
pub fn yaml(tree: &Json) -> String {
    if tree.as_object().is_some_and(JsonMap::is_empty) {
        return "{}\n".to_owned();
    }
    // The layout of `terrace fmt`.
    let options = serde_saphyr::ser_options! { compact_list_indent: false, folded_wrap_chars: 100 };
    let text = serde_saphyr::to_string_with_options(&OtherFormat(tree), options).unwrap_or_default();
    let tidied: String = text.lines().map(|line| tidied(line) + "\n").collect();
    // Tidying must not change multi-line texts.
    let is_same =
        yaml::parse(SourceId::default(), &tidied, &Budget::default()).is_ok_and(|node| node.to_json() == *tree);
    if is_same { tidied } else { text }
}

/// Trims a line, and puts a key that contains double quotes into single quotes: addresses are such keys.
fn tidied(line: &str) -> String {
    let line = line.trim_end();
    let key = line.trim_start();
    let escaped = key.strip_prefix('"').and_then(|rest| rest.strip_suffix("\":")).filter(|key| key.contains("\\\""));
    let plain = escaped.map(|key| key.replace("\\\"", "\"")).filter(|key| !key.contains(['\\', '\'']));
    let indent = line.get(..line.len() - key.len()).unwrap_or_default();
    plain.map_or_else(|| line.to_owned(), |key| format!("{indent}'{key}':"))
}

/// Sorts the expected keys like those of the outcome, so that the texts can be compared.
#[must_use]
pub fn aligned(expected: &Json, outcome: &Json) -> Json {
    match (expected, outcome) {
        (Json::Object(expected), Json::Object(outcome)) => {
            let common = outcome.iter().filter_map(|(key, value)| Some((key, aligned(expected.get(key)?, value))));
            let rest = expected.iter().filter(|(key, _)| !outcome.contains_key(*key));
            let rest = rest.map(|(key, value)| (key, value.clone()));
            Json::Object(common.chain(rest).map(|(key, value)| (key.clone(), value)).collect())
        }
        (Json::Array(expected), Json::Array(outcome)) => {
            let item = |(position, item): (usize, &Json)| {
                outcome.get(position).map_or_else(|| item.clone(), |outcome| aligned(item, outcome))
            };
            expected.iter().enumerate().map(item).collect()
        }
        (other, _) => other.clone(),
    }
}

/// Returns the text of a test file with the outcomes as expectations. The rest stays unchanged.
#[must_use]
pub fn accepted(text: &str, outcomes: &[(&Case, &Json)]) -> String {
    let mut text = text.to_owned();
    // From the end, so that the places of earlier cases stay valid.
    for (case, outcome) in outcomes.iter().rev() {
        let key_start = case.expected.as_ref().map(|expected| expected.key_span.start);
        let begin = key_start.unwrap_or(case.span.start) as usize;
        let line = text.get(..begin).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let column = begin - line;
        // The block of a key is indented deeper than the key; the fields of the case as deep as its first key.
        let end = end_of_block(&text, begin, if key_start.is_some() { column + 1 } else { column });
        let indent = " ".repeat(column);
        let tree = yaml(outcome);
        let lines =
            tree.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{indent}  {line}\n") });
        let block = match tree.as_str() {
            "{}\n" => "expect: {}\n".to_owned(),
            _ => std::iter::once("expect:\n".to_owned()).chain(lines).collect(),
        };
        match key_start {
            Some(_) => text.replace_range(begin..end, &block),
            None => {
                let is_open = text.get(..end).is_some_and(|before| !before.ends_with('\n'));
                let line = if is_open { "\n" } else { "" };
                text.insert_str(end, &format!("{line}{indent}{block}"));
            }
        }
    }
    text
}

/// The end of the block of lines with at least that indentation, from the line of `begin` on. Empty lines between
/// belong to the block.
fn end_of_block(text: &str, begin: usize, depth: usize) -> usize {
    let rest = text.get(begin..).unwrap_or_default();
    let (mut end, mut at) = (0, 0);
    for (number, line) in rest.split_inclusive('\n').enumerate() {
        at += line.len();
        let content = line.trim_start_matches(' ');
        let is_empty = content.trim().is_empty();
        if number > 0 && !is_empty && line.len() - content.len() < depth {
            break;
        }
        if !is_empty {
            end = at;
        }
    }
    begin + end
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn written_yaml_is_tidy_and_round_trips() {
        let tree =
            json!({"a.b[\"K\"]": {"text": "one\n\ntwo\n", "spaces": "one\n  \ntwo\n", "it's \"": "x \n"}, "n": []});
        let text = yaml(&tree);
        let again = yaml::parse(SourceId::default(), &text, &Budget::default()).unwrap();
        assert_eq!(again.to_json(), tree, "{text}");
        assert!(yaml(&json!({"a.b[\"K\"]": {"t": "1\n\n2\n"}})).starts_with("'a.b[\"K\"]':\n  t: |\n    1\n\n    2\n"));
    }

    #[test]
    fn key_order_follows_the_outcome() {
        let aligned =
            aligned(&json!({"b": [{"y": 1, "x": 2}], "z": 0, "a": 1}), &json!({"a": 2, "b": [{"x": 0, "y": 0}]}));
        assert_eq!(aligned.to_string(), r#"{"a":1,"b":[{"x":2,"y":1}],"z":0}"#);
    }

    #[test]
    fn block_ends_at_less_indented_line() {
        let text = "- a: 1\n  b:\n    c: 1\n\n    d: 2\n\n  e: 3\n- a: 2\n";
        let begin = text.find('b').unwrap();
        assert_eq!(&text[begin..end_of_block(text, begin, 3)], "b:\n    c: 1\n\n    d: 2\n");
        assert_eq!(&text[2..end_of_block(text, 2, 2)], "a: 1\n  b:\n    c: 1\n\n    d: 2\n\n  e: 3\n");
    }
}
