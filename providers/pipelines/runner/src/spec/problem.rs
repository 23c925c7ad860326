//! Problems of specs, for people: file, line, pipeline, step, message and hint.

use super::Specs;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Probably a mistake; dpp ignores it.
    Warning,
    /// The pipeline cannot run.
    Error,
}

/// A problem of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Severity.
    pub severity: Severity,
    /// Stable code for tools.
    pub code: &'static str,
    /// Message.
    pub message: String,
    /// Its file, by position in [`Specs::files`].
    pub file: usize,
    /// Position in bytes of the text.
    pub at: Range<usize>,
    /// Id of the pipeline.
    pub pipeline: Option<String>,
    /// The step, counted from 1, and its name if it has one.
    pub step: Option<(usize, String)>,
    /// Hint.
    pub hint: Option<String>,
}

impl Problem {
    /// Returns true if the pipeline cannot run.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Line and column, counted from 1; columns in characters.
    #[must_use]
    pub fn position(&self, text: &str) -> (usize, usize) {
        let before = text.get(..self.at.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// The problem in one line, with its position: `a/pipeline-spec.yaml:3:5: ./a/x, step 2 (`sort`): …`.
    #[must_use]
    pub fn in_one_line<'a>(&'a self, specs: &'a Specs) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            if let Some((file, path)) = specs.files.get(self.file).zip(specs.path_of(self.file)) {
                let (line, column) = self.position(&file.text);
                write!(f, "{}:{line}:{column}: ", escaped(&path.to_string_lossy()))?;
            }
            f.write_str(&self.context())?;
            f.write_str(&self.message)?;
            self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
        })
    }

    /// Pipeline and step, as the start of a message.
    #[must_use]
    pub fn context(&self) -> String {
        match (self.pipeline.as_deref().map(escaped), &self.step) {
            (Some(pipeline), Some((number, name))) if name.is_empty() => format!("{pipeline}, step {number}: "),
            (Some(pipeline), Some((number, name))) => {
                format!("{pipeline}, step {number} (`{}`): ", escaped(name))
            }
            (Some(pipeline), None) => format!("{pipeline}: "),
            _ => String::new(),
        }
    }
}

/// Escapes control characters, which could drive a terminal: names may come from any author.
fn escaped(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        true => text.escape_debug().to_string().into(),
        false => text.into(),
    }
}
