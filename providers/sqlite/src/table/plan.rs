//! Plans a change of a table: the result of the schema, and the data loss.

use super::{Column, Table, former};
use crate::declared_type::is_narrower;
use terrace_provider::renames::PREVIOUS_NAME;
use terrace_provider::{DataLoss, PlannedChange, ProposedChange, ProviderError, Recorded, Value};

/// The prior table with its new name; `None` without a rename.
pub(crate) fn renamed(change: &ProposedChange<'_>) -> Option<Recorded> {
    let prior = change.prior?;
    let name = change.config.get("name").filter(|name| name.as_str().is_some())?;
    let previous = change.config.get(PREVIOUS_NAME).and_then(Value::as_str)?;
    // The same comparison as in the schema.
    let is_same = |one: Option<&str>| one.is_some_and(|one| one.eq_ignore_ascii_case(previous));
    if !is_same(prior.text("name")) || is_same(name.as_str()) {
        return None;
    }
    let mut renamed = prior.clone();
    renamed.attributes.insert("name".to_owned(), name.clone());
    Some(renamed)
}

/// Plans a table.
///
/// # Errors
///
/// `InvalidInput` if SQLite cannot store the configured table.
pub(crate) fn plan(change: &ProposedChange<'_>, mut planned: PlannedChange) -> Result<PlannedChange, ProviderError> {
    if planned.planned.get("columns").is_some_and(Value::has_unknown) {
        // It is planned again before any call, when the columns are known.
        return Ok(planned);
    }
    let wanted = match planned.planned.values().any(Value::has_unknown) {
        true => Table::columns_of(&planned.planned)?,
        false => Table::from_attributes(&planned.planned)?.columns,
    };
    let Some(old) = change.prior.and_then(|prior| Table::columns_of(&prior.attributes).ok()) else {
        return Ok(planned);
    };
    let reasons = losses(&old, &wanted);
    if planned.replace_paths.is_empty() && !change.must_replace && !reasons.is_empty() {
        planned.data_loss = Some(DataLoss { reasons });
    }
    Ok(planned)
}

/// Describes the data that a change of columns loses.
fn losses(old: &[Column], new: &[Column]) -> Vec<String> {
    let mut reasons = Vec::new();
    let new: Vec<_> = new.iter().zip(former(new, old)).collect();
    for (position, column) in old.iter().enumerate() {
        let successor = new.iter().find(|(_, was)| was.is_some_and(|was| was.name == column.name));
        match successor {
            Some((now, _)) if is_narrower(&now.ty, &column.ty) => {
                reasons.push(format!("column {} is narrowed from {} to {}", now.name, column.ty, now.ty));
            }
            Some(_) => {}
            None => {
                // Same type and position: the usual result of a rename without `previousName`.
                let is_likely = |(now, was): &&(&Column, Option<&Column>)| {
                    was.is_none() && crate::declared_type::is_same(&now.ty, &column.ty)
                };
                reasons.push(match new.get(position).filter(is_likely) {
                    Some((now, _)) => format!(
                        "column {} is dropped; if {} is its new name, set `previousName: {}`",
                        column.name, now.name, column.name
                    ),
                    None => format!("column {} is dropped", column.name),
                });
            }
        }
    }
    reasons
}
