//! The provider by itself, and with terrace around it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "what fails here fails a test")]

mod conformance; // the behaviours of every provider
mod readme; // the README's tables are those of the schema
mod story; // plan, apply, drift and destroy over the binary
