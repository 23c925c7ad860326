//! Hasura's authentication webhook: which role a request has, by who sends it and what it asks for
//! (<https://hasura.io/docs/2.0/auth/authentication/webhook/>).
//!
//! Hasura is told 200 with session variables or 401; anything else it takes for a mistake of the webhook.

use crate::Shared;
use crate::answer::Refusal;
use crate::query::{Wrong, root_fields};
use crate::who::Nobody;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most operations of one batch.
const MOST_OPERATIONS: usize = 100;

/// What Hasura sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {
    /// The headers of whoever calls Hasura.
    headers: Map<String, Value>,
    /// An operation, a list of them, or nothing where it is no GraphQL over HTTP.
    #[serde(default)]
    request: Value,
}

/// One operation.
#[derive(Debug, Deserialize)]
struct Operation {
    query: String,
    #[serde(default, rename = "operationName")]
    name: Option<String>,
}

/// `POST /v1/authenticate`.
pub(crate) async fn authenticate(
    State(shared): State<Arc<Shared>>,
    sent: Result<Json<Sent>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(sent) = sent.map_err(|rejection| Refusal::of_body(&rejection))?;
    let who = shared.reader.read(&sent.headers).await.map_err(|nobody| match nobody {
        Nobody::Unknown(why) => unauthorized(None, &why),
        Nobody::Away(why) => {
            tracing::warn!(why, "nobody can be told who asks");
            Refusal::Unavailable("who asks cannot be told now: try again later")
        }
    })?;
    let refused = |why: &str| unauthorized(Some(&who.user), why);
    let mut fields = BTreeSet::new();
    for operation in operations(sent.request)? {
        let name = operation.name.as_deref();
        let asked = root_fields(&operation.query, name, shared.allowed).map_err(|wrong| match wrong {
            Wrong::Bad(why) => Refusal::Bad(format!("Graphql query has one or more errors. {why}")),
            Wrong::Denied(why) => refused(&why),
        })?;
        fields.extend(asked);
    }
    let role = shared.store.covering(&who.user, &who.groups, &fields).await?;
    let role = role.ok_or_else(|| refused(&format!("nobody gave a role with {fields:?} to them")))?;
    tracing::debug!(user = who.user, role, ?fields, "a request has its role");
    Ok(Json(json!({"X-Hasura-User-Id": who.user, "X-Hasura-Role": role})).into_response())
}

fn unauthorized(user: Option<&str>, why: &str) -> Refusal {
    tracing::info!(user, why, "a request gets no role");
    Refusal::Unauthorized
}

/// The operations of a request: one role has to cover all of them, for Hasura asks once.
fn operations(request: Value) -> Result<Vec<Operation>, Refusal> {
    let all = match request {
        Value::Null => {
            return Err(unauthorized(None, "Hasura tells no query: the request is no GraphQL over HTTP"));
        }
        Value::Array(all) if all.is_empty() => return Err(Refusal::Bad("the batch is empty".to_owned())),
        Value::Array(all) if all.len() > MOST_OPERATIONS => {
            return Err(Refusal::Bad(format!("a batch has {MOST_OPERATIONS} operations at most")));
        }
        Value::Array(all) => all,
        one => vec![one],
    };
    let read = |one| serde_json::from_value(one).map_err(|error| Refusal::Bad(format!("the request is none: {error}")));
    all.into_iter().map(read).collect()
}

/// `GET /v1/authenticate`: Hasura calls so unless it is told otherwise, and says nothing of the query.
pub(crate) async fn without_query() -> Response {
    tracing::warn!("Hasura calls the webhook by GET, which tells no query: set HASURA_GRAPHQL_AUTH_HOOK_MODE=POST");
    (StatusCode::UNAUTHORIZED, Json("Unauthorized")).into_response()
}
