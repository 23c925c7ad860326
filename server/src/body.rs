//! Parses a JSON body. Errors name the field in the caller's terms, and never repeat values, which may be secret.

use crate::object::Object;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// Why a body cannot be read: the found and the expected form.
#[derive(Debug, PartialEq, Eq)]
pub struct BodyError {
    /// The problem.
    pub problem: String,
    /// The path of the wrong or missing field, if the error concerns one.
    pub field: Option<String>,
}

/// Whether the content type is JSON. A page of another site can send other types without a preflight request.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|content_type| content_type.to_str().ok()).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The body without a byte order mark, which some programs send (RFC 8259, 8.1).
pub(crate) fn strip_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// Reads a body that is an object.
///
/// # Errors
/// When the body is not an object of that type.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    let bytes = strip_bom(bytes);
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let Object(read) = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path = error.path().to_string();
        parse_error(bytes, &path, error.inner())
    })?;
    from.end().map_err(|error| parse_error(bytes, ROOT, &error))?;
    Ok(read)
}

/// The longest part of an unknown field's name in an error.
const LONGEST_NAME: usize = 100;

/// The first bytes of gzip data (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The path of the whole body.
const ROOT: &str = ".";

fn parse_error(bytes: &[u8], path: &str, error: &serde_json::Error) -> BodyError {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let whole = |problem| BodyError { problem, field: None };
    match error.classify() {
        _ if bytes.trim_ascii().is_empty() => whole("the body is empty: expected JSON".to_owned()),
        _ if bytes.starts_with(&GZIP) => whole("the body is compressed: send it uncompressed".to_owned()),
        _ if std::str::from_utf8(bytes).is_err() => whole("the body is not UTF-8".to_owned()),
        Category::Data => field_error(path, text),
        Category::Io | Category::Syntax | Category::Eof => {
            let (line, column) = (error.line(), error.column());
            whole(format!("the body is not JSON: {}, at line {line}, column {column}", syntax_text(text)))
        }
    }
}

/// The problem with a body that is not JSON.
fn syntax_text(text: &str) -> &str {
    match text {
        _ if text.starts_with("EOF") => "it ends too early",
        "expected value" => {
            "expected a value: text in double quotes, a number, `true`, `false`, `null`, a list or an object"
        }
        "key must be a string" => "expected the name of a field in double quotes",
        "trailing comma" => "a comma is followed by nothing",
        "trailing characters" => "text follows after its end",
        "number out of range" => "a number is too large",
        "recursion limit exceeded" => "it is nested too deeply",
        "expected ident" => "expected `true`, `false` or `null`: put text in double quotes",
        _ if text.starts_with("control character") => "a control character is in a text: write `\\n` for it",
        // Other messages mention only JSON syntax.
        _ => text,
    }
}

/// The problem with a field, derived from serde's message.
pub(crate) fn field_error(path: &str, text: &str) -> BodyError {
    let within = |name: &str| if path == ROOT { name.to_owned() } else { format!("{path}.{name}") };
    let of = |field: String, problem: String| BodyError { problem, field: Some(field) };
    if let Some(name) = named(text, "missing field `").map(within) {
        let problem = format!("`{name}` is missing");
        return of(name, problem);
    }
    if let Some(name) = named(text, "duplicate field `") {
        let name = within(name);
        let problem = format!("`{name}` occurs twice: send it once");
        return of(name, problem);
    }
    if let Some((name, expected)) = text.strip_prefix("unknown field `").and_then(split_unknown_field) {
        // The path ends with the name already.
        let name = if path == ROOT { name } else { path };
        let name = escaped_name(name);
        let problem = match expected {
            Some(expected) => format!("unknown field `{name}`: expected {expected}"),
            None => format!("unknown field `{name}`: expected no fields"),
        };
        return of(name, problem);
    }
    let what = if path == ROOT { "the body".to_owned() } else { format!("`{path}`") };
    let problem = match text.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("unknown variant `") => format!("{what} has to be {expected}"),
        Some((found, expected)) => match (kind(found), expected_kind(expected)) {
            (Some(found), Some(expected)) => format!("{what} is {found}, and has to be {expected}"),
            (Some(found), None) => format!("{what} is {found}, which is not allowed there"),
            (None, Some(expected)) => format!("{what} has to be {expected}"),
            (None, None) => format!("{what} has the wrong form"),
        },
        None => format!("{what} has the wrong form"),
    };
    BodyError { problem, field: (path != ROOT).then(|| path.to_owned()) }
}

/// A name for an error, escaped and shortened: the caller chose it, and it may end up in a line of a log.
pub(crate) fn escaped_name(name: &str) -> String {
    name.chars().take(LONGEST_NAME).flat_map(char::escape_debug).collect()
}

/// The unknown field and the known ones in serde's message; `None` for another message.
pub(crate) fn split_unknown_field(rest: &str) -> Option<(&str, Option<&str>)> {
    if let Some(name) = rest.strip_suffix("`, there are no fields") {
        return Some((name, None));
    }
    let (name, expected) = rest.rsplit_once("`, expected ")?;
    Some((name, Some(expected.strip_prefix("one of ").unwrap_or(expected))))
}

fn named<'t>(text: &'t str, what: &str) -> Option<&'t str> {
    text.strip_prefix(what)?.strip_suffix('`')
}

/// The kind of the found value, never the value itself.
fn kind(found: &str) -> Option<&'static str> {
    let (_, found) = found.split_once(": ")?;
    Some(match found.split([' ', '`']).next()? {
        "string" | "character" => "text",
        "integer" => "a whole number",
        "floating" => "a number",
        "boolean" => "`true` or `false`",
        "sequence" => "a list",
        "map" => "a JSON object",
        "null" | "unit" | "Option" => "`null`",
        _ => return None,
    })
}

/// The expected kind, in words that do not name the server's types.
fn expected_kind(expected: &str) -> Option<&'static str> {
    Some(match expected {
        "a string" | "a character" => "text in double quotes",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" | "a JSON object" => "a JSON object",
        "unit" => "`null`",
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number that is not negative",
        "a nonzero usize" => "at least 1",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        _ if expected.starts_with("struct ") => "a JSON object",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "the test reads only the errors")]
    struct Fields {
        name: String,
        #[serde(default)]
        is_wanted: bool,
        #[serde(default)]
        count: u64,
        #[serde(default)]
        all: Vec<String>,
        #[serde(default)]
        more: serde_json::Map<String, serde_json::Value>,
        #[serde(default)]
        part: Option<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "the test reads only the errors")]
    struct Part {
        a: u64,
    }

    #[track_caller]
    fn check(body: &str, expected: &str) {
        assert_eq!(read::<Fields>(body.as_bytes()).unwrap_err().problem, expected, "{body}");
    }

    #[test]
    fn error_names_the_field_with_found_and_expected_kinds() {
        check(r#"{"name": 1}"#, "`name` is a whole number, and has to be text in double quotes");
        check(r#"{"name": null}"#, "`name` is `null`, and has to be text in double quotes");
        check(
            r#"{"name": "", "is_wanted": "s3cret, expected u64"}"#,
            "`is_wanted` is text, and has to be `true` or `false`",
        );
        check(r#"{"name": "", "count": "x"}"#, "`count` is text, and has to be a whole number that is not negative");
        check(
            r#"{"name": "", "count": -1}"#,
            "`count` is a whole number, and has to be a whole number that is not negative",
        );
        check(
            r#"{"name": "", "count": 1.5}"#,
            "`count` is a number, and has to be a whole number that is not negative",
        );
        check(r#"{"name": "", "all": {}}"#, "`all` is a JSON object, and has to be a list");
        check(
            r#"{"name": "", "all": ["a", true]}"#,
            "`all[1]` is `true` or `false`, and has to be text in double quotes",
        );
        check(r#"{"name": "", "more": []}"#, "`more` is a list, and has to be a JSON object");
        check("{}", "`name` is missing");
        check(r#"{"name": "", "part": {"a": 1, "a": 1}}"#, "`part.a` occurs twice: send it once");
        check(r#"{"name": "", "part": {}}"#, "`part.a` is missing");
        check(r#"{"name": "", "part": {"a": 1, "b\n": 1}}"#, "unknown field `part.b\\n`: expected `a`");
        let long = format!(r#"{{"{}": 1}}"#, "x".repeat(1000));
        let (shortened, fields) = ("x".repeat(LONGEST_NAME), "`name`, `is_wanted`, `count`, `all`, `more`, `part`");
        check(&long, &format!("unknown field `{shortened}`: expected {fields}"));
        check(r#"{"name": "", "name": ""}"#, "`name` occurs twice: send it once");
        let fields = "`name`, `is_wanted`, `count`, `all`, `more`, `part`";
        check(r#"{"a`, expected b": ""}"#, &format!("unknown field `a`, expected b`: expected {fields}"));
        check(r#"{"nmae": ""}"#, &format!("unknown field `nmae`: expected {fields}"));
        for (body, kind) in [("[]", "a list"), ("1", "a whole number"), ("null", "`null`"), ("\"x\"", "text")] {
            check(body, &format!("the body is {kind}, and has to be a JSON object"));
        }
    }

    #[test]
    fn syntax_error_names_its_position() {
        let no = "the body is not JSON:";
        check(" \n", "the body is empty: expected JSON");
        check("{\"name\": ", &format!("{no} it ends too early, at line 1, column 9"));
        check("{\"name\": \"\",}", &format!("{no} a comma is followed by nothing, at line 1, column 13"));
        check("{\n'name': 1}", &format!("{no} expected the name of a field in double quotes, at line 2, column 1"));
        check("{\"name\": \"\"} x", &format!("{no} text follows after its end, at line 1, column 14"));
        check("{\"name\" 1}", &format!("{no} expected `:`, at line 1, column 9"));
        let problem = |bytes: &[u8]| read::<Fields>(bytes).unwrap_err().problem;
        assert_eq!(problem(b"\x1f\x8b\x08\x00"), "the body is compressed: send it uncompressed");
        assert_eq!(problem(b"{\"name\": \"\xe9\"}"), "the body is not UTF-8");
        assert_eq!(problem(b"\xef\xbb\xbf[]"), "the body is a list, and has to be a JSON object");
    }
}
