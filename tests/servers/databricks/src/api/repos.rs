//! Git: credentials <https://docs.databricks.com/api/workspace/gitcredentials>, folders <https://docs.databricks.com/api/workspace/repos>.

use super::workspace::{add, has_folder, parent, path_of};
use crate::error::{ApiError, Outcome};
use crate::fields::{object, optional, page, text};
use crate::request::{Request, no_such_call};
use crate::world::{Repo, World};
use serde_json::{Value as Json, json};

const CREDENTIAL: [&str; 4] = ["git_provider", "git_username", "personal_access_token", "git_email"];

pub(super) fn credentials(world: &mut World, request: &Request) -> Outcome {
    match request.method.as_str() {
        "GET" => {
            let own: Vec<Json> =
                world.credentials.values().filter(|it| it["owner"] == request.actor.as_str()).map(shown).collect();
            Ok(if own.is_empty() { json!({}) } else { json!({"credentials": own}) })
        }
        "POST" => {
            object(&request.body, "the request", &CREDENTIAL)?;
            let provider = text(&request.body, "git_provider")?;
            let is_same = |it: &Json| it["owner"] == request.actor.as_str() && same(it, &provider);
            if world.credentials.values().any(is_same) {
                let message = format!("Only one Git credential is supported for the provider {provider}");
                return Err(ApiError::new(400, "RESOURCE_ALREADY_EXISTS", message));
            }
            let id = world.id();
            let mut credential = request.body.clone();
            credential["credential_id"] = json!(id);
            credential["owner"] = json!(request.actor);
            let answer = shown(&credential);
            world.credentials.insert(id, credential);
            Ok(answer)
        }
        _ => Err(no_such_call(request)),
    }
}

fn same(credential: &Json, provider: &str) -> bool {
    credential["git_provider"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(provider))
}

/// The API's form of a credential, without the token.
fn shown(credential: &Json) -> Json {
    json!({
        "credential_id": credential["credential_id"], "git_provider": credential["git_provider"],
        "git_username": credential["git_username"],
    })
}

pub(super) fn credential(world: &mut World, request: &Request, id: &str) -> Outcome {
    let missing = || ApiError::missing(format!("Git credential with id {id} not found"));
    let key: i64 = id.parse().map_err(|_| missing())?;
    let credential = world.credentials.get(&key).cloned().ok_or_else(missing)?;
    match request.method.as_str() {
        "GET" => Ok(shown(&credential)),
        "PATCH" => {
            object(&request.body, "the request", &CREDENTIAL)?;
            if !same(&credential, &text(&request.body, "git_provider")?) {
                return Err(ApiError::invalid("The Git provider of a credential cannot be changed"));
            }
            let mut credential = credential;
            for name in ["git_username", "personal_access_token"] {
                if let Some(text) = optional(&request.body, name)? {
                    credential[name] = json!(text);
                }
            }
            world.credentials.insert(key, credential);
            Ok(json!({}))
        }
        "DELETE" => {
            world.credentials.remove(&key);
            Ok(json!({}))
        }
        _ => Err(no_such_call(request)),
    }
}

pub(super) fn all(world: &mut World, request: &Request) -> Outcome {
    match request.method.as_str() {
        "GET" => {
            let prefix = request.query.get("path_prefix").map(|it| path_of(it)).transpose()?.unwrap_or_default();
            let repos = world.objects.iter().filter(|(path, it)| it.kind == "REPO" && path.starts_with(&prefix));
            let repos = repos.filter_map(|(path, it)| Some(info(it.id, path, it.repo.as_ref()?)));
            let query = request
                .query
                .iter()
                .map(|(name, it)| {
                    (if name == "next_page_token" { "page_token".to_owned() } else { name.clone() }, it.clone())
                })
                .collect();
            let (repos, next) = page(repos.collect(), &query, "limit", 20, 20)?;
            let mut answer = json!({"repos": repos});
            if let Some(next) = next {
                answer["next_page_token"] = json!(next);
            }
            Ok(answer)
        }
        "POST" => {
            object(&request.body, "the request", &["url", "provider", "path"])?;
            let (url, provider) = (text(&request.body, "url")?, text(&request.body, "provider")?);
            let path = path_of(&text(&request.body, "path")?)?;
            if !has_folder(world, parent(&path)) {
                return Err(ApiError::missing(format!("Parent directory {} does not exist.", parent(&path))));
            }
            if world.objects.contains_key(&path) {
                let message = format!("Folder ({path}) already exists. Please rename or move the existing folder.");
                return Err(ApiError::new(400, "RESOURCE_ALREADY_EXISTS", message));
            }
            let branch = "main".to_owned();
            let head = head(world, &url, &branch)?;
            let id = add(world, &path, "REPO");
            let repo = Repo { url, provider, branch: Some(branch), head };
            let answer = info(id, &path, &repo);
            world.objects.get_mut(&path).expect("the object was added").repo = Some(repo);
            Ok(answer)
        }
        _ => Err(no_such_call(request)),
    }
}

/// The commit of a branch or tag.
fn head(world: &World, url: &str, reference: &str) -> Result<String, ApiError> {
    match world.remotes.get(url) {
        Some(known) => known.get(reference).cloned().ok_or_else(|| {
            ApiError::new(400, "GIT_UNKNOWN_REF", format!("Branch or tag {reference} was not found in {url}"))
        }),
        None => Ok(format!(
            "{:0>40x}",
            reference.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
        )),
    }
}

/// The API's form of a repo. It names a branch, but not a tag.
fn info(id: i64, path: &str, repo: &Repo) -> Json {
    let mut info =
        json!({"id": id, "path": path, "url": repo.url, "provider": repo.provider, "head_commit_id": repo.head});
    if let Some(branch) = &repo.branch {
        info["branch"] = json!(branch);
    }
    info
}

pub(super) fn one(world: &mut World, request: &Request, id: &str) -> Outcome {
    let found = world.objects.iter().find(|(_, it)| it.kind == "REPO" && it.id.to_string() == id);
    let missing = || ApiError::missing(format!("Repo {id} does not exist"));
    let (path, object_there) = found.map(|(path, it)| (path.clone(), it.clone())).ok_or_else(missing)?;
    let repo = object_there.repo.expect("a repo");
    match request.method.as_str() {
        "GET" => Ok(info(object_there.id, &path, &repo)),
        "PATCH" => {
            object(&request.body, "the request", &["branch", "tag"])?;
            let (branch, tag) = (optional(&request.body, "branch")?, optional(&request.body, "tag")?);
            let reference = match (&branch, &tag) {
                (Some(one), None) | (None, Some(one)) => one.clone(),
                _ => return Err(ApiError::invalid("Exactly one of branch or tag must be specified")),
            };
            let head = head(world, &repo.url, &reference)?;
            world.objects.get_mut(&path).expect("the object exists").repo = Some(Repo { branch, head, ..repo });
            Ok(json!({}))
        }
        "DELETE" => {
            world.objects.remove(&path);
            Ok(json!({}))
        }
        _ => Err(no_such_call(request)),
    }
}
