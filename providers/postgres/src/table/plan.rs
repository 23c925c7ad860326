//! What a change of a table would do: the schema's answer, and the data that would be lost.

use super::check;
use super::model::{Column, Table, columns_of};
use crate::attributes::has_unknown;
use crate::data_type::{TypeChange, canonical, change};
use terrace_provider::{DataLoss, PlannedChange, ProposedChange, ProviderError, Value};

/// Plans a table.
///
/// # Errors
/// `InvalidInput` when the configured table is one that the server cannot hold.
pub(crate) fn plan(proposed: &ProposedChange<'_>, mut planned: PlannedChange) -> Result<PlannedChange, ProviderError> {
    if planned.planned.get("columns").is_some_and(Value::has_unknown) {
        // Planned again when they are known, before anything is called.
        return Ok(planned);
    }
    let configured = proposed.config;
    let wanted = Table { columns: columns_of(&planned.planned), ..Table::of(&planned.planned) };
    match has_unknown(configured) {
        true => check::columns(&wanted.columns)?,
        false => check::table(&wanted)?,
    }
    let Some(prior) = proposed.prior else { return Ok(planned) };
    let reasons = losses(&Table::of(&prior.attributes), &wanted);
    if planned.replace_paths.is_empty() && !proposed.must_replace && !reasons.is_empty() {
        planned.data_loss = Some(DataLoss { reasons });
    }
    Ok(planned)
}

/// What goes when a table becomes another, in words.
fn losses(old: &Table, new: &Table) -> Vec<String> {
    let mut reasons = Vec::new();
    for (position, column) in old.columns.iter().enumerate() {
        let successor = |now: &&Column| now.former(&old.columns).is_some_and(|was| was.name == column.name);
        match new.columns.iter().find(successor) {
            Some(now) => reasons.extend(loss(column, now)),
            None => reasons.push(dropped(column, position, &old.columns, &new.columns)),
        }
    }
    // Those that nobody speaks of any more are left alone.
    for partition in old.partitions.iter().flatten().filter(|_| new.partitions.is_some()) {
        if !new.partitions.iter().flatten().any(|now| now.name == partition.name) {
            reasons.push(format!("partition {} is dropped", partition.name));
        }
    }
    reasons
}

fn loss(was: &Column, now: &Column) -> Option<String> {
    let is_computed = now.generated.is_some();
    if was.generated.is_some() && is_computed {
        return None;
    }
    if is_computed {
        return Some(format!("column {} is computed from others: its values go", now.name));
    }
    let narrowed = change(&was.ty, &now.ty) == TypeChange::Narrowing;
    let has_zone = |ty: &str| ty.ends_with("with time zone");
    let (old, new) = (canonical(&was.ty), canonical(&now.ty));
    if has_zone(&new) && !has_zone(&old) && ["date", "time"].iter().any(|begin| old.starts_with(begin)) {
        return Some(format!("column {} gets a time zone: what it holds is taken for UTC", now.name));
    }
    narrowed.then(|| format!("column {} is narrowed from {} to {}", now.name, was.ty, now.ty))
}

fn dropped(column: &Column, position: usize, old: &[Column], new: &[Column]) -> String {
    // Same type, same position: a person who renamed a column sees exactly this.
    let is_likely = |now: &&Column| now.former(old).is_none() && canonical(&now.ty) == canonical(&column.ty);
    match new.get(position).filter(is_likely) {
        Some(now) => format!(
            "column {} is dropped; if {} is its new name, say `previousName: {}`",
            column.name, now.name, column.name
        ),
        None => format!("column {} is dropped", column.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, &str, Option<&str>)]) -> Table {
        let column = |(name, ty, previous): &(&str, &str, Option<&str>)| Column {
            name: (*name).to_owned(),
            ty: (*ty).to_owned(),
            previous_name: previous.map(str::to_owned),
            ..Column::default()
        };
        Table { columns: columns.iter().map(column).collect(), ..Table::default() }
    }

    #[test]
    fn what_goes_is_told() {
        let old = table(&[("a", "int4", None), ("b", "varchar(20)", None), ("c", "text", None)]);
        let told = |new: &[(&str, &str, Option<&str>)]| losses(&old, &table(new));
        assert!(told(&[("c", "text", None), ("a", "bigint", None), ("bb", "text", Some("b"))]).is_empty());
        assert_eq!(
            told(&[("a", "smallint", None), ("x", "character varying(20)", None), ("c", "text", None)]),
            [
                "column a is narrowed from int4 to smallint",
                "column b is dropped; if x is its new name, say `previousName: b`"
            ]
        );
        assert_eq!(told(&[("a", "int", None), ("b", "varchar(20)", None)]), ["column c is dropped"]);
        let (old, new) = (table(&[("t", "timestamp(3)", None)]), table(&[("t", "timestamptz", None)]));
        assert_eq!(losses(&old, &new), ["column t gets a time zone: what it holds is taken for UTC"]);
    }
}
