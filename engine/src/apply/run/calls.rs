//! Calls that are ready, and who may go next: so many at once as the user allows, and of each provider instance so many
//! as it takes. A call that waits for its instance keeps no other from going, and its time does not run.

use crate::apply::steps::StepId;
use std::collections::{HashMap, VecDeque};

/// The queue of calls, and the number of those that run.
pub(super) struct Calls<'a> {
    instances: HashMap<&'a str, Instance>,
    /// The instances that have a call waiting and a slot free, in turn.
    ready: VecDeque<&'a str>,
    running: usize,
    most: usize,
}

struct Instance {
    waiting: VecDeque<StepId>,
    running: usize,
    most: usize,
    is_ready: bool,
}

impl<'a> Calls<'a> {
    /// An empty queue of which so many calls may run at once.
    pub(super) fn new(most: usize) -> Self {
        Self { instances: HashMap::new(), ready: VecDeque::new(), running: 0, most: most.max(1) }
    }

    /// How many calls run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// True when no call waits.
    pub(super) fn is_empty(&self) -> bool {
        self.instances.values().all(|instance| instance.waiting.is_empty())
    }

    /// Adds a call of an instance that takes so many at once.
    pub(super) fn push(&mut self, step: StepId, name: &'a str, most: usize) {
        let new = || Instance { waiting: VecDeque::new(), running: 0, most: most.max(1), is_ready: false };
        self.instances.entry(name).or_insert_with(new).waiting.push_back(step);
        self.offer(name);
    }

    /// Takes the call that goes next: it counts as running until [`Calls::end`].
    pub(super) fn start(&mut self) -> Option<(StepId, &'a str)> {
        if self.running >= self.most {
            return None;
        }
        let name = self.ready.pop_front()?;
        let instance = self.instances.get_mut(name)?;
        instance.is_ready = false;
        let step = instance.waiting.pop_front()?;
        instance.running += 1;
        self.running += 1;
        self.offer(name);
        Some((step, name))
    }

    /// A call of that instance ended, or turned out to be none.
    pub(super) fn end(&mut self, name: &str) {
        let Some((&name, _)) = self.instances.get_key_value(name) else { return };
        if let Some(instance) = self.instances.get_mut(name) {
            instance.running = instance.running.saturating_sub(1);
            self.running = self.running.saturating_sub(1);
        }
        self.offer(name);
    }

    fn offer(&mut self, name: &'a str) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        if !instance.is_ready && !instance.waiting.is_empty() && instance.running < instance.most {
            instance.is_ready = true;
            self.ready.push_back(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_is_full_keeps_no_other_waiting() {
        let mut calls = Calls::new(4);
        (0..5).for_each(|step| calls.push(step, "slow", 2));
        (5..7).for_each(|step| calls.push(step, "fast", 16));
        let started: Vec<_> = std::iter::from_fn(|| calls.start()).collect();
        assert_eq!(started, [(0, "slow"), (5, "fast"), (1, "slow"), (6, "fast")]);
        calls.end("fast");
        assert_eq!(calls.start(), None, "slow has no slot, fast no call");
        calls.end("slow");
        assert_eq!(calls.start(), Some((2, "slow")));
        assert_eq!((calls.running(), calls.is_empty()), (3, false));
    }
}
