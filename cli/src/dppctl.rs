//! The program under the name `dppctl`, by a link. It accepts the calls of dppctl's document, and runs the matching
//! commands of terrace.

use crate::args::{CommandLine, Format};
use crate::argv;
use crate::commands::KINDS;
use crate::failure::{Exit, Failure};
use crate::program_name::{DPPCTL, GROUP};
use crate::ui::Ui;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use terrace_engine::diagnostic::closest;
use terrace_engine::text::shell_word;

/// Runs data pipelines.
#[derive(Debug, Parser)]
#[command(name = DPPCTL, version = crate::version::VERSION)]
#[command(after_help = "This is terrace under another name: see `terrace help pipelines`.")]
struct Dppctl {
    /// The command.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Activate a cluster, or print its progress
    Init {
        /// Start this kind of cluster and make it the active one; without it, show the active one
        #[arg(value_name = "KIND")]
        kind: Option<String>,
        /// Start this many workers
        #[arg(long, value_name = "N")]
        workers: Option<String>,
        /// Start this many databases
        #[arg(long, value_name = "N")]
        databases: Option<String>,
    },
    /// Run pipelines by the workers of the active cluster
    Run {
        /// A zip of the folder of specs: refused
        #[arg(long, value_name = "URL.zip[#subdir]", hide = true)]
        workload: Option<String>,
        /// Print the output of steps
        #[arg(long)]
        verbose: bool,
        /// Print more details
        #[arg(long)]
        debug: bool,
        /// Run these pipelines: ids, `prefix%` [default: `all`]
        #[arg(value_name = "PIPELINE_ID")]
        pipelines: Vec<String>,
    },
    /// List pods
    List {
        /// List `pods`
        what: Listed,
        /// Set the form of the list
        #[arg(long, value_name = "FORM", default_value = "json")]
        format: Format,
    },
    /// Open a shell in the environment of a worker's steps
    Ssh {
        /// Name a worker of `dppctl list pods`
        pod: String,
        /// Run this command instead of an interactive shell
        #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// List the kinds of clusters
    Providers,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Listed {
    Pods,
}

/// Translates a command line to one of terrace. Prints help, errors and lists itself.
pub(crate) fn translated(arguments: &[OsString]) -> Result<Vec<OsString>, Exit> {
    let parsed = argv::parsed::<Dppctl>(arguments).map_err(|error| {
        if let Some(failure) = unknown_option(arguments, &error) {
            Ui::plain().fail(&failure);
            return Exit::Error;
        }
        let is_mistake = error.use_stderr();
        // Ignores an error: the terminal is gone.
        let _ = error.print();
        if is_mistake { Exit::Error } else { Exit::Done }
    })?;
    let mut words: Vec<String> = GROUP.split_whitespace().map(str::to_owned).collect();
    let mut add = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
    match parsed.command {
        Command::Init { kind, workers, databases } => {
            add(&["init"]);
            for (option, number) in [("--workers", workers), ("--databases", databases)] {
                if let Some(number) = number {
                    add(&[option, &number]);
                }
            }
            if let Some(kind) = kind {
                add(&["--", &kind]);
            }
        }
        Command::Run { workload: Some(workload), .. } => {
            Ui::plain().fail(
                &Failure::new(format!(
                    "`--workload {workload}` cannot be run: pipelines run in the folder of their specs"
                ))
                .hint("unpack it, and run `dppctl run` in the folder with its `pipeline-spec.yaml`"),
            );
            return Err(Exit::Error);
        }
        Command::Run { workload: None, verbose, debug, pipelines } => {
            add(&["run", "--queue", "--else-public"]);
            add(if debug {
                &["-vv"]
            } else if verbose {
                &["-v"]
            } else {
                &[]
            });
            add(&["--"]);
            pipelines.iter().for_each(|pipeline| add(&[pipeline]));
        }
        Command::List { what: Listed::Pods, format } => {
            add(&["pods", "--format", if format == Format::Json { "json" } else { "human" }]);
        }
        Command::Ssh { pod, command } => {
            add(&["ssh", "--", &pod]);
            command.iter().for_each(|word| add(&[word]));
        }
        Command::Providers => {
            let lines: String = KINDS
                .iter()
                .filter_map(|(kind, what)| Some(format!("{}: {what}\n", kind.to_possible_value()?.get_name())))
                .collect();
            return Err(match Ui::plain().print(&lines) {
                Ok(()) => Exit::Done,
                Err(failure) => failure.exit,
            });
        }
    }
    Ok(words.into_iter().map(OsString::from).collect())
}

/// The failure for an option that a command lacks. The command of terrace may have it.
fn unknown_option(arguments: &[OsString], error: &clap::Error) -> Option<Failure> {
    let option = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) if option.starts_with("--") => option,
        _ => return None,
    };
    let words: Vec<&str> = arguments.iter().skip(1).filter_map(|word| word.to_str()).collect();
    let (command, rest) = words.split_first()?;
    let failure = Failure::new(format!("`{DPPCTL} {command}` has no option `{option}`"));
    let own = Dppctl::command();
    let own = own.find_subcommand(command)?;
    let option = option.strip_prefix("--")?;
    if let Some(meant) = closest(option, own.get_arguments().filter_map(|it| it.get_long())) {
        return Some(failure.hint(format!("did you mean `--{meant}`?")));
    }
    let of_terrace = CommandLine::command();
    let of_terrace = of_terrace.find_subcommand("pipelines")?.find_subcommand(command);
    let has_it = of_terrace.is_some_and(|it| it.get_arguments().any(|it| it.get_long() == Some(option)));
    Some(failure.hint(match (has_it, *command) {
        // All its options are those of terrace.
        (true, "init") => {
            let rest: String = rest.iter().map(|word| format!(" {}", shell_word(word))).collect();
            format!("write `{GROUP}{command}{rest}`")
        }
        (true, _) => format!("use `{GROUP}{command} --{option}`"),
        (false, _) => format!("`{DPPCTL} {command} --help` lists its options"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<String, Exit> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let words = translated(&arguments)?;
        Ok(words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn options_that_only_terrace_has_are_named() {
        for (line, hint) in [
            (
                "dppctl init kubernetes --namespace x --workers 1",
                "write `terrace pipelines init kubernetes --namespace x --workers 1`",
            ),
            ("dppctl run --dirty ./x", "use `terrace pipelines run --dirty`"),
            ("dppctl init --worker 3", "did you mean `--workers`?"),
            ("dppctl list pods --wide", "`dppctl list --help` lists its options"),
        ] {
            let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let error = argv::parsed::<Dppctl>(&arguments).unwrap_err();
            assert_eq!(unknown_option(&arguments, &error).unwrap().hints, [hint], "{line}");
        }
    }

    #[test]
    fn calls_of_the_document_are_translated() {
        assert_eq!(
            words("dppctl run ./dump-to-db").unwrap(),
            "terrace pipelines run --queue --else-public -- ./dump-to-db"
        );
        assert_eq!(words("dppctl run --verbose all").unwrap(), "terrace pipelines run --queue --else-public -v -- all");
        assert_eq!(words("dppctl init").unwrap(), "terrace pipelines init");
        assert_eq!(words("dppctl init minikube-public").unwrap(), "terrace pipelines init -- minikube-public");
        assert_eq!(words("dppctl list pods").unwrap(), "terrace pipelines pods --format json");
        assert_eq!(words("dppctl list pods --format human").unwrap(), "terrace pipelines pods --format human");
        assert_eq!(words("dppctl ssh a-pod").unwrap(), "terrace pipelines ssh -- a-pod");
        assert_eq!(words("dppctl ssh a-pod ls -la --help").unwrap(), "terrace pipelines ssh -- a-pod ls -la --help");
        for (line, exit) in [
            ("dppctl run --workload https://host/a.zip#b ./x", Exit::Error),
            ("dppctl list nodes", Exit::Error),
            ("dppctl providers", Exit::Done),
            ("dppctl --version", Exit::Done),
        ] {
            assert_eq!(words(line), Err(exit), "{line}");
        }
        for line in ["dppctl run ./x", "dppctl init local --workers 3", "dppctl ssh a-pod ls -la", "dppctl list pods"] {
            let words: Vec<String> = words(line).unwrap().split(' ').map(str::to_owned).collect();
            assert!(crate::args::CommandLine::try_parse_from(&words).is_ok(), "{words:?}");
        }
    }
}
