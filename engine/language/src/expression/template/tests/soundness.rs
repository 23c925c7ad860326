//! Property tests: a result planned as known does not depend on unknown values, and an unmarked result does not depend
//! on sensitive values.

use super::*;
use proptest::prelude::*;

/// Well-formed expressions over the variable `u`, and over `m.k`, which has the same value.
fn expression() -> impl Strategy<Value = String> {
    let leaves =
        ["u", "m.k", "1", "2", "'a'", "true", "false", "null", "[u]", "{'k': u}", "[1, m.k]", "known.list", "known.k"];
    let leaf = prop::sample::select(leaves.to_vec()).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operators = ["+", "==", "!=", "<", " in ", "&&", "||"];
        let calls = [
            "size(?)",
            "string(?)",
            "json(?)",
            "has((?).k)",
            "has(m.k)",
            "!(?)",
            "(?).k",
            "(?)[0]",
            "(?)['k']",
            "type(?)",
            "(?).map(x, x)",
            "(?).map(x, {'x': x})",
            "(?).filter(x, x == 1)",
            "(?).exists(x, x == 1)",
            "(?).all(x, x != 1)",
            "(?).?k.orValue(7)",
            "(?).distinct()",
            "(?).reverse()",
            "(?).sort()",
            "[?].flatten()",
            "dyn(?)",
            "{'k': ?, 'z': 1}",
        ];
        prop_oneof![
            (inner.clone(), prop::sample::select(operators.to_vec()), inner.clone())
                .prop_map(|(a, o, b)| format!("({a}){o}({b})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
            (prop::sample::select(calls.to_vec()), inner.clone())
                .prop_map(|(call, a)| call.replace('?', &a).replace(&format!("{a}k.orValue"), "?k.orValue")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("[{a}, {b}]")),
        ]
    })
}

fn result_of(expression: &str, u: &serde_json::Value) -> Option<Result<Value, ()>> {
    let (template, diagnostics, _) = compile(&format!("${{{{ {expression} }}}}"));
    let variables = Variables::new(json!({"u": u, "m": {"k": u}, "known": {"list": [1, 2], "k": 1}}));
    diagnostics.is_empty().then(|| template.evaluate(&variables, &Functions::default()).map_err(|_| ()))
}

/// Values for the unknown and the sensitive variable.
fn possible() -> Vec<serde_json::Value> {
    vec![
        json!(1),
        json!(2),
        json!("a"),
        json!(true),
        json!(false),
        json!(null),
        json!([]),
        json!([1]),
        json!({"k": 1}),
        json!({"k": "a"}),
        json!({"k": [2]}),
    ]
}

/// True when the concrete value equals the planned value wherever that is known.
fn keeps(planned: &Value, concrete: &Value) -> bool {
    match (planned, concrete) {
        (Value::Unknown, _) => true,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| keeps(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| keeps(a, b)))
        }
        (a, b) => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn known_planned_value_holds_for_every_actual_value(expression in expression()) {
        let Some(planned) = result_of(&expression, &json!("(unknown)")) else { return Ok(()) };
        for value in possible() {
            let concrete = result_of(&expression, &value).unwrap();
            match (&planned, &concrete) {
                (Ok(planned), Ok(concrete)) => prop_assert!(keeps(planned, concrete), "{expression}: {planned:?}, with {value}: {concrete:?}"),
                // The unknown value may have a type that an operation refuses: `size([u.k])` plans 1. Then the apply
                // stops with an error, and no value differs from the plan.
                (Ok(_), Err(())) => {}
                (Err(()), Ok(concrete)) => prop_assert!(false, "{expression}: an error, with {value}: {concrete:?}"),
                (Err(()), Err(())) => {}
            }
        }
    }

    #[test]
    fn unmarked_result_does_not_depend_on_sensitive_values(expression in expression()) {
        let mut open = Vec::new();
        for value in possible() {
            match result_of(&expression, &json!({"(secret)": value})) {
                Some(Ok(result)) if !result.has_sensitive() => open.push(result),
                _ => {}
            }
        }
        open.dedup();
        prop_assert!(open.len() <= 1, "{expression}: {open:?}");
    }
}
