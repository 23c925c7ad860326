//! The caller's rights on the cluster itself.

use super::Admin;
use super::topics::refused;
use crate::failure::Failure;
use crate::wire::NoAnswer;
use kafka_protocol::messages::DescribeClusterRequest;

/// Cluster operations, by the numbers of `org.apache.kafka.common.acl.AclOperation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Create topics of any name.
    Create = 5,
    /// Grant and revoke access.
    Alter = 7,
    /// Describe access, and return the caller's own rights.
    Describe = 8,
}

/// The caller's rights on a cluster: one bit for each operation, by its number.
/// <https://cwiki.apache.org/confluence/display/KAFKA/KIP-430+-+Return+Authorized+Operations+in+Describe+Responses>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operations(i32);

impl Operations {
    /// Returns true if the caller has the right.
    pub(crate) fn has(self, operation: Operation) -> bool {
        self.0 & (1 << operation as i32) != 0
    }
}

/// The brokers' value for operations that were not determined.
const UNDETERMINED: i32 = i32::MIN;

impl Admin {
    /// Returns the caller's rights on the cluster, or `None` if brokers do not report them. Brokers report no rights at
    /// all
    /// to a caller that may not describe the cluster.
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn operations(&self) -> Result<Option<Operations>, Failure> {
        let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        let answer = match self.cluster.send(&request).await {
            // Brokers of older versions do not support the request.
            Err(NoAnswer::Unsupported(_)) => return Ok(None),
            answered => answered?,
        };
        refused(answer.error_code, answer.error_message.as_deref(), answer.throttle_time_ms)?;
        let operations = answer.cluster_authorized_operations;
        Ok((operations != UNDETERMINED).then_some(Operations(operations)))
    }
}
