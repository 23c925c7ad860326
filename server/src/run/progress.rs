//! Progress of an operation over all the times that it was resumed.

use super::Run;
use super::failure::Failure;
use std::collections::BTreeMap;
use terrace_engine::store::{StepResult, StepRow};

impl Run<'_> {
    /// All that this operation did or began, also before it was taken up again.
    pub(super) async fn steps(&self) -> Result<Vec<StepRow>, Failure> {
        Ok(self.store().operation(self.claim.operation).await?.map(|(_, steps)| steps).unwrap_or_default())
    }

    /// How an operation ends that is stopped before it begins anything more.
    pub(super) async fn stopped_before_the_end(&self) -> String {
        // Who cannot ask says less.
        let steps = self.steps().await.unwrap_or_default();
        match steps.iter().find(|step| step.result.is_none()) {
            Some(StepRow { stack, address, .. }) => format!(
                "stopped; what became of {stack}:{address} is not known yet: the next request about it, or \
                 `terrace recover`, finds out"
            ),
            None if steps.is_empty() => "stopped before it was applied".to_owned(),
            None => "stopped before the rest was applied".to_owned(),
        }
    }

    /// How much an operation did in all that was taken up again; nothing where it was not.
    pub(super) async fn done_in_all(&self) -> Result<Option<usize>, Failure> {
        if self.claim.fence == 1 {
            return Ok(None);
        }
        let steps = self.steps().await?;
        // The last step on each says how it ended.
        let last: BTreeMap<_, _> = steps.iter().map(|step| ((&step.stack, &step.address), &step.result)).collect();
        let is_done =
            |result: &&&Option<StepResult>| matches!(result, Some(StepResult::Done | StepResult::Recovered(_)));
        let done = last.values().filter(is_done).count();
        Ok((done > 0).then_some(done))
    }
}
