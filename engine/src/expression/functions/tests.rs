use super::super::template::tests::{Variables, compile};
use super::*;
use serde_json::json;
use terrace_provider::{Map, Principal};

fn write_type(column: &Map) -> Result<String, String> {
    let name = column.get("dataType").and_then(Value::as_str).ok_or("a column without `dataType`")?;
    Ok(match column.get("precision").and_then(Value::as_int) {
        Some(precision) => format!("{name}({precision})"),
        None => name.to_owned(),
    })
}

fn upper_rule(principal: &str) -> Result<Principal, String> {
    let name = principal.strip_prefix("user:").ok_or_else(|| format!("`{principal}` cannot be mapped"))?;
    Ok(Principal { kind: "user", name: name.to_uppercase() })
}

fn functions() -> Functions {
    let table = [("user:jane.roe_example.com".to_owned(), [("snowflake".to_owned(), "JROE".to_owned())].into())];
    Functions::new(
        [("snowflake".to_owned(), write_type as SqlType)].into(),
        [("snowflake".to_owned(), upper_rule as IdentityRule)].into(),
        table.into(),
    )
}

fn say(expression: &str) -> String {
    let (template, diagnostics, _) = compile(&format!("${{{{ {expression} }}}}"));
    assert!(diagnostics.is_empty(), "{expression}: {diagnostics:?}");
    match template.evaluate(&Variables::new(json!({"a": {"b": [1, "x"], "a": null}})), &functions()) {
        Ok(value) => format!("{value:?}"),
        Err(errors) => errors[0].message.clone(),
    }
}

#[test]
fn all_extensions_register() {
    assert!(extended().is_ok());
}

#[test]
fn own_functions_do_what_their_documentation_says() {
    for (expression, expected) in [
        ("lower('ÄB')", "\"äb\""),
        ("'äb'.upper()", "\"ÄB\""),
        ("normalize('Network Status (v2)')", "\"network_status_v2\""),
        ("normalize('--a--b__c--')", "\"a_b__c\""),
        ("normalize('2nd')", "\"_2nd\""),
        ("normalize('Ünï')", "\"n\""),
        ("normalize('')", "\"\""),
        ("urn('urn:dmb:cmp:finance:cash:0:storage').component", "\"storage\""),
        ("urn('urn:dmb:cmp:finance:cash:0:parent:child').component", "\"parent/child\""),
        ("urn('urn:dmb:dp:finance:cash:0').component", "null"),
        ("urn('urn:dmb:dp:finance:cash:0').parts.size()", "5"),
        ("urn('urn:dmb::x')", "`urn`: `urn:dmb::x` is no URN: expected the form `urn:dmb:cmp:domain:name:0:component`"),
        ("sha256('abc')", "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""),
        ("json(a)", "\"{\\\"a\\\":null,\\\"b\\\":[1,\\\"x\\\"]}\""),
        ("yaml({'b': 1, 'a': ['x']})", "\"a:\\n- x\\nb: 1\\n\""),
        ("range(3)", "[0, 1, 2]"),
        ("range(0)", "[]"),
        ("range(-1)", "`range`: expected a whole number from 0 to 1000000, found -1"),
        ("quartz('0 6 * * 1-5')", "\"0 0 6 ? * MON-FRI\""),
        ("cron('0 0 6 ? * MON-FRI')", "\"0 6 * * MON-FRI\""),
        ("sqlType('snowflake', {'dataType': 'NUMBER', 'precision': 38})", "\"NUMBER(38)\""),
        ("sqlType('snowflake.eu', {'dataType': 'DATE'})", "\"DATE\""),
        (
            "sqlType('snowflak', {})",
            "`sqlType`: no provider `snowflak` with types of columns: did you mean `snowflake`?",
        ),
        ("sqlType('snowflake', {})", "`sqlType`: a column without `dataType`"),
        (
            "sqlType('snowflake', 1)",
            "`sqlType`: expected a column as a map (`dataType`, `precision`, …), found a whole number",
        ),
        ("identity('user:jane.roe_example.com', 'snowflake')", "{\"kind\": \"user\", \"name\": \"JROE\"}"),
        ("identity('user:joe', 'snowflake').name", "\"JOE\""),
        ("identity('dev', 'snowflake')", "`identity`: `dev` cannot be mapped"),
        ("identity('group:dev', 'kafka')", "{\"kind\": \"group\", \"name\": \"group:dev\"}"),
        ("identity('dev', 'kafka').kind", "\"group\""),
        ("lower(1)", "`lower`: expected text, found a whole number"),
        ("lower('a', 'b')", "`lower`: expected 1 argument, found 2"),
    ] {
        assert_eq!(say(expression), expected, "{expression}");
    }
}

#[test]
fn every_documented_function_is_there() {
    let macros = ["all", "exists", "exists_one", "existsOne", "filter", "has", "map", "optMap", "optFlatMap", "sortBy"];
    for function in FUNCTIONS.iter().filter(|function| !macros.contains(&function.name)) {
        let call = match function.style {
            Style::Global | Style::Both => format!("{}(1)", function.name),
            Style::Member => format!("(1).{}()", function.name),
        };
        let answer = say(&call);
        assert!(!answer.starts_with("there is no"), "{call}: {answer}");
    }
}

#[test]
fn functions_are_documented_once_each() {
    let mut names: Vec<_> = FUNCTIONS.iter().map(|function| function.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}
