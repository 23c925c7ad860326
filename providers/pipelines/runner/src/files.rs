//! Files of records: atomic writes, encoded names, and private folders.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Characters that names of folders keep.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// A longer name is truncated and gets a digest, since file systems limit names to 255 bytes.
const LONGEST_NAME: usize = 180;

/// Removes a file that may be missing.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Encodes a text as the name of a folder.
pub(crate) fn encoded(name: &str) -> String {
    let encoded = encoded_in_full(name);
    match encoded.get(..LONGEST_NAME) {
        Some(beginning) => {
            let digest = crate::hash::hash_of(name);
            format!("{beginning}-{}", digest.get(..16).unwrap_or_default())
        }
        // The name `..` must not point to another folder.
        None if encoded.chars().all(|c| c == '.') => format!("%2E{encoded}"),
        None => encoded,
    }
}

/// The beginning of all names that [`encoded`] returns for texts that begin with this one and are longer.
pub(crate) fn encoded_beginning(text: &str) -> String {
    let mut beginning = encoded_in_full(text);
    beginning.truncate(LONGEST_NAME);
    beginning
}

fn encoded_in_full(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("`{}` was not written by terrace: {error}", path.display()),
            )
        }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file atomically and durably, so that it is complete even after a crash of the machine.
pub(crate) fn write<T: serde::Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let open = crate::private::file().write(true).truncate(true).open(&partial);
    let mut file = open.map_err(|error| crate::paths::with_path(path, &error))?;
    let written = serde_json::to_vec(value).map_err(io::Error::from).and_then(|text| file.write_all(&text));
    let renamed = written.and_then(|()| file.sync_all()).and_then(|()| fs::rename(&partial, path));
    renamed.map_err(|error| {
        let _ = fs::remove_file(&partial);
        crate::paths::with_path(path, &error)
    })
}

/// Removes a folder that may be missing.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_encoded_as_one_folder() {
        for name in ["..", ".", "../../etc", "a/b", "x@.", &"x".repeat(400)] {
            let encoded = encoded(name);
            assert!(!encoded.contains('/') && encoded != ".." && encoded != "." && encoded.len() < 255, "{encoded}");
        }
        assert_ne!(encoded(&"x".repeat(400)), encoded(&"x".repeat(401)));
    }
}
