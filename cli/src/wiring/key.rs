//! The state key: from the variable, the configuration, a file or a command.

use crate::configuration::KeySource;
use crate::failure::Failure;
use crate::files;
use crate::settings::Settings;
use std::process::{Command, Stdio};
use terrace_engine::seal::Seal;

/// What sensitive values are sealed with.
///
/// # Errors
/// When a key cannot be had, or is none.
pub(super) fn seal(settings: &Settings, is_plaintext_allowed: bool) -> Result<Seal, Failure> {
    let encryption = &settings.configuration.encryption;
    let current = match (&settings.state_key, &encryption.current) {
        (Some(key), _) => checked(key.clone(), "the variable `TERRACE_STATE_KEY`")?,
        (None, Some(source)) => checked(read(source)?, &origin(source, "key"))?,
        (None, None) => return Ok(Seal::without_key(is_plaintext_allowed)),
    };
    let read = |source: &KeySource| checked(read(source)?, &origin(source, "previous"));
    let previous = encryption.previous.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let previous: Vec<&str> = previous.iter().map(String::as_str).collect();
    Seal::with_key(&current, &previous).map_err(|error| Failure::new(error.to_string()))
}

/// The key, when it is one.
fn checked(key: String, origin: &str) -> Result<String, Failure> {
    match Seal::with_key(&key, &[]) {
        Ok(_) => Ok(key),
        Err(error) => Err(Failure::new(format!("{origin}: {error}")).hint("`terrace init --state-key` makes a key")),
    }
}

/// Where a key comes from, in words.
fn origin(source: &KeySource, field: &str) -> String {
    match source {
        KeySource::Key(_) => format!("`encryption.{field}` of terrace.yaml"),
        KeySource::File(path) => format!("the file `{}`", path.display()),
        KeySource::Command(words) => format!("what `{}` printed", words.join(" ")),
    }
}

fn read(source: &KeySource) -> Result<String, Failure> {
    match source {
        KeySource::Key(key) => Ok(key.clone()),
        KeySource::File(path) => files::text(path, files::KEY)
            .map_err(|error| Failure::new(format!("the state key `{}` cannot be read: {error}", path.display()))),
        KeySource::Command(words) => run(words),
    }
}

/// What a command prints. Its errors go where ours go: it may have to say why it needs a touch on a token.
fn run(words: &[String]) -> Result<String, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::new("`keyCommand` is empty"));
    };
    let failed = |why: String| Failure::new(format!("the state key cannot be had: `{program}` {why}"));
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    String::from_utf8(output.stdout).map_err(|_| failed("printed no text".to_owned()))
}
