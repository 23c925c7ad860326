//! Pipelines: <https://docs.databricks.com/api/workspace/pipelines>. They hold data: a deletion deletes their tables
//! too, unless the request prevents it.

use super::{Candidate, Context, Object, Observation, settings};
use crate::attributes::{attributes, id_of, text, text_of};
use crate::mark;
use crate::private::PrivateData;
use async_trait::async_trait;
use serde_json::{Value as Json, json};
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::{
    Attributes, DataAmount, ErrorKind, Path, PlannedChange, ProposedChange, ProviderError, Recorded, Value, object_id,
};

pub(crate) struct Pipeline;

/// Settings that a pipeline cannot change: only a new pipeline could, which would lose data.
const FIXED: [&[&str]; 3] = [&["catalog"], &["schema", "target"], &["storage"]];

/// Returns pipelines with exactly this name: in the API's filter `_` and `%` are wildcards.
pub(crate) async fn named(context: &Context<'_>, name: &str) -> Result<Vec<Json>, ProviderError> {
    // A quote would end the filter. Without a filter, the list is longer but still filtered below.
    let filter = if name.contains('\'') { None } else { Some(format!("name LIKE '{name}'")) };
    let request = Request::get("/api/2.0/pipelines", &[]).query("max_results", 100);
    let request = filter.into_iter().fold(request, |request, filter| request.query("filter", filter));
    let next = |page: &Json| Next::token(page, "next_page_token", "page_token");
    let found = context.workspace.api.items(request, &context.within, "statuses", next).await;
    let purpose = Purpose::read(format!("find the pipeline `{name}`"));
    let found = found.map_err(|failure| context.workspace.api.error(&failure, &purpose))?;
    Ok(found.into_iter().filter(|it| text_of(it, "name") == name).collect())
}

async fn get(context: &Context<'_>, id: &str) -> Result<Option<Json>, ProviderError> {
    let request = Request::get("/api/2.0/pipelines/{id}", &[id]);
    context.read_optional(&request, &format!("read the pipeline {id}")).await
}

/// The specification of a pipeline, without the server's own fields.
fn spec_of(pipeline: &Json) -> Json {
    let mut spec = pipeline.get("spec").cloned().unwrap_or_else(|| json!({}));
    if let Some(entries) = spec.as_object_mut() {
        entries.shift_remove("id");
    }
    spec
}

fn check_settings(planned: &Attributes) -> Result<(), ProviderError> {
    let at = Path::attribute("settings");
    let Some(settings) = settings::value_of(planned) else { return Ok(()) };
    let refused = |at: Path, message: String| Err(ProviderError::invalid(Some(at), message));
    if settings.get("name").is_none_or(|it| !it.is_unknown() && it.as_str().is_none_or(str::is_empty)) {
        return refused(at.key("name"), "a pipeline needs a name".to_owned());
    }
    for (name, known) in [("edition", &["CORE", "PRO", "ADVANCED"][..]), ("channel", &["CURRENT", "PREVIEW"])] {
        if let Some(given) = settings.get(name).and_then(Value::as_str)
            && !known.contains(&given.to_uppercase().as_str())
        {
            let known = terrace_provider::names::listed(known);
            return refused(at.key(name), format!("`{given}` is not a valid `{name}`: expected one of {known}"));
        }
    }
    let clusters = settings.get("clusters").and_then(Value::as_list).unwrap_or_default();
    for (index, cluster) in clusters.iter().enumerate() {
        let at = at.key("clusters").index(index);
        let is_set = |name: &str| cluster.get(name).is_some_and(|it| !it.is_null());
        if is_set("num_workers") && is_set("autoscale") {
            return refused(
                at.key("autoscale"),
                "`num_workers` and `autoscale` both set the number of workers".to_owned(),
            );
        }
        let bound = |name: &str| cluster.get("autoscale")?.get(name)?.as_int();
        if let (Some(least), Some(most)) = (bound("min_workers"), bound("max_workers"))
            && least > most
        {
            let message = format!("the minimum of {least} workers exceeds the maximum of {most}");
            return refused(at.key("autoscale").key("min_workers"), message);
        }
    }
    Ok(())
}

#[async_trait]
impl Object for Pipeline {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        settings::check_secrets(planned)?;
        check_settings(planned)
    }

    fn plan(&self, change: &ProposedChange<'_>, planned: &mut PlannedChange) -> Result<(), ProviderError> {
        settings::check_id(change, planned, ("pipelineId", "pipeline"))?;
        settings::keep_secret_paths(change, planned);
        settings::guard(change, planned, "pipeline")?;
        let Some(prior) = change.prior.filter(|_| !change.must_replace) else { return Ok(()) };
        let (current, wanted) = (settings::value_of(&prior.attributes), settings::value_of(&planned.planned));
        let (Some(current), Some(wanted)) = (current, wanted) else { return Ok(()) };
        // `schema` and `target` both name the schema of the tables.
        let of = |settings: &Value, names: &[&str]| {
            let mut values = names.iter().filter_map(|name| settings.get(name)).filter(|value| !value.is_null());
            values.next().cloned().unwrap_or_default()
        };
        for names in FIXED {
            let is_set =
                |name: &&&str| [&wanted, &current].iter().any(|it| it.get(name).is_some_and(|it| !it.is_null()));
            let Some(name) = names.iter().find(is_set) else { continue };
            let (current, wanted) = (of(&current, names), of(&wanted, names));
            // A setting that was removed remotely may be restored; an existing value cannot change.
            if !current.is_null() && !wanted.has_unknown() && !wanted.is_same_as(&current) {
                let at = Path::attribute("settings").key(name);
                return Err(ProviderError::invalid(Some(at), format!("the `{name}` of a pipeline cannot be changed: its tables are stored there"))
                    .solution("create a second pipeline under another name, and remove this one when the second has the data")
                    .solution("use `--replace`, which deletes this pipeline; its tables are kept unless you also use `--remove-data`"));
            }
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
        let id = text(named, "pipelineId");
        let Some(pipeline) = get(context, &id).await? else { return Ok(None) };
        let mut observed = attributes([
            ("workspaceUrl", text(named, "workspaceUrl").into()),
            ("pipelineId", id.as_str().into()),
            ("settings", settings::shown(&spec_of(&pipeline), like, private)),
            ("url", format!("{}/pipelines/{}", context.workspace.url, object_id::join([&id])).into()),
        ]);
        settings::add_management(&mut observed, like);
        let mark = pipeline.get("spec").and_then(mark::on);
        Ok(Some(Observation { attributes: observed, private: private.clone(), mark, ..Observation::default() }))
    }

    async fn search(&self, context: &Context<'_>, planned: &Attributes) -> Result<Vec<Candidate>, ProviderError> {
        let name = settings::name_of(planned);
        let mark = mark::of(context.address);
        let mut candidates = Vec::new();
        for row in named(context, &name).await? {
            let Some(id) = id_of(&row, "pipeline_id") else { continue };
            let Some(pipeline) = get(context, &id).await? else { continue };
            let is_marked = pipeline.get("spec").is_some_and(|it| mark::is_on(it, &mark));
            let identity =
                attributes([("workspaceUrl", text(planned, "workspaceUrl").into()), ("pipelineId", id.into())]);
            candidates.push(Candidate { identity, is_marked });
        }
        Ok(candidates)
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        settings::check_new(planned, ("pipelineId", "pipeline"))?;
        let settings = settings::sent(planned, context.address);
        let name = text_of(&settings, "name").to_owned();
        if let [one, ..] = named(context, &name).await?.as_slice() {
            let id = id_of(one, "pipeline_id").unwrap_or_default();
            let import_id = Some(object_id::join([context.workspace.url.as_str(), &id]));
            let message = format!("there is a pipeline `{name}` already: {id}");
            return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id }, message));
        }
        let request = Request::post("/api/2.0/pipelines", &[]).json(settings);
        let purpose = Purpose::to(format!("create the pipeline `{name}`")).at(Path::attribute("settings"));
        let purpose = purpose.needs("grant `<principal of the instance>` the entitlement `allow-cluster-create`");
        let created = context.send(&request, &purpose).await?;
        let id = id_of(&created, "pipeline_id").ok_or_else(|| {
            ProviderError::new(
                ErrorKind::Ambiguous,
                format!("the pipeline `{name}` was created, but the answer has no id"),
            )
        })?;
        Ok((attributes([("pipelineId", id.into())]), settings::private_data(planned)))
    }

    async fn update(
        &self,
        context: &Context<'_>,
        prior: &Recorded,
        present: &Observation,
        planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        let id = text(&present.attributes, "pipelineId");
        let pipeline = get(context, &id).await?.unwrap_or_default();
        let body = settings::written(&spec_of(&pipeline), prior, planned, context.address);
        let request = Request::put("/api/2.0/pipelines/{id}", &[&id]).json(body).idempotent();
        let purpose = Purpose::to(format!("change the pipeline {id}")).at(Path::attribute("settings"));
        context.send(&request, &purpose.needs(format!("grant CAN_MANAGE on the pipeline {id}, or IS_OWNER"))).await?;
        Ok(settings::private_data(planned))
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        _: &PrivateData,
        removes_data: bool,
    ) -> Result<(), ProviderError> {
        let id = text(prior, "pipelineId");
        let request = Request::delete("/api/2.0/pipelines/{id}", &[&id]).query("cascade", removes_data);
        let purpose = Purpose::to(format!("delete the pipeline {id}"));
        context.remove(request, &purpose.needs(format!("grant CAN_MANAGE on the pipeline {id}, or IS_OWNER"))).await
    }

    /// The API does not report the amount of data in a pipeline's tables.
    async fn count(&self, _: &Context<'_>, _: &Attributes) -> Result<DataAmount, ProviderError> {
        Ok(DataAmount::Unknown)
    }
}
