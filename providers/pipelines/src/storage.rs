//! What pipelines wrote, brought to where others read it: a folder, S3, Google Cloud Storage, or whatever takes HTTP `PUT`.
//!
//! Read in this order: [`place`] (what a destination is called, and by which address it is read), [`source`] (what is to be
//! brought there), [`manifest`] (what was brought there, kept beside it), `journal` (how far a sync is, so that the next one
//! goes on), [`sync`] (the order of it all), `target` (what it asks of a destination) with `folder`, `objects` and `web`,
//! [`access`] (in whose name), [`outputs`] (what a run wrote, for who runs pipelines without a plan).
//!
//! Data goes first, `datapackage.json` after all of it, and the manifest last: whoever reads a data package there finds what
//! it names.

pub mod access;
mod error;
mod folder;
mod journal;
pub mod manifest;
mod objects;
pub mod outputs;
pub mod place;
pub mod source;
pub mod sync;
mod target;
mod web;

pub use access::Access;
pub use error::{StorageError, Trouble};
pub use manifest::Manifest;
pub use place::Place;
pub use source::Tree;
pub use sync::{Asked, Storage, Synced, Told};

/// What describes a data package: it goes after all that it names.
pub(crate) const DESCRIPTOR: &str = "datapackage.json";

/// The content type of a file by its name.
pub(crate) fn content_type(key: &str) -> String {
    match mime_guess::from_path(key).first_raw() {
        // Browsers take a text without it for another one than it is.
        Some(text) if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        Some(other) => other.to_owned(),
        None => "application/octet-stream".to_owned(),
    }
}
