//! What comes back, taken apart.

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
        let mut inflated = Vec::new();
        // Partitions come compressed, whatever is asked for.
        let body = if body.starts_with(&[0x1f, 0x8b]) {
            let read = GzDecoder::new(body).read_to_end(&mut inflated);
            read.map_err(|_| Failure::unreadable("a partition"))?;
            inflated.as_slice()
        } else {
            body
        };
        let json: Json = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let failed = |failure| Ok(Self { status, retry_after, body: Body::Failed(failure) });
        match status {
            200 => {
                let read = rows(&json).ok_or_else(|| Failure::unreadable("a statement"))?;
                Ok(Self { status, retry_after, body: read })
            }
            202 => Ok(Self { status, retry_after, body: Body::Running { handle: text("statementHandle") } }),
            401 | 403 => failed(Failure::Unauthorized { code: text("code"), message: text("message") }),
            408 => failed(Failure::TimedOut),
            422 => failed(Failure::Sql { code: text("code"), state: text("sqlState"), message: text("message") }),
            429 | 503 | 504 => failed(Failure::Throttled(retry_after)),
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

    /// Nothing happened yet, or nobody knows: the same request may come again.
    pub(super) fn is_too_early(&self) -> bool {
        matches!(self.status, 429 | 503 | 504)
    }
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
