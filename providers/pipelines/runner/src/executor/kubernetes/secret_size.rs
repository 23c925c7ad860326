//! Limits of Secrets that hold files.

/// Largest content of a Secret in bytes.
/// <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size>
pub(crate) const LARGEST: usize = 1 << 20;
/// Number of large files that a message names.
pub(crate) const NAMED: usize = 3;

/// A size for people: `1.5 MiB`.
pub(crate) fn in_bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
