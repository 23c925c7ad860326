//! Normal forms of attributes: what PostgreSQL stores of each spelling.

use crate::{data_type, expression, identifier};
use terrace_provider::Value;
use terrace_provider::normal;

/// A type of a column: `int4` is `integer`.
pub(crate) fn data_type(value: &Value) -> Value {
    in_form(value, data_type::normal)
}

/// An expression or a query: case and white space make no difference.
pub(crate) fn expression(value: &Value) -> Value {
    in_form(value, expression::normal)
}

/// A default: the server stores none for NULL.
pub(crate) fn default(value: &Value) -> Value {
    match value.as_str() {
        Some(text) if expression::is_null(text) => Value::Null,
        _ => expression(value),
    }
}

/// An object of a grant: `"public"."t"` is `public.t`.
pub(crate) fn object(value: &Value) -> Value {
    in_form(value, |text| {
        identifier::parts(text).map_or_else(|| text.to_owned(), |parts| identifier::full_name(&parts))
    })
}

/// A grantee: the server takes `public` for `PUBLIC`, with and without quotes.
pub(crate) fn grantee(value: &Value) -> Value {
    in_form(value, |text| grantee_name(text).to_owned())
}

/// The name of a grantee: `public` means `PUBLIC`.
pub(crate) fn grantee_name(text: &str) -> &str {
    if text == "public" { "PUBLIC" } else { text }
}

/// Privileges: a set in capitals, in which `ALL` is all that there are.
pub(crate) fn privileges(value: &Value) -> Value {
    let Some(items) = value.as_list() else { return value.clone() };
    let items: Vec<Value> = items.iter().map(|item| in_form(item, privilege)).collect();
    let all = Value::from(ALL);
    if items.contains(&all) { vec![all].into() } else { normal::set(&items.into()) }
}

/// The word for every privilege that an object has.
pub(crate) const ALL: &str = "ALL";

/// A privilege as the server names it.
pub(crate) fn privilege(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
    match words.as_str() {
        "ALL PRIVILEGES" => ALL.to_owned(),
        "TEMP" => "TEMPORARY".to_owned(),
        _ => words,
    }
}

/// An encoding: `utf-8` and `UNICODE` are `UTF8`. <https://www.postgresql.org/docs/current/multibyte.html>
pub(crate) fn encoding(value: &Value) -> Value {
    in_form(value, |text| {
        let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let name = ENCODINGS.iter().find(|(alias, _)| *alias == plain).map(|(_, name)| (*name).to_owned());
        name.unwrap_or(plain)
    })
}

/// Other names of encodings, and those that the server answers with, without signs and in small letters.
const ENCODINGS: [(&str, &str); 37] = [
    ("abc", "win1258"),
    ("alt", "win866"),
    ("iso88591", "latin1"),
    ("iso885910", "latin6"),
    ("iso885913", "latin7"),
    ("iso885914", "latin8"),
    ("iso885915", "latin9"),
    ("iso885916", "latin10"),
    ("iso88592", "latin2"),
    ("iso88593", "latin3"),
    ("iso88594", "latin4"),
    ("iso88599", "latin5"),
    ("koi8", "koi8r"),
    ("mskanji", "sjis"),
    ("shiftjis", "sjis"),
    ("tcvn", "win1258"),
    ("tcvn5712", "win1258"),
    ("unicode", "utf8"),
    ("vscii", "win1258"),
    ("win", "win1251"),
    ("win932", "sjis"),
    ("win936", "gbk"),
    ("win949", "uhc"),
    ("win950", "big5"),
    ("windows1250", "win1250"),
    ("windows1251", "win1251"),
    ("windows1252", "win1252"),
    ("windows1253", "win1253"),
    ("windows1254", "win1254"),
    ("windows1255", "win1255"),
    ("windows1256", "win1256"),
    ("windows1257", "win1257"),
    ("windows1258", "win1258"),
    ("windows866", "win866"),
    ("windows874", "win874"),
    ("windows932", "sjis"),
    ("windows936", "gbk"),
];

fn in_form(value: &Value, normal: impl Fn(&str) -> String) -> Value {
    value.as_str().map_or_else(|| value.clone(), |text| normal(text).into())
}
