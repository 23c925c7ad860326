//! Texts that users edit, and places in them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A text: a descriptor, a blueprint, a configuration.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name for users: a path relative to the working directory.
    pub name: String,
    /// The text.
    pub text: Arc<str>,
}

/// The index of a text in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SourceId(u32);

/// A range of bytes in one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// A place for display, independent of the text: `data-product.yaml:12:5`. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The source's name.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// All texts of a run. Diagnostics quote lines from them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Shared, so that a clone copies no text.
    all: Vec<Arc<Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    source: Source,
    /// First byte of each line, computed at the first request for a place. Most texts never need it.
    lines: OnceLock<Vec<u32>>,
    /// Bytes that are not to be quoted.
    hidden: Vec<Range<u32>>,
    is_built_in: bool,
}

impl Sources {
    /// Adds a text. The parsing budget cuts texts beyond 4 GiB off before.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        let id = SourceId(to_u32(self.all.len()));
        self.all.push(Arc::new(Entry {
            source: Source { name: name.into(), text: text.into() },
            lines: OnceLock::new(),
            hidden: Vec::new(),
            is_built_in: false,
        }));
        id
    }

    /// Adds a text that is built into terrace and is not a file of the user.
    pub fn add_built_in(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        let id = self.add(name, text);
        if let Some(entry) = self.all.last_mut().map(Arc::make_mut) {
            entry.is_built_in = true;
        }
        id
    }

    /// True for a text that is built into terrace.
    #[must_use]
    pub fn is_built_in(&self, id: SourceId) -> bool {
        self.all.get(id.0 as usize).is_some_and(|entry| entry.is_built_in)
    }

    /// Returns these texts with the first one replaced by that of `other`. Places in it stay valid.
    #[must_use]
    pub fn with_first_of(&self, other: &Self) -> Self {
        let all = other.all.iter().take(1).chain(self.all.iter().skip(1));
        Self { all: all.cloned().collect() }
    }

    /// Marks a range of bytes as secret. Places in it can be named, but diagnostics do not quote it.
    pub fn hide(&mut self, id: SourceId, bytes: Range<usize>) {
        if let Some(entry) = self.all.get_mut(id.0 as usize).map(Arc::make_mut) {
            entry.hidden.push(to_u32(bytes.start)..to_u32(bytes.end));
        }
    }

    /// True when diagnostics may quote the text at the start of a span.
    #[must_use]
    pub fn can_quote(&self, span: Span) -> bool {
        let hidden = self.all.get(span.source.0 as usize).map(|entry| entry.hidden.as_slice()).unwrap_or_default();
        // The end of a line belongs to the line.
        !hidden.iter().any(|bytes| bytes.start <= span.start && span.start <= bytes.end)
    }

    /// The text of that id.
    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.all.get(id.0 as usize).map(|entry| &entry.source)
    }

    /// The start of a span, for display.
    #[must_use]
    pub fn place(&self, span: Span) -> Option<Place> {
        let entry = self.all.get(span.source.0 as usize)?;
        let lines = entry.lines.get_or_init(|| {
            let breaks = entry.source.text.match_indices('\n');
            std::iter::once(0).chain(breaks.map(|(at, _)| to_u32(at + 1))).collect()
        });
        let line = lines.partition_point(|start| *start <= span.start).saturating_sub(1);
        let start = *lines.get(line)? as usize;
        let before = entry.source.text.get(start..span.start as usize).unwrap_or_default();
        Some(Place {
            file: entry.source.name.clone(),
            line: to_u32(line + 1),
            column: to_u32(before.chars().count() + 1),
        })
    }
}

impl Span {
    /// A range of bytes; out-of-range numbers are cut.
    #[must_use]
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        Self { source, start: to_u32(start), end: to_u32(end.max(start)) }
    }
}

impl From<Span> for Range<usize> {
    fn from(span: Span) -> Self {
        span.start as usize..span.end as usize
    }
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The place.
    pub span: Span,
}
