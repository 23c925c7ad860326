//! Who has a role: two lists, each written whole.

use super::{Target, role};
use crate::attributes::{in_order_of, list, texts};
use crate::mapper::{Mapper, Members, Told};
use terrace_provider::http::Within;
use terrace_provider::{Attributes, Call, ErrorKind, Path, ProviderError};

/// Refuses references that the role mapper would not know.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    role::check_id(attributes)?;
    for (list, prefix) in [("users", "user:"), ("groups", "group:")] {
        let members = texts(attributes, list);
        for (index, member) in members.iter().enumerate() {
            let at = Path::attribute(list).index(index);
            if member.strip_prefix(prefix).is_none_or(str::is_empty) {
                let message = format!("`{member}` is none of the {list}: they begin with `{prefix}`");
                return Err(ProviderError::invalid(Some(at), message).solution(format!("write such as `{prefix}name`")));
            }
            if members.iter().take(index).any(|other| other == member) {
                let error = ProviderError::invalid(Some(at), format!("`{member}` is there twice"));
                return Err(error.solution("leave one of them"));
            }
        }
    }
    Ok(())
}

/// Its attributes as they are.
pub(crate) fn present(members: &Members, like: Option<&Attributes>) -> Attributes {
    let mut seen = Attributes::default();
    seen.insert("users".to_owned(), list(&in_order_of(members.users.clone(), like, "users")));
    seen.insert("groups".to_owned(), list(&in_order_of(members.groups.clone(), like, "groups")));
    seen
}

/// Who is wanted.
pub(crate) fn wanted(attributes: &Attributes) -> Members {
    Members { users: texts(attributes, "users"), groups: texts(attributes, "groups") }
}

/// Whether these have a role who are wanted.
pub(crate) fn is_as(members: &Members, planned: &Attributes) -> bool {
    let sorted = |members: &Members| {
        let mut members = members.clone();
        members.users.sort();
        members.groups.sort();
        members
    };
    sorted(members) == sorted(&wanted(planned))
}

/// Whether these may be what is left of a call that was to write who is wanted: the users are written first.
pub(crate) fn may_be_of(members: &Members, planned: &Attributes) -> bool {
    let half = Members { groups: wanted(planned).groups, ..members.clone() };
    is_as(members, planned) || (members.groups.is_empty() && is_as(&half, planned))
}

pub(crate) async fn create(
    mapper: &Mapper,
    target: &Target,
    call: &Call,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let id = target.part("roleId");
    match mapper.members(&id).await? {
        Told::NoRole => {
            let error = ProviderError::invalid(Some(Path::attribute("roleId")), format!("there is no role `{id}`"));
            Err(error.solution("let a `hasura_role` make it, before this"))
        }
        Told::Members(members) if !members.is_nobody() => Err(target.exists(&format!("somebody with the role `{id}`"))),
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
        Told::NoRole => return Err(target.gone()),
        Told::Members(members) => members,
        Told::Untold => wanted(prior),
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
        Told::NoRole => Ok(()),
        Told::Members(members) if members.is_nobody() => Ok(()),
        Told::Members(members) => write(mapper, &id, call, &members, &Members::default()).await,
        Told::Untold => write(mapper, &id, call, &wanted(prior), &Members::default()).await,
    }
}

/// Writes both lists, or neither: where the second is refused the first is as it was.
async fn write(
    mapper: &Mapper,
    id: &str,
    call: &Call,
    before: &Members,
    members: &Members,
) -> Result<(), ProviderError> {
    let within = Within::of_call(call);
    mapper.put_users(id, &members.users, &within).await?;
    let within = within.to_the_end();
    let Err(error) = mapper.put_groups(id, &members.groups, &within).await else { return Ok(()) };
    let is_open = error.kind == ErrorKind::Ambiguous;
    if is_open || mapper.put_users(id, &before.users, &within).await.is_err() {
        // What is there is half of it: a look tells.
        return Err(ProviderError { kind: ErrorKind::Ambiguous, ..error }
            .problem("the users were written, and the groups perhaps not"));
    }
    Err(error)
}
