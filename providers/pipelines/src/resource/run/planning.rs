//! Plans whether a pipeline must run, and why.

use super::super::attributes::{Name, blocking, io_error};
use super::super::folder::Folders;
use crate::cluster_settings::{invalid, options_in};
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions};
use terrace_pipelines::fingerprint::Fingerprint;
use terrace_pipelines::run::{Record, Runner};
use terrace_provider::names::listed;
use terrace_provider::plan::from_schema;
use terrace_provider::{Attributes, Path, PlannedChange, ProposedChange, ProviderError, ResourceType, Value};

/// Attributes for the inputs of a run.
const HASHES: [&str; 3] = ["specHash", "codeHash", "dataHash"];

/// Earlier runs of a pipeline.
struct Before {
    last: Option<Record>,
    good: Option<Record>,
    /// Reason why outputs of the good run are gone.
    lost: Option<String>,
    /// How the last run failed, or that it is in progress: it may have changed the database since the good run.
    last_failure: Option<String>,
}

/// Plans a run: compares the inputs with those of the last good run.
///
/// # Errors
/// When the pipeline does not exist, or cannot be run.
pub(super) async fn plan(
    runner: &Runner,
    folders: &Arc<Folders>,
    ty: &ResourceType,
    change: &ProposedChange<'_>,
) -> Result<PlannedChange, ProviderError> {
    let Some(name) = Name::of(change.config) else { return Ok(from_schema(ty, change)) };
    let (runner, folders, found) = (runner.clone(), folders.clone(), name.clone());
    let options = options_in(change.config);
    options.check().map_err(invalid)?;
    let (now, last, options, image) = blocking(move || {
        let folder = folders.get(&runner.project, &found)?;
        let mut pipeline = folder.pipeline(&found)?.clone();
        pipeline.execution = options.or(&pipeline.execution);
        let options = runner.runs_elsewhere(&pipeline).then(|| runner.execution_of(&pipeline));
        let image = options.as_ref().map_or(Ok(()), |options| runner.check_image(options));
        let now = runner.fingerprint(&folder.specs, &pipeline);
        let now = now.map_err(|error| io_error("the inputs of the pipeline cannot be read", &error))?;
        let (store, folder) = (&runner.store, runner.recorded_folder(&found.folder));
        let last = store.last_resolved(&folder, &found.name).and_then(|last| {
            let good = store.succeeded(&folder, &found.name)?;
            let lost = good.as_ref().map_or(Ok(None), |good| store.lost_output(good))?;
            let last_failure = store.last_failure(&folder, &found.name)?;
            Ok(Before { last, good, lost, last_failure })
        });
        Ok((now, last.map_err(|error| io_error("the record of a run cannot be read", &error))?, options, image))
    })
    .await?;
    let is_open = |option: ExecutionOption| change.config.get(option.name()).is_some_and(Value::has_unknown);
    if !is_open(ExecutionOption::Image) {
        image.map_err(|wrong| invalid((ExecutionOption::Image, wrong)))?;
    }
    let deletes = matches!(change.config.get("deleteOutputs"), Some(Value::Bool(true)));
    if let Some((claim, _)) = options.as_ref().filter(|_| deletes).and_then(ExecutionOptions::claim) {
        let message = format!("`deleteOutputs` is true, but terrace removes nothing from the claim `{claim}`");
        return Err(ProviderError::invalid(Some(Path::attribute("deleteOutputs")), message)
            .solution("remove `deleteOutputs`, or `claim`"));
    }
    let mut config = change.config.clone();
    let unknown = dependencies(change, &mut config, &now)?;
    for (attribute, hash) in HASHES.into_iter().zip([&now.spec, &now.code, &now.data]) {
        // A dependency that runs first may write files that this pipeline reads.
        let is_unknown = match attribute {
            "dataHash" => !unknown.is_empty(),
            "codeHash" => is_open(ExecutionOption::Image) || is_open(ExecutionOption::Executor),
            _ => false,
        };
        config.insert(attribute.to_owned(), if is_unknown { Value::Unknown } else { hash.as_str().into() });
    }
    let mut planned = from_schema(ty, &ProposedChange { config: &config, ..change.clone() });
    planned.planned.insert("id".to_owned(), name.id().into());
    let is_run = planned.planned.get("runId").is_none_or(Value::has_unknown);
    // No attribute covers secrets and the target of tables, so the record is compared too.
    let has_changed = last.good.as_ref().is_some_and(|good| !good.own_reasons_against(&now).is_empty());
    let is_changed = has_changed || last.last_failure.is_some() || differs(change, &config);
    let needs_run = change.prior.is_none() || change.must_replace || is_changed;
    if needs_run {
        planned.because = because(change, &now, &last, &unknown, &config);
        if !is_run {
            mark_unknown(ty, &config, &mut planned);
        }
    } else if is_run {
        // Only options for the next run changed: the last result stays.
        keep_last_result(ty, change, &mut planned);
    }
    plan_options(change, options.filter(|_| needs_run), needs_run, &mut planned);
    Ok(planned)
}

/// Plans the options of the execution that are not configured: the present ones for a run elsewhere, and else those of the
/// last run.
fn plan_options(
    change: &ProposedChange<'_>,
    options: Option<ExecutionOptions>,
    needs_run: bool,
    planned: &mut PlannedChange,
) {
    let prior = change.prior.filter(|_| !needs_run);
    for option in ExecutionOption::ALL {
        let name = option.name();
        if change.config.get(name).is_some_and(|value| !value.is_null()) {
            continue;
        }
        let present = options.as_ref().and_then(|options| options.get(option)).map(Value::from);
        match present.or_else(|| prior?.attributes.get(name).filter(|value| !value.is_null()).cloned()) {
            Some(value) => drop(planned.planned.insert(name.to_owned(), value)),
            None => drop(planned.planned.shift_remove(name)),
        }
    }
}

/// Fills in `dependencies` from the configuration, or else from the records; returns the ids with unknown results.
fn dependencies(
    change: &ProposedChange<'_>,
    config: &mut Attributes,
    now: &Fingerprint,
) -> Result<Vec<String>, ProviderError> {
    match config.get("dependencies") {
        Some(Value::Map(given)) => {
            let is_same =
                given.len() == now.dependencies.len() && given.keys().all(|id| now.dependencies.contains_key(id));
            if !is_same {
                let ids: Vec<&String> = now.dependencies.keys().collect();
                let message = format!("`dependencies` are those of the spec: {}", listed(&ids));
                return Err(ProviderError::invalid(Some(Path::attribute("dependencies")), message));
            }
            Ok(given.iter().filter(|(_, result)| result.has_unknown()).map(|(id, _)| id.clone()).collect())
        }
        Some(value) if value.has_unknown() => Ok(now.dependencies.keys().cloned().collect()),
        _ => {
            let before = change.prior.and_then(|prior| prior.attributes.get("dependencies"));
            // A dependency without a result may run before this pipeline, unless it had none last time either.
            let is_open =
                |id: &str, result: &str| result.is_empty() && before.is_none_or(|before| before.get(id).is_none());
            let value = |id: &str, result: &str| if is_open(id, result) { Value::Unknown } else { result.into() };
            let recorded = now.dependencies.iter().map(|(id, result)| (id.clone(), value(id, result))).collect();
            config.insert("dependencies".to_owned(), Value::Map(recorded));
            let open = now.dependencies.iter().filter(|(id, result)| is_open(id, result));
            Ok(open.map(|(id, _)| id.clone()).collect())
        }
    }
}

/// Returns true if an input of the result changed.
fn differs(change: &ProposedChange<'_>, config: &Attributes) -> bool {
    let Some(prior) = change.prior else { return true };
    let value = |attributes: &Attributes, name: &str| attributes.get(name).cloned().unwrap_or(Value::Null);
    let mut names = HASHES.into_iter().chain(["triggers", "dependencies"]);
    names.any(|name| !value(config, name).is_same_as(&value(&prior.attributes, name)))
}

/// Marks the results of the run as unknown, even though no configured attribute changed.
fn mark_unknown(ty: &ResourceType, config: &Attributes, planned: &mut PlannedChange) {
    let results = ty.attributes.0.iter().filter(|attribute| attribute.computed && !attribute.stable);
    for attribute in results.filter(|attribute| !config.contains_key(attribute.name)) {
        planned.planned.insert(attribute.name.to_owned(), Value::Unknown);
    }
}

/// Keeps all attributes of the last run.
fn keep_last_result(ty: &ResourceType, change: &ProposedChange<'_>, planned: &mut PlannedChange) {
    let Some(prior) = change.prior else { return };
    for attribute in ty.attributes.0.iter().filter(|attribute| attribute.computed) {
        if planned.planned.get(attribute.name).is_some_and(Value::has_unknown) {
            match prior.attributes.get(attribute.name).filter(|value| !value.is_null()) {
                Some(value) => planned.planned.insert(attribute.name.to_owned(), value.clone()),
                None => planned.planned.shift_remove(attribute.name),
            };
        }
    }
}

/// Reasons for a run, for people. Results of other pipelines are a reason only if there is nothing else.
fn because(
    change: &ProposedChange<'_>,
    now: &Fingerprint,
    before: &Before,
    unknown: &[String],
    config: &Attributes,
) -> Vec<String> {
    let mut reasons = match (&before.good, &before.last) {
        (Some(good), _) => {
            let last_failure = before.last_failure.iter().map(|how| format!("its {how}"));
            last_failure.chain(good.own_reasons_against(now)).chain(before.lost.clone()).collect()
        }
        (None, Some(last)) => vec![format!("it never succeeded: run {} {}", last.run, last.state.predicate())],
        (None, None) => vec!["it was never run".to_owned()],
    };
    let triggers = |attributes: &Attributes| attributes.get("triggers").cloned().unwrap_or(Value::Null);
    if change.prior.is_some_and(|prior| !triggers(&prior.attributes).is_same_as(&triggers(config))) {
        reasons.push("`triggers` changed".to_owned());
    }
    if reasons.is_empty() && !unknown.is_empty() {
        return vec![format!("{} may produce other data first", listed(unknown))];
    }
    if let (true, Some(good)) = (reasons.is_empty(), &before.good) {
        reasons = good.reasons_against(now);
    }
    if reasons.is_empty() {
        reasons.push("it is requested".to_owned());
    }
    reasons
}

/// Planned inputs: a run is refused if one of them differs when it starts.
pub(super) fn fixed(planned: &Attributes) -> BTreeMap<&'static str, String> {
    let hash = |name: &'static str| Some((name, planned.get(name)?.as_str()?.to_owned()));
    HASHES.into_iter().filter_map(hash).collect()
}
