//! A view with its properties from the catalogs, and the statements that recreate it.

use crate::error::Failure;
use crate::identifier::{full_name, literal, qualified, quote};
use crate::view::source_of;
use serde::Deserialize;
use terrace_provider::{Path, ProviderError};

/// A view with its properties.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saved {
    pub(super) schema: String,
    pub(super) name: String,
    is_materialized: bool,
    is_populated: bool,
    pub(crate) definition: String,
    owner: String,
    /// False if it has the default privileges.
    pub(super) has_grants: bool,
    options: Vec<String>,
    comment: Option<String>,
    pub(super) mark: Option<String>,
    grants: Vec<Grant>,
    columns: Vec<SavedColumn>,
    /// Only for a materialized view.
    access_method: Option<String>,
    /// `None` for the tablespace of the database.
    tablespace: Option<String>,
    indexes: Vec<SavedIndex>,
    triggers: Vec<SavedPart>,
    /// Rules in addition to its query.
    rules: Vec<SavedPart>,
    /// Properties that cannot be recreated, in words.
    pub(super) lost: Vec<String>,
    /// True if it uses a dropped column.
    #[serde(default)]
    pub(super) uses_dropped: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Grant {
    grantor: String,
    grantee: String,
    privilege: String,
    grantable: bool,
    column: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct SavedColumn {
    name: String,
    comment: Option<String>,
    default: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedIndex {
    name: String,
    definition: String,
    tablespace: Option<String>,
    is_clustered: bool,
    comment: Option<String>,
}

/// A trigger or a rule.
#[derive(Debug, Clone, Deserialize)]
struct SavedPart {
    name: String,
    definition: String,
    comment: Option<String>,
}

/// Direct and indirect dependents of a relation, in the order in which they can be recreated.
pub(super) const READ: &str = "
WITH RECURSIVE dependent(oid, depth) AS (
  SELECT r.ev_class, 1
  FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::bigint::oid
    AND d.refobjsubid = ANY ($2::int4[]) AND r.ev_class <> $1::bigint::oid
  UNION
  SELECT $1::bigint::oid, 0 WHERE $3
  UNION
  SELECT r.ev_class, p.depth + 1
  FROM dependent p
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = p.oid
  JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
  WHERE r.ev_class <> p.oid AND p.depth < 100
), ordered AS (SELECT oid, max(depth) AS depth FROM dependent GROUP BY oid)
SELECT json_build_object(
  'schema', n.nspname, 'name', c.relname, 'isMaterialized', c.relkind = 'm', 'isPopulated', c.relispopulated,
  'definition', pg_get_viewdef(c.oid), 'owner', pg_get_userbyid(c.relowner), 'hasGrants', c.relacl IS NOT NULL,
  'options', coalesce(to_json(c.reloptions), '[]'::json),
  'comment', obj_description(c.oid, 'pg_class'), 'mark', obj_description(c.reltype, 'pg_type'),
  'grants', (
    SELECT coalesce(json_agg(json_build_object(
      'grantor', pg_get_userbyid(g.grantor), 'grantee', CASE WHEN g.grantee = 0 THEN '' ELSE pg_get_userbyid(g.grantee) END,
      'privilege', g.privilege_type, 'grantable', g.is_grantable, 'column', g.name)), '[]'::json)
    FROM (
      SELECT x.grantor, x.grantee, x.privilege_type, x.is_grantable, NULL::name AS name
      FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x
      UNION ALL
      SELECT x.grantor, x.grantee, x.privilege_type, x.is_grantable, a.attname
      FROM pg_attribute a, aclexplode(a.attacl) x
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) g),
  'columns', (
    SELECT json_agg(json_build_object('name', a.attname, 'comment', col_description(c.oid, a.attnum),
                                      'default', pg_get_expr(f.adbin, f.adrelid)) ORDER BY a.attnum)
    FROM pg_attribute a LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'accessMethod', (SELECT amname FROM pg_am WHERE oid = c.relam),
  'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace),
  'indexes', (SELECT coalesce(json_agg(json_build_object(
                'name', x.relname, 'definition', pg_get_indexdef(x.oid), 'isClustered', i.indisclustered,
                'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = x.reltablespace),
                'comment', obj_description(x.oid, 'pg_class')) ORDER BY x.oid), '[]'::json)
              FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid),
  'triggers', (SELECT coalesce(json_agg(json_build_object(
                 'name', t.tgname, 'definition', pg_get_triggerdef(t.oid),
                 'comment', obj_description(t.oid, 'pg_trigger')) ORDER BY t.oid), '[]'::json)
               FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
  'rules', (SELECT coalesce(json_agg(json_build_object(
              'name', r.rulename, 'definition', pg_get_ruledef(r.oid),
              'comment', obj_description(r.oid, 'pg_rewrite')) ORDER BY r.oid), '[]'::json)
            FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'),
  'lost', array_to_json(array_remove(ARRAY[
    CASE WHEN EXISTS (SELECT FROM pg_statistic_ext e WHERE e.stxrelid = c.oid) THEN 'extended statistics' END,
    CASE WHEN EXISTS (
      SELECT FROM pg_attribute a LEFT JOIN pg_type y ON y.oid = a.atttypid
      WHERE (a.attrelid = c.oid OR a.attrelid IN (SELECT indexrelid FROM pg_index WHERE indrelid = c.oid))
        AND a.attnum > 0 AND NOT a.attisdropped
        AND (coalesce(a.attstattarget, -1) >= 0 OR a.attoptions IS NOT NULL
             OR a.attrelid = c.oid AND c.relkind = 'm' AND (a.attstorage <> y.typstorage OR a.attcompression <> ''))
      ) THEN 'settings of columns' END,
    CASE WHEN EXISTS (SELECT FROM pg_class t WHERE t.oid = c.reltoastrelid AND t.reloptions IS NOT NULL)
      THEN 'options of TOAST' END,
    CASE WHEN EXISTS (SELECT FROM pg_seclabel l WHERE l.classoid = 'pg_class'::regclass AND l.objoid = c.oid)
      THEN 'security labels' END,
    CASE WHEN EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'x' AND (
        d.classid = 'pg_class'::regclass AND (d.objid = c.oid OR d.objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = c.oid))
        OR d.classid = 'pg_trigger'::regclass AND d.objid IN (SELECT oid FROM pg_trigger WHERE tgrelid = c.oid)))
      THEN 'a dependency on an extension' END,
    CASE WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'O')
           OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_enabled <> 'O')
      THEN 'triggers or rules in a special state' END
  ], NULL)),
  'usesDropped', EXISTS (
    SELECT FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND r.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid = $1::bigint::oid AND d.refobjsubid = ANY ($4::int4[]))
)::text
FROM ordered o JOIN pg_class c ON c.oid = o.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm')
ORDER BY o.depth, c.oid";

impl Saved {
    /// Replaces the query, and keeps the properties of the columns that remain.
    pub(crate) fn replace_query(&mut self, definition: String) {
        let shown = source_of(&definition).map(|source| source.columns);
        let is_kept = |name: &str| shown.as_ref().is_some_and(|shown| shown.iter().any(|column| column == name));
        self.columns.retain(|column| is_kept(&column.name));
        self.grants.retain(|grant| grant.column.as_deref().is_none_or(is_kept));
        self.definition = definition;
    }

    /// The options in the form of `CREATE VIEW`.
    pub(crate) fn with_options(&self) -> String {
        match self.options.is_empty() {
            true => String::new(),
            false => format!(" WITH ({})", self.options.join(", ")),
        }
    }

    pub(super) fn word(&self) -> &'static str {
        if self.is_materialized { "MATERIALIZED VIEW" } else { "VIEW" }
    }

    pub(super) fn sql(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    pub(super) fn shown(&self) -> String {
        format!("`{}`", full_name([&self.schema, &self.name]))
    }

    pub(super) fn create(&self) -> String {
        let own = self.sql();
        let options = self.with_options();
        let method = self.access_method.as_ref().map(|name| format!(" USING {}", quote(name))).unwrap_or_default();
        let data = if self.is_materialized && !self.is_populated { " WITH NO DATA" } else { "" };
        let query = self.definition.trim().trim_end_matches(';');
        let mut text = place(self.tablespace.as_deref());
        text.push_str(&format!("CREATE {} {own}{method}{options} AS {query}{data};\n", self.word()));
        for column in &self.columns {
            let name = quote(&column.name);
            if let Some(default) = &column.default {
                text.push_str(&format!("ALTER VIEW {own} ALTER COLUMN {name} SET DEFAULT {default};\n"));
            }
            if let Some(comment) = &column.comment {
                text.push_str(&format!("COMMENT ON COLUMN {own}.{name} IS {};\n", literal(comment)));
            }
        }
        if let Some(comment) = &self.comment {
            text.push_str(&format!("COMMENT ON {} {own} IS {};\n", self.word(), literal(comment)));
        }
        if let Some(mark) = &self.mark {
            text.push_str(&format!("COMMENT ON TYPE {own} IS {};\n", literal(mark)));
        }
        for index in &self.indexes {
            text.push_str(&place(index.tablespace.as_deref()));
            text.push_str(&format!("{};\n", index.definition));
            if index.is_clustered {
                text.push_str(&format!("ALTER {} {own} CLUSTER ON {};\n", self.word(), quote(&index.name)));
            }
            if let Some(comment) = &index.comment {
                let name = qualified(&self.schema, &index.name);
                text.push_str(&format!("COMMENT ON INDEX {name} IS {};\n", literal(comment)));
            }
        }
        for (word, parts) in [("TRIGGER", &self.triggers), ("RULE", &self.rules)] {
            for part in parts {
                text.push_str(&format!("{};\n", part.definition.trim_end_matches(';')));
                if let Some(comment) = &part.comment {
                    let name = quote(&part.name);
                    text.push_str(&format!("COMMENT ON {word} {name} ON {own} IS {};\n", literal(comment)));
                }
            }
        }
        text.push_str(&format!("ALTER {} {own} OWNER TO {};\n", self.word(), quote(&self.owner)));
        text
    }

    /// Revokes default privileges, and grants the saved ones.
    pub(super) fn regrant(&self, present: &[String]) -> String {
        let own = self.sql();
        let role = |name: &str| if name.is_empty() { "PUBLIC".to_owned() } else { quote(name) };
        let mut text = String::new();
        for grantee in present {
            text.push_str(&format!("REVOKE ALL ON {own} FROM {};\n", role(grantee)));
        }
        // The owner's grants come first: other grantors pass them on.
        let (of_owner, of_other_grantors): (Vec<&Grant>, Vec<&Grant>) =
            self.grants.iter().partition(|grant| grant.grantor == self.owner);
        for grant in of_owner.into_iter().chain(of_other_grantors) {
            let columns = grant.column.as_ref().map(|name| format!(" ({})", quote(name))).unwrap_or_default();
            let option = if grant.grantable { " WITH GRANT OPTION" } else { "" };
            let (privilege, grantee) = (&grant.privilege, role(&grant.grantee));
            let statement = format!("GRANT {privilege}{columns} ON {own} TO {grantee}{option};\n");
            match grant.grantor == self.owner {
                true => text.push_str(&statement),
                false => {
                    let grantor = quote(&grant.grantor);
                    text.push_str(&format!("SET LOCAL ROLE {grantor};\n{statement}RESET ROLE;\n"));
                }
            }
        }
        text
    }

    pub(super) fn restore_error(&self, failure: Failure) -> Failure {
        let Failure::Server { error, at } = failure else { return failure };
        let Some(database_error) = error.as_db_error() else { return Failure::Server { error, at } };
        let message = format!(
            "the view {} cannot be recreated over the changed columns: {}",
            self.shown(),
            database_error.message()
        );
        ProviderError::invalid(Some(Path::attribute("columns")), message)
            .solution("change or drop that view first; nothing was changed")
            .into()
    }
}

/// Sets the tablespace of the next relation with rows; the default is that of the database.
fn place(tablespace: Option<&str>) -> String {
    format!("SET LOCAL default_tablespace = {};\n", literal(tablespace.unwrap_or_default()))
}
