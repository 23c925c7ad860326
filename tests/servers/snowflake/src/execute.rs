//! Execution of statements as a role.

mod alter;
mod create;
mod grants;
mod query;
mod rows;
mod show;

pub(crate) use rows::{Rows, Session};

use crate::account::{Account, Kind};
use crate::error::Outcome;
use crate::grammar::Statement;

/// Executes one statement.
pub(crate) fn execute(account: &mut Account, session: &Session, statement: Statement) -> Outcome<Rows> {
    let role = session.role.as_str();
    match statement {
        Statement::CreateContainer(kind, how, path, options) => {
            create::container(account, role, kind, how, path, &options)
        }
        Statement::CreateTable(how, path, table) => create::table(account, role, how, path, table),
        Statement::CreateView(how, path, view) => create::view(account, role, how, path, view),
        Statement::CreateRole(how, name, options) => create::role(account, role, how, name, &options),
        Statement::CreateTag(how, path, options) => create::tag(account, role, how, path, options),
        Statement::AlterOptions(kind, if_exists, path, options) => {
            alter::options(account, role, kind, if_exists, &path, options)
        }
        Statement::AlterTable(if_exists, path, change) => alter::table(account, role, if_exists, &path, change),
        Statement::Comment(kind, if_exists, path, column, text) => {
            alter::comment(account, role, kind, if_exists, &path, column, &text)
        }
        Statement::Drop(kind, if_exists, path) => drop_object(account, role, kind, if_exists, &path),
        Statement::Grant { privileges, kind, path, role: to, has_option, is_revoke, only_option } => {
            let granted = grants::Granted { privileges, kind, path, role: to, has_option, is_revoke, only_option };
            grants::privileges(account, role, &granted)
        }
        Statement::GrantRole { role: granted, to, is_revoke } => grants::role(account, role, granted, to, is_revoke),
        Statement::Show(show) => show::show(account, role, &show),
        Statement::Describe(kind, path) => show::describe(account, role, kind, &path),
        Statement::Query(query) => query::query(account, session, &query),
        Statement::Count(path) => query::count(account, session, &path),
        Statement::TagReferences { object, domain } => query::tag_references(account, session, &object, &domain),
        Statement::PolicyReferences(object) => query::policy_references(account, session, &object),
        Statement::CurrentRole(function) => Ok(query::current(account, session, function)),
        Statement::SecondaryRoles(user, all) => {
            account.find_visible(role, Kind::User, std::slice::from_ref(&user))?;
            match all {
                true => account.with_secondary_roles.insert(user),
                false => account.with_secondary_roles.remove(&user),
            };
            Ok(Rows::status("Statement executed successfully."))
        }
        Statement::Insert(path, rows) => query::insert(account, session, &path, rows),
        // There is no session that it could apply to.
        Statement::Use => Ok(Rows::status("Statement executed successfully.")),
    }
}

fn drop_object(account: &mut Account, role: &str, kind: Kind, if_exists: bool, path: &[String]) -> Outcome<Rows> {
    let name = path.last().cloned().unwrap_or_default();
    let key = match account.owned(role, kind, path) {
        Ok(key) => key,
        Err(error) if if_exists && error.code == "002003" => {
            return Ok(Rows::status("Drop statement executed successfully."));
        }
        Err(error) => return Err(error),
    };
    if key.0 != kind {
        let error = crate::error::SqlError::invalid(&format!(
            "Object found is of type '{}', not specified type '{}'.",
            key.0.word(),
            kind.word()
        ));
        return Err(error);
    }
    account.forget(&key);
    match kind {
        Kind::Database => {
            account.databases.remove(&name);
            account.schemas.retain(|path, _| path[0] != name);
            account.relations.retain(|path, _| path[0] != name);
            account.tags.retain(|path, _| path[0] != name);
        }
        Kind::Schema => {
            account.schemas.remove(path);
            account.relations.retain(|other, _| !other.starts_with(path));
            account.tags.retain(|other, _| !other.starts_with(path));
        }
        Kind::Table | Kind::View => drop(account.relations.remove(path)),
        Kind::Tag => drop(account.tags.remove(path)),
        Kind::Role => {
            account.roles.remove(&name);
            account.grants.retain(|grant| grant.role != name);
            account.role_grants.retain(|grant| grant.role != name && grant.to != (Kind::Role, name.clone()));
            // The role that drops it owns its objects from now on.
            let reassign = |attributes: &mut crate::account::CommonAttributes| {
                if attributes.owner == name {
                    attributes.owner = role.to_owned();
                }
            };
            account.roles.values_mut().for_each(reassign);
            account.relations.values_mut().for_each(|(attributes, _)| reassign(attributes));
            account
                .databases
                .values_mut()
                .chain(account.schemas.values_mut())
                .for_each(|it| reassign(&mut it.attributes));
        }
        Kind::Account | Kind::Warehouse | Kind::User => return Err(crate::error::SqlError::unsupported("DROP")),
    }
    Ok(Rows::status(&format!("{name} successfully dropped.")))
}
