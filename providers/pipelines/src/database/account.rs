//! Whom a server runs as, and where its data can lie then.
//!
//! PostgreSQL refuses to be run by root. Where root runs terrace, the server is run by the owner of the project folder, else
//! by the user `postgres`, else by `nobody`. That user has to come to the data: folders of records, which are nobody else's, let it
//! pass through; where a folder above them is closed to it, the data lies in `/var/lib/terrace/databases`, and the record says
//! so.

use super::error::{DatabaseError, Why};
use super::record::Account;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where data lies that cannot lie in the project.
const ELSEWHERE: &str = "/var/lib/terrace/databases";
/// Whom servers run as, where root owns the project: the first of these that there is.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// Whom a server of this project runs as; nobody else than who runs terrace unless that is root.
///
/// # Errors
/// When there is no such user.
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
        DatabaseError::new(Why::Failed, "PostgreSQL cannot be run by root, and there is no user to run it as")
            .hint("run terrace as another user than root, or add a user: `useradd --system postgres`")
    })
}

/// A line of `/etc/passwd`.
fn account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Account { name, uid, gid })
}

/// The folder of a database, that of all, and that of all records: made by terrace.
const OWN: usize = 3;

/// The folder in which a database's data lies.
pub(super) fn place(folder: &Path, id: &str, account: Option<&Account>) -> PathBuf {
    match account {
        Some(account) if !folder.ancestors().nth(OWN).is_some_and(|above| can_reach(above, account)) => {
            Path::new(ELSEWHERE).join(id)
        }
        _ => folder.to_owned(),
    }
}

/// Lets others pass through the folders above a database's data, without seeing what is in them.
///
/// # Errors
/// When that cannot be set.
pub(super) fn open(folder: &Path) -> io::Result<()> {
    folder.ancestors().take(OWN).try_for_each(|folder| fs::set_permissions(folder, Permissions::from_mode(0o711)))
}

/// True when a user can come to what lies in a folder; what is not there yet will be open to it.
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
    fn lines_of_users_are_read_and_others_are_not() {
        let found = account("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash").unwrap();
        assert_eq!((found.name.as_str(), found.uid, found.gid), ("postgres", 101, 104));
        for line in ["", "root", "a:b", "a:x:b:c", "+::::::"] {
            assert_eq!(account(line), None, "{line}");
        }
    }

    #[test]
    fn data_lies_elsewhere_where_a_folder_above_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let within = folder.path().join(".terrace/pipelines/databases/orders");
        fs::create_dir_all(&within).unwrap();
        let stranger = Account { name: "stranger".to_owned(), uid: 4_000_001, gid: 4_000_001 };
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o700);
        assert_eq!(place(&within, "id", Some(&stranger)), Path::new(ELSEWHERE).join("id"));
        assert_eq!(place(&within, "id", None), within);
        // What terrace made lets that user pass through, and see nothing.
        fs::set_permissions(within.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        open(&within).unwrap();
        let modes = within.ancestors().take(4).map(|it| fs::metadata(it).unwrap().mode() & 0o777);
        let shared = fs::metadata(folder.path().join(".terrace")).unwrap().mode() & 0o777;
        assert_eq!(modes.collect::<Vec<_>>(), [0o711, 0o711, 0o711, shared]);
        mode(0o711);
        // Where the folder of temporary files itself is closed, nothing can be shown.
        if can_reach(folder.path().parent().unwrap(), &stranger) {
            assert_eq!(place(&within, "id", Some(&stranger)), within);
        }
    }
}
