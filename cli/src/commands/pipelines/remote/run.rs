//! `terrace pipelines run --server`: has the workers of a server run pipelines, and follows them.

use super::super::format::{document, print_rows};
use super::super::queued::print_queued;
use super::super::run::params_of;
use super::super::screen::Screen;
use super::client::Server;
use super::events::{Followed, follow};
use super::logs::log_line;
use super::result;
use crate::args::PipelineArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use crate::signals::Signals;
use futures_util::stream::{self, StreamExt};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use terrace_pipelines::run::RunObserver;
use terrace_pipelines::spec::selection;
use terrace_provider::http::Request;
use terrace_provider::names::{closest, listed};
use terrace_server::pipelines::{NewRun, Pipeline, PipelineDependency, Run};

/// Runs that are followed at once: a server limits the streams of a caller. Their results are printed in the order of the
/// queue.
const MOST_STREAMS: usize = 8;

/// Runs pipelines of a server.
///
/// # Errors
/// When nothing can run, the server refuses the runs, or it is not reached.
pub(in crate::commands::pipelines) async fn run(
    context: &Context<'_>,
    arguments: &PipelineArguments,
    signals: &Signals,
    server: &Server,
) -> Result<Exit, Failure> {
    check(arguments)?;
    let request = Request::get("/api/v1/pipelines", &[]);
    let pipelines: Vec<Pipeline> = server.pages(&request, usize::MAX).await?;
    let chosen = choose(&pipelines, &arguments.pipelines)?;
    let broken: Vec<&&Pipeline> = chosen.iter().filter(|pipeline| !pipeline.runnable).collect();
    for pipeline in &broken {
        for problem in &pipeline.problems {
            let line = format!("{}: {}", problem.severity, problem.text);
            context.ui.print_message(&harmless(&line).replace('\n', " "));
        }
    }
    let (is_wrong, runnable) = (!broken.is_empty(), in_order(&pipelines, &chosen));
    if runnable.is_empty() {
        return Err(match is_wrong {
            true => Failure::reported(Exit::Error),
            false => Failure::new("the server has no pipelines"),
        });
    }
    signals.begin_runs();
    let ids = queue(server, arguments, &pipelines, &runnable).await?;
    let is_json = arguments.format.is_json();
    if arguments.detach {
        let names: Vec<String> = runnable.iter().map(|pipeline| pipeline.pipeline_id.clone()).collect();
        return print_queued(context, &names, &ids, is_json, is_wrong);
    }
    let screen = Screen::new(context.ui, context.global.verbose > 0, is_json);
    // Each stream notices an outage.
    let reported = RefCell::new(String::new());
    let report = |text: &str| {
        if reported.replace(text.to_owned()) != text {
            screen.with_hidden_bars(|| context.ui.print_message(text));
        }
    };
    let follow_one = |(pipeline, id): (&&Pipeline, &String)| {
        let (screen, report, pipeline, id) = (&screen, &report, pipeline.pipeline_id.clone(), id.clone());
        async move {
            screen.started(&pipeline, &id);
            let report = |followed: Followed<'_>| match followed {
                Followed::Line(line) => screen.log_line(&pipeline, &log_line(line)),
                Followed::Rows(rows) => screen.progress(&pipeline, 0, 1, rows, 0),
                Followed::Outage(text) => report(text),
            };
            follow(server, &id, report).await
        }
    };
    let mut following = stream::iter(runnable.iter().zip(&ids).map(follow_one)).buffered(MOST_STREAMS);
    let (mut ended, mut is_cancelled): (Vec<Run>, bool) = (Vec::new(), false);
    let mut lost = None;
    loop {
        tokio::select! {
            next = following.next() => match next {
                Some(Ok(run)) => {
                    screen.finish(&run.pipeline_id, result::line(&run));
                    ended.push(run);
                }
                // The other runs are followed to their ends.
                Some(Err(failure)) => {
                    context.ui.fail(&failure);
                    lost.get_or_insert(failure.exit);
                }
                None => break,
            },
            () = signals.cancel.cancelled(), if !is_cancelled => {
                is_cancelled = true;
                let left = ids.iter().filter(|id| ended.iter().all(|run| run.run_id != **id));
                cancel_all(context, server, left).await;
            }
        }
    }
    drop(following);
    screen.clear()?;
    if is_json {
        let results: Vec<_> = ended.iter().map(result::to_json).collect();
        context.ui.print_json(&document(context.ui, &results))?;
    } else {
        print_rows(context.ui, &result::rows(&ended));
    }
    Ok(lost.unwrap_or_else(|| result::exit(&ended, is_wrong, is_cancelled)))
}

/// Refuses options that a server does not have.
fn check(arguments: &PipelineArguments) -> Result<(), Failure> {
    let given = [
        ("--database", arguments.database.database.is_some()),
        ("--new-database", arguments.database.new_database.is_some()),
        ("--sync", arguments.sync.is_some()),
        ("--concurrency", arguments.concurrency.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(Failure::new(format!("a server has no `{option}` for its runs"))
            .hint(format!("leave `{option}` out: the project of the server sets this; or run the pipelines here"))),
        None => Ok(()),
    }
}

/// The requested pipelines, in the order of the list.
fn choose<'p>(pipelines: &'p [Pipeline], words: &[String]) -> Result<Vec<&'p Pipeline>, Failure> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split(',')).map(str::trim).collect();
    for word in &words {
        if *word != "all" && !pipelines.iter().any(|pipeline| selection::selects(word, &pipeline.pipeline_id)) {
            let ids: Vec<&str> = pipelines.iter().map(|pipeline| pipeline.pipeline_id.as_str()).collect();
            let failure = Failure::new(format!("the server has no pipeline `{word}`"));
            return Err(match closest(word, ids.iter().copied()) {
                Some(id) => failure.hint(format!("did you mean `{id}`?")),
                None => failure.hint(format!("pipelines of the server: {}", listed(&ids))),
            });
        }
    }
    let is_chosen =
        |pipeline: &&Pipeline| words.is_empty() || words.iter().any(|it| selection::selects(it, &pipeline.pipeline_id));
    Ok(pipelines.iter().filter(is_chosen).collect())
}

/// The chosen pipelines that can run, each after its dependencies.
fn in_order<'p>(pipelines: &'p [Pipeline], chosen: &[&'p Pipeline]) -> Vec<&'p Pipeline> {
    let by_id = by_id(pipelines);
    let is_chosen: BTreeSet<&str> =
        chosen.iter().filter(|it| it.runnable).map(|pipeline| pipeline.pipeline_id.as_str()).collect();
    let (mut seen, mut sorted) = (BTreeSet::new(), Vec::new());
    for pipeline in chosen {
        // Each entry is entered once, and left after its dependencies.
        let mut waiting = vec![(*pipeline, false)];
        while let Some((pipeline, is_left)) = waiting.pop() {
            let id = pipeline.pipeline_id.as_str();
            if is_left {
                sorted.extend(is_chosen.contains(id).then_some(pipeline));
            } else if seen.insert(id) {
                waiting.push((pipeline, true));
                let before = pipelines_before(pipeline).rev().filter_map(|id| by_id.get(id));
                waiting.extend(before.map(|before| (*before, false)));
            }
        }
    }
    sorted
}

/// The ids of the pipelines that a pipeline depends on directly.
fn pipelines_before(pipeline: &Pipeline) -> impl DoubleEndedIterator<Item = &str> {
    pipeline.dependencies.iter().filter_map(|dependency| match dependency {
        PipelineDependency::Pipeline(id) => Some(id.as_str()),
        PipelineDependency::DataPackage(_) => None,
    })
}

/// The ids of the pipelines that a pipeline depends on, directly or not.
fn all_before<'p>(by_id: &BTreeMap<&'p str, &'p Pipeline>, pipeline: &'p Pipeline) -> BTreeSet<&'p str> {
    let (mut found, mut waiting) = (BTreeSet::new(), vec![pipeline]);
    while let Some(next) = waiting.pop() {
        for before in pipelines_before(next).filter_map(|id| by_id.get(id)) {
            if found.insert(before.pipeline_id.as_str()) {
                waiting.push(before);
            }
        }
    }
    found
}

fn by_id(pipelines: &[Pipeline]) -> BTreeMap<&str, &Pipeline> {
    pipelines.iter().map(|pipeline| (pipeline.pipeline_id.as_str(), pipeline)).collect()
}

/// Queues runs in this order; each waits for its dependencies among them. If the server refuses one, the earlier ones
/// are cancelled: all or none.
async fn queue(
    server: &Server,
    arguments: &PipelineArguments,
    pipelines: &[Pipeline],
    runnable: &[&Pipeline],
) -> Result<Vec<String>, Failure> {
    let by_id = by_id(pipelines);
    let mut ids: Vec<(&str, String)> = Vec::with_capacity(runnable.len());
    for pipeline in runnable {
        let before = all_before(&by_id, pipeline);
        let run = NewRun {
            pipeline_id: pipeline.pipeline_id.clone(),
            pool: arguments.pool.clone(),
            dirty: arguments.dirty,
            force: arguments.force,
            use_cache: arguments.no_use_cache.then_some(false),
            timeout_seconds: arguments.timeout.map(|timeout| timeout.as_secs().max(1)),
            retries: arguments.retries,
            params: params_of(arguments)?,
            image: None,
            cpu: None,
            memory: None,
            disk: None,
            after: ids.iter().filter(|(id, _)| before.contains(id)).map(|(_, run)| run.clone()).collect(),
        };
        match server.start(&run).await {
            Ok(id) => ids.push((&pipeline.pipeline_id, id)),
            Err(failure) => {
                return Err(cancel_queued(server, &ids, failure).await);
            }
        }
    }
    Ok(ids.into_iter().map(|(_, id)| id).collect())
}

/// Cancels the runs that were queued before the server refused one. Returns the refusal with hints about them.
async fn cancel_queued(server: &Server, queued: &[(&str, String)], mut refusal: Failure) -> Failure {
    let mut are_cancelled = !queued.is_empty();
    for (pipeline, run) in queued {
        if let Err(failure) = server.cancel(run).await {
            // A run that ended meanwhile needs no end.
            if server.run(run).await.is_ok_and(|run| run.finished_at.is_some()) {
                continue;
            }
            are_cancelled = false;
            let (why, url) = (failure.message.unwrap_or_default(), server.url());
            let command = format!("terrace pipelines cancel {run} --server {url}");
            refusal = refusal.hint(format!("the run of {pipeline} is still queued ({why}): `{command}`"));
        }
    }
    match are_cancelled {
        true => refusal.hint("the runs of this command that were queued before are cancelled"),
        false => refusal,
    }
}

async fn cancel_all<'i>(context: &Context<'_>, server: &Server, ids: impl Iterator<Item = &'i String>) {
    for id in ids {
        // A run that ended meanwhile needs no end.
        if let Err(failure) = server.cancel(id).await
            && failure.exit == Exit::Refused
        {
            context.ui.fail(&failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(id: &str, dependencies: &[&str]) -> Pipeline {
        Pipeline {
            pipeline_id: id.to_owned(),
            file: None,
            title: None,
            steps: Vec::new(),
            dependencies: dependencies.iter().map(|id| PipelineDependency::Pipeline((*id).to_owned())).collect(),
            schedule: None,
            params: BTreeMap::new(),
            runnable: true,
            valid: true,
            problems: Vec::new(),
        }
    }

    #[test]
    fn pipelines_are_queued_after_their_dependencies() {
        let all = [
            pipeline("./a", &["./c", "./unknown"]),
            pipeline("./b", &[]),
            pipeline("./c", &["./d"]),
            pipeline("./d", &["./b", "./a"]),
        ];
        let order = |words: &[&str]| -> Vec<&str> {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let chosen = choose(&all, &words).unwrap();
            in_order(&all, &chosen).iter().map(|pipeline| pipeline.pipeline_id.as_str()).collect()
        };
        // A circle has an order nevertheless: the server reports it.
        assert_eq!(order(&[]), ["./b", "./d", "./c", "./a"]);
        assert_eq!(order(&["a", "./b"]), ["./b", "./a"], "also through others");
        assert_eq!(all_before(&by_id(&all), &all[2]), ["./a", "./b", "./c", "./d"].into());
        let unknown = choose(&all, &["./e".to_owned()]).unwrap_err();
        assert_eq!(unknown.message.as_deref(), Some("the server has no pipeline `./e`"));
    }
}
