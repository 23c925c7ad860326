//! Useless replacements: the system returned another value than the configured one, and would do so again.

use terrace_language::diagnostic::Diagnostic;
use terrace_language::digest::sha256;
use terrace_provider::{Path, PlannedChange, Step, Value};
use terrace_store::record::Prior;
use terrace_store::seal::Seal;

/// The code of these errors.
const INCONSISTENT: &str = "inconsistent_result";

/// A digest that recognises a planned value later; `None` for a sensitive value without a state key.
pub fn detector(seal: &Seal, planned: &Value) -> Option<String> {
    let clear = planned.to_revealed_json().to_string();
    let plain = || (!planned.has_sensitive()).then(|| sha256(&clear));
    seal.change_detector(clear.as_bytes()).or_else(plain)
}

/// True when the last call planned this very value and the system returned a different value.
fn is_known(seal: &Seal, prior: &Prior, name: &str, planned: &Value) -> bool {
    let Some(recorded) = prior.inconsistent.get(name) else { return false };
    let clear = planned.to_revealed_json().to_string();
    detector(seal, planned).as_ref() == Some(recorded)
        || seal.older_change_detectors(clear.as_bytes()).contains(recorded)
}

/// The error for a planned replacement whose only reasons are values that the system keeps in another form. The object is
/// kept, because a new object would get the same values.
pub(super) fn futile_replacement(
    seal: &Seal,
    address: &str,
    prior: Option<&Prior>,
    planned: &PlannedChange,
) -> Option<Diagnostic> {
    let prior = prior.filter(|_| !planned.replace_paths.is_empty())?;
    let is_in_vain = |path: &Path| {
        let Some(Step::Key(name)) = path.0.first() else { return false };
        planned.planned.get(name).is_some_and(|value| is_known(seal, prior, name, value))
    };
    if !planned.replace_paths.iter().all(is_in_vain) {
        return None;
    }
    let paths: Vec<String> = planned.replace_paths.iter().map(|path| format!("`{path}`")).collect();
    let message = format!(
        "{address} was created as configured, but its system returns other values at {}: a replacement would change nothing",
        paths.join(", ")
    );
    let hint = "write the value that `terrace state show` prints, or list the attribute in `ignoreChanges`";
    Some(Diagnostic::error(INCONSISTENT, message).about(address).hint(hint))
}
