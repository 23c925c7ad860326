//! Tests of hostile values and of sensitive values.

use super::build::*;
use crate::human::{Detail, Human};
use crate::markdown::Markdown;
use crate::{human, json, markdown, stream};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json as value;
use terrace_language::action::Action;
use terrace_plan::Plan;
use terrace_provider::{Attributes, Severity, Value};

const HOSTILE: &str =
    "a\u{1b}[31m\u{9b}2J\u{202e}\r\n```\n</details>\n<!-- terrace:plan:demo@local -->\n@everyone | `x` \u{200b}$(rm)";

/// A plan with the hostile text in all places.
fn hostile() -> Plan {
    let update = change("comp/local_file.part[\"k\"]", Action::Update)
        .before(value!({"content": "first\n", "name": HOSTILE, "list": [{"name": HOSTILE, "type": HOSTILE}]}))
        .recorded(value!({"content": HOSTILE, "name": HOSTILE, "list": []}))
        .after(value!({"content": HOSTILE, "name": "x", "list": [{"name": HOSTILE, "type": "t", (HOSTILE): 1}]}))
        .replaces("name")
        .loses(HOSTILE, Some(HOSTILE), false);
    let mut replace = change("comp/local_file.x", Action::Replace).before(value!({"name": HOSTILE})).replaces("name");
    replace.address.component = HOSTILE.into();
    replace.address.key = Some(terrace_language::address::InstanceKey::Text(HOSTILE.to_owned()));
    replace.deposed = Some(HOSTILE.to_owned());
    let doubted = change("comp/local_file.y", Action::NoOp).doubted(HOSTILE);
    let mut plan = of(vec![update, replace, doubted]);
    plan.environment_note = Some(HOSTILE.to_owned());
    plan.notes = vec![note(Severity::Error, HOSTILE)];
    let stack = plan.stacks.first_mut().unwrap();
    stack.stack.name = HOSTILE.to_owned();
    stack.outputs = vec![output(HOSTILE, HOSTILE, None, Some(HOSTILE.into()))];
    plan
}

fn comment(plan: &Plan) -> String {
    let options = Markdown {
        max_chars: 60_000,
        max_bytes: 240_000,
        digest: HOSTILE,
        command: HOSTILE,
        consent: Markdown::CONSENT,
    };
    markdown::plan(plan, &options)
}

#[test]
fn terminal_output_has_no_control_characters() {
    for detail in [Detail::Summary, Detail::Compact, Detail::Full] {
        let text = human::plan(&hostile(), &Human { detail, ..Human::default() });
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
        assert!(!text.contains(['\u{202e}', '\u{200b}']), "{text}");
    }
    insta::assert_snapshot!(human::plan(&hostile(), &Human { width: 0, ..Human::default() }));
}

#[test]
fn values_cannot_break_out_of_comment() {
    let text = comment(&hostile());
    super::markdown::assert_balanced(&text);
    assert_eq!(text.matches("<!-- terrace:plan:").count(), 1, "{text}");
    assert!(!text.contains("@everyone"), "{text}");
    insta::assert_snapshot!(text);
}

/// All forms of a plan in one text.
fn forms(plan: &Plan) -> String {
    let lines = stream::plan(plan, Timestamp::UNIX_EPOCH);
    let mut forms: Vec<String> = lines.iter().map(ToString::to_string).collect();
    forms.push(comment(plan));
    forms.push(json::plan(plan, "digest").to_string());
    for detail in [Detail::Summary, Detail::Compact, Detail::Full] {
        forms.push(human::plan(plan, &Human { width: 0, detail, color: false }));
    }
    forms.join("\n")
}

#[test]
fn no_form_shows_a_sensitive_value() {
    // The plan has a value that was recorded in plain text and becomes sensitive: both sides are hidden.
    let forms = forms(&everything());
    assert!(!forms.contains(SECRET), "{forms}");
}

#[test]
fn newly_sensitive_attribute_hides_old_values() {
    let older = format!("older {SECRET}");
    let update = change("local_file.x", Action::Update)
        .before(value!({"key": SECRET, "map": {"key": SECRET}, "other": 1}))
        .recorded(value!({"key": older, "map": {"key": older}, "other": 2}))
        .after(value!({"key": {"$secret": SECRET}, "map": {"key": {"$secret": SECRET}}, "other": 3}))
        .replaces("key");
    let within = change("local_file.y", Action::Replace)
        .before(value!({"map": {"$secret": {"key": older}}}))
        .after(value!({"map": {"$secret": {"key": SECRET}}}))
        .replaces("map.key");
    let forms = forms(&of(vec![update, within]));
    assert!(!forms.contains(SECRET), "{forms}");
    assert!(forms.contains("other = 2 → 1"), "{forms}");
}

/// Values with nested secrets.
fn a_value() -> impl Strategy<Value = Value> {
    let secret = Just(Value::sensitive(SECRET.into()));
    let leaf = prop_oneof![
        3 => "[ab\n]{0,3}".prop_map(Value::from),
        1 => Just(Value::Unknown),
        1 => Just(Value::Null),
        3 => secret,
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let secret = inner.clone().prop_map(|value| Value::sensitive(vec![value, SECRET.into()].into()));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec(("name|type|[ab]", inner), 0..4).prop_map(Value::from_iter),
            secret,
        ]
    })
}

fn some_attributes() -> impl Strategy<Value = Attributes> {
    prop::collection::vec(("id|name|[abc]", a_value()), 0..4).prop_map(Attributes::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_form_shows_a_nested_sensitive_value(
        (before, recorded, after) in (some_attributes(), some_attributes(), some_attributes()),
        action in prop::sample::select(vec![
            Action::NoOp, Action::Create, Action::Update, Action::Replace, Action::Delete, Action::Adopt, Action::Forget,
        ]),
        (old, new) in (a_value(), a_value()),
        path in prop::sample::select(vec!["name", "a", "a.a", "b[0]", "c[0].name", "c.b[1]", "id.name.a"]),
    ) {
        let mut made = change("c/local_file.x", action)
            .before(value!({}))
            .recorded(value!({}))
            .after(value!({}))
            .replaces(path);
        let prior = made.basis.prior.as_mut().unwrap();
        made.why.drift = terrace_store::diff::changed_attributes(&recorded, &before);
        prior.identity = before.clone();
        prior.attributes = before;
        prior.recorded = Some(recorded);
        made.after.as_mut().unwrap().attributes = after;
        let mut plan = of(vec![made]);
        plan.stacks.first_mut().unwrap().outputs = vec![output("c", "o", Some(old), Some(new))];
        let forms = forms(&plan);
        prop_assert!(!forms.contains(SECRET), "{}", forms);
    }
}
