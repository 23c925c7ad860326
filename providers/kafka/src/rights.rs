//! Reports missing rights on the cluster before a plan needs them.

use crate::admin::Operation;
use crate::failure::grant_command;
use crate::resources::Instance;
use terrace_provider::{MissingRight, ProviderError};

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
