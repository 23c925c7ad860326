//! What a change of a table would do: the schema's answer, and the data that would be lost.

use super::{Column, Table};
use crate::declared_type::is_narrower;
use crate::identifier::is_same;
use terrace_provider::{DataLoss, PlannedChange, ProposedChange, ProviderError, Value};

/// Plans a table.
///
/// # Errors
/// `InvalidInput` when the configured table is one that SQLite cannot hold.
pub(crate) fn plan(change: &ProposedChange<'_>, mut planned: PlannedChange) -> Result<PlannedChange, ProviderError> {
    if planned.planned.get("columns").is_some_and(Value::has_unknown) {
        // Planned again when they are known, before anything is called.
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

/// What goes when the columns of a table become others, in words.
fn losses(old: &[Column], new: &[Column]) -> Vec<String> {
    let mut reasons = Vec::new();
    for (position, column) in old.iter().enumerate() {
        let successor = new.iter().find(|now| now.former(old).is_some_and(|was| is_same(&was.name, &column.name)));
        match successor {
            Some(now) if is_narrower(&now.ty, &column.ty) => {
                reasons.push(format!("column {} is narrowed from {} to {}", now.name, column.ty, now.ty));
            }
            Some(_) => {}
            None => {
                // Same type, same position: a person who renamed a column sees exactly this.
                let likely = new
                    .get(position)
                    .filter(|now| now.former(old).is_none() && crate::declared_type::is_same(&now.ty, &column.ty));
                reasons.push(match likely {
                    Some(now) => format!(
                        "column {} is dropped; if {} is its new name, say `previousName: {}`",
                        column.name, now.name, column.name
                    ),
                    None => format!("column {} is dropped", column.name),
                });
            }
        }
    }
    reasons
}
