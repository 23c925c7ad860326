//! What the steps of a run say, line by line: `log.jsonl` in the folder of the run.

use crate::fingerprint::is_secret;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the file is called.
const NAME: &str = "log.jsonl";
/// A log does not grow beyond this many bytes: a step that repeats itself must not fill the disk.
const LARGEST: u64 = 64 << 20;
/// What takes the place of a secret.
const MASK: &str = "***";
/// A shorter value is no secret that could be told from other text.
const SHORTEST: usize = 4;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was said.
    pub at: Timestamp,
    /// Which step, counted from 1; 0 where it is none.
    pub step: usize,
    /// How the step is called.
    pub name: String,
    /// What it said.
    pub line: String,
}

/// What must not be told, replaced wherever it stands.
#[derive(Clone, Default)]
pub struct Masks(Vec<String>);

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} secrets)", self.0.len())
    }
}

impl Masks {
    /// The values of variables whose names say that they are secret, and the passwords of addresses.
    pub(super) fn of<'a>(variables: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let mut secrets: Vec<String> = Vec::new();
        for (name, value) in variables {
            if is_secret(name) {
                secrets.push(value.clone());
                // What is said comes line by line.
                secrets.extend(value.lines().map(|line| line.trim().to_owned()));
            }
            secrets.extend(passwords_of(value));
        }
        Self::new(secrets)
    }

    /// The same, and what parameters have under names that say that it is secret, and the passwords of addresses in them, at
    /// every depth.
    #[must_use]
    pub(super) fn and_of<'a>(self, values: impl IntoIterator<Item = (&'a String, &'a serde_json::Value)>) -> Self {
        let mut secrets = self.0;
        let mut waiting: Vec<&serde_json::Value> = Vec::new();
        for (name, value) in values {
            secrets.extend(Some(value).filter(|_| is_secret(name)).and_then(text_of));
            waiting.push(value);
        }
        while let Some(value) = waiting.pop() {
            match value {
                serde_json::Value::String(text) => secrets.extend(passwords_of(text)),
                serde_json::Value::Array(items) => waiting.extend(items),
                serde_json::Value::Object(map) => {
                    secrets
                        .extend(map.iter().filter(|(name, _)| is_secret(name)).filter_map(|(_, value)| text_of(value)));
                    waiting.extend(map.values());
                }
                _ => {}
            }
        }
        Self::new(secrets)
    }

    fn new(mut secrets: Vec<String>) -> Self {
        secrets.retain(|secret| secret.len() >= SHORTEST);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets)
    }

    /// The text without them.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| match text.contains(secret) {
            true => text.replace(secret, MASK),
            false => text,
        })
    }

    /// The value without them, at every depth.
    #[must_use]
    pub fn value(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, self.value(value))).collect()),
            other => other,
        }
    }
}

/// What a secret looks like where it is told.
fn text_of(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The password of `scheme://user:password@host`, as it is encoded and as programs tell it.
fn passwords_of(address: &str) -> impl Iterator<Item = String> + use<> {
    let password = || {
        let (_, rest) = address.split_once("://")?;
        let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
        Some(user.split_once(':')?.1)
    };
    let plain = |password: &str| percent_decode_str(password).decode_utf8_lossy().into_owned();
    password().map(|password| [password.to_owned(), plain(password)]).into_iter().flatten()
}

/// Writes a log.
#[derive(Debug)]
pub(super) struct Writer {
    file: Mutex<(File, u64)>,
    masks: Masks,
}

impl Writer {
    pub(super) fn create(folder: &Path, masks: Masks) -> io::Result<Self> {
        let file = File::create(folder.join(NAME))?;
        Ok(Self { file: Mutex::new((file, 0)), masks })
    }

    /// Writes a line; answers it as it was written. A log that cannot be written stops no run.
    pub(super) fn write(&self, step: usize, name: &str, line: &str) -> String {
        let line = self.masks.text(line);
        let entry = Line { at: Timestamp::now(), step, name: name.to_owned(), line };
        let mut text = serde_json::to_vec(&entry).unwrap_or_default();
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.1 < LARGEST && file.0.write_all(&text).is_ok() {
            file.1 += text.len() as u64;
        }
        entry.line
    }
}

/// Adds what terrace itself has to say to the log of a run that is over. A log that cannot be written stops nobody.
pub(super) fn append(folder: &Path, line: &str) {
    let entry = Line { at: Timestamp::now(), step: 0, name: String::new(), line: line.to_owned() };
    let mut text = serde_json::to_vec(&entry).unwrap_or_default();
    text.push(b'\n');
    if let Ok(mut file) = File::options().append(true).create(true).open(folder.join(NAME)) {
        let _ = file.write_all(&text);
    }
}

/// Reads a log as it grows.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    read: u64,
}

impl Reader {
    /// The log in the folder of a run.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join(NAME), read: 0 }
    }

    /// The lines that were not read yet.
    ///
    /// # Errors
    /// When the log is there and cannot be read.
    pub fn lines(&mut self) -> io::Result<Vec<Line>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => BufReader::new(file?),
        };
        file.seek(SeekFrom::Start(self.read))?;
        let (mut lines, mut text) = (Vec::new(), Vec::new());
        // A line that is being written is read when it is whole.
        while file.read_until(b'\n', &mut text)? > 0 && text.ends_with(b"\n") {
            self.read += text.len() as u64;
            lines.extend(serde_json::from_slice::<Line>(&text).ok());
            text.clear();
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_variables_are_not_told() {
        let variables = [
            ("DPP_DB_ENGINE", "postgresql+psycopg2://ada:s3cr3t-word@db:5432/x?y=z@"),
            ("API_TOKEN", "tok-12345"),
            ("HOME", "/home/ada"),
            ("PRIVATE_KEY", "-----BEGIN-----\nMIIEv0001\n-----END-----"),
        ];
        let variables: Vec<(String, String)> = variables.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        let masks = Masks::of(variables.iter().map(|(name, value)| (name, value)));
        assert_eq!(
            masks.text("connect ada:s3cr3t-word with tok-12345 in /home/ada"),
            "connect ada:*** with *** in /home/ada"
        );
        assert_eq!(masks.text("the key is MIIEv0001"), "the key is ***");
        assert!(!format!("{masks:?}").contains("MIIE"));
        let parameters = serde_json::json!({
            "tables": [{"engine": "postgresql://ada:p%40ssw%3Ard@db/x"}, {"secret-pin": 73915}],
            "api-key": "k-2718",
            "key": "plain",
        });
        let masks = masks.and_of(parameters.as_object().unwrap());
        assert_eq!(masks.text("login p@ssw:rd by p%40ssw%3Ard"), "login *** by ***");
        assert_eq!(masks.text("plain k-2718, 73915"), "plain ***, ***");
    }

    #[test]
    fn a_log_is_read_as_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = Reader::new(folder.path());
        assert_eq!(reader.lines().unwrap(), []);
        let writer = Writer::create(folder.path(), Masks::default()).unwrap();
        writer.write(1, "noise", "one");
        let mut file = File::options().append(true).open(folder.path().join(NAME)).unwrap();
        file.write_all(b"{\"at\": \"2026").unwrap();
        let said: Vec<String> = reader.lines().unwrap().into_iter().map(|line| line.line).collect();
        assert_eq!(said, ["one"]);
        file.write_all(b"-01-01T00:00:00Z\", \"step\": 2, \"name\": \"sink\", \"line\": \"two\"}\n").unwrap();
        assert_eq!(reader.lines().unwrap()[0].line, "two");
        assert_eq!(reader.lines().unwrap(), []);
    }
}
