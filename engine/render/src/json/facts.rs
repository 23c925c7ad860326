//! The `terrace` objects of the plan JSON: facts that Terraform does not have.

use serde_json::{Map as Object, Value as Json, json};
use terrace_language::action::Action;
use terrace_language::address::StackId;
use terrace_plan::{Change, DataLossNote, DeferredChange, Lookup, Note, OwnerChange, Plan, StackPlan};

/// Facts of the plan as a whole.
pub(crate) fn of_plan(plan: &Plan, digest: &str) -> Json {
    let losses = plan.changes().filter_map(|(stack, change)| {
        let loss = change.data_loss.as_ref()?;
        let mut entry = data_loss(loss);
        let address = qualified(plan, &change.stack(&stack.stack), &change.address.to_string());
        entry.insert("address".to_owned(), address.into());
        Some(Json::Object(entry))
    });
    json!({
        "plan_id": plan.id,
        "plan_digest": digest,
        "state": plan.state,
        "environment": plan.environment,
        "environment_note": plan.environment_note,
        "mode": plan.mode,
        "has_changes": plan.has_changes(),
        "has_managed_changes": has_managed_changes(plan),
        "counts": counts(plan),
        "stacks": plan.stacks.iter().map(of_stack_plan).collect::<Vec<_>>(),
        "origin": plan.origin,
        "generations": plan.reads,
        "data_loss": losses.collect::<Vec<_>>(),
        "diagnostics": plan.notes.iter().map(diagnostic).collect::<Vec<_>>(),
    })
}

fn of_stack_plan(stack: &StackPlan) -> Json {
    let components: Vec<Json> = stack
        .components
        .iter()
        .map(|component| {
            json!({
                "key": component.key,
                "part": component.part,
                "blueprint": component.blueprint,
                "depends_on": component.depends_on,
            })
        })
        .collect();
    let owner = |owner: &OwnerChange| {
        json!({
            "address": owner.ownership.address,
            "stack": owner.ownership.stack,
            "component": owner.ownership.component,
            "action": owner.action.word(),
        })
    };
    json!({
        "stack": stack.stack,
        "counts": stack.counts(),
        "components": components,
        "owners": stack.owners.iter().filter(|owner| owner.is_change()).map(owner).collect::<Vec<_>>(),
    })
}

/// Facts of a deferred change.
pub(crate) fn of_deferred(stack: &StackPlan, deferred: &DeferredChange) -> Json {
    let mut facts = Object::new();
    let mut put = |name: &str, value: Json| facts.insert(name.to_owned(), value);
    put("stack", json!(stack.stack));
    put("component", deferred.address.component.as_str().into());
    put("action", json!(deferred.action));
    put("waits_for", json!(deferred.waits_for));
    if let Some(place) = &deferred.place {
        put("place", json!(place));
    }
    Json::Object(facts)
}

/// Facts of a lookup.
pub(crate) fn of_lookup(stack: &StackPlan, lookup: &Lookup) -> Json {
    let mut facts = Object::new();
    let mut put = |name: &str, value: Json| facts.insert(name.to_owned(), value);
    put("stack", json!(stack.stack));
    put("component", lookup.address.component.as_str().into());
    put("action", json!(Action::Read));
    put("provider", lookup.provider.as_str().into());
    put("generation", 0.into());
    if let Some(place) = &lookup.place {
        put("place", json!(place));
    }
    if !lookup.depends_on.is_empty() {
        put("depends_on", json!(lookup.depends_on));
    }
    Json::Object(facts)
}

/// Facts of a change.
pub(crate) fn of_change(stack: &StackPlan, change: &Change) -> Json {
    let mut facts = Object::new();
    let mut put = |name: &str, value: Json| facts.insert(name.to_owned(), value);
    put("stack", json!(change.stack(&stack.stack)));
    put("component", change.address.component.as_str().into());
    put("action", json!(change.action));
    put("provider", change.how.provider.as_str().into());
    put("generation", change.basis.generation.into());
    if let Some(reason) = &change.why.reason {
        put("reason", json!(reason));
    }
    if !change.why.because.is_empty() {
        put("because", json!(change.why.because));
    }
    if !change.why.triggered_by.is_empty() {
        put("triggered_by", json!(change.why.triggered_by));
    }
    if let Some(after) = change.after.as_ref().filter(|_| change.is_newly_sensitive()) {
        put("newly_sensitive", after.newly_sensitive.iter().map(ToString::to_string).collect());
    }
    if change.action == Action::Retain {
        put("retained", true.into());
    }
    if let Some(in_doubt) = &change.in_doubt {
        put(if change.is_held_back() { "held_back" } else { "in_doubt" }, in_doubt.text().into());
    }
    if let Some(loss) = &change.data_loss {
        put("data_loss", Json::Object(data_loss(loss)));
    }
    if let Some(place) = &change.basis.place {
        put("place", json!(place));
    }
    if !change.how.depends_on.is_empty() {
        put("depends_on", json!(change.how.depends_on));
    }
    Json::Object(facts)
}

/// The data that a change destroys.
pub(crate) fn data_loss(loss: &DataLossNote) -> Object<String, Json> {
    let mut entry = Object::new();
    entry.insert("reasons".to_owned(), json!(loss.reasons));
    entry.insert("amount".to_owned(), json!(loss.amount));
    entry.insert("allowed".to_owned(), loss.is_allowed.into());
    entry
}

fn diagnostic(note: &Note) -> Json {
    json!({
        "severity": note.severity,
        "code": note.code,
        "message": note.message,
        "hint": note.hint,
        "address": note.address,
        "place": note.place,
    })
}

/// A name within a stack; prefixed with the stack if the plan has several.
pub(crate) fn qualified(plan: &Plan, stack: &StackId, name: &str) -> String {
    if plan.stacks.len() > 1 { format!("{stack}:{name}") } else { name.to_owned() }
}

/// The actions in Terraform's terms. A retained object counts as forgotten; `importing` marks an adoption.
pub(crate) fn actions(change: &Change) -> Json {
    match change.action {
        Action::NoOp => json!(["no-op"]),
        Action::Create => json!(["create"]),
        Action::Update => json!(["update"]),
        Action::Replace => json!(["delete", "create"]),
        Action::ReplaceCreateFirst => json!(["create", "delete"]),
        Action::Delete => json!(["delete"]),
        Action::Read => json!(["read"]),
        Action::Adopt if change.is_aligned() => json!(["update"]),
        Action::Adopt => json!(["no-op"]),
        Action::Forget | Action::Retain => json!(["forget"]),
    }
}

/// The action in Terraform's terms that a later plan may take for a deferred resource.
pub(crate) const fn deferred_action(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Read => "read",
        Action::Delete => "delete",
        Action::Retain | Action::Forget => "forget",
        _ => "update",
    }
}

/// True if the plan changes managed objects, not only the state: used by drift checks.
pub(crate) fn has_managed_changes(plan: &Plan) -> bool {
    plan.changes().any(|(_, change)| !matches!(change.action, Action::NoOp | Action::Read))
}

/// The counts for tools.
pub(crate) fn counts(plan: &Plan) -> Json {
    json!(plan.counts())
}
