//! Checks of the cluster before a plan needs it: whether a broker answers, and which rights are missing.

use crate::admin::Operation;
use crate::failure::grant_command;
use crate::resources::Instance;
use crate::wire::NoAnswer;
use terrace_provider::{MissingRight, ProviderError};

/// Connects to the bootstrap brokers.
///
/// # Errors
/// If no broker answers; the message names the failure of each.
pub(crate) async fn probe(instance: &Instance) -> Result<(), ProviderError> {
    let Err(mut failures) = instance.admin.probe().await else { return Ok(()) };
    // A refusal explains more than a broker that is down.
    failures.sort_by_key(|failure| matches!(failure, NoAnswer::Unreachable(_)));
    let mut failures = failures.into_iter();
    let first = failures.next().unwrap_or_else(|| NoAnswer::Unreachable("no broker is configured".to_owned()));
    let context = instance.request_context(false, "connect to a bootstrap broker".to_owned(), String::new());
    let error = context.failed(first.into());
    let others: String = failures.map(|failure| format!("; {}", failure.reason())).collect();
    Err(ProviderError { message: error.message + &others, ..error })
}

/// Returns the missing rights with the commands that grant them; `None` if brokers do not report rights.
///
/// # Errors
/// If the brokers do not answer.
pub(crate) async fn missing(instance: &Instance) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let describe = "--operation Describe --cluster";
    let context =
        instance.request_context(false, "read the principal's rights on the cluster".to_owned(), describe.to_owned());
    let Some(operations) = instance.admin.operations().await.map_err(|failure| context.failed(failure))? else {
        return Ok(None);
    };
    let right = |operation: &str, right: &str| MissingRight {
        operation: operation.to_owned(),
        statement: grant_command(instance.principal.as_deref(), right),
    };
    if !operations.has(Operation::Describe) {
        // Without this right, brokers report all operations as 0, even allowed ones:
        // <https://kafka.apache.org/protocol#The_Messages_DescribeCluster>
        return Ok(Some(vec![right("look up access or its own rights", describe)]));
    }
    let needed = [
        // Rights on single topic names would suffice, but brokers do not report them here.
        (Operation::Create, "create topics of any name", "--operation Create --cluster"),
        (Operation::Alter, "grant access", "--operation Alter --cluster"),
    ];
    let missing = needed.into_iter().filter(|(operation, ..)| !operations.has(*operation));
    Ok(Some(missing.map(|(_, operation, line)| right(operation, line)).collect()))
}
