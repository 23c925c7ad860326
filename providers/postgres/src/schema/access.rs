//! Roles, memberships and grants.

use super::{comment, empty, flag, id, name, names, settled, text};
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
            flag("login", "It may log in: it is a user.", false),
            flag("inherit", "It has the privileges of the roles that it is a member of.", true),
            text("password", "Its password. It is not read back, and is sent as a verifier that does not tell it.")
                .write_only(),
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
            text("role", "The role whose privileges are given.").required().replaces(),
            text("member", "The role that gets them.").required().replaces(),
            flag("admin", "The member may grant the role.", false),
            id(),
        ]),
    ));
    ResourceType { grantee: &["member"], is_borrowed: |_, private| membership::was_there(&Memory::read(private)), ..ty }
}

pub(super) fn grant() -> ResourceType {
    let ty = settled(ResourceType::new(
        "postgres_grant",
        "Privileges of one role on one object.",
        &["database", "objectType", "object", "role"],
        Object(vec![
            text("database", "The database.").required().replaces(),
            text("objectType", "`database`, `schema`, `table` (views too) or `sequence`.").required().replaces(),
            text(
                "object",
                "The object: `schema.name`, or the name of the database or schema. What has a dot or a double quote in \
                 it is written in double quotes; `fullName` of what is referred to is written so.",
            )
            .required()
            .replaces()
            .compared(NameRule::Qualified)
            .normal(spelling::object),
            text("role", "Role that gets them; `PUBLIC` means every role.")
                .required()
                .replaces()
                .normal(spelling::grantee),
            names("privileges", "The privileges: `SELECT`, `USAGE`; `ALL` is all that there are.")
                .required()
                .normal(spelling::privileges),
            names("columns", "On these columns of a table only.").default_value(empty()).normal(normal::set),
            flag("grantOption", "The role may give them to others.", false),
            id(),
        ]),
    ));
    ResourceType {
        is_borrowed: |recorded, private| {
            let before = Memory::read(private).preexisting;
            !before.is_empty() && grant::is_whole(recorded, &before)
        },
        ..ty
    }
}
