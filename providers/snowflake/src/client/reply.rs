//! Parser of answers.

use super::MAX_ANSWER_BYTES;
use flate2::read::GzDecoder;
use serde_json::Value as Json;
use std::io::Read;
use std::time::Duration;

/// The rows of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The names of the columns, as Snowflake writes them.
    pub(crate) columns: Vec<String>,
    /// The cells as texts; `None` for NULL.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// The rows, with access by column name in any case.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { columns: &self.columns, cells })
    }
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    columns: &'a [String],
    cells: &'a [Option<String>],
}

impl<'a> Row<'a> {
    /// The value of a column; `None` for NULL and for an unknown column.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let position = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))?;
        self.cells.get(position)?.as_deref()
    }

    /// The value of a column; empty for NULL and for an unknown column.
    pub(crate) fn text(&self, name: &str) -> &'a str {
        self.get(name).unwrap_or_default()
    }

    /// The first cell.
    pub(crate) fn first(&self) -> Option<&'a str> {
        self.cells.first()?.as_deref()
    }
}

/// The reason that a statement returned no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Snowflake refused the statement: code, SQLSTATE and message.
    Sql { code: String, state: String, message: String },
    /// Snowflake refused the credentials: code and message.
    Unauthorized { code: String, message: String },
    /// Too many requests, with the requested pause.
    Throttled(Option<Duration>),
    /// The statement exceeded its time limit and was stopped.
    TimedOut,
    /// The request was never sent: it had no effect.
    NotSent(String),
    /// The request was sent, or may have been; its outcome is unknown.
    Lost(String),
    /// Snowflake refused the request.
    Refused(String),
}

impl Failure {
    pub(super) fn unreadable(what: &str) -> Self {
        Self::Lost(format!("the answer about {what} cannot be read"))
    }

    /// The meaning of this failure for a statement that may have run: unless it is the statement's own answer, the
    /// outcome is unknown.
    pub(super) fn after(self, may_have_run: bool) -> Self {
        match self {
            Self::Sql { .. } | Self::TimedOut | Self::Lost(_) => self,
            other if may_have_run => Self::Lost(other.in_words()),
            other => other,
        }
    }

    /// The reason, in words.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Sql { message, .. } | Self::Unauthorized { message, .. } => message.clone(),
            Self::Throttled(_) => "too many requests".to_owned(),
            Self::TimedOut => "it exceeded its time limit".to_owned(),
            Self::NotSent(why) | Self::Lost(why) | Self::Refused(why) => why.clone(),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// The size after decompression, in bytes.
    pub(super) size: usize,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    /// The first rows, and the number of partitions.
    Rows {
        rows: Rows,
        handle: String,
        partitions: usize,
    },
    Running {
        handle: String,
    },
    Failed(Failure),
}

impl Reply {
    /// Parses an answer.
    pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Result<Self, Failure> {
        // Partitions are always compressed.
        let inflated = if body.starts_with(&[0x1f, 0x8b]) { Some(inflated(body, MAX_ANSWER_BYTES)?) } else { None };
        let body = inflated.as_deref().unwrap_or(body);
        let size = body.len();
        let json: Json = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let failed = |failure| Ok(Self { status, retry_after, size, body: Body::Failed(failure) });
        match status {
            200 => {
                let read = rows(&json).ok_or_else(|| Failure::unreadable("a statement"))?;
                Ok(Self { status, retry_after, size, body: read })
            }
            202 => Ok(Self { status, retry_after, size, body: Body::Running { handle: text("statementHandle") } }),
            401 | 403 => failed(Failure::Unauthorized { code: text("code"), message: text("message") }),
            408 => failed(Failure::TimedOut),
            422 => failed(Failure::Sql { code: text("code"), state: text("sqlState"), message: text("message") }),
            429 => failed(Failure::Throttled(retry_after)),
            _ => {
                let reason = text("message");
                let reason = if reason.is_empty() { "no reason given".to_owned() } else { reason };
                failed(Failure::Refused(format!("it answers {status}: {reason}")))
            }
        }
    }

    /// True if the token has expired: a new one may help.
    pub(super) fn is_expired(&self) -> bool {
        let codes = ["390114", "390318", "390144"];
        matches!(&self.body, Body::Failed(Failure::Unauthorized { code, .. }) if codes.contains(&code.as_str()))
    }

    /// The answer to a statement that may have run before; a failure unless it is the statement's own answer.
    pub(super) fn after(self, may_have_run: bool) -> Result<Self, Failure> {
        match self.body {
            Body::Failed(failure) if may_have_run => match failure.after(true) {
                Failure::Lost(why) => Err(Failure::Lost(why)),
                own => Ok(Self { body: Body::Failed(own), ..self }),
            },
            _ => Ok(self),
        }
    }
}

/// Decompresses an answer up to the size limit.
fn inflated(compressed: &[u8], most: usize) -> Result<Vec<u8>, Failure> {
    let mut inflated = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = GzDecoder::new(compressed).take(bound).read_to_end(&mut inflated);
    read.map_err(|_| Failure::unreadable("a partition"))?;
    if inflated.len() > most {
        return Err(Failure::Lost(format!("the answer has more than {most} bytes")));
    }
    Ok(inflated)
}

fn rows(json: &Json) -> Option<Body> {
    let data = json.get("data").and_then(Json::as_array);
    let metadata = json.get("resultSetMetaData");
    let types = metadata.and_then(|meta| meta.get("rowType")).and_then(Json::as_array);
    let columns =
        types.into_iter().flatten().filter_map(|column| Some(column.get("name")?.as_str()?.to_owned())).collect();
    let cell = |cell: &Json| match cell {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let row = |row: &Json| Some(row.as_array()?.iter().map(cell).collect());
    let rows = data?.iter().map(row).collect::<Option<_>>()?;
    let info = metadata.and_then(|meta| meta.get("partitionInfo")).and_then(Json::as_array);
    let handle = json.get("statementHandle").and_then(Json::as_str).unwrap_or_default().to_owned();
    Some(Body::Rows { rows: Rows { columns, rows }, handle, partitions: info.map_or(1, Vec::len) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    #[test]
    fn endless_compressed_answer_is_refused() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&vec![b' '; 100_000]).unwrap();
        let compressed = encoder.finish().unwrap();
        assert!(compressed.len() < 1000);
        assert_eq!(inflated(&compressed, 100_000).map(|body| body.len()), Ok(100_000));
        let failure = inflated(&compressed, 99_999).unwrap_err();
        assert!(matches!(&failure, Failure::Lost(why) if why.contains("more than 99999 bytes")), "{failure:?}");
    }
}
