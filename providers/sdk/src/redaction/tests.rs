use super::*;
use crate::{Attribute, AttributeType, Value};

fn schema() -> Object {
    Object(vec![
        Attribute::new("name", AttributeType::String, "Its name."),
        Attribute::new("password", AttributeType::Any, "Never stored.").write_only(),
    ])
}

fn of(name: &str, value: Value) -> Redaction {
    Redaction::of(&schema(), [&[(name.to_owned(), value)].into_iter().collect()])
}

fn sensitive(text: &str) -> Redaction {
    of("name", Value::sensitive(text.into()))
}

#[test]
fn only_marked_and_write_only_values_are_redacted() {
    let nested = [("user".to_owned(), "svc".into()), ("token".to_owned(), Value::sensitive("hunter2".into()))];
    let redaction = of("name", nested.into_iter().collect());
    assert_eq!(
        redaction.text("svc may not use hunter2, xhunter2x"),
        "svc may not use (sensitive value), x(sensitive value)x"
    );
    assert_eq!(of("password", "hunter2".into()).text("no hunter2"), "no (sensitive value)");
    assert_eq!(of("name", "hunter2".into()).text("no hunter2"), "no hunter2");
}

#[test]
fn lines_words_and_json_form_of_a_secret_are_redacted() {
    let redaction = sensitive("BEGIN\nline \"two\"\n");
    assert_eq!(
        redaction.text(r#"at `line "two"`, {"k": "BEGIN\nline \"two\"\n"}"#),
        r#"at `(sensitive value)`, {"k": "(sensitive value)"}"#
    );
    assert_eq!(sensitive("out/hunter2/x.txt").text("`out/hunter2` is a file"), "`out/(sensitive value)` is a file");
    assert_eq!(sensitive("SELECT hunter2").text("no such column: hunter2."), "no such column: (sensitive value).");
}

#[test]
fn scheme_and_parameter_names_of_a_url_stay_visible() {
    let redaction = sensitive("postgres://svc:hunter2@host.internal/data?sslmode=require&pass=hunter3");
    assert_eq!(
        redaction.text("instance `postgres`: sslmode of host.internal, hunter2 hunter3"),
        "instance `postgres`: sslmode of (sensitive value), (sensitive value) (sensitive value)"
    );
}

#[test]
fn decoded_parts_of_a_url_are_redacted() {
    let redaction = sensitive("postgres://svc:p%40ss%2Fw@db/data?sslkey=k%3Dey%20two");
    assert_eq!(
        redaction.text("p@ss/w is not svc's, nor p%40ss%2Fw, nor `k=ey two`"),
        "(sensitive value) is not svc's, nor (sensitive value), nor `(sensitive value)`"
    );
}

#[test]
fn url_encoded_form_of_a_secret_is_redacted() {
    assert_eq!(sensitive("p/w&d ü").text("at ?password=p%2Fw%26d%20%C3%BC&x=1"), "at ?password=(sensitive value)&x=1");
}

#[test]
fn short_secret_is_redacted_only_as_a_separate_word() {
    assert_eq!(sensitive("a").text("a bad day for a"), "(sensitive value) bad day for (sensitive value)");
    assert_eq!(of("name", Value::sensitive(Value::Int(42))).text("42 of 1420"), "(sensitive value) of 1420");
}

#[test]
fn all_texts_of_an_error_are_redacted() {
    let kind = ErrorKind::AlreadyExists { import_id: Some("out/hunter2".to_owned()) };
    let mut error = ProviderError::new(kind, "`hunter2` exists").problem("hunter2?").solution("rename hunter2");
    error.vendor_code = Some("E-hunter2".to_owned());
    let error = sensitive("hunter2").error(error);
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: None });
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    let kind = ErrorKind::AlreadyExists { import_id: Some("out/x".to_owned()) };
    assert_eq!(sensitive("hunter2").error(ProviderError::new(kind.clone(), "it exists")).kind, kind);
}

#[test]
fn debug_of_a_redaction_shows_no_secret() {
    assert!(!format!("{:?}", sensitive("hunter2")).contains("hunter2"));
}
