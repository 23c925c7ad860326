//! Tables of expressions with their results for known, unknown, sensitive and missing values.

use super::super::path::descend;
use super::super::{Missing, ReferenceStep};
use super::*;
use crate::yaml::Entry;
use serde_json::json;
use std::borrow::Cow;

mod errors;
mod robustness;
mod shortcuts;
mod soundness;

/// Variables by name. In the JSON, `"(unknown)"` and `{"(secret)": …}` stand for marked values, `"(1.10)"` for a
/// decimal.
pub(in crate::expression) struct Variables(Value);

impl Variables {
    pub(in crate::expression) fn new(json: serde_json::Value) -> Self {
        Self(marked(json.into()))
    }
}

fn marked(value: Value) -> Value {
    match value {
        Value::String(text) if text == "(unknown)" => Value::Unknown,
        Value::String(text) if text == "(1.10)" => Value::Number(terrace_provider::Number::parse("1.10").unwrap()),
        Value::List(items) => Value::List(items.into_iter().map(marked).collect()),
        Value::Map(mut entries) => match entries.swap_remove("(secret)") {
            Some(secret) => Value::sensitive(marked(secret)),
            None => Value::Map(entries.into_iter().map(|(key, value)| (key, marked(value))).collect()),
        },
        other => other,
    }
}

impl Scope for Variables {
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        match self.0.get(root) {
            Some(value) => descend(value, root, steps),
            None => Err(Missing::new(format!("there is no variable `{root}`"))),
        }
    }
}

pub(in crate::expression) fn compile(yaml_text: &str) -> (Template, Vec<Diagnostic>, Sources) {
    let mut sources = Sources::default();
    let source = sources.add("stack.yaml", yaml_text);
    let node = Node { span: Span::new(source, 0, yaml_text.len()), kind: NodeKind::Text(yaml_text.to_owned()) };
    let mut diagnostics = Vec::new();
    let template = Template::compile(&node, &sources, &mut diagnostics);
    (template, diagnostics, sources)
}

fn messages(diagnostics: &[Diagnostic]) -> String {
    let messages = diagnostics.iter().map(|diagnostic| match &diagnostic.hint {
        Some(hint) => format!("error: {}; {hint}", diagnostic.message),
        None => format!("error: {}", diagnostic.message),
    });
    messages.collect::<Vec<_>>().join("\n")
}

/// Evaluates a text with `${{ }}`, and prints the result.
fn text(template: &str, variables: serde_json::Value) -> String {
    let (template, diagnostics, _) = compile(template);
    if !diagnostics.is_empty() {
        return messages(&diagnostics);
    }
    match template.evaluate(&Variables::new(variables), &Functions::default()) {
        Ok(value) => format!("{value:?}"),
        Err(diagnostics) => messages(&diagnostics),
    }
}

fn check(variables: &serde_json::Value, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(text(&format!("${{{{ {expression} }}}}"), variables.clone()), *expected, "{expression}");
    }
}

#[test]
fn known_values_give_known_results() {
    let variables = json!({
        "component": {"name": "Kafka Topic", "size": 3, "price": "(1.10)", "tags": ["b", "a"], "none": null,
                      "columns": [{"name": "ID", "type": "INT"}, {"name": "TS", "type": "DATE"}]},
        "each": {"key": "x", "value": 1},
        "resources": {"part": {"x": {"path": "out/x"}, "0": {"path": "out/0"}}},
    });
    check(
        &variables,
        &[
            ("component.size", "3"),
            ("component.price", "1.10"),
            ("[component.price]", "[1.10]"),
            ("{'p': component.price}", "{\"p\": 1.10}"),
            ("component.size == 3 ? component.price : 'none'", "1.10"),
            ("[component.price].map(p, p)", "[1.10]"),
            ("[component.price].filter(p, p == '1.10')", "[1.10]"),
            ("json({'ratio': component.price, 'n': 5})", "\"{\\\"n\\\":5,\\\"ratio\\\":1.10}\""),
            ("string(component.price)", "\"1.10\""),
            ("component.price + ' EUR'", "\"1.10 EUR\""),
            ("'from ' + component.price", "\"from 1.10\""),
            ("double(component.price) + 1.0", "2.1"),
            ("component.price.startsWith('1.')", "true"),
            ("size(component.price)", "4"),
            ("['1.2', component.price].sort()", "[1.10, \"1.2\"]"),
            ("component.price in ['1.10']", "true"),
            ("[component.price, 'a'].join(' ')", "\"1.10 a\""),
            ("{component.price: 1}", "{\"1.10\": 1}"),
            ("{'1.10': 2}[component.price]", "2"),
            ("component.price == component.price", "true"),
            ("'%s'.format([component.price])", "\"1.10\""),
            ("component.size + 1", "4"),
            ("double(component.size) / 2.0", "1.5"),
            ("component.name + '!'", "\"Kafka Topic!\""),
            ("resources.part[each.key].path", "\"out/x\""),
            ("resources.part[0].path", "\"out/0\""),
            ("resources.part['x' + ''].path", "\"out/x\""),
            (
                "component.columns.map(c, {\"name\": c.name, \"type\": c.type})[1]",
                "{\"name\": \"TS\", \"type\": \"DATE\"}",
            ),
            (
                "component.columns.map(c, {\"type\": c.type, \"name\": c.name})[1]",
                "{\"type\": \"DATE\", \"name\": \"TS\"}",
            ),
            ("component.columns.filter(c, c.type == 'INT').size()", "1"),
            ("component.columns.exists(c, c.name == 'TS')", "true"),
            ("component.columns.map(c, component.columns.filter(d, d.name != c.name)[0].name)", "[\"TS\", \"ID\"]"),
            ("{'b': 1, 'c': 3, 'a': 2}.map(k, k)", "[\"a\", \"b\", \"c\"]"),
            ("{'b': 1, 'c': 3, 'a': 2}.filter(k, true)", "[\"a\", \"b\", \"c\"]"),
            ("'%s'.format([{'b': 1, 'c': 3, 'a': 2}])", "\"{a: 2, b: 1, c: 3}\""),
            ("[1] + {'b': 1, 'a': 2}", "error: `+` cannot be used with a map"),
            ("[1] + component.columns[0]", "error: `+` cannot be used with a map"),
            ("component.tags.sort()", "[\"a\", \"b\"]"),
            ("component.tags.join('-').upperAscii()", "\"B-A\""),
            ("has(component.size)", "true"),
            ("has(component.other)", "false"),
            ("has(component.other.deep.down)", "false"),
            ("has(nothing.at.all)", "false"),
            ("has(component.other) ? component.other : 'none'", "\"none\""),
            ("component.?other.orValue('none')", "\"none\""),
            ("component.?other.?deep.?down.orValue('none')", "\"none\""),
            ("component.?columns[?0].?name.orValue('none')", "\"ID\""),
            ("component.?columns[?7].?name.orValue('none')", "\"none\""),
            ("component.columns[?0].name.orValue('none')", "\"ID\""),
            ("component.none.?deep.orValue('none')", "\"none\""),
            ("component.?none.hasValue()", "true"),
            ("[component.columns].map(c, c[?1].?name.orValue('none'))", "[\"TS\"]"),
            ("component.other.?deep.orValue('none')", "error: `component` has no `other`"),
            ("nothing.?deep.orValue('none')", "error: there is no variable `nothing`"),
            ("component.none == null", "true"),
            ("true || component.other", "true"),
            ("'size' in component", "true"),
            ("7 / 2", "3"),
            ("5u", "5"),
            ("18446744073709551615u", "18446744073709551615"),
            ("b'hi'", "\"aGk=\""),
            ("{1: 'a', true: 'b'}", "{\"1\": \"a\", \"true\": \"b\"}"),
            ("type(1) == int", "true"),
            ("math.greatest(1, 3, 2)", "3"),
            ("'%s has %d'.format(['a', 3])", "\"a has 3\""),
            ("[[1], [2, 3]].flatten()", "[1, 2, 3]"),
            ("[{'n': 2}, {'n': 1}].sortBy(i, i.n)", "[{\"n\": 1}, {\"n\": 2}]"),
            ("'a,b'.split(',')", "[\"a\", \"b\"]"),
            ("'é' + component.name", "\"éKafka Topic\""),
        ],
    );
}

#[test]
fn only_values_that_depend_on_unknown_values_are_unknown() {
    let variables = json!({
        "r": {"id": "(unknown)", "name": "n", "list": [{"a": 1, "b": "(unknown)"}, {"a": 2, "b": 3}],
              "many": [1, 2, 3, 4, 5, 6, 7, 8, 9, "(unknown)"]},
        "u": "(unknown)",
    });
    let unknown = "(known after apply)";
    for expression in [
        "r.id",
        "u",
        "u.a.b",
        "u[0]",
        "r.list[u]",
        "r.list[r.id].a",
        "r.id + 'x'",
        "'x' + r.id",
        "r.id + r.id",
        "-r.id",
        "1 + u",
        "u == 1",
        "1 == u",
        "u != 1",
        "null == u",
        "u == null",
        "'a' == u",
        "true == u",
        "[1] == u",
        "u == [1]",
        "[u] == [1]",
        "[1] == [u]",
        "{'a': u} == {'a': 1}",
        "{'a': 1} == {'a': u}",
        "1.5 == u",
        "1u == u",
        "b'a' == u",
        "int == u",
        "type(u) == int",
        "u < 1",
        "1 < u",
        "u in [1, 2]",
        "1 in [u]",
        "1 in u",
        "'a' in {'b': u}['b']",
        "has(u.a)",
        "has(r.id)",
        "has(r.id.x)",
        "u ? 1 : 2",
        "!u",
        "u && true",
        "u || false",
        "false || u",
        "true && u",
        "size(u)",
        "u.size()",
        "string(u)",
        "int(u)",
        "dyn(u)",
        "type(u)",
        "u.startsWith('a')",
        "'a'.startsWith(u)",
        "'abc'.contains(r.id)",
        "'a'.matches(u)",
        "u.matches('a')",
        "u.map(x, 1)",
        "u.filter(x, true)",
        "u.all(x, true)",
        "u.exists(x, true)",
        "[1, u].exists(x, x == 7)",
        "[1, u].all(x, x == 1)",
        "[u].filter(x, x == 1)",
        "[u].exists_one(x, x == 1)",
        "r.list.filter(i, i.b == 3)",
        "r.list.map(i, i.b + 1)",
        "[1].map(i, i == u)",
        "json(r.list)",
        "yaml(u)",
        "sha256(r.id)",
        "lower(u)",
        "normalize(r.id)",
        "range(u)",
        "'a'.replace('a', u)",
        "[u].join(',')",
        "['a', u].sort()",
        "[u, u].distinct()",
        "'%s'.format([u])",
        "math.greatest(1, u)",
        "{u: 1}",
        "{'a': 1}[u]",
        "[1, 2][u]",
        "optional.of(u).orValue(1) == 1",
        "u.?a.orValue(1)",
        "merge({}, u)",
        "u.?a.hasValue()",
        "r.id.?a.?b.hasValue()",
        "[r.id][0] + 'x'",
        "u.a == 1",
        "[u][0] == 1 ? 'a' : 'b'",
        "r.list.exists(i, has(i.b.c))",
        "u[1:2]".split(':').next().map_or("u", |_| "u[1]"),
        "optional.ofNonZeroValue(u).hasValue()",
        "[[u]].flatten().sort()",
        "[{'k': u}].sortBy(i, i.k)",
    ] {
        assert_eq!(text(&format!("${{{{ {expression} }}}}"), variables.clone()), unknown, "{expression}");
    }
    check(
        &variables,
        &[
            (
                "r",
                "{\"id\": (known after apply), \"name\": \"n\", \"list\": [{\"a\": 1, \"b\": (known after apply)}, {\"a\": 2, \"b\": 3}], \"many\": [1, 2, 3, 4, 5, 6, 7, 8, 9, (known after apply)]}",
            ),
            ("[r.id, 1]", "[(known after apply), 1]"),
            ("{'id': r.id, 'name': r.name}", "{\"id\": (known after apply), \"name\": \"n\"}"),
            ("r.list.map(i, {'x': i.a, 'y': i.b})", "[{\"x\": 1, \"y\": (known after apply)}, {\"x\": 2, \"y\": 3}]"),
            ("r.list.filter(i, i.a == 1)", "[{\"a\": 1, \"b\": (known after apply)}]"),
            ("r.list.map(i, i.a)", "[1, 2]"),
            ("r.many + [10]", "[1, 2, 3, 4, 5, 6, 7, 8, 9, (known after apply), 10]"),
            ("size(r.many)", "10"),
            ("r.name == 'n' ? 'a' : r.id", "\"a\""),
            ("r.name == 'm' ? 'a' : [r.id]", "[(known after apply)]"),
            ("merge({'a': u, 'b': 1}, {'b': 2, 'c': r.id}).b", "2"),
            ("merge({'a': u}, {'c': r.id})", "{\"a\": (known after apply), \"c\": (known after apply)}"),
            ("r.?id.hasValue()", "true"),
            ("[r.?id.orValue(1)]", "[(known after apply)]"),
            ("r.?other.?id.orValue(1)", "1"),
            ("false && u", "false"),
            ("true || u", "true"),
            ("[u] == []", "false"),
            ("{'a': u, 'b': 1}.b", "1"),
            ("{'a': u}.c", "error: there is no key `c`; `has(value.c)` tests for it"),
        ],
    );
    assert_eq!(text("id-${{ r.id }}", variables.clone()), unknown);
    assert_eq!(text("${{ r.name }}-${{ u }}", variables), unknown);
}

#[test]
fn whole_number_is_a_text_key_of_a_map() {
    let variables = json!({
        "e": {"0": "zero", "1": "(unknown)", "2": "two"},
        "n": 2,
        "u": "(unknown)",
        "rows": [{"0": "a"}, {"0": "b"}],
        "rest": {"e": {"7": "seven"}},
    });
    check(
        &variables,
        &[
            ("e[0]", "\"zero\""),
            ("e[n]", "\"two\""),
            ("e[n - 2]", "\"zero\""),
            ("[0, 2].map(k, e[k])", "[\"zero\", \"two\"]"),
            ("range(3).map(k, e[k])", "[\"zero\", (known after apply), \"two\"]"),
            ("rows.map(m, m[n - 2])", "[\"a\", \"b\"]"),
            ("rest.e[n + 5]", "\"seven\""),
            ("[{'e': {'2': 'x'}}].map(m, m.e[n])", "[\"x\"]"),
            ("rows[n - 1]['0']", "\"b\""),
            ("e[u + 0]", "(known after apply)"),
            ("u[n - 2]", "(known after apply)"),
            ("{2: 'two', 'x': n}[n]", "\"two\""),
            ("['two'].map(k, {2: k})[0].size()", "1"),
            ("[{2: 'int'}].map(m, m[n])", "[\"int\"]"),
            ("e[n + 1]", "error: there is no key `3`; `\"3\" in value` tests for it"),
            (
                "rows[n + 1]",
                "error: the list has no item at 3 (the first is at 0); `size(…)` returns the number of items",
            ),
        ],
    );
}

#[test]
fn value_that_reads_a_sensitive_value_is_sensitive() {
    let variables = json!({
        "s": {"(secret)": {"token": "hunter2", "n": 7, "list": ["hunter2"]}},
        "mixed": {"open": 1, "token": {"(secret)": "hunter2"}},
        "key": {"(secret)": "open"},
        "unknown": {"(secret)": "(unknown)"},
        "open": {"a": 1},
    });
    let sensitive = "(sensitive value)";
    for expression in [
        "s",
        "s.token",
        "s.n + 1",
        "s.token == 'hunter2'",
        "size(s.token)",
        "sha256(s.token)",
        "json(mixed)",
        "[s.token]",
        "mixed.map(k, k)",
        "has(s.token)",
        "has(s.other)",
        "s.?token.orValue(1)",
        "s.?other.orValue(1)",
        "mixed.?token.orValue(1)",
        "s.token == '' ? 1 : 2",
        "mixed[key]",
        "mixed[key] + 1",
        "unknown",
        "[unknown]",
        "unknown == 1",
        "{'a': open.a, 'b': s.n}",
    ] {
        assert_eq!(text(&format!("${{{{ {expression} }}}}"), variables.clone()), sensitive, "{expression}");
    }
    check(
        &variables,
        &[
            ("mixed", "{\"open\": 1, \"token\": (sensitive value)}"),
            ("mixed.open", "1"),
            ("mixed.open + 1", "2"),
            ("mixed.?open.orValue(7)", "1"),
            ("mixed.?other.?deep.orValue(7)", "7"),
            ("open.a == 1 ? 'a' : s.token", "\"a\""),
        ],
    );
    assert_eq!(text("Bearer ${{ s.token }}", variables.clone()), sensitive);
    assert_eq!(text("${{ open.a }}-${{ s.n }}", variables), sensitive);
}

#[test]
fn single_expression_keeps_its_type() {
    let variables = json!({"a": {"n": 1, "t": "x", "b": true, "price": "(1.10)"}});
    for (template, expected) in [
        ("${{ a.n }}", "1"),
        ("  ${{ a.n }}\n", "1"),
        ("${{ a.n }}.", "\"1.\""),
        ("${{ a.n }}${{ a.b }}", "\"1true\""),
        ("${{ a.price }} EUR", "\"1.10 EUR\""),
        ("$${{ a.n }}", "\"${{ a.n }}\""),
        ("plain", "\"plain\""),
    ] {
        assert_eq!(text(template, variables.clone()), expected, "{template}");
    }
}

fn node(kind: NodeKind) -> Node {
    Node { span: Span::default(), kind }
}

fn entry(key: &str, kind: NodeKind) -> Entry {
    Entry { key: key.to_owned(), key_span: Span::default(), value: node(kind) }
}

#[test]
fn list_without_expressions_is_a_literal() {
    let plain = node(NodeKind::List(vec![node(NodeKind::Int(1))]));
    let mut diagnostics = Vec::new();
    let template = Template::compile(&plain, &Sources::default(), &mut diagnostics);
    assert!(template.is_literal() && diagnostics.is_empty());

    let mixed = node(NodeKind::Map(vec![
        entry("plain", NodeKind::Map(vec![entry("x", NodeKind::Bool(true))])),
        entry(
            "list",
            NodeKind::List(vec![
                node(NodeKind::Text("${{ a.x }}".to_owned())),
                node(NodeKind::Text("${{ a.y }}".to_owned())),
            ]),
        ),
    ]));
    let template = Template::compile(&mixed, &Sources::default(), &mut diagnostics);
    assert!(diagnostics.is_empty());
    let TemplateKind::Map(entries) = &template.kind else { panic!("expected a map") };
    assert!(!entries[1].value.is_literal());
    let errors = template.evaluate(&Variables::new(json!({"a": {}})), &Functions::default()).unwrap_err();
    assert_eq!(messages(&errors), "error: `a` has no `x`\nerror: `a` has no `y`");
    assert!(Template::literal(&mixed).is_literal());

    Template::compile(
        &node(NodeKind::Map(vec![entry("${{ a }}", NodeKind::Null)])),
        &Sources::default(),
        &mut diagnostics,
    );
    assert_eq!(diagnostics[0].code, "expression_in_key");
}

#[test]
fn references_are_extracted_from_the_tree() {
    for (expression, expected) in [
        ("resources.a[\"x\"].b[0].c + 1", "resources.a.x.b[0].c"),
        ("resources.part[each.key].path", "resources.part[each.key].path each.key"),
        ("resources.part[each.key + 'x'].path", "resources.part each.key"),
        ("a.list.map(c, c.name + b.x)", "a.list b.x"),
        ("a.list.filter(c, c.type == a.type).map(c, {\"k\": c.x, \"v\": d[c.x]})", "a.list a.type d"),
        ("a.map(a, a.b)", "a"),
        ("has(x.y.z) && x.y.z == 1", "x.y.z"),
        ("type(a) == int", "a"),
        ("math.greatest(a.b, optional.none().orValue(2))", "a.b"),
        ("components[\"urn:x\"].outputs.url", "components[\"urn:x\"].outputs.url"),
        ("1 + 2", ""),
        ("a.b + a.b", "a.b"),
        ("a.?b.orValue(c.d)", "a.b c.d"),
        ("a.b[?0].?c.d.orValue(1)", "a.b[0].c"),
        ("a.?b[?c.d]", "a.b c.d"),
        ("a[b.c].?d", "a[b.c] b.c"),
        ("a.map(x, x.?b)", "a"),
        ("[x, y].sortBy(i, i.k)", "x y"),
    ] {
        let (template, diagnostics, _) = compile(&format!("${{{{ {expression} }}}}"));
        assert_eq!(messages(&diagnostics), "", "{expression}");
        let found: Vec<_> = template.references().map(ToString::to_string).collect();
        assert_eq!(found.join(" "), expected, "{expression}");
    }
}
