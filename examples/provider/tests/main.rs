//! Tests of the provider alone, and of the binary with it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic only fails the test")]

mod conformance; // the behaviours of every provider
mod readme; // the README's tables match the schema
mod story; // plan, apply, drift and destroy with the binary
