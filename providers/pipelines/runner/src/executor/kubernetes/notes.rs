//! Notes about the place of a run, for its log.

use super::super::JobObserver;
use std::sync::{Arc, Mutex, PoisonError};

/// Writes notes. A message that repeats itself is written once.
#[derive(Clone)]
pub(super) struct Notes<'a> {
    observer: &'a dyn JobObserver,
    last: Arc<Mutex<String>>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(observer: &'a dyn JobObserver) -> Self {
        Self { observer, last: Arc::default() }
    }

    /// Writes a note into the log.
    pub(super) fn note(&self, message: &str) {
        if self.is_new(message) {
            self.observer.note(message);
        }
    }

    /// Writes a note into the log, and shows it to the user.
    pub(super) fn warn(&self, message: &str) {
        if self.is_new(message) {
            self.observer.warned(message);
        }
    }

    /// The last note; empty before the first one.
    pub(super) fn last(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_new(&self, message: &str) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *last != message;
        message.clone_into(&mut last);
        is_new
    }
}
