//! What the steps of a run say, line by line: `log.jsonl` in the folder of the run.

use crate::fingerprint::{is_called_secret, is_secret};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
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

impl Line {
    fn to_bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
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
    /// The values of variables whose names say that they are secret, and the secrets of addresses.
    pub(crate) fn of<'a>(variables: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let mut secrets: Vec<String> = Vec::new();
        for (name, value) in variables {
            if is_secret(name) {
                secrets.push(value.clone());
                // What is said comes line by line.
                secrets.extend(value.lines().map(|line| line.trim().to_owned()));
            }
            secrets.extend(secrets_of(value));
        }
        Self::new(secrets)
    }

    /// The same, and what parameters of steps say is secret, at every depth: by their names, and in addresses.
    #[must_use]
    pub(super) fn and_of<'a>(self, steps: impl IntoIterator<Item = &'a Map<String, Value>>) -> Self {
        let mut secrets = self.0;
        let mut waiting: Vec<(&str, &Value)> =
            steps.into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
        while let Some((name, value)) = waiting.pop() {
            match value {
                Value::String(text) if is_called_secret(name) => secrets.push(text.clone()),
                Value::Number(number) if is_called_secret(name) => secrets.push(number.to_string()),
                Value::String(text) => secrets.extend(secrets_of(text)),
                Value::Array(items) => waiting.extend(items.iter().map(|item| (name, item))),
                Value::Object(map) => waiting.extend(map.iter().map(|(name, value)| (name.as_str(), value))),
                _ => {}
            }
        }
        Self::new(secrets)
    }

    /// The same, and the secrets of addresses in these texts.
    #[must_use]
    pub(crate) fn and_in(self, texts: &[String]) -> Self {
        let words = texts.iter().flat_map(|text| text.split_whitespace());
        Self::new(self.0.into_iter().chain(words.flat_map(secrets_of)).collect())
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
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, self.value(value))).collect()),
            other => other,
        }
    }
}

/// The password of `scheme://user:password@host`, and what `?token=…` says, as they are encoded and as programs tell them.
fn secrets_of(address: &str) -> impl Iterator<Item = String> + use<> {
    let rest = address.split_once("://").map(|(_, rest)| rest);
    let password = rest.and_then(|rest| {
        let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
        Some(user.split_once(':')?.1)
    });
    let query = rest.and_then(|rest| Some(rest.split_once('?')?.1)).unwrap_or_default();
    let pairs = query.split('#').next().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let named = pairs.filter(|(name, _)| is_called_secret(name)).map(|(_, value)| value);
    let plain = |secret: &str| percent_decode_str(secret).decode_utf8_lossy().into_owned();
    let found: Vec<String> =
        password.into_iter().chain(named).flat_map(|secret| [secret.to_owned(), plain(secret)]).collect();
    found.into_iter()
}

/// Writes a log.
#[derive(Debug)]
pub(super) struct Writer {
    file: Mutex<(File, u64)>,
    masks: Masks,
    /// So many bytes at most, and a line that says that it is full.
    most: u64,
}

impl Writer {
    pub(super) fn create(folder: &Path, masks: Masks) -> io::Result<Self> {
        let file = crate::private::file().write(true).truncate(true).open(folder.join(NAME))?;
        Ok(Self { file: Mutex::new((file, 0)), masks, most: LARGEST })
    }

    /// Writes a line; answers it as it was written. A log that cannot be written stops no run.
    pub(super) fn write(&self, step: usize, name: &str, line: &str) -> String {
        let line = self.masks.text(line);
        let entry = Line { at: Timestamp::now(), step, name: name.to_owned(), line };
        let text = entry.to_bytes();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.1 < self.most && file.0.write_all(&text).is_ok() {
            file.1 += text.len() as u64;
            if file.1 >= self.most {
                let line = "the log is full: what is said from here on is not in it".to_owned();
                // Where there is no room for this either, there is nothing to be done.
                let _ = file.0.write_all(&Line { at: entry.at, step: 0, name: String::new(), line }.to_bytes());
            }
        }
        entry.line
    }
}

/// Adds what terrace itself has to say to the log of a run that is over. A log that cannot be written stops nobody.
pub(super) fn append(folder: &Path, line: &str) {
    let entry = Line { at: Timestamp::now(), step: 0, name: String::new(), line: line.to_owned() };
    let text = entry.to_bytes();
    if let Ok(mut file) = crate::private::file().append(true).open(folder.join(NAME)) {
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
            "tables": [{"engine": "postgresql://ada:p%40ssw%3Ard@db/x"}, {"access-token": 73915}],
            "api-key": "k-2718",
            "key": "plain",
        });
        let masks = masks.and_of(parameters.as_object());
        assert_eq!(masks.text("login p@ssw:rd by p%40ssw%3Ard"), "login *** by ***");
        assert_eq!(masks.text("plain k-2718, 73915"), "plain ***, ***");
    }

    #[test]
    fn secrets_of_parameters_and_of_queries_are_not_told() {
        let parameters = serde_json::json!({
            "url": "https://host/rows?format=json&api_key=k3y%2Fwords#top",
            "headers": {"X-Auth-Token": ["tok-98765"]},
            "token_column": "rows",
        });
        let masks = Masks::default().and_of(parameters.as_object());
        assert_eq!(
            masks.text("get https://host/rows?format=json&api_key=k3y%2Fwords with tok-98765, k3y/words"),
            "get https://host/rows?format=json&api_key=*** with ***, ***"
        );
        let masks = Masks::default().and_in(&["a\n--extra-index-url https://me:hunter2@host/simple b".to_owned()]);
        assert_eq!(masks.text("Looking in https://me:hunter2@host/simple"), "Looking in https://me:***@host/simple");
    }

    #[test]
    fn a_log_that_is_full_says_so_once() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer { most: 100, ..Writer::create(folder.path(), Masks::default()).unwrap() };
        (0..9).for_each(|_| drop(writer.write(1, "noise", "again and again")));
        let said: Vec<String> = Reader::new(folder.path()).lines().unwrap().into_iter().map(|line| line.line).collect();
        assert_eq!(
            said,
            ["again and again", "again and again", "the log is full: what is said from here on is not in it"]
        );
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
