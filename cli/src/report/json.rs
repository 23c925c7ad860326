//! Diagnostics in JSON results.

use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use terrace_engine::plan::Note;
use terrace_engine::render::stream;
use terrace_provider::Severity;

/// A diagnostic; missing fields are null.
fn diagnostic(note: &Note) -> Json {
    json!({
        "severity": match note.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "code": note.code,
        "message": note.message,
        "file": note.place.as_ref().map(|place| &place.file),
        "line": note.place.as_ref().map(|place| place.line),
        "column": note.place.as_ref().map(|place| place.column),
        "hint": note.hint,
        "address": note.address,
    })
}

/// The failure of a command; `None` if diagnostics reported it.
fn failure_note(failure: &Failure) -> Option<Note> {
    let code = match failure.exit {
        Exit::Refused => "refused",
        Exit::Interrupted => "interrupted",
        _ => "failed",
    };
    failure.message.as_ref().map(|message| Note {
        severity: Severity::Error,
        code: code.to_owned(),
        message: message.clone(),
        place: None,
        hint: (!failure.hints.is_empty()).then(|| failure.hints.join("\n")),
        address: None,
    })
}

/// All diagnostics so far.
pub(crate) fn remembered(ui: &Ui) -> Json {
    ui.remembered().iter().map(diagnostic).collect()
}

/// All diagnostics so far, and the failure of the command unless diagnostics reported it.
pub(crate) fn with_failure(ui: &Ui, failure: &Failure) -> Json {
    ui.remembered().iter().chain(&failure_note(failure)).map(diagnostic).collect()
}

/// Forms of machine output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One document.
    Document,
    /// One object a line.
    Stream,
}

/// Prints a failure in the form of the expected result. A document that was printed is complete; a stream continues.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print_failure_json(ui: &Ui, form: Form, failure: &Failure) -> Result<(), Failure> {
    match (form, ui.has_printed()) {
        (Form::Document, true) => Ok(()),
        (Form::Document, false) => ui.print_json(&json!({ "errored": true, "diagnostics": with_failure(ui, failure) })),
        (Form::Stream, has_begun) => {
            let at = Timestamp::now();
            let version = (!has_begun).then(|| stream::version(crate::version::VERSION, at));
            let result = if has_begun { Vec::new() } else { ui.remembered() };
            let notes = result
                .iter()
                .chain(&failure_note(failure))
                .map(|note| stream::diagnostic(note, at))
                .collect::<Vec<_>>();
            version.into_iter().chain(notes).try_for_each(|line| ui.print(&format!("{line}\n")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use super::*;
    use terrace_engine::diagnostic::Diagnostic;
    use terrace_engine::source::{Sources, Span};

    #[test]
    fn diagnostic_has_its_place_and_failure_comes_last() {
        let (ui, mut sources) = (Ui::plain(), Sources::default());
        let id = sources.add("a.yaml", "one\n  two\n");
        let wrong = Diagnostic::error("wrong", "`two` is wrong").at(Span::new(id, 6, 9)).hint("write `three`");
        report(&ui, &sources, &[wrong]);
        let result = with_failure(&ui, &Failure::refused("no").hint("a").hint("b"));
        assert_eq!(
            result,
            json!([
                { "severity": "error", "code": "wrong", "message": "`two` is wrong", "file": "a.yaml", "line": 2,
                  "column": 3, "hint": "write `three`", "address": null },
                { "severity": "error", "code": "refused", "message": "no", "file": null, "line": null,
                  "column": null, "hint": "a\nb", "address": null },
            ])
        );
        assert_eq!(with_failure(&ui, &Failure::reported(Exit::Error)).as_array().map(Vec::len), Some(1));
    }
}
