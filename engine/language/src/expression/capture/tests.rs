use super::super::Functions;
use super::super::template::tests::{Variables, compile};
use super::*;
use serde_json::json;
use terrace_provider::value::wire::Spot;

struct Reversing;

impl Sealing for Reversing {
    fn seal(&self, _spot: &Spot<'_>, clear: &[u8]) -> Result<String, WireError> {
        Ok(String::from_utf8_lossy(clear).chars().rev().collect())
    }

    fn open(&self, _spot: &Spot<'_>, sealed: &str) -> Result<Vec<u8>, WireError> {
        Ok(sealed.chars().rev().collect::<String>().into_bytes())
    }
}

/// Captures everything except resources, saves and loads it, and evaluates the template with resources alone.
fn evaluated_later(template: &str, now: serde_json::Value, then: serde_json::Value) -> (String, String) {
    let (template, diagnostics, _) = compile(template);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let captured = template.capture(&Variables::new(now), &["resources"]).unwrap();
    let saved = captured.to_json(&Reversing).unwrap();
    let loaded = Captured::from_json(&saved, &Reversing).unwrap();
    assert_eq!(loaded, captured);
    let template = Template::from_json(&template.to_json(&Reversing).unwrap(), &Reversing).unwrap();
    let rest = Variables::new(then);
    let scope = Layered { captured: &loaded, rest: &rest };
    let answer = match template.evaluate(&scope, &Functions::default()) {
        Ok(value) => format!("{:?}", value.revealed()),
        Err(errors) => errors[0].message.clone(),
    };
    (answer, saved.to_string())
}

#[test]
fn saved_template_evaluates_alike_without_the_descriptor() {
    let now = json!({
        "component": {"name": "x", "list": [{"a": 1}, {"a": 2}], "map": {"k": 1}, "password": {"(secret)": "hunter2"}, "big": "unread"},
        "each": {"key": "k"},
    });
    let then = json!({"resources": {"db": {"id": "db-1", "index": 1, "k": {"id": "k-1"}}}});
    for (template, expected) in [
        ("${{ component.name + resources.db.id }}", "\"xdb-1\""),
        ("${{ component.name }}-${{ resources.db.id }}", "\"x-db-1\""),
        ("${{ resources.db[each.key].id }}", "\"k-1\""),
        ("${{ component.map[each.key] }}", "1"),
        ("${{ component.list[resources.db.index].a }}", "2"),
        ("${{ component.list.map(i, i.a) + [resources.db.index] }}", "[1, 2, 1]"),
        ("${{ has(component.other) ? component.other : resources.db.id }}", "\"db-1\""),
        ("${{ component.other.x }}", "`component.other.x`: `component` has no `other`"),
        ("${{ component.password + resources.db.id }}", "\"hunter2db-1\""),
        ("${{ nothing }}", "`nothing`: there is no variable `nothing`"),
        ("${{ component.?map.?k.orValue(2) + resources.db.index }}", "2"),
        ("${{ component.?map.?l.?m.orValue(2) + resources.db.index }}", "3"),
        (
            "${{ component.map.other.?k.orValue(2) + resources.db.index }}",
            "`component.map.other.?k.orValue(2) + resources.db.index`: `component.map` has no `other`",
        ),
        ("${{ component.?name.orValue('') + resources.?db.?id.orValue('') }}", "\"xdb-1\""),
    ] {
        let (answer, saved) = evaluated_later(template, now.clone(), then.clone());
        assert_eq!(answer, expected, "{template}");
        assert!(!saved.contains("hunter2") && !saved.contains("unread"), "{saved}");
    }
}

#[test]
fn saved_template_keeps_places_and_literals() {
    let (template, _, _) = compile("x ${{ a.b }}");
    let saved = template.to_json(&Reversing).unwrap();
    assert_eq!(
        saved,
        json!({"text": ["x ", {"expression": "a.b", "place": {"file": "stack.yaml", "line": 1, "column": 7}}]})
    );
    let loaded = Template::from_json(&saved, &Reversing).unwrap();
    let errors = loaded.evaluate(&Captured::default(), &Functions::default()).unwrap_err();
    assert_eq!(errors[0].place(&crate::source::Sources::default()).unwrap().to_string(), "stack.yaml:1:7");
    let nested = json!({"map": {"a": {"list": [{"literal": {"$terrace": ["number", "1.10"]}}, {"expression": "c"}]}, "d": {"literal": null}}});
    assert_eq!(Template::from_json(&nested, &Reversing).unwrap().to_json(&Reversing).unwrap(), nested);
    for damaged in [json!(null), json!({}), json!({"expression": "a +"}), json!({"list": 1}), json!({"text": [1]})] {
        assert!(Template::from_json(&damaged, &Reversing).is_err(), "{damaged}");
    }
}
