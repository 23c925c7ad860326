//! `identity(ref, "databricks")`: a user is named by the unchanged address, a group by its display name.

use terrace_provider::Principal;

/// Maps a principal: `user:jane.roe_example.com` to the user `jane.roe@example.com`, `group:dev` and a bare `dev` to the
/// group `dev`.
///
/// # Errors
/// If the principal is neither, or has no name.
pub(crate) fn identity(principal: &str) -> Result<Principal, String> {
    Principal::by_address(principal).ok_or_else(|| {
        format!(
            "`{principal}` is neither a user nor a group: write `user:…` or `group:…`, or map it in `identities.table`"
        )
    })
}
