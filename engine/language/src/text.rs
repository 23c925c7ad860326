//! Makes text from outside safe to print: no character controls the terminal, is hidden, or exceeds the line.

pub mod value;

use std::borrow::Cow;
use std::fmt::Write;

/// On a narrower terminal lines are broken, because a cut line would show too little.
pub const NARROWEST: usize = 60;

/// The text with control, invisible and direction characters written as in JSON: `\n`, `\u001b`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        push_visible(&mut clean, character);
    }
    Cow::Owned(clean)
}

/// The text in quotes, with quotes, backslashes and such characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        push_visible(&mut quoted, character);
    }
    quoted.push('"');
    quoted
}

/// The escape of a character that must not be printed: `\u001b`; two escapes beyond the basic plane.
pub fn push_escape(into: &mut String, character: char) {
    let mut units = [0; 2];
    for unit in character.encode_utf16(&mut units) {
        // Writing to a string cannot fail.
        let _ = write!(into, "\\u{unit:04x}");
    }
}

fn push_visible(into: &mut String, character: char) {
    match character {
        '\n' => into.push_str("\\n"),
        '\r' => into.push_str("\\r"),
        '\t' => into.push_str("\\t"),
        hostile if is_hostile(hostile) => push_escape(into, hostile),
        plain => into.push(plain),
    }
}

/// True for control characters, and if [`is_invisible`].
fn is_hostile(character: char) -> bool {
    character.is_control() || is_invisible(character)
}

/// True for characters without a shape: separators of lines and paragraphs, marks of writing direction, and those that Unicode
/// allows a display to ignore (`Default_Ignorable_Code_Point`), with the Braille blank. The selectors U+FE0E and U+FE0F are
/// allowed, because they select the look of an emoji.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text with only invisible characters escaped. Colours and line breaks stay, and JSON keeps its meaning.
#[must_use]
pub fn with_visible(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_invisible(character) {
            true => push_escape(&mut clean, character),
            false => clean.push(character),
        }
    }
    Cow::Owned(clean)
}

/// The text cut to `width` characters, with `…` at the end of a cut; 0 for no limit.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if width == 0 || text.len() <= width || text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(width.saturating_sub(1)).chain(std::iter::once('…')).collect())
}

/// The same, and a cut within quotes keeps the closing quote: `name = "abc…"`.
pub fn cut_value(text: &str, width: usize) -> Cow<'_, str> {
    let short = cut(text, width);
    if short == text || width < 3 || is_quote_open(&short) == is_quote_open(text) {
        return short;
    }
    let mut shorter = cut(text, width.saturating_sub(1)).into_owned();
    if is_quote_open(&shorter) != is_quote_open(text) {
        shorter.push('"');
    }
    Cow::Owned(shorter)
}

/// True if the text ends within quotes.
fn is_quote_open(text: &str) -> bool {
    let (mut is_open, mut is_escaped) = (false, false);
    for character in text.chars() {
        is_open ^= character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
    }
    is_open
}

/// Two texts cut to share the room. The shorter one leaves its unused room to the other. If the cut texts would be equal, both
/// start shortly before their first difference.
pub fn cut_pair(before: &str, after: &str, room: usize) -> (String, String) {
    let lengths = (before.chars().count(), after.chars().count());
    let half = (room / 2).max(1);
    let of_before = if lengths.1 < half { room.saturating_sub(lengths.1) } else { half.min(lengths.0) };
    let of_after = room.saturating_sub(of_before.min(lengths.0)).max(1);
    let same = before.chars().zip(after.chars()).take_while(|(before, after)| before == after).count();
    if same + 1 < of_before.min(of_after) {
        return (cut_value(before, of_before).into_owned(), cut_value(after, of_after).into_owned());
    }
    let from = same.saturating_sub(half / 3).max(1);
    let rest = |text: &str| {
        let quote = text.chars().next().filter(|first| *first == '"');
        quote.into_iter().chain(['…']).chain(text.chars().skip(from)).collect::<String>()
    };
    (cut_value(&rest(before), half).into_owned(), cut_value(&rest(after), half).into_owned())
}

/// A line broken between words into lines of at most `width` characters; 0 for no limit. Continuation lines are indented by
/// `hanging`. Colours take no room.
pub fn flowed(line: &str, width: usize, hanging: usize) -> String {
    if width == 0 || shown_width(line) <= width {
        return line.to_owned();
    }
    let indent = line.len() - line.trim_start_matches(' ').len();
    let hanging = hanging.min(width / 2);
    let mut flowed = " ".repeat(indent);
    let (mut taken, mut gap, mut is_first) = (indent, 0, true);
    let mut words = line.trim_matches(' ').split(' ').peekable();
    while let Some(word) = words.next() {
        // Several spaces in a row align columns: they stay if there is room.
        if word.is_empty() {
            gap += 1;
            continue;
        }
        // A sign stays with its words: `! destroys data`.
        let is_sign = shown_width(word) == 1 && word.ends_with(['!', '#']);
        let next = words.next_if(|next| is_sign && !next.is_empty());
        let word = &next.map_or(Cow::Borrowed(word), |next| Cow::Owned(format!("{word} {next}")));
        let wide = shown_width(word);
        if is_first {
            taken += wide;
        } else if taken + gap + wide <= width || taken + gap <= hanging {
            // A line break would not move the word to the left.
            flowed.push_str(&" ".repeat(gap));
            taken += gap + wide;
        } else {
            flowed.push('\n');
            flowed.push_str(&" ".repeat(hanging));
            taken = hanging + wide;
        }
        flowed.push_str(word);
        (gap, is_first) = (1, false);
    }
    flowed
}

/// Stands for a blank where a line must not break. It has no other meaning: it is of the private use area.
pub const GLUE: char = '\u{e000}';

/// Lines with [`GLUE`] in their commands, which are in backticks, so that each stays on one line: the first line of a broken
/// `kubectl delete … -n shop` is another command.
#[must_use]
pub fn with_whole_commands(lines: &str) -> String {
    lines.split('\n').map(line_with_whole_commands).collect::<Vec<_>>().join("\n")
}

fn line_with_whole_commands(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    let glued = |(at, part): (usize, &&str)| {
        let is_closed = at + 1 < parts.len();
        // After a single backtick, the text between commands looks like one: it begins or ends with a blank.
        match at % 2 == 1 && is_closed && !part.starts_with(' ') && !part.ends_with(' ') {
            true => part.replace(' ', &GLUE.to_string()),
            false => (*part).to_owned(),
        }
    };
    parts.iter().enumerate().map(glued).collect::<Vec<_>>().join("`")
}

/// Harmless lines, broken between words if the terminal is narrower than a usual line; 0 for no limit.
#[must_use]
pub fn narrowed(lines: &str, width: usize, hanging: usize) -> String {
    let width = if width < NARROWEST { width } else { 0 };
    let line = |line: &str| match line.strip_suffix('\n') {
        Some(line) => flowed(line, width, hanging) + "\n",
        None => flowed(line, width, hanging),
    };
    lines.split_inclusive('\n').map(line).collect()
}

/// The number of visible characters of a text, without colours.
fn shown_width(text: &str) -> usize {
    let mut parts = text.split('\u{1b}');
    let before = parts.next().map_or(0, |part| part.chars().count());
    let after = parts.map(|part| part.split_once('m').map_or(0, |(_, shown)| shown.chars().count()));
    before + after.sum::<usize>()
}

/// A number with separators: `9,812`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with its noun, which is given in the plural: `1 column`, `12 columns`.
pub fn counted(number: usize, plural: &str) -> String {
    let word = if number == 1 { plural.strip_suffix('s').unwrap_or(plural) } else { plural };
    format!("{} {word}", thousands(number))
}

/// A word quoted for a shell.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:@,%+…".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Quotes names as arguments of a command. Many names are replaced by the placeholder: `ADDRESS…`.
#[must_use]
pub fn shell_words(names: &[String], placeholder: &str) -> String {
    const MANY: usize = 20;
    match names.len() > MANY {
        true => format!("{placeholder}…"),
        false => names.iter().map(|name| shell_word(name)).collect::<Vec<_>>().join(" "),
    }
}

/// The option for an environment, after a space. Also for the default environment, because `TERRACE_ENV` or the
/// descriptor of the reader may name a different environment.
#[must_use]
pub fn environment_option(name: &str) -> String {
    format!(" --env {}", shell_word(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_invisible_characters_are_escaped() {
        assert_eq!(visible("a\u{1b}[31mb\u{9b}c\r\n\td"), "a\\u001b[31mb\\u009bc\\r\\n\\td");
        assert_eq!(visible("left\u{202e}right\u{200b}\u{e0041}"), "left\\u202eright\\u200b\\udb40\\udc41");
        assert_eq!(visible("Zürich 東京 🚲"), "Zürich 東京 🚲");
        for hidden in ['\u{34f}', '\u{3164}', '\u{2800}', '\u{2066}', '\u{e0100}', '\u{1160}', '\u{fe01}'] {
            assert!(visible(&format!("a{hidden}b")).starts_with("a\\u"), "{hidden:?}");
        }
        assert_eq!(with_visible("\u{1b}[1mz\u{202e}a\u{1b}[0m\n⚠\u{fe0f}"), "\u{1b}[1mz\\u202ea\u{1b}[0m\n⚠\u{fe0f}");
        assert_eq!(quoted("say \"hi\" \\ \u{7}"), "\"say \\\"hi\\\" \\\\ \\u0007\"");
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(cut("größer", 6), "größer");
        assert_eq!(cut("größere", 6), "größe…");
        assert_eq!(cut("größere", 0), "größere");
    }

    #[test]
    fn cut_value_keeps_its_closing_quote() {
        assert_eq!(cut_value("a = \"größere\"", 10), "a = \"grö…\"");
        assert_eq!(cut_value("a = \"größere\"", 13), "a = \"größere\"");
        // The sign of a cut has as many bytes as the letters that it stands for.
        assert_eq!(cut_value("\"abcdef\"", 6), "\"abc…\"");
        assert_eq!(cut_value("[\"a\", \"b\", \"c\"]", 11), "[\"a\", \"b\",…");
        assert_eq!(cut_value("\"say \\\"hi\\\" to her\"", 10), "\"say \\\"h…\"");
        assert_eq!(cut_value("wide\"", 4), "wi…\"");
        assert_eq!(cut_value("no quotes", 4), "no …");
    }

    #[test]
    fn line_breaks_between_words_and_colours_take_no_room() {
        assert_eq!(flowed("  a  word or two", 10, 4), "  a  word\n    or two");
        assert_eq!(flowed("  a  word or two", 16, 4), "  a  word or two");
        assert_eq!(flowed("a word-that-is-too-long b", 8, 2), "a word-that-is-too-long\n  b");
        assert_eq!(
            flowed("\u{1b}[1mbold\u{1b}[0m \u{1b}[2mfaint\u{1b}[0m", 10, 2),
            "\u{1b}[1mbold\u{1b}[0m \u{1b}[2mfaint\u{1b}[0m"
        );
        assert_eq!(flowed("a word", 0, 2), "a word");
        assert_eq!(flowed("  + word-that-is-too-long b", 8, 4), "  + word-that-is-too-long\n    b");
        assert_eq!(flowed("a table   ! destroys data", 18, 2), "a table\n  ! destroys data");
    }

    #[test]
    fn commands_stay_on_one_line() {
        let shown = |text: &str, width| {
            let whole = with_whole_commands(text);
            whole.split('\n').map(|line| flowed(line, width, 2)).collect::<Vec<_>>().join("\n").replace(GLUE, " ")
        };
        assert_eq!(
            shown("remove it: `kubectl delete pod a -n shop`", 24),
            "remove it:\n  `kubectl delete pod a -n shop`"
        );
        assert_eq!(shown("`a b` or `c d`", 9), "`a b` or\n  `c d`");
        // A single backtick makes nothing of the rest whole.
        assert_eq!(shown("a ` b c d", 6), "a ` b\n  c d");
        assert_eq!(shown("it`s `a b` or c d\nand `e f`", 12), "it`s `a b`\n  or c d\nand `e f`");
    }

    #[test]
    fn lines_break_on_narrow_terminals_only() {
        let lines = "ok    state: is there\n      and right\n";
        assert_eq!(narrowed(lines, 16, 6), "ok    state: is\n      there\n      and right\n");
        assert_eq!(narrowed(lines, 0, 6), lines);
        let long = "word ".repeat(20);
        assert_eq!(narrowed(&long, NARROWEST, 6), long);
    }

    #[test]
    fn cut_pair_keeps_part_of_both_texts() {
        let pair = |before, after, room| {
            let (before, after) = cut_pair(before, after, room);
            assert!(before.chars().count() + after.chars().count() <= room, "{before} {after}");
            format!("{before} {after}")
        };
        assert_eq!(pair("abcdefghijkl", "mnopqrstuvwx", 12), "abcde… mnopq…");
        assert_eq!(pair("ab", "mnopqrstuvwx", 12), "ab mnopqrstu…");
        assert_eq!(pair("abcdefghijkl", "mn", 12), "abcdefghi… mn");
        assert_eq!(pair("same same same a", "same same same b", 24), "…ame a …ame b");
        assert_eq!(pair("same same same abcdefgh", "same same same b", 24), "…ame abcdef… …ame b");
        assert_eq!(pair("\"abcdefghijkl\"", "\"mnopqrstuvwx\"", 16), "\"abcde…\" \"mnopq…\"");
        assert_eq!(pair("\"same same same a\"", "\"same same same b\"", 26), "\"…ame a\" \"…ame b\"");
    }

    #[test]
    fn numbers_are_grouped_and_nouns_inflected() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(9812), "9,812");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(counted(1, "columns"), "1 column");
        assert_eq!(counted(12, "columns"), "12 columns");
    }
}
