//! Checks of resources before and after their step, and checks of stacks.

use crate::failure::crash_while;
use crate::lifecycle::check_schema;
use crate::support::Story;
use crate::support::story::{render_diagnostics, stack, summary};
use crate::support::world::Fault;
use terrace_engine::apply::{ApplyError, Report};
use terrace_engine::diagnostic::has_errors;
use terrace_engine::render::{human, json, markdown};
use terrace_engine::store::OperationFilter;
use terrace_provider::ErrorKind;

/// `a` with a check; `b` uses it.
fn checked(when: &str, assert: &str, val: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: a, config: {{key: a, val: {val}}}, checks: [{{when: {when}, assert: '${{{{ {assert} }}}}', error: a is not good}}]}}\n\
         - {{type: world_thing, name: b, config: {{key: b, val: '${{{{ resources.a.id }}}}'}}}}"
    ))
}

/// `a` checks a value of `base` that is unknown until apply.
fn waiting(when: &str, assert: &str, base: &str) -> String {
    stack(&format!(
        "- {{type: world_thing, name: base, config: {{key: base, val: {base}}}}}\n\
         - {{type: world_thing, name: a, config: {{key: a}}, checks: [{{when: {when}, assert: '${{{{ {assert} }}}}', error: a is not good}}]}}\n\
         - {{type: world_thing, name: b, dependsOn: [a], config: {{key: b}}}}"
    ))
}

fn failures(report: &Report) -> Vec<String> {
    report.failed.iter().map(|failed| format!("{}: {}", failed.address, failed.error)).collect()
}

#[tokio::test]
async fn failed_check_is_an_error_of_a_plan_that_is_still_shown() {
    for (when, assert) in [("pre", "1 > 2"), ("post", "self.val > 2")] {
        let story = Story::new();
        let (plan, diagnostics, sources) = story.try_plan(&checked(when, assert, "1")).await;
        assert!(has_errors(&diagnostics));
        let place = if when == "pre" { "5:89" } else { "5:90" };
        assert_eq!(
            render_diagnostics(&diagnostics, &sources),
            format!("stack.yaml:{place}: demo@test:world_thing.a: a is not good\n")
        );
        let plan = plan.unwrap();
        assert_eq!(summary(&plan), "+ world_thing.a\n+ world_thing.b\n");
        let shown = human::plan(&plan, &human::Human::default());
        assert!(
            shown.contains("+ world_thing.a") && shown.contains("This plan has errors and cannot be applied."),
            "{shown}"
        );
        let options = markdown::Markdown {
            max_chars: 60_000,
            max_bytes: 240_000,
            digest: "d",
            command: "c",
            consent: markdown::Markdown::CONSENT,
        };
        assert!(markdown::plan(&plan, &options).contains("a is not good"));
        let json = json::plan(&plan, &"0".repeat(64));
        check_schema(&json);
        assert_eq!((&json["errored"], &json["applyable"]), (&true.into(), &false.into()));
        assert_eq!(json["checks"][0]["status"], "fail");
        assert_eq!(json["checks"][0]["instances"][0]["problems"][0]["message"], "a is not good");
        assert!(matches!(story.apply_plan(&plan).await, Err(ApplyError::PlanErrored)));
        assert!(story.log().is_empty());
    }
}

#[tokio::test]
async fn passed_check_is_not_deferred() {
    let story = Story::new();
    let text =
        checked("pre", "vars.size < 3", "1").replace("resources:", "variables: {size: {default: 1}}\nresources:");
    let plan = story.plan(&text).await;
    let (_, a) = plan.changes().next().unwrap();
    assert!(a.how.checks[0].deferred.is_none());
    story.apply(&text).await;
}

#[tokio::test]
async fn unknown_pre_check_is_decided_before_the_step() {
    let story = Story::new();
    let text = waiting("pre", "resources.base.id == \"id-2\"", "1");
    let report = story.apply_once(&text).await;
    assert_eq!(failures(&report), ["world_thing.a: a is not good"]);
    assert_eq!(report.blocked.len(), 1);
    assert_eq!(story.log(), ["create base"], "nothing is called");
    assert_eq!(story.rows().await, ["world_thing.base"]);
    // The value is known now: the next plan reports the failure.
    assert!(story.errors(&text).await.contains("world_thing.a: a is not good"));
    story.apply(&waiting("pre", "resources.base.id == \"id-1\"", "1")).await;
    assert_eq!(story.log(), ["create a", "create b"]);
}

#[tokio::test]
async fn failed_post_check_keeps_row_and_blocks_dependents() {
    let story = Story::new();
    let text = checked("post", "self.id == \"id-7\"", "1");
    let report = story.apply_once(&text).await;
    assert_eq!(failures(&report), ["world_thing.a: a is not good"]);
    assert_eq!((report.counts().0, report.blocked.len()), (1, 1), "it was made, and b is not tried: {report:?}");
    assert_eq!(story.log(), ["create a"]);
    assert_eq!(story.rows().await, ["world_thing.a"]);
    let operations = story.store.operations(&OperationFilter::newest(1)).await.unwrap();
    let (_, steps) = story.store.operation(operations[0].id).await.unwrap().unwrap();
    assert_eq!(format!("{:?}", steps[0].result), "Some(Failed(\"a is not good\"))");
    story.apply(&checked("post", "self.id == \"id-1\"", "1")).await;
    assert_eq!(story.log(), ["create b"]);
}

#[tokio::test]
async fn post_check_sees_updated_object() {
    let story = Story::new();
    story.apply(&checked("post", "self.echo == self.val", "1")).await;
    story.apply(&checked("post", "self.echo == self.val", "2")).await;
    let report = story.apply_once(&checked("post", "self.echo != self.val", "3")).await;
    assert_eq!(failures(&report), ["world_thing.a: a is not good"]);
    assert_eq!(story.remote_value("a", "val"), 3_i64.into());
}

#[tokio::test]
async fn unchanged_resource_is_checked_if_its_check_is_unknown() {
    for when in ["pre", "post"] {
        let story = Story::new();
        let text = |val: &str| waiting(when, "resources.base.echo == 1", val);
        story.apply(&text("1")).await;
        story.log();
        let plan = story.plan(&text("2")).await;
        assert_eq!(summary(&plan), "~ world_thing.base\n");
        let report = story.apply_plan(&plan).await.unwrap();
        assert_eq!(failures(&report), ["world_thing.a: a is not good"]);
        assert_eq!(story.log(), ["update base"]);
        assert_eq!(story.rows().await.len(), 3);
    }
}

#[tokio::test]
async fn undecidable_check_fails() {
    let story = Story::new();
    let cases = ["resources.base.key", "resources.base.key > 1"];
    for assert in cases {
        let messages = story.errors(&waiting("pre", assert, "1")).await;
        assert!(
            messages.contains("world_thing.a: a is not good\n  hint: the check could not be decided: "),
            "{messages}"
        );
    }
    let json = {
        let (plan, _, _) = story.try_plan(&waiting("pre", "resources.base.key > 1", "1")).await;
        json::plan(&plan.unwrap(), &"0".repeat(64))
    };
    check_schema(&json);
    assert_eq!(json["checks"][0]["status"], "error");
    let report = story.apply_once(&waiting("pre", "resources.base.id > 1", "1")).await;
    assert_eq!(failures(&report), ["world_thing.a: a is not good"]);
    assert!(report.failed[0].problems[0].starts_with("the check could not be decided: "), "{report:?}");
}

#[tokio::test]
async fn each_instance_is_checked_separately() {
    let story = Story::new();
    let text = |least: &str| {
        stack(&format!(
            "- {{type: world_thing, name: part, forEach: {{x: 1, y: 2}}, config: {{key: '${{{{ each.key }}}}', val: '${{{{ each.value }}}}'}}, \
             checks: [{{when: post, assert: '${{{{ self.val >= {least} && self.id != \"id-9\" }}}}', error: too small}}, {{when: pre, assert: '${{{{ each.value < 5 }}}}', error: too large}}]}}"
        ))
    };
    let messages = story.errors(&text("2")).await;
    assert!(messages.contains("world_thing.part[\"x\"]: too small") && !messages.contains("[\"y\"]"), "{messages}");
    let plan = story.plan(&text("1")).await;
    let json = json::plan(&plan, &"0".repeat(64));
    check_schema(&json);
    insta::assert_snapshot!(serde_json::to_string_pretty(&json["checks"]).unwrap(), @r#"
    [
      {
        "address": {
          "kind": "resource",
          "to_display": "world_thing.part",
          "mode": "managed",
          "type": "world_thing",
          "name": "part"
        },
        "status": "unknown",
        "instances": [
          {
            "address": {
              "to_display": "world_thing.part[\"x\"]",
              "instance_key": "x"
            },
            "status": "unknown"
          },
          {
            "address": {
              "to_display": "world_thing.part[\"y\"]",
              "instance_key": "y"
            },
            "status": "unknown"
          }
        ]
      }
    ]
    "#);
    story.apply(&text("1")).await;
    let json = json::plan(&story.plan(&text("1")).await, &"0".repeat(64));
    assert_eq!(json["checks"][0]["status"], "pass");
}

#[tokio::test]
async fn check_orders_resource_after_what_it_reads() {
    let story = Story::new();
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}, checks: [{when: post, assert: '${{ resources.z.id != \"\" }}', error: no}]}
         - {type: world_thing, name: z, config: {key: z}}",
    );
    story.apply(&text).await;
    assert_eq!(story.log(), ["create z", "create a"]);
    let loops = text.replace("name: z, config: {key: z", "name: z, config: {key: '${{ resources.a.id }}'");
    assert!(story.errors(&loops).await.contains("a cycle: world_thing.a → world_thing.z → world_thing.a"));
}

#[tokio::test]
async fn invalid_checks_are_reported_with_their_place() {
    let story = Story::new();
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}, checks: [{when: after, assert: true, error: x}, {assert: true}, {when: pre, asert: true, error: x}]}",
    );
    insta::assert_snapshot!(story.errors(&text).await, @"
    stack.yaml:5:68: `when` cannot be `after`: expected `pre` or `post`
      hint: write `pre` or `post`
    stack.yaml:5:101: a check needs `when`
      hint: add `when:`
    stack.yaml:5:101: a check needs `error`
      hint: add `error:`
    stack.yaml:5:117: a check needs `assert`
      hint: add `assert:`
    stack.yaml:5:128: a check has no field `asert`
      hint: did you mean `assert`?
    ");
    let text = stack(
        "- {type: world_thing, name: a, config: {key: a}, checks: [{when: pre, assert: '${{ self.id == resources.none.id }}', error: x}]}",
    );
    insta::assert_snapshot!(story.errors(&text).await, @"
    stack.yaml:5:86: there is no variable `self` here
      hint: `self` is available only in a check with `when: post`
    stack.yaml:5:86: there is no resource `none` in this component
      hint: declared: `a`
    ");
}

#[tokio::test]
async fn failed_check_of_shared_resource_blocks_its_consumers() {
    let story = Story::new();
    let text = "
apiVersion: terrace.dev/v1
kind: Stack
metadata: {name: demo}
components:
  x:
    resources:
      - {type: world_thing, name: seed, config: {key: seed}}
      - {type: world_thing, name: base, shared: common, config: {key: base, val: '${{ resources.seed.id }}'},
         checks: [{when: post, assert: '${{ self.id == resources.seed.id }}', error: base is not good}]}
      - {type: world_thing, name: own, config: {key: own, val: '${{ resources.base.id }}'}}
";
    let report = story.apply_once(text).await;
    assert_eq!(failures(&report), ["shared/world_thing[\"common\"]: base is not good"]);
    assert_eq!(story.log(), ["create seed", "create base"]);
}

#[tokio::test]
async fn secret_in_a_check_is_shown_nowhere() {
    let story = Story::new();
    let text = |wanted: &str| {
        stack(&format!(
            "- {{type: world_thing, name: base, config: {{key: base}}}}\n\
             - {{type: world_thing, name: a, config: {{key: a}}, checks: [{{when: pre, assert: '${{{{ resources.base.id != \"\" && vars.token == \"{wanted}\" }}}}', error: wrong token}}]}}"
        ))
        .replace("resources:\n", "variables: {token: {default: hunter2, sensitive: true}}\nresources:\n")
    };
    let plan = story.plan(&text("hunter3")).await;
    assert!(!terrace_engine::plan::file::write(&plan, &story.seal).unwrap().contains("hunter2"));
    assert!(!json::plan(&plan, "digest").to_string().contains("hunter2"));
    let report = story.apply_plan(&plan).await.unwrap();
    assert_eq!(failures(&report), ["world_thing.a: wrong token"]);
    assert!(!format!("{report:?}").contains("hunter2"));
    story.apply(&text("hunter2")).await;
}

#[tokio::test]
async fn failed_post_check_keeps_old_object_if_created_first() {
    let story = Story::new();
    let text = |key: &str, assert: &str| {
        checked("post", assert, "1")
            .replace("config: {key: a,", &format!("lifecycle: {{createBeforeDestroy: true}}, config: {{key: {key},"))
    };
    story.apply(&text("one", "true")).await;
    story.log();
    let report = story.apply_once(&text("two", "self.id == \"id-1\"")).await;
    assert_eq!(failures(&report), ["world_thing.a: a is not good"]);
    assert_eq!(story.log(), ["create two"]);
    assert_eq!(story.rows().await, ["world_thing.a", "world_thing.a (deposed)", "world_thing.b"]);
    story.apply(&text("two", "true")).await;
    assert_eq!(story.log(), ["update b", "delete one"]);
}

#[tokio::test]
async fn deferred_check_is_planned_after_a_crash() {
    let story = Story::new();
    let text = checked("post", "self.id == \"id-7\"", "1");
    crash_while(&story, &text, "create a", Fault::HangAfter).await;
    story.end_processes().await;
    story.recover().await;
    assert!(story.errors(&text).await.contains("world_thing.a: a is not good"));
}

#[tokio::test]
async fn destroy_has_no_checks() {
    let story = Story::new();
    story.apply(&checked("pre", "true", "1")).await;
    assert!(story.plan_destroy().await.changes().all(|(_, change)| change.how.checks.is_empty()));
    story.destroy().await;
    assert!(story.rows().await.is_empty());
}

/// A stack with a check of its own.
fn of_stack(assert: &str) -> String {
    let text = stack("- {type: world_thing, name: a, config: {key: a, val: 1}}");
    format!("{text}checks: [{{assert: '${{{{ {assert} }}}}', error: the stack is not good}}]\n")
}

#[tokio::test]
async fn failed_stack_check_is_a_warning() {
    let story = Story::new();
    let (plan, diagnostics, sources) = story.try_plan(&of_stack("resources.a.val == 2")).await;
    assert!(!has_errors(&diagnostics));
    assert_eq!(render_diagnostics(&diagnostics, &sources), "stack.yaml:6:19: demo@test: the stack is not good\n");
    let plan = plan.unwrap();
    let json = json::plan(&plan, &"0".repeat(64));
    check_schema(&json);
    insta::assert_snapshot!(serde_json::to_string(&json["checks"]).unwrap(), @r#"[{"address":{"kind":"check","to_display":"checks[0]","name":"checks[0]"},"status":"fail","instances":[{"address":{"to_display":"checks[0]"},"status":"fail","problems":[{"message":"the stack is not good"}]}]}]"#);
    let report = story.apply_plan(&plan).await.unwrap();
    assert!(report.failed.is_empty());
    story.check_second_plan(&of_stack("resources.a.val == 2")).await;
}

#[tokio::test]
async fn unknown_stack_check_is_decided_after_apply() {
    for (assert, expected) in [
        ("resources.a.id == \"id-1\"", None),
        ("resources.a.id == \"id-2\"", Some("the stack is not good")),
        ("resources.a.id > 2", Some("the stack is not good (the check could not be decided: `")),
    ] {
        let story = Story::new();
        let (plan, diagnostics, _) = story.try_plan(&of_stack(assert)).await;
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let report = story.apply_plan(&plan.unwrap()).await.unwrap();
        assert!(report.failed.is_empty());
        let warned: Vec<String> = report.failed_checks.iter().map(ToString::to_string).collect();
        assert_eq!(warned.len(), usize::from(expected.is_some()), "{warned:?}");
        assert!(expected.is_none_or(|expected| warned[0].contains(expected)), "{warned:?}");
    }
}

#[tokio::test]
async fn stack_check_with_value_still_unknown_is_reported() {
    let story = Story::new();
    story.fault("create a", Fault::Before(ErrorKind::PermissionDenied));
    let report = story.apply_once(&of_stack("resources.a.id == \"id-1\"")).await;
    assert_eq!(report.failed.len(), 1);
    assert!(report.failed_checks[0].to_string().contains("still unknown"), "{:?}", report.failed_checks);
}

#[tokio::test]
async fn stack_check_reads_outputs_without_top_level_resources() {
    let story = Story::new();
    let text = |id: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\ncomponents:\n  x:\n    resources: [{{type: world_thing, name: a, config: {{key: a}}}}]\n\
             \x20   outputs: {{id: '${{{{ resources.a.id }}}}'}}\nchecks: [{{assert: '${{{{ components.x.outputs.id == \"{id}\" }}}}', error: another id}}]\n"
        )
    };
    let report = story.apply(&text("id-1")).await;
    assert!(report.failed_checks.is_empty(), "{report:?}");
    let (_, diagnostics, _) = story.try_plan(&text("id-2")).await;
    assert!(diagnostics.iter().any(|it| it.message == "demo@test: another id"), "{diagnostics:?}");
    story.destroy().await;
    assert!(story.store.stacks().await.unwrap().is_empty());
}
