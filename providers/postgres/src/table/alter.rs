//! Statements that change a table into the wanted one.

use super::ddl;
use super::like::{is_same, is_same_type};
use super::model::{Column, Table, former};
use super::present::{Present, PresentColumn, PresentConstraint};
use crate::data_type::{DataType, TypeChange, change};
use crate::error::Failure;
use crate::identifier::{literal, literal_or_null, qualified, quote};
use crate::private::Memory;
use crate::script::Script;
use terrace_provider::{Path, ProviderError, renames};

/// The statements of a change in order, and the columns whose views are dropped meanwhile.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Run first.
    pub(super) drop_constraints: Vec<Script>,
    /// Drops of columns and expressions, while dependent views are dropped.
    pub(super) drops: Vec<Script>,
    /// Changes of columns, after the drops.
    pub(super) columns: Vec<Script>,
    /// New computed columns, after the changes of their source columns.
    pub(super) computed: Vec<Script>,
    /// Run last, with the final columns.
    pub(super) rest: Vec<Script>,
    /// The names of dropped constraints.
    pub(super) dropped_constraints: Vec<String>,
    /// The numbers of columns whose type changes.
    pub(super) altered: Vec<i16>,
    /// The numbers of computed columns that are recreated.
    pub(super) recreated: Vec<i16>,
    /// The names of constraints that are dropped with a computed column and restored with it.
    pub(super) restored: Vec<String>,
    /// The dropped columns.
    pub(super) dropped: Vec<(i16, String)>,
}

impl Changes {
    /// True if there are no changes.
    pub(super) fn is_empty(&self) -> bool {
        let steps = [&self.drop_constraints, &self.drops, &self.columns, &self.computed, &self.rest];
        steps.into_iter().all(Vec::is_empty)
    }
}

struct Builder<'a> {
    present: &'a Present,
    wanted: &'a Table,
    /// The names of the columns whose comment was managed before.
    commented: Vec<&'a str>,
    was_commented: bool,
    own: String,
    changes: Changes,
}

/// The changes from the present to the wanted table; renames of columns are done before.
///
/// # Errors
/// `InvalidInput` for changes that the server cannot make in place.
pub(super) fn changes(
    present: &Present,
    wanted: &Table,
    prior: &Table,
    memory: &mut Memory,
) -> Result<Changes, Failure> {
    let own = qualified(&wanted.schema, &wanted.name);
    let commented = former(&wanted.columns, &prior.columns)
        .into_iter()
        .zip(&wanted.columns)
        .filter_map(|(was, column)| was.is_some_and(|was| was.comment.is_some()).then_some(column.name.as_str()));
    let mut builder = Builder {
        present,
        wanted,
        commented: commented.collect(),
        was_commented: prior.comment.is_some(),
        own,
        changes: Changes::default(),
    };
    builder.find_recreated_columns(memory);
    builder.constraints(memory);
    builder.dropped_columns();
    for (index, column) in wanted.columns.iter().enumerate() {
        let path = Path::attribute("columns").index(index);
        match present.column(&column.name) {
            None => builder.add(column, &path),
            Some(present) => builder.alter(column, present, &path, memory)?,
        }
    }
    builder.partitions(memory);
    builder.comment();
    Ok(builder.changes)
}

impl Builder<'_> {
    fn alter_table(&self, path: &Path, what: &str) -> Script {
        Script::about(path, format!("ALTER TABLE {} {what}", self.own))
    }

    /// Finds computed columns to recreate: the expression changes, or the type of a source column. Their values are derived, so no
    /// data is lost.
    fn find_recreated_columns(&mut self, memory: &mut Memory) {
        let pairs = self.wanted.columns.iter().filter_map(|column| Some((column, self.present.column(&column.name)?)));
        let pairs: Vec<(&Column, &PresentColumn)> = pairs.collect();
        let is_altered =
            |(column, present): &&(&Column, &PresentColumn)| !is_same_type(&column.ty, &present.ty, memory);
        let altered: Vec<i16> = pairs.iter().filter(is_altered).map(|(_, present)| present.number).collect();
        for (column, present) in pairs {
            let is_recreated = match (&column.generated, &present.generated) {
                (Some(wanted), Some(now)) => {
                    !is_same(wanted, now, memory) || present.uses.iter().any(|number| altered.contains(number))
                }
                (wanted, _) => wanted.is_some(),
            };
            if is_recreated {
                self.changes.recreated.push(present.number);
            }
        }
    }

    /// The names of the recreated columns that meet a condition.
    fn recreated_names(&self, matches: impl Fn(&Column, &PresentColumn) -> bool) -> Vec<String> {
        let pairs = self.wanted.columns.iter().filter_map(|column| Some((column, self.present.column(&column.name)?)));
        let matching = pairs.filter(|(column, present)| self.is_recreated(present) && matches(column, present));
        matching.map(|(column, _)| column.name.clone()).collect()
    }

    fn is_recreated(&self, column: &PresentColumn) -> bool {
        self.changes.recreated.contains(&column.number)
    }

    fn dropped_columns(&mut self) {
        let is_gone = |column: &&PresentColumn| self.wanted.column(&column.name).is_none();
        let mut gone: Vec<&PresentColumn> = self.present.columns.iter().filter(is_gone).collect();
        // Computed columns are dropped before their source columns.
        gone.sort_by_key(|column| column.generated.is_none());
        for column in gone {
            let path = Path::attribute("columns");
            let script = self.alter_table(&path, &format!("DROP COLUMN {}", quote(&column.name)));
            self.changes.drops.push(script);
            self.changes.dropped.push((column.number, column.name.clone()));
        }
    }

    fn add(&mut self, column: &Column, path: &Path) {
        let mut script = Script::about(path, format!("ALTER TABLE {} ADD COLUMN ", self.own));
        ddl::column_definition(&mut script, column, path);
        match column.generated {
            Some(_) => self.changes.computed.push(script),
            None => self.changes.columns.push(script),
        }
        if column.comment.is_some() {
            self.changes.rest.push(Script::about(path, ddl::comment_on_column(self.wanted, column)));
        }
    }

    fn alter(
        &mut self,
        column: &Column,
        present: &PresentColumn,
        path: &Path,
        memory: &mut Memory,
    ) -> Result<(), Failure> {
        let name = quote(&column.name);
        let change_column = |what: &str| format!("ALTER COLUMN {name} {what}");
        let is_serial = DataType::parse(&column.ty).is_some_and(|ty| ty.is_serial);
        if is_serial && !present.has_sequence {
            let message = format!("the existing column `{}` cannot become `{}`", column.name, column.ty);
            return Err(ProviderError::invalid(Some(path.key("type")), message)
                .solution("use `identity: byDefault` instead")
                .into());
        }
        let mut has_default = present.default.is_some() && !(is_serial && present.has_sequence);
        if self.is_recreated(present) {
            // A computed column is dropped before its source columns.
            let script = self.alter_table(&path.key("generated"), &format!("DROP COLUMN {name}"));
            self.changes.drops.insert(0, script);
            self.add(column, path);
            return Ok(());
        }
        if column.generated.is_none() && present.generated.is_some() {
            let script = self.alter_table(&path.key("generated"), &change_column("DROP EXPRESSION"));
            self.changes.drops.insert(0, script);
        }
        if !is_same_type(&column.ty, &present.ty, memory) {
            let ty = path.key("type");
            // A default of the old type may be invalid for the new type. Numbers of a sequence stay valid.
            if has_default && !present.has_sequence {
                let script = self.alter_table(&ty, &change_column("DROP DEFAULT"));
                self.changes.columns.push(script);
                has_default = false;
            }
            // An explicit cast truncates and rounds values that an implicit cast refuses.
            let plain = plain_type(&column.ty);
            let using = match change(&present.ty, &plain) {
                TypeChange::Narrowing => format!(" USING {name}::{plain}"),
                TypeChange::Same | TypeChange::Widening => String::new(),
            };
            let script = self.alter_table(&ty, &change_column(&format!("TYPE {plain}{using}")));
            self.changes.columns.push(script);
            self.changes.altered.push(present.number);
        }
        if column.identity.is_none() && !present.identity.is_empty() {
            let script = self.alter_table(&path.key("identity"), &change_column("DROP IDENTITY"));
            self.changes.rest.push(script);
        }
        let default = path.key("default");
        match &column.default {
            Some(wanted) => {
                let is_set =
                    has_default && present.default.as_deref().is_some_and(|default| is_same(wanted, default, memory));
                if !is_set {
                    let script = self.alter_table(&default, &change_column(&format!("SET DEFAULT ({wanted})")));
                    self.changes.rest.push(script);
                }
            }
            None if has_default => {
                let script = self.alter_table(&default, &change_column("DROP DEFAULT"));
                self.changes.rest.push(script);
            }
            None => {}
        }
        self.identity(column, present, path);
        let is_forced = is_serial || column.identity.is_some() || self.is_in_primary_key(&column.name);
        let nullable = match (column.is_nullable, present.not_null) {
            (false, false) => Some("SET NOT NULL"),
            (true, true) if !is_forced => Some("DROP NOT NULL"),
            _ => None,
        };
        if let Some(what) = nullable {
            let script = self.alter_table(&path.key("nullable"), &change_column(what));
            self.changes.rest.push(script);
        }
        let was_managed = self.commented.contains(&column.name.as_str());
        if column.comment != present.comment && (column.comment.is_some() || was_managed) {
            let comment = ddl::comment_on_column(self.wanted, column);
            self.changes.rest.push(Script::about(&path.key("comment"), comment));
        }
        Ok(())
    }

    fn identity(&mut self, column: &Column, present: &PresentColumn, path: &Path) {
        let path = path.key("identity");
        let name = quote(&column.name);
        let is = match present.identity.as_str() {
            "a" => Some("always"),
            "d" => Some("byDefault"),
            _ => None,
        };
        let mut push = |what: String| self.changes.rest.push(Script::about(&path, what));
        match (column.identity.as_deref(), is) {
            (Some(wanted), Some(is)) if wanted != is => {
                let word = ddl::identity_word(wanted);
                push(format!("ALTER TABLE {} ALTER COLUMN {name} SET GENERATED {word}", self.own));
            }
            (Some(wanted), None) => {
                let word = ddl::identity_word(wanted);
                let own = &self.own;
                if !present.not_null {
                    push(format!("ALTER TABLE {own} ALTER COLUMN {name} SET NOT NULL"));
                }
                push(format!("ALTER TABLE {own} ALTER COLUMN {name} ADD GENERATED {word} AS IDENTITY"));
                // The sequence continues after the existing numbers.
                push(format!(
                    "SELECT setval(pg_get_serial_sequence({}, {}), (SELECT coalesce(max({name}), 0) + 1 FROM {own}), false)",
                    literal(own),
                    literal(&column.name)
                ));
            }
            _ => {}
        }
    }

    fn is_in_primary_key(&self, name: &str) -> bool {
        self.wanted.primary_key.as_ref().is_some_and(|key| key.columns.iter().any(|column| column == name))
    }

    /// Drops old constraints first and adds new ones last. A constraint that differs only in its name is renamed.
    fn constraints(&mut self, memory: &mut Memory) {
        let mut wanted: Vec<(&'static str, Option<String>, String, String, Path)> = Vec::new();
        if let Some(key) = &self.wanted.primary_key {
            let text = format!("{:?}", key.columns);
            wanted.push(("p", key.name.clone(), text, ddl::primary_key(key), Path::attribute("primaryKey")));
        }
        for (index, key) in self.wanted.unique.iter().enumerate() {
            let text = format!("{:?}", key.columns);
            wanted.push(("u", key.name.clone(), text, ddl::unique(key), Path::attribute("unique").index(index)));
        }
        for (index, key) in self.wanted.foreign_keys.iter().enumerate() {
            let unnamed = super::model::ForeignKey { name: None, ..key.clone() };
            let text = ddl::foreign_key(&unnamed, &self.wanted.schema);
            let sql = ddl::foreign_key(key, &self.wanted.schema);
            wanted.push(("f", key.name.clone(), text, sql, Path::attribute("foreignKeys").index(index)));
        }
        for (index, check) in self.wanted.checks.iter().enumerate() {
            let path = Path::attribute("checks").index(index).key("expression");
            wanted.push(("c", check.name.clone(), check.expression.clone(), ddl::check(check), path));
        }
        let schema = self.wanted.schema.clone();
        // Dropping a column drops its constraints.
        let (recreated, retyped) = (
            self.recreated_names(|_, _| true),
            self.recreated_names(|it, present| !is_same_type(&it.ty, &present.ty, memory)),
        );
        let is_dropped = |it: &PresentConstraint| it.columns.iter().any(|name| recreated.contains(name));
        // The server's text of a condition may have casts to the former type.
        let is_stale = |it: &&PresentConstraint| it.kind == "c" && it.columns.iter().any(|name| retyped.contains(name));
        let mut free: Vec<&PresentConstraint> = self.present.constraints.iter().filter(|it| !is_stale(it)).collect();
        let mut restored = Vec::new();
        let (mut missing, mut renamed, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, name, text, sql, path) in wanted {
            let is_content = |it: &PresentConstraint, memory: &mut Memory| {
                it.kind == kind && is_same_content(it, &text, &schema, memory)
            };
            let exact =
                free.iter().position(|it| name.as_ref().is_none_or(|name| *name == it.name) && is_content(it, memory));
            if let Some(at) = exact {
                let kept = free.remove(at);
                restored.extend(is_dropped(kept).then(|| kept.name.clone()));
                continue;
            }
            let same = free.iter().position(|it| is_content(it, memory));
            match (same, name) {
                (Some(at), Some(name)) => {
                    let kept = free.remove(at);
                    restored.extend(is_dropped(kept).then(|| kept.name.clone()));
                    renamed.push((kept.name.clone(), name));
                    places.push(path);
                }
                _ => missing.push(self.alter_table(&path, &format!("ADD {sql}"))),
            }
        }
        let taken: Vec<&str> = self.present.constraints.iter().map(|it| it.name.as_str()).collect();
        for step in renames::steps(&renamed, &taken, str::eq) {
            let what = format!("RENAME CONSTRAINT {} TO {}", quote(&step.from), quote(&step.to));
            let path = places.get(step.index).cloned().unwrap_or_default();
            let script = self.alter_table(&path, &what);
            self.changes.rest.push(script);
        }
        self.changes.restored = restored;
        free.retain(|it| !is_dropped(it));
        // Constraints that refer to keys are dropped before keys.
        free.sort_by_key(|it| it.kind == "p" || it.kind == "u");
        for gone in free {
            let attribute = match gone.kind.as_str() {
                "p" => "primaryKey",
                "u" => "unique",
                "f" => "foreignKeys",
                _ => "checks",
            };
            self.changes.dropped_constraints.push(gone.name.clone());
            let what = format!("DROP CONSTRAINT {}", quote(&gone.name));
            let script = self.alter_table(&Path::attribute(attribute), &what);
            self.changes.drop_constraints.push(script);
        }
        self.changes.rest.extend(missing);
    }

    fn partitions(&mut self, memory: &mut Memory) {
        let Some(wanted) = &self.wanted.partitions else { return };
        let present = &self.present.partitions;
        for gone in present.iter().filter(|it| !wanted.iter().any(|wanted| it.is(&wanted.name))) {
            let name = qualified(gone.schema.as_ref().unwrap_or(&self.wanted.schema), &gone.name);
            self.changes.rest.push(Script::about(&Path::attribute("partitions"), format!("DROP TABLE {name}")));
        }
        for (index, partition) in wanted.iter().enumerate() {
            let path = Path::attribute("partitions").index(index).key("bounds");
            let name = qualified(&self.wanted.schema, &partition.name);
            match present.iter().find(|it| it.is(&partition.name)) {
                None => self.changes.rest.push(Script::about(&path, ddl::partition(self.wanted, partition))),
                Some(it) if is_same(&partition.bounds, &it.bounds, memory) => {}
                Some(_) => {
                    let detach = self.alter_table(&path, &format!("DETACH PARTITION {name}"));
                    let what = format!("ATTACH PARTITION {name} {}", ddl::bounds(partition));
                    let attach = self.alter_table(&path, &what);
                    self.changes.rest.extend([detach, attach]);
                }
            }
        }
    }

    fn comment(&mut self) {
        let comment = &self.wanted.comment;
        if *comment != self.present.comment && (comment.is_some() || self.was_commented) {
            let text = format!("COMMENT ON TABLE {} IS {}", self.own, literal_or_null(comment.as_deref()));
            self.changes.rest.push(Script::about(&Path::attribute("comment"), text));
        }
    }
}

fn is_same_content(present: &PresentConstraint, text: &str, schema: &str, memory: &mut Memory) -> bool {
    match present.kind.as_str() {
        "p" | "u" => format!("{:?}", present.columns) == text,
        "f" => {
            let found = super::like::foreign_key(present, schema);
            ddl::foreign_key(&super::model::ForeignKey { name: None, ..found }, schema) == text
        }
        _ => present.expression.as_deref().is_some_and(|expression| is_same(text, expression, memory)),
    }
}

/// The type without the sequence of `serial`.
fn plain_type(ty: &str) -> String {
    match DataType::parse(ty) {
        Some(parsed) if parsed.is_serial => parsed.canonical(),
        _ => ty.to_owned(),
    }
}
