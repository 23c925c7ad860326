//! Tests of the terminal form.

use super::build::*;
use crate::human::{Detail, Human, plan as render};
use serde_json::json;
use terrace_language::action::{Action, Reason};
use terrace_plan::{Mode, Plan};

fn compact(plan: &Plan) -> String {
    render(plan, &Human::default())
}

#[test]
fn all_changes_are_printed() {
    insta::assert_snapshot!(compact(&everything()));
}

#[test]
fn summary_has_counts_and_destructive_changes() {
    insta::assert_snapshot!(render(&everything(), &Human { detail: Detail::Summary, ..Human::default() }));
}

#[test]
fn full_detail_folds_nothing() {
    insta::assert_snapshot!(render(&everything(), &Human { detail: Detail::Full, ..Human::default() }));
}

#[test]
fn empty_plan_prints_no_changes() {
    let unchanged = change("local_file.a", Action::NoOp).before(json!({"path": "a"})).after(json!({"path": "a"}));
    insta::assert_snapshot!(compact(&of(vec![unchanged])));
}

#[test]
fn plan_with_errors_never_prints_no_changes() {
    let mut failed = of(Vec::new());
    failed.is_errored = true;
    assert!(!compact(&failed).contains("No changes."));
    let mut partial = of(vec![change("local_file.a", Action::Create).after(json!({"path": "a"}))]);
    partial.is_errored = true;
    insta::assert_snapshot!(compact(&partial));
}

#[test]
fn each_stack_has_its_counts() {
    let create = |name: &str| change(&format!("local_file.{name}"), Action::Create).after(json!({"path": name}));
    let delete = change("local_file.c", Action::Delete).before(json!({"path": "c"})).because(Reason::Destroy);
    let mut several = plan(vec![stack("one", vec![create("a")]), stack("two", vec![create("b"), delete])]);
    several.mode = Mode::Destroy;
    insta::assert_snapshot!(compact(&several));
}

#[test]
fn reason_is_broken_between_words_and_not_cut() {
    let mut one = change("local_file.a", Action::Create).after(json!({"path": "a"}));
    one.why.because =
        vec!["the code changed: `processors/one.py`, `processors/two.py` and `processors/three.py`".to_owned()];
    let narrow = render(&of(vec![one]), &Human { width: 60, ..Human::default() });
    assert!(
        narrow.contains(
            "      because the code changed: `processors/one.py`,\n          `processors/two.py` and `processors/three.py`\n"
        ),
        "{narrow}"
    );
}

#[test]
fn nested_differences_are_printed_at_their_path() {
    let before = json!({
        "name": "n",
        "ports": [80, 443, 8080],
        "rules": [{"from": 1, "to": 2}, {"from": 3, "to": 4}],
        "columns": [{"name": "a", "type": "x"}, {"name": "b", "type": "y"}],
        "vendor": {"deep": {"er": [1, 2], "same": true}, "kind": "a"},
        "gone": {"a": 1},
        "shape": "text",
        "secrets": [{"$secret": "one"}, {"$secret": SECRET}],
    });
    let after = json!({
        "name": "n",
        "ports": [443, 8080, 9090],
        "rules": [{"from": 1, "to": 2}, {"from": 3, "to": 5}, {"from": 6}],
        "columns": [{"name": "b", "type": "y"}, {"name": "a", "type": "x"}],
        "vendor": {"deep": {"er": [1, "$unknown"], "same": true}, "kind": "b"},
        "new": ["q", "$unknown"],
        "shape": ["list"],
        "secrets": [{"$secret": "one"}, {"$secret": "changed"}],
    });
    insta::assert_snapshot!(compact(&of(vec![change("c/local_value.v", Action::Update).before(before).after(after)])));
}

#[test]
fn renamed_item_is_neither_removed_nor_added() {
    let columns = |columns: serde_json::Value| json!({"columns": columns});
    let before = columns(json!([{"name": "id"}, {"name": "old", "type": "x"}, {"name": "gone"}, {"name": "kept"}]));
    let after = columns(json!([
        {"name": "new", "type": "y", "previousName": "old"},
        {"name": "id"},
        // Neither is a rename: the old item did not exist, or it still exists.
        {"name": "other", "previousName": "none"},
        {"name": "more", "previousName": "kept"},
        {"name": "kept"},
    ]));
    let update = change("local_value.v", Action::Update).before(before).after(after);
    insta::assert_snapshot!(compact(&of(vec![update])), @r#"
    stack demo@local

      ~ local_value.v   columns changed
          ~ columns
              ~ old
                  ~ name         = "old" → "new"
                  ~ type         = "x" → "y"
                  + previousName = "old"
              - gone
              + other {previousName = "none"}
              + more {previousName = "kept"}
              ~ order: [id, old, kept] → [new, id, kept]
              (2 unchanged items hidden)

    Plan: 0 to add, 1 to change, 0 to destroy.
    "#);
}

#[test]
fn exchanged_names_are_shown_as_renames() {
    let columns = |columns: serde_json::Value| json!({"columns": columns});
    let before = columns(json!([{"name": "a", "type": "x"}, {"name": "b", "type": "y"}]));
    let after = columns(json!([
        {"name": "b", "type": "x", "previousName": "a"},
        {"name": "a", "type": "y", "previousName": "b"},
    ]));
    let update = change("local_value.v", Action::Update).before(before).after(after);
    insta::assert_snapshot!(compact(&of(vec![update])), @r#"
    stack demo@local

      ~ local_value.v   columns changed
          ~ columns
              ~ a
                  ~ name         = "a" → "b"
                  + previousName = "a"
                  (1 unchanged entry hidden)
              ~ b
                  ~ name         = "b" → "a"
                  + previousName = "b"
                  (1 unchanged entry hidden)

    Plan: 0 to add, 1 to change, 0 to destroy.
    "#);
}

#[test]
fn texts_are_compared_by_line() {
    let lines = |from: usize, changed: &[usize]| {
        let line = |number: usize| match changed.contains(&number) {
            true => format!("line {number} is another now"),
            false => format!("line {number}"),
        };
        (from..40).map(line).collect::<Vec<_>>().join("\n")
    };
    let update = change("local_file.text", Action::Update)
        .before(json!({"content": lines(0, &[])}))
        .after(json!({"content": lines(2, &[20, 39])}));
    let create = change("local_file.z", Action::Create).after(json!({"content": lines(0, &[])}));
    insta::assert_snapshot!(compact(&of(vec![update, create])));
}

#[test]
fn colours_carry_no_further_information() {
    let coloured = render(&everything(), &Human { color: true, ..Human::default() });
    assert!(coloured.contains("\u{1b}[32m+\u{1b}[0m"));
    assert_eq!(without_colours(&coloured), compact(&everything()));
}

fn without_colours(coloured: &str) -> String {
    let mut rest = coloured;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain + rest
}

#[test]
fn lines_fit_the_width() {
    let wide = "wide ".repeat(100);
    let long = change("c/local_value.v", Action::Update)
        .before(json!({"text": "short", "list": [wide, wide], "forced": "a"}))
        .after(json!({"text": wide, "list": [wide], "forced": wide, "map": {"key": wide}}))
        .replaces("forced")
        .loses(&wide, Some("3 rows"), true);
    let text = render(&of(vec![long]), &Human { width: 60, ..Human::default() });
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    assert!(text.contains("…\"  # forces replacement"), "{text}");
    assert!(text.contains("! destroys data"), "{text}");
}

#[test]
fn narrow_terminal_breaks_lines_between_words() {
    let wide = "wide ".repeat(100);
    let long = change("c/local_value.v", Action::Update)
        .before(json!({"text": "short", "word": "a", "forced": "a"}))
        .after(json!({"text": wide, "word": "w".repeat(90), "forced": wide}))
        .replaces("forced")
        .loses("data is dropped by what it becomes", Some("12 rows of three tables"), false);
    let plans = [everything(), of(vec![long])];
    for (plan, width) in plans.iter().flat_map(|plan| [(plan, 40), (plan, 50), (plan, 59)]) {
        let text = render(plan, &Human { width, ..Human::default() });
        for line in text.lines().filter(|line| line.chars().count() > width) {
            assert_eq!(line.split_whitespace().count(), 1, "{line:?} could be broken:\n{text}");
        }
        let coloured = render(plan, &Human { width, color: true, ..Human::default() });
        assert_eq!(without_colours(&coloured), text);
    }
    insta::assert_snapshot!(render(&everything(), &Human { width: 40, ..Human::default() }));
}

#[test]
fn cut_values_keep_their_closing_quotes() {
    let (long, other) = ("p".repeat(90), "q".repeat(90));
    let create = change("local_file.a", Action::Create).after(json!({"path": long, "list": [long, long]}));
    let update = change("local_file.b", Action::Update).before(json!({"path": long})).after(json!({"path": other}));
    let plan = of(vec![create, update]);
    for width in [40, 60, 80] {
        let text = render(&plan, &Human { width, ..Human::default() });
        let cut: Vec<&str> = text.lines().filter(|line| line.contains('…')).collect();
        assert!(cut.len() >= 3, "{text}");
        assert!(cut.iter().all(|line| line.matches('"').count() % 2 == 0), "{text}");
    }
}

#[test]
fn note_about_a_step_in_doubt_is_broken_and_not_cut() {
    let doubted = change("local_command.box", Action::NoOp).doubted("terrace sent the call; its effect is unknown");
    let text = render(&of(vec![doubted]), &Human { width: 60, ..Human::default() });
    let shown = "  ? local_command.box   in doubt: terrace sent the call; its\n      effect is unknown\n";
    assert!(text.contains(shown), "{text}");
}

#[test]
fn details_count_components_of_all_changes() {
    let new = |address: &str| change(address, Action::Create).after(json!({"path": "a"}));
    let replaced = |address: &str| {
        change(address, Action::Replace).before(json!({"path": "a"})).after(json!({"path": "b"})).replaces("path")
    };
    let last = |changes| compact(&of(changes)).trim_end().lines().last().unwrap().to_owned();
    assert_eq!(
        last(vec![replaced("local_file.x"), replaced("local_file.y"), new("b/local_file.a"), new("c/local_file.a")]),
        "(2 replaced; changes in 2 of 2 components)"
    );
    assert_eq!(
        last(vec![replaced("b/local_file.x"), replaced("b/local_file.y"), new("c/local_file.a")]),
        "(2 replaced; changes in 2 of 2 components)"
    );
    assert_eq!(last(vec![replaced("b/local_file.x"), replaced("c/local_file.y")]), "(2 replaced in 2 of 2 components)");
}

#[test]
fn narrow_terminal_breaks_head_between_words() {
    let plan = Plan {
        environment_note: Some("embedded environment: SQLite and files under .terrace/local".to_owned()),
        ..everything()
    };
    let text = render(&plan, &Human { width: 40, ..Human::default() });
    let head = text.split("\n\n").next().unwrap();
    insta::assert_snapshot!(head, @"
    stack demo@local
      (embedded environment: SQLite and
      files under .terrace/local)
    ");
    assert!(head.lines().all(|line| line.chars().count() <= 40));
}
