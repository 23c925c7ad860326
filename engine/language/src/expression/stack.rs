//! Evaluation on a sufficiently large stack. CEL's parser and evaluator are recursive, and a thread's stack is small.
//!
//! The needed stack is estimated in advance. Ordinary expressions run on the current thread. A deep expression runs on
//! a new thread with a large enough stack, so that no text can overflow a stack.

/// The stack that every thread is assumed to have left.
const ASSUMED_FREE: usize = 768 * 1024;

/// The stack that is needed regardless of depth.
const BASE: usize = 512 * 1024;

/// Runs the work with at least that many bytes of stack. Returns `None` when the thread cannot be created.
pub(super) fn with_stack<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    if bytes <= ASSUMED_FREE {
        return Some(work());
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(BASE + bytes).spawn_scoped(scope, work).ok()?.join().ok()
    })
}
