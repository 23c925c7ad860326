use super::*;
use crate::fingerprint::Fingerprint;
use crate::queue::limit::{CallerLimits, Exceeded, Limit};
use crate::run::batch::HoldReason;
use crate::run::{Record, State};
use jiff::Timestamp;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn queue() -> (TempDir, Queue) {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(&folder.path().join(".terrace/pipelines")).unwrap();
    (folder, queue)
}

fn request(pipeline: &str) -> QueueRequest {
    QueueRequest {
        pool: None,
        root: PathBuf::from("/project"),
        folder: ".".to_owned(),
        pipeline: pipeline.to_owned(),
        options: Options::default(),
        after: Vec::new(),
    }
}

fn etl(size: u32, ttl: Option<Duration>) -> PoolSpec<'static> {
    PoolSpec { name: "etl", size, ttl, settings: "{}", mark: None }
}

fn pool(queue: &Queue, size: u32, ttl: Option<Duration>) -> Vec<String> {
    queue.add_pool(&etl(size, ttl)).unwrap();
    (0..size)
        .map(|number| {
            let worker = format!("worker-{number}");
            assert!(queue.add_worker("etl", &worker).unwrap() && queue.mark_started(&worker).unwrap());
            worker
        })
        .collect()
}

fn assigned_run(queue: &Queue, worker: &str) -> Entry {
    match queue.assign(worker).unwrap() {
        Assignment::Run(entry, failed) if failed.is_empty() => *entry,
        other => panic!("{other:?}"),
    }
}

fn states(queue: &Queue, run: &str) -> Vec<String> {
    queue
        .read(|transaction| {
            let mut statement =
                transaction.prepare("SELECT state FROM transition WHERE run = ?1 ORDER BY number").unwrap();
            let states = statement.query_map([run], |row| row.get(0)).unwrap();
            Ok(states.collect::<Result<Vec<String>, _>>().unwrap())
        })
        .unwrap()
}

#[test]
fn run_has_one_worker_and_ends_once() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 2, None);
    let ids = queue.enqueue(&[request("./a")]).unwrap();
    let first = assigned_run(&queue, &workers[0]);
    assert_eq!(
        (first.id.as_str(), first.record.as_deref(), first.attempt),
        (ids[0].as_str(), Some(ids[0].as_str()), 1)
    );
    assert!(matches!(queue.assign(&workers[1]).unwrap(), Assignment::Nothing));
    let status = |worker: &str| queue.pods().unwrap().into_iter().find(|pod| pod.name == worker).unwrap().status;
    assert_eq!((status(&workers[0]), status(&workers[1])), (PodStatus::Assigned, PodStatus::Available));
    queue.end(&first, &Ending::Clean).unwrap();
    assert_eq!(status(&workers[0]), PodStatus::Available);
    // Later ends by this code or by SQL are refused.
    assert!(matches!(queue.end(&first, &Ending::impossible("x")), Err(QueueError::NotOwned { .. })));
    assert!(matches!(queue.requeue(&first), Err(QueueError::NotOwned { .. })));
    let past = queue.write(|transaction| {
        transaction.execute("UPDATE run SET state = 'queued', ending = NULL, is_good = NULL, ended_at = NULL", [])?;
        Ok(())
    });
    assert!(past.unwrap_err().to_string().contains("a run that ended is not changed"));
    assert_eq!(queue.entry(&ids[0]).unwrap().unwrap().ending, Some(Ending::Clean));
    assert_eq!(states(&queue, &ids[0]), ["queued", "assigned", "ended"]);
}

#[test]
fn returned_run_gets_new_record_on_next_attempt() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 2, None);
    let ids = queue.enqueue(&[request("./a")]).unwrap();
    let first = assigned_run(&queue, &workers[0]);
    queue.requeue(&first).unwrap();
    let second = assigned_run(&queue, &workers[1]);
    assert_eq!((second.id.as_str(), second.attempt), (ids[0].as_str(), 2));
    assert_ne!(second.record, first.record);
    // The first worker has lost the run.
    assert!(matches!(queue.end(&first, &Ending::Clean), Err(QueueError::NotOwned { .. })));
    queue.end(&second, &Ending::Clean).unwrap();
    for id in [&ids[0], first.record.as_ref().unwrap(), second.record.as_ref().unwrap()] {
        assert_eq!(queue.ids_starting_with(id).unwrap()[id], ids[0], "found by each id");
    }
}

#[test]
fn dependent_run_waits_and_gets_failed_dependencies() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 2, None);
    let ids =
        queue.enqueue(&[request("./a"), QueueRequest { after: vec![0], ..request("./b") }, request("./a")]).unwrap();
    let first = assigned_run(&queue, &workers[0]);
    assert_eq!(first.pipeline, "./a");
    // `./b` waits for `./a`, and only one run of `./a` is assigned at a time.
    assert!(matches!(queue.assign(&workers[1]).unwrap(), Assignment::Nothing));
    let awaited = |id: &String| queue.awaited(id).unwrap().map(|run| run.id);
    let first_id = Some(first.id.clone());
    assert_eq!([&ids[0], &ids[1], &ids[2]].map(awaited), [None, first_id.clone(), first_id]);
    queue.end(&first, &Ending::impossible("no")).unwrap();
    assert_eq!([&ids[1], &ids[2]].map(awaited), [None, None]);
    // It could not start, and is listed as the waiting ones.
    let of_pipeline: Vec<String> = queue.of_pipeline(".", "./a").unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(of_pipeline, [ids[0].clone(), ids[2].clone()]);
    assert_eq!(queue.without_a_run(9, |_| true).unwrap().len(), 3);
    match queue.assign(&workers[1]).unwrap() {
        Assignment::Run(entry, failed) => {
            assert_eq!((entry.id.as_str(), failed), (ids[1].as_str(), vec!["./a".to_owned()]))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(assigned_run(&queue, &workers[0]).id, ids[2]);
    let held = Ending::Held { by: "./a".to_owned(), why: HoldReason::Unsuccessful };
    assert!(!held.is_good());
    let of_b = queue.entry(&ids[1]).unwrap().unwrap();
    queue.end(&of_b, &held).unwrap();
    assert!(queue.without_a_run(9, |_| true).unwrap().iter().any(|run| run.id == ids[1]));
}

#[test]
fn run_cancelled_before_start_has_ended() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 1, None);
    let ids = queue.enqueue(&[request("./a"), request("./b")]).unwrap();
    assert_eq!(queue.cancel(&ids[0], Some("jane")).unwrap(), CancelOutcome::Ended);
    assert_eq!(queue.cancel(&ids[0], Some("jane")).unwrap(), CancelOutcome::AlreadyEnded);
    let second = assigned_run(&queue, &workers[0]);
    assert_eq!(second.id, ids[1], "a cancelled run is not assigned");
    assert_eq!(queue.cancelled_run_of(&workers[0]).unwrap(), None);
    assert_eq!(queue.cancel(&ids[1], Some("eve")).unwrap(), CancelOutcome::Requested);
    assert_eq!(queue.cancelled_run_of(&workers[0]).unwrap(), Some((ids[1].clone(), Some("eve".to_owned()))));
    // The first run is listed with the principal.
    let listed = || queue.without_a_run(9, |_| true).unwrap();
    let [unfinished, cancelled] = listed().try_into().unwrap();
    assert_eq!((unfinished.id.as_str(), cancelled.id.as_str()), (ids[1].as_str(), ids[0].as_str()));
    assert!(unfinished.ending.is_none());
    assert!(matches!(&cancelled.ending, Some(Ending::NotRun { by: Some(by), .. }) if by == "jane"));
    assert!(cancelled.ended_at.is_some_and(|ended| ended >= cancelled.queued_at));
    // A worker that has not started the steps ends the run, which names its principal.
    queue.end(&second, &Ending::not_run(NotRunReason::Cancelled, Vec::new())).unwrap();
    assert!(matches!(&listed()[0].ending, Some(Ending::NotRun { by: Some(by), .. }) if by == "eve"));
    assert_eq!(queue.without_a_run(1, |it| it.pipeline == "./a").unwrap()[0].id, ids[0]);
}

#[test]
fn run_cancelled_after_return_was_not_run() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 1, None);
    let ids = queue.enqueue(&[request("./a")]).unwrap();
    queue.requeue(&assigned_run(&queue, &workers[0])).unwrap();
    assert_eq!(queue.cancel(&ids[0], None).unwrap(), CancelOutcome::Ended);
    assert!(queue.entry(&ids[0]).unwrap().unwrap().was_not_run());
    assert_eq!(queue.without_a_run(9, |_| true).unwrap().len(), 1);
}

#[test]
fn expired_pool_takes_no_runs_and_ends_waiting_ones() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 1, Some(Duration::from_secs(3600)));
    let of_pool = || QueueRequest { pool: Some("etl".to_owned()), ..request("./a") };
    let ids = queue.enqueue(&[of_pool()]).unwrap();
    queue.change_pool(&etl(1, Some(Duration::ZERO))).unwrap();
    assert!(matches!(queue.enqueue(&[of_pool()]), Err(QueueError::Expired { .. })));
    assert!(matches!(queue.assign(&workers[0]).unwrap(), Assignment::NotNeeded));
    assert_eq!(queue.pods().unwrap()[0].status, PodStatus::Expired);
    assert_eq!(queue.end_unassignable().unwrap(), 1);
    let ending = queue.entry(&ids[0]).unwrap().unwrap().ending.unwrap();
    assert!(matches!(
        ending,
        Ending::NotRun { why: NotRunReason::Impossible, what, .. } if what[0].contains("`etl` expired")
    ));
    // The pool is recreated under the same name.
    queue.add_pool(&etl(1, None)).unwrap();
    assert!(queue.enqueue(&[of_pool()]).is_ok() && queue.add_worker("etl", "worker-9").unwrap());
}

#[test]
fn closed_pool_is_removed_with_its_last_worker() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 2, None);
    let ids =
        queue.enqueue(&[request("./a"), QueueRequest { pool: Some("etl".to_owned()), ..request("./b") }]).unwrap();
    let run = assigned_run(&queue, &workers[0]);
    queue.close_pool("etl").unwrap();
    assert!(matches!(
        queue.enqueue(&[request("./a"), QueueRequest { pool: Some("etl".to_owned()), ..request("./c") }]),
        Err(QueueError::NoPool { .. })
    ));
    assert!(matches!(queue.assign(&workers[1]).unwrap(), Assignment::NotNeeded));
    queue.remove_closed().unwrap();
    assert!(queue.pool("etl").unwrap().is_some(), "a run of it is in progress");
    queue.end(&run, &Ending::Clean).unwrap();
    assert!(matches!(queue.assign(&workers[0]).unwrap(), Assignment::NotNeeded));
    assert_eq!(queue.end_unassignable().unwrap(), 1);
    assert!(queue.entry(&ids[1]).unwrap().unwrap().ending.is_some());
    queue.remove_closed().unwrap();
    assert!(queue.pool("etl").unwrap().is_none());
}

#[test]
fn closing_pool_is_recreated_and_keeps_busy_worker() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 2, None);
    queue.enqueue(&[request("./a")]).unwrap();
    let run = assigned_run(&queue, &workers[0]);
    queue.close_pool("etl").unwrap();
    assert!(matches!(queue.assign(&workers[1]).unwrap(), Assignment::NotNeeded));
    queue.add_pool(&etl(2, None)).unwrap();
    queue.remove_closed().unwrap();
    assert!(queue.check_pool("etl").is_ok());
    queue.end(&run, &Ending::Clean).unwrap();
    assert!(matches!(queue.assign(&workers[0]).unwrap(), Assignment::Nothing));
    assert!(queue.add_worker("etl", "worker-9").unwrap(), "the worker that left is replaced");
}

#[test]
fn queue_and_its_files_are_private() {
    let (folder, queue) = queue();
    queue.add_pool(&etl(1, None)).unwrap();
    let records = folder.path().join(".terrace/pipelines");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&records), mode(&records.join(lock::FOLDER))), (0o700, 0o700));
    for entry in fs::read_dir(&records).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
    }
}

#[test]
fn shrunk_pool_loses_idle_workers() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 3, None);
    let ids = queue.enqueue(&[request("./a")]).unwrap();
    let run = assigned_run(&queue, &workers[0]);
    queue.change_pool(&etl(1, None)).unwrap();
    assert!(matches!(queue.assign(&workers[1]).unwrap(), Assignment::NotNeeded));
    assert!(matches!(queue.assign(&workers[2]).unwrap(), Assignment::NotNeeded));
    queue.end(&run, &Ending::Clean).unwrap();
    assert!(matches!(queue.assign(&workers[0]).unwrap(), Assignment::Nothing));
    assert!(!queue.add_worker("etl", "worker-9").unwrap(), "it has enough");
    assert_eq!(run.id, ids[0]);
}

#[test]
fn start_is_delayed_after_failed_starts() {
    let (_folder, queue) = queue();
    queue.add_pool(&etl(1, None)).unwrap();
    let mut started = 0;
    for number in 0..10 {
        let worker = format!("worker-{number}");
        if queue.add_worker("etl", &worker).unwrap() {
            started += 1;
            queue.remove_worker(&worker).unwrap();
        }
    }
    assert_eq!(started, 3);
    assert!(queue.pool("etl").unwrap().unwrap().is_failing());
    // A new attempt, which is still starting.
    queue.change_pool(&etl(4, None)).unwrap();
    for worker in ["worker-a", "worker-b", "worker-c"] {
        assert!(queue.add_worker("etl", worker).unwrap());
    }
    assert_eq!(queue.pool("etl").unwrap().unwrap().failed_starts, 0);
    queue.remove_worker("worker-a").unwrap();
    assert_eq!(queue.pool("etl").unwrap().unwrap().failed_starts, 1);
    queue.mark_started("worker-b").unwrap();
    assert_eq!(queue.pool("etl").unwrap().unwrap().failed_starts, 0);
}

#[test]
fn error_for_unknown_pool_suggests_name() {
    let (_folder, queue) = queue();
    let error = queue.check_pool("etl").unwrap_err();
    assert!(error.hint().unwrap().contains("`pipelines_worker_pool` of the name `etl`"));
    pool(&queue, 1, None);
    let error = queue.check_pool("et").unwrap_err();
    assert_eq!(error.to_string(), "there is no worker pool `et`");
    assert_eq!(error.hint().unwrap(), "did you mean `etl`?");
    assert!(matches!(queue.add_pool(&etl(1, None)), Err(QueueError::Exists { .. })));
}

#[test]
fn files_of_other_programs_stay_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    fs::write(&path, "this is not a database, but it is long enough to be read like one".repeat(20)).unwrap();
    let error = Queue::open(folder.path()).unwrap_err();
    assert!(matches!(error, QueueError::Damaged { .. }), "{error}");
    assert!(error.hint().unwrap().contains("-wal"));
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let error = Queue::open(folder.path()).unwrap_err();
    assert!(matches!(error, QueueError::Foreign { .. }), "{error}");
    Connection::open(&path).unwrap().execute_batch("DROP TABLE mine; PRAGMA user_version = 99").unwrap();
    assert!(matches!(Queue::open(folder.path()).unwrap_err(), QueueError::Newer { .. }));
}

#[test]
fn damaged_page_is_an_error() {
    let (_folder, queue) = queue();
    pool(&queue, 1, None);
    let place = queue.folder().to_owned();
    queue.enqueue(&(0..200).map(|number| request(&format!("./{number}"))).collect::<Vec<_>>()).unwrap();
    drop(queue);
    let path = place.join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle..].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let read = Queue::open(&place).and_then(|queue| queue.assign("worker-0").map(drop));
    assert!(matches!(read, Err(QueueError::Damaged { .. })), "{read:?}");
}

#[test]
fn replaced_file_is_detected() {
    let (_folder, queue) = queue();
    assert!(queue.is_current());
    let path = queue.folder().join(FILE);
    fs::rename(&path, queue.folder().join("away.db")).unwrap();
    assert!(!queue.is_current());
    Queue::open(queue.folder()).unwrap();
    assert!(!queue.is_current());
}

#[test]
fn lock_shows_whether_worker_is_alive() {
    let (_folder, queue) = queue();
    let lock::LockState::Free(held) = lock::check(queue.folder(), "worker-0").unwrap() else {
        panic!("the lock is held")
    };
    assert!(matches!(lock::check(queue.folder(), "worker-0").unwrap(), lock::LockState::Held));
    drop(held);
    assert!(matches!(lock::check(queue.folder(), "worker-0").unwrap(), lock::LockState::Free(_)));
}

#[test]
fn only_newest_ended_runs_are_kept() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 1, None);
    let ids = queue.enqueue(&[request("./a"), request("./b")]).unwrap();
    queue.end(&assigned_run(&queue, &workers[0]), &Ending::Clean).unwrap();
    queue
        .write(|transaction| {
            transaction.execute(
                "UPDATE run SET number = number + ?1 WHERE id = ?2",
                rusqlite::params![MAX_ENDED_RUNS, ids[1]],
            )?;
            Ok(())
        })
        .unwrap();
    queue.end(&assigned_run(&queue, &workers[0]), &Ending::Clean).unwrap();
    assert!(queue.entry(&ids[0]).unwrap().is_none());
    assert!(queue.entry(&ids[1]).unwrap().is_some());
}

fn requester(key: Option<&str>, call: &str) -> Requester {
    Requester {
        caller: Some("ci".to_owned()),
        limits: CallerLimits::default(),
        organisation: None,
        organisation_limits: CallerLimits::default(),
        key: key.map(str::to_owned),
        call: call.to_owned(),
        after: Vec::new(),
    }
}

#[test]
fn repeated_request_returns_the_run_of_the_first() {
    let (folder, queue) = queue();
    pool(&queue, 1, None);
    let ask = |key: Option<&str>, call: &str| queue.enqueue_for(&request("./a"), &requester(key, call));
    let first = ask(Some("mine"), "run a").unwrap();
    assert_eq!(ask(Some("mine"), "run a").unwrap(), first);
    assert!(matches!(ask(Some("mine"), "run b"), Err(QueueError::KeyTaken)));
    assert_ne!(ask(None, "run a").unwrap(), ask(None, "run a").unwrap(), "requests without a key are different ones");
    assert_eq!(queue.caller_of(&first).unwrap().as_deref(), Some("ci"));
    // Requests of several processes at once make one run.
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let other = Queue::open(&folder.path().join(".terrace/pipelines")).unwrap();
                scope.spawn(move || other.enqueue_for(&request("./a"), &requester(Some("same"), "x")).unwrap())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1);
    assert_eq!(queue.ids_before(None, 9).unwrap().len(), 4);
}

#[test]
fn ids_are_read_in_parts_newest_first() {
    let (_folder, queue) = queue();
    pool(&queue, 1, None);
    let ids: Vec<String> = (0..3).map(|_| queue.enqueue_for(&request("./a"), &requester(None, "x")).unwrap()).collect();
    assert_eq!(queue.ids_before(None, 2).unwrap(), [ids[2].clone(), ids[1].clone()]);
    assert_eq!(queue.ids_before(Some(&ids[1]), 2).unwrap(), [ids[0].clone()]);
    queue.enqueue(&[request("./b")]).unwrap();
    assert_eq!(queue.ids_of_before("./a", None, 2).unwrap(), [ids[2].clone(), ids[1].clone()]);
    assert_eq!(queue.ids_of_before("a", Some(&ids[1]), 2).unwrap(), [ids[0].clone()]);
}

#[test]
fn requested_run_waits_for_the_end_of_named_runs() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 2, None);
    let first = queue.enqueue_for(&request("./a"), &requester(None, "x")).unwrap();
    let after = vec![first.clone(), "01890000-0000-7000-8000-000000000000".to_owned()];
    let second = queue.enqueue_for(&request("./b"), &Requester { after, ..requester(None, "y") }).unwrap();
    let running = assigned_run(&queue, &workers[0]);
    assert_eq!(running.id, first);
    assert!(matches!(queue.assign(&workers[1]).unwrap(), Assignment::Nothing), "it waits");
    queue.end(&running, &Ending::Clean).unwrap();
    assert_eq!(assigned_run(&queue, &workers[1]).id, second);
}

#[test]
fn request_needs_an_open_pool() {
    let (_folder, queue) = queue();
    let ask = || queue.enqueue_for(&request("./a"), &requester(None, "x"));
    assert!(matches!(ask(), Err(QueueError::NoOpenPool)));
    pool(&queue, 1, None);
    ask().unwrap();
    queue.close_pool("etl").unwrap();
    assert!(matches!(ask(), Err(QueueError::NoOpenPool)));
}

#[test]
fn end_of_a_requested_run_is_reported_until_it_is_logged() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 1, None);
    let id = queue.enqueue_for(&request("./a"), &requester(None, "x")).unwrap();
    let ends = || -> Vec<String> {
        let ends = queue.unlogged_ends(9).unwrap();
        ends.into_iter().map(|end| format!("{} of {}", end.entry.id, end.caller.unwrap_or_default())).collect()
    };
    let first = assigned_run(&queue, &workers[0]);
    queue.requeue(&first).unwrap();
    let second = assigned_run(&queue, &workers[0]);
    assert!(ends().is_empty(), "it has not ended");
    queue.end(&second, &Ending::Clean).unwrap();
    // Old runs are removed, but not before they are logged, nor on the day of their end.
    queue
        .write(|transaction| {
            transaction.execute("UPDATE sqlite_sequence SET seq = seq + 9000 WHERE name = 'run'", [])?;
            Ok(())
        })
        .unwrap();
    let end_another = || {
        queue.enqueue(&[request("./b")]).unwrap();
        queue.end(&assigned_run(&queue, &workers[0]), &Ending::Clean).unwrap();
    };
    end_another();
    assert_eq!(ends(), [format!("{id} of ci")]);
    let records = [first.record.unwrap(), second.record.unwrap()];
    assert_eq!(queue.records_of(&id).unwrap(), records);
    assert_eq!(records.each_ref().map(|record| queue.is_later_record(record).unwrap()), [false, true]);
    queue.mark_logged(&id).unwrap();
    assert!(ends().is_empty() && queue.entry(&id).unwrap().is_some());
    end_another();
    assert!(queue.entry(&id).unwrap().is_some(), "it counts for limits of today");
    let yesterday = queue.write(|transaction| {
        transaction.execute_batch("DROP TRIGGER run_ended; UPDATE run SET ended_at = ended_at - 90000000;")?;
        Ok(())
    });
    yesterday.unwrap();
    end_another();
    assert!(queue.entry(&id).unwrap().is_none(), "it is old now");
}

fn record(entry: &Entry, rows: u64, bytes: u64) -> Record {
    Record {
        state: State::Succeeded,
        finished_at: Some(Timestamp::now()),
        rows,
        stats: [("bytes".to_owned(), bytes.into())].into_iter().collect(),
        has_begun: true,
        ..Record::new(&entry.id, (&entry.folder, &entry.pipeline), Vec::new(), Fingerprint::default())
    }
}

fn refused(outcome: Result<String, QueueError>) -> Exceeded {
    match outcome {
        Err(QueueError::OverLimit(exceeded)) => *exceeded,
        other => panic!("{other:?}"),
    }
}

fn limited(caller: &str, limits: CallerLimits) -> Requester {
    Requester { caller: Some(caller.to_owned()), limits, ..requester(None, "x") }
}

#[test]
fn last_place_is_taken_once() {
    let (folder, queue) = queue();
    let workers = pool(&queue, 1, None);
    let by = limited("ci", CallerLimits { concurrent_runs: Some(3), ..CallerLimits::default() });
    let outcomes: Vec<Result<String, QueueError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let other = Queue::open(&folder.path().join(".terrace/pipelines")).unwrap();
                let by = by.clone();
                scope.spawn(move || other.enqueue_for(&request("./a"), &by))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    let exceeded = outcomes.into_iter().find(Result::is_err).map(refused).unwrap();
    assert_eq!((exceeded.limit, exceeded.allowed, exceeded.used), (Limit::ConcurrentRuns, 3, 3));
    // Another caller has its own limit, and an end makes room.
    queue.enqueue_for(&request("./a"), &Requester { caller: Some("ada".to_owned()), ..by.clone() }).unwrap();
    queue.end(&assigned_run(&queue, &workers[0]), &Ending::Clean).unwrap();
    queue.enqueue_for(&request("./a"), &by).unwrap();
}

#[test]
fn result_counts_for_the_caller_that_wrote_it_last() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 1, None);
    let none = CallerLimits::default();
    let ask = |caller: &str, limits| queue.enqueue_for(&request("./c"), &limited(caller, limits));
    for (caller, bytes) in [("ada", 3000), ("joe", 5000)] {
        queue.enqueue_for(&request("./a"), &limited(caller, none)).unwrap();
        let entry = assigned_run(&queue, &workers[0]);
        queue.end(&entry, &Ending::Ran(Box::new(record(&entry, 0, bytes)))).unwrap();
    }
    let limits = CallerLimits { stored_bytes: Some(3000), ..none };
    ask("ada", limits).unwrap();
    assert_eq!(refused(ask("joe", limits)).used, 5000);
}

#[test]
fn taken_result_keeps_its_record_and_counts_for_no_limit() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 1, None);
    let none = CallerLimits::default();
    let id = queue.enqueue_for(&request("./a"), &limited("ada", none)).unwrap();
    let entry = assigned_run(&queue, &workers[0]);
    let taken = "01900000-0000-7000-8000-000000000001".to_owned();
    let job = Some("terrace-nightly-1".to_owned());
    let record = Record { run: taken.clone(), scheduled_job: job, ..record(&entry, 600, 5000) };
    queue.end(&entry, &Ending::Ran(Box::new(record))).unwrap();
    let entry = queue.entry(&id).unwrap().unwrap();
    assert_eq!((entry.taken_run(), entry.record.as_ref()), (Some(taken.as_str()), Some(&taken)));
    assert_eq!(queue.records_of(&id).unwrap(), [id, taken.clone()]);
    assert!(queue.is_later_record(&taken).unwrap(), "a list has it once");
    assert!(queue.ids_starting_with(&taken).unwrap().is_empty(), "its id means the run of the schedule");
    let limits = CallerLimits { rows: Some(1), stored_bytes: Some(1), ..none };
    queue.enqueue_for(&request("./b"), &limited("ada", limits)).unwrap();
}

#[test]
fn request_is_refused_without_workers() {
    let (_folder, queue) = queue();
    pool(&queue, 0, None);
    let by = limited("ada", CallerLimits::default());
    let ask =
        |pool: Option<&str>| queue.enqueue_for(&QueueRequest { pool: pool.map(str::to_owned), ..request("./a") }, &by);
    for pool in [None, Some("etl")] {
        assert!(matches!(ask(pool), Err(QueueError::NoWorkers)));
    }
}

#[test]
fn repeated_request_is_not_refused_by_a_limit() {
    let (_folder, queue) = queue();
    pool(&queue, 1, None);
    let limits = CallerLimits { concurrent_runs: Some(1), ..CallerLimits::default() };
    let by = Requester { limits, ..requester(Some("mine"), "x") };
    let first = queue.enqueue_for(&request("./a"), &by).unwrap();
    assert_eq!(queue.enqueue_for(&request("./a"), &by).unwrap(), first);
    refused(queue.enqueue_for(&request("./a"), &Requester { key: None, ..by }));
}

#[test]
fn limit_of_an_organisation_counts_all_its_callers() {
    let (_folder, queue) = queue();
    pool(&queue, 1, None);
    let of = |caller: &str| Requester {
        organisation: Some("acme".to_owned()),
        organisation_limits: CallerLimits { concurrent_runs: Some(2), ..CallerLimits::default() },
        ..limited(caller, CallerLimits::default())
    };
    queue.enqueue_for(&request("./a"), &of("ada")).unwrap();
    queue.enqueue_for(&request("./a"), &of("bob")).unwrap();
    let exceeded = refused(queue.enqueue_for(&request("./a"), &of("eve")));
    assert_eq!((exceeded.organisation.as_deref(), exceeded.used), (Some("acme"), 2));
    queue.enqueue_for(&request("./a"), &limited("joe", CallerLimits::default())).unwrap();
}

#[test]
fn rows_bytes_and_time_of_ended_runs_count() {
    let (_folder, queue) = queue();
    let workers = pool(&queue, 1, None);
    let none = CallerLimits::default();
    let run = |rows: u64, bytes: u64| {
        queue.enqueue_for(&request("./a"), &limited("ci", none)).unwrap();
        let entry = assigned_run(&queue, &workers[0]);
        queue.end(&entry, &Ending::Ran(Box::new(record(&entry, rows, bytes)))).unwrap();
    };
    run(600, 5000);
    run(500, 4000);
    // Steps may report anything.
    for odd in [json!("many"), json!(u64::MAX), json!(1e300), json!({"a": 1})] {
        queue.enqueue_for(&request("./b"), &limited("other", none)).unwrap();
        let entry = assigned_run(&queue, &workers[0]);
        let mut record = record(&entry, u64::MAX >> 1, 0);
        record.stats.insert("bytes".to_owned(), odd);
        queue.end(&entry, &Ending::Ran(Box::new(record))).unwrap();
    }
    let exceeded =
        refused(queue.enqueue_for(&request("./b"), &limited("other", CallerLimits { rows: Some(1), ..none })));
    assert!(exceeded.used > 1 << 62, "{exceeded:?}");
    let ask = |limits| queue.enqueue_for(&request("./a"), &limited("ci", limits));
    let exceeded = refused(ask(CallerLimits { rows: Some(1100), ..none }));
    assert_eq!((exceeded.limit, exceeded.used), (Limit::RowsPerDay, 1100));
    assert!(exceeded.resets_at.is_some_and(|at| at > Timestamp::now()));
    // Only the last result of a pipeline is stored, and a run replaces that of its pipeline.
    let limits = CallerLimits { stored_bytes: Some(4000), ..none };
    let exceeded = refused(queue.enqueue_for(&request("./c"), &limited("ci", limits)));
    assert_eq!((exceeded.limit, exceeded.used, exceeded.resets_at), (Limit::StoredBytes, 4000, None));
    ask(limits).unwrap();
    queue.cancel(&queue.ids_before(None, 1).unwrap()[0], None).unwrap();
    let hour_ago = queue.write(|transaction| {
        let shift = "DROP TRIGGER run_ended; UPDATE run SET assigned_at = ended_at - 3000;";
        transaction.execute_batch(shift)?;
        Ok(())
    });
    hour_ago.unwrap();
    let exceeded = refused(ask(CallerLimits { run_seconds: Some(6), ..none }));
    assert!(exceeded.limit == Limit::RunSecondsPerDay && (6..12).contains(&exceeded.used), "{exceeded:?}");
    ask(CallerLimits { rows: Some(1101), stored_bytes: Some(4001), run_seconds: Some(60), ..none }).unwrap();
    // Uses of the day before do not count.
    let yesterday = queue.write(|transaction| {
        let shift = "UPDATE run SET assigned_at = assigned_at - 90000000, ended_at = ended_at - 90000000
                     WHERE state = 'ended'";
        transaction.execute(shift, [])?;
        Ok(())
    });
    yesterday.unwrap();
    ask(CallerLimits { rows: Some(1), run_seconds: Some(1), ..none }).unwrap();
}

#[test]
fn extensions_of_databases_count_by_day() {
    let (_folder, queue) = queue();
    let by = limited("ci", CallerLimits { database_hours: Some(3), ..CallerLimits::default() });
    queue.note_extension(&by, "orders", 2 * 3600).unwrap();
    let exceeded = refused(queue.note_extension(&by, "orders", 3601).map(|()| String::new()));
    assert_eq!((exceeded.limit, exceeded.allowed, exceeded.used), (Limit::DatabaseHoursPerDay, 3, 2));
    queue.note_extension(&by, "other", 3600).unwrap();
    queue.note_extension(&limited("ada", by.limits), "orders", 3600).unwrap();
}

#[test]
fn lifetimes_of_an_operation_count_once_and_together() {
    let (_folder, queue) = queue();
    let by = limited("ci", CallerLimits { database_hours: Some(3), ..CallerLimits::default() });
    let life = |database: &str, seconds| Lifetime { database: database.to_owned(), seconds };
    let lives = [life("a", Some(3600)), life("b", Some(3600))];
    queue.note_lifetimes(&by, "one", &lives).unwrap();
    queue.note_lifetimes(&by, "one", &lives).unwrap();
    // All of them or none.
    let both = [life("c", Some(1800)), life("d", Some(1801))];
    let exceeded = refused(queue.note_lifetimes(&by, "two", &both).map(|()| String::new()));
    assert_eq!((exceeded.used, exceeded.minutes_left), (3, Some(30)));
    let endless = refused(queue.note_lifetimes(&by, "three", &[life("e", None)]).map(|()| String::new()));
    assert_eq!((endless.limit, endless.resets_at), (Limit::DatabaseHoursPerDay, None), "a later call changes nothing");
    queue.note_extension(&by, "a", 3600).unwrap();
    queue.note_lifetimes(&limited("ada", CallerLimits::default()), "four", &[life("e", None)]).unwrap();
}
