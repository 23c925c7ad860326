//! Folders of a workspace: <https://docs.databricks.com/api/workspace/workspace>. `/Workspace/a` and `/a` are the same
//! path.

use super::{Context, Object, Observation};
use crate::attributes::{attributes, id_of, text, text_of};
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{Attributes, DataAmount, ErrorKind, Path, ProviderError, Recorded, Value};

/// A path in normal form, for comparisons.
pub(crate) fn normalized_path(path: &str) -> String {
    let path = path.strip_prefix("/Workspace").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    path.trim_end_matches('/').to_owned()
}

/// Refuses an invalid workspace path.
pub(crate) fn check_path(planned: &Attributes) -> Result<(), ProviderError> {
    let Some(path) = planned.get("path").and_then(Value::as_str) else { return Ok(()) };
    let wrong = |reason: &str| {
        Err(ProviderError::invalid(
            Some(Path::attribute("path")),
            format!("`{path}` is not a workspace path: {reason}"),
        )
        .solution("write such as `/Workspace/shop_0/orders`"))
    };
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
    match () {
        () if !path.starts_with('/') => wrong("it does not begin with `/`"),
        () if normalized_path(path).is_empty() => wrong("it is the root"),
        () if parts.iter().any(|part| part.is_empty() || *part == "." || *part == "..") => {
            wrong("it has an empty, `.` or `..` part")
        }
        () => Ok(()),
    }
}

/// Returns the kind and the id of the object at a path.
pub(crate) async fn status(context: &Context<'_>, path: &str) -> Result<Option<(String, String)>, ProviderError> {
    let request = Request::get("/api/2.0/workspace/get-status", &[]).query("path", normalized_path(path));
    let answer = context.read_optional(&request, &format!("read `{path}`")).await?;
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
        context: &Context<'_>,
        named: &Attributes,
        _like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let path = text(named, "path");
        let Some((kind, id)) = status(context, &path).await? else { return Ok(None) };
        if kind != "DIRECTORY" {
            return Ok(None);
        }
        let observed = attributes([
            ("workspaceUrl", text(named, "workspaceUrl").into()),
            ("path", path.into()),
            ("objectId", id.into()),
        ]);
        Ok(Some(Observation { attributes: observed, private: private.clone(), ..Observation::default() }))
    }

    fn needs_prior_content(&self) -> bool {
        true
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        let path = text(planned, "path");
        // The request also creates missing parents, and accepts existing folders.
        let request =
            Request::post("/api/2.0/workspace/mkdirs", &[]).json(json!({"path": normalized_path(&path)})).idempotent();
        let purpose = Purpose::to(format!("create the folder `{path}`"));
        let purpose =
            purpose.at(Path::attribute("path")).needs(format!("grant CAN_MANAGE on the parent folder of `{path}`"));
        context.send(&request, &purpose).await?;
        Ok((Attributes::default(), PrivateData::default()))
    }

    async fn update(
        &self,
        _: &Context<'_>,
        _: &Recorded,
        _: &Observation,
        _: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        Err(ProviderError::bug("a folder cannot be updated"))
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        _: &PrivateData,
        removes_data: bool,
    ) -> Result<(), ProviderError> {
        let path = text(prior, "path");
        match status(context, &path).await? {
            Some((kind, _)) if kind == "DIRECTORY" => {}
            _ => return Ok(()),
        }
        let body = json!({"path": normalized_path(&path), "recursive": removes_data});
        let purpose = Purpose::to(format!("delete the folder `{path}`")).needs(format!("grant CAN_MANAGE on `{path}`"));
        let done = context.remove(Request::post("/api/2.0/workspace/delete", &[]).json(body), &purpose).await;
        done.map_err(|error| match error.vendor_code.as_deref() {
            Some(code) if code.starts_with("DIRECTORY_NOT_EMPTY") => {
                ProviderError { kind: ErrorKind::Failed, ..error }.solution("empty the folder, or use `--remove-data`")
            }
            _ => error,
        })
    }

    async fn count(&self, context: &Context<'_>, named: &Attributes) -> Result<DataAmount, ProviderError> {
        let path = text(named, "path");
        let request = Request::get("/api/2.0/workspace/list", &[]).query("path", normalized_path(&path));
        let answer =
            context.read_optional(&request, &format!("list the contents of `{path}`")).await?.unwrap_or_default();
        let count = answer.get("objects").and_then(Json::as_array).map_or(0, Vec::len);
        Ok(DataAmount::of(count as u64, "object", "objects"))
    }

    /// Creating a folder is idempotent.
    async fn is_from_attempt(
        &self,
        _: &Context<'_>,
        _: &Observation,
        _: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(true)
    }
}
