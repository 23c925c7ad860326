use super::*;
use crate::wrap::Limits;
use crate::{
    Attributes, Call, Found, Observed, Planned, Provider, ProviderSchema, Recorded, ResourceType, Session, Settings,
};
use async_trait::async_trait;
use std::path::PathBuf;

/// An instance whose lookups behave like their names.
struct Remote;

#[async_trait]
impl Provider for Remote {
    fn schema(&self) -> &ProviderSchema {
        static SCHEMA: std::sync::OnceLock<ProviderSchema> = std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| ProviderSchema { is_remote: true, ..ProviderSchema::default() })
    }

    async fn connect(&self, _: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(Self))
    }
}

#[async_trait]
impl Session for Remote {
    async fn lookup(&self, name: &str, _: &Attributes) -> Result<Attributes, ProviderError> {
        match name {
            "silent" => std::future::pending().await,
            // A list of a hundred slow pages.
            "pages" => {
                for _ in 0..100 {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    answered();
                }
            }
            "long" => {
                answered();
                excused_if_known(tokio::time::sleep(Duration::from_secs(50))).await;
            }
            "longUnknown" => excused_if_known(tokio::time::sleep(Duration::from_secs(50))).await,
            "throttled" => {
                let kind = ErrorKind::Throttled { retry_after: Some(Duration::from_secs(60)) };
                return Err(ProviderError::new(kind, "too many"));
            }
            "refused" => {
                answered();
                return Err(ProviderError::new(ErrorKind::Transient, "connection refused"));
            }
            "unreached" => {
                tokio::time::sleep(Duration::from_secs(10)).await;
                return Err(ProviderError::new(ErrorKind::Transient, "no connection in time"));
            }
            _ => {}
        }
        Ok(Attributes::default())
    }

    async fn read(&self, _: &ResourceType, _: &Recorded) -> Result<Option<Observed>, ProviderError> {
        Ok(None)
    }

    async fn create(&self, _: &ResourceType, _: &Call, _: &Planned) -> Result<Observed, ProviderError> {
        Err(ProviderError::bug("nothing is made"))
    }

    async fn update(&self, _: &ResourceType, _: &Call, _: &Recorded, _: &Planned) -> Result<Observed, ProviderError> {
        Err(ProviderError::bug("nothing is changed"))
    }

    async fn delete(&self, _: &ResourceType, _: &Call, _: &Recorded) -> Result<(), ProviderError> {
        Err(ProviderError::bug("nothing is deleted"))
    }

    async fn find(&self, _: &ResourceType, _: &crate::Attempt) -> Result<Found, ProviderError> {
        Ok(Found::Absent)
    }

    async fn import(&self, _: &ResourceType, _: &str) -> Result<Option<Observed>, ProviderError> {
        Ok(None)
    }
}

async fn instance(name: &str) -> Arc<crate::wrap::Guarded> {
    let settings = Settings {
        instance: name.to_owned(),
        environment: "test".to_owned(),
        project_folder: PathBuf::new(),
        values: Attributes::default(),
        sandbox: Default::default(),
        sources: Default::default(),
    };
    crate::wrap::guarded(&Remote, &settings, Limits::default()).await.unwrap()
}

async fn lookup(instance: &crate::wrap::Guarded, lookup: &str) -> Result<Attributes, ProviderError> {
    instance.lookup(lookup, &Attributes::default()).await
}

/// Duration of work in seconds with a budget of twenty, its result and its reports.
async fn seconds<T>(work: impl Future<Output = T>) -> (u64, T, Vec<String>) {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let taken = Arc::clone(&lines);
    let reporter: Reporter = Arc::new(move |line| locked(&taken).push(line.to_owned()));
    let silence_limit = SilenceLimit { reporter: Some(reporter), ..SilenceLimit::default() };
    let began = Instant::now();
    let result = with_silence_limit(&silence_limit, work).await;
    let lines = locked(&lines).clone();
    (began.elapsed().as_secs(), result, lines)
}

#[tokio::test(start_paused = true)]
async fn silent_instance_is_given_up_and_not_called_again() {
    let silent = instance("silent").await;
    let (took, errors, lines) = seconds(async {
        let first = lookup(&silent, "silent").await.unwrap_err();
        let second = lookup(&silent, "answers").await.unwrap_err();
        [first, second].map(|error| error.message)
    })
    .await;
    assert_eq!(took, 20);
    assert_eq!(errors, ["`silent` gives no answer within 20 s", "`silent` gives no answer within 20 s"]);
    assert_eq!(lines, ["waiting for `silent`, which gives no answer: at most 20 s"]);
    // The next plan has a new budget.
    let (took, ..) = seconds(async { lookup(&silent, "answers").await.unwrap() }).await;
    assert_eq!(took, 0);
}

#[tokio::test(start_paused = true)]
async fn calls_to_a_silent_instance_end_together() {
    let silent = instance("silent").await;
    let (took, ..) = seconds(async {
        let calls: Vec<_> = (0..100).map(|_| lookup(&silent, "silent")).collect();
        futures_util::future::join_all(calls).await
    })
    .await;
    assert_eq!(took, 20, "calls that waited for a slot end with the others");
}

#[tokio::test(start_paused = true)]
async fn several_silent_instances_share_one_limit() {
    let (first, second, third) = (instance("first").await, instance("second").await, instance("third").await);
    let (took, error, _) = seconds(async {
        lookup(&first, "silent").await.unwrap_err();
        lookup(&second, "silent").await.unwrap_err();
        lookup(&third, "silent").await.unwrap_err()
    })
    .await;
    assert!((24..=25).contains(&took), "{took}");
    assert_eq!(error.message, "`third` gives no answer within 2 s, the rest of the 20 s of the plan");
}

#[tokio::test(start_paused = true)]
async fn plan_waits_for_an_instance_that_answers_in_parts() {
    let slow = instance("slow").await;
    let (took, answer, lines) = seconds(lookup(&slow, "pages")).await;
    assert!(answer.is_ok());
    assert_eq!((took, lines.len()), (1000, 1), "it is reported once that the plan waits: {lines:?}");
}

#[tokio::test(start_paused = true)]
async fn plan_waits_for_long_work_of_an_instance_that_answered_before() {
    let known = instance("known").await;
    let (took, answer, _) = seconds(lookup(&known, "long")).await;
    assert!(answer.is_ok());
    assert_eq!(took, 50);
    let unknown = instance("unknown").await;
    let (took, answer, _) = seconds(lookup(&unknown, "longUnknown")).await;
    assert!(answer.is_err());
    assert_eq!(took, 20);
}

#[tokio::test(start_paused = true)]
async fn requested_pause_does_not_count() {
    let throttled = instance("throttled").await;
    let (took, error, lines) = seconds(lookup(&throttled, "throttled")).await;
    assert!(took >= 300, "{took}");
    assert_eq!(error.unwrap_err().message, "too many");
    assert_eq!(lines, [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn attempts_without_a_connection_share_one_limit() {
    let unreached = instance("unreached").await;
    let (took, error, _) = seconds(async {
        lookup(&unreached, "unreached").await.unwrap_err();
        lookup(&unreached, "unreached").await.unwrap_err()
    })
    .await;
    assert!((20..=22).contains(&took), "{took}");
    assert_eq!(error.message, "`unreached` gives no answer within 20 s");
    assert_eq!(error.problems, [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn work_without_a_limit_waits_for_the_end() {
    let slow = instance("slow").await;
    let began = Instant::now();
    lookup(&slow, "longUnknown").await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 50);
}

/// A prompt error counts as an answer and keeps its message.
#[tokio::test(start_paused = true)]
async fn refused_connection_keeps_its_own_error() {
    let (silent, refused) = (instance("silent").await, instance("refused").await);
    let (_, error, _) = seconds(async {
        lookup(&silent, "silent").await.unwrap_err();
        lookup(&refused, "refused").await.unwrap_err()
    })
    .await;
    assert_eq!(error.message, "connection refused");
}
