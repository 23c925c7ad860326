//! Interface for provider authors: the [`Provider`] and [`Session`] traits, schemas, values and errors.
//!
//! A provider implements the resource types of one technology. It is stateless: its settings come from the
//! environment's configuration, and each call passes the known parts of an object. A provider never sees the store, the
//! descriptor or the plan file.
//!
//! Read in this order: [`schema`] (resource types), [`value`] (attribute values), [`records`] (objects), [`provider`]
//! (the calls), [`plan`] (default planning), [`normal`] (values with the same meaning), [`error`] (failures), [`docs`]
//! (README tables).
//! Shared helpers: [`attributes`], [`names`], [`object_id`], [`column_type`], [`embedded`] and [`secret_half`] (vendor JSON
//! with a secret half).
//!
//! The feature `conformance` adds the test suite that every provider runs. The feature `http` adds an HTTP client. The
//! feature `sql` adds helpers for SQL text: names, keys, tokens, and the tables that a query reads.
#![forbid(unsafe_code)]
// Tests may slice strings at any index: a wrong index fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod attributes;
pub mod blocking;
pub mod call;
pub mod column_type;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod cron;
pub mod docs;
pub mod embedded;
pub mod error;
pub mod finding;
#[cfg(feature = "http")]
pub mod http;
pub mod names;
pub mod normal;
pub mod object_id;
pub mod path;
pub mod plan;
pub mod principal;
pub mod provider;
pub mod records;
pub mod redaction;
pub mod removed_paths;
pub mod renames;
pub mod sandbox;
pub mod schema;
pub mod secret_half;
#[cfg(feature = "sql")]
pub mod sql_keys;
#[cfg(feature = "sql")]
pub mod sql_names;
#[cfg(feature = "sql")]
pub mod sql_reads;
#[cfg(feature = "sql")]
pub mod sql_tokens;
#[cfg(feature = "tls")]
pub mod tls;
pub mod value;
pub mod wrap;

pub use call::{Call, Partial, Progress, with_severity};
pub use error::{ErrorKind, ProviderError};
pub use finding::{Finding, Severity};
pub use path::{Path, Step};
pub use plan::{DataLoss, PlannedChange, ProposedChange};
pub use principal::Principal;
pub use provider::{
    Attempt, Batch, DataAmount, DryRun, Found, Grantee, LostCall, MissingRight, Probe, Provider, Session, Settings,
};
pub use records::{Observed, Planned, Private, Recorded};
pub use redaction::Redaction;
pub use sandbox::Sandbox;
pub use schema::{
    Attribute, AttributeType, DerivedIdentity, EmbeddedFile, IdentityRule, Lookup, Need, Object, ProviderSchema,
    ResourceType, SqlReader, SqlType, Timeouts,
};
pub use value::{Map, Number, Sensitive, Value};

/// The values of a resource by attribute name, in the order in which the author wrote them.
pub type Attributes = Map;
