//! Readable messages and hints for the parser's errors.

use super::options::Budget;
use super::typing_errors::{
    COLON_AFTER_KEY, RENDER, SPACE_AFTER_DASH, has_template_tag, item_without_space, key_without_colon,
    key_without_space, space_after_colon, space_after_dash,
};
use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Span};
use granit_parser::{ErrorKind, ScanError};

/// The diagnostic of a syntax error.
pub(super) fn syntax_error(error: &ScanError, text: &str, source: SourceId, budget: &Budget) -> Diagnostic {
    let at = error.marker().byte_offset().unwrap_or_default().min(text.len());
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let at = if is_about_tab(error.kind()) { tab_at(text, at).unwrap_or(at) } else { at };
    let line = line_around(text, at);
    let span =
        Span::new(source, at, at + text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8));
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        let message = format!("lists and maps are nested deeper than {} levels", budget.depth);
        return Diagnostic::error("budget", message).at(span).hint("split the text into smaller files, or flatten it");
    }
    if let Some((at, message, hint)) = typing_error(error.kind(), text, at) {
        return Diagnostic::error("yaml_syntax", message).at(Span::new(source, at, at + 1)).hint(hint);
    }
    let (message, hint) = explain(error.kind());
    let mut diagnostic = Diagnostic::error("yaml_syntax", message).at(span);
    if let Some(open) = opened_before(text, at) {
        diagnostic = diagnostic.at_with(Span::new(source, open, open + 1), "this is not closed in its line");
    }
    if has_template_tag(line) {
        return diagnostic.hint(RENDER);
    }
    if line.contains("${{") {
        return diagnostic.hint(
            "put the whole value in single quotes, as in `'${{ … }}'`: plain YAML text cannot contain `: `, ` #`, `{` or \
             `,`",
        );
    }
    if line.contains('\u{a0}') {
        return diagnostic
            .hint("this line contains a no-break space, which YAML does not treat as a space: write a space instead");
    }
    if line_indent(line).contains('\t') {
        return diagnostic.hint("indent with spaces: YAML does not allow tabs there");
    }
    diagnostic.hint(hint)
}

/// The typing error behind a parser's error: its place, a message and a hint.
fn typing_error(kind: &ErrorKind, text: &str, at: usize) -> Option<(usize, &'static str, String)> {
    if let Some((comma, before)) = comma_without_value(text, at) {
        let message = match before {
            ',' => "two commas without a value between them",
            _ => "a comma without a value before it",
        };
        return Some((comma, message, "remove the comma, or write the missing value".to_owned()));
    }
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?;
    let content = line.trim_start_matches(' ');
    let indent = line.len() - content.len();
    if let Some(item) = item_without_space(content) {
        let key = item.split_once(':').map(|(name, _)| name);
        let hint = key.map_or_else(|| SPACE_AFTER_DASH.to_owned(), space_after_dash);
        return Some((start + indent, "a space is missing after `-`", hint));
    }
    if matches!(kind, ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey) {
        return Some((line_without_colon(text, start)?, MISSING_COLON, COLON_AFTER_KEY.to_owned()));
    }
    if !matches!(kind, ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement) {
        return None;
    }
    let key = content.trim_start_matches("- ");
    let key_at = start + line.len() - key.len();
    let is_one_key = text.get(key_at..at).is_some_and(|key| key.len() > LONGEST_KEY && !key.contains(": "));
    if is_one_key {
        let hint = "shorten the key, or write `? ` before it, and its value on the next line after `: `";
        return Some((key_at, "a key of more than 1,024 characters", hint.to_owned()));
    }
    // A multi-line text started on the line before: a key without a space after its colon.
    let before = text.get(..start)?.trim_end();
    let before_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let key = before.get(before_start..)?.trim_start_matches([' ', '-']);
    if let Some(name) = key_without_space(key) {
        let colon = before.len() - key.len() + name.len();
        return Some((colon, "a space is missing after `:`", space_after_colon(name)));
    }
    let name = key_without_colon(before, line)?;
    Some((before.len() - key.len() + name.len(), MISSING_COLON, COLON_AFTER_KEY.to_owned()))
}

/// The message for a key without a colon. The diagnostic's place is the end of the key.
pub const MISSING_COLON: &str = "a `:` is missing after the key";

/// The end of the line without a colon. The parser often notices the error on the next line, whose start is given.
fn line_without_colon(text: &str, start: usize) -> Option<usize> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = text.get(start..)?.lines().next().unwrap_or_default();
    let before = text.get(..start)?.trim_end();
    let above = before.rsplit('\n').next()?;
    // An item of plain text is valid, unless keys follow that can belong only to it.
    let is_cause = |line: &str| {
        let words = line.trim();
        let is_plain = !words.is_empty() && !words.starts_with(['#', '"', '\'', '[', '{', '|', '>']);
        let is_key = is_plain && !words.contains(':') && !words.contains("${{") && !has_template_tag(words);
        is_key && (!words.starts_with('-') || indent(line) < indent(own))
    };
    match is_cause(own) {
        true => Some(start + own.trim_end().len()),
        false => is_cause(above).then_some(before.len()),
    }
}

/// The maximum length of a key on one line in YAML.
const LONGEST_KEY: usize = 1_024;

/// The comma at or before an offset that follows a comma or an opening bracket, and the character before it.
fn comma_without_value(text: &str, at: usize) -> Option<(usize, char)> {
    let rest = text.get(at..)?;
    let before = text.get(..at)?.trim_end();
    let comma = if rest.starts_with(',') { at } else { before.strip_suffix(',')?.len() };
    let before = text.get(..comma)?.trim_end().chars().next_back()?;
    matches!(before, ',' | '[' | '{').then_some((comma, before))
}

const fn is_about_tab(kind: &ErrorKind) -> bool {
    use ErrorKind as Kind;
    matches!(
        kind,
        Kind::TabNotAllowed
            | Kind::TabInBlockIndentation
            | Kind::TabInIndentation
            | Kind::TabAtBlockScalarStart
            | Kind::TabInPlainScalar
    )
}

/// The tab that caused the error. The parser often stops at the end of the preceding text, so the tab is in the
/// indentation of the parser's line or after it.
fn tab_at(text: &str, at: usize) -> Option<usize> {
    let begin = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let rest = text.get(begin..)?;
    let content = rest.trim_start_matches([' ', '\t']);
    let indent = rest.get(..rest.len() - content.len())?;
    match indent.find('\t') {
        Some(tab) => Some(begin + tab),
        None => text.get(at..)?.find('\t').map(|tab| at + tab),
    }
}

/// The line of an offset. At the start of a line or after the last one, the line before is included, because the parser
/// often notices an error one token late.
fn line_around(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let trimmed = before.trim_end();
    let start = trimmed.rfind('\n').map_or(0, |newline| newline + 1);
    let is_at_line_start = before.trim_end_matches([' ', '\t']).ends_with('\n') || before.is_empty();
    let start = if is_at_line_start { start } else { before.rfind('\n').map_or(0, |newline| newline + 1) };
    let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| at + newline);
    text.get(start..end).unwrap_or_default()
}

/// An opening bracket or quote on the line before that is not closed there. The parser notices this only later.
fn opened_before(text: &str, at: usize) -> Option<usize> {
    let this = text.get(..at)?.rfind('\n')?;
    let before = text.get(..this)?.trim_end();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.get(start..)?;
    let value = line.find(": ").map(|colon| colon + 2).or_else(|| line.find("- ").map(|dash| dash + 2))?;
    let rest = line.get(value..)?;
    let value = value + rest.len() - rest.trim_start().len();
    let mut chars = line.get(value..)?.chars();
    let (open, rest) = (chars.next()?, chars.as_str());
    let is_closed = match open {
        '[' => rest.matches(']').count() > rest.matches('[').count(),
        '{' => rest.matches('}').count() > rest.matches('{').count(),
        '"' | '\'' => rest.contains(open),
        _ => true,
    };
    (!is_closed).then_some(start + value)
}

fn line_indent(line: &str) -> &str {
    let last = line.rsplit('\n').next().unwrap_or_default();
    let content = last.trim_start();
    last.get(..last.len() - content.len()).unwrap_or_default()
}

const CLOSE_IT: &str = "close the bracket, or put text that holds brackets in quotes";
const QUOTE_COLON: &str = "put text that holds `: ` in quotes, or check the indentation of this line";
const CHECK_INDENTATION: &str =
    "check the indentation: the entries of one map, or the items of one list, begin in the same column";
const ESCAPES: &str = "use single quotes for text with backslashes, or write `\\\\` for one backslash";

fn is_printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A message and a hint for common kinds of errors; the parser's own message for the rest.
fn explain(kind: &ErrorKind) -> (String, &'static str) {
    use ErrorKind as Kind;
    let (message, hint) = match kind {
        kind if is_about_tab(kind) => ("a tab where YAML allows only spaces", "indent with spaces"),
        Kind::UnknownAnchor => (
            "this alias has no anchor",
            "define it earlier in the file as `&name`; put text that begins with `*` in quotes",
        ),
        Kind::MissingAnchorOrAliasName => {
            ("an anchor or alias without a name", "put text that begins with `&` or `*` in quotes")
        }
        Kind::UnclosedQuotedScalar | Kind::DocumentIndicatorInQuotedScalar => {
            ("a quoted text is not closed", "close the quote; inside single quotes write `''` for one quote")
        }
        Kind::InvalidTrailingSingleQuotedScalar | Kind::InvalidTrailingDoubleQuotedScalar => (
            "text after a closing quote",
            "put the whole value in quotes; inside single quotes write `''` for one quote",
        ),
        Kind::InvalidQuotedScalarIndent => (
            "a quoted text continues with too little indentation",
            "close the quote, or indent the lines that continue it",
        ),
        Kind::UnknownQuotedScalarEscape
        | Kind::InvalidQuotedScalarHexEscape
        | Kind::InvalidLowSurrogateHexEscape
        | Kind::InvalidLowSurrogate
        | Kind::MissingLowSurrogate
        | Kind::UnpairedLowSurrogate
        | Kind::InvalidUnicodeEscape => ("an invalid backslash sequence", ESCAPES),
        Kind::UnclosedFlowCollection { open } => {
            return (format!("the bracket `{open}` is not closed"), CLOSE_IT);
        }
        Kind::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("the bracket `{open}` is closed by `{close}`"), CLOSE_IT);
        }
        Kind::MisplacedFlowCollectionEnd => ("a closing bracket without an opening one", CLOSE_IT),
        Kind::UnexpectedEofFlowSequence => ("a list in `[…]` is not closed", CLOSE_IT),
        Kind::UnexpectedEofFlowMapping | Kind::UnexpectedEofImplicitFlowMapping => {
            ("a map in `{…}` is not closed", CLOSE_IT)
        }
        Kind::ExpectedFlowMappingSeparator => ("expected `,` or `}` here", CLOSE_IT),
        Kind::ExpectedFlowSequenceSeparator => ("expected `,` or `]` here", CLOSE_IT),
        Kind::MappingValueNotAllowed | Kind::InvalidColonPlacement => ("a `:` is not allowed here", QUOTE_COLON),
        Kind::MappingKeyNotAllowed => ("a key is not allowed here", CHECK_INDENTATION),
        Kind::SimpleKeyExpected | Kind::InvalidSimpleKey => {
            ("expected `key: value`", "add the `:` after the key, followed by a space; a key fits on one line")
        }
        Kind::ExpectedBlockMappingKey => ("expected a key of the map above", CHECK_INDENTATION),
        Kind::ExpectedBlockSequenceEntry => ("expected the next `- ` of the list above", CHECK_INDENTATION),
        Kind::InvalidIndentation | Kind::InvalidFlowScalarIndent | Kind::InvalidBlockScalarIndent => {
            ("this line is indented differently from its neighbours", CHECK_INDENTATION)
        }
        Kind::BlockSequenceEntryNotAllowed | Kind::BlockEntryInFlowCollection => {
            ("a `- ` is not allowed here", "start the list on a new line below its key")
        }
        Kind::UnexpectedCharacter { character } if !is_printable(*character) => {
            return (
                format!("the character `{}` is not allowed in YAML", character.escape_default()),
                "remove it, or write it as an escape in double quotes",
            );
        }
        Kind::UnexpectedCharacter { character } => {
            return (
                format!("the character `{}` cannot begin a value", character.escape_default()),
                "put text that begins with it in quotes",
            );
        }
        Kind::DirectiveDisallowed | Kind::UnsupportedYamlMajorVersion => {
            ("an unsupported YAML directive", "remove the line that begins with `%`")
        }
        Kind::UndeclaredTagHandle => {
            ("a tag whose handle was not declared", "remove the tag; put text that begins with `!` in quotes")
        }
        Kind::BomInsideDocument => ("a byte order mark in the middle of the text", "remove the invisible character"),
        Kind::InvalidDocumentEnd => ("text after the end of the document", "remove the `...`, or the text after it"),
        other => return (format!("this is not YAML: {other}"), "check quotes, brackets and indentation around here"),
    };
    (message.to_owned(), hint)
}
