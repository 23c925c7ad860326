//! Queue of ready calls. Limits hold for all calls, for each provider instance, and for each of its types that has a limit. A
//! waiting call does not delay calls of other lanes, and its timeout does not run.

use std::collections::{HashMap, VecDeque};
use terrace_plan::steps::StepId;

/// The queue of calls, and the number of running ones.
pub(super) struct Calls<'a> {
    instances: HashMap<&'a str, Instance>,
    lanes: Vec<Lane<'a>>,
    /// The lanes with a waiting call and a free slot, in turn.
    ready: VecDeque<LaneId>,
    running: usize,
    most: usize,
}

/// The lane of a call, which is passed back when the call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LaneId(usize);

struct Instance {
    running: usize,
    most: usize,
    /// The lane of types without a limit, and a lane for each type with one; the most recently used lane is last.
    lanes: VecDeque<LaneId>,
}

/// The waiting calls of one type with a limit, or of all other types of an instance.
struct Lane<'a> {
    instance: &'a str,
    ty: Option<&'a str>,
    waiting: VecDeque<StepId>,
    running: usize,
    most: usize,
    is_ready: bool,
}

impl<'a> Calls<'a> {
    /// An empty queue with a maximum number of running calls.
    pub(super) fn new(most: usize) -> Self {
        Self { instances: HashMap::new(), lanes: Vec::new(), ready: VecDeque::new(), running: 0, most: most.max(1) }
    }

    /// The number of running calls.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// True if no call waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.waiting.is_empty())
    }

    /// Adds a call of an instance, with the instance's limit, and perhaps of a type with its limit.
    pub(super) fn push(&mut self, step: StepId, instance: (&'a str, usize), ty: Option<(&'a str, usize)>) {
        let id = self.lane(instance, ty);
        if let Some(lane) = self.lanes.get_mut(id.0) {
            lane.waiting.push_back(step);
        }
        self.offer(id);
    }

    /// Takes the next call, which counts as running until [`Calls::end`].
    pub(super) fn start(&mut self) -> Option<(StepId, LaneId)> {
        if self.running >= self.most {
            return None;
        }
        loop {
            let id = self.ready.pop_front()?;
            let lane = self.lanes.get_mut(id.0)?;
            lane.is_ready = false;
            let instance = self.instances.get_mut(lane.instance)?;
            // Another lane took the last slot. This lane is offered again when a call of the instance ends.
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

    /// Ends a call, or a step that needed none.
    pub(super) fn end(&mut self, id: LaneId) {
        self.pause(id);
        self.leave(id);
    }

    /// Pauses a started call whose preparation takes time: its slots are free until [`Calls::resume`]. It keeps its place in its
    /// lane, which limits the number of waiting calls.
    pub(super) fn pause(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get(id.0) else { return };
        let Some(instance) = self.instances.get_mut(lane.instance) else { return };
        self.running = self.running.saturating_sub(1);
        instance.running = instance.running.saturating_sub(1);
        for id in instance.lanes.clone() {
            self.offer(id);
        }
    }

    /// Takes slots for a paused call; false if none is free.
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

    /// Ends a paused call, which does not resume.
    pub(super) fn leave(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(id.0) else { return };
        lane.running = lane.running.saturating_sub(1);
        self.offer(id);
    }

    fn lane(&mut self, (name, most): (&'a str, usize), ty: Option<(&'a str, usize)>) -> LaneId {
        let new = || Instance { running: 0, most: most.max(1), lanes: VecDeque::new() };
        let instance = self.instances.entry(name).or_insert_with(new);
        let (ty, most) = (ty.map(|(ty, _)| ty), ty.map_or(most, |(_, most)| most));
        let has_type = |id: &&LaneId| self.lanes.get(id.0).is_some_and(|lane| lane.ty == ty);
        if let Some(id) = instance.lanes.iter().find(has_type) {
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
    fn full_instance_does_not_delay_other_instances() {
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
    fn full_type_does_not_delay_other_types_of_its_instance() {
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
    fn paused_call_keeps_its_lane_place_but_no_slot() {
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
