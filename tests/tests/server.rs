//! The HTTP server: the coordinator's API and its own.

mod access; // every path for callers of every scope
mod api; // the native API: plans, state, operations, access
mod bodies; // unreadable bodies and paths
mod clients; // HTTP clients of other languages
mod connections; // slow callers are closed or refused, and others are served
mod corpus; // server and command line give the same verdicts
mod field; // real-world descriptors, sent to every call
mod github; // callers with tokens of an application at GitHub
mod left; // a new server continues the requests of a killed one
mod limits; // descriptors too large for their server
mod listening;
mod messages; // status messages about results, errors and repeated requests
mod oidc;
mod operate; // health, readiness and metrics
mod outage; // a database outage while servers work
mod prefix; // behind a proxy, under a path prefix
mod refused; // messages for refused and failed calls: field and hint
mod rekey; // a state is rekeyed while requests wait
mod replicas; // several servers on one state
mod request; // request fields beside the descriptor
pub(crate) mod requests; // each coordinator request runs once, even if the server crashes
mod reverse; // reverse provisioning: a catalog reads existing objects
mod siblings; // components that use undeployed siblings are checked against the plan
mod telemetry;
mod tenancy; // tenant limits: every route and scope
mod waiting; // requests that wait for a running command, and refused ones
mod webhook;
