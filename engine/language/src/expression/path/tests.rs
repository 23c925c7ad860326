use super::*;
use serde_json::json;

#[test]
fn path_is_parsed_without_cel() {
    for text in [
        "a",
        "resources.part[\"x y\"].path",
        "resources.a[each.key].output",
        "a.b[0].c[1][2]",
        "component.in.list",
        "resources.a[resources.b[each.key].name].c",
    ] {
        assert_eq!(parse(text).map(|path| path.to_string()).as_deref(), Some(text));
    }
    assert_eq!(parse("resources.table['N']").unwrap().to_string(), "resources.table.N");
}

#[test]
fn other_expressions_are_left_to_cel() {
    for text in [
        "",
        "1",
        "a + b",
        "a.b()",
        "true",
        "null",
        "var",
        "in",
        "a.",
        "a..b",
        "a[",
        "a[]",
        "a[-1]",
        "a['x\\n']",
        "a b",
        "a['''x''']",
        "a['']['']'",
        "size(a)",
        "'a'",
        "a[1 ]",
        "é",
        "int",
        "a.?b",
        "a[\"x\"+\"y\"]",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn steps_lead_through_marked_values() {
    let mut value = Value::from(json!({"list": [{"id": 1}], "map": {"0": "zero"}, "null": null}));
    let Value::Map(entries) = &mut value else { unreachable!() };
    entries.insert("unknown".to_owned(), Value::Unknown);
    entries.insert("secret".to_owned(), Value::sensitive(json!({"token": "hunter2"}).into()));
    for (path, expected) in [
        ("v.list[0].id", "1"),
        ("v.map[0]", "\"zero\""),
        ("v.unknown.a.b[3]", "(known after apply)"),
        ("v.secret.token", "(sensitive value)"),
        ("v.list[1]", "`v.list` has 1 items, none at 1 (the first is at 0)"),
        ("v.lst", "`v` has no `lst`; did you mean `list`?"),
        ("v.null.x", "`v.null` is null, so there is no `v.null.x`"),
        ("v.list[0].id.x", "`v.list[0].id` is a whole number, so there is no `v.list[0].id.x`"),
        ("v.secret.tokn", "`v.secret` has no `tokn`"),
    ] {
        let reference = parse(path).unwrap();
        let found = match descend(&value, "v", &reference.steps) {
            Ok(value) => format!("{value:?}"),
            Err(missing) => [missing.message].into_iter().chain(missing.hint).collect::<Vec<_>>().join("; "),
        };
        assert_eq!(found, expected, "{path}");
    }
}
