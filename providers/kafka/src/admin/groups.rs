//! Ids of consumer groups.

use super::Admin;
use super::topics::refused;
use crate::failure::Failure;
use kafka_protocol::messages::ListGroupsRequest;
use std::collections::BTreeSet;

impl Admin {
    /// Returns the ids of all consumer groups that the caller may see. Each broker knows only the groups it
    /// coordinates.
    ///
    /// # Errors
    /// If one broker does not answer.
    pub(crate) async fn group_ids(&self) -> Result<BTreeSet<String>, Failure> {
        let mut ids = BTreeSet::new();
        for address in self.cluster.brokers().await? {
            let answer = self.cluster.send_to(&address, &ListGroupsRequest::default()).await?;
            refused(answer.error_code, None, answer.throttle_time_ms)?;
            ids.extend(answer.groups.iter().map(|group| group.group_id.to_string()));
        }
        Ok(ids)
    }
}
