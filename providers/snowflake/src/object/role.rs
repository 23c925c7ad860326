//! Roles.

use super::{Seen, named, new_comment};
use crate::attributes::{optional_text, text};
use crate::failure::Need;
use crate::identifier::{literal, pattern, quote, split};
use crate::statements::Statements;
use std::collections::BTreeSet;
use terrace_provider::{Attributes, ProviderError};

pub(crate) async fn observe(
    statements: &Statements<'_>,
    identity: &Attributes,
    like: Option<&Attributes>,
) -> Result<Option<Seen>, ProviderError> {
    let name = text(identity, "name");
    let Some(rows) = statements.ask_about(&format!("SHOW ROLES LIKE {}", pattern(&name))).await? else {
        return Ok(None);
    };
    Ok(named(&rows, &name).map(|row| Seen::of_row(&row).with_comment(row.text("comment"), like)))
}

pub(crate) async fn create(statements: &Statements<'_>, planned: &Attributes, id: &str) -> Result<(), ProviderError> {
    let name = text(planned, "name");
    let mut sql = format!("CREATE ROLE {}", quote(&name));
    if let Some(comment) = optional_text(planned, "comment") {
        sql.push_str(&format!(" COMMENT = {}", literal(&comment)));
    }
    let need = Need::to(format!("create the role {name}")).right("CREATE ROLE ON ACCOUNT").makes(id);
    statements.change(&sql, &need).await
}

pub(crate) async fn update(
    statements: &Statements<'_>,
    present: &Seen,
    prior: &Attributes,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let name = text(planned, "name");
    let Some(comment) = new_comment(present, prior, planned) else { return Ok(()) };
    let need = Need::to(format!("change the role {name}")).right(format!("OWNERSHIP ON ROLE {}", quote(&name)));
    statements.change(&format!("COMMENT ON ROLE {} IS {}", quote(&name), literal(&comment)), &need).await
}

pub(crate) async fn delete(statements: &Statements<'_>, identity: &Attributes) -> Result<(), ProviderError> {
    let name = text(identity, "name");
    let need = Need::to(format!("drop the role {name}")).right(format!("OWNERSHIP ON ROLE {}", quote(&name)));
    statements.change(&format!("DROP ROLE IF EXISTS {}", quote(&name)), &need).await
}

/// The role in whose name statements are carried out, where the instance does not say one.
pub(crate) async fn current(statements: &Statements<'_>) -> Result<String, ProviderError> {
    let rows = statements.ask("SELECT CURRENT_ROLE()", &Need::to("tell the role")).await?;
    Ok(rows.iter().next().and_then(|row| row.first()).unwrap_or_default().to_owned())
}

/// So many roles that a role has are looked through at most.
const MOST_ROLES: usize = 100;

/// Whether the role in whose name is asked sees every object there is: it, or a role that it has, has `MANAGE GRANTS`. Nobody
/// else does, not even the owner of what objects are in.
/// <https://docs.snowflake.com/en/user-guide/security-access-control-privileges>
pub(crate) async fn sees_everything(statements: &Statements<'_>) -> Result<bool, ProviderError> {
    let own = match statements.role() {
        Some(role) => role.to_owned(),
        None => current(statements).await?,
    };
    let (mut known, mut open) = (BTreeSet::from([own.clone()]), vec![own]);
    while let Some(role) = open.pop().filter(|_| known.len() <= MOST_ROLES) {
        let sql = format!("SHOW GRANTS TO ROLE {}", quote(&role));
        let rows = statements.ask_about(&sql).await?.unwrap_or_default();
        for row in rows.iter() {
            match (row.text("privilege"), row.text("granted_on")) {
                ("MANAGE GRANTS", "ACCOUNT") => return Ok(true),
                ("USAGE", "ROLE") => {
                    let name = split(row.text("name")).and_then(|parts| parts.into_iter().next_back());
                    open.extend(name.filter(|name| known.insert(name.clone())));
                }
                _ => {}
            }
        }
    }
    Ok(false)
}
