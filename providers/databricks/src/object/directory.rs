//! Folders of a workspace: <https://docs.databricks.com/api/workspace/workspace>. `/Workspace/a` and `/a` are the same
//! path.

use super::{Object, Place, Seen};
use crate::attributes::{attributes, id_of, text, text_of};
use crate::private::Kept;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{Attributes, DataAmount, ErrorKind, Path, ProviderError, Recorded, Value};

/// A path in normal form, for comparisons.
pub(crate) fn normalised(path: &str) -> String {
    let path = path.strip_prefix("/Workspace").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    path.trim_end_matches('/').to_owned()
}

/// Refuses an invalid workspace path.
pub(crate) fn check_path(planned: &Attributes) -> Result<(), ProviderError> {
    let Some(path) = planned.get("path").and_then(Value::as_str) else { return Ok(()) };
    let wrong = |what: &str| {
        Err(ProviderError::invalid(Some(Path::attribute("path")), format!("`{path}` is not a workspace path: {what}"))
            .solution("write such as `/Workspace/shop_0/orders`"))
    };
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
    match () {
        () if !path.starts_with('/') => wrong("it does not begin with `/`"),
        () if normalised(path).is_empty() => wrong("it is the root"),
        () if parts.iter().any(|part| part.is_empty() || *part == "." || *part == "..") => {
            wrong("it has an empty, `.` or `..` part")
        }
        () => Ok(()),
    }
}

/// Returns the kind and the id of the object at a path.
pub(crate) async fn status(place: &Place<'_>, path: &str) -> Result<Option<(String, String)>, ProviderError> {
    let request = Request::get("/api/2.0/workspace/get-status", &[]).query("path", normalised(path));
    let answer = place.ask(&request, &format!("read `{path}`")).await?;
    Ok(answer.and_then(|it| Some((text_of(&it, "object_type").to_owned(), id_of(&it, "object_id")?))))
}

pub(crate) struct Directory;

#[async_trait]
impl Object for Directory {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        check_path(planned)
    }

    async fn read(
        &self,
        place: &Place<'_>,
        named: &Attributes,
        _like: &Attributes,
        kept: &Kept,
    ) -> Result<Option<Seen>, ProviderError> {
        let path = text(named, "path");
        let Some((kind, id)) = status(place, &path).await? else { return Ok(None) };
        if kind != "DIRECTORY" {
            return Ok(None);
        }
        let seen = attributes([
            ("workspaceUrl", text(named, "workspaceUrl").into()),
            ("path", path.into()),
            ("objectId", id.into()),
        ]);
        Ok(Some(Seen { attributes: seen, kept: kept.clone(), ..Seen::default() }))
    }

    fn is_told_by_what_was_there(&self) -> bool {
        true
    }

    async fn create(&self, place: &Place<'_>, planned: &Attributes) -> Result<(Attributes, Kept), ProviderError> {
        let path = text(planned, "path");
        // The request also creates missing parents, and accepts existing folders.
        let request =
            Request::post("/api/2.0/workspace/mkdirs", &[]).json(json!({"path": normalised(&path)})).idempotent();
        let purpose = Purpose::to(format!("create the folder `{path}`"));
        let purpose =
            purpose.at(Path::attribute("path")).needs(format!("grant CAN_MANAGE on the parent folder of `{path}`"));
        place.send(&request, &purpose).await?;
        Ok((Attributes::default(), Kept::default()))
    }

    async fn update(&self, _: &Place<'_>, _: &Recorded, _: &Seen, _: &Attributes) -> Result<Kept, ProviderError> {
        Err(ProviderError::bug("a folder cannot be updated"))
    }

    async fn delete(
        &self,
        place: &Place<'_>,
        prior: &Attributes,
        _: &Kept,
        removes_data: bool,
    ) -> Result<(), ProviderError> {
        let path = text(prior, "path");
        match status(place, &path).await? {
            Some((kind, _)) if kind == "DIRECTORY" => {}
            _ => return Ok(()),
        }
        let body = json!({"path": normalised(&path), "recursive": removes_data});
        let purpose = Purpose::to(format!("delete the folder `{path}`")).needs(format!("grant CAN_MANAGE on `{path}`"));
        let done = place.remove(Request::post("/api/2.0/workspace/delete", &[]).json(body), &purpose).await;
        done.map_err(|error| match error.vendor_code.as_deref() {
            Some(code) if code.starts_with("DIRECTORY_NOT_EMPTY") => {
                ProviderError { kind: ErrorKind::Failed, ..error }.solution("empty the folder, or use `--remove-data`")
            }
            _ => error,
        })
    }

    async fn count(&self, place: &Place<'_>, named: &Attributes) -> Result<DataAmount, ProviderError> {
        let path = text(named, "path");
        let request = Request::get("/api/2.0/workspace/list", &[]).query("path", normalised(&path));
        let answer = place.ask(&request, &format!("list the contents of `{path}`")).await?.unwrap_or_default();
        let count = answer.get("objects").and_then(Json::as_array).map_or(0, Vec::len);
        Ok(DataAmount::of(count as u64, "object", "objects"))
    }

    /// Creating a folder is idempotent.
    async fn is_ours(
        &self,
        _: &Place<'_>,
        _: &Seen,
        _: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(true)
    }
}
