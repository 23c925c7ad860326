//! Connections: where they go, and how they are set up.

use crate::url::PostgresUrl;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use std::path::PathBuf;
use std::time::Duration;
use terrace_provider::tls;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Who works on something.
    Work,
    /// What cannot queue behind that: leases and claims that would end, and whether somebody wants it to stop.
    Keep,
    /// Somebody who called a server.
    Call,
}

impl Line {
    /// How many can be at work at once; more wait for their turn. Few workers at a time leave the database's processors to
    /// those who call: a provision asks it for some milliseconds in all, and waits for its provider for the rest.
    const fn connections(self) -> usize {
        match self {
            Self::Work => 3,
            Self::Keep | Self::Call => 3,
        }
    }

    /// What its connections begin with beside [`SETUP`].
    const fn setup(self) -> &'static str {
        match self {
            Self::Work => "",
            // These ask for single rows by their keys. The server would plan half of these statements each time, which
            // takes it longer than to run them; and a plan that it made while the tables were empty would read them whole.
            Self::Keep | Self::Call => {
                "; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off"
            }
        }
    }
}

/// How long a server is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a call waits for a connection that others use.
const TURN: Duration = Duration::from_secs(60);

/// What every connection begins with. Whoever went away in the middle of a transaction is not waited for forever.
const SETUP: &str = "SET synchronous_commit = on; SET lock_timeout = '15s';
                     SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning;
                     SET standard_conforming_strings = on";

/// How a connection is made.
pub(super) type Driver = (Config, MakeRustlsConnect);

/// What a URL says.
pub(crate) struct Understood {
    /// To the driver.
    config: Config,
    /// Of encryption.
    verify: tls::Verify,
    /// The file with the authorities, where it names one.
    roots: Option<PathBuf>,
}

/// How connections to a database are made.
///
/// # Errors
/// When the URL does not say where to, in words.
pub(super) fn driver(url: &PostgresUrl) -> Result<Driver, String> {
    let Understood { mut config, verify, roots } = understood(url)?;
    let encryption = tls::client(verify, roots.as_deref(), "sslrootcert").map_err(|error| format!("{url}: {error}"))?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(PATIENCE);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(30));
    }
    if config.get_application_name().is_none() {
        config.application_name("terrace");
    }
    config.keepalives_idle(Duration::from_secs(30));
    Ok((config, MakeRustlsConnect::new(encryption)))
}

/// The connections of a line to a database; none is made yet.
///
/// # Errors
/// In words.
pub(super) fn pool((config, connector): &Driver, line: Line) -> Result<Pool, String> {
    let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let timeouts = Timeouts { wait: Some(TURN), create: Some(2 * PATIENCE), recycle: Some(PATIENCE) };
    Pool::builder(Manager::from_config(config.clone(), connector.clone(), settings))
        .max_size(line.connections())
        .runtime(Runtime::Tokio1)
        .timeouts(timeouts)
        .post_create(Hook::async_fn(move |client, _| {
            let setup = format!("{SETUP}{}", line.setup());
            Box::pin(async move { client.batch_execute(&setup).await.map_err(HookError::Backend) })
        }))
        .build()
        .map_err(|error| error.to_string())
}

/// What a URL says; no file is read. Its text is not repeated: a part of a password that was not escaped may be taken for
/// anything.
pub(crate) fn understood(url: &PostgresUrl) -> Result<Understood, String> {
    let given = url.expose();
    let (place, query) = parts(given);
    let (mut rest, mut mode, mut roots) = (Vec::new(), None, None);
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", word)) => {
                let known = "`disable`, `prefer`, `require`, `verify-ca` or `verify-full`";
                mode = Some(tls::mode(word).ok_or_else(|| format!("{url}: `sslmode` is {known}"))?);
            }
            Some(("sslrootcert", value)) => roots = Some(tls::roots(&decoded(value))),
            _ => rest.push(parameter),
        }
    }
    let (mode, verify) = match (mode.unwrap_or(("prefer", tls::Verify::Nothing)), &roots) {
        // As `psql` does: whoever names authorities wants one of them.
        (("require", tls::Verify::Nothing), Some(_)) => ("require", tls::Verify::Authority),
        (mode, _) => mode,
    };
    let sslmode = format!("sslmode={mode}");
    rest.push(&sslmode);
    let config = format!("{place}?{}", rest.join("&")).parse::<Config>().map_err(|error| {
        let cause = match (std::error::Error::source(&error), given.matches('@').count()) {
            (Some(source), 0 | 1) => source.to_string(),
            _ => "more than one `@`: one of a user or a password is written as `%40`".to_owned(),
        };
        format!("{url} is not understood: {cause}")
    })?;
    Ok(Understood { config, verify, roots: roots.flatten() })
}

/// The part before the parameters, and those.
fn parts(given: &str) -> (&str, &str) {
    let credentials = given.find('@').unwrap_or(0);
    let question = given.get(credentials..).and_then(|rest| rest.find('?')).map(|at| credentials + at);
    match question.and_then(|at| given.split_at_checked(at)) {
        Some((place, query)) => (place, query.trim_start_matches('?')),
        None => (given, ""),
    }
}

/// A parameter's value as it was before it was written into a URL.
fn decoded(value: &str) -> String {
    let config = format!("postgres:///?application_name={value}").parse::<Config>();
    config.ok().and_then(|config| config.get_application_name().map(str::to_owned)).unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let crate::StoreUrl::Postgres(url) = text.parse().unwrap() else { return String::new() };
        driver(&url).err().unwrap()
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_its_password() {
        assert_eq!(
            refusal("postgres://me:hunter2@host/db?colour=blue"),
            "postgres://me@host/db is not understood: unknown option `colour`"
        );
        assert_eq!(
            refusal("postgres://me:a@b?hunter2=c@host/db"),
            "postgres://me@host/db is not understood: more than one `@`: one of a user or a password is written as `%40`"
        );
        assert!(refusal("postgres://me:hunter2@host/db?sslmode=maybe").contains("`sslmode` is `disable`, `prefer`"));
        let missing = refusal("postgres://host/db?sslmode=verify-full&sslrootcert=%2Fno%2Fsuch.pem");
        assert!(missing.starts_with("postgres://host/db: `sslrootcert` /no/such.pem: "), "{missing}");
    }
}
