//! The name that the process was called by: `terrace`, or `dppctl` by a link. Messages name the commands of that name.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The name of the link.
pub(crate) const DPPCTL: &str = "dppctl";

/// The beginning of the commands that dppctl translates to.
pub(crate) const GROUP: &str = "terrace pipelines ";

/// True if a program is called `dppctl`.
pub(crate) fn is_dppctl(program: Option<&OsString>) -> bool {
    program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new(DPPCTL))
}

/// The name that the process was called by.
pub(crate) fn program() -> &'static str {
    if is_dppctl(std::env::args_os().next().as_ref()) { DPPCTL } else { "terrace" }
}

/// A message whose commands are those of the name that the process was called by.
pub(crate) fn with_own_commands(text: impl Into<String>) -> String {
    let text = text.into();
    if program() == DPPCTL { in_own_words(&text) } else { text }
}

/// Replaces commands of terrace by those of dppctl, as far as it has them.
fn in_own_words(text: &str) -> String {
    let mut parts = text.split(GROUP);
    let mut own = parts.next().unwrap_or_default().to_owned();
    for rest in parts {
        let end = rest.find(|character: char| !character.is_ascii_lowercase()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        own += match word {
            "init" if !has_foreign_options(after) => "dppctl ",
            // The options of these commands differ.
            "run" | "ssh" if !after.starts_with(" -") => "dppctl ",
            "pods" if !after.starts_with(" -") => "dppctl list ",
            _ => GROUP,
        };
        own += rest;
    }
    own
}

/// True if a call of `init` has options that dppctl lacks. A command ends with its quotation.
fn has_foreign_options(arguments: &str) -> bool {
    let mut words = arguments.split('`').next().unwrap_or_default().split_whitespace();
    words.any(|word| word.starts_with("--") && !["--workers", "--databases", "--help"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_commands_of_dppctl() {
        for (of_terrace, own) in [
            ("`terrace pipelines init local --workers 0`", "`dppctl init local --workers 0`"),
            ("run it with `terrace pipelines run ./x`", "run it with `dppctl run ./x`"),
            ("`terrace pipelines pods` or `terrace pipelines ssh a-pod`", "`dppctl list pods` or `dppctl ssh a-pod`"),
            ("re-run terrace pipelines init", "re-run dppctl init"),
            ("`terrace pipelines init --help`", "`dppctl init --help`"),
        ] {
            assert_eq!(in_own_words(of_terrace), own);
        }
        for missing in [
            "`terrace pipelines runs`",
            "`terrace pipelines run --no-queue`",
            "`terrace pipelines logs a`",
            "`terrace pipelines init kubernetes --namespace etl --workers 0`",
            "`terrace apply`",
        ] {
            assert_eq!(in_own_words(missing), missing);
        }
    }

    #[test]
    fn only_the_name_of_the_link_counts() {
        let is_dppctl = |name: &str| super::is_dppctl(Some(&OsString::from(name)));
        assert!(is_dppctl("dppctl") && is_dppctl("/usr/local/bin/dppctl"));
        assert!(!is_dppctl("terrace") && !is_dppctl("/dppctl/terrace") && !super::is_dppctl(None));
    }
}
