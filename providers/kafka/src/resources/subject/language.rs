//! Schema languages: validates texts and compares them.

use serde_json::Value as Json;

/// The languages of registries.
pub(super) const KINDS: [&str; 3] = ["AVRO", "JSON", "PROTOBUF"];

/// Checks a schema text as far as possible without a registry.
///
/// # Errors
/// The reason why the text is not a schema.
pub(super) fn check_text(kind: &str, text: &str) -> Result<(), String> {
    match kind {
        "PROTOBUF" if text.trim().is_empty() => Err("it is empty".to_owned()),
        "PROTOBUF" => Ok(()),
        _ => match serde_json::from_str::<Json>(text) {
            Ok(_) => Ok(()),
            // In Avro, the name of a type alone is a schema.
            Err(_) if kind == "AVRO" && is_name(text.trim()) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._".contains(letter))
}

/// Returns true if both texts are the same schema. White space, comments and the order of keys are irrelevant.
pub(super) fn is_equivalent(kind: &str, one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match kind {
        "PROTOBUF" => tokens(one) == tokens(other),
        _ => match (serde_json::from_str::<Json>(one), serde_json::from_str::<Json>(other)) {
            (Ok(one), Ok(other)) => one == other,
            (Err(_), Err(_)) => one.trim() == other.trim(),
            // The name of a type with and without quotes.
            (Ok(Json::String(name)), Err(_)) => name == other.trim(),
            (Err(_), Ok(Json::String(name))) => name == one.trim(),
            _ => false,
        },
    }
}

/// Splits a Protocol Buffers text into words and signs, without comments.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter.is_whitespace() => {}
            '/' if letters.peek() == Some(&'/') => while letters.next().is_some_and(|letter| letter != '\n') {},
            '/' if letters.peek() == Some(&'*') => {
                let mut before = ' ';
                letters.next();
                for letter in letters.by_ref() {
                    if (before, letter) == ('*', '/') {
                        break;
                    }
                    before = letter;
                }
            }
            '"' | '\'' => {
                let mut token = String::from(letter);
                let mut is_escaped = false;
                for inner in letters.by_ref() {
                    token.push(inner);
                    if inner == letter && !is_escaped {
                        break;
                    }
                    is_escaped = inner == '\\' && !is_escaped;
                }
                tokens.push(token);
            }
            _ if is_word(letter) => {
                let mut token = String::from(letter);
                while let Some(next) = letters.next_if(|next| is_word(*next)) {
                    token.push(next);
                }
                tokens.push(token);
            }
            sign => tokens.push(sign.to_string()),
        }
    }
    tokens
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || "._-+".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_key_order_are_ignored() {
        let avro = r#"{"type": "record", "name": "A", "fields": [{"name": "x", "type": "int"}]}"#;
        let written = r#"{"name":"A","type":"record","fields":[{"type":"int","name":"x"}]}"#;
        assert!(is_equivalent("AVRO", avro, written));
        assert!(!is_equivalent("AVRO", avro, &written.replace("int", "long")));
        assert!(is_equivalent("AVRO", "string", "\"string\""));
        let proto = "syntax = \"proto3\"; // a comment\nmessage A { int32 x = 1; /* b */ }";
        let other = "syntax=\"proto3\";\n\nmessage A {\n  int32 x = 1;\n}\n";
        assert!(is_equivalent("PROTOBUF", proto, other));
        assert!(!is_equivalent("PROTOBUF", proto, &other.replace("int32 x", "int64 x")));
        assert!(!is_equivalent("PROTOBUF", "a = \"x  y\"", "a = \"x y\""));
    }

    #[test]
    fn invalid_schema_text_is_refused() {
        assert!(check_text("JSON", "{").is_err() && check_text("AVRO", "{]").is_err());
        assert!(check_text("AVRO", "string").is_ok() && check_text("PROTOBUF", "  ").is_err());
    }
}
