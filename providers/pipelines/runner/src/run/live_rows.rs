//! The rows of a run in progress, in a file of its folder: other processes and servers show them before its end.

use crate::private;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Name of the file.
const NAME: &str = "rows";
/// Minimum time between two writes.
const PERIOD: Duration = Duration::from_secs(2);

/// Writes the rows that the last step of a run has written so far.
pub(super) struct LiveRows {
    folder: PathBuf,
    /// Position of the last step.
    last: usize,
    written_at: Mutex<Option<Instant>>,
}

impl LiveRows {
    /// Writes into the folder of a run with this number of steps. An earlier attempt may have left its rows there.
    pub(super) fn new(folder: &Path, steps: usize) -> Self {
        // Without a file there is nothing to remove, and a file that stays is only shown.
        let _ = fs::remove_file(folder.join(NAME));
        Self { folder: folder.to_owned(), last: steps.saturating_sub(1), written_at: Mutex::default() }
    }

    /// Notes the rows of a step.
    pub(super) fn note(&self, step: usize, rows: u64) {
        let mut written_at = self.written_at.lock().unwrap_or_else(PoisonError::into_inner);
        if step != self.last || written_at.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        *written_at = Some(Instant::now());
        if let Err(error) = self.write(rows) {
            // They are only shown.
            tracing::debug!(%error, "the rows of a run cannot be written");
        }
    }

    fn write(&self, rows: u64) -> io::Result<()> {
        let partial = self.folder.join("rows.partial");
        private::file().write(true).truncate(true).open(&partial)?.write_all(rows.to_string().as_bytes())?;
        fs::rename(&partial, self.folder.join(NAME))
    }
}

/// The rows of a run so far; 0 before the first report.
pub(super) fn rows_so_far(folder: &Path) -> u64 {
    fs::read_to_string(folder.join(NAME)).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}
