//! Tests of the comment on a pull request.

use super::build::*;
use crate::markdown::{Markdown, plan as render};
use proptest::prelude::*;
use serde_json::json;
use terrace_language::action::{Action, Reason};
use terrace_plan::{Change, Plan};

fn comment(plan: &Plan, max_chars: usize) -> String {
    render(
        plan,
        &Markdown {
            max_chars,
            max_bytes: 240_000,
            digest: "d1ge57",
            command: "terrace show plan.tplan",
            consent: Markdown::CONSENT,
        },
    )
}

#[track_caller]
pub(super) fn assert_balanced(text: &str) {
    let mut is_fenced = false;
    let mut depth = 0;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
            continue;
        }
        if !is_fenced {
            depth += line.matches("<details>").count();
            depth -= line.matches("</details>").count();
        }
        let has_fold = line.contains("<details>") || line.contains("</details>");
        assert!(!is_fenced || !has_fold, "a fold in a fence: {line}");
        assert!(depth <= 1, "nested folds: {line}");
    }
    assert!(!is_fenced && depth == 0, "left open: {text}");
}

#[track_caller]
fn assert_within(text: &str, characters: usize) {
    assert!(text.encode_utf16().count() <= characters, "{} characters", text.encode_utf16().count());
    assert!(text.len() <= 240_000);
    assert_balanced(text);
}

#[test]
fn all_changes_are_commented() {
    let text = comment(&everything(), 60_000);
    assert_within(&text, 60_000);
    insta::assert_snapshot!(text);
}

#[test]
fn an_empty_plan_is_a_short_comment() {
    insta::assert_snapshot!(comment(&of(Vec::new()), 60_000), @r"
    <!-- terrace:plan:demo@local -->
    ### terrace plan: `demo@local`

    No changes. Your infrastructure matches the configuration.

    Plan digest `d1ge57`. The full plan: `terrace show plan.tplan`
    ");
}

#[test]
fn plan_with_errors_is_shown_without_its_digest() {
    let text = comment(&Plan { is_errored: true, ..of(Vec::new()) }, 60_000);
    assert!(text.contains("**This plan has errors and cannot be applied.**"), "{text}");
    assert!(text.ends_with("\n\nThe full plan: `terrace show plan.tplan`\n") && !text.contains("d1ge57"), "{text}");
}

fn many(count: usize, make: impl Fn(usize) -> Change) -> Plan {
    of((0..count).map(make).collect())
}

#[test]
fn ten_thousand_creates_fit() {
    let text = comment(
        &many(10_000, |number| {
            let component = number / 1_000;
            change(&format!("c{component}/local_file.part[{number}]"), Action::Create)
                .after(json!({"path": format!("out/{number}.txt"), "content": "x".repeat(50)}))
        }),
        60_000,
    );
    assert_within(&text, 60_000);
    assert!(text.len() > 55_000, "room is left: {}", text.len());
    assert!(text.contains("Plan: 10000 to add, 0 to change, 0 to destroy."));
    assert!(text.contains("local_file.part[…] × 1,000"), "{}", &text[..3_000]);
}

#[test]
fn unlisted_deletes_are_counted() {
    let text = comment(
        &many(10_000, |number| {
            change(&format!("storage/sqlite_table.table[{number}]"), Action::Delete)
                .before(json!({"name": number}))
                .because(Reason::NoKey)
        }),
        60_000,
    );
    assert_within(&text, 60_000);
    let listed = text
        .lines()
        .filter(|line| line.starts_with("- `-` `storage/sqlite_table.table[") && !line.contains('×'))
        .count();
    assert!(listed > 100, "{listed}");
    let rest = terrace_language::text::thousands(10_000 - listed);
    assert!(text.contains(&format!("- `-` `storage/sqlite_table.table[…]` × {rest}\n")), "{}", &text[20_000..22_000]);
}

#[test]
fn ten_thousand_components_fit() {
    let text = comment(
        &many(10_000, |number| {
            let action = if number % 2 == 0 { Action::Replace } else { Action::Update };
            change(&format!("component-{number}/sqlite_table.t{number}"), action)
                .before(json!({"a": 1}))
                .after(json!({"a": 2}))
        }),
        60_000,
    );
    assert_within(&text, 60_000);
    assert!(text.contains("more under"), "{text}");
    assert!(text.contains("more changes in"), "{text}");
}

#[test]
fn parts_are_dropped_in_order() {
    let long = |mark: &str| (0..60).map(|line| format!("{mark} {line}\n")).collect::<String>();
    let plan = |creates: usize, updates: usize| {
        let create = (0..creates).map(|number| {
            change(&format!("c/local_file.new[{number}]"), Action::Create).after(json!({"path": "p", "size": number}))
        });
        let update = (0..updates).map(|number| {
            change(&format!("c/local_file.old[{number}]"), Action::Update)
                .before(json!({"content": long("same"), "size": number}))
                .after(json!({"content": format!("{}end\n", long("same")), "size": number + 1}))
        });
        of(create.chain(update).collect())
    };
    let all = comment(&plan(5, 5), 60_000);
    assert!(all.contains("same 58") && all.contains("path = \"p\"") && all.contains("+ local_file.new[4]"), "{all}");
    let without_context = comment(&plan(30, 120), 20_000);
    assert!(!without_context.contains("same 58"), "{without_context}");
    assert!(without_context.contains("size    = 0 → 1"), "{without_context}");
    let without_creates = comment(&plan(180, 100), 20_000);
    // The last creates lose their bodies first; updates keep theirs until all creates have lost them.
    assert!(without_creates.contains("size = 0\n") && !without_creates.contains("size = 179\n"), "{without_creates}");
    assert!(without_creates.contains("+ local_file.new[179]\n"), "{without_creates}");
    assert!(without_creates.contains("size    = 99 → 100"), "{without_creates}");
    for text in [without_context, without_creates] {
        assert_within(&text, 20_000);
    }
}

fn a_change() -> impl Strategy<Value = Change> {
    let action = prop_oneof![
        Just(Action::Create),
        Just(Action::Update),
        Just(Action::Replace),
        Just(Action::Delete),
        Just(Action::Retain),
        Just(Action::Adopt),
    ];
    let text =
        prop_oneof!["[a-z]{0,8}", "(?s).{0,60}", "(```|</details>|<details>|@a|\n|`|~~~|é🚲){0,40}", "x{0,3000}"];
    (action, 0..5usize, text.clone(), text.clone(), text, any::<bool>()).prop_map(
        |(action, component, before, after, key, is_forced)| {
            let mut made = change(&format!("c{component}/local_file.f"), action)
                .before(json!({"text": before, "list": [before, after], "same": 1}))
                .after(json!({"text": after, "list": [after], "map": {(before.clone()): after}}));
            made.address.key = Some(terrace_language::address::InstanceKey::Text(key));
            if is_forced { made.replaces("text").loses(&before, Some(&after), false) } else { made }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn comment_fits_budget_and_closes_folds(
        changes in prop::collection::vec(a_change(), 0..60),
        characters in 4_000..30_000usize,
        bytes in 16_000..100_000usize,
    ) {
        let options = Markdown { max_chars: characters, max_bytes: bytes, digest: "d", command: "c", consent: Markdown::CONSENT };
        let text = render(&of(changes), &options);
        prop_assert!(text.encode_utf16().count() <= characters);
        prop_assert!(text.len() <= bytes);
        assert_balanced(&text);
        prop_assert!(text.ends_with("The full plan: `c`\n"));
    }
}
