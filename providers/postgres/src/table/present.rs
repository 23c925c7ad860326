//! Tables from the server's catalogs; one query reads many.

use crate::error::Failure;
use crate::identifier::full_name;
use crate::kind::Target;
use crate::server::{Client, column, first, query};
use serde::Deserialize;

/// An existing table. Types, defaults and conditions have the server's text.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Present {
    pub(crate) oid: i64,
    pub(crate) comment: Option<String>,
    pub(crate) mark: Option<String>,
    pub(crate) columns: Vec<PresentColumn>,
    pub(crate) constraints: Vec<PresentConstraint>,
    pub(crate) partition_by: Option<PresentPartitioning>,
    pub(crate) partitions: Vec<PresentPartition>,
}

/// An existing column.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresentColumn {
    pub(crate) number: i16,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) ty: String,
    /// True if the type is a domain.
    #[serde(default)]
    pub(crate) is_domain: bool,
    pub(crate) not_null: bool,
    pub(crate) default: Option<String>,
    pub(crate) generated: Option<String>,
    /// `a`, `d` or empty.
    pub(crate) identity: String,
    pub(crate) comment: Option<String>,
    /// The numbers of its source columns, for a computed column.
    #[serde(default)]
    pub(crate) uses: Vec<i16>,
    /// True if its default takes numbers from a sequence that belongs to the column.
    pub(crate) has_sequence: bool,
}

/// An existing constraint.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresentConstraint {
    pub(crate) name: String,
    /// `p`, `u`, `f` or `c`.
    pub(crate) kind: String,
    pub(crate) columns: Vec<String>,
    pub(crate) expression: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) references: Vec<String>,
    pub(crate) on_delete: String,
    pub(crate) on_update: String,
}

/// The partitioning of the rows.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct PresentPartitioning {
    /// `r`, `l` or `h`.
    pub(crate) strategy: String,
    /// `None` for an expression.
    pub(crate) columns: Vec<Option<String>>,
}

/// An existing partition.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct PresentPartition {
    /// `None` for the schema of the table.
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    pub(crate) bounds: String,
}

impl PresentPartition {
    /// True for the configured partition with this name, which is in the schema of its table.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.schema.is_none() && self.name == name
    }

    /// Its name, with its schema if that differs from the table's.
    pub(crate) fn shown(&self) -> String {
        self.schema.as_ref().map_or_else(|| self.name.clone(), |schema| full_name([schema, &self.name]))
    }
}

impl Present {
    /// The constraints of a kind.
    pub(crate) fn constraints(&self, kind: &'static str) -> impl Iterator<Item = &PresentConstraint> {
        self.constraints.iter().filter(move |constraint| constraint.kind == kind)
    }

    /// Renames columns, also in keys and constraints.
    pub(super) fn rename_columns(&mut self, renames: &[(String, String)]) {
        let rename = |name: &mut String| {
            if let Some((_, to)) = renames.iter().find(|(from, _)| from == name) {
                name.clone_from(to);
            }
        };
        self.columns.iter_mut().for_each(|column| rename(&mut column.name));
        self.constraints.iter_mut().flat_map(|constraint| &mut constraint.columns).for_each(rename);
        let keys = self.partition_by.iter_mut().flat_map(|partitioning| &mut partitioning.columns);
        keys.flatten().for_each(rename);
    }

    /// The column of that name.
    pub(crate) fn column(&self, name: &str) -> Option<&PresentColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Reads everything about tables in one query, with a JSON text for each.
const READ: &str = "
WITH found AS MATERIALIZED (
  SELECT w.place, w.in_schema, c.oid, c.reltype, c.relkind
  FROM unnest($1::text[]::name[], $2::text[]::name[]) WITH ORDINALITY AS w(in_schema, named, place)
  JOIN pg_namespace n ON n.nspname = w.in_schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.named AND c.relkind IN ('r', 'p')
)
SELECT f.place, json_build_object(
  'oid', f.oid::bigint,
  'comment', (SELECT description FROM pg_description
              WHERE objoid = f.oid AND classoid = 'pg_class'::regclass AND objsubid = 0),
  'mark', (SELECT description FROM pg_description
           WHERE objoid = f.reltype AND classoid = 'pg_type'::regclass AND objsubid = 0),
  'columns', (
    SELECT coalesce(json_agg(json_build_object(
      'number', a.attnum, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
      'isDomain', EXISTS (SELECT FROM pg_type y WHERE y.oid = a.atttypid AND y.typtype = 'd'), 'notNull', a.attnotnull,
      'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
      'generated', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
      'uses', CASE WHEN a.attgenerated = '' THEN '[]'::json ELSE (
        SELECT coalesce(json_agg(DISTINCT p.refobjsubid), '[]'::json) FROM pg_depend p
        WHERE p.refclassid = 'pg_class'::regclass AND p.refobjid = f.oid AND p.refobjsubid NOT IN (0, a.attnum)
          AND (p.classid = 'pg_class'::regclass AND p.objid = f.oid AND p.objsubid = a.attnum
               OR p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid)) END,
      'identity', a.attidentity,
      'comment', (SELECT description FROM pg_description
                  WHERE objoid = f.oid AND classoid = 'pg_class'::regclass AND objsubid = a.attnum),
      'hasSequence', CASE WHEN d.adbin IS NULL OR a.attgenerated <> '' THEN false ELSE EXISTS (
        SELECT FROM pg_depend p JOIN pg_class s ON s.oid = p.objid AND s.relkind = 'S'
        WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.refobjid = f.oid
          AND p.refobjsubid = a.attnum AND p.deptype = 'a') END
    ) ORDER BY a.attnum), '[]'::json)
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = f.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'constraints', (
    SELECT coalesce(json_agg(json_build_object(
      'name', k.conname, 'kind', k.contype,
      'columns', (SELECT coalesce(json_agg(a.attname ORDER BY u.place), '[]'::json)
                  FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
                  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
      'expression', CASE WHEN k.contype = 'c' THEN pg_get_expr(k.conbin, k.conrelid) END,
      'schema', (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.oid = k.confrelid),
      'table', (SELECT c.relname FROM pg_class c WHERE c.oid = k.confrelid),
      'references', (SELECT coalesce(json_agg(a.attname ORDER BY u.place), '[]'::json)
                     FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
                     JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number),
      'onDelete', k.confdeltype, 'onUpdate', k.confupdtype
    ) ORDER BY k.oid), '[]'::json)
    FROM pg_constraint k
    WHERE k.conrelid = f.oid AND k.contype IN ('p', 'u', 'f', 'c') AND k.conparentid = 0),
  'partitionBy', (
    SELECT json_build_object('strategy', p.partstrat, 'columns', (
      SELECT json_agg(a.attname ORDER BY u.place)
      FROM unnest(p.partattrs::int2[]) WITH ORDINALITY AS u(number, place)
      LEFT JOIN pg_attribute a ON a.attrelid = f.oid AND a.attnum = u.number AND u.number > 0))
    FROM pg_partitioned_table p WHERE p.partrelid = f.oid),
  'partitions', (
    SELECT coalesce(json_agg(json_build_object('schema', nullif(n.nspname, f.in_schema), 'name', c.relname,
                                               'bounds', pg_get_expr(c.relpartbound, c.oid)) ORDER BY c.oid), '[]'::json)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.inhparent = f.oid AND f.relkind = 'p')
)::text
FROM found f";

/// Reads tables; `None` for a missing table.
pub(crate) async fn read(client: &Client, targets: &[Target]) -> Result<Vec<Option<Present>>, Failure> {
    let schemas: Vec<&str> = targets.iter().map(|target| target.name(1)).collect();
    let names: Vec<&str> = targets.iter().map(Target::own_name).collect();
    let mut answers: Vec<Option<Present>> = vec![None; targets.len()];
    for row in query(client, READ, &[&schemas, &names]).await? {
        let (place, text): (i64, String) = (column(&row, 0)?, column(&row, 1)?);
        let mut present: Present = serde_json::from_str(&text)
            .map_err(|error| Failure::bug(format!("the server's description of a table is not valid: {error}")))?;
        for partition in &mut present.partitions {
            if let Some(bounds) = partition.bounds.strip_prefix("FOR VALUES ") {
                partition.bounds = bounds.to_owned();
            }
        }
        let answer = usize::try_from(place - 1).ok().and_then(|place| answers.get_mut(place));
        if let Some(answer) = answer {
            *answer = Some(present);
        }
    }
    Ok(answers)
}

/// The columns of a table, a view or a similar relation; `None` if it does not exist.
pub(crate) async fn column_names(client: &Client, schema: &str, name: &str) -> Result<Option<Vec<String>>, Failure> {
    let sql = "SELECT (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
    let rows = query(client, sql, &[&schema, &name]).await?;
    Ok(first::<Option<Vec<String>>>(&rows)?.map(Option::unwrap_or_default))
}
