//! Logs of runs, in lines: `log.jsonl` in the folder of the run.

use crate::fingerprint::{holds_secret, is_secret};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Name of the file.
const NAME: &str = "log.jsonl";
/// Maximum size of a log in bytes: a step in a loop must not fill the disk.
const LARGEST: u64 = 64 << 20;
/// Replacement for a secret.
const MASK: &str = "***";
/// Minimum length of a secret: a shorter one cannot be distinguished from other text.
const SHORTEST: usize = 4;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Time of the line.
    pub at: Timestamp,
    /// The step, counted from 1; 0 for none.
    pub step: usize,
    /// Name of the step.
    pub name: String,
    /// Text of the line.
    pub line: String,
    /// True if the user should see it at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_warning: bool,
}

impl Line {
    /// A message of terrace.
    pub(super) fn message(line: String) -> Self {
        Self { at: Timestamp::now(), step: 0, name: String::new(), line, is_warning: false }
    }

    /// A message of terrace that the user should see at once.
    pub(super) fn warning(line: String) -> Self {
        Self { is_warning: true, ..Self::message(line) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

/// Secrets to replace in texts.
#[derive(Clone, Default)]
pub struct Masks(Vec<String>);

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} secrets)", self.0.len())
    }
}

impl Masks {
    /// Masks for the values of variables with secret names, and for secrets in addresses.
    pub(crate) fn of<'a>(variables: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let mut secrets: Vec<String> = Vec::new();
        for (name, value) in variables {
            if is_secret(name) {
                secrets.push(value.clone());
                // Logs are written in lines.
                secrets.extend(value.lines().map(|line| line.trim().to_owned()));
            }
            secrets.extend(secrets_of(value));
        }
        Self::new(secrets)
    }

    /// Adds masks for parameters of steps at all depths: by their names, and for secrets in addresses.
    #[must_use]
    pub(super) fn with_parameters<'a>(self, steps: impl IntoIterator<Item = &'a Map<String, Value>>) -> Self {
        let mut secrets = self.0;
        let mut waiting: Vec<(&str, &Value)> =
            steps.into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
        while let Some((name, value)) = waiting.pop() {
            match value {
                Value::String(text) if holds_secret(name) => secrets.push(text.clone()),
                Value::Number(number) if holds_secret(name) => secrets.push(number.to_string()),
                Value::String(text) => secrets.extend(secrets_of(text)),
                Value::Array(items) => waiting.extend(items.iter().map(|item| (name, item))),
                Value::Object(map) => waiting.extend(map.iter().map(|(name, value)| (name.as_str(), value))),
                _ => {}
            }
        }
        Self::new(secrets)
    }

    /// Adds masks for secrets of addresses in these texts.
    #[must_use]
    pub(crate) fn with_texts(self, texts: &[String]) -> Self {
        let words = texts.iter().flat_map(|text| text.split_whitespace());
        Self::new(self.0.into_iter().chain(words.flat_map(secrets_of)).collect())
    }

    /// The texts to mask, longest first.
    pub(crate) fn into_texts(self) -> Vec<String> {
        self.0
    }

    /// Masks for these texts.
    pub(crate) fn new(mut secrets: Vec<String>) -> Self {
        secrets.retain(|secret| secret.len() >= SHORTEST);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets)
    }

    /// Replaces the secrets in a text.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| match text.contains(secret) {
            true => text.replace(secret, MASK),
            false => text,
        })
    }

    /// Replaces the secrets in a value, at all depths.
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

/// Returns the password of `scheme://user:password@host`, and secrets such as `?token=…`, both encoded and decoded.
fn secrets_of(address: &str) -> impl Iterator<Item = String> + use<> {
    let rest = address.split_once("://").map(|(_, rest)| rest);
    let password = rest.and_then(|rest| {
        let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
        Some(user.split_once(':')?.1)
    });
    let query = rest.and_then(|rest| Some(rest.split_once('?')?.1)).unwrap_or_default();
    let pairs = query.split('#').next().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let named = pairs.filter(|(name, _)| holds_secret(name)).map(|(_, value)| value);
    let plain = |secret: &str| percent_decode_str(secret).decode_utf8_lossy().into_owned();
    let found: Vec<String> =
        password.into_iter().chain(named).flat_map(|secret| [secret.to_owned(), plain(secret)]).collect();
    found.into_iter()
}

/// Writer of a log.
#[derive(Debug)]
pub(super) struct Writer {
    file: Mutex<(File, u64)>,
    masks: Masks,
    /// Maximum size in bytes, without the line that reports a full log.
    max_bytes: u64,
}

impl Writer {
    pub(super) fn create(folder: &Path, masks: Masks) -> io::Result<Self> {
        let file = crate::private::file().write(true).truncate(true).open(folder.join(NAME))?;
        Ok(Self { file: Mutex::new((file, 0)), masks, max_bytes: LARGEST })
    }

    /// Writer that continues an existing log.
    pub(super) fn append(folder: &Path, masks: Masks) -> io::Result<Self> {
        let file = crate::private::file().append(true).open(folder.join(NAME))?;
        let bytes = file.metadata()?.len();
        Ok(Self { file: Mutex::new((file, bytes)), masks, max_bytes: LARGEST })
    }

    /// Writes a line with its time; returns it as written. Errors are ignored: they must not stop the run.
    pub(super) fn write(&self, at: Timestamp, step: usize, name: &str, line: &str) -> String {
        let line = self.masks.text(line);
        self.write_entry(Line { at, step, name: name.to_owned(), line, is_warning: false })
    }

    /// Writes a message of terrace that the user should see at once.
    pub(super) fn warn(&self, line: &str) {
        self.write_entry(Line::warning(self.masks.text(line)));
    }

    fn write_entry(&self, entry: Line) -> String {
        let text = entry.to_bytes();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.1 < self.max_bytes && file.0.write_all(&text).is_ok() {
            file.1 += text.len() as u64;
            if file.1 >= self.max_bytes {
                let line = "the log is full: further lines are missing".to_owned();
                // An error here cannot be reported anywhere.
                let _ = file.0.write_all(&Line::message(line).to_bytes());
            }
        }
        entry.line
    }
}

/// Appends a line to the log of an ended run. Errors are ignored.
pub(super) fn append(folder: &Path, line: &Line) {
    let text = line.to_bytes();
    if let Ok(mut file) = crate::private::file().append(true).open(folder.join(NAME)) {
        let _ = file.write_all(&text);
    }
}

/// Reads a log while it grows.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    read: u64,
}

impl Reader {
    /// Reader of the log in the folder of a run.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self::after(folder, 0)
    }

    /// Reader of the lines after a [`position`](Self::position).
    #[must_use]
    pub fn after(folder: &Path, position: u64) -> Self {
        Self { path: folder.join(NAME), read: position }
    }

    /// Number of bytes that were read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.read
    }

    /// Returns the lines that were not read yet.
    ///
    /// # Errors
    /// When the log exists, but cannot be read.
    pub fn lines(&mut self) -> io::Result<Vec<Line>> {
        Ok(self.positioned_lines(usize::MAX)?.into_iter().map(|(_, line)| line).collect())
    }

    /// Returns up to `limit` lines that were not read yet, each with the position after it.
    ///
    /// # Errors
    /// When the log exists, but cannot be read.
    pub fn positioned_lines(&mut self, limit: usize) -> io::Result<Vec<(u64, Line)>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => BufReader::new(file?),
        };
        // A position may come from another process.
        self.read = self.read.min(file.get_ref().metadata()?.len());
        file.seek(SeekFrom::Start(self.read))?;
        let (mut lines, mut text) = (Vec::new(), Vec::new());
        // An incomplete line is read later.
        while lines.len() < limit && file.read_until(b'\n', &mut text)? > 0 && text.ends_with(b"\n") {
            self.read += text.len() as u64;
            lines.extend(serde_json::from_slice::<Line>(&text).ok().map(|line| (self.read, line)));
            text.clear();
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_variables_are_masked() {
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
        let masks = masks.with_parameters(parameters.as_object());
        assert_eq!(masks.text("login p@ssw:rd by p%40ssw%3Ard"), "login *** by ***");
        assert_eq!(masks.text("plain k-2718, 73915"), "plain ***, ***");
    }

    #[test]
    fn secrets_of_parameters_and_queries_are_masked() {
        let parameters = serde_json::json!({
            "url": "https://host/rows?format=json&api_key=k3y%2Fwords#top",
            "headers": {"X-Auth-Token": ["tok-98765"]},
            "token_column": "rows",
        });
        let masks = Masks::default().with_parameters(parameters.as_object());
        assert_eq!(
            masks.text("get https://host/rows?format=json&api_key=k3y%2Fwords with tok-98765, k3y/words"),
            "get https://host/rows?format=json&api_key=*** with ***, ***"
        );
        let masks = Masks::default().with_texts(&["a\n--extra-index-url https://me:hunter2@host/simple b".to_owned()]);
        assert_eq!(masks.text("Looking in https://me:hunter2@host/simple"), "Looking in https://me:***@host/simple");
    }

    #[test]
    fn full_log_has_one_line_about_it() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer { max_bytes: 100, ..Writer::create(folder.path(), Masks::default()).unwrap() };
        (0..9).for_each(|_| drop(writer.write(Timestamp::now(), 1, "noise", "again and again")));
        let lines: Vec<String> =
            Reader::new(folder.path()).lines().unwrap().into_iter().map(|line| line.line).collect();
        assert_eq!(lines, ["again and again", "again and again", "the log is full: further lines are missing"]);
    }

    #[test]
    fn log_is_read_while_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = Reader::new(folder.path());
        assert_eq!(reader.lines().unwrap(), []);
        let writer = Writer::create(folder.path(), Masks::default()).unwrap();
        writer.write(Timestamp::now(), 1, "noise", "one");
        let mut file = File::options().append(true).open(folder.path().join(NAME)).unwrap();
        file.write_all(b"{\"at\": \"2026").unwrap();
        let lines: Vec<String> = reader.lines().unwrap().into_iter().map(|line| line.line).collect();
        assert_eq!(lines, ["one"]);
        file.write_all(b"-01-01T00:00:00Z\", \"step\": 2, \"name\": \"sink\", \"line\": \"two\"}\n").unwrap();
        assert_eq!(reader.lines().unwrap()[0].line, "two");
        assert_eq!(reader.lines().unwrap(), []);
        // Another reader continues after any line, in parts.
        let mut reader = Reader::new(folder.path());
        let first = reader.positioned_lines(1).unwrap();
        assert_eq!((first.len(), first[0].0, first[0].1.line.as_str()), (1, reader.position(), "one"));
        assert_eq!(Reader::after(folder.path(), first[0].0).lines().unwrap()[0].line, "two");
        assert_eq!(Reader::after(folder.path(), u64::MAX).lines().unwrap(), []);
    }
}
