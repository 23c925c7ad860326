//! Roles.

use super::{Seen, named};
use crate::attributes::{optional_text, text};
use crate::failure::Need;
use crate::identifier::{literal, pattern, quote};
use crate::statements::Statements;
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

pub(crate) async fn update(statements: &Statements<'_>, planned: &Attributes) -> Result<(), ProviderError> {
    let name = text(planned, "name");
    let comment = literal(&optional_text(planned, "comment").unwrap_or_default());
    let need = Need::to(format!("change the role {name}")).right(format!("OWNERSHIP ON ROLE {}", quote(&name)));
    statements.change(&format!("COMMENT ON ROLE {} IS {comment}", quote(&name)), &need).await
}

pub(crate) async fn delete(statements: &Statements<'_>, identity: &Attributes) -> Result<(), ProviderError> {
    let name = text(identity, "name");
    let need = Need::to(format!("drop the role {name}")).right(format!("OWNERSHIP ON ROLE {}", quote(&name)));
    statements.change(&format!("DROP ROLE IF EXISTS {}", quote(&name)), &need).await
}
