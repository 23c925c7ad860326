//! A call, the state that it reads and changes, and checks that all APIs share.
use crate::error::{Answer, ApiError, ErrorForm};
use crate::world::{Audience, World};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use terrace_test_databricks::{StandIn, Traffic};
use terrace_test_listening::lock;

/// The state of a stand-in.
#[derive(Debug, Default)]
pub(crate) struct State {
    world: Mutex<World>,
    pub(crate) traffic: Traffic,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The parts of the path, each decoded.
    pub(crate) path: Vec<String>,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Json,
    /// The caller.
    pub(crate) actor: String,
    /// The URL of this stand-in.
    pub(crate) base: String,
}

impl State {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Lets the stand-in of a workspace check tokens here, and detaches its metastore.
    pub(crate) fn prepare(self: &Arc<Self>, stand_in: &StandIn) {
        let state = Arc::downgrade(self);
        let url = stand_in.url().to_owned();
        stand_in.set_token_check(move |token, management, resource| {
            let state = state.upgrade().ok_or_else(|| "the token server has stopped".to_owned())?;
            let world = &mut *state.world();
            let whose = |token: &str, audience: Audience| {
                world.tokens.get(token).filter(|(_, of)| *of == audience).map(|(client, _)| client.clone())
            };
            let Some(client) = whose(token, Audience::Databricks) else { return Ok(None) };
            let manager = management.and_then(|token| whose(token, Audience::Management));
            let known =
                world.workspaces.iter_mut().find(|(_, it)| it.served.as_ref().is_some_and(|it| it.url() == url));
            let Some((id, workspace)) = known else { return Ok(Some(client)) };
            // A manager of the workspace in Azure becomes its administrator.
            if manager.as_ref() == Some(&client) && resource.is_some_and(|it| it.eq_ignore_ascii_case(id)) {
                workspace.members.insert(client.clone());
            }
            match workspace.members.contains(&client) {
                true => Ok(Some(client)),
                false => Err("User not authorized.".to_owned()),
            }
        });
        stand_in.detach_metastore();
        stand_in.remove_principals();
    }
}

/// The error of an unknown call.
pub(crate) fn no_such_call(form: ErrorForm, request: &Request) -> ApiError {
    let message = format!("No HTTP resource was found that matches '{} /{}'", request.method, request.path.join("/"));
    match form {
        ErrorForm::Account => ApiError::account(404, "ENDPOINT_NOT_FOUND", message),
        _ => ApiError::azure(404, "InvalidResourceType", message),
    }
}

/// Refuses unknown fields.
pub(crate) fn only(form: ErrorForm, body: &Json, what: &str, known: &[&str]) -> Result<(), ApiError> {
    let entries = body.as_object();
    let unknown = entries.into_iter().flatten().find(|(name, _)| !known.contains(&name.as_str()));
    let (code, message) = match (entries, unknown) {
        (None, _) => ("InvalidRequestContent", format!("{what} is not an object")),
        (_, Some((name, _))) => {
            ("InvalidRequestContent", format!("Could not find member '{name}' on object of type '{what}'."))
        }
        (Some(_), None) => return Ok(()),
    };
    Err(match form {
        ErrorForm::Account => ApiError::account(400, "MALFORMED_REQUEST", message),
        _ => ApiError::azure(400, code, message),
    })
}

/// A required string.
pub(crate) fn text(body: &Json, name: &str) -> Option<String> {
    body[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A list with one row a page, so that a client that reads only one page misses rows.
pub(crate) fn paged(world: &World, request: &Request, rows: &[Json], next: &str) -> Answer {
    let at: usize = request.query.get("$skiptoken").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut answer = json!({"value": rows.iter().skip(at).take(1).collect::<Vec<_>>()});
    if at + 1 < rows.len() {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let path: Vec<String> = request.path.iter().map(|part| encoded(part)).collect();
        let kept = request.query.iter().filter(|(name, _)| *name != "$skiptoken");
        let query: Vec<String> = kept.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let base = world.deviations.next_link_base.as_ref().unwrap_or(&request.base);
        let query = format!("{}&$skiptoken={}", query.join("&"), at + 1);
        answer[next] = json!(format!("{base}/{}?{}", path.join("/"), query.trim_start_matches('&')));
    }
    answer.into()
}
