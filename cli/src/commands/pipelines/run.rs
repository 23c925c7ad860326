//! `terrace pipelines run`: runs pipelines in order of dependencies and prints their results, in dpp's words.

use super::databases::{Pipelines, RunDatabase};
use super::project::instance_and_runner;
use super::queued::{exit, use_database};
use super::screen::Screen;
use super::setting_place::check_access;
use super::syncing::{Outcome, Syncing};
use super::transcript::{Line, Slot, Transcript};
use super::{queued, syncing};
use crate::args::PipelineArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::input::specs::problem_to_diagnostic;
use crate::signals::Signals;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use terrace_engine::plan::Note;
use terrace_engine::source::Sources;
use terrace_pipelines::run::batch::{self, BatchEnd, Options, PipelineOutcome};
use terrace_pipelines::run::{Overrides, Runner};
use terrace_pipelines::spec::{self, Problem, Severity, Specs, params, selection};

/// Runs pipelines.
///
/// # Errors
/// When nothing can run: there are no specs, an id is unknown, or a spec is invalid.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &PipelineArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let ui = context.ui;
    let (instance, mut runner) = instance_and_runner(context)?;
    let screen = Screen::new(ui, context.global.verbose > 0, arguments.format.is_json());
    let specs = expanded(&runner, &arguments.pipelines, &screen, signals).await?;
    let broken: Vec<String> = specs.broken().into_iter().map(str::to_owned).collect();
    let (chosen, is_all) = choose(&specs, &arguments.pipelines, &broken)?;
    // Errors of other pipelines do not concern this run.
    let is_about =
        |id: &str| chosen.iter().any(|position| specs.pipelines.get(*position).is_some_and(|it| it.id == id));
    let is_asked = |id: &str| is_all || is_about(id) || means(&arguments.pipelines, id);
    let mut is_wrong = false;
    let mut sources = Sources::default();
    let ids: Vec<_> =
        specs.files.iter().map(|file| sources.add(file.path.display().to_string(), file.text.as_str())).collect();
    let mut others = BTreeSet::new();
    for problem in &specs.problems {
        let is_shown = match &problem.pipeline {
            Some(id) => is_asked(id) || broken.contains(id) && chosen_needs(&specs, &chosen, id),
            None => is_all || chosen.is_empty(),
        };
        if !is_shown {
            others.extend(specs.files.get(problem.file).filter(|_| problem.is_error()).map(|file| &file.path));
            continue;
        }
        is_wrong |= problem.is_error();
        ui.remember(Note::of(&problem_to_diagnostic(problem, &ids), &sources));
        let severity = if problem.is_error() { "error" } else { "warning" };
        let line = format!("{severity}: {}", problem.in_one_line(&specs));
        if problem.is_error() { ui.print_message(&line) } else { ui.print_note(&line) }
    }
    for path in others {
        let path = path.display();
        ui.print_note(&format!(
            "warning: `{path}` has other errors; `terrace pipelines run all` and `terrace validate .` report them"
        ));
    }
    let runnable: Vec<usize> = chosen
        .into_iter()
        .filter(|position| specs.pipelines.get(*position).is_some_and(|pipeline| !broken.contains(&pipeline.id)))
        .collect();
    if runnable.is_empty() && is_wrong {
        return Err(Failure::reported(Exit::Error));
    }
    if runnable.is_empty() && specs.pipelines.is_empty() {
        return Err(Failure::new("there are no pipelines here")
            .hint(format!("{}; or change the folder with `--chdir DIR`", specs.no_pipelines_hint())));
    }
    let params = params_of(arguments)?;
    for pipeline in runnable.iter().filter_map(|position| specs.pipelines.get(*position)) {
        params::check(pipeline, &params).map_err(|wrong| Failure::new(wrong.to_string()).hint(wrong.hint()))?;
    }
    let options = Options {
        only_dirty: arguments.dirty,
        is_forced: arguments.force,
        uses_cache: !arguments.no_use_cache,
        max_parallel: arguments.concurrency.map_or(runner.max_parallel, usize::from),
        timeout: arguments.timeout,
        lock_timeout: context.global.lock_timeout(),
        retries: arguments.retries,
        mark: arguments.mark.clone(),
        overrides: Overrides { params, ..Overrides::default() },
        ..Options::default()
    };
    let target = queued::target(context, &instance, &runner, arguments).await?;
    let is_public = target.as_ref().is_some_and(queued::Target::is_public);
    let syncing = Syncing::of((&instance, &runner), arguments, &specs, &runnable, is_public)?;
    if let Some(target) = target {
        let work = queued::Work { runner, specs: &specs, chosen: &runnable, options, target, is_wrong, syncing };
        return queued::run(context, arguments, signals, work).await;
    }
    let runs_elsewhere = |position: &usize| specs.pipelines.get(*position).is_some_and(|it| runner.runs_elsewhere(it));
    // Other pipelines, and those that are clean, need no cluster; results in JSON have a message for each pipeline.
    if !arguments.dirty && !arguments.format.is_json() && runnable.iter().all(runs_elsewhere) {
        check_access(context, &instance).await?;
    }
    signals.begin_runs();
    let folder = runner.folder_name(&specs.root);
    let pipelines = Pipelines {
        folder: &folder,
        need_queue: !arguments.no_queue,
        use_database: use_database(&runner, &specs, &runnable),
    };
    let database =
        RunDatabase::prepare(context, &instance, &arguments.database, pipelines, &mut runner, &signals.cancel).await?;
    let mut transcript = Transcript::default();
    if let Some((database, name)) = database.as_ref().and_then(|database| Some((database, database.pod()?))) {
        transcript.push(Line::AssignedDatabase(name.to_owned()));
        database.start_lines.iter().for_each(|line| transcript.push(Line::OfDatabase(line.clone())));
        transcript.print(ui, Slot::Database);
    }
    let (mut done, left) = marked(&runner, &specs, &runnable, &options).await?;
    if !left.is_empty() {
        let running = batch::run(&runner, &specs, &left, &options, &screen, &signals.cancel);
        let ran = match &database {
            Some(database) => database.during(running).await,
            None => running.await,
        };
        done.extend(ran.map_err(|error| Failure::new(format!("the pipelines to run are unknown: {error}")))?);
    }
    let outcome = Outcome { runner: &runner, specs: &specs, done: &done, screen: &screen };
    let is_json = arguments.format.is_json();
    let concluded =
        syncing::conclude(context, is_json, outcome, syncing.as_ref(), &mut transcript, &signals.cancel).await;
    if let Some(database) = &database {
        database.keep_alive_line().into_iter().for_each(|words| transcript.push(Line::Keeping(words)));
    }
    transcript.print(ui, Slot::Keeping);
    let runs = exit(&done, is_wrong, signals.cancel.is_cancelled());
    Ok(syncing::exit(runs, concluded?.as_ref()))
}

/// The values of `--param`.
///
/// # Errors
/// When a parameter has several values.
pub(super) fn params_of(arguments: &PipelineArguments) -> Result<BTreeMap<String, String>, Failure> {
    let mut params = BTreeMap::new();
    for (name, value) in &arguments.params {
        if params.insert(name.clone(), value.clone()).is_some_and(|other| other != *value) {
            return Err(Failure::new(format!("`--param {name}=…` has several values"))
                .hint("a run has one value of each parameter: start a run for each value"));
        }
    }
    Ok(params)
}

/// The results of pipelines that a killed caller ran with the mark, and the other pipelines.
async fn marked(
    runner: &Runner,
    specs: &Specs,
    chosen: &[usize],
    options: &Options,
) -> Result<(Vec<PipelineOutcome>, Vec<usize>), Failure> {
    let Some(mark) = options.mark.as_deref() else { return Ok((Vec::new(), chosen.to_vec())) };
    let folder = runner.folder_name(&specs.root);
    let (mut done, mut left) = (Vec::new(), Vec::new());
    for position in chosen {
        let Some(pipeline) = specs.pipelines.get(*position).map(|pipeline| pipeline.id.clone()) else { continue };
        let found = runner.find_marked(&folder, &pipeline, mark, options.lock_timeout).await;
        match found.map_err(|error| Failure::new(format!("the records of earlier runs cannot be read: {error}")))? {
            Some(record) => done.push(PipelineOutcome { pipeline, end: BatchEnd::Ran(Box::new(record)) }),
            None => left.push(*position),
        }
    }
    Ok((done, left))
}

/// True if the specs contain all requested pipelines, without those that plugins have not created yet.
fn is_known(specs: &Specs, words: &[String]) -> bool {
    let is_each = !words.is_empty() && words.iter().all(|word| word != "all" && !word.contains('%'));
    let Some(chosen) = selection::select(specs, words).ok().filter(|_| is_each) else { return false };
    let mut waiting: Vec<&str> =
        chosen.iter().filter_map(|position| specs.pipelines.get(*position)).map(|it| it.id.as_str()).collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        let Some(pipeline) = specs.pipeline(id) else { return false };
        if seen.insert(id) {
            waiting.extend(pipeline.pipelines_before());
        }
    }
    true
}

/// The specs of the working directory, with the pipelines that plugins create.
async fn expanded(runner: &Runner, words: &[String], screen: &Screen, signals: &Signals) -> Result<Specs, Failure> {
    let read = || {
        spec::read(Path::new("."))
            .map_err(|error| Failure::new(format!("the working directory cannot be searched for specs: {error}")))
    };
    let specs = read()?;
    if specs.sources.iter().all(|source| source.generated_count.is_some()) || is_known(&specs, words) {
        return Ok(specs);
    }
    let unexpanded = runner.expand(&specs, screen, &signals.cancel).await;
    screen.clear()?;
    if signals.cancel.is_cancelled() {
        return Err(Failure::reported(Exit::Interrupted));
    }
    let mut specs = read()?;
    specs.problems.extend(unexpanded.into_iter().map(|unexpanded| Problem {
        severity: Severity::Error,
        code: "source_spec",
        message: unexpanded.message,
        file: unexpanded.file,
        at: 0..0,
        pipeline: None,
        step: None,
        hint: unexpanded.hint,
    }));
    Ok(specs)
}

/// The requested pipelines, and true if these are all.
fn choose(specs: &Specs, words: &[String], broken: &[String]) -> Result<(Vec<usize>, bool), Failure> {
    let is_all = words.is_empty() || words.iter().any(|word| word == "all");
    let unmatched = match selection::select(specs, words) {
        Ok(chosen) => return Ok((chosen, is_all)),
        Err(unmatched) => unmatched,
    };
    // Pipelines with unreadable specs are reported with their errors.
    let is_broken = |word: &str| broken.iter().any(|id| selection::selects(word, id));
    let unknown: Vec<_> = unmatched.iter().filter(|word| !is_broken(&word.text)).collect();
    let Some(first) = unknown.first() else {
        let known: Vec<String> = words
            .iter()
            .flat_map(|word| word.split(','))
            .filter(|word| !unmatched.iter().any(|other| other.text == word.trim()))
            .map(str::to_owned)
            .collect();
        let chosen = if known.is_empty() { Vec::new() } else { selection::select(specs, &known).unwrap_or_default() };
        return Ok((chosen, is_all));
    };
    let failure = Failure::new(format!("there is no pipeline `{}`", first.text)).hint(first.hint.clone());
    Err(match specs.has_unreadable_file() {
        // The pipeline may be in a file that cannot be read.
        true => specs
            .problems
            .iter()
            .filter(|problem| problem.is_error() && problem.pipeline.is_none())
            .fold(failure, |failure, problem| failure.hint(problem.in_one_line(specs).to_string())),
        false => failure,
    })
}

fn means(words: &[String], id: &str) -> bool {
    words.iter().flat_map(|word| word.split(',')).any(|word| selection::selects(word.trim(), id))
}

/// True if a chosen pipeline depends on a broken one.
fn chosen_needs(specs: &Specs, chosen: &[usize], id: &str) -> bool {
    let mut waiting: Vec<&str> =
        chosen.iter().filter_map(|position| specs.pipelines.get(*position)).map(|it| it.id.as_str()).collect();
    let mut seen = BTreeSet::new();
    while let Some(next) = waiting.pop() {
        if next == id {
            return true;
        }
        if seen.insert(next) {
            waiting.extend(specs.pipeline(next).into_iter().flat_map(|pipeline| pipeline.pipelines_before()));
        }
    }
    false
}
