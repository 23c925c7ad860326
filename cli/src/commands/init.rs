//! `terrace init`: writes the first files of a project. Keeps existing files.

use crate::args::InitArguments;
use crate::configuration::FILE_NAME;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use terrace_pipelines::spec;

/// The file of the example.
const EXAMPLE: &str = "stack.yaml";
/// First files of a project.
const FILES: &[(&str, &str)] = &[
    (FILE_NAME, include_str!("init/terrace.yaml")),
    (EXAMPLE, include_str!("init/stack.yaml")),
    (".gitignore", include_str!("init/gitignore")),
];

/// Starts a project, or creates a state key.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn run(context: &Context<'_>, arguments: &InitArguments) -> Result<Exit, Failure> {
    if arguments.state_key {
        context.ui.print(&format!("{}\n", state_key()?))?;
        context.ui.print_note(
            "keep it like a password: it opens the sensitive values of the state, and without it they are lost\n\
             put it in `TERRACE_STATE_KEY`, or in `encryption:` of terrace.yaml as `keyFile` or `keyCommand`",
        );
        return Ok(Exit::Done);
    }
    let has_pipelines = spec::read(Path::new(".")).is_ok_and(|specs| !specs.files.is_empty());
    // A project of pipelines consists of specs: an example would be planned along with them.
    for (name, text) in FILES.iter().filter(|(name, _)| !has_pipelines || *name != EXAMPLE) {
        let word = if write_new(Path::new(name), text)? { "wrote" } else { "kept" };
        context.ui.print(&format!("{word} {name}\n"))?;
    }
    if has_pipelines {
        context.ui.print_note(
            "\nnext: `terrace plan .`, then `terrace apply .`; `terrace pipelines run` runs the pipelines by hand, and\n\
             `terrace pipelines init local` starts workers for them",
        );
        return Ok(Exit::Done);
    }
    context.ui.print_note("\nnext: `terrace plan stack.yaml`, then `terrace apply stack.yaml`");
    Ok(Exit::Done)
}

/// A new key: 32 random bytes.
fn state_key() -> Result<String, Failure> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(format!("the system has no random numbers: {error}")))?;
    Ok(STANDARD.encode(bytes))
}

/// Writes a file unless it exists. Returns true if it was written.
fn write_new(path: &Path, text: &str) -> Result<bool, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("`{}` cannot be written: {error}", path.display()));
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Configuration;
    use crate::variables::Variables;

    #[test]
    fn new_state_key_is_valid() {
        let key = state_key().unwrap();
        assert!(terrace_engine::seal::Seal::with_key(&key, &[]).is_ok());
        assert_ne!(key, state_key().unwrap());
    }

    #[test]
    fn initial_configuration_is_valid() {
        let (name, text) = FILES[0];
        let (configuration, diagnostics) =
            Configuration::parse(name, text, Path::new("/project"), &Variables::default());
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        assert_eq!(configuration.environment_names(), ["local"]);
    }

    #[test]
    fn results_of_pull_requests_are_ignored_by_git() {
        use clap::CommandFactory;
        let mut command = crate::args::CommandLine::command();
        let plan = command.find_subcommand_mut("pr").unwrap().find_subcommand("plan").unwrap();
        let out = plan.get_arguments().find(|argument| argument.get_id() == "out").unwrap();
        let folder = out.get_default_values()[0].to_str().unwrap();
        let (_, ignored) = FILES.iter().find(|(name, _)| *name == ".gitignore").unwrap();
        assert!(ignored.lines().any(|line| line == format!("/{folder}/")), "{ignored}");
    }

    #[test]
    fn existing_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(write_new(&path, "one").unwrap());
        assert!(!write_new(&path, "two").unwrap());
        assert_eq!(std::fs::read_to_string(path).unwrap(), "one");
    }
}
