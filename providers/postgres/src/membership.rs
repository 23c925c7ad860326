//! Memberships of roles in roles.

use crate::attributes::flag;
use crate::error::Failure;
use crate::identifier::quote;
use crate::kind::Target;
use crate::observation::{Observation, ReadRequest, placed};
use crate::private::Memory;
use crate::script::Script;
use crate::server::{Client, Work, column, first, query};
use terrace_provider::{Attributes, ErrorKind, Map, Path, ProviderError};

/// Entry for a membership that existed before.
const MEMBER: &str = "MEMBER";

/// True if the role was a member before: it stays one.
pub(crate) fn is_preexisting(memory: &Memory) -> bool {
    memory.preexisting.contains(MEMBER)
}

/// Reads memberships.
pub(crate) async fn observe(client: &Client, wanted: &[ReadRequest]) -> Result<Vec<Option<Observation>>, Failure> {
    let roles: Vec<&str> = wanted.iter().map(|wanted| wanted.target.name(0)).collect();
    let members: Vec<&str> = wanted.iter().map(|wanted| wanted.target.name(1)).collect();
    // Each grantor may have its own membership grant.
    let sql = "SELECT w.place, bool_or(m.admin_option)
               FROM unnest($1::text[]::name[], $2::text[]::name[]) WITH ORDINALITY AS w(in_role, who, place)
               JOIN pg_roles r ON r.rolname = w.in_role
               JOIN pg_roles u ON u.rolname = w.who
               JOIN pg_auth_members m ON m.roleid = r.oid AND m.member = u.oid
               GROUP BY w.place";
    placed(&query(client, sql, &[&roles, &members]).await?, wanted, |row, wanted| {
        let attributes = Map::from_iter([("admin".to_owned(), column::<bool>(row, 1)?.into())]);
        Ok(Observation::plain(attributes, wanted))
    })
}

/// All members of roles except the current user: from version 16 on, the creator of a role is a member of it.
pub(crate) async fn members(client: &Client, roles: &[&str]) -> Result<Vec<(String, String, bool)>, Failure> {
    let sql = "SELECT r.rolname::text, u.rolname::text, bool_or(m.admin_option)
               FROM pg_auth_members m
               JOIN pg_roles r ON r.oid = m.roleid
               JOIN pg_roles u ON u.oid = m.member
               WHERE r.rolname = ANY($1::text[]::name[]) AND u.rolname <> current_user
               GROUP BY 1, 2 ORDER BY 1, 2";
    let rows = query(client, sql, &[&roles]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?, column(row, 2)?))).collect()
}

/// Records that the membership existed before: it stays when its row is deleted.
pub(crate) fn preexists(memory: &mut Memory) {
    memory.preexisting.insert(MEMBER.to_owned());
}

/// Adds the member, or changes its admin option.
pub(crate) async fn put(work: &Work, target: &Target, planned: &Attributes, is_new: bool) -> Result<(), Failure> {
    let (role, member) = (quote(target.name(0)), quote(target.name(1)));
    let mut script = Script::default();
    match (flag(planned, "admin"), is_new) {
        (false, false) => script.push("REVOKE ADMIN OPTION FOR "),
        _ => script.push("GRANT "),
    }
    script.push_at(&Path::attribute("role"), &role);
    script.push(if flag(planned, "admin") || is_new { " TO " } else { " FROM " });
    script.push_at(&Path::attribute("member"), &member);
    if flag(planned, "admin") {
        script.push(" WITH ADMIN OPTION");
    }
    work.run(&script).await?;
    match flag(planned, "admin") || is_new {
        true => Ok(()),
        false => check_revoked(work, target, "ADMIN OPTION FOR ").await,
    }
}

/// Checks that the revoked membership is gone: from version 16 on, a revocation covers a single grantor.
async fn check_revoked(work: &Work, target: &Target, what: &str) -> Result<(), Failure> {
    let sql = "SELECT pg_get_userbyid(m.grantor)::text FROM pg_auth_members m
               JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
               WHERE r.rolname = $1 AND u.rolname = $2 AND (m.admin_option OR $3) ORDER BY 1";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&target.name(0), &target.name(1), &what.is_empty()];
    let rows = query(work.reader().await?, sql, &parameters).await?;
    let Some(grantor) = first::<String>(&rows)? else { return Ok(()) };
    let message = format!("{} cannot be revoked: `{grantor}` granted it", target.shown());
    let (role, member) = (quote(target.name(0)), quote(target.name(1)));
    Err(ProviderError::new(ErrorKind::PermissionDenied, message)
        .solution(format!("let `{grantor}` run `REVOKE {what}{role} FROM {member};`"))
        .into())
}

/// Removes the member, unless it was a member before or is not a member.
pub(crate) async fn delete(work: &Work, target: &Target, memory: &Memory) -> Result<(), Failure> {
    let client = work.reader().await?;
    let wanted = ReadRequest::all_attributes(target.clone());
    let exists = observe(client, std::slice::from_ref(&wanted)).await?.iter().any(Option::is_some);
    if !exists || is_preexisting(memory) {
        return Ok(());
    }
    let revoke = format!("REVOKE {} FROM {}", quote(target.name(0)), quote(target.name(1)));
    work.execute(&revoke).await?;
    // From version 16 on, each grantor has its own grant. <https://www.postgresql.org/docs/16/sql-revoke.html>
    let sql = "SELECT pg_get_userbyid(m.grantor)::text FROM pg_auth_members m
               JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
               WHERE r.rolname = $1 AND u.rolname = $2 AND pg_has_role(current_user, m.grantor, 'USAGE') ORDER BY 1";
    for row in query(work.reader().await?, sql, &[&target.name(0), &target.name(1)]).await? {
        let grantor: String = column(&row, 0)?;
        work.execute(&format!("{revoke} GRANTED BY {}", quote(&grantor))).await?;
    }
    check_revoked(work, target, "").await
}
