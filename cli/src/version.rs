//! The version of this build, derived from Git by the build script.

// Used by the build script, and by tests.
#[cfg(test)]
mod derive;

/// `1.2.3` of a tagged commit, `1.2.0-dev.7+abc1234` of a release branch, else `0.0.0+abc1234`.
pub(crate) const VERSION: &str = env!("TERRACE_BUILD_VERSION");
/// The commit; empty if it is unknown.
pub(crate) const COMMIT: &str = env!("TERRACE_BUILD_COMMIT");
