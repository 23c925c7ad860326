//! `terrace pipelines chart`: writes the values of the chart `deploy/helm/pipeline` for a pipeline of the working directory. Calls no
//! cluster.

mod yaml;

use super::project::{instance_and_runner, required_database_image};
use crate::args::ChartArguments;
use crate::commands::plan::write_private;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use terrace_engine::text::shell_word;
use terrace_pipelines::executor::kubernetes::chart::{ChartPipeline, schedule};
use terrace_pipelines::run::Runner;
use terrace_pipelines::run::timed::NotTimed;
use terrace_pipelines::site::kubernetes::chart::values as site_values;
use terrace_pipelines::site::kubernetes::{SiteFiles, SiteSpec};
use terrace_pipelines::site::{Plan, SiteStore};
use terrace_pipelines::spec::{self, Pipeline, Specs, selection};
use terrace_provider_pipelines::settings::{database_image, site_store};

/// Bytes of files above which Helm cannot store a release: its Secret has them twice, in the values and in the objects.
const MOST_OF_HELM: usize = 350 << 10;

/// Name of a site in errors: the chart names its objects.
const SITE: &str = "site";

/// Writes the values.
///
/// # Errors
/// When the pipeline is unknown or invalid, or a cluster cannot start it.
pub(super) async fn run(context: &Context<'_>, arguments: &ChartArguments) -> Result<Exit, Failure> {
    let (instance, runner) = instance_and_runner(context)?;
    if arguments.database {
        required_database_image(&instance)?;
    }
    let image = database_image(&instance).map(str::to_owned);
    let times = match &arguments.schedule {
        Some(cron) => {
            let zone = arguments.time_zone.as_deref().unwrap_or("UTC");
            let checked = schedule(cron, zone).map_err(|(message, hint)| hinted(message, hint));
            Some(checked?)
        }
        None => None,
    };
    if let Some(path) = arguments.out.as_deref().filter(|path| is_packed(path)) {
        let message =
            format!("`{}` is in the folder of the pipelines, whose files are a part of the values", path.display());
        return Err(
            Failure::new(message).hint("write it to another folder, or to a hidden one: `--out .charts/values.yaml`")
        );
    }
    let (word, has_database) = (arguments.pipeline.clone(), arguments.database);
    let (sites, folder) = (site_store(&instance), arguments.site.clone());
    let built = tokio::task::spawn_blocking(move || {
        let built = build(&runner, &word, has_database)?;
        let site = folder.map(|folder| site_of(&runner, &sites, &built.chart, &folder)).transpose()?;
        Ok::<_, Failure>((built, site))
    });
    let (Built { chart, own_times }, site) =
        built.await.map_err(|error| Failure::new(format!("the values: {error}")))??;
    let mut values = chart.values().map_err(|error| Failure::new(format!("a path of the job is not text: {error}")))?;
    let secret = secret_name(&chart.job.elsewhere.pipeline);
    if !chart.variables.is_empty()
        && let Some(worker) = values.get_mut("worker").and_then(Json::as_object_mut)
    {
        worker.insert("secret".to_owned(), secret.as_str().into());
    }
    if let Some(values) = values.as_object_mut() {
        values.extend(times.clone().map(|times| ("schedule".to_owned(), times)));
        let database = json!({"enabled": true, "image": image});
        values.extend(arguments.database.then(|| ("database".to_owned(), database)));
        values.extend(site.clone().map(|site| ("site".to_owned(), site)));
    }
    let text = format!(
        "# Values of the chart deploy/helm/pipeline for {}, by `terrace pipelines chart`. Write your own into another file.\n{}",
        chart.job.elsewhere.pipeline,
        yaml::text(&values)
    );
    match &arguments.out {
        None => context.ui.print_raw(&text)?,
        Some(path) => write_private(path, &text)
            .map_err(|error| Failure::new(format!("`{}` cannot be written: {error}", path.display())))?,
    }
    print_notes(context, &chart, &secret, own_times.filter(|_| times.is_none()).as_deref());
    let archive = site.as_ref().and_then(|site| site.pointer("/overlay/archive")?.as_str()).map_or(0, str::len);
    // The encoding has four characters for three bytes.
    warn_of_size(context, &chart, chart.files.len() + archive / 4 * 3);
    Ok(Exit::Done)
}

/// True for a file that pods would get.
fn is_packed(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(folder), Ok(root)) = (folder.canonicalize(), Path::new(".").canonicalize()) else { return false };
    let within = folder.strip_prefix(root).map(|within| within.join(path.file_name().unwrap_or_default()));
    within.is_ok_and(|within| within.iter().all(|part| !part.as_encoded_bytes().starts_with(b".")))
}

/// A pipeline for a chart.
struct Built {
    chart: ChartPipeline,
    /// Crontab of its spec.
    own_times: Option<String>,
}

fn build(runner: &Runner, word: &str, has_database: bool) -> Result<Built, Failure> {
    let specs = spec::read(Path::new("."))
        .map_err(|error| Failure::new(format!("the working directory cannot be searched for specs: {error}")))?;
    let pipeline = find(&specs, word)?;
    let chart = runner.chart_pipeline(&specs, pipeline, has_database).map_err(failure)?;
    let own_times = pipeline.schedule.as_ref().map(|schedule| schedule.crontab.clone());
    Ok(Built { chart, own_times })
}

/// The values of a site that shows a folder of the claim, with the static files of the project.
fn site_of(runner: &Runner, sites: &SiteStore, chart: &ChartPipeline, folder: &str) -> Result<Json, Failure> {
    let Some((_, on_claim)) = chart.options.claim() else {
        return Err(Failure::new("a site of a chart shows a folder of a claim, and the pipeline has no claim")
            .hint("set `claim: results/FOLDER` in the provider `pipelines` or in the spec"));
    };
    let plan = Plan { content_dir: folder.to_owned(), ..Plan::named(SITE) };
    let (tree, within) = sites.overlay(&plan).map_err(|error| {
        let message =
            error.to_string().replace("`contentDir`", "`--site`").replace("`overlayDir`", "the static folder");
        Failure::new(message)
    })?;
    let public: Vec<PathBuf> = tree.files.iter().map(|file| file.path.clone()).collect();
    runner.check_public_files(&public).map_err(failure)?;
    let files = SiteFiles { tree, claim_folder: Some(Path::new(on_claim).join(within)) };
    Ok(site_values(&SiteSpec { plan, ..SiteSpec::default() }, &files)?)
}

/// The errors of the spec of a pipeline.
fn problems_of(specs: &Specs, id: &str) -> Vec<String> {
    let errors = specs.problems.iter().filter(|problem| problem.is_error());
    let own = errors.filter(|problem| problem.pipeline.as_deref().is_some_and(|other| selection::selects(id, other)));
    own.map(|problem| problem.in_one_line(specs).to_string()).collect()
}

/// The pipeline that a word names.
fn find<'a>(specs: &'a Specs, word: &str) -> Result<&'a Pipeline, Failure> {
    let unknown = || Failure::new(format!("no pipeline here has the id `{word}`"));
    let chosen = match selection::select(specs, &[word.to_owned()]) {
        Ok(chosen) => chosen,
        Err(unmatched) => {
            let hint = unmatched.into_iter().map(|unmatched| unmatched.hint);
            return Err(problems_of(specs, word).into_iter().chain(hint).fold(unknown(), Failure::hint));
        }
    };
    let &[position] = chosen.as_slice() else {
        return Err(Failure::new(format!("`{word}` names {} pipelines, and a chart has one", chosen.len()))
            .hint("name one pipeline: `terrace pipelines list` lists them"));
    };
    let pipeline = specs.pipelines.get(position).ok_or_else(unknown)?;
    if specs.broken().contains(&pipeline.id.as_str()) {
        let failure = Failure::new(format!("the spec of `{}` is invalid", pipeline.id));
        return Err(problems_of(specs, &pipeline.id).into_iter().fold(failure, Failure::hint));
    }
    Ok(pipeline)
}

fn failure(why: NotTimed) -> Failure {
    hinted(why.message, why.hint)
}

fn hinted(message: String, hint: Option<String>) -> Failure {
    hint.into_iter().fold(Failure::new(message), Failure::hint)
}

/// Name of the Secret with the variables of a pipeline.
fn secret_name(pipeline: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = pipeline.chars().map(plain).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    format!("{}-variables", words.join("-"))
}

/// Reports parts that the values lack.
fn print_notes(context: &Context<'_>, chart: &ChartPipeline, secret: &str, own_times: Option<&str>) {
    let pipeline = &chart.job.elsewhere.pipeline;
    if !chart.variables.is_empty() {
        let literals = chart.variables.iter().map(|name| format!(" --from-literal={name}=\"${name}\""));
        context.ui.print_note(&format!(
            "the steps read {}: create the Secret `{secret}` in the namespace of the release\nhint: `kubectl -n NAMESPACE create secret generic {secret}{}`",
            chart.variables.join(", "),
            literals.collect::<String>()
        ));
    }
    if let Some(times) = own_times {
        context.ui.print_note(&format!(
            "the values have no schedule, and the spec of `{pipeline}` has one\nhint: `terrace pipelines chart {} --schedule {}`",
            shell_word(pipeline),
            shell_word(times)
        ));
    }
}

/// Warns of files that Helm cannot store.
fn warn_of_size(context: &Context<'_>, chart: &ChartPipeline, bytes: usize) {
    if bytes > MOST_OF_HELM {
        context.ui.print_note(&format!(
            "warning: the files of `{}` have {} KiB, compressed: Helm may not be able to store the release, which has at most 1 MiB\n\
             hint: keep large data out of the folder, or install with a tool that renders charts",
            chart.job.elsewhere.pipeline,
            bytes / 1024
        ));
    }
}
