//! Deferral: changes that depend on unknown values are left for another apply, if the option allows it.

use crate::support::Story;
use crate::support::story::{stack, summary};
use terrace_engine::plan::{Plan, file};
use terrace_engine::render::{human, json, markdown, stream};

/// A story that allows deferral.
pub(crate) fn deferring() -> Story {
    let mut story = Story::new();
    story.options.allow_deferral = true;
    story
}

/// The deferred changes of a plan, one a line.
fn deferred(plan: &Plan) -> String {
    plan.deferred().map(|(_, it)| format!("{} {} {}\n", it.action.sign(), it.address, it.text())).collect()
}

/// The changes of a plan, and below them its deferred ones.
pub(crate) fn both(plan: &Plan) -> String {
    assert_eq!(plan.is_complete, plan.deferred().next().is_none(), "deferred changes make a plan incomplete");
    format!("{}--\n{}", summary(plan), deferred(plan))
}

const SOURCE: &str = "- {type: world_thing, name: a, config: {key: a, val: [x, y]}}\n";
const EACH: &str =
    "- {type: world_thing, name: b, forEach: '${{ resources.a.echo }}', config: {key: '${{ each.key }}'}}\n";

fn source(val: &str) -> String {
    SOURCE.replace("[x, y]", val)
}

fn chain() -> String {
    stack(&format!(
        "{SOURCE}{EACH}- {{type: world_thing, name: c, dependsOn: [b], config: {{key: c}}}}\n- {{type: world_thing, name: \
         d, config: {{key: d}}}}\n- {{type: world_thing, name: e, config: {{key: e, val: '${{{{ resources.c.id }}}}'}}}}"
    )) + "outputs: {b: '${{ resources.b }}', d: '${{ resources.d.key }}'}\n"
}

#[tokio::test]
async fn unknown_value_is_an_error_without_the_flag() {
    let story = Story::new();
    insta::assert_snapshot!(story.errors(&chain()).await, @"
    stack.yaml:6:43: `forEach` depends on a value that is known only after apply
      hint: use a value that is known before, such as a variable (`--var NAME=VALUE`), apply its dependencies first (`terrace apply stack.yaml --env test --target 'world_thing.a'`), or defer it to another apply: `terrace apply stack.yaml --env test --allow-deferral`
    ");
}

#[tokio::test]
async fn known_changes_are_applied_and_another_apply_continues() {
    let story = deferring();
    insta::assert_snapshot!(both(&story.plan(&chain()).await), @r#"
    + world_thing.a
    + world_thing.d
    output d: None -> Some("d")
    --
    + world_thing.b[*] its instances are known after world_thing.a
    + world_thing.c comes after world_thing.b
    + world_thing.e comes after world_thing.c
    "#);
    story.apply_once(&chain()).await;
    assert_eq!(story.log(), ["create a", "create d"]);
    story.apply(&chain()).await;
    assert_eq!(story.log(), ["create x", "create y", "create c", "create e"]);
    assert!(story.plan(&chain()).await.is_complete);
}

#[tokio::test]
async fn deferred_changes_are_shown_in_every_format() {
    let story = deferring();
    let plan = story.plan(&chain()).await;
    insta::assert_snapshot!(human::plan(&plan, &human::Human::default()), @r#"
    stack demo@test

      + world_thing.a
          + key  = "a"
          + val  = ["x", "y"]
          + id   = (known after apply)
          + echo = (known after apply)
      + world_thing.d
          + key  = "d"
          + id   = (known after apply)
          + echo = (known after apply)

      outputs
      + d = "d"

      left for another apply
        world_thing.b[*]   its instances are known after world_thing.a
        world_thing.c      comes after world_thing.b
        world_thing.e      comes after world_thing.c

    Plan: 2 to add, 0 to change, 0 to destroy.
    3 resources left for later: once this plan is applied, another `terrace apply --env test
    --allow-deferral` goes on from there.
    "#);
    let options = markdown::Markdown {
        max_chars: 60_000,
        max_bytes: 240_000,
        digest: "digest",
        command: "terrace plan",
        consent: markdown::Markdown::CONSENT,
    };
    insta::assert_snapshot!(markdown::plan(&plan, &options), @r#"
    <!-- terrace:plan:demo@test -->
    ### terrace plan: `demo@test`

    Plan: 2 to add, 0 to change, 0 to destroy.

    | component | add | change | destroy | other |
    |---|--:|--:|--:|--:|
    | `demo@test` | 2 | 0 | 0 | 0 |

    #### Left for another apply: 3

    - `world_thing.b[*]` its instances are known after world\_thing.a
    - `world_thing.c` comes after world\_thing.b
    - `world_thing.e` comes after world\_thing.c

    3 resources left for later: once this plan is applied, another `terrace apply --env test --allow-deferral` goes on from there.

    <details><summary>demo@test: 2 changes</summary>

    ```diff
    + world_thing.a
    +     key  = "a"
    +     val  = ["x", "y"]
    +     id   = (known after apply)
    +     echo = (known after apply)
    + world_thing.d
    +     key  = "d"
    +     id   = (known after apply)
    +     echo = (known after apply)
    ```

    </details>

    <details><summary>outputs: 1 change</summary>

    ```diff
    + d = "d"
    ```

    </details>

    Plan digest `digest`. The full plan: `terrace plan`
    "#);
    let output = json::plan(&plan, "digest");
    assert_eq!(output["complete"], false);
    assert_eq!(output["applyable"], true);
    insta::assert_snapshot!(serde_json::to_string_pretty(&output["deferred_changes"][0]).unwrap(), @r#"
    {
      "reason": "instance_count_unknown",
      "resource_change": {
        "address": "world_thing.b[*]",
        "mode": "managed",
        "type": "world_thing",
        "name": "b",
        "index_unknown": true,
        "provider_name": "terrace.dev/terrace/world",
        "change": {
          "before": null,
          "after": null,
          "after_unknown": true,
          "before_sensitive": false,
          "after_sensitive": false,
          "actions": [
            "create"
          ]
        },
        "terrace": {
          "stack": "demo@test",
          "component": "",
          "action": "create",
          "waits_for": [
            "world_thing.a"
          ],
          "place": {
            "file": "stack.yaml",
            "line": 6,
            "column": 31
          }
        }
      }
    }
    "#);
    let lines = stream::plan(&plan, jiff::Timestamp::UNIX_EPOCH);
    let line = lines.iter().find(|line| line["type"] == "deferred_change").unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(line).unwrap(), @r#"
    {
      "@level": "info",
      "@message": "world_thing.b[*]: Left for another apply",
      "@module": "terraform.ui",
      "@timestamp": "1970-01-01T00:00:00Z",
      "type": "deferred_change",
      "change": {
        "resource": {
          "addr": "world_thing.b[*]",
          "module": "",
          "resource": "world_thing.b[*]",
          "implied_provider": "world",
          "resource_type": "world_thing",
          "resource_name": "b",
          "resource_key": "*"
        },
        "action": "create",
        "reason": "instance_count_unknown"
      },
      "terrace": {
        "action": "create",
        "waits_for": [
          "world_thing.a"
        ]
      }
    }
    "#);
}

#[tokio::test]
async fn plan_with_only_deferred_changes_does_not_say_no_changes() {
    let story = deferring();
    story.apply_once(&stack(SOURCE)).await;
    let text = stack(&format!("{}{EACH}", source("[x]"))) + "variables: {}\n";
    let plan = story.plan(&text).await;
    let output = human::plan(&plan, &human::Human::default());
    assert!(output.contains("Plan: 0 to add, 1 to change, 0 to destroy.\n1 resource left for later"), "{output}");
    let mut left = plan.clone();
    left.stacks[0].changes.clear();
    let output = human::plan(&left, &human::Human::default());
    assert!(
        !output.contains("No changes") && output.contains("Plan: 0 to add, 0 to change, 0 to destroy."),
        "{output}"
    );
}

#[tokio::test]
async fn deferred_changes_are_part_of_the_digest_and_saved_plan() {
    let story = deferring();
    let plan = story.plan(&chain()).await;
    let read = file::read(&file::write(&plan, &story.seal).unwrap(), &story.seal).unwrap();
    assert_eq!(deferred(&read), deferred(&plan));
    assert!(!read.is_complete && read.stacks[0].components[0].is_deferred);
    let mut other = plan.clone();
    other.stacks[0].deferred.pop();
    assert_ne!(file::digest(&plan, &story.seal).unwrap(), file::digest(&other, &story.seal).unwrap());
}

#[tokio::test]
async fn recorded_instances_and_outputs_stay_if_deferred() {
    let story = deferring();
    story.apply_once(&chain()).await;
    story.apply(&chain()).await;
    story.log();
    let changed =
        chain().replace("[x, y]", "[x, z]").replace("key: c}", "key: c2}").replace("key: d}", "key: d, val: 2}");
    insta::assert_snapshot!(both(&story.plan(&changed).await), @"
    ~ world_thing.a
    ~ world_thing.d
    --
    ~ world_thing.b[*] its instances are known after world_thing.a
    ~ world_thing.c comes after world_thing.b
    ~ world_thing.e comes after world_thing.c
    ");
    story.apply_once(&changed).await;
    assert_eq!(story.log(), ["update a", "update d"]);
    assert_eq!(story.rows().await.len(), 6);
    story.apply(&changed).await;
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["create c2", "create z", "delete c", "delete y", "update e"]);
}

#[tokio::test]
async fn anything_that_decides_about_instances_may_be_deferred() {
    let story = deferring();
    let thing =
        |fields: &str| stack(&format!("{SOURCE}- {{type: world_thing, name: b, {fields}, config: {{key: b}}}}"));
    let output_of = |plan: Plan| deferred(&plan);
    insta::assert_snapshot!(output_of(story.plan(&thing("when: '${{ resources.a.id != \"\" }}'")).await), @"+ world_thing.b its instances are known after world_thing.a");
    insta::assert_snapshot!(output_of(story.plan(&thing("provider: '${{ resources.a.id }}'")).await), @"+ world_thing.b its provider is known after world_thing.a");
    insta::assert_snapshot!(output_of(story.plan(&thing("shared: '${{ resources.a.id }}'")).await), @"+ world_thing.b its `shared` key is known after world_thing.a");
    insta::assert_snapshot!(output_of(story.plan(&thing("forEach: [{n: 1}], key: '${{ resources.a.id }}'")).await), @"+ world_thing.b[*] its instances are known after world_thing.a");
    insta::assert_snapshot!(output_of(story.plan(&thing("forEach: '${{ [resources.a.id] }}'")).await), @"+ world_thing.b[*] its instances are known after world_thing.a");
    let some = "forEach: [p, q], when: '${{ each.key == \"p\" || resources.a.id != \"\" }}'";
    let plan = story.plan(&thing(some)).await;
    assert_eq!(summary(&plan), "+ world_thing.a\n", "all instances are deferred, not only the unknown ones");
    let looked = format!(
        "{}data: [{{type: world_thing, name: l, config: {{key: '${{{{ resources.a.id }}}}'}}}}]\n",
        stack(&format!(
            "{SOURCE}- {{type: world_thing, name: b, when: '${{{{ data.l.id != \"\" }}}}', config: {{key: b}}}}"
        ))
    );
    insta::assert_snapshot!(output_of(story.plan(&looked).await), @"+ world_thing.b its instances are known after data.world_thing.l");
}

#[tokio::test]
async fn invalid_input_is_an_error_with_deferral_too() {
    let story = deferring();
    let wrong = stack(&format!("{SOURCE}- {{type: world_thing, name: b, forEach: 3, config: {{key: b}}}}"));
    insta::assert_snapshot!(story.errors(&wrong).await, @"
    stack.yaml:6:43: `forEach` must be a map or a list, found a whole number
      hint: use a map, a list of text, a list of maps with `key:`, or `range(n)`
    ");
}

#[tokio::test]
async fn lookups_that_depend_on_deferred_resources_are_deferred() {
    let story = deferring();
    let text = stack(&format!(
        "{SOURCE}{EACH}- {{type: world_thing, name: c, config: {{key: c, val: '${{{{ data.l.id }}}}'}}}}"
    )) + "data: [{type: world_thing, name: l, dependsOn: [b], config: {key: x}}]\n";
    insta::assert_snapshot!(both(&story.plan(&text).await), @"
    + world_thing.a
    --
    <= data.world_thing.l comes after world_thing.b
    + world_thing.b[*] its instances are known after world_thing.a
    + world_thing.c comes after data.world_thing.l
    ");
    story.apply_once(&text).await;
    story.apply(&text).await;
    assert_eq!(story.log(), ["create a", "create x", "create y", "create c"]);
}

fn components(api: &str, reader: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  api:\n    resources:\n      \
         {SOURCE}      {EACH}    outputs: {{all: '${{{{ resources.b }}}}', one: {api}}}\n  reader:\n    dependsOn: [api]\n    \
         resources: [{reader}]\n    outputs: {{again: '${{{{ components.api.outputs.all }}}}', plain: 1}}\n  other:\n    resources: \
         [{{type: world_thing, name: o, config: {{key: o}}}}]\noutputs: {{all: '${{{{ components.reader.outputs.again }}}}'}}\n"
    )
}

#[tokio::test]
async fn dependents_of_a_component_with_deferred_parts_are_deferred() {
    let story = deferring();
    let text = components("1", "{type: world_thing, name: r, config: {key: r}}");
    insta::assert_snapshot!(both(&story.plan(&text).await), @"
    + api/world_thing.a
    + other/world_thing.o
    output one: None -> Some(1)
    --
    + api/world_thing.b[*] its instances are known after api/world_thing.a
    + reader/world_thing.r comes after api/
    ");
    story.apply_once(&text).await;
    story.apply(&text).await;
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["create a", "create o", "create r", "create x", "create y"]);
    // A component of outputs alone is deferred as well.
    let story = deferring();
    let text = components("1", "");
    insta::assert_snapshot!(both(&story.plan(&text).await), @"
    + api/world_thing.a
    + other/world_thing.o
    output one: None -> Some(1)
    --
    + api/world_thing.b[*] its instances are known after api/world_thing.a
    ");
    story.apply_once(&text).await;
    story.apply(&text).await;
}

#[tokio::test]
async fn stacks_that_read_deferred_outputs_are_deferred() {
    let story = deferring();
    let giver = stack(&format!("{SOURCE}{EACH}")) + "outputs: {all: '${{ resources.b }}'}\n";
    let taker = stack(
        "- {type: world_thing, name: t, config: {key: t, val: '${{ stacks.demo.outputs.all }}'}}
         - {type: world_thing, name: u, config: {key: u}}",
    )
    .replace("name: demo", "name: taker");
    let text = format!("{giver}\n---\n{taker}");
    insta::assert_snapshot!(both(&story.plan(&text).await), @"
    + world_thing.a
    + world_thing.u
    --
    + world_thing.b[*] its instances are known after world_thing.a
    + world_thing.t comes after stack demo@test
    ");
    story.apply_once(&text).await;
    story.apply(&text).await;
}

/// Three stacks. `giver` outputs a value of its component, which has deferred instances; `middle` has only outputs and
/// passes it on; `taker` has instances of the passed value.
fn pass_through_output(names: &str) -> String {
    let head = |name: &str| format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\n");
    let source = source(names);
    let giver = format!(
        "{}components:\n  api:\n    resources:\n      {source}      {EACH}    outputs: {{n: '${{{{ resources.a.echo }}}}'}}\n\
         outputs: {{own: '${{{{ components.api.outputs.n }}}}'}}\n",
        head("giver")
    );
    let middle = format!(
        "{}components:\n  pass:\n    resources: []\n    outputs: {{on: '${{{{ stacks.giver.outputs.own }}}}'}}\n",
        head("middle")
    );
    let taker = format!(
        "{}resources:\n  - {{type: world_thing, name: t, forEach: '${{{{ stacks.middle.components.pass.outputs.on }}}}', config: \
         {{key: 't-${{{{ each.key }}}}'}}}}\n",
        head("taker")
    );
    format!("{giver}\n---\n{middle}\n---\n{taker}")
}

#[tokio::test]
async fn deferral_passes_through_components_of_outputs_alone() {
    let story = deferring();
    let text = pass_through_output("[x, y]");
    insta::assert_snapshot!(both(&story.plan(&text).await), @"
    + api/world_thing.a
    output n: None -> Some((known after apply))
    --
    + api/world_thing.b[*] its instances are known after api/world_thing.a
    + world_thing.t[*] comes after stack middle@test
    ");
    story.apply_once(&text).await;
    story.apply(&text).await;
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["create a", "create t-x", "create t-y", "create x", "create y"]);
    // Recorded outputs don't stand for the values after apply.
    let next = pass_through_output("[y, z]");
    insta::assert_snapshot!(both(&story.plan(&next).await), @r#"
    ~ api/world_thing.a
    output n: Some(["x", "y"]) -> Some((known after apply))
    --
    ~ api/world_thing.b[*] its instances are known after api/world_thing.a
    ~ world_thing.t[*] comes after stack middle@test
    "#);
    story.apply_once(&next).await;
    assert_eq!(story.log(), ["update a"]);
    story.apply(&next).await;
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["create t-z", "create z", "delete t-x", "delete x"]);
}

#[tokio::test]
async fn deferred_resource_cannot_be_replaced() {
    let mut story = deferring();
    story.apply_once(&chain()).await;
    story.apply(&chain()).await;
    let replace = ["world_thing.b[\"x\"]", "world_thing.b", "world_thing.c", "world_thing.d"];
    story.options.replace = replace.iter().map(|text| (None, text.parse().unwrap())).collect();
    insta::assert_snapshot!(story.errors(&chain().replace("[x, y]", "[x, z]")).await, @r#"
    -: `--replace world_thing.b["x"]` names a deferred resource (its instances are known after world_thing.a)
      hint: apply without `--replace` first, then replace the resource with another apply
    -: `--replace world_thing.b` names a deferred resource (its instances are known after world_thing.a)
      hint: apply without `--replace` first, then replace the resource with another apply
    -: `--replace world_thing.c` names a deferred resource (comes after world_thing.b)
      hint: apply without `--replace` first, then replace the resource with another apply
    "#);
}

#[tokio::test]
async fn imports_into_deferred_resources_are_deferred() {
    let story = deferring();
    let text = chain() + "imports: [{to: 'world_thing.b[\"x\"]', id: x}]\n";
    story
        .remote()
        .objects
        .insert("x".to_owned(), [("key".to_owned(), "x".into()), ("id".to_owned(), "i".into())].into_iter().collect());
    story.apply_once(&text).await;
    assert_eq!(story.log(), ["create a", "create d"]);
    assert_eq!(summary(&story.plan(&text).await).lines().next(), Some("= world_thing.b[\"x\"] (is imported)"));
}

#[tokio::test]
async fn component_with_deferred_parts_keeps_its_shared_resources() {
    let story = deferring();
    let of = |n: &str, shared: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  x:\n    resources:\n      - {{type: \
             world_thing, name: n, config: {{key: n, val: {n}}}}}\n      - {{type: world_thing, name: s, shared: '{shared}', \
             lifecycle: {{onLastRelease: delete}}, config: {{key: '{shared}'}}}}\n"
        )
    };
    story.apply(&of("one", "common")).await;
    story.log();
    let next = of("two", "${{ resources.n.echo }}");
    insta::assert_snapshot!(both(&story.plan(&next).await), @"
    ~ x/world_thing.n
    --
    + x/world_thing.s its `shared` key is known after x/world_thing.n
    ");
    story.apply_once(&next).await;
    assert_eq!(story.log(), ["update n"]);
    insta::assert_snapshot!(summary(&story.plan(&next).await), @r#"
    - shared/world_thing["common"] (its last owner releases it)
    + shared/world_thing["two"]
    owner - x of shared/world_thing["common"]
    owner + x of shared/world_thing["two"]
    "#);
}
