//! Tests of limits with a paused clock, which advances when all tasks wait.

use super::*;
use crate::call::NoProgress;
use crate::{Attribute, AttributeType, Object, Private, ProviderSchema};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use tokio_util::sync::CancellationToken;

mod begin;

/// Duration of every call.
const CALL_DURATION: Duration = Duration::from_secs(10);

/// Calls that reach the provider.
#[derive(Default)]
struct CallLog {
    running: BTreeMap<String, usize>,
    max_running: BTreeMap<String, usize>,
    /// Start of each call in milliseconds, with its type.
    began: Vec<(u128, String)>,
}

struct LoggedProvider {
    schema: ProviderSchema,
    opened: Instant,
    log: Arc<Mutex<CallLog>>,
    duration: Duration,
    fails: bool,
}

#[derive(Clone)]
struct LoggedSession {
    opened: Instant,
    log: Arc<Mutex<CallLog>>,
    duration: Duration,
    fails: bool,
}

impl LoggedSession {
    async fn work(&self, ty: &str) -> Result<(), ProviderError> {
        {
            let mut log = self.log.lock().unwrap();
            log.began.push((self.opened.elapsed().as_millis(), ty.to_owned()));
            for name in [ty, "all"] {
                let running = log.running.entry(name.to_owned()).or_default();
                *running += 1;
                let running = *running;
                let max_running = log.max_running.entry(name.to_owned()).or_default();
                *max_running = running.max(*max_running);
            }
        }
        tokio::time::sleep(self.duration).await;
        let mut log = self.log.lock().unwrap();
        for name in [ty, "all"] {
            *log.running.get_mut(name).unwrap() -= 1;
        }
        // The first attempt created it without knowing.
        let attempts = log.began.iter().filter(|(_, began)| began == ty).count();
        if ty == "w_made" && attempts > 1 {
            return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id: None }, "it exists"));
        }
        if self.fails || ty == "w_made" { Err(ProviderError::new(ErrorKind::Transient, "busy")) } else { Ok(()) }
    }
}

#[async_trait]
impl Provider for LoggedProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, _: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        let Self { opened, log, duration, fails, .. } = self;
        Ok(Arc::new(LoggedSession { opened: *opened, log: Arc::clone(log), duration: *duration, fails: *fails }))
    }
}

#[async_trait]
impl Session for LoggedSession {
    async fn read(&self, ty: &ResourceType, _: &Recorded) -> Result<Option<Observed>, ProviderError> {
        self.work(ty.name).await.map(|()| None)
    }

    async fn create(&self, ty: &ResourceType, _: &Call, _: &Planned) -> Result<Observed, ProviderError> {
        self.work(ty.name).await.map(|()| Observed::default())
    }

    async fn update(&self, ty: &ResourceType, _: &Call, _: &Recorded, _: &Planned) -> Result<Observed, ProviderError> {
        self.work(ty.name).await.map(|()| Observed::default())
    }

    async fn delete(&self, ty: &ResourceType, _: &Call, _: &Recorded) -> Result<(), ProviderError> {
        self.work(ty.name).await
    }

    async fn find(&self, ty: &ResourceType, _: &Attempt) -> Result<Found, ProviderError> {
        self.work(ty.name).await.map(|()| Found::Absent)
    }

    async fn import(&self, ty: &ResourceType, _: &str) -> Result<Option<Observed>, ProviderError> {
        self.work(ty.name).await.map(|()| None)
    }

    async fn grantees(&self, _: &ResourceType, _: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        let named = |names: &[(&str, &str)]| {
            let names = names.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
            Observed { identity: names.collect(), ..Observed::default() }
        };
        let grants = [named(&[("name", "a"), ("who", "ada")]), named(&[("name", "b"), ("who", "eve")])];
        let grantee = |grant| Grantee { principal: "somebody".to_owned(), privilege: "READ".to_owned(), grant };
        Ok(grants.into_iter().map(grantee).collect())
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        self.work("rights").await.map(|()| Some(Vec::new()))
    }

    fn probe<'a>(&'a self, _: &'a ProviderSchema) -> Option<Probe<'a>> {
        Some(Box::pin(self.work("probe")))
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, _: &'a Attributes) -> Option<DryRun<'a>> {
        (ty.name == "w_b").then_some(())?;
        Some(Box::pin(async move { self.work(ty.name).await.map(|()| Vec::new()).unwrap_or_default() }))
    }
}

fn ty(name: &'static str) -> ResourceType {
    let attributes = Object(vec![Attribute::new("name", AttributeType::String, "A name.")]);
    ResourceType::new(name, "A thing.", &["name"], attributes)
}

struct Bench {
    session: Arc<Guarded>,
    log: Arc<Mutex<CallLog>>,
}

impl Bench {
    async fn open(limits: Limits, duration: Duration, fails: bool) -> Self {
        let log = Arc::new(Mutex::new(CallLog::default()));
        let schema = ProviderSchema {
            name: "w",
            resources: vec![ty("w_a"), ty("w_b"), ty("w_made")],
            ..ProviderSchema::default()
        };
        let provider = LoggedProvider { schema, opened: Instant::now(), log: Arc::clone(&log), duration, fails };
        let settings = Settings {
            instance: "w".to_owned(),
            environment: "local".to_owned(),
            project_folder: "/".into(),
            sandbox: Default::default(),
            sources: Default::default(),
            values: Attributes::default(),
        };
        Self { session: guarded(&provider, &settings, limits).await.unwrap(), log }
    }

    async fn with(limits: Limits) -> Self {
        Self::open(limits, CALL_DURATION, false).await
    }

    /// Creates this number of objects of each type, all at once.
    async fn create(&self, types: &[(&'static str, usize)], call: &Call) -> Vec<Result<Observed, ProviderError>> {
        let names = types.iter().flat_map(|(name, count)| std::iter::repeat_n(*name, *count));
        let one = |name: &'static str| async move {
            let planned = Planned { attributes: Attributes::default(), private: Private::default() };
            self.session.create(&ty(name), call, &planned).await
        };
        futures_util::future::join_all(names.map(one)).await
    }

    fn max_running(&self, name: &str) -> usize {
        self.log.lock().unwrap().max_running.get(name).copied().unwrap_or_default()
    }

    fn began(&self) -> Vec<u128> {
        self.log.lock().unwrap().began.iter().map(|(at, _)| *at).collect()
    }
}

fn call(timeout: Duration) -> Call {
    Call {
        address: "demo@local:w_a.a".to_owned(),
        operation: "o".to_owned(),
        step: "1".to_owned(),
        timeout,
        removes_data: false,
        cancel: CancellationToken::new(),
        progress: Arc::new(NoProgress),
    }
}

fn long_call() -> Call {
    call(Duration::from_secs(100_000))
}

fn rate(calls: f64, burst: u32) -> Option<Rate> {
    Rate::per_second(calls, NonZeroU32::new(burst))
}

fn of_type(name: &str, limits: TypeLimits) -> BTreeMap<String, TypeLimits> {
    BTreeMap::from([(name.to_owned(), limits)])
}

#[test]
fn default_burst_is_the_rate_of_a_second() {
    let parts = |rate: Rate| (rate.period().as_millis(), rate.burst().get());
    assert_eq!(Rate::per_second(10.0, None).map(parts), Some((100, 10)));
    assert_eq!(Rate::per_second(0.5, None).map(parts), Some((2_000, 1)));
    assert_eq!(rate(4.0, 20).map(parts), Some((250, 20)));
    for nothing in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300, 5e-11, 0.000_009, 1_000_001.0] {
        assert_eq!(Rate::per_second(nothing, None), None, "{nothing}");
    }
}

#[test]
fn rate_prints_as_written() {
    for calls in ["0.00001", "0.5", "0.33333", "2", "10", "1000000"] {
        let rate = Rate::per_second(calls.parse().unwrap(), None).unwrap();
        assert_eq!(rate.to_string(), format!("{calls}/s"));
    }
}

#[tokio::test(start_paused = true)]
async fn every_rate_within_the_bounds_can_be_kept() {
    for calls in [*Rate::PER_SECOND.start(), 0.001, 1.0, *Rate::PER_SECOND.end()] {
        let max_burst = Rate::max_burst(calls).unwrap();
        let greatest = Rate::per_second(calls, Some(max_burst));
        assert!(greatest.is_some(), "{calls}");
        if let Some(more) = max_burst.checked_add(1) {
            assert_eq!(Rate::per_second(calls, Some(more)), None, "{calls}");
        }
        let bench = Bench::with(Limits { rate: greatest, ..Limits::default() }).await;
        assert!(bench.create(&[("w_a", 3)], &long_call()).await.iter().all(Result::is_ok), "{calls}");
    }
    assert_eq!(Rate::max_burst(0.001).map(NonZeroU32::get), Some(3_153_600));
}

#[tokio::test(start_paused = true)]
async fn instance_limits_concurrent_calls() {
    let bench = Bench::with(Limits { concurrency: 3, ..Limits::default() }).await;
    bench.create(&[("w_a", 10), ("w_b", 10)], &long_call()).await;
    assert_eq!(bench.max_running("all"), 3);
    assert_eq!(bench.began().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn type_limit_leaves_slots_to_other_types() {
    let types = of_type("w_a", TypeLimits { concurrency: Some(2), ..TypeLimits::default() });
    let bench = Bench::with(Limits { concurrency: 5, types, ..Limits::default() }).await;
    bench.create(&[("w_a", 10), ("w_b", 10)], &long_call()).await;
    assert_eq!((bench.max_running("w_a"), bench.max_running("all")), (2, 5));
}

#[tokio::test(start_paused = true)]
async fn rate_of_an_instance_limits_call_starts() {
    let bench = Bench::with(Limits { rate: rate(2.0, 3), ..Limits::default() }).await;
    bench.create(&[("w_a", 4), ("w_b", 3)], &long_call()).await;
    let began = bench.began();
    assert_eq!(began.iter().filter(|at| **at == 0).count(), 3, "{began:?}");
    for (number, at) in began.iter().skip(3).enumerate() {
        let due = 500 * (number as u128 + 1);
        assert!((due..due + 5).contains(at), "{began:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rate_also_limits_calls_that_waited_for_a_slot() {
    let bench = Bench::with(Limits { concurrency: 4, rate: rate(1.0, 1), ..Limits::default() }).await;
    bench.create(&[("w_a", 12)], &long_call()).await;
    let began = bench.began();
    assert!(began.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{began:?}");
}

#[tokio::test(start_paused = true)]
async fn type_has_its_own_rate() {
    let types = of_type("w_a", TypeLimits { rate: rate(1.0, 1), ..TypeLimits::default() });
    let bench = Bench::with(Limits { rate: rate(10.0, 1), types, ..Limits::default() }).await;
    bench.create(&[("w_a", 5), ("w_b", 5)], &long_call()).await;
    let log = bench.log.lock().unwrap();
    let of = |name: &str| -> Vec<u128> { log.began.iter().filter(|(_, ty)| ty == name).map(|(at, _)| *at).collect() };
    assert!(of("w_a").windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{:?}", log.began);
    assert!(*of("w_b").last().unwrap() < 1_000, "other types wait only for their own limits: {:?}", log.began);
}

#[tokio::test(start_paused = true)]
async fn call_that_waits_for_a_token_holds_no_slot() {
    // One slot; the type's next token comes in an hour, and other types do not wait for it.
    let types = of_type("w_a", TypeLimits { rate: rate(1.0 / 3_600.0, 1), ..TypeLimits::default() });
    let bench = Bench::with(Limits { concurrency: 1, types, ..Limits::default() }).await;
    bench.create(&[("w_a", 2), ("w_b", 3)], &long_call()).await;
    let log = bench.log.lock().unwrap();
    let last = log.began.iter().filter(|(_, ty)| ty == "w_b").map(|(at, _)| *at).max().unwrap();
    assert!(last <= 4 * CALL_DURATION.as_millis(), "{:?}", log.began);
}

#[tokio::test(start_paused = true)]
async fn call_that_pauses_before_a_retry_holds_no_slot() {
    let limits = Limits { concurrency: 1, retries: 1, first_pause: Duration::from_secs(60), ..Limits::default() };
    let bench = Bench::open(limits, CALL_DURATION, true).await;
    let answers = bench.create(&[("w_a", 2)], &long_call()).await;
    assert!(answers.iter().all(Result::is_err));
    let began = bench.began();
    assert_eq!(began.len(), 4, "{began:?}");
    assert_eq!(began[1], CALL_DURATION.as_millis(), "the second call goes while the first one pauses: {began:?}");
}

#[tokio::test(start_paused = true)]
async fn type_has_its_own_retries() {
    let types = of_type("w_b", TypeLimits { retries: Some(0), ..TypeLimits::default() });
    let bench = Bench::open(Limits { retries: 2, types, ..Limits::default() }, CALL_DURATION, true).await;
    bench.create(&[("w_a", 1), ("w_b", 1)], &long_call()).await;
    let log = bench.log.lock().unwrap();
    let of = |name: &str| log.began.iter().filter(|(_, ty)| ty == name).count();
    assert_eq!((of("w_a"), of("w_b")), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn reading_call_is_not_retried_for_minutes() {
    let attempts = async |duration: Duration| {
        let bench = Bench::open(Limits::default(), duration, true).await;
        bench.session.read(&ty("w_a"), &Recorded::default()).await.unwrap_err();
        bench.began().len()
    };
    // The first host leaves connections open, the second refuses them.
    assert_eq!(attempts(Duration::from_secs(10)).await, 2);
    assert_eq!(attempts(Duration::from_millis(1)).await, 6);
    // A change waits for a server that restarts.
    let bench = Bench::open(Limits::default(), Duration::from_secs(10), true).await;
    bench.create(&[("w_a", 1)], &long_call()).await;
    assert_eq!(bench.began().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn unreachable_instance_gets_no_further_retries() {
    let bench = Bench::open(Limits::default(), Duration::from_millis(1), true).await;
    for attempts in [6, 7, 8] {
        bench.session.read(&ty("w_a"), &Recorded::default()).await.unwrap_err();
        assert_eq!(bench.began().len(), attempts);
    }
    // Any answer ends this state.
    bench.create(&[("w_made", 2)], &long_call()).await;
    let before = bench.began().len();
    bench.session.read(&ty("w_a"), &Recorded::default()).await.unwrap_err();
    assert_eq!(bench.began().len(), before + 6);
}

#[tokio::test(start_paused = true)]
async fn object_that_exists_after_a_failed_attempt_is_ambiguous() {
    let bench = Bench::open(Limits { retries: 2, ..Limits::default() }, CALL_DURATION, false).await;
    let answers = bench.create(&[("w_made", 1)], &long_call()).await;
    assert_eq!(answers[0].as_ref().unwrap_err().kind, ErrorKind::Ambiguous);
    // Without an earlier attempt, it is not ambiguous.
    let answers = bench.create(&[("w_made", 1)], &long_call()).await;
    assert_eq!(answers[0].as_ref().unwrap_err().kind, ErrorKind::AlreadyExists { import_id: None });
}

#[tokio::test(start_paused = true)]
async fn read_many_obeys_the_limits_of_reads() {
    let bench = Bench::with(Limits { concurrency: 2, rate: rate(1.0, 1), ..Limits::default() }).await;
    let priors = vec![Recorded::default(); 6];
    let answers = bench.session.read_many(&ty("w_a"), &priors).await;
    assert_eq!(answers.len(), 6);
    assert_eq!(bench.max_running("all"), 2);
    let began = bench.began();
    assert!(began.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{began:?}");
}

#[tokio::test(start_paused = true)]
async fn call_that_cannot_begin_in_time_does_not_begin() {
    let bench = Bench::with(Limits { concurrency: 1, ..Limits::default() }).await;
    let answers = bench.create(&[("w_a", 3)], &call(Duration::from_secs(15))).await;
    let results: Vec<_> = answers.iter().map(|answer| answer.as_ref().map(drop).map_err(ToString::to_string)).collect();
    let late = "the limits of `w` left too little of its timeout of 15 s";
    assert!(
        results[0].is_ok() && results[1].is_ok() && results[2].as_ref().is_err_and(|error| error.contains(late)),
        "{results:?}"
    );
    assert_eq!(answers[2].as_ref().unwrap_err().kind, ErrorKind::NotBegun);
    assert_eq!(bench.began().len(), 2, "calls that gave up never began");
}

#[tokio::test(start_paused = true)]
async fn waiting_call_does_not_begin_after_a_stop() {
    let bench = Bench::with(Limits { concurrency: 1, ..Limits::default() }).await;
    let call = long_call();
    let cancel = call.cancel.clone();
    let stop = async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cancel.cancel();
    };
    let (answers, ()) = tokio::join!(bench.create(&[("w_a", 3)], &call), stop);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers[1..].iter().all(|answer| answer.as_ref().is_err_and(|error| error.kind == ErrorKind::NotBegun)));
    assert_eq!(bench.began(), [0]);
}

#[tokio::test(start_paused = true)]
async fn call_that_reached_its_provider_has_begun() {
    // The second attempt would begin after 100 s.
    let bench = Bench::open(Limits { rate: rate(0.01, 1), ..Limits::default() }, CALL_DURATION, true).await;
    let answers = bench.create(&[("w_a", 1)], &call(Duration::from_secs(50))).await;
    let error = answers[0].as_ref().unwrap_err();
    assert_eq!((&error.kind, error.message.as_str()), (&ErrorKind::Transient, "busy"));
    assert_eq!(bench.began(), [0]);
}

#[tokio::test(start_paused = true)]
async fn find_does_not_wait_after_a_stop() {
    let bench = Bench::with(Limits { rate: rate(0.01, 1), ..Limits::default() }).await;
    let call = long_call();
    bench.create(&[("w_a", 1)], &call).await;
    call.cancel.cancel();
    let attempt = Attempt {
        address: call.address.clone(),
        identity: Attributes::default(),
        planned: Attributes::default(),
        private: Private::default(),
        prior: None,
        lost_call: None,
    };
    let ty = ty("w_a");
    let find = || bench.session.find(&ty, &attempt);
    assert_eq!(stoppable(call.cancel.clone(), find()).await.unwrap(), Found::Absent);
    assert_eq!(bench.began(), [0, CALL_DURATION.as_millis()]);
    // Calls without a stop obey the limits.
    assert_eq!(find().await.unwrap(), Found::Absent);
    assert!(bench.began()[2] >= 100_000, "{:?}", bench.began());
}

#[tokio::test(start_paused = true)]
async fn dry_run_takes_a_slot() {
    let bench = Bench::with(Limits { rate: rate(1.0, 1), ..Limits::default() }).await;
    let nothing = Attributes::default();
    assert!(bench.session.validate_remote(&ty("w_a"), &nothing).is_none(), "a type without a dry run takes no slot");
    for _ in 0..3 {
        bench.session.validate_remote(&ty("w_b"), &nothing).unwrap().await;
    }
    assert_eq!(bench.began().len(), 3);
    assert!(bench.began().windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{:?}", bench.began());
}

#[tokio::test(start_paused = true)]
async fn missing_rights_obeys_the_limits_and_retries() {
    let bench = Bench::with(Limits { rate: rate(1.0, 1), ..Limits::default() }).await;
    for _ in 0..2 {
        assert_eq!(bench.session.missing_rights().await.unwrap(), Some(Vec::new()));
    }
    assert!(bench.began().windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{:?}", bench.began());
    let bench = Bench::open(Limits { retries: 2, ..Limits::default() }, CALL_DURATION / 10, true).await;
    assert_eq!(bench.session.missing_rights().await.unwrap_err().message, "busy");
    assert_eq!(bench.began().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn probe_is_sent_once_awaited_and_retried() {
    let bench = Bench::open(Limits { retries: 2, ..Limits::default() }, CALL_DURATION / 10, true).await;
    let schema = ProviderSchema::default();
    let probe = bench.session.probe(&schema).unwrap();
    assert_eq!(bench.began(), []);
    assert_eq!(probe.await.unwrap_err().message, "busy");
    assert_eq!(bench.began().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn admitted_call_begins_at_once_within_the_rate() {
    let types = of_type("w_a", TypeLimits { rate: rate(0.01, 1), ..TypeLimits::default() });
    let bench = Bench::with(Limits { rate: rate(0.02, 1), types, ..Limits::default() }).await;
    let messages = Mutex::new(Vec::new());
    let planned = Planned { attributes: Attributes::default(), private: Private::default() };
    for _ in 0..3 {
        let session = bench.session.admitted("w_a", 1, |text| messages.lock().unwrap().push(text)).await;
        // The timeout leaves no time to wait.
        session.create(&ty("w_a"), &call(Duration::from_secs(1)), &planned).await.unwrap();
    }
    let began = bench.began();
    assert!(began.windows(2).all(|pair| pair[1] - pair[0] >= 100_000), "{began:?}");
    assert_eq!(*messages.lock().unwrap(), ["waiting (limit of 0.01/s of `w_a` of `w`)"; 2]);
}

#[tokio::test(start_paused = true)]
async fn huge_time_limit_does_not_overflow() {
    let bench = Bench::with(Limits { concurrency: 1, rate: rate(1.0, 1), ..Limits::default() }).await;
    let answers = bench.create(&[("w_a", 3)], &call(Duration::MAX)).await;
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn time_limit_returns_the_last_temporary_error() {
    let bench = Bench::open(Limits::default(), CALL_DURATION, true).await;
    let read = || async { bench.session.import(&ty("w_a"), "a").await };
    let error = within(Duration::from_secs(15), read()).await.unwrap_err().only().unwrap();
    assert_eq!((error.kind.clone(), error.message.as_str()), (ErrorKind::Transient, "busy"));
    // No attempt ended.
    assert!(within(Duration::from_secs(5), read()).await.unwrap_err().only().is_none());
}

#[tokio::test]
async fn grantee_of_another_object_is_a_provider_bug() {
    let bench = Bench::with(Limits::default()).await;
    let ty = ResourceType { identity: &["name", "who"], grantee: &["who"], ..ty("w_a") };
    let access = |name: &str| Attributes::from_iter([("name".to_owned(), name.into())]);
    let all = bench.session.grantees(&ty, &[access("a"), access("b")]).await.unwrap();
    assert_eq!(all.len(), 2);
    let error = bench.session.grantees(&ty, &[access("a")]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Bug);
    // A grant without a complete identity cannot be revoked.
    let ty = ResourceType { identity: &["name", "who", "host"], ..ty };
    assert_eq!(bench.session.grantees(&ty, &[access("a"), access("b")]).await.unwrap_err().kind, ErrorKind::Bug);
}
