//! Plans of table changes: the default plan, and the data that the change would lose.

use super::check;
use super::model::{Column, Partitioning, Table, columns_of, former};
use crate::attributes::{has_unknown, optional_text, put};
use crate::data_type::{TypeChange, canonical, change};
use terrace_provider::renames::PREVIOUS_NAME;
use terrace_provider::{DataLoss, Path, PlannedChange, ProposedChange, ProviderError, Recorded, Value};

/// The prior table under its new names, so that attributes that only follow a rename are unchanged. `None` without renames.
pub(crate) fn renamed(proposed: &ProposedChange<'_>) -> Option<Recorded> {
    let prior = proposed.prior?;
    let mut renamed = prior.clone();
    let name = optional_text(proposed.config, "name");
    if name.is_some() && optional_text(proposed.config, PREVIOUS_NAME).as_deref() == prior.text("name") {
        put(&mut renamed.attributes, "name", name.as_deref());
    }
    let was = Table::of(&prior.attributes);
    if !proposed.config.get("columns").is_some_and(Value::has_unknown)
        && let Some(partitioning) = &was.partition_by
    {
        let columns = columns_of(proposed.config);
        let now: Vec<_> = former(&columns, &was.columns).into_iter().zip(&columns).collect();
        let name = |column: &String| {
            let now = now.iter().find(|(was, _)| was.is_some_and(|was| was.name == *column));
            now.map_or_else(|| column.clone(), |(_, now)| now.name.clone())
        };
        let columns = partitioning.columns.iter().map(name).collect();
        let partitioning = Partitioning { columns, ..partitioning.clone() };
        renamed.attributes.insert("partitionBy".to_owned(), partitioning.to_value());
    }
    (renamed.attributes != prior.attributes).then_some(renamed)
}

/// Plans a table.
///
/// # Errors
/// `InvalidInput` if the server cannot store the configured table.
pub(crate) fn plan(proposed: &ProposedChange<'_>, mut planned: PlannedChange) -> Result<PlannedChange, ProviderError> {
    if planned.planned.get("columns").is_some_and(Value::has_unknown) {
        // The engine plans again when they are known, before any call.
        return Ok(planned);
    }
    let configured = proposed.config;
    let wanted = Table { columns: columns_of(&planned.planned), ..Table::of(&planned.planned) };
    match has_unknown(configured) {
        true => check::columns(&wanted.columns)?,
        false => check::table(&wanted)?,
    }
    let Some(prior) = proposed.prior else { return Ok(planned) };
    if !planned.replace_paths.is_empty() || proposed.must_replace {
        return Ok(planned);
    }
    let was = Table::of(&prior.attributes);
    check_partition_key(&was, &wanted)?;
    let reasons = losses(&was, &wanted);
    if !reasons.is_empty() {
        planned.data_loss = Some(DataLoss { reasons });
    }
    Ok(planned)
}

/// Refuses a type change of a partition key column, which the server does not support.
fn check_partition_key(old: &Table, new: &Table) -> Result<(), ProviderError> {
    let Some(partitioning) = &new.partition_by else { return Ok(()) };
    for (index, (column, was)) in new.columns.iter().zip(former(&new.columns, &old.columns)).enumerate() {
        let Some(was) = was.filter(|_| partitioning.columns.contains(&column.name)) else { continue };
        if change(&was.ty, &column.ty) != TypeChange::Same {
            let path = Path::attribute("columns").index(index).key("type");
            let message = format!(
                "the type of the column `{}` cannot change from {} to {}: the table is partitioned by it",
                column.name, was.ty, column.ty
            );
            return Err(ProviderError::invalid(Some(path), message)
                .solution("keep the type, or apply with `--replace` for a new, empty table"));
        }
    }
    Ok(())
}

/// The data that a change loses, in words.
fn losses(old: &Table, new: &Table) -> Vec<String> {
    let mut reasons = Vec::new();
    let former = former(&new.columns, &old.columns);
    let with_former: Vec<_> = new.columns.iter().zip(former).collect();
    for (position, column) in old.columns.iter().enumerate() {
        let successor = with_former.iter().find(|(_, was)| was.is_some_and(|was| was.name == column.name));
        match successor {
            Some((now, _)) => reasons.extend(loss(column, now)),
            None => reasons.push(dropped(column, with_former.get(position))),
        }
    }
    // Unmanaged partitions stay.
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
        return Some(format!("column {} becomes a computed column: its values are lost", now.name));
    }
    let narrowed = change(&was.ty, &now.ty) == TypeChange::Narrowing;
    let has_zone = |ty: &str| ty.ends_with("with time zone");
    let (old, new) = (canonical(&was.ty), canonical(&now.ty));
    if has_zone(&new) && !has_zone(&old) && ["date", "time"].iter().any(|begin| old.starts_with(begin)) {
        return Some(format!("column {} gets a time zone: its values are read as UTC", now.name));
    }
    narrowed.then(|| format!("column {} is narrowed from {} to {}", now.name, was.ty, now.ty))
}

/// `in_its_place` is the new column at the same position, with its former column.
fn dropped(column: &Column, in_its_place: Option<&(&Column, Option<&Column>)>) -> String {
    // Same type and position: the usual result of a rename without `previousName`.
    match in_its_place.filter(|(now, was)| was.is_none() && canonical(&now.ty) == canonical(&column.ty)) {
        Some((now, _)) => format!(
            "column {} is dropped; if {} is its new name, set `previousName: {}`",
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
    fn lost_data_is_reported() {
        let old = table(&[("a", "int4", None), ("b", "varchar(20)", None), ("c", "text", None)]);
        let lost = |new: &[(&str, &str, Option<&str>)]| losses(&old, &table(new));
        assert!(lost(&[("c", "text", None), ("a", "bigint", None), ("bb", "text", Some("b"))]).is_empty());
        assert_eq!(
            lost(&[("a", "smallint", None), ("x", "character varying(20)", None), ("c", "text", None)]),
            [
                "column a is narrowed from int4 to smallint",
                "column b is dropped; if x is its new name, set `previousName: b`"
            ]
        );
        assert_eq!(lost(&[("a", "int", None), ("b", "varchar(20)", None)]), ["column c is dropped"]);
        assert!(lost(&[("b", "int", Some("a")), ("c", "varchar(20)", Some("b")), ("d", "text", Some("c"))]).is_empty());
        assert_eq!(
            lost(&[("c", "text", None), ("b", "int2", Some("a")), ("a", "text", Some("b"))]),
            ["column b is narrowed from int4 to int2"]
        );
        let (old, new) = (table(&[("t", "timestamp(3)", None)]), table(&[("t", "timestamptz", None)]));
        assert_eq!(losses(&old, &new), ["column t gets a time zone: its values are read as UTC"]);
    }
}
