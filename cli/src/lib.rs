//! The `terrace` command line: arguments and configuration in, results, diagnostics and an exit code out.
//!
//! It wires providers and a store to the engine and knows the terminal; it decides nothing about plans. Results go to
//! standard output, everything else to standard error.
//!
//! Read in this order: [`args`] (what can be asked), [`settings`] and [`configuration`] (what is in force), `wiring`
//! (what the engine gets), `commands` (one file each), `ui`, `report` and `progress` (what people see).
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod args;
mod argv;
mod commands;
pub mod configuration;
mod dppctl;
pub mod failure;
mod files;
mod input;
mod logging;
mod memory;
mod planning;
mod presentation;
mod progress;
mod report;
pub mod settings;
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
use commands::Context;
use failure::{Exit, Failure};
use report::tell_programs;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;
use ui::Ui;
use variables::Variables;

/// Runs one command line, the program's name first; answers the process's exit code.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    run_with(arguments, &Providers::built_in())
}

/// The same with the providers of another build: how a provider outside of this repository gets its `main`.
#[must_use]
pub fn run_with(arguments: Vec<OsString>, providers: &Providers) -> ExitCode {
    ui::hide_panics(&Ui::plain());
    // Nothing that a panic left half done is looked at again: the process ends.
    let exit = std::panic::catch_unwind(AssertUnwindSafe(|| match parse(&arguments) {
        Ok(command_line) => carry_out(command_line, providers),
        Err(exit) => exit,
    }));
    // The panic was told by the hook.
    ExitCode::from(exit.unwrap_or(Exit::Error).code())
}

/// Reads the command line; help, version and mistakes are told here.
fn parse(arguments: &[OsString]) -> Result<args::CommandLine, Exit> {
    let translated = if dppctl::is_meant(arguments.first()) { Some(dppctl::translated(arguments)?) } else { None };
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
            && let Some(answer) = argv::without_file(arguments, missing)
        {
            Ui::plain().fail(&answer);
            return Exit::Error;
        }
        let is_mistake = error.use_stderr();
        // Nobody is left to tell when the terminal is gone.
        let _ = error.print();
        if is_mistake { Exit::Error } else { Exit::Done }
    })
}

fn carry_out(command_line: args::CommandLine, providers: &Providers) -> Exit {
    let variables = Variables::of_process();
    let ui = Ui::new(&command_line.global, &variables);
    let context = Context { global: &command_line.global, variables: &variables, ui: &ui, providers };
    let form = command_line.command.form();
    // The log of a server is as its configuration says, which is to be read first.
    let has_own_log = matches!(command_line.command, args::Command::Serve(_) | args::Command::RoleMapper(_));
    let result = prepare(&command_line.global, &variables, &ui, has_own_log)
        .and_then(|()| providers.check())
        .and_then(|()| commands::run(&context, command_line.command));
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            ui.fail(&failure);
            // What went wrong was told people; that programs cannot be told changes nothing about it.
            let _ = form.map(|form| tell_programs(&ui, form, &failure));
            failure.exit
        }
    }
}

/// Changes the folder and opens the log, before anything else looks at either.
fn prepare(global: &args::Global, variables: &Variables, ui: &Ui, has_own_log: bool) -> Result<(), Failure> {
    if let Some(folder) = &global.chdir {
        std::env::set_current_dir(folder).map_err(|error| no_folder(folder, &error))?;
    }
    if has_own_log { Ok(()) } else { logging::start(global, variables, ui) }
}

/// Why it is not possible to change to a folder.
fn no_folder(folder: &Path, error: &std::io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::NotFound => "there is no such folder".to_owned(),
        ErrorKind::NotADirectory if folder.exists() => "it is a file, and not a folder".to_owned(),
        _ => files::because(error),
    };
    Failure::new(format!("`--chdir {}`: {why}", folder.display()))
        .hint("`--chdir` takes a folder; all other paths of the command line are relative to it")
}
