//! Runs that start by themselves: the time is told, the runs are real.

use crate::harness::Project;
use jiff::Timestamp;
use std::fs;
use terrace_provider_pipelines::database::Databases;
use terrace_provider_pipelines::run::State;
use terrace_provider_pipelines::schedule::keeper::Keeper;
use terrace_provider_pipelines::schedule::store::Progress;
use terrace_provider_pipelines::schedule::{CatchUp, Overlap, Schedule};

const NOISE: &str = "noise:\n  schedule: {crontab: '0 5 * * *'}\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data}\n";
const SLOW: &str = "import os, time\nfrom datapackage_pipelines.wrapper import ingest, spew\nparameters, package, resources = ingest()\nopen('begun', 'a').write('x')\nwhile not os.path.exists('go'):\n    time.sleep(0.02)\nspew(package, resources, {})\n";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn nightly() -> Schedule {
    Schedule {
        name: "nightly".to_owned(),
        folder: ".".to_owned(),
        pipeline: "./noise".to_owned(),
        cron: "30 2 * * *".to_owned(),
        time_zone: "Europe/Rome".to_owned(),
        enabled: true,
        overlap: Overlap::Forbid,
        catch_up: CatchUp::Last,
        jitter_seconds: 0,
        since: at("2026-03-28T20:00:00Z"),
        mark: String::new(),
    }
}

/// The reasons of all runs, the oldest first.
fn runs(project: &Project) -> Vec<String> {
    let store = &project.runner.store;
    store.ids().unwrap().iter().map(|run| store.run(run).unwrap().unwrap().mark.unwrap_or_default()).collect()
}

fn databases(project: &Project) -> Databases {
    Databases::new(project.runner.store.folder().join("databases"), None, None)
}

#[tokio::test]
async fn a_run_starts_once_across_the_change_of_the_clock() {
    let project = Project::new(NOISE);
    project.runner.schedules().put(&nightly()).unwrap();
    let mut keeper = Keeper::new(project.runner.clone(), databases(&project), false);
    for minute in 0..8 * 60 {
        let now = at("2026-03-28T20:00:00Z").checked_add(jiff::SignedDuration::from_mins(minute)).unwrap();
        keeper.look(now).await.unwrap();
        keeper.idle().await;
    }
    // Half past two does not exist that night: three o'clock in Rome is the next minute that does.
    assert_eq!(runs(&project), ["schedule/nightly/2026-03-29T01:00:00Z"]);
    let known = project.runner.known_schedules(None, at("2026-03-29T04:00:00Z")).unwrap().remove(0);
    assert_eq!(known.next, Some(at("2026-03-30T00:30:00Z")));
    let last = known.progress.unwrap().last.unwrap();
    assert_eq!((last.state.as_str(), last.due), ("succeeded", at("2026-03-29T01:00:00Z")));
    assert!(project.path("data/datapackage.json").exists());
}

#[tokio::test]
async fn what_a_killed_server_had_decided_is_done_once_by_the_next() {
    let project = Project::new(NOISE);
    let schedules = project.runner.schedules();
    schedules.put(&nightly()).unwrap();
    let due = at("2026-03-30T00:30:00Z");
    // Killed after it wrote down what is to start, and before it did.
    let decided = Progress { decided: due, pending: vec![due], last: None, crontab: None };
    schedules.decide("nightly", &decided).unwrap();
    let look = || async {
        let mut keeper = Keeper::new(project.runner.clone(), databases(&project), false);
        assert!(keeper.look(at("2026-03-30T00:40:00Z")).await.unwrap());
        keeper.idle().await;
    };
    look().await;
    assert_eq!(runs(&project).len(), 1);
    // Killed after the run ended, and before it wrote that down.
    schedules.decide("nightly", &decided).unwrap();
    look().await;
    assert_eq!(runs(&project).len(), 1, "it was run again");
    let progress = schedules.progress("nightly").unwrap().unwrap();
    assert_eq!((progress.pending.len(), progress.last.unwrap().state.as_str()), (0, "succeeded"));
    // Killed while it ran: what was cut off is run again.
    let mut cut = project.runner.store.last(".", "./noise").unwrap().unwrap();
    (cut.state, cut.finished_at) = (State::Running, None);
    project.runner.store.write(&cut).unwrap();
    schedules.decide("nightly", &decided).unwrap();
    look().await;
    assert_eq!(runs(&project).len(), 2);
    assert_eq!(project.runner.store.run(&cut.run).unwrap().unwrap().state, State::Lost);
}

#[tokio::test]
async fn of_two_servers_one_starts_runs_and_the_other_goes_on_when_it_is_gone() {
    let project = Project::new(NOISE);
    project.runner.schedules().put(&nightly()).unwrap();
    let (mut first, mut second) = (
        Keeper::new(project.runner.clone(), databases(&project), false),
        Keeper::new(project.runner.clone(), databases(&project), false),
    );
    let now = at("2026-03-30T00:30:10Z");
    assert!(first.look(now).await.unwrap());
    assert!(!second.look(now).await.unwrap());
    first.idle().await;
    second.idle().await;
    assert_eq!(runs(&project).len(), 1);
    drop(first);
    assert!(second.look(at("2026-03-31T00:30:10Z")).await.unwrap());
    second.idle().await;
    assert_eq!(runs(&project).len(), 2);
}

#[tokio::test]
async fn a_run_that_takes_longer_is_let_be_replaced_or_followed() {
    for (overlap, marks, states) in [
        (Overlap::Forbid, vec!["30"], vec![State::Succeeded]),
        (Overlap::Replace, vec!["30", "31"], vec![State::Cancelled, State::Succeeded]),
        (Overlap::Allow, vec!["30", "31"], vec![State::Succeeded, State::Succeeded]),
    ] {
        let project = Project::new(&NOISE.replace("- run: noise\n", "- run: noise\n  - run: slow\n"));
        project.write("slow.py", SLOW);
        project
            .runner
            .schedules()
            .put(&Schedule { overlap, cron: "* * * * *".to_owned(), since: at("2026-03-30T00:29:30Z"), ..nightly() })
            .unwrap();
        let mut keeper = Keeper::new(project.runner.clone(), databases(&project), false);
        keeper.look(at("2026-03-30T00:30:01Z")).await.unwrap();
        let begun = |count: usize| fs::read(project.path("begun")).is_ok_and(|text| text.len() == count);
        while !begun(1) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        keeper.look(at("2026-03-30T00:31:01Z")).await.unwrap();
        if overlap == Overlap::Replace {
            while !begun(2) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        project.write("go", "");
        keeper.idle().await;
        let expected: Vec<String> =
            marks.iter().map(|minute| format!("schedule/nightly/2026-03-30T00:{minute}:00Z")).collect();
        assert_eq!(runs(&project), expected, "{overlap:?}");
        let store = &project.runner.store;
        let found: Vec<State> = store.ids().unwrap().iter().map(|run| store.run(run).unwrap().unwrap().state).collect();
        assert_eq!(found, states, "{overlap:?}");
    }
}

#[tokio::test]
async fn what_specs_say_of_schedules_counts_where_somebody_wants_it() {
    let project = Project::new(NOISE);
    let mut without = Keeper::new(project.runner.clone(), databases(&project), false);
    without.look(at("2026-03-30T04:59:00Z")).await.unwrap();
    without.look(at("2026-03-30T05:00:30Z")).await.unwrap();
    without.idle().await;
    assert_eq!(runs(&project), Vec::<String>::new());
    drop(without);
    let mut keeper = Keeper::new(project.runner.clone(), databases(&project), true);
    // What was before somebody looked first is not made up for.
    keeper.look(at("2026-03-30T04:59:00Z")).await.unwrap();
    keeper.idle().await;
    assert_eq!(runs(&project), Vec::<String>::new());
    keeper.look(at("2026-03-30T05:00:30Z")).await.unwrap();
    keeper.idle().await;
    assert_eq!(runs(&project), ["schedule/spec:./noise/2026-03-30T05:00:00Z"]);
}

#[tokio::test]
async fn what_specs_say_of_schedules_is_not_lost_while_they_are_read_or_no_server_runs() {
    let project = Project::new(NOISE);
    // Each reads the specs anew.
    let look = async |now: &str| {
        let mut keeper = Keeper::new(project.runner.clone(), databases(&project), true);
        keeper.look(at(now)).await.unwrap();
        keeper.idle().await;
    };
    look("2026-03-30T04:59:00Z").await;
    look("2026-03-30T05:00:00.5Z").await;
    let mut expected = vec!["schedule/spec:./noise/2026-03-30T05:00:00Z"];
    assert_eq!(runs(&project), expected);
    // Two days without a server: one run for all that was missed.
    look("2026-04-01T04:00:00Z").await;
    expected.push("schedule/spec:./noise/2026-03-31T05:00:00Z");
    assert_eq!(runs(&project), expected);
    // Under another crontab nothing was missed.
    project.write("pipeline-spec.yaml", &NOISE.replace("0 5 * * *", "0 3 * * *"));
    look("2026-04-01T04:30:00Z").await;
    assert_eq!(runs(&project), expected);
    look("2026-04-02T03:00:10Z").await;
    expected.push("schedule/spec:./noise/2026-04-02T03:00:00Z");
    assert_eq!(runs(&project), expected);
}

#[tokio::test]
async fn a_run_that_is_stopped_as_the_server_ends_is_begun_anew_by_the_next() {
    let project = Project::new(&NOISE.replace("- run: noise\n", "- run: noise\n  - run: slow\n"));
    project.write("slow.py", SLOW);
    // One that is due since a day, at whatever time this is.
    let since = Timestamp::now().checked_sub(jiff::SignedDuration::from_hours(25)).unwrap();
    let hour = Timestamp::now().checked_sub(jiff::SignedDuration::from_hours(12)).unwrap();
    let cron = format!("0 {} * * *", hour.to_zoned(jiff::tz::TimeZone::UTC).hour());
    let schedules = project.runner.schedules();
    schedules.put(&Schedule { cron, time_zone: "UTC".to_owned(), since, ..nightly() }).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let keeping = tokio::spawn(
        Keeper::new(project.runner.clone(), databases(&project), false).keep(stop.clone(), std::time::Duration::ZERO),
    );
    while !project.path("begun").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    stop.cancel();
    keeping.await.unwrap();
    let progress = schedules.progress("nightly").unwrap().unwrap();
    assert_eq!((progress.pending.len(), progress.last), (1, None));
    project.write("go", "");
    let mut keeper = Keeper::new(project.runner.clone(), databases(&project), false);
    keeper.look(Timestamp::now()).await.unwrap();
    keeper.idle().await;
    let progress = schedules.progress("nightly").unwrap().unwrap();
    assert_eq!((progress.pending.len(), progress.last.unwrap().state.as_str()), (0, "succeeded"));
    assert_eq!(runs(&project).len(), 2);
}

#[tokio::test]
async fn what_was_left_of_a_schedule_that_is_turned_off_is_not_started() {
    let project = Project::new(NOISE);
    let schedules = project.runner.schedules();
    schedules.put(&Schedule { enabled: false, ..nightly() }).unwrap();
    let due = at("2026-03-30T00:30:00Z");
    schedules.decide("nightly", &Progress { decided: due, pending: vec![due], last: None, crontab: None }).unwrap();
    let mut keeper = Keeper::new(project.runner.clone(), databases(&project), false);
    keeper.look(at("2026-03-30T00:40:00Z")).await.unwrap();
    keeper.idle().await;
    assert_eq!(runs(&project), Vec::<String>::new());
    assert_eq!(schedules.progress("nightly").unwrap().unwrap().pending, []);
}

#[tokio::test]
async fn what_cannot_be_run_is_skipped_with_the_reason() {
    let project = Project::new(
        "held: {dependencies: [{pipeline: ./before}], pipeline: [{run: noise}]}\nbefore: {pipeline: [{run: noise}]}\nwrong: {pipeline: [{run: nothing}]}\n",
    );
    for pipeline in ["./held", "./wrong", "./gone"] {
        let schedule = Schedule { name: pipeline.to_owned(), pipeline: pipeline.to_owned(), ..nightly() };
        project.runner.schedules().put(&schedule).unwrap();
    }
    project
        .runner
        .schedules()
        .put(&Schedule { enabled: false, name: "off".to_owned(), pipeline: "./before".to_owned(), ..nightly() })
        .unwrap();
    let mut keeper = Keeper::new(project.runner.clone(), databases(&project), false);
    keeper.look(at("2026-03-30T00:30:10Z")).await.unwrap();
    keeper.idle().await;
    assert_eq!(runs(&project), Vec::<String>::new());
    let why = |name: &str| project.runner.schedules().progress(name).unwrap().unwrap().last.unwrap().why.unwrap();
    assert_eq!(why("./held"), "it depends on `./before`, which has to succeed first");
    assert_eq!(why("./gone"), "there is no pipeline `./gone` in `.`");
    assert!(why("./wrong").contains("there is no processor `nothing`"));
}
