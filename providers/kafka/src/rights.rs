//! What who asks may do to the cluster, before anything of it is needed.

use crate::admin::Operation;
use crate::failure::line;
use crate::resources::Instance;
use terrace_provider::{MissingRight, ProviderError};

/// What may not be done to the cluster, with the line that gives it; `None` where brokers do not tell.
///
/// # Errors
/// When they do not answer.
pub(crate) async fn missing(instance: &Instance) -> Result<Option<Vec<MissingRight>>, ProviderError> {
    let describe = "--operation Describe --cluster";
    let asked = instance.asked(false, "tell what may be done to the cluster".to_owned(), describe.to_owned());
    let Some(operations) = instance.admin.operations().await.map_err(|failure| asked.failed(failure))? else {
        return Ok(None);
    };
    let right = |operation: &str, right: &str| MissingRight {
        operation: operation.to_owned(),
        statement: line(instance.principal.as_deref(), right),
    };
    if !operations.has(Operation::Describe) {
        // Without it brokers tell of no other operation: <https://kafka.apache.org/protocol#The_Messages_DescribeCluster>
        // has all of them as 0 then, those that are allowed, too.
        return Ok(Some(vec![right("look up access, nor what else it may do", describe)]));
    }
    let needed = [
        // Topics of some names need no more than that on those names, which nobody tells without them.
        (Operation::Create, "create topics of any name", "--operation Create --cluster"),
        (Operation::Alter, "give access", "--operation Alter --cluster"),
    ];
    let missing = needed.into_iter().filter(|(operation, ..)| !operations.has(*operation));
    Ok(Some(missing.map(|(_, operation, line)| right(operation, line)).collect()))
}
