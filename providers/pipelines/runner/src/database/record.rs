//! Record of a database: `database.json` in its folder, and a file with its password.

use super::clock::{Deadline, Moment};
use super::error::{DatabaseError, DatabaseErrorKind, operation_error};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Name of the record's file.
pub(super) const NAME: &str = "database.json";
/// Name of the password's file, in the format of PostgreSQL's programs (`PGPASSFILE`).
pub(super) const PASSWORD: &str = "pgpass";
/// Name of the file with the token for the pages of all databases of a project.
const TOKEN: &str = "token";
/// User and database, as in the document of dppctl.
pub const USER: &str = "postgres";
/// Address on which servers listen: only this machine.
pub const HOST: &str = "127.0.0.1";
/// Longest name: it is used for a folder, a label and part of an address.
const LONGEST_NAME: usize = 63;

/// Engine of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// A server of PostgreSQL.
    Postgres,
    /// A file of SQLite.
    Sqlite,
}

impl Engine {
    /// Its name in descriptors.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        }
    }

    /// Engine by its name in descriptors.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Postgres, Self::Sqlite].into_iter().find(|engine| engine.word() == word)
    }
}

/// User of a server if root starts it: PostgreSQL refuses to run as root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Record of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Unique id, also in the environment of its processes.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its engine.
    pub engine: Engine,
    /// Time of its creation.
    pub made_at: Timestamp,
    /// Its creation is complete.
    pub is_whole: bool,
    /// A user stopped it.
    pub is_stopped: bool,
    /// It has expired, and its data is gone.
    pub is_expired: bool,
    /// It was created for a run, and not declared.
    pub is_fresh: bool,
    /// Lifetime, as written by the user.
    pub ttl: Option<String>,
    /// Its deadline.
    pub deadline: Option<Deadline>,
    /// Port of its server.
    pub port: Option<u16>,
    /// A user chose the port.
    pub is_port_fixed: bool,
    /// Show a page with its tables.
    pub has_page: bool,
    /// Folder of its data, or its file.
    pub data: PathBuf,
    /// User of its server, if it differs from the user that started it.
    pub account: Option<Account>,
    /// Release of PostgreSQL.
    pub version: Option<String>,
    /// Call that created it.
    pub mark: Option<String>,
    /// State of a server in a cluster; nothing for a database on this machine. Only the cluster stores it.
    #[serde(skip)]
    pub cluster: Option<InCluster>,
}

/// Status of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is being created, or its creation was interrupted.
    Creating,
    /// It can be used.
    Running,
    /// Its server is stopped; its data remains.
    Stopped,
    /// It has expired: its data is gone, or about to be removed.
    Expired,
    /// Its objects in the cluster are not those that terrace would create, or some are missing.
    Changed,
}

impl Status {
    /// Its word for people and attributes.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Expired => "expired",
            Self::Changed => "changed",
        }
    }
}

/// A PersistentVolumeClaim for the data of a server in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataClaim {
    /// Requested size, as a quantity of Kubernetes: `1Gi`.
    pub size: String,
    /// Storage class; without it, that of the cluster.
    pub storage_class: Option<String>,
}

/// State of a database whose server runs in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InCluster {
    /// Name of its Service, for pods: `terrace-db-orders.shop.svc`.
    pub host: String,
    /// Namespace of its objects.
    pub namespace: String,
    /// Its status by the objects of the cluster.
    pub status: Status,
    /// Its server accepts connections.
    pub is_ready: bool,
    /// Claim for its data; without it, the data ends with the pod.
    pub claim: Option<DataClaim>,
    /// Image of its server.
    pub image: String,
    /// Mark of its first creation by a plan, which it keeps when a run creates it again.
    pub owner: Option<String>,
}

impl Record {
    /// Adapts the record to its folder: a moved project takes the data along, unless the data is elsewhere (see
    /// `account`).
    fn relocated_to(mut self, folder: &Path) -> Self {
        if self.data.parent().and_then(Path::file_name) != Some(self.id.as_ref())
            && let Some(name) = self.data.file_name()
        {
            self.data = folder.join(name);
        }
        self
    }

    /// Mark of its processes. A copied project has the same record, but other processes.
    pub(super) fn process_mark(&self) -> String {
        format!("{} {}", self.id, self.data.display())
    }

    /// Host of its server, for the places that may connect to it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.cluster.as_ref().map_or(HOST, |cluster| cluster.host.as_str())
    }

    /// Returns true if it has expired, but its data is not removed yet.
    #[must_use]
    pub fn is_due(&self, now: &Moment) -> bool {
        !self.is_expired && self.deadline.as_ref().is_some_and(|deadline| deadline.left(now).is_zero())
    }
}

/// Address and password of a database.
#[derive(Debug, Clone)]
pub struct Access {
    /// The port of its server.
    pub port: Option<u16>,
    /// Password.
    pub password: Option<SecretString>,
    /// Address for pipelines (`DPP_DB_ENGINE`), which names the installed driver.
    pub engine_url: SecretString,
}

/// Checks a name.
///
/// # Errors
/// When the name is not valid.
pub(super) fn check_name(name: &str) -> Result<(), DatabaseError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let is_name = name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.chars().all(is_plain);
    if is_name {
        return Ok(());
    }
    Err(DatabaseError::new(DatabaseErrorKind::Invalid, format!("`{name}` is not a name for a database"))
        .hint(format!("use small letters, digits, `-` and `_`, at most {LONGEST_NAME}, with a letter or digit first")))
}

/// Reads the record in a folder.
pub(super) fn read(folder: &Path) -> Result<Option<Record>, DatabaseError> {
    let path = folder.join(NAME);
    let unreadable = |why: String| {
        DatabaseError::new(
            DatabaseErrorKind::Failed,
            format!("the record of a database, `{}`, cannot be read: {why}", path.display()),
        )
        .hint("restore it from a backup, or remove its folder after the server has ended")
    };
    match fs::read(&path) {
        Ok(text) => match serde_json::from_slice::<Record>(&text) {
            Ok(record) => Ok(Some(record.relocated_to(folder))),
            Err(error) => Err(unreadable(error.to_string())),
        },
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

/// Writes a record atomically.
pub(super) fn write(folder: &Path, record: &Record) -> Result<(), DatabaseError> {
    crate::files::write(&folder.join(NAME), record).map_err(|error| operation_error("record", &record.name, &error))
}

/// Generates a password.
pub(super) fn new_password() -> Result<SecretString, DatabaseError> {
    random(24).map(|bytes| SecretString::from(base16ct::lower::encode_string(&bytes)))
}

/// Returns secure random bytes.
pub(super) fn random(count: usize) -> Result<Vec<u8>, DatabaseError> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).map_err(|error| {
        DatabaseError::new(DatabaseErrorKind::Failed, format!("the system provides no random numbers: {error}"))
    })?;
    Ok(bytes)
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Returns the token for the pages of all databases of a project; creates it at the first call.
pub(super) fn token(folder: &Path) -> io::Result<SecretString> {
    let path = folder.join(TOKEN);
    let read = || fs::read_to_string(&path).map(|text| SecretString::from(text.trim().to_owned()));
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        token => return token,
    }
    crate::private::folder(folder)?;
    let created = new_password().map_err(io::Error::other)?;
    let partial = folder.join(format!("{TOKEN}.{}", uuid::Uuid::now_v7()));
    write_private(&partial, created.expose_secret())?;
    // If several processes create a token at once, the first one wins.
    let linked = fs::hard_link(&partial, &path);
    let removed = fs::remove_file(&partial);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => removed?,
    }
    read()
}

/// Stores a password next to a record. It has only digits and letters, so nothing needs to be escaped.
pub(super) fn store_password(folder: &Path, password: &SecretString) -> io::Result<()> {
    write_private(&folder.join(PASSWORD), &format!("{HOST}:*:*:{USER}:{}\n", password.expose_secret()))
}

/// Address and password of a database.
pub(super) fn access(folder: &Path, record: &Record) -> Result<Access, DatabaseError> {
    if record.engine == Engine::Sqlite {
        let engine_url = SecretString::from(format!("sqlite:///{}", record.data.display()));
        return Ok(Access { port: None, password: None, engine_url });
    }
    let text = fs::read_to_string(folder.join(PASSWORD))
        .map_err(|error| operation_error("read the password of", &record.name, &error))?;
    let password = text.trim_end().rsplit_once(':').map(|(_, password)| password.to_owned());
    let (Some(password), Some(port)) = (password, record.port) else {
        return Err(DatabaseError::new(
            DatabaseErrorKind::Failed,
            format!("the password of the database `{}` is incomplete", record.name),
        )
        .hint(format!("create another database; the data of this one stays in `{}`", record.data.display())));
    };
    let engine_url = format!("postgresql+psycopg2://{USER}:{password}@{HOST}:{port}/{USER}");
    Ok(Access { port: Some(port), password: Some(password.into()), engine_url: engine_url.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_folder_names_are_names() {
        for name in ["a", "dppctl-db-koejijdif48jo", "0_x", &"x".repeat(63)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "A", "-a", "a.lock", "a b", "ä", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn passwords_are_long_unique_and_hidden() {
        let (first, second) = (new_password().unwrap(), new_password().unwrap());
        assert_eq!(first.expose_secret().len(), 48);
        assert_ne!(first.expose_secret(), second.expose_secret());
        let access = Access { port: Some(1), engine_url: first.clone(), password: Some(first.clone()) };
        assert!(!format!("{access:?}").contains(first.expose_secret()));
    }

    #[test]
    fn error_for_truncated_record_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Ok(None));
        fs::write(folder.path().join(NAME), "{\"id\": \"x\"").unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.message.contains("database.json") && error.hint.is_some(), "{error:?}");
    }
}
