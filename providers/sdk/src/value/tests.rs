use super::wire::{Sealing, Spot, WireError, decode, encode};
use super::*;
use proptest::prelude::*;

struct Reversing;

impl Sealing for Reversing {
    fn seal(&self, _spot: &Spot<'_>, clear: &[u8]) -> Result<String, WireError> {
        Ok(String::from_utf8_lossy(clear).chars().rev().collect())
    }

    fn open(&self, _spot: &Spot<'_>, sealed: &str) -> Result<Vec<u8>, WireError> {
        Ok(sealed.chars().rev().collect::<String>().into_bytes())
    }
}

fn map(entries: &[(&str, Value)]) -> Value {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

#[test]
fn wire_form_keeps_values_beyond_json() {
    let value = map(&[
        ("price", Value::Number(Number::parse("1.10").unwrap())),
        ("big", Value::Number(Number::parse("9223372036854776000").unwrap())),
        ("id", Value::Unknown),
        ("password", Value::sensitive("hunter2".into())),
        ("$terrace", "a user's own key".into()),
        ("nested", Value::List(vec![map(&[("$terrace", Value::Null)]), Value::Int(-3)])),
    ]);
    let json = encode(&value, &Reversing).unwrap();
    assert!(!json.to_string().contains("hunter2"));
    assert_eq!(decode(json, &Reversing).unwrap(), value);
}

#[test]
fn debug_and_json_never_show_a_sensitive_value() {
    let value = map(&[("password", Value::sensitive("hunter2".into()))]);
    assert!(!format!("{value:?}").contains("hunter2"));
    assert!(!value.to_json().to_string().contains("hunter2"));
    assert_eq!(value.to_revealed_json().to_string(), r#"{"password":"hunter2"}"#);
}

#[test]
fn numbers_are_json_numbers_only() {
    for good in ["0", "-0", "1.10", "1e3", "-1.5E-7", "92233720368547760000"] {
        assert!(Number::parse(good).is_some(), "{good}");
    }
    for bad in ["", "-", "01", "1.", ".5", "1e", "+1", "0x10", "nan", "1_000"] {
        assert!(Number::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn damaged_wire_values_are_errors() {
    for damaged in [r#"{"$terrace":"unknown"}"#, r#"{"$terrace":[]}"#, r#"{"$terrace":["number","x"]}"#] {
        assert!(decode(serde_json::from_str(damaged).unwrap(), &Reversing).is_err(), "{damaged}");
    }
}

#[test]
fn json_keeps_numbers_as_they_are_written() {
    let text =
        r#"{"b":[1.10,18446744073709551617,-3,1e3,0.1234567890123456789],"a":{"x":null,"y":true,"z":"\u00e4\n"}}"#;
    let value = Value::from_json_text(text).unwrap();
    assert_eq!(value.to_json_text(), text.replace("\\u00e4", "ä"));
    assert_eq!(value.as_map().unwrap()["b"].as_list().unwrap()[2], Value::Int(-3));
    assert_eq!(Value::from_json_text(" [ ] ").unwrap().to_pretty_json_text(), "[]");
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Value::from_json_text(&deep(128)).is_some() && Value::from_json_text(&deep(20_000)).is_none());
    for invalid in ["", " ", "{", "[1,]", "1.", "01", "nul", "{\"a\" 1}", "[1] 2", "--1", "yes"] {
        assert_eq!(Value::from_json_text(invalid), None, "{invalid}");
    }
    let hidden = Value::List(vec![Value::sensitive("x".into()), Value::Unknown]);
    assert_eq!(hidden.to_json_text(), "[null,null]");
}

#[test]
fn json_for_people_keeps_all_digits() {
    for text in
        ["18446744073709551616", "-9223372036854775809", "1e+400", "0.1234567890123456789012345", "1.10", "1e-7"]
    {
        let number = Value::Number(Number::parse(text).unwrap());
        assert_eq!(number.to_json().to_string(), text);
        assert_eq!(
            serde_json::to_string(&serde_json::json!({ "n": number.to_json() })).unwrap(),
            format!("{{\"n\":{text}}}")
        );
    }
}

#[test]
fn json_for_systems_has_shortest_text_of_same_number() {
    for (text, shortest) in [
        ("1.10", "1.1"),
        ("1e3", "1000.0"),
        ("100.50E-1", "10.05"),
        ("-0.0", "-0.0"),
        ("1e400", "1e400"),
        ("18446744073709551616", "18446744073709551616"),
        ("0.1234567890123456789012345", "0.1234567890123456789012345"),
        ("1e99999999999999999999", "1e99999999999999999999"),
    ] {
        let number = Value::sensitive(Value::Number(Number::parse(text).unwrap()));
        assert_eq!(number.to_revealed_json().to_string(), shortest, "{text}");
        assert_eq!(
            Value::from(serde_json::from_str::<serde_json::Value>(text).unwrap()).to_json_text(),
            shortest,
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn any_number_survives_json(text in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?") {
        let Some(number) = Number::parse(&text) else { return Err(TestCaseError::fail(text)) };
        let printed = Value::Number(number.clone()).to_json().to_string();
        prop_assert_eq!(&printed, &text);
        // A system reads the same number from either text.
        let shortest = number.shortest();
        prop_assert!(shortest.to_f64() == number.to_f64(), "{} {}", shortest, number);
        prop_assert_eq!(shortest.shortest(), shortest);
    }
}
