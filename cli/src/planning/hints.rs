//! Remedies for the files of a repository, whose values may come from an expression or from a file of the environment.

use std::path::Path;
use terrace_engine::diagnostic::{Diagnostic, Location};
use terrace_engine::source::{Sources, Span};

/// The codes of errors about a value, whose hints name the value to write.
const OF_VALUES: [&str; 2] = ["wrong_type", "invalid_specific"];
/// The delimiters of an expression in a skeleton.
const EXPRESSION: (&str, &str) = ("${{", "}}");

/// Corrects the hints of errors in entities. A value in the place of an expression would be the same in all environments; and
/// a missing field may be missing in the values of this environment only.
pub(super) fn correct(sources: &Sources, environment: Option<&str>, diagnostics: &mut [Diagnostic]) {
    for diagnostic in diagnostics.iter_mut().filter(|diagnostic| diagnostic.is_error()) {
        let Some(Location::Span(span)) = diagnostic.labels.first().map(|label| &label.at) else { continue };
        let Some(source) = sources.get(span.source).filter(|source| is_catalog(&source.name)) else { continue };
        if OF_VALUES.contains(&diagnostic.code) {
            if let Some(expression) = expression_at(&source.text, *span) {
                diagnostic.hint = Some(format!(
                    "correct `{} {expression} {}`, or the values of its names in parameters.yaml",
                    EXPRESSION.0, EXPRESSION.1
                ));
            }
        } else if diagnostic.code == "missing_field"
            && diagnostic.message.starts_with("`specific")
            && let (Some(hint), Some(values)) = (&diagnostic.hint, values_of(&source.name, environment))
        {
            diagnostic.hint = Some(format!("{hint} for all environments, or in `{values}`"));
        }
    }
}

fn is_catalog(name: &str) -> bool {
    Path::new(name).ends_with("catalog-info.yaml")
}

/// The expression of a skeleton at a place. A value that renders empty has the place of the whole expression, and any other
/// value that of the text between its delimiters.
fn expression_at(text: &str, span: Span) -> Option<&str> {
    let (before, after) = text.split_at_checked(span.start as usize)?;
    let is_inner = before.trim_end().ends_with(EXPRESSION.0);
    let rest = if is_inner { Some(after) } else { after.strip_prefix(EXPRESSION.0) }?;
    rest.split_once(EXPRESSION.1).map(|(expression, _)| expression.trim().trim_matches('-').trim())
}

/// The file with the values of an environment, if the entity has values for any environment.
fn values_of(catalog: &str, environment: Option<&str>) -> Option<String> {
    let folder = Path::new(catalog).parent()?.join("environments");
    let environment = environment.filter(|_| folder.is_dir())?;
    Some(folder.join(environment).join("configurations.yaml").display().to_string())
}
