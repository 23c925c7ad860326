//! What flows between steps, passed on and counted.
//!
//! A stream is a line of dependencies, a line that describes the data package, for each resource an empty line and its
//! rows, one a line, then an empty line and one of statistics.

use super::super::Watch;
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// So much is passed on at once.
const BLOCK: usize = 1 << 16;
/// How often somebody is told how far a stream is.
const PERIOD: Duration = Duration::from_millis(100);
/// Lines that are no rows: dependencies and description before them, statistics after them.
const BEFORE: u64 = 2;

/// Counts what flows.
#[derive(Debug, Default)]
pub(super) struct Counter {
    /// Lines with something in them.
    lines: u64,
    /// The line that is being read has something in it.
    is_begun: bool,
    pub(super) bytes: u64,
}

impl Counter {
    fn take(&mut self, block: &[u8]) {
        self.bytes += block.len() as u64;
        for byte in block {
            if *byte != b'\n' {
                self.is_begun = true;
            } else if self.is_begun {
                self.lines += 1;
                self.is_begun = false;
            }
        }
    }

    /// Rows so far; the line of statistics counts until it is known to be the last one.
    pub(super) const fn rows(&self, is_over: bool) -> u64 {
        let others = if is_over { BEFORE + 1 } else { BEFORE };
        self.lines.saturating_sub(others)
    }
}

/// What came out of a step.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// The last line with something in it, where it was asked for.
    pub(super) last: Vec<u8>,
}

/// Passes on what a step writes until it writes no more; answers what that was. A reader that went away stops nothing: what
/// the step still writes is dropped, and whoever waits for the reader knows how it ended.
///
/// # Errors
/// When the step cannot be read.
pub(super) async fn pass(
    step: usize,
    mut from: impl AsyncRead + Unpin,
    to: Option<&mut (impl AsyncWrite + Unpin)>,
    watch: &dyn Watch,
) -> io::Result<Passed> {
    let (mut counter, mut to) = (Counter::default(), to);
    let (mut last, mut line) = (Vec::new(), Vec::new());
    let is_last = to.is_none();
    let mut buffer = vec![0; BLOCK];
    let mut told = Instant::now();
    loop {
        let read = from.read(&mut buffer).await?;
        let block = buffer.get(..read).unwrap_or_default();
        if block.is_empty() {
            break;
        }
        counter.take(block);
        if let Some(writer) = &mut to
            && writer.write_all(block).await.is_err()
        {
            to = None;
        }
        if is_last {
            keep_last(block, &mut line, &mut last);
        }
        if told.elapsed() >= PERIOD {
            told = Instant::now();
            watch.progress(step, counter.rows(false), counter.bytes);
        }
    }
    if counter.is_begun {
        counter.lines += 1;
    }
    if !line.is_empty() {
        last = line;
    }
    let rows = counter.rows(true);
    watch.progress(step, rows, counter.bytes);
    Ok(Passed { rows, bytes: counter.bytes, last })
}

/// Keeps the last line that is whole and has something in it.
fn keep_last(block: &[u8], line: &mut Vec<u8>, last: &mut Vec<u8>) {
    let mut parts = block.split(|byte| *byte == b'\n');
    // What follows the last line break is the beginning of another line.
    let Some(rest) = parts.next_back() else { return };
    for part in parts {
        line.extend_from_slice(part);
        if !line.is_empty() {
            std::mem::swap(last, line);
        }
        line.clear();
    }
    line.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::StepOutcome;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Seen(Mutex<Vec<(u64, u64)>>);

    impl Watch for Seen {
        fn line(&self, _step: usize, _line: &str) {}
        fn progress(&self, _step: usize, rows: u64, bytes: u64) {
            self.0.lock().unwrap().push((rows, bytes));
        }
        fn ended(&self, _step: usize, _outcome: &StepOutcome) {}
    }

    const STREAM: &str = "{}\n{\"name\": \"_\"}\n\n{\"a\": 1}\n{\"a\": 2}\n\n{\"b\": 1}\n\n{\"rows\": 3}\n";

    #[tokio::test]
    async fn rows_are_counted_and_the_rest_is_not() {
        let (mut out, seen) = (Vec::new(), Seen::default());
        let passed = pass(0, STREAM.as_bytes(), Some(&mut out), &seen).await.unwrap();
        assert_eq!((passed.rows, passed.bytes), (3, STREAM.len() as u64));
        assert_eq!(out, STREAM.as_bytes());
        assert_eq!(seen.0.into_inner().unwrap(), [(3, STREAM.len() as u64)]);
    }

    #[tokio::test]
    async fn the_last_line_is_kept_however_the_blocks_fall() {
        for size in [1, 2, 3, 7, 1000] {
            let (mut line, mut last) = (Vec::new(), Vec::new());
            for block in STREAM.as_bytes().chunks(size) {
                keep_last(block, &mut line, &mut last);
            }
            assert_eq!((String::from_utf8(last).unwrap().as_str(), line.len()), ("{\"rows\": 3}", 0), "{size}");
        }
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_stops_nothing() {
        let (mut writer, reader) = tokio::io::duplex(4);
        drop(reader);
        let passed = pass(0, STREAM.as_bytes(), Some(&mut writer), &Seen::default()).await.unwrap();
        assert_eq!(passed.rows, 3);
    }
}
