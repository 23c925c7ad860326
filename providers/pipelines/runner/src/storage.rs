//! Copies outputs of pipelines to other places: a folder, S3, Google Cloud Storage, or a server that accepts HTTP
//! `PUT`.
//!
//! Reading order: [`place`] (names of destinations, and addresses of readers), [`source`] (files to copy), `entry` and [`manifest`]
//! (files at the destination), `difference` (changes), `journal` (progress of a sync, so that the next one continues it), [`sync`] (the order
//! of operations), `target` (interface of destinations) with `folder`, `objects` (its `uploads` are those in parts) and `web`, [`access`] (credentials),
//! [`outputs`] (outputs of a run, for runs without a plan). [`kubernetes`] copies files that are on a claim of a cluster: a Job
//! there does the work, with the code in [`pod`].
//!
//! Data is sent first, `datapackage.json` after all of it, and the manifest last, so that readers of a data package
//! find all its files.

pub mod access;
mod difference;
mod entry;
mod error;
mod folder;
mod journal;
pub mod kubernetes;
pub mod manifest;
mod objects;
pub mod outputs;
pub mod place;
pub mod pod;
pub mod source;
pub mod sync;
mod target;
mod uploads;
mod web;

pub use access::Access;
pub use error::{StorageError, StorageErrorKind};
pub use manifest::Manifest;
pub use place::Place;
pub use source::Tree;
pub use sync::{Storage, SyncEvent, SyncRequest, Synced};

/// Name of the descriptor of a data package, which is sent after the files that it names.
pub(crate) const DESCRIPTOR: &str = "datapackage.json";

/// Content type of a file by its name.
pub(crate) fn content_type(key: &str) -> String {
    match mime_guess::from_path(key).first_raw() {
        // Without a charset, browsers assume another encoding.
        Some(text) if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        Some(other) => other.to_owned(),
        None => "application/octet-stream".to_owned(),
    }
}
