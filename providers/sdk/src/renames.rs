//! What columns of a table were called before.

/// The entry of an item of a list, such as a column of a table, that says which name it had before: it is renamed, and plans
/// show it so.
pub const PREVIOUS_NAME: &str = "previousName";

/// Of columns, each with its former name where it had one, the first whose former name cannot be, and why: it is a column
/// still, or another column's former name. Names are the same where the system says so.
pub fn wrong<'a>(
    columns: &[(&'a str, Option<&'a str>)],
    is_same: impl Fn(&str, &str) -> bool,
) -> Option<(usize, String)> {
    columns.iter().enumerate().find_map(|(index, (_, former))| {
        let former = (*former)?;
        if columns.iter().any(|(name, _)| is_same(name, former)) {
            let message = format!("`{former}` is still a column of the table, so nothing was renamed from it");
            return Some((index, message));
        }
        let mut before = columns.iter().take(index).filter_map(|(_, former)| *former);
        let message = || format!("another column was `{former}` already: only one can be renamed from it");
        before.any(|other| is_same(other, former)).then(|| (index, message()))
    })
}
