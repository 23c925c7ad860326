//! Renders a plan for tools that read `terraform show -json`.
//!
//! The output has the shape of Terraform's plan format 1.2; keys named `terrace` hold what Terraform does not have. Two equal plans
//! differ in `terrace.plan_id` and `timestamp` only. Sensitive values are absent, and true in `before_sensitive` and
//! `after_sensitive`.

mod checks;
pub(crate) mod facts;
mod redact;
mod resources;

pub(crate) use facts::data_loss;
pub use redact::values as redacted;
pub(crate) use resources::{index, module_address, name};

use super::human::output_name;
use facts::qualified;
use redact::Sides;
use serde_json::{Map as Object, Value as Json, json};
use terrace_plan::{Change, OutputChange, Plan, StackPlan};

/// The version of Terraform's plan format.
pub const FORMAT_VERSION: &str = "1.2";
/// The Terraform version to report: readers require a semantic version.
pub const TERRAFORM_VERSION: &str = "1.11.4";
/// The version of Terraform's state format within a plan.
const STATE_FORMAT_VERSION: &str = "1.0";

/// A plan as JSON. `digest` is that of [`terrace_plan::file::digest`].
#[must_use]
pub fn plan(plan: &Plan, digest: &str) -> Json {
    let changes = |keep: fn(&Change) -> bool| plan.changes().filter(move |(_, change)| keep(change));
    let resource_changes: Vec<Json> =
        changes(|_| true).map(|(stack, change)| resources::change(plan, stack, change)).collect();
    let lookups = plan.stacks.iter().flat_map(|stack| stack.lookups.iter().map(move |lookup| (stack, lookup)));
    let reads = lookups.filter_map(|(stack, lookup)| resources::read(plan, stack, lookup));
    let resource_changes: Vec<Json> = resource_changes.into_iter().chain(reads).collect();
    let deferred: Vec<Json> =
        plan.deferred().map(|(stack, deferred)| resources::deferred(plan, stack, deferred)).collect();
    let resource_drift: Vec<Json> =
        plan.changes().filter_map(|(stack, change)| resources::drift(plan, stack, change)).collect();
    json!({
        "format_version": FORMAT_VERSION,
        "terraform_version": TERRAFORM_VERSION,
        "terrace_version": plan.terrace_version,
        "applyable": is_applyable(plan),
        "complete": plan.is_complete,
        "errored": plan.is_errored,
        "variables": {},
        "planned_values": {
            "outputs": planned_outputs(plan),
            "root_module": resources::module(plan, resources::planned_values),
        },
        "resource_drift": resource_drift,
        "resource_changes": resource_changes,
        "deferred_changes": deferred,
        "output_changes": output_changes(plan),
        "prior_state": {
            "format_version": STATE_FORMAT_VERSION,
            "terraform_version": TERRAFORM_VERSION,
            "values": { "root_module": resources::module(plan, resources::prior_values) },
        },
        "configuration": configuration(plan),
        "relevant_attributes": [],
        "checks": checks::checks(plan),
        "timestamp": plan.timestamp.to_string(),
        "terrace": facts::of_plan(plan, digest),
    })
}

/// The document for a failed planning without a plan; `diagnostics` has the reasons.
#[must_use]
pub fn errored(terrace_version: &str, diagnostics: Json) -> Json {
    json!({
        "format_version": FORMAT_VERSION,
        "terraform_version": TERRAFORM_VERSION,
        "terrace_version": terrace_version,
        "applyable": false,
        "complete": false,
        "errored": true,
        "diagnostics": diagnostics,
    })
}

/// True if there are changes that an apply would carry out.
fn is_applyable(plan: &Plan) -> bool {
    plan.has_changes() && !plan.is_errored && plan.refused_data_loss().next().is_none()
}

/// All outputs with their stacks and their qualified names.
pub(crate) fn outputs(plan: &Plan) -> impl Iterator<Item = (&StackPlan, &OutputChange, String)> {
    plan.stacks.iter().flat_map(move |stack| {
        stack.outputs.iter().map(move |output| (stack, output, qualified(plan, &stack.stack, &output_name(output))))
    })
}

/// The action of an output's change.
pub(crate) fn output_action(output: &OutputChange) -> &'static str {
    match (&output.before, &output.after) {
        _ if !output.is_change() => "no-op",
        (None, _) => "create",
        (_, None) => "delete",
        _ => "update",
    }
}

fn output_changes(plan: &Plan) -> Object<String, Json> {
    outputs(plan)
        .map(|(_, output, name)| {
            let sides = Sides::of(output.before.as_ref(), output.after.as_ref());
            let mut change = sides.to_json();
            change.insert("actions".to_owned(), json!([output_action(output)]));
            (name, Json::Object(change))
        })
        .collect()
}

fn planned_outputs(plan: &Plan) -> Object<String, Json> {
    outputs(plan)
        .filter_map(|(_, output, name)| {
            let after = output.after.as_ref()?;
            let mut planned = Object::new();
            let is_sensitive = after.has_sensitive();
            planned.insert("sensitive".to_owned(), is_sensitive.into());
            if !is_sensitive && !after.has_unknown() {
                planned.insert("value".to_owned(), after.to_json());
            }
            Some((name, Json::Object(planned)))
        })
        .collect()
}

fn configuration(plan: &Plan) -> Json {
    let providers: std::collections::BTreeMap<&str, Json> = plan
        .changes()
        .map(|(_, change)| {
            let full_name = resources::provider_name(&change.address);
            (change.how.provider.as_str(), json!({ "name": change.how.provider, "full_name": full_name }))
        })
        .collect();
    json!({ "provider_config": providers, "root_module": {} })
}
