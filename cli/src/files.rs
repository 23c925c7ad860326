//! Reads files of the user up to a limit: a device, a pipe or a growing file must not fill the memory.

use rustix::fs::{Access, access as access_to};
use rustix::io::Errno;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use terrace_engine::plan::file::BEGINNING;
use terrace_engine::text::shell_word;
use terrace_engine::yaml::Budget;

/// Limit of files that users write, in bytes: configurations, blueprints, their tests and schemas.
pub(crate) const HANDWRITTEN: u64 = 8 << 20;
/// Limit of files that terrace writes, in bytes: saved plans, exported states.
pub(crate) const WRITTEN: u64 = 512 << 20;
/// Limit of a key, in bytes.
pub(crate) const KEY: u64 = 64 << 10;

/// Reasons why a file has no text.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It cannot be opened or read.
    Failed(io::Error),
    /// It has more bytes than this.
    TooLong(u64),
    /// It is not UTF-8. Line, and character in the line, counted from 1.
    NotUtf8 { line: usize, column: usize },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(&describe_io_error(error)),
            Self::TooLong(limit) => write!(f, "it is longer than {}", size(*limit)),
            Self::NotUtf8 { line, column } => write!(f, "it is not UTF-8: see line {line}, character {column}"),
        }
    }
}

/// Access of other users of this machine to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OtherAccess {
    /// Nothing.
    None,
    /// Read it.
    Read,
    /// Change it.
    Write,
}

/// The access of other users to a file. A device, a pipe and a missing file count as private.
pub(crate) fn access_of_others(path: &Path) -> OtherAccess {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = std::fs::metadata(path) else { return OtherAccess::None };
    match metadata.mode() {
        _ if !metadata.is_file() => OtherAccess::None,
        mode if mode & 0o022 != 0 => OtherAccess::Write,
        mode if mode & 0o044 != 0 => OtherAccess::Read,
        _ => OtherAccess::None,
    }
}

/// The command that removes the access of other users to a file.
pub(crate) fn make_private(path: &Path) -> String {
    format!("`chmod 600 {}`", shell_word(&path.to_string_lossy()))
}

/// The remedy for a missing permission: to read a file or folder, or, with `is_changed`, to change a file and to create files
/// next to it. `None` if this process has these permissions.
pub(crate) fn permission_hint(path: &Path, is_changed: bool) -> Option<String> {
    let is_denied = |part: &Path, access: Access| access_to(part, access) == Err(Errno::ACCESS);
    let parts = || path.ancestors().map(|part| if part.as_os_str().is_empty() { Path::new(".") } else { part });
    // A part of the path below a closed folder is as invisible as a missing one.
    let part = parts().find(|part| part.symlink_metadata().is_ok()).filter(|part| *part == path || part.is_dir())?;
    let folder = if part == path { parts().nth(1)? } else { part };
    let (permission, part) = if part != path && is_denied(part, Access::EXEC_OK) {
        ("enter the folder", part)
    } else if part == path && path.is_dir() && is_denied(path, Access::READ_OK | Access::EXEC_OK) {
        ("read and enter the folder", path)
    } else if part == path && is_denied(path, Access::READ_OK) {
        ("read the file", path)
    } else if part == path && is_changed && is_denied(path, Access::WRITE_OK) {
        ("read and change the file", path)
    } else if is_changed && is_denied(folder, Access::WRITE_OK) {
        ("create files in the folder", folder)
    } else {
        return None;
    };
    let user = rustix::process::getuid().as_raw();
    Some(format!("give the user of this process (uid {user}) the permission to {permission} `{}`", part.display()))
}

/// The reason of a failed file operation, in words.
pub(crate) fn describe_io_error(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "it does not exist".to_owned(),
        ErrorKind::IsADirectory => "it is a folder, and not a file".to_owned(),
        ErrorKind::NotADirectory => "a part of its path is a file, and not a folder".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// The text of a file of at most `limit` bytes. Reads at most one byte more.
///
/// # Errors
/// When the file cannot be read, is longer, or is not text.
pub(crate) fn text(path: &Path, limit: u64) -> Result<String, Unreadable> {
    let mut file = File::open(path).map_err(Unreadable::Failed)?;
    rest(&mut file, Vec::new(), limit)
}

/// The text of a descriptor, or of a saved plan, which has a higher limit. The beginning of the file decides.
///
/// # Errors
/// As [`text`].
pub(crate) fn descriptor_or_plan(path: &Path) -> Result<String, Unreadable> {
    let mut file = File::open(path).map_err(Unreadable::Failed)?;
    let mut beginning = Vec::new();
    file.by_ref().take(BEGINNING.len() as u64).read_to_end(&mut beginning).map_err(Unreadable::Failed)?;
    let limit = if beginning == BEGINNING.as_bytes() { WRITTEN } else { Budget::default().bytes as u64 };
    rest(&mut file, beginning, limit)
}

/// The bytes read so far, and the rest of the file.
fn rest(file: &mut File, mut bytes: Vec<u8>, limit: u64) -> Result<String, Unreadable> {
    let left = limit.saturating_sub(bytes.len() as u64);
    file.take(left.saturating_add(1)).read_to_end(&mut bytes).map_err(Unreadable::Failed)?;
    if bytes.len() as u64 > limit {
        return Err(Unreadable::TooLong(limit));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let valid = String::from_utf8_lossy(valid);
        let last = valid.rsplit('\n').next().unwrap_or_default();
        Unreadable::NotUtf8 { line: valid.matches('\n').count() + 1, column: last.chars().count() + 1 }
    })
}

/// A size in words.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 30 => format!("{} GiB", bytes >> 30),
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes => format!("{} KiB", bytes >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_device_is_read_up_to_the_limit() {
        let zero = Path::new("/dev/zero");
        assert!(matches!(text(zero, 4096), Err(Unreadable::TooLong(4096))));
        assert!(matches!(descriptor_or_plan(zero), Err(Unreadable::TooLong(_))));
    }

    #[test]
    fn file_mode_decides_access_of_other_users() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert_eq!(access_of_others(&path), OtherAccess::None);
        std::fs::write(&path, "").unwrap();
        for (mode, expected) in [
            (0o600, OtherAccess::None),
            (0o640, OtherAccess::Read),
            (0o604, OtherAccess::Read),
            (0o620, OtherAccess::Write),
            (0o666, OtherAccess::Write),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(access_of_others(&path), expected, "{mode:o}");
        }
        assert_eq!(access_of_others(Path::new("/dev/null")), OtherAccess::None);
    }

    #[test]
    fn path_below_a_file_lacks_no_permission() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [file.join("state.db"), file, folder.path().join("missing/state.db")] {
            assert_eq!(permission_hint(&path, true), None, "{}", path.display());
        }
    }

    #[test]
    fn file_of_exactly_the_limit_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one\ntwo").unwrap();
        assert_eq!(text(&path, 7).unwrap(), "one\ntwo");
        assert_eq!(text(&path, 6).unwrap_err().to_string(), "it is longer than 0 KiB");
        for (bytes, place) in [
            (&b"\xff"[..], "line 1, character 1"),
            (b"one\n\xff", "line 2, character 1"),
            ("one\n\né".as_bytes().get(..6).unwrap(), "line 3, character 1"),
            (b"one\n\xc3\xa9\xff", "line 2, character 2"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(text(&path, 7).unwrap_err().to_string(), format!("it is not UTF-8: see {place}"));
        }
    }
}
