//! A session that redacts the sensitive values of its calls in all texts: errors, findings, progress, reasons.

use crate::plan::{PlannedChange, ProposedChange};
use crate::provider::{DryRun, Probe};
use crate::{
    Attempt, Attributes, Batch, Call, DataAmount, DataLoss, Finding, Found, Grantee, MissingRight, Object, Observed,
    Partial, Planned, Progress, Provider, ProviderError, ProviderSchema, Recorded, Redaction, ResourceType, Session,
    Settings, Severity,
};
use async_trait::async_trait;
use std::sync::{Arc, OnceLock};

/// Opens an instance. Its texts hide the sensitive settings and the sensitive values of each call.
///
/// # Errors
/// When the provider cannot open it.
pub(super) async fn redacting(provider: &dyn Provider, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
    let schema = provider.schema();
    let own = Redaction::of(&schema.settings, [&settings.values]);
    let session = provider.connect(settings).await.map_err(|error| own.error(error))?;
    let lookups = schema.lookups.iter().map(|lookup| (lookup.name, lookup.arguments.clone())).collect();
    Ok(Arc::new(Redacting { session, own: Arc::new(own), lookups }))
}

struct Redacting {
    session: Arc<dyn Session>,
    /// Redaction of the instance's settings.
    own: Arc<Redaction>,
    /// The arguments of the provider's lookups.
    lookups: Vec<(&'static str, Object)>,
}

impl Redacting {
    /// Redaction for a call of a resource.
    fn redaction_of<'a>(
        &self,
        ty: &ResourceType,
        attributes: impl IntoIterator<Item = &'a Attributes>,
    ) -> ResourceRedaction<'_> {
        ResourceRedaction { own: &self.own, call: Redaction::of(&ty.attributes, attributes) }
    }
}

/// Redaction of the instance's settings and of a call's attributes.
struct ResourceRedaction<'a> {
    own: &'a Redaction,
    call: Redaction,
}

impl ResourceRedaction<'_> {
    fn text(&self, text: &str) -> String {
        self.own.text(&self.call.text(text))
    }

    fn error(&self, error: ProviderError) -> ProviderError {
        self.own.error(self.call.error(error))
    }
}

fn row_attributes(recorded: &Recorded) -> [&Attributes; 2] {
    [&recorded.identity, &recorded.attributes]
}

fn attempt_attributes(attempt: &Attempt) -> impl Iterator<Item = &Attributes> {
    let own = [&attempt.identity, &attempt.planned];
    own.into_iter().chain(attempt.prior.iter().flat_map(row_attributes))
}

#[async_trait]
impl Session for Redacting {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        self.session.read(ty, prior).await.map_err(|error| self.redaction_of(ty, row_attributes(prior)).error(error))
    }

    fn read_batch<'a>(&'a self, ty: &'a ResourceType, priors: &'a [Recorded]) -> Option<Batch<'a>> {
        let batch = self.session.read_batch(ty, priors)?;
        Some(Box::pin(async move {
            let answers = batch.await;
            if answers.iter().all(Result::is_ok) {
                return answers;
            }
            // One answer may quote the whole batch.
            let redaction = self.redaction_of(ty, priors.iter().flat_map(row_attributes));
            answers.into_iter().map(|answer| answer.map_err(|error| redaction.error(error))).collect()
        }))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let redaction =
            || self.redaction_of(ty, change.prior.into_iter().flat_map(row_attributes).chain([change.config]));
        let mut planned = self.session.plan(ty, change).await.map_err(|error| redaction().error(error))?;
        let reasons = planned.data_loss.iter_mut().flat_map(|DataLoss { reasons }| reasons);
        let mut texts = reasons.chain(&mut planned.because).peekable();
        if texts.peek().is_some() {
            let redaction = redaction();
            texts.for_each(|reason| *reason = redaction.text(reason));
        }
        Ok(planned)
    }

    fn check_configured(&self, ty: &ResourceType, attributes: &Attributes) -> Result<(), ProviderError> {
        self.session.check_configured(ty, attributes).map_err(|error| self.redaction_of(ty, [attributes]).error(error))
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let redaction = CallRedaction::of(&self.own, ty, [&planned.attributes]);
        let result = self.session.create(ty, &redaction.call(call), planned).await;
        result.map_err(|error| redaction.error(error))
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let redaction =
            CallRedaction::of(&self.own, ty, row_attributes(prior).into_iter().chain([&planned.attributes]));
        let result = self.session.update(ty, &redaction.call(call), prior, planned).await;
        result.map_err(|error| redaction.error(error))
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let redaction = CallRedaction::of(&self.own, ty, row_attributes(prior));
        let result = self.session.delete(ty, &redaction.call(call), prior).await;
        result.map_err(|error| redaction.error(error))
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        match self.session.find(ty, attempt).await {
            Ok(Found::Pending(why)) => {
                Ok(Found::Pending(self.redaction_of(ty, attempt_attributes(attempt)).text(&why)))
            }
            found => found.map_err(|error| self.redaction_of(ty, attempt_attributes(attempt)).error(error)),
        }
    }

    async fn import(&self, ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        self.session.import(ty, id).await.map_err(|error| self.own.error(error))
    }

    async fn upgrade(&self, ty: &ResourceType, from: u32, stored: Attributes) -> Result<Attributes, ProviderError> {
        let redaction = self.redaction_of(ty, [&stored]);
        self.session.upgrade(ty, from, stored).await.map_err(|error| redaction.error(error))
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        let dry_run = self.session.validate_remote(ty, planned)?;
        Some(Box::pin(async move {
            let findings = dry_run.await;
            if findings.is_empty() {
                return findings;
            }
            let redaction = self.redaction_of(ty, [planned]);
            let redacted = |finding: Finding| Finding {
                message: redaction.text(&finding.message),
                hint: finding.hint.map(|hint| redaction.text(&hint)),
                ..finding
            };
            findings.into_iter().map(redacted).collect()
        }))
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        self.session.lookup(name, arguments).await.map_err(|error| {
            let schema = self.lookups.iter().find(|(lookup, _)| *lookup == name).map(|(_, schema)| schema);
            let call = Redaction::of(schema.unwrap_or(&Object::default()), [arguments]);
            ResourceRedaction { own: &self.own, call }.error(error)
        })
    }

    async fn grantees(&self, ty: &ResourceType, accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        self.session.grantees(ty, accesses).await.map_err(|error| self.redaction_of(ty, accesses).error(error))
    }

    async fn unexpressed(&self, ty: &ResourceType, imported: &Observed) -> Result<Vec<String>, ProviderError> {
        let unexpressed = self.session.unexpressed(ty, imported).await.map_err(|error| self.own.error(error))?;
        Ok(unexpressed.iter().map(|text| self.own.text(text)).collect())
    }

    fn probe<'a>(&'a self, schema: &'a ProviderSchema) -> Option<Probe<'a>> {
        let probe = self.session.probe(schema)?;
        Some(Box::pin(async { probe.await.map_err(|error| self.own.error(error)) }))
    }

    async fn missing_rights(&self) -> Result<Option<Vec<MissingRight>>, ProviderError> {
        let missing = self.session.missing_rights().await.map_err(|error| self.own.error(error))?;
        let redacted = |right: MissingRight| MissingRight {
            operation: self.own.text(&right.operation),
            statement: self.own.text(&right.statement),
        };
        Ok(missing.map(|rights| rights.into_iter().map(redacted).collect()))
    }

    async fn count_data(&self, ty: &ResourceType, prior: &Recorded) -> Result<DataAmount, ProviderError> {
        self.session
            .count_data(ty, prior)
            .await
            .map_err(|error| self.redaction_of(ty, row_attributes(prior)).error(error))
    }
}

/// Redaction for a call that may report progress. Built only when there is a text to redact.
struct CallRedaction(Arc<LazyRedaction>);

struct LazyRedaction {
    own: Arc<Redaction>,
    schema: Object,
    /// Sensitive attributes of the call.
    attributes: Vec<Attributes>,
    redaction: OnceLock<Redaction>,
}

impl CallRedaction {
    fn of<'a>(own: &Arc<Redaction>, ty: &ResourceType, attributes: impl IntoIterator<Item = &'a Attributes>) -> Self {
        let is_secret = |name: &String| ty.attributes.get(name).is_some_and(|it| it.sensitive || it.write_only);
        let secrets = |attributes: &Attributes| {
            let secrets = attributes.iter().filter(|(name, value)| value.has_sensitive() || is_secret(name));
            secrets.map(|(name, value)| (name.clone(), value.clone())).collect::<Attributes>()
        };
        let attributes: Vec<_> = attributes.into_iter().map(secrets).filter(|secrets| !secrets.is_empty()).collect();
        let schema = if attributes.is_empty() { Object::default() } else { ty.attributes.clone() };
        Self(Arc::new(LazyRedaction { own: Arc::clone(own), schema, attributes, redaction: OnceLock::new() }))
    }

    fn error(&self, error: ProviderError) -> ProviderError {
        self.0.own.error(self.0.redaction().error(error))
    }

    /// The call, with a progress that redacts.
    fn call(&self, call: &Call) -> Call {
        if self.0.attributes.is_empty() && self.0.own.is_empty() {
            return call.clone();
        }
        let progress = RedactingProgress { redaction: Arc::clone(&self.0), progress: Arc::clone(&call.progress) };
        Call { progress: Arc::new(progress), ..call.clone() }
    }
}

impl LazyRedaction {
    /// A text with the sensitive values of the call redacted.
    fn text(&self, text: &str) -> String {
        self.own.text(&self.redaction().text(text))
    }

    fn redaction(&self) -> &Redaction {
        self.redaction.get_or_init(|| Redaction::of(&self.schema, &self.attributes))
    }
}

struct RedactingProgress {
    redaction: Arc<LazyRedaction>,
    progress: Arc<dyn Progress>,
}

#[async_trait]
impl Progress for RedactingProgress {
    fn message(&self, text: &str) {
        self.progress.message(&self.redaction.text(text));
    }

    fn remark(&self, severity: Severity, text: &str) {
        self.progress.remark(severity, &self.redaction.text(text));
    }

    async fn partial(&self, partial: Partial) -> Result<(), ProviderError> {
        self.progress.partial(partial).await
    }
}

#[cfg(test)]
mod tests;
