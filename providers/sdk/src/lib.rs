//! What a provider author needs: the [`Provider`] and [`Session`] traits, schemas, values and errors.
//!
//! A provider implements the resource types of one technology. It is stateless: its settings come from the
//! environment's configuration, what it knows of an object comes in with each call. It never sees the store, the
//! descriptor or the plan file.
//!
//! Read in this order: [`schema`] (what a type looks like), [`value`] (what travels), [`provider`] (what is called),
//! [`plan`] (what a provider that overrides nothing gets), [`normal`] (values that mean the same), [`error`] (how to
//! say that something went wrong), [`docs`] (the tables of a provider's README). [`attributes`], [`names`], [`object_id`], [`column_type`], [`embedded`] and [`twin`]
//! (vendors' JSON with its secret half) are what several need. The feature `conformance` adds the suite of behaviours that
//! every provider shows, `http` the client of those whose technology is called by HTTP.
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod attributes;
pub mod blocking;
pub mod call;
pub mod column_type;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod docs;
pub mod embedded;
pub mod error;
#[cfg(feature = "http")]
pub mod http;
pub mod names;
pub mod normal;
pub mod object_id;
pub mod path;
pub mod plan;
pub mod principal;
pub mod provider;
pub mod quartz;
pub mod redaction;
pub mod removed_paths;
pub mod renames;
pub mod sandbox;
pub mod schema;
#[cfg(feature = "sql")]
pub mod sql_reads;
#[cfg(feature = "tls")]
pub mod tls;
pub mod twin;
pub mod value;
pub mod wrap;

pub use call::{Call, Partial, Progress, remarked};
pub use error::{ErrorKind, ProviderError};
pub use path::{Path, Step};
pub use plan::{DataLoss, PlannedChange, ProposedChange};
pub use principal::Principal;
pub use provider::{
    Attempt, Batch, DataAmount, DryRun, Finding, Found, Grantee, LostCall, MissingRight, Observed, Planned, Private,
    Provider, Recorded, Session, Settings, Severity,
};
pub use redaction::Redaction;
pub use sandbox::Sandbox;
pub use schema::{
    Attribute, AttributeType, EmbeddedFile, IdentityRule, Lookup, Need, Object, ProviderSchema, ResourceType,
    SqlReader, SqlType, Timeouts,
};
pub use value::{Map, Number, Sensitive, Value};

/// The values of a resource by attribute name, in the order in which they were written.
pub type Attributes = Map;
