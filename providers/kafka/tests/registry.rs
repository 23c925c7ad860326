//! A stand-in schema registry with Confluent's interface: subjects, versions, levels.

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

type Shared = Arc<Mutex<Subjects>>;
type Answer = (StatusCode, Json<Value>);

#[derive(Default)]
pub(crate) struct Subjects {
    /// The versions of each subject, as received.
    pub(crate) versions: BTreeMap<String, Vec<Value>>,
    /// Soft-deleted subjects.
    deleted: BTreeMap<String, Vec<Value>>,
    pub(crate) levels: BTreeMap<String, String>,
    /// Number of writing calls.
    pub(crate) writes: usize,
    /// The registry shortens type names, as Confluent's registry does.
    pub(crate) is_canonical: bool,
    /// Prepared errors for the next calls, by method and last part of the path.
    pub(crate) faults: Vec<Fault>,
}

/// A prepared error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) call: (&'static str, &'static str),
    pub(crate) status: u16,
    pub(crate) code: i64,
    pub(crate) has_effect: bool,
}

/// Answers with a prepared error if one matches.
async fn faulty(State(subjects): State<Shared>, request: Request, next: Next) -> Response {
    let fault = {
        let faults = &mut subjects.lock().unwrap().faults;
        let is_match = |fault: &Fault| {
            let (method, end) = fault.call;
            request.method().as_str() == method && request.uri().path().ends_with(end)
        };
        faults.iter().position(is_match).map(|at| faults.remove(at))
    };
    let Some(fault) = fault else { return next.run(request).await };
    if fault.has_effect {
        next.run(request).await;
    }
    refused(fault.status, fault.code, "prepared error").into_response()
}

/// A running registry.
pub(crate) struct Registry {
    pub(crate) url: String,
    pub(crate) subjects: Shared,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let subjects = Shared::default();
        let routes = Router::new()
            .route("/subjects/{subject}/versions", get(list).post(register))
            .route("/subjects/{subject}/versions/latest", get(latest))
            .route("/subjects/{subject}", delete(remove).post(lookup))
            .route("/compatibility/subjects/{subject}/versions/latest", post(check))
            .route("/config/{subject}", get(level).put(set_level).delete(drop_level))
            // Confluent's answer for an unknown path.
            .fallback(|| async { refused(404, 404, "HTTP 404 Not Found") })
            .layer(from_fn_with_state(Arc::clone(&subjects), faulty))
            .with_state(Arc::clone(&subjects));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, subjects }
    }
}

fn refused(status: u16, code: i64, message: &str) -> Answer {
    (StatusCode::from_u16(status).unwrap(), Json(json!({"error_code": code, "message": message})))
}

fn absent(subject: &str) -> Answer {
    refused(404, 40401, &format!("Subject '{subject}' not found."))
}

/// Replaces `{"type": "x"}` by `"x"`.
fn shortened(schema: Value) -> Value {
    match schema {
        Value::Object(fields) if fields.len() == 1 && fields.get("type").is_some_and(Value::is_string) => {
            fields["type"].clone()
        }
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, shortened(value))).collect(),
        Value::Array(items) => items.into_iter().map(shortened).collect(),
        other => other,
    }
}

/// A schema as the registry stores it, without white space.
fn stored(body: &Value, is_canonical: bool) -> Result<Value, Answer> {
    let text = body["schema"].as_str().unwrap();
    let kind = body.get("schemaType").and_then(Value::as_str).unwrap_or("AVRO");
    let text = match kind {
        "PROTOBUF" => text.to_owned(),
        _ => match serde_json::from_str::<Value>(text) {
            Ok(schema) if is_canonical => shortened(schema).to_string(),
            Ok(schema) => schema.to_string(),
            Err(_) => return Err(refused(422, 42201, "Invalid schema")),
        },
    };
    let mut stored = json!({"schema": text});
    if kind != "AVRO" {
        stored["schemaType"] = json!(kind);
    }
    if let Some(references) = body.get("references") {
        stored["references"] = references.clone();
    }
    Ok(stored)
}

/// A new schema is compatible if each new field has a default and no type changes.
fn is_compatible(old: &Value, new: &Value) -> bool {
    let fields = |schema: &Value| {
        let schema: Value = serde_json::from_str(schema["schema"].as_str().unwrap()).unwrap_or_default();
        let fields = schema["fields"].as_array().cloned().unwrap_or_default();
        fields.into_iter().map(|field| (field["name"].to_string(), field)).collect::<BTreeMap<_, _>>()
    };
    let old = fields(old);
    fields(new)
        .iter()
        .all(|(name, field)| old.get(name).map_or(field.get("default").is_some(), |old| old["type"] == field["type"]))
}

async fn list(State(subjects): State<Shared>, Path(subject): Path<String>) -> Answer {
    match subjects.lock().unwrap().versions.get(&subject) {
        Some(versions) => (StatusCode::OK, Json(json!((1..=versions.len()).collect::<Vec<_>>()))),
        None => absent(&subject),
    }
}

async fn latest(State(subjects): State<Shared>, Path(subject): Path<String>) -> Answer {
    let subjects = subjects.lock().unwrap();
    let Some(versions) = subjects.versions.get(&subject) else { return absent(&subject) };
    let mut body = versions.last().unwrap().clone();
    body["subject"] = json!(subject);
    body["version"] = json!(versions.len());
    body["id"] = json!(100 + versions.len());
    (StatusCode::OK, Json(body))
}

async fn register(State(subjects): State<Shared>, Path(subject): Path<String>, Json(body): Json<Value>) -> Answer {
    let mut subjects = subjects.lock().unwrap();
    subjects.writes += 1;
    let stored = match stored(&body, subjects.is_canonical) {
        Ok(stored) => stored,
        Err(refused) => return refused,
    };
    let is_strict = subjects.levels.get(&subject).is_none_or(|level| level != "NONE");
    let versions = subjects.versions.entry(subject).or_default();
    if !versions.contains(&stored) {
        if is_strict && versions.last().is_some_and(|old| !is_compatible(old, &stored)) {
            return refused(409, 409, "Schema being registered is incompatible with an earlier schema");
        }
        versions.push(stored.clone());
    }
    (StatusCode::OK, Json(json!({"id": 100 + versions.iter().position(|it| *it == stored).unwrap() + 1})))
}

async fn lookup(State(subjects): State<Shared>, Path(subject): Path<String>, Json(body): Json<Value>) -> Answer {
    let subjects = subjects.lock().unwrap();
    let stored = match stored(&body, subjects.is_canonical) {
        Ok(stored) => stored,
        Err(refused) => return refused,
    };
    let Some(versions) = subjects.versions.get(&subject) else { return absent(&subject) };
    let Some(at) = versions.iter().position(|it| *it == stored) else { return refused(404, 40403, "Schema not found") };
    let mut body = stored;
    (body["subject"], body["version"], body["id"]) = (json!(subject), json!(at + 1), json!(101 + at));
    (StatusCode::OK, Json(body))
}

async fn check(State(subjects): State<Shared>, Path(subject): Path<String>, Json(body): Json<Value>) -> Answer {
    let subjects = subjects.lock().unwrap();
    let stored = match stored(&body, subjects.is_canonical) {
        Ok(stored) => stored,
        Err(refused) => return refused,
    };
    let Some(versions) = subjects.versions.get(&subject) else { return absent(&subject) };
    let is_compatible = is_compatible(versions.last().unwrap(), &stored);
    let messages = if is_compatible { json!([]) } else { json!(["READER_FIELD_MISSING_DEFAULT_VALUE"]) };
    (StatusCode::OK, Json(json!({"is_compatible": is_compatible, "messages": messages})))
}

async fn remove(
    State(subjects): State<Shared>,
    Path(subject): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let mut subjects = subjects.lock().unwrap();
    subjects.writes += 1;
    let is_permanent = query.get("permanent").is_some_and(|value| value == "true");
    match (subjects.versions.remove(&subject), is_permanent) {
        (Some(versions), true) => {
            subjects.versions.insert(subject.clone(), versions);
            refused(404, 40405, "Subject was not deleted first before being permanently deleted")
        }
        (Some(versions), false) => {
            subjects.deleted.insert(subject, versions);
            (StatusCode::OK, Json(json!([1])))
        }
        (None, true) if subjects.deleted.remove(&subject).is_some() => (StatusCode::OK, Json(json!([1]))),
        (None, false) if subjects.deleted.contains_key(&subject) => refused(404, 40404, "Subject was soft deleted."),
        (None, _) => absent(&subject),
    }
}

async fn level(State(subjects): State<Shared>, Path(subject): Path<String>) -> Answer {
    match subjects.lock().unwrap().levels.get(&subject) {
        Some(level) => (StatusCode::OK, Json(json!({"compatibilityLevel": level}))),
        None => refused(404, 40408, "Subject does not have subject-level compatibility configured"),
    }
}

async fn set_level(State(subjects): State<Shared>, Path(subject): Path<String>, Json(body): Json<Value>) -> Answer {
    let mut subjects = subjects.lock().unwrap();
    subjects.writes += 1;
    subjects.levels.insert(subject, body["compatibility"].as_str().unwrap().to_owned());
    (StatusCode::OK, Json(body))
}

async fn drop_level(State(subjects): State<Shared>, Path(subject): Path<String>) -> Answer {
    match subjects.lock().unwrap().levels.remove(&subject) {
        Some(level) => (StatusCode::OK, Json(json!({"compatibilityLevel": level}))),
        None => refused(404, 40408, "Subject does not have subject-level compatibility configured"),
    }
}
