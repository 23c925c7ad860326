//! What goes wrong on purpose. Statements are counted from 1 as they come in; the same request again is not another one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before anything happened.
    LostBefore,
    /// It happened, and the connection ends before the answer.
    LostAfter,
    /// It happened, and no answer to this request ever comes, however often it is sent again.
    LostForGood,
    /// It happened, the connection ends before the answer, and whoever asks again is answered with that status.
    LostThen(u16),
    /// It happened, and every request about it is answered with that status.
    After(u16),
    /// 202; it happens, and whoever asks for the answer gets that status.
    LaterThen(u16),
    /// Nothing happened: too many requests, with what `Retry-After` says.
    TooMany(Option<Duration>),
    /// Nothing happened: 503.
    Unavailable,
    /// The statement itself fails, with an internal error.
    Fails,
    /// 202, and so many more before the answer is there.
    Later(usize),
    /// 408: it took longer than it may.
    TimesOut,
    /// 401: the token is too old.
    Expired,
}

/// The faults of a stand-in.
#[derive(Debug, Default)]
pub struct Faults {
    /// By the number of the statement.
    pub by_number: BTreeMap<usize, Fault>,
    /// For the next statements, whatever their number.
    pub next: VecDeque<Fault>,
    /// For statements that hold a text, once each.
    pub by_text: Vec<(String, Fault)>,
    /// Answers of more rows come in partitions of so many.
    pub rows_of_partition: Option<usize>,
    /// How long every statement takes.
    pub takes: Option<Duration>,
}

impl Faults {
    pub(crate) fn take(&mut self, number: usize, sql: &str) -> Option<Fault> {
        if let Some(fault) = self.by_number.remove(&number) {
            return Some(fault);
        }
        if let Some(at) = self.by_text.iter().position(|(text, _)| sql.contains(text.as_str())) {
            return Some(self.by_text.remove(at).1);
        }
        self.next.pop_front()
    }
}
