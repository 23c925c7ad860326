//! Roles.

use super::{Observation, named, new_comment};
use crate::client::Row;
use crate::failure::Purpose;
use crate::identifier::{literal, pattern, quote};
use crate::rights::{SearchResult, current_role, search_grants};
use crate::statements::Statements;
use terrace_provider::attributes::{optional_text, text};
use terrace_provider::{Attributes, ProviderError};

pub(crate) async fn observe(
    statements: &Statements<'_>,
    identity: &Attributes,
    like: Option<&Attributes>,
) -> Result<Option<Observation>, ProviderError> {
    let name = text(identity, "name");
    let Some(rows) = statements.read_optional(&format!("SHOW ROLES LIKE {}", pattern(&name))).await? else {
        return Ok(None);
    };
    Ok(named(&rows, &name).map(|row| Observation::of_row(&row).with_comment(row.text("comment"), like)))
}

pub(crate) async fn create(statements: &Statements<'_>, planned: &Attributes, id: &str) -> Result<(), ProviderError> {
    let name = text(planned, "name");
    let mut sql = format!("CREATE ROLE {}", quote(&name));
    if let Some(comment) = optional_text(planned, "comment") {
        sql.push_str(&format!(" COMMENT = {}", literal(&comment)));
    }
    let purpose = Purpose::to(format!("create the role {name}")).right("CREATE ROLE ON ACCOUNT").creates(id);
    statements.change(&sql, &purpose).await
}

pub(crate) async fn update(
    statements: &Statements<'_>,
    present: &Observation,
    prior: &Attributes,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let name = text(planned, "name");
    let Some(comment) = new_comment(present, prior, planned) else { return Ok(()) };
    let purpose = Purpose::to(format!("change the role {name}")).right(format!("OWNERSHIP ON ROLE {}", quote(&name)));
    statements.change(&format!("COMMENT ON ROLE {} IS {}", quote(&name), literal(&comment)), &purpose).await
}

pub(crate) async fn delete(statements: &Statements<'_>, identity: &Attributes) -> Result<(), ProviderError> {
    let name = text(identity, "name");
    let purpose = Purpose::to(format!("drop the role {name}")).right(format!("OWNERSHIP ON ROLE {}", quote(&name)));
    statements.change(&format!("DROP ROLE IF EXISTS {}", quote(&name)), &purpose).await
}

/// True if the instance's role sees every object: it, or a role that it has, has `MANAGE GRANTS`. Without it, even the
/// owner of a container does not see all objects in it.
/// <https://docs.snowflake.com/en/user-guide/security-access-control-privileges>
pub(crate) async fn sees_everything(statements: &Statements<'_>) -> Result<bool, ProviderError> {
    let manages = |row: &Row<'_>| (row.text("privilege"), row.text("granted_on")) == ("MANAGE GRANTS", "ACCOUNT");
    Ok(search_grants(statements, current_role(statements).await?, manages).await? == SearchResult::Found)
}
