//! Tests that no text makes the compiler or the evaluator panic, hang or overflow.

use super::*;
use crate::limits::Limits;
use crate::naming::NamesRule;
use proptest::prelude::*;

#[test]
fn deep_nesting_is_an_error_instead_of_an_overflow() {
    let count = 100_000;
    for deep in [
        "(".repeat(count),
        "[".repeat(count),
        "{1:".repeat(count),
        "-".repeat(count),
        "!".repeat(count),
        format!("a{}", ".b".repeat(count)) + "()",
        "1+".repeat(count) + "1",
        "a?b:".repeat(count) + "c",
        "f(".repeat(count),
        format!("a{}", "[0+0]".repeat(count)),
        "a.map(x,".repeat(count),
        "a||".repeat(count) + "a",
        "1<".repeat(count) + "1",
        "1 in ".repeat(count) + "1",
        format!("a{}", "{}".repeat(count)),
    ] {
        let (_, diagnostics, _) = compile(&format!("${{{{ {deep} }}}}"));
        assert_eq!(diagnostics.len(), 1);
    }
}

#[test]
fn no_depth_overflows_a_small_stack() {
    let nested = |open: &str, close: &str, count: usize| format!("{}1{}", open.repeat(count), close.repeat(count));
    let evaluate = move || {
        for count in [4, 12, 40, 90, 100, 300, 1000] {
            for deep in [
                "1+".repeat(count) + "1",
                "-".repeat(count) + "1",
                "!".repeat(count) + "true",
                format!("a{}", ".b".repeat(count)) + "+1",
                "true ? 1 : ".repeat(count) + "1",
                nested("[", "]", count),
                nested("(", ")", count),
                nested("{1:", "}", count),
                nested("dyn(", ")", count),
                nested("[1].map(x, ", ")", count),
                format!("[1]{}", ".map(x, x)".repeat(count)),
                format!("[1]{}", "[0]".repeat(count)),
                "true && ".repeat(count) + "true",
                "1 in ".repeat(count) + "[1]",
            ] {
                text(&format!("${{{{ {deep} }}}}"), json!({"a": 1}));
            }
        }
    };
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(evaluate).unwrap().join().unwrap();
}

#[test]
fn value_cannot_nest_deeper_than_the_state_allows() {
    let too_deep = "error: the value nests lists and maps deeper than 64 levels; embed less of other values: read the \
                    needed part, not the whole";
    let nested = |count: usize| "[".repeat(count) + &"]".repeat(count);
    let deep = json!({"a": serde_json::from_str::<serde_json::Value>(&nested(60)).unwrap()});
    assert_eq!(text(&format!("${{{{ {} }}}}", nested(64)), json!({})), nested(64));
    assert_eq!(text(&format!("${{{{ {} }}}}", nested(65)), json!({})), too_deep);
    assert_eq!(text("${{ [[[[a]]]] }}", deep.clone()), nested(64));
    assert_eq!(text("${{ [[[[[a]]]]] }}", deep.clone()), too_deep);
    assert_eq!(text("${{ {'$terrace': [a]} }}", deep.clone()), format!("{{\"$terrace\": [{}]}}", nested(60)));
    assert_eq!(text("${{ {'$terrace': [[a]]} }}", deep), too_deep);
}

#[test]
fn values_of_a_stack_share_a_budget() {
    let functions = Functions::default();
    let evaluate = |functions: &Functions, count: u64| {
        let (template, _, _) = compile(&format!("${{{{ range({count}) }}}}"));
        template.evaluate(&Variables::new(json!({})), functions).map(drop).map_err(|errors| messages(&errors))
    };
    for _ in 0..2 {
        let stack = functions.within(5_000);
        assert_eq!([2_000, 2_000, 2_000].map(|count| evaluate(&stack, count)), [const { Ok(()) }; 3]);
        let refused = evaluate(&stack, 2_000).unwrap_err();
        assert!(refused.starts_with("error: the values of the stack are too large"), "{refused}");
        // Small values do not count.
        assert_eq!([500; 8].map(|count| evaluate(&stack, count)), [const { Ok(()) }; 8]);
    }
    assert_eq!([500_000; 4].map(|count| evaluate(&functions, count)), [const { Ok(()) }; 4]);
}

#[test]
fn budget_shrinks_with_the_limits() {
    let limits = Limits::new(10_000, 100, "buy more memory");
    let functions = Functions::default().bounded(limits.clone()).of_stack(NamesRule::Latin);
    let evaluate = |text: &str| {
        let (template, _, _) = compile(text);
        template.evaluate(&Variables::new(json!({})), &functions).map(drop).map_err(|errors| messages(&errors))
    };
    assert_eq!(evaluate("${{ range(9000) }}"), Ok(()));
    assert!(!limits.is_exceeded());
    assert_eq!(
        evaluate("${{ range(100).map(i, range(101)).size() }}").unwrap_err(),
        "error: the computation is too large: it visits or creates more than 10000 items, or 0 MB of text; visit fewer \
         items, and copy smaller values, or buy more memory"
    );
    assert!(limits.is_exceeded());
    assert_eq!([(); 3].map(|()| evaluate("${{ range(9000) }}")), [const { Ok(()) }; 3]);
    let refused = evaluate("${{ range(9000) }}").unwrap_err();
    assert!(refused.starts_with("error: the values of the stack are too large: together they hold more than 40000"));
}

/// A deep expression is evaluated on a new thread.
#[test]
fn deep_expression_keeps_to_the_budget_of_its_stack() {
    let limits = Limits::new(10_000, 100, "buy more memory");
    let functions = Functions::default().bounded(limits.clone()).of_stack(NamesRule::Latin);
    let evaluate = |items: usize| {
        let text = format!("${{{{ {}range({items}){} }}}}", "true ? (".repeat(40), ") : []".repeat(40));
        let (template, diagnostics, _) = compile(&text);
        assert_eq!(diagnostics.len(), 0, "{diagnostics:?}");
        template.evaluate(&Variables::new(json!({})), &functions).map(drop).map_err(|errors| messages(&errors))
    };
    let refused = evaluate(20_000).unwrap_err();
    assert!(
        refused.starts_with("error: the computation is too large: it visits or creates more than 10000"),
        "{refused}"
    );
    assert!(limits.is_exceeded());
    assert_eq!([(); 4].map(|()| evaluate(9_000)), [const { Ok(()) }; 4]);
    let refused = evaluate(9_000).unwrap_err();
    assert!(refused.starts_with("error: the values of the stack are too large"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_text_causes_a_panic(noise in any::<String>(), pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..14)) {
        let variables = json!({"a": {"b": [1, "x", null, "(unknown)"], "s": {"(secret)": "y"}}, "c": 3});
        for inner in [noise, pieces.concat(), pieces.join(" ")] {
            text(&inner, variables.clone());
            text(&format!("${{{{ {inner} }}}}"), variables.clone());
        }
    }
}

const PIECES: &[&str] = &[
    "a",
    ".b",
    "[0]",
    "c",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'x'",
    "\"y\"",
    "'",
    "\"",
    "1",
    "1u",
    "2.5",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "<",
    " in ",
    "&&",
    "||",
    "!",
    "?",
    ":",
    ",",
    "has(a.b)",
    ".map(x, x)",
    ".filter(x, x == 1)",
    ".all(x, true)",
    "size(",
    "string(",
    "a.s",
    "a.b",
    "true",
    "null",
    "r'",
    "b'z'",
    "'''",
    "é",
    "\\",
    "\n",
    ".?b",
    "[?0]",
    "math.greatest(",
    ".sort()",
    ".sortBy(x, x)",
    "$",
    "${{",
    "}}",
    "{'k': 1}",
    "format(",
    ".substring(5)",
    "range(3)",
    "json(",
    "//",
    "`",
    "x{y: 1}",
    "9e999",
    "0x",
    "has(",
    "math.@max",
    "@0",
    ".exists_one(",
    "a.b[1:2]",
    ".optMap(x, x)",
    "'\\x'",
    "'\\u12'",
    "9223372036854775808",
    "_",
];
