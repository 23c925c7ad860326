//! Hostile texts in place of each text of a configuration.

use serde_json::Value as Json;

/// One variant of the configuration per text in it, with that text replaced, and its path (a JSON pointer).
#[must_use]
pub fn variants(config: &Json, text: &str) -> Vec<(String, Json)> {
    let mut found = Vec::new();
    add_texts(config, "", &mut found);
    let with = |path: String| {
        let mut config = config.clone();
        if let Some(place) = config.pointer_mut(&path) {
            *place = text.into();
        }
        (path, config)
    };
    found.into_iter().map(with).collect()
}

fn add_texts(value: &Json, at: &str, found: &mut Vec<String>) {
    match value {
        Json::String(_) => found.push(at.to_owned()),
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| add_texts(item, &format!("{at}/{index}"), found));
        }
        Json::Object(entries) => entries.iter().for_each(|(key, item)| add_texts(item, &format!("{at}/{key}"), found)),
        _ => {}
    }
}
