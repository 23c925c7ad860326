//! Connections: their targets and settings.

use super::session::Purpose;
use crate::url::PostgresUrl;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use std::path::PathBuf;
use std::time::Duration;
use terrace_provider::tls;
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres_rustls::MakeRustlsConnect;

/// The kinds of callers, each with its own connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionClass {
    /// Work on an operation.
    Work,
    /// Renewals of leases and claims, which would expire behind work, and checks for cancellation.
    Renewal,
    /// A call of a server.
    Call,
}

impl ConnectionClass {
    /// The most connections. Few connections for workers leave the database's processors to calls: a provision needs
    /// the database for some milliseconds in total, and otherwise waits for its provider.
    const fn connections(self) -> usize {
        match self {
            Self::Work => 3,
            Self::Renewal | Self::Call => 3,
        }
    }

    /// Settings of its connections beside [`SETUP`]. The server ends a slow statement before the client closes the
    /// connection.
    const fn setup(self) -> &'static str {
        match self {
            Self::Work => "SET lock_timeout = '15s'; SET statement_timeout = '28s'",
            // These statements read single rows by their keys. Without the settings the server would plan half of them
            // each time, which takes longer than to execute them; and a plan from the time of empty tables would read
            // them whole.
            Self::Renewal | Self::Call => {
                "SET lock_timeout = '5s'; SET statement_timeout = '9s';
                 SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off"
            }
        }
    }

    /// Deadline of one answer, after which its connection counts as dead. Each row of a long answer has the whole
    /// deadline.
    pub(super) const fn deadline(self, purpose: Purpose) -> Duration {
        Duration::from_secs(match (self, purpose) {
            (Self::Renewal | Self::Call, _) => 10,
            (Self::Work, Purpose::ReadOne) => 20,
            (Self::Work, Purpose::Write) => 30,
            (Self::Work, Purpose::Read) => 60,
        })
    }

    /// Limit of a call with all its retries, after which it fails.
    pub(super) const fn longest(self, purpose: Purpose) -> Duration {
        Duration::from_secs(match (self, purpose) {
            (Self::Renewal, _) => 28,
            (Self::Call, _) => 45,
            (Self::Work, Purpose::ReadOne) => 180,
            (Self::Work, Purpose::Write) => 300,
            // The export of a large state is such a call.
            (Self::Work, Purpose::Read) => 3_600,
        })
    }

    /// How long a call waits for a free connection.
    const fn pool_timeout(self) -> Duration {
        Duration::from_secs(match self {
            Self::Work => 60,
            Self::Renewal | Self::Call => 15,
        })
    }
}

/// How long the store waits for a server to accept connections.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Idle time after which a connection is tested before use: a router may have dropped it.
const UNUSED: Duration = Duration::from_secs(30);

/// Deadline of this test.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);

/// Settings of every connection. A transaction whose client is gone keeps its locks until
/// `idle_in_transaction_session_timeout`. From PostgreSQL 14 on, the server checks every five seconds during a
/// statement that its client is still connected.
const SETUP: &str = "SET synchronous_commit = on; SET idle_in_transaction_session_timeout = '15s';
                     SET client_min_messages = warning; SET standard_conforming_strings = on;
                     SELECT set_config('client_connection_check_interval', '5s', false)
                     WHERE current_setting('server_version_num')::integer >= 140000;
                     SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

/// The settings of the driver.
pub(super) type Driver = (Config, MakeRustlsConnect);

/// A parsed URL.
pub(crate) struct ParsedUrl {
    /// The settings for the driver.
    config: Config,
    /// The verification of the server's certificate.
    verify: tls::Verify,
    /// The file with the certificate authorities, if the URL names one.
    roots: Option<PathBuf>,
}

/// The driver settings of a database.
///
/// # Errors
/// When the URL is invalid, with the reason.
pub(super) fn driver(url: &PostgresUrl) -> Result<Driver, String> {
    let ParsedUrl { mut config, verify, roots } = parse_url(url)?;
    let encryption = tls::client(verify, roots.as_deref(), "sslrootcert").map_err(|error| format!("{url}: {error}"))?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(30));
    }
    if config.get_application_name().is_none() {
        config.application_name("terrace");
    }
    config.keepalives_idle(Duration::from_secs(30));
    config.keepalives_interval(Duration::from_secs(10));
    config.keepalives_retries(3);
    Ok((config, MakeRustlsConnect::new(encryption)))
}

/// The connections of one kind of caller. None is opened yet.
///
/// # Errors
/// When the settings are invalid, with the reason.
pub(super) fn pool((config, connector): &Driver, class: ConnectionClass) -> Result<Pool, String> {
    let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let timeouts =
        Timeouts { wait: Some(class.pool_timeout()), create: Some(CONNECT_TIMEOUT), recycle: Some(SIGN_OF_LIFE) };
    Pool::builder(Manager::from_config(config.clone(), connector.clone(), settings))
        .max_size(class.connections())
        .runtime(Runtime::Tokio1)
        .timeouts(timeouts)
        .post_create(Hook::async_fn(move |client, _| {
            let setup = format!("{SETUP}; {}", class.setup());
            Box::pin(async move { answered(CONNECT_TIMEOUT, client.batch_execute(&setup)).await })
        }))
        .pre_recycle(Hook::async_fn(|client, metrics| {
            let is_unused = metrics.last_used() >= UNUSED;
            Box::pin(async move {
                match is_unused {
                    true => answered(SIGN_OF_LIFE, client.batch_execute("")).await,
                    false => Ok(()),
                }
            })
        }))
        .build()
        .map_err(|error| error.to_string())
}

/// Waits for an answer in a hook of the pool, since the pool has no timeout for hooks.
async fn answered(
    limit: Duration,
    work: impl Future<Output = Result<(), tokio_postgres::Error>>,
) -> Result<(), HookError> {
    match tokio::time::timeout(limit, work).await {
        Ok(answer) => answer.map_err(HookError::Backend),
        Err(_) => Err(HookError::message("no answer in time")),
    }
}

/// Parses a URL without reading files. Errors do not repeat its text: any part of it may belong to an unescaped
/// password.
pub(crate) fn parse_url(url: &PostgresUrl) -> Result<ParsedUrl, String> {
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
    let parsed = |parameters: &str| {
        format!("{place}?{parameters}").parse::<Config>().map_err(|error| {
            let cause = match (std::error::Error::source(&error), given.matches('@').count()) {
                (Some(source), 0 | 1) => source.to_string(),
                _ => "more than one `@`: write `%40` for an `@` in a user or password".to_owned(),
            };
            format!("{url} is invalid: {cause}")
        })
    };
    let default = || Ok::<_, String>((default_mode(&parsed(&rest.join("&"))?), tls::Verify::Nothing));
    let (mode, verify) = match (mode.map_or_else(default, Ok)?, &roots) {
        // As in `psql`: if the URL names authorities, the certificate has to be from one of them.
        (("require", tls::Verify::Nothing), Some(_)) => ("require", tls::Verify::Authority),
        (mode, _) => mode,
    };
    let sslmode = format!("sslmode={mode}");
    rest.push(&sslmode);
    let config = parsed(&rest.join("&"))?;
    Ok(ParsedUrl { config, verify, roots: roots.flatten() })
}

/// The default of `sslmode`.
fn default_mode(config: &Config) -> &'static str {
    let addresses: Vec<String> = config.get_hostaddrs().iter().map(ToString::to_string).collect();
    let named = config.get_hosts().iter().filter_map(|host| match host {
        Host::Tcp(name) => Some(name.as_str()),
        #[cfg(unix)]
        Host::Unix(_) => None,
    });
    match addresses.is_empty() {
        true => tls::default_mode(named),
        // The driver connects to the addresses, not to the names.
        false => tls::default_mode(addresses.iter().map(String::as_str)),
    }
}

/// The part before the parameters, and the parameters.
fn parts(given: &str) -> (&str, &str) {
    let credentials = given.find('@').unwrap_or(0);
    let question = given.get(credentials..).and_then(|rest| rest.find('?')).map(|at| credentials + at);
    match question.and_then(|at| given.split_at_checked(at)) {
        Some((place, query)) => (place, query.trim_start_matches('?')),
        None => (given, ""),
    }
}

/// The decoded value of a parameter.
fn decoded(value: &str) -> String {
    let config = format!("postgres:///?application_name={value}").parse::<Config>();
    config.ok().and_then(|config| config.get_application_name().map(str::to_owned)).unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_postgres::config::SslMode;

    fn refusal(text: &str) -> String {
        let crate::StoreUrl::Postgres(url) = text.parse().unwrap() else { return String::new() };
        driver(&url).err().unwrap()
    }

    #[test]
    fn connection_to_another_machine_requires_encryption() {
        let mode = |text: &str| {
            let crate::StoreUrl::Postgres(url) = text.parse().unwrap() else { panic!("{text}") };
            parse_url(&url).ok().unwrap().config.get_ssl_mode()
        };
        for here in ["localhost/db", "127.0.0.1:1/db", "me@[::1]/db", "/db?host=/run/postgresql", "LOCALHOST"] {
            assert_eq!(mode(&format!("postgres://{here}")), SslMode::Prefer, "{here}");
        }
        for there in
            ["db.example.com/db", "10.0.0.1", "localhost,db/x", "db?hostaddr=10.0.0.1", "localhost?hostaddr=10.0.0.1"]
        {
            assert_eq!(mode(&format!("postgres://{there}")), SslMode::Require, "{there}");
        }
        assert_eq!(mode("postgres://db/db?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://db/db?sslmode=prefer"), SslMode::Prefer);
    }

    #[test]
    fn invalid_url_is_reported_without_its_password() {
        assert_eq!(
            refusal("postgres://me:hunter2@host/db?colour=blue"),
            "postgres://me@host/db is invalid: unknown option `colour`"
        );
        assert_eq!(
            refusal("postgres://me:a@b?hunter2=c@host/db"),
            "postgres://me@host/db is invalid: more than one `@`: write `%40` for an `@` in a user or password"
        );
        assert!(refusal("postgres://me:hunter2@host/db?sslmode=maybe").contains("`sslmode` is `disable`, `prefer`"));
        let missing = refusal("postgres://host/db?sslmode=verify-full&sslrootcert=%2Fno%2Fsuch.pem");
        assert!(missing.starts_with("postgres://host/db: `sslrootcert` /no/such.pem: "), "{missing}");
    }
}
