//! Short file-system calls on asynchronous threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Number of calls that run now.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Runs a short file-system call on the current thread: a handover to another thread takes longer than the call.
///
/// A hanging file system must not take all threads of tokio. So the last free thread hands its other work over before
/// the call (`block_in_place`). Not for a `LocalSet`.
pub fn block_briefly<T>(call: impl FnOnce() -> T) -> T {
    let workers = Handle::try_current().ok().filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    let Some(workers) = workers.map(|runtime| runtime.metrics().num_workers()) else { return call() };
    let running = RunningCall::start();
    if running.0 < workers { call() } else { block_in_place(call) }
}

/// Place of a running call among all running calls, from 1. Ends when dropped.
struct RunningCall(usize);

impl RunningCall {
    fn start() -> Self {
        Self(RUNNING.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};
    use std::time::Duration;

    #[test]
    fn hanging_calls_leave_a_thread_free() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let hanging = Arc::new(Barrier::new(5));
        runtime.block_on(async {
            let calls: Vec<_> = (0..4)
                .map(|number| {
                    let hanging = Arc::clone(&hanging);
                    tokio::spawn(async move {
                        block_briefly(|| hanging.wait());
                        number
                    })
                })
                .collect();
            // All four calls hang at once on two threads; the other task finishes nevertheless.
            let other = tokio::spawn(async { tokio::time::sleep(Duration::from_millis(1)).await });
            tokio::time::timeout(Duration::from_secs(60), other).await.unwrap().unwrap();
            tokio::task::spawn_blocking(move || hanging.wait()).await.unwrap();
            for call in calls {
                call.await.unwrap();
            }
        });
    }
}
