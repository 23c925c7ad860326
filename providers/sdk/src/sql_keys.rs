//! Keys of SQL tables.

use crate::names::listed;
use crate::{Path, ProviderError};

/// Refuses a key with an unknown column, or with a column twice.
///
/// # Errors
/// `InvalidInput` at the column, with the columns of the table.
pub fn check_key(
    columns: &[&str],
    key: &[String],
    path: &Path,
    is_same: fn(&str, &str) -> bool,
) -> Result<(), ProviderError> {
    for (index, name) in key.iter().enumerate() {
        let place = Some(path.index(index));
        if !columns.iter().any(|column| is_same(column, name)) {
            return Err(ProviderError::invalid(place, format!("the table has no column `{name}`"))
                .problem(format!("its columns are {}", listed(columns)))
                .did_you_mean(name, columns));
        }
        if key.iter().take(index).any(|other| is_same(other, name)) {
            return Err(ProviderError::invalid(place, format!("`{name}` is listed twice")));
        }
    }
    Ok(())
}
