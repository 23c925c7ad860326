use super::*;
use crate::diagnostic::plain_text;

const HEAD: &str = "apiVersion: terrace.dev/v1\nkind: BlueprintTest\ncases:\n";

fn read_text(cases: &str) -> (TestFile, String) {
    let mut sources = Sources::default();
    let id = sources.add("page.test.yaml", format!("{HEAD}{cases}"));
    let files = |path: &str| {
        (path == "stack.yaml").then(|| "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: s}\n".to_owned())
    };
    let (file, diagnostics) = read(id, &mut sources, &files, "local", &Budget::default());
    (file, plain_text(&diagnostics, &sources))
}

#[test]
fn component_is_wrapped_in_the_sample_product() {
    let (file, output) =
        read_text("  - name: one\n    product: {name: Shop}\n    component: {kind: workload, specific: {a: 1}}\n");
    assert_eq!(output, "");
    let case = &file.cases[0];
    assert!(case.diagnostics.is_empty(), "{:?}", case.diagnostics);
    let descriptor = &case.descriptors[0];
    assert_eq!(descriptor.stack, "domain.sample.0");
    assert_eq!(descriptor.components[0].key, "component");
    assert_eq!(descriptor.product.get("name").and_then(Value::as_str), Some("Shop"));
    assert_eq!(descriptor.environment.as_ref().map(|name| name.value.as_str()), Some("local"));
}

#[test]
fn component_with_blueprint_is_wrapped_in_a_stack() {
    let (file, output) = read_text("  - name: one\n    component: {blueprint: page, specific: {a: 1}}\n");
    assert_eq!(output, "");
    assert!(file.cases[0].diagnostics.is_empty(), "{:?}", file.cases[0].diagnostics);
    assert_eq!(file.cases[0].descriptors[0].components[0].key, "component");
}

#[test]
fn descriptor_is_read_inline_or_from_a_file() {
    let (file, output) = read_text("  - {name: one, descriptor: stack.yaml, component: api}\n");
    assert_eq!(output, "");
    assert_eq!(file.cases[0].descriptors[0].stack, "s");
    assert_eq!(file.cases[0].chosen, BTreeSet::from(["api".into()]));
}

#[test]
fn errors_have_places() {
    let (_, output) = read_text(
        "  - name: one\n    componnt: {}\n  - name: two\n    descriptor: none.yaml\n    product: {}\n  - name: three\n    component: {blueprint: a}\n    product: 1\n    expect: text\n",
    );
    insta::assert_snapshot!(output, @"
    error[missing_field]: a case needs `component` or `descriptor`
      at page.test.yaml:4:5
      hint: add `component:`, written as in a data product or in a stack
    error[unknown_field]: a case has no field `componnt`
      at page.test.yaml:5:5
      hint: did you mean `component`?
    error[unknown_field]: `product` cannot be combined with `descriptor`
      at page.test.yaml:8:5
      hint: move it into the descriptor
    error[missing_file]: there is no file `none.yaml`
      at page.test.yaml:7:17
      hint: give the path of a descriptor relative to this file, or write the descriptor here
    error[wrong_type]: `expect` is text: expected a map
      at page.test.yaml:12:13
      hint: remove `expect` and let `terrace blueprints test --accept` write it
    error[unknown_field]: a component with `blueprint` belongs to a stack, not to a data product
      at page.test.yaml:11:5
      hint: remove `product`, or remove `blueprint` to match by template or kind
    error[wrong_type]: `product` is a whole number: expected a map
      at page.test.yaml:11:14
      hint: write `name: value` for each entry, or `{name: value}`
    ");
}

#[test]
fn accepting_replaces_only_the_expectation() {
    let text = format!(
        "{HEAD}  # first\n  - name: one # of many\n    expect:\n      resources: {{a: 1}}\n      # old\n    component: {{blueprint: page}}\n\n  - component:\n      blueprint: page # last\n    name: two\n"
    );
    let mut sources = Sources::default();
    let id = sources.add("page.test.yaml", text.as_str());
    let (file, _) = read(id, &mut sources, &|_| None, "local", &Budget::default());
    let outcome = serde_json::json!({"errors": ["a: b"], "resources": {"x": {"y": "1\n2\n"}}});
    let empty = serde_json::json!({});
    let accepted =
        super::super::expectation::accepted(&text, &[(&file.cases[0], &outcome), (&file.cases[1], &outcome)]);
    insta::assert_snapshot!(accepted, @r#"
    apiVersion: terrace.dev/v1
    kind: BlueprintTest
    cases:
      # first
      - name: one # of many
        expect:
          errors:
            - "a: b"
          resources:
            x:
              "y": |
                1
                2
        component: {blueprint: page}

      - component:
          blueprint: page # last
        name: two
        expect:
          errors:
            - "a: b"
          resources:
            x:
              "y": |
                1
                2
    "#);
    let accepted = super::super::expectation::accepted(&text, &[(&file.cases[0], &empty)]);
    assert!(accepted.contains("of many\n    expect: {}\n    component"), "{accepted}");
}
