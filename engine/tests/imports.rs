//! Imports of existing objects, and forgotten resources: neither calls the provider to create or delete.

use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::render::{human, json};
use terrace_provider::{Attributes, Value};

fn object(key: &str, val: i64) -> Attributes {
    [("key".to_owned(), key.into()), ("val".to_owned(), val.into()), ("id".to_owned(), format!("found {key}").into())]
        .into_iter()
        .collect()
}

fn with_objects(objects: &[(&str, i64)]) -> Story {
    let story = Story::new();
    for (key, val) in objects {
        story.remote().objects.insert((*key).to_owned(), object(key, *val));
    }
    story
}

fn importing(val: i64, id: &str) -> String {
    let resources = format!("- {{type: world_thing, name: a, config: {{key: k, val: {val}}}}}");
    format!("{}imports: [{{to: world_thing.a, id: {id}}}]\n", stack(&resources))
}

#[tokio::test]
async fn matching_object_is_imported_without_a_call() {
    let story = with_objects(&[("k", 1)]);
    let text = importing(1, "k");
    let plan = story.plan(&text).await;
    assert_eq!(summary(&plan), "= world_thing.a (is imported)\n");
    let output = human::plan(&plan, &human::Human::default());
    assert!(output.contains("  = world_thing.a   imported from k\n"), "{output}");
    assert!(output.contains("Plan: 1 to import, 0 to add, 0 to change, 0 to destroy.\n(1 imported)\n"), "{output}");
    let output = json::plan(&plan, "digest");
    let change = &output["resource_changes"][0]["change"];
    assert_eq!(change["importing"], serde_json::json!({"id": "k"}));
    assert_eq!(change["actions"], serde_json::json!(["no-op"]));
    story.apply(&text).await;
    assert_eq!(story.log(), [""; 0]);
    assert_eq!(story.rows().await, ["world_thing.a"]);
    story.destroy().await;
    assert_eq!(story.log(), ["delete k"], "an imported resource is like any other");
}

#[tokio::test]
async fn import_shows_and_applies_the_update_it_needs() {
    let story = with_objects(&[("k", 1)]);
    let text = importing(2, "k");
    let plan = story.plan(&text).await;
    let output = human::plan(&plan, &human::Human::default());
    assert!(output.contains("imported from k, val changed") && output.contains("~ val  = 1 → 2"), "{output}");
    assert_eq!(json::plan(&plan, "d")["resource_changes"][0]["change"]["actions"], serde_json::json!(["update"]));
    story.apply(&text).await;
    assert_eq!(story.log(), ["update k"]);
    assert_eq!(story.remote_value("k", "id"), Value::from("found k"), "the object is the same");
}

#[tokio::test]
async fn repeated_import_has_no_changes() {
    let story = with_objects(&[("k", 1)]);
    story.apply(&importing(1, "k")).await;
    story.remote().reads.clear();
    assert_eq!(summary(&story.plan(&importing(1, "anything")).await), "");
    assert!(!story.remote().reads.iter().any(|call| call.starts_with("import")));
}

#[tokio::test]
async fn import_id_may_be_an_expression_over_variables() {
    let story = with_objects(&[("k", 1)]);
    let text = importing(1, "'${{ vars.prefix + \"k\" }}'") + "variables: {prefix: {type: string, default: ''}}\n";
    assert_eq!(summary(&story.plan(&text).await), "= world_thing.a (is imported)\n");
}

fn importing_each(imports: &str) -> String {
    let resources = "- {type: world_thing, name: a, forEach: [x, y], config: {key: '${{ each.key }}', val: 1}}";
    format!("{}imports:\n{imports}", stack(resources))
}

#[tokio::test]
async fn import_with_for_each_imports_an_object_per_item() {
    let story = with_objects(&[("x", 1), ("y", 1)]);
    for items in ["[x, y]", "'${{ {\"x\": \"x\", \"y\": \"y\"} }}'", "[{key: x}, {key: y}]", "'${{ vars.all }}'"] {
        let item = format!(
            "  - {{forEach: {items}, to: 'world_thing.a[\"${{{{ each.key }}}}\"]', id: '${{{{ each.key }}}}'}}\n"
        );
        let text = importing_each(&item) + "variables: {all: {schema: {type: array}, default: [x, y]}}\n";
        let plan = story.plan(&text).await;
        let expected = "= world_thing.a[\"x\"] (is imported)\n= world_thing.a[\"y\"] (is imported)\n";
        assert_eq!(summary(&plan), expected, "{items}");
    }
    let named = "  - {forEach: [{n: x, id: y}, {n: y, id: x}], key: '${{ each.value.n }}', to: 'world_thing.a[\"${{ each.value.id \
                 }}\"]', id: '${{ each.value.id }}'}\n";
    story.apply(&importing_each(named)).await;
    assert_eq!(story.log(), [""; 0]);
    assert_eq!(story.rows().await, ["world_thing.a[\"x\"]", "world_thing.a[\"y\"]"]);
    let none = importing_each("  - {forEach: [], to: 'world_thing.${{ each.key }}', id: '${{ each.key }}'}\n");
    assert_eq!(summary(&story.plan(&none).await), "");
}

#[tokio::test]
async fn import_with_for_each_may_number_its_items() {
    let story = with_objects(&[("k0", 1), ("k1", 1)]);
    let resources =
        "- {type: world_thing, name: a, forEach: '${{ range(2) }}', config: {key: 'k${{ string(each.key) }}', val: 1}}";
    let import =
        "- {forEach: '${{ range(2) }}', to: 'world_thing.a[${{ each.key }}]', id: 'k${{ string(each.value) }}'}";
    let text = format!("{}imports: [{}]\n", stack(resources), &import[2..]);
    assert_eq!(
        summary(&story.plan(&text).await),
        "= world_thing.a[0] (is imported)\n= world_thing.a[1] (is imported)\n"
    );
}

#[tokio::test]
async fn invalid_imports_with_for_each_are_reported_with_their_places() {
    let story = with_objects(&[("x", 1), ("y", 1)]);
    let each = |item: &str| importing_each(&format!("  - {item}\n"));
    insta::assert_snapshot!(story.errors(&each("{forEach: [x, y], to: 'world_thing.a[\"x\"]', id: '${{ each.key }}'}")).await, @r#"
    stack.yaml:7:27: `world_thing.a["x"]` is imported twice
      hint: remove one of the two imports, or name each item in `to` with `each.key`
    "#);
    let two = importing_each(
        "  - {forEach: [x], to: 'world_thing.a[\"${{ each.key }}\"]', id: x}\n  - {to: 'world_thing.a[\"x\"]', id: x}\n",
    );
    insta::assert_snapshot!(story.errors(&two).await, @r#"
    stack.yaml:8:10: `world_thing.a["x"]` is imported twice
      hint: remove one of the two imports
    "#);
    insta::assert_snapshot!(story.errors(&each("{forEach: [x], to: 'world_thing.a[${{ each.key }}]', id: x}")).await, @r#"
    stack.yaml:7:24: `world_thing.a[x]` is not an address: expected `[component/]type.name` or `[component/]type.name["key"]`
      hint: write `type.name`, `type.name["key"]` for one instance, or `component/` for a whole component; put `component/` before a resource of a component
    "#);
    insta::assert_snapshot!(story.errors(&each("{forEach: [z], to: 'world_thing.a[\"${{ each.key }}\"]', id: x}")).await, @r#"
    stack.yaml:7:24: `world_thing.a["z"]` is imported but not declared
      hint: declare it as `terrace import --generate 'world_thing.a["z"]' ID` prints it
    "#);
    insta::assert_snapshot!(story.errors(&each("{forEach: '${{ resources.a }}', to: world_thing.a, id: x}")).await, @"
    stack.yaml:7:20: there is no variable `resources` here
      hint: there are: `environment`, `stack`, `settings`, `vars`, `locals`
    ");
    insta::assert_snapshot!(story.errors(&each("{forEach: [x, x], to: 'world_thing.${{ each.key }}', id: x}")).await, @r#"
    stack.yaml:7:15: two items of `forEach` have the key ["x"]
      hint: use a different key for each instance
    "#);
    insta::assert_snapshot!(story.errors(&each("{forEach: 3, to: 'world_thing.${{ each.key }}', id: x}")).await, @"
    stack.yaml:7:15: `forEach` must be a map or a list, found a whole number
      hint: use a map, a list of text, a list of maps with `key:`, or `range(n)`
    ");
    insta::assert_snapshot!(story.errors(&each("{forEach: [[1]], to: '${{ each.value }}', id: x}")).await, @"
    stack.yaml:7:15: an item of `forEach` is a list without a key
      hint: add a `key:`, for example `key: ${{ each.value.name }}`
    ");
    insta::assert_snapshot!(story.errors(&each("{forEach: [{a: 1}], key: '${{ each.value.a }}', to: '${{ each.value }}', id: x}")).await, @"
    stack.yaml:7:30: `key` must be text, found a whole number
      hint: use `string(…)`
    ");
    insta::assert_snapshot!(story.errors(&each("{forEach: '${{ range(1) }}', to: '${{ each.value }}', id: x}")).await, @"
    stack.yaml:7:38: `to` must be text, found a whole number
      hint: write an address, as text
    ");
    insta::assert_snapshot!(story.errors(&each("{to: 'world_thing.a[\"${{ each.key }}\"]', id: x}")).await, @"
    stack.yaml:7:30: there is no variable `each` here
      hint: there are: `environment`, `stack`, `settings`, `vars`, `locals`
    ");
    insta::assert_snapshot!(story.errors(&each("{key: a, to: 'world_thing.a[\"x\"]', id: x}")).await, @"
    stack.yaml:7:11: `key` names the items of a `forEach`, which is missing
      hint: remove `key`, or add `forEach:`
    ");
    let secret = each("{forEach: '${{ vars.secret }}', to: 'world_thing.a[\"${{ each.key }}\"]', id: x}")
        + "variables: {secret: {schema: {type: array}, default: [x], sensitive: true}}\n";
    insta::assert_snapshot!(story.errors(&secret).await, @"
    stack.yaml:7:15: `forEach` reads a sensitive value, but its keys are public
      hint: use public keys, and read the sensitive value in the resource's attributes
    ");
}

#[tokio::test]
async fn invalid_imports_are_reported_with_their_places() {
    let story = with_objects(&[("k", 1), ("other", 1)]);
    insta::assert_snapshot!(story.errors(&importing(1, "nothing")).await, @"
    stack.yaml:6:35: there is no `world_thing` with the id `nothing`
      hint: check the id; to create the object, remove the import
    ");
    insta::assert_snapshot!(story.errors(&importing(1, "other")).await, @r#"
    stack.yaml:6:35: `other` would have to be replaced to become demo@test:world_thing.a: its `key` is "other"
      hint: declare the object as it is, import it, and then change the attributes that need a replacement
    "#);
    let text = importing(1, "k") + "forget: [world_thing.a]\n";
    insta::assert_snapshot!(story.errors(&text).await, @"
    stack.yaml:7:10: `world_thing.a` is to be forgotten and is still declared
      hint: remove the declaration, or this item of `forget`
    ");
    let text = stack(
        "- {type: world_note, name: n, config: {key: n}}\n- {type: world_thing, name: abc, config: {key: b}}",
    ) + "imports:\n  - {to: world_note.n, id: n}\n  - {to: world_thing.ab, id: b}\n  - {to: world_thing.abc, id: ''}\n  \
           - {to: world_thing.abc, id: [1]}\n";
    insta::assert_snapshot!(story.errors(&text).await, @"
    stack.yaml:10:31: `id` must be text, found empty
      hint: write the provider's id of the object
    stack.yaml:11:31: `id` must be text, found a list
      hint: write the provider's id of the object
    ");
    let text = text.replace("  - {to: world_thing.abc, id: ''}\n", "").replace("id: [1]", "id: k");
    insta::assert_snapshot!(story.errors(&text).await, @r#"
    stack.yaml:8:28: `n` cannot be looked up: a `world_note` is no object
    stack.yaml:9:10: `world_thing.ab` is imported but not declared
      hint: declare it as `terrace import --generate 'world_thing.ab' ID` prints it
    stack.yaml:10:31: `k` would have to be replaced to become demo@test:world_thing.abc: its `key` is "k"
      hint: declare the object as it is, import it, and then change the attributes that need a replacement
    "#);
}

#[tokio::test]
async fn object_of_another_resource_is_not_imported() {
    let story = with_objects(&[]);
    story.apply(&stack("- {type: world_thing, name: b, config: {key: k, val: 1}}")).await;
    insta::assert_snapshot!(story.errors(&importing(1, "k")).await, @"
    stack.yaml:6:35: `k` is demo@test:world_thing.b already
      hint: an object has one resource: `moved` gives it another address within its stack, `terrace state rm 'demo@test:world_thing.b'` drops it
    ");
    let other = importing(1, "k").replace("name: demo", "name: second");
    insta::assert_snapshot!(story.errors(&other).await, @"
    stack.yaml:6:35: `k` is demo@test:world_thing.b already
      hint: an object has one resource: `moved` gives it another address within its stack, `terrace state rm 'demo@test:world_thing.b'` drops it
    ");
}

#[tokio::test]
async fn forgotten_resource_loses_its_row_and_keeps_its_object() {
    let story = Story::new();
    let two = "- {type: world_thing, name: a, config: {key: a}}\n- {type: world_data, name: b, forEach: [x, y], config: \
               {key: '${{ each.key }}'}}";
    story.apply(&stack(two)).await;
    story.log();
    let text = stack("- {type: world_thing, name: c, config: {key: c}}") + "forget: [world_thing.a, world_data.b]\n";
    let plan = story.plan(&text).await;
    let expected = ". world_data.b[\"x\"] (is to be forgotten)\n. world_data.b[\"y\"] (is to be forgotten)\n. \
                    world_thing.a (is to be forgotten)\n+ world_thing.c\n";
    assert_eq!(summary(&plan), expected);
    assert_eq!(json::plan(&plan, "d")["resource_changes"][2]["change"]["actions"], serde_json::json!(["forget"]));
    story.apply(&text).await;
    assert_eq!(story.log(), ["create c"]);
    assert_eq!(story.rows().await, ["world_thing.c"]);
    assert!(story.remote().objects.contains_key("a") && story.remote().objects.contains_key("x"));
    // A second plan has nothing to forget.
    assert_eq!(summary(&story.plan(&text).await), "");
}

#[tokio::test]
async fn one_instance_or_a_whole_component_can_be_forgotten() {
    let story = Story::new();
    let each = |keys: &str, forget: &str| {
        format!(
            "{}forget: [{forget}]\n",
            stack(&format!(
                "- {{type: world_thing, name: a, forEach: [{keys}], config: {{key: '${{{{ each.key }}}}'}}}}"
            ))
        )
    };
    story.apply(&each("x, y", "")).await;
    let text = each("y", "'world_thing.a[\"x\"]'");
    assert_eq!(summary(&story.plan(&text).await), ". world_thing.a[\"x\"] (is to be forgotten)\n");
    insta::assert_snapshot!(story.errors(&each("x, y", "'world_thing.a[\"x\"]'")).await, @r#"
    stack.yaml:6:10: `world_thing.a["x"]` is to be forgotten and is still declared
      hint: remove the declaration, or this item of `forget`
    "#);
    insta::assert_snapshot!(story.errors(&each("x, y", "world_thing.a")).await, @"
    stack.yaml:6:10: `world_thing.a` is to be forgotten and is still declared
      hint: remove the declaration, or this item of `forget`
    ");
    let story = Story::new();
    let of = |components: &str, forget: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nforget: [{forget}]\ncomponents:\n{components}"
        )
    };
    let one =
        |name: &str| format!("  {name}:\n    resources: [{{type: world_thing, name: t, config: {{key: {name}}}}}]\n");
    story.apply(&of(&(one("x") + &one("y")), "")).await;
    story.log();
    let text = of(&one("y"), "x/");
    story.apply(&text).await;
    assert_eq!(story.log(), [""; 0]);
    assert_eq!(story.rows().await, ["y/world_thing.t"]);
}

#[tokio::test]
async fn protected_resource_can_be_forgotten() {
    let story = Story::new();
    let text = "- {type: world_thing, name: a, lifecycle: {preventDestroy: true}, config: {key: a}}";
    story.apply(&stack(text)).await;
    story.apply(&(stack("") + "forget: [world_thing.a]\n")).await;
    assert!(story.rows().await.is_empty());
}

#[tokio::test]
async fn imported_resource_is_not_replaced_with_its_trigger() {
    let story = with_objects(&[("k", 1)]);
    let text = stack(
        "- {type: world_thing, name: a, config: {key: k, val: 1}, lifecycle: {replaceTriggeredBy: [b]}}
         - {type: world_thing, name: b, config: {key: b}}",
    ) + "imports: [{to: world_thing.a, id: k}]\n";
    story.apply(&text).await;
    assert_eq!(story.log(), ["create b"]);
}

#[tokio::test]
async fn undeclared_import_suggests_only_resources_of_its_type() {
    let story = with_objects(&[("k", 1)]);
    let text = |declared: &str| {
        stack(&format!("- {{type: {declared}, name: daily_orders, config: {{key: k}}}}"))
            + "imports: [{to: world_thing.daily_order, id: k}]\n"
    };
    let messages = story.errors(&text("world_note")).await;
    assert!(messages.contains("declare it as `terrace import --generate 'world_thing.daily_order' ID`"), "{messages}");
    let messages = story.errors(&text("world_thing")).await;
    assert!(messages.contains("did you mean `world_thing.daily_orders`?"), "{messages}");
}
