//! `identity(ref, "databricks")`: users are called by their address as it is written, groups by their display name.

use terrace_provider::Principal;

/// Maps a principal: `user:jane.roe_example.com` to the user `jane.roe@example.com`, `group:dev` and a bare `dev` to the
/// group `dev`.
///
/// # Errors
/// When it is neither, or nameless.
pub(crate) fn identity(principal: &str) -> Result<Principal, String> {
    Principal::by_address(principal).ok_or_else(|| {
        format!(
            "`{principal}` is no user and no group that Databricks could know: write `user:…` or `group:…`, or map it in `identities.table`"
        )
    })
}
