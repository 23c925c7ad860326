//! Settings of an instance: server, user and encryption.

use std::path::PathBuf;
use std::time::Duration;
use terrace_provider::{Attributes, Path, ProviderError, Settings, Value, tls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Default time limit of a connection attempt, in seconds.
pub(crate) const TIMEOUT: i64 = 10;
/// Default limit of connections to one database.
pub(crate) const CONNECTIONS: i64 = 8;
/// Default time that a statement waits for a lock, in seconds.
pub(crate) const LOCK_TIMEOUT: i64 = 5;
/// Default database for the administration of databases and roles.
pub(crate) const DATABASE: &str = "postgres";

/// Settings of an instance. Only the driver's configuration holds the password.
pub(crate) struct Config {
    /// Name of the instance, for messages.
    pub(crate) instance: String,
    /// User, password and server.
    pub(crate) driver: tokio_postgres::Config,
    /// Encryption of connections.
    pub(crate) connector: MakeRustlsConnect,
    /// The database for statements about databases and roles.
    pub(crate) database: String,
    /// Limit of connections to one database.
    pub(crate) connections: usize,
    /// Time limit of a connection attempt.
    pub(crate) timeout: Duration,
    /// Time that a statement waits for a lock.
    pub(crate) lock_timeout: Duration,
}

impl Config {
    /// Reads the settings without a call to the server.
    ///
    /// # Errors
    /// When a value is invalid; no message contains a password.
    pub(crate) fn read(settings: &Settings) -> Result<Self, ProviderError> {
        let values = &settings.values;
        let setting = |name: &str| values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (mut driver, from_url) = match setting("url") {
            Some(url) => parse_url(url)?,
            None => (tokio_postgres::Config::new(), FromUrl::default()),
        };
        if driver.get_hosts().is_empty() && driver.get_hostaddrs().is_empty() {
            driver.host(setting("host").unwrap_or("localhost"));
        }
        if driver.get_ports().is_empty()
            && let Some(port) = values.get("port").and_then(Value::as_int)
        {
            driver.port(u16::try_from(port).map_err(|_| invalid("port", format!("`{port}` is not a port")))?);
        }
        if driver.get_user().is_none()
            && let Some(user) = setting("user")
        {
            driver.user(user);
        }
        if driver.get_password().is_none()
            && let Some(password) = setting("password")
        {
            driver.password(password);
        }
        let database = driver.get_dbname().or_else(|| setting("database")).unwrap_or(DATABASE).to_owned();
        let roots = from_url.roots.or_else(|| setting("caFile").map(str::to_owned)).map(|file| tls::roots(&file));
        let roots = roots.map(|file| file.map(|file| settings.project_folder.join(file)));
        let mode = from_url.mode.or_else(|| setting("sslMode").map(str::to_owned));
        let connector = encrypted(&mut driver, mode.as_deref(), roots)?;
        let timeout = seconds(values, "timeout", TIMEOUT)?;
        driver.connect_timeout(timeout);
        driver.tcp_user_timeout(3 * timeout);
        driver.keepalives_idle(Duration::from_secs(30));
        driver.application_name("terrace");
        let connections = values.get("connections").and_then(Value::as_int).unwrap_or(CONNECTIONS);
        Ok(Self {
            instance: settings.instance.clone(),
            driver,
            connector,
            database,
            connections: usize::try_from(connections)
                .ok()
                .filter(|connections| *connections > 0)
                .ok_or_else(|| invalid("connections", format!("`{connections}` is not a number of connections")))?,
            timeout,
            lock_timeout: seconds(values, "lockTimeout", LOCK_TIMEOUT)?,
        })
    }

    /// The user, for messages and suggested statements.
    pub(crate) fn user(&self) -> String {
        self.driver.get_user().map_or_else(|| "the user".to_owned(), str::to_owned)
    }

    /// The server, for messages: `jane@db.example.com:5432`.
    pub(crate) fn place(&self) -> String {
        use tokio_postgres::config::Host;
        let host = match self.driver.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => self.driver.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
        };
        let user = self.driver.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.driver.get_ports().first().copied().unwrap_or(5432);
        format!("{user}{host}:{port}")
    }
}

/// Parameters of a URL that the driver does not support.
#[derive(Default)]
struct FromUrl {
    mode: Option<String>,
    roots: Option<String>,
}

/// Parses a URL. Messages do not repeat its text: part of an unescaped password may look like anything.
fn parse_url(url: &str) -> Result<(tokio_postgres::Config, FromUrl), ProviderError> {
    let refuse = |why: String| {
        invalid("url", format!("`url` is not understood: {why}")).solution(
            "write `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full`, with `@`, `:` and `/` of a \
                       password percent-encoded",
        )
    };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(refuse("it does not begin with `postgres://`".to_owned()));
    }
    let credentials = url.find('@').unwrap_or(0);
    let question = url.get(credentials..).and_then(|rest| rest.find('?')).map(|at| credentials + at);
    let (place, query) = question.and_then(|at| url.split_at_checked(at)).unwrap_or((url, ""));
    let (mut rest, mut found) = (Vec::new(), FromUrl::default());
    for parameter in query.trim_start_matches('?').split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", word)) => found.mode = Some(word.to_owned()),
            Some(("sslrootcert", file)) => found.roots = Some(decoded(file)),
            _ => rest.push(parameter),
        }
    }
    let text = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
    let config = text.parse::<tokio_postgres::Config>().map_err(|error| {
        refuse(match (std::error::Error::source(&error), url.matches('@').count()) {
            (Some(source), 0 | 1) => source.to_string(),
            _ => "more than one `@`: write an `@` in a user or a password as `%40`".to_owned(),
        })
    })?;
    Ok((config, found))
}

/// The percent-decoded value of a parameter.
fn decoded(value: &str) -> String {
    let config = format!("postgres:///?application_name={value}").parse::<tokio_postgres::Config>();
    config.ok().and_then(|config| config.get_application_name().map(str::to_owned)).unwrap_or_else(|| value.to_owned())
}

/// The default encryption mode.
fn default_mode(driver: &tokio_postgres::Config) -> &'static str {
    use tokio_postgres::config::Host;
    let addresses: Vec<String> = driver.get_hostaddrs().iter().map(ToString::to_string).collect();
    let named = driver.get_hosts().iter().filter_map(|host| match host {
        Host::Tcp(name) => Some(name.as_str()),
        Host::Unix(_) => None,
    });
    match addresses.is_empty() {
        true => tls::default_mode(named),
        // The driver connects to the addresses, not to the names.
        false => tls::default_mode(addresses.iter().map(String::as_str)),
    }
}

fn encrypted(
    driver: &mut tokio_postgres::Config,
    mode: Option<&str>,
    roots: Option<Option<PathBuf>>,
) -> Result<MakeRustlsConnect, ProviderError> {
    use tokio_postgres::config::SslMode;
    let word = mode.unwrap_or_else(|| default_mode(driver));
    let Some((mode, verify)) = tls::mode(word) else {
        let known = "`disable`, `prefer`, `require`, `verify-ca` or `verify-full`";
        return Err(
            invalid("sslMode", format!("`{word}` is not an encryption mode")).solution(format!("write {known}"))
        );
    };
    // As in `psql`: with a file of authorities, the server must have a certificate of one of them.
    let verify = match (mode, verify, &roots) {
        ("require", tls::Verify::Nothing, Some(_)) => tls::Verify::Authority,
        _ => verify,
    };
    driver.ssl_mode(match mode {
        "disable" => SslMode::Disable,
        "prefer" => SslMode::Prefer,
        _ => SslMode::Require,
    });
    let config = tls::client(verify, roots.flatten().as_deref(), "caFile").map_err(|error| invalid("caFile", error))?;
    Ok(MakeRustlsConnect::new(config))
}

fn seconds(values: &Attributes, name: &str, default: i64) -> Result<Duration, ProviderError> {
    let configured = values.get(name).and_then(Value::as_int).unwrap_or(default);
    u64::try_from(configured).ok().filter(|seconds| (1..=86_400).contains(seconds)).map(Duration::from_secs).ok_or_else(
        || invalid(name, format!("`{configured}` is not a time")).solution("write a number of seconds from 1 to 86400"),
    )
}

fn invalid(name: &str, why: String) -> ProviderError {
    ProviderError::invalid(Some(Path::attribute(name)), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, Value)]) -> Result<Config, ProviderError> {
        Config::read(&Settings {
            instance: "postgres".to_owned(),
            environment: "local".to_owned(),
            project_folder: PathBuf::from("/p"),
            sandbox: Default::default(),
            sources: Default::default(),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        })
    }

    #[test]
    fn url_takes_precedence_over_single_settings() {
        let config = read(&[
            ("url", "postgres://jane@db:6000/sales?sslmode=require".into()),
            ("host", "other".into()),
            ("password", "hunter2".into()),
        ]);
        let config = config.ok().unwrap();
        assert_eq!((config.place().as_str(), config.database.as_str()), ("jane@db:6000", "sales"));
        assert_eq!(config.driver.get_password(), Some(b"hunter2".as_slice()));
        let config = read(&[("host", "db".into()), ("port", Value::Int(6000))]).ok().unwrap();
        assert_eq!((config.place(), config.database.as_str()), (format!("{}db:6000", ""), "postgres"));
    }

    #[test]
    fn encryption_is_required_for_remote_servers() {
        use tokio_postgres::config::SslMode;
        let mode = |name: &str, value: &str| read(&[(name, value.into())]).ok().unwrap().driver.get_ssl_mode();
        assert_eq!(mode("host", "localhost"), SslMode::Prefer);
        assert_eq!(mode("host", "/run/postgresql"), SslMode::Prefer);
        assert_eq!(mode("host", "db.example.com"), SslMode::Require);
        assert_eq!(mode("url", "postgres://localhost?hostaddr=10.0.0.1"), SslMode::Require);
        assert_eq!(mode("url", "postgres://db?sslmode=disable"), SslMode::Disable);
    }

    #[test]
    fn invalid_setting_is_reported_without_the_password() {
        let refusal = |name: &str, value: Value| read(&[(name, value)]).err().unwrap().to_string();
        assert!(refusal("url", "mysql://x".into()).contains("postgres://"));
        let message = refusal("url", "postgres://me:hunter2@host/db?colour=blue".into());
        assert!(message.contains("unknown option `colour`") && !message.contains("hunter2"), "{message}");
        assert!(refusal("sslMode", "maybe".into()).contains("`maybe` is not an encryption mode"));
        assert!(refusal("connections", Value::Int(0)).contains("connections"));
        assert!(refusal("port", Value::Int(70_000)).contains("70000"));
        let missing = read(&[("sslMode", "verify-full".into()), ("caFile", "no-such.pem".into())]);
        assert!(missing.err().unwrap().to_string().contains("/p/no-such.pem"));
    }
}
