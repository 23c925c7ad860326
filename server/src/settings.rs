//! Settings of a server.

use crate::auth::Auth;
use crate::listen::ConnectionLimits;
use crate::pickers::picker::Picker;
use crate::pipelines::PipelineLimits;
use crate::processing::ProcessingSettings;
use crate::tls::Certificate;
use crate::webhook::Webhook;
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Further prefixes of the API: `/snowflake-outputport-provisioner`.
    pub prefixes: Vec<String>,
    /// The number of workers.
    pub workers: usize,
    /// The most waiting requests.
    pub most_waiting: usize,
    /// The most waiting requests of a caller whose token sets no limit.
    pub most_waiting_of_caller: u32,
    /// The most concurrent provider calls of a request.
    pub parallelism: usize,
    /// How long a request waits for the lease of its component.
    pub lock_timeout: Duration,
    /// Grace period for running requests at shutdown.
    pub drain: Duration,
    /// How long ended requests are kept.
    pub retention: Duration,
    /// How long entries of the audit log are kept; `None` keeps all.
    pub audit_retention: Option<Duration>,
    /// Timeout of a call. Its change in the store continues after it.
    pub timeout: Duration,
    /// How long the store may be silent before `/live` and `/ready` fail.
    pub state_timeout: Duration,
    /// The certificate; `None` for unencrypted connections.
    pub certificate: Option<Certificate>,
    /// Limits of connections.
    pub connections: ConnectionLimits,
    /// The longest body, in bytes.
    pub body_limit: usize,
    /// Limits of descriptors.
    pub processing: ProcessingSettings,
    /// The interval of drift scans; `None` for none.
    pub drift_every: Option<Duration>,
    /// The receiver of drift reports.
    pub webhook: Option<Webhook>,
    /// The pickers by name.
    pub pickers: BTreeMap<String, Picker>,
    /// Limits of pipelines for callers whose token sets none.
    pub pipeline_limits: PipelineLimits,
    /// The limits of organisations, by name.
    pub organisations: BTreeMap<String, PipelineLimits>,
    /// Which callers are admitted.
    pub auth: Auth,
    /// The name of this process for people: `terrace@host (pid 4711)`.
    pub actor: String,
}
