//! The queries of the GraphQL API. Their texts are fixed: each is valid by the published schema.

use crate::api::Caller;
use crate::world::{World, user};
use serde_json::{Value as Json, json};
use terrace_test_listening::strict::{Call, Outcome, fault};

/// <https://docs.github.com/en/graphql/reference/queries#viewer>
const VIEWER: &str = "query { viewer { login databaseId } }";
/// <https://docs.github.com/en/graphql/reference/queries#nodes>, with
/// <https://docs.github.com/en/graphql/reference/interfaces#comment>
const EDITS: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on IssueComment { fullDatabaseId lastEditedAt } \
                     ... on PullRequestReview { fullDatabaseId lastEditedAt } } }";

pub(crate) fn answer(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let fields = call.fields(&["query", "variables"])?;
    let ids = fields.get("variables").and_then(|variables| variables.get("ids")).and_then(Json::as_array);
    match (fields.get("query").and_then(Json::as_str), ids) {
        // An installation token may ask this.
        (Some(VIEWER), None) => {
            let account = user(&caller.login);
            Ok((200, json!({"data": {"viewer": {"login": account["login"], "databaseId": account["id"]}}})))
        }
        (Some(EDITS), Some(ids)) if ids.len() <= 100 => {
            let may_read = caller.may("pull-requests", "read").is_ok();
            let nodes: Vec<Json> = ids
                .iter()
                .map(|id| if may_read { world.edits(id.as_str().unwrap_or_default()) } else { Json::Null })
                .collect();
            let (kind, message) = match may_read {
                true => ("NOT_FOUND", "Could not resolve to a node with the global id"),
                false => ("FORBIDDEN", "Resource not accessible by integration"),
            };
            let missing = nodes.iter().enumerate().filter(|(_, node)| node.is_null());
            let errors: Vec<Json> = missing
                .map(|(number, _)| json!({"type": kind, "path": ["nodes", number], "message": message}))
                .collect();
            let mut answer = json!({"data": {"nodes": nodes}});
            if !errors.is_empty() {
                answer["errors"] = errors.into();
            }
            Ok((200, answer))
        }
        _ => Err(fault(400, format!("an unknown query: {}", call.body))),
    }
}
