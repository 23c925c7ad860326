//! Runs on a schedule: tests set the time, but the runs are real.

use crate::harness::Project;
use jiff::Timestamp;
use std::fs;
use terrace_pipelines::database::{Databases, ProjectDatabases};
use terrace_pipelines::run::State;
use terrace_pipelines::schedule::scheduler::Scheduler;
use terrace_pipelines::schedule::store::Progress;
use terrace_pipelines::schedule::{CatchUp, Overlap, Schedule};

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
        database: None,
        overrides: Default::default(),
        cron_job: None,
    }
}

/// Marks of all runs, oldest first.
fn runs(project: &Project) -> Vec<String> {
    let store = &project.runner.store;
    store.ids().unwrap().iter().map(|run| store.run(run).unwrap().unwrap().mark.unwrap_or_default()).collect()
}

fn databases(project: &Project) -> ProjectDatabases {
    Databases::new(project.runner.store.folder().join("databases"), None, None).into()
}

#[tokio::test]
async fn clock_change_causes_one_run() {
    let project = Project::new(NOISE);
    project.runner.schedules().put(&nightly()).unwrap();
    let mut scheduler = Scheduler::new(project.runner.clone(), databases(&project), false, None);
    for minute in 0..8 * 60 {
        let now = at("2026-03-28T20:00:00Z").checked_add(jiff::SignedDuration::from_mins(minute)).unwrap();
        scheduler.check(now).await.unwrap();
        scheduler.idle().await;
    }
    // Half past two does not exist that night: the next minute is three o'clock in Rome.
    assert_eq!(runs(&project), ["schedule/nightly/2026-03-29T01:00:00Z"]);
    let known = project.runner.known_schedules(None, at("2026-03-29T04:00:00Z")).unwrap().remove(0);
    assert_eq!(known.next, Some(at("2026-03-30T00:30:00Z")));
    let last = known.progress.unwrap().last.unwrap();
    assert_eq!((last.state.as_str(), last.due), ("succeeded", at("2026-03-29T01:00:00Z")));
    assert!(project.path("data/datapackage.json").exists());
}

#[tokio::test]
async fn decision_of_killed_server_is_executed_once() {
    let project = Project::new(NOISE);
    let schedules = project.runner.schedules();
    schedules.put(&nightly()).unwrap();
    let due = at("2026-03-30T00:30:00Z");
    // The server was killed after it recorded a start, and before the start.
    let decided =
        Progress { decided: due, pending: vec![due], last: None, crontab: None, recorded: Vec::new(), gone: None };
    schedules.record_decisions("nightly", &decided).unwrap();
    let check = || async {
        let mut scheduler = Scheduler::new(project.runner.clone(), databases(&project), false, None);
        assert!(scheduler.check(at("2026-03-30T00:40:00Z")).await.unwrap());
        scheduler.idle().await;
    };
    check().await;
    assert_eq!(runs(&project).len(), 1);
    // The server was killed after the run ended, and before it recorded that.
    schedules.record_decisions("nightly", &decided).unwrap();
    check().await;
    assert_eq!(runs(&project).len(), 1, "it must not run again");
    let progress = schedules.progress("nightly").unwrap().unwrap();
    assert_eq!((progress.pending.len(), progress.last.unwrap().state.as_str()), (0, "succeeded"));
    // The server was killed during the run: an interrupted run starts again.
    let mut interrupted = project.runner.store.last(".", "./noise").unwrap().unwrap();
    (interrupted.state, interrupted.finished_at) = (State::Running, None);
    project.runner.store.write(&interrupted).unwrap();
    schedules.record_decisions("nightly", &decided).unwrap();
    check().await;
    assert_eq!(runs(&project).len(), 2);
    assert_eq!(project.runner.store.run(&interrupted.run).unwrap().unwrap().state, State::Lost);
}

#[tokio::test]
async fn one_of_two_servers_starts_runs() {
    let project = Project::new(NOISE);
    project.runner.schedules().put(&nightly()).unwrap();
    let (mut first, mut second) = (
        Scheduler::new(project.runner.clone(), databases(&project), false, None),
        Scheduler::new(project.runner.clone(), databases(&project), false, None),
    );
    let now = at("2026-03-30T00:30:10Z");
    assert!(first.check(now).await.unwrap());
    assert!(!second.check(now).await.unwrap());
    first.idle().await;
    second.idle().await;
    assert_eq!(runs(&project).len(), 1);
    drop(first);
    assert!(second.check(at("2026-03-31T00:30:10Z")).await.unwrap());
    second.idle().await;
    assert_eq!(runs(&project).len(), 2);
}

#[tokio::test]
async fn long_run_is_kept_replaced_or_followed() {
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
        let mut scheduler = Scheduler::new(project.runner.clone(), databases(&project), false, None);
        scheduler.check(at("2026-03-30T00:30:01Z")).await.unwrap();
        let begun = |count: usize| fs::read(project.path("begun")).is_ok_and(|text| text.len() == count);
        while !begun(1) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        scheduler.check(at("2026-03-30T00:31:01Z")).await.unwrap();
        if overlap == Overlap::Replace {
            while !begun(2) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        project.write("go", "");
        scheduler.idle().await;
        let expected: Vec<String> =
            marks.iter().map(|minute| format!("schedule/nightly/2026-03-30T00:{minute}:00Z")).collect();
        assert_eq!(runs(&project), expected, "{overlap:?}");
        let store = &project.runner.store;
        let found: Vec<State> = store.ids().unwrap().iter().map(|run| store.run(run).unwrap().unwrap().state).collect();
        assert_eq!(found, states, "{overlap:?}");
    }
}

#[tokio::test]
async fn schedules_of_specs_apply_only_if_enabled() {
    let project = Project::new(NOISE);
    let mut without = Scheduler::new(project.runner.clone(), databases(&project), false, None);
    without.check(at("2026-03-30T04:59:00Z")).await.unwrap();
    without.check(at("2026-03-30T05:00:30Z")).await.unwrap();
    without.idle().await;
    assert_eq!(runs(&project), Vec::<String>::new());
    drop(without);
    let mut scheduler = Scheduler::new(project.runner.clone(), databases(&project), true, None);
    // Times before the first check are not caught up.
    scheduler.check(at("2026-03-30T04:59:00Z")).await.unwrap();
    scheduler.idle().await;
    assert_eq!(runs(&project), Vec::<String>::new());
    scheduler.check(at("2026-03-30T05:00:30Z")).await.unwrap();
    scheduler.idle().await;
    assert_eq!(runs(&project), ["schedule/spec:./noise/2026-03-30T05:00:00Z"]);
}

#[tokio::test]
async fn schedules_of_specs_catch_up_after_server_restart() {
    let project = Project::new(NOISE);
    // Each scheduler reads the specs again.
    let check = async |now: &str| {
        let mut scheduler = Scheduler::new(project.runner.clone(), databases(&project), true, None);
        scheduler.check(at(now)).await.unwrap();
        scheduler.idle().await;
    };
    check("2026-03-30T04:59:00Z").await;
    check("2026-03-30T05:00:00.5Z").await;
    let mut expected = vec!["schedule/spec:./noise/2026-03-30T05:00:00Z"];
    assert_eq!(runs(&project), expected);
    // Two days without a server: one run for all missed times.
    check("2026-04-01T04:00:00Z").await;
    expected.push("schedule/spec:./noise/2026-03-31T05:00:00Z");
    assert_eq!(runs(&project), expected);
    // With another crontab, nothing counts as missed.
    project.write("pipeline-spec.yaml", &NOISE.replace("0 5 * * *", "0 3 * * *"));
    check("2026-04-01T04:30:00Z").await;
    assert_eq!(runs(&project), expected);
    check("2026-04-02T03:00:10Z").await;
    expected.push("schedule/spec:./noise/2026-04-02T03:00:00Z");
    assert_eq!(runs(&project), expected);
}

#[tokio::test]
async fn run_cancelled_at_shutdown_starts_again() {
    let project = Project::new(&NOISE.replace("- run: noise\n", "- run: noise\n  - run: slow\n"));
    project.write("slow.py", SLOW);
    // A time that has been due for a day, independent of the present time.
    let since = Timestamp::now().checked_sub(jiff::SignedDuration::from_hours(25)).unwrap();
    let hour = Timestamp::now().checked_sub(jiff::SignedDuration::from_hours(12)).unwrap();
    let cron = format!("0 {} * * *", hour.to_zoned(jiff::tz::TimeZone::UTC).hour());
    let schedules = project.runner.schedules();
    schedules.put(&Schedule { cron, time_zone: "UTC".to_owned(), since, ..nightly() }).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let scheduling = tokio::spawn(
        Scheduler::new(project.runner.clone(), databases(&project), false, None)
            .run(stop.clone(), std::time::Duration::ZERO),
    );
    while !project.path("begun").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    stop.cancel();
    scheduling.await.unwrap();
    let progress = schedules.progress("nightly").unwrap().unwrap();
    assert_eq!((progress.pending.len(), progress.last), (1, None));
    project.write("go", "");
    let mut scheduler = Scheduler::new(project.runner.clone(), databases(&project), false, None);
    scheduler.check(Timestamp::now()).await.unwrap();
    scheduler.idle().await;
    let progress = schedules.progress("nightly").unwrap().unwrap();
    assert_eq!((progress.pending.len(), progress.last.unwrap().state.as_str()), (0, "succeeded"));
    assert_eq!(runs(&project).len(), 2);
}

#[tokio::test]
async fn pending_run_of_disabled_schedule_does_not_start() {
    let project = Project::new(NOISE);
    let schedules = project.runner.schedules();
    schedules.put(&Schedule { enabled: false, ..nightly() }).unwrap();
    let due = at("2026-03-30T00:30:00Z");
    schedules
        .record_decisions(
            "nightly",
            &Progress { decided: due, pending: vec![due], last: None, crontab: None, recorded: Vec::new(), gone: None },
        )
        .unwrap();
    let mut scheduler = Scheduler::new(project.runner.clone(), databases(&project), false, None);
    scheduler.check(at("2026-03-30T00:40:00Z")).await.unwrap();
    scheduler.idle().await;
    assert_eq!(runs(&project), Vec::<String>::new());
    assert_eq!(schedules.progress("nightly").unwrap().unwrap().pending, []);
}

#[tokio::test]
async fn run_that_is_impossible_is_skipped_with_reason() {
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
    let mut scheduler = Scheduler::new(project.runner.clone(), databases(&project), false, None);
    scheduler.check(at("2026-03-30T00:30:10Z")).await.unwrap();
    scheduler.idle().await;
    assert_eq!(runs(&project), Vec::<String>::new());
    let why = |name: &str| project.runner.schedules().progress(name).unwrap().unwrap().last.unwrap().why.unwrap();
    assert_eq!(why("./held"), "it depends on `./before`, which must succeed first");
    assert_eq!(why("./gone"), "the pipeline `./gone` does not exist in `.`");
    assert!(why("./wrong").contains("there is no processor `nothing`"));
}
