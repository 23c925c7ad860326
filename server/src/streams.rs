//! Limits of open event streams, for all callers together and for each.

use crate::metrics;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The open streams, by caller.
#[derive(Debug)]
pub(crate) struct Streams {
    max: usize,
    open: Mutex<HashMap<String, usize>>,
}

impl Streams {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream for a caller. Returns `None` at the limit, which is half of all streams for a caller with a name.
    pub(crate) fn open_for(self: &Arc<Self>, caller: Option<&str>) -> Option<OpenStream> {
        let mut open = self.open();
        let count: usize = open.values().sum();
        let name = caller.unwrap_or_default();
        let own = open.get(name).copied().unwrap_or_default();
        let most = if caller.is_some() { self.max.div_ceil(2) } else { self.max };
        if count >= self.max || own >= most {
            return None;
        }
        open.insert(name.to_owned(), own + 1);
        metrics::streams(count + 1);
        Some(OpenStream { streams: Arc::clone(self), name: name.to_owned() })
    }
}

/// An open stream; dropping it closes the stream.
#[derive(Debug)]
pub(crate) struct OpenStream {
    streams: Arc<Streams>,
    name: String,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        if let Some(own) = open.get_mut(&self.name) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.name);
            }
        }
        metrics::streams(open.values().sum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_leaves_half_of_the_streams_to_others() {
        let streams = Arc::new(Streams::new(4));
        let open = |name: &str| streams.open_for(Some(name));
        let first = [open("ada"), open("ada")];
        assert!(first.iter().all(Option::is_some) && open("ada").is_none());
        let second = [open("grace"), open("grace")];
        assert!(second.iter().all(Option::is_some) && open("mary").is_none(), "there are four");
        drop(first);
        assert!(open("mary").is_some());
        drop(second);
        assert!(streams.open().is_empty());
        let unnamed: Vec<_> = (0..5).map_while(|_| streams.open_for(None)).collect();
        assert_eq!(unnamed.len(), 4, "callers without names share the limit");
    }
}
