//! Tests of drift as a comment.

use super::build::note;
use super::markdown::assert_balanced;
use crate::drift::human;
use crate::human::Human;
use crate::markdown::{Drift, drift as render};
use serde_json::json;
use terrace_language::address::StackId;
use terrace_plan::Note;
use terrace_plan::drift::{DriftItem, DriftKind, DriftedAttribute};
use terrace_provider::{Severity, Value};

const SECRET: &str = "hunter2";

fn item(stack: &str, address: &str, kind: DriftKind) -> DriftItem {
    DriftItem {
        stack: StackId::new(stack, "local"),
        address: address.parse().unwrap(),
        deposed: None,
        kind,
        attributes: Vec::new(),
    }
}

fn changed(stack: &str, address: &str, path: &str, recorded: Option<Value>, observed: Option<Value>) -> DriftItem {
    let attribute = DriftedAttribute { path: path.parse().unwrap(), recorded, observed };
    DriftItem { attributes: vec![attribute], ..item(stack, address, DriftKind::Changed) }
}

fn text(value: &str) -> Option<Value> {
    Some(value.into())
}

fn comment(stacks: &[&str], items: &[DriftItem], notes: &[Note], max_chars: usize) -> String {
    let stacks: Vec<StackId> = stacks.iter().map(|name| StackId::new(*name, "local")).collect();
    let is_wrong = notes.iter().any(|note| note.severity == Severity::Error);
    let uncertainty = is_wrong.then_some("some objects could not be read");
    let page = render(&Drift { stacks: &stacks, items, notes, uncertainty, max_chars, command: "terrace drift --all" });
    assert_balanced(&page);
    assert!(page.encode_utf16().count() <= max_chars.max(4_000));
    page
}

#[test]
fn no_drift_is_a_short_comment() {
    insta::assert_snapshot!(comment(&["demo"], &[], &[], 60_000), @"
    <!-- terrace:drift:demo@local -->
    ### terrace drift: `demo@local`

    No drift. The objects match the state.

    Checked with `terrace drift --all`
    ");
}

#[test]
fn narrow_terminal_breaks_lines_but_cuts_no_address() {
    let address = "a-component-of-a-long-name/local_file.by_a_name[\"that is longer than the line\"]";
    let items = [changed("demo", address, "content", text("one and two and three"), text("four and five and six"))];
    let options = Human { width: 40, ..Human::default() };
    let page = human(&[], &items, &options);
    assert!(page.contains("a-component-of-a-long-name/local_file.by_a_name[\"that"), "{page}");
    insta::assert_snapshot!(page, @r#"
    stack demo@local  (recorded → found)

      ~ a-component-of-a-long-name/local_file.by_a_name["that
          is longer than the line"]
          changed
          ~ content = "one and two and
              three" → "four and five and
              six"

    Drift: 1 resource differs from the
    state.
    "#);
    let coloured = human(&[], &items, &Human { color: true, ..options });
    assert!(coloured.contains("  \u{1b}[33m~\u{1b}[0m a-component"), "{coloured:?}");
    let plain = without_colours(&coloured);
    assert_eq!(plain, page, "colours move nothing");
}

/// A text without its colours.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').unwrap().1)
}

#[test]
fn all_kinds_of_drift_are_commented() {
    let long = |word: &str| text(&format!("begin\n{}{word}\nend\n", "same\n".repeat(30)));
    let items = [
        changed("demo", "job/local_file.a", "mode", text("0644"), text("0600")),
        changed("demo", "job/local_file.long", "content", long("old"), long("new")),
        changed("demo", "local_file.inner", "columns[0].type", None, text("INT\u{1b}")),
        changed("demo", "local_file.secret", "password", Some(Value::sensitive("a".into())), text(SECRET)),
        item("demo", "job/local_file.b", DriftKind::Deleted),
        changed(
            "shared",
            "shared/local_file[\"x\"]",
            "tags",
            Some(json!({"a": 1}).into()),
            Some(json!({"b": 1}).into()),
        ),
        DriftItem {
            kind: DriftKind::Recreated,
            ..changed("other", "local_file.c", "id", Some(1.into()), Some(2.into()))
        },
    ];
    let page = comment(&["demo", "other"], &items, &[note(Severity::Warning, "looked *twice*")], 60_000);
    assert!(!page.contains(SECRET));
    insta::assert_snapshot!(page);
}

#[test]
fn unreadable_object_is_not_drift() {
    let notes = [note(Severity::Error, "`a` cannot be read")];
    insta::assert_snapshot!(comment(&["demo"], &[], &notes, 60_000), @r"
    <!-- terrace:drift:demo@local -->
    ### terrace drift: `demo@local`

    **There may be drift: some objects could not be read.**

    - **error** at `stack.yaml:12:5`: \`a\` cannot be read; hint: look twice

    Checked with `terrace drift --all`
    ");
    let page = comment(&["demo"], &[item("demo", "local_file.a", DriftKind::Deleted)], &notes, 60_000);
    assert!(page.contains("**There may be more drift: some objects could not be read.**"), "{page}");
}

#[test]
fn values_and_names_are_escaped() {
    let nasty = "``` </details> <!-- terrace:drift:other@local --> @someone";
    let items = [
        changed("demo", "local_file.a", "content", text("x"), text(nasty)),
        item("demo", &format!("local_file.b[\"{nasty}|\"]"), DriftKind::Deleted),
    ];
    let page = comment(&["demo"], &items, &[], 60_000);
    for forbidden in ["<!-- terrace:drift:other", " @someone", "</details> <"] {
        assert!(!page.contains(forbidden), "{forbidden}: {page}");
    }
    assert_eq!(page.matches("</details>").count(), 1, "{page}");
}

#[test]
fn much_drift_fits_budget_and_counts_the_rest() {
    let mut items: Vec<DriftItem> = (0..2_000)
        .map(|number| changed("demo", &format!("local_file.a[{number}]"), "content", text("old"), text("new")))
        .collect();
    items.extend((0..300).map(|number| item("demo", &format!("local_file.gone[{number}]"), DriftKind::Deleted)));
    let page = comment(&["demo"], &items, &[], 10_000);
    assert!(page.contains("(2,000 changed, 300 deleted)"), "{page}");
    assert!(page.contains("more: "), "{page}");
    assert!(page.contains("! changed × "), "{page}");
    let names: Vec<String> = (0..3_000).map(|number| format!("stack-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let items: Vec<DriftItem> = names.iter().map(|name| item(name, "local_file.a", DriftKind::Deleted)).collect();
    let page = comment(&names, &items, &[], 4_000);
    assert!(page.contains("Drift: 3,000 resources differ"), "{page}");
    assert!(page.contains("(3,000 deleted)"), "{page}");
}
