//! Statements on a warehouse: <https://docs.databricks.com/api/workspace/statementexecution>.

use crate::error::{ApiError, Outcome};
use crate::fields::{object, text};
use crate::request::Request;
use crate::sql;
use crate::world::{Statement, World};
use serde_json::json;

const FIELDS: [&str; 8] =
    ["statement", "warehouse_id", "catalog", "schema", "wait_timeout", "on_wait_timeout", "disposition", "format"];

pub(super) fn submit(world: &mut World, request: &Request, polls: usize) -> Outcome {
    object(&request.body, "the request", &FIELDS)?;
    let (statement, warehouse) = (text(&request.body, "statement")?, text(&request.body, "warehouse_id")?);
    let wait = request.body["wait_timeout"].as_str().unwrap_or("10s");
    let seconds: Option<u64> = wait.strip_suffix('s').and_then(|it| it.parse().ok());
    if !seconds.is_some_and(|it| it == 0 || (5..=50).contains(&it)) {
        return Err(ApiError::invalid("wait_timeout must be 0s or between 5s and 50s"));
    }
    let Some(found) = world.warehouses.iter_mut().find(|it| it["id"] == warehouse.as_str()) else {
        return Err(ApiError::missing(format!("SQL warehouse {warehouse} does not exist.")));
    };
    // Starting a warehouse takes some polls.
    let starts = found["state"] == "STOPPED";
    found["state"] = json!("RUNNING");
    let polls = if starts { polls.max(2) } else { polls };
    let id = world.uuid();
    let pending = Statement { text: statement, actor: request.actor.clone(), polls, outcome: None };
    world.statements.insert(id.clone(), pending);
    advance(world, &id);
    Ok(shown(world, &id))
}

/// Runs a statement when its polls have passed.
fn advance(world: &mut World, id: &str) {
    let Some(statement) = world.statements.get(id).cloned() else { return };
    if statement.outcome.is_some() {
        return;
    }
    let outcome = (statement.polls == 0).then(|| sql::run(world, &statement.actor, &statement.text));
    let polls = statement.polls.saturating_sub(1);
    world.statements.insert(id.to_owned(), Statement { outcome, polls, ..statement });
}

fn shown(world: &World, id: &str) -> serde_json::Value {
    let status = match &world.statements[id].outcome {
        None => json!({"state": "PENDING"}),
        Some(Ok(())) => json!({"state": "SUCCEEDED"}),
        Some(Err(message)) if message == sql::CANCELED => json!({"state": "CANCELED"}),
        Some(Err(message)) => json!({"state": "FAILED", "error": {"error_code": "BAD_REQUEST", "message": message}}),
    };
    json!({"statement_id": id, "status": status})
}

/// Polls may read an old state; statements then wait.
pub(super) fn poll(world: &mut World, id: &str) -> Outcome {
    if !world.statements.contains_key(id) {
        return Err(ApiError::missing(format!("The statement {id} was not found.")));
    }
    advance(world, id);
    Ok(shown(world, id))
}

pub(super) fn cancel(world: &mut World, id: &str) -> Outcome {
    let Some(statement) = world.statements.get_mut(id) else {
        return Err(ApiError::missing(format!("The statement {id} was not found.")));
    };
    statement.outcome.get_or_insert_with(|| Err(sql::CANCELED.to_owned()));
    Ok(json!({}))
}
