//! Typing errors in YAML that often parse as a wrong value: a missing space after `-` or `:`, a character that only
//! looks like a space, a template that was not rendered.

use super::{Node, NodeKind};

/// How to write a list.
pub const WRITE_LIST: &str = "a list is written with `- ` before each item, or in `[…]`";
/// How to write a map.
pub const WRITE_MAP: &str = "write `name: value` for each entry, or `{name: value}`";

/// The hint for an unknown key that a typing error caused.
#[must_use]
pub fn typing_hint_for_key<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if let Some(item) = item_without_space(key) {
        return Some(space_after_dash(item));
    }
    let (name, value) = key.split_once(':')?;
    let is_known = !value.is_empty() && known.into_iter().any(|known| known == name);
    is_known.then(|| space_after_colon(name))
}

/// The hint for a value of the wrong type: a typing error, or how to write a list or a map.
#[must_use]
pub fn typing_hint_for_value(node: &Node, expected: &str) -> Option<String> {
    let how_to_write = match expected {
        "a list" => Some(WRITE_LIST.to_owned()),
        "a map" => Some(WRITE_MAP.to_owned()),
        _ => None,
    };
    typing_error(node, expected).or(how_to_write)
}

fn typing_error(node: &Node, expected: &str) -> Option<String> {
    match &node.kind {
        NodeKind::Map(entries) if expected.contains("a list") => {
            entries.iter().find_map(|entry| item_without_space(&entry.key)).map(space_after_dash)
        }
        NodeKind::Text(text) if expected.contains("a list") => {
            item_without_space(text).map(|_| SPACE_AFTER_DASH.to_owned())
        }
        NodeKind::Text(text) if expected.contains("a map") => key_without_space(text).map(space_after_colon),
        _ => None,
    }
}

/// The item in `-item`.
pub(super) fn item_without_space(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('-')?;
    rest.starts_with(|first: char| first.is_alphabetic() || matches!(first, '{' | '[' | '"' | '\'')).then_some(rest)
}

/// The name in `name:value`, which YAML reads as text. A URL is not a typing error.
pub(super) fn key_without_space(text: &str) -> Option<&str> {
    let (name, value) = text.split_once(':')?;
    let is_name = name.starts_with(char::is_alphabetic)
        && name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.'));
    let is_value = !value.is_empty() && !value.starts_with([' ', '/', ':', '\\']);
    (is_name && is_value).then_some(name)
}

/// The first word of the last line, if that line has the place of a map entry and the next line is a map entry. A text of
/// several lines begins after a key with a colon.
pub(super) fn key_without_colon<'t>(before: &'t str, next: &str) -> Option<&'t str> {
    let content = |line: &'t str| line.trim_start_matches([' ', '-']);
    let column = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let is_key = |name: &str| {
        name.starts_with(char::is_alphabetic)
            && name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.'))
    };
    let (above, last) = before.rsplit_once('\n').unwrap_or(("", before));
    let name = content(last).split(' ').next()?;
    let next_key = next.trim_start_matches([' ', '-']).split(':').next()?;
    // A single word may be the key of the entries below it, or the first key of an item.
    let is_item = last.trim_start().starts_with("- ");
    let is_beside = is_item && column(next) == column(last);
    let is_entry = content(last).contains(' ') || column(next) > column(last) || is_beside;
    let is_below_key = match above.trim_end().rsplit('\n').next().unwrap_or_default() {
        "" => true,
        above if above.ends_with(':') => column(above) < column(last),
        above => column(above) == column(last) && above.contains(": "),
    };
    (is_key(name) && is_key(next_key) && is_entry && is_below_key && !content(last).contains(": ")).then_some(name)
}

/// The hint for an item.
pub(super) const SPACE_AFTER_DASH: &str = "put a space after `-`";

/// The hint for an item that begins with a key. It omits the value, which may be secret.
pub(super) fn space_after_dash(name: &str) -> String {
    let is_key = name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.'));
    match is_key && name.len() < LONGEST_SHOWN {
        true => format!("{SPACE_AFTER_DASH}: `- {name}: …`"),
        false => SPACE_AFTER_DASH.to_owned(),
    }
}

/// The hint for a key without a colon. It omits the text, which may be secret.
pub(super) const COLON_AFTER_KEY: &str = "put `: ` after the key; write a text of several lines after `|`";

pub(super) fn space_after_colon(name: &str) -> String {
    match name.len() < LONGEST_SHOWN {
        true => format!("put a space after `:`: `{name}: …`"),
        false => "put a space after `:`".to_owned(),
    }
}

/// Maximum length of a name in a hint, in bytes.
const LONGEST_SHOWN: usize = 60;

/// True for an invisible character that YAML treats as text.
pub(super) fn is_unusual_space(char: char) -> bool {
    !char.is_ascii() && (char.is_whitespace() || matches!(char, '\u{200b}' | '\u{2060}' | '\u{feff}'))
}

/// The description of such a character.
pub(super) fn describe_unusual_space(char: char) -> String {
    match char {
        '\u{a0}' | '\u{202f}' => "a no-break space".to_owned(),
        char => format!("the invisible character U+{:04X}", u32::from(char)),
    }
}

/// True for a line with the tags of a template.
pub(super) fn has_template_tag(line: &str) -> bool {
    line.contains("{%") || line.contains("{#")
}

/// The hint for a template.
pub const RENDER: &str = "this is a template: render it, and pass the result";
