//! The same program under the name `dppctl`, by a link: it takes what the document of that name calls it with, and does what
//! terrace does for that.

use crate::argv;
use crate::commands::KINDS;
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use clap::{Parser, Subcommand, ValueEnum};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The other name.
pub(crate) const NAME: &str = "dppctl";

/// Runs data pipelines.
#[derive(Debug, Parser)]
#[command(name = NAME, version = crate::version::VERSION)]
#[command(after_help = "This is terrace under another name: `terrace help run` and `terrace help init` tell more.")]
struct Dppctl {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a cluster the active one, or say how far it is
    Init {
        /// The kind of cluster; without it the one that is active
        #[arg(value_name = "KIND")]
        kind: Option<String>,
        /// So many workers
        #[arg(long, value_name = "N")]
        workers: Option<String>,
        /// So many databases
        #[arg(long, value_name = "N")]
        databases: Option<String>,
    },
    /// Run pipelines by the workers of the active cluster
    Run {
        /// A zip of the folder of the specs
        #[arg(long, value_name = "URL.zip[#subdir]")]
        workload: Option<String>,
        /// Tell what steps say
        #[arg(long)]
        verbose: bool,
        /// Tell more than that
        #[arg(long)]
        debug: bool,
        /// Ids, `prefix%`; `all` is the default
        #[arg(value_name = "PIPELINE_ID")]
        pipelines: Vec<String>,
    },
    /// What there is
    List {
        /// `pods`
        what: Listed,
    },
    /// A shell where a worker runs its pipelines
    Ssh {
        /// A worker, as `dppctl list pods` names it
        pod: String,
        /// What the shell runs, instead of asking for commands
        #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// The kinds of clusters
    Providers,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Listed {
    Pods,
}

/// True for a program that was called by the other name.
pub(crate) fn is_meant(program: Option<&OsString>) -> bool {
    program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new(NAME))
}

/// The name that this process was called by, for what people are told to type.
pub(crate) fn program() -> &'static str {
    if is_meant(std::env::args_os().next().as_ref()) { NAME } else { "terrace" }
}

/// The words of terrace that do what is asked; help, mistakes and what needs no other words are told here.
pub(crate) fn translated(arguments: &[OsString]) -> Result<Vec<OsString>, Exit> {
    let asked = argv::parsed::<Dppctl>(arguments).map_err(|error| {
        let is_mistake = error.use_stderr();
        // Nobody is left to tell when the terminal is gone.
        let _ = error.print();
        if is_mistake { Exit::Error } else { Exit::Done }
    })?;
    let mut words: Vec<String> = vec!["terrace".to_owned()];
    let mut add = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
    match asked.command {
        Command::Init { kind, workers, databases } => {
            add(&["init", "--progress"]);
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
                    "`--workload {workload}` cannot be run: pipelines are run where their specs lie"
                ))
                .hint("unpack it, and call `dppctl run` in the folder with its `pipeline-spec.yaml`"),
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
        Command::List { what: Listed::Pods } => add(&["list", "pods", "--json"]),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<String, Exit> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let words = translated(&arguments)?;
        Ok(words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_the_document_calls_is_what_terrace_does() {
        assert_eq!(words("dppctl run ./dump-to-db").unwrap(), "terrace run --queue --else-public -- ./dump-to-db");
        assert_eq!(words("dppctl run --verbose all").unwrap(), "terrace run --queue --else-public -v -- all");
        assert_eq!(words("dppctl init").unwrap(), "terrace init --progress");
        assert_eq!(words("dppctl init minikube-public").unwrap(), "terrace init --progress -- minikube-public");
        assert_eq!(words("dppctl list pods").unwrap(), "terrace list pods --json");
        assert_eq!(words("dppctl ssh a-pod").unwrap(), "terrace ssh -- a-pod");
        assert_eq!(words("dppctl ssh a-pod ls -la --help").unwrap(), "terrace ssh -- a-pod ls -la --help");
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

    #[test]
    fn the_name_counts_and_not_where_the_link_lies() {
        let is_meant = |name: &str| super::is_meant(Some(&OsString::from(name)));
        assert!(is_meant("dppctl") && is_meant("/usr/local/bin/dppctl"));
        assert!(!is_meant("terrace") && !is_meant("/dppctl/terrace") && !super::is_meant(None));
    }
}
