//! The session: maps calls to requests of the adapter's API.

use crate::adapter::{Client, State, Status};
use crate::calls::{Calls, Ended, TokenStatus};
use crate::config::Config;
use crate::failure;
use crate::mark::{Action, Mark, Marks, Progress};
use crate::resources::attributes::{observed, plan, untouched};
use crate::resources::{Kind, endpoint_of};
use crate::validation;
use async_trait::async_trait;
use terrace_provider::provider::DryRun;
use terrace_provider::{
    Attempt, Attributes, Call, ErrorKind, Found, Observed, Planned, PlannedChange, ProposedChange, ProviderError,
    Recorded, ResourceType, Session, Settings,
};

/// An open instance.
pub(crate) struct WitboostSession {
    calls: Calls,
}

impl WitboostSession {
    /// Opens an instance without connecting.
    ///
    /// # Errors
    /// If a setting is invalid.
    pub(crate) fn open(settings: &Settings) -> Result<Self, ProviderError> {
        let config = Config::read(settings)?;
        let client = Client::new(&config, settings)?;
        Ok(Self { calls: Calls { client, config, marks: Marks::default() } })
    }

    /// Requests the create or update of an object.
    ///
    /// Failed work is recorded with its status, because a component may exist in part. Failed access of a new object is
    /// not recorded: the next call sends all principals again, and the access is deleted with the component.
    async fn apply(
        &self,
        ty: &ResourceType,
        call: &Call,
        planned: &Attributes,
        is_new: bool,
    ) -> Result<Observed, ProviderError> {
        let kind = Kind::of(ty)?;
        let request = kind.apply_request(planned)?;
        let by = (call.operation.as_str(), call.step.as_str());
        let (error, ended) = match self.calls.run(call, &request).await {
            Ok(ended) if ended.status.is_completed() => return Ok(observed(ty, planned, by, &ended)),
            Ok(ended) => (failure::failed(&request.endpoint, request.task, &ended.status), ended),
            Err(error) if error.kind == ErrorKind::Failed => {
                (error, Ended { token: None, status: Status::of(State::Failed) })
            }
            Err(error) => return Err(error),
        };
        match is_new && kind == Kind::Access {
            true => Err(error),
            false => Err(error.with_object(observed(ty, planned, by, &ended))),
        }
    }

    /// The progress of a lost call, from the session or the journal.
    fn mark(&self, attempt: &Attempt) -> Option<Mark> {
        let lost = attempt.lost_call.as_ref()?;
        self.calls.marks.of(&attempt.address, lost).or_else(|| Mark::of(&attempt.private, lost))
    }
}

#[async_trait]
impl Session for WitboostSession {
    /// Returns the row: an adapter cannot list its objects.
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let Recorded { identity, attributes, private, .. } = prior.clone();
        Ok(Some(Observed { identity, attributes, private }))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        plan(&self.calls.config, ty, change)
    }

    async fn create(&self, ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        self.apply(ty, call, &planned.attributes, true).await
    }

    async fn update(
        &self,
        ty: &ResourceType,
        call: &Call,
        _prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        self.apply(ty, call, &planned.attributes, false).await
    }

    async fn delete(&self, ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let request = Kind::of(ty)?.delete_request(&prior.attributes, call.removes_data)?;
        let Ended { status, .. } = self.calls.run(call, &request).await?;
        match status.is_completed() {
            true => Ok(()),
            false => Err(failure::failed(&request.endpoint, request.task, &status)),
        }
    }

    /// Finds the outcome of a call: its journal entry shows the progress, and its token the end. A call that was never
    /// sent had no effect; the outcome of a sent call without a token is unknown.
    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let kind = Kind::of(ty)?;
        let attributes = match &attempt.prior {
            Some(prior) if attempt.planned.is_empty() => &prior.attributes,
            _ => &attempt.planned,
        };
        let unchanged = || match &attempt.prior {
            Some(_) => Found::Own(untouched(ty, attributes, kind.content())),
            None => Found::Absent,
        };
        // Without a lost call, the caller looks for an object to adopt.
        let Some(lost) = &attempt.lost_call else { return Ok(Found::Unknown) };
        let by = (lost.operation.as_str(), lost.step.as_str());
        let Some(mark) = self.mark(attempt) else { return Ok(unchanged()) };
        let token = match mark.progress {
            Progress::Sent => return Ok(Found::Unknown),
            Progress::Refused => return Ok(unchanged()),
            Progress::Done => match mark.action {
                Action::Apply => {
                    let ended = Ended { token: None, status: Status::of(State::Completed) };
                    return Ok(Found::Own(observed(ty, attributes, by, &ended)));
                }
                Action::Remove => return Ok(Found::Absent),
            },
            Progress::Token(token) => token,
        };
        match self.calls.read_status(&endpoint_of(attributes)?, &token).await {
            TokenStatus::Status(status) if !status.state.has_ended() => {
                Ok(Found::Pending(format!("the adapter reports {}", status.state.as_str())))
            }
            TokenStatus::Status(status) => match (mark.action, status.state) {
                (Action::Remove, State::Completed) => Ok(Found::Absent),
                (Action::Remove, _) => Ok(unchanged()),
                // Failed work is recorded with its status; the next plan repeats the call.
                (Action::Apply, _) => {
                    Ok(Found::Own(observed(ty, attributes, by, &Ended { token: Some(token), status })))
                }
            },
            TokenStatus::Unknown(_) => Ok(Found::Unknown),
            TokenStatus::Unavailable(why, retry_after) => {
                let kind = match retry_after {
                    Some(_) => ErrorKind::Throttled { retry_after },
                    None => ErrorKind::Transient,
                };
                Err(ProviderError::new(kind, format!("the outcome of the call cannot be determined: {why}")))
            }
        }
    }

    async fn import(&self, ty: &ResourceType, _id: &str) -> Result<Option<Observed>, ProviderError> {
        let message = format!("a `{}` cannot be imported: adapters cannot list their objects", ty.name);
        Err(ProviderError::invalid(None, message)
            .solution("apply it instead: an adapter leaves an existing component unchanged"))
    }

    fn validate_remote<'a>(&'a self, ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        match Kind::of(ty) {
            Ok(Kind::Component) => validation::dry_run(&self.calls, planned),
            _ => None,
        }
    }
}
