//! Objects that block a change of a table: dropped before the change and restored after it, within its transaction. Objects that
//! cannot be restored stop the change, and the plan reports them.
//!
//! The blocking objects are triggers on a column whose type changes, foreign keys onto a dropped key, and indexes, constraints,
//! privileges and the comment of a generated column that is dropped and added again. Views are in [`crate::dependents`].

use super::alter::Changes;
use super::model::Table;
use crate::error::Failure;
use crate::identifier::{literal, literal_or_null, qualified, quote, quote_all};
use crate::script::Script;
use crate::server::{Client, Work, first, query};
use serde::Deserialize;
use terrace_provider::names::listed;
use terrace_provider::{Path, ProviderError};

/// Objects that a change drops and restores.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detached {
    triggers: Vec<Trigger>,
    foreign_keys: Vec<ForeignKey>,
    constraints: Vec<Constraint>,
    indexes: Vec<Index>,
    grants: Vec<Grant>,
    comments: Vec<Comment>,
    refused: Vec<Refused>,
}

#[derive(Debug, Deserialize)]
struct Trigger {
    name: String,
    definition: String,
    /// `O`, `D`, `R` or `A`.
    enabled: String,
    comment: Option<String>,
}

/// A foreign key of any table.
#[derive(Debug, Deserialize)]
struct ForeignKey {
    schema: String,
    table: String,
    name: String,
    definition: String,
    comment: Option<String>,
    /// The referenced columns, by their new names.
    references: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema: String,
    name: String,
    definition: String,
    tablespace: Option<String>,
    comment: Option<String>,
    is_clustered: bool,
    is_identity: bool,
}

/// A constraint of the table with all its options. The configuration expresses only some of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Constraint {
    name: String,
    /// `p`, `u`, `x`, `f` or `c`.
    kind: String,
    definition: String,
    comment: Option<String>,
    /// The properties of its index, for `p`, `u` and `x`.
    index_schema: Option<String>,
    tablespace: Option<String>,
    /// Storage parameters, such as `fillfactor=70`.
    options: Option<String>,
    is_clustered: bool,
    is_identity: bool,
}

/// A privilege on a column.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grant {
    column: String,
    grantor: String,
    /// The grantor is the owner of the table.
    is_by_owner: bool,
    /// Empty for `PUBLIC`.
    grantee: String,
    privilege: String,
    grantable: bool,
}

#[derive(Debug, Deserialize)]
struct Comment {
    column: String,
    comment: String,
}

/// A dependency that cannot be restored.
#[derive(Debug, Deserialize)]
struct Refused {
    column: String,
    /// The description of the server: `policy p on table s.t`.
    object: String,
}

/// Reads all objects as JSON. Parameters: the table; the numbers of retyped, recreated and dropped columns; the names
/// of dropped constraints, and of constraints that are dropped with a recreated column and restored.
///
/// Constraints that the configuration keeps or does not know are dropped with a column that they include or exclude by.
const READ: &str = "
SELECT json_build_object(
  'triggers', (
    SELECT coalesce(json_agg(json_build_object(
      'name', t.tgname, 'definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled,
      'comment', obj_description(t.oid, 'pg_trigger')) ORDER BY t.oid), '[]'::json)
    FROM pg_trigger t
    WHERE t.tgrelid = $1::int8::oid AND NOT t.tgisinternal AND t.tgparentid = 0 AND EXISTS (
      SELECT FROM pg_depend d
      WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = t.tgrelid AND d.refobjsubid = ANY ($2::int4[] || $3::int4[]))),
  'foreignKeys', (
    SELECT coalesce(json_agg(json_build_object(
      'schema', n.nspname, 'table', c.relname, 'name', k.conname, 'definition', pg_get_constraintdef(k.oid),
      'comment', obj_description(k.oid, 'pg_constraint'),
      'references', (SELECT json_agg(a.attname ORDER BY u.place)
                     FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
                     JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number)) ORDER BY k.oid), '[]'::json)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype = 'f' AND k.confrelid = $1::int8::oid AND k.conparentid = 0
      AND NOT (k.conrelid = k.confrelid AND k.conname = ANY ($5::text[]::name[]))
      AND EXISTS (
        SELECT FROM pg_constraint key
        WHERE key.conrelid = k.confrelid AND key.conindid = k.conindid AND key.contype IN ('p', 'u')
          AND (key.conname = ANY ($5::text[]::name[]) OR key.conkey::int4[] && $3::int4[] OR EXISTS (
            SELECT FROM pg_depend d
            WHERE d.classid = 'pg_constraint'::regclass AND d.objid = key.oid AND d.refclassid = 'pg_class'::regclass
              AND d.refobjid = key.conrelid AND d.refobjsubid = ANY ($3::int4[]))))),
  'constraints', (
    SELECT coalesce(json_agg(json_build_object(
      'name', k.conname, 'kind', k.contype, 'definition', pg_get_constraintdef(k.oid),
      'comment', obj_description(k.oid, 'pg_constraint'), 'indexSchema', n.nspname,
      'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = x.reltablespace),
      'options', array_to_string(x.reloptions, ', '), 'isClustered', coalesce(i.indisclustered, false),
      'isIdentity', coalesce(i.indisreplident, false)) ORDER BY k.oid), '[]'::json)
    FROM pg_constraint k
    LEFT JOIN pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
    LEFT JOIN pg_class x ON x.oid = i.indexrelid LEFT JOIN pg_namespace n ON n.oid = x.relnamespace
    WHERE k.conrelid = $1::int8::oid AND k.conparentid = 0 AND NOT k.conname = ANY ($5::text[]::name[])
      AND (k.conname = ANY ($6::text[]::name[]) OR k.contype = 'x'
           OR k.contype IN ('p', 'u') AND NOT k.conkey::int4[] && $3::int4[])
      AND EXISTS (
        SELECT FROM pg_depend d
        WHERE (d.classid = 'pg_constraint'::regclass AND d.objid = k.oid OR d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid)
          AND d.refclassid = 'pg_class'::regclass AND d.refobjid = k.conrelid AND d.refobjsubid = ANY ($3::int4[]))
      AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE (d.classid = 'pg_constraint'::regclass AND d.objid = k.oid OR d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid)
          AND d.refclassid = 'pg_class'::regclass AND d.refobjid = k.conrelid AND d.refobjsubid = ANY ($4::int4[]))),
  'indexes', (
    SELECT coalesce(json_agg(json_build_object(
      'schema', n.nspname, 'name', x.relname, 'definition', pg_get_indexdef(x.oid),
      'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = x.reltablespace),
      'comment', obj_description(x.oid, 'pg_class'), 'isClustered', i.indisclustered,
      'isIdentity', i.indisreplident) ORDER BY x.oid), '[]'::json)
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
    WHERE i.indrelid = $1::int8::oid
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x'))
      AND EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid AND d.refclassid = 'pg_class'::regclass
          AND d.refobjid = i.indrelid AND d.refobjsubid = ANY ($3::int4[]))),
  'grants', (
    SELECT coalesce(json_agg(json_build_object(
      'column', a.attname, 'grantor', pg_get_userbyid(g.grantor), 'privilege', g.privilege_type,
      'isByOwner', g.grantor = (SELECT relowner FROM pg_class WHERE oid = a.attrelid),
      'grantee', CASE WHEN g.grantee = 0 THEN '' ELSE pg_get_userbyid(g.grantee) END, 'grantable', g.is_grantable)), '[]'::json)
    FROM pg_attribute a, aclexplode(a.attacl) g WHERE a.attrelid = $1::int8::oid AND a.attnum = ANY ($3::int4[])),
  'comments', (
    SELECT coalesce(json_agg(json_build_object('column', a.attname, 'comment', o.description)), '[]'::json)
    FROM pg_attribute a JOIN pg_description o ON o.objoid = a.attrelid AND o.objsubid = a.attnum
      AND o.classoid = 'pg_class'::regclass
    WHERE a.attrelid = $1::int8::oid AND a.attnum = ANY ($3::int4[])),
  'refused', (
    SELECT coalesce(json_agg(DISTINCT jsonb_build_object(
      'column', a.attname, 'object', pg_describe_object(d.classid, d.objid, d.objsubid))), '[]'::json)
    FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::int8::oid
      AND d.refobjsubid = ANY ($2::int4[] || $3::int4[] || $4::int4[])
      AND (d.classid IN ('pg_policy'::regclass, 'pg_publication_rel'::regclass, 'pg_proc'::regclass)
           OR d.classid = 'pg_rewrite'::regclass AND EXISTS (
                SELECT FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
                WHERE r.oid = d.objid AND c.relkind IN ('r', 'p'))
           OR d.classid = 'pg_statistic_ext'::regclass AND d.refobjsubid = ANY ($3::int4[])
           OR d.classid = 'pg_trigger'::regclass AND d.refobjsubid = ANY ($4::int4[]) AND d.deptype = 'n'
           OR d.classid = 'pg_constraint'::regclass AND d.refobjsubid = ANY ($4::int4[]) AND EXISTS (
                SELECT FROM pg_constraint k
                WHERE k.oid = d.objid AND k.contype = 'f' AND k.conrelid <> k.confrelid AND k.confrelid = $1::int8::oid)))
)::text";

/// Reads the objects that block the changes. `renames` are pending renames of columns.
///
/// # Errors
/// `InvalidInput` if an object cannot be restored.
pub(super) async fn read(
    client: &Client,
    oid: i64,
    changes: &Changes,
    wanted: &Table,
    renames: &[(String, String)],
) -> Result<Detached, Failure> {
    let numbers = |numbers: &[i16]| numbers.iter().map(|number| i32::from(*number)).collect::<Vec<_>>();
    let (altered, recreated) = (numbers(&changes.altered), numbers(&changes.recreated));
    let dropped: Vec<i32> = changes.dropped.iter().map(|(number, _)| i32::from(*number)).collect();
    if altered.is_empty() && recreated.is_empty() && dropped.is_empty() && changes.dropped_constraints.is_empty() {
        return Ok(Detached::default());
    }
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&oid, &altered, &recreated, &dropped, &changes.dropped_constraints, &changes.restored];
    let rows = query(client, READ, &parameters).await?;
    let text: String = first(&rows)?.unwrap_or_default();
    let mut detached: Detached = serde_json::from_str(&text)
        .map_err(|error| Failure::bug(format!("the server's list of dependents is not valid: {error}")))?;
    // A foreign key of the table to itself is restored once, and foreign keys follow the keys.
    let foreign_keys = &detached.foreign_keys;
    let is_own = |name: &String| {
        foreign_keys.iter().any(|it| it.name == *name && it.schema == wanted.schema && it.table == wanted.name)
    };
    detached.constraints.retain(|it| !(it.kind == "f" && is_own(&it.name)));
    detached.constraints.sort_by_key(|it| it.kind == "f");
    let references = detached.foreign_keys.iter_mut().flat_map(|key| &mut key.references);
    for name in references.chain(detached.refused.iter_mut().map(|refused| &mut refused.column)) {
        if let Some((_, to)) = renames.iter().find(|(from, _)| from == name) {
            name.clone_from(to);
        }
    }
    detached.check(wanted)?;
    Ok(detached)
}

impl Detached {
    fn check(&self, wanted: &Table) -> Result<(), Failure> {
        if let Some(first) = self.refused.first() {
            let at = wanted.columns.iter().position(|column| column.name == first.column);
            let path = Path::attribute("columns");
            let path = at.map_or(path.clone(), |at| path.index(at).key("type"));
            let message = format!("the column `{}` cannot change: other objects depend on it", first.column);
            let error = ProviderError::invalid(Some(path), message);
            let depends = |it: &Refused| format!("the {} depends on the column `{}`", it.object, it.column);
            let error = self.refused.iter().map(depends).fold(error, ProviderError::problem);
            return Err(error.solution("change or drop these objects first, and restore them afterwards").into());
        }
        let is_same = |key: &[String], columns: &[String]| {
            key.len() == columns.len() && columns.iter().all(|column| key.contains(column))
        };
        let primary = wanted.primary_key.iter().map(|key| &key.columns);
        let keys: Vec<&Vec<String>> = primary.chain(wanted.unique.iter().map(|key| &key.columns)).collect();
        let without_key = self.foreign_keys.iter().find(|it| !keys.iter().any(|key| is_same(key, &it.references)));
        let Some(blocked) = without_key else { return Ok(()) };
        let columns = listed(&blocked.references);
        let message = format!("a foreign key refers to {columns}, which would no longer be a key");
        Err(ProviderError::invalid(Some(Path::attribute("primaryKey")), message)
            .problem(format!("it is `{}` of `{}.{}`", blocked.name, blocked.schema, blocked.table))
            .solution(format!("give the table a unique constraint on {columns}, or remove the foreign key first"))
            .into())
    }

    /// The names of the objects, for messages.
    pub(super) fn shown(&self) -> Vec<String> {
        let triggers = self.triggers.iter().map(|it| format!("the trigger `{}`", it.name));
        let key = |it: &ForeignKey| format!("the foreign key `{}` of `{}.{}`", it.name, it.schema, it.table);
        let constraints = self.constraints.iter().map(|it| format!("the constraint `{}`", it.name));
        let indexes = self.indexes.iter().map(|it| format!("the index `{}`", it.name));
        triggers.chain(self.foreign_keys.iter().map(key)).chain(constraints).chain(indexes).collect()
    }

    /// Drops the objects, before any other statement.
    pub(super) async fn drop_all(&self, work: &Work, table: &Table) -> Result<(), Failure> {
        for trigger in &self.triggers {
            work.execute(&format!("DROP TRIGGER {} ON {}", quote(&trigger.name), own(table))).await?;
        }
        for key in &self.foreign_keys {
            let of = qualified(&key.schema, &key.table);
            work.execute(&format!("ALTER TABLE {of} DROP CONSTRAINT {}", quote(&key.name))).await?;
        }
        // Foreign keys come last in the list, and keys go after them. A constraint over an expression blocks the drop of its column.
        for constraint in self.constraints.iter().rev() {
            work.execute(&format!("ALTER TABLE {} DROP CONSTRAINT {}", own(table), quote(&constraint.name))).await?;
        }
        Ok(())
    }

    /// Restores the constraints of the table, after the columns and before renames of constraints.
    pub(super) async fn restore_constraints(&self, work: &Work, table: &Table) -> Result<(), Failure> {
        let own = own(table);
        for statement in self.constraints.iter().flat_map(|constraint| constraint.statements(&own)) {
            work.run(&Script::of(statement)).await?;
        }
        Ok(())
    }

    /// Restores the objects, after all other statements.
    pub(super) async fn restore(&self, work: &Work, table: &Table) -> Result<(), Failure> {
        let mut statements = Vec::new();
        let own = own(table);
        for index in &self.indexes {
            let place = literal(index.tablespace.as_deref().unwrap_or_default());
            statements.push(format!("SET LOCAL default_tablespace = {place}"));
            statements.push(index.definition.clone());
            let (name, whole) = (quote(&index.name), qualified(&index.schema, &index.name));
            if index.is_clustered {
                statements.push(format!("ALTER TABLE {own} CLUSTER ON {name}"));
            }
            if index.is_identity {
                statements.push(format!("ALTER TABLE {own} REPLICA IDENTITY USING INDEX {name}"));
            }
            if let Some(comment) = &index.comment {
                statements.push(format!("COMMENT ON INDEX {whole} IS {}", literal(comment)));
            }
        }
        for trigger in &self.triggers {
            statements.push(trigger.definition.clone());
            let name = quote(&trigger.name);
            let enabled = match trigger.enabled.as_str() {
                "D" => Some("DISABLE"),
                "R" => Some("ENABLE REPLICA"),
                "A" => Some("ENABLE ALWAYS"),
                _ => None,
            };
            statements.extend(enabled.map(|how| format!("ALTER TABLE {own} {how} TRIGGER {name}")));
            let comment = trigger.comment.as_deref().map(literal);
            statements.extend(comment.map(|comment| format!("COMMENT ON TRIGGER {name} ON {own} IS {comment}")));
        }
        for key in &self.foreign_keys {
            let (of, name) = (qualified(&key.schema, &key.table), quote(&key.name));
            statements.push(format!("ALTER TABLE {of} ADD CONSTRAINT {name} {}", key.definition));
            let comment = key.comment.as_deref().map(literal);
            statements.extend(comment.map(|comment| format!("COMMENT ON CONSTRAINT {name} ON {of} IS {comment}")));
        }
        for comment in &self.comments {
            // A configured comment was set with its column.
            let is_managed = table.column(&comment.column).is_none_or(|column| column.comment.is_some());
            let text = literal_or_null(Some(&comment.comment));
            let set = || format!("COMMENT ON COLUMN {own}.{} IS {text}", quote(&comment.column));
            statements.extend((!is_managed).then(set));
        }
        statements.extend(self.grants.iter().flat_map(|grant| grant.statements(&own)));
        for statement in statements {
            work.run(&Script::of(statement)).await?;
        }
        Ok(())
    }
}

impl Constraint {
    fn statements(&self, own: &str) -> Vec<String> {
        let name = quote(&self.name);
        let place = literal(self.tablespace.as_deref().unwrap_or_default());
        let mut statements = vec![
            format!("SET LOCAL default_tablespace = {place}"),
            format!("ALTER TABLE {own} ADD CONSTRAINT {name} {}", self.definition),
        ];
        if let (Some(schema), Some(options)) = (&self.index_schema, &self.options) {
            statements.push(format!("ALTER INDEX {} SET ({options})", qualified(schema, &self.name)));
        }
        if self.is_clustered {
            statements.push(format!("ALTER TABLE {own} CLUSTER ON {name}"));
        }
        if self.is_identity {
            statements.push(format!("ALTER TABLE {own} REPLICA IDENTITY USING INDEX {name}"));
        }
        if let Some(comment) = &self.comment {
            statements.push(format!("COMMENT ON CONSTRAINT {name} ON {own} IS {}", literal(comment)));
        }
        statements
    }
}

impl Grant {
    fn statements(&self, own: &str) -> Vec<String> {
        let grantee = if self.grantee.is_empty() { "PUBLIC".to_owned() } else { quote(&self.grantee) };
        let option = if self.grantable { " WITH GRANT OPTION" } else { "" };
        let columns = quote_all([&self.column]);
        let grant = format!("GRANT {} ({columns}) ON {own} TO {grantee}{option}", self.privilege);
        match self.is_by_owner {
            true => vec![grant],
            false => vec![format!("SET LOCAL ROLE {}", quote(&self.grantor)), grant, "RESET ROLE".to_owned()],
        }
    }
}

fn own(table: &Table) -> String {
    qualified(&table.schema, &table.name)
}
