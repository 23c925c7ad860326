//! Faults on purpose.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// The faults of a stand-in: `F` is the fault of a call, and `V` has the further fields of a vendor.
#[derive(Debug)]
pub struct Faults<F, V> {
    /// By the number of the call, from 1.
    pub by_number: BTreeMap<usize, F>,
    /// For the next calls, in order.
    pub next: VecDeque<F>,
    /// For calls whose line contains a text, once each.
    pub by_text: Vec<(String, F)>,
    /// Duration of every call.
    pub takes: Option<Duration>,
    vendor: V,
}

impl<F, V: Default> Default for Faults<F, V> {
    fn default() -> Self {
        Self {
            by_number: BTreeMap::new(),
            next: VecDeque::new(),
            by_text: Vec::new(),
            takes: None,
            vendor: V::default(),
        }
    }
}

impl<F, V> Faults<F, V> {
    /// Takes the fault of a call by its number or its line, or else the next one.
    pub fn take(&mut self, number: usize, line: &str) -> Option<F> {
        if let Some(fault) = self.by_number.remove(&number) {
            return Some(fault);
        }
        if let Some(at) = self.by_text.iter().position(|(text, _)| line.contains(text.as_str())) {
            return Some(self.by_text.remove(at).1);
        }
        self.next.pop_front()
    }
}

impl<F, V> Deref for Faults<F, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.vendor
    }
}

impl<F, V> DerefMut for Faults<F, V> {
    fn deref_mut(&mut self) -> &mut V {
        &mut self.vendor
    }
}
