//! Tables: a common model of configuration and catalogs.

mod alter;
mod change;
mod check;
mod ddl;
mod detached;
mod fold;
mod like;
mod model;
mod plan;
mod present;

pub(crate) use change::{
    RestoredObjects, Updated, check_same_table, create, delete, dependents_of_change, has_other_types, learn, missing,
    unknown_types, update,
};
pub(crate) use fold::fold;
pub(crate) use like::{is_same, observe, read_created};
pub(crate) use plan::{plan, renamed};
pub(crate) use present::{column_names, read};

use crate::error::Failure;
use crate::kind::Target;
use crate::server::{Client, first};
use terrace_provider::DataAmount;

/// Row limit of the count.
const COUNTED: u64 = 10_000;

/// Number of rows in a table.
pub(crate) async fn count(client: &Client, target: &Target) -> Result<DataAmount, Failure> {
    if read(client, std::slice::from_ref(target)).await?.into_iter().flatten().next().is_none() {
        return Ok(DataAmount::Empty);
    }
    let sql = format!("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS rows", target.sql(), COUNTED + 1);
    let rows = client.query(&sql, &[]).await?;
    Ok(match first::<i64>(&rows)?.unwrap_or_default().unsigned_abs() {
        count if count > COUNTED => DataAmount::Some { count, text: format!("more than {COUNTED} rows") },
        rows => DataAmount::of(rows, "row", "rows"),
    })
}
