//! Habits from other tools that the parser cannot know: `-auto-approve`, `-var a=b`, `--target=…`.

use crate::args::CommandLine;
use crate::failure::Failure;
use clap::CommandFactory;
use std::collections::BTreeSet;
use std::ffi::OsString;

/// Long options of terraform that mean something else here, or nothing yet.
const ELSEWHERE: &[(&str, &str)] = &[
    ("upgrade", "providers are compiled in: there is nothing to upgrade"),
    ("lock", "leases are always taken; `--lock-timeout` says how long to wait for others"),
    ("var-files", "write `--var-file=…`"),
    ("no-color", "write `--color=never`"),
    ("compact-warnings", "there is no such option here"),
];

/// What to say of a command line in which a long option has one dash, or is one of terraform's.
pub(crate) fn correction(arguments: &[OsString]) -> Option<Failure> {
    let known = long_options();
    let words = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    words.take_while(|word| *word != "--").find_map(|word| correct(word, &known))
}

fn correct(word: &str, known: &BTreeSet<String>) -> Option<Failure> {
    let is_long = word.starts_with("--");
    let rest = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|rest| rest.len() > 1)?;
    let (name, value) = match rest.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (rest, None),
    };
    let failure = Failure::new(format!("`{word}` begins with one dash: long options begin with two"));
    if known.contains(name) {
        if is_long {
            return None;
        }
        return Some(failure.hint(match value {
            Some(value) => format!("write `--{name}={value}`"),
            None => format!("write `--{name}`"),
        }));
    }
    let (_, hint) = ELSEWHERE.iter().find(|(other, _)| *other == name)?;
    Some(Failure::new(format!("there is no option `{word}`")).hint(*hint))
}

fn long_options() -> BTreeSet<String> {
    fn collect(command: &clap::Command, names: &mut BTreeSet<String>) {
        names.extend(command.get_arguments().filter_map(|argument| argument.get_long()).map(str::to_owned));
        command.get_subcommands().for_each(|command| collect(command, names));
    }
    let mut names = BTreeSet::from(["help".to_owned(), "version".to_owned()]);
    collect(&CommandLine::command(), &mut names);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Option<String> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        correction(&arguments)?.hints.first().cloned()
    }

    #[test]
    fn long_options_with_one_dash_are_answered_with_the_right_spelling() {
        assert_eq!(told("terrace apply -auto-approve x.yaml").as_deref(), Some("write `--auto-approve`"));
        assert_eq!(told("terrace plan -out=plan x.yaml").as_deref(), Some("write `--out=plan`"));
        assert_eq!(told("terrace plan -var a=b x.yaml").as_deref(), Some("write `--var`"));
        assert_eq!(told("terrace plan -config=x.yaml").as_deref(), Some("write `--config=x.yaml`"));
        assert_eq!(told("terrace plan -no-color x.yaml").as_deref(), Some("write `--color=never`"));
        assert_eq!(told("terrace plan -target=a.b x.yaml").as_deref(), Some("write `--target=a.b`"));
        assert_eq!(told("terrace plan -replace a.b x.yaml").as_deref(), Some("write `--replace`"));
        assert_eq!(told("terrace plan -refresh-only x.yaml").as_deref(), Some("write `--refresh-only`"));
        assert_eq!(told("terrace plan --target a.b x.yaml"), None);
        assert_eq!(told("terrace -help").as_deref(), Some("write `--help`"));
    }

    #[test]
    fn other_mistakes_are_left_to_the_parser() {
        assert_eq!(told("terrace plan -Z x.yaml"), None);
        assert_eq!(told("terrace plan --detail=nothing x.yaml"), None);
        assert_eq!(told("terrace aply"), None);
        assert_eq!(told("terrace -vv plan -c api x.yaml"), None);
        assert_eq!(told("terrace plan -- -var"), None);
    }
}
