//! What comes back, taken apart.

use super::LONGEST;
use flate2::read::GzDecoder;
use serde_json::Value as Json;
use std::io::Read;
use std::time::Duration;

/// The rows of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The names of the columns, as Snowflake writes them.
    pub(crate) columns: Vec<String>,
    /// Everything is text; NULL is none.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// Each row by the names of its columns, which are compared without regard to case.
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
    /// A cell that is there and not NULL.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let position = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))?;
        self.cells.get(position)?.as_deref()
    }

    /// A cell; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> &'a str {
        self.get(name).unwrap_or_default()
    }

    /// The first cell.
    pub(crate) fn first(&self) -> Option<&'a str> {
        self.cells.first()?.as_deref()
    }
}

/// Why there are no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Snowflake says no: its code, the SQLSTATE, what it says.
    Sql { code: String, state: String, message: String },
    /// Who asks is not let in: the code, what it says.
    Unauthorized { code: String, message: String },
    /// Too many requests, until after that.
    Throttled(Option<Duration>),
    /// It took longer than it may, and was stopped.
    TimedOut,
    /// The request was never sent: nothing happened.
    NotSent(String),
    /// It was sent, or may have been, and nobody knows what became of it.
    Lost(String),
    /// The request itself is refused.
    Refused(String),
}

impl Failure {
    pub(super) fn unreadable(what: &str) -> Self {
        Self::Lost(format!("the answer about {what} cannot be read"))
    }

    /// What this is of a statement that may have run: whatever the statement did not say itself leaves open what became of
    /// it.
    pub(super) fn after(self, may_have_run: bool) -> Self {
        match self {
            Self::Sql { .. } | Self::TimedOut | Self::Lost(_) => self,
            other if may_have_run => Self::Lost(other.in_words()),
            other => other,
        }
    }

    /// Why, in words.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Sql { message, .. } | Self::Unauthorized { message, .. } => message.clone(),
            Self::Throttled(_) => "too many requests".to_owned(),
            Self::TimedOut => "it took longer than it may".to_owned(),
            Self::NotSent(why) | Self::Lost(why) | Self::Refused(why) => why.clone(),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// How long it is, inflated.
    pub(super) size: usize,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    /// The first rows, and in how many partitions they all come.
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
    /// Takes an answer apart.
    pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Result<Self, Failure> {
        // Partitions come compressed, whatever is asked for.
        let inflated = if body.starts_with(&[0x1f, 0x8b]) { Some(inflated(body, LONGEST)?) } else { None };
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
                let said = text("message");
                let said = if said.is_empty() { "without a word".to_owned() } else { said };
                failed(Failure::Refused(format!("it answers {status}: {said}")))
            }
        }
    }

    /// The token is too old: another one may do.
    pub(super) fn is_expired(&self) -> bool {
        let codes = ["390114", "390318", "390144"];
        matches!(&self.body, Body::Failed(Failure::Unauthorized { code, .. }) if codes.contains(&code.as_str()))
    }

    /// The answer to a statement that may have run before: of what the statement did not say itself, a failure.
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

/// What is compressed, as far as it is not longer than anything that is answered at once.
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
    let types = metadata.and_then(|it| it.get("rowType")).and_then(Json::as_array);
    let columns = types.into_iter().flatten().filter_map(|it| Some(it.get("name")?.as_str()?.to_owned())).collect();
    let cell = |cell: &Json| match cell {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let row = |row: &Json| Some(row.as_array()?.iter().map(cell).collect());
    let rows = data?.iter().map(row).collect::<Option<_>>()?;
    let info = metadata.and_then(|it| it.get("partitionInfo")).and_then(Json::as_array);
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
    fn what_inflates_without_an_end_is_not_read_to_its_end() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&vec![b' '; 100_000]).unwrap();
        let compressed = encoder.finish().unwrap();
        assert!(compressed.len() < 1000);
        assert_eq!(inflated(&compressed, 100_000).map(|body| body.len()), Ok(100_000));
        let told = inflated(&compressed, 99_999).unwrap_err();
        assert!(matches!(&told, Failure::Lost(why) if why.contains("more than 99999 bytes")), "{told:?}");
    }
}
