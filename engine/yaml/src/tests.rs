use super::*;
use crate::diagnostic::Diagnostic;
use crate::source::Sources;
use proptest::prelude::*;
use terrace_provider::{Path, Value};

fn read(text: &str) -> Node {
    parse(Sources::default().add("t.yaml", text), text, &Budget::default()).unwrap()
}

fn errors(text: &str) -> Vec<Diagnostic> {
    parse(Sources::default().add("t.yaml", text), text, &Budget::default()).unwrap_err()
}

/// The diagnostics of a text, as a user sees them.
fn report(text: &str) -> String {
    let mut sources = Sources::default();
    let id = sources.add("t.yaml", text);
    match parse(id, text, &Budget::default()) {
        Ok(node) => format!("read as {:?}", node.to_value()),
        Err(diagnostics) => crate::diagnostic::plain_text(&diagnostics, &sources),
    }
}

fn slice<'t>(text: &'t str, node: &Node) -> &'t str {
    &text[node.span.start as usize..node.span.end as usize]
}

fn at<'n>(node: &'n Node, path: &str) -> &'n Node {
    node.find(&path.parse::<Path>().unwrap()).unwrap()
}

#[test]
fn unquoted_text_follows_yaml_1_2_and_keeps_digits() {
    let cases: &[(&str, Value)] = &[
        ("no", "no".into()),
        ("yes", "yes".into()),
        ("on", "on".into()),
        ("true", true.into()),
        ("False", false.into()),
        ("~", Value::Null),
        ("null", Value::Null),
        ("12", 12.into()),
        ("-12", (-12).into()),
        ("+12", 12.into()),
        ("0123", "0123".into()),
        ("-0123", "-0123".into()),
        ("0x1F", 31.into()),
        ("0o17", 15.into()),
        ("0x", "0x".into()),
        ("0x-1", "0x-1".into()),
        ("1_000", "1_000".into()),
        (".5", ".5".into()),
        (".inf", ".inf".into()),
        (".nan", ".nan".into()),
        ("2024-01-31", "2024-01-31".into()),
        ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z".into()),
        ("12:30", "12:30".into()),
        ("1.0.0", "1.0.0".into()),
        ("'1'", "1".into()),
        ("!!str 1", "1".into()),
        ("! 1", "1".into()),
        ("!!int 7", 7.into()),
    ];
    for (text, expected) in cases {
        let text = format!("v: {text}");
        assert_eq!(read(&text).get("v").unwrap().to_value(), *expected, "{text}");
    }
}

#[test]
fn numbers_beyond_64_bits_and_decimals_keep_their_text() {
    for text in ["1.10", "-0.50", "1e3", "9223372036854775808", "92233720368547758070000", "-9223372036854775809"] {
        let node = read(&format!("[{text}]"));
        let NodeKind::Number(number) = &node.as_list().unwrap()[0].kind else { panic!("{text}") };
        assert_eq!(number.as_str(), text);
    }
    assert_eq!(
        read("[9223372036854775807, -9223372036854775808]").to_value(),
        vec![Value::Int(i64::MAX), Value::Int(i64::MIN)].into()
    );
}

#[test]
fn spans_are_byte_ranges_even_after_non_ascii_text() {
    for newline in ["\n", "\r\n"] {
        for bom in ["", "\u{feff}"] {
            let text = format!(
                "{bom}größe: ä𝄞ö\nlist:\n  - \"ü\"  # ß\n  - {{é: 1, f: [x, y]}}\nblock: |\n  line one\n  line zwö\nlast:\n  a: 1\n  b: 2\n\n\n"
            )
            .replace('\n', newline);
            let node = read(&text);
            assert_eq!(slice(&text, at(&node, "[\"größe\"]")), "ä𝄞ö");
            assert_eq!(slice(&text, at(&node, "list[0]")), "\"ü\"");
            assert_eq!(slice(&text, at(&node, "list[1]")), "{é: 1, f: [x, y]}");
            assert_eq!(slice(&text, at(&node, "list[1].f")), "[x, y]");
            assert_eq!(slice(&text, at(&node, "list[1].f[1]")), "y");
            assert!(slice(&text, at(&node, "block")).ends_with("line zwö"));
            assert_eq!(slice(&text, at(&node, "last")), format!("a: 1{newline}  b: 2"));
            let key = node.find_entry(&"last.b".parse().unwrap()).unwrap().key_span;
            assert_eq!(&text[key.start as usize..key.end as usize], "b");
            assert!(slice(&text, &node).starts_with("größe: "));
            assert!(slice(&text, &node).ends_with("b: 2"));
        }
    }
}

#[test]
fn absent_value_is_placed_after_its_key() {
    let text = "a:\nb: 1\n";
    let node = read(text);
    let span = node.get("a").unwrap().span;
    assert_eq!((span.start, span.end), (1, 1));
}

#[test]
fn merge_key_is_expanded_and_own_keys_win() {
    let node = read(
        "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\none:\n  k: 0\n  <<: *b\n  y: 9\ntwo:\n  <<: [*b, *m]\nthree: {'<<': 1}\n",
    );
    assert_eq!(node.get("one").unwrap().to_json().to_string(), r#"{"k":0,"x":1,"y":9}"#);
    assert_eq!(node.get("two").unwrap().to_json().to_string(), r#"{"x":1,"y":2,"z":4}"#);
    assert_eq!(node.get("three").unwrap().to_json().to_string(), r#"{"<<":1}"#);
}

#[test]
fn alias_keeps_its_own_place() {
    let text = "a: &x [1, 2]\nb: *x\n&k c: 1\n*k : 2\n";
    let errors = errors(text);
    assert_eq!(errors[0].code, "duplicate_key");
    let text = "a: &x [1, 2]\nb: *x\n";
    let node = read(text);
    assert_eq!(slice(text, node.get("b").unwrap()), "*x");
    assert_eq!(node.get("b").unwrap().to_value(), node.get("a").unwrap().to_value());
}

#[test]
fn duplicate_key_with_equal_value_can_be_allowed() {
    let lenient = ParseOptions { duplicate_keys: DuplicateKeys::WarnWhenEqual, ..ParseOptions::default() };
    let text = "a: {x: [1]}\nb: 1\na: {x: [1]}\n";
    let parsed = parse_with(Sources::default().add("t.yaml", text), text, &lenient).unwrap();
    assert_eq!(parsed.node.to_json().to_string(), r#"{"b":1,"a":{"x":[1]}}"#);
    assert_eq!(parsed.warnings.len(), 1);
    let text = "a: 1\na: 2\n";
    assert!(parse_with(Sources::default().add("t.yaml", text), text, &lenient).is_err());
}

#[test]
fn duplicate_key_is_found_in_a_large_map() {
    let text: String = (0..200).chain([7, 7]).map(|key| format!("k{key}: {key}\n")).collect();
    assert_eq!(errors(&text).len(), 2);
}

#[test]
fn syntax_errors_have_a_place_and_a_hint() {
    let cases = [
        "",
        "# only a comment\n",
        "---\n",
        "a: 1\n---\nb: 2\n",
        "a:\n\t- 1\n",
        "a:\n  b: 1\n\tc: 2\n",
        "a: *nowhere\n",
        "a: &x [*x]\n",
        "a: \"open\nb: 1\n",
        "a: 'it's'\n",
        "a: [1, 2\nb: 3\n",
        "a: {x: 1]\n",
        "a: b: c\n",
        "a: 1\n b: 2\n",
        "a:\n  b: 1\n c: 2\n",
        "? [1, 2]\n: x\n",
        "{[a]: 1}\n",
        ": x\n",
        "a: 1\nb: 2\na: 3\n",
        "a: !Ref x\n",
        "a: !!int x\n",
        "a: @x\n",
        "a: %x\n",
        "a: \"\\q\"\n",
        "<<: 3\n",
        "when: ${{ {\"a\": 1}.a == 1 }}\n",
        "config: {a: ${{ vars.x }}, b: 1}\n",
        "just text\nmore: 1\n",
    ];
    let all: String = cases.iter().map(|text| format!("{text:?}\n{}\n\n", report(text))).collect();
    insta::assert_snapshot!(all);
}

#[test]
fn bombs_fail_quickly() {
    let billion_laughs = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let before = level - 1;
        let items = vec![format!("*a{before}"); 10].join(", ");
        format!("{text}a{level}: &a{level} [{items}]\n")
    });
    let nested_anchors = format!("{}x{}", (0..60).map(|n| format!("&a{n} [")).collect::<String>(), "]".repeat(60));
    let block: String = (0..100).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let cases = [
        ("budget", "[".repeat(100)),
        ("budget", format!("{}{}", "[".repeat(100), "]".repeat(100))),
        ("budget", "{a: ".repeat(100)),
        ("budget", "- ".repeat(100)),
        ("budget", block),
        ("budget", billion_laughs),
        ("budget", format!("a: &a {}\nb: [{}x]\n", "word".repeat(1 << 18), "*a, ".repeat(50_000))),
        ("budget", "[".repeat(1 << 20)),
        ("yaml_syntax", format!("a: \"{}", "x".repeat(1 << 20))),
        ("yaml_syntax", format!("a: {}: b", "x".repeat(1 << 20))),
        ("yaml_syntax", "a:\n\tb: 1\n".to_owned()),
        ("yaml_syntax", "}".repeat(1 << 20)),
    ];
    for (code, text) in &cases {
        let errors = errors(text);
        assert_eq!(errors[0].code, *code, "{:.60}", text);
    }
    assert!(read(&nested_anchors).as_list().is_some());
    let line = format!("a: {}\nb: 'c'\n", "word ".repeat(200_000));
    assert_eq!(read(&line).get("b").unwrap().as_text(), Some("c"));
}

#[test]
fn text_over_the_byte_budget_is_refused() {
    let budget = Budget { bytes: 10, ..Budget::default() };
    let errors = parse(Sources::default().add("t.yaml", ""), "a: 12345678901", &budget).unwrap_err();
    assert_eq!(errors[0].code, "budget");
    let budget = Budget { nodes: 3, ..Budget::default() };
    assert!(parse(Sources::default().add("t.yaml", ""), "[1, 2, 3]", &budget).is_err());
}

#[test]
fn json_pointer_finds_its_node() {
    let node = read("{\"a/b\": {\"~\": [1, {\"\": 2}]}}");
    assert_eq!(node.find_pointer("/a~1b/~0/1/").unwrap().to_value(), 2.into());
    assert_eq!(node.find_pointer("").unwrap(), &node);
    assert!(node.find_pointer("/x").is_none());
    assert!(node.find_pointer("x").is_none());
}

/// JSON allows delete and the C1 controls unescaped, YAML does not.
fn printable() -> impl Strategy<Value = String> {
    "(?s).{0,20}".prop_map(|text: String| {
        text.replace(
            |c: char| ('\u{7f}'..='\u{9f}').contains(&c) || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}'),
            "_",
        )
    })
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1.0e12..1.0e12f64).prop_map(Into::into),
        printable().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::vec((printable(), inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_fails_without_panic(text in "(?s)[\\[\\]{}:,#&*!|>'\"%@`\\-? \n\ta-c0é]{0,200}") {
        let mut sources = Sources::default();
        let id = sources.add("t.yaml", text.as_str());
        match parse(id, &text, &Budget::default()) {
            Ok(node) => prop_assert!(node.span.end as usize <= text.len()),
            Err(errors) => for error in errors {
                prop_assert!(error.place(&sources).is_some());
                prop_assert!(error.hint.is_some());
            }
        }
    }

    #[test]
    fn json_round_trips(value in json()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            if value.is_null() {
                continue;
            }
            let node = read(&text);
            prop_assert_eq!(node.to_value(), Value::from(value.clone()));
            prop_assert_eq!(node.to_json(), value.clone());
        }
    }
}

#[test]
fn tab_is_reported_at_its_place() {
    let texts = [
        "a:\n\tb: 1\n",
        "a: 1\n\tb: 1\n",
        "a:\n  - b: c\n    d: e\n\tf: {}\n",
        "a:\n  b: c\n  \td: e\n",
        "a: |\n\tx\n",
        "a:\n\t- b\n",
    ];
    for text in texts {
        let tab = text.find('\t').unwrap();
        let found = errors(text);
        assert_eq!(found.len(), 1);
        let [Diagnostic { message, labels, .. }] = found.as_slice() else { panic!("{text:?}: {found:?}") };
        assert_eq!(message, "a tab where YAML allows only spaces", "{text:?}");
        let crate::diagnostic::Location::Span(span) = labels[0].at else { panic!("{text:?}") };
        assert_eq!(span.start as usize, tab, "{text:?}");
    }
}

#[test]
fn no_break_space_is_named_in_the_error() {
    let report = report("a: 1\nretries:\u{a0}2\nb: 3\n");
    assert!(report.contains("no-break space"), "{report}");
}

#[test]
fn unclosed_bracket_is_reported_where_it_opens() {
    let cases = [
        ("a:\n  b: [1\n  c: 2\n", '['),
        ("a:\n  b: {c: 1\n  d: 2\n", '{'),
        ("a:\n  b: \"c\n  d: 2\n", '"'),
        ("a:\n  - 'c\n  - d\n", '\''),
    ];
    for (text, open) in cases {
        let [found] = errors(text).try_into().unwrap();
        let labels: Vec<_> = found.labels.iter().map(|label| label.text.as_str()).collect();
        assert_eq!(labels, ["", "this is not closed in its line"], "{text:?}: {found:?}");
        let crate::diagnostic::Location::Span(span) = found.labels[1].at else { panic!("{text:?}") };
        assert_eq!(span.start as usize, text.find(open).unwrap(), "{text:?}");
    }
    for text in ["a:\n  b: [1]\n   c: 2\n", "a: 'b'\n  c: d\n"] {
        assert_eq!(errors(text)[0].labels.len(), 1, "{text:?}");
    }
}

#[test]
fn missing_space_is_reported_at_its_place() {
    let cases = [
        ("r:\n  - type:local_value\n    name: v\n", ":local", "a space is missing after `:`", "`type: …`"),
        ("apiVersion:terrace.dev/v1\nkind: Stack\n", ":terrace", "a space is missing after `:`", "`apiVersion: …`"),
        ("r:\n  - a: 1\n  -b: 2\n", "-b", "a space is missing after `-`", "`- b: …`"),
        ("r:\n  - a: 1\n  -{b: 2}\n", "-{b", "a space is missing after `-`", "put a space after `-`"),
    ];
    for (text, place, message, hint) in cases {
        let [found] = errors(text).try_into().unwrap();
        assert_eq!(found.message, message, "{text:?}");
        assert!(found.hint.as_ref().unwrap().contains(hint), "{text:?}: {found:?}");
        let crate::diagnostic::Location::Span(span) = found.labels[0].at else { panic!("{text:?}") };
        assert_eq!(span.start as usize, text.find(place).unwrap(), "{text:?}");
    }
}

#[test]
fn missing_colon_is_reported_at_its_key() {
    for (text, place) in [
        ("just text\nmore: 1\n", " text"),
        ("a:\n  path a.txt\n  b: 1\n", " a.txt"),
        ("r:\n  - path a.txt\n    b: 1\n", " a.txt"),
        ("config\n  b: 1\n", "\n  b"),
        ("r:\n  - noise\n    b: 1\n", "\n    b"),
        ("a:\n  b:\n    c: d\n  files\n  e:\n    f: g\n", "\n  e"),
    ] {
        let [found] = errors(text).try_into().unwrap();
        let crate::diagnostic::Location::Span(span) = found.labels[0].at else { panic!("{text:?}") };
        assert_eq!(found.message, "a `:` is missing after the key", "{text:?}");
        assert_eq!(span.start as usize, text.find(place).unwrap(), "{text:?}");
    }
    for text in [
        "a: some\n  long text\n  b: 1\n",
        "a: b: c\n",
        "- some text\n  more text: 1\n",
        "description:\n  This pipeline loads orders\n  every night. Note: slow\n",
        "sql:\n  select a\n  from b\n  where: c\n",
        "password:\n  hunter2\n  user: x\n",
        "[x,\n y z\n d: 1]\n",
        "x:\n  hooks:\n  - plain\n  title: a: b\n",
    ] {
        let found = errors(text);
        assert!(!found[0].message.contains("missing after the key"), "{text:?}: {found:?}");
    }
}

#[test]
fn comma_without_value_is_reported_at_its_place() {
    for (text, at) in [
        ("a: {b: [1,,2]}\n", 10),
        ("a: [1, ,2]\n", 7),
        ("a: [,1]\n", 4),
        ("a: {b: 1,,c: 2}\n", 9),
        ("a: {, b: 1}\n", 4),
        ("a: [1,\n  ,2]\n", 9),
    ] {
        let message = match !text.contains("[,") && !text.contains("{,") {
            true => "two commas without a value between them",
            false => "a comma without a value before it",
        };
        let [found] = errors(text).try_into().unwrap();
        assert_eq!(found.message, message, "{text:?}: {found:?}");
        let crate::diagnostic::Location::Span(span) = found.labels[0].at else { panic!("{text:?}") };
        assert_eq!(span.start, at, "{text:?}");
    }
    assert_eq!(read("a: [1, 2,]\n").to_json(), serde_json::json!({"a": [1, 2]}));
}

#[test]
fn invisible_character_is_reported_at_its_place() {
    for (text, at, message) in [
        (
            "r:\n\u{a0}\u{a0}- type: a\n",
            3,
            "this line or key begins with a no-break space, which YAML does not treat as a space",
        ),
        ("r:\n  -\u{a0}type: a\n", 6, "`-` is followed by a no-break space, which YAML does not treat as a space"),
        ("r\u{a0}: 1\n", 1, "this key ends with a no-break space, which YAML does not treat as a space"),
        (
            "a: 1\n\u{3000}b: 1\n",
            5,
            "this line or key begins with the invisible character U+3000, which YAML does not treat as a space",
        ),
        (
            "a: {\u{200b}b: 1}\n",
            4,
            "this line or key begins with the invisible character U+200B, which YAML does not treat as a space",
        ),
    ] {
        let [found] = errors(text).try_into().unwrap();
        assert_eq!(found.message, message, "{text:?}");
        let crate::diagnostic::Location::Span(span) = found.labels[0].at else { panic!("{text:?}") };
        assert_eq!(span.start, at, "{text:?}");
    }
    assert_eq!(read("'\u{a0}a': 1\n").to_json(), serde_json::json!({"\u{a0}a": 1}), "it is allowed in quotes");
}

#[test]
fn too_long_key_is_reported_with_the_limit() {
    let text = format!("a:\n  {}: 1\n", "k".repeat(1_100));
    let [found] = errors(&text).try_into().unwrap();
    assert_eq!(found.message, "a key of more than 1,024 characters");
    let crate::diagnostic::Location::Span(span) = found.labels[0].at else { panic!() };
    assert_eq!(span.start, 5);
    let value = format!("a: {} b: 1\n", "v".repeat(1_100));
    assert_ne!(errors(&value)[0].message, found.message, "the value is long, not a key");
    let followed = format!("a:\n  ? {}\n  : 1\n", "k".repeat(1_100));
    assert_eq!(read(&followed).get("a").unwrap().as_map().unwrap().len(), 1, "the hint works");
}

#[test]
fn unrendered_template_gets_the_hint_to_render_it() {
    for text in
        ["{% set a = 1 %}\nb: c\n", "a:\n  {% if b %}\n  c: d\n  {% endif %}\n", "{# a #}\nb: c\n", "a: {{ b }}\n"]
    {
        let hint = errors(text)[0].hint.clone().unwrap();
        assert_eq!(hint, "this is a template: render it, and pass the result", "{text:?}");
    }
    let own = report("a: ${{ b ? {\"c\": 1} : 2 }}\n");
    assert!(own.contains("put the whole value in single quotes"), "{own}");
}
