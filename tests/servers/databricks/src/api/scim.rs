//! Principals: <https://docs.databricks.com/api/workspace/users>.

use crate::error::{ApiError, Outcome};
use crate::request::Request;
use crate::world::World;
use serde_json::{Value as Json, json};

fn wrong(status: u16, message: String) -> ApiError {
    ApiError { is_scim: true, ..ApiError::new(status, "", message) }
}

fn of<'a>(world: &'a World, what: &str) -> Option<(&'a [Json], &'static str)> {
    match what {
        "Users" => Some((&world.users, "userName")),
        "Groups" => Some((&world.groups, "displayName")),
        "ServicePrincipals" => Some((&world.service_principals, "displayName")),
        _ => None,
    }
}

pub(super) fn list(world: &World, request: &Request, what: &str) -> Outcome {
    if what == "Me" {
        let is_self =
            |it: &&Json| it["userName"] == request.actor.as_str() || it["applicationId"] == request.actor.as_str();
        let me = world.users.iter().chain(&world.service_principals).find(is_self);
        let mut me = me.cloned().unwrap_or_default();
        me["userName"] = json!(request.actor);
        let groups = world.groups.iter().filter(|it| world.is_in(&request.actor, it["displayName"].as_str().unwrap()));
        let groups = groups.map(|it| json!({"display": it["displayName"], "value": it["id"], "type": "direct"}));
        me["groups"] = groups.collect();
        return Ok(me);
    }
    let (items, _) = of(world, what).ok_or_else(|| super::no_such_call(request))?;
    let found: Vec<Json> = match request.query.get("filter") {
        None => items.to_vec(),
        Some(filter) => {
            let parts = filter.split_once(" eq ");
            let value = parts.map(|(_, value)| value.trim()).and_then(|it| {
                it.strip_prefix('"')
                    .and_then(|it| it.strip_suffix('"'))
                    .or_else(|| it.strip_prefix('\'').and_then(|it| it.strip_suffix('\'')))
            });
            let (Some((field, _)), Some(value)) = (parts, value) else {
                return Err(wrong(400, format!("Given filter operator is not supported: {filter}")));
            };
            if !["userName", "displayName", "applicationId", "id"].contains(&field.trim()) {
                return Err(wrong(400, format!("Given filter attribute is not supported: {field}")));
            }
            let wanted = value.replace("\\\"", "\"").to_lowercase();
            items
                .iter()
                .filter(|it| it[field.trim()].as_str().is_some_and(|it| it.to_lowercase() == wanted))
                .cloned()
                .collect()
        }
    };
    let number = |name: &str, usual: usize| request.query.get(name).and_then(|it| it.parse().ok()).unwrap_or(usual);
    let (start, count) = (number("startIndex", 1).max(1), number("count", 100).min(100));
    let total = found.len();
    let rows: Vec<Json> = found.into_iter().skip(start - 1).take(count).collect();
    let mut answer = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total, "startIndex": start, "itemsPerPage": rows.len(),
    });
    if !rows.is_empty() {
        answer["Resources"] = json!(rows);
    }
    Ok(answer)
}

pub(super) fn get(world: &World, what: &str, id: &str) -> Outcome {
    let found = of(world, what).and_then(|(items, _)| items.iter().find(|it| it["id"] == id));
    found.cloned().ok_or_else(|| wrong(404, format!("{what} with id {id} not found.")))
}
