//! Where PostgreSQL's programs are.

use super::error::{DatabaseError, Why};
use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that packages put the programs of one release in, with the folder of the release below.
const RELEASES: [(&str, &str); 3] =
    [("/usr/lib/postgresql", ""), ("/usr", "pgsql-"), ("/opt/homebrew/opt", "postgresql@")];
/// Folders that hold the programs of any release.
const PLACES: [&str; 3] = ["/usr/local/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin"];
/// What helps where there are none.
const INSTALL: &str = "install it (`apt-get install postgresql`, `dnf install postgresql-server`, `brew install postgresql`), say \
                       where it is with the setting `postgresBin` of the provider `pipelines`, or write `engine: sqlite`";

/// The programs of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    /// Their folder.
    pub(super) folder: PathBuf,
}

impl Programs {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The release, `15`: what folders of data are bound to.
    fn major(&self) -> Option<String> {
        let said = std::process::Command::new(self.path("postgres")).arg("--version").env_clear().output().ok()?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
        let major: String = version.chars().take_while(char::is_ascii_digit).collect();
        Some(major).filter(|major| !major.is_empty())
    }
}

/// Folders that may hold the programs, those that are asked for first, then the newest.
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

/// All that are there. A link in a folder of many programs leads to where those of one release are.
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

/// True when PostgreSQL can be run here.
pub(super) fn are_here(setting: Option<&Path>) -> bool {
    !all(setting).is_empty()
}

fn not_here(setting: Option<&Path>) -> DatabaseError {
    match setting {
        Some(folder) => {
            let what = format!("`postgresBin` is `{}`, where there is no `initdb` and `postgres`", folder.display());
            DatabaseError::new(Why::Wrong, what).hint(INSTALL)
        }
        None => DatabaseError::new(Why::Wrong, "PostgreSQL is not here: neither in the PATH nor where packages put it")
            .hint(INSTALL),
    }
}

/// The programs for a new database.
///
/// # Errors
/// When there are none.
pub(super) fn for_new(setting: Option<&Path>) -> Result<Programs, DatabaseError> {
    all(setting).into_iter().next().ok_or_else(|| not_here(setting))
}

/// The programs for data that is there: those of its release.
///
/// # Errors
/// When there are none of that release, or the data says none.
pub(super) fn for_data(setting: Option<&Path>, data: &Path) -> Result<Programs, DatabaseError> {
    let version = fs::read_to_string(data.join("PG_VERSION")).map_err(|error| {
        let what = format!("`{}` holds no data of PostgreSQL: `PG_VERSION` cannot be read ({error})", data.display());
        DatabaseError::new(Why::Failed, what).hint("replace the database, or put its data back from a copy")
    })?;
    let version = version.trim();
    let here = all(setting);
    if here.is_empty() {
        return Err(not_here(setting));
    }
    if let Some(programs) = here.iter().find(|programs| programs.major().as_deref() == Some(version)) {
        return Ok(programs.clone());
    }
    let others: Vec<String> = here.iter().filter_map(Programs::major).collect();
    let what =
        format!("the data in `{}` is of PostgreSQL {version}, and here is {}", data.display(), others.join(", "));
    Err(DatabaseError::new(Why::Failed, what).hint(format!("install PostgreSQL {version}, or replace the database")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_leads_nowhere_is_told_with_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        let error = for_new(Some(folder.path())).unwrap_err();
        assert!(error.what.contains(&folder.path().display().to_string()), "{error:?}");
        assert!(error.hint.unwrap().contains("engine: sqlite"));
        assert!(!are_here(Some(folder.path())));
    }

    #[test]
    fn data_of_another_release_is_told_with_both() {
        let folder = tempfile::tempdir().unwrap();
        let missing = for_data(None, folder.path()).unwrap_err();
        assert!(missing.what.contains("PG_VERSION"), "{missing:?}");
        fs::write(folder.path().join("PG_VERSION"), "7\n").unwrap();
        let error = for_data(None, folder.path()).unwrap_err();
        assert!(error.what.contains("PostgreSQL 7, and here is"), "{error:?}");
        assert!(error.hint.unwrap().contains("install PostgreSQL 7"));
    }
}
