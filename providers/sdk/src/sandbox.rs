//! Limits on the files and variables that descriptors can reach through providers.
//!
//! The calling program knows its own files (state, keys, configuration) and passes them in [`crate::Settings`]. A
//! provider checks [`ProtectedFiles`] before it opens a local file. A provider that starts a program takes the
//! program's variables from [`variables`].

pub mod files;
pub mod variables;

pub use files::{Marker, ProtectedFile, ProtectedFiles};

/// The limits of a provider instance.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// The files that no resource and no lookup may read, write or delete.
    pub files: ProtectedFiles,
}
