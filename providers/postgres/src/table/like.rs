//! Existing tables in the spelling of the configuration.

use super::model::{Check, Column, ForeignKey, Key, Partition, Partitioning, Table};
use super::present::{Present, PresentColumn, PresentConstraint, read};
use crate::attributes::put;
use crate::data_type::{DataType, canonical};
use crate::error::Failure;
use crate::expression::{self, is_alike};
use crate::observation::{Observation, ReadRequest};
use crate::private::Memory;
use crate::server::Client;
use terrace_provider::Value;
use terrace_provider::renames::{self, PREVIOUS_NAME};

/// Reads tables.
pub(crate) async fn observe(client: &Client, wanted: &[ReadRequest]) -> Result<Vec<Option<Observation>>, Failure> {
    let targets: Vec<_> = wanted.iter().map(|wanted| wanted.target.clone()).collect();
    let present = read(client, &targets).await?;
    Ok(present.into_iter().zip(wanted).map(|(present, wanted)| Some(observation(present?, wanted))).collect())
}

/// Reads a table that was just created as planned, and learns the server's texts.
pub(crate) async fn read_created(client: &Client, wanted: &ReadRequest) -> Result<Option<Observation>, Failure> {
    let present = read(client, std::slice::from_ref(&wanted.target)).await?.into_iter().flatten().next();
    Ok(present.map(|present| {
        let mut wanted = wanted.clone();
        if let Some(like) = &wanted.like {
            learn_words(&present, &Table::of(like), &mut wanted.memory);
        }
        observation(present, &wanted)
    }))
}

fn observation(present: Present, wanted: &ReadRequest) -> Observation {
    let mut memory = wanted.memory.clone();
    let like = wanted.like.as_ref().map(Table::of);
    let table = project(&present, like.as_ref(), wanted.target.name(1), &mut memory);
    let mut attributes = table.to_attributes();
    attributes.insert("oid".to_owned(), Value::Int(present.oid));
    put(&mut attributes, PREVIOUS_NAME, wanted.text(PREVIOUS_NAME).as_deref());
    Observation { attributes, mark: present.mark, memory }
}

/// Learns the server's texts of a table that was just created as wanted.
pub(super) fn learn_words(present: &Present, wanted: &Table, memory: &mut Memory) {
    for column in &wanted.columns {
        let Some(present) = present.column(&column.name) else { continue };
        if canonical(&column.ty) != present.ty {
            memory.learn(&column.ty, &present.ty);
        }
        let pairs = [(&column.default, &present.default), (&column.generated, &present.generated)];
        for (wanted, present) in pairs {
            if let (Some(wanted), Some(present)) = (wanted, present) {
                memory.learn(wanted, present);
            }
        }
    }
    let mut free: Vec<&PresentConstraint> = present.constraints("c").collect();
    let mut open: Vec<&Check> = Vec::new();
    for check in &wanted.checks {
        let is_this = |present: &PresentConstraint| match &check.name {
            Some(name) => present.name == *name,
            None => present.expression.as_deref().is_some_and(|it| is_alike(&check.expression, it)),
        };
        match free.iter().position(|present| is_this(present)) {
            Some(at) => learn_check(check, free.remove(at), memory),
            None => open.push(check),
        }
    }
    // The remaining ones were created in this order.
    for (check, present) in open.into_iter().zip(free) {
        learn_check(check, present, memory);
    }
    for (wanted, present) in wanted
        .partitions
        .iter()
        .flatten()
        .filter_map(|wanted| Some((wanted, present.partitions.iter().find(|present| present.is(&wanted.name))?)))
    {
        memory.learn(&wanted.bounds, &present.bounds);
    }
}

fn learn_check(check: &Check, present: &PresentConstraint, memory: &mut Memory) {
    if let Some(expression) = &present.expression {
        memory.learn(&check.expression, expression);
    }
}

/// True if the server's text is its form of the configured text. Learns texts that are obviously alike.
pub(crate) fn is_same(configured: &str, server: &str, memory: &mut Memory) -> bool {
    if memory.knows(configured, server) {
        return true;
    }
    let is_alike = !memory.has(configured) && is_alike(configured, server);
    if is_alike {
        memory.learn(configured, server);
    }
    is_alike
}

/// True if the configured type is the server's type.
pub(super) fn is_same_type(configured: &str, server: &str, memory: &Memory) -> bool {
    canonical(configured) == server || memory.knows(configured, server)
}

/// The table as attributes, in the spelling of `like`; without it, all attributes.
pub(super) fn project(present: &Present, like: Option<&Table>, schema: &str, memory: &mut Memory) -> Table {
    let primary: Option<&PresentConstraint> = present.constraints("p").next();
    let empty = Table::default();
    let managed = like.unwrap_or(&empty);
    let mut table = Table { schema: schema.to_owned(), ..Table::default() };
    let is_forced = |name: &str| primary.is_some_and(|key| key.columns.iter().any(|column| column == name));
    // In the order of the configuration: the server cannot move a column.
    let is_renamed = |previous: &str| {
        renames::is_done(previous, |name| present.column(name).is_some(), |name| managed.column(name).is_some())
    };
    for column in &managed.columns {
        if let Some(present) = present.column(&column.name) {
            let mut column = column_like(present, Some(column), is_forced(&column.name), memory);
            column.previous_name = column.previous_name.filter(|previous| is_renamed(previous));
            table.columns.push(column);
        }
    }
    for column in present.columns.iter().filter(|column| managed.column(&column.name).is_none()) {
        table.columns.push(column_like(column, None, is_forced(&column.name), memory));
    }
    table.primary_key = primary.map(|key| {
        let configured = managed.primary_key.as_ref();
        let name = configured.is_none_or(|key| key.name.is_some()).then(|| key.name.clone());
        Key { name, columns: key.columns.clone() }
    });
    let key_of =
        |present: &PresentConstraint| Key { name: Some(present.name.clone()), columns: present.columns.clone() };
    let is_key = |key: &Key, present: &PresentConstraint, _: &mut Memory| key.columns == present.columns;
    table.unique =
        matched(&managed.unique, present.constraints("u"), |key| key.name.as_deref(), is_key, key_of, memory);
    let foreign_key_of = |present: &PresentConstraint| foreign_key(present, schema);
    let is_foreign_key = |key: &ForeignKey, present: &PresentConstraint, _: &mut Memory| {
        let found = foreign_key(present, schema);
        let other = |key: &ForeignKey| key.schema.clone().unwrap_or_else(|| schema.to_owned());
        other(key) == other(&found)
            && ForeignKey { name: None, schema: None, ..key.clone() }
                == ForeignKey { name: None, schema: None, ..found }
    };
    let name = |key: &ForeignKey| key.name.clone();
    table.foreign_keys =
        matched_named(&managed.foreign_keys, present.constraints("f"), name, is_foreign_key, foreign_key_of, memory);
    let check_of = |present: &PresentConstraint| Check {
        name: Some(present.name.clone()),
        expression: present.expression.clone().unwrap_or_default(),
    };
    let is_check = |check: &Check, present: &PresentConstraint, memory: &mut Memory| {
        present.expression.as_deref().is_some_and(|expression| is_same(&check.expression, expression, memory))
    };
    let name = |check: &Check| check.name.clone();
    table.checks = matched_named(&managed.checks, present.constraints("c"), name, is_check, check_of, memory);
    table.partition_by = present.partition_by.as_ref().map(|partitioning| Partitioning {
        strategy: match partitioning.strategy.as_str() {
            "r" => "range",
            "l" => "list",
            _ => "hash",
        }
        .to_owned(),
        columns: partitioning
            .columns
            .iter()
            .map(|name| name.clone().unwrap_or_else(|| "(expression)".to_owned()))
            .collect(),
    });
    table.partitions = partitions(present, like, memory);
    table.comment = present.comment.clone().filter(|_| like.is_none_or(|like| like.comment.is_some()));
    table
}

fn partitions(present: &Present, like: Option<&Table>, memory: &mut Memory) -> Option<Vec<Partition>> {
    let plain = |name: String, bounds: &String| Partition { name, bounds: bounds.clone() };
    let Some(like) = like else {
        let all: Vec<_> = present.partitions.iter().map(|it| plain(it.shown(), &it.bounds)).collect();
        return (!all.is_empty()).then_some(all);
    };
    let managed = like.partitions.as_ref()?;
    let mut found = Vec::new();
    for wanted in managed {
        if let Some(present) = present.partitions.iter().find(|it| it.is(&wanted.name)) {
            let is_same = is_same(&wanted.bounds, &present.bounds, memory);
            found.push(plain(present.shown(), if is_same { &wanted.bounds } else { &present.bounds }));
        }
    }
    let others = present.partitions.iter().filter(|it| !managed.iter().any(|wanted| it.is(&wanted.name)));
    found.extend(others.map(|it| plain(it.shown(), &it.bounds)));
    Some(found)
}

fn column_like(present: &PresentColumn, like: Option<&Column>, is_forced: bool, memory: &mut Memory) -> Column {
    let identity = match present.identity.as_str() {
        "a" => Some("always".to_owned()),
        "d" => Some("byDefault".to_owned()),
        _ => None,
    };
    let mut column = Column {
        name: present.name.clone(),
        ty: present.ty.clone(),
        is_nullable: !present.not_null,
        default: present.default.clone(),
        identity,
        generated: present.generated.clone(),
        comment: present.comment.clone(),
        previous_name: None,
    };
    let serial = match (present.has_sequence, present.ty.as_str()) {
        (true, "smallint") => Some("smallserial"),
        (true, "integer") => Some("serial"),
        (true, "bigint") => Some("bigserial"),
        _ => None,
    };
    let Some(like) = like else {
        if let Some(serial) = serial {
            serial.clone_into(&mut column.ty);
            column.default = None;
        }
        return column;
    };
    let is_serial = serial.is_some() && DataType::parse(&like.ty).is_some_and(|ty| ty.is_serial);
    if is_same_type(&like.ty, &present.ty, memory) && is_serial == is_serial_type(&like.ty) {
        column.ty.clone_from(&like.ty);
    }
    if is_serial {
        column.default = None;
    }
    for (configured, found) in [(&like.default, &mut column.default), (&like.generated, &mut column.generated)] {
        if let (Some(configured), Some(server)) = (configured, found.as_deref())
            && is_same(configured, server, memory)
        {
            *found = Some(configured.clone());
        }
    }
    // The server stores no default of NULL, except for a column whose type is a domain.
    if column.default.is_none() && !present.is_domain && column.generated.is_none() {
        column.default = like.default.clone().filter(|default| expression::is_null(default));
    }
    // Columns of a key and identity columns are never nullable, regardless of the configuration.
    if is_forced || is_serial || column.identity.is_some() {
        column.is_nullable = like.is_nullable;
    }
    column.comment = column.comment.filter(|_| like.comment.is_some());
    column.previous_name.clone_from(&like.previous_name);
    column
}

fn is_serial_type(ty: &str) -> bool {
    DataType::parse(ty).is_some_and(|ty| ty.is_serial)
}

pub(super) fn foreign_key(present: &PresentConstraint, own_schema: &str) -> ForeignKey {
    let action = |letter: &str| {
        match letter {
            "r" => "restrict",
            "c" => "cascade",
            "n" => "setNull",
            "d" => "setDefault",
            _ => "noAction",
        }
        .to_owned()
    };
    ForeignKey {
        name: Some(present.name.clone()),
        columns: present.columns.clone(),
        schema: present.schema.clone().filter(|schema| schema != own_schema),
        table: present.table.clone().unwrap_or_default(),
        references: present.references.clone(),
        on_delete: action(&present.on_delete),
        on_update: action(&present.on_update),
    }
}

fn matched<'p>(
    configured: &[Key],
    present: impl Iterator<Item = &'p PresentConstraint>,
    name: impl Fn(&Key) -> Option<&str>,
    is_same: impl Fn(&Key, &PresentConstraint, &mut Memory) -> bool,
    of: impl Fn(&PresentConstraint) -> Key,
    memory: &mut Memory,
) -> Vec<Key> {
    matched_named(configured, present, |key| name(key).map(str::to_owned), is_same, of, memory)
}

/// The configured items that exist, in configured form and order; then the other existing items.
pub(super) fn matched_named<'p, T: Clone>(
    configured: &[T],
    present: impl Iterator<Item = &'p PresentConstraint>,
    name: impl Fn(&T) -> Option<String>,
    is_same: impl Fn(&T, &PresentConstraint, &mut Memory) -> bool,
    of: impl Fn(&PresentConstraint) -> T,
    memory: &mut Memory,
) -> Vec<T> {
    let mut free: Vec<&PresentConstraint> = present.collect();
    let mut found = Vec::new();
    for wanted in configured {
        let name = name(wanted);
        let is_this = |it: &PresentConstraint, memory: &mut Memory| {
            name.as_ref().is_none_or(|name| *name == it.name) && is_same(wanted, it, memory)
        };
        if let Some(at) = free.iter().position(|it| is_this(it, memory)) {
            free.remove(at);
            found.push(wanted.clone());
        }
    }
    found.extend(free.into_iter().map(of));
    found
}
