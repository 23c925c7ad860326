//! The rows of a run in progress, in a file of its folder: other processes and servers show them before its end.

use crate::private;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the file.
const NAME: &str = "rows";

/// Writes the rows that the last step of a run has written so far.
pub(super) struct LiveRows {
    folder: PathBuf,
    /// Position of the last step.
    last: usize,
}

impl LiveRows {
    /// Writes into the folder of a run with this number of steps. An earlier attempt may have left its rows there.
    pub(super) fn new(folder: &Path, steps: usize) -> Self {
        // Without a file there is nothing to remove, and a file that stays is only shown.
        let _ = fs::remove_file(folder.join(NAME));
        Self::continued(folder, steps)
    }

    /// As [`LiveRows::new`], for an attempt that another process has followed before.
    pub(super) fn continued(folder: &Path, steps: usize) -> Self {
        Self { folder: folder.to_owned(), last: steps.saturating_sub(1) }
    }

    /// Notes the rows of a step. The source limits the rate.
    pub(super) fn note(&self, step: usize, rows: u64) {
        if step == self.last
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
}
