//! Revocation of exactly the given privileges.
//!
//! A revocation on a table also revokes the privileges on its columns. It leaves grants of other grantors, at most with
//! a warning.

use super::{Held, held, statement};
use crate::error::Failure;
use crate::kind::Target;
use crate::script::Script;
use crate::server::Work;
use terrace_provider::{ErrorKind, ProviderError};

/// The object of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RevokedPart {
    /// The privileges.
    Privileges,
    /// The grant option.
    Option,
}

impl RevokedPart {
    fn verb(self) -> &'static str {
        match self {
            Self::Privileges => "REVOKE",
            Self::Option => "REVOKE GRANT OPTION FOR",
        }
    }
}

/// Revokes privileges on the object, or on columns of it.
///
/// # Errors
/// `PermissionDenied` if the role keeps a privilege from another grantor.
pub(super) async fn revoke(
    work: &Work,
    target: &Target,
    part: RevokedPart,
    privileges: &[String],
    columns: &[String],
) -> Result<(), Failure> {
    let after = revoke_own(work, target, part, privileges, columns).await?;
    check_revoked(&after, target, part, privileges, columns)
}

/// Revokes the grants of this instance and returns the remaining privileges, which include those of other grantors.
pub(super) async fn revoke_own(
    work: &Work,
    target: &Target,
    part: RevokedPart,
    privileges: &[String],
    columns: &[String],
) -> Result<Held, Failure> {
    let before = of(work, target).await?;
    if privileges.is_empty() {
        return Ok(before);
    }
    work.run(&statement(part.verb(), target, privileges, columns, "")).await?;
    let after = of(work, target).await?;
    match columns.is_empty() && restore_column_privileges(work, target, &before, &after).await? {
        true => of(work, target).await,
        false => Ok(after),
    }
}

async fn of(work: &Work, target: &Target) -> Result<Held, Failure> {
    Ok(held(work.reader().await?, &[target]).await?.into_iter().next().unwrap_or_default())
}

/// Restores privileges on columns; true if there were any.
async fn restore_column_privileges(work: &Work, target: &Target, before: &Held, after: &Held) -> Result<bool, Failure> {
    let mut is_any = false;
    for (column, privileges) in &before.columns {
        let now = after.columns.get(column);
        for (privilege, grantable) in privileges {
            let is_kept = now.and_then(|now| now.get(privilege)).is_some_and(|now| *now || !grantable);
            if !is_kept {
                let end = if *grantable { " WITH GRANT OPTION" } else { "" };
                let (privilege, column) = (std::slice::from_ref(privilege), std::slice::from_ref(column));
                work.run(&statement("GRANT", target, privilege, column, end)).await?;
                is_any = true;
            }
        }
    }
    Ok(is_any)
}

/// Checks that the revoked privileges are gone.
fn check_revoked(
    after: &Held,
    target: &Target,
    part: RevokedPart,
    privileges: &[String],
    columns: &[String],
) -> Result<(), Failure> {
    let is_meant = |column: &Option<String>| match column {
        Some(column) => columns.contains(column),
        None => columns.is_empty(),
    };
    let left = after.grants.iter().filter(|grant| {
        let is_affected = part == RevokedPart::Privileges || grant.is_grantable;
        is_affected && privileges.contains(&grant.privilege) && is_meant(&grant.column)
    });
    let left: Vec<_> = left.collect();
    let Some(first) = left.first() else { return Ok(()) };
    let mut grantors: Vec<String> = left.iter().map(|grant| format!("`{}`", grant.grantor)).collect();
    grantors.sort_unstable();
    grantors.dedup();
    let message = format!("{} cannot be revoked: {} granted it", target.shown(), grantors.join(", "));
    let mut error = ProviderError::new(ErrorKind::PermissionDenied, message);
    for grant in &left {
        let column = grant.column.as_ref().map(|column| format!(" on the column `{column}`")).unwrap_or_default();
        error = error.problem(format!("`{}`{column} was granted by `{}`", grant.privilege, grant.grantor));
    }
    let by_first = left.iter().filter(|grant| grant.grantor == first.grantor);
    let of_first: std::collections::BTreeSet<String> = by_first.map(|grant| grant.privilege.clone()).collect();
    let of_first: Vec<String> = of_first.into_iter().collect();
    let script: Script = statement(part.verb(), target, &of_first, columns, "");
    let others = if grantors.len() > 1 { ", and the other grantors do the same" } else { "" };
    Err(error.solution(format!("let `{}` run `{};`{others}", first.grantor, script.text())).into())
}
