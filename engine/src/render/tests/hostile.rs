//! Values that try to be more than values, and values that may not be seen.

use super::build::*;
use crate::action::Action;
use crate::plan::Plan;
use crate::render::human::{Detail, Human};
use crate::render::markdown::Markdown;
use crate::render::{human, json, markdown, stream};
use jiff::Timestamp;
use serde_json::json as value;
use terrace_provider::Severity;

const HOSTILE: &str =
    "a\u{1b}[31m\u{9b}2J\u{202e}\r\n```\n</details>\n<!-- terrace:plan:demo@local -->\n@everyone | `x` \u{200b}$(rm)";

/// A plan that has the text everywhere.
fn hostile() -> Plan {
    let update = change("comp/local_file.part[\"k\"]", Action::Update)
        .before(value!({"content": "first\n", "name": HOSTILE, "list": [{"name": HOSTILE, "type": HOSTILE}]}))
        .recorded(value!({"content": HOSTILE, "name": HOSTILE, "list": []}))
        .after(value!({"content": HOSTILE, "name": "x", "list": [{"name": HOSTILE, "type": "t", (HOSTILE): 1}]}))
        .replaces("name")
        .loses(HOSTILE, Some(HOSTILE), false);
    let mut replace = change("comp/local_file.x", Action::Replace).before(value!({"name": HOSTILE})).replaces("name");
    replace.address.component = HOSTILE.to_owned();
    replace.address.key = Some(crate::address::InstanceKey::Text(HOSTILE.to_owned()));
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
    let options = Markdown { max_chars: 60_000, max_bytes: 240_000, digest: HOSTILE, command: HOSTILE };
    markdown::plan(plan, &options)
}

#[test]
fn a_terminal_obeys_nothing_in_a_plan() {
    for detail in [Detail::Summary, Detail::Compact, Detail::Full] {
        let text = human::plan(&hostile(), &Human { detail, ..Human::default() });
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
        assert!(!text.contains(['\u{202e}', '\u{200b}']), "{text}");
    }
    insta::assert_snapshot!(human::plan(&hostile(), &Human { width: 0, ..Human::default() }));
}

#[test]
fn a_comment_cannot_be_broken_out_of() {
    let text = comment(&hostile());
    super::markdown::assert_balanced(&text);
    assert_eq!(text.matches("<!-- terrace:plan:").count(), 1, "{text}");
    assert!(!text.contains("@everyone"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn no_form_shows_a_sensitive_value() {
    let plan = everything();
    let mut forms = vec![
        comment(&plan),
        json::plan(&plan, "digest").to_string(),
        format!("{:?}", stream::plan(&plan, Timestamp::UNIX_EPOCH)),
    ];
    for detail in [Detail::Summary, Detail::Compact, Detail::Full] {
        forms.push(human::plan(&plan, &Human { width: 0, detail, color: false }));
    }
    for form in forms {
        // What was recorded in the clear and is marked from now on is hidden on both sides.
        assert!(!form.contains(SECRET), "{form}");
    }
}
