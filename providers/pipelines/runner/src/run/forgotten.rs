//! Removes the record of a schedule whose CronJob is gone. No apply removes it if no stack has the schedule, and a destroy calls no
//! provider for an object that is gone.

use super::runner::Runner;
use super::timed::{NotTimed, executor_at};
use crate::executor::Executor;

impl Runner {
    /// Removes the record of a schedule whose CronJob does not exist in its cluster now.
    ///
    /// # Errors
    /// When the schedule is unknown, its CronJob exists, its cluster does not answer, or the record cannot be read or removed.
    pub async fn forget_schedule(&self, name: &str) -> Result<(), NotTimed> {
        let store = self.schedules();
        let stored = store.get(name).map_err(|error| NotTimed::plain(format!("its record cannot be read: {error}")))?;
        let Some(schedule) = stored else {
            let hint = "`terrace pipelines schedules` lists schedules; remove that of a spec from the spec";
            return Err(NotTimed::new("no stack declared it", hint));
        };
        let by_stack = "remove it from its stack, and apply the stack";
        let Some(cron_job) = &schedule.cron_job else { return Err(NotTimed::new("it has no CronJob", by_stack)) };
        let state = match executor_at(&cron_job.place) {
            Ok(executor) => match executor.timed() {
                Some(timed) => timed.state(&cron_job.name).await.map_err(|error| error.message),
                None => Err("its cluster starts no schedules".to_owned()),
            },
            Err(message) => Err(message),
        };
        match state {
            Ok(None) => {}
            Ok(Some(_)) => return Err(NotTimed::new("its CronJob exists", by_stack)),
            Err(message) => {
                let hint = format!(
                    "restore the access to {}; if the cluster is gone for ever, remove `{}`",
                    cron_job.place,
                    store.place(name).display()
                );
                return Err(NotTimed::new(format!("its CronJob may exist: {message}"), &hint));
            }
        }
        self.record_last_runs_of(&schedule).await;
        store.remove(name).map_err(|error| NotTimed::plain(format!("its record cannot be removed: {error}")))
    }
}
