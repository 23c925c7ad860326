//! `server` of terrace.yaml: how `terrace serve` is reached, whom it lets in, and how much it takes on.

use super::limits::whole;
use crate::args::age;
use std::net::SocketAddr;
use std::time::Duration;
use terrace_engine::decode::{Fields, wrong_type};
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::duration;
use terrace_engine::yaml::Node;
use terrace_server::auth::{Auth, Scope, Token};

/// What the file says of the server; what it does not say has a default.
#[derive(Debug, Clone, Default)]
pub struct ServerConfiguration {
    /// Where connections are taken.
    pub bind: Option<SocketAddr>,
    /// Prefixes under which the API is besides its own paths.
    pub prefixes: Vec<String>,
    /// Who is let in; `None` when nothing is said.
    pub auth: Option<Auth>,
    /// How many requests are worked on at once.
    pub workers: Option<u16>,
    /// How many provider calls one request makes at once.
    pub parallelism: Option<u16>,
    /// How many requests may wait.
    pub queue: Option<u32>,
    /// How long what runs is waited for when the server ends.
    pub drain: Option<Duration>,
    /// How long requests that ended are kept.
    pub retention: Option<Duration>,
    /// How often drift is looked for.
    pub drift_every: Option<Duration>,
    /// The longest body, in bytes.
    pub body_limit: Option<usize>,
    /// Callers may send plain stacks, which can declare every resource of every provider.
    pub takes_stacks: bool,
}

/// The most requests that are worked on at once.
pub(crate) const MOST_WORKERS: u16 = 256;
/// The most provider calls that one request makes at once.
pub(crate) const MOST_PARALLEL: u16 = 1_024;

/// The shortest time between two looks for drift: each reads everything there is.
const LEAST_EVERY: Duration = Duration::from_secs(60);

/// Reads it.
pub(super) fn server(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> ServerConfiguration {
    let mut server = ServerConfiguration::default();
    let Some(mut fields) = Fields::open(node, "`server`", diagnostics) else { return server };
    fields.not_supported_yet(&["tls"]);
    server.bind =
        read(&mut fields, "bind", "an address with its port, such as `127.0.0.1:8091`", |text| text.parse().ok());
    for prefix in fields.texts("prefixes") {
        match is_prefix(&prefix.value) {
            true => server.prefixes.push(prefix.value),
            false => fields.diagnostics.push(
                Diagnostic::error("illegal_prefix", format!("`{}` is no prefix of paths", prefix.value))
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
        server.queue = whole(&mut queue, "max", 1, i64::from(u32::MAX)).and_then(|count| u32::try_from(count).ok());
        queue.finish();
    }
    if let Some(entry) = fields.optional("drift")
        && let Some(mut drift) = Fields::open(&entry.value, "`drift`", fields.diagnostics)
    {
        let is_longer = |every: &Duration| *every >= LEAST_EVERY;
        server.drift_every = read(&mut drift, "every", "a duration of at least a minute, such as `1h`", |text| {
            duration::parse(text).ok().filter(is_longer)
        });
        drift.finish();
    }
    server.drain = read(&mut fields, "drain", "a duration, such as `20s`", |text| duration::parse(text).ok());
    server.retention = read(&mut fields, "retention", "a number of days, such as `90d`", |text| age(text).ok());
    server.takes_stacks = fields.is_true("stacks");
    server.body_limit = read(&mut fields, "bodyLimit", "a size, such as `10MB`", bytes);
    fields.finish();
    server
}

/// A field that is written as a text.
fn read<T>(
    fields: &mut Fields<'_, '_>,
    name: &'static str,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let entry = fields.optional(name)?;
    let value = entry.value.as_text().and_then(parse);
    if value.is_none() {
        fields.diagnostics.push(wrong_type(&format!("`{name}`"), expected, &entry.value));
    }
    value
}

fn small(fields: &mut Fields<'_, '_>, name: &'static str, most: u16) -> Option<u16> {
    whole(fields, name, 1, i64::from(most)).and_then(|count| u16::try_from(count).ok())
}

fn is_prefix(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    text.strip_prefix('/').is_some_and(|path| path.split('/').all(is_part))
}

/// So many bytes: `10MB`, `512KB`.
fn bytes(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text.strip_prefix(digits)?.trim() {
        "KB" => 1_000,
        "MB" => 1_000_000,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}

/// Who is let in.
fn auth(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Auth> {
    let mut fields = Fields::open(node, "`auth`", diagnostics)?;
    let mode = fields.required("mode").and_then(|_| fields.word("mode", &[("none", false), ("token", true)]));
    let mut tokens = Vec::new();
    if mode == Some(true) {
        for node in fields.list("tokens") {
            tokens.extend(token(node, fields.diagnostics));
        }
        if fields.optional("tokens").is_none() {
            fields.diagnostics.push(
                Diagnostic::error("missing_field", "`auth` lets nobody in: it has no `tokens`")
                    .at(fields.span())
                    .hint("add `tokens: [{name: ci, sha256: …, scopes: [apply]}]`"),
            );
        }
    }
    fields.finish();
    mode.map(|by_token| if by_token { Auth::Tokens(tokens) } else { Auth::Anybody })
}

fn token(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Token> {
    let mut fields = Fields::open(node, "a token", diagnostics)?;
    let name = fields.required_text("name");
    let digest = fields.required_text("sha256");
    let scopes = fields.texts("scopes");
    let mut largest = None;
    for scope in &scopes {
        match Scope::WORDS.iter().find(|(word, _)| *word == scope.value) {
            Some((_, scope)) => largest = largest.max(Some(*scope)),
            None => fields.diagnostics.push(
                Diagnostic::error("unknown_scope", format!("there is no scope `{}`", scope.value))
                    .at(scope.span)
                    .hint("scopes are `read`, `plan`, `apply` and `admin`; each has what stands before it"),
            ),
        }
    }
    if scopes.is_empty() {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", "a token has no `scopes`")
                .at(fields.span())
                .hint("say what it is for: `scopes: [apply]`"),
        );
    }
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(digest) = digest.as_ref().filter(|digest| !is_digest(&digest.value)) {
        // What stands there may be the token itself.
        fields.diagnostics.push(
            Diagnostic::error("illegal_digest", "`sha256` is no SHA-256 in hexadecimal digits")
                .at(digest.span)
                .hint("`printf %s \"$TOKEN\" | sha256sum` prints it"),
        );
    }
    fields.finish();
    let (name, digest) = (name?, digest?);
    Some(Token { name: name.value, sha256: digest.value.to_ascii_lowercase(), scope: largest? })
}
