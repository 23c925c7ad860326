//! Limits on what descriptors reach through providers: files of the program itself, and variables of its environment.
//!
//! The program that runs the providers knows which files are its own (state, keys, configuration) and hands them in
//! with [`crate::Settings`]. A provider that opens a local file asks [`ProtectedFiles`] first, and a provider that
//! starts a program takes the program's variables from [`variables`].

pub mod files;
pub mod variables;

pub use files::{Marker, ProtectedFile, ProtectedFiles};

/// The limits of a provider instance.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// The files that no resource and no lookup may read, write or delete.
    pub files: ProtectedFiles,
}
