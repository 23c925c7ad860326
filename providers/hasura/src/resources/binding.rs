//! Members of a role: two lists, each written as a whole.

use super::{Target, role};
use crate::attributes::{in_order_of, list, texts};
use crate::mapper::{Mapper, Members, MembersAnswer};
use terrace_provider::http::Within;
use terrace_provider::{Attributes, Call, ErrorKind, Path, ProviderError};

/// Refuses references that the role mapper would not recognise.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    role::check_id(attributes)?;
    for (list, prefix) in [("users", "user:"), ("groups", "group:")] {
        let members = texts(attributes, list);
        for (index, member) in members.iter().enumerate() {
            let at = Path::attribute(list).index(index);
            if member.strip_prefix(prefix).is_none_or(str::is_empty) {
                let message = format!("`{member}` is not valid in `{list}`: expected `{prefix}…`");
                return Err(ProviderError::invalid(Some(at), message)
                    .solution(format!("write a reference such as `{prefix}name`")));
            }
            if members.iter().take(index).any(|other| other == member) {
                let error = ProviderError::invalid(Some(at), format!("`{member}` is listed twice"));
                return Err(error.solution("remove one of them"));
            }
        }
    }
    Ok(())
}

/// Its present attributes.
pub(crate) fn present(members: &Members, like: Option<&Attributes>) -> Attributes {
    let mut current = Attributes::default();
    current.insert("users".to_owned(), list(&in_order_of(members.users.clone(), like, "users")));
    current.insert("groups".to_owned(), list(&in_order_of(members.groups.clone(), like, "groups")));
    current
}

/// The planned members.
pub(crate) fn wanted(attributes: &Attributes) -> Members {
    Members { users: texts(attributes, "users"), groups: texts(attributes, "groups") }
}

/// True if these are the planned members.
pub(crate) fn matches_plan(members: &Members, planned: &Attributes) -> bool {
    let sorted = |members: &Members| {
        let mut members = members.clone();
        members.users.sort();
        members.groups.sort();
        members
    };
    sorted(members) == sorted(&wanted(planned))
}

/// True if these may result from an interrupted write of the planned members: the users are written first.
pub(crate) fn may_result_from(members: &Members, planned: &Attributes) -> bool {
    let half = Members { groups: wanted(planned).groups, ..members.clone() };
    matches_plan(members, planned) || (members.groups.is_empty() && matches_plan(&half, planned))
}

pub(crate) async fn create(
    mapper: &Mapper,
    target: &Target,
    call: &Call,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let id = target.part("roleId");
    match mapper.members(&id).await? {
        MembersAnswer::NoRole => {
            let error = ProviderError::invalid(Some(Path::attribute("roleId")), format!("role `{id}` does not exist"));
            Err(error.solution("create it first with a `hasura_role`"))
        }
        MembersAnswer::Members(members) if !members.is_empty() => {
            Err(target.exists(&format!("a member of the role `{id}`")))
        }
        _ => write(mapper, &id, call, &Members::default(), &wanted(planned)).await,
    }
}

pub(crate) async fn update(
    mapper: &Mapper,
    target: &Target,
    call: &Call,
    prior: &Attributes,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let id = target.part("roleId");
    let before = match mapper.members(&id).await? {
        MembersAnswer::NoRole => return Err(target.gone()),
        MembersAnswer::Members(members) => members,
        MembersAnswer::Unreadable => wanted(prior),
    };
    write(mapper, &id, call, &before, &wanted(planned)).await
}

pub(crate) async fn delete(
    mapper: &Mapper,
    target: &Target,
    call: &Call,
    prior: &Attributes,
) -> Result<(), ProviderError> {
    let id = target.part("roleId");
    match mapper.members(&id).await? {
        MembersAnswer::NoRole => Ok(()),
        MembersAnswer::Members(members) if members.is_empty() => Ok(()),
        MembersAnswer::Members(members) => write(mapper, &id, call, &members, &Members::default()).await,
        MembersAnswer::Unreadable => write(mapper, &id, call, &wanted(prior), &Members::default()).await,
    }
}

/// Writes both lists or neither: if the second is refused, it restores the first.
async fn write(
    mapper: &Mapper,
    id: &str,
    call: &Call,
    before: &Members,
    members: &Members,
) -> Result<(), ProviderError> {
    let within = Within::of_call(call);
    mapper.put_users(id, &members.users, &within).await?;
    let within = within.without_cancellation();
    let Err(error) = mapper.put_groups(id, &members.groups, &within).await else { return Ok(()) };
    let is_open = error.kind == ErrorKind::Ambiguous;
    if is_open || mapper.put_users(id, &before.users, &within).await.is_err() {
        // Perhaps only half is written: a read determines the outcome.
        return Err(ProviderError { kind: ErrorKind::Ambiguous, ..error }
            .problem("the users were written, but the groups perhaps were not"));
    }
    Err(error)
}
