//! Calls that are ready, and who may go next: so many at once as the user allows, and of each provider instance, and of
//! each of its types that has a limit, so many as it takes. A call that waits for its turn, or for what comes before it,
//! keeps no other lane from going, and its time does not run.

use crate::plan::steps::StepId;
use std::collections::{HashMap, VecDeque};

/// The queue of calls, and the number of those that run.
pub(super) struct Calls<'a> {
    instances: HashMap<&'a str, Instance>,
    lanes: Vec<Lane<'a>>,
    /// The lanes that have a call waiting and a slot free, in turn.
    ready: VecDeque<LaneId>,
    running: usize,
    most: usize,
}

/// Where a call waited: what is told when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LaneId(usize);

struct Instance {
    running: usize,
    most: usize,
    /// The lane of its types without a limit, and those of types with one; whose turn it was last stands last.
    lanes: VecDeque<LaneId>,
}

/// The calls of an instance that wait in order: those of one type with a limit, or of all others.
struct Lane<'a> {
    instance: &'a str,
    ty: Option<&'a str>,
    waiting: VecDeque<StepId>,
    running: usize,
    most: usize,
    is_ready: bool,
}

impl<'a> Calls<'a> {
    /// An empty queue of which so many calls may run at once.
    pub(super) fn new(most: usize) -> Self {
        Self { instances: HashMap::new(), lanes: Vec::new(), ready: VecDeque::new(), running: 0, most: most.max(1) }
    }

    /// How many calls run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// True when no call waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.waiting.is_empty())
    }

    /// Adds a call of an instance, and perhaps of a type of it, each of which takes so many at once.
    pub(super) fn push(&mut self, step: StepId, instance: (&'a str, usize), ty: Option<(&'a str, usize)>) {
        let id = self.lane(instance, ty);
        if let Some(lane) = self.lanes.get_mut(id.0) {
            lane.waiting.push_back(step);
        }
        self.offer(id);
    }

    /// Takes the call that goes next: it counts as running until [`Calls::end`].
    pub(super) fn start(&mut self) -> Option<(StepId, LaneId)> {
        if self.running >= self.most {
            return None;
        }
        loop {
            let id = self.ready.pop_front()?;
            let lane = self.lanes.get_mut(id.0)?;
            lane.is_ready = false;
            let instance = self.instances.get_mut(lane.instance)?;
            // Another lane took its last slot: this one is offered again when a call of the instance ends.
            if instance.running >= instance.most {
                continue;
            }
            let step = lane.waiting.pop_front()?;
            lane.running += 1;
            instance.running += 1;
            instance.lanes.retain(|other| *other != id);
            instance.lanes.push_back(id);
            self.running += 1;
            self.offer(id);
            return Some((step, id));
        }
    }

    /// A call ended, or turned out to be none.
    pub(super) fn end(&mut self, id: LaneId) {
        self.pause(id);
        self.leave(id);
    }

    /// What a started call needs before it can go takes its time: its slots are others' until [`Calls::resume`]. It
    /// keeps its place in its lane, so that no more wait there than may run.
    pub(super) fn pause(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get(id.0) else { return };
        let Some(instance) = self.instances.get_mut(lane.instance) else { return };
        self.running = self.running.saturating_sub(1);
        instance.running = instance.running.saturating_sub(1);
        for id in instance.lanes.clone() {
            self.offer(id);
        }
    }

    /// Takes slots again for a call that was paused; false when there are none now.
    pub(super) fn resume(&mut self, id: LaneId) -> bool {
        let Some(lane) = self.lanes.get(id.0) else { return false };
        let Some(instance) = self.instances.get_mut(lane.instance) else { return false };
        let is_free = self.running < self.most && instance.running < instance.most;
        if is_free {
            self.running += 1;
            instance.running += 1;
        }
        is_free
    }

    /// A call that was paused does not come back.
    pub(super) fn leave(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(id.0) else { return };
        lane.running = lane.running.saturating_sub(1);
        self.offer(id);
    }

    fn lane(&mut self, (name, most): (&'a str, usize), ty: Option<(&'a str, usize)>) -> LaneId {
        let new = || Instance { running: 0, most: most.max(1), lanes: VecDeque::new() };
        let instance = self.instances.entry(name).or_insert_with(new);
        let (ty, most) = (ty.map(|(ty, _)| ty), ty.map_or(most, |(_, most)| most));
        let is_it = |id: &&LaneId| self.lanes.get(id.0).is_some_and(|lane| lane.ty == ty);
        if let Some(id) = instance.lanes.iter().find(is_it) {
            return *id;
        }
        let id = LaneId(self.lanes.len());
        instance.lanes.push_back(id);
        let waiting = VecDeque::new();
        self.lanes.push(Lane { instance: name, ty, waiting, running: 0, most: most.max(1), is_ready: false });
        id
    }

    fn offer(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(id.0) else { return };
        let has_slot = self.instances.get(lane.instance).is_some_and(|instance| instance.running < instance.most);
        if has_slot && !lane.is_ready && !lane.waiting.is_empty() && lane.running < lane.most {
            lane.is_ready = true;
            self.ready.push_back(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(calls: &mut Calls<'_>) -> Vec<(StepId, LaneId)> {
        std::iter::from_fn(|| calls.start()).collect()
    }

    fn steps(started: &[(StepId, LaneId)]) -> Vec<StepId> {
        started.iter().map(|(step, _)| *step).collect()
    }

    #[test]
    fn an_instance_that_is_full_keeps_no_other_waiting() {
        let mut calls = Calls::new(4);
        (0..5).for_each(|step| calls.push(step, ("slow", 2), None));
        (5..7).for_each(|step| calls.push(step, ("fast", 16), None));
        let first = started(&mut calls);
        assert_eq!(steps(&first), [0, 5, 1, 6]);
        let (slow, fast) = (first[0].1, first[1].1);
        calls.end(fast);
        assert_eq!(calls.start(), None, "slow has no slot, fast no call");
        calls.end(slow);
        assert_eq!(calls.start(), Some((2, slow)));
        assert_eq!((calls.running(), calls.is_empty()), (3, false));
    }

    #[test]
    fn a_type_that_is_full_keeps_no_other_type_of_its_instance_waiting() {
        let mut calls = Calls::new(16);
        (0..5).for_each(|step| calls.push(step, ("lake", 4), Some(("table", 1))));
        (5..9).for_each(|step| calls.push(step, ("lake", 4), None));
        let first = started(&mut calls);
        assert_eq!(steps(&first), [0, 5, 6, 7]);
        calls.end(first[1].1);
        assert_eq!(steps(&started(&mut calls)), [8], "the type has no slot");
        calls.end(first[0].1);
        assert_eq!(steps(&started(&mut calls)), [1]);
    }

    #[test]
    fn what_is_paused_keeps_its_place_in_its_lane_and_no_slot() {
        let mut calls = Calls::new(2);
        (0..5).for_each(|step| calls.push(step, ("slow", 2), None));
        (5..8).for_each(|step| calls.push(step, ("fast", 16), None));
        let first = started(&mut calls);
        assert_eq!(steps(&first), [0, 5]);
        let (slow, fast) = (first[0].1, first[1].1);
        calls.pause(slow);
        assert_eq!(steps(&started(&mut calls)), [1], "the lane has one place left");
        calls.pause(slow);
        assert_eq!(steps(&started(&mut calls)), [6], "two of the lane wait already");
        assert!(!calls.resume(slow), "all slots are taken");
        calls.end(fast);
        assert!(calls.resume(slow));
        assert_eq!(calls.start(), None);
        calls.end(slow);
        calls.leave(slow);
        assert_eq!(steps(&started(&mut calls)), [7]);
        calls.end(fast);
        assert_eq!(steps(&started(&mut calls)), [2]);
    }

    #[test]
    fn lanes_of_an_instance_take_turns() {
        let mut calls = Calls::new(16);
        for step in 0..3 {
            calls.push(step, ("lake", 1), Some(("table", 1)));
            calls.push(10 + step, ("lake", 1), None);
        }
        let mut order = Vec::new();
        while let Some((step, lane)) = calls.start() {
            order.push(step);
            calls.end(lane);
        }
        assert_eq!(order, [0, 10, 1, 11, 2, 12]);
        assert!(calls.is_empty());
    }
}
