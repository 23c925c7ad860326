//! Environment variables of this process that its child processes get.

use std::collections::BTreeMap;
use std::process::Command;
use terrace_provider::sandbox::variables::{CREDENTIALS, is_own};

/// Removes terrace's variables and credentials from the environment of a program that installs packages.
pub(crate) fn strip_for_packages(command: &mut Command) {
    remove_own_variables(command, &[]);
    for name in CREDENTIALS {
        command.env_remove(name);
    }
}

/// Removes terrace's variables from the environment of a program, except for those in `except`.
pub(crate) fn remove_own_variables(command: &mut Command, except: &[&str]) {
    let own = std::env::vars_os().map(|(name, _)| name).filter(|name| is_own(name));
    for name in own.filter(|name| !except.iter().any(|excepted| name.to_str() == Some(excepted))) {
        command.env_remove(name);
    }
}

/// Variables that steps see: those of this process, except for terrace's.
#[must_use]
pub fn variables() -> BTreeMap<String, String> {
    let all =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(name, _)| !is_own(name.as_ref())).collect()
}
