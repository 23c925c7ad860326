//! Checks in Terraform's shape: by resource, with a status for each instance.

use super::facts::qualified;
use super::resources::{index, module_address, name};
use indexmap::IndexMap;
use serde_json::{Map as Object, Value as Json, json};
use terrace_language::address::Address;
use terrace_plan::{Change, CheckStatus, Plan, PlannedCheck, StackPlan};

/// All checks of a plan: those of resources by declaration, then those of stacks.
pub(super) fn checks(plan: &Plan) -> Vec<Json> {
    let mut resources: IndexMap<String, Vec<(&StackPlan, &Change)>> = IndexMap::new();
    for (stack, change) in plan.changes().filter(|(_, change)| !change.how.checks.is_empty()) {
        let declared = Address { key: None, ..change.address.clone() };
        let name = qualified(plan, &change.stack(&stack.stack), &declared.to_string());
        resources.entry(name).or_default().push((stack, change));
    }
    let of_resources = resources.into_iter().map(|(name, changes)| of_resource(plan, &name, &changes));
    let of_stacks = plan
        .stacks
        .iter()
        .flat_map(|stack| stack.checks.iter().enumerate().map(|(at, check)| of_stack(plan, stack, at, check)));
    of_resources.chain(of_stacks).collect()
}

fn of_resource(plan: &Plan, display: &str, changes: &[(&StackPlan, &Change)]) -> Json {
    let mut address = Object::new();
    address.insert("kind".to_owned(), "resource".into());
    address.insert("to_display".to_owned(), display.into());
    if let Some((stack, change)) = changes.first() {
        address.extend(module(plan, stack, &change.address));
        address.insert("mode".to_owned(), "managed".into());
        address.insert("type".to_owned(), change.address.ty.as_str().into());
        address.insert("name".to_owned(), name(&change.address).into());
    }
    let instances: Vec<Json> = changes
        .iter()
        .map(|(stack, change)| {
            let mut address = Object::new();
            let display = qualified(plan, &change.stack(&stack.stack), &change.address.to_string());
            address.insert("to_display".to_owned(), display.into());
            address.extend(module(plan, stack, &change.address));
            if let Some(index) = index(&change.address) {
                address.insert("instance_key".to_owned(), index);
            }
            instance(address, &change.how.checks)
        })
        .collect();
    let status = worst(changes.iter().flat_map(|(_, change)| &change.how.checks));
    json!({ "address": address, "status": status, "instances": instances })
}

fn of_stack(plan: &Plan, stack: &StackPlan, at: usize, check: &PlannedCheck) -> Json {
    let name = format!("checks[{at}]");
    let display = qualified(plan, &stack.stack, &name);
    let address = Object::from_iter([("to_display".to_owned(), Json::from(display.as_str()))]);
    json!({
        "address": { "kind": "check", "to_display": display, "name": name },
        "status": worst(std::iter::once(check)),
        "instances": [instance(address, std::slice::from_ref(check))],
    })
}

fn module(plan: &Plan, stack: &StackPlan, address: &Address) -> Option<(String, Json)> {
    module_address(address).map(|module| ("module".to_owned(), qualified(plan, &stack.stack, &module).into()))
}

fn instance(address: Object<String, Json>, checks: &[PlannedCheck]) -> Json {
    let mut instance = Object::new();
    instance.insert("address".to_owned(), Json::Object(address));
    instance.insert("status".to_owned(), json!(worst(checks.iter())));
    let failed = checks.iter().filter(|check| matches!(check.status, CheckStatus::Fail | CheckStatus::Error));
    let problems: Vec<Json> = failed.map(|check| json!({ "message": check.error })).collect();
    if !problems.is_empty() {
        instance.insert("problems".to_owned(), Json::Array(problems));
    }
    Json::Object(instance)
}

/// The worst status of the checks.
fn worst<'c>(checks: impl Iterator<Item = &'c PlannedCheck>) -> CheckStatus {
    checks.map(|check| check.status).max().unwrap_or(CheckStatus::Pass)
}
