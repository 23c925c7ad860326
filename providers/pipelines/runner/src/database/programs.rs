//! Lookup of PostgreSQL's programs.

use super::error::{DatabaseError, DatabaseErrorKind};
use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

/// Parent folders of releases, with the prefix of their names.
const RELEASES: [(&str, &str); 3] =
    [("/usr/lib/postgresql", ""), ("/usr", "pgsql-"), ("/opt/homebrew/opt", "postgresql@")];
/// Folders of programs of any release.
const PLACES: [&str; 3] = ["/usr/local/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin"];
/// Hint if no programs are found.
const INSTALL: &str = "install it (`apt-get install postgresql`, `dnf install postgresql-server`, `brew install postgresql`), set \
                       `postgresBin` of the provider `pipelines` to its folder, or write `engine: sqlite`";

/// Programs of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    /// Their folder.
    pub(super) folder: PathBuf,
}

impl Programs {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Major release, such as `15`, which must match the data's.
    fn major(&self) -> Option<String> {
        let output = std::process::Command::new(self.path("postgres")).arg("--version").env_clear().output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
        let major: String = version.chars().take_while(char::is_ascii_digit).collect();
        Some(major).filter(|major| !major.is_empty())
    }
}

/// Folders that may have the programs: first those that the user chose, then the newest release.
fn folders(setting: Option<&Path>) -> Vec<PathBuf> {
    if let Some(folder) = setting {
        return vec![folder.to_owned()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (place, prefix) in RELEASES {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let release =
            |name: &String| name.strip_prefix(prefix).and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        let mut found: Vec<(u32, String)> = names.filter_map(|name| Some((release(&name)?, name))).collect();
        found.sort_by_key(|(release, _)| Reverse(*release));
        folders.extend(found.into_iter().map(|(_, name)| Path::new(place).join(name).join("bin")));
    }
    folders.extend(PLACES.map(PathBuf::from));
    folders
}

/// Returns all programs that exist. A link in a folder of many programs is resolved to the folder of its release.
fn all(setting: Option<&Path>) -> Vec<Programs> {
    let mut found: Vec<Programs> = Vec::new();
    for folder in folders(setting) {
        let Ok(initdb) = folder.join("initdb").canonicalize() else { continue };
        let Some(folder) = initdb.parent() else { continue };
        let programs = Programs { folder: folder.to_owned() };
        if programs.path("postgres").is_file() && !found.contains(&programs) {
            found.push(programs);
        }
    }
    found
}

/// Returns true if PostgreSQL is installed.
pub(super) fn are_installed(setting: Option<&Path>) -> bool {
    !all(setting).is_empty()
}

fn not_installed(setting: Option<&Path>) -> DatabaseError {
    match setting {
        Some(folder) => {
            let what = format!("`postgresBin` is `{}`, but the folder lacks `initdb` and `postgres`", folder.display());
            DatabaseError::new(DatabaseErrorKind::Invalid, what).hint(INSTALL)
        }
        None => DatabaseError::new(
            DatabaseErrorKind::Invalid,
            "PostgreSQL was not found, neither in PATH nor in folders of packages",
        )
        .hint(INSTALL),
    }
}

/// Programs for a new database.
///
/// # Errors
/// When none are installed.
pub(super) fn for_new(setting: Option<&Path>) -> Result<Programs, DatabaseError> {
    all(setting).into_iter().next().ok_or_else(|| not_installed(setting))
}

/// Programs for existing data, of the same release.
///
/// # Errors
/// When that release is not installed, or the data has no release.
pub(super) fn for_data(setting: Option<&Path>, data: &Path) -> Result<Programs, DatabaseError> {
    let version = fs::read_to_string(data.join("PG_VERSION")).map_err(|error| {
        let what = format!("`{}` has no data of PostgreSQL: `PG_VERSION` cannot be read ({error})", data.display());
        DatabaseError::new(DatabaseErrorKind::Failed, what)
            .hint("replace the database, or restore its data from a backup")
    })?;
    let version = version.trim();
    let available = all(setting);
    if available.is_empty() {
        return Err(not_installed(setting));
    }
    if let Some(programs) = available.iter().find(|programs| programs.major().as_deref() == Some(version)) {
        return Ok(programs.clone());
    }
    let installed: Vec<String> = available.iter().filter_map(Programs::major).collect();
    let what = format!(
        "the data in `{}` needs PostgreSQL {version}, but installed is {}",
        data.display(),
        installed.join(", ")
    );
    Err(DatabaseError::new(DatabaseErrorKind::Failed, what)
        .hint(format!("install PostgreSQL {version}, or replace the database")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_setting_names_folder_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = for_new(Some(folder.path())).unwrap_err();
        assert!(error.message.contains(&folder.path().display().to_string()), "{error:?}");
        assert!(error.hint.unwrap().contains("engine: sqlite"));
        assert!(!are_installed(Some(folder.path())));
    }

    #[test]
    fn release_mismatch_names_both_releases() {
        let folder = tempfile::tempdir().unwrap();
        let missing = for_data(None, folder.path()).unwrap_err();
        assert!(missing.message.contains("PG_VERSION"), "{missing:?}");
        fs::write(folder.path().join("PG_VERSION"), "7\n").unwrap();
        let error = for_data(None, folder.path()).unwrap_err();
        assert!(error.message.contains("PostgreSQL 7, but installed is"), "{error:?}");
        assert!(error.hint.unwrap().contains("install PostgreSQL 7"));
    }
}
