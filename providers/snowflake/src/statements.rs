//! Statements of one call of terrace: in whose name they are tagged, until when they are waited for, and what helps where one
//! is refused.

use crate::client::{Client, Request, Rows};
use crate::failure::{self, Need};
use jiff::Timestamp;
use std::time::Duration;
use terrace_provider::{Call, ProviderError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a question is waited for.
const READS: Duration = Duration::from_secs(60);

/// How long a call is waited for at most.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The statements of one call.
pub(crate) struct Statements<'a> {
    client: &'a Client,
    query_tag: String,
    deadline: Instant,
    cancel: CancellationToken,
}

impl<'a> Statements<'a> {
    /// Those of a call that only looks, about an object at that address.
    pub(crate) fn reading(client: &'a Client, prefix: &str, address: &str) -> Self {
        let (query_tag, deadline) = (tag(prefix, address, "read"), Instant::now() + READS);
        Self { client, query_tag, deadline, cancel: CancellationToken::new() }
    }

    /// Those of a call that changes something.
    pub(crate) fn of_call(client: &'a Client, prefix: &str, call: &Call) -> Self {
        Self {
            client,
            query_tag: tag(prefix, &call.address, &call.operation),
            // A time beyond all clocks is a long one.
            deadline: Instant::now() + call.timeout.min(LONGEST),
            cancel: call.cancel.clone(),
        }
    }

    /// The role in whose name they are carried out, as `GRANT` writes it.
    pub(crate) fn role(&self) -> Option<&str> {
        self.client.role()
    }

    /// The warehouse on which queries run.
    pub(crate) fn warehouse(&self) -> Option<&str> {
        self.client.warehouse()
    }

    /// The host that is asked.
    pub(crate) fn host(&self) -> &str {
        self.client.host()
    }

    /// The time by Snowflake's clock.
    pub(crate) fn remote_now(&self) -> Timestamp {
        self.client.remote_now()
    }

    /// Asks.
    ///
    /// # Errors
    /// What Snowflake says against it.
    pub(crate) async fn ask(&self, sql: &str, need: &Need) -> Result<Rows, ProviderError> {
        self.execute(sql, None).await.map_err(|failure| failure::of_question(self.client, &failure, need))
    }

    /// Asks within a database and a schema, of which names without them are.
    ///
    /// # Errors
    /// What Snowflake says against it.
    pub(crate) async fn ask_within(
        &self,
        sql: &str,
        within: &(String, String),
        need: &Need,
    ) -> Result<Rows, ProviderError> {
        let rows = self.execute(sql, Some(within)).await;
        rows.map_err(|failure| failure::of_question(self.client, &failure, need))
    }

    /// Asks about an object; `None` where there is none, or none that the role may see.
    ///
    /// # Errors
    /// What Snowflake says against it.
    pub(crate) async fn ask_about(&self, sql: &str) -> Result<Option<Rows>, ProviderError> {
        match self.execute(sql, None).await {
            Ok(rows) => Ok(Some(rows)),
            Err(failure) if failure::is_missing(&failure) => Ok(None),
            Err(failure) => Err(failure::of_question(self.client, &failure, &Need::to("read it"))),
        }
    }

    /// Changes something.
    ///
    /// # Errors
    /// What Snowflake says against it, with the right that is missing.
    pub(crate) async fn change(&self, sql: &str, need: &Need) -> Result<(), ProviderError> {
        match self.execute(sql, None).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure::of_change(self.client, &failure, need)),
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
