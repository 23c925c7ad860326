//! The supported requests, each with its key, lowest version and answer.

use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, CreateAclsRequest, CreateAclsResponse, CreatePartitionsRequest,
    CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteAclsRequest, DeleteAclsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeAclsRequest, DescribeAclsResponse, DescribeClusterRequest,
    DescribeClusterResponse, DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, ListGroupsRequest, ListGroupsResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, MetadataRequest, MetadataResponse,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message};

/// A request of this client.
pub(crate) trait Request: Encodable + HeaderVersion + Message + Sync {
    /// The key of the request.
    const KEY: ApiKey;
    /// The lowest version with all fields that this client needs.
    const LOWEST: i16;
    /// The type of the answer.
    type Answer: Decodable + HeaderVersion + Send;
}

macro_rules! requests {
    ($($request:ident => $answer:ident, $key:ident from $lowest:literal;)*) => {$(
        impl Request for $request {
            const KEY: ApiKey = ApiKey::$key;
            const LOWEST: i16 = $lowest;
            type Answer = $answer;
        }
    )*};
}

requests! {
    ApiVersionsRequest => ApiVersionsResponse, ApiVersions from 0;
    SaslHandshakeRequest => SaslHandshakeResponse, SaslHandshake from 1;
    SaslAuthenticateRequest => SaslAuthenticateResponse, SaslAuthenticate from 0;
    // Earlier versions create missing topics.
    MetadataRequest => MetadataResponse, Metadata from 4;
    // Earlier versions cannot leave the number of partitions and replicas to the broker.
    CreateTopicsRequest => CreateTopicsResponse, CreateTopics from 4;
    DeleteTopicsRequest => DeleteTopicsResponse, DeleteTopics from 1;
    CreatePartitionsRequest => CreatePartitionsResponse, CreatePartitions from 0;
    // Earlier versions do not report the source of a value.
    DescribeConfigsRequest => DescribeConfigsResponse, DescribeConfigs from 1;
    IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse, IncrementalAlterConfigs from 0;
    DescribeClusterRequest => DescribeClusterResponse, DescribeCluster from 0;
    // Earlier versions do not support patterns.
    DescribeAclsRequest => DescribeAclsResponse, DescribeAcls from 1;
    CreateAclsRequest => CreateAclsResponse, CreateAcls from 1;
    DeleteAclsRequest => DeleteAclsResponse, DeleteAcls from 1;
    ListOffsetsRequest => ListOffsetsResponse, ListOffsets from 1;
    ListGroupsRequest => ListGroupsResponse, ListGroups from 0;
    ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse, ListPartitionReassignments from 0;
}
