//! Error messages of expressions, and the absence of secrets in them.

use super::*;

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
            let output = text(&template, variables.clone());
            let is_leaked = output.replace(expression, "").contains("hunter2") || output.contains("4242");
            assert!(!is_leaked, "{expression}: {output}");
            assert!(output.starts_with("error: ") || output == "(sensitive value)", "{expression}: {output}");
        }
    }
    // An error for a list in a text names only its kind.
    assert_eq!(
        text("x ${{ s.list }}", variables),
        "error: text cannot contain `s.list`: expected text, a number or true/false, found a list; convert it with \
         `json(…)` or `list.join(\", \")`"
    );
}

#[test]
fn errors_have_a_message_and_a_hint() {
    let variables = json!({"a": {"n": 1, "t": "x", "list": [1, 2]}});
    check(
        &variables,
        &[
            ("a.x", "error: `a` has no `x`"),
            ("a.lst", "error: `a` has no `lst`; did you mean `list`?"),
            ("a.lst + 1", "error: `a` has no `lst`; did you mean `list`?"),
            ("b.c", "error: there is no variable `b`"),
            ("a.n / 0", "error: division by zero; check the divisor first: `b == 0 ? 0 : a / b`"),
            ("a.n % 0", "error: the remainder of a division by zero; check the divisor first: `b == 0 ? 0 : a / b`"),
            ("9223372036854775807 + a.n", "error: the result does not fit into 64 bits"),
            (
                "a.n + a.t",
                "error: `+` cannot be used with a whole number and text; `string(…)` converts it to text, `int(…)` and `double(…)` convert text to a number",
            ),
            (
                "a.n + 1.5",
                "error: `+` cannot be used with a whole number and a decimal number; `double(…)` converts a whole number to a decimal one, `int(…)` the reverse",
            ),
            (
                "a.n < a.t",
                "error: `<` cannot be used with a whole number and text; `string(…)` converts it to text, `int(…)` and `double(…)` convert text to a number",
            ),
            ("a.list[5]", "error: `a.list` has 2 items, none at 5 (the first is at 0)"),
            (
                "[1, 2][a.n + 4]",
                "error: the list has no item at 5 (the first is at 0); `size(…)` returns the number of items",
            ),
            ("{'k': 1}['l']", "error: there is no key `l`; `has(value.l)` tests for it"),
            ("a.n ? 1 : 2", "error: a value has the wrong type: expected true/false"),
            ("sizee(a.list)", "error: there is no function `sizee`; did you mean `size`?"),
            ("a.t.lowerascii()", "error: there is no function `lowerascii`; did you mean `lowerAscii`?"),
            (
                "replace(a.t, 'x', 'y')",
                "error: `replace` cannot be called like this; write `text.replace(old, new) -> text`",
            ),
            ("urn('x')", "error: `urn`: `x` is not a URN: expected the form `urn:dmb:cmp:domain:name:0:component`"),
            ("range(1000001)", "error: `range`: expected a whole number from 0 to 1000000, found 1000001"),
            ("double('NaN')", "error: the result is not a finite number"),
            ("", "error: the expression is empty; write `$${{` for a literal `${{`"),
            (
                "a.t +",
                "error: the expression ends too early; an operator has no right side, or a bracket is not closed",
            ),
            ("(a.t", "error: the expression ends too early; an operator has no right side, or a bracket is not closed"),
            (
                "uint(1) + 1",
                "error: `+` cannot be used with an unsigned whole number and a signed whole number; convert it with `int(…)`: plain numbers are signed",
            ),
            ("a b", "error: unexpected `b`"),
            (
                "a ? b",
                "error: incomplete conditional: expected `condition ? a : b`; for a key that may be missing, write `has(value.key) ? value.key : other`",
            ),
            ("size()", "error: `size` is called without arguments"),
            ("a. ", "error: unexpected `.`; write a name before and after the dot: `vars.NAME`"),
            ("var.x", "error: `var` is a reserved word of CEL; variables are read as `vars.NAME`"),
            ("Foo{a: 1}", "error: `Foo{…}` is not a value; write a map as `{\"key\": value}`"),
        ],
    );
    assert_eq!(text("x ${{ a.none }} ${{ a.nope }}", variables), "error: `a` has no `none`\nerror: `a` has no `nope`");
}

#[test]
fn errors_point_into_the_text() {
    for (template, expected) in [
        ("${{ a b }}", "stack.yaml:1:7"),
        ("x\n ${{ 1 +* 2 }}", "stack.yaml:2:9"),
        ("é ${{ 'ü' + sizee(a) }}", "stack.yaml:1:13"),
        ("é ${{ 'ü' +* 2 }}", "stack.yaml:1:12"),
        ("${{ sizee(a) }}", "stack.yaml:1:5"),
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
