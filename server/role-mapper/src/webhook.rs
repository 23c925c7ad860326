//! Authentication webhook of Hasura: the role of a request, by its caller and its root fields
//! (<https://hasura.io/docs/2.0/auth/authentication/webhook/>).
//!
//! Hasura expects 200 with session variables, or 401; it treats anything else as an error of the webhook.

use crate::answer::{JsonBody, Refusal};
use crate::caller::{Caller, Unidentified};
use crate::query::{MOST_BYTES, QueryError, root_fields};
use crate::shared::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The most operations of one batch.
const MOST_OPERATIONS: usize = 100;
/// The most root fields in a line of the log.
const MOST_LOGGED: usize = 20;
/// The role that Hasura reserves: its members may do everything.
/// (<https://hasura.io/docs/2.0/auth/authorization/roles-variables/>)
const RESERVED_ROLE: &str = "admin";

/// Whether Hasura would treat a role as the reserved one.
pub(crate) fn is_reserved(role: &str) -> bool {
    role.trim().eq_ignore_ascii_case(RESERVED_ROLE)
}

/// The request of Hasura.
#[derive(Debug, Deserialize)]
pub(crate) struct HookRequest {
    /// The headers of Hasura's caller.
    headers: Map<String, Value>,
    /// The caller's request.
    #[serde(default)]
    request: Operations,
}

/// One operation. Its variables do not matter: roles cover root fields.
#[derive(Debug, Deserialize)]
struct Operation {
    query: String,
    #[serde(default, rename = "operationName")]
    name: Option<String>,
}

/// An operation or a list of them; `None` if the request is not GraphQL over HTTP.
#[derive(Debug, Default)]
struct Operations(Option<Vec<Operation>>);

impl<'de> Deserialize<'de> for Operations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OperationsVisitor).map(Self)
    }
}

struct OperationsVisitor;

impl<'de> Visitor<'de> for OperationsVisitor {
    type Value = Option<Vec<Operation>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a GraphQL request or a list of them")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Operation::deserialize(MapAccessDeserializer::new(map)).map(|one| Some(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        Ok(Some(all))
    }
}

/// `POST /v1/authenticate`.
pub(crate) async fn authenticate(
    State(shared): State<Arc<Shared>>,
    JsonBody(hook_request): JsonBody<HookRequest>,
) -> Result<Response, Refusal> {
    let caller = shared.reader.read(&hook_request.headers).await.map_err(|error| match error {
        Unidentified::Unknown(why) => unauthorized(None, &why),
        Unidentified::Unavailable(why) => {
            tracing::warn!(why, "cannot identify the caller");
            Refusal::Unavailable("cannot identify the caller now: try again later")
        }
    })?;
    let mut fields = BTreeSet::new();
    for operation in operations(hook_request.request)? {
        let name = operation.name.as_deref();
        let requested = root_fields(&operation.query, name, shared.allowed).map_err(|error| match error {
            QueryError::Invalid(why) => Refusal::BadRequest(format!("Graphql query has one or more errors. {why}")),
            QueryError::Denied(why) => unauthorized(Some(&caller), &why),
        })?;
        fields.extend(requested);
    }
    let role = shared.store.covering(&caller.user, &caller.groups, &fields).await?;
    let role =
        role.ok_or_else(|| unauthorized(Some(&caller), &format!("no role of the caller has {}", listed(&fields))))?;
    if is_reserved(&role) {
        tracing::error!(role, "refusing a role that would let its members do everything in Hasura: remove it");
        return Err(Refusal::Unauthorized);
    }
    tracing::debug!(user = caller.user, role, fields = listed(&fields), "a request gets its role");
    Ok(Json(json!({"X-Hasura-User-Id": caller.user, "X-Hasura-Role": role})).into_response())
}

fn unauthorized(caller: Option<&Caller>, why: &str) -> Refusal {
    let lacks = caller
        .is_some_and(|caller| caller.lacks_groups)
        .then_some("the token omits the groups because there are too many: configure Microsoft Graph");
    tracing::info!(user = caller.map(|caller| caller.user.as_str()), why, lacks, "a request gets no role");
    Refusal::Unauthorized
}

/// The first names, for the log: a query may have thousands.
fn listed(fields: &BTreeSet<String>) -> String {
    let named: Vec<&str> = fields.iter().take(MOST_LOGGED).map(String::as_str).collect();
    match fields.len().saturating_sub(MOST_LOGGED) {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}

/// The operations of a request. One role has to cover all of them, because Hasura asks once.
fn operations(request: Operations) -> Result<Vec<Operation>, Refusal> {
    let Some(all) = request.0 else {
        return Err(unauthorized(None, "Hasura sent no query: the request is not GraphQL over HTTP"));
    };
    if all.is_empty() {
        return Err(Refusal::BadRequest("the batch is empty".to_owned()));
    }
    if all.len() > MOST_OPERATIONS {
        return Err(Refusal::BadRequest(format!(
            "the batch has {} operations, and at most {MOST_OPERATIONS} are allowed",
            all.len()
        )));
    }
    let bytes: usize = all.iter().map(|one| one.query.len()).sum();
    if all.len() > 1 && bytes > MOST_BYTES {
        let why = format!("the queries of the batch have {bytes} bytes, and at most {MOST_BYTES} are allowed");
        return Err(Refusal::BadRequest(why));
    }
    Ok(all)
}

/// `GET /v1/authenticate`: Hasura's default method, without the query.
pub(crate) async fn refuse_get() -> Response {
    tracing::warn!("Hasura calls the webhook with GET, which has no query: set HASURA_GRAPHQL_AUTH_HOOK_MODE=POST");
    (StatusCode::UNAUTHORIZED, Json("Unauthorized")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_line_names_a_bounded_number_of_fields() {
        let fields = |count: usize| (0..count).map(|at| format!("f{at:03}")).collect::<BTreeSet<_>>();
        assert_eq!(listed(&fields(2)), "f000, f001");
        assert!(listed(&fields(MOST_LOGGED)).ends_with("f018, f019"));
        assert!(listed(&fields(5_000)).ends_with("f018, f019, and 4980 more"));
    }

    #[test]
    fn reserved_role_is_recognised_in_any_spelling() {
        for (is_expected, role) in
            [(true, "admin"), (true, " Admin\t"), (false, "administrators"), (false, "sales_admin")]
        {
            assert_eq!(is_reserved(role), is_expected, "{role:?}");
        }
    }
}
