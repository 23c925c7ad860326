//! Journal of a sync's progress, so that the next sync continues an interrupted one.
//!
//! It has a line for each sent file, and for each part of a large file. Readers skip incomplete lines after a crash.
//! The file is locked during a sync; the lock ends with the process.

use super::StorageError;
use super::entry::Entry;
use crate::file_lock::FileLock;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Line {
    /// A file was sent.
    Sent { key: String, entry: Entry },
    /// The upload of a large file started.
    Begun { key: String, sha256: String, part_size: u64, upload: String },
    /// A part of it was sent; parts are in order.
    Part { key: String, upload: String, id: String },
}

/// An upload in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) sha256: String,
    pub(crate) part_size: u64,
    pub(crate) id: String,
    /// Ids of the sent parts at the destination.
    pub(crate) parts: Vec<String>,
}

/// Journal of a sync.
pub(crate) struct Journal {
    file: Mutex<FileLock>,
    path: PathBuf,
    sent: HashMap<String, Entry>,
    uploads: Mutex<HashMap<String, Upload>>,
}

impl Journal {
    /// Opens the journal of a sync exclusively.
    ///
    /// # Errors
    /// When another sync has it open, or it cannot be read.
    pub(crate) fn open(folder: &Path) -> Result<Self, StorageError> {
        crate::private::folder(folder).map_err(|error| StorageError::io("create", folder, &error))?;
        let path = folder.join("journal.jsonl");
        let failed = |error: std::io::Error| StorageError::io("open", &path, &error);
        let file = File::options().create(true).truncate(false).read(true).append(true).open(&path).map_err(failed)?;
        let Ok(file) = FileLock::try_lock(file).map_err(failed)? else {
            return Err(StorageError::failed("another sync to the same place is in progress").hint("wait for it"));
        };
        let (mut sent, mut uploads) = (HashMap::new(), HashMap::<String, Upload>::new());
        (&*file).seek(SeekFrom::Start(0)).map_err(failed)?;
        for line in BufReader::new(&*file).split(b'\n') {
            let line = line.map_err(failed)?;
            match serde_json::from_slice(&line) {
                Ok(Line::Sent { key, entry }) => {
                    uploads.remove(&key);
                    sent.insert(key, entry);
                }
                Ok(Line::Begun { key, sha256, part_size, upload }) => {
                    uploads.insert(key, Upload { sha256, part_size, id: upload, parts: Vec::new() });
                }
                Ok(Line::Part { key, upload, id }) => {
                    if let Some(started) = uploads.get_mut(&key).filter(|started| started.id == upload) {
                        started.parts.push(id);
                    }
                }
                // Incomplete after a crash.
                Err(_) => {}
            }
        }
        // Start a new line, since the last one may be incomplete.
        (&*file).write_all(b"\n").map_err(failed)?;
        Ok(Self { file: Mutex::new(file), path, sent, uploads: Mutex::new(uploads) })
    }

    /// Entry of a file that an earlier attempt sent.
    pub(crate) fn sent(&self, key: &str) -> Option<&Entry> {
        self.sent.get(key)
    }

    pub(crate) fn record_sent(&self, key: &str, entry: &Entry) -> Result<(), StorageError> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.write(&Line::Sent { key: key.to_owned(), entry: entry.clone() })
    }

    /// Unfinished upload of a large file.
    pub(crate) fn upload(&self, key: &str) -> Option<Upload> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn record_start(&self, key: &str, upload: &Upload) -> Result<(), StorageError> {
        let (sha256, id) = (upload.sha256.clone(), upload.id.clone());
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), upload.clone());
        self.write(&Line::Begun { key: key.to_owned(), sha256, part_size: upload.part_size, upload: id })
    }

    pub(crate) fn record_part(&self, key: &str, upload: &str, id: &str) -> Result<(), StorageError> {
        self.write(&Line::Part { key: key.to_owned(), upload: upload.to_owned(), id: id.to_owned() })
    }

    /// Unfinished uploads of large files.
    pub(crate) fn unfinished(&self) -> Vec<(String, Upload)> {
        let uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.iter().map(|(key, upload)| (key.clone(), upload.clone())).collect()
    }

    fn write(&self, line: &Line) -> Result<(), StorageError> {
        let mut text = serde_json::to_vec(line)
            .map_err(|error| StorageError::failed(format!("a line of the journal cannot be written: {error}")))?;
        text.push(b'\n');
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        (&**file).write_all(&text).map_err(|error| StorageError::io("write", &self.path, &error))
    }

    /// Ends a complete sync: empties the journal.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.set_len(0).map_err(|error| StorageError::io("empty", &self.path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn entry() -> Entry {
        Entry { size: 1, sha256: "x".to_owned(), tag: "t".to_owned(), left: false }
    }

    #[test]
    fn journal_survives_crash_in_the_middle_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        journal.record_sent("a", &entry()).unwrap();
        let upload = Upload { sha256: "y".to_owned(), part_size: 8, id: "u".to_owned(), parts: Vec::new() };
        journal.record_start("b", &upload).unwrap();
        journal.record_part("b", "u", "p1").unwrap();
        drop(journal);
        let path = folder.path().join("journal.jsonl");
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"part\":{{\"key\":\"b")).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        journal.record_part("b", "u", "p2").unwrap();
        drop(journal);
        let journal = Journal::open(folder.path()).unwrap();
        assert_eq!(journal.sent("a"), Some(&entry()));
        assert_eq!(journal.upload("b").unwrap().parts, ["p1", "p2"]);
        journal.close().unwrap();
        assert_eq!(Journal::open(folder.path()).unwrap().sent("a"), None);
    }

    #[test]
    fn journal_is_exclusive() {
        let folder = tempfile::tempdir().unwrap();
        let _journal = Journal::open(folder.path()).unwrap();
        assert!(Journal::open(folder.path()).is_err());
    }
}
