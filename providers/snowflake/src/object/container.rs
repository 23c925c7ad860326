//! Databases and schemas.

use super::{Kind, Observation, named, new_comment, qualified, role, shown};
use crate::failure::Purpose;
use crate::identifier::{literal, pattern, quote};
use crate::statements::Statements;
use std::fmt::Write as _;
use terrace_provider::attributes::{flag, optional_text, text};
use terrace_provider::{Attributes, DataAmount, Path, ProviderError, Value};

fn word(kind: Kind) -> &'static str {
    if kind == Kind::Database { "DATABASE" } else { "SCHEMA" }
}

fn days(attributes: &Attributes) -> Option<i64> {
    attributes.get("retentionDays").and_then(Value::as_int)
}

/// Refuses invalid retention times.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    match days(attributes) {
        Some(days) if !(0..=90).contains(&days) => {
            let message = format!("a history is kept for 0 to 90 days, not for {days}");
            Err(ProviderError::invalid(Some(Path::attribute("retentionDays")), message))
        }
        _ => Ok(()),
    }
}

pub(crate) async fn observe(
    statements: &Statements<'_>,
    kind: Kind,
    identity: &Attributes,
    like: Option<&Attributes>,
) -> Result<Option<Observation>, ProviderError> {
    let name = text(identity, "name");
    let sql = match kind {
        Kind::Database => format!("SHOW DATABASES LIKE {}", pattern(&name)),
        _ => format!("SHOW SCHEMAS LIKE {} IN DATABASE {}", pattern(&name), quote(&text(identity, "database"))),
    };
    let Some(rows) = statements.read_optional(&sql).await? else { return Ok(None) };
    let Some(row) = named(&rows, &name) else { return Ok(None) };
    let mut observation = Observation::of_row(&row).with_comment(row.text("comment"), like);
    if let Ok(days) = row.text("retention_time").parse::<i64>() {
        observation = observation.with("retentionDays", days);
    }
    let is_transient = row.text("options").split(',').any(|option| option.trim() == "TRANSIENT");
    Ok(Some(observation.with("transient", is_transient)))
}

pub(crate) async fn create(
    statements: &Statements<'_>,
    kind: Kind,
    planned: &Attributes,
    id: &str,
) -> Result<(), ProviderError> {
    let transient = if flag(planned, "transient") { "TRANSIENT " } else { "" };
    let mut sql = format!("CREATE {transient}{} {}", word(kind), qualified(planned));
    // Writing to a string cannot fail.
    if let Some(days) = days(planned) {
        let _ = write!(sql, " DATA_RETENTION_TIME_IN_DAYS = {days}");
    }
    if let Some(comment) = optional_text(planned, "comment") {
        let _ = write!(sql, " COMMENT = {}", literal(&comment));
    }
    let purpose = Purpose::to(format!("create the {} {}", word(kind).to_lowercase(), shown(planned))).creates(id);
    let purpose = match kind {
        Kind::Database => purpose.right("CREATE DATABASE ON ACCOUNT"),
        _ => {
            let database = quote(&text(planned, "database"));
            purpose
                .right(format!("USAGE ON DATABASE {database}"))
                .right(format!("CREATE SCHEMA ON DATABASE {database}"))
        }
    };
    statements.change(&sql, &purpose).await
}

pub(crate) async fn update(
    statements: &Statements<'_>,
    kind: Kind,
    present: &Observation,
    prior: &Attributes,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let (word, name) = (word(kind), qualified(planned));
    let purpose = Purpose::to(format!("change the {} {}", word.to_lowercase(), shown(planned)))
        .right(format!("OWNERSHIP ON {word} {name}"));
    // An unconfigured value is planned as recorded: a schema without its own days follows its database.
    let is_wanted = |wanted: &i64| days(prior) != Some(*wanted) && days_of(present) != Some(*wanted);
    if let Some(days) = days(planned).filter(is_wanted) {
        statements.change(&format!("ALTER {word} {name} SET DATA_RETENTION_TIME_IN_DAYS = {days}"), &purpose).await?;
    }
    if let Some(comment) = new_comment(present, prior, planned) {
        statements.change(&format!("COMMENT ON {word} {name} IS {}", literal(&comment)), &purpose).await?;
    }
    Ok(())
}

fn days_of(observation: &Observation) -> Option<i64> {
    days(&observation.attributes)
}

/// Drops a database or a schema. Snowflake drops its tables and views with it even with `RESTRICT`, which considers
/// only foreign keys. So a call that may not remove data checks for tables and views first.
pub(crate) async fn delete(
    statements: &Statements<'_>,
    kind: Kind,
    identity: &Attributes,
    removes_data: bool,
) -> Result<(), ProviderError> {
    let (word, name) = (word(kind), qualified(identity));
    if !removes_data && let DataAmount::Some { text, .. } = count(statements, kind, identity).await? {
        let what = word.to_lowercase();
        let message = format!("the {what} {} holds {text}, which would be dropped with it", shown(identity));
        return Err(ProviderError::invalid(None, message)
            .solution(format!("move or drop the content of the {what}, then plan and apply again")));
    }
    let purpose = Purpose::to(format!("drop the {} {}", word.to_lowercase(), shown(identity)))
        .right(format!("OWNERSHIP ON {word} {name}"));
    statements.change(&format!("DROP {word} IF EXISTS {name}"), &purpose).await
}

/// The number of tables and views. Snowflake hides objects from the role: zero is certain only for a role that sees
/// everything.
pub(crate) async fn count(
    statements: &Statements<'_>,
    kind: Kind,
    identity: &Attributes,
) -> Result<DataAmount, ProviderError> {
    let mut found = 0;
    for what in ["TABLES", "VIEWS"] {
        let sql = format!("SHOW {what} IN {} {}", word(kind), qualified(identity));
        let Some(rows) = statements.read_optional(&sql).await? else { return Ok(DataAmount::Unknown) };
        found += rows.iter().filter(|row| row.get("schema_name") != Some("INFORMATION_SCHEMA")).count() as u64;
    }
    let amount = DataAmount::of(found, "table or view", "tables and views");
    if role::sees_everything(statements).await? {
        return Ok(amount);
    }
    Ok(match amount {
        DataAmount::Some { count, text } => DataAmount::Some { count, text: format!("at least {text}") },
        DataAmount::Empty | DataAmount::Unknown => DataAmount::Unknown,
    })
}
