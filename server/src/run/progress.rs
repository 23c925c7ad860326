//! Progress of an operation over all its attempts.

use super::Run;
use super::failure::Failure;
use std::collections::BTreeMap;
use terrace_engine::store::{StepResult, StepRow};

impl Run<'_> {
    /// All steps of this operation, also those of earlier attempts.
    pub(super) async fn steps(&self) -> Result<Vec<StepRow>, Failure> {
        Ok(self.store().operation(self.claim.operation).await?.map(|(_, steps)| steps).unwrap_or_default())
    }

    /// The summary of an operation that stops before it starts further steps.
    pub(super) async fn stop_summary(&self) -> String {
        // Without the steps, the summary is shorter.
        let steps = self.steps().await.unwrap_or_default();
        match steps.iter().find(|step| step.result.is_none()) {
            Some(StepRow { stack, address, .. }) => format!(
                "stopped; the outcome of {stack}:{address} is in doubt: the next request for it, or `terrace recover`, \
                 resolves it"
            ),
            None if steps.is_empty() => "stopped before it was applied".to_owned(),
            None => "stopped before the rest was applied".to_owned(),
        }
    }

    /// The number of changes in all attempts of an operation; `None` for the first attempt.
    pub(super) async fn total_done(&self) -> Result<Option<usize>, Failure> {
        if self.claim.fence == 1 {
            return Ok(None);
        }
        let steps = self.steps().await?;
        // The last step of each object has its outcome.
        let last: BTreeMap<_, _> = steps.iter().map(|step| ((&step.stack, &step.address), &step.result)).collect();
        let is_done =
            |result: &&&Option<StepResult>| matches!(result, Some(StepResult::Done | StepResult::Recovered(_)));
        let done = last.values().filter(is_done).count();
        Ok((done > 0).then_some(done))
    }
}
