//! Repositories checked out in a workspace: <https://docs.databricks.com/api/workspace/repos>.

use super::directory::{check_path, normalized_path, status};
use super::{Context, Object, Observation, credential};
use crate::attributes::{attributes, is_managed, optional_text, text, text_of};
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::{Attributes, DataAmount, ErrorKind, Path, ProviderError, Recorded, Value};

pub(crate) struct Repo;

/// The planned branch or tag, as the field and value of a request.
fn reference(planned: &Attributes) -> Option<(&'static str, String)> {
    let named = |name| optional_text(planned, name).map(|text| (name, text));
    named("branch").or_else(|| named("tag"))
}

impl Repo {
    async fn check_out(context: &Context<'_>, id: &str, planned: &Attributes) -> Result<(), ProviderError> {
        let Some((kind, name)) = reference(planned) else { return Ok(()) };
        let request = Request::patch("/api/2.0/repos/{id}", &[id]).json(json!({kind: name})).idempotent();
        let purpose = Purpose::to(format!("check out the {kind} `{name}` at `{}`", text(planned, "path")));
        context.send(&request, &purpose.at(Path::attribute(kind))).await.map(drop)
    }

    async fn info(context: &Context<'_>, path: &str) -> Result<Option<(String, Json)>, ProviderError> {
        let Some((kind, id)) = status(context, path).await? else { return Ok(None) };
        if kind != "REPO" {
            return Ok(None);
        }
        let request = Request::get("/api/2.0/repos/{id}", &[&id]);
        Ok(context.read_optional(&request, &format!("read the repository at `{path}`")).await?.map(|info| (id, info)))
    }
}

#[async_trait]
impl Object for Repo {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        check_path(planned)?;
        if let Some(provider) = optional_text(planned, "gitProvider") {
            credential::check_provider(&provider, Path::attribute("gitProvider"))?;
        }
        if optional_text(planned, "branch").is_some() && optional_text(planned, "tag").is_some() {
            return Err(ProviderError::invalid(Some(Path::attribute("tag")), "`branch` and `tag` exclude each other")
                .solution("remove one of them"));
        }
        Ok(())
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let path = text(named, "path");
        let Some((id, info)) = Self::info(context, &path).await? else { return Ok(None) };
        let head = text_of(&info, "head_commit_id").to_owned();
        let mut observed = attributes([
            ("workspaceUrl", text(named, "workspaceUrl").into()),
            ("path", path.into()),
            ("url", text_of(&info, "url").into()),
            ("gitProvider", text_of(&info, "provider").into()),
            ("repoId", id.into()),
            ("headCommit", head.as_str().into()),
        ]);
        // Use the configured spelling of values whose case is irrelevant.
        for name in ["url", "gitProvider"] {
            if let Some(given) = optional_text(like, name).filter(|it| it.eq_ignore_ascii_case(&text(&observed, name)))
            {
                observed.insert(name.to_owned(), given.into());
            }
        }
        // A managed attribute without a value is null; left out, it would count as unreadable.
        for name in ["branch", "tag"] {
            if !like.is_empty() && is_managed(like, name) {
                observed.insert(name.to_owned(), Value::Null);
            }
        }
        let branch = info.get("branch").and_then(Json::as_str).filter(|branch| !branch.is_empty());
        let mut private = private.clone();
        match (branch, optional_text(like, "tag")) {
            (Some(branch), _) if is_managed(like, "branch") => {
                observed.insert("branch".to_owned(), branch.into());
            }
            // The API does not report the tag: it is the recorded one as long as the commit is the same.
            (None, Some(tag)) => {
                let tagged = private.tagged.get_or_insert_with(|| head.clone());
                if *tagged == head {
                    observed.insert("tag".to_owned(), tag.into());
                }
            }
            _ => {}
        }
        Ok(Some(Observation { attributes: observed, private, ..Observation::default() }))
    }

    fn needs_prior_content(&self) -> bool {
        true
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        let (path, url) = (text(planned, "path"), text(planned, "url"));
        let body = json!({"url": url, "provider": text(planned, "gitProvider"), "path": normalized_path(&path)});
        let request = Request::post("/api/2.0/repos", &[]).json(body);
        let purpose = Purpose::to(format!("check out `{url}` at `{path}`"))
            .needs(format!("grant CAN_MANAGE on the parent folder of `{path}`"));
        let created = context.send(&request, &purpose).await?;
        let id = crate::attributes::id_of(&created, "id").unwrap_or_default();
        let checked_out = match optional_text(planned, "branch") {
            Some(branch) if created.get("branch").and_then(Json::as_str) == Some(&branch) => Ok(()),
            _ => Self::check_out(context, &id, planned).await,
        };
        if let Err(error) = checked_out {
            // A repository at a wrong branch is useless: remove it.
            let purpose = Purpose::to(format!("remove the repository at `{path}`"));
            return Err(match context.remove(Request::delete("/api/2.0/repos/{id}", &[&id]), &purpose).await {
                Ok(()) => error,
                Err(again) => ProviderError { kind: ErrorKind::Failed, ..error }.problem(again.to_string()),
            });
        }
        Ok((Attributes::default(), PrivateData::default()))
    }

    async fn update(
        &self,
        context: &Context<'_>,
        _prior: &Recorded,
        present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        Self::check_out(context, &text(&present.attributes, "repoId"), planned).await?;
        Ok(PrivateData::default())
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        _: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        let path = text(prior, "path");
        let Some((id, info)) = Self::info(context, &path).await? else { return Ok(()) };
        let (url, recorded) = (text_of(&info, "url"), text(prior, "url"));
        if !recorded.is_empty() && !url.eq_ignore_ascii_case(&recorded) {
            let message = format!("the repository at `{path}` differs from the recorded one: it is kept");
            return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id: None }, message)
                .problem(format!("it is `{url}` instead of `{recorded}`"))
                .solution("run `terrace state rm` to forget the recorded repository"));
        }
        let purpose =
            Purpose::to(format!("delete the repository at `{path}`")).needs(format!("grant CAN_MANAGE on `{path}`"));
        context.remove(Request::delete("/api/2.0/repos/{id}", &[&id]), &purpose).await
    }

    /// The checkout may hold work that exists nowhere else.
    async fn count(&self, _: &Context<'_>, _: &Attributes) -> Result<DataAmount, ProviderError> {
        Ok(DataAmount::Unknown)
    }

    /// The path was free before, and the repository is the planned one.
    async fn is_from_attempt(
        &self,
        _: &Context<'_>,
        observed: &Observation,
        planned: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(planned.get("url").is_some_and(|url| url.is_same_as(observed.attributes.get("url").unwrap_or(&Value::Null))))
    }
}
