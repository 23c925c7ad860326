//! Escapes text from outside, so that it cannot change the structure of a comment.
//!
//! Characters that could close a fence or a fold, mention a person, or imitate the hidden marker are written as in JSON (`\u0040`).
//! Readers understand this form, and addresses can be restored from it.

use std::fmt::Write;
use terrace_language::address::StackId;
use terrace_language::text::{cut, push_escape, visible};

/// A line within a fence.
pub(super) fn fenced(text: &str) -> String {
    inert(text, is_fence)
}

/// A text in a code span, cut to `width` characters before escaping.
pub(crate) fn code(text: &str, width: usize) -> String {
    let shown = visible(text);
    // A bar would end a table cell.
    let shown = inert(&cut(&shown, width), |text, position| {
        text.as_bytes().get(position).is_some_and(|byte| matches!(byte, b'`' | b'|'))
    });
    if shown.trim().is_empty() { "`\"\"`".to_owned() } else { format!("`{shown}`") }
}

/// A text as plain prose, cut to `width` characters before escaping.
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

/// A text within HTML, cut to `width` characters before escaping.
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

/// A text, cut to `width` characters, with some characters replaced.
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

/// The hidden line that identifies the comment of a stack, with its subject.
pub(super) fn marker(about: &str, stack: &StackId) -> String {
    let mut name = String::new();
    let text = stack.to_string();
    let mut previous = b' ';
    for byte in text.bytes() {
        let is_plain = match byte {
            // Two hyphens would end the comment, and a bare at sign would mention a person.
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

/// Longer names are cut in the marker, which only has to be stable.
const LONGEST_MARKER: usize = 240;

/// Escapes characters that are active anywhere, and those for which `is_special` returns true.
fn inert(text: &str, is_special: impl Fn(&str, usize) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for (position, character) in text.char_indices() {
        let rest = text.get(position + character.len_utf8()..).unwrap_or_default();
        let is_active = match character {
            '@' => is_mention(text.get(..position).unwrap_or_default(), rest),
            '<' => is_tag(rest),
            _ => false,
        };
        match is_active || is_special(text, position) {
            true => push_escape(&mut safe, character),
            false => safe.push(character),
        }
    }
    safe
}

/// True for an at sign that would mention a person or a team.
fn is_mention(before: &str, rest: &str) -> bool {
    let is_address =
        before.ends_with(char::is_alphanumeric) && !["\\n", "\\r", "\\t"].iter().any(|escape| before.ends_with(escape));
    !is_address && rest.starts_with(char::is_alphanumeric)
}

/// True for the beginning of a fold's tag or of a comment.
fn is_tag(rest: &str) -> bool {
    let name = rest.strip_prefix('/').unwrap_or(rest);
    let begins = |with: &str| name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    begins("details") || begins("summary") || rest.starts_with("!--")
}

/// True for a backtick or tilde in a run of at least three.
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
    fn fence_escapes_delimiters_and_mentions() {
        assert_eq!(fenced("a ```b`` </Details> <!-- x"), "a \\u0060\\u0060\\u0060b`` \\u003c/Details> \\u003c!-- x");
        assert_eq!(fenced("ask @someone or a@b.c"), "ask \\u0040someone or a@b.c");
        assert_eq!(fenced("1 < 2, <div>"), "1 < 2, <div>");
    }

    #[test]
    fn code_prose_and_html_are_escaped() {
        assert_eq!(code("a`b|c", 0), "`a\\u0060b\\u007cc`");
        assert_eq!(code("", 0), "`\"\"`");
        assert_eq!(prose("*a* <b> [x](y) #1", 0), "\\*a\\* &lt;b\\> \\[x\\](y) \\#1");
        assert_eq!(html("<b> & \"`\"", 0), "&lt;b&gt; &amp; &quot;&#96;&quot;");
    }

    #[test]
    fn marker_is_one_comment_for_any_stack_name() {
        assert_eq!(marker("plan", &StackId::new("a.b", "prod")), "<!-- terrace:plan:a.b@prod -->\n");
        assert_eq!(marker("plan", &StackId::new("a--> b", "p")), "<!-- terrace:plan:a-%2D%3E%20b@p -->\n");
    }
}
