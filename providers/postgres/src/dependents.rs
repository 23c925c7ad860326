//! Views over columns that change: dropped, and made again as they were, within the transaction of the change.
//!
//! All that a view has is kept: its query, owner, options, privileges, comments, triggers, defaults, and the indexes of a
//! materialized one. Whoever made it, terrace or not.

use crate::error::Failure;
use crate::identifier::{full_name, literal, qualified, quote, quote_all};
use crate::script::Script;
use crate::server::{Client, Work, column, query};
use crate::view::source_of;
use serde::Deserialize;
use terrace_provider::{Path, ProviderError};

/// A view with all that it has.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saved {
    schema: String,
    name: String,
    is_materialized: bool,
    is_populated: bool,
    pub(crate) definition: String,
    owner: String,
    /// Nothing where it has the usual privileges.
    has_grants: bool,
    options: Vec<String>,
    comment: Option<String>,
    mark: Option<String>,
    grants: Vec<Grant>,
    columns: Vec<SavedColumn>,
    indexes: Vec<String>,
    triggers: Vec<String>,
    /// It shows a column that goes.
    #[serde(default)]
    uses_dropped: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Grant {
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

/// All that depends on a relation, by way of other views too, in the order in which it can be made again.
const READ: &str = "
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
      'grantee', CASE WHEN g.grantee = 0 THEN '' ELSE pg_get_userbyid(g.grantee) END,
      'privilege', g.privilege_type, 'grantable', g.is_grantable, 'column', g.name)), '[]'::json)
    FROM (
      SELECT x.grantee, x.privilege_type, x.is_grantable, NULL::name AS name FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x
      UNION ALL
      SELECT x.grantee, x.privilege_type, x.is_grantable, a.attname
      FROM pg_attribute a, aclexplode(a.attacl) x
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) g),
  'columns', (
    SELECT json_agg(json_build_object('name', a.attname, 'comment', col_description(c.oid, a.attnum),
                                      'default', pg_get_expr(f.adbin, f.adrelid)) ORDER BY a.attnum)
    FROM pg_attribute a LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'indexes', (SELECT coalesce(json_agg(pg_get_indexdef(i.indexrelid) ORDER BY i.indexrelid), '[]'::json)
              FROM pg_index i WHERE i.indrelid = c.oid),
  'triggers', (SELECT coalesce(json_agg(pg_get_triggerdef(t.oid) ORDER BY t.oid), '[]'::json)
               FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
  'usesDropped', EXISTS (
    SELECT FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND r.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid = $1::bigint::oid AND d.refobjsubid = ANY ($4::int4[]))
)::text
FROM ordered o JOIN pg_class c ON c.oid = o.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm')
ORDER BY o.depth, c.oid";

async fn read(
    client: &Client,
    oid: i64,
    columns: &[i32],
    with_itself: bool,
    dropped: &[i32],
) -> Result<Vec<Saved>, Failure> {
    let rows = query(client, READ, &[&oid, &columns, &with_itself, &dropped]).await?;
    rows.iter()
        .map(|row| {
            serde_json::from_str(column(row, 0)?)
                .map_err(|error| Failure::bug(format!("a view as the server describes it is not understood: {error}")))
        })
        .collect()
}

/// A view and all that depends on it.
pub(crate) async fn of_view(client: &Client, oid: i64) -> Result<Vec<Saved>, Failure> {
    read(client, oid, &[], true, &[]).await.map(|mut saved| {
        saved.iter_mut().for_each(|view| view.uses_dropped = false);
        saved
    })
}

/// The views that show columns which change or go, and what depends on those.
///
/// # Errors
/// `InvalidInput` where a view that terrace did not make, or whose query is more than columns of the table, shows one that
/// goes: nobody but its author knows what it is then.
pub(crate) async fn of_columns(
    client: &Client,
    oid: i64,
    altered: &[i16],
    dropped: &[(i16, String)],
) -> Result<Vec<Saved>, Failure> {
    let dropped_numbers: Vec<i32> = dropped.iter().map(|(number, _)| i32::from(*number)).collect();
    let numbers: Vec<i32> = altered.iter().map(|number| i32::from(*number)).chain(dropped_numbers.clone()).collect();
    let mut saved = read(client, oid, &numbers, false, &dropped_numbers).await?;
    let mut stuck = Vec::new();
    for view in saved.iter_mut().filter(|view| view.uses_dropped) {
        match without(view, dropped) {
            Some(definition) => view.definition = definition,
            None => stuck.push(view.shown()),
        }
    }
    if stuck.is_empty() {
        return Ok(saved);
    }
    let columns: Vec<&str> = dropped.iter().map(|(_, name)| name.as_str()).collect();
    let message = format!("a column of {} cannot be dropped: views read it", terrace_provider::names::listed(&columns));
    Err(ProviderError::invalid(Some(Path::attribute("columns")), message)
        .problem(format!("they are {}", stuck.join(", ")))
        .solution("change those views first, so that they do without it")
        .into())
}

/// The query of a view of ours without the columns that go.
fn without(view: &Saved, dropped: &[(i16, String)]) -> Option<String> {
    view.mark.as_ref().filter(|mark| mark.starts_with("terrace "))?;
    let source = source_of(&view.definition)?;
    let is_kept = |name: &&String| !dropped.iter().any(|(_, gone)| gone == *name);
    let kept: Vec<&String> = source.columns.iter().filter(is_kept).collect();
    (!kept.is_empty()).then(|| format!("SELECT {} FROM {}", quote_all(kept), qualified(&source.schema, &source.name)))
}

/// The names of views, for people.
pub(crate) fn names(saved: &[Saved]) -> String {
    saved.iter().map(Saved::shown).collect::<Vec<_>>().join(", ")
}

/// Drops views, those that depend on others first.
pub(crate) async fn drop_all(work: &Work, saved: &[Saved]) -> Result<(), Failure> {
    for view in saved.iter().rev() {
        work.execute(&format!("DROP {} {}", view.word(), view.sql())).await?;
    }
    Ok(())
}

/// Makes dropped views again, with all that they had. Their texts have all names in whole.
pub(crate) async fn restore(
    work: &Work,
    saved: &[Saved],
    report: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), Failure> {
    for view in saved {
        work.run(&Script::of(view.create())).await.map_err(|failure| view.cannot_return(failure))?;
        let client = work.client().await?;
        let grantees = "SELECT DISTINCT CASE WHEN x.grantee = 0 THEN '' ELSE pg_get_userbyid(x.grantee)::text END
                        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) x
                        WHERE n.nspname = $1 AND c.relname = $2";
        let rows = query(client, grantees, &[&view.schema, &view.name]).await?;
        // What defaults of privileges gave counts as well as what is to be given.
        if view.has_grants || !rows.is_empty() {
            let present = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<String>, _>>()?;
            work.run(&Script::of(view.regrant(&present))).await?;
        }
        if view.uses_dropped {
            report(&format!("the view {} shows the dropped columns no longer", view.shown()));
        }
    }
    Ok(())
}

impl Saved {
    /// The view is to have another query, and keeps what can be kept: not what belongs to columns.
    pub(crate) fn become_another(&mut self, definition: String) {
        let shown = source_of(&definition).map(|source| source.columns);
        let is_kept = |name: &str| shown.as_ref().is_some_and(|shown| shown.iter().any(|column| column == name));
        self.columns.retain(|column| is_kept(&column.name));
        self.grants.retain(|grant| grant.column.as_deref().is_none_or(is_kept));
        self.definition = definition;
    }

    /// Its options as `CREATE VIEW` takes them.
    pub(crate) fn with_options(&self) -> String {
        match self.options.is_empty() {
            true => String::new(),
            false => format!(" WITH ({})", self.options.join(", ")),
        }
    }

    fn word(&self) -> &'static str {
        if self.is_materialized { "MATERIALIZED VIEW" } else { "VIEW" }
    }

    fn sql(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    fn shown(&self) -> String {
        format!("`{}`", full_name(&[&self.schema, &self.name]))
    }

    fn create(&self) -> String {
        let own = self.sql();
        let options = self.with_options();
        let data = if self.is_materialized && !self.is_populated { " WITH NO DATA" } else { "" };
        let query = self.definition.trim().trim_end_matches(';');
        let mut text = format!("CREATE {} {own}{options} AS {query}{data};\n", self.word());
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
        for statement in self.indexes.iter().chain(&self.triggers) {
            text.push_str(&format!("{statement};\n"));
        }
        text.push_str(&format!("ALTER {} {own} OWNER TO {};\n", self.word(), quote(&self.owner)));
        text
    }

    /// Takes away what defaults of privileges gave to somebody, and gives what was given before.
    fn regrant(&self, present: &[String]) -> String {
        let own = self.sql();
        let role = |name: &str| if name.is_empty() { "PUBLIC".to_owned() } else { quote(name) };
        let mut text = String::new();
        for grantee in present {
            text.push_str(&format!("REVOKE ALL ON {own} FROM {};\n", role(grantee)));
        }
        for grant in &self.grants {
            let columns = grant.column.as_ref().map(|name| format!(" ({})", quote(name))).unwrap_or_default();
            let option = if grant.grantable { " WITH GRANT OPTION" } else { "" };
            let (privilege, grantee) = (&grant.privilege, role(&grant.grantee));
            text.push_str(&format!("GRANT {privilege}{columns} ON {own} TO {grantee}{option};\n"));
        }
        text
    }

    fn cannot_return(&self, failure: Failure) -> Failure {
        let Failure::Server { error, at } = failure else { return failure };
        let Some(told) = error.as_db_error() else { return Failure::Server { error, at } };
        let message =
            format!("the view {} cannot be made again over the changed columns: {}", self.shown(), told.message());
        ProviderError::invalid(Some(Path::attribute("columns")), message)
            .solution("change or drop that view first; nothing was changed")
            .into()
    }
}
