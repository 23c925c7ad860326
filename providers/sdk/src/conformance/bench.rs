//! A small engine for the suite: plans, calls, checks results against the contract, and records them.

use super::contract;
use super::fixture::Fixture;
use super::instance::Reports;
use crate::call::NoProgress;
use crate::normal::respelled;
use crate::plan::{PlannedChange, ProposedChange};
use crate::{
    Attempt, Attributes, Call, ErrorKind, LostCall, Observed, Planned, Private, Progress, ProviderError, Recorded,
    ResourceType, Session, Value,
};
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Step id of a create.
const CREATE: &str = "create";
/// Step id of a delete.
pub(super) const DELETE: &str = "delete";

/// A session and a fixture for one behaviour. Tracks created objects, and removes them at the end.
pub(super) struct Bench<'a> {
    pub(super) session: Arc<dyn Session>,
    pub(super) ty: &'a ResourceType,
    pub(super) fixture: &'a Fixture,
    behaviour: &'static str,
    /// Number of the current operation.
    operation: AtomicUsize,
    created_objects: Mutex<Vec<Recorded>>,
    /// The reports of the create, as in the journal.
    reports: Arc<Reports>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        session: Arc<dyn Session>,
        ty: &'a ResourceType,
        fixture: &'a Fixture,
        behaviour: &'static str,
    ) -> Self {
        let (operation, created_objects, reports) = (AtomicUsize::new(0), Mutex::default(), Arc::default());
        Self { session, ty, fixture, behaviour, operation, created_objects, reports }
    }

    /// True if objects can be read.
    pub(super) fn is_readable(&self) -> bool {
        self.ty.readable && self.fixture.is_readable
    }

    /// The address of the object.
    pub(super) fn address(&self) -> String {
        format!("conformance@conformance:{}.{}", self.ty.name, self.fixture.label)
    }

    /// The operation of calls.
    fn operation(&self) -> String {
        format!("{}-{}", self.behaviour.replace(' ', "-"), self.operation.load(Ordering::Relaxed))
    }

    /// Begins another operation: a provider may remember calls by operation and step.
    pub(super) fn begin_operation(&self) {
        self.operation.fetch_add(1, Ordering::Relaxed);
    }

    /// A call of a step of this behaviour.
    pub(super) fn call(&self, step: &str) -> Call {
        Call {
            address: self.address(),
            operation: self.operation(),
            step: step.to_owned(),
            timeout: self.ty.timeouts.create,
            removes_data: false,
            cancel: CancellationToken::new(),
            progress: match step {
                CREATE => Arc::clone(&self.reports) as Arc<dyn Progress>,
                _ => Arc::new(NoProgress),
            },
        }
    }

    /// An attempt to create the object of the fixture: a lost call, or an adoption.
    pub(super) fn attempt(&self, planned: &PlannedChange, prior: Option<&Recorded>, is_lost_call: bool) -> Attempt {
        let lost_call = LostCall {
            operation: self.operation(),
            // The step of `create_planned`: a provider may mark a created object with its call.
            step: CREATE.to_owned(),
            timeout: Duration::from_secs(45),
            age: Duration::from_secs(60),
        };
        let (identity, private) = match is_lost_call && prior.is_none() {
            true => self.reports.attempted(self.ty, &planned.planned, &planned.private),
            false => (self.ty.identity_of(&planned.planned).unwrap_or_default(), planned.private.clone()),
        };
        Attempt {
            address: self.address(),
            identity,
            planned: planned.planned.clone(),
            private,
            prior: prior.cloned(),
            lost_call: is_lost_call.then_some(lost_call),
        }
    }

    /// Plans, and checks the plan against the configuration and the schema.
    pub(super) async fn plan(&self, prior: Option<&Recorded>, config: &Attributes) -> Result<PlannedChange, String> {
        let planned = self.propose(prior, config).await.map_err(|error| failed("plan", &error))?;
        self.checked_plan(prior, config, planned)
    }

    /// Plans a new object, and checks the plan; `None` if the provider refuses the configuration.
    pub(super) async fn plan_unless_refused(&self, config: &Attributes) -> Result<Option<PlannedChange>, String> {
        let planned = refused("plan", self.propose(None, config).await)?;
        planned.map(|planned| self.checked_plan(None, config, planned)).transpose()
    }

    async fn propose(&self, prior: Option<&Recorded>, config: &Attributes) -> Result<PlannedChange, ProviderError> {
        let address = self.address();
        let change = ProposedChange { address: &address, prior, config, must_replace: false, changed_write_only: &[] };
        self.session.plan(self.ty, &change).await
    }

    fn checked_plan(
        &self,
        prior: Option<&Recorded>,
        config: &Attributes,
        planned: PlannedChange,
    ) -> Result<PlannedChange, String> {
        let kept = prior.filter(|_| planned.replace_paths.is_empty()).map(|prior| &prior.attributes);
        contract::check_planned(self.ty, config, kept, &planned.planned)?;
        self.check_concealed("the plan", &planned.planned)?;
        Ok(planned)
    }

    /// Plans and creates.
    pub(super) async fn create(&self, config: &Attributes) -> Result<Recorded, String> {
        let plan = self.plan(None, config).await?;
        self.create_planned(&plan).await
    }

    /// Creates the planned object, and checks the answer against the plan and the schema.
    pub(super) async fn create_planned(&self, plan: &PlannedChange) -> Result<Recorded, String> {
        let planned = planned(plan);
        let observed = self.session.create(self.ty, &self.call(CREATE), &planned).await;
        self.created(&planned, &observed.map_err(|error| failed("create", &error))?)
    }

    /// Creates a planned object; `None` if the provider refuses the plan.
    pub(super) async fn create_unless_refused(&self, plan: &PlannedChange) -> Result<Option<Recorded>, String> {
        let planned = planned(plan);
        let observed = refused("create", self.session.create(self.ty, &self.call(CREATE), &planned).await)?;
        observed.map(|observed| self.created(&planned, &observed)).transpose()
    }

    fn created(&self, planned: &Planned, observed: &Observed) -> Result<Recorded, String> {
        // Recorded before the check: the object exists and must be removed even if it is wrong.
        let recorded = self.record(&planned.attributes, observed);
        self.created_objects.lock().unwrap_or_else(PoisonError::into_inner).push(recorded.clone());
        self.check_observed("create", Some(&planned.attributes), observed)?;
        Ok(recorded)
    }

    /// Plans and updates in place.
    pub(super) async fn update(&self, prior: &Recorded, config: &Attributes) -> Result<Recorded, String> {
        let plan = self.plan(Some(prior), config).await?;
        if !plan.replace_paths.is_empty() {
            return Err(format!("the plan replaces because of {}", paths(&plan)));
        }
        if contract::is_no_change(self.ty, prior, &plan) {
            return Err("the plan shows no change".to_owned());
        }
        let planned = planned(&plan);
        let observed = self.session.update(self.ty, &self.call("update"), prior, &planned).await;
        let observed = observed.map_err(|error| failed("update", &error))?;
        let recorded = self.record(&planned.attributes, &observed);
        self.created_objects.lock().unwrap_or_else(PoisonError::into_inner).push(recorded.clone());
        self.check_observed("update", Some(&planned.attributes), &observed)?;
        Ok(recorded)
    }

    /// Deletes.
    pub(super) async fn delete(&self, recorded: &Recorded) -> Result<(), String> {
        let deleted = self.session.delete(self.ty, &self.call(DELETE), recorded).await;
        deleted.map_err(|error| failed("delete", &error))
    }

    /// Reads, checks the answer against the schema, and records it; `None` if the object does not exist.
    pub(super) async fn read(&self, recorded: &Recorded) -> Result<Option<Recorded>, String> {
        let observed = self.session.read(self.ty, recorded).await.map_err(|error| failed("read", &error))?;
        let Some(observed) = observed else { return Ok(None) };
        self.check_observed("read", None, &observed)?;
        Ok(Some(self.record(&recorded.attributes, &observed)))
    }

    /// Reads an object that must exist.
    pub(super) async fn read_present(&self, recorded: &Recorded) -> Result<Recorded, String> {
        self.read(recorded).await?.ok_or_else(|| "the object cannot be found".to_owned())
    }

    /// Expects that a plan for the recorded object changes nothing.
    pub(super) async fn expect_no_change(&self, prior: &Recorded, config: &Attributes) -> Result<(), String> {
        let plan = self.plan(Some(prior), config).await?;
        if !plan.replace_paths.is_empty() {
            return Err(format!("a second plan replaces because of {}", paths(&plan)));
        }
        match contract::first_change(self.ty, &prior.attributes, &plan.planned) {
            Some(change) => Err(format!("a second plan is not empty: {change}")),
            None => Ok(()),
        }
    }

    /// Checks the result of a call.
    pub(super) fn check_observed(
        &self,
        what: &str,
        planned: Option<&Attributes>,
        observed: &Observed,
    ) -> Result<(), String> {
        contract::check_observed(self.ty, planned, observed).map_err(|problem| format!("{what} returned {problem}"))?;
        self.check_concealed(what, &observed.attributes)
    }

    /// The row of a call: the returned values over the known planned values, with the spelling and the sensitive marks
    /// of the plan.
    pub(super) fn record(&self, planned: &Attributes, observed: &Observed) -> Recorded {
        let is_stored = |name: &str| self.ty.attributes.get(name).is_some_and(|attribute| !attribute.write_only);
        let known = planned.iter().filter(|(name, value)| is_stored(name) && !value.has_unknown() && !value.is_null());
        let mut attributes: Attributes = known.map(|(name, value)| (name.clone(), value.clone())).collect();
        for (name, value) in &observed.attributes {
            let like = self.ty.attributes.get(name).zip(planned.get(name));
            let value = like.map_or(Cow::Borrowed(value), |(attribute, like)| respelled(attribute, value, like));
            attributes.insert(name.clone(), value.into_owned().derived_from(planned, &[name]));
        }
        Recorded {
            address: self.address(),
            identity: observed.identity.clone(),
            attributes,
            private: observed.private.clone(),
        }
    }

    /// Removes all objects of the behaviour: outside terrace if the fixture can, then with the provider.
    pub(super) async fn clean_up(&self) -> Result<(), String> {
        let created = std::mem::take(&mut *self.created_objects.lock().unwrap_or_else(PoisonError::into_inner));
        for recorded in created.iter().rev() {
            if let Some(remove) = &self.fixture.remove {
                remove(recorded.clone()).await;
            }
            self.delete(recorded).await.map_err(|problem| format!("cleaning up: {problem}"))?;
        }
        self.begin_operation();
        Ok(())
    }

    fn check_concealed(&self, what: &str, attributes: &Attributes) -> Result<(), String> {
        let shown = self.fixture.concealed.iter().find(|name| {
            attributes.get(**name).is_some_and(|value| !value.is_null() && !matches!(value, Value::Sensitive(_)))
        });
        shown.map_or(Ok(()), |name| Err(format!("{what} shows `{name}`, which is sensitive here")))
    }
}

/// The input of a call.
fn planned(plan: &PlannedChange) -> Planned {
    Planned { attributes: plan.planned.clone(), private: Private(plan.private.0.clone()) }
}

/// The paths of a replacement, for a message.
pub(super) fn paths(plan: &PlannedChange) -> String {
    plan.replace_paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
}

/// The message for a failed call.
pub(super) fn failed(what: &str, error: &ProviderError) -> String {
    format!("{what} failed ({}): {error}", error.kind.code())
}

/// A refusal as `None`; any other error is a failure of the behaviour.
fn refused<T>(what: &str, result: Result<T, ProviderError>) -> Result<Option<T>, String> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if matches!(error.kind, ErrorKind::Bug | ErrorKind::Ambiguous) || error.object.is_some() => {
            Err(failed(what, &error))
        }
        Err(_) => Ok(None),
    }
}
