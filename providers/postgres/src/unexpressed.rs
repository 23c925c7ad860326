//! Parts of objects that attributes do not describe: an import reports them.

use crate::error::Failure;
use crate::kind::{Kind, Target};
use crate::server::{Client, first, query};

/// Parts of the definition of any relation `c`.
const OF_RELATION: &str = "
  CASE c.relpersistence WHEN 'u' THEN 'it is unlogged' WHEN 't' THEN 'it is temporary' END,
  CASE WHEN c.reloptions IS NOT NULL THEN 'it has the options ' || array_to_string(c.reloptions, ', ') END,
  (SELECT 'it is in the tablespace ' || spcname FROM pg_tablespace WHERE oid = c.reltablespace),
  CASE WHEN c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
    THEN 'its owner is ' || pg_get_userbyid(c.relowner) END";

/// Triggers and rules of a relation.
const PARTS: &str = "
  ARRAY(SELECT 'the trigger ' || t.tgname FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal ORDER BY 1)
  || ARRAY(SELECT 'the rule ' || r.rulename FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN' ORDER BY 1)";

const OF_TABLE: &str = "
  CASE WHEN c.relrowsecurity THEN 'row security is on' END,
  CASE WHEN c.reloftype <> 0 THEN 'it is of the type ' || c.reloftype::regtype END,
  CASE WHEN EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid) THEN 'it is a partition, or inherits columns' END,
  CASE WHEN EXISTS (SELECT FROM pg_partitioned_table p WHERE p.partrelid = c.oid AND 0 = ANY (p.partattrs::int2[]))
    THEN 'its partition key has an expression' END";

const PARTS_OF_TABLE: &str = "
  ARRAY(SELECT format('the column %s has the collation %s', a.attname, a.attcollation::regcollation)
        FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attcollation NOT IN (0, y.typcollation) ORDER BY a.attnum)
  || ARRAY(SELECT format('the column %s has its own settings', a.attname) FROM pg_attribute a
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             AND (a.attoptions IS NOT NULL OR coalesce(a.attstattarget, -1) >= 0) ORDER BY a.attnum)
  || ARRAY(SELECT format('the constraint %s is %s', k.conname, concat_ws(', ',
             CASE WHEN k.contype = 'x' THEN 'an exclusion constraint' END,
             CASE WHEN k.condeferrable THEN 'deferrable' END,
             CASE WHEN NOT k.convalidated THEN 'not validated' END,
             CASE WHEN k.contype = 'c' AND k.connoinherit THEN 'not inherited' END,
             CASE WHEN k.contype = 'f' AND k.confmatchtype = 'f' THEN 'MATCH FULL' END,
             CASE WHEN i.indnkeyatts <> i.indnatts THEN 'with included columns' END,
             CASE WHEN to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' THEN 'NULLS NOT DISTINCT' END))
           FROM pg_constraint k LEFT JOIN pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u')
           WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'f', 'c', 'x') AND (k.contype = 'x' OR k.condeferrable
             OR NOT k.convalidated OR k.contype = 'c' AND k.connoinherit OR k.contype = 'f' AND k.confmatchtype = 'f'
             OR i.indnkeyatts <> i.indnatts OR to_jsonb(i) ->> 'indnullsnotdistinct' = 'true') ORDER BY k.conname)
  || ARRAY(SELECT 'the policy ' || p.polname FROM pg_policy p WHERE p.polrelid = c.oid ORDER BY 1)
  || ARRAY(SELECT 'extended statistics ' || e.stxname FROM pg_statistic_ext e WHERE e.stxrelid = c.oid ORDER BY 1)";

const OF_INDEX: &str = "
  CASE WHEN i.indisclustered THEN 'the table is clustered by it' END,
  CASE WHEN i.indisreplident THEN 'it is the replica identity of the table' END,
  CASE WHEN to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' THEN 'it is NULLS NOT DISTINCT' END,
  CASE WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attoptions IS NOT NULL)
    THEN 'operator classes with options' END,
  'the comment ' || quote_literal(obj_description(c.oid, 'pg_class'))";

const OF_ROLE: &str = "
SELECT array_remove(ARRAY[
    CASE WHEN r.rolsuper THEN 'it is a superuser' END,
    CASE WHEN r.rolcreatedb THEN 'it may create databases' END,
    CASE WHEN r.rolcreaterole THEN 'it may create roles' END,
    CASE WHEN r.rolreplication THEN 'it may replicate' END,
    CASE WHEN r.rolbypassrls THEN 'it bypasses row security' END,
    CASE WHEN r.rolconnlimit >= 0 THEN 'it has at most ' || r.rolconnlimit || ' connections' END,
    'its password is valid until ' || r.rolvaliduntil,
    CASE WHEN EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setrole = r.oid) THEN 'its own settings' END], NULL)
FROM pg_roles r WHERE r.rolname = $1";

const OF_DATABASE: &str = "
SELECT array_remove(ARRAY[
    'its collation is ' || d.datcollate, 'its character classes are of ' || d.datctype,
    (SELECT 'it is in the tablespace ' || spcname FROM pg_tablespace WHERE oid = d.dattablespace AND spcname <> 'pg_default'),
    CASE WHEN d.datconnlimit >= 0 THEN 'it has at most ' || d.datconnlimit || ' connections' END,
    CASE WHEN NOT d.datallowconn THEN 'it allows no connections' END,
    CASE WHEN d.datistemplate THEN 'it is a template' END,
    CASE WHEN EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setdatabase = d.oid) THEN 'its own settings' END], NULL)
FROM pg_database d WHERE d.datname = $1";

/// Describes the parts of an object that its attributes do not express.
pub(crate) async fn of(client: &Client, target: &Target) -> Result<Vec<String>, Failure> {
    let of_relation = |own: &str, parts: &str, kinds: &str, join: &str| {
        let own = if own.is_empty() { String::new() } else { format!(", {own}") };
        format!(
            "SELECT array_remove(ARRAY[{OF_RELATION}{own}], NULL) || {parts}
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace {join}
             WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ({kinds})"
        )
    };
    let (schema, name) = (target.name(1), target.own_name());
    let rows = match target.kind {
        Kind::Table => {
            let sql = of_relation(OF_TABLE, &format!("{PARTS_OF_TABLE} || {PARTS}"), "'r', 'p'", "");
            query(client, &sql, &[&schema, &name]).await?
        }
        Kind::View | Kind::MaterializedView => {
            query(client, &of_relation("", PARTS, "'v', 'm'", ""), &[&schema, &name]).await?
        }
        Kind::Index => {
            let sql = of_relation(OF_INDEX, "ARRAY[]::text[]", "'i', 'I'", "JOIN pg_index i ON i.indexrelid = c.oid");
            query(client, &sql, &[&schema, &name]).await?
        }
        Kind::Role => query(client, OF_ROLE, &[&name]).await?,
        Kind::Database => query(client, OF_DATABASE, &[&name]).await?,
        Kind::Schema | Kind::Membership | Kind::Grant => return Ok(Vec::new()),
    };
    Ok(first::<Option<Vec<String>>>(&rows)?.flatten().unwrap_or_default())
}
