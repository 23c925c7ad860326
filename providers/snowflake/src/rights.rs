//! What the role of an instance has: it, and the roles that it has in turn.

use crate::client::Row;
use crate::failure::{Need, giving};
use crate::identifier::{quote, split};
use crate::statements::Statements;
use std::collections::BTreeSet;
use terrace_provider::{MissingRight, ProviderError};

/// So many roles that a role has are looked through at most.
const MOST_ROLES: usize = 100;

/// The role that everybody has. <https://docs.snowflake.com/en/user-guide/security-access-control-overview#system-defined-roles>
const EVERYBODYS: &str = "PUBLIC";

/// What came of looking for something that a role has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// It has it.
    Found,
    /// It has it not.
    Absent,
    /// It is not among what could be seen, and not all could be.
    Unknown,
}

/// The role in whose name is asked: the user's default one where the instance says none.
pub(crate) async fn own(statements: &Statements<'_>) -> Result<Option<String>, ProviderError> {
    if let Some(role) = statements.role() {
        return Ok(Some(role.to_owned()));
    }
    let rows = statements.ask("SELECT CURRENT_ROLE()", &Need::to("tell the role")).await?;
    Ok(rows.iter().next().and_then(|row| row.first()).map(str::to_owned))
}

/// Shows all that roles have, and what the roles have that they have, until something is what is looked for.
/// <https://docs.snowflake.com/en/sql-reference/sql/show-grants>
pub(crate) async fn look_through(
    statements: &Statements<'_>,
    roles: impl IntoIterator<Item = String>,
    mut is_enough: impl FnMut(&Row<'_>) -> bool,
) -> Result<Looked, ProviderError> {
    let mut open: Vec<String> = roles.into_iter().collect();
    let mut known: BTreeSet<String> = open.iter().cloned().collect();
    let mut absent = Looked::Absent;
    while let Some(role) = open.pop() {
        if known.len() > MOST_ROLES {
            return Ok(Looked::Unknown);
        }
        let Some(rows) = statements.ask_about(&format!("SHOW GRANTS TO ROLE {}", quote(&role))).await? else {
            absent = Looked::Unknown;
            continue;
        };
        for row in rows.iter() {
            if is_enough(&row) {
                return Ok(Looked::Found);
            }
            if (row.text("privilege"), row.text("granted_on")) == ("USAGE", "ROLE") {
                let name = split(row.text("name")).and_then(|parts| parts.into_iter().next_back());
                open.extend(name.filter(|name| known.insert(name.clone())));
            }
        }
    }
    Ok(absent)
}

/// A right that is looked for.
struct Wanted {
    operation: String,
    /// As it is granted: `CREATE ROLE ON ACCOUNT`.
    right: String,
    privilege: &'static str,
    /// The warehouse that it is on; the account where there is none.
    warehouse: Option<String>,
}

impl Wanted {
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

    /// Whether it is this that a role has. Who owns a warehouse may do everything with it; `ALL` is shown as what it stands
    /// for.
    /// <https://docs.snowflake.com/en/user-guide/security-access-control-privileges#virtual-warehouse-privileges>
    fn is_in(&self, row: &Row<'_>) -> bool {
        let is_object = match &self.warehouse {
            // Of the account there is one.
            None => row.text("granted_on") == "ACCOUNT",
            Some(warehouse) => {
                row.text("granted_on") == "WAREHOUSE"
                    && split(row.text("name")).is_some_and(|parts| parts == std::slice::from_ref(warehouse))
            }
        };
        is_object && [self.privilege, "OWNERSHIP"].contains(&row.text("privilege"))
    }
}

/// What the role of an instance may not do, of what is given on the account, and with its warehouse; `None` where not all can
/// be seen that it has. By secondary roles of its user nothing is created, and all else is done: that there are some is told,
/// for views and grants that are made with their help go by the role alone afterwards.
/// <https://docs.snowflake.com/en/sql-reference/sql/use-secondary-roles>
///
/// # Errors
/// What Snowflake says against the questions.
pub(crate) async fn missing(statements: &Statements<'_>) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let Some(role) = own(statements).await? else { return Ok(None) };
    let on_account = [("create databases", "CREATE DATABASE"), ("create roles", "CREATE ROLE")];
    let mut wanted: Vec<Wanted> =
        on_account.map(|(operation, privilege)| Wanted::on_account(operation, privilege)).into();
    wanted.extend(statements.warehouse().map(Wanted::on_warehouse));
    let roles = [EVERYBODYS.to_owned(), role.clone()];
    let looked = look_through(statements, roles, |row| {
        wanted.retain(|it| !it.is_in(row));
        wanted.is_empty()
    });
    if looked.await? == Looked::Unknown {
        return Ok(None);
    }
    let secondary = secondary(statements).await?;
    if wanted.iter().any(|it| it.warehouse.is_some()) {
        let looked = look_through(statements, secondary.iter().cloned(), |row| {
            wanted.retain(|it| it.warehouse.is_none() || !it.is_in(row));
            wanted.iter().all(|it| it.warehouse.is_none())
        });
        if looked.await? == Looked::Unknown {
            return Ok(None);
        }
    }
    // What nobody chose as the role of terrace is everybody's, who are not to be given it.
    let role = Some(role.as_str()).filter(|role| *role != EVERYBODYS);
    let right = |it: Wanted| MissingRight { operation: it.operation, statement: giving(&it.right, role) };
    let mut missing: Vec<MissingRight> = wanted.into_iter().map(right).collect();
    if !secondary.is_empty() {
        let names: Vec<String> = secondary.iter().map(|role| format!("`{role}`")).collect();
        missing.push(MissingRight {
            operation: format!(
                "notice what its role lacks and secondary roles of its user have ({})",
                names.join(", ")
            ),
            statement: format!("ALTER USER {} SET DEFAULT_SECONDARY_ROLES = ()", quote(&user(statements).await?)),
        });
    }
    Ok(Some(missing))
}

/// The roles of the user that count beside the one in whose name is asked.
/// <https://docs.snowflake.com/en/sql-reference/functions/current_secondary_roles>
async fn secondary(statements: &Statements<'_>) -> Result<Vec<String>, ProviderError> {
    let rows = statements.ask("SELECT CURRENT_SECONDARY_ROLES()", &Need::to("tell the secondary roles")).await?;
    let told = rows.iter().next().and_then(|row| row.first()).unwrap_or_default().to_owned();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap_or_default();
    let names = told.get("roles").and_then(serde_json::Value::as_str).unwrap_or_default();
    Ok(names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// The user who asks.
async fn user(statements: &Statements<'_>) -> Result<String, ProviderError> {
    let rows = statements.ask("SELECT CURRENT_USER()", &Need::to("tell the user")).await?;
    Ok(rows.iter().next().and_then(|row| row.first()).unwrap_or_default().to_owned())
}
