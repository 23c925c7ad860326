//! Limits, in a time that stands still until everybody waits.

use super::*;
use crate::call::NoProgress;
use crate::{Attribute, AttributeType, Object, Private, ProviderSchema};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use tokio_util::sync::CancellationToken;

mod begin;

/// Every call takes that long.
const TAKES: Duration = Duration::from_secs(10);

/// What a provider sees of the calls that reach it.
#[derive(Default)]
struct Seen {
    running: BTreeMap<String, usize>,
    most: BTreeMap<String, usize>,
    /// When each call began, in milliseconds, and of what type.
    began: Vec<(u128, String)>,
}

struct Watched {
    schema: ProviderSchema,
    opened: Instant,
    seen: Arc<Mutex<Seen>>,
    takes: Duration,
    fails: bool,
}

#[derive(Clone)]
struct Watching {
    opened: Instant,
    seen: Arc<Mutex<Seen>>,
    takes: Duration,
    fails: bool,
}

impl Watching {
    async fn work(&self, ty: &str) -> Result<(), ProviderError> {
        {
            let mut seen = self.seen.lock().unwrap();
            seen.began.push((self.opened.elapsed().as_millis(), ty.to_owned()));
            for name in [ty, "all"] {
                let running = seen.running.entry(name.to_owned()).or_default();
                *running += 1;
                let running = *running;
                let most = seen.most.entry(name.to_owned()).or_default();
                *most = running.max(*most);
            }
        }
        tokio::time::sleep(self.takes).await;
        let mut seen = self.seen.lock().unwrap();
        for name in [ty, "all"] {
            *seen.running.get_mut(name).unwrap() -= 1;
        }
        // It was made by the first attempt, which does not know of it.
        let attempts = seen.began.iter().filter(|(_, began)| began == ty).count();
        if ty == "w_made" && attempts > 1 {
            return Err(ProviderError::new(ErrorKind::AlreadyExists { import_id: None }, "it is there already"));
        }
        if self.fails || ty == "w_made" { Err(ProviderError::new(ErrorKind::Transient, "busy")) } else { Ok(()) }
    }
}

#[async_trait]
impl Provider for Watched {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, _: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        let Self { opened, seen, takes, fails, .. } = self;
        Ok(Arc::new(Watching { opened: *opened, seen: Arc::clone(seen), takes: *takes, fails: *fails }))
    }
}

#[async_trait]
impl Session for Watching {
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
    seen: Arc<Mutex<Seen>>,
}

impl Bench {
    async fn open(limits: Limits, takes: Duration, fails: bool) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let schema = ProviderSchema {
            name: "w",
            resources: vec![ty("w_a"), ty("w_b"), ty("w_made")],
            ..ProviderSchema::default()
        };
        let provider = Watched { schema, opened: Instant::now(), seen: Arc::clone(&seen), takes, fails };
        let settings = Settings {
            instance: "w".to_owned(),
            environment: "local".to_owned(),
            project_folder: "/".into(),
            sandbox: Default::default(),
            values: Attributes::default(),
        };
        Self { session: guarded(&provider, &settings, limits).await.unwrap(), seen }
    }

    async fn with(limits: Limits) -> Self {
        Self::open(limits, TAKES, false).await
    }

    /// Creates so many of each of these types, all at once.
    async fn create(&self, types: &[(&'static str, usize)], call: &Call) -> Vec<Result<Observed, ProviderError>> {
        let names = types.iter().flat_map(|(name, count)| std::iter::repeat_n(*name, *count));
        let one = |name: &'static str| async move {
            let planned = Planned { attributes: Attributes::default(), private: Private::default() };
            self.session.create(&ty(name), call, &planned).await
        };
        futures_util::future::join_all(names.map(one)).await
    }

    fn most(&self, name: &str) -> usize {
        self.seen.lock().unwrap().most.get(name).copied().unwrap_or_default()
    }

    fn began(&self) -> Vec<u128> {
        self.seen.lock().unwrap().began.iter().map(|(at, _)| *at).collect()
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

fn patient() -> Call {
    call(Duration::from_secs(100_000))
}

fn rate(calls: f64, burst: u32) -> Option<Rate> {
    Rate::per_second(calls, NonZeroU32::new(burst))
}

fn of_type(name: &str, limits: TypeLimits) -> BTreeMap<String, TypeLimits> {
    BTreeMap::from([(name.to_owned(), limits)])
}

#[test]
fn a_rate_allows_a_burst_of_a_second_unless_it_says_otherwise() {
    let told = |rate: Rate| (rate.period().as_millis(), rate.burst().get());
    assert_eq!(Rate::per_second(10.0, None).map(told), Some((100, 10)));
    assert_eq!(Rate::per_second(0.5, None).map(told), Some((2_000, 1)));
    assert_eq!(rate(4.0, 20).map(told), Some((250, 20)));
    for nothing in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300, 5e-11, 0.000_009, 1_000_001.0] {
        assert_eq!(Rate::per_second(nothing, None), None, "{nothing}");
    }
}

#[test]
fn a_rate_is_told_as_it_is_written() {
    for calls in ["0.00001", "0.5", "0.33333", "2", "10", "1000000"] {
        let rate = Rate::per_second(calls.parse().unwrap(), None).unwrap();
        assert_eq!(rate.to_string(), format!("{calls}/s"));
    }
}

#[tokio::test(start_paused = true)]
async fn every_rate_within_the_bounds_can_be_kept() {
    for calls in [*Rate::PER_SECOND.start(), 0.001, 1.0, *Rate::PER_SECOND.end()] {
        let most = Rate::most_burst(calls).unwrap();
        let greatest = Rate::per_second(calls, Some(most));
        assert!(greatest.is_some(), "{calls}");
        if let Some(more) = most.checked_add(1) {
            assert_eq!(Rate::per_second(calls, Some(more)), None, "{calls}");
        }
        let bench = Bench::with(Limits { rate: greatest, ..Limits::default() }).await;
        assert!(bench.create(&[("w_a", 3)], &patient()).await.iter().all(Result::is_ok), "{calls}");
    }
    assert_eq!(Rate::most_burst(0.001).map(NonZeroU32::get), Some(3_153_600));
}

#[tokio::test(start_paused = true)]
async fn an_instance_takes_only_so_many_calls_at_once() {
    let bench = Bench::with(Limits { concurrency: 3, ..Limits::default() }).await;
    bench.create(&[("w_a", 10), ("w_b", 10)], &patient()).await;
    assert_eq!(bench.most("all"), 3);
    assert_eq!(bench.began().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_type_takes_only_so_many_calls_at_once_and_leaves_the_rest_to_others() {
    let types = of_type("w_a", TypeLimits { concurrency: Some(2), ..TypeLimits::default() });
    let bench = Bench::with(Limits { concurrency: 5, types, ..Limits::default() }).await;
    bench.create(&[("w_a", 10), ("w_b", 10)], &patient()).await;
    assert_eq!((bench.most("w_a"), bench.most("all")), (2, 5));
}

#[tokio::test(start_paused = true)]
async fn calls_begin_no_faster_than_the_rate_of_their_instance() {
    let bench = Bench::with(Limits { rate: rate(2.0, 3), ..Limits::default() }).await;
    bench.create(&[("w_a", 4), ("w_b", 3)], &patient()).await;
    let began = bench.began();
    assert_eq!(began.iter().filter(|at| **at == 0).count(), 3, "{began:?}");
    for (number, at) in began.iter().skip(3).enumerate() {
        let due = 500 * (number as u128 + 1);
        assert!((due..due + 5).contains(at), "{began:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_by_calls_that_waited_for_a_slot() {
    let bench = Bench::with(Limits { concurrency: 4, rate: rate(1.0, 1), ..Limits::default() }).await;
    bench.create(&[("w_a", 12)], &patient()).await;
    let began = bench.began();
    assert!(began.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{began:?}");
}

#[tokio::test(start_paused = true)]
async fn a_type_has_a_rate_besides_that_of_its_instance() {
    let types = of_type("w_a", TypeLimits { rate: rate(1.0, 1), ..TypeLimits::default() });
    let bench = Bench::with(Limits { rate: rate(10.0, 1), types, ..Limits::default() }).await;
    bench.create(&[("w_a", 5), ("w_b", 5)], &patient()).await;
    let seen = bench.seen.lock().unwrap();
    let of = |name: &str| -> Vec<u128> { seen.began.iter().filter(|(_, ty)| ty == name).map(|(at, _)| *at).collect() };
    assert!(of("w_a").windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{:?}", seen.began);
    assert!(*of("w_b").last().unwrap() < 1_000, "others wait for nothing but their own: {:?}", seen.began);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_token_holds_no_slot() {
    // One slot; the type's next token comes in an hour, and others do not wait for it.
    let types = of_type("w_a", TypeLimits { rate: rate(1.0 / 3_600.0, 1), ..TypeLimits::default() });
    let bench = Bench::with(Limits { concurrency: 1, types, ..Limits::default() }).await;
    bench.create(&[("w_a", 2), ("w_b", 3)], &patient()).await;
    let seen = bench.seen.lock().unwrap();
    let last = seen.began.iter().filter(|(_, ty)| ty == "w_b").map(|(at, _)| *at).max().unwrap();
    assert!(last <= 4 * TAKES.as_millis(), "{:?}", seen.began);
}

#[tokio::test(start_paused = true)]
async fn who_pauses_before_another_attempt_holds_no_slot() {
    let limits = Limits { concurrency: 1, retries: 1, first_pause: Duration::from_secs(60), ..Limits::default() };
    let bench = Bench::open(limits, TAKES, true).await;
    let answers = bench.create(&[("w_a", 2)], &patient()).await;
    assert!(answers.iter().all(Result::is_err));
    let began = bench.began();
    assert_eq!(began.len(), 4, "{began:?}");
    assert_eq!(began[1], TAKES.as_millis(), "the second call goes while the first one pauses: {began:?}");
}

#[tokio::test(start_paused = true)]
async fn a_type_has_retries_of_its_own() {
    let types = of_type("w_b", TypeLimits { retries: Some(0), ..TypeLimits::default() });
    let bench = Bench::open(Limits { retries: 2, types, ..Limits::default() }, TAKES, true).await;
    bench.create(&[("w_a", 1), ("w_b", 1)], &patient()).await;
    let seen = bench.seen.lock().unwrap();
    let of = |name: &str| seen.began.iter().filter(|(_, ty)| ty == name).count();
    assert_eq!((of("w_a"), of("w_b")), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_is_not_tried_for_minutes() {
    let attempts = async |takes: Duration| {
        let bench = Bench::open(Limits::default(), takes, true).await;
        bench.session.read(&ty("w_a"), &Recorded::default()).await.unwrap_err();
        bench.began().len()
    };
    // Of a host that lets connections wait; of one that refuses them.
    assert_eq!(attempts(Duration::from_secs(10)).await, 2);
    assert_eq!(attempts(Duration::from_millis(1)).await, 6);
    // A change waits for a server that starts again.
    let bench = Bench::open(Limits::default(), Duration::from_secs(10), true).await;
    bench.create(&[("w_a", 1)], &patient()).await;
    assert_eq!(bench.began().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn who_was_away_for_one_look_is_not_waited_for_by_each() {
    let bench = Bench::open(Limits::default(), Duration::from_millis(1), true).await;
    for attempts in [6, 7, 8] {
        bench.session.read(&ty("w_a"), &Recorded::default()).await.unwrap_err();
        assert_eq!(bench.began().len(), attempts);
    }
    // Another answer tells that it is there again.
    bench.create(&[("w_made", 2)], &patient()).await;
    let before = bench.began().len();
    bench.session.read(&ty("w_a"), &Recorded::default()).await.unwrap_err();
    assert_eq!(bench.began().len(), before + 6);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_after_an_attempt_that_failed_may_be_ours() {
    let bench = Bench::open(Limits { retries: 2, ..Limits::default() }, TAKES, false).await;
    let answers = bench.create(&[("w_made", 1)], &patient()).await;
    assert_eq!(answers[0].as_ref().unwrap_err().kind, ErrorKind::Ambiguous);
    // Where it is there before the first attempt, it is not.
    let answers = bench.create(&[("w_made", 1)], &patient()).await;
    assert_eq!(answers[0].as_ref().unwrap_err().kind, ErrorKind::AlreadyExists { import_id: None });
}

#[tokio::test(start_paused = true)]
async fn many_reads_keep_to_the_limits_of_single_ones() {
    let bench = Bench::with(Limits { concurrency: 2, rate: rate(1.0, 1), ..Limits::default() }).await;
    let priors = vec![Recorded::default(); 6];
    let answers = bench.session.read_many(&ty("w_a"), &priors).await;
    assert_eq!(answers.len(), 6);
    assert_eq!(bench.most("all"), 2);
    let began = bench.began();
    assert!(began.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{began:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_begin_in_its_time_does_not_begin() {
    let bench = Bench::with(Limits { concurrency: 1, ..Limits::default() }).await;
    let answers = bench.create(&[("w_a", 3)], &call(Duration::from_secs(15))).await;
    let told: Vec<_> = answers.iter().map(|answer| answer.as_ref().map(drop).map_err(ToString::to_string)).collect();
    let late = "the limits of `w` let it not begin early enough in its timeout of 15 s";
    assert!(
        told[0].is_ok() && told[1].is_ok() && told[2].as_ref().is_err_and(|error| error.contains(late)),
        "{told:?}"
    );
    assert_eq!(answers[2].as_ref().unwrap_err().kind, ErrorKind::NotBegun);
    assert_eq!(bench.began().len(), 2, "what gave up was not called");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_does_not_begin_once_the_user_stops() {
    let bench = Bench::with(Limits { concurrency: 1, ..Limits::default() }).await;
    let call = patient();
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
async fn a_call_that_reached_its_provider_once_has_begun() {
    // The second attempt would begin after 100 s.
    let bench = Bench::open(Limits { rate: rate(0.01, 1), ..Limits::default() }, TAKES, true).await;
    let answers = bench.create(&[("w_a", 1)], &call(Duration::from_secs(50))).await;
    let error = answers[0].as_ref().unwrap_err();
    assert_eq!((&error.kind, error.message.as_str()), (&ErrorKind::Transient, "busy"));
    assert_eq!(bench.began(), [0]);
}

#[tokio::test(start_paused = true)]
async fn once_the_user_stops_nobody_waits_to_find_out_what_happened() {
    let bench = Bench::with(Limits { rate: rate(0.01, 1), ..Limits::default() }).await;
    let call = patient();
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
    assert_eq!(bench.began(), [0, TAKES.as_millis()]);
    // Whoever was not stopped keeps to the limits.
    assert_eq!(find().await.unwrap(), Found::Absent);
    assert!(bench.began()[2] >= 100_000, "{:?}", bench.began());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_where_there_is_one() {
    let bench = Bench::with(Limits { rate: rate(1.0, 1), ..Limits::default() }).await;
    let nothing = Attributes::default();
    assert!(bench.session.validate_remote(&ty("w_a"), &nothing).is_none(), "nobody waits for what is not asked");
    for _ in 0..3 {
        bench.session.validate_remote(&ty("w_b"), &nothing).unwrap().await;
    }
    assert_eq!(bench.began().len(), 3);
    assert!(bench.began().windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{:?}", bench.began());
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_rights_keeps_to_the_limits_and_tries_again() {
    let bench = Bench::with(Limits { rate: rate(1.0, 1), ..Limits::default() }).await;
    for _ in 0..2 {
        assert_eq!(bench.session.missing_rights().await.unwrap(), Some(Vec::new()));
    }
    assert!(bench.began().windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{:?}", bench.began());
    let bench = Bench::open(Limits { retries: 2, ..Limits::default() }, TAKES / 10, true).await;
    assert_eq!(bench.session.missing_rights().await.unwrap_err().message, "busy");
    assert_eq!(bench.began().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_took_its_tokens_before_begins_at_once_and_the_rate_is_kept() {
    let types = of_type("w_a", TypeLimits { rate: rate(0.01, 1), ..TypeLimits::default() });
    let bench = Bench::with(Limits { rate: rate(0.02, 1), types, ..Limits::default() }).await;
    let told = Mutex::new(Vec::new());
    let planned = Planned { attributes: Attributes::default(), private: Private::default() };
    for _ in 0..3 {
        let session = bench.session.admitted("w_a", 1, |text| told.lock().unwrap().push(text)).await;
        // There is no time to wait for anything.
        session.create(&ty("w_a"), &call(Duration::from_secs(1)), &planned).await.unwrap();
    }
    let began = bench.began();
    assert!(began.windows(2).all(|pair| pair[1] - pair[0] >= 100_000), "{began:?}");
    assert_eq!(*told.lock().unwrap(), ["waiting (limit of 0.01/s of `w_a` of `w`)"; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_time_beyond_all_clocks_is_no_limit() {
    let bench = Bench::with(Limits { concurrency: 1, rate: rate(1.0, 1), ..Limits::default() }).await;
    let answers = bench.create(&[("w_a", 3)], &call(Duration::MAX)).await;
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_what_fails_again_and_again_learns_why() {
    let bench = Bench::open(Limits::default(), TAKES, true).await;
    let read = || async { bench.session.import(&ty("w_a"), "a").await };
    let error = within(Duration::from_secs(15), read()).await.unwrap_err().only().unwrap();
    assert_eq!((error.kind.clone(), error.message.as_str()), (ErrorKind::Transient, "busy"));
    // Not one attempt came to an end.
    assert!(within(Duration::from_secs(5), read()).await.unwrap_err().only().is_none());
}

#[tokio::test]
async fn who_is_let_in_to_something_else_is_a_fault_of_the_provider() {
    let bench = Bench::with(Limits::default()).await;
    let ty = ResourceType { identity: &["name", "who"], grantee: &["who"], ..ty("w_a") };
    let access = |name: &str| Attributes::from_iter([("name".to_owned(), name.into())]);
    let all = bench.session.grantees(&ty, &[access("a"), access("b")]).await.unwrap();
    assert_eq!(all.len(), 2);
    let error = bench.session.grantees(&ty, &[access("a")]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Bug);
    // Whom nobody can name nobody can keep out.
    let ty = ResourceType { identity: &["name", "who", "host"], ..ty };
    assert_eq!(bench.session.grantees(&ty, &[access("a"), access("b")]).await.unwrap_err().kind, ErrorKind::Bug);
}
