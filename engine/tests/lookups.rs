//! Lookups: answered during planning if possible, otherwise during apply.

use crate::support::Story;
use crate::support::story::{keys, summary};
use crate::support::world::Fault;
use terrace_engine::diagnostic::Location;
use terrace_engine::plan::{Plan, ReadReason};
use terrace_provider::{Attributes, ErrorKind, Value};

/// A stack whose thing `user` reads the lookup `it`.
fn with_lookup(config: &str, rest: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ndata:\n  \
         - {{type: world_thing, name: it, config: {config}}}\nresources:\n  \
         - {{type: world_thing, name: user, config: {{key: user, val: '${{{{ data.it.val }}}}'}}}}\n{rest}"
    )
}

/// The lookups that are read during apply.
fn lookups_during_apply(plan: &Plan) -> Vec<(String, ReadReason)> {
    let lookups = plan.stacks.iter().flat_map(|stack| &stack.lookups);
    lookups.filter_map(|lookup| Some((lookup.address.to_string(), lookup.reason?))).collect()
}

fn put_remote(story: &Story, key: &str, val: &str) {
    let object = [("key", key), ("val", val), ("id", "id-0")];
    let object = object.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    story.remote().objects.insert(key.to_owned(), object);
}

#[tokio::test]
async fn existing_object_is_looked_up_during_planning() {
    let story = Story::new();
    put_remote(&story, "there", "found");
    let text = with_lookup("{key: there}", "outputs: {answer: '${{ data.it.val }}'}\n");
    let plan = story.plan(&text).await;
    assert!(lookups_during_apply(&plan).is_empty());
    insta::assert_snapshot!(summary(&plan), @r#"
    + world_thing.user
    output answer: None -> Some("found")
    "#);
    story.apply(&text).await;
    assert_eq!(story.remote_value("user", "val"), "found".into());
}

#[tokio::test]
async fn lookup_with_unknown_arguments_is_read_during_apply() {
    let story = Story::new();
    put_remote(&story, "id-1", "found");
    let text = with_lookup(
        "{key: '${{ resources.first.id }}'}",
        "  - {type: world_thing, name: first, config: {key: first}}\n",
    );
    let plan = story.plan(&text).await;
    assert_eq!(lookups_during_apply(&plan), [("data.world_thing.it".to_owned(), ReadReason::Unknown)]);
    story.apply(&text).await;
    assert_eq!(story.log(), ["create first", "create user"]);
    assert_eq!(story.remote_value("user", "val"), "found".into());
    // The arguments are known now: a second plan has no lookup left to read during apply.
    assert!(lookups_during_apply(&story.plan(&text).await).is_empty());
}

#[tokio::test]
async fn lookup_waits_for_a_dependency_that_changes() {
    let story = Story::new();
    put_remote(&story, "there", "before");
    let text = |val: i64| {
        with_lookup(
            "{key: there}, dependsOn: [first]",
            &format!("  - {{type: world_thing, name: first, config: {{key: first, val: {val}}}}}\n"),
        )
    };
    let plan = story.plan(&text(1)).await;
    assert_eq!(lookups_during_apply(&plan), [("data.world_thing.it".to_owned(), ReadReason::Pending)]);
    story.apply(&text(1)).await;
    assert!(lookups_during_apply(&story.plan(&text(1)).await).is_empty(), "no dependency changes");
    assert_eq!(lookups_during_apply(&story.plan(&text(2)).await).len(), 1);
}

#[tokio::test]
async fn lookup_of_an_object_in_the_plan_is_answered_from_the_plan() {
    let story = Story::new();
    let text = with_lookup("{key: made}", "  - {type: world_thing, name: made, config: {key: made, val: planned}}\n")
        + "outputs: {val: '${{ data.it.val }}', id: '${{ data.it.id }}'}\n";
    let plan = story.plan(&text).await;
    assert_eq!(lookups_during_apply(&plan), [("data.world_thing.it".to_owned(), ReadReason::Pending)]);
    insta::assert_snapshot!(summary(&plan), @r#"
    + world_thing.made
    + world_thing.user
    output id: None -> Some((known after apply))
    output val: None -> Some("planned")
    "#);
    let user = plan.changes().find(|(_, change)| change.address.name == "user").unwrap().1;
    assert_eq!(user.how.depends_on, ["world_thing.made".parse().unwrap()], "so that `user` is deleted first");
    story.apply(&text).await;
    assert_eq!(story.log(), ["create made", "create user"]);
    story.destroy().await;
    assert_eq!(story.log(), ["delete user", "delete made"]);
}

#[tokio::test]
async fn planned_value_is_type_checked_where_it_is_read() {
    let story = Story::new();
    let text = with_lookup("{key: made}", "  - {type: world_thing, name: made, config: {key: made, val: 7}}\n");
    let errors = story.errors(&text.replace("data.it.val }}", "data.it.val.deep }}")).await;
    insta::assert_snapshot!(errors, @"stack.yaml:7:67: `data.it.val` is a whole number, so there is no `data.it.val.deep`");
}

#[tokio::test]
async fn lookup_result_may_have_more_fields_than_planned() {
    let story = Story::new();
    let planned = "{deep: 1, fields: [{name: a}, {name: b}]}";
    let resource = format!("  - {{type: world_thing, name: made, config: {{key: made, val: {planned}}}}}\n");
    let text = with_lookup("{key: made}", &resource).replace("data.it.val }}", "data.it.val.deep }}");
    let field = |name: &str| serde_json::json!({"name": name, "position": 1});
    let seen = |deep: i64, fields: &[&str]| {
        let fields: Vec<_> = fields.iter().map(|name| field(name)).collect();
        let val = serde_json::json!({"deep": deep, "more": true, "fields": fields}).to_string();
        let val = Value::from_json_text(&val).unwrap();
        [("key".to_owned(), Value::from("made")), ("val".to_owned(), val)].into_iter().collect::<Attributes>()
    };
    story.remote().lookup_results.insert("made".to_owned(), seen(1, &["a", "b"]));
    let report = story.apply_once(&text).await;
    assert_eq!(report.failed.first().map(|failed| &failed.error), None);
    assert_eq!(story.log(), ["create made", "create user"]);
    for (deep, fields) in [(2, &["a", "b"][..]), (1, &["a", "c"]), (1, &["a"])] {
        let story = Story::new();
        story.remote().lookup_results.insert("made".to_owned(), seen(deep, fields));
        let report = story.apply_once(&text).await;
        assert_eq!(report.failed[0].error, "the plan is stale: `val` differs from its planned value");
    }
}

#[tokio::test]
async fn lookup_result_that_differs_from_the_plan_fails_its_readers() {
    let story = Story::new();
    let text = with_lookup("{key: made}", "  - {type: world_thing, name: made, config: {key: made, val: planned}}\n");
    let seen = [("key", "made"), ("val", "another")].map(|(name, value)| (name.to_owned(), Value::from(value)));
    story.remote().lookup_results.insert("made".to_owned(), seen.into_iter().collect());
    let report = story.apply_once(&text).await;
    assert_eq!(story.log(), ["create made"]);
    assert_eq!(report.failed[0].error, "the plan is stale: `val` differs from its planned value");
}

#[tokio::test]
async fn lookup_of_an_object_of_another_component_is_answered_from_the_plan() {
    let story = Story::new();
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n  \
        port:\n    dependsOn: [area]\n    data:\n      - {type: world_thing, name: table, config: {key: table}}\n    resources:\n      \
        - {type: world_thing, name: view, config: {key: view, val: '${{ data.table.id }}'}}\n  \
        area:\n    resources:\n      - {type: world_thing, name: table, config: {key: table}}\n";
    let plan = story.plan(text).await;
    assert_eq!(lookups_during_apply(&plan), [("port/data.world_thing.table".to_owned(), ReadReason::Pending)]);
    story.apply(text).await;
    assert_eq!(story.log(), ["create table", "create view"]);
    assert_eq!(story.remote_value("view", "val"), "id-1".into());
}

#[tokio::test]
async fn missing_object_of_an_undeployed_component_is_reported_with_it() {
    let mut story = Story::new();
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n  \
        port:\n    dependsOn: [area]\n    data:\n      - {type: world_thing, name: table, config: {key: table}}\n    resources:\n      \
        - {type: world_thing, name: view, config: {key: view, val: '${{ data.table.id }}'}}\n  \
        area:\n    resources:\n      - {type: world_thing, name: table, config: {key: table}}\n";
    story.options.components = keys(&["port"]);
    insta::assert_snapshot!(story.errors(text).await, @"
    stack.yaml:6:17: `port` depends on `area`, which is not deployed
      hint: apply it first, or in the same run: add `-c area`
    stack.yaml:8:35: port/data.world_thing.table has no answer: there is no thing `table`
      hint: `area`, which this component depends on, is not deployed: deploy it first, or in the same run
    ");
    story.options.components = keys(&["area"]);
    story.apply(text).await;
    story.options.components = keys(&["port"]);
    story.apply(text).await;
}

#[tokio::test]
async fn lookup_without_a_result_is_an_error_at_its_place() {
    let story = Story::new();
    insta::assert_snapshot!(story.errors(&with_lookup("{key: nowhere}", "")).await, @"
    stack.yaml:5:31: data.world_thing.it has no answer: there is no thing `nowhere`
      hint: create it first; if this component creates it, add it to the lookup's `dependsOn`
    ");
}

#[tokio::test]
async fn lookup_errors_are_reported_together() {
    let story = Story::new();
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ndata:\n  \
        - {type: world_thin, name: a, config: {key: x}}\n  - {type: world_thing, name: b, config: {kee: x}}\nresources:\n  \
        - {type: world_thing, name: user, config: {key: user, val: '${{ data.a.val }}'}}\n";
    insta::assert_snapshot!(story.errors(text).await, @"
    stack.yaml:5:12: there is no lookup `world_thin`
      hint: did you mean `world_thing`?
    stack.yaml:6:42: `world_thing` needs `key`
      hint: add `key`: Names it.
    stack.yaml:6:43: `world_thing` has no attribute `kee`
      hint: did you mean `key`?
    ");
    let text = text.replace("data.a.val", "data.c.val");
    insta::assert_snapshot!(story.errors(&text).await, @"
    stack.yaml:8:67: there is no lookup `c` in this component
      hint: declared: `a`, `b`
    ");
}

#[tokio::test]
async fn lookup_result_is_checked_against_its_schema() {
    let story = Story::new();
    put_remote(&story, "there", "found");
    let text = with_lookup("{key: there}", "").replace("data.it.val", "data.it.vall");
    insta::assert_snapshot!(story.errors(&text).await, @"
    stack.yaml:7:67: `data.it` has no `vall`
      hint: did you mean `val`?
    ");
}

#[tokio::test]
async fn sensitive_values_stay_sensitive_through_a_lookup() {
    let story = Story::new();
    put_remote(&story, "there", "found");
    story.remote().objects.get_mut("there").unwrap().insert("secret".to_owned(), "hunter2".into());
    let text = with_lookup("{key: there}", "outputs: {s: {value: '${{ data.it.secret }}'}}\n");
    let messages = story.errors(&text).await;
    assert!(messages.contains("output `s` exposes a sensitive value"), "{messages}");
    // The result of a lookup by a secret could reveal the secret.
    let text = with_lookup("{key: there, password: open}", "outputs: {s: '${{ data.it.val }}'}\n");
    assert!(!story.errors(&text).await.contains("hunter2"));
}

#[tokio::test]
async fn failed_lookup_during_apply_blocks_its_readers() {
    let story = Story::new();
    let text = with_lookup(
        "{key: '${{ resources.first.id }}'}",
        "  - {type: world_thing, name: first, config: {key: first}}\n  - {type: world_thing, name: free, config: {key: free}, dependsOn: [first]}\n",
    );
    let report = story.apply_once(&text).await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.failed[0].address.to_string(), "data.world_thing.it");
    assert_eq!(report.failed[0].error, "there is no thing `id-1`");
    assert_eq!(report.blocked.iter().map(|it| it.address.to_string()).collect::<Vec<_>>(), ["world_thing.user"]);
    let mut log = story.log();
    log.sort();
    assert_eq!(log, ["create first", "create free"]);
    // The object exists now: the next run continues.
    put_remote(&story, "id-1", "found");
    story.apply(&text).await;
}

#[tokio::test]
async fn failed_lookup_during_apply_has_its_place() {
    let story = Story::new();
    let text = with_lookup(
        "{key: '${{ resources.first.id }}'}",
        "  - {type: world_thing, name: first, config: {key: first}}\n",
    );
    let plan = story.plan(&text).await;
    let report = story.apply_plan(&plan).await.unwrap();
    let failed = &report.failed[0];
    let place = plan.place_of(&failed.stack, &failed.address).map(ToString::to_string);
    assert_eq!(place.as_deref(), Some("stack.yaml:5:31"), "{failed:?}");
}

#[tokio::test]
async fn provider_problems_of_a_failed_lookup_are_reported() {
    let story = Story::new();
    story.remote().lookup_problems = vec!["there are here, there"];
    let messages = story.errors(&with_lookup("{key: nowhere}", "")).await;
    assert!(messages.contains("has no answer: there is no thing `nowhere`; there are here, there\n"), "{messages}");
}

#[tokio::test]
async fn blueprint_lookup_of_a_removed_object_is_reported_with_its_component() {
    const AREA: &str = "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: area, version: 1.0.0}\nmatch: {kind: storage}\n\
        specific: {type: object}\nresources:\n  - {type: world_thing, name: area, config: {key: area}}\n";
    const PORT: &str = "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: port, version: 1.0.0}\nmatch: {kind: outputport}\n\
        specific: {type: object}\ndata:\n  - {type: world_thing, name: it, config: {key: area}}\nresources:\n  \
        - {type: world_thing, name: view, config: {key: view, val: '${{ data.it.id }}'}}\n";
    let product = |components: &str| {
        format!(
            "dataProduct:\n  id: urn:dmb:dp:finance:cash:0\n  name: Cash\n  kind: dataproduct\n  environment: test\n  components:\n    \
             - {{id: 'urn:dmb:cmp:finance:cash:0:port', name: Port, kind: outputport, specific: {{}}}}\n{components}"
        )
    };
    let story = Story { blueprints: vec![AREA, PORT], ..Story::new() };
    story
        .apply(&product("    - {id: 'urn:dmb:cmp:finance:cash:0:area', name: Area, kind: storage, specific: {}}\n"))
        .await;
    let (_, diagnostics, sources) = story.try_plan(&product("")).await;
    let removed = diagnostics.iter().find(|diagnostic| diagnostic.code == "lookup_of_removed").unwrap();
    let places: Vec<String> = removed
        .labels
        .iter()
        .map(|label| match &label.at {
            Location::Span(span) => sources.place(*span).unwrap().to_string(),
            Location::Place(place) => place.to_string(),
        })
        .collect();
    assert_eq!(places, ["blueprint-1.yaml:7:31", "stack.yaml:7:12"]);
}

#[tokio::test]
async fn equal_lookups_of_two_components_run_once() {
    let story = Story::new();
    put_remote(&story, "there", "found");
    let component = |name: &str| {
        format!(
            "  {name}:\n    data:\n      - {{type: world_thing, name: it, config: {{key: there}}}}\n    resources:\n      \
             - {{type: world_thing, name: user, config: {{key: {name}, val: '${{{{ data.it.val }}}}'}}}}\n"
        )
    };
    let text = format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n{}{}",
        component("x"),
        component("y")
    );
    story.plan(&text).await;
    assert_eq!(story.remote().reads.iter().filter(|call| *call == "look at there").count(), 1);
}

#[tokio::test]
async fn lookup_may_read_another_lookup() {
    let story = Story::new();
    put_remote(&story, "id-1", "there");
    put_remote(&story, "there", "found");
    let text = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ndata:\n  \
        - {type: world_thing, name: far, config: {key: '${{ data.near.val }}'}}\n  \
        - {type: world_thing, name: near, config: {key: '${{ resources.first.id }}'}}\nresources:\n  \
        - {type: world_thing, name: user, config: {key: user, val: '${{ data.far.val }}'}}\n  \
        - {type: world_thing, name: first, config: {key: first}}\n";
    story.apply(text).await;
    assert_eq!(story.remote_value("user", "val"), "found".into());
    let looped = text.replace("resources.first.id", "data.far.val");
    insta::assert_snapshot!(story.errors(&looped).await, @"
    stack.yaml:5:55: a cycle: data.world_thing.far → data.world_thing.near → data.world_thing.far
      hint: remove one of these references, or split a resource in two
    ");
}

#[tokio::test]
async fn unreachable_provider_is_reported_during_planning() {
    let story = Story::new();
    story.fault("look at there", Fault::Before(ErrorKind::PermissionDenied));
    let messages = story.errors(&with_lookup("{key: there}", "")).await;
    assert!(messages.contains("data.world_thing.it has no answer: look at there: no"), "{messages}");
}

#[tokio::test]
async fn lookup_with_many_reading_instances_runs_once() {
    let story = Story::new();
    put_remote(&story, "id-1", "found");
    let text = with_lookup(
        "{key: '${{ resources.first.id }}'}",
        "  - {type: world_thing, name: first, config: {key: first}}\n",
    )
    .replace(
        "name: user, config: {key: user,",
        "name: user, forEach: '${{ range(3) }}', config: {key: '${{ \"u\" + string(each.key) }}',",
    );
    let plan = story.plan(&text).await;
    assert_eq!(lookups_during_apply(&plan).len(), 1);
    story.apply(&text).await;
    assert_eq!(story.remote_value("u2", "val"), "found".into());
}

#[tokio::test]
async fn lookup_of_an_object_that_the_plan_deletes_is_refused() {
    let story = Story::new();
    put_remote(&story, "other", "found");
    let thing = |key: &str| format!("  - {{type: world_thing, name: t, config: {{key: {key}, val: old}}}}\n");
    let text = with_lookup("{key: old}", &thing("old"));
    story.apply(&text).await;
    // The object is replaced under another name.
    insta::assert_snapshot!(story.errors(&with_lookup("{key: old}", &thing("new"))).await, @"
    stack.yaml:5:31: demo@test:data.world_thing.it looks up an object that this plan removes: demo@test:world_thing.t
      hint: look up an object that exists after the apply, or remove the lookup
    ");
    // The object is deleted.
    let messages = story.errors(&with_lookup("{key: old}", "")).await;
    assert!(messages.contains("looks up an object that this plan removes: demo@test:world_thing.t"), "{messages}");
    assert!(story.log().iter().all(|call| call.starts_with("create")));
    // Other objects may be looked up, and objects that stay or are recreated.
    for text in [
        with_lookup("{key: other}", &thing("new")),
        with_lookup("{key: old}", "forget: [world_thing.t]\n"),
        with_lookup("{key: old}", &thing("old").replace("name: t", "name: t, lifecycle: {createBeforeDestroy: true}")),
    ] {
        story.plan(&text).await;
    }
}

#[tokio::test]
async fn lookup_of_its_own_reader_is_reported_with_its_place() {
    let story = Story::new();
    let thing = |rest: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\n{rest}resources:\n  \
             - {{type: world_thing, name: user, config: {{key: user, val: VAL}}}}\n"
        )
    };
    let looked =
        |val: &str| thing("data:\n  - {type: world_thing, name: it, config: {key: user}}\n").replace("VAL", val);
    let own = looked("'${{ string(data.it.val) + \"x\" }}'");
    // Before the object exists, and after.
    let before = story.errors(&own).await;
    story.apply(&thing("").replace("VAL", "old")).await;
    assert_eq!(story.errors(&own).await, before);
    insta::assert_snapshot!(before, @"
        stack.yaml:5:31: data.world_thing.it looks up world_thing.user, which depends on the result
          hint: each apply would change the result: look up another object, or read the resource's own attribute where the value is needed
        ");
    // The same through another lookup and another resource.
    let far = own.replace("data.it.val", "data.far.val").replace(
        "resources:\n",
        "  - {type: world_thing, name: far, config: {key: '${{ resources.near.key }}'}}\nresources:\n  \
         - {type: world_thing, name: near, config: {key: near, val: '${{ data.it.val }}'}}\n",
    );
    insta::assert_snapshot!(story.errors(&far).await, @"
        stack.yaml:5:31: data.world_thing.it looks up world_thing.user, which depends on the result
          hint: each apply would change the result: look up another object, or read the resource's own attribute where the value is needed
        ");
    // A lookup of an object that does not read it is no cycle.
    story.apply(&looked("new")).await;
    story
        .apply(
            &(looked("newer")
                + "  - {type: world_thing, name: more, config: {key: more, val: '${{ data.it.val }}'}}\n"),
        )
        .await;
}

#[tokio::test]
async fn lookup_of_a_reader_of_another_lookup_is_read_after_it() {
    let story = Story::new();
    put_remote(&story, "there", "found");
    // Only the arguments of the lookups show that `a` depends on `b`.
    let text = |is_first: bool, val: &str| {
        let a = "  - {type: world_thing, name: a, config: {key: made}}\n";
        let b = "  - {type: world_thing, name: b, config: {key: there}}\n";
        let data = if is_first { [a, b] } else { [b, a] }.concat();
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ndata:\n{data}resources:\n  \
             - {{type: world_thing, name: made, config: {{key: made, val: '${{{{ data.b.val + \"{val}\" }}}}'}}}}\n  \
             - {{type: world_thing, name: user, config: {{key: user, val: '${{{{ data.a.val }}}}'}}}}\n"
        )
    };
    for (is_first, val) in [(true, "one"), (false, "two"), (true, "three")] {
        story.apply(&text(is_first, val)).await;
        assert_eq!(story.remote_value("user", "val"), format!("found{val}").into());
    }
    // Two lookups of each other's readers are a cycle.
    for is_first in [true, false] {
        let errors = story.errors(&text(is_first, "four").replace("key: there", "key: user")).await;
        assert!(errors.contains("which depends on the result"), "{errors}");
    }
}
