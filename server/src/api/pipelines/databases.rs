//! Databases of pipelines. No answer has a password.

use super::super::json_body::JsonBody;
use super::super::page::{Page, PageQuery, Params};
use super::super::problem::Problem;
use super::{allowed, noted};
use crate::auth::{Action, Caller};
use crate::pipelines::Database;
use crate::shared::Shared;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// An extension of a database's lifetime.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LongerLife {
    /// The additional time: `90s`, `30m`, `2h` or `1d`.
    pub(crate) by: String,
}

/// Lists the databases.
#[utoipa::path(get, path = "/pipelines/databases", operation_id = "list_databases", tag = "pipelines",
    params(PageQuery), responses((status = 200, body = Page<Database>)))]
pub(in crate::api) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Database>>, Problem> {
    let databases = allowed(&shared, &caller, Action::Read)?.pipelines.databases().await?;
    Ok(Json(page.of(databases, |database| database.name.clone())?))
}

/// Returns a database.
#[utoipa::path(get, path = "/pipelines/databases/{name}", operation_id = "show_database", tag = "pipelines",
    params(("name" = String, Path)),
    responses((status = 200, body = Database), (status = 404, body = Problem)))]
pub(in crate::api) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Database>, Problem> {
    let served = allowed(&shared, &caller, Action::Read)?;
    let database = served.pipelines.database(&name).await?;
    caller.note_usage(|usage| usage.db = Some(name));
    Ok(Json(database))
}

/// Extends the lifetime of a database.
#[utoipa::path(post, path = "/pipelines/databases/{name}/extend", operation_id = "extend_database", tag = "pipelines",
    params(("name" = String, Path)), request_body = LongerLife,
    responses((status = 200, body = Database), (status = 404, body = Problem),
        (status = 409, description = "the database has expired, or never expires", body = Problem),
        (status = 429, description = "a limit refuses the extension; `limit` names it", body = Problem)))]
pub(in crate::api) async fn extend(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<LongerLife>,
) -> Result<Json<Database>, Problem> {
    let served = allowed(&shared, &caller, Action::Database)?;
    let by = shared.pipelines_caller(&caller, Action::Database, &served.stack());
    caller.note_usage(|usage| usage.db = Some(name.clone()));
    let database = noted(&caller, served.pipelines.extend_database(&name, &body.by, &by).await)?;
    Ok(Json(database))
}

/// Stops the server of a database. Its data stays until it expires.
#[utoipa::path(post, path = "/pipelines/databases/{name}/stop", operation_id = "stop_database", tag = "pipelines",
    params(("name" = String, Path)),
    responses((status = 200, body = Database), (status = 404, body = Problem),
        (status = 409, description = "the database has expired", body = Problem)))]
pub(in crate::api) async fn stop(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Database>, Problem> {
    let served = allowed(&shared, &caller, Action::Database)?;
    let database = served.pipelines.stop_database(&name).await?;
    caller.note_usage(|usage| usage.db = Some(name));
    Ok(Json(database))
}
