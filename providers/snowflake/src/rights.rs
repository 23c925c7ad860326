//! Rights of the instance's role, including those of roles that it has.

use crate::client::Row;
use crate::failure::{Purpose, grant_statement};
use crate::identifier::{quote, split};
use crate::statements::Statements;
use std::collections::BTreeSet;
use terrace_provider::{MissingRight, ProviderError};

/// Limit of roles to search.
const MOST_ROLES: usize = 100;

/// The role that all users have.
/// <https://docs.snowflake.com/en/user-guide/security-access-control-overview#system-defined-roles>
const PUBLIC_ROLE: &str = "PUBLIC";

/// Result of a search for a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SearchResult {
    /// The role has it.
    Found,
    /// The role does not have it.
    Absent,
    /// It was not found, and not all roles could be searched.
    Unknown,
}

/// The role of the instance: by default the user's default role.
pub(crate) async fn current_role(statements: &Statements<'_>) -> Result<Option<String>, ProviderError> {
    if let Some(role) = statements.role() {
        return Ok(Some(role.to_owned()));
    }
    let rows = statements.query("SELECT CURRENT_ROLE()", &Purpose::to("read the role")).await?;
    Ok(rows.iter().next().and_then(|row| row.first()).map(str::to_owned))
}

/// Searches the grants of roles and of the roles that they have, until `is_enough` returns true.
/// <https://docs.snowflake.com/en/sql-reference/sql/show-grants>
pub(crate) async fn search_grants(
    statements: &Statements<'_>,
    roles: impl IntoIterator<Item = String>,
    mut is_enough: impl FnMut(&Row<'_>) -> bool,
) -> Result<SearchResult, ProviderError> {
    let mut open: Vec<String> = roles.into_iter().collect();
    let mut known: BTreeSet<String> = open.iter().cloned().collect();
    let mut absent = SearchResult::Absent;
    while let Some(role) = open.pop() {
        if known.len() > MOST_ROLES {
            return Ok(SearchResult::Unknown);
        }
        let Some(rows) = statements.read_optional(&format!("SHOW GRANTS TO ROLE {}", quote(&role))).await? else {
            absent = SearchResult::Unknown;
            continue;
        };
        for row in rows.iter() {
            if is_enough(&row) {
                return Ok(SearchResult::Found);
            }
            if (row.text("privilege"), row.text("granted_on")) == ("USAGE", "ROLE") {
                let name = split(row.text("name")).and_then(|parts| parts.into_iter().next_back());
                open.extend(name.filter(|name| known.insert(name.clone())));
            }
        }
    }
    Ok(absent)
}

/// A right to search for.
struct RequiredRight {
    operation: String,
    /// In the form of `GRANT`: `CREATE ROLE ON ACCOUNT`.
    right: String,
    privilege: &'static str,
    /// The warehouse of the right; `None` for the account.
    warehouse: Option<String>,
}

impl RequiredRight {
    fn on_account(operation: &str, privilege: &'static str) -> Self {
        let right = format!("{privilege} ON ACCOUNT");
        Self { operation: operation.to_owned(), right, privilege, warehouse: None }
    }

    fn on_warehouse(name: &str) -> Self {
        Self {
            operation: format!("use the warehouse `{name}`"),
            right: format!("USAGE ON WAREHOUSE {}", quote(name)),
            privilege: "USAGE",
            warehouse: Some(name.to_owned()),
        }
    }

    /// True if a grant includes this right. The owner of a warehouse has all rights on it; `ALL` appears as single
    /// privileges.
    /// <https://docs.snowflake.com/en/user-guide/security-access-control-privileges#virtual-warehouse-privileges>
    fn is_granted_by(&self, row: &Row<'_>) -> bool {
        let is_object = match &self.warehouse {
            // There is a single account.
            None => row.text("granted_on") == "ACCOUNT",
            Some(warehouse) => {
                row.text("granted_on") == "WAREHOUSE"
                    && split(row.text("name")).is_some_and(|parts| parts == std::slice::from_ref(warehouse))
            }
        };
        is_object && [self.privilege, "OWNERSHIP"].contains(&row.text("privilege"))
    }
}

/// The rights on the account and the warehouse that the instance's role lacks; `None` if not all of its grants are
/// visible. Secondary roles of the user apply to everything except creation. They are reported as well: objects that
/// were created with their help later depend on the primary role alone.
/// <https://docs.snowflake.com/en/sql-reference/sql/use-secondary-roles>
///
/// # Errors
/// The error of Snowflake.
pub(crate) async fn missing(statements: &Statements<'_>) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let Some(role) = current_role(statements).await? else { return Ok(None) };
    let on_account = [("create databases", "CREATE DATABASE"), ("create roles", "CREATE ROLE")];
    let mut wanted: Vec<RequiredRight> =
        on_account.map(|(operation, privilege)| RequiredRight::on_account(operation, privilege)).into();
    wanted.extend(statements.warehouse().map(RequiredRight::on_warehouse));
    let roles = [PUBLIC_ROLE.to_owned(), role.clone()];
    let result = search_grants(statements, roles, |row| {
        wanted.retain(|right| !right.is_granted_by(row));
        wanted.is_empty()
    });
    if result.await? == SearchResult::Unknown {
        return Ok(None);
    }
    let secondary = secondary(statements).await?;
    if wanted.iter().any(|right| right.warehouse.is_some()) {
        let result = search_grants(statements, secondary.iter().cloned(), |row| {
            wanted.retain(|right| right.warehouse.is_none() || !right.is_granted_by(row));
            wanted.iter().all(|right| right.warehouse.is_none())
        });
        if result.await? == SearchResult::Unknown {
            return Ok(None);
        }
    }
    // The role `PUBLIC` is never suggested: a grant to it would apply to all users.
    let role = Some(role.as_str()).filter(|role| *role != PUBLIC_ROLE);
    let right = |wanted: RequiredRight| MissingRight {
        operation: wanted.operation,
        statement: grant_statement(&wanted.right, role),
    };
    let mut missing: Vec<MissingRight> = wanted.into_iter().map(right).collect();
    if !secondary.is_empty() {
        let names: Vec<String> = secondary.iter().map(|role| format!("`{role}`")).collect();
        missing.push(MissingRight {
            operation: format!("detect rights that only secondary roles of its user have ({})", names.join(", ")),
            statement: format!("ALTER USER {} SET DEFAULT_SECONDARY_ROLES = ()", quote(&user(statements).await?)),
        });
    }
    Ok(Some(missing))
}

/// The secondary roles of the user. <https://docs.snowflake.com/en/sql-reference/functions/current_secondary_roles>
async fn secondary(statements: &Statements<'_>) -> Result<Vec<String>, ProviderError> {
    let rows = statements.query("SELECT CURRENT_SECONDARY_ROLES()", &Purpose::to("read the secondary roles")).await?;
    let roles = rows.iter().next().and_then(|row| row.first()).unwrap_or_default().to_owned();
    let roles: serde_json::Value = serde_json::from_str(&roles).unwrap_or_default();
    let names = roles.get("roles").and_then(serde_json::Value::as_str).unwrap_or_default();
    Ok(names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// The current user.
async fn user(statements: &Statements<'_>) -> Result<String, ProviderError> {
    let rows = statements.query("SELECT CURRENT_USER()", &Purpose::to("read the user")).await?;
    Ok(rows.iter().next().and_then(|row| row.first()).unwrap_or_default().to_owned())
}
