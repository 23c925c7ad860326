//! Possible secrets in specs: excluded from digests in plans and states, and compared by a key of the project.
//!
//! A digest of a short secret can be found by search if the rest is known. Plans and states have more readers than the
//! spec, and are compared on several machines without a common key. So their digests exclude secrets. The records of a
//! project have digests of everything, with a key that never leaves the project.

use super::address::{HIDDEN, without_secrets};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Name of the key's file, next to the records.
const NAME: &str = "key";
/// Words in names of secrets, in capitals.
const WORDS: [&str; 10] = [
    "PASSWORD",
    "PASSWD",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
    "SIGNATURE",
];

/// Returns true for names of variables or parameters that indicate a secret.
#[must_use]
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    WORDS.iter().any(|word| name.contains(word))
}

/// Returns true for names of parameters with a secret value, unlike `token_column`, which only refers to one.
#[must_use]
pub(crate) fn holds_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    WORDS.iter().any(|word| name.ends_with(word))
}

/// Replaces possible secrets in a value.
pub(super) fn redact(value: &Value) -> Value {
    match value {
        Value::String(text) => without_secrets(text).into(),
        Value::Array(items) => items.iter().map(redact).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), if is_secret(name) { hidden(value) } else { redact(value) }))
            .collect(),
        other => other.clone(),
    }
}

/// Placeholder for the value of a secret; null stays null.
fn hidden(value: &Value) -> Value {
    if value.is_null() { Value::Null } else { HIDDEN.into() }
}

/// Key of a project.
#[derive(Clone)]
pub(crate) struct Key([u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Key next to these records; nothing if it does not exist.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn existing(records: &Path) -> io::Result<Option<Self>> {
        let path = records.join(NAME);
        match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map(|key| Some(Self(key))).map_err(|_| {
                let what = format!(
                    "`{}` is not a key that terrace wrote; remove it, and all pipelines run once",
                    path.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, what)
            }),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(crate::paths::with_path(&path, &error)),
        }
    }

    /// Returns the key, and creates a missing one. The folder must exist.
    ///
    /// # Errors
    /// When it cannot be read or created.
    pub(crate) fn ensure(records: &Path) -> io::Result<Self> {
        if let Some(key) = Self::existing(records)? {
            return Ok(key);
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| io::Error::other("this machine provides no random numbers"))?;
        let partial = records.join(format!("{NAME}.{}.partial", uuid::Uuid::now_v7()));
        let place = records.join(NAME);
        let mut options = File::options();
        let write = |mut file: File| file.write_all(&key).and_then(|()| file.sync_all());
        let written = options.create_new(true).write(true).mode(0o600).open(&partial).and_then(write);
        // If several processes create a key at once, the first one wins.
        let linked = written.and_then(|()| match fs::hard_link(&partial, &place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // Some file systems have no links.
            Err(_) => fs::rename(&partial, &place),
            Ok(()) => Ok(()),
        });
        let _ = fs::remove_file(&partial);
        linked.map_err(|error| crate::paths::with_path(&place, &error))?;
        Self::existing(records)?
            .ok_or_else(|| io::Error::other(format!("`{}` was removed during its creation", place.display())))
    }

    /// Digest of a text that requires the key.
    pub(crate) fn seal(&self, text: &str) -> String {
        // HMAC accepts keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(text.as_bytes());
        base16ct::lower::encode_string(&mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_are_replaced_at_every_depth() {
        let value = json!({
            "url": "postgresql://ada:1234@db/x",
            "api-key": "1234",
            "login": {"Password": 1234, "passwords": ["1", "2"], "user": "ada", "secret": null},
            "list": ["https://a:b@c/"],
        });
        let expected = json!({
            "url": "postgresql://ada:***@db/x",
            "api-key": "***",
            "login": {"Password": "***", "passwords": "***", "user": "ada", "secret": null},
            "list": ["https://a:***@c/"],
        });
        assert_eq!(redact(&value), expected);
    }

    #[test]
    fn key_is_created_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Key::existing(folder.path()).unwrap().is_none());
        let seals: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| Key::ensure(folder.path()).unwrap().seal("x"))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(seals.iter().all(|seal| *seal == seals[0] && seal.len() == 64), "{seals:?}");
        let mode = fs::metadata(folder.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!((mode & 0o777, fs::read_dir(folder.path()).unwrap().count()), (0o600, 1));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Key::ensure(other.path()).unwrap().seal("x"), seals[0]);
        fs::write(folder.path().join(NAME), "short").unwrap();
        assert!(Key::existing(folder.path()).unwrap_err().to_string().contains("not a key"));
    }
}
