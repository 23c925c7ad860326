use super::*;
use crate::call::NoProgress;
use crate::provider::probe_by_import;
use crate::{Attribute, AttributeType, ErrorKind, Private, ProviderSchema, Severity, Value};
use std::sync::Mutex;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A provider that quotes all its input in every text.
struct Parrot(ProviderSchema);

struct ParrotSession(Settings);

fn attributes(entries: &[(&str, Value)]) -> Attributes {
    entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn repeated<'a>(attributes: impl IntoIterator<Item = &'a Attributes>) -> String {
    let values = attributes.into_iter().flat_map(|attributes| attributes.values());
    values.map(|value| value.to_revealed_json().to_string()).collect::<Vec<_>>().join(" ")
}

impl ParrotSession {
    fn error<'a>(&self, attributes: impl IntoIterator<Item = &'a Attributes>) -> ProviderError {
        let text = format!("no {} {}", repeated([&self.0.values]), repeated(attributes));
        ProviderError::new(ErrorKind::Failed, text.clone()).problem(text.clone()).solution(text)
    }
}

#[async_trait]
impl Provider for Parrot {
    fn schema(&self) -> &ProviderSchema {
        &self.0
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        let session = ParrotSession(settings.clone());
        if settings.instance == "closed" { Err(session.error([])) } else { Ok(Arc::new(session)) }
    }
}

#[async_trait]
impl Session for ParrotSession {
    async fn plan(&self, _: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        Err(self.error(change.prior.map(|prior| &prior.attributes).into_iter().chain([change.config])))
    }

    async fn read(&self, _: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        Err(self.error([&prior.attributes]))
    }

    async fn create(&self, _: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        call.progress.message(&repeated([&self.0.values, &planned.attributes]));
        Err(self.error([&planned.attributes]))
    }

    async fn update(
        &self,
        _: &ResourceType,
        _: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        Err(self.error([&prior.attributes, &planned.attributes]))
    }

    async fn delete(&self, _: &ResourceType, _: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        Err(self.error([&prior.identity, &prior.attributes]))
    }

    async fn find(&self, _: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        Ok(Found::Pending(repeated([&attempt.identity, &attempt.planned])))
    }

    async fn import(&self, _: &ResourceType, _: &str) -> Result<Option<Observed>, ProviderError> {
        Err(self.error([]))
    }

    fn validate_remote<'a>(&'a self, _: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        Some(Box::pin(async move {
            let message = repeated([planned]);
            vec![Finding { severity: Severity::Error, path: None, hint: Some(message.clone()), message }]
        }))
    }

    async fn lookup(&self, _: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        Err(self.error([arguments]))
    }

    fn probe<'a>(&'a self, schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        probe_by_import(self, schema, "parrot_thing", "x")
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        if self.0.instance == "silent" {
            return Err(self.error([]));
        }
        let text = repeated([&self.0.values]);
        Ok(Some(vec![MissingRight { operation: text.clone(), statement: text }]))
    }

    async fn count_data(&self, _: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        Err(self.error([&prior.attributes]))
    }
}

/// Collects reports.
#[derive(Default)]
struct CollectedMessages(Mutex<String>);

#[async_trait]
impl Progress for CollectedMessages {
    fn message(&self, text: &str) {
        self.0.lock().unwrap().push_str(text);
    }

    async fn partial(&self, _partial: Partial) -> Result<(), ProviderError> {
        Ok(())
    }
}

fn settings(instance: &str) -> Settings {
    Settings {
        instance: instance.to_owned(),
        environment: "local".to_owned(),
        project_folder: "/".into(),
        sandbox: Default::default(),
        sources: Default::default(),
        values: attributes(&[("user", "svc".into()), ("password", "s3same".into())]),
    }
}

fn parrot() -> (Parrot, ResourceType) {
    let text = |name| Attribute::new(name, AttributeType::String, "A text.");
    let ty = ResourceType::new(
        "parrot_thing",
        "A thing.",
        &["name"],
        Object(vec![text("name"), text("content"), text("once").write_only()]),
    );
    let settings = Object(vec![text("user"), text("password").sensitive()]);
    let schema = ProviderSchema { name: "parrot", settings, resources: vec![ty.clone()], ..ProviderSchema::default() };
    (Parrot(schema), ty)
}

fn call(progress: Arc<dyn Progress>) -> Call {
    Call {
        address: "demo@local:parrot_thing.a".to_owned(),
        operation: "o".to_owned(),
        step: "1".to_owned(),
        timeout: Duration::from_secs(1),
        removes_data: false,
        cancel: CancellationToken::new(),
        progress,
    }
}

#[tokio::test]
async fn texts_of_a_provider_quote_no_sensitive_input() {
    let (provider, ty) = parrot();
    let session = redacting(&provider, &settings("parrot")).await.unwrap();
    let old = attributes(&[("name", "plain".into()), ("content", Value::sensitive("old-hunter1".into()))]);
    let new = attributes(&[
        ("name", "plain".into()),
        ("content", Value::sensitive("new-hunter2".into())),
        ("once", "once-hunter3".into()),
    ]);
    let prior = Recorded { attributes: old.clone(), ..Recorded::default() };
    let planned = Planned { attributes: new.clone(), private: Private::default() };
    let change = ProposedChange {
        address: "a",
        prior: Some(&prior),
        config: &new,
        must_replace: false,
        changed_write_only: &[],
    };
    let attempt = Attempt {
        address: "a".to_owned(),
        identity: Attributes::default(),
        planned: new.clone(),
        private: Private::default(),
        prior: None,
        lost_call: None,
    };
    let messages = Arc::new(CollectedMessages::default());
    let quiet = call(Arc::new(NoProgress));
    let collected = || messages.0.lock().unwrap().clone();
    let created = session.create(&ty, &call(messages.clone()), &planned).await;
    let texts = [
        format!("{:?}", session.plan(&ty, &change).await),
        format!("{:?}", session.read(&ty, &prior).await),
        format!("{:?}", session.read_many(&ty, std::slice::from_ref(&prior)).await),
        format!("{created:?}"),
        collected(),
        format!("{:?}", session.update(&ty, &quiet, &prior, &planned).await),
        format!("{:?}", session.delete(&ty, &quiet, &prior).await),
        format!("{:?}", session.find(&ty, &attempt).await),
        format!("{:?}", session.validate_remote(&ty, &new).unwrap().await),
        format!("{:?}", session.lookup("thing", &old).await),
        format!("{:?}", session.count_data(&ty, &prior).await),
    ];
    for text in texts {
        assert!(text.contains("plain") && text.contains("(sensitive value)"), "{text}");
        for secret in ["hunter1", "hunter2", "hunter3", "s3same"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let text = format!("{:?}", session.import(&ty, "x").await);
    assert!(!text.contains("s3same"), "{text}");
    let text = format!("{:?}", session.probe(provider.schema()).unwrap().await.unwrap_err());
    assert!(text.contains("svc") && !text.contains("s3same"), "{text}");
    let rights = session.missing_rights().await.unwrap().unwrap();
    assert!(
        rights.iter().all(|right| right.operation.contains("svc") && right.statement.contains("svc")),
        "{rights:?}"
    );
    assert!(!format!("{rights:?}").contains("s3same"), "{rights:?}");
    let silent = redacting(&provider, &settings("silent")).await.unwrap().missing_rights().await.unwrap_err();
    assert!(!format!("{silent:?}").contains("s3same"), "{silent:?}");
    let closed = redacting(&provider, &settings("closed")).await.err().unwrap();
    assert!(!format!("{closed:?}").contains("s3same"), "{closed:?}");
}
