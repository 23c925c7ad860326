//! Work that blocks its thread for a moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Who is at it.
static AT_IT: AtomicUsize = AtomicUsize::new(0);

/// Looks at the file system on the thread that asks: to have another thread do that, or to give it what else this one had to
/// do, takes longer than the look. So that a file system that hangs does not take all of tokio's threads, the last of them
/// hands the rest of its work over before it looks. Not for a `LocalSet`.
pub fn glance<T>(look: impl FnOnce() -> T) -> T {
    let workers = Handle::try_current().ok().filter(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    let Some(workers) = workers.map(|runtime| runtime.metrics().num_workers()) else { return look() };
    let turn = Turn::take();
    if turn.0 < workers { look() } else { block_in_place(look) }
}

/// The how-manieth is at it, as long as it lives.
struct Turn(usize);

impl Turn {
    fn take() -> Self {
        Self(AT_IT.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        AT_IT.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};
    use std::time::Duration;

    #[test]
    fn looks_that_hang_leave_a_thread_to_others() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let hanging = Arc::new(Barrier::new(5));
        runtime.block_on(async {
            let looks: Vec<_> = (0..4)
                .map(|number| {
                    let hanging = Arc::clone(&hanging);
                    tokio::spawn(async move {
                        glance(|| hanging.wait());
                        number
                    })
                })
                .collect();
            // All four hang at once, though there are two threads, and this is done nevertheless.
            let other = tokio::spawn(async { tokio::time::sleep(Duration::from_millis(1)).await });
            tokio::time::timeout(Duration::from_secs(60), other).await.unwrap().unwrap();
            tokio::task::spawn_blocking(move || hanging.wait()).await.unwrap();
            for look in looks {
                look.await.unwrap();
            }
        });
    }
}
