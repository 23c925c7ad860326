//! Normal forms of attributes: what PostgreSQL stores of each spelling.

use crate::data_type::DataType;
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

/// Columns in any order. A cast to the type of the column changes no default: `'x'::text` means `'x'` in a column of texts.
pub(crate) fn columns(value: &Value) -> Value {
    let Some(items) = value.as_list() else { return value.clone() };
    normal::unordered(&items.iter().map(without_cast).collect::<Vec<_>>().into())
}

fn without_cast(column: &Value) -> Value {
    let text = |name: &str| column.get(name).and_then(Value::as_str);
    let literal = text("default").and_then(expression::cast_literal).and_then(|(literal, cast)| {
        let (own, cast) = (DataType::parse(text("type")?)?, DataType::parse(cast)?);
        own.is_sized(&cast).then(|| literal.to_owned())
    });
    match (column.as_map(), literal) {
        (Some(entries), Some(literal)) => {
            let mut entries = entries.clone();
            entries.insert("default".to_owned(), literal.into());
            entries.into()
        }
        _ => column.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn column(ty: &str, default: &str) -> Value {
        without_cast(&json!({"name": "a", "type": ty, "default": default}).into())
    }

    #[test]
    fn cast_to_the_type_of_the_column_is_left_out() {
        for (ty, default) in
            [("text", "'x'::text"), ("varchar(20)", "'x' :: character varying"), ("numeric(10,2)", "'x'::dec")]
        {
            assert_eq!(column(ty, default).get("default"), Some(&"'x'".into()), "{ty} {default}");
        }
        for (ty, default) in
            [("text", "'x'::bpchar"), ("text", "lower('x')::text"), ("text", "'a' || 'x'::text"), ("text", "'x::text'")]
        {
            assert_eq!(column(ty, default).get("default"), Some(&default.into()), "{ty} {default}");
        }
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
        fn normal_forms_are_their_own_normal_form(text in "[a-zA-Z0-9'\"() ,:;]{0,20}") {
            for normal in [data_type, expression, object, grantee, encoding] {
                let once = normal(&text.as_str().into());
                prop_assert_eq!(normal(&once), once);
            }
        }

        #[test]
        fn privileges_mean_the_same_in_any_case_and_order(
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
