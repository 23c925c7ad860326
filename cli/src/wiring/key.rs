//! The state key: from the variable, the configuration, a file or a command.

mod command;

use super::guard;
use crate::configuration::{Encryption, KeySource};
use crate::failure::{Exit, Failure};
use crate::files::{self, OtherAccess};
use crate::report::report;
use crate::settings::Settings;
use crate::ui::Ui;
use command::TimeLimits;
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::seal::Seal;
use terrace_engine::source::Located;

/// The code of a diagnostic about a missing or invalid state key.
const UNUSABLE: &str = "unusable_state_key";

const KEY_HINT: &str = "create a key with `terrace init --state-key`";

/// The key of an environment: its own, or else that of the project.
///
/// # Errors
/// When a key is missing or invalid, which is reported at its place.
pub(super) fn seal(
    settings: &Settings,
    own: Option<&Encryption>,
    is_plaintext_allowed: bool,
    ui: &Ui,
) -> Result<Seal, Failure> {
    find(settings, own, is_plaintext_allowed, ui).map_err(|diagnostic| {
        report(ui, &settings.configuration.sources, &[*diagnostic]);
        Failure::reported(Exit::Error)
    })
}

/// Like [`seal`], but returns the diagnostic instead of reporting it.
///
/// # Errors
/// When a key is missing or invalid.
pub(crate) fn find(
    settings: &Settings,
    own: Option<&Encryption>,
    is_plaintext_allowed: bool,
    ui: &Ui,
) -> Result<Seal, Box<Diagnostic>> {
    let encryption = own.unwrap_or(&settings.configuration.encryption);
    let variable = settings.state_key.as_ref().filter(|_| own.is_none());
    let had = |source: &Located<KeySource>, field: &str| {
        read(&source.value, ui)
            .and_then(|key| checked(key, &origin(&source.value, field)))
            .map_err(|diagnostic| Box::new(diagnostic.at(source.span)))
    };
    let current = match (variable, &encryption.current) {
        (Some(key), _) => checked(key.expose_secret().into(), "the variable `TERRACE_STATE_KEY`")?,
        (None, Some(source)) => had(source, "key")?,
        (None, None) => return Ok(Seal::without_key(is_plaintext_allowed)),
    };
    let previous = encryption.previous.iter().map(|source| had(source, "previous"));
    let previous = previous.collect::<Result<Vec<_>, _>>()?;
    let previous: Vec<&str> = previous.iter().map(ExposeSecret::expose_secret).collect();
    let seal = Seal::with_key(current.expose_secret(), &previous)
        .map_err(|error| Box::new(Diagnostic::error(UNUSABLE, error.to_string())))?;
    guard::forbid_dumps();
    Ok(seal.accepting_clear(is_plaintext_allowed).requiring_bound(encryption.is_bound_required))
}

/// The key, if it is valid.
fn checked(key: SecretString, origin: &str) -> Result<SecretString, Box<Diagnostic>> {
    match Seal::with_key(key.expose_secret(), &[]) {
        Ok(_) => Ok(key),
        Err(error) => Err(Box::new(Diagnostic::error(UNUSABLE, format!("{origin}: {error}")).hint(KEY_HINT))),
    }
}

/// The source of a key, in words.
fn origin(source: &KeySource, field: &str) -> String {
    match source {
        KeySource::Key(_) => format!("`encryption.{field}` of terrace.yaml"),
        KeySource::File(path) => format!("the file `{}`", path.display()),
        KeySource::Command(words, _) => {
            format!("the output of `{}`", words.first().map(String::as_str).unwrap_or_default())
        }
    }
}

fn read(source: &KeySource, ui: &Ui) -> Result<SecretString, Box<Diagnostic>> {
    match source {
        KeySource::Key(key) if key.contains("${{") => Err(Box::new(unevaluated(key))),
        KeySource::Key(key) => Ok(key.as_str().into()),
        KeySource::File(path) => file(path).map(Into::into),
        KeySource::Command(words, variables) => {
            command::run(words, variables, TimeLimits::default(), ui).map(Into::into)
        }
    }
}

/// The error for a key whose expression has no value. It names variables only: the text of the expression may hold a part of a key.
fn unevaluated(expression: &str) -> Diagnostic {
    let names = expression.split("env.").skip(1).map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')));
    let names: Vec<String> = names
        .filter_map(|mut words| words.next())
        .filter(|name| !name.is_empty())
        .map(|name| format!("`{name}`"))
        .collect();
    let set = match names.is_empty() {
        true => "correct the expression".to_owned(),
        false => format!("set {} to the key, in the environment of terrace", names.join(", ")),
    };
    Diagnostic::error(UNUSABLE, "the state key is not available: its expression has no value")
        .hint(format!("{set}; for a new state, {KEY_HINT}"))
}

fn file(path: &Path) -> Result<String, Box<Diagnostic>> {
    if files::access_of_others(path) == OtherAccess::Write {
        let message = format!("the state key `{}` can be changed by other users of this machine", path.display());
        return Err(Box::new(Diagnostic::error(UNUSABLE, message).hint(files::make_private(path))));
    }
    files::text(path, files::KEY).map_err(|error| {
        let message = format!("the state key `{}` cannot be read: {error}", path.display());
        let hint = format!("set `keyFile` to a file with a key, relative to terrace.yaml; {KEY_HINT}");
        Box::new(Diagnostic::error(UNUSABLE, message).hint(hint))
    })
}
