//! Expressions by table: what they say of known, unknown and sensitive values, and of nothing at all.

use super::super::path::descend;
use super::super::{Missing, ReferenceStep};
use super::*;
use crate::yaml::Entry;
use proptest::prelude::*;
use serde_json::json;
use std::borrow::Cow;

/// Variables by name. `"(unknown)"` and `{"(secret)": …}` in the JSON stand for marks, `"(1.10)"` for a decimal.
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
            None => Err(Missing { message: format!("there is no variable `{root}`"), hint: None }),
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

fn told(diagnostics: &[Diagnostic]) -> String {
    let told = diagnostics.iter().map(|diagnostic| match &diagnostic.hint {
        Some(hint) => format!("error: {}; {hint}", diagnostic.message),
        None => format!("error: {}", diagnostic.message),
    });
    told.collect::<Vec<_>>().join("\n")
}

/// What a text (with its `${{ }}`) comes to.
fn text(template: &str, variables: serde_json::Value) -> String {
    let (template, diagnostics, _) = compile(template);
    if !diagnostics.is_empty() {
        return told(&diagnostics);
    }
    match template.evaluate(&Variables::new(variables), &Functions::default()) {
        Ok(value) => format!("{value:?}"),
        Err(diagnostics) => told(&diagnostics),
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
            ("[component.price]", "[\"1.10\"]"),
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
            ("component.tags.sort()", "[\"a\", \"b\"]"),
            ("component.tags.join('-').upperAscii()", "\"B-A\""),
            ("has(component.size)", "true"),
            ("has(component.other)", "false"),
            ("has(component.other.deep.down)", "false"),
            ("has(nothing.at.all)", "false"),
            ("has(component.other) ? component.other : 'none'", "\"none\""),
            ("component.?other.orValue('none')", "\"none\""),
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
fn what_depends_on_the_unknown_is_unknown_and_nothing_else() {
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
fn what_reads_the_sensitive_is_sensitive() {
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
            ("open.a == 1 ? 'a' : s.token", "\"a\""),
        ],
    );
    assert_eq!(text("Bearer ${{ s.token }}", variables.clone()), sensitive);
    assert_eq!(text("${{ open.a }}-${{ s.n }}", variables), sensitive);
}

#[test]
fn secrets_never_occur_in_errors() {
    let variables = json!({
        "s": {"(secret)": {"token": "hunter2", "hunter2": "x", "list": ["hunter2"], "map": {"hunter2": 1}}},
        "open": {"a": 1, "list": [1]}, "hunted": {"(secret)": "hunter2"}, "number": {"(secret)": 4242},
    });
    for expression in [
        "s.token + 1",
        "1 + s.token",
        "s.token / 2",
        "s.token < 1",
        "open[s.token]",
        "open[hunted]",
        "open.list[number]",
        "open.list[number + 0]",
        "{'a': 1}[s.token]",
        "{'a': 1}[s.token + '']",
        "[1][s.token]",
        "[1][number]",
        "int(s.token)",
        "double(s.token)",
        "bool(s.token)",
        "urn(s.token)",
        "quartz(s.token)",
        "cron(s.token)",
        "identity(s.token, 1)",
        "sqlType(s.token, {})",
        "range(s.token)",
        "range(0 - number)",
        "number / 0",
        "number % 0",
        "s.token.matches(s.token + '(')",
        "'a'.format([s.token])",
        "'%d'.format([s.token])",
        "s.token.substring(number)",
        "s.list.map(x, x.y)",
        "s.map.map(k, s.map[k].deep)",
        "s.hunter3",
        "s.token.x",
        "!s.token",
        "s.token ? 1 : 2",
        "s.token && true",
        "-s.token",
        "{s.list: 1}",
        "{s.token: 1, 'hunter2': 2}",
        "s.token in 1",
        "9223372036854775807 + number",
        "optional.none().value() + s.token",
        "lower(number)",
        "[s.token].sort() + 1",
        "[s.token, 1].sort()",
    ] {
        for template in [format!("${{{{ {expression} }}}}"), format!("x ${{{{ {expression} }}}}")] {
            let told = text(&template, variables.clone());
            let is_leaked = told.replace(expression, "").contains("hunter2") || told.contains("4242");
            assert!(!is_leaked, "{expression}: {told}");
            assert!(told.starts_with("error: ") || told == "(sensitive value)", "{expression}: {told}");
        }
    }
    // A list in a text is an error that tells its kind only.
    assert_eq!(
        text("x ${{ s.list }}", variables),
        "error: text cannot take up `s.list`: expected text, a number or true/false, found list; `json(…)` and \
         `list.join(\", \")` make text of it"
    );
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    let variables = json!({"a": {"n": 1, "t": "x", "list": [1, 2]}});
    check(
        &variables,
        &[
            ("a.x", "error: `a` has no `x`"),
            ("a.lst", "error: `a` has no `lst`; did you mean `list`?"),
            ("a.lst + 1", "error: `a` has no `lst`; did you mean `list`?"),
            ("b.c", "error: there is no variable `b`"),
            ("a.n / 0", "error: division by zero"),
            ("a.n % 0", "error: the remainder of a division by zero"),
            ("9223372036854775807 + a.n", "error: the result does not fit into 64 bits"),
            (
                "a.n + a.t",
                "error: `+` cannot be used with a whole number and text; `string(…)` makes it text, `int(…)` and `double(…)` make text a number",
            ),
            (
                "a.n + 1.5",
                "error: `+` cannot be used with a whole number and a decimal number; `double(…)` makes a whole number a decimal one, `int(…)` the reverse",
            ),
            (
                "a.n < a.t",
                "error: `<` cannot be used with a whole number and text; `string(…)` makes it text, `int(…)` and `double(…)` make text a number",
            ),
            ("a.list[5]", "error: `a.list` has 2 items, none at 5 (the first is at 0)"),
            ("[1, 2][a.n + 4]", "error: the list has no item at 5 (the first is at 0)"),
            ("{'k': 1}['l']", "error: there is no key `l`; `has(value.l)` tests for it"),
            ("a.n ? 1 : 2", "error: a value is of another type than expected: true/false"),
            ("sizee(a.list)", "error: there is no function `sizee`; did you mean `size`?"),
            ("a.t.lowerascii()", "error: there is no function `lowerascii`; did you mean `lowerAscii`?"),
            (
                "replace(a.t, 'x', 'y')",
                "error: `replace` cannot be called like this; write `text.replace(old, new) -> text`",
            ),
            ("urn('x')", "error: `urn`: `x` is no URN: expected the form `urn:dmb:cmp:domain:name:0:component`"),
            ("range(1000001)", "error: `range`: expected a whole number from 0 to 1000000, found 1000001"),
            ("double('NaN')", "error: the result is no finite number"),
            ("", "error: the expression is empty; write `$${{` for a literal `${{`"),
            (
                "a.t +",
                "error: the expression ends too early; an operator lacks its right side, or a bracket is not closed",
            ),
            (
                "(a.t",
                "error: the expression ends too early; an operator lacks its right side, or a bracket is not closed",
            ),
            ("a b", "error: unexpected `b`"),
            ("var.x", "error: `var` is a word that CEL keeps for itself; variables are read as `vars.NAME`"),
            ("Foo{a: 1}", "error: `Foo{…}` is no value; a map is written `{\"key\": value}`"),
        ],
    );
    assert_eq!(text("x ${{ a.none }} ${{ a.nope }}", variables), "error: `a` has no `none`\nerror: `a` has no `nope`");
}

#[test]
fn a_text_that_is_one_expression_keeps_its_type() {
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
fn subtrees_without_expressions_are_literals_and_keys_hold_none() {
    let plain = node(NodeKind::Map(vec![entry("a", NodeKind::List(vec![node(NodeKind::Int(1))]))]));
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
    assert!(entries[0].value.is_literal() && !entries[1].value.is_literal());
    let errors = template.evaluate(&Variables::new(json!({"a": {}})), &Functions::default()).unwrap_err();
    assert_eq!(told(&errors), "error: `a` has no `x`\nerror: `a` has no `y`");
    assert!(Template::literal(&mixed).is_literal());

    Template::compile(
        &node(NodeKind::Map(vec![entry("${{ a }}", NodeKind::Null)])),
        &Sources::default(),
        &mut diagnostics,
    );
    assert_eq!(diagnostics[0].code, "expression_in_key");
}

#[test]
fn faults_point_into_the_text() {
    for (template, expected) in [
        ("${{ a b }}", "stack.yaml:1:7"),
        ("x\n ${{ 1 +* 2 }}", "stack.yaml:2:9"),
        ("é ${{ 'ü' + sizee(a) }}", "stack.yaml:1:18"),
        ("${{ sizee(a) }}", "stack.yaml:1:10"),
        ("text ${{ a", "stack.yaml:1:6"),
    ] {
        let (_, diagnostics, sources) = compile(template);
        assert_eq!(
            diagnostics[0].place(&sources).unwrap().to_string(),
            expected,
            "{template}: {}",
            diagnostics[0].message
        );
    }
    let (template, _, sources) = compile("x ${{ a.b }}");
    let errors = template.evaluate(&Variables::new(json!({})), &Functions::default()).unwrap_err();
    assert_eq!(errors[0].place(&sources).unwrap().to_string(), "stack.yaml:1:7");
}

#[test]
fn references_are_read_off_the_tree() {
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
        ("a.?b.orValue(c.d)", "a c.d"),
        ("[x, y].sortBy(i, i.k)", "x y"),
    ] {
        let (template, diagnostics, _) = compile(&format!("${{{{ {expression} }}}}"));
        assert_eq!(told(&diagnostics), "", "{expression}");
        let found: Vec<_> = template.references().map(ToString::to_string).collect();
        assert_eq!(found.join(" "), expected, "{expression}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
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
fn nesting_up_to_the_limit_works_on_a_small_stack() {
    let evaluate = || {
        for deep in [
            "1+".repeat(140) + "1",
            "-".repeat(140) + "1",
            "!".repeat(140) + "true",
            format!("a{}", ".b".repeat(290)) + "+1",
            "true ? 1 : ".repeat(140) + "1",
            format!("{}1{}", "[".repeat(90), "]".repeat(90)),
            format!("{}1{}", "(".repeat(90), ")".repeat(90)),
            format!("[1]{}", ".map(x, x)".repeat(90)),
            "true && ".repeat(140) + "true",
            "1 in ".repeat(80) + "[1]",
            "'a' + ".repeat(290) + "'b'",
        ] {
            text(&format!("${{{{ {deep} }}}}"), json!({"a": 1}));
        }
    };
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(evaluate).unwrap().join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(noise in any::<String>(), pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..14)) {
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
