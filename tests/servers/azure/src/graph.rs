//! Principals of the tenant: <https://learn.microsoft.com/en-us/graph/api/user-list>.

use crate::call::{Request, no_such_call, paged};
use crate::error::{ApiError, ErrorForm, Outcome};
use crate::world::World;
use serde_json::Value as Json;

pub(crate) fn call(world: &World, request: &Request) -> Outcome {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let ["v1.0", kind] = path.as_slice() else { return Err(no_such_call(ErrorForm::Azure, request)) };
    let fields: &[&str] = match *kind {
        "users" => &["userPrincipalName", "mail", "displayName"],
        "groups" => &["displayName", "mail"],
        "servicePrincipals" => &["displayName", "appId"],
        _ => return Err(no_such_call(ErrorForm::Azure, request)),
    };
    let wrong = |what: &str| ApiError::azure(400, "Request_UnsupportedQuery", what);
    let mut conditions = Vec::new();
    for part in request.query.get("$filter").map(String::as_str).unwrap_or_default().split(" or ") {
        if part.is_empty() {
            continue;
        }
        let (field, value) =
            part.split_once(" eq ").ok_or_else(|| wrong("Unsupported or invalid query filter clause."))?;
        let value = value.strip_prefix('\'').and_then(|it| it.strip_suffix('\''));
        let value = value.ok_or_else(|| wrong("Invalid filter clause: a text stands in quotes."))?;
        if !fields.contains(&field) {
            return Err(wrong(&format!(
                "Unsupported or invalid query filter clause specified for property '{field}'."
            )));
        }
        conditions.push((field, value.replace("''", "'").to_lowercase()));
    }
    let is_meant = |it: &&Json| {
        conditions.is_empty()
            || conditions.iter().any(|(field, value)| it[*field].as_str().is_some_and(|it| it.to_lowercase() == *value))
    };
    let rows: Vec<Json> = world.directory.get(kind).into_iter().flatten().filter(is_meant).cloned().collect();
    Ok(paged(world, request, &rows, "@odata.nextLink"))
}
