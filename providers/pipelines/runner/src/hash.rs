//! SHA-256 of texts and files, in hexadecimal digits.

use crate::paths::with_path;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// SHA-256 of a text, in hexadecimal digits.
pub(crate) fn hash_of(text: &str) -> String {
    hash_of_bytes(text.as_bytes())
}

pub(crate) fn hash_of_bytes(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

/// SHA-256 of a file; nothing for missing files, and for pipes and devices, which have no end.
///
/// # Errors
/// When it exists, but cannot be read.
pub(crate) fn hash_of_file(path: &Path) -> io::Result<Option<String>> {
    let opened = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => File::open(path),
        Ok(_) => return Ok(None),
        Err(error) => Err(error),
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(with_path(path, &error)),
    };
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).map_err(|error| with_path(path, &error))?;
        if read == 0 {
            return Ok(Some(base16ct::lower::encode_string(&digest.finalize())));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
    }
}

/// Digest of files by path, size and content.
pub(crate) fn hash_of_listing<'a>(files: impl Iterator<Item = (&'a str, u64, &'a str)>) -> String {
    let mut digest = Sha256::new();
    for (key, size, sha256) in files {
        // Paths have no line breaks.
        digest.update(format!("{size} {sha256} {key}\n"));
    }
    base16ct::lower::encode_string(&digest.finalize())
}
