//! The rows of a run in progress, in a file of its folder: other processes and servers show them before its end.

use crate::private;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Name of the file.
const NAME: &str = "rows";

/// Writes the rows that the last step of a run has written so far.
pub(super) struct LiveRows {
    folder: PathBuf,
    /// Position of the last step.
    last: usize,
    /// Rows in the file. A log that is read again begins with fewer.
    shown: AtomicU64,
}

impl LiveRows {
    /// Writes into the folder of a run with this number of steps. An earlier attempt may have left its rows there.
    pub(super) fn new(folder: &Path, steps: usize) -> Self {
        let rows = Self::continued(folder, steps);
        rows.restart();
        rows
    }

    /// As [`LiveRows::new`], for an attempt that another process has followed before.
    pub(super) fn continued(folder: &Path, steps: usize) -> Self {
        let shown = AtomicU64::new(rows_so_far(folder));
        Self { folder: folder.to_owned(), last: steps.saturating_sub(1), shown }
    }

    /// Counts from 0 again: all steps begin again.
    pub(super) fn restart(&self) {
        // Without a file there is nothing to remove, and a file that stays is only shown.
        let _ = fs::remove_file(self.folder.join(NAME));
        self.shown.store(0, Ordering::SeqCst);
    }

    /// Notes the rows of a step. The executor limits the rate.
    pub(super) fn note(&self, step: usize, rows: u64) {
        if step == self.last
            && self.shown.fetch_max(rows, Ordering::SeqCst) < rows
            && let Err(error) = self.write(rows)
        {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_each_report_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let rows = LiveRows::new(folder.path(), 2);
        for reported in [1, 20000] {
            rows.note(1, reported);
            rows.note(0, 7);
            assert_eq!(rows_so_far(folder.path()), reported);
        }
    }

    #[test]
    fn rows_do_not_decrease_until_the_steps_begin_again() {
        let folder = tempfile::tempdir().unwrap();
        LiveRows::new(folder.path(), 1).note(0, 500);
        let rows = LiveRows::continued(folder.path(), 1);
        for (reported, shown) in [(10, 500), (499, 500), (501, 501)] {
            rows.note(0, reported);
            assert_eq!(rows_so_far(folder.path()), shown);
        }
        rows.restart();
        assert_eq!(rows_so_far(folder.path()), 0);
        rows.note(0, 10);
        assert_eq!(rows_so_far(folder.path()), 10);
    }
}
