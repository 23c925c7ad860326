//! Property tests of two optimisations, reading only the needed parts of a value, and calling a function without CEL:
//! they do not change results.

use super::super::super::functions::FUNCTIONS;
use super::*;
use proptest::prelude::*;

/// Expressions over an item `x`.
const OF_ITEM: &[&str] = &[
    "x",
    "x.name",
    "x.parts",
    "x.nowhere",
    "x.?name",
    "x.?nowhere.orValue(1)",
    "x[?'name'].orValue(2)",
    "x['name']",
    "has(x.name)",
    "has(x.nowhere)",
    "type(x)",
    "size(x)",
    "size(x.parts)",
    "x.parts.size()",
    "type(x.parts)",
    "x.parts.map(y, y.name)",
    "x.parts.filter(y, y.size > 1)",
    "x.parts.exists(y, y == x)",
    "x.map(k, k)",
    "x.parts.map(x, x.size)",
    "x.parts.map(y, {'a': y.name, 'b': x.name})",
    "items.map(x, x.name)",
    "items[0].name",
    "x in items",
    "x.parts == [] ? null : x.parts[0].name",
    "'name' in x",
    "json(x)",
    "merge(x, {'a': 1})",
    "1",
];
/// Loops around such an expression, which replaces `§`.
const LOOPS: &[&str] = &[
    "items.map(x, §)",
    "items.filter(x, (§) == 1)",
    "items.all(x, (§) != 1)",
    "items.exists(x, (§) == 'a')",
    "items.exists_one(x, (§) == 'a')",
    "items.map(x, (§) != null, x.name)",
    "items[0].parts.map(x, §)",
    "lacking.map(x, §)",
    "odd.map(x, §)",
    "map.map(x, §)",
    "size(items)",
    "items.size() == 0 ? [] : items.map(x, §)",
    "type(items)",
    "items.sortBy(x, §)",
    ".items.map(x, §)",
    "optional.of(items).optMap(v, v.map(x, §))",
    "items.map(x, §).map(x, §)",
    "[items].map(x, §)",
    "items.map(x, x.name).map(x, §)",
    "unknown.map(x, §)",
    "items == items.map(x, §)",
    "size(map)",
    "map.name",
    "optional.of(items).hasValue()",
    "map.?parts.orValue([]).map(x, §)",
];

/// Well-formed expressions over `items`, a list of maps that contain lists of maps.
fn expression() -> impl Strategy<Value = String> {
    let of_item = prop::sample::select(OF_ITEM).prop_map(str::to_owned).prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["==", "!=", "+", "in"]), inner.clone())
                .prop_map(|(a, o, b)| format!("({a}) {o} ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{{'a': {a}, 'b': {b}}}")),
        ]
    });
    (prop::sample::select(LOOPS), of_item).prop_map(|(around, item)| around.replace('§', &item))
}

fn variables() -> Variables {
    let item = |name: serde_json::Value| json!({"name": name, "parts": [{"name": "p", "size": 1}, {"name": "q", "size": 2}], "more": [1, "(1.10)"]});
    Variables::new(json!({
        "items": [item(json!("a")), item(json!("b")), {"name": null, "parts": []}],
        "lacking": [item(json!("a")), {"name": "b", "parts": {"name": 1, "size": 2}}, {}],
        "odd": [item(json!("a")), "a", 1, null, [item(json!("a"))], {}],
        "map": {"name": "a", "parts": [{"name": "p"}]},
        "unknown": [item(json!("(unknown)")), {"name": "a", "parts": "(unknown)"}, item(json!({"(secret)": "s"}))],
    }))
}

fn result_of(expression: &str) -> Result<Value, Vec<String>> {
    let (template, diagnostics, _) = compile(&format!("${{{{ {expression} }}}}"));
    assert!(diagnostics.is_empty(), "{expression}: {diagnostics:?}");
    let messages =
        |diagnostics: Vec<Diagnostic>| diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect();
    template.evaluate(&variables(), &Functions::default()).map_err(messages)
}

/// Checks that the result is the same when the whole variables are part of the answer, and so needed.
fn check_needs(expression: &str) {
    let read: Vec<_> =
        ["items", "lacking", "odd", "map", "unknown"].into_iter().filter(|name| expression.contains(name)).collect();
    let whole = result_of(&format!("[{expression}, {}]", read.join(", "))).map(|value| match value.exposed() {
        Value::List(values) => values[0].revealed(),
        // An unknown value was touched, so the whole answer is unknown.
        other => other.revealed(),
    });
    assert_eq!(result_of(expression).map(|value| value.revealed()), whole, "{expression}");
}

#[test]
fn reading_only_needed_parts_keeps_results() {
    for around in LOOPS {
        OF_ITEM.iter().for_each(|of_item| check_needs(&around.replace('§', of_item)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn reading_needed_parts_keeps_results_of_combined_expressions(expression in expression()) {
        check_needs(&expression);
    }
}

#[test]
fn call_without_cel_returns_the_same_as_with_cel() {
    let own: Vec<_> = FUNCTIONS.iter().map(|function| function.name).take_while(|name| *name != "all").collect();
    assert!(own.len() > 12, "{own:?}");
    let arguments = [
        "items",
        "odd",
        "map",
        "map.name",
        "map.parts",
        "items[0].more[1]",
        "unknown[0].name",
        "unknown[2].name",
        "map.?nowhere",
        "map.nowhere",
        "'0 6 * * *'",
        "'urn:dmb:cmp:finance:cash:0:storage'",
        "7",
        "null",
        "true",
    ];
    for name in own {
        for first in arguments {
            for call in
                [format!("{name}({first})"), format!("{name}({first}, 'kafka')"), format!("{name}('kafka', {first})")]
            {
                // Compare with the order of keys, which equal maps do not need to share.
                let [alone, within] =
                    [result_of(&call), result_of(&format!("[{call}][0]"))].map(|it| it.map(|it| format!("{it:?}")));
                assert_eq!(alone, within, "{call}");
            }
        }
    }
}
