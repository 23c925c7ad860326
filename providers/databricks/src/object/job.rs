//! Jobs: <https://docs.databricks.com/api/workspace/jobs>. Names are not unique, so terrace tags the jobs it creates.

mod check;

use super::{Candidate, Context, Object, Observation, settings};
use crate::attributes::{attributes, id_of, put, text, text_of};
use crate::mark;
use crate::private::PrivateData;
use async_trait::async_trait;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::{
    Attributes, ErrorKind, Path, PlannedChange, ProposedChange, ProviderError, Recorded, object_id,
};

pub(crate) struct Job;

/// Limit for the pages of a job: a job has at most 1,000 tasks, 100 to a page.
const MAX_PAGES: usize = 100;

/// Returns jobs with exactly this name; the API's filter ignores case.
pub(crate) async fn named(context: &Context<'_>, name: &str) -> Result<Vec<Json>, ProviderError> {
    let request = Request::get("/api/2.2/jobs/list", &[]).query("name", name).query("limit", 100);
    let next = |page: &Json| match page.get("has_more").and_then(Json::as_bool) {
        Some(true) => Next::token(page, "next_page_token", "page_token"),
        _ => Next::End,
    };
    let found = context.workspace.api.items(request, &context.within, "jobs", next).await;
    let purpose = Purpose::read(format!("find the job `{name}`"));
    let found = found.map_err(|failure| context.workspace.api.error(&failure, &purpose))?;
    let is_match = |job: &Json| job.get("settings").is_some_and(|it| text_of(it, "name") == name);
    Ok(found.into_iter().filter(is_match).collect())
}

/// Returns a job with all its settings: tasks come in pages of 100.
pub(crate) async fn get(context: &Context<'_>, id: &str) -> Result<Option<Json>, ProviderError> {
    let request = Request::get("/api/2.2/jobs/get", &[]).query("job_id", id);
    let Some(mut job) = context.read_optional(&request, &format!("read the job {id}")).await? else { return Ok(None) };
    let mut token = id_of(&job, "next_page_token");
    let mut seen = BTreeSet::new();
    while let Some(page) = token {
        if !seen.insert(page.clone()) || seen.len() > MAX_PAGES {
            let message = format!("the pages of the tasks of the job {id} do not end");
            return Err(ProviderError::new(ErrorKind::Failed, message));
        }
        let request = Request::get("/api/2.2/jobs/get", &[]).query("job_id", id).query("page_token", page);
        let Some(mut more) = context.read_optional(&request, &format!("read the job {id}")).await? else {
            return Ok(None);
        };
        token = id_of(&more, "next_page_token");
        for list in ["tasks", "job_clusters", "parameters", "environments"] {
            let path = format!("/settings/{list}");
            let (Some(all), Some(part)) = (
                job.pointer_mut(&path).and_then(Json::as_array_mut),
                more.pointer_mut(&path).and_then(Json::as_array_mut),
            ) else {
                continue;
            };
            for item in part.drain(..) {
                if !all.contains(&item) {
                    all.push(item);
                }
            }
        }
    }
    Ok(Some(job))
}

/// The settings as read, completed with the principal that the job runs as, which is outside of them.
fn remote_settings(job: &Json, like: &Attributes) -> Json {
    let mut remote = job.get("settings").cloned().unwrap_or_else(|| json!({}));
    let (runs_as, creator) = (text_of(job, "run_as_user_name"), text_of(job, "creator_user_name"));
    let wanted = settings::of(like);
    let is_set = wanted.get("run_as").is_some_and(|it| !it.is_null());
    // By default a job runs as its creator.
    if !runs_as.is_empty() && (is_set || runs_as != creator) {
        let kind = if runs_as.contains('@') { "user_name" } else { "service_principal_name" };
        put(&mut remote, "run_as", json!({kind: runs_as}));
    }
    remote
}

fn change_purpose(job: &str) -> Purpose {
    Purpose::to(format!("change the job {job}")).needs(format!("grant CAN_MANAGE on the job {job}, or IS_OWNER"))
}

/// Adds the right to run a job as a service principal to the hints:
/// <https://docs.databricks.com/aws/en/security/auth/access-control/service-principal-acl>.
fn with_run_as_right(purpose: Purpose, settings: &Json) -> Purpose {
    match settings.pointer("/run_as/service_principal_name").and_then(Json::as_str) {
        Some(name) => {
            purpose.needs(format!("assign `<principal of the instance>` the role `servicePrincipal.user` on `{name}`"))
        }
        None => purpose,
    }
}

#[async_trait]
impl Object for Job {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        settings::check_secrets(planned)?;
        check::settings(planned)
    }

    fn plan(&self, change: &ProposedChange<'_>, planned: &mut PlannedChange) -> Result<(), ProviderError> {
        settings::check_id(change, planned, ("jobId", "job"))?;
        settings::keep_secret_paths(change, planned);
        settings::guard(change, planned, "job")
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let id = text(named, "jobId");
        let Some(job) = get(context, &id).await? else { return Ok(None) };
        let mut observed = attributes([
            ("workspaceUrl", text(named, "workspaceUrl").into()),
            ("jobId", id.as_str().into()),
            ("settings", settings::shown(&remote_settings(&job, like), like, private)),
            ("url", format!("{}/jobs/{}", context.workspace.url, object_id::join([&id])).into()),
        ]);
        settings::add_management(&mut observed, like);
        let mark = job.get("settings").and_then(mark::on);
        Ok(Some(Observation { attributes: observed, private: private.clone(), mark, ..Observation::default() }))
    }

    async fn search(&self, context: &Context<'_>, planned: &Attributes) -> Result<Vec<Candidate>, ProviderError> {
        let mark = mark::of(context.address);
        let jobs = named(context, &settings::name_of(planned)).await?;
        let candidate = |job: &Json| {
            Some(Candidate {
                identity: attributes([
                    ("workspaceUrl", text(planned, "workspaceUrl").into()),
                    ("jobId", id_of(job, "job_id")?.into()),
                ]),
                is_marked: job.get("settings").is_some_and(|it| mark::is_on(it, &mark)),
            })
        };
        Ok(jobs.iter().filter_map(candidate).collect())
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        settings::check_new(planned, ("jobId", "job"))?;
        let name = settings::name_of(planned);
        if let [one, ..] = named(context, &name).await?.as_slice() {
            let id = id_of(one, "job_id").unwrap_or_default();
            let import_id = Some(object_id::join([context.workspace.url.as_str(), &id]));
            let message = format!("there is a job `{name}` already: {id}");
            return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id }, message));
        }
        let settings = settings::sent(planned, context.address);
        let purpose = Purpose::to(format!("create the job `{name}`")).at(Path::attribute("settings"));
        let purpose = with_run_as_right(purpose, &settings);
        let request = Request::post("/api/2.2/jobs/create", &[]).json(settings);
        let purpose = purpose.needs(
            "grant `<principal of the instance>` the entitlement `allow-cluster-create`, or use a cluster policy",
        );
        let created = context.send(&request, &purpose).await?;
        let id = id_of(&created, "job_id").ok_or_else(|| {
            ProviderError::new(ErrorKind::Ambiguous, format!("the job `{name}` was created, but the answer has no id"))
        })?;
        Ok((attributes([("jobId", id.into())]), settings::private_data(planned)))
    }

    async fn update(
        &self,
        context: &Context<'_>,
        prior: &Recorded,
        present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        let id = text(&present.attributes, "jobId");
        let job = get(context, &id).await?.unwrap_or_default();
        let remote = remote_settings(&job, &prior.attributes);
        let new = settings::written(&remote, prior, planned, context.address);
        // `reset` replaces all settings; `update` would keep removed ones.
        let number: Json = id.parse::<i64>().map_or_else(|_| Json::from(id.as_str()), Json::from);
        let purpose = with_run_as_right(change_purpose(&id).at(Path::attribute("settings")), &new);
        let body = json!({"job_id": number, "new_settings": new});
        let request = Request::post("/api/2.2/jobs/reset", &[]).json(body).idempotent();
        context.send(&request, &purpose).await?;
        Ok(settings::private_data(planned))
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        _: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        let id = text(prior, "jobId");
        let number: Json = id.parse::<i64>().map_or_else(|_| Json::from(id.as_str()), Json::from);
        let request = Request::post("/api/2.2/jobs/delete", &[]).json(json!({"job_id": number}));
        let purpose =
            Purpose::to(format!("delete the job {id}")).needs(format!("grant CAN_MANAGE on the job {id}, or IS_OWNER"));
        context.remove(request, &purpose).await
    }
}
