//! What is known of a database: `database.json` in its folder, and its password beside it.

use super::clock::{Deadline, Moment};
use super::error::{DatabaseError, Why, cannot};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file of the record.
pub(super) const NAME: &str = "database.json";
/// The file of the password, in the form that PostgreSQL's own programs read (`PGPASSFILE`).
pub(super) const PASSWORD: &str = "pgpass";
/// The file of what opens the pages of all databases of a project.
const TOKEN: &str = "token";
/// The user, and the database, as the document of dppctl has them.
pub const USER: &str = "postgres";
/// Where servers listen: on this machine alone.
pub const HOST: &str = "127.0.0.1";
/// A name is a folder's, a label's and part of an address.
const LONGEST_NAME: usize = 63;

/// What a database is.
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

    /// The engine of that name.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Postgres, Self::Sqlite].into_iter().find(|engine| engine.word() == word)
    }
}

/// Whom a server runs as, where root starts it: PostgreSQL refuses to be root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

/// What is known of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Another one for each database that was ever made: its processes carry it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub engine: Engine,
    /// When it was made.
    pub made_at: Timestamp,
    /// All of it is there.
    pub is_whole: bool,
    /// Somebody stopped it.
    pub is_stopped: bool,
    /// Its time is over, and its data is gone.
    pub is_expired: bool,
    /// It was made for a run, and nothing declares it.
    pub is_fresh: bool,
    /// How long it is kept, as somebody wrote it.
    pub ttl: Option<String>,
    /// Until when it is kept.
    pub deadline: Option<Deadline>,
    /// The port that its server listens on.
    pub port: Option<u16>,
    /// Somebody chose the port.
    pub is_port_fixed: bool,
    /// There is a page to look at its tables.
    pub has_page: bool,
    /// The folder of its cluster, or its file.
    pub data: PathBuf,
    /// Whom its server runs as, where that is not who started it.
    pub account: Option<Account>,
    /// The release of PostgreSQL.
    pub version: Option<String>,
    /// The call that made it.
    pub mark: Option<String>,
}

impl Record {
    /// The same as it is found in this folder: its data has come along where the project was moved, unless it lies elsewhere
    /// (see `account`).
    fn lying_in(mut self, folder: &Path) -> Self {
        if self.data.parent().and_then(Path::file_name) != Some(self.id.as_ref())
            && let Some(name) = self.data.file_name()
        {
            self.data = folder.join(name);
        }
        self
    }

    /// What marks its processes. A project that was copied has the same record, and other processes.
    pub(super) fn process_mark(&self) -> String {
        format!("{} {}", self.id, self.data.display())
    }

    /// True when its time is over and its data is not gone yet.
    #[must_use]
    pub fn is_due(&self, now: &Moment) -> bool {
        !self.is_expired && self.deadline.as_ref().is_some_and(|deadline| deadline.left(now).is_zero())
    }
}

/// How a database is reached.
#[derive(Debug, Clone)]
pub struct Access {
    /// The port of its server.
    pub port: Option<u16>,
    /// The password.
    pub password: Option<SecretString>,
    /// The address for pipelines (`DPP_DB_ENGINE`), which names the driver that is installed.
    pub engine_url: SecretString,
}

/// Refuses what is no name.
///
/// # Errors
/// When it is none.
pub(super) fn check_name(name: &str) -> Result<(), DatabaseError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let is_name = name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.chars().all(is_plain);
    if is_name {
        return Ok(());
    }
    Err(DatabaseError::new(Why::Wrong, format!("`{name}` is no name of a database")).hint(format!(
        "write small letters, digits, `-` and `_`, at most {LONGEST_NAME} of them, a letter or digit first"
    )))
}

/// Reads the record in a folder.
pub(super) fn read(folder: &Path) -> Result<Option<Record>, DatabaseError> {
    let path = folder.join(NAME);
    let unread = |why: String| {
        DatabaseError::new(
            Why::Failed,
            format!("the record of a database, `{}`, cannot be read: {why}", path.display()),
        )
        .hint("put it back from a copy, or remove the folder that it is in, once no server runs from there")
    };
    match fs::read(&path) {
        Ok(text) => match serde_json::from_slice::<Record>(&text) {
            Ok(record) => Ok(Some(record.lying_in(folder))),
            Err(error) => Err(unread(error.to_string())),
        },
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(unread(error.to_string())),
    }
}

/// Writes a record so that it is there whole or not at all.
pub(super) fn write(folder: &Path, record: &Record) -> Result<(), DatabaseError> {
    crate::run::write_whole(&folder.join(NAME), record).map_err(|error| cannot("record", &record.name, &error))
}

/// A password that nobody can guess.
pub(super) fn new_password() -> Result<SecretString, DatabaseError> {
    random(24).map(|bytes| SecretString::from(base16ct::lower::encode_string(&bytes)))
}

/// Bytes that nobody can guess.
pub(super) fn random(count: usize) -> Result<Vec<u8>, DatabaseError> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes)
        .map_err(|error| DatabaseError::new(Why::Failed, format!("the system gives no random numbers: {error}")))?;
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

/// What opens the pages of all databases of a project; made when somebody first asks.
pub(super) fn token(folder: &Path) -> io::Result<SecretString> {
    let path = folder.join(TOKEN);
    let read = || fs::read_to_string(&path).map(|text| SecretString::from(text.trim().to_owned()));
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        token => return token,
    }
    crate::private::folder(folder)?;
    let made = new_password().map_err(io::Error::other)?;
    let partial = folder.join(format!("{TOKEN}.{}", uuid::Uuid::now_v7()));
    write_private(&partial, made.expose_secret())?;
    // Of several who make one at once the first has made it.
    let linked = fs::hard_link(&partial, &path);
    let removed = fs::remove_file(&partial);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => removed?,
    }
    read()
}

/// Keeps a password beside a record. It is made of digits and letters, so nothing in it has to be escaped.
pub(super) fn keep_password(folder: &Path, password: &SecretString) -> io::Result<()> {
    write_private(&folder.join(PASSWORD), &format!("{HOST}:*:*:{USER}:{}\n", password.expose_secret()))
}

/// How a database is reached.
pub(super) fn access(folder: &Path, record: &Record) -> Result<Access, DatabaseError> {
    if record.engine == Engine::Sqlite {
        let engine_url = SecretString::from(format!("sqlite:///{}", record.data.display()));
        return Ok(Access { port: None, password: None, engine_url });
    }
    let text = fs::read_to_string(folder.join(PASSWORD))
        .map_err(|error| cannot("read the password of", &record.name, &error))?;
    let password = text.trim_end().rsplit_once(':').map(|(_, password)| password.to_owned());
    let (Some(password), Some(port)) = (password, record.port) else {
        return Err(DatabaseError::new(
            Why::Failed,
            format!("the password of the database `{}` is not whole", record.name),
        )
        .hint(format!("make another database: the data of this one stays in `{}`", record.data.display())));
    };
    let engine_url = format!("postgresql+psycopg2://{USER}:{password}@{HOST}:{port}/{USER}");
    Ok(Access { port: Some(port), password: Some(password.into()), engine_url: engine_url.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_folders_and_nothing_else() {
        for name in ["a", "dppctl-db-koejijdif48jo", "0_x", &"x".repeat(63)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "A", "-a", "a.lock", "a b", "ä", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn passwords_are_long_and_never_the_same_and_nothing_shows_them() {
        let (first, second) = (new_password().unwrap(), new_password().unwrap());
        assert_eq!(first.expose_secret().len(), 48);
        assert_ne!(first.expose_secret(), second.expose_secret());
        let access = Access { port: Some(1), engine_url: first.clone(), password: Some(first.clone()) };
        assert!(!format!("{access:?}").contains(first.expose_secret()));
    }

    #[test]
    fn a_record_that_is_cut_off_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Ok(None));
        fs::write(folder.path().join(NAME), "{\"id\": \"x\"").unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.what.contains("database.json") && error.hint.is_some(), "{error:?}");
    }
}
