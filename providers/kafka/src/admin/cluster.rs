//! The cluster itself: what who asks may do to it.

use super::Admin;
use super::topics::refused;
use crate::failure::Failure;
use crate::wire::Unanswered;
use kafka_protocol::messages::DescribeClusterRequest;

/// What can be done to a cluster, by the numbers of `org.apache.kafka.common.acl.AclOperation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Topics of any name come.
    Create = 5,
    /// Access is given and taken away.
    Alter = 7,
    /// Access is looked up, and who asks is told what they may do.
    Describe = 8,
}

/// What who asks may do to a cluster: a bit for each operation, by its number.
/// <https://cwiki.apache.org/confluence/display/KAFKA/KIP-430+-+Return+Authorized+Operations+in+Describe+Responses>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operations(i32);

impl Operations {
    /// Whether it is among them.
    pub(crate) fn has(self, operation: Operation) -> bool {
        self.0 & (1 << operation as i32) != 0
    }
}

/// What stands for operations where nobody looked which they are.
const UNTOLD: i32 = i32::MIN;

impl Admin {
    /// What who asks may do to the cluster; `None` where brokers do not tell. Whoever may not describe the cluster is told
    /// that they may do nothing, be it so or not.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn operations(&self) -> Result<Option<Operations>, Failure> {
        let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        let answer = match self.cluster.ask(&request).await {
            // Brokers that nobody can ask do not tell.
            Err(Unanswered::Unsupported(_)) => return Ok(None),
            answered => answered?,
        };
        refused(answer.error_code, answer.error_message.as_deref(), answer.throttle_time_ms)?;
        let operations = answer.cluster_authorized_operations;
        Ok((operations != UNTOLD).then_some(Operations(operations)))
    }
}
