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

fn words(query: &str, defaults: &[&str]) -> Value {
    Value::List(defaults.iter().copied().chain(query.split(' ')).map(Value::from).collect())
}

fn functions() -> Functions {
    let table = [("user:jane.roe_example.com".to_owned(), [("snowflake".to_owned(), "JROE".to_owned())].into())];
    Functions::new(
        [("snowflake".to_owned(), write_type as SqlType)].into(),
        [("snowflake".to_owned(), words as SqlReader)].into(),
        [("snowflake".to_owned(), upper_rule as IdentityRule)].into(),
        table.into(),
    )
}

fn result_of(expression: &str) -> String {
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
fn own_functions_match_their_documentation() {
    for (expression, expected) in [
        ("lower('ÄB')", "\"äb\""),
        ("'äb'.upper()", "\"ÄB\""),
        ("normalize('Network Status (v2)')", "\"network_status_v2\""),
        ("normalize('--a--b__c--')", "\"a_b__c\""),
        ("normalize('2nd')", "\"_2nd\""),
        ("normalize('Ünï')", "\"uni_e975a529\""),
        ("normalize('ÜNÏ')", "\"uni_e975a529\""),
        ("normalize('Caf\u{e9} Orders')", "\"cafe_orders_c92b6cc2\""),
        ("normalize('注文')", "\"zhu_wen_266125dd\""),
        ("normalize('\u{378}')", "\"efa4b2b5\""),
        ("normalize('')", "\"\""),
        ("urn('urn:dmb:cmp:finance:cash:0:storage').component", "\"storage\""),
        ("urn('urn:dmb:cmp:finance:cash:0:parent:child').component", "\"parent/child\""),
        ("urn('urn:dmb:dp:finance:cash:0').component", "null"),
        ("urn('urn:dmb:dp:finance:cash:0').parts.size()", "5"),
        (
            "urn('urn:dmb::x')",
            "`urn`: `urn:dmb::x` is not a URN: expected the form `urn:dmb:cmp:domain:name:0:component`",
        ),
        ("sha256('abc')", "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""),
        ("json(a)", "\"{\\\"a\\\":null,\\\"b\\\":[1,\\\"x\\\"]}\""),
        ("yaml({'b': 1, 'a': ['x']})", "\"a:\\n- x\\nb: 1\\n\""),
        ("yaml({'big': 18446744073709551615u, 'x': 1.5})", "\"big: 18446744073709551615\\nx: 1.5\\n\""),
        ("range(3)", "[0, 1, 2]"),
        ("sqlReads('snowflake.eu', 'a b', ['d', 's'])", "[\"d\", \"s\", \"a\", \"b\"]"),
        (
            "sqlReads('snowflak', '', [])",
            "`sqlReads`: the provider `snowflak` cannot read queries: did you mean `snowflake`?",
        ),
        ("sqlReads('snowflake', 'a', 'd')", "`sqlReads`: expected a list of texts (database, schema), found text"),
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
        (
            "sqlColumns('snowflake', [{'name': 'id', 'dataType': 'NUMBER', 'precision': 38, 'constraint': 'PRIMARY_KEY'}, \
             {'name': 'email', 'dataType': 'TEXT', 'description': 'Where to', 'tags': [{'tagFQN': 'PII'}], \
             'previousName': 'mail'}]).map(c, json(c)).join(' ')",
            "\"{\\\"comment\\\":null,\\\"name\\\":\\\"id\\\",\\\"nullable\\\":false,\\\"previousName\\\":null,\\\"type\\\":\\\"NUMBER(38)\\\"} \
             {\\\"comment\\\":\\\"Where to\\\\ntags: PII\\\",\\\"name\\\":\\\"email\\\",\\\"nullable\\\":true,\\\"previousName\\\":\\\"mail\\\",\\\"type\\\":\\\"TEXT\\\"}\"",
        ),
        (
            "sqlColumns('snowflake', [{'name': 'a', 'dataType': 'X', 'constraint': 'NOT_NULL'}, {'name': 'b', 'dataType': 'X', \
             'required': true}, {'name': 'c', 'dataType': 'X', 'primaryKey': true}, {'name': 'd', 'dataType': 'X', \
             'required': false, 'constraint': null}]).map(c, c.nullable)",
            "[false, false, false, true]",
        ),
        ("sqlColumns('snowflake', [])", "[]"),
        ("sqlColumns('snowflake', {})", "`sqlColumns`: expected a list of columns, found a map"),
        ("sqlColumns('snowflake', [{'dataType': 'X'}])", "`sqlColumns`: a column without `name`"),
        ("sqlColumns('snowflake', [{'name': 'a'}])", "`sqlColumns`: column `a`: a column without `dataType`"),
        (
            "sqlColumns('snowflake', [{'name': 'a', 'dataType': 'X', 'description': 5}])",
            "`sqlColumns`: column `a`: expected text, found a whole number",
        ),
        (
            "sqlColumns('snowflake', ['a'])",
            "`sqlColumns`: expected a column as a map (`dataType`, `precision`, …), found text",
        ),
        (
            "sqlColumns('snowflak', [])",
            "`sqlColumns`: no provider `snowflak` with types of columns: did you mean `snowflake`?",
        ),
        (
            "sqlPrimaryKey([{'name': 'a', 'constraint': 'PRIMARY_KEY'}, {'name': 'b', 'primaryKey': true}, {'name': 'c', \
             'primaryKey': false, 'constraint': 'UNIQUE'}, {'name': 'd', 'primaryKey': null}])",
            "[\"a\", \"b\"]",
        ),
        (
            "sqlUnique([{'name': 'a', 'constraint': 'UNIQUE'}, {'name': 'b', 'unique': true}, {'name': 'c'}])",
            "[[\"a\"], [\"b\"]]",
        ),
        ("sqlPrimaryKey([{'constraint': 'PRIMARY_KEY'}])", "`sqlPrimaryKey`: a column without `name`"),
        ("sqlUnique('a')", "`sqlUnique`: expected a list of columns, found text"),
        ("sqlComment('Who buys', null)", "\"Who buys\""),
        (
            "sqlComment('Who buys', [{'tagFQN': 'PII'}, {'tagFQN': 'Tier', 'value': 1}])",
            "\"Who buys\\ntags: PII, Tier=1\"",
        ),
        ("sqlComment('', [{'tagFQN': 'a', 'value': null}, {'tagFQN': 'b', 'value': true}])", "\"tags: a, b=true\""),
        ("sqlComment({'x': 1}.?description, {'tags': []}.?tags)", "null"),
        ("sqlComment(1, null)", "`sqlComment`: expected text, found a whole number"),
        ("sqlComment(null, 'PII')", "`sqlComment`: expected a list of tags, found text"),
        ("sqlComment(null, ['PII'])", "`sqlComment`: expected a tag as a map with `tagFQN`, found text"),
        ("sqlComment(null, [{'name': 'PII'}])", "`sqlComment`: a tag without `tagFQN`"),
        (
            "sqlComment(null, [{'tagFQN': 'a', 'value': []}])",
            "`sqlComment`: expected the value of the tag `a` as text, found a list",
        ),
        ("sqlComment('x')", "`sqlComment`: expected 2 arguments, found 1"),
        ("identity('user:jane.roe_example.com', 'snowflake')", "{\"kind\": \"user\", \"name\": \"JROE\"}"),
        ("identity('user:joe', 'snowflake').name", "\"JOE\""),
        ("identity('dev', 'snowflake')", "`identity`: `dev` cannot be mapped"),
        ("identity('group:dev', 'kafka')", "{\"kind\": \"group\", \"name\": \"group:dev\"}"),
        ("identity('dev', 'kafka').kind", "\"group\""),
        (
            "identities(['user:joe', 'dev', 'user:jane.roe_example.com'], 'snowflake')",
            "[\"user:joe\", \"user:jane.roe_example.com\"]",
        ),
        ("['dev'].identities('kafka')", "[\"dev\"]"),
        ("identities('dev', 'kafka')", "`identities`: expected a list, found text"),
        ("identities([1], 'kafka')", "`identities`: expected text, found a whole number"),
        ("merge({'a': 1, 'b': [2]}, {'b': 3, 'c': {}})", "{\"a\": 1, \"b\": 3, \"c\": {}}"),
        ("merge(a, {'b': 0})", "{\"b\": 0, \"a\": null}"),
        ("merge({}, {})", "{}"),
        ("merge({}, [])", "`merge` cannot be used with a map and a list"),
        ("lower(1)", "`lower`: expected text, found a whole number"),
        ("lower('a', 'b')", "`lower`: expected 1 argument, found 2"),
    ] {
        assert_eq!(result_of(expression), expected, "{expression}");
    }
}

#[test]
fn computation_that_exceeds_the_budget_is_refused() {
    let large = "the computation is too large: it visits or creates more than 2000000 items, or 32 MB of text";
    let doubled = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26]";
    for expression in [
        "range(100000).map(x, lists.range(100000))".to_owned(),
        format!("{doubled}.map(a, {doubled}.map(b, {doubled}.map(c, {doubled}.map(d, {doubled}.map(e, a)))))"),
        "'a'".to_owned() + &".replace('a', 'aaaaaaaaaa')".repeat(12),
        "[range(20000).map(x, 'aaaaaaaaaaaaaaaa').join('')].map(t, t.replace('a', t))".to_owned(),
        "[range(100000).map(x, 'aaaaaaaa').join(',')].map(t, range(2000).map(x, t).join(t))".to_owned(),
        "range(900000) + range(900000) + range(900000)".to_owned(),
        // A copy counts with all its content, however it is created.
        "[range(100000)].map(l, range(30).map(x, l))".to_owned(),
        "[range(100000)].map(l, range(30).map(x, {'l': l}))".to_owned(),
        "[range(100000)].map(l, range(30).map(x, l.slice(0, 90000)))".to_owned(),
        "[range(100000)].map(l, range(30).map(x, optional.of(l)))".to_owned(),
        "[range(100000)].map(l, range(30).map(x, optional.of(l).value()))".to_owned(),
        "[[range(100000)]].map(l, range(900).filter(x, size(l.map(y, 1)) == 0))".to_owned(),
        "[range(100000)].map(l, range(900).filter(x, size(json(l)) == 0))".to_owned(),
        "[range(100000).map(x, 'aa').join(',')].map(t, range(30).map(x, t.split(',')))".to_owned(),
        "[range(100000).map(x, 'aaaaaaaaaaaaaaaa').join(',')].map(t, range(30).map(x, t.upperAscii()))".to_owned(),
        "[range(100000)].map(l, [l + l + l + l].map(m, m + m + m + m))".to_owned(),
        "range(400000).map(x, ['a', 'b', 'c', 'd', 'e', 'f'])".to_owned(),
        "range(400000).map(x, {'a': 1, 'b': 2, 'c': 3, 'd': 4, 'e': 5, 'f': 6})".to_owned(),
        "range(300000).map(x, 'a text of so many letters that it counts as much as several items, for it is copied, too')".to_owned(),
    ] {
        assert!(result_of(&expression).contains(large), "{expression}: {:.200}", result_of(&expression));
    }
    assert_eq!(result_of("size(range(1000000).map(x, x))"), "1000000");
    assert_eq!(result_of("size(range(500).map(x, range(500).map(y, 1)))"), "500");
    assert_eq!(result_of("size(range(100000).map(x, 'item ' + string(x)).join(','))"), "1088889");
}

#[test]
fn texts_can_be_replaced_and_joined() {
    for (expression, expected) in [
        ("'banana'.replace('a', 'o')", "\"bonono\""),
        ("'banana'.replace('a', 'o', 2)", "\"bonona\""),
        ("'banana'.replace('a', 'o', -1)", "\"bonono\""),
        ("'banana'.replace('a', 'o', 0)", "\"banana\""),
        ("'ab'.replace('', '-')", "\"-a-b-\""),
        ("['a', 'b'].join()", "\"ab\""),
        ("['a', 'b'].join(', ')", "\"a, b\""),
        ("[].join(',')", "\"\""),
        ("[1].join(',')", "`join`: an item of the list is not text"),
        ("'a'.replace(1, 'b')", "`replace` cannot be used with text, a whole number, text"),
        ("'a'.join(',')", "`join` cannot be used with text and text"),
        ("lists.range(2)", "[0, 1]"),
    ] {
        assert_eq!(result_of(expression), expected, "{expression}");
    }
}

#[test]
fn every_documented_function_exists() {
    let macros = ["all", "exists", "exists_one", "existsOne", "filter", "has", "map", "optMap", "optFlatMap", "sortBy"];
    for function in FUNCTIONS.iter().filter(|function| !macros.contains(&function.name)) {
        let call = match function.style {
            Style::Global | Style::Both => format!("{}(1)", function.name),
            Style::Member => format!("(1).{}()", function.name),
        };
        let answer = result_of(&call);
        assert!(!answer.starts_with("there is no"), "{call}: {answer}");
    }
}

#[test]
fn every_function_is_documented_once() {
    let mut names: Vec<_> = FUNCTIONS.iter().map(|function| function.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}
