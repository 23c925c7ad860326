//! What a user needs for what is asked of it: the statement that gives it, for errors and for the README.

use crate::identifier::{qualified, quote};
use crate::kind::{Kind, Target};
use terrace_provider::Attributes;

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Create,
    Update,
    Delete,
}

impl Operation {
    /// The word for people: "cannot be …".
    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "created",
            Self::Update => "changed",
            Self::Delete => "deleted",
        }
    }
}

/// The statement that lets a user do it.
pub(crate) fn statement(operation: Operation, target: &Target, attributes: &Attributes, user: &str) -> String {
    let user = quote(user);
    let object = target.sql();
    match (target.kind, operation) {
        (_, Operation::Read) => match target.database() {
            Some(database) => format!("GRANT CONNECT ON DATABASE {} TO {user}", quote(database)),
            None => format!("ALTER ROLE {user} LOGIN"),
        },
        (Kind::Database, Operation::Create) => format!("ALTER ROLE {user} CREATEDB"),
        (Kind::Database, _) => format!("ALTER DATABASE {object} OWNER TO {user}"),
        (Kind::Schema, Operation::Create) => {
            format!("GRANT CREATE ON DATABASE {} TO {user}", quote(target.name(0)))
        }
        (Kind::Schema, _) => format!("ALTER SCHEMA {object} OWNER TO {user}"),
        (Kind::Table | Kind::View | Kind::MaterializedView, Operation::Create) => {
            format!("GRANT USAGE, CREATE ON SCHEMA {} TO {user}", quote(target.name(1)))
        }
        (Kind::Table | Kind::View | Kind::MaterializedView, _) => {
            format!("ALTER {} {object} OWNER TO {user}", target.kind.word().to_uppercase())
        }
        (Kind::Index, operation) => {
            let table = crate::attributes::text(attributes, "table");
            let own = format!("ALTER TABLE {} OWNER TO {user}", qualified(target.name(1), &table));
            match operation {
                Operation::Create => {
                    format!("GRANT USAGE, CREATE ON SCHEMA {} TO {user}; {own}", quote(target.name(1)))
                }
                _ => own,
            }
        }
        (Kind::Role, _) => format!("ALTER ROLE {user} CREATEROLE"),
        (Kind::Membership, _) => format!("GRANT {} TO {user} WITH ADMIN OPTION", quote(target.name(0))),
        (Kind::Grant, _) => {
            let privileges = crate::attributes::texts(attributes, "privileges").join(", ");
            let on = crate::grant::on(target.name(1), &target.granted());
            let privileges = if privileges.is_empty() { "ALL".to_owned() } else { privileges };
            format!("GRANT {privileges} ON {on} TO {user} WITH GRANT OPTION")
        }
    }
}
