//! The tree of the workspace: <https://docs.databricks.com/api/workspace/workspace>. `/Workspace/a` and `/a` are one path.

use crate::error::{ApiError, Outcome};
use crate::fields::{object, text};
use crate::request::{Request, no_such_call};
use crate::world::{Object, World};
use serde_json::{Value as Json, json};

/// A path without the optional prefix `/Workspace`.
pub(crate) fn path_of(text: &str) -> Result<String, ApiError> {
    let path = text.strip_prefix("/Workspace").filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(text);
    if !text.starts_with('/') {
        return Err(ApiError::invalid(format!("Path ({text}) doesn't start with '/'")));
    }
    Ok(path.trim_end_matches('/').to_owned())
}

pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Adds an object to the tree.
pub(crate) fn add(world: &mut World, path: &str, kind: &'static str) -> i64 {
    let id = world.id();
    world.objects.insert(path.to_owned(), Object { id, kind, repo: None });
    id
}

/// True if the folder exists; the root always does.
pub(super) fn has_folder(world: &World, path: &str) -> bool {
    path.is_empty() || world.objects.get(path).is_some_and(|it| it.kind == "DIRECTORY")
}

pub(super) fn call(world: &mut World, request: &Request, what: &str) -> Outcome {
    match (request.method.as_str(), what) {
        ("POST", "mkdirs") => {
            object(&request.body, "the request", &["path"])?;
            let path = path_of(&text(&request.body, "path")?)?;
            let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]).collect::<Vec<_>>();
            for end in ends {
                let folder = &path[..end];
                match world.objects.get(folder) {
                    None if folder.is_empty() => {}
                    None => drop(add(world, folder, "DIRECTORY")),
                    Some(it) if it.kind == "DIRECTORY" => {}
                    Some(_) => {
                        return Err(ApiError::new(
                            400,
                            "RESOURCE_ALREADY_EXISTS",
                            format!("Node {folder} exists and is not a directory"),
                        ));
                    }
                }
            }
            Ok(json!({}))
        }
        ("POST", "import") => {
            object(&request.body, "the request", &["path", "format", "language", "content", "overwrite"])?;
            let path = path_of(&text(&request.body, "path")?)?;
            if !has_folder(world, parent(&path)) {
                return Err(ApiError::missing(format!("The parent folder ({}) does not exist.", parent(&path))));
            }
            add(world, &path, "NOTEBOOK");
            Ok(json!({}))
        }
        ("GET", "list") => {
            let path = path_of(request.parameter("path")?)?;
            if !has_folder(world, &path) && !world.objects.contains_key(&path) {
                return Err(missing(&path));
            }
            let children: Vec<Json> =
                world.objects.iter().filter(|(it, _)| parent(it) == path).map(|(path, it)| shown(path, it)).collect();
            Ok(if children.is_empty() { json!({}) } else { json!({"objects": children}) })
        }
        ("GET", "get-status") => {
            let path = path_of(request.parameter("path")?)?;
            world.objects.get(&path).map(|it| shown(&path, it)).ok_or_else(|| missing(&path))
        }
        ("POST", "delete") => {
            object(&request.body, "the request", &["path", "recursive"])?;
            let path = path_of(&text(&request.body, "path")?)?;
            world.objects.get(&path).ok_or_else(|| missing(&path))?;
            let inside = format!("{path}/");
            let is_empty = !world.objects.keys().any(|it| it.starts_with(&inside));
            if !is_empty && request.body["recursive"] != true {
                return Err(ApiError::new(400, "DIRECTORY_NOT_EMPTY", format!("Folder ({path}) is not empty")));
            }
            world.objects.retain(|it, _| *it != path && !it.starts_with(&inside));
            Ok(json!({}))
        }
        _ => Err(no_such_call(request)),
    }
}

fn missing(path: &str) -> ApiError {
    ApiError::missing(format!("Path ({path}) doesn't exist."))
}

fn shown(path: &str, it: &Object) -> Json {
    json!({"object_type": it.kind, "path": path, "object_id": it.id})
}
