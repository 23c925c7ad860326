//! Helpers that several test modules of this crate share.

use crate::diagnostic::{Diagnostic, Location};
use crate::source::Sources;

/// Diagnostics as plain text, for snapshots.
pub(crate) fn render_diagnostics(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut lines = Vec::new();
    for diagnostic in diagnostics {
        let severity = format!("{:?}", diagnostic.severity).to_lowercase();
        lines.push(format!("{severity}[{}]: {}", diagnostic.code, diagnostic.message));
        for label in &diagnostic.labels {
            let place = match &label.at {
                Location::Span(span) => sources.place(*span),
                Location::Place(place) => Some(place.clone()),
            };
            let place = place.map_or("nowhere".to_owned(), |place| place.to_string());
            lines.push(format!("  at {place} {}", label.text).trim_end().to_owned());
        }
        lines.extend(diagnostic.hint.iter().map(|hint| format!("  hint: {hint}")));
    }
    lines.join("\n")
}
