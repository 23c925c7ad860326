//! The limits of files of a repository, and of rendered entities. People write these files: they are small.

use crate::yaml::{Budget, DuplicateKeys, ParseOptions};

/// The limits of a file.
pub(super) const BUDGET: Budget = Budget { bytes: 1 << 20, depth: 64, nodes: 50_000, alias_nodes: 50_000, raise: None };

/// The options for a file.
pub(super) fn parse_options() -> ParseOptions {
    ParseOptions { budget: BUDGET, duplicate_keys: DuplicateKeys::WarnWhenEqual, ..ParseOptions::default() }
}
