//! Tests of the forms for tools: shape, schemas, and the needs of Terraform's readers.

use super::build::*;
use crate::human::Human;
use crate::stream::Applying;
use crate::{drift, json, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json as value};
use std::time::Duration;
use terrace_apply::event::Event;
use terrace_apply::{Done, Failed, Report};
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, InstanceKey, StackId};
use terrace_plan::drift::{DriftItem, DriftKind, DriftedAttribute};
use terrace_plan::{DeferralReason, DeferredChange, Mode, Plan};
use terrace_provider::{Map, Value};
use uuid::Uuid;

const PLAN: &str = include_str!("../../schemas/plan.schema.json");
const STREAM: &str = include_str!("../../schemas/stream.schema.json");
const DRIFT: &str = include_str!("../../schemas/drift.schema.json");

#[track_caller]
fn assert_valid(schema: &str, output: &Json) {
    let schema = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults: Vec<String> =
        validator.iter_errors(output).map(|fault| format!("{} at {}", fault, fault.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?}\n{output:#}");
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn plan_json(plan: &Plan) -> Json {
    json::plan(plan, "d1ge57")
}

fn of_address<'a>(list: &'a Json, address: &str) -> &'a Json {
    list.as_array().unwrap().iter().find(|entry| entry["address"] == address).unwrap()
}

#[test]
fn plan_json_matches_its_schema() {
    let everything = plan_json(&everything());
    assert_valid(PLAN, &everything);
    assert_valid(PLAN, &plan_json(&of(Vec::new())));
    insta::assert_json_snapshot!(terrace_provider::value::OtherFormat(&everything));
}

#[test]
fn errored_plan_json_matches_its_schema() {
    let wrong = value!([{ "severity": "error", "code": "x", "message": "there is no file" }]);
    let errored = json::errored("0.1.0", wrong);
    assert_valid(PLAN, &errored);
    // A document needs either a plan or an error.
    let schema = serde_json::from_str(PLAN).unwrap();
    assert!(!jsonschema::draft202012::is_valid(&schema, &value!({ "format_version": "1.2", "errored": false })));
}

#[test]
fn plan_json_has_fields_of_known_readers() {
    let plan_json = plan_json(&everything());
    // terraform-json refuses other versions; readers parse the other one as semantic.
    assert_eq!(plan_json["format_version"], "1.2");
    assert_eq!(plan_json["terraform_version"].as_str().unwrap().split('.').count(), 3);
    for change in plan_json["resource_changes"].as_array().unwrap() {
        for field in ["address", "mode", "type", "name", "provider_name"] {
            assert!(change[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {change}");
        }
        for field in ["before", "after", "after_unknown"] {
            assert!(change["change"].get(field).is_some(), "{field} of {change}");
        }
    }
    // tf-summarize: one action is that action, two are a replacement, imports stay visible.
    let class = |address: &str| {
        let change = &of_address(&plan_json["resource_changes"], address)["change"];
        let actions: Vec<&str> = change["actions"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        match actions.as_slice() {
            ["no-op"] if change["importing"]["id"].is_string() => "import",
            [single] => *single,
            [_, _] => "recreate",
            _ => "none",
        }
        .to_owned()
    };
    assert_eq!(class("storage/sqlite_table.table[\"NETWORK_STATUS\"]"), "create");
    assert_eq!(class("storage/sqlite_table.orders"), "update");
    assert_eq!(class("storage/sqlite_table.log"), "recreate");
    assert_eq!(class("storage/sqlite_view.view"), "recreate");
    assert_eq!(class("job/local_file.old"), "delete");
    assert_eq!(class("job/local_file.same"), "no-op");
    assert_eq!(class("archive/sqlite_table.kept"), "forget");
    let taken = change("local_file.t", Action::Adopt).before(value!({"id": "t"})).after(value!({"id": "t"}));
    let alone = json::plan(&of(vec![taken]), "d");
    assert_eq!(alone["resource_changes"][0]["change"]["actions"], value!(["no-op"]));
    assert_eq!(alone["resource_changes"][0]["change"]["importing"], value!({"id": "t"}));
}

#[test]
fn unknown_or_sensitive_value_is_absent_and_marked() {
    let update = change("local_secret.s", Action::Update)
        .before(value!({"a": 1, "key": {"$secret": "x"}, "list": [{"k": "plain"}, "b"]}))
        .after(value!({"a": "$unknown", "key": {"$secret": "y"}, "list": [{"k": {"$secret": "z"}}, "$unknown"]}));
    let plan_json = plan_json(&of(vec![update]));
    let change = &plan_json["resource_changes"][0]["change"];
    assert_eq!(
        *change,
        value!({
            "before": {"a": 1, "list": [{}, "b"]},
            "after": {"list": [{}, null]},
            "after_unknown": {"a": true, "list": [false, true]},
            "before_sensitive": {"key": true, "list": [{"k": true}, false]},
            "after_sensitive": {"key": true, "list": [{"k": true}, false]},
            "actions": ["update"],
        })
    );
    assert_eq!(plan_json["planned_values"]["root_module"]["resources"][0]["values"], value!({"list": [{}, null]}));
}

#[test]
fn equal_plans_differ_only_in_id_and_time() {
    let one = everything();
    let mut other = one.clone();
    other.id = Uuid::from_u128(99);
    other.timestamp = moment(1_000);
    let (one, mut other) = (plan_json(&one), plan_json(&other));
    assert_ne!(one, other);
    other["timestamp"] = one["timestamp"].clone();
    other["terrace"]["plan_id"] = one["terrace"]["plan_id"].clone();
    assert_eq!(one.to_string(), other.to_string());
}

#[test]
fn plan_json_shows_whether_plan_is_applyable() {
    let create = || change("local_file.a", Action::Create).after(value!({"path": "a"}));
    assert_eq!(plan_json(&of(vec![create()]))["applyable"], true);
    assert_eq!(plan_json(&of(Vec::new()))["applyable"], false);
    let mut errored = of(vec![create()]);
    errored.is_errored = true;
    assert_eq!(plan_json(&errored)["applyable"], false);
    assert_eq!(plan_json(&of(vec![create().loses("all", Some("3 rows"), false)]))["applyable"], false);
    assert_eq!(plan_json(&of(vec![create().loses("all", Some("3 rows"), true)]))["applyable"], true);
    let read = change("sqlite_lookup.r", Action::Read).after(value!({}));
    assert_eq!(plan_json(&of(vec![read]))["terrace"]["has_managed_changes"], false);
}

#[test]
fn addresses_of_several_stacks_are_distinct() {
    let create = || change("local_file.a", Action::Create).after(value!({"path": "a"}));
    let plan_json = plan_json(&plan(vec![stack("one", vec![create()]), stack("two", vec![create()])]));
    assert_valid(PLAN, &plan_json);
    let addresses: Vec<&Json> =
        plan_json["resource_changes"].as_array().unwrap().iter().map(|change| &change["address"]).collect();
    assert_eq!(addresses, ["one@local:local_file.a", "two@local:local_file.a"]);
}

#[test]
fn deferred_changes_match_the_schemas() {
    let mut plan = plan(vec![stack("demo", Vec::new())]);
    let deferred = |address: &str, reason, action| DeferredChange {
        address: address.parse().unwrap(),
        reason,
        action,
        waits_for: vec!["local_command.list".to_owned(), "api/".to_owned()],
        place: None,
    };
    let each = deferred("api/local_file.each", DeferralReason::InstanceCountUnknown, Action::Create);
    let all = Address { key: Some(InstanceKey::All), ..each.address.clone() };
    plan.stacks[0].deferred = vec![
        DeferredChange { address: all, ..each },
        deferred("local_file.one", DeferralReason::ProviderConfigUnknown, Action::Update),
        deferred("local_file.old[\"x\"]", DeferralReason::DeferredPrereq, Action::Delete),
        deferred("local_directory.old[0]", DeferralReason::DeferredPrereq, Action::Retain),
    ];
    assert_valid(PLAN, &json::plan(&plan, "digest"));
    let lines = stream::plan(&plan, moment(0));
    assert_eq!(lines.iter().filter(|line| line["type"] == "deferred_change").count(), 4);
    lines.iter().for_each(|line| assert_valid(STREAM, line));
}

#[test]
fn planned_stream_matches_its_schema() {
    let mut plan = everything();
    plan.mode = Mode::Destroy;
    let mut lines = vec![stream::version("0.1.0", moment(0))];
    lines.extend(stream::plan(&plan, moment(0)));
    for line in &lines {
        assert_valid(STREAM, line);
    }
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn stream_has_one_word_for_action_and_reason() {
    let planned = |change: terrace_plan::Change| {
        let lines = stream::plan(&of(vec![change]), moment(0));
        let planned = lines.into_iter().find(|line| line["type"] == "planned_change").unwrap();
        (planned["change"]["action"].clone(), planned["change"]["reason"].clone())
    };
    let replace = || change("local_file.a", Action::Replace).because(Reason::Requested);
    assert_eq!(planned(replace()), (value!("replace"), value!("requested")));
    assert_eq!(planned(replace().because(Reason::CannotUpdate)), (value!("replace"), value!("cannot_update")));
    let delete = change("local_file.a", Action::Delete).because(Reason::NoKey);
    assert_eq!(planned(delete), (value!("delete"), value!("delete_because_each_key")));
    assert_eq!(planned(change("local_file.a", Action::Forget)).0, "remove");
}

#[test]
fn operation_is_streamed_step_by_step() {
    let stack = StackId::new("demo", "local");
    let address = |text: &str| text.parse::<terrace_language::address::Address>().unwrap();
    let started =
        |text: &str| Event::StepStarted { stack: stack.clone(), address: address(text), action: Action::Create };
    let mut applying = Applying::new(false);
    let mut lines = vec![stream::version("0.1.0", moment(0))];
    lines.extend(applying.take(&Event::Started { operation: Uuid::from_u128(5), steps: 2 }, moment(0)));
    lines.extend(applying.take(
        &Event::WaitingForLease { holders: "job by jane@host".to_owned(), left: Duration::from_secs(60) },
        moment(0),
    ));
    lines.extend(applying.take(&Event::Recovering { message: "looked into".to_owned() }, moment(0)));
    lines.extend(applying.take(&started("job/local_file.a"), moment(1)));
    lines.extend(applying.take(&started("local_file.b[0]"), moment(2)));
    assert!(applying.tick(moment(10)).is_empty());
    lines.extend(applying.tick(moment(11)));
    let said = Event::StepProgress { address: "demo@local:local_file.b[0]".to_owned(), message: "half".to_owned() };
    lines.extend(applying.take(&said, moment(12)));
    assert!(applying.tick(moment(13)).is_empty(), "plan_json a moment ago");
    lines.extend(applying.take(&Event::Stopping { running: 2 }, moment(14)));
    let done = Event::StepDone {
        stack: stack.clone(),
        address: address("job/local_file.a"),
        action: Action::Create,
        took: Duration::from_millis(13_400),
    };
    lines.extend(applying.take(&done, moment(15)));
    let failed = Event::StepFailed {
        stack: stack.clone(),
        address: address("local_file.b[0]"),
        action: Action::Create,
        error: "the disk is full".to_owned(),
        problems: vec!["disk is full".to_owned(), "0 bytes are left".to_owned()],
    };
    lines.extend(applying.take(&failed, moment(16)));
    assert!(applying.tick(moment(100)).is_empty());
    let outputs: Map =
        [("url".to_owned(), "x".into()), ("key".to_owned(), Value::sensitive(SECRET.into()))].into_iter().collect();
    let report = Report {
        done: vec![Done {
            stack: stack.clone(),
            address: address("job/local_file.a"),
            action: Action::Create,
            is_aligned: false,
        }],
        failed: vec![Failed {
            stack: stack.clone(),
            address: address("local_file.b[0]"),
            action: Action::Create,
            error: "the disk is full".to_owned(),
            problems: Vec::new(),
            solutions: Vec::new(),
        }],
        outputs: [((stack, "job".into()), outputs)].into(),
        ..Report::default()
    };
    lines.extend(applying.finish(&report, false, moment(17)));
    for line in &lines {
        assert_valid(STREAM, line);
        assert!(!line.to_string().contains(SECRET));
    }
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn drift_is_rendered_for_people_and_tools() {
    let stack = StackId::new("demo", "local");
    let attribute = |path: &str, recorded: Option<Value>, observed: Option<Value>| DriftedAttribute {
        path: path.parse().unwrap(),
        recorded,
        observed,
    };
    let item = |address: &str, kind, attributes| DriftItem {
        stack: stack.clone(),
        address: address.parse().unwrap(),
        deposed: None,
        kind,
        attributes,
    };
    let items = vec![
        item(
            "job/local_file.a",
            DriftKind::Changed,
            vec![
                attribute("mode", Some("0644".into()), Some("0600".into())),
                attribute("columns[0].type", None, Some("INT\u{1b}".into())),
                attribute("password", Some(Value::sensitive("a".into())), Some(SECRET.into())),
            ],
        ),
        item("job/local_file.b", DriftKind::Deleted, Vec::new()),
        item("job/local_file.c", DriftKind::Recreated, vec![attribute("id", Some(1.into()), Some(2.into()))]),
    ];
    let plan_json = drift::json(&items);
    assert_valid(DRIFT, &plan_json);
    assert_valid(DRIFT, &drift::json(&[]));
    let human = drift::human(&[], &items, &Human::default());
    assert!(!human.contains(SECRET) && !plan_json.to_string().contains(SECRET));
    insta::assert_snapshot!(format!("{human}\n{plan_json:#}"));
    insta::assert_snapshot!(drift::human(&[StackId::new("demo", "local")], &[], &Human::default()), @"No drift. The objects match the state.");
    let ignored = terrace_plan::drift::ignoring(items, &["mode".parse().unwrap(), "id".parse().unwrap()]);
    let left: Vec<_> = ignored.iter().map(|item| (item.address.to_string(), item.attributes.len())).collect();
    assert_eq!(left, [("job/local_file.a".to_owned(), 2), ("job/local_file.b".to_owned(), 0)]);
}
