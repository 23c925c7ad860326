//! Pipelines: <https://docs.databricks.com/api/workspace/pipelines>. They hold data: deleting one takes its tables along unless it is
//! told not to.

use super::{Candidate, Object, Place, Seen, settings};
use crate::attributes::{attributes, id_of, text, text_of};
use crate::mark;
use crate::private::Kept;
use async_trait::async_trait;
use serde_json::{Value as Json, json};
use terrace_provider::http::{Next, Purpose, Request};
use terrace_provider::{
    Attributes, DataAmount, ErrorKind, Path, PlannedChange, ProposedChange, ProviderError, Recorded, Value, object_id,
};

pub(crate) struct Pipeline;

/// What no pipeline can change, and what would lose data if another one were made.
const FIXED: [&[&str]; 3] = [&["catalog"], &["schema", "target"], &["storage"]];

/// Pipelines of exactly that name: in the API's filter `_` and `%` stand for anything.
pub(crate) async fn named(place: &Place<'_>, name: &str) -> Result<Vec<Json>, ProviderError> {
    // Quotes end the filter, and no filter at all is no mistake: what comes back is looked at in any case.
    let filter = if name.contains('\'') { None } else { Some(format!("name LIKE '{name}'")) };
    let request = Request::get("/api/2.0/pipelines", &[]).query("max_results", 100);
    let request = filter.into_iter().fold(request, |request, filter| request.query("filter", filter));
    let next = |page: &Json| Next::token(page, "next_page_token", "page_token");
    let found = place.workspace.api.items(request, &place.within, "statuses", next).await;
    let purpose = Purpose::look(format!("look for the pipeline `{name}`"));
    let found = found.map_err(|failure| place.workspace.api.error(&failure, &purpose))?;
    Ok(found.into_iter().filter(|it| text_of(it, "name") == name).collect())
}

async fn get(place: &Place<'_>, id: &str) -> Result<Option<Json>, ProviderError> {
    let request = Request::get("/api/2.0/pipelines/{id}", &[id]);
    place.ask(&request, &format!("read the pipeline {id}")).await
}

/// What is given of a specification, without what only the server says.
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
            return refused(at.key(name), format!("`{given}` is no {name}: expected one of {known}"));
        }
    }
    let clusters = settings.get("clusters").and_then(Value::as_list).unwrap_or_default();
    for (index, cluster) in clusters.iter().enumerate() {
        let at = at.key("clusters").index(index);
        let is_said = |name: &str| cluster.get(name).is_some_and(|it| !it.is_null());
        if is_said("num_workers") && is_said("autoscale") {
            return refused(
                at.key("autoscale"),
                "`num_workers` and `autoscale` both say how many workers there are".to_owned(),
            );
        }
        let bound = |name: &str| cluster.get("autoscale")?.get(name)?.as_int();
        if let (Some(least), Some(most)) = (bound("min_workers"), bound("max_workers"))
            && least > most
        {
            let message = format!("at least {least} workers are more than the {most} that there are at most");
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
        let (there, wanted) = (settings::value_of(&prior.attributes), settings::value_of(&planned.planned));
        let (Some(there), Some(wanted)) = (there, wanted) else { return Ok(()) };
        // Under both names it is the schema of its tables.
        let of = |settings: &Value, names: &[&str]| {
            let mut said = names.iter().filter_map(|name| settings.get(name)).filter(|value| !value.is_null());
            said.next().cloned().unwrap_or_default()
        };
        for names in FIXED {
            let is_said =
                |name: &&&str| [&wanted, &there].iter().any(|it| it.get(name).is_some_and(|it| !it.is_null()));
            let Some(name) = names.iter().find(is_said) else { continue };
            let (there, wanted) = (of(&there, names), of(&wanted, names));
            // What somebody took out is put back; what is there is not moved.
            if !there.is_null() && !wanted.has_unknown() && !wanted.is_same_as(&there) {
                let at = Path::attribute("settings").key(name);
                return Err(ProviderError::invalid(Some(at), format!("the `{name}` of a pipeline cannot be changed: its tables are there"))
                    .solution("make another pipeline beside it, under another name, and remove this one once that has the data")
                    .solution("or give `--replace`, which deletes this one; its tables stay unless `--remove-data` is given as well"));
            }
        }
        Ok(())
    }

    async fn read(
        &self,
        place: &Place<'_>,
        named: &Attributes,
        like: &Attributes,
        kept: &Kept,
    ) -> Result<Option<Seen>, ProviderError> {
        let id = text(named, "pipelineId");
        let Some(pipeline) = get(place, &id).await? else { return Ok(None) };
        let mut seen = attributes([
            ("workspaceUrl", text(named, "workspaceUrl").into()),
            ("pipelineId", id.as_str().into()),
            ("settings", settings::shown(&spec_of(&pipeline), like, kept)),
            ("url", format!("{}/pipelines/{}", place.workspace.url, object_id::join([&id])).into()),
        ]);
        settings::say_how(&mut seen, like);
        let mark = pipeline.get("spec").and_then(mark::on);
        Ok(Some(Seen { attributes: seen, kept: kept.clone(), mark, ..Seen::default() }))
    }

    async fn search(&self, place: &Place<'_>, planned: &Attributes) -> Result<Vec<Candidate>, ProviderError> {
        let name = settings::name_of(planned);
        let mark = mark::of(place.address);
        let mut candidates = Vec::new();
        for row in named(place, &name).await? {
            let Some(id) = id_of(&row, "pipeline_id") else { continue };
            let Some(pipeline) = get(place, &id).await? else { continue };
            let is_marked = pipeline.get("spec").is_some_and(|it| mark::is_on(it, &mark));
            let identity =
                attributes([("workspaceUrl", text(planned, "workspaceUrl").into()), ("pipelineId", id.into())]);
            candidates.push(Candidate { identity, is_marked });
        }
        Ok(candidates)
    }

    async fn create(&self, place: &Place<'_>, planned: &Attributes) -> Result<(Attributes, Kept), ProviderError> {
        settings::check_new(planned, ("pipelineId", "pipeline"))?;
        let settings = settings::sent(planned, place.address);
        let name = text_of(&settings, "name").to_owned();
        if let [one, ..] = named(place, &name).await?.as_slice() {
            let id = id_of(one, "pipeline_id").unwrap_or_default();
            let import_id = Some(object_id::join([place.workspace.url.as_str(), &id]));
            let message = format!("there is a pipeline `{name}` already: {id}");
            return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id }, message));
        }
        let request = Request::post("/api/2.0/pipelines", &[]).json(settings);
        let purpose = Purpose::to(format!("make the pipeline `{name}`")).at(Path::attribute("settings"));
        let purpose = purpose.needs("give `<who works in the instance>` the entitlement `allow-cluster-create`");
        let made = place.send(&request, &purpose).await?;
        let id = id_of(&made, "pipeline_id").ok_or_else(|| {
            ProviderError::new(
                ErrorKind::Ambiguous,
                format!("the pipeline `{name}` was made, and no answer says its id"),
            )
        })?;
        Ok((attributes([("pipelineId", id.into())]), settings::kept(planned)))
    }

    async fn update(
        &self,
        place: &Place<'_>,
        prior: &Recorded,
        present: &Seen,
        planned: &Attributes,
    ) -> Result<Kept, ProviderError> {
        let id = text(&present.attributes, "pipelineId");
        let pipeline = get(place, &id).await?.unwrap_or_default();
        let body = settings::written(&spec_of(&pipeline), prior, planned, place.address);
        let request = Request::put("/api/2.0/pipelines/{id}", &[&id]).json(body).idempotent();
        let purpose = Purpose::to(format!("change the pipeline {id}")).at(Path::attribute("settings"));
        place.send(&request, &purpose.needs(format!("give CAN_MANAGE on the pipeline {id}, or IS_OWNER"))).await?;
        Ok(settings::kept(planned))
    }

    async fn delete(
        &self,
        place: &Place<'_>,
        prior: &Attributes,
        _: &Kept,
        removes_data: bool,
    ) -> Result<(), ProviderError> {
        let id = text(prior, "pipelineId");
        let request = Request::delete("/api/2.0/pipelines/{id}", &[&id]).query("cascade", removes_data);
        let purpose = Purpose::to(format!("delete the pipeline {id}"));
        place.remove(request, &purpose.needs(format!("give CAN_MANAGE on the pipeline {id}, or IS_OWNER"))).await
    }

    /// How much is in its tables is not told.
    async fn count(&self, _: &Place<'_>, _: &Attributes) -> Result<DataAmount, ProviderError> {
        Ok(DataAmount::Unknown)
    }
}
