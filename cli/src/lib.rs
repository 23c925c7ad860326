//! The `terrace` command line: from arguments and configuration to results, diagnostics and an exit code.
//!
//! It connects providers and a store to the engine, and knows the terminal. It makes no decisions about plans. Results
//! go to standard output, everything else to standard error.
//!
//! Reading order: [`args`] (command line), [`settings`] and [`configuration`] (effective settings), `wiring` (inputs of
//! the engine), `commands` (one file each), `ui`, `report` and `progress` (output for people).
#![forbid(unsafe_code)]
// Tests may slice texts anywhere: a wrong index fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod args;
mod argv;
mod commands;
pub mod configuration;
pub(crate) mod context;
mod dppctl;
pub mod failure;
mod files;
mod input;
mod logging;
mod memory;
mod planning;
mod presentation;
mod program_name;
mod progress;
mod report;
pub mod settings;
mod sign_in;
mod signals;
mod stacks;
#[cfg_attr(not(feature = "otlp"), path = "telemetry_noop.rs")]
mod telemetry;
mod ui;
pub mod variables;
mod version;
mod wiring;

pub use wiring::Providers;

use clap::error::{ContextKind, ContextValue, ErrorKind as ErrorKindOfClap};
use context::Context;
use failure::{Exit, Failure};
use report::print_failure_json;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;
use ui::Ui;
use variables::Variables;

/// Runs a command line, whose first item is the program's name. Returns the exit code of the process.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    run_with(arguments, &Providers::built_in())
}

/// Runs a command line with other providers: a provider outside of this repository uses this in its `main`.
#[must_use]
pub fn run_with(arguments: Vec<OsString>, providers: &Providers) -> ExitCode {
    ui::hide_panics(&Ui::plain());
    // Nothing reads the state of a panicked command: the process ends.
    let exit = std::panic::catch_unwind(AssertUnwindSafe(|| match parse(&arguments) {
        Ok(command_line) => carry_out(command_line, providers),
        Err(exit) => exit,
    }));
    // The hook reported the panic.
    ExitCode::from(exit.unwrap_or(Exit::Error).code())
}

/// Parses the command line. Prints help, version and errors itself.
fn parse(arguments: &[OsString]) -> Result<args::CommandLine, Exit> {
    let translated =
        if program_name::is_dppctl(arguments.first()) { Some(dppctl::translated(arguments)?) } else { None };
    let arguments = translated.as_deref().unwrap_or(arguments);
    // Before parsing: `-config=x` would be read as `-c onfig=x`.
    if let Some(correction) = argv::correction(arguments) {
        Ui::plain().fail(&correction);
        return Err(Exit::Error);
    }
    let arguments = argv::without_help_of_help(arguments);
    let of_help = argv::with_globals_before_help(arguments);
    let arguments = of_help.as_deref().unwrap_or(arguments);
    argv::parsed::<args::CommandLine>(arguments).map_err(|error| {
        if let Some(ContextValue::String(command)) = error.get(ContextKind::InvalidSubcommand) {
            Ui::plain().fail(&argv::elsewhere(command).unwrap_or_else(|| argv::unknown(arguments, command)));
            return Exit::Error;
        }
        if error.kind() == ErrorKindOfClap::UnknownArgument
            && let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg)
            && let Some(answer) = argv::misplaced(arguments, option)
        {
            Ui::plain().fail(&answer);
            return Exit::Error;
        }
        if error.kind() == ErrorKindOfClap::MissingRequiredArgument
            && let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg)
        {
            let answer = argv::without_file(arguments, missing);
            Ui::plain().fail(&answer.unwrap_or_else(|| argv::incomplete(arguments, missing)));
            return Exit::Error;
        }
        if error.kind() == ErrorKindOfClap::InvalidUtf8
            && let Some(answer) = argv::not_utf8(arguments)
        {
            Ui::plain().fail(&answer);
            return Exit::Error;
        }
        let is_mistake = error.use_stderr();
        // Ignores an error: the terminal is gone.
        let _ = error.print();
        if is_mistake { Exit::Error } else { Exit::Done }
    })
}

fn carry_out(command_line: args::CommandLine, providers: &Providers) -> Exit {
    let variables = Variables::of_process();
    let ui = Ui::new(&command_line.global, &variables);
    let context = Context { global: &command_line.global, variables: &variables, ui: &ui, providers };
    let form = command_line.command.form();
    // The log of a server depends on its configuration, which is not read yet.
    let has_own_log = matches!(
        command_line.command,
        args::Command::Serve(_) | args::Command::RoleMapper(_) | args::Command::Operator(_)
    );
    let result = prepare(&command_line.global, &variables, &ui, has_own_log)
        .and_then(|()| providers.check())
        .and_then(|()| commands::run(&context, command_line.command));
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            ui.fail(&failure);
            // People have the message already: a failed write of the machine output changes nothing.
            let _ = form.map(|form| print_failure_json(&ui, form, &failure));
            failure.exit
        }
    }
}

/// Changes the folder and opens the log, before any other use of either.
fn prepare(global: &args::Global, variables: &Variables, ui: &Ui, has_own_log: bool) -> Result<(), Failure> {
    if let Some(folder) = &global.chdir {
        std::env::set_current_dir(folder).map_err(|error| no_folder(folder, &error))?;
    }
    if has_own_log { Ok(()) } else { logging::start(global, variables, ui) }
}

/// The failure of changing to a folder.
fn no_folder(folder: &Path, error: &std::io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::NotFound => "there is no such folder".to_owned(),
        ErrorKind::NotADirectory if folder.exists() => "it is a file, and not a folder".to_owned(),
        _ => files::describe_io_error(error),
    };
    Failure::new(format!("`--chdir {}`: {why}", folder.display()))
        .hint("pass a folder to `--chdir`; all other paths of the command line are relative to it")
}
