//! The broker's users and their rights on the cluster.

use super::answers::versions;
use super::state::BrokerState;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, DescribeClusterRequest, DescribeClusterResponse,
};
use kafka_protocol::protocol::StrBytes;

/// Cluster operations: create, alter, describe, act as a broker, describe and alter configuration, write idempotently.
const OF_CLUSTERS: [i8; 7] = [5, 7, 8, 9, 10, 11, 12];
const ALL: i8 = 2;
const DESCRIBE: i8 = 8;
const DESCRIBE_CONFIGS: i8 = 10;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

impl BrokerState {
    /// The supported requests and versions.
    pub(super) fn versions(&self) -> ApiVersionsResponse {
        let is_known = |key: i16| self.unknown.is_none_or(|unknown: ApiKey| unknown as i16 != key);
        let known = versions().into_iter().filter(|api| is_known(api.api_key)).collect();
        ApiVersionsResponse::default().with_api_keys(known)
    }

    /// Authenticates a SASL PLAIN message.
    pub(super) fn user_of(&self, message: &[u8]) -> Option<String> {
        let users = [("admin", self.password), ("limited", self.limited)];
        let is_match = |(user, password): &(&str, Option<&str>)| {
            password.is_some_and(|password| message == format!("\0{user}\0{password}").as_bytes())
        };
        users.into_iter().find(is_match).map(|(user, _)| user.to_owned())
    }

    /// Returns true if the user has the right on the cluster. As in Apache Kafka, a `DENY` entry wins, and some rights
    /// imply others.
    fn may(&self, user: &str, operation: i8) -> bool {
        if user != "limited" {
            return true;
        }
        let implied: &[i8] = match operation {
            // Implied by read, write, delete and alter.
            DESCRIBE => &[3, 4, 6, 7],
            DESCRIBE_CONFIGS => &[11],
            _ => &[],
        };
        let has = |permission: i8, operations: &[i8]| {
            self.acls.iter().any(|(kind, name, _, principal, _, given, given_permission)| {
                (*kind, name.as_str(), *given_permission) == (4, "kafka-cluster", permission)
                    && ["User:limited", "User:*"].contains(&principal.as_str())
                    && (operations.contains(given) || *given == ALL)
            })
        };
        let allowing: Vec<i8> = implied.iter().copied().chain([operation]).collect();
        !has(DENY, &[operation]) && has(ALLOW, &allowing)
    }

    /// Reports no right to a user who may not describe the cluster, as Apache Kafka's `AuthHelper` does.
    pub(super) fn describe_cluster(&self, user: &str, request: &DescribeClusterRequest) -> DescribeClusterResponse {
        let operations =
            match (self.is_silent || !request.include_cluster_authorized_operations, self.may(user, DESCRIBE)) {
                (true, _) => i32::MIN,
                (false, false) => 0,
                (false, true) => {
                    OF_CLUSTERS.into_iter().filter(|it| self.may(user, *it)).fold(0, |all, it| all | (1 << it))
                }
            };
        DescribeClusterResponse::default()
            .with_cluster_id(StrBytes::from_static_str("stand-in"))
            .with_controller_id(BrokerId(1))
            .with_cluster_authorized_operations(operations)
    }
}
