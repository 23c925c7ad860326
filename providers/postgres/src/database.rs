//! Databases. PostgreSQL creates and drops them outside of transactions. The object id of a database marks the call
//! that created it.

use crate::attributes::{has_unknown, optional_text, put, put_managed};
use crate::error::Failure;
use crate::identifier::{literal, quote};
use crate::kind::Target;
use crate::mark::CallName;
use crate::observation::{Observation, ReadRequest, placed};
use crate::script::Script;
use crate::server::{Client, column, first, query, version};
use terrace_provider::{Attributes, DataAmount, Map, Path, PlannedChange, ProposedChange, ProviderError};

/// The first version with `OID` in `CREATE DATABASE`: <https://www.postgresql.org/docs/15/sql-createdatabase.html>.
const WITH_OBJECT_ID: i32 = 150_000;

/// Plans a database.
///
/// # Errors
/// `InvalidInput` at the invalid attribute.
pub(crate) fn plan(change: &ProposedChange<'_>, planned: &PlannedChange) -> Result<(), ProviderError> {
    if has_unknown(change.config) { Ok(()) } else { check_planned(&planned.planned) }
}

/// Refuses values that the server cannot store.
///
/// # Errors
/// `InvalidInput` at the attribute.
fn check_planned(attributes: &Attributes) -> Result<(), ProviderError> {
    crate::namespace::check_planned(attributes)?;
    let encoding = optional_text(attributes, "encoding").unwrap_or_default();
    if encoding.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return Ok(());
    }
    let message = format!("`{}` is not an encoding", encoding.escape_default());
    Err(ProviderError::invalid(Some(Path::attribute("encoding")), message).solution("write one such as `UTF8`"))
}

/// Reads databases.
pub(crate) async fn observe(client: &Client, wanted: &[ReadRequest]) -> Result<Vec<Option<Observation>>, Failure> {
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.target.own_name()).collect();
    let sql = "SELECT w.place, pg_get_userbyid(d.datdba)::text, shobj_description(d.oid, 'pg_database'),
                      pg_encoding_to_char(d.encoding)::text, d.oid::text
               FROM unnest($1::text[]::name[]) WITH ORDINALITY AS w(named, place)
               JOIN pg_database d ON d.datname = w.named";
    placed(&query(client, sql, &[&names]).await?, wanted, |row, wanted| {
        let mut attributes = Map::default();
        for (name, at) in [("owner", 1), ("comment", 2)] {
            if wanted.is_managed(name) {
                put_managed(&mut attributes, name, column(row, at)?);
            }
        }
        put(&mut attributes, "encoding", Some(&column::<String>(row, 3)?));
        Ok(Observation { mark: Some(column(row, 4)?), ..Observation::plain(attributes, wanted) })
    })
}

/// The statements that create the planned database, each to run alone.
pub(crate) async fn creation(
    client: &Client,
    target: &Target,
    planned: &Attributes,
    call: &CallName,
) -> Result<Vec<Script>, Failure> {
    check_planned(planned)?;
    let mut script = Script::of(format!("CREATE DATABASE {}", target.sql()));
    if let Some(owner) = optional_text(planned, "owner") {
        script.push_at(&Path::attribute("owner"), &format!(" OWNER {}", quote(&owner)));
    }
    if let Some(encoding) = optional_text(planned, "encoding") {
        // Only the empty template allows any encoding.
        script.push_at(&Path::attribute("encoding"), &format!(" ENCODING {} TEMPLATE template0", literal(&encoding)));
    }
    if version(client).await? >= WITH_OBJECT_ID {
        script.push(&format!(" OID {}", call.object_id()));
    }
    let comment = optional_text(planned, "comment");
    let comment = comment.map(|text| format!("COMMENT ON DATABASE {} IS {}", target.sql(), literal(&text)));
    Ok(std::iter::once(script).chain(comment.map(Script::of)).collect())
}

/// Counts the tables of a database.
pub(crate) async fn count(client: &Client) -> Result<DataAmount, Failure> {
    let sql = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";
    let rows = query(client, sql, &[]).await?;
    let tables = first::<i64>(&rows)?.unwrap_or_default().unsigned_abs();
    Ok(DataAmount::of(tables, "table", "tables"))
}
