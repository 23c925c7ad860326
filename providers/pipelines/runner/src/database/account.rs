//! User of a server, and the place of its data.
//!
//! PostgreSQL refuses to run as root. If root runs terrace, the server runs as the owner of the project folder, or else
//! as the user `postgres`, or else as `nobody`. That user must reach the data: private folders of records let it pass
//! through. If it cannot enter a folder above them, the data is in `/var/lib/terrace/databases`, and the record has the
//! path.

use super::error::{DatabaseError, DatabaseErrorKind};
use super::record::Account;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Place of data that cannot be in the project.
const FALLBACK_FOLDER: &str = "/var/lib/terrace/databases";
/// Users for servers if root owns the project: the first that exists.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// Chooses the user of a server of this project; nothing unless root runs terrace.
///
/// # Errors
/// When no such user exists.
pub(super) fn choose(folder: &Path) -> Result<Option<Account>, DatabaseError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let users: Vec<Account> = users.lines().filter_map(account).filter(|account| account.uid != 0).collect();
    let owner = folder.ancestors().find_map(|folder| fs::metadata(folder).ok()).map(|metadata| metadata.uid());
    let of_owner = users.iter().find(|account| Some(account.uid) == owner);
    let by_name = USERS.iter().find_map(|name| users.iter().find(|account| account.name == *name));
    of_owner.or(by_name).cloned().map(Some).ok_or_else(|| {
        DatabaseError::new(DatabaseErrorKind::Failed, "PostgreSQL cannot run as root, and no other user exists for it")
            .hint("run terrace as another user, or add a user: `useradd --system postgres`")
    })
}

/// Parses a line of `/etc/passwd`.
fn account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Account { name, uid, gid })
}

/// Number of folders that terrace created: that of the database, of all databases, and of all records.
const OWN: usize = 3;

/// Folder of a database's data.
pub(super) fn place(folder: &Path, id: &str, account: Option<&Account>) -> PathBuf {
    match account {
        Some(account) if !folder.ancestors().nth(OWN).is_some_and(|above| can_reach(above, account)) => {
            Path::new(FALLBACK_FOLDER).join(id)
        }
        _ => folder.to_owned(),
    }
}

/// Lets other users pass through the folders above a database's data, without listing them.
///
/// # Errors
/// When the permissions cannot be set.
pub(super) fn open(folder: &Path) -> io::Result<()> {
    folder.ancestors().take(OWN).try_for_each(|folder| fs::set_permissions(folder, Permissions::from_mode(0o711)))
}

/// Returns true if a user can enter a folder. Missing folders count as open.
fn can_reach(folder: &Path, account: &Account) -> bool {
    folder.ancestors().filter_map(|folder| fs::metadata(folder).ok()).all(|metadata| {
        let needed = if metadata.uid() == account.uid {
            0o100
        } else if metadata.gid() == account.gid {
            0o010
        } else {
            0o001
        };
        metadata.mode() & needed != 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_users_are_parsed() {
        let found = account("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash").unwrap();
        assert_eq!((found.name.as_str(), found.uid, found.gid), ("postgres", 101, 104));
        for line in ["", "root", "a:b", "a:x:b:c", "+::::::"] {
            assert_eq!(account(line), None, "{line}");
        }
    }

    #[test]
    fn data_is_elsewhere_if_parent_folder_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let within = folder.path().join(".terrace/pipelines/databases/orders");
        fs::create_dir_all(&within).unwrap();
        let other_user = Account { name: "stranger".to_owned(), uid: 4_000_001, gid: 4_000_001 };
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o700);
        assert_eq!(place(&within, "id", Some(&other_user)), Path::new(FALLBACK_FOLDER).join("id"));
        assert_eq!(place(&within, "id", None), within);
        // Folders of terrace let that user pass through, without listing them.
        fs::set_permissions(within.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        open(&within).unwrap();
        let modes = within.ancestors().take(4).map(|it| fs::metadata(it).unwrap().mode() & 0o777);
        let shared = fs::metadata(folder.path().join(".terrace")).unwrap().mode() & 0o777;
        assert_eq!(modes.collect::<Vec<_>>(), [0o711, 0o711, 0o711, shared]);
        mode(0o711);
        // This cannot be tested if the folder for temporary files itself is closed.
        if can_reach(folder.path().parent().unwrap(), &other_user) {
            assert_eq!(place(&within, "id", Some(&other_user)), within);
        }
    }
}
