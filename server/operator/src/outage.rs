//! Logs an outage once at its start and once at its end.

/// An outage of something that is tried again and again.
pub(crate) struct Outage {
    start: &'static str,
    end: &'static str,
    is_logged: bool,
}

impl Outage {
    /// `start` and `end` are the messages.
    pub(crate) const fn new(start: &'static str, end: &'static str) -> Self {
        Self { start, end, is_logged: false }
    }

    /// After a failure. Returns whether it was logged.
    pub(crate) fn began(&mut self, error: &str) -> bool {
        let is_first = !std::mem::replace(&mut self.is_logged, true);
        match is_first {
            true => tracing::warn!(error, "{}", self.start),
            false => tracing::debug!(error, "{}", self.start),
        }
        is_first
    }

    /// After a success. Returns whether an outage ended.
    pub(crate) fn ended(&mut self) -> bool {
        let is_end = std::mem::take(&mut self.is_logged);
        if is_end {
            tracing::info!("{}", self.end);
        }
        is_end
    }
}

#[cfg(test)]
mod tests {
    use super::Outage;

    #[test]
    fn outage_is_logged_once_at_its_start_and_once_at_its_end() {
        let mut outage = Outage::new("down", "up");
        assert!(!outage.ended());
        assert_eq!([outage.began("a"), outage.began("b"), outage.ended(), outage.ended()], [true, false, true, false]);
        assert!(outage.began("c"));
    }
}
