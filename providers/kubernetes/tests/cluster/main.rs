//! Tests of the provider against a real cluster, which `tests/real/kubernetes` starts. They fail without one.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests; clippy recognises test functions only"
)]

mod access; // rights, certificates, plugins
mod conformance; // the conformance suite
mod faults; // the API server dies while terrace waits
mod harness; // kubectl, namespaces and instances
mod lookups; // objects, lists, the server
mod ownership; // field owners, drift, conflicts, imports
mod planning; // dry runs: defaults, replacements, refusals
mod waiting; // readiness and deletion
