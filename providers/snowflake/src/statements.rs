//! Statements of a call: query tag, deadline, and hints for refused statements.

use crate::client::{Client, Request, Rows};
use crate::failure::{self, Purpose};
use jiff::Timestamp;
use std::time::Duration;
use terrace_provider::{Call, ProviderError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time limit of a read.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Upper limit of a call's time.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The statements of a call.
pub(crate) struct Statements<'a> {
    client: &'a Client,
    query_tag: String,
    deadline: Instant,
    cancel: CancellationToken,
}

impl<'a> Statements<'a> {
    /// Statements of a reading call about the object at this address.
    pub(crate) fn reading(client: &'a Client, prefix: &str, address: &str) -> Self {
        let (query_tag, deadline) = (tag(prefix, address, "read"), Instant::now() + READ_TIMEOUT);
        Self { client, query_tag, deadline, cancel: CancellationToken::new() }
    }

    /// Statements of a changing call.
    pub(crate) fn of_call(client: &'a Client, prefix: &str, call: &Call) -> Self {
        Self {
            client,
            query_tag: tag(prefix, &call.address, &call.operation),
            // The limit avoids an overflow of the clock.
            deadline: Instant::now() + call.timeout.min(MAX_TIMEOUT),
            cancel: call.cancel.clone(),
        }
    }

    /// The role of the statements, in the form of `GRANT`.
    pub(crate) fn role(&self) -> Option<&str> {
        self.client.role()
    }

    /// The warehouse for queries.
    pub(crate) fn warehouse(&self) -> Option<&str> {
        self.client.warehouse()
    }

    /// The host of the API.
    pub(crate) fn host(&self) -> &str {
        self.client.host()
    }

    /// The time by Snowflake's clock.
    pub(crate) fn remote_now(&self) -> Timestamp {
        self.client.remote_now()
    }

    /// Runs a reading statement.
    ///
    /// # Errors
    /// The error of Snowflake.
    pub(crate) async fn query(&self, sql: &str, purpose: &Purpose) -> Result<Rows, ProviderError> {
        self.execute(sql, None).await.map_err(|failure| failure::read_error(self.client, &failure, purpose))
    }

    /// Runs a reading statement with a database and a schema for unqualified names.
    ///
    /// # Errors
    /// The error of Snowflake.
    pub(crate) async fn query_within(
        &self,
        sql: &str,
        within: &(String, String),
        purpose: &Purpose,
    ) -> Result<Rows, ProviderError> {
        let rows = self.execute(sql, Some(within)).await;
        rows.map_err(|failure| failure::read_error(self.client, &failure, purpose))
    }

    /// Reads an object; `None` if it does not exist or the role may not see it.
    ///
    /// # Errors
    /// The error of Snowflake.
    pub(crate) async fn read_optional(&self, sql: &str) -> Result<Option<Rows>, ProviderError> {
        match self.execute(sql, None).await {
            Ok(rows) => Ok(Some(rows)),
            Err(failure) if failure::is_missing(&failure) => Ok(None),
            Err(failure) => Err(failure::read_error(self.client, &failure, &Purpose::to("read it"))),
        }
    }

    /// Runs a changing statement.
    ///
    /// # Errors
    /// The error of Snowflake, with the missing right.
    pub(crate) async fn change(&self, sql: &str, purpose: &Purpose) -> Result<(), ProviderError> {
        match self.execute(sql, None).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure::change_error(self.client, &failure, purpose)),
        }
    }

    async fn execute(&self, sql: &str, within: Option<&(String, String)>) -> Result<Rows, crate::client::Failure> {
        let (query_tag, deadline, cancel) = (&self.query_tag, self.deadline, &self.cancel);
        let request = Request { sql, within, query_tag, deadline, cancel };
        self.client.execute(&request).await
    }
}

/// `terrace:<stack>/<component>/<operation>`, of at most 2,000 characters.
/// <https://docs.snowflake.com/en/sql-reference/parameters#query-tag>
fn tag(prefix: &str, address: &str, operation: &str) -> String {
    let (stack, resource) = address.split_once(':').unwrap_or(("", address));
    let component = resource.split_once('/').map_or("", |(component, _)| component);
    format!("{prefix}:{stack}/{component}/{operation}").chars().take(2000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_stack_component_and_operation() {
        assert_eq!(tag("terrace", "shop.a.0@dev:area/snowflake_table.t[\"X\"]", "op"), "terrace:shop.a.0@dev/area/op");
        assert_eq!(tag("t", "demo@dev:snowflake_role.r", "op"), "t:demo@dev//op");
    }
}
