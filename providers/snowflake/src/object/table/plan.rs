//! Plans of table changes: the default plan, changes that Snowflake cannot make in place, and the data that is lost.

use super::{Column, Table, former};
use crate::data_type::{DataType, TypeChange};
use terrace_provider::renames::PREVIOUS_NAME;
use terrace_provider::{DataLoss, Path, PlannedChange, ProposedChange, ProviderError, Recorded, Value};

/// The prior table under its new name. `None` without a rename.
pub(crate) fn renamed(change: &ProposedChange<'_>) -> Option<Recorded> {
    let prior = change.prior?;
    let name = change.config.get("name").filter(|name| name.as_str().is_some())?;
    let previous = change.config.get(PREVIOUS_NAME).and_then(Value::as_str)?;
    if prior.text("name") != Some(previous) || name.as_str() == Some(previous) {
        return None;
    }
    let mut renamed = prior.clone();
    renamed.attributes.insert("name".to_owned(), name.clone());
    Some(renamed)
}

/// Plans a table.
///
/// # Errors
/// `InvalidInput` if Snowflake cannot store the configured table, or cannot change the present one to it.
pub(crate) fn plan(change: &ProposedChange<'_>, mut planned: PlannedChange) -> Result<PlannedChange, ProviderError> {
    if planned.planned.get("columns").is_some_and(Value::has_unknown) {
        // The engine plans again when they are known, before any call.
        return Ok(planned);
    }
    let configured = ["primaryKey", "unique", "comment"];
    let is_unknown = |name: &str| planned.planned.get(name).is_some_and(Value::has_unknown);
    let wanted = match configured.iter().any(|name| is_unknown(name)) {
        true => Table::columns_of(&planned.planned)?,
        false => Table::from_attributes(&planned.planned)?.columns,
    };
    // A column of an unsupported type can be dropped or kept like any other.
    let Some(old) = change.prior.map(|prior| Table::columns_as_read(&prior.attributes)) else {
        return Ok(planned);
    };
    if !planned.replace_paths.is_empty() || change.must_replace {
        return Ok(planned);
    }
    let mut reasons = Vec::new();
    for (index, (column, former)) in wanted.iter().zip(former(&wanted, &old)).enumerate() {
        let Some(former) = former else { continue };
        match change_of(former, column) {
            TypeChange::Same | TypeChange::Widens => {}
            TypeChange::Narrows => {
                reasons.push(format!("column {} is narrowed from {} to {}", column.name, former.ty, column.ty));
            }
            TypeChange::Impossible => {
                let place = Path::attribute("columns").index(index).key("type");
                let message = format!(
                    "Snowflake cannot make the column {} of type {} one of type {} in place",
                    column.name, former.ty, column.ty
                );
                return Err(ProviderError::invalid(Some(place), message).solution(
                    "it needs a new column (copy the values, then drop the old one), or `--replace` for a new, empty table",
                ));
            }
        }
    }
    reasons.extend(dropped(&old, &wanted));
    if !reasons.is_empty() {
        planned.data_loss = Some(DataLoss { reasons });
    }
    Ok(planned)
}

fn change_of(old: &Column, new: &Column) -> TypeChange {
    match (DataType::parse(&old.ty), DataType::parse(&new.ty)) {
        (Ok(old), Ok(new)) => old.change_to(&new),
        // An unsupported type stays.
        _ if old.ty == new.ty => TypeChange::Same,
        _ => TypeChange::Impossible,
    }
}

/// The dropped columns, in words.
fn dropped(old: &[Column], new: &[Column]) -> Vec<String> {
    let mut reasons = Vec::new();
    let new: Vec<_> = new.iter().zip(former(new, old)).collect();
    for (position, column) in old.iter().enumerate() {
        if new.iter().any(|(_, was)| was.is_some_and(|was| was.name == column.name)) {
            continue;
        }
        // Same type and position: the usual result of a rename without `previousName`.
        let is_likely =
            |(now, was): &&(&Column, Option<&Column>)| was.is_none() && crate::data_type::is_same(&now.ty, &column.ty);
        reasons.push(match new.get(position).filter(is_likely) {
            Some((now, _)) => format!(
                "column {} is dropped; if {} is its new name, set `previousName: {}`",
                column.name, now.name, column.name
            ),
            None => format!("column {} is dropped", column.name),
        });
    }
    reasons
}
