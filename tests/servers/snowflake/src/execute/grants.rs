//! `GRANT` and `REVOKE`.

use super::rows::Rows;
use crate::account::{Account, Grant, Kind, RoleGrant};
use crate::error::{Outcome, SqlError};

/// Privileges on an object, with the role that gets or loses them.
pub(super) struct Granted {
    pub(super) privileges: Vec<String>,
    pub(super) kind: Kind,
    pub(super) path: Vec<String>,
    pub(super) role: String,
    pub(super) has_option: bool,
    pub(super) is_revoke: bool,
    pub(super) only_option: bool,
}

fn manages(account: &Account, role: &str) -> bool {
    account.has_privilege(role, &(Kind::Account, Vec::new()), &["MANAGE GRANTS"])
}

pub(super) fn privileges(account: &mut Account, role: &str, granted: &Granted) -> Outcome<Rows> {
    let key = match granted.kind {
        Kind::Account => (Kind::Account, Vec::new()),
        kind => account.find_visible(role, kind, &granted.path)?,
    };
    if key.0 != granted.kind {
        return Err(SqlError::missing(granted.kind.title(), &granted.path.join(".")));
    }
    if !account.roles.contains_key(&granted.role) {
        return Err(SqlError::missing("Role", &granted.role));
    }
    let roles = account.roles_of(role);
    let has_privilege = manages(account, role)
        || account.owns(role, &key)
        || granted.privileges.iter().all(|privilege| {
            let has = |grant: &Grant| {
                grant.on == key && grant.privilege == *privilege && grant.has_option && roles.contains(&grant.role)
            };
            account.grants.iter().any(has)
        });
    if !has_privilege {
        let name = granted.path.last().cloned().unwrap_or_default();
        return Err(SqlError::privilege(&format!("{} '{name}'", granted.kind.word().to_lowercase())));
    }
    for privilege in &granted.privileges {
        let is_meant = |grant: &Grant| grant.on == key && grant.privilege == *privilege && grant.role == granted.role;
        match (granted.is_revoke, granted.only_option) {
            (true, false) => account.grants.retain(|grant| !is_meant(grant)),
            (true, true) => account.grants.iter_mut().filter(|it| is_meant(it)).for_each(|it| it.has_option = false),
            (false, _) => {
                account.grant_privilege(privilege, key.clone(), &granted.role, role);
                if granted.has_option {
                    account.grants.iter_mut().filter(|it| is_meant(it)).for_each(|it| it.has_option = true);
                }
            }
        }
    }
    Ok(Rows::status("Statement executed successfully."))
}

pub(super) fn role(
    account: &mut Account,
    role: &str,
    granted: String,
    to: (Kind, String),
    is_revoke: bool,
) -> Outcome<Rows> {
    let key = account.find_visible(role, Kind::Role, std::slice::from_ref(&granted))?;
    account.find_visible(role, to.0, std::slice::from_ref(&to.1))?;
    if !manages(account, role) && !account.owns(role, &key) {
        return Err(SqlError::privilege(&format!("role '{granted}'")));
    }
    let is_meant = |grant: &RoleGrant| grant.role == granted && grant.to == to;
    if is_revoke {
        account.role_grants.retain(|grant| !is_meant(grant));
    } else if !account.role_grants.iter().any(is_meant) {
        if to.0 == Kind::Role && account.roles_of(&granted).contains(&to.1) {
            return Err(SqlError::invalid(&format!("granting role '{granted}' would make a circle")));
        }
        let created_on = account.now();
        account.role_grants.push(RoleGrant { created_on, role: granted, to, by: role.to_owned() });
    }
    Ok(Rows::status("Statement executed successfully."))
}
