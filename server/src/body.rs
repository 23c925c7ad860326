//! Bodies as they came, read as JSON: what is wrong with one is told by its field, in words of whoever calls, and without what
//! was sent, which may be secret.

use crate::object::Object;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// Why a body cannot be read: what is there, and what has to be.
#[derive(Debug, PartialEq, Eq)]
pub struct Unread {
    /// What is wrong, in words.
    pub problem: String,
    /// The path of the field that is wrong or missing, where it is one.
    pub field: Option<String>,
}

/// Whether a body is said to be JSON. Pages of others can send anything else without being asked.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|said| said.to_str().ok()).unwrap_or_default();
    let kind = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// A body without the mark of byte order that some programs begin all their texts with (RFC 8259, 8.1).
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// Reads a body that is an object.
///
/// # Errors
/// When it is none, or not of that type.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unread> {
    let bytes = without_mark(bytes);
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let Object(read) = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path = error.path().to_string();
        told(bytes, &path, error.inner())
    })?;
    from.end().map_err(|error| told(bytes, ROOT, &error))?;
    Ok(read)
}

/// So much is told of the name of a field that there is not.
const LONGEST_NAME: usize = 100;

/// How what is compressed by gzip begins (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How the path of the whole is written.
const ROOT: &str = ".";

fn told(bytes: &[u8], path: &str, error: &serde_json::Error) -> Unread {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let whole = |problem| Unread { problem, field: None };
    match error.classify() {
        _ if bytes.trim_ascii().is_empty() => whole("the body is empty: JSON is expected".to_owned()),
        _ if bytes.starts_with(&GZIP) => whole("the body is compressed: it is expected as it is".to_owned()),
        _ if std::str::from_utf8(bytes).is_err() => whole("the body is not UTF-8".to_owned()),
        Category::Data => of_field(path, text),
        Category::Io | Category::Syntax | Category::Eof => {
            let (line, column) = (error.line(), error.column());
            whole(format!("the body is no JSON: {}, at line {line}, column {column}", of_syntax(text)))
        }
    }
}

/// What is wrong with what is no JSON.
fn of_syntax(text: &str) -> &str {
    match text {
        _ if text.starts_with("EOF") => "it ends too early",
        "expected value" => {
            "a value is expected: text in double quotes, a number, `true`, `false`, `null`, a list or an object"
        }
        "key must be a string" => "the name of a field is expected, in double quotes",
        "trailing comma" => "nothing follows a comma",
        "trailing characters" => "something follows its end",
        "number out of range" => "a number is larger than can be read",
        "recursion limit exceeded" => "it is nested too deeply",
        "expected ident" => "a word is neither `true`, `false` nor `null`: text is written in double quotes",
        _ if text.starts_with("control character") => "a line break or the like stands in text: it is written `\\n`",
        // It speaks of JSON alone.
        _ => text,
    }
}

/// What is wrong with a field, by what serde says of it.
pub(crate) fn of_field(path: &str, text: &str) -> Unread {
    let within = |name: &str| if path == ROOT { name.to_owned() } else { format!("{path}.{name}") };
    let of = |field: String, problem: String| Unread { problem, field: Some(field) };
    if let Some(name) = named(text, "missing field `").map(within) {
        let problem = format!("`{name}` is missing");
        return of(name, problem);
    }
    if let Some(name) = named(text, "duplicate field `") {
        let name = within(name);
        let problem = format!("`{name}` is there twice: it is expected once");
        return of(name, problem);
    }
    if let Some((name, expected)) = text.strip_prefix("unknown field `").and_then(of_unknown) {
        // The path has it already.
        let name = if path == ROOT { name } else { path };
        let name = shown(name);
        let problem = match expected {
            Some(expected) => format!("there is no field `{name}`; the fields are {expected}"),
            None => format!("there is no field `{name}`, nor any other"),
        };
        return of(name, problem);
    }
    let what = if path == ROOT { "the body".to_owned() } else { format!("`{path}`") };
    let problem = match text.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("unknown variant `") => format!("{what} has to be {expected}"),
        Some((found, expected)) => match (kind(found), wanted(expected)) {
            (Some(found), Some(expected)) => format!("{what} is {found}, and has to be {expected}"),
            (Some(found), None) => format!("{what} is {found}, which is not expected there"),
            (None, Some(expected)) => format!("{what} has to be {expected}"),
            (None, None) => format!("{what} is not what is expected there"),
        },
        None => format!("{what} is not what is expected there"),
    };
    Unread { problem, field: (path != ROOT).then(|| path.to_owned()) }
}

/// A name as it is repeated. Whoever calls wrote it: a line of a log holds it whatever it is.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(LONGEST_NAME).flat_map(char::escape_debug).collect()
}

/// The name of a field that there is not, which may be any text, and those that there are; none where there is none.
pub(crate) fn of_unknown(rest: &str) -> Option<(&str, Option<&str>)> {
    if let Some(name) = rest.strip_suffix("`, there are no fields") {
        return Some((name, None));
    }
    let (name, expected) = rest.rsplit_once("`, expected ")?;
    Some((name, Some(expected.strip_prefix("one of ").unwrap_or(expected))))
}

fn named<'t>(text: &'t str, what: &str) -> Option<&'t str> {
    text.strip_prefix(what)?.strip_suffix('`')
}

/// What kind of value was found: the value itself is told to nobody.
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

/// What was expected, for somebody who does not know the types of this server.
fn wanted(expected: &str) -> Option<&'static str> {
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
    #[expect(dead_code, reason = "only what cannot be read of it counts")]
    struct Asked {
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
    #[expect(dead_code, reason = "only what cannot be read of it counts")]
    struct Part {
        a: u64,
    }

    #[track_caller]
    fn check(body: &str, expected: &str) {
        assert_eq!(read::<Asked>(body.as_bytes()).unwrap_err().problem, expected, "{body}");
    }

    #[test]
    fn a_field_is_told_by_its_path_with_what_is_there_and_what_has_to_be() {
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
        check(r#"{"name": "", "part": {"a": 1, "a": 1}}"#, "`part.a` is there twice: it is expected once");
        check(r#"{"name": "", "part": {}}"#, "`part.a` is missing");
        check(r#"{"name": "", "part": {"a": 1, "b\n": 1}}"#, "there is no field `part.b\\n`; the fields are `a`");
        let long = format!(r#"{{"{}": 1}}"#, "x".repeat(1000));
        let (told, fields) = ("x".repeat(LONGEST_NAME), "`name`, `is_wanted`, `count`, `all`, `more`, `part`");
        check(&long, &format!("there is no field `{told}`; the fields are {fields}"));
        check(r#"{"name": "", "name": ""}"#, "`name` is there twice: it is expected once");
        let fields = "`name`, `is_wanted`, `count`, `all`, `more`, `part`";
        check(r#"{"a`, expected b": ""}"#, &format!("there is no field `a`, expected b`; the fields are {fields}"));
        check(r#"{"nmae": ""}"#, &format!("there is no field `nmae`; the fields are {fields}"));
        for (body, kind) in [("[]", "a list"), ("1", "a whole number"), ("null", "`null`"), ("\"x\"", "text")] {
            check(body, &format!("the body is {kind}, and has to be a JSON object"));
        }
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let no = "the body is no JSON:";
        check(" \n", "the body is empty: JSON is expected");
        check("{\"name\": ", &format!("{no} it ends too early, at line 1, column 9"));
        check("{\"name\": \"\",}", &format!("{no} nothing follows a comma, at line 1, column 13"));
        check("{\n'name': 1}", &format!("{no} the name of a field is expected, in double quotes, at line 2, column 1"));
        check("{\"name\": \"\"} x", &format!("{no} something follows its end, at line 1, column 14"));
        check("{\"name\" 1}", &format!("{no} expected `:`, at line 1, column 9"));
        let problem = |bytes: &[u8]| read::<Asked>(bytes).unwrap_err().problem;
        assert_eq!(problem(b"\x1f\x8b\x08\x00"), "the body is compressed: it is expected as it is");
        assert_eq!(problem(b"{\"name\": \"\xe9\"}"), "the body is not UTF-8");
        assert_eq!(problem(b"\xef\xbb\xbf[]"), "the body is a list, and has to be a JSON object");
    }
}
