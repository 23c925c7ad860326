//! Texts from outside within a comment: whatever they hold, they stay where they are put.
//!
//! What could close a fence or a fold, call a person, or pass for the hidden marker is written out the way JSON does
//! (`\u0040`), which a reader understands and an address can be read back from.

use crate::address::StackId;
use crate::render::text::{cut, push_escape, visible};
use std::fmt::Write;

/// A line of a fence.
pub(super) fn fenced(text: &str) -> String {
    inert(text, is_fence)
}

/// A text in a code span, cut to that many characters before escaping.
pub(super) fn code(text: &str, width: usize) -> String {
    let shown = visible(text);
    // A bar would end the cell of a table.
    let shown = inert(&cut(&shown, width), |text, position| {
        text.as_bytes().get(position).is_some_and(|byte| matches!(byte, b'`' | b'|'))
    });
    if shown.trim().is_empty() { "`\"\"`".to_owned() } else { format!("`{shown}`") }
}

/// A text as plain prose, cut to that many characters before escaping.
pub(super) fn prose(text: &str, width: usize) -> String {
    escaped(text, width, |character| match character {
        '<' => Some("&lt;"),
        '&' => Some("&amp;"),
        '\\' => Some(r"\\"),
        '`' => Some(r"\`"),
        '*' => Some(r"\*"),
        '_' => Some(r"\_"),
        '[' => Some(r"\["),
        ']' => Some(r"\]"),
        '#' => Some(r"\#"),
        '|' => Some(r"\|"),
        '~' => Some(r"\~"),
        '!' => Some(r"\!"),
        '>' => Some(r"\>"),
        _ => None,
    })
}

/// A text within HTML, cut to that many characters before escaping.
pub(super) fn html(text: &str, width: usize) -> String {
    escaped(text, width, |character| match character {
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '&' => Some("&amp;"),
        '"' => Some("&quot;"),
        '`' => Some("&#96;"),
        _ => None,
    })
}

/// A text, cut to that many characters, in which some are written as something else.
fn escaped(text: &str, width: usize, escape: impl Fn(char) -> Option<&'static str>) -> String {
    let shown = visible(text);
    let shown = inert(&cut(&shown, width), |_, _| false);
    let mut escaped = String::with_capacity(shown.len() + 8);
    for character in shown.chars() {
        match escape(character) {
            Some(written) => escaped.push_str(written),
            None => escaped.push(character),
        }
    }
    escaped
}

/// The hidden line by which the comment of a stack is found again: what it is about, and the stack.
pub(super) fn marker(about: &str, stack: &StackId) -> String {
    let mut name = String::new();
    let text = stack.to_string();
    let mut previous = b' ';
    for byte in text.bytes() {
        let is_plain = match byte {
            // Two hyphens would end the comment, a bare at sign would call a person.
            b'-' => previous != b'-',
            b'@' => previous.is_ascii_alphanumeric(),
            _ => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b':'),
        };
        match is_plain {
            true => name.push(char::from(byte)),
            false => {
                // Writing to a string cannot fail.
                let _ = write!(name, "%{byte:02X}");
            }
        }
        previous = if is_plain { byte } else { b' ' };
    }
    format!("<!-- terrace:{about}:{} -->\n", name.chars().take(LONGEST_MARKER).collect::<String>())
}

/// Longer names are cut in the marker: it only has to be the same the next time.
const LONGEST_MARKER: usize = 240;

/// Writes out what could be obeyed in any place, and what `is_special` says of this one.
fn inert(text: &str, is_special: impl Fn(&str, usize) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for (position, character) in text.char_indices() {
        let rest = text.get(position + character.len_utf8()..).unwrap_or_default();
        let is_obeyed = match character {
            '@' => is_mention(text.get(..position).unwrap_or_default(), rest),
            '<' => is_tag(rest),
            _ => false,
        };
        match is_obeyed || is_special(text, position) {
            true => push_escape(&mut safe, character),
            false => safe.push(character),
        }
    }
    safe
}

/// True for an at sign that would call a person or a team.
fn is_mention(before: &str, rest: &str) -> bool {
    let is_address =
        before.ends_with(char::is_alphanumeric) && !["\\n", "\\r", "\\t"].iter().any(|it| before.ends_with(it));
    !is_address && rest.starts_with(char::is_alphanumeric)
}

/// True for the beginning of what folds are made of, or of a comment.
fn is_tag(rest: &str) -> bool {
    let name = rest.strip_prefix('/').unwrap_or(rest);
    let begins = |with: &str| name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    begins("details") || begins("summary") || rest.starts_with("!--")
}

/// True for a backtick or tilde that stands with two others.
fn is_fence(text: &str, position: usize) -> bool {
    let bytes = text.as_bytes();
    let Some(mark @ (b'`' | b'~')) = bytes.get(position).copied() else { return false };
    let after = bytes.iter().skip(position).take_while(|byte| **byte == mark).count();
    let before = bytes.iter().take(position).rev().take_while(|byte| **byte == mark).count();
    before + after >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_a_fence() {
        assert_eq!(fenced("a ```b`` </Details> <!-- x"), "a \\u0060\\u0060\\u0060b`` \\u003c/Details> \\u003c!-- x");
        assert_eq!(fenced("ask @someone or a@b.c"), "ask \\u0040someone or a@b.c");
        assert_eq!(fenced("1 < 2, <div>"), "1 < 2, <div>");
    }

    #[test]
    fn code_prose_and_html_keep_to_their_place() {
        assert_eq!(code("a`b|c", 0), "`a\\u0060b\\u007cc`");
        assert_eq!(code("", 0), "`\"\"`");
        assert_eq!(prose("*a* <b> [x](y) #1", 0), "\\*a\\* &lt;b\\> \\[x\\](y) \\#1");
        assert_eq!(html("<b> & \"`\"", 0), "&lt;b&gt; &amp; &quot;&#96;&quot;");
    }

    #[test]
    fn a_marker_is_one_comment_whatever_the_stack_is_called() {
        assert_eq!(marker("plan", &StackId::new("a.b", "prod")), "<!-- terrace:plan:a.b@prod -->\n");
        assert_eq!(marker("plan", &StackId::new("a--> b", "p")), "<!-- terrace:plan:a-%2D%3E%20b@p -->\n");
    }
}
