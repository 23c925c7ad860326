//! Tests of call starts, and of the slot that a step holds for its calls.

use super::*;
use futures_util::FutureExt;

/// The permit of a step until its lease is lost.
fn permit(lost: &CancellationToken) -> CallPermit {
    let lost = lost.clone();
    let lease_check = move || {
        let held = if lost.is_cancelled() { Err("the lease was lost".to_owned()) } else { Ok(()) };
        std::future::ready(held).boxed()
    };
    CallPermit { since: Moment::now(), lease_check: Arc::new(lease_check) }
}

fn planned() -> Planned {
    Planned { attributes: Attributes::default(), private: Private::default() }
}

#[tokio::test(start_paused = true)]
async fn suspended_call_begins_nothing_after_its_time() {
    let bench = Bench::with(Limits { concurrency: 1, ..Limits::default() }).await;
    let call = call(Duration::from_secs(60));
    let suspended = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The first call ends and the others' time is over before the tasks notice either.
        tokio::time::advance(Duration::from_secs(100)).await;
    };
    let (answers, ()) = tokio::join!(bench.create(&[("w_a", 3)], &call), suspended);
    let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().map(drop).map_err(|error| &error.kind)).collect();
    assert_eq!(kinds, [Ok(()), Err(&ErrorKind::NotBegun), Err(&ErrorKind::NotBegun)]);
    assert_eq!(bench.began(), [0]);
}

#[tokio::test(start_paused = true)]
async fn time_of_a_call_counts_from_the_intent() {
    let bench = Bench::with(Limits::default()).await;
    let permit = CallPermit { since: Moment::ago(Duration::from_secs(54)), ..permit(&CancellationToken::new()) };
    let answers = with_permit(permit, bench.create(&[("w_a", 1)], &call(Duration::from_secs(60)))).await;
    let error = answers[0].as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotBegun);
    assert!(error.message.contains("it could not begin early enough in its timeout of 60 s"), "{error}");
    assert!(bench.began().is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_once_the_lease_is_lost() {
    let bench = Bench::open(Limits { retries: 3, ..Limits::default() }, CALL_DURATION, true).await;
    let lost = CancellationToken::new();
    let permit = permit(&lost);
    let lose = async {
        tokio::time::sleep(CALL_DURATION / 2).await;
        lost.cancel();
    };
    let call = long_call();
    let (answers, ()) = tokio::join!(with_permit(permit.clone(), bench.create(&[("w_a", 1)], &call)), lose);
    // The call began once and may have had an effect.
    assert_eq!(answers[0].as_ref().unwrap_err().kind, ErrorKind::Transient);
    assert_eq!(bench.began(), [0]);
    let answers = with_permit(permit.clone(), bench.create(&[("w_a", 1)], &call)).await;
    let error = answers[0].as_ref().unwrap_err();
    assert_eq!((&error.kind, &*error.message), (&ErrorKind::NotBegun, "it did not begin: the lease was lost"));
    assert_eq!(bench.began().len(), 1);
    // Reading calls may still determine the outcome.
    with_permit(permit, bench.session.read(&ty("w_b"), &Recorded::default())).await.unwrap_err();
    assert_eq!(bench.began().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn step_reads_and_changes_in_its_own_slot() {
    let bench = Bench::with(Limits { concurrency: 1, ..Limits::default() }).await;
    let step = bench.session.admitted("w_a", 2, drop).await;
    let own = async {
        step.read(&ty("w_a"), &Recorded::default()).await.unwrap();
        // The timeout leaves no time to wait.
        step.create(&ty("w_a"), &call(Duration::from_secs(1)), &planned()).await.unwrap();
        drop(step);
    };
    let other = async {
        bench.session.admitted("w_b", 1, drop).await.delete(&ty("w_b"), &long_call(), &Recorded::default()).await
    };
    let ((), other) = tokio::join!(own, other);
    other.unwrap();
    let log = bench.log.lock().unwrap();
    let began: Vec<(u128, &str)> = log.began.iter().map(|(at, ty)| (*at, ty.as_str())).collect();
    assert_eq!(began, [(0, "w_a"), (10_000, "w_a"), (20_000, "w_b")]);
}

#[tokio::test(start_paused = true)]
async fn pause_before_a_retry_frees_the_slot_of_a_step() {
    let limits = Limits { concurrency: 1, retries: 1, first_pause: Duration::from_secs(60), ..Limits::default() };
    let bench = Bench::open(limits, CALL_DURATION, true).await;
    let one = async || {
        let step = bench.session.admitted("w_a", 1, drop).await;
        step.create(&ty("w_a"), &long_call(), &planned()).await.unwrap_err()
    };
    tokio::join!(one(), one());
    let began = bench.began();
    assert_eq!((began.len(), began[1]), (4, CALL_DURATION.as_millis()), "{began:?}");
}

#[tokio::test(start_paused = true)]
async fn slot_can_be_freed_and_taken_again() {
    let bench = Bench::with(Limits { concurrency: 1, ..Limits::default() }).await;
    let first = bench.session.admitted("w_a", 1, drop).await;
    first.release_slot();
    let second = bench.session.admitted("w_b", 1, drop).await;
    assert!(!first.take_slot() && second.take_slot());
    let waiting = async {
        first.wait_for_slot().await;
        assert!(first.take_slot() && !second.take_slot());
    };
    let leaving = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        second.release_slot();
    };
    tokio::join!(waiting, leaving);
}

#[tokio::test(start_paused = true)]
async fn wait_for_a_slot_is_not_reported_and_takes_no_token() {
    let bench = Bench::with(Limits { concurrency: 1, rate: rate(1.0, 2), ..Limits::default() }).await;
    let messages = Mutex::new(Vec::new());
    let one = async || {
        let step = bench.session.admitted("w_a", 1, |text| messages.lock().unwrap().push(text)).await;
        step.create(&ty("w_a"), &call(Duration::from_secs(1)), &planned()).await.unwrap();
    };
    tokio::join!(one(), one(), one());
    assert_eq!(bench.began(), [0, 10_000, 20_000]);
    assert!(messages.lock().unwrap().is_empty(), "{messages:?}");
}

#[tokio::test(start_paused = true)]
async fn late_answer_that_has_arrived_counts() {
    let suspended = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::time::advance(Duration::from_secs(100)).await;
    };
    // Like a socket, which is polled after the timers.
    let work = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        tokio::task::yield_now().await;
        "an answer"
    };
    let (answer, ()) = tokio::join!(within(Duration::from_secs(5), work), suspended);
    assert_eq!(answer.ok(), Some("an answer"));
}
