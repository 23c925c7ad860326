//! Priorities of threads.

/// Gives the thread of a worker a lower priority than those that answer calls. On Linux the priority applies to one
/// thread, elsewhere to the whole process.
pub(crate) fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(5) {
        tracing::debug!(%error, "cannot lower the priority of workers");
    }
}
