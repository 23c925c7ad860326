use super::*;
use crate::compile::facts::FactScope;
use crate::diagnostic::plain_text;
use crate::yaml::{self, Budget};

const COMPONENT: &str = "\
limit: 2
columns:
  - {name: id}
  - {name: nmae}
owners: {ada: 1, bo: 7}
";

/// The diagnostics of reading and evaluating checks, as text.
fn decided(checks: &str) -> String {
    let (diagnostics, sources) = diagnosed(checks);
    plain_text(&diagnostics, &sources)
}

fn diagnosed(checks: &str) -> (Vec<Diagnostic>, Sources) {
    let mut sources = Sources::default();
    let id = sources.add("blueprint.yaml", checks);
    let list = yaml::parse(id, checks, &Budget::default()).unwrap();
    let mut diagnostics = Vec::new();
    let checks: Vec<Check> =
        list.as_list().unwrap().iter().filter_map(|node| read(node, &sources, &mut diagnostics)).collect();
    let id = sources.add("component.yaml", COMPONENT);
    let component = yaml::parse(id, COMPONENT, &Budget::default()).unwrap();
    let roots = [
        ("component".to_owned(), component.to_value()),
        ("secret".to_owned(), Value::sensitive(Value::from("hunter2"))),
    ];
    let scope = FactScope { roots: roots.into_iter().collect() };
    let functions = Functions::default();
    let whole = Span::new(id, 0, 5);
    diagnostics.extend(checks.iter().flat_map(|check| check.decide(&scope, &functions, &component, whole)));
    (diagnostics, sources)
}

#[test]
fn failed_check_can_be_a_warning() {
    let warns = "- {assert: false, error: this is ignored, at: limit, severity: warning}\n";
    let undecided = "- {assert: '${{ component.nothing }}', error: this may be ignored, severity: warning}\n";
    let (found, _) = diagnosed(&format!("{warns}{undecided}"));
    let severities: Vec<Severity> = found.iter().map(|diagnostic| diagnostic.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Warning]);
    let (found, _) = diagnosed(&warns.replace("warning", "error"));
    assert_eq!(found[0].severity, Severity::Error);
    let (found, sources) = diagnosed(&warns.replace("warning", "note"));
    assert!(plain_text(&found, &sources).contains("`severity` cannot be `note`"));
}

#[test]
fn failed_entry_is_reported_at_its_place_with_a_hint() {
    insta::assert_snapshot!(decided(
        "\
- forEach: ${{ component.columns }}
  assert: ${{ each.value.name in ['id', 'name'] }}
  error: there is no column `${{ each.value.name }}`
  hint: there are ${{ ['id', 'name'].join(', ') }}
  at: columns[${{ each.key }}].name
- forEach: ${{ component.owners }}
  assert: ${{ each.value <= component.limit }}
  error: ${{ each.key }} has too many
  at: owners.${{ each.key }}
- {forEach: '${{ null }}', assert: false, error: nothing is decided for nothing}
"
    ));
}

#[test]
fn check_that_cannot_be_evaluated_fails() {
    let text = decided(
        "\
- {assert: '${{ component.nothing > 1 }}', error: the size is wrong, hint: another, at: limit}
- {forEach: 7, assert: true, error: e}
- {assert: false, error: 'the password is ${{ secret }}', at: 'columns[${{ component.limit + 5 }}].name'}
",
    );
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(text);
}

#[test]
fn check_is_read_with_places() {
    insta::assert_snapshot!(decided(
        "- {assert: true, error: [], at: 'a..b'}\n- {assert: true, error: e, at: 'a..b'}\n- {asert: true}\n"
    ));
}
