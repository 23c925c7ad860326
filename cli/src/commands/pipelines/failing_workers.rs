//! Workers that end at their start, with the reason for users: a run would wait for them in silence.

use crate::report::harmless_line;
use terrace_pipelines::queue::{Pool, Queue, QueueError};
use terrace_pipelines::worker::launch::{last_error, log_path};

/// The reason why no worker starts for a run; nothing if the workers of a pool start. `name` is the only pool that can take the run.
///
/// # Errors
/// When the queue cannot be read.
pub(super) async fn reason(queue: &Queue, name: Option<&str>) -> Result<Option<String>, QueueError> {
    let pools = open_pools(queue).await?;
    let (failing, starting): (Vec<&Pool>, Vec<&Pool>) =
        pools.iter().filter(|pool| name.is_none_or(|name| pool.name == name)).partition(|pool| pool.is_failing());
    Ok(failing.first().filter(|_| starting.is_empty()).map(|pool| in_words(queue, pool)))
}

/// The reasons why the workers of pools do not start, one for each of these pools.
///
/// # Errors
/// When the queue cannot be read.
pub(super) async fn reasons(queue: &Queue) -> Result<Vec<String>, QueueError> {
    let pools = open_pools(queue).await?;
    Ok(pools.iter().filter(|pool| pool.is_failing()).map(|pool| in_words(queue, pool)).collect())
}

async fn open_pools(queue: &Queue) -> Result<Vec<Pool>, QueueError> {
    let mut pools = queue.call(Queue::pools).await?;
    pools.retain(|pool| !pool.is_closing && !pool.is_expired && pool.size > 0);
    Ok(pools)
}

fn in_words(queue: &Queue, pool: &Pool) -> String {
    let why = last_error(queue.folder(), &pool.name).map(|why| format!(": {}", harmless_line(&why)));
    let log = log_path(queue.folder(), &pool.name);
    format!(
        "the workers of the pool `{}` end at their start{}; their log is `{}`",
        pool.name,
        why.unwrap_or_default(),
        log.display()
    )
}
