//! Environment variables of child processes.
//!
//! A child gets the variables that programs need to run, and those that its configuration names. It inherits nothing
//! else: the environment of this process holds the state key and the passwords of providers.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Variables that every child inherits: paths of programs, homes and temporary files, the user, the language, the time
/// zone, the terminal, and the certificates to trust.
pub const BASE: [&str; 16] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TZDIR",
    "TMPDIR",
    "TERM",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];
/// Variables with credentials: those of sensitive settings, those of the vendors' own clients, and the tokens of forges.
///
/// They stand here, not in the schemas, because children start also where no provider is known, such as the installation of
/// packages. A test of the command line compares them with the schemas.
pub const CREDENTIALS: [&str; 29] = [
    "AIRBYTE_CLIENT_SECRET",
    "AIRBYTE_PASSWORD",
    "AIRBYTE_TOKEN",
    "ARM_CLIENT_CERTIFICATE_PATH",
    "ARM_CLIENT_SECRET",
    "ARM_OIDC_TOKEN_FILE_PATH",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "DATABRICKS_CLIENT_SECRET",
    "DATABRICKS_TOKEN",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "HASURA_ADMIN_SECRET",
    "KUBECONFIG",
    "PGPASSFILE",
    "PGPASSWORD",
    "ROLE_MAPPER_AZURE_CLIENT_SECRET",
    "ROLE_MAPPER_TOKEN",
    "SNOWFLAKE_OAUTH_TOKEN",
    "SNOWFLAKE_PASSWORD",
    "SNOWFLAKE_PRIVATE_KEY_FILE",
    "SNOWFLAKE_PRIVATE_KEY_FILE_PWD",
    "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE",
    "SNOWFLAKE_PRIVATE_KEY_PATH",
    "SNOWFLAKE_TOKEN",
];
/// The prefix of the locale variables: `LC_ALL`.
const LANGUAGE: &[u8] = b"LC_";
/// The prefix of terrace's own variables, such as the state key.
const OWN: &[u8] = b"TERRACE_";

/// True for a variable of terrace itself. A child never inherits it, not even by name.
#[must_use]
pub fn is_own(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(OWN)
}

/// True for a variable that holds a credential of a provider.
#[must_use]
pub fn is_credential(name: &str) -> bool {
    CREDENTIALS.contains(&name)
}

/// The variables of this process for a child: [`BASE`], the locale, and those that `named` lists.
#[must_use]
pub fn inherited<S: AsRef<str>>(named: &[S]) -> BTreeMap<OsString, OsString> {
    chosen(std::env::vars_os(), named)
}

/// The variables for a child from any environment.
fn chosen<S: AsRef<str>>(all: impl Iterator<Item = (OsString, OsString)>, named: &[S]) -> BTreeMap<OsString, OsString> {
    let is_base = |name: &OsStr| BASE.iter().any(|base| name == *base) || name.as_encoded_bytes().starts_with(LANGUAGE);
    let is_named = |name: &OsStr| named.iter().any(|named| name == named.as_ref());
    all.filter(|(name, _)| !is_own(name) && (is_base(name) || is_named(name))).collect()
}

/// Restricts a command to the variables of [`inherited`]. The caller may add variables afterwards.
pub fn confine<S: AsRef<str>>(command: &mut std::process::Command, named: &[S]) {
    command.env_clear().envs(inherited(named));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_gets_base_and_named_variables_only() {
        let all = ["PATH", "LC_ALL", "PGPASSWORD", "AWS_PROFILE", "TERRACE_STATE_KEY", "LCX", "path"];
        let all = all.iter().map(|name| (OsString::from(name), OsString::from("x")));
        let found = chosen(all, &["AWS_PROFILE", "TERRACE_STATE_KEY", "NOT_SET"]);
        let names: Vec<&str> = found.keys().filter_map(|name| name.to_str()).collect();
        assert_eq!(names, ["AWS_PROFILE", "LC_ALL", "PATH"]);
    }

    #[test]
    fn confined_command_sees_no_other_variable() {
        // Cargo sets it for every test.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let mut command = std::process::Command::new("env");
        confine(&mut command, &["CARGO_PKG_NAME"]);
        command.env("ADDED", "1");
        let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let has = |name: &str| printed.lines().any(|line| line.starts_with(&format!("{name}=")));
        assert!(has("PATH") && has("CARGO_PKG_NAME") && has("ADDED"), "{printed}");
        assert!(!has("CARGO_MANIFEST_DIR"), "{printed}");
    }
}
