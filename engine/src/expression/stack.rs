//! Recursion without surprises: parser and evaluator of CEL recurse over the tree, and a thread's stack is small.
//!
//! What an expression will need is estimated beforehand. The ordinary ones run where they are; the rare deep one runs
//! on a thread of its own whose stack is large enough, so that no text can overflow any stack.

/// What every thread is trusted to have left.
const AT_HAND: usize = 768 * 1024;

/// Room for what does not depend on the depth.
const BASE: usize = 512 * 1024;

/// Runs the work with at least that many bytes of stack. `None` when no such thread can be had.
pub(super) fn with_stack<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    if bytes <= AT_HAND {
        return Some(work());
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(BASE + bytes).spawn_scoped(scope, work).ok()?.join().ok()
    })
}
