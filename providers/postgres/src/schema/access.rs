//! Roles, memberships and grants.

use super::parts::{comment, empty, flag, id, name, names, settled, text};
use crate::private::Memory;
use crate::{grant, membership, spelling};
use terrace_provider::names::NameRule;
use terrace_provider::normal;
use terrace_provider::{Object, ResourceType};

pub(super) fn role() -> ResourceType {
    settled(ResourceType::new(
        "postgres_role",
        "A role of the server: a user or a group.",
        &["name"],
        Object(vec![
            name("The role's name."),
            flag("login", "The role may log in: it is a user.", false),
            flag("inherit", "The role inherits the privileges of the roles that it is a member of.", true),
            text("password", "The password. It is sent as a verifier and never read back.").write_only(),
            comment(),
            id(),
        ]),
    ))
}

pub(super) fn membership() -> ResourceType {
    let ty = settled(ResourceType::new(
        "postgres_membership",
        "Membership of a role in another role.",
        &["role", "member"],
        Object(vec![
            text("role", "The role that gets a member.").required().replaces(),
            text("member", "The role that becomes a member.").required().replaces(),
            flag("admin", "The member may grant the role.", false),
            id(),
        ]),
    ));
    ResourceType {
        grantee: &["member"],
        is_adopted: |_, private| membership::is_preexisting(&Memory::read(private)),
        ..ty
    }
}

pub(super) fn grant() -> ResourceType {
    let ty = settled(ResourceType::new(
        "postgres_grant",
        "Privileges of a role on an object.",
        &["database", "objectType", "object", "role"],
        Object(vec![
            text("database", "The database.").required().replaces(),
            text("objectType", "`database`, `schema`, `table` (views too) or `sequence`.").required().replaces(),
            text(
                "object",
                "The object: `schema.name`, or the name of the database or schema. Put a name with a dot or a \
                 double quote in double quotes, as `fullName` of an object does.",
            )
            .required()
            .replaces()
            .compared(NameRule::Qualified)
            .normal(spelling::object),
            text("role", "The role; `PUBLIC` means every role.").required().replaces().normal(spelling::grantee),
            names("privileges", "The privileges: `SELECT`, `USAGE`; `ALL` means all of them.")
                .required()
                .normal(spelling::privileges),
            names("columns", "Grant only on these columns of a table.").default_value(empty()).normal(normal::set),
            flag("grantOption", "The role may grant them to other roles.", false),
            id(),
        ]),
    ));
    ResourceType {
        is_adopted: |recorded, private| {
            let before = Memory::read(private).preexisting;
            !before.is_empty() && grant::is_whole(recorded, &before)
        },
        ..ty
    }
}
