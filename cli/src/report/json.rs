//! Diagnostics for programs, in results that are JSON.

use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use serde_json::{Value as Json, json};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::source::Sources;
use terrace_provider::Severity;

/// One diagnostic; what it does not have is null.
pub(super) fn diagnostic(diagnostic: &Diagnostic, sources: &Sources) -> Json {
    let place = diagnostic.place(sources);
    json!({
        "severity": match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "code": diagnostic.code,
        "message": diagnostic.message,
        "file": place.as_ref().map(|place| &place.file),
        "line": place.as_ref().map(|place| place.line),
        "column": place.as_ref().map(|place| place.column),
        "hint": diagnostic.hint,
        "address": diagnostic.address,
    })
}

/// All diagnostics so far, and the failure that ended the command, unless those told all of it.
pub(crate) fn with_failure(ui: &Ui, failure: &Failure) -> Json {
    let code = match failure.exit {
        Exit::Refused => "refused",
        Exit::Interrupted => "interrupted",
        _ => "failed",
    };
    let ending = failure.message.as_ref().map(|message| {
        json!({
            "severity": "error", "code": code, "message": message, "file": null, "line": null, "column": null,
            "hint": (!failure.hints.is_empty()).then(|| failure.hints.join("\n")), "address": null,
        })
    });
    ui.remembered().into_iter().chain(ending).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use super::*;
    use terrace_engine::source::Span;

    #[test]
    fn a_diagnostic_has_its_place_and_a_failure_comes_last() {
        let (ui, mut sources) = (Ui::plain(), Sources::default());
        let id = sources.add("a.yaml", "one\n  two\n");
        let wrong = Diagnostic::error("wrong", "`two` is wrong").at(Span::new(id, 6, 9)).hint("write `three`");
        report(&ui, &sources, &[wrong]);
        let told = with_failure(&ui, &Failure::refused("no").hint("a").hint("b"));
        assert_eq!(
            told,
            json!([
                { "severity": "error", "code": "wrong", "message": "`two` is wrong", "file": "a.yaml", "line": 2,
                  "column": 3, "hint": "write `three`", "address": null },
                { "severity": "error", "code": "refused", "message": "no", "file": null, "line": null,
                  "column": null, "hint": "a\nb", "address": null },
            ])
        );
        assert_eq!(with_failure(&ui, &Failure::told(Exit::Error)).as_array().map(Vec::len), Some(1));
    }
}
