//! Hasura's authentication webhook: which role a request has, by who sends it and what it asks for
//! (<https://hasura.io/docs/2.0/auth/authentication/webhook/>).
//!
//! Hasura is told 200 with session variables or 401; anything else it takes for a mistake of the webhook.

use crate::Shared;
use crate::answer::{Refusal, Sent};
use crate::query::{MOST_BYTES, Wrong, root_fields};
use crate::who::{Nobody, Who};
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
/// The most root fields that a line of the log names.
const MOST_TOLD: usize = 20;
/// What Hasura takes for itself: whoever has this role may do everything there.
/// (<https://hasura.io/docs/2.0/auth/authorization/roles-variables/>)
const OF_HASURA: &str = "admin";

/// Whether a role would be more than one to Hasura.
pub(crate) fn is_of_hasura(role: &str) -> bool {
    role.trim().eq_ignore_ascii_case(OF_HASURA)
}

/// What Hasura sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    /// The headers of whoever calls Hasura.
    headers: Map<String, Value>,
    /// What they ask for.
    #[serde(default)]
    request: Operations,
}

/// One operation. Its variables are passed over: a role is for root fields, whatever these are asked with.
#[derive(Debug, Deserialize)]
struct Operation {
    query: String,
    #[serde(default, rename = "operationName")]
    name: Option<String>,
}

/// An operation, a list of them, or nothing where it is no GraphQL over HTTP.
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
    Sent(asked): Sent<Asked>,
) -> Result<Response, Refusal> {
    let who = shared.reader.read(&asked.headers).await.map_err(|nobody| match nobody {
        Nobody::Unknown(why) => unauthorized(None, &why),
        Nobody::Away(why) => {
            tracing::warn!(why, "nobody can be told who asks");
            Refusal::Unavailable("who asks cannot be told now: try again later")
        }
    })?;
    let mut fields = BTreeSet::new();
    for operation in operations(asked.request)? {
        let name = operation.name.as_deref();
        let asked = root_fields(&operation.query, name, shared.allowed).map_err(|wrong| match wrong {
            Wrong::Bad(why) => Refusal::Bad(format!("Graphql query has one or more errors. {why}")),
            Wrong::Denied(why) => unauthorized(Some(&who), &why),
        })?;
        fields.extend(asked);
    }
    let role = shared.store.covering(&who.user, &who.groups, &fields).await?;
    let role = role.ok_or_else(|| unauthorized(Some(&who), &format!("no role of theirs has {}", listed(&fields))))?;
    if is_of_hasura(&role) {
        tracing::error!(role, "a role would let its members do everything in Hasura: nobody gets it, remove it");
        return Err(Refusal::Unauthorized);
    }
    tracing::debug!(user = who.user, role, fields = listed(&fields), "a request has its role");
    Ok(Json(json!({"X-Hasura-User-Id": who.user, "X-Hasura-Role": role})).into_response())
}

fn unauthorized(who: Option<&Who>, why: &str) -> Refusal {
    let lacks = who.is_some_and(|who| who.lacks_groups).then_some(
        "the token leaves their groups out, of which there are too many: have Microsoft Graph asked for them",
    );
    tracing::info!(user = who.map(|who| who.user.as_str()), why, lacks, "a request gets no role");
    Refusal::Unauthorized
}

/// Some names, for the log: a query may ask for thousands.
fn listed(fields: &BTreeSet<String>) -> String {
    let named: Vec<&str> = fields.iter().take(MOST_TOLD).map(String::as_str).collect();
    match fields.len().saturating_sub(MOST_TOLD) {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}

/// The operations of a request: one role has to cover all of them, for Hasura asks once.
fn operations(request: Operations) -> Result<Vec<Operation>, Refusal> {
    let Some(all) = request.0 else {
        return Err(unauthorized(None, "Hasura tells no query: the request is no GraphQL over HTTP"));
    };
    if all.is_empty() {
        return Err(Refusal::Bad("the batch is empty".to_owned()));
    }
    if all.len() > MOST_OPERATIONS {
        return Err(Refusal::Bad(format!(
            "the batch has {} operations, and takes {MOST_OPERATIONS} at most",
            all.len()
        )));
    }
    let bytes: usize = all.iter().map(|one| one.query.len()).sum();
    if all.len() > 1 && bytes > MOST_BYTES {
        let why = format!("the queries of the batch have {bytes} bytes, and {MOST_BYTES} are taken at most");
        return Err(Refusal::Bad(why));
    }
    Ok(all)
}

/// `GET /v1/authenticate`: Hasura calls so unless it is told otherwise, and says nothing of the query.
pub(crate) async fn without_query() -> Response {
    tracing::warn!("Hasura calls the webhook by GET, which tells no query: set HASURA_GRAPHQL_AUTH_HOOK_MODE=POST");
    (StatusCode::UNAUTHORIZED, Json("Unauthorized")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_has_an_end() {
        let fields = |count: usize| (0..count).map(|at| format!("f{at:03}")).collect::<BTreeSet<_>>();
        assert_eq!(listed(&fields(2)), "f000, f001");
        assert!(listed(&fields(MOST_TOLD)).ends_with("f018, f019"));
        assert!(listed(&fields(5_000)).ends_with("f018, f019, and 4980 more"));
    }

    #[test]
    fn hasuras_own_role_is_known_however_it_is_written() {
        for (is_own, role) in [(true, "admin"), (true, " Admin\t"), (false, "administrators"), (false, "sales_admin")] {
            assert_eq!(is_of_hasura(role), is_own, "{role:?}");
        }
    }
}
