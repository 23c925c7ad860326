//! Normal forms of attributes: the stored form of each spelling.

use crate::data_type::DataType;
use crate::lexer::tokens;
use crate::{data_type, expression, identifier};
use terrace_provider::Value;
use terrace_provider::normal;
use terrace_provider::sql_tokens::Token;

/// A column type: `int4` becomes `integer`.
pub(crate) fn data_type(value: &Value) -> Value {
    in_form(value, data_type::normal)
}

/// An expression or a query: ignores case and white space.
pub(crate) fn expression(value: &Value) -> Value {
    in_form(value, expression::normal)
}

/// Columns in any order, each with the normal form of its default, which depends on the type.
pub(crate) fn columns(value: &Value) -> Value {
    let Some(items) = value.as_list() else { return value.clone() };
    normal::unordered(&items.iter().map(with_normal_default).collect::<Vec<_>>().into())
}

/// The column without a redundant default. A cast to the type of the column is redundant: `'x'::text` means `'x'` in a
/// column of type `text`. `'abc'::varchar(2)` means `'ab'` in a longer column, so it stays. NULL is not a default for a
/// built-in type; for a domain it overrides the domain's default.
fn with_normal_default(column: &Value) -> Value {
    let text = |name: &str| column.get(name).and_then(Value::as_str);
    let (Some(entries), Some(default)) = (column.as_map(), text("default")) else { return column.clone() };
    let Some(own) = text("type").and_then(DataType::parse) else { return column.clone() };
    let mut entries = entries.clone();
    if is_no_default(&own, default) {
        entries.shift_remove("default");
        return entries.into();
    }
    let is_redundant = |cast: &str| DataType::parse(cast).is_some_and(|cast| own.is_cast_redundant(&cast));
    if let Some((literal, _)) = expression::cast_literal(default).filter(|(_, cast)| is_redundant(cast)) {
        entries.insert("default".to_owned(), literal.into());
    }
    entries.into()
}

/// True for NULL in a column of a built-in type: the server stores no such default.
pub(crate) fn is_no_default(ty: &DataType, default: &str) -> bool {
    ty.is_built_in() && expression::is_null(default)
}

/// An object of a grant: `"public"."t"` becomes `public.t`.
pub(crate) fn object(value: &Value) -> Value {
    in_form(value, |text| {
        identifier::parts(text).map_or_else(|| text.to_owned(), |parts| identifier::full_name(&parts))
    })
}

/// An operator class: ignores the case of unquoted names and the schema `pg_catalog`.
pub(crate) fn operator_class(value: &Value) -> Value {
    in_form(value, |text| {
        let written = |part: &String| if is_lower(part) { part.clone() } else { identifier::quote(part) };
        let parts = operator_class_parts(text);
        parts.map_or_else(|| text.to_owned(), |parts| parts.iter().map(written).collect::<Vec<_>>().join("."))
    })
}

/// The parts of an operator class name, as the server reads them.
pub(crate) fn operator_class_parts(text: &str) -> Option<Vec<String>> {
    let tokens = tokens(text);
    let is_name = |(at, token): (usize, &Token<'_>)| match at % 2 {
        0 => token.name().is_some(),
        _ => token.is_symbol("."),
    };
    match tokens.len() % 2 == 1 && tokens.iter().enumerate().all(is_name) {
        true => Some(without_catalog(tokens.iter().filter_map(Token::name).collect())),
        false => identifier::parts(text).map(without_catalog),
    }
}

/// A collation: ignores quotes and the schema `pg_catalog`. Case matters even without quotes, as in `C`.
pub(crate) fn collation(value: &Value) -> Value {
    in_form(value, |text| collation_parts(text).map_or_else(|| text.to_owned(), |parts| identifier::full_name(&parts)))
}

/// The parts of a collation name.
pub(crate) fn collation_parts(text: &str) -> Option<Vec<String>> {
    identifier::parts(text).map(without_catalog)
}

/// The name without `pg_catalog`, which the server searches first.
fn without_catalog(mut parts: Vec<String>) -> Vec<String> {
    if parts.len() == 2 && parts.first().is_some_and(|schema| schema == "pg_catalog") {
        parts.remove(0);
    }
    parts
}

/// True for a name that the server does not change without quotes. It may still be a keyword.
pub(crate) fn is_lower(part: &str) -> bool {
    part.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// A grantee: the server reads `public` as `PUBLIC`, with and without quotes.
pub(crate) fn grantee(value: &Value) -> Value {
    in_form(value, |text| grantee_name(text).to_owned())
}

/// The name of a grantee: `public` means `PUBLIC`.
pub(crate) fn grantee_name(text: &str) -> &str {
    if text == "public" { "PUBLIC" } else { text }
}

/// Privileges: a set in capitals. `ALL` covers all others.
pub(crate) fn privileges(value: &Value) -> Value {
    let Some(items) = value.as_list() else { return value.clone() };
    let items: Vec<Value> = items.iter().map(|item| in_form(item, privilege)).collect();
    let all = Value::from(ALL);
    if items.contains(&all) { vec![all].into() } else { normal::set(&items.into()) }
}

/// The keyword for all privileges of an object.
pub(crate) const ALL: &str = "ALL";

/// The server's name of a privilege.
pub(crate) fn privilege(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
    match words.as_str() {
        "ALL PRIVILEGES" => ALL.to_owned(),
        "TEMP" => "TEMPORARY".to_owned(),
        _ => words,
    }
}

/// An encoding: `utf-8` and `UNICODE` become `UTF8`. <https://www.postgresql.org/docs/current/multibyte.html>
pub(crate) fn encoding(value: &Value) -> Value {
    in_form(value, |text| {
        let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let name = ENCODINGS.iter().find(|(alias, _)| *alias == plain).map(|(_, name)| (*name).to_owned());
        name.unwrap_or(plain)
    })
}

/// Aliases of encodings and the server's names, in lower case without punctuation.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn column(ty: &str, default: &str) -> Value {
        with_normal_default(&json!({"name": "a", "type": ty, "default": default}).into())
    }

    #[test]
    fn cast_to_the_type_of_the_column_is_left_out() {
        for (ty, default) in [
            ("text", "'x'::text"),
            ("varchar(20)", "'x' :: character varying"),
            ("varchar(20)", "'x'::varchar(20)"),
            ("numeric(10,2)", "'x'::dec"),
            ("numeric(10)", "'x'::numeric(10,0)"),
            ("geometry(Point, 4326)", "'x'::geometry"),
        ] {
            assert_eq!(column(ty, default).get("default"), Some(&"'x'".into()), "{ty} {default}");
        }
        for (ty, default) in [
            ("text", "'x'::bpchar"),
            ("text", "lower('x')::text"),
            ("text", "'a' || 'x'::text"),
            ("text", "'x::text'"),
            ("varchar(20)", "'x'::varchar(3)"),
            ("varchar", "'x'::varchar(3)"),
            ("char(3)", "'x'::char"),
            ("numeric(10,2)", "1.239::numeric(10,1)"),
            ("timestamp(6)", "'x'::timestamp(3)"),
            ("geometry", "'x'::geometry(Point, 4326)"),
        ] {
            assert_eq!(column(ty, default).get("default"), Some(&default.into()), "{ty} {default}");
        }
    }

    #[test]
    fn null_is_left_out_for_built_in_types_only() {
        for ty in ["int", "varchar(3)[]"] {
            assert_eq!(column(ty, "NULL::int").get("default"), None, "{ty}");
        }
        for ty in ["five", "s.five", "citext"] {
            assert_eq!(column(ty, "NULL").get("default"), Some(&"NULL".into()), "{ty}");
        }
    }

    #[test]
    fn class_and_collation_names_have_one_normal_form() {
        for spelling in ["text_ops", "TEXT_OPS", "\"text_ops\"", "pg_catalog.Text_Ops", "pg_catalog.\"text_ops\""] {
            assert_eq!(operator_class(&spelling.into()), "text_ops".into(), "{spelling}");
        }
        assert_eq!(operator_class(&"s.\"Own\"".into()), "s.\"Own\"".into());
        for spelling in ["C", "\"C\"", "pg_catalog.C", "pg_catalog.\"C\""] {
            assert_eq!(collation(&spelling.into()), "C".into(), "{spelling}");
        }
        assert_ne!(collation(&"c".into()), collation(&"C".into()));
    }

    #[test]
    fn encodings_have_one_normal_form() {
        for alias in ["UTF8", "utf-8", "Unicode"] {
            assert_eq!(encoding(&alias.into()), "utf8".into());
        }
        assert_eq!(encoding(&"ISO_8859_1".into()), encoding(&"LATIN1".into()));
    }

    proptest! {
        #[test]
        fn normal_form_is_idempotent(text in "[a-zA-Z0-9'\"() ,:;]{0,20}") {
            for normal in [data_type, expression, object, grantee, encoding, operator_class, collation] {
                let once = normal(&text.as_str().into());
                prop_assert_eq!(normal(&once), once);
            }
        }

        #[test]
        fn privileges_ignore_case_and_order(
            names in proptest::collection::vec(proptest::sample::select(vec!["SELECT", "INSERT", "TEMP", "ALL", "ALL PRIVILEGES"]), 1..5),
        ) {
            let list = |names: &mut dyn Iterator<Item = String>| Value::List(names.map(Value::from).collect());
            let written = list(&mut names.iter().map(|name| (*name).to_owned()));
            let other = list(&mut names.iter().rev().map(|name| format!(" {} ", name.to_lowercase())));
            prop_assert_eq!(privileges(&written), privileges(&other));
            prop_assert_eq!(privileges(&privileges(&written)), privileges(&written));
        }
    }
}
