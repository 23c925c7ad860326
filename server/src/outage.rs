//! What does not work for a while, and is tried again and again: it is told as it begins, and once it is over.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether something does not work at the moment.
#[derive(Debug, Default)]
pub(crate) struct Outage(AtomicBool);

impl Outage {
    /// It does not work; true where it did until now.
    pub(crate) fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// It works; true where it did not until now.
    pub(crate) fn ends(&self) -> bool {
        // All workers ask, again and again: hardly ever there is anything to write.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::Outage;

    #[test]
    fn each_outage_begins_and_ends_once() {
        let outage = Outage::default();
        assert!(!outage.ends());
        for _ in 0..2 {
            assert_eq!([outage.begins(), outage.begins(), outage.ends(), outage.ends()], [true, false, true, false]);
        }
    }
}
