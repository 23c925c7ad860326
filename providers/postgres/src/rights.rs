//! Rights of the user: the statement that grants a missing one, for errors, for `terrace doctor` and for the README.

use crate::error::Failure;
use crate::identifier::{qualified, quote};
use crate::kind::{Kind, Target};
use crate::operation::Operation;
use crate::server::{Client, column, query};
use terrace_provider::{Attributes, MissingRight};

/// Server-wide rights of the user. Members do not inherit role attributes:
/// <https://www.postgresql.org/docs/current/role-attributes.html>. They inherit privileges, which the function
/// considers: <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-ACCESS>.
const RIGHTS: &str = "SELECT rolname::text, current_database()::text, rolsuper OR rolcreatedb, rolsuper OR rolcreaterole, \
     has_database_privilege(current_database(), 'CREATE') FROM pg_roles WHERE rolname = current_user";

/// The statement that gives a user the right to an operation.
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

/// Server-wide rights that the user of a connection lacks. Includes rights in the connection's database only if the
/// configuration names that database: otherwise it holds no schemas of terrace.
///
/// # Errors
/// The error of the server.
pub(crate) async fn missing(client: &Client, is_chosen: bool) -> Result<Vec<MissingRight>, Failure> {
    let rows = query(client, RIGHTS, &[]).await?;
    let row = rows.first().ok_or_else(|| Failure::bug("the server does not know its own user"))?;
    let (user, database): (String, String) = (column(row, 0)?, column(row, 1)?);
    let needed = [
        (column(row, 2)?, Kind::Database, "create databases".to_owned()),
        (column(row, 3)?, Kind::Role, "create roles".to_owned()),
        (column::<bool>(row, 4)? || !is_chosen, Kind::Schema, format!("create schemas in the database `{database}`")),
    ];
    let lacking = needed.into_iter().filter(|(has_right, ..): &(bool, Kind, String)| !has_right);
    let right = |(_, kind, operation): (bool, Kind, String)| {
        let target = Target { kind, names: vec![database.clone()] };
        MissingRight { operation, statement: statement(Operation::Create, &target, &Attributes::default(), &user) }
    };
    Ok(lacking.map(right).collect())
}
