//! YAML for programs of both of its versions: each text is in double quotes, so `on` and `1e3` stay texts.

use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Words that YAML 1.1 reads as a boolean or null.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];

/// A map as YAML, with a key on each line, in the order of the keys.
pub(super) fn text(value: &Json) -> String {
    let mut text = String::new();
    write(&mut text, value, 0);
    text
}

/// Returns true for a value that stands on the line of its key.
fn is_short(value: &Json) -> bool {
    match value {
        Json::Object(map) => map.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => true,
    }
}

fn key(name: &str) -> String {
    let is_plain = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !WORDS.contains(&name.to_ascii_lowercase().as_str());
    if is_plain { name.to_owned() } else { Json::from(name).to_string() }
}

fn write(text: &mut String, value: &Json, indent: usize) {
    let margin = " ".repeat(indent);
    match value {
        Json::Object(map) if !map.is_empty() => {
            // Maps of `serde_json` have another order in some builds.
            let sorted: BTreeMap<&String, &Json> = map.iter().collect();
            for (name, value) in sorted {
                text.push_str(&format!("{margin}{}:", key(name)));
                write_value(text, value, indent + 2);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                if is_short(item) {
                    text.push_str(&format!("{margin}- {item}\n"));
                } else {
                    // The first line of the item follows the dash.
                    let mut nested = String::new();
                    write(&mut nested, item, indent + 2);
                    text.push_str(&format!("{margin}- {}", nested.trim_start_matches(' ')));
                }
            }
        }
        scalar => text.push_str(&format!("{margin}{scalar}\n")),
    }
}

fn write_value(text: &mut String, value: &Json, indent: usize) {
    if is_short(value) {
        text.push_str(&format!(" {value}\n"));
    } else {
        text.push('\n');
        write(text, value, indent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_the_same_in_both_versions_of_yaml() {
        let values = json!({
            "job": {"on": "yes", "A_B": "1e3", "a.b": [], "steps": [{"name": "a", "arguments": ["x: y", "#\n"]}, ["b"], {}]},
            "retries": 2, "flag": false,
        });
        let text = text(&values);
        assert_eq!(
            text,
            "flag: false\njob:\n  A_B: \"1e3\"\n  \"a.b\": []\n  \"on\": \"yes\"\n  steps:\n    - arguments:\n        - \"x: y\"\n        \
             - \"#\\n\"\n      name: \"a\"\n    - - \"b\"\n    - {}\nretries: 2\n"
        );
        let node = terrace_engine::yaml::parse(Default::default(), &text, &Default::default()).unwrap();
        assert_eq!(node.to_json(), values);
    }
}
