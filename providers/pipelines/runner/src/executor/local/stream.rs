//! Forwards and counts the stream between two steps.
//!
//! A stream is a line of dependencies, a line that describes the data package, then per resource an empty line and its
//! rows, one per line. An empty line and a line of statistics end it.

use super::super::JobObserver;
use super::super::throttle::ProgressThrottle;
use serde_json::{Map, Value};
use std::io;
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes per read.
const BLOCK: usize = 1 << 16;
/// Lines before the rows: dependencies and description.
const BEFORE: u64 = 2;

/// Counter of lines and bytes.
#[derive(Debug, Default)]
pub(super) struct Counter {
    /// Lines that are not empty.
    lines: u64,
    /// Number of them since the last empty line.
    since_empty: u64,
    /// The present line is not empty.
    has_content: bool,
    pub(super) bytes: u64,
}

impl Counter {
    fn add_block(&mut self, block: &[u8]) {
        self.bytes += block.len() as u64;
        for byte in block {
            if *byte != b'\n' {
                self.has_content = true;
            } else if self.has_content {
                self.end();
            } else {
                self.since_empty = 0;
            }
        }
    }

    /// Ends a line that is not empty.
    const fn end(&mut self) {
        self.lines += 1;
        self.since_empty += 1;
        self.has_content = false;
    }

    /// Returns true after the description of a data package.
    pub(super) const fn has_package(&self) -> bool {
        self.lines >= BEFORE
    }

    /// Rows so far. The first line after an empty one may be the statistics: it counts as a row once another line
    /// follows, even an empty one.
    pub(super) const fn rows(&self) -> u64 {
        let open = if self.since_empty == 1 { 1 } else { 0 };
        self.lines.saturating_sub(BEFORE + open)
    }
}

/// Output of a step so far.
#[derive(Debug, Clone, Default)]
pub(super) struct OutputCounts {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// It describes a data package.
    pub(super) has_package: bool,
    /// The last line that is not empty, for the last step only, and whether an empty line precedes it.
    last: (Vec<u8>, bool),
}

impl OutputCounts {
    /// Statistics of the steps; nothing if the stream does not end with them.
    pub(super) fn statistics(&self) -> Option<Map<String, Value>> {
        let (line, is_after_empty) = &self.last;
        let parse = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
        // An empty line separates statistics from rows.
        let value = is_after_empty.then(|| parse(line).or_else(|| parse(plain_json(line).as_bytes())))??;
        if let Value::Object(map) = value { Some(map) } else { None }
    }
}

/// Converts Python's output to JSON: `NaN` and infinities become `null`, lone surrogates the replacement character.
fn plain_json(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('"').peekable();
    let mut is_text = false;
    while let Some(part) = parts.next() {
        if is_text {
            plain.push_str(&whole_characters(part));
        } else {
            let part = part.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null");
            plain.push_str(&part);
        }
        // A quote after an odd number of backslashes is part of the text.
        let is_escaped = is_text && part.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        is_text = if is_escaped { is_text } else { !is_text };
        if parts.peek().is_some() {
            plain.push('"');
        }
    }
    plain
}

/// Replaces lone surrogates in a JSON text: an escape such as `\ud800` without its other half.
fn whole_characters(text: &str) -> String {
    let half = |text: &str, low: u32, high: u32| {
        let code = text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        code.is_some_and(|code| (low..=high).contains(&code))
    };
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        whole.push_str(before);
        let code = after.strip_prefix('u').unwrap_or_default();
        let (is_first, is_second) = (half(code, 0xd800, 0xdbff), half(code, 0xdc00, 0xdfff));
        let next = code.get(4..).and_then(|next| next.strip_prefix("\\u")).unwrap_or_default();
        let length = match (is_first && half(next, 0xdc00, 0xdfff), is_first || is_second) {
            (true, _) => 11,
            (false, true) => {
                whole.push_str("\\ufffd");
                rest = after.get(5..).unwrap_or_default();
                continue;
            }
            // An escape of two characters: the second may be a backslash.
            (false, false) => after.chars().next().map_or(0, char::len_utf8),
        };
        whole.push('\\');
        whole.push_str(after.get(..length).unwrap_or(after));
        rest = after.get(length..).unwrap_or_default();
    }
    whole + rest
}

/// Output of a step so far, for readers before its end.
#[derive(Debug, Default)]
pub(super) struct SharedCounts(Mutex<OutputCounts>);

impl SharedCounts {
    pub(super) fn snapshot(&self) -> OutputCounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, counter: &Counter, last: Option<&Lines>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (counts.rows, counts.bytes) = (counter.rows(), counter.bytes);
        counts.has_package = counter.has_package();
        if let Some(lines) = last {
            counts.last.clone_from(&lines.last);
        }
    }
}

/// Forwards the output of a step until its end, counts it, and reports the counts. If the reader ends, the rest is dropped:
/// the reader's status explains why.
///
/// # Errors
/// When the output cannot be read.
pub(super) async fn forward(
    step: usize,
    mut from: impl AsyncRead + Unpin,
    to: Option<&mut (impl AsyncWrite + Unpin)>,
    shared_counts: &SharedCounts,
    observer: &dyn JobObserver,
) -> io::Result<()> {
    let (mut counter, mut to) = (Counter::default(), to);
    let mut lines = to.is_none().then(Lines::default);
    let mut buffer = vec![0; BLOCK];
    let mut throttle = ProgressThrottle::default();
    loop {
        let read = throttle.wait(observer, from.read(&mut buffer)).await?;
        let block = buffer.get(..read).unwrap_or_default();
        if block.is_empty() {
            break;
        }
        counter.add_block(block);
        if let Some(writer) = &mut to
            && writer.write_all(block).await.is_err()
        {
            to = None;
        }
        if let Some(lines) = &mut lines {
            lines.add_block(block);
        }
        shared_counts.update(&counter, lines.as_ref());
        throttle.note(observer, step, counter.rows(), counter.bytes);
    }
    if counter.has_content {
        counter.end();
    }
    if let Some(lines) = &mut lines {
        lines.end();
    }
    shared_counts.update(&counter, lines.as_ref());
    throttle.note(observer, step, counter.rows(), counter.bytes);
    throttle.flush(observer);
    Ok(())
}

/// Keeps the last complete line that is not empty.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    /// The previous line is empty.
    is_after_empty: bool,
    last: (Vec<u8>, bool),
}

impl Lines {
    fn add_block(&mut self, block: &[u8]) {
        let mut parts = block.split(|byte| *byte == b'\n');
        // The text after the last line break begins another line.
        let Some(rest) = parts.next_back() else { return };
        for part in parts {
            self.line.extend_from_slice(part);
            self.end();
        }
        self.line.extend_from_slice(rest);
    }

    fn end(&mut self) {
        let is_empty = self.line.is_empty();
        if !is_empty {
            std::mem::swap(&mut self.last.0, &mut self.line);
            self.last.1 = self.is_after_empty;
            self.line.clear();
        }
        self.is_after_empty = is_empty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::StepOutcome;
    use crate::executor::throttle::PERIOD;
    use jiff::Timestamp;
    use serde_json::json;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Reports(Mutex<Vec<(u64, u64)>>);

    impl JobObserver for Reports {
        fn line(&self, _step: usize, _at: Timestamp, _line: &str) {}
        fn progress(&self, _step: usize, rows: u64, bytes: u64) {
            self.0.lock().unwrap().push((rows, bytes));
        }
        fn ended(&self, _step: usize, _outcome: &StepOutcome) {}
    }

    const STREAM: &str = "{}\n{\"name\": \"_\"}\n\n{\"a\": 1}\n{\"a\": 2}\n\n{\"b\": 1}\n\n{\"rows\": 3}\n";

    #[tokio::test]
    async fn only_rows_are_counted() {
        let (mut out, reports, shared_counts) = (Vec::new(), Reports::default(), SharedCounts::default());
        forward(0, STREAM.as_bytes(), Some(&mut out), &shared_counts, &reports).await.unwrap();
        let counts = shared_counts.snapshot();
        assert_eq!((counts.rows, counts.bytes), (3, STREAM.len() as u64));
        assert_eq!(out, STREAM.as_bytes());
        assert_eq!(reports.0.into_inner().unwrap(), [(3, STREAM.len() as u64)]);
    }

    #[tokio::test]
    async fn last_rows_are_reported_in_a_pause_of_the_step() {
        tokio::time::pause();
        let (mut writer, reader) = tokio::io::duplex(1 << 12);
        let (reports, shared_counts) = (Reports::default(), SharedCounts::default());
        let rows = || reports.0.lock().unwrap().iter().map(|(rows, _)| *rows).collect::<Vec<u64>>();
        let writing = async {
            writer.write_all(b"{}\n{}\n\n{}\n{}\n").await.unwrap();
            tokio::time::sleep(PERIOD * 2).await;
            assert_eq!(rows(), [2]);
            for _ in 0..8 {
                writer.write_all(b"{}\n").await.unwrap();
                tokio::time::sleep(PERIOD / 4).await;
            }
            let reported = rows();
            assert!(reported.len() < 5, "more than one report in a second: {reported:?}");
            tokio::time::sleep(PERIOD * 2).await;
            assert_eq!(rows().last(), Some(&10));
            drop(writer);
        };
        let forwarding = forward(0, reader, None::<&mut Vec<u8>>, &shared_counts, &reports);
        tokio::join!(forwarding, writing).0.unwrap();
    }

    #[tokio::test]
    async fn progress_reports_count_only_rows() {
        let truncated = STREAM.split_once("\n\n{\"rows").unwrap().0;
        tokio::time::pause();
        for (stream, rows) in [("{}\n{}\n\n{\"pages\": 1}\n", 0), (STREAM, 3), (&format!("{truncated}\n\n"), 3)] {
            let (mut writer, reader) = tokio::io::duplex(1 << 12);
            let (reports, shared_counts) = (Reports::default(), SharedCounts::default());
            let writing = async {
                writer.write_all(stream.as_bytes()).await.unwrap();
                // Wait longer than one report period.
                tokio::time::sleep(PERIOD * 3).await;
                drop(writer);
            };
            let (counts, ()) =
                tokio::join!(forward(0, reader, None::<&mut Vec<u8>>, &shared_counts, &reports), writing);
            counts.unwrap();
            let counts: Vec<u64> = reports.0.into_inner().unwrap().into_iter().map(|(rows, _)| rows).collect();
            assert!(counts.len() > 1 && counts.iter().all(|counts| *counts == rows), "{stream}: {counts:?}");
        }
    }

    fn statistics(stream: &str, size: usize) -> Option<Value> {
        let mut lines = Lines::default();
        stream.as_bytes().chunks(size).for_each(|block| lines.add_block(block));
        lines.end();
        OutputCounts { last: lines.last, ..OutputCounts::default() }.statistics().map(Value::Object)
    }

    #[test]
    fn statistics_are_last_line_for_any_block_size() {
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(statistics(STREAM, size), Some(json!({"rows": 3})), "{size}");
            assert_eq!(statistics(STREAM.trim_end(), size), Some(json!({"rows": 3})), "{size}");
        }
    }

    #[test]
    fn row_is_not_parsed_as_statistics() {
        assert_eq!(statistics("{}\n{}\n\n{\"a\": 1}\n{\"a\": 2}\n", 7), None);
        assert_eq!(statistics("", 7), None);
        assert_eq!(statistics("{}\n\n[1]\n", 7), None);
    }

    #[test]
    fn python_only_json_is_parsed_as_statistics() {
        let line =
            r#"{"mean": NaN, "most": -Infinity, "said": "NaN \" \\ \ud800 \ud83d\ude00", "x": [Infinity], "ü": "\\"}"#;
        let read = json!({"mean": null, "most": null, "said": "NaN \" \\ \u{fffd} \u{1f600}", "x": [null], "ü": "\\"});
        assert_eq!(statistics(&format!("{{}}\n\n{line}\n"), 5), Some(read));
    }

    #[tokio::test]
    async fn closed_reader_does_not_stop_counting() {
        let (mut writer, reader) = tokio::io::duplex(4);
        drop(reader);
        let shared_counts = SharedCounts::default();
        forward(0, STREAM.as_bytes(), Some(&mut writer), &shared_counts, &Reports::default()).await.unwrap();
        assert_eq!(shared_counts.snapshot().rows, 3);
    }
}
