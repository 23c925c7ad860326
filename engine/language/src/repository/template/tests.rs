use super::*;
use crate::source::SourceId;
use crate::yaml::{Budget, parse};
use proptest::prelude::*;

/// Variables of a template, from YAML.
fn scope(yaml: &str) -> Scope {
    let node = parse(SourceId::default(), yaml, &Budget::default()).unwrap();
    ["parameters", "values", "env"].into_iter().filter_map(|name| Some((name, of_node(node.get(name)?)))).collect()
}

#[track_caller]
fn check(template: &str, expected: &str) {
    let scope = scope(
        "parameters: {id: sales.orders.0.view, name: My  View, tags: [a, b], none: null, empty: [], count: 3, ratio: 2.0,
           map: {z: 1, a: {b: x}}, flag: false, text: \"a\\tb\", system: 'system:sales.orders.0'}
values: {kind: outputport}
env: {database: sales_dev, masters: {count: 2}}",
    );
    let rendered = Template::new(template).and_then(|template| template.render(&scope)).map(|rendered| rendered.text);
    assert_eq!(rendered.unwrap(), expected, "{template}");
}

fn failure(template: &str) -> Failure {
    Template::new(template).and_then(|template| template.render(&scope("parameters: {a: [1, 2]}"))).unwrap_err()
}

#[test]
fn expressions_render_as_in_nunjucks() {
    check("${{ parameters.name }}!", "My  View!");
    check("${{ parameters.missing }}|${{ parameters.missing.deep }}|${{ env.no }}|${{ parameters.none }}", "|||");
    check(
        "${{ parameters.count }} ${{ parameters.ratio }} ${{ parameters.flag }} ${{ parameters.tags }}",
        "3 2 false a,b",
    );
    check("${{ parameters.id.split(\".\")[2] }}", "0");
    check("${{ parameters.id.split(\".\")[2] + \".0.0\" }}", "0.0.0");
    check("${{ \"yes\" if parameters.flag else \"no\" }}", "no");
    check("{{ parameters.name }} {# nothing #}", "{{ parameters.name }} ");
    check("${{ parameters.id.length }} ${{ parameters.tags.length === 2 }}", "19 true");
    check("${{ 'b' in parameters.tags }} ${{ 'c' not in parameters.tags }}", "true true");
}

#[test]
fn filters_render_as_in_nunjucks() {
    check("${{ parameters.name | dump }}", "\"My  View\"");
    check("${{ parameters.tags | dump }} ${{ parameters.map | dump }}", "[\"a\",\"b\"] {\"z\":1,\"a\":{\"b\":\"x\"}}");
    check("${{ parameters.ratio | dump }} ${{ parameters.missing | dump }} ${{ parameters.none | dump }}", "2  null");
    check("${{ parameters.tags | dump(2) }}", "[\n  \"a\",\n  \"b\"\n]");
    check("${{ parameters.system.split(':')[1] | replace(r/\\.|-/g, \"_\") }}", "sales_orders_0");
    check("${{ parameters.name | replace(' ', '-') | lower }}", "my--view");
    check("${{ parameters.name.split(\" \") | reject(\"equalto\", \"\") | join(\"-\") | upper }}", "MY-VIEW");
    check("${{ parameters.text | replace(r/\\t/g, \"  \") }}", "a  b");
    check("${{ parameters.tags | length }} ${{ parameters.missing | length }} ${{ parameters.map | length }}", "2 0 2");
    check("${{ 'ab' | list | join('+') }} ${{ parameters.tags | list | join }}", "a+b ab");
    check("${{ \"a\nb\" | indent(2) }}", "a\n  b");
    check(
        "${{ parameters.missing | default('x') }}${{ parameters.none | default('x') }}${{ '' | default('y', true) }}",
        "xy",
    );
    check("${{ 'a b/é' | urlencode }} ${{ '12px' | int + 1 }} ${{ 'x' | int(5) }}", "a%20b%2F%C3%A9 13 5");
}

#[test]
fn statements_render_as_in_nunjucks() {
    check(
        "dependsOn: {% if parameters.tags | length > 0 %}{% for i in parameters.tags %}\n  - ${{ i }}{% endfor %}{% else %}[]{% endif %}",
        "dependsOn: \n  - a\n  - b",
    );
    check("{% for i in parameters.none %}x{% else %}nothing{% endfor %}", "nothing");
    check("{% for k, v in parameters.map.a %}${{ k }}=${{ v }}{% endfor %}", "b=x");
    // A map has no length, so a loop with one variable has no items.
    check("{% for i in parameters.map %}${{ i }}{% else %}none{% endfor %}", "none");
    check("{% for i in parameters.count %}${{ i }}{% else %}none{% endfor %}", "none");
    check("{% for i in 'ab' %}${{ i }},{% endfor %}{% for k, v in 'ab' %}${{ k }}${{ v }}{% endfor %}", "a,b,0a1b");
    check("{% for i in parameters.tags if parameters.flag else ['c'] %}${{ i }}{% endfor %}", "c");
    check("{% for a, b in [[1, 2], ['x', 'y']] %}${{ a }}${{ b }}{% endfor %}", "12xy");
    let hint = failure("{% for a, b in parameters.a %}{% endfor %}").hint.unwrap();
    assert!(hint.contains("a map, or a list of pairs"), "{hint}");
    check("{% for i in parameters.tags %}${{ loop.index }}/${{ loop.length }} {% endfor %}", "1/2 2/2 ");
    check("{% if parameters.empty %}true{% endif %}", "true");
    check("{% if parameters.flag %}a{% elseif parameters.count > 2 %}b{% else %}c{% endif %}", "b");
    check("{%- set major = parameters.id.split('.')[2] -%}\n v${{ major }}", "v0");
    check("{% macro f(a, b='-') %}${{ a }}${{ b }}{% endmacro %}${{ f('x') }}${{ f('y', '.') }}", "x-y.");
    check("{% set x %}a${{ values.kind }}{% endset %}${{ x | upper }}", "AOUTPUTPORT");
    check(
        "{% macro list(field) %}\n{% for i in field %}- ${{ i }}\n{% endfor %}{% endmacro %}${{ list(parameters.tags) | indent(2, true) }}",
        "  \n  - a\n  - b\n  ",
    );
    check(
        "{# {% macro f(x) %} ${{ x }} {% endmacro %} #}${{ parameters.name -}}\n  {% if parameters.no is defined %}x{% endif%}!",
        "My  View!",
    );
    check("{% if not parameters.no %}{% set x = 'a' %}{% else %}{% set x = 'b' %}{% endif %}${{ x | upper }}", "A");
    check("{% if parameters.no !== undefined %}x{% endif %}{% if parameters.count !== undefined %}y{% endif %}", "y");
    check("{% set all = parameters.tags | list if parameters.tags else [] %}${{ 'c' not in all }}", "true");
    check("${{ 'domain:my domain' | replace(r/domain:| |-/, '') }}", "my domain");
    check("a {%- if true %} b {%- endif -%}  c", "a bc");
}

#[test]
fn comparisons_are_those_of_javascript() {
    check(
        "${{ parameters.count == '3' }} ${{ parameters.count === '3' }} ${{ '3' != parameters.count }}",
        "true false false",
    );
    check(
        "${{ parameters.count > '2' }} ${{ '10' > 9 }} ${{ '10' > '9' }} ${{ parameters.no < 1 }}",
        "true true false false",
    );
    check(
        "${{ parameters.none == parameters.no }} ${{ parameters.none == 0 }} ${{ parameters.flag == 0 }}",
        "true false true",
    );
    check("${{ parameters.tags == 'a,b' }} ${{ '' == 0 }} ${{ 'x' == 0 }}", "true true false");
    check("${{ 'y' if not parameters.count == 4 and parameters.id.length >= 19 else 'n' }}", "y");
    let found = failure("{% if parameters.a == [] %}{% endif %}");
    assert!(found.message.contains("lists and maps cannot be compared"), "{found:?}");
}

#[test]
fn sums_are_those_of_javascript() {
    check("${{ 1 + 2 + 'a' }} ${{ 'a' + 1 + 2 }} ${{ parameters.count + 0.5 }}", "3a a12 3.5");
    check(
        "${{ parameters.no + '/' + parameters.none }} ${{ parameters.name.owner + '/x' }}",
        "undefined/null undefined/x",
    );
    check("${{ parameters.flag + 1 }} ${{ parameters.none + 1 }} ${{ parameters.no + 1 }}", "1 1 NaN");
    check("${{ parameters.tags + '!' }} ${{ parameters.map + 'x' }} ${{ [1] + [2] }}", "a,b! [object Object]x 12");
    check("${{ '5' + 3 - 1 }} ${{ 'a' + 3 - 1 }} ${{ 7 - 1 + 2 }} ${{ 1 + 2 == '3' }}", "52 NaN 8 true");
    check(
        "${{ parameters.no ~ 'x' ~ parameters.count + 1 }} ${{ parameters.none ~ '' == 'null' }}",
        "undefinedx31 true",
    );
    check("${{ 'v' + '1' | replace('1', '2') }} ${{ ('v' + '1') | dump }}", "v2 \"v1\"");
    check("{% macro f(a, b='x') %}${{ a + b }}{% endmacro %}${{ f('1' + 2, b='y' + 3) }}", "12y3");
}

#[test]
fn case_of_a_locale_is_that_of_all() {
    check("${{ parameters.name.toLocaleLowerCase().split(' ').join('') }} ${{ 'é'.toLocaleUpperCase() }}", "myview É");
}

#[test]
fn texts_are_truncated_as_in_nunjucks() {
    check("${{ '2026-01-31T08:00:00.000Z' | truncate(19, true, 'Z') }}", "2026-01-31T08:00:00Z");
    check(
        "${{ 'one two three' | truncate(8) }}|${{ 'one two' | truncate(3) }}|${{ 'onetwo' | truncate(3) }}",
        "one two...|one...|one...",
    );
    check(
        "${{ 'short' | truncate }}|${{ parameters.no | truncate(3) }}|${{ 'abc' | truncate(2, true, '') }}",
        "short||ab",
    );
}

#[test]
fn matches_indexes_and_rounding_are_those_of_javascript() {
    check("${{ parameters.id.match(r/[0-9]+/)[0] }}|${{ parameters.id.match(r/(s).(l)/)[2] }}", "0|l");
    check(
        "${{ parameters.id.match(r/[a-z]+/g) }} ${{ 'y' if parameters.id.match(r/X/) else 'n' }}",
        "sales,orders,view n",
    );
    assert!(failure("${{ 'a'.match('a') }}").message.contains("regular expression"));
    check(
        "${{ parameters.tags[-1] }}|${{ parameters.tags[1 - 2] }}|${{ 'ab'[-1] }}|${{ parameters.tags[2 - 1] }}",
        "|||b",
    );
    check(
        "${{ 2.5 | round }} ${{ -2.5 | round }} ${{ 3.14159 | round(2) }} ${{ 3.19 | round(1, 'floor') }}",
        "3 -2 3.14 3.1",
    );
    assert!(failure("${{ 'x' | round }}").message.contains("`round` takes a number"));
}

/// In Nunjucks, these templates have another output.
#[test]
fn assignments_of_loops_that_last_are_refused() {
    for template in [
        "{% set all = '' %}{% for c in parameters.a %}{% set all = all ~ c %}{% endfor %}${{ all }}",
        "{% set x = 0 %}{% for c in parameters.a %}{% set x = c %}{% endfor %}${{ x }}",
        "{% for c in parameters.a %}${{ x }}{% set x = c %}{% endfor %}",
        "{% for c in parameters.a %}{% if c %}{% set x = c %}{% endif %}${{ x }}{% endfor %}",
        "{% set x = 0 %}{% for c in parameters.a %}${{ x }}{% for d in parameters.a %}{% set x = d %}{% endfor %}{% endfor %}",
        "{% macro f(a, x='-') %}{% for c in a %}{% set x = c %}{% endfor %}${{ x }}{% endmacro %}",
        "{% set x %}1{% endset %}{% for c in parameters.a %}{% set x %}${{ c }}{% endset %}{% endfor %}{% if x %}{% endif %}",
    ] {
        let found = failure(template);
        assert!(found.message.contains("in a loop changes"), "{template}: {found:?}");
        assert!(
            found.at.is_some_and(|at| template.get(at).is_some_and(|name| name == "all" || name == "x")),
            "{template}"
        );
    }
    check("{% set x = 0 %}{% for c in parameters.tags %}{% set x = c %}${{ x }}{% endfor %}", "ab");
    check(
        "{% for c in parameters.tags %}{% if c == 'a' %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}${{ x }}{% endfor %}",
        "12",
    );
    check("{% set x = 0 %}{% for c in parameters.tags %}{% set x = c %}{% endfor %}{% set x = 'z' %}${{ x }}", "z");
    check(
        "{% for c in parameters.tags %}{% set x = c %}${{ x }}{% endfor %}{% macro f(x) %}${{ x }}{% endmacro %}${{ f('y') }}",
        "aby",
    );
    check("{% for c in parameters.tags %}{% set c = c ~ c %}${{ c }}{% endfor %}", "aabb");
}

#[test]
fn pieces_lead_to_the_template() {
    let text = "name: ${{ parameters.name | replace(r/ /g, '-') }}\n{% for i in parameters.tags %}- x${{ i }}\n{% endfor %}end";
    let rendered = Template::new(text).unwrap().render(&scope("parameters: {name: a b, tags: [c, d]}")).unwrap();
    assert_eq!(rendered.text, "name: a-b\n- xc\n- xd\nend");
    let found: Vec<(&str, &str)> = rendered
        .pieces
        .iter()
        .map(|piece| (rendered.text.get(piece.output.clone()).unwrap(), text.get(piece.source.clone()).unwrap()))
        .collect();
    let expression = "parameters.name | replace(r/ /g, '-')";
    let tags = [("- x", "- x"), ("c", "i"), ("\n", "\n"), ("- x", "- x"), ("d", "i"), ("\n", "\n"), ("end", "end")];
    assert_eq!(found, [vec![("name: ", "name: "), ("a-b", expression), ("\n", "\n")], tags.to_vec()].concat());
}

#[test]
fn references_follow_names() {
    let template = Template::new(
        "{% set id = parameters.id %}{% set major = id.split('.')[2] %}{% for t in values.tags %}{% endfor %}",
    )
    .unwrap();
    let found = |expression: &str| template.references_of(expression).into_iter().collect::<Vec<_>>().join(" ");
    assert!(found("major ~ '.0'").starts_with("parameters.id"), "{}", found("major ~ '.0'"));
    assert_eq!(found("t | dump"), "values.tags");
    assert_eq!(found("env.a ~ parameters.b"), "env.a parameters.b");
}

#[test]
fn evaluation_keeps_the_type_of_a_single_expression() {
    let scope = scope("parameters: {tags: [a], count: 3}");
    let evaluate = |text: &str| Template::new(text).unwrap().evaluate(&scope, &mut 10_000).unwrap();
    assert_eq!(evaluate("${{ parameters.tags }}").len(), Some(1));
    assert_eq!(evaluate("${{ parameters.count }}").as_i64(), Some(3));
    assert_eq!(evaluate("${{ parameters.count }}.0").as_str(), Some("3.0"));
    assert!(evaluate("${{ parameters.none }}").is_undefined());
}

#[test]
fn sign_of_a_number_is_not_a_sign_for_white_space() {
    let evaluate = |text: &str| Template::new(text).unwrap().evaluate(&Scope::new(), &mut 10_000).unwrap();
    for (text, expected) in
        [("${{ -1 }}", -1), ("${{- 1 -}}", 1), ("${{- -1 -}}", -1), ("${{ 3 -}}", 3), (" ${{ - 2 }} ", -2)]
    {
        assert_eq!(evaluate(text).as_i64(), Some(expected), "{text}");
    }
}

#[test]
fn errors_have_places() {
    let text = "a: ${{ parameters.x.split('.') }}";
    let found = failure(text);
    assert!(found.message.contains("not defined"), "{found:?}");
    assert!(text.get(found.at.unwrap()).unwrap().contains("split"));
    let text = "a: ${{ 1 | nothing }}";
    let found = failure(text);
    assert!(found.message.contains("nothing"), "{found:?}");
    let text = "a: ${{ 'x' | replace(r/a(?=b)/, '') }}";
    assert_eq!(text.get(failure(text).at.unwrap()), Some("r/a(?=b)/"));
    for text in ["${{ a", "{% if %}", "{% for x %}", "{% switch a %}{% endswitch %}", "{% endif %}"] {
        assert_eq!(failure(text).code, "template_failed", "{text}");
    }
}

#[test]
fn unknown_filter_has_a_hint_with_the_known_ones() {
    let found = failure("${{ 'a' | lowr }}");
    assert_eq!(
        (found.message.as_str(), found.hint.as_deref()),
        ("unknown filter `lowr`", Some("did you mean `lower`?"))
    );
    let found = failure("${{ 'a' | nothing }}");
    assert!(found.hint.unwrap().starts_with("the filters are `abs`, `batch`"), "{}", found.message);
    for filter in FILTERS {
        let rendered = Template::new(&format!("${{{{ x | {filter} }}}}")).unwrap().render(&Scope::new());
        assert!(rendered.err().is_none_or(|failure| !failure.message.contains("unknown filter")), "{filter}");
    }
}

#[test]
fn templates_read_no_other_file() {
    for text in ["{% include '/etc/passwd' %}", "{% import 'a' as b %}", "{% extends 'a' %}", "{% from 'a' import b %}"]
    {
        let found = failure(text);
        assert_eq!(found.code, "template_failed", "{text}: {found:?}");
        assert!(found.message.contains("another file"), "{text}: {found:?}");
    }
    assert!(Template::new("${{ debug() }}").unwrap().render(&Scope::new()).is_err());
}

#[test]
fn endless_work_is_stopped() {
    let loops = "{% for a in range(10000) %}{% for b in range(10000) %}{% set c = a * b %}{% endfor %}{% endfor %}";
    let output = "{% for a in range(100000) %}0123456789012345678901234567890123456789012345678901234567890123456789{% endfor %}";
    let output = output.repeat(8);
    let doubled = format!("{{% set a = 'x' %}}{}", "{% set a = a ~ a %}".repeat(60));
    let nested = format!("{{% set a = [1] %}}{}${{{{ a | dump }}}}", "{% set a = [a, a] %}".repeat(60));
    let replaced = "{% set a = 'x' * 60000 %}${{ a | replace('x', a) }}";
    let matched = "{% set a = 'x' * 60000 %}${{ a | replace(r/x/g, a) }}";
    let indented = "${{ 'a\n' * 1000 | indent(1000000000) }}";
    let recursive = "{% macro f(n) %}${{ f(n + 1) }}{% endmacro %}${{ f(0) }}";
    for text in [loops, &output, &doubled, &nested, replaced, matched, indented, recursive] {
        let found = failure(text);
        assert_eq!(found.code, "template_limit", "{text}: {found:?}");
    }
    assert_eq!(failure(&" ".repeat(LONGEST_TEMPLATE + 1)).code, "template_limit");
}

/// Checks that a template soon exceeds a limit.
#[track_caller]
fn check_limit(template: &str) {
    let started = std::time::Instant::now();
    let found = Template::new(template).and_then(|template| template.render(&scope("parameters: {a: [1, 2]}")));
    let start: String = template.chars().take(100).collect();
    assert_eq!(found.map(|rendered| rendered.text.len()).unwrap_err().code, LIMIT, "{start}");
    assert!(started.elapsed().as_secs() < 20, "{start}: {:?}", started.elapsed());
}

#[test]
fn lists_of_methods_are_limited() {
    check_limit(&format!("{{% set a = [1] %}}{}${{{{ a.length }}}}", "{% set a = a.concat(a) %}".repeat(40)));
    // Without a name for the lists in between.
    check_limit(&format!("${{{{ [1]{}.length }}}}", ".concat(range(100000))".repeat(20)));
    let large = "{% set a = range(30000) | list %}{% for i in range(10000) %}";
    for method in ["includes(-1)", "indexOf(-1)", "slice(0)", "reverse()", "join().length"] {
        check_limit(&format!("{large}{{% if a.{method} %}}{{% endif %}}{{% endfor %}}"));
    }
    check_limit("{% set a = ',' * 1000000 %}${{ a.split(',').length }}");
    check_limit("{% set a = 'x' * 1000000 %}${{ (a | list).length }}");
}

#[test]
fn texts_of_filters_are_limited() {
    let many = "{% set a = 'x' * 1000000 %}";
    let list = format!("[{}]", "a,".repeat(1_000));
    let pairs = format!("[{}]", "['k', a],".repeat(1_000));
    check_limit(&format!("{many}${{{{ {list} | dump }}}}"));
    check_limit(&format!("{many}${{{{ {list} | dump(2) }}}}"));
    check_limit(&format!("{many}${{{{ {list} | string }}}}"));
    check_limit(&format!("{many}${{{{ {pairs} | urlencode }}}}"));
    check_limit(&format!("{many}${{{{ {{'k': a, 'l': a, 'm': a, 'n': a, 'o': a}} | urlencode }}}}"));
    check_limit("{% set a = 'é' * 1000000 %}${{ a | urlencode }}");
}

#[test]
fn depth_of_values_is_limited() {
    let nested = |step: &str| format!("{{% set a = [1] %}}{}", step.repeat(20_000));
    check_limit(&nested("{% set a = [a] %}"));
    check_limit(&nested("{% set a = {'k': a} %}"));
    check_limit(&nested("{% set a | default([a], true) %}{% endset %}"));
    for text in [
        "{% set n = namespace(x=0) %}{% for i in range(55000) %}{% set n.x = [n.x] %}{% endfor %}",
        "${{ [1] | chain([2]) }}",
        "${{ [1] | zip([2]) }}",
    ] {
        assert_eq!(failure(text).code, "template_failed", "{text}");
    }
    check("{% set a = [1, {'b': [2]}] %}${{ a | dump }} ${{ a[1].b[0] }} ${{ a.length }}", "[1,{\"b\":[2]}] 2 2");
    check(
        "{% set a = [1] + [2] %}${{ a }}{% set m = {1: 'x'} %}${{ m[1] }}{% set t | upper %}x{% endset %}${{ t }}",
        "12xX",
    );
    check("{% set a, b = (1, 2) %}${{ a }}${{ b }}{% set c = parameters.no %}${{ c is undefined }}", "12true");
}

#[test]
fn deeply_nested_templates_fail() {
    let brackets = format!("${{{{ {}{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    let blocks = "{% if true %}".repeat(10_000);
    for text in [brackets, blocks] {
        assert!(Template::new(&text).and_then(|template| template.render(&Scope::new())).is_err());
    }
}

/// Templates that nest one operator, bracket or block that often.
fn nested(count: usize) -> Vec<String> {
    let prefixed = |prefix: &str| format!("${{{{ {}a }}}}", prefix.repeat(count));
    let suffixed = |suffix: &str| format!("${{{{ a{} }}}}", suffix.repeat(count));
    let within = |open: &str, close: &str| format!("${{{{ {}a{} }}}}", open.repeat(count), close.repeat(count));
    let expressions = [
        prefixed("not "),
        prefixed("-"),
        prefixed("1 if 1 else "),
        prefixed("[a, "),
        prefixed("a and "),
        prefixed("1 ** "),
        suffixed(".a"),
        suffixed("|lower"),
        suffixed("|default('x')"),
        suffixed("+1"),
        suffixed("~a"),
        suffixed("**2"),
        suffixed("[1]"),
        suffixed("[:1]"),
        suffixed("()"),
        suffixed(" if 1 else 1"),
        suffixed(" if 1"),
        suffixed(" is defined"),
        suffixed(" is not defined"),
        suffixed(" or a"),
        suffixed(" == a"),
        suffixed(" not in a"),
        within("(", ")"),
        within("[", "]"),
        within("{'a': ", "}"),
        within("a(", ")"),
        within("a[", "]"),
        within("f(a=", ")"),
        within("not (", ").a"),
    ];
    let block = |open: &str, close: &str| format!("{}{}", open.repeat(count), close.repeat(count));
    let blocks = [
        block("{% if a %}", "{% endif %}"),
        block("{% for i in a %}", "{% endfor %}"),
        block("{% set a %}", "{% endset %}"),
        block("{% macro f() %}", "{% endmacro %}"),
        block("{% filter lower %}", "{% endfilter %}"),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(count)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elseif a %}".repeat(count)),
        format!("{{% for {}a in b %}}{{% endfor %}}", "(".repeat(count)),
        format!("{{% set {}a = b %}}", "(".repeat(count)),
        format!("{{% set a{} = b %}}", ".a".repeat(count)),
        format!("{{% set a {} %}}{{% endset %}}", "| lower".repeat(count)),
        format!("{{% filter lower{} %}}{{% endfilter %}}", "|lower".repeat(count)),
    ];
    let statements = expressions
        .iter()
        .map(|it| it.replace("${{", "{% if").replace("}}", "%}").replace("'a': %}", "'a': }"))
        .collect::<Vec<_>>();
    expressions.into_iter().chain(blocks).chain(statements).collect()
}

/// Reads a template in each way that terrace has. It fails or renders: it must not exceed the stack.
fn read_in_all_ways(text: &str) -> Result<(), Failure> {
    let variables = scope("parameters: {a: [1, 2]}");
    let template = Template::new(text)?;
    template.references();
    template.references_of(text.trim_start_matches("${{").trim_end_matches("}}"));
    template.undefined(|_| true);
    template.evaluate(&variables, &mut 10_000).map(drop).and(template.render(&variables).map(drop))
}

#[test]
fn long_chains_and_deep_nesting_are_limited() {
    for count in [400, 20_000, 100_000] {
        for text in nested(count) {
            let start: String = text.chars().take(40).collect();
            let found = read_in_all_ways(&text).unwrap_err();
            let is_limit = found.code == LIMIT || found.message.contains("recursion");
            assert!(is_limit, "{count} {start}: {found:?}");
        }
    }
}

#[test]
fn deepest_templates_fit_into_a_small_stack() {
    // Threads of tests and of the runtime have 2 MiB.
    for count in [depth::DEEPEST_EXPRESSION - 1, 60, 29, 14] {
        for text in nested(count) {
            let _ = read_in_all_ways(&text);
            let within = format!("{}{text}{}", "{% if a %}".repeat(29), "{% endif %}".repeat(29));
            let _ = read_in_all_ways(&within);
        }
    }
}

#[test]
fn operators_in_deep_brackets_are_read_in_linear_time() {
    let text =
        |operator: &str| format!("${{{{ {}a{} }}}}", "(".repeat(200_000), format!("{operator}b)").repeat(200_000));
    for operator in ["<", "+", "=="] {
        let start = std::time::Instant::now();
        assert_eq!(failure(&text(operator)).code, LIMIT);
        assert!(start.elapsed().as_secs() < 10, "{operator}: {:?}", start.elapsed());
    }
}

#[test]
fn limit_has_the_place_of_the_operator() {
    let sum = format!("a: ${{{{ b{} }}}}", " + c".repeat(300));
    let found = failure(&sum);
    assert_eq!((found.code, sum.get(found.at.unwrap())), (LIMIT, Some("+")));
    let text = format!("a: ${{{{ b }}}}\nc: ${{{{ {}d }}}}", "not ".repeat(300));
    let found = failure(&text);
    assert_eq!(found.code, LIMIT, "{found:?}");
    assert_eq!(text.get(found.at.unwrap()), Some("not"));
    // Parts in a row are not nested.
    let many = format!("${{{{ [{}1].length }}}}", "parameters.a.b, ".repeat(1_000));
    assert!(Template::new(&many).unwrap().render(&Scope::new()).is_ok());
    let tags = "${{ parameters.a | lower }} {% if a %}b{% endif %}".repeat(1_000);
    assert!(Template::new(&tags).unwrap().render(&Scope::new()).is_ok());
}

#[test]
fn text_of_lists_and_maps_is_that_of_javascript() {
    check("${{ parameters.tags ~ '-' ~ parameters.map ~ '-' ~ parameters.empty }}", "a,b-[object Object]-");
    check("${{ ['a', ['b', 1]] ~ 'x' }} ${{ 'x' ~ {'a': 1} }}", "a,b,1x x[object Object]");
    check("${{ 'a' if 'a' in ['a'] else [1] ~ 'x' }}", "a");
    check("${{ [1, 2][1] ~ 'x' }} ${{ parameters.tags[0] ~ parameters.tags [1] }} ${{ ('a')[0] }}", "2x ab a");
    check("{% macro f(a=[1, 2]) %}${{ a ~ 'x' }}{% endmacro %}${{ f() }}", "1,2x");
}

#[test]
fn undefined_names_are_found() {
    let undefined = |text: &str| {
        let template = Template::new(text).unwrap();
        let found = template.undefined(|name| ["parameters.no", "paramters.a"].contains(&name));
        found.into_iter().map(|it| format!("{} {}", it.name, text.get(it.at).unwrap().trim())).collect::<Vec<_>>()
    };
    assert_eq!(
        undefined("${{ parameters.a }} ${{ parameters.no.x | lower }} ${{ parameters.no }}"),
        ["parameters.no parameters.no.x | lower"]
    );
    assert_eq!(undefined("{% for i in parameters.no %}${{ i }}{% endfor %}"), ["parameters.no parameters.no"]);
    assert_eq!(
        undefined("{% set x = parameters.no %}a ${{ x }} ${{ paramters.a }}"),
        ["parameters.no x", "paramters.a paramters.a"]
    );
    for text in [
        "{% if parameters.no %}${{ parameters.no }}{% endif %}",
        "{% if a %}{% elseif parameters.no %}${{ parameters.no }}{% endif %}",
        "${{ parameters.no | default('x') }}",
        "${{ parameters.no if parameters.no else 'x' }}",
        "${{ parameters.no or 'x' }}",
        "{# ${{ parameters.no }} #}",
    ] {
        assert_eq!(undefined(text), [""; 0], "{text}");
    }
}

/// Operators and other parts of an expression.
const TOKENS: [&str; 24] = [
    "a",
    "not ",
    "-",
    "+1",
    ".a",
    "|lower",
    "**2",
    "[1]",
    " if 1 else ",
    "(",
    ")",
    "[",
    "]",
    "{'a': ",
    "}",
    ", ",
    "~",
    " is ",
    " in ",
    "f(",
    "{% if a %}",
    "{% endif %}",
    "%}{% elif ",
    "}}${{",
];

/// Parts of templates, complete and broken.
const PARTS: [&str; 24] = [
    "${{ parameters.a }}",
    "${{ parameters.a | dump -}}",
    "${{ x.split('.')[0] }}",
    "${{ 'ä' | replace(r/[^ä/]/gi, '$1') }}",
    "{% for i in parameters.a %}",
    "{%- for k, v in parameters.b -%}",
    "{% endfor %}",
    "{% if a.length === 2 %}",
    "{% elseif b %}",
    "{% else %}",
    "{% endif %}",
    "{% set x = parameters.a %}",
    "{% set y %}",
    "{% endset %}",
    "{% macro f(a, b='{{') %}",
    "{% endmacro %}",
    "${{ f(1) | indent(2) }}",
    "{# }} %} ${{ #}",
    "${{",
    "}}",
    "{% raw %}",
    "r/",
    "é: [1]\n",
    " \"'",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn chains_of_operators_end(
        parts in proptest::collection::vec((proptest::sample::select(&TOKENS[..]), 1..2_000_usize), 1..6),
        begin in proptest::sample::select(&["${{ ", "{% if ", "{% set a = ", "{% for a in "][..]),
    ) {
        let chain: String = parts.iter().map(|(token, count)| token.repeat(*count)).collect();
        let _ = read_in_all_ways(&format!("{begin}{chain} }}}}"));
        let _ = read_in_all_ways(&format!("{begin}{chain} %}}{{% endif %}}"));
    }

    #[test]
    fn template_renders_or_fails(parts in proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..10)) {
        let text = parts.concat();
        let rendered = Template::new(&text).and_then(|template| template.render(&scope("parameters: {a: [1, 2], b: {c: d}}")));
        for piece in rendered.iter().flat_map(|rendered| &rendered.pieces) {
            let output = rendered.as_ref().unwrap().text.get(piece.output.clone()).unwrap();
            let source = text.get(piece.source.clone());
            prop_assert!(source.is_some(), "{text}: {piece:?}");
            prop_assert!(piece.is_expression || source == Some(output), "{text}: {piece:?}");
        }
    }
}

#[test]
fn errors_of_syntax_have_a_place_and_a_remedy() {
    let check = |template: &str, place: &str, message: &str, hint: &str| {
        let found = failure(template);
        assert_eq!(found.at.clone().map(|at| &template[at]), Some(place), "{template}: {found:?}");
        assert!(found.message.contains(message), "{template}: {found:?}");
        assert!(found.hint.as_ref().is_some_and(|found| found.contains(hint)), "{template}: {found:?}");
        found.code
    };
    check("{% for a in [1] %}x{%- endfro %}", "endfro", "unknown statement endfro", "did you mean `endfor`?");
    check("{% if true %}x{% endfor %}", "endfor", "unknown statement endfor", "`{% endif %}`");
    check("{% macro f(x) %}a\nb\nc\n", "{% macro f(x) %}", "`{% macro … %}` has no end", "`{% endmacro %}`");
    check("a: ${{ parameters.a }\nb: c\n", "}", "unexpected `}`", "close the expression with `}}`");
    let code = check(
        "{% macro deep(x) %}${{ deep(x) }}{% endmacro %}${{ deep(1) }}",
        "deep(x)",
        "the macro `deep` calls itself too deeply",
        "let a condition end the calls of `deep`",
    );
    assert_eq!(code, LIMIT);
    let code = check(
        "{% for a in range(1000000000) %}{% endfor %}",
        "range(1000000000)",
        "range has too many elements",
        "small loops",
    );
    assert_eq!(code, LIMIT);
}
