//! Files of records: whole or not there at all, their names of any text, in a folder that is its owner's alone.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// What a folder's name may hold as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// A longer name is cut and told apart by a digest: file systems have names of 255 bytes.
const LONGEST_NAME: usize = 180;

/// Removes a file that need not be there.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A name for a folder.
pub(crate) fn encoded(name: &str) -> String {
    let encoded = utf8_percent_encode(name, PLAIN).to_string();
    match encoded.get(..LONGEST_NAME) {
        Some(beginning) => {
            let digest = crate::fingerprint::hash_of(name);
            format!("{beginning}-{}", digest.get(..16).unwrap_or_default())
        }
        // A run that is named `..` leads nowhere else.
        None if encoded.chars().all(|c| c == '.') => format!("%2E{encoded}"),
        None => encoded,
    }
}

pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("`{}` is not what terrace writes: {error}", path.display()),
            )
        }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file so that it is there whole or not at all, also after the machine goes.
pub(crate) fn write<T: serde::Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let open = crate::private::file().write(true).truncate(true).open(&partial);
    let mut file = open.map_err(|error| super::disk::with_path(path, &error))?;
    let written = serde_json::to_vec(value).map_err(io::Error::from).and_then(|text| file.write_all(&text));
    let renamed = written.and_then(|()| file.sync_all()).and_then(|()| fs::rename(&partial, path));
    renamed.map_err(|error| {
        let _ = fs::remove_file(&partial);
        super::disk::with_path(path, &error)
    })
}

/// Removes a folder that need not be there.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_the_name_of_one_folder() {
        for name in ["..", ".", "../../etc", "a/b", "x@.", &"x".repeat(400)] {
            let encoded = encoded(name);
            assert!(!encoded.contains('/') && encoded != ".." && encoded != "." && encoded.len() < 255, "{encoded}");
        }
        assert_ne!(encoded(&"x".repeat(400)), encoded(&"x".repeat(401)));
    }
}
