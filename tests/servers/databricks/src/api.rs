//! Routes by method and path: <https://docs.databricks.com/api/workspace/introduction>.

mod catalogs;
mod clusters;
mod grants;
mod jobs;
mod permissions;
mod pipelines;
mod repos;
mod scim;
mod statements;
pub(crate) mod tables;
pub(crate) mod workspace;

use crate::error::{ApiError, Outcome};
use crate::request::{Request, no_such_call};
use crate::world::World;

/// Executes a call.
pub(crate) fn call(world: &mut World, request: &Request, polls: usize) -> Outcome {
    let parts: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let method = request.method.as_str();
    match parts.as_slice() {
        ["api", "2.2", "jobs", what] => jobs::call(world, request, what),
        ["api", "2.0", "pipelines"] => pipelines::all(world, request),
        ["api", "2.0", "pipelines", id] => pipelines::one(world, request, id),
        ["api", "2.0", "git-credentials"] => repos::credentials(world, request),
        ["api", "2.0", "git-credentials", id] => repos::credential(world, request, id),
        ["api", "2.0", "repos"] => repos::all(world, request),
        ["api", "2.0", "repos", id] => repos::one(world, request, id),
        ["api", "2.0", "workspace", what] => workspace::call(world, request, what),
        ["api", "2.0", "permissions", kind, id] => permissions::call(world, request, kind, id),
        ["api", "2.0", "sql", "warehouses"] if method == "GET" => clusters::warehouses(world, request),
        ["api", "2.0", "sql", "warehouses", id] if method == "GET" => clusters::warehouse(world, id),
        ["api", "2.0", "sql", "statements"] if method == "POST" => statements::submit(world, request, polls),
        ["api", "2.0", "sql", "statements", id] if method == "GET" => statements::poll(world, id),
        ["api", "2.0", "sql", "statements", id, "cancel"] if method == "POST" => statements::cancel(world, id),
        ["api", "2.1", "clusters", "list"] if method == "GET" => clusters::list(world, request),
        ["api", "2.1", "clusters", "get"] if method == "GET" => clusters::get(world, request),
        ["api", "2.0", "preview", "scim", "v2", what] if method == "GET" => scim::list(world, request, what),
        ["api", "2.0", "preview", "scim", "v2", what, id] if method == "GET" => scim::get(world, what, id),
        ["api", "2.1", "unity-catalog", "permissions", kind, name] => grants::call(world, request, kind, name),
        ["api", "2.1", "unity-catalog", rest @ ..] => unity_catalog(world, request, rest),
        _ => Err(no_such_call(request)),
    }
}

fn unity_catalog(world: &mut World, request: &Request, parts: &[&str]) -> Outcome {
    if !world.has_metastore {
        return Err(ApiError::new(404, "METASTORE_DOES_NOT_EXIST", "No metastore assigned for the current workspace."));
    }
    match parts {
        ["catalogs"] => catalogs::all(world, request, catalogs::Kind::Catalog),
        ["catalogs", name] => catalogs::one(world, request, catalogs::Kind::Catalog, name),
        ["schemas"] => catalogs::all(world, request, catalogs::Kind::Schema),
        ["schemas", name] => catalogs::one(world, request, catalogs::Kind::Schema, name),
        ["tables"] if request.method == "GET" => tables::list(world, request),
        ["tables", name] => tables::one(world, request, name),
        ["tables", name, "exists"] if request.method == "GET" => tables::exists(world, name),
        [kind @ ("volumes" | "functions" | "models")] if request.method == "GET" => {
            catalogs::others(world, request, kind)
        }
        ["metastores"] if request.method == "GET" => catalogs::metastores(request),
        ["metastores", id] if request.method == "GET" => catalogs::metastore(id),
        ["metastore_summary"] if request.method == "GET" => Ok(catalogs::summary(world)),
        ["current-metastore-assignment"] if request.method == "GET" => Ok(catalogs::assignment(world)),
        _ => Err(no_such_call(request)),
    }
}
