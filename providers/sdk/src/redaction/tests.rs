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
fn what_is_marked_or_write_only_is_replaced_and_nothing_else() {
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
fn lines_and_words_of_a_text_count_and_its_form_in_json() {
    let redaction = sensitive("BEGIN\nline \"two\"\n");
    assert_eq!(
        redaction.text(r#"at `line "two"`, {"k": "BEGIN\nline \"two\"\n"}"#),
        r#"at `(sensitive value)`, {"k": "(sensitive value)"}"#
    );
    assert_eq!(sensitive("out/hunter2/x.txt").text("`out/hunter2` is a file"), "`out/(sensitive value)` is a file");
    assert_eq!(sensitive("SELECT hunter2").text("no such column: hunter2."), "no such column: (sensitive value).");
}

#[test]
fn the_scheme_and_the_names_of_parameters_of_an_address_are_no_secrets() {
    let redaction = sensitive("postgres://svc:hunter2@host.internal/data?sslmode=require&pass=hunter3");
    assert_eq!(
        redaction.text("instance `postgres`: sslmode of host.internal, hunter2 hunter3"),
        "instance `postgres`: sslmode of (sensitive value), (sensitive value) (sensitive value)"
    );
}

#[test]
fn what_an_address_holds_encoded_is_hidden_as_others_read_it() {
    let redaction = sensitive("postgres://svc:p%40ss%2Fw@db/data?sslkey=k%3Dey%20two");
    assert_eq!(
        redaction.text("p@ss/w is not svc's, nor p%40ss%2Fw, nor `k=ey two`"),
        "(sensitive value) is not svc's, nor (sensitive value), nor `(sensitive value)`"
    );
}

#[test]
fn its_form_in_a_url_counts() {
    assert_eq!(sensitive("p/w&d ü").text("at ?password=p%2Fw%26d%20%C3%BC&x=1"), "at ?password=(sensitive value)&x=1");
}

#[test]
fn a_short_secret_is_replaced_where_it_stands_alone() {
    assert_eq!(sensitive("a").text("a bad day for a"), "(sensitive value) bad day for (sensitive value)");
    assert_eq!(of("name", Value::sensitive(Value::Int(42))).text("42 of 1420"), "(sensitive value) of 1420");
}

#[test]
fn every_text_of_an_error_is_redacted_and_a_cut_import_id_left_out() {
    let kind = ErrorKind::AlreadyExists { import_id: Some("out/hunter2".to_owned()) };
    let mut error = ProviderError::new(kind, "`hunter2` is there").problem("hunter2?").solution("rename hunter2");
    error.vendor_code = Some("E-hunter2".to_owned());
    let error = sensitive("hunter2").error(error);
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: None });
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    let kind = ErrorKind::AlreadyExists { import_id: Some("out/x".to_owned()) };
    assert_eq!(sensitive("hunter2").error(ProviderError::new(kind.clone(), "it is there")).kind, kind);
}

#[test]
fn a_redaction_prints_nothing_of_what_it_hides() {
    assert!(!format!("{:?}", sensitive("hunter2")).contains("hunter2"));
}
