//! `server` of terrace.yaml: address, authentication and limits of `terrace serve`.

mod auth;
mod grants;
mod pickers;

use super::fields::{read, secret};
use super::limits::whole_number;
use crate::args::age;
use crate::configuration::check_scripts::check_scripts;
use crate::memory::size;
use auth::auth;
use grants::pipeline_limits;
pub use pickers::PickerConfiguration;
use pickers::pickers;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use terrace_engine::decode::Fields;
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::duration;
use terrace_engine::yaml::Node;
use terrace_server::ConnectionLimits;
use terrace_server::auth::Auth;
use terrace_server::pipelines::PipelineLimits;
use terrace_server::routes::check_prefix;
use terrace_server::webhook::Webhook;

/// Settings of the server; `None` stands for a default.
#[derive(Debug, Clone, Default)]
pub struct ServerConfiguration {
    /// Address of the APIs.
    pub bind: Option<SocketAddr>,
    /// Further prefixes of the API's paths.
    pub prefixes: Vec<String>,
    /// Authentication of callers; `None` without the field.
    pub auth: Option<Auth>,
    /// Number of requests worked on at once.
    pub workers: Option<u16>,
    /// Number of provider calls at once in one request.
    pub parallelism: Option<u16>,
    /// Limit of queued requests.
    pub queue: Option<u32>,
    /// Limit of queued requests for each caller.
    pub queue_per_caller: Option<u32>,
    /// Grace period for running operations at shutdown.
    pub drain: Option<Duration>,
    /// Retention of ended requests.
    pub retention: Option<Duration>,
    /// Interval of drift detection.
    pub drift_every: Option<Duration>,
    /// Receiver of drift.
    pub webhook: Option<Webhook>,
    /// Time limit of a call.
    pub timeout: Option<Duration>,
    /// Time without an answer of the state after which the server is unhealthy.
    pub state_timeout: Option<Duration>,
    /// The certificate and its key, as PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Format and levels of the log.
    pub log: LogConfiguration,
    /// Destination of the audit log besides the state, and its retention there.
    pub audit: AuditConfiguration,
    /// Limit of a body, in bytes.
    pub body_limit: Option<usize>,
    /// Limits of connections.
    pub connections: ConnectionsConfiguration,
    /// Address of health, metrics and API descriptions; default: that of the APIs.
    pub operations: Option<SocketAddr>,
    /// Limits of checking and planning.
    pub limits: LimitsConfiguration,
    /// Settings of static sites; `None` without sites.
    pub sites: Option<SitesConfiguration>,
    /// Schedules that start runs: declared ones and those of specs (true), none (false), or only declared ones
    /// (`None`).
    pub schedules: Option<bool>,
    /// Continuous deployment of pipelines; `None` without it.
    pub deployments: Option<DeploymentsConfiguration>,
    /// Limits of pipelines for callers whose token sets none.
    pub pipeline_limits: PipelineLimits,
    /// Limits of organisations, by name.
    pub organisations: BTreeMap<String, PipelineLimits>,
    /// Lists of remote objects for forms.
    pub pickers: Vec<PickerConfiguration>,
    /// Callers may send plain stacks, which can declare every resource of every provider.
    pub takes_stacks: bool,
}

/// Limits of connections; defaults depend on the number of files that the process may open.
#[derive(Debug, Clone, Default)]
pub struct ConnectionsConfiguration {
    /// Open connections at once.
    pub max: Option<u32>,
    /// Open connections at once for each address.
    pub max_per_address: Option<u32>,
    /// Open event streams at once.
    pub max_streams: Option<u32>,
    /// Time for the head of a call.
    pub head_timeout: Option<Duration>,
    /// Time for more of a body.
    pub body_timeout: Option<Duration>,
    /// Time for reading more of an answer.
    pub write_timeout: Option<Duration>,
}

impl ConnectionsConfiguration {
    /// The limits for a process with these defaults.
    #[must_use]
    pub fn limits(&self, usual: ConnectionLimits) -> ConnectionLimits {
        let max = self.max.map_or(usual.max, |max| max as usize);
        let per_address = if self.max.is_some() { (max / 2).max(1) } else { usual.max_per_address };
        ConnectionLimits {
            max,
            max_per_address: self.max_per_address.map_or(per_address, |max| max as usize).min(max),
            max_streams: self.max_streams.map_or(usual.max_streams, |max| max as usize),
            head_timeout: self.head_timeout.unwrap_or(usual.head_timeout),
            body_timeout: self.body_timeout.unwrap_or(usual.body_timeout),
            write_timeout: self.write_timeout.unwrap_or(usual.write_timeout),
        }
    }
}

/// Minimum wait for a caller.
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);

fn connections(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> ConnectionsConfiguration {
    let Some(mut fields) = Fields::open(node, "`connections`", diagnostics) else { return Default::default() };
    let connections = ConnectionsConfiguration {
        max: count(&mut fields, "max"),
        max_per_address: count(&mut fields, "maxPerAddress"),
        max_streams: count(&mut fields, "maxStreams"),
        head_timeout: caller_timeout(&mut fields, "headTimeout"),
        body_timeout: caller_timeout(&mut fields, "bodyTimeout"),
        write_timeout: caller_timeout(&mut fields, "writeTimeout"),
    };
    fields.finish();
    connections
}

fn count(fields: &mut Fields<'_, '_>, name: &'static str) -> Option<u32> {
    whole_number(fields, name, 1, i64::from(u32::MAX)).and_then(|count| u32::try_from(count).ok())
}

fn caller_timeout(fields: &mut Fields<'_, '_>, name: &'static str) -> Option<Duration> {
    read(fields, name, ("a duration of at least 100ms", "30s"), |text| {
        duration::parse(text).ok().filter(|limit| *limit >= LEAST_TIMEOUT)
    })
}

/// Limits of checking and planning. Defaults depend on the memory.
#[derive(Debug, Clone, Default)]
pub struct LimitsConfiguration {
    /// Memory of the server, in bytes.
    pub memory: Option<u64>,
    /// Limit of values in a descriptor.
    pub values: Option<usize>,
    /// Limit of resources in a stack.
    pub resources: Option<usize>,
    /// Number of large descriptors checked, planned or applied at once.
    pub large: Option<usize>,
    /// Time limit for checking a descriptor.
    pub judging: Option<Duration>,
}

/// Settings of static sites.
#[derive(Debug, Clone, Default)]
pub struct SitesConfiguration {
    /// Address of sites.
    pub bind: Option<SocketAddr>,
    /// Everyone may read the sites.
    pub is_public: bool,
}

/// Settings of continuous deployment.
#[derive(Debug, Clone, Default)]
pub struct DeploymentsConfiguration {
    /// Time between two polls; `None` for the default.
    pub every: Option<Duration>,
    /// The secret of webhooks; `None` without webhooks.
    pub secret: Option<SecretString>,
}

/// Settings of the server's log.
#[derive(Debug, Clone, Default)]
pub struct LogConfiguration {
    /// A level, or levels of parts, as in `TERRACE_LOG`.
    pub level: Option<String>,
    /// One JSON object a line.
    pub is_json: bool,
}

/// The audit log.
#[derive(Debug, Clone, Default)]
pub struct AuditConfiguration {
    /// Where entries are logged.
    pub log: AuditDestination,
    /// How long the state keeps entries; `None` keeps all.
    pub retention: Option<Duration>,
}

/// Destination of audit log entries, one JSON object a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AuditDestination {
    /// Standard error.
    #[default]
    StandardError,
    /// No destination: the entries are only in the state.
    Off,
    /// A file that is appended to.
    File(PathBuf),
}

/// Upper limit of requests worked on at once.
pub(crate) const MOST_WORKERS: u16 = 256;
/// Upper limit of provider calls at once in one request.
pub(crate) const MOST_PARALLEL: u16 = 1_024;

/// Minimum of a server's memory.
const LEAST_MEMORY: u64 = 256_000_000;

/// Upper limit of values and resources.
const MOST_COUNTED: i64 = 1_000_000_000;

/// Minimum interval of drift detection: each run reads all objects.
const LEAST_EVERY: Duration = Duration::from_secs(60);

/// Minimum retention of ended requests: callers poll the result for a while.
const LEAST_RETENTION: Duration = Duration::from_secs(3600);

/// Minimum retention of the audit log.
const LEAST_AUDIT_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Reads `server`.
pub(super) fn server(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> ServerConfiguration {
    let mut server = ServerConfiguration::default();
    let Some(mut fields) = Fields::open(node, "`server`", diagnostics) else { return server };
    server.bind = read(&mut fields, "bind", ("an address with its port", "127.0.0.1:8091"), |text| text.parse().ok());
    for prefix in fields.texts("prefixes") {
        let checked = match server.prefixes.contains(&prefix.value) {
            true => Err("it is listed twice".to_owned()),
            false => check_prefix(&prefix.value),
        };
        match checked {
            Ok(()) => server.prefixes.push(prefix.value),
            Err(why) => fields.diagnostics.push(
                Diagnostic::error("illegal_prefix", format!("`{}` is not a prefix of paths: {why}", prefix.value))
                    .at(prefix.span)
                    .hint("write `/` and a name of letters, digits, `-`, `_` and `.`: `/snowflake-provisioner`"),
            ),
        }
    }
    if let Some(entry) = fields.optional("auth") {
        server.auth = auth(&entry.value, fields.diagnostics);
    }
    server.workers = small(&mut fields, "workers", MOST_WORKERS);
    server.parallelism = small(&mut fields, "parallelism", MOST_PARALLEL);
    if let Some(entry) = fields.optional("queue")
        && let Some(mut queue) = Fields::open(&entry.value, "`queue`", fields.diagnostics)
    {
        let mut count =
            |name| whole_number(&mut queue, name, 1, i64::from(u32::MAX)).and_then(|count| u32::try_from(count).ok());
        (server.queue, server.queue_per_caller) = (count("max"), count("perCaller"));
        queue.finish();
    }
    if let Some(entry) = fields.optional("drift")
        && let Some(mut drift) = Fields::open(&entry.value, "`drift`", fields.diagnostics)
    {
        let is_longer = |every: &Duration| *every >= LEAST_EVERY;
        server.drift_every = read(&mut drift, "every", ("a duration of at least a minute", "1h"), |text| {
            duration::parse(text).ok().filter(is_longer)
        });
        if let Some(entry) = drift.optional("webhook") {
            server.webhook = webhook(&entry.value, drift.diagnostics);
        }
        drift.finish();
    }
    server.drain = read(&mut fields, "drain", ("a duration", "20s"), |text| duration::parse(text).ok());
    server.retention = read(&mut fields, "retention", ("an age of at least an hour", "90d"), |text| {
        age(text).ok().filter(|age| *age >= LEAST_RETENTION)
    });
    if let Some(entry) = fields.optional("operations")
        && let Some(mut operations) = Fields::open(&entry.value, "`operations`", fields.diagnostics)
    {
        let bind = ("an address with its port", "127.0.0.1:8094");
        server.operations = read(&mut operations, "bind", bind, |text| text.parse().ok());
        operations.finish();
    }
    if let Some(entry) = fields.optional("connections") {
        server.connections = connections(&entry.value, fields.diagnostics);
    }
    server.timeout = read(&mut fields, "timeout", ("a duration of at least a second", "60s"), |text| {
        duration::parse(text).ok().filter(|limit| *limit >= Duration::from_secs(1))
    });
    server.state_timeout = read(&mut fields, "stateTimeout", ("a duration of at least a minute", "10m"), |text| {
        duration::parse(text).ok().filter(|limit| *limit >= Duration::from_secs(60))
    });
    if let Some(entry) = fields.optional("tls")
        && let Some(mut tls) = Fields::open(&entry.value, "`tls`", fields.diagnostics)
    {
        let (chain, key) = (tls.required_text("cert"), tls.required_text("key"));
        server.tls = chain.zip(key).map(|(chain, key)| (chain.value.into(), key.value.into()));
        tls.finish();
    }
    if let Some(entry) = fields.optional("log")
        && let Some(mut log) = Fields::open(&entry.value, "`log`", fields.diagnostics)
    {
        server.log.level = read(&mut log, "level", ("a level, or levels of parts", "warn,terrace_engine=debug"), level);
        server.log.is_json = log.word("format", &[("text", false), ("json", true)]).unwrap_or_default();
        log.finish();
    }
    if let Some(entry) = fields.optional("audit")
        && let Some(mut audit) = Fields::open(&entry.value, "`audit`", fields.diagnostics)
    {
        server.audit.log = match audit.text("log") {
            None => AuditDestination::StandardError,
            Some(text) => match text.value.as_str() {
                "stderr" => AuditDestination::StandardError,
                "off" => AuditDestination::Off,
                path => AuditDestination::File(path.into()),
            },
        };
        server.audit.retention = read(&mut audit, "retention", ("an age of at least a day", "400d"), |text| {
            age(text).ok().filter(|age| *age >= LEAST_AUDIT_RETENTION)
        });
        audit.finish();
    }
    if let Some(entry) = fields.optional("sites")
        && let Some(mut sites) = Fields::open(&entry.value, "`sites`", fields.diagnostics)
    {
        let bind = read(&mut sites, "bind", ("an address with its port", "127.0.0.1:8093"), |text| text.parse().ok());
        server.sites = Some(SitesConfiguration { bind, is_public: sites.is_true("public") });
        sites.finish();
    }
    if let Some(entry) = fields.optional("pipelines")
        && let Some(mut pipelines) = Fields::open(&entry.value, "`pipelines`", fields.diagnostics)
    {
        server.schedules = pipelines.optional("schedules").is_some().then(|| pipelines.is_true("schedules"));
        if let Some(entry) = pipelines.optional("deployments") {
            server.deployments = deployments(&entry.value, pipelines.diagnostics);
        }
        if let Some(entry) = pipelines.optional("limits") {
            server.pipeline_limits = pipeline_limits(&entry.value, "`limits`", pipelines.diagnostics);
        }
        pipelines.finish();
    }
    if let Some(entry) = fields.optional("limits") {
        server.limits = limits(&entry.value, fields.diagnostics);
    }
    for entry in fields.map("organisations") {
        check_scripts("organisation", &entry.key, entry.key_span, fields.diagnostics);
        let limits = pipeline_limits(&entry.value, "an organisation", fields.diagnostics);
        server.organisations.insert(entry.key.clone(), limits);
    }
    server.pickers = pickers(fields.map("pickers"), fields.diagnostics);
    server.takes_stacks = fields.is_true("stacks");
    server.body_limit = read(&mut fields, "bodyLimit", ("a size", "10MB"), bytes);
    fields.finish();
    server
}

fn limits(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> LimitsConfiguration {
    let mut limits = LimitsConfiguration::default();
    let Some(mut fields) = Fields::open(node, "`limits`", diagnostics) else { return limits };
    limits.memory = read(&mut fields, "memory", ("a size of at least 256MB", "2GB"), |text| {
        size(text).filter(|bytes| *bytes >= LEAST_MEMORY)
    });
    let mut count =
        |name| whole_number(&mut fields, name, 1, MOST_COUNTED).and_then(|count| usize::try_from(count).ok());
    (limits.values, limits.resources, limits.large) = (count("values"), count("resources"), count("large"));
    limits.judging = read(&mut fields, "judging", ("a duration of at least a second", "30s"), |text| {
        duration::parse(text).ok().filter(|limit| *limit >= Duration::from_secs(1))
    });
    fields.finish();
    limits
}

fn small(fields: &mut Fields<'_, '_>, name: &'static str, most: u16) -> Option<u16> {
    whole_number(fields, name, 1, i64::from(most)).and_then(|count| u16::try_from(count).ok())
}

/// Parses a size in bytes: `10MB`, `512KB`.
fn bytes(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text.strip_prefix(digits)?.trim() {
        "KB" => 1_000,
        "MB" => 1_000_000,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}

/// Checks a log level.
fn level(text: &str) -> Option<String> {
    crate::logging::levels::is_level(text).then(|| text.to_owned())
}

/// The variable of a hint on the secret of a webhook.
const WEBHOOK_SECRET: &str = "TERRACE_WEBHOOK_SECRET";

fn deployments(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<DeploymentsConfiguration> {
    let mut fields = Fields::open(node, "`deployments`", diagnostics)?;
    let every = read(&mut fields, "every", ("a duration of at least a second", "60s"), |text| {
        duration::parse(text).ok().filter(|every| *every >= Duration::from_secs(1))
    });
    let secret = fields.optional("secret").and_then(|entry| secret(entry, WEBHOOK_SECRET, fields.diagnostics));
    fields.finish();
    Some(DeploymentsConfiguration { every, secret: secret.map(SecretString::from) })
}

fn webhook(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Webhook> {
    let mut fields = Fields::open(node, "`webhook`", diagnostics)?;
    let url = fields.required_text("url");
    let secret = fields.required("secret").and_then(|entry| secret(entry, WEBHOOK_SECRET, fields.diagnostics));
    fields.finish();
    let (url, secret) = (url?, secret?);
    match Webhook::new(&url.value, secret) {
        Ok(webhook) => Some(webhook),
        Err(why) => {
            diagnostics.push(
                Diagnostic::error("illegal_url", format!("`url` cannot be called: {why}"))
                    .at(url.span)
                    .hint("write an address such as `https://hooks.example.com/terrace`"),
            );
            None
        }
    }
}
